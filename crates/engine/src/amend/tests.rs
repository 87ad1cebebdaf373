//! Acts in every order, by whom they may not be done, and for messages that never come.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec;
use core::time::Duration;

use chancery_wire::proto::{Attachment, Form, FormField, FormValue, Mention, Text};
use chancery_wire::records::RecordKey;

use super::*;
use crate::messages::{Event, append_message, conversation, events};

type Disk = BTreeMap<RecordKey, Vec<u8>>;

const ALICE: MemberId = MemberId::new([1; 16]);
const BOB: MemberId = MemberId::new([2; 16]);
const GROUP: [u8; 16] = [9; 16];
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn the_form() -> MessageRecord {
    let form = Form {
        title: "Lunch".into(),
        fields: vec![FormField { id: "ok".into(), kind: 4, required: true, ..FormField::default() }],
    };
    let mut message = the_message();
    message.text.as_mut().unwrap().form = Some(form);
    message
}

fn the_message() -> MessageRecord {
    let file =
        Attachment { blob_id: vec![1; 16], key: vec![2; 32], preview: vec![7], ..Attachment::default() };
    MessageRecord {
        id: vec![5; 16],
        conversation: GROUP.to_vec(),
        group: GROUP.to_vec(),
        from: ALICE.as_bytes().to_vec(),
        sent_at: 10,
        stored_at: NOW.as_millis(),
        text: Some(Text { text: "first".into(), attachments: vec![file], ..Text::default() }),
        state: MessageState::Received as u32,
        paths: vec!["/x".into()],
        // As it is stored.
        unread: true,
        ..MessageRecord::default()
    }
}

/// The message as it is stored: it keeps its mark and place whatever is done to it, and whatever has waited for it.
fn stored() -> MessageRecord {
    MessageRecord { position: 1, ..the_message() }
}

fn target() -> Option<MessageRef> {
    Some(reference(&the_message()))
}

fn said(from: MemberId, number: u8, sent_at: u64, act: Act) -> Heard {
    let (id, conversation) = (vec![number; 16], GROUP.to_vec());
    Heard { from, id, sent_at, conversation, act: MessageAct { act: Some(act) } }
}

fn edit(from: MemberId, number: u8, sent_at: u64, text: &str) -> Heard {
    let mention = Mention { start: 0, length: 1, member_id: vec![2; 16] };
    said(
        from,
        number,
        sent_at,
        Act::Edit(Edit { target: target(), text: text.into(), mentions: vec![mention] }),
    )
}

fn react_by(from: MemberId, number: u8, sent_at: u64, emoji: &str, remove: bool) -> Heard {
    said(from, number, sent_at, Act::Reaction(Reaction { target: target(), emoji: emoji.into(), remove }))
}

fn delete(from: MemberId, number: u8) -> Heard {
    said(from, number, 30, Act::Deletion(Deletion { target: target() }))
}

fn answer_by(from: MemberId, number: u8, sent_at: u64, value: &str) -> Heard {
    let values = vec![FormValue { field: "ok".into(), value: value.into() }];
    said(from, number, sent_at, Act::Answer(FormAnswer { target: target(), values }))
}

/// The record after the message, at `place` of them, and the acts have come in this order.
fn after(acts: &[&Heard], place: usize) -> MessageRecord {
    after_of(&the_message(), acts, place)
}

fn after_of(new: &MessageRecord, acts: &[&Heard], place: usize) -> MessageRecord {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    for (at, act) in acts.iter().enumerate() {
        if at == place {
            append_message(&mut records, new).unwrap();
        }
        receive(&mut records, act, NOW).unwrap();
    }
    if place >= acts.len() {
        append_message(&mut records, new).unwrap();
    }
    assert_eq!(waiting::index(&records).unwrap().entries.len(), 0);
    message(&records, &ALICE, &[5; 16]).unwrap().unwrap()
}

fn permutations<'a>(acts: &[&'a Heard]) -> Vec<Vec<&'a Heard>> {
    let Some((first, rest)) = acts.split_first() else { return vec![vec![]] };
    let mut all = Vec::new();
    for order in permutations(rest) {
        for at in 0..=order.len() {
            let mut order = order.clone();
            order.insert(at, first);
            all.push(order);
        }
    }
    all
}

