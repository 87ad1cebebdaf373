//! Slots and what hangs on them: who was first stays, and deliveries that waited for it go or stay with it.

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::hash::sha256;
use chancery_identity::delivery::Use;
use chancery_wire::{RefusalCode, proto};
use proptest::prelude::{ProptestConfig, any, proptest};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::sets::{DAY, HOUR, KEY, NAME, Team, create, fan};
use super::world::{DESK, World, done, refusal, token, token_for};
use crate::{ConnectionId, Input, Limits, Rate, Storage as _, StorageError};

const FIRST: &[u8] = b"\x18first";
const SECOND: &[u8] = b"\x18second";

/// What is put into a slot names it (R-RELAY-72).
fn named(slot: u8, what: &[u8]) -> Vec<u8> {
    match what.split_first() {
        Some((0x18, rest)) => [&[0x18][..], &[0; 16], &[slot; 16], rest].concat(),
        _ => what.to_vec(),
    }
}

fn put(slot: u8, envelope: &[u8], next: Option<proto::NextSet>) -> Request {
    Request::PutSlot(proto::PutSlot {
        slot: vec![slot; 16],
        token: token_for(Use::Slot, &[slot; 16]),
        set: vec![NAME; 16],
        key: KEY.to_vec(),
        envelope: named(slot, envelope),
        next,
    })
}

fn next(name: u8, emptied: &[u32], filled: &[(u32, [u8; 16])]) -> proto::NextSet {
    let filled =
        filled.iter().map(|(slot, mailbox)| proto::SlotMailbox { slot: *slot, mailbox: mailbox.to_vec() });
    let (emptied, filled) = (emptied.to_vec(), filled.collect());
    proto::NextSet {
        name: vec![name; 16],
        key: KEY.to_vec(),
        token: token_for(Use::Set, &[name; 16]),
        emptied,
        filled,
    }
}

fn get(slot: u8) -> Request {
    Request::GetSlot(proto::GetSlot { slot: vec![slot; 16] })
}

fn hold(slot: u8, content: &[u8], mailbox: [u8; 16], id: u8, envelope: &[u8]) -> Request {
    let deliver = proto::Deliver {
        mailbox: mailbox.to_vec(),
        delivery_id: vec![id; 16],
        token: token(&mailbox),
        envelope: envelope.to_vec(),
    };
    let hash = sha256(&[&named(slot, content)]).to_vec();
    Request::Hold(proto::Hold { deliver: Some(deliver), slot: vec![slot; 16], hash })
}

fn content(slot: u8, what: &[u8]) -> Body {
    Body::SlotContent(proto::SlotContent { envelope: named(slot, what), gone: Vec::new() })
}

#[test]
fn the_first_in_a_slot_wins_and_everybody_else_is_shown_it_r_relay_72() {
    let mut team = Team::new();
    let other = team.world.anonymous();
    assert_eq!(team.ask(get(1)), refusal(RefusalCode::NotFound), "R-RELAY-73");
    assert_eq!(team.ask(put(1, FIRST, None)), done());
    assert_eq!(team.got(), vec![vec![named(1, FIRST)]; 3], "it is fanned out with being stored");
    assert_eq!(team.world.ask(other, put(1, SECOND, None)), content(1, FIRST));
    assert_eq!(team.ask(put(1, FIRST, None)), content(1, FIRST), "also if it is the same");
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3], "once");
    assert_eq!(team.ask(get(1)), content(1, FIRST), "R-RELAY-73");
    assert_eq!(team.ask(put(2, SECOND, None)), done(), "another slot is free");
    team.world.restart();
    let sending = team.world.anonymous();
    assert_eq!(team.world.ask(sending, put(1, SECOND, None)), content(1, FIRST));
}

