//! Delivery tokens as devices make them: by the newest directory key that they have, and for each frame anew.

use chancery_engine::Engine;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_wire::RefusalCode;
use chancery_wire::proto::Deliver;

use super::*;

fn token(world: &World, of: PersonId, name: &[u8; 16]) -> Vec<u8> {
    let disk = world.disk(of);
    Engine::load(&disk, world.now).unwrap().delivery_token(&disk, name).unwrap()
}

fn refused(answer: &relay_frame::Body) -> bool {
    matches!(answer, relay_frame::Body::Refused(refused) if refused.code == RefusalCode::Token.code())
}

/// Puts something into a mailbox with a token, as whoever has it; returns the answer.
fn put(world: &mut World, to: [u8; 16], token: Vec<u8>) -> relay_frame::Body {
    let delivery_id = chancery_crypto::rng::random_bytes::<16>(world.rng.as_mut()).to_vec();
    let deliver = Deliver { mailbox: to.to_vec(), delivery_id, token, envelope: vec![0x7F] };
    let mut line = world.exchange.connect(world.now, world.rng.as_mut());
    world.ask(&mut line, client_frame::Body::Deliver(deliver)).expect("no fault")
}

#[test]
fn every_step_gets_the_token_of_what_it_is_for_by_the_newest_key_r_engine_52() {
    let (mut world, [alice, bob, carol]) = three(60);
    world.say(alice, bob, "begins a session");
    let claim = step(&world, alice);
    assert!(matches!(claim, Step::Claim { .. }));
    world.run();
    world.say(alice, bob, "sealed");
    let deliver = step(&world, alice);
    assert!(matches!(deliver, Step::Deliver { .. }));
    let upload = Step::Upload { item: 0, blob_id: [3; 16] };
    let name = *world.people[bob.0].device_id.as_bytes();
    for _ in 0..2 {
        let key = world.delivery_key();
        for (step, name) in [(&claim, &name), (&deliver, &name), (&upload, &BLOB_TOKEN_NAME)] {
            assert_eq!(world.token_of(alice, step), key.token(name), "R-ENGINE-52");
        }
        world.offboard(carol);
        world.sync(alice);
    }
    assert_eq!(world.token_of(alice, &Step::Seal { item: 0, device_id: name }), [0; 0]);
}

#[test]
fn a_leaver_derives_no_token_of_a_later_epoch_r_id_20_r_relay_56() {
    let (mut world, [alice, bob, carol]) = three(61);
    let name = *world.people[bob.0].device_id.as_bytes();
    let of_carol = token(&world, carol, &name);
    assert_eq!(of_carol, token(&world, alice, &name), "R-ID-20: the same for every sender");
    let answer = put(&mut world, name, of_carol.clone());
    assert!(matches!(answer, relay_frame::Body::Done(_)), "the control: {answer:?}");
    world.offboard(carol);
    let answer = put(&mut world, name, of_carol.clone());
    assert!(refused(&answer), "R-RELAY-56: {answer:?}");
    // She still reads the directory, and the update in it is not for her.
    world.sync(carol);
    assert_eq!(token(&world, carol, &name), of_carol);
    world.sync(alice);
    let of_alice = token(&world, alice, &name);
    assert_ne!(of_alice, of_carol);
    let answer = put(&mut world, name, of_alice);
    assert!(matches!(answer, relay_frame::Body::Done(_)), "{answer:?}");
}

#[test]
fn what_was_sealed_before_two_removals_goes_as_it_is_with_a_new_token_r_engine_53() {
    let (mut world, [alice, bob, carol]) = three(62);
    let dave = world.enrol("dave");
    world.run();
    world.say(alice, bob, "first");
    world.run();
    world.say(alice, bob, "sealed");
    let Step::Deliver { deliver: before, .. } = step(&world, alice) else { panic!("not sealed") };
    let old = token(&world, alice, &[7; 16]);
    world.offboard(carol);
    world.offboard(dave);
    world.flush_blindly(alice);
    assert_ne!(token(&world, alice, &[7; 16]), old);
    assert_eq!(world.mail(bob), [before.envelope], "R-ENGINE-53");
    world.sync(bob);
    assert_eq!(world.heard(bob), ["first", "sealed"]);
}

#[test]
fn a_message_whose_token_stays_refused_waits_unchanged_r_engine_54() {
    let (mut world, [alice, bob, _]) = three(63);
    world.say(alice, bob, "first");
    world.run();
    let id = world.say(alice, bob, "sealed");
    let Step::Deliver { deliver: before, .. } = step(&world, alice) else { panic!("not sealed") };
    let (key, unpublished) =
        (world.delivery_key(), DeliveryKey::new(2, chancery_crypto::secret::Secret::from_bytes([1; 32])));
    // The desk has given the key, and has not published the update yet.
    world.exchange.give_delivery_key(&unpublished);
    let queued = world.state(alice, id);
    for _ in 0..2 {
        world.flush_blindly(alice);
        let Step::Deliver { deliver: after, .. } = step(&world, alice) else { panic!("gone") };
        assert_eq!((after, world.state(alice, id)), (before.clone(), queued), "R-ENGINE-54");
        assert!(world.mail(bob).is_empty());
    }
    world.exchange.give_delivery_key(&key);
    world.flush_blindly(alice);
    assert_eq!(world.mail(bob), [before.envelope]);
    assert_ne!(world.state(alice, id), queued);
}
