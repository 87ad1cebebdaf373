//! What acts on messages: its encoding, and what becomes of a message by it (R-CONTENT-18 to R-CONTENT-26).

use chancery_wire::proto::{Content, content::Body};
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::book::sample_hex;
use super::protobuf::{count, field, inner};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::crew::NOW;

pub(super) const PLANS: &[Plan] = &[("message-acts", drafts)];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "act-content",
        requirements: &["R-CONTENT-18", "R-CONTENT-19", "R-CONTENT-20", "R-CONTENT-25"],
        compute,
    },
    Kind {
        name: "acts-applied",
        requirements: &["R-CONTENT-20", "R-CONTENT-21", "R-CONTENT-22", "R-CONTENT-23", "R-CONTENT-26"],
        compute: apply,
    },
];

fn target() -> Value {
    json!({ "author": sample_hex("author", 16), "id": sample_hex("message", 16) })
}

fn act(name: &str, more: Value) -> Value {
    let mut inputs = json!({ "act": name, "id": sample_hex(&format!("act {more}"), 16), "sent_at": NOW.as_millis(),
        "number": 3, "target": target() });
    for (name, value) in more.as_object().expect("named") {
        inputs[name] = value.clone();
    }
    inputs
}

fn mention() -> Value {
    json!({ "start": 3, "length": 4, "member_id": sample_hex("bob", 16) })
}

fn form() -> Value {
    json!({ "title": "Lunch", "fields": [
        { "id": "dish", "label": "What?", "kind": 2, "options": ["soup", "stew"], "required": true },
        { "id": "guests", "label": "How many?", "kind": 3, "options": [], "required": false },
        { "id": "ok", "label": "Paid?", "kind": 4, "options": [], "required": false },
        { "id": "note", "label": "", "kind": 1, "options": [], "required": false }] })
}

fn drafts() -> Vec<Draft> {
    let text = json!({ "act": "text", "id": sample_hex("text", 16), "sent_at": NOW.as_millis(), "number": 1, "text": "Hi @bob",
        "target": target(), "quote": "Good morning", "mentions": [mention()], "form": form() });
    let answer = json!({ "values": [["dish", "soup"], ["guests", "2"]] });
    let all = [
        ("text", text),
        ("reaction", act("reaction", json!({ "emoji": "👍", "remove": false }))),
        ("reaction-taken-back", act("reaction", json!({ "emoji": "👍", "remove": true }))),
        ("edit", act("edit", json!({ "text": "Hi @bob!", "mentions": [mention()] }))),
        ("deletion", act("deletion", json!({}))),
        ("answer", act("answer", answer)),
    ];
    let mut drafts: Vec<Draft> =
        all.into_iter().map(|(id, it)| (format!("act-content-{id}"), "act-content", it)).collect();
    drafts.extend(applied());
    drafts
}

/// An act as it came: who has done it, and its content.
fn came(name: &str, from: &str, sent_at: u64, act: &Value) -> Value {
    let mut act = act.clone();
    (act["sent_at"], act["id"]) = (json!(sent_at), json!(sample_hex(name, 16)));
    let content = build(&Inputs(act.as_object().expect("named"))).expect("sound").1;
    json!({ "name": name, "from": sample_hex(from, 16), "content": hex(&content) })
}

fn applied() -> Vec<Draft> {
    let edit = |text: &str| act("edit", json!({ "text": text, "mentions": [] }));
    let react = |emoji: &str, remove: bool| act("reaction", json!({ "emoji": emoji, "remove": remove }));
    let deletion = act("deletion", json!({}));
    let mut elsewhere = came("in another conversation", "author", 9, &edit("elsewhere"));
    elsewhere["same_conversation"] = json!(false);
    let mut foreign = edit("of another message");
    foreign["target"]["id"] = json!(sample_hex("another", 16));
    let cases = [
        (
            "edits",
            vec![
                came("the newer edit", "author", 8, &edit("newer")),
                came("the older edit", "author", 7, &edit("older")),
                came("by somebody else", "bob", 99, &edit("forged")),
                elsewhere,
                came("of another message", "author", 99, &foreign),
            ],
        ),
        (
            "edits-of-one-time",
            vec![
                came("one", "author", 8, &edit("one")),
                came("two", "author", 8, &edit("two")),
                came("three", "author", 8, &edit("three")),
            ],
        ),
        ("reactions", reactions()),
        (
            "many-emoji",
            (0..20_u64)
                .rev()
                .map(|n| came(&format!("{n}"), "bob", n, &react(&n.to_string(), false)))
                .collect(),
        ),
        (
            "deletion",
            vec![
                came("an edit", "author", 99, &edit("later by its clock")),
                came("by somebody else", "bob", 8, &deletion),
                came("a reaction", "bob", 7, &react("👍", false)),
                came("the deletion", "author", 8, &deletion),
                came("too late", "author", 100, &edit("too late")),
            ],
        ),
        ("answers", answers()),
        (
            "edit-of-a-form",
            vec![
                came("an answer", "bob", 7, &act("answer", json!({ "values": [["dish", "soup"]] }))),
                came("the edit", "author", 8, &edit("another question")),
            ],
        ),
    ];
    let draft = |(id, acts): (&str, Vec<Value>)| {
        let form = if ["answers", "edit-of-a-form"].contains(&id) { form() } else { Value::Null };
        let message = json!({ "author": sample_hex("author", 16), "id": sample_hex("message", 16), "text": "Hi", "form": form });
        (format!("acts-applied-{id}"), "acts-applied", json!({ "message": message, "acts": acts }))
    };
    cases.into_iter().map(draft).collect()
}

