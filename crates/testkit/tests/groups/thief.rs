//! Who copied a device's disk reads what was for it, and nothing of what follows its end (R-GROUP-12, R-GROUP-20).
#![allow(unreachable_pub, reason = "a part of a test")]

use chancery_group::KIND_GROUP_MESSAGE;
use chancery_testkit::Disk;

use super::*;

/// What somebody has who copied a device's disk and listens to another one of the group.
pub struct Thief {
    of: PersonId,
    group: GroupId,
    disk: Disk,
    /// Whose mailbox it listens to.
    listens: PersonId,
    /// What was said after that, while the device was still in the group.
    before: Vec<Vec<u8>>,
}

/// The messages of groups among envelopes.
pub fn messages(envelopes: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    envelopes.into_iter().filter(|it| it.first() == Some(&KIND_GROUP_MESSAGE)).collect()
}

/// What it heard.
pub const STILL_HERE: &str = "while it was here";

impl Thief {
    /// Copies the disk of `of`, lets `by` say something to everybody, and goes on listening to what `listens` gets.
    pub fn come(
        world: &mut World,
        group: GroupId,
        (of, by): (PersonId, PersonId),
        listens: PersonId,
    ) -> Self {
        let disk = world.disk(of);
        world.tap(listens);
        world.say_to_group(by, group, STILL_HERE);
        world.settle_groups(MINUTE);
        let before = messages(world.tapped(listens));
        assert!(!before.is_empty());
        Self { of, group, disk, listens, before }
    }

    /// Panics unless the disk reads what was said while the device was there, and nothing of what was said since.
    pub fn reads_nothing_more(self, world: &mut World) {
        let after = messages(world.tapped(self.listens));
        assert!(!after.is_empty(), "something was said");
        let there = world.disk(self.of);
        world.restore(self.of, self.disk);
        let mut expected = world.group_texts(self.of, self.group);
        expected.push(STILL_HERE.into());
        world.hand_over(self.of, &self.before);
        assert_eq!(
            world.group_texts(self.of, self.group),
            expected,
            "the control: the disk opens what was for it"
        );
        // Whatever waited for something that another brought has a second chance.
        for _ in 0..2 {
            world.hand_over(self.of, &after);
        }
        assert_eq!(world.group_texts(self.of, self.group), expected);
        world.restore(self.of, there);
    }
}

#[test]
fn whoever_is_removed_reads_nothing_of_what_follows_and_the_others_do_r_engine_81() {
    let (mut world, people, group) = group(2, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    talk(&mut world, group, bob, &people, "all of us");
    let thief = Thief::come(&mut world, group, (dave, carol), alice);
    let members = world.members(&[dave]);
    world.operate(alice, group, GroupOperation::Remove { members }).unwrap();
    world.settle_groups(MINUTE);
    agree(&world, group, &[alice, bob, carol]);
    talk(&mut world, group, carol, &[alice, bob], "without him");
    assert_eq!(view(&world, dave, group).summary.phase, GroupPhase::Removed);
    assert_eq!(world.group_texts(dave, group), ["all of us", STILL_HERE]);
    thief.reads_nothing_more(&mut world);
}

#[test]
fn whoever_leaves_is_let_go_and_its_keys_read_nothing_of_what_follows_r_engine_83() {
    let (mut world, people, group) = group(9, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    talk(&mut world, group, alice, &people, "before");
    let thief = Thief::come(&mut world, group, (dave, carol), alice);
    world.operate(dave, group, GroupOperation::Leave).unwrap();
    world.run_groups();
    world.wait(MINUTE);
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, bob, carol]);
    assert_eq!(view(&world, dave, group).summary.phase, GroupPhase::Left);
    talk(&mut world, group, carol, &[alice, bob], "after");
    thief.reads_nothing_more(&mut world);
}

#[test]
fn one_end_in_the_log_heals_every_group_of_whose_keys_were_stolen_r_engine_87_r_group_20() {
    // ATTACKS A07: what heals one group must heal the others, with the disk as the thief has it, keys for signing and all.
    let (mut world, people, first) = group(22, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let second = world.found_group(bob, &[carol, dave]);
    world.settle_groups(MINUTE);
    let thieves = [(first, alice), (second, bob)]
        .map(|(group, listens)| Thief::come(&mut world, group, (dave, carol), listens));
    let new = world.add_device(dave);
    world.run();
    world.settle_groups(10 * MINUTE);
    world.revoke(dave, false);
    let left = [alice, bob, carol, new];
    world.say_to_group(alice, first, "healed");
    world.run_groups_of(left.to_vec());
    world.say_to_group(new, second, "healed too");
    for _ in 0..5 {
        world.run_groups_of(left.to_vec());
        world.wait(MINUTE);
    }
    agree(&world, first, &left);
    agree(&world, second, &left[1..]);
    for (who, group, text) in [(new, first, "healed"), (carol, second, "healed too")] {
        assert_eq!(world.group_texts(who, group).last().map(String::as_str), Some(text));
    }
    thieves.into_iter().for_each(|thief| thief.reads_nothing_more(&mut world));
}
