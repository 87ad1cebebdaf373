//! What the relay keeps, as a trait: rows in, rows out, no decisions.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;

use crate::set_storage::SetStorage;

/// The largest number that is handed to a storage: 2^63 − 1, what databases can hold.
pub const MAX_NUMBER: u64 = i64::MAX as u64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name([u8; 16]);

        impl $name {
            /// Wraps the 16 bytes.
            #[must_use]
            pub const fn new(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// Reads a name; `None` unless it has exactly 16 bytes.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Returns the 16 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }
    };
}

name! {
    /// Names a mailbox: a device's identifier, or the reply mailbox of a device that enrols.
    MailboxId
}
name! {
    /// Names one delivery, so that repeating it stores nothing twice. Chosen at random by the sender.
    DeliveryId
}
name! {
    /// Names a blob. Chosen at random by the uploader.
    BlobId
}
name! {
    /// Names a directory entry. Chosen at random by the desk.
    EntryId
}

name! {
    /// Names a set of mailboxes. Chosen by who makes the set.
    SetId
}
name! {
    /// Names a slot that one envelope can be put into, once.
    SlotId
}

impl From<DeviceId> for MailboxId {
    fn from(device: DeviceId) -> Self {
        Self(*device.as_bytes())
    }
}

/// Why a storage cannot answer. Nothing of the transaction remains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk is full; the client is told to come back (R-RELAY-11).
    #[error("no space left for the relay's data")]
    Full,
    /// Reading or writing failed; see the shell's log.
    #[error("the relay's data cannot be read or written")]
    Io,
}

/// A mailbox without its envelopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mailbox {
    /// The sequence of the newest envelope that was ever stored; never falls.
    pub last_sequence: u64,
    /// Envelopes held.
    pub envelopes: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When a reply mailbox ends; `None` for a device's, which stays.
    pub expires: Option<Timestamp>,
    /// Whether its device was removed: it takes nothing any more.
    pub removed: bool,
}

/// How much there is of everything that is limited as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Mailboxes, those of removed devices included.
    pub mailboxes: u64,
    /// Bytes of all envelopes, held ones too; one that was multiplied counts once, and
    /// [`crate::limits::REFERENCE_BYTES`] for each mailbox that has it.
    pub envelope_bytes: u64,
    /// Deliveries noted.
    pub deliveries: u64,
    /// Blobs, complete or not.
    pub blobs: u64,
    /// Those of them that are not complete.
    pub incomplete_blobs: u64,
    /// Bytes of all blobs.
    pub blob_bytes: u64,
    /// Directory entries, without updates of the directory key ([`is_key_update`]).
    pub directory_entries: u64,
    /// Sets.
    pub sets: u64,
    /// Slots of all sets, also empty ones.
    pub set_places: u64,
    /// Slots that were ever taken.
    pub slots: u64,
    /// Bytes of what is kept in them.
    pub slot_bytes: u64,
    /// Deliveries held.
    pub held: u64,
    /// Bytes of their envelopes.
    pub held_bytes: u64,
}

/// A device's prekeys that are handed out any number of times, and what vouches for all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyBatch {
    /// The device's credential, an encoded `Signed`.
    pub credential: Vec<u8>,
    /// The signed batch, an encoded `Signed`.
    pub batch: Vec<u8>,
    /// The batch's sequence.
    pub sequence: u64,
    /// When it ends, by its own word.
    pub expires: Timestamp,
    /// The signed curve prekey, an encoded `Prekey` with its proof.
    pub signed: Vec<u8>,
    /// The last-resort KEM prekey, likewise.
    pub last_resort: Vec<u8>,
}

/// A curve and a KEM prekey for one handshake, each an encoded `Prekey` with its proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrekeyPair {
    /// The curve prekey.
    pub curve: Vec<u8>,
    /// The KEM prekey.
    pub kem: Vec<u8>,
}

/// How much of a blob is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BlobState {
    /// Bytes held.
    pub length: u64,
    /// Whether it is closed for ever.
    pub complete: bool,
}

/// A directory entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRow {
    /// Its name.
    pub entry_id: EntryId,
    /// Its version.
    pub version: u64,
    /// The ciphertext.
    pub sealed: Vec<u8>,
    /// The change that put it there: higher is later.
    pub sequence: u64,
    /// The guest's device that alone gets it; `None` for what members get.
    pub reader: Option<DeviceId>,
}

