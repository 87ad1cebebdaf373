//! The storage on disk: the contract that every storage keeps, and what a crash or a full disk leaves.

use std::fs;
use std::path::Path;

use chancery_crypto::signature::SigningKey;
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, OrgId, Organisation};
use chancery_relay::{
    BlobId, BlobState, ConnectionId, DeliveryId, Effect, Input, Limits, LogEntry, MailboxId, Relay,
    SetStorage as _, Setup, Storage, StorageError, conformance,
};
use chancery_wire::proto::relay_frame::Body;
use chancery_wire::{RefusalCode, Timestamp, Unverified};

use super::fixture::{Acme, deliver, frame, key, read};
use crate::ServerError;
use crate::sqlite::SqliteStorage;

pub(super) const ORG: OrgId = OrgId::new([1; 32]);
pub(super) const LATE: Timestamp = Timestamp::from_millis(1 << 42);

pub(super) fn open(directory: &Path) -> SqliteStorage {
    SqliteStorage::open(directory, &ORG).unwrap()
}

pub(super) fn transaction<T>(
    storage: &mut SqliteStorage,
    work: impl FnOnce(&mut SqliteStorage) -> Result<T, StorageError>,
) -> T {
    storage.begin().unwrap();
    let result = work(storage).unwrap();
    storage.commit().unwrap();
    result
}

#[test]
fn the_database_obeys_the_laws_of_storages() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(conformance::check(&mut open(directory.path())), Ok(()), "R-RELAY-10");
}

#[test]
fn whoever_examines_the_data_sees_the_envelopes_of_all_mailboxes() {
    let directory = tempfile::tempdir().unwrap();
    for (mailbox, envelope) in [(2, b"later"), (1, b"first")] {
        let mailbox = MailboxId::new([mailbox; 16]);
        transaction(&mut open(directory.path()), |storage| {
            storage.create_mailbox(&mailbox, 0, None)?;
            storage.append(&mailbox, envelope, LATE)
        });
    }
    let held = crate::held_envelopes(directory.path(), &ORG).unwrap();
    assert_eq!(held, [b"first".to_vec(), b"later".to_vec()]);
    let other = crate::held_envelopes(directory.path(), &OrgId::new([2; 32]));
    assert!(matches!(other, Err(ServerError::OtherOrganisation)));
}

#[test]
fn sequences_are_never_used_again_after_deletion_and_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let (mailbox, mut last) = (MailboxId::new([1; 16]), 0);
    transaction(&mut open(directory.path()), |storage| storage.create_mailbox(&mailbox, 0, None));
    for _ in 0..4 {
        let mut storage = open(directory.path());
        let sequence = transaction(&mut storage, |storage| {
            let sequence = storage.append(&mailbox, b"envelope", LATE)?;
            storage.remove_envelope(&mailbox, sequence)?;
            Ok(sequence)
        });
        assert!(sequence > last, "R-RELAY-15");
        last = sequence;
    }
}

#[test]
fn a_restart_takes_an_incomplete_blob_back_to_what_was_synced() {
    let directory = tempfile::tempdir().unwrap();
    let (blob, part) = (BlobId::new([1; 16]), vec![7; 1 << 20]);
    let mut storage = open(directory.path());
    for _ in 0..9 {
        transaction(&mut storage, |storage| storage.append_blob(&blob, &part, LATE));
    }
    assert_eq!(storage.blob(&blob).unwrap().unwrap().length, 9 << 20);
    drop(storage);
    let mut storage = open(directory.path());
    let after_restart = BlobState { length: 8 << 20, complete: false };
    assert_eq!(storage.blob(&blob), Ok(Some(after_restart)), "R-RELAY-33");
    assert_eq!(storage.totals().unwrap().blob_bytes, 8 << 20);
    transaction(&mut storage, |storage| {
        storage.append_blob(&blob, b"end", LATE)?;
        storage.complete_blob(&blob, LATE)
    });
    drop(storage);
    let storage = open(directory.path());
    let complete = BlobState { length: (8 << 20) + 3, complete: true };
    assert_eq!(storage.blob(&blob), Ok(Some(complete)), "R-RELAY-33");
    assert_eq!(storage.read_blob(&blob, (8 << 20) - 1, 9).unwrap(), b"\x07end");
    let file = fs::read_dir(directory.path().join("blobs")).unwrap().next().unwrap().unwrap();
    assert_eq!(file.metadata().unwrap().len(), complete.length, "what a crash left is cut");
}