fn reactions() -> Vec<Value> {
    let react = |emoji: &str, remove: bool| act("reaction", json!({ "emoji": emoji, "remove": remove }));
    vec![
        came("taken back", "bob", 8, &react("👍", true)),
        came("given", "bob", 7, &react("👍", false)),
        came("another", "bob", 7, &react("❤", false)),
        came("of the author", "author", 7, &react("👍", false)),
        came("again", "bob", 9, &react("👍", false)),
        came("without an emoji", "bob", 9, &react("", false)),
        came("a line break", "bob", 9, &react("\n", false)),
        came("turned round", "bob", 9, &react("\u{202E}👍", false)),
        came("33 bytes", "bob", 9, &react(&"x".repeat(33), false)),
    ]
}

fn answers() -> Vec<Value> {
    let answer = |values: Value| act("answer", json!({ "values": values }));
    vec![
        came("not an option", "bob", 9, &answer(json!([["dish", "fish"]]))),
        came("the required one lacks", "bob", 9, &answer(json!([["guests", "2"]]))),
        came("of no field", "bob", 9, &answer(json!([["dish", "soup"], ["x", "y"]]))),
        came("no number", "bob", 9, &answer(json!([["dish", "soup"], ["guests", "1."]]))),
        came("twice", "bob", 9, &answer(json!([["dish", "soup"], ["dish", "stew"]]))),
        came("newer", "bob", 8, &answer(json!([["dish", "stew"], ["guests", "-2.5"], ["ok", "yes"]]))),
        came("older", "bob", 7, &answer(json!([["dish", "soup"]]))),
        came("of the author", "author", 7, &answer(json!([["dish", "soup"], ["note", "mine"]]))),
    ]
}

fn part<'a>(inputs: &'a Inputs<'_>, name: &str) -> Result<Inputs<'a>, String> {
    let part = inputs.0.get(name).and_then(Value::as_object);
    part.map(Inputs).ok_or_else(|| format!("inputs.{name}: no object"))
}

fn parts<'a>(inputs: &'a Inputs<'_>, name: &str) -> Result<Vec<Inputs<'a>>, String> {
    let list =
        inputs.0.get(name).and_then(Value::as_array).ok_or_else(|| format!("inputs.{name}: no list"))?;
    list.iter()
        .map(|it| it.as_object().map(Inputs).ok_or_else(|| format!("inputs.{name}: no object")))
        .collect()
}