fn always(acts: &[&Heard]) -> MessageRecord {
    always_of(&the_message(), acts)
}

fn always_of(new: &MessageRecord, acts: &[&Heard]) -> MessageRecord {
    let first = after_of(new, acts, 0);
    for order in permutations(acts) {
        for place in 0..=order.len() {
            assert_eq!(after_of(new, &order, place), first);
        }
    }
    first
}

#[test]
fn every_order_of_arrival_ends_in_the_same_record_r_content_21() {
    let (old, new) = (edit(ALICE, 1, 20, "old"), edit(ALICE, 2, 21, "new"));
    let (up, down) = (react_by(BOB, 3, 20, "👍", false), react_by(BOB, 4, 21, "👍", true));
    let (heart, yes, no) =
        (react_by(ALICE, 5, 20, "❤", false), answer_by(BOB, 6, 20, "yes"), answer_by(BOB, 7, 21, "no"));
    let record = always(&[&old, &new, &up, &down, &heart]);
    let text = record.text.as_ref().unwrap();
    assert_eq!((text.text.as_str(), record.edited_at, record.edit.as_slice()), ("new", 21, &[2; 16][..]));
    assert_eq!((text.attachments.len(), text.mentions.len()), (1, 1), "an edit leaves the files");
    let standing: Vec<_> =
        record.reactions.iter().filter(|it| !it.removed).map(|it| it.emoji.as_str()).collect();
    assert_eq!(standing, ["❤"]);
    let record = always_of(&the_form(), &[&yes, &no, &old, &up]);
    assert_eq!(record.answers.len(), 1);
    assert_eq!(record.answers[0].values[0].value, "no");
    assert_eq!((record.edited_at, record.text.unwrap().text.as_str()), (0, "first"), "as it was answered");
    // Of the same time, the larger identifier counts.
    let (one, two) = (edit(ALICE, 1, 20, "one"), edit(ALICE, 2, 20, "two"));
    assert_eq!(always(&[&one, &two]).text.unwrap().text, "two");
}

#[test]
fn what_was_deleted_counts_as_unread_no_more_whenever_its_deletion_comes_r_engine_114() {
    let unread = |acts: &[&Heard], place: usize| {
        let disk = Disk::new();
        let mut records = Overlay::new(&disk);
        for (at, act) in acts.iter().enumerate() {
            if at == place {
                append_message(&mut records, &the_message()).unwrap();
            }
            receive(&mut records, act, NOW).unwrap();
        }
        if place >= acts.len() {
            append_message(&mut records, &the_message()).unwrap();
        }
        let summary = conversations::conversation_summary(&records, &MemberId::new(GROUP)).unwrap();
        (summary.unread, message(&records, &ALICE, &[5; 16]).unwrap().unwrap().unread)
    };
    let (edited, deleted) = (edit(ALICE, 1, 20, "new"), delete(ALICE, 2));
    assert_eq!(unread(&[&edited], 0), (1, true), "the control");
    assert_eq!(unread(&[&edited], 1), (1, true));
    for place in 0..=2 {
        assert_eq!(unread(&[&edited, &deleted], place), (0, false), "{place}");
    }
}

#[test]
fn a_deletion_wins_over_everything_and_leaves_a_tombstone_r_content_23() {
    let (old, new) = (edit(ALICE, 1, 20, "old"), edit(ALICE, 2, 99, "later than the deletion"));
    let (up, gone) = (react_by(BOB, 3, 20, "👍", false), delete(ALICE, 4));
    let record = always(&[&old, &new, &gone, &up]);
    let tombstone = MessageRecord { text: None, paths: vec![], deleted: true, unread: false, ..stored() };
    assert_eq!(record, tombstone);
    let body = content::of_record(&record, false).body;
    assert_eq!(body, Some(Body::Deletion(Deletion { target: target() })), "what is sent again of it");
}

