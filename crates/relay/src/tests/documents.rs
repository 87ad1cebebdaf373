//! The organisation's documents and its directory, as members fetch and desks publish them.

use alloc::vec;
use alloc::vec::Vec;

use chancery_identity::sign;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{World, done, refusal};
use crate::{ConnectionId, Limits};

fn entry(id: u8, version: u64, sealed: &[u8]) -> Request {
    let (entry_id, sealed) = (vec![id; 16], sealed.to_vec());
    Request::PublishDirectory(proto::SealedDirectoryEntry { entry_id, version, sealed })
}

/// Reads a page of the directory: entry and version, the sequence to go on from, and whether there is more.
fn page(world: &mut World, connection: ConnectionId, after: u64) -> (Vec<(u8, u64)>, u64, bool) {
    match world.ask(connection, Request::SyncDirectory(proto::SyncDirectory { after })) {
        Body::DirectoryPage(page) => {
            let last = page.changes.last().map_or(after, |change| change.sequence);
            let entries = page.changes.into_iter().map(|change| change.entry.unwrap());
            (entries.map(|entry| (entry.entry_id[0], entry.version)).collect(), last, page.more)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_desk_publishes_and_members_get_what_changed() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    assert_eq!(world.ask(desks, entry(1, 1, b"one")), done(), "R-RELAY-34");
    assert_eq!(world.ask(desks, entry(2, 1, b"two")), done());
    let (entries, after, more) = page(&mut world, alices, 0);
    assert_eq!((entries, more), (vec![(1, 1), (2, 1)], false), "R-RELAY-35");
    assert_eq!(world.ask(desks, entry(1, 2, b"one again")), done());
    let (entries, after, _) = page(&mut world, alices, after);
    assert_eq!(entries, [(1, 2)], "R-RELAY-35");
    assert_eq!(page(&mut world, alices, after).0, []);
    assert_eq!(page(&mut world, alices, u64::MAX).0, []);
}

#[test]
fn a_version_is_published_once_and_never_falls() {
    let mut world = World::with(Limits { directory_entries: 1, ..Limits::default() });
    let desk = world.desk();
    let desks = world.login(&desk);
    let conflict = refusal(RefusalCode::Conflict);
    assert_eq!(world.ask(desks, entry(1, 2, b"two")), done());
    assert_eq!(world.ask(desks, entry(1, 2, b"two")), done(), "R-RELAY-34: the answer was lost");
    assert_eq!(world.ask(desks, entry(1, 2, b"other")), conflict, "R-RELAY-34");
    assert_eq!(world.ask(desks, entry(1, 1, b"one")), conflict, "R-RELAY-34");
    assert_eq!(world.ask(desks, entry(2, 1, b"x")), refusal(RefusalCode::QuotaExceeded), "R-RELAY-20");
    assert_eq!(world.ask(desks, entry(1, 3, b"")), refusal(RefusalCode::BadRequest));
    assert_eq!(world.ask(desks, entry(1, u64::MAX, b"x")), refusal(RefusalCode::BadRequest));
    assert_eq!(world.ask(desks, entry(1, 3, &[0; 32 * 1024 + 1])), refusal(RefusalCode::TooLarge));
}

#[test]
fn members_and_strangers_publish_nothing() {
    let mut world = World::new();
    let alice = world.member(1);
    let alices = world.login(&alice);
    let no = refusal(RefusalCode::NotAuthorised);
    assert_eq!(world.ask(alices, entry(1, 1, b"x")), no, "R-RELAY-34");
    let record = proto::PublishRelayRecord { record: Some(relay_record(&mut world, 1)) };
    assert_eq!(world.ask(alices, Request::PublishRelayRecord(record)), no, "R-RELAY-37");
}

#[test]
fn a_large_directory_comes_in_pages() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    for id in 0..20 {
        assert_eq!(world.ask(desks, entry(id, 1, &[id; 32 * 1024])), done());
    }
    let (mut all, mut after, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (entries, last, more) = page(&mut world, alices, after);
        all.extend(entries.into_iter().map(|(id, _)| id));
        after = last;
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!((all, pages), ((0..20).collect::<Vec<u8>>(), 3), "R-RELAY-35");
}

fn relay_record(world: &mut World, sequence: u64) -> proto::Signed {
    let body = proto::RelayRecordBody {
        org_id: world.org_id().as_bytes().to_vec(),
        issuer_id: world.issuer_id(),
        url: "wss://relay.example:443".into(),
        pin: vec![4; 32],
        sequence,
    };
    sign::sign_relay_record(&world.issuer, &body, &mut *world.rng)
}

#[test]
fn the_newest_relay_record_is_in_the_document() {
    let mut world = World::new();
    let desk = world.desk();
    let (desks, asking) = (world.login(&desk), world.anonymous());
    let document =
        |world: &mut World| match world.ask(asking, Request::GetOrganisation(proto::GetOrganisation {})) {
            Body::Organisation(document) => document,
            other => panic!("{other:?}"),
        };
    assert_eq!(document(&mut world), world.document, "R-RELAY-36");
    let publish = |record: &proto::Signed| {
        Request::PublishRelayRecord(proto::PublishRelayRecord { record: Some(record.clone()) })
    };
    let (first, second) = (relay_record(&mut world, 1), relay_record(&mut world, 2));
    assert_eq!(world.ask(desks, publish(&second)), done(), "R-RELAY-37");
    assert_eq!(world.ask(desks, publish(&second)), done());
    assert_eq!(world.ask(desks, publish(&first)), refusal(RefusalCode::Conflict), "R-RELAY-37");
    assert_eq!(document(&mut world).relay, Some(second.clone()), "R-RELAY-36");
    let mut forged = relay_record(&mut world, 3);
    forged.body[40] ^= 1;
    assert_eq!(world.ask(desks, publish(&forged)), refusal(RefusalCode::NotAuthorised), "R-RELAY-37");
    assert_eq!(document(&mut world).relay, Some(second));
}
