//! A whole organisation in one process: people, devices, the desk and a true relay, with a virtual clock and
//! seeded randomness. Every run of a seed is the same run.
//!
//! ```
//! use chancery_testkit::World;
//!
//! let mut world = World::new(1);
//! let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
//! world.say(alice, bob, "hello");
//! world.run();
//! assert_eq!(world.heard(bob), ["hello"]);
//! ```
//!
//! What this crate does not do: it opens no socket and no file; shells are tested where they live. It panics
//! where a simulation makes no sense any more, as a test does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "only tests use it, and a panic is how a test fails"
)]

mod acts;
mod authority;
pub mod company;
pub mod crew;
mod devices;
pub mod event;
pub mod five;
mod going;
mod groups;
mod limited;
mod line;
pub mod log;
mod person;
mod reading;
mod snapshot;
#[cfg(test)]
mod tests;
pub mod vectors;
#[cfg(test)]
mod waiting;
mod weather;
mod world;

pub use groups::GroupId;
pub use person::{Disk, Fate, PersonId, commit};
pub use snapshot::Snapshot;
pub use world::{Fault, World};
