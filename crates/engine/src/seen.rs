//! Envelopes that have been handled: a second delivery of the same bytes is acknowledged and nothing else.

use chancery_crypto::hash::hash16;
use chancery_crypto::label;
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::queue::Queue;
use crate::tables::{SEEN, SEEN_QUEUE, key};

/// Envelopes remembered: 8,192. Far more than a relay pushes unacknowledged (64), so that a connection lost
/// before the acknowledgement never shows as an undecryptable message; 24 bytes each (R-ENGINE-5).
const MAX_SEEN: u64 = 8192;

/// Returns the fingerprint of an envelope.
pub(crate) fn fingerprint(envelope: &[u8]) -> [u8; 16] {
    hash16(label::HASH_ENVELOPE, &[envelope])
}

/// Whether this envelope was handled before.
pub(crate) fn is_seen(records: &dyn Records, fingerprint: &[u8; 16]) -> Result<bool, EngineError> {
    Ok(records.get(&key(SEEN, &[fingerprint]))?.is_some())
}

/// Remembers an envelope, forgetting the oldest beyond [`MAX_SEEN`].
pub(crate) fn remember(records: &mut Overlay<'_>, fingerprint: &[u8; 16]) -> Result<(), EngineError> {
    records.put(key(SEEN, &[fingerprint]), [].into());
    let queue = Queue::new(SEEN_QUEUE, b"");
    if let Some(oldest) = queue.push_bounded(records, fingerprint.to_vec(), MAX_SEEN)? {
        records.delete(key(SEEN, &[&oldest]));
    }
    Ok(())
}
