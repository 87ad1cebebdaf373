//! Why a relay does not start, or stops.

use std::io;

use chancery_identity::{IdentityError, LogError};
use chancery_relay::StartError;
use chancery_transport_ws::ServerIdentityError;

/// Why a relay does not start, or stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// `organisation.bin` cannot be read; give the directory that `org init` calls public.
    #[error("the organisation's public file cannot be read: {0}")]
    OrganisationFile(io::ErrorKind),
    /// `organisation.bin` is not an organisation's public document; export it again.
    #[error("the organisation's public file is not valid: {0}")]
    Organisation(IdentityError),
    /// Another relay uses the data directory; stop it, or give another directory.
    #[error("the data directory is in use by another relay")]
    InUse,
    /// The data belongs to another organisation; give another directory.
    #[error("the data directory belongs to another organisation")]
    OtherOrganisation,
    /// The data were written by a newer version; update.
    #[error("the data have format {found}, this version knows up to {supported}")]
    NewerFormat {
        /// The format of the data.
        found: i64,
        /// The newest format that this version knows.
        supported: i64,
    },
    /// The data directory cannot be used; look at path, permissions and disk.
    #[error("the data directory cannot be used: {0}")]
    Data(io::ErrorKind),
    /// The database cannot be opened: damaged, or no space left.
    #[error("the relay's database cannot be opened")]
    Database,
    /// The relay's certificate or key cannot be used.
    #[error("the relay's certificate cannot be used: {0}")]
    Certificate(ServerIdentityError),
    /// The data hold a log, and the key that signs it is not there. A new one would be another log's to everybody who
    /// knows the old one: put `log-key.bin` back.
    #[error("log-key.bin, the key that signs the log, is missing from the data directory")]
    LogKeyMissing,
    /// `log-key.bin` is not as it was written. Put it back from a copy.
    #[error("log-key.bin, the key that signs the log, is damaged")]
    LogKeyDamaged,
    /// `log-key.bin` can be read by others. Take that right away (mode 0600); if somebody may have read it, the log
    /// must be given another key.
    #[error("log-key.bin, the key that signs the log, is accessible to others")]
    LogKeyPermissions,
    /// The stored log is damaged, cut, or signed with another key: put database and key back from one copy.
    #[error("the stored log is not sound: {0}")]
    Log(LogError),
    /// The address cannot be listened on; choose another.
    #[error("the address cannot be listened on: {0}")]
    Listen(io::ErrorKind),
    /// The operating system gives no randomness, or no thread.
    #[error("the operating system gives no randomness or no thread")]
    System,
    /// The relay's thread ended by itself, which is a bug; start again, nothing acknowledged is lost.
    #[error("the relay ended unexpectedly")]
    Stopped,
}

impl From<ServerIdentityError> for ServerError {
    fn from(error: ServerIdentityError) -> Self {
        Self::Certificate(error)
    }
}

impl From<StartError> for ServerError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Log(cause) => Self::Log(cause),
            _ => Self::Database,
        }
    }
}
