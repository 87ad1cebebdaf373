//! One record as a row: its blinded name and its sealed value.
//!
//! ```text
//! name  = HMAC(index key, "chancery/1 kdf store index" 0x00 || table (2, big-endian) || name)        32 bytes
//! value = box(row key, aad = format (4, big-endian) || blinded name, plaintext)
//! plaintext:
//! offset  length  field
//!      0       2  table, big-endian
//!      2       1  n, length of the name
//!      3       n  name
//!  3 + n       4  m, length of the value, big-endian
//!  7 + n       m  value
//!          0..63  zeros, up to a multiple of 64
//! ```
//!
//! (R-STORE-4, R-STORE-5, R-STORE-6)

use chancery_crypto::aead::BoxKey;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::{kdf, label};
use chancery_wire::Limit;
use chancery_wire::records::{RecordKey, Table};

use crate::database::FORMAT;
use crate::error::StoreError;

/// Length of a blinded name, in bytes.
pub(crate) const NAME_LEN: usize = 32;
/// A value's size shows in steps of this many bytes only.
pub(crate) const STEP: usize = 64;

/// The keys that a store derives from its master key.
#[derive(Debug)]
pub(crate) struct Keys {
    rows: BoxKey,
    index: Secret<32>,
    pub(crate) chain: Secret<32>,
}

impl Keys {
    pub(crate) fn derive(master: &Secret<32>) -> Self {
        let subkey = |label| kdf::derive::<32>(label, &[], &[master.expose()], &[]);
        Self {
            rows: BoxKey::new(subkey(label::KDF_STORE_ROWS)),
            index: subkey(label::KDF_STORE_INDEX),
            chain: subkey(label::KDF_STORE_CHAIN),
        }
    }

    /// The name under which a record lies, which tells neither its kind nor its name.
    pub(crate) fn blind(&self, key: &RecordKey) -> [u8; NAME_LEN] {
        let table = key.table.0.to_be_bytes();
        *kdf::mac(label::KDF_STORE_INDEX, &self.index, &[&table, &key.name]).expose()
    }

