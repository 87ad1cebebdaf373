//! What others rely on of a device, shown through a true relay.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_core::Session;
use chancery_engine::{
    Draft, Effect, Input, MAX_ARCHIVED, MAX_FOR_DEVICE, Notice, Step, log_size, member, message, newest_note,
    next_step, resolve,
};
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{
    Attachment, Content, DeviceRecord, DirectoryChange, DirectoryPage, DirectoryRecord, Heal, MessageRecord,
    NumberRange, PeerRecord, Text, client_frame, relay_frame,
};
use chancery_wire::records::{RecordKey, Table};
use chancery_wire::{Limit, Unverified, decode, encode};

use crate::{Fault, PersonId, World};

mod delivery;
mod directory_keys;

fn three(seed: u64) -> (World, [PersonId; 3]) {
    let mut world = World::new(seed);
    let people = ["alice", "bob", "carol"].map(|handle| world.enrol(handle));
    world.run();
    (world, people)
}

fn step(world: &World, id: PersonId) -> Step {
    next_step(&world.people[id.0].disk, &BTreeSet::new()).expect("readable").expect("something to send")
}

#[test]
fn records_lie_where_the_protocol_page_says_r_engine_1() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/PROTOCOL.md")).unwrap();
    let rule = page.split("**R-ENGINE-1.**").nth(1).unwrap().split("\n\n").next().unwrap();
    let table = |text: &str| text.get(..4).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    let documented: BTreeSet<u16> = rule.split("0x").skip(1).filter_map(table).collect();
    assert_eq!(documented.len(), 78);

    let (mut world, [alice, bob, _]) = three(1);
    world.say(alice, bob, "a");
    world.run();
    world.say(bob, alice, "b");
    world.say(alice, bob, "not sent yet");
    world.run();
    world.say_by_name(alice, "nobody", "later");
    let disk = world.disk(alice);
    let used: BTreeSet<u16> = disk.keys().map(|key| key.table.0).collect();
    assert!(used.is_subset(&documented), "{used:x?}");
    let rows = |number: u16| {
        let of_table = disk.iter().filter(move |(key, _)| key.table == Table(number));
        let rows: Vec<_> = of_table.map(|(key, value)| (key.name.as_slice(), value.as_slice())).collect();
        assert!(!rows.is_empty(), "nothing in 0x{number:04x}");
        rows
    };
    let (own, bob_member) = (world.people[alice.0].member_id, world.people[bob.0].member_id);
    let bob_device = world.people[bob.0].device_id;
    decode::<DeviceRecord>(rows(0x0100)[0].1, Limit::RECORD).unwrap();
    let entry = rows(0x0110).into_iter().find(|(name, _)| *name == bob_member.as_bytes()).unwrap();
    assert_eq!(decode::<DirectoryRecord>(entry.1, Limit::RECORD).unwrap().unchecked().handle, "bob");
    assert!(rows(0x0111).contains(&(b"bob", bob_member.as_bytes())));
    assert_eq!(rows(0x0112)[0].1.len(), 8);
    let peer = rows(0x0131).into_iter().find(|(name, _)| *name == bob_device.as_bytes()).unwrap();
    let peer = decode::<PeerRecord>(peer.1, Limit::RECORD).unwrap().into_unchecked();
    let session = rows(0x0130).into_iter().find(|(name, _)| *name == peer.active).unwrap();
    assert_eq!(Session::from_bytes(session.1).unwrap().id().as_slice(), peer.active);
    assert!(rows(0x0132).iter().all(|(tag, session)| tag.len() == 16 && *session == peer.active));
    let sent = rows(0x0150).into_iter().find(|(name, _)| name.starts_with(own.as_bytes())).unwrap();
    let sent = decode::<MessageRecord>(sent.1, Limit::RECORD).unwrap().into_unchecked();
    assert_eq!(sent.conversation, bob_member.as_bytes());
    assert!(rows(0x0170).iter().all(|(fingerprint, _)| fingerprint.len() == 16));
    for number in
        [0x0120, 0x0121, 0x0133, 0x0134, 0x0141, 0x0151, 0x0160, 0x0171, 0x0180, 0x01C8, 0x01C9, 0x01CB]
    {
        rows(number);
    }
}

