//! The link over one WebSocket: sending, receiving, keeping alive.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use chancery_transport::{BoxFuture, Link, LinkError, LinkReceiver, LinkSender, MAX_FRAME};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::socket::{Incoming, Socket, Wakers, WebSocket};

/// A ping follows this much silence (R-TRANSPORT-8): short enough for the address translation of mobile networks.
pub(crate) const QUIET: Duration = Duration::from_secs(30);

/// Silence after a ping that means death (R-TRANSPORT-8), 75 seconds after the last sign of life.
pub(crate) const PATIENCE: Duration = Duration::from_secs(45);

/// A goodbye is a courtesy and worth no longer wait.
const GOODBYE: Duration = Duration::from_secs(2);

/// A [`Link`] over WebSocket and TLS, of a client or of the relay.
#[derive(Debug)]
pub struct WsLink {
    sender: WsSender,
    receiver: WsReceiver,
}

#[derive(Debug)]
struct Shared {
    socket: Mutex<Socket>,
    wakers: Arc<Wakers>,
}

#[derive(Debug)]
struct WsSender(Arc<Shared>);

#[derive(Debug)]
struct WsReceiver {
    shared: Arc<Shared>,
    timer: Pin<Box<Sleep>>,
    heard: Instant,
    pinged: Option<Instant>,
}

impl WsLink {
    pub(crate) fn new(stream: WebSocket) -> Self {
        let wakers = Arc::new(Wakers::default());
        let socket = Mutex::new(Socket::new(stream, Arc::clone(&wakers)));
        let shared = Arc::new(Shared { socket, wakers });
        let heard = Instant::now();
        let receiver = WsReceiver {
            shared: Arc::clone(&shared),
            timer: Box::pin(sleep_until(after(heard, QUIET))),
            heard,
            pinged: None,
        };
        Self { sender: WsSender(shared), receiver }
    }

    #[cfg(test)]
    pub(crate) fn tls<T>(&self, read: impl FnOnce(&rustls::CommonState) -> T) -> T {
        read(self.receiver.shared.lock().tls())
    }
}

impl Shared {
    /// A panic of another task while it held the lock leaves a socket that fails on its own terms.
    fn lock(&self) -> MutexGuard<'_, Socket> {
        self.socket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WsSender {
    async fn send_frame(&self, frame: Vec<u8>) -> Result<(), LinkError> {
        if frame.len() > MAX_FRAME {
            return Err(LinkError::TooLarge);
        }
        let mut frame = Some(frame);
        poll_fn(|context| {
            self.0.wakers.sender.register(context.waker());
            self.0.lock().poll_send(&mut frame)
        })
        .await
    }

    async fn say_goodbye(&self) {
        let closing = poll_fn(|context| {
            self.0.wakers.sender.register(context.waker());
            self.0.lock().poll_close()
        });
        // Out of time: the connection ends without a goodbye, which the other side must bear anyway.
        let _ = timeout(GOODBYE, closing).await;
        self.0.lock().closed();
    }
}

impl WsReceiver {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>, LinkError>> {
        self.shared.wakers.receiver.register(context.waker());
        loop {
            let incoming = self.shared.lock().poll_receive();
            let Poll::Ready(incoming) = incoming else {
                ready!(self.poll_silence(context))?;
                continue;
            };
            self.heard = Instant::now();
            self.pinged = None;
            match incoming? {
                Incoming::Frame(frame) => return Poll::Ready(Ok(Some(frame))),
                Incoming::Sign => {}
                Incoming::Closed => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// Ready when a ping was queued. Patience is counted from the ping and not from the last sign of life, so
    /// that a caller who came back late does not take its own absence for the other side's.
    fn poll_silence(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        let until = self.pinged.map_or_else(|| after(self.heard, QUIET), |pinged| after(pinged, PATIENCE));
        if self.timer.deadline() != until {
            self.timer.as_mut().reset(until);
        }
        ready!(self.timer.as_mut().poll(context));
        let mut socket = self.shared.lock();
        if self.pinged.is_some() {
            return Poll::Ready(Err(socket.fail(LinkError::TimedOut)));
        }
        self.pinged = Some(Instant::now());
        Poll::Ready(socket.ping())
    }
}

fn after(start: Instant, wait: Duration) -> Instant {
    start.checked_add(wait).unwrap_or(start)
}

impl Link for WsLink {
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

impl LinkSender for WsSender {
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>> {
        Box::pin(self.send_frame(frame))
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.say_goodbye())
    }
}

impl LinkReceiver for WsReceiver {
    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>> {
        Box::pin(poll_fn(|context| self.poll_frame(context)))
    }
}
