//! MK, which seals or opens one message.

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::secret::{Secret, SecretBytes};

/// The key of one message. Sealing consumes it; opening borrows it, because a forgery must not burn it.
#[derive(Debug)]
pub(crate) struct MessageKey(OneTimeKey);

impl MessageKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(OneTimeKey::new(key))
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        self.0.secret()
    }

    /// Seals a padded body (R-RATCHET-7).
    pub(crate) fn seal(self, aad: &[u8], padded: &SecretBytes) -> Vec<u8> {
        self.0.seal(aad, padded.expose())
    }

    /// Opens a body; what comes out is still padded.
    pub(crate) fn open(&self, aad: &[u8], body: &[u8]) -> Result<SecretBytes, NotAuthentic> {
        self.0.open(aad, body)
    }
}
