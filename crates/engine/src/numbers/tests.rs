//! Tests of numbers between two devices.

use alloc::collections::BTreeMap;

use super::*;

const DEVICE: DeviceId = DeviceId::new([1; 16]);
const NOW: Timestamp = Timestamp::from_millis(1_000_000);

fn message(id: u8) -> Content {
    Content { id: [id; 16].into(), ..Content::default() }
}

fn numbered(number: u64) -> Content {
    Content { number, ..message(u8::try_from(number % 251).unwrap()) }
}

#[test]
fn numbers_in_any_order_leave_what_is_missing_r_content_9() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    for number in [1, 2, 7, 5, 9, 5] {
        assert_eq!(hear(&mut records, &DEVICE, (&numbered(number), 0), NOW).unwrap().heard, Heard::Agreed);
    }
    let state = numbers(&records, &DEVICE).unwrap();
    let (highest, gaps) = missing(&state);
    let gaps: Vec<_> = gaps.iter().map(|range| (range.first, range.last)).collect();
    assert_eq!((state.received_up_to, highest, gaps), (2, 9, [(3, 4), (6, 6), (8, 8)].into()));
    assert_ne!(state.gap_since, 0);
    let gone = Content {
        gone: [NumberRange { first: 3, last: 6 }, NumberRange { first: 8, last: 8 }].into(),
        ..Content::default()
    };
    assert_eq!(hear(&mut records, &DEVICE, (&gone, 0), NOW).unwrap().lost, 4);
    let state = numbers(&records, &DEVICE).unwrap();
    assert_eq!((state.received_up_to, state.gap_since, state.above.len()), (9, 0, 0));
    assert_eq!(state.received_check, check(&[9; 16]));
}

#[test]
fn a_peer_that_skips_numbers_without_end_costs_a_bounded_record_r_content_10() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    for number in (1..1000).map(|i| i * 3).chain([u64::MAX, u64::MAX - 1, 0]) {
        hear(&mut records, &DEVICE, (&numbered(number), 0), NOW).unwrap();
    }
    assert!(numbers(&records, &DEVICE).unwrap().above.len() <= MAX_RANGES);
    let ranges = [NumberRange { first: 1, last: u64::MAX }; 1000];
    assert!(answer(&mut records, &DEVICE, (0, &ranges), 9).unwrap().gone.len() <= MAX_RANGES);
}

#[test]
fn numbers_that_cannot_be_true_count_for_nothing_r_content_11() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    complete(&mut records, &DEVICE, &mut message(1), NOW).unwrap();
    hear(&mut records, &DEVICE, (&numbered(1), 0), NOW).unwrap();
    let before = numbers(&records, &DEVICE).unwrap();
    let bad = MAX_JUMP + 2;
    let all = [NumberRange { first: 2, last: u64::MAX }];
    let lies = [
        (Content { gone: all.into(), ..Content::default() }, 0),
        (Content { sent: bad, ..Content::default() }, 0),
        (Content { acknowledged: bad, ..Content::default() }, 0),
        (numbered(bad), 0),
        (numbered(u64::MAX), 0),
        (Content::default(), u64::MAX),
    ];
    for (lie, highest) in lies {
        let heard = hear(&mut records, &DEVICE, (&lie, highest), NOW).unwrap();
        assert_eq!(heard, Hearing { heard: Heard::Refused, lost: 0, arrived: Vec::new() }, "{lie:?}");
        assert_eq!(numbers(&records, &DEVICE).unwrap(), before, "{lie:?}");
    }
    // What comes later is missed and asked for as before.
    hear(&mut records, &DEVICE, (&numbered(3), 0), NOW).unwrap();
    assert_eq!(missing(&numbers(&records, &DEVICE).unwrap()).1.len(), 1);
}

#[test]
fn what_there_is_no_room_for_is_neither_counted_nor_gone_r_engine_20() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    for id in 1..=3 {
        complete(&mut records, &DEVICE, &mut message(id), NOW).unwrap();
    }
    for _ in 0..9 {
        let none = answer(&mut records, &DEVICE, (0, &[]), 0).unwrap();
        assert_eq!((none.resend.len(), none.gone.len()), (0, 0));
    }
    let two = answer(&mut records, &DEVICE, (0, &[]), 2).unwrap();
    assert_eq!((two.resend.len(), two.gone.len()), (2, 0));
    let again = renumber(&mut records, &DEVICE, 9, 1).unwrap().resend;
    assert_eq!(again.iter().map(|resend| resend.number).collect::<Vec<_>>(), [10]);
    let resent = |number| {
        let sent = load::<SentRecord>(&records, &sent_key(&DEVICE, number)).unwrap();
        sent.map(|sent| (sent.message_id[0], sent.resent))
    };
    assert_eq!([10, 11, 12].map(resent), [Some((1, 2)), Some((2, 1)), Some((3, 0))]);
}

