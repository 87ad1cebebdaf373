//! Records as the store has them, kept in memory between transactions.
//!
//! Most of what a transaction reads is what the last ones read or wrote: each of those reads would be a search in the file and an
//! authentication, and for a record that is not there two of each. What another process has changed or deleted goes from here with
//! this one's next transaction, not before.

use std::cell::RefCell;
use std::collections::BTreeMap;

use chancery_crypto::secret::SecretBytes;
use chancery_wire::records::{Batch, RecordKey};
use rusqlite::Connection;

use crate::error::StoreError;

/// Longest value that is kept, in bytes: 16 KiB. What is longer is read rarely.
const LONGEST: usize = 16_384;
/// What all of it may take, in bytes, names included: 1 MiB, as much as SQLite keeps of the file itself.
const CAPACITY: usize = 1 << 20;
/// What an entry takes beside its bytes, about.
const AROUND: usize = 128;

/// The records that were read or written last, and those that were found not to be there. Values are wiped when they go.
#[derive(Default)]
pub(crate) struct Cache(RefCell<Kept>);

#[derive(Default)]
struct Kept {
    /// Of the last commit by somebody else that was seen, in SQLite's counting.
    version: Option<i64>,
    records: BTreeMap<RecordKey, Option<SecretBytes>>,
    size: usize,
}

impl core::fmt::Debug for Cache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Cache(..)")
    }
}

impl Kept {
    fn insert(&mut self, key: &RecordKey, value: Option<&[u8]>) {
        self.remove(key);
        let size = cost(key, value.unwrap_or_default());
        if value.is_some_and(|value| value.len() > LONGEST) {
            return;
        }
        if self.size.saturating_add(size) > CAPACITY {
            // Simple, and rare: what is needed is soon here again.
            self.clear();
        }
        self.size = self.size.saturating_add(size);
        self.records.insert(key.clone(), value.map(|value| SecretBytes::new(value.to_vec())));
    }

    fn remove(&mut self, key: &RecordKey) {
        if let Some(value) = self.records.remove(key) {
            let bytes = value.as_ref().map(|value| value.expose()).unwrap_or_default();
            self.size = self.size.saturating_sub(cost(key, bytes));
        }
    }

    fn clear(&mut self) {
        self.records.clear();
        self.size = 0;
    }
}

fn cost(key: &RecordKey, value: &[u8]) -> usize {
    AROUND.saturating_add(key.name.len()).saturating_add(value.len())
}

impl Cache {
    /// Forgets everything if another connection has committed since. To be called first in each transaction, because it is what
    /// fixes the state that the transaction sees.
    pub(crate) fn refresh(&self, transaction: &Connection) -> Result<(), StoreError> {
        let sqlite = |e| StoreError::from_sqlite(&e);
        let mut pragma = transaction.prepare_cached("PRAGMA data_version").map_err(sqlite)?;
        let version: i64 = pragma.query_row([], |row| row.get(0)).map_err(sqlite)?;
        let mut kept = self.0.borrow_mut();
        if kept.version != Some(version) {
            kept.clear();
            kept.version = Some(version);
        }
        Ok(())
    }

    /// Returns what the record is; `None` if that is not known.
    pub(crate) fn get(&self, key: &RecordKey) -> Option<Option<Vec<u8>>> {
        let kept = self.0.borrow();
        kept.records.get(key).map(|value| value.as_ref().map(|value| value.expose().to_vec()))
    }

    /// Keeps what was read.
    pub(crate) fn read(&self, key: &RecordKey, value: Option<&[u8]>) {
        self.0.borrow_mut().insert(key, value);
    }

    /// Takes over what this connection is about to commit: forgets it, since whether the commit goes well is not known yet.
    pub(crate) fn forget(&self, batch: &Batch) {
        let mut kept = self.0.borrow_mut();
        batch.0.keys().for_each(|key| kept.remove(key));
    }

    /// Takes over what this connection has committed.
    pub(crate) fn written(&self, batch: &Batch) {
        let mut kept = self.0.borrow_mut();
        for (key, value) in &batch.0 {
            kept.insert(key, value.as_deref());
        }
    }
}

#[cfg(test)]
mod tests {
    use chancery_wire::records::Table;

    use super::*;

    fn key(number: u32) -> RecordKey {
        RecordKey::new(Table(1), number.to_be_bytes())
    }

    #[test]
    fn what_is_kept_has_a_bound_and_what_goes_leaves_nothing_behind() {
        let cache = Cache::default();
        for number in 0..1000 {
            cache.read(&key(number), Some(&[7; 10_000]));
            let kept = cache.0.borrow();
            let sum: usize =
                kept.records.iter().map(|(k, v)| cost(k, v.as_ref().map_or(&[], |v| v.expose()))).sum();
            assert!(kept.size == sum && sum <= CAPACITY, "{number}: {} {sum}", kept.size);
        }
        cache.read(&key(1), Some(&vec![7; LONGEST + 1]));
        assert_eq!(cache.get(&key(1)), None);
        cache.read(&key(2), None);
        assert_eq!(cache.get(&key(2)), Some(None));
        let mut batch = Batch::default();
        batch.put(key(2), vec![9]);
        cache.forget(&batch);
        assert_eq!(cache.get(&key(2)), None);
        cache.written(&batch);
        assert_eq!(cache.get(&key(2)), Some(Some(vec![9])));
        (0..1000).for_each(|number| cache.0.borrow_mut().remove(&key(number)));
        assert_eq!(cache.0.borrow().size, 0);
    }
}
