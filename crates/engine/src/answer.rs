//! What a peer device's words about numbers lead to: what it lacks is sent again, or named as gone.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{Content, OutboxItem, content::Body};
use chancery_wire::records::Overlay;

use crate::content;
use crate::device::Device;
use crate::effect::Effect;
use crate::error::EngineError;
use crate::heal;
use crate::messages::{MessageState, message};
use crate::numbers::{self, Heard, Resend};
use crate::peers;
use crate::receipts;
use crate::sending;

/// How often one device is told what is gone: once a minute. Whoever asks for what it knows to be gone, again and again, must
/// not fill the outbox with the answers (R-ENGINE-20).
const GONE_PAUSE: Duration = Duration::from_secs(60);

/// Takes over what an authentic content says about numbers, and sends again what the peer device lacks. Returns how many
/// of its messages will never come, and what is new about own ones.
pub(crate) fn hear(
    device: &Device,
    records: &mut Overlay<'_>,
    (from, content): (&DeviceId, &Content),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(u64, Vec<Effect>), EngineError> {
    let heal = match &content.body {
        Some(Body::Heal(heal)) if content.id.is_empty() => Some(heal),
        _ => None,
    };
    let highest = heal.map_or(0, |heal| heal.highest);
    let hearing = numbers::hear(records, from, (content, highest), now)?;
    let arrived = if content.no_delivery { &[] } else { hearing.arrived.as_slice() };
    let delivered = receipts::delivered(device, records, (from, arrived), now)?;
    let disagrees = match hearing.heard {
        Heard::Refused => return Ok((hearing.lost, delivered)),
        Heard::Disagreed(up_to) => Some(up_to),
        Heard::Agreed => (highest > numbers::numbers(records, from)?.last_sent).then_some(highest),
    };
    // One place is left for what is gone, or has moved.
    let room = sending::room_for(records, from)?.saturating_sub(1);
    let answer = match (disagrees, heal) {
        (Some(up_to), _) => numbers::renumber(records, from, up_to.max(highest), room)?,
        (None, Some(heal)) => numbers::answer(records, from, (heal.highest, &heal.missing), room)?,
        (None, None) => return Ok((hearing.lost, delivered)),
    };
    if !answer.moved.is_empty() {
        let content = Content { moved: answer.moved, ..Content::default() };
        send_control(records, from, &content, now, rng)?;
    }
    for resend in &answer.resend {
        send_again(device, records, (from, resend), now, rng)?;
    }
    if !answer.gone.is_empty() && may_say_gone(records, from, now)? {
        let content = Content { gone: answer.gone, ..Content::default() };
        send_control(records, from, &content, now, rng)?;
    }
    Ok((hearing.lost, delivered))
}

/// Whether a device may be told now what is gone; notes that it is.
fn may_say_gone(records: &mut Overlay<'_>, device: &DeviceId, now: Timestamp) -> Result<bool, EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    if numbers.gone_at != 0 && !heal::is_over(numbers.gone_at, GONE_PAUSE, now) {
        return Ok(false);
    }
    numbers.gone_at = now.as_millis().max(1);
    numbers::save_numbers(records, device, &numbers);
    Ok(true)
}

/// Sends a message again, to a device that was meant to have it the first time.
fn send_again(
    device: &Device,
    records: &mut Overlay<'_>,
    (to, resend): (&DeviceId, &Resend),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let own = device.member_id();
    let Some(record) = message(records, &own, &resend.message_id)? else { return Ok(()) };
    if record.state == MessageState::Failed as u32 || record.expired {
        return Ok(());
    }
    let copy = peers::peer_member(records, to)? == own;
    let content = Content { number: resend.number, ..content::of_record(&record, copy) };
    send_quietly(records, (to, copy), &content, now, rng)
}

/// Sends a content without a message, if there is a session for it.
pub(crate) fn send_control(
    records: &mut Overlay<'_>,
    to: &DeviceId,
    content: &Content,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    if peers::active_session(records, to)?.is_none() {
        return Ok(());
    }
    send_quietly(records, (to, false), content, now, rng)
}

/// Sends what is no new message of the history.
fn send_quietly(
    records: &mut Overlay<'_>,
    (to, copy): (&DeviceId, bool),
    content: &Content,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    if sending::room_for(records, to)? == 0 || peers::is_out(&peers::peer(records, to)?) {
        return Ok(());
    }
    let member = peers::peer_member(records, to)?;
    let step = sending::seal_or_wait(records, (&member, to), content, now, rng)?;
    sending::push(
        records,
        &OutboxItem {
            conversation: member.as_bytes().to_vec(),
            device_id: to.as_bytes().to_vec(),
            step: Some(step),
            copy,
            note: sending::is_note(content),
            ..OutboxItem::default()
        },
    )
}
