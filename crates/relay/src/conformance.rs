//! What every [`Storage`] must do, as a check that any implementation can be put through.

use alloc::vec::Vec;

use chancery_crypto::secret::Secret;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;

use crate::storage::NewEntry;
use crate::storage::{
    BlobId, BlobState, DeliveryId, EntryId, LogEntry, MailboxId, PrekeyBatch, PrekeyPair, Storage,
    StorageError, Totals,
};

mod sets;

/// What a storage does not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A law does not hold; it is named.
    #[error("the storage breaks a law: {0}")]
    Law(&'static str),
    /// The storage gave up.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Puts an empty storage through everything that the relay relies on; it is not empty afterwards.
///
/// # Errors
///
/// [`Failure`]: the storage must not be used.
///
/// ```
/// use chancery_relay::{conformance, memory::MemoryStorage};
///
/// assert_eq!(conformance::check(&mut MemoryStorage::new()), Ok(()));
/// ```
pub fn check(storage: &mut dyn Storage) -> Result<(), Failure> {
    mailboxes(storage)?;
    rollback(storage)?;
    prekeys(storage)?;
    blobs(storage)?;
    directory(storage)?;
    delivery_key(storage)?;
    log(storage)?;
    confirmations(storage)?;
    sets::check(storage)?;
    expiry(storage)
}

fn confirmations(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (one, two) = (DeviceId::new([1; 16]), DeviceId::new([2; 16]));
    storage.begin()?;
    storage.put_end_confirmation(&one, b"one")?;
    storage.commit()?;
    storage.begin()?;
    storage.put_end_confirmation(&two, b"two")?;
    storage.rollback();
    law(storage.end_confirmation(&one)?.as_deref() == Some(b"one"), "a confirmation comes back as it was")?;
    law(storage.end_confirmation(&two)?.is_none(), "and one that was not committed does not")
}

fn law(holds: bool, name: &'static str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(Failure::Law(name)) }
}

fn mailboxes(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, b) = (MailboxId::new([1; 16]), MailboxId::new([2; 16]));
    storage.begin()?;
    law(storage.mailbox(&a)?.is_none(), "an empty storage has no mailbox")?;
    storage.create_mailbox(&a, 7, None)?;
    storage.create_mailbox(&b, 0, None)?;
    law(storage.append(&a, b"one", LATE)? == 8, "sequences go on after the start")?;
    law(storage.append(&a, b"three", LATE)? == 9, "sequences rise by one")?;
    law(storage.append(&b, b"other", LATE)? == 1, "mailboxes count on their own")?;
    storage.commit()?;
    storage.begin()?;
    law(storage.next_envelope(&a, 0)? == Some((8, b"one".to_vec())), "the oldest comes first")?;
    law(storage.next_envelope(&a, 8)? == Some((9, b"three".to_vec())), "then the next")?;
    law(storage.next_envelope(&a, 9)?.is_none(), "mailboxes do not run into each other")?;
    storage.remove_envelope(&b, 8)?;
    storage.remove_envelope(&a, 9)?;
    storage.remove_envelope(&a, 9)?;
    let held = storage.mailbox(&a)?.map(|mailbox| (mailbox.last_sequence, mailbox.envelopes, mailbox.bytes));
    law(held == Some((9, 1, 3)), "removing counts down once and keeps the newest sequence")?;
    storage.create_mailbox(&a, 0, None)?;
    law(storage.append(&a, b"x", LATE)? == 10, "a sequence is not used again, nor by making it anew")?;
    let (x, y) = (DeliveryId::new([1; 16]), DeliveryId::new([2; 16]));
    storage.note_delivery(&a, &x, LATE, MANY)?;
    let noted = (storage.has_delivery(&a, &x)?, storage.has_delivery(&a, &y)?, storage.has_delivery(&b, &x)?);
    law(noted == (true, false, false), "a delivery is noted for its mailbox")?;
    let totals = storage.totals()?;
    law((totals.mailboxes, totals.envelope_bytes) == (2, 9), "mailboxes and their bytes are counted")?;
    storage.commit()?;
    deliveries(storage)
}

