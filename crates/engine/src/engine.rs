//! The one entrance: input to outcome.

use alloc::sync::Arc;
use core::ops::Deref;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::Organisation;
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::effect::{Effect, Input, Outcome};
use crate::ending::End;
use crate::error::EngineError;
use crate::log::{self, Known};
use crate::{
    addressing, amend, compose, conversations, devices, directory, ending, files, group, messages, prekeys,
    receipts, receiving, relays, sending, settled, upkeep,
};

/// The state machine of one device. It holds only who the device is; everything else is read from the
/// records in each call, so that several processes may share one store. (The organisation is kept in memory, see
/// [`Self::refresh`].)
#[derive(Debug)]
pub struct Engine {
    device: Device,
    known: Option<Arc<Known>>,
}

/// The device as it acts in one call, with the organisation as the log has it.
pub(crate) struct Acting<'a> {
    pub(crate) device: &'a Device,
    pub(crate) known: &'a Known,
}

impl Acting<'_> {
    /// Returns whose statements are believed now; [`Device::organisation`] is what came with the enrolment.
    pub(crate) fn believed(&self) -> &Organisation {
        self.known.organisation(self.device)
    }
}

impl Deref for Acting<'_> {
    type Target = Device;

    fn deref(&self) -> &Device {
        self.device
    }
}

impl Engine {
    /// Opens the engine of an enrolled store.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotEnrolled`] if there is no device yet; otherwise the store is not readable.
    pub fn load(records: &dyn Records, now: Timestamp) -> Result<Self, EngineError> {
        let load = |device| Self { device, known: None };
        Device::load(records, now)?.map(load).ok_or(EngineError::NotEnrolled)
    }

    /// Returns the organisation as the log has it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn organisation(&self, records: &dyn Records) -> Result<Organisation, EngineError> {
        Ok(self.known(records)?.organisation(&self.device).clone())
    }

    /// Reads the organisation anew if a process has changed it. Whoever calls this before [`Self::handle`], on the same
    /// records, has the organisation verified once for each change; otherwise each call verifies it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn refresh(&mut self, records: &dyn Records) -> Result<(), EngineError> {
        self.known = Some(self.known(records)?);
        Ok(())
    }

    /// Returns what the records have of the organisation, from memory if no process has changed it.
    pub(crate) fn known(&self, records: &dyn Records) -> Result<Arc<Known>, EngineError> {
        match &self.known {
            Some(known) if known.is_current(records)? => Ok(Arc::clone(known)),
            _ => Ok(Arc::new(Known::load(&self.device, records)?)),
        }
    }

    /// Returns who this device is.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Handles one input.
    ///
    /// `records` is read inside the transaction in which the caller commits [`Outcome::batch`], before it
    /// carries out [`Outcome::effects`] in their order (R-ENGINE-2).
    ///
    /// # Errors
    ///
    /// [`EngineError`]: nothing is to be written.
    pub fn handle(
        &self,
        records: &dyn Records,
        input: Input<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Outcome, EngineError> {
        let mut overlay = Overlay::new(records);
        let known = self.known(records)?;
        let me = &Acting { device: &self.device, known: &known };
        log::note_time(&mut overlay, now)?;
        let events = messages::next_event(&overlay)?;
        let mut effects = self.take((me, &mut overlay), input, now, rng)?;
        settled::announce(&overlay, events, &mut effects)?;
        Ok(Outcome { batch: overlay.into_batch(), effects })
    }

    fn take(
        &self,
        (me, view): (&Acting<'_>, &mut Overlay<'_>),
        input: Input<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<alloc::vec::Vec<Effect>, EngineError> {
        let (device, mut effects) = (&self.device, alloc::vec::Vec::new());
        match input {
            Input::TimePasses => upkeep::time_passes(device, view, now)?,
            Input::RelayReached(place) => relays::reached(me, view, place)?,
            Input::Send(draft) => {
                sending::send(device, view, (&draft, now), now, rng)?;
                effects = upkeep::warn(view, now)?;
            }
            Input::Compose(composed) => effects = compose::compose(me, view, composed, now, rng)?,
            Input::Act(draft) => effects = amend::act(me, view, draft, now, rng)?,
            Input::SendLater(letter) => addressing::keep(device, view, letter, now, rng)?,
            Input::Address => addressing::address_all(device, view, now, rng)?,
            Input::Discard { message_id } => addressing::discard(view, &message_id)?,
            Input::Received { sequence, envelope } => {
                log::overdue(device, view, now)?;
                effects = receiving::receive(me, view, (sequence, envelope), now, rng)?;
            }
            Input::Directory(page) => effects = directory::take_page(me, view, page)?,
            Input::Bundle { item, bundle } => {
                effects = sending::take_bundle(me, view, (item, *bundle), now, rng)?;
            }
            Input::Log { from, page } => {
                effects = log::take_page(me, view, (from, page), now, rng)?;
                effects.extend(self.log_grown(view, now, rng)?);
            }
            Input::Checkpoint { from, note } => {
                effects = log::take_checkpoint(me, view, (from, note), now, rng)?;
                if group::awaits_log(view)? {
                    effects.extend(self.log_grown(view, now, rng)?);
                }
            }
            Input::Floor { note } => effects = log::take_floor(me, view, note)?,
            Input::CaughtUp => log::caught_up(device, view)?,
            Input::Seal { item } => sending::seal_waiting(device, view, item, now, rng)?,
            Input::Done { item } => ending::finish(device, view, item, End::Done)?,
            Input::Failed { item } => ending::finish(device, view, item, End::Failed)?,
            Input::Postponed { item } => ending::postponed(device, view, item, now)?,
            Input::DeviceLinkMade(link) => devices::remember(view, link, now)?,
            Input::DeviceLinkUsed { link_id } => devices::forget(view, &link_id, now)?,
            Input::Upkeep => {
                log::overdue(device, view, now)?;
                upkeep::tidy(device, view, now)?;
                effects = prekeys::upkeep(device, view, now, rng)?;
                effects.extend(upkeep::warn(view, now)?);
            }
            Input::SessionUpkeep => effects = upkeep::upkeep(view, now, rng)?,
            Input::PrekeysAtRelay { sequence, pairs } => {
                effects = prekeys::at_relay(device, view, (sequence, pairs), now, rng)?;
            }
            Input::PrekeysPublished { sequence } => prekeys::published(view, sequence)?,
            Input::PrekeysRefused { sequence } => {
                effects = prekeys::refused(device, view, sequence, now, rng)?;
            }
            Input::Receipts(input) => effects = receipts::handle(device, view, input, now, rng)?,
            Input::Group(input) => effects = group::handle(me, view, input, now, rng)?,
            Input::EventsTaken { up_to } => messages::events_taken(view, up_to)?,
            Input::MarkRead { conversation, up_to } => {
                receipts::read(device, view, (&conversation, up_to), now, rng)?;
            }
            Input::KeepDraft { conversation, draft } => {
                conversations::keep_draft(view, &conversation, draft)?
            }
            Input::AttachmentSaved { from, message_id, index, path } => {
                files::saved(view, (&from, &message_id, index), path)?;
            }
            Input::AttachmentWaits { from, message_id, index, waits } => {
                files::set_waiting(view, (&from, &message_id, index), waits)?;
            }
        }
        Ok(effects)
    }

    /// Goes on with what groups have waited for, by the organisation as the log has it now.
    fn log_grown(
        &self,
        view: &mut Overlay<'_>,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<alloc::vec::Vec<Effect>, EngineError> {
        let known = self.known(view)?;
        group::log_grown(&Acting { device: &self.device, known: &known }, view, now, rng)
    }
}
