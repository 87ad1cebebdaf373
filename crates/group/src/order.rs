//! Orders: what an issuer wants done in a group whose keys it does not have, and leaving (R-GROUP-9).

use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::SigningKey;
use chancery_identity::{Credential, DeviceId, DeviceKeys, IssuerId, MemberId};
use chancery_wire::{Limit, decode, encode, proto};
use proto::group_ordered::Change;

use crate::limit::MAX_ORDER_SPAN;
use crate::{Entry, GroupError, LogView, Role, Roster, Rows as _};

/// An order that holds for a group as the log has it up to some entry.
#[derive(Debug, Clone)]
pub struct GroupOrder {
    hash: [u8; 32],
    by_issuer: bool,
    epoch: u64,
    expires: u64,
    changes: Vec<Change>,
}

impl GroupOrder {
    /// Verifies an order for a group with this roster, in an epoch, as the first `size` entries of the log have it.
    ///
    /// # Errors
    ///
    /// [`GroupError::OrderInvalid`], [`GroupError::NotAuthentic`] or [`GroupError::NotAMember`]: drop it.
    /// [`GroupError::NeedCredential`]: get it, then try again.
    pub fn verify(
        signed: &proto::Signed,
        (group_id, epoch): (&[u8; 16], u64),
        roster: &Roster<'_>,
        log: &dyn LogView,
        size: u64,
    ) -> Result<Self, GroupError> {
        let body = decode::<proto::GroupOrderBody>(&signed.body, Limit::STATEMENT);
        let body = body.map_err(|_| GroupError::Malformed)?.into_unchecked();
        if body.group_id != group_id || body.org_id != log.org_id().as_bytes() {
            return Err(GroupError::OtherGroup);
        }
        let now = log.time(size).ok_or(GroupError::LogTooShort)?.as_millis();
        if body.expires <= now
            || body.expires > now.saturating_add(MAX_ORDER_SPAN)
            || body.epoch > epoch
            || body.changes.is_empty()
        {
            return Err(GroupError::OrderInvalid);
        }
        let changes: Option<Vec<Change>> = body.changes.into_iter().map(|it| it.change).collect();
        let changes = changes.ok_or(GroupError::Malformed)?;
        let by_issuer = body.device_id.is_empty();
        let key = if by_issuer {
            let issuer = IssuerId::from_bytes(&body.issuer_id).ok_or(GroupError::Malformed)?;
            log.groups_issuer(&issuer, size).ok_or(GroupError::NotAllowed)?
        } else {
            let device = DeviceId::from_bytes(&body.device_id).ok_or(GroupError::Malformed)?;
            let entry = roster.slot_of(&device)?.map(|slot| roster.get(slot)).transpose()?.flatten();
            let entry = entry.ok_or(GroupError::NotAMember)?;
            // Leaving and nothing else; and never for a time after a later return.
            let leaves =
                matches!(changes.as_slice(), [Change::Remove(member)] if *member == entry.member.as_bytes());
            if !body.issuer_id.is_empty() || !leaves || body.epoch == 0 {
                return Err(GroupError::NotAllowed);
            }
            // Who has ended orders nothing: nobody waits for a credential that the relay may not have any more.
            if log.is_ended(&device, &entry.member, size) {
                return Err(GroupError::NotAMember);
            }
            let credential = log.credential(&device).ok_or(GroupError::NeedCredential(device))?;
            if credential.hash() != entry.credential {
                return Err(GroupError::NotAMember);
            }
            credential.signing_key().clone()
        };
        let verified = key.verify(label::SIGN_GROUP_ORDER, &signed.body, &signed.signature);
        verified.map_err(|_| GroupError::NotAuthentic)?;
        let hash = hash(label::HASH_GROUP_ORDER, &[&signed.body]);
        Ok(Self { hash, by_issuer, epoch: body.epoch, expires: body.expires, changes })
    }

    /// Returns hash and end of an order that must not be carried out twice; `None` for leaving, which cannot be.
    pub(crate) const fn to_note(&self) -> Option<([u8; 32], u64)> {
        if self.by_issuer { Some((self.hash, self.expires)) } else { None }
    }

    /// Whether it orders nothing but removals, which anybody may commit.
    pub(crate) fn removes_alone(&self) -> bool {
        self.changes.iter().all(|change| matches!(change, Change::Remove(_)))
    }

