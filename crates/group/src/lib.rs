//! Groups under admin control: a signed roster, a tree of symmetric keys, epochs and sender chains.
//!
//! Pure: time and randomness are arguments, and what a device keeps of a group is read through [`Rows`] and
//! changed by returning [`Changes`], so that work on a group of ten thousand touches a few dozen rows.
//!
//! Source: `docs/PROTOCOL.md`, section "Groups" (R-GROUP).
#![no_std]

extern crate alloc;

mod build;
mod change;
mod commit;
mod entry;
mod error;
mod hand_out;
mod info;
pub mod limit;
mod log_view;
mod mark;
mod message;
mod node;
mod order;
mod roster;
mod rows;
mod schedule;
mod sender;
mod slot;
mod slots;
mod snapshot;
mod stage;
mod tree;
mod welcome;

pub use build::{
    Author, BuiltCommit, Evictions, MAX_INLINE_SNAPSHOT, add, build, evictions, found, remove, set_info,
    set_role,
};
pub use change::{Outcome, Reason};
pub use commit::{Group, Keying, UnverifiedCommit, VerifiedCommit, epoch_of};
pub use entry::{Entry, Role};
pub use error::GroupError;
pub use hand_out::{
    Assignment, Duty, HAND_OUT_LEN, HandOutChange, HandOutContext, KIND_GROUP_HAND_OUT, MAX_HELPERS,
    SlotRange, assign, cover, dead_after, duties,
};
pub use info::{Info, Posting};
pub use log_view::{Ended, LogView};
pub use mark::{Mark, judge_mark, mark};
pub use message::{
    Found, KIND_GROUP_MESSAGE, MAX_MESSAGE_CONTENT, MAX_OLD_EPOCHS, MESSAGE_LENGTHS, MESSAGE_OVERHEAD,
    MessageEnvelope, Messages, OLD_EPOCH_MS, Tagged,
};
pub use node::{LEVELS, MAX_SLOTS, Node, Slot};
pub use order::{GroupOrder, leave, sign_order};
pub use roster::{Member, Roster};
pub use rows::{Changes, Head, MemoryRows, RowError, Rows};
pub use schedule::{EpochKeys, EpochSecret};
pub use sender::{Lookup, MAX_AHEAD, MAX_SKIPPED, MAX_SKIPPED_OF_CHAIN, SenderTree};
pub use slot::{Attempt, KIND_GROUP_COMMIT, MAX_ATTEMPTS, MAX_SLOT_CONTENT, RelaySlots, SLOT_STEP};
pub use stage::StagedCommit;
pub use tree::{
    BOX_LEN, Made, Opened, PATH_LEN, Refresh, TreeContext, emptied, next_administrators_key, open_path,
    open_seed, seal_seed,
};
pub use welcome::{JoinedGroup, Joiner, UnverifiedWelcome, adopt_tree};
