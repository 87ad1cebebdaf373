//! Chancery: end-to-end encrypted messaging that an organisation owns.
//!
//! Two members of an organisation whose relay and enrolment desk run in the same process:
//!
//! ```
//! use chancery::{Client, Happening, read_or_create_key_file};
//! use chancery_dev::{Organisation, PATIENCE};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), chancery_dev::Error> {
//!     let acme = Organisation::start("Acme").await?;
//!     let bob = acme.member("bob").await?;
//!
//!     // What that did for Bob, in full: an invitation, and with it a folder of one's own, the device's home.
//!     let (home, key) = (acme.folder().join("alice"), acme.folder().join("alice.key"));
//!     let key = read_or_create_key_file(key)?;
//!     let alice = Client::enroll(&home, &key, &acme.invite("alice")?, PATIENCE).await?;
//!
//!     alice.send("bob", "Tea at four?", &[], PATIENCE).await?;
//!     bob.sync(PATIENCE).await?;
//!     for event in bob.events().await? {
//!         if let Happening::Message(message) = event.happening {
//!             assert_eq!(message.text.as_deref(), Some("Tea at four?"));
//!         }
//!         bob.take_events(event.number).await?; // shown: it does not come again
//!     }
//!     Ok(())
//! }
//! ```
//!
//! In real life these are several machines: `chancery-relay` serves the relay, `chancery org serve` the desk, and
//! [`Client::open`] opens a home that was enrolled before. The examples of this crate run, too: `two_people` sends a file
//! and follows; `echo_bot` answers and loses nothing when it is killed; `own_transport` brings a transport of its own.
//!
//! - [`Client`] is one device of a member: [`Client::enroll`] makes it and [`Client::open`] opens it;
//!   [`Client::send`], [`Client::sync`], [`Client::events`] and [`Client::history`] use it. An application that
//!   stays open awaits [`Client::follow`] in a task and reads [`Client::event_stream`]; [`Client::connection`] says how it stands to the relay.
//! - [`Client::conversations`] lists what there is, with what is unread and what was begun; [`Client::history_before`] reads a
//!   conversation from its end, [`Client::mark_read`] and [`Client::set_draft`] keep where a person is in it.
//!   [`Client::members`] is the directory.
//! - Whoever is named by a `&str` is named by handle, or by the text of a [`MemberId`].
//! - [`Client::log_status`] and [`Client::policy`] say what the organisation's log and policy allow. When it is forked, stale,
//!   rolled back or withheld, messages wait ([`Sent::waiting`]) and reading goes on. A device that the organisation has ended
//!   destroys its home: [`ErrorCode::Revoked`].
//! - [`Client::reply`], [`Client::edit`], [`Client::delete`], [`Client::react`] and [`Client::answer_form`] act on a message of a conversation or group,
//!   named by [`Message::reference`]; [`Client::send_message`] takes all that a message may have.
//! - [`Client::receipt_settings`] says what others are told of reading and writing, [`Client::disappearing`] how long what one writes stays once it
//!   was read; [`Client::typing`] and [`Client::typing_news`] are for a window that is open.
//! - [`Client::create_group`], [`Client::groups`] and [`Client::group`] lead to a [`Group`], which is changed, written to and read.
//!   Whoever the organisation ends is out of every group with the next message of anybody.
//! - [`transport::Transport`] is how an application brings a way of its own to the relay ([`Client::open_over`]).
//! - [`organisation`] founds an organisation, invites people and answers their enrolments.
//! - [`KeySource`] opens a home or an organisation: a passphrase ([`KeySource::passphrase`]), the bytes of a system's key store
//!   ([`KeySource::from_bytes`]), or a key file ([`read_or_create_key_file`], [`read_key_file`]).
//! - [`json`] is what all of this looks like to programs in other languages.
//! - [`Error`] has a stable [`ErrorCode`], and [`Error::is_retryable`] says whether waiting helps. What must wait
//!   for the relay is no error of [`Client::send`]: see [`Sent`].
//!
//! # What of policy this crate keeps, and what is left to the application
//!
//! [`Client::policy`] says what the organisation has decided. This crate keeps of it whatever needs nobody's help: messages older than
//! `retention`, or read longer ago than `disappearing`, are deleted; beyond `max_offline` nothing stored is shown until the relay was
//! reached; receipts and typing that policy forbids are not sent; with `may_save_attachments` false, [`Client::save_attachment`]
//! and [`Client::save_attachment_as`] fail; a log that is stale, forked or withheld keeps everything from being sent.
//!
//! What has left this crate, nothing of it can be kept on: texts and pictures that are on a screen or in a clipboard, and bytes of
//! [`Client::read_attachment`]. An application that honours `may_save_attachments` writes no such bytes outside itself and offers no way to; one
//! that honours `may_export` (the crate exports nothing) copies no histories out; one that honours deletion takes from its screen, its
//! notifications and its own index what [`Happening::Gone`] and [`Happening::MessageChanged`] name.
//!
//! # Words
//!
//! *Patience* is how long a call waits, not how long a message is tried: what was stored goes on waiting, 30 days at most, and the
//! call says that it is *queued*. An *event's number* counts what happened on this device, for [`Client::take_events`]; a *position* counts
//! the entries of one conversation, for [`Client::mark_read`]: never the one for the other. `R-ENGINE-79` and the like name sentences of
//! `docs/PROTOCOL.md`.
//!
//! What this crate does not do: it runs nothing in the background unless [`Client::follow`] is awaited, has no
//! global state, and brings no runtime of its own; calls are made from a `tokio` runtime with time and I/O
//! enabled, of one thread or several: every future is `Send`. [`Client::open`] and the calls of [`organisation`]
//! that are not `async` work on the calling thread; with a passphrase this takes some tens of milliseconds.
//!
//! Source: `docs/PROTOCOL.md`.

