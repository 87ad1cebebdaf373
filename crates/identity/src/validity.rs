//! The time in which a statement holds.

use chancery_wire::Timestamp;

use crate::IdentityError;

/// From `not_before` (inclusive) to `not_after` (exclusive), R-ID-3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) not_before: Timestamp,
    pub(crate) not_after: Timestamp,
}

impl Validity {
    /// Reads a span that is not empty.
    pub(crate) fn new(not_before: u64, not_after: u64) -> Result<Self, IdentityError> {
        if not_before >= not_after {
            return Err(IdentityError::Malformed);
        }
        Ok(Self {
            not_before: Timestamp::from_millis(not_before),
            not_after: Timestamp::from_millis(not_after),
        })
    }

    pub(crate) fn contains(&self, inner: &Self) -> bool {
        self.not_before <= inner.not_before && inner.not_after <= self.not_after
    }

    pub(crate) fn check(&self, now: Timestamp) -> Result<(), IdentityError> {
        if now < self.not_before {
            return Err(IdentityError::NotYetValid);
        }
        if now >= self.not_after {
            return Err(IdentityError::Expired);
        }
        Ok(())
    }
}
