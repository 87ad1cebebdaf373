//! A message with all that one may have, to a member or a group.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{MessageRecord, Text};
use chancery_wire::records::{Overlay, Records};

use crate::effect::{Composed, Effect, Place};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::retention::Limits;
use crate::sending::dispatch;
use crate::{content, group, log, messages, upkeep};

/// Stores a message with all that one may have, and everything that has to happen for it.
pub(crate) fn compose(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    composed: Composed,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Composed { to, message_id, mut text } = composed;
    let own = me.member_id();
    let place = match &to {
        Place::Member(member) => member.as_bytes(),
        Place::Group(id) => id,
    };
    if let Some(target) = replied_to(records, (place, &text))?
        && is_passing(records, &target)?
    {
        unquote(&mut text);
    }
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

/// Returns the message that a text replies to, if it is one of the same conversation that is here or was.
fn replied_to(
    records: &dyn Records,
    (conversation, text): (&[u8], &Text),
) -> Result<Option<MessageRecord>, EngineError> {
    let target = text.reply_to.as_ref().and_then(|reply| reply.target.as_ref());
    let Some((author, target)) = target.and_then(|it| Some((MemberId::from_bytes(&it.author)?, it))) else {
        return Ok(None);
    };
    let found = messages::message(records, &author, &target.id)?;
    Ok(found.filter(|it| it.conversation == conversation && it.act.is_none() && it.done.is_none()))
}

/// Whether a message is to be deleted some day.
fn is_passing(records: &dyn Records, message: &MessageRecord) -> Result<bool, EngineError> {
    let of_group = message.group.first_chunk().map(|id| group::limits(records, id)).transpose()?;
    let limits = Limits::of(&log::policy(records)?).and(of_group.unwrap_or_default());
    let has_timer = message.text.as_ref().is_some_and(|text| text.disappear_after > 0);
    Ok(has_timer || limits.longest().is_some())
}

fn unquote(text: &mut Text) {
    if let Some(reply) = &mut text.reply_to {
        reply.quote.clear();
    }
}

/// Takes the quote out of a message that came, if what it quotes is here, or was: it would outlive that (R-CONTENT-36).
pub(crate) fn unquote_known(records: &dyn Records, message: &mut MessageRecord) -> Result<(), EngineError> {
    let Some(text) = &mut message.text else { return Ok(()) };
    if replied_to(records, (&message.conversation, text))?.is_some() {
        unquote(text);
    }
    Ok(())
}
