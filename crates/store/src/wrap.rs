//! How a passphrase or key file locks something: the header in front of it, and the wrapped master key.
//!
//! ```text
//! offset  length  field
//!      0       1  version: 1
//!      1       1  method: 1 passphrase, 2 key file
//!      2       4  Argon2id memory in KiB, big-endian; zero for a key file
//!      6       4  Argon2id passes
//!     10       4  Argon2id lanes
//!     14      16  salt
//! ```
//!
//! (R-STORE-2)

use chancery_crypto::aead::{BOX_OVERHEAD, BoxKey};
use chancery_crypto::kdf;
use chancery_crypto::label::{self, Label};
use chancery_crypto::password::{self, Cost, SALT_LEN};
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::Secret;

use crate::error::StoreError;
use crate::key::KeySource;

/// Length of a lock header, in bytes.
pub(crate) const HEADER_LEN: usize = 30;

const VERSION: u8 = 1;
const METHOD_PASSPHRASE: u8 = 1;
const METHOD_KEY_FILE: u8 = 2;

/// The public half of a lock: which kind of key, at what cost, with which salt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    method: u8,
    cost: Cost,
    salt: [u8; SALT_LEN],
}

impl Lock {
    /// A fresh lock for keys of the kind of `source`.
    pub(crate) fn new(source: &KeySource, rng: &mut dyn CryptoRng) -> Self {
        let (method, cost) = match source {
            KeySource::Passphrase(_) => (METHOD_PASSPHRASE, Cost::FLOOR),
            KeySource::KeyFile(_) => (METHOD_KEY_FILE, NO_COST),
        };
        Self { method, cost, salt: random_bytes(rng) }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let fields: [&[u8]; 6] = [
            &[VERSION],
            &[self.method],
            &self.cost.memory_kib.to_be_bytes(),
            &self.cost.passes.to_be_bytes(),
            &self.cost.lanes.to_be_bytes(),
            &self.salt,
        ];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, StoreError> {
        let [version, method, cost @ ..] = bytes;
        if *version > VERSION {
            return Err(StoreError::NewerFormat { found: (*version).into(), supported: VERSION.into() });
        }
        let ([memory, passes, lanes], salt) = cost_and_salt(cost).ok_or(StoreError::Damaged)?;
        let lock = Self { method: *method, cost: Cost { memory_kib: memory, passes, lanes }, salt };
        let is_sane = match lock.method {
            // R-STORE-3: checked before any work is done or memory taken.
            METHOD_PASSPHRASE => lock.cost.is_allowed(),
            METHOD_KEY_FILE => lock.cost == NO_COST,
            _ => false,
        };
        if *version == VERSION && is_sane { Ok(lock) } else { Err(StoreError::Damaged) }
    }

    /// Derives the key behind the lock. A key of the other kind is a wrong key.
    pub(crate) fn key(&self, use_label: Label, source: &KeySource) -> Result<BoxKey, StoreError> {
        let stretched;
        let input = match (self.method, source) {
            (METHOD_PASSPHRASE, KeySource::Passphrase(passphrase)) => {
                stretched = password::derive(passphrase.expose(), &self.salt, self.cost)
                    .map_err(|_| StoreError::Damaged)?;
                &stretched
            }
            (METHOD_KEY_FILE, KeySource::KeyFile(key)) => key,
            _ => return Err(StoreError::WrongKey),
        };
        Ok(BoxKey::new(kdf::derive(use_label, &self.salt, &[input.expose()], &[self.method])))
    }
}

/// A store's master key, sealed under a passphrase or key file. Public: it may lie in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    /// Length of a wrapped key, in bytes.
    pub const LEN: usize = HEADER_LEN + 32 + BOX_OVERHEAD;

