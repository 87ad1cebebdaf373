//! Several devices a person: copies, additions, removals, and long conversations in bad weather.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_testkit::{PersonId, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_message_reaches_all_devices_of_both_r_content_8() {
    let (mut world, alice, bob) = World::pair(1);
    let (alice_2, bob_2) = (world.add_device(alice), world.add_device(bob));
    world.run();
    let id = world.say(alice, bob, "to both of you");
    world.run();
    world.say(bob_2, alice, "answer");
    world.run();
    for device in [alice, alice_2] {
        assert_eq!(world.history(device, bob), ["to both of you", "answer"], "{device:?}");
    }
    for device in [bob, bob_2] {
        assert_eq!(world.history(device, alice), ["to both of you", "answer"], "{device:?}");
    }
    assert_eq!(world.state(alice, id), 3, "sent");
    assert_eq!(world.state(alice_2, id), 3, "a copy is a message that was sent");
    assert_eq!(world.heard(alice_2), ["to both of you", "answer"]);
}

#[test]
fn a_note_to_oneself_reaches_the_other_devices() {
    let (mut world, alice, _) = World::pair(2);
    let other = world.add_device(alice);
    world.run();
    let id = world.say(alice, alice, "milk");
    world.run();
    assert_eq!(world.history(other, alice), ["milk"]);
    assert_eq!(world.state(alice, id), 3);
}

#[test]
fn a_new_device_is_announced_before_anything_is_sealed_to_it_and_gets_nothing_old_r_engine_15() {
    let (mut world, alice, bob) = World::pair(3);
    let carol = world.enrol("carol");
    world.say(alice, bob, "old");
    world.run();
    let bob_2 = world.add_device(bob);
    let carol_2 = world.add_device(carol);
    assert!(world.mail(bob_2).is_empty());
    world.sync(alice);
    assert_eq!(world.devices_added(alice), [world.device_id(bob_2)], "nobody has written with carol");
    assert!(world.mail(bob_2).is_empty());
    world.say(alice, bob, "new");
    world.run();
    assert_eq!(world.heard(bob_2), ["new"]);
    assert_eq!(world.heard(bob), ["old", "new"]);
    assert!(world.heard(carol_2).is_empty());
    assert_eq!(world.devices_added(bob), [world.device_id(bob_2)], "the own other devices are told too");
}

#[test]
fn a_device_that_the_directory_drops_is_written_to_no_more_r_engine_15() {
    let (mut world, alice, bob) = World::pair(4);
    let bob_2 = world.add_device(bob);
    world.run();
    world.say(alice, bob, "both");
    world.run();
    assert_eq!(world.heard(bob_2), ["both"]);
    let waiting = world.say(alice, bob, "sealed, and not sent yet");
    world.remove_device(bob_2);
    world.sync(alice);
    assert_eq!(world.session(alice, bob_2), (None, 0));
    let before = world.undecryptable(alice);
    world.say(bob_2, alice, "from the lost telephone");
    world.flush(bob_2);
    world.run();
    assert_eq!(world.heard(bob_2), ["both"]);
    assert_eq!(world.heard(bob), ["both", "sealed, and not sent yet"]);
    assert_eq!(world.state(alice, waiting), 3);
    assert!(world.heard(alice).is_empty());
    assert!(world.undecryptable(alice) > before);
    assert!(world.handshakes(alice) <= 3, "one with each device, and at most one to heal with the other");
}

#[test]
fn simultaneous_beginnings_converge_within_ten_exchanges_r_engine_16() {
    for seed in 0..12 {
        let (mut world, alice, bob) = World::pair(100 + seed);
        world.say(alice, bob, "a");
        world.say(bob, alice, "b");
        world.flush(alice);
        world.flush(bob);
        for exchange in 0..10 {
            world.sync(alice);
            world.sync(bob);
            world.say(alice, bob, &format!("a{exchange}"));
            world.say(bob, alice, &format!("b{exchange}"));
            world.flush(alice);
            world.flush(bob);
        }
        world.run();
        let (active, archived) = world.session(alice, bob);
        assert_eq!(world.session(bob, alice), (active, archived), "seed {seed}");
        assert_eq!(world.heard(alice).len(), 11);
        assert_eq!(world.heard(bob).len(), 11);
        assert_eq!(world.undecryptable(alice) + world.undecryptable(bob), 0);
    }
}

