//! The contract between a state machine and its store: `get`, and one atomic `commit`.
//!
//! A machine reads through [`Records`] and hands its writes back as one [`Batch`]; the shell commits the
//! batch in the same transaction before it does anything else (persist before transmit). [`Overlay`] lets a
//! machine see its own writes while it works.

use alloc::collections::{BTreeMap, btree_map};
use alloc::vec::Vec;

use zeroize::{Zeroize, ZeroizeOnDrop};

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
///
/// Records hold keys: every value is wiped when it is replaced or the batch is dropped. Who takes values out, by
/// iterating over the batch itself, keeps them.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch(pub BTreeMap<RecordKey, Option<Vec<u8>>>);

impl Batch {
    /// Puts a record.
    pub fn put(&mut self, key: RecordKey, value: Vec<u8>) {
        self.set(key, Some(value));
    }

    /// Deletes a record.
    pub fn delete(&mut self, key: RecordKey) {
        self.set(key, None);
    }

    fn set(&mut self, key: RecordKey, value: Option<Vec<u8>>) {
        self.0.insert(key, value).zeroize();
    }

    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Zeroize for Batch {
    fn zeroize(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.zeroize();
    }
}

impl ZeroizeOnDrop for Batch {}

impl IntoIterator for Batch {
    type Item = (RecordKey, Option<Vec<u8>>);
    type IntoIter = btree_map::IntoIter<RecordKey, Option<Vec<u8>>>;

    fn into_iter(mut self) -> Self::IntoIter {
        core::mem::take(&mut self.0).into_iter()
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
        batch.into_iter().for_each(|(key, value)| self.batch.set(key, value));
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const KEY: Table = Table(1);

    #[test]
    fn a_batch_wipes_what_it_holds_when_it_goes() {
        fn is_wiped<T: ZeroizeOnDrop>(_: &T) {}
        let mut batch = Batch::default();
        batch.put(RecordKey::new(KEY, [1]), vec![7; 32]);
        batch.delete(RecordKey::new(KEY, [2]));
        is_wiped(&batch);
        batch.zeroize();
        assert!(batch.0.values().flatten().all(Vec::is_empty));
    }

    #[test]
    fn later_writes_replace_earlier_ones_and_whoever_iterates_gets_them() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut overlay = Overlay::new(&base);
        overlay.put(RecordKey::new(KEY, [1]), vec![1]);
        let mut later = Batch::default();
        later.put(RecordKey::new(KEY, [1]), vec![2]);
        overlay.absorb(later);
        let found: Vec<_> = overlay.into_batch().into_iter().collect();
        assert_eq!(found, [(RecordKey::new(KEY, [1]), Some(vec![2]))]);
    }
}
