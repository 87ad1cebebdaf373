//! The organisation's authority: founding, invitations, and the enrolment of devices. Pure state machines.
//!
//! ```
//! use std::collections::BTreeMap;
//! use chancery_crypto::{rng::seeded, signature::SigningKey};
//! use chancery_identity::{DeviceKeys, DisplayName, Handle, Organisation};
//! use chancery_org::{DEFAULT_INVITATION_LIFETIME, Desk, Invite, RelayPlace, Terms, found, request};
//! use chancery_wire::{Timestamp, Unverified};
//!
//! let (now, mut rng) = (Timestamp::from_millis(1_700_000_000_000), seeded([1; 32]));
//! let acme = found(&DisplayName::parse("Acme")?, now, &mut rng);
//! let public = Organisation::verify(Unverified::new(acme.public), None)?;
//! let log_key = SigningKey::generate(&mut rng);
//! let place =
//!     RelayPlace { url: "wss://relay.example:443", pin: &[9; 32], log_key: log_key.verifying_key() };
//! let public = acme.admin.record_relay(&public, place, &mut rng)?;
//! let public = Organisation::verify(Unverified::new(public), None)?;
//! let mut records: BTreeMap<_, _> = acme.records.into_iter().filter_map(|(k, v)| Some((k, v?))).collect();
//!
//! let desk = Desk::new(acme.desk, public.clone(), now)?;
//! let (handle, relay) = (Handle::parse("alice")?, public.relay().ok_or("no relay")?);
//! let (terms, lifetime) = (Terms::default(), DEFAULT_INVITATION_LIFETIME);
//! let invite = Invite { handle: &handle, name: &(&handle).into(), relay, lifetime, terms };
//! let invited = desk.invite(&records, invite, now, &mut rng)?;
//! records.extend(invited.batch.into_iter().filter_map(|(k, v)| Some((k, v?))));
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
mod audit;
mod ceremony;
mod channel;
mod desk;
mod device_link;
mod devices;
mod dropping;
mod ended;
mod enrolment;
mod error;
mod found;
mod group_order;
mod guests;
mod kept_log;
mod keys;
mod link;
mod log_view;
mod offboard;
mod order;
mod places;
mod policy;
mod publication;
mod queue;
mod refusal;
mod removal;
mod root_share;
mod standing;
mod state;
mod tree;

#[cfg(test)]
mod tests;

pub use answer::{Answered, CREDENTIAL_VALIDITY};
pub use audit::{Act, ActFault, MAX_ACT_TEXT, RecordedAct};
pub use ceremony::{
    Ceremony, IssuerInfo, Unfinished, capability_names, finished, former_desk, parse_capabilities,
    sole_capabilities, unfinished,
};
pub use channel::{ANSWER_KIND, ANSWER_LEN, ORDER_KIND, ORDER_LEN, REQUEST_KIND, REQUEST_LEN};
pub use desk::{
    DEFAULT_INVITATION_LIFETIME, Desk, Invite, Invited, MAX_INVITATION_LIFETIME, Member, MemberState,
};
pub use device_link::{DEVICE_LINK_LIFETIME, DeviceLink, LINK_REQUEST_KIND, LINK_REQUEST_LEN, LinkRequest};
pub use devices::{CarriedOut, Reply};
pub use ended::ConfirmedEnd;
pub use enrolment::{EnrolError, Enrolment, PendingEnrolment, request, request_by_link};
pub use error::{AdminError, OrgError};
pub use found::{CLOCK_TOLERANCE, ISSUER_VALIDITY, NewOrganisation, found};
pub use group_order::GroupOrdered;
pub use guests::{DEFAULT_LIMITED_VALIDITY, DirectoryAccess, Issued, MAX_LIMITED, Terms};
pub use kept_log::KeptLog;
pub use keys::{AdminKeys, DeskKeys, IssuerKey, RelayPlace, Root};
pub use link::{InvitationLink, LINK_PREFIX, Link, LinkError, MAX_LINK_LEN};
pub use log_view::LogView;
pub use offboard::{OffboardingPlan, OffboardingReport, OffboardingStep};
pub use order::{ORDER_LIFETIME, OrderError, Orderer, PendingOrder, approve, remove};
pub use queue::{Entered, Queued};
pub use removal::Removed;
pub use root_share::{RootShare, SHARE_LEN, SHARE_PREFIX, ShareError, join_root_key, split_root_key};
pub use standing::Standing;
pub use tree::DirectoryKeys;