fn truth(inputs: &Inputs<'_>, name: &str) -> Result<bool, String> {
    inputs.0.get(name).and_then(Value::as_bool).ok_or_else(|| format!("inputs.{name}: no truth value"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn reference(inputs: &Inputs<'_>) -> Result<(Vec<u8>, proto::MessageRef), String> {
    let it = part(inputs, "target")?;
    let (author, id) = (it.bytes("author")?, it.bytes("id")?);
    Ok(([field(1, &author), field(2, &id)].concat(), proto::MessageRef { author, id }))
}

fn mentions(inputs: &Inputs<'_>, number: u64) -> Result<(Vec<u8>, Vec<proto::Mention>), String> {
    let (mut book, mut ours) = (Vec::new(), Vec::new());
    for it in parts(inputs, "mentions")? {
        let (start, length, member_id) = (it.small("start")?, it.small("length")?, it.bytes("member_id")?);
        book.extend(inner(
            number,
            &[count(1, start.into()), count(2, length.into()), field(3, &member_id)].concat(),
        ));
        ours.push(proto::Mention { start, length, member_id });
    }
    Ok((book, ours))
}

fn form_of(inputs: &Inputs<'_>) -> Result<(Vec<u8>, proto::Form), String> {
    let form = part(inputs, "form")?;
    let title = form.text("title")?.to_owned();
    let (mut book, mut fields) = (field(1, title.as_bytes()), Vec::new());
    for it in parts(&form, "fields")? {
        let (id, label, kind) = (it.text("id")?.to_owned(), it.text("label")?.to_owned(), it.small("kind")?);
        let options = texts(&it.0["options"]);
        let required = truth(&it, "required")?;
        let mut one = [field(1, id.as_bytes()), field(2, label.as_bytes()), count(3, kind.into())].concat();
        options.iter().for_each(|option| one.extend(inner(4, option.as_bytes())));
        one.extend(count(5, required.into()));
        book.extend(inner(2, &one));
        fields.push(proto::FormField { id, label, kind, options, required });
    }
    Ok((book, proto::Form { title, fields }))
}

fn text_of(inputs: &Inputs<'_>) -> Result<(Vec<u8>, Body), String> {
    let (text, quote) = (inputs.text("text")?.to_owned(), inputs.text("quote")?.to_owned());
    let (target, reference) = reference(inputs)?;
    let (named, mentions) = mentions(inputs, 4)?;
    let (asked, form) = form_of(inputs)?;
    let reply = [inner(1, &target), field(2, quote.as_bytes())].concat();
    let book = [field(1, text.as_bytes()), inner(3, &reply), named, inner(5, &asked)].concat();
    let reply_to = Some(proto::ReplyTo { target: Some(reference), quote });
    let ours = proto::Text { text, reply_to, mentions, form: Some(form), ..proto::Text::default() };
    Ok((inner(10, &book), Body::Text(ours)))
}

fn body(inputs: &Inputs<'_>) -> Result<(Vec<u8>, Body), String> {
    if inputs.text("act")? == "text" {
        return text_of(inputs);
    }
    let (book, target) = reference(inputs)?;
    let (book, target) = (inner(1, &book), Some(target));
    Ok(match inputs.text("act")? {
        "reaction" => {
            let (emoji, remove) = (inputs.text("emoji")?.to_owned(), truth(inputs, "remove")?);
            let book = [book, field(2, emoji.as_bytes()), count(3, remove.into())].concat();
            (inner(19, &book), Body::Reaction(proto::Reaction { target, emoji, remove }))
        }
        "edit" => {
            let (text, (named, mentions)) = (inputs.text("text")?.to_owned(), mentions(inputs, 3)?);
            let book = [book, field(2, text.as_bytes()), named].concat();
            (inner(20, &book), Body::Edit(proto::Edit { target, text, mentions }))
        }
        "deletion" => (inner(21, &book), Body::Deletion(proto::Deletion { target })),
        "answer" => {
            let (mut book, mut values) = (book, Vec::new());
            for pair in inputs.0["values"].as_array().ok_or("inputs.values: no list")? {
                let [field_id, value] = texts(pair).try_into().map_err(|_| "inputs.values: no pairs")?;
                book.extend(inner(2, &[field(1, field_id.as_bytes()), field(2, value.as_bytes())].concat()));
                values.push(proto::FormValue { field: field_id, value });
            }
            (inner(22, &book), Body::Answer(proto::FormAnswer { target, values }))
        }
        other => return Err(format!("inputs.act: unknown {other}")),
    })
}

/// Returns a content as the document's fields have it, and as our messages are encoded.
fn build(inputs: &Inputs<'_>) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (id, sent_at, number) = (inputs.bytes("id")?, inputs.number("sent_at")?, inputs.number("number")?);
    let (book, body) = body(inputs)?;
    let book = [field(1, &id), count(2, sent_at), count(4, number), book].concat();
    Ok((book, encode(&Content { id, sent_at, number, body: Some(body), ..Content::default() })))
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (book, ours) = build(inputs)?;
    same("content", &book, &ours)?;
    let mut computed = Computed::default();
    computed.out("content", &ours);
    Ok(computed)
}

/// Time, identifier, member, emoji, whether it was taken back.
type Said = (u64, Vec<u8>, Vec<u8>, String, bool);
/// Time, identifier, member, values.
type Answered = (u64, Vec<u8>, Vec<u8>, Vec<proto::FormValue>);

/// A message as the document says that it is after some acts.
#[derive(Default)]
struct State {
    text: String,
    edit: Option<(u64, Vec<u8>)>,
    deleted: bool,
    /// Newest last.
    reactions: Vec<Said>,
    /// Newest last.
    answers: Vec<Answered>,
}

fn apply(inputs: &Inputs<'_>) -> Computation {
    let message = part(inputs, "message")?;
    let (author, id) = (message.bytes("author")?, message.bytes("id")?);
    let form = match message.0.get("form") {
        None | Some(Value::Null) => proto::Form::default(),
        Some(_) => form_of(&message)?.1,
    };
    let mut state = State { text: message.text("text")?.to_owned(), ..State::default() };
    for act in parts(inputs, "acts")? {
        let content = decode::<Content>(&act.bytes("content")?, Limit::CONTENT).map_err(|e| e.to_string())?;
        let content = content.into_unchecked();
        let is_here = act.0.get("same_conversation").and_then(Value::as_bool).unwrap_or(true);
        let target = proto::MessageRef { author: author.clone(), id: id.clone() };
        if is_here && !state.deleted && content.id.len() == 16 {
            one(&mut state, &form, (&act.bytes("from")?, &target), content);
        }
    }
    let standing = state.reactions.iter().filter(|it| !it.4);
    let reactions: Vec<_> = standing.map(|it| json!({ "member_id": hex(&it.2), "emoji": it.3 })).collect();
    let values =
        |it: &Vec<proto::FormValue>| it.iter().map(|it| json!([it.field, it.value])).collect::<Vec<_>>();
    let answers: Vec<_> =
        state.answers.iter().map(|it| json!({ "member_id": hex(&it.2), "values": values(&it.3) })).collect();
    let mut computed = Computed::default();
    computed.out("text", if state.deleted { Value::Null } else { json!(state.text) });
    computed.out("edited_at", json!(state.edit.map_or(0, |edit| edit.0)));
    computed.out("deleted", json!(state.deleted));
    computed.out("reactions", json!(reactions));
    computed.out("answers", json!(answers));
    Ok(computed)
}

fn one(state: &mut State, form: &proto::Form, (from, target): (&[u8], &proto::MessageRef), content: Content) {
    let when = (content.sent_at, content.id);
    match content.body {
        Some(Body::Edit(edit)) => {
            let counts =
                edit.target.as_ref() == Some(target) && target.author == from && form.fields.is_empty();
            if counts && state.edit.as_ref().is_none_or(|before| *before < when) {
                (state.text, state.edit) = (edit.text, Some(when));
            }
        }
        Some(Body::Deletion(deletion))
            if deletion.target.as_ref() == Some(target) && target.author == from =>
        {
            *state = State { deleted: true, ..State::default() };
        }
        Some(Body::Reaction(it)) if it.target.as_ref() == Some(target) => {
            if it.emoji.is_empty() || it.emoji.len() > 32 || !is_plain(&it.emoji) {
                return;
            }
            state.reactions.push((when.0, when.1, from.to_vec(), it.emoji.clone(), it.remove));
            state.reactions.sort();
            let mut seen = Vec::new();
            // From the newest on: of each emoji the first, and 16 of them.
            let mut kept: Vec<_> = std::mem::take(&mut state.reactions).into_iter().rev().collect();
            kept.retain(|said| {
                let of_member = seen.iter().filter(|(member, _)| *member == said.2).count();
                let is_new = !seen.contains(&(said.2.clone(), said.3.clone()));
                if is_new {
                    seen.push((said.2.clone(), said.3.clone()));
                }
                is_new && of_member < 16
            });
            kept.reverse();
            state.reactions = kept;
        }
        Some(Body::Answer(it)) if it.target.as_ref() == Some(target) && fits(form, &it.values) => {
            state.answers.retain(|known| known.2 != from || (known.0, &known.1) > (when.0, &when.1));
            if state.answers.iter().all(|known| known.2 != from) {
                state.answers.push((when.0, when.1, from.to_vec(), it.values));
                state.answers.sort_by_key(|it| (it.0, it.1.clone(), it.2.clone()));
            }
        }
        _ => {}
    }
}

/// R-ID-11.
fn is_plain(text: &str) -> bool {
    let turns = ['\u{61C}', '\u{200E}', '\u{200F}'];
    let ranges = ['\u{2028}'..='\u{202E}', '\u{2066}'..='\u{2069}'];
    !text.chars().any(|it| it.is_control() || turns.contains(&it) || ranges.iter().any(|of| of.contains(&it)))
}

/// R-CONTENT-26.
fn fits(form: &proto::Form, values: &[proto::FormValue]) -> bool {
    let mut names: Vec<_> = values.iter().map(|it| &it.field).collect();
    names.sort();
    names.dedup();
    let digits =
        |it: &str, most| !it.is_empty() && it.len() <= most && it.chars().all(|it| it.is_ascii_digit());
    let number = |it: &str| match it.strip_prefix('-').unwrap_or(it).split_once('.') {
        Some((whole, part)) => digits(whole, 18) && digits(part, 9),
        None => digits(it.strip_prefix('-').unwrap_or(it), 18),
    };
    let good = |it: &proto::FormValue| {
        form.fields.iter().find(|field| field.id == it.field).is_some_and(|field| match field.kind {
            1 => !it.value.is_empty(),
            2 => field.options.contains(&it.value),
            3 => number(&it.value),
            _ => ["yes", "no"].contains(&it.value.as_str()),
        })
    };
    names.len() == values.len()
        && values.iter().all(good)
        && form.fields.iter().all(|field| !field.required || names.contains(&&field.id))
}
