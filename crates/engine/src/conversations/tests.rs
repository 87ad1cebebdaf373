use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::vec;

use chancery_wire::proto::{GroupActRecord, Text};

use super::*;
use crate::messages::{append_event, append_message, events, events_from, insert_message, message};
use crate::settled::{self, Settled, WhyFailed};
use crate::tables::{CONVERSATIONS, QUEUE_STATE};
use crate::{Event, member_list};

type Disk = BTreeMap<RecordKey, Vec<u8>>;

/// When everything is read.
const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const ME: MemberId = MemberId::new([1; 16]);
const BOB: MemberId = MemberId::new([2; 16]);
const CREW: MemberId = MemberId::new([3; 16]);

fn record(conversation: &MemberId, from: &MemberId, number: u64) -> MessageRecord {
    let state = if *from == ME { MessageState::Queued } else { MessageState::Received };
    MessageRecord {
        id: [[0; 8], number.to_be_bytes()].concat(),
        conversation: conversation.as_bytes().to_vec(),
        from: from.as_bytes().to_vec(),
        stored_at: number,
        text: Some(Text { text: "Tea?".into(), ..Text::default() }),
        state: state as u32,
        ..MessageRecord::default()
    }
}

fn append(records: &mut Overlay<'_>, conversation: &MemberId, from: &MemberId, number: u64) -> u64 {
    append_message(records, &record(conversation, from, number)).unwrap().unwrap()
}

fn unread(records: &dyn Records, conversation: &MemberId) -> u64 {
    let all = conversations(records).unwrap();
    all.iter().find(|it| it.conversation == *conversation).unwrap().unread
}

/// Counts the messages that bear the mark.
fn marked(records: &dyn Records, conversation: &MemberId) -> u64 {
    let all = history_before(records, conversation, None, usize::MAX).unwrap();
    all.iter().filter(|(_, record)| record.unread).count() as u64
}

#[test]
fn what_others_wrote_is_unread_and_nothing_else_r_engine_114() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    append(&mut records, &BOB, &BOB, 1);
    append(&mut records, &BOB, &ME, 2);
    append(&mut records, &CREW, &BOB, 3);
    let mut sent_elsewhere = record(&BOB, &ME, 4);
    sent_elsewhere.state = MessageState::Sent as u32;
    append_message(&mut records, &sent_elsewhere).unwrap().unwrap();
    let act = MessageRecord { act: Some(GroupActRecord::default().into()), ..record(&CREW, &CREW, 5) };
    append_message(&mut records, &act).unwrap().unwrap();
    let again = MessageRecord { resent: vec![9; 16], ..record(&CREW, &BOB, 6) };
    assert!(insert_message(&mut records, &again, 0).unwrap());
    assert_eq!((unread(&records, &BOB), unread(&records, &CREW)), (1, 1));
    assert!(append_message(&mut records, &record(&BOB, &BOB, 1)).unwrap().is_none(), "it comes again");
    assert_eq!(unread(&records, &BOB), 1);
}

#[test]
fn each_message_becomes_read_once_r_engine_115() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    for number in 0..6 {
        append(&mut records, &BOB, if number % 3 == 1 { &ME } else { &BOB }, number);
    }
    let read = |records: &mut Overlay<'_>, position| -> Vec<u8> {
        mark_read(records, (&BOB, position), NOW).unwrap().iter().map(|it| *it.id.last().unwrap()).collect()
    };
    assert_eq!(read(&mut records, 2), [0, 2]);
    assert_eq!((unread(&records, &BOB), read_up_to(&records, &BOB).unwrap()), (2, 3));
    assert_eq!(read(&mut records, 1), [], "further up");
    assert_eq!(read(&mut records, 2), [], "again");
    // Behind the end is the end, and what comes after that is unread.
    assert_eq!(read(&mut records, u64::MAX), [3, 5]);
    assert_eq!((unread(&records, &BOB), read_up_to(&records, &BOB).unwrap()), (0, 6));
    append(&mut records, &BOB, &BOB, 7);
    assert_eq!(unread(&records, &BOB), 1);
    assert_eq!(mark_read(&mut records, (&CREW, 5), NOW).unwrap(), [], "of nobody");
}

