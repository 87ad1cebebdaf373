//! Envelopes: what is stored in a mailbox, told apart by the first byte, read without believing anything.

use chancery_crypto::aead::TAG_LEN as AUTHENTICATOR_LEN;
use chancery_crypto::kem::{CIPHERTEXT_LEN, KemCiphertext};
use chancery_crypto::x25519::DhPublic;
use chancery_identity::prekey::{PrekeyId, PrekeyKind};

use crate::header::SEALED_HEADER_LEN;
use crate::padding::BUCKETS;
use crate::tag::{TAG_LEN, Tag};

/// Version of the envelopes: the high nibble of the first byte.
const VERSION: u8 = 1;
/// First byte of a handshake with its first message.
pub(crate) const INITIAL: u8 = 0x11;
/// First byte of a session message.
pub(crate) const SESSION: u8 = 0x12;
const ENROLMENT_REQUEST: u8 = 0x13;
const ENROLMENT_ANSWER: u8 = 0x14;

/// The handshake suite of this version. It names the primitives, the handshake *and* the ratchet that the
/// session then runs (R-HANDSHAKE-1).
pub(crate) const HANDSHAKE_SUITE: u16 = 1;

/// Plaintext bytes of the sealed identity (R-HANDSHAKE-7): a credential and a signature are just under 9 KiB, and all are as
/// long, so that no credential tells itself by its length.
pub(crate) const IDENTITY_LEN: usize = 9216;
/// Bytes of an initial envelope before the sealed identity, which are its associated data.
pub(crate) const HANDSHAKE_HEAD_LEN: usize = 16 + 32 + CIPHERTEXT_LEN;
/// Bytes of an initial envelope before the session message: 10,368.
pub const HANDSHAKE_LEN: usize = HANDSHAKE_HEAD_LEN + IDENTITY_LEN + AUTHENTICATOR_LEN;

/// Bytes that are no envelope of this version; drop them. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The envelope is cut, of a length that none has, or has a field out of range: drop it.
    #[error("envelope is malformed")]
    Malformed,
    /// The envelope has a version, kind or suite that this version does not know: a newer client may read
    /// it. Drop it, and report it as such.
    #[error("envelope of an unsupported version")]
    UnsupportedVersion,
}

/// What an envelope is, by its first byte (R-ENVELOPE-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnvelopeKind {
    /// 0x11: a handshake and the first message of its session. See [`InitialEnvelope`].
    Initial,
    /// 0x12: a message of a session. See [`SessionEnvelope`].
    Session,
    /// 0x13: a device asks the enrolment desk for a credential; not of this crate.
    EnrolmentRequest,
    /// 0x14: the desk answers; not of this crate.
    EnrolmentAnswer,
}

impl EnvelopeKind {
    /// Looks at the first byte, at nothing else.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: drop the envelope.
    pub fn of(envelope: &[u8]) -> Result<Self, EnvelopeError> {
        match envelope.first() {
            None => Err(EnvelopeError::Malformed),
            Some(&INITIAL) => Ok(Self::Initial),
            Some(&SESSION) => Ok(Self::Session),
            Some(&ENROLMENT_REQUEST) => Ok(Self::EnrolmentRequest),
            Some(&ENROLMENT_ANSWER) => Ok(Self::EnrolmentAnswer),
            Some(first) if first >> 4 == VERSION => Err(EnvelopeError::Malformed),
            Some(_) => Err(EnvelopeError::UnsupportedVersion),
        }
    }
}

/// A session message (R-ENVELOPE-2), parsed. Nothing of it is believed yet.
///
/// ```text
/// 0    1  0x12
/// 1   16  tag
/// 17  60  sealed header
/// 77   …  sealed body: the rest of one of the lengths in BUCKETS
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SessionEnvelope<'a> {
    pub(crate) tag: Tag,
    pub(crate) sealed_header: &'a [u8; SEALED_HEADER_LEN],
    pub(crate) body: &'a [u8],
}