#[test]
fn nobody_edits_or_deletes_what_another_wrote_r_content_22() {
    let (edited, deleted) = (edit(BOB, 1, 20, "forged"), delete(BOB, 2));
    assert_eq!(always(&[&edited, &deleted]), stored());
    // The same by the author counts.
    assert_eq!(after(&[&edit(ALICE, 1, 20, "mine")], 0).text.unwrap().text, "mine");
    assert!(after(&[&delete(ALICE, 2)], 0).deleted);
    // Nor do they wait, should the message come.
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    receive(&mut records, &edited, NOW).unwrap();
    receive(&mut records, &deleted, NOW).unwrap();
    assert!(waiting::index(&records).unwrap().entries.is_empty());
}

#[test]
fn an_act_counts_in_the_conversation_of_its_target_alone_r_content_20() {
    let elsewhere = |mut heard: Heard| {
        heard.conversation = ALICE.as_bytes().to_vec();
        heard
    };
    let acts = [
        elsewhere(edit(ALICE, 1, 20, "x")),
        elsewhere(delete(ALICE, 2)),
        elsewhere(react_by(BOB, 3, 20, "👍", false)),
    ];
    assert_eq!(always(&acts.iter().collect::<Vec<_>>()), stored());
}

#[test]
fn an_answer_that_does_not_fit_its_form_counts_for_nothing_r_content_26() {
    let form = MessageRecord { position: 1, ..the_form() };
    assert_eq!(after_of(&the_form(), &[&answer_by(BOB, 1, 20, "perhaps")], 0), form);
    assert_eq!(after_of(&the_form(), &[&answer_by(BOB, 1, 20, "yes")], 0).answers.len(), 1);
    assert_eq!(always(&[&answer_by(BOB, 1, 20, "yes")]), stored(), "nothing was asked");
}

#[test]
fn reactions_are_bounded_by_member_and_message_in_any_order_r_content_21() {
    let emoji = |number: u64| number.to_string();
    let mut flood: Vec<Heard> =
        (0..40).map(|n| react_by(BOB, u8::try_from(n).unwrap(), 100 + n, &emoji(n), n % 3 == 0)).collect();
    let members = (0..600_u16).map(|n| {
        let mut id = [0xA0; 16];
        id[..2].copy_from_slice(&n.to_be_bytes());
        react_by(MemberId::new(id), 1, 50, "👍", false)
    });
    flood.extend(members);
    let forth = after(&flood.iter().collect::<Vec<_>>(), 0);
    let back = after(&flood.iter().rev().collect::<Vec<_>>(), 0);
    assert_eq!(forth, back);
    assert_eq!(forth.reactions.len(), MAX_REACTIONS);
    let of_bob = forth.reactions.iter().filter(|it| it.member_id == BOB.as_bytes());
    assert_eq!(of_bob.count(), MAX_REACTIONS_OF_MEMBER);
}

#[test]
fn what_waits_for_messages_that_never_come_is_bounded_and_pushes_out_nobody_elses_r_engine_101() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    receive(&mut records, &react_by(BOB, 1, 20, "👍", false), NOW).unwrap();
    let mallory = MemberId::new([6; 16]);
    for (count, length) in [(1_200_u64, 1), (150, MAX_TEXT)] {
        for n in 0..count {
            let id = [&[0; 8][..], &n.to_be_bytes()].concat();
            let target = Some(MessageRef { author: mallory.as_bytes().to_vec(), id });
            let text: String = "x".repeat(length);
            let act = Act::Edit(Edit { target, text, mentions: vec![] });
            receive(&mut records, &said(mallory, 1, n, act), NOW).unwrap();
        }
        let index = waiting::index(&records).unwrap();
        let bytes: u64 = index.entries.iter().map(|it| it.length).sum();
        assert!(index.entries.len() <= waiting::MAX_WAITING && bytes <= waiting::MAX_BYTES, "{bytes}");
        assert!(index.entries.iter().any(|it| it.from == BOB.as_bytes()));
        // Nothing is left of what was dropped.
        let stored = |number: &u64| {
            let name = key(crate::tables::ACT_WAITING, &[&number.to_be_bytes()]);
            records.get(&name).unwrap().is_some()
        };
        assert_eq!((0..index.next).filter(stored).count(), index.entries.len());
    }
    append_message(&mut records, &the_message()).unwrap();
    assert_eq!(message(&records, &ALICE, &[5; 16]).unwrap().unwrap().reactions.len(), 1);
    let later = NOW.after(MAX_WAIT);
    upkeep(&mut records, later).unwrap();
    assert!(waiting::index(&records).unwrap().entries.is_empty());
}

