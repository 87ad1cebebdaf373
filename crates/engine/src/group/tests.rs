//! Groups over several devices' records: commits as the pure half makes them, carried by hand.

mod bounds;
mod contents;
mod malice;
mod marks;
mod need;
mod orders;
mod past;
mod receipts;
mod send;
mod slots;
mod town;
mod wait;

use alloc::vec;

use chancery_group::{Keying, LogView as _, Role, add, remove, set_info, set_role};
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{Attachment, GroupControl, GroupNeed, GroupWelcome, SlotContent};
use core::time::Duration;

use super::acts::ActKind;
use super::log_view::DeviceLog;
use super::*;
use crate::effect::{Effect, Input, Notice, Step};
use crate::error::EngineError;
use crate::messages::{Event, MessageState, events, message};
use town::{GROUP, Town};

const SECOND: Duration = Duration::from_secs(1);

fn three() -> Town {
    let mut town = Town::new(&["alice", "bob", "carol"]);
    town.found(0);
    let adds = vec![add(&town.credential(1), Role::Member), add(&town.credential(2), Role::Member)];
    let made = town.commit(0, adds, Keying::Tree);
    town.deliver(&made, &[1, 2]);
    town
}

#[test]
fn members_who_are_welcomed_write_and_read_r_engine_77_r_engine_79_r_content_14() {
    let mut town = three();
    assert_eq!(town.acts(1), [ActKind::Joined]);
    for id in 0..3 {
        let view = group(town.disk(id), &GROUP).unwrap().unwrap();
        assert_eq!((view.summary.epoch, view.members.len(), view.summary.devices), (2, 3, 3));
        assert_eq!(view.transcript, group(town.disk(0), &GROUP).unwrap().unwrap().transcript);
    }
    let ids = [town.say(1, "first"), town.say(1, "second"), town.say(0, "third")];
    assert_eq!(town.state(1, &ids[0]), MessageState::Queued as u32);
    town.run_all();
    assert_eq!(town.heard(0), ["first", "second"]);
    assert_eq!(town.heard(2), ["third", "first", "second"], "as the relay had them");
    assert_eq!(town.heard(1), ["third"], "what it sent itself comes back and is no news");
    assert_eq!(town.state(1, &ids[0]), MessageState::Sent as u32);
    let history = group_history(town.disk(2), &GROUP, 0, 100).unwrap();
    assert!(history.iter().all(|record| record.group == GROUP && record.conversation == GROUP));
    assert_eq!(groups(town.disk(2)).unwrap().len(), 1);
}

#[test]
fn what_is_ahead_of_its_commit_waits_for_it_r_engine_73() {
    let mut town = three();
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.say(0, "in the next epoch");
    let envelopes = town.run(0);
    for envelope in &envelopes {
        assert_eq!(town.give(2, envelope)[1..], [], "kept, and not an error");
    }
    assert!(town.heard(2).is_empty());
    town.deliver(&made, &[2]);
    town.run(2);
    assert_eq!(town.heard(2), ["in the next epoch"]);
    assert_eq!(town.acts(2), [ActKind::Joined, ActKind::Role]);
}

#[test]
fn a_commit_in_a_later_slot_is_followed_once_the_earlier_were_seen_r_engine_74() {
    let mut town = three();
    let honest = town.build(0, vec![], Keying::Tree, 1);
    let junk = vec![0x18; 512];
    town.put_slot(0, 0, junk.clone());
    assert_eq!(town.give(2, &honest.envelope)[1..], [Effect::Notify(Notice::GroupWork)]);
    assert_eq!(town.epoch(2), 2, "slot 0 was not seen");
    town.run(2);
    assert_eq!(town.epoch(2), 3);
    assert_eq!(town.give(2, &honest.envelope).len(), 1, "known");
    // Where the earlier slot has a valid one, that is followed, and the later is passed over.
    let mut town = three();
    let (first, second) = (town.build(0, vec![], Keying::Tree, 0), town.build(0, vec![], Keying::Tree, 1));
    town.put_slot(0, 0, first.envelope.clone());
    town.give(2, &second.envelope);
    town.run(2);
    let view = group(town.disk(2), &GROUP).unwrap().unwrap();
    assert_eq!((view.summary.epoch, view.summary.phase), (3, GroupPhase::Open));
    assert_eq!(town.commit_of(2), first.hash);
}

