//! Groups of many devices, with the true relay: who makes commits, and what becomes of them (R-ENGINE-81 to -90).
#![allow(missing_docs, clippy::expect_used, clippy::indexing_slicing, reason = "a test")]

#[path = "groups/credentials.rs"]
mod credentials;
#[path = "groups/dishonest.rs"]
mod dishonest;
#[path = "groups/guests.rs"]
mod guests;
#[path = "groups/holds.rs"]
mod holds;
#[path = "groups/past.rs"]
mod past;
#[path = "groups/thief.rs"]
mod thief;

use std::collections::BTreeSet;
use std::time::Duration;

use chancery_engine::{ActKind, EngineError, GroupOperation, GroupPhase, GroupStep, GroupView};
use chancery_group::{GroupError, Info, Role};
use chancery_identity::delivery::Use;
use chancery_identity::{DisplayName, Kind};
use chancery_testkit::{Fate, GroupId, PersonId, World};
use thief::{STILL_HERE, Thief, messages};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// People whose devices know of each other.
fn people(seed: u64, handles: &[&str]) -> (World, Vec<PersonId>) {
    let mut world = World::new(seed);
    let people = handles.iter().map(|handle| world.enrol(handle)).collect();
    world.run();
    (world, people)
}

/// A group of all of them, founded by the first.
fn group(seed: u64, handles: &[&str]) -> (World, Vec<PersonId>, GroupId) {
    let (mut world, people) = people(seed, handles);
    let group = world.found_group(people[0], &people[1..]);
    world.settle_groups(MINUTE);
    (world, people, group)
}

fn view(world: &World, who: PersonId, group: GroupId) -> GroupView {
    world.group(who, group).expect("known")
}

/// Panics unless all of them are in the same epoch of the same group, which has these devices and no others.
fn agree(world: &World, group: GroupId, people: &[PersonId]) {
    let first = view(world, people[0], group);
    let devices: BTreeSet<_> = first.members.iter().flat_map(|member| member.devices.clone()).collect();
    let expected: BTreeSet<_> = people.iter().map(|id| world.device_id(*id)).collect();
    assert_eq!(devices, expected);
    for id in people {
        let own = view(world, *id, group);
        assert_eq!(own.summary.phase, GroupPhase::Open, "{id:?}");
        assert_eq!(own.summary.epoch, first.summary.epoch, "{id:?}");
        assert_eq!(own.transcript, first.transcript, "{id:?}");
        assert_eq!(own.members, first.members, "{id:?}");
    }
}

/// Panics unless what the one says now is read by the others.
fn talk(world: &mut World, group: GroupId, from: PersonId, to: &[PersonId], text: &str) {
    world.say_to_group(from, group, text);
    world.settle_groups(MINUTE);
    for id in to {
        assert_eq!(world.group_texts(*id, group).last().map(String::as_str), Some(text), "{id:?}");
    }
}

fn role(world: &World, who: PersonId, group: GroupId, of: PersonId) -> Option<Role> {
    let member = world.member_id(of);
    view(world, who, group).members.into_iter().find(|it| it.member == member).map(|it| it.role)
}

#[test]
fn a_group_is_founded_and_everybody_with_every_device_comes_in_r_engine_82() {
    let mut world = World::new(1);
    let (alice, bob, carol) = (world.enrol("alice"), world.enrol("bob"), world.enrol("carol"));
    let (alice2, bob2) = (world.add_device(alice), world.add_device(bob));
    world.run();
    let group = world.found_group(alice, &[bob, carol]);
    assert_eq!(world.group_acts(alice, group), [(ActKind::Created, 0)]);
    assert_eq!(view(&world, alice, group).summary.waiting, 1);
    world.settle_groups(MINUTE);
    let all = [alice, bob, carol, alice2, bob2];
    agree(&world, group, &all);
    assert_eq!(role(&world, carol, group, alice), Some(Role::Owner));
    assert_eq!(role(&world, carol, group, bob), Some(Role::Member));
    assert_eq!(view(&world, alice, group).summary.waiting, 0);
    for from in all {
        talk(&mut world, group, from, &all, &format!("from {from:?}"));
    }
}

