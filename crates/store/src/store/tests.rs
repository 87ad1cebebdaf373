//! What happens when somebody writes into the file behind the store's back, and when the disk is full.

use chancery_crypto::secret::SecretBytes;
use chancery_wire::Limit;
use chancery_wire::records::Table;
use rusqlite::params;
use tempfile::TempDir;

use super::*;

static_assertions::assert_impl_all!(Store: Send);

const COUNT: u8 = 8;

fn source() -> KeySource {
    KeySource::KeyFile(Secret::from_bytes([3; 32]))
}

fn key(n: u8) -> RecordKey {
    RecordKey::new(Table(n.into()), [b'n', n])
}

fn value(n: u8) -> Vec<u8> {
    vec![n; 10 + usize::from(n)]
}

/// A store with the records 0 to 7.
fn filled() -> (TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let mut store =
        Store::create(directory.path().join("store.db"), &source(), &mut seeded([1; 32])).unwrap();
    store
        .transaction(|_| {
            let mut batch = Batch::default();
            (0..COUNT).for_each(|n| batch.put(key(n), value(n)));
            Ok::<_, StoreError>((batch, ()))
        })
        .unwrap();
    (directory, store)
}

fn get(store: &mut Store, key: &RecordKey) -> Result<Option<Vec<u8>>, StoreError> {
    store.read(|records| Ok(records.get(key)?))
}

fn put(store: &mut Store, key: RecordKey, value: Vec<u8>) -> Result<(), StoreError> {
    store.transaction(|_| {
        let mut batch = Batch::default();
        batch.put(key, value);
        Ok((batch, ()))
    })
}

fn delete(store: &mut Store, key: RecordKey) -> Result<(), StoreError> {
    store.transaction(|_| {
        let mut batch = Batch::default();
        batch.delete(key);
        Ok((batch, ()))
    })
}

fn raw(store: &Store, table: &str, column: &str, name: &[u8]) -> Vec<u8> {
    let query = format!("SELECT {column} FROM {table} WHERE name = ?1");
    store.connection.query_row(&query, [name], |row| row.get(0)).unwrap()
}

/// Another connection to the file, which knows nothing of what the store keeps in memory.
fn behind(store: &Store) -> Connection {
    Connection::open(store.connection.path().unwrap()).unwrap()
}

fn set_raw(store: &Store, table: &str, column: &str, name: &[u8], to: &[u8]) {
    let update = format!("UPDATE {table} SET {column} = ?2 WHERE name = ?1");
    assert_eq!(behind(store).execute(&update, params![name, to]).unwrap(), 1);
}

#[test]
fn a_flipped_byte_in_a_value_is_damage() {
    let (_directory, mut store) = filled();
    let name = store.keys.blind(&key(3));
    let good = raw(&store, "records", "value", &name);
    // Nonce, ciphertext and tag.
    for i in 0..good.len() {
        let mut bad = good.clone();
        bad[i] ^= 1;
        set_raw(&store, "records", "value", &name, &bad);
        assert_eq!(get(&mut store, &key(3)), Err(StoreError::Damaged), "byte {i}");
    }
    assert_eq!(store.check(), Err(StoreError::Damaged));
    assert_eq!(get(&mut store, &key(4)), Ok(Some(value(4))), "the others are still readable");
    set_raw(&store, "records", "value", &name, &good[..good.len() - 1]);
    assert_eq!(get(&mut store, &key(3)), Err(StoreError::Damaged), "cut");
    set_raw(&store, "records", "value", &name, &good);
    assert_eq!(store.check(), Ok(COUNT.into()));
}

