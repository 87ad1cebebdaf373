//! A queue of records: items numbered for ever upwards, found with `get` alone.
//!
//! The queue's state names the runs of items that are gone, so that an item which stays long does not make every
//! look at the queue pay for each one that went past it.

use alloc::vec::Vec;
use core::ops::Range;

use chancery_wire::proto::QueueState;
use chancery_wire::records::{Overlay, RecordKey, Records, Table};

use crate::error::EngineError;
use crate::tables::{QUEUE_STATE, key, load, save};

/// Items that [`Queue::insert`] moves at most: 1,000, so that what one item costs stays small.
const MAX_MOVED: u64 = 1000;

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

    /// Puts an item before the one of this number, which moves with all behind it one up. `false`, and nothing done, if it is not
    /// there, one behind it is gone, or more than [`MAX_MOVED`] would move.
    pub(crate) fn insert(
        &self,
        records: &mut Overlay<'_>,
        number: u64,
        item: Vec<u8>,
    ) -> Result<bool, EngineError> {
        let state = self.state(records)?;
        if !(state.first..state.next).contains(&number) || state.next.saturating_sub(number) > MAX_MOVED {
            return Ok(false);
        }
        if self.gone(records, &state)?.last().is_some_and(|run| run.end > number) {
            return Ok(false);
        }
        let mut carried = item;
        for at in number..state.next {
            let name = self.item_key(at);
            let there = records.get(&name)?.ok_or(EngineError::DamagedRecord)?;
            records.put(name, core::mem::replace(&mut carried, there));
        }
        self.push(records, carried)?;
        Ok(true)
    }

    /// Returns the numbers of the items that are there, in order.
    pub(crate) fn numbers(
        &self,
        records: &dyn Records,
    ) -> Result<impl DoubleEndedIterator<Item = u64> + use<>, EngineError> {
        let state = self.state(records)?;
        let mut from = state.first;
        let mut runs = Vec::new();
        for gone in self.gone(records, &state)? {
            runs.push(from..gone.start);
            from = gone.end;
        }
        runs.push(from..state.next);
        Ok(runs.into_iter().flatten())
    }

    /// Removes an item and moves the start past everything that is gone.
    pub(crate) fn remove(&self, records: &mut Overlay<'_>, number: u64) -> Result<(), EngineError> {
        if records.get(&self.item_key(number))?.is_none() {
            return Ok(());
        }
        let mut state = self.state(records)?;
        let mut gone = self.gone(records, &state)?;
        let at = gone.partition_point(|run| run.end < number);
        match gone.get_mut(at) {
            Some(run) if run.end == number => run.end = number.saturating_add(1),
            Some(run) if run.start == number.saturating_add(1) => run.start = number,
            _ => gone.insert(at, number..number.saturating_add(1)),
        }
        gone.dedup_by(|later, run| {
            let meet = run.end == later.start;
            if meet {
                run.end = later.end;
            }
            meet
        });
        if let Some(run) = gone.first().filter(|run| run.start <= state.first) {
            state.first = run.end;
            gone.remove(0);
        }
        records.delete(self.item_key(number));
        note_gone(&mut state, &gone);
        save(records, self.state_key(), &state);
        Ok(())
    }

    /// Returns the runs of numbers between the first and the next that are gone, in order.
    fn gone(&self, records: &dyn Records, state: &QueueState) -> Result<Vec<Range<u64>>, EngineError> {
        let mut gone: Vec<Range<u64>> = Vec::new();
        let mut at = state.first;
        for pair in state.gone.as_chunks::<2>().0 {
            let [there, length] = *pair;
            let start = at.saturating_add(there);
            at = start.saturating_add(length);
            gone.push(start..at);
        }
        if gone.iter().map(|run| run.end.saturating_sub(run.start)).fold(0, u64::saturating_add) == state.gaps
        {
            return Ok(gone);
        }
        // Written by a version that only counted them.
        gone.clear();
        for number in state.first..state.next {
            if records.get(&self.item_key(number))?.is_some() {
                continue;
            }
            match gone.last_mut() {
                Some(run) if run.end == number => run.end = number.saturating_add(1),
                _ => gone.push(number..number.saturating_add(1)),
            }
        }
        Ok(gone)
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

fn note_gone(state: &mut QueueState, gone: &[Range<u64>]) {
    let mut at = state.first;
    state.gone.clear();
    state.gaps = 0;
    for run in gone {
        let length = run.end.saturating_sub(run.start);
        state.gone.extend([run.start.saturating_sub(at), length]);
        state.gaps = state.gaps.saturating_add(length);
        at = run.end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::{BTreeMap, BTreeSet};
    use alloc::vec;
    use core::cell::Cell;

    use chancery_wire::records::RecordsError;

    /// Counts what is read.
    struct Counted<'a>(&'a Overlay<'a>, Cell<usize>);

    impl Records for Counted<'_> {
        fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError> {
            self.1.set(self.1.get().saturating_add(1));
            self.0.get(key)
        }
    }

    #[test]
    fn an_item_that_stays_does_not_make_those_cost_that_went_past_it() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let queue = Queue::new(Table(1), b"");
        queue.push(&mut records, vec![0]).unwrap();
        for _ in 0..5000 {
            let number = queue.push(&mut records, vec![1]).unwrap();
            queue.remove(&mut records, number).unwrap();
        }
        let counted = Counted(&records, Cell::new(0));
        assert_eq!(queue.numbers(&counted).unwrap().collect::<Vec<_>>(), [0]);
        assert!(counted.1.get() < 4, "{} records read", counted.1.get());
        assert_eq!(queue.len(&records).unwrap(), 1);
    }

    #[test]
    fn the_numbers_are_those_of_the_items_in_whatever_order_these_go() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let queue = Queue::new(Table(1), b"");
        let mut left: BTreeSet<u64> = (0..32).map(|i| queue.push(&mut records, vec![i]).unwrap()).collect();
        // Seven and thirty-two have no common divisor: every number, in no order.
        for step in 0..32 {
            let number = step * 7 % 32;
            queue.remove(&mut records, number).unwrap();
            left.remove(&number);
            assert!(queue.numbers(&records).unwrap().eq(left.iter().copied()), "without {number}");
            assert_eq!(queue.len(&records).unwrap(), left.len() as u64);
        }
    }

    #[test]
    fn what_is_put_before_an_item_moves_it_and_nothing_before_it() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let queue = Queue::new(Table(1), b"");
        assert!(!queue.insert(&mut records, 0, vec![9]).unwrap(), "before nothing");
        for i in 0..4 {
            queue.push(&mut records, vec![i]).unwrap();
        }
        queue.remove(&mut records, 1).unwrap();
        assert!(!queue.insert(&mut records, 1, vec![9]).unwrap(), "it is gone");
        assert!(!queue.insert(&mut records, 0, vec![9]).unwrap(), "one behind it is");
        assert!(queue.insert(&mut records, 2, vec![9]).unwrap());
        let numbers: Vec<u64> = queue.numbers(&records).unwrap().collect();
        let items: Vec<u8> =
            numbers.iter().map(|it| records.get(&queue.item_key(*it)).unwrap().unwrap()[0]).collect();
        assert_eq!((numbers, items), (vec![0, 2, 3, 4], vec![0, 9, 2, 3]));
    }

    #[test]
    fn a_queue_whose_gaps_were_only_counted_is_read_and_goes_on() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let queue = Queue::new(Table(1), b"");
        for i in 0..6 {
            queue.push(&mut records, vec![i]).unwrap();
        }
        for number in [2, 4] {
            records.delete(queue.item_key(number));
        }
        let old = QueueState { next: 6, first: 0, gaps: 2, gone: Vec::new() };
        save(&mut records, queue.state_key(), &old);
        assert!(queue.numbers(&records).unwrap().eq([0, 1, 3, 5]));
        queue.remove(&mut records, 3).unwrap();
        assert!(queue.numbers(&records).unwrap().eq([0, 1, 5]));
        assert_eq!(queue.state(&records).unwrap().gone, [2, 3]);
    }

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
