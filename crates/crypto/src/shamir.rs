//! Shamir's secret sharing over GF(256): any `threshold` of the shares give the secret, fewer say nothing
//! (R-CRYPTO-17).
//!
//! Nothing here authenticates: shares that somebody has changed give another secret. What the secret opens has
//! to tell.

use alloc::vec::Vec;
use core::hint::black_box;

use rand_core::CryptoRng;

use crate::secret::Secret;

/// The fewest shares that can be needed: with 1 every share would be the secret itself.
pub const MIN_THRESHOLD: u8 = 2;
/// The most shares of a secret: each is for a person with a safe, and of more than 16 nobody knows who has one.
pub const MAX_SHARES: u8 = 16;
/// Length of what is shared, in bytes.
pub const SECRET_LEN: usize = 32;

/// Why a secret was not split or put together. Nothing was drawn or given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShamirError {
    /// Not `MIN_THRESHOLD ≤ threshold ≤ shares ≤ MAX_SHARES`, or an index from outside; ask for other numbers.
    #[error("number of shares is out of range")]
    OutOfRange,
    /// There are fewer shares than are needed; bring more.
    #[error("too few shares")]
    TooFew,
    /// The shares do not agree on how many are needed; they are not of one secret.
    #[error("shares are of different sets")]
    Mixed,
    /// Two shares have the same index; bring another one.
    #[error("a share is there twice")]
    Doubled,
}

/// One share of a secret: as secret as what it is a share of.
#[derive(Debug)]
pub struct Share {
    threshold: u8,
    index: u8,
    value: Secret<SECRET_LEN>,
}

impl Share {
    /// Puts a share together from what was stored of it.
    ///
    /// # Errors
    ///
    /// [`ShamirError::OutOfRange`]: no [`split`] gives such a threshold or index.
    pub fn from_parts(threshold: u8, index: u8, value: Secret<SECRET_LEN>) -> Result<Self, ShamirError> {
        let sound = (MIN_THRESHOLD..=MAX_SHARES).contains(&threshold) && (1..=MAX_SHARES).contains(&index);
        if sound { Ok(Self { threshold, index, value }) } else { Err(ShamirError::OutOfRange) }
    }

    /// How many shares are needed.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.threshold
    }

    /// Which share it is, from 1.
    #[must_use]
    pub const fn index(&self) -> u8 {
        self.index
    }

    /// The polynomials' values at the index.
    #[must_use]
    pub const fn value(&self) -> &Secret<SECRET_LEN> {
        &self.value
    }
}

/// Splits `secret` into `shares` shares, any `threshold` of which give it back.
///
/// # Errors
///
/// [`ShamirError::OutOfRange`] unless [`MIN_THRESHOLD`] ≤ `threshold` ≤ `shares` ≤ [`MAX_SHARES`].
pub fn split(
    secret: &Secret<SECRET_LEN>,
    threshold: u8,
    shares: u8,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Share>, ShamirError> {
    if threshold < MIN_THRESHOLD || threshold > shares || shares > MAX_SHARES {
        return Err(ShamirError::OutOfRange);
    }
    let coefficients: Vec<_> = (1..threshold).map(|_| Secret::random(rng)).collect();
    let share = |index| Share::from_parts(threshold, index, evaluate(secret, &coefficients, index));
    (1..=shares).map(share).collect()
}

/// Puts a secret together from at least `threshold` of its shares; those beyond are not looked at.
///
/// # Errors
///
/// [`ShamirError`]: see there. Changed shares, or shares of several secrets that agree on the threshold, give
/// another secret and no error.
pub fn combine<'a>(shares: impl IntoIterator<Item = &'a Share>) -> Result<Secret<SECRET_LEN>, ShamirError> {
    let shares: Vec<&Share> = shares.into_iter().collect();
    let threshold = shares.first().ok_or(ShamirError::TooFew)?.threshold;
    if shares.iter().any(|share| share.threshold != threshold) {
        return Err(ShamirError::Mixed);
    }
    let mut seen = 0_u32;
    for share in &shares {
        let bit = 1_u32.checked_shl(share.index.into()).ok_or(ShamirError::OutOfRange)?;
        if seen & bit != 0 {
            return Err(ShamirError::Doubled);
        }
        seen |= bit;
    }
    let used = shares.get(..threshold.into()).ok_or(ShamirError::TooFew)?;
    let points: Vec<_> = used.iter().map(|share| (share.index, &share.value)).collect();
    Ok(interpolate(&points))
}

