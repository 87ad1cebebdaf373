//! What a relay holds, for whoever examines its data.

use std::path::Path;

use chancery_identity::OrgId;
use chancery_relay::StorageError;

use crate::ServerError;
use crate::server::lock;
use crate::sqlite::SqliteStorage;

const MAILBOXES: &str = "SELECT coalesce(s.envelope, e.envelope) FROM envelopes e
    LEFT JOIN shared_envelopes s ON s.shared = e.shared ORDER BY e.mailbox, e.sequence";
const SLOTS: &str = "SELECT envelope FROM slots WHERE envelope IS NOT NULL ORDER BY slot";
const WAITING: &str = "SELECT envelope FROM held ORDER BY position";

/// Returns all envelopes that a relay holds in `data`: of all mailboxes, then what slots have in them, then what waits
/// for a slot; one that many mailboxes have as often as they have it. The relay must not be running.
///
/// All of them are in memory at once: this is for trials and examinations.
///
/// # Errors
///
/// [`ServerError::InUse`]: stop the relay first. [`ServerError::NewerFormat`], [`ServerError::OtherOrganisation`],
/// [`ServerError::Database`] or [`ServerError::Data`]: `data` is not that of a relay of this organisation and version.
pub fn held_envelopes(data: &Path, organisation: &OrgId) -> Result<Vec<Vec<u8>>, ServerError> {
    let _lock = lock(data)?;
    let storage = SqliteStorage::open(data, organisation)?;
    envelopes(&storage).map_err(|_| ServerError::Database)
}

/// Everything that is held, in this order.
pub(crate) fn envelopes(storage: &SqliteStorage) -> Result<Vec<Vec<u8>>, StorageError> {
    let mut envelopes = Vec::new();
    for sql in [MAILBOXES, SLOTS, WAITING] {
        envelopes.extend(storage.rows(sql, [], |row| row.get(0))?);
    }
    Ok(envelopes)
}
