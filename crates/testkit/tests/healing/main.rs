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

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_testkit::{Fate, PersonId, World};

mod guesses_and_order;

fn talking(seed: u64) -> (World, PersonId, PersonId) {
    let (mut world, alice, bob) = World::pair(seed);
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
fn a_corrupted_envelope_is_asked_for_over_the_session_that_works_r_engine_19() {
    let (mut world, alice, bob) = talking(1);
    let before = world.session(bob, alice).0;
    world.fate(bob, [Fate::Corrupt]);
    world.say(alice, bob, "a1");
    world.run();
    assert_eq!(world.undecryptable(bob), 1);
    let sent = world.deliveries(bob).len();
    world.run();
    assert_eq!(world.deliveries(bob).len(), sent, "nothing happens at once");
    // Also a device that is started again in between keeps to it.
    world.restart(bob);
    world.wait(Duration::from_secs(20));
    hears(&mut world, bob, &["a0", "a1"]);
    assert_eq!(world.session(bob, alice).0, before, "no new session");
    assert_eq!(world.handshakes(alice) + world.handshakes(bob), 1, "as at the start");
    world.say(bob, alice, "b1");
    hears(&mut world, alice, &["b0", "b1"]);
}

#[test]
fn an_envelope_with_an_unknown_tag_leads_to_a_new_session_in_time_r_engine_25() {
    let (mut world, alice, bob) = talking(2);
    world.fate(bob, [Fate::Estrange]);
    world.say(alice, bob, "a1");
    hears(&mut world, bob, &["a0", "a1"]);
    assert_eq!(world.handshakes(bob), 1);
}

#[test]
fn whoever_is_heard_of_in_time_is_not_suspected_any_more_r_engine_25() {
    let (mut world, alice, bob) = talking(26);
    world.inject(bob, vec![0x12; 512]);
    world.run();
    world.say(alice, bob, "a1");
    world.run();
    world.settle(|_| false);
    assert_eq!(world.handshakes(bob), 0);
    assert_eq!(world.heard(bob), ["a0", "a1"]);
}

#[test]
fn what_is_no_envelope_leads_to_nothing_r_engine_19() {
    let (mut world, _, bob) = talking(27);
    let before = (world.deliveries(bob).len(), world.undecryptable(bob));
    for garbage in [vec![0x12; 511], vec![0x12; 513], vec![0x11; 10_879], vec![0x11; 10_880], vec![0x77; 512]]
    {
        world.inject(bob, garbage);
    }
    world.settle(|_| false);
    assert_eq!(world.undecryptable(bob), before.1 + 5);
    assert_eq!(world.handshakes(bob), 0);
    // The acknowledgement that was owed all along, and no more.
    assert!(world.deliveries(bob).len() <= before.0 + 1);
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
    assert_eq!(world.handshakes(bob), 0, "the session works");
    assert!(world.lost(bob).is_empty());
}

#[test]
fn a_lost_first_message_is_sent_again_r_engine_19() {
    let (mut world, alice, bob) = World::pair(4);
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
fn a_stranger_s_first_message_that_cannot_be_opened_is_answered_with_nothing_r_engine_25() {
    let mut orders = BTreeSet::new();
    for seed in 50..58 {
        let (mut world, alice, bob) = World::pair(seed);
        world.fate(bob, [Fate::Corrupt]);
        world.say(alice, bob, "a1");
        world.run();
        assert_eq!(world.handshakes(bob), 0, "there is nobody to answer");
        assert!(world.mail(alice).is_empty());
        let hers = world.session(alice, bob).0;
        world.say(alice, bob, "a2");
        world.run();
        world.say(bob, alice, "b1");
        world.run();
        orders.insert(hers < world.session(bob, alice).0);
        // What bob has begun both of them know, and what is written now is read at once.
        assert_eq!(world.session(alice, bob).0, world.session(bob, alice).0, "seed {seed}");
        world.say(alice, bob, "a3");
        world.run();
        assert_eq!(world.heard(bob), ["a3"], "seed {seed}");
        hears(&mut world, bob, &["a1", "a2", "a3"]);
        hears(&mut world, alice, &["b1"]);
    }
    assert_eq!(orders.len(), 2, "both orders of the sessions' identifiers");
}

#[test]
fn who_gets_no_acknowledgement_begins_anew_r_engine_26() {
    let (mut world, alice, bob) = World::pair(30);
    // Bob learns of nothing, and alice writes no more.
    world.fate(bob, [Fate::Lose]);
    world.say(alice, bob, "a1");
    world.run();
    world.wait(Duration::from_secs(2 * 3600 - 60));
    world.run();
    assert_eq!(world.handshakes(alice), 1, "an acknowledgement may still come");
    hears(&mut world, bob, &["a1"]);
    assert_eq!(world.handshakes(alice), 2);
    assert_eq!(world.handshakes(bob), 0);
    // Over a session that was answered on, a word is enough.
    world.say(bob, alice, "b1");
    world.run();
    world.fate(bob, [Fate::Lose]);
    world.say(alice, bob, "a2");
    world.run();
    hears(&mut world, bob, &["a1", "a2"]);
    assert_eq!(world.handshakes(alice), 2);
    assert!(world.settle(|world| world.held(alice, bob) == 0));
}

#[test]
fn an_acknowledgement_that_was_lost_is_given_again_r_engine_26() {
    let (mut world, alice, bob) = talking(31);
    world.say(alice, bob, "a1");
    world.run();
    world.wait(Duration::from_secs(3601));
    world.fate(alice, [Fate::Lose]);
    world.sync(bob);
    world.flush(bob);
    world.sync(alice);
    assert_eq!(world.held(alice, bob), 1);
    assert!(world.settle(|world| world.held(alice, bob) == 0));
    let sent = world.deliveries(alice).len() + world.deliveries(bob).len();
    for _ in 0..8 {
        world.wait(Duration::from_secs(3600));
        world.run();
    }
    assert_eq!(
        world.deliveries(alice).len() + world.deliveries(bob).len(),
        sent,
        "and then there is silence"
    );
}

#[test]
fn the_sessions_over_which_answers_come_are_kept_r_engine_24() {
    let (mut world, alice, bob) = talking(32);
    world.fate(bob, [Fate::Lose, Fate::Arrive]);
    world.say(alice, bob, "a1");
    world.say(alice, bob, "a2");
    world.run();
    assert_eq!(world.heard(bob), ["a0", "a2"]);
    // Alice is away for 10 days.
    for _ in 0..24 * 10 {
        world.wait(Duration::from_secs(3600));
        world.sync(bob);
        world.flush(bob);
    }
    let handshakes = world.handshakes(bob);
    assert!((3..=4).contains(&handshakes), "{handshakes}");
    world.sync(alice);
    world.flush(alice);
    world.run();
    let mut heard = world.heard(bob);
    heard.sort_unstable();
    assert_eq!(heard, ["a0", "a1", "a2"]);
    assert_eq!(world.undecryptable(bob) + world.undecryptable(alice), 0);
}

#[test]
fn a_stolen_session_ends_although_the_thief_uses_it_r_engine_17() {
    let (mut world, alice, bob) = talking(33);
    let mut stolen = world.disk(alice);
    // Alice heals, for whatever reason.
    world.fate(bob, [Fate::Estrange]);
    world.say(alice, bob, "a1");
    hears(&mut world, bob, &["a0", "a1"]);
    let healed = world.session(bob, alice).0;
    let mut last_heard = 0;
    for day in 1..45 {
        world.wait(Duration::from_secs(24 * 3600));
        world.run();
        let hers = world.disk(alice);
        world.restore(alice, stolen);
        let text = format!("stolen {day}");
        world.say(alice, bob, &text);
        world.flush(alice);
        stolen = world.disk(alice);
        world.restore(alice, hers);
        world.sync(bob);
        if world.heard(bob).contains(&text) {
            last_heard = day;
        }
        assert_eq!(world.session(bob, alice).0, world.session(alice, bob).0);
        assert!(day > 29 || world.session(bob, alice).0 == healed, "it never comes back: day {day}");
    }
    assert!((28..=31).contains(&last_heard), "day {last_heard}");
}

#[test]
fn whoever_damages_an_envelope_cannot_see_whose_it_was_r_engine_19() {
    // The same world with the same damage to an envelope of either of two people.
    let run = |which: usize| {
        let mut world = World::new(35);
        let victim = world.enrol("victim");
        let peers = [world.enrol("p0"), world.enrol("p1")];
        world.run();
        for peer in peers {
            world.say(peer, victim, "hello");
            world.run();
            world.say(victim, peer, "hello back");
            world.run();
        }
        let (claims, sent) = (world.claims(victim).len(), world.deliveries(victim).len());
        let fates = if which == 0 { [Fate::Corrupt, Fate::Arrive] } else { [Fate::Arrive, Fate::Corrupt] };
        world.fate(victim, fates);
        world.say(peers[0], victim, "one");
        world.flush(peers[0]);
        world.say(peers[1], victim, "two");
        world.flush(peers[1]);
        world.sync(victim);
        world.flush(victim);
        assert_eq!(world.undecryptable(victim), 1);
        let mut first = None;
        for second in 0..60 {
            world.wait(Duration::from_secs(1));
            world.sync(victim);
            world.flush(victim);
            if first.is_none() && world.deliveries(victim).len() > sent {
                first = Some(second);
            }
        }
        world.run();
        assert_eq!(world.claims(victim).len(), claims, "no claim names anybody");
        let mut heard = world.heard(victim);
        heard.sort_unstable();
        assert_eq!(heard, ["hello", "hello", "one", "two"]);
        let first = first.expect("it was asked for");
        assert!(first < 20, "{first}");
        world.deliveries(victim).len() - sent
    };
    assert_eq!((run(0), run(1)), (1, 1));
    // The control: without damage there is nothing to see.
    let (mut world, alice, bob) = talking(36);
    let sent = world.deliveries(bob).len();
    world.say(alice, bob, "a1");
    world.run();
    world.wait(Duration::from_secs(60));
    world.run();
    assert_eq!(world.deliveries(bob).len(), sent);
}

#[test]
fn what_is_lost_for_good_is_told_r_engine_27() {
    let (mut world, alice, bob) = talking(37);
    // More than is held.
    world.fate(bob, std::iter::repeat_n(Fate::Lose, 11));
    for number in 0..1010 {
        world.say(alice, bob, &format!("a{number}"));
        if number % 100 == 99 {
            world.flush(alice);
            world.sync(bob);
        }
    }
    world.run();
    assert!(
        world.settle(|world| world.heard(bob).len() + world.lost(bob).iter().sum::<u64>() as usize == 1011)
    );
    assert!(!world.lost(bob).is_empty());
    assert!(world.lost(alice).is_empty());
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
fn a_flood_of_garbage_costs_no_more_than_the_allowed_heals_r_engine_25() {
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
    // 30 minutes, and 30 more until the last suspicion is over: two heals for each of three peers at the most.
    world.wait(Duration::from_secs(1801));
    world.run();
    let claims = world.claims(victim).len();
    assert!((3..=6).contains(&claims), "{claims}");
    assert_eq!(world.handshakes(victim), claims);
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
    let (mut resent, mut told) = (0, 0);
    for _ in 0..100 {
        world.wait(Duration::from_secs(3600));
        world.sync(bob);
        world.flush(bob);
        let before = world.resent(alice, bob);
        world.sync(alice);
        let after = world.resent(alice, bob);
        resent += after.first().unwrap_or(&0).saturating_sub(*before.first().unwrap_or(&0));
        told += usize::from(before.contains(&3) && !after.contains(&3));
        assert!(after.iter().all(|count| *count <= 3), "{after:?}");
        world.flush(alice);
        // Whatever comes back is lost again.
        let waiting = world.mail(bob).len();
        world.fate(bob, std::iter::repeat_n(Fate::Lose, waiting));
        world.sync(bob);
    }
    assert_eq!((resent, told), (3, 1), "three times, and then it is gone");
    assert!(world.handshakes(bob) <= 10, "{}", world.handshakes(bob));
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
    let (mut world, alice, bob) = World::pair(21);
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
