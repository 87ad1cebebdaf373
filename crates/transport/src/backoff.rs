//! How long to wait before connecting again.

use std::time::Duration;

use chancery_crypto::rng::{CryptoRng, random_bytes};

/// Exponential back-off with full jitter (R-TRANSPORT-9).
///
/// The n-th wait in a row is uniform between nothing and `100 ms * 2^n`, at most 30 seconds, so that
/// thousands of clients of a relay that restarts do not come back in step.
///
/// ```
/// use chancery_transport::Backoff;
///
/// let mut rng = chancery_crypto::rng::seeded([1; 32]);
/// let mut backoff = Backoff::new();
/// assert!(backoff.next(&mut rng) <= Backoff::FIRST);
/// backoff.reset();
/// ```
#[derive(Debug, Clone)]
pub struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// The most that the first wait can be.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// The most that any wait can be.
    pub const MOST: Duration = Duration::from_secs(30);

    /// Returns a back-off before its first wait.
    #[must_use]
    pub const fn new() -> Self {
        Self { ceiling: Self::FIRST }
    }

    /// Returns how long to wait now, and doubles the bound of the next wait.
    pub fn next(&mut self, rng: &mut dyn CryptoRng) -> Duration {
        let wait = scale(self.ceiling, u32::from_be_bytes(random_bytes(rng)));
        self.ceiling = self.ceiling.saturating_mul(2).min(Self::MOST);
        wait
    }

    /// Starts again with the short waits. Call it when the relay has answered, not when it has merely
    /// accepted the connection: one that accepts and drops is as good as down.
    pub const fn reset(&mut self) {
        self.ceiling = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns `fraction / u32::MAX` of `whole`, rounded down to a microsecond.
pub(crate) fn scale(whole: Duration, fraction: u32) -> Duration {
    let product = whole.as_micros().saturating_mul(u128::from(fraction));
    let micros = product.checked_div(u128::from(u32::MAX)).unwrap_or_default();
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;
    use proptest::prelude::*;

    proptest! {
        /// R-TRANSPORT-9.
        #[test]
        fn no_wait_is_longer_than_its_bound(seed: [u8; 32], rounds in 1usize..40) {
            let mut rng = seeded(seed);
            let mut backoff = Backoff::new();
            let mut bound = Duration::from_millis(100);
            for _ in 0..rounds {
                prop_assert!(backoff.next(&mut rng) <= bound);
                bound = bound.saturating_mul(2).min(Duration::from_secs(30));
            }
            backoff.reset();
            prop_assert!(backoff.next(&mut rng) <= Duration::from_millis(100));
        }
    }

    #[test]
    fn waits_grow_and_are_spread_over_the_whole_range() {
        let mut rng = seeded([3; 32]);
        let mut backoff = Backoff::new();
        for _ in 0..12 {
            backoff.next(&mut rng);
        }
        let waits: Vec<_> = (0..200).map(|_| backoff.next(&mut rng)).collect();
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(3)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(27)));
    }

    #[test]
    fn the_largest_fraction_is_the_whole() {
        assert_eq!(scale(Backoff::MOST, u32::MAX), Backoff::MOST);
        assert_eq!(scale(Backoff::MOST, 0), Duration::ZERO);
    }
}
