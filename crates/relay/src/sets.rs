//! Sets of mailboxes, and envelopes that are multiplied to them (R-RELAY-70, R-RELAY-71, R-RELAY-75).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::hash::sha256;
use chancery_crypto::secret::ct_eq;
use chancery_identity::delivery::Use;
use chancery_wire::{RefusalCode, proto};

use crate::connection::{Answer, Fault, done};
use crate::limits::{MAX_SET_SLOTS, REFERENCE_BYTES, REPLACED_SET, end};
use crate::mailbox::envelope_fits;
use crate::relay::ConnectionId;
use crate::set_storage::{Room, SetRow};
use crate::step::{Step, at_most};
use crate::storage::{DeliveryId, MailboxId, SetId, StorageError};

/// Length of a set's key, in bytes.
const SET_KEY_LEN: usize = 16;
/// What may be sent to a set: a message of a group, and a hand-out (R-GROUP-23, R-GROUP-17).
const FANNED_KINDS: [u8; 2] = [0x17, 0x19];

impl Step<'_> {
    /// R-RELAY-70. The same set again changes nothing.
    pub(crate) fn create_set(&mut self, id: ConnectionId, create: &proto::CreateSet) -> Answer {
        let set = SetId::from_bytes(&create.name).ok_or(RefusalCode::BadRequest)?;
        let key = key_hash(&create.key)?;
        self.admitted(Use::Set, set.as_bytes(), &create.token)?;
        let mut mailboxes = places(&create.mailboxes)?;
        let held = self.storage.set(&set)?;
        if held.as_ref().is_some_and(|held| is_same(held, &key, &mailboxes)) {
            return done();
        }
        if held.is_none() {
            self.set_fits(mailboxes.len())?;
        }
        // From here on it costs a look at each mailbox.
        self.may_change_sets(id)?;
        self.leave_out_ended(mailboxes.iter_mut())?;
        match held {
            Some(held) if is_same(&held, &key, &mailboxes) => done(),
            Some(_) => Err(RefusalCode::Conflict.into()),
            None => {
                self.store_set(&set, key, mailboxes)?;
                done()
            }
        }
    }

    /// R-RELAY-71. A delivery that is noted was stored, also if its set is gone since.
    pub(crate) fn fan_out(&mut self, id: ConnectionId, fan: &proto::FanOut) -> Answer {
        let set = SetId::from_bytes(&fan.set).ok_or(RefusalCode::BadRequest)?;
        // Who knows a set and its key may have left.
        self.admitted(Use::Send, set.as_bytes(), &fan.token)?;
        let delivery = DeliveryId::from_bytes(&fan.delivery_id).ok_or(RefusalCode::BadRequest)?;
        envelope_fits(&fan.envelope)?;
        if !fan.envelope.first().is_some_and(|kind| FANNED_KINDS.contains(kind)) {
            return Err(RefusalCode::BadRequest.into());
        }
        // Names of sets and of mailboxes are random, so that ids noted for one are never taken for the other's.
        let noted = MailboxId::new(*set.as_bytes());
        if self.storage.has_delivery(&noted, &delivery)? {
            return done();
        }
        let row = self.known_set(&set, &fan.key)?;
        let first = usize::try_from(fan.first).unwrap_or(usize::MAX);
        let count = match fan.count {
            0 => usize::MAX,
            count => usize::try_from(count).unwrap_or(usize::MAX),
        };
        let targets = self.targets(row.mailboxes.iter().skip(first).take(count));
        self.may_multiply(id, targets.len(), fan.envelope.len())?;
        self.multiply(&targets, &fan.envelope)?;
        self.use_set(&set, &row)?;
        let (expires, most) =
            (end(self.now, self.relay.limits.keep_deliveries), self.relay.limits.deliveries);
        self.storage.note_delivery(&noted, &delivery, expires, most)?;
        done()
    }

    /// Returns a set to who knows its key; one answer for a set that is not there and for another key.
    pub(crate) fn known_set(&self, set: &SetId, key: &[u8]) -> Result<SetRow, Fault> {
        let key = key_hash(key)?;
        let row = self.storage.set(set)?.filter(|row| ct_eq(&row.key, &key));
        row.ok_or_else(|| RefusalCode::NotFound.into())
    }

    /// The mailboxes behind places, in the order in which a storage has them. The desk's is rationed (R-RELAY-23), and
    /// no group has it.
    pub(crate) fn targets<'m>(&self, places: impl Iterator<Item = &'m MailboxId>) -> Vec<MailboxId> {
        let desk = self.relay.organisation().desk().map(|desk| MailboxId::from(desk.device_id()));
        let taken = |mailbox: &&MailboxId| **mailbox != SetRow::EMPTY && Some(**mailbox) != desk;
        let mut targets: Vec<MailboxId> = places.filter(taken).copied().collect();
        targets.sort_unstable();
        targets
    }

    /// R-RELAY-20: what a connection may, what all together may, and room for one copy and its references.
    pub(crate) fn may_multiply(&mut self, id: ConnectionId, targets: usize, len: usize) -> Result<(), Fault> {
        let (limits, now) = (self.relay.limits, self.now);
        let targets = u64::try_from(targets).unwrap_or(u64::MAX);
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let added = len.saturating_add(targets.saturating_mul(REFERENCE_BYTES));
        if self.storage.totals()?.envelope_bytes.saturating_add(added) > limits.all_mailbox_bytes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        if let Some(connection) = self.relay.connection_mut(id) {
            connection.fan_outs.take_many(targets.max(1), limits.fan_outs, now).map_err(Fault::limited)?;
        }
        let multiplied = &mut self.relay.shared.multiplied;
        multiplied.take_many(targets, limits.multiplied, now).map_err(Fault::limited)
    }

    /// Stores an envelope for mailboxes and has it pushed to whoever reads them.
    pub(crate) fn multiply(&mut self, targets: &[MailboxId], envelope: &[u8]) -> Result<(), StorageError> {
        let limits = self.relay.limits;
        let room = Room { envelopes: limits.mailbox_envelopes, bytes: limits.mailbox_bytes };
        let expires = end(self.now, limits.keep_envelopes);
        for mailbox in self.storage.multiply(targets, envelope, expires, room)? {
            self.to_push.extend(self.relay.readers(&mailbox));
        }
        Ok(())
    }

    /// Notes that a set is used, once an hour. One that goes within the hour stays no longer, for it may have been replaced: whoever
    /// needs it still creates it again.
    pub(crate) fn use_set(&mut self, set: &SetId, row: &SetRow) -> Result<(), StorageError> {
        let expires = end(self.now, self.relay.limits.keep_sets);
        if row.expires == expires || row.expires <= end(self.now, REPLACED_SET) {
            return Ok(());
        }
        self.storage.keep_set(set, expires)
    }

    /// R-RELAY-20: room for one more set of so many slots.
    pub(crate) fn set_fits(&self, slots: usize) -> Result<(), Fault> {
        let (limits, totals) = (&self.relay.limits, self.storage.totals()?);
        let places = totals.set_places.saturating_add(u64::try_from(slots).unwrap_or(u64::MAX));
        if totals.sets >= limits.sets || places > limits.set_places {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
    }

    /// R-RELAY-20. The ration of all counts too, since whoever connects again has a new one of their own.
    pub(crate) fn may_change_sets(&mut self, id: ConnectionId) -> Result<(), Fault> {
        let (limits, now) = (self.relay.limits, self.now);
        if let Some(connection) = self.relay.connection_mut(id) {
            connection.set_changes.take(limits.set_changes, now).map_err(Fault::limited)?;
        }
        self.relay.shared.set_changes.take(limits.all_set_changes, now).map_err(Fault::limited)
    }

    pub(crate) fn store_set(
        &mut self,
        set: &SetId,
        key: [u8; 32],
        mailboxes: Vec<MailboxId>,
    ) -> Result<(), StorageError> {
        let expires = end(self.now, self.relay.limits.keep_sets);
        self.storage.put_set(set, &SetRow { key, mailboxes, expires })
    }

    /// Empties those of these places whose devices were ended or removed.
    pub(crate) fn leave_out_ended<'m>(
        &self,
        places: impl Iterator<Item = &'m mut MailboxId>,
    ) -> Result<(), StorageError> {
        for place in places.filter(|place| **place != SetRow::EMPTY) {
            if self.storage.mailbox(place)?.is_some_and(|held| held.removed) {
                *place = SetRow::EMPTY;
            }
        }
        Ok(())
    }
}

