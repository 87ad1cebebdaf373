//! Why a statement about an identity is not believed.

/// A statement that is not believed. Whoever made or carried it is at fault; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A field is missing, has the wrong length, stands twice, or holds a key, date or name that is not allowed;
    /// drop it.
    #[error("statement is malformed")]
    Malformed,
    /// It is of a suite that this version does not know; a newer version may read it.
    #[error("statement uses an unknown suite")]
    UnsupportedSuite,
    /// It is another organisation's; drop it, or connect to the right relay.
    #[error("statement belongs to another organisation")]
    WrongOrganisation,
    /// No issuer with this identifier is known; fetch the organisation's document anew, then drop it.
    #[error("issuer is not known")]
    UnknownIssuer,
    /// The issuer exists and may not sign this kind of statement, or not for these dates; drop it.
    #[error("issuer may not sign this")]
    NotPermitted,
    /// The signature does not verify, or the box does not open: forged or damaged; drop it.
    #[error("not authentic")]
    NotAuthentic,
    /// It becomes valid later; compare clocks.
    #[error("statement is not yet valid")]
    NotYetValid,
    /// It is no longer valid; ask the organisation for a new one.
    #[error("statement has expired")]
    Expired,
}

impl From<chancery_crypto::NotAuthentic> for IdentityError {
    fn from(_: chancery_crypto::NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}

impl From<chancery_crypto::InvalidKey> for IdentityError {
    fn from(_: chancery_crypto::InvalidKey) -> Self {
        Self::Malformed
    }
}

impl From<chancery_wire::DecodeError> for IdentityError {
    fn from(_: chancery_wire::DecodeError) -> Self {
        Self::Malformed
    }
}

/// Something that an honest log does not say. Whoever showed it is at fault; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// An entry, a statement or a note does not have its form; drop it.
    #[error("log entry is malformed")]
    Malformed,
    /// A signature does not verify, or an entry commits to something else than it shows; drop it.
    #[error("log entry is not authentic")]
    NotAuthentic,
    /// Whoever signed may not, or not any more; an issuer with the capability has to sign.
    #[error("issuer may not sign this, or no longer")]
    NotPermitted,
    /// It has been said before; nothing is left to do.
    #[error("the log says so already")]
    Duplicate,
    /// A number or a time is not above the last; sign it again with a higher one.
    #[error("log entry is out of order")]
    OutOfOrder,
    /// A named limit is reached.
    #[error("the log has too many of these")]
    TooMany,
    /// A checkpoint has a time at which no issuer of the log is valid any more; keep the one before.
    #[error("the log's time is past the end of all its issuers")]
    TooLate,
    /// The statement itself is not believed.
    #[error("{0}")]
    Statement(IdentityError),
}

impl From<IdentityError> for LogError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Malformed => Self::Malformed,
            IdentityError::NotAuthentic => Self::NotAuthentic,
            IdentityError::NotPermitted | IdentityError::UnknownIssuer => Self::NotPermitted,
            error => Self::Statement(error),
        }
    }
}

impl From<chancery_crypto::NotAuthentic> for LogError {
    fn from(_: chancery_crypto::NotAuthentic) -> Self {
        Self::NotAuthentic
    }
}
