//! Edits, deletions and reactions through a true relay: conversations, own devices, groups.
#![allow(missing_docs, reason = "a test")]

use chancery_engine::{ChangeKind, EngineError, GroupOperation};
use chancery_group::{GroupError, Info, Role};
use chancery_testkit::{Fate, PersonId, World};
use chancery_wire::proto::MessageRecord;

/// Returns what three devices have in common of a message.
#[track_caller]
fn all_have_the_same(world: &World, who: [PersonId; 3], author: PersonId, id: [u8; 16]) -> MessageRecord {
    let shared = |record: MessageRecord| MessageRecord {
        text: record.text,
        edited_at: record.edited_at,
        deleted: record.deleted,
        reactions: record.reactions,
        ..MessageRecord::default()
    };
    let [one, two, three] = who.map(|who| world.record(who, author, id).map(shared));
    assert!(one.is_some());
    assert_eq!((&one, &one), (&two, &three));
    one.unwrap_or_default()
}

#[test]
fn both_sides_and_own_devices_end_with_the_same_r_engine_100() {
    let (mut world, alice, bob) = World::pair(71);
    let tablet = world.add_device(alice);
    world.run();
    let id = world.say(alice, bob, "first");
    world.run();
    let target = world.reference(alice, id);
    world.edit(alice, &target, "second").unwrap();
    world.react(bob, &target, "👍").unwrap();
    world.run();
    // The other device edits, and reacts as the same member.
    world.edit(tablet, &target, "third").unwrap();
    world.react(tablet, &target, "👍").unwrap();
    world.run();
    let record = all_have_the_same(&world, [alice, tablet, bob], alice, id);
    assert_eq!(record.text.unwrap().text, "third");
    assert_eq!(record.reactions.len(), 2);
    assert_eq!(world.edit(bob, &target, "forged"), Err(EngineError::NotAuthor));
    assert_eq!(world.delete(bob, &target), Err(EngineError::NotAuthor));
    world.delete(tablet, &target).unwrap();
    world.run();
    let record = all_have_the_same(&world, [alice, tablet, bob], alice, id);
    assert!(record.deleted && record.text.is_none());
    assert_eq!(world.edit(alice, &target, "again"), Err(EngineError::NoMessage));
    assert_eq!(world.history(bob, alice), Vec::<String>::new(), "acts are no messages");
    let told = [ChangeKind::Edited, ChangeKind::Edited, ChangeKind::Reacted, ChangeKind::Deleted];
    assert_eq!(world.changes(bob), told);
    assert_eq!([alice, tablet, bob].map(|who| world.undecryptable(who)), [0; 3]);
}

#[test]
fn a_message_that_was_lost_and_deleted_since_comes_as_its_deletion_r_content_23() {
    let (mut world, alice, bob) = World::pair(72);
    world.say(alice, bob, "hello");
    world.run();
    world.say(bob, alice, "hello");
    world.run();
    // It is lost on the way, with an edit of it; what comes then shows bob that something is missing.
    world.fate(bob, [Fate::Lose, Fate::Lose]);
    let id = world.say(alice, bob, "it was lost");
    let target = world.reference(alice, id);
    world.edit(alice, &target, "it was lost, too").unwrap();
    world.run();
    world.delete(alice, &target).unwrap();
    world.say(alice, bob, "after");
    assert!(world.settle(|world| world.held(alice, bob) == 0), "all has come");
    assert_eq!((world.heard(bob), world.lost(bob)), (vec!["hello".into(), "after".into()], vec![]));
    for who in [alice, bob] {
        let holds = |bytes: &Vec<u8>| bytes.windows(11).any(|part| part == b"it was lost");
        assert_eq!(world.disk(who).values().filter(|bytes| holds(bytes)).count(), 0, "nobody has its text");
    }
}