impl<'a> SessionEnvelope<'a> {
    /// Takes a session message apart.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: drop the envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if EnvelopeKind::of(bytes)? != EnvelopeKind::Session || !BUCKETS.contains(&bytes.len()) {
            return Err(EnvelopeError::Malformed);
        }
        let mut fields = Fields(bytes);
        let [_kind] = fields.take()?;
        let tag = Tag::new(*fields.take::<TAG_LEN>()?);
        Ok(Self { tag, sealed_header: fields.take()?, body: fields.0 })
    }

    /// Returns the tag, by which the caller finds the session.
    #[must_use]
    pub const fn tag(&self) -> Tag {
        self.tag
    }
}

/// An initial envelope (R-HANDSHAKE-2), parsed. Nothing of it is believed yet.
///
/// ```text
/// 0          1  0x11
/// 1          2  suite, big-endian: 1
/// 3          4  signed prekey, number, big-endian
/// 7          4  one-time curve prekey, number, 0 for none
/// 11         1  kind of the KEM prekey: 3 one-time, 4 last resort
/// 12         4  KEM prekey, number
/// 16        32  EK, the initiator's ephemeral X25519 key
/// 48      1088  ML-KEM-768 ciphertext
/// 1136    9232  sealed identity of the initiator
/// 10368      …  session message
/// ```
#[derive(Debug, Clone)]
pub struct InitialEnvelope<'a> {
    pub(crate) signed: PrekeyId,
    pub(crate) one_time: Option<PrekeyId>,
    pub(crate) kem: PrekeyId,
    pub(crate) ephemeral: DhPublic,
    pub(crate) ciphertext: KemCiphertext,
    /// Everything before the sealed identity.
    pub(crate) head: &'a [u8],
    pub(crate) sealed_identity: &'a [u8],
    /// Everything before the session message.
    pub(crate) handshake: &'a [u8],
    pub(crate) message: SessionEnvelope<'a>,
}

impl<'a> InitialEnvelope<'a> {
    /// Takes an initial envelope apart.
    ///
    /// # Errors
    ///
    /// [`EnvelopeError`]: drop the envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if EnvelopeKind::of(bytes)? != EnvelopeKind::Initial {
            return Err(EnvelopeError::Malformed);
        }
        let mut fields = Fields(bytes);
        let [_kind] = fields.take()?;
        if u16::from_be_bytes(*fields.take()?) != HANDSHAKE_SUITE {
            return Err(EnvelopeError::UnsupportedVersion);
        }
        let signed = fields.prekey(PrekeyKind::Signed)?.ok_or(EnvelopeError::Malformed)?;
        let one_time = fields.prekey(PrekeyKind::OneTimeCurve)?;
        let [kind] = *fields.take()?;
        let kind = PrekeyKind::from_number(kind.into()).filter(|kind| !kind.is_curve());
        let kem = fields.prekey(kind.ok_or(EnvelopeError::Malformed)?)?.ok_or(EnvelopeError::Malformed)?;
        let ephemeral = DhPublic::from_bytes(fields.take::<32>()?).map_err(|_| EnvelopeError::Malformed)?;
        let ciphertext = KemCiphertext::from_bytes(fields.take::<CIPHERTEXT_LEN>()?)
            .map_err(|_| EnvelopeError::Malformed)?;
        let (head, _) = bytes.split_at_checked(HANDSHAKE_HEAD_LEN).ok_or(EnvelopeError::Malformed)?;
        let (handshake, message) = bytes.split_at_checked(HANDSHAKE_LEN).ok_or(EnvelopeError::Malformed)?;
        let sealed_identity = handshake.get(HANDSHAKE_HEAD_LEN..).ok_or(EnvelopeError::Malformed)?;
        let message = SessionEnvelope::parse(message)?;
        Ok(Self { signed, one_time, kem, ephemeral, ciphertext, head, sealed_identity, handshake, message })
    }

    /// Returns the prekeys that the handshake names, for a caller that loads their secrets in advance.
    pub fn prekeys(&self) -> impl Iterator<Item = PrekeyId> {
        [Some(self.signed), self.one_time, Some(self.kem)].into_iter().flatten()
    }
}

