//! Marks of later epochs, true ones and false ones, and what is done while they say that a commit is withheld.

use super::need::{lies, makes, many, phase};
use super::*;
use chancery_group::Reason;
use chancery_wire::proto::{GroupForkRecord, GroupMark, GroupStateRecord};

use crate::tables::{GROUP_FORK, key, load};

/// A device says where it is, or where it claims to be.
fn says(town: &mut Town, (to, from): (usize, usize), epoch: u64, transcript: &[u8]) {
    let mark = GroupMark { epoch, transcript: transcript.to_vec() };
    let mark = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Mark(mark)) };
    assert!(town.control_as_is(to, from, &mark));
}

/// A device says truly where it is.
fn tells(town: &mut Town, to: usize, from: usize) -> Vec<u8> {
    let transcript = rows::head(town.disk(from), &GROUP).unwrap().unwrap().transcript;
    let epoch = town.epoch(from);
    says(town, (to, from), epoch, &transcript);
    transcript
}

/// A minute is over.
fn a_minute_later(town: &mut Town, id: usize) {
    town.wait(Duration::from_secs(61));
    town.handle(id, Input::Group(GroupInput::Care { group_id: GROUP }));
}

/// Three is removed by role, and the relay keeps that from one; four ends in the log, and one evicts it. Returns what two has
/// said of the epoch in which it is, `further` on from the removal.
fn evicts_while_a_removal_is_withheld(town: &mut Town, further: usize) -> Vec<u8> {
    town.run(1);
    let slot = town.slot(0, 3);
    let made = town.commit(0, vec![remove(slot, Reason::Role)], Keying::Tree);
    town.deliver(&made, &[2]);
    for _ in 0..further {
        let made = town.commit(0, vec![], Keying::Tree);
        town.deliver(&made, &[2]);
    }
    let name = tells(town, 1, 2);
    town.say(1, "not for three");
    a_minute_later(town, 1);
    assert_eq!(phase(town, 1), GroupPhase::Withheld);
    town.revoke(4);
    town.grow(1);
    puts(town, 1);
    assert_eq!(town.epoch(1), 3);
    name
}

/// A device makes an eviction and puts it into the slot, which is empty.
fn puts(town: &mut Town, id: usize) {
    makes(town, id).expect("an eviction");
    town.handle(id, Input::Group(GroupInput::SlotAnswer { group_id: GROUP, attempt: 0, taken: None }));
}

#[test]
fn an_own_eviction_in_the_place_of_a_withheld_commit_shows_the_fork_r_engine_75_r_group_27() {
    let mut town = many(5);
    let name = evicts_while_a_removal_is_withheld(&mut town, 0);
    assert_eq!(phase(&town, 1), GroupPhase::Forked);
    assert!(town.run(1).is_empty(), "nothing is sealed for who was removed");
    let view = group(town.disk(1), &GROUP).unwrap().unwrap();
    assert_eq!(view.fork.map(|fork| fork.hash.to_vec()), Some(name.clone()));
    let proof: GroupForkRecord = load(town.disk(1), &key(GROUP_FORK, &[&GROUP])).unwrap().unwrap();
    assert_eq!(proof.mark, Some(GroupMark { epoch: 3, transcript: name }));
    assert_eq!(proof.from, town.device(2).as_bytes());
}

#[test]
fn an_own_eviction_below_the_epoch_that_was_told_of_opens_nothing_r_engine_75() {
    let mut town = many(6);
    evicts_while_a_removal_is_withheld(&mut town, 1);
    assert_eq!(phase(&town, 1), GroupPhase::Withheld);
    let is_message = |envelope: &Vec<u8>| envelope[0] == 0x17;
    assert!(!town.run(1).iter().any(is_message), "nothing is sealed for who was removed");
    town.revoke(5);
    town.grow(1);
    puts(&mut town, 1);
    assert_eq!((town.epoch(1), phase(&town, 1)), (4, GroupPhase::Forked));
}

#[test]
fn a_mark_is_over_when_what_it_told_of_has_come_r_engine_75() {
    let mut town = many(4);
    town.run(1);
    let made = town.commit(0, vec![], Keying::Tree);
    town.deliver(&made, &[2]);
    tells(&mut town, 1, 2);
    a_minute_later(&mut town, 1);
    assert_eq!(phase(&town, 1), GroupPhase::Withheld);
    town.deliver(&made, &[1]);
    assert_eq!((town.epoch(1), phase(&town, 1)), (3, GroupPhase::Open));
}