#[test]
fn what_another_process_has_committed_is_seen_and_what_was_not_committed_is_forgotten() {
    let (directory, mut store) = filled();
    let mut other = Store::open(directory.path().join("store.db"), &source()).unwrap();
    for round in 0..3 {
        assert_eq!(get(&mut other, &key(100 + round)), Ok(None));
        put(&mut store, key(100 + round), value(round)).unwrap();
        put(&mut store, key(1), value(round)).unwrap();
        assert_eq!(get(&mut other, &key(100 + round)), Ok(Some(value(round))));
        assert_eq!(get(&mut other, &key(1)), Ok(Some(value(round))));
        delete(&mut other, key(100 + round)).unwrap();
        assert_eq!(get(&mut store, &key(100 + round)), Ok(None));
    }
    // A read that began before a commit of another goes on seeing what was there, and the next one sees the commit.
    let seen = store.read(|records| {
        let before = records.get(&key(2))?;
        put(&mut other, key(2), value(9))?;
        put(&mut other, key(3), value(9))?;
        Ok::<_, StoreError>([before, records.get(&key(2))?, records.get(&key(3))?])
    });
    assert_eq!(seen, Ok([Some(value(2)), Some(value(2)), Some(value(3))]));
    assert_eq!(get(&mut store, &key(2)), Ok(Some(value(9))));
    assert_eq!(get(&mut store, &key(3)), Ok(Some(value(9))));
    let mut too_large = Batch::default();
    too_large.put(key(4), value(1));
    too_large.put(key(5), vec![0; Limit::RECORD.bytes() + 1]);
    assert_eq!(store.transaction(|_| Ok::<_, StoreError>((too_large, ()))), Err(StoreError::TooLarge));
    assert_eq!(get(&mut store, &key(4)), Ok(Some(value(4))), "not committed, not kept");
}

#[test]
fn a_flipped_byte_in_a_name_is_damage_under_the_old_and_the_new_name() {
    // R-STORE-7: the record does not merely seem to be gone.
    let (_directory, mut store) = filled();
    let name = store.keys.blind(&key(3));
    for i in 0..NAME_LEN {
        let mut bad = name;
        bad[i] ^= 1;
        set_raw(&store, "records", "name", &name, &bad);
        assert_eq!(get(&mut store, &key(3)), Err(StoreError::Damaged), "byte {i}");
        let sealed = raw(&store, "records", "value", &bad);
        assert_eq!(store.keys.open(&bad, &sealed).err(), Some(StoreError::Damaged));
        assert_eq!(store.check(), Err(StoreError::Damaged));
        set_raw(&store, "records", "name", &bad, &name);
    }
    assert_eq!(store.check(), Ok(COUNT.into()));
}

#[test]
fn the_same_name_in_another_table_is_another_record() {
    // R-STORE-5: the table is part of what is blinded, so a row cannot pass from one to another.
    let (_directory, mut store) = filled();
    let (here, there) = (key(3), RecordKey::new(Table(4), key(3).name));
    assert_eq!(get(&mut store, &there), Ok(None));
    put(&mut store, there.clone(), value(7)).unwrap();
    let (a, b) = (store.keys.blind(&here), store.keys.blind(&there));
    let moved = raw(&store, "records", "value", &a);
    set_raw(&store, "records", "value", &b, &moved);
    assert_eq!(get(&mut store, &there), Err(StoreError::Damaged));
    assert_eq!(get(&mut store, &here), Ok(Some(value(3))));
}

#[test]
fn swapped_rows_are_damage() {
    let (_directory, mut store) = filled();
    let (a, b) = (store.keys.blind(&key(1)), store.keys.blind(&key(2)));
    let (at_a, at_b) = (raw(&store, "records", "value", &a), raw(&store, "records", "value", &b));
    set_raw(&store, "records", "value", &a, &at_b);
    set_raw(&store, "records", "value", &b, &at_a);
    assert_eq!(get(&mut store, &key(1)), Err(StoreError::Damaged));
    assert_eq!(get(&mut store, &key(2)), Err(StoreError::Damaged));
    assert_eq!(store.check(), Err(StoreError::Damaged));
}