/// The polynomials with these coefficients, the secret being the constant ones, at `x` (Horner).
fn evaluate<const N: usize>(secret: &Secret<N>, coefficients: &[Secret<N>], x: u8) -> Secret<N> {
    Secret::init_with(|values| {
        for coefficient in coefficients.iter().rev().chain([secret]) {
            for (value, own) in values.iter_mut().zip(coefficient.expose()) {
                *value = multiply(*value, x) ^ own;
            }
        }
    })
}

/// The polynomials through these points at 0 (Lagrange). The indices, which differ, are not secret.
fn interpolate<const N: usize>(points: &[(u8, &Secret<N>)]) -> Secret<N> {
    Secret::init_with(|values| {
        for (x, point) in points {
            let others = points.iter().map(|(other, _)| *other).filter(|other| other != x);
            let weight = others.fold(1, |weight, other| multiply(weight, multiply(other, invert(other ^ x))));
            for (value, own) in values.iter_mut().zip(point.expose()) {
                *value ^= multiply(*own, weight);
            }
        }
    })
}

/// The product in GF(2)\[x\] / (x⁸ + x⁴ + x³ + x + 1), without a branch or a table: eight steps, always.
fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & mask(b & 1);
        let carry = mask(a >> 7);
        a = (a << 1) ^ (0x1B & carry);
        b >>= 1;
    }
    product
}

/// All ones for 1, none for 0. The compiler may not know that there are but two, lest it branch.
fn mask(bit: u8) -> u8 {
    black_box(0_u8.wrapping_sub(bit))
}

/// The inverse, a²⁵⁴; of 0 it is 0.
fn invert(a: u8) -> u8 {
    // 254 = 2 + 4 + … + 128
    let mut square = a;
    let mut inverse = 1;
    for _ in 0..7 {
        square = multiply(square, square);
        inverse = multiply(inverse, square);
    }
    inverse
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]
mod tests {
    use super::*;
    use crate::rng::seeded;
    use alloc::vec;
    use proptest::prelude::*;

    static_assertions::assert_not_impl_any!(Share: Clone, Copy, PartialEq);

    fn copy(share: &Share) -> Share {
        let value = Secret::from_slice(share.value.expose()).unwrap();
        Share::from_parts(share.threshold, share.index, value).unwrap()
    }

