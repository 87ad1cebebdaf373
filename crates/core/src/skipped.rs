//! MKSKIPPED: keys of messages that were passed over, by tag.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_wire::Timestamp;

use crate::message_key::MessageKey;
use crate::tag::Tag;

/// The most messages that one jump may pass over.
///
/// 1,000: a longer gap is more likely an attack than a delay, and each costs five HMACs and an HKDF (Double
/// Ratchet, section 2.6).
pub const MAX_SKIP: u32 = 1000;
/// The most keys of passed-over messages that a session keeps; the oldest go first.
///
/// 2,000: two jumps of the greatest length, about 130 KiB of a record.
pub const MAX_SKIPPED: usize = 2000;
/// How long the key of a passed-over message is kept.
///
/// 30 days: half of what a relay keeps an envelope for at most; a key that is never used must not lie around
/// for ever (Double Ratchet, section 8.4).
pub const SKIPPED_KEY_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The key of a message that was passed over.
#[derive(Debug)]
pub(crate) struct SkippedKey {
    pub(crate) tag: Tag,
    pub(crate) message_key: MessageKey,
    /// Of the post-quantum ratchet: what the message carries belongs to the epoch after it.
    pub(crate) epoch: u32,
    pub(crate) stored_at: Timestamp,
}

impl SkippedKey {
    fn is_expired(&self, now: Timestamp) -> bool {
        now.since(self.stored_at) >= SKIPPED_KEY_LIFETIME
    }
}

/// Skipped keys, oldest first.
///
/// A queue and not a map: it keeps the order of eviction, and comparing 2,000 tags costs less than one
/// step of a chain.
#[derive(Debug, Default)]
pub(crate) struct SkippedKeys(VecDeque<SkippedKey>);

impl SkippedKeys {
    /// Rebuilds the store; `None` for more than [`MAX_SKIPPED`] keys.
    pub(crate) fn from_oldest_first(keys: Vec<SkippedKey>) -> Option<Self> {
        (keys.len() <= MAX_SKIPPED).then(|| Self(keys.into()))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &SkippedKey> {
        self.0.iter()
    }

    /// Finds the key for `tag`, unless its time is over (R-RATCHET-11).
    pub(crate) fn find(&self, tag: &Tag, now: Timestamp) -> Option<&SkippedKey> {
        self.0.iter().find(|key| key.tag == *tag).filter(|key| !key.is_expired(now))
    }

    /// Removes the key for `tag`, after its message authenticated.
    pub(crate) fn remove(&mut self, tag: &Tag) {
        self.0.retain(|key| key.tag != *tag);
    }

    /// Drops what has expired; returns the tags.
    pub(crate) fn expire(&mut self, now: Timestamp) -> Vec<Tag> {
        let expired = self.0.iter().filter(|key| key.is_expired(now)).map(|key| key.tag).collect();
        self.0.retain(|key| !key.is_expired(now));
        expired
    }

    /// Stores keys, in the order of their numbers; returns the tags of the oldest, which made room.
    pub(crate) fn store(&mut self, keys: Vec<SkippedKey>) -> Vec<Tag> {
        self.0.extend(keys);
        let surplus = self.0.len().saturating_sub(MAX_SKIPPED);
        self.0.drain(..surplus).map(|key| key.tag).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::secret::Secret;

    fn key(n: u16, at: u64) -> SkippedKey {
        let mut tag = [0; 16];
        tag[..2].copy_from_slice(&n.to_be_bytes());
        SkippedKey {
            tag: Tag::new(tag),
            message_key: MessageKey::new(Secret::from_bytes([1; 32])),
            epoch: 0,
            stored_at: Timestamp::from_millis(at),
        }
    }

    #[test]
    fn the_oldest_make_room() {
        // R-RATCHET-11
        let mut keys = SkippedKeys::default();
        assert!(keys.store((0..1999).map(|n| key(n, 0)).collect()).is_empty());
        let gone = keys.store((1999..2004).map(|n| key(n, 0)).collect());
        assert_eq!(gone, (0..4).map(|n| key(n, 0).tag).collect::<Vec<_>>());
        assert!(keys.find(&key(3, 0).tag, Timestamp::default()).is_none());
        assert!(keys.find(&key(4, 0).tag, Timestamp::default()).is_some());
        assert_eq!(keys.iter().count(), MAX_SKIPPED);
    }

    #[test]
    fn a_key_ends_after_thirty_days_and_not_before() {
        // R-RATCHET-11
        let mut keys = SkippedKeys::default();
        keys.store([key(1, 1000), key(2, 2000)].into());
        let end = Timestamp::from_millis(1000).after(SKIPPED_KEY_LIFETIME);
        let before = Timestamp::from_millis(end.as_millis() - 1);
        assert!(keys.find(&key(1, 0).tag, before).is_some());
        assert!(keys.expire(before).is_empty());
        assert!(keys.find(&key(1, 0).tag, end).is_none());
        assert_eq!(keys.expire(end), [key(1, 0).tag]);
        assert_eq!(keys.iter().count(), 1);
        // A clock that was set back ends nothing.
        assert!(keys.expire(Timestamp::default()).is_empty());
    }
}
