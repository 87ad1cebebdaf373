//! Groups under admin control: a signed roster, a tree of symmetric keys, epochs and sender chains.
//!
//! Pure: time and randomness are arguments, and what a device keeps of a group is read through [`Rows`] and
//! changed by returning [`Changes`], so that work on a group of ten thousand touches a few dozen rows.
//!
//! Source: `docs/PROTOCOL.md`, section "Groups" (R-GROUP).
#![no_std]

extern crate alloc;

mod error;
mod node;
mod rows;
mod schedule;
mod tree;

pub use error::GroupError;
pub use node::{LEVELS, MAX_SLOTS, Node, Slot};
pub use rows::{Changes, Head, MemoryRows, RowError, Rows};
pub use schedule::{EpochKeys, EpochSecret};
pub use tree::{
    BOX_LEN, Made, Opened, PATH_LEN, Refresh, TreeContext, emptied, next_administrators_key, open_path,
    open_seed, seal_seed,
};
