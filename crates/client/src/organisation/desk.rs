//! The enrolment desk: a client of the relay that checks invitations and signs.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceKeys, OrgId, key_epoch};
use chancery_org::{Desk, DeskKeys, ORDER_KIND, OrgError};
use chancery_store::{KeySource, Store};
use chancery_transport::Connector;
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{
    Acknowledge, DeliveryKey, Done, Reply, SealedDirectoryEntry, Signed, StoredEnvelope, Subscribe,
    client_frame,
};
use chancery_wire::records::{Batch, Records};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::queue::append;
use super::{Folder, RelayAddress, address, org_error};
use crate::clock;
use crate::connection::{Connection, Push};
use crate::errand::Errand;
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
    let mut on_ready = Some(on_ready);
    let mut stop = std::pin::pin!(stop);
    loop {
        let office = Office::open(dir, key)?;
        tokio::select! {
            () = &mut stop => return Ok(()),
            ended = office.keep_working(&mut on_ready) => ended?,
        }
        tracing::info!("the organisation's document has changed: the desk opens again");
    }
}

/// The desk at work: its keys, its records, and the way to the relay.
pub(super) struct Office {
    folder: Folder,
    org: OrgId,
    pub(super) desk: Desk,
    // Enrolments are few; a commit on the runtime's thread delays nobody but the next enrolment.
    store: Mutex<Store>,
    relay: Option<(RelayAddress, Arc<dyn Connector>)>,
    /// Whether the log is replayed from its first entry, and not from where the last replay ended.
    pub(super) replays_all: bool,
}

impl Office {
    fn open(dir: &Path, key: &KeySource) -> Result<Self, Error> {
        let folder = Folder::new(dir);
        let (_, desk, store) = folder.open_desk(key)?;
        let office = Self::new(folder, desk, store)?;
        office.relay()?;
        Ok(office)
    }

    /// Takes an open desk to work.
    pub(super) fn new(folder: Folder, desk: Desk, store: Store) -> Result<Self, Error> {
        let relay = match address(desk.organisation()) {
            Some(relay) => {
                let connector = WsConnector::new(&relay.url, relay.pin).map_err(|_| ErrorCode::RelayUrl)?;
                Some((relay, Arc::new(connector) as Arc<dyn Connector>))
            }
            None => None,
        };
        let (org, store) = (desk.organisation().id(), Mutex::new(store));
        Ok(Self { folder, org, desk, store, relay, replays_all: false })
    }

    fn relay(&self) -> Result<&(RelayAddress, Arc<dyn Connector>), Error> {
        self.relay.as_ref().ok_or_else(|| ErrorCode::RelayNotRecorded.into())
    }

    /// Answers and publishes until the organisation's document is another one.
    async fn keep_working<F: FnOnce(&RelayAddress)>(&self, on_ready: &mut Option<F>) -> Result<(), Error> {
        let mut pauses = Pauses::default();
        loop {
            let mut connected = None;
            let outcome = self.work(&mut connected, on_ready).await;
            if self.is_outdated() {
                return Ok(());
            }
            pauses.pause(outcome, connected).await?;
        }
    }

    /// Whether another command has changed the public document, as a renewal of the desk does.
    fn is_outdated(&self) -> bool {
        let now = self.folder.organisation();
        now.is_ok_and(|now| now.as_proto() != self.desk.organisation().as_proto())
    }

    /// Connects and logs in as the desk; returns what the relay says that it has.
    async fn connect(&self) -> Result<(Connection, mpsc::Receiver<Push>, Done), Error> {
        let (keys, credential) = (self.desk.device_keys(), self.desk.credential().signed());
        let logged_in = match self.log_in(keys, credential).await {
            Err(error) if error.code() == ErrorCode::RelayNotAuthorised && self.former()?.is_some() => {
                match self.introduce().await {
                    Ok(()) => self.log_in(keys, credential).await,
                    Err(error) => Err(error),
                }
            }
            other => other,
        };
        logged_in.map_err(|error| match error.code() {
            // Its log lacks the desk's issuer, and nobody who may log in is left to append it.
            ErrorCode::RelayNotAuthorised => {
                let text = "start the relay again with the organisation's public folder as it is now";
                Error::with(ErrorCode::RelayNotAuthorised, text)
            }
            _ => error,
        })
    }

    fn former(&self) -> Result<Option<DeskKeys>, Error> {
        self.store().read(|records| chancery_org::former_desk(records).map_err(|error| org_error(&error)))
    }

    /// Connects and logs in as the desk, for requests only.
    pub(super) async fn errand(&self) -> Result<Errand, Error> {
        let (connection, pushes, _) = self.connect().await?;
        Ok(Errand::new(connection, pushes))
    }

