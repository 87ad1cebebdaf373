//! Ed25519 alone (RFC 8032), for group messages only; everything else signs with [`crate::signature`].

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use sha2::Sha512;

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
pub struct GroupVerifyingKey {
    bytes: [u8; PUBLIC_LEN],
    /// The same, read once: that costs a tenth of a verification.
    key: VerifyingKey,
}

impl GroupVerifyingKey {
    /// Reads a key.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for bytes that are no canonical point or one of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; PUBLIC_LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        Ok(Self { bytes, key: parse(&bytes)? })
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; PUBLIC_LEN] {
        &self.bytes
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
        let signed = [label.as_bytes(), &[0], message].concat();
        self.key.verify_strict(&signed, &Signature::from_bytes(signature)).map_err(|_| NotAuthentic)
    }
}

/// A device's private key for group messages. It is expanded once, and wiped on drop.
pub struct GroupSigningKey {
    seed: Secret<32>,
    expanded: ExpandedSecretKey,
    public: GroupVerifyingKey,
}

impl core::fmt::Debug for GroupSigningKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GroupSigningKey(..)")
    }
}

impl GroupSigningKey {
    /// Makes a key.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// Rebuilds a key from its seed.
    #[must_use]
    pub fn from_seed(seed: Secret<32>) -> Self {
        let key = SigningKey::from_bytes(seed.expose()).verifying_key();
        let expanded = ExpandedSecretKey::from(seed.expose());
        Self { seed, expanded, public: GroupVerifyingKey { bytes: key.to_bytes(), key } }
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
        // The public key in the hash is the one of this secret key: both were made of the seed.
        raw_sign::<Sha512>(&self.expanded, &signed, &self.public.key).to_bytes()
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
