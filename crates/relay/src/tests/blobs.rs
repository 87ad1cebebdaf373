//! Blobs: uploaded in order, resumed, closed, limited and ended.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::delivery::BLOB_TOKEN_NAME;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{World, refusal, token};
use crate::limits::BLOB_OVERHEAD;
use crate::{Limits, Rate, Storage as _};

fn put(blob: u8, offset: u64, part: &[u8], last: bool) -> Request {
    let (blob_id, part, token) = (vec![blob; 16], part.to_vec(), token(&BLOB_TOKEN_NAME));
    Request::PutBlob(proto::PutBlob { blob_id, offset, part, last, token })
}

fn get(blob: u8, offset: u64, length: u32) -> Request {
    Request::GetBlob(proto::GetBlob { blob_id: vec![blob; 16], offset, length })
}

fn status(length: u64, complete: bool) -> Body {
    Body::BlobStatus(proto::BlobStatus { length, complete })
}

fn part(part: &[u8], length: u64) -> Body {
    Body::BlobPart(proto::BlobPart { part: part.to_vec(), length })
}

#[test]
fn a_blob_is_put_in_parts_and_read_in_parts_once_complete() {
    let mut world = World::new();
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(1, 0, b"", false)), status(0, false), "R-RELAY-30: a question");
    assert_eq!(world.ask(connection, put(1, 0, b"hello ", false)), status(6, false), "R-RELAY-30");
    assert_eq!(world.ask(connection, get(1, 0, 10)), refusal(RefusalCode::NotFound), "R-RELAY-32");
    assert_eq!(world.ask(connection, put(1, 6, b"world", true)), status(11, true));
    assert_eq!(world.ask(connection, get(1, 0, 5)), part(b"hello", 11), "R-RELAY-32");
    assert_eq!(world.ask(connection, get(1, 6, 500)), part(b"world", 11));
    assert_eq!(world.ask(connection, get(1, 11, 1)), part(b"", 11));
    assert_eq!(world.ask(connection, get(1, 12, 1)), refusal(RefusalCode::BadRequest));
    assert_eq!(world.ask(connection, get(2, 0, 1)), refusal(RefusalCode::NotFound));
    assert_eq!(world.ask(connection, put(3, 0, b"", true)), refusal(RefusalCode::BadRequest), "R-RELAY-30");
    assert_eq!(world.ask(connection, get(3, 0, 1)), refusal(RefusalCode::NotFound), "it left nothing behind");
    assert_eq!(world.storage.totals().unwrap().blobs, 1);
}

#[test]
fn parts_that_are_repeated_are_confirmed_and_others_conflict() {
    let mut world = World::new();
    let connection = world.anonymous();
    let conflict = refusal(RefusalCode::Conflict);
    world.ask(connection, put(1, 0, b"hello ", false));
    assert_eq!(world.ask(connection, put(1, 0, b"hello ", false)), status(6, false), "R-RELAY-31");
    assert_eq!(world.ask(connection, put(1, 0, b"HELLO ", false)), conflict, "R-RELAY-31");
    assert_eq!(world.ask(connection, put(1, 7, b"x", false)), conflict, "a gap");
    assert_eq!(world.ask(connection, put(1, 3, b"lo world", false)), conflict, "an overlap");
    assert_eq!(world.ask(connection, put(1, u64::MAX, b"x", false)), refusal(RefusalCode::BadRequest));
    assert_eq!(world.ask(connection, put(1, 6, b"world", true)), status(11, true));
    assert_eq!(world.ask(connection, put(1, 6, b"world", true)), status(11, true), "R-RELAY-31");
    assert_eq!(world.ask(connection, put(1, 0, b"hello ", false)), status(11, true));
}

#[test]
fn a_complete_blob_never_changes() {
    let mut world = World::new();
    let connection = world.anonymous();
    let conflict = refusal(RefusalCode::Conflict);
    world.ask(connection, put(1, 0, b"all", true));
    for request in
        [put(1, 3, b"more", false), put(1, 3, b"more", true), put(1, 0, b"ALL", true), put(1, 0, b"al", true)]
    {
        assert_eq!(world.ask(connection, request), conflict, "R-RELAY-31");
    }
    assert_eq!(world.ask(connection, get(1, 0, 9)), part(b"all", 3));
}

#[test]
fn blobs_have_their_limits() {
    let limits = Limits { blob_bytes: 8, all_blob_bytes: 10 + 2 * BLOB_OVERHEAD, ..Limits::default() };
    let mut world = World::with(limits);
    let connection = world.anonymous();
    assert_eq!(
        world.ask(connection, put(1, 0, &[1; 9], false)),
        refusal(RefusalCode::TooLarge),
        "R-RELAY-20"
    );
    assert_eq!(world.ask(connection, put(1, 0, &[1; 8], true)), status(8, true));
    assert_eq!(world.ask(connection, put(2, 0, &[1; 3], true)), refusal(RefusalCode::QuotaExceeded));
    assert_eq!(world.ask(connection, put(2, 0, &[1; 2], true)), status(2, true));
    let long = vec![0; 256 * 1024 + 1];
    assert_eq!(world.ask(connection, put(3, 0, &long, true)), refusal(RefusalCode::TooLarge), "R-RELAY-20");
}

