//! By what way a device reaches its relay: over WebSocket, or by a way of the application's own.
//!
//! A way of one's own is a [`Transport`], given to [`Client::open_over`](crate::Client::open_over) and
//! [`Client::enroll_over`](crate::Client::enroll_over): a proxy, a gateway, a line that is no network. All that the device says
//! to the relay goes through it, files as well. It carries frames and decides nothing: what they hold is encrypted and
//! signed before, so that a transport learns what the relay learns, and who talks to it.
//!
//! The example `own_transport` of this crate reaches the relay through a gateway and counts what passes.

use std::sync::Arc;

pub use chancery_transport::{
    BoxFuture, ConnectError, Connector, Link, LinkError, LinkReceiver, LinkSender, MAX_FRAME, memory,
};
use chancery_transport_ws::WsConnector;

use crate::error::{Error, ErrorCode};

/// Knows how to reach a relay that the organisation names.
pub trait Transport: Send + Sync {
    /// Returns what connects to the relay at `url`, `wss://host:port`, whose certificate's key has the SHA-256 `pin`.
    ///
    /// Called at enrolment, and by each client once for each place where the organisation says that its relay is: it may
    /// move. Whoever ends up with
    /// another key than the pinned one must say [`ConnectError::WrongPin`] and send nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RelayUrl`] if the address is none that this transport understands.
    fn connector(&self, url: &str, pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error>;
}

/// WebSocket over TLS 1.3, with the pinned key and no certificate authority: what a client uses unless told otherwise.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebSocket;

impl Transport for WebSocket {
    fn connector(&self, url: &str, pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error> {
        Ok(Arc::new(WsConnector::new(url, *pin).map_err(|_| ErrorCode::RelayUrl)?))
    }
}