#[cfg(doctest)]
#[allow(rustdoc::invalid_codeblock_attributes, reason = "they say who runs what is no Rust")]
#[doc = include_str!("../../../README.md")]
mod readme {}

mod acting;
mod attachment;
mod checkpoint;
mod client;
mod clock;
mod closing;
mod code;
mod connection;
mod connection_state;
mod conversation;
mod delivery;
mod devices;
mod enroll;
mod errand;
mod error;
mod event_stream;
mod following;
mod group;
mod hearing;
mod holds;
mod home;
pub mod json;
mod key;
mod letters;
mod log;
mod mailbox;
mod message;
mod monitor;
pub mod organisation;
mod outbox;
mod readers;
mod reading;
mod receipts;
mod relays;
mod replay;
mod saving;
mod sending;
pub mod transport;
mod worker;

pub use acting::{
    Answer, FieldKind, Form, FormField, Mention, MessageRef, Outgoing, OutgoingFile, Quote, Reaction,
};
pub use attachment::{Direction, Progress, ProgressFn};
pub use chancery_crypto::secret::{Secret, SecretBytes};
pub use chancery_engine::{
    ActKind, ChangeKind, GroupFork, GroupPhase, GroupSummary, LogState, LogStatus, MEMBERS_AT_ONCE, Member,
    MessageState, Page, ReceiptSettings, WhyFailed,
};
pub use chancery_group::{Info as GroupInfo, Posting, Role as GroupRole};
pub use chancery_identity::{DeviceId, DisplayName, Kind, MemberId, OrgId, Policy, Receipts};
pub use chancery_store::KeySource;
pub use chancery_wire::Timestamp;
pub use client::{Client, Me};
pub use connection_state::Connection;
pub use conversation::{Conversation, ConversationKind, HistoryEntry, LastEntry};
pub use delivery::Delivery;
pub use devices::{NewDeviceLink, OwnDevice};
pub use enroll::is_device_link;
pub use error::{Error, ErrorCode, ErrorKind};
pub use event_stream::EventStream;
pub use group::{Group, GroupAct, GroupDone, GroupEntry, GroupName, GroupState, Participant, Person};
pub use key::{read_key_file, read_or_create_key_file};
pub use letters::Unaddressed;
pub use message::{Event, FileInfo, Happening, Message, WaitingFile};
pub use readers::Reader;
pub use receipts::{MessageReceipt, Typing};
pub use replay::LogLine;
pub use sending::{Sent, Waiting};
