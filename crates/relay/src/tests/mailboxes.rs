//! Mailboxes: what is delivered is pushed, acknowledged, held back and ended.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::signature::SigningKey;
use chancery_identity::reply_mailbox;
use chancery_wire::{RefusalCode, Timestamp, proto};
use proptest::prelude::{ProptestConfig, any, proptest};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{DESK, World, delivery, done, refusal};
use crate::{ConnectionId, Input, Limits, MailboxId, Rate};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A device that has logged in once, and a connection to send on.
fn world_with_reader() -> (World, super::world::Device, ConnectionId, ConnectionId) {
    let mut world = World::new();
    let alice = world.member(1);
    let (reading, sending) = (world.login(&alice), world.anonymous());
    (world, alice, reading, sending)
}

fn reply(mailbox: [u8; 16], id: u8, envelope: &[u8]) -> Request {
    let (mailbox, delivery_id, envelope) = (mailbox.to_vec(), vec![id; 16], envelope.to_vec());
    Request::Reply(proto::Reply { mailbox, delivery_id, envelope })
}

#[test]
fn what_is_delivered_arrives_in_order_and_outlives_the_relay() {
    let (mut world, alice, _, sending) = world_with_reader();
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"one"), done(), "R-RELAY-13");
    assert_eq!(world.deliver(sending, alice.mailbox(), 2, b"two"), done());
    world.restart();
    let reading = world.login(&alice);
    world.subscribe(reading);
    let pushed = world.take(reading);
    let [Some((first, one)), Some((second, two)), None] = pushed.as_slice() else { panic!("{pushed:?}") };
    assert_eq!((one.as_slice(), two.as_slice()), (b"one".as_slice(), b"two".as_slice()), "R-RELAY-10");
    assert!(first < second, "R-RELAY-15");
}

#[test]
fn a_delivery_id_stores_once_also_after_acknowledgement_and_restart() {
    let (mut world, alice, reading, sending) = world_with_reader();
    let bob = world.member(2);
    world.login(&bob);
    world.subscribe(reading);
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"one"), done());
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"one"), done(), "R-RELAY-14");
    let pushed: Vec<_> = world.take(reading).into_iter().flatten().collect();
    assert_eq!(pushed.len(), 1);
    world.acknowledge(reading, &[pushed[0].0]);
    world.restart();
    let (reading, sending) = (world.login(&alice), world.anonymous());
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"one"), done());
    world.subscribe(reading);
    assert_eq!(world.take(reading), [None], "R-RELAY-14");
    assert_eq!(world.deliver(sending, bob.mailbox(), 1, b"one"), done());
    assert_eq!(world.storage.envelopes(&bob.mailbox()).count(), 1, "another mailbox is another delivery");
    world.wait(DAY.saturating_mul(14) + Duration::from_secs(3_600));
    let sending = world.anonymous();
    world.deliver(sending, alice.mailbox(), 1, b"one");
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1, "R-RELAY-19: the id is forgotten");
}

#[test]
fn what_is_not_acknowledged_comes_again_and_what_is_does_not() {
    let (mut world, alice, reading, sending) = world_with_reader();
    world.subscribe(reading);
    for id in 1..=3 {
        world.deliver(sending, alice.mailbox(), id, &[id]);
    }
    let pushed: Vec<_> = world.take(reading).into_iter().flatten().collect();
    world.acknowledge(reading, &[pushed[1].0, 999_999, u64::MAX]);
    world.input(Input::Closed { connection: reading });
    let again = world.login(&alice);
    world.subscribe(again);
    assert_eq!(world.envelopes(again), [vec![1], vec![3]], "R-RELAY-16, R-RELAY-21");
    world.subscribe(again);
    assert_eq!(world.envelopes(again), [vec![1], vec![3]], "subscribing again starts over");
}

#[test]
fn an_acknowledgement_reaches_only_ones_own_mailbox() {
    let (mut world, alice, _, sending) = world_with_reader();
    let bob = world.member(2);
    let bobs = world.login(&bob);
    // At one time, so that the sequences are alike.
    world.deliver(sending, alice.mailbox(), 1, b"for alice");
    world.deliver(sending, bob.mailbox(), 1, b"for bob");
    world.subscribe(bobs);
    let sequences: Vec<u64> = world.take(bobs).into_iter().flatten().map(|(sequence, _)| sequence).collect();
    let all: Vec<u64> = (sequences[0] - 5..sequences[0] + 5).collect();
    world.acknowledge(bobs, &all);
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1, "R-RELAY-21");
    assert_eq!(world.storage.envelopes(&bob.mailbox()).count(), 0);
    let many = Request::Acknowledge(proto::Acknowledge { sequences: vec![1; 1_001] });
    assert_eq!(world.ask(bobs, many), refusal(RefusalCode::TooLarge), "R-RELAY-20");
}

