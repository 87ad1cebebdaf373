//! The machine: inputs in, effects out, one transaction around both.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::{SigningKey, VerifyingKey};
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::{LogError, Organisation};
use chancery_wire::{Limit, RefusalCode, Timestamp, decode, encode, proto};
use proto::relay_frame::Body;

use crate::connection::{Connection, Reader, Stage};
use crate::limits::{Bucket, Limits};
use crate::log::Log;
use crate::step::Step;
use crate::storage::{MailboxId, Storage, StorageError};

/// Names a connection for as long as it lasts; the shell never uses a number twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A client connected.
    Opened {
        /// Its name from now on.
        connection: ConnectionId,
    },
    /// A client sent a frame.
    Frame {
        /// Who.
        connection: ConnectionId,
        /// An encoded `ClientFrame`, as it came; nothing has been checked.
        bytes: &'a [u8],
    },
    /// A connection ended, from either side.
    Closed {
        /// Which.
        connection: ConnectionId,
    },
    /// The organisation's public document has changed. The log takes over what it lacks (R-RELAY-55); of another
    /// organisation's it takes nothing.
    Organisation(&'a Organisation),
    /// About a second has passed.
    Tick,
}

/// What a relay is started with.
#[derive(Debug)]
pub struct Setup {
    /// The organisation's public document, of which the log takes over what it lacks.
    pub organisation: Organisation,
    /// SHA-256 of the relay certificate's public key, to which logins are bound.
    pub pin: [u8; 32],
    /// Signs the log's checkpoints; the same for as long as the storage is.
    pub log_key: SigningKey,
    /// What the relay puts up with.
    pub limits: Limits,
}

/// Why a relay cannot start on a storage. The storage has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The storage gave up.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The stored log is damaged, or its checkpoint was signed with another key: put both back as they were.
    #[error("the stored log is not sound, or of another log key: {0}")]
    Log(LogError),
}

/// Something to do, in this order, after the transaction has been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send an encoded `RelayFrame`.
    Send {
        /// To whom.
        connection: ConnectionId,
        /// The frame; at most [`Limit::FRAME`].
        frame: Vec<u8>,
    },
    /// Send what is queued, then end the connection; `Closed` need not follow.
    Close {
        /// Which.
        connection: ConnectionId,
    },
}

/// One organisation's relay.
///
/// It remembers connections and what follows from the log; everything else is in the [`Storage`], so that a relay
/// that was killed goes on where its last commit was.
#[derive(Debug)]
pub struct Relay {
    pub(crate) log: Log,
    pub(crate) log_key: SigningKey,
    pub(crate) pin: [u8; 32],
    pub(crate) limits: Limits,
    pub(crate) shared: SharedRates,
    connections: BTreeMap<ConnectionId, Connection>,
    readers: BTreeMap<MailboxId, BTreeSet<ConnectionId>>,
    undo: BTreeMap<ConnectionId, Option<Connection>>,
    undo_log: Option<Log>,
}

