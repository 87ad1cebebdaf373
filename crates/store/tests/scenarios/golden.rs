//! Files of every released format, which open for ever (R-STORE-1, R-STORE-8).

use std::path::{Path, PathBuf};

use chancery_crypto::secret::Secret;
use chancery_store::{KeySource, Store, StoreError, WrappedKey, sealed_file};
use chancery_wire::records::{RecordKey, Table};
use rusqlite::{Connection, OpenFlags};

use super::common::passphrase;

const PASSPHRASE: &str = "correct horse battery staple";

fn sources() -> [(&'static str, KeySource); 2] {
    [("passphrase", passphrase(PASSPHRASE)), ("key-file", KeySource::KeyFile(Secret::from_bytes([0x42; 32])))]
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

#[test]
fn stores_of_format_1_open_and_can_be_written() {
    let directory = tempfile::tempdir().unwrap();
    for (name, source) in sources() {
        let path = directory.path().join(name);
        std::fs::copy(golden(&format!("format-1-{name}.db")), &path).unwrap();
        let mut store = Store::open(&path, &source).unwrap();
        let expected = [
            (1, b"greeting".as_slice(), Some(b"hello".as_slice())),
            (2, b"greeting", Some(b"good evening")),
            (0xFFFF, &[0xFF; 255], Some(&[0xAB; 5000])),
            (0, b"", Some(b"")),
            (3, b"gone", None),
            (4, b"never", None),
        ];
        for (table, key, value) in expected {
            let found = store
                .read(|records| Ok::<_, StoreError>(records.get(&RecordKey::new(Table(table), key))?))
                .unwrap();
            assert_eq!(found.as_deref(), value, "table {table} of {name}");
        }
        assert_eq!(store.check(), Ok(4));
        super::common::put(&mut store, "new", b"record").unwrap();
        assert_eq!(store.check(), Ok(5));
    }
}

#[test]
fn sealed_files_of_format_1_open() {
    for (name, source) in sources() {
        let contents = sealed_file::read(golden(&format!("format-1-{name}.sealed")), &source).unwrap();
        assert_eq!(contents.expose(), b"sealed contents");
    }
}

#[test]
fn a_store_of_format_1_has_the_documented_marks_and_tables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    std::fs::copy(golden("format-1-key-file.db"), &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes[68..72], *b"CHNC");
    assert_eq!(bytes[60..64], 1u32.to_be_bytes());
    let file = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE).unwrap();
    let mut select = file.prepare("SELECT sql FROM sqlite_schema ORDER BY name").unwrap();
    let found: Vec<String> = select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        found,
        [
            "CREATE TABLE chain (name BLOB PRIMARY KEY, next BLOB NOT NULL, mac BLOB NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE meta (id INTEGER PRIMARY KEY, wrapped BLOB NOT NULL) STRICT",
            "CREATE TABLE records (name BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
        ]
    );
    let wrapped: Vec<u8> =
        file.query_row("SELECT wrapped FROM meta WHERE id = 1", [], |row| row.get(0)).unwrap();
    assert_eq!(wrapped.len(), WrappedKey::LEN);
}
