//! A deterministic generator from a seed, so that the caller decides where randomness comes from.

pub use rand_core::CryptoRng;
use rand_core::SeedableRng;

/// Returns a cryptographic generator (`ChaCha20`) whose output is fixed by the 32-byte `seed`.
///
/// Shells draw the seed from the operating system for each call of a state machine, where a failure is an
/// error and not a panic; tests and vectors fix it. One seed is used for one generator.
#[must_use]
pub fn seeded(seed: [u8; 32]) -> impl CryptoRng + Send {
    chacha20::ChaCha20Rng::from_seed(seed)
}

/// Draws `N` bytes that need not be secret, such as an identifier.
pub fn random_bytes<const N: usize>(rng: &mut dyn CryptoRng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_position_varies() {
        let mut rng = seeded([1; 32]);
        let mut seen = [0u8; 32];
        for _ in 0..64 {
            for (all, byte) in seen.iter_mut().zip(random_bytes::<32>(&mut rng)) {
                *all |= byte;
            }
        }
        assert_eq!(seen, [0xFF; 32]);
    }
}
