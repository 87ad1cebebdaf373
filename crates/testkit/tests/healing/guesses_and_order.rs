//! What is begun on a guess, and which of several sessions two devices settle on.

use super::*;

#[test]
fn garbage_leads_to_ten_new_sessions_an_hour_and_starves_nobody_who_needs_one_r_engine_25() {
    let mut world = World::new(23);
    let victim = world.enrol("victim");
    let peers: Vec<_> = (0..34).map(|n| world.enrol(&format!("p{n}"))).collect();
    for peer in &peers {
        world.say(*peer, victim, "hello");
        world.flush(*peer);
    }
    world.run();
    // Somebody who never gets a first message needs another one after two hours (R-ENGINE-26).
    let silent = world.enrol("silent");
    world.fate(silent, [Fate::Lose]);
    world.say(victim, silent, "are you there?");
    world.run();
    world.inject(victim, vec![0x12; 512]);
    world.sync(victim);
    assert_eq!(world.claims(victim).len(), 1, "nothing at once");
    let mut counts = Vec::new();
    for _ in 0..3 {
        world.wait(Duration::from_secs(3601));
        for _ in 0..2 {
            world.sync(victim);
            world.flush(victim);
        }
        counts.push(world.handshakes(victim));
    }
    // Those that were passed over come next, and nobody twice; the one that is needed is not counted among them.
    assert_eq!(counts, [1 + 10, 1 + 20, 1 + 30 + 1]);
    assert_eq!(world.claims(victim).len(), 32);
    world.run();
    assert_eq!(world.heard(victim).len(), 34);
    hears(&mut world, silent, &["are you there?"]);
}

#[test]
fn a_guess_uses_no_last_resort_prekey_and_waits_r_engine_25() {
    let (mut world, alice, bob) = talking(24);
    for _ in 0..64 {
        world.drain_prekey(alice);
    }
    world.inject(bob, vec![0x12; 512]);
    world.sync(bob);
    let before = world.handshakes(bob);
    for _ in 0..6 {
        world.wait(Duration::from_secs(3600));
        world.sync(bob);
        world.flush(bob);
    }
    assert_eq!(world.handshakes(bob), before, "put off");
    assert_eq!(world.waiting_for(bob, alice), 0, "nothing of it waits (R-ENGINE-13)");
    assert_eq!(world.claims(bob).len(), 1);
    // Alice comes back and has new ones.
    world.wait(Duration::from_secs(24 * 3600));
    world.sync(alice);
    world.sync(bob);
    world.flush(bob);
    assert_eq!(world.handshakes(bob), before + 1);
}

#[test]
fn a_guess_that_gets_no_prekeys_holds_up_nothing_r_engine_25() {
    let (mut world, alice, bob) = talking(25);
    world.inject(bob, vec![0x12; 512]);
    world.sync(bob);
    world.wait(Duration::from_secs(1801));
    world.sync(bob);
    assert_eq!(world.waiting_for(bob, alice), 1, "the new session");
    world.say(bob, alice, "b1");
    let claims = world.claims(bob).len();
    world.postpone_next(bob);
    world.flush(bob);
    world.sync(alice);
    assert_eq!(world.heard(alice), ["b0", "b1"]);
    assert_eq!((world.claims(bob).len(), world.waiting_for(bob, alice)), (claims, 0));
    world.wait(Duration::from_secs(24 * 3600));
    world.sync(bob);
    world.flush(bob);
    assert_eq!(world.claims(bob).len(), claims + 1, "put off for a day");
}

#[test]
fn a_new_session_that_the_relay_refuses_leaves_the_one_before_r_engine_23() {
    let (mut world, alice, bob) = talking(41);
    let (before, handshakes) = (world.session(bob, alice), world.handshakes(bob));
    world.inject(bob, vec![0x12; 512]);
    world.sync(bob);
    world.wait(Duration::from_secs(1801));
    world.sync(bob);
    world.claim_next(bob);
    assert_ne!(world.session(bob, alice).0, before.0);
    world.refuse_next(bob);
    assert_eq!(world.session(bob, alice), before);
    world.say(bob, alice, "b1");
    world.run();
    assert_eq!(world.heard(alice), ["b0", "b1"]);
    assert_eq!(world.handshakes(bob), handshakes);
}

