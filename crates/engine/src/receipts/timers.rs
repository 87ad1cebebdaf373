//! Messages that are deleted some time after they were read (R-CONTENT-34, R-ENGINE-110).

use alloc::collections::BTreeSet;
use core::time::Duration;

use chancery_wire::Timestamp;
use chancery_wire::proto::{MessageRecord, TimerRecord, TimersRecord};
use chancery_wire::records::{Overlay, Records};

use crate::conversations;
use crate::error::EngineError;
use crate::heal::is_over;
use crate::messages::MessageState;
use crate::queue::Queue;
use crate::receipts::{Reference, find, reference_of};
use crate::retention;
use crate::shown;
use crate::tables::{TIMERS, key, load, save};

/// The longest time after which a message disappears: 366 days.
pub(crate) const MAX_DISAPPEAR: u32 = 366 * 24 * 60 * 60;
/// How often a message is looked at that has to go and still waits to be sent: once a minute.
const WAIT_PAUSE: Duration = Duration::from_secs(60);
/// Timers from which on they are looked through at most once a minute: 1,000, some tens of milliseconds of work.
const MANY: u64 = 1000;

const fn queue() -> Queue<'static> {
    Queue::new(TIMERS, b"")
}

fn state(records: &dyn Records) -> Result<TimersRecord, EngineError> {
    Ok(load(records, &key(TIMERS, &[]))?.unwrap_or_default())
}

/// Starts the timer of a message, if it has one.
pub(crate) fn start(
    records: &mut Overlay<'_>,
    record: &MessageRecord,
    since: Timestamp,
) -> Result<(), EngineError> {
    let seconds = record.text.as_ref().map_or(0, |text| text.disappear_after);
    let (Some(reference), true) = (reference_of(record), seconds > 0) else { return Ok(()) };
    let after = Duration::from_secs(u64::from(seconds.min(MAX_DISAPPEAR)));
    let timer = TimerRecord {
        reference: reference.to_vec(),
        since: since.as_millis(),
        after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
    };
    queue().push(records, chancery_wire::encode(&timer))?;
    let mut state = state(records)?;
    state.next = earlier(state.next, since.after(after).as_millis());
    state.latest = state.latest.max(since.as_millis());
    save(records, key(TIMERS, &[]), &state);
    Ok(())
}

/// The earlier of two times, of which the first is 0 if there is none.
fn earlier(known: u64, other: u64) -> u64 {
    if known == 0 { other.max(1) } else { known.min(other.max(1)) }
}

/// Returns when the first timer is over; `None` without one.
pub(crate) fn next(records: &dyn Records) -> Result<Option<u64>, EngineError> {
    Ok(Some(state(records)?.next).filter(|next| *next != 0))
}

/// Whether timers are over by now, or were started by a clock that was ahead.
pub(crate) fn are_due(records: &dyn Records, now: Timestamp) -> Result<bool, EngineError> {
    let state = state(records)?;
    if state.next == 0 {
        return Ok(false);
    }
    let is_crowded = queue().len(records)? > MANY;
    let rests = is_crowded && state.looked_at != 0 && !is_over(state.looked_at, WAIT_PAUSE, now);
    let went_back = state.latest > now.as_millis();
    Ok((state.next <= now.as_millis() && !rests) || went_back)
}

/// Deletes messages whose timer is over.
pub(crate) fn upkeep(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    if !are_due(records, now)? {
        return Ok(());
    }
    let (mut next, mut gone) = (0, BTreeSet::new());
    for number in queue().numbers(records)? {
        let name = queue().item_key(number);
        let Some(mut timer) = load::<TimerRecord>(records, &name)? else { continue };
        if timer.since > now.as_millis() {
            // By a clock that was ahead: it gets its time from now on.
            timer.since = now.as_millis();
            save(records, name, &timer);
        }
        let (since, after) = (Timestamp::from_millis(timer.since), Duration::from_millis(timer.after_ms));
        if now.since(since) < after {
            next = earlier(next, since.after(after).as_millis());
            continue;
        }
        let reference: Reference =
            timer.reference.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
        match find(records, &reference)?.filter(|record| !record.expired) {
            Some(record) if record.pending > 0 && record.state == MessageState::Queued as u32 => {
                next = earlier(next, now.after(WAIT_PAUSE).as_millis());
                continue;
            }
            Some(record) => {
                conversations::take_out(records, &record)?;
                retention::forget(records, &record)?;
                gone.insert(record.conversation);
            }
            None => {}
        }
        queue().remove(records, number)?;
    }
    shown::gone(records, gone)?;
    save(
        records,
        key(TIMERS, &[]),
        &TimersRecord { next, looked_at: now.as_millis(), latest: now.as_millis() },
    );
    Ok(())
}
