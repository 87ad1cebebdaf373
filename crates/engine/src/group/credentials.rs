//! Credentials of devices, verified once and kept.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::{GroupDraft, GroupStep};

use alloc::collections::BTreeSet;
use chancery_identity::Credential;
use chancery_wire::proto;

/// Returns a device's credential, if it is here: verified, and the one that the log has.
pub(crate) fn get(
    _me: &Acting<'_>,
    _records: &dyn Records,
    _device: &DeviceId,
) -> Result<Option<Credential>, EngineError> {
    Ok(None)
}

/// Notes that a device's credential has to be fetched; a step asks the relay for it.
pub(crate) fn want(_records: &mut Overlay<'_>, _device: &DeviceId) -> Result<(), EngineError> {
    Ok(())
}

pub(crate) fn fetched(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_device, _credential): (&DeviceId, Option<proto::Signed>),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn next_step(
    _engine: &Engine,
    _records: &dyn Records,
    _now: Timestamp,
    _blocked: &BTreeSet<[u8; 16]>,
) -> Result<Option<GroupStep>, EngineError> {
    Ok(None)
}