#[test]
fn sequences_are_never_used_again() {
    let (mut world, alice, reading, sending) = world_with_reader();
    world.subscribe(reading);
    let mut last = 0;
    for id in 1..=5 {
        world.deliver(sending, alice.mailbox(), id, &[id]);
        let pushed: Vec<_> = world.take(reading).into_iter().flatten().collect();
        assert!(pushed[0].0 > last, "R-RELAY-15");
        last = pushed[0].0;
        world.acknowledge(reading, &[last]);
    }
}

#[test]
fn strangers_and_malformed_deliveries_are_refused() {
    let (mut world, alice, _, sending) = world_with_reader();
    let mut ask = |mailbox, id: &[u8], envelope: &[u8]| world.ask(sending, delivery(mailbox, id, envelope));
    let unknown = MailboxId::new([0xEE; 16]);
    assert_eq!(ask(unknown, &[1; 16], b"x"), refusal(RefusalCode::NotFound), "R-RELAY-13");
    assert_eq!(ask(alice.mailbox(), &[1; 15], b"x"), refusal(RefusalCode::BadRequest));
    assert_eq!(ask(alice.mailbox(), &[1; 16], b""), refusal(RefusalCode::BadRequest));
    let long = vec![0; 96 * 1024 + 1];
    assert_eq!(ask(alice.mailbox(), &[1; 16], &long), refusal(RefusalCode::TooLarge), "R-RELAY-20");
    assert_eq!(ask(alice.mailbox(), &[1; 16], &long[1..]), done());
    let token = Request::Deliver(proto::Deliver {
        mailbox: vec![1; 16],
        delivery_id: vec![2; 16],
        token: vec![0; 65],
        envelope: vec![1],
    });
    assert_eq!(world.ask(sending, token), refusal(RefusalCode::TooLarge));
}

#[test]
fn a_full_mailbox_refuses_until_it_is_read() {
    let limits = Limits { mailbox_envelopes: 2, mailbox_bytes: 10, ..Limits::default() };
    let mut world = World::with(limits);
    let alice = world.member(1);
    let (reading, sending) = (world.login(&alice), world.anonymous());
    let full = refusal(RefusalCode::QuotaExceeded);
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, &[1; 11]), full, "R-RELAY-20");
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, &[1; 5]), done());
    assert_eq!(world.deliver(sending, alice.mailbox(), 2, &[1; 5]), done());
    assert_eq!(world.deliver(sending, alice.mailbox(), 3, &[1; 1]), full, "R-RELAY-20");
    assert_eq!(world.deliver(sending, alice.mailbox(), 2, &[1; 5]), done(), "a repetition needs no room");
    world.subscribe(reading);
    let first = world.take(reading)[0].clone().unwrap().0;
    world.acknowledge(reading, &[first]);
    assert_eq!(world.deliver(sending, alice.mailbox(), 3, &[1; 5]), done());
}

#[test]
fn a_reader_that_does_not_acknowledge_is_pushed_a_window_and_no_more() {
    let (mut world, alice, reading, sending) = world_with_reader();
    for id in 0..70 {
        world.deliver(sending, alice.mailbox(), id, &[id]);
    }
    world.subscribe(reading);
    let first = world.take(reading);
    assert_eq!(first.len(), 64, "R-RELAY-17");
    assert!(first.iter().all(Option::is_some), "R-RELAY-18: six are still to come");
    let sequences: Vec<u64> = first.into_iter().flatten().map(|(sequence, _)| sequence).collect();
    world.acknowledge(reading, &sequences[..2]);
    assert_eq!(world.take(reading).len(), 2, "as much as there is room for");
    world.acknowledge(reading, &sequences[2..10]);
    let rest = world.take(reading);
    assert_eq!(rest.len(), 5);
    assert_eq!(rest.last(), Some(&None), "R-RELAY-18");
}

#[test]
fn a_window_is_bounded_in_bytes_too() {
    let (mut world, alice, reading, sending) = world_with_reader();
    world.subscribe(reading);
    for id in 0..20 {
        world.deliver(sending, alice.mailbox(), id, &vec![id; 96 * 1024]);
    }
    // Ten are 960 KiB; the eleventh goes beyond 1 MiB and closes the window.
    assert_eq!(world.envelopes(reading).len(), 11, "R-RELAY-17");
}

