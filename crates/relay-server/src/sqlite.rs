//! The relay's storage: one SQLite database, and a file for each blob.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chancery_crypto::secret::Secret;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, MemberId, OrgId};
use chancery_relay::{
    BlobId, BlobState, DeliveryId, DirectoryRow, EntryId, LogEntry, Mailbox, MailboxId, NewEntry,
    PrekeyBatch, PrekeyPair, Storage, StorageError, Totals,
};
use chancery_wire::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, Row, params};

use crate::ServerError;
use crate::blob_files::BlobFiles;
use crate::schema::{
    self, LOG_ABOUT, LOG_COMMITMENT, LOG_DEVICES, LOG_PAGE, integer, number, prepare, totals,
};

mod sets;

/// An incomplete blob is made durable each time it has grown by this much: 8 MiB. What a crash can take.
const SYNC_EVERY: u64 = 8 << 20;

/// The relay's storage in a directory: `relay.db` and `blobs`.
///
/// What was committed survives a power cut: the log is synced with every commit. Deleted rows are overwritten.
/// One process at a time uses the directory; [`crate::run`] sees to that.
#[derive(Debug)]
pub(crate) struct SqliteStorage {
    connection: Connection,
    files: BlobFiles,
    /// How much there is, and what it was when the transaction began.
    totals: Totals,
    totals_before: Totals,
    /// Lengths of incomplete blobs that are ahead of what the database, and thus a restart, knows.
    ahead: BTreeMap<BlobId, u64>,
    ahead_before: Vec<(BlobId, Option<u64>)>,
    /// Files to sync before the transaction is committed: all of them together, so that the directory is
    /// synced once.
    to_sync: BTreeSet<BlobId>,
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
        let totals = totals(&connection).map_err(|_| ServerError::Database)?;
        let files =
            BlobFiles::open(directory.join("blobs")).map_err(|error| ServerError::Data(error.kind()))?;
        let storage = Self {
            connection,
            files,
            totals,
            totals_before: totals,
            ahead: BTreeMap::new(),
            ahead_before: Vec::new(),
            to_sync: BTreeSet::new(),
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
        self.rows(sql, [], |row| row.get(0))
    }

    /// Returns how SQLite goes about the questions to the log.
    #[cfg(test)]
    pub(crate) fn log_plans(&self) -> Vec<String> {
        let plan = |sql: &&str| {
            let mut statement = self.connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let given = vec![rusqlite::types::Null; statement.parameter_count()];
            let rows = statement.query_map(rusqlite::params_from_iter(given), |row| row.get::<_, String>(3));
            rows.unwrap().map(Result::unwrap).collect::<Vec<_>>().join("; ")
        };
        [LOG_ABOUT, LOG_COMMITMENT, LOG_DEVICES, LOG_PAGE].iter().map(plan).collect()
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

    pub(crate) fn rows<T>(
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
        let sql = "SELECT blob, length, complete FROM blobs WHERE expires <= ?1 LIMIT ?2";
        let ended = self.rows(sql, params![now, most], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, number(row, 1)?, row.get::<_, bool>(2)?))
        })?;
        for (blob, length, complete) in ended {
            let blob = BlobId::new(blob);
            let length = self.ahead.get(&blob).copied().unwrap_or(length);
            self.change("DELETE FROM blobs WHERE blob = ?1", [blob.as_bytes()])?;
            self.totals.blobs = self.totals.blobs.saturating_sub(1);
            self.count_incomplete_out(!complete);
            self.totals.blob_bytes = self.totals.blob_bytes.saturating_sub(length);
            self.set_ahead(&blob, None);
            self.to_sync.remove(&blob);
            self.ended.insert(blob);
        }
        Ok(())
    }

    fn count_incomplete_out(&mut self, is_incomplete: bool) {
        let left = self.totals.incomplete_blobs.saturating_sub(u64::from(is_incomplete));
        self.totals.incomplete_blobs = left;
    }

    fn expire_mailboxes(&mut self, now: i64, most: u32) -> Result<(), StorageError> {
        let sql = "SELECT mailbox FROM mailboxes WHERE expires <= ?1 LIMIT ?2";
        for mailbox in self.rows(sql, params![now, most], |row| row.get::<_, [u8; 16]>(0))? {
            self.empty_mailbox(&MailboxId::new(mailbox))?;
            self.change("DELETE FROM mailboxes WHERE mailbox = ?1", [&mailbox])?;
            self.totals.mailboxes = self.totals.mailboxes.saturating_sub(1);
        }
        Ok(())
    }

    fn delete_deliveries(&mut self, sql: &str, params: impl Params) -> Result<(), StorageError> {
        let deleted = u64::try_from(self.change(sql, params)?).unwrap_or(u64::MAX);
        self.totals.deliveries = self.totals.deliveries.saturating_sub(deleted);
        Ok(())
    }
}

