//! One device of a member: inputs to effects, over a store that it only reads.
//!
//! [`Engine::handle`] takes an [`Input`] and returns an [`Outcome`]: a batch to commit, then effects to carry
//! out. [`next_step`] says what the outbox needs next. [`resolve`], [`conversation`] and [`events`] read.
//!
//! What this crate does not do: it opens no socket and no file, reads no clock and draws no randomness of
//! its own; it never keeps in memory what another process may have changed.
//!
//! Source: `docs/PROTOCOL.md`, sections "Content" and "Device" (R-CONTENT, R-ENGINE).
#![no_std]

extern crate alloc;

mod addressing;
mod answer;
pub mod content;
mod device;
mod devices;
mod directory;
mod effect;
mod ending;
mod engine;
mod enrolment;
mod error;
mod files;
mod heal;
mod messages;
mod numbers;
mod peers;
mod prekeys;
mod queue;
mod receiving;
mod seen;
mod sending;
mod tables;
mod target;
mod upkeep;

pub use addressing::{Unaddressed, unaddressed};
pub use device::{Device, NewDevice};
pub use devices::waiting_devices;
pub use directory::{Member, directory_cursor, member, resolve};
pub use effect::{Draft, Effect, Input, Letter, Notice, Outcome, Step};
pub use ending::MAX_WAIT;
pub use engine::Engine;
pub use enrolment::PendingDevice;
pub use error::EngineError;
pub use files::waiting_files;
pub use heal::{
    DAMAGE_SPREAD, GAP_PATIENCE, GAP_SPREAD, HEAL_INTERVAL, MAX_ASKS, MAX_GUESSES, MAX_HEALS, PUT_OFF,
    RECENT, SEARCH_BUDGET, SUSPECT_SPREAD,
};
pub use messages::{Event, MessageState, all_events, conversation, events, message};
pub use numbers::{HELD_LIFETIME, MAX_HELD, MAX_JUMP, MAX_RANGES, MAX_RESENDS};
pub use peers::{ARCHIVED_LIFETIME, MAX_ARCHIVED, MAX_UNANSWERED, UNANSWERED_PAUSE};
pub use prekeys::ONE_TIME_PAIRS;
pub use sending::{MAX_FOR_DEVICE, next_step, waiting_uploads};
pub use upkeep::{
    ACKNOWLEDGE_AFTER, REFRESH_INTERVAL, UNACKNOWLEDGED_AFTER, UNACKNOWLEDGED_SPREAD, next_upkeep,
};
