//! One WebSocket that two tasks poll, and the frames that are on their way out.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker, ready},
};

use chancery_transport::{LinkError, MAX_FRAME};
use futures_util::{Sink as _, Stream as _, task::AtomicWaker};
use tokio::{io::AsyncWrite as _, net::TcpStream};
use tokio_rustls::TlsStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Bytes, Message,
        protocol::{
            WebSocketConfig,
            frame::{
                Frame,
                coding::{Data, OpCode},
            },
        },
    },
};

/// A frame goes out in fragments of this many bytes (R-TRANSPORT-7), so that neither side keeps a buffer of
/// the size of the largest frame that a connection has ever seen.
const FRAGMENT: usize = 16 * 1024;

/// What a quiet connection keeps for reading. One sealed message of the smallest buckets fits.
const READ_BUFFER: usize = 4 * 1024;

/// A blocked fragment, and pings and pongs beside it; more is a broken connection.
const WRITE_BUFFER: usize = 2 * FRAGMENT;

/// The limits of the WebSocket layer for both sides.
pub(crate) fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
}

pub(crate) type WebSocket = WebSocketStream<TlsStream<TcpStream>>;

/// Wakes both halves of a link. The socket remembers one waker for each direction, yet receiving may have to
/// write (pongs) and sending may have to read (TLS); so each half registers here and the socket sees only this.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    pub(crate) sender: AtomicWaker,
    pub(crate) receiver: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.sender.wake();
        self.receiver.wake();
    }
}

/// How a link has ended.
#[derive(Debug, Clone, Copy)]
enum Ended {
    /// One side said goodbye.
    Closed,
    Failed(LinkError),
}

/// What came in.
pub(crate) enum Incoming {
    Frame(Vec<u8>),
    /// A ping or a pong: the other side lives.
    Sign,
    Closed,
}

/// The frame that is being sent.
#[derive(Debug)]
struct Outgoing {
    rest: Bytes,
    begun: bool,
}

/// The socket and everything that both halves of a link must agree on. Never locked across an `await`.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: WebSocket,
    /// Kept here, not in the future that sends: a frame that has begun must be finished.
    outgoing: Option<Outgoing>,
    flushed: bool,
    ended: Option<Ended>,
    wakers: Arc<Wakers>,
    waker: Waker,
}

impl Socket {
    pub(crate) fn new(stream: WebSocket, wakers: Arc<Wakers>) -> Self {
        let waker = Waker::from(Arc::clone(&wakers));
        Self { stream, outgoing: None, flushed: true, ended: None, wakers, waker }
    }

    /// Takes the frame over as soon as the one before it is out; `frame` is then `None`.
    pub(crate) fn poll_send(&mut self, frame: &mut Option<Vec<u8>>) -> Poll<Result<(), LinkError>> {
        if self.outgoing.is_some() {
            ready!(self.poll_drain())?;
        }
        if let Some(frame) = frame.take() {
            self.check()?;
            self.outgoing = Some(Outgoing { rest: frame.into(), begun: false });
        }
        self.poll_drain()
    }

    /// Moves everything that was taken over to the operating system.
    fn poll_drain(&mut self) -> Poll<Result<(), LinkError>> {
        self.check()?;
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        while let Some(outgoing) = &mut self.outgoing {
            let mut stream = Pin::new(&mut self.stream);
            let sent = match ready!(stream.as_mut().poll_ready(&mut context)) {
                Ok(()) => stream.start_send(outgoing.next_fragment()),
                Err(error) => Err(error),
            };
            if outgoing.rest.is_empty() {
                self.outgoing = None;
            }
            self.flushed = false;
            sent.map_err(|error| self.fail(error_of(&error)))?;
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(&mut context))
                .map_err(|error| self.fail(error_of(&error)))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }

