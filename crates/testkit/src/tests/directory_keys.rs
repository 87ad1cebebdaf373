//! The directory key changes when somebody leaves; who stays follows, in whatever order and however late it comes.

use chancery_crypto::rng::{random_bytes, seeded};
use chancery_crypto::signature::SigningKey;
use chancery_engine::directory_cursor;
use chancery_identity::{DeviceKeys, DirectoryKeyUpdate, MemberId, key_epoch, sign};
use chancery_org::DirectoryKeys;
use chancery_relay::Storage as _;
use chancery_wire::proto::{DeskMember, DirectoryKeyUpdateBody, SealedDirectoryEntry, Signed};

use super::*;
use crate::person::{Disk, commit};

const KEYS: Table = Table(0x0113);

/// The relay's whole directory, oldest change first.
fn directory(world: &World) -> Vec<SealedDirectoryEntry> {
    let (mut entries, mut after) = (Vec::new(), 0);
    while let Some(row) = world.exchange.storage.next_directory_entry(after, None).unwrap() {
        after = row.sequence;
        let entry_id = row.entry_id.as_bytes().to_vec();
        entries.push(SealedDirectoryEntry {
            entry_id,
            version: row.version,
            sealed: row.sealed,
            removed: vec![],
            reader: vec![],
        });
    }
    entries
}

/// Serves a device these changes in pages of a size until it has asked for all; returns what it said of them.
fn serve(world: &mut World, to: PersonId, entries: &[SealedDirectoryEntry], size: usize) -> Vec<Effect> {
    world.sync_log(to);
    let base = directory_cursor(&world.disk(to)).unwrap();
    let mut effects = Vec::new();
    for _ in 0..100 {
        let after = directory_cursor(&world.disk(to)).unwrap() - base;
        let changes: Vec<_> = (after + 1..)
            .zip(&entries[usize::try_from(after).unwrap()..])
            .map(|(number, entry)| DirectoryChange { sequence: base + number, entry: Some(entry.clone()) })
            .take(size)
            .collect();
        if changes.is_empty() {
            return effects;
        }
        let page = DirectoryPage { changes, more: true };
        effects.extend(world.handle(to, Input::Directory(&page)));
    }
    panic!("it asks for ever");
}

fn knows(world: &World, who: PersonId, handle: &str) -> bool {
    resolve(&world.disk(who), handle).unwrap().is_some()
}

fn epoch(world: &World, of: PersonId) -> u64 {
    world.directory_keys(of).key().epoch()
}

/// Alice saw nothing of it: bob and carol left, and dave and erin came, each after one of them.
fn while_alice_was_away(seed: u64) -> (World, [PersonId; 3], Vec<SealedDirectoryEntry>) {
    let (mut world, [alice, bob, carol]) = three(seed);
    world.offboard(bob);
    world.enrol("dave");
    world.offboard(carol);
    world.enrol("erin");
    let entries = directory(&world);
    let epochs: Vec<_> = entries.iter().map(|entry| key_epoch(entry).unwrap()).collect();
    // Alice's own; then each change, who left, and who came.
    assert_eq!(epochs, [1, 0, 2, 2, 0, 3, 3]);
    (world, [alice, bob, carol], entries)
}

#[test]
fn a_device_that_was_away_follows_all_changes_at_once_r_engine_50() {
    let (mut world, [alice, ..], entries) = while_alice_was_away(40);
    assert_eq!((epoch(&world, alice), knows(&world, alice, "erin")), (1, false));
    world.sync(alice);
    assert_eq!(epoch(&world, alice), 3);
    assert!(knows(&world, alice, "dave") && knows(&world, alice, "erin"));
    // What it has followed changes nothing when it comes again.
    let disk = |world: &World| {
        let mut disk: Disk = world.disk(alice);
        disk.retain(|key, _| key.table != Table(0x0112));
        disk
    };
    let before = disk(&world);
    assert_eq!(serve(&mut world, alice, &entries, 3), []);
    assert!(disk(&world) == before);
}