impl Storage for SqliteStorage {
    fn begin(&mut self) -> Result<(), StorageError> {
        self.totals_before = self.totals;
        self.change("BEGIN IMMEDIATE", []).map(drop)
    }

    fn commit(&mut self) -> Result<(), StorageError> {
        self.files.sync(&self.to_sync)?;
        self.to_sync.clear();
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
        self.to_sync.clear();
        for (blob, before) in std::mem::take(&mut self.ahead_before).into_iter().rev() {
            match before {
                Some(length) => self.ahead.insert(blob, length),
                None => self.ahead.remove(&blob),
            };
        }
        self.totals = self.totals_before;
    }

    fn totals(&self) -> Result<Totals, StorageError> {
        Ok(self.totals)
    }

    fn mailbox(&self, mailbox: &MailboxId) -> Result<Option<Mailbox>, StorageError> {
        let sql =
            "SELECT last_sequence, envelopes, bytes, expires, removed FROM mailboxes WHERE mailbox = ?1";
        self.row(sql, [mailbox.as_bytes()], |row| {
            let expires: Option<i64> = row.get(3)?;
            Ok(Mailbox {
                last_sequence: number(row, 0)?,
                envelopes: number(row, 1)?,
                bytes: number(row, 2)?,
                expires: expires.map(|end| Timestamp::from_millis(end.unsigned_abs())),
                removed: row.get(4)?,
            })
        })
    }

    fn create_mailbox(
        &mut self,
        mailbox: &MailboxId,
        last_sequence: u64,
        expires: Option<Timestamp>,
    ) -> Result<(), StorageError> {
        let is_new = self.mailbox(mailbox)?.is_none();
        let sql = "INSERT INTO mailboxes (mailbox, last_sequence, envelopes, bytes, expires)
            VALUES (?1, ?2, 0, 0, ?3) ON CONFLICT (mailbox) DO UPDATE SET expires = excluded.expires";
        let expires = expires.map(millis);
        self.change(sql, params![mailbox.as_bytes(), integer(last_sequence), expires])?;
        self.totals.mailboxes = self.totals.mailboxes.saturating_add(u64::from(is_new));
        Ok(())
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
        let added = length(envelope).unsigned_abs();
        self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_add(added);
        Ok(sequence.unsigned_abs())
    }

    fn next_envelope(&self, mailbox: &MailboxId, after: u64) -> Result<Option<(u64, Vec<u8>)>, StorageError> {
        let sql = "SELECT e.sequence, coalesce(s.envelope, e.envelope) FROM envelopes e
            LEFT JOIN shared_envelopes s ON s.shared = e.shared
            WHERE e.mailbox = ?1 AND e.sequence > ?2 ORDER BY e.sequence LIMIT 1";
        self.row(sql, params![mailbox.as_bytes(), integer(after)], |row| Ok((number(row, 0)?, row.get(1)?)))
    }

    fn remove_envelope(&mut self, mailbox: &MailboxId, sequence: u64) -> Result<(), StorageError> {
        let delete =
            "DELETE FROM envelopes WHERE mailbox = ?1 AND sequence = ?2 RETURNING length(envelope), shared";
        let removed = self.row(delete, params![mailbox.as_bytes(), integer(sequence)], |row| {
            Ok((number(row, 0)?, row.get::<_, Option<i64>>(1)?))
        })?;
        let Some((own, shared)) = removed else { return Ok(()) };
        let bytes = match shared {
            Some(shared) => self.release(shared)?,
            None => {
                self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_sub(own);
                own
            }
        };
        let count = "UPDATE mailboxes SET envelopes = envelopes - 1, bytes = bytes - ?2 WHERE mailbox = ?1";
        self.change(count, params![mailbox.as_bytes(), integer(bytes)]).map(drop)
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
        most: u64,
    ) -> Result<(), StorageError> {
        let sql = "INSERT INTO deliveries (mailbox, delivery_id, expires) VALUES (?1, ?2, ?3)";
        self.change(sql, params![mailbox.as_bytes(), delivery.as_bytes(), millis(expires)])?;
        self.totals.deliveries = self.totals.deliveries.saturating_add(1);
        if self.totals.deliveries > most {
            // Two for one, so that a limit that was lowered is reached bit by bit.
            let excess = self.totals.deliveries.saturating_sub(most).min(2);
            let sql = "DELETE FROM deliveries WHERE (mailbox, delivery_id) IN
                (SELECT mailbox, delivery_id FROM deliveries ORDER BY expires LIMIT ?1)";
            self.delete_deliveries(sql, [integer(excess)])?;
        }
        Ok(())
    }

