//! How items leave the outbox: done, refused, given up, or without a recipient.

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::encode;
use chancery_wire::proto::{Content, MessageRecord, OutboxItem, SealedStep, outbox_item};
use chancery_wire::records::Overlay;

use crate::content;
use crate::device::Device;
use crate::error::EngineError;
use crate::group;
use crate::messages::{MessageState, message, save_message};
use crate::numbers;
use crate::peers;
use crate::receiving;
use crate::sending::{is_counted, no_longer_waits, outbox, outbox_item, put_off, recipient_of};
use crate::settled::{self, WhyFailed};
use crate::tables::save;
use crate::target::{self, MAX_WAIT};

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The relay has it.
    Done,
    /// The relay refuses it for good, or has not taken it for [`MAX_WAIT`].
    Failed,
    /// Its recipient is no recipient any more.
    Dropped,
}

/// Ends an item, well or badly, and brings its message up to date.
pub(crate) fn finish(
    device: &Device,
    records: &mut Overlay<'_>,
    item: u64,
    end: End,
) -> Result<(), EngineError> {
    let Some(stored) = outbox_item(records, item)? else { return Ok(()) };
    remove(records, item, &stored)?;
    if end == End::Done {
        target::went_well(records, &stored)?;
    }
    match &stored.step {
        Some(outbox_item::Step::Unsealed(_)) => no_longer_waits(records, &recipient_of(&stored)?, &stored)?,
        Some(outbox_item::Step::Sealed(step)) if end == End::Failed => {
            take_back(device, records, (&recipient_of(&stored)?, &stored.message_id), step)?;
        }
        _ => {}
    }
    if stored.hold.is_some() {
        group::hold_ended(records, (item, &stored))?;
    }
    let own = device.member_id();
    if !is_counted(&stored, &own) {
        return Ok(());
    }
    let Some(mut record) = message(records, &own, &stored.message_id)? else { return Ok(()) };
    record.pending = record.pending.saturating_sub(1);
    let is_upload = stored.device_id.is_empty();
    let was = record.state;
    if end == End::Done && !is_upload {
        record.delivered = record.delivered.saturating_add(1);
    }
    if end == End::Failed && is_upload {
        record.state = MessageState::Failed as u32;
        drop_steps(records, &record)?;
        record.pending = 0;
    } else if record.state == MessageState::Queued as u32 {
        // One device that is refused, or lost, does not take the message from the others (R-ENGINE-13).
        if record.delivered > 0 {
            record.state = MessageState::Sent as u32;
        } else if record.pending == 0 {
            record.state = MessageState::Failed as u32;
        }
    }
    let why = match end {
        _ if is_upload => WhyFailed::File,
        End::Dropped => WhyFailed::NoRecipient,
        End::Done | End::Failed => WhyFailed::Relay,
    };
    settled::mark(&mut record, was, why);
    save_message(records, &record);
    settled::note(records, was, &record, why)
}

/// An envelope will never arrive. If it would have begun a session, the peer never learns of that: it ends, and what
/// was sealed with it since is sealed anew (R-ENGINE-23).
fn take_back(
    device: &Device,
    records: &mut Overlay<'_>,
    (recipient, message_id): (&DeviceId, &[u8]),
    refused: &SealedStep,
) -> Result<(), EngineError> {
    if !message_id.is_empty() {
        numbers::forget(records, recipient, message_id)?;
    }
    if refused.envelope.first() != Some(&receiving::INITIAL) || refused.session_id.is_empty() {
        return Ok(());
    }
    peers::end_session(records, recipient, &refused.session_id)?;
    for item in outbox().numbers(records)? {
        let Some(mut stored) = outbox_item(records, item)? else { continue };
        let Some(outbox_item::Step::Sealed(step)) = &stored.step else { continue };
        if step.session_id != refused.session_id {
            continue;
        }
        let record = message(records, &device.member_id(), &stored.message_id)?;
        let Some(record) = record.filter(|record| !stored.message_id.is_empty() && !record.expired) else {
            remove(records, item, &stored)?;
            group::hold_ended(records, (item, &stored))?;
            continue;
        };
        let number = numbers::number_of(records, recipient, &stored.message_id)?;
        let content = Content { number, ..content::of_record(&record, stored.copy) };
        stored.step = Some(outbox_item::Step::Unsealed(encode(&content)));
        save(records, outbox().item_key(item), &stored);
        let mut peer = peers::peer(records, recipient)?;
        peer.unsealed = peer.unsealed.saturating_add(1);
        peers::save_peer(records, recipient, &peer);
    }
    Ok(())
}

