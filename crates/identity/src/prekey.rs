//! Prekey batches: what a device signs at once, and how one prekey is shown to belong to it.
//!
//! ```text
//! leaf content = hash("hash prekey", device id (16), kind (1), id (4, big-endian), key)
//! leaf hash    = SHA-256(0x00 || leaf content)
//! root         = RFC 6962 tree over the leaf hashes, in the order of the upload
//! ```

use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::kem::KemPublic;
use chancery_crypto::label;
use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::x25519::DhPublic;
use chancery_wire::{Limit, Timestamp, Unverified, decode, proto};

use crate::{Credential, DeviceId};

/// Most pairs of one-time prekeys in a batch. With 200 pairs an upload is about 260 KB, half a frame.
pub const MAX_ONE_TIME_PAIRS: u32 = 200;
/// Most leaves of a batch: the pairs, the signed prekey and the last-resort key.
pub const MAX_LEAVES: u32 = 2 * MAX_ONE_TIME_PAIRS + 2;

/// A prekey or batch that is not believed. The device or the relay is at fault; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrekeyError {
    /// A length, kind, identifier, count or key is not allowed; drop the batch.
    #[error("prekeys are malformed")]
    Malformed,
    /// The batch is another device's; drop it.
    #[error("prekeys belong to another device")]
    WrongDevice,
    /// The signature, the root or the proof does not verify: forged or damaged; drop it.
    #[error("not authentic")]
    NotAuthentic,
    /// The batch has expired; the device has to publish a new one.
    #[error("prekeys have expired")]
    Expired,
    /// The device has published a batch with this sequence or a higher one before; drop this one.
    #[error("prekeys are older than those at hand")]
    Stale,
}

/// What a prekey is for (R-PREKEY-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PrekeyKind {
    /// The batch's X25519 prekey, used by every handshake.
    Signed = 1,
    /// An X25519 prekey for one handshake.
    OneTimeCurve = 2,
    /// An ML-KEM-768 prekey for one handshake.
    OneTimeKem = 3,
    /// The ML-KEM-768 prekey for when the one-time ones have run out.
    LastResortKem = 4,
}

impl PrekeyKind {
    /// Reads a kind by its number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Signed),
            2 => Some(Self::OneTimeCurve),
            3 => Some(Self::OneTimeKem),
            4 => Some(Self::LastResortKem),
            _ => None,
        }
    }

    /// Returns the number, which is also the byte inside the leaf hash.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Whether the key is X25519 (32 bytes) and not ML-KEM-768 (1,184 bytes).
    #[must_use]
    pub const fn is_curve(self) -> bool {
        matches!(self, Self::Signed | Self::OneTimeCurve)
    }
}

/// Names a prekey within its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrekeyId {
    /// What it is for.
    pub kind: PrekeyKind,
    /// Its number within the kind, never 0.
    pub id: u32,
}

/// Returns the Merkle leaf hash of a prekey (R-PREKEY-1).
#[must_use]
pub fn leaf_hash(device: &DeviceId, id: PrekeyId, key: &[u8]) -> Hash {
    let parts: [&[u8]; 4] = [device.as_bytes(), &[id.kind.number()], &id.id.to_be_bytes(), key];
    merkle::leaf_hash(&hash(label::HASH_PREKEY, &parts))
}

/// A prekey's public key, valid in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrekeyPublic {
    /// Of the kinds `Signed` and `OneTimeCurve`.
    Curve(DhPublic),
    /// Of the kinds `OneTimeKem` and `LastResortKem`.
    Kem(KemPublic),
}

/// A prekey that has been shown to belong to a device's batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPrekey {
    id: PrekeyId,
    key: PrekeyPublic,
}

impl VerifiedPrekey {
    /// Returns kind and number.
    #[must_use]
    pub const fn id(&self) -> PrekeyId {
        self.id
    }

    /// Returns the key.
    #[must_use]
    pub const fn key(&self) -> &PrekeyPublic {
        &self.key
    }

    /// Returns the key if it is an X25519 one.
    #[must_use]
    pub const fn curve(&self) -> Option<&DhPublic> {
        match &self.key {
            PrekeyPublic::Curve(key) => Some(key),
            PrekeyPublic::Kem(_) => None,
        }
    }

    /// Returns the key if it is an ML-KEM one.
    #[must_use]
    pub const fn kem(&self) -> Option<&KemPublic> {
        match &self.key {
            PrekeyPublic::Kem(key) => Some(key),
            PrekeyPublic::Curve(_) => None,
        }
    }
}

