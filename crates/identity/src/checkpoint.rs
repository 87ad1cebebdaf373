//! Checkpoints of the log: C2SP signed notes (tlog-checkpoint) with a hybrid signature and a signed time.
//!
//! ```text
//! chancery/1/<org_id, 64 hexadecimal digits>\n       origin, and name of the log's key
//! <size, decimal>\n
//! <root, base64>\n
//! time <milliseconds since 1970, decimal>\n
//! \n
//! — <name> <base64(key id (4) || signature)>\n       one line or more; the log's own and those of witnesses
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_crypto::hash::sha256;
use chancery_crypto::label;
use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_wire::{Timestamp, proto};

use crate::{LogError, OrgId};

/// Longest note, in bytes: the log's signature (4,600) and 16 of witnesses with long names.
pub const MAX_NOTE_LEN: usize = 16 * 1024;
/// Most signature lines of a note.
pub const MAX_NOTE_SIGNATURES: usize = 17;
/// Our type of signature among those of C2SP: 0xff, and a name that nobody else uses.
const SIGNATURE_TYPE: &[u8] = b"\xFFchancery/1 hybrid Ed25519 ML-DSA-65";

/// What the log said of itself, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    size: u64,
    root: Hash,
    time: Timestamp,
    note: String,
}

impl Checkpoint {
    /// Signs what the log is now (R-LOG-5).
    pub fn sign(
        key: &SigningKey,
        org: &OrgId,
        (size, root): (u64, Hash),
        time: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let name = origin(org);
        let root_text = STANDARD.encode(root);
        let text = format!("{name}\n{size}\n{root_text}\ntime {}\n", time.as_millis());
        let signature = key.sign(label::SIGN_CHECKPOINT, text.as_bytes(), rng);
        let signature = [key_id(&name, key.verifying_key()).as_slice(), &signature].concat();
        let note = format!("{text}\n\u{2014} {name} {}\n", STANDARD.encode(signature));
        Self { size, root, time, note }
    }

    /// Reads and verifies a note (R-LOG-5). Lines of unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// [`LogError::Malformed`] or [`LogError::NotAuthentic`]: believe nothing of it.
    pub fn verify(note: &str, org: &OrgId, key: &VerifyingKey) -> Result<Self, LogError> {
        if note.len() > MAX_NOTE_LEN {
            return Err(LogError::Malformed);
        }
        let (text, signatures) = note.split_once("\n\n").ok_or(LogError::Malformed)?;
        let name = origin(org);
        let checkpoint = read(text, &name, note).ok_or(LogError::Malformed)?;
        let expected = key_id(&name, key);
        // Every line is read, so that all readers refuse the same notes: one of them may be evidence.
        let lines = signatures.strip_suffix('\n').ok_or(LogError::Malformed)?.split('\n');
        let read: Option<Vec<_>> = lines.map(signature_line).collect();
        let read = read.filter(|lines| lines.len() <= MAX_NOTE_SIGNATURES).ok_or(LogError::Malformed)?;
        let own = read.into_iter().find(|(by, id, _)| *by == name && *id == expected);
        let (_, _, signature) = own.ok_or(LogError::NotAuthentic)?;
        // What is signed ends with the line feed before the empty line.
        key.verify(label::SIGN_CHECKPOINT, format!("{text}\n").as_bytes(), &signature)?;
        Ok(checkpoint)
    }

    /// Returns how many entries the log had.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Returns the root of their tree.
    #[must_use]
    pub const fn root(&self) -> &Hash {
        &self.root
    }

    /// Returns when the log said so.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        self.time
    }

    /// With lines of witnesses more.
    pub(crate) fn with_note(self, note: String) -> Self {
        Self { note, ..self }
    }

    /// Returns the note, as it is sent and stored.
    #[must_use]
    pub fn note(&self) -> &str {
        &self.note
    }
}

