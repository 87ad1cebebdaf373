//! What acts on messages, and what became of own ones.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{hex, insert, message, rfc3339};
use crate::acting::{Answer, FieldKind, Form, FormField, Mention, Reaction};
use crate::group::Person;
use crate::message::{FileInfo, Message};
use crate::{ChangeKind, MemberId, WhyFailed};

/// Adds what there is of replies, mentions, edits, reactions, forms and answers.
pub(super) fn add(message: &Message, object: &mut Value) {
    if let Some(quote) = &message.reply_to {
        let reply = json!({
            "id": hex(&quote.message.id),
            "from": quote.message.author.to_string(),
            "handle": quote.handle,
            "text": quote.text,
            "known": quote.is_known,
        });
        insert(object, "reply_to", reply);
    }
    if !message.mentions.is_empty() {
        insert(object, "mentions", message.mentions.iter().map(mention).collect());
    }
    if let Some(at) = message.edited_at {
        insert(object, "edited_at", rfc3339(at.as_millis()).into());
    }
    if message.deleted {
        insert(object, "deleted", true.into());
    }
    if !message.reactions.is_empty() {
        insert(object, "reactions", message.reactions.iter().map(reaction).collect());
    }
    if let Some(it) = &message.form {
        insert(object, "form", form(it));
        insert(object, "answers", message.answers.iter().map(answer).collect());
    }
}

fn mention(it: &Mention) -> Value {
    json!({"start": it.start, "length": it.length, "member": it.member.to_string()})
}

fn reaction(it: &Reaction) -> Value {
    json!({"emoji": it.emoji, "from": it.by.member.to_string(), "handle": it.by.handle})
}

fn answer(it: &Answer) -> Value {
    let values: serde_json::Map<String, Value> =
        it.values.iter().map(|(field, value)| (field.clone(), value.clone().into())).collect();
    json!({
        "from": it.by.member.to_string(),
        "handle": it.by.handle,
        "at": rfc3339(it.at.as_millis()),
        "values": values,
    })
}

fn form(form: &Form) -> Value {
    let field = |it: &FormField| {
        json!({
            "id": it.id,
            "label": it.label,
            "kind": field_kind(it.kind),
            "options": it.options,
            "required": it.required,
        })
    };
    json!({"title": form.title, "fields": form.fields.iter().map(field).collect::<Vec<_>>()})
}

/// Returns the word for a kind of field.
#[must_use]
pub const fn field_kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Choice => "choice",
        FieldKind::Number => "number",
        FieldKind::Approval => "approval",
        _ => "text",
    }
}

/// Returns that a message has changed, with the message as it is now.
#[must_use]
pub fn message_changed(changed: &Message, by: &Person, kind: ChangeKind) -> Value {
    let mut object = message(changed);
    insert(&mut object, "event", "message-changed".into());
    let change = match kind {
        ChangeKind::Edited => "edited",
        ChangeKind::Deleted => "deleted",
        ChangeKind::Answered => "answered",
        _ => "reacted",
    };
    insert(&mut object, "change", change.into());
    insert(&mut object, "by", json!({"member": by.member.to_string(), "handle": by.handle}));
    object
}

/// Returns that a message of one's own was sent, or why it has failed.
#[must_use]
pub fn settled((id, conversation): (&[u8; 16], &MemberId), to: &str, failed: Option<WhyFailed>) -> Value {
    let event = if failed.is_some() { "failed" } else { "sent" };
    let mut object =
        json!({"event": event, "id": hex(id), "conversation": conversation.to_string(), "to": to});
    if let Some(why) = failed {
        insert(&mut object, "why", why.name().into());
    }
    object
}

/// Adds what a file is, and a small picture of it in base64, if its sender has said so and made one.
pub(super) fn add_to_file(info: &FileInfo, object: &mut Value) {
    if !info.media_type.is_empty() {
        insert(object, "media_type", info.media_type.clone().into());
    }
    if !info.preview.is_empty() {
        insert(object, "preview", STANDARD.encode(&info.preview).into());
    }
}
