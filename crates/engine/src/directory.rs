//! The local copy of the organisation's directory: looked up here, never at the relay.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::{Credential, DeviceId, DirectoryEntry, MemberId};
use chancery_org::CLOCK_TOLERANCE;
use chancery_wire::proto::{DirectoryPage, DirectoryRecord};
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::directory_keys::{Reader, Reading};
use crate::effect::{Effect, Notice};
use crate::ending;
use crate::error::EngineError;
use crate::messages;
use crate::peers;
use crate::tables::{DIRECTORY, DIRECTORY_CURSOR, HANDLE, key, load, load_number, save, save_number};

/// A member as the directory knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's identifier, random and never issued twice.
    pub member_id: MemberId,
    /// The label that the organisation gave them.
    pub handle: String,
    /// Their display name.
    pub name: String,
    /// Their devices.
    pub device_ids: Vec<DeviceId>,
}

/// Returns the last directory change that was taken over, for the next synchronisation.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn directory_cursor(records: &dyn Records) -> Result<u64, EngineError> {
    Ok(load_number(records, &key(DIRECTORY_CURSOR, &[]))?.unwrap_or_default())
}

/// Finds a member by identifier.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn member(records: &dyn Records, member_id: &MemberId) -> Result<Option<Member>, EngineError> {
    let Some(record) = load::<DirectoryRecord>(records, &key(DIRECTORY, &[member_id.as_bytes()]))? else {
        return Ok(None);
    };
    let device_ids = record.device_ids.iter().filter_map(|id| DeviceId::from_bytes(id)).collect();
    Ok(Some(Member { member_id: *member_id, handle: record.handle, name: record.name, device_ids }))
}

/// Finds a member by handle, or by the hexadecimal form of the identifier.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn resolve(records: &dyn Records, text: &str) -> Result<Option<Member>, EngineError> {
    if let Some(id) = records.get(&key(HANDLE, &[text.as_bytes()]))? {
        let id = MemberId::from_bytes(&id).ok_or(EngineError::DamagedRecord)?;
        return member(records, &id);
    }
    MemberId::from_hex(text).map_or(Ok(None), |id| member(records, &id))
}

/// Returns when the desk issued a credential, by its clock, in milliseconds: it dates them back by its tolerance.
pub(crate) fn issued_at(credential: &Credential) -> u64 {
    credential.not_before().after(CLOCK_TOLERANCE).as_millis()
}

/// Whether a member's entry that is known was made after a device's credential was issued, and does not name the
/// device: then it was removed, also if this device never knew it (R-ENGINE-15).
pub(crate) fn has_dropped(
    records: &dyn Records,
    (member_id, device): (&MemberId, &DeviceId),
    issued_at: u64,
) -> Result<bool, EngineError> {
    let known = load::<DirectoryRecord>(records, &key(DIRECTORY, &[member_id.as_bytes()]))?;
    Ok(known.is_some_and(|entry| {
        // The desk's versions are the time, by the clock of the credentials (R-ORG-12).
        entry.version > issued_at && !entry.device_ids.iter().any(|id| id == device.as_bytes())
    }))
}

/// Takes over one page of changes. An entry that does not verify is skipped and reported. After a change of the key the
/// cursor may lie below the page's end: what could not be read without that key comes again (R-ENGINE-51).
pub(crate) fn take_page(
    device: &Device,
    records: &mut Overlay<'_>,
    page: &DirectoryPage,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    if page.changes.is_empty() {
        return Ok(effects);
    }
    let mut reader = Reader::new(device, records, page)?;
    let mut cursor = directory_cursor(records)?;
    for change in &page.changes {
        let reading = change.entry.as_ref().map_or(Reading::Bad, |entry| reader.read(entry, cursor));
        cursor = change.sequence;
        match reading {
            Reading::Entry(entry) => effects.extend(take_entry(device, records, &entry)?),
            Reading::Bad => effects.push(Effect::Notify(Notice::DirectoryEntryRejected)),
            Reading::Known | Reading::Early => {}
            Reading::Changed => {
                if let Some(after) = reader.read_again() {
                    cursor = after;
                    break;
                }
            }
        }
    }
    save_number(records, key(DIRECTORY_CURSOR, &[]), cursor);
    reader.save(records);
    Ok(effects)
}

/// Takes over an entry unless a later version is known (R-ENGINE-11).
fn take_entry(
    device: &Device,
    records: &mut Overlay<'_>,
    entry: &DirectoryEntry,
) -> Result<Vec<Effect>, EngineError> {
    let name = key(DIRECTORY, &[entry.member_id().as_bytes()]);
    let mut effects = Vec::new();
    if let Some(old) = load::<DirectoryRecord>(records, &name)? {
        if old.version >= entry.version() {
            return Ok(effects);
        }
        if old.handle != entry.handle().as_str() {
            release_handle(records, &old.handle, &entry.member_id())?;
        }
        effects = change_devices(device, records, (&old, entry))?;
    }
    // Those of which a first message came before any entry was known that names them.
    for id in peers::older_than(records, &entry.member_id(), entry.version())? {
        if !entry.device_ids().contains(&id) && id != device.device_id() {
            ending::remove_device(device, records, &id)?;
        }
    }
    for id in entry.device_ids() {
        peers::readmit(records, id)?;
    }
    let record = DirectoryRecord {
        handle: entry.handle().as_str().into(),
        name: entry.name().as_str().into(),
        device_ids: entry.device_ids().iter().map(|id| id.as_bytes().to_vec()).collect(),
        version: entry.version(),
    };
    save(records, name, &record);
    // A handle is a label: whoever was given it last has it, and nothing else moves with it.
    records.put(key(HANDLE, &[record.handle.as_bytes()]), entry.member_id().as_bytes().to_vec());
    Ok(effects)
}

/// Drops what there is with devices that are gone, and announces those that came, before anything can be sealed to
/// them (R-ENGINE-15).
fn change_devices(
    device: &Device,
    records: &mut Overlay<'_>,
    (old, new): (&DirectoryRecord, &DirectoryEntry),
) -> Result<Vec<Effect>, EngineError> {
    let member = new.member_id();
    for id in old.device_ids.iter().filter_map(|id| DeviceId::from_bytes(id)) {
        // What this device is said of itself is not for its outbox to act upon.
        if !new.device_ids().contains(&id) && id != device.device_id() {
            ending::remove_device(device, records, &id)?;
        }
    }
    let mut effects = Vec::new();
    if member != device.member_id() && !messages::has_conversation(records, &member)? {
        return Ok(effects);
    }
    for id in new.device_ids() {
        if !old.device_ids.iter().any(|known| known == id.as_bytes()) && *id != device.device_id() {
            let number = messages::append_device_added(records, &member, id)?;
            effects.push(Effect::Notify(Notice::EventStored(number)));
        }
    }
    Ok(effects)
}

fn release_handle(records: &mut Overlay<'_>, handle: &str, holder: &MemberId) -> Result<(), EngineError> {
    let name = key(HANDLE, &[handle.as_bytes()]);
    if records.get(&name)?.as_deref() == Some(holder.as_bytes().as_slice()) {
        records.delete(name);
    }
    Ok(())
}
