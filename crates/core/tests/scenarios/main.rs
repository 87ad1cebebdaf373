//! Behaviour of the crate as its callers see it.

mod by_the_book;
mod company;
mod conversation;
mod handshake;
mod limits;
mod order;
mod tampering;
