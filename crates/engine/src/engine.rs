//! The one entrance: input to outcome.

use chancery_crypto::rng::CryptoRng;
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::effect::{Input, Outcome};
use crate::ending::End;
use crate::error::EngineError;
use crate::{addressing, devices, directory, ending, files, messages, prekeys, receiving, sending, upkeep};

/// The state machine of one device. It holds only who the device is; everything else is read from the
/// records in each call, so that several processes may share one store.
#[derive(Debug)]
pub struct Engine {
    device: Device,
}

impl Engine {
    /// Opens the engine of an enrolled store.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotEnrolled`] if there is no device yet; otherwise the store is not readable.
    pub fn load(records: &dyn Records, now: Timestamp) -> Result<Self, EngineError> {
        Device::load(records, now)?.map(|device| Self { device }).ok_or(EngineError::NotEnrolled)
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
        let (device, view) = (&self.device, &mut overlay);
        let mut effects = alloc::vec::Vec::new();
        match input {
            Input::Send(draft) => sending::send(device, view, (&draft, now), now, rng)?,
            Input::SendLater(letter) => addressing::keep(device, view, letter, now, rng)?,
            Input::Address => addressing::address_all(device, view, now, rng)?,
            Input::Received { sequence, envelope } => {
                effects = receiving::receive(device, view, (sequence, envelope), now, rng)?;
            }
            Input::Directory(page) => effects = directory::take_page(device, view, page)?,
            Input::Bundle { item, bundle } => {
                effects = sending::take_bundle(device, view, (item, *bundle), now, rng)?;
            }
            Input::Seal { item } => sending::seal_waiting(view, item, now, rng)?,
            Input::Done { item } => ending::finish(device, view, item, End::Done)?,
            Input::Failed { item } => ending::finish(device, view, item, End::Failed)?,
            Input::Postponed { item } => ending::postponed(device, view, item, now)?,
            Input::DeviceLinkMade(link) => devices::remember(view, link, now)?,
            Input::DeviceLinkUsed { link_id } => devices::forget(view, &link_id, now)?,
            Input::Upkeep => effects = prekeys::upkeep(device, view, now, rng)?,
            Input::SessionUpkeep => effects = upkeep::upkeep(view, now, rng)?,
            Input::PrekeysAtRelay { sequence, pairs } => {
                effects = prekeys::at_relay(device, view, (sequence, pairs), now, rng)?;
            }
            Input::PrekeysPublished { sequence } => prekeys::published(view, sequence)?,
            Input::PrekeysRefused { sequence } => {
                effects = prekeys::refused(device, view, sequence, now, rng)?;
            }
            Input::EventsTaken { up_to } => messages::events_taken(view, up_to)?,
            Input::AttachmentSaved { from, message_id, index, path } => {
                files::saved(view, (&from, &message_id, index), path)?;
            }
            Input::AttachmentWaits { from, message_id, index, waits } => {
                files::set_waiting(view, (&from, &message_id, index), waits)?;
            }
        }
        Ok(Outcome { batch: overlay.into_batch(), effects })
    }
}
