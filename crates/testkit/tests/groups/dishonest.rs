//! A relay that divides a group, keeps commits back (R-GROUP-27), adds to groups, or replays what was (R-GROUP-5, R-GROUP-21).

use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;
use chancery_group::{Attempt, KIND_GROUP_COMMIT, Keying, RelaySlots};
use chancery_testkit::crew::Crew;

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

/// The commits among envelopes.
fn commits(envelopes: &[Vec<u8>]) -> Vec<Vec<u8>> {
    envelopes.iter().filter(|it| it.first() == Some(&KIND_GROUP_COMMIT)).cloned().collect()
}

#[test]
fn a_relay_that_adds_a_mailbox_and_a_commit_gets_nobody_into_a_group_r_group_5_r_group_21() {
    let (mut world, people, group) = group(61, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let mallory = world.enrol("mallory");
    world.run();
    world.add_listener(mallory);
    [bob, mallory].into_iter().for_each(|id| world.tap(id));
    talk(&mut world, group, carol, &people, "not for her");
    // A commit that is sound elsewhere, under the only kind of key that a relay has: one of its own.
    let mut rng = seeded([61; 32]);
    let mut crew = Crew::new(61, &[0, 1]);
    crew.found(0, &mut rng);
    let sent = crew.commit(0, vec![crew.add(1, Role::Owner)], Keying::Tree, &mut rng).expect("an owner may");
    let mut forged = Vec::new();
    renamed(&mut world, alice, group, "Renamed");
    world.fill_slot(alice, |frame| {
        let slots = RelaySlots { slot_key: &Secret::from_bytes([9; 32]), set_name: &[9; 16] };
        let sealed = slots.seal(Attempt::FIRST, &sent.bytes, &mut rng).expect("it fits");
        // What stands before the sealed part everybody can see.
        forged = [&frame.envelope[..69], &sealed[69..]].concat();
        forged.clone()
    });
    for id in people.iter().chain([&mallory]) {
        world.plant(*id, &forged);
    }
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(view(&world, carol, group).summary.name, "Renamed", "the true one came after it");
    talk(&mut world, group, bob, &people, "nor this");
    // The control: it is the very same that others read.
    let (read, got) = (world.tapped(bob), world.tapped(mallory));
    assert!(commits(&got).len() > 1 && got.contains(&forged));
    let read = messages(read);
    assert_eq!((read.len(), messages(got.clone())), (2, read));
    world.hand_over(mallory, &got);
    assert!(world.group(mallory, group).is_none());
    assert!(world.group_texts(mallory, group).is_empty());
}

#[test]
fn a_relay_that_replays_commits_welcomes_and_slots_brings_no_roster_back_r_group_5_r_group_21() {
    let (mut world, people) = people(62, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let group = world.found_group(alice, &[bob, carol]);
    world.settle_groups(MINUTE);
    [bob, dave].into_iter().for_each(|id| world.tap(id));
    world.add_to_group(alice, group, &[dave], Role::Member);
    world.settle_groups(MINUTE);
    // The control: what is replayed below is what brought him in.
    agree(&world, group, &people);
    let (old, welcome) = (commits(&world.tapped(bob)), world.tapped(dave));
    assert!(!old.is_empty() && !welcome.is_empty());
    talk(&mut world, group, carol, &people, "with him");
    let members = world.members(&[dave]);
    world.operate(alice, group, GroupOperation::Remove { members }).unwrap();
    world.settle_groups(MINUTE);
    let left = [alice, bob, carol];
    agree(&world, group, &left);
    let replay = |world: &mut World| {
        for id in &people {
            // Nobody remembers having had them.
            world.forget_seen(*id);
            let more = welcome.iter().filter(|_| *id == dave);
            old.iter().chain(more).for_each(|envelope| world.plant(*id, envelope));
        }
        world.settle_groups(10 * MINUTE);
    };
    let epoch = view(&world, alice, group).summary.epoch;
    replay(&mut world);
    agree(&world, group, &left);
    assert_eq!(view(&world, alice, group).summary.epoch, epoch);
    // In a slot as well, and once more after that.
    renamed(&mut world, alice, group, "Renamed");
    world.fill_slot(alice, |_| old[0].clone());
    replay(&mut world);
    agree(&world, group, &left);
    assert_eq!(view(&world, carol, group).summary.name, "Renamed");
    assert_eq!(view(&world, carol, group).summary.epoch, epoch + 1);
    talk(&mut world, group, carol, &left, "without him");
    assert_eq!(view(&world, dave, group).summary.phase, GroupPhase::Removed);
    assert_eq!(world.group_texts(dave, group), ["with him"]);
}
