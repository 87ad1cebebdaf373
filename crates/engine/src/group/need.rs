//! Asking for secrets that are missing, and answering (R-GROUP-19).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::{GroupDraft, GroupStep};

/// Returns when the next device is asked.
pub(crate) fn due(_records: &dyn Records, _group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    Ok(None)
}

pub(crate) fn ask(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}
