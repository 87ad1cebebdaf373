//! Prekeys: making a batch, and checking the bundle that a relay hands out.
//!
//! What a prekey and a batch are, and how they are verified, is in [`chancery_identity::prekey`], because a
//! relay verifies them too.

use alloc::vec::Vec;

use chancery_crypto::kem::{KemPublic, KemSecret};
use chancery_crypto::merkle;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_identity::prekey::{
    BatchHead, MAX_ONE_TIME_PAIRS, PrekeyError, PrekeyId, PrekeyKind, leaf_hash,
};
use chancery_identity::sign::sign_prekey_batch;
use chancery_identity::{Credential, DeviceId, DeviceKeys, IdentityError, Kind, MemberId, Organisation};
use chancery_wire::{Timestamp, Unverified, proto};

/// What a batch is to contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPlan {
    /// The device whose prekeys they are.
    pub device_id: DeviceId,
    /// Higher than that of any batch of the device before, at least 1.
    pub sequence: u64,
    /// The first number to give out, at least 1; the `next_id` of the batch before.
    pub first_id: u32,
    /// How many pairs of one-time prekeys; at most
    /// [`MAX_ONE_TIME_PAIRS`].
    pub one_time_pairs: u32,
    /// From when on nobody may use the batch.
    pub expires: Timestamp,
}

/// A batch, to be stored (secrets) before it is published (upload).
#[derive(Debug)]
pub struct GeneratedBatch {
    /// For the relay.
    pub upload: proto::PrekeyUpload,
    /// For the store: 32 bytes for a curve prekey, the seed of 64 bytes for a KEM prekey.
    pub secrets: Vec<(PrekeyId, SecretBytes)>,
    /// The first number of the next batch.
    pub next_id: u32,
}

/// A plan that cannot be carried out: the caller's mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The plan has more one-time prekeys than a batch may have, or a number or sequence of zero: correct it.
    #[error("plan of a prekey batch is out of range")]
    OutOfRange,
    /// No numbers are left below 2^32: the device has to be enrolled anew.
    #[error("numbers of prekeys are used up")]
    Exhausted,
}

/// Makes and signs a batch of prekeys (R-PREKEY-100, R-PREKEY-101).
///
/// # Errors
///
/// [`BatchError`]; nothing was drawn from `rng`.
pub fn generate_batch(
    keys: &DeviceKeys,
    plan: &BatchPlan,
    rng: &mut dyn CryptoRng,
) -> Result<GeneratedBatch, BatchError> {
    let pairs = plan.one_time_pairs;
    if pairs > MAX_ONE_TIME_PAIRS || plan.first_id == 0 || plan.sequence == 0 {
        return Err(BatchError::OutOfRange);
    }
    let size = pairs.saturating_mul(2).saturating_add(2);
    let next_id = plan.first_id.checked_add(size).ok_or(BatchError::Exhausted)?;
    let one_time = (0..pairs).flat_map(|_| [PrekeyKind::OneTimeCurve, PrekeyKind::OneTimeKem]);
    let kinds = [PrekeyKind::Signed, PrekeyKind::LastResortKem].into_iter().chain(one_time);

    let (mut leaves, mut hashes, mut secrets) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (number, kind)) in (0..size).zip((plan.first_id..next_id).zip(kinds)) {
        let id = PrekeyId { kind, id: number };
        let (key, secret) = generate(kind, rng);
        hashes.push(leaf_hash(&plan.device_id, id, &key));
        leaves.push(proto::Prekey { kind: kind.number().into(), id: number, key, index, proof: Vec::new() });
        secrets.push((id, secret));
    }
    let body = proto::PrekeyBatchBody {
        device_id: plan.device_id.as_bytes().to_vec(),
        sequence: plan.sequence,
        size,
        root: merkle::root(&hashes).to_vec(),
        expires: plan.expires.as_millis(),
    };
    let batch = sign_prekey_batch(&keys.signing, &body, rng);
    Ok(GeneratedBatch { upload: proto::PrekeyUpload { batch: Some(batch), leaves }, secrets, next_id })
}

