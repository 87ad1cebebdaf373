//! Why a command ends other than well, and its exit code.

use chancery::organisation::ListFault;
use chancery::{Error, ErrorCode};
use serde_json::{Value, json};

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
    /// A list of people is wrong in these lines.
    List(Vec<ListFault>),
    /// A check of the demonstration failed; it has said which.
    DemoFailed,
    /// Nobody reads stdout any more: an end, not an error.
    StdoutClosed,
    /// A signal came while a file was being saved: an end as well.
    Stopped,
}

/// An error as it is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) retry: bool,
    /// Why a queued message waits.
    pub(crate) cause: Option<&'static str>,
}

impl Report {
    /// Puts the library's reason into words, with a hint for people at a command line.
    pub(crate) fn of(error: &Error) -> Self {
        let message = match hint(error.code()) {
            Some(hint) => format!("{error}; {hint}"),
            None => error.to_string(),
        };
        Self { code: error.code().name().to_owned(), message, retry: error.is_retryable(), cause: None }
    }

    /// Returns the object for `--json`.
    pub(crate) fn object(&self) -> Value {
        let mut object = json!({"code": self.code, "message": self.message, "retry": self.retry});
        if let (Some(cause), Some(fields)) = (self.cause, object.as_object_mut()) {
            fields.insert("cause".to_owned(), cause.into());
        }
        object
    }
}

/// Returns which command or option helps; the library knows of none.
const fn hint(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::NoPassphrase => {
            Some("use --passphrase-file, --key-file, CHANCERY_PASSPHRASE or a terminal")
        }
        ErrorCode::StoreNotFound => Some("run `chancery enroll` or `chancery org init` first"),
        ErrorCode::NotApproved => Some("approve its code, then run the same command again"),
        ErrorCode::GroupUnknown => Some("see `chancery group list`"),
        ErrorCode::GroupAmbiguous => Some("see `chancery group list`"),
        ErrorCode::GroupLeft => Some("an administrator of the group can add you again"),
        ErrorCode::RelayNotRecorded => Some("use `chancery org relay`"),
        ErrorCode::StatementRefused => {
            Some("see `chancery org log`, which can drop it, and `chancery org issuer list`")
        }
        ErrorCode::StatementQueued => {
            Some("start the relay; `chancery org serve` or `chancery org log` hands it over")
        }
        ErrorCode::DeskExpired => Some("use `chancery org desk renew` with the root's key"),
        ErrorCode::KeysNotPermitted => {
            Some("name another issuer's file with --admin; see `chancery org issuer list`")
        }
        ErrorCode::RootNotNewest => Some("bring the newest root.key with --root"),
        ErrorCode::IssuerUnknown => Some("see `chancery org issuer list`"),
        ErrorCode::IssuerInUse => Some("use `chancery org desk renew`"),
        ErrorCode::LastIssuer => Some("use `chancery org issuer add`, or --force"),
        ErrorCode::OffboardingIncomplete => {
            Some("see the report; `chancery org offboard` again signs anew what was dropped")
        }
        ErrorCode::NotOffboarded => Some(
            "what waits for the relay is handed over by `chancery org log` or the desk; look at the reasons",
        ),
        ErrorCode::LogNotBelieved => {
            Some("do not trust this relay: find out whether its data was put back from an old copy")
        }
        _ => None,
    }
}

impl Failure {
    /// Returns what to print, if anything.
    pub(crate) fn report(&self) -> Option<Report> {
        match self {
            Self::Error(error) => Some(Report::of(error)),
            // Whoever obeyed "retry" would send it twice.
            Self::Queued(cause) => {
                let queued = ErrorCode::Queued;
                let known = cause.code() != queued;
                let message = match known {
                    true => format!("{} ({cause})", queued.message()),
                    false => queued.message().to_owned(),
                };
                let cause = known.then(|| cause.code().name());
                Some(Report { code: queued.name().to_owned(), message, retry: false, cause })
            }
            Self::Reported(report, _) => Some(report.clone()),
            Self::List(_) => Some(Report::of(&ErrorCode::ListInvalid.into())),
            Self::DemoFailed | Self::StdoutClosed | Self::Stopped => None,
        }
    }

    /// Returns what is wrong in single lines of what was read.
    pub(crate) fn faults(&self) -> &[ListFault] {
        if let Self::List(faults) = self { faults } else { &[] }
    }

    /// Returns the process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Error(error) => error.kind() as u8,
            Self::Queued(_) => chancery::ErrorKind::TryLater as u8,
            Self::Reported(_, code) => *code,
            Self::List(_) => ErrorCode::ListInvalid.kind() as u8,
            Self::DemoFailed => 1,
            Self::StdoutClosed | Self::Stopped => 0,
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
