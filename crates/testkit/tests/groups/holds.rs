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
