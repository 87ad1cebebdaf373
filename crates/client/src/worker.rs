//! The thread that owns store and engine: disk work stays off the async runtime, and calls are serialised.

use std::sync::{Arc, mpsc};
use std::thread;

use chancery_engine::{Device, Effect, Engine, Input, LogState, Notice, log_status, newest_note};
use chancery_store::Store;
use chancery_wire::records::{Overlay, Records};
use tokio::sync::{oneshot, watch};

use crate::checkpoint;
use crate::clock;
use crate::error::{Error, ErrorCode};
use crate::home::Home;
use crate::receipts::Typing;

type Job = Box<dyn FnOnce(&mut State) + Send>;

/// Calls that may wait for the thread. More wait at the caller.
const QUEUE: usize = 64;

/// What the thread owns.
pub(crate) struct State {
    /// Gone once the organisation has ended this device, or the application has closed it.
    store: Option<Store>,
    is_closed: bool,
    engine: Engine,
    home: Home,
    /// What the file beside the store has.
    checkpoint: Option<String>,
    /// Told of events that are stored while something is read; of others the caller tells.
    changes: Arc<watch::Sender<u64>>,
}

impl State {
    fn parts(&mut self) -> Result<(&mut Store, &mut Engine), Error> {
        let Self { store, engine, is_closed, .. } = self;
        let gone = if *is_closed { ErrorCode::ClientClosed } else { ErrorCode::Revoked };
        Ok((store.as_mut().ok_or(gone)?, engine))
    }

    /// Closes the store. Nothing can be read afterwards.
    pub(crate) fn close(&mut self) {
        // One that was destroyed stays so.
        self.is_closed |= self.store.take().is_some();
    }

    /// Reads what is shown to a person, unless policy locks it (R-ENGINE-36, R-ENGINE-68), or the organisation has ended this device and
    /// another process was stopped before it could destroy the store (R-ENGINE-37).
    pub(crate) fn read_shown<T>(
        &mut self,
        f: impl FnOnce(&dyn Records) -> Result<T, chancery_engine::EngineError>,
    ) -> Result<T, Error> {
        if self.read(is_revoked)? {
            self.destroy()?;
            return Err(ErrorCode::Revoked.into());
        }
        if self.read(|records| chancery_engine::is_upkeep_due(records, clock::now()))? {
            match self.handle(Input::TimePasses) {
                Ok(effects) if effects.iter().any(is_event) => {
                    self.changes.send_modify(|count| *count = count.wrapping_add(1));
                }
                Ok(_) => {}
                // A full disk is no reason to show nothing.
                Err(error) => {
                    tracing::debug!(code = error.code().name(), "how much time has passed was not noted");
                }
            }
        }
        self.read(|records| {
            chancery_engine::check_unlocked(records, clock::now())?;
            f(records)
        })
    }

    /// Reads from the store, and with what the engine knows.
    pub(crate) fn read_with<T>(
        &mut self,
        f: impl FnOnce(&Engine, &dyn Records) -> Result<T, chancery_engine::EngineError>,
    ) -> Result<T, Error> {
        let (store, engine) = self.parts()?;
        store.read(|records| f(engine, records).map_err(Error::from))
    }

    /// Destroys the store, and the other files of its home (R-ENGINE-37). Nothing can be read afterwards.
    pub(crate) fn destroy(&mut self) -> Result<(), Error> {
        self.store.take().map_or(Ok(()), |store| destroy(store, &self.home))
    }

    /// Handles one input in one transaction and returns the effects to carry out.
    pub(crate) fn handle(&mut self, input: Input<'_>) -> Result<Vec<Effect>, Error> {
        let mut rng = clock::rng()?;
        let shown = match &input {
            Input::Log { page, .. } => Some(page.checkpoint.clone()),
            Input::Checkpoint { note, .. } | Input::Floor { note } => Some((*note).to_owned()),
            _ => None,
        };
        let (store, engine) = self.parts()?;
        let effects = store.transaction(|records| {
            engine.refresh(records)?;
            let outcome = engine.handle(records, input, clock::now(), &mut rng)?;
            Ok::<_, Error>((outcome.batch, outcome.effects))
        });
        for effect in effects.iter().flatten() {
            if let Effect::Notify(notice) = effect {
                write_down(*notice);
            }
        }
        if effects.is_ok() && shown.is_some() && shown != self.checkpoint {
            self.keep_checkpoint()?;
        }
        effects
    }

    /// Keeps the newest checkpoint beside the store, after the commit that took it over (R-ENGINE-63).
    fn keep_checkpoint(&mut self) -> Result<(), Error> {
        let newest = self.read(newest_note)?;
        if let Some(note) = &newest
            && newest != self.checkpoint
        {
            checkpoint::write(&self.home, note);
            self.checkpoint = newest;
        }
        Ok(())
    }

    /// Handles several envelopes in one transaction, so that catching up costs one commit for many.
    pub(crate) fn receive(&mut self, envelopes: &[(u64, Vec<u8>)]) -> Result<Received, Error> {
        let mut rng = clock::rng()?;
        let (store, engine) = self.parts()?;
        store.transaction(|records| {
            engine.refresh(records)?;
            let mut overlay = Overlay::new(records);
            let mut received = Received::default();
            for (sequence, envelope) in envelopes {
                let input = Input::Received { sequence: *sequence, envelope };
                let outcome = engine.handle(&overlay, input, clock::now(), &mut rng)?;
                overlay.absorb(outcome.batch);
                outcome.effects.into_iter().for_each(|effect| received.note(effect));
            }
            Ok::<_, Error>((overlay.into_batch(), received))
        })
    }

    /// Returns who this device is.
    pub(crate) const fn device(&self) -> &Device {
        self.engine.device()
    }

