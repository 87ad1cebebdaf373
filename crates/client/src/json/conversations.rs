//! Conversations, their entries, and what a member has set.

use std::time::Duration;

use serde_json::{Value, json};

use super::{group_act, group_entry, insert, rfc3339};
use crate::conversation::{Conversation, HistoryEntry, LastEntry};
use crate::{GroupEntry, ReceiptSettings};

/// Returns a conversation as a list shows it. Of its `last` entry either `summary` is set or, of what happened in a group, `act` as
/// [`group_act`] returns it; neither is of what a later version wrote.
#[must_use]
pub fn conversation(conversation: &Conversation) -> Value {
    json!({
        "conversation": conversation.id.to_string(),
        "kind": conversation.kind.name(),
        "title": conversation.title(),
        "handle": conversation.handle,
        "name": conversation.name,
        "unread": conversation.unread,
        "last": conversation.last.as_ref().map(last),
        "draft": conversation.draft,
    })
}

fn last(last: &LastEntry) -> Value {
    let act = match &last.entry {
        GroupEntry::Act(act) => group_act(act),
        _ => Value::Null,
    };
    json!({
        "position": last.position,
        "at": rfc3339(last.at.as_millis()),
        "from": last.from.as_ref().map(|from| from.member.to_string()),
        "handle": last.from.as_ref().map(|from| from.handle.as_str()),
        "summary": last.summary,
        "act": act,
    })
}

/// Returns an entry of a conversation as [`group_entry`] does, with its `position`. What a later version wrote has nothing besides, and
/// its `event` is `unknown`.
#[must_use]
pub fn history_entry(entry: &HistoryEntry) -> Value {
    let mut object = group_entry(&entry.entry).unwrap_or_else(|| json!({"event": "unknown"}));
    insert(&mut object, "position", entry.position.into());
    object
}

/// Returns what a member lets others know.
#[must_use]
pub fn receipt_settings(settings: &ReceiptSettings) -> Value {
    json!({
        "read_receipts": settings.read,
        "delivery_receipts": settings.delivery,
        "typing": settings.typing,
    })
}

/// Returns how long what is written in a conversation stays after it was read.
#[must_use]
pub fn disappearing(after: Option<Duration>) -> Value {
    json!({"disappears_after_s": after.map(|after| after.as_secs())})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::ConversationKind;
    use crate::group::{GroupAct, GroupName, Person};
    use crate::{ActKind, MemberId, Timestamp};

    fn renamed() -> GroupAct {
        GroupAct {
            group: GroupName { id: [7; 16], name: "Staff".into() },
            kind: ActKind::Renamed,
            by: Some(Person { member: MemberId::new([1; 16]), handle: "alice".into() }),
            targets: Vec::new(),
            role: None,
            refusal: None,
            count: 0,
            epoch: 3,
            at: Timestamp::from_millis(951_782_400_000),
        }
    }

    #[test]
    fn a_conversation_whose_last_entry_is_an_act_has_the_act_and_no_summary() {
        let act = renamed();
        let last = LastEntry {
            position: 4,
            at: act.at,
            from: act.by.clone(),
            summary: None,
            entry: GroupEntry::Act(Box::new(act.clone())),
        };
        let listed = conversation(&Conversation {
            id: MemberId::new([7; 16]),
            kind: ConversationKind::Group,
            handle: String::new(),
            name: "Staff".into(),
            last: Some(last),
            unread: 2,
            draft: Some("Dear all".into()),
        });
        let expected = json!({
            "conversation": "07".repeat(16),
            "kind": "group",
            "title": "Staff",
            "handle": "",
            "name": "Staff",
            "unread": 2,
            "last": {
                "position": 4,
                "at": "2000-02-29T00:00:00.000Z",
                "from": "01".repeat(16),
                "handle": "alice",
                "summary": null,
                "act": group_act(&act),
            },
            "draft": "Dear all",
        });
        assert_eq!(listed, expected);
    }

    #[test]
    fn an_entry_of_a_later_version_is_shown_as_such_with_its_position() {
        let act = HistoryEntry { position: 3, entry: GroupEntry::Act(Box::new(renamed())) };
        let object = history_entry(&act);
        assert_eq!((&object["position"], &object["act"]), (&json!(3), &json!("renamed")));
        let later = HistoryEntry { position: 9, entry: GroupEntry::Unknown };
        assert_eq!(history_entry(&later), json!({"event": "unknown", "position": 9}));
    }

    #[test]
    fn settings_have_the_names_of_the_command() {
        let settings = ReceiptSettings { read: true, delivery: false, typing: true };
        let expected = json!({"read_receipts": true, "delivery_receipts": false, "typing": true});
        assert_eq!(receipt_settings(&settings), expected);
        assert_eq!(disappearing(Some(Duration::from_secs(90))), json!({"disappears_after_s": 90}));
        assert_eq!(disappearing(None), json!({"disappears_after_s": null}));
    }
}
