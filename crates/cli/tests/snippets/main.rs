//! What the documents show is run: every snippet of the README and of `docs`, and the shell examples.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]

#[cfg(test)]
mod alarm;
#[cfg(test)]
mod documents;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../commands/support.rs"]
mod support;
