//! The records of the log, and the authority that they hold.

use alloc::string::String;

use chancery_crypto::signature::VerifyingKey;
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::LogHead;
use chancery_identity::{Authority, LogError, MemberId, Organisation};
use chancery_wire::proto::{AuthorityRecord, LogRecord};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::device::Device;
use crate::error::EngineError;
use crate::tables::{LOG, LOG_AUTHORITY, LOG_ENTRY, LOG_NOTE, key, load, save};

/// [`LogRecord::condition`]: nothing speaks against the log.
pub(crate) const SOUND: u32 = 0;
pub(crate) const FORKED: u32 = 1;
pub(crate) const ROLLED_BACK: u32 = 2;
pub(crate) const WITHHELD: u32 = 3;

/// Statements about groups in one record: 128, of at most 4 KiB each, within the limit of a record.
const SUCCESSORS_IN_RECORD: usize = 128;

/// Which note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Note {
    /// The newest checkpoint.
    Newest = 0,
    /// A larger one, which another device has shown.
    Owed = 1,
}

fn note_key(which: Note) -> RecordKey {
    key(LOG_NOTE, &[&[which as u8]])
}

pub(crate) fn record(records: &dyn Records) -> Result<LogRecord, EngineError> {
    Ok(load(records, &key(LOG, &[]))?.unwrap_or_default())
}

pub(crate) fn save_record(records: &mut Overlay<'_>, record: &LogRecord) {
    save(records, key(LOG, &[]), record);
}

pub(crate) fn head(record: &LogRecord) -> Result<LogHead, EngineError> {
    if record.head.is_empty() {
        return Ok(LogHead::default());
    }
    LogHead::from_bytes(&record.head).ok_or(EngineError::DamagedRecord)
}

/// Whether the newest checkpoint is of exactly the entries that were taken over: as many, and the same (R-ENGINE-32).
pub(crate) fn is_confirmed(record: &LogRecord) -> bool {
    !record.root.is_empty()
        && head(record).is_ok_and(|head| head.size() == record.size && head.root().as_slice() == record.root)
}

pub(crate) fn note(records: &dyn Records, which: Note) -> Result<Option<String>, EngineError> {
    let bytes = records.get(&note_key(which))?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| EngineError::DamagedRecord)).transpose()
}

pub(crate) fn save_note(records: &mut Overlay<'_>, which: Note, note: Option<&str>) {
    match note {
        Some(note) => records.put(note_key(which), note.as_bytes().to_vec()),
        None => records.delete(note_key(which)),
    }
}

/// Returns the newest checkpoint's signed note; `None` before the first.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn newest_note(records: &dyn Records) -> Result<Option<String>, EngineError> {
    note(records, Note::Newest)
}

/// Where a directory entry waits for the log to commit to it.
pub(crate) fn waiting_entry_key(member: &MemberId) -> RecordKey {
    key(LOG_ENTRY, &[member.as_bytes()])
}

/// Counts a directory entry that begins to wait, or waits no longer.
pub(crate) fn count_waiting_entry(records: &mut Overlay<'_>, comes: bool) -> Result<(), EngineError> {
    let mut record = record(records)?;
    record.entries_waiting = if comes {
        record.entries_waiting.saturating_add(1)
    } else {
        record.entries_waiting.saturating_sub(1)
    };
    save_record(records, &record);
    Ok(())
}

/// Whether directory entries wait for the log: then somebody may be missing whom the directory has.
pub(crate) fn has_waiting_entries(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(record(records)?.entries_waiting > 0)
}

/// The organisation as the log has it, kept as long as no process changes it.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    generation: u64,
    pub(crate) authority: Authority,
}

impl Known {
    /// Reads what the records have.
    pub(crate) fn load(device: &Device, records: &dyn Records) -> Result<Self, EngineError> {
        let log = record(records)?;
        let Some(mut stored) = load::<AuthorityRecord>(records, &key(LOG_AUTHORITY, &[]))? else {
            return Ok(Self { generation: log.generation, authority: Authority::new(device.organisation()) });
        };
        for number in 0..log.successor_records {
            let more: AuthorityRecord =
                load(records, &successors_key(number))?.ok_or(EngineError::DamagedRecord)?;
            stored.group_successors.extend(more.group_successors);
        }
        let authority = Authority::from_record(stored).map_err(|_| EngineError::DamagedRecord)?;
        Ok(Self { generation: log.generation, authority })
    }

    /// Whether no process has changed the records since.
    pub(crate) fn is_current(&self, records: &dyn Records) -> Result<bool, EngineError> {
        Ok(record(records)?.generation == self.generation)
    }

    /// Returns whose statements are believed: before the first entry those of the document that came with the enrolment.
    pub(crate) fn organisation<'a>(&'a self, device: &'a Device) -> &'a Organisation {
        if self.generation == 0 { device.organisation() } else { self.authority.organisation() }
    }
}

fn successors_key(number: u64) -> RecordKey {
    key(LOG_AUTHORITY, &[&number.to_be_bytes()])
}

/// Stores the authority; `groups` says whether who takes groups over has changed as well.
pub(crate) fn save_authority(
    records: &mut Overlay<'_>,
    log: &mut LogRecord,
    authority: &Authority,
    groups: bool,
) {
    let mut stored = authority.to_record();
    let successors = core::mem::take(&mut stored.group_successors);
    if groups {
        log.successor_records = 0;
        for part in successors.chunks(SUCCESSORS_IN_RECORD) {
            let part = AuthorityRecord { group_successors: part.to_vec(), ..AuthorityRecord::default() };
            save(records, successors_key(log.successor_records), &part);
            log.successor_records = log.successor_records.saturating_add(1);
        }
    }
    save(records, key(LOG_AUTHORITY, &[]), &stored);
    log.generation = log.generation.saturating_add(1);
}

/// Returns the key that signs checkpoints: the newest that the log has shown, and before that has come to the record with which
/// this device was enrolled, that one's (R-LOG-7).
pub(crate) fn log_key<'a>(device: &'a Device, authority: &'a Authority) -> Option<&'a VerifyingKey> {
    let records = [device.organisation().relay(), authority.organisation().relay()];
    // Of two with the same sequence, which are one record, the last.
    let newest = records.into_iter().flatten().max_by_key(|record| record.sequence());
    newest.map(chancery_identity::RelayRecord::log_key)
}

/// Verifies a note of the organisation's log.
pub(crate) fn verify_note(
    device: &Device,
    authority: &Authority,
    note: &str,
) -> Result<Checkpoint, LogError> {
    let key = log_key(device, authority).ok_or(LogError::NotPermitted)?;
    Checkpoint::verify(note, &device.organisation().id(), key)
}
