//! The tables of the database, how it is set up, and how an older one is brought up to date.

use std::time::Duration;

use chancery_identity::OrgId;
use chancery_relay::Totals;
use chancery_relay::limits::REFERENCE_BYTES;
use rusqlite::{Connection, Row, Transaction};

use crate::ServerError;

/// The format of the database, in `PRAGMA user_version`.
const FORMAT: i64 = 8;
/// `PRAGMA application_id`: "ChRy".
const APPLICATION: i64 = 0x4368_5279;
/// How long a commit waits for somebody who looks at the database with another program.
const BUSY: Duration = Duration::from_secs(5);
/// Statements kept prepared: more than there are.
const STATEMENTS: usize = 96;

/// Every table. Ends are milliseconds since 1970; every column is explained in `docs/ledger.json` (R-RELAY-38).
const SCHEMA: &str = "
CREATE TABLE organisation (
    id INTEGER PRIMARY KEY CHECK (id = 1), org_id BLOB NOT NULL
) STRICT;
CREATE TABLE mailboxes (
    mailbox BLOB PRIMARY KEY NOT NULL, last_sequence INTEGER NOT NULL, envelopes INTEGER NOT NULL,
    bytes INTEGER NOT NULL, expires INTEGER, removed INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX mailboxes_end ON mailboxes (expires) WHERE expires IS NOT NULL;
CREATE TABLE envelopes (
    mailbox BLOB NOT NULL, sequence INTEGER NOT NULL, envelope BLOB NOT NULL, expires INTEGER NOT NULL,
    shared INTEGER, PRIMARY KEY (mailbox, sequence)
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
    sequence INTEGER NOT NULL UNIQUE, reader BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX directory_reader ON directory (reader, sequence);
";

/// The organisation's log. What is in a leaf is found at its place in it: kind, subject, object, commitment (R-LOG-2).
const LOG: &str = "
CREATE TABLE log (
    position INTEGER PRIMARY KEY, leaf BLOB NOT NULL, content BLOB, nodes BLOB NOT NULL
) STRICT;
CREATE INDEX log_subject ON log (substr(leaf, 2, 1), substr(leaf, 11, 16));
CREATE INDEX log_object ON log (substr(leaf, 27, 16)) WHERE substr(leaf, 2, 1) = x'04';
CREATE INDEX log_commitment ON log (substr(leaf, 59, 32));
CREATE TABLE log_note (
    id INTEGER PRIMARY KEY CHECK (id = 1), note TEXT NOT NULL
) STRICT;
";

/// The key that delivery tokens are checked with: of one epoch, the newest (R-RELAY-56).
const DELIVERY_KEY: &str = "
CREATE TABLE delivery_key (
    id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL, key BLOB NOT NULL
) STRICT;
";

/// What ended devices have confirmed.
const CONFIRMATIONS: &str = "
CREATE TABLE end_confirmations (
    device BLOB PRIMARY KEY NOT NULL, confirmation BLOB NOT NULL
) STRICT, WITHOUT ROWID;
";

pub(crate) const END_CONFIRMATION: &str = "SELECT confirmation FROM end_confirmations WHERE device = ?1";
pub(crate) const PUT_END_CONFIRMATION: &str =
    "INSERT OR REPLACE INTO end_confirmations (device, confirmation) VALUES (?1, ?2)";

/// Sets, slots, held deliveries, and envelopes that many mailboxes have: those are apart from the count of their
/// readers, which changes with each that has read one.
const SETS: &str = "
CREATE TABLE shared (
    shared INTEGER PRIMARY KEY, length INTEGER NOT NULL, readers INTEGER NOT NULL
) STRICT;
CREATE TABLE shared_envelopes (
    shared INTEGER PRIMARY KEY, envelope BLOB NOT NULL
) STRICT;
CREATE TABLE sets (
    set_name BLOB PRIMARY KEY NOT NULL, key_hash BLOB NOT NULL, mailboxes BLOB NOT NULL,
    expires INTEGER NOT NULL
) STRICT;
CREATE INDEX sets_end ON sets (expires);
CREATE TABLE slots (
    slot BLOB PRIMARY KEY NOT NULL, hash BLOB NOT NULL, envelope BLOB, expires INTEGER
) STRICT;
CREATE INDEX slots_end ON slots (expires) WHERE expires IS NOT NULL;
CREATE TABLE held (
    position INTEGER PRIMARY KEY, slot BLOB NOT NULL, hash BLOB NOT NULL, mailbox BLOB NOT NULL,
    delivery_id BLOB NOT NULL, envelope BLOB NOT NULL, expires INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX held_delivery ON held (mailbox, delivery_id);
CREATE INDEX held_slot ON held (slot);
CREATE INDEX held_end ON held (expires);
";

/// Credentials of devices that ended.
const ENDED_CREDENTIALS: &str = "
CREATE TABLE ended_credentials (
    device BLOB PRIMARY KEY NOT NULL, credential BLOB NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ended_credentials_end ON ended_credentials (expires);
";

/// Counts everything. A mailbox counts all of an envelope that it shares with others; the whole counts it once, and ?1
/// bytes for each reference.
const TOTALS: &str = "SELECT (SELECT count(*) FROM mailboxes),
    (SELECT coalesce(sum(bytes), 0) FROM mailboxes)
        - (SELECT coalesce(sum(readers * (length - ?1) - length), 0) FROM shared),
    (SELECT count(*) FROM deliveries), (SELECT count(*) FROM blobs), (SELECT coalesce(sum(length), 0) FROM blobs),
    (SELECT count(*) FROM directory WHERE substr(sealed, 1, 8) != zeroblob(8)), (SELECT count(*) FROM blobs WHERE complete = 0),
    (SELECT count(*) FROM sets), (SELECT coalesce(sum(length(mailboxes)), 0) / 16 FROM sets),
    (SELECT count(*) FROM slots), (SELECT coalesce(sum(length(envelope)), 0) FROM slots),
    (SELECT count(*) FROM held), (SELECT coalesce(sum(length(envelope)), 0) FROM held)";

// Questions to the log, each served by an index; the terms are those of the indexes, character by character.
pub(crate) const LOG_ABOUT: &str = "SELECT position FROM log
    WHERE substr(leaf, 2, 1) = ?1 AND substr(leaf, 11, 16) = ?2 ORDER BY position DESC LIMIT 1";
pub(crate) const LOG_COMMITMENT: &str = "SELECT position FROM log
    WHERE substr(leaf, 59, 32) = ?2 AND substr(leaf, 2, 1) = ?1 ORDER BY position LIMIT 1";
pub(crate) const LOG_DEVICES: &str = "SELECT substr(leaf, 11, 16) FROM log
    WHERE substr(leaf, 2, 1) = x'04' AND substr(leaf, 27, 16) = ?1 ORDER BY position";
pub(crate) const LOG_PAGE: &str =
    "SELECT leaf, content, nodes FROM log WHERE position >= ?1 ORDER BY position";

/// Sets the connection up and makes the tables, or checks that they are the right ones.
pub(crate) fn prepare(connection: &mut Connection, organisation: &OrgId) -> Result<(), ServerError> {
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
            transaction
                .execute_batch(SCHEMA)
                .and_then(|()| transaction.execute_batch(LOG))
                .and_then(|()| transaction.execute_batch(DELIVERY_KEY))
                .and_then(|()| transaction.execute_batch(CONFIRMATIONS))
                .and_then(|()| transaction.execute_batch(SETS))
                .and_then(|()| transaction.execute_batch(ENDED_CREDENTIALS))
                .map_err(broken)?;
            let insert = "INSERT INTO organisation (id, org_id) VALUES (1, ?1)";
            transaction.execute(insert, [organisation.as_bytes()]).map_err(broken)?;
            transaction.pragma_update(None, "application_id", APPLICATION).map_err(broken)?;
            transaction.pragma_update(None, "user_version", FORMAT).map_err(broken)?;
        }
        1..=FORMAT => {
            let held: Vec<u8> = transaction
                .query_row("SELECT org_id FROM organisation", [], |row| row.get(0))
                .map_err(broken)?;
            if held != organisation.as_bytes() {
                return Err(ServerError::OtherOrganisation);
            }
            if found < 2 {
                from_first(&transaction).map_err(broken)?;
            }
            if found < 3 {
                from_second(&transaction).map_err(broken)?;
            }
            if found < 4 {
                from_third(&transaction).map_err(broken)?;
            }
            if found < 5 {
                from_fourth(&transaction).map_err(broken)?;
            }
            if found < 6 {
                from_fifth(&transaction).map_err(broken)?;
            }
            if found < 7 {
                from_sixth(&transaction).map_err(broken)?;
            }
            if found < 8 {
                from_seventh(&transaction).map_err(broken)?;
            }
        }
        _ => return Err(ServerError::NewerFormat { found, supported: FORMAT }),
    }
    transaction.commit().map_err(broken)
}

/// From format 1: a mailbox can be a removed device's.
fn from_first(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    let sql = "ALTER TABLE mailboxes ADD COLUMN removed INTEGER NOT NULL DEFAULT 0";
    transaction.execute(sql, []).map(drop)
}

/// From format 2: the log. The relay record is an entry of it, and those from before name no log key.
fn from_second(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch("DROP TABLE relay_record;")?;
    transaction.execute_batch(LOG)
}

/// From format 3: delivery tokens. The desk gives the key when it connects; until then what needs one is refused.
fn from_third(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(DELIVERY_KEY)
}

/// From format 4: what ended devices have confirmed.
fn from_fourth(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(CONFIRMATIONS)
}

/// From format 5: an entry may be for one guest's device alone.
fn from_fifth(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "ALTER TABLE directory ADD COLUMN reader BLOB;
        CREATE INDEX directory_reader ON directory (reader, sequence);",
    )
}

/// From format 6: sets, slots, held deliveries, and envelopes that many mailboxes have.
fn from_sixth(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute("ALTER TABLE envelopes ADD COLUMN shared INTEGER", [])?;
    transaction.execute_batch(SETS)
}

/// From format 7: credentials of devices that end from now on.
fn from_seventh(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(ENDED_CREDENTIALS)?;
    transaction.pragma_update(None, "user_version", FORMAT)
}

/// Counts everything, once; from then on the storage counts along.
pub(crate) fn totals(connection: &Connection) -> rusqlite::Result<Totals> {
    connection.query_row(TOTALS, [integer(REFERENCE_BYTES)], |row| {
        Ok(Totals {
            mailboxes: number(row, 0)?,
            envelope_bytes: number(row, 1)?,
            deliveries: number(row, 2)?,
            blobs: number(row, 3)?,
            blob_bytes: number(row, 4)?,
            directory_entries: number(row, 5)?,
            incomplete_blobs: number(row, 6)?,
            sets: number(row, 7)?,
            set_places: number(row, 8)?,
            slots: number(row, 9)?,
            slot_bytes: number(row, 10)?,
            held: number(row, 11)?,
            held_bytes: number(row, 12)?,
        })
    })
}

/// Reads a number that was written by [`integer`].
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column).map(i64::unsigned_abs)
}

pub(crate) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