/// Whether a set that is kept is what somebody wants to make.
pub(crate) fn is_same(held: &SetRow, key: &[u8; 32], mailboxes: &[MailboxId]) -> bool {
    ct_eq(&held.key, key) && held.mailboxes == mailboxes
}

/// Reads a set's key; the relay keeps its hash alone.
pub(crate) fn key_hash(key: &[u8]) -> Result<[u8; 32], Fault> {
    if key.len() == SET_KEY_LEN { Ok(sha256(&[key])) } else { Err(RefusalCode::BadRequest.into()) }
}

/// Reads the slots of a set.
fn places(bytes: &[u8]) -> Result<Vec<MailboxId>, Fault> {
    at_most(bytes.len(), MAX_SET_SLOTS.saturating_mul(16))?;
    let places: Option<Vec<MailboxId>> = bytes.chunks(16).map(MailboxId::from_bytes).collect();
    let places = places.ok_or(RefusalCode::BadRequest)?;
    each_once(&places)?;
    Ok(places)
}

/// A mailbox that stands twice in a set would get everything twice, which is a way to fill it.
pub(crate) fn each_once(places: &[MailboxId]) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    let is_new = |place: &MailboxId| *place == SetRow::EMPTY || seen.insert(*place);
    if places.iter().all(is_new) { Ok(()) } else { Err(RefusalCode::BadRequest.into()) }
}