impl Relay {
    /// Starts a relay on a storage: rebuilds the log's state from it, and takes over from the public document what
    /// the log lacks (R-RELAY-44, R-RELAY-55).
    ///
    /// # Errors
    ///
    /// [`StartError`]: the relay must not run on this storage with this key.
    pub fn start(
        setup: Setup,
        storage: &mut dyn Storage,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, StartError> {
        let Setup { organisation, pin, log_key, limits } = setup;
        let mut log = Log::replay(&organisation, storage)?;
        if let Some(note) = storage.note()? {
            let checkpoint = Checkpoint::verify(&note, &organisation.id(), log_key.verifying_key());
            log.resume(checkpoint.map_err(StartError::Log)?, now)?;
        }
        let mut relay = Self {
            log,
            log_key,
            pin,
            limits,
            shared: SharedRates {
                desk_envelopes: Bucket::full(limits.desk_envelopes, Timestamp::default()),
                blobs_begun: Bucket::full(limits.all_blobs_begun, Timestamp::default()),
                blobs_completed: Bucket::full(limits.blobs_completed, Timestamp::default()),
                set_changes: Bucket::full(limits.all_set_changes, Timestamp::default()),
                multiplied: Bucket::full(limits.multiplied, Timestamp::default()),
            },
            connections: BTreeMap::new(),
            readers: BTreeMap::new(),
            undo: BTreeMap::new(),
            undo_log: None,
        };
        relay.handle(storage, Input::Organisation(&organisation), now, rng)?;
        Ok(relay)
    }

    /// Returns the organisation as the log has it.
    #[must_use]
    pub fn organisation(&self) -> &Organisation {
        self.log.authority.organisation()
    }

    /// Returns the key that verifies the log's checkpoints.
    #[must_use]
    pub const fn log_key(&self) -> &VerifyingKey {
        self.log_key.verifying_key()
    }

    /// Returns how many entries the log has.
    #[must_use]
    pub fn log_size(&self) -> u64 {
        self.log.head.size()
    }

    /// Returns how many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Handles one input in a transaction of its own.
    ///
    /// What a client does wrong is answered by an effect. The effects are to be carried out in order; the
    /// storage has committed what they promise (R-RELAY-10).
    ///
    /// # Errors
    ///
    /// [`StorageError`]: neither the relay nor the storage has changed. [`Self::handle_all`] turns that into a
    /// refusal.
    pub fn handle(
        &mut self,
        storage: &mut dyn Storage,
        input: Input<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<Effect>, StorageError> {
        self.transaction(storage, &[input], now, rng)
    }

    /// Handles many inputs in one transaction; if that fails, each in its own, and refuses what still fails
    /// (R-RELAY-11).
    pub fn handle_all(
        &mut self,
        storage: &mut dyn Storage,
        inputs: &[Input<'_>],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Vec<Effect> {
        if let Ok(effects) = self.transaction(storage, inputs, now, rng) {
            return effects;
        }
        let mut effects = Vec::new();
        for input in inputs {
            match self.transaction(storage, core::slice::from_ref(input), now, rng) {
                Ok(more) => effects.extend(more),
                Err(error) => effects.extend(self.give_up(input, error, now)),
            }
        }
        effects
    }

    fn transaction(
        &mut self,
        storage: &mut dyn Storage,
        inputs: &[Input<'_>],
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<Effect>, StorageError> {
        self.undo.clear();
        self.undo_log = None;
        let shared = self.shared;
        let result = storage.begin().and_then(|()| {
            let mut step = Step::new(self, storage, now, rng);
            for input in inputs {
                step.input(input)?;
            }
            step.finish_ends()?;
            step.finish_log()?;
            let effects = step.effects;
            storage.commit().map(|()| effects)
        });
        if result.is_err() {
            storage.rollback();
            self.shared = shared;
            self.restore();
        }
        result
    }

    /// Puts the log and every connection that the failed transaction touched back to what they were.
    fn restore(&mut self) {
        if let Some(log) = self.undo_log.take() {
            self.log = log;
        }
        for (id, before) in core::mem::take(&mut self.undo) {
            match before {
                Some(connection) => self.connections.insert(id, connection),
                None => self.connections.remove(&id),
            };
        }
        self.readers.clear();
        for (id, connection) in &self.connections {
            if let Stage::Mailbox(reader) = &connection.stage {
                self.readers.entry(reader.mailbox).or_default().insert(*id);
            }
        }
    }

    /// Does what can be done about an input without a storage.
    fn give_up(&mut self, input: &Input<'_>, error: StorageError, now: Timestamp) -> Vec<Effect> {
        match *input {
            Input::Opened { connection } => self.open(connection, now).into_iter().collect(),
            Input::Closed { connection } => {
                self.forget(connection);
                Vec::new()
            }
            Input::Tick | Input::Organisation(_) => Vec::new(),
            Input::Frame { connection, bytes } => {
                let request = decode::<proto::ClientFrame>(bytes, Limit::FRAME)
                    .map_or(0, |frame| frame.unchecked().request);
                let code = match error {
                    StorageError::Full => RefusalCode::StorageFull,
                    StorageError::Io => RefusalCode::Unavailable,
                };
                [refused(connection, request, code, RETRY_STORAGE_MS)].into()
            }
        }
    }

    /// Takes a connection in, or returns the effect that turns it away.
    pub(crate) fn open(&mut self, id: ConnectionId, now: Timestamp) -> Option<Effect> {
        if self.connections.len() >= self.limits.connections {
            return Some(Effect::Close { connection: id });
        }
        let frames = Bucket::full(self.limits.frames, now);
        self.undo.entry(id).or_insert(None);
        let blobs_begun = Bucket::full(self.limits.blobs_begun, now);
        let set_changes = Bucket::full(self.limits.set_changes, now);
        let fan_outs = Bucket::full(self.limits.fan_outs, now);
        let (opened, stage) = (now, Stage::Fresh);
        let connection = Connection { opened, frames, blobs_begun, set_changes, fan_outs, stage };
        self.connections.insert(id, connection);
        None
    }

    /// Forgets a connection.
    pub(crate) fn forget(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.remove(&id) else { return };
        if let Stage::Mailbox(reader) = &connection.stage {
            self.reads_no_more(&reader.mailbox, id);
        }
        self.undo.entry(id).or_insert(Some(connection));
    }

    /// Takes a connection out of those that read a mailbox.
    pub(crate) fn reads_no_more(&mut self, mailbox: &MailboxId, id: ConnectionId) {
        if let Some(ids) = self.readers.get_mut(mailbox) {
            ids.remove(&id);
            if ids.is_empty() {
                self.readers.remove(mailbox);
            }
        }
    }

    pub(crate) fn connection(&self, id: ConnectionId) -> Option<&Connection> {
        self.connections.get(&id)
    }

    /// Returns the log to change, and remembers what it was.
    pub(crate) fn log_mut(&mut self) -> &mut Log {
        self.undo_log.get_or_insert_with(|| self.log.clone());
        &mut self.log
    }

    /// Returns a connection to change, and remembers what it was.
    pub(crate) fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        let connection = self.connections.get_mut(&id)?;
        self.undo.entry(id).or_insert_with(|| Some(connection.clone()));
        Some(connection)
    }

    /// Returns what a connection reads, to change it.
    pub(crate) fn reader_mut(&mut self, id: ConnectionId) -> Option<&mut Reader> {
        match &mut self.connection_mut(id)?.stage {
            Stage::Mailbox(reader) => Some(reader),
            _ => None,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections.iter().map(|(id, connection)| (*id, connection))
    }

    /// Adds a connection to those that read a mailbox.
    pub(crate) fn reads(&mut self, mailbox: MailboxId, id: ConnectionId) {
        self.readers.entry(mailbox).or_default().insert(id);
    }

    /// Returns the connections that read a mailbox.
    pub(crate) fn readers(&self, mailbox: &MailboxId) -> Vec<ConnectionId> {
        self.readers.get(mailbox).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }
}

/// What all connections share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SharedRates {
    pub(crate) desk_envelopes: Bucket,
    pub(crate) blobs_begun: Bucket,
    pub(crate) blobs_completed: Bucket,
    pub(crate) set_changes: Bucket,
    pub(crate) multiplied: Bucket,
}

/// Makes the frame that answers `request`, or, for 0, one that was not asked for.
pub(crate) fn send(connection: ConnectionId, request: u64, body: Body) -> Effect {
    Effect::Send { connection, frame: encode(&proto::RelayFrame { request, body: Some(body) }) }
}

/// Makes a refusal.
pub(crate) fn refused(
    connection: ConnectionId,
    request: u64,
    code: RefusalCode,
    retry_after_ms: u64,
) -> Effect {
    send(connection, request, Body::Refused(proto::Refused { code: code.code(), retry_after_ms }))
}

/// After a full disk or a failing storage, 10 s: somebody has to do something about it.
const RETRY_STORAGE_MS: u64 = 10_000;
