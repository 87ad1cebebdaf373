//! The hybrid signature: Ed25519 *and* ML-DSA-65 (FIPS 204), both over the same bound message.
//!
//! ```text
//! signed    = len(label) (1) || label || SHA-256(ed25519 key || ml-dsa key) (32) || message
//! key       = ed25519 key (32) || ml-dsa-65 key (1952)              1,984 bytes
//! signature = ed25519 signature (64) || ml-dsa-65 signature (3309)  3,373 bytes
//! ```
//!
//! The hash of both keys inside the message means that no half is worth anything beside another half
//! (R-CRYPTO-9); the ML-DSA context string is empty.

use alloc::boxed::Box;
use alloc::vec::Vec;

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use libcrux_ml_dsa::ml_dsa_65;
use rand_core::CryptoRng;
use sha2::Sha512;
use zeroize::Zeroize;

use crate::ed25519;
use crate::error::{InvalidKey, NotAuthentic};
use crate::hash::sha256;
use crate::label::Label;
use crate::secret::Secret;

/// Length of a verifying key, in bytes.
pub const PUBLIC_LEN: usize = 32 + ML_DSA_PUBLIC_LEN;
/// Length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64 + ML_DSA_SIGNATURE_LEN;
/// Length of the seed that a signing key is kept as: Ed25519 seed, then ML-DSA seed, in bytes.
pub const SEED_LEN: usize = 64;

const ML_DSA_PUBLIC_LEN: usize = 1952;
const ML_DSA_SIGNATURE_LEN: usize = 3309;
const ML_DSA_PRIVATE_LEN: usize = 4032;

/// The public half of a hybrid key.
#[derive(Clone)]
pub struct VerifyingKey {
    bytes: Box<[u8; PUBLIC_LEN]>,
    /// The first half, read once.
    ed25519: ed25519_dalek::VerifyingKey,
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for VerifyingKey {}

impl core::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("VerifyingKey(..)")
    }
}

impl VerifyingKey {
    /// Reads a key: Ed25519 (32 bytes), then ML-DSA-65 (1,952 bytes).
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for a wrong length or an Ed25519 half that is not canonical or of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: Box<[u8; PUBLIC_LEN]> = Vec::from(bytes).try_into().map_err(|_| InvalidKey)?;
        let (ed_key, _): (&[u8; 32], &[u8; ML_DSA_PUBLIC_LEN]) = split(&bytes);
        let ed25519 = ed25519::parse(ed_key)?;
        Ok(Self { bytes, ed25519 })
    }

    /// Returns the encoding.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.bytes
    }

    /// Checks that both halves signed `message` under `label`.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] when either half does not verify: drop the message.
    pub fn verify(&self, label: Label, message: &[u8], signature: &[u8]) -> Result<(), NotAuthentic> {
        let signature: &[u8; SIGNATURE_LEN] = signature.try_into().map_err(|_| NotAuthentic)?;
        let (_, ml_key): (&[u8; 32], &[u8; ML_DSA_PUBLIC_LEN]) = split(&self.bytes);
        let (ed_signature, ml_signature) = split_signature(signature);
        let signed = bound_message(label, self, message);
        self.ed25519
            .verify_strict(&signed, &ed25519_dalek::Signature::from_bytes(ed_signature))
            .map_err(|_| NotAuthentic)?;
        let ml_key = ml_dsa_65::MLDSA65VerificationKey::new(*ml_key);
        let ml_signature = ml_dsa_65::MLDSA65Signature::new(*ml_signature);
        ml_dsa_65::verify(&ml_key, &signed, b"", &ml_signature).map_err(|_| NotAuthentic)
    }
}

/// A hybrid signing key. The ML-DSA half is expanded once and wiped with the key.
pub struct SigningKey {
    seed: Secret<SEED_LEN>,
    ed25519: ExpandedSecretKey,
    ml_dsa: Secret<ML_DSA_PRIVATE_LEN>,
    public: VerifyingKey,
}

