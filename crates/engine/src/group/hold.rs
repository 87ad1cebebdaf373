//! Deliveries that go with a commit: the relay holds them until it is stored (R-GROUP-18).

use chancery_wire::proto::{GroupBegun, GroupCommitRecord, OutboxItem, outbox_item};
use chancery_wire::records::Overlay;

use crate::ending::End;
use crate::error::EngineError;
use crate::group::commit;
use crate::receiving;

/// An item that goes with a commit has left the outbox: the relay holds it, or never will.
pub(crate) fn ended(
    records: &mut Overlay<'_>,
    (item, stored): (u64, &OutboxItem),
    end: End,
) -> Result<(), EngineError> {
    let Some((group, mut record)) = of(records, stored)? else { return Ok(()) };
    record.held.retain(|held| *held != item);
    if let Some(outbox_item::Step::Sealed(sealed)) = &stored.step
        && end == End::Done
        && sealed.envelope.first() == Some(&receiving::INITIAL)
    {
        let (device_id, session_id) = (stored.device_id.clone(), sealed.session_id.clone());
        record.begun.push(GroupBegun { device_id, session_id });
    }
    commit::save_pending(records, &group, &record);
    Ok(())
}

/// An item that goes with a commit could not be delivered now: it keeps the commit waiting no longer (R-ENGINE-84). The relay
/// takes it once the commit has won, and refuses it once that has lost.
pub(crate) fn postponed(
    records: &mut Overlay<'_>,
    (item, stored): (u64, &OutboxItem),
) -> Result<(), EngineError> {
    if let Some((group, mut record)) = of(records, stored)? {
        record.held.retain(|held| *held != item);
        commit::save_pending(records, &group, &record);
    }
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
