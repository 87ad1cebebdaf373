//! What goes with a commit and is held at the relay until that has won (R-GROUP-18), and what it must not hold up.

use super::*;

/// Two groups of alice with bob, whose devices have no session; what goes with both commits is held by the relay.
fn two_groups(seed: u64) -> (World, [PersonId; 2], [GroupId; 2]) {
    let (mut world, people) = people(seed, &["alice", "bob"]);
    let (alice, bob) = (people[0], people[1]);
    let groups = [world.found_group(alice, &[bob]), world.found_group(alice, &[bob])];
    for group in groups {
        let other = groups.into_iter().filter(|it| *it != group).collect();
        while !matches!(world.group_step(alice, &other), None | Some(GroupStep::PutSlot { .. })) {
            world.take_group_step_beside(alice, &other);
        }
    }
    world.flush(alice);
    (world, [alice, bob], groups)
}

#[test]
fn what_is_written_while_a_commit_waits_is_read_before_it_r_engine_93() {
    let (mut world, [alice, bob], groups) = two_groups(61);
    world.say(alice, bob, "hello");
    world.flush(alice);
    world.sync(bob);
    assert_eq!(world.heard(bob), ["hello"], "nothing of the session is held at the relay");
    assert!(world.group(bob, groups[0]).is_none(), "no commit is in its slot");
    world.settle_groups(MINUTE);
    for group in groups {
        agree(&world, group, &[alice, bob]);
        talk(&mut world, group, bob, &[alice, bob], "all of it");
    }
}

#[test]
fn a_commit_that_overtakes_another_welcomes_whom_both_add_and_a_lost_one_takes_nothing_with_it_r_engine_93() {
    let (mut world, [alice, bob], [slow, fast]) = two_groups(62);
    while world.take_group_step_beside(alice, &[slow].into()) {}
    world.run_groups_of(vec![bob]);
    assert!(world.group(bob, slow).is_none() && world.group(bob, fast).is_some());
    // Somebody puts something else into the slot: the relay drops what it held for the other commit.
    world.spoil_slot(alice);
    world.say(alice, bob, "hello");
    world.settle_groups(MINUTE);
    assert_eq!(world.heard(bob), ["hello"]);
    for group in [slow, fast] {
        agree(&world, group, &[alice, bob]);
        talk(&mut world, group, bob, &[alice, bob], "all of it");
    }
}

/// Whether a device may put a commit into its slot now.
fn may_put(world: &mut World, id: PersonId) -> bool {
    matches!(world.group_step(id, &BTreeSet::new()), Some(GroupStep::PutSlot { .. }))
}

#[test]
fn a_device_that_cannot_be_served_stops_neither_this_commit_nor_the_next_r_engine_84() {
    let (mut world, people) = people(63, &["alice", "bob", "dave"]);
    let [alice, bob, dave] = people[..] else { unreachable!() };
    world.say(alice, dave, "hello");
    world.postpone_next(alice);
    let group = world.found_group(alice, &[bob, dave]);
    world.flush_groups_until_put(alice);
    assert!(!may_put(&mut world, alice), "bob's welcome is to be held before");
    world.flush_but(alice, dave);
    assert!(may_put(&mut world, alice), "dave's is not waited for");
    world.flush_groups(alice);
    world.run_groups_of(vec![bob]);
    assert_eq!(view(&world, bob, group).members.len(), 3);
    // Its welcome still waits, and now the keys of another commit wait behind it.
    world.operate(alice, group, GroupOperation::Heal).unwrap();
    world.flush_groups_until_put(alice);
    world.flush_but(alice, dave);
    assert!(may_put(&mut world, alice), "nor are its keys");
    world.flush_groups(alice);
    world.run_groups_of(vec![bob]);
    assert_eq!(view(&world, bob, group).summary.epoch, view(&world, alice, group).summary.epoch);
    assert!(world.group(dave, group).is_none());
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(world.heard(dave), ["hello"]);
    talk(&mut world, group, dave, &people, "at last");
}

#[test]
fn what_goes_with_a_commit_is_tried_with_what_begins_its_session_r_engine_84_r_engine_93() {
    for says in [false, true] {
        let (mut world, people) = people(64, &["alice", "bob"]);
        let [alice, bob] = people[..] else { unreachable!() };
        let group = world.found_group(alice, &[bob]);
        world.flush_groups_until_put(alice);
        assert!(!may_put(&mut world, alice));
        if says {
            world.say(alice, bob, "hello");
        }
        world.claim_next(alice);
        assert_eq!(may_put(&mut world, alice), says, "behind a message it is not waited for");
        world.postpone_next(alice);
        assert!(may_put(&mut world, alice));
        world.settle_groups(MINUTE);
        agree(&world, group, &people);
        assert_eq!(world.heard(bob).len(), usize::from(says));
    }
}
