//! A session: what two devices share once a handshake is done.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_identity::DeviceId;
use chancery_wire::Timestamp;

use crate::double_ratchet::{Bound, DoubleRatchet, Incoming};
use crate::envelope::SessionEnvelope;
use crate::padding::{BodyPlan, MAX_CONTENT, REFRESH_BUCKET};
use crate::refresh::{MAX_REFRESH_CONTENT, REFRESH_INTERVAL, Refresh};
use crate::tag::{Tag, TagChange};

/// Why a message cannot be encrypted. The session is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The content is longer than [`MAX_CONTENT`]: send it as an attachment.
    #[error("content of {len} bytes, the limit is {limit}")]
    TooLong {
        /// Length of the content, in bytes.
        len: usize,
        /// The most that fits, in bytes.
        limit: usize,
    },
    /// 2^32 − 1 messages were sent without an answer: start a new session.
    #[error("the sending chain is used up")]
    Exhausted,
}

/// Why a message is not decrypted. The session is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// Forged, damaged, a duplicate, for another session, or further ahead than [`MAX_SKIP`](crate::MAX_SKIP):
    /// drop it. If the session expected its tag, a new session may be needed.
    #[error("not authentic")]
    NotAuthentic,
}

/// A decrypted message.
#[derive(Debug)]
pub struct Decrypted {
    /// The content, without padding.
    pub plaintext: SecretBytes,
    /// What to change in an index from tags to sessions, in the same transaction as the session.
    pub tags: TagChange,
}

/// One side of a session: a Triple Ratchet with header encryption and what identifies it.
///
/// The caller stores [`Session::to_bytes`] after each successful call and *before* the message leaves the
/// device; a session that is restored from an older state must never encrypt again, because it would use a
/// key twice.
pub struct Session {
    pub(crate) id: [u8; 16],
    pub(crate) peer_device: DeviceId,
    pub(crate) associated_data: [u8; 32],
    pub(crate) ratchet: DoubleRatchet,
    /// Messages that filled their bucket, for R-ENVELOPE-6.
    pub(crate) filled: u32,
    pub(crate) refresh: Refresh,
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Session(..)")
    }
}

impl Session {
    /// Encrypts a content of at most [`MAX_CONTENT`] bytes into a session message, an envelope of kind 0x12.
    ///
    /// `rng` is drawn from when the post-quantum ratchet begins to send a key or a ciphertext, once in an epoch.
    ///
    /// # Errors
    ///
    /// [`EncryptError`]; the session is unchanged.
    pub fn encrypt(&mut self, plaintext: &[u8], rng: &mut dyn CryptoRng) -> Result<Vec<u8>, EncryptError> {
        self.encrypt_after(&[], plaintext, rng)
    }

    /// Whether the session has gone unhealed for [`REFRESH_INTERVAL`] and it is this side's turn to do something about
    /// it: then the caller sends what [`Session::refresh`] gives. To be asked now and then, and after each
    /// message that was decrypted.
    ///
    /// A session in which both sides write heals by itself and wants nothing.
    #[must_use]
    pub fn wants_refresh(&self, now: Timestamp) -> bool {
        self.wants_refresh_after(REFRESH_INTERVAL, now)
    }

    /// As [`Session::wants_refresh`], for an interval that a policy sets.
    #[must_use]
    pub fn wants_refresh_after(&self, interval: Duration, now: Timestamp) -> bool {
        self.refresh.is_due(interval, now, self.ratchet.post_quantum.is_unannounced())
    }

    /// Encrypts an empty content into a session message of 2,048 bytes, which carries what heals the session. The
    /// peer decrypts it as any other, and shows nothing.
    ///
    /// # Errors
    ///
    /// [`EncryptError::Exhausted`]; the session is unchanged.
    pub fn refresh(&mut self, now: Timestamp, rng: &mut dyn CryptoRng) -> Result<Vec<u8>, EncryptError> {
        self.refresh_with(&[], now, rng)
    }