#[test]
fn of_two_that_come_in_one_transaction_one_wins_also_if_it_has_to_be_repeated() {
    // R-RELAY-72, R-RELAY-11
    for failing in 0..=1 {
        let mut team = Team::new();
        let connections = [team.world.anonymous(), team.world.anonymous()];
        let names = [next(2, &[0], &[]), next(3, &[0], &[])];
        let frames: Vec<Vec<u8>> = [FIRST, SECOND]
            .iter()
            .zip(names)
            .map(|(envelope, next)| {
                let body = Some(put(1, envelope, Some(next)));
                chancery_wire::encode(&proto::ClientFrame { request: 1, body })
            })
            .collect();
        let inputs: Vec<Input<'_>> = connections
            .iter()
            .zip(&frames)
            .map(|(connection, bytes)| Input::Frame { connection: *connection, bytes })
            .collect();
        team.world.storage.fail_commits(failing, StorageError::Io);
        let World { relay, storage, now, rng, .. } = &mut team.world;
        let effects = relay.handle_all(storage, &inputs, *now, &mut **rng);
        let answers: Vec<Body> = connections.iter().map(|connection| answer(&effects, *connection)).collect();
        assert_eq!(answers, [done(), content(1, FIRST)]);
        assert_eq!((team.set(2).is_some(), team.set(3), team.set(NAME).is_some()), (true, None, true));
        assert_eq!(team.stored(2), [named(1, FIRST)]);
    }
}

fn answer(effects: &[crate::Effect], connection: ConnectionId) -> Body {
    let mut frames = effects.iter().filter_map(|effect| match effect {
        crate::Effect::Send { connection: to, frame } if *to == connection => Some(super::world::read(frame)),
        _ => None,
    });
    frames.find(|frame| frame.request == 1).unwrap().body.unwrap()
}

#[test]
fn a_commit_that_only_adds_keeps_the_old_set_beside_the_new_r_relay_72() {
    let mut team = Team::new();
    let carol = team.places()[3];
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[], &[(1, [9; 16]), (6, [8; 16])])))), done());
    let places = team.places();
    let expected = vec![places[0], [9; 16], places[2], carol, [0; 16], [0; 16], [8; 16]];
    assert_eq!((team.set(NAME), team.set(2)), (Some(places), Some(expected)));
    assert_eq!(team.ask(fan(2, 0, 0, 1, b"\x17x")), done(), "under its own key");
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
}

#[test]
fn a_commit_that_removes_leaves_the_old_set_for_an_hour_r_relay_72() {
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[2], &[])))), done());
    assert_eq!(team.got(), vec![vec![named(1, FIRST)]; 3], "who is removed is told");
    let follows = Some(vec![places[0], [0; 16], [0; 16], places[3]]);
    assert_eq!((team.set(NAME), team.set(2)), (Some(places.clone()), follows.clone()));
    // Nobody takes the others' set away at once by naming some slot, and using it does not keep it.
    team.world.wait(HOUR);
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17x")), done());
    assert_eq!(team.ask(put(6, SECOND, None)), done());
    team.world.wait(HOUR);
    team.sending = team.world.anonymous();
    assert_eq!((team.set(NAME), team.set(2)), (None, follows));
    assert_eq!(team.ask(fan(NAME, 0, 0, 2, b"\x17x")), refusal(RefusalCode::NotFound));
    assert_eq!(
        team.ask(put(1, FIRST, Some(next(2, &[2], &[])))),
        content(1, FIRST),
        "a lost answer is asked for again"
    );
    assert_eq!(team.ask(put(5, FIRST, None)), refusal(RefusalCode::NotFound));
    assert_eq!(team.ask(get(5)), refusal(RefusalCode::NotFound));
}

#[test]
fn a_place_can_be_emptied_and_another_filled_by_the_same_device() {
    // R-RELAY-72: a device that comes back into another slot.
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[0], &[(1, places[0])])))), done());
    assert_eq!(team.set(2), Some(vec![[0; 16], places[0], places[2], places[3]]));
}