#[test]
fn whoever_is_removed_keeps_the_history_and_no_key_r_engine_76() {
    let mut town = three();
    town.say(0, "before");
    town.run_all();
    let waiting = town.say(2, "never");
    assert!(!town.keys_of(2).is_empty());
    let slot = town.slot(0, 2);
    let made = town.commit(0, vec![remove(slot, chancery_group::Reason::Role)], Keying::Tree);
    town.give(2, &made.envelope);
    town.deliver(&made, &[1]);
    let view = group(town.disk(2), &GROUP).unwrap().unwrap();
    assert_eq!((view.summary.phase, view.members.len()), (GroupPhase::Removed, 0));
    assert_eq!(town.heard(2), ["before"]);
    assert_eq!(town.state(2, &waiting), MessageState::Failed as u32);
    assert!(town.keys_of(2).is_empty(), "{:?}", town.keys_of(2));
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    assert_eq!(town.try_handle(2, Input::Group(GroupInput::Send(draft))), Err(EngineError::NoGroup));
    town.say(0, "after");
    let envelopes = town.run(0);
    envelopes.iter().for_each(|envelope| drop(town.give(2, envelope)));
    assert_eq!(town.heard(2), ["before"]);
    assert_eq!(town.acts(1), [ActKind::Joined, ActKind::Removed]);
}

#[test]
fn nothing_is_sealed_while_somebody_who_has_ended_is_in_the_roster_r_engine_80() {
    let mut town = three();
    town.revoke(2);
    town.grow(0);
    town.grow(1);
    let said = town.say(1, "not for carol");
    assert!(town.run(1).is_empty());
    assert_eq!(town.state(1, &said), MessageState::Queued as u32);
    let slot = town.slot(1, 2);
    let made = town.commit(1, vec![remove(slot, chancery_group::Reason::Log)], Keying::HandOut);
    assert_eq!(town.epoch(1), 3);
    let envelopes = town.run(1);
    assert_eq!(envelopes.len(), 1);
    // Alice has the commit and not its secret: she asks for it after two seconds, and not before.
    town.give(0, &made.envelope);
    assert_eq!(town.epoch(0), 2);
    town.give(0, &envelopes[0]);
    town.run(0);
    assert!(town.outbox(0).is_empty());
    town.wait(2 * SECOND);
    town.run(0);
    let asked = town.outbox(0);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].0, town.device(1), "the author before all others");
    town.carry(0, 1);
    town.run(1);
    town.carry(1, 0);
    town.run(0);
    assert_eq!(town.epoch(0), 3);
    assert_eq!(town.heard(0), ["not for carol"]);
    assert_eq!(town.acts(0).last(), Some(&ActKind::Evicted));
}

#[test]
fn a_commit_on_a_longer_log_waits_for_the_log_r_engine_73() {
    let mut town = three();
    town.enrol("dave");
    town.grow(0);
    let adds = vec![add(&town.credential(3), Role::Reader)];
    let made = town.commit(0, adds, Keying::Tree);
    town.run(2);
    let effects = town.give(2, &made.envelope);
    assert!(effects.contains(&Effect::SyncLog), "{effects:?}");
    assert_eq!(town.epoch(2), 2);
    town.grow(2);
    assert_eq!(town.epoch(2), 3);
    // A reader is refused at once, and has nothing of what was before.
    town.deliver(&made, &[3]);
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    let refused = Err(EngineError::Group(chancery_group::GroupError::NotAllowed));
    assert_eq!(town.try_handle(3, Input::Group(GroupInput::Send(draft))), refused);
    assert_eq!(town.acts(3), [ActKind::Joined]);
}

