//! A storage in memory, with transactions and faults, for tests and simulations.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeBounds;

use chancery_crypto::secret::Secret;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;

use crate::limits::REFERENCE_BYTES;
use crate::set_storage::{HeldDelivery, SetRow, SlotRow};
use crate::storage::{
    BlobId, BlobState, DeliveryId, DirectoryRow, EntryId, LogEntry, Mailbox, MailboxId, NewEntry,
    PrekeyBatch, PrekeyPair, SetId, SlotId, Storage, StorageError, Totals, is_key_update,
};

mod sets;

/// Keeps everything in maps. It survives the relay that used it, which is how a simulation restarts one.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    mailboxes: Table<MailboxId, Mailbox>,
    envelopes: Table<(MailboxId, u64), (Body, Timestamp)>,
    /// Envelopes that were multiplied, and how many mailboxes have each.
    shared: Table<u64, (Vec<u8>, u64)>,
    sets: Table<SetId, SetRow>,
    slots: Table<SlotId, (SlotRow, Timestamp)>,
    held: Table<u64, (SlotId, HeldDelivery, Timestamp)>,
    credentials: Table<DeviceId, (Vec<u8>, Timestamp)>,
    deliveries: Table<(MailboxId, DeliveryId), Timestamp>,
    prekeys: Table<DeviceId, PrekeyBatch>,
    pairs: Table<(DeviceId, usize), PrekeyPair>,
    blobs: Table<BlobId, (BlobState, Timestamp)>,
    parts: Table<(BlobId, u64), Vec<u8>>,
    directory: Table<EntryId, DirectoryRow>,
    log: Table<u64, LogEntry>,
    note: Table<(), String>,
    delivery_key: Table<(), Arc<DeliveryKey>>,
    confirmations: Table<DeviceId, Vec<u8>>,
    failing_commits: u32,
    failure: Option<StorageError>,
}

/// An envelope in a mailbox.
#[derive(Debug, Clone)]
enum Body {
    Own(Vec<u8>),
    /// One of those that were multiplied.
    Shared(u64),
}

impl MemoryStorage {
    /// Makes an empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets the next `count` commits fail with `error`.
    pub fn fail_commits(&mut self, count: u32, error: StorageError) {
        self.failing_commits = count;
        self.failure = Some(error);
    }

    /// Forgets the delivery key, as a relay of an earlier version has none.
    pub fn forget_delivery_key(&mut self) {
        self.delivery_key = Table::default();
    }

    /// Returns the envelopes that a mailbox holds, oldest first, for a test to look at.
    pub fn envelopes(&self, mailbox: &MailboxId) -> impl Iterator<Item = &[u8]> {
        self.envelopes
            .rows
            .range((*mailbox, 0)..=(*mailbox, u64::MAX))
            .map(|(_, (body, _))| self.bytes_of(body))
    }

    fn bytes_of<'s>(&'s self, body: &'s Body) -> &'s [u8] {
        match body {
            Body::Own(envelope) => envelope,
            Body::Shared(shared) => self.shared.get(shared).map_or(&[], |(envelope, _)| envelope),
        }
    }

    /// Takes an envelope out of its mailbox.
    fn take_envelope(&mut self, key: (MailboxId, u64)) {
        let Some((body, _)) = self.envelopes.get(&key).cloned() else { return };
        self.count_out(&key.0, self.bytes_of(&body).len());
        self.envelopes.remove(&key);
        self.release(&body);
    }

