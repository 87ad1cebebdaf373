//! One input against relay and storage: which frame may come where, and what goes back.

use alloc::sync::Arc;
use alloc::vec::Vec;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::{Capabilities, Credential, DeviceId};
use chancery_wire::{DecodeError, Limit, RefusalCode, Timestamp, decode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, Stage};
use crate::limits::{ENDED_WITHIN, EXPIRED_PER_TICK};
use crate::relay::{ConnectionId, Effect, Input, Relay, refused, send};
use crate::storage::{MailboxId, Storage, StorageError};

/// The version of this protocol.
const VERSION: u32 = 1;

pub(crate) struct Step<'a> {
    pub(crate) relay: &'a mut Relay,
    pub(crate) storage: &'a mut dyn Storage,
    pub(crate) now: Timestamp,
    pub(crate) rng: &'a mut dyn CryptoRng,
    pub(crate) effects: Vec<Effect>,
    /// Connections to push to once the request has been answered.
    pub(crate) to_push: Vec<ConnectionId>,
    /// Connections to close once the request has been answered.
    pub(crate) to_close: Vec<ConnectionId>,
    /// Devices that were ended or removed in this transaction.
    pub(crate) ended: Vec<DeviceId>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(
        relay: &'a mut Relay,
        storage: &'a mut dyn Storage,
        now: Timestamp,
        rng: &'a mut dyn CryptoRng,
    ) -> Self {
        let (effects, to_push, to_close, ended) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { relay, storage, now, rng, effects, to_push, to_close, ended }
    }

    pub(crate) fn input(&mut self, input: &Input<'_>) -> Result<(), StorageError> {
        match *input {
            Input::Opened { connection } => {
                self.effects.extend(self.relay.open(connection, self.now));
                Ok(())
            }
            Input::Frame { connection, bytes } => self.frame(connection, bytes),
            Input::Closed { connection } => {
                self.relay.forget(connection);
                Ok(())
            }
            Input::Organisation(organisation) => {
                self.take_over(organisation)?;
                self.close_all();
                Ok(())
            }
            Input::Tick => self.tick(),
        }
    }

    /// Reads a frame (R-RELAY-1) and answers it with exactly one (R-RELAY-2), if the connection's rate allows
    /// it (R-RELAY-12).
    fn frame(&mut self, id: ConnectionId, bytes: &[u8]) -> Result<(), StorageError> {
        let now = self.now;
        let rate = self.relay.limits.frames;
        // A frame that was under way when the connection was closed.
        let Some(connection) = self.relay.connection_mut(id) else { return Ok(()) };
        let within_rate = connection.frames.take(rate, now);
        let (request, answer) = match decode::<proto::ClientFrame>(bytes, Limit::FRAME) {
            Err(DecodeError::TooLong { .. }) => (0, Err(Fault::Fatal(RefusalCode::TooLarge))),
            Err(_) => (0, Err(Fault::Fatal(RefusalCode::BadRequest))),
            Ok(frame) => match frame.into_unchecked() {
                proto::ClientFrame { request: 0, .. } => (0, Err(Fault::Fatal(RefusalCode::BadRequest))),
                proto::ClientFrame { request, body } => (
                    request,
                    match (within_rate, body) {
                        (Err(retry_after_ms), _) => Err(Fault::limited(retry_after_ms)),
                        (Ok(()), Some(body)) => self.request(id, body),
                        (Ok(()), None) => Err(RefusalCode::BadRequest.into()),
                    },
                ),
            },
        };
        self.answer(id, request, answer)?;
        for reader in core::mem::take(&mut self.to_push) {
            self.push(reader)?;
        }
        self.close_all();
        Ok(())
    }

    fn close_all(&mut self) {
        for id in core::mem::take(&mut self.to_close) {
            self.close(id);
        }
    }

    fn answer(&mut self, id: ConnectionId, request: u64, answer: Answer) -> Result<(), StorageError> {
        match answer {
            Ok(body) => self.effects.push(send(id, request, body)),
            Err(Fault::Refused { code, retry_after_ms }) => {
                self.effects.push(refused(id, request, code, retry_after_ms));
            }
            Err(Fault::Fatal(code)) => {
                self.effects.push(refused(id, request, code, 0));
                self.close(id);
            }
            Err(Fault::Storage(error)) => return Err(error),
        }
        Ok(())
    }

    fn request(&mut self, id: ConnectionId, request: Request) -> Answer {
        match request {
            Request::Hello(hello) => self.hello(id, &hello),
            Request::Login(login) => self.login(id, login),
            Request::Subscribe(_) => self.subscribe(id),
            Request::Acknowledge(acknowledge) => self.acknowledge(id, &acknowledge),
            Request::PublishPrekeys(upload) => self.publish_prekeys(id, upload),
            Request::SyncDirectory(sync) => self.sync_directory(id, &sync),
            Request::Reply(reply) => self.reply(id, &reply),
            Request::PublishDirectory(entry) => self.publish_directory(id, &entry),
            Request::AppendLog(append) => self.append_log(id, append),
            Request::SyncLog(sync) => self.sync_log(id, &sync),
            Request::GetCheckpoint(get) => self.get_checkpoint(id, &get),
            Request::ConfirmEnd(confirmation) => self.confirm_end(id, &confirmation),
            Request::GetConfirmations(get) => self.get_confirmations(id, &get),
            Request::SetDeliveryKey(key) => self.set_delivery_key(id, key),
            Request::CreateSet(_)
            | Request::FanOut(_)
            | Request::PutSlot(_)
            | Request::GetSlot(_)
            | Request::Hold(_) => {
                self.be_anonymous(id)?;
                self.set_request(id, request)
            }
            Request::Deliver(_)
            | Request::ClaimPrekeys(_)
            | Request::GetCredential(_)
            | Request::PutBlob(_)
            | Request::GetBlob(_)
            | Request::GetOrganisation(_)
            | Request::AddCosignature(_)
            | Request::GetLogKey(_) => {
                self.be_anonymous(id)?;
                match request {
                    Request::Deliver(deliver) => self.deliver(&deliver),
                    Request::ClaimPrekeys(claim) => self.claim_prekeys(&claim),
                    Request::GetCredential(get) => self.get_credential(&get),
                    Request::PutBlob(put) => self.put_blob(id, &put),
                    Request::GetBlob(get) => self.get_blob(&get),
                    Request::AddCosignature(add) => self.add_cosignature(&add),
                    Request::GetLogKey(_) => self.log_key(),
                    _ => self.organisation_document(),
                }
            }
        }
    }

    /// What concerns sets and slots.
    fn set_request(&mut self, id: ConnectionId, request: Request) -> Answer {
        match request {
            Request::CreateSet(create) => self.create_set(id, &create),
            Request::FanOut(fan) => self.fan_out(id, &fan),
            Request::PutSlot(put) => self.put_slot(id, &put),
            Request::GetSlot(get) => self.get_slot(&get),
            Request::Hold(hold) => self.hold(&hold),
            _ => Err(RefusalCode::BadRequest.into()),
        }
    }

    /// R-RELAY-3, R-RELAY-4.
    fn hello(&mut self, id: ConnectionId, hello: &proto::Hello) -> Answer {
        if !matches!(self.stage(id), Some(Stage::Fresh)) {
            return Err(RefusalCode::BadRequest.into());
        }
        if hello.version != VERSION {
            return Err(Fault::Fatal(RefusalCode::UnsupportedVersion));
        }
        if hello.org_id != self.relay.organisation().id().as_bytes() {
            return Err(Fault::Fatal(RefusalCode::WrongOrganisation));
        }
        let challenge = random_bytes(self.rng);
        self.set_stage(id, Stage::Greeted { challenge });
        Ok(Body::Welcome(proto::Welcome { challenge: challenge.to_vec(), time: self.now.as_millis() }))
    }

    /// Lets a request pass that names no device, and makes a fresh connection one that never will (R-RELAY-5).
    pub(crate) fn be_anonymous(&mut self, id: ConnectionId) -> Result<(), Fault> {
        match self.stage(id) {
            Some(Stage::Anonymous) => Ok(()),
            Some(Stage::Greeted { .. }) => {
                self.set_stage(id, Stage::Anonymous);
                Ok(())
            }
            Some(Stage::Mailbox(_) | Stage::Ended(_)) => Err(RefusalCode::NotAuthorised.into()),
            Some(Stage::Fresh) | None => Err(Fault::Fatal(RefusalCode::BadRequest)),
        }
    }

    /// Lets a request pass that belongs to a mailbox; returns whose it is.
    pub(crate) fn reader(&self, id: ConnectionId) -> Result<(MailboxId, Option<Arc<Credential>>), Fault> {
        match self.stage(id) {
            Some(Stage::Mailbox(reader)) => Ok((reader.mailbox, reader.credential.clone())),
            Some(Stage::Greeted { .. } | Stage::Anonymous | Stage::Ended(_)) => {
                Err(RefusalCode::NotAuthorised.into())
            }
            Some(Stage::Fresh) | None => Err(Fault::Fatal(RefusalCode::BadRequest)),
        }
    }

    /// Lets a request pass that needs a credential.
    pub(crate) fn device(&self, id: ConnectionId) -> Result<Arc<Credential>, Fault> {
        self.reader(id)?.1.ok_or_else(|| RefusalCode::NotAuthorised.into())
    }

    /// Lets a request pass that only the enrolment desk may make.
    pub(crate) fn desk(&self, id: ConnectionId) -> Result<(), Fault> {
        if self.device(id)?.capabilities().contains(Capabilities::DESK) {
            return Ok(());
        }
        Err(RefusalCode::NotAuthorised.into())
    }

    fn tick(&mut self) -> Result<(), StorageError> {
        let (now, within) = (self.now, self.relay.limits.hello_within);
        let ended = |stage: &Stage, opened: Timestamp| match stage {
            Stage::Fresh => now.since(opened) >= within,
            Stage::Mailbox(reader) => {
                reader.credential.as_ref().is_some_and(|credential| now >= credential.not_after())
            }
            Stage::Greeted { .. } => now.since(opened) >= within.saturating_mul(GREETED_FACTOR),
            Stage::Ended(ended) => now.since(ended.since) >= ENDED_WITHIN,
            Stage::Anonymous => false,
        };
        let late: Vec<ConnectionId> = self
            .relay
            .all()
            .filter(|(_, connection)| ended(&connection.stage, connection.opened))
            .map(|(id, _)| id)
            .collect();
        for id in late {
            self.close(id);
        }
        self.renew_checkpoint()?;
        self.storage.expire(now, EXPIRED_PER_TICK)
    }

    pub(crate) fn close(&mut self, id: ConnectionId) {
        self.relay.forget(id);
        self.effects.push(Effect::Close { connection: id });
    }

    pub(crate) fn stage(&self, id: ConnectionId) -> Option<&Stage> {
        self.relay.connection(id).map(|connection| &connection.stage)
    }

    pub(crate) fn set_stage(&mut self, id: ConnectionId, stage: Stage) {
        if let Some(connection) = self.relay.connection_mut(id) {
            connection.stage = stage;
        }
    }
}

/// Refuses what a bounded field does not hold.
pub(crate) fn at_most(len: usize, limit: usize) -> Result<(), Fault> {
    if len > limit { Err(RefusalCode::TooLarge.into()) } else { Ok(()) }
}

/// A connection that said hello has six times as long (a minute) to say what it is for, so that silent ones do
/// not fill the relay's slots (R-RELAY-3).
const GREETED_FACTOR: u32 = 6;