#[test]
fn who_left_cannot_read_entries_of_those_who_join_later_r_org_35() {
    let (mut world, [alice, bob, carol], entries) = while_alice_was_away(41);
    // Bob's and carol's devices still log in and read what the relay has.
    for id in [alice, bob, carol] {
        world.sync(id);
    }
    assert_eq!([alice, bob, carol].map(|id| epoch(&world, id)), [3, 1, 2]);
    assert_eq!([alice, bob, carol].map(|id| knows(&world, id, "dave")), [true, false, true]);
    assert_eq!([alice, bob, carol].map(|id| knows(&world, id, "erin")), [true, false, false]);
    // The control: with what they have they open what was sealed in their time.
    let opens = |id: PersonId| {
        let keys = world.directory_keys(id);
        entries.iter().map(|entry| keys.key().open(entry).is_ok()).collect::<Vec<_>>()
    };
    assert_eq!(opens(alice), [true, false, true, true, false, true, true]);
    assert_eq!(opens(carol), [true, false, true, true, false, false, false]);
    assert_eq!(opens(bob), [true, false, false, false, false, false, false]);
    let erin = PersonId(4);
    assert_eq!(opens(erin), opens(alice), "who joins reads what was sealed before");
    assert!(knows(&world, erin, "alice"));
}

/// The genuine update with its statement signed anew, by whoever has this key and calls themselves this issuer.
fn signed_by(
    world: &World,
    genuine: &SealedDirectoryEntry,
    (key, issuer_id): (&SigningKey, Option<&[u8]>),
) -> SealedDirectoryEntry {
    let length = u32::from_be_bytes(*genuine.sealed[8..].first_chunk().unwrap());
    let signed = &genuine.sealed[12..12 + usize::try_from(length).unwrap()];
    let signed: Signed = decode(signed, Limit::ENVELOPE).unwrap().into_unchecked();
    let mut body: DirectoryKeyUpdateBody = decode(&signed.body, Limit::STATEMENT).unwrap().into_unchecked();
    if let Some(id) = issuer_id {
        body.issuer_id = id.to_vec();
    }
    let signed = sign::sign_directory_key_update(key, &body, &mut seeded([4; 32]));
    DirectoryKeyUpdate::publish(&world.organisation.id(), body.epoch, &signed)
}

#[test]
fn a_forged_update_changes_nothing_and_the_genuine_one_is_followed_afterwards_r_engine_50() {
    let (mut world, [alice, _, carol], entries) = while_alice_was_away(42);
    let record = world.disk(carol)[&RecordKey::new(Table(0x0100), [])].clone();
    let record = decode::<DeviceRecord>(&record, Limit::RECORD).unwrap().into_unchecked();
    let member = DeviceKeys::from_secret_bytes(&record.keys).unwrap().signing;
    let foreign = SigningKey::generate(&mut seeded([5; 32]));
    let mut cut = entries[1].clone();
    cut.sealed.truncate(4_000);
    let mut renamed = entries[1].clone();
    renamed.entry_id[0] ^= 1;
    let forged = [
        signed_by(&world, &entries[1], (&member, None)),
        signed_by(&world, &entries[1], (&foreign, None)),
        signed_by(&world, &entries[1], (&foreign, Some(&[7; 32]))),
        cut,
        renamed,
    ];
    for (case, forged) in forged.iter().enumerate() {
        let before = world.disk(alice)[&RecordKey::new(KEYS, [])].clone();
        let said = serve(&mut world, alice, core::slice::from_ref(forged), 9);
        assert_eq!(said, [Effect::Notify(Notice::DirectoryEntryRejected)], "case {case}");
        assert!(world.disk(alice)[&RecordKey::new(KEYS, [])] == before, "case {case}");
    }
    assert_eq!(serve(&mut world, alice, &entries, 9), []);
    assert_eq!((epoch(&world, alice), knows(&world, alice, "erin")), (3, true));
}

#[test]
fn what_comes_before_its_key_is_read_again_when_the_key_comes_r_engine_51() {
    // Nothing else than the first change is at its place.
    for (case, order) in
        [[0, 5, 6, 2, 1, 3, 4], [0, 2, 3, 4, 5, 6, 1], [0, 4, 1, 6, 5, 3, 2], [0, 6, 1, 4, 5, 2, 3]]
            .into_iter()
            .enumerate()
    {
        for size in [1, 2, 7] {
            let (mut world, [alice, ..], entries) = while_alice_was_away(43);
            let entries: Vec<_> = order.iter().map(|at| entries[*at].clone()).collect();
            assert_eq!(serve(&mut world, alice, &entries, size), [], "case {case}, {size}");
            assert_eq!(epoch(&world, alice), 3, "case {case}, {size}");
            assert!(knows(&world, alice, "dave") && knows(&world, alice, "erin"), "case {case}, {size}");
        }
    }
}

