//! Why a relay refuses a request.

/// The code of a `Refused` frame; the numbers never change (R-RELAY-9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum RefusalCode {
    /// The frame is malformed, or out of place on this connection; do not repeat it.
    BadRequest = 1,
    /// The caller may not do this: failed login, wrong kind of connection, missing capability.
    NotAuthorised = 2,
    /// There is no such mailbox, device, blob or document.
    NotFound = 3,
    /// The relay serves another organisation; connect elsewhere.
    WrongOrganisation = 4,
    /// A quota is used up: mailbox or blobs; try again once the other side has read or time has passed.
    QuotaExceeded = 5,
    /// Too many requests; repeat after the time named in the frame.
    RateLimited = 6,
    /// The frame or a part of it is longer than allowed; do not repeat it.
    TooLarge = 7,
    /// The relay's disk is full; repeat later.
    StorageFull = 8,
    /// The relay does not speak this version; update.
    UnsupportedVersion = 9,
    /// The relay cannot answer just now; repeat after the time named in the frame.
    Unavailable = 10,
    /// The state is not the one that the request assumes: blob offset or completeness, prekey sequence,
    /// version of an entry or record; ask for the state and go on from there.
    Conflict = 11,
    /// The delivery token is not the one that the relay takes now; synchronise the directory, and repeat with the new one.
    Token = 12,
}

impl RefusalCode {
    /// Returns the number that a `Refused` frame carries.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Reads a number; `None` for one that this version does not know, which is treated as a refusal
    /// that is not to be repeated.
    #[must_use]
    pub const fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            1 => Self::BadRequest,
            2 => Self::NotAuthorised,
            3 => Self::NotFound,
            4 => Self::WrongOrganisation,
            5 => Self::QuotaExceeded,
            6 => Self::RateLimited,
            7 => Self::TooLarge,
            8 => Self::StorageFull,
            9 => Self::UnsupportedVersion,
            10 => Self::Unavailable,
            11 => Self::Conflict,
            12 => Self::Token,
            _ => return None,
        })
    }
}

impl core::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BadRequest => "bad-request",
            Self::NotAuthorised => "not-authorised",
            Self::NotFound => "not-found",
            Self::WrongOrganisation => "wrong-organisation",
            Self::QuotaExceeded => "quota-exceeded",
            Self::RateLimited => "rate-limited",
            Self::TooLarge => "too-large",
            Self::StorageFull => "storage-full",
            Self::UnsupportedVersion => "unsupported-version",
            Self::Unavailable => "unavailable",
            Self::Conflict => "conflict",
            Self::Token => "token",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_others_are_unknown() {
        for code in 1..=12 {
            assert_eq!(RefusalCode::from_code(code).unwrap().code(), code, "R-RELAY-9");
        }
        assert_eq!(RefusalCode::from_code(0), None);
        assert_eq!(RefusalCode::from_code(13), None);
    }
}