/// The verified head of a batch: what the device signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchHead {
    device_id: DeviceId,
    sequence: u64,
    size: u32,
    root: Hash,
    expires: Timestamp,
}

impl BatchHead {
    /// Verifies that the device of `credential` signed this batch and that it has not expired (R-PREKEY-2).
    ///
    /// # Errors
    ///
    /// [`PrekeyError`]: use nothing of the batch.
    pub fn verify(
        batch: &Unverified<proto::Signed>,
        credential: &Credential,
        now: Timestamp,
    ) -> Result<Self, PrekeyError> {
        let batch = batch.unchecked();
        credential
            .signing_key()
            .verify(label::SIGN_PREKEYS, &batch.body, &batch.signature)
            .map_err(|_| PrekeyError::NotAuthentic)?;
        let body: proto::PrekeyBatchBody =
            decode(&batch.body, Limit::STATEMENT).map_err(|_| PrekeyError::Malformed)?.into_unchecked();
        let device_id = DeviceId::from_bytes(&body.device_id).ok_or(PrekeyError::Malformed)?;
        if device_id != credential.device_id() {
            return Err(PrekeyError::WrongDevice);
        }
        let root = body.root.as_slice().try_into().map_err(|_| PrekeyError::Malformed)?;
        if body.sequence == 0 || body.size < 2 || body.size > MAX_LEAVES || !body.size.is_multiple_of(2) {
            return Err(PrekeyError::Malformed);
        }
        let expires = Timestamp::from_millis(body.expires);
        if now >= expires {
            return Err(PrekeyError::Expired);
        }
        Ok(Self { device_id, sequence: body.sequence, size: body.size, root, expires })
    }

    /// Verifies that a prekey with its proof belongs to the batch (R-PREKEY-5).
    ///
    /// The caller compares the kind with the one it asked for.
    ///
    /// # Errors
    ///
    /// [`PrekeyError`]: do not use the prekey.
    pub fn verify_prekey(&self, prekey: &Unverified<proto::Prekey>) -> Result<VerifiedPrekey, PrekeyError> {
        let prekey = prekey.unchecked();
        let verified = read(prekey)?;
        let mut proof: Vec<Hash> = Vec::with_capacity(prekey.proof.len().min(MAX_PROOF_LEN));
        if prekey.proof.len() > MAX_PROOF_LEN {
            return Err(PrekeyError::Malformed);
        }
        for hash in &prekey.proof {
            proof.push(hash.as_slice().try_into().map_err(|_| PrekeyError::Malformed)?);
        }
        let leaf = leaf_hash(&self.device_id, verified.id, &prekey.key);
        if !merkle::verify_inclusion(&self.root, self.size.into(), prekey.index.into(), &leaf, &proof) {
            return Err(PrekeyError::NotAuthentic);
        }
        Ok(verified)
    }

    /// Returns the device.
    #[must_use]
    pub const fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// Returns the batch's number; a device's later batch has a higher one.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the number of leaves.
    #[must_use]
    pub const fn size(&self) -> u32 {
        self.size
    }

    /// Returns the moment from which on the batch must not be used.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        self.expires
    }
}

/// Longest proof: the height of a tree with [`MAX_LEAVES`] leaves.
const MAX_PROOF_LEN: usize = 9;

/// A whole batch, every leaf of which has been checked: what a relay stores and hands out.
#[derive(Debug, Clone, PartialEq)]
pub struct VerifiedUpload {
    head: BatchHead,
    batch: proto::Signed,
    signed: proto::Prekey,
    last_resort: proto::Prekey,
    pairs: Vec<(proto::Prekey, proto::Prekey)>,
}