#[test]
fn a_change_is_an_event_with_the_message_as_it_is_now_r_engine_104() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    append_message(&mut records, &the_message()).unwrap();
    receive(&mut records, &edit(ALICE, 1, 20, "new"), NOW).unwrap();
    let effects = receive(&mut records, &edit(ALICE, 1, 20, "new"), NOW).unwrap();
    assert!(effects.is_empty(), "a second time it changes nothing");
    let found = events(&records, 9).unwrap();
    let [(_, Event::MessageChanged { message, by, kind })] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        (message.text.as_ref().unwrap().text.as_str(), *by, *kind),
        ("new", ALICE, ChangeKind::Edited)
    );
    assert_eq!(conversation(&records, &MemberId::new(GROUP), 0, 9).unwrap().len(), 1);
}

#[test]
fn what_is_malformed_is_refused_and_a_text_keeps_its_words_r_content_19_r_content_20() {
    let heard = |body: Body, id: &[u8]| {
        let content = Content { id: id.to_vec(), body: Some(body), ..Content::default() };
        read(content, (&BOB, &ALICE), Some(&GROUP)).is_some()
    };
    let short = Some(MessageRef { author: vec![1; 15], id: vec![1; 16] });
    let reaction =
        |target, emoji: &str| Body::Reaction(Reaction { target, emoji: emoji.into(), remove: false });
    for emoji in ["👍", "👩\u{200D}💻", "❤\u{FE0F}"] {
        assert!(heard(reaction(target(), emoji), &[1; 16]), "{emoji}");
    }
    for (target, emoji) in [
        (short, "👍"),
        (None, "👍"),
        (target(), ""),
        (target(), "\n"),
        (target(), "\u{202E}👍"),
        (target(), "\u{2028}"),
        (target(), &"x".repeat(33)),
    ] {
        assert!(!heard(reaction(target, emoji), &[1; 16]), "{emoji:?}");
    }
    assert!(!heard(reaction(target(), "👍"), &[1; 15]));
    let long = Edit { target: target(), text: "x".repeat(MAX_TEXT + 1), mentions: vec![] };
    assert!(!heard(Body::Edit(long), &[1; 16]));
    let mention = |start, length, id: u8| Mention { start, length, member_id: vec![id; 16] };
    let wrong = Mention { member_id: vec![1; 3], ..mention(0, 1, 1) };
    let mentions =
        vec![wrong, mention(0, 1, 1), mention(0, 2, 2), mention(1, 2, 3), mention(2, 9, 4), mention(2, 1, 5)];
    let text = Text { text: "éab".into(), mentions, ..Text::default() };
    let left: Vec<u8> = content::clean(text).unwrap().mentions.iter().map(|it| it.member_id[0]).collect();
    assert_eq!(left, [2, 5], "on whole characters, disjoint, within the text");
}

#[test]
fn policy_lets_neither_own_acts_nor_what_waits_be_kept_for_longer_r_engine_103() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let own = |number: u8, state: MessageState| MessageRecord {
        id: vec![number; 16],
        from: BOB.as_bytes().to_vec(),
        stored_at: NOW.as_millis(),
        done: Some(edit(BOB, number, 1, "my words").act.into()),
        state: state as u32,
        ..MessageRecord::default()
    };
    assert!(store_own(&mut records, &own(1, MessageState::Sent)).unwrap());
    assert!(store_own(&mut records, &own(2, MessageState::Queued)).unwrap());
    assert!(!store_own(&mut records, &own(2, MessageState::Queued)).unwrap(), "an identifier is used once");
    receive(&mut records, &edit(ALICE, 1, 20, "waits"), NOW).unwrap();
    let day = Duration::from_secs(86_400);
    let left = |records: &Overlay<'_>| {
        let held = [1, 2].map(|n| message(records, &BOB, &[n; 16]).unwrap().is_some());
        (held, waiting::index(records).unwrap().entries.len())
    };
    let before = Timestamp::from_millis(NOW.as_millis() + 86_399_999);
    let limits = Limits { retention: Some(day), disappearing: None };
    expire(&mut records, limits, before).unwrap();
    assert_eq!(left(&records), ([true, true], 1));
    expire(&mut records, limits, NOW.after(day)).unwrap();
    assert_eq!(left(&records), ([false, true], 0), "what is not sent yet is");
}

