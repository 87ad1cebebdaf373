//! The relay's clock: the system's, but for a jump far ahead, which is believed only when others say the same (R-RELAY-68).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chancery_wire::Timestamp;

/// A jump ahead that is believed at once: a week. A relay may have been off for as long, and bundles (30 days), envelopes
/// (60 days) and credentials outlive an error of a week.
const BELIEVED_JUMP: Duration = Duration::from_secs(7 * 24 * 3600);

/// Tells the time. What it has told of the log cannot be taken back, and what expired by it is gone.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    steady: Steady,
}

impl Clock {
    /// Starts a clock; `last` is a time that is known to have passed, if any is. Without one the system's is believed.
    pub(crate) fn new(last: Option<Timestamp>) -> Self {
        let last = last.unwrap_or_else(system);
        Self { started: Instant::now(), steady: Steady { last, read: Duration::ZERO, doubted: None } }
    }

    /// Returns the time.
    pub(crate) fn now(&mut self) -> Timestamp {
        let doubted = self.steady.doubted.is_some();
        let now = self.steady.now(system(), self.started.elapsed());
        if !doubted && self.steady.doubted.is_some() {
            tracing::warn!(
                "the system's clock is more than a week ahead; the relay goes on with the old time until two devices \
                log in whose clocks say the same (or start it with --trust-clock)"
            );
        }
        now
    }

    /// What the system said last, if it is not believed.
    pub(crate) const fn doubted(&self) -> Option<Timestamp> {
        self.steady.doubted
    }

    /// Believes what the system said last.
    pub(crate) fn believe(&mut self) {
        if let Some(system) = self.steady.doubted.take() {
            tracing::info!("two devices say the same as the system's clock; it is believed");
            self.steady.last = system;
        }
    }
}

fn system() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The rule, from the system's time and what has passed since the start by a clock that nobody sets.
#[derive(Debug)]
struct Steady {
    last: Timestamp,
    read: Duration,
    doubted: Option<Timestamp>,
}

impl Steady {
    fn now(&mut self, system: Timestamp, elapsed: Duration) -> Timestamp {
        let expected = self.last.after(elapsed.saturating_sub(self.read));
        self.read = elapsed;
        let is_believed = system <= expected.after(BELIEVED_JUMP);
        self.doubted = if is_believed { None } else { Some(system) };
        self.last = if is_believed { system } else { expected };
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000_000_000;
    const WEEK: u64 = 7 * 24 * 3_600_000;
    const YEARS: u64 = 10 * 365 * 24 * 3_600_000;

    fn steady() -> Steady {
        Steady { last: Timestamp::from_millis(START), read: Duration::ZERO, doubted: None }
    }

    /// Reads the clock when so many seconds have passed and the system is so far ahead of them.
    fn read(clock: &mut Steady, seconds: u64, ahead: u64) -> u64 {
        let elapsed = Duration::from_secs(seconds);
        let right = Timestamp::from_millis(START).after(elapsed);
        let told = clock.now(right.after(Duration::from_millis(ahead)), elapsed);
        u64::try_from(told.since(right).as_millis()).unwrap()
    }

    #[test]
    fn a_clock_that_is_far_ahead_is_not_believed_however_long_r_relay_68() {
        let mut clock = steady();
        assert_eq!(read(&mut clock, 0, 0), 0);
        for second in [1, 600, 601, 100_000] {
            assert_eq!(read(&mut clock, second, YEARS), 0, "{second} s");
            assert!(clock.doubted.is_some());
        }
        assert_eq!(read(&mut clock, 100_001, 0), 0);
        assert_eq!(clock.doubted, None, "it is right again");
        assert_eq!(read(&mut clock, 100_002, WEEK), WEEK, "a week is believed at once");
    }

    #[test]
    fn what_others_have_vouched_for_is_believed_from_then_on_r_relay_77() {
        let mut clock = Clock { started: Instant::now(), steady: steady() };
        assert_eq!(read(&mut clock.steady, 1, YEARS), 0);
        clock.believe();
        assert_eq!((clock.doubted(), read(&mut clock.steady, 2, YEARS)), (None, YEARS));
        assert_eq!(read(&mut clock.steady, 3, 2 * YEARS), YEARS, "but no further jump");
    }

    #[test]
    fn a_clock_that_goes_back_is_followed_r_relay_68() {
        let mut clock = steady();
        let system = Timestamp::from_millis(START - YEARS);
        assert_eq!(clock.now(system, Duration::from_secs(1)), system);
    }
}