#[test]
fn a_device_that_has_ended_enters_no_set_that_follows_r_relay_75() {
    let mut team = Team::new();
    let places = team.places();
    team.end(1);
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[], &[(1, places[2]), (4, [9; 16])])))), done());
    assert_eq!(team.set(2), Some(vec![places[0], [0; 16], [0; 16], places[3], [9; 16]]));
}

#[test]
fn what_is_malformed_or_does_not_fit_takes_no_slot() {
    // R-RELAY-72
    let mut team = Team::new();
    let (bad, places) = (refusal(RefusalCode::BadRequest), team.places());
    for envelope in [b"".as_slice(), b"\x17x", b"\x19x"] {
        assert_eq!(team.ask(put(1, envelope, None)), bad, "{envelope:?}");
    }
    let of_slot = |envelope: &[u8]| match put(1, FIRST, None) {
        Request::PutSlot(put) => Request::PutSlot(proto::PutSlot { envelope: envelope.to_vec(), ..put }),
        other => other,
    };
    let whole = named(1, FIRST);
    for other in [&named(2, FIRST), &whole[..32], &[whole.as_slice(), b""].concat()[1..], &[0x18; 40]] {
        assert_eq!(team.ask(of_slot(other)), bad, "what was made for another slot");
    }
    assert_eq!(team.ask(put(1, &vec![0x18; 98_305], None)), refusal(RefusalCode::TooLarge), "R-RELAY-20");
    for wrong in [
        next(NAME, &[], &[]),
        next(2, &[4], &[]),
        next(2, &[u32::MAX], &[]),
        next(2, &[0, 0], &[]),
        next(2, &[0], &[(0, [9; 16])]),
        next(2, &[], &[(1, [9; 16]), (1, [8; 16])]),
        next(2, &[], &[(1, [0; 16])]),
        next(2, &[], &[(1, places[0])]),
        next(2, &[], &[(16_384, [9; 16])]),
        proto::NextSet { key: vec![], ..next(2, &[], &[]) },
        proto::NextSet { name: vec![], ..next(2, &[], &[]) },
    ] {
        assert_eq!(team.ask(put(1, FIRST, Some(wrong.clone()))), bad, "{wrong:?}");
    }
    assert_eq!(team.ask(create(3, &places[1..])), done());
    assert_eq!(team.ask(put(1, FIRST, Some(next(3, &[0], &[])))), refusal(RefusalCode::Conflict));
    let wrong_key = |request| match request {
        Request::PutSlot(put) => Request::PutSlot(proto::PutSlot { key: vec![1; 16], ..put }),
        other => other,
    };
    assert_eq!(team.ask(wrong_key(put(1, FIRST, None))), refusal(RefusalCode::NotFound), "one answer");
    assert_eq!(team.ask(get(1)), refusal(RefusalCode::NotFound));
    assert_eq!((team.got(), team.set(NAME)), (vec![Vec::new(); 3], Some(places)));
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[], &[(16_383, [9; 16])])))), done(), "the last slot");
}

#[test]
fn garbage_in_a_slot_stays_and_the_next_slot_is_free() {
    // R-RELAY-72: the relay judges nothing but kind and name.
    let mut team = Team::new();
    assert_eq!(team.ask(put(1, b"\x18", None)), done());
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[0], &[])))), content(1, b"\x18"));
    assert!(team.set(NAME).is_some() && team.set(2).is_none(), "and nothing of who came later happens");
    assert_eq!(team.ask(put(2, FIRST, Some(next(2, &[0], &[])))), done());
}

