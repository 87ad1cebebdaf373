//! Whoever comes back reads and follows those whose credential it never had (R-RELAY-78).

use super::*;

/// The records of credentials (R-ENGINE-72).
const CREDENTIALS: u16 = 0x01AC;

fn has_credential(world: &World, who: PersonId, of: PersonId) -> bool {
    let device = world.device_id(of);
    world.disk(who).keys().any(|key| key.table.0 == CREDENTIALS && key.name == device.as_bytes())
}

fn rename(world: &mut World, by: PersonId, group: GroupId, name: &str) {
    let info = Info::new(DisplayName::parse(name).expect("a good name"));
    world.operate(by, group, GroupOperation::SetInfo(info)).expect("allowed");
}

#[test]
fn who_was_away_follows_and_reads_a_device_that_has_ended_since_r_relay_78() {
    let mut world = World::new(71);
    let people: Vec<PersonId> = ["alice", "bob", "carol", "dave"].map(|handle| world.enrol(handle)).into();
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let laptop = world.add_device(dave);
    world.run();
    let group = world.found_group(alice, &people[1..]);
    world.settle_groups(MINUTE);
    let member = world.member_id(dave);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.settle_groups(MINUTE);
    assert!(!has_credential(&world, carol, laptop));

    // Carol is away.
    let others = [alice, bob, dave, laptop];
    world.say_to_group(laptop, group, "from the laptop");
    world.settle_groups_of(&others, MINUTE);
    rename(&mut world, laptop, group, "Renamed");
    world.settle_groups_of(&others, MINUTE);
    assert_eq!(view(&world, alice, group).summary.name, "Renamed", "the laptop's commit has won");
    world.revoke_at_relay(laptop, false);
    let stay = [alice, bob, dave];
    world.settle_groups_of(&stay, 10 * MINUTE);
    world.wait(5 * DAY);

    let all = [alice, bob, carol, dave];
    world.settle_groups_of(&all, 10 * MINUTE);
    assert!(has_credential(&world, carol, laptop));
    assert_eq!(world.group_texts(carol, group), ["from the laptop"]);
    agree(&world, group, &all);
    assert_eq!(view(&world, carol, group).summary.name, "Renamed");
    world.say_to_group(carol, group, "back again");
    world.settle_groups_of(&all, MINUTE);
    assert_eq!(world.group_texts(alice, group).last().map(String::as_str), Some("back again"));
}

#[test]
fn who_was_away_follows_a_commit_with_a_leave_order_of_a_member_that_has_ended_since_r_relay_78() {
    let (mut world, people, group) = group(72, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    assert!(!has_credential(&world, carol, dave));
    world.operate(dave, group, GroupOperation::Leave).unwrap();
    world.settle_groups_of(&[alice, bob, dave], 10 * MINUTE);
    let left = [alice, bob];
    assert_eq!(view(&world, alice, group).members.len(), 3, "an order was carried out");
    world.revoke_at_relay(dave, true);
    world.settle_groups_of(&left, 10 * MINUTE);
    world.wait(5 * DAY);

    let all = [alice, bob, carol];
    world.settle_groups_of(&all, 10 * MINUTE);
    agree(&world, group, &all);
    world.say_to_group(carol, group, "back again");
    world.settle_groups_of(&all, MINUTE);
    assert_eq!(world.group_texts(bob, group).last().map(String::as_str), Some("back again"));
}

#[test]
fn a_guest_reads_and_follows_a_member_of_its_group_outside_its_reach_r_relay_79_r_engine_72() {
    let (mut world, people, group) = group(73, &["alice", "bob", "carol", "dave"]);
    let [alice, bob, carol, dave] = people[..] else { unreachable!() };
    let guest = world.enrol_as("guest", Kind::Guest, &[alice], 30);
    world.run();
    let member = world.member_id(bob);
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.add_to_group(alice, group, &[guest], Role::Member);
    world.settle_groups(MINUTE);
    assert!(!has_credential(&world, guest, bob));
    let token = |world: &World, of| world.delivery_token(guest, Use::Mailbox, world.device_id(of).as_bytes());
    assert_eq!((token(&world, bob).len(), token(&world, carol).len()), (0, 0), "outside its reach");

    talk(&mut world, group, carol, &[alice, guest], "from carol");
    let info = Info::new(DisplayName::parse("Renamed").unwrap());
    world.operate(bob, group, GroupOperation::SetInfo(info)).unwrap();
    world.settle_groups(MINUTE);
    assert_eq!(view(&world, guest, group).summary.name, "Renamed");
    assert!(has_credential(&world, guest, bob) && has_credential(&world, guest, carol));

    // The set that both were in is gone, and one of them has ended, when the guest comes back.
    let stay = [alice, bob, carol, dave];
    let member = world.member_id(dave);
    world.operate(bob, group, GroupOperation::SetRole { member, role: Role::Administrator }).unwrap();
    world.settle_groups_of(&stay, MINUTE);
    let members = world.members(&[carol]);
    world.operate(dave, group, GroupOperation::Remove { members }).unwrap();
    world.say_to_group(dave, group, "from dave");
    let left = [alice, bob, dave];
    world.settle_groups_of(&left, 10 * MINUTE);
    world.revoke_at_relay(dave, true);
    world.settle_groups_of(&[alice, bob], 10 * MINUTE);
    world.wait(3 * DAY);
    world.tidy_relay();
    assert!(!has_credential(&world, guest, dave));
    let all = [alice, bob, guest];
    world.settle_groups_of(&all, 10 * MINUTE);
    agree(&world, group, &all);
    assert_eq!(world.group_texts(guest, group), ["from carol", "from dave"]);
}
