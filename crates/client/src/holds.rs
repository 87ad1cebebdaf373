//! What cannot be served now is left alone for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// How long a device or file that cannot be served is left alone at first; each time twice as long as before,
/// since a claim costs the other side a prekey (R-ENGINE-13).
const FIRST_HOLD: Duration = Duration::from_secs(2);
/// The longest that it is left alone.
const LONGEST_HOLD: Duration = Duration::from_secs(5 * 60);

/// Devices, groups and files that this process leaves alone for a while.
#[derive(Debug, Default)]
pub(crate) struct Holds(Mutex<BTreeMap<[u8; 16], Hold>>);

#[derive(Debug, Clone)]
struct Hold {
    is_group: bool,
    since: Instant,
    until: Instant,
    pause: Duration,
    why: Error,
}

impl Holds {
    /// Returns what is left alone at `now`.
    pub(crate) fn at(&self, now: Instant) -> BTreeSet<[u8; 16]> {
        self.lock().iter().filter(|(_, hold)| hold.until > now).map(|(target, _)| *target).collect()
    }

    pub(crate) fn why(&self, now: Instant) -> Option<Error> {
        self.lock().values().find(|hold| hold.until > now).map(|hold| hold.why.clone())
    }

    /// Returns why one of these is left alone.
    pub(crate) fn why_of(&self, targets: &BTreeSet<[u8; 16]>, now: Instant) -> Option<Error> {
        let holds = self.lock();
        let mut found = targets.iter().filter_map(|target| holds.get(target));
        found.find(|hold| hold.until > now).map(|hold| hold.why.clone())
    }

    pub(crate) fn hold(&self, (target, is_group): ([u8; 16], bool), why: Error, now: Instant) {
        let mut holds = self.lock();
        let pause = holds.get(&target).map_or(FIRST_HOLD, |hold| hold.pause.saturating_mul(2));
        let pause = pause.min(LONGEST_HOLD);
        let until = now.checked_add(pause).unwrap_or(now);
        holds.insert(target, Hold { is_group, since: now, until, pause, why });
    }

    /// Something came that groups have work with: they may be served again [`FIRST_HOLD`] after the last try. If that goes wrong,
    /// the next pause is the longer all the same.
    pub(crate) fn retry_groups(&self) {
        for hold in self.lock().values_mut().filter(|hold| hold.is_group) {
            let soon = hold.since.checked_add(FIRST_HOLD).unwrap_or(hold.until);
            hold.until = hold.until.min(soon);
        }
    }

    pub(crate) fn release(&self, target: &[u8; 16]) {
        self.lock().remove(target);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<[u8; 16], Hold>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_device_that_cannot_be_served_is_asked_ever_more_rarely_r_engine_13() {
        let (holds, begin) = (Holds::default(), Instant::now());
        let mut attempts = 0;
        for second in 0..3600 {
            let now = begin + Duration::from_secs(second);
            if !holds.at(now).contains(&[1; 16]) {
                attempts += 1;
                holds.hold(([1; 16], false), ErrorCode::RecipientNotReady.into(), now);
                assert_eq!(holds.why(now).map(|why| why.code()), Some(ErrorCode::RecipientNotReady));
            }
        }
        assert!((10..25).contains(&attempts), "{attempts}");
        holds.release(&[1; 16]);
        holds.hold(([1; 16], false), ErrorCode::RecipientNotReady.into(), begin);
        assert!(holds.at(begin + FIRST_HOLD).is_empty(), "what went well once begins anew");
    }

    #[test]
    fn a_group_is_tried_again_when_something_came_that_it_has_work_with_and_not_all_the_time_r_engine_94() {
        let (holds, begin) = (Holds::default(), Instant::now());
        let at = |seconds| begin + Duration::from_secs(seconds);
        // Three failures in a row: the pause is 8 s.
        for (now, target, is_group) in [(0, [1; 16], true), (0, [2; 16], false)] {
            for _ in 0..3 {
                holds.hold((target, is_group), ErrorCode::RateLimited.into(), at(now));
            }
        }
        assert_eq!(holds.at(at(7)), [[1; 16], [2; 16]].into());
        holds.retry_groups();
        assert_eq!(holds.at(at(1)), [[1; 16], [2; 16]].into(), "not at once");
        assert_eq!(holds.at(at(2)), [[2; 16]].into(), "the device has nothing to do with it");
        holds.hold(([1; 16], true), ErrorCode::RateLimited.into(), at(2));
        assert!(holds.at(at(2 + 15)).contains(&[1; 16]), "16 s after the fourth");
    }
}
