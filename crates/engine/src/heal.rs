//! Self-healing: what cannot be read leads, in time, to a request over the session that works, or to a new session.
//!
//! What cannot be read is never answered as such, and nothing happens at once: whoever damages or injects an
//! envelope must not see by the reaction whom it was from, or with whom this device talks (R-ENGINE-19).

use alloc::vec::Vec;
use core::time::Duration;

use chancery_core::{MAX_SKIP, Session, Tag};
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{Content, Heal, HealState, OutboxItem, PeerRecord, content::Body, outbox_item};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::numbers;
use crate::peers;
use crate::sending;
use crate::tables::{HEAL_STATE, key, load, save};

/// How often one device is asked, and how often a new session is begun with it to heal: once an hour each. A flood of
/// garbage costs each peer one prekey an hour at most (R-ENGINE-19).
pub(crate) const HEAL_INTERVAL: Duration = Duration::from_secs(60 * 60);
/// New sessions that a device begins in an hour to heal with devices that it knows to need it: 20.
pub(crate) const MAX_HEALS: u32 = 20;
/// New sessions that a device begins in an hour because of what nobody can be named for: 10, not counted among the
/// others, so that garbage cannot keep it from healing what is known to be broken (R-ENGINE-25).
pub(crate) const MAX_GUESSES: u32 = 10;
/// Requests over working sessions that a device makes in an hour: 60, each of 512 bytes.
pub(crate) const MAX_ASKS: u32 = 60;
/// How long a gap in a peer's numbers may last before it counts as lost: 60 s. A mailbox keeps its order, so what
/// is late by more is hardly under way.
pub(crate) const GAP_PATIENCE: Duration = Duration::from_secs(60);
/// A gap is asked for at a random time within 3 min after that, so that the time does not say which envelope is missed.
pub(crate) const GAP_SPREAD: Duration = Duration::from_secs(3 * 60);
/// What was damaged is asked for at a random time within 1 to 20 s.
pub(crate) const DAMAGE_SPREAD: Duration = Duration::from_secs(20);
/// A device that may have sent what nobody can be named for gets a new session at a random time within 30 min, unless
/// something of it is read before: most of what is garbage is found out by then (R-ENGINE-25).
pub(crate) const SUSPECT_SPREAD: Duration = Duration::from_secs(30 * 60);
/// A device whose one-time prekeys are used up waits for such a session for 24 h: by then it has new ones, and nobody
/// fills its record of handshakes by garbage sent to others.
pub(crate) const PUT_OFF: Duration = Duration::from_secs(24 * 60 * 60);
/// HMACs that searches for unknown tags may cost in an hour: 200,000, a tenth of a second of a slow processor; 99
/// sessions are searched to the end.
pub(crate) const SEARCH_BUDGET: u32 = 200_000;
/// With whom messages were exchanged within this time, 30 days, may be who sent what cannot be read.
pub(crate) const RECENT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// HMACs of one search of a session: two chains.
const SEARCH_COST: u32 = MAX_SKIP.saturating_add(1).saturating_mul(2);
/// How often devices are suspected: once a minute, so that a flood does not cost a look at all of them each time.
const SUSPECT_PAUSE: Duration = Duration::from_secs(60);
/// The least time until what was damaged is asked for.
const DAMAGE_LEAST: Duration = Duration::from_secs(1);

/// Whether `interval` has passed since `then`; a clock that went back must not stop anything for ever.
pub(crate) fn is_over(then: u64, interval: Duration, now: Timestamp) -> bool {
    let then = Timestamp::from_millis(then);
    then > now || now.since(then) >= interval
}

/// Whether the time has come for what is due at `then`, 0 for nothing; what is further ahead than `longest` was fixed by
/// a clock that was wrong.
pub(crate) fn has_come(then: u64, longest: Duration, now: Timestamp) -> bool {
    then != 0 && (then <= now.as_millis() || then > now.after(longest).as_millis())
}

/// Draws a time of `least` up to `most` after `from`.
pub(crate) fn draw(
    from: Timestamp,
    (least, most): (Duration, Duration),
    rng: &mut dyn CryptoRng,
) -> Timestamp {
    let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
    let number = u64::from_be_bytes(random_bytes(rng));
    let extra = number.checked_rem(span.saturating_add(1)).unwrap_or_default();
    from.after(least).after(Duration::from_millis(extra))
}

