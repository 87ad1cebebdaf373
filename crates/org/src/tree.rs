//! The key tree: what a device holds of it, and how it follows a change of the directory key (R-ORG-34, R-ORG-36).
//!
//! ```text
//! level 22  the directory key of the epoch, above the root alone
//! level 21  root
//! level  4  one node for each member, 131,072 in all
//! level  0  one place for each device, 16 below a member
//! ```
//!
//! Node i of a level has the nodes 2i and 2i + 1 of the level below. A node exists while a device below it does.

use alloc::vec::Vec;

use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::kdf::derive;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::{NotAuthentic, label};
use chancery_identity::{DirectoryKey, DirectoryKeyUpdate, MAX_DEVICES, OrgId};

/// Level of the nodes that each stand for a member: 16 places below each, as many as a member may have devices.
pub(crate) const MEMBER_LEVEL: u32 = MAX_DEVICES.ilog2();
/// Level of the root. 17 levels above the members make 131,072 of them, more than a relay's directory has entries for.
pub(crate) const ROOT_LEVEL: u32 = MEMBER_LEVEL + 17;
/// Members that the tree has places for.
pub(crate) const MAX_PLACED_MEMBERS: u32 = 1 << (ROOT_LEVEL - MEMBER_LEVEL);
/// Keys from a place to the root.
pub(crate) const PATH_LEN: usize = ROOT_LEVEL as usize + 1;

/// A node of the tree, or with level 22 what is above the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) level: u32,
    pub(crate) index: u32,
}

impl Node {
    /// The directory key: above the root, which is its left child.
    pub(crate) const TOP: Self = Self { level: ROOT_LEVEL + 1, index: 0 };

    /// The node of a level that is above a place, or the place itself.
    pub(crate) const fn above(slot: u32, level: u32) -> Self {
        Self { level, index: slot >> level }
    }
}

/// Which child a key is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Left = 0,
    Right = 1,
}

/// One change of the directory key: whose, and to which epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) org: &'a OrgId,
    pub(crate) epoch: u64,
}

impl Change<'_> {
    /// What seals a node's new key for one of its children. An epoch never comes twice, so each seals once.
    fn key(&self, child: &Secret<32>, (node, side): (Node, Side)) -> OneTimeKey {
        let level = u8::try_from(node.level).unwrap_or(u8::MAX);
        let mut context = self.org.as_bytes().to_vec();
        context.extend_from_slice(&self.epoch.to_be_bytes());
        context.push(level);
        context.extend_from_slice(&node.index.to_be_bytes());
        context.push(side as u8);
        OneTimeKey::new(derive(label::KDF_KEY_TREE, &[], &[child.expose()], &context))
    }

    pub(crate) fn seal(&self, child: &Secret<32>, place: (Node, Side), key: &Secret<32>) -> Vec<u8> {
        self.key(child, place).seal(&[], key.expose())
    }

    pub(crate) fn open(
        &self,
        child: &Secret<32>,
        place: (Node, Side),
        sealed: &[u8],
    ) -> Result<Secret<32>, NotAuthentic> {
        Secret::from_slice(self.key(child, place).open(&[], sealed)?.expose()).ok_or(NotAuthentic)
    }
}

/// What a device holds: the directory key of an epoch, its place in the key tree, and the keys above it.
#[derive(Debug)]
pub struct DirectoryKeys {
    key: DirectoryKey,
    slot: u32,
    path: Vec<Secret<32>>,
}

impl DirectoryKeys {
    /// Puts keys together that were stored or sent: epoch and directory key (32 bytes), place and the 22 keys of 32 bytes
    /// from there to the root. `None` unless all of it has its length and its range.
    #[must_use]
    pub fn from_parts((epoch, key): (u64, &[u8]), (slot, path): (u32, &[u8])) -> Option<Self> {
        let (keys, rest) = path.as_chunks::<32>();
        if keys.len() != PATH_LEN || !rest.is_empty() || slot >> ROOT_LEVEL != 0 {
            return None;
        }
        let path = keys.iter().map(|key| Secret::from_slice(key)).collect::<Option<_>>()?;
        Some(Self { key: DirectoryKey::new(epoch, Secret::from_slice(key)?)?, slot, path })
    }

    pub(crate) const fn new(key: DirectoryKey, slot: u32, path: Vec<Secret<32>>) -> Self {
        Self { key, slot, path }
    }

    /// Returns the directory key of the epoch.
    #[must_use]
    pub const fn key(&self) -> &DirectoryKey {
        &self.key
    }

    /// Returns the device's place in the tree.
    #[must_use]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the keys from the place to the root, for the store and for enrolment answers: 704 bytes.
    #[must_use]
    pub fn path(&self) -> SecretBytes {
        let mut out = Vec::with_capacity(PATH_LEN.saturating_mul(32));
        self.path.iter().for_each(|key| out.extend_from_slice(key.expose()));
        SecretBytes::new(out)
    }

    /// Returns what the device holds after a change of the directory key (R-ORG-36).
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: the update is not that of the next epoch, or holds nothing for this device, which was removed
    /// then. Keep what is at hand.
    pub fn follow(&self, org: &OrgId, update: &DirectoryKeyUpdate) -> Result<Self, NotAuthentic> {
        if self.key.epoch().checked_add(1) != Some(update.epoch()) {
            return Err(NotAuthentic);
        }
        let change = Change { org, epoch: update.epoch() };
        let mut path: Vec<Secret<32>> = self.path.iter().map(copy).collect();
        let mut last = 0;
        for sealed in update.nodes() {
            let node = Node { level: sealed.level, index: sealed.index };
            if node.level > ROOT_LEVEL || node != Node::above(self.slot, node.level) {
                continue;
            }
            // From the bottom up, and none twice.
            if node.level <= last {
                return Err(NotAuthentic);
            }
            last = node.level;
            let below = Node::above(self.slot, node.level.saturating_sub(1));
            let (side, sealed) = match below.index % 2 {
                0 => (Side::Left, &sealed.for_left),
                _ => (Side::Right, &sealed.for_right),
            };
            let child = key_at(&path, below.level)?;
            let key = change.open(child, (node, side), sealed)?;
            *path.get_mut(node.level as usize).ok_or(NotAuthentic)? = key;
        }
        let root = key_at(&path, ROOT_LEVEL)?;
        let key = change.open(root, (Node::TOP, Side::Left), update.directory_key())?;
        let key = DirectoryKey::new(update.epoch(), key).ok_or(NotAuthentic)?;
        // It must give the key at hand, or entries of earlier epochs could no longer be read.
        let before = key.at(self.key.epoch()).ok_or(NotAuthentic)?;
        if !before.secret().ct_eq(self.key.secret().expose()) {
            return Err(NotAuthentic);
        }
        Ok(Self { key, slot: self.slot, path })
    }
}

fn key_at(path: &[Secret<32>], level: u32) -> Result<&Secret<32>, NotAuthentic> {
    path.get(level as usize).ok_or(NotAuthentic)
}

pub(crate) fn copy(key: &Secret<32>) -> Secret<32> {
    Secret::init_with(|own| own.copy_from_slice(key.expose()))
}
