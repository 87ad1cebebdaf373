//! The organisation's documents and its directory, as members fetch and desks publish them.

use alloc::vec;
use alloc::vec::Vec;

use chancery_identity::Capabilities;
use chancery_identity::log::LeafKind;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{World, done, refusal, token};
use crate::{ConnectionId, Limits, Storage as _};

fn entry(id: u8, version: u64, sealed: &[u8]) -> Request {
    let (entry_id, sealed) = (vec![id; 16], sealed.to_vec());
    Request::PublishDirectory(proto::SealedDirectoryEntry {
        entry_id,
        version,
        sealed,
        removed: vec![],
        reader: vec![],
    })
}

/// Publishes an entry; the sequence in the answer is the directory's newest.
fn publish(world: &mut World, desks: ConnectionId, entry: Request) -> Body {
    match world.ask(desks, entry) {
        Body::Done(state) => {
            assert_eq!(Ok(state.directory), world.storage.directory_sequence(), "R-RELAY-41");
            done()
        }
        other => other,
    }
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
    assert_eq!(publish(&mut world, desks, entry(1, 1, b"one")), done(), "R-RELAY-34");
    assert_eq!(publish(&mut world, desks, entry(2, 1, b"two")), done());
    let (entries, after, more) = page(&mut world, alices, 0);
    assert_eq!((entries, more), (vec![(1, 1), (2, 1)], false), "R-RELAY-35");
    assert_eq!(publish(&mut world, desks, entry(1, 2, b"one again")), done());
    let (entries, after, _) = page(&mut world, alices, after);
    assert_eq!(entries, [(1, 2)], "R-RELAY-35");
    assert_eq!(page(&mut world, alices, after).0, []);
    assert_eq!(page(&mut world, alices, u64::MAX).0, []);
}

#[test]
fn what_is_for_one_guest_goes_to_it_alone_and_it_gets_nothing_else_r_relay_60() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (guest, bot) = (Capabilities::GUEST, Capabilities::BOT);
    let (carol, dora) = (world.device(3, guest), world.device(4, guest.union(bot)));
    let robo = world.device(5, Capabilities::MEMBER.union(bot));
    // No device of the protocol's has both; it gets no more than a guest.
    let both = world.device(6, Capabilities::MEMBER.union(guest));
    let desks = world.login(&desk);
    let for_reader = |id: u8, version, reader: &[u8]| {
        let (entry_id, reader) = (vec![id; 16], reader.to_vec());
        let sealed = b"sealed".to_vec();
        let removed = vec![];
        Request::PublishDirectory(proto::SealedDirectoryEntry { entry_id, version, sealed, removed, reader })
    };
    assert_eq!(publish(&mut world, desks, entry(1, 1, b"for members")), done());
    assert_eq!(publish(&mut world, desks, for_reader(2, 1, &[3; 16])), done());
    assert_eq!(publish(&mut world, desks, for_reader(3, 1, &[4; 16])), done());
    for (device, gets) in [
        (&alice, vec![1]),
        (&robo, vec![1]),
        (&desk, vec![1]),
        (&carol, vec![2]),
        (&dora, vec![3]),
        (&both, vec![]),
    ] {
        let connection = world.login(device);
        let ids: Vec<_> = page(&mut world, connection, 0).0.into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, gets);
    }
    let conflict = refusal(RefusalCode::Conflict);
    for (id, reader) in [(2, [4; 16].as_slice()), (2, &[]), (1, &[3; 16])] {
        assert_eq!(world.ask(desks, for_reader(id, 2, reader)), conflict);
    }
    assert_eq!(world.ask(desks, for_reader(9, 1, &[3; 15])), refusal(RefusalCode::BadRequest));
    let carols = world.login(&carol);
    assert_eq!(world.ask(carols, for_reader(8, 1, &[3; 16])), refusal(RefusalCode::NotAuthorised));
}

#[test]
fn a_version_is_published_once_and_never_falls() {
    let mut world = World::with(Limits { directory_entries: 1, ..Limits::default() });
    let desk = world.desk();
    let desks = world.login(&desk);
    let conflict = refusal(RefusalCode::Conflict);
    assert_eq!(publish(&mut world, desks, entry(1, 2, b"two")), done());
    assert_eq!(publish(&mut world, desks, entry(1, 2, b"two")), done(), "R-RELAY-34: the answer was lost");
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
    let record = super::world::append(LeafKind::Relay, &proto::Signed::default());
    assert_eq!(world.ask(alices, record), no, "R-RELAY-45");
}

