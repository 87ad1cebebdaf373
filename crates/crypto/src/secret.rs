//! Secret bytes: on the heap, wiped on drop, never printed, compared in constant time.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// `N` secret bytes, kept on the heap and wiped on drop.
///
/// There is deliberately no `Clone`, `PartialEq` or serialisation: each place that copies or shows a
/// secret calls [`Secret::expose`], and those are the places to look at in an audit.
///
/// ```
/// use chancery_crypto::secret::Secret;
///
/// let secret = Secret::<32>::from_bytes([0xA5; 32]);
/// assert_eq!(format!("{secret:?}"), "Secret<32>(..)");
/// ```
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fills a fresh secret in place, so that no copy is left on the stack.
    pub fn init_with(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut bytes = Box::new([0; N]);
        fill(&mut bytes);
        Self(bytes)
    }

    /// Draws a secret from `rng`.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self::init_with(|bytes| rng.fill_bytes(bytes))
    }

    /// Takes over `bytes` and wipes the argument's copy.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; N]) -> Self {
        let secret = Self::init_with(|own| own.copy_from_slice(&bytes));
        bytes.zeroize();
        secret
    }

    /// Copies a secret out of `bytes`.
    ///
    /// Returns `None` unless `bytes` has exactly `N` bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == N).then(|| Self::init_with(|own| own.copy_from_slice(bytes)))
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// Splits off consecutive secrets of `M` bytes; `index` counts them from zero.
    ///
    /// Returns `None` when the part would reach past the end.
    #[must_use]
    pub fn part<const M: usize>(&self, index: usize) -> Option<Secret<M>> {
        let from = index.checked_mul(M)?;
        Secret::from_slice(self.0.get(from..from.checked_add(M)?)?)
    }

    /// Compares in constant time.
    #[must_use]
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of any length, wiped on drop.
#[derive(Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes over `bytes`.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Compares two byte strings in constant time (R-CRYPTO-5); strings of different length differ.
#[must_use]
pub fn ct_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    static_assertions::assert_not_impl_any!(Secret<32>: Clone, Copy, PartialEq);
    static_assertions::assert_not_impl_any!(SecretBytes: Clone, Copy, PartialEq);

    #[test]
    fn a_secret_does_not_print() {
        let text =
            format!("{:?} {:?}", Secret::<4>::from_bytes([0xA5; 4]), SecretBytes::new([0xA5; 4].into()));
        assert!(!text.contains("165") && !text.to_lowercase().contains("a5"), "{text}");
    }

    #[test]
    fn parts_do_not_overlap_or_overrun() {
        let secret = Secret::<4>::from_bytes([1, 2, 3, 4]);
        assert_eq!(secret.part::<2>(1).unwrap().expose(), &[3, 4]);
        assert!(secret.part::<2>(2).is_none());
    }
}
