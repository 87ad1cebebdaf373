//! The local copy of the organisation's directory: looked up here, never at the relay.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chancery_identity::log::{LeafKind, commitment};
use chancery_identity::{Credential, DeviceId, DirectoryEntry, Kind, MemberId, Organisation};
use chancery_org::CLOCK_TOLERANCE;
use chancery_wire::proto::{DirectoryEntryBody, DirectoryPage, DirectoryRecord, Signed};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Unverified, decode};

use crate::device::Device;
use crate::directory_keys::{Reader, Reading};
use crate::effect::{Effect, Notice};
use crate::ending;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::guest;
use crate::log;
use crate::member_list;
use crate::messages;
use crate::peers;
use crate::tables::{DIRECTORY, DIRECTORY_CURSOR, HANDLE, key, load, load_number, save, save_number};

/// A member as the directory knows them. Its `Debug` names nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The member's identifier, random and never issued twice.
    pub member_id: MemberId,
    /// The label that the organisation gave them.
    pub handle: String,
    /// Their display name.
    pub name: String,
    /// Their devices.
    pub device_ids: Vec<DeviceId>,
    /// Their department or place, if the organisation says one.
    pub unit: Option<String>,
    /// A person of the organisation, a guest or a bot; `None` for a kind that this version does not know.
    pub kind: Option<Kind>,
    /// With whom alone a guest or bot exchanges messages; empty for everybody else, and for a bot that reaches all (R-ID-21).
    pub reach: Vec<MemberId>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Member");
        shown.field("member_id", &self.member_id).field("device_ids", &self.device_ids);
        shown.field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Returns the last directory change that was taken over, for the next synchronisation.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn directory_cursor(records: &dyn Records) -> Result<u64, EngineError> {
    if !member_list::is_begun(records)? {
        // A version that kept no list of members has read the directory: it is read once more.
        return Ok(0);
    }
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
    Ok(Some(Member {
        member_id: *member_id,
        handle: record.handle,
        name: record.name,
        device_ids,
        unit: Some(record.unit).filter(|unit| !unit.is_empty()),
        kind: Kind::from_number(record.kind),
        reach: record.reach.iter().filter_map(|id| MemberId::from_bytes(id)).collect(),
    }))
}

/// Finds a member by the hexadecimal form of the identifier, or else by handle: what looks like an identifier is never somebody
/// else's handle (R-ENGINE-142).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn resolve(records: &dyn Records, text: &str) -> Result<Option<Member>, EngineError> {
    if let Some(id) = MemberId::from_hex(text) {
        return member(records, &id);
    }
    let Some(id) = records.get(&key(HANDLE, &[text.as_bytes()]))? else { return Ok(None) };
    member(records, &MemberId::from_bytes(&id).ok_or(EngineError::DamagedRecord)?)
}

/// Returns the version of a member's entry that is known, which is when the desk made it by its clock (R-ORG-12), in milliseconds.
pub(crate) fn entry_version(records: &dyn Records, member_id: &MemberId) -> Result<u64, EngineError> {
    let known = load::<DirectoryRecord>(records, &key(DIRECTORY, &[member_id.as_bytes()]))?;
    Ok(known.map_or(0, |entry| entry.version))
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

/// Whether the entry that is known of a member is the one that the log commits to (R-LOG-10).
pub(crate) fn counts(records: &dyn Records, member_id: &MemberId) -> Result<bool, EngineError> {
    let known = load::<DirectoryRecord>(records, &key(DIRECTORY, &[member_id.as_bytes()]))?;
    let committed = log::member(records, member_id)?.directory;
    Ok(known.is_some_and(|entry| !entry.commitment.is_empty() && entry.commitment == committed))
}

/// Whether anything but a checkpoint may be sealed for a device of a member: the entry that counts names it, it was not known
/// as another's, and the log vouches for it (R-ENGINE-32).
pub(crate) fn is_recipient(
    records: &dyn Records,
    (member_id, device): (&MemberId, &DeviceId),
) -> Result<bool, EngineError> {
    let named = member(records, member_id)?.is_some_and(|entry| entry.device_ids.contains(device));
    Ok(named
        && counts(records, member_id)?
        && peers::may_be_of(records, device, member_id)?
        && log::vouches_for(records, (member_id, device))?)
}

/// Whether the log commits to another entry of a member than the one that is known: their devices may be others by now, and
/// [`crate::Input::Send`] is refused until the directory was synchronised.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn is_outdated(records: &dyn Records, member_id: &MemberId) -> Result<bool, EngineError> {
    let is_known = member(records, member_id)?.is_some() && !log::has_left(records, member_id)?;
    Ok(is_known && !counts(records, member_id)?)
}

