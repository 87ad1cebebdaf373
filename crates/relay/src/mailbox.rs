//! Mailboxes: deliver, reply, subscribe, push, acknowledge (R-RELAY-13 to R-RELAY-24).

use chancery_identity::DeviceId;
use chancery_identity::delivery::Use;
use chancery_wire::{Limit, RefusalCode, Timestamp, encode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, Stage, Subscription, done};
use crate::limits::{MAX_ACKNOWLEDGED, MAX_TOKEN, end};
use crate::relay::{ConnectionId, send};
use crate::step::{Step, at_most};
use crate::storage::{DeliveryId, MAX_NUMBER, Mailbox, MailboxId, StorageError};

impl Step<'_> {
    /// R-RELAY-13. The desk's mailbox exists from the start and is rationed (R-RELAY-23). It needs no token, and neither
    /// does a reply mailbox; whether there is any other, the refusal of a token does not tell (R-RELAY-58).
    pub(crate) fn deliver(&mut self, deliver: &proto::Deliver) -> Answer {
        let (mailbox, delivery) = names(&deliver.mailbox, &deliver.delivery_id)?;
        at_most(deliver.token.len(), MAX_TOKEN)?;
        envelope_fits(&deliver.envelope)?;
        let is_desk = self.relay.organisation().desk().is_some_and(|desk| mailbox == desk.device_id().into());
        let held = self.storage.mailbox(&mailbox)?;
        let is_reply_mailbox = held.is_some_and(|held| held.expires.is_some());
        if !is_desk && !is_reply_mailbox {
            self.needs_token(Use::Mailbox, mailbox.as_bytes(), &deliver.token)?;
        }
        if self.storage.has_delivery(&mailbox, &delivery)? {
            return done();
        }
        if held.map_or(!is_desk, |held| held.removed) {
            return Err(RefusalCode::NotFound.into());
        }
        if let Some(held) = held {
            self.within_quota(&held, deliver.envelope.len())?;
        }
        if is_desk {
            let rate = self.relay.limits.desk_envelopes;
            self.relay.shared.desk_envelopes.take(rate, self.now).map_err(Fault::limited)?;
        }
        if held.is_none() {
            self.new_mailbox(&mailbox, None)?;
        }
        self.store(&mailbox, &delivery, &deliver.envelope)
    }

    /// R-RELAY-22.
    pub(crate) fn reply(&mut self, id: ConnectionId, reply: &proto::Reply) -> Answer {
        self.desk(id)?;
        let (mailbox, delivery) = names(&reply.mailbox, &reply.delivery_id)?;
        envelope_fits(&reply.envelope)?;
        if self.storage.has_delivery(&mailbox, &delivery)? {
            return done();
        }
        let expires = end(self.now, self.relay.limits.keep_replies);
        match self.storage.mailbox(&mailbox)? {
            Some(Mailbox { removed: true, .. }) => return Err(RefusalCode::NotFound.into()),
            // A device's mailbox stays one.
            Some(held @ Mailbox { expires: None, .. }) => self.within_quota(&held, reply.envelope.len())?,
            Some(held) => {
                self.within_quota(&held, reply.envelope.len())?;
                self.create_mailbox(&mailbox, Some(expires))?;
            }
            None => self.new_mailbox(&mailbox, Some(expires))?,
        }
        self.store(&mailbox, &delivery, &reply.envelope)
    }

    /// Makes a mailbox if there is a place for one more (R-RELAY-20).
    pub(crate) fn new_mailbox(
        &mut self,
        mailbox: &MailboxId,
        expires: Option<Timestamp>,
    ) -> Result<(), Fault> {
        if self.storage.totals()?.mailboxes >= self.relay.limits.mailboxes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(self.create_mailbox(mailbox, expires)?)
    }

    /// Makes a mailbox, or gives it a new end. Its sequences start above the clock's milliseconds, so that a reply mailbox that
    /// ended and is made again does not repeat one (R-RELAY-15).
    fn create_mailbox(
        &mut self,
        mailbox: &MailboxId,
        expires: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let start = self.now.as_millis().min(LATEST_START);
        self.storage.create_mailbox(mailbox, start, expires)
    }

    pub(crate) fn within_quota(&self, mailbox: &Mailbox, len: usize) -> Result<(), Fault> {
        let limits = &self.relay.limits;
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let bytes = mailbox.bytes.saturating_add(len);
        let all = self.storage.totals()?.envelope_bytes.saturating_add(len);
        if mailbox.envelopes >= limits.mailbox_envelopes
            || bytes > limits.mailbox_bytes
            || all > limits.all_mailbox_bytes
        {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
    }

    /// Stores an envelope and its delivery id (R-RELAY-14), and has it pushed to whoever reads the mailbox.
    pub(crate) fn store(&mut self, mailbox: &MailboxId, delivery: &DeliveryId, envelope: &[u8]) -> Answer {
        let limits = self.relay.limits;
        self.storage.append(mailbox, envelope, end(self.now, limits.keep_envelopes))?;
        let expires = end(self.now, limits.keep_deliveries);
        self.storage.note_delivery(mailbox, delivery, expires, limits.deliveries)?;
        self.to_push.extend(self.relay.readers(mailbox));
        done()
    }

    /// Deletes what there is of a device whose mailbox is not marked yet (R-RELAY-43, R-RELAY-50), but for its credential
    /// (R-RELAY-78).
    pub(crate) fn remove_device(&mut self, device: &DeviceId) -> Result<(), StorageError> {
        if !self.storage.mailbox(&(*device).into())?.is_some_and(|held| held.removed) {
            if let Some(credential) = self.shown_credential(device)? {
                let expires = end(self.now, self.relay.limits.keep_credentials);
                self.storage.keep_credential(device, &encode(&credential), expires)?;
            }
            self.storage.remove_device(device)?;
            self.ended.push(*device);
        }
        Ok(())
    }

    /// At the end of a transaction: empties the places of all devices that it ended, in one go (R-RELAY-75).
    pub(crate) fn finish_ends(&mut self) -> Result<(), StorageError> {
        if self.ended.is_empty() {
            return Ok(());
        }
        self.storage.empty_places(&core::mem::take(&mut self.ended))
    }

    /// R-RELAY-16. Subscribing again starts over.
    pub(crate) fn subscribe(&mut self, id: ConnectionId) -> Answer {
        let (mailbox, _) = self.reader(id)?;
        let target = self.storage.mailbox(&mailbox)?.map_or(0, |mailbox| mailbox.last_sequence);
        if let Some(reader) = self.relay.reader_mut(id) {
            reader.subscription = Some(Subscription { target: Some(target), ..Subscription::default() });
        }
        self.to_push.push(id);
        done()
    }

    /// R-RELAY-21. Room is made on every connection that reads the mailbox (R-RELAY-24).
    pub(crate) fn acknowledge(&mut self, id: ConnectionId, acknowledge: &proto::Acknowledge) -> Answer {
        let (mailbox, _) = self.reader(id)?;
        at_most(acknowledge.sequences.len(), MAX_ACKNOWLEDGED)?;
        let readers = self.relay.readers(&mailbox);
        for sequence in acknowledge.sequences.iter().filter(|sequence| **sequence <= MAX_NUMBER) {
            self.storage.remove_envelope(&mailbox, *sequence)?;
        }
        for reader in &readers {
            if let Some(subscription) =
                self.relay.reader_mut(*reader).and_then(|reader| reader.subscription.as_mut())
            {
                for sequence in &acknowledge.sequences {
                    subscription.acknowledged(*sequence);
                }
            }
        }
        self.to_push = readers;
        done()
    }

    /// Pushes what the window has room for (R-RELAY-17), then says once that the client is caught up
    /// (R-RELAY-18).
    pub(crate) fn push(&mut self, id: ConnectionId) -> Result<(), StorageError> {
        while let Some((mailbox, after, room)) = self.position(id) {
            let next = self.storage.next_envelope(&mailbox, after)?;
            let Some(subscription) =
                self.relay.reader_mut(id).and_then(|reader| reader.subscription.as_mut())
            else {
                return Ok(());
            };
            let newest = next.as_ref().map_or(u64::MAX, |(sequence, _)| *sequence);
            if subscription.target.is_some_and(|target| newest > target) {
                subscription.target = None;
                self.effects.push(send(id, 0, Body::CaughtUp(proto::CaughtUp {})));
            }
            let Some((sequence, envelope)) = next.filter(|_| room) else { return Ok(()) };
            subscription.pushed(sequence, envelope.len());
            // What the log said before the envelope was stored, the client hears before it (R-RELAY-48).
            self.tell(id);
            let body = Body::Envelope(proto::StoredEnvelope { sequence, envelope });
            self.effects.push(send(id, 0, body));
        }
        Ok(())
    }

    /// What a connection reads, after which sequence it goes on, and whether its window has room; `None` when
    /// there is nothing to look for.
    fn position(&self, id: ConnectionId) -> Option<(MailboxId, u64, bool)> {
        let Some(Stage::Mailbox(reader)) = self.stage(id) else { return None };
        let subscription = reader.subscription.as_ref()?;
        let limits = &self.relay.limits;
        let room = subscription.in_flight.len() < limits.window_envelopes
            && subscription.in_flight_bytes < limits.window_bytes;
        (room || subscription.target.is_some()).then_some((reader.mailbox, subscription.pushed, room))
    }
}

pub(crate) fn names(mailbox: &[u8], delivery: &[u8]) -> Result<(MailboxId, DeliveryId), Fault> {
    match (MailboxId::from_bytes(mailbox), DeliveryId::from_bytes(delivery)) {
        (Some(mailbox), Some(delivery)) => Ok((mailbox, delivery)),
        _ => Err(RefusalCode::BadRequest.into()),
    }
}

pub(crate) fn envelope_fits(envelope: &[u8]) -> Result<(), Fault> {
    if envelope.is_empty() {
        return Err(RefusalCode::BadRequest.into());
    }
    at_most(envelope.len(), Limit::ENVELOPE.bytes())
}

/// No clock goes beyond the year 37,000, and sequences have 2^62 numbers to go on.
pub(crate) const LATEST_START: u64 = 1 << 50;
