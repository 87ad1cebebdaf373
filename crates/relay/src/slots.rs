//! Slots: the first envelope that is put into one stays, and everything that hangs on it happens with it (R-RELAY-72,
//! R-RELAY-73).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::hash::sha256;
use chancery_wire::{RefusalCode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, done};
use crate::limits::{MAX_SET_SLOTS, REPLACED_SET, end};
use crate::mailbox::envelope_fits;
use crate::relay::ConnectionId;
use crate::set_storage::{SetRow, SlotRow};
use crate::sets::{each_once, is_same, key_hash};
use crate::step::{Step, at_most};
use crate::storage::{MailboxId, SetId, SlotId};

/// What may be put into a slot: a group's commit (R-GROUP-21).
const SLOT_KIND: u8 = 0x18;
/// Where what is put into a slot names the slot (R-RELAY-72).
const NAMED: core::ops::Range<usize> = 17..33;

/// A set that follows another one.
struct Next {
    set: SetId,
    key: [u8; 32],
    mailboxes: Vec<MailboxId>,
    /// Whether it is there already.
    is_held: bool,
    /// Whether the set before it goes soon.
    replaces: bool,
}

impl Step<'_> {
    /// R-RELAY-72. Nothing changes before everything has been checked.
    pub(crate) fn put_slot(&mut self, id: ConnectionId, put: &proto::PutSlot) -> Answer {
        let slot = SlotId::from_bytes(&put.slot).ok_or(RefusalCode::BadRequest)?;
        let set = SetId::from_bytes(&put.set).ok_or(RefusalCode::BadRequest)?;
        envelope_fits(&put.envelope)?;
        // So nobody fills one slot with what was made for another (R-GROUP-21).
        if put.envelope.first() != Some(&SLOT_KIND) || put.envelope.get(NAMED) != Some(&put.slot) {
            return Err(RefusalCode::BadRequest.into());
        }
        self.admitted(slot.as_bytes(), &put.token)?;
        // Before the set, which may have gone with what is in the slot.
        if let Some(taken) = self.storage.slot(&slot)? {
            return Ok(content(taken));
        }
        let row = self.known_set(&set, &put.key)?;
        self.slot_fits(put.envelope.len())?;
        self.may_change_sets(id)?;
        let next = put.next.as_ref().map(|next| self.next(&set, &row, next)).transpose()?;
        let targets = self.targets(row.mailboxes.iter());
        self.may_multiply(id, targets.len(), put.envelope.len())?;

        let hash = sha256(&[&put.envelope]);
        let expires = end(self.now, self.relay.limits.keep_slots);
        self.storage.take_slot(&slot, &hash, &put.envelope, expires)?;
        self.multiply(&targets, &put.envelope)?;
        if next.as_ref().is_some_and(|next| next.replaces) {
            let expires = end(self.now, REPLACED_SET).min(row.expires);
            self.storage.keep_set(&set, expires)?;
        } else {
            self.use_set(&set, &row)?;
        }
        if let Some(next) = next.filter(|next| !next.is_held) {
            self.store_set(&next.set, next.key, next.mailboxes)?;
        }
        self.settle_held(&slot, &hash)?;
        done()
    }

    /// R-RELAY-73.
    pub(crate) fn get_slot(&self, get: &proto::GetSlot) -> Answer {
        let slot = SlotId::from_bytes(&get.slot).ok_or(RefusalCode::BadRequest)?;
        Ok(content(self.storage.slot(&slot)?.ok_or(RefusalCode::NotFound)?))
    }

    /// Makes the set that follows out of the one before, and checks that there is room for it.
    fn next(&self, before: &SetId, row: &SetRow, next: &proto::NextSet) -> Result<Next, Fault> {
        let set = SetId::from_bytes(&next.name).filter(|set| set != before);
        let set = set.ok_or(RefusalCode::BadRequest)?;
        let key = key_hash(&next.key)?;
        self.admitted(set.as_bytes(), &next.token)?;
        let mut mailboxes = changed(&row.mailboxes, next)?;
        let filled: BTreeSet<usize> =
            next.filled.iter().filter_map(|filled| usize::try_from(filled.slot).ok()).collect();
        let places = mailboxes.iter_mut().enumerate().filter(|(slot, _)| filled.contains(slot));
        self.leave_out_ended(places.map(|(_, place)| place))?;
        let replaces = !next.emptied.is_empty();
        let is_held = match self.storage.set(&set)? {
            Some(held) if is_same(&held, &key, &mailboxes) => true,
            Some(_) => return Err(RefusalCode::Conflict.into()),
            None => false,
        };
        if !is_held {
            self.set_fits(mailboxes.len())?;
        }
        Ok(Next { set, key, mailboxes, is_held, replaces })
    }

    /// R-RELAY-20.
    fn slot_fits(&self, len: usize) -> Result<(), Fault> {
        let (limits, totals) = (&self.relay.limits, self.storage.totals()?);
        let bytes = totals.slot_bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if totals.slots >= limits.slots || bytes > limits.slot_bytes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
    }
}

/// The slots of a set after a change.
fn changed(before: &[MailboxId], next: &proto::NextSet) -> Result<Vec<MailboxId>, Fault> {
    at_most(next.emptied.len().saturating_add(next.filled.len()), MAX_SET_SLOTS)?;
    let bad = RefusalCode::BadRequest;
    let mut mailboxes = before.to_vec();
    let mut seen = BTreeSet::new();
    for slot in &next.emptied {
        let place = usize::try_from(*slot).ok().and_then(|slot| mailboxes.get_mut(slot)).ok_or(bad)?;
        if !seen.insert(*slot) {
            return Err(bad.into());
        }
        *place = SetRow::EMPTY;
    }
    for filled in &next.filled {
        let slot = usize::try_from(filled.slot).ok().filter(|slot| *slot < MAX_SET_SLOTS).ok_or(bad)?;
        let mailbox = MailboxId::from_bytes(&filled.mailbox).filter(|mailbox| *mailbox != SetRow::EMPTY);
        if !seen.insert(filled.slot) {
            return Err(bad.into());
        }
        if mailboxes.len() <= slot {
            mailboxes.resize(slot.saturating_add(1), SetRow::EMPTY);
        }
        *mailboxes.get_mut(slot).ok_or(bad)? = mailbox.ok_or(bad)?;
    }
    each_once(&mailboxes)?;
    Ok(mailboxes)
}

fn content(slot: SlotRow) -> Body {
    let SlotRow { hash, envelope } = slot;
    Body::SlotContent(match envelope {
        Some(envelope) => proto::SlotContent { envelope, gone: Vec::new() },
        None => proto::SlotContent { envelope: Vec::new(), gone: hash.to_vec() },
    })
}