/// Takes over one page of changes. An entry that does not verify is skipped and reported; one that the log does not commit
/// to waits until it does (R-LOG-10). After a change of the key the
/// cursor may lie below the page's end: what could not be read without that key comes again (R-ENGINE-51).
pub(crate) fn take_page(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    page: &DirectoryPage,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    if page.changes.is_empty() {
        return Ok(effects);
    }
    let mut cursor = directory_cursor(records)?;
    member_list::begin(records)?;
    if let Some(key) = guest::guest_key(records)? {
        return guest::take_page(me, records, (page, &key));
    }
    let mut reader = Reader::new(me.believed(), records, page)?;
    for change in &page.changes {
        let reading = change.entry.as_ref().map_or(Reading::Bad, |entry| reader.read(entry, cursor));
        cursor = change.sequence;
        match reading {
            Reading::Entry(entry, signed) => effects.extend(offer(me.device, records, (&entry, &signed))?),
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

/// Takes over an entry that the log commits to; another waits for that (R-LOG-10).
pub(crate) fn offer(
    device: &Device,
    records: &mut Overlay<'_>,
    (entry, signed): (&DirectoryEntry, &Signed),
) -> Result<Vec<Effect>, EngineError> {
    let name = log::waiting_entry_key(&entry.member_id());
    let waits = records.get(&name)?.is_some();
    let is_committed = is_committed(records, entry, signed)?;
    if is_committed == waits {
        // It waits no longer, or one more begins to.
        log::count_waiting_entry(records, !waits)?;
    }
    if !is_committed {
        save(records, name, signed);
        return Ok(Vec::new());
    }
    records.delete(name);
    take_entry(device, records, (entry, signed))
}

fn is_committed(records: &dyn Records, entry: &DirectoryEntry, signed: &Signed) -> Result<bool, EngineError> {
    let body = decode::<DirectoryEntryBody>(&signed.body, Limit::STATEMENT);
    let issuer = body.map_err(|_| EngineError::DamagedRecord)?.into_unchecked().issuer_id;
    let said = log::member(records, &entry.member_id())?;
    Ok(said.directory == commitment(LeafKind::Directory, signed)
        && said.version == entry.version()
        && said.issuer == issuer)
}

/// The log commits to another entry of a member: the one that has waited for that is taken over.
pub(crate) fn committed(
    device: &Device,
    organisation: &Organisation,
    records: &mut Overlay<'_>,
    member: &MemberId,
) -> Result<Vec<Effect>, EngineError> {
    let name = log::waiting_entry_key(member);
    let Some(signed) = load::<Signed>(records, &name)? else { return Ok(Vec::new()) };
    let Ok(entry) = organisation.verify_directory_entry(Unverified::new(signed.clone())) else {
        return Ok([Effect::Notify(Notice::DirectoryEntryRejected)].into());
    };
    if !is_committed(records, &entry, &signed)? {
        return Ok(Vec::new());
    }
    records.delete(name);
    log::count_waiting_entry(records, false)?;
    take_entry(device, records, (&entry, &signed))
}

/// Takes over an entry unless a later version is known (R-ENGINE-11).
fn take_entry(
    device: &Device,
    records: &mut Overlay<'_>,
    (entry, signed): (&DirectoryEntry, &Signed),
) -> Result<Vec<Effect>, EngineError> {
    let name = key(DIRECTORY, &[entry.member_id().as_bytes()]);
    member_list::enter(records, &entry.member_id(), &name)?;
    let mut effects = Vec::new();
    if let Some(old) = load::<DirectoryRecord>(records, &name)? {
        // One that came before the log is given what the log says of it.
        let is_anew = old.version == entry.version() && old.commitment.is_empty();
        if old.version >= entry.version() && !is_anew {
            return Ok(effects);
        }
        if old.handle != entry.handle().as_str() {
            release_handle(records, &old.handle, &entry.member_id())?;
        }
        effects = change_devices(device, records, (&old, entry))?;
    }
    // Those of which a first message came before any entry was known that names them.
    for id in peers::older_than(records, &entry.member_id(), entry.version())? {
        drop_device(device, records, (entry, &id))?;
    }
    for id in entry.device_ids() {
        peers::readmit(records, id)?;
    }
    let record = DirectoryRecord {
        handle: entry.handle().as_str().into(),
        name: entry.name().as_str().into(),
        device_ids: entry.device_ids().iter().map(|id| id.as_bytes().to_vec()).collect(),
        version: entry.version(),
        commitment: commitment(LeafKind::Directory, signed).to_vec(),
        unit: entry.unit().map(|unit| unit.as_str().into()).unwrap_or_default(),
        kind: entry.kind().number(),
        reach: entry.reach().iter().map(|id| id.as_bytes().to_vec()).collect(),
        listed: true,
    };
    save(records, name, &record);
    effects.extend(give_handle(records, &record.handle, &entry.member_id())?);
    Ok(effects)
}

/// A handle is a label: whoever was given it last has it, and nothing else moves with it. Everybody is told whose it is now
/// (R-ENGINE-35).
fn give_handle(records: &mut Overlay<'_>, handle: &str, new: &MemberId) -> Result<Vec<Effect>, EngineError> {
    let name = key(HANDLE, &[handle.as_bytes()]);
    let holder = records.get(&name)?.and_then(|id| MemberId::from_bytes(&id));
    let mut effects = Vec::new();
    if let Some(old) = holder.filter(|old| old != new) {
        if log::member(records, new)?.ended != 0 && log::member(records, &old)?.ended == 0 {
            // The last entry of somebody who has left takes nothing from who has the handle now.
            return Ok(effects);
        }
        effects.push(Effect::Notify(Notice::HandleReassigned { old, new: *new }));
        let number = messages::append_reassigned(records, &old, new)?;
        effects.push(Effect::Notify(Notice::EventStored(number)));
    }
    records.put(name, new.as_bytes().to_vec());
    Ok(effects)
}

/// Drops what there is with a device that an entry does not name. One that the log has ended goes once what it sent before was
/// read.
fn drop_device(
    device: &Device,
    records: &mut Overlay<'_>,
    (entry, id): (&DirectoryEntry, &DeviceId),
) -> Result<(), EngineError> {
    // What this device is said of itself is not for its outbox to act upon.
    if entry.device_ids().contains(id) || *id == device.device_id() || log::is_ending(records, id)? {
        return Ok(());
    }
    ending::remove_device(device, records, id)
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
        drop_device(device, records, (new, &id))?;
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
