//! What time demands of sessions: asking for what is missing, noticing that nobody acknowledges, acknowledging,
//! refreshing, and dropping what is old.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{Content, NumbersRecord, OutboxItem};
use chancery_wire::records::{Overlay, Records};

use crate::addressing;
use crate::amend;
use crate::answer::send_control;
use crate::device::Device;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::group;
use crate::heal::{self, Cause, GAP_PATIENCE, GAP_SPREAD, HEAL_INTERVAL, MAX_ASKS, has_come, is_over};
use crate::log::{self, LogState};
use crate::messages;
use crate::numbers;
use crate::peers;
use crate::receipts;
use crate::retention;
use crate::sending;
use crate::target;

/// How long a message may go unacknowledged before it is acknowledged without one: 1 h; also how often that
/// happens for one peer device.
pub(crate) const ACKNOWLEDGE_AFTER: Duration = Duration::from_secs(60 * 60);
/// How long an acknowledgement is waited for before it counts as missing: 2 h, twice the time in which it should come
/// (R-ENGINE-26).
pub(crate) const UNACKNOWLEDGED_AFTER: Duration = Duration::from_secs(2 * 60 * 60);
/// The random time that is added to it, up to 30 min.
pub(crate) const UNACKNOWLEDGED_SPREAD: Duration = Duration::from_secs(30 * 60);
/// A session on which something arrived and nothing was sent for this long, 24 h, is refreshed by an empty message,
/// so that a thief of its state is locked out also where nobody writes (R-ENGINE-21).
pub(crate) const REFRESH_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// How often what is too old is looked for: daily.
const TIDY_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How often sessions are asked whether they want a refresh: hourly.
const REFRESH_CHECK: Duration = Duration::from_secs(60 * 60);
/// The interval between heals for one gap doubles at most this often, to 32 h.
const MAX_DOUBLINGS: u32 = 5;
/// The interval at which a missing acknowledgement is noticed doubles at most this often, to 32 h.
const MAX_NUDGE_DOUBLINGS: u32 = 4;
/// The longest of these intervals, for times that a clock fixed that was wrong: 33 h.
const LONGEST: Duration = Duration::from_secs(33 * 60 * 60);

/// Returns the first time after `after` that was drawn at random for something to be done, `None` if there is none. A shell that
/// gives [`crate::Input::SessionUpkeep`] then, and not with something else that it does, keeps what the drawing hides.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn next_upkeep(records: &dyn Records, after: Timestamp) -> Result<Option<Timestamp>, EngineError> {
    let mut next: Option<u64> = None;
    for device in peers::due(records)? {
        let numbers = numbers::numbers(records, &device)?;
        let drawn = [numbers.ask_due, numbers.suspect_due, numbers.nudge_due];
        next = drawn.into_iter().filter(|due| *due > after.as_millis()).chain(next).min();
    }
    let timer = receipts::timers::next(records)?.filter(|due| *due > after.as_millis());
    Ok(next.into_iter().chain(timer).min().map(Timestamp::from_millis))
}

/// Does what only time demands: what is to disappear goes, and what has waited for a name for too long ends.
pub(crate) fn time_passes(
    device: &Device,
    records: &mut Overlay<'_>,
    now: Timestamp,
) -> Result<(), EngineError> {
    addressing::upkeep(device, records, now)?;
    receipts::timers::upkeep(records, now)
}

/// Ends what has waited for too long: for a name, in groups, or as an act for its target.
pub(crate) fn tidy(device: &Device, records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    addressing::upkeep(device, records, now)?;
    group::upkeep(records, now)?;
    amend::upkeep(records, now)
}

/// Warns when the log was not heard of for long (R-ENGINE-32).
pub(crate) fn warn(records: &dyn Records, now: Timestamp) -> Result<Vec<Effect>, EngineError> {
    Ok(match log::state_now(records, now)? {
        LogState::Aging => [Effect::Notify(Notice::LogAging)].into(),
        LogState::Stale => [Effect::Notify(Notice::LogStale)].into(),
        _ => Vec::new(),
    })
}

/// Does what time demands of sessions; nothing of it is urgent.
pub(crate) fn upkeep(
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    let due = peers::due(records)?;
    if !due.is_empty() {
        heal::begin_with_suspects(records, &due, now)?;
        for device in &due {
            effects.extend(give_up(records, device, now)?);
            ask(records, device, now, rng)?;
            renew(records, device, now)?;
            nudge(records, device, now, rng)?;
            acknowledge(records, device, now, rng)?;
            let mut numbers = numbers::numbers(records, device)?;
            numbers::save_and_enter(records, device, &mut numbers)?;
        }
    }
    let mut times = heal::state(records, now)?;
    retention::upkeep(records, &mut times, now)?;
    let tidies = is_over(times.tidied_at, TIDY_INTERVAL, now);
    let refreshes = is_over(times.refreshed_at, REFRESH_CHECK, now);
    if !tidies && !refreshes {
        return Ok(effects);
    }
    let all = peers::all(records)?;
    if all.is_empty() {
        return Ok(effects);
    }
    times.refreshed_at = now.as_millis();
    if tidies {
        times.tidied_at = now.as_millis();
    }
    heal::save_state(records, &times);
    for device in all {
        if tidies {
            peers::tidy(records, &device, now)?;
            numbers::drop_old(records, &device, now)?;
        }
        refresh(records, &device, now, rng)?;
    }
    Ok(effects)
}

