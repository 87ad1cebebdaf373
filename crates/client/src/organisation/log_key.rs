//! The key with which a relay signs the organisation's log: fetched from the relay, to be signed into the record of
//! where it is.

use std::path::Path;

use chancery_crypto::hash::sha256;
use chancery_crypto::signature::VerifyingKey;
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{GetLogKey, client_frame, relay_frame};

use super::Folder;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};

/// The key that verifies what a relay signs of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogKey(pub(super) VerifyingKey);

impl LogKey {
    /// Returns the SHA-256 of the key, as the relay prints it when it is ready.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash_of(&self.0)
    }
}

pub(super) fn hash_of(key: &VerifyingKey) -> [u8; 32] {
    sha256(&[key.as_bytes()])
}

/// Asks the relay at `url`, known by its pin, for the key that signs the log of the organisation in `dir`
/// (R-RELAY-54). With `expected`, the hash that the relay has printed, no other key is taken.
///
/// # Errors
///
/// [`ErrorCode::RelayUnreachable`]: start the relay first. [`ErrorCode::WrongLogKey`]: compare the hash with what the
/// relay prints. [`ErrorCode::WrongRelay`]: compare the pin. [`ErrorCode::WrongOrganisation`]: it is another's relay.
pub async fn fetch_log_key(
    dir: &Path,
    url: &str,
    pin: &[u8; 32],
    expected: Option<&[u8; 32]>,
) -> Result<LogKey, Error> {
    let org = Folder::new(dir).organisation()?.id();
    let connector = WsConnector::new(url, *pin).map_err(|_| ErrorCode::RelayUrl)?;
    let (connection, _pushes) = Connection::open(&connector, &org).await.map_err(start_it_first)?;
    let asked = client_frame::Body::GetLogKey(GetLogKey {});
    let relay_frame::Body::LogKey(answer) = connection.request(asked).await.map_err(start_it_first)? else {
        return Err(ErrorCode::RelayProtocol.into());
    };
    let key = LogKey(VerifyingKey::from_bytes(&answer.key).map_err(|_| ErrorCode::RelayProtocol)?);
    match expected {
        Some(expected) if key.hash() != *expected => Err(ErrorCode::WrongLogKey.into()),
        _ => Ok(key),
    }
}

fn start_it_first(error: Error) -> Error {
    match error.code() {
        ErrorCode::RelayUnreachable => {
            Error::with(ErrorCode::RelayUnreachable, "start it first, then record it")
        }
        _ => error,
    }
}
