//! Sending when the set is gone, somebody has ended, the slot or the clock is not what it should be.

use alloc::collections::BTreeSet;
use alloc::vec;

use chancery_group::{Keying, Reason, remove};

use super::*;

/// What a device would do next for its groups.
fn next(town: &Town, id: usize) -> Option<GroupStep> {
    town.next(id, &BTreeSet::new())
}

/// The same, once its care was taken.
fn due(town: &mut Town, id: usize) -> Option<GroupStep> {
    loop {
        match next(town, id) {
            Some(step @ GroupStep::Care { .. }) => assert!(town.step(id, step, &mut vec![])),
            other => return other,
        }
    }
}

#[test]
fn a_set_that_a_commit_has_replaced_is_not_made_again_with_whom_that_removed_r_engine_79() {
    let mut town = three();
    // What was said before is sealed, and does not reach the relay.
    town.say(1, "waits");
    town.seal_only(1);
    let slot = town.slot(0, 2);
    let made = town.commit(0, vec![remove(slot, Reason::Role)], Keying::Tree);
    town.put_slot(1, 0, made.envelope.clone());
    town.handle(1, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
    assert!(matches!(next(&town, 1), Some(GroupStep::Fetch { attempt: 0, .. })), "{:?}", next(&town, 1));
    let sent = town.run(1);
    assert!(town.sets_created.is_empty(), "{:?}", town.sets_created);
    assert_eq!((town.epoch(1), sent.len()), (3, 1), "sealed anew, behind the commit");
    town.give(2, &sent[0]);
    assert!(town.heard(2).is_empty());
    town.give(0, &sent[0]);
    town.run(0);
    assert_eq!(town.heard(0), ["waits"]);
}

#[test]
fn a_slot_that_was_seen_to_be_empty_counts_for_a_minute_r_engine_79() {
    let mut town = three();
    town.say(1, "waits");
    town.handle(1, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
    let empty = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: None };
    town.handle(1, Input::Group(empty));
    assert!(matches!(next(&town, 1), Some(GroupStep::CreateSet { .. })));
    town.wait(61 * SECOND);
    assert!(matches!(next(&town, 1), Some(GroupStep::Fetch { .. })), "somebody may have committed since");
    // What is in the slot and waits for its author's credential is no reason to make the set either, nor to ask again and again.
    let made = town.build(0, vec![], Keying::Tree, 0);
    town.put_slot(1, 0, made.envelope.clone());
    town.run(1);
    assert_eq!((town.epoch(1), town.sets_created.len()), (3, 0));
}

#[test]
fn what_was_sealed_before_an_end_was_heard_of_is_not_sent_after_it_r_engine_80() {
    let mut town = three();
    town.say(1, "not for carol");
    let sealed = town.seal_only(1);
    town.revoke(2);
    town.grow(1);
    assert_eq!(town.run(1), Vec::<Vec<u8>>::new(), "the eviction waits");
    let slot = town.slot(1, 2);
    town.commit(1, vec![remove(slot, Reason::Log)], Keying::HandOut);
    let sent = town.run(1);
    assert_eq!(sent.len(), 1);
    assert_ne!(sent[0], sealed, "sealed anew");
}

#[test]
fn what_was_sealed_waits_for_the_secret_of_a_commit_that_came_since_r_engine_80() {
    let mut town = three();
    town.say(1, "not for carol");
    town.seal_only(1);
    let slot = town.slot(0, 2);
    // Her own half of the new keys is still on its way.
    let made = town.commit(0, vec![remove(slot, Reason::Role)], Keying::Regrow);
    town.give(1, &made.envelope);
    assert_eq!((town.epoch(1), town.run(1).len()), (2, 0));
    town.deliver(&made, &[1]);
    assert_eq!(town.epoch(1), 3);
}

#[test]
fn a_set_that_was_made_with_another_key_has_its_group_rest_r_engine_79() {
    let mut town = three();
    let said = town.say(1, "waits");
    let mut tries = 0;
    for _ in 0..3 * 3600 {
        let Some(step) = next(&town, 1) else {
            town.wait(SECOND);
            continue;
        };
        match step {
            GroupStep::FanOut { .. } => {
                town.handle(1, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
            }
            GroupStep::CreateSet { .. } => {
                tries += 1;
                town.handle(1, Input::Group(GroupInput::SetTaken { group_id: GROUP }));
            }
            step => assert!(town.step(1, step, &mut vec![])),
        }
    }
    assert!((5..=7).contains(&tries), "each half hour: {tries}");
    assert_eq!(town.state(1, &said), MessageState::Queued as u32);
    assert!(next_group_care(town.disk(1)).unwrap().is_some(), "somebody has to look again");
    // The relay has dropped it.
    town.wait(1800 * SECOND);
    assert_eq!(town.run(1).len(), 1);
    // Another member has made it, and the relay has emptied places: it is there, and knows the key.
    town.say(1, "goes too");
    town.handle(1, Input::Group(GroupInput::SetTaken { group_id: GROUP }));
    assert_eq!(town.run(1).len(), 1);
}

#[test]
fn one_look_says_what_to_do_or_when_to_look_again() {
    let mut town = three();
    town.say(1, "waits");
    assert!(matches!(town.outlook(1, &BTreeSet::new()), GroupOutlook::Step(_)));
    let held = BTreeSet::from([GROUP]);
    let (mut waits, mut tries) = (0, 0);
    for _ in 0..2 * 3600 {
        let care = next_group_care(town.disk(1)).unwrap();
        // What is left alone becomes due all the same.
        assert!(matches!(town.outlook(1, &held), GroupOutlook::Idle(due) if due == care));
        match town.outlook(1, &BTreeSet::new()) {
            GroupOutlook::Idle(due) => {
                assert!(due == care && due.is_none_or(|due| due > town.now), "{due:?}");
                waits += usize::from(due.is_some());
                town.wait(SECOND);
            }
            GroupOutlook::Step(step) => match *step {
                GroupStep::FanOut { .. } => {
                    town.handle(1, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
                }
                GroupStep::CreateSet { .. } => {
                    tries += 1;
                    town.handle(1, Input::Group(GroupInput::SetTaken { group_id: GROUP }));
                }
                step => assert!(town.step(1, step, &mut vec![])),
            },
        }
    }
    assert!(waits > 3600 && tries > 1, "{waits}, {tries}");
}

/// What a slot has whose content the relay has deleted.
fn gone(of: &[u8]) -> SlotContent {
    SlotContent { envelope: vec![], gone: chancery_crypto::hash::sha256(&[of]).to_vec() }
}

#[test]
fn a_device_whose_next_commit_is_gone_from_its_slot_stops_and_asks_to_be_added_again_r_engine_95() {
    let mut town = three();
    let made = town.commit(0, vec![], Keying::Tree);
    // It would have renamed the group, and written.
    town.keep_commit(2, &made);
    let said = town.say(2, "waits");
    let taken = gone(&[7; 512]);
    let answer = GroupInput::SlotAnswer { group_id: GROUP, attempt: 0, taken: Some(&taken) };
    town.handle(2, Input::Group(answer));
    assert_eq!(next(&town, 2).map(|step| step.target()), None, "the commit is not put again");
    assert_eq!(group(town.disk(2), &GROUP).unwrap().unwrap().summary.phase, GroupPhase::Withheld);
    assert_eq!(town.acts(2), [ActKind::Joined, ActKind::Withheld]);
    assert_eq!(town.state(2, &said), MessageState::Queued as u32);
    town.wait(2 * SECOND);
    assert!(town.run(2).is_empty());
    let asked = town.outbox(2);
    assert!(matches!(asked[..], [(_, Control::Need(_))]), "{asked:?}");
    town.carry(2, 0);
    assert_eq!(town.asked(0), [town.device(2).as_bytes().to_vec()], "R-ENGINE-90");
    // Should the commit come all the same, there is no fork, and it goes on.
    town.give(2, &made.envelope);
    assert_eq!(town.epoch(2), 3);
    assert_eq!(town.run(2).len(), 1);
    assert_eq!(group(town.disk(2), &GROUP).unwrap().unwrap().summary.phase, GroupPhase::Open);
}

#[test]
fn an_own_commit_that_is_gone_from_its_slot_has_won_all_the_same_r_engine_95() {
    let mut town = three();
    let made = town.build(0, vec![], Keying::Regrow, 0);
    town.keep_commit(0, &made);
    let taken = gone(&made.envelope);
    let answer = GroupInput::SlotAnswer { group_id: GROUP, attempt: 0, taken: Some(&taken) };
    town.handle(0, Input::Group(answer));
    assert_eq!(town.epoch(0), 3);
}

#[test]
fn a_commit_that_was_made_by_a_clock_that_was_ahead_is_made_anew_at_once_r_engine_84() {
    let mut town = three();
    town.wait(24 * 3600 * SECOND);
    let made = town.build(0, vec![], Keying::Tree, 0);
    town.keep_commit(0, &made);
    town.set_back(24 * 3600 * SECOND);
    assert!(matches!(due(&mut town, 0), Some(GroupStep::Fetch { .. })), "it may have won");
    let empty = || Input::Group(GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: None });
    town.handle(0, empty());
    assert!(matches!(due(&mut town, 0), Some(GroupStep::Commit { .. })), "{:?}", next(&town, 0));
    // Once that is so it is never put, though the clock be set right before it was made anew.
    town.wait(24 * 3600 * SECOND);
    assert!(matches!(due(&mut town, 0), Some(GroupStep::Commit { .. })), "{:?}", next(&town, 0));
    town.handle(0, Input::Group(GroupInput::Commit { group_id: GROUP }));
    assert!(town.pending(0).is_none(), "nothing is to be done any more");
}

#[test]
fn a_slot_that_was_empty_before_a_commit_was_too_old_says_nothing_of_it_r_engine_84() {
    let mut town = three();
    let made = town.build(0, vec![], Keying::Tree, 0);
    town.keep_commit(0, &made);
    let empty = || Input::Group(GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: None });
    town.handle(0, empty());
    // It may have been put since.
    town.wait(45 * 60 * SECOND);
    assert!(matches!(due(&mut town, 0), Some(GroupStep::Fetch { .. })), "{:?}", next(&town, 0));
    town.handle(0, empty());
    assert!(matches!(due(&mut town, 0), Some(GroupStep::Commit { .. })), "{:?}", next(&town, 0));
}