#[test]
fn what_a_role_does_not_allow_is_refused_at_once_and_changes_nothing_r_engine_81() {
    let (mut world, people, group) = group(3, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let before = world.disk(bob);
    let members = world.members(&[carol]);
    let not_allowed = Err(EngineError::Group(GroupError::NotAllowed));
    let info = Info::new(DisplayName::parse("Other").unwrap());
    for operation in [
        GroupOperation::Add { members: members.clone(), role: Role::Member },
        GroupOperation::Remove { members },
        GroupOperation::SetRole { member: world.member_id(bob), role: Role::Owner },
        GroupOperation::SetInfo(info),
        GroupOperation::HandOver { to: world.member_id(carol) },
        GroupOperation::Dissolve,
        GroupOperation::Heal,
    ] {
        assert_eq!(world.operate(bob, group, operation), not_allowed);
    }
    assert_eq!(world.disk(bob), before);
    let none = Err(EngineError::Group(GroupError::NoKeyholder));
    assert_eq!(world.operate(alice, group, GroupOperation::Leave), none, "she alone administers");
}

#[test]
fn roles_name_and_owner_change_and_the_new_owner_holds_the_keys_r_engine_81() {
    let (mut world, people, group) = group(4, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let to = world.member_id(bob);
    world.operate(alice, group, GroupOperation::HandOver { to }).unwrap();
    world
        .operate(alice, group, GroupOperation::SetInfo(Info::new(DisplayName::parse("New").unwrap())))
        .unwrap();
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(role(&world, carol, group, alice), Some(Role::Administrator));
    assert_eq!(role(&world, carol, group, bob), Some(Role::Owner));
    assert_eq!(view(&world, carol, group).summary.name, "New");
    let member = world.member_id(carol);
    world.operate(bob, group, GroupOperation::SetRole { member, role: Role::Reader }).unwrap();
    world.operate(bob, group, GroupOperation::Heal).unwrap();
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(role(&world, alice, group, carol), Some(Role::Reader));
    talk(&mut world, group, alice, &people, "under another");
    world.operate(bob, group, GroupOperation::Dissolve).unwrap();
    world.settle_groups(MINUTE);
    for id in people {
        assert_eq!(view(&world, id, group).summary.phase, GroupPhase::Dissolved);
    }
}

#[test]
fn of_two_at_once_one_wins_and_the_other_is_made_anew_r_engine_85() {
    let (mut world, people) = people(5, &["alice", "bob", "carol", "dave", "erin"]);
    let [alice, bob, carol, dave, erin] = people[..] else { unreachable!() };
    let group = world.found_group(alice, &[bob, carol]);
    world.settle_groups(MINUTE);
    let member = world.member_id(bob);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.settle_groups(MINUTE);
    world.add_to_group(alice, group, &[dave], Role::Member);
    world.add_to_group(bob, group, &[erin], Role::Member);
    // Both make theirs for the same epoch, and only then is one put into the slot.
    for _ in 0..3 {
        for id in [alice, bob] {
            world.flush_groups_until_put(id);
            world.flush(id);
        }
    }
    let waits = |world: &mut World, id| {
        matches!(world.group_step(id, &BTreeSet::new()), Some(GroupStep::PutSlot { .. }))
    };
    assert!(waits(&mut world, alice) && waits(&mut world, bob));
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    for from in &people {
        talk(&mut world, group, *from, &people, &format!("from {from:?}"));
    }
    for id in [alice, bob] {
        assert_eq!(view(&world, id, group).summary.waiting, 0);
        assert!(world.group_acts(id, group).iter().all(|(kind, _)| *kind != ActKind::Refused));
    }
}

#[test]
fn a_device_that_the_log_has_ended_is_evicted_before_anything_is_sent_r_engine_87() {
    let (mut world, people, group) = group(6, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let thief = Thief::come(&mut world, group, (dave, carol), alice);
    world.revoke(dave, true);
    // Only bob acts, who administers nothing.
    world.say_to_group(bob, group, "he is gone");
    world.run_groups_of(vec![bob]);
    assert_eq!(view(&world, bob, group).members.len(), 3);
    world.settle_groups(10 * MINUTE);
    let left = [alice, bob, carol];
    agree(&world, group, &left);
    for id in left {
        assert_eq!(world.group_texts(id, group), [STILL_HERE, "he is gone"], "{id:?}");
    }
    assert_eq!(world.group_texts(dave, group), [STILL_HERE]);
    talk(&mut world, group, carol, &left, "and it goes on");
    thief.reads_nothing_more(&mut world);
}

#[test]
fn an_author_that_dies_once_its_eviction_has_won_strands_nobody_r_engine_84_r_group_18() {
    let handles = ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan"];
    let (mut world, people, group) = group(7, &handles);
    let (bob, dave) = (people[1], people[3]);
    world.revoke(dave, true);
    world.say_to_group(bob, group, "nobody reads this yet");
    world.win_and_die(bob);
    let others: Vec<_> = people.iter().copied().filter(|id| *id != bob && *id != dave).collect();
    for _ in 0..20 {
        world.run_groups_of(others.clone());
        world.wait(Duration::from_secs(3));
    }
    let mut there = others.clone();
    there.push(bob);
    for id in &others {
        assert_eq!(view(&world, *id, group).members.len(), 8, "{id:?}");
    }
    world.say_to_group(others[2], group, "we go on");
    world.run_groups_of(others.clone());
    for id in &others {
        assert_eq!(world.group_texts(*id, group), ["we go on"], "{id:?}");
    }
    // It comes back from its disk.
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &there);
    for id in &there {
        let texts: BTreeSet<_> = world.group_texts(*id, group).into_iter().collect();
        assert_eq!(texts.len(), 2, "{id:?}: {texts:?}");
    }
}

#[test]
fn when_the_owner_is_ended_another_takes_over_r_engine_87() {
    let (mut world, people, group) = group(8, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    world.revoke(alice, true);
    let left = [bob, carol, dave];
    world.say_to_group(dave, group, "the owner is gone");
    for _ in 0..20 {
        world.run_groups_of(left.to_vec());
        world.wait(Duration::from_secs(6));
    }
    agree(&world, group, &left);
    assert_eq!(role(&world, dave, group, bob), Some(Role::Owner), "in the lowest slot");
    for id in left {
        assert_eq!(world.group_texts(id, group), ["the owner is gone"], "{id:?}");
    }
    // The one who took over has grown the tree anew, and can use it.
    world
        .operate(bob, group, GroupOperation::SetInfo(Info::new(DisplayName::parse("Mine").unwrap())))
        .unwrap();
    world.run_groups_of(left.to_vec());
    agree(&world, group, &left);
    assert_eq!(view(&world, carol, group).summary.name, "Mine");
}

#[test]
fn a_new_device_of_a_member_comes_in_unasked_and_one_that_left_goes_r_engine_86() {
    let (mut world, people, group) = group(10, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let bob2 = world.add_device(bob);
    world.run();
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, bob, carol, bob2]);
    talk(&mut world, group, bob2, &[alice, bob, carol, bob2], "from my second");
    world.remove_device(bob);
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, carol, bob2]);
    talk(&mut world, group, carol, &[alice, bob2], "without the first");
    assert!(!world.group_texts(bob, group).contains(&"without the first".into()));
}