    /// Reads from the store.
    pub(crate) fn read<T>(
        &mut self,
        f: impl FnOnce(&dyn Records) -> Result<T, chancery_engine::EngineError>,
    ) -> Result<T, Error> {
        self.parts()?.0.read(|records| f(records).map_err(Error::from))
    }
}

const fn is_event(effect: &Effect) -> bool {
    matches!(effect, Effect::Notify(Notice::EventStored(_)))
}

/// Whether the organisation has ended this device, by what it has of the log.
pub(crate) fn is_revoked(records: &dyn Records) -> Result<bool, chancery_engine::EngineError> {
    Ok(log_status(records, clock::now())?.state == LogState::Revoked)
}

/// Destroys the store that lies in `home`, and the home's other files (R-ENGINE-37).
pub(crate) fn destroy(store: Store, home: &Home) -> Result<(), Error> {
    tracing::warn!(code = ErrorCode::Revoked.name(), "the organisation has ended this device");
    let destroyed = store.destroy(home.store(), &mut clock::rng()?);
    home.remove_files();
    Ok(destroyed?)
}

/// Runs what takes long on the disk or the processor, and does not need the store, off the async runtime. If the
/// caller gives up waiting, `f` still runs to its end.
pub(crate) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(f).await.map_err(|_| ErrorCode::Internal)?
}

/// What became of envelopes.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// To be acknowledged.
    pub(crate) sequences: Vec<u64>,
    /// Whether there are new events.
    pub(crate) stored: bool,
    /// Whether one of them comes from somebody whom the local directory does not know.
    pub(crate) strangers: bool,
    /// Whether one of them says that the log has more entries.
    pub(crate) log: bool,
    /// Whether there is something to do for a group.
    pub(crate) group: bool,
    /// Who is writing.
    pub(crate) typing: Vec<Typing>,
}

impl Received {
    fn note(&mut self, effect: Effect) {
        match effect {
            Effect::Acknowledge(sequence) => self.sequences.push(sequence),
            Effect::Notify(Notice::EventStored(_)) => self.stored = true,
            Effect::Notify(Notice::DeviceRequest) => self.stored = true,
            Effect::Notify(Notice::UnknownSender) => self.strangers = true,
            Effect::Notify(Notice::GroupWork) => self.group = true,
            Effect::Notify(Notice::Typing { member, stopped }) => {
                self.typing.push(Typing { member, stopped });
            }
            Effect::SyncLog => self.log = true,
            Effect::Notify(Notice::Undecryptable) => {
                let code = ErrorCode::NotAuthentic.name();
                tracing::warn!(code, "an envelope could not be decrypted and was dropped");
            }
            Effect::Notify(notice) => write_down(notice),
            _ => {}
        }
    }
}

/// Writes down what the log is found to be; what matters of it is in the store.
fn write_down(notice: Notice) {
    let code = match notice {
        Notice::LogInvalid(_) => ErrorCode::LogInvalid,
        Notice::LogForked => ErrorCode::LogForked,
        Notice::LogRolledBack => ErrorCode::LogRolledBack,
        Notice::LogWithheld => ErrorCode::LogWithheld,
        Notice::LogStale => ErrorCode::LogStale,
        Notice::UnloggedCredential { member, device } => {
            let code = ErrorCode::UnloggedCredential.name();
            tracing::warn!(code, %member, %device, "a device showed a credential that is not in the log");
            return;
        }
        Notice::OutOfReach { member } => {
            let code = ErrorCode::OutOfReach.name();
            tracing::warn!(code, %member, "a message from somebody out of reach was dropped");
            return;
        }
        Notice::CredentialExpired { member, device } => {
            let code = ErrorCode::CredentialExpired.name();
            tracing::warn!(code, %member, %device, "a message of a device whose credential has expired was dropped");
            return;
        }
        Notice::LogAging => {
            tracing::warn!("the organisation's log was not heard of for long");
            return;
        }
        _ => return,
    };
    tracing::warn!(code = code.name(), "the organisation's log");
}

/// A handle on the thread; the thread ends when the last handle is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    jobs: mpsc::SyncSender<Job>,
    changes: Arc<watch::Sender<u64>>,
}

impl Worker {
    /// Starts the thread.
    pub(crate) fn spawn(
        store: Store,
        engine: Engine,
        (home, checkpoint): (Home, Option<String>),
    ) -> Result<Self, Error> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
        let changes = Arc::new(watch::Sender::new(0));
        let mut state = State {
            store: Some(store),
            is_closed: false,
            engine,
            home,
            checkpoint,
            changes: Arc::clone(&changes),
        };
        thread::Builder::new()
            .name("chancery-store".into())
            .spawn(move || {
                while let Ok(job) = queue.recv() {
                    job(&mut state);
                }
            })
            .map_err(|_| ErrorCode::Internal)?;
        Ok(Self { jobs, changes })
    }

    /// Runs `f` on the thread. If the caller gives up waiting, `f` still runs to its end.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        f: impl FnOnce(&mut State) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (answer, result) = oneshot::channel();
        let mut job: Job = Box::new(move |state| {
            let _ = answer.send(f(state));
        });
        // The queue is short-lived work; yielding until there is room keeps the runtime's threads free.
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => break,
                Err(mpsc::TrySendError::Full(back)) => {
                    job = back;
                    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
                }
                Err(mpsc::TrySendError::Disconnected(_)) => return Err(ErrorCode::Internal.into()),
            }
        }
        result.await.map_err(|_| Error::from(ErrorCode::Internal))?
    }

    /// Tells listeners that there are new events.
    pub(crate) fn announce(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Returns a receiver that changes whenever an event was stored by this process.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