    /// Takes everything out of a mailbox.
    fn empty_mailbox(&mut self, mailbox: &MailboxId) {
        let range = (*mailbox, 0)..=(*mailbox, u64::MAX);
        let keys: Vec<_> = self.envelopes.rows.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            self.take_envelope(key);
        }
        self.drop_held(mailbox);
    }

    /// Deletes what stands in the directory for one device.
    fn remove_entries_of(&mut self, device: &DeviceId) -> Result<(), StorageError> {
        let newest = self.directory_sequence()?;
        let rows = self.directory.rows.iter();
        let theirs = rows.filter(|(_, row)| row.reader.as_ref() == Some(device));
        for entry in theirs.map(|(entry, _)| *entry).collect::<Vec<_>>() {
            self.directory.remove(&entry);
        }
        if let Some(mut row) = self.directory.rows.values().max_by_key(|row| row.sequence).cloned() {
            row.sequence = newest;
            self.directory.put(row.entry_id, row);
        }
        Ok(())
    }

    /// Ends the transaction in every table.
    fn end_transaction(&mut self, end: End) {
        self.mailboxes.end(end);
        self.envelopes.end(end);
        self.shared.end(end);
        self.sets.end(end);
        self.slots.end(end);
        self.held.end(end);
        self.credentials.end(end);
        self.deliveries.end(end);
        self.prekeys.end(end);
        self.pairs.end(end);
        self.blobs.end(end);
        self.parts.end(end);
        self.directory.end(end);
        self.log.end(end);
        self.note.end(end);
        self.delivery_key.end(end);
        self.confirmations.end(end);
    }

    fn held_bytes(&self) -> u64 {
        sum(self.held.rows.values().map(|(_, held, _)| length(held.envelope.len())))
    }

    fn envelope_bytes(&self) -> u64 {
        let own = self.envelopes.rows.values().map(|(body, _)| match body {
            Body::Own(envelope) => length(envelope.len()),
            Body::Shared(_) => REFERENCE_BYTES,
        });
        let shared = self.shared.rows.values().map(|(envelope, _)| length(envelope.len()));
        sum(own.chain(shared)).saturating_add(self.held_bytes())
    }

    fn leaves(&self, kind: LeafKind) -> impl Iterator<Item = (u64, Leaf)> {
        let leaves =
            self.log.rows.iter().filter_map(|(index, entry)| Some((*index, Leaf::from_bytes(&entry.leaf)?)));
        leaves.filter(move |(_, leaf)| leaf.kind == kind)
    }

    fn count_out(&mut self, mailbox: &MailboxId, len: usize) {
        if let Some(held) = self.mailboxes.get(mailbox).copied() {
            let bytes = held.bytes.saturating_sub(length(len));
            let envelopes = held.envelopes.saturating_sub(1);
            self.mailboxes.put(*mailbox, Mailbox { envelopes, bytes, ..held });
        }
    }
}

