//! The relay's storage: one SQLite database, and a file for each blob.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use chancery_identity::{DeviceId, OrgId};
use chancery_relay::{
    BlobId, BlobState, DeliveryId, DirectoryRow, EntryId, Mailbox, MailboxId, PrekeyBatch, PrekeyPair,
    Storage, StorageError,
};
use chancery_wire::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, Row, params};

use crate::ServerError;
use crate::blob_files::BlobFiles;

/// The format of the database, in `PRAGMA user_version`.
const FORMAT: i64 = 1;
/// `PRAGMA application_id`: "ChRy".
const APPLICATION: i64 = 0x4368_5279;
/// An incomplete blob is made durable each time it has grown by this much: 8 MiB. What a crash can take.
const SYNC_EVERY: u64 = 8 << 20;
/// How long a commit waits for somebody who looks at the database with another program.
const BUSY: Duration = Duration::from_secs(5);
/// Statements kept prepared: more than there are.
const STATEMENTS: usize = 64;

/// Every table. Ends are milliseconds since 1970; every column is explained in `docs/ledger.json` (R-RELAY-38).
const SCHEMA: &str = "
CREATE TABLE organisation (
    id INTEGER PRIMARY KEY CHECK (id = 1), org_id BLOB NOT NULL
) STRICT;
CREATE TABLE mailboxes (
    mailbox BLOB PRIMARY KEY NOT NULL, last_sequence INTEGER NOT NULL, envelopes INTEGER NOT NULL,
    bytes INTEGER NOT NULL, expires INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX mailboxes_end ON mailboxes (expires) WHERE expires IS NOT NULL;
CREATE TABLE envelopes (
    mailbox BLOB NOT NULL, sequence INTEGER NOT NULL, envelope BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (mailbox, sequence)
) STRICT, WITHOUT ROWID;
CREATE INDEX envelopes_end ON envelopes (expires);
CREATE TABLE deliveries (
    mailbox BLOB NOT NULL, delivery_id BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (mailbox, delivery_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_end ON deliveries (expires);
CREATE TABLE prekey_batches (
    device BLOB PRIMARY KEY NOT NULL, credential BLOB NOT NULL, batch BLOB NOT NULL,
    sequence INTEGER NOT NULL, expires INTEGER NOT NULL, signed BLOB NOT NULL, last_resort BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE prekey_pairs (
    device BLOB NOT NULL, position INTEGER NOT NULL, curve BLOB NOT NULL, kem BLOB NOT NULL,
    PRIMARY KEY (device, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE blobs (
    blob BLOB PRIMARY KEY NOT NULL, length INTEGER NOT NULL, complete INTEGER NOT NULL,
    expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX blobs_end ON blobs (expires);
CREATE TABLE directory (
    entry_id BLOB PRIMARY KEY NOT NULL, version INTEGER NOT NULL, sealed BLOB NOT NULL,
    sequence INTEGER NOT NULL UNIQUE
) STRICT, WITHOUT ROWID;
CREATE TABLE relay_record (
    id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, record BLOB NOT NULL
) STRICT;
";

/// The relay's storage in a directory: `relay.db` and `blobs`.
///
/// What was committed survives a power cut: the log is synced with every commit. Deleted rows are overwritten.
/// One process at a time uses the directory; [`crate::run`] sees to that.
#[derive(Debug)]
pub(crate) struct SqliteStorage {
    connection: Connection,
    files: BlobFiles,
    /// The bytes of all blobs, and what they were when the transaction began.
    blob_bytes: u64,
    blob_bytes_before: u64,
    /// Lengths of incomplete blobs that are ahead of what the database, and thus a restart, knows.
    ahead: BTreeMap<BlobId, u64>,
    ahead_before: Vec<(BlobId, Option<u64>)>,
    /// Files to remove once their rows are gone for good.
    ended: BTreeSet<BlobId>,
}

impl SqliteStorage {
    /// Opens the storage of `organisation` in a directory that exists, and makes it if it is not there.
    ///
    /// # Errors
    ///
    /// [`ServerError::NewerFormat`], [`ServerError::OtherOrganisation`], [`ServerError::Database`] or
    /// [`ServerError::Data`]; what is there is not changed.
    pub(crate) fn open(directory: &Path, organisation: &OrgId) -> Result<Self, ServerError> {
        let mut connection =
            Connection::open(directory.join("relay.db")).map_err(|_| ServerError::Database)?;
        prepare(&mut connection, organisation)?;
        let blob_bytes = connection
            .query_row("SELECT coalesce(sum(length), 0) FROM blobs", [], |row| number(row, 0))
            .map_err(|_| ServerError::Database)?;
        let files =
            BlobFiles::open(directory.join("blobs")).map_err(|error| ServerError::Data(error.kind()))?;
        let storage = Self {
            connection,
            files,
            blob_bytes,
            blob_bytes_before: blob_bytes,
            ahead: BTreeMap::new(),
            ahead_before: Vec::new(),
            ended: BTreeSet::new(),
        };
        storage
            .files
            // A row that cannot be read counts as one: only what surely does not exist is removed.
            .remove_unless(|blob| !matches!(storage.blob(blob), Ok(None)))
            .map_err(|error| ServerError::Data(error.kind()))?;
        Ok(storage)
    }

    /// Returns every column of every table, `table.column`, for comparison with the ledger.
    #[cfg(test)]
    pub(crate) fn columns(&self) -> Result<Vec<String>, StorageError> {
        let sql = "SELECT t.name || '.' || c.name FROM sqlite_schema t, pragma_table_info(t.name) c
            WHERE t.type = 'table' ORDER BY 1";
        let mut statement = self.connection.prepare(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(|error| failure(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| failure(&error))
    }

    /// Lets the database grow to so many pages of 4 KiB at most, for tests of a full disk.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.connection.pragma_update(None, "max_page_count", pages).unwrap();
    }

    fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failure(&error))?;
        statement.query_row(params, read).optional().map_err(|error| failure(&error))
    }

    fn change(&self, sql: &str, params: impl Params) -> Result<usize, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failure(&error))?;
        statement.execute(params).map_err(|error| failure(&error))
    }

    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StorageError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(|error| failure(&error))?;
        let rows = statement.query_map(params, read).map_err(|error| failure(&error))?;
        rows.collect::<Result<_, _>>().map_err(|error| failure(&error))
    }

    /// Sets or forgets how far a blob is ahead of the database.
    fn set_ahead(&mut self, blob: &BlobId, length: Option<u64>) {
        let before = match length {
            Some(length) => self.ahead.insert(*blob, length),
            None => self.ahead.remove(blob),
        };
        self.ahead_before.push((*blob, before));
    }

    fn blob_row(&self, blob: &BlobId) -> Result<Option<BlobState>, StorageError> {
        let sql = "SELECT length, complete FROM blobs WHERE blob = ?1";
        self.row(sql, [blob.as_bytes()], |row| {
            Ok(BlobState { length: number(row, 0)?, complete: row.get(1)? })
        })
    }

    fn expire_blobs(&mut self, now: i64, most: u32) -> Result<(), StorageError> {
        let sql = "SELECT blob, length FROM blobs WHERE expires <= ?1 LIMIT ?2";
        let ended =
            self.rows(sql, params![now, most], |row| Ok((row.get::<_, [u8; 16]>(0)?, number(row, 1)?)))?;
        for (blob, length) in ended {
            let blob = BlobId::new(blob);
            let length = self.ahead.get(&blob).copied().unwrap_or(length);
            self.change("DELETE FROM blobs WHERE blob = ?1", [blob.as_bytes()])?;
            self.blob_bytes = self.blob_bytes.saturating_sub(length);
            self.set_ahead(&blob, None);
            self.ended.insert(blob);
        }
        Ok(())
    }

    fn expire_mailboxes(&mut self, now: i64, most: u32) -> Result<(), StorageError> {
        let sql = "SELECT mailbox FROM mailboxes WHERE expires <= ?1 LIMIT ?2";
        for mailbox in self.rows(sql, params![now, most], |row| row.get::<_, [u8; 16]>(0))? {
            self.change("DELETE FROM envelopes WHERE mailbox = ?1", [&mailbox])?;
            self.change("DELETE FROM mailboxes WHERE mailbox = ?1", [&mailbox])?;
        }
        Ok(())
    }
}

impl Storage for SqliteStorage {
    fn begin(&mut self) -> Result<(), StorageError> {
        self.blob_bytes_before = self.blob_bytes;
        self.change("BEGIN IMMEDIATE", []).map(drop)
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        self.change("COMMIT", [])?;
        self.ahead_before.clear();
        for blob in std::mem::take(&mut self.ended) {
            if self.files.remove(&blob).is_err() {
                tracing::warn!("the file of a blob that ended cannot be removed; the next start tries again");
            }
        }
        Ok(())
    }

    fn rollback(&mut self) {
        // SQLite has rolled back already after some failures.
        if !self.connection.is_autocommit() && self.connection.execute_batch("ROLLBACK").is_err() {
            tracing::error!("a transaction cannot be rolled back");
        }
        self.ended.clear();
        for (blob, before) in std::mem::take(&mut self.ahead_before).into_iter().rev() {
            match before {
                Some(length) => self.ahead.insert(blob, length),
                None => self.ahead.remove(&blob),
            };
        }
        self.blob_bytes = self.blob_bytes_before;
    }

    fn mailbox(&self, mailbox: &MailboxId) -> Result<Option<Mailbox>, StorageError> {
        let sql = "SELECT last_sequence, envelopes, bytes, expires FROM mailboxes WHERE mailbox = ?1";
        self.row(sql, [mailbox.as_bytes()], |row| {
            let expires: Option<i64> = row.get(3)?;
            Ok(Mailbox {
                last_sequence: number(row, 0)?,
                envelopes: number(row, 1)?,
                bytes: number(row, 2)?,
                expires: expires.map(|end| Timestamp::from_millis(end.unsigned_abs())),
            })
        })
    }

    fn create_mailbox(
        &mut self,
        mailbox: &MailboxId,
        last_sequence: u64,
        expires: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let sql = "INSERT INTO mailboxes (mailbox, last_sequence, envelopes, bytes, expires)
            VALUES (?1, ?2, 0, 0, ?3) ON CONFLICT (mailbox) DO UPDATE SET expires = excluded.expires";
        let expires = expires.map(millis);
        self.change(sql, params![mailbox.as_bytes(), integer(last_sequence), expires]).map(drop)
    }

    fn append(
        &mut self,
        mailbox: &MailboxId,
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<u64, StorageError> {
        let count = "UPDATE mailboxes SET last_sequence = last_sequence + 1, envelopes = envelopes + 1,
            bytes = bytes + ?2 WHERE mailbox = ?1 RETURNING last_sequence";
        let sequence = self
            .row(count, params![mailbox.as_bytes(), length(envelope)], |row| row.get::<_, i64>(0))?
            .ok_or(StorageError::Io)?;
        let insert = "INSERT INTO envelopes (mailbox, sequence, envelope, expires) VALUES (?1, ?2, ?3, ?4)";
        self.change(insert, params![mailbox.as_bytes(), sequence, envelope, millis(expires)])?;
        Ok(sequence.unsigned_abs())
    }

    fn next_envelope(&self, mailbox: &MailboxId, after: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let sql = "SELECT sequence, envelope FROM envelopes WHERE mailbox = ?1 AND sequence > ?2
            ORDER BY sequence LIMIT 1";
        self.row(sql, params![mailbox.as_bytes(), integer(after)], |row| Ok((number(row, 0)?, row.get(1)?)))
    }

    fn remove_envelope(&mut self, mailbox: &MailboxId, sequence: u64) -> Result<(), StorageError> {
        let delete = "DELETE FROM envelopes WHERE mailbox = ?1 AND sequence = ?2 RETURNING length(envelope)";
        let removed =
            self.row(delete, params![mailbox.as_bytes(), integer(sequence)], |row| row.get::<_, i64>(0))?;
        if let Some(bytes) = removed {
            let count =
                "UPDATE mailboxes SET envelopes = envelopes - 1, bytes = bytes - ?2 WHERE mailbox = ?1";
            self.change(count, params![mailbox.as_bytes(), bytes])?;
        }
        Ok(())
    }

    fn has_delivery(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM deliveries WHERE mailbox = ?1 AND delivery_id = ?2";
        Ok(self.row(sql, [mailbox.as_bytes(), delivery.as_bytes()], |_| Ok(()))?.is_some())
    }

    fn note_delivery(
        &mut self,
        mailbox: &MailboxId,
        delivery: &DeliveryId,
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        let sql = "INSERT INTO deliveries (mailbox, delivery_id, expires) VALUES (?1, ?2, ?3)";
        self.change(sql, params![mailbox.as_bytes(), delivery.as_bytes(), millis(expires)]).map(drop)
    }

    fn put_prekeys(
        &mut self,
        device: &DeviceId,
        batch: &PrekeyBatch,
        pairs: &[PrekeyPair],
    ) -> Result<(), StorageError> {
        let device = device.as_bytes();
        self.change("DELETE FROM prekey_pairs WHERE device = ?1", [device])?;
        let insert = "INSERT INTO prekey_pairs (device, position, curve, kem) VALUES (?1, ?2, ?3, ?4)";
        for (position, pair) in (0_i64..).zip(pairs) {
            self.change(insert, params![device, position, pair.curve, pair.kem])?;
        }
        let replace = "INSERT OR REPLACE INTO prekey_batches
            (device, credential, batch, sequence, expires, signed, last_resort)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let row = params![
            device,
            batch.credential,
            batch.batch,
            integer(batch.sequence),
            millis(batch.expires),
            batch.signed,
            batch.last_resort,
        ];
        self.change(replace, row).map(drop)
    }

    fn prekey_batch(&self, device: &DeviceId) -> Result<Option<PrekeyBatch>, StorageError> {
        let sql = "SELECT credential, batch, sequence, expires, signed, last_resort FROM prekey_batches
            WHERE device = ?1";
        self.row(sql, [device.as_bytes()], |row| {
            Ok(PrekeyBatch {
                credential: row.get(0)?,
                batch: row.get(1)?,
                sequence: number(row, 2)?,
                expires: Timestamp::from_millis(number(row, 3)?),
                signed: row.get(4)?,
                last_resort: row.get(5)?,
            })
        })
    }

    fn take_prekey_pair(&mut self, device: &DeviceId) -> Result<Option<PrekeyPair>, StorageError> {
        let sql = "DELETE FROM prekey_pairs WHERE device = ?1 AND position =
            (SELECT min(position) FROM prekey_pairs WHERE device = ?1) RETURNING curve, kem";
        self.row(sql, [device.as_bytes()], |row| Ok(PrekeyPair { curve: row.get(0)?, kem: row.get(1)? }))
    }

    fn blob(&self, blob: &BlobId) -> Result<Option<BlobState>, StorageError> {
        let row = self.blob_row(blob)?;
        Ok(row.map(|row| BlobState { length: self.ahead.get(blob).copied().unwrap_or(row.length), ..row }))
    }

    fn blob_bytes(&self) -> Result<u64, StorageError> {
        Ok(self.blob_bytes)
    }

    fn append_blob(&mut self, blob: &BlobId, part: &[u8], expires: Timestamp) -> Result<(), StorageError> {
        // Its file is about to be removed; once that is done, the client may start anew.
        if self.ended.contains(blob) {
            return Err(StorageError::Io);
        }
        let durable = self.blob_row(blob)?.map(|row| row.length);
        if durable.is_none() {
            let sql = "INSERT INTO blobs (blob, length, complete, expires) VALUES (?1, 0, 0, ?2)";
            self.change(sql, params![blob.as_bytes(), millis(expires)])?;
        }
        let durable = durable.unwrap_or(0);
        let offset = self.ahead.get(blob).copied().unwrap_or(durable);
        self.files.write(blob, offset, part)?;
        let added = length(part).unsigned_abs();
        let end = offset.saturating_add(added);
        self.blob_bytes = self.blob_bytes.saturating_add(added);
        if end.saturating_sub(durable) < SYNC_EVERY {
            self.set_ahead(blob, Some(end));
            return Ok(());
        }
        self.files.sync(blob)?;
        self.set_ahead(blob, None);
        self.change("UPDATE blobs SET length = ?2 WHERE blob = ?1", params![blob.as_bytes(), integer(end)])
            .map(drop)
    }

    fn complete_blob(&mut self, blob: &BlobId, expires: Timestamp) -> Result<(), StorageError> {
        let state = self.blob(blob)?.ok_or(StorageError::Io)?;
        self.files.finish(blob, state.length)?;
        self.set_ahead(blob, None);
        let sql = "UPDATE blobs SET length = ?2, complete = 1, expires = ?3 WHERE blob = ?1";
        self.change(sql, params![blob.as_bytes(), integer(state.length), millis(expires)]).map(drop)
    }

    fn read_blob(&self, blob: &BlobId, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let state = self.blob(blob)?.ok_or(StorageError::Io)?;
        let left = usize::try_from(state.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        match length.min(left) {
            0 => Ok(Vec::new()),
            length => self.files.read(blob, offset, length),
        }
    }

    fn directory_entry(&self, entry: &EntryId) -> Result<Option<DirectoryRow>, StorageError> {
        let sql = "SELECT entry_id, version, sealed, sequence FROM directory WHERE entry_id = ?1";
        self.row(sql, [entry.as_bytes()], directory_row)
    }

    fn directory_len(&self) -> Result<u64, StorageError> {
        Ok(self.row("SELECT count(*) FROM directory", [], |row| number(row, 0))?.unwrap_or(0))
    }

    fn put_directory_entry(
        &mut self,
        entry: &EntryId,
        version: u64,
        sealed: &[u8],
        least: u64,
    ) -> Result<(), StorageError> {
        let sql = "INSERT INTO directory (entry_id, version, sealed, sequence)
            VALUES (?1, ?2, ?3, max((SELECT coalesce(max(sequence), 0) + 1 FROM directory), ?4))
            ON CONFLICT (entry_id) DO UPDATE SET version = excluded.version, sealed = excluded.sealed,
            sequence = excluded.sequence";
        self.change(sql, params![entry.as_bytes(), integer(version), sealed, integer(least)]).map(drop)
    }

    fn next_directory_entry(&self, after: u64) -> Result<Option<DirectoryRow>, StorageError> {
        let sql = "SELECT entry_id, version, sealed, sequence FROM directory WHERE sequence > ?1
            ORDER BY sequence LIMIT 1";
        self.row(sql, [integer(after)], directory_row)
    }

    fn relay_record(&self) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        self.row("SELECT sequence, record FROM relay_record", [], |row| Ok((number(row, 0)?, row.get(1)?)))
    }

    fn put_relay_record(&mut self, sequence: u64, record: &[u8]) -> Result<(), StorageError> {
        let sql = "INSERT OR REPLACE INTO relay_record (id, sequence, record) VALUES (1, ?1, ?2)";
        self.change(sql, params![integer(sequence), record]).map(drop)
    }

    fn expire(&mut self, now: Timestamp, most: u32) -> Result<(), StorageError> {
        let now = millis(now);
        let sql = "SELECT mailbox, sequence FROM envelopes WHERE expires <= ?1 LIMIT ?2";
        let ended =
            self.rows(sql, params![now, most], |row| Ok((row.get::<_, [u8; 16]>(0)?, number(row, 1)?)))?;
        for (mailbox, sequence) in ended {
            self.remove_envelope(&MailboxId::new(mailbox), sequence)?;
        }
        let sql = "DELETE FROM deliveries WHERE (mailbox, delivery_id) IN
            (SELECT mailbox, delivery_id FROM deliveries WHERE expires <= ?1 LIMIT ?2)";
        self.change(sql, params![now, most])?;
        self.expire_blobs(now, most)?;
        self.expire_mailboxes(now, most)
    }
}

/// Sets the connection up and makes the tables, or checks that they are the right ones.
fn prepare(connection: &mut Connection, organisation: &OrgId) -> Result<(), ServerError> {
    let broken = |_| ServerError::Database;
    connection.busy_timeout(BUSY).map_err(broken)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // A commit is durable when it returns; deleted envelopes are overwritten; one MiB of cache is enough for
    // rows that are read once.
    let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;
        PRAGMA cache_size = -1024; PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 8388608;
        PRAGMA trusted_schema = OFF;";
    connection.execute_batch(settings).map_err(broken)?;
    let transaction = connection.transaction().map_err(broken)?;
    let found: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(broken)?;
    match found {
        0 => {
            transaction.execute_batch(SCHEMA).map_err(broken)?;
            let insert = "INSERT INTO organisation (id, org_id) VALUES (1, ?1)";
            transaction.execute(insert, [organisation.as_bytes()]).map_err(broken)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(broken)?;
            transaction.pragma_update(None, "user_version", FORMAT).map_err(broken)?;
        }
        FORMAT => {
            let held: Vec<u8> = transaction
                .query_row("SELECT org_id FROM organisation", [], |row| row.get(0))
                .map_err(broken)?;
            if held != organisation.as_bytes() {
                return Err(ServerError::OtherOrganisation);
            }
        }
        _ => return Err(ServerError::NewerFormat { found, supported: FORMAT }),
    }
    transaction.commit().map_err(broken)
}

fn directory_row(row: &Row<'_>) -> rusqlite::Result<DirectoryRow> {
    Ok(DirectoryRow {
        entry_id: EntryId::new(row.get(0)?),
        version: number(row, 1)?,
        sealed: row.get(2)?,
        sequence: number(row, 3)?,
    })
}

/// Reads a number that was written by [`integer`].
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn millis(time: Timestamp) -> i64 {
    integer(time.as_millis())
}

fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// Tells a full disk from everything else. The text of SQLite's error stays here: it may quote values.
fn failure(error: &rusqlite::Error) -> StorageError {
    let code = error.sqlite_error_code();
    tracing::debug!(?code, "the database refuses");
    match code {
        Some(ErrorCode::DiskFull) => StorageError::Full,
        _ => StorageError::Io,
    }
}
