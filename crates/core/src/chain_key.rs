//! CK, the sending and receiving chains.

use chancery_crypto::kdf::MacKey;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;

use crate::message_key::MessageKey;

/// The 32-byte chain key.
#[derive(Debug)]
pub(crate) struct ChainKey(Secret<32>);

impl ChainKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// `KDF_CK`: the next chain key and this step's message key (R-RATCHET-4).
    ///
    /// Borrows; the caller moves the next key in once it is entitled to.
    ///
    /// Source: Double Ratchet, sections 2.2 and 3.1.
    pub(crate) fn step(&self) -> (Self, MessageKey) {
        let key = MacKey::new(&self.0);
        (Self(key.mac(label::KDF_CHAIN, &[])), MessageKey::new(key.mac(label::KDF_MESSAGE, &[])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_gives_two_different_keys_and_moves_on() {
        // R-RATCHET-4
        let start = ChainKey::new(Secret::from_bytes([3; 32]));
        let (next, message_key) = start.step();
        let (after, _) = next.step();
        assert_ne!(next.secret().expose(), message_key.secret().expose());
        assert_ne!(after.secret().expose(), next.secret().expose());
        assert_eq!(start.step().0.secret().expose(), next.secret().expose());
    }
}
