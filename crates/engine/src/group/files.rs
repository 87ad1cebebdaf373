//! Files of groups: rosters and trees that are too long for a content.

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

/// Keeps what is to be stored at the relay, in chunks, until [`remove`].
pub(crate) fn keep(_records: &mut Overlay<'_>, _file: &[u8; 16], _content: &[u8]) {}

/// Returns what was kept or fetched under a name.
pub(crate) fn content(
    _records: &dyn Records,
    _file: &[u8; 16],
) -> Result<Option<chancery_crypto::secret::SecretBytes>, EngineError> {
    Ok(None)
}

/// Deletes it.
pub(crate) fn remove(_records: &mut Overlay<'_>, _file: &[u8; 16]) -> Result<(), EngineError> {
    Ok(())
}

pub(crate) fn fetched(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_file, _content): (&[u8; 16], Option<&[u8]>),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn next_step(
    _records: &dyn Records,
    _now: Timestamp,
    _blocked: &BTreeSet<[u8; 16]>,
) -> Result<Option<GroupStep>, EngineError> {
    Ok(None)
}
