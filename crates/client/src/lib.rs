//! Chancery: end-to-end encrypted messaging that an organisation owns.
//!
//! An organisation, its relay and two members in one process; in real life these are four machines:
//!
//! ```
//! use std::{future::pending, time::Duration};
//!
//! use chancery::{Client, Happening, organisation, read_or_create_key_file};
//! use chancery_relay_server::{Config, Limits, run};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let at = |name: &str| dir.path().join(name);
//! // The organisation is a folder, opened with a key. A relay gets no more of it than `acme/public`.
//! let (acme, key) = (at("acme"), read_or_create_key_file(at("acme.key"))?);
//! organisation::found(&acme, "Acme", &key)?;
//! let config = Config {
//!     organisation_dir: acme.join(organisation::PUBLIC),
//!     data: at("relay-data"),
//!     listen: ([127, 0, 0, 1], 0).into(),
//!     certificate: None,
//!     limits: Limits::default(),
//!     trust_clock: false,
//! };
//! let (tell, told) = tokio::sync::oneshot::channel();
//! tokio::spawn(run(config, |ready| tell.send(ready).unwrap_or_default(), pending()));
//!
//! // Invitations name the relay that was recorded. The desk answers whoever uses one.
//! let relay = told.await?;
//! let printed = Some(&relay.log_key);
//! let log_key = organisation::fetch_log_key(&acme, &relay.url, &relay.pin, printed).await?;
//! organisation::record_relay(&acme, &key, &relay.url, &relay.pin, &log_key)?;
//! let day = Duration::from_secs(86_400);
//! let for_alice = organisation::invite(&acme, &key, "alice", Some("Alice Liddell"), day)?;
//! let for_bob = organisation::invite(&acme, &key, "bob", None, day)?;
//! tokio::spawn(async move { organisation::serve(&acme, &key, |_| (), pending()).await });
//!
//! // Each device has a folder of its own, its home. Later, `Client::open` opens it.
//! let patience = Duration::from_secs(30);
//! let (alice_key, bob_key) =
//!     (read_or_create_key_file(at("alice.key"))?, read_or_create_key_file(at("bob.key"))?);
//! let alice = Client::enroll(&at("alice"), &alice_key, &for_alice.link, patience).await?;
//! let bob = Client::enroll(&at("bob"), &bob_key, &for_bob.link, patience).await?;
//!
//! // A message with a file: sent, received, shown, and said to be shown.
//! std::fs::write(at("notes.txt"), "Tea at four.")?;
//! alice.send("bob", "The notes", &[at("notes.txt")], patience).await?;
//! bob.sync(patience).await?;
//! for event in bob.events().await? {
//!     if let Happening::Message(message) = event.happening {
//!         assert_eq!(message.text.as_deref(), Some("The notes"));
//!         let file = bob.save_attachment(&message, 0, &at("downloads")).await?;
//!         assert_eq!(std::fs::read_to_string(file)?, "Tea at four.");
//!     }
//!     bob.take_events(event.number).await?;
//! }
//! # assert_eq!(bob.history("alice", 0).await?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! - [`Client`] is one device of a member: [`Client::enroll`] makes it and [`Client::open`] opens it;
//!   [`Client::send`], [`Client::sync`], [`Client::events`] and [`Client::history`] use it. An application that
//!   stays open awaits [`Client::follow`] in a task, and [`Client::changes`] says when there are new events.
//! - Whoever is named by a `&str` is named by handle, or by the text of a [`MemberId`].
//! - [`Client::log_status`] and [`Client::policy`] say what the organisation's log and policy allow. When it is forked, stale,
//!   rolled back or withheld, messages wait ([`Sent::waiting`]) and reading goes on. A device that the organisation has ended
//!   destroys its home: [`ErrorCode::Revoked`].
//! - [`Client::create_group`], [`Client::groups`] and [`Client::group`] lead to a [`Group`], which is changed, written to and read.
//!   Whoever the organisation ends is out of every group with the next message of anybody.
//! - [`organisation`] founds an organisation, invites people and answers their enrolments.
//! - [`KeySource`] opens a home or an organisation: a passphrase, the bytes of a system's key store
//!   ([`Secret::from_slice`]), or a key file ([`read_or_create_key_file`], [`read_key_file`]).
//! - [`Error`] has a stable [`ErrorCode`], and [`Error::is_retryable`] says whether waiting helps. What must wait
//!   for the relay is no error of [`Client::send`]: see [`Sent`].
//!
//! What this crate does not do yet: list the members, or the conversations with their last messages; read a
//! conversation from its end, or one message by its identifier; tell by an event that a message of one's own was sent or
//! failed.
//!
//! What this crate does not do: it runs nothing in the background unless [`Client::follow`] is awaited, has no
//! global state, and brings no runtime of its own; calls are made from a `tokio` runtime with time and I/O
//! enabled. [`Client::open`] and the calls of [`organisation`] that are not `async` work on the calling thread;
//! with a passphrase this takes some tens of milliseconds.
//!
//! Source: `docs/PROTOCOL.md`.

mod attachment;
mod checkpoint;
mod client;
mod clock;
mod code;
mod connection;
mod devices;
mod enroll;
mod errand;
mod error;
mod following;
mod group;
mod holds;
mod home;
mod key;
mod log;
mod mailbox;
mod message;
mod monitor;
pub mod organisation;
mod outbox;
mod reading;
mod receipts;
mod relays;
mod replay;
mod sending;
mod worker;

pub use attachment::{Progress, ProgressFn};
pub use chancery_crypto::secret::{Secret, SecretBytes};
pub use chancery_engine::{
    ActKind, GroupFork, GroupPhase, GroupSummary, LogState, LogStatus, Member, MessageState, Page,
    ReceiptSettings,
};
pub use chancery_group::{Info as GroupInfo, Posting, Role as GroupRole};
pub use chancery_identity::{DeviceId, DisplayName, Kind, MemberId, OrgId, Policy, Receipts};
pub use chancery_store::KeySource;
pub use chancery_wire::Timestamp;
pub use client::{Client, Me};
pub use devices::{NewDeviceLink, OwnDevice};
pub use enroll::is_device_link;
pub use error::{Error, ErrorCode, ErrorKind};
pub use group::{Group, GroupAct, GroupDone, GroupEntry, GroupName, GroupState, Participant, Person};
pub use key::{read_key_file, read_or_create_key_file};
pub use message::{Event, FileInfo, Happening, Message, WaitingFile};
pub use receipts::{MessageReceipt, Typing};
pub use replay::LogLine;
pub use sending::Sent;