#[test]
fn all_keys_are_renewed_when_the_policy_says_so_by_one_of_those_who_administer_r_engine_88() {
    let (mut world, people, group) = group(11, &["alice", "bob", "carol"]);
    let member = world.member_id(people[1]);
    world.operate(people[0], group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    let mut info = Info::new(DisplayName::parse("Group").unwrap());
    info.heal = Some(7 * DAY);
    world.operate(people[0], group, GroupOperation::SetInfo(info)).unwrap();
    world.settle_groups(MINUTE);
    let before = view(&world, people[2], group).summary.epoch;
    world.wait(8 * DAY);
    world.run();
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &people);
    let healed =
        |id| world.group_acts(id, group).into_iter().filter(|(kind, _)| *kind == ActKind::Healed).count();
    assert_eq!(healed(people[2]), 1);
    assert_eq!(view(&world, people[2], group).summary.epoch, before + 1);
    talk(&mut world, group, people[2], &people, "with new keys");
}

#[test]
fn a_crash_after_any_step_repeats_it_and_nothing_else_r_engine_84() {
    for at in 0..24 {
        let (mut world, people) = people(12, &["alice", "bob", "carol"]);
        let group = world.found_group(people[0], &people[1..]);
        let mut line = 0;
        // So many steps, then from the disk.
        while line < at {
            world.flush(people[0]);
            if world.take_one_group_step(people[0]) {
                line += 1;
            } else {
                break;
            }
        }
        world.restart(people[0]);
        world.settle_groups(MINUTE);
        agree(&world, group, &people);
        talk(&mut world, group, people[0], &people, "after all");
    }
}

