//! Messages to a group: kept, sealed when nothing forbids it, sent to all at once.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::{GroupDraft, GroupStep};

pub(crate) fn queue(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _draft: &GroupDraft<'_>,
    _now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    Err(EngineError::Misuse("not built yet"))
}

/// Stores an envelope that goes to a range of slots of the newest epoch's set, behind the messages that wait; it is dropped with
/// the epoch.
pub(crate) fn publish(
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _envelope: Vec<u8>,
    (_first, _count): (u32, u32),
    _rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    Ok(())
}

pub(crate) fn set_created(_records: &mut Overlay<'_>, _group: &[u8; 16]) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn set_unknown(_records: &mut Overlay<'_>, _group: &[u8; 16]) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn seal(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_group, _item): (&[u8; 16], u64),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn sent(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _item: u64,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn next_step(
    _engine: &Engine,
    _records: &dyn Records,
    _group: &[u8; 16],
    _now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    Ok(None)
}