/// Each writes once more and reads what the other wrote.
fn exchange(world: &mut World, [alice, bob]: [PersonId; 2]) {
    world.say(alice, bob, "on");
    world.say(bob, alice, "and back");
    for id in [alice, bob] {
        world.flush(id);
    }
    for id in [alice, bob] {
        world.sync(id);
    }
}

#[test]
fn two_that_begin_at_once_agree_however_late_one_of_them_reads_r_engine_16() {
    let mut orders = BTreeSet::new();
    for seed in 60..76 {
        let (mut world, alice, bob) = World::pair(seed);
        world.say(alice, bob, "a1");
        world.flush(alice);
        world.wait(Duration::from_millis(seed % 2));
        world.say(bob, alice, "b1");
        world.flush(bob);
        orders.insert((seed % 2, world.session(alice, bob).0 < world.session(bob, alice).0));
        world.sync(bob);
        world.wait(Duration::from_secs(3 * 3600));
        world.sync(alice);
        exchange(&mut world, [alice, bob]);
        assert_eq!(world.session(alice, bob), world.session(bob, alice), "seed {seed}");
        assert_eq!(world.undecryptable(alice) + world.undecryptable(bob), 0);
    }
    assert_eq!(orders.len(), 4, "both orders of the identifiers, at once and after each other");
}

#[test]
fn one_that_heals_agrees_with_a_first_message_on_its_way_r_engine_16() {
    for seed in 70..76 {
        let (mut world, alice, bob) = World::pair(seed);
        world.fate(bob, [Fate::Lose]);
        world.say(alice, bob, "a1");
        world.run();
        world.wait(Duration::from_secs(3 * 3600));
        world.sync(alice);
        world.flush(alice);
        assert_eq!(world.handshakes(alice), 2, "it was never acknowledged");
        world.say(bob, alice, "b1");
        world.flush(bob);
        world.sync(alice);
        world.sync(bob);
        exchange(&mut world, [alice, bob]);
        assert_eq!(world.session(alice, bob).0, world.session(bob, alice).0, "seed {seed}");
        hears(&mut world, bob, &["a1", "on"]);
    }
}

#[test]
fn what_waits_in_the_mailbox_is_read_before_it_is_given_up_r_engine_29() {
    let (mut world, alice, bob) = talking(42);
    world.fate(bob, [Fate::Lose, Fate::Arrive]);
    world.say(alice, bob, "a1");
    world.say(alice, bob, "a2");
    world.run();
    world.wait(Duration::from_secs(300));
    world.sync(bob);
    world.flush(bob);
    world.sync(alice);
    world.flush(alice);
    assert_eq!(world.mail(bob).len(), 1, "what bob asked for");
    world.wait(Duration::from_secs(31 * 24 * 3600));
    let handshakes = world.handshakes(bob);
    world.sync(bob);
    world.flush(bob);
    assert_eq!(world.heard(bob), ["a0", "a2", "a1"]);
    assert!(world.lost(bob).is_empty());
    assert_eq!(world.handshakes(bob), handshakes);
}

#[test]
fn a_search_goes_on_where_the_last_one_ended_r_engine_19() {
    // It holds whatever identifiers were drawn.
    for seed in [23, 58, 71] {
        a_search_goes_on(seed);
    }
}

fn a_search_goes_on(seed: u64) {
    let mut world = World::new(seed);
    let victim = world.enrol("victim");
    // More sessions than an hour's searches reach, and one behind them.
    let peers: Vec<_> = (0..104).map(|n| world.enrol(&format!("p{n}"))).collect();
    for peer in &peers {
        world.say(*peer, victim, "hello");
        world.flush(*peer);
        world.sync(victim);
    }
    let last = *peers.last().expect("many");
    world.inject(victim, vec![0x12; 512]);
    world.sync(victim);
    world.wait(Duration::from_secs(3601));
    world.fate(victim, std::iter::repeat_n(Fate::Lose, 80));
    for number in 0..81 {
        world.say(last, victim, &format!("far ahead {number}"));
    }
    world.flush(last);
    world.sync(victim);
    assert_eq!(world.undecryptable(victim), 1, "seed {seed}: the garbage alone");
    assert!(world.heard(victim).contains(&"far ahead 80".to_owned()), "seed {seed}");
}
