//! Orders to groups, as an administrator signs them and a member of the group carries them out.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_crypto::hash::sha256;
use chancery_group::{Info, Role};
use chancery_identity::delivery::Use;
use chancery_identity::{DeviceId, MemberId};
use chancery_org::GroupOrdered;
use chancery_wire::proto::group_ordered::Change;
use chancery_wire::proto::{self, GetCredential, client_frame, relay_frame};
use chancery_wire::{Limit, Unverified, decode, encode};

use super::administrator::{Administrator, SignedWith, acts_error, named, parse};
use super::org_error;
use crate::clock;
use crate::errand::Errand;
use crate::error::{Error, ErrorCode};
use crate::home::hex;

/// What an order begins with.
const PREFIX: &str = "chancery-order:";
/// Bytes of the hash behind an order that tell a cut one from a whole one.
const CHECKSUM: usize = 4;
/// Longest order, in characters: 256 KiB. Removing all members of the largest group takes less.
const MAX_ORDER: usize = 256 * 1024;

/// Most devices whose removal is in one order: 200. An order is carried out in one commit or not at all, a commit holds 500 changes,
/// and members may get devices before it is carried out.
const MAX_REMOVED: usize = 200;
/// Most devices that one order adds: 100. Each takes 110 bytes of the 16 KiB of a statement.
const MAX_ADDED: usize = 100;

/// What is ordered of a group.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GroupOrder {
    /// Members are removed with all their devices.
    Remove(Vec<String>),
    /// Members are added with all their devices, as their credentials are at the relay.
    Add(Vec<String>, Role),
    /// A member gets another role.
    Role(String, Role),
    /// The group gets this name and policy, or is ended with them.
    Info(Info),
}

impl Administrator {
    /// Signs an order to a group, as text that any of its administrators carries out, and for removals any member. The
    /// organisation has no key of the group: without a member who carries it out, nothing happens.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`]: nobody has one of the handles. [`ErrorCode::KeysNotPermitted`]: the keys are no issuer's
    /// with GROUPS. [`ErrorCode::GroupLimit`]: it is about more devices than one order may be, 200 to remove or 100 to add: sign
    /// several, each for some of the members. To add somebody the relay is asked: errors of the connection.
    pub async fn order_group(
        &self,
        with: SignedWith<'_>,
        (group_id, epoch): ([u8; 16], u64),
        order: &GroupOrder,
    ) -> Result<String, Error> {
        let (admin, mut rng) = (self.admin(with)?, clock::rng()?);
        let (changes, member) = self.changes(order).await?;
        let (group, said) = (hex(&group_id), said(order));
        let (desk, now) = (&self.office.desk, clock::now());
        let ordered = GroupOrdered { group_id, epoch, changes, said: (&group, &said), member };
        let mut store = self.office.store();
        let signed = store.transaction(|records| {
            desk.order_group(&admin, (records, ordered), now, &mut rng).map_err(|error| acts_error(&error))
        })?;
        Ok(write(&signed))
    }

