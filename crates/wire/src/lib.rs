//! Bytes to types and back: the messages of `/proto` and the one decoder for bytes from outside.
//!
//! ```
//! use chancery_wire::{Limit, decode, encode, proto};
//!
//! let bytes = encode(&proto::Hello { version: 1, org_id: vec![7; 32] });
//! let hello: chancery_wire::Unverified<proto::Hello> = decode(&bytes, Limit::FRAME)?;
//! assert_eq!(hello.unchecked().version, 1);
//! # Ok::<(), chancery_wire::DecodeError>(())
//! ```
//!
//! What comes out of [`decode()`] is [`Unverified`]: well formed, and believed by nobody until the crate that
//! owns the type has checked it. [`records`] holds the contract between state machines and a store.
//!
//! Source: `docs/PROTOCOL.md`, sections "Encoding" and "Limits" (R-WIRE).
#![no_std]

extern crate alloc;

mod decode;
mod limit;
pub mod records;
mod refusal;
mod secret_debug;
mod timestamp;
mod unverified;

pub use decode::{DecodeError, WireMessage, decode, encode};
pub use limit::Limit;
pub use refusal::RefusalCode;
pub use timestamp::Timestamp;
pub use unverified::Unverified;

/// The messages of `/proto`, generated; each field is described there.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::restriction,
    reason = "generated from /proto, where the documentation is"
)]
pub mod proto {
    include!(concat!(env!("OUT_DIR"), "/chancery.v1.rs"));
}