/// A directory entry to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEntry<'a> {
    /// Its version.
    pub version: u64,
    /// The ciphertext.
    pub sealed: &'a [u8],
    /// The guest's device that alone gets it; `None` for what members get.
    pub reader: Option<DeviceId>,
}

/// Whether a directory entry is an update of the directory key, as it says itself (R-ID-19): its first 8 bytes are zero.
#[must_use]
pub fn is_key_update(sealed: &[u8]) -> bool {
    sealed.first_chunk() == Some(&[0; 8])
}

/// An entry of the log as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The leaf, as R-LOG-2 lays it out; the storage finds entries by what is in it.
    pub leaf: [u8; Leaf::LEN],
    /// The statement, an encoded `Signed`, if the log shows it.
    pub content: Option<Vec<u8>>,
    /// Hashes of the subtrees that the entry completes, 32 bytes each, smallest first.
    pub nodes: Vec<u8>,
}

/// Where the relay keeps what it keeps (R-RELAY-10).
///
/// Everything between [`Self::begin`] and [`Self::commit`] takes effect together and is durable when `commit`
/// returns; after an error from any method the caller calls [`Self::rollback`]. Numbers handed in are at most
/// [`MAX_NUMBER`]. [`crate::conformance`] checks an implementation.
///
/// # Errors
///
/// Every method fails with [`StorageError`] alone: the caller rolls back and refuses what it was doing.
#[expect(clippy::missing_errors_doc, reason = "described once, at the trait")]
pub trait Storage: SetStorage {
    /// Starts a transaction.
    fn begin(&mut self) -> Result<(), StorageError>;
    /// Makes the transaction durable.
    fn commit(&mut self) -> Result<(), StorageError>;
    /// Forgets the transaction, if there is one.
    fn rollback(&mut self);

    /// Returns how much there is. Asked at every delivery, so it should be at hand.
    fn totals(&self) -> Result<Totals, StorageError>;

