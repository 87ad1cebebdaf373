//! Ed25519 alone as witnesses of a log use it: C2SP tlog-cosignature, `cosignature/v1`. Such a key signs nothing else.

use alloc::format;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::ed25519::{PUBLIC_LEN, SIGNATURE_LEN, parse};
use crate::error::{InvalidKey, NotAuthentic};
use crate::secret::Secret;

/// A witness's public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WitnessVerifyingKey([u8; PUBLIC_LEN]);

impl WitnessVerifyingKey {
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

    /// Checks strictly that the witness signed `text`, the lines of a checkpoint, at `time`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: the witness has not seen it.
    pub fn verify(&self, time: u64, text: &str, signature: &[u8; SIGNATURE_LEN]) -> Result<(), NotAuthentic> {
        let key: VerifyingKey = parse(&self.0).map_err(|_| NotAuthentic)?;
        let message = message(time, text);
        key.verify_strict(message.as_bytes(), &Signature::from_bytes(signature)).map_err(|_| NotAuthentic)
    }
}

/// A witness's private key.
#[derive(Debug)]
pub struct WitnessSigningKey {
    seed: Secret<32>,
    public: WitnessVerifyingKey,
}

impl WitnessSigningKey {
    /// Rebuilds a key from its seed, 32 random bytes.
    #[must_use]
    pub fn from_seed(seed: Secret<32>) -> Self {
        let public = SigningKey::from_bytes(seed.expose()).verifying_key().to_bytes();
        Self { seed, public: WitnessVerifyingKey(public) }
    }

    /// Returns the public key.
    #[must_use]
    pub const fn verifying_key(&self) -> WitnessVerifyingKey {
        self.public
    }

    /// Signs `text`, the lines of a checkpoint with their line feeds, as seen at `time`, in seconds since 1970.
    #[must_use]
    pub fn sign(&self, time: u64, text: &str) -> [u8; SIGNATURE_LEN] {
        SigningKey::from_bytes(self.seed.expose()).sign(message(time, text).as_bytes()).to_bytes()
    }
}

/// Returns what a witness signs (R-LOG-13).
#[must_use]
pub fn message(time: u64, text: &str) -> alloc::string::String {
    format!("cosignature/v1\ntime {time}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_the_one_in_c2sp_tlog_cosignature_r_log_13() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let expected = "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
                        CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(message(1_679_315_147, text), expected);
        let key = WitnessSigningKey::from_seed(Secret::from_bytes([7; 32]));
        let signature = key.sign(5, text);
        let public = key.verifying_key();
        assert_eq!(public.verify(5, text, &signature), Ok(()));
        assert_eq!(public.verify(6, text, &signature), Err(NotAuthentic));
        assert_eq!(public.verify(5, "other\n", &signature), Err(NotAuthentic));
        assert_eq!(WitnessVerifyingKey::from_bytes(&[0; 32]), Err(InvalidKey));
        assert_eq!(WitnessVerifyingKey::from_bytes(public.as_bytes()), Ok(public));
    }
}
