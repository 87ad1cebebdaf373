//! Under construction.
#![no_std]

extern crate alloc;

mod chain_key;
mod double_ratchet;
mod envelope;
mod header;
mod message_key;
mod padding;
mod pqxdh;
mod prekey;
mod record;
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
pub use session::{DecryptError, Decrypted, EncryptError, Session};
pub use skipped::{MAX_SKIP, MAX_SKIPPED, SKIPPED_KEY_LIFETIME};
pub use tag::{TAG_LEN, Tag, TagChange, WINDOW};
