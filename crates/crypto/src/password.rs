//! Argon2id (RFC 9106), for what a person remembers.

use argon2::{Algorithm, Argon2, Params, Version};

use crate::error::NotAuthentic;
use crate::secret::Secret;

/// Length of a salt, in bytes.
pub const SALT_LEN: usize = 16;

/// Cost of a derivation, stored beside what it protects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Cost {
    /// The least cost that is accepted, and the default: 19 MiB, 2 passes, 1 lane. A file that asks for
    /// less was tampered with.
    pub const FLOOR: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// The highest cost that is accepted: 1 GiB, 16 passes, 4 lanes. The cost is read before anything is
    /// authenticated, so a damaged file must not exhaust the machine.
    pub const CEILING: Self = Self { memory_kib: 1024 * 1024, passes: 16, lanes: 4 };

    /// Whether the cost lies between [`Self::FLOOR`] and [`Self::CEILING`], both included (R-STORE-3).
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        self.memory_kib >= Self::FLOOR.memory_kib
            && self.passes >= Self::FLOOR.passes
            && self.lanes >= Self::FLOOR.lanes
            && self.memory_kib <= Self::CEILING.memory_kib
            && self.passes <= Self::CEILING.passes
            && self.lanes <= Self::CEILING.lanes
    }
}

/// Derives a key from a passphrase.
///
/// # Errors
///
/// [`NotAuthentic`] when `cost` lies outside [`Cost::FLOOR`] and [`Cost::CEILING`] (R-STORE-3).
pub fn derive(passphrase: &[u8], salt: &[u8; SALT_LEN], cost: Cost) -> Result<Secret<32>, NotAuthentic> {
    if !cost.is_allowed() {
        return Err(NotAuthentic);
    }
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(|_| NotAuthentic)?;
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut done = Ok(());
    let key = Secret::init_with(|out| done = argon.hash_password_into(passphrase, salt, out));
    done.map(|()| key).map_err(|_| NotAuthentic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_below_the_floor_or_above_the_ceiling_is_refused() {
        let floor = Cost::FLOOR;
        assert!(derive(b"p", &[0; 16], floor).is_ok());
        for cost in [
            Cost { memory_kib: floor.memory_kib - 1, ..floor },
            Cost { passes: 1, ..floor },
            Cost { lanes: 0, ..floor },
            Cost { memory_kib: u32::MAX, ..floor },
            Cost { passes: u32::MAX, ..floor },
        ] {
            assert_eq!(derive(b"p", &[0; 16], cost).err(), Some(NotAuthentic));
        }
    }
}