    /// Returns a mailbox.
    fn mailbox(&self, mailbox: &MailboxId) -> Result<Option<Mailbox>, StorageError>;
    /// Makes a mailbox whose first envelope gets the sequence after `last_sequence`; one that exists only
    /// gets the new `expires`.
    fn create_mailbox(
        &mut self,
        mailbox: &MailboxId,
        last_sequence: u64,
        expires: Option<Timestamp>,
    ) -> Result<(), StorageError>;
    /// Stores an envelope in a mailbox that exists and returns its sequence: one more than the newest ever.
    fn append(
        &mut self,
        mailbox: &MailboxId,
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<u64, StorageError>;
    /// Returns the oldest envelope after a sequence.
    fn next_envelope(&self, mailbox: &MailboxId, after: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError>;
    /// Deletes an envelope, if it is there.
    fn remove_envelope(&mut self, mailbox: &MailboxId, sequence: u64) -> Result<(), StorageError>;
    /// Whether this delivery has been noted.
    fn has_delivery(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError>;
    /// Notes a delivery that is not noted; of more than `most` in all mailboxes together those that end first
    /// are forgotten.
    fn note_delivery(
        &mut self,
        mailbox: &MailboxId,
        delivery: &DeliveryId,
        expires: Timestamp,
        most: u64,
    ) -> Result<(), StorageError>;
    /// Marks the mailbox of a device as removed, for ever, and deletes its envelopes, those that are held too, and its
    /// prekeys; makes a mailbox if there is none. Deletes the directory entries whose reader it is; if one of them was the
    /// newest, the newest of what is left gets its sequence, so that [`Self::directory_sequence`] does not fall. Its places
    /// in sets are left to [`SetStorage::empty_places`].
    fn remove_device(&mut self, device: &DeviceId) -> Result<(), StorageError>;

    /// Replaces all prekeys of a device.
    fn put_prekeys(
        &mut self,
        device: &DeviceId,
        batch: &PrekeyBatch,
        pairs: &[PrekeyPair],
    ) -> Result<(), StorageError>;
    /// Returns a device's batch.
    fn prekey_batch(&self, device: &DeviceId) -> Result<Option<PrekeyBatch>, StorageError>;
    /// Returns how many pairs of one-time prekeys a device has left.
    fn prekey_pairs(&self, device: &DeviceId) -> Result<u32, StorageError>;
    /// Takes out the first pair of one-time prekeys; it is never returned again.
    fn take_prekey_pair(&mut self, device: &DeviceId) -> Result<Option<PrekeyPair>, StorageError>;

    /// Returns how much of a blob is there. What [`Self::append_blob`] added to an incomplete blob may be
    /// gone after a crash; what [`Self::complete_blob`] closed is not.
    fn blob(&self, blob: &BlobId) -> Result<Option<BlobState>, StorageError>;
    /// Appends to an incomplete blob, which it makes if need be; `expires` counts for a new one.
    fn append_blob(&mut self, blob: &BlobId, part: &[u8], expires: Timestamp) -> Result<(), StorageError>;
    /// Closes a blob; all of it is durable at the next commit.
    fn complete_blob(&mut self, blob: &BlobId, expires: Timestamp) -> Result<(), StorageError>;
    /// Reads up to `length` bytes of a blob, fewer only at its end.
    fn read_blob(&self, blob: &BlobId, offset: u64, length: usize) -> Result<Vec<u8>, StorageError>;

    /// Returns a directory entry.
    fn directory_entry(&self, entry: &EntryId) -> Result<Option<DirectoryRow>, StorageError>;
    /// Returns the highest sequence of all entries, 0 without any.
    fn directory_sequence(&self) -> Result<u64, StorageError>;
    /// Puts a directory entry in the place of an earlier version, under a sequence above all others and at
    /// least `least`.
    fn put_directory_entry(
        &mut self,
        entry: &EntryId,
        new: &NewEntry<'_>,
        least: u64,
    ) -> Result<(), StorageError>;
    /// Returns, of the entries for this reader, the one whose sequence is the lowest above `after`.
    fn next_directory_entry(
        &self,
        after: u64,
        reader: Option<&DeviceId>,
    ) -> Result<Option<DirectoryRow>, StorageError>;

    /// Returns the key that delivery tokens are checked with.
    fn delivery_key(&self) -> Result<Option<DeliveryKey>, StorageError>;
    /// Puts a key in the place of the one before, of which nothing stays.
    fn put_delivery_key(&mut self, key: &DeliveryKey) -> Result<(), StorageError>;

    /// Puts an entry at the end of the log; `index` is the number of entries before it.
    fn log_append(&mut self, index: u64, entry: &LogEntry) -> Result<(), StorageError>;

    /// Returns the entry `index`.
    fn log_entry(&self, index: u64) -> Result<Option<LogEntry>, StorageError>;

    /// Returns the entries from `from` on, in their order, and stops after the one with which their leaves and
    /// contents have `bytes` bytes or more.
    fn log_page(&self, from: u64, bytes: usize) -> Result<Vec<LogEntry>, StorageError>;

    /// Returns the index of the newest entry of a kind about a subject.
    fn log_about(&self, kind: LeafKind, subject: &[u8; 16]) -> Result<Option<u64>, StorageError>;

    /// Returns the index of the first entry of a kind with a commitment.
    fn log_commitment(&self, kind: LeafKind, commitment: &[u8; 32]) -> Result<Option<u64>, StorageError>;

    /// Returns every device for which the log has a credential of a member, in the order of the entries.
    fn log_devices(&self, member: &MemberId) -> Result<Vec<DeviceId>, StorageError>;

    /// Returns the newest checkpoint, a signed note.
    fn note(&self) -> Result<Option<String>, StorageError>;

    /// Replaces the newest checkpoint.
    fn put_note(&mut self, note: &str) -> Result<(), StorageError>;

    /// Returns what a device has confirmed of its end, as it was put.
    fn end_confirmation(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError>;

    /// Keeps what a device has confirmed of its end, for ever; it is called once for a device.
    fn put_end_confirmation(&mut self, device: &DeviceId, confirmation: &[u8]) -> Result<(), StorageError>;

    /// Deletes up to `most` envelopes, delivery ids, blobs, reply mailboxes (with what is in them), sets, contents of
    /// slots, held deliveries and kept credentials each whose end is not after `now`.
    fn expire(&mut self, now: Timestamp, most: u32) -> Result<(), StorageError>;
}