#[test]
fn an_own_act_is_dated_later_than_what_it_replaces_r_engine_102() {
    // Of another device of theirs, whose clock is ahead.
    let acts = [
        edit(ALICE, 1, 5_000_000, "x"),
        react_by(BOB, 2, 6_000_000, "👍", false),
        answer_by(BOB, 3, 7_000_000, "yes"),
    ];
    let acts_of = |message: &MessageRecord| after_of(message, &acts.iter().collect::<Vec<_>>(), 0);
    let (record, asked) = (acts_of(&the_message()), acts_of(&the_form()));
    let dated = |own: &MemberId, like: &Heard| {
        let act = like.act.act.as_ref().unwrap();
        let target = if matches!(act, Act::Answer(_)) { &asked } else { &record };
        sent_at(target, own, act, NOW)
    };
    let [edit, reaction, answer] = &acts;
    assert_eq!(
        (dated(&ALICE, edit), dated(&BOB, reaction), dated(&BOB, answer)),
        (5_000_001, 6_000_001, 7_000_001)
    );
    assert_eq!(
        (dated(&ALICE, reaction), dated(&ALICE, answer)),
        (NOW.as_millis(), NOW.as_millis()),
        "others' are none of it"
    );
}

#[test]
fn what_this_device_said_of_a_message_goes_when_that_does_r_engine_103() {
    for (like, deletes) in [
        (edit(BOB, 1, 20, "my words"), false),
        (answer_by(BOB, 1, 20, "yes"), false),
        (edit(BOB, 1, 20, "my words"), true),
    ] {
        let disk = Disk::new();
        let mut records = Overlay::new(&disk);
        let asks = matches!(like.act.act, Some(Act::Answer(_)));
        // Edits are of an own message.
        let author = if asks { ALICE } else { BOB };
        let new = MessageRecord {
            from: author.as_bytes().to_vec(),
            ..if asks { the_form() } else { the_message() }
        };
        append_message(&mut records, &new).unwrap();
        let mut act = like.act.clone();
        match act.act.as_mut().unwrap() {
            Act::Edit(it) => it.target = Some(reference(&new)),
            Act::Answer(it) => it.target = Some(reference(&new)),
            _ => unreachable!(),
        }
        let own = MessageRecord {
            id: like.id.clone(),
            from: BOB.as_bytes().to_vec(),
            stored_at: NOW.as_millis(),
            done: Some(act.clone().into()),
            state: MessageState::Sent as u32,
            ..MessageRecord::default()
        };
        store_own(&mut records, &own).unwrap();
        receive(&mut records, &Heard { act, ..like }, NOW).unwrap();
        let kept = |records: &Overlay<'_>| message(records, &BOB, &own.id).unwrap().unwrap().done;
        assert!(kept(&records).is_some());
        if deletes {
            let gone = Deletion { target: Some(reference(&new)) };
            receive(&mut records, &said(BOB, 2, 30, Act::Deletion(gone.clone())), NOW).unwrap();
            let sent_again = kept(&records).and_then(|done| done.act);
            assert_eq!(sent_again, Some(Act::Deletion(gone)), "the control: what others have goes as well");
            continue;
        }
        let now = message(&records, &author, &new.id).unwrap().unwrap();
        crate::retention::forget(&mut records, &now).unwrap();
        assert!(kept(&records).is_none(), "nor is it sent again");
        assert!(message(&records, &BOB, &own.id).unwrap().unwrap().expired);
    }
}

