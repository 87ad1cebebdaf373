//! Whether somebody who was offboarded is really gone: by the log, and by what the relay answers anybody (R-ORG-44).

use chancery_crypto::rng::random_bytes;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{DeviceId, MemberId};
use chancery_org::{ConfirmedEnd, Desk, OffboardingPlan};
use chancery_wire::proto::{ClaimPrekeys, Deliver, GetConfirmations, client_frame, relay_frame};
use chancery_wire::records::Records;

use super::desk::Office;
use super::org_error;
use crate::clock;
use crate::connection::Connection;
use crate::errand::Errand;
use crate::error::{Error, ErrorCode};

/// Devices whose confirmations are asked for at once: 128, the relay's limit (R-RELAY-63).
const CONFIRMATIONS: usize = 128;

/// Whether somebody is out, as the log and the relay have it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OffboardingCheck {
    /// Who was looked at: who has the handle now with a device, else who was offboarded last under it.
    pub member: MemberId,
    /// Their devices, those included that only the log knows, each with what it has confirmed.
    pub devices: Vec<ConfirmedEnd>,
    /// What speaks against it, in words; empty if they are out.
    pub doubts: Vec<String>,
    /// The member who has the handle now, if somebody does.
    pub holder: Option<MemberId>,
}

impl Office {
    /// Returns what speaks against somebody's being out. `is_complete` says whether everything was handed over; `None` that
    /// nobody has offboarded them.
    pub(super) async fn check(
        &self,
        plan: &OffboardingPlan,
        is_complete: Option<bool>,
    ) -> Result<(Vec<ConfirmedEnd>, Vec<String>), Error> {
        let connection = self.errand().await?;
        let log = self.replay(&connection).await?;
        let entry = self.store().read(|records| {
            Desk::entry_commitment(records, &plan.member_id).map_err(|error| org_error(&error))
        })?;
        // A device that the log has and the desk's records have not would be the one that nobody thought of.
        let logged = log.leaves.iter().filter(|leaf| leaf.kind == LeafKind::Credential);
        let mut devices = plan.device_ids.clone();
        devices.extend(logged.filter(|leaf| leaf.member() == plan.member_id).map(Leaf::device));
        devices.sort_unstable();
        devices.dedup();
        let mut doubts = log_doubts(&log.leaves, &plan.member_id, &devices, entry);
        match is_complete {
            None => doubts.insert(0, "nobody has offboarded this member".to_owned()),
            Some(false) => {
                doubts.push("statements or the directory entry still wait for the relay".to_owned())
            }
            Some(true) => {}
        }
        for issuer in &plan.issuer_ids {
            doubts.push(format!("they hold the key of issuer {issuer}, which only the root can end"));
        }
        let (anonymous, pushes) = self.open_connection().await?;
        let anonymous = Errand::new(anonymous, pushes);
        let key = |records: &dyn Records| self.desk.delivery_key(records).map_err(|error| org_error(&error));
        let key = self.store().read(key)?;
        for device in &devices {
            doubts.extend(relay_doubts(&anonymous, device, &key).await?);
        }
        Ok((self.confirmed_ends(&connection, &plan.member_id, &devices).await?, doubts))
    }

    /// Asks the relay what the devices of a member have confirmed, and verifies it (R-ORG-57).
    pub(super) async fn confirmed_ends(
        &self,
        connection: &Connection,
        member: &MemberId,
        devices: &[DeviceId],
    ) -> Result<Vec<ConfirmedEnd>, Error> {
        let mut ends = Vec::new();
        for devices in devices.chunks(CONFIRMATIONS) {
            let device_ids = devices.iter().map(|id| id.as_bytes().to_vec()).collect();
            let get = client_frame::Body::GetConfirmations(GetConfirmations { device_ids });
            let relay_frame::Body::Confirmations(shown) = connection.request(get).await? else {
                return Err(ErrorCode::RelayProtocol.into());
            };
            ends.extend(self.store().read(|records| {
                let found = self.desk.confirmed_ends(records, (member, devices), &shown.confirmations);
                found.map_err(|error| org_error(&error))
            })?);
        }
        Ok(ends)
    }
}