#[test]
fn a_roster_that_is_a_file_is_fetched_before_the_group_is_entered_r_engine_77() {
    let mut town = Town::new(&["alice", "bob"]);
    town.found(0);
    town.snapshots_as_files = true;
    let adds = vec![add(&town.credential(1), Role::Administrator)];
    let made = town.commit(0, adds, Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!(town.epoch(1), 2);
    assert!(town.files_fetched >= 2, "roster and tree");
    assert_eq!(groups(town.disk(1)).unwrap()[0].role, Some(Role::Administrator));
    // As a keyholder it follows by the seed.
    let made = town.commit(0, vec![], Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!(town.epoch(1), 3);
    // And a regrown tree by its path, which may come before the commit or after it.
    for commit_first in [false, true] {
        let made = town.commit(0, vec![], Keying::Regrow);
        town.deliver_in(&made, &[1], commit_first);
    }
    assert_eq!(town.epoch(1), 5);
    assert_eq!(town.acts(1).last(), Some(&ActKind::Healed));
}

#[test]
fn missing_numbers_are_told_and_a_number_that_leaps_is_not_believed_r_content_15() {
    let mut town = three();
    for text in ["one", "two", "three"] {
        town.say(1, text);
    }
    let envelopes = town.run(1);
    assert_eq!(envelopes.len(), 3);
    town.give(2, &envelopes[0]);
    town.run(2);
    town.give(2, &envelopes[2]);
    assert_eq!(town.heard(2), ["one", "three"]);
    let stored = events(town.disk(2), 100).unwrap();
    let gap = stored.iter().find_map(|(_, event)| match event {
        Event::Message(record) => record.act.as_ref().filter(|act| act.kind == ActKind::Gap as u32),
        _ => None,
    });
    assert_eq!(
        gap.map(|act| (act.count, act.targets.clone())),
        Some((1, vec![town.member(1).as_bytes().to_vec()]))
    );
    town.give(2, &envelopes[1]);
    assert_eq!(town.heard(2), ["one", "three", "two"], "late is not lost");
}

#[test]
fn what_was_sealed_and_not_sent_is_sealed_anew_in_the_next_epoch_r_engine_79() {
    let mut town = three();
    town.say(1, "before");
    town.run(2);
    for envelope in town.run(1) {
        town.give(2, &envelope);
    }
    town.run(2);
    let said = town.say(1, "once");
    let sealed = town.seal_only(1);
    let made = town.commit(0, vec![], Keying::Tree);
    town.give(1, &made.envelope);
    town.deliver(&made, &[2]);
    let again = town.run(1);
    assert_eq!(again.len(), 1);
    assert_ne!(again[0], sealed);
    // The relay had the first all the same: nobody shows it twice.
    for envelope in [&sealed, &again[0], &sealed] {
        town.give(2, envelope);
        town.run(2);
    }
    assert_eq!(town.heard(2), ["before", "once"]);
    assert_eq!(town.state(1, &said), MessageState::Sent as u32);
    assert!(!town.acts(2).contains(&ActKind::Gap));
}

#[test]
fn an_epoch_that_is_over_is_read_for_a_while_but_not_from_who_was_removed_r_engine_74_r_group_24() {
    let mut town = three();
    town.say(1, "on its way");
    town.say(2, "of somebody who goes");
    town.run(0);
    let (from_bob, from_carol) = (town.run(1), town.run(2));
    let slot = town.slot(0, 2);
    town.commit(0, vec![remove(slot, chancery_group::Reason::Role)], Keying::Tree);
    town.give(0, &from_bob[0]);
    town.run(0);
    assert_eq!(town.heard(0), ["on its way"]);
    let bad = town.give(0, &from_carol[0]);
    assert!(bad.contains(&Effect::Notify(Notice::Undecryptable)));
    town.say(1, "too late");
    let late = town.run(1);
    for _ in 0..5 {
        town.commit(0, vec![], Keying::Tree);
    }
    town.give(0, &late[0]);
    assert_eq!(town.heard(0), ["on its way"]);
}

#[test]
fn a_set_that_the_relay_dropped_is_created_again_r_engine_79() {
    let mut town = three();
    town.say(0, "after a long pause");
    town.handle(0, Input::Group(GroupInput::SetUnknown { group_id: GROUP }));
    let envelopes = town.run(0);
    assert_eq!(town.sets_created.len(), 1);
    let set = &town.sets_created[0];
    let expected: Vec<u8> = (0..3).flat_map(|id| town.device(id).as_bytes().to_vec()).collect();
    assert_eq!(set.mailboxes, expected, "in the order of slots");
    assert_eq!(envelopes.len(), 1);
}

#[test]
fn name_and_policy_are_told_and_a_dissolved_group_takes_nothing_more() {
    let mut town = three();
    town.run(1);
    let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
    info.name = chancery_identity::DisplayName::parse("Other").unwrap();
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!(groups(town.disk(1)).unwrap()[0].name, "Other");
    info.dissolved = true;
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!(town.acts(1), [ActKind::Joined, ActKind::Renamed, ActKind::Dissolved]);
    let draft = GroupDraft { group_id: GROUP, message_id: [9; 16], text: "x", attachments: vec![] };
    let refused = Err(EngineError::Group(chancery_group::GroupError::Dissolved));
    assert_eq!(town.try_handle(1, Input::Group(GroupInput::Send(draft))), refused);
    assert!(message(town.disk(1), &town.member(1), &[9; 16]).unwrap().is_none());
}

#[test]
fn other_devices_of_the_own_member_have_what_it_wrote_as_sent_r_content_14() {
    let mut town = three();
    town.enrol("bob");
    for id in 0..3 {
        town.grow(id);
    }
    assert_eq!(town.member(3), town.member(1));
    let made = town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    town.deliver(&made, &[1, 2, 3]);
    let said = town.say(1, "by bob");
    town.run_all();
    assert_eq!(town.state(3, &said), MessageState::Sent as u32);
    assert_eq!(town.heard(2), ["by bob"]);
    assert!(town.heard(3).is_empty(), "it is an own one");
    let view = group(town.disk(0), &GROUP).unwrap().unwrap();
    assert_eq!(view.members.iter().map(|member| member.devices.len()).collect::<Vec<_>>(), [1, 2, 1]);
}

#[test]
fn a_message_goes_after_its_files_and_fails_with_them_r_engine_79() {
    let mut town = three();
    town.run(1);
    let draft = |message_id, blob| GroupDraft {
        group_id: GROUP,
        message_id,
        text: "see there",
        attachments: vec![Attachment {
            blob_id: [blob; 16].to_vec(),
            key: [1; 32].to_vec(),
            name: "a".into(),
            ..Attachment::default()
        }],
    };
    for (blob, end) in [(1_u8, true), (2, false)] {
        town.handle(1, Input::Group(GroupInput::Send(draft([blob; 16], blob))));
        assert!(town.run(1).is_empty(), "its file is not at the relay");
        let step = crate::sending::next_step(town.disk(1), &BTreeSet::new()).unwrap();
        let Some(Step::Upload { item, .. }) = step else { panic!("{step:?}") };
        town.handle(1, if end { Input::Done { item } } else { Input::Failed { item } });
        assert_eq!(town.run(1).len(), usize::from(end));
        let expected = if end { MessageState::Sent } else { MessageState::Failed };
        assert_eq!(town.state(1, &[blob; 16]), expected as u32);
    }
}

#[test]
fn whoever_becomes_a_keyholder_fetches_the_tree_and_can_commit_r_engine_77() {
    let mut town = three();
    town.run(1);
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Administrator)], Keying::Tree);
    town.deliver_in(&made, &[1], true);
    town.deliver(&made, &[2]);
    assert_eq!(town.files_fetched, 1);
    let made = town.commit(1, vec![], Keying::Tree);
    town.deliver(&made, &[0, 2]);
    assert_eq!((town.epoch(0), town.epoch(2)), (4, 4));
}