fn generate(kind: PrekeyKind, rng: &mut dyn CryptoRng) -> (Vec<u8>, SecretBytes) {
    if kind.is_curve() {
        let key = DhSecret::generate(rng);
        let secret = [key.secret().expose().as_slice(), key.public().as_bytes()].concat();
        (key.public().as_bytes().to_vec(), SecretBytes::new(secret))
    } else {
        let key = KemSecret::generate(rng);
        (key.public().as_bytes().to_vec(), SecretBytes::new(key.seed().expose().to_vec()))
    }
}

/// Why a bundle is not used. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// A part is missing, or stands where a prekey of another kind belongs; claim again, later.
    #[error("bundle is malformed")]
    Malformed,
    /// The bundle is of another member or device than was asked for, or of one that has no sessions: the relay
    /// is at fault; use nothing of it.
    #[error("bundle belongs to another device")]
    WrongDevice,
    /// The credential is not believed; see the cause.
    #[error("credential of the bundle is not valid")]
    Credential(#[source] IdentityError),
    /// The batch or a prekey is not believed; see the cause. If expired, the device has been offline for long.
    #[error("prekeys of the bundle are not valid")]
    Prekeys(#[source] PrekeyError),
}

/// A device's verified prekeys, for one handshake.
#[derive(Debug)]
pub struct Bundle {
    pub(crate) credential: Credential,
    pub(crate) signed: (u32, DhPublic),
    pub(crate) one_time: Option<(u32, DhPublic)>,
    pub(crate) kem: (PrekeyId, KemPublic),
    pub(crate) expires: Timestamp,
}

impl Bundle {
    /// Verifies a bundle: credential, batch and each prekey's place in it (R-PREKEY-102).
    ///
    /// # Errors
    ///
    /// [`BundleError`]: do not start a session with it.
    pub fn verify(
        bundle: Unverified<proto::PrekeyBundle>,
        organisation: &Organisation,
        expected: (&MemberId, &DeviceId),
        now: Timestamp,
    ) -> Result<Self, BundleError> {
        let bundle = bundle.into_unchecked();
        let credential = Unverified::new(bundle.credential.ok_or(BundleError::Malformed)?);
        let credential = organisation.verify_credential(credential, now).map_err(BundleError::Credential)?;
        let belongs = (&credential.member_id(), &credential.device_id()) == expected;
        if !belongs || Kind::of(credential.capabilities()).is_none() {
            return Err(BundleError::WrongDevice);
        }
        let batch = Unverified::new(bundle.batch.ok_or(BundleError::Malformed)?);
        let head = BatchHead::verify(&batch, &credential, now).map_err(BundleError::Prekeys)?;

        let signed = verify_curve(&head, bundle.signed.ok_or(BundleError::Malformed)?, PrekeyKind::Signed)?;
        let one_time =
            bundle.one_time.map(|leaf| verify_curve(&head, leaf, PrekeyKind::OneTimeCurve)).transpose()?;
        let kem = Unverified::new(bundle.kem.ok_or(BundleError::Malformed)?);
        let kem = head.verify_prekey(&kem).map_err(BundleError::Prekeys)?;
        let kem = (kem.id(), kem.kem().ok_or(BundleError::Malformed)?.clone());
        Ok(Self { credential, signed, one_time, kem, expires: head.expires() })
    }

    /// Returns the credential of the device.
    #[must_use]
    pub const fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Whether the responder will have to keep a record of the handshake, because it uses the last-resort prekey or no
    /// one-time prekey (R-HANDSHAKE-11).
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.one_time.is_none() || self.kem.0.kind == PrekeyKind::LastResortKem
    }

    /// Whether the handshake will use no one-time prekey at all, so that only the responder's replay record
    /// keeps its first message from being accepted twice.
    #[must_use]
    pub fn is_last_resort(&self) -> bool {
        self.one_time.is_none() && self.kem.0.kind == PrekeyKind::LastResortKem
    }
}

fn verify_curve(
    head: &BatchHead,
    leaf: proto::Prekey,
    kind: PrekeyKind,
) -> Result<(u32, DhPublic), BundleError> {
    let prekey = head.verify_prekey(&Unverified::new(leaf)).map_err(BundleError::Prekeys)?;
    match prekey.curve() {
        Some(key) if prekey.id().kind == kind => Ok((prekey.id().id, *key)),
        _ => Err(BundleError::Malformed),
    }
}
