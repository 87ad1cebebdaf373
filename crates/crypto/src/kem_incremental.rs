//! ML-KEM-768 (FIPS 203) in four parts, for a ratchet that sends them piece by piece.
//!
//! The encapsulation key is cut into a *header* (seed of the matrix, hash of the whole key) and a *vector*, the
//! ciphertext into ct1 and ct2. ct1 and the shared secret need the header only; ct2 needs the vector. Put together
//! again, every byte is that of FIPS 203: `vector || header[..32]` is the encapsulation key, `ct1 || ct2` the
//! ciphertext (R-CRYPTO-7).
//!
//! What a library keeps between the two halves of an encapsulation never leaves a function here: its layout has
//! differed between machines before. An [`Encapsulation`] is 32 bytes of coins and the header, and computes again.

use alloc::boxed::Box;

use libcrux_ml_kem::mlkem768::incremental;
use rand_core::CryptoRng;
use zeroize::Zeroize;

use crate::error::InvalidKey;
use crate::kem::{CIPHERTEXT_LEN, KemCiphertext, KemSecret, PUBLIC_LEN, SEED_LEN};
use crate::secret::Secret;

/// Length of a header, in bytes: seed of the matrix (32), SHA3-256 of the encapsulation key (32).
pub const HEADER_LEN: usize = 64;
/// Length of a vector, in bytes.
pub const VECTOR_LEN: usize = PUBLIC_LEN - 32;
/// Length of the first part of a ciphertext, in bytes.
pub const CT1_LEN: usize = 960;
/// Length of the second part of a ciphertext, in bytes.
pub const CT2_LEN: usize = CIPHERTEXT_LEN - CT1_LEN;

/// The header of an encapsulation key. Any 64 bytes are one; its vector shows whether it is honest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KemHeader([u8; HEADER_LEN]);

impl core::fmt::Debug for KemHeader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KemHeader(..)")
    }
}

impl KemHeader {
    /// Wraps 64 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; HEADER_LEN]) -> Self {
        Self(bytes)
    }

    /// Copies a header out of `bytes`, `None` unless there are exactly 64.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }
}

/// A vector that belongs to its header and passed FIPS 203's modulus check.
#[derive(Clone, PartialEq, Eq)]
pub struct KemVector {
    header: KemHeader,
    bytes: Box<[u8; VECTOR_LEN]>,
}

impl core::fmt::Debug for KemVector {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("KemVector(..)")
    }
}

impl KemVector {
    /// Reads the vector that belongs to `header`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for a wrong length, a hash other than the header's, or a coefficient that is not reduced:
    /// the peer is at fault.
    pub fn from_bytes(header: &KemHeader, bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; VECTOR_LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        incremental::validate_pk_bytes(&header.0, &bytes).map_err(|_| InvalidKey)?;
        Ok(Self { header: *header, bytes: Box::new(bytes) })
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; VECTOR_LEN] {
        &self.bytes
    }
}

/// A decapsulation key whose public half is handed out in two parts. Kept as its 64-byte seed.
#[derive(Debug)]
pub struct IncrementalSecret(KemSecret);

impl IncrementalSecret {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(KemSecret::generate(rng))
    }

    /// Rebuilds a key from its seed `d || z`.
    #[must_use]
    pub const fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        Self(KemSecret::from_seed(seed))
    }

    /// Returns the seed, for the store.
    #[must_use]
    pub const fn seed(&self) -> &Secret<SEED_LEN> {
        self.0.seed()
    }

    /// Computes both public parts.
    #[must_use]
    pub fn public(&self) -> (KemHeader, KemVector) {
        let pair = incremental::KeyPairCompressedBytes::from_seed(*self.seed().expose());
        let header = KemHeader(*pair.pk1());
        let vector = KemVector { header, bytes: Box::new(*pair.pk2()) };
        let mut bytes = pair.to_bytes();
        bytes.zeroize();
        (header, vector)
    }

    /// Decapsulates; a ciphertext that is not for this key gives an unrelated secret (implicit rejection).
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] when a part has a wrong length.
    pub fn decapsulate(&self, ct1: &[u8], ct2: &[u8]) -> Result<Secret<32>, InvalidKey> {
        if ct1.len() != CT1_LEN {
            return Err(InvalidKey);
        }
        Ok(self.0.decapsulate(&KemCiphertext::from_bytes(&[ct1, ct2].concat())?))
    }
}