pub(crate) fn state(records: &dyn Records, now: Timestamp) -> Result<HealState, EngineError> {
    let mut state: HealState = load(records, &key(HEAL_STATE, &[]))?.unwrap_or_default();
    if is_over(state.hour_began, HEAL_INTERVAL, now) {
        state.hour_began = now.as_millis();
        state.heals = 0;
        state.guesses = 0;
        state.asks = 0;
        state.hmacs = 0;
    }
    Ok(state)
}

pub(crate) fn save_state(records: &mut Overlay<'_>, state: &HealState) {
    save(records, key(HEAL_STATE, &[]), state);
}

/// Why a new session is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The device is known to need it: what it authenticated says so, or it does not answer.
    Known,
    /// It may have sent what was not read.
    Guessed,
}

/// Begins a new session with a device, within the limits of R-ENGINE-19, R-ENGINE-24 and R-ENGINE-25; `false` if they
/// forbid it.
pub(crate) fn begin(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    cause: Cause,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let mut peer = peers::peer(records, device)?;
    let mut numbers = numbers::numbers(records, device)?;
    let mut state = state(records, now)?;
    let spent = match cause {
        Cause::Known => state.heals >= MAX_HEALS,
        Cause::Guessed => state.guesses >= MAX_GUESSES,
    };
    let too_soon = numbers.healed_at != 0 && !is_over(numbers.healed_at, HEAL_INTERVAL, now);
    if spent || too_soon || !may_begin(records, &peer, now)? {
        return Ok(false);
    }
    peer.healing = true;
    peer.guessing = cause == Cause::Guessed;
    peers::save_peer(records, device, &peer);
    numbers.healed_at = now.as_millis();
    numbers.ask_due = 0;
    numbers::save_and_enter(records, device, &mut numbers)?;
    match cause {
        Cause::Known => state.heals = state.heals.saturating_add(1),
        Cause::Guessed => state.guesses = state.guesses.saturating_add(1),
    }
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

/// Whether a new session with a device is of any use now.
fn may_begin(records: &dyn Records, peer: &PeerRecord, now: Timestamp) -> Result<bool, EngineError> {
    let is_known = !peers::is_out(peer) && !peer.member_id.is_empty();
    Ok(is_known
        && !peer.healing
        && !sending::is_full(records)?
        && !peers::awaits_answers(records, peer, now)?)
}

/// Somebody has damaged what a device sent: it is asked for what is missing, but not at once.
pub(crate) fn damaged(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    let due = draw(now, (DAMAGE_LEAST, DAMAGE_SPREAD), rng).as_millis();
    // A time that is set already stays: the least of many draws would say when the damage was done.
    if numbers.ask_due == 0 || numbers.ask_due > now.after(DAMAGE_SPREAD).as_millis() {
        numbers.ask_due = due;
        numbers::save_and_enter(records, device, &mut numbers)?;
    }
    Ok(())
}

/// Something came that nobody can be named as the sender of: every device that may be it is suspected, until something
/// of it is read (R-ENGINE-25).
pub(crate) fn suspect(
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut state = state(records, now)?;
    if !is_over(state.suspected_at, SUSPECT_PAUSE, now) {
        return Ok(());
    }
    state.suspected_at = now.as_millis();
    save_state(records, &state);
    for device in peers::all(records)? {
        let mut numbers = numbers::numbers(records, &device)?;
        let is_recent = is_recent(numbers.active_at, now);
        if numbers.suspect_due == 0 && is_recent {
            numbers.suspect_due = draw(now, (Duration::ZERO, SUSPECT_SPREAD), rng).as_millis();
            numbers::save_and_enter(records, &device, &mut numbers)?;
        }
    }
    Ok(())
}

/// Whether messages were exchanged lately; a time ahead of the clock is that of a clock that went back since.
fn is_recent(active_at: u64, now: Timestamp) -> bool {
    active_at > now.as_millis() || (active_at != 0 && !is_over(active_at, RECENT, now))
}

/// Begins new sessions with those of `devices` that are suspected for long enough, those first with which that was
/// longest ago, so that the hourly limit passes nobody over for ever.
pub(crate) fn begin_with_suspects(
    records: &mut Overlay<'_>,
    devices: &[DeviceId],
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut suspects = Vec::new();
    for device in devices {
        let numbers = numbers::numbers(records, device)?;
        if has_come(numbers.suspect_due, PUT_OFF, now) {
            suspects.push((numbers.healed_at, *device));
        }
    }
    suspects.sort_unstable();
    for (_, device) in suspects {
        if state(records, now)?.guesses >= MAX_GUESSES {
            return Ok(());
        }
        begin(records, &device, Cause::Guessed, now)?;
        let mut numbers = numbers::numbers(records, &device)?;
        numbers.suspect_due = 0;
        numbers::save_and_enter(records, &device, &mut numbers)?;
    }
    Ok(())
}

/// There are no prekeys, or only a last-resort one, for a session that is begun on a guess: it is put off (R-ENGINE-25).
pub(crate) fn put_off(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut numbers = numbers::numbers(records, device)?;
    numbers.suspect_due = now.after(PUT_OFF).as_millis();
    numbers::save_and_enter(records, device, &mut numbers)
}

/// Finds the session of a tag that no index knows, as far as the hour's budget goes (R-RATCHET-9). Where it ends, the
/// next search begins, so that a flood hides no peer for ever.
pub(crate) fn search(
    records: &mut Overlay<'_>,
    tag: &Tag,
    now: Timestamp,
) -> Result<Option<Session>, EngineError> {
    let mut state = state(records, now)?;
    let mut devices = peers::all(records)?;
    let from = usize::try_from(state.search_from).unwrap_or_default();
    let from = from.checked_rem(devices.len()).unwrap_or_default();
    devices.rotate_left(from);
    let before = state.hmacs;
    let mut found = None;
    'search: for (passed, device) in devices.iter().enumerate() {
        let peer = peers::peer(records, device)?;
        for id in [&peer.active].into_iter().chain(peer.archived.iter().rev()) {
            if state.hmacs.saturating_add(SEARCH_COST) > SEARCH_BUDGET {
                state.search_from = u32::try_from(from.saturating_add(passed)).unwrap_or_default();
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

/// Returns what a device writes to ask another for what it has not received.
pub(crate) fn content(records: &dyn Records, device: &DeviceId) -> Result<Content, EngineError> {
    let (highest, missing) = numbers::missing(&numbers::numbers(records, device)?);
    Ok(Content { body: Some(Body::Heal(Heal { highest, missing })), ..Content::default() })
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use chancery_crypto::rng::seeded;
    use chancery_wire::records::RecordKey;

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);

    #[test]
    fn a_time_is_drawn_within_its_limits_and_a_wrong_clock_stops_nothing_r_engine_19() {
        let mut rng = seeded([1; 32]);
        let (least, most) = (DAMAGE_LEAST, DAMAGE_SPREAD);
        let drawn: Vec<_> = (0..200).map(|_| draw(NOW, (least, most), &mut rng)).collect();
        assert!(drawn.iter().all(|time| *time >= NOW.after(least) && *time <= NOW.after(most)));
        assert!(drawn.iter().any(|time| *time < NOW.after(most / 3)));
        assert!(drawn.iter().any(|time| *time > NOW.after(most / 3 * 2)));
        let due = |time: Timestamp| has_come(time.as_millis(), most, NOW);
        assert!(!has_come(0, most, NOW) && due(NOW) && !due(NOW.after(most)));
        assert!(due(NOW.after(most * 2)), "fixed by a clock that was ahead");
        assert!(is_over(NOW.after(most).as_millis(), most, NOW));
    }

    #[test]
    fn who_was_active_before_the_clock_went_back_is_recent_r_engine_25() {
        assert!(!is_recent(0, NOW));
        assert!(is_recent(NOW.as_millis(), NOW) && is_recent(NOW.after(RECENT).as_millis(), NOW));
        assert!(!is_recent(NOW.as_millis(), NOW.after(RECENT)));
    }

    #[test]
    fn a_request_is_fixed_once_and_kept_r_engine_19() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let (device, mut rng) = (DeviceId::new([1; 16]), seeded([2; 32]));
        damaged(&mut records, &device, NOW, &mut rng).unwrap();
        let due = numbers::numbers(&records, &device).unwrap().ask_due;
        for milli in 0..1000 {
            damaged(&mut records, &device, NOW.after(Duration::from_millis(milli * 40)), &mut rng).unwrap();
        }
        let after = numbers::numbers(&records, &device).unwrap();
        assert_eq!(after.ask_due, due, "more damage brings nothing forward and puts nothing off");
        assert_eq!(peers::due(&records).unwrap(), [device]);
    }
}
