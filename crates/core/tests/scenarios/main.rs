//! Behaviour of the crate as its callers see it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test that goes wrong may panic"
)]

mod by_the_book;
mod company;
mod conversation;
mod handshake;
mod healing;
mod limits;
mod order;
mod tampering;
