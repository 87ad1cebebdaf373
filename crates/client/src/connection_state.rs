//! Whether a follower is connected, and if not, why and until when it waits.

use chancery_wire::Timestamp;
use tokio::sync::watch;

use crate::client::Client;
use crate::error::Error;

/// How a client that follows stands to its relay.
///
/// States of later versions may be added: whoever does not know one shows what it showed before.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Connection {
    /// Nobody follows: [`Client::follow`] was not called, or has ended.
    #[default]
    Off,
    /// The relay is being reached.
    Connecting,
    /// It was reached, and what has come meanwhile is being taken over.
    CatchingUp,
    /// All that had come was taken over; what comes now comes at once.
    Connected,
    /// There is no connection, and it will be tried again.
    Waiting {
        /// Why there is none. Some of it somebody has to mend, such as [`crate::ErrorCode::DiskFull`]; it is tried all the same.
        why: Error,
        /// When it is tried again, by this device's clock.
        until: Timestamp,
    },
}

impl Connection {
    /// Returns the name by which programs know it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Connecting => "connecting",
            Self::CatchingUp => "catching-up",
            Self::Connected => "connected",
            Self::Waiting { .. } => "waiting",
        }
    }
}

/// Where it is set: once for each client, whatever the number of its clones.
#[derive(Debug, Default)]
pub(crate) struct Line(watch::Sender<Connection>);

impl Line {
    pub(crate) fn set(&self, now: Connection) {
        self.0.send_if_modified(|state| {
            let is_new = *state != now;
            *state = now;
            is_new
        });
    }

    /// Says that nobody follows, once what this returns is dropped: also if the follower is.
    pub(crate) const fn off_at_end(&self) -> OffAtEnd<'_> {
        OffAtEnd(self)
    }
}

/// See [`Line::off_at_end`].
pub(crate) struct OffAtEnd<'a>(&'a Line);

impl Drop for OffAtEnd<'_> {
    fn drop(&mut self) {
        self.0.set(Connection::Off);
    }
}

impl Client {
    /// Returns how [`Self::follow`] stands to the relay, now and whenever it changes; [`Connection::Off`] while nobody follows.
    /// [`Self::sync`] and other calls that connect change nothing here. Of several followers of one client it is what was said last.
    ///
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (_acme, _alice, bob) = two_people().await?;
    /// use chancery::Connection;
    ///
    /// let mut line = bob.connection();
    /// let showing = async {
    ///     loop {
    ///         let now = line.borrow_and_update().clone();
    ///         match &now {
    ///             Connection::Waiting { why, .. } => println!("no connection: {why}"),
    ///             other => println!("{}", other.name()),
    ///         }
    /// #       if now == Connection::Connected { return Ok::<(), chancery_dev::Error>(()); }
    ///         line.changed().await?;
    ///     }
    /// };
    /// tokio::select! {
    ///     ended = bob.follow(std::future::pending()) => ended?,
    ///     shown = showing => shown?,
    /// }
    /// assert_eq!(*bob.connection().borrow(), Connection::Off);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.shared().line.0.subscribe()
    }
}