#[test]
fn a_large_directory_comes_in_pages() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    for id in 0..20 {
        assert_eq!(publish(&mut world, desks, entry(id, 1, &[id; 32 * 1024])), done());
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

/// An entry that says that devices are removed.
fn removing(version: u64, devices: &[[u8; 16]]) -> Request {
    let removed = devices.iter().map(|device| device.to_vec()).collect();
    let (entry_id, sealed) = (vec![1; 16], b"sealed".to_vec());
    Request::PublishDirectory(proto::SealedDirectoryEntry {
        entry_id,
        version,
        sealed,
        removed,
        reader: vec![],
    })
}

#[test]
fn the_desk_learns_at_login_what_the_directory_ends_with_r_relay_41() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let desks = world.login(&desk);
    assert_eq!(world.state.directory, 0);
    publish(&mut world, desks, entry(1, 1, b"one"));
    let old = world.storage.clone();
    publish(&mut world, desks, entry(2, 1, b"two"));
    world.login(&desk);
    let newest = world.state.directory;
    assert!(newest > 0);
    world.login(&alice);
    assert_eq!(world.state.directory, 0, "members sync");
    world.storage = old;
    world.login(&desk);
    assert!(world.state.directory < newest, "a relay that was put back says so");
}

#[test]
fn a_removed_device_has_no_mailbox_and_no_prekeys_r_relay_43() {
    let mut world = World::new();
    let (desk, alice, bob) = (world.desk(), world.member(1), world.member(2));
    let (desks, alices, sending) = (world.login(&desk), world.login(&alice), world.anonymous());
    world.login(&bob);
    let upload = super::prekeys::upload(&mut world, &alice, 1, 2);
    assert_eq!(world.ask(alices, Request::PublishPrekeys(upload.clone())), done());
    world.deliver(sending, alice.mailbox(), 1, b"waits");
    world.deliver(sending, bob.mailbox(), 1, b"waits");

    // The same entry again carries the removal as well: the desk says it until the relay has heard it.
    publish(&mut world, desks, removing(1, &[]));
    assert_eq!(publish(&mut world, desks, removing(1, &[[1; 16]])), done());
    let claim = proto::ClaimPrekeys { device_id: vec![1; 16], token: token(&[1; 16]) };
    assert_eq!(world.ask(sending, Request::ClaimPrekeys(claim.clone())), refusal(RefusalCode::NotFound));
    assert_eq!(world.deliver(sending, alice.mailbox(), 2, b"late"), refusal(RefusalCode::NotFound));
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 0);
    assert_eq!(world.storage.envelopes(&bob.mailbox()).count(), 1);
    let alices = world.login(&alice);
    world.subscribe(alices);
    assert_eq!(world.envelopes(alices), Vec::<Vec<u8>>::new());
    let later = super::prekeys::upload(&mut world, &alice, 2, 2);
    assert_eq!(world.ask(alices, Request::PublishPrekeys(later)), refusal(RefusalCode::NotAuthorised));
    assert_eq!(world.ask(sending, Request::ClaimPrekeys(claim)), refusal(RefusalCode::NotFound));
    let (entries, _, _) = page(&mut world, alices, 0);
    assert_eq!(entries, [(1, 1)], "the list goes to nobody");
}

#[test]
fn a_removal_that_is_refused_removes_nothing_r_relay_43() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    publish(&mut world, desks, removing(2, &[]));
    assert_eq!(world.ask(desks, removing(1, &[[1; 16]])), refusal(RefusalCode::Conflict));
    assert_eq!(world.ask(alices, removing(3, &[[1; 16]])), refusal(RefusalCode::NotAuthorised));
    let own = world.ask(desks, removing(3, &[super::world::DESK]));
    assert_eq!(own, refusal(RefusalCode::BadRequest), "the desk's own mailbox stays");
    assert_eq!(world.ask(desks, removing(3, &[[1; 16]; 65])), refusal(RefusalCode::TooLarge));
    assert_eq!(world.storage.mailbox(&alice.mailbox()).unwrap().map(|held| held.removed), Some(false));
}
