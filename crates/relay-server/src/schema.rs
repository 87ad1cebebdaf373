//! The tables of the database, how it is set up, and how an older one is brought up to date.

use std::time::Duration;

use chancery_identity::OrgId;
use chancery_relay::Totals;
use rusqlite::{Connection, Transaction};

use crate::ServerError;
use crate::sqlite::number;

/// The format of the database, in `PRAGMA user_version`.
const FORMAT: i64 = 4;
/// `PRAGMA application_id`: "ChRy".
const APPLICATION: i64 = 0x4368_5279;
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
    bytes INTEGER NOT NULL, expires INTEGER, removed INTEGER NOT NULL DEFAULT 0
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
    transaction.execute_batch(DELIVERY_KEY)?;
    transaction.pragma_update(None, "user_version", FORMAT)
}

/// Counts everything, once; from then on the storage counts along.
pub(crate) fn totals(connection: &Connection) -> rusqlite::Result<Totals> {
    let sql = "SELECT (SELECT count(*) FROM mailboxes), (SELECT coalesce(sum(bytes), 0) FROM mailboxes),
        (SELECT count(*) FROM deliveries), (SELECT count(*) FROM blobs), (SELECT coalesce(sum(length), 0) FROM blobs),
        (SELECT count(*) FROM directory), (SELECT count(*) FROM blobs WHERE complete = 0)";
    connection.query_row(sql, [], |row| {
        Ok(Totals {
            mailboxes: number(row, 0)?,
            envelope_bytes: number(row, 1)?,
            deliveries: number(row, 2)?,
            blobs: number(row, 3)?,
            blob_bytes: number(row, 4)?,
            directory_entries: number(row, 5)?,
            incomplete_blobs: number(row, 6)?,
        })
    })
}
