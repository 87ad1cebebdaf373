//! A queue of records: items numbered for ever upwards, found with `get` alone.

use alloc::vec::Vec;

use chancery_wire::proto::QueueState;
use chancery_wire::records::{Overlay, RecordKey, Records, Table};

use crate::error::EngineError;
use crate::tables::{QUEUE_STATE, key, load, save};

/// One queue: a table, and a name within it for tables that hold several.
#[derive(Clone, Copy)]
pub(crate) struct Queue<'a> {
    table: Table,
    name: &'a [u8],
}

impl<'a> Queue<'a> {
    pub(crate) const fn new(table: Table, name: &'a [u8]) -> Self {
        Self { table, name }
    }

    /// Returns the state: the next number and the first that may exist.
    pub(crate) fn state(&self, records: &dyn Records) -> Result<QueueState, EngineError> {
        Ok(load(records, &self.state_key())?.unwrap_or_default())
    }

    /// Returns the key of item `number`.
    pub(crate) fn item_key(&self, number: u64) -> RecordKey {
        key(self.table, &[self.name, &number.to_be_bytes()])
    }

    /// Appends an item and returns its number.
    pub(crate) fn push(&self, records: &mut Overlay<'_>, item: Vec<u8>) -> Result<u64, EngineError> {
        let mut state = self.state(records)?;
        let number = state.next;
        state.next = number.checked_add(1).ok_or(EngineError::QueueFull)?;
        records.put(self.item_key(number), item);
        save(records, self.state_key(), &state);
        Ok(number)
    }

    /// Removes an item and moves the start past everything that is gone.
    pub(crate) fn remove(&self, records: &mut Overlay<'_>, number: u64) -> Result<(), EngineError> {
        let mut state = self.state(records)?;
        if records.get(&self.item_key(number))?.is_some() {
            records.delete(self.item_key(number));
            state.gaps = state.gaps.saturating_add(1);
        }
        while state.first < state.next && records.get(&self.item_key(state.first))?.is_none() {
            state.first = state.first.saturating_add(1);
            state.gaps = state.gaps.saturating_sub(1);
        }
        save(records, self.state_key(), &state);
        Ok(())
    }

    /// Number of items; an item that is stuck at the start does not make those count that went past it.
    pub(crate) fn len(&self, records: &dyn Records) -> Result<u64, EngineError> {
        let state = self.state(records)?;
        Ok(state.next.saturating_sub(state.first).saturating_sub(state.gaps))
    }

    /// Appends an item; once there are more than `most`, removes the oldest and returns it.
    pub(crate) fn push_bounded(
        &self,
        records: &mut Overlay<'_>,
        item: Vec<u8>,
        most: u64,
    ) -> Result<Option<Vec<u8>>, EngineError> {
        self.push(records, item)?;
        let state = self.state(records)?;
        if state.next.saturating_sub(state.first) <= most {
            return Ok(None);
        }
        let oldest = records.get(&self.item_key(state.first))?;
        self.remove(records, state.first)?;
        Ok(oldest)
    }

    fn state_key(&self) -> RecordKey {
        key(QUEUE_STATE, &[&self.table.0.to_be_bytes(), self.name])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    #[test]
    fn removing_in_any_order_moves_the_start_only_past_gaps() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let queue = Queue::new(Table(1), b"");
        for i in 0..4 {
            assert_eq!(queue.push(&mut records, vec![i]).unwrap(), u64::from(i));
        }
        queue.remove(&mut records, 1).unwrap();
        assert_eq!(queue.state(&records).unwrap().first, 0);
        assert_eq!(queue.len(&records).unwrap(), 3, "what went past the start does not count");
        queue.remove(&mut records, 1).unwrap();
        assert_eq!(queue.len(&records).unwrap(), 3, "an item goes once");
        queue.remove(&mut records, 0).unwrap();
        assert_eq!(queue.state(&records).unwrap().first, 2);
        assert_eq!(queue.len(&records).unwrap(), 2);
        assert_eq!(queue.push_bounded(&mut records, vec![9], 2).unwrap(), Some(vec![2]));
        assert_eq!(queue.push(&mut records, vec![5]).unwrap(), 5, "numbers are never reused");
    }
}
