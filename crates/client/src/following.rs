//! Being connected: once, or for as long as the application runs.

use std::time::Duration;

use chancery_engine::next_group_care;
use chancery_transport::Backoff;
use chancery_wire::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::client::Client;
use crate::connection_state::Connection;
use crate::error::{Error, ErrorCode};
use crate::mailbox::Mailbox;
use crate::outbox::Look;
use crate::{clock, outbox};

/// How often a follower looks for messages that another process has queued: every 2 s.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(2);
/// A connection that lasted this long was a good one: the next failure starts with short waits again.
const GOOD_CONNECTION: Duration = Duration::from_secs(2);

impl Client {
    /// Connects once: sends what waits, and meanwhile renews prekeys when due and takes over directory and
    /// envelopes until the mailbox is empty; then sends what waits for groups. Returns the number of envelopes.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RelayUnreachable`] and others of the connection, [`ErrorCode::TimedOut`] after `patience`; what was
    /// taken over stays.
    ///
    /// # Cancellation
    ///
    /// May be dropped at any time: what was taken over stays, and what was not comes again. [`Self::changes`] may then
    /// not have told of it.
    pub async fn sync(&self, patience: Duration) -> Result<usize, Error> {
        let deadline = clock::deadline(patience);
        // What another process is sending already need not be waited for.
        let sending = timeout_at(deadline, self.flush_quietly(Instant::now()));
        let (sent, received) = tokio::join!(sending, timeout_at(deadline, self.receive()));
        let (mut mailbox, count) = received.unwrap_or_else(|_| Err(ErrorCode::TimedOut.into()))?;
        sent.unwrap_or(Ok(()))?;
        // What arrived may call for an answer that nobody wrote: a heal, or an acknowledgement.
        let sending = timeout_at(deadline, self.flush_quietly(Instant::now()));
        mailbox.attending(self.shared(), sending).await.unwrap_or(Ok(()))?;
        Ok(count)
    }

    /// Connects and takes over envelopes until the mailbox is empty; returns the connection, and how many there were.
    pub(crate) async fn receive(&self) -> Result<(Mailbox, usize), Error> {
        let mut mailbox = Mailbox::open(self.shared()).await?;
        mailbox.sync_directory(self.shared()).await?;
        mailbox.upkeep(self.shared()).await?;
        mailbox.subscribe().await?;
        let count = mailbox.drain(self.shared()).await?;
        mailbox.look_after_sessions(self.shared()).await?;
        Ok((mailbox, count))
    }

    /// Keeps connected: takes over what arrives and sends what waits, reconnecting with back-off, until
    /// `stop` ends. What comes is told by [`Self::event_stream`], whose example runs beside this.
    ///
    /// # Errors
    ///
    /// Only what waiting does not mend: another relay, a refused device, a damaged store.
    ///
    /// # Cancellation
    ///
    /// May be dropped at any time: as [`Self::sync`]. `stop` does the same.
    pub async fn follow(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            () = stop => Ok(()),
            ended = self.keep_following() => ended,
        }
    }

    async fn keep_following(&self) -> Result<(), Error> {
        let mut pauses = Pauses::default();
        let line = &self.shared().line;
        let _off = line.off_at_end();
        loop {
            let mut connected = None;
            line.set(Connection::Connecting);
            let outcome = self.follow_once(&mut connected).await;
            let why = outcome.clone().err().unwrap_or_else(|| ErrorCode::RelayUnreachable.into());
            let pause = pauses.next(outcome, connected)?;
            line.set(Connection::Waiting { why, until: clock::now().after(pause) });
            tokio::time::sleep(pause).await;
        }
    }

    async fn follow_once(&self, connected: &mut Option<Instant>) -> Result<(), Error> {
        let mut mailbox = Mailbox::open(self.shared()).await?;
        *connected = Some(Instant::now());
        tracing::info!("connected");
        self.shared().line.set(Connection::CatchingUp);
        mailbox.subscribe().await?;
        mailbox.sync_directory(self.shared()).await?;
        mailbox.upkeep(self.shared()).await?;
        tokio::select! {
            ended = mailbox.follow(self.shared()) => ended,
            ended = self.keep_flushing() => ended,
        }
    }

    /// Sends what waits, whenever something does. That sending fails does not end receiving (R-ENGINE-13).
    async fn keep_flushing(&self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            let held = self.shared().holds.at(Instant::now());
            let mut pause = OUTBOX_INTERVAL;
            let due = match outbox::look(self.shared(), held, self.shared().has_caught_up()).await? {
                Look::Idle(due) => due,
                Look::Work(_) => match outbox::empty(self.shared(), clock::deadline(OUTBOX_INTERVAL)).await {
                    Ok(emptied) => {
                        backoff.reset();
                        emptied.due
                    }
                    Err(error) if error.code() == ErrorCode::StoreBusy || error.is_retryable() => {
                        if error.code() != ErrorCode::StoreBusy {
                            tracing::info!(code = error.code().name(), "sending waits");
                            pause = pause.max(backoff.next(&mut clock::rng()?));
                        }
                        // It ended before its last look, and what it has done may have made something due.
                        self.shared().worker.call(|state| state.read(next_group_care)).await?
                    }
                    Err(error) => return Err(error),
                },
            };
            let pause = until(due, pause);
            let _ = tokio::time::timeout(pause, self.shared().wake.notified()).await;
        }
    }

    /// Empties the outbox; what must wait is no error of the caller's.
    async fn flush_quietly(&self, deadline: Instant) -> Result<(), Error> {
        match outbox::flush(self.shared(), deadline).await {
            Err(error) if !error.is_retryable() => Err(error),
            Err(error) => {
                tracing::info!(code = error.code().name(), "sending waits");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}

/// How long until something of a group that is due at this time; `most` if nothing is before. What is due and could not be done now
/// is no reason for haste.
fn until(due: Option<Timestamp>, most: Duration) -> Duration {
    let left = due.map(|due| due.as_millis().saturating_sub(clock::now().as_millis()));
    left.filter(|&left| left > 0).map_or(most, |left| most.min(Duration::from_millis(left)))
}

/// The pauses between connections.
#[derive(Default)]
pub(crate) struct Pauses {
    backoff: Backoff,
}

impl Pauses {
    /// Waits for the next try as [`Self::next`] says.
    pub(crate) async fn pause(
        &mut self,
        outcome: Result<(), Error>,
        connected: Option<Instant>,
    ) -> Result<(), Error> {
        tokio::time::sleep(self.next(outcome, connected)?).await;
        Ok(())
    }

    /// Returns how long to wait for the next try after a connection that ended, and was there since `connected`; an error that
    /// waiting does not mend is returned as it is.
    fn next(&mut self, outcome: Result<(), Error>, connected: Option<Instant>) -> Result<Duration, Error> {
        if connected.is_some_and(|since| since.elapsed() >= GOOD_CONNECTION) {
            self.backoff.reset();
        }
        match outcome {
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => tracing::info!(code = error.code().name(), "not connected"),
            Ok(()) => {}
        }
        Ok(self.backoff.next(&mut clock::rng()?))
    }
}
