//! One device of a member, as an application sees it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chancery_engine::{Draft, Engine, Input, Letter, MessageState, Step, next_step};
use chancery_identity::{DeviceId, DeviceKeys, MemberId, OrgId};
use chancery_store::{KeySource, Store};
use chancery_transport::{Backoff, Connector};
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{Attachment, Signed};
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, timeout_at};

use crate::attachment::{self, ProgressFn};
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};
use crate::home::Home;
use crate::mailbox::Mailbox;
use crate::message::{Event, Message, News};
use crate::outbox::{self, Holds};
use crate::worker::Worker;

/// How often a follower looks for messages that another process has queued: every 2 s.
const OUTBOX_INTERVAL: Duration = Duration::from_secs(2);
/// How often a sender looks whether another process has sent its message.
const SENT_POLL: Duration = Duration::from_millis(200);
/// A connection that lasted this long was a good one: the next failure starts with short waits again.
pub(crate) const GOOD_CONNECTION: Duration = Duration::from_secs(2);
/// Messages read from the store at once.
const PAGE: usize = 256;

/// What all parts of a client share.
pub(crate) struct Shared {
    pub(crate) worker: Worker,
    pub(crate) home: Home,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) org: OrgId,
    pub(crate) pin: [u8; 32],
    pub(crate) device: Login,
    pub(crate) anonymous: Mutex<Option<Connection>>,
    pub(crate) progress: Option<ProgressFn>,
    pub(crate) wake: Notify,
    pub(crate) holds: Holds,
    /// Whether this process has tidied up the spool.
    pub(crate) swept: AtomicBool,
}

impl Shared {
    /// Whether messages wait for their recipient to appear in the directory.
    pub(crate) async fn has_unaddressed(&self) -> Result<bool, Error> {
        let any = |records: &dyn chancery_wire::records::Records| {
            chancery_engine::unaddressed(records).map(|waiting| !waiting.is_empty())
        };
        self.worker.call(move |state| state.read(any)).await
    }

    /// Sends on, into the outbox, messages whose recipient the directory knows by now.
    pub(crate) async fn address_waiting(&self) -> Result<(), Error> {
        if self.has_unaddressed().await? {
            self.worker.call(|state| state.handle(Input::Address)).await?;
            self.wake.notify_one();
        }
        Ok(())
    }
}

/// What a login needs; loaded once.
pub(crate) struct Login {
    pub(crate) keys: DeviceKeys,
    pub(crate) credential: Signed,
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Me {
    /// The organisation's identifier.
    pub org_id: OrgId,
    /// The member's identifier.
    pub member_id: MemberId,
    /// The device's identifier.
    pub device_id: DeviceId,
    /// The member's handle.
    pub handle: String,
    /// The member's display name.
    pub name: String,
    /// The organisation's display name.
    pub organisation: String,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sent {
    /// The message's identifier.
    pub id: [u8; 16],
    /// `Sent` when the relay has it durably; `Queued` when it waits, for the reason in `waiting`.
    pub state: MessageState,
    /// Why the message waits.
    pub waiting: Option<Error>,
}

/// A device of a member: sends, receives, keeps history.
///
/// All methods may be called from several tasks at once, and several clients (also in several processes) may
/// use one home at once. Nothing happens in the background unless [`Client::follow`] runs.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    me: Me,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Client {
    /// Opens the store of an enrolled device. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreNotFound`] or [`ErrorCode::NotEnrolled`]: enrol first. [`ErrorCode::WrongPassphrase`]:
    /// ask again. [`ErrorCode::StoreNewer`], [`ErrorCode::StoreDamaged`]: see their texts.
    pub fn open(home: &Path, key: &KeySource) -> Result<Self, Error> {
        Self::open_with(home, key, None)
    }

    /// Opens like [`Self::open`], and tells `progress` how far files have come.
    ///
    /// # Errors
    ///
    /// As [`Self::open`].
    pub fn open_with(home: &Path, key: &KeySource, progress: Option<ProgressFn>) -> Result<Self, Error> {
        let home = Home::new(home);
        let store = Store::open(home.store(), key)?;
        Self::start(home, store, progress)
    }

    pub(crate) fn start(home: Home, mut store: Store, progress: Option<ProgressFn>) -> Result<Self, Error> {
        let engine = store.read(|records| Engine::load(records, clock::now()).map_err(Error::from))?;
        let device = engine.device();
        let me = Me {
            org_id: device.organisation().id(),
            member_id: device.member_id(),
            device_id: device.device_id(),
            handle: device.handle().into(),
            name: device.name().into(),
            organisation: device.organisation_name().into(),
        };
        let pin = *device.relay_pin();
        let connector = WsConnector::new(device.relay_url(), pin).map_err(|_| ErrorCode::RelayUrl)?;
        let keys = DeviceKeys::from_secret_bytes(device.keys().to_secret_bytes().expose());
        let login = Login {
            keys: keys.ok_or(ErrorCode::Internal)?,
            credential: device.credential().signed().clone(),
        };
        let shared = Shared {
            worker: Worker::spawn(store, engine)?,
            home,
            connector: Arc::new(connector),
            org: me.org_id,
            pin,
            device: login,
            anonymous: Mutex::new(None),
            progress,
            wake: Notify::new(),
            holds: Holds::default(),
            swept: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared), me })
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns who this client is.
    #[must_use]
    pub const fn me(&self) -> &Me {
        &self.me
    }