/// What waits to be sealed of an own message that was deleted since goes as its deletion (R-CONTENT-23).
pub(crate) fn replace_unsealed(
    records: &mut Overlay<'_>,
    deleted: &MessageRecord,
) -> Result<(), EngineError> {
    for item in outbox().numbers(records)? {
        let Some(mut stored) = outbox_item(records, item)?.filter(|it| it.message_id == deleted.id) else {
            continue;
        };
        if matches!(stored.step, Some(outbox_item::Step::Unsealed(_))) {
            let number = numbers::number_of(records, &recipient_of(&stored)?, &deleted.id)?;
            let content = Content { number, ..content::of_record(deleted, stored.copy) };
            stored.step = Some(outbox_item::Step::Unsealed(encode(&content)));
            save(records, outbox().item_key(item), &stored);
        }
    }
    Ok(())
}

/// Forgets a device that the directory names no longer: its sessions, and what waits for it (R-ENGINE-15).
pub(crate) fn remove_device(
    device: &Device,
    records: &mut Overlay<'_>,
    removed: &DeviceId,
) -> Result<(), EngineError> {
    drop_waiting(device, records, removed)?;
    target::forget(records, removed.as_bytes());
    numbers::remove(records, removed)?;
    peers::remove(records, removed)
}

/// Ends what waits for a device; a message that it leaves without a recipient has failed.
pub(crate) fn drop_waiting(
    device: &Device,
    records: &mut Overlay<'_>,
    removed: &DeviceId,
) -> Result<(), EngineError> {
    for item in outbox().numbers(records)? {
        let is_for_it = |stored: OutboxItem| stored.device_id.as_slice() == removed.as_bytes().as_slice();
        if outbox_item(records, item)?.is_some_and(is_for_it) {
            finish(device, records, item, End::Dropped)?;
        }
    }
    Ok(())
}

/// Removes what is left in the outbox of a message whose attachment failed: half of it is of no use to anybody.
fn drop_steps(records: &mut Overlay<'_>, failed: &MessageRecord) -> Result<(), EngineError> {
    for item in outbox().numbers(records)? {
        let Some(stored) = outbox_item(records, item)? else { continue };
        if stored.message_id != failed.id {
            continue;
        }
        match &stored.step {
            Some(outbox_item::Step::Unsealed(_)) => {
                no_longer_waits(records, &recipient_of(&stored)?, &stored)?;
            }
            Some(outbox_item::Step::Sealed(_)) => {
                numbers::forget(records, &recipient_of(&stored)?, &failed.id)?;
            }
            _ => {}
        }
        remove(records, item, &stored)?;
    }
    Ok(())
}

/// Takes an item out of the outbox.
pub(crate) fn remove(records: &mut Overlay<'_>, item: u64, stored: &OutboxItem) -> Result<(), EngineError> {
    outbox().remove(records, item)?;
    target::left(records, stored)
}

/// An item could not be done now, for a cause that lies with its device or attachment. Once nothing went well for
/// that one for [`MAX_WAIT`], what has waited for it for that long is given up (R-ENGINE-13).
///
/// That counts from the first try that failed: a device that was switched off for a month tries first.
pub(crate) fn postponed(
    device: &Device,
    records: &mut Overlay<'_>,
    item: u64,
    now: Timestamp,
) -> Result<(), EngineError> {
    let Some(tried) = outbox_item(records, item)? else { return Ok(()) };
    group::device_failed(records, (item, &tried))?;
    if matches!(tried.step, Some(outbox_item::Step::Unsealed(_))) && tried.healing_since != 0 {
        let recipient = recipient_of(&tried)?;
        if peers::peer(records, &recipient)?.guessing {
            return put_off(records, (item, &tried), &recipient, now);
        }
    }
    if !target::is_given_up(records, &tried, now)? {
        return Ok(());
    }
    for item in outbox().numbers(records)? {
        let Some(stored) = outbox_item(records, item)? else { continue };
        if target::name(&stored) != target::name(&tried) {
            continue;
        }
        let record = message(records, &device.member_id(), &stored.message_id)?;
        match record {
            // Written while the clock was ahead: it has waited since now at the latest.
            Some(mut record) if record.stored_at > now.as_millis() => {
                record.stored_at = now.as_millis();
                save_message(records, &record);
            }
            Some(record) if Timestamp::from_millis(record.stored_at).after(MAX_WAIT) > now => {}
            _ => finish(device, records, item, End::Failed)?,
        }
    }
    Ok(())
}