fn deliveries(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, b) = (MailboxId::new([1; 16]), MailboxId::new([2; 16]));
    let id = |n| DeliveryId::new([n; 16]);
    storage.begin()?;
    // In an order that is not that of their names.
    for (n, end) in [(9, 1), (4, 2), (7, 3), (5, 4)] {
        let mailbox = if n == 4 { &b } else { &a };
        storage.note_delivery(mailbox, &id(n), Timestamp::from_millis(end), 3)?;
    }
    let left = (storage.has_delivery(&a, &id(7))?, storage.has_delivery(&a, &id(1))?);
    law(left == (true, true) && storage.has_delivery(&a, &id(5))?, "deliveries that end later stay noted")?;
    law(!storage.has_delivery(&b, &id(4))?, "then the next, whichever mailbox it was for")?;
    law(!storage.has_delivery(&a, &id(9))?, "what ends first goes when there are too many")?;
    law(storage.totals()?.deliveries == 3, "deliveries are counted")?;
    storage.rollback();
    law(storage.totals()?.deliveries == 1, "a rollback takes them back")
}

fn rollback(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, c) = (MailboxId::new([1; 16]), MailboxId::new([3; 16]));
    let (before, totals) = (storage.mailbox(&a)?, storage.totals()?);
    storage.begin()?;
    storage.create_mailbox(&c, 0, None)?;
    storage.append(&a, b"gone", LATE)?;
    storage.note_delivery(&a, &DeliveryId::new([9; 16]), LATE, MANY)?;
    storage.append_blob(&BlobId::new([9; 16]), b"gone", LATE)?;
    storage.put_directory_entry(&EntryId::new([9; 16]), &entry(1, b"gone", None), 0)?;
    storage.rollback();
    law(storage.mailbox(&a)? == before, "a rollback takes an envelope back")?;
    law(storage.mailbox(&c)?.is_none(), "a rollback takes a mailbox back")?;
    law(!storage.has_delivery(&a, &DeliveryId::new([9; 16]))?, "a rollback takes a delivery back")?;
    law(storage.blob(&BlobId::new([9; 16]))?.is_none(), "a rollback takes a blob back")?;
    law(storage.totals()? == totals, "a rollback takes what was counted back")?;
    law(storage.directory_sequence()? == 0, "a rollback takes a directory entry back")?;
    storage.rollback();
    Ok(())
}

fn prekeys(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, b) = (DeviceId::new([1; 16]), DeviceId::new([2; 16]));
    let batch = |sequence| PrekeyBatch {
        credential: b"credential".to_vec(),
        batch: b"batch".to_vec(),
        sequence,
        expires: LATE,
        signed: b"signed".to_vec(),
        last_resort: b"last resort".to_vec(),
    };
    let pair = |n: u8| PrekeyPair { curve: [n].to_vec(), kem: [n, n].to_vec() };
    storage.begin()?;
    law(storage.prekey_batch(&a)?.is_none(), "an empty storage has no prekeys")?;
    storage.put_prekeys(&a, &batch(1), &[pair(1), pair(2)])?;
    storage.put_prekeys(&b, &batch(1), &[pair(7)])?;
    storage.commit()?;
    storage.begin()?;
    law(storage.prekey_batch(&a)? == Some(batch(1)), "a batch comes back as it was")?;
    law(storage.take_prekey_pair(&a)? == Some(pair(1)), "pairs go in order")?;
    storage.rollback();
    storage.begin()?;
    law(storage.take_prekey_pair(&a)? == Some(pair(1)), "a rollback takes a claim back")?;
    law(storage.prekey_pairs(&a)? == 1, "pairs that are left are counted")?;
    law(storage.take_prekey_pair(&a)? == Some(pair(2)), "a pair is not handed out twice")?;
    law(storage.take_prekey_pair(&a)?.is_none() && storage.prekey_pairs(&a)? == 0, "pairs run out")?;
    storage.put_prekeys(&a, &batch(2), &[pair(3)])?;
    storage.put_prekeys(&a, &batch(3), &[pair(4)])?;
    law(storage.prekey_batch(&a)? == Some(batch(3)), "a batch replaces the one before")?;
    law(storage.take_prekey_pair(&a)? == Some(pair(4)), "and its pairs those before")?;
    law(storage.take_prekey_pair(&a)?.is_none(), "all of them")?;
    law(storage.take_prekey_pair(&b)? == Some(pair(7)), "and no other device's")?;
    storage.commit()?;
    removal(storage, &batch(4), &pair(5))
}