#[test]
fn a_removed_row_is_damage_and_not_an_absent_record() {
    let (_directory, mut store) = filled();
    let name = store.keys.blind(&key(5));
    behind(&store).execute("DELETE FROM records WHERE name = ?1", [name]).unwrap();
    assert_eq!(get(&mut store, &key(5)), Err(StoreError::Damaged));
    assert_eq!(delete(&mut store, key(5)), Err(StoreError::Damaged));
    assert_eq!(put(&mut store, key(5), value(1)), Err(StoreError::Damaged));
    assert_eq!(store.check(), Err(StoreError::Damaged));
    // Nor does it help to take its link out as well.
    behind(&store).execute("DELETE FROM chain WHERE name = ?1", [name]).unwrap();
    assert_eq!(get(&mut store, &key(5)), Err(StoreError::Damaged));
    assert_eq!(store.check(), Err(StoreError::Damaged));
}

#[test]
fn a_forged_or_missing_link_is_damage_for_whoever_needs_it() {
    let (_directory, mut store) = filled();
    let absent = key(200);
    let gap = Chain::new(&store.connection, &store.keys.chain).gap(&store.keys.blind(&absent)).unwrap();
    for column in ["next", "mac"] {
        let good = raw(&store, "chain", column, &gap.name);
        let mut bad = good.clone();
        bad.push(0);
        if let Some(byte) = bad.first_mut() {
            *byte ^= 0x80;
        }
        set_raw(&store, "chain", column, &gap.name, &bad);
        assert_eq!(get(&mut store, &absent), Err(StoreError::Damaged), "{column}");
        assert_eq!(put(&mut store, absent.clone(), value(1)), Err(StoreError::Damaged));
        assert_eq!(store.check(), Err(StoreError::Damaged));
        set_raw(&store, "chain", column, &gap.name, &good);
    }
    for n in 0..COUNT {
        assert_eq!(get(&mut store, &key(n)), Ok(Some(value(n))), "what is there needs no link");
    }
    behind(&store).execute("DELETE FROM chain WHERE name = x''", []).unwrap();
    assert_eq!(store.check(), Err(StoreError::Damaged));
}

#[test]
fn rows_that_nobody_wrote_are_damage_when_checked() {
    let (_directory, mut store) = filled();
    let sealed = raw(&store, "records", "value", &store.keys.blind(&key(1)));
    store.connection.execute("INSERT INTO records VALUES (?1, ?2)", params![[9u8; 32], sealed]).unwrap();
    assert_eq!(store.check(), Err(StoreError::Damaged));
    behind(&store).execute("DELETE FROM records WHERE name = ?1", [[9u8; 32]]).unwrap();
    assert_eq!(store.check(), Ok(COUNT.into()));
    store.connection.execute("INSERT INTO chain VALUES (?1, ?2, ?3)", params![[9u8; 32], [], []]).unwrap();
    assert_eq!(store.check(), Err(StoreError::Damaged));
}

#[test]
fn the_chain_follows_every_insertion_and_removal() {
    let (_directory, mut store) = filled();
    for n in (0..COUNT).step_by(2) {
        delete(&mut store, key(n)).unwrap();
        delete(&mut store, key(n)).unwrap();
        assert_eq!(get(&mut store, &key(n)), Ok(None));
    }
    assert_eq!(store.check(), Ok(4));
    for n in 0..COUNT {
        put(&mut store, key(n), value(n)).unwrap();
        put(&mut store, key(n), value(n)).unwrap();
    }
    assert_eq!(store.check(), Ok(COUNT.into()));
    (0..COUNT).for_each(|n| delete(&mut store, key(n)).unwrap());
    assert_eq!(store.check(), Ok(0));
}

