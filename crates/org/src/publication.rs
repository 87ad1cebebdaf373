//! What the desk has the relay publish, and how a relay that lost some of it gets it again (R-ORG-12, R-ORG-23).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::delivery::DeliveryKey;
use chancery_wire::records::{Batch, Records};
use chancery_wire::{Timestamp, proto};

use crate::state::{self, damaged};
use crate::{Desk, OrgError};

/// Members whose entries are published again at a time: 64. A fraction of a second, after which whoever enrols
/// has a turn.
const CATCH_UP: usize = 64;
/// Updates of the directory key that are handed out for publication at a time: 64, half a megabyte.
const UPDATES_AT_A_TIME: u64 = 64;

impl Desk {
    /// Returns the key by which the relay is to check delivery tokens from now on (R-RELAY-56): that of the newest
    /// directory key. Give it after each login, and with a removal once its end is in the log and before anything is
    /// published.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn delivery_key(&self, records: &dyn Records) -> Result<DeliveryKey, OrgError> {
        let directory = state::settings(records)?.directory_key;
        Ok(DeliveryKey::of(&self.organisation.id(), &directory))
    }

    /// Returns what the relay has yet to be given (R-ORG-12, R-ORG-37): updates of the directory key, in the order of their
    /// epochs and at most 64; if there are none, directory entries, oldest first. So ask again after updates, and publish
    /// nothing else while the relay does not take one: what is sealed under a key must come after it.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn pending_directory(records: &dyn Records) -> Result<Vec<proto::SealedDirectoryEntry>, OrgError> {
        let newest = state::settings(records)?.directory_key.epoch();
        let next = next_update(&state::publication(records)?);
        if next <= newest {
            let last = newest.min(next.saturating_add(UPDATES_AT_A_TIME.saturating_sub(1)));
            return (next..=last)
                .map(|epoch| state::key_update(records, epoch)?.ok_or_else(damaged))
                .collect();
        }
        state::pending_index(records)?
            .iter()
            .map(|id| state::entry(records, id)?.ok_or_else(damaged))
            .collect()
    }

    /// Notes that the relay has an entry or update durably, and with `directory` what its directory ends with since. The
    /// entry itself is kept. A newer version that came up meanwhile stays pending.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn directory_published(
        records: &dyn Records,
        entry_id: &[u8],
        version: u64,
        directory: u64,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let before = state::publication(records)?;
        let publication = settled(records, (&mut batch, &before), (entry_id, version))?;
        let publication = proto::DeskPublication { directory, ..publication };
        if publication != before {
            state::put_publication(&mut batch, &publication);
        }
        Ok(batch)
    }

    /// Notes that the relay has a newer entry than this one, or another of its version: it waits no longer. A newer
    /// version that came up meanwhile stays pending.
    ///
    /// It must not be made anew with a higher version: a store that was put back from an old copy would name devices
    /// again that were removed since.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn directory_superseded(
        records: &dyn Records,
        entry_id: &[u8],
        version: u64,
    ) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let before = state::publication(records)?;
        let publication = settled(records, (&mut batch, &before), (entry_id, version))?;
        if publication != before {
            state::put_publication(&mut batch, &publication);
        }
        Ok(batch)
    }

    /// Compares what a relay's directory ends with, as it says at login, with what it said last. If that
    /// differs, some entries may be missing: all are to be published again, by [`Self::catch_up`].
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn compare_directory(records: &dyn Records, directory: u64) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        if state::publication(records)?.directory != directory {
            let members = state::member_ids(records)?.len();
            let behind = u32::try_from(members).map_err(|_| damaged())?;
            state::put_publication(&mut batch, &proto::DeskPublication { directory, behind, key_epoch: 0 });
        }
        Ok(batch)
    }

    /// Puts the entries of the next members among those to be published; `None` when all have had their turn.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn catch_up(
        &self,
        records: &dyn Records,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Result<Option<Batch>, OrgError> {
        let publication = state::publication(records)?;
        let Some(last) = usize::try_from(publication.behind).ok().filter(|behind| *behind > 0) else {
            return Ok(None);
        };
        let from = last.saturating_sub(CATCH_UP);
        let settings = state::settings(records)?;
        let (mut batch, mut ids) = (Batch::default(), Vec::new());
        for member_id in state::member_ids(records)?.iter().take(last).skip(from) {
            let mut member = state::member(records, member_id)?.ok_or_else(damaged)?;
            if member.entry_id.is_empty() {
                continue;
            }
            // A desk of an earlier version kept nothing that was published.
            if state::entry(records, &member.entry_id)?.is_none() {
                let key = &settings.directory_key;
                self.make_entry(&mut batch, key, (member_id, &mut member), (now, rng))?;
            }
            ids.extend(self.told(records, (member_id, &member))?);
            ids.push(member.entry_id);
        }
        state::add_pending(records, &mut batch, &ids)?;
        let behind = u32::try_from(from).map_err(|_| damaged())?;
        state::put_publication(&mut batch, &proto::DeskPublication { behind, ..publication });
        Ok(Some(batch))
    }
}

/// The epoch of the first update that the relay may lack; the first key had none.
fn next_update(publication: &proto::DeskPublication) -> u64 {
    publication.key_epoch.max(1).saturating_add(1)
}

/// Notes that an entry or update waits no longer.
fn settled(
    records: &dyn Records,
    (batch, publication): (&mut Batch, &proto::DeskPublication),
    (entry_id, version): (&[u8], u64),
) -> Result<proto::DeskPublication, OrgError> {
    let next = next_update(publication);
    if state::key_update(records, next)?.is_some_and(|update| update.entry_id == entry_id) {
        return Ok(proto::DeskPublication { key_epoch: next, ..*publication });
    }
    if state::pending(records, entry_id)?.is_some_and(|pending| pending.version <= version) {
        state::remove_pending(records, batch, entry_id)?;
    }
    Ok(*publication)
}
