//! Reading this device's mailbox: envelopes, directory and prekey upkeep over one authenticated connection.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chancery_engine::{Effect, Input, Notice, directory_cursor, next_upkeep};
use chancery_wire::Timestamp;
use chancery_wire::proto::{
    Acknowledge, GetCheckpoint, PrekeyUpload, Revoked, Subscribe, SyncDirectory, client_frame, relay_frame,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::client::Shared;
use crate::clock;
use crate::connection::{Connection, LoggedIn, Push};
use crate::connection_state::Connection as ConnectionState;
use crate::error::{Error, ErrorCode};
use crate::log;

/// Envelopes taken over in one transaction: 64, as many as the relay pushes unacknowledged.
const BATCH: usize = 64;
/// How often a follower asks for directory changes: every 30 s. Members who enrol later can then write and
/// be written to without a restart.
const DIRECTORY_INTERVAL: Duration = Duration::from_secs(30);

/// How often a follower looks after sessions at least: every 30 s. What was drawn at random is done at its own time.
const SESSION_INTERVAL: Duration = Duration::from_secs(30);
/// Envelopes before an answer that say that there may be more behind it: 32, half of what the relay pushes ahead of acknowledgements.
const AHEAD: usize = 32;
/// The same in bytes: 512 KiB, half of that as well.
const AHEAD_BYTES: usize = 512 * 1024;

/// An authenticated connection and what it pushes.
pub(crate) struct Mailbox {
    connection: Connection,
    pushes: mpsc::Receiver<Push>,
    caught_up: Option<CaughtUp>,
}

/// Says that the mailbox was read to its end, for as long as the connection is kept.
struct CaughtUp(Arc<Shared>);

impl CaughtUp {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.caught_up.fetch_add(1, Ordering::Relaxed);
        shared.hearing.heard();
        // What had to wait for this goes now.
        shared.wake.notify_one();
        Self(shared.clone())
    }
}

