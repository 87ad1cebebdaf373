//! The relay's side: an accepted TCP connection becomes a link.

use std::{sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_tungstenite::accept_async_with_config;

use crate::{identity::ServerIdentity, link::WsLink, socket};

/// From the TCP connection to the finished WebSocket (R-TRANSPORT-6), so that nobody holds a place by silence.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Turns TCP connections into links under one identity. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

/// Why a connection did not become a link. In every case: drop it, nobody needs to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The client took longer than 10 seconds. Drop the connection.
    #[error("the client did not finish the handshake in time")]
    Timeout,
    /// The client speaks no TLS 1.3 with the hybrid key exchange, refused the key, or left. Drop the connection.
    #[error("the tls handshake failed")]
    Tls,
    /// The client speaks TLS and then no WebSocket. Drop the connection.
    #[error("the websocket handshake failed")]
    WebSocket,
}

impl Acceptor {
    /// Returns an acceptor that shows `identity` to every client.
    #[must_use]
    pub fn new(identity: ServerIdentity) -> Self {
        Self(TlsAcceptor::from(Arc::new(identity.into_config())))
    }

    /// Does the TLS and the WebSocket handshake, 10 seconds at most. Run it in the connection's own task:
    /// the client decides how long it takes.
    ///
    /// # Errors
    ///
    /// [`AcceptError`], after which the connection is closed; the listener goes on.
    pub async fn accept(&self, stream: TcpStream) -> Result<WsLink, AcceptError> {
        timeout(ACCEPT_TIMEOUT, self.establish(stream)).await.map_err(|_| AcceptError::Timeout)?
    }

    async fn establish(&self, stream: TcpStream) -> Result<WsLink, AcceptError> {
        stream.set_nodelay(true).map_err(|_| AcceptError::Tls)?;
        let stream = self.0.accept(stream).await.map_err(|_| AcceptError::Tls)?;
        let stream = TlsStream::Server(stream);
        let stream = accept_async_with_config(stream, Some(socket::config()))
            .await
            .map_err(|_| AcceptError::WebSocket)?;
        Ok(WsLink::new(stream))
    }
}
