//! Why a command ends other than well, and its exit code.

use chancery::{Error, ErrorCode};

/// Exit code for wrong usage (`EX_USAGE` of `sysexits.h`).
pub(crate) const USAGE: u8 = 64;

/// Why a command ends.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's reason.
    Error(Error),
    /// The message is stored and waits, for this reason.
    Queued(Error),
    /// A reason that was put into words already: by a child process, the relay's library or the argument parser.
    Reported(Report, u8),
    /// A check of the demonstration failed; it has said which.
    DemoFailed,
    /// Nobody reads stdout any more: an end, not an error.
    StdoutClosed,
}

/// An error as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry: bool,
}

impl Failure {
    /// Returns what to print, if anything.
    pub(crate) fn report(&self) -> Option<Report> {
        match self {
            Self::Error(error) | Self::Queued(error) => Some(Report {
                code: error.code().name().to_owned(),
                message: error.to_string(),
                retry: error.is_retryable(),
            }),
            Self::Reported(report, _) => Some(report.clone()),
            Self::DemoFailed | Self::StdoutClosed => None,
        }
    }

    /// Returns the process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Error(error) => error.kind() as u8,
            Self::Queued(_) => chancery::ErrorKind::TryLater as u8,
            Self::Reported(_, code) => *code,
            Self::DemoFailed => 1,
            Self::StdoutClosed => 0,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self::Error(code.into())
    }
}

/// Returns the failure for an operation of the system on `what`.
pub(crate) fn system(error: &std::io::Error, what: &str) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorCode::FileNotFound,
        std::io::ErrorKind::StorageFull => ErrorCode::DiskFull,
        _ => ErrorCode::FileUnreadable,
    };
    Error::with(code, what)
}