/// Tells of messages that will never come (R-ENGINE-27).
pub(crate) fn tell_lost(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    lost: u64,
) -> Result<Option<Effect>, EngineError> {
    if lost == 0 {
        return Ok(None);
    }
    let member = peers::peer_member(records, device)?;
    let number = messages::append_lost(records, &member, lost)?;
    Ok(Some(Effect::Notify(Notice::EventStored(number))))
}

/// Gives up what is missing for so long that its sender has dropped it as well.
fn give_up(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
) -> Result<Option<Effect>, EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    if numbers.gap_since > now.as_millis() {
        // The clock went back: what is missing gets its whole time again.
        numbers.gap_since = now.as_millis().max(1);
        numbers::save_numbers(records, device, &numbers);
        return Ok(None);
    }
    if numbers.gap_since == 0 || !is_over(numbers.gap_since, numbers::HELD_LIFETIME, now) {
        return Ok(None);
    }
    let lost = numbers::give_up(&mut numbers);
    numbers::save_and_enter(records, device, &mut numbers)?;
    tell_lost(records, device, lost)
}

/// Asks a device over the session that works for what is missing, when that is due.
fn ask(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    let longest = GAP_PATIENCE.saturating_add(GAP_SPREAD);
    if numbers.gap_since != 0 && numbers.ask_due == 0 && numbers.heals == 0 {
        let since = Timestamp::from_millis(numbers.gap_since);
        numbers.ask_due = heal::draw(since, (GAP_PATIENCE, longest), rng).as_millis();
        numbers::save_numbers(records, device, &numbers);
    }
    let too_soon = numbers.asked_at != 0 && !is_over(numbers.asked_at, HEAL_INTERVAL, now);
    if !has_come(numbers.ask_due, longest, now) || too_soon {
        return Ok(());
    }
    let mut state = heal::state(records, now)?;
    if state.asks >= MAX_ASKS || sending::room_for(records, device)? == 0 {
        return Ok(());
    }
    numbers.ask_due = 0;
    if numbers.gap_since != 0 {
        numbers.heals = numbers.heals.max(1);
    }
    let peer = peers::peer(records, device)?;
    // A session that waits for its prekeys asks the same by its first message.
    let is_possible = !peers::is_out(&peer) && !peer.healing && peer.unsealed == 0;
    if is_possible && peers::active_session(records, device)?.is_some() {
        numbers.asked_at = now.as_millis();
        numbers::save_numbers(records, device, &numbers);
        state.asks = state.asks.saturating_add(1);
        heal::save_state(records, &state);
        let content = heal::content(records, device)?;
        return send_control(records, device, &content, now, rng);
    }
    numbers::save_numbers(records, device, &numbers);
    Ok(())
}

/// Begins a new session with a device that has been asked, and still has not sent what is missing.
fn renew(records: &mut Overlay<'_>, device: &DeviceId, now: Timestamp) -> Result<(), EngineError> {
    let numbers = numbers::numbers(records, device)?;
    let since = numbers.asked_at.max(numbers.healed_at);
    if numbers.gap_since == 0 || numbers.heals == 0 || !is_over(since, pause(numbers.heals), now) {
        return Ok(());
    }
    if heal::begin(records, device, Cause::Known, now)? {
        let mut numbers = numbers::numbers(records, device)?;
        numbers.heals = numbers.heals.saturating_add(1);
        numbers::save_numbers(records, device, &numbers);
    }
    Ok(())
}

fn pause(heals: u32) -> Duration {
    HEAL_INTERVAL.saturating_mul(1_u32 << heals.saturating_sub(1).min(MAX_DOUBLINGS))
}

/// Does something about an acknowledgement that does not come (R-ENGINE-26). What is still in the outbox nobody can
/// acknowledge.
fn nudge(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    if numbers.awaited_since == 0 {
        return Ok(());
    }
    if numbers.nudge_due == 0 {
        numbers.nudge_due = next_nudge(&numbers, Timestamp::from_millis(numbers.awaited_since), rng);
        numbers::save_numbers(records, device, &numbers);
    }
    if !has_come(numbers.nudge_due, LONGEST, now) {
        return Ok(());
    }
    let reminded = target::waiting(records, device.as_bytes())? == 0 && remind(records, device, now, rng)?;
    let mut numbers = numbers::numbers(records, device)?;
    numbers.nudges = numbers.nudges.saturating_add(reminded.into());
    numbers.nudge_due = next_nudge(&numbers, now, rng);
    numbers::save_numbers(records, device, &numbers);
    Ok(())
}

