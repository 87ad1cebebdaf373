//! Deliveries that go with a commit: the relay holds them until it is stored (R-GROUP-18).

use chancery_wire::proto::OutboxItem;
use chancery_wire::records::Overlay;

use crate::ending::End;
use crate::error::EngineError;

/// An item that goes with a commit has left the outbox: the relay holds it, or never will.
pub(crate) fn ended(
    _records: &mut Overlay<'_>,
    (_item, _stored): (u64, &OutboxItem),
    _end: End,
) -> Result<(), EngineError> {
    Ok(())
}

/// An item that goes with a commit could not be delivered now: it keeps the commit waiting no longer, and is sent once that has
/// won. Returns whether it was such an item.
pub(crate) fn postponed(
    _records: &mut Overlay<'_>,
    (_item, _stored): (u64, &OutboxItem),
) -> Result<bool, EngineError> {
    Ok(false)
}