/// An encapsulation between its two halves: coins and header, all else is computed again.
#[derive(Debug)]
pub struct Encapsulation {
    coins: Secret<32>,
    header: KemHeader,
}

impl Encapsulation {
    /// Draws the coins of an encapsulation to the key of `header`.
    pub fn generate(header: KemHeader, rng: &mut dyn CryptoRng) -> Self {
        Self::from_parts(Secret::random(rng), header)
    }

    /// Rebuilds an encapsulation from its coins and its header.
    #[must_use]
    pub const fn from_parts(coins: Secret<32>, header: KemHeader) -> Self {
        Self { coins, header }
    }

    /// Returns the coins, for the store.
    #[must_use]
    pub const fn coins(&self) -> &Secret<32> {
        &self.coins
    }

    /// Returns the header.
    #[must_use]
    pub const fn header(&self) -> &KemHeader {
        &self.header
    }

    /// The first half: ct1 and the shared secret. The same each time.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] never for what this module hands out; the library's signature allows it.
    pub fn first(&self) -> Result<(Box<[u8; CT1_LEN]>, Secret<32>), InvalidKey> {
        self.with_state(|_, ct1, shared| (ct1, shared))
    }

    /// The second half: ct2, which needs the vector.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] when the vector belongs to another header.
    pub fn second(&self, vector: &KemVector) -> Result<Box<[u8; CT2_LEN]>, InvalidKey> {
        if vector.header != self.header {
            return Err(InvalidKey);
        }
        self.with_state(|state, _, _| Box::new(incremental::encapsulate2(state, vector.as_bytes()).value))
    }

    /// Runs the first half and wipes what the library keeps between the halves.
    fn with_state<T>(
        &self,
        use_it: impl FnOnce(&[u8; STATE_LEN], Box<[u8; CT1_LEN]>, Secret<32>) -> T,
    ) -> Result<T, InvalidKey> {
        let mut state = [0; STATE_LEN];
        let mut shared = [0; 32];
        let coins = *self.coins.expose();
        let ct1 = incremental::encapsulate1(&self.header.0, coins, &mut state, &mut shared);
        let result = ct1
            .map(|ct1| use_it(&state, Box::new(ct1.value), Secret::from_bytes(shared)))
            .map_err(|_| InvalidKey);
        shared.zeroize();
        state.zeroize();
        result
    }
}

