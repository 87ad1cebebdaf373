//! Two ends of a link in one process, with faults that come from a seed.

use std::{
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use crate::{BoxFuture, Link, LinkError, LinkReceiver, LinkSender, MAX_FRAME, backoff::scale};

/// Frames on their way in one direction before `send` waits: as a socket's buffer, so that a reader who
/// does not read is noticed.
const IN_FLIGHT: usize = 64;

/// What goes wrong on a pair of links; the same seed gives the same faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// Decides each delay and where the cut falls.
    pub seed: [u8; 32],
    /// How long a frame is on its way, drawn anew for each. Order is kept.
    pub delay: RangeInclusive<Duration>,
    /// The link breaks when this many frames, drawn once and counted in both directions, have been sent.
    /// The next `send` and all pending `receive`s return [`LinkError::Lost`]; frames in flight are lost.
    pub cut_after: Option<RangeInclusive<u64>>,
}

impl Faults {
    /// No delay and no cut.
    #[must_use]
    pub const fn none() -> Self {
        Self { seed: [0; 32], delay: Duration::ZERO..=Duration::ZERO, cut_after: None }
    }
}

/// Returns two ends that are connected with each other.
///
/// Delays run on tokio's clock, so a test that pauses it takes no time.
#[must_use]
pub fn pair(faults: Faults) -> (MemoryLink, MemoryLink) {
    let mut rng = seeded(faults.seed);
    let remaining = faults.cut_after.map_or(u64::MAX, |range| draw(&range, &mut rng));
    let (lost, _) = watch::channel(false);
    let wire = Arc::new(Wire { remaining: AtomicU64::new(remaining), lost });
    let (to_second, from_first) = mpsc::channel(IN_FLIGHT);
    let (to_first, from_second) = mpsc::channel(IN_FLIGHT);
    let mut end = |queue: mpsc::Sender<InFlight>, incoming| {
        let (closed, is_closed) = watch::channel(false);
        MemoryLink {
            sender: MemorySender {
                queue: Some(queue),
                wire: Arc::clone(&wire),
                closed,
                delay: faults.delay.clone(),
                rng: Box::new(seeded(random_bytes(&mut rng))),
            },
            receiver: MemoryReceiver { incoming, next: None, lost: wire.lost.subscribe(), closed: is_closed },
        }
    };
    (end(to_second, from_second), end(to_first, from_first))
}

fn draw(range: &RangeInclusive<u64>, rng: &mut dyn CryptoRng) -> u64 {
    let span = range.end().saturating_sub(*range.start()).saturating_add(1);
    let offset = u64::from_be_bytes(random_bytes(rng)).checked_rem(span).unwrap_or_default();
    range.start().saturating_add(offset)
}

/// What both directions share.
struct Wire {
    remaining: AtomicU64,
    lost: watch::Sender<bool>,
}

struct InFlight {
    due: Instant,
    frame: Vec<u8>,
}

/// One end of a [`pair`].
pub struct MemoryLink {
    sender: MemorySender,
    receiver: MemoryReceiver,
}

struct MemorySender {
    /// `None` once closed.
    queue: Option<mpsc::Sender<InFlight>>,
    wire: Arc<Wire>,
    closed: watch::Sender<bool>,
    delay: RangeInclusive<Duration>,
    rng: Box<dyn CryptoRng + Send>,
}

struct MemoryReceiver {
    incoming: mpsc::Receiver<InFlight>,
    /// Taken from the queue and not due yet; kept here so that `receive` is cancel-safe.
    next: Option<InFlight>,
    lost: watch::Receiver<bool>,
    closed: watch::Receiver<bool>,
}

impl MemorySender {
    fn due(&mut self) -> Instant {
        let spread = self.delay.end().saturating_sub(*self.delay.start());
        let extra = scale(spread, u32::from_be_bytes(random_bytes(&mut *self.rng)));
        let now = Instant::now();
        now.checked_add(self.delay.start().saturating_add(extra)).unwrap_or(now)
    }

    async fn send_frame(&mut self, frame: Vec<u8>) -> Result<(), LinkError> {
        if frame.len() > MAX_FRAME {
            return Err(LinkError::TooLarge);
        }
        let due = self.due();
        let queue = self.queue.as_ref().ok_or(LinkError::Closed)?;
        let place = queue.reserve().await.map_err(|_| LinkError::Lost)?;
        let counted =
            self.wire.remaining.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if counted.is_err() {
            self.wire.lost.send_replace(true);
        }
        if *self.wire.lost.borrow() {
            return Err(LinkError::Lost);
        }
        place.send(InFlight { due, frame });
        Ok(())
    }
}

impl MemoryReceiver {
    async fn receive_frame(&mut self) -> Result<Option<Vec<u8>>, LinkError> {
        let Self { incoming, next, lost, closed } = self;
        let due = async {
            if next.is_none() {
                *next = incoming.recv().await;
            }
            if let Some(frame) = next {
                sleep_until(frame.due).await;
            }
        };
        tokio::select! {
            biased;
            // An error of `wait_for` means that nobody is left who could cut or close: the queue decides.
            Ok(_) = lost.wait_for(|lost| *lost) => return Err(LinkError::Lost),
            Ok(_) = closed.wait_for(|closed| *closed) => return Ok(None),
            () = due => {}
        }
        Ok(self.next.take().map(|frame| frame.frame))
    }
}

