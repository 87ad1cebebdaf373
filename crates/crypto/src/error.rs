//! The two things that can go wrong with bytes from outside.

/// A public key that the suite refuses: wrong length, not canonical, of small order, or out of range.
///
/// The peer is at fault; drop whatever carried the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("public key is not a valid member of the suite")]
pub struct InvalidKey;

/// Bytes that do not authenticate: forged, damaged, or meant for another key.
///
/// Deliberately without detail, because everything that depends on a secret fails alike (R-CRYPTO-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not authentic")]
pub struct NotAuthentic;
