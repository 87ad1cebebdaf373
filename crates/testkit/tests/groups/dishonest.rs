//! A relay that divides a group, or keeps commits back (R-GROUP-27).

use super::*;

fn renamed(world: &mut World, by: PersonId, group: GroupId, name: &str) {
    let info = Info::new(DisplayName::parse(name).expect("a good name"));
    world.operate(by, group, GroupOperation::SetInfo(info)).expect("allowed");
}

/// A group of four whose devices all have sessions with each other, administered by the first two.
fn crew(seed: u64) -> (World, Vec<PersonId>, GroupId) {
    let (mut world, people, group) = group(seed, &["alice", "bob", "carol", "dave"]);
    let member = world.member_id(people[1]);
    let operation = GroupOperation::SetRole { member, role: Role::Administrator };
    world.operate(people[0], group, operation).expect("allowed");
    world.settle_groups(MINUTE);
    for from in &people {
        for to in people.iter().filter(|to| *to != from) {
            world.say(*from, *to, "hello");
            world.run();
        }
    }
    (world, people, group)
}

#[test]
fn a_relay_that_shows_two_halves_two_commits_is_found_out_by_the_next_message_r_group_27() {
    // ATTACKS A13
    for seed in [31, 32, 33] {
        let (mut world, people, group) = crew(seed);
        let [alice, bob, carol, dave] = people[..] else { unreachable!() };
        world.part_relay();
        renamed(&mut world, alice, group, "Ours");
        world.run_groups_of(vec![alice, carol]);
        world.turn_relay();
        renamed(&mut world, bob, group, "Theirs");
        world.run_groups_of(vec![bob, dave]);
        let epochs: BTreeSet<_> = people.iter().map(|id| view(&world, *id, group).summary.epoch).collect();
        assert_eq!(epochs.len(), 1, "everybody is as far");
        assert_ne!(view(&world, alice, group).transcript, view(&world, dave, group).transcript);
        world.turn_relay();
        world.withhold_groups_from(&[bob, dave]);
        world.say_to_group(alice, group, "to whom");
        world.settle_groups(MINUTE);
        let is_forked = |world: &World, id| view(world, id, group).summary.phase == GroupPhase::Forked;
        let found: Vec<_> = [bob, dave].into_iter().filter(|id| is_forked(&world, *id)).collect();
        assert!(!found.is_empty(), "one of her two marks reaches the other half");
        for id in found {
            assert!(world.group_acts(id, group).iter().any(|(kind, _)| *kind == ActKind::Forked), "told");
            let info = Info::new(DisplayName::parse("Again").unwrap());
            let refused = world.operate(id, group, GroupOperation::SetInfo(info));
            assert_eq!(refused, Err(EngineError::GroupForked));
            assert!(world.group_texts(id, group).is_empty());
        }
    }
}

#[test]
fn a_removal_that_the_relay_withholds_stops_who_is_told_of_it_and_nothing_reaches_the_removed_r_group_27() {
    // ATTACKS A13
    for seed in [41, 42, 43] {
        let (mut world, people, group) = crew(seed);
        let [alice, bob, carol, dave] = people[..] else { unreachable!() };
        let thief = Thief::come(&mut world, group, (dave, carol), bob);
        let members = world.members(&[dave]);
        world.operate(alice, group, GroupOperation::Remove { members }).unwrap();
        world.withhold_groups_from(&[bob, carol]);
        world.run_groups_of(vec![alice]);
        world.say_to_group(alice, group, "without him");
        world.settle_groups(Duration::from_secs(30));
        let phase = |world: &World, id| view(world, id, group).summary.phase;
        assert_eq!(phase(&world, dave), GroupPhase::Removed);
        for id in [bob, carol] {
            assert_eq!(phase(&world, id), GroupPhase::Open, "it may be on its way");
        }
        world.settle_groups(2 * MINUTE);
        for id in [bob, carol] {
            assert_eq!(phase(&world, id), GroupPhase::Withheld, "both are told: there are no others");
            let told = world.group_acts(id, group);
            assert_eq!(told.iter().filter(|(kind, _)| *kind == ActKind::Withheld).count(), 1);
            world.say_to_group(id, group, "held back");
        }
        world.settle_groups(5 * MINUTE);
        for id in &people {
            let expected = if [bob, carol].contains(id) { 1 } else { 0 };
            let held = world.group_texts(*id, group).iter().filter(|text| *text == "held back").count();
            assert_eq!(held, expected, "sealed for nobody: {id:?}");
        }
        world.withhold_groups_from(&[]);
        world.settle_groups(2 * MINUTE);
        agree(&world, group, &[alice, bob, carol]);
        assert_eq!(phase(&world, bob), GroupPhase::Open);
        for id in [alice, bob, carol] {
            let held = world.group_texts(id, group).iter().filter(|text| *text == "held back").count();
            assert_eq!(held, 2, "{id:?}");
        }
        assert_eq!(world.group_texts(dave, group), [STILL_HERE]);
        thief.reads_nothing_more(&mut world);
    }
}
