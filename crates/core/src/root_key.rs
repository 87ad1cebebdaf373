//! RK, the root chain.

use chancery_crypto::kdf::derive;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;

use crate::chain_key::ChainKey;
use crate::header::HeaderKey;

/// The 32-byte root key.
#[derive(Debug)]
pub(crate) struct RootKey(Secret<32>);

/// What one step of the root chain gives.
pub(crate) struct RootStep {
    pub(crate) root_key: RootKey,
    pub(crate) chain_key: ChainKey,
    /// The header key of the chain after this one.
    pub(crate) next_header_key: HeaderKey,
}

impl RootKey {
    pub(crate) const fn new(key: Secret<32>) -> Self {
        Self(key)
    }

    pub(crate) const fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// `RK' || CK || NHK = HKDF(salt = RK, ikm = dh, info = "chancery/1 kdf ratchet root" || 0x00, 96)`
    /// (R-RATCHET-3).
    ///
    /// Borrows, so that a message that fails to authenticate leaves the root as it was.
    ///
    /// Source: Double Ratchet, section 4.2, `KDF_RK_HE`.
    pub(crate) fn step(&self, dh: &Secret<32>) -> RootStep {
        let out: Secret<96> = derive(label::KDF_ROOT, self.0.expose(), &[dh.expose()], &[]);
        let [root_key, chain_key, next_header_key] = thirds(&out);
        RootStep {
            root_key: Self(root_key),
            chain_key: ChainKey::new(chain_key),
            next_header_key: HeaderKey::new(next_header_key),
        }
    }
}

fn thirds(bytes: &Secret<96>) -> [Secret<32>; 3] {
    let (parts, _) = bytes.expose().as_chunks::<32>();
    core::array::from_fn(|i| {
        Secret::init_with(|out| {
            if let Some(part) = parts.get(i) {
                out.copy_from_slice(part);
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_outputs_are_consecutive_parts_of_one_derivation() {
        // R-RATCHET-3
        let dh = Secret::from_bytes([2; 32]);
        let step = RootKey::new(Secret::from_bytes([1; 32])).step(&dh);
        let all: Secret<96> = derive(label::KDF_ROOT, &[1; 32], &[&[2; 32]], &[]);
        assert_eq!(step.root_key.secret().expose(), &all.expose()[..32]);
        assert_eq!(step.chain_key.secret().expose(), &all.expose()[32..64]);
        assert_eq!(step.next_header_key.secret().expose(), &all.expose()[64..]);
    }
}
