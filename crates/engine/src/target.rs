//! What the outbox knows of a device or an attachment that items wait for: how many, and since when in vain.

use chancery_wire::Timestamp;
use chancery_wire::proto::{OutboxItem, OutboxTarget, outbox_item};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::tables::{OUTBOX, key, load, save};

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
    save_target(records, name(item), &target);
    Ok(())
}

/// Notes that something went well for what an item waited for.
pub(crate) fn went_well(records: &mut Overlay<'_>, item: &OutboxItem) -> Result<(), EngineError> {
    let mut target = target(records, name(item))?;
    target.failing_since = 0;
    save_target(records, name(item), &target);
    Ok(())
}

/// Notes that a try failed, and returns when the first one did after which nothing went well.
pub(crate) fn failing_since(
    records: &mut Overlay<'_>,
    item: &OutboxItem,
    now: Timestamp,
) -> Result<u64, EngineError> {
    let mut target = target(records, name(item))?;
    if target.failing_since == 0 {
        target.failing_since = now.as_millis().max(1);
        save_target(records, name(item), &target);
    }
    Ok(target.failing_since)
}

/// Forgets a device that is no recipient any more.
pub(crate) fn forget(records: &mut Overlay<'_>, name: &[u8]) {
    records.delete(record_key(name));
}