#[test]
fn caught_up_comes_once_after_what_was_there_even_when_the_window_is_full() {
    let limits = Limits { window_envelopes: 2, ..Limits::default() };
    let mut world = World::with(limits);
    let alice = world.member(1);
    let (reading, sending) = (world.login(&alice), world.anonymous());
    for id in 1..=2 {
        world.deliver(sending, alice.mailbox(), id, &[id]);
    }
    world.subscribe(reading);
    let pushed = world.take(reading);
    assert_eq!(pushed.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false], "R-RELAY-18");
    world.deliver(sending, alice.mailbox(), 3, &[3]);
    assert_eq!(world.take(reading), []);
    world.acknowledge(reading, &[pushed[0].clone().unwrap().0]);
    assert_eq!(world.envelopes(reading), [vec![3]]);
    assert_eq!(world.take(reading), [], "R-RELAY-18: once");
}

#[test]
fn two_connections_of_one_device_both_get_everything() {
    let (mut world, alice, first, sending) = world_with_reader();
    let second = world.login(&alice);
    world.subscribe(first);
    world.subscribe(second);
    world.deliver(sending, alice.mailbox(), 1, b"one");
    let pushed: Vec<_> = world.take(first).into_iter().flatten().collect();
    assert_eq!(world.envelopes(second), [b"one".to_vec()], "R-RELAY-24");
    world.acknowledge(first, &[pushed[0].0]);
    world.acknowledge(second, &[pushed[0].0]);
    world.input(Input::Closed { connection: first });
    world.deliver(sending, alice.mailbox(), 2, b"two");
    assert_eq!(world.envelopes(second), [b"two".to_vec()]);
    assert_eq!(world.take(first), []);
}

#[test]
fn an_acknowledgement_on_one_connection_makes_room_on_the_other() {
    let mut world = World::with(Limits { window_envelopes: 1, ..Limits::default() });
    let alice = world.member(1);
    let (first, second, sending) = (world.login(&alice), world.login(&alice), world.anonymous());
    world.subscribe(first);
    world.subscribe(second);
    world.deliver(sending, alice.mailbox(), 1, b"one");
    world.deliver(sending, alice.mailbox(), 2, b"two");
    let pushed: Vec<_> = world.take(first).into_iter().flatten().collect();
    assert_eq!(world.envelopes(second), [b"one".to_vec()]);
    world.acknowledge(first, &[pushed[0].0]);
    assert_eq!(world.envelopes(second), [b"two".to_vec()], "R-RELAY-24");
}

#[test]
fn the_desk_is_reachable_before_its_first_login_and_rationed() {
    let desk_envelopes = Rate { per_second: 2, burst: 3 };
    let mut world = World::with(Limits { desk_envelopes, ..Limits::default() });
    let mailbox = MailboxId::new(DESK);
    for id in 0..3 {
        let sending = world.anonymous();
        assert_eq!(world.deliver(sending, mailbox, id, &[0x13]), done(), "R-RELAY-23");
    }
    let sending = world.anonymous();
    let limited = proto::Refused { code: RefusalCode::RateLimited.code(), retry_after_ms: 500 };
    assert_eq!(world.deliver(sending, mailbox, 3, &[0x13]), Body::Refused(limited), "R-RELAY-23");
    assert_eq!(world.deliver(sending, mailbox, 1, &[0x13]), done(), "a repetition costs nothing");
    world.now = world.now.after(Duration::from_millis(500));
    assert_eq!(world.deliver(sending, mailbox, 3, &[0x13]), done());
    let desk = world.desk();
    let reading = world.login(&desk);
    world.subscribe(reading);
    assert_eq!(world.envelopes(reading).len(), 4);
}

