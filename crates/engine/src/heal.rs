//! Self-healing: from traffic that cannot be read to a new session and the missing messages, without the user.
//!
//! What cannot be read is never answered as such. It may begin a new session with devices that are known already,
//! at most as often as the limits here allow, whatever it was: nobody learns from it why it was not read.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_core::{MAX_SKIP, Session, Tag};
use chancery_crypto::rng::CryptoRng;
use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{Content, Heal, HealState, OutboxItem, content::Body, outbox_item};
use chancery_wire::records::{Overlay, Records};

use crate::content;
use crate::device::Device;
use crate::error::EngineError;
use crate::messages::{MessageState, message};
use crate::numbers::{self, Heard, Resend};
use crate::peers;
use crate::sending;
use crate::tables::{HEAL_STATE, key, load, save};

/// How often a new session is begun with one device to heal: once an hour. A flood of garbage costs each peer one
/// prekey an hour (R-ENGINE-19).
pub const HEAL_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// New sessions that a device begins to heal in an hour, with all peers: 20.
pub const MAX_HEALS: u32 = 20;
/// How long a gap in a peer's numbers may last before it counts as lost: 60 s. A mailbox keeps its order, so what
/// is late by more is hardly under way.
pub const GAP_PATIENCE: Duration = Duration::from_secs(60);
/// HMACs that searches for unknown tags may cost in an hour: 200,000, a tenth of a second of a slow processor; 99
/// sessions are searched to the end.
pub const SEARCH_BUDGET: u32 = 200_000;
/// With whom messages were exchanged within this time, 30 days, may be who sent what cannot be read.
pub const RECENT: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a message may go unacknowledged before it is acknowledged without one: 1 h; also how often that
/// happens for one peer device.
pub const ACKNOWLEDGE_AFTER: Duration = Duration::from_secs(60 * 60);
/// A session on which something arrived and nothing was sent for this long, 24 h, is refreshed by an empty message,
/// so that a thief of its state is locked out also where nobody writes (R-ENGINE-21).
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// HMACs of one search of a session: two chains.
const SEARCH_COST: u32 = MAX_SKIP.saturating_add(1).saturating_mul(2);
/// How often what is too old is looked for: daily.
const TIDY_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How often sessions are asked whether they want a refresh: hourly.
const REFRESH_CHECK: Duration = Duration::from_secs(60 * 60);
/// The interval between heals for one gap doubles at most this often, to 32 h.
const MAX_DOUBLINGS: u32 = 5;

/// Whether `interval` has passed since `then`; a clock that went back must not stop anything for ever.
fn is_over(then: u64, interval: Duration, now: Timestamp) -> bool {
    let then = Timestamp::from_millis(then);
    then > now || now.since(then) >= interval
}

fn state(records: &dyn Records, now: Timestamp) -> Result<HealState, EngineError> {
    let mut state: HealState = load(records, &key(HEAL_STATE, &[]))?.unwrap_or_default();
    if is_over(state.hour_began, HEAL_INTERVAL, now) {
        state.hour_began = now.as_millis();
        state.heals = 0;
        state.hmacs = 0;
    }
    Ok(state)
}

fn save_state(records: &mut Overlay<'_>, state: &HealState) {
    save(records, key(HEAL_STATE, &[]), state);
}

/// Begins a new session with a device, within the limits of R-ENGINE-19; `false` if they forbid it.
pub(crate) fn begin(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let mut peer = peers::peer(records, device)?;
    let mut numbers = numbers::numbers(records, device)?;
    let mut state = state(records, now)?;
    let too_soon = numbers.healed_at != 0 && !is_over(numbers.healed_at, HEAL_INTERVAL, now);
    if peer.removed || peer.healing || peer.member_id.is_empty() || too_soon || state.heals >= MAX_HEALS {
        return Ok(false);
    }
    peer.healing = true;
    peers::save_peer(records, device, &peer);
    numbers.healed_at = now.as_millis();
    numbers::save_numbers(records, device, &numbers);
    state.heals = state.heals.saturating_add(1);
    save_state(records, &state);
    sending::push(
        records,
        &OutboxItem {
            conversation: peer.member_id,
            device_id: device.as_bytes().to_vec(),
            step: Some(outbox_item::Step::Unsealed(Vec::new())),
            healing_since: now.as_millis().max(1),
            ..OutboxItem::default()
        },
    )?;
    Ok(true)
}

/// Something came that nobody can be named as the sender of: whoever it may be is healed with.
pub(crate) fn begin_with_all(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    let mut candidates = Vec::new();
    if state(records, now)?.heals >= MAX_HEALS {
        return Ok(());
    }
    for device in peers::all(records)? {
        let numbers = numbers::numbers(records, &device)?;
        if !is_over(numbers.active_at, RECENT, now) {
            candidates.push((numbers.healed_at, device));
        }
    }
    // Those whose turn was longest ago come first, so that the hourly limit passes nobody over for ever.
    candidates.sort_unstable();
    for (_, device) in candidates {
        begin(records, &device, now)?;
    }
    Ok(())
}

/// Finds the session of a tag that no index knows, as far as the hour's budget goes (R-RATCHET-9).
pub(crate) fn search(
    records: &mut Overlay<'_>,
    tag: &Tag,
    now: Timestamp,
) -> Result<Option<Session>, EngineError> {
    let mut state = state(records, now)?;
    let before = state.hmacs;
    let mut found = None;
    'search: for device in peers::all(records)? {
        let peer = peers::peer(records, &device)?;
        for id in [&peer.active].into_iter().chain(peer.archived.iter().rev()) {
            if state.hmacs.saturating_add(SEARCH_COST) > SEARCH_BUDGET {
                break 'search;
            }
            let Some(session) = peers::session(records, id)? else { continue };
            state.hmacs = state.hmacs.saturating_add(SEARCH_COST);
            if session.search(tag) {
                found = Some(session);
                break 'search;
            }
        }
    }
    if state.hmacs != before {
        save_state(records, &state);
    }
    Ok(found)
}

