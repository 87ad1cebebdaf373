//! What waits in vain: a lost device, a file that cannot be uploaded, and what they may cost everybody else.

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_engine::{
    Draft, EngineError, Event, Input, MAX_FOR_DEVICE, MAX_WAIT, MessageState, Step, events, message,
    next_step, waiting_uploads,
};
use chancery_wire::encode;
use chancery_wire::proto::{Attachment, OutboxTarget};
use chancery_wire::records::{RecordKey, Table};

use crate::person::PersonId;
use crate::world::World;

const OUTBOX: Table = Table(0x0140);
const DAY: Duration = Duration::from_secs(24 * 3600);
const QUEUED: u32 = MessageState::Queued as u32;
const SENT: u32 = MessageState::Sent as u32;
const FAILED: u32 = MessageState::Failed as u32;

/// Alice, Bob and a second device of Bob's; each device of his has a session with her.
fn three(seed: u64) -> (World, PersonId, PersonId, PersonId) {
    let mut world = World::new(seed);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    let lost = world.add_device(bob);
    world.run();
    world.say(alice, bob, "hello");
    world.run();
    (world, alice, bob, lost)
}

fn device(world: &World, id: PersonId) -> [u8; 16] {
    *world.people[id.0].device_id.as_bytes()
}

fn offered(world: &World, of: PersonId, blocked: &BTreeSet<[u8; 16]>) -> Option<Step> {
    next_step(&world.people[of.0].disk, blocked).expect("readable")
}

/// Sends what is not for one device; that one's next item cannot be delivered.
fn flush_but(world: &mut World, from: PersonId, lost: PersonId) {
    let blocked = BTreeSet::from([device(world, lost)]);
    world.check_log(from);
    while let Some(step) = offered(world, from, &blocked) {
        if let Step::Seal { item, .. } = step {
            world.handle(from, Input::Seal { item });
            continue;
        }
        assert!(matches!(step, Step::Deliver { .. }), "{step:?}");
        world.handle(from, Input::Done { item: step.item() });
    }
    if let Some(step) = offered(world, from, &BTreeSet::new()) {
        world.handle(from, Input::Postponed { item: step.item() });
    }
}

#[test]
fn a_message_that_one_device_has_is_sent_although_another_is_lost_r_engine_13() {
    let (mut world, alice, bob, lost) = three(1);
    let id = world.say(alice, bob, "one of two");
    assert_eq!(world.state(alice, id), QUEUED);
    flush_but(&mut world, alice, lost);
    assert_eq!(world.state(alice, id), SENT);
    assert!(offered(&world, alice, &BTreeSet::new()).is_some(), "the other goes on being tried");
}

#[test]
fn what_a_lost_device_does_not_take_ends_after_thirty_days_r_engine_13() {
    let (mut world, alice, bob, lost) = three(2);
    let id = world.say(alice, bob, "one of two");
    flush_but(&mut world, alice, lost);
    world.wait(20 * DAY);
    let later = world.say(alice, bob, "ten days young at the end of the first");
    flush_but(&mut world, alice, lost);
    world.wait(9 * DAY);
    flush_but(&mut world, alice, lost);
    world.wait(DAY - Duration::from_secs(1));
    flush_but(&mut world, alice, lost);
    let first = offered(&world, alice, &BTreeSet::new()).expect("a second too early").item();
    world.wait(Duration::from_secs(1));
    flush_but(&mut world, alice, lost);
    assert_ne!(offered(&world, alice, &BTreeSet::new()).expect("the later one").item(), first);
    world.wait(20 * DAY);
    flush_but(&mut world, alice, lost);
    assert_eq!(offered(&world, alice, &BTreeSet::new()), None);
    assert_eq!([world.state(alice, id), world.state(alice, later)], [SENT, SENT]);
}

