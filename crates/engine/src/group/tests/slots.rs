//! What is in the relay's slots and cannot be judged yet, or never.

use alloc::collections::BTreeSet;
use alloc::vec;

use chancery_group::{HAND_OUT_LEN, Keying, Reason, remove};
use chancery_wire::proto::GroupWaitingIndex;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_ordered::Change as Ordered;

use super::need::many;
use super::*;
use crate::tables::{GROUP_WAITING_INDEX, key, load};

/// Does what a device has to do, but that the relay has no credentials to give; returns what it sent, and how often it looked.
fn run_without_credentials(town: &mut Town, id: usize) -> (usize, usize) {
    let (mut sent, mut looks, mut blocked) = (vec![], 0_usize, BTreeSet::new());
    for _ in 0..50 {
        let Some(step) = town.next(id, &blocked) else { return (sent.len(), looks) };
        let target = step.target();
        looks = looks.saturating_add(usize::from(matches!(step, GroupStep::Fetch { .. })));
        let is_credential = matches!(step, GroupStep::Credential { .. });
        if is_credential || !town.step(id, step, &mut sent) {
            blocked.insert(target);
        }
    }
    panic!("it goes on for ever");
}

/// A commit that removes carol by role.
fn removal(town: &mut Town, attempt: u32) -> town::Made {
    let slot = town.slot(0, 2);
    town.build(0, vec![remove(slot, Reason::Role)], Keying::Tree, attempt)
}

/// Four, of whom bob and carol, the second and third, administer the group as well; neither has verified the other's credential.
fn administered() -> Town {
    let mut town = many(4);
    (0..4).for_each(|id| drop(town.run(id)));
    let roles = [1, 2].map(|id| set_role(&town.member(id), Role::Administrator));
    let made = town.commit(0, roles.into(), Keying::Tree);
    town.deliver_in(&made, &[1, 2], true);
    town.deliver(&made, &[3]);
    assert!((0..4).all(|id| town.epoch(id) == 3));
    town
}

fn kept(town: &Town, id: usize) -> usize {
    let index: Option<GroupWaitingIndex> = load(town.disk(id), &key(GROUP_WAITING_INDEX, &[])).unwrap();
    index.map_or(0, |index| index.entries.len())
}

#[test]
fn nothing_is_sealed_while_a_commit_waits_for_its_authors_credential_r_engine_80() {
    for sealed_before in [false, true] {
        let mut town = administered();
        let slot = town.slot(2, 3);
        let made = town.build(2, vec![remove(slot, Reason::Role)], Keying::Tree, 0);
        town.say(1, "not for dave");
        if sealed_before {
            town.seal_only(1);
        }
        town.give(1, &made.envelope);
        assert_eq!(run_without_credentials(&mut town, 1), (0, 0), "sealed before: {sealed_before}");
        assert_eq!((town.epoch(1), town.run(1).len(), town.epoch(1)), (3, 1, 4), "behind the commit");
    }
}

#[test]
fn nothing_is_sealed_while_a_commit_waits_for_the_log_r_engine_80() {
    let mut town = three();
    town.run(1);
    town.enrol("dave");
    town.grow(0);
    let made = removal(&mut town, 0);
    town.say(1, "not for carol");
    town.give(1, &made.envelope);
    assert!(town.run(1).is_empty());
    town.grow(1);
    assert_eq!((town.epoch(1), town.run(1).len()), (3, 1));
    // One that names what there is not holds it up until the log is known to be whole.
    let mut town = three();
    town.run(1);
    let log = town.log();
    town.enrol("nobody");
    town.grow(0);
    let made = removal(&mut town, 0);
    town.set_log(log);
    town.say(1, "for all");
    town.give(1, &made.envelope);
    for expected in [0, 0, 1] {
        assert_eq!(town.run(1).len(), expected);
        town.grow(1);
    }
}

#[test]
fn nothing_is_sealed_before_the_slots_before_a_commit_were_looked_into_r_engine_80() {
    let mut town = three();
    town.run(1);
    let made = removal(&mut town, 1);
    town.say(1, "not for carol");
    // It was empty a moment ago.
    let empty = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: None };
    town.handle(1, Input::Group(empty));
    town.put_slot(0, 0, vec![0x18; 512]);
    town.give(1, &made.envelope);
    assert_eq!(
        (town.run(1).len(), town.epoch(1)),
        (1, 3),
        "looked into at once, and sealed behind the commit"
    );
    assert!(town.next(1, &BTreeSet::new()).is_none());
}

#[test]
fn a_commit_for_a_later_slot_holds_up_nothing_once_the_slot_that_counts_was_empty_r_engine_80() {
    let mut town = three();
    town.run(1);
    let (made, other) = (removal(&mut town, 1), removal(&mut town, 5));
    town.say(1, "for all");
    town.give(1, &made.envelope);
    let step = town.next(1, &BTreeSet::new());
    assert!(matches!(step, Some(GroupStep::Fetch { attempt: 0, .. })), "{step:?}");
    let blocked = [GROUP].into();
    assert!(town.next(1, &blocked).is_none());
    assert_eq!((town.run(1).len(), town.epoch(1)), (1, 2));
    // Each that comes costs one look.
    town.say(1, "this too");
    town.give(1, &other.envelope);
    assert_eq!(run_without_credentials(&mut town, 1), (1, 1));
    // Whoever is not in the group does not have the slot's key, and holds up nothing.
    let mut junk = other.envelope.clone();
    *junk.last_mut().unwrap() ^= 1;
    assert!(town.give(1, &junk).contains(&Effect::Notify(Notice::Undecryptable)));
    town.say(1, "and this");
    assert_eq!(run_without_credentials(&mut town, 1), (1, 0));
}

