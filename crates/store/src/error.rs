//! What can go wrong with a store (R-STORE-14).

use chancery_wire::records::RecordsError;

/// Why a store, key file or sealed file cannot be used. Unless a variant says otherwise, nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no file at the path; create it.
    #[error("file does not exist")]
    NotFound,
    /// There is a file at the path already, or the write-ahead log of a deleted store; open it, or choose
    /// another path.
    #[error("file exists already")]
    Exists,
    /// The passphrase or key file is not the one that the file was made with, or the file needs the other
    /// of the two; ask again.
    #[error("passphrase or key file does not open this file")]
    WrongKey,
    /// A newer version of the program wrote the file; update.
    #[error("format {found} is newer than format {supported}, the newest that is supported")]
    NewerFormat {
        /// Format of the file.
        found: u32,
        /// The newest format that this version reads.
        supported: u32,
    },
    /// The file is cut, altered, or not of this kind; restore it from a backup.
    #[error("file is damaged")]
    Damaged,
    /// The disk or quota is full; free space and try again.
    #[error("no space left on the disk")]
    Full,
    /// Others held the store for ten seconds; try again.
    #[error("the store is busy")]
    Busy,
    /// A record's name, its value or the contents of a file exceed their limit; a bug in the caller.
    #[error("record is larger than its limit")]
    TooLarge,
    /// Others than the owner may read or write the key file, or its owner is somebody else: `chmod 600` it.
    #[error("key file must belong to the user and be readable by nobody else")]
    KeyFilePermissions,
    /// A key file has exactly 32 bytes; this one has not, so it is not a key file or was cut.
    #[error("key file must have exactly 32 bytes")]
    KeyFileLength,
    /// The operating system refused to read, write or give randomness. If a commit fails with this, only
    /// reading the store again tells whether it took effect.
    #[error("file cannot be read or written")]
    Io,
}

impl StoreError {
    pub(crate) fn from_io(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound,
            std::io::ErrorKind::AlreadyExists => Self::Exists,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io,
        }
    }

    pub(crate) fn from_sqlite(error: &rusqlite::Error) -> Self {
        use rusqlite::{Error, ErrorCode, ffi};
        match error {
            Error::SqliteFailure(cause, _) => match (cause.extended_code, cause.code) {
                // The shared index is extended before the log is written; this is how a full disk shows there.
                (ffi::SQLITE_IOERR_SHMSIZE, _) | (_, ErrorCode::DiskFull) => Self::Full,
                // The end of the file lies within a page.
                (ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_DATA | ffi::SQLITE_IOERR_CORRUPTFS, _)
                | (_, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged,
                (_, ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
                _ => Self::Io,
            },
            // A value of a type that its column cannot have.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::QueryReturnedNoRows => Self::Damaged,
            _ => Self::Io,
        }
    }
}

impl From<StoreError> for RecordsError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Busy => Self::Busy,
            StoreError::Damaged | StoreError::WrongKey | StoreError::NewerFormat { .. } => Self::Damaged,
            _ => Self::Io,
        }
    }
}

impl From<RecordsError> for StoreError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Full => Self::Full,
            RecordsError::Busy => Self::Busy,
            RecordsError::Damaged => Self::Damaged,
            _ => Self::Io,
        }
    }
}
