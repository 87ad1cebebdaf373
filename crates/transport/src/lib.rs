//! A pipe of frames between client and relay: the traits, the back-off, and a link in memory with faults.
//!
//! ```
//! use chancery_transport::{Link, memory};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! let (mut client, mut relay) = memory::pair(memory::Faults::none());
//! client.send(b"hello".to_vec()).await?;
//! assert_eq!(relay.receive().await?, Some(b"hello".to_vec()));
//! client.close().await;
//! assert_eq!(relay.receive().await?, None);
//! # Ok::<(), chancery_transport::LinkError>(())
//! # }).unwrap();
//! ```
//!
//! The main types are [`Link`], the pipe; [`Connector`], which makes one; [`Backoff`], which says how long to
//! wait before the next attempt; and [`memory::pair`], two ends in one process whose faults come from a seed.
//!
//! What this crate does not do: it opens no socket, and a frame is bytes to it. Implementations stand in
//! crates above this one.
//!
//! Source: `docs/PROTOCOL.md`, section "Transport" (R-TRANSPORT).

mod backoff;
mod link;
pub mod memory;

pub use backoff::Backoff;
pub use link::{BoxFuture, ConnectError, Connector, Link, LinkError, LinkReceiver, LinkSender, MAX_FRAME};
