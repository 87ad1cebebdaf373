//! Sessions between two devices: prekeys, PQXDH, the Triple Ratchet with header encryption, envelopes.
//!
//! ```
//! # mod company { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/company.rs")); }
//! # use company::{Company, NOW};
//! # let mut rng = chancery_crypto::rng::seeded([1; 32]);
//! # let (alice, bob) = Company::found(1).alice_and_bob();
//! use chancery_core::{InitialEnvelope, initiate, respond};
//!
//! // Alice has a verified bundle of bob's prekeys, and writes.
//! let mut started = initiate(alice.local(), &bob.verified_bundle(Some(0)), b"hello", NOW, &mut rng)?;
//!
//! // Bob finds the envelope in his mailbox. It says who wrote it only to him.
//! let envelope = InitialEnvelope::parse(&started.envelope)?;
//! let mut accepted = respond(&bob.responder(), &envelope, NOW, &mut rng)?;
//! assert_eq!(accepted.plaintext.expose(), b"hello");
//! assert_eq!(accepted.peer.member_id(), alice.credential.member_id());
//!
//! // He answers; from here on both sides encrypt and decrypt.
//! let answer = accepted.session.encrypt(b"hello, alice", &mut rng)?;
//! let decrypted = started.session.decrypt(&answer, NOW, &mut rng)?;
//! assert_eq!(decrypted.plaintext.expose(), b"hello, alice");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`generate_batch`] makes a device's prekeys and [`Bundle`] checks those of another; [`initiate`] and
//! [`respond`] are the two sides of a handshake; [`Session`] is what comes of it. A recipient finds the
//! session of an envelope by its [`Tag`], in an index that it keeps up from each [`TagChange`].
//!
//! What this crate does not do: it stores nothing (the caller commits sessions, deletes used prekeys and keeps
//! the replay record), chooses no session among several, asks nobody whether a credential was revoked, and
//! knows nothing of what a content means.
//!
//! Source: `docs/PROTOCOL.md`, sections "Prekey bundles", "Handshake", "Ratchet" and "Envelopes"
//! (R-PREKEY from 100, R-HANDSHAKE, R-RATCHET, R-ENVELOPE).
#![no_std]

extern crate alloc;

mod braid;
mod chain_key;
mod double_ratchet;
mod envelope;
mod erasure;
mod header;
mod message_key;
mod padding;
mod pq_ratchet;
mod pqxdh;
mod prekey;
mod record;
mod refresh;
mod root_key;
mod session;
mod skipped;
mod tag;

pub use chancery_identity::prekey::{PrekeyId, PrekeyKind};
pub use envelope::{EnvelopeError, EnvelopeKind, HANDSHAKE_LEN, InitialEnvelope, SessionEnvelope};
pub use padding::{BUCKETS, MAX_CONTENT, SESSION_MESSAGE_OVERHEAD};
pub use pqxdh::{
    Accepted, InitiateError, Initiated, Local, PrekeySecrets, RespondError, Responder, initiate, respond,
};
pub use prekey::{BatchError, BatchPlan, Bundle, BundleError, GeneratedBatch, generate_batch};
pub use record::RecordError;
pub use refresh::{MAX_REFRESH_CONTENT, REFRESH_ANSWER_INTERVAL, REFRESH_INTERVAL};
pub use session::{DecryptError, Decrypted, EncryptError, Session};
pub use skipped::{MAX_SKIP, MAX_SKIPPED, SKIPPED_KEY_LIFETIME};
pub use tag::{TAG_LEN, Tag, TagChange, WINDOW};