#[test]
fn a_group_sees_the_same_and_a_reader_only_takes_back_what_it_wrote_r_content_24() {
    let mut world = World::new(73);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|handle| world.enrol(handle));
    world.run();
    let group = world.found_group(alice, &[bob, carol]);
    world.run_groups();
    let id = world.say_to_group(bob, group, "mine");
    world.run_groups();
    let target = world.reference(bob, id);
    world.edit(bob, &target, "still mine").unwrap();
    world.react(carol, &target, "👍").unwrap();
    world.run_groups();
    let record = all_have_the_same(&world, [alice, bob, carol], bob, id);
    assert_eq!((record.text.unwrap().text.as_str(), record.reactions.len()), ("still mine", 1));
    // Bob may read only from now on.
    let member = world.members(&[bob])[0];
    world.operate(alice, group, GroupOperation::SetRole { member, role: Role::Reader }).unwrap();
    world.run_groups();
    let not_allowed = Err(EngineError::Group(GroupError::NotAllowed));
    assert_eq!(world.edit(bob, &target, "no more"), not_allowed);
    assert_eq!(world.react(bob, &target, "👍"), not_allowed);
    world.delete(bob, &target).unwrap();
    world.run_groups();
    let record = all_have_the_same(&world, [alice, bob, carol], bob, id);
    assert!(record.deleted && record.reactions.is_empty());
}

#[test]
fn who_joins_is_sent_what_messages_read_now_and_nobody_acts_in_anothers_name_r_content_27() {
    let mut world = World::new(74);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|handle| world.enrol(handle));
    world.run();
    let group = world.found_group(alice, &[bob]);
    world.run_groups();
    let mut info: Info = world.group(alice, group).unwrap().info.unwrap();
    info.history = 10;
    world.operate(alice, group, GroupOperation::SetInfo(info)).unwrap();
    world.run_groups();
    let (kept, gone) = (world.say_to_group(bob, group, "before"), world.say_to_group(bob, group, "gone"));
    world.run_groups();
    let (kept_target, gone_target) = (world.reference(bob, kept), world.reference(bob, gone));
    world.edit(bob, &kept_target, "edited").unwrap();
    world.react(alice, &kept_target, "👍").unwrap();
    world.delete(bob, &gone_target).unwrap();
    world.run_groups();
    world.add_to_group(alice, group, &[carol], Role::Member);
    world.run_groups();
    let record = world.record(carol, bob, kept).unwrap();
    assert_eq!((record.text.unwrap().text.as_str(), record.reactions.len()), ("edited", 0));
    assert!(!record.resent.is_empty() && world.record(carol, bob, gone).is_none());
    // Alice has sent it again; it is bob's all the same.
    assert_eq!(world.edit(alice, &kept_target, "forged"), Err(EngineError::NotAuthor));
    world.edit(bob, &kept_target, "edited again").unwrap();
    world.run_groups();
    assert_eq!(world.record(carol, bob, kept).unwrap().text.unwrap().text, "edited again");
}

#[test]
fn what_is_deleted_before_it_is_sealed_goes_nowhere_r_content_23() {
    for deletes in [false, true] {
        let (mut world, alice, bob) = World::pair(75);
        // There is no session yet.
        let id = world.say(alice, bob, "regretted at once");
        let target = world.reference(alice, id);
        if deletes {
            world.delete(alice, &target).unwrap();
        }
        let holds = |bytes: &Vec<u8>| bytes.windows(9).any(|part| part == b"regretted");
        assert_eq!(world.disk(alice).values().any(holds), !deletes);
        world.run();
        world.say(alice, bob, "after");
        world.run();
        let heard: &[&str] = if deletes { &["after"] } else { &["regretted at once", "after"] };
        assert_eq!(
            (world.heard(bob), world.undecryptable(bob)),
            (heard.iter().map(|it| (*it).into()).collect(), 0)
        );
        assert_eq!(world.disk(bob).values().any(holds), !deletes, "he never had it");
    }
}