fn removal(storage: &mut dyn Storage, batch: &PrekeyBatch, pair: &PrekeyPair) -> Result<(), Failure> {
    let (gone, stays) = (DeviceId::new([0xA1; 16]), DeviceId::new([0xA2; 16]));
    let (mailbox, other) = (MailboxId::from(gone), MailboxId::from(stays));
    storage.begin()?;
    let before = storage.totals()?;
    for device in [gone, stays] {
        storage.create_mailbox(&device.into(), 7, None)?;
        storage.append(&device.into(), b"envelope", LATE)?;
        storage.put_prekeys(&device, batch, core::slice::from_ref(pair))?;
    }
    storage.remove_device(&gone)?;
    storage.remove_device(&gone)?;
    storage.remove_device(&DeviceId::new([0xA3; 16]))?;
    let held = storage.mailbox(&mailbox)?.map(|held| (held.removed, held.last_sequence, held.envelopes));
    law(held == Some((true, 8, 0)), "a removed device's mailbox stays, marked and empty")?;
    law(storage.next_envelope(&mailbox, 0)?.is_none(), "its envelopes are deleted")?;
    law(storage.prekey_batch(&gone)?.is_none() && storage.prekey_pairs(&gone)? == 0, "and its prekeys")?;
    storage.create_mailbox(&mailbox, 0, None)?;
    law(storage.mailbox(&mailbox)?.is_some_and(|held| held.removed), "for ever")?;
    law(storage.mailbox(&MailboxId::new([0xA3; 16]))?.is_some_and(|held| held.removed), "without one too")?;
    law(storage.mailbox(&other)?.is_some_and(|held| !held.removed && held.envelopes == 1), "no other's")?;
    law(storage.prekey_pairs(&stays)? == 1, "and no other's prekeys")?;
    let after = storage.totals()?;
    let grown = (before.mailboxes.saturating_add(3), before.envelope_bytes.saturating_add(8));
    law((after.mailboxes, after.envelope_bytes) == grown, "what was deleted is counted out")?;
    storage.rollback();
    law(storage.totals()? == before && storage.mailbox(&mailbox)?.is_none(), "a rollback takes it back")
}

fn blobs(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, b) = (BlobId::new([1; 16]), BlobId::new([2; 16]));
    let state = |length, complete| Some(BlobState { length, complete });
    storage.begin()?;
    law(storage.blob(&a)?.is_none(), "an empty storage has no blob")?;
    storage.append_blob(&a, b"hello ", LATE)?;
    storage.append_blob(&b, b"x", LATE)?;
    storage.append_blob(&a, b"world", LATE)?;
    law(storage.blob(&a)? == state(11, false), "parts add up")?;
    storage.commit()?;
    law(storage.totals()?.incomplete_blobs == 2, "incomplete blobs are counted")?;
    storage.begin()?;
    storage.append_blob(&a, b"gone", LATE)?;
    storage.rollback();
    law(storage.blob(&a)? == state(11, false), "a rollback takes a part back")?;
    storage.begin()?;
    storage.append_blob(&a, b"!", LATE)?;
    storage.complete_blob(&a, LATE)?;
    storage.complete_blob(&b, LATE)?;
    storage.commit()?;
    law(storage.blob(&a)? == state(12, true), "a blob is closed")?;
    law(storage.blob(&b)? == state(1, true), "and another")?;
    let totals = storage.totals()?;
    law((totals.blobs, totals.blob_bytes) == (2, 13), "blobs and their bytes are counted")?;
    law(totals.incomplete_blobs == 0, "a closed blob is incomplete no longer")?;
    law(storage.read_blob(&a, 0, 100)? == b"hello world!", "a blob reads back")?;
    law(storage.read_blob(&a, 4, 4)? == b"o wo", "in parts")?;
    law(storage.read_blob(&a, 12, 4)?.is_empty(), "and ends")
}

