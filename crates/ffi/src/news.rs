//! Who is writing, until somebody asks for it or it holds no longer.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chancery::MemberId;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

/// For how long such a word holds: 15 s, as the sender renews it every 5 s.
const HOLDS: Duration = Duration::from_secs(15);
/// More members who write at once than anybody follows: 64. The oldest goes.
const MOST: usize = 64;

/// What a member has said, as it is shown, and until when it holds.
struct News {
    member: MemberId,
    shown: Value,
    until: Instant,
}

/// The words that nobody has asked for yet, at most one of each member.
pub(crate) struct Board {
    posted: Mutex<VecDeque<News>>,
    changes: watch::Sender<()>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { posted: Mutex::default(), changes: watch::Sender::new(()) }
    }

    fn posted(&self) -> MutexGuard<'_, VecDeque<News>> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts a word in place of what the same member has said before.
    pub(crate) fn post(&self, member: MemberId, shown: Value, now: Instant) {
        let mut posted = self.posted();
        posted.retain(|news| news.member != member);
        if posted.len() >= MOST {
            posted.pop_front();
        }
        posted.push_back(News { member, shown, until: now.checked_add(HOLDS).unwrap_or(now) });
        drop(posted);
        self.changes.send_replace(());
    }

    /// Takes the oldest that still holds.
    pub(crate) fn take(&self, now: Instant) -> Option<Value> {
        let mut posted = self.posted();
        posted.retain(|news| news.until > now);
        posted.pop_front().map(|news| news.shown)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.posted().is_empty()
    }

    /// Returns a receiver that changes with every word that is posted.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(number: u8) -> MemberId {
        MemberId::new([number; 16])
    }

    #[test]
    fn the_newest_word_of_each_member_is_handed_out_once_and_for_15_seconds() {
        let (board, now) = (Board::new(), Instant::now());
        board.post(member(1), json!("alice writes"), now);
        board.post(member(2), json!("bob writes"), now);
        board.post(member(1), json!("alice has stopped"), now + Duration::from_secs(1));
        assert_eq!(board.take(now + Duration::from_secs(2)), Some(json!("bob writes")));
        assert!(!board.is_empty());
        assert_eq!(board.take(now + Duration::from_millis(15_999)), Some(json!("alice has stopped")));
        assert_eq!(board.take(now), None);
        board.post(member(3), json!("carol writes"), now);
        assert_eq!(board.take(now + HOLDS), None);
        assert!(board.is_empty());
    }

    #[test]
    fn a_crowd_leaves_the_newest_64() {
        let (board, now) = (Board::new(), Instant::now());
        (0..100).for_each(|number| board.post(member(number), number.into(), now));
        assert_eq!(board.take(now), Some(json!(36)));
        assert_eq!(std::iter::from_fn(|| board.take(now)).count(), 63);
    }
}
