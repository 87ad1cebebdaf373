//! Sets, slots and held deliveries in memory.

use alloc::vec::Vec;

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;

use super::{Body, MemoryStorage, length};
use crate::set_storage::{HeldDelivery, Room, SetRow, SetStorage, SlotRow};
use crate::storage::{DeliveryId, Mailbox, MailboxId, SetId, SlotId, StorageError};

impl MemoryStorage {
    /// Returns how many envelopes are kept that were multiplied, for a test to look at.
    #[must_use]
    pub fn multiplied(&self) -> usize {
        self.shared.rows.len()
    }

    /// Returns how many deliveries are held, for a test to look at.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.rows.len()
    }

    /// Counts a reference out, and drops the copy with the last one.
    pub(super) fn release(&mut self, body: &Body) {
        let Body::Shared(shared) = body else { return };
        let Some((envelope, readers)) = self.shared.get(shared).cloned() else { return };
        match readers.saturating_sub(1) {
            0 => self.shared.remove(shared),
            readers => self.shared.put(*shared, (envelope, readers)),
        }
    }

    pub(super) fn drop_held(&mut self, mailbox: &MailboxId) {
        let of_mailbox = |(_, held, _): &(SlotId, HeldDelivery, Timestamp)| held.mailbox == *mailbox;
        for (position, ()) in self.held.select(usize::MAX, |row| of_mailbox(row).then_some(())) {
            self.held.remove(&position);
        }
    }

    pub(super) fn expire_sets(&mut self, now: Timestamp, most: usize) -> Result<(), StorageError> {
        for (set, ()) in self.sets.select(most, |row| (row.expires <= now).then_some(())) {
            self.sets.remove(&set);
        }
        let gone = |(row, end): &(SlotRow, Timestamp)| {
            (*end <= now && row.envelope.is_some()).then_some((row.hash, *end))
        };
        for (slot, (hash, end)) in self.slots.select(most, gone) {
            self.slots.put(slot, (SlotRow { hash, envelope: None }, end));
        }
        for (position, ()) in self.held.select(most, |(_, _, end)| (*end <= now).then_some(())) {
            self.remove_held(position)?;
        }
        for (device, ()) in self.credentials.select(most, |(_, end)| (*end <= now).then_some(())) {
            self.credentials.remove(&device);
        }
        Ok(())
    }
}

impl SetStorage for MemoryStorage {
    fn multiply(
        &mut self,
        mailboxes: &[MailboxId],
        envelope: &[u8],
        expires: Timestamp,
        room: Room,
    ) -> Result<Vec<MailboxId>, StorageError> {
        let shared = self.shared.rows.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        let mut given = Vec::new();
        for mailbox in mailboxes {
            let Some(held) = self.mailboxes.get(mailbox).copied() else { continue };
            let bytes = held.bytes.saturating_add(length(envelope.len()));
            let is_full = held.envelopes >= room.envelopes || bytes > room.bytes;
            if held.removed || held.expires.is_some() || is_full {
                continue;
            }
            let last_sequence = held.last_sequence.saturating_add(1);
            let envelopes = held.envelopes.saturating_add(1);
            self.mailboxes.put(*mailbox, Mailbox { last_sequence, envelopes, bytes, ..held });
            self.envelopes.put((*mailbox, last_sequence), (Body::Shared(shared), expires));
            given.push(*mailbox);
        }
        if !given.is_empty() {
            self.shared.put(shared, (envelope.to_vec(), length(given.len())));
        }
        Ok(given)
    }

    fn set(&self, set: &SetId) -> Result<Option<SetRow>, StorageError> {
        Ok(self.sets.get(set).cloned())
    }

    fn put_set(&mut self, set: &SetId, row: &SetRow) -> Result<(), StorageError> {
        self.sets.put(*set, row.clone());
        Ok(())
    }

    fn keep_set(&mut self, set: &SetId, expires: Timestamp) -> Result<(), StorageError> {
        if let Some(row) = self.sets.get(set).cloned() {
            self.sets.put(*set, SetRow { expires, ..row });
        }
        Ok(())
    }

    fn remove_set(&mut self, set: &SetId) -> Result<(), StorageError> {
        self.sets.remove(set);
        Ok(())
    }

    fn empty_places(&mut self, devices: &[DeviceId]) -> Result<(), StorageError> {
        let is_ended = |place: &MailboxId| devices.iter().any(|device| MailboxId::from(*device) == *place);
        let concerned = |row: &SetRow| row.mailboxes.iter().any(is_ended).then(|| row.clone());
        for (set, mut row) in self.sets.select(usize::MAX, concerned) {
            for place in row.mailboxes.iter_mut().filter(|place| is_ended(place)) {
                *place = SetRow::EMPTY;
            }
            self.sets.put(set, row);
        }
        Ok(())
    }

    fn slot(&self, slot: &SlotId) -> Result<Option<SlotRow>, StorageError> {
        Ok(self.slots.get(slot).map(|(row, _)| row.clone()))
    }

    fn take_slot(
        &mut self,
        slot: &SlotId,
        hash: &[u8; 32],
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        self.slots.put(*slot, (SlotRow { hash: *hash, envelope: Some(envelope.to_vec()) }, expires));
        Ok(())
    }

    fn hold(
        &mut self,
        slot: &SlotId,
        delivery: &HeldDelivery,
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        let held = self.mailboxes.get(&delivery.mailbox).copied().ok_or(StorageError::Io)?;
        let envelopes = held.envelopes.saturating_add(1);
        let bytes = held.bytes.saturating_add(length(delivery.envelope.len()));
        self.mailboxes.put(delivery.mailbox, Mailbox { envelopes, bytes, ..held });
        let position = self.held.rows.last_key_value().map_or(1, |(last, _)| last.saturating_add(1));
        self.held.put(position, (*slot, HeldDelivery { position, ..delivery.clone() }, expires));
        Ok(())
    }

    fn is_held(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError> {
        let mut held = self.held.rows.values();
        Ok(held.any(|(_, held, _)| held.mailbox == *mailbox && held.delivery == *delivery))
    }

    fn next_held(&self, slot: &SlotId, after: u64) -> Result<Option<HeldDelivery>, StorageError> {
        let mut later = self.held.rows.range(after.saturating_add(1)..);
        Ok(later.find(|(_, (of, _, _))| of == slot).map(|(_, (_, held, _))| held.clone()))
    }

    fn remove_held(&mut self, position: u64) -> Result<(), StorageError> {
        if let Some((_, held, _)) = self.held.get(&position).cloned() {
            self.held.remove(&position);
            self.count_out(&held.mailbox, held.envelope.len());
        }
        Ok(())
    }

    fn keep_credential(
        &mut self,
        device: &DeviceId,
        credential: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        self.credentials.put(*device, (credential.to_vec(), expires));
        Ok(())
    }

    fn kept_credential(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.credentials.get(device).map(|(credential, _)| credential.clone()))
    }
}
