//! Contents of receipts, typing and settings (R-CONTENT-29 to R-CONTENT-35).

use chancery_wire::encode;
use chancery_wire::proto::{self, Content, content::Body, own_settings::What};
use serde_json::{Value, json};

use super::book::sample_hex;
use super::protobuf::{count, field, inner};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, same};
use crate::crew::NOW;

pub(super) const PLANS: &[Plan] = &[("receipts", drafts)];

pub(super) const KINDS: &[Kind] = &[Kind {
    name: "receipt-content",
    requirements: &["R-CONTENT-29", "R-CONTENT-32", "R-CONTENT-34", "R-CONTENT-35"],
    compute,
}];

fn drafts() -> Vec<Draft> {
    let draft = |id: &str, what: &str, mut inputs: Value| {
        (inputs["what"], inputs["sent_at"]) = (json!(what), json!(NOW.as_millis()));
        (format!("receipt-{id}"), "receipt-content", inputs)
    };
    let target = |name: &str| sample_hex(name, 32);
    vec![
        draft("read", "read", json!({ "targets": [target("one"), target("two")] })),
        draft("typing", "typing", json!({ "stopped": 0 })),
        draft("typing-stopped", "typing", json!({ "stopped": 1 })),
        draft(
            "settings",
            "settings",
            json!({ "no_read": 1, "no_delivery": 0, "no_typing": 1, "changed_at": NOW.as_millis() - 5 }),
        ),
        draft(
            "timer",
            "timer",
            json!({ "conversation": sample_hex("with", 16), "seconds": 86_400, "changed_at": NOW.as_millis() - 5 }),
        ),
        draft(
            "text",
            "text",
            json!({ "id": sample_hex("id", 16), "number": 3, "text": "Hello", "disappear_after": 60 }),
        ),
    ]
}

/// The content as the document's fields have it, and as our messages are encoded.
fn compute(inputs: &Inputs<'_>) -> Computation {
    let sent_at = inputs.number("sent_at")?;
    let mut ours = Content { sent_at, ..Content::default() };
    let (number, book, body) = match inputs.text("what")? {
        "read" => {
            let targets = inputs.list("targets")?;
            if targets.len() > 256 || targets.iter().any(|it| it.len() != 32) {
                return Err("inputs.targets: at most 256 of 32 bytes".into());
            }
            let all: Vec<u8> = targets.iter().flat_map(|it| field(2, it)).collect();
            (23, [count(1, 1), all].concat(), Body::Receipt(proto::Receipt { kind: 1, targets }))
        }
        "typing" => {
            let stopped = inputs.number("stopped")?;
            (24, count(1, stopped), Body::Typing(proto::Typing { stopped: stopped == 1 }))
        }
        "settings" => {
            let flag = |name| inputs.number(name);
            let (no_read, no_delivery, no_typing) =
                (flag("no_read")?, flag("no_delivery")?, flag("no_typing")?);
            let changed_at = inputs.number("changed_at")?;
            let book = [count(1, no_read), count(2, no_delivery), count(3, no_typing), count(4, changed_at)]
                .concat();
            let (no_read, no_delivery, no_typing) = (no_read == 1, no_delivery == 1, no_typing == 1);
            let receipts = proto::ReceiptSettings { no_read, no_delivery, no_typing, changed_at };
            (26, inner(1, &book), settings(What::Receipts(receipts)))
        }
        "timer" => {
            let (conversation, seconds) = (inputs.bytes("conversation")?, inputs.number("seconds")?);
            let changed_at = inputs.number("changed_at")?;
            let book = [field(1, &conversation), count(2, seconds), count(3, changed_at)].concat();
            let timer = proto::ConversationTimer { conversation, seconds, changed_at };
            (26, inner(2, &book), settings(What::Timer(timer)))
        }
        "text" => {
            let (text, after) = (inputs.text("text")?, inputs.small("disappear_after")?);
            (ours.id, ours.number) = (inputs.bytes("id")?, inputs.number("number")?);
            let book = [field(1, text.as_bytes()), count(6, after.into())].concat();
            let text = proto::Text { text: text.into(), disappear_after: after, ..Default::default() };
            (10, book, Body::Text(text))
        }
        _ => return Err("inputs.what: unknown".into()),
    };
    ours.body = Some(body);
    let book = [field(1, &ours.id), count(2, sent_at), count(4, ours.number), inner(number, &book)].concat();
    let ours = encode(&ours);
    same("content", &book, &ours)?;
    let mut computed = Computed::default();
    computed.out("content", &ours);
    Ok(computed)
}

fn settings(what: What) -> Body {
    Body::Settings(proto::OwnSettings { what: Some(what) })
}