    /// Finds a member by handle or identifier in the local directory, asking the relay for changes if nobody
    /// of that name is known yet.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] if there is nobody of that name; [`ErrorCode::RelayUnreachable`] if
    /// there is nobody locally and the relay cannot be asked.
    pub async fn resolve(&self, who: &str) -> Result<chancery_engine::Member, Error> {
        if let Some(member) = self.lookup(who).await? {
            return Ok(member);
        }
        Mailbox::open(&self.shared).await?.sync_directory(&self.shared).await?;
        self.lookup(who).await?.ok_or_else(|| Error::with(ErrorCode::UnknownRecipient, who))
    }

    async fn lookup(&self, who: &str) -> Result<Option<chancery_engine::Member>, Error> {
        let who = who.to_owned();
        let find =
            move |records: &dyn chancery_wire::records::Records| chancery_engine::resolve(records, &who);
        self.shared.worker.call(move |state| state.read(find)).await
    }

    /// Sends text and files to a member and waits until the relay has them durably, `patience` at most.
    ///
    /// Files are encrypted into the home first, so the originals may change or go afterwards. When this
    /// returns, the message is stored here at least: a message that is [`MessageState::Queued`] is sent by
    /// whatever call connects next.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] (the relay was asked), [`ErrorCode::MessageTooLarge`],
    /// [`ErrorCode::FileNotFound`], [`ErrorCode::DiskFull`] and others: nothing was stored. [`ErrorCode::SendFailed`]: the relay refuses it
    /// for good. Whatever else keeps the message from going is in [`Sent::waiting`], since repeating the call
    /// would send it twice.
    pub async fn send(
        &self,
        to: &str,
        text: &str,
        files: &[PathBuf],
        patience: Duration,
    ) -> Result<Sent, Error> {
        if text.is_empty() && files.is_empty() {
            return Err(Error::with(ErrorCode::Usage, "an empty message"));
        }
        let deadline = clock::deadline(patience);
        // Somebody who enrolled after the last synchronisation is written to all the same: the message waits
        // until the relay can be asked who that is.
        let known = match timeout_at(deadline, self.resolve(to)).await {
            Ok(Err(error)) if !error.is_retryable() => return Err(error),
            Ok(Ok(member)) => Some(member.member_id),
            _ => None,
        };
        let id = self.store_message((to, known), text, files).await?;
        let flushed = tokio::select! {
            flushed = timeout_at(deadline, outbox::flush(&self.shared, deadline)) => flushed,
            () = self.leaves_the_queue(id) => Ok(Ok(None)),
        };
        // From here on the message is stored, and no error may say otherwise.
        let waiting = match flushed {
            Ok(Ok(left)) => left,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(ErrorCode::RelayUnreachable.into()),
        };
        match self.message_state(id).await {
            Ok(MessageState::Failed) => Err(ErrorCode::SendFailed.into()),
            Ok(MessageState::Queued) => {
                self.shared.wake.notify_one();
                Ok(Sent { id, state: MessageState::Queued, waiting })
            }
            Ok(state) => Ok(Sent { id, state, waiting: None }),
            Err(error) => Ok(Sent { id, state: MessageState::Queued, waiting: Some(error) }),
        }
    }