fn next_nudge(numbers: &NumbersRecord, from: Timestamp, rng: &mut dyn CryptoRng) -> u64 {
    let least = UNACKNOWLEDGED_AFTER.saturating_mul(1_u32 << numbers.nudges.min(MAX_NUDGE_DOUBLINGS));
    heal::draw(from, (least, least.saturating_add(UNACKNOWLEDGED_SPREAD)), rng).as_millis()
}

/// Lets a device know what it was sent: over a new session if it never answered on this one, and perhaps does not have it;
/// `false` if nothing was done.
fn remind(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<bool, EngineError> {
    let peer = peers::peer(records, device)?;
    let Some(session) = peers::active_session(records, device)? else { return Ok(false) };
    if peers::is_out(&peer) || peer.healing || peer.unsealed != 0 || sending::room_for(records, device)? == 0
    {
        return Ok(false);
    }
    let began_here = peers::note(&peer, &peer.active).is_some_and(|note| note.began_here);
    if began_here && !session.has_received() {
        return heal::begin(records, device, Cause::Known, now);
    }
    send_control(records, device, &Content { awaits: true, ..Content::default() }, now, rng)?;
    Ok(true)
}

/// Acknowledges what was not acknowledged by a message.
fn acknowledge(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    if numbers.owed_since == 0
        || !is_over(numbers.owed_since, ACKNOWLEDGE_AFTER, now)
        || !is_over(numbers.acknowledged_at, ACKNOWLEDGE_AFTER, now)
    {
        return Ok(());
    }
    numbers.acknowledged_at = now.as_millis();
    numbers::save_numbers(records, device, &numbers);
    send_control(records, device, &Content::default(), now, rng)
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
    if peers::is_out(&peer) || peers::is_expired(records, device, now)? {
        return Ok(());
    }
    if peer.unsealed != 0 || sending::room_for(records, device)? == 0 {
        return Ok(());
    }
    if !log::state_now(records, now)?.allows_sealing() {
        return Ok(());
    }
    let Some(mut session) = peers::active_session(records, device)? else { return Ok(()) };
    if !session.wants_refresh_after(REFRESH_INTERVAL, now) {
        return Ok(());
    }
    let member = peers::peer_member(records, device)?;
    if !directory::is_recipient(records, (&member, device))? {
        return Ok(());
    }
    let item = OutboxItem {
        conversation: member.as_bytes().to_vec(),
        device_id: device.as_bytes().to_vec(),
        step: Some(sending::refresh(records, &mut session, now, rng)?),
        ..OutboxItem::default()
    };
    sending::push(records, &item)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use chancery_wire::proto::ReceivedRange;
    use chancery_wire::records::RecordKey;

    use super::*;

    #[test]
    fn what_was_drawn_is_the_next_time_and_passes_r_engine_29() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let now = Timestamp::from_millis(1_000_000_000);
        assert_eq!(next_upkeep(&records, now), Ok(None));
        for (number, ask_due, suspect_due) in [(1, 0, 0), (2, 0, 1_000_000_007), (3, 1_000_000_005, 9)] {
            let mut numbers =
                NumbersRecord { ask_due, suspect_due, owed_since: 1, ..NumbersRecord::default() };
            numbers::save_and_enter(&mut records, &DeviceId::new([number; 16]), &mut numbers).unwrap();
        }
        let next =
            |after| next_upkeep(&records, Timestamp::from_millis(after)).unwrap().map(Timestamp::as_millis);
        assert_eq!(next(1_000_000_000), Some(1_000_000_005));
        assert_eq!(next(1_000_000_005), Some(1_000_000_007));
        assert_eq!(next(1_000_000_007), None);
    }

    #[test]
    fn a_clock_that_went_back_gives_nothing_up_r_engine_27() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let (device, now) = (DeviceId::new([1; 16]), Timestamp::from_millis(1_000_000_000));
        let before = NumbersRecord {
            gap_since: now.after(Duration::from_secs(3600)).as_millis(),
            above: [ReceivedRange { first: 2, last: 2, check: 1 }].into(),
            ..NumbersRecord::default()
        };
        numbers::save_numbers(&mut records, &device, &before);
        assert!(give_up(&mut records, &device, now).unwrap().is_none());
        let after = numbers::numbers(&records, &device).unwrap();
        assert_eq!((after.received_up_to, after.above), (0, before.above), "it may still come");
        assert_eq!(after.gap_since, now.as_millis());
    }
}