impl Drop for CaughtUp {
    fn drop(&mut self) {
        self.0.caught_up.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What was pushed.
#[derive(Default)]
struct Pushed {
    envelopes: Vec<(u64, Vec<u8>)>,
    /// The relay has sent all it had.
    caught_up: bool,
    /// The log has grown since the envelopes were stored.
    log_grown: bool,
    /// The relay says that this device was ended.
    revoked: Option<Box<Revoked>>,
}

impl Mailbox {
    /// Connects, proves the device, and brings the log up to date, before anything else is believed (R-ENGINE-32).
    pub(crate) async fn open(shared: &Shared) -> Result<Self, Error> {
        let (connection, pushes, pin) = shared.connect().await?;
        let device = &shared.device;
        let answer = connection.log_in_member(&shared.org, &pin, &device.keys, &device.credential).await?;
        let has = match answer {
            LoggedIn::In(has) => has,
            LoggedIn::Ended(revoked) => return Err(log::ended(shared, &connection, *revoked).await),
        };
        let (sequence, pairs) = (has.prekeys, has.pairs);
        // What is made is kept, and published by the upkeep that follows.
        shared.worker.call(move |state| state.handle(Input::PrekeysAtRelay { sequence, pairs })).await?;
        let mailbox = Self { connection, pushes, caught_up: None };
        mailbox.sync_log(shared).await?;
        Ok(mailbox)
    }

    /// Brings the log up to date. One that is not valid keeps this device from sending, not from reading.
    pub(crate) async fn sync_log(&self, shared: &Shared) -> Result<(), Error> {
        match log::sync(shared, &self.connection).await {
            Err(error) if error.code() == ErrorCode::LogInvalid => {
                tracing::warn!(code = error.code().name(), %error, "the organisation's log");
                Ok(())
            }
            other => other,
        }
    }

    /// The connection, for what is asked of the relay besides.
    pub(crate) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes over directory changes that this device has not seen.
    pub(crate) async fn sync_directory(&self, shared: &Shared) -> Result<(), Error> {
        let mut after = shared.worker.call(|state| state.read(directory_cursor)).await?;
        loop {
            let request = client_frame::Body::SyncDirectory(SyncDirectory { after });
            let relay_frame::Body::DirectoryPage(page) = self.connection.request(request).await? else {
                return Err(ErrorCode::RelayProtocol.into());
            };
            let mut more = page.more && !page.changes.is_empty();
            if let Some(end) = page.changes.last().map(|change| change.sequence) {
                let effects = shared.worker.call(move |state| state.handle(Input::Directory(&page))).await?;
                announce(shared, &effects);
                after = shared.worker.call(|state| state.read(directory_cursor)).await?;
                // A change of the directory key may have some of it read again (R-ENGINE-51).
                more |= after < end;
            }
            if !more {
                return shared.address_waiting().await;
            }
        }
    }

    /// Publishes prekeys if it is time.
    pub(crate) async fn upkeep(&self, shared: &Shared) -> Result<(), Error> {
        let mut effects = shared.worker.call(|state| state.handle(Input::Upkeep)).await?;
        // A refused batch may be replaced at once, and the other is the last.
        for _ in 0..2 {
            let uploads = effects.into_iter().filter_map(|effect| match effect {
                Effect::PublishPrekeys(upload) => Some(upload),
                _ => None,
            });
            let mut more = Vec::new();
            for upload in uploads {
                more.extend(self.publish(shared, upload).await?);
            }
            effects = more;
        }
        Ok(())
    }

    /// Looks after sessions, once the relay has pushed all that it had (R-ENGINE-29); returns when that was.
    pub(crate) async fn look_after_sessions(&self, shared: &Shared) -> Result<Timestamp, Error> {
        let now = clock::now();
        shared.worker.call(|state| state.handle(Input::CaughtUp)).await?;
        let effects = shared.worker.call(|state| state.handle(Input::SessionUpkeep)).await?;
        announce(shared, &effects);
        Ok(now)
    }

    async fn publish(&self, shared: &Shared, upload: PrekeyUpload) -> Result<Vec<Effect>, Error> {
        let sequence = sequence_of(&upload)?;
        let answer = self.connection.done(client_frame::Body::PublishPrekeys(upload)).await;
        let input = match answer {
            Ok(()) => Input::PrekeysPublished { sequence },
            Err(error) if is_refusal(error.code()) => {
                tracing::warn!(code = error.code().name(), "the relay refuses prekeys");
                Input::PrekeysRefused { sequence }
            }
            // Its disk may be full of what waits for this device: that must not keep it from reading.
            Err(error) if may_wait(error.code()) => {
                tracing::info!(code = error.code().name(), "prekeys wait");
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        shared.worker.call(move |state| state.handle(input)).await
    }

    /// Asks for everything that is stored, and for what comes later.
    pub(crate) async fn subscribe(&self) -> Result<(), Error> {
        self.connection.done(client_frame::Body::Subscribe(Subscribe {})).await
    }

    /// Takes over envelopes until the relay has no more; returns how many.
    pub(crate) async fn drain(&mut self, shared: &Arc<Shared>) -> Result<usize, Error> {
        let mut count = 0_usize;
        loop {
            let pushed = self.next().await?;
            let caught_up = pushed.caught_up;
            count = count.saturating_add(pushed.envelopes.len());
            self.take_pushed(shared, pushed).await?;
            if caught_up {
                self.caught_up.get_or_insert_with(|| CaughtUp::new(shared));
                return Ok(count);
            }
        }
    }

    /// Does some work, and says meanwhile whether the mailbox is read to its end when that is asked. If that cannot be said any
    /// more, nothing goes for groups (R-ENGINE-79), and the work goes on.
    pub(crate) async fn attending<T>(&mut self, shared: &Arc<Shared>, work: impl Future<Output = T>) -> T {
        let attend = async {
            let attending = shared.hearing.attend();
            let ended: Result<Infallible, Error> = async {
                loop {
                    shared.hearing.asked().await;
                    self.hear(shared).await?;
                }
            }
            .await;
            let Err(error) = ended;
            tracing::info!(code = error.code().name(), "the mailbox is not heard any more");
            self.caught_up = None;
            drop(attending);
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            done = work => done,
            never = attend => match never {},
        }
    }

    /// Finds out whether the mailbox is read to its end: what the relay pushed before it answers is taken over first.
    async fn hear(&mut self, shared: &Arc<Shared>) -> Result<(), Error> {
        self.connection.request(client_frame::Body::GetCheckpoint(GetCheckpoint::default())).await?;
        let (mut count, mut bytes) = (0_usize, 0_usize);
        while let Ok(push) = self.pushes.try_recv() {
            let pushed = self.collect(push);
            let caught_up = pushed.caught_up;
            count = count.saturating_add(pushed.envelopes.len());
            bytes = pushed.envelopes.iter().map(|it| it.1.len()).fold(bytes, usize::saturating_add);
            self.take_pushed(shared, pushed).await?;
            if caught_up {
                self.caught_up.get_or_insert_with(|| CaughtUp::new(shared));
            }
        }
        if count >= AHEAD || bytes >= AHEAD_BYTES {
            // There may be more.
            shared.hearing.wonder();
        } else if self.caught_up.is_some() {
            shared.hearing.heard();
        }
        Ok(())
    }

    /// Takes over envelopes as they come, for as long as the connection lasts.
    pub(crate) async fn follow(&mut self, shared: &Arc<Shared>) -> Result<(), Error> {
        let mut interval = tokio::time::interval(DIRECTORY_INTERVAL);
        interval.tick().await;
        let mut looked_after = None;
        let _attending = shared.hearing.attend();
        loop {
            let due = match looked_after {
                None => None,
                Some(last) => {
                    let next = shared.worker.call(move |state| state.read(|r| next_upkeep(r, last))).await?;
                    Instant::now().checked_add(pause(last, next, clock::now()))
                }
            };
            tokio::select! {
                next = self.next() => {
                    let pushed = next?;
                    let caught_up = pushed.caught_up;
                    self.take_pushed(shared, pushed).await?;
                    if caught_up {
                        self.caught_up.get_or_insert_with(|| CaughtUp::new(shared));
                        shared.line.set(ConnectionState::Connected);
                        looked_after = Some(self.look_after_sessions(shared).await?);
                    }
                }
                () = shared.hearing.asked() => {
                    self.hear(shared).await?;
                    if self.caught_up.is_some() && looked_after.is_none() {
                        shared.line.set(ConnectionState::Connected);
                        looked_after = Some(self.look_after_sessions(shared).await?);
                    }
                }
                () = at(due) => looked_after = Some(self.look_after_sessions(shared).await?),
                _ = interval.tick() => {
                    self.sync_log(shared).await?;
                    self.sync_directory(shared).await?;
                    self.upkeep(shared).await?;
                }
            }
        }
    }

    /// Waits for pushes and collects what is there; the flag says that the relay has sent all it had.
    ///
    /// Cancel-safe: nothing is awaited after the first push was taken.
    async fn next(&mut self) -> Result<Pushed, Error> {
        let push = self.pushes.recv().await.ok_or(ErrorCode::RelayUnreachable)?;
        Ok(self.collect(push))
    }

    fn collect(&mut self, first: Push) -> Pushed {
        let (mut pushed, mut push) = (Pushed::default(), first);
        loop {
            match push {
                Push::CaughtUp => pushed.caught_up = true,
                // What comes behind it is handled by what the log says then.
                Push::LogGrown => pushed.log_grown = true,
                Push::Revoked(revoked) => pushed.revoked = Some(revoked),
                Push::Envelope(stored) => pushed.envelopes.push((stored.sequence, stored.envelope)),
            }
            let ends = pushed.caught_up || pushed.log_grown || pushed.revoked.is_some();
            if ends || pushed.envelopes.len() >= BATCH {
                return pushed;
            }
            match self.pushes.try_recv() {
                Ok(more) => push = more,
                Err(_) => return pushed,
            }
        }
    }

    /// Does what was pushed, in its order.
    async fn take_pushed(&self, shared: &Arc<Shared>, pushed: Pushed) -> Result<(), Error> {
        self.take(shared, pushed.envelopes).await?;
        if let Some(revoked) = pushed.revoked {
            return Err(log::ended(shared, &self.connection, *revoked).await);
        }
        if pushed.log_grown {
            self.sync_log(shared).await?;
            self.sync_directory(shared).await?;
        }
        Ok(())
    }

    /// Commits envelopes, then acknowledges them.
    async fn take(&self, shared: &Arc<Shared>, envelopes: Vec<(u64, Vec<u8>)>) -> Result<(), Error> {
        if envelopes.is_empty() {
            return Ok(());
        }
        let received = shared.worker.call(move |state| state.receive(&envelopes)).await?;
        if received.log {
            self.sync_log(shared).await?;
        }
        let named = if received.strangers || received.log {
            // Whoever is told of the message should be told its sender's name with it.
            self.sync_directory(shared).await
        } else {
            Ok(())
        };
        if received.stored {
            shared.worker.announce();
        }
        for typing in received.typing {
            // Nobody may be listening.
            let _ = shared.typing.send(typing);
        }
        if received.group {
            shared.holds.retry_groups();
            shared.wake.notify_one();
        }
        // A directory that cannot be had is no reason to be given the same envelopes again.
        let sequences = received.sequences;
        if sequences.is_empty() {
            return named;
        }
        self.connection.done(client_frame::Body::Acknowledge(Acknowledge { sequences })).await?;
        named
    }
}

/// Tells listeners if there are new events, and returns whether there are.
pub(crate) fn announce(shared: &Shared, effects: &[Effect]) -> bool {
    let are_there = effects.iter().any(|effect| matches!(effect, Effect::Notify(Notice::EventStored(_))));
    if are_there {
        shared.worker.announce();
    }
    are_there
}

/// How long after `now` sessions are looked after that were at `last`; `next` is the time that was drawn for something.
fn pause(last: Timestamp, next: Option<Timestamp>, now: Timestamp) -> Duration {
    let until = |time: Timestamp| Duration::from_millis(time.as_millis().saturating_sub(now.as_millis()));
    let regular = until(last.after(SESSION_INTERVAL)).min(SESSION_INTERVAL);
    next.map_or(regular, |next| until(next).min(regular))
}

/// Waits until `due`; without a time for ever.
async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Whether an upload of prekeys may wait while this device reads.
const fn may_wait(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RelayFull | ErrorCode::QuotaExceeded | ErrorCode::RelayUnavailable)
}

/// Whether repeating the same upload is of no use.
const fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::RelayConflict
            | ErrorCode::RelayRefused
            | ErrorCode::RelayNotAuthorised
            | ErrorCode::MessageTooLarge
    )
}

fn sequence_of(upload: &PrekeyUpload) -> Result<u64, Error> {
    use chancery_wire::{Limit, decode, proto::PrekeyBatchBody};
    let signed = upload.batch.as_ref().ok_or(ErrorCode::Internal)?;
    let body = decode::<PrekeyBatchBody>(&signed.body, Limit::STATEMENT).map_err(|_| ErrorCode::Internal)?;
    Ok(body.unchecked().sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_drawn_is_done_at_its_own_time_r_engine_29() {
        let time = |seconds: u64| Timestamp::from_millis(1_000_000 + seconds * 1000);
        let wait = |last, next: Option<u64>, now| pause(time(last), next.map(time), time(now)).as_secs();
        assert_eq!(wait(0, None, 5), 25);
        assert_eq!(wait(0, Some(9), 5), 4);
        assert_eq!(wait(0, Some(90), 5), 25);
        assert_eq!(wait(0, Some(3), 5), 0, "it passed while something was read");
        assert_eq!(wait(900, Some(950), 5), 30, "a clock that went back");
        assert_eq!(wait(0, None, 900), 0);
    }
}
