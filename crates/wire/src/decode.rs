//! The one decoder.

use alloc::vec::Vec;

use prost::Message;

use crate::{Limit, Unverified};

/// Bytes that are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input is longer than the limit for its kind; drop it.
    #[error("message of {len} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the input, in bytes.
        len: usize,
        /// The limit that it exceeds, in bytes.
        limit: usize,
    },
    /// The input is cut, or not of the expected shape; drop it.
    #[error("message is malformed")]
    Malformed,
}

/// A message of `/proto`: what [`decode()`] and [`encode()`] work on.
pub trait WireMessage: Message + Default {}

impl<T: Message + Default> WireMessage for T {}

/// Reads a message.
///
/// Unknown fields are ignored, so that fields can be added (R-WIRE-2). Nothing is believed yet.
///
/// # Errors
///
/// [`DecodeError`]: drop the input; nothing was changed.
pub fn decode<T: WireMessage>(bytes: &[u8], limit: Limit) -> Result<Unverified<T>, DecodeError> {
    if bytes.len() > limit.bytes() {
        return Err(DecodeError::TooLong { len: bytes.len(), limit: limit.bytes() });
    }
    T::decode(bytes).map(Unverified::new).map_err(|_| DecodeError::Malformed)
}

/// Writes a message (R-WIRE-1): fields in the order of their numbers.
#[must_use]
pub fn encode<T: WireMessage>(message: &T) -> Vec<u8> {
    message.encode_to_vec()
}