#[test]
fn a_commit_that_is_too_old_is_not_looked_for_again_and_again_r_engine_84() {
    let mut town = administered();
    let own = town.build(1, vec![], Keying::Tree, 0);
    town.keep_commit(1, &own);
    town.act(1, |turn| {
        let mut record = commit::pending(turn.records, &GROUP).unwrap().unwrap();
        record.slot = own.envelope[17..33].to_vec();
        commit::save_pending(turn.records, &GROUP, &record);
    });
    let other = town.build(2, vec![], Keying::Tree, 0);
    town.put_slot(1, 0, other.envelope.clone());
    town.wait(45 * 60 * SECOND);
    assert_eq!(run_without_credentials(&mut town, 1), (0, 1));
    assert_eq!(kept(&town, 1), 1);
    town.wait(61 * SECOND);
    assert_eq!(run_without_credentials(&mut town, 1), (0, 0), "what is there is known, and waits");
    // The relay shows it again, and the mailbox brings it: it is kept once.
    let content = SlotContent { envelope: other.envelope.clone(), ..SlotContent::default() };
    let input = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: Some(&content) };
    town.handle(1, Input::Group(input));
    town.give(1, &other.envelope);
    assert_eq!(kept(&town, 1), 1);
    town.run(1);
    assert_eq!((town.epoch(1), town.commit_of(1)), (4, other.hash));
}

#[test]
fn what_is_gone_and_is_no_hash_is_ignored_r_engine_95() {
    let mut town = three();
    for gone in [vec![7; 31], vec![7; 33], vec![]] {
        let content = SlotContent { gone, ..SlotContent::default() };
        let input = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: Some(&content) };
        town.handle(1, Input::Group(input));
        assert_eq!(group(town.disk(1), &GROUP).unwrap().unwrap().summary.phase, GroupPhase::Open);
    }
    town.say(1, "undisturbed");
    assert_eq!(town.run(1).len(), 1);
}

#[test]
fn a_hand_out_to_who_has_missed_a_commit_is_kept_and_stops_nothing_r_engine_95() {
    let mut town = three();
    let content = SlotContent { gone: vec![7; 32], ..SlotContent::default() };
    let input = GroupInput::SlotFetched { group_id: GROUP, attempt: 0, content: Some(&content) };
    town.handle(1, Input::Group(input));
    // As a store has it that was written before such things were ignored.
    town.act(1, |turn| {
        let name = key(crate::tables::GROUP_NEXT, &[&GROUP]);
        let mut next: chancery_wire::proto::GroupNextRecord = load(turn.records, &name).unwrap().unwrap();
        next.hash.truncate(3);
        crate::tables::save(turn.records, name, &next);
    });
    town.give(1, &[0x19; HAND_OUT_LEN]);
    assert_eq!(kept(&town, 1), 1);
}

#[test]
fn a_request_is_kept_while_evictions_fail_without_it_r_engine_91() {
    let mut town = three();
    for handle in ["dave", "dave"] {
        town.enrol(handle);
    }
    town.succeed([0; 16], 1, &[town.member(3)]);
    (0..5).for_each(|id| town.grow(id));
    let order = town.order(vec![Ordered::Remove(town.member(2).as_bytes().to_vec())]);
    town.ask(1, 2, &order);
    town.revoke(0);
    (0..5).for_each(|id| town.grow(id));
    // The credentials of who takes over are not to be had.
    for _ in 0..3 {
        assert_eq!(town.work(1, &[3, 4]).1, Vec::<Vec<_>>::new());
        town.wait(200 * SECOND);
    }
    assert_eq!(town.requests(1), 1);
    let (owner, other) = (town.slot(1, 0), town.slot(1, 2));
    town.wait(3600 * SECOND);
    let made = town.work(1, &[]).1;
    let gone = [remove(owner, Reason::Log), remove(other, Reason::Order)];
    assert!(gone.iter().all(|change| made.concat().contains(change)), "{made:?}");
}

#[test]
fn nobody_is_removed_twice_by_the_log_and_by_an_order_r_engine_91() {
    let mut town = three();
    town.enrol("dave");
    let new = add(&town.credential(3), Role::Member);
    let Some(Change::Add(entry)) = new.change.clone() else { panic!("an addition") };
    let order = town.order(vec![Ordered::Remove(town.member(2).as_bytes().to_vec()), Ordered::Add(entry)]);
    town.revoke(2);
    town.grow(0);
    town.ask(0, 1, &order);
    let out = remove(town.slot(0, 2), Reason::Log);
    let (_, made) = town.work(0, &[]);
    assert_eq!(made.len(), 1);
    let with = |change: &chancery_wire::proto::GroupChange| made[0].contains(change);
    assert!(made[0].len() == 3 && with(&out) && with(&new), "{made:?}");
}
