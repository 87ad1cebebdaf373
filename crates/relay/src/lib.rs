//! The relay's logic without I/O: mailboxes and sets of them, prekeys, blobs, a directory and the log for one
//! organisation.
//!
//! ```
//! use chancery_crypto::{rng::seeded, signature::SigningKey};
//! use chancery_identity::Organisation;
//! use chancery_relay::{ConnectionId, Effect, Input, Limits, Relay, Setup, memory::MemoryStorage};
//! use chancery_wire::{Timestamp, Unverified, encode, proto};
//!
//! let mut rng = seeded([1; 32]);
//! let root_key = SigningKey::generate(&mut rng).verifying_key().as_bytes().to_vec();
//! let document = proto::Organisation { root_key, ..Default::default() };
//! let organisation = Organisation::verify(Unverified::new(document), None)?;
//! let hello = proto::Hello { version: 1, org_id: organisation.id().as_bytes().to_vec() };
//! let hello = proto::ClientFrame { request: 1, body: Some(proto::client_frame::Body::Hello(hello)) };
//!
//! let (mut storage, connection, now) = (MemoryStorage::new(), ConnectionId(1), Timestamp::from_millis(0));
//! let log_key = SigningKey::generate(&mut rng);
//! let setup = Setup { organisation, pin: [0; 32], log_key, limits: Limits::default() };
//! let mut relay = Relay::start(setup, &mut storage, now, &mut rng)?;
//! let bytes = encode(&hello);
//! relay.handle(&mut storage, Input::Opened { connection }, now, &mut rng)?;
//! let effects = relay.handle(&mut storage, Input::Frame { connection, bytes: &bytes }, now, &mut rng)?;
//! assert!(matches!(effects.as_slice(), [Effect::Send { .. }]), "the welcome");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Relay`] is the machine: it takes an [`Input`], works on a [`Storage`] in one transaction, and returns
//! the [`Effect`]s to carry out once that is committed. [`Limits`] bounds everything. [`memory`] has a storage
//! for tests and simulations, and [`conformance`] checks any other.
//!
//! What this crate does not do: it opens no socket, reads no clock, and cannot decrypt anything, because it
//! links neither sessions nor stores.
//!
//! Source: `docs/PROTOCOL.md`, section "Relay" (R-RELAY).
#![no_std]

extern crate alloc;

mod admission;
mod blobs;
mod confirmations;
pub mod conformance;
mod connection;
mod delivery;
mod documents;
mod held;
pub mod limits;
mod log;
mod login;
mod mailbox;
pub mod memory;
mod prekeys;
mod relay;
mod set_storage;
mod sets;
mod slots;
mod step;
mod storage;
mod tree;
mod witnesses;

#[cfg(test)]
mod tests;

pub use limits::{Limits, Rate};
pub use relay::{ConnectionId, Effect, Input, Relay, Setup, StartError};
pub use set_storage::{HeldDelivery, Room, SetRow, SetStorage, SlotRow};
pub use storage::{
    BlobId, BlobState, DeliveryId, DirectoryRow, EntryId, LogEntry, MAX_NUMBER, Mailbox, MailboxId, NewEntry,
    PrekeyBatch, PrekeyPair, SetId, SlotId, Storage, StorageError, Totals,
};
