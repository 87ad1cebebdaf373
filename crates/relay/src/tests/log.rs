//! The organisation's log: what enters, what is refused, what is signed and shown.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::merkle::{Hash, verify_consistency};
use chancery_crypto::signature::SigningKey;
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, Capabilities, LogError, MemberId, Organisation, sign};
use chancery_wire::{RefusalCode, Timestamp, Unverified, encode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{END, EVERYTHING, World, append, certificate, delivery, done, read, refusal};
use crate::limits::{CHECKPOINT_INTERVAL, MAX_MEMBER_DEVICES};
use crate::memory::MemoryStorage;
use crate::{
    ConnectionId, Effect, Input, Limits, LogEntry, Relay, Setup, StartError, Storage as _, StorageError,
};

fn index(answer: &Body) -> u64 {
    match answer {
        Body::Appended(appended) => appended.index,
        other => panic!("{other:?}"),
    }
}

fn page(world: &mut World, connection: ConnectionId, from: u64) -> proto::LogPage {
    match world.ask(connection, Request::SyncLog(proto::SyncLog { from })) {
        Body::LogPage(page) => page,
        other => panic!("{other:?}"),
    }
}

/// Replays entries as a client does, from the first root alone.
fn replay(world: &World, entries: &[proto::LogEntry]) -> (Authority, LogHead) {
    let organisation = Organisation::verify(Unverified::new(world.document.clone()), None).unwrap();
    let (mut authority, mut head) = (Authority::new(&organisation), LogHead::default());
    for (index, entry) in (0..).zip(entries) {
        let leaf = Leaf::from_bytes(&entry.leaf).unwrap();
        authority.apply(index, &leaf, entry.content.as_ref()).unwrap();
        head.push(&leaf).unwrap();
    }
    (authority, head)
}

#[test]
fn the_log_begins_with_the_public_document_and_a_member_can_replay_it_r_relay_55() {
    let mut world = World::new();
    let alice = world.member(1);
    let record = world.relay_record(1);
    world.enter(LeafKind::Relay, &record);
    let alices = world.login(&alice);
    assert_eq!(world.state.log_size, 4, "R-RELAY-49");
    let page = page(&mut world, alices, 0);
    let kinds: Vec<u8> = page.entries.iter().map(|entry| entry.leaf[1]).collect();
    assert_eq!((kinds, page.more), (vec![2, 11, 4, 12], false), "R-RELAY-55");
    let (authority, head) = replay(&world, &page.entries);
    let checkpoint = world.verified(&page.checkpoint);
    assert_eq!((checkpoint.size(), *checkpoint.root()), (4, head.root()), "R-RELAY-51");
    world.document.relay = Some(record);
    assert_eq!(authority.organisation().as_proto(), &world.document);
    let asking = world.anonymous();
    let document = world.ask(asking, Request::GetOrganisation(proto::GetOrganisation {}));
    assert_eq!(document, Body::Organisation(world.document.clone()), "R-RELAY-36");
}

#[test]
fn a_statement_enters_once_however_often_it_is_sent_r_relay_46() {
    let mut world = World::new();
    let alice = world.unlogged(1, MemberId::new([7; 16]), Capabilities::MEMBER, END);
    let audit = world.committed(LeafKind::Audit, [3; 32]);
    let entry = world.committed(LeafKind::Directory, [3; 32]);
    let policy = policy(&mut world, 5);
    let statements = [
        (LeafKind::Credential, alice.credential),
        (LeafKind::Audit, audit),
        (LeafKind::Directory, entry),
        (LeafKind::Policy, policy),
    ];
    for (at, (kind, statement)) in (2..).zip(&statements) {
        assert_eq!(index(&world.enter(*kind, statement)), at);
    }
    world.restart();
    // The answers were lost; by now the clock has gone back.
    world.now = Timestamp::from_millis(5);
    for (at, (kind, statement)) in (2..).zip(&statements) {
        assert_eq!(index(&world.enter(*kind, statement)), at);
    }
    assert_eq!(world.checkpoint().size(), 6);
    let more = world.committed(LeafKind::Audit, [4; 32]);
    world.enter(LeafKind::Audit, &more);
    let times =
        [5, 6].map(|at| Leaf::from_bytes(&world.storage.log_entry(at).unwrap().unwrap().leaf).unwrap().time);
    assert_eq!(times[0], times[1], "R-RELAY-46: a clock that goes back takes no leaf with it");
}

fn policy(world: &mut World, sequence: u64) -> proto::Signed {
    let policy = Some(chancery_identity::Policy::default().to_proto());
    let (org_id, issuer_id) = (world.org_id().as_bytes().to_vec(), world.issuer_id());
    let body = proto::PolicyBody { org_id, issuer_id, sequence, policy };
    sign::sign_policy(&world.issuer, &body, &mut *world.rng)
}

#[test]
fn every_statement_that_may_not_enter_is_refused_by_its_code_and_changes_nothing_r_relay_45() {
    use RefusalCode::{BadRequest, Conflict, NotAuthorised};
    let mut world = World::new();
    let (alice, bob) = (world.member(1), world.member(2));
    let (old_policy, old_record) = (policy(&mut world, 1), world.relay_record(1));
    for (kind, statement) in
        [(LeafKind::Policy, policy(&mut world, 5)), (LeafKind::Relay, world.relay_record(5))]
    {
        index(&world.enter(kind, &statement));
    }
    let mut forged = policy(&mut world, 9);
    forged.signature[0] ^= 1;
    let cut = proto::Signed { body: vec![0xFF], signature: vec![] };
    let long = proto::Signed { body: vec![0; 16_385], signature: vec![] };
    let twice = world.unlogged(1, alice.member, Capabilities::MEMBER, END);
    let of_another = world.end(bob.member, Some(alice.id));
    let expired = world.unlogged(4, alice.member, Capabilities::MEMBER, 1);
    let org_id = world.org_id().as_bytes().to_vec();
    let (mallory, stranger) = (SigningKey::generate(&mut *world.rng), SigningKey::generate(&mut *world.rng));
    let no_roots = certificate(&mallory, &org_id, &stranger, EVERYTHING, &mut *world.rng);
    let ended = world.document.issuers[0].clone();
    let known = world.committed(LeafKind::Audit, [3; 32]);
    index(&world.enter(LeafKind::Audit, &known));
    let foreign = {
        let body = proto::LogCommitmentBody { org_id: vec![0; 32], ..Default::default() };
        sign::sign_log_commitment(&world.issuer, &body, &mut *world.rng)
    };
    let elsewhere = {
        let mut body =
            proto::LogCommitmentBody { subject: vec![9; 16], object: vec![0; 16], ..Default::default() };
        body.commitment = vec![3; 32];
        sign::sign_log_commitment(&world.issuer, &body, &mut *world.rng)
    };
    let whole = world.end(alice.member, None);
    let cases = [
        (LeafKind::Policy, &forged, NotAuthorised),
        (LeafKind::Policy, &old_policy, Conflict),
        (LeafKind::Relay, &old_record, Conflict),
        (LeafKind::Desk, &cut, BadRequest),
        (LeafKind::Credential, &long, BadRequest),
        (LeafKind::Audit, &cut, BadRequest),
        (LeafKind::Audit, &foreign, BadRequest),
        (LeafKind::Audit, &elsewhere, Conflict),
        (LeafKind::Credential, &twice.credential, Conflict),
        (LeafKind::Credential, &expired.credential, NotAuthorised),
        (LeafKind::DeviceRevoked, &of_another, Conflict),
        (LeafKind::DeviceRevoked, &whole, BadRequest),
        (LeafKind::MemberRevoked, &of_another, BadRequest),
        (LeafKind::Issuer, &no_roots, NotAuthorised),
        (LeafKind::IssuerRevoked, &ended, NotAuthorised),
    ];
    let before = world.checkpoint();
    for (at, (kind, statement, code)) in cases.into_iter().enumerate() {
        assert_eq!(world.enter(kind, statement), refusal(code), "case {at}");
    }
    let (desk, alices) = (world.desk(), world.login(&alice));
    let desks = world.login(&desk);
    for (kind, statement) in [(0, Some(cut.clone())), (13, Some(cut)), (7, None)] {
        let append = Request::AppendLog(proto::AppendLog { kind, statement });
        assert_eq!(world.ask(desks, append), refusal(BadRequest), "R-RELAY-45");
    }
    let fine = policy(&mut world, 9);
    assert_eq!(world.ask(alices, append(LeafKind::Policy, &fine)), refusal(NotAuthorised), "only the desk");
    assert_eq!(world.checkpoint(), before, "R-RELAY-9");
    assert_eq!(index(&world.enter(LeafKind::Policy, &fine)), before.size());
}

#[test]
fn the_log_has_an_end_and_so_have_a_members_devices_r_relay_20() {
    let mut world = World::with(Limits { log_entries: 3, ..Limits::default() });
    let alice = world.member(1);
    let end = world.end(alice.member, None);
    let full = refusal(RefusalCode::QuotaExceeded);
    assert_eq!(world.enter(LeafKind::MemberRevoked, &end), full, "R-RELAY-20");
    world.restart_with(Limits::default());
    // Rows that no client put there; only their number is looked at.
    for n in 1..MAX_MEMBER_DEVICES as u64 {
        let mut leaf = [0; Leaf::LEN];
        (leaf[0], leaf[1]) = (1, 4);
        leaf[26..42].copy_from_slice(alice.member.as_bytes());
        let entry = LogEntry { leaf, content: None, nodes: Vec::new() };
        world.storage.log_append(1_000_000 + n, &entry).unwrap();
    }
    let one_more = world.unlogged(2, alice.member, Capabilities::MEMBER, END);
    assert_eq!(world.enter(LeafKind::Credential, &one_more.credential), full, "R-RELAY-20");
}

/// Two statements that an issuer signs, as frames of the desk.
fn two_appends(world: &mut World) -> [Vec<u8>; 2] {
    let statements = [policy(world, 1), policy(world, 2)];
    statements.map(|statement| {
        encode(&proto::ClientFrame { request: 1, body: Some(append(LeafKind::Policy, &statement)) })
    })
}

#[test]
fn a_group_that_fails_leaves_log_and_authority_as_they_were_r_relay_11() {
    let mut world = World::new();
    let desk = world.desk();
    let connection = world.login(&desk);
    let [first, second] = two_appends(&mut world);
    let before = (world.checkpoint(), world.relay.log_size(), world.storage.note());
    let inputs = [&first, &second].map(|bytes| Input::Frame { connection, bytes });
    // The group fails, and each of its inputs alone.
    world.storage.fail_commits(3, StorageError::Full);
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    let frames: Vec<_> = effects.iter().map(answer_of).collect();
    let refused = proto::Refused { code: RefusalCode::StorageFull.code(), retry_after_ms: 10_000 };
    assert_eq!(frames, vec![Body::Refused(refused); 2], "R-RELAY-11");
    assert_eq!((world.checkpoint(), world.relay.log_size(), world.storage.note()), before);
    assert_eq!(world.storage.log_entry(before.1), Ok(None));
    // The group fails, and its first input alone; the second enters in its place.
    world.storage.fail_commits(2, StorageError::Io);
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    assert_eq!(index(&answer_of(&effects[1])), before.1);
    let after = world.checkpoint();
    assert_eq!(after.size(), before.1 + 1);
    world.restart();
    assert_eq!(world.checkpoint(), after, "R-RELAY-44: a restart has the same log, and the same note");
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    assert_eq!(effects, [], "the connection is gone");
    let connection = world.login(&desk);
    let bytes = &first;
    let input = Input::Frame { connection, bytes };
    let effects = world.relay.handle_all(&mut world.storage, &[input], world.now, &mut *world.rng);
    assert_eq!(
        answer_of(&effects[0]),
        refusal(RefusalCode::Conflict),
        "the authority knows the later policy"
    );
}

fn answer_of(effect: &Effect) -> Body {
    match effect {
        Effect::Send { frame, .. } => read(frame).body.unwrap(),
        Effect::Close { .. } => panic!("closed"),
    }
}

#[test]
fn several_entries_of_one_group_get_one_checkpoint_and_its_times_never_fall_r_relay_53() {
    let mut world = World::new();
    let desk = world.desk();
    let connection = world.login(&desk);
    let [first, second] = two_appends(&mut world);
    let inputs = [&first, &second].map(|bytes| Input::Frame { connection, bytes });
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    assert_eq!([0, 1].map(|at| index(&answer_of(&effects[at]))), [2, 3]);
    let note = world.storage.note().unwrap().unwrap();
    assert_eq!(world.verified(&note).size(), 4);
    let mut roots: BTreeMap<u64, Hash> = BTreeMap::new();
    let mut last = world.verified(&note);
    for round in 0..30_u8 {
        match round % 5 {
            // A group fails and what it signed is forgotten; the next entry takes its place.
            0 => world.storage.fail_commits(2, StorageError::Io),
            1 => world.restart(),
            2 => world.now = Timestamp::from_millis(world.now.as_millis() - 400_000),
            3 => world.wait(CHECKPOINT_INTERVAL),
            _ => world.storage.fail_commits(0, StorageError::Io),
        }
        let audit = world.committed(LeafKind::Audit, [round; 32]);
        let append = encode(&proto::ClientFrame { request: 1, body: Some(append(LeafKind::Audit, &audit)) });
        if world.relay.connections() == 0 {
            world.login(&desk);
        }
        for connection in (0..400).map(ConnectionId) {
            world.input(Input::Frame { connection, bytes: &append });
        }
        world.storage.fail_commits(0, StorageError::Io);
        let now = world.checkpoint();
        assert_eq!(
            *roots.entry(now.size()).or_insert(*now.root()),
            *now.root(),
            "R-RELAY-53: one root a size"
        );
        assert!(now.size() >= last.size() && now.time() >= last.time(), "R-RELAY-53");
        last = now;
    }
    assert!(roots.len() > 20, "{}", roots.len());
}

#[test]
fn a_log_whose_time_is_ahead_of_the_clock_goes_on_from_there_r_relay_68() {
    for restarted in [false, true] {
        let mut world = World::new();
        let right = world.now;
        world.wait(Duration::from_secs(6 * 24 * 3600));
        let ahead = world.checkpoint().time();
        assert_eq!(ahead, world.now, "the control: it was signed by the wrong clock");
        world.now = right;
        world.input(Input::Tick);
        if restarted {
            world.restart();
        }
        let mut last = world.checkpoint().time();
        assert!(last >= ahead, "never earlier (R-RELAY-53)");
        for _ in 0..3 {
            world.wait(CHECKPOINT_INTERVAL);
            let time = world.checkpoint().time();
            assert_eq!(
                time.since(last).as_millis(),
                1,
                "later, so that it is not stale, and no further ahead"
            );
            last = time;
        }
        world.now = ahead.after(Duration::from_secs(24 * 3600));
        world.input(Input::Tick);
        assert_eq!(world.checkpoint().time(), world.now, "until the clock has caught up");
    }
}

#[test]
fn a_checkpoint_is_signed_without_entries_after_ten_minutes_r_relay_53() {
    let mut world = World::new();
    let first = world.checkpoint();
    world.wait(CHECKPOINT_INTERVAL.checked_sub(Duration::from_millis(1)).unwrap());
    assert_eq!(world.checkpoint(), first);
    world.wait(Duration::from_millis(1));
    let second = world.checkpoint();
    assert_eq!((second.size(), second.root()), (first.size(), first.root()));
    assert_eq!(second.time().since(first.time()), CHECKPOINT_INTERVAL);
    world.restart();
    assert_eq!(world.checkpoint(), second, "R-RELAY-44");
}

#[test]
fn a_page_ends_when_it_is_full_and_proves_that_it_begins_what_is_signed_r_relay_51() {
    let mut world = World::new();
    for sequence in 1..=90 {
        let policy = policy(&mut world, sequence);
        index(&world.enter(LeafKind::Policy, &policy));
    }
    let desk = world.desk();
    let desks = world.login(&desk);
    let first = page(&mut world, desks, 0);
    assert!(first.more, "R-RELAY-51");
    let bytes =
        |entry: &proto::LogEntry| entry.leaf.len() + entry.content.as_ref().map_or(0, |it| encode(it).len());
    let total: usize = first.entries.iter().map(bytes).sum();
    let without_last = total - bytes(first.entries.last().unwrap());
    assert!(without_last < 256 * 1024 && total >= 256 * 1024, "{total}");
    let rest = page(&mut world, desks, first.entries.len() as u64);
    assert!(!rest.more);
    assert_eq!((&first.checkpoint, rest.proof.len()), (&rest.checkpoint, 0));
    let checkpoint = world.verified(&rest.checkpoint);
    let (_, begun) = replay(&world, &first.entries);
    let proof: Vec<Hash> = first.proof.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
    let begins = |root| verify_consistency(begun.size(), &root, checkpoint.size(), checkpoint.root(), &proof);
    assert!(begins(begun.root()) && !begins([0; 32]));
    let all = [first.entries, rest.entries].concat();
    let (authority, head) = replay(&world, &all);
    assert_eq!((checkpoint.size(), *checkpoint.root()), (92, head.root()));
    assert_eq!(authority.policy_sequence(), 90);
    // Somebody who has more than there is sees that by the checkpoint.
    let beyond = page(&mut world, desks, 93);
    assert_eq!((beyond.entries.len(), beyond.more), (0, false));
    assert_eq!(beyond.checkpoint, rest.checkpoint);
}

#[test]
fn strangers_get_checkpoints_with_proofs_and_no_entries_r_relay_52() {
    let mut world = World::new();
    let mut roots: Vec<(u64, Hash)> = Vec::new();
    for n in 0..9 {
        let checkpoint = world.checkpoint();
        roots.push((checkpoint.size(), *checkpoint.root()));
        let audit = world.committed(LeafKind::Audit, [n; 32]);
        world.enter(LeafKind::Audit, &audit);
    }
    let alice = world.member(1);
    let (asking, alices) = (world.anonymous(), world.login(&alice));
    for connection in [asking, alices] {
        for (size, root) in &roots {
            let get = Request::GetCheckpoint(proto::GetCheckpoint { from: *size });
            let Body::Checkpoint(answer) = world.ask(connection, get) else { panic!("no checkpoint") };
            let now = world.verified(&answer.note);
            let proof: Vec<Hash> =
                answer.proof.iter().map(|hash| hash.as_slice().try_into().unwrap()).collect();
            assert!(verify_consistency(*size, root, now.size(), now.root(), &proof), "R-RELAY-52: {size}");
        }
        for from in [12, 13, u64::MAX] {
            let get = Request::GetCheckpoint(proto::GetCheckpoint { from });
            let Body::Checkpoint(answer) = world.ask(connection, get) else { panic!("no checkpoint") };
            assert_eq!(answer.proof, Vec::<Vec<u8>>::new(), "R-RELAY-52");
        }
    }
    let sync = Request::SyncLog(proto::SyncLog { from: 0 });
    assert_eq!(world.ask(asking, sync.clone()), refusal(RefusalCode::NotAuthorised), "R-RELAY-51");
    let key = SigningKey::generate(&mut *world.rng);
    let enrolling = world.login_enrolling(&key);
    assert_eq!(world.ask(enrolling, sync), refusal(RefusalCode::NotAuthorised), "R-RELAY-51");
    let fresh = world.open();
    let early = world.ask(fresh, Request::GetCheckpoint(proto::GetCheckpoint { from: 0 }));
    assert_eq!(early, refusal(RefusalCode::BadRequest), "R-RELAY-3");
}

#[test]
fn the_log_key_is_given_to_whoever_asks_r_relay_54() {
    let mut world = World::new();
    let asking = world.anonymous();
    let key = world.relay.log_key().as_bytes().to_vec();
    let answer = world.ask(asking, Request::GetLogKey(proto::GetLogKey {}));
    assert_eq!(answer, Body::LogKey(proto::LogKey { key }));
}

#[test]
fn a_client_hears_of_an_entry_before_any_envelope_stored_after_it_r_relay_48() {
    let mut world = World::new();
    let (desk, alice, bob) = (world.desk(), world.member(1), world.member(2));
    let (desks, alices, bobs) = (world.login(&desk), world.login(&alice), world.login(&bob));
    let key = SigningKey::generate(&mut *world.rng);
    let (enrolling, sending) = (world.login_enrolling(&key), world.anonymous());
    world.subscribe(alices);
    world.pushed.clear();
    // In one group, with an entry that everybody could hear of later.
    let audits = [1, 2].map(|n| world.committed(LeafKind::Audit, [n; 32]));
    let frame = |body| encode(&proto::ClientFrame { request: 1, body: Some(body) });
    let frames = [
        frame(append(LeafKind::Audit, &audits[0])),
        frame(delivery(alice.mailbox(), &[1; 16], b"later")),
        frame(append(LeafKind::Audit, &audits[1])),
    ];
    let inputs = [(desks, 0), (sending, 1), (desks, 2)]
        .map(|(connection, at): (_, usize)| Input::Frame { connection, bytes: &frames[at] });
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    let to = |effects: &[Effect], wanted| -> Vec<Body> {
        let sent = effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Send { connection, .. } if *connection == wanted));
        sent.map(answer_of).collect()
    };
    let grown = |size| Body::LogGrown(proto::LogGrown { size });
    let alice_got = to(&effects, alices);
    assert!(matches!(&alice_got[..], [told, Body::Envelope(_)] if *told == grown(5)), "{alice_got:?}");
    assert_eq!(to(&effects, bobs), [], "he hears of it within a second");
    world.wait(Duration::from_secs(1));
    for connection in [alices, bobs, desks] {
        assert_eq!(world.pushed.remove(&connection), Some(vec![grown(6)]), "R-RELAY-48");
    }
    assert_eq!(world.pushed.remove(&enrolling), None, "R-RELAY-48: without a credential it may not sync");
    // What is shown is told at once, also when something was told just before.
    for sequence in 1..=2 {
        let policy = policy(&mut world, sequence);
        index(&world.ask(desks, append(LeafKind::Policy, &policy)));
        assert_eq!(world.pushed.remove(&bobs), Some(vec![grown(6 + sequence)]), "R-RELAY-48");
    }
    world.wait(Duration::from_secs(9));
    assert_eq!(world.pushed.remove(&bobs), None, "once");
}

