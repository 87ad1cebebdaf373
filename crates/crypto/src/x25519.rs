//! X25519 Diffie-Hellman (RFC 7748), with keys checked when they are read.

use rand_core::CryptoRng;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use crate::error::InvalidKey;
use crate::secret::{Secret, ct_eq};

/// Length of a public key, a private key and a shared secret, in bytes.
pub const LEN: usize = 32;

/// A public key that is canonical and not of small order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DhPublic([u8; LEN]);

impl DhPublic {
    /// Reads a public key: 32 bytes, the u-coordinate in little-endian order.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] for u ≥ 2^255 − 19 (also with the top bit set) and for the points of small order:
    /// drop what carried it (R-CRYPTO-6).
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidKey> {
        let bytes: [u8; LEN] = bytes.try_into().map_err(|_| InvalidKey)?;
        if !is_canonical(&bytes) || SMALL_ORDER.contains(&bytes) {
            return Err(InvalidKey);
        }
        Ok(Self(bytes))
    }

    /// Returns the encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; LEN] {
        &self.0
    }
}

/// A private key and its public key.
pub struct DhSecret {
    secret: Secret<LEN>,
    public: DhPublic,
}

impl core::fmt::Debug for DhSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DhSecret(..)")
    }
}

impl DhSecret {
    /// Makes a key pair.
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::from_secret(Secret::random(rng))
    }

    /// Rebuilds a key pair from its 32 secret bytes; clamping happens in the multiplication.
    #[must_use]
    pub fn from_secret(secret: Secret<LEN>) -> Self {
        let public = DhPublic(PublicKey::from(&StaticSecret::from(*secret.expose())).to_bytes());
        Self { secret, public }
    }

    /// Rebuilds a key pair of which the public key was stored beside the secret, without the multiplication that
    /// [`Self::from_secret`] costs. The caller answers for it that the two belong together.
    #[must_use]
    pub const fn from_stored(secret: Secret<LEN>, public: DhPublic) -> Self {
        Self { secret, public }
    }

    /// Returns the secret bytes, for the store.
    #[must_use]
    pub const fn secret(&self) -> &Secret<LEN> {
        &self.secret
    }

    /// Returns the public key.
    #[must_use]
    pub const fn public(&self) -> &DhPublic {
        &self.public
    }

    /// Computes the shared secret with `peer`.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] when the result is all zero, which no honest key gives (RFC 7748, section 6.1).
    pub fn agree(&self, peer: &DhPublic) -> Result<Secret<LEN>, InvalidKey> {
        let mut shared = Zeroizing::new([0; LEN]);
        libcrux_curve25519::ecdh(&mut shared, &peer.0, self.secret.expose()).map_err(|_| InvalidKey)?;
        // The library says so, too; the rule is ours.
        if ct_eq(shared.as_slice(), &[0; LEN]) {
            return Err(InvalidKey);
        }
        Ok(Secret::init_with(|out| out.copy_from_slice(shared.as_slice())))
    }
}

/// Whether the little-endian number is below p = 2^255 − 19.
pub(crate) fn is_canonical(bytes: &[u8; LEN]) -> bool {
    let mut p = [0xFF; LEN];
    p[0] = 0xED;
    p[LEN - 1] = 0x7F;
    bytes.iter().rev().lt(p.iter().rev())
}

/// The canonical u-coordinates of order 1, 2, 4 and 8 on the curve and its twist: 0, 1, two of order 8, −1.
const SMALL_ORDER: [[u8; LEN]; 5] = [
    [0; LEN],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::seeded;

    #[test]
    fn both_sides_agree() {
        let mut rng = seeded([3; 32]);
        let (a, b) = (DhSecret::generate(&mut rng), DhSecret::generate(&mut rng));
        assert_eq!(a.agree(b.public()).unwrap().expose(), b.agree(a.public()).unwrap().expose());
    }

    #[test]
    fn keys_of_small_order_and_above_the_prime_are_refused() {
        for bytes in SMALL_ORDER {
            assert_eq!(DhPublic::from_bytes(&bytes), Err(InvalidKey));
            // Each of them would give an all-zero secret, which is what the list is for.
            let raw = StaticSecret::from([7; 32]).diffie_hellman(&PublicKey::from(bytes));
            assert!(!raw.was_contributory(), "{bytes:02x?}");
        }
        for low in 0xED..=0xFF_u8 {
            let mut bytes = [0xFF; 32];
            (bytes[0], bytes[31]) = (low, 0x7F);
            assert_eq!(DhPublic::from_bytes(&bytes), Err(InvalidKey));
        }
        let mut high_bit = *DhSecret::generate(&mut seeded([4; 32])).public().as_bytes();
        high_bit[31] |= 0x80;
        assert_eq!(DhPublic::from_bytes(&high_bit), Err(InvalidKey));
        assert_eq!(DhPublic::from_bytes(&[9; 31]), Err(InvalidKey));
    }
}