#[test]
fn the_desk_replies_to_a_device_that_enrols_and_nobody_else_does() {
    let mut world = World::new();
    let (desk, alice) = (world.desk(), world.member(1));
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    let key = SigningKey::generate(&mut *world.rng);
    let mailbox = reply_mailbox(key.verifying_key());
    assert_eq!(
        world.ask(alices, reply(mailbox, 1, b"no")),
        refusal(RefusalCode::NotAuthorised),
        "R-RELAY-22"
    );
    let sending = world.anonymous();
    let stranger = world.deliver(sending, MailboxId::new(mailbox), 1, b"no");
    assert_eq!(stranger, refusal(RefusalCode::NotFound), "logging in alone makes no reply mailbox");
    let waiting = world.login_enrolling(&key);
    world.subscribe(waiting);
    assert_eq!(world.ask(desks, reply(mailbox, 1, b"answer")), done(), "R-RELAY-22");
    assert_eq!(world.ask(desks, reply(mailbox, 1, b"answer")), done());
    assert_eq!(world.envelopes(waiting), [b"answer".to_vec()]);
    assert_eq!(world.ask(desks, reply(*alice.mailbox().as_bytes(), 1, b"hi")), done());
    world.wait(Duration::from_secs(2 * 3_600));
    assert_eq!(world.storage.envelopes(&MailboxId::new(mailbox)).count(), 0, "R-RELAY-19");
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1, "a device's mailbox stays");
    let last = world.ask(desks, reply(mailbox, 2, b"later"));
    assert_eq!(last, done());
    let again = world.login_enrolling(&key);
    world.subscribe(again);
    let sequence = world.take(again)[0].clone().unwrap().0;
    assert!(Timestamp::from_millis(sequence) >= world.now, "R-RELAY-15: above everything before");
}

#[test]
fn envelopes_end_after_sixty_days() {
    let (mut world, alice, _, sending) = world_with_reader();
    world.deliver(sending, alice.mailbox(), 1, b"old");
    world.wait(DAY.saturating_mul(60));
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1);
    world.wait(Duration::from_secs(3_600));
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 0, "R-RELAY-19");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a client sends, the relay answers or closes, and an honest reader loses nothing.
    #[test]
    fn arbitrary_bytes_do_no_harm(frames: Vec<Vec<u8>>, greeted in any::<bool>()) {
        let (mut world, alice, reading, sending) = world_with_reader();
        world.subscribe(reading);
        let connection = if greeted { world.anonymous() } else { world.open() };
        for bytes in &frames {
            world.input(Input::Frame { connection, bytes });
        }
        world.deliver(sending, alice.mailbox(), 1, b"one");
        assert_eq!(world.envelopes(reading), [b"one".to_vec()]);
    }
}

#[test]
fn the_newest_deliveries_are_remembered_and_the_oldest_go_first() {
    // R-RELAY-14, R-RELAY-20
    let mut world = World::with(Limits { deliveries: 3, ..Limits::default() });
    let alice = world.member(1);
    let (_, sending) = (world.login(&alice), world.anonymous());
    for id in [9, 1, 5, 3] {
        assert_eq!(world.deliver(sending, alice.mailbox(), id, b"x"), done());
        world.now = world.now.after(Duration::from_secs(3_600));
    }
    for id in [1, 5, 3] {
        assert_eq!(world.deliver(sending, alice.mailbox(), id, b"x"), done());
    }
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 4, "the newest three are repetitions");
    assert_eq!(world.deliver(sending, alice.mailbox(), 9, b"x"), done());
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 5, "the oldest is not remembered");
}

#[test]
fn all_mailboxes_together_have_an_end() {
    // R-RELAY-20
    let mut world = World::new();
    let (alice, bob, carol) = (world.member(1), world.member(2), world.member(3));
    // Beside the desk's.
    world.restart_with(Limits { all_mailbox_bytes: 10, mailboxes: 3, ..Limits::default() });
    let (reading, sending) = (world.login(&alice), world.anonymous());
    world.login(&bob);
    let full = refusal(RefusalCode::QuotaExceeded);
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, &[1; 6]), done());
    assert_eq!(world.deliver(sending, bob.mailbox(), 1, &[1; 5]), full);
    world.subscribe(reading);
    let first = world.take(reading)[0].clone().unwrap().0;
    world.acknowledge(reading, &[first]);
    assert_eq!(world.deliver(sending, bob.mailbox(), 1, &[1; 5]), done());
    let third = world.open();
    assert_eq!(world.try_login(third, &carol), full, "no place for a third mailbox");
    assert!(world.closed.contains(&third), "a challenge is answered once");
    world.login(&bob);
}

#[test]
fn the_oldest_of_too_many_connections_to_one_mailbox_ends_r_relay_24() {
    let mut world = World::with(Limits { mailbox_connections: 2, ..Limits::default() });
    let (alice, bob) = (world.member(1), world.member(2));
    let (bobs, first) = (world.login(&bob), world.login(&alice));
    let (second, third) = (world.login(&alice), world.login(&alice));
    assert!(world.closed.contains(&first));
    assert!([bobs, second, third].iter().all(|connection| !world.closed.contains(connection)));
    let sending = world.anonymous();
    world.subscribe(second);
    world.subscribe(third);
    world.deliver(sending, alice.mailbox(), 1, b"x");
    assert_eq!((world.envelopes(second).len(), world.envelopes(third).len()), (1, 1));
}
