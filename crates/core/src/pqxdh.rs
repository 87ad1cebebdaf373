//! PQXDH with the initiator's identity encrypted: what both sides compute alike.
//!
//! Source: PQXDH, revision 3; `docs/PROTOCOL.md`, section "Handshake".

use alloc::vec::Vec;

use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::hash::{hash, hash16};
use chancery_crypto::kdf::derive;
use chancery_crypto::kem::{KemCiphertext, KemPublic};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhPublic;
use chancery_identity::prekey::PrekeyId;
use chancery_identity::{Credential, DeviceKeys, SUITE};

use crate::double_ratchet::InitialSecrets;
use crate::envelope::HANDSHAKE_SUITE;
use crate::header::HeaderKey;
use crate::root_key::RootKey;

mod initiate;
mod respond;

pub use initiate::{InitiateError, Initiated, initiate};
pub use respond::{Accepted, PrekeySecrets, RespondError, Responder, respond};

/// PQXDH's `F`: 32 bytes that no encoded curve key is, in front of the key material.
const F: [u8; 32] = [0xFF; 32];
/// HKDF's salt: a hash length of zeros.
const SALT: [u8; 32] = [0; 32];

const _: () = assert!(SUITE == HANDSHAKE_SUITE as u32, "one number names the suite");

/// The device that runs a handshake.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    /// Its credential.
    pub credential: &'a Credential,
    /// The keys that the credential names.
    pub keys: &'a DeviceKeys,
}

/// What an envelope shows of a handshake, with the keys behind the numbers.
struct Public<'a> {
    responder: &'a Credential,
    signed: (u32, &'a DhPublic),
    one_time: Option<(u32, &'a DhPublic)>,
    kem: (PrekeyId, &'a KemPublic),
    ephemeral: &'a DhPublic,
    ciphertext: &'a KemCiphertext,
}

impl Public<'_> {
    /// P, the public transcript (R-HANDSHAKE-4).
    fn transcript(&self) -> [u8; 32] {
        let curve = |(id, key): (u32, &DhPublic)| [id.to_be_bytes().as_slice(), key.as_bytes()].concat();
        let (kem_id, kem_key) = self.kem;
        let kem = [&[kem_id.kind.number()], kem_id.id.to_be_bytes().as_slice(), kem_key.as_bytes()].concat();
        hash(
            label::HASH_HANDSHAKE,
            &[
                &SUITE.to_be_bytes(),
                &self.responder.hash(),
                &curve(self.signed),
                &self.one_time.map(curve).unwrap_or_default(),
                &kem,
                self.ephemeral.as_bytes(),
                self.ciphertext.as_bytes(),
            ],
        )
    }
}

/// The secrets that do not need the initiator's identity.
struct Agreement {
    dh2: Secret<32>,
    dh3: Secret<32>,
    dh4: Option<Secret<32>>,
    kem: Secret<32>,
}

impl Agreement {
    /// The key that seals the initiator's identity (R-HANDSHAKE-5).
    fn identity_key(&self, transcript: &[u8; 32]) -> OneTimeKey {
        let ikm = self.material(None);
        OneTimeKey::new(derive(label::KDF_HANDSHAKE_IDENTITY, &SALT, &ikm, transcript))
    }

    /// The session's first secrets (R-HANDSHAKE-8).
    fn session_secrets(&self, dh1: &Secret<32>, parties: &Parties) -> InitialSecrets {
        let ikm = self.material(Some(dh1));
        let all: Secret<128> = derive(label::KDF_HANDSHAKE_SESSION, &SALT, &ikm, &parties.context);
        let (parts, _) = all.expose().as_chunks::<32>();
        let part = |i: usize| {
            Secret::init_with(|out| {
                if let Some(part) = parts.get(i) {
                    out.copy_from_slice(part);
                }
            })
        };
        InitialSecrets {
            root_key: RootKey::new(part(0)),
            header_key_a: HeaderKey::new(part(1)),
            header_key_b: HeaderKey::new(part(2)),
            post_quantum: part(3),
        }
    }

    /// `F || [DH1] || DH2 || DH3 || [DH4] || SS`.
    fn material<'a>(&'a self, dh1: Option<&'a Secret<32>>) -> Vec<&'a [u8]> {
        let dhs = [dh1, Some(&self.dh2), Some(&self.dh3), self.dh4.as_ref(), Some(&self.kem)];
        let secrets = dhs.into_iter().flatten().map(|secret| secret.expose().as_slice());
        core::iter::once(F.as_slice()).chain(secrets).collect()
    }
}

/// What binds both devices to a handshake.
struct Parties {
    /// What the initiator signs (R-HANDSHAKE-6).
    signed: Vec<u8>,
    /// Context of the session secrets (R-HANDSHAKE-8).
    context: [u8; 32],
    /// AD of every message (R-HANDSHAKE-9).
    associated_data: [u8; 32],
    session_id: [u8; 16],
}

impl Parties {
    fn new(transcript: &[u8; 32], initiator: &Credential, responder: &Credential) -> Self {
        let (from, to) = (initiator.hash(), responder.hash());
        let keys = [initiator.identity_key().as_bytes(), responder.identity_key().as_bytes()];
        let [from_key, to_key] = keys;
        Self {
            signed: [transcript.as_slice(), &from, &to].concat(),
            context: hash(label::HASH_HANDSHAKE_PARTIES, &[transcript, &from, &to]),
            associated_data: hash(label::HASH_SESSION_AD, &[&from, &to, from_key, to_key]),
            session_id: hash16(label::HASH_SESSION_ID, &[transcript, &from, &to]),
        }
    }
}
