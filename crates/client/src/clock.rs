//! The one place that reads the clock and the operating system's randomness.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_wire::Timestamp;
use tokio::time::Instant;

use crate::error::{Error, ErrorCode};

/// Returns the local clock's time.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Returns the moment `patience` from now; an endless patience becomes a year.
pub(crate) fn deadline(patience: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(patience).or_else(|| now.checked_add(YEAR)).unwrap_or(now)
}

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Returns a generator seeded by the operating system, for one call.
pub(crate) fn rng() -> Result<impl CryptoRng + Send, Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| ErrorCode::NoRandomness)?;
    Ok(seeded(seed))
}
