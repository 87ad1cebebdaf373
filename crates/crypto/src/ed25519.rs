//! Ed25519 alone (RFC 8032), for group messages only; everything else signs with [`crate::signature`].

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;

use crate::error::{InvalidKey, NotAuthentic};
use crate::label::Label;
use crate::secret::Secret;

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
pub struct GroupSigningKey(Secret<32>);

impl GroupSigningKey {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(Secret::random(rng))
    }

    /// Rebuilds a key from its seed.
    #[must_use]
    pub const fn from_seed(seed: Secret<32>) -> Self {
        Self(seed)
    }

    /// Returns the seed, for the store.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.0
    }

    /// Returns the public key.
    #[must_use]
    pub fn verifying_key(&self) -> GroupVerifyingKey {
        GroupVerifyingKey(SigningKey::from_bytes(self.0.expose()).verifying_key().to_bytes())
    }

    /// Signs `label || 0x00 || message`.
    #[must_use]
    pub fn sign(&self, label: Label, message: &[u8]) -> [u8; SIGNATURE_LEN] {
        let signed = [label.as_bytes(), &[0], message].concat();
        SigningKey::from_bytes(self.0.expose()).sign(&signed).to_bytes()
    }
}

/// Reads a point that is canonical and of large order (R-CRYPTO-10).
pub(crate) fn parse(bytes: &[u8; PUBLIC_LEN]) -> Result<VerifyingKey, InvalidKey> {
    let key = VerifyingKey::from_bytes(bytes).map_err(|_| InvalidKey)?;
    if key.is_weak() || key.to_edwards().compress().as_bytes() != bytes {
        return Err(InvalidKey);
    }
    Ok(key)
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
