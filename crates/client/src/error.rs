//! The error of every call: a stable code, what kind of failure it is, and whether to try again.

use chancery_engine::{EngineError, LogState};
use chancery_group::GroupError;
use chancery_store::StoreError;
use chancery_transport::{ConnectError, LinkError};
use chancery_wire::RefusalCode;
use chancery_wire::records::RecordsError;

pub use crate::code::{ErrorCode, ErrorKind};

/// Why a call failed. What was stored before stays whole; [`Error::is_retryable`] says whether waiting helps.
///
/// Programs decide by [`Error::code`]; the text is for people, in English, and may change. It may name people, groups and paths: what is
/// logged of it should be the code.
///
/// ```
/// use chancery::{Client, ErrorCode, ErrorKind, KeySource, Secret};
///
/// let key = KeySource::KeyFile(Secret::from_bytes([7; 32]));
/// let error = Client::open("no/such/home".as_ref(), &key).unwrap_err();
/// assert_eq!(error.code(), ErrorCode::StoreNotFound); // stable, as are its number and name
/// assert_eq!((error.code().number(), error.code().name()), (100, "store-not-found"));
/// assert_eq!(error.kind(), ErrorKind::NotFound); // what to do for codes of which a program knows nothing
/// assert!(!error.is_retryable()); // waiting does not help
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    detail: Option<String>,
}

impl Error {
    /// Makes an error without detail.
    #[must_use]
    pub const fn new(code: ErrorCode) -> Self {
        Self { code, detail: None }
    }

    /// Makes an error that also says what the fault lies in: a path, a name, a limit. Never a secret or content.
    #[must_use]
    pub fn with(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self { code, detail: Some(detail.into()) }
    }

    /// Returns the stable code.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns what the fault lies in, for texts of the application's own: a path, a name, a limit.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Returns the kind, which is also the command's exit code.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.code.kind()
    }

    /// Whether the same call may succeed later, once something else than the call has changed: the line, the relay, the disk, or what
    /// somebody else has yet to do. [`Client::follow`](crate::Client::follow) goes on after such an error, and only then. What is queued is
    /// sent without it; the same call again would send or sign it twice.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self.code {
            ErrorCode::Queued | ErrorCode::StatementQueued | ErrorCode::GroupQueued => false,
            // Until somebody has mended the relay.
            ErrorCode::RelayProtocol | ErrorCode::RelayRefused | ErrorCode::LogInvalid => true,
            code => matches!(code.kind(), ErrorKind::TryLater),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code.message())?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        Self::new(code)
    }
}

impl From<RecordsError> for Error {
    fn from(error: RecordsError) -> Self {
        Self::new(match error {
            RecordsError::Full => ErrorCode::DiskFull,
            RecordsError::Busy => ErrorCode::StoreBusy,
            RecordsError::Damaged => ErrorCode::StoreDamaged,
            _ => ErrorCode::StoreUnreadable,
        })
    }
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Records(cause) => cause.into(),
            EngineError::DamagedRecord => ErrorCode::StoreDamaged.into(),
            EngineError::NotEnrolled => ErrorCode::NotEnrolled.into(),
            EngineError::UnknownRecipient | EngineError::OutdatedRecipient => {
                ErrorCode::UnknownRecipient.into()
            }
            EngineError::OutOfReach => ErrorCode::OutOfReach.into(),
            EngineError::Expired => ErrorCode::CredentialExpired.into(),
            EngineError::TooLarge => ErrorCode::MessageTooLarge.into(),
            EngineError::QueueFull => ErrorCode::QueueFull.into(),
            EngineError::Log(state) => stopped(state).into(),
            EngineError::NotVouched => ErrorCode::UnloggedCredential.into(),
            EngineError::Locked => ErrorCode::StoreLocked.into(),
            EngineError::Group(cause) => group_error(cause),
            EngineError::NoGroup => ErrorCode::GroupUnknown.into(),
            EngineError::GroupForked => ErrorCode::GroupForked.into(),
            EngineError::NoMessage => ErrorCode::MessageUnknown.into(),
            EngineError::NotAuthor => ErrorCode::NotYourMessage.into(),
            EngineError::InvalidAct => ErrorCode::ActInvalid.into(),
            EngineError::Misuse(what) => Self::with(ErrorCode::Internal, what),
            _ => ErrorCode::Internal.into(),
        }
    }
}

