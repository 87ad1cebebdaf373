//! Why a desk refuses, by number.

/// The desk's reasons; the numbers are part of the protocol (R-ORG-10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such invitation, or a proof made with another secret.
    Unknown = 1,
    /// Another device has used it.
    Used = 2,
    /// It has expired.
    Expired = 3,
    /// A key in the request is not valid.
    Malformed = 4,
}

impl Refusal {
    pub(crate) const fn number(self) -> u32 {
        self as u32
    }

    pub(crate) const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Unknown),
            2 => Some(Self::Used),
            3 => Some(Self::Expired),
            4 => Some(Self::Malformed),
            _ => None,
        }
    }
}