#[test]
fn a_clock_that_is_ahead_for_a_while_gives_nothing_up_and_keeps_nothing_for_ever_r_engine_13() {
    let (mut world, alice, bob, lost) = three(9);
    let right = world.now;
    world.say(alice, bob, "in time");
    flush_but(&mut world, alice, lost);
    let first = offered(&world, alice, &BTreeSet::new()).expect("it waits").item();
    for _ in 0..6 {
        flush_but(&mut world, alice, lost);
        world.wait(DAY);
    }
    world.wait(MAX_WAIT);
    flush_but(&mut world, alice, lost);
    world.wait(DAY / 2);
    let ahead = world.say(alice, bob, "ahead of time");
    flush_but(&mut world, alice, lost);
    let next = offered(&world, alice, &BTreeSet::new()).map(|step| step.item());
    assert_eq!(next, Some(first), "the clock has jumped, that is all");

    // Set right again; nothing is known any more of what lies ahead.
    world.now = right.after(7 * DAY);
    flush_but(&mut world, alice, lost);
    for _ in 0..MAX_WAIT.as_secs() / DAY.as_secs() * 2 {
        world.wait(DAY);
        flush_but(&mut world, alice, lost);
    }
    assert_eq!(offered(&world, alice, &BTreeSet::new()), None);
    assert_eq!(world.state(alice, ahead), SENT);
}

#[test]
fn a_clock_that_was_ahead_when_a_device_first_failed_does_not_keep_it_for_ever_r_engine_13() {
    let (mut world, alice, bob, lost) = three(10);
    let right = world.now;
    world.wait(300 * DAY);
    world.say(alice, bob, "from the future");
    flush_but(&mut world, alice, lost);
    world.now = right;
    for _ in 0..=60 {
        flush_but(&mut world, alice, lost);
        world.wait(DAY);
    }
    assert_eq!(offered(&world, alice, &BTreeSet::new()), None);
}

#[test]
fn a_message_that_no_device_took_has_failed_after_thirty_days_r_engine_13() {
    let (mut world, alice, bob) = World::pair(3);
    let id = world.say(alice, bob, "into the void");
    // A sender that was switched off for two months has not tried yet.
    world.wait(60 * DAY);
    flush_but(&mut world, alice, bob);
    assert_eq!(world.state(alice, id), QUEUED);
    world.wait(MAX_WAIT);
    flush_but(&mut world, alice, bob);
    assert_eq!(world.state(alice, id), QUEUED, "it was switched off again, and has a day");
    world.wait(DAY);
    flush_but(&mut world, alice, bob);
    assert_eq!(world.state(alice, id), FAILED);
    assert_eq!(offered(&world, alice, &BTreeSet::new()), None);
}

#[test]
fn a_device_that_took_something_in_between_is_not_given_up_r_engine_13() {
    let (mut world, alice, bob, lost) = three(4);
    world.say(alice, bob, "first");
    world.say(alice, bob, "second");
    flush_but(&mut world, alice, lost);
    world.wait(MAX_WAIT);
    let step = offered(&world, alice, &BTreeSet::new()).expect("the first");
    world.handle(alice, Input::Done { item: step.item() });
    flush_but(&mut world, alice, lost);
    assert!(offered(&world, alice, &BTreeSet::new()).is_some(), "the second is tried on");
}

#[test]
fn a_file_that_the_relay_never_takes_ends_its_message_after_thirty_days_r_engine_13() {
    let (mut world, alice, bob) = World::pair(5);
    let file = Attachment {
        blob_id: vec![1; 16],
        key: vec![0; 32],
        size: 1,
        name: "file".into(),
        media_type: String::new(),
        ..Default::default()
    };
    let to = world.people[bob.0].member_id;
    let draft = Draft { to, message_id: [1; 16], text: "a file", attachments: vec![file] };
    world.handle(alice, Input::Send(draft));
    for (state, pause) in [(QUEUED, MAX_WAIT), (QUEUED, DAY), (FAILED, DAY)] {
        let step = offered(&world, alice, &BTreeSet::new()).expect("the upload");
        assert!(matches!(step, Step::Upload { .. }), "{step:?}");
        world.handle(alice, Input::Postponed { item: step.item() });
        assert_eq!(world.state(alice, [1; 16]), state);
        world.wait(pause);
    }
    let name = RecordKey::new(OUTBOX, [1; 16]);
    assert!(!world.disk(alice).contains_key(&name), "nothing is kept of a file that is gone");
    assert!(waiting_uploads(&world.people[alice.0].disk).expect("readable").is_empty());
}