    /// Wraps `master` under `source`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Io`] when there is not memory enough to stretch a passphrase.
    pub fn wrap(
        master: &Secret<32>,
        source: &KeySource,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, StoreError> {
        let lock = Lock::new(source, rng);
        let header = lock.encode();
        let key = lock.key(label::KDF_KEY_FILE, source).map_err(|_| StoreError::Io)?;
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(&key.seal(&header, master.expose(), rng));
        Ok(Self(bytes))
    }

    /// Takes bytes that [`Self::as_bytes`] returned, checked no further.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Returns the bytes to store, [`Self::LEN`] of them.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the master key.
    ///
    /// # Errors
    ///
    /// - [`StoreError::WrongKey`] when `source` does not open it: ask again.
    /// - [`StoreError::NewerFormat`] for the file of a newer version: update.
    /// - [`StoreError::Damaged`] for bytes of another length or shape, or an Argon2id cost that is not
    ///   allowed (R-STORE-3): restore the file from a backup.
    pub fn unwrap_with(&self, source: &KeySource) -> Result<Secret<32>, StoreError> {
        let (header, sealed) = self.0.split_first_chunk::<HEADER_LEN>().ok_or(StoreError::Damaged)?;
        let lock = Lock::decode(header)?;
        if self.0.len() != Self::LEN {
            return Err(StoreError::Damaged);
        }
        let key = lock.key(label::KDF_KEY_FILE, source)?;
        let master = key.open(header, sealed).map_err(|_| StoreError::WrongKey)?;
        Secret::from_slice(master.expose()).ok_or(StoreError::Damaged)
    }
}

const NO_COST: Cost = Cost { memory_kib: 0, passes: 0, lanes: 0 };

fn cost_and_salt(bytes: &[u8; HEADER_LEN - 2]) -> Option<([u32; 3], [u8; SALT_LEN])> {
    let (memory, rest) = bytes.split_first_chunk::<4>()?;
    let (passes, rest) = rest.split_first_chunk::<4>()?;
    let (lanes, salt) = rest.split_first_chunk::<4>()?;
    Some(([memory, passes, lanes].map(|field| u32::from_be_bytes(*field)), salt.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;
    use chancery_crypto::secret::SecretBytes;

    fn passphrase(text: &str) -> KeySource {
        KeySource::Passphrase(SecretBytes::new(text.into()))
    }

    fn key_file(byte: u8) -> KeySource {
        KeySource::KeyFile(Secret::from_bytes([byte; 32]))
    }

    fn wrapped(source: &KeySource) -> WrappedKey {
        WrappedKey::wrap(&Secret::from_bytes([9; 32]), source, &mut seeded([1; 32])).unwrap()
    }

    #[test]
    fn only_the_right_key_of_the_right_kind_unwraps() {
        let by_phrase = wrapped(&passphrase("one"));
        assert_eq!(by_phrase.unwrap_with(&passphrase("one")).unwrap().expose(), &[9; 32]);
        assert_eq!(by_phrase.unwrap_with(&passphrase("two")).err(), Some(StoreError::WrongKey));
        assert_eq!(by_phrase.unwrap_with(&key_file(1)).err(), Some(StoreError::WrongKey));
        let by_file = wrapped(&key_file(1));
        assert_eq!(by_file.unwrap_with(&key_file(1)).unwrap().expose(), &[9; 32]);
        assert_eq!(by_file.unwrap_with(&key_file(2)).err(), Some(StoreError::WrongKey));
        assert_eq!(by_file.unwrap_with(&passphrase("one")).err(), Some(StoreError::WrongKey));
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        // R-STORE-2.
        let by_phrase = wrapped(&passphrase("one"));
        assert_eq!(by_phrase.as_bytes().len(), 102);
        assert_eq!(WrappedKey::LEN, 102);
        assert_eq!(by_phrase.as_bytes()[..14], [1, 1, 0, 0, 0x4C, 0, 0, 0, 0, 2, 0, 0, 0, 1]);
        assert_eq!(wrapped(&key_file(1)).as_bytes()[..14], [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_cost_outside_the_bounds_is_refused_before_it_is_paid() {
        // R-STORE-3. Were the larger ones tried, this test would take minutes and gigabytes.
        let good = wrapped(&passphrase("one"));
        let fields: [(usize, &[u32]); 3] = [
            (2, &[0, 1, 19 * 1024 - 1, 1024 * 1024 + 1, u32::MAX]),
            (6, &[0, 1, 17, u32::MAX]),
            (10, &[0, 5, u32::MAX]),
        ];
        for (offset, values) in fields {
            for value in values {
                let mut bytes = good.as_bytes().to_vec();
                bytes[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
                let result = WrappedKey::from_bytes(&bytes).unwrap_with(&passphrase("one"));
                assert_eq!(result.err(), Some(StoreError::Damaged), "{value} at {offset}");
            }
        }
        // A cost that is allowed but is not the one that was paid gives another key.
        let mut bytes = good.as_bytes().to_vec();
        bytes[9] = 3;
        let result = WrappedKey::from_bytes(&bytes).unwrap_with(&passphrase("one"));
        assert_eq!(result.err(), Some(StoreError::WrongKey));
    }

    #[test]
    fn every_altered_byte_is_noticed() {
        let good = wrapped(&key_file(1));
        for i in 0..good.as_bytes().len() {
            let mut bytes = good.as_bytes().to_vec();
            bytes[i] ^= 0x40;
            let expected = match i {
                0 => StoreError::NewerFormat { found: 0x41, supported: 1 },
                1..14 => StoreError::Damaged,
                _ => StoreError::WrongKey,
            };
            assert_eq!(
                WrappedKey::from_bytes(&bytes).unwrap_with(&key_file(1)).err(),
                Some(expected),
                "byte {i}"
            );
            let cut = WrappedKey::from_bytes(&good.as_bytes()[..i]);
            assert!(matches!(cut.unwrap_with(&key_file(1)), Err(StoreError::Damaged)));
        }
        let long = WrappedKey::from_bytes(&[good.as_bytes(), &[0]].concat());
        assert_eq!(long.unwrap_with(&key_file(1)).err(), Some(StoreError::Damaged));
        let mut zero = good.as_bytes().to_vec();
        zero[0] = 0;
        assert_eq!(WrappedKey::from_bytes(&zero).unwrap_with(&key_file(1)).err(), Some(StoreError::Damaged));
    }
}
