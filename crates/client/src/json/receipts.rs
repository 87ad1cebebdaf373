//! What was delivered and read, who is writing, and how long messages stay.

use serde_json::{Value, json};

use super::{hex, insert, rfc3339};
use crate::MemberId;
use crate::message::Message;
use crate::receipts::{MessageReceipt, Typing};

/// Adds what there is to say of reading: where it stands, whether it is unread, who has it and has read it, and how long it stays.
pub(super) fn add(message: &Message, object: &mut Value) {
    if let Some(position) = message.position {
        insert(object, "position", position.into());
    }
    if message.unread {
        insert(object, "unread", true.into());
    }
    if !message.receipts.is_empty() {
        insert(object, "receipts", message.receipts.iter().map(of_member).collect());
    }
    if let Some(after) = message.disappears_after {
        insert(object, "disappears_after_s", after.as_secs().into());
    }
    if let Some(at) = message.expires_at {
        insert(object, "expires_at", rfc3339(at.as_millis()).into());
    }
}

fn of_member(it: &MessageReceipt) -> Value {
    json!({
        "member": it.member.to_string(),
        "delivered_at": it.delivered_at.map(|at| rfc3339(at.as_millis())),
        "read_at": it.read_at.map(|at| rfc3339(at.as_millis())),
    })
}

/// Returns that a message of one's own was delivered to a member, or `read`.
#[must_use]
pub fn receipt(message: &Message, (member, handle): (&MemberId, &str), read: bool) -> Value {
    json!({
        "event": "receipt",
        "kind": if read { "read" } else { "delivered" },
        "id": hex(&message.id),
        "member": member.to_string(),
        "handle": handle,
        "conversation": message.conversation.to_string(),
    })
}

/// Returns that a member of this handle is writing, or no longer.
#[must_use]
pub fn typing(typing: &Typing, handle: &str) -> Value {
    json!({
        "event": "typing",
        "member": typing.member.to_string(),
        "handle": handle,
        "stopped": typing.stopped,
    })
}
