//! The commit that this device makes: built, put into its slot, won or overtaken.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_wire::Timestamp;
use chancery_wire::proto::{GroupCommitRecord, SlotContent};
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::GroupStep;
use crate::tables::{GROUP_COMMIT, key, load};

/// Returns the commit that waits to win; `follow` takes its secrets from here when it meets it.
pub(crate) fn pending(
    records: &dyn Records,
    group: &[u8; 16],
) -> Result<Option<GroupCommitRecord>, EngineError> {
    load(records, &key(GROUP_COMMIT, &[group]))
}

/// Returns what has to be done for a commit: to make one, to store its files, to put it into its slot. Nothing while what
/// goes with it is not held by the relay yet.
pub(crate) fn next_step(
    _engine: &Engine,
    _records: &dyn Records,
    _group: &[u8; 16],
    _now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    Ok(None)
}

/// Makes the commit that is due on the epoch of now.
pub(crate) fn make(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// A file that goes with the commit is stored.
pub(crate) fn file_stored(
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    _file: &[u8; 16],
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// The relay has put the commit into its slot, or another was there: `receive::slot` follows either.
pub(crate) fn slot_answer(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    (_attempt, _taken): (u32, Option<&SlotContent>),
    (_now, _rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// A commit was followed: the own one is through if it is this, and otherwise overtaken.
pub(crate) fn followed(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_group, _hash): (&[u8; 16], &[u8; 32]),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}
