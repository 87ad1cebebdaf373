//! What the outbox knows of a device or an attachment that items wait for: how many, and since when in vain.

use alloc::collections::BTreeSet;
use core::time::Duration;

use chancery_wire::Timestamp;
use chancery_wire::proto::{OutboxItem, OutboxTarget, outbox_item};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::sending::{outbox, outbox_item as stored_item};
use crate::tables::{OUTBOX, key, load, save};

/// How long an item is tried: 30 days, as long as a device holds what it has sent (R-ENGINE-18). A device that takes
/// nothing for so long is lost or its owner has left.
pub const MAX_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How far apart the last two tries that count must lie: 1 day, time enough for a device that is back, and for a clock
/// that is set right.
const LAST_CHANCE: Duration = Duration::from_secs(24 * 3600);

/// Items have names of 8 bytes in the same table; devices and blobs of 16.
fn record_key(name: &[u8]) -> RecordKey {
    key(OUTBOX, &[name])
}

/// Returns what an item waits for: a device, or the attachment that it uploads.
pub(crate) fn name(item: &OutboxItem) -> &[u8] {
    match &item.step {
        Some(outbox_item::Step::Upload(upload)) => &upload.blob_id,
        _ => &item.device_id,
    }
}

fn target(records: &dyn Records, name: &[u8]) -> Result<OutboxTarget, EngineError> {
    Ok(load(records, &record_key(name))?.unwrap_or_default())
}

fn save_target(records: &mut Overlay<'_>, name: &[u8], target: &OutboxTarget) {
    if *target == OutboxTarget::default() {
        records.delete(record_key(name));
    } else {
        save(records, record_key(name), target);
    }
}

/// Returns how many items wait for a device. Those of a version that did not count are left out.
pub(crate) fn waiting(records: &dyn Records, name: &[u8]) -> Result<u64, EngineError> {
    Ok(target(records, name)?.waiting)
}

/// Whether nothing waits for a device, and the last try for it did not fail: what joins now is tried at once.
pub(crate) fn is_free(records: &dyn Records, name: &[u8]) -> Result<bool, EngineError> {
    let target = target(records, name)?;
    Ok(target.waiting == 0 && target.failing_since == 0)
}

/// Counts an item that begins to wait.
pub(crate) fn joined(records: &mut Overlay<'_>, item: &OutboxItem) -> Result<(), EngineError> {
    let mut target = target(records, name(item))?;
    target.waiting = target.waiting.saturating_add(1);
    save_target(records, name(item), &target);
    Ok(())
}

/// Counts an item that waits no longer.
pub(crate) fn left(records: &mut Overlay<'_>, item: &OutboxItem) -> Result<(), EngineError> {
    let mut target = target(records, name(item))?;
    target.waiting = target.waiting.saturating_sub(1);
    if target.waiting == 0 && item.device_id.is_empty() {
        // An attachment is uploaded once: nothing will ever wait for it again.
        target = OutboxTarget::default();
    }
    save_target(records, name(item), &target);
    Ok(())
}

/// Notes that something went well for what an item waited for.
pub(crate) fn went_well(records: &mut Overlay<'_>, item: &OutboxItem) -> Result<(), EngineError> {
    let mut target = target(records, name(item))?;
    target.failing_since = 0;
    target.failed_again = 0;
    save_target(records, name(item), &target);
    Ok(())
}

/// Notes that a try failed, and returns whether all have for [`MAX_WAIT`].
///
/// Tries that are [`LAST_CHANCE`] apart must have failed at the end of that time, so that neither a clock that is ahead
/// for a while gives anything up nor the first try of a machine that was switched off.
pub(crate) fn is_given_up(
    records: &mut Overlay<'_>,
    item: &OutboxItem,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let before = target(records, name(item))?;
    let mut target = before;
    let passed = |since: u64, wait| Timestamp::from_millis(since).after(wait) <= now;
    // What lies ahead was noted by a clock that was wrong.
    if target.failing_since == 0 || target.failing_since > now.as_millis() {
        target.failing_since = now.as_millis().max(1);
    }
    if !passed(target.failing_since, MAX_WAIT.saturating_sub(LAST_CHANCE)) {
        target.failed_again = 0;
    } else if target.failed_again == 0 || target.failed_again > now.as_millis() {
        target.failed_again = now.as_millis();
    }
    if target != before {
        save_target(records, name(item), &target);
    }
    Ok(target.failed_again != 0 && passed(target.failed_again, LAST_CHANCE))
}

/// Forgets a device that is no recipient any more.
pub(crate) fn forget(records: &mut Overlay<'_>, name: &[u8]) {
    records.delete(record_key(name));
}

/// Returns what an own message waits for: devices and files of which something of it is to be sent. None if nothing of it is in the
/// outbox.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn waits_for(records: &dyn Records, message_id: &[u8; 16]) -> Result<BTreeSet<[u8; 16]>, EngineError> {
    let mut targets = BTreeSet::new();
    for item in outbox().numbers(records)? {
        let stored = stored_item(records, item)?.filter(|it| it.message_id == message_id);
        if let Some(stored) = stored {
            targets.insert(name(&stored).try_into().map_err(|_| EngineError::DamagedRecord)?);
        }
    }
    Ok(targets)
}
