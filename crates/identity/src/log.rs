//! Entries of the organisation's log: small leaves, and the statements that they commit to.

use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::merkle::{self, Frontier, Hash};
use chancery_wire::{Timestamp, proto};

use crate::{DeviceId, IssuerId, LogError, MemberId};

/// What an entry of the log is about (R-LOG-2). The numbers are never given anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum LeafKind {
    /// A root names its successor.
    Root = 1,
    /// A root names an issuer.
    Issuer = 2,
    /// A root ends an issuer.
    IssuerRevoked = 3,
    /// An issuer vouches for a device. The credential itself is not shown.
    Credential = 4,
    /// An issuer ends a device.
    DeviceRevoked = 5,
    /// An issuer ends a member and every device of theirs.
    MemberRevoked = 6,
    /// An issuer sets the policy.
    Policy = 7,
    /// An issuer names who takes a group over.
    GroupSuccessor = 8,
    /// An issuer commits to a directory entry, which is not shown.
    Directory = 9,
    /// An issuer commits to an administrative act, which is not shown.
    Audit = 10,
    /// An issuer vouches for the desk's keys.
    Desk = 11,
    /// An issuer says where the relay is.
    Relay = 12,
}

impl LeafKind {
    /// Reads a kind's number; `None` for one that this version does not know.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Root,
            2 => Self::Issuer,
            3 => Self::IssuerRevoked,
            4 => Self::Credential,
            5 => Self::DeviceRevoked,
            6 => Self::MemberRevoked,
            7 => Self::Policy,
            8 => Self::GroupSuccessor,
            9 => Self::Directory,
            10 => Self::Audit,
            11 => Self::Desk,
            12 => Self::Relay,
            _ => return None,
        })
    }

    /// Returns the kind's number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether everybody has to know the statement itself, so that the log carries it beside the leaf.
    #[must_use]
    pub const fn is_shown(self) -> bool {
        !matches!(self, Self::Credential | Self::Directory | Self::Audit)
    }
}

/// An entry's leaf: 90 bytes, of which nothing tells a name, a handle or a group's content (R-LOG-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaf {
    /// What it is about.
    pub kind: LeafKind,
    /// The log's clock when the entry was appended; never below that of the entry before.
    pub time: Timestamp,
    /// Whom it is about: a device, a member, a group, or the first half of an issuer's identifier.
    pub subject: [u8; 16],
    /// The member of a device; zeros elsewhere.
    pub object: [u8; 16],
    /// First half of the identifier of the issuer who signed; zeros for a root.
    pub issuer: [u8; 16],
    /// Hash of the statement.
    pub commitment: [u8; 32],
}

impl Leaf {
    /// Length of an encoded leaf, in bytes.
    pub const LEN: usize = 90;
    const VERSION: u8 = 1;

    /// Returns the encoding (R-LOG-2).
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut out = [0; Self::LEN];
        let head = [Self::VERSION, self.kind.number()];
        let bytes = head
            .iter()
            .chain(&self.time.as_millis().to_be_bytes())
            .chain(&self.subject)
            .chain(&self.object)
            .chain(&self.issuer)
            .chain(&self.commitment)
            .copied()
            .collect::<Vec<u8>>();
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    /// Reads a leaf; `None` for another length, another version or a kind that is not known.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LEN] = bytes.try_into().ok()?;
        let (&[version, kind], rest) = bytes.split_first_chunk::<2>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let (subject, rest) = rest.split_first_chunk::<16>()?;
        let (object, rest) = rest.split_first_chunk::<16>()?;
        let (issuer, rest) = rest.split_first_chunk::<16>()?;
        if version != Self::VERSION {
            return None;
        }
        Some(Self {
            kind: LeafKind::from_number(kind.into())?,
            time: Timestamp::from_millis(u64::from_be_bytes(*time)),
            subject: *subject,
            object: *object,
            issuer: *issuer,
            commitment: rest.try_into().ok()?,
        })
    }

    /// Returns the hash that enters the tree (RFC 6962, section 2.1).
    #[must_use]
    pub fn hash(&self) -> Hash {
        merkle::leaf_hash(&self.to_bytes())
    }

    /// Returns the device of a leaf about one.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        DeviceId::new(self.subject)
    }

    /// Returns the member of a leaf about a device or a member.
    #[must_use]
    pub const fn member(&self) -> MemberId {
        match self.kind {
            LeafKind::Credential | LeafKind::DeviceRevoked => MemberId::new(self.object),
            _ => MemberId::new(self.subject),
        }
    }
}

