//! A message with all that one may have, to a member or a group.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_wire::Timestamp;
use chancery_wire::records::Overlay;

use crate::effect::{Composed, Effect, Place};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::sending::dispatch;
use crate::{content, group, upkeep};

/// Stores a message with all that one may have, and everything that has to happen for it.
pub(crate) fn compose(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    composed: Composed,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Composed { to, message_id, text } = composed;
    let own = me.member_id();
    match to {
        Place::Member(to) => {
            let record = content::from_text((message_id, to.as_bytes()), text, &own, now)?;
            dispatch(me.device, records, (record, &to), now, rng)?;
            upkeep::warn(records, now)
        }
        Place::Group(id) => {
            let record = content::from_text((message_id, &id), text, &own, now)?;
            group::queue_record(records, &id, record, now)
        }
    }
}