#[test]
fn a_withheld_update_leaves_what_needs_it_unread_and_the_rest_readable_r_engine_51() {
    let (mut world, [alice, bob, _], entries) = while_alice_was_away(44);
    let withheld: Vec<_> = [0, 1, 2, 3, 5, 6].into_iter().map(|at| entries[at].clone()).collect();
    assert_eq!(serve(&mut world, alice, &withheld, 2), []);
    assert_eq!((epoch(&world, alice), knows(&world, alice, "dave")), (2, true));
    assert!(!knows(&world, alice, "erin"));
    // Once it comes, a device asks for what it could not read, and not for all.
    let cursor = directory_cursor(&world.disk(alice)).unwrap();
    let change = DirectoryChange { sequence: cursor + 1, entry: Some(entries[4].clone()) };
    let page = DirectoryPage { changes: vec![change], more: false };
    assert_eq!(world.handle(alice, Input::Directory(&page)), []);
    let again = directory_cursor(&world.disk(alice)).unwrap();
    assert_eq!((cursor - again, epoch(&world, alice)), (2, 3), "the two at the end");
    assert_eq!(serve(&mut world, alice, &entries[5..], 2), []);
    assert!(knows(&world, alice, "erin"));
    // Nonsense about epochs that can never be holds nothing up.
    let mut odd = entries[6].clone();
    odd.sealed[..8].copy_from_slice(&u64::MAX.to_be_bytes());
    let said = serve(&mut world, alice, &[odd.clone()], 1);
    assert_eq!(said, [Effect::Notify(Notice::DirectoryEntryRejected)]);
    odd.sealed[..8].copy_from_slice(&65_536_u64.to_be_bytes());
    assert_eq!(serve(&mut world, alice, &[odd], 1), []);
    world.offboard(bob);
    assert_eq!(epoch(&world, alice), 3, "bob had left already");
    let keys: DirectoryKeys = world.directory_keys(alice);
    assert_eq!(keys.path().expose().len(), 704);
}

#[test]
#[ignore = "takes ten seconds; prints figures"]
fn a_removal_among_a_hundred_thousand_devices() {
    let mut world = World::new(45);
    let member_id = |number: u32| MemberId::new([number.to_be_bytes(); 4].concat().try_into().unwrap());
    let rng = &mut seeded([6; 32]);
    for number in 0..100_000_u32 {
        let (id, slot) = (*member_id(number).as_bytes(), number << 4);
        for level in 0..22_u8 {
            let name = [&[level][..], &(slot >> level).to_be_bytes()].concat();
            let key = random_bytes::<32>(rng).to_vec();
            world.desk_disk.entry(RecordKey::new(Table(0x020a), name)).or_insert(key);
        }
        world.desk_disk.insert(RecordKey::new(Table(0x020b), id), slot.to_be_bytes().to_vec());
        let member = DeskMember {
            handle: format!("m{number}"),
            name: "Some Body".into(),
            device_ids: vec![id.to_vec()],
            ..DeskMember::default()
        };
        world.desk_disk.insert(RecordKey::new(Table(0x0203), id), encode(&member));
    }
    world.desk_disk.insert(RecordKey::new(Table(0x020c), []), vec![0xFF; 12_500]);
    for number in [0, 65_535, 99_999] {
        let begun = std::time::Instant::now();
        let who = (&member_id(number), None);
        let removed = world.desk.remove_devices(&world.desk_disk, who, world.now, rng).unwrap();
        let took = begun.elapsed();
        let update = world.organisation.open_directory_key_update(&removed.entries[0]).unwrap();
        let length = u32::from_be_bytes(*removed.entries[0].sealed[8..].first_chunk().unwrap());
        let signed = &removed.entries[0].sealed[12..12 + usize::try_from(length).unwrap()];
        let signed: Signed = decode(signed, Limit::ENVELOPE).unwrap().into_unchecked();
        println!(
            "member {number}: {took:?}, {} nodes, body {} bytes, statement {length}, published {}, {} records",
            update.nodes().len(),
            signed.body.len(),
            removed.entries[0].sealed.len(),
            removed.batch.0.len(),
        );
        assert!(update.nodes().len() == 17 && signed.body.len() < 2_048);
        commit(&mut world.desk_disk, removed.batch);
    }
}
