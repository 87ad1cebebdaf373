//! Guests and bots whose time is over: their devices are ended (R-ORG-66).

use alloc::format;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::records::{Batch, Overlay, Records};
use chancery_wire::{Timestamp, proto};

use crate::answer::Work;
use crate::audit::Act;
use crate::guests::Changed;
use crate::offboard::device_ids;
use crate::state::{self, damaged};
use crate::{Desk, OrgError, guests};

/// Guests and bots whose devices are ended in one transaction: 16. Each makes a new directory key.
const AT_A_TIME: usize = 16;
/// Who ends them, in the records of acts: no administrator has asked for it.
const ACTOR: &str = "desk";

impl Desk {
    /// Ends the devices of the next guests and bots whose time is over, as removing them does (R-ORG-66); `None` when there
    /// are no more. Ask again after each batch, and from time to time.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer. Nothing is to be committed.
    pub fn end_expired(
        &self,
        records: &dyn Records,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<Batch>, OrgError> {
        let mut view = Overlay::new(records);
        let mut ended = 0_usize;
        for id in guests::limited(records)? {
            let member = state::member(records, &id)?.ok_or_else(damaged)?;
            let is_over = member.ends != 0 && now.as_millis() >= member.ends;
            if member.ended != 0 || member.device_ids.is_empty() || !is_over {
                continue;
            }
            if ended >= AT_A_TIME {
                break;
            }
            let batch = self.end_all_devices(&view, (&id, member), now, rng)?;
            view.absorb(batch);
            ended = ended.saturating_add(1);
        }
        if ended == 0 {
            return Ok(None);
        }
        let settings = state::settings(&view)?;
        let mut work = Work { records: &view, settings, batch: Batch::default(), now, rng };
        self.tell_guests(&mut work, Changed::Key)?;
        let told = work.batch;
        view.absorb(told);
        Ok(Some(view.into_batch()))
    }

    fn end_all_devices(
        &self,
        records: &dyn Records,
        (id, member): (&MemberId, proto::DeskMember),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let (handle, devices) = (member.handle.clone(), device_ids(&member.device_ids)?);
        for device in &devices {
            self.queue_end_of_device(records, &mut batch, (id, device), rng)?;
        }
        let settings = state::settings(records)?;
        let mut work = Work { records, settings, batch, now, rng };
        self.take_out(&mut work, (id, member), &devices)?;
        let Work { mut batch, rng, .. } = work;
        let before = format!("{} devices", devices.len());
        let (target, before) = (handle.as_str(), before.as_str());
        let act = Act { action: "expire", target, before, after: "ended", member: Some(*id) };
        self.record_act_of((records, &mut batch), (ACTOR, &act), now, rng)?;
        Ok(batch)
    }
}