/// Returns the error for what a group refuses.
pub(crate) fn group_error(error: GroupError) -> Error {
    match error {
        GroupError::NotAllowed => ErrorCode::GroupNotAllowed.into(),
        GroupError::Dissolved => ErrorCode::GroupDissolved.into(),
        GroupError::Redundant | GroupError::NotAMember => ErrorCode::GroupConflict.into(),
        GroupError::Limit => ErrorCode::GroupLimit.into(),
        GroupError::UnknownPolicy => ErrorCode::GroupUnknownPolicy.into(),
        GroupError::Rows(_) => ErrorCode::StoreDamaged.into(),
        error => Error::with(ErrorCode::GroupRefused, error.to_string()),
    }
}

/// Returns the code of a state of the log in which nothing is sealed.
pub(crate) const fn stopped(state: LogState) -> ErrorCode {
    match state {
        LogState::Revoked => ErrorCode::Revoked,
        LogState::Forked => ErrorCode::LogForked,
        LogState::RolledBack => ErrorCode::LogRolledBack,
        LogState::Withheld => ErrorCode::LogWithheld,
        _ => ErrorCode::LogStale,
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::NotFound => ErrorCode::StoreNotFound,
            StoreError::WrongKey => ErrorCode::WrongPassphrase,
            StoreError::NewerFormat { .. } => ErrorCode::StoreNewer,
            StoreError::Damaged => ErrorCode::StoreDamaged,
            StoreError::Full => ErrorCode::DiskFull,
            StoreError::Busy => ErrorCode::StoreBusy,
            StoreError::Exists => ErrorCode::AlreadyExists,
            StoreError::KeyFilePermissions | StoreError::KeyFileLength => ErrorCode::KeyFileUnusable,
            _ => ErrorCode::StoreUnreadable,
        };
        match code {
            ErrorCode::KeyFileUnusable | ErrorCode::StoreNewer => Self::with(code, error.to_string()),
            _ => Self::new(code),
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        Self::new(match error {
            ConnectError::WrongPin => ErrorCode::WrongRelay,
            ConnectError::Protocol => ErrorCode::RelayProtocol,
            _ => ErrorCode::RelayUnreachable,
        })
    }
}

impl From<LinkError> for Error {
    fn from(error: LinkError) -> Self {
        Self::new(match error {
            LinkError::Protocol | LinkError::TooLarge => ErrorCode::RelayProtocol,
            _ => ErrorCode::RelayUnreachable,
        })
    }
}

/// Returns the error for a refusal by the relay.
pub(crate) fn refused(code: u32) -> Error {
    Error::new(match RefusalCode::from_code(code) {
        Some(RefusalCode::NotAuthorised) => ErrorCode::RelayNotAuthorised,
        Some(RefusalCode::NotFound) => ErrorCode::RelayNotFound,
        Some(RefusalCode::WrongOrganisation) => ErrorCode::WrongOrganisation,
        Some(RefusalCode::QuotaExceeded) => ErrorCode::QuotaExceeded,
        Some(RefusalCode::RateLimited) => ErrorCode::RateLimited,
        Some(RefusalCode::TooLarge) => ErrorCode::MessageTooLarge,
        Some(RefusalCode::StorageFull) => ErrorCode::RelayFull,
        Some(RefusalCode::UnsupportedVersion) => ErrorCode::RelayVersion,
        Some(RefusalCode::Unavailable) => ErrorCode::RelayUnavailable,
        Some(RefusalCode::Token) => ErrorCode::TokenRefused,
        Some(RefusalCode::Conflict) => ErrorCode::RelayConflict,
        // A code of a later version counts as a refusal for good (R-RELAY-9).
        _ => ErrorCode::RelayRefused,
    })
}

/// Returns the error for an operation on a file that is not the store.
pub(crate) fn file(error: &std::io::Error, path: &std::path::Path) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorCode::FileNotFound,
        std::io::ErrorKind::StorageFull
        | std::io::ErrorKind::QuotaExceeded
        | std::io::ErrorKind::FileTooLarge => ErrorCode::DiskFull,
        _ => ErrorCode::FileUnreadable,
    };
    Error::with(code, path.display().to_string())
}