#[test]
fn a_relay_does_not_start_on_a_log_that_is_damaged_cut_or_of_another_key_r_relay_44() {
    let mut world = World::new();
    let policy = policy(&mut world, 1);
    index(&world.enter(LeafKind::Policy, &policy));
    let start = |world: &mut World, storage: &mut MemoryStorage, log_key: Option<SigningKey>| {
        let log_key = log_key.unwrap_or_else(|| world.log_key());
        let organisation = world.relay.organisation().clone();
        let setup = Setup { organisation, pin: [0; 32], log_key, limits: Limits::default() };
        Relay::start(setup, storage, world.now, &mut *world.rng).map(|relay| relay.log_size())
    };
    let sound = world.storage.clone();
    assert_eq!(start(&mut world, &mut sound.clone(), None), Ok(3));
    let other = SigningKey::generate(&mut *world.rng);
    let refused = start(&mut world, &mut sound.clone(), Some(other));
    assert_eq!(refused, Err(StartError::Log(LogError::NotAuthentic)), "R-RELAY-44");
    let last = sound.log_entry(2).unwrap().unwrap();
    for change in [
        |entry: &mut LogEntry| entry.leaf[60] ^= 1,
        |entry: &mut LogEntry| entry.content = None,
        |entry: &mut LogEntry| entry.leaf[0] = 9,
        |entry: &mut LogEntry| entry.leaf[9] ^= 1,
    ] {
        let (mut storage, mut entry) = (sound.clone(), last.clone());
        change(&mut entry);
        storage.log_append(2, &entry).unwrap();
        assert!(matches!(start(&mut world, &mut storage, None), Err(StartError::Log(_))), "R-RELAY-44");
    }
    // The checkpoint is of three entries, and there are two.
    let mut cut = MemoryStorage::new();
    for at in 0..2 {
        cut.log_append(at, &sound.log_entry(at).unwrap().unwrap()).unwrap();
    }
    cut.put_note(&sound.note().unwrap().unwrap()).unwrap();
    assert_eq!(start(&mut world, &mut cut, None), Err(StartError::Log(LogError::OutOfOrder)));
}