#[test]
fn another_file_format_is_refused_before_anything_is_unlocked() {
    // R-STORE-8.
    let (directory, store) = filled();
    let path = directory.path().join("store.db");
    let set = |pragma: &str| store.connection.execute_batch(pragma).unwrap();
    let wrong = KeySource::KeyFile(Secret::from_bytes([4; 32]));
    set("PRAGMA user_version = 2");
    let newer = StoreError::NewerFormat { found: 2, supported: 1 };
    assert_eq!(Store::open(&path, &source()).err(), Some(newer));
    assert_eq!(Store::open(&path, &wrong).err(), Some(newer));
    set("PRAGMA user_version = 0");
    assert_eq!(Store::open(&path, &source()).err(), Some(StoreError::Damaged));
    set("PRAGMA user_version = -1");
    assert_eq!(Store::open(&path, &source()).err(), Some(StoreError::Damaged));
    set("PRAGMA user_version = 1; PRAGMA application_id = 7");
    assert_eq!(Store::open(&path, &source()).err(), Some(StoreError::Damaged));
    set("PRAGMA application_id = 0x43484E43");
    assert!(Store::open(&path, &source()).is_ok());
    set("CREATE TRIGGER t AFTER INSERT ON records BEGIN DELETE FROM records; END");
    assert_eq!(Store::open(&path, &source()).err(), Some(StoreError::Damaged), "a foreign trigger");
    set("DROP TRIGGER t; DELETE FROM meta");
    assert_eq!(Store::open(&path, &source()).err(), Some(StoreError::Damaged), "no wrapped key");
}

#[test]
fn a_full_disk_fails_the_commit_as_a_whole() {
    // R-STORE-9, with SQLite's own limit in the place of a disk's.
    let (_directory, mut store) = filled();
    let pages: i64 = store.connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
    store.connection.query_row(&format!("PRAGMA max_page_count = {}", pages + 3), [], |_| Ok(())).unwrap();
    let done: Result<(), StoreError> = store.transaction(|_| {
        let mut batch = Batch::default();
        batch.put(key(0), value(100));
        batch.delete(key(1));
        (100..110).for_each(|n| batch.put(key(n), vec![n; 4096]));
        Ok((batch, ()))
    });
    assert_eq!(done, Err(StoreError::Full));
    assert_eq!(RecordsError::from(StoreError::Full), RecordsError::Full);
    (0..COUNT).for_each(|n| assert_eq!(get(&mut store, &key(n)), Ok(Some(value(n)))));
    assert_eq!(store.check(), Ok(COUNT.into()));
    put(&mut store, key(0), value(1)).unwrap();
    assert_eq!(get(&mut store, &key(0)), Ok(Some(value(1))));
}

#[test]
fn what_exceeds_a_limit_is_refused_and_nothing_of_its_batch_is_written() {
    // R-STORE-13.
    let (_directory, mut store) = filled();
    let long = RecordKey::new(Table(1), [0; 256]);
    let largest = Limit::RECORD.bytes();
    for (bad, value) in [(long.clone(), vec![]), (key(9), vec![0; largest + 1])] {
        let done: Result<(), StoreError> = store.transaction(|_| {
            let mut batch = Batch::default();
            batch.put(key(0), vec![]);
            batch.put(bad, value);
            Ok((batch, ()))
        });
        assert_eq!(done, Err(StoreError::TooLarge));
    }
    assert_eq!(get(&mut store, &long), Ok(None));
    assert_eq!(get(&mut store, &key(0)), Ok(Some(value(0))));
    let (name, limit) = (RecordKey::new(Table(u16::MAX), [255; 255]), vec![7; largest]);
    put(&mut store, name.clone(), limit.clone()).unwrap();
    assert_eq!(get(&mut store, &name), Ok(Some(limit)));
    put(&mut store, RecordKey::new(Table(0), []), vec![]).unwrap();
    assert_eq!(get(&mut store, &RecordKey::new(Table(0), [])), Ok(Some(vec![])));
    assert_eq!(store.check(), Ok(u64::from(COUNT) + 2));
}

