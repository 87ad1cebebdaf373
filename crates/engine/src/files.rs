//! Attachments of received messages: where they were saved, and which could not be yet.

use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_wire::proto::{MessageRecord, WaitingFile, WaitingFilesRecord, outbox_item};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::messages::{message, message_key};
use crate::sending;
use crate::tables::{WAITING_FILES, key, load, save};

/// Attachments that are still to be saved: 256; the oldest is forgotten first. Each is tried again and again, and the
/// relay keeps it for 90 days only (R-RELAY-19).
const MAX_WAITING_FILES: usize = 256;

fn record_key() -> RecordKey {
    key(WAITING_FILES, &[])
}

fn waiting(records: &dyn Records) -> Result<WaitingFilesRecord, EngineError> {
    Ok(load(records, &record_key())?.unwrap_or_default())
}

/// Returns the attachments that could not be saved when their message was shown, oldest first: the message, and the
/// attachment's position in it.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn waiting_files(records: &dyn Records) -> Result<Vec<(MessageRecord, usize)>, EngineError> {
    let mut found = Vec::new();
    for file in waiting(records)?.files {
        let from = MemberId::from_bytes(&file.from).ok_or(EngineError::DamagedRecord)?;
        let message = message(records, &from, &file.message_id)?.ok_or(EngineError::DamagedRecord)?;
        found.push((message, usize::try_from(file.index).map_err(|_| EngineError::DamagedRecord)?));
    }
    Ok(found)
}

/// Returns the own message for whose file an item of the outbox is an upload; `None` for another item.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn message_of_upload(
    records: &dyn Records,
    own: &MemberId,
    item: u64,
) -> Result<Option<MessageRecord>, EngineError> {
    let Some(stored) = sending::outbox_item(records, item)? else { return Ok(None) };
    if !matches!(stored.step, Some(outbox_item::Step::Upload(_))) {
        return Ok(None);
    }
    message(records, own, &stored.message_id)
}

/// Notes that an attachment is still to be saved, or is not any more.
pub(crate) fn set_waiting(
    records: &mut Overlay<'_>,
    (from, id, index): (&MemberId, &[u8; 16], usize),
    waits: bool,
) -> Result<(), EngineError> {
    let index = u32::try_from(index).map_err(|_| EngineError::Misuse("no such attachment"))?;
    let file = WaitingFile { from: from.as_bytes().to_vec(), message_id: id.to_vec(), index };
    let mut record = waiting(records)?;
    let is_there = record.files.contains(&file);
    if is_there == waits {
        return Ok(());
    }
    if !waits {
        record.files.retain(|other| *other != file);
    } else if attachments(&known_message(records, from, id)?) > index as usize {
        if record.files.len() >= MAX_WAITING_FILES {
            record.files.remove(0);
        }
        record.files.push(file);
    } else {
        return Err(EngineError::Misuse("no such attachment"));
    }
    save(records, record_key(), &record);
    Ok(())
}

/// Forgets the attachments of a message that is no more.
pub(crate) fn forget(records: &mut Overlay<'_>, from: &MemberId, id: &[u8]) -> Result<(), EngineError> {
    let mut record = waiting(records)?;
    let before = record.files.len();
    record.files.retain(|file| file.from != from.as_bytes() || file.message_id != id);
    if record.files.len() != before {
        save(records, record_key(), &record);
    }
    Ok(())
}

fn known_message(records: &dyn Records, from: &MemberId, id: &[u8]) -> Result<MessageRecord, EngineError> {
    message(records, from, id)?.ok_or(EngineError::Misuse("no such message"))
}

fn attachments(message: &MessageRecord) -> usize {
    message.text.as_ref().map_or(0, |text| text.attachments.len())
}

/// Records where an attachment was saved.
pub(crate) fn saved(
    records: &mut Overlay<'_>,
    (from, id, index): (&MemberId, &[u8; 16], usize),
    path: &str,
) -> Result<(), EngineError> {
    let mut message = known_message(records, from, id)?;
    let attachments = attachments(&message);
    if index >= attachments {
        return Err(EngineError::Misuse("no such attachment"));
    }
    message.paths.resize(attachments, Default::default());
    if let Some(slot) = message.paths.get_mut(index) {
        *slot = path.into();
    }
    save(records, message_key(from.as_bytes(), id), &message);
    set_waiting(records, (from, id, index), false)
}
