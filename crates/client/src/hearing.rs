//! Whether this process hears what comes to its mailbox now (R-ENGINE-79).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chancery_wire::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::clock;
use crate::connection::ANSWER_TIMEOUT;

/// For how long an answer on the mailbox's link says that this process hears what comes: 3 s, enough for a burst of messages, and
/// little beside the half minute and more for which a link that is dead looks alive.
const HEARD: Duration = Duration::from_secs(3);

/// When the mailbox was last known to be read to its end, and who can find out.
#[derive(Debug, Default)]
pub(crate) struct Hearing {
    /// By two clocks: the one may stand still while the machine sleeps, the other may be set.
    last: Mutex<Option<(Instant, Timestamp)>>,
    /// How many connections answer.
    attended: AtomicUsize,
    asked: Notify,
    answered: watch::Sender<()>,
}

/// Says that a connection answers, for as long as it is kept.
pub(crate) struct Attending<'a>(&'a Hearing);

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.attended.fetch_sub(1, Ordering::Relaxed);
        self.0.answered.send_replace(());
    }
}

impl Hearing {
    /// The mailbox was read to its end, by what the relay has just said.
    pub(crate) fn heard(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), clock::now()));
        self.answered.send_replace(());
    }

    /// Whether that was a moment ago.
    pub(crate) fn is_fresh(&self) -> bool {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| is_fresh(last, (Instant::now(), clock::now())))
    }

    /// Has whoever attends ask the relay.
    pub(crate) fn wonder(&self) {
        self.asked.notify_one();
    }

    /// A connection answers from now on what [`Self::asked`] says.
    pub(crate) fn attend(&self) -> Attending<'_> {
        self.attended.fetch_add(1, Ordering::Relaxed);
        Attending(self)
    }

    /// Waits until somebody wants to know; who attends says [`Self::heard`] then.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Whether the mailbox is read to its end now: at once if that was known a moment ago, else by asking the relay; `false` if no
    /// connection can be asked, or there is no answer.
    pub(crate) async fn ask(&self) -> bool {
        let deadline = clock::deadline(ANSWER_TIMEOUT);
        let mut answered = self.answered.subscribe();
        while !self.is_fresh() {
            if self.attended.load(Ordering::Relaxed) == 0 {
                return false;
            }
            self.wonder();
            if !matches!(timeout_at(deadline, answered.changed()).await, Ok(Ok(()))) {
                return false;
            }
        }
        true
    }
}

fn is_fresh((ticked, read): (Instant, Timestamp), (ticks, reads): (Instant, Timestamp)) -> bool {
    let passed = reads.as_millis().checked_sub(read.as_millis()).map(Duration::from_millis);
    let is_short = |time: Duration| time < HEARD;
    is_short(ticks.saturating_duration_since(ticked)) && passed.is_some_and(is_short)
}

#[cfg(test)]
impl Hearing {
    /// As after a sleep.
    pub(crate) fn forget(&self) {
        *self.last.lock().unwrap() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_of_before_a_sleep_by_either_clock_r_engine_79() {
        let (ticks, reads) = (Instant::now(), Timestamp::from_millis(1_000_000));
        let after = |ticked, read| {
            is_fresh((ticks, reads), (ticks + Duration::from_millis(ticked), Timestamp::from_millis(read)))
        };
        assert!(after(2_999, 1_002_999));
        assert!(!after(3_000, 1_000_500));
        assert!(!after(10, 1_003_000), "the machine has slept");
        assert!(!after(10, 999_999), "a clock was set back");
    }

    #[tokio::test]
    async fn whoever_attends_is_asked_and_nobody_is_waited_for_who_has_gone_r_engine_79() {
        let hearing = Hearing::default();
        assert!(!hearing.ask().await, "nobody can be asked");
        let attend = async {
            let _attending = hearing.attend();
            hearing.asked().await;
            hearing.heard();
        };
        let (there, ()) =
            tokio::join!(biased; async { tokio::task::yield_now().await; hearing.ask().await }, attend);
        assert!(there && hearing.is_fresh());
        hearing.forget();
        let attending = hearing.attend();
        let (there, ()) = tokio::join!(hearing.ask(), async {
            tokio::task::yield_now().await;
            drop(attending);
        });
        assert!(!there);
    }
}
