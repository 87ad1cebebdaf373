//! What witnesses say of a checkpoint: that they have seen no log that contradicts it (R-LOG-13).

use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_crypto::cosignature::{WitnessSigningKey, WitnessVerifyingKey};
use chancery_crypto::hash::sha256;

use crate::LogError;
use crate::checkpoint::{Checkpoint, MAX_NOTE_LEN, MAX_NOTE_SIGNATURES, signature_line};

/// Longest name of a witness, in bytes: 64. Sixteen lines with such names fit a note.
pub const MAX_WITNESS_NAME: usize = 64;
/// Type of the signature among those of C2SP: `cosignature/v1`, Ed25519.
const SIGNATURE_TYPE: u8 = 0x04;

/// A witness's word, verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cosignature {
    /// Whose: the public key.
    pub witness: [u8; 32],
    /// When the witness signed, by its clock, in seconds since 1970.
    pub time: u64,
}

/// Whether a witness may have a name: 1 to [`MAX_WITNESS_NAME`] visible ASCII characters but `+`.
#[must_use]
pub fn is_witness_name(name: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_graphic() && byte != b'+';
    (1..=MAX_WITNESS_NAME).contains(&name.len()) && name.bytes().all(fine)
}

impl Checkpoint {
    /// Returns the note with a witness's line more. The witness has to have verified the checkpoint, and that it follows on
    /// what it has seen before.
    ///
    /// # Errors
    ///
    /// [`LogError::Malformed`]: the name is none. [`LogError::TooMany`]: there is no room.
    pub fn cosign(&self, name: &str, key: &WitnessSigningKey, time: u64) -> Result<String, LogError> {
        if !is_witness_name(name) {
            return Err(LogError::Malformed);
        }
        let signature = key.sign(time, &self.text());
        let id = key_id(name, &key.verifying_key());
        let bytes = [id.as_slice(), &time.to_be_bytes(), &signature].concat();
        with_line(self.note(), &format!("\u{2014} {name} {}", STANDARD.encode(bytes)))
    }

    /// Returns what these witnesses say of the checkpoint, each of them once; lines of others are ignored.
    #[must_use]
    pub fn cosignatures(&self, witnesses: &[WitnessVerifyingKey]) -> Vec<Cosignature> {
        let mut found: Vec<Cosignature> = Vec::new();
        for line in lines(self.note()) {
            if let Some(by) = cosigned(line, &self.text(), witnesses)
                && !found.iter().any(|it| it.witness == by.witness)
            {
                found.push(by);
            }
        }
        found
    }

    /// Takes over lines of these witnesses that `shown`, a note of the same checkpoint, has more; `None` if it has none.
    ///
    /// # Errors
    ///
    /// [`LogError::OutOfOrder`]: it is of another checkpoint. [`LogError::NotAuthentic`]: no line of it is one of these
    /// witnesses'. [`LogError::TooMany`]: there is no room. Nothing has changed.
    pub fn add_cosignatures(
        &self,
        shown: &str,
        witnesses: &[WitnessVerifyingKey],
    ) -> Result<Option<Self>, LogError> {
        if shown.len() > MAX_NOTE_LEN {
            return Err(LogError::Malformed);
        }
        let (text, _) = shown.split_once("\n\n").ok_or(LogError::Malformed)?;
        if format!("{text}\n") != self.text() {
            return Err(LogError::OutOfOrder);
        }
        let mut held = self.cosignatures(witnesses);
        let (mut note, mut found) = (self.note().to_string(), false);
        for line in lines(shown).into_iter().take(MAX_NOTE_SIGNATURES) {
            let Some(by) = cosigned(line, &self.text(), witnesses) else { continue };
            found = true;
            if !held.iter().any(|it| it.witness == by.witness) {
                note = with_line(&note, line)?;
                held.push(by);
            }
        }
        match (found, note == self.note()) {
            (false, _) => Err(LogError::NotAuthentic),
            (true, true) => Ok(None),
            (true, false) => Ok(Some(self.clone().with_note(note))),
        }
    }

    /// The lines that are signed, with their line feeds.
    fn text(&self) -> String {
        self.note().split_once("\n\n").map_or_else(String::new, |(text, _)| format!("{text}\n"))
    }
}

fn lines(note: &str) -> Vec<&str> {
    let (_, signatures) = note.split_once("\n\n").unwrap_or_default();
    signatures.strip_suffix('\n').unwrap_or_default().split('\n').collect()
}

/// Appends a line, if there is room for it.
fn with_line(note: &str, line: &str) -> Result<String, LogError> {
    let longer = format!("{note}{line}\n");
    let fits = longer.len() <= MAX_NOTE_LEN && lines(&longer).len() <= MAX_NOTE_SIGNATURES;
    if fits { Ok(longer) } else { Err(LogError::TooMany) }
}

/// Reads and verifies a line of one of these witnesses.
fn cosigned(line: &str, text: &str, witnesses: &[WitnessVerifyingKey]) -> Option<Cosignature> {
    let (name, id, signature) = signature_line(line)?;
    if !is_witness_name(name) {
        return None;
    }
    let (time, signature) = signature.split_first_chunk::<8>()?;
    let (time, signature) = (u64::from_be_bytes(*time), signature.try_into().ok()?);
    let of = witnesses.iter().filter(|witness| key_id(name, witness) == id);
    let mut signers = of.filter(|witness| witness.verify(time, text, signature).is_ok());
    signers.next().map(|witness| Cosignature { witness: *witness.as_bytes(), time })
}

