//! The encrypted header, and the tag in front of it.

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::aead::{OneTimeKey, TAG_LEN as AUTHENTICATOR_LEN};
use chancery_crypto::kdf::MacKey;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhPublic;

use crate::pq_ratchet::Position;
use crate::tag::Tag;

/// Length of a header before it is sealed: ratchet key (32), PN (4), epoch (4), index (4).
pub(crate) const HEADER_LEN: usize = 44;
/// Length of a sealed header.
pub(crate) const SEALED_HEADER_LEN: usize = HEADER_LEN + AUTHENTICATOR_LEN;

/// A message's header: DH ratchet key, PN, and the position in the post-quantum ratchet. The message's number in
/// its chain is not inside, the tag implies it (R-RATCHET-6).
///
/// ```text
/// 0   32  ratchet public key of the sender (X25519)
/// 32   4  PN, length of the sender's previous sending chain, big-endian
/// 36   4  epoch of the post-quantum ratchet, big-endian
/// 40   4  index in the epoch, from 1, big-endian
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ratchet_key: DhPublic,
    /// PN.
    pub(crate) previous_chain_len: u32,
    pub(crate) position: Position,
}

impl Header {
    fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let numbers = [self.previous_chain_len, self.position.epoch, self.position.index];
        let all = self.ratchet_key.as_bytes().iter().copied();
        let all = all.chain(numbers.into_iter().flat_map(u32::to_be_bytes));
        bytes.iter_mut().zip(all).for_each(|(to, from)| *to = from);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (ratchet_key, rest) = bytes.split_first_chunk::<32>()?;
        let ([previous_chain_len, epoch, index], []) = rest.as_chunks::<4>() else { return None };
        let position = Position { epoch: u32::from_be_bytes(*epoch), index: u32::from_be_bytes(*index) };
        // Refuses what is not canonical and what is of small order (R-RATCHET-12).
        let ratchet_key = DhPublic::from_bytes(ratchet_key).ok()?;
        Some(Self { ratchet_key, previous_chain_len: u32::from_be_bytes(*previous_chain_len), position })
    }
}

/// HK: names the messages of one chain and seals their headers.
#[derive(Debug)]
pub(crate) struct HeaderKey(Secret<32>);

impl HeaderKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Makes the key ready for what is done with it.
    pub(crate) fn ready(&self) -> ReadyHeaderKey {
        ReadyHeaderKey(MacKey::new(&self.0))
    }
}

/// A [`HeaderKey`] at work: each tag and each single-use key costs half when the key is made ready once.
#[derive(Debug)]
pub(crate) struct ReadyHeaderKey(MacKey);

impl ReadyHeaderKey {
    /// `tag_n = HMAC(HK, "chancery/1 kdf ratchet tag" || 0x00 || n)`, the first 16 bytes (R-RATCHET-5).
    pub(crate) fn tag(&self, n: u32) -> Tag {
        let full = self.0.mac(label::KDF_TAG, &[&n.to_be_bytes()]);
        let mut tag = [0; 16];
        tag.iter_mut().zip(full.expose()).for_each(|(to, from)| *to = *from);
        Tag::new(tag)
    }

    /// Seals the header of message `n`; once for each `n`, since the key of each is used once.
    ///
    /// Source: Double Ratchet, section 4.2, `HENCRYPT`.
    pub(crate) fn seal(&self, n: u32, header: &Header) -> Vec<u8> {
        self.single_use(n).seal(&[], &header.encode())
    }

    /// Opens the header of message `n`.
    ///
    /// Source: Double Ratchet, section 4.2, `HDECRYPT`. There is no empty header key to try it with.
    pub(crate) fn open(&self, n: u32, sealed: &[u8]) -> Result<Header, NotAuthentic> {
        let bytes = self.single_use(n).open(&[], sealed)?;
        Header::decode(bytes.expose()).ok_or(NotAuthentic)
    }

    fn single_use(&self, n: u32) -> OneTimeKey {
        OneTimeKey::new(self.0.mac(label::KDF_HEADER, &[&n.to_be_bytes()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;
    use chancery_crypto::x25519::DhSecret;

    fn key() -> ReadyHeaderKey {
        HeaderKey::new(Secret::from_bytes([4; 32])).ready()
    }

    #[test]
    fn a_header_opens_under_its_key_and_number_only() {
        let header = Header {
            ratchet_key: *DhSecret::generate(&mut seeded([1; 32])).public(),
            previous_chain_len: 0x0102_0304,
            position: Position { epoch: 0x0506_0708, index: 0x090A_0B0C },
        };
        assert_eq!(header.encode()[32..], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let sealed = key().seal(7, &header);
        assert_eq!(sealed.len(), SEALED_HEADER_LEN);
        assert_eq!(key().open(7, &sealed), Ok(header));
        assert_eq!(key().open(8, &sealed), Err(NotAuthentic));
        assert_eq!(HeaderKey::new(Secret::from_bytes([5; 32])).ready().open(7, &sealed), Err(NotAuthentic));
        assert_ne!(key().tag(7), key().tag(8));
    }

    #[test]
    fn other_lengths_and_ratchet_keys_of_small_order_are_refused_even_when_authentic() {
        // R-RATCHET-6, R-RATCHET-12
        let good = Header {
            ratchet_key: *DhSecret::generate(&mut seeded([1; 32])).public(),
            previous_chain_len: 0,
            position: Position { epoch: 0, index: 1 },
        }
        .encode();
        let seal = |bytes: &[u8]| key().single_use(0).seal(&[], bytes);
        assert!(key().open(0, &seal(&good)).is_ok());
        let mut low_order = good;
        low_order[..32].fill(0);
        assert_eq!(key().open(0, &seal(&low_order)), Err(NotAuthentic));
        low_order[0] = 1;
        assert_eq!(key().open(0, &seal(&low_order)), Err(NotAuthentic));
        assert_eq!(key().open(0, &seal(&good[..43])), Err(NotAuthentic));
        assert_eq!(key().open(0, &seal(&[good.as_slice(), &[0]].concat())), Err(NotAuthentic));
    }
}
