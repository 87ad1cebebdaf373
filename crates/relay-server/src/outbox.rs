//! What waits to be written to a client: bounded, so that one who does not read costs little and is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

/// Bytes above which nothing more is read from a client until it has read: 1 MiB.
const PAUSE: usize = 1 << 20;
/// Bytes above which a client is closed: 6 MiB. What a window of envelopes and the answers to all requests that
/// may be under way come to, twice.
const MOST: usize = 6 << 20;
/// Bytes for all clients together, above which one who has more than its share waiting is closed: 64 MiB.
const MOST_OF_ALL: usize = 64 << 20;
/// The share: 256 KiB, a few blob parts less than one that reads keeps waiting.
const SHARE: usize = 256 << 10;

/// The end that the relay puts frames into.
#[derive(Debug)]
pub(crate) struct Outbox {
    frames: mpsc::UnboundedSender<Vec<u8>>,
    gauge: Arc<Gauge>,
}

/// The end that the writer takes frames from. It ends when the outbox is dropped and empty.
#[derive(Debug)]
pub(crate) struct Outgoing {
    frames: mpsc::UnboundedReceiver<Vec<u8>>,
    gauge: Arc<Gauge>,
}

/// How much is waiting.
#[derive(Debug)]
pub(crate) struct Gauge {
    own: AtomicUsize,
    all: Arc<AtomicUsize>,
    less: Notify,
}

/// Makes an outbox whose bytes also count in `all`.
pub(crate) fn outbox(all: &Arc<AtomicUsize>) -> (Outbox, Outgoing) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let gauge = Arc::new(Gauge { own: AtomicUsize::new(0), all: Arc::clone(all), less: Notify::new() });
    (Outbox { frames: sender, gauge: Arc::clone(&gauge) }, Outgoing { frames: receiver, gauge })
}

impl Outbox {
    /// Puts a frame in; `false` if the client is gone or reads too slowly, and is to be forgotten.
    pub(crate) fn put(&self, frame: Vec<u8>) -> bool {
        let len = frame.len();
        let own = self.gauge.own.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        let all = self.gauge.all.fetch_add(len, Ordering::Relaxed).saturating_add(len);
        if own > MOST || (all > MOST_OF_ALL && own > SHARE) || self.frames.send(frame).is_err() {
            self.gauge.subtract(len);
            return false;
        }
        true
    }
}

impl Outgoing {
    /// Waits for the next frame; its bytes count until [`Self::written`].
    pub(crate) async fn next(&mut self) -> Option<Vec<u8>> {
        self.frames.recv().await
    }

    pub(crate) fn written(&self, len: usize) {
        self.gauge.subtract(len);
    }

    pub(crate) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.frames.close();
        while let Ok(frame) = self.frames.try_recv() {
            self.gauge.subtract(frame.len());
        }
    }
}

impl Gauge {
    /// Waits until the client has read enough for its next request to be read.
    pub(crate) async fn low(&self) {
        loop {
            let less = self.less.notified();
            if self.own.load(Ordering::Relaxed) <= PAUSE {
                return;
            }
            less.await;
        }
    }

    fn subtract(&self, len: usize) {
        self.own.fetch_sub(len, Ordering::Relaxed);
        self.all.fetch_sub(len, Ordering::Relaxed);
        self.less.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_is_given_up_and_its_bytes_are_freed() {
        let all = Arc::new(AtomicUsize::new(0));
        let (outbox, mut outgoing) = outbox(&all);
        for _ in 0..6 {
            assert!(outbox.put(vec![0; 1 << 20]));
        }
        assert!(!outbox.put(vec![0; 1]), "R-RELAY-20");
        let first = outgoing.next().await.unwrap();
        outgoing.written(first.len());
        assert_eq!(all.load(Ordering::Relaxed), 5 << 20);
        drop(outgoing);
        assert_eq!(all.load(Ordering::Relaxed), 0);
        assert!(!outbox.put(vec![0; 1]), "the client is gone");
    }

    #[tokio::test]
    async fn many_slow_clients_are_bounded_together() {
        let all = Arc::new(AtomicUsize::new(MOST_OF_ALL));
        let (outbox, _outgoing) = outbox(&all);
        assert!(outbox.put(vec![0; SHARE]), "one with little waiting is spared");
        assert!(!outbox.put(vec![0; 1]), "R-RELAY-20");
    }
}