#[test]
fn a_lost_device_does_not_fill_the_outbox_for_others_r_engine_13() {
    let (mut world, alice, bob, lost) = three(6);
    let carol = world.enrol("carol");
    world.run();
    for _ in 0..MAX_FOR_DEVICE {
        world.say(alice, bob, "one of two");
        flush_but(&mut world, alice, lost);
    }
    let more = world.say(alice, bob, "for the other device alone");
    flush_but(&mut world, alice, lost);
    assert_eq!(world.state(alice, more), SENT);
    let (lost, disk) = (device(&world, lost), &world.people[alice.0].disk);
    assert_eq!(next_step(disk, &BTreeSet::from([lost])), Ok(None));
    world.say(alice, carol, "to somebody else");

    // Nobody else has a device that could take it.
    world.run();
    let to = world.people[carol.0].member_id;
    for _ in 0..MAX_FOR_DEVICE {
        world.say(alice, carol, "offline");
    }
    let person = &world.people[alice.0];
    let engine = person.engine.as_ref().expect("started");
    let draft = Draft { to, message_id: [7; 16], text: "one too many", attachments: Vec::new() };
    let now = world.now;
    let refused = engine.handle(&person.disk, Input::Send(draft), now, world.rng.as_mut());
    assert_eq!(refused.err(), Some(EngineError::QueueFull));
    assert_eq!(message(&person.disk, &person.member_id, &[7; 16]), Ok(None));
}

#[test]
fn a_message_by_name_that_cannot_be_queued_yet_leaves_no_trace_r_engine_14() {
    let mut world = World::new(8);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    let second = world.add_device(alice);
    world.run();
    world.say(alice, bob, "a session with everybody");
    world.run();
    let full = OutboxTarget { waiting: MAX_FOR_DEVICE, ..OutboxTarget::default() };
    let name = RecordKey::new(OUTBOX, device(&world, bob));
    world.people[alice.0].disk.insert(name.clone(), encode(&full));
    let held = world.held(alice, second);
    world.say_by_name(alice, "bob", "too much waits for him");
    let before = world.disk(alice);
    for _ in 0..3 {
        world.address(alice);
    }
    assert!(world.disk(alice) == before, "a session, a number or a counter has moved");
    assert_eq!(world.held(alice, second), held);

    world.people[alice.0].disk.remove(&name);
    world.address(alice);
    world.run();
    assert_eq!(world.heard(bob).last().map(String::as_str), Some("too much waits for him"));
    assert_eq!(world.held(alice, second), held + 1);
}

#[test]
fn events_that_are_no_messages_stand_between_those_that_are_and_are_taken_with_them_r_engine_15() {
    let mut world = World::new(7);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    world.say(bob, alice, "before");
    world.run();
    world.add_device(bob);
    world.sync(alice);
    world.say(bob, alice, "behind");
    world.run();
    let disk = &world.people[alice.0].disk;
    let shown = |most| -> Vec<String> {
        let found = events(disk, most).expect("readable");
        let show = |(_, event)| match event {
            Event::Message(message) => message.text.expect("a text").text,
            Event::DeviceAdded { .. } => "a device".into(),
            other => format!("{other:?}"),
        };
        found.into_iter().map(show).collect()
    };
    assert_eq!(shown(10), ["before", "a device", "behind"]);
    assert_eq!(shown(2), ["before", "a device"]);
}
