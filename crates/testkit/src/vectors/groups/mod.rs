//! Groups: rosters, commits, keys, messages, contents, orders and welcomes.

use super::{Kind, Plan};

mod commits;
mod contents;
mod forged;
mod keys;
mod marks;
mod messages;
mod orders;
mod rosters;
mod state;
mod tree;
mod welcomes;

pub(super) use contents::{count, field, inner};

pub(super) const PLANS: &[Plan] = &[
    ("group-roster", rosters::drafts),
    ("group-commit", commits::drafts),
    ("group-content", contents::drafts),
    ("group-keys", keys::drafts),
    ("group-mark", marks::drafts),
    ("group-message", messages::drafts),
    ("group-order", orders::drafts),
    ("group-welcome", welcomes::drafts),
];

pub(super) const KINDS: &[&[Kind]] = &[
    rosters::KINDS,
    commits::KINDS,
    contents::KINDS,
    keys::KINDS,
    marks::KINDS,
    messages::KINDS,
    orders::KINDS,
    welcomes::KINDS,
];