/// How far a log has been replayed: the compact tree and the newest time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogHead {
    frontier: Frontier,
    time: Timestamp,
}

impl Default for LogHead {
    fn default() -> Self {
        Self { frontier: Frontier::new(), time: Timestamp::default() }
    }
}

impl LogHead {
    /// Adds the next leaf.
    ///
    /// # Errors
    ///
    /// [`LogError::OutOfOrder`] if its time is below that of the leaf before; nothing has changed (R-LOG-2).
    pub fn push(&mut self, leaf: &Leaf) -> Result<(), LogError> {
        if leaf.time < self.time {
            return Err(LogError::OutOfOrder);
        }
        self.time = leaf.time;
        self.frontier.push(leaf.hash());
        Ok(())
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Returns the root of their tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Returns the time of the newest leaf.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// Returns the audit path of the newest leaf.
    #[must_use]
    pub fn last_proof(&self) -> Vec<Hash> {
        self.frontier.last_proof()
    }

    /// Returns the state for a store: time (8, big-endian), then the tree.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.time.as_millis().to_be_bytes().as_slice(), &self.frontier.to_bytes()].concat()
    }

    /// Reads what [`Self::to_bytes`] gave; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, frontier) = bytes.split_first_chunk::<8>()?;
        let time = Timestamp::from_millis(u64::from_be_bytes(*time));
        Some(Self { frontier: Frontier::from_bytes(frontier)?, time })
    }
}

/// Returns what a leaf commits to a statement with (R-LOG-3): the hash of body and signature.
///
/// The signature is the salt: it holds fresh randomness and cannot be made without the issuer's key, so that
/// nobody confirms a guess at the body of a statement they have not been given.
#[must_use]
pub fn commitment(kind: LeafKind, statement: &proto::Signed) -> [u8; 32] {
    let label = match kind {
        LeafKind::Credential => label::HASH_CREDENTIAL,
        _ => label::HASH_LOG_STATEMENT,
    };
    hash(label, &[&statement.body, &statement.signature])
}

/// Returns the object of a leaf about a directory entry of this version (R-LOG-2).
#[must_use]
pub fn directory_object(version: u64) -> [u8; 16] {
    let mut object = [0; 16];
    object.iter_mut().zip(version.to_be_bytes()).for_each(|(to, from)| *to = from);
    object
}

/// Returns the first half of an issuer's identifier, by which leaves name it.
#[must_use]
pub fn short_issuer(id: &IssuerId) -> [u8; 16] {
    let mut short = [0; 16];
    short.iter_mut().zip(id.as_bytes()).for_each(|(to, from)| *to = *from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_survives_its_encoding_and_nothing_else_is_one_r_log_2() {
        let leaf = Leaf {
            kind: LeafKind::DeviceRevoked,
            time: Timestamp::from_millis(7),
            subject: [1; 16],
            object: [2; 16],
            issuer: [3; 16],
            commitment: [4; 32],
        };
        let bytes = leaf.to_bytes();
        assert_eq!(Leaf::from_bytes(&bytes), Some(leaf));
        assert!(bytes.len() <= 128);
        assert_eq!((leaf.device().as_bytes(), leaf.member().as_bytes()), (&[1; 16], &[2; 16]));
        for wrong in [&bytes[..89], &[&bytes[..], &[0]].concat()] {
            assert_eq!(Leaf::from_bytes(wrong), None);
        }
        for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 13)] {
            let mut other = bytes;
            other[at] = value;
            assert_eq!(Leaf::from_bytes(&other), None);
        }
    }
}