    /// Waits until a message was sent, be it by another process that empties the outbox at the moment.
    async fn leaves_the_queue(&self, id: [u8; 16]) {
        loop {
            tokio::time::sleep(SENT_POLL).await;
            if self.message_state(id).await.is_ok_and(|state| state != MessageState::Queued) {
                return;
            }
        }
    }

    async fn store_message(
        &self,
        (name, known): (&str, Option<MemberId>),
        text: &str,
        files: &[PathBuf],
    ) -> Result<[u8; 16], Error> {
        if files.len() > chancery_engine::content::MAX_ATTACHMENTS {
            return Err(ErrorCode::MessageTooLarge.into());
        }
        let (home, paths) = (self.shared.home.clone(), files.to_vec());
        let spooled = tokio::task::spawn_blocking(move || spool_all(&home, &paths));
        let (attachments, spool) = spooled.await.map_err(|_| ErrorCode::Internal)??;
        let message_id: [u8; 16] = chancery_crypto::rng::random_bytes(&mut clock::rng()?);
        let (name, text) = (name.to_owned(), text.to_owned());
        let store = move |state: &mut crate::worker::State| {
            let (to, text) = (name.as_str(), text.as_str());
            let stored = state.handle(match known {
                Some(to) => Input::Send(Draft { to, message_id, text, attachments }),
                None => Input::SendLater(Letter { to, message_id, text, attachments }),
            });
            // Only now does the store say which files are needed.
            drop(spool);
            stored
        };
        let stored = self.shared.worker.call(store).await;
        if stored.is_err() {
            // A commit that fails may have taken effect: the store is asked before anything is removed.
            outbox::sweep(&self.shared).await;
        }
        stored.map(|_| message_id)
    }

    async fn message_state(&self, id: [u8; 16]) -> Result<MessageState, Error> {
        let own = self.me.member_id;
        let found = self
            .shared
            .worker
            .call(move |state| state.read(|records| chancery_engine::message(records, &own, &id)))
            .await?;
        Ok(found.map_or(MessageState::Queued, |record| MessageState::from_stored(record.state)))
    }

    /// Connects once: sends what waits, and meanwhile renews prekeys when due and takes over directory and
    /// envelopes until the mailbox is empty. Returns the number of envelopes.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RelayUnreachable`] and others of the connection; what was taken over stays.
    pub async fn sync(&self, patience: Duration) -> Result<usize, Error> {
        let deadline = clock::deadline(patience);
        // What another process is sending already need not be waited for.
        let sending = timeout_at(deadline, self.flush_quietly(Instant::now()));
        let receiving = async {
            let mut mailbox = Mailbox::open(&self.shared).await?;
            mailbox.sync_directory(&self.shared).await?;
            mailbox.upkeep(&self.shared).await?;
            mailbox.subscribe().await?;
            mailbox.drain(&self.shared).await
        };
        let (sent, received) = tokio::join!(sending, timeout_at(deadline, receiving));
        let count = received.unwrap_or_else(|_| Err(ErrorCode::RelayUnreachable.into()))?;
        sent.unwrap_or(Ok(()))?;
        // What arrived may call for an answer that nobody wrote: a heal, or an acknowledgement.
        timeout_at(deadline, self.flush_quietly(Instant::now())).await.unwrap_or(Ok(()))?;
        Ok(count)
    }

