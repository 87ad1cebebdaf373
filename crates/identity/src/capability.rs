//! What an issuer or a device may do.

/// A set of capabilities. Bits 0 to 7 belong to issuers, bits 8 to 15 to devices (R-ID-5).
///
/// Bits without a name are kept and mean nothing, so that capabilities can be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capabilities(u32);

impl Capabilities {
    /// Issuer: signs device credentials, the desk's keys and directory entries.
    pub const ENROL: Self = Self(1);
    /// Issuer: ends devices and members.
    pub const OFFBOARD: Self = Self(1 << 1);
    /// Issuer: orders changes of groups.
    pub const GROUPS: Self = Self(1 << 2);
    /// Issuer: signs policy, and where the relay is.
    pub const POLICY: Self = Self(1 << 3);
    /// Issuer: signs checkpoints of the log.
    pub const LOG: Self = Self(1 << 4);
    /// Issuer: names the archive.
    pub const ARCHIVE: Self = Self(1 << 5);
    /// Device: a member's, which other members write to.
    pub const MEMBER: Self = Self(1 << 8);
    /// Device: the enrolment desk's, which answers enrolments and publishes the directory at the relay.
    pub const DESK: Self = Self(1 << 9);

    /// Device: a guest's, who reaches and is reached by the members that its directory entry names, and holds no key of
    /// the directory. Instead of MEMBER.
    pub const GUEST: Self = Self(1 << 10);
    /// Device: a program's, not a person's; with MEMBER, or with GUEST.
    pub const BOT: Self = Self(1 << 11);

    /// The bits that only issuers may have.
    const ISSUER_BITS: u32 = 0xFF;
    /// The bits that only devices may have.
    const DEVICE_BITS: u32 = 0xFF00;

    /// Reads a set from its bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether everything in `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns what is in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the set is an issuer's: something of issuers, nothing of devices.
    pub(crate) const fn suit_issuer(self) -> bool {
        self.0 & Self::ISSUER_BITS != 0 && self.0 & Self::DEVICE_BITS == 0
    }

    /// Whether the set is a device's: something of devices, nothing of issuers.
    pub(crate) const fn suit_device(self) -> bool {
        self.0 & Self::DEVICE_BITS != 0 && self.0 & Self::ISSUER_BITS == 0
    }
}