#[test]
fn a_connection_is_durable_and_small() {
    // R-STORE-9.
    let (_directory, store) = filled();
    for (pragma, expected) in [
        ("synchronous", "2"),
        ("journal_mode", "wal"),
        ("journal_size_limit", "4194304"),
        ("cache_size", "-1024"),
        ("secure_delete", "1"),
        ("trusted_schema", "0"),
        ("busy_timeout", "10000"),
    ] {
        let found: rusqlite::types::Value =
            store.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).unwrap();
        let found = match found {
            rusqlite::types::Value::Integer(number) => number.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{pragma} is {other:?}"),
        };
        assert_eq!(found, expected, "{pragma}");
    }
}

#[test]
fn a_store_that_somebody_holds_for_too_long_is_busy_and_can_be_read() {
    let (directory, mut holder) = filled();
    let mut waiter = Store::open(directory.path().join("store.db"), &source()).unwrap();
    waiter.connection.busy_timeout(std::time::Duration::from_millis(50)).unwrap();
    let refused = holder.transaction(|_| {
        assert_eq!(get(&mut waiter, &key(1)), Ok(Some(value(1))));
        Ok::<_, StoreError>((Batch::default(), put(&mut waiter, key(1), value(2))))
    });
    assert_eq!(refused, Ok(Err(StoreError::Busy)));
    put(&mut waiter, key(1), value(2)).unwrap();
}

#[test]
fn a_read_takes_one_row_by_its_name() {
    let (_directory, store) = filled();
    let plan: String = store
        .connection
        .query_row("EXPLAIN QUERY PLAN SELECT value FROM records WHERE name = ?1", [[0u8; 32]], |row| {
            row.get(3)
        })
        .unwrap();
    assert_eq!(plan, "SEARCH records USING PRIMARY KEY (name=?)");
}

#[test]
fn a_debugged_store_shows_no_key() {
    let (_directory, store) = filled();
    let text = format!("{:?} {:?}", store.keys, source());
    assert!(!text.contains('['), "{text}");
}

#[test]
fn an_error_of_the_store_survives_the_way_through_a_machine() {
    let all = [StoreError::Full, StoreError::Busy, StoreError::Damaged, StoreError::Io];
    assert!(all.iter().all(|error| StoreError::from(RecordsError::from(*error)) == *error));
    assert_eq!(RecordsError::from(StoreError::WrongKey), RecordsError::Damaged);
    assert_eq!(RecordsError::from(StoreError::TooLarge), RecordsError::Io);
}

/// Makes the golden file; run once for each format, by hand:
/// `cargo test -p chancery-store -- --ignored writes_the_golden_file`.
#[test]
#[ignore = "writes into the source tree"]
fn writes_the_golden_file() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut rng = seeded([42; 32]);
    let passphrase = KeySource::Passphrase(SecretBytes::new(b"correct horse battery staple".to_vec()));
    let key_file = KeySource::KeyFile(Secret::from_bytes([0x42; 32]));
    for (name, source) in [("passphrase", &passphrase), ("key-file", &key_file)] {
        let path = golden.join(format!("format-{}-{name}.db", crate::FORMAT));
        let mut store = Store::create(path, source, &mut rng).unwrap();
        store
            .transaction(|_| {
                let mut batch = Batch::default();
                batch.put(RecordKey::new(Table(1), *b"greeting"), b"hello".to_vec());
                batch.put(RecordKey::new(Table(2), *b"greeting"), b"good evening".to_vec());
                batch.put(RecordKey::new(Table(0xFFFF), [0xFF; 255]), vec![0xAB; 5000]);
                batch.put(RecordKey::new(Table(0), []), vec![]);
                batch.put(RecordKey::new(Table(3), *b"gone"), b"removed again".to_vec());
                Ok::<_, StoreError>((batch, ()))
            })
            .unwrap();
        delete(&mut store, RecordKey::new(Table(3), *b"gone")).unwrap();
        drop(store);
        let path = golden.join(format!("format-{}-{name}.sealed", crate::FORMAT));
        crate::sealed_file::write(path, source, b"sealed contents", &mut rng).unwrap();
    }
    file::write_all(std::fs::File::create(golden.join("key-file")).unwrap(), &[0x42; 32]).unwrap();
}
