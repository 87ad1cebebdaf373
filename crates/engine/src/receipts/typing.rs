//! That somebody is writing: told at once or not at all, and never kept (R-CONTENT-32, R-CONTENT-33, R-ENGINE-112).

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{Content, Deliver, Typing, outbox_item};
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::heal::is_over;
use crate::receipts::{devices_of, settings, told};
use crate::{log, numbers, peers, sending, target};

/// How often one member is told that the other is writing: every 5 s.
const TYPING_PAUSE: Duration = Duration::from_secs(5);
/// How long it holds, and how old it may be when it comes: 15 s.
const TYPING_HOLDS: Duration = Duration::from_secs(15);
/// How long ago messages must have gone between two devices at most for one to be told of the other's writing: 10 min.
const ACTIVE: Duration = Duration::from_secs(10 * 60);

/// Tells a member's devices that the own member is writing, or no longer: those with which messages were exchanged lately and for
/// which nothing waits.
pub(crate) fn tell(
    device: &Device,
    records: &mut Overlay<'_>,
    (to, stopped): (&MemberId, bool),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    let mut settings = settings::conversation(records, to.as_bytes())?;
    let is_recent = |pause| settings.typing_at != 0 && !is_over(settings.typing_at, pause, now);
    let is_due =
        if stopped { settings.typing_told && is_recent(TYPING_HOLDS) } else { !is_recent(TYPING_PAUSE) };
    let may = is_due && !told(records)?.no_typing && log::state_now(records, now)?.allows_sealing();
    if !may || *to == device.member_id() {
        return Ok(effects);
    }
    for recipient in devices_of(device, records, to, now)? {
        let active_at = numbers::numbers(records, &recipient)?.active_at;
        let waits = target::waiting(records, recipient.as_bytes())? > 0;
        if waits || active_at == 0 || is_over(active_at, ACTIVE, now) {
            continue;
        }
        let Some(mut session) = peers::active_session(records, &recipient)? else { continue };
        if !session.has_received() {
            continue;
        }
        let body = Some(Body::Typing(Typing { stopped }));
        let content = Content { sent_at: now.as_millis(), body, ..Content::default() };
        let step = sending::seal(records, &mut session, &content, now, rng)?;
        let outbox_item::Step::Sealed(sealed) = step else { continue };
        effects.push(Effect::DeliverOnce(Deliver {
            mailbox: recipient.as_bytes().to_vec(),
            delivery_id: sealed.delivery_id,
            token: Vec::new(),
            envelope: sealed.envelope,
        }));
    }
    if effects.is_empty() {
        return Ok(effects);
    }
    if !stopped {
        settings.typing_at = now.as_millis().max(1);
    }
    settings.typing_told = !stopped;
    settings::save_conversation(records, to.as_bytes(), &settings);
    Ok(effects)
}

/// Somebody says that they are writing, or no longer; what comes late is dropped.
pub(crate) fn heard(
    records: &dyn Records,
    (member, own): (&MemberId, &MemberId),
    (typing, sent_at): (&Typing, u64),
    now: Timestamp,
) -> Result<Option<Effect>, EngineError> {
    let apart = sent_at.abs_diff(now.as_millis());
    let is_late = u128::from(apart) > TYPING_HOLDS.as_millis();
    if is_late || member == own || told(records)?.no_typing {
        return Ok(None);
    }
    Ok(Some(Effect::Notify(Notice::Typing { member: *member, stopped: typing.stopped })))
}