/// What has not been read yet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<&'a [u8; N], EnvelopeError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(EnvelopeError::Malformed)?;
        self.0 = rest;
        Ok(field)
    }

    /// Reads a prekey's number, `None` for 0.
    fn prekey(&mut self, kind: PrekeyKind) -> Result<Option<PrekeyId>, EnvelopeError> {
        let id = u32::from_be_bytes(*self.take()?);
        Ok((id != 0).then_some(PrekeyId { kind, id }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn initial() -> Vec<u8> {
        let mut bytes = vec![0; HANDSHAKE_LEN + 512];
        bytes[..16].copy_from_slice(&[INITIAL, 0, 1, 0, 0, 0, 7, 0, 0, 0, 0, 4, 0, 0, 0, 9]);
        bytes[16..48].fill(9);
        bytes[HANDSHAKE_LEN] = SESSION;
        bytes
    }

    #[test]
    fn the_first_byte_names_kind_and_version() {
        // R-ENVELOPE-1
        assert_eq!(EnvelopeKind::of(&[0x11]), Ok(EnvelopeKind::Initial));
        assert_eq!(EnvelopeKind::of(&[0x12, 0]), Ok(EnvelopeKind::Session));
        assert_eq!(EnvelopeKind::of(&[0x13]), Ok(EnvelopeKind::EnrolmentRequest));
        assert_eq!(EnvelopeKind::of(&[0x14]), Ok(EnvelopeKind::EnrolmentAnswer));
        assert_eq!(EnvelopeKind::of(&[]), Err(EnvelopeError::Malformed));
        assert_eq!(EnvelopeKind::of(&[0x15]), Err(EnvelopeError::Malformed));
        assert_eq!(EnvelopeKind::of(&[0x22]), Err(EnvelopeError::UnsupportedVersion));
        assert_eq!(EnvelopeKind::of(&[0x02]), Err(EnvelopeError::UnsupportedVersion));
    }

    #[test]
    fn a_session_message_has_one_of_eight_lengths() {
        // R-ENVELOPE-2, R-ENVELOPE-4
        for len in 0..1100 {
            let mut bytes = vec![SESSION; len];
            bytes.iter_mut().skip(1).take(16).for_each(|byte| *byte = 5);
            let parsed = SessionEnvelope::parse(&bytes).map(|envelope| (envelope.tag(), envelope.body.len()));
            let expected = BUCKETS.contains(&len).then(|| (Tag::new([5; 16]), len - 77));
            assert_eq!(parsed, expected.ok_or(EnvelopeError::Malformed), "{len} bytes");
        }
    }

    #[test]
    fn an_initial_envelope_is_read_field_by_field() {
        // R-HANDSHAKE-1, R-HANDSHAKE-2
        assert_eq!(HANDSHAKE_LEN, 10_368);
        let good = initial();
        let parsed = InitialEnvelope::parse(&good).unwrap();
        let ids: Vec<_> = parsed.prekeys().map(|id| (id.kind.number(), id.id)).collect();
        assert_eq!(ids, [(1, 7), (4, 9)]);
        let change = |at: usize, to: u8| {
            let mut bad = good.clone();
            bad[at] = to;
            InitialEnvelope::parse(&bad).map(|_| ())
        };
        assert_eq!(change(0, SESSION), Err(EnvelopeError::Malformed));
        assert_eq!(change(2, 2), Err(EnvelopeError::UnsupportedVersion));
        assert_eq!(change(6, 0), Err(EnvelopeError::Malformed), "no signed prekey");
        assert_eq!(change(10, 3), Ok(()), "a one-time curve prekey");
        assert_eq!(change(11, 2), Err(EnvelopeError::Malformed), "a curve key as KEM prekey");
        assert_eq!(change(11, 3), Ok(()));
        assert_eq!(change(15, 0), Err(EnvelopeError::Malformed), "no KEM prekey");
        assert_eq!(change(47, 0x89), Err(EnvelopeError::Malformed), "not canonical");
        assert_eq!(change(HANDSHAKE_LEN, INITIAL), Err(EnvelopeError::Malformed));
        for len in 0..good.len() {
            assert!(InitialEnvelope::parse(&good[..len]).is_err(), "{len} bytes");
        }
    }
}