fn directory(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (a, b) = (EntryId::new([1; 16]), EntryId::new([2; 16]));
    storage.begin()?;
    storage.put_directory_entry(&a, &entry(1, b"a1", None), 0)?;
    storage.put_directory_entry(&b, &entry(1, b"b1", None), 0)?;
    storage.put_directory_entry(&a, &entry(2, b"a2", None), 0)?;
    storage.put_directory_entry(&a, &entry(5, b"a5", None), 0)?;
    storage.commit()?;
    law(storage.totals()?.directory_entries == 2, "a version replaces the one before")?;
    let mut seen = Vec::new();
    let mut after = 0;
    while let Some(row) = storage.next_directory_entry(after, None)? {
        law(row.sequence > after, "changes rise")?;
        after = row.sequence;
        seen.push((row.entry_id, row.version, row.sealed));
    }
    law(storage.directory_sequence()? == after, "the newest change is known")?;
    law(
        seen == [(b, 1, b"b1".to_vec()), (a, 5, b"a5".to_vec())],
        "changes come in the order they were made",
    )?;
    law(storage.directory_entry(&a)?.is_some_and(|row| row.version == 5), "an entry is found by name")?;
    let (c, guest, other) = (EntryId::new([3; 16]), DeviceId::new([7; 16]), DeviceId::new([8; 16]));
    storage.begin()?;
    storage.put_directory_entry(&c, &entry(1, b"c1", Some(guest)), 0)?;
    storage.commit()?;
    law(storage.next_directory_entry(after, None)?.is_none(), "what a guest gets, members do not")?;
    let row = storage.next_directory_entry(0, Some(&guest))?;
    law(row.is_some_and(|row| row.entry_id == c && row.reader == Some(guest)), "a guest gets its own")?;
    law(storage.next_directory_entry(0, Some(&other))?.is_none(), "another guest does not")?;
    law(storage.directory_sequence()? > after, "it counts as a change")
}

const fn entry(version: u64, sealed: &[u8], reader: Option<DeviceId>) -> NewEntry<'_> {
    NewEntry { version, sealed, reader }
}

fn delivery_key(storage: &mut dyn Storage) -> Result<(), Failure> {
    let key = |epoch, byte| DeliveryKey::new(epoch, Secret::from_bytes([byte; 32]));
    let held = |storage: &dyn Storage| -> Result<_, Failure> {
        Ok(storage.delivery_key()?.map(|key| (key.epoch(), *key.secret().expose())))
    };
    law(held(storage)?.is_none(), "an empty storage has no delivery key")?;
    storage.begin()?;
    storage.put_delivery_key(&key(7, 1))?;
    storage.commit()?;
    law(held(storage)? == Some((7, [1; 32])), "a delivery key comes back as it was")?;
    storage.begin()?;
    storage.put_delivery_key(&key(8, 2))?;
    storage.rollback();
    law(held(storage)? == Some((7, [1; 32])), "a rollback brings the delivery key before back")?;
    storage.begin()?;
    storage.put_delivery_key(&key(9, 3))?;
    storage.commit()?;
    law(held(storage)? == Some((9, [3; 32])), "the newest delivery key takes the place of the one before")
}

