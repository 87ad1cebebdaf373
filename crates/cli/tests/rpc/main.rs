//! JSON-RPC as programs use it: processes, a real relay, and each of the four transports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]
#![cfg(unix)]

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod events;
#[cfg(test)]
mod methods;
#[cfg(test)]
mod overhead;
#[cfg(test)]
mod transports;

mod caller;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../commands/support.rs"]
mod support;