impl Link for MemoryLink {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>> {
        self.sender.send(frame)
    }

    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>> {
        self.receiver.receive()
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.sender.close()
    }

    fn split(self: Box<Self>) -> (Box<dyn LinkSender>, Box<dyn LinkReceiver>) {
        (Box::new(self.sender), Box::new(self.receiver))
    }
}

impl LinkSender for MemorySender {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.send_frame(frame))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.queue = None;
        self.closed.send_replace(true);
        Box::pin(std::future::ready(()))
    }
}

impl LinkReceiver for MemoryReceiver {
    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>> {
        Box::pin(self.receive_frame())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    /// Sends numbered frames until the link breaks; returns how many went out and what arrived, with times.
    async fn run(seed: u8) -> (u8, Vec<(Vec<u8>, Duration)>) {
        let delay = MILLI..=Duration::from_millis(50);
        let (mut alice, mut bob) = pair(Faults { seed: [seed; 32], delay, cut_after: Some(5..=60) });
        let begun = Instant::now();
        let mut arrived = Vec::new();
        for sent in 0.. {
            if alice.send(vec![sent]).await.is_err() {
                assert_eq!(bob.receive().await, Err(LinkError::Lost));
                return (sent, arrived);
            }
            arrived.push((bob.receive().await.unwrap().unwrap(), begun.elapsed()));
        }
        unreachable!("the link breaks after 60 frames")
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_seed_gives_the_same_faults() {
        let (first, again, other) = (run(1).await, run(1).await, run(2).await);
        assert_eq!(first, again);
        assert_ne!(first, other);
        assert!((5..=60).contains(&first.0));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_keep_their_order_and_their_delays() {
        let faults = Faults { delay: MILLI * 10..=MILLI * 90, ..Faults::none() };
        let (mut alice, mut bob) = pair(faults);
        let begun = Instant::now();
        for number in 0..IN_FLIGHT {
            alice.send(number.to_be_bytes().to_vec()).await.unwrap();
        }
        for number in 0..IN_FLIGHT {
            assert_eq!(bob.receive().await, Ok(Some(number.to_be_bytes().to_vec())));
            assert!(begun.elapsed() >= MILLI * 10);
        }
        assert!(begun.elapsed() <= MILLI * 92);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_a_receive_loses_nothing() {
        let faults = Faults { delay: MILLI * 20..=MILLI * 20, ..Faults::none() };
        let (mut alice, mut bob) = pair(faults);
        alice.send(b"one".to_vec()).await.unwrap();
        alice.send(b"two".to_vec()).await.unwrap();
        let mut dropped = 0;
        let mut arrived = Vec::new();
        while arrived.len() < 2 {
            match tokio::time::timeout(MILLI * 3, bob.receive()).await {
                Ok(frame) => arrived.push(frame.unwrap().unwrap()),
                Err(_) => dropped += 1,
            }
        }
        assert_eq!(arrived, [b"one", b"two"]);
        assert!(dropped > 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_loses_what_is_in_flight_and_ends_both_directions() {
        let faults = Faults { delay: MILLI..=MILLI, cut_after: Some(2..=2), ..Faults::none() };
        let (mut alice, mut bob) = pair(faults);
        alice.send(vec![1]).await.unwrap();
        assert_eq!(bob.receive().await, Ok(Some(vec![1])));
        bob.send(vec![2]).await.unwrap();
        assert_eq!(bob.send(vec![3]).await, Err(LinkError::Lost));
        assert_eq!(alice.receive().await, Err(LinkError::Lost));
        assert_eq!(alice.send(vec![4]).await, Err(LinkError::Lost));
    }

    /// R-TRANSPORT-2.
    #[tokio::test]
    async fn a_frame_above_the_limit_is_refused_and_the_link_stays() {
        let (mut alice, mut bob) = pair(Faults::none());
        assert_eq!(alice.send(vec![0; MAX_FRAME + 1]).await, Err(LinkError::TooLarge));
        alice.send(vec![7; MAX_FRAME]).await.unwrap();
        assert_eq!(bob.receive().await, Ok(Some(vec![7; MAX_FRAME])));
    }

    #[tokio::test]
    async fn closing_ends_both_sides_after_what_was_sent() {
        let (alice, mut bob) = pair(Faults::none());
        let (mut sender, mut receiver) = Box::new(alice).split();
        sender.send(vec![1]).await.unwrap();
        sender.close().await;
        assert_eq!(receiver.receive().await, Ok(None));
        assert_eq!(sender.send(vec![2]).await, Err(LinkError::Closed));
        assert_eq!(bob.receive().await, Ok(Some(vec![1])));
        assert_eq!(bob.receive().await, Ok(None));
    }
}