    /// Whether what it orders beside removals is as it orders it.
    pub(crate) fn is_carried_out(&self, roster: &Roster<'_>) -> Result<bool, GroupError> {
        for change in &self.changes {
            let done = match change {
                Change::Remove(_) => true,
                Change::Add(add) => {
                    let device = DeviceId::from_bytes(&add.device_id).ok_or(GroupError::Malformed)?;
                    let entry = roster.slot_of(&device)?.map(|slot| roster.get(slot)).transpose()?.flatten();
                    entry.is_some_and(|entry| entry.to_add() == *add)
                }
                Change::SetRole(set) => {
                    let member = MemberId::from_bytes(&set.member_id).ok_or(GroupError::Malformed)?;
                    roster.role_of(&member)?.is_some_and(|role| u32::from(role.number()) == set.role)
                }
                Change::SetInfo(info) => roster.info() == info,
            };
            if !done {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether it was carried out, by what the roster remembers: then it is not carried out again.
    #[must_use]
    pub fn is_noted(&self, roster: &Roster<'_>) -> bool {
        self.by_issuer && roster.has_order(&self.hash)
    }

    /// Whether the group is as it orders already.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the roster cannot be read; [`GroupError::Malformed`]: drop it.
    pub fn is_fulfilled(&self, roster: &Roster<'_>) -> Result<bool, GroupError> {
        for member in self.removed() {
            for slot in roster.slots_of(&member)? {
                if roster.get(slot)?.is_some_and(|entry| self.covers_removal(&entry)) {
                    return Ok(false);
                }
            }
        }
        self.is_carried_out(roster)
    }

    /// Whether it orders that this entry go: whoever came after it was made stays.
    #[must_use]
    pub fn covers_removal(&self, entry: &Entry) -> bool {
        let holds = self.epoch == 0 || entry.added <= self.epoch;
        holds && self.removed().any(|member| member == entry.member)
    }

    pub(crate) fn covers_add(&self, entry: &Entry) -> bool {
        let add = entry.to_add();
        self.changes.iter().any(|change| matches!(change, Change::Add(named) if *named == add))
    }

    pub(crate) fn covers_role(&self, member: &MemberId, role: Role) -> bool {
        self.changes.iter().any(|change| {
            matches!(change, Change::SetRole(named)
                if named.member_id == member.as_bytes() && named.role == u32::from(role.number()))
        })
    }

    pub(crate) fn covers_info(&self, info: &[u8]) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::SetInfo(named) if named == info))
    }

    /// Returns the members whose removal it orders.
    pub(crate) fn removed(&self) -> impl Iterator<Item = MemberId> + '_ {
        self.changes.iter().filter_map(|change| match change {
            Change::Remove(member) => MemberId::from_bytes(member),
            _ => None,
        })
    }

    /// Returns what it orders, in order.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

/// Signs an order with the key of an issuer with GROUPS, or of a device that leaves. Nothing is checked.
pub fn sign_order(key: &SigningKey, body: &proto::GroupOrderBody, rng: &mut dyn CryptoRng) -> proto::Signed {
    let body = encode(body);
    let signature = key.sign(label::SIGN_GROUP_ORDER, &body, rng);
    proto::Signed { body, signature }
}

/// Orders that all devices of the member who has this device leave a group; `epoch` is the one that it is in.
///
/// # Errors
///
/// [`GroupError::LogTooShort`] if the log has no entry.
pub fn leave(
    (keys, credential): (&DeviceKeys, &Credential),
    (group_id, epoch): (&[u8; 16], u64),
    log: &dyn LogView,
    rng: &mut dyn CryptoRng,
) -> Result<proto::Signed, GroupError> {
    let now = log.time(log.size()).ok_or(GroupError::LogTooShort)?.as_millis();
    let change = Change::Remove(credential.member_id().as_bytes().to_vec());
    let body = proto::GroupOrderBody {
        org_id: log.org_id().as_bytes().to_vec(),
        issuer_id: Vec::new(),
        device_id: credential.device_id().as_bytes().to_vec(),
        group_id: group_id.to_vec(),
        epoch,
        expires: now.saturating_add(MAX_ORDER_SPAN),
        changes: Vec::from([proto::GroupOrdered { change: Some(change) }]),
    };
    Ok(sign_order(&keys.signing, &body, rng))
}