#[test]
fn a_clock_that_is_set_right_loses_nothing_that_waits_and_keeps_nothing_for_ever_r_engine_101_r_engine_103() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let ahead = NOW.after(Duration::from_secs(400 * 86_400));
    receive(&mut records, &delete(ALICE, 1), ahead).unwrap();
    let own = |number: u8, stored_at: Timestamp, state: MessageState| MessageRecord {
        id: vec![number; 16],
        from: BOB.as_bytes().to_vec(),
        stored_at: stored_at.as_millis(),
        done: Some(edit(BOB, number, 1, "my words").act.into()),
        state: state as u32,
        ..MessageRecord::default()
    };
    for (number, at, state) in
        [(1, ahead, MessageState::Sent), (2, NOW, MessageState::Queued), (3, NOW, MessageState::Sent)]
    {
        store_own(&mut records, &own(number, at, state)).unwrap();
    }
    upkeep(&mut records, NOW).unwrap();
    upkeep(&mut records, NOW.after(MAX_WAIT)).unwrap();
    let left = [1, 2, 3].map(|n| message(&records, &BOB, &[n; 16]).unwrap().is_some());
    assert_eq!(left, [false, true, false], "what waits to be sent holds nothing up");
    // The same for what waits here, which goes after its time and not before.
    let mut records = Overlay::new(&disk);
    receive(&mut records, &delete(ALICE, 1), ahead).unwrap();
    upkeep(&mut records, NOW).unwrap();
    upkeep(&mut records, Timestamp::from_millis(NOW.after(MAX_WAIT).as_millis() - 1)).unwrap();
    append_message(&mut records, &the_message()).unwrap();
    assert!(message(&records, &ALICE, &[5; 16]).unwrap().unwrap().deleted);
    receive(
        &mut records,
        &said(
            ALICE,
            2,
            30,
            Act::Deletion(Deletion { target: Some(MessageRef { id: vec![8; 16], ..target().unwrap() }) }),
        ),
        ahead,
    )
    .unwrap();
    upkeep(&mut records, NOW).unwrap();
    upkeep(&mut records, NOW.after(MAX_WAIT)).unwrap();
    assert!(waiting::index(&records).unwrap().entries.is_empty());
}

#[test]
fn what_comes_from_the_author_keeps_no_answer_to_what_it_does_not_ask_r_content_26() {
    let asked =
        MessageRecord { resent: vec![9; 16], ..after_of(&the_form(), &[&answer_by(BOB, 1, 20, "yes")], 0) };
    let mut same = the_form();
    carry(&asked, &mut same);
    assert_eq!(same.answers.len(), 1, "the control");
    let mut other = the_form();
    other.text.as_mut().unwrap().form.as_mut().unwrap().fields[0].kind = 3;
    carry(&asked, &mut other);
    assert!(other.answers.is_empty());
    let edited = after(&[&edit(ALICE, 1, 20, "another question")], 0);
    let mut form = the_form();
    carry(&edited, &mut form);
    assert_eq!(form, the_form(), "a form is not edited");
}

#[test]
fn a_form_reads_as_it_is_r_content_25() {
    let sound = the_form().text.unwrap().form.unwrap();
    assert!(form::is_sound(&sound));
    for turned in ["\u{202E}yes", "a\u{2066}b", "two\nlines", "\u{1b}[2J"] {
        let changed = |change: &dyn Fn(&mut Form)| {
            let mut form = sound.clone();
            form.fields[0].kind = 2;
            form.fields[0].options = vec!["one".into()];
            assert!(form::is_sound(&form));
            change(&mut form);
            form::is_sound(&form)
        };
        let accepted = [
            changed(&|form| form.title = turned.into()),
            changed(&|form| form.fields[0].label = turned.into()),
            changed(&|form| form.fields[0].id = turned.into()),
            changed(&|form| form.fields[0].options = vec![turned.into()]),
        ];
        assert_eq!(accepted, [false; 4], "{turned:?}");
    }
}
