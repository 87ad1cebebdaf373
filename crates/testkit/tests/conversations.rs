//! Conversations through a true relay, with everything that can go wrong between a commit and an answer.
#![allow(missing_docs, reason = "a test")]

use std::time::Duration;

use chancery_testkit::{Fault, World};
use proptest::prelude::*;

#[test]
fn both_sides_hear_each_other_in_order_r_engine_3() {
    let (mut world, alice, bob) = World::pair(1);
    for round in 0..5 {
        world.say(alice, bob, &format!("a{round}"));
        world.say(alice, bob, &format!("A{round}"));
        world.run();
        world.say(bob, alice, &format!("b{round}"));
        world.run();
    }
    assert_eq!(world.heard(bob), ["a0", "A0", "a1", "A1", "a2", "A2", "a3", "A3", "a4", "A4"]);
    assert_eq!(world.heard(alice), ["b0", "b1", "b2", "b3", "b4"]);
    assert_eq!(world.history(alice, bob), world.history(bob, alice));
    assert_eq!((world.undecryptable(alice), world.undecryptable(bob)), (0, 0));
}

#[test]
fn somebody_who_enrolled_later_can_be_written_to() {
    let (mut world, alice, _) = World::pair(2);
    let carol = world.enrol("carol");
    world.sync(alice);
    world.say(alice, carol, "welcome");
    world.run();
    assert_eq!(world.heard(carol), ["welcome"]);
}

#[test]
fn simultaneous_first_messages_both_arrive_and_the_conversation_goes_on() {
    let (mut world, alice, bob) = World::pair(3);
    world.say(alice, bob, "from alice");
    world.say(bob, alice, "from bob");
    world.flush(alice);
    world.flush(bob);
    world.run();
    for round in 0..4 {
        world.say(alice, bob, &format!("a{round}"));
        world.say(bob, alice, &format!("b{round}"));
        world.run();
    }
    assert_eq!(world.heard(bob), ["from alice", "a0", "a1", "a2", "a3"]);
    assert_eq!(world.heard(alice), ["from bob", "b0", "b1", "b2", "b3"]);
}

#[test]
fn an_envelope_that_comes_twice_is_heard_once_r_engine_5() {
    let (mut world, alice, bob) = World::pair(4);
    for text in ["first", "second"] {
        world.say(alice, bob, text);
        world.flush(alice);
        for envelope in world.mail(bob) {
            world.inject(bob, envelope);
        }
        world.run();
    }
    assert_eq!(world.heard(bob), ["first", "second"]);
    assert_eq!(world.undecryptable(bob), 0);
}

#[test]
fn a_damaged_envelope_changes_nothing_r_engine_6() {
    let (mut world, alice, bob) = World::pair(5);
    for text in ["first", "second"] {
        world.say(alice, bob, text);
        world.flush(alice);
        let honest = world.mail(bob).remove(0);
        let mut other = World::new(99);
        let (carol, dave) = (other.enrol("carol"), other.enrol("dave"));
        other.say(carol, dave, "foreign");
        other.flush(carol);
        let mut damaged =
            vec![other.mail(dave).remove(0), Vec::from([0xFF]), Vec::from([0x11]), Vec::from([0x12])];
        for at in [0, 1, 20, 40, honest.len() / 2, honest.len() - 1] {
            let mut copy = honest.clone();
            copy[at] ^= 1;
            damaged.push(copy);
            damaged.push(honest[..at.max(1)].to_vec());
        }
        let before = world.undecryptable(bob);
        let count = damaged.len();
        for envelope in damaged {
            world.inject(bob, envelope);
        }
        world.run();
        assert_eq!(world.undecryptable(bob) - before, count);
    }
    assert_eq!(world.heard(bob), ["first", "second"]);
    // What healing has cost is all that is written down of it.
    const HEAL_STATE: chancery_wire::records::Table = chancery_wire::records::Table(0x0136);
    let disk = |world: &World| {
        let mut disk = world.disk(bob);
        disk.retain(|key, _| key.table != HEAL_STATE);
        disk
    };
    let before = disk(&world);
    world.inject(bob, vec![0x12; 512]);
    world.sync(bob);
    assert!(disk(&world) == before, "an envelope that does not authenticate changes no record");
}

