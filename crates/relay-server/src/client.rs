//! One connection: a task that reads requests for the relay's thread and writes what comes back.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use chancery_relay::ConnectionId;
use chancery_transport::{Link as _, LinkReceiver, LinkSender};
use chancery_transport_ws::WsLink;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use crate::machine::Job;
use crate::outbox::{Gauge, Outgoing, outbox};

/// Requests of one connection that may be under way: 8. Enough to keep a pipe full of blob parts.
const UNDER_WAY: usize = 8;
/// Bytes of all frames that wait for the relay's thread: 16 MiB, 32 of the largest.
const WAITING_BYTES: usize = 16 << 20;
/// How long a client may take to read one frame: 60 s, which is 9 KiB a second for the largest.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    jobs: mpsc::Sender<Job>,
    waiting_in: Arc<Semaphore>,
    waiting_out: Arc<AtomicUsize>,
}

impl Shared {
    pub(crate) fn new(jobs: mpsc::Sender<Job>) -> Self {
        let waiting_in = Arc::new(Semaphore::new(WAITING_BYTES));
        Self { jobs, waiting_in, waiting_out: Arc::new(AtomicUsize::new(0)) }
    }

    /// Serves a connection until either side ends it.
    pub(crate) async fn serve(&self, link: WsLink, connection: ConnectionId) {
        let (sender, receiver) = Box::new(link).split();
        let (outbox, outgoing) = outbox(&self.waiting_out);
        let gauge = outgoing.gauge();
        let opened = Job::Opened { connection, outbox: Some(outbox) };
        if self.jobs.send(opened).await.is_err() {
            return;
        }
        tracing::debug!(connection = connection.0, "opened");
        tokio::select! {
            () = write(sender, outgoing) => {}
            () = self.read(receiver, connection, &gauge) => {}
        }
        tracing::debug!(connection = connection.0, "closed");
        // If nobody takes it, the relay is ending and has forgotten the connection anyway.
        let _ = self.jobs.send(Job::Closed { connection }).await;
    }

    async fn read(&self, mut receiver: Box<dyn LinkReceiver>, connection: ConnectionId, gauge: &Gauge) {
        let under_way = Arc::new(Semaphore::new(UNDER_WAY));
        loop {
            gauge.low().await;
            let Ok(slot) = Arc::clone(&under_way).acquire_owned().await else { return };
            let Ok(Some(bytes)) = receiver.receive().await else { return };
            let weight = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            let Ok(room) = Arc::clone(&self.waiting_in).acquire_many_owned(weight).await else { return };
            let job = Job::Frame { connection, bytes, _permits: [slot, room] };
            if self.jobs.send(job).await.is_err() {
                return;
            }
        }
    }
}

/// Writes until the relay lets go of the connection, and then says goodbye.
async fn write(mut sender: Box<dyn LinkSender>, mut outgoing: Outgoing) {
    while let Some(frame) = outgoing.next().await {
        let len = frame.len();
        let sent = timeout(WRITE_TIMEOUT, sender.send(frame)).await;
        outgoing.written(len);
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
    sender.close().await;
}
