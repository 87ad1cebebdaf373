//! The longest input of each kind, checked before anything is parsed (R-WIRE-3).

/// The most bytes that a kind of message may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(usize);

impl Limit {
    /// A frame between client and relay: 512 KiB. Holds the largest prekey upload (260 KiB) and a blob part.
    pub const FRAME: Self = Self(512 * 1024);
    /// A stored envelope: 96 KiB. The largest bucket (64 KiB) after a handshake (11 KiB).
    pub const ENVELOPE: Self = Self(96 * 1024);
    /// A signed statement about an identity: 16 KiB. Three times a credential.
    pub const STATEMENT: Self = Self(16 * 1024);
    /// An organisation's public document: 320 KiB. Forty issuers and eight successors of the root.
    pub const ORGANISATION: Self = Self(320 * 1024);
    /// A prekey bundle: 32 KiB. Twice its size.
    pub const BUNDLE: Self = Self(32 * 1024);
    /// A decrypted content: 64 KiB, the largest bucket.
    pub const CONTENT: Self = Self(64 * 1024);
    /// The snapshot of a group: 1.25 MiB. The largest roster (1.05 MiB) with all its nodes dead (80 KiB).
    pub const SNAPSHOT: Self = Self(1280 * 1024);
    /// A record of the store: 1 MiB. Larger values belong into several records.
    pub const RECORD: Self = Self(1024 * 1024);

    /// Returns the limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }
}
