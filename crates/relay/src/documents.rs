//! The directory and the organisation's public document (R-RELAY-34 to R-RELAY-36).

use alloc::vec::Vec;

use chancery_identity::{Capabilities, DeviceId, Kind};
use chancery_wire::{RefusalCode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault};
use crate::limits::{DIRECTORY_PAGE, MAX_DIRECTORY_ENTRY, MAX_REMOVED_DEVICES};
use crate::mailbox::LATEST_START;
use crate::relay::ConnectionId;
use crate::step::{Step, at_most};
use crate::storage::{DirectoryRow, EntryId, MAX_NUMBER, NewEntry};

impl Step<'_> {
    /// R-RELAY-34, R-RELAY-43.
    pub(crate) fn publish_directory(
        &mut self,
        id: ConnectionId,
        entry: &proto::SealedDirectoryEntry,
    ) -> Answer {
        self.desk(id)?;
        let entry_id = EntryId::from_bytes(&entry.entry_id).ok_or(RefusalCode::BadRequest)?;
        at_most(entry.sealed.len(), MAX_DIRECTORY_ENTRY)?;
        if entry.sealed.is_empty() || entry.version > MAX_NUMBER {
            return Err(RefusalCode::BadRequest.into());
        }
        let removed = self.removed_devices(entry)?;
        let reader = reader(entry)?;
        let held = self.storage.directory_entry(&entry_id)?;
        let is_held = |held: &DirectoryRow| held.version == entry.version && held.sealed == entry.sealed;
        // What was one guest's never becomes another's or everybody's (R-RELAY-60).
        if held.as_ref().is_some_and(|held| held.reader != reader) {
            return Err(RefusalCode::Conflict.into());
        }
        if !held.as_ref().is_some_and(is_held) {
            let new = NewEntry { version: entry.version, sealed: &entry.sealed, reader };
            self.put_entry(&entry_id, &new, held.as_ref())?;
        }
        for device in removed {
            self.remove_device(&device)?;
        }
        let directory = self.storage.directory_sequence()?;
        Ok(Body::Done(proto::Done { directory, ..Default::default() }))
    }

    fn put_entry(
        &mut self,
        entry_id: &EntryId,
        entry: &NewEntry<'_>,
        held: Option<&DirectoryRow>,
    ) -> Result<(), Fault> {
        match held {
            Some(held) if held.version >= entry.version => return Err(RefusalCode::Conflict.into()),
            None if self.storage.totals()?.directory_entries >= self.relay.limits.directory_entries => {
                return Err(RefusalCode::QuotaExceeded.into());
            }
            _ => {}
        }
        // Above the clock, so that a relay that was put back from an old copy does not give out numbers that
        // clients have seen already.
        let least = self.now.as_millis().min(LATEST_START);
        Ok(self.storage.put_directory_entry(entry_id, entry, least)?)
    }

    /// The devices that an entry says are removed; the desk's is never one of them.
    fn removed_devices(&self, entry: &proto::SealedDirectoryEntry) -> Result<Vec<DeviceId>, Fault> {
        at_most(entry.removed.len(), MAX_REMOVED_DEVICES)?;
        let desk = self.relay.organisation().desk().map(chancery_identity::Desk::device_id);
        let read = |id: &Vec<u8>| DeviceId::from_bytes(id).filter(|id| Some(*id) != desk);
        let removed: Option<Vec<DeviceId>> = entry.removed.iter().map(read).collect();
        Ok(removed.ok_or(RefusalCode::BadRequest)?)
    }

    /// R-RELAY-35, R-RELAY-60.
    pub(crate) fn sync_directory(&mut self, id: ConnectionId, sync: &proto::SyncDirectory) -> Answer {
        let credential = self.device(id)?;
        // Whatever is not plainly a member's or the desk's gets what is for it alone.
        let kind = Kind::of(credential.capabilities());
        let is_desk = credential.capabilities().contains(Capabilities::DESK);
        let reads_all = is_desk || kind.is_some_and(|kind| !kind.is_guest());
        let device = credential.device_id();
        let reader = (!reads_all).then_some(&device);
        let mut page = proto::DirectoryPage::default();
        let mut after = sync.after.min(MAX_NUMBER);
        let mut bytes = 0_usize;
        while let Some(row) = self.storage.next_directory_entry(after, reader)? {
            if bytes >= DIRECTORY_PAGE {
                page.more = true;
                break;
            }
            after = row.sequence;
            bytes = bytes.saturating_add(row.sealed.len()).saturating_add(ROW_OVERHEAD);
            page.changes.push(change(row));
        }
        Ok(Body::DirectoryPage(page))
    }

    /// R-RELAY-36: the document as the log has it.
    pub(crate) fn organisation_document(&self) -> Answer {
        Ok(Body::Organisation(self.relay.organisation().as_proto().clone()))
    }
}

/// The guest's device that an entry is for (R-RELAY-60).
fn reader(entry: &proto::SealedDirectoryEntry) -> Result<Option<DeviceId>, Fault> {
    if entry.reader.is_empty() {
        return Ok(None);
    }
    Ok(Some(DeviceId::from_bytes(&entry.reader).ok_or(RefusalCode::BadRequest)?))
}

fn change(row: DirectoryRow) -> proto::DirectoryChange {
    let entry = proto::SealedDirectoryEntry {
        entry_id: row.entry_id.as_bytes().to_vec(),
        version: row.version,
        sealed: row.sealed,
        removed: Vec::new(),
        reader: row.reader.map(|reader| reader.as_bytes().to_vec()).unwrap_or_default(),
    };
    proto::DirectoryChange { sequence: row.sequence, entry: Some(entry) }
}

/// Bytes that a change needs beside its ciphertext, at most.
const ROW_OVERHEAD: usize = 64;
