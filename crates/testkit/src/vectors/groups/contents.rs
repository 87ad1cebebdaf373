//! Contents of groups: messages, and what goes over sessions (R-CONTENT-14 to R-CONTENT-17).

use chancery_wire::proto::{Content, content::Body, group_control::Control};
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::super::book::{sample, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::state::{Results, items, result};
use crate::crew::NOW;

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "group-content",
        requirements: &["R-CONTENT-14", "R-CONTENT-16", "R-CONTENT-17", "R-GROUP-17", "R-GROUP-19"],
        compute,
    },
    Kind { name: "group-content-read", requirements: &["R-CONTENT-14", "R-CONTENT-16"], compute: read },
    Kind { name: "group-past-read", requirements: &["R-CONTENT-17"], compute: read_past },
];

/// A field of bytes as protobuf has it; none if it is empty.
pub(crate) fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { inner(number, bytes) }
}

/// A field that stands there also if it is empty: a message in another.
pub(crate) fn inner(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

pub(crate) fn count(number: u64, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [varint(number << 3), varint(value)].concat() }
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

/// One message of those that are sent again.
fn past_message(number: u8) -> Value {
    json!({ "id": sample_hex(&format!("past {number}"), 16), "member_id": sample_hex("author", 16),
        "sent_at": NOW.as_millis() - 1_000 * u64::from(10 - number), "text": format!("message {number}") })
}

fn past(numbers: std::ops::Range<u8>, first: u32, total: u32) -> Value {
    let messages: Vec<_> = numbers.map(past_message).collect();
    json!({ "control": "past", "sent_at": NOW.as_millis(), "group_id": sample_hex("group", 16),
        "messages": messages, "first": first, "total": total })
}

pub(super) fn drafts() -> Vec<Draft> {
    let control = |name: &str, mut inputs: Value| {
        (inputs["control"], inputs["sent_at"]) = (json!(name), json!(NOW.as_millis()));
        inputs["group_id"] = json!(sample_hex("group", 16));
        inputs
    };
    let message = json!({ "control": "none", "id": sample_hex("id", 16), "sent_at": NOW.as_millis(), "number": 300,
        "text": "Good morning" });
    let commit = sample_hex("commit", 32);
    let hand_out = |first: u32, count: u32| {
        let secret = sample_hex("secret", 32);
        json!({ "epoch": 7, "commit": commit, "secret": secret, "first": first, "count": count })
    };
    let need = |commit: &str| json!({ "epoch": 7, "transcript": sample_hex("name", 32), "commit": commit });
    let request = json!({ "body": sample_hex("order", 90), "signature": sample_hex("signature", 3373) });
    let all = [
        ("message", message),
        ("hand-out-to-a-helper", control("hand-out", hand_out(64, 32))),
        ("hand-out-to-one", control("hand-out", hand_out(0, 0))),
        ("need", control("need", need(&commit))),
        ("need-of-an-unknown-commit", control("need", need(""))),
        ("request", control("request", request)),
        ("past", past(0..2, 3, 5)),
    ];
    let mut drafts: Vec<Draft> =
        all.into_iter().map(|(id, it)| (format!("group-content-{id}"), "group-content", it)).collect();
    drafts.push(("group-contents-read".into(), "group-content-read", reading()));
    drafts.extend(pasts());
    drafts
}

fn content_of(inputs: &Value) -> Content {
    let inputs = inputs.as_object().expect("named");
    let bytes = build(&Inputs(inputs)).expect("sound").1;
    decode(&bytes, Limit::CONTENT).expect("ours").into_unchecked()
}

fn reading() -> Value {
    let drafts = |name: &str| {
        let message = json!({ "control": name, "id": sample_hex("id", 16), "sent_at": NOW.as_millis(), "number": 9,
            "text": "Hello", "group_id": sample_hex("group", 16), "messages": [], "first": 0, "total": 0 });
        content_of(&message)
    };
    let item = |name: &str, over: &str, content: &Content| json!({ "name": name, "over": over, "content": hex(&encode(content)) });
    let (message, past) = (drafts("none"), drafts("past"));
    let with = |group: &dyn Fn(&mut proto::GroupControl)| {
        let mut content = past.clone();
        let Some(Body::Group(control)) = &mut content.body else { unreachable!("it has one") };
        group(control);
        content
    };
    let of_session = Content { acknowledged: 5, log_size: 7, awaits: true, ..message.clone() };
    let heal = Content { body: Some(Body::Heal(proto::Heal::default())), ..message.clone() };
    let contents = [
        item("a message", "group", &message),
        item("with fields of sessions, which are ignored", "group", &of_session),
        item("of a kind that is not known", "group", &Content { body: None, ..message.clone() }),
        item(
            "with a conversation",
            "group",
            &Content { conversation: sample("author", 16), ..message.clone() },
        ),
        item("an identifier of 15 bytes", "group", &Content { id: sample("id", 15), ..message.clone() }),
        item("a heal among messages of a group", "group", &heal),
        item(
            "a control among messages of a group",
            "group",
            &Content { id: sample("id", 16), ..past.clone() },
        ),
        item("a control", "session", &past),
        item("a group of 15 bytes", "session", &with(&|it| it.group_id.truncate(15))),
        item("a group of 17 bytes", "session", &with(&|it| it.group_id.push(0))),
        item("without a group", "session", &with(&|it| it.group_id.clear())),
        item("without a control", "session", &with(&|it| it.control = None)),
    ];
    json!({ "contents": contents })
}

fn pasts() -> Vec<Draft> {
    let own = sample("own", 16);
    let draft = |id: &str, history: u32, contents: Vec<(&str, Value)>| {
        let contents: Vec<_> = contents
            .into_iter()
            .map(|(name, it)| json!({ "name": name, "content": hex(&encode(&content_of(&it))) }))
            .collect();
        let inputs = json!({ "own_member_id": hex(&own), "known_member_ids": [sample_hex("author", 16)],
            "now": NOW.as_millis(), "history": history, "contents": contents });
        (format!("group-past-{id}"), "group-past-read", inputs)
    };
    let changed = |name: &str, value: Value| {
        let mut all = past(0..2, 0, 2);
        all["messages"][0][name] = value;
        all
    };
    let long = json!("a".repeat(32 * 1024 + 1));
    vec![
        draft(
            "whole",
            10,
            vec![("first", past(0..2, 0, 3)), ("last", past(2..3, 2, 3)), ("more", past(3..4, 3, 4))],
        ),
        draft(
            "places",
            10,
            vec![
                ("past the total", past(0..3, 0, 2)),
                ("later ones", past(2..3, 2, 4)),
                ("a place passed over", past(1..2, 1, 4)),
                ("the same place again", past(2..3, 2, 4)),
                ("total exceeded", past(3..5, 3, 5)),
                ("the last", past(3..4, 3, 9)),
            ],
        ),
        draft(
            "history",
            2,
            vec![("more than the policy allows", past(0..3, 0, 3)), ("as many", past(0..2, 0, 3))],
        ),
        draft("none", 0, vec![("though there is no history", past(0..1, 0, 1))]),
        draft("own", 10, vec![("of the own member", changed("member_id", json!(hex(&own))))]),
        draft("unknown", 10, vec![("of nobody", changed("member_id", json!(sample_hex("nobody", 16))))]),
        draft("identifier", 10, vec![("of 15 bytes", changed("id", json!(sample_hex("past 0", 15))))]),
        draft("twice", 10, vec![("two of one identifier", changed("id", json!(sample_hex("past 1", 16))))]),
        draft("ahead", 10, vec![("ahead of the clock", changed("sent_at", json!(NOW.as_millis() + 1)))]),
        draft("long", 10, vec![("longer than a text may be", changed("text", long))]),
    ]
}

/// Returns a content as the document's fields have it, and as our messages are encoded.
fn build(inputs: &Inputs<'_>) -> Result<(Vec<u8>, Vec<u8>), String> {
    let sent_at = inputs.number("sent_at")?;
    let text = |inputs: &Inputs<'_>| {
        inputs.text("text").map(|text| {
            (field(1, text.as_bytes()), proto::Text { text: text.into(), ..proto::Text::default() })
        })
    };
    if inputs.text("control")? == "none" {
        let (id, number, (book, text)) = (inputs.bytes("id")?, inputs.number("number")?, text(inputs)?);
        let book = [field(1, &id), count(2, sent_at), count(4, number), inner(10, &book)].concat();
        let ours = Content { id, sent_at, number, body: Some(Body::Text(text)), ..Content::default() };
        return Ok((book, encode(&ours)));
    }
    let (place, book, control) = match inputs.text("control")? {
        "hand-out" => {
            let (epoch, commit, secret) =
                (inputs.number("epoch")?, inputs.bytes("commit")?, inputs.bytes("secret")?);
            let (first, slots) = (inputs.small("first")?, inputs.small("count")?);
            let book = [
                count(1, epoch),
                field(2, &commit),
                field(3, &secret),
                count(4, first.into()),
                count(5, slots.into()),
            ];
            let ours = proto::GroupHandOut { epoch, commit, secret, first, count: slots };
            (3, book.concat(), Control::HandOut(ours))
        }
        "need" => {
            let (epoch, transcript, commit) =
                (inputs.number("epoch")?, inputs.bytes("transcript")?, inputs.bytes("commit")?);
            let book = [count(1, epoch), field(2, &transcript), field(3, &commit)].concat();
            (4, book, Control::Need(proto::GroupNeed { epoch, transcript, commit }))
        }
        "request" => {
            let (body, signature) = (inputs.bytes("body")?, inputs.bytes("signature")?);
            let book = inner(1, &[field(1, &body), field(2, &signature)].concat());
            (
                6,
                book,
                Control::Request(proto::GroupRequest { order: Some(proto::Signed { body, signature }) }),
            )
        }
        "past" => {
            let (first, total) = (inputs.small("first")?, inputs.small("total")?);
            let (mut book, mut messages) = (Vec::new(), Vec::new());
            for item in items(inputs, "messages")? {
                let (id, member, sent_at) =
                    (item.bytes("id")?, item.bytes("member_id")?, item.number("sent_at")?);
                let (text_book, text) = text(&item)?;
                let fields =
                    [field(1, &id), field(2, &member), count(3, sent_at), inner(4, &text_book)].concat();
                book.extend(inner(1, &fields));
                messages.push(proto::GroupPastMessage { id, member, sent_at, text: Some(text) });
            }
            book.extend([count(2, first.into()), count(3, total.into())].concat());
            (8, book, Control::Past(proto::GroupPast { messages, first, total }))
        }
        other => return Err(format!("inputs.control: unknown {other}")),
    };
    let group_id = inputs.bytes("group_id")?;
    let group = [field(1, &group_id), inner(place, &book)].concat();
    let book =
        [count(2, sent_at), [varint(18 << 3 | 2), varint(group.len() as u64), group].concat()].concat();
    let body = Some(Body::Group(proto::GroupControl { group_id, control: Some(control) }));
    Ok((book, encode(&Content { sent_at, body, ..Content::default() })))
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (book, ours) = build(inputs)?;
    same("content", &book, &ours)?;
    let mut computed = Computed::default();
    computed.out("content", &ours);
    Ok(computed)
}

