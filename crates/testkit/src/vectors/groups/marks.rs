//! Marks, by which members notice over their sessions that they are in different groups (R-GROUP-27).

use chancery_group::{Head, Mark, judge_mark, limit::MAX_EPOCH, mark};
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::super::book::{sample, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::state::{Results, items, result};

pub(super) const KINDS: &[Kind] =
    &[Kind { name: "group-mark-read", requirements: &["R-GROUP-22", "R-GROUP-27"], compute: read }];

pub(super) fn drafts() -> Vec<Draft> {
    let (own, other) = (sample("epoch name", 32), sample("another epoch name", 32));
    let mark = |name: &str, epoch: u64, transcript: &[u8]| {
        let mark = encode(&proto::GroupMark { epoch, transcript: transcript.to_vec() });
        json!({ "name": name, "mark": hex(&mark) })
    };
    let marks = json!([
        mark("the same", 7, &own),
        mark("another name for the same epoch", 7, &other),
        mark("a later epoch", 8, &other),
        mark("the highest epoch", MAX_EPOCH, &other),
        mark("an epoch above the highest", MAX_EPOCH + 1, &other),
        mark("an earlier epoch", 6, &other),
        mark("no epoch", 0, &other),
        mark("a name of 31 bytes", 7, &own[..31]),
        mark("a name of 33 bytes", 7, &[own.as_slice(), &[0]].concat()),
        mark("no name", 7, b""),
    ]);
    let inputs = json!({ "epoch": 7, "epoch_name": sample_hex("epoch name", 32), "marks": marks });
    vec![("group-marks-read".into(), "group-mark-read", inputs)]
}

/// What the document says of a mark.
fn judged(own: (u64, &[u8]), (epoch, name): (u64, &[u8])) -> Option<&'static str> {
    if name.len() != 32 || epoch == 0 || epoch > 1 << 62 {
        return None;
    }
    Some(match epoch.cmp(&own.0) {
        std::cmp::Ordering::Greater => "behind",
        std::cmp::Ordering::Less => "ahead",
        std::cmp::Ordering::Equal if name == own.1 => "same",
        std::cmp::Ordering::Equal => "forked",
    })
}

fn read(inputs: &Inputs<'_>) -> Computation {
    let (epoch, name) = (inputs.number("epoch")?, inputs.bytes("epoch_name")?);
    let head = Head { epoch, transcript: name.clone(), ..Head::default() };
    let mut results = Results::new();
    for item in items(inputs, "marks")? {
        let read = decode::<proto::GroupMark>(&item.bytes("mark")?, Limit::FRAME);
        let read = read.map_err(|e| e.to_string())?.into_unchecked();
        let ours = judge_mark(&head, &read).map(|it| match it {
            Mark::Same => "same",
            Mark::Forked => "forked",
            Mark::Behind => "behind",
            Mark::Ahead => "ahead",
        });
        let book = judged((epoch, &name), (read.epoch, &read.transcript));
        same("judgement", book.unwrap_or("").as_bytes(), ours.unwrap_or("").as_bytes())?;
        let judged = ours.map(|it| json!({ "judgement": it })).map_err(|e| e.to_string());
        results.push(result(item.text("name")?, judged));
    }
    let mut computed = Computed::default();
    computed.out("own", &encode(&mark(&head)));
    computed.out("results", Value::Array(results));
    Ok(computed)
}