    /// The next thing that came in. Also finishes what a dropped `send` has left behind.
    pub(crate) fn poll_receive(&mut self) -> Poll<Result<Incoming, LinkError>> {
        match self.ended {
            Some(Ended::Closed) => return Poll::Ready(Ok(Incoming::Closed)),
            Some(Ended::Failed(error)) => return Poll::Ready(Err(error)),
            None => {}
        }
        let behind = self.outgoing.is_some() || !self.flushed;
        if behind && let Poll::Ready(drained) = self.poll_drain() {
            // The sending half may be asleep over what has just been done for it.
            self.wakers.sender.wake();
            drained?;
        }
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        let message = ready!(Pin::new(&mut self.stream).poll_next(&mut context));
        Poll::Ready(match message {
            Some(Ok(Message::Binary(bytes))) => Ok(Incoming::Frame(bytes.into())),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(Incoming::Sign),
            Some(Ok(Message::Close(_))) => {
                // The answer to the goodbye; if it cannot go out now, the other side does without.
                let _ = Pin::new(&mut self.stream).poll_flush(&mut context);
                self.closed();
                Ok(Incoming::Closed)
            }
            Some(Ok(Message::Text(_) | Message::Frame(_))) => Err(self.fail(LinkError::Protocol)),
            Some(Err(error)) => Err(self.fail(error_of(&error))),
            None => {
                self.closed();
                Ok(Incoming::Closed)
            }
        })
    }

    /// Queues a ping; the next poll of either half moves it on.
    pub(crate) fn ping(&mut self) -> Result<(), LinkError> {
        self.check()?;
        self.flushed = false;
        let queued = Pin::new(&mut self.stream).start_send(Message::Ping(Bytes::new()));
        queued.map_err(|error| self.fail(error_of(&error)))
    }

    /// Says goodbye and ends the stream; a frame that is still going out is given up.
    pub(crate) fn poll_close(&mut self) -> Poll<()> {
        if !matches!(self.ended, Some(Ended::Failed(_))) {
            self.outgoing = None;
            let waker = self.waker.clone();
            let mut context = Context::from_waker(&waker);
            let said = ready!(Pin::new(&mut self.stream).poll_close(&mut context));
            if said.is_ok() {
                let _ = ready!(Pin::new(self.stream.get_mut()).poll_shutdown(&mut context));
            }
        }
        Poll::Ready(())
    }

    /// From now on `receive` returns `None` and `send` fails.
    pub(crate) fn closed(&mut self) {
        self.ended.get_or_insert(Ended::Closed);
        self.wakers.wake_by_ref();
    }

    /// Ends the link for both halves and returns the error that both will see.
    pub(crate) fn fail(&mut self, error: LinkError) -> LinkError {
        self.outgoing = None;
        self.wakers.wake_by_ref();
        match *self.ended.get_or_insert(Ended::Failed(error)) {
            Ended::Failed(first) => first,
            Ended::Closed => LinkError::Closed,
        }
    }

    fn check(&self) -> Result<(), LinkError> {
        match self.ended {
            None => Ok(()),
            Some(Ended::Closed) => Err(LinkError::Closed),
            Some(Ended::Failed(error)) => Err(error),
        }
    }

    #[cfg(test)]
    pub(crate) fn tls(&self) -> &rustls::CommonState {
        self.stream.get_ref().get_ref().1
    }
}

impl Outgoing {
    fn next_fragment(&mut self) -> Message {
        let part = self.rest.split_to(self.rest.len().min(FRAGMENT));
        let kind = if self.begun { Data::Continue } else { Data::Binary };
        self.begun = true;
        Message::Frame(Frame::message(part, OpCode::Data(kind), self.rest.is_empty()))
    }
}

fn error_of(error: &tungstenite::Error) -> LinkError {
    use tungstenite::{Error, error::ProtocolError};
    match error {
        Error::Capacity(_) => LinkError::TooLarge,
        Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing) => {
            LinkError::Closed
        }
        Error::Io(_) | Error::Tls(_) | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            LinkError::Lost
        }
        _ => LinkError::Protocol,
    }
}
