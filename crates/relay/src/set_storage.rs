//! What the relay keeps of sets, slots and held deliveries, as a trait: rows in, rows out, no decisions.

use alloc::vec::Vec;

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;

use crate::storage::{DeliveryId, MailboxId, SetId, SlotId, StorageError};

/// A set as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetRow {
    /// SHA-256 of its key.
    pub key: [u8; 32],
    /// The mailboxes in the order of the slots, [`SetRow::EMPTY`] for an empty one.
    pub mailboxes: Vec<MailboxId>,
    /// When it ends, unless it is used.
    pub expires: Timestamp,
}

impl SetRow {
    /// What stands in an empty slot of a set.
    pub const EMPTY: MailboxId = MailboxId::new([0; 16]);
}

/// A slot that is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRow {
    /// SHA-256 of what was put into it; stays for ever.
    pub hash: [u8; 32],
    /// What was put into it, as long as it is kept.
    pub envelope: Option<Vec<u8>>,
}

/// A delivery that waits for a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldDelivery {
    /// Its place among those that wait; later ones have higher numbers.
    pub position: u64,
    /// What the slot has to have in it, as a SHA-256.
    pub hash: [u8; 32],
    /// Who it is for.
    pub mailbox: MailboxId,
    /// The delivery's name.
    pub delivery: DeliveryId,
    /// What is delivered.
    pub envelope: Vec<u8>,
}

/// How much a mailbox may have in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Envelopes at most.
    pub envelopes: u64,
    /// Bytes at most.
    pub bytes: u64,
}

/// The part of a storage that groups need: sets, slots, held deliveries and credentials of devices that ended (R-RELAY-70 to
/// R-RELAY-76).
///
/// Everything said of [`crate::Storage`], of which this is a part, holds here too.
///
/// # Errors
///
/// Every method fails with [`StorageError`] alone: the caller rolls back and refuses what it was doing.
#[expect(clippy::missing_errors_doc, reason = "described once, at the trait")]
pub trait SetStorage {
    /// Stores an envelope once, and a reference to it in those of these mailboxes, each named once, that are a
    /// device's, not removed, and have room for it; returns them. The copy goes with the last reference. Each mailbox
    /// counts the whole envelope; the totals count it once, and [`crate::limits::REFERENCE_BYTES`] for each reference.
    fn multiply(
        &mut self,
        mailboxes: &[MailboxId],
        envelope: &[u8],
        expires: Timestamp,
        room: Room,
    ) -> Result<Vec<MailboxId>, StorageError>;

    /// Returns a set.
    fn set(&self, set: &SetId) -> Result<Option<SetRow>, StorageError>;
    /// Makes a set that is not there.
    fn put_set(&mut self, set: &SetId, row: &SetRow) -> Result<(), StorageError>;
    /// Gives a set another end.
    fn keep_set(&mut self, set: &SetId, expires: Timestamp) -> Result<(), StorageError>;
    /// Deletes a set, if it is there.
    fn remove_set(&mut self, set: &SetId) -> Result<(), StorageError>;
    /// Empties the places of these devices in all sets. May look at every set, so it is to be called once for many.
    fn empty_places(&mut self, devices: &[DeviceId]) -> Result<(), StorageError>;

    /// Returns a slot; `None` if nothing was ever put into it.
    fn slot(&self, slot: &SlotId) -> Result<Option<SlotRow>, StorageError>;
    /// Takes a slot that is empty. After `expires` the envelope may go; the hash stays.
    fn take_slot(
        &mut self,
        slot: &SlotId,
        hash: &[u8; 32],
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError>;

    /// Holds a delivery for a slot, behind all that are held, whatever its `position` says; its mailbox, which
    /// exists, counts it, and so do the totals.
    fn hold(
        &mut self,
        slot: &SlotId,
        delivery: &HeldDelivery,
        expires: Timestamp,
    ) -> Result<(), StorageError>;
    /// Whether a delivery is held, for whatever slot.
    fn is_held(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError>;
    /// Returns the first delivery after a position that is held for a slot.
    fn next_held(&self, slot: &SlotId, after: u64) -> Result<Option<HeldDelivery>, StorageError>;
    /// Deletes what is held at a position, if there is something, and counts it out.
    fn remove_held(&mut self, position: u64) -> Result<(), StorageError>;

    /// Keeps the credential of a device that ends, an encoded `Signed`, until `expires`.
    fn keep_credential(
        &mut self,
        device: &DeviceId,
        credential: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError>;
    /// Returns the credential that is kept of a device that ended.
    fn kept_credential(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError>;
}