#[test]
fn garbage_in_the_slot_costs_an_attempt_and_the_commit_is_made_for_the_next_r_engine_85() {
    let (mut world, people) = people(13, &["alice", "bob", "carol"]);
    let group = world.found_group(people[0], &people[1..2]);
    world.settle_groups(MINUTE);
    world.add_to_group(people[0], group, &people[2..], Role::Member);
    // Whoever knows the slot's name puts something else there.
    world.spoil_slot(people[0]);
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    for from in &people {
        talk(&mut world, group, *from, &people, &format!("from {from:?}"));
    }
}

#[test]
fn a_device_that_cannot_be_reached_keeps_no_commit_waiting_and_is_welcomed_later_r_engine_84() {
    let (mut world, people) = people(14, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let group = world.found_group(alice, &[bob, carol]);
    world.flush_groups_until_put(alice);
    assert_eq!(world.group_step(alice, &BTreeSet::new()).map(|_| ()), None, "two welcomes are to be held");
    // Neither bundle can be had now.
    world.postpone_all(alice);
    assert!(matches!(world.group_step(alice, &BTreeSet::new()), Some(GroupStep::PutSlot { .. })));
    world.flush_groups(alice);
    assert_eq!(view(&world, alice, group).summary.epoch, 2);
    assert!(world.group(bob, group).is_none());
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    talk(&mut world, group, carol, &people, "all the same");
}

#[test]
fn a_device_whose_keys_were_lost_is_removed_and_added_again_once_a_day_r_engine_90() {
    let (mut world, people, group) = group(15, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    talk(&mut world, group, carol, &people, "before");
    world.operate(alice, group, GroupOperation::Heal).unwrap();
    world.flush_groups(alice);
    world.flush(alice);
    world.flush_groups(alice);
    // The commit arrives, the keys that went with it never do.
    world.fate(carol, [Fate::Arrive, Fate::Lose]);
    world.sync(carol);
    world.run_groups();
    let epoch = view(&world, alice, group).summary.epoch;
    assert!(view(&world, carol, group).summary.epoch < epoch, "it lacks the secret");
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, bob, carol]);
    assert_eq!(view(&world, alice, group).summary.epoch, epoch + 2, "one commit removes it, one adds it");
    assert_eq!(role(&world, bob, group, carol), Some(Role::Member));
    talk(&mut world, group, carol, &people, "after");
    talk(&mut world, group, bob, &people, "and back");
}