    /// Returns the changes, and whom they are about if it is one member.
    async fn changes(
        &self,
        order: &GroupOrder,
    ) -> Result<(Vec<proto::GroupOrdered>, Option<MemberId>), Error> {
        let mut members = Vec::new();
        let handles: &[String] = match order {
            GroupOrder::Remove(handles) | GroupOrder::Add(handles, _) => handles,
            GroupOrder::Role(handle, _) => std::slice::from_ref(handle),
            GroupOrder::Info(_) => &[],
        };
        let mut devices = 0_usize;
        for handle in handles {
            parse(handle)?;
            let (member, count) = self.known(handle)?;
            members.push(member);
            devices = devices.saturating_add(count);
        }
        match order {
            GroupOrder::Remove(_) => fits(devices.max(members.len()), MAX_REMOVED)?,
            GroupOrder::Add(..) => fits(devices, MAX_ADDED)?,
            GroupOrder::Role(..) | GroupOrder::Info(_) => {}
        }
        let changes = match order {
            GroupOrder::Remove(_) => {
                members.iter().map(|member| Change::Remove(member.as_bytes().to_vec())).collect()
            }
            GroupOrder::Add(_, role) => {
                let mut adds = Vec::new();
                for handle in handles {
                    adds.extend(self.adds(handle, *role).await?);
                }
                adds
            }
            GroupOrder::Role(_, role) => members
                .iter()
                .map(|member| {
                    let (member_id, role) = (member.as_bytes().to_vec(), role.number().into());
                    Change::SetRole(proto::GroupSetRole { member_id, role })
                })
                .collect(),
            GroupOrder::Info(info) => vec![Change::SetInfo(info.to_bytes())],
        };
        let one = if let [member] = members.as_slice() { Some(*member) } else { None };
        let ordered = |change| proto::GroupOrdered { change: Some(change) };
        Ok((changes.into_iter().map(ordered).collect(), one))
    }

    /// Returns who has a handle, or had it last, and with how many devices: who has left can still be removed.
    fn known(&self, handle: &str) -> Result<(MemberId, usize), Error> {
        let plan = match self.plan_offboarding(handle) {
            Err(error) if error.code() == ErrorCode::UnknownRecipient => {
                self.offboarding(handle).map(|report| report.plan).map_err(|_| named(error, handle))?
            }
            other => other?,
        };
        Ok((plan.member_id, plan.device_ids.len()))
    }

    /// Returns the additions of all devices of a member, with what the relay has of their credentials.
    async fn adds(&self, handle: &str, role: Role) -> Result<Vec<Change>, Error> {
        let plan = self.plan_offboarding(handle)?;
        let (anonymous, pushes) = self.office.open_connection().await?;
        let connection = Errand::new(anonymous, pushes);
        let key = self
            .office
            .store()
            .read(|records| self.office.desk.delivery_key(records).map_err(|error| org_error(&error)))?;
        let mut adds = BTreeMap::new();
        for device in plan.device_ids {
            let get = GetCredential {
                device_id: device.as_bytes().to_vec(),
                token: key.token(Use::Mailbox, device.as_bytes()).to_vec(),
                group_key: Vec::new(),
            };
            let answer = match connection.request(client_frame::Body::GetCredential(get)).await {
                Err(error) if error.code() == ErrorCode::RelayNotFound => {
                    return Err(Error::with(ErrorCode::RecipientNotReady, handle));
                }
                other => other?,
            };
            let relay_frame::Body::Credential(answer) = answer else {
                return Err(ErrorCode::RelayProtocol.into());
            };
            let signed = answer.credential.ok_or(ErrorCode::RelayProtocol)?;
            adds.insert(device, self.add(signed, (&plan.member_id, &device), role)?);
        }
        if adds.is_empty() {
            return Err(Error::with(ErrorCode::RecipientNotReady, handle));
        }
        Ok(adds.into_values().collect())
    }

    fn add(
        &self,
        signed: proto::Signed,
        (member, device): (&MemberId, &DeviceId),
        role: Role,
    ) -> Result<Change, Error> {
        let organisation = self.office.desk.organisation();
        let credential = organisation.verify_credential(Unverified::new(signed), clock::now());
        let credential = credential.map_err(|_| ErrorCode::NotAuthentic)?;
        if (credential.member_id(), credential.device_id()) != (*member, *device) {
            return Err(ErrorCode::NotAuthentic.into());
        }
        let change = chancery_group::add(&credential, role).change;
        match change {
            Some(proto::group_change::Change::Add(add)) => Ok(Change::Add(add)),
            _ => Err(ErrorCode::Internal.into()),
        }
    }
}

/// Refuses more devices than one order may be about.
fn fits(devices: usize, most: usize) -> Result<(), Error> {
    if devices <= most {
        return Ok(());
    }
    let why = format!("{devices} devices, and one order is about at most {most}: sign several");
    Err(Error::with(ErrorCode::GroupLimit, why))
}

