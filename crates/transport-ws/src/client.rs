//! The client's side: a URL and a pin become a link.

use std::{io, sync::Arc, time::Duration};

use chancery_transport::{BoxFuture, ConnectError, Connector, Link};
use rustls::{CertificateError, ClientConfig, pki_types::ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, TlsStream};
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, http::Uri},
};

use crate::{link::WsLink, socket, tls};

/// From the name to the finished WebSocket, all attempts at addresses together (R-TRANSPORT-6).
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest URL that is taken: it must fit into an invitation that a camera can read.
const MAX_URL: usize = 256;

/// Where a URL without a port points to.
const DEFAULT_PORT: u16 = 443;

/// Connects to the relay at one URL that has one key.
#[derive(Debug, Clone)]
pub struct WsConnector {
    url: Uri,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

/// The address is not of the form `wss://host[:port][/path]` or longer than 256 bytes. Ask for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a wss:// address of a relay")]
pub struct InvalidUrl;

impl WsConnector {
    /// Prepares connections to `url`, `wss://host[:port][/path]`, whose server must show the key with `pin`,
    /// the SHA-256 of its `SubjectPublicKeyInfo` (R-TRANSPORT-1, R-TRANSPORT-5). Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] for every other form: plain `ws`, user names, queries and fragments are not taken.
    pub fn new(url: &str, pin: [u8; 32]) -> Result<Self, InvalidUrl> {
        if url.len() > MAX_URL || url.contains(['#', '?', '@']) {
            return Err(InvalidUrl);
        }
        let url: Uri = url.parse().map_err(|_| InvalidUrl)?;
        if url.scheme_str() != Some("wss") {
            return Err(InvalidUrl);
        }
        let authority = url.authority().ok_or(InvalidUrl)?;
        // `Authority::port` takes a port that is no number for none.
        let port = match authority.as_str().strip_prefix(authority.host()).ok_or(InvalidUrl)? {
            "" => DEFAULT_PORT,
            port => port.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(InvalidUrl)?,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| InvalidUrl)?;
        let tls = tls::client_config(pin).map_err(|_| InvalidUrl)?;
        Ok(Self { url, host, port, name, tls: Arc::new(tls) })
    }

    async fn establish(&self) -> Result<WsLink, ConnectError> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|_| ConnectError::Unreachable)?;
        // Without it a small frame may wait for the acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|_| ConnectError::Unreachable)?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let stream = connector.connect(self.name.clone(), stream).await.map_err(|error| tls_error(&error))?;
        let stream = TlsStream::Client(stream);
        let (stream, _) = client_async_with_config(&self.url, stream, Some(socket::config()))
            .await
            .map_err(|error| upgrade_error(&error))?;
        Ok(WsLink::new(stream))
    }
}

impl Connector for WsConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        Box::pin(async {
            let link =
                timeout(CONNECT_TIMEOUT, self.establish()).await.map_err(|_| ConnectError::Timeout)??;
            Ok(Box::new(link) as Box<dyn Link>)
        })
    }
}

/// Tells a foreign key, or a certificate that was shown without its key, from a server that speaks no TLS 1.3 and from a connection that broke.
fn tls_error(error: &io::Error) -> ConnectError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        None => ConnectError::Unreachable,
        Some(rustls::Error::InvalidCertificate(
            CertificateError::ApplicationVerificationFailure | CertificateError::BadSignature,
        )) => ConnectError::WrongPin,
        Some(_) => ConnectError::Protocol,
    }
}

/// Tells a server that answers something else from one that went away in the middle, as one that restarts does.
const fn upgrade_error(error: &tungstenite::Error) -> ConnectError {
    use tungstenite::{Error, error::ProtocolError};
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::ConnectionClosed
        | Error::Protocol(ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake) => {
            ConnectError::Unreachable
        }
        _ => ConnectError::Protocol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-TRANSPORT-1.
    #[test]
    fn only_plain_wss_addresses_are_taken() {
        for good in
            ["wss://relay.example", "wss://relay.example:8443/chancery", "wss://127.0.0.1:1", "wss://[::1]:9"]
        {
            assert!(WsConnector::new(good, [0; 32]).is_ok(), "{good}");
        }
        let long = format!("wss://relay.example/{}", "a".repeat(256));
        for bad in [
            "",
            "relay.example",
            "ws://relay.example",
            "https://relay.example",
            "wss://",
            "wss://user@relay.example",
            "wss://relay.example/?q",
            "wss://relay.example/#f",
            "wss://relay.example:99999",
            "wss://relay.example:",
            &long,
        ] {
            assert_eq!(WsConnector::new(bad, [0; 32]).err(), Some(InvalidUrl), "{bad}");
        }
    }

    #[test]
    fn the_port_defaults_to_that_of_https() {
        let connector = WsConnector::new("wss://relay.example", [0; 32]).unwrap();
        assert_eq!((connector.host.as_str(), connector.port), ("relay.example", 443));
        assert_eq!(WsConnector::new("wss://[::1]:9", [0; 32]).unwrap().host, "::1");
    }
}
