//! What keyholders, and everybody, do for their group unasked.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;

/// Returns when the next duty of this device is due.
pub(crate) fn due(_records: &dyn Records, _group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    Ok(None)
}

/// Notes what is due, so that a commit is made for it.
pub(crate) fn upkeep(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// Somebody asks that an order be carried out, or leaves; `from` is the device that asks.
pub(crate) fn requested(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_group, _from): (&[u8; 16], &chancery_identity::DeviceId),
    _order: &chancery_wire::proto::Signed,
    _now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}