/// Returns the origin line of an organisation's log, which is also the name of its key.
#[must_use]
pub fn origin(org: &OrgId) -> String {
    format!("chancery/1/{org}")
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", SIGNATURE_TYPE, key.as_bytes()]);
    let mut id = [0; 4];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

/// Reads a line of a signature: name, key id, signature.
pub(crate) fn signature_line(line: &str) -> Option<(&str, [u8; 4], Vec<u8>)> {
    let (by, encoded) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let bytes = STANDARD.decode(encoded).ok()?;
    let (id, signature) = bytes.split_first_chunk::<4>()?;
    (!by.is_empty() && !signature.is_empty()).then(|| (by, *id, signature.to_vec()))
}

/// Reads the four lines, each in the one way that there is to write it.
fn read(text: &str, name: &str, note: &str) -> Option<Checkpoint> {
    let lines: Vec<&str> = text.split('\n').collect();
    let [origin, size, root, time] = lines.as_slice() else { return None };
    let root = STANDARD.decode(root).ok()?.try_into().ok()?;
    let time = Timestamp::from_millis(decimal(time.strip_prefix("time ")?)?);
    let size = decimal(size)?;
    let possible = size <= merkle::MAX_LEAVES && (size > 0 || root == merkle::root(&[]));
    (*origin == name && possible).then_some(Checkpoint { size, root, time, note: note.into() })
}

/// Reads a decimal number without sign and leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let value: u64 = text.parse().ok()?;
    (format!("{value}") == text).then_some(value)
}

/// Makes the proof that two checkpoints cannot both be of one log that only grows (R-LOG-11).
///
/// `leaves` are the hashes of the entries that the larger one covers; for a log that shrank they are not needed.
/// `None` if the two agree.
#[must_use]
pub fn prove_fork(a: &Checkpoint, b: &Checkpoint, leaves: &[Hash]) -> Option<proto::ForkProof> {
    let (smaller, larger) = if a.size <= b.size { (a, b) } else { (b, a) };
    if has_shrunk(smaller, larger) {
        let (smaller, larger) = (smaller.note.clone(), larger.note.clone());
        return Some(proto::ForkProof { smaller, larger, ..Default::default() });
    }
    let (at, all) = (usize::try_from(smaller.size).ok()?, usize::try_from(larger.size).ok()?);
    let leaves = leaves.get(..all)?;
    let root = if smaller.size == larger.size { larger.root } else { merkle::root(leaves.get(..at)?) };
    if root == smaller.root {
        return None;
    }
    Some(proto::ForkProof {
        smaller: smaller.note.clone(),
        larger: larger.note.clone(),
        root: root.to_vec(),
        proof: merkle::consistency_proof(leaves, at)?.into_iter().map(|hash| hash.to_vec()).collect(),
    })
}

/// Whether a log that had many entries said later that it had fewer.
fn has_shrunk(smaller: &Checkpoint, larger: &Checkpoint) -> bool {
    smaller.size < larger.size && smaller.time > larger.time
}

/// Verifies the proof of a fork; whoever knows the log's key can (R-LOG-11).
///
/// # Errors
///
/// [`LogError`]: it proves nothing.
pub fn verify_fork(proof: &proto::ForkProof, org: &OrgId, key: &VerifyingKey) -> Result<(), LogError> {
    let smaller = Checkpoint::verify(&proof.smaller, org, key)?;
    let larger = Checkpoint::verify(&proof.larger, org, key)?;
    if has_shrunk(&smaller, &larger) {
        return Ok(());
    }
    let root: Hash = proof.root.as_slice().try_into().map_err(|_| LogError::Malformed)?;
    if smaller.size > larger.size || proof.proof.len() > 128 {
        return Err(LogError::Malformed);
    }
    let hashes: Option<Vec<Hash>> = proof.proof.iter().map(|hash| hash.as_slice().try_into().ok()).collect();
    let path = hashes.ok_or(LogError::Malformed)?;
    let consistent = merkle::verify_consistency(smaller.size, &root, larger.size, &larger.root, &path);
    if consistent && root != smaller.root && smaller.size > 0 { Ok(()) } else { Err(LogError::NotAuthentic) }
}
