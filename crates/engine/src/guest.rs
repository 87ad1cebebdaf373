//! What a guest's device knows of the directory: what the desk seals for it, and nothing else (R-ENGINE-60).

use alloc::vec::Vec;

use chancery_crypto::secret::SecretBytes;
use chancery_identity::GuestKey;
use chancery_identity::delivery::SendKey;
use chancery_identity::guest::GuestPart;
use chancery_wire::proto::{DirectoryKeysRecord, DirectoryPage, GuestTokenRecord, SealedDirectoryEntry};
use chancery_wire::records::{Overlay, Records};

use crate::directory::{self, directory_cursor};
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::tables::{DIRECTORY_CURSOR, DIRECTORY_KEYS, GUEST_TOKEN, key, load, save, save_number};

/// Under what the key for sending to sets is kept beside the tokens: their names have 16 bytes.
const SEND_KEY: &[u8] = b"send";

/// What an enrolment as a guest has stored.
pub(crate) fn record(key: &GuestKey) -> DirectoryKeysRecord {
    DirectoryKeysRecord { guest_key: key.secret().expose().to_vec(), ..Default::default() }
}

/// Returns the guest's key; `None` on a member's device.
pub(crate) fn guest_key(records: &dyn Records) -> Result<Option<GuestKey>, EngineError> {
    let record: DirectoryKeysRecord =
        load(records, &key(DIRECTORY_KEYS, &[]))?.ok_or(EngineError::DamagedRecord)?;
    let bytes = SecretBytes::new(record.guest_key);
    if bytes.expose().is_empty() {
        return Ok(None);
    }
    GuestKey::from_slice(bytes.expose()).map(Some).ok_or(EngineError::DamagedRecord)
}

/// Takes over one page of what was sealed for this device. What does not open or verify is skipped and reported.
pub(crate) fn take_page(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (page, key_of_guest): (&DirectoryPage, &GuestKey),
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    let mut cursor = directory_cursor(records)?;
    for change in &page.changes {
        cursor = change.sequence;
        let part = change.entry.as_ref().and_then(|sealed| open(me, key_of_guest, sealed));
        match part {
            Some(part) => effects.extend(take(me, records, part)?),
            None => effects.push(Effect::Notify(Notice::DirectoryEntryRejected)),
        }
    }
    save_number(records, key(DIRECTORY_CURSOR, &[]), cursor);
    Ok(effects)
}

fn open(me: &Acting<'_>, key: &GuestKey, sealed: &SealedDirectoryEntry) -> Option<GuestPart> {
    key.open((&me.believed().id(), &me.device_id()), sealed).ok()
}

fn take(me: &Acting<'_>, records: &mut Overlay<'_>, part: GuestPart) -> Result<Vec<Effect>, EngineError> {
    let signed = part.entry.clone().into_unchecked();
    let Ok(entry) = me.believed().verify_directory_entry(part.entry) else {
        return Ok([Effect::Notify(Notice::DirectoryEntryRejected)].into());
    };
    for (name, token) in part.tokens {
        let known = load::<GuestTokenRecord>(records, &key(GUEST_TOKEN, &[&name]))?;
        // An old part that is shown again puts no old token in place of a new one.
        if known.is_none_or(|known| known.epoch <= part.epoch) {
            let record = GuestTokenRecord { epoch: part.epoch, token: token.to_vec() };
            save(records, key(GUEST_TOKEN, &[&name]), &record);
        }
    }
    if let Some(key) = part.send_key {
        keep_send_key(records, part.epoch, &key)?;
    }
    directory::offer(me.device, records, (&entry, &signed))
}

fn keep_send_key(records: &mut Overlay<'_>, epoch: u64, given: &SendKey) -> Result<(), EngineError> {
    let known = load::<GuestTokenRecord>(records, &key(GUEST_TOKEN, &[SEND_KEY]))?;
    if known.is_none_or(|known| known.epoch <= epoch) {
        let record = GuestTokenRecord { epoch, token: given.secret().expose().to_vec() };
        save(records, key(GUEST_TOKEN, &[SEND_KEY]), &record);
    }
    Ok(())
}

/// Returns the key of the tokens with which a guest sends to sets; `None` if it was given none.
pub(crate) fn send_key(records: &dyn Records) -> Result<Option<SendKey>, EngineError> {
    let Some(record) = load::<GuestTokenRecord>(records, &key(GUEST_TOKEN, &[SEND_KEY]))? else {
        return Ok(None);
    };
    let bytes = SecretBytes::new(record.token);
    SendKey::from_slice(bytes.expose()).map(Some).ok_or(EngineError::DamagedRecord)
}

/// Returns the delivery token that a guest was given for a mailbox, or with zeros for blobs; `None` if there is none.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn guest_token(records: &dyn Records, name: &[u8; 16]) -> Result<Option<[u8; 16]>, EngineError> {
    let Some(record) = load::<GuestTokenRecord>(records, &key(GUEST_TOKEN, &[name]))? else {
        return Ok(None);
    };
    record.token.try_into().map(Some).map_err(|_: Vec<u8>| EngineError::DamagedRecord)
}
