//! Secrets that are asked for, and marks of later epochs that there may not be.

use super::*;
use alloc::collections::BTreeSet;
use chancery_group::Reason;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::{GroupCommitRecord, GroupHandOut, GroupMark};

/// So many members, the first of whom has founded the group, in slots as they are numbered.
pub(super) fn many(count: usize) -> Town {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let mut town = Town::new(&names[..count]);
    town.found(0);
    let adds = (1..count).map(|id| add(&town.credential(id), Role::Member)).collect();
    let made = town.commit(0, adds, Keying::Tree);
    let all: Vec<_> = (1..count).collect();
    town.deliver(&made, &all);
    town
}

/// The log ends a member, and another commits that without the tree.
pub(super) fn evicted(town: &mut Town, count: usize, (ended, by): (usize, usize)) -> town::Made {
    town.revoke(ended);
    (0..count).filter(|id| *id != ended).for_each(|id| town.grow(id));
    let slot = town.slot(by, ended);
    town.commit(by, vec![remove(slot, Reason::Log)], Keying::HandOut)
}

/// A device has the commit, and has asked for its secret.
fn asks(town: &mut Town, id: usize, made: &town::Made) {
    town.give(id, &made.envelope);
    town.run(id);
    town.wait(Duration::from_secs(2));
    town.run(id);
}

fn hand_outs(town: &Town, from: usize, to: usize) -> Vec<GroupHandOut> {
    let device = town.device(to);
    let to_it = town.outbox(from).into_iter().filter(|(to, _)| *to == device);
    let contents = to_it.filter_map(|(_, content)| match content {
        Control::HandOut(content) => Some(content),
        _ => None,
    });
    contents.collect()
}

#[test]
fn who_is_asked_publishes_for_the_whole_subtree_and_once_r_group_19() {
    let mut town = many(8);
    let made = evicted(&mut town, 8, (1, 2));
    // The helper below whose node 4 to 7 are is gone; 5 has the secret and serves nobody.
    (3..8).for_each(|id| {
        town.give(id, &made.envelope);
        town.run(id);
    });
    let content = GroupHandOut {
        epoch: 3,
        commit: made.hash.to_vec(),
        secret: made.own.secret.clone(),
        ..GroupHandOut::default()
    };
    let content = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::HandOut(content)) };
    assert!(town.control_as_is(5, 2, &content));
    assert_eq!((town.epoch(5), town.run(5).len()), (3, 0));
    let need = GroupNeed { epoch: 2, commit: made.hash.to_vec(), ..GroupNeed::default() };
    let need = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Need(need)) };
    assert!(town.control_as_is(5, 6, &need));
    let published = town.run(5);
    assert_eq!(published.len(), 1);
    for id in [4, 6, 7] {
        assert_eq!(town.epoch(id), 2);
        town.give(id, &published[0]);
        assert_eq!(town.epoch(id), 3, "one answer serves all of them");
    }
    // Who asks again, or later, and whoever has got it by what was published, leads to no second one.
    for (id, from) in [(5, 6), (5, 7), (7, 4)] {
        assert!(town.control_as_is(id, from, &need));
        assert!(town.run(id).is_empty(), "{id} is asked by {from}");
    }
    assert_eq!((hand_outs(&town, 5, 6).len(), hand_outs(&town, 5, 7).len()), (1, 1), "each once");
}

#[test]
fn who_asks_the_author_first_serves_in_the_place_of_the_helper_r_group_19() {
    let mut town = many(8);
    let made = evicted(&mut town, 8, (1, 2));
    asks(&mut town, 5, &made);
    asks(&mut town, 6, &made);
    town.carry(5, 2);
    town.carry(6, 2);
    assert!(town.run(2).is_empty(), "it has the key of its own node alone");
    let ranges: Vec<_> = [5, 6].map(|id| hand_outs(&town, 2, id)).into_iter().flatten().collect();
    let ranges: Vec<_> = ranges.iter().map(|it| (it.first, it.count)).collect();
    assert_eq!(ranges, [(4, 4), (0, 0)], "one of them is enough");
    town.carry(2, 5);
    let published = town.run(5);
    assert_eq!((town.epoch(5), published.len()), (3, 1));
    town.give(7, &made.envelope);
    town.run(7);
    town.give(7, &published[0]);
    assert_eq!(town.epoch(7), 3);
}

#[test]
fn eight_are_asked_then_others_after_six_hours_and_who_was_heard_lately_first_r_engine_78() {
    let mut town = many(12);
    let here = |town: &mut Town, text: &str| {
        town.say(9, text);
        for envelope in town.run(9) {
            town.give(2, &envelope);
            town.run(2);
        }
    };
    here(&mut town, "I am here");
    let made = evicted(&mut town, 12, (11, 1));
    asks(&mut town, 2, &made);
    let asked = |town: &Town| -> Vec<usize> {
        let places = town.outbox(2).into_iter().map(|(to, _)| (0..12).find(|id| town.device(*id) == to));
        places.map(Option::unwrap).collect()
    };
    let hours = |hours: u32| 3600 * SECOND * hours;
    for _ in 0..60 {
        town.wait(60 * SECOND);
        town.run(2);
    }
    assert_eq!(asked(&town), [1, 9, 0, 3, 4, 5, 6, 7], "the author, who was heard, keyholders, others");
    town.wait(hours(5));
    for _ in 0..40 {
        town.wait(60 * SECOND);
        town.run(2);
    }
    assert_eq!(asked(&town)[8..], [8, 10], "nobody twice");
    town.wait(hours(6));
    town.run(2);
    assert_eq!(asked(&town)[10..], [1], "and from the beginning");
}

