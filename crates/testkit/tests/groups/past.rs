//! Messages from before, sent again to who was added (R-CONTENT-17).

use super::*;

fn history_of(world: &mut World, by: PersonId, group: GroupId, history: u32) {
    let mut info = Info::new(DisplayName::parse("Group").expect("a good name"));
    info.history = history;
    world.operate(by, group, GroupOperation::SetInfo(info)).expect("allowed");
    world.settle_groups(MINUTE);
}

#[test]
fn a_joiner_is_sent_just_as_many_messages_again_as_the_policy_says_r_content_17() {
    for (history, expected) in [(0, &[][..]), (2, &["three", "four"]), (9, &["one", "two", "three", "four"])]
    {
        let (mut world, people) = people(51, &["alice", "bob", "carol", "dave"]);
        let [alice, bob, carol, dave] = people[..] else { unreachable!() };
        let group = world.found_group(alice, &[bob, carol]);
        world.settle_groups(MINUTE);
        history_of(&mut world, alice, group, history);
        for (from, text) in [(bob, "one"), (alice, "two"), (carol, "three"), (bob, "four")] {
            talk(&mut world, group, from, &[alice, bob, carol], text);
        }
        world.add_to_group(alice, group, &[dave], Role::Member);
        world.settle_groups(MINUTE);
        agree(&world, group, &people);
        assert_eq!(world.group_texts(dave, group), expected, "{history}");
        for id in [bob, carol] {
            assert_eq!(world.group_texts(id, group).len(), 4, "nothing comes twice");
        }
        talk(&mut world, group, carol, &people, "five");
        assert_eq!(world.group_texts(dave, group).len(), expected.len() + 1);
    }
}

#[test]
fn whoever_adds_sends_nothing_of_before_its_own_joining_r_content_17() {
    let (mut world, people) = people(52, &["alice", "bob", "carol"]);
    let [alice, bob, carol] = people[..] else { unreachable!() };
    let group = world.found_group(alice, &[]);
    world.settle_groups(MINUTE);
    history_of(&mut world, alice, group, 10);
    talk(&mut world, group, alice, &[alice], "before bob");
    world.add_to_group(alice, group, &[bob], Role::Administrator);
    world.settle_groups(MINUTE);
    assert_eq!(world.group_texts(bob, group), ["before bob"]);
    talk(&mut world, group, alice, &[alice, bob], "with bob");
    world.add_to_group(bob, group, &[carol], Role::Member);
    world.settle_groups(MINUTE);
    agree(&world, group, &people);
    assert_eq!(world.group_texts(carol, group), ["with bob"], "what was sent again is not sent on");
}
