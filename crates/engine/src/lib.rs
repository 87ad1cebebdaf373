//! One device of a member: inputs to effects, over a store that it only reads.
//!
//! [`Engine::handle`] takes an [`Input`] and returns an [`Outcome`]: a batch to commit, then effects to carry
//! out. [`next_step`] says what the outbox needs next, and [`Engine::step_token`] with which token. [`resolve`], [`conversation`], [`conversations()`] and [`events`] read;
//! [`log_status`] says what the organisation's log lets the device do.
//!
//! What this crate does not do: it opens no socket and no file, reads no clock and draws no randomness of
//! its own; it never keeps in memory what another process may have changed.
//!
//! Source: `docs/PROTOCOL.md`, sections "Content" and "Device" (R-CONTENT, R-ENGINE).
#![no_std]

extern crate alloc;

mod addressing;
mod amend;
mod answer;
mod compose;
pub mod content;
mod conversations;
mod delivery;
mod device;
mod devices;
mod directory;
mod directory_keys;
mod effect;
mod ending;
mod engine;
mod enrolment;
mod error;
mod files;
pub mod form;
mod group;
mod guest;
mod heal;
mod log;
mod member_list;
mod messages;
mod numbers;
mod peers;
mod prekeys;
mod queue;
mod reach;
mod receipts;
mod receiving;
mod relays;
mod retention;
mod seen;
mod sending;
mod settled;
mod shown;
mod tables;
mod target;
mod upkeep;

pub use addressing::{ENROLLED_WINDOW, Unaddressed, unaddressed};
pub use amend::{ActDraft, ChangeKind, MAX_ANSWERS, MAX_EMOJI, MAX_REACTIONS, MAX_REACTIONS_OF_MEMBER};
pub use conversations::{
    ConversationSummary, conversation_summary, conversations, history_before, position_of, read_up_to,
};
pub use device::{Device, NewDevice};
pub use devices::waiting_devices;
pub use directory::{Member, directory_cursor, is_outdated, member, resolve};
pub use effect::{Composed, Draft, Effect, Input, Letter, Notice, Outcome, Place, Step};
pub use engine::Engine;
pub use enrolment::PendingDevice;
pub use error::EngineError;
pub use files::{message_of_upload, waiting_files};
pub use group::{
    ActKind, GroupDraft, GroupFork, GroupInput, GroupMember, GroupOperation, GroupOutlook, GroupPhase,
    GroupStep, GroupSummary, GroupView, group, group_act, group_history, group_summary, groups,
    next_group_care,
};
pub use guest::guest_token;
pub use log::{
    LogState, LogStatus, check_unlocked, fork_proof, has_left, is_time_due, is_upkeep_due, log_size,
    log_status, log_time, newest_note, policy, verify_revoked,
};
pub use member_list::{MEMBERS_AT_ONCE, members};
pub use messages::{Event, MessageState, Page, conversation, events, events_from, message};
pub use peers::MAX_ARCHIVED;
pub use prekeys::ONE_TIME_PAIRS;
pub use receipts::{
    MAX_RECEIPT_GROUP, MAX_RECEIPT_TARGETS, ReceiptInput, ReceiptSettings, disappearing,
    is_disappearing_time, receipt_settings,
};
pub use relays::{RelayPlace, relay_places};
pub use sending::{MAX_FOR_DEVICE, next_step, waiting_uploads};
pub use settled::{Settled, WhyFailed};
pub use shown::expires_at;
pub use target::MAX_WAIT;
pub use target::waits_for;
pub use upkeep::next_upkeep;