#[test]
fn a_device_that_fell_behind_asks_and_is_welcomed_by_the_next_commit_r_engine_78_r_group_19() {
    let mut town = three();
    town.run(1);
    let lost = town.commit(0, vec![], Keying::Regrow);
    town.give(1, &lost.envelope);
    town.deliver(&lost, &[2]);
    assert_eq!(town.epoch(1), 2, "its path was lost");
    let said = town.say(1, "in which epoch");
    for round in 0..20 {
        town.wait(60 * SECOND);
        town.run(1);
        let asked: Vec<_> = town.outbox(1).into_iter().map(|(device, _)| device).collect();
        assert_eq!(asked.len(), if round == 0 { 1 } else { 2 }, "each once");
    }
    assert_eq!(
        town.state(1, &said),
        MessageState::Queued as u32,
        "it does not seal in an epoch that is over"
    );
    town.carry(1, 2);
    town.carry(1, 0);
    assert!(town.asked(2).is_empty(), "no keyholder");
    assert_eq!(town.asked(0), [town.device(1).as_bytes().to_vec()]);
    town.helped = Some(1);
    let made = town.commit(0, vec![], Keying::Tree);
    town.deliver(&made, &[1, 2]);
    assert_eq!(town.epoch(1), 4);
    town.run_all();
    assert_eq!(town.state(1, &said), MessageState::Sent as u32);
    // Nobody is brought on who has not asked.
    town.helped = Some(2);
    let made = town.build(0, vec![], Keying::Regrow, 0);
    town.deliver_in(&made, &[2], true);
    assert!(!town.acts(2)[1..].contains(&ActKind::Joined));
}

