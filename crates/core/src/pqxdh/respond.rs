//! The responder's side.

use alloc::vec::Vec;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_crypto::{InvalidKey, NotAuthentic, label};
use chancery_identity::prekey::{PrekeyId, PrekeyKind};
use chancery_identity::{Credential, Kind, Organisation};
use chancery_wire::{Limit, Timestamp, Unverified, decode, proto};

use super::{Agreement, InitialSecrets, Local, Parties, Public};
use crate::double_ratchet::{Bound, DoubleRatchet, Incoming, Received};
use crate::envelope::InitialEnvelope;
use crate::padding::unpad;
use crate::refresh::Refresh;
use crate::session::Session;

/// Where a device keeps the secrets of its prekeys.
pub trait PrekeySecrets {
    /// Returns the secret of a prekey as [`generate_batch`](crate::generate_batch) made it, `None` if it is
    /// not there: never made, used, or deleted because its time was over.
    fn secret(&self, id: PrekeyId) -> Option<SecretBytes>;
}

/// The device that answers handshakes, and what it judges them by.
#[derive(Clone, Copy)]
pub struct Responder<'a> {
    /// Credential and keys. The credential is the one that stood in the bundle: the handshake is bound to it.
    pub local: Local<'a>,
    /// Whose credentials are believed.
    pub organisation: &'a Organisation,
    /// The device's prekeys.
    pub prekeys: &'a dyn PrekeySecrets,
}

impl core::fmt::Debug for Responder<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Responder(..)")
    }
}

/// A handshake that was accepted, and its first message.
///
/// The caller commits all of it in one transaction: replay record, deletion of the used prekeys, session,
/// tags, message.
#[derive(Debug)]
pub struct Accepted {
    /// The session, ready to answer.
    pub session: Session,
    /// The first message's content.
    pub plaintext: SecretBytes,
    /// The verified credential of the initiator. Whether it was revoked is for the caller to say.
    pub peer: Credential,
    /// One-time prekeys that were used and must be deleted (R-HANDSHAKE-11).
    pub used: Vec<PrekeyId>,
    /// Names the handshake. Where `used` is empty, the caller must have refused it if it is in its replay
    /// record, and puts it there.
    pub handshake: [u8; 32],
    /// Whether the KEM prekey was the last-resort one.
    pub last_resort: bool,
}

/// Why a handshake is not accepted. Nothing was changed, and nothing is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RespondError {
    /// It names a prekey that is not there (any more): a duplicate, or a bundle that was used too late. Who
    /// wrote it cannot be known; drop it.
    #[error("handshake names an unknown prekey")]
    UnknownPrekey,
    /// Forged, damaged, for another device or credential, or by somebody whom the organisation does not
    /// vouch for now: drop it.
    #[error("not authentic")]
    NotAuthentic,
}

