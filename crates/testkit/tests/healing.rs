//! Sessions heal by themselves: whatever was lost or damaged arrives after all, and nobody does anything for it.
#![allow(
    missing_docs,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test"
)]

use std::time::Duration;

use chancery_testkit::{Fate, PersonId, World};

fn talking(seed: u64) -> (World, PersonId, PersonId) {
    let mut world = World::new(seed);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    world.run();
    world.say(alice, bob, "a0");
    world.run();
    world.say(bob, alice, "b0");
    world.run();
    (world, alice, bob)
}

fn hears(world: &mut World, who: PersonId, texts: &[&str]) {
    let mut expected: Vec<_> = texts.to_vec();
    expected.sort_unstable();
    let sorted = |world: &World| {
        let mut heard = world.heard(who);
        heard.sort_unstable();
        heard
    };
    world.settle(|world| sorted(world) == expected);
    assert_eq!(sorted(world), expected);
}

#[test]
fn a_corrupted_envelope_is_sent_again_over_a_new_session_r_engine_19() {
    let (mut world, alice, bob) = talking(1);
    let before = world.session(bob, alice).0;
    world.fate(bob, [Fate::Corrupt]);
    world.say(alice, bob, "a1");
    world.run();
    assert_eq!(world.undecryptable(bob), 1);
    hears(&mut world, bob, &["a0", "a1"]);
    assert_ne!(world.session(bob, alice).0, before);
    assert_eq!(world.session(alice, bob).0, world.session(bob, alice).0);
    assert_eq!(world.handshakes(alice) + world.handshakes(bob), 2, "one more than at the start");
    world.say(bob, alice, "b1");
    hears(&mut world, alice, &["b0", "b1"]);
}

#[test]
fn an_envelope_with_an_unknown_tag_leads_to_a_new_session_r_engine_19() {
    let (mut world, alice, bob) = talking(2);
    world.fate(bob, [Fate::Estrange]);
    world.say(alice, bob, "a1");
    hears(&mut world, bob, &["a0", "a1"]);
    assert_eq!(world.handshakes(bob), 1);
}

#[test]
fn envelopes_that_were_lost_for_good_are_missed_and_sent_again_r_engine_18() {
    let (mut world, alice, bob) = talking(3);
    world.fate(bob, [Fate::Lose, Fate::Lose, Fate::Arrive, Fate::Lose]);
    for text in ["a1", "a2", "a3", "a4", "a5"] {
        world.say(alice, bob, text);
    }
    world.run();
    assert_eq!(world.heard(bob), ["a0", "a3", "a5"]);
    assert_eq!(world.handshakes(bob), 0, "what is late is waited for");
    hears(&mut world, bob, &["a0", "a1", "a2", "a3", "a4", "a5"]);
    assert_eq!(world.handshakes(bob), 1);
}

#[test]
fn a_lost_first_message_is_sent_again_r_engine_19() {
    let mut world = World::new(4);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    world.run();
    // The two have met; alice's next session begins after bob's device lost its prekeys' answer.
    world.say(bob, alice, "b0");
    world.run();
    world.fate(bob, [Fate::Lose, Fate::Arrive]);
    world.say(alice, bob, "a1");
    world.say(alice, bob, "a2");
    hears(&mut world, bob, &["a1", "a2"]);
    hears(&mut world, alice, &["b0"]);
}

#[test]
fn a_stranger_s_first_message_that_cannot_be_opened_is_answered_with_nothing_r_engine_19() {
    let mut world = World::new(5);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    world.run();
    world.fate(bob, [Fate::Corrupt]);
    world.say(alice, bob, "a1");
    world.run();
    assert_eq!(world.handshakes(bob), 0, "there is nobody to answer");
    assert!(world.mail(alice).is_empty());
    // As soon as bob can write to alice's device, or reads another message of hers, it is found missing.
    world.say(alice, bob, "a2");
    world.run();
    world.say(bob, alice, "b1");
    hears(&mut world, bob, &["a1", "a2"]);
}

#[test]
fn a_restored_disk_heals_in_both_directions_r_engine_20() {
    for seed in 10..14 {
        let (mut world, alice, bob) = talking(seed);
        let old = world.disk(bob);
        for round in 0..3 {
            world.say(alice, bob, &format!("lost a{round}"));
            world.run();
            world.say(bob, alice, &format!("lost b{round}"));
            world.run();
        }
        world.restore(bob, old);
        // More than the numbers that were used twice, so that nothing but their messages tells them apart.
        let texts: Vec<String> = (0..5).map(|n| format!("after b{n}")).collect();
        for text in &texts {
            world.say(bob, alice, text);
        }
        world.say(alice, bob, "after a");
        let is_healed = |world: &World| {
            world.history(bob, alice).contains(&"after a".to_owned())
                && texts.iter().all(|text| world.history(alice, bob).contains(text))
        };
        assert!(world.settle(is_healed), "{:?} {:?}", world.history(bob, alice), world.history(alice, bob));
        world.say(alice, bob, "and on");
        world.say(bob, alice, "and back");
        world.run();
        assert!(world.heard(bob).contains(&"and on".into()));
        assert!(world.heard(alice).contains(&"and back".into()));
        let heard = world.heard(alice);
        assert_eq!(heard.len(), 1 + 3 + 5 + 1, "each once: {heard:?}");
    }
}

