//! Guests, whose tokens neither make sets nor fill slots (R-ID-24, R-ENGINE-96).

use super::*;

/// A group of alice, bob and a guest whom alice has brought in.
fn with_guest(seed: u64) -> (World, [PersonId; 3], GroupId) {
    let (mut world, people, group) = group(seed, &["alice", "bob"]);
    let guest = world.enrol_as("guest", Kind::Guest, &[people[0]], 365);
    world.run();
    world.add_to_group(people[0], group, &[guest], Role::Member);
    world.settle_groups(MINUTE);
    let [alice, bob] = people[..] else { unreachable!() };
    (world, [alice, bob, guest], group)
}

#[test]
fn a_guest_waits_for_others_to_evict_whom_the_log_has_ended_r_engine_96() {
    let (mut world, [alice, bob, guest], group) = with_guest(61);
    world.revoke(bob, true);
    world.say_to_group(guest, group, "not for bob");
    world.run_groups_of(vec![guest]);
    assert!(world.group_texts(alice, group).is_empty());
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, guest]);
    assert_eq!(world.group_texts(alice, group), ["not for bob"]);
}

#[test]
fn a_guest_sends_again_once_others_have_made_the_set_that_the_relay_dropped_r_engine_96() {
    let (mut world, [alice, bob, guest], group) = with_guest(62);
    world.wait(31 * DAY);
    world.tidy_relay();
    world.run();
    world.say_to_group(guest, group, "is anybody there");
    world.settle_groups(10 * MINUTE);
    assert!(world.group_texts(alice, group).is_empty(), "there is no set");
    world.say_to_group(alice, group, "yes");
    world.settle_groups(10 * MINUTE);
    for id in [alice, bob, guest] {
        let texts = world.group_texts(id, group);
        assert_eq!(texts.len(), 2, "{id:?}: {texts:?}");
    }
}

#[test]
fn what_a_guest_could_not_commit_is_refused_at_once_and_leaving_is_not_r_engine_96() {
    let (mut world, [alice, bob, guest], group) = with_guest(63);
    let member = world.member_id(guest);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.settle_groups(MINUTE);
    let refused = world.operate(guest, group, GroupOperation::Heal);
    assert_eq!(refused, Err(EngineError::Group(GroupError::NotAllowed)));
    let info = Info::new(DisplayName::parse("Mine").unwrap());
    let create = GroupOperation::Create { info, members: vec![] };
    let refused = world.operate(guest, [9; 16], create);
    assert_eq!(refused, Err(EngineError::Group(GroupError::NotAllowed)));
    world.operate(guest, group, GroupOperation::Leave).unwrap();
    world.settle_groups(10 * MINUTE);
    agree(&world, group, &[alice, bob]);
}