#[test]
fn a_file_that_was_cut_or_removed_reads_short_and_is_no_failure_of_the_relay() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    let blob = BlobId::new([1; 16]);
    transaction(&mut storage, |storage| {
        storage.append_blob(&blob, b"hello world", LATE)?;
        storage.complete_blob(&blob, LATE)
    });
    let path = directory.path().join("blobs").join("01".repeat(16));
    fs::write(&path, b"hello").unwrap();
    assert_eq!(storage.read_blob(&blob, 2, 100).unwrap(), b"llo");
    assert_eq!(storage.read_blob(&blob, 7, 100).unwrap(), b"");
    fs::remove_file(&path).unwrap();
    assert_eq!(storage.read_blob(&blob, 0, 100).unwrap(), b"");
}

#[test]
fn files_of_blobs_that_do_not_exist_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    transaction(&mut storage, |storage| storage.append_blob(&BlobId::new([1; 16]), b"x", LATE));
    drop(storage);
    let orphan = directory.path().join("blobs").join("02".repeat(16));
    fs::write(&orphan, b"left behind").unwrap();
    let mut storage = open(directory.path());
    assert!(!orphan.exists());
    assert!(directory.path().join("blobs").join("01".repeat(16)).exists());
    transaction(&mut storage, |storage| storage.expire(LATE, 10));
    assert!(!directory.path().join("blobs").join("01".repeat(16)).exists(), "R-RELAY-19");
}

#[test]
fn newer_formats_and_other_organisations_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let other = SqliteStorage::open(directory.path(), &OrgId::new([2; 32]));
    assert_eq!(other.err(), Some(ServerError::OtherOrganisation));
    let database = rusqlite::Connection::open(directory.path().join("relay.db")).unwrap();
    database.pragma_update(None, "user_version", 9).unwrap();
    let newer = SqliteStorage::open(directory.path(), &ORG);
    assert_eq!(newer.err(), Some(ServerError::NewerFormat { found: 9, supported: 8 }));
    drop(database);
    fs::write(directory.path().join("relay.db"), b"this is no database, it is some text").unwrap();
    let _ = fs::remove_file(directory.path().join("relay.db-wal"));
    assert_eq!(SqliteStorage::open(directory.path(), &ORG).err(), Some(ServerError::Database));
}