/// What the log says against a member's end (R-ORG-44).
fn log_doubts(
    leaves: &[Leaf],
    member: &MemberId,
    devices: &[DeviceId],
    entry: Option<[u8; 32]>,
) -> Vec<String> {
    let mut doubts = Vec::new();
    for device in devices {
        let vouched = |leaf: &Leaf| {
            leaf.kind == LeafKind::Credential && leaf.device() == *device && leaf.member() == *member
        };
        if !leaves.iter().any(vouched) {
            doubts.push(format!("the log has no entry of device {device}"));
        }
    }
    let of_member = |kind| move |leaf: &Leaf| leaf.kind == kind && leaf.member() == *member;
    match leaves.iter().position(of_member(LeafKind::MemberRevoked)) {
        None => doubts.push("the log has no end of the member".to_owned()),
        Some(at) => {
            if leaves.iter().skip(at).any(of_member(LeafKind::Credential)) {
                doubts.push("the log has a device of the member after their end".to_owned());
            }
        }
    }
    let newest = leaves.iter().rev().find(|leaf| of_member(LeafKind::Directory)(leaf));
    if newest.map(|leaf| leaf.commitment) != entry {
        doubts
            .push("the log's newest directory entry of the member is not the one without devices".to_owned());
    }
    doubts
}

/// What the relay says to whoever would write to a device that is gone, with the newest token: it should know of none.
async fn relay_doubts(
    connection: &Connection,
    device: &DeviceId,
    key: &DeliveryKey,
) -> Result<Vec<String>, Error> {
    let (mut doubts, token) = (Vec::new(), key.token(device.as_bytes()).to_vec());
    let device_id = device.as_bytes().to_vec();
    let claim = ClaimPrekeys { device_id: device_id.clone(), token: token.clone() };
    // A device that is not gone drops it: it is no envelope of any kind.
    let deliver = Deliver {
        mailbox: device_id,
        delivery_id: random_bytes::<16>(&mut clock::rng()?).to_vec(),
        token,
        envelope: vec![0],
    };
    let asked = [
        (client_frame::Body::ClaimPrekeys(claim), "hands out prekeys of"),
        (client_frame::Body::Deliver(deliver), "takes envelopes for"),
    ];
    for (body, what) in asked {
        match connection.request(body).await {
            Ok(_) => doubts.push(format!("the relay {what} device {device}")),
            Err(error) if error.code() == ErrorCode::RelayNotFound => {}
            Err(error) if error.code() == ErrorCode::TokenRefused => {
                let doubt = format!("the relay takes old delivery tokens for device {device}");
                if !doubts.contains(&doubt) {
                    doubts.push(doubt);
                }
            }
            Err(error) if error.is_retryable() => return Err(error),
            Err(error) => {
                doubts.push(format!("the relay answers {} about device {device}", error.code().name()));
            }
        }
    }
    Ok(doubts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_wire::Timestamp;

    const MEMBER: MemberId = MemberId::new([1; 16]);
    const DEVICE: DeviceId = DeviceId::new([2; 16]);

    fn leaf(kind: LeafKind, commitment: u8) -> Leaf {
        let (member, device) = (*MEMBER.as_bytes(), *DEVICE.as_bytes());
        let (subject, object) = match kind {
            LeafKind::Credential => (device, member),
            _ => (member, [0; 16]),
        };
        let (time, issuer) = (Timestamp::default(), [3; 16]);
        Leaf { kind, time, subject, object, issuer, commitment: [commitment; 32] }
    }

    #[test]
    fn a_log_in_which_somebody_is_gone_raises_no_doubt_and_each_gap_raises_one_r_org_44() {
        let (device, end) = (leaf(LeafKind::Credential, 1), leaf(LeafKind::MemberRevoked, 2));
        let (listed, gone) = (leaf(LeafKind::Directory, 3), leaf(LeafKind::Directory, 4));
        let doubts = |leaves: &[Leaf]| log_doubts(leaves, &MEMBER, &[DEVICE], Some([4; 32])).len();
        assert_eq!(doubts(&[device, listed, end, gone]), 0);
        assert_eq!(doubts(&[listed, end, gone]), 1, "the device was never vouched for");
        assert_eq!(doubts(&[device, listed, gone]), 1, "no end");
        assert_eq!(doubts(&[device, listed, end]), 1, "the directory still names devices");
        assert_eq!(doubts(&[device, gone, end, listed]), 1, "and does so again");
        assert_eq!(doubts(&[device, end, device, gone]), 1, "a device after the end");
        assert_eq!(doubts(&[]), 3);
        assert_eq!(log_doubts(&[end], &MEMBER, &[], None), Vec::<String>::new(), "never enrolled");
    }
}
