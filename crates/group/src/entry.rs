//! One device of a roster (R-GROUP-1).

use chancery_crypto::hash::sha256;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto;

/// What a member may do in a group. All devices of a member have one role; a later one may do what an earlier one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Reads alone.
    Reader = 1,
    /// Reads, and writes unless only administrators may post.
    Member = 2,
    /// Adds, removes and promotes those below, and sets name and policy.
    Administrator = 3,
    /// Does everything.
    Owner = 4,
}

impl Role {
    /// Reads a role's number; `None` for one that is not known.
    #[must_use]
    pub const fn from_u32(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Reader,
            2 => Self::Member,
            3 => Self::Administrator,
            4 => Self::Owner,
            _ => return None,
        })
    }

    /// Returns the role's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether devices with this role hold all keys of the tree.
    #[must_use]
    pub const fn is_keyholder(self) -> bool {
        matches!(self, Self::Administrator | Self::Owner)
    }
}

/// A device in its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Whose device.
    pub member: MemberId,
    /// The device.
    pub device: DeviceId,
    /// Hash of its credential (R-ID-8).
    pub credential: [u8; 32],
    /// The Ed25519 key of its messages; believed once the credential was seen to have it.
    pub group_key: [u8; 32],
    /// The member's role.
    pub role: Role,
    /// Epoch in which it was added.
    pub added: u64,
}

impl Entry {
    /// Length of an encoded entry, in bytes.
    pub const LEN: usize = 105;

    /// Returns the encoding (R-GROUP-1).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let bytes = (self.member.as_bytes().iter())
            .chain(self.device.as_bytes())
            .chain(&self.credential)
            .chain(&self.group_key)
            .copied()
            .chain([self.role.number()])
            .chain(self.added.to_be_bytes());
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads an entry; `None` for another length or an unknown role.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (member, rest) = bytes.split_first_chunk::<16>()?;
        let (device, rest) = rest.split_first_chunk::<16>()?;
        let (credential, rest) = rest.split_first_chunk::<32>()?;
        let (group_key, rest) = rest.split_first_chunk::<32>()?;
        let (&[role], rest) = rest.split_first_chunk::<1>()?;
        Some(Self {
            member: MemberId::new(*member),
            device: DeviceId::new(*device),
            credential: *credential,
            group_key: *group_key,
            role: Role::from_u32(role.into())?,
            added: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// Returns the hash that enters the tree (R-GROUP-2).
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(&[&[0], &self.to_bytes()])
    }

    /// Reads what a commit of this epoch adds; `None` if a field has the wrong length or the role is not known.
    #[must_use]
    pub fn from_add(add: &proto::GroupAdd, epoch: u64) -> Option<Self> {
        Some(Self {
            member: MemberId::from_bytes(&add.member_id)?,
            device: DeviceId::from_bytes(&add.device_id)?,
            credential: add.credential_hash.as_slice().try_into().ok()?,
            group_key: add.group_key.as_slice().try_into().ok()?,
            role: Role::from_u32(add.role)?,
            added: epoch,
        })
    }

    /// Returns the change that adds this entry.
    #[must_use]
    pub fn to_add(&self) -> proto::GroupAdd {
        proto::GroupAdd {
            member_id: self.member.as_bytes().to_vec(),
            device_id: self.device.as_bytes().to_vec(),
            credential_hash: self.credential.to_vec(),
            group_key: self.group_key.to_vec(),
            role: self.role.number().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_encoding_and_nothing_else_is_one_r_group_1() {
        let entry = Entry {
            member: MemberId::new([1; 16]),
            device: DeviceId::new([2; 16]),
            credential: [3; 32],
            group_key: [4; 32],
            role: Role::Administrator,
            added: 0x0102_0304_0506_0708,
        };
        let bytes = entry.to_bytes();
        assert_eq!((bytes[0], bytes[16], bytes[32], bytes[64], bytes[96], bytes[104]), (1, 2, 3, 4, 3, 8));
        assert_eq!(Entry::from_bytes(&bytes), Some(entry));
        assert_eq!(Entry::from_add(&entry.to_add(), entry.added), Some(entry));
        assert_eq!(Entry::from_bytes(&bytes[..104]), None);
        for role in [0, 5] {
            let mut other = bytes;
            other[96] = role;
            assert_eq!(Entry::from_bytes(&other), None);
        }
    }
}