#[test]
fn counter_and_marks_agree_whatever_comes_goes_and_is_read_r_engine_114() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let mut seed = 7_u64;
    let mut below = move |most: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % most
    };
    for number in 0..400 {
        let end = Queue::new(CONVERSATION, CREW.as_bytes()).state(&records).unwrap().next;
        match below(6) {
            0 if end > 0 => {
                let again = MessageRecord { resent: vec![9; 16], ..record(&CREW, &BOB, number) };
                insert_message(&mut records, &again, below(end)).unwrap();
            }
            1 if end > 0 => drop(mark_read(&mut records, (&CREW, below(end)), NOW).unwrap()),
            2 if end > 0 => {
                // As if the message had expired.
                let queue = Queue::new(CONVERSATION, CREW.as_bytes());
                let place = queue.numbers(&records).unwrap().next();
                if let Some(place) = place {
                    let reference = records.get(&queue.item_key(place)).unwrap().unwrap();
                    let gone_now = messages::referenced(&records, &reference).unwrap();
                    queue.remove(&mut records, place).unwrap();
                    gone(&mut records, &gone_now).unwrap();
                }
            }
            3 => drop(append(&mut records, &CREW, &ME, number)),
            _ => drop(append(&mut records, &CREW, &BOB, number)),
        }
        let counted = conversation_summary(&records, &CREW).unwrap().unread;
        assert_eq!(counted, marked(&records, &CREW), "after {number}");
    }
    assert!(unread(&records, &CREW) > 0, "the test has left something");
}

#[test]
fn a_long_absence_is_read_in_several_goes() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    for number in 0..READ_AT_ONCE + 5 {
        append(&mut records, &BOB, &BOB, number);
    }
    assert_eq!(mark_read(&mut records, (&BOB, u64::MAX), NOW).unwrap().len() as u64, READ_AT_ONCE);
    assert_eq!(unread(&records, &BOB), 5);
    assert_eq!(mark_read(&mut records, (&BOB, u64::MAX), NOW).unwrap().len(), 5);
}

#[test]
fn a_history_is_read_from_its_end_without_gaps_r_engine_116() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    for number in 0..10 {
        append(&mut records, &BOB, &BOB, number);
    }
    let queue = Queue::new(CONVERSATION, BOB.as_bytes());
    for gone in [0, 5, 6] {
        queue.remove(&mut records, gone).unwrap();
    }
    let positions = |page: &Page<(u64, MessageRecord)>| -> Vec<u64> {
        page.iter()
            .map(|(position, record)| {
                assert_eq!(record.stored_at, *position);
                *position
            })
            .collect()
    };
    let newest = history_before(&records, &BOB, None, 3).unwrap();
    assert_eq!((positions(&newest), newest.next), (vec![7, 8, 9], Some(7)));
    let before = history_before(&records, &BOB, newest.next, 3).unwrap();
    assert_eq!((positions(&before), before.next), (vec![2, 3, 4], Some(2)));
    let first = history_before(&records, &BOB, before.next, 3).unwrap();
    assert_eq!((positions(&first), first.next), (vec![1], None));
    assert!(history_before(&records, &BOB, Some(1), 3).unwrap().is_empty());
    assert!(history_before(&records, &CREW, None, 3).unwrap().is_empty());
}

#[test]
fn the_newest_conversation_stands_first_whatever_the_clock_says() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    append(&mut records, &BOB, &BOB, 50);
    append(&mut records, &CREW, &BOB, 7);
    let order = |records: &Overlay<'_>| -> Vec<MemberId> {
        conversations(records).unwrap().iter().map(|it| it.conversation).collect()
    };
    assert_eq!(order(&records), [CREW, BOB]);
    append(&mut records, &BOB, &ME, 3);
    assert_eq!(order(&records), [BOB, CREW]);
    mark_read(&mut records, (&CREW, 9), NOW).unwrap();
    assert_eq!(order(&records), [BOB, CREW], "reading moves nothing");
    let newest = conversations(&records).unwrap().remove(0).last.unwrap();
    assert_eq!((newest.0, newest.1.stored_at), (1, 3));
}

/// Counts what is read.
struct Counted<'a>(&'a Overlay<'a>, core::cell::Cell<usize>);