#[test]
fn every_blob_costs_something_of_the_quota_and_their_number_has_an_end() {
    // R-RELAY-20
    let full = refusal(RefusalCode::QuotaExceeded);
    let limits = Limits { all_blob_bytes: 3 * BLOB_OVERHEAD, ..Limits::default() };
    let mut world = World::with(limits);
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(1, 0, b"x", true)), status(1, true));
    assert_eq!(world.ask(connection, put(2, 0, b"x", false)), status(1, false));
    assert_eq!(world.ask(connection, put(3, 0, b"x", true)), full);
    assert_eq!(world.ask(connection, put(2, 1, b"x", true)), status(2, true), "one that is there goes on");
    let mut world = World::with(Limits { blobs: 2, ..Limits::default() });
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(1, 0, b"x", true)), status(1, true));
    assert_eq!(world.ask(connection, put(2, 0, b"x", false)), status(1, false));
    assert_eq!(world.ask(connection, put(3, 0, b"x", false)), full);
    assert_eq!(world.ask(connection, put(2, 1, b"x", true)), status(2, true));
    world.wait(Duration::from_secs(91 * 24 * 3_600));
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(3, 0, b"x", true)), status(1, true));
}

fn later(answer: Body) -> bool {
    matches!(answer, Body::Refused(refused) if refused.code == RefusalCode::RateLimited.code() && refused.retry_after_ms > 0)
}

#[test]
fn one_connection_begins_and_all_complete_only_so_many_blobs_r_relay_40() {
    let limits = Limits {
        blobs_begun: Rate { per_second: 1, burst: 2 },
        blobs_completed: Rate { per_second: 1, burst: 3 },
        ..Limits::default()
    };
    let mut world = World::with(limits);
    let (one, other) = (world.anonymous(), world.anonymous());
    assert_eq!(world.ask(one, put(1, 0, b"x", false)), status(1, false));
    assert_eq!(world.ask(one, put(2, 0, b"x", true)), status(1, true));
    assert!(later(world.ask(one, put(3, 0, b"x", false))));
    assert_eq!(world.ask(one, put(3, 0, b"", false)), status(0, false), "and nothing was begun");
    assert_eq!(world.ask(one, put(1, 1, b"x", true)), status(2, true), "going on is free");
    assert_eq!(world.ask(other, put(4, 0, b"x", true)), status(1, true), "others are not concerned");
    assert!(later(world.ask(other, put(5, 0, b"x", true))), "three were completed");
    world.now = world.now.after(Duration::from_secs(2));
    assert_eq!(world.ask(other, put(5, 0, b"x", true)), status(1, true));
}

#[test]
fn whoever_connects_again_begins_no_more_blobs_r_relay_40() {
    let limits = Limits {
        blobs_begun: Rate { per_second: 1, burst: 2 },
        all_blobs_begun: Rate { per_second: 1, burst: 3 },
        ..Limits::default()
    };
    let mut world = World::with(limits);
    let mut begun = 0;
    for blob in 0..20 {
        let connection = world.anonymous();
        match world.ask(connection, put(blob, 0, b"x", false)) {
            answer if answer == status(1, false) => begun += 1,
            answer => assert!(later(answer)),
        }
    }
    assert_eq!(begun, 3);
    world.now = world.now.after(Duration::from_secs(1));
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(100, 0, b"x", false)), status(1, false));
}

#[test]
fn what_was_begun_and_left_keeps_out_no_blob_that_is_put_whole_r_relay_20() {
    let mut world = World::with(Limits { incomplete_blobs: 2, ..Limits::default() });
    let connection = world.anonymous();
    world.ask(connection, put(1, 0, b"x", false));
    world.ask(connection, put(2, 0, b"x", false));
    assert_eq!(world.ask(connection, put(3, 0, b"x", false)), refusal(RefusalCode::QuotaExceeded));
    assert_eq!(world.ask(connection, put(4, 0, b"x", true)), status(1, true));
    assert_eq!(world.ask(connection, put(1, 1, b"x", false)), status(2, false), "one that is there goes on");
    assert_eq!(world.ask(connection, put(2, 1, b"x", true)), status(2, true));
    assert_eq!(world.ask(connection, put(3, 0, b"x", false)), status(1, false), "there is a place again");
}

#[test]
fn a_frame_carries_a_quarter_of_a_mebibyte() {
    let mut world = World::new();
    let connection = world.anonymous();
    let content: Vec<u8> = (0..400_000_u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    let (first, second) = content.split_at(256 * 1024);
    world.ask(connection, put(1, 0, first, false));
    world.ask(connection, put(1, 256 * 1024, second, true));
    assert_eq!(world.ask(connection, get(1, 0, u32::MAX)), part(first, 400_000), "R-RELAY-20");
    assert_eq!(world.ask(connection, get(1, 256 * 1024, u32::MAX)), part(second, 400_000));
}

#[test]
fn incomplete_blobs_end_after_a_day_and_complete_ones_after_ninety() {
    let mut world = World::new();
    let connection = world.anonymous();
    world.ask(connection, put(1, 0, b"x", false));
    world.ask(connection, put(2, 0, b"x", true));
    world.wait(Duration::from_secs(25 * 3_600));
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, put(1, 0, b"", false)), status(0, false), "R-RELAY-19");
    assert_eq!(world.ask(connection, get(2, 0, 1)), part(b"x", 1));
    world.wait(Duration::from_secs(88 * 24 * 3_600));
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, get(2, 0, 1)), part(b"x", 1), "R-RELAY-19");
    world.wait(Duration::from_secs(2 * 24 * 3_600));
    let connection = world.anonymous();
    assert_eq!(world.ask(connection, get(2, 0, 1)), refusal(RefusalCode::NotFound), "R-RELAY-19");
}