#[test]
fn what_the_log_said_at_some_size_it_says_for_ever_r_engine_71() {
    let mut town = three();
    town.succeed([0; 16], 1, &[town.member(2)]);
    town.grow(0);
    let (bob, carol) = ((town.device(1), town.member(1)), (town.device(2), town.member(2)));
    let admin = town.admin();
    let said = |log: &DeviceLog<'_>, size: u64| {
        (
            (log.root(size), log.time(size), log.device(&carol.0, size), log.devices_of(&carol.1, size)),
            (log.is_ended(&carol.0, &carol.1, size), log.is_ended(&bob.0, &bob.1, size), log.ended(0, size)),
            (log.group_successors(&GROUP, size), log.groups_issuer(&admin, size).is_some()),
        )
    };
    let (size, before) = town.with_log(0, |log| {
        let all: Vec<_> = (0..=log.size()).map(|size| said(log, size)).collect();
        (log.size(), all)
    });
    let last = before.last().unwrap();
    assert_eq!(last.0.3, [carol.0]);
    assert_eq!((last.1.0, last.2.0.clone(), last.2.1), (false, vec![carol.1], true));
    assert!(before[0].0.1.is_none() && !before[0].2.1, "nothing is said before the first entry");
    town.wait(60 * SECOND);
    town.revoke(2);
    town.succeed([0; 16], 2, &[town.member(1)]);
    town.succeed(GROUP, 1, &[town.member(0)]);
    assert_eq!(town.with_log(0, |log| log.time(size + 1)), None, "it is not here");
    town.grow(0);
    let after = town.with_log(0, |log| (0..=size).map(|size| said(log, size)).collect::<Vec<_>>());
    assert_eq!(after, before);
    let now = town.with_log(0, |log| said(log, log.size()));
    assert!(now.1.0 && now.0.3.is_empty());
    assert_eq!(now.1.2, [chancery_group::Ended::Member(carol.1)]);
    assert_eq!(now.2.0, [town.member(0)], "what is said for the group itself");
    assert_eq!(town.with_log(0, |log| log.group_successors(&[1; 16], log.size())), [bob.1]);
}

#[test]
fn a_credential_is_believed_only_as_the_log_has_it_r_engine_72() {
    let mut town = three();
    town.say(1, "who is this");
    let envelopes = town.run(1);
    let device = town.device(1);
    town.give(2, &envelopes[0]);
    let foreign = town.credential(0).signed().clone();
    let mut forged = town.credential(1).signed().clone();
    forged.signature[7] ^= 1;
    for credential in [None, Some(foreign), Some(forged)] {
        town.handle(2, Input::Group(GroupInput::CredentialFetched { device, credential }));
        assert!(town.heard(2).is_empty());
    }
    town.run(2);
    assert!(town.heard(2).is_empty(), "not asked again at once");
    town.wait(60 * SECOND);
    town.run(2);
    assert_eq!(town.heard(2), ["who is this"]);
}

#[test]
fn a_commit_that_was_lost_is_found_in_its_slot_r_engine_73() {
    let mut town = three();
    town.run(2);
    let made = town.build(0, vec![], Keying::Tree, 0);
    town.put_slot(2, 0, made.envelope.clone());
    town.follow_own(0, &made);
    town.say(0, "can you hear me");
    for envelope in town.run(0) {
        town.give(2, &envelope);
    }
    town.run(2);
    assert_eq!(town.epoch(2), 2, "it may be on its way");
    town.wait(61 * SECOND);
    town.run(2);
    assert_eq!(town.heard(2), ["can you hear me"]);
}