#[test]
fn what_was_in_a_slot_goes_and_the_slot_stays_taken_r_relay_73() {
    let mut team = Team::new();
    assert_eq!(team.ask(put(1, FIRST, None)), done());
    team.world.wait(DAY * 90);
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(get(1)), content(1, FIRST));
    team.world.wait(HOUR);
    let gone = Body::SlotContent(proto::SlotContent {
        envelope: Vec::new(),
        gone: sha256(&[&named(1, FIRST)]).to_vec(),
    });
    assert_eq!(team.ask(get(1)), gone);
    assert_eq!(team.ask(create(NAME, &team.places())), done());
    assert_eq!(team.ask(put(1, SECOND, None)), gone);
    let alice = team.places()[0];
    assert_eq!(team.ask(hold(1, SECOND, alice, 1, b"x")), refusal(RefusalCode::Conflict), "R-RELAY-74");
    assert_eq!(team.ask(hold(1, FIRST, alice, 2, b"x")), done());
    assert_eq!(team.stored(0), [b"x".to_vec()], "R-RELAY-74: the hash is enough");
}

#[test]
fn what_is_held_is_given_with_the_content_it_waits_for_and_dropped_with_another_r_relay_74() {
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(hold(1, FIRST, places[2], 1, b"with the first")), done());
    assert_eq!(team.ask(hold(1, SECOND, places[2], 2, b"with the second")), done());
    assert_eq!(team.ask(hold(2, FIRST, places[3], 3, b"another slot")), done());
    assert_eq!(team.ask(hold(1, FIRST, places[2], 4, b"then")), done());
    assert_eq!(team.got(), vec![Vec::<Vec<u8>>::new(); 3], "given to nobody");
    team.world.restart();
    let bobs = team.world.login(&team.devices[1]);
    team.world.subscribe(bobs);
    team.reading = vec![bobs];
    assert!(team.got()[0].is_empty(), "nor after a restart");
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(put(1, FIRST, None)), done());
    assert_eq!(
        team.got()[0],
        [&named(1, FIRST)[..], b"with the first", b"then"],
        "pushed, in the order of holding"
    );
    assert_eq!(team.world.storage.held(), 1, "the loser's are dropped; the other slot's wait");
    assert_eq!(team.ask(hold(1, FIRST, places[2], 5, b"late")), done());
    assert_eq!(team.got()[0], [b"late"], "at once");
    assert_eq!(team.ask(hold(1, SECOND, places[2], 6, b"late")), refusal(RefusalCode::Conflict));
    assert_eq!(team.ask(hold(1, FIRST, places[2], 1, b"again")), done(), "R-RELAY-14");
    assert!(team.got()[0].is_empty());
    let row = team.world.storage.mailbox(&team.devices[1].mailbox()).unwrap().unwrap();
    assert_eq!((row.envelopes, row.bytes), (4, 38 + 14 + 4 + 4), "counted once");
}

#[test]
fn a_winner_that_cannot_be_stored_releases_nothing() {
    // R-RELAY-74, R-RELAY-10
    let mut team = Team::new();
    let alice = team.places()[0];
    assert_eq!(team.ask(hold(1, FIRST, alice, 1, b"held")), done());
    team.world.storage.fail_commits(2, StorageError::Full);
    assert!(matches!(team.ask(put(1, FIRST, Some(next(2, &[0], &[])))), Body::Refused(_)));
    assert_eq!((team.world.storage.held(), team.stored(0).len(), team.set(2)), (1, 0, None));
    assert_eq!(team.ask(put(1, FIRST, Some(next(2, &[0], &[])))), done());
    assert_eq!((team.world.storage.held(), team.stored(0).len()), (0, 2));
}

#[test]
fn a_held_delivery_is_repeated_and_overtaken_without_coming_twice() {
    // R-RELAY-74, R-RELAY-14
    let mut team = Team::new();
    let (alice, mailbox) = (team.places()[0], team.devices[0].mailbox());
    for _ in 0..2 {
        assert_eq!(team.ask(hold(1, FIRST, alice, 1, b"held")), done());
    }
    assert_eq!(team.world.storage.held(), 1);
    let sending = team.sending;
    assert_eq!(team.world.deliver(sending, mailbox, 1, b"held"), done());
    assert_eq!(team.ask(put(1, FIRST, None)), done());
    assert_eq!(team.stored(0), [b"held".to_vec(), named(1, FIRST)]);
}

