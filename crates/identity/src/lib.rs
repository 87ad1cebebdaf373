//! Identities of an organisation: what everybody, relay and client, must be able to verify.
//!
//! ```
//! use chancery_crypto::{rng::seeded, signature::SigningKey};
//! use chancery_identity::{IdentityError, OrgId, Organisation};
//! use chancery_wire::{Unverified, proto};
//!
//! let root = SigningKey::generate(&mut seeded([1; 32]));
//! let document = proto::Organisation { root_key: root.verifying_key().as_bytes().to_vec(), ..Default::default() };
//! let expected = OrgId::of(root.verifying_key());
//! let organisation = Organisation::verify(Unverified::new(document.clone()), Some(expected))?;
//! assert_eq!(organisation.id(), expected);
//!
//! let foreign = Organisation::verify(Unverified::new(document), Some(OrgId::new([0; 32])));
//! assert_eq!(foreign.unwrap_err(), IdentityError::WrongOrganisation);
//! # Ok::<(), IdentityError>(())
//! ```
//!
//! [`Organisation`] is the anchor; it turns unverified statements into [`Credential`], [`DirectoryEntry`]
//! and [`RelayRecord`]. [`DeviceKeys`] are the private side of a credential, [`prekey`] checks what devices
//! publish for handshakes, and [`sign`] makes the statements.
//!
//! What this crate does not do: it decides nothing about who gets a credential (`chancery-org` does), and
//! knows neither sessions nor messages.
//!
//! Source: `docs/PROTOCOL.md`, sections "Identities" and "Prekey batches" (R-ID, R-PREKEY).
#![no_std]

extern crate alloc;

mod authority;
mod capability;
pub mod checkpoint;
mod cosignature;
mod credential;
pub mod delivery;
mod directory;
mod ending;
mod error;
pub mod guest;
mod id;
pub mod log;
mod login;
mod organisation;
mod policy;
pub mod prekey;
pub mod sign;
mod validity;

#[cfg(test)]
mod tests;

pub use authority::{Authority, Change, MAX_GROUP_SUCCESSORS, MAX_SUCCESSOR_MEMBERS, Submission};
pub use capability::Capabilities;
pub use cosignature::{Cosignature, MAX_WITNESS_NAME, is_witness_name};
pub use credential::{Credential, DeviceKeys};
pub use directory::{
    DirectoryEntry, DirectoryKey, DirectoryKeyUpdate, DisplayName, Handle, LAST_KEY_EPOCH, MAX_DEVICES,
    MAX_HANDLE_LEN, MAX_NAME_LEN, NameError, PADDING_STEP, is_plain, key_epoch,
};
pub use ending::{confirm_end, verify_end_confirmation};
pub use error::{IdentityError, LogError};
pub use guest::{GuestKey, Kind, MAX_REACH};
pub use id::{DeviceId, IssuerId, MemberId, OrgId};
pub use login::{login_message, reply_mailbox};
pub use organisation::{
    Desk, Issuer, MAX_ISSUERS, MAX_RELAY_URL_LEN, MAX_SUCCESSORS, Organisation, RelayRecord, SUITE,
    is_relay_url,
};
pub use policy::{DEFAULT_FRESHNESS, LEAST_FRESHNESS, MAX_WITNESSES, Policy, Receipts, Witnesses};