    /// As [`Session::refresh`], with a content of at most [`MAX_REFRESH_CONTENT`] bytes that the peer is given.
    ///
    /// # Errors
    ///
    /// [`EncryptError`]; the session is unchanged.
    pub fn refresh_with(
        &mut self,
        content: &[u8],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, EncryptError> {
        if content.len() > MAX_REFRESH_CONTENT {
            return Err(EncryptError::TooLong { len: content.len(), limit: MAX_REFRESH_CONTENT });
        }
        let plan = BodyPlan::refresh(self.filled);
        let bound = Bound { associated_data: &self.associated_data, before: &[] };
        let envelope =
            self.ratchet.encrypt(bound, (content, plan.len), rng).ok_or(EncryptError::Exhausted)?;
        self.refresh.asked(now);
        Ok(envelope)
    }

    /// Decrypts a session message.
    ///
    /// The session changes only if the whole message authenticates (R-RATCHET-13); a duplicate does not. A
    /// tag outside the windows costs up to [`MAX_SKIP`](crate::MAX_SKIP) HMACs for each of two chains, so the
    /// caller looks the tag up in its index first, and asks [`Session::search`] sparingly.
    ///
    /// ```
    /// # mod company { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios/company.rs")); }
    /// # use company::{NOW, two_sessions};
    /// # let mut rng = chancery_crypto::rng::seeded([1; 32]);
    /// let (mut alice, mut bob) = two_sessions();
    /// let envelope = alice.encrypt(b"news", &mut rng)?;
    /// assert_eq!(bob.decrypt(&envelope, NOW, &mut rng)?.plaintext.expose(), b"news");
    ///
    /// let state = bob.to_bytes();
    /// assert!(bob.decrypt(&envelope, NOW, &mut rng).is_err(), "a duplicate");
    /// assert_eq!(bob.to_bytes().expose(), state.expose());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`DecryptError::NotAuthentic`]: drop the message; the session is unchanged.
    pub fn decrypt(
        &mut self,
        envelope: &[u8],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Decrypted, DecryptError> {
        let message = SessionEnvelope::parse(envelope).map_err(|_| DecryptError::NotAuthentic)?;
        let bound = Bound { associated_data: &self.associated_data, before: &[] };
        let received = self
            .ratchet
            .decrypt(&Incoming { bound, message: &message, now }, rng)
            .map_err(|_| DecryptError::NotAuthentic)?;
        let refreshing =
            envelope.len() == REFRESH_BUCKET && received.plaintext.expose().len() <= MAX_REFRESH_CONTENT;
        self.refresh.heard(now, refreshing, received.healed);
        Ok(Decrypted { plaintext: received.plaintext, tags: received.tags })
    }

    /// Drops the keys of messages that were passed over longer ago than
    /// [`SKIPPED_KEY_LIFETIME`](crate::SKIPPED_KEY_LIFETIME); to be called about once a day.
    ///
    /// Decrypting does the same; this is for a session on which nothing arrives.
    pub fn expire(&mut self, now: Timestamp) -> TagChange {
        self.ratchet.expire(now)
    }

    /// Returns all tags that are expected now, in no particular order: at most
    /// [`MAX_SKIPPED`](crate::MAX_SKIPPED) of skipped messages and [`WINDOW`](crate::WINDOW) for each of two
    /// chains.
    #[must_use]
    pub fn tags(&self) -> Vec<Tag> {
        self.ratchet.tags()
    }

    /// Whether the tag belongs to this session, up to [`MAX_SKIP`](crate::MAX_SKIP) messages ahead.
    ///
    /// For an envelope that no index knows: up to 2,002 HMACs, so the caller limits how often it asks.
    #[must_use]
    pub fn search(&self, tag: &Tag) -> bool {
        self.ratchet.knows(tag)
    }

    /// Returns the session's identifier; both sides have the same, nobody else sees it.
    #[must_use]
    pub const fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Returns the device at the other end, which is also its mailbox.
    #[must_use]
    pub const fn peer_device(&self) -> DeviceId {
        self.peer_device
    }

    /// Whether a message of the peer has been decrypted: an initiator then knows that its handshake arrived.
    #[must_use]
    pub const fn has_received(&self) -> bool {
        self.ratchet.receiving.is_some()
    }

    /// Encrypts a message that stands behind `before` in one envelope and is bound to it.
    pub(crate) fn encrypt_after(
        &mut self,
        before: &[u8],
        plaintext: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, EncryptError> {
        let too_long = EncryptError::TooLong { len: plaintext.len(), limit: MAX_CONTENT };
        let plan = BodyPlan::new(plaintext.len(), self.filled).ok_or(too_long)?;
        let bound = Bound { associated_data: &self.associated_data, before };
        let envelope =
            self.ratchet.encrypt(bound, (plaintext, plan.len), rng).ok_or(EncryptError::Exhausted)?;
        self.filled = plan.filled;
        self.refresh.sent();
        Ok(envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_impl_all!(Session: Send, Sync);
    static_assertions::assert_not_impl_any!(Session: Clone, PartialEq);
}
