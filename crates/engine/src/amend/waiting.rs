//! What acts on a message that is not here yet (R-ENGINE-101): bounded in number, size and time, and nobody pushes out what waits of others.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_wire::proto::{ActWaitingEntry, ActWaitingRecord, ActsWaitingIndex, MessageRef};
use chancery_wire::records::{Overlay, RecordKey, Records};
use chancery_wire::{Timestamp, encode};

use super::Heard;
use crate::error::EngineError;
use crate::tables::{ACT_WAITING, ACT_WAITING_INDEX, key, load, save};

/// Acts that wait, of all members: 1,024.
pub(super) const MAX_WAITING: usize = 1024;
/// Bytes of what waits, of all members: 4 MiB, more than a hundred of the longest edits.
pub(super) const MAX_BYTES: u64 = 4 * 1024 * 1024;

fn index_key() -> RecordKey {
    key(ACT_WAITING_INDEX, &[])
}

fn item_key(number: u64) -> RecordKey {
    key(ACT_WAITING, &[&number.to_be_bytes()])
}

pub(super) fn index(records: &dyn Records) -> Result<ActsWaitingIndex, EngineError> {
    Ok(load(records, &index_key())?.unwrap_or_default())
}

/// Keeps an act until its target comes.
pub(super) fn keep(records: &mut Overlay<'_>, heard: &Heard, now: Timestamp) -> Result<(), EngineError> {
    let mut index = index(records)?;
    let target = heard.target().cloned();
    let record = ActWaitingRecord {
        id: heard.id.clone(),
        sent_at: heard.sent_at,
        conversation: heard.conversation.clone(),
        act: Some(heard.act.clone()),
    };
    let bytes = encode(&record);
    let (number, length) = (index.next, bytes.len() as u64);
    index.next = number.checked_add(1).ok_or(EngineError::QueueFull)?;
    let from = heard.from.as_bytes().to_vec();
    index.entries.push(ActWaitingEntry { number, from, target, since: now.as_millis(), length });
    records.put(item_key(number), bytes);
    make_room(records, &mut index);
    save(records, index_key(), &index);
    Ok(())
}

/// Drops the oldest of whoever has most, until what waits is within its bounds.
fn make_room(records: &mut Overlay<'_>, index: &mut ActsWaitingIndex) {
    loop {
        let mut shares: BTreeMap<&[u8], (u64, u64)> = BTreeMap::new();
        for entry in &index.entries {
            let (count, bytes) = shares.entry(&entry.from).or_default();
            (*count, *bytes) = (count.saturating_add(1), bytes.saturating_add(entry.length));
        }
        let bytes = shares.values().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let largest = if bytes > MAX_BYTES {
            shares.iter().max_by_key(|(_, (_, bytes))| *bytes)
        } else if index.entries.len() > MAX_WAITING {
            shares.iter().max_by_key(|(_, (count, _))| *count)
        } else {
            return;
        };
        let Some(member) = largest.map(|(member, _)| member.to_vec()) else { return };
        let Some(place) = index.entries.iter().position(|entry| entry.from == member) else { return };
        records.delete(item_key(index.entries.remove(place).number));
    }
}

/// Takes out what waits for a message, oldest first.
pub(super) fn take(
    records: &mut Overlay<'_>,
    target: &MessageRef,
) -> Result<Vec<(Vec<u8>, ActWaitingRecord)>, EngineError> {
    let mut index = index(records)?;
    let is_for_it = |entry: &ActWaitingEntry| entry.target.as_ref() == Some(target);
    if !index.entries.iter().any(is_for_it) {
        return Ok(Vec::new());
    }
    let mut taken = Vec::new();
    for entry in index.entries.iter().filter(|entry| is_for_it(entry)) {
        if let Some(record) = load(records, &item_key(entry.number))? {
            taken.push((entry.from.clone(), record));
        }
        records.delete(item_key(entry.number));
    }
    index.entries.retain(|entry| !is_for_it(entry));
    save(records, index_key(), &index);
    Ok(taken)
}

/// Forgets what has waited for too long; what waits since a time that is not yet waits from now on, so that a clock that was set right
/// loses nothing.
pub(super) fn upkeep(
    records: &mut Overlay<'_>,
    longest: Duration,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut index = index(records)?;
    let is_over = |entry: &ActWaitingEntry| Timestamp::from_millis(entry.since).after(longest) <= now;
    let is_ahead = |entry: &ActWaitingEntry| entry.since > now.as_millis();
    if !index.entries.iter().any(|entry| is_over(entry) || is_ahead(entry)) {
        return Ok(());
    }
    index.entries.iter_mut().for_each(|entry| entry.since = entry.since.min(now.as_millis()));
    for entry in index.entries.iter().filter(|entry| is_over(entry)) {
        records.delete(item_key(entry.number));
    }
    index.entries.retain(|entry| !is_over(entry));
    save(records, index_key(), &index);
    Ok(())
}