#[test]
fn a_replayed_handshake_over_the_last_resort_prekey_is_refused_r_engine_10() {
    let (mut world, alice, bob) = World::pair(6);
    // Drain the one-time prekeys, so that alice gets the last resort.
    for _ in 0..chancery_engine::ONE_TIME_PAIRS {
        world.drain_prekey(bob);
    }
    world.say(alice, bob, "over the last resort");
    world.flush(alice);
    let handshake = world.mail(bob).remove(0);
    world.run();
    assert_eq!(world.heard(bob), ["over the last resort"]);
    // Push the envelope out of the record of fingerprints by changing nothing but that record.
    world.forget_seen(bob);
    world.inject(bob, handshake);
    world.run();
    assert_eq!(world.heard(bob), ["over the last resort"]);
    assert_eq!(world.undecryptable(bob), 1);
}

#[test]
fn prekeys_are_renewed_daily_and_an_absent_month_does_not_lose_a_message_r_engine_9() {
    let (mut world, alice, bob) = World::pair(7);
    world.say(alice, bob, "before the holidays");
    world.flush(alice);
    world.wait(Duration::from_secs(50 * 24 * 3600));
    world.sync(bob);
    assert_eq!(world.heard(bob), ["before the holidays"]);
    world.say(bob, alice, "back");
    world.run();
    assert_eq!(world.heard(alice), ["back"]);
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![Just(Fault::DieAfterCommit), Just(Fault::LoseAnswer), Just(Fault::RestartRelay)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_dies_in_between_everything_arrives_once_and_in_order_r_engine_2(
        seed in any::<u64>(),
        turns in prop::collection::vec((any::<bool>(), any::<bool>(), prop::collection::vec(fault(), 0..3)), 1..12),
    ) {
        let (mut world, alice, bob) = World::pair(seed);
        let mut said = (Vec::new(), Vec::new());
        for (number, (who, quiet, faults)) in turns.into_iter().enumerate() {
            let text = number.to_string();
            let (from, to, list) = if who { (alice, bob, &mut said.0) } else { (bob, alice, &mut said.1) };
            world.say(from, to, &text);
            list.push(text);
            world.schedule(faults);
            world.flush(from);
            if !quiet {
                world.sync(to);
            }
        }
        world.clear_faults();
        world.run();
        prop_assert_eq!(world.heard(bob), said.0);
        prop_assert_eq!(world.heard(alice), said.1);
        prop_assert_eq!((world.undecryptable(alice), world.undecryptable(bob)), (0, 0));
    }
}

#[test]
fn a_message_to_somebody_unknown_waits_for_the_directory_and_keeps_its_order_r_engine_14() {
    let mut world = World::new(8);
    let alice = world.enrol("alice");
    let bob = world.enrol("bob");
    // Alice has not synchronised since bob enrolled, and cannot now.
    world.say_by_name(alice, "bob", "first");
    world.say_by_name(alice, "bob", "second");
    world.say_by_name(alice, "nobody", "never");
    world.sync(alice);
    world.address(alice);
    world.say_by_name(alice, "bob", "third");
    world.run();
    assert_eq!(world.heard(bob), ["first", "second", "third"]);
    assert_eq!(world.history(alice, bob), ["first", "second", "third"]);
    let carol = world.enrol("nobody");
    world.sync(alice);
    world.address(alice);
    world.run();
    assert_eq!(world.heard(carol), ["never"]);
}

#[test]
fn what_waited_long_for_its_recipient_is_not_missed_as_soon_as_it_is_sent_r_engine_26() {
    let (mut world, alice, _) = World::pair(9);
    let other = world.add_device(alice);
    world.run();
    world.say(alice, alice, "note");
    world.run();
    world.say(other, alice, "answer");
    world.run();
    // Whom alice has not heard of, because she is offline.
    let carol = world.enrol("carol");
    world.say_by_name(alice, "carol", "hello");
    world.wait(Duration::from_secs(5 * 3600));
    world.sync(alice);
    world.address(alice);
    world.flush(alice);
    let sent = world.deliveries(alice).len();
    world.sync(alice);
    world.flush(alice);
    assert_eq!(world.deliveries(alice).len(), sent, "nobody had the time to acknowledge it");
    world.run();
    assert_eq!(world.heard(carol), ["hello"]);
    assert_eq!(world.heard(other), ["note", "hello"]);
}
