//! What the member wants done in a group, in order.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::GroupOperation;
use crate::queue::Queue;
use crate::tables::GROUP_INTENT;

/// The queue of a group's [`chancery_wire::proto::GroupIntentRecord`].
pub(crate) const fn queue(group: &[u8; 16]) -> Queue<'_> {
    Queue::new(GROUP_INTENT, group)
}

/// Returns how many of the member's wishes are not carried out yet.
pub(crate) fn waiting(records: &dyn Records, group: &[u8; 16]) -> Result<u64, EngineError> {
    queue(group).len(records)
}

/// Stores what is wanted, unless the role does not allow it.
pub(crate) fn submit(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_group, _operation): (&[u8; 16], GroupOperation<'_>),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Err(EngineError::Misuse("not built yet"))
}
