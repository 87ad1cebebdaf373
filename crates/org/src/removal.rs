//! Devices that are taken out, and the directory key that changes with them (R-ORG-21, R-ORG-35).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, DirectoryKeyUpdate, MemberId, sign};
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Timestamp, proto};

use crate::answer::Work;
use crate::guests::Changed;
use crate::places::{self, Refreshed};
use crate::state::{self, damaged};
use crate::tree::Change;
use crate::{Desk, OrgError};

/// Removed devices of a member that the relay is told of with each entry: the newest 64, as many as it takes
/// (R-RELAY-43). It has dropped older ones long ago.
const REMOVED_KEPT: usize = 64;

/// What came of a removal. Commit the batch before anything is published.
#[derive(Debug)]
pub struct Removed {
    /// What the desk must remember; empty if the member had none of the devices.
    pub batch: Batch,
    /// What is to be published, in this order: the update of the directory key, then the member's entry. Empty if the
    /// member had none of the devices; what the relay lacks of earlier removals, [`Desk::pending_directory`] says.
    pub entries: Vec<proto::SealedDirectoryEntry>,
    /// Whether the directory key could not change because it is the last (R-ORG-35): who was removed and has kept it
    /// goes on reading what is sealed under it. Tell the administrator.
    pub key_stays: bool,
}

/// The two things that a removal publishes.
pub(crate) struct TakenOut {
    /// Absent if the directory key is the last.
    pub(crate) update: Option<proto::SealedDirectoryEntry>,
    pub(crate) entry: proto::SealedDirectoryEntry,
}

impl Desk {
    /// Removes devices of a member, or with `None` all of them, in the log too (R-ORG-40), and changes the directory key (R-ORG-35). Removing what is
    /// no device of the member's, or no more, changes nothing.
    ///
    /// # Errors
    ///
    /// [`OrgError::NotAMember`] for a member who was never invited, [`OrgError::NotFounded`] and
    /// [`OrgError::Records`]: nothing is to be committed.
    pub fn remove_devices(
        &self,
        records: &dyn Records,
        (member_id, device_ids): (&MemberId, Option<&[DeviceId]>),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Removed, OrgError> {
        let settings = state::settings(records)?;
        let member = state::member(records, member_id)?.ok_or(OrgError::NotAMember)?;
        let mut gone = Vec::new();
        for id in &member.device_ids {
            let id = DeviceId::from_bytes(id).ok_or_else(damaged)?;
            if device_ids.is_none_or(|ids| ids.contains(&id)) {
                gone.push(id);
            }
        }
        let mut work = Work { records, settings, batch: Batch::default(), now, rng };
        if gone.is_empty() {
            return Ok(Removed { batch: work.batch, entries: Vec::new(), key_stays: false });
        }
        for device in &gone {
            let Work { records, batch, rng, .. } = &mut work;
            self.queue_end_of_device(*records, batch, (member_id, device), *rng)?;
        }
        let TakenOut { update, entry } = self.take_out(&mut work, (member_id, member), &gone)?;
        self.tell_guests(&mut work, Changed::Key)?;
        let key_stays = update.is_none();
        Ok(Removed { batch: work.batch, entries: update.into_iter().chain([entry]).collect(), key_stays })
    }

    /// Takes devices that a member has out of the tree and the member's entry, and changes the directory key first, so that
    /// the entry is sealed under the new one.
    pub(crate) fn take_out(
        &self,
        work: &mut Work<'_>,
        (member_id, mut member): (&MemberId, proto::DeskMember),
        gone: &[DeviceId],
    ) -> Result<TakenOut, OrgError> {
        let update = self.change_key(work, gone)?;
        let is_gone = |id: &Vec<u8>| gone.iter().any(|gone| gone.as_bytes() == id.as_slice());
        member.removed_ids.extend(member.device_ids.extract_if(.., |id| is_gone(id)));
        let surplus = member.removed_ids.len().saturating_sub(REMOVED_KEPT);
        member.removed_ids.drain(..surplus);
        let Work { records, settings, batch, now, rng } = work;
        let key = &settings.directory_key;
        let entry = self.make_entry(batch, key, (member_id, &mut member), (*now, *rng))?;
        state::add_pending(*records, batch, core::slice::from_ref(&entry.entry_id))?;
        Ok(TakenOut { update, entry })
    }

    /// Changes the key of the tree's nodes above devices that go, and the directory key; signs and keeps what tells those
    /// who stay. In the last epoch the devices only lose their places.
    fn change_key(
        &self,
        work: &mut Work<'_>,
        gone: &[DeviceId],
    ) -> Result<Option<proto::SealedDirectoryEntry>, OrgError> {
        let Work { records, settings, batch, rng, .. } = work;
        let org = self.organisation.id();
        let Some(next) = settings.next_key() else {
            places::leave(*records, batch, (gone, None), *rng)?;
            return Ok(None);
        };
        let epoch = next.epoch();
        let change = Change { org: &org, epoch };
        let Refreshed { nodes, directory_key } =
            places::leave(*records, batch, (gone, Some((change, &next))), *rng)?;
        let body = proto::DirectoryKeyUpdateBody {
            org_id: org.as_bytes().to_vec(),
            issuer_id: self.keys.issuer.id().as_bytes().to_vec(),
            epoch,
            nodes,
            directory_key,
        };
        let signed = sign::sign_directory_key_update(self.keys.issuer.signing(), &body, *rng);
        let update = DirectoryKeyUpdate::publish(&org, epoch, &signed);
        state::put_key_update(batch, epoch, &update);
        settings.directory_key = next;
        state::put_settings(batch, settings);
        Ok(Some(update))
    }
}
