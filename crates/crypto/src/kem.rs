//! ML-KEM-768 (FIPS 203).

use alloc::boxed::Box;

use libcrux_ml_kem::mlkem768;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::error::InvalidKey;
use crate::secret::Secret;

/// Length of an encapsulation key, in bytes.
pub const PUBLIC_LEN: usize = 1184;
/// Length of a ciphertext, in bytes.
pub const CIPHERTEXT_LEN: usize = 1088;
/// Length of the seed `d || z` that a decapsulation key is kept as, in bytes.
pub const SEED_LEN: usize = 64;

/// An encapsulation key that passed FIPS 203's modulus check.
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublic(Box<[u8; PUBLIC_LEN]>);

impl core::fmt::Debug for KemPublic {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KemPublic(..)")
    }
}

impl KemPublic {
    /// Reads an encapsulation key in the encoding of FIPS 203.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for a wrong length or a coefficient that is not reduced (R-CRYPTO-7).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; PUBLIC_LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        if !mlkem768::validate_public_key(&bytes.into()) {
            return Err(InvalidKey);
        }
        Ok(Self(Box::new(bytes)))
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.0
    }

    /// Encapsulates a fresh secret: ciphertext and shared secret.
    pub fn encapsulate(&self, rng: &mut dyn CryptoRng) -> (KemCiphertext, Secret<32>) {
        let coins = Secret::<32>::random(rng);
        let (ciphertext, mut shared) = mlkem768::encapsulate(&(*self.0).into(), *coins.expose());
        let secret = Secret::init_with(|out| out.copy_from_slice(&shared));
        shared.zeroize();
        (KemCiphertext(Box::new(ciphertext.into())), secret)
    }
}

/// A ciphertext of the right length.
#[derive(Clone, PartialEq, Eq)]
pub struct KemCiphertext(Box<[u8; CIPHERTEXT_LEN]>);

impl core::fmt::Debug for KemCiphertext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KemCiphertext(..)")
    }
}

impl KemCiphertext {
    /// Reads a ciphertext.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for a wrong length; the content is judged by decapsulation alone, which never fails.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; CIPHERTEXT_LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        Ok(Self(Box::new(bytes)))
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; CIPHERTEXT_LEN] {
        &self.0
    }
}

/// A decapsulation key, kept as its seed and expanded when used.
///
/// Nothing but the seed is ever stored: an expanded key's layout belongs to a library (R-CRYPTO-8).
pub struct KemSecret {
    seed: Secret<SEED_LEN>,
}

impl core::fmt::Debug for KemSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

impl KemSecret {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// Rebuilds a key from its seed `d || z`.
    #[must_use]
    pub const fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        Self { seed }
    }

    /// Returns the seed, for the store.
    #[must_use]
    pub const fn seed(&self) -> &Secret<SEED_LEN> {
        &self.seed
    }

    /// Computes the encapsulation key.
    #[must_use]
    pub fn public(&self) -> KemPublic {
        self.with_key_pair(|pair| KemPublic(Box::new(*pair.pk())))
    }

    /// Decapsulates; a ciphertext that is not for this key gives an unrelated secret (implicit rejection).
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> Secret<32> {
        self.with_key_pair(|pair| {
            let mut shared = mlkem768::decapsulate(pair.private_key(), &(*ciphertext.0).into());
            let secret = Secret::init_with(|out| out.copy_from_slice(&shared));
            shared.zeroize();
            secret
        })
    }

    /// Expands the key for one use and wipes what the library handed out.
    fn with_key_pair<T>(&self, use_it: impl FnOnce(&mlkem768::MlKem768KeyPair) -> T) -> T {
        let pair = mlkem768::generate_key_pair(*self.seed.expose());
        let result = use_it(&pair);
        let (private, _) = pair.into_parts();
        let mut bytes: [u8; 2400] = private.into();
        bytes.zeroize();
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::seeded;

    #[test]
    fn agrees_with_the_rustcrypto_implementation() {
        use ml_kem::kem::{Decapsulate, KeyExport};
        let mut rng = seeded([5; 32]);
        let key = KemSecret::generate(&mut rng);
        let other = ml_kem::DecapsulationKey::<ml_kem::MlKem768>::from_seed((*key.seed().expose()).into());
        assert_eq!(other.encapsulation_key().to_bytes().as_slice(), key.public().as_bytes());
        let (ciphertext, secret) = key.public().encapsulate(&mut rng);
        assert_eq!(key.decapsulate(&ciphertext).expose(), secret.expose());
        let theirs = other.decapsulate(&(*ciphertext.as_bytes()).into());
        assert_eq!(theirs.as_slice(), secret.expose());
    }

    #[test]
    fn a_coefficient_above_the_modulus_is_refused() {
        let mut bytes = *KemSecret::generate(&mut seeded([6; 32])).public().as_bytes();
        (bytes[0], bytes[1]) = (0xFF, bytes[1] | 0x0F);
        assert_eq!(KemPublic::from_bytes(&bytes), Err(InvalidKey));
        assert_eq!(KemPublic::from_bytes(&bytes[1..]), Err(InvalidKey));
    }

    #[test]
    fn a_changed_ciphertext_gives_another_secret() {
        let mut rng = seeded([8; 32]);
        let key = KemSecret::generate(&mut rng);
        let (ciphertext, secret) = key.public().encapsulate(&mut rng);
        let mut bytes = *ciphertext.as_bytes();
        bytes[17] ^= 1;
        assert_ne!(key.decapsulate(&KemCiphertext::from_bytes(&bytes).unwrap()).expose(), secret.expose());
    }
}
