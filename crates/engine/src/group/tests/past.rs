//! Messages from before, sent again to who was added (R-CONTENT-17).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use chancery_group::{Info, Keying, Role, add, set_info};
use chancery_identity::DisplayName;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::message_act::Act;
use chancery_wire::proto::{
    Deletion, GroupControl, GroupPast, GroupPastMessage, MessageRecord, MessageRef, ReplyTo, Text,
};

use super::three;
use super::town::{GROUP, Made, Town};
use crate::amend::ActDraft;
use crate::effect::{Composed, Input, Place};
use crate::group::acts::{ActKind, read};
use crate::group::group_history;
use crate::messages::{Event, MessageState, append_message, events};

/// Three in a group of this policy, who have said four things; then dave is added, and has nothing of it yet.
fn joining(history: u32) -> (Town, Made) {
    let mut town = three();
    let mut info = Info::new(DisplayName::parse("Board").unwrap());
    info.history = history;
    // What is so already is no commit.
    if history > 0 {
        let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
        town.deliver(&made, &[1, 2]);
    }
    for (id, text) in [(1, "one"), (0, "two"), (2, "three"), (1, "four")] {
        town.say(id, text);
        town.run_all();
    }
    town.enrol("dave");
    (0..4).for_each(|id| town.grow(id));
    let made = town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    (town, made)
}

fn content(past: &GroupPast) -> GroupControl {
    GroupControl { group_id: GROUP.to_vec(), control: Some(Control::Past(past.clone())) }
}

/// What alice's device sends again to dave's.
fn pasts(town: &Town) -> Vec<GroupPast> {
    let sent = town.outbox(0).into_iter().filter(|(device, _)| *device == town.device(3));
    let past = |(_, control)| if let Control::Past(past) = control { Some(past) } else { None };
    sent.filter_map(past).collect()
}

fn message(town: &Town, id: u8, from: usize, text: &str) -> GroupPastMessage {
    let text = Some(Text { text: text.into(), ..Text::default() });
    let member = town.member(from).as_bytes().to_vec();
    GroupPastMessage { id: [id; 16].to_vec(), member, sent_at: 1, text }
}

fn history(town: &Town, id: usize) -> Vec<MessageRecord> {
    group_history(town.disk(id), &GROUP, 0, 1000).unwrap().entries
}

fn has_message_event(town: &Town, id: usize) -> bool {
    let all = events(town.disk(id), 1000).unwrap();
    all.iter().any(|(_, event)| matches!(event, Event::Message(record) if record.act.is_none()))
}

#[test]
fn a_joiner_takes_the_newest_from_who_added_it_and_from_nobody_else_r_content_17() {
    let (mut town, made) = joining(3);
    let [past] = <[GroupPast; 1]>::try_from(pasts(&town)).unwrap();
    let texts: Vec<_> = past.messages.iter().map(|it| it.text.clone().unwrap().text).collect();
    assert_eq!(texts, ["two", "three", "four"]);
    assert!(town.control_as_is(3, 0, &content(&past)), "before it is in: ignored");
    town.deliver(&made, &[1, 2, 3]);
    town.control_as_is(3, 1, &content(&past));
    assert!(town.heard(3).is_empty(), "bob has not added it");
    town.control_as_is(3, 0, &content(&past));
    assert_eq!(town.heard(3), ["two", "three", "four"]);
    let all = history(&town, 3);
    assert_eq!(read(&all[3]).unwrap().0, ActKind::Joined, "they stand before its joining");
    assert!(all[..3].iter().all(|record| record.resent == town.member(0).as_bytes()));
    assert_eq!(all[1].from, town.member(2).as_bytes());
    assert!(!has_message_event(&town, 3), "no news");
    let again = GroupPast { messages: vec![message(&town, 9, 1, "later")], first: 0, total: 1 };
    for past in [again.clone(), GroupPast { first: 2, total: 3, ..again }] {
        town.control_as_is(3, 0, &content(&past));
        assert_eq!(history(&town, 3), all, "once");
    }
    // Who was there already takes nothing.
    let before = history(&town, 1);
    town.control_as_is(1, 0, &content(&past));
    assert_eq!(history(&town, 1), before);
}

#[test]
fn what_the_policy_does_not_say_is_neither_sent_nor_taken_r_content_17() {
    let (mut town, made) = joining(0);
    assert!(pasts(&town).is_empty());
    town.deliver(&made, &[1, 2, 3]);
    let past = GroupPast { messages: vec![message(&town, 9, 1, "all the same")], first: 0, total: 1 };
    town.control_as_is(3, 0, &content(&past));
    assert!(town.heard(3).is_empty());
}

#[test]
fn a_past_that_says_too_much_or_speaks_for_the_joiner_is_not_believed_r_content_17() {
    let (mut town, made) = joining(6);
    town.deliver(&made, &[1, 2, 3]);
    let many: Vec<_> = (0..7).map(|id| message(&town, id, 1, "many")).collect();
    town.control_as_is(3, 0, &content(&GroupPast { messages: many, first: 0, total: 7 }));
    assert!(town.heard(3).is_empty(), "more than the policy says");
    let mut future = message(&town, 2, 1, "of tomorrow");
    future.sent_at = u64::MAX;
    let mut act = message(&town, 3, 1, "as the group");
    act.member = GROUP.to_vec();
    let mut short = message(&town, 4, 1, "without a name");
    short.id.pop();
    let own = message(&town, 1, 3, "in dave's name");
    let messages = vec![own, future, act, short, message(&town, 5, 1, "good"), message(&town, 5, 1, "twice")];
    town.control_as_is(3, 0, &content(&GroupPast { messages, first: 0, total: 6 }));
    let texts: Vec<String> =
        history(&town, 3).into_iter().filter_map(|it| it.text.map(|it| it.text)).collect();
    assert_eq!(texts, ["good"]);
}