#[test]
fn held_deliveries_end_after_an_hour_and_with_their_device_r_relay_74() {
    let mut team = Team::new();
    let places = team.places();
    assert_eq!(team.ask(hold(1, FIRST, places[0], 1, b"held")), done());
    team.world.wait(HOUR);
    assert_eq!(team.world.storage.held(), 1);
    team.world.wait(HOUR);
    assert_eq!(team.world.storage.held(), 0, "R-RELAY-19: rounded up to the full hour");
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(hold(1, FIRST, places[0], 1, b"held")), done(), "a dropped one can be held again");
    assert_eq!(team.ask(hold(1, FIRST, places[2], 1, b"held")), done());
    team.end(0);
    assert_eq!(team.world.storage.held(), 1, "R-RELAY-50");
    assert_eq!(team.ask(hold(1, FIRST, places[0], 2, b"held")), refusal(RefusalCode::NotFound));
    assert_eq!(team.world.storage.totals().unwrap().envelope_bytes, 4);
}

#[test]
fn holding_counts_against_the_mailbox_and_against_what_is_held_of_all_r_relay_74() {
    let limits = Limits { mailbox_envelopes: 2, held: 4, held_bytes: 50, ..Limits::default() };
    let mut team = Team::with(limits);
    let places = team.places();
    let full = refusal(RefusalCode::QuotaExceeded);
    for id in 1..=2 {
        assert_eq!(team.ask(hold(1, FIRST, places[0], id, &[1; 10])), done());
    }
    assert_eq!(team.ask(hold(1, FIRST, places[0], 3, &[1; 10])), full, "the mailbox");
    let (sending, mailbox) = (team.sending, team.devices[0].mailbox());
    assert_eq!(team.world.deliver(sending, mailbox, 4, b"x"), full);
    assert_eq!(team.ask(hold(1, FIRST, places[2], 5, &[1; 31])), full, "bytes of all");
    for id in 5..=6 {
        assert_eq!(team.ask(hold(1, FIRST, places[2], id, &[1; 10])), done());
    }
    assert_eq!(team.ask(hold(1, FIRST, places[3], 7, b"x")), full, "their number");
    assert_eq!(team.ask(put(1, FIRST, None)), done());
    let counts = [0, 1, 2].map(|device| team.stored(device).len());
    assert_eq!(counts, [2, 2, 1], "what is held has its room; the commit finds none and is left out");
}

#[test]
fn only_devices_are_waited_for_and_malformed_holds_are_refused() {
    // R-RELAY-74
    let mut team = Team::new();
    let alice = team.places()[0];
    let desk = team.world.desk();
    team.world.login(&desk);
    for mailbox in [DESK, [0xEE; 16]] {
        assert_eq!(team.ask(hold(1, FIRST, mailbox, 1, b"x")), refusal(RefusalCode::NotFound));
    }
    let Request::Hold(good) = hold(1, FIRST, alice, 1, b"x") else { unreachable!() };
    let deliver = good.deliver.clone().unwrap();
    for malformed in [
        proto::Hold { deliver: None, ..good.clone() },
        proto::Hold { slot: vec![1; 15], ..good.clone() },
        proto::Hold { hash: vec![1; 31], ..good.clone() },
        proto::Hold { deliver: Some(proto::Deliver { envelope: vec![], ..deliver.clone() }), ..good.clone() },
        proto::Hold { deliver: Some(proto::Deliver { delivery_id: vec![1], ..deliver }), ..good },
    ] {
        assert_eq!(team.ask(Request::Hold(malformed)), refusal(RefusalCode::BadRequest));
    }
    assert_eq!(team.world.storage.held(), 0);
}

