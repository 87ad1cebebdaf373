//! The functions of the protocol, written down from `docs/PROTOCOL.md` once more over SHA-256, so that a slip in
//! the code that everything uses does not end up in the vectors.

#![expect(clippy::cast_possible_truncation, reason = "parts are short")]

use chancery_crypto::hash::sha256;
use chancery_crypto::kem::{KemCiphertext, KemSecret};
use chancery_crypto::label::{self, Label};
use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_crypto::x25519::{DhPublic, DhSecret};

/// Finds a label by the name that the document gives it.
pub(super) fn label(name: &str) -> Result<Label, String> {
    let found = label::ALL.iter().find(|label| label.as_bytes() == format!("chancery/1 {name}").as_bytes());
    found.copied().ok_or_else(|| format!("no label {name}"))
}

/// HMAC-SHA-256 (RFC 2104).
pub(super) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&sha256(&[key]));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let (inner, outer) = (block.map(|byte| byte ^ 0x36), block.map(|byte| byte ^ 0x5c));
    let all: Vec<&[u8]> = std::iter::once(&inner[..]).chain(parts.iter().copied()).collect();
    sha256(&[&outer, &sha256(&all)])
}

/// The pseudorandom key and `length` bytes of HKDF-SHA-256 (RFC 5869).
pub(super) fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8], length: usize) -> ([u8; 32], Vec<u8>) {
    let prk = hmac(salt, &[ikm]);
    let mut okm = Vec::new();
    let mut block: Vec<u8> = Vec::new();
    for number in 1..=u8::MAX {
        if okm.len() >= length {
            break;
        }
        block = hmac(&prk, &[&block, info, &[number]]).to_vec();
        okm.extend_from_slice(&block);
    }
    okm.truncate(length);
    (prk, okm)
}

/// R-CRYPTO-2.
pub(super) fn hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let mut bytes = vec![label.as_bytes().len() as u8];
    bytes.extend_from_slice(label.as_bytes());
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    sha256(&[&bytes])
}

/// R-CRYPTO-4.
pub(super) fn derive(label: Label, salt: &[u8], ikm: &[&[u8]], context: &[u8], length: usize) -> Vec<u8> {
    let info = [label.as_bytes(), &[0], context].concat();
    hkdf(salt, &ikm.concat(), &info, length).1
}

/// R-CRYPTO-4.
pub(super) fn mac(label: Label, key: &[u8], message: &[u8]) -> [u8; 32] {
    hmac(key, &[label.as_bytes(), &[0], message])
}

/// R-CRYPTO-9: what both halves sign.
pub(super) fn bound_message(label: Label, public: &[u8], message: &[u8]) -> Vec<u8> {
    [&[label.as_bytes().len() as u8], label.as_bytes(), &sha256(&[public]), message].concat()
}

/// `u32(len) || content || zeros`, `length` bytes in all.
pub(super) fn padded(content: &[u8], length: usize) -> Vec<u8> {
    let mut out = [&(content.len() as u32).to_be_bytes(), content].concat();
    out.resize(length.max(out.len()), 0);
    out
}

/// X25519.
pub(super) fn dh(secret: &[u8], public: &[u8]) -> Result<Vec<u8>, String> {
    let secret = DhSecret::from_secret(Secret::from_slice(secret).ok_or("private key: not 32 bytes")?);
    let public = DhPublic::from_bytes(public).map_err(|e| e.to_string())?;
    Ok(secret.agree(&public).map_err(|e| e.to_string())?.expose().to_vec())
}

/// ML-KEM-768 decapsulation.
pub(super) fn decapsulate(seed: &[u8], ciphertext: &[u8]) -> Result<Vec<u8>, String> {
    let key = KemSecret::from_seed(Secret::from_slice(seed).ok_or("seed: not 64 bytes")?);
    let ciphertext = KemCiphertext::from_bytes(ciphertext).map_err(|e| e.to_string())?;
    Ok(key.decapsulate(&ciphertext).expose().to_vec())
}

/// Seals under a single-use key (R-CRYPTO-11).
pub(super) fn seal(key: &[u8], aad: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, String> {
    let key = Secret::from_slice(key).ok_or("key: not 32 bytes")?;
    Ok(chancery_crypto::aead::OneTimeKey::new(key).seal(aad, plaintext))
}

/// A signing key from its seed.
pub(super) fn signer(seed: &[u8]) -> Result<SigningKey, String> {
    Ok(SigningKey::from_seed(Secret::from_slice(seed).ok_or("signing seed: not 64 bytes")?))
}

/// The randomness of a case, drawn in order: the ChaCha20 key stream of its `rng_seed`.
pub(super) struct Draws(Box<dyn CryptoRng>);

impl Draws {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self(Box::new(seeded(seed)))
    }

    pub(super) fn next<const N: usize>(&mut self) -> [u8; N] {
        random_bytes(self.0.as_mut())
    }

    pub(super) fn rng(&mut self) -> &mut dyn CryptoRng {
        self.0.as_mut()
    }
}

/// Test inputs: `length` bytes that depend on `name` and nothing else.
pub(super) fn sample(name: &str, length: usize) -> Vec<u8> {
    hkdf(b"chancery vectors", name.as_bytes(), b"", length).1
}

/// The same in hex.
pub(super) fn sample_hex(name: &str, length: usize) -> String {
    super::hex(&sample(name, length))
}