impl core::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// Rebuilds a key from its 64-byte seed.
    #[must_use]
    pub fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        let (ed_seed, ml_seed): (&[u8; 32], &[u8; 32]) = split(seed.expose());
        let mut pair = ml_dsa_65::generate_key_pair(*ml_seed);
        let ml_dsa = Secret::init_with(|out| out.copy_from_slice(pair.signing_key.as_slice()));
        pair.signing_key.as_mut_slice().zeroize();
        let mut public = Box::new([0; PUBLIC_LEN]);
        let ed_public = ed25519_dalek::SigningKey::from_bytes(ed_seed).verifying_key();
        let ed25519 = ExpandedSecretKey::from(ed_seed);
        let all = ed_public.as_bytes().iter().chain(pair.verification_key.as_slice());
        public.iter_mut().zip(all).for_each(|(to, from)| *to = *from);
        Self { seed, ed25519, ml_dsa, public: VerifyingKey { bytes: public, ed25519: ed_public } }
    }

    /// Returns the seed, for the store.
    #[must_use]
    pub const fn seed(&self) -> &Secret<SEED_LEN> {
        &self.seed
    }

    /// Returns the public half.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs `message` under `label` with both halves; ML-DSA is hedged with 32 bytes from `rng`.
    pub fn sign(&self, label: Label, message: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
        let signed = bound_message(label, &self.public, message);
        let mut signature = Vec::with_capacity(SIGNATURE_LEN);
        // The public key in the hash is the one of this secret key: both were made of the seed.
        let ed_half = raw_sign::<Sha512>(&self.ed25519, &signed, &self.public.ed25519);
        signature.extend_from_slice(&ed_half.to_bytes());
        let mut key = ml_dsa_65::MLDSA65SigningKey::new(*self.ml_dsa.expose());
        loop {
            // Signing gives up only after 814 rejections, which has probability below 2^-256; new
            // randomness makes another attempt independent.
            let hedge = Secret::<32>::random(rng);
            if let Ok(half) = ml_dsa_65::sign(&key, &signed, b"", *hedge.expose()) {
                signature.extend_from_slice(half.as_slice());
                break;
            }
        }
        key.as_mut_slice().zeroize();
        signature
    }
}

fn bound_message(label: Label, key: &VerifyingKey, message: &[u8]) -> Vec<u8> {
    let length = u8::try_from(label.as_bytes().len()).unwrap_or(u8::MAX);
    [&[length], label.as_bytes(), &sha256(&[key.as_bytes()]), message].concat()
}

fn split_signature(bytes: &[u8; SIGNATURE_LEN]) -> (&[u8; 64], &[u8; ML_DSA_SIGNATURE_LEN]) {
    split(bytes)
}

/// Splits an array of `A + B` bytes in two; the lengths are checked when compiling.
fn split<const N: usize, const A: usize, const B: usize>(bytes: &[u8; N]) -> (&[u8; A], &[u8; B]) {
    const { assert!(A + B == N, "the parts must cover the whole") };
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => (first, last),
        // Not reachable: both chunks are shorter than the array.
        _ => (&[0; A], &[0; B]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{label, rng::seeded};

    #[test]
    fn each_half_is_needed_and_bound_to_label_and_keys() {
        let mut rng = seeded([1; 32]);
        let (key, other) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let good = key.sign(label::SIGN_CREDENTIAL, b"m", &mut rng);
        let check = |bytes: &[u8]| key.verifying_key().verify(label::SIGN_CREDENTIAL, b"m", bytes);
        assert_eq!(good.len(), SIGNATURE_LEN);
        assert!(check(&good).is_ok());
        for position in [0, 63, 64, 2000, SIGNATURE_LEN - 1] {
            let mut bad = good.clone();
            bad[position] ^= 1;
            assert_eq!(check(&bad), Err(NotAuthentic), "byte {position}");
        }
        assert_eq!(key.verifying_key().verify(label::SIGN_DESK, b"m", &good), Err(NotAuthentic));
        // A half of one pair beside a half of another: the hash of both keys is inside what each signed.
        let mut mixed = key.verifying_key().as_bytes().to_vec();
        mixed[32..].copy_from_slice(&other.verifying_key().as_bytes()[32..]);
        let mixed = VerifyingKey::from_bytes(&mixed).unwrap();
        let theirs = other.sign(label::SIGN_CREDENTIAL, b"m", &mut rng);
        let spliced = [&good[..64], &theirs[64..]].concat();
        assert_eq!(mixed.verify(label::SIGN_CREDENTIAL, b"m", &spliced), Err(NotAuthentic));
    }

    #[test]
    fn the_post_quantum_half_agrees_with_the_rustcrypto_implementation() {
        use ml_dsa::signature::{Keypair, Verifier};
        let mut rng = seeded([2; 32]);
        let key = SigningKey::generate(&mut rng);
        let ml_seed: [u8; 32] = key.seed().expose()[32..].try_into().unwrap();
        let theirs = ml_dsa::SigningKey::<ml_dsa::MlDsa65>::from_seed(&ml_seed.into());
        assert_eq!(theirs.verifying_key().encode().as_slice(), &key.verifying_key().as_bytes()[32..]);
        let signature = key.sign(label::SIGN_DESK, b"m", &mut rng);
        let half = ml_dsa::Signature::<ml_dsa::MlDsa65>::try_from(&signature[64..]).unwrap();
        let signed = bound_message(label::SIGN_DESK, key.verifying_key(), b"m");
        assert!(theirs.verifying_key().verify(&signed, &half).is_ok());
    }
}
