//! The SQLite file: its identity, its tables and how it is opened (R-STORE-1, R-STORE-8, R-STORE-9).

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::error::StoreError;

/// The newest file format that this version reads, and the one that it writes.
pub const FORMAT: u32 = 1;

/// How long a transaction waits for its turn: 10 seconds. Transactions take milliseconds; a longer wait means
/// that somebody hangs.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// `CHNC`, the mark by which tools tell the file's kind.
const APPLICATION_ID: i32 = 0x4348_4E43;

/// The tables, with the very text that the file must have.
const TABLES: [(&str, &str); 3] = [
    (
        "chain",
        "CREATE TABLE chain (name BLOB PRIMARY KEY, next BLOB NOT NULL, mac BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    ("meta", "CREATE TABLE meta (id INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT"),
    ("records", "CREATE TABLE records (name BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID"),
];

/// For each connection:
/// - a commit is on the disk when it returns (`synchronous`, and `fullfsync` where a sync stops at the
///   drive's cache), also after a power cut;
/// - the log is moved into the file every 512 pages (2 MiB) and cut to 4 MiB after a peak;
/// - 1 MiB of page cache, no memory mapping: an idle process stays small;
/// - freed pages are overwritten, so that a used key does not stay in the file;
/// - the file is not trusted: no functions in its schema, and cells are checked.
const SETTINGS: &str = "
    PRAGMA synchronous = FULL;
    PRAGMA fullfsync = ON;
    PRAGMA wal_autocheckpoint = 512;
    PRAGMA journal_size_limit = 4194304;
    PRAGMA cache_size = -1024;
    PRAGMA mmap_size = 0;
    PRAGMA temp_store = MEMORY;
    PRAGMA secure_delete = ON;
    PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON;
";

/// Opens an existing file and checks that it is ours.
///
/// Nothing else in this process may open the file: closing any descriptor of it would release `SQLite`'s locks.
pub(crate) fn open(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    let identity: i32 = pragma(&connection, "application_id")?;
    if identity != APPLICATION_ID {
        return Err(StoreError::Damaged);
    }
    let found: u32 = pragma(&connection, "user_version")?;
    if found > FORMAT {
        return Err(StoreError::NewerFormat { found, supported: FORMAT });
    }
    if found != FORMAT || tables(&connection)?.ne(&TABLES.map(|(name, sql)| (name.into(), sql.into()))) {
        return Err(StoreError::Damaged);
    }
    use_write_ahead_log(&connection)?;
    Ok(connection)
}

/// Makes tables in an empty file.
pub(crate) fn create(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path)?;
    use_write_ahead_log(&connection)?;
    let tables = TABLES.map(|(_, sql)| sql).join(";");
    connection
        .execute_batch(&format!(
            "BEGIN IMMEDIATE; {tables};
            PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT}; COMMIT;"
        ))
        .map_err(|e| StoreError::from_sqlite(&e))?;
    Ok(connection)
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    // Absolute, because SQLite takes a name that starts with "file:" or ":" for something else.
    let path = std::path::absolute(path).map_err(|e| StoreError::from_io(&e))?;
    if !path.try_exists().map_err(|e| StoreError::from_io(&e))? {
        return Err(StoreError::NotFound);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = || -> rusqlite::Result<_> {
        let connection = Connection::open_with_flags(&path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(SETTINGS)?;
        Ok(connection)
    };
    connect().map_err(|e| StoreError::from_sqlite(&e))
}

fn use_write_ahead_log(connection: &Connection) -> Result<(), StoreError> {
    let mode: String = pragma(connection, "journal_mode = WAL")?;
    if mode == "wal" { Ok(()) } else { Err(StoreError::Io) }
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> Result<T, StoreError> {
    connection
        .query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
        .map_err(|e| StoreError::from_sqlite(&e))
}

fn tables(connection: &Connection) -> Result<Vec<(String, String)>, StoreError> {
    let read = || -> rusqlite::Result<_> {
        let mut select = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name")?;
        select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()
    };
    read().map_err(|e| StoreError::from_sqlite(&e))
}