    /// Hands the log a renewed desk, with the login of the one before (R-ORG-45).
    async fn introduce(&self) -> Result<(), Error> {
        let former = self.former()?.ok_or(ErrorCode::RelayNotAuthorised)?;
        let (connection, pushes, _) = self.log_in(former.device(), former.credential()).await?;
        let connection = Errand::new(connection, pushes);
        self.append_all(&connection).await
    }

    async fn log_in(
        &self,
        keys: &DeviceKeys,
        credential: &Signed,
    ) -> Result<(Connection, mpsc::Receiver<Push>, Done), Error> {
        let (connection, pushes) = self.open_connection().await?;
        let pin = self.relay()?.0.pin;
        // Before the relay says what it has: another process may hand it more in between.
        let least =
            self.store().read(|records| Desk::least_log_size(records).map_err(|error| org_error(&error)))?;
        let state = connection.log_in(&self.org, &pin, keys, Some(credential)).await?;
        // A log that has lost entries is not gone on with: it would be forked, and may let devices in that were ended
        // (R-ORG-48).
        if state.log_size < least {
            let text = format!("it has {} entries, and had {least}", state.log_size);
            return Err(Error::with(ErrorCode::LogNotBelieved, text));
        }
        Ok((connection, pushes, state))
    }

    /// Connects without saying who.
    pub(super) async fn open_connection(&self) -> Result<(Connection, mpsc::Receiver<Push>), Error> {
        Connection::open(self.relay()?.1.as_ref(), &self.org).await
    }

    async fn work<F: FnOnce(&RelayAddress)>(
        &self,
        connected: &mut Option<Instant>,
        on_ready: &mut Option<F>,
    ) -> Result<(), Error> {
        let (connection, mut pushes, state) = self.connect().await?;
        *connected = Some(Instant::now());
        self.append_all(&connection).await?;
        self.append_relay_record(&connection).await?;
        self.change(|records| Desk::compare_directory(records, state.directory))?;
        self.publish(&connection).await?;
        connection.done(client_frame::Body::Subscribe(Subscribe {})).await?;
        if let Some(on_ready) = on_ready.take() {
            on_ready(&self.relay()?.0);
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
                    Some(_) => {}
                    None => return Err(ErrorCode::RelayUnreachable.into()),
                },
                _ = interval.tick() => {
                    if self.is_outdated() {
                        return Ok(());
                    }
                    self.publish(connection).await?;
                }
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

    /// Answers one request: commit, hand to the log, publish the directory entry, reply, and only then acknowledge.
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

    /// Hands the log the record of where the relay is, which its copy of the document may be older than.
    async fn append_relay_record(&self, connection: &Connection) -> Result<(), Error> {
        let Some(record) = self.desk.organisation().as_proto().relay.clone() else { return Ok(()) };
        match append(connection, LeafKind::Relay, record).await {
            Err(error) if is_refusal(error.code()) || error.code() == ErrorCode::RelayNotAuthorised => {
                tracing::info!(code = error.code().name(), "the log keeps its own record of the relay");
                Ok(())
            }
            other => other.map(drop),
        }
    }

    /// Hands the log what waits for it (R-ORG-41), gives the key of delivery tokens (R-RELAY-56), and then publishes what the relay does not have yet: updates of the
    /// directory key, and then entries (R-ORG-37).
    pub(super) async fn publish(&self, connection: &Connection) -> Result<(), Error> {
        self.append_all(connection).await?;
        // An end in the log costs who was removed the tokens at once, before anybody is told of the new key.
        self.give_delivery_key(connection).await?;
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

    /// Gives the relay the key by which it checks delivery tokens; one that it has already changes nothing.
    async fn give_delivery_key(&self, connection: &Connection) -> Result<(), Error> {
        let key = |records: &dyn Records| self.desk.delivery_key(records).map_err(|error| org_error(&error));
        let key = self.store().read(key)?;
        let key = DeliveryKey { epoch: key.epoch(), key: key.secret().expose().to_vec() };
        match connection.done(client_frame::Body::SetDeliveryKey(key)).await {
            // It has a newer one: this store looks as if it was put back from an old copy. Or it is an older relay.
            Err(error) if is_refusal(error.code()) => {
                tracing::warn!(code = error.code().name(), "the relay refuses the key of delivery tokens");
                Ok(())
            }
            other => other,
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
    pub(super) fn change(
        &self,
        work: impl FnOnce(&dyn Records) -> Result<Batch, OrgError>,
    ) -> Result<(), Error> {
        self.store().transaction(|records| Ok((work(records).map_err(|error| org_error(&error))?, ())))
    }

    pub(super) fn store(&self) -> std::sync::MutexGuard<'_, Store> {
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
