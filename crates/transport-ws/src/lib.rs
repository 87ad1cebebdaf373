//! A link over WebSocket and TLS 1.3 whose server is known by the pin of its key.
//!
//! ```
//! use chancery_transport::{Connector as _, Link as _};
//! use chancery_transport_ws::{Acceptor, ServerIdentity, WsConnector};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let directory = tempfile::tempdir()?;
//! let identity = ServerIdentity::load_or_create(directory.path())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let url = format!("wss://{}", listener.local_addr()?);
//! let connector = WsConnector::new(&url, identity.pin())?;
//! let acceptor = Acceptor::new(identity);
//!
//! let relay = async {
//!     let (stream, _) = listener.accept().await?;
//!     let mut link = acceptor.accept(stream).await?;
//!     while let Some(frame) = link.receive().await? {
//!         link.send(frame).await?;
//!     }
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! };
//! let client = async {
//!     let mut link = connector.connect().await?;
//!     link.send(b"hello".to_vec()).await?;
//!     assert_eq!(link.receive().await?, Some(b"hello".to_vec()));
//!     link.close().await;
//!     Ok(())
//! };
//! tokio::try_join!(relay, client)?;
//! # Ok::<_, Box<dyn std::error::Error>>(()) })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! The main types are [`WsConnector`] for clients, [`ServerIdentity`] and [`Acceptor`] for the relay, and
//! [`WsLink`] for both.
//!
//! What this crate does not do: it trusts no certificate authority, follows no redirect, and does not
//! reconnect. It installs nothing process-wide; the TLS provider is its own.
//!
//! Source: `docs/PROTOCOL.md`, section "Transport" (R-TRANSPORT).

mod client;
mod identity;
mod link;
mod server;
mod socket;
#[cfg(test)]
mod tests;
mod tls;

pub use client::{InvalidUrl, WsConnector};
pub use identity::{ServerIdentity, ServerIdentityError};
pub use link::WsLink;
pub use server::{AcceptError, Acceptor};
