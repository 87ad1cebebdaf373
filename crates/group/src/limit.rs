//! What a group may hold, and why (R-GROUP-1, -3, -6).

/// Most slots that may be taken: 10,000 devices. Regrowing a group of that size costs its author as many sessions.
pub const MAX_DEVICES: u32 = 10_000;
/// Most slots of one member: as many devices as a member may have.
pub const MAX_DEVICES_OF_MEMBER: usize = chancery_identity::MAX_DEVICES;
/// Most changes of a commit: an import of 10,000 devices is twenty commits, and the boxes of one
/// that is scattered all over the tree (150 KiB) fit into a slot of the relay.
pub const MAX_CHANGES: usize = 500;
/// Epochs that a welcome may lead a device on at once: a commit every five minutes for almost ten years. More is made up.
pub const MAX_EPOCHS_AHEAD: u64 = 1_000_000;
/// Highest epoch: no group gets there, and what counts on from it neither overflows nor leaves the signed numbers of stores.
pub const MAX_EPOCH: u64 = 1 << 62;
/// Longest encoded commit, in bytes: what a slot of the relay holds beside what seals it.
pub const MAX_COMMIT_LEN: usize = crate::MAX_SLOT_CONTENT - crate::slot::AROUND;
/// Longest encoded `GroupInfo`, in bytes: four times what a name of 128 characters and the numbers take; every commit
/// hashes it.
pub const MAX_INFO_LEN: usize = 2_560;
/// Most messages that a joiner is sent again.
pub const MAX_HISTORY: u32 = 100;
/// Issuers' orders that are remembered until they expire, so that none is carried out twice. More at a time than people
/// sign; the list is part of every roster.
pub const MAX_ORDERS: usize = 64;
/// How far ahead of the log an order may expire, in milliseconds: 30 days.
pub const MAX_ORDER_SPAN: u64 = 30 * 24 * 60 * 60 * 1000;
