//! Sets and slots in the database: what a fan-out writes, what a restart finds, and what an older database lacks.

use std::path::Path;
use std::time::Duration;

use chancery_crypto::hash::sha256;
use chancery_crypto::signature::SigningKey;
use chancery_identity::delivery::Use;
use chancery_identity::{DeviceId, Organisation};
use chancery_relay::limits::REFERENCE_BYTES;
use chancery_relay::{
    ConnectionId, Effect, Input, Limits, MailboxId, Relay, Room, SetId, SetRow, SetStorage as _, Setup,
    SlotId, Storage as _,
};
use chancery_wire::{Timestamp, Unverified, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::fixture::{self, Acme, frame, read, token, token_for};
use super::storage::{LATE, ORG, open, transaction};
use crate::sqlite::SqliteStorage;

const ROOM: Room = Room { envelopes: 100, bytes: 1 << 20 };

fn mailbox(n: u32) -> MailboxId {
    let mut name = [0xAB; 16];
    // Spread as random names are.
    name[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
    MailboxId::new(name)
}

#[test]
fn an_envelope_for_ten_thousand_is_stored_once_in_two_rows_for_each_and_a_few_more_r_relay_71() {
    let directory = tempfile::tempdir().unwrap();
    let mut storage = open(directory.path());
    let mut all: Vec<MailboxId> = (0..10_000).map(mailbox).collect();
    all.sort_unstable();
    transaction(&mut storage, |storage| {
        all.iter().try_for_each(|mailbox| storage.create_mailbox(mailbox, 0, None))
    });
    let mut written = Vec::new();
    for count in [100, 10_000] {
        let before = storage.rows_written();
        let given =
            transaction(&mut storage, |storage| storage.multiply(&all[..count], &[0x17; 4_096], LATE, ROOM));
        assert_eq!(given.len(), count);
        written.push(storage.rows_written() - before);
    }
    // A reference, and the count of its mailbox; the envelope, and the count of its readers.
    assert_eq!(written, [2 * 100 + 2, 2 * 10_000 + 2]);
    let expected = 2 * 4_096 + 10_100 * REFERENCE_BYTES;
    assert_eq!(storage.totals().unwrap().envelope_bytes, expected);
    drop(storage);
    let size = std::fs::metadata(directory.path().join("relay.db")).unwrap().len();
    assert!(size < 4 << 20, "no second copy: {size}");
    let mut storage = open(directory.path());
    assert_eq!(storage.totals().unwrap().envelope_bytes, expected, "counted alike after a restart");
    transaction(&mut storage, |storage| {
        all.iter().try_for_each(|mailbox| {
            storage.remove_envelope(mailbox, 1)?;
            storage.remove_envelope(mailbox, 2)
        })
    });
    assert_eq!(storage.totals().unwrap().envelope_bytes, 0);
    assert!(crate::held::envelopes(&storage).unwrap().is_empty());
}

#[test]
fn a_multiplied_envelope_is_overwritten_with_its_last_reference_r_relay_21() {
    let directory = tempfile::tempdir().unwrap();
    let marker = b"a marker that is nowhere else";
    let mut storage = open(directory.path());
    transaction(&mut storage, |storage| {
        storage.create_mailbox(&mailbox(1), 0, None)?;
        storage.create_mailbox(&mailbox(2), 0, None)?;
        storage.multiply(&[mailbox(1), mailbox(2)], marker, LATE, ROOM)
    });
    assert_eq!(crate::held::envelopes(&storage).unwrap(), vec![marker.to_vec(); 2]);
    transaction(&mut storage, |storage| storage.remove_envelope(&mailbox(1), 1));
    assert_eq!(storage.next_envelope(&mailbox(2), 0), Ok(Some((1, marker.to_vec()))));
    transaction(&mut storage, |storage| storage.remove_device(&DeviceId::new(*mailbox(2).as_bytes())));
    drop(storage);
    let bytes = std::fs::read(directory.path().join("relay.db")).unwrap();
    assert!(!bytes.windows(marker.len()).any(|window| window == marker));
}

#[test]
fn places_are_emptied_in_every_set_and_the_sets_outlive_the_process_r_relay_75() {
    let directory = tempfile::tempdir().unwrap();
    let row = |places: &[MailboxId]| SetRow { key: [1; 32], mailboxes: places.to_vec(), expires: LATE };
    let large: Vec<MailboxId> = (0..10_000).map(mailbox).collect();
    transaction(&mut open(directory.path()), |storage| {
        storage.put_set(&SetId::new([1; 16]), &row(&large))?;
        storage.put_set(&SetId::new([2; 16]), &row(&[mailbox(7), SetRow::EMPTY]))?;
        storage.put_set(&SetId::new([3; 16]), &row(&[mailbox(8)]))
    });
    let mut storage = open(directory.path());
    assert_eq!(storage.totals().unwrap().set_places, 10_003);
    let ended = [7, 9_999].map(|n| DeviceId::new(*mailbox(n).as_bytes()));
    transaction(&mut storage, |storage| storage.empty_places(&ended));
    drop(storage);
    let storage = open(directory.path());
    let mut expected = large;
    (expected[7], expected[9_999]) = (SetRow::EMPTY, SetRow::EMPTY);
    assert_eq!(storage.set(&SetId::new([1; 16])), Ok(Some(row(&expected))));
    assert_eq!(storage.set(&SetId::new([2; 16])), Ok(Some(row(&[SetRow::EMPTY; 2]))));
    assert_eq!(storage.set(&SetId::new([3; 16])), Ok(Some(row(&[mailbox(8)]))));
}

#[test]
fn a_database_of_the_sixth_format_is_taken_over_with_what_is_in_it() {
    let directory = tempfile::tempdir().unwrap();
    transaction(&mut open(directory.path()), |storage| {
        storage.create_mailbox(&mailbox(1), 0, None)?;
        storage.append(&mailbox(1), b"from before", LATE)
    });
    let database = rusqlite::Connection::open(directory.path().join("relay.db")).unwrap();
    let sixth = "ALTER TABLE envelopes DROP COLUMN shared; DROP TABLE shared; DROP TABLE shared_envelopes;
        DROP TABLE sets; DROP TABLE slots; DROP TABLE held; DROP TABLE ended_credentials;";
    database.execute_batch(sixth).unwrap();
    database.pragma_update(None, "user_version", 6).unwrap();
    drop(database);
    let mut storage = open(directory.path());
    assert_eq!(storage.totals().unwrap().envelope_bytes, 11);
    let given = transaction(&mut storage, |storage| storage.multiply(&[mailbox(1)], b"new", LATE, ROOM));
    assert_eq!(given, [mailbox(1)]);
    drop(storage);
    let held = crate::held_envelopes(directory.path(), &ORG).unwrap();
    assert_eq!(held, [b"from before".to_vec(), b"new".to_vec()]);
}

#[test]
fn a_database_of_the_seventh_format_keeps_credentials_of_devices_that_end_from_then_on_r_relay_78() {
    let directory = tempfile::tempdir().unwrap();
    let device = DeviceId::new(*mailbox(1).as_bytes());
    transaction(&mut open(directory.path()), |storage| storage.create_mailbox(&mailbox(1), 6, None));
    let database = rusqlite::Connection::open(directory.path().join("relay.db")).unwrap();
    database.execute_batch("DROP TABLE ended_credentials;").unwrap();
    database.pragma_update(None, "user_version", 7).unwrap();
    drop(database);
    let mut storage = open(directory.path());
    assert_eq!(storage.kept_credential(&device), Ok(None));
    transaction(&mut storage, |storage| storage.keep_credential(&device, b"credential", LATE));
    drop(storage);
    let mut storage = open(directory.path());
    assert_eq!(storage.kept_credential(&device), Ok(Some(b"credential".to_vec())));
    assert_eq!(storage.mailbox(&mailbox(1)).unwrap().map(|held| held.last_sequence), Some(6));
    transaction(&mut storage, |storage| storage.expire(LATE, 9));
    assert_eq!(storage.kept_credential(&device), Ok(None), "R-RELAY-19");
}

/// A relay on a directory, with a connection that has said hello.
struct Desk {
    acme: Acme,
    relay: Relay,
    storage: SqliteStorage,
    log_key: SigningKey,
    now: Timestamp,
}

impl Desk {
    fn new(directory: &Path, mut acme: Acme, log_key: SigningKey, now: Timestamp) -> Self {
        let organisation = Organisation::verify(Unverified::new(acme.document.clone()), None).unwrap();
        let mut storage = SqliteStorage::open(directory, &acme.org_id).unwrap();
        let copy = |key: &SigningKey| {
            SigningKey::from_seed(chancery_crypto::secret::Secret::from_slice(key.seed().expose()).unwrap())
        };
        let setup = Setup { organisation, pin: [0; 32], log_key: copy(&log_key), limits: Limits::default() };
        let relay = Relay::start(setup, &mut storage, now, &mut *acme.rng).unwrap();
        let mut desk = Self { acme, relay, storage, log_key, now };
        desk.handle(Input::Opened { connection: ConnectionId(1) });
        let hello = desk.acme.hello();
        assert!(matches!(desk.ask(hello), Body::Welcome(_)));
        desk
    }

    fn handle(&mut self, input: Input<'_>) -> Vec<Effect> {
        self.relay.handle_all(&mut self.storage, &[input], self.now, &mut *self.acme.rng)
    }

    fn ask(&mut self, request: Request) -> Body {
        let bytes = frame(1, request);
        let effects = self.handle(Input::Frame { connection: ConnectionId(1), bytes: &bytes });
        let [Effect::Send { frame, .. }] = effects.as_slice() else { panic!("{effects:?}") };
        read(frame).body.unwrap()
    }

    fn restart(self, directory: &Path) -> Self {
        let Self { acme, relay, storage, log_key, now } = self;
        drop((relay, storage));
        Self::new(directory, acme, log_key, now)
    }
}

#[test]
fn sets_slots_and_held_deliveries_outlive_the_process_r_relay_10() {
    let directory = tempfile::tempdir().unwrap();
    let mut acme = Acme::new(1);
    let log_key = SigningKey::generate(&mut *acme.rng);
    let mut desk = Desk::new(directory.path(), acme, log_key, Timestamp::from_millis(1_000));
    transaction(&mut desk.storage, |storage| {
        storage.put_delivery_key(&fixture::key())?;
        (1..=2).try_for_each(|n| storage.create_mailbox(&mailbox(n), 0, None))
    });
    let done = Body::Done(proto::Done::default());
    let name = |n: u32| mailbox(n).as_bytes().to_vec();
    let (key, mailboxes) = (vec![3; 16], [name(1), name(2)].concat());
    let set = proto::CreateSet { name: vec![1; 16], key, token: token_for(Use::Set, &[1; 16]), mailboxes };
    assert_eq!(desk.ask(Request::CreateSet(set.clone())), done);
    let commit = [b"\x18".as_slice(), &[1; 16], &[5; 16], b"commit"].concat();
    let mut hold = |delivery: u8, hash: [u8; 32]| {
        let delivery_id = vec![delivery; 16];
        let deliver = proto::Deliver {
            mailbox: name(2),
            delivery_id,
            token: token(mailbox(2).as_bytes()),
            envelope: vec![delivery; 9],
        };
        let hold = proto::Hold { deliver: Some(deliver), slot: vec![5; 16], hash: hash.to_vec() };
        assert_eq!(desk.ask(Request::Hold(hold)), done);
    };
    hold(1, sha256(&[&commit]));
    hold(2, [9; 32]);
    let mut desk = desk.restart(directory.path());
    assert_eq!(desk.storage.totals().unwrap().held, 2);
    let next = proto::NextSet {
        name: vec![2; 16],
        key: vec![3; 16],
        token: token_for(Use::Set, &[2; 16]),
        emptied: vec![0],
        filled: Vec::new(),
    };
    let put = proto::PutSlot {
        slot: vec![5; 16],
        set: vec![1; 16],
        key: vec![3; 16],
        envelope: commit.clone(),
        next: Some(next),
        token: token_for(Use::Slot, &[5; 16]),
    };
    assert_eq!(desk.ask(Request::PutSlot(put.clone())), done, "R-RELAY-72");
    let mut desk = desk.restart(directory.path());
    let content = proto::SlotContent { envelope: commit.clone(), gone: Vec::new() };
    assert_eq!(desk.ask(Request::PutSlot(put)), Body::SlotContent(content));
    let next = |storage: &SqliteStorage, n, after| storage.next_envelope(&mailbox(n), after).unwrap();
    let (first, envelope) = next(&desk.storage, 2, 0).unwrap();
    assert_eq!(envelope, commit);
    let (second, envelope) = next(&desk.storage, 2, first).unwrap();
    assert_eq!((envelope, next(&desk.storage, 2, second)), (vec![1; 9], None), "R-RELAY-74");
    assert_eq!(next(&desk.storage, 1, 0).unwrap().1, commit, "who is removed is told");
    let sets = [1, 2].map(|n| desk.storage.set(&SetId::new([n; 16])).unwrap().map(|row| row.mailboxes));
    let follows = Some(vec![SetRow::EMPTY, mailbox(2)]);
    assert_eq!(sets, [Some(vec![mailbox(1), mailbox(2)]), follows], "the old one stays for an hour");
    let totals = desk.storage.totals().unwrap();
    assert_eq!((totals.held, totals.sets, totals.slots), (0, 2, 1));

    desk.now = desk.now.after(Duration::from_secs(91 * 24 * 3_600));
    (0..3).for_each(|_| drop(desk.handle(Input::Tick)));
    let slot = desk.storage.slot(&SlotId::new([5; 16])).unwrap().unwrap();
    assert_eq!((slot.hash, slot.envelope), (sha256(&[&commit]), None), "R-RELAY-73");
    let totals = desk.storage.totals().unwrap();
    assert_eq!((totals.sets, totals.slot_bytes, totals.envelope_bytes), (0, 0, 0), "R-RELAY-75, R-RELAY-19");
    drop(desk);
    assert_eq!(open_as(directory.path()).totals(), Ok(totals));
}

fn open_as(directory: &Path) -> SqliteStorage {
    SqliteStorage::open(directory, &Acme::new(1).org_id).unwrap()
}