#[test]
fn a_secret_goes_to_a_helper_that_was_heard_lately_r_group_17() {
    let mut town = many(8);
    town.say(6, "I am here");
    for envelope in town.run(6) {
        town.give(2, &envelope);
        town.run(2);
    }
    town.revoke(1);
    town.grow(2);
    town.say(2, "not for who has ended");
    town.handle(2, Input::Group(GroupInput::Commit { group_id: GROUP }));
    let helpers: BTreeSet<_> = town.outbox(2).into_iter().map(|(to, _)| to).collect();
    assert!(helpers.contains(&town.device(6)) && !helpers.contains(&town.device(4)), "{helpers:?}");
}

/// One member tells others that it is in an epoch far ahead, which is not so; a minute later they have stopped.
pub(super) fn lies(town: &mut Town, by: usize, to: &[usize]) {
    let mark = GroupMark { epoch: 1 << 40, transcript: vec![7; 32] };
    let mark = GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Mark(mark)) };
    for id in to {
        assert!(town.control_as_is(*id, by, &mark));
    }
    town.wait(Duration::from_secs(61));
    for id in to {
        town.handle(*id, Input::Group(GroupInput::Care { group_id: GROUP }));
        assert_eq!(phase(town, *id), GroupPhase::Withheld);
    }
}

/// Whether a device wants to make a commit, and which it makes.
pub(super) fn makes(town: &mut Town, id: usize) -> Option<GroupCommitRecord> {
    town.run(id);
    let resident = &town.residents[id];
    let step = resident.engine.next_group_step(&resident.disk, town.now, &BTreeSet::new()).unwrap();
    let Some(GroupStep::Commit { group_id }) = step else { return None };
    town.handle(id, Input::Group(GroupInput::Commit { group_id }));
    commit::pending(town.disk(id), &GROUP).unwrap()
}

pub(super) fn phase(town: &Town, id: usize) -> GroupPhase {
    group(town.disk(id), &GROUP).unwrap().unwrap().summary.phase
}

#[test]
fn a_false_mark_is_over_when_the_log_ends_who_sent_it_r_engine_75() {
    let mut town = many(4);
    lies(&mut town, 3, &[0, 1]);
    town.say(1, "once it is over");
    town.grow(1);
    assert!(town.run(1).is_empty(), "another answer of the log says nothing of the liar");
    assert_eq!(phase(&town, 1), GroupPhase::Withheld);
    town.revoke(3);
    for id in [0, 1] {
        town.grow(id);
        assert_eq!(phase(&town, id), GroupPhase::Open);
        assert!(town.run(id).is_empty(), "who has ended goes first");
    }
    assert!(makes(&mut town, 1).is_some());
    let slot = town.slot(0, 3);
    let made = town.commit(0, vec![remove(slot, Reason::Log)], Keying::Tree);
    town.give(1, &made.envelope);
    assert_eq!(town.run(1).len(), 1);
}

#[test]
fn whoever_has_ended_is_evicted_although_a_later_epoch_was_told_of_r_engine_75_r_group_20() {
    let mut town = many(4);
    town.run(1);
    lies(&mut town, 3, &[1]);
    town.say(1, "not for who has ended");
    assert!(makes(&mut town, 1).is_none(), "there is nothing that may be done");
    town.revoke(2);
    town.grow(1);
    assert_eq!(phase(&town, 1), GroupPhase::Withheld);
    let made = makes(&mut town, 1).expect("an eviction");
    assert!(matches!(story::changes(&made.commit)[..], [Change::Remove(_)]));
    assert!(town.run(1).is_empty(), "and nothing is sealed");
    // Not before the slot was seen to be empty since.
    let mut town = many(4);
    town.revoke(2);
    town.say(1, "not for who has ended");
    lies(&mut town, 3, &[1]);
    town.handle(1, Input::Group(GroupInput::Commit { group_id: GROUP }));
    assert!(commit::pending(town.disk(1), &GROUP).unwrap().is_none());
}

#[test]
fn an_administrator_who_does_not_believe_a_mark_removes_its_member_and_does_nothing_else_r_engine_75() {
    let mut town = many(4);
    lies(&mut town, 3, &[0]);
    let wish = |town: &mut Town, operation: GroupOperation<'_>| {
        town.handle(0, Input::Group(GroupInput::Operation { group_id: GROUP, operation }))
    };
    wish(&mut town, GroupOperation::Heal);
    assert!(makes(&mut town, 0).is_none());
    let members = vec![town.member(3)];
    wish(&mut town, GroupOperation::Remove { members });
    let made = makes(&mut town, 0).expect("a removal");
    let slot = u32::from(town.slot(0, 3).get());
    assert!(matches!(&story::changes(&made.commit)[..], [Change::Remove(it)] if it.slot == slot));
    // What was made before goes nowhere.
    let mut town = many(4);
    town.run(0);
    let heal = GroupInput::Operation { group_id: GROUP, operation: GroupOperation::Heal };
    town.handle(0, Input::Group(heal));
    town.handle(0, Input::Group(GroupInput::Commit { group_id: GROUP }));
    let heal = commit::pending(town.disk(0), &GROUP).unwrap().unwrap().commit;
    let state = state::load(town.disk(0), &GROUP).unwrap().unwrap();
    assert!(mark::lets_put(town.disk(0), (&GROUP, &state), &heal).unwrap());
    lies(&mut town, 3, &[0]);
    let state = state::load(town.disk(0), &GROUP).unwrap().unwrap();
    assert!(!mark::lets_put(town.disk(0), (&GROUP, &state), &heal).unwrap());
    assert!(mark::lets_put(town.disk(0), (&GROUP, &state), &made.commit).unwrap());
}