#[test]
fn a_database_of_the_first_format_is_taken_over_and_forgets_the_oldest_deliveries_first() {
    let directory = tempfile::tempdir().unwrap();
    let (mailbox, old, older) = (MailboxId::new([1; 16]), DeliveryId::new([1; 16]), DeliveryId::new([2; 16]));
    transaction(&mut open(directory.path()), |storage| storage.create_mailbox(&mailbox, 6, None));
    let database = rusqlite::Connection::open(directory.path().join("relay.db")).unwrap();
    let first = "DROP INDEX directory_reader; ALTER TABLE directory DROP COLUMN reader;
        ALTER TABLE mailboxes DROP COLUMN removed; DROP TABLE log; DROP TABLE log_note; DROP TABLE delivery_key;
        DROP TABLE end_confirmations;
        ALTER TABLE envelopes DROP COLUMN shared; DROP TABLE shared; DROP TABLE shared_envelopes; DROP TABLE sets;
        DROP TABLE slots; DROP TABLE held; DROP TABLE ended_credentials;
        CREATE TABLE relay_record (id INTEGER PRIMARY KEY CHECK (id = 1), sequence INTEGER NOT NULL, record BLOB NOT NULL) STRICT;";
    database.execute_batch(first).unwrap();
    database.pragma_update(None, "user_version", 1).unwrap();
    for (delivery, expires) in [(old, 4_000_000), (older, 3_000_000)] {
        let row = rusqlite::params![mailbox.as_bytes(), delivery.as_bytes(), expires];
        database.execute("INSERT INTO deliveries VALUES (?1, ?2, ?3)", row).unwrap();
    }
    drop(database);
    let mut storage = open(directory.path());
    let new = DeliveryId::new([3; 16]);
    transaction(&mut storage, |storage| storage.note_delivery(&mailbox, &new, LATE, 2));
    let noted = [new, old, older].map(|delivery| storage.has_delivery(&mailbox, &delivery).unwrap());
    assert_eq!(noted, [true, true, false], "R-RELAY-14: the oldest goes first");
    let held = storage.mailbox(&mailbox).unwrap().map(|held| (held.last_sequence, held.removed));
    assert_eq!(held, Some((6, false)));
    assert!(storage.columns().unwrap().iter().all(|column| !column.starts_with("relay_record")));
    let entry = LogEntry { leaf: [7; 90], content: None, nodes: Vec::new() };
    transaction(&mut storage, |storage| storage.log_append(0, &entry));
    assert_eq!(
        storage.log_entry(0),
        Ok(Some(entry)),
        "R-RELAY-44: a database without a log gets an empty one"
    );
    assert!(storage.delivery_key().unwrap().is_none(), "R-RELAY-59: the desk gives it when it connects");
    let device = DeviceId::new([1; 16]);
    transaction(&mut storage, |storage| storage.put_end_confirmation(&device, b"heard"));
    transaction(&mut storage, |storage| storage.keep_credential(&device, b"credential", LATE));
    drop(storage);
    let storage = open(directory.path());
    assert!(storage.has_delivery(&mailbox, &new).unwrap(), "and opens again");
    assert_eq!(storage.end_confirmation(&device), Ok(Some(b"heard".to_vec())), "R-RELAY-62");
    assert_eq!(storage.kept_credential(&device), Ok(Some(b"credential".to_vec())), "R-RELAY-78");
}

#[test]
fn what_is_counted_is_the_same_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    assert_eq!(conformance::check(&mut storage), Ok(()));
    let totals = storage.totals().unwrap();
    assert!(totals.mailboxes > 2 && totals.blobs > 1 && totals.directory_entries > 1);
    drop(storage);
    assert_eq!(open(directory.path()).totals(), Ok(totals));
}

#[test]
fn many_blobs_that_end_in_one_transaction_are_all_durable() {
    // R-RELAY-33: they are synced together, before the commit.
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    let blobs: Vec<BlobId> = (0..20).map(|n| BlobId::new([n; 16])).collect();
    transaction(&mut storage, |storage| {
        blobs.iter().try_for_each(|blob| {
            storage.append_blob(blob, blob.as_bytes(), LATE)?;
            storage.complete_blob(blob, LATE)
        })
    });
    drop(storage);
    let storage = open(directory.path());
    for blob in &blobs {
        assert_eq!(storage.blob(blob), Ok(Some(BlobState { length: 16, complete: true })));
        assert_eq!(storage.read_blob(blob, 0, 99).unwrap(), blob.as_bytes());
    }
}

#[test]
fn a_file_that_cannot_be_synced_fails_the_commit_and_leaves_no_blob() {
    let directory = tempfile::tempdir().unwrap();
    let (mut storage, blob) = (open(directory.path()), BlobId::new([1; 16]));
    storage.begin().unwrap();
    storage.append_blob(&blob, b"x", LATE).unwrap();
    storage.complete_blob(&blob, LATE).unwrap();
    fs::remove_dir_all(directory.path().join("blobs")).unwrap();
    assert_eq!(storage.commit(), Err(StorageError::Io), "R-RELAY-33");
    storage.rollback();
    assert_eq!((storage.blob(&blob), storage.totals().unwrap().blobs), (Ok(None), 0));
    storage.begin().unwrap();
    assert_eq!(storage.commit(), Ok(()), "the next transaction is not concerned");
}

/// Sends one frame and returns the bodies of what goes back.
fn ask(relay: &mut Relay, storage: &mut SqliteStorage, acme: &mut Acme, bytes: &[u8]) -> Vec<Body> {
    let input = Input::Frame { connection: ConnectionId(1), bytes };
    let effects = relay.handle_all(storage, &[input], Timestamp::from_millis(1_000), &mut *acme.rng);
    let bodies = effects.iter().filter_map(|effect| match effect {
        Effect::Send { frame, .. } => read(frame).body,
        Effect::Close { .. } => None,
    });
    bodies.collect()
}

