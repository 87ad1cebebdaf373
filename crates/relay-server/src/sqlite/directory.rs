//! What a removal does to the directory.

use chancery_identity::DeviceId;
use chancery_relay::{Storage as _, StorageError, is_key_update};
use rusqlite::params;

use super::{SqliteStorage, integer};

impl SqliteStorage {
    /// Deletes what stands in the directory for one device alone, and keeps the newest sequence in use.
    pub(super) fn remove_entries_of(&mut self, device: &DeviceId) -> Result<(), StorageError> {
        let newest = self.directory_sequence()?;
        let sql = "DELETE FROM directory WHERE reader = ?1 RETURNING substr(sealed, 1, 8)";
        let gone = self.rows(sql, [device.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
        if gone.is_empty() {
            return Ok(());
        }
        let counted = gone.iter().filter(|sealed| !is_key_update(sealed)).count();
        let counted = u64::try_from(counted).unwrap_or(u64::MAX);
        self.totals.directory_entries = self.totals.directory_entries.saturating_sub(counted);
        let sql = "UPDATE directory SET sequence = ?1
            WHERE sequence = (SELECT max(sequence) FROM directory) AND sequence < ?1";
        self.change(sql, params![integer(newest)]).map(drop)
    }
}
