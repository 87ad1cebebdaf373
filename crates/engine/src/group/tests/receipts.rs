//! Whose receipts count and for what, in groups and conversations.

use alloc::vec::Vec;

use super::*;
use crate::messages::append_message;
use crate::receipts;
use chancery_identity::MemberId;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{
    Content, ConversationTimer, MemberReceipt, MessageRecord, OwnSettings, Receipt, Text, Typing,
    own_settings::What,
};

const READ: u32 = 1;

fn target(author: &MemberId, id: &[u8]) -> Vec<u8> {
    [author.as_bytes().as_slice(), id].concat()
}

/// A device says something to another, over their session.
fn says(town: &mut Town, from: usize, to: usize, body: Body) -> Vec<Effect> {
    let (member, sent_at) = (town.member(from), town.now.as_millis());
    let content = Content { sent_at, body: Some(body), ..Content::default() };
    town.act(to, |turn| receipts::hear(turn.me.device, turn.records, (&member, &content), turn.now).unwrap())
}

fn reads(town: &mut Town, from: usize, to: usize, targets: Vec<Vec<u8>>) -> Vec<Effect> {
    says(town, from, to, Body::Receipt(Receipt { kind: READ, targets }))
}

/// A message that a device has, of one conversation.
fn stored(town: &mut Town, at: usize, (from, with): (usize, usize), id: u8) -> [u8; 16] {
    let (own, from, with) = (town.member(at), town.member(from), town.member(with));
    let is_own = from == own;
    let record = MessageRecord {
        id: vec![id; 16],
        conversation: with.as_bytes().to_vec(),
        from: from.as_bytes().to_vec(),
        stored_at: town.now.as_millis(),
        text: Some(Text::default()),
        state: if is_own { MessageState::Sent } else { MessageState::Received } as u32,
        unread: !is_own,
        ..MessageRecord::default()
    };
    town.act(at, |turn| append_message(turn.records, &record).unwrap().unwrap());
    [id; 16]
}

/// Who has read a message by its author's device.
fn readers(town: &Town, author: usize, id: &[u8]) -> Vec<MemberId> {
    let record = message(town.disk(author), &town.member(author), id).unwrap().unwrap();
    let read = record.receipts.iter().filter(|it| it.read_at != 0);
    read.map(|it| MemberId::from_bytes(&it.member_id).unwrap()).collect()
}

#[test]
fn a_receipt_counts_from_its_recipient_alone_and_for_its_conversation_r_content_29() {
    let mut town = three();
    let (alice, bob) = (town.member(0), town.member(1));
    let to_bob = stored(&mut town, 0, (0, 1), 1);
    let of_bob = stored(&mut town, 0, (1, 1), 2);
    let before = town.disk(0).clone();
    // Carol was not written to; a target of bob's is not alice's to have read; of what is unknown nothing is kept.
    assert!(reads(&mut town, 2, 0, vec![target(&alice, &to_bob)]).is_empty());
    assert!(reads(&mut town, 2, 0, vec![target(&bob, &of_bob)]).is_empty());
    assert!(reads(&mut town, 1, 0, vec![target(&bob, &of_bob), target(&alice, &[9; 16])]).is_empty());
    assert!(*town.disk(0) == before, "nothing has changed");
    // The control: bob's counts, once.
    let told = reads(&mut town, 1, 0, vec![target(&alice, &to_bob)]);
    assert!(matches!(told[..], [Effect::Notify(Notice::EventStored(_))]), "{told:?}");
    assert_eq!(readers(&town, 0, &to_bob), [bob]);
    let before = town.disk(0).clone();
    assert!(reads(&mut town, 1, 0, vec![target(&alice, &to_bob)]).is_empty());
    assert!(*town.disk(0) == before);
}

#[test]
fn nobody_else_marks_what_a_member_has_read_or_sets_what_it_tells_r_content_31_r_content_35() {
    let mut town = three();
    let bob = town.member(1);
    let id = stored(&mut town, 0, (1, 1), 3);
    let is_unread = |town: &Town| message(town.disk(0), &bob, &id).unwrap().unwrap().unread;
    let before = town.disk(0).clone();
    for from in [1, 2] {
        assert!(reads(&mut town, from, 0, vec![target(&bob, &id)]).is_empty());
        let timer = ConversationTimer { conversation: bob.as_bytes().to_vec(), seconds: 1, changed_at: 1 };
        let settings = OwnSettings { what: Some(What::Timer(timer)) };
        assert_eq!(
            says(&mut town, from, 0, Body::Settings(settings)),
            [Effect::Notify(Notice::Undecryptable)]
        );
    }
    assert!(is_unread(&town) && *town.disk(0) == before);
    // The control: the own member's other device.
    reads(&mut town, 0, 0, vec![target(&bob, &id)]);
    assert!(!is_unread(&town));
    let timer = ConversationTimer { conversation: bob.as_bytes().to_vec(), seconds: 1, changed_at: 1 };
    assert!(says(&mut town, 0, 0, Body::Settings(OwnSettings { what: Some(What::Timer(timer)) })).is_empty());
    assert_eq!(receipts::disappearing(town.disk(0), &bob), Ok(Some(SECOND)));
}