#[test]
fn a_full_disk_refuses_deliveries_and_the_relay_lives_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut acme = Acme::new(1);
    let organisation = Organisation::verify(Unverified::new(acme.document.clone()), None).unwrap();
    let mut storage = SqliteStorage::open(directory.path(), &acme.org_id).unwrap();
    let log_key = SigningKey::generate(&mut *acme.rng);
    let setup = Setup { organisation, pin: [0; 32], log_key, limits: Limits::default() };
    let mut relay = Relay::start(setup, &mut storage, Timestamp::from_millis(1_000), &mut *acme.rng).unwrap();
    let alice = acme.device([1; 16]);
    let mailbox = MailboxId::new(alice.id);
    transaction(&mut storage, |storage| {
        storage.put_delivery_key(&key())?;
        storage.create_mailbox(&mailbox, 0, None)
    });
    let opened = Input::Opened { connection: ConnectionId(1) };
    relay.handle_all(&mut storage, &[opened], Timestamp::from_millis(1_000), &mut *acme.rng);
    let hello = frame(1, acme.hello());
    assert!(matches!(ask(&mut relay, &mut storage, &mut acme, &hello)[..], [Body::Welcome(_)]));

    storage.limit_pages(80);
    let mut stored = 0_u8;
    let refused = loop {
        let bytes = frame(2, deliver(&alice, stored, &[7; 60_000]));
        match ask(&mut relay, &mut storage, &mut acme, &bytes).remove(0) {
            Body::Done(_) => stored += 1,
            other => break other,
        }
    };
    let Body::Refused(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(RefusalCode::from_code(refused.code), Some(RefusalCode::StorageFull), "R-RELAY-11");
    assert!(stored > 0 && refused.retry_after_ms > 0);
    assert_eq!(storage.mailbox(&mailbox).unwrap().unwrap().envelopes, u64::from(stored));

    storage.limit_pages(600);
    let bytes = frame(3, deliver(&alice, stored, &[7; 60_000]));
    let answers = ask(&mut relay, &mut storage, &mut acme, &bytes);
    assert!(matches!(answers[..], [Body::Done(_)]), "{answers:?}");
}

#[test]
fn deleted_envelopes_are_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let (mailbox, marker) = (MailboxId::new([1; 16]), b"a marker that is nowhere else");
    let mut storage = open(directory.path());
    let sequence = transaction(&mut storage, |storage| {
        storage.create_mailbox(&mailbox, 0, None)?;
        storage.append(&mailbox, marker, LATE)
    });
    transaction(&mut storage, |storage| storage.remove_envelope(&mailbox, sequence));
    drop(storage);
    let bytes = fs::read(directory.path().join("relay.db")).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker), "R-RELAY-21");
    assert!(!directory.path().join("relay.db-wal").exists());
}

#[test]
fn what_the_log_is_asked_for_is_found_by_an_index_however_long_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    transaction(&mut storage, |storage| {
        (0..3_000_u32).try_for_each(|n| {
            let mut leaf = [0; 90];
            (leaf[0], leaf[1]) = (1, 4);
            leaf[10..14].copy_from_slice(&n.to_be_bytes());
            leaf[26..30].copy_from_slice(&(n / 2).to_be_bytes());
            leaf[58..62].copy_from_slice(&n.to_be_bytes());
            storage.log_append(n.into(), &LogEntry { leaf, content: None, nodes: Vec::new() })
        })
    });
    for plan in storage.log_plans() {
        assert!(plan.contains("INDEX log_") || plan.contains("INTEGER PRIMARY KEY"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
    let mut subject = [0; 16];
    subject[..4].copy_from_slice(&2_999_u32.to_be_bytes());
    assert_eq!(storage.log_about(LeafKind::Credential, &subject), Ok(Some(2_999)));
    assert_eq!(storage.log_page(2_000, usize::MAX).unwrap().len(), 1_000);
}