#[test]
fn who_is_removed_by_what_it_calls_another_epoch_has_shown_the_fork_r_engine_75() {
    let mut town = many(4);
    town.run(1);
    says(&mut town, (1, 3), 3, &[7; 32]);
    a_minute_later(&mut town, 1);
    let slot = town.slot(0, 3);
    let made = town.commit(0, vec![remove(slot, Reason::Role)], Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!((town.epoch(1), phase(&town, 1)), (3, GroupPhase::Forked));
}

#[test]
fn a_lie_displaces_no_true_mark_r_engine_75() {
    for liar_first in [true, false] {
        let mut town = many(5);
        town.run(1);
        for _ in 0..2 {
            let made = town.commit(0, vec![], Keying::Tree);
            town.deliver(&made, &[2]);
        }
        if liar_first {
            says(&mut town, (1, 3), 1 << 40, &[7; 32]);
        }
        tells(&mut town, 1, 2);
        if !liar_first {
            says(&mut town, (1, 3), 1 << 40, &[7; 32]);
        }
        a_minute_later(&mut town, 1);
        let told = town.acts(1).into_iter().filter(|it| *it == ActKind::Withheld).count();
        assert_eq!(told, 2, "both are named");
        town.revoke(3);
        town.grow(1);
        assert_eq!(phase(&town, 1), GroupPhase::Withheld, "the other has told the truth");
        says(&mut town, (1, 4), 1 << 40, &[7; 32]);
        let told = town.acts(1).into_iter().filter(|it| *it == ActKind::Withheld).count();
        assert_eq!(told, 3, "who comes later is named at once");
        town.revoke(4);
        town.revoke(2);
        town.grow(1);
        assert_eq!(phase(&town, 1), GroupPhase::Open);
    }
}

#[test]
fn a_member_with_many_devices_keeps_nobody_from_being_heard_r_engine_75() {
    let names: Vec<_> = ["a", "b", "d"].into_iter().chain(["c"; 9]).chain(["e"; 8]).collect();
    let mut town = Town::new(&names);
    town.found(0);
    let adds = (1..20).map(|id| add(&town.credential(id), Role::Member)).collect();
    let made = town.commit(0, adds, Keying::Tree);
    town.deliver(&made, &[1]);
    town.run(1);
    let claims = |town: &Town| state::load(town.disk(1), &GROUP).unwrap().unwrap().claims;
    (3..20).for_each(|id| says(&mut town, (1, id), 1 << 40, &[7; 32]));
    assert_eq!(claims(&town).len(), 16);
    says(&mut town, (1, 2), 4, &[8; 32]);
    says(&mut town, (1, 2), 5, &[9; 32]);
    says(&mut town, (1, 19), 1 << 40, &[7; 32]);
    let known = claims(&town);
    assert_eq!(known.len(), 16);
    let of = town.device(2).as_bytes().to_vec();
    let found: Vec<_> = known.iter().filter(|it| it.device_id == of).map(|it| it.epoch).collect();
    assert_eq!(found, [5], "one of each device, the latest");
    a_minute_later(&mut town, 1);
    town.revoke(3);
    town.revoke(19);
    town.grow(1);
    assert_eq!((claims(&town).len(), phase(&town, 1)), (1, GroupPhase::Withheld));
}

#[test]
fn a_stored_group_of_before_stays_withheld_until_its_teller_has_ended_r_engine_75() {
    let mut town = many(4);
    lies(&mut town, 3, &[1]);
    let by = town.device(3).as_bytes().to_vec();
    town.act(1, |turn| {
        let state = state::load(turn.records, &GROUP).unwrap().unwrap();
        let old = GroupStateRecord { claims: Vec::new(), ahead_by: by, ..state };
        state::save(turn.records, &GROUP, &old);
    });
    town.revoke(2);
    town.grow(1);
    assert_eq!(phase(&town, 1), GroupPhase::Withheld);
    town.revoke(3);
    town.grow(1);
    assert_eq!(phase(&town, 1), GroupPhase::Open);
}

#[test]
fn an_eviction_that_is_made_while_withheld_is_handed_on_r_engine_75_r_group_18() {
    let mut town = many(8);
    town.run(5);
    lies(&mut town, 3, &[5]);
    town.say(5, "not now");
    town.revoke(1);
    [5, 6].into_iter().for_each(|id| town.grow(id));
    let made = makes(&mut town, 5).expect("an eviction");
    town.handle(5, Input::Group(GroupInput::SlotAnswer { group_id: GROUP, attempt: 0, taken: None }));
    assert_eq!((town.epoch(5), phase(&town, 5)), (3, GroupPhase::Withheld));
    let sent = town.run(5);
    assert_eq!(sent.len(), 1, "the hand-out, and no message");
    town.give(6, &made.envelope);
    town.run(6);
    assert_eq!(town.epoch(6), 2);
    town.give(6, &sent[0]);
    assert_eq!(town.epoch(6), 3);
}

#[test]
fn a_set_is_created_for_a_removal_that_a_false_mark_must_not_keep_off_r_engine_79() {
    let mut town = many(4);
    town.run(0);
    lies(&mut town, 3, &[0]);
    town.handle(0, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
    town.run(0);
    assert!(town.sets_created.is_empty(), "there is nothing to be put");
    let members = vec![town.member(3)];
    let operation = GroupOperation::Remove { members };
    town.handle(0, Input::Group(GroupInput::Operation { group_id: GROUP, operation }));
    assert!(makes(&mut town, 0).is_some());
    town.run(0);
    assert_eq!(town.sets_created.len(), 1);
    // Where a commit is gone from its slot (R-ENGINE-95) there is nothing to create a set for.
    let mut town = many(4);
    town.act(0, |turn| {
        let state = state::load(turn.records, &GROUP).unwrap().unwrap();
        let gone = GroupStateRecord { state: state::WITHHELD, set_missing: true, ..state };
        state::save(turn.records, &GROUP, &gone);
    });
    town.run(0);
    assert!(town.sets_created.is_empty());
}