#[test]
fn slots_are_limited_in_number_in_bytes_and_in_time_r_relay_20() {
    let few = Rate { per_second: 1, burst: 3 };
    let mut team =
        Team::with(Limits { slots: 3, slot_bytes: 150, all_set_changes: few, ..Limits::default() });
    let full = refusal(RefusalCode::QuotaExceeded);
    assert_eq!(team.ask(put(1, &[0x18; 10], None)), done());
    assert_eq!(team.ask(put(2, &[0x18; 100], None)), full, "bytes");
    assert_eq!(team.ask(put(2, &[0x18; 5], None)), done());
    let sending = team.world.anonymous();
    let limited = team.world.ask(sending, put(3, &[0x18; 1], None));
    assert!(
        matches!(limited, Body::Refused(refused) if refused.code == 6),
        "a set and two slots: of all connections"
    );
    team.world.wait(core::time::Duration::from_secs(1));
    assert_eq!(team.ask(put(3, &[0x18; 1], None)), done());
    team.world.wait(core::time::Duration::from_secs(1));
    assert_eq!(team.ask(put(4, &[0x18; 1], None)), full, "the number");
    assert_eq!(team.ask(put(3, &[0x18; 1], None)), content(3, &[0x18]), "one that is taken costs nothing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever comes in whatever order: a slot never changes, every delivery comes at most once, and when everything
    /// has been read or has ended, nothing is left of it and nothing is counted.
    #[test]
    fn sets_slots_and_holds_in_any_order_lose_and_leave_nothing(steps: Vec<(u8, u8, u8)>, ended in any::<bool>()) {
        let mut team = Team::new();
        let places = team.places();
        let mut winners: [Option<Vec<u8>>; 4] = [const { None }; 4];
        for (kind, a, b) in steps {
            let (slot, envelope, device) = (a % 4, [0x18, b % 3], usize::from(a % 4));
            match kind % 7 {
                0 => drop(team.ask(fan(NAME.wrapping_add(b % 3), a.into(), b.into(), b, &[0x17, a]))),
                1 | 2 => {
                    let follows = next(NAME.wrapping_add(if b % 2 == 0 { 1 } else { 2 }), if a > 127 { &[0] } else { &[] }, &[(1, [b; 16])]);
                    drop(team.ask(put(slot, &envelope, (b > 127).then_some(follows))));
                }
                3 => drop(team.ask(hold(slot, &envelope, places[device], b, &[7, b]))),
                4 => drop(team.ask(create(NAME.wrapping_add(b % 3), &places))),
                5 => {
                    let reading = team.reading[device % 3];
                    let newest: Vec<u64> = team.world.take(reading).into_iter().flatten().map(|(n, _)| n).collect();
                    team.world.acknowledge(reading, &newest);
                }
                _ => team.restart(),
            }
            if let Body::SlotContent(now) = team.ask(get(slot)) {
                let first = winners[usize::from(slot)].get_or_insert_with(|| now.envelope.clone());
                assert_eq!(*first, now.envelope, "R-RELAY-73");
            } else {
                assert_eq!(winners[usize::from(slot)], None, "R-RELAY-73");
            }
            for device in 0..3 {
                let released: Vec<_> = team.stored(device).into_iter().filter(|envelope| envelope[0] == 7).collect();
                let distinct: BTreeSet<_> = released.iter().collect();
                assert_eq!(distinct.len(), released.len(), "R-RELAY-74: a delivery comes once");
            }
        }
        if ended {
            (0..3).for_each(|device| team.end(device));
        } else {
            team.world.wait(DAY.saturating_mul(61));
        }
        (0..20).for_each(|_| team.world.wait(HOUR));
        let totals = team.world.storage.totals().unwrap();
        assert_eq!((totals.envelope_bytes, totals.held, totals.held_bytes), (0, 0, 0));
        assert_eq!((team.world.storage.multiplied(), team.world.storage.held()), (0, 0));
    }
}