/// Returns what a device writes over the session that heals: what it has not received.
pub(crate) fn content(records: &dyn Records, device: &DeviceId) -> Result<Content, EngineError> {
    let (highest, missing) = numbers::missing(&numbers::numbers(records, device)?);
    Ok(Content { body: Some(Body::Heal(Heal { highest, missing })), ..Content::default() })
}

/// Takes over what an authentic content says about numbers, and sends again what the peer device lacks.
pub(crate) fn hear(
    device: &Device,
    records: &mut Overlay<'_>,
    (from, content): (&DeviceId, &Content),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let heard = numbers::hear(records, from, content, now)?;
    let heal = match &content.body {
        Some(Body::Heal(heal)) if content.id.is_empty() => Some(heal),
        _ => None,
    };
    let highest = heal.map_or(0, |heal| heal.highest);
    let disagrees = match heard {
        Heard::Disagreed(up_to) => Some(up_to),
        Heard::Agreed => (highest > numbers::numbers(records, from)?.last_sent).then_some(highest),
    };
    let answer = match (disagrees, heal) {
        (Some(up_to), _) => numbers::Answer {
            resend: numbers::renumber(records, from, up_to.max(highest))?,
            ..numbers::Answer::default()
        },
        (None, Some(heal)) => numbers::answer(records, from, (heal.highest, &heal.missing))?,
        (None, None) => return Ok(()),
    };
    for resend in &answer.resend {
        send_again(device, records, (from, resend), now, rng)?;
    }
    if !answer.gone.is_empty() {
        let content = Content { gone: answer.gone, ..Content::default() };
        send_control(records, from, &content, now, rng)?;
    }
    Ok(())
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
    if record.state == MessageState::Failed as u32 {
        return Ok(());
    }
    let mut content = content::of_record(&record);
    content.number = resend.number;
    let copy = peers::peer_member(records, to)? == own;
    if copy {
        content.conversation = record.conversation;
    }
    send_quietly(records, (to, copy), &content, now, rng)
}

/// Sends a content without a message, if there is a session for it.
fn send_control(
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
    if sending::is_full(records)? {
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
            ..OutboxItem::default()
        },
    )
}

/// Does what time demands: heals lasting gaps, acknowledges what was not, refreshes sessions, drops what is old.
pub(crate) fn upkeep(
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    for device in peers::due(records)? {
        look_after(records, &device, now, rng)?;
    }
    let mut times = state(records, now)?;
    let tidies = is_over(times.tidied_at, TIDY_INTERVAL, now);
    let refreshes = is_over(times.refreshed_at, REFRESH_CHECK, now);
    if !tidies && !refreshes {
        return Ok(());
    }
    let all = peers::all(records)?;
    if all.is_empty() {
        return Ok(());
    }
    times.refreshed_at = now.as_millis();
    if tidies {
        times.tidied_at = now.as_millis();
    }
    save_state(records, &times);
    for device in all {
        if tidies {
            peers::tidy(records, &device, now)?;
            numbers::drop_old(records, &device, now)?;
        }
        refresh(records, &device, now, rng)?;
    }
    Ok(())
}

fn look_after(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    if numbers.gap_since != 0 && is_over(numbers.gap_since, numbers::HELD_LIFETIME, now) {
        // By now the sender has dropped it as well.
        numbers::give_up(&mut numbers);
        numbers::save_numbers(records, device, &numbers);
    }
    let pause = HEAL_INTERVAL.saturating_mul(1_u32 << numbers.heals.saturating_sub(1).min(MAX_DOUBLINGS));
    let waited = numbers.heals == 0 || is_over(numbers.healed_at, pause, now);
    if numbers.gap_since != 0
        && is_over(numbers.gap_since, GAP_PATIENCE, now)
        && waited
        && begin(records, device, now)?
    {
        numbers = numbers::numbers(records, device)?;
        numbers.heals = numbers.heals.saturating_add(1);
        numbers::save_numbers(records, device, &numbers);
    }
    if numbers.owed_since != 0
        && is_over(numbers.owed_since, ACKNOWLEDGE_AFTER, now)
        && is_over(numbers.acknowledged_at, ACKNOWLEDGE_AFTER, now)
    {
        numbers.acknowledged_at = now.as_millis();
        numbers::save_numbers(records, device, &numbers);
        send_control(records, device, &Content::default(), now, rng)?;
        numbers = numbers::numbers(records, device)?;
    }
    if numbers.gap_since == 0 && numbers.owed_since == 0 {
        numbers.due = false;
        numbers::save_numbers(records, device, &numbers);
        peers::set_due(records, device, false)?;
    }
    Ok(())
}

/// Refreshes a session that has gone unhealed for [`REFRESH_INTERVAL`], with an empty message that carries what
/// heals it.
fn refresh(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let peer = peers::peer(records, device)?;
    if peer.removed || peer.unsealed != 0 || sending::is_full(records)? {
        return Ok(());
    }
    let Some(mut session) = peers::active_session(records, device)? else { return Ok(()) };
    if !session.wants_refresh_after(REFRESH_INTERVAL, now) {
        return Ok(());
    }
    let member = peers::peer_member(records, device)?;
    let item = OutboxItem {
        conversation: member.as_bytes().to_vec(),
        device_id: device.as_bytes().to_vec(),
        step: Some(sending::refresh(records, &mut session, now, rng)?),
        ..OutboxItem::default()
    };
    sending::push(records, &item)
}