#[test]
fn a_delivery_that_is_repeated_is_the_same_and_comes_before_the_next_r_engine_3() {
    let (mut world, [alice, bob, _]) = three(2);
    world.say(alice, bob, "first");
    world.say(alice, bob, "second");
    world.claim_next(alice);
    let Step::Deliver { deliver: before, .. } = step(&world, alice) else { panic!("not sealed") };
    world.schedule([Fault::LoseAnswer]);
    world.flush(alice);
    let at_relay = world.mail(bob);
    assert_eq!(at_relay, std::slice::from_ref(&before.envelope), "the relay has it, alice does not know");
    world.restart(alice);
    let Step::Deliver { deliver: again, .. } = step(&world, alice) else { panic!("not repeated") };
    assert_eq!(again, before, "the same delivery id, the same bytes");
    world.flush(alice);
    assert_eq!(world.mail(bob).len(), 2);
    assert_eq!(world.mail(bob)[0], before.envelope);
    world.run();
    assert_eq!(world.heard(bob), ["first", "second"]);
}

#[test]
fn nobody_replaces_what_somebody_else_wrote_under_the_same_id_r_engine_4() {
    let (mut world, [alice, bob, carol]) = three(3);
    let to = world.people[alice.0].member_id;
    for (from, text) in [(bob, "from bob"), (carol, "from carol")] {
        let draft = Draft { to, message_id: [9; 16], text, attachments: Vec::new() };
        world.handle(from, Input::Send(draft));
        world.run();
    }
    for (from, text) in [(bob, "from bob"), (carol, "from carol")] {
        let author = world.people[from.0].member_id;
        let stored = message(&world.people[alice.0].disk, &author, &[9; 16]).unwrap().unwrap();
        assert_eq!(stored.text.unwrap().text, text);
    }
    assert_eq!(world.heard(alice), ["from bob", "from carol"]);
}

#[test]
fn of_many_sessions_one_is_active_and_eight_are_kept_r_engine_7() {
    let (mut world, [alice, bob, _]) = three(4);
    let before = world.disk(alice);
    let mut active = BTreeSet::new();
    for round in 0..MAX_ARCHIVED + 3 {
        world.restore(alice, before.clone());
        world.say(alice, bob, &format!("round {round}"));
        world.flush(alice);
        world.sync(bob);
        let (session, archived) = world.session(bob, alice);
        assert_eq!(archived, round.min(MAX_ARCHIVED));
        assert!(active.insert(session.unwrap()), "the new session is the active one");
    }
    const SESSION: Table = Table(0x0130);
    let kept = world.disk(bob).keys().filter(|key| key.table == SESSION).count();
    assert_eq!(kept, MAX_ARCHIVED + 1, "nothing is left of those that were dropped");
    assert_eq!(world.heard(bob).len(), MAX_ARCHIVED + 3);
}

#[test]
fn a_bundle_of_another_device_is_not_used_r_engine_8() {
    let (mut world, [alice, bob, carol]) = three(5);
    world.say(alice, bob, "for bob alone");
    let Step::Claim { item, device_id } = step(&world, alice) else { panic!("a session there is not") };
    assert_eq!(device_id, *world.people[bob.0].device_id.as_bytes());
    let mut line = world.exchange.connect(world.now, world.rng.as_mut());
    let claim = client_frame::Body::ClaimPrekeys(world.claim_of(carol));
    let answer = world.ask(&mut line, claim);
    let Some(relay_frame::Body::Bundle(bundle)) = answer else { panic!("no bundle: {answer:?}") };
    let before = world.disk(alice);
    let bundle = Box::new(Unverified::new(bundle));
    let effects = world.handle(alice, Input::Bundle { item, bundle });
    assert_eq!(effects, [Effect::Notify(Notice::BundleRejected)]);
    assert!(world.disk(alice) == before, "a refused bundle changes nothing");
    world.run();
    assert_eq!((world.heard(bob).len(), world.heard(carol).len()), (1, 0));
}