#[test]
fn an_acknowledgement_without_a_check_frees_only_what_is_gone_r_engine_18() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    for id in 1..=2 {
        complete(&mut records, &DEVICE, &mut message(id), NOW).unwrap();
    }
    let unchecked = |number| Content { acknowledged: number, ..Content::default() };
    assert_eq!(hear(&mut records, &DEVICE, (&unchecked(2), 0), NOW).unwrap().heard, Heard::Agreed);
    assert_eq!(number_of(&records, &DEVICE, &[2; 16]).unwrap(), 2, "this device has not said so");
    forget(&mut records, &DEVICE, &[2; 16]).unwrap();
    hear(&mut records, &DEVICE, (&unchecked(2), 0), NOW).unwrap();
    assert_eq!(number_of(&records, &DEVICE, &[1; 16]).unwrap(), 0);
    assert_eq!(numbers(&records, &DEVICE).unwrap().awaited_since, 0, "nothing is waited for");
}

#[test]
fn only_a_message_makes_a_device_a_recent_one_r_engine_25() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    hear(&mut records, &DEVICE, (&Content { sent: 1, ..Content::default() }, 0), NOW).unwrap();
    complete(&mut records, &DEVICE, &mut Content::default(), NOW).unwrap();
    assert_eq!(numbers(&records, &DEVICE).unwrap().active_at, 0);
    hear(&mut records, &DEVICE, (&numbered(1), 0), NOW).unwrap();
    assert_eq!(numbers(&records, &DEVICE).unwrap().active_at, NOW.as_millis());
}

#[test]
fn what_is_acknowledged_is_held_no_longer_r_engine_18() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&base);
    for id in 1..=5 {
        complete(&mut records, &DEVICE, &mut message(id), NOW).unwrap();
    }
    let up_to =
        |number, check| Content { acknowledged: number, acknowledged_check: check, ..Content::default() };
    assert_eq!(
        hear(&mut records, &DEVICE, (&up_to(2, check(&[2; 16])), 0), NOW).unwrap().heard,
        Heard::Agreed
    );
    let found = answer(&mut records, &DEVICE, (3, &[NumberRange { first: 1, last: 3 }]), 9).unwrap();
    let resent: Vec<_> = found.resend.iter().map(|resend| resend.number).collect();
    assert_eq!(resent, [3, 4, 5]);
    assert_eq!((found.gone[0].first, found.gone[0].last), (1, 2));
    for _ in 0..3 {
        answer(&mut records, &DEVICE, (4, &[]), 9).unwrap();
    }
    let spent = answer(&mut records, &DEVICE, (4, &[]), 9).unwrap();
    assert_eq!((spent.resend.len(), spent.gone.len()), (0, 1), "at most 3 times (R-ENGINE-20)");
    let of_another_time = up_to(4, check(&[9; 16]));
    assert_eq!(hear(&mut records, &DEVICE, (&of_another_time, 0), NOW).unwrap().heard, Heard::Disagreed(4));
    let beyond = up_to(40, 0);
    assert_eq!(hear(&mut records, &DEVICE, (&beyond, 0), NOW).unwrap().heard, Heard::Disagreed(40));
    let resent: Vec<_> = renumber(&mut records, &DEVICE, 40, 9)
        .unwrap()
        .resend
        .iter()
        .map(|r| (r.number, r.message_id[0]))
        .collect();
    assert_eq!(resent, [(41, 3), (42, 4)], "the fifth was sent again 3 times");
}

#[test]
fn what_comes_under_another_number_is_neither_missed_nor_lost_r_engine_18() {
    let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let (mut alice, mut bob) = (Overlay::new(&base), Overlay::new(&base));
    // Alice's store was put back to when she had given 8 numbers; Bob has had two others since.
    let before = NumbersRecord { last_sent: 8, first_held: 9, ..NumbersRecord::default() };
    save_numbers(&mut alice, &DEVICE, &before);
    for id in 109..=112 {
        complete(&mut alice, &DEVICE, &mut message(id), NOW).unwrap();
    }
    for number in 1..=10 {
        hear(&mut bob, &DEVICE, (&numbered(number), 0), NOW).unwrap();
    }
    let (mut acknowledgement, mut moved) = (Content::default(), Content::default());
    complete(&mut bob, &DEVICE, &mut acknowledgement, NOW).unwrap();
    let heard = hear(&mut alice, &DEVICE, (&acknowledgement, 0), NOW).unwrap().heard;
    assert_eq!(heard, Heard::Disagreed(10));
    let answer = renumber(&mut alice, &DEVICE, 10, 9).unwrap();
    let numbers_of: Vec<_> = answer.resend.iter().map(|resend| resend.number).collect();
    assert_eq!(numbers_of, [13, 14, 15, 16]);
    moved.moved = answer.moved;
    let mut lost = hear(&mut bob, &DEVICE, (&moved, 0), NOW).unwrap().lost;
    for number in numbers_of {
        lost += hear(&mut bob, &DEVICE, (&numbered(number), 0), NOW).unwrap().lost;
    }
    let state = numbers(&bob, &DEVICE).unwrap();
    assert_eq!((lost, state.received_up_to, state.gap_since), (0, 16, 0));
}
