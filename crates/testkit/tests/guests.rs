//! Guests and bots: with whom they exchange messages, what they are told, and when they are out.

use std::time::Duration;

use chancery_engine::{EngineError, Notice};
use chancery_identity::Kind;
use chancery_testkit::{PersonId, World};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Alice and Bob, and a guest who reaches Alice.
fn company(seed: u64) -> (World, PersonId, PersonId, PersonId) {
    let (mut world, alice, bob) = World::pair(seed);
    let guest = world.enrol_as("guest", Kind::Guest, &[alice], 30);
    world.run();
    (world, alice, bob, guest)
}

fn finds(world: &World, id: PersonId, text: &str) -> bool {
    world.disk(id).values().any(|value| value.windows(text.len()).any(|part| part == text.as_bytes()))
}

#[test]
fn a_guest_and_a_member_within_its_reach_exchange_messages_r_engine_58() {
    let (mut world, alice, _, guest) = company(500);
    world.say(guest, alice, "is it open?");
    world.run();
    world.say(alice, guest, "it is");
    world.run();
    assert_eq!(world.heard(alice), ["is it open?"]);
    assert_eq!(world.heard(guest), ["it is"]);
    assert_eq!(world.kind_known(alice, world.member_id(guest)), Some(Kind::Guest));
}

#[test]
fn nothing_is_sealed_between_a_guest_and_a_member_outside_its_reach_r_engine_58() {
    let (mut world, alice, bob, guest) = company(501);
    assert_eq!(world.try_say(bob, guest, "hello"), Err(EngineError::OutOfReach));
    assert_eq!(world.try_say(guest, bob, "hello"), Err(EngineError::OutOfReach));
    assert_eq!(world.try_say(alice, guest, "hello"), Ok(()));
    // Also what waited for its recipient to be known has failed, and holds up nobody else's.
    world.say_by_name(bob, "guest", "later");
    world.say_by_name(bob, "alice", "to you");
    world.run();
    assert_eq!((world.heard(guest), world.heard(alice)), (vec!["hello".into()], vec!["to you".into()]));
    assert!(world.mail(guest).is_empty());
}

#[test]
fn a_first_message_from_outside_the_reach_is_dropped_and_makes_no_session_r_engine_59() {
    let (mut world, alice, bob, guest) = company(502);
    // Bob's device was tampered with: it lets him write.
    world.tamper_reach(bob, guest, &[bob]);
    assert_eq!(world.try_say(bob, guest, "unwanted"), Ok(()));
    world.flush(bob);
    assert_eq!(world.mail(guest).len(), 1);
    world.sync(guest);
    assert!(world.heard(guest).is_empty());
    assert!(world.notices(guest).contains(&Notice::OutOfReach { member: world.member_id(bob) }));
    assert_eq!(world.session(guest, bob), (None, 0));
    // And the other way round, with an entry that the guest was leaked.
    let carol = world.enrol("carol");
    world.run();
    world.leak_entry(alice, guest, carol);
    world.tamper_reach(guest, guest, &[alice, carol]);
    assert_eq!(world.try_say(guest, carol, "unwanted"), Ok(()));
    world.flush(guest);
    world.sync(carol);
    assert!(world.heard(carol).is_empty());
    assert!(world.notices(carol).contains(&Notice::OutOfReach { member: world.member_id(guest) }));
    // The control: the same guest reaches Alice.
    world.say(guest, alice, "wanted");
    world.flush(guest);
    world.sync(alice);
    assert_eq!(world.heard(alice), ["wanted"]);
}

#[test]
fn a_guest_is_handed_nothing_about_anybody_outside_its_reach_r_engine_60_r_relay_60() {
    let (mut world, alice, bob, guest) = company(503);
    world.enrol("zacharias");
    world.enrol_as("visitor", Kind::Guest, &[bob], 30);
    world.run();
    for (who, is_known) in
        [("alice", true), ("guest", true), ("bob", false), ("zacharias", false), ("visitor", false)]
    {
        assert_eq!(finds(&world, guest, who), is_known, "{who}");
        assert!(finds(&world, alice, who), "{who}: the control");
    }
    let member = world.member_id(bob);
    let has = |world: &World, id| {
        let disk = world.disk(id);
        disk.keys().any(|key| key.table.0 == 0x0110 && key.name == member.as_bytes())
    };
    assert!(has(&world, alice) && !has(&world, guest));
    let (to_guest, to_alice) = (world.handed(guest).unwrap(), world.handed(alice).unwrap());
    let own = world.device_id(guest);
    assert_eq!(to_guest.len(), 2, "itself and Alice");
    assert!(to_guest.iter().all(|entry| entry.reader == own.as_bytes()));
    assert!(to_alice.len() >= 5 && to_alice.iter().all(|entry| entry.reader.is_empty()));
    // What members are handed opens with a member's keys; what the guest is handed does not, nor has it such keys.
    let keys = world.directory_keys(alice);
    assert!(to_alice.iter().any(|entry| keys.key().open(entry).is_ok()));
    assert!(to_guest.iter().all(|entry| keys.key().open(entry).is_err()));
}

