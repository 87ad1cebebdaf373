//! What reads the messages of the newest epoch, and of those that are over.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::{GroupDraft, GroupStep};

/// Returns group and epoch of a set name; `None` if it is not known.
pub(crate) fn by_set(
    _records: &dyn Records,
    _name: &[u8; 16],
) -> Result<Option<([u8; 16], u64)>, EngineError> {
    Ok(None)
}

/// Begins an epoch: what reads it is stored, and the epoch before is over.
pub(crate) fn begin(
    _records: &mut Overlay<'_>,
    (_group, _epoch): (&[u8; 16], u64),
    _keys: chancery_group::EpochKeys,
    _now: Timestamp,
) -> Result<(), EngineError> {
    Ok(())
}

/// Drops epochs that may not be read any more (R-GROUP-24).
pub(crate) fn drop_old(
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _now: Timestamp,
) -> Result<(), EngineError> {
    Ok(())
}