/// Length of the library's own state between the halves, in bytes; it never leaves this module.
const STATE_LEN: usize = incremental::encaps_state_len();

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kem::KemPublic;
    use crate::rng::seeded;

    #[test]
    fn the_parts_put_together_are_fips_203_byte_for_byte() {
        // R-CRYPTO-7
        use ml_kem::kem::{Decapsulate, KeyExport};
        for n in 0..8 {
            let mut rng = seeded([n; 32]);
            let key = IncrementalSecret::generate(&mut rng);
            let (header, vector) = key.public();
            let other =
                ml_kem::DecapsulationKey::<ml_kem::MlKem768>::from_seed((*key.seed().expose()).into());
            let whole = [vector.as_bytes().as_slice(), &header.as_bytes()[..32]].concat();
            assert_eq!(other.encapsulation_key().to_bytes().as_slice(), whole);

            let encapsulation = Encapsulation::generate(header, &mut rng);
            let (ct1, shared) = encapsulation.first().unwrap();
            let ct2 = encapsulation.second(&vector).unwrap();
            let ciphertext: [u8; CIPHERTEXT_LEN] =
                [ct1.as_slice(), ct2.as_slice()].concat().try_into().unwrap();
            assert_eq!(other.decapsulate(&ciphertext.into()).as_slice(), shared.expose());
            assert_eq!(key.decapsulate(&*ct1, &*ct2).unwrap().expose(), shared.expose());

            // The undivided encapsulation with the same coins gives the same bytes.
            let coins = *encapsulation.coins().expose();
            let public = KemPublic::from_bytes(&whole).unwrap();
            let (undivided, secret) = public.encapsulate(&mut Fixed(coins));
            assert_eq!(undivided.as_bytes(), &ciphertext);
            assert_eq!(secret.expose(), shared.expose());
        }
    }

    /// A generator that gives the same 32 bytes.
    struct Fixed([u8; 32]);

    impl rand_core::TryRng for Fixed {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Fixed {}

    #[test]
    fn coins_and_header_are_all_that_an_encapsulation_needs() {
        // R-CRYPTO-8
        let mut rng = seeded([21; 32]);
        let key = IncrementalSecret::generate(&mut rng);
        let (header, vector) = key.public();
        let before = Encapsulation::generate(header, &mut rng);
        let after = Encapsulation::from_parts(Secret::from_bytes(*before.coins().expose()), *before.header());
        assert_eq!(before.first().unwrap().0, after.first().unwrap().0);
        assert_eq!(before.second(&vector).unwrap(), after.second(&vector).unwrap());
        let again = IncrementalSecret::from_seed(Secret::from_bytes(*key.seed().expose()));
        assert_eq!(again.public(), (header, vector));
    }

    #[test]
    fn a_vector_must_belong_to_its_header_and_be_reduced() {
        // R-CRYPTO-7
        let mut rng = seeded([22; 32]);
        let (header, vector) = IncrementalSecret::generate(&mut rng).public();
        let (other_header, other) = IncrementalSecret::generate(&mut rng).public();
        assert!(KemVector::from_bytes(&header, vector.as_bytes()).is_ok());
        assert_eq!(KemVector::from_bytes(&header, other.as_bytes()), Err(InvalidKey));
        assert_eq!(KemVector::from_bytes(&other_header, vector.as_bytes()), Err(InvalidKey));
        assert_eq!(KemVector::from_bytes(&header, &vector.as_bytes()[1..]), Err(InvalidKey));
        // A coefficient above the modulus, under a header whose hash is right.
        use sha3::Digest;
        let mut bytes = *vector.as_bytes();
        (bytes[0], bytes[1]) = (0xFF, bytes[1] | 0x0F);
        let mut forged = *header.as_bytes();
        let hash = sha3::Sha3_256::digest([bytes.as_slice(), &forged[..32]].concat());
        forged[32..].copy_from_slice(&hash);
        assert_eq!(KemVector::from_bytes(&KemHeader::new(forged), &bytes), Err(InvalidKey));
        let encapsulation = Encapsulation::generate(header, &mut rng);
        assert_eq!(encapsulation.second(&other), Err(InvalidKey));
    }

    #[test]
    fn parts_of_a_wrong_length_or_of_another_ciphertext_give_no_secret() {
        let mut rng = seeded([23; 32]);
        let key = IncrementalSecret::generate(&mut rng);
        let (header, vector) = key.public();
        let encapsulation = Encapsulation::generate(header, &mut rng);
        let (ct1, shared) = encapsulation.first().unwrap();
        let ct2 = encapsulation.second(&vector).unwrap();
        assert!(key.decapsulate(&ct1[1..], &*ct2).is_err());
        assert!(key.decapsulate(&*ct1, &ct2[1..]).is_err());
        let mut bad = *ct2;
        bad[5] ^= 1;
        assert_ne!(key.decapsulate(&*ct1, &bad).unwrap().expose(), shared.expose());
    }
}
