//! Ended devices, members, issuers and roots: what the relay does at once, and what it never accepts again.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::signature::SigningKey;
use chancery_identity::log::{Leaf, LeafKind, commitment};
use chancery_identity::{Capabilities, DeviceKeys, Issuer, MemberId, confirm_end, sign};
use chancery_wire::{RefusalCode, encode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{
    DESK, Device, END, EVERYTHING, World, append, certificate, delivery, done, read, refusal, token,
};
use crate::limits::{ENDED_WITHIN, MAX_CONFIRMATIONS};
use crate::{ConnectionId, Effect, Input, Storage as _};

fn entered(answer: &Body) -> u64 {
    match answer {
        Body::Appended(appended) => appended.index,
        other => panic!("{other:?}"),
    }
}

/// Checks what an ended device is shown, as the device does: with the organisation's identifier and log key alone.
fn verify(world: &World, revoked: &proto::Revoked, kind: LeafKind) -> Leaf {
    let leaf = Leaf::from_bytes(&revoked.leaf).unwrap();
    let checkpoint = world.verified(&revoked.note);
    let proof: Vec<Hash> = revoked.proof.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    let (root, size) = (checkpoint.root(), checkpoint.size());
    assert!(merkle::verify_inclusion(root, size, revoked.index, &leaf.hash(), &proof), "R-RELAY-50");
    assert_eq!(leaf.commitment, commitment(kind, revoked.statement.as_ref().unwrap()), "R-RELAY-50");
    assert_eq!(leaf.kind, kind);
    leaf
}

fn revoked(body: Body) -> proto::Revoked {
    match body {
        Body::Revoked(revoked) => revoked,
        other => panic!("{other:?}"),
    }
}

/// Whether a device has a mailbox, envelopes or prekeys left, for itself or for others.
fn is_gone(world: &mut World, device: &Device) {
    let sending = world.anonymous();
    let not_found = refusal(RefusalCode::NotFound);
    assert_eq!(world.deliver(sending, device.mailbox(), 9, b"late"), not_found, "R-RELAY-50");
    let claim =
        proto::ClaimPrekeys { device_id: device.id.as_bytes().to_vec(), token: token(device.id.as_bytes()) };
    assert_eq!(world.ask(sending, Request::ClaimPrekeys(claim)), not_found, "R-RELAY-50");
    assert_eq!(world.storage.envelopes(&device.mailbox()).count(), 0, "R-RELAY-50");
    assert_eq!(world.storage.prekey_batch(&device.id), Ok(None), "R-RELAY-50");
    assert_eq!(world.storage.prekey_pairs(&device.id), Ok(0), "R-RELAY-50");
}

/// A member whose device has everything that a device has at a relay, and a connection of it.
fn settled(world: &mut World, id: u8) -> (Device, ConnectionId) {
    let device = world.member(id);
    let connection = world.login(&device);
    let upload = super::prekeys::upload(world, &device, 1, 2);
    assert_eq!(world.ask(connection, Request::PublishPrekeys(upload)), done());
    let sending = world.anonymous();
    assert_eq!(world.deliver(sending, device.mailbox(), id, b"waits"), done());
    world.subscribe(connection);
    (device, connection)
}

/// The connection of an ended device ends by itself soon after its login.
fn is_cut_off_in_time(world: &mut World, connection: ConnectionId) {
    assert!(!world.closed.contains(&connection), "R-RELAY-67");
    world.wait(ENDED_WITHIN.saturating_sub(Duration::from_millis(1)));
    assert!(!world.closed.contains(&connection), "R-RELAY-67");
    world.wait(Duration::from_millis(1));
    assert!(world.closed.contains(&connection), "R-RELAY-67");
}

fn page(answer: Body) -> proto::LogPage {
    match answer {
        Body::LogPage(page) => page,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ended_device_reads_the_log_up_to_its_end_and_gets_nothing_else_r_relay_67() {
    let mut world = World::new();
    let (alice, _) = settled(&mut world, 1);
    let before = world.relay.log_size();
    let audit = world.committed(LeafKind::Audit, [1; 32]);
    world.enter(LeafKind::Audit, &audit);
    let end = world.end(alice.member, Some(alice.id));
    let at = entered(&world.enter(LeafKind::DeviceRevoked, &end));
    let audit = world.committed(LeafKind::Audit, [2; 32]);
    world.enter(LeafKind::Audit, &audit);
    let late = world.open();
    revoked(world.try_login(late, &alice));
    let sync = |from| Request::SyncLog(proto::SyncLog { from });
    let read = page(world.ask(late, sync(before)));
    assert_eq!(read.entries.len() as u64, at + 1 - before, "no entry behind its end");
    assert!(!read.more);
    assert_eq!(Leaf::from_bytes(&read.entries.last().unwrap().leaf).unwrap().device(), alice.id);
    assert_eq!(world.verified(&read.checkpoint).size(), at + 2, "proved by the newest checkpoint");
    assert!(!read.proof.is_empty());
    assert!(page(world.ask(late, sync(at + 1))).entries.is_empty());
    let refused = refusal(RefusalCode::NotAuthorised);
    let others = [
        Request::Subscribe(proto::Subscribe {}),
        Request::SyncDirectory(proto::SyncDirectory { after: 0 }),
        Request::GetCheckpoint(proto::GetCheckpoint { from: 0 }),
        Request::Acknowledge(proto::Acknowledge { sequences: vec![1] }),
        delivery(alice.mailbox(), &[1; 16], b"x"),
        append(LeafKind::Audit, &audit),
    ];
    for request in others {
        assert_eq!(world.ask(late, request.clone()), refused, "R-RELAY-67: {request:?}");
    }
    assert_eq!(world.ask(late, Request::Login(proto::Login::default())), refused, "R-RELAY-8");
    is_cut_off_in_time(&mut world, late);
}

#[test]
fn an_ended_device_is_cut_off_in_the_same_input_and_told_why_r_relay_50() {
    let mut world = World::new();
    let ((alice, alices), (bob, bobs)) = (settled(&mut world, 1), settled(&mut world, 2));
    let again = world.login(&alice);
    let desk = world.desk();
    let desks = world.login(&desk);
    let end = world.end(alice.member, Some(alice.id));
    let bytes = encode(&proto::ClientFrame { request: 3, body: Some(append(LeafKind::DeviceRevoked, &end)) });
    let effects = world.input(Input::Frame { connection: desks, bytes: &bytes });
    for ended in [alices, again] {
        let concerned = effects.iter().filter_map(|effect| match effect {
            Effect::Send { connection, frame } if *connection == ended => Some(read(frame).body.unwrap()),
            _ => None,
        });
        let concerned: Vec<Body> = concerned.collect();
        let [told] = &concerned[..] else { panic!("told {} times", concerned.len()) };
        let leaf = verify(&world, &revoked(told.clone()), LeafKind::DeviceRevoked);
        assert_eq!((leaf.device(), leaf.member()), (alice.id, alice.member));
        let late = encode(&proto::ClientFrame { request: 9, body: Some(subscribe()) });
        let answer = world.input(Input::Frame { connection: ended, bytes: &late });
        let [Effect::Send { frame, .. }] = &answer[..] else { panic!("{answer:?}") };
        assert_eq!(read(frame).body, Some(refusal(RefusalCode::NotAuthorised)), "R-RELAY-67");
    }
    world.wait(ENDED_WITHIN);
    assert!(world.closed.contains(&alices) && world.closed.contains(&again), "R-RELAY-67");
    assert!(!world.closed.contains(&bobs) && !world.closed.contains(&desks));
    is_gone(&mut world, &alice);
    assert_eq!(world.storage.envelopes(&bob.mailbox()).count(), 1, "nobody else's");
    assert_eq!(world.storage.prekey_pairs(&bob.id), Ok(2));

    // The log has grown since, and the relay has been started anew.
    for n in 0..5 {
        let audit = world.committed(LeafKind::Audit, [n; 32]);
        world.enter(LeafKind::Audit, &audit);
    }
    world.restart();
    let late = world.open();
    let answer = revoked(world.try_login(late, &alice));
    verify(&world, &answer, LeafKind::DeviceRevoked);
    is_cut_off_in_time(&mut world, late);
    assert_eq!(world.checkpoint().note(), answer.note, "with the newest checkpoint");
    // Who only has the credential, which is no secret, is told nothing.
    let thief = Device { keys: bob.keys, ..alice };
    let connection = world.open();
    assert_eq!(world.try_login(connection, &thief), refusal(RefusalCode::NotAuthorised), "R-RELAY-8");
    is_gone(&mut world, &thief);
}

#[test]
fn an_end_that_is_not_committed_ends_nothing_r_relay_50() {
    let mut world = World::new();
    let (alice, alices) = settled(&mut world, 1);
    let desk = world.desk();
    let desks = world.login(&desk);
    let end = world.end(alice.member, None);
    let bytes = encode(&proto::ClientFrame { request: 3, body: Some(append(LeafKind::MemberRevoked, &end)) });
    world.pushed.clear();
    world.storage.fail_commits(2, crate::StorageError::Full);
    world.input(Input::Frame { connection: desks, bytes: &bytes });
    assert!(!world.closed.contains(&alices) && world.pushed.is_empty(), "R-RELAY-50");
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1);
    assert_eq!(world.storage.prekey_pairs(&alice.id), Ok(2));
    world.login(&alice);
    // The process dies instead of the disk.
    let before = world.storage.clone();
    world.input(Input::Frame { connection: desks, bytes: &bytes });
    assert!(matches!(world.pushed[&alices][..], [Body::Revoked(_)]));
    world.storage = before;
    world.restart();
    world.login(&alice);
    entered(&world.enter(LeafKind::MemberRevoked, &end));
    is_gone(&mut world, &alice);
}

#[test]
fn an_ended_member_has_no_device_and_gets_none_again_r_relay_47() {
    let mut world = World::new();
    let (first, firsts) = settled(&mut world, 1);
    let second = world.unlogged(2, first.member, Capabilities::MEMBER, END);
    entered(&world.enter(LeafKind::Credential, &second.credential));
    let seconds = world.login(&second);
    let (bob, bobs) = settled(&mut world, 3);
    let end = world.end(first.member, None);
    let at = entered(&world.enter(LeafKind::MemberRevoked, &end));
    for (device, connection) in [(&first, firsts), (&second, seconds)] {
        let told = world.pushed.remove(&connection).unwrap().pop().unwrap();
        assert_eq!(verify(&world, &revoked(told), LeafKind::MemberRevoked).member(), first.member);
        is_gone(&mut world, device);
        let late = world.open();
        assert_eq!(revoked(world.try_login(late, device)).index, at);
        is_cut_off_in_time(&mut world, late);
        assert!(world.closed.contains(&connection), "R-RELAY-67");
    }
    assert!(!world.closed.contains(&bobs));
    let conflict = refusal(RefusalCode::Conflict);
    let third = world.unlogged(4, first.member, Capabilities::MEMBER, END);
    assert_eq!(world.enter(LeafKind::Credential, &third.credential), conflict, "R-RELAY-47");
    let late = world.open();
    assert_eq!(
        revoked(world.try_login(late, &third)).index,
        at,
        "the member was ended, the device never was one"
    );
    let more = [
        (LeafKind::MemberRevoked, world.end(first.member, None)),
        (LeafKind::DeviceRevoked, world.end(first.member, Some(second.id))),
    ];
    for (kind, statement) in more {
        assert_eq!(world.enter(kind, &statement), conflict, "R-RELAY-47");
    }
    assert_eq!(entered(&world.enter(LeafKind::MemberRevoked, &end)), at, "R-RELAY-46: the answer was lost");
    // Nor is anything kept for a device that never logged in.
    let reply = proto::Reply { mailbox: vec![6; 16], delivery_id: vec![1; 16], envelope: vec![1] };
    let unseen = world.unlogged(6, bob.member, Capabilities::MEMBER, END);
    let end_of_unseen = world.end(bob.member, Some(unseen.id));
    entered(&world.enter(LeafKind::DeviceRevoked, &end_of_unseen));
    let desk = world.desk();
    let desks = world.login(&desk);
    assert_eq!(world.ask(desks, Request::Reply(reply)), refusal(RefusalCode::NotFound), "R-RELAY-50");
    // A device that ends alone is never one again either, also if it was not in the log.
    let unknown = world.unlogged(5, bob.member, Capabilities::MEMBER, END);
    for device in [&bob, &unknown] {
        let end = world.end(bob.member, Some(device.id));
        entered(&world.enter(LeafKind::DeviceRevoked, &end));
        let again = world.end(bob.member, Some(device.id));
        assert_eq!(world.enter(LeafKind::DeviceRevoked, &again), conflict, "R-RELAY-47");
        let anew = world.unlogged(device.id.as_bytes()[0], bob.member, Capabilities::MEMBER, END);
        assert_eq!(world.enter(LeafKind::Credential, &anew.credential), conflict, "R-RELAY-47");
    }
}

#[test]
fn a_device_logs_in_with_the_credential_that_the_log_has_and_no_other_r_relay_49() {
    let mut world = World::new();
    let alice = world.member(1);
    let other = world.unlogged(1, alice.member, Capabilities::MEMBER, END);
    let unknown = world.unlogged(2, alice.member, Capabilities::MEMBER, END);
    for device in [&other, &unknown] {
        let connection = world.open();
        assert_eq!(world.try_login(connection, device), refusal(RefusalCode::NotAuthorised), "R-RELAY-49");
        assert!(world.closed.contains(&connection), "R-RELAY-8");
    }
    assert_eq!(world.storage.mailbox(&unknown.mailbox()), Ok(None));
    world.login(&alice);
    assert_eq!(world.state.log_size, world.relay.log_size(), "R-RELAY-49");
}

/// Signs the end of an issuer with the newest root.
fn end_of_issuer(world: &mut World, certificate: &proto::Signed) -> proto::Signed {
    let body = proto::IssuerRevocationBody {
        org_id: world.org_id().as_bytes().to_vec(),
        issuer_id: Issuer::id_of(certificate).as_bytes().to_vec(),
    };
    sign::sign_issuer_revocation(&world.root, &body, &mut *world.rng)
}

/// Makes an issuer and has the root put it into the log; from then on the world signs with it.
fn new_issuer(world: &mut World) -> proto::Signed {
    let issuer = SigningKey::generate(&mut *world.rng);
    let org_id = world.org_id().as_bytes().to_vec();
    let statement = certificate(&world.root, &org_id, &issuer, EVERYTHING, &mut *world.rng);
    world.issuer = issuer;
    world.document.issuers.insert(0, statement.clone());
    statement
}

#[test]
fn what_an_ended_issuer_signed_before_stands_and_later_it_signs_nothing_r_relay_45() {
    let mut world = World::new();
    let alice = world.member(1);
    let first = world.document.issuers[0].clone();
    let late = world.unlogged(2, MemberId::new([2; 16]), Capabilities::MEMBER, END);
    let audit = world.committed(LeafKind::Audit, [1; 32]);
    let old_desk = world.desk();
    let old_desks = world.login(&old_desk);
    let end = end_of_issuer(&mut world, &first);
    let second = new_issuer(&mut world);
    // The root replaces the last issuer: first the new one, then the end of the old one, both by the old desk.
    entered(&world.ask(old_desks, append(LeafKind::Issuer, &second)));
    let at = entered(&world.ask(old_desks, append(LeafKind::IssuerRevoked, &end)));
    assert!(
        world.closed.contains(&old_desks),
        "R-RELAY-49: a desk that the log does not have is its issuer's"
    );
    let connection = world.open();
    assert_eq!(world.try_login(connection, &old_desk), refusal(RefusalCode::NotAuthorised), "R-RELAY-49");
    for (kind, statement) in [(LeafKind::Credential, &late.credential), (LeafKind::Audit, &audit)] {
        assert_eq!(world.enter(kind, statement), refusal(RefusalCode::NotAuthorised), "R-RELAY-45");
    }
    assert_eq!(entered(&world.enter(LeafKind::IssuerRevoked, &end)), at, "R-RELAY-46");
    let again = end_of_issuer(&mut world, &first);
    assert_eq!(world.enter(LeafKind::IssuerRevoked, &again), refusal(RefusalCode::Conflict));
    world.login(&alice);
    let bob = world.member(3);
    world.login(&bob);
    world.restart();
    world.login(&alice);
    // A document that still names it brings nobody back.
    assert_eq!(world.relay.log_size(), at + 2);
    assert_eq!(world.enter(LeafKind::Credential, &late.credential), refusal(RefusalCode::NotAuthorised));
}

#[test]
fn a_desk_that_the_log_has_outlives_its_issuer_and_ends_like_a_device_r_relay_49() {
    let mut world = World::new();
    let desk = world.desk();
    entered(&world.enter(LeafKind::Credential, &desk.credential));
    let first = world.document.issuers[0].clone();
    let desks = world.login(&desk);
    let end = end_of_issuer(&mut world, &first);
    let second = new_issuer(&mut world);
    entered(&world.ask(desks, append(LeafKind::Issuer, &second)));
    entered(&world.ask(desks, append(LeafKind::IssuerRevoked, &end)));
    assert!(!world.closed.contains(&desks), "R-RELAY-49");
    world.login(&desk);
    let end = world.end(desk.member, Some(desk.id));
    entered(&world.ask(desks, append(LeafKind::DeviceRevoked, &end)));
    world.wait(ENDED_WITHIN);
    assert!(world.closed.contains(&desks), "R-RELAY-67");
    is_gone(&mut world, &desk);
}

#[test]
fn a_root_names_its_successor_and_signs_nothing_after_it_r_relay_45() {
    let mut world = World::new();
    let next = SigningKey::generate(&mut *world.rng);
    let org = world.org_id();
    let successor = sign::sign_root_successor(&world.root, &next, &org, &mut *world.rng);
    let by_old = new_issuer(&mut world);
    let (late, kept) = (world.document.issuers.remove(0), world.document.clone());
    assert_eq!(late, by_old);
    // The world goes on with the issuer that is in the log.
    world.issuer = world.first_issuer();
    entered(&world.enter(LeafKind::Root, &successor));
    assert_eq!(world.relay.organisation().root_key(), next.verifying_key());
    assert_eq!(world.org_id(), org, "R-ID-16");
    let first = world.document.issuers[0].clone();
    let end_by_old = end_of_issuer(&mut world, &first);
    let rival = SigningKey::generate(&mut *world.rng);
    let another = sign::sign_root_successor(&world.root, &rival, &org, &mut *world.rng);
    let cases =
        [(LeafKind::Issuer, &by_old), (LeafKind::IssuerRevoked, &end_by_old), (LeafKind::Root, &another)];
    for (kind, statement) in cases {
        assert_eq!(world.enter(kind, statement), refusal(RefusalCode::NotAuthorised), "R-RELAY-45: {kind:?}");
    }
    // Nor through the public document, which an old root may have signed all of.
    let size = world.relay.log_size();
    world.document.issuers.push(by_old);
    world.restart();
    assert_eq!(world.relay.log_size(), size, "R-RELAY-55");
    world.document = kept;
    world.root = next;
    let by_next = new_issuer(&mut world);
    world.document.successors.push(successor);
    world.restart();
    assert_eq!(world.relay.log_size(), size + 1, "R-RELAY-55: of the new root it takes over what is new");
    let bob = world.member(3);
    world.login(&bob);
    assert_eq!(entered(&world.enter(LeafKind::Issuer, &by_next)), size);
}

#[test]
fn a_relay_that_starts_anew_takes_over_every_root_with_its_issuers_in_order_r_relay_55() {
    let mut world = World::new();
    let org = world.org_id();
    let next = SigningKey::generate(&mut *world.rng);
    let successor = sign::sign_root_successor(&world.root, &next, &org, &mut *world.rng);
    world.root = next;
    let second = new_issuer(&mut world);
    world.document.successors.push(successor);
    world.document.relay = Some(world.relay_record(4));
    // The data directory is new.
    world.storage = crate::memory::MemoryStorage::new();
    world.restart();
    let leaves: Vec<u8> =
        world.storage.log_page(0, 100_000).unwrap().iter().map(|entry| entry.leaf[1]).collect();
    assert_eq!(leaves, [2, 1, 2, 11, 12], "R-RELAY-55");
    assert_eq!(world.relay.organisation().as_proto().issuers[1], second);
    let sending = world.anonymous();
    assert_eq!(
        world.ask(sending, delivery(crate::MailboxId::new(DESK), &[1; 16], b"x")),
        done(),
        "R-RELAY-23"
    );
}

fn subscribe() -> Request {
    Request::Subscribe(proto::Subscribe {})
}

/// What a device signs of its own end.
fn confirm(world: &mut World, device: &Device, leaf: &[u8]) -> proto::EndConfirmation {
    let (org, leaf) = (world.org_id(), Leaf::from_bytes(leaf).unwrap());
    confirm_end(&device.keys.signing, (&org, &device.id), &leaf, world.now, &mut *world.rng)
}

fn confirmed(world: &mut World, asking: ConnectionId, devices: &[&Device]) -> Body {
    let device_ids = devices.iter().map(|device| device.id.as_bytes().to_vec()).collect();
    world.ask(asking, Request::GetConfirmations(proto::GetConfirmations { device_ids }))
}

#[test]
fn an_ended_device_confirms_that_once_and_the_desk_is_told_r_relay_62_r_relay_63() {
    let mut world = World::new();
    let ((alice, alices), (bob, bobs)) = (settled(&mut world, 1), settled(&mut world, 2));
    let desk = world.desk();
    let end = world.end(alice.member, Some(alice.id));
    entered(&world.enter(LeafKind::DeviceRevoked, &end));
    let Some(Body::Revoked(told)) = world.pushed[&alices].last() else { panic!("not told") };
    let leaf = told.leaf.clone();
    let first = confirm(&mut world, &alice, &leaf);
    // Somebody else's word, on a connection of theirs, is none.
    let early = world.ask(bobs, Request::ConfirmEnd(first.clone()));
    assert_eq!(early, refusal(RefusalCode::NotAuthorised), "R-RELAY-62");
    let stranger = world.anonymous();
    let answer = world.ask(stranger, Request::ConfirmEnd(first.clone()));
    assert_eq!(answer, refusal(RefusalCode::NotAuthorised), "R-RELAY-62");
    let desks = world.login(&desk);
    let none = Body::Confirmations(proto::Confirmations { confirmations: vec![] });
    assert_eq!(confirmed(&mut world, desks, &[&alice, &bob]), none);
    let said = Body::Confirmations(proto::Confirmations { confirmations: vec![first.clone()] });
    assert_eq!(world.ask(alices, Request::ConfirmEnd(first)), done());
    assert!(world.closed.contains(&alices), "R-RELAY-62");
    assert_eq!(confirmed(&mut world, desks, &[&alice, &bob]), said, "R-RELAY-63");
    // A copy of the device that comes back changes nothing, and the relay may have been started anew.
    world.restart();
    world.now = world.now.after(Duration::from_secs(60));
    let late = world.open();
    let leaf = revoked(world.try_login(late, &alice)).leaf;
    let second = confirm(&mut world, &alice, &leaf);
    assert_eq!(world.ask(late, Request::ConfirmEnd(second)), done());
    let desks = world.login(&desk);
    assert_eq!(confirmed(&mut world, desks, &[&alice]), said, "the first counts");
    let bobs = world.login(&bob);
    assert_eq!(confirmed(&mut world, bobs, &[&alice]), refusal(RefusalCode::NotAuthorised), "R-RELAY-63");
    let many = vec![&alice; MAX_CONFIRMATIONS + 1];
    assert_eq!(confirmed(&mut world, desks, &many), refusal(RefusalCode::TooLarge), "R-RELAY-63");
    let device_ids = vec![vec![1; 15]];
    let short = world.ask(desks, Request::GetConfirmations(proto::GetConfirmations { device_ids }));
    assert_eq!(short, refusal(RefusalCode::BadRequest), "R-RELAY-63");
}

#[test]
fn a_forged_or_foreign_confirmation_is_refused_and_ends_the_connection_r_relay_62() {
    let mut world = World::new();
    let (alice, bob) = (world.member(1), world.member(2));
    let ends = [world.end(alice.member, None), world.end(bob.member, None)];
    let leaves = ends.map(|end| {
        let at = entered(&world.enter(LeafKind::MemberRevoked, &end));
        world.storage.log_entry(at).unwrap().unwrap().leaf
    });
    let own = confirm(&mut world, &alice, &leaves[0]);
    let mut forged = own.clone();
    forged.signature[9] ^= 1;
    let thief = Device { keys: DeviceKeys::generate(&mut *world.rng), ..world.member(3) };
    let by_another = proto::EndConfirmation {
        device_id: own.device_id.clone(),
        ..confirm(&mut world, &Device { id: alice.id, ..thief }, &leaves[0])
    };
    let of_another = confirm(&mut world, &bob, &leaves[1]);
    let other_leaf = confirm(&mut world, &alice, &leaves[1]);
    let cut = proto::EndConfirmation { leaf: vec![1], ..own.clone() };
    for wrong in [forged, by_another, of_another, other_leaf, cut] {
        let connection = world.open();
        revoked(world.try_login(connection, &alice));
        let answer = world.ask(connection, Request::ConfirmEnd(wrong));
        assert_eq!(answer, refusal(RefusalCode::NotAuthorised), "R-RELAY-62");
        assert!(world.closed.contains(&connection), "R-RELAY-62");
    }
    assert_eq!(world.storage.end_confirmation(&alice.id), Ok(None));
    assert_eq!(world.storage.end_confirmation(&bob.id), Ok(None));
    // The control: what the device signed itself is taken.
    let connection = world.open();
    revoked(world.try_login(connection, &alice));
    assert_eq!(world.ask(connection, Request::ConfirmEnd(own)), done());
    assert!(world.storage.end_confirmation(&alice.id).unwrap().is_some());
}
