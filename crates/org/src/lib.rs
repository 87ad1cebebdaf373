//! The organisation's authority: founding, invitations, and the enrolment of devices. Pure state machines.
//!
//! ```
//! use std::collections::BTreeMap;
//! use chancery_crypto::rng::seeded;
//! use chancery_identity::{DeviceKeys, DisplayName, Handle, Organisation};
//! use chancery_org::{DEFAULT_INVITATION_LIFETIME, Desk, Invite, found, request};
//! use chancery_wire::{Timestamp, Unverified};
//!
//! let (now, mut rng) = (Timestamp::from_millis(1_700_000_000_000), seeded([1; 32]));
//! let acme = found(&DisplayName::parse("Acme")?, now, &mut rng);
//! let public = Organisation::verify(Unverified::new(acme.public), None)?;
//! let public = acme.admin.record_relay(&public, "wss://relay.example:443", &[9; 32], &mut rng)?;
//! let public = Organisation::verify(Unverified::new(public), None)?;
//! let mut records: BTreeMap<_, _> = acme.records.0.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
//!
//! let desk = Desk::new(acme.desk, public.clone(), now)?;
//! let (handle, relay) = (Handle::parse("alice")?, public.relay().ok_or("no relay")?);
//! let invite = Invite { handle: &handle, name: &(&handle).into(), relay, lifetime: DEFAULT_INVITATION_LIFETIME };
//! let invited = desk.invite(&records, invite, now, &mut rng)?;
//! records.extend(invited.batch.0.into_iter().filter_map(|(k, v)| Some((k, v?))));
//!
//! let keys = DeviceKeys::generate(&mut rng);
//! let pending = request(&invited.link, &public, &keys, now, &mut rng)?;
//! let answered = desk.answer(&records, pending.envelope(), now, &mut rng)?;
//! let enrolment = pending.complete(&public, &keys, &answered.reply, now)?;
//! assert_eq!(enrolment.credential.member_id(), invited.member_id);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`found()`] makes the keys ([`Root`], [`AdminKeys`], [`DeskKeys`]); [`Desk`] invites and answers;
//! [`InvitationLink`], [`request`] and [`PendingEnrolment`] are the new device's side.
//!
//! What this crate does not do: it sends nothing and stores nothing, and it verifies no credential
//! (`chancery-identity` does).
//!
//! Source: `docs/PROTOCOL.md`, sections "Organisation" and "Enrolment" (R-ORG).
#![no_std]

extern crate alloc;

mod answer;
mod channel;
mod desk;
mod enrolment;
mod error;
mod found;
mod keys;
mod link;
mod refusal;
mod state;

#[cfg(test)]
mod tests;

pub use answer::{Answered, CREDENTIAL_VALIDITY};
pub use channel::{ANSWER_KIND, ANSWER_LEN, REQUEST_KIND, REQUEST_LEN};
pub use desk::{
    DEFAULT_INVITATION_LIFETIME, Desk, Invite, Invited, MAX_INVITATION_LIFETIME, Member, MemberState,
};
pub use enrolment::{EnrolError, Enrolment, PendingEnrolment, request};
pub use error::{AdminError, OrgError};
pub use found::{CLOCK_TOLERANCE, ISSUER_VALIDITY, NewOrganisation, found};
pub use keys::{AdminKeys, DeskKeys, IssuerKey, Root};
pub use link::{InvitationLink, LINK_PREFIX, LinkError, MAX_LINK_LEN};
