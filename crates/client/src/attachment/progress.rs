//! How far files have come.

use std::sync::{Arc, Mutex, PoisonError};

use crate::acting::MessageRef;
use crate::client::Client;

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Direction {
    /// To the relay.
    Sending,
    /// From the relay.
    Receiving,
}

impl Direction {
    /// Returns the name by which programs know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Receiving => "receiving",
        }
    }
}

/// How far a file has come.
///
/// Its `Debug` does not show the name.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The message that it belongs to.
    pub message: MessageRef,
    /// The file's position in [`crate::Message::files`].
    pub index: usize,
    /// Which way it goes.
    pub direction: Direction,
    /// The file's name, as [`crate::FileInfo::name`].
    pub name: String,
    /// Bytes of the file done: its share of what has gone over the line, which is encrypted and longer.
    pub done: u64,
    /// The file's size in bytes, as [`crate::FileInfo::size`].
    pub total: u64,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { message, index, direction, name: _, done, total } = self;
        f.debug_struct("Progress")
            .field("message", message)
            .field("index", index)
            .field("direction", direction)
            .field("done", done)
            .field("total", total)
            .finish_non_exhaustive()
    }
}

/// Is told of progress; called at most once a part (256 KiB), and once when all is done. The transfer goes on when it returns, on
/// the same task: it must not wait, and a panic in it is one of whoever sends or saves.
pub type ProgressFn = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Whoever is told; may change while files are on their way.
#[derive(Default)]
pub(crate) struct Listener(Mutex<Option<ProgressFn>>);

impl Listener {
    pub(crate) const fn new(function: Option<ProgressFn>) -> Self {
        Self(Mutex::new(function))
    }

    fn set(&self, function: Option<ProgressFn>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = function;
    }

    fn get(&self) -> Option<ProgressFn> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether anybody listens now.
    pub(crate) fn is_there(&self) -> bool {
        self.get().is_some()
    }
}

/// Tells of one file.
pub(crate) struct Teller<'a> {
    listener: &'a Listener,
    begun: Progress,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(
        listener: &'a Listener,
        (message, index): (MessageRef, usize),
        direction: Direction,
        (name, total): (String, u64),
    ) -> Self {
        Self { listener, begun: Progress { message, index, direction, name, done: 0, total } }
    }

    /// Says that as much of all that goes over the line is done.
    pub(super) fn tell(&self, done: u64, all: u64) {
        if let Some(function) = self.listener.get() {
            function(&Progress { done: share(self.begun.total, done, all), ..self.begun.clone() });
        }
    }
}

/// The same share of `total` as `done` is of `all`.
fn share(total: u64, done: u64, all: u64) -> u64 {
    let scaled = u128::from(total).saturating_mul(u128::from(done)).checked_div(u128::from(all));
    scaled.and_then(|scaled| u64::try_from(scaled).ok()).unwrap_or(total).min(total)
}

impl Client {
    /// Says who is told from now on how far files have come, of this client and its clones; `None`: nobody. It takes the place of what
    /// was given when the client was opened, also for a file that is on its way.
    pub fn set_progress(&self, progress: Option<ProgressFn>) {
        self.shared().progress.set(progress);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_bytes_of_the_file_and_ends_with_all_of_them() {
        assert_eq!(share(700_000, 0, 704_721), 0);
        assert_eq!(share(700_000, 262_144, 704_721), 260_387);
        assert_eq!(share(700_000, 704_721, 704_721), 700_000);
        assert_eq!(share(0, 10, 1_080), 0, "an empty file is padded");
        assert_eq!(share(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
        assert_eq!(share(5, 9, 3), 5, "never more than there is");
    }
}