#[test]
fn a_flood_of_garbage_costs_no_more_than_the_allowed_heals_r_engine_19() {
    let mut world = World::new(6);
    let people: Vec<_> = (0..4).map(|n| world.enrol(&format!("p{n}"))).collect();
    world.run();
    for peer in &people[1..] {
        world.say(*peer, people[0], "hello");
        world.run();
    }
    let victim = people[0];
    let total: u32 = 10_000;
    for number in 0..total {
        let mut garbage = vec![0x12; 512];
        if number % 10 == 0 {
            garbage = vec![0x11; 10_880];
            garbage[1..3].copy_from_slice(&[0, 1]);
        }
        garbage[3..7].copy_from_slice(&number.to_be_bytes());
        world.inject(victim, garbage);
        if number % 500 == 499 {
            world.sync(victim);
        }
        if number % 50 == 49 {
            world.wait(Duration::from_secs(9));
        }
    }
    world.run();
    assert_eq!(world.undecryptable(victim), total as usize);
    // 30 minutes: one heal for each of three peers.
    assert_eq!(world.handshakes(victim), 3);
    for peer in &people[1..] {
        assert_eq!(world.undecryptable(*peer), 0);
        assert!(world.heard(*peer).is_empty(), "healing shows nothing");
        world.say(*peer, victim, "still here");
        world.say(victim, *peer, "so am I");
    }
    world.run();
    assert_eq!(world.heard(victim).len(), 6);
    assert_eq!(world.history(victim, people[1]), ["hello", "so am I", "still here"]);
}

#[test]
fn a_message_is_sent_again_at_most_three_times_r_engine_20() {
    let (mut world, alice, bob) = talking(7);
    world.fate(bob, [Fate::Lose, Fate::Arrive]);
    world.say(alice, bob, "never");
    world.say(alice, bob, "a2");
    world.run();
    let mut rounds = 0;
    for _ in 0..100 {
        world.wait(Duration::from_secs(3600));
        world.sync(bob);
        world.flush(bob);
        world.sync(alice);
        world.flush(alice);
        // Whatever comes back is lost again.
        let waiting = world.mail(bob).len();
        rounds += usize::from(waiting > 0);
        world.fate(bob, std::iter::repeat_n(Fate::Lose, waiting));
        world.sync(bob);
    }
    assert!(world.handshakes(bob) <= 10, "{}", world.handshakes(bob));
    // Three times at most is the message itself among them; the rest is the daily refresh of four days.
    assert!(rounds <= 10 + 4 * 6, "{rounds}");
    assert_eq!(world.heard(bob), ["a0", "a2"]);
}

#[test]
fn a_device_that_came_later_gets_nothing_by_healing_r_engine_20() {
    let (mut world, alice, bob) = talking(8);
    world.fate(bob, [Fate::Lose, Fate::Arrive]);
    world.say(alice, bob, "a1");
    world.say(alice, bob, "a2");
    world.run();
    let bob_2 = world.add_device(bob);
    world.run();
    world.fate(bob_2, [Fate::Estrange]);
    world.say(alice, bob, "a3");
    hears(&mut world, bob, &["a0", "a1", "a2", "a3"]);
    let heard = world.heard(bob_2);
    assert!(heard.iter().all(|text| text == "a3"), "{heard:?}");
}

#[test]
fn a_tag_far_ahead_is_searched_for_before_anything_is_healed_r_ratchet_9() {
    let (mut world, alice, bob) = talking(20);
    // Beyond the 16 tags that the index holds, within what one jump may pass over.
    for number in 0..90 {
        world.say(alice, bob, &format!("a{number}"));
    }
    world.fate(bob, std::iter::repeat_n(Fate::Lose, 80));
    world.run();
    assert_eq!(world.undecryptable(bob), 0);
    assert_eq!(world.handshakes(bob), 0);
    assert_eq!(world.heard(bob).len(), 11);
    assert!(world.settle(|world| world.heard(bob).len() == 91), "{}", world.heard(bob).len());
}

#[test]
fn a_first_message_that_the_relay_refuses_ends_its_session_r_engine_23() {
    let mut world = World::new(21);
    let (alice, bob) = (world.enrol("alice"), world.enrol("bob"));
    world.run();
    let refused = world.say(alice, bob, "too much for the relay");
    world.claim_next(alice);
    let later = world.say(alice, bob, "sealed behind it");
    assert!(world.session(alice, bob).0.is_some());
    world.refuse_next(alice);
    assert_eq!(world.session(alice, bob), (None, 0));
    assert_eq!(world.state(alice, refused), 4, "failed");
    world.run();
    assert_eq!(world.heard(bob), ["sealed behind it"]);
    assert_eq!(world.state(alice, later), 3);
    assert_eq!(world.undecryptable(bob), 0);
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

#[test]
fn at_most_twenty_peers_are_healed_with_in_an_hour_r_engine_19() {
    let mut world = World::new(23);
    let victim = world.enrol("victim");
    let peers: Vec<_> = (0..24).map(|n| world.enrol(&format!("p{n}"))).collect();
    for peer in &peers {
        world.say(*peer, victim, "hello");
        world.flush(*peer);
    }
    world.run();
    world.inject(victim, vec![0x12; 512]);
    world.run();
    assert_eq!(world.handshakes(victim), 20);
    world.wait(Duration::from_secs(3601));
    world.inject(victim, vec![0x12; 1024]);
    world.sync(victim);
    world.run();
    // Those that were passed over come first, then the others.
    assert_eq!(world.handshakes(victim), 40);
    assert_eq!(world.heard(victim).len(), 24);
}
