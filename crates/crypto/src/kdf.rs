//! HKDF and HMAC with SHA-256 (RFC 5869, RFC 2104).

use core::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::label::Label;
use crate::secret::{Secret, ct_eq};

/// Derives `N` bytes: `HKDF-SHA-256(salt, ikm, info = label || 0x00 || context, N)`.
///
/// `ikm` is the concatenation of its parts; the caller makes sure that their lengths are fixed. No label
/// contains a zero byte, so label and context cannot be confused (R-CRYPTO-4). `N` is at most 8,160.
#[must_use]
pub fn derive<const N: usize>(label: Label, salt: &[u8], ikm: &[&[u8]], context: &[u8]) -> Secret<N> {
    const { assert!(N <= 255 * 32, "HKDF-SHA-256 gives at most 8160 bytes") };
    let mut extract = hkdf::HkdfExtract::<Sha256>::new(Some(salt));
    for part in ikm {
        extract.input_ikm(part);
    }
    let (_, expand): (_, Hkdf<Sha256>) = extract.finalize();
    Secret::init_with(|out| {
        let done = expand.expand_multi_info(&[label.as_bytes(), &[0], context], out);
        debug_assert!(done.is_ok(), "the length is checked when compiling");
    })
}

/// Returns `HMAC-SHA-256(key, label || 0x00 || message)` as a secret: one step of a chain, or a tag.
#[must_use]
pub fn mac(label: Label, key: &Secret<32>, message: &[&[u8]]) -> Secret<32> {
    MacKey::new(key).mac(label, message)
}

/// A key that is made ready once for several [`mac`]s: half of what a short one costs depends on the key alone.
///
/// What it holds is as secret as the key, and is wiped on drop.
pub struct MacKey(Hmac<Sha256>);

impl MacKey {
    /// Makes `key` ready.
    #[must_use]
    pub fn new(key: &Secret<32>) -> Self {
        // HMAC pads a key to the hash's block with zeros; doing it here leaves no length to fail on.
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(key.expose()).for_each(|(to, from)| *to = *from);
        Self(<Hmac<Sha256> as KeyInit>::new((&*block).into()))
    }

    /// As [`mac`](fn@mac), with this key.
    #[must_use]
    pub fn mac(&self, label: Label, message: &[&[u8]]) -> Secret<32> {
        let mut state = self.0.clone();
        state.update(label.as_bytes());
        state.update(&[0]);
        for part in message {
            state.update(part);
        }
        let tag = state.finalize().into_bytes();
        Secret::init_with(|out| out.copy_from_slice(&tag))
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(..)")
    }
}

/// Checks a tag made by [`mac`], in constant time.
#[must_use]
pub fn mac_matches(label: Label, key: &Secret<32>, message: &[&[u8]], tag: &[u8]) -> bool {
    ct_eq(mac(label, key, message).expose(), tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{hash::sha256, label};

    #[test]
    fn derive_is_rfc_5869_with_the_documented_info() {
        // PRK and first block computed by hand from HMAC, as RFC 5869 section 2 defines them.
        fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
            let mut block = [0u8; 64];
            if key.len() > 64 {
                block[..32].copy_from_slice(&sha256(&[key]));
            } else {
                block[..key.len()].copy_from_slice(key);
            }
            let inner: [u8; 64] = block.map(|b| b ^ 0x36);
            let outer: [u8; 64] = block.map(|b| b ^ 0x5c);
            let mut all: alloc::vec::Vec<&[u8]> = alloc::vec![&inner[..]];
            all.extend_from_slice(parts);
            sha256(&[&outer, &sha256(&all)])
        }
        let prk = hmac(b"salt", &[b"one", b"two"]);
        let t1 = hmac(&prk, &[label::KDF_ROOT.as_bytes(), &[0], b"ctx", &[1]]);
        let ours: Secret<32> = derive(label::KDF_ROOT, b"salt", &[b"one", b"two"], b"ctx");
        assert_eq!(ours.expose(), &t1);
        let key = Secret::from_bytes([9; 32]);
        assert_eq!(
            mac(label::KDF_CHAIN, &key, &[b"m"]).expose(),
            &hmac(&[9; 32], &[label::KDF_CHAIN.as_bytes(), &[0], b"m"])
        );
    }
}
