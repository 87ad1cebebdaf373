//! The relay's clock: the system's, but for a jump far ahead, which is believed only once it has lasted (R-RELAY-68).

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chancery_wire::Timestamp;

/// A jump ahead that is believed at once: a week. A relay may have been off for as long, and bundles (30 days), envelopes
/// (60 days) and credentials outlive an error of a week.
const BELIEVED_JUMP: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long the clock must stay ahead to be believed: 10 minutes. A clock that is wrong when a machine starts is set by the
/// network within a minute or two.
const SETTLED: Duration = Duration::from_secs(600);

/// Tells the time. What it has told of the log cannot be taken back, and what expired by it is gone.
#[derive(Debug)]
pub(crate) struct Clock {
    started: Instant,
    steady: Steady,
}

impl Clock {
    /// Starts a clock; `last` is a time that is known to have passed, if any is.
    pub(crate) fn new(last: Option<Timestamp>) -> Self {
        let last = last.unwrap_or_else(system);
        Self { started: Instant::now(), steady: Steady { last, read: Duration::ZERO, ahead_since: None } }
    }

    /// Returns the time.
    pub(crate) fn now(&mut self) -> Timestamp {
        let doubted = self.steady.ahead_since.is_some();
        let now = self.steady.now(system(), self.started.elapsed());
        if !doubted && self.steady.ahead_since.is_some() {
            tracing::warn!("the system's clock is more than a week ahead; it is believed in 10 minutes");
        }
        now
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
    ahead_since: Option<Duration>,
}

impl Steady {
    fn now(&mut self, system: Timestamp, elapsed: Duration) -> Timestamp {
        let expected = self.last.after(elapsed.saturating_sub(self.read));
        self.read = elapsed;
        let is_settled = |since: Duration| elapsed.saturating_sub(since) >= SETTLED;
        if system <= expected.after(BELIEVED_JUMP) || self.ahead_since.is_some_and(is_settled) {
            self.ahead_since = None;
            self.last = system;
        } else {
            self.ahead_since.get_or_insert(elapsed);
            self.last = expected;
        }
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
        Steady { last: Timestamp::from_millis(START), read: Duration::ZERO, ahead_since: None }
    }

    /// Reads the clock when so many seconds have passed and the system is so far ahead of them.
    fn read(clock: &mut Steady, seconds: u64, ahead: u64) -> u64 {
        let elapsed = Duration::from_secs(seconds);
        let right = Timestamp::from_millis(START).after(elapsed);
        let told = clock.now(right.after(Duration::from_millis(ahead)), elapsed);
        u64::try_from(told.since(right).as_millis()).unwrap()
    }

    #[test]
    fn a_clock_that_is_far_ahead_for_a_moment_is_not_believed_r_relay_68() {
        let mut clock = steady();
        assert_eq!(read(&mut clock, 0, 0), 0);
        for second in 1..600 {
            assert_eq!(read(&mut clock, second, YEARS), 0, "{second} s");
        }
        assert_eq!(read(&mut clock, 600, 0), 0);
        assert_eq!(read(&mut clock, 601, YEARS), 0, "the ten minutes begin anew");
        assert_eq!(read(&mut clock, 1200, YEARS), 0);
    }

    #[test]
    fn a_relay_that_was_off_for_long_believes_its_clock_soon_r_relay_68() {
        let mut clock = steady();
        assert_eq!(read(&mut clock, 1, WEEK), WEEK, "a week is believed at once");
        let mut clock = steady();
        assert_eq!(read(&mut clock, 1, YEARS), 0);
        assert_eq!(read(&mut clock, 600, YEARS), 0);
        assert_eq!(read(&mut clock, 601, YEARS), YEARS);
        assert_eq!(read(&mut clock, 602, YEARS), YEARS);
    }

    #[test]
    fn a_clock_that_goes_back_is_followed_r_relay_68() {
        let mut clock = steady();
        let system = Timestamp::from_millis(START - YEARS);
        assert_eq!(clock.now(system, Duration::from_secs(1)), system);
    }
}