    /// Seals a record, unless its name or value exceeds its limit (R-STORE-13).
    pub(crate) fn seal(
        &self,
        blinded: &[u8; NAME_LEN],
        key: &RecordKey,
        value: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, StoreError> {
        if value.len() > Limit::RECORD.bytes() {
            return Err(StoreError::TooLarge);
        }
        let name_len = u8::try_from(key.name.len()).map_err(|_| StoreError::TooLarge)?;
        let value_len = u32::try_from(value.len()).map_err(|_| StoreError::TooLarge)?;
        let parts: [&[u8]; 5] =
            [&key.table.0.to_be_bytes(), &[name_len], &key.name, &value_len.to_be_bytes(), value];
        let len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let padded = len.next_multiple_of(STEP);
        // Room from the start, so that no unwiped copy is left behind by growing.
        let mut plaintext = Vec::with_capacity(padded);
        parts.iter().for_each(|part| plaintext.extend_from_slice(part));
        plaintext.resize(padded, 0);
        let plaintext = SecretBytes::new(plaintext);
        Ok(self.rows.seal(&associated(blinded), plaintext.expose(), rng))
    }

    /// Opens a row, whatever its record.
    pub(crate) fn open(&self, blinded: &[u8; NAME_LEN], sealed: &[u8]) -> Result<Row, StoreError> {
        let plaintext = self.rows.open(&associated(blinded), sealed).map_err(|_| StoreError::Damaged)?;
        let (name, value) = split(plaintext.expose()).ok_or(StoreError::Damaged)?;
        Ok(Row { key: name, value })
    }
}

/// An opened row.
pub(crate) struct Row {
    pub(crate) key: RecordKey,
    pub(crate) value: Vec<u8>,
}

fn associated(blinded: &[u8; NAME_LEN]) -> [u8; 4 + NAME_LEN] {
    let mut aad = [0; 4 + NAME_LEN];
    aad.iter_mut().zip(FORMAT.to_be_bytes().iter().chain(blinded)).for_each(|(to, from)| *to = *from);
    aad
}

fn split(plaintext: &[u8]) -> Option<(RecordKey, Vec<u8>)> {
    let (table, rest) = plaintext.split_first_chunk::<2>()?;
    let ([name_len], rest) = rest.split_first_chunk::<1>()?;
    let (name, rest) = rest.split_at_checked(usize::from(*name_len))?;
    let (value_len, rest) = rest.split_first_chunk::<4>()?;
    let (value, padding) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*value_len)).ok()?)?;
    let is_canonical = padding.len() < STEP && padding.iter().all(|byte| *byte == 0);
    is_canonical.then(|| (RecordKey::new(Table(u16::from_be_bytes(*table)), name), value.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::aead::BOX_OVERHEAD;
    use chancery_crypto::rng::seeded;
    use proptest::prelude::*;

    fn keys() -> Keys {
        Keys::derive(&Secret::from_bytes([5; 32]))
    }

    #[test]
    fn the_three_keys_differ() {
        // R-STORE-4.
        let (keys, other) = (keys(), Keys::derive(&Secret::from_bytes([6; 32])));
        assert!(!keys.index.ct_eq(keys.chain.expose()));
        let key = RecordKey::new(Table(1), *b"n");
        let name = keys.blind(&key);
        let sealed = keys.seal(&name, &key, b"v", &mut seeded([1; 32])).unwrap();
        assert!(keys.open(&name, &sealed).is_ok());
        for wrong in [&keys.index, &keys.chain] {
            let wrong = Secret::from_slice(wrong.expose()).unwrap();
            assert!(BoxKey::new(wrong).open(&associated(&name), &sealed).is_err());
        }
        assert_ne!(other.blind(&key), name);
        assert_eq!(other.open(&name, &sealed).err(), Some(StoreError::Damaged));
    }

    #[test]
    fn a_row_under_another_format_number_does_not_open() {
        // R-STORE-6: the format is part of the associated data.
        let keys = keys();
        let name = [7; NAME_LEN];
        let mut aad = associated(&name);
        assert_eq!(aad[..4], [0, 0, 0, 1]);
        aad[3] = 2;
        let sealed = keys.rows.seal(&aad, &[0; 64], &mut seeded([1; 32]));
        assert_eq!(keys.open(&name, &sealed).err(), Some(StoreError::Damaged));
    }

    #[test]
    fn plaintext_that_is_not_canonical_is_damage() {
        let keys = keys();
        let name = [7; NAME_LEN];
        let mut good = [0; 64];
        good[..9].copy_from_slice(&[0, 1, 1, b'n', 0, 0, 0, 1, b'v']);
        let open = |plaintext: &[u8]| {
            let sealed = keys.rows.seal(&associated(&name), plaintext, &mut seeded([1; 32]));
            keys.open(&name, &sealed).map(|row| (row.key, row.value))
        };
        assert_eq!(open(&good), Ok((RecordKey::new(Table(1), *b"n"), b"v".to_vec())));
        assert_eq!(open(&[good.as_slice(), &[0; 64]].concat()), Err(StoreError::Damaged), "too much padding");
        for (offset, byte) in [(63, 1), (2, 255), (4, 1), (7, 60)] {
            let mut bad = good;
            bad[offset] = byte;
            assert_eq!(open(&bad), Err(StoreError::Damaged), "byte {offset}");
        }
        assert_eq!(open(&[]), Err(StoreError::Damaged));
    }

    #[test]
    fn rows_are_those_of_the_vectors() {
        // R-STORE-4, R-STORE-5, R-STORE-6, on what was computed from the document alone.
        let file: serde_json::Value =
            serde_json::from_str(include_str!("../../../proto/vectors/store.json")).unwrap();
        let bytes = |value: &serde_json::Value| -> Vec<u8> {
            let digits: Vec<u8> = value
                .as_str()
                .unwrap()
                .chars()
                .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
                .collect();
            digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
        };
        let cases = file["cases"].as_array().unwrap().iter().filter(|case| case["kind"] == "store-row");
        let mut seen = 0;
        for case in cases {
            let (inputs, outputs) = (&case["inputs"], &case["outputs"]);
            let keys = Keys::derive(&Secret::from_slice(&bytes(&inputs["master_key"])).unwrap());
            let table = u16::try_from(inputs["table"].as_u64().unwrap()).unwrap();
            let key = RecordKey::new(Table(table), bytes(&inputs["name"]));
            let (name, value) = (keys.blind(&key), bytes(&inputs["value"]));
            assert_eq!(name.as_slice(), bytes(&outputs["blinded_name"]));
            let seed = bytes(&inputs["rng_seed"]).try_into().unwrap();
            let sealed = keys.seal(&name, &key, &value, &mut seeded(seed)).unwrap();
            assert_eq!(sealed, bytes(&outputs["value"]), "{}", case["id"]);
            assert_eq!(keys.open(&name, &sealed).map(|row| row.value), Ok(value));
            seen += 1;
        }
        assert!(seen >= 4);
    }

    fn padded_len(name: &[u8], value: &[u8]) -> usize {
        let len: usize = [7, name.len(), value.len()].iter().sum();
        [len.next_multiple_of(STEP), BOX_OVERHEAD].iter().sum()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_shows_its_length_in_steps_only(
            table: u16,
            name in proptest::collection::vec(any::<u8>(), 0..=255),
            value in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let keys = keys();
            let key = RecordKey::new(Table(table), name);
            let blinded = keys.blind(&key);
            let sealed = keys.seal(&blinded, &key, &value, &mut seeded([1; 32])).unwrap();
            prop_assert_eq!(sealed.len(), padded_len(&key.name, &value));
            let row = keys.open(&blinded, &sealed).unwrap();
            prop_assert_eq!((row.key, row.value), (key, value));
        }
    }
}
