//! ChaCha20-Poly1305 with the full tag (RFC 8439), in the two forms that the protocol uses.

use alloc::vec;
use alloc::vec::Vec;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, XChaCha20Poly1305};
use rand_core::CryptoRng;

use crate::error::NotAuthentic;
use crate::secret::{Secret, SecretBytes};

/// Length of an authenticator, in bytes.
pub const TAG_LEN: usize = 16;
/// Bytes that [`BoxKey::seal`] adds: a 24-byte nonce in front, a tag behind.
pub const BOX_OVERHEAD: usize = 24 + TAG_LEN;

/// A key that seals one message only, under the all-zero nonce (R-CRYPTO-11).
///
/// Sealing consumes the key; opening borrows it, because a forgery must not burn a stored key.
#[derive(Debug)]
pub struct OneTimeKey(Secret<32>);

impl OneTimeKey {
    /// Takes over a derived key. The caller sees to it that no second `OneTimeKey` seals with it.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Returns the key, for the store of skipped message keys.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Seals `plaintext`: ciphertext, then tag.
    #[must_use]
    pub fn seal(self, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
        seal_at(&self.0, &[0; 12], aad, plaintext)
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: drop the message.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, NotAuthentic> {
        open_at(&self.0, &[0; 12], aad, sealed)
    }
}

/// A long-lived key that seals any number of messages under random 24-byte nonces (`XChaCha20-Poly1305`).
#[derive(Debug)]
pub struct BoxKey(Secret<32>);

impl BoxKey {
    /// Takes over a key.
    #[must_use]
    pub const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    /// Seals `plaintext`: nonce (24), ciphertext, tag (16).
    pub fn seal(&self, aad: &[u8], plaintext: &[u8], rng: &mut dyn CryptoRng) -> Vec<u8> {
        let mut nonce = [0; 24];
        rng.fill_bytes(&mut nonce);
        let cipher = XChaCha20Poly1305::new(&(*self.0.expose()).into());
        let mut out = Vec::with_capacity(plaintext.len().saturating_add(BOX_OVERHEAD));
        out.extend_from_slice(&nonce);
        out.extend_from_slice(plaintext);
        let body = out.get_mut(24..).unwrap_or_default();
        match cipher.encrypt_inout_detached(&nonce.into(), aad, body.into()) {
            Ok(tag) => out.extend_from_slice(&tag),
            // Not reachable below 256 GiB; an empty box opens nowhere.
            Err(_) => out.clear(),
        }
        out
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] for a box that was damaged, moved to other associated data or made with another key.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, NotAuthentic> {
        let (nonce, rest) = sealed.split_first_chunk::<24>().ok_or(NotAuthentic)?;
        let (body, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(NotAuthentic)?;
        let cipher = XChaCha20Poly1305::new(&(*self.0.expose()).into());
        let mut plain = SecretBuffer(body.to_vec());
        cipher
            .decrypt_inout_detached(&(*nonce).into(), aad, plain.0.as_mut_slice().into(), &(*tag).into())
            .map_err(|_| NotAuthentic)?;
        Ok(plain.done())
    }
}

/// Up to this many bytes the verified portable code is used: it has no fixed cost of its own, while the vectorised code spends about a
/// microsecond before the first byte and is the faster from about 1 KiB on.
const SHORT: usize = 1024;

pub(crate) fn seal_at(key: &Secret<32>, nonce: &[u8; 12], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    if plaintext.len() <= SHORT {
        let mut out = vec![0; plaintext.len().saturating_add(TAG_LEN)];
        // Fails above 4 GiB only; an empty message opens nowhere.
        if libcrux_chacha20poly1305::encrypt(key.expose(), plaintext, &mut out, aad, nonce).is_err() {
            out.clear();
        }
        return out;
    }
    let cipher = ChaCha20Poly1305::new(&(*key.expose()).into());
    let mut out = Vec::with_capacity(plaintext.len().saturating_add(TAG_LEN));
    out.extend_from_slice(plaintext);
    match cipher.encrypt_inout_detached(&(*nonce).into(), aad, out.as_mut_slice().into()) {
        Ok(tag) => out.extend_from_slice(&tag),
        // Not reachable below 256 GiB; an empty message opens nowhere.
        Err(_) => out.clear(),
    }
    out
}

pub(crate) fn open_at(
    key: &Secret<32>,
    nonce: &[u8; 12],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, NotAuthentic> {
    let (body, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(NotAuthentic)?;
    if body.len() <= SHORT {
        let mut plain = SecretBuffer(vec![0; body.len()]);
        libcrux_chacha20poly1305::decrypt(key.expose(), &mut plain.0, sealed, aad, nonce)
            .map_err(|_| NotAuthentic)?;
        return Ok(plain.done());
    }
    let cipher = ChaCha20Poly1305::new(&(*key.expose()).into());
    let mut plain = SecretBuffer(body.to_vec());
    cipher
        .decrypt_inout_detached(&(*nonce).into(), aad, plain.0.as_mut_slice().into(), &(*tag).into())
        .map_err(|_| NotAuthentic)?;
    Ok(plain.done())
}

/// A buffer that becomes [`SecretBytes`] once it has authenticated, and is wiped if it does not.
struct SecretBuffer(Vec<u8>);

impl SecretBuffer {
    fn done(mut self) -> SecretBytes {
        SecretBytes::new(core::mem::take(&mut self.0))
    }
}

impl Drop for SecretBuffer {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::seeded;

    #[test]
    fn one_time_key_opens_only_what_it_sealed_r_crypto_11() {
        let key = || OneTimeKey::new(Secret::from_bytes([1; 32]));
        let sealed = key().seal(b"aad", b"text");
        assert_eq!(key().open(b"aad", &sealed).unwrap().expose(), b"text");
        assert!(key().open(b"other", &sealed).is_err());
        for i in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[i] ^= 0x80;
            assert!(key().open(b"aad", &bad).is_err());
            assert!(key().open(b"aad", &sealed[..i]).is_err());
        }
    }

    #[test]
    fn both_implementations_are_one_cipher() {
        // On both sides of where one takes over from the other.
        for len in [0, 1, 15, 16, 17, SHORT - 1, SHORT, SHORT + 1, 2 * SHORT] {
            let (key, plaintext) = ([3; 32], vec![7; len]);
            let sealed = seal_at(&Secret::from_bytes(key), &[5; 12], b"aad", &plaintext);
            let mut expected = plaintext.clone();
            let cipher = ChaCha20Poly1305::new(&key.into());
            let tag = cipher
                .encrypt_inout_detached(&[5; 12].into(), b"aad", expected.as_mut_slice().into())
                .unwrap();
            expected.extend_from_slice(&tag);
            assert_eq!(sealed, expected, "{len}");
            let opened = open_at(&Secret::from_bytes(key), &[5; 12], b"aad", &sealed).unwrap();
            assert_eq!(opened.expose(), plaintext);
        }
    }

    #[test]
    fn a_box_differs_each_time_and_opens() {
        let mut rng = seeded([2; 32]);
        let key = BoxKey::new(Secret::from_bytes([1; 32]));
        let (a, b) = (key.seal(b"", b"x", &mut rng), key.seal(b"", b"x", &mut rng));
        assert_ne!(a, b);
        assert_eq!(key.open(b"", &a).unwrap().expose(), b"x");
        assert!(key.open(b"", &a[..39]).is_err());
    }
}
