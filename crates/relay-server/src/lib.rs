//! The relay as a process: TLS and WebSocket in front, SQLite and files behind, the logic in between.
//!
//! ```no_run
//! use chancery_relay_server::{Config, Limits, run};
//!
//! # async fn example() -> Result<(), chancery_relay_server::ServerError> {
//! let config = Config {
//!     organisation_dir: "acme/public".into(),
//!     data: "relay-data".into(),
//!     listen: ([127, 0, 0, 1], 0).into(),
//!     certificate: None,
//!     limits: Limits::default(),
//! };
//! let shutdown = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
//! run(config, |ready| println!("listening on {}", ready.url), shutdown).await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`run`] serves one organisation until it is told to stop. Everything is kept in SQLite and files;
//! `docs/ledger.json` lists every column and file of it, and a test keeps the list complete (R-RELAY-38).
//!
//! Nothing is logged, at any level, by which a person, a device or a client could be told from another: numbers
//! of connections, counts and kinds of errors only (R-RELAY-39).
//!
//! What this crate does not do: it decides nothing. Who may do what is `chancery-relay`'s; and it can decrypt
//! nothing, because neither sessions nor stores are linked.
//!
//! Source: `docs/PROTOCOL.md`, section "Relay" (R-RELAY).

mod blob_files;
mod client;
mod clock;
mod error;
mod held;
mod log_key;
mod machine;
mod organisation;
mod outbox;
mod schema;
mod server;
mod sqlite;

#[cfg(test)]
mod tests;

pub use chancery_relay::Limits;
pub use error::ServerError;
pub use held::held_envelopes;
pub use server::{Config, Ready, run};
