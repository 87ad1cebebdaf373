//! The thread that owns relay and storage: inputs from all connections, one commit for many, then the effects.

use std::collections::BTreeMap;
use std::thread;

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_identity::Organisation;
use chancery_identity::checkpoint::Checkpoint;
use chancery_relay::{ConnectionId, Effect, Input, Relay, Setup, Storage as _};
use chancery_wire::proto::Signed;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::clock::Clock;
use crate::outbox::Outbox;
use crate::sqlite::SqliteStorage;
use crate::{ServerError, organisation::OrganisationFile};

/// Inputs in one transaction at most. One sync of the disk for all of them; an answer waits for 256 at worst.
const BATCH: usize = 256;

/// Something for the relay's thread.
#[derive(Debug)]
pub(crate) enum Job {
    Opened {
        connection: ConnectionId,
        /// Taken out when the job is handled.
        outbox: Option<Outbox>,
    },
    Frame {
        connection: ConnectionId,
        bytes: Vec<u8>,
        /// Held until the frame has been handled; they bound what is under way.
        _permits: [OwnedSemaphorePermit; 2],
    },
    Closed {
        connection: ConnectionId,
    },
    Tick,
    /// Finish what is under way, and end.
    Stop,
}

pub(crate) struct Machine {
    pub(crate) relay: Relay,
    pub(crate) storage: SqliteStorage,
    pub(crate) organisation: OrganisationFile,
    outboxes: BTreeMap<ConnectionId, Outbox>,
    /// Connections that were given up and that the relay does not know about yet.
    lost: Vec<ConnectionId>,
    rng: Box<dyn CryptoRng + Send>,
    clock: Clock,
}

impl Machine {
    /// Starts the relay on what is stored.
    pub(crate) fn new(
        setup: Setup,
        mut storage: SqliteStorage,
        organisation: OrganisationFile,
        mut rng: Box<dyn CryptoRng + Send>,
    ) -> Result<Self, ServerError> {
        let document = setup.organisation.clone();
        let note = storage.note().map_err(|_| ServerError::Database)?;
        // One that does not verify is for the relay to refuse.
        let signed = note
            .and_then(|note| Checkpoint::verify(&note, &document.id(), setup.log_key.verifying_key()).ok());
        let mut clock = Clock::new(signed.as_ref().map(Checkpoint::time));
        let relay = Relay::start(setup, &mut storage, clock.now(), &mut *rng)?;
        warn_of_differences(&relay, &document);
        let (outboxes, lost) = (BTreeMap::new(), Vec::new());
        Ok(Self { relay, storage, organisation, outboxes, lost, rng, clock })
    }

    /// Starts the thread; the receiver resolves when it has ended, for whatever reason.
    pub(crate) fn start(
        mut self,
        mut jobs: mpsc::Receiver<Job>,
    ) -> Result<oneshot::Receiver<()>, ServerError> {
        let (alive, ended) = oneshot::channel();
        let run = move || {
            let _alive: oneshot::Sender<()> = alive;
            while let Some(first) = jobs.blocking_recv() {
                let mut batch = vec![first];
                while batch.len() < BATCH
                    && let Ok(job) = jobs.try_recv()
                {
                    batch.push(job);
                }
                if self.batch(batch) {
                    break;
                }
            }
        };
        thread::Builder::new().name("relay".into()).spawn(run).map_err(|_| ServerError::System)?;
        Ok(ended)
    }

    /// Handles a batch; returns whether it was the last.
    fn batch(&mut self, mut batch: Vec<Job>) -> bool {
        let mut inputs: Vec<Input<'_>> = Vec::with_capacity(batch.len());
        inputs.extend(self.lost.drain(..).map(|connection| Input::Closed { connection }));
        let (mut last, mut tick) = (false, false);
        for job in &mut batch {
            match job {
                Job::Opened { connection, outbox } => {
                    self.outboxes.extend(outbox.take().map(|outbox| (*connection, outbox)));
                    inputs.push(Input::Opened { connection: *connection });
                }
                Job::Frame { connection, bytes, .. } => {
                    inputs.push(Input::Frame { connection: *connection, bytes });
                }
                Job::Closed { connection } => {
                    self.outboxes.remove(connection);
                    inputs.push(Input::Closed { connection: *connection });
                }
                Job::Tick => {
                    tick = true;
                    inputs.push(Input::Tick);
                }
                Job::Stop => last = true,
            }
        }
        if tick {
            self.reread_organisation();
        }
        let effects = self.relay.handle_all(&mut self.storage, &inputs, self.clock.now(), &mut *self.rng);
        tracing::trace!(inputs = inputs.len(), effects = effects.len(), "handled");
        self.carry_out(effects);
        last
    }

    /// Carries effects out. The transaction behind them is durable.
    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { connection, frame } => {
                    let Some(outbox) = self.outboxes.get(&connection) else { continue };
                    if !outbox.put(frame) {
                        tracing::debug!(connection = connection.0, "given up: it reads too slowly");
                        self.outboxes.remove(&connection);
                        self.lost.push(connection);
                    }
                }
                Effect::Close { connection } => {
                    self.outboxes.remove(&connection);
                }
            }
        }
    }

    /// Takes a new version of the public document over without a restart (R-RELAY-36).
    fn reread_organisation(&mut self) {
        match self.organisation.changed(self.relay.organisation().id()) {
            None => {}
            Some(Ok(organisation)) => {
                let (input, now) = (Input::Organisation(&organisation), self.clock.now());
                match self.relay.handle(&mut self.storage, input, now, &mut *self.rng) {
                    Ok(effects) => self.carry_out(effects),
                    Err(error) => {
                        tracing::warn!(%error, "the organisation's public file has to wait");
                        self.organisation.forget();
                        return;
                    }
                }
                tracing::info!("the organisation's public file has been read again");
                warn_of_differences(&self.relay, &organisation);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the organisation's public file has changed and is not used");
            }
        }
    }
}

/// Says what of the public file the log does not have, or has otherwise, and that nobody can use (R-RELAY-55).
fn warn_of_differences(relay: &Relay, organisation: &Organisation) {
    let (file, log) = (organisation.as_proto(), relay.organisation().as_proto());
    let lacks = |of_file: &[Signed], of_log: &[Signed]| of_file.iter().any(|signed| !of_log.contains(signed));
    if lacks(&file.issuers, &log.issuers) || lacks(&file.successors, &log.successors) {
        tracing::warn!("the log refuses an issuer or a root of the organisation's public file");
    }
    if relay.organisation().relay().is_some_and(|record| record.log_key() != relay.log_key()) {
        tracing::warn!("the relay record names another log key: members believe nothing of this log");
    }
}

/// Randomness for everything, seeded by the operating system.
pub(crate) fn rng() -> Result<Box<dyn CryptoRng + Send>, ServerError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| ServerError::System)?;
    Ok(Box::new(seeded(seed)))
}
