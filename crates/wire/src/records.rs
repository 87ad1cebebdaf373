//! The contract between a state machine and its store: `get`, and one atomic `commit`.
//!
//! A machine reads through [`Records`] and hands its writes back as one [`Batch`]; the shell commits the
//! batch in the same transaction before it does anything else (persist before transmit). [`Overlay`] lets a
//! machine see its own writes while it works.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Which kind of record: a small number that is part of the stored format and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Table(pub u16);

/// Names one record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey {
    /// The kind of record.
    pub table: Table,
    /// The name within its kind; at most 255 bytes.
    pub name: Vec<u8>,
}

impl RecordKey {
    /// Makes a key.
    #[must_use]
    pub fn new(table: Table, name: impl Into<Vec<u8>>) -> Self {
        Self { table, name: name.into() }
    }
}

/// Why a store cannot answer. The environment is at fault; the machine's state is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordsError {
    /// The disk is full; nothing was written. Free space and try again.
    #[error("no space left for the store")]
    Full,
    /// Another process holds the store for too long; try again.
    #[error("the store is busy")]
    Busy,
    /// A record does not authenticate or cannot be read: the file is damaged or was tampered with.
    #[error("the store is damaged")]
    Damaged,
    /// Reading or writing failed; see the shell's log.
    #[error("the store cannot be read or written")]
    Io,
}

/// Read access to a store.
pub trait Records {
    /// Returns the record's value, or `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`RecordsError`]: give the call up and change nothing.
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError>;
}

/// Writes that take effect together: `Some` puts, `None` deletes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch(pub BTreeMap<RecordKey, Option<Vec<u8>>>);

impl Batch {
    /// Puts a record.
    pub fn put(&mut self, key: RecordKey, value: Vec<u8>) {
        self.0.insert(key, Some(value));
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: RecordKey) {
        self.0.insert(key, None);
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A store with uncommitted writes on top.
pub struct Overlay<'a> {
    base: &'a dyn Records,
    batch: Batch,
}

impl core::fmt::Debug for Overlay<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Overlay(..)")
    }
}

impl<'a> Overlay<'a> {
    /// Starts without writes.
    #[must_use]
    pub fn new(base: &'a dyn Records) -> Self {
        Self { base, batch: Batch::default() }
    }

    /// Puts a record.
    pub fn put(&mut self, key: RecordKey, value: Vec<u8>) {
        self.batch.put(key, value);
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: RecordKey) {
        self.batch.delete(key);
    }

    /// Takes over another machine's writes, which replace earlier ones of the same records.
    pub fn absorb(&mut self, batch: Batch) {
        self.batch.0.extend(batch.0);
    }

    /// Returns the writes.
    #[must_use]
    pub fn into_batch(self) -> Batch {
        self.batch
    }
}

impl Records for Overlay<'_> {
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError> {
        match self.batch.0.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.base.get(key),
        }
    }
}

/// A store in memory, for tests and simulations.
impl Records for BTreeMap<RecordKey, Vec<u8>> {
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError> {
        Ok(Self::get(self, key).cloned())
    }
}