#[test]
fn in_a_group_whoever_was_in_it_when_it_was_sealed_may_say_that_it_was_read_r_content_29() {
    let mut town = Town::new(&["alice", "bob", "carol", "dave"]);
    town.found(0);
    let made = town.commit(0, vec![add(&town.credential(1), Role::Member)], Keying::Tree);
    town.deliver(&made, &[1]);
    let id = town.say(0, "to bob");
    town.run(0).iter().for_each(|envelope| drop(town.give(1, envelope)));
    let (alice, bob) = (town.member(0), town.member(1));
    let made = town.commit(0, vec![add(&town.credential(2), Role::Member)], Keying::Tree);
    town.deliver(&made, &[1, 2]);
    for from in [2, 3] {
        assert!(reads(&mut town, from, 0, vec![target(&alice, &id)]).is_empty(), "not in it then");
    }
    assert!(readers(&town, 0, &id).is_empty());
    assert_eq!(reads(&mut town, 1, 0, vec![target(&alice, &id)]).len(), 1);
    assert_eq!(readers(&town, 0, &id), [bob]);
    // What is said to carol as well, carol may say of.
    let later = town.say(0, "to both");
    town.run(0);
    assert_eq!(reads(&mut town, 2, 0, vec![target(&alice, &later)]).len(), 1);
}

#[test]
fn a_receipt_names_at_most_256_messages_r_content_29() {
    let mut town = three();
    let alice = town.member(0);
    let id = stored(&mut town, 0, (0, 1), 1);
    let many = |count: u32| {
        let others = (1..count).map(|number| target(&alice, &u128::from(number).to_be_bytes()));
        others.chain([target(&alice, &id)]).collect()
    };
    let refused = [Effect::Notify(Notice::Undecryptable)];
    assert_eq!(reads(&mut town, 1, 0, many(257)), refused);
    assert_eq!(reads(&mut town, 1, 0, vec![id.to_vec()]), refused, "no author");
    assert!(readers(&town, 0, &id).is_empty());
    assert!(says(&mut town, 1, 0, Body::Receipt(Receipt { kind: 9, targets: many(2) })).is_empty());
    assert!(readers(&town, 0, &id).is_empty(), "of a later kind");
    assert_eq!(reads(&mut town, 1, 0, many(256)).len(), 1);
}

#[test]
fn of_writing_only_what_is_new_is_told_r_content_32() {
    let mut town = three();
    let typing = |town: &mut Town, after| {
        let member = town.member(1);
        let body = Some(Body::Typing(Typing { stopped: false }));
        let content = Content { sent_at: town.now.as_millis(), body, ..Content::default() };
        town.wait(after);
        town.act(0, |turn| {
            receipts::hear(turn.me.device, turn.records, (&member, &content), turn.now).unwrap().len()
        })
    };
    assert_eq!((typing(&mut town, 15 * SECOND), typing(&mut town, 16 * SECOND)), (1, 0));
    town.wait(16 * SECOND);
    let (member, sent_at) = (town.member(1), town.now.as_millis() + 16_000);
    let body = Some(Body::Typing(Typing { stopped: false }));
    let ahead = Content { sent_at, body, ..Content::default() };
    let told = town
        .act(0, |turn| receipts::hear(turn.me.device, turn.records, (&member, &ahead), turn.now).unwrap());
    assert!(told.is_empty(), "of a clock far ahead");
}

#[test]
fn a_message_keeps_the_receipts_of_100_members_r_engine_107() {
    for (known, counted) in [(99, 100), (100, 100)] {
        let mut town = three();
        let (alice, bob) = (town.member(0), town.member(1));
        let id = stored(&mut town, 0, (0, 1), 1);
        town.act(0, |turn| {
            let mut record = message(turn.records, &alice, &id).unwrap().unwrap();
            let of = |n: u128| MemberReceipt { member_id: n.to_be_bytes().to_vec(), ..Default::default() };
            record.receipts = (0..known).map(of).collect();
            crate::messages::save_message(turn.records, &record);
        });
        reads(&mut town, 1, 0, vec![target(&alice, &id)]);
        let record = message(town.disk(0), &alice, &id).unwrap().unwrap();
        assert_eq!(record.receipts.len(), counted);
        assert_eq!(readers(&town, 0, &id).contains(&bob), known < 100);
    }
}