fn decoded(item: &Inputs<'_>) -> Result<Content, String> {
    Ok(decode::<Content>(&item.bytes("content")?, Limit::CONTENT)
        .map_err(|e| e.to_string())?
        .into_unchecked())
}

/// What the document says of a content: over the group's messages (R-CONTENT-14) or a session (R-CONTENT-16).
fn judged(over: &str, content: &Content) -> bool {
    match (over, &content.body) {
        ("group", None | Some(Body::Text(_))) => content.id.len() == 16 && content.conversation.is_empty(),
        ("session", Some(Body::Group(group))) => group.group_id.len() == 16 && group.control.is_some(),
        _ => false,
    }
}

fn read(inputs: &Inputs<'_>) -> Computation {
    let mut results = Results::new();
    for item in items(inputs, "contents")? {
        let sound = judged(item.text("over")?, &decoded(&item)?);
        let outcome = sound.then_some(Value::Null).ok_or_else(|| "undecryptable".to_owned());
        results.push(result(item.text("name")?, outcome));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

/// What a device that has come in takes of messages from before, one content after the other.
fn read_past(inputs: &Inputs<'_>) -> Computation {
    let (own, known, now) =
        (inputs.bytes("own_member_id")?, inputs.list("known_member_ids")?, inputs.number("now")?);
    let (mut next, mut whole, mut have) = (0, inputs.small("history")?, Vec::new());
    let mut results = Results::new();
    for item in items(inputs, "contents")? {
        let Some(Body::Group(proto::GroupControl { control: Some(Control::Past(past)), .. })) =
            decoded(&item)?.body
        else {
            return Err("inputs.contents: no messages from before".into());
        };
        let total = if next == 0 { whole.min(past.total) } else { whole };
        let end = past.first.saturating_add(u32::try_from(past.messages.len()).map_err(|e| e.to_string())?);
        if next > past.first || end > total || next >= whole {
            results.push(result(item.text("name")?, Err("not within what is expected".into())));
            continue;
        }
        let mut taken = Vec::new();
        for message in past.messages {
            let text = message.text.unwrap_or_default();
            let name = (message.member.clone(), message.id.clone());
            let is_sound = message.id.len() == 16 && message.sent_at <= now && text.text.len() <= 32 * 1024;
            if is_sound && message.member != own && known.contains(&message.member) && !have.contains(&name) {
                taken.push(json!(hex(&message.id)));
                have.push(name);
            }
        }
        (next, whole) = (end, total);
        results.push(result(item.text("name")?, Ok(json!({ "taken": taken }))));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}
