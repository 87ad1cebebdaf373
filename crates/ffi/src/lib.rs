//! Chancery for C, and for whatever calls C: `include/chancery.h` says everything to those who use it.
//!
//! - A handle is no pointer but a number that is never used again; `registry` knows which are alive. So a handle that was freed, is
//!   of another kind or was never one gives a code and no undefined behaviour.
//! - `boundary` is around the body of every function: a panic becomes a code, and the client is of no more use.
//! - Every function is a few lines over one method of [`chancery::Client`]; what it hands out is the JSON of [`chancery::json`].
//! - Each `chancery_client` has a `tokio` runtime of its own with one worker thread (`session`).
//!
//! What this crate does not do: it knows no messages, and has no behaviour that the crate `chancery` lacks, except that it hands
//! out events one by one.
//!
//! Source: `docs/PROTOCOL.md`.
#![allow(non_camel_case_types, reason = "the types have their names in C")]
#![allow(
    clippy::missing_safety_doc,
    reason = "what callers must see to stands once, at the top of the header"
)]
#![allow(clippy::too_many_arguments, reason = "the functions have C's form of text, lists and results")]

pub mod acting;
mod bell;
mod boundary;
pub mod client;
pub mod conversation;
pub mod event;
pub mod group;
pub mod key;
pub mod library;
mod news;
pub mod organisation;
pub mod page;
pub mod receipts;
mod registry;
mod rules;
mod session;
pub mod text;