#[test]
fn an_archived_session_ends_after_thirty_days_without_use_r_engine_17() {
    let (mut world, alice, bob) = World::pair(5);
    world.say(alice, bob, "a");
    world.say(bob, alice, "b");
    world.flush(alice);
    world.flush(bob);
    world.run();
    assert_eq!(world.session(alice, bob).1, 1);
    for _ in 0..32 {
        world.wait(DAY);
        world.run();
    }
    let (active, archived) = world.session(alice, bob);
    assert!(active.is_some());
    assert_eq!(archived, 0);
    world.say(alice, bob, "c");
    world.run();
    assert_eq!(world.heard(bob), ["a", "c"]);
}

#[test]
fn a_quiet_session_is_refreshed_and_nobody_sees_it_r_engine_21() {
    let (mut world, alice, bob) = World::pair(6);
    world.say(alice, bob, "a");
    world.run();
    let mut arrived = 0;
    for hour in 0..24 * 5 {
        world.wait(Duration::from_secs(3600));
        for id in [alice, bob] {
            world.sync(id);
            world.flush(id);
            arrived += world.mail(alice).len() + world.mail(bob).len();
        }
        // A refresh a day heals the session, which takes up to a dozen messages both ways together.
        assert!(arrived <= hour / 24 * 12 + 16, "hour {hour}: {arrived}");
    }
    assert!(arrived >= 4, "{arrived}");
    assert_eq!((world.heard(bob).len(), world.heard(alice).len()), (1, 0));
    assert_eq!(world.undecryptable(alice) + world.undecryptable(bob), 0);
    assert_eq!(world.held(alice, bob), 0, "acknowledged without a message");
}

/// After so many messages it is looked at what has come, and the histories are emptied: in a long run they would fill the machine's
/// memory. Sessions, numbers and what waits stay.
const CHAPTER: usize = 100_000;

/// Two people's devices, and the number of the message from which on each was there.
struct Couple {
    people: [Vec<PersonId>; 2],
    since: BTreeMap<PersonId, usize>,
}

impl Couple {
    fn devices(&self) -> Vec<PersonId> {
        self.people.iter().flatten().copied().collect()
    }

    fn texts(&self, world: &World, device: PersonId) -> Vec<usize> {
        let with = self.people[usize::from(self.people[0].contains(&device))][0];
        let history = world.history(device, with);
        let mut texts: Vec<usize> = history.iter().map(|text| text.parse().expect("a number")).collect();
        texts.sort_unstable();
        texts
    }

    /// Waits until every device has each of the messages from `begin` to `end` that it was there for, once.
    fn check(&self, world: &mut World, begin: usize, end: usize) {
        world.storm(0, 0);
        let expected = |device: &PersonId| (self.since[device].max(begin)..end).collect::<Vec<_>>();
        let is_whole = |world: &World| self.devices().iter().all(|it| self.texts(world, *it) == expected(it));
        let settled = world.settle(is_whole);
        let lacking = self.devices().into_iter().map(|device| {
            let texts = self.texts(world, device);
            let missing = expected(&device).into_iter().filter(|n| texts.binary_search(n).is_err());
            (device, texts.len(), missing.collect::<Vec<_>>())
        });
        let lacking: Vec<_> = lacking.filter(|(_, _, missing)| !missing.is_empty()).collect();
        assert!(settled, "{lacking:?} of {:?}", self.since);
    }
}