impl Records for Counted<'_> {
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, chancery_wire::records::RecordsError> {
        self.1.set(self.1.get().saturating_add(1));
        self.0.get(key)
    }
}

#[test]
fn a_thousand_conversations_are_listed_without_reading_their_histories() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let with = |at: u16| {
        MemberId::new([[at.to_be_bytes()[0]; 8], [at.to_be_bytes()[1]; 8]].concat().try_into().unwrap())
    };
    for at in 0..1000 {
        for number in 0..20 {
            append(&mut records, &with(at), &with(at), number);
        }
    }
    let counted = Counted(&records, core::cell::Cell::new(0));
    let listed = conversations(&counted).unwrap();
    assert_eq!((listed.len(), listed[0].conversation, listed[0].unread), (1000, with(999), 20));
    assert!(counted.1.get() <= 6 * 1000 + 10, "{} records read", counted.1.get());
}

#[test]
fn a_store_without_a_list_gets_one_in_which_everything_is_read_r_engine_117() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    append(&mut records, &BOB, &BOB, 1);
    append(&mut records, &CREW, &BOB, 2);
    append(&mut records, &BOB, &BOB, 3);
    let mut old = Disk::new();
    for (name, value) in records.into_batch() {
        let kept = [MESSAGE_TABLE, CONVERSATION, CONVERSATIONS, QUEUE_STATE].contains(&name.table);
        if let Some(value) = value.filter(|_| kept) {
            old.insert(name, value);
        }
    }
    let mut records = Overlay::new(&old);
    let listed = conversations(&records).unwrap();
    let seen: Vec<_> = listed.iter().map(|it| (it.conversation, it.unread)).collect();
    assert_eq!(seen, [(BOB, 0), (CREW, 0)]);
    append(&mut records, &CREW, &BOB, 4);
    let seen: Vec<_> =
        conversations(&records).unwrap().iter().map(|it| (it.conversation, it.unread)).collect();
    assert_eq!(seen, [(CREW, 1), (BOB, 0)]);
    assert_eq!(mark_read(&mut records, (&CREW, 1), NOW).unwrap().len(), 1);
}

const MESSAGE_TABLE: chancery_wire::records::Table = crate::tables::MESSAGE;

#[test]
fn a_draft_stays_until_it_is_emptied_r_engine_118() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    append(&mut records, &CREW, &BOB, 1);
    keep_draft(&mut records, &BOB, "Dear Bob").unwrap();
    let listed = conversations(&records).unwrap();
    assert_eq!((listed[0].conversation, listed[0].draft.as_deref()), (BOB, Some("Dear Bob")));
    assert_eq!((listed[0].last.clone(), listed[0].unread), (None, 0));
    append(&mut records, &CREW, &BOB, 2);
    assert_eq!(conversations(&records).unwrap()[0].conversation, CREW, "a draft is not what is newest");
    let long = "x".repeat(content::MAX_TEXT + 1);
    assert_eq!(keep_draft(&mut records, &BOB, &long), Err(EngineError::TooLarge));
    assert_eq!(conversation_summary(&records, &BOB).unwrap().draft, Some("Dear Bob".to_owned()));
    keep_draft(&mut records, &BOB, "").unwrap();
    assert_eq!(conversations(&records).unwrap().len(), 1, "nothing is left of it");
}

#[test]
fn an_own_message_tells_once_that_it_was_sent_or_has_failed_r_engine_119() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let (queued, mut sent) = (MessageState::Queued as u32, record(&BOB, &ME, 1));
    settled::note(&mut records, queued, &sent, WhyFailed::Relay).unwrap();
    assert_eq!(events(&records, 9).unwrap(), [], "it waits");
    sent.state = MessageState::Sent as u32;
    settled::note(&mut records, queued, &sent, WhyFailed::Relay).unwrap();
    settled::note(&mut records, sent.state, &sent, WhyFailed::Relay).unwrap();
    let failed = MessageRecord { state: MessageState::Failed as u32, ..record(&CREW, &ME, 2) };
    settled::note(&mut records, queued, &failed, WhyFailed::Group).unwrap();
    append(&mut records, &BOB, &BOB, 3);
    let came = message(&records, &BOB, &record(&BOB, &BOB, 3).id).unwrap().unwrap();
    append_event(&mut records, &came).unwrap();
    let told: Vec<_> = events(&records, 9)
        .unwrap()
        .into_iter()
        .filter_map(|(_, event)| match event {
            Event::Settled(Settled { conversation, id, failed }) => Some((conversation, id[15], failed)),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(BOB, 1, None), (CREW, 2, Some(WhyFailed::Group))]);
    assert_eq!(events(&records, 9).unwrap().len(), 3);
}

