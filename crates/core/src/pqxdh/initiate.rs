//! The initiator's side.

use alloc::vec::Vec;

use chancery_crypto::InvalidKey;
use chancery_crypto::kem::KemCiphertext;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_identity::Kind;
use chancery_wire::{Timestamp, encode, proto};

use super::{Agreement, Local, Parties, Public};
use crate::double_ratchet::DoubleRatchet;
use crate::envelope::{HANDSHAKE_SUITE, IDENTITY_LEN, INITIAL};
use crate::padding::{MAX_CONTENT, pad_to};
use crate::prekey::Bundle;
use crate::refresh::Refresh;
use crate::session::Session;

/// A session that has been started, and its first envelope.
#[derive(Debug)]
pub struct Initiated {
    /// The session, to be stored before the envelope is sent. It can send more at once.
    pub session: Session,
    /// For the peer's mailbox: handshake and first message, 10,368 bytes and a session message.
    pub envelope: Vec<u8>,
}

/// Why no session is started. Nothing was changed; the bundle's one-time prekeys are spent all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InitiateError {
    /// The content is longer than [`MAX_CONTENT`]: send it as an attachment.
    #[error("content of {len} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the content, in bytes.
        len: usize,
        /// The most that fits, in bytes.
        limit: usize,
    },
    /// The bundle or its credential is no longer valid: claim another one.
    #[error("bundle has expired")]
    BundleExpired,
    /// The own credential is not valid now, is not for these keys, may not have sessions, or belongs to
    /// another organisation: renew it, or use the right one.
    #[error("own credential cannot be used")]
    OwnCredential,
    /// The bundle is this device's own: a device has no session with itself.
    #[error("bundle of the own device")]
    OwnDevice,
    /// A key of the bundle gives no secret, which no honest one does: the device is at fault.
    #[error("not authentic")]
    NotAuthentic,
}

impl From<InvalidKey> for InitiateError {
    fn from(_: InvalidKey) -> Self {
        Self::NotAuthentic
    }
}

/// Starts a session and encrypts its first message, of at most [`MAX_CONTENT`] bytes.
///
/// A bundle is used for one call only. The envelope names nobody: who wrote it is known to whom it is for.
///
/// # Errors
///
/// [`InitiateError`].
pub fn initiate(
    local: Local<'_>,
    bundle: &Bundle,
    plaintext: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Initiated, InitiateError> {
    check(local, bundle, plaintext, now)?;
    let ephemeral = DhSecret::generate(rng);
    let (signed_id, signed_key) = &bundle.signed;
    let (kem_id, kem_key) = &bundle.kem;
    let (ciphertext, kem) = kem_key.encapsulate(rng);
    let dh1 = local.keys.identity.agree(signed_key)?;
    let agreement = Agreement {
        dh2: ephemeral.agree(bundle.credential.identity_key())?,
        dh3: ephemeral.agree(signed_key)?,
        dh4: bundle.one_time.as_ref().map(|(_, key)| ephemeral.agree(key)).transpose()?,
        kem,
    };
    let transcript = Public {
        responder: &bundle.credential,
        signed: (*signed_id, signed_key),
        one_time: bundle.one_time.as_ref().map(|(id, key)| (*id, key)),
        kem: (*kem_id, kem_key),
        ephemeral: ephemeral.public(),
        ciphertext: &ciphertext,
    }
    .transcript();
    let parties = Parties::new(&transcript, local.credential, &bundle.credential);

    let signature = local.keys.signing.sign(label::SIGN_HANDSHAKE, &parties.signed, rng);
    let identity =
        proto::HandshakeIdentity { credential: Some(local.credential.signed().clone()), signature };
    // A credential that does not fit is none that this version issues.
    let identity = pad_to(&encode(&identity), IDENTITY_LEN).ok_or(InitiateError::OwnCredential)?;
    let mut envelope = head(bundle, ephemeral.public(), &ciphertext);
    let sealed = agreement.identity_key(&transcript).seal(&envelope, identity.expose());
    envelope.extend_from_slice(&sealed);

    let secrets = agreement.session_secrets(&dh1, &parties);
    let ratchet =
        DoubleRatchet::initiate(secrets, signed_key, rng).map_err(|_| InitiateError::NotAuthentic)?;
    let mut session = Session {
        id: parties.session_id,
        peer_device: bundle.credential.device_id(),
        associated_data: parties.associated_data,
        ratchet,
        filled: 0,
        refresh: Refresh::start(now),
    };
    let message = session.encrypt_after(&envelope, plaintext, rng).map_err(|_| too_long(plaintext))?;
    envelope.extend_from_slice(&message);
    Ok(Initiated { session, envelope })
}

/// What must hold before anything is computed (R-HANDSHAKE-3).
fn check(local: Local<'_>, bundle: &Bundle, plaintext: &[u8], now: Timestamp) -> Result<(), InitiateError> {
    if plaintext.len() > MAX_CONTENT {
        return Err(too_long(plaintext));
    }
    if now >= bundle.expires || !bundle.credential.is_valid_at(now) {
        return Err(InitiateError::BundleExpired);
    }
    let own = local.credential;
    if !own.is_valid_at(now)
        || !local.keys.match_credential(own)
        || Kind::of(own.capabilities()).is_none()
        || own.org_id() != bundle.credential.org_id()
    {
        return Err(InitiateError::OwnCredential);
    }
    if own.device_id() == bundle.credential.device_id() {
        return Err(InitiateError::OwnDevice);
    }
    Ok(())
}

const fn too_long(plaintext: &[u8]) -> InitiateError {
    InitiateError::TooLong { len: plaintext.len(), limit: MAX_CONTENT }
}

/// Everything before the sealed identity (R-HANDSHAKE-2).
fn head(bundle: &Bundle, ephemeral: &DhPublic, ciphertext: &KemCiphertext) -> Vec<u8> {
    let one_time = bundle.one_time.as_ref().map_or(0, |(id, _)| *id);
    [
        [INITIAL].as_slice(),
        &HANDSHAKE_SUITE.to_be_bytes(),
        &bundle.signed.0.to_be_bytes(),
        &one_time.to_be_bytes(),
        &[bundle.kem.0.kind.number()],
        &bundle.kem.0.id.to_be_bytes(),
        ephemeral.as_bytes(),
        ciphertext.as_bytes(),
    ]
    .concat()
}
