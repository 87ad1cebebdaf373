//! When a session that says nothing must say something, so that it heals (R-RATCHET-22).

use core::time::Duration;

use chancery_wire::{Timestamp, proto};

/// How old the newest epoch may become before a session wants to be refreshed, unless a policy says otherwise.
///
/// 24 hours: a thief of a quiet session's state reads for about a day; a shorter time would wake sleeping devices more often
/// than once a day for conversations in which nobody writes.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);
/// The least time between two refreshing messages of one side that answer each other.
///
/// One minute: an epoch of a quiet session takes three of each side, so it heals within minutes, and a peer that never
/// lets an epoch end cannot make a device send more than one small message a minute.
pub const REFRESH_ANSWER_INTERVAL: Duration = Duration::from_secs(60);

/// The longest content of a refreshing message, in bytes: 64.
///
/// It holds what the caller has to say anyway; any other message with so short a content is of 512 bytes, so that
/// a refreshing message is told by its two lengths.
pub const MAX_REFRESH_CONTENT: usize = 64;

/// Whether `interval` has passed since `then`. A time that lies ahead was stored while the clock was wrong, and counts
/// as over, so that the session does not wait for it.
fn is_over(then: Timestamp, interval: Duration, now: Timestamp) -> bool {
    then > now || now.since(then) >= interval
}

/// What is known of it.
#[derive(Debug)]
pub(crate) struct Refresh {
    /// When an epoch was last ended, or the session began.
    healed_at: Timestamp,
    /// When a refreshing message was last made, 0 for never.
    asked_at: Timestamp,
    /// Whether a message has arrived since.
    heard: bool,
    /// Whether the last message either way was a refreshing one: nobody is writing.
    quiet: bool,
}

impl Refresh {
    pub(crate) const fn start(now: Timestamp) -> Self {
        Self { healed_at: now, asked_at: Timestamp::from_millis(0), heard: false, quiet: false }
    }

    /// A content was sent.
    pub(crate) const fn sent(&mut self) {
        self.quiet = false;
    }

    /// A refreshing message was sent.
    pub(crate) const fn asked(&mut self, now: Timestamp) {
        self.asked_at = now;
        self.heard = false;
        self.quiet = true;
    }

    /// A message arrived; `refreshing` if it was one, `healed` if it ended an epoch.
    pub(crate) const fn heard(&mut self, now: Timestamp, refreshing: bool, healed: bool) {
        self.heard = true;
        self.quiet = refreshing;
        if healed {
            self.healed_at = now;
        }
    }

    /// Whether to send a refreshing message now; `unannounced` if the peer may not know of the newest epoch.
    pub(crate) fn is_due(&self, interval: Duration, now: Timestamp, unannounced: bool) -> bool {
        if !is_over(self.asked_at, REFRESH_ANSWER_INTERVAL, now) {
            return false;
        }
        let overdue = is_over(self.healed_at, interval, now);
        (overdue && (self.heard || is_over(self.asked_at, interval, now)))
            || (self.quiet && unannounced && self.heard)
    }

    pub(crate) const fn to_record(&self) -> proto::Refresh {
        proto::Refresh {
            healed_at: self.healed_at.as_millis(),
            asked_at: self.asked_at.as_millis(),
            heard: self.heard,
            quiet: self.quiet,
        }
    }

    pub(crate) const fn from_record(record: &proto::Refresh) -> Self {
        Self {
            healed_at: Timestamp::from_millis(record.healed_at),
            asked_at: Timestamp::from_millis(record.asked_at),
            heard: record.heard,
            quiet: record.quiet,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_ahead_does_not_stop_refreshing() {
        // R-RATCHET-22
        let (now, ahead) = (Timestamp::from_millis(1 << 40), Timestamp::from_millis(1 << 50));
        let begun = Refresh::start(ahead);
        assert!(begun.is_due(REFRESH_INTERVAL, now, false));
        let mut asked = Refresh::start(now);
        asked.asked(ahead);
        asked.heard(ahead, false, true);
        assert!(asked.is_due(REFRESH_INTERVAL, now, false));
        asked.asked(now);
        asked.heard(now, true, true);
        assert!(!asked.is_due(REFRESH_INTERVAL, now.after(REFRESH_ANSWER_INTERVAL), false));
    }
}
