//! Envelopes of groups, from the mailbox or from a slot of the relay.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::{GroupDraft, GroupStep};

use chancery_wire::proto::SlotContent;

/// Whether an envelope is of groups.
pub(crate) const fn is_kind(kind: u8) -> bool {
    matches!(kind, 0x17..=0x19)
}

pub(crate) fn receive(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _envelope: &[u8],
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// Takes over what is in a slot of the relay, be it fetched, found there, or this device's own commit that was put there.
pub(crate) fn fetched(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _group: &[u8; 16],
    (_attempt, _content): (u32, Option<&SlotContent>),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

/// The log has grown: what waited for it is tried again.
pub(crate) fn log_grown(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}

pub(crate) fn next_step(_records: &dyn Records, _group: &[u8; 16]) -> Result<Option<GroupStep>, EngineError> {
    Ok(None)
}
