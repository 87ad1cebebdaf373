//! Deliveries that wait for what is put into a slot (R-RELAY-74).

use chancery_wire::{RefusalCode, proto};

use crate::connection::{Answer, Fault, done};
use crate::limits::end;
use crate::mailbox::{envelope_fits, names};
use crate::set_storage::HeldDelivery;
use crate::step::Step;
use crate::storage::{Mailbox, MailboxId, SlotId};

impl Step<'_> {
    /// R-RELAY-74. Only devices are waited for: neither the desk nor who enrols.
    pub(crate) fn hold(&mut self, hold: &proto::Hold) -> Answer {
        let deliver = hold.deliver.as_ref().ok_or(RefusalCode::BadRequest)?;
        let (mailbox, delivery) = names(&deliver.mailbox, &deliver.delivery_id)?;
        let slot = SlotId::from_bytes(&hold.slot).ok_or(RefusalCode::BadRequest)?;
        let hash: [u8; 32] = hold.hash.as_slice().try_into().map_err(|_| RefusalCode::BadRequest)?;
        envelope_fits(&deliver.envelope)?;
        self.admitted(mailbox.as_bytes(), &deliver.token)?;
        if self.storage.has_delivery(&mailbox, &delivery)? || self.storage.is_held(&mailbox, &delivery)? {
            return done();
        }
        let row = self.devices_mailbox(&mailbox)?;
        self.within_quota(&row, deliver.envelope.len())?;
        if let Some(taken) = self.storage.slot(&slot)? {
            let matches = taken.hash == hash;
            return if matches {
                self.store(&mailbox, &delivery, &deliver.envelope)
            } else {
                Err(RefusalCode::Conflict.into())
            };
        }
        self.held_fits(deliver.envelope.len())?;
        let held = HeldDelivery { position: 0, hash, mailbox, delivery, envelope: deliver.envelope.clone() };
        self.storage.hold(&slot, &held, end(self.now, self.relay.limits.keep_held))?;
        done()
    }

    fn devices_mailbox(&self, mailbox: &MailboxId) -> Result<Mailbox, Fault> {
        let desk = self.relay.organisation().desk().map(|desk| MailboxId::from(desk.device_id()));
        let row = self.storage.mailbox(mailbox)?.filter(|_| desk != Some(*mailbox));
        row.filter(|row| !row.removed && row.expires.is_none()).ok_or_else(|| RefusalCode::NotFound.into())
    }

    /// R-RELAY-20.
    fn held_fits(&self, len: usize) -> Result<(), Fault> {
        let (limits, totals) = (&self.relay.limits, self.storage.totals()?);
        let bytes = totals.held_bytes.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
        if totals.held >= limits.held || bytes > limits.held_bytes {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        Ok(())
    }

    /// A slot has been taken: what waited for this content is delivered, what waited for another is dropped.
    pub(crate) fn settle_held(&mut self, slot: &SlotId, hash: &[u8; 32]) -> Result<(), Fault> {
        let mut after = 0;
        while let Some(held) = self.storage.next_held(slot, after)? {
            after = held.position;
            self.storage.remove_held(held.position)?;
            // Somebody may have delivered it in the meantime without waiting.
            if held.hash == *hash && !self.storage.has_delivery(&held.mailbox, &held.delivery)? {
                self.store(&held.mailbox, &held.delivery, &held.envelope)?;
            }
        }
        Ok(())
    }
}