impl Storage for MemoryStorage {
    fn begin(&mut self) -> Result<(), StorageError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        if let (Some(left), Some(error)) = (self.failing_commits.checked_sub(1), self.failure) {
            self.failing_commits = left;
            return Err(error);
        }
        self.end_transaction(End::Commit);
        Ok(())
    }

    fn rollback(&mut self) {
        self.end_transaction(End::Rollback);
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        Ok(Totals {
            mailboxes: length(self.mailboxes.rows.len()),
            envelope_bytes: self.envelope_bytes(),
            deliveries: length(self.deliveries.rows.len()),
            blobs: length(self.blobs.rows.len()),
            incomplete_blobs: sum(self.blobs.rows.values().map(|(state, _)| u64::from(!state.complete))),
            blob_bytes: sum(self.blobs.rows.values().map(|(state, _)| state.length)),
            directory_entries: length(
                self.directory.rows.values().filter(|row| !is_key_update(&row.sealed)).count(),
            ),
            sets: length(self.sets.rows.len()),
            set_places: sum(self.sets.rows.values().map(|row| length(row.mailboxes.len()))),
            slots: length(self.slots.rows.len()),
            slot_bytes: sum(self
                .slots
                .rows
                .values()
                .map(|(row, _)| length(row.envelope.as_ref().map_or(0, Vec::len)))),
            held: length(self.held.rows.len()),
            held_bytes: self.held_bytes(),
        })
    }

    fn mailbox(&self, mailbox: &MailboxId) -> Result<Option<Mailbox>, StorageError> {
        Ok(self.mailboxes.get(mailbox).copied())
    }

    fn create_mailbox(
        &mut self,
        mailbox: &MailboxId,
        last_sequence: u64,
        expires: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let fresh = Mailbox { last_sequence, envelopes: 0, bytes: 0, expires, removed: false };
        let row = self.mailboxes.get(mailbox).map_or(fresh, |held| Mailbox { expires, ..*held });
        self.mailboxes.put(*mailbox, row);
        Ok(())
    }

    fn append(
        &mut self,
        mailbox: &MailboxId,
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<u64, StorageError> {
        let held = self.mailboxes.get(mailbox).copied().ok_or(StorageError::Io)?;
        let sequence = held.last_sequence.saturating_add(1);
        let row = Mailbox {
            last_sequence: sequence,
            envelopes: held.envelopes.saturating_add(1),
            bytes: held.bytes.saturating_add(length(envelope.len())),
            ..held
        };
        self.mailboxes.put(*mailbox, row);
        self.envelopes.put((*mailbox, sequence), (Body::Own(envelope.to_vec()), expires));
        Ok(sequence)
    }

    fn next_envelope(&self, mailbox: &MailboxId, after: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let from = (*mailbox, after.saturating_add(1));
        let next = self.envelopes.rows.range(from..=(*mailbox, u64::MAX)).next();
        Ok(next.map(|((_, sequence), (body, _))| (*sequence, self.bytes_of(body).to_vec())))
    }

    fn remove_envelope(&mut self, mailbox: &MailboxId, sequence: u64) -> Result<(), StorageError> {
        self.take_envelope((*mailbox, sequence));
        Ok(())
    }

    fn has_delivery(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError> {
        Ok(self.deliveries.get(&(*mailbox, *delivery)).is_some())
    }

    fn note_delivery(
        &mut self,
        mailbox: &MailboxId,
        delivery: &DeliveryId,
        expires: Timestamp,
        most: u64,
    ) -> Result<(), StorageError> {
        self.deliveries.put((*mailbox, *delivery), expires);
        while length(self.deliveries.rows.len()) > most {
            let first = self.deliveries.rows.iter().min_by_key(|(_, end)| **end).map(|(key, _)| *key);
            let Some(first) = first else { break };
            self.deliveries.remove(&first);
        }
        Ok(())
    }

    fn remove_device(&mut self, device: &DeviceId) -> Result<(), StorageError> {
        let mailbox = MailboxId::from(*device);
        let last_sequence = self.mailboxes.get(&mailbox).map_or(0, |held| held.last_sequence);
        let row = Mailbox { last_sequence, envelopes: 0, bytes: 0, expires: None, removed: true };
        self.empty_mailbox(&mailbox);
        self.mailboxes.put(mailbox, row);
        self.prekeys.remove(device);
        self.pairs.remove_range((*device, 0)..=(*device, usize::MAX));
        self.remove_entries_of(device)
    }

    fn put_prekeys(
        &mut self,
        device: &DeviceId,
        batch: &PrekeyBatch,
        pairs: &[PrekeyPair],
    ) -> Result<(), StorageError> {
        self.pairs.remove_range((*device, 0)..=(*device, usize::MAX));
        for (position, pair) in pairs.iter().enumerate() {
            self.pairs.put((*device, position), pair.clone());
        }
        self.prekeys.put(*device, batch.clone());
        Ok(())
    }

    fn prekey_batch(&self, device: &DeviceId) -> Result<Option<PrekeyBatch>, StorageError> {
        Ok(self.prekeys.get(device).cloned())
    }

    fn prekey_pairs(&self, device: &DeviceId) -> Result<u32, StorageError> {
        let pairs = self.pairs.rows.range((*device, 0)..=(*device, usize::MAX));
        Ok(u32::try_from(pairs.count()).unwrap_or(u32::MAX))
    }

    fn take_prekey_pair(&mut self, device: &DeviceId) -> Result<Option<PrekeyPair>, StorageError> {
        let range = (*device, 0)..=(*device, usize::MAX);
        let first = self.pairs.rows.range(range).next().map(|(key, pair)| (*key, pair.clone()));
        Ok(first.map(|(key, pair)| {
            self.pairs.remove(&key);
            pair
        }))
    }

    fn blob(&self, blob: &BlobId) -> Result<Option<BlobState>, StorageError> {
        Ok(self.blobs.get(blob).map(|(state, _)| *state))
    }

    fn append_blob(&mut self, blob: &BlobId, part: &[u8], expires: Timestamp) -> Result<(), StorageError> {
        let (state, expires) = self.blobs.get(blob).copied().unwrap_or((BlobState::default(), expires));
        if !part.is_empty() {
            self.parts.put((*blob, state.length), part.to_vec());
        }
        let length = state.length.saturating_add(length(part.len()));
        self.blobs.put(*blob, (BlobState { length, ..state }, expires));
        Ok(())
    }

    fn complete_blob(&mut self, blob: &BlobId, expires: Timestamp) -> Result<(), StorageError> {
        let (state, _) = self.blobs.get(blob).copied().ok_or(StorageError::Io)?;
        self.blobs.put(*blob, (BlobState { complete: true, ..state }, expires));
        Ok(())
    }

    fn read_blob(&self, blob: &BlobId, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let end = offset.saturating_add(self::length(length));
        let mut out = Vec::new();
        for ((_, start), part) in self.parts.rows.range((*blob, 0)..(*blob, end)) {
            let skip = usize::try_from(offset.saturating_sub(*start)).unwrap_or(usize::MAX);
            let left = length.saturating_sub(out.len());
            out.extend(part.iter().skip(skip).take(left));
        }
        Ok(out)
    }

    fn directory_entry(&self, entry: &EntryId) -> Result<Option<DirectoryRow>, StorageError> {
        Ok(self.directory.get(entry).cloned())
    }

    fn directory_sequence(&self) -> Result<u64, StorageError> {
        Ok(self.directory.rows.values().map(|row| row.sequence).max().unwrap_or(0))
    }

    fn put_directory_entry(
        &mut self,
        entry: &EntryId,
        new: &NewEntry<'_>,
        least: u64,
    ) -> Result<(), StorageError> {
        let NewEntry { version, sealed, reader } = *new;
        let sequence = self.directory_sequence()?.saturating_add(1).max(least);
        let row = DirectoryRow { entry_id: *entry, version, sealed: sealed.to_vec(), sequence, reader };
        self.directory.put(*entry, row);
        Ok(())
    }

    fn next_directory_entry(
        &self,
        after: u64,
        reader: Option<&DeviceId>,
    ) -> Result<Option<DirectoryRow>, StorageError> {
        let rows = self.directory.rows.values();
        let later = rows.filter(|row| row.sequence > after && row.reader.as_ref() == reader);
        Ok(later.min_by_key(|row| row.sequence).cloned())
    }

    fn log_append(&mut self, index: u64, entry: &LogEntry) -> Result<(), StorageError> {
        self.log.put(index, entry.clone());
        Ok(())
    }

    fn log_entry(&self, index: u64) -> Result<Option<LogEntry>, StorageError> {
        Ok(self.log.get(&index).cloned())
    }

    fn log_page(&self, from: u64, bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        let (mut page, mut held) = (Vec::new(), 0_usize);
        for (_, entry) in self.log.rows.range(from..) {
            if held >= bytes {
                break;
            }
            let content = entry.content.as_ref().map_or(0, Vec::len);
            held = held.saturating_add(Leaf::LEN).saturating_add(content);
            page.push(entry.clone());
        }
        Ok(page)
    }

    fn log_about(&self, kind: LeafKind, subject: &[u8; 16]) -> Result<Option<u64>, StorageError> {
        Ok(self.leaves(kind).filter(|(_, leaf)| leaf.subject == *subject).map(|(index, _)| index).last())
    }

    fn log_commitment(&self, kind: LeafKind, commitment: &[u8; 32]) -> Result<Option<u64>, StorageError> {
        Ok(self.leaves(kind).find(|(_, leaf)| leaf.commitment == *commitment).map(|(index, _)| index))
    }

    fn log_devices(&self, member: &MemberId) -> Result<Vec<DeviceId>, StorageError> {
        let of_member = self.leaves(LeafKind::Credential).filter(|(_, leaf)| leaf.member() == *member);
        Ok(of_member.map(|(_, leaf)| leaf.device()).collect())
    }

    fn delivery_key(&self) -> Result<Option<DeliveryKey>, StorageError> {
        Ok(self.delivery_key.get(&()).map(|held| copy(held)))
    }

    fn put_delivery_key(&mut self, key: &DeliveryKey) -> Result<(), StorageError> {
        self.delivery_key.put((), Arc::new(copy(key)));
        Ok(())
    }

    fn note(&self) -> Result<Option<String>, StorageError> {
        Ok(self.note.get(&()).cloned())
    }

    fn put_note(&mut self, note: &str) -> Result<(), StorageError> {
        self.note.put((), note.into());
        Ok(())
    }

    fn end_confirmation(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.confirmations.get(device).cloned())
    }

    fn put_end_confirmation(&mut self, device: &DeviceId, confirmation: &[u8]) -> Result<(), StorageError> {
        self.confirmations.put(*device, confirmation.to_vec());
        Ok(())
    }

    fn expire(&mut self, now: Timestamp, most: u32) -> Result<(), StorageError> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        for (key, ()) in self.envelopes.select(most, |(_, end)| (*end <= now).then_some(())) {
            self.take_envelope(key);
        }
        for (key, ()) in self.deliveries.select(most, |end| (*end <= now).then_some(())) {
            self.deliveries.remove(&key);
        }
        for (blob, ()) in self.blobs.select(most, |(_, end)| (*end <= now).then_some(())) {
            self.blobs.remove(&blob);
            self.parts.remove_range((blob, 0)..=(blob, u64::MAX));
        }
        let ended = |mailbox: &Mailbox| mailbox.expires.filter(|end| *end <= now).map(|_| ());
        for (mailbox, ()) in self.mailboxes.select(most, ended) {
            self.empty_mailbox(&mailbox);
            self.mailboxes.remove(&mailbox);
        }
        self.expire_sets(now, most)
    }
}

