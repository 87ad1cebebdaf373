//! Deliveries that go with a commit: the relay holds them until it is stored (R-GROUP-18).

use chancery_wire::encode;
use chancery_wire::proto::{GroupCommitRecord, OutboxItem, outbox_item};
use chancery_wire::records::Overlay;

use crate::error::EngineError;
use crate::group::commit;
use crate::sending::{outbox, outbox_item};
use crate::tables::save;
use crate::target;

/// An item that goes with a commit has left the outbox, since the relay holds it or never will: it keeps the commit waiting no
/// longer.
pub(crate) fn ended(
    records: &mut Overlay<'_>,
    (item, stored): (u64, &OutboxItem),
) -> Result<(), EngineError> {
    if let Some((group, mut record)) = of(records, stored)? {
        record.held.retain(|held| *held != item);
        commit::save_pending(records, &group, &record);
    }
    Ok(())
}

/// An item could not be delivered now: nothing for its device keeps a commit waiting any longer (R-ENGINE-84). The relay takes what
/// goes with a commit also once that has won, and refuses it once that has lost.
pub(crate) fn device_failed(
    records: &mut Overlay<'_>,
    (item, tried): (u64, &OutboxItem),
) -> Result<(), EngineError> {
    ended(records, (item, tried))?;
    if tried.device_id.is_empty() || target::waiting(records, &tried.device_id)? < 2 {
        return Ok(());
    }
    for number in outbox().numbers(records)? {
        let Some(stored) = outbox_item(records, number)? else { continue };
        if stored.device_id == tried.device_id {
            ended(records, (number, &stored))?;
        }
    }
    Ok(())
}

/// Puts what begins a session into the place of an item that goes with a commit, which comes behind it (R-ENGINE-93): what the
/// relay holds may come late or never, and must not be what the next envelope needs.
pub(crate) fn behind(
    records: &mut Overlay<'_>,
    (item, stored): (u64, &OutboxItem),
    begins: outbox_item::Step,
) -> Result<(), EngineError> {
    let (conversation, device_id) = (stored.conversation.clone(), stored.device_id.clone());
    let first = OutboxItem { conversation, device_id, step: Some(begins), ..OutboxItem::default() };
    save(records, outbox().item_key(item), &first);
    // What was written meanwhile comes before it now, and may have to wait for an attachment.
    let is_alone = target::waiting(records, &stored.device_id)? <= 1;
    target::joined(records, stored)?;
    let moved = outbox().push(records, encode(stored))?;
    let Some((group, mut record)) = of(records, stored)? else { return Ok(()) };
    if is_alone {
        record.held.iter_mut().filter(|held| **held == item).for_each(|held| *held = moved);
    } else {
        record.held.retain(|held| *held != item);
    }
    commit::save_pending(records, &group, &record);
    Ok(())
}

/// Returns the commit that an item goes with, if that is neither through nor lost.
fn of(
    records: &Overlay<'_>,
    stored: &OutboxItem,
) -> Result<Option<([u8; 16], GroupCommitRecord)>, EngineError> {
    let Some(hold) = &stored.hold else { return Ok(None) };
    let group = hold.group_id.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let record = commit::pending(records, &group)?.filter(|record| record.content_hash == hold.hash);
    Ok(record.map(|record| (group, record)))
}