impl VerifiedUpload {
    /// Verifies an upload against the credential of the device that makes it (R-PREKEY-4).
    ///
    /// `previous` is the sequence of the batch at hand, 0 if there is none.
    ///
    /// # Errors
    ///
    /// [`PrekeyError`]: store nothing; the batch at hand stays.
    pub fn verify(
        upload: Unverified<proto::PrekeyUpload>,
        credential: &Credential,
        previous: u64,
        now: Timestamp,
    ) -> Result<Self, PrekeyError> {
        let upload = upload.into_unchecked();
        let batch = upload.batch.ok_or(PrekeyError::Malformed)?;
        let head = BatchHead::verify(&Unverified::new(batch.clone()), credential, now)?;
        if head.sequence <= previous {
            return Err(PrekeyError::Stale);
        }
        let mut leaves = upload.leaves;
        if u32::try_from(leaves.len()) != Ok(head.size) {
            return Err(PrekeyError::Malformed);
        }
        let mut seen = Vec::with_capacity(leaves.len());
        let mut hashes = Vec::with_capacity(leaves.len());
        for (position, leaf) in (0_u32..).zip(&leaves) {
            if leaf.index != position || !leaf.proof.is_empty() {
                return Err(PrekeyError::Malformed);
            }
            let id = read(leaf)?.id;
            seen.push(id);
            hashes.push(leaf_hash(&head.device_id, id, &leaf.key));
        }
        seen.sort_unstable();
        if seen.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(PrekeyError::Malformed);
        }
        let mut proofs = alloc::vec![Vec::new(); hashes.len()];
        if prove(&hashes, &mut proofs) != head.root {
            return Err(PrekeyError::NotAuthentic);
        }
        for (leaf, proof) in leaves.iter_mut().zip(proofs) {
            leaf.proof = proof.iter().map(|hash| hash.to_vec()).collect();
        }
        Self::sort(head, batch, leaves)
    }

    /// Sorts leaves by kind and checks how many there are of each.
    fn sort(head: BatchHead, batch: proto::Signed, leaves: Vec<proto::Prekey>) -> Result<Self, PrekeyError> {
        let (mut signed, mut last_resort, mut curve, mut kem) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for leaf in leaves {
            match PrekeyKind::from_number(leaf.kind).ok_or(PrekeyError::Malformed)? {
                PrekeyKind::Signed => signed.push(leaf),
                PrekeyKind::LastResortKem => last_resort.push(leaf),
                PrekeyKind::OneTimeCurve => curve.push(leaf),
                PrekeyKind::OneTimeKem => kem.push(leaf),
            }
        }
        let one = |mut all: Vec<proto::Prekey>| match (all.pop(), all.is_empty()) {
            (Some(only), true) => Ok(only),
            _ => Err(PrekeyError::Malformed),
        };
        if curve.len() != kem.len() {
            return Err(PrekeyError::Malformed);
        }
        let pairs = curve.into_iter().zip(kem).collect();
        Ok(Self { head, batch, signed: one(signed)?, last_resort: one(last_resort)?, pairs })
    }

    /// Returns the batch's head.
    #[must_use]
    pub const fn head(&self) -> &BatchHead {
        &self.head
    }

    /// Returns the batch's head as the device signed it, for bundles.
    #[must_use]
    pub const fn batch(&self) -> &proto::Signed {
        &self.batch
    }

    /// Returns the signed prekey with its proof.
    #[must_use]
    pub const fn signed(&self) -> &proto::Prekey {
        &self.signed
    }

    /// Returns the last-resort KEM prekey with its proof.
    #[must_use]
    pub const fn last_resort(&self) -> &proto::Prekey {
        &self.last_resort
    }

    /// Returns the pairs of one-time prekeys, curve and KEM, with their proofs, in the order of the upload.
    #[must_use]
    pub fn pairs(&self) -> &[(proto::Prekey, proto::Prekey)] {
        &self.pairs
    }
}

/// Reads one prekey: a known kind, an identifier, a key that is valid for the kind.
fn read(prekey: &proto::Prekey) -> Result<VerifiedPrekey, PrekeyError> {
    let kind = PrekeyKind::from_number(prekey.kind).ok_or(PrekeyError::Malformed)?;
    if prekey.id == 0 {
        return Err(PrekeyError::Malformed);
    }
    let key = if kind.is_curve() {
        DhPublic::from_bytes(&prekey.key).map(PrekeyPublic::Curve)
    } else {
        KemPublic::from_bytes(&prekey.key).map(PrekeyPublic::Kem)
    };
    Ok(VerifiedPrekey { id: PrekeyId { kind, id: prekey.id }, key: key.map_err(|_| PrekeyError::Malformed)? })
}

/// Returns the root and appends to each leaf's proof; every node is hashed once.
fn prove(hashes: &[Hash], proofs: &mut [Vec<Hash>]) -> Hash {
    if hashes.len() < 2 {
        return merkle::root(hashes);
    }
    let at = hashes.len().div_ceil(2).next_power_of_two();
    let (left, right) = hashes.split_at(at);
    let (left_proofs, right_proofs) = proofs.split_at_mut(at);
    let (left, right) = (prove(left, left_proofs), prove(right, right_proofs));
    left_proofs.iter_mut().for_each(|proof| proof.push(right));
    right_proofs.iter_mut().for_each(|proof| proof.push(left));
    // The root of two leaves is the node over them.
    merkle::root(&[left, right])
}

#[cfg(test)]
mod tests;