#[test]
fn what_is_gone_hides_no_event_from_a_number_on_r_engine_120() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let mut come = |number: u64, expired: bool| {
        let record = MessageRecord { expired, ..record(&BOB, &BOB, number) };
        append_message(&mut records, &record).unwrap().unwrap();
        append_event(&mut records, &record).unwrap();
    };
    for number in 0..4 {
        come(number, true);
    }
    come(4, false);
    come(5, false);
    let numbers = |from, most| -> Vec<u64> {
        events_from(&records, from, most).unwrap().into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(numbers(0, 1), [4]);
    assert_eq!(numbers(0, 9), [4, 5]);
    assert_eq!(numbers(5, 9), [5]);
    assert_eq!(numbers(6, 9), [0; 0]);
}

#[test]
fn events_of_own_messages_fill_no_store_of_somebody_who_takes_none() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let sent = MessageRecord { state: MessageState::Sent as u32, ..record(&BOB, &ME, 1) };
    for _ in 0..10_005 {
        settled::note(&mut records, MessageState::Queued as u32, &sent, WhyFailed::Relay).unwrap();
    }
    assert_eq!(messages::next_event(&records).unwrap(), 10_000);
}

#[test]
fn a_directory_that_was_read_before_there_was_a_list_is_read_once_more() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    save_number(&mut records, key(crate::tables::DIRECTORY_CURSOR, &[]), 77);
    assert_eq!(crate::directory_cursor(&records).unwrap(), 0);
    member_list::begin(&mut records).unwrap();
    assert_eq!(crate::directory_cursor(&records).unwrap(), 77);
}

#[test]
fn members_are_listed_by_handle_and_found_by_any_part_of_what_they_are_called() {
    use chancery_wire::proto::DirectoryRecord;
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    let people = [("dora", "Dora Diaz", "Sales"), ("bob", "Robert Roe", ""), ("carol", "Carol", "SALES")];
    for (at, (handle, name, unit)) in people.into_iter().enumerate() {
        let id = MemberId::new([u8::try_from(at).unwrap(); 16]);
        let place = key(crate::tables::DIRECTORY, &[id.as_bytes()]);
        let [handle, name, unit] = [handle, name, unit].map(ToOwned::to_owned);
        save(&mut records, place.clone(), &DirectoryRecord { handle, name, unit, ..Default::default() });
        member_list::enter(&mut records, &id, &place).unwrap();
        member_list::enter(&mut records, &id, &place).unwrap();
    }
    let listed = |filter: &str, after| -> Vec<String> {
        let found = crate::members(&records, filter, after).unwrap();
        found.into_iter().map(|member| member.handle).collect()
    };
    assert_eq!(listed("", None), ["bob", "carol", "dora"]);
    assert_eq!(listed("", Some("bob")), ["carol", "dora"]);
    assert_eq!(listed("sales", None), ["carol", "dora"]);
    assert_eq!(listed("ROE", None), ["bob"]);
    assert_eq!(listed("nobody", None), Vec::<String>::new());
}

#[test]
fn events_come_though_many_of_messages_that_are_gone_lie_before_them_r_engine_120() {
    let disk = Disk::new();
    let mut records = Overlay::new(&disk);
    for number in 0..5 {
        append(&mut records, &BOB, &BOB, number);
        append_event(&mut records, &record(&BOB, &BOB, number)).unwrap();
    }
    assert_eq!(events(&records, 3).unwrap().len(), 3, "the control");
    for number in 0..4 {
        let gone = message(&records, &BOB, &record(&BOB, &BOB, number).id).unwrap().unwrap();
        retention::forget(&mut records, &gone).unwrap();
    }
    let numbers: Vec<u64> = events(&records, 3).unwrap().iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [4]);
}
