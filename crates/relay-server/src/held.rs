//! What a relay holds, for whoever examines its data.

use std::path::Path;

use chancery_identity::OrgId;

use crate::ServerError;
use crate::server::lock;
use crate::sqlite::SqliteStorage;

/// Returns all envelopes, of all mailboxes, that a relay holds in `data`. The relay must not be running.
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
    let sql = "SELECT envelope FROM envelopes ORDER BY mailbox, sequence";
    storage.rows(sql, [], |row| row.get(0)).map_err(|_| ServerError::Database)
}
