//! Ed25519 alone (RFC 8032), for group messages only; everything else signs with [`crate::signature`].

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;

use crate::error::{InvalidKey, NotAuthentic};
use crate::label::Label;
use crate::secret::Secret;
use crate::x25519::is_canonical;

/// Length of a public key, in bytes.
pub const PUBLIC_LEN: usize = 32;
/// Length of a signature, in bytes.
pub const SIGNATURE_LEN: usize = 64;

/// A device's public key for group messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupVerifyingKey([u8; PUBLIC_LEN]);

impl GroupVerifyingKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for bytes that are no canonical point or one of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; PUBLIC_LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        parse(&bytes)?;
        Ok(Self(bytes))
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.0
    }

    /// Checks a signature strictly (`verify_strict`: no malleable form, no small order).
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: drop the message.
    pub fn verify(
        &self,
        label: Label,
        message: &[u8],
        signature: &[u8; SIGNATURE_LEN],
    ) -> Result<(), NotAuthentic> {
        let key = parse(&self.0).map_err(|_| NotAuthentic)?;
        let signed = [label.as_bytes(), &[0], message].concat();
        key.verify_strict(&signed, &Signature::from_bytes(signature)).map_err(|_| NotAuthentic)
    }
}

/// A device's private key for group messages.
#[derive(Debug)]
pub struct GroupSigningKey {
    seed: Secret<32>,
    public: GroupVerifyingKey,
}

impl GroupSigningKey {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// Rebuilds a key from its seed.
    #[must_use]
    pub fn from_seed(seed: Secret<32>) -> Self {
        let public = GroupVerifyingKey(SigningKey::from_bytes(seed.expose()).verifying_key().to_bytes());
        Self { seed, public }
    }

    /// Returns the seed, for the store.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// Returns the public key.
    #[must_use]
    pub const fn verifying_key(&self) -> GroupVerifyingKey {
        self.public
    }

    /// Signs `label || 0x00 || message`.
    #[must_use]
    pub fn sign(&self, label: Label, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let signed = [label.as_bytes(), &[0], message].concat();
        SigningKey::from_bytes(self.seed.expose()).sign(&signed).to_bytes()
    }
}

/// Reads a point that is canonical and of large order (R-CRYPTO-10).
pub(crate) fn parse(bytes: &[u8; PUBLIC_LEN]) -> Result<VerifyingKey, InvalidKey> {
    // What is left of the encodings that are not canonical, x = 0 with a sign, are points of small order.
    let mut y = *bytes;
    y[PUBLIC_LEN - 1] &= 0x7F;
    if !is_canonical(&y) {
        return Err(InvalidKey);
    }
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| InvalidKey)?;
    if key.is_weak() { Err(InvalidKey) } else { Ok(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_non_canonical_keys_are_refused_r_crypto_10() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert_eq!(GroupVerifyingKey::from_bytes(&identity), Err(InvalidKey));
        let mut above = [0xFF; 32];
        (above[0], above[31]) = (0xEE, 0x7F);
        assert_eq!(GroupVerifyingKey::from_bytes(&above), Err(InvalidKey));
    }
}
