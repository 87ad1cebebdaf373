//! ChaCha20 (RFC 8439) with an HMAC-SHA-256 tag: what nobody can make open under two keys (R-GROUP-23).
//!
//! The keystream is counted from block 0 under the all-zero nonce, so a pair of keys seals one message only. A message may be sealed in
//! several parts, which follow each other in the keystream; one tag authenticates them all.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

use crate::error::NotAuthentic;
use crate::kdf::{mac, mac_matches};
use crate::label::Label;
use crate::secret::{Secret, SecretBytes};

/// Length of the tag, in bytes.
pub const TAG_LEN: usize = 32;

/// The keystream, and the key of the tag.
struct Keys {
    stream: ChaCha20,
    mac: Secret<32>,
}

impl Keys {
    fn new(keys: &Secret<64>) -> Self {
        let (encryption, mac) = keys.expose().split_at(32);
        let encryption: Secret<32> = Secret::init_with(|out| out.copy_from_slice(encryption));
        Self {
            stream: ChaCha20::new(encryption.expose().into(), &[0; 12].into()),
            mac: Secret::init_with(|out| out.copy_from_slice(mac)),
        }
    }
}

/// Seals one message: [`Self::encrypt`] for each part, then [`Self::tag`].
pub struct Sealer(Keys);

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Takes `encryption key (32) || MAC key (32)`. The caller sees to it that no second message is sealed with them.
    #[must_use]
    pub fn new(keys: &Secret<64>) -> Self {
        Self(Keys::new(keys))
    }

    /// Encrypts the next part in place.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] if the message exceeds 256 GiB: the caller's mistake.
    pub fn encrypt(&mut self, part: &mut [u8]) -> Result<(), NotAuthentic> {
        self.0.stream.try_apply_keystream(part).map_err(|_| NotAuthentic)
    }

    /// Returns the tag of `message`, which the caller makes of everything encrypted and of what belongs to it, at fixed places.
    #[must_use]
    pub fn tag(self, label: Label, message: &[&[u8]]) -> [u8; TAG_LEN] {
        *mac(label, &self.0.mac, message).expose()
    }
}

/// Opens one message. There is none of it before the tag was checked.
pub struct Opener(Keys);

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opener(..)")
    }
}

impl Opener {
    /// Checks the tag of `message`, in constant time.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: drop the message.
    pub fn new(keys: &Secret<64>, label: Label, message: &[&[u8]], tag: &[u8]) -> Result<Self, NotAuthentic> {
        let keys = Keys::new(keys);
        if mac_matches(label, &keys.mac, message, tag) { Ok(Self(keys)) } else { Err(NotAuthentic) }
    }

    /// Decrypts the next part.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] if the message exceeds 256 GiB: drop it.
    pub fn decrypt(&mut self, part: &[u8]) -> Result<SecretBytes, NotAuthentic> {
        let mut plain = part.to_vec();
        self.0.stream.try_apply_keystream(&mut plain).map_err(|_| NotAuthentic)?;
        Ok(SecretBytes::new(plain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label;

    fn keys() -> Secret<64> {
        Secret::init_with(|out| out.iter_mut().zip(0..).for_each(|(to, i)| *to = i))
    }

    #[test]
    fn the_keystream_is_that_of_rfc_8439_from_block_0_in_parts_r_group_23() {
        // RFC 8439, appendix A.1, test vector 1: key and nonce zero, block counter 0.
        let mut sealer = Sealer::new(&Secret::from_bytes([0; 64]));
        let mut stream = [0; 64];
        let (first, second) = stream.split_at_mut(5);
        sealer.encrypt(first).unwrap();
        sealer.encrypt(second).unwrap();
        assert_eq!(stream[..8], [0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90]);
        // The block's last bytes, from the same vector.
        assert_eq!(stream[56..], [0xc3, 0x87, 0xb6, 0x69, 0xb2, 0xee, 0x65, 0x86]);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_tag_is_refused_r_group_23() {
        let mut sealer = Sealer::new(&keys());
        let mut sealed = *b"some content";
        sealer.encrypt(&mut sealed).unwrap();
        let tag = sealer.tag(label::MAC_GROUP_MESSAGE, &[b"head", &sealed]);
        let open = |sealed: &[u8], tag: &[u8]| {
            Opener::new(&keys(), label::MAC_GROUP_MESSAGE, &[b"head", sealed], tag)
        };
        let opened = open(&sealed, &tag).unwrap().decrypt(&sealed).unwrap();
        assert_eq!(opened.expose(), b"some content");
        for len in 0..TAG_LEN {
            assert!(open(&sealed, &tag[..len]).is_err(), "{len}");
        }
        for bit in 0..8 * TAG_LEN {
            let mut bad = tag;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&sealed, &bad).is_err());
        }
        for bit in 0..8 * sealed.len() {
            let mut bad = sealed;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&bad, &tag).is_err());
        }
    }
}