    /// Keeps connected: takes over what arrives and sends what waits, reconnecting with back-off, until
    /// `stop` ends. Events appear in [`Self::events`]; [`Self::changes`] says when to look.
    ///
    /// # Errors
    ///
    /// Only what waiting does not mend: another relay, a refused device, a damaged store.
    pub async fn follow(&self, stop: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::pin!(stop);
        let mut backoff = Backoff::default();
        loop {
            let mut connected = None;
            let outcome = tokio::select! {
                () = &mut stop => return Ok(()),
                outcome = self.follow_once(&mut connected) => outcome,
            };
            if connected.is_some_and(|since: Instant| since.elapsed() >= GOOD_CONNECTION) {
                backoff.reset();
            }
            match outcome {
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => tracing::info!(code = error.code().name(), "not connected"),
                Ok(()) => {}
            }
            let pause = backoff.next(&mut clock::rng()?);
            tokio::select! {
                () = &mut stop => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn follow_once(&self, connected: &mut Option<Instant>) -> Result<(), Error> {
        let mut mailbox = Mailbox::open(&self.shared).await?;
        *connected = Some(Instant::now());
        tracing::info!("connected");
        mailbox.subscribe().await?;
        mailbox.sync_directory(&self.shared).await?;
        mailbox.upkeep(&self.shared).await?;
        tokio::select! {
            ended = mailbox.follow(&self.shared) => ended,
            ended = self.keep_flushing() => ended,
        }
    }

    /// Sends what waits, whenever something does. That sending fails does not end receiving (R-ENGINE-13).
    async fn keep_flushing(&self) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        loop {
            let held = self.shared.holds.at(Instant::now());
            let waiting =
                move |state: &mut crate::worker::State| state.read(|records| next_step(records, &held));
            let step: Option<Step> = self.shared.worker.call(waiting).await?;
            let mut pause = OUTBOX_INTERVAL;
            if step.is_some() {
                match outbox::flush(&self.shared, clock::deadline(OUTBOX_INTERVAL)).await {
                    Ok(_) => backoff.reset(),
                    Err(error) if error.code() == ErrorCode::StoreBusy => {}
                    Err(error) if may_pass(&error) => {
                        tracing::info!(code = error.code().name(), "sending waits");
                        pause = pause.max(backoff.next(&mut clock::rng()?));
                    }
                    Err(error) => return Err(error),
                }
            }
            let _ = tokio::time::timeout(pause, self.shared.wake.notified()).await;
        }
    }

    /// Empties the outbox; what must wait is no error of the caller's.
    async fn flush_quietly(&self, deadline: Instant) -> Result<(), Error> {
        match outbox::flush(&self.shared, deadline).await {
            Err(error) if !may_pass(&error) => Err(error),
            Err(error) => {
                tracing::info!(code = error.code().name(), "sending waits");
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Returns up to 256 events that were not taken yet, oldest first.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn events(&self) -> Result<Vec<Event>, Error> {
        let own = self.me.member_id;
        self.shared
            .worker
            .call(move |state| {
                state.read(|records| {
                    let found = chancery_engine::events(records, PAGE)?;
                    found
                        .into_iter()
                        .map(|(number, record)| {
                            Ok(Event { number, message: Message::read(records, &own, record)? })
                        })
                        .collect()
                })
            })
            .await
    }

    /// Returns up to 256 things that happened and were not taken yet, oldest first: those of [`Self::events`], and
    /// what is no message.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn news(&self) -> Result<Vec<News>, Error> {
        let own = self.me.member_id;
        let read = move |records: &dyn chancery_wire::records::Records| {
            let found = chancery_engine::all_events(records, PAGE)?.into_iter();
            found
                .filter_map(|(number, event)| News::read(records, &own, (number, event)).transpose())
                .collect()
        };
        self.shared.worker.call(move |state| state.read(read)).await
    }

    /// Says that events up to and including `number` were shown. A process that is killed before sees them
    /// again, with the same message identifiers.
    ///
    /// # Errors
    ///
    /// Only if the store is not writable.
    pub async fn take_events(&self, number: u64) -> Result<(), Error> {
        let taken =
            move |state: &mut crate::worker::State| state.handle(Input::EventsTaken { up_to: number });
        self.shared.worker.call(taken).await.map(drop)
    }

    /// Returns a receiver that changes whenever this process has stored an event.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.worker.changes()
    }

    /// Returns up to 256 messages of the conversation with a member, oldest first, from position `from` on.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::UnknownRecipient`] if the directory has nobody of that name; the relay is not asked.
    pub async fn history(&self, with: &str, from: u64) -> Result<Vec<Message>, Error> {
        let own = self.me.member_id;
        let Some(member) = self.lookup(with).await? else {
            return self.unaddressed_to(with, from).await;
        };
        self.shared
            .worker
            .call(move |state| {
                state.read(|records| {
                    let found = chancery_engine::conversation(records, &member.member_id, from, PAGE)?;
                    found.into_iter().map(|record| Message::read(records, &own, record)).collect()
                })
            })
            .await
    }

    /// What waits for a name that the directory does not know.
    async fn unaddressed_to(&self, with: &str, from: u64) -> Result<Vec<Message>, Error> {
        let (own, name) = (self.me.member_id, with.to_owned());
        let skip = usize::try_from(from).unwrap_or(usize::MAX);
        let waiting = self.shared.worker.call(move |state| state.read(chancery_engine::unaddressed)).await?;
        let of_name: Vec<_> = waiting.into_iter().filter(|waiting| waiting.to == name).collect();
        if of_name.is_empty() {
            return Err(Error::with(ErrorCode::UnknownRecipient, with));
        }
        let handle = self.me.handle.clone();
        let shown = of_name.into_iter().skip(skip).take(PAGE);
        Ok(shown.map(|waiting| Message::waiting(own, handle.clone(), waiting)).collect())
    }

    /// Downloads one attachment of a received message into `folder`, verifies it and returns its path.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::AttachmentDamaged`]: nothing was saved, and trying again gives the same.
    /// [`ErrorCode::AttachmentGone`]: the relay keeps it no longer. [`ErrorCode::DiskFull`] and errors of the
    /// connection: try again.
    pub async fn save_attachment(
        &self,
        message: &Message,
        index: usize,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let attachment = message.attachment(index).ok_or(ErrorCode::Usage)?;
        let (connection, _) = Connection::open(self.shared.connector.as_ref(), &self.shared.org).await?;
        let progress = self.shared.progress.as_ref();
        let path = attachment::download(&connection, attachment, folder, progress).await?;
        let (from, message_id, saved) = (message.from, message.id, path.clone());
        self.shared
            .worker
            .call(move |state| {
                let path = saved.to_string_lossy();
                state.handle(Input::AttachmentSaved { from, message_id, index, path: &path })
            })
            .await?;
        Ok(path)
    }
}

/// Whether the same may go well with another connection, or once somebody has mended the relay.
pub(crate) fn may_pass(error: &Error) -> bool {
    error.is_retryable() || matches!(error.code(), ErrorCode::RelayProtocol | ErrorCode::RelayRefused)
}

/// Encrypts files into the spool, and returns with them what keeps them there until the store names them.
fn spool_all(home: &Home, paths: &[PathBuf]) -> Result<(Vec<Attachment>, Option<File>), Error> {
    let held = if paths.is_empty() { None } else { Some(attachment::hold_spool(home)?) };
    let mut attachments = Vec::with_capacity(paths.len());
    for path in paths {
        match attachment::spool(home, path) {
            Ok(attachment) => attachments.push(attachment),
            Err(error) => {
                unspool(home, &attachments);
                return Err(error);
            }
        }
    }
    Ok((attachments, held))
}

fn unspool(home: &Home, attachments: &[Attachment]) {
    for attachment in attachments {
        if let Ok(blob_id) = attachment.blob_id.as_slice().try_into() {
            attachment::remove_spooled(home, blob_id);
        }
    }
}
