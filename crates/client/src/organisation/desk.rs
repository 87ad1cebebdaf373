//! The enrolment desk: a client of the relay that checks invitations and signs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::log::LeafKind;
use chancery_identity::{OrgId, key_epoch};
use chancery_org::{Desk, ORDER_KIND, OrgError};
use chancery_store::{KeySource, Store};
use chancery_transport::Connector;
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{
    Acknowledge, AppendLog, Reply, SealedDirectoryEntry, StoredEnvelope, Subscribe, client_frame,
};
use chancery_wire::records::{Batch, Records};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Folder, RelayAddress, address, org_error};
use crate::clock;
use crate::connection::{Connection, Push};
use crate::error::{Error, ErrorCode};
use crate::following::Pauses;

/// How often the desk looks for directory entries that were not published: every 30 s.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(30);

/// Answers enrolments until `stop` ends, reconnecting with back-off. `on_ready` is called once, after the
/// first login at the relay.
///
/// # Errors
///
/// [`ErrorCode::RelayNotRecorded`], [`ErrorCode::WrongPassphrase`] and errors of the store at the start;
/// later only what waiting does not mend: another relay, a refused desk, a damaged store.
pub async fn serve(
    dir: &Path,
    key: &KeySource,
    on_ready: impl FnOnce(&RelayAddress),
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let (organisation, desk, store) = Folder::new(dir).open_desk(key)?;
    let relay = address(&organisation).ok_or(ErrorCode::RelayNotRecorded)?;
    let connector: Arc<dyn Connector> =
        Arc::new(WsConnector::new(&relay.url, relay.pin).map_err(|_| ErrorCode::RelayUrl)?);
    let office = Office { org: organisation.id(), desk, store: Mutex::new(store), relay, connector };
    tokio::select! {
        () = stop => Ok(()),
        ended = office.keep_working(on_ready) => ended,
    }
}

struct Office {
    org: OrgId,
    desk: Desk,
    // Enrolments are few; a commit on the runtime's thread delays nobody but the next enrolment.
    store: Mutex<Store>,
    relay: RelayAddress,
    connector: Arc<dyn Connector>,
}

impl Office {
    async fn keep_working(&self, on_ready: impl FnOnce(&RelayAddress)) -> Result<(), Error> {
        let mut on_ready = Some(on_ready);
        let mut pauses = Pauses::default();
        loop {
            let mut connected = None;
            let outcome = self.work(&mut connected, &mut on_ready).await;
            pauses.pause(outcome, connected).await?;
        }
    }

    async fn work<F: FnOnce(&RelayAddress)>(
        &self,
        connected: &mut Option<Instant>,
        on_ready: &mut Option<F>,
    ) -> Result<(), Error> {
        let (connection, mut pushes) = Connection::open(self.connector.as_ref(), &self.org).await?;
        let credential = self.desk.credential().signed();
        let keys = self.desk.device_keys();
        let state = connection.log_in(&self.org, &self.relay.pin, keys, Some(credential)).await?;
        *connected = Some(Instant::now());
        self.publish_relay_record(&connection).await?;
        self.change(|records| Desk::compare_directory(records, state.directory))?;
        self.publish(&connection).await?;
        connection.done(client_frame::Body::Subscribe(Subscribe {})).await?;
        if let Some(on_ready) = on_ready.take() {
            on_ready(&self.relay);
        }
        tracing::info!("the desk is connected");
        self.answer_all(&connection, &mut pushes).await
    }

    async fn answer_all(
        &self,
        connection: &Connection,
        pushes: &mut mpsc::Receiver<Push>,
    ) -> Result<(), Error> {
        let mut interval = tokio::time::interval(PUBLISH_INTERVAL);
        interval.tick().await;
        let mut behind = true;
        loop {
            tokio::select! {
                push = pushes.recv() => match push {
                    Some(Push::Envelope(stored)) => self.answer(connection, stored).await?,
                    Some(Push::CaughtUp | Push::LogGrown | Push::Revoked(_)) => {}
                    None => return Err(ErrorCode::RelayUnreachable.into()),
                },
                _ = interval.tick() => self.publish(connection).await?,
                // Enrolments come in between.
                () = std::future::ready(()), if behind => behind = self.catch_up(connection).await?,
            }
        }
    }

    /// Publishes some entries again that a relay may have lost; returns whether there may be more.
    async fn catch_up(&self, connection: &Connection) -> Result<bool, Error> {
        let mut rng = clock::rng()?;
        let behind = self.store().transaction(|records| {
            let batch =
                self.desk.catch_up(records, clock::now(), &mut rng).map_err(|error| org_error(&error))?;
            let behind = batch.is_some();
            Ok::<_, Error>((batch.unwrap_or_default(), behind))
        })?;
        if behind {
            tracing::info!("the relay's directory is brought up to date");
            self.publish(connection).await?;
        }
        Ok(behind)
    }