fn log(storage: &mut dyn Storage) -> Result<(), Failure> {
    let entry = |kind, subject: u8, object: u8, content: Option<&[u8]>| {
        let leaf = Leaf {
            kind,
            time: LATE,
            subject: [subject; 16],
            object: [object; 16],
            issuer: [0; 16],
            commitment: [subject; 32],
        };
        let nodes = [subject; 32].to_vec();
        LogEntry { leaf: leaf.to_bytes(), content: content.map(<[u8]>::to_vec), nodes }
    };
    let (one, two) = (entry(LeafKind::Credential, 1, 9, None), entry(LeafKind::Credential, 2, 9, None));
    let end = entry(LeafKind::DeviceRevoked, 1, 9, Some(b"statement"));
    let nothing = storage.log_page(0, 1)?.is_empty() && storage.log_entry(0)?.is_none();
    law(nothing && storage.note()?.is_none(), "an empty storage has no log")?;
    storage.begin()?;
    storage.log_append(0, &one)?;
    storage.put_note("one")?;
    storage.commit()?;
    storage.begin()?;
    for (index, entry) in [(1, &two), (2, &end)] {
        storage.log_append(index, entry)?;
    }
    storage.put_note("three")?;
    storage.rollback();
    law(storage.log_page(0, 1_000)? == [one.clone()], "a rollback takes entries back")?;
    law(storage.note()?.as_deref() == Some("one"), "and the checkpoint")?;
    storage.begin()?;
    for (index, entry) in [(1, &two), (2, &end), (3, &two)] {
        storage.log_append(index, entry)?;
    }
    storage.put_note("four")?;
    storage.commit()?;
    law(storage.note()?.as_deref() == Some("four"), "the newest checkpoint is kept")?;
    law(storage.log_entry(2)? == Some(end.clone()), "an entry comes back as it was")?;
    law(storage.log_page(0, 91)? == [one, two.clone()], "a page ends after the entry that fills it")?;
    law(storage.log_page(2, 90)? == [end], "and counts contents")?;
    law(storage.log_page(3, 1_000)? == [two] && storage.log_page(4, 1)?.is_empty(), "the log ends")?;
    let about = |kind, subject| storage.log_about(kind, &[subject; 16]);
    let found = [about(LeafKind::Credential, 2)?, about(LeafKind::DeviceRevoked, 1)?];
    law(found == [Some(3), Some(2)], "the newest entry about a subject is found")?;
    law(about(LeafKind::DeviceRevoked, 2)?.is_none(), "under its kind only")?;
    let committed = storage.log_commitment(LeafKind::Credential, &[2; 32])?;
    law(committed == Some(1), "the first entry with a commitment is found")?;
    let other = storage.log_commitment(LeafKind::DeviceRevoked, &[2; 32])?;
    law(other.is_none(), "under its kind only, too")?;
    let devices = storage.log_devices(&MemberId::new([9; 16]))?;
    law(devices == [1, 2, 2].map(|n| DeviceId::new([n; 16])), "a member's devices are found")?;
    law(storage.log_devices(&MemberId::new([1; 16]))?.is_empty(), "and no other's")
}

fn expiry(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (device, reply, blob) = (MailboxId::new([5; 16]), MailboxId::new([6; 16]), BlobId::new([5; 16]));
    let (early, delivery) = (Timestamp::from_millis(1_000), DeliveryId::new([5; 16]));
    let before = storage.totals()?;
    storage.begin()?;
    storage.create_mailbox(&device, 0, None)?;
    storage.create_mailbox(&reply, 0, Some(early))?;
    storage.append(&device, b"early", early)?;
    storage.append(&device, b"late", LATE)?;
    storage.append(&reply, b"late", LATE)?;
    storage.note_delivery(&device, &delivery, early, MANY)?;
    storage.append_blob(&blob, b"early", early)?;
    storage.commit()?;
    let expire = |storage: &mut dyn Storage, millis| -> Result<(), Failure> {
        storage.begin()?;
        storage.expire(Timestamp::from_millis(millis), 100)?;
        Ok(storage.commit()?)
    };
    expire(storage, 999)?;
    law(storage.mailbox(&device)?.is_some_and(|mailbox| mailbox.envelopes == 2), "nothing ends too early")?;
    law(storage.mailbox(&reply)?.is_some() && storage.blob(&blob)?.is_some(), "nor do mailbox and blob")?;
    expire(storage, 1_000)?;
    let held =
        storage.mailbox(&device)?.map(|mailbox| (mailbox.last_sequence, mailbox.envelopes, mailbox.bytes));
    law(held == Some((2, 1, 4)), "an envelope ends and is counted out")?;
    law(!storage.has_delivery(&device, &delivery)?, "a delivery ends")?;
    law(storage.mailbox(&reply)?.is_none(), "a reply mailbox ends")?;
    law(storage.next_envelope(&reply, 0)?.is_none(), "with what is in it")?;
    law(storage.blob(&blob)?.is_none(), "a blob ends")?;
    let device = Totals {
        mailboxes: before.mailboxes.saturating_add(1),
        envelope_bytes: before.envelope_bytes.saturating_add(4),
        ..before
    };
    law(storage.totals()? == device, "what ended is counted out")
}

/// A number of deliveries that no check reaches.
const MANY: u64 = 1_000;
/// An end that no check reaches.
const LATE: Timestamp = Timestamp::from_millis(1 << 42);
