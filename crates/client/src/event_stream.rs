//! Events as they come.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::client::Client;
use crate::error::Error;
use crate::message::Event;

/// How often to look for what another process has stored in this home: nothing tells this one.
const POLL: Duration = Duration::from_secs(1);

/// The events of a device, oldest first, each once in the life of this value.
///
/// It reads what is stored. What fills the store is [`Client::follow`] or [`Client::sync`], in this process or another. An event
/// that was not taken ([`Client::take_events`]) comes again from the next stream, after a crash too.
///
/// There is one mark of what was taken for a home: what anybody takes, in another stream or process too, is gone for all that have not
/// read it yet.
pub struct EventStream {
    client: Client,
    changes: watch::Receiver<u64>,
    /// The lowest number that was not handed out.
    next: u64,
    /// What was read and not handed out.
    ahead: VecDeque<Event>,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventStream").field("next", &self.next).finish_non_exhaustive()
    }
}

impl Client {
    /// Returns a stream of the events that were not taken yet and of all that come.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let acme = chancery_dev::Organisation::start("Acme").await?;
    /// # let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    /// # alice.send("bob", "Tea?", &[], chancery_dev::PATIENCE).await?;
    /// let mut events = bob.event_stream();
    /// let reading = async {
    ///     let event = events.next().await?; // in a loop
    ///     println!("{:?}", event.happening);
    ///     bob.take_events(event.number).await
    /// };
    /// tokio::select! {
    ///     read = reading => read?,
    ///     ended = bob.follow(std::future::pending()) => ended?, // receives, and stays connected
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn event_stream(&self) -> EventStream {
        EventStream { client: self.clone(), changes: self.changes(), next: 0, ahead: VecDeque::new() }
    }
}

impl EventStream {
    /// Waits for the next event and returns it. It never ends by itself: [`Client::follow`] says when nothing can come any more.
    ///
    /// # Errors
    ///
    /// As [`Client::events`]; the stream can be asked again.
    ///
    /// # Cancellation
    ///
    /// Nothing is lost: what was not returned is returned by the next call.
    pub async fn next(&mut self) -> Result<Event, Error> {
        loop {
            self.changes.mark_unchanged();
            if self.ahead.is_empty() {
                self.ahead = self.client.events_from(self.next).await?.into();
            }
            if let Some(event) = self.ahead.pop_front() {
                self.next = event.number.saturating_add(1);
                return Ok(event);
            }
            // Either way it is looked again.
            let _ = timeout(POLL, self.changes.changed()).await;
        }
    }
}
