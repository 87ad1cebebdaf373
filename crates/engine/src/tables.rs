//! Names of the records of a device, and typed access to them.
//!
//! Numbers are part of the stored format and never change (R-ENGINE-1).

use alloc::vec::Vec;

use chancery_crypto::secret::SecretBytes;
use chancery_wire::records::{Overlay, RecordKey, Records, Table};
use chancery_wire::{Limit, WireMessage, decode, encode};

use crate::error::EngineError;

pub(crate) const DEVICE: Table = Table(0x0100);
pub(crate) const PENDING_ENROLMENT: Table = Table(0x0101);
pub(crate) const DEVICE_LINKS: Table = Table(0x0102);
pub(crate) const DIRECTORY: Table = Table(0x0110);
pub(crate) const HANDLE: Table = Table(0x0111);
pub(crate) const DIRECTORY_CURSOR: Table = Table(0x0112);
pub(crate) const DIRECTORY_KEYS: Table = Table(0x0113);
pub(crate) const GUEST_TOKEN: Table = Table(0x0114);
pub(crate) const PREKEY: Table = Table(0x0120);
pub(crate) const PREKEY_STATE: Table = Table(0x0121);
pub(crate) const PREKEY_UPLOAD: Table = Table(0x0122);
pub(crate) const REPLAY: Table = Table(0x0123);
pub(crate) const REPLAY_QUEUE: Table = Table(0x0124);
pub(crate) const SESSION: Table = Table(0x0130);
pub(crate) const PEER: Table = Table(0x0131);
pub(crate) const TAG: Table = Table(0x0132);
pub(crate) const PEER_INDEX: Table = Table(0x0133);
pub(crate) const NUMBERS: Table = Table(0x0134);
pub(crate) const SENT: Table = Table(0x0135);
pub(crate) const HEAL_STATE: Table = Table(0x0136);
pub(crate) const OUTBOX: Table = Table(0x0140);
pub(crate) const UNADDRESSED: Table = Table(0x0141);
pub(crate) const MESSAGE: Table = Table(0x0150);
pub(crate) const CONVERSATION: Table = Table(0x0151);
pub(crate) const CONVERSATIONS: Table = Table(0x0152);
pub(crate) const EVENT: Table = Table(0x0160);
pub(crate) const EVENT_CURSOR: Table = Table(0x0161);
pub(crate) const WAITING_FILES: Table = Table(0x0162);
pub(crate) const SEEN: Table = Table(0x0170);
pub(crate) const SEEN_QUEUE: Table = Table(0x0171);
pub(crate) const QUEUE_STATE: Table = Table(0x0180);
pub(crate) const LOG: Table = Table(0x0190);
pub(crate) const LOG_AUTHORITY: Table = Table(0x0191);
pub(crate) const LOG_DEVICE: Table = Table(0x0192);
pub(crate) const LOG_MEMBER: Table = Table(0x0193);
pub(crate) const LOG_HASHES: Table = Table(0x0194);
pub(crate) const LOG_NOTE: Table = Table(0x0195);
pub(crate) const LOG_FORK: Table = Table(0x0196);
pub(crate) const LOG_CLAIMS: Table = Table(0x0197);
pub(crate) const LOG_ENTRY: Table = Table(0x0198);
pub(crate) const LOG_ENDING: Table = Table(0x0199);
pub(crate) const LOG_SUBJECTS: Table = Table(0x019A);
pub(crate) const LOG_GROUPS: Table = Table(0x019B);
pub(crate) const GROUP: Table = Table(0x01A0);
pub(crate) const GROUP_BLOCK: Table = Table(0x01A1);
pub(crate) const GROUP_HASHES: Table = Table(0x01A2);
pub(crate) const GROUP_KEYS: Table = Table(0x01A3);
pub(crate) const GROUP_MEMBER: Table = Table(0x01A4);
pub(crate) const GROUP_DEVICE: Table = Table(0x01A5);
pub(crate) const GROUPS: Table = Table(0x01A6);
pub(crate) const GROUP_STATE: Table = Table(0x01A7);
pub(crate) const GROUP_EPOCH: Table = Table(0x01A8);
pub(crate) const GROUP_SET: Table = Table(0x01A9);
pub(crate) const GROUP_NEXT: Table = Table(0x01AA);
pub(crate) const GROUP_SECRETS: Table = Table(0x01AB);
pub(crate) const GROUP_CREDENTIAL: Table = Table(0x01AC);
pub(crate) const GROUP_WANTED: Table = Table(0x01AD);
pub(crate) const GROUP_FILES: Table = Table(0x01AE);
pub(crate) const GROUP_FILE: Table = Table(0x01AF);
pub(crate) const GROUP_WAITING_INDEX: Table = Table(0x01B0);
pub(crate) const GROUP_WAITING: Table = Table(0x01B1);
pub(crate) const GROUP_INTENT: Table = Table(0x01B2);
pub(crate) const GROUP_COMMIT: Table = Table(0x01B3);
pub(crate) const GROUP_OUT: Table = Table(0x01B4);
pub(crate) const GROUP_SENDER: Table = Table(0x01B5);
pub(crate) const GROUP_DUTY: Table = Table(0x01BA);
pub(crate) const RECEIPT_SETTINGS: Table = Table(0x01C4);
pub(crate) const CONVERSATION_SETTINGS: Table = Table(0x01C5);
pub(crate) const TIMERS: Table = Table(0x01C6);
pub(crate) const EARLY_READS: Table = Table(0x01C7);
pub(crate) const GROUP_FORK: Table = Table(0x01BC);
pub(crate) const CONVERSATION_ORDER: Table = Table(0x01C8);
pub(crate) const CONVERSATION_RECORD: Table = Table(0x01C9);
pub(crate) const DRAFT: Table = Table(0x01CA);
pub(crate) const MEMBER_LIST: Table = Table(0x01CB);
pub(crate) const ACT_WAITING_INDEX: Table = Table(0x01C0);
pub(crate) const ACT_WAITING: Table = Table(0x01C1);
pub(crate) const OWN_ACTS: Table = Table(0x01C2);

/// Makes the key of a record whose name is the concatenation of `parts`, each of a fixed length.
pub(crate) fn key(table: Table, parts: &[&[u8]]) -> RecordKey {
    RecordKey::new(table, parts.concat())
}

/// Reads a record as a message.
pub(crate) fn load<T: WireMessage>(records: &dyn Records, key: &RecordKey) -> Result<Option<T>, EngineError> {
    match records.get(key)? {
        None => Ok(None),
        // Some records hold keys; what was read is wiped.
        Some(bytes) => decode(SecretBytes::new(bytes).expose(), Limit::RECORD)
            .map(|message| Some(message.into_unchecked()))
            .map_err(|_| EngineError::DamagedRecord),
    }
}

/// Writes a message as a record.
pub(crate) fn save<T: WireMessage>(records: &mut Overlay<'_>, key: RecordKey, message: &T) {
    records.put(key, encode(message));
}

/// Reads a record that is one number.
pub(crate) fn load_number(records: &dyn Records, key: &RecordKey) -> Result<Option<u64>, EngineError> {
    match records.get(key)? {
        None => Ok(None),
        Some(bytes) => {
            let bytes: [u8; 8] = bytes.try_into().map_err(|_: Vec<u8>| EngineError::DamagedRecord)?;
            Ok(Some(u64::from_be_bytes(bytes)))
        }
    }
}

/// Writes a number as a record.
pub(crate) fn save_number(records: &mut Overlay<'_>, key: RecordKey, number: u64) {
    records.put(key, number.to_be_bytes().to_vec());
}