/// The order in words, for the record of the act.
fn said(order: &GroupOrder) -> String {
    match order {
        GroupOrder::Remove(handles) => format!("remove {}", handles.join(", ")),
        GroupOrder::Add(handles, role) => format!("add {} as {}", handles.join(", "), role_name(*role)),
        GroupOrder::Role(handle, role) => format!("{handle} is {}", role_name(*role)),
        GroupOrder::Info(info) if info.dissolved => format!("dissolve {}", info.name.as_str()),
        GroupOrder::Info(info) => format!("name and policy of {}", info.name.as_str()),
    }
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Administrator => "admin",
        Role::Member => "member",
        Role::Reader => "reader",
    }
}

fn write(order: &proto::Signed) -> String {
    let mut bytes = encode(order);
    let hash = sha256(&[&bytes]);
    bytes.extend(hash.iter().take(CHECKSUM));
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Reads an order that [`Administrator::order_group`] has written (R-ORG-70). Whether it holds is for the group to say.
pub(crate) fn read_order(text: &str) -> Result<proto::Signed, Error> {
    let damaged = || Error::from(ErrorCode::OrderDamaged);
    let coded = text.trim().strip_prefix(PREFIX).filter(|it| it.len() <= MAX_ORDER).ok_or_else(damaged)?;
    let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| damaged())?;
    let (order, checksum) =
        bytes.len().checked_sub(CHECKSUM).and_then(|at| bytes.split_at_checked(at)).ok_or_else(damaged)?;
    if !sha256(&[order]).starts_with(checksum) {
        return Err(damaged());
    }
    Ok(decode::<proto::Signed>(order, Limit::FRAME).map_err(|_| damaged())?.into_unchecked())
}

#[cfg(test)]
mod tests {
    use chancery_group::limit::{MAX_CHANGES, MAX_DEVICES_OF_MEMBER};

    use super::*;

    #[test]
    fn an_order_is_refused_that_no_commit_could_hold_r_org_70() {
        assert!(fits(MAX_REMOVED, MAX_REMOVED).is_ok());
        let error = fits(201, MAX_REMOVED).unwrap_err();
        assert_eq!(error.code(), ErrorCode::GroupLimit);
        assert!(error.to_string().contains("at most 200"), "{error}");
        // The order itself, and whoever takes over, stand in the commit too.
        const { assert!(2 * MAX_REMOVED + 1 + MAX_DEVICES_OF_MEMBER <= MAX_CHANGES) }
        let add = proto::GroupAdd {
            member_id: vec![1; 16],
            device_id: vec![1; 16],
            credential_hash: vec![1; 32],
            group_key: vec![1; 32],
            role: 4,
        };
        for (change, most) in [(Change::Remove(vec![1; 16]), MAX_REMOVED), (Change::Add(add), MAX_ADDED)] {
            let body = proto::GroupOrderBody {
                org_id: vec![1; 32],
                issuer_id: vec![1; 32],
                group_id: vec![1; 16],
                epoch: u64::MAX,
                expires: u64::MAX,
                changes: vec![proto::GroupOrdered { change: Some(change) }; most],
                ..proto::GroupOrderBody::default()
            };
            assert!(decode::<proto::GroupOrderBody>(&encode(&body), Limit::STATEMENT).is_ok());
        }
    }

    #[test]
    fn an_order_survives_as_text_and_a_cut_or_changed_one_is_none_r_org_70() {
        let order = proto::Signed { body: vec![1; 100], signature: vec![2; 50] };
        let text = write(&order);
        assert_eq!(read_order(&format!(" {text}\n")).unwrap(), order);
        for wrong in ["", PREFIX, "chancery:AAAA", &text[..text.len() - 1], &text.replace("AQEB", "AQEC")] {
            assert_eq!(read_order(wrong).unwrap_err().code(), ErrorCode::OrderDamaged, "{wrong}");
        }
    }
}
