//! What a device keeps of a group, by row, and how it changes.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_crypto::secret::Secret;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto;

use crate::{Node, Slot};

/// The rows could not be read: the store's failure, which the caller knows, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a row of the group cannot be read")]
pub struct RowError;

/// A group's record, the row that every operation reads.
pub type Head = proto::GroupRecord;

/// The rows of one group.
pub trait Rows {
    /// Returns the entry of a slot, 105 bytes (R-GROUP-1); `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`RowError`] if the row cannot be read.
    fn entry(&self, slot: Slot) -> Result<Option<[u8; 105]>, RowError>;

    /// Returns a node's hash (R-GROUP-2); zeros for one with nothing below.
    ///
    /// # Errors
    ///
    /// [`RowError`] if the row cannot be read.
    fn hash(&self, node: Node) -> Result<[u8; 32], RowError>;

    /// Returns a node's key (R-GROUP-10), if this device has it.
    ///
    /// # Errors
    ///
    /// [`RowError`] if the row cannot be read.
    fn key(&self, node: Node) -> Result<Option<Secret<32>>, RowError>;

    /// Returns the slots of a member's devices, in rising order; none if it is not in the group.
    ///
    /// # Errors
    ///
    /// [`RowError`] if the row cannot be read.
    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError>;

    /// Returns the slot of a device, if it is in the group.
    ///
    /// # Errors
    ///
    /// [`RowError`] if the row cannot be read.
    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError>;
}

/// What changes in a group's rows, all of it or nothing.
#[derive(Debug, Default)]
pub struct Changes {
    /// The record after.
    pub head: Head,
    /// Entries, and `None` for slots that become empty.
    pub entries: BTreeMap<Slot, Option<[u8; 105]>>,
    /// Hashes of nodes; zeros where nothing is left below.
    pub hashes: BTreeMap<Node, [u8; 32]>,
    /// Keys, and `None` for those that must be deleted.
    pub keys: BTreeMap<Node, Option<Secret<32>>>,
}

/// Rows in memory, for tests and measurements.
#[derive(Debug, Clone, Default)]
pub struct MemoryRows {
    /// The record.
    pub head: Head,
    entries: BTreeMap<Slot, [u8; 105]>,
    hashes: BTreeMap<Node, [u8; 32]>,
    keys: BTreeMap<Node, [u8; 32]>,
    members: BTreeMap<[u8; 16], Vec<Slot>>,
    devices: BTreeMap<[u8; 16], Slot>,
}

impl MemoryRows {
    /// Takes changes over.
    pub fn apply(&mut self, changes: Changes) {
        self.head = changes.head;
        for (slot, entry) in changes.entries {
            if let Some(old) = self.entries.remove(&slot) {
                let (member, device) = ids(&old);
                self.devices.remove(&device);
                if let Some(slots) = self.members.get_mut(&member) {
                    slots.retain(|other| *other != slot);
                }
            }
            if let Some(entry) = entry {
                let (member, device) = ids(&entry);
                self.devices.insert(device, slot);
                let slots = self.members.entry(member).or_default();
                slots.push(slot);
                slots.sort_unstable();
                self.entries.insert(slot, entry);
            }
        }
        for (node, hash) in changes.hashes {
            if hash == [0; 32] {
                self.hashes.remove(&node)
            } else {
                self.hashes.insert(node, hash)
            };
        }
        for (node, key) in changes.keys {
            match key {
                Some(key) => self.keys.insert(node, *key.expose()),
                None => self.keys.remove(&node),
            };
        }
    }
}

/// Member and device of an entry.
fn ids(entry: &[u8; 105]) -> ([u8; 16], [u8; 16]) {
    let (mut member, mut device) = ([0; 16], [0; 16]);
    member.iter_mut().zip(entry).for_each(|(to, from)| *to = *from);
    device.iter_mut().zip(entry.iter().skip(16)).for_each(|(to, from)| *to = *from);
    (member, device)
}

impl Rows for MemoryRows {
    fn entry(&self, slot: Slot) -> Result<Option<[u8; 105]>, RowError> {
        Ok(self.entries.get(&slot).copied())
    }

    fn hash(&self, node: Node) -> Result<[u8; 32], RowError> {
        Ok(self.hashes.get(&node).copied().unwrap_or_default())
    }

    fn key(&self, node: Node) -> Result<Option<Secret<32>>, RowError> {
        Ok(self.keys.get(&node).map(|key| Secret::from_bytes(*key)))
    }

    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError> {
        Ok(self.members.get(member.as_bytes()).cloned().unwrap_or_default())
    }

    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError> {
        Ok(self.devices.get(device.as_bytes()).copied())
    }
}