#[test]
fn a_keyholder_without_its_tree_yet_goes_on_once_that_came_r_engine_89() {
    let (mut world, people, group) = group(16, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let member = world.member_id(bob);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    let members = world.members(&[dave]);
    world.operate(alice, group, GroupOperation::Remove { members }).unwrap();
    // Both commits come at once, and the file with the tree after them.
    world.run_groups_of(vec![alice]);
    world.settle_groups(MINUTE);
    agree(&world, group, &[alice, bob, carol]);
    let info = Info::new(DisplayName::parse("By bob").unwrap());
    world.operate(bob, group, GroupOperation::SetInfo(info)).unwrap();
    world.settle_groups(MINUTE);
    agree(&world, group, &[alice, bob, carol]);
    assert_eq!(view(&world, carol, group).summary.name, "By bob");
}

#[test]
fn a_guest_comes_in_by_whom_it_reaches_and_by_nobody_else_r_engine_82() {
    let (mut world, people, group) = group(17, &["alice", "bob", "carol"]);
    let [alice, bob, _] = people[..] else { unreachable!() };
    let guest = world.enrol_as("guest", Kind::Guest, &[alice], 30);
    world.run();
    let member = world.member_id(bob);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.settle_groups(MINUTE);
    let add = |world: &World| GroupOperation::Add { members: world.members(&[guest]), role: Role::Member };
    let operation = add(&world);
    assert_eq!(world.operate(bob, group, operation), Err(EngineError::OutOfReach));
    let operation = add(&world);
    world.operate(alice, group, operation).unwrap();
    world.settle_groups(MINUTE);
    assert_eq!(role(&world, bob, group, guest), Some(Role::Member));
    assert_eq!(view(&world, guest, group).summary.epoch, view(&world, bob, group).summary.epoch);
    talk(&mut world, group, guest, &[people[0], bob, people[2]], "from outside");
    talk(&mut world, group, alice, &[bob, guest], "welcome");
    // It sends to the group's set, and its tokens make none.
    let name = [7; 16];
    let mine = |of| world.delivery_token(guest, of, &name);
    assert_eq!(mine(Use::Send), world.delivery_token(alice, Use::Send, &name));
    assert_eq!((mine(Use::Set), mine(Use::Slot)), (vec![], vec![]), "R-ID-24");
}

#[test]
fn a_commit_that_won_unheard_is_found_in_its_slot_and_not_made_again_r_engine_84() {
    let (mut world, people, group) = group(18, &["alice", "bob"]);
    let before = view(&world, people[0], group).summary.epoch;
    // Keys that the commit alone does not give its author again.
    world.operate(people[0], group, GroupOperation::Heal).unwrap();
    world.win_and_die(people[0]);
    world.wait(60 * MINUTE);
    while world.take_one_group_step(people[0]) {}
    assert_eq!(view(&world, people[0], group).summary.epoch, before + 1, "from the slot, without its mail");
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(view(&world, people[0], group).summary.epoch, before + 1);
    talk(&mut world, group, people[1], &people, "once");
}

#[test]
fn many_are_added_at_once_with_one_file_for_all_r_engine_82() {
    let handles: Vec<String> = (0..20).map(|number| format!("member{number}")).collect();
    let handles: Vec<&str> = handles.iter().map(String::as_str).collect();
    let (mut world, people, group) = group(19, &handles);
    agree(&world, group, &people);
    assert_eq!(view(&world, people[19], group).summary.epoch, 2);
    talk(&mut world, group, people[19], &people, "so many");
}

#[test]
fn keys_that_come_while_the_welcome_waits_for_the_log_are_kept_r_engine_73() {
    let (mut world, people, group) = group(20, &["alice", "bob"]);
    let alice = people[0];
    let carol = world.enrol("carol");
    world.run();
    // The log that the welcome names is longer than carol's.
    world.enrol("dave");
    world.add_to_group(alice, group, &[carol], Role::Member);
    world.run_groups_of(vec![alice]);
    // All keys anew: carol has them from a path alone.
    world.operate(alice, group, GroupOperation::Heal).unwrap();
    world.run_groups_of(vec![alice]);
    world.run_groups();
    agree(&world, group, &[alice, people[1], carol]);
}

#[test]
fn whoever_is_overtaken_follows_whichever_way_it_learns_of_it_r_engine_85() {
    for slot_first in [true, false] {
        let (mut world, people, group) = group(21, &["alice", "bob", "carol"]);
        let [alice, bob, carol] = people[..] else { unreachable!() };
        let dave = world.enrol("dave");
        world.run();
        for id in [bob, carol] {
            let member = world.member_id(id);
            let operation = GroupOperation::SetRole { member, role: Role::Administrator };
            world.operate(alice, group, operation).unwrap();
            world.settle_groups(MINUTE);
        }
        // Carol has never heard of bob's credential, and his keys come to her on their own way.
        world.operate(bob, group, GroupOperation::Heal).unwrap();
        world.add_to_group(carol, group, &[dave], Role::Member);
        for id in [bob, carol].repeat(3) {
            world.flush_groups_until_put(id);
            world.flush(id);
        }
        assert!(matches!(world.group_step(carol, &BTreeSet::new()), Some(GroupStep::PutSlot { .. })));
        world.run_groups_of(vec![bob]);
        if slot_first {
            world.flush_groups(carol);
        } else {
            world.sync(carol);
        }
        world.run_groups();
        agree(&world, group, &[alice, bob, carol, dave]);
        assert_eq!(view(&world, carol, group).summary.waiting, 0);
    }
}