    #[test]
    fn the_field_is_a_field_and_that_of_aes() {
        // FIPS 197, sections 4.2 and 4.4.
        assert_eq!((multiply(0x57, 0x83), multiply(0x57, 0x13)), (0xC1, 0xFE));
        assert_eq!(multiply(0x53, 0xCA), 1);
        for a in 0..=255_u8 {
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, invert(a)), u8::from(a != 0));
            for b in 0..=255_u8 {
                assert_eq!(multiply(a, b), multiply(b, a));
                assert_eq!(multiply(a, b ^ 0x35), multiply(a, b) ^ multiply(a, 0x35));
            }
        }
    }

    #[test]
    fn every_choice_of_enough_shares_gives_the_secret_r_crypto_17() {
        let mut rng = seeded([1; 32]);
        let secret = Secret::random(&mut rng);
        for (threshold, count) in [(2, 2), (2, 5), (3, 5), (5, 5), (4, 8)] {
            let shares = split(&secret, threshold, count, &mut rng).unwrap();
            for choice in 0..1_u32 << count {
                let chosen: Vec<Share> =
                    shares.iter().filter(|share| choice >> (share.index - 1) & 1 == 1).map(copy).collect();
                let combined = combine(&chosen);
                if chosen.len() >= threshold.into() {
                    assert!(combined.unwrap().ct_eq(secret.expose()), "{threshold} {choice:b}");
                } else {
                    assert_eq!(combined.unwrap_err(), ShamirError::TooFew);
                }
            }
        }
    }

    /// With the first of two shares, or the first two of three, in hand: whatever the secret is, each value of
    /// what is in hand comes from exactly one choice of the coefficients, which are uniform. So all secrets
    /// explain what is in hand equally well.
    #[test]
    fn fewer_shares_than_needed_fit_every_secret_equally_often_r_crypto_17() {
        let of = |byte: u8| Secret::from_bytes([byte]);
        for index in 1..=MAX_SHARES {
            for secret in 0..=255_u8 {
                let mut seen = [0_u32; 256];
                for a in 0..=255 {
                    seen[usize::from(evaluate(&of(secret), &[of(a)], index).expose()[0])] += 1;
                }
                assert_eq!(seen, [1; 256]);
            }
        }
        for secret in [0, 1, 0x80, 0xFF] {
            let mut seen = vec![0_u32; 65_536];
            for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
                let coefficients = [of(a), of(b)];
                let at = |x| usize::from(evaluate(&of(secret), &coefficients, x).expose()[0]);
                seen[at(3) * 256 + at(16)] += 1;
            }
            assert!(seen.iter().all(|times| *times == 1));
        }
    }

    #[test]
    fn coefficients_are_drawn_anew_and_no_share_is_the_secret() {
        let mut rng = seeded([2; 32]);
        let secret = Secret::from_bytes([0; 32]);
        let (one, two) = (split(&secret, 2, 16, &mut rng).unwrap(), split(&secret, 2, 16, &mut rng).unwrap());
        for (a, b) in one.iter().zip(&two) {
            assert!(!a.value.ct_eq(b.value.expose()) && !a.value.ct_eq(&[0; 32]));
        }
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let mut rng = seeded([3; 32]);
        let secret = Secret::from_bytes([7; 32]);
        for (threshold, count) in [(0, 0), (0, 3), (1, 3), (4, 3), (2, 1), (2, 17), (17, 17), (255, 255)] {
            let refused = split(&secret, threshold, count, &mut rng).unwrap_err();
            assert_eq!(refused, ShamirError::OutOfRange, "{threshold} {count}");
        }
        assert_eq!(split(&secret, 16, 16, &mut rng).unwrap().len(), 16);
        for (threshold, index) in [(1, 1), (17, 1), (2, 0), (2, 17), (2, 255)] {
            let refused = Share::from_parts(threshold, index, Secret::from_bytes([1; 32])).unwrap_err();
            assert_eq!(refused, ShamirError::OutOfRange);
        }
    }

    #[test]
    fn doubled_and_mixed_shares_are_told_apart() {
        let mut rng = seeded([4; 32]);
        let secret = Secret::from_bytes([7; 32]);
        let three = split(&secret, 3, 5, &mut rng).unwrap();
        let two = split(&secret, 2, 5, &mut rng).unwrap();
        assert_eq!(combine(&[]).unwrap_err(), ShamirError::TooFew);
        let doubled = [copy(&three[0]), copy(&three[1]), copy(&three[0])];
        assert_eq!(combine(&doubled).unwrap_err(), ShamirError::Doubled);
        let mixed = [copy(&three[0]), copy(&three[1]), copy(&two[2])];
        assert_eq!(combine(&mixed).unwrap_err(), ShamirError::Mixed);
        let mut changed = [copy(&two[0]), copy(&two[1])];
        changed[0].value = Secret::from_bytes([9; 32]);
        assert!(!combine(&changed).unwrap().ct_eq(secret.expose()));
    }

    #[test]
    fn a_share_does_not_print() {
        let share = Share::from_parts(2, 1, Secret::from_bytes([0xA5; 32])).unwrap();
        let text = alloc::format!("{share:?}");
        assert!(!text.contains("165") && !text.to_lowercase().contains("a5"), "{text}");
    }

    proptest! {
        #[test]
        fn any_enough_of_any_shares_give_any_secret(
            bytes: [u8; 32], seed: [u8; 32], threshold in 2_u8..=16, extra in 0_u8..=14, order: u64,
        ) {
            let count = (threshold + extra).min(MAX_SHARES);
            let mut shares = split(&Secret::from_bytes(bytes), threshold, count, &mut seeded(seed)).unwrap();
            shares.sort_by_key(|share| order.rotate_left(u32::from(share.index) * 7) & 0xFF);
            shares.truncate(threshold.into());
            prop_assert!(combine(&shares).unwrap().ct_eq(&bytes));
            shares.pop();
            prop_assert_eq!(combine(&shares).unwrap_err(), ShamirError::TooFew);
        }
    }
}