#[test]
fn whoever_may_not_write_is_not_heard_r_engine_79() {
    let mut town = three();
    town.run(0);
    for _ in 0..3 {
        town.say(1, "as a member");
    }
    let envelopes = town.run(1);
    let made = town.commit(0, vec![set_role(&town.member(1), Role::Reader)], Keying::Tree);
    let before = town.acts(0).len();
    envelopes.iter().for_each(|envelope| drop(town.give(0, envelope)));
    town.run(0);
    assert_eq!((envelopes.len(), town.heard(0)), (3, vec![]));
    assert_eq!(town.acts(0)[before..], [ActKind::Refused], "told once in a row (R-ENGINE-122)");
    // What waited when the role changed fails.
    let waiting = town.say(1, "too late");
    town.give(1, &made.envelope);
    assert!(town.run(1).is_empty());
    assert_eq!(town.state(1, &waiting), MessageState::Failed as u32);
}

#[test]
fn a_content_that_is_none_of_a_group_changes_nothing_r_content_16() {
    let mut town = three();
    town.revoke(1);
    town.grow(2);
    let before = town.disk(2).clone();
    let need = Control::Need(GroupNeed::default());
    for (group_id, control) in
        [(vec![1; 15], Some(need.clone())), (vec![], Some(need)), (GROUP.to_vec(), None)]
    {
        assert!(!town.control_as_is(2, 1, &GroupControl { group_id, control }));
    }
    assert!(*town.disk(2) == before);
    // What does not hold makes no conversation, and not every identifier may be a group's.
    let welcome = Some(Control::Welcome(GroupWelcome::default()));
    town.control_as_is(2, 1, &GroupControl { group_id: vec![0x77; 16], control: welcome });
    assert!(*town.disk(2) == before);
    let welcome = Control::Welcome(GroupWelcome::default());
    let group_id = town.member(1).as_bytes().to_vec();
    town.control_as_is(2, 1, &GroupControl { group_id, control: Some(welcome) });
    assert!(*town.disk(2) == before);
}

#[test]
fn the_shorter_of_two_retentions_counts_in_a_group() {
    let mut town = three();
    town.run(1);
    let mut info = group(town.disk(0), &GROUP).unwrap().unwrap().info.unwrap();
    info.retention = Some(3600 * SECOND);
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1]);
    assert_eq!(town.acts(1).last(), Some(&ActKind::Policy));
    town.say(0, "not for ever");
    town.run_all();
    assert_eq!(town.heard(1), ["not for ever"]);
    town.wait(3601 * SECOND);
    town.handle(1, Input::SessionUpkeep);
    assert!(town.heard(1).is_empty());
}

#[test]
fn an_envelope_that_was_damaged_changes_nothing_and_the_honest_one_counts_after_it_r_engine_6() {
    let mut town = three();
    town.say(1, "first");
    let first = town.run(1);
    town.give(2, &first[0]);
    town.run(2);
    town.say(1, "whole");
    let envelopes = town.run(1);
    let message = envelopes[0].clone();
    let commit = town.build(0, vec![], Keying::Tree, 0).envelope;
    let before = town.disk(2).clone();
    for (envelope, from) in [(&message, 17), (&commit, 21)] {
        for at in (from..envelope.len()).step_by(23) {
            let mut bad = envelope.clone();
            bad[at] ^= 1;
            let effects = town.give(2, &bad);
            assert_eq!(effects, [Effect::Acknowledge(1), Effect::Notify(Notice::Undecryptable)], "byte {at}");
            assert!(*town.disk(2) == before, "byte {at}");
        }
        for len in (1..envelope.len()).step_by(97).filter(|len| *len < 17 || envelope[0] == 0x17) {
            town.give(2, &envelope[..len]);
            assert!(*town.disk(2) == before, "{len} bytes");
        }
    }
    town.give(2, &message);
    town.give(2, &commit);
    assert_eq!((town.heard(2), town.epoch(2)), (vec!["first".into(), "whole".into()], 3));
}