#[test]
fn the_document_is_taken_over_while_the_relay_runs_and_only_the_same_organisations_r_relay_55() {
    let mut world = World::new();
    let alice = world.member(1);
    let alices = world.login(&alice);
    world.pushed.clear();
    let before = world.checkpoint();
    let mut other = chancery_crypto::rng::seeded([1; 32]);
    let root_key = SigningKey::generate(&mut other).verifying_key().as_bytes().to_vec();
    let foreign = proto::Organisation { root_key, ..Default::default() };
    let older = proto::Organisation { desk: None, ..world.document.clone() };
    let verify = |document: &proto::Organisation| {
        Organisation::verify(Unverified::new(document.clone()), None).unwrap()
    };
    for document in [&foreign, &older, &world.document.clone()] {
        world.input(Input::Organisation(&verify(document)));
        assert_eq!(world.checkpoint(), before, "R-RELAY-55: nothing is lacking");
    }
    assert!(world.relay.organisation().desk().is_some(), "the log forgets nothing");
    world.document.relay = Some(world.relay_record(1));
    world.storage.fail_commits(1, StorageError::Io);
    let newer = verify(&world.document);
    let failed =
        world.relay.handle(&mut world.storage, Input::Organisation(&newer), world.now, &mut *world.rng);
    assert_eq!(failed, Err(StorageError::Io));
    assert!(world.relay.organisation().relay().is_none());
    world.input(Input::Organisation(&newer));
    assert_eq!(world.relay.organisation().as_proto(), &world.document, "R-RELAY-55");
    assert_eq!(world.pushed.remove(&alices), Some(vec![Body::LogGrown(proto::LogGrown { size: 4 })]));
    let sending = world.anonymous();
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"x"), done());
}