#[test]
fn a_guest_has_the_tokens_of_its_reach_and_gets_new_ones_with_the_key_r_engine_60() {
    let (mut world, alice, bob, guest) = company(504);
    let (of_alice, of_bob) = (world.device_id(alice), world.device_id(bob));
    let before = world.token_at_guest(guest, of_alice).unwrap();
    assert_eq!(world.token_at_guest(guest, of_bob), None);
    assert!(world.token_at_guest(guest, chancery_identity::DeviceId::new([0; 16])).is_some(), "for blobs");
    let carol = world.enrol("carol");
    world.offboard(carol);
    world.sync(guest);
    let after = world.token_at_guest(guest, of_alice).unwrap();
    assert_ne!(before, after);
}

#[test]
fn a_bot_with_a_reach_exchanges_messages_with_those_alone_and_one_without_with_all_r_engine_58() {
    let (mut world, alice, bob) = World::pair(505);
    let robo = world.enrol_as("robo", Kind::Bot, &[alice], 30);
    let open = world.enrol_as("open", Kind::Bot, &[], 30);
    world.run();
    assert_eq!(world.try_say(bob, robo, "x"), Err(EngineError::OutOfReach));
    assert_eq!(world.try_say(robo, bob, "x"), Err(EngineError::OutOfReach));
    world.say(robo, alice, "alarm");
    world.say(open, bob, "news");
    world.say(bob, open, "thanks");
    world.run();
    assert_eq!((world.heard(alice), world.heard(bob)), (vec!["alarm".into()], vec!["news".into()]));
    assert_eq!(world.heard(open), ["thanks"]);
    assert!(world.knows(robo, bob), "a bot of the organisation has its directory");
}

#[test]
fn an_expired_bot_is_out_r_engine_57_r_relay_61() {
    let (mut world, alice, bob) = World::pair(506);
    let robo = world.enrol_as("robo", Kind::Bot, &[], 30);
    world.run();
    world.say(robo, alice, "alarm");
    world.run();
    world.say(alice, robo, "thanks");
    world.run();
    assert_eq!((world.heard(alice).len(), world.heard(robo).len()), (1, 1));
    assert!(world.handed(robo).is_some());
    world.wait(30 * DAY);
    for id in [alice, bob, robo] {
        assert!(world.check_log(id));
    }
    assert_eq!(world.try_say(alice, robo, "still there?"), Err(EngineError::Expired));
    assert_eq!(world.handed(robo), None, "the relay refuses it");
    // Its own device goes on as if nothing had happened.
    assert_eq!(world.try_say(robo, alice, "alarm!"), Ok(()));
    world.flush(robo);
    world.sync(alice);
    assert_eq!(world.heard(alice), ["alarm"]);
    let expired = Notice::CredentialExpired { device: world.device_id(robo), member: world.member_id(robo) };
    assert!(world.notices(alice).contains(&expired));
    // Somebody who has no session with it gets none.
    assert_eq!(world.try_say(bob, robo, "hello"), Ok(()));
    world.flush(bob);
    assert_eq!(world.session(bob, robo).0, None);
    assert!(world.mail(robo).is_empty());
}

#[test]
fn an_entry_of_another_kind_than_the_credential_counts_for_nothing_r_engine_56() {
    let (mut world, alice, bob, guest) = company(507);
    // Whoever has the issuer's key lists the guest as one of the organisation.
    world.list_devices(guest);
    world.sync(bob);
    assert_eq!(world.kind_known(bob, world.member_id(guest)), Some(Kind::Person));
    assert_eq!(world.try_say(bob, guest, "hello"), Ok(()));
    world.flush(bob);
    assert!(world.notices(bob).contains(&Notice::OutOfReach { member: world.member_id(guest) }));
    assert_eq!((world.session(bob, guest).0, world.mail(guest).len()), (None, 0));
    world.sync(alice);
    assert_eq!(world.try_say(guest, alice, "hello"), Ok(()));
    world.flush(guest);
    world.sync(alice);
    assert!(world.heard(alice).is_empty());
}