fn key_id(name: &str, key: &WitnessVerifyingKey) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[SIGNATURE_TYPE], key.as_bytes()]);
    let mut id = [0; 4];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OrgId;
    use chancery_crypto::rng::seeded;
    use chancery_crypto::secret::Secret;
    use chancery_crypto::signature::SigningKey;
    use chancery_wire::Timestamp;

    fn witness(n: u8) -> WitnessSigningKey {
        WitnessSigningKey::from_seed(Secret::from_bytes([n; 32]))
    }

    fn checkpoint(size: u64) -> Checkpoint {
        let mut rng = seeded([1; 32]);
        let key = SigningKey::generate(&mut rng);
        let at = Timestamp::from_millis(9);
        Checkpoint::sign(&key, &OrgId::new([2; 32]), (size, [3; 32]), at, &mut rng)
    }

    #[test]
    fn witnesses_count_once_each_and_only_those_who_are_asked_for_r_log_13_r_log_14() {
        let log = checkpoint(5);
        let (one, two) = (witness(1), witness(2));
        let keys = [one.verifying_key(), two.verifying_key()];
        let first = log.cosign("w.example/1", &one, 100).unwrap();
        let log = log.add_cosignatures(&first, &keys).unwrap().unwrap();
        assert_eq!(log.add_cosignatures(&first, &keys), Ok(None), "it is there");
        // The same witness once more, and under another name.
        for name in ["w.example/1", "else"] {
            let again = checkpoint(5).cosign(name, &one, 200).unwrap();
            assert_eq!(log.add_cosignatures(&again, &keys), Ok(None));
        }
        let both = log.cosign("w.example/2", &two, 300).unwrap();
        let both = log.add_cosignatures(&both, &keys).unwrap().unwrap();
        let words = both.cosignatures(&keys);
        assert_eq!(words.iter().map(|word| word.time).collect::<Vec<_>>(), [100, 300]);
        assert_eq!(both.cosignatures(&keys[1..]).len(), 1);
        assert_eq!(log.cosignatures(&keys[1..]), []);
        // It is still the log's own note.
        let key = SigningKey::generate(&mut seeded([1; 32]));
        let read = Checkpoint::verify(both.note(), &OrgId::new([2; 32]), key.verifying_key()).unwrap();
        assert_eq!(read, both);
    }

    #[test]
    fn what_no_witness_signed_is_refused_r_log_13_r_relay_64() {
        let (log, one) = (checkpoint(5), witness(1));
        let keys = [one.verifying_key()];
        let fine = log.cosign("w", &one, 100).unwrap();
        let other = checkpoint(6).cosign("w", &one, 100).unwrap();
        assert_eq!(log.add_cosignatures(&other, &keys), Err(LogError::OutOfOrder));
        let stranger = log.cosign("w", &witness(2), 100).unwrap();
        assert_eq!(log.add_cosignatures(&stranger, &keys), Err(LogError::NotAuthentic));
        assert_eq!(log.add_cosignatures(log.note(), &keys), Err(LogError::NotAuthentic));
        assert_eq!(log.add_cosignatures("", &keys), Err(LogError::Malformed));
        // A line of the right key for another checkpoint, under this one's text.
        let line = other.lines().last().unwrap();
        let moved = format!("{}{line}\n", log.note());
        assert_eq!(log.add_cosignatures(&moved, &keys), Err(LogError::NotAuthentic));
        let renamed = fine.replace("\u{2014} w ", "\u{2014} v ");
        assert_eq!(
            log.add_cosignatures(&renamed, &keys),
            Err(LogError::NotAuthentic),
            "the name is in the id"
        );
        assert!(log.add_cosignatures(&fine, &keys).unwrap().is_some(), "the control");
        for name in ["", "a b", "a+b", &"n".repeat(65), "ä"] {
            assert_eq!(log.cosign(name, &one, 1), Err(LogError::Malformed), "{name}");
        }
    }

    #[test]
    fn sixteen_witnesses_with_long_names_fit_and_one_more_does_not_r_log_5() {
        let mut log = checkpoint(u64::from(u32::MAX));
        for n in 0..17 {
            let name = format!("{:n<64}", n);
            let result = log.cosign(&name, &witness(n), u64::from(u32::MAX));
            if n == 16 {
                assert_eq!(result, Err(LogError::TooMany));
            } else {
                let keys = [witness(n).verifying_key()];
                log = log.add_cosignatures(&result.unwrap(), &keys).unwrap().unwrap();
            }
        }
        assert!(log.note().len() <= MAX_NOTE_LEN);
    }

    #[test]
    fn the_line_in_c2sp_tlog_cosignature_has_this_form_r_log_13() {
        let line = "\u{2014} witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dl\
                    rDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==";
        let (name, id, signature) = signature_line(line).unwrap();
        assert_eq!((name, id), ("witness.example.com/w1", [0x8d, 0x66, 0xcf, 0x3f]));
        let (time, rest) = signature.split_first_chunk::<8>().unwrap();
        assert_eq!((u64::from_be_bytes(*time), rest.len()), (1_679_315_147, 64));
    }
}
