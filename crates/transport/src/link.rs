//! The traits that every transport implements, and the two ways in which it fails.

use std::{future::Future, pin::Pin};

/// The most bytes of a frame: 516 KiB (R-TRANSPORT-2).
///
/// The decoder's own limit is 512 KiB. The 4 KiB above it let a frame that is slightly too large reach the
/// decoder, so that its sender gets an answer instead of a broken connection.
pub const MAX_FRAME: usize = 516 * 1024;

/// A future on the heap, as the traits of this crate return it so that they stay usable as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An ordered, reliable pipe of frames in both directions, until it fails.
///
/// A frame that was sent is not thereby received: only an answer of the other side proves that. After an
/// error other than [`LinkError::TooLarge`] from `send`, the link is of no further use.
pub trait Link: Send {
    /// Sends one frame of at most [`MAX_FRAME`] bytes and waits until the operating system has it.
    ///
    /// If the future is dropped before it is done, the frame may be sent or not, never in part.
    ///
    /// # Errors
    ///
    /// [`LinkError::TooLarge`] leaves the link usable; any other error means: drop it and connect again.
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Waits for the next frame; `None` after the other side, or this one, has closed the link in order.
    ///
    /// Cancel-safe: if the future is dropped before it is done, no frame is lost. Keep a call pending also
    /// while no frame is expected: it is what answers the other side's pings and notices that it is gone.
    ///
    /// # Errors
    ///
    /// Any error means: drop the link and connect again.
    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>>;

    /// Tells the other side that nothing more will come, waiting a few seconds at most.
    ///
    /// Dropping the link without this is safe; the other side then sees [`LinkError::Lost`].
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// Takes the link apart, so that one task can send while another receives.
    fn split(self: Box<Self>) -> (Box<dyn LinkSender>, Box<dyn LinkReceiver>);
}

/// The sending half of a [`Link`].
pub trait LinkSender: Send {
    /// Sends one frame, as [`Link::send`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Link::send`].
    fn send(&mut self, frame: Vec<u8>) -> BoxFuture<'_, Result<(), LinkError>>;

    /// Closes the link, both halves of it, as [`Link::close`] does.
    fn close(&mut self) -> BoxFuture<'_, ()>;
}

/// The receiving half of a [`Link`].
pub trait LinkReceiver: Send {
    /// Waits for the next frame, as [`Link::receive`] does; cancel-safe like it.
    ///
    /// # Errors
    ///
    /// Those of [`Link::receive`].
    fn receive(&mut self) -> BoxFuture<'_, Result<Option<Vec<u8>>, LinkError>>;
}

/// Makes links to one relay.
pub trait Connector: Send + Sync {
    /// Connects once, without repeating; dropping the future gives the attempt up.
    ///
    /// # Errors
    ///
    /// [`ConnectError::WrongPin`] must be shown to a person; after the others, wait as [`Backoff`] says and
    /// try again.
    ///
    /// [`Backoff`]: crate::Backoff
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>>;
}

/// Why a link cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// This side has closed the link. Connect again if there is more to send.
    #[error("the link is closed")]
    Closed,
    /// The connection broke without a goodbye. Connect again.
    #[error("the connection was lost")]
    Lost,
    /// Nothing was heard from the other side for too long. Connect again.
    #[error("the other side stopped answering")]
    TimedOut,
    /// The frame is longer than [`MAX_FRAME`]. From `send`: split the content, the link is still good; from
    /// `receive`: the other side breaks the rules, drop the link.
    #[error("the frame is too large")]
    TooLarge,
    /// The other side sent what is no frame. Drop the link; connecting again soon will not help.
    #[error("the other side does not speak this protocol")]
    Protocol,
}

/// Why no link came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The name did not resolve, or nobody answers at the address. Try again later.
    #[error("the relay cannot be reached")]
    Unreachable,
    /// Somebody answers with another key than the organisation's relay has. Never connect; tell the user.
    #[error("the relay's key is not the expected one")]
    WrongPin,
    /// What answers is no relay, or none that this version understands. Try again much later.
    #[error("what answers is not a relay")]
    Protocol,
    /// The relay did not finish the connection in time. Try again later.
    #[error("the relay did not answer in time")]
    Timeout,
}