#[test]
fn the_higher_version_counts_and_nothing_moves_with_a_handle_r_engine_11() {
    let (mut world, [alice, bob, carol]) = three(6);
    world.say(bob, alice, "from bob");
    world.run();
    let devices = |world: &World, id: PersonId| vec![world.people[id.0].device_id.as_bytes().to_vec()];
    let take = |world: &mut World, who: PersonId, handle: &str, version: u64| {
        let member_id = world.people[who.0].member_id;
        // Above what the desk has given, which is the time.
        let version = world.now.as_millis() + version;
        let entry = world.sign_entry(member_id, handle, devices(world, who), version);
        // An honest log takes none of a lower version.
        if version > world.now.as_millis() + 4 {
            world.commit_to(&entry);
            world.sync_log(alice);
        }
        let change = DirectoryChange { sequence: u64::MAX / 2, entry: Some(entry) };
        world.handle(alice, Input::Directory(&DirectoryPage { changes: vec![change], more: false }));
    };
    let named = |world: &World, handle: &str| {
        resolve(&world.people[alice.0].disk, handle).expect("readable").map(|member| member.member_id)
    };
    let (bob_member, carol_member) = (world.people[bob.0].member_id, world.people[carol.0].member_id);
    take(&mut world, bob, "robert", 5);
    assert_eq!((named(&world, "robert"), named(&world, "bob")), (Some(bob_member), None));
    take(&mut world, bob, "bob", 4);
    assert_eq!((named(&world, "robert"), named(&world, "bob")), (Some(bob_member), None));
    take(&mut world, carol, "robert", 5);
    assert_eq!((named(&world, "robert"), named(&world, "carol")), (Some(carol_member), None));
    let stored = member(&world.people[alice.0].disk, &bob_member).unwrap().unwrap();
    assert_eq!(stored.handle, "robert", "what his own entry says; the handle leads to carol");
    assert_eq!(world.history(alice, bob), ["from bob"]);
    assert_eq!(world.history(alice, carol), [""; 0]);
    const PEER: Table = Table(0x0131);
    let peer = &world.people[alice.0].disk[&RecordKey::new(PEER, *world.people[bob.0].device_id.as_bytes())];
    let peer = decode::<PeerRecord>(peer, Limit::RECORD).unwrap().into_unchecked();
    assert_eq!(peer.member_id, bob_member.as_bytes(), "sessions belong to the member");
}

/// Encrypts any content over a person's own session, as a client of another make could.
fn say_raw(world: &mut World, from: PersonId, to: PersonId, content: &Content) {
    const SESSION: Table = Table(0x0130);
    let (active, _) = world.session(from, to);
    let name = RecordKey::new(SESSION, active.expect("they have talked"));
    let mut session = Session::from_bytes(&world.people[from.0].disk[&name]).expect("stored");
    let envelope = session.encrypt(&encode(content), world.rng.as_mut()).expect("can send");
    world.people[from.0].disk.insert(name, session.to_bytes().expose().to_vec());
    world.restart(from);
    world.inject(to, envelope);
    world.sync(to);
}

#[test]
fn a_text_beyond_its_limits_is_not_readable_r_content_2() {
    let (mut world, [alice, bob, _]) = three(7);
    for (from, to) in [(alice, bob), (bob, alice)] {
        world.say(from, to, "hello");
        world.run();
    }
    let file = Attachment { blob_id: vec![1; 16], key: vec![2; 32], ..Attachment::default() };
    let content = |id: &[u8], text: String, attachments: Vec<Attachment>| Content {
        id: id.to_vec(),
        sent_at: 1,
        body: Some(Body::Text(Text { text, attachments, ..Text::default() })),
        ..Content::default()
    };
    let most = "x".repeat(32_768);
    let bad = [
        content(&[1; 16], format!("{most}x"), Vec::new()),
        content(&[2; 16], String::new(), vec![file.clone(); 33]),
        content(&[3; 15], "short id".into(), Vec::new()),
        content(&[4; 17], "long id".into(), Vec::new()),
        content(&[5; 16], String::new(), vec![Attachment { blob_id: vec![1; 15], ..file.clone() }]),
        content(&[6; 16], String::new(), vec![Attachment { key: vec![2; 31], ..file.clone() }]),
    ];
    for (number, content) in bad.iter().enumerate() {
        say_raw(&mut world, bob, alice, content);
        assert_eq!(world.undecryptable(alice), number + 1);
    }
    say_raw(&mut world, bob, alice, &content(&[7; 16], most.clone(), vec![file; 32]));
    assert_eq!(world.heard(alice), ["hello", &most], "at the limits all is well");
    assert_eq!(world.undecryptable(alice), bad.len());
}

