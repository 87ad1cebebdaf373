//! Groups under admin control: a signed roster, a tree of symmetric keys, epochs and sender chains.
//!
//! Pure: time and randomness are arguments, and what a device keeps of a group is read through [`Rows`] and
//! changed by returning [`Changes`], so that work on a group of ten thousand touches a few dozen rows.
//!
//! Source: `docs/PROTOCOL.md`, section "Groups" (R-GROUP).
#![no_std]

extern crate alloc;

mod error;
mod hand_out;
mod message;
mod node;
mod rows;
mod schedule;
mod sender;
mod slot;
mod tree;

pub use error::GroupError;
pub use hand_out::{
    Assignment, Duty, HAND_OUT_LEN, HandOutChange, HandOutContext, KIND_GROUP_HAND_OUT, MAX_HELPERS,
    SlotRange, assign, cover, dead_after, duties,
};
pub use message::{
    Found, KIND_GROUP_MESSAGE, MAX_MESSAGE_CONTENT, MAX_OLD_EPOCHS, MESSAGE_LENGTHS, MESSAGE_OVERHEAD,
    MessageEnvelope, Messages, OLD_EPOCH_MS, Tagged,
};
pub use node::{LEVELS, MAX_SLOTS, Node, Slot};
pub use rows::{Changes, Head, MemoryRows, RowError, Rows};
pub use schedule::{EpochKeys, EpochSecret};
pub use sender::{Lookup, MAX_AHEAD, MAX_SKIPPED, MAX_SKIPPED_OF_CHAIN, SenderTree};
pub use slot::{Attempt, KIND_GROUP_COMMIT, MAX_ATTEMPTS, MAX_SLOT_CONTENT, RelaySlots, SLOT_STEP};
pub use tree::{
    BOX_LEN, Made, Opened, PATH_LEN, Refresh, TreeContext, emptied, next_administrators_key, open_path,
    open_seed, seal_seed,
};
