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
    /// A key in the request is not valid or has a credential already, or an order does not make sense.
    Malformed = 4,
    /// The member has as many devices as a member may have.
    TooManyDevices = 5,
    /// The device that orders is no longer one of the member's.
    NotADevice = 6,
    /// As many members have devices as the key tree has places for.
    NoPlace = 7,
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
            5 => Some(Self::TooManyDevices),
            6 => Some(Self::NotADevice),
            7 => Some(Self::NoPlace),
            _ => None,
        }
    }
}
