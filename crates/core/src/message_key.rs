//! MK, which seals or opens one message.

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::kdf::derive;
use chancery_crypto::label;
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

    /// The key of both ratchets: `HKDF(salt = post-quantum key, ikm = own key)` (R-RATCHET-20).
    ///
    /// Source: Double Ratchet, section 6, the Triple Ratchet.
    pub(crate) fn combine(&self, post_quantum: &Secret<32>) -> Self {
        #[cfg(test)]
        if let Some(key) = switched_off::combine(self.secret(), post_quantum) {
            return Self::new(key);
        }
        Self::new(derive(label::KDF_TRIPLE, post_quantum.expose(), &[self.secret().expose()], &[]))
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

/// One half of the ratchet switched off: the control by which tests see that an adversary would succeed.
#[cfg(test)]
pub(crate) mod switched_off {
    extern crate std;

    use core::cell::Cell;

    use super::{Secret, derive, label};

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Half {
        Neither,
        Classical,
        PostQuantum,
    }

    std::thread_local! {
        static OFF: Cell<Half> = const { Cell::new(Half::Neither) };
    }

    /// Switches a half off in this thread: its keys are all zero.
    pub(crate) fn switch_off(half: Half) {
        OFF.set(half);
    }

    pub(super) fn combine(classical: &Secret<32>, post_quantum: &Secret<32>) -> Option<Secret<32>> {
        let zero = [0; 32];
        match OFF.get() {
            Half::Neither => None,
            Half::Classical => Some(derive(label::KDF_TRIPLE, post_quantum.expose(), &[&zero], &[])),
            Half::PostQuantum => Some(derive(label::KDF_TRIPLE, &zero, &[classical.expose()], &[])),
        }
    }
}