/// Rows, and what they were when the transaction began.
#[derive(Debug, Clone)]
struct Table<K, V> {
    rows: BTreeMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Commit,
    Rollback,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Copy, V> Table<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    fn put(&mut self, key: K, value: V) {
        let before = self.rows.insert(key, value);
        self.undo.push((key, before));
    }

    fn remove(&mut self, key: &K) {
        if let Some(before) = self.rows.remove(key) {
            self.undo.push((*key, Some(before)));
        }
    }

    fn remove_range(&mut self, range: impl RangeBounds<K>) {
        let keys: Vec<K> = self.rows.range(range).map(|(key, _)| *key).collect();
        for key in keys {
            self.remove(&key);
        }
    }

    /// Returns up to `most` rows of which `pick` makes something.
    fn select<T>(&self, most: usize, pick: impl Fn(&V) -> Option<T>) -> Vec<(K, T)> {
        self.rows.iter().filter_map(|(key, value)| Some((*key, pick(value)?))).take(most).collect()
    }

    fn end(&mut self, end: End) {
        let undo = core::mem::take(&mut self.undo);
        if matches!(end, End::Rollback) {
            for (key, before) in undo.into_iter().rev() {
                match before {
                    Some(value) => self.rows.insert(key, value),
                    None => self.rows.remove(&key),
                };
            }
        }
    }
}

fn copy(key: &DeliveryKey) -> DeliveryKey {
    DeliveryKey::new(key.epoch(), Secret::init_with(|own| own.copy_from_slice(key.secret().expose())))
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