/// Two people whose devices grow to three each, in bad weather.
fn storm(seed: u64, count: usize) {
    let (mut world, alice, bob) = World::pair(seed);
    let mut couple = Couple { people: [vec![alice], vec![bob]], since: [(alice, 0), (bob, 0)].into() };
    let mut begin = 0;
    world.storm(10, 5);
    for number in 0..count {
        if number - begin == CHAPTER {
            couple.check(&mut world, begin, number);
            couple.devices().into_iter().for_each(|device| world.forget_history(device));
            world.tidy_relay();
            begin = number;
            world.storm(10, 5);
        }
        let due = [1, 2, 3, 4].iter().any(|part| number == count * part / 10);
        if due {
            let person = couple.people.iter().position(|devices| devices.len() < 3).expect("due four times");
            let person = if couple.people[0].len() > couple.people[1].len() { 1 } else { person };
            let new = world.add_device(couple.people[person][0]);
            couple.people[person].push(new);
            // Whom a message is for is fixed by what its sender knows.
            couple.devices().into_iter().for_each(|device| world.sync(device));
            couple.since.insert(new, number);
        }
        let person = world.dice(2) as usize;
        let devices = couple.people[person].len();
        let from = couple.people[person][world.dice(devices as u32) as usize];
        world.say(from, couple.people[1 - person][0], &number.to_string());
        if world.dice(3) == 0 {
            world.flush(from);
            let all = couple.devices();
            let to = all[world.dice(all.len() as u32) as usize];
            world.sync(to);
            world.flush(to);
            if world.dice(5) == 0 {
                world.restart(to);
            }
            let pause = world.dice(20_000);
            world.wait(Duration::from_millis(pause.into()));
        }
    }
    couple.check(&mut world, begin, count);
    let devices = couple.devices();
    let unread: usize = devices.iter().map(|device| world.undecryptable(*device)).sum();
    let handshakes: usize = devices.iter().map(|device| world.handshakes(*device)).sum();
    println!(
        "seed {seed}: {count} messages, {} devices, {handshakes} handshakes, {unread} unread",
        devices.len()
    );
}

/// `CHANCERY_MESSAGES` sets how many.
#[test]
fn all_devices_of_two_people_agree_whatever_happens_to_their_envelopes() {
    let count = std::env::var("CHANCERY_MESSAGES").ok().and_then(|count| count.parse().ok());
    match count {
        Some(count) => storm(7, count),
        None => (7..10).for_each(|seed| storm(seed, 300)),
    }
}

#[test]
fn a_removed_device_is_not_accepted_by_who_came_later_r_engine_15() {
    let mut world = World::new(34);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    let lost = world.add_device(bob);
    world.run();
    world.wait(Duration::from_secs(60));
    world.remove_device(lost);
    let carol = world.enrol("carol");
    world.say(lost, carol, "from the lost telephone");
    world.flush(lost);
    world.run();
    assert!(world.heard(carol).is_empty());
    assert_eq!(world.undecryptable(carol), 1);
    assert_eq!(world.session(carol, lost), (None, 0));
    world.wait(Duration::from_secs(60));
    // A device that is newer than the entry is a member's as any other.
    world.sync(alice);
    let (new, dave) = (world.add_device_unlisted(bob), alice);
    world.say(new, dave, "from the new telephone");
    world.flush(new);
    world.run();
    assert_eq!(world.heard(dave), ["from the new telephone"]);
    // And ends with the first entry that is newer and does not name it.
    world.wait(Duration::from_secs(60));
    world.remove_device(new);
    world.run();
    assert_eq!(world.session(dave, new), (None, 0));
}

#[test]
fn one_device_that_is_refused_does_not_take_the_message_from_the_others_r_engine_13() {
    let mut world = World::new(22);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    let bob_2 = world.add_device(bob);
    world.run();
    let id = world.say(alice, bob, "to one of two");
    world.claim_next(alice);
    world.refuse_next(alice);
    world.run();
    assert_eq!(world.heard(bob).len() + world.heard(bob_2).len(), 1);
    assert_eq!(world.state(alice, id), 3);
}