    /// Answers one request: commit, publish the directory entry, reply, and only then acknowledge.
    async fn answer(&self, connection: &Connection, stored: StoredEnvelope) -> Result<(), Error> {
        let mut rng = clock::rng()?;
        let replies =
            self.store().transaction(|records| match self.decide(records, &stored.envelope, &mut rng) {
                Ok((batch, replies)) => Ok((batch, Some(replies))),
                Err(OrgError::NotAuthentic) => Ok((Batch::default(), None)),
                Err(error) => Err(org_error(&error)),
            })?;
        match replies {
            Some(replies) => {
                self.publish(connection).await?;
                for reply in replies {
                    self.reply(connection, reply).await?;
                }
            }
            None => tracing::warn!("a request to the desk does not authenticate and was dropped"),
        }
        let acknowledge = Acknowledge { sequences: vec![stored.sequence] };
        connection.done(client_frame::Body::Acknowledge(acknowledge)).await
    }

    /// What the desk makes of an envelope: a new device's request, or an order of a member's device.
    fn decide(
        &self,
        records: &dyn Records,
        envelope: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<(Batch, Vec<chancery_org::Reply>), OrgError> {
        if envelope.first() == Some(&ORDER_KIND) {
            let done = self.desk.carry_out(records, envelope, clock::now(), rng)?;
            if done.key_stays {
                tracing::warn!("a device was removed, but the directory key has changed as often as it can");
            }
            return Ok((done.batch, done.replies));
        }
        let answered = self.desk.answer(records, envelope, clock::now(), rng)?;
        let reply = chancery_org::Reply { mailbox: answered.reply_mailbox, envelope: answered.reply };
        Ok((answered.batch, vec![reply]))
    }

    async fn reply(&self, connection: &Connection, reply: chancery_org::Reply) -> Result<(), Error> {
        let delivery_id = random_bytes::<16>(&mut clock::rng()?).to_vec();
        let reply = Reply { mailbox: reply.mailbox.to_vec(), delivery_id, envelope: reply.envelope };
        match connection.done(client_frame::Body::Reply(reply)).await {
            Ok(()) => tracing::info!("a device was answered"),
            // A device that asks again is answered again. Until then it must not hold up the others.
            Err(error) if is_refusal(error.code()) => {
                tracing::warn!(code = error.code().name(), "an answer was refused and dropped");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Hands the relay the record of where it is, which its copy of the document may be older than.
    async fn publish_relay_record(&self, connection: &Connection) -> Result<(), Error> {
        let statement = self.desk.organisation().as_proto().relay.clone();
        let append = AppendLog { kind: LeafKind::Relay.number().into(), statement };
        match connection.request(client_frame::Body::AppendLog(append)).await.map(drop) {
            Err(error) if is_refusal(error.code()) || error.code() == ErrorCode::RelayNotAuthorised => {
                tracing::info!(code = error.code().name(), "the relay keeps its own record");
                Ok(())
            }
            other => other,
        }
    }

    /// Publishes what the relay does not have yet: updates of the directory key, and then entries (R-ORG-37).
    async fn publish(&self, connection: &Connection) -> Result<(), Error> {
        loop {
            let pending = self
                .store()
                .read(|records| Desk::pending_directory(records).map_err(|error| org_error(&error)))?;
            let updates = pending.first().is_some_and(|entry| key_epoch(entry) == Some(0));
            for entry in pending {
                let settled = self.publish_one(connection, entry).await?;
                // What is sealed under a key must not come before the key. A refused entry holds up nothing.
                if updates && !settled {
                    return Ok(());
                }
            }
            if !updates {
                return Ok(());
            }
        }
    }

    /// Publishes one entry or update; returns whether it waits no longer.
    async fn publish_one(&self, connection: &Connection, entry: SealedDirectoryEntry) -> Result<bool, Error> {
        let (entry_id, version) = (entry.entry_id.clone(), entry.version);
        match connection.state(client_frame::Body::PublishDirectory(entry)).await {
            Ok(state) => {
                let directory = state.directory;
                self.change(|records| Desk::directory_published(records, &entry_id, version, directory))?;
                Ok(true)
            }
            Err(error) if error.code() == ErrorCode::RelayConflict => {
                let code = error.code().name();
                tracing::warn!(
                    code,
                    "the relay has a newer directory entry: the desk's store looks as if it was put back from an old copy"
                );
                self.change(|records| Desk::directory_superseded(records, &entry_id, version))?;
                Ok(true)
            }
            // It stays to be published; enrolments do not wait for it.
            Err(error) if is_refusal(error.code()) => {
                tracing::warn!(code = error.code().name(), "a directory entry was refused");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Commits what the desk makes of its records.
    fn change(&self, work: impl FnOnce(&dyn Records) -> Result<Batch, OrgError>) -> Result<(), Error> {
        self.store().transaction(|records| Ok((work(records).map_err(|error| org_error(&error))?, ())))
    }

    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the relay will not take this one thing, though it takes others.
const fn is_refusal(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::QuotaExceeded
            | ErrorCode::RelayConflict
            | ErrorCode::RelayRefused
            | ErrorCode::RelayNotFound
            | ErrorCode::MessageTooLarge
    )
}