impl From<NotAuthentic> for RespondError {
    fn from(_: NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

impl From<InvalidKey> for RespondError {
    fn from(_: InvalidKey) -> Self {
        Self::NotAuthentic
    }
}

/// Accepts a handshake and decrypts its first message.
///
/// Everything is verified before anything is returned (R-HANDSHAKE-10); this function stores nothing.
///
/// # Errors
///
/// [`RespondError`]: drop the envelope.
pub fn respond(
    responder: &Responder<'_>,
    envelope: &InitialEnvelope<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Accepted, RespondError> {
    let prekeys = Prekeys::find(responder.prekeys, envelope).ok_or(RespondError::UnknownPrekey)?;
    let (agreement, transcript) = prekeys.agree(responder.local, envelope)?;

    let key = agreement.identity_key(&transcript);
    let identity = unpad(&key.open(envelope.head, envelope.sealed_identity)?)?;
    let (peer, parties) = authenticate(responder, &transcript, &identity, now)?;
    let dh1 = prekeys.signed.agree(peer.identity_key())?;
    let secrets = agreement.session_secrets(&dh1, &parties);
    let (ratchet, first) = first_message(secrets, prekeys.signed, (envelope, &parties), now, rng)?;

    let session = Session {
        id: parties.session_id,
        peer_device: peer.device_id(),
        associated_data: parties.associated_data,
        ratchet,
        filled: 0,
        refresh: Refresh::start(now),
    };
    let last_resort = envelope.kem.kind == PrekeyKind::LastResortKem;
    let used = envelope.one_time.into_iter().chain((!last_resort).then_some(envelope.kem)).collect();
    Ok(Accepted { session, plaintext: first.plaintext, peer, used, handshake: transcript, last_resort })
}

/// Reads a curve prekey: the secret, and behind it the public key, so that it need not be computed. (Without it, too.)
fn curve_secret(stored: &SecretBytes) -> Option<DhSecret> {
    let (secret, public) = stored.expose().split_at_checked(32)?;
    let secret = Secret::from_slice(secret)?;
    if public.is_empty() {
        return Some(DhSecret::from_secret(secret));
    }
    Some(DhSecret::from_stored(secret, DhPublic::from_bytes(public).ok()?))
}

/// The private prekeys that a handshake names.
struct Prekeys {
    signed: DhSecret,
    one_time: Option<DhSecret>,
    kem: KemSecret,
}

impl Prekeys {
    fn find(secrets: &dyn PrekeySecrets, envelope: &InitialEnvelope<'_>) -> Option<Self> {
        let curve = |id| curve_secret(&secrets.secret(id)?);
        let one_time = match envelope.one_time {
            None => None,
            Some(id) => Some(curve(id)?),
        };
        let kem = secrets.secret(envelope.kem)?;
        let kem = KemSecret::from_seed(Secret::from_slice(kem.expose())?);
        Some(Self { signed: curve(envelope.signed)?, one_time, kem })
    }

    /// Computes what does not need the initiator's identity, and P.
    fn agree(
        &self,
        local: Local<'_>,
        envelope: &InitialEnvelope<'_>,
    ) -> Result<(Agreement, [u8; 32]), RespondError> {
        let ephemeral = &envelope.ephemeral;
        let agreement = Agreement {
            dh2: local.keys.identity.agree(ephemeral)?,
            dh3: self.signed.agree(ephemeral)?,
            dh4: self.one_time.as_ref().map(|key| key.agree(ephemeral)).transpose()?,
            kem: self.kem.decapsulate(&envelope.ciphertext),
        };
        let one_time = envelope.one_time.zip(self.one_time.as_ref());
        let transcript = Public {
            responder: local.credential,
            signed: (envelope.signed.id, self.signed.public()),
            one_time: one_time.map(|(id, key)| (id.id, key.public())),
            kem: (envelope.kem, &self.kem.public()),
            ephemeral,
            ciphertext: &envelope.ciphertext,
        }
        .transcript();
        Ok((agreement, transcript))
    }
}

/// Verifies the initiator's credential and its signature over the handshake.
fn authenticate(
    responder: &Responder<'_>,
    transcript: &[u8; 32],
    identity: &SecretBytes,
    now: Timestamp,
) -> Result<(Credential, Parties), NotAuthentic> {
    let identity: Unverified<proto::HandshakeIdentity> =
        decode(identity.expose(), Limit::STATEMENT).map_err(|_| NotAuthentic)?;
    let identity = identity.into_unchecked();
    let credential = Unverified::new(identity.credential.ok_or(NotAuthentic)?);
    let peer = responder.organisation.verify_credential(credential, now).map_err(|_| NotAuthentic)?;
    let own = responder.local.credential;
    if peer.device_id() == own.device_id() || Kind::of(peer.capabilities()).is_none() {
        return Err(NotAuthentic);
    }
    let parties = Parties::new(transcript, &peer, own);
    peer.signing_key().verify(label::SIGN_HANDSHAKE, &parties.signed, &identity.signature)?;
    Ok((peer, parties))
}

/// Decrypts the message behind the handshake on a fresh state. It must be the first of its chain.
fn first_message(
    secrets: InitialSecrets,
    signed_prekey: DhSecret,
    (envelope, parties): (&InitialEnvelope<'_>, &Parties),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(DoubleRatchet, Received), NotAuthentic> {
    if secrets.header_key_a.ready().tag(0) != envelope.message.tag {
        return Err(NotAuthentic);
    }
    let mut ratchet = DoubleRatchet::respond(secrets, signed_prekey);
    let bound = Bound { associated_data: &parties.associated_data, before: envelope.handshake };
    let received = ratchet.decrypt(&Incoming { bound, message: &envelope.message, now }, rng)?;
    Ok((ratchet, received))
}
