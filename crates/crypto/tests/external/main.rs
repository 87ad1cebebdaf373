//! Vectors that others published, against suite 1. They run always.
//!
//! Where the typed keys hide a primitive behind a label or a fixed nonce, the vectors run against the crate
//! that computes it, and `our_calls.rs` shows that our call is that primitive on the documented input.
#![cfg(test)]
#![allow(clippy::arithmetic_side_effects, reason = "a test may panic")]

mod ed25519;
mod fips;
mod our_calls;
mod post_quantum;
mod rfc;
mod symmetric;
mod x25519;

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

pub(crate) fn array<const N: usize>(text: &str) -> [u8; N] {
    unhex(text).try_into().unwrap()
}

/// Gives exactly these bytes, and panics when asked for more: the randomness that a vector prescribes.
pub(crate) struct Prescribed<'a>(pub(crate) &'a [u8]);

impl TryRng for Prescribed<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let (now, later) = self.0.split_at(out.len());
        out.copy_from_slice(now);
        self.0 = later;
        Ok(())
    }
}

impl TryCryptoRng for Prescribed<'_> {}