    fn remove_device(&mut self, device: &DeviceId) -> Result<(), StorageError> {
        let mailbox = MailboxId::from(*device);
        if self.mailbox(&mailbox)?.is_none() {
            self.create_mailbox(&mailbox, 0, None)?;
        }
        self.empty_mailbox(&mailbox)?;
        let mark = "UPDATE mailboxes SET removed = 1, expires = NULL WHERE mailbox = ?1";
        self.change(mark, [mailbox.as_bytes()])?;
        self.change("DELETE FROM prekey_pairs WHERE device = ?1", [device.as_bytes()])?;
        self.change("DELETE FROM prekey_batches WHERE device = ?1", [device.as_bytes()]).map(drop)
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

    fn prekey_pairs(&self, device: &DeviceId) -> Result<u32, StorageError> {
        let sql = "SELECT count(*) FROM prekey_pairs WHERE device = ?1";
        Ok(self.row(sql, [device.as_bytes()], |row| row.get(0))?.unwrap_or(0))
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

    fn append_blob(&mut self, blob: &BlobId, part: &[u8], expires: Timestamp) -> Result<(), StorageError> {
        // Its file is about to be removed; once that is done, the client may start anew.
        if self.ended.contains(blob) {
            return Err(StorageError::Io);
        }
        let durable = self.blob_row(blob)?.map(|row| row.length);
        if durable.is_none() {
            let sql = "INSERT INTO blobs (blob, length, complete, expires) VALUES (?1, 0, 0, ?2)";
            self.change(sql, params![blob.as_bytes(), millis(expires)])?;
            self.totals.blobs = self.totals.blobs.saturating_add(1);
            self.totals.incomplete_blobs = self.totals.incomplete_blobs.saturating_add(1);
        }
        let durable = durable.unwrap_or(0);
        let offset = self.ahead.get(blob).copied().unwrap_or(durable);
        self.files.write(blob, offset, part)?;
        let added = length(part).unsigned_abs();
        let end = offset.saturating_add(added);
        self.totals.blob_bytes = self.totals.blob_bytes.saturating_add(added);
        if end.saturating_sub(durable) < SYNC_EVERY {
            self.set_ahead(blob, Some(end));
            return Ok(());
        }
        self.to_sync.insert(*blob);
        self.set_ahead(blob, None);
        self.change("UPDATE blobs SET length = ?2 WHERE blob = ?1", params![blob.as_bytes(), integer(end)])
            .map(drop)
    }

    fn complete_blob(&mut self, blob: &BlobId, expires: Timestamp) -> Result<(), StorageError> {
        let state = self.blob(blob)?.ok_or(StorageError::Io)?;
        self.count_incomplete_out(!state.complete);
        self.files.cut(blob, state.length)?;
        self.to_sync.insert(*blob);
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
        let sql = "SELECT entry_id, version, sealed, sequence, reader FROM directory WHERE entry_id = ?1";
        self.row(sql, [entry.as_bytes()], directory_row)
    }

    fn directory_sequence(&self) -> Result<u64, StorageError> {
        let sql = "SELECT coalesce(max(sequence), 0) FROM directory";
        Ok(self.row(sql, [], |row| number(row, 0))?.unwrap_or(0))
    }

    fn put_directory_entry(
        &mut self,
        entry: &EntryId,
        new: &NewEntry<'_>,
        least: u64,
    ) -> Result<(), StorageError> {
        let reader = new.reader.map(|reader| *reader.as_bytes());
        let held = "SELECT 1 FROM directory WHERE entry_id = ?1";
        let is_new = self.row(held, [entry.as_bytes()], |_| Ok(()))?.is_none();
        let sql = "INSERT INTO directory (entry_id, version, sealed, reader, sequence)
            VALUES (?1, ?2, ?3, ?4, max((SELECT coalesce(max(sequence), 0) + 1 FROM directory), ?5))
            ON CONFLICT (entry_id) DO UPDATE SET version = excluded.version, sealed = excluded.sealed,
            reader = excluded.reader, sequence = excluded.sequence";
        let row = params![entry.as_bytes(), integer(new.version), new.sealed, reader, integer(least)];
        self.change(sql, row)?;
        self.totals.directory_entries = self.totals.directory_entries.saturating_add(u64::from(is_new));
        Ok(())
    }

    fn next_directory_entry(
        &self,
        after: u64,
        reader: Option<&DeviceId>,
    ) -> Result<Option<DirectoryRow>, StorageError> {
        let sql = "SELECT entry_id, version, sealed, sequence, reader FROM directory
            WHERE reader IS ?2 AND sequence > ?1 ORDER BY sequence LIMIT 1";
        self.row(sql, params![integer(after), reader.map(DeviceId::as_bytes)], directory_row)
    }

    fn delivery_key(&self) -> Result<Option<DeliveryKey>, StorageError> {
        self.row("SELECT epoch, key FROM delivery_key", [], |row| {
            Ok(DeliveryKey::new(number(row, 0)?, Secret::from_bytes(row.get(1)?)))
        })
    }

    fn put_delivery_key(&mut self, key: &DeliveryKey) -> Result<(), StorageError> {
        let sql = "INSERT OR REPLACE INTO delivery_key (id, epoch, key) VALUES (1, ?1, ?2)";
        self.change(sql, params![integer(key.epoch()), key.secret().expose()]).map(drop)
    }

    fn log_append(&mut self, index: u64, entry: &LogEntry) -> Result<(), StorageError> {
        let sql = "INSERT INTO log (position, leaf, content, nodes) VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![integer(index), entry.leaf, entry.content, entry.nodes]).map(drop)
    }

    fn log_entry(&self, index: u64) -> Result<Option<LogEntry>, StorageError> {
        let sql = "SELECT leaf, content, nodes FROM log WHERE position = ?1";
        self.row(sql, [integer(index)], log_entry)
    }

    fn log_page(&self, from: u64, bytes: usize) -> Result<Vec<LogEntry>, StorageError> {
        let mut statement = self.connection.prepare_cached(LOG_PAGE).map_err(|error| failure(&error))?;
        let mut rows = statement.query([integer(from)]).map_err(|error| failure(&error))?;
        let (mut page, mut held) = (Vec::new(), 0_usize);
        while held < bytes
            && let Some(row) = rows.next().map_err(|error| failure(&error))?
        {
            let entry = log_entry(row).map_err(|error| failure(&error))?;
            let content = entry.content.as_ref().map_or(0, Vec::len);
            held = held.saturating_add(entry.leaf.len()).saturating_add(content);
            page.push(entry);
        }
        Ok(page)
    }

    fn log_about(&self, kind: LeafKind, subject: &[u8; 16]) -> Result<Option<u64>, StorageError> {
        self.row(LOG_ABOUT, params![[kind.number()], subject], |row| number(row, 0))
    }

    fn log_commitment(&self, kind: LeafKind, commitment: &[u8; 32]) -> Result<Option<u64>, StorageError> {
        self.row(LOG_COMMITMENT, params![[kind.number()], commitment], |row| number(row, 0))
    }

    fn log_devices(&self, member: &MemberId) -> Result<Vec<DeviceId>, StorageError> {
        self.rows(LOG_DEVICES, [member.as_bytes()], |row| row.get(0).map(DeviceId::new))
    }

    fn note(&self) -> Result<Option<String>, StorageError> {
        self.row("SELECT note FROM log_note", [], |row| row.get(0))
    }

    fn put_note(&mut self, note: &str) -> Result<(), StorageError> {
        self.change("INSERT OR REPLACE INTO log_note (id, note) VALUES (1, ?1)", [note]).map(drop)
    }

    fn end_confirmation(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError> {
        self.row(schema::END_CONFIRMATION, [device.as_bytes()], |row| row.get(0))
    }
    fn put_end_confirmation(&mut self, device: &DeviceId, confirmation: &[u8]) -> Result<(), StorageError> {
        self.change(schema::PUT_END_CONFIRMATION, params![device.as_bytes(), confirmation]).map(drop)
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
        self.delete_deliveries(sql, params![now, most])?;
        self.expire_blobs(now, most)?;
        self.expire_sets(now, most)?;
        self.expire_mailboxes(now, most)
    }
}

fn directory_row(row: &Row<'_>) -> rusqlite::Result<DirectoryRow> {
    Ok(DirectoryRow {
        entry_id: EntryId::new(row.get(0)?),
        version: number(row, 1)?,
        sealed: row.get(2)?,
        sequence: number(row, 3)?,
        reader: row.get::<_, Option<[u8; 16]>>(4)?.map(DeviceId::new),
    })
}

fn log_entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    Ok(LogEntry { leaf: row.get(0)?, content: row.get(1)?, nodes: row.get(2)? })
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
