//! Chancery: end-to-end encrypted messaging that an organisation owns.
//!
//! [`Client`] is one device of a member: [`Client::enroll`] makes it, [`Client::send`], [`Client::sync`],
//! [`Client::events`] and [`Client::history`] use it. [`organisation`] founds an organisation, invites people
//! and answers their enrolments.
//!
//! What this crate does not do: it runs nothing in the background unless [`Client::follow`] is awaited, has no
//! global state, and brings no runtime of its own; calls are made from a `tokio` runtime.
//!
//! Source: `docs/PROTOCOL.md`.

mod attachment;
mod client;
mod clock;
mod code;
mod connection;
mod devices;
mod enroll;
pub mod error;
mod home;
mod mailbox;
mod message;
pub mod organisation;
mod outbox;
mod worker;

pub use attachment::{Progress, ProgressFn};
pub use chancery_crypto::secret::SecretBytes;
pub use chancery_engine::{Member, MessageState};
pub use chancery_identity::{DeviceId, MemberId, OrgId};
pub use chancery_store::{KeySource, create_key_file, read_key_file};
pub use client::{Client, Me, Sent};
pub use devices::{NewDeviceLink, OwnDevice};
pub use enroll::is_device_link;
pub use error::{Error, ErrorCode, ErrorKind};
pub use message::{Event, FileInfo, Happening, Message, News};