#[test]
fn what_its_author_has_signed_takes_the_place_of_what_another_sent_again_r_content_17() {
    let (mut town, made) = joining(3);
    town.deliver(&made, &[1, 2, 3]);
    let id = town.say(1, "as bob wrote it");
    let altered = GroupPastMessage { id: id.to_vec(), ..message(&town, 0, 1, "as alice has it") };
    town.control_as_is(3, 0, &content(&GroupPast { messages: vec![altered], first: 0, total: 1 }));
    assert_eq!(town.heard(3), ["as alice has it"]);
    assert!(!has_message_event(&town, 3));
    town.run_all();
    assert_eq!(town.heard(3), ["as bob wrote it"], "once");
    assert!(history(&town, 3).iter().all(|record| record.resent.is_empty()));
    assert!(has_message_event(&town, 3));
}

#[test]
fn long_messages_come_in_several_contents_and_wait_for_the_welcome_r_content_17() {
    let mut town = three();
    let mut info = Info::new(DisplayName::parse("Board").unwrap());
    info.history = 4;
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1, 2]);
    let texts: Vec<String> = ["a", "b", "c"].iter().map(|it| it.repeat(30_000)).collect();
    for text in &texts {
        town.say(1, text);
    }
    town.run_all();
    town.enrol("dave");
    (0..4).for_each(|id| town.grow(id));
    town.snapshots_as_files = true;
    let made = town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    let pasts = pasts(&town);
    assert_eq!(pasts.iter().map(|it| (it.first, it.total)).collect::<Vec<_>>(), [(0, 3), (1, 3), (2, 3)]);
    for (_, device, control) in &made.contents {
        if *device == town.device(3) {
            let content = GroupControl { group_id: GROUP.to_vec(), control: Some(control.clone()) };
            town.control_as_is(3, 0, &content);
        }
    }
    for past in &pasts {
        town.control_as_is(3, 0, &content(past));
    }
    assert!(history(&town, 3).is_empty(), "the welcome waits for its file");
    town.run(3);
    assert!(town.heard(3) == texts);
    assert_eq!(town.acts(3), [ActKind::Joined]);
}

#[test]
fn what_somebody_has_sent_again_keeps_nothing_of_its_author_s_away_r_content_17() {
    let (mut town, made) = joining(6);
    town.deliver(&made, &[1, 2, 3]);
    // Alice knows of a message of bob's elsewhere, and is faster than he.
    let past = GroupPast { messages: vec![message(&town, 9, 1, "made up")], first: 0, total: 1 };
    town.control_as_is(3, 0, &content(&past));
    assert_eq!(town.heard(3), ["made up"]);
    let bob = town.member(1);
    let own = MessageRecord {
        id: vec![9; 16],
        conversation: bob.as_bytes().to_vec(),
        from: bob.as_bytes().to_vec(),
        text: Some(Text { text: "from bob".into(), ..Text::default() }),
        state: MessageState::Received as u32,
        ..MessageRecord::default()
    };
    assert!(town.act(3, |turn| append_message(turn.records, &own).unwrap()).is_some());
    let has_bobs = |town: &Town| {
        let with_bob = crate::messages::conversation(town.disk(3), &bob, 0, 9).unwrap();
        with_bob.iter().map(|it| it.text.clone().unwrap().text).collect::<Vec<_>>()
    };
    assert_eq!((has_bobs(&town), town.heard(3)), (vec!["from bob".into()], vec![]));
    // The control: what bob has sent himself nothing takes the place of.
    let elsewhere = MessageRecord { conversation: GROUP.to_vec(), group: GROUP.to_vec(), ..own };
    assert!(town.act(3, |turn| append_message(turn.records, &elsewhere).unwrap()).is_none());
    assert_eq!(has_bobs(&town), ["from bob"]);
}

#[test]
fn a_quote_of_what_was_deleted_is_not_sent_again_r_content_36() {
    let mut town = three();
    let mut info = Info::new(DisplayName::parse("Board").unwrap());
    info.history = 6;
    let made = town.commit(0, vec![set_info(&info)], Keying::Tree);
    town.deliver(&made, &[1, 2]);
    let of = |town: &Town, author: usize, id: [u8; 16]| MessageRef {
        author: town.member(author).as_bytes().to_vec(),
        id: id.to_vec(),
    };
    let id = town.say(1, "regretted");
    town.run_all();
    // Alice quotes it, and then bob takes it back.
    let reply_to = Some(ReplyTo { target: Some(of(&town, 1, id)), quote: "regretted".into() });
    let text = Text { text: "Really?".into(), reply_to, ..Text::default() };
    town.handle(0, Input::Compose(Composed { to: Place::Group(GROUP), message_id: [7; 16], text }));
    town.run_all();
    let gone = Act::Deletion(Deletion { target: Some(of(&town, 1, id)) });
    town.handle(1, Input::Act(ActDraft { message_id: [8; 16], act: gone }));
    town.run_all();
    town.enrol("dave");
    (0..4).for_each(|id| town.grow(id));
    town.commit(0, vec![add(&town.credential(3), Role::Member)], Keying::Tree);
    let sent: Vec<_> = pasts(&town).into_iter().flat_map(|past| past.messages).collect();
    assert_eq!(sent.len(), 1);
    let text = sent[0].text.clone().unwrap();
    assert_eq!((text.text.as_str(), text.reply_to.unwrap().quote.as_str()), ("Really?", ""));
}
