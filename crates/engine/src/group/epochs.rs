//! What reads the messages of the newest epoch, and of those that are over (R-GROUP-24, R-ENGINE-74).

use chancery_crypto::secret::SecretBytes;
use chancery_group::{EpochKeys, MAX_OLD_EPOCHS, MAX_SKIPPED, Messages, OLD_EPOCH_MS, Slot};
use chancery_wire::Timestamp;
use chancery_wire::proto::{GroupEpochRecord, GroupSetRecord, GroupStateRecord};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::group::{follow, mark, set, state, waiting};
use crate::tables::{GROUP_EPOCH, GROUP_SET, key, load, save};

fn epoch_key(group: &[u8; 16], epoch: u64) -> RecordKey {
    key(GROUP_EPOCH, &[group, &epoch.to_be_bytes()])
}

/// Returns group and epoch of a set name; `None` if it is not known.
pub(crate) fn by_set(records: &dyn Records, name: &[u8; 16]) -> Result<Option<([u8; 16], u64)>, EngineError> {
    let Some(set) = load::<GroupSetRecord>(records, &key(GROUP_SET, &[name]))? else { return Ok(None) };
    let group = set.group_id.try_into().map_err(|_| EngineError::DamagedRecord)?;
    Ok(Some((group, set.epoch)))
}

/// Returns what there is of an epoch.
pub(crate) fn record(
    records: &dyn Records,
    group: &[u8; 16],
    epoch: u64,
) -> Result<Option<GroupEpochRecord>, EngineError> {
    load(records, &epoch_key(group, epoch))
}

/// Returns what reads an epoch; `None` if it may be read no more.
pub(crate) fn messages(
    records: &dyn Records,
    group: &[u8; 16],
    epoch: u64,
) -> Result<Option<(GroupEpochRecord, Messages)>, EngineError> {
    let Some(mut record) = record(records, group, epoch)? else { return Ok(None) };
    let bytes = SecretBytes::new(core::mem::take(&mut record.messages));
    let messages = Messages::from_bytes(bytes.expose()).map_err(|_| EngineError::DamagedRecord)?;
    Ok(Some((record, messages)))
}

pub(crate) fn save_messages(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    mut record: GroupEpochRecord,
    messages: &Messages,
) {
    record.messages = messages.to_bytes().expose().to_vec();
    save(records, epoch_key(group, record.epoch), &record);
}

/// How an epoch ended.
#[derive(Debug)]
pub(crate) struct Over<'a> {
    /// This device's slot.
    pub(crate) own: Slot,
    /// Slots that are somebody else's now, or nobody's.
    pub(crate) removed: &'a [Slot],
}

/// Begins an epoch: what reads it is stored, and in `state` what names it; the one before is over.
pub(crate) fn begin(
    records: &mut Overlay<'_>,
    (group, state): (&[u8; 16], &mut GroupStateRecord),
    (epoch, transcript, keys): (u64, [u8; 32], EpochKeys),
    over: Option<&Over<'_>>,
    now: Timestamp,
) -> Result<(), EngineError> {
    if let Some(over) = over {
        for old in state.epochs.clone() {
            end(records, group, (old, old == state.epoch), over, now)?;
        }
    }
    let set = GroupSetRecord { group_id: group.to_vec(), epoch };
    save(records, key(GROUP_SET, &[&keys.set_name]), &set);
    (state.set_name, state.set_key) = (keys.set_name.to_vec(), keys.set_key.expose().to_vec());
    (state.epoch, state.began_at) = (epoch, now.as_millis());
    set::begun(state);
    (state.attempt, state.slot_tried_at, state.slot_seen) = (0, 0, 0);
    mark::begun(state);
    state.epochs.push(epoch);
    let messages = Messages::new(transcript, keys.set_name, keys.header_key, keys.senders);
    let record = GroupEpochRecord { epoch, transcript: transcript.to_vec(), ..GroupEpochRecord::default() };
    save_messages(records, group, record, &messages);
    prune(records, group, state, now)
}

/// An epoch is over, or another one behind it is: nothing is sealed in it any more, and who is gone is not read.
fn end(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (epoch, was_newest): (u64, bool),
    over: &Over<'_>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let Some((mut record, mut messages)) = messages(records, group, epoch)? else { return Ok(()) };
    if was_newest {
        record.over_at = now.as_millis().max(1);
        messages.senders().forget(over.own);
    }
    over.removed.iter().for_each(|slot| messages.senders().forget(*slot));
    save_messages(records, group, record, &messages);
    Ok(())
}

/// Drops what may not be read any more, and the oldest keys of skipped messages beyond those of a group.
fn prune(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    state: &mut GroupStateRecord,
    now: Timestamp,
) -> Result<(), EngineError> {
    let (mut kept, mut skipped) = (alloc::vec::Vec::new(), 0_usize);
    for (age, epoch) in state.epochs.iter().rev().enumerate() {
        let Some((record, mut messages)) = messages(records, group, *epoch)? else { continue };
        // By a clock that was ahead: it gets its time from now on at the latest, once that is over.
        let over_at = record.over_at.min(now.as_millis());
        let is_old = record.over_at != 0 && over_at.saturating_add(OLD_EPOCH_MS) < now.as_millis();
        if age > MAX_OLD_EPOCHS || is_old {
            drop_epoch(records, group, *epoch, messages.set_name());
            continue;
        }
        let room = MAX_SKIPPED.saturating_sub(skipped);
        if messages.senders().skipped() > room {
            messages.senders().trim(room);
            save_messages(records, group, record, &messages);
        }
        skipped = skipped.saturating_add(messages.senders().skipped());
        kept.push(*epoch);
    }
    kept.reverse();
    state.epochs = kept;
    Ok(())
}

fn drop_epoch(records: &mut Overlay<'_>, group: &[u8; 16], epoch: u64, set_name: &[u8; 16]) {
    records.delete(epoch_key(group, epoch));
    records.delete(key(GROUP_SET, &[set_name]));
}

/// Drops epochs that may not be read any more (R-GROUP-24).
pub(crate) fn drop_old(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<(), EngineError> {
    let Some(mut state) = state::load(records, group)? else { return Ok(()) };
    let before = state.epochs.len();
    prune(records, group, &mut state, now)?;
    if state.epochs.len() != before {
        state::save(records, group, &state);
    }
    Ok(())
}

/// Drops what has been kept for long enough, in all groups.
pub(crate) fn upkeep(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    for group in state::ids(records)? {
        if state::load(records, &group)?.is_some_and(|state| state.epochs.len() > 1) {
            drop_old(records, &group, now)?;
        }
        follow::drop_secrets(records, &group, now)?;
    }
    waiting::drop_old(records, now)
}

/// Drops all epochs: this device is in the group no more.
pub(crate) fn forget(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    state: &mut GroupStateRecord,
) -> Result<(), EngineError> {
    for epoch in core::mem::take(&mut state.epochs) {
        if let Some((_, messages)) = messages(records, group, epoch)? {
            drop_epoch(records, group, epoch, messages.set_name());
        }
    }
    state.set_key.clear();
    Ok(())
}