#[test]
fn a_content_without_a_message_is_not_shown_r_content_1() {
    let (mut world, [alice, bob, _]) = three(8);
    for (from, to) in [(alice, bob), (bob, alice)] {
        world.say(from, to, "hello");
        world.run();
    }
    let heal = Heal { highest: 1, missing: Vec::new() };
    for body in [None, Some(Body::Heal(heal))] {
        say_raw(&mut world, bob, alice, &Content { sent_at: 1, body, ..Content::default() });
    }
    assert_eq!(world.heard(alice), ["hello"]);
    assert_eq!(world.history(alice, bob), ["hello", "hello"]);
    assert_eq!(world.undecryptable(alice), 0);
}

/// Two people who have written to each other, and what the second of them asks for.
fn asked_for(seed: u64, highest: u64, missing: Option<u64>) -> (World, [PersonId; 2], Content) {
    let (mut world, [alice, bob, _]) = three(seed);
    for (from, to) in [(alice, bob), (bob, alice)] {
        world.say(from, to, "hello");
        world.run();
    }
    let missing = missing.map(|number| NumberRange { first: number, last: number });
    let heal = Heal { highest, missing: missing.into_iter().collect() };
    (world, [alice, bob], Content { body: Some(Body::Heal(heal)), ..Content::default() })
}

#[test]
fn whoever_asks_for_what_is_gone_again_and_again_gets_an_answer_a_minute_r_engine_20() {
    let (mut world, [alice, bob], heal) = asked_for(11, 1, Some(1));
    for minute in 1..4 {
        for _ in 0..20 {
            say_raw(&mut world, bob, alice, &heal);
        }
        assert_eq!(world.waiting_for(alice, bob), minute);
        world.wait(Duration::from_secs(60));
    }
}

#[test]
fn answers_take_no_more_places_than_a_device_has_r_engine_13_r_engine_20() {
    let (mut world, [alice, bob], heal) = asked_for(12, 0, None);
    for _ in 0..MAX_FOR_DEVICE - 3 {
        world.say(alice, bob, "waits");
    }
    for _ in 0..3 {
        say_raw(&mut world, bob, alice, &heal);
        world.wait(Duration::from_secs(60));
    }
    assert_eq!(world.waiting_for(alice, bob), MAX_FOR_DEVICE);
}

#[test]
fn of_two_first_messages_with_one_one_time_key_the_second_is_refused_r_handshake_11_r_engine_9() {
    let (mut world, [alice, bob, carol]) = three(9);
    world.say(alice, bob, "from alice");
    world.say(carol, bob, "from carol");
    // A dishonest relay hands the same pair to both.
    let mut line = world.exchange.connect(world.now, world.rng.as_mut());
    let claim = client_frame::Body::ClaimPrekeys(world.claim_of(bob));
    let answer = world.ask(&mut line, claim);
    let Some(relay_frame::Body::Bundle(bundle)) = answer else { panic!("no bundle: {answer:?}") };
    assert!(bundle.one_time.is_some());
    const PREKEY: Table = Table(0x0120);
    let secrets = |world: &World| world.disk(bob).keys().filter(|key| key.table == PREKEY).count();
    let before = secrets(&world);
    for from in [alice, carol] {
        let item = step(&world, from).item();
        let bundle = Box::new(Unverified::new(bundle.clone()));
        assert_eq!(world.handle(from, Input::Bundle { item, bundle }), []);
        world.flush(from);
    }
    world.sync(bob);
    assert_eq!(secrets(&world), before - 2, "the pair is gone");
    assert_eq!((world.heard(bob), world.undecryptable(bob)), (vec!["from alice".to_owned()], 1));
    assert_eq!(world.session(bob, carol), (None, 0), "nothing is left of the second");
}

#[test]
fn a_checkpoint_that_is_known_costs_no_commit_r_engine_32() {
    let (mut world, [alice, ..]) = three(71);
    assert!(world.check_log(alice));
    let now = world.clock_of(alice);
    let known = newest_note(&world.people[alice.0].disk).unwrap().expect("confirmed");
    let damaged = known.replacen("time 1", "time 2", 1);
    assert_ne!(known, damaged);
    let person = &world.people[alice.0];
    let from = log_size(&person.disk).unwrap();
    let mut given = |note: &str| {
        let engine = person.engine.as_ref().expect("started");
        engine.handle(&person.disk, Input::Checkpoint { from, note }, now, world.rng.as_mut()).unwrap()
    };
    let again = given(&known);
    assert!(again.batch.is_empty() && again.effects.is_empty());
    assert!(matches!(given(&damaged).effects.as_slice(), [Effect::Notify(Notice::LogInvalid(_))]));
}
