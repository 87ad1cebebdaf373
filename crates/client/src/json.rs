//! What this crate hands out, as JSON: the one form that the `chancery` command prints and every other door returns.
//!
//! Fields are only added, and their order says nothing. Times are as in RFC 3339, in UTC and to the millisecond; identifiers and hashes are
//! hexadecimal digits in lower case; a duration's name ends in `_s`; bytes are base64 (RFC 4648, section 4). What is to be sent is read
//! under the same names: [`outgoing`] and [`form_values`].

mod acts;
mod connection;
mod conversations;
mod outgoing;
mod receipts;

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Me;
use crate::devices::{NewDeviceLink, OwnDevice};
use crate::error::{Error, ErrorCode};
use crate::group::{GroupAct, GroupDone, GroupEntry, GroupState, Participant, Person};
use crate::message::{Event, FileInfo, Happening, Message};
use crate::sending::{Sent, Waiting};
use crate::{
    ActKind, DeviceId, GroupInfo, GroupPhase, GroupRole, GroupSummary, Kind, LogState, LogStatus, Member,
    MessageState, Policy, Posting, Reader, organisation,
};

pub use acts::{field_kind, message_changed, settled};
pub use connection::{connection, progress};
pub use conversations::{conversation, disappearing, history_entry, receipt_settings};
pub use outgoing::{form_values, outgoing};
pub use receipts::{receipt, typing};

/// Returns an error: its code, its text, and whether the same call may succeed later.
#[must_use]
pub fn error(error: &Error) -> Value {
    json!({"code": error.code().name(), "message": error.to_string(), "retry": error.is_retryable()})
}

/// Returns an event; `None` for a kind that this version does not show.
#[must_use]
pub fn event(event: &Event) -> Option<Value> {
    Some(match &event.happening {
        Happening::Message(it) => message(it),
        Happening::MessageChanged { message, by, kind } => message_changed(message, by, *kind),
        Happening::MessageSent { id, conversation, to, .. } => settled((id, conversation), to, None),
        Happening::MessageFailed { id, conversation, to, why, .. } => {
            settled((id, conversation), to, Some(*why))
        }
        Happening::Receipt { member, handle, message, read } => receipt(message, (member, handle), *read),
        Happening::GroupAct(it) => group_act(it),
        Happening::DeviceAdded { member, handle, device } => json!({
            "event": "device-added",
            "member": member.to_string(),
            "handle": handle,
            "device": device.to_string(),
        }),
        Happening::Lost { member, handle, count } => {
            json!({"event": "lost", "member": member.to_string(), "handle": handle, "count": count})
        }
        Happening::Read { conversation, unread } => {
            json!({"event": "read", "conversation": conversation.to_string(), "unread": unread})
        }
        Happening::Gone { conversation } => {
            json!({"event": "gone", "conversation": conversation.to_string()})
        }
        Happening::DeviceRequest { code } => device_request(code),
        Happening::MemberLeft { member, handle } => {
            json!({"event": "member-left", "member": member.to_string(), "handle": handle})
        }
        Happening::HandleReassigned { old, new, handle } => json!({
            "event": "handle-reassigned",
            "handle": handle,
            "old": old.to_string(),
            "new": new.to_string(),
        }),
    })
}

/// Returns that a new device of the own member asks for approval with this code.
#[must_use]
pub fn device_request(code: &str) -> Value {
    json!({"event": "device-request", "code": code})
}

/// Returns that a device that enrols waits for approval with this code.
#[must_use]
pub fn confirm(code: &str) -> Value {
    json!({"event": "confirm", "code": code})
}

/// Returns a message, with its files as the store knows them.
#[must_use]
pub fn message(message: &Message) -> Value {
    message_with(message, message.files.iter().map(|info| file(info, None)).collect())
}

/// Returns a message with these in place of its files, as [`file()`] returns them: where they were just saved, or why not.
#[must_use]
pub fn message_with(message: &Message, files: Vec<Value>) -> Value {
    let group = message.group.as_ref();
    let mut object = json!({
        "event": "message",
        "id": hex(&message.id),
        "from": message.from.to_string(),
        "handle": message.handle,
        "unit": message.unit,
        "kind": message.kind.name(),
        "conversation": message.conversation.to_string(),
        "group": group.map(|group| json!({"id": hex(&group.id), "name": group.name})),
        "sent_at": rfc3339(message.sent_at.as_millis()),
        "text": message.text,
        "files": files,
        "state": message_state(message.state),
    });
    acts::add(message, &mut object);
    receipts::add(message, &mut object);
    // Only in groups is anything sent again.
    if group.is_some() {
        insert(&mut object, "resent_by", message.resent_by.clone().into());
    }
    object
}

/// Returns a file of a message, with the [`error()`] that kept it from being saved, if one did.
#[must_use]
pub fn file(info: &FileInfo, error: Option<Value>) -> Value {
    let mut object = json!({"name": info.name, "size": info.size, "path": info.path});
    acts::add_to_file(info, &mut object);
    if let Some(error) = error {
        insert(&mut object, "error", error);
    }
    object
}

/// Returns what became of a file after its message was shown; `file` is as [`file()`] returns it.
#[must_use]
pub fn later_file(message: &Message, index: usize, file: Value) -> Value {
    json!({
        "event": "file",
        "id": hex(&message.id),
        "from": message.from.to_string(),
        "handle": message.handle,
        "index": index,
        "file": file,
    })
}

/// Returns what became of a message to a member; while it waits, `waiting` says why, as [`queued`] returns it.
#[must_use]
pub fn sent(sent: &Sent) -> Value {
    let mut object = json!({"id": hex(&sent.id), "state": sent_state(sent)});
    add_waiting(&mut object, ErrorCode::Queued, sent.waiting.as_ref());
    object
}

/// Returns what became of a message to the group of this identifier, as [`sent()`] does.
#[must_use]
pub fn group_sent(group: &[u8; 16], message: &Sent) -> Value {
    let mut object = sent(message);
    insert(&mut object, "group", hex(group).into());
    object
}

/// Adds why something waits, if it does.
fn add_waiting(object: &mut Value, code: ErrorCode, waiting: Option<&Waiting>) {
    if let Some(waiting) = waiting {
        insert(object, "waiting", queued(code, waiting.why()));
    }
}

fn sent_state(sent: &Sent) -> &'static str {
    if sent.state == MessageState::Queued { "queued" } else { "sent" }
}

const fn message_state(state: MessageState) -> &'static str {
    match state {
        MessageState::Received => "received",
        MessageState::Sent => "sent",
        MessageState::Failed => "failed",
        _ => "queued",
    }
}

/// Returns who this device is.
#[must_use]
pub fn me(me: &Me) -> Value {
    json!({
        "org_id": me.org_id.to_string(),
        "fingerprint": organisation::fingerprint(&me.org_id),
        "organisation": me.organisation,
        "member": me.member_id.to_string(),
        "device": me.device_id.to_string(),
        "handle": me.handle,
        "name": me.name,
        "kind": me.kind.name(),
        "expires": rfc3339(me.expires.as_millis()),
    })
}

/// Returns a member as the directory has them; `reach` of a guest or bot that does not reach everybody.
#[must_use]
pub fn member(member: &Member) -> Value {
    let mut object = json!({
        "member": member.member_id.to_string(),
        "handle": member.handle,
        "name": member.name,
        "unit": member.unit,
        "kind": member.kind.map(Kind::name),
        "devices": devices(&member.device_ids),
    });
    if !member.reach.is_empty() {
        insert(&mut object, "reach", member.reach.iter().map(ToString::to_string).collect());
    }
    object
}

/// Returns one of those who can read a conversation.
#[must_use]
pub fn reader(reader: &Reader) -> Value {
    json!({
        "member": reader.member.to_string(),
        "handle": reader.handle,
        "name": reader.name,
        "kind": reader.kind.name(),
        "devices": devices(&reader.devices),
    })
}

fn devices(ids: &[DeviceId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Returns a device of the own member, or one that asks to become one.
#[must_use]
pub fn device(device: &OwnDevice) -> Value {
    match device {
        OwnDevice::Active { id, this } => {
            json!({"device": id.to_string(), "this": this, "state": "active"})
        }
        OwnDevice::Waiting { code } => {
            json!({"device": null, "this": false, "state": "waiting", "code": code})
        }
    }
}

/// Returns a link for another device of the own member.
#[must_use]
pub fn device_link(link: &NewDeviceLink) -> Value {
    json!({"link": link.link, "expires": rfc3339(link.expires.as_millis())})
}

/// Returns that a device became one of a member's.
#[must_use]
pub fn device_approved(me: &Me, device: &DeviceId) -> Value {
    json!({"member": me.member_id.to_string(), "device": device.to_string()})
}

/// Returns that a device was removed.
#[must_use]
pub fn device_removed(device: &DeviceId) -> Value {
    json!({"device": device.to_string(), "state": "removed"})
}

/// Returns what this device knows of the organisation's log.
#[must_use]
pub fn log_status(status: &LogStatus) -> Value {
    json!({
        "size": status.size,
        "root": hex(&status.root),
        "time": rfc3339(status.time.as_millis()),
        "state": log_state(status.state),
        "policy": policy(&status.policy),
    })
}

const fn log_state(state: LogState) -> &'static str {
    match state {
        LogState::Revoked => "revoked",
        LogState::Forked => "forked",
        LogState::RolledBack => "rolled-back",
        LogState::Withheld => "withheld",
        LogState::Unconfirmed => "unconfirmed",
        LogState::Stale => "stale",
        LogState::Aging => "aging",
        LogState::Current => "current",
        _ => "unknown",
    }
}

/// Returns an organisation's policy.
#[must_use]
pub fn policy(policy: &Policy) -> Value {
    json!({
        "minimum_suite": policy.minimum_suite,
        "freshness_s": policy.freshness.as_secs(),
        "retention_s": seconds(policy.retention),
        "disappearing_s": seconds(policy.disappearing),
        "max_offline_s": seconds(policy.max_offline),
        "export": policy.may_export,
        "saving_attachments": policy.may_save_attachments,
        "receipts": {
            "read": policy.receipts.read,
            "delivery": policy.receipts.delivery,
            "typing": policy.receipts.typing,
        },
        "device_limit": policy.device_limit,
        "witnesses": policy.witnesses.keys().iter().map(|key| hex(key)).collect::<Vec<_>>(),
        "witness_quorum": policy.witnesses.quorum(),
    })
}

fn seconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| time.as_secs())
}

/// Returns a group as a list of groups shows it.
#[must_use]
pub fn group_summary(group: &GroupSummary) -> Value {
    json!({
        "group": hex(&group.group_id),
        "name": group.name,
        "phase": phase_name(group.phase),
        "role": group.role.map(role_name),
        "devices": group.devices,
        "epoch": group.epoch,
        "waiting": group.waiting,
    })
}

/// Returns a group with its policy and members.
#[must_use]
pub fn group_state(state: &GroupState) -> Value {
    let mut object = group_summary(&state.summary);
    let fork = state.fork.as_ref().map(|fork| json!({"attempt": fork.attempt, "hash": hex(&fork.hash)}));
    insert(&mut object, "policy", state.info.as_ref().map_or(Value::Null, group_policy));
    insert(&mut object, "fingerprint", hex(&state.transcript).into());
    insert(&mut object, "members", state.members.iter().map(participant).collect());
    insert(&mut object, "fork", fork.unwrap_or_default());
    object
}

fn group_policy(info: &GroupInfo) -> Value {
    json!({
        "retention_s": seconds(info.retention),
        "disappearing_s": seconds(info.disappearing),
        "posting": posting_name(info.posting),
        "history": info.history,
        "heal_s": seconds(info.heal),
        "dissolved": info.dissolved,
    })
}

fn participant(member: &Participant) -> Value {
    json!({
        "member": member.person.member.to_string(),
        "handle": member.person.handle,
        "role": role_name(member.role),
        "devices": devices(&member.devices),
    })
}

/// Returns what became of a wish about the group of this identifier: `done` or `queued`, then with `waiting` as in [`sent()`], and what
/// the group is now, if that is known.
#[must_use]
pub fn group_done(group: &[u8; 16], done: &GroupDone, now: Option<&GroupSummary>) -> Value {
    let state = if done.waiting.is_none() { "done" } else { "queued" };
    let mut object = json!({"group": hex(group), "state": state});
    add_waiting(&mut object, ErrorCode::GroupQueued, done.waiting.as_ref());
    if let Some(summary) = now {
        insert(&mut object, "name", summary.name.clone().into());
        insert(&mut object, "phase", phase_name(summary.phase).into());
        insert(&mut object, "epoch", summary.epoch.into());
        insert(&mut object, "devices", summary.devices.into());
    }
    object
}

/// Returns an entry of a group's history; `None` for a kind of a later version.
#[must_use]
pub fn group_entry(entry: &GroupEntry) -> Option<Value> {
    match entry {
        GroupEntry::Message(it) => Some(message(it)),
        GroupEntry::Act(it) => Some(group_act(it)),
        GroupEntry::Unknown => None,
    }
}

/// Returns something that happened in a group.
#[must_use]
pub fn group_act(act: &GroupAct) -> Value {
    let mut object = json!({
        "event": "group-act",
        "act": act_name(act.kind),
        "group": hex(&act.group.id),
        "name": act.group.name,
        "by": act.by.as_ref().map(person),
        "targets": act.targets.iter().map(person).collect::<Vec<_>>(),
        "role": act.role.map(role_name),
        "epoch": act.epoch,
        "at": rfc3339(act.at.as_millis()),
    });
    if let Some(refusal) = &act.refusal {
        insert(&mut object, "error", error(refusal));
    }
    if act.kind == ActKind::Gap {
        // What a script looks for under the same name as in a conversation of two.
        insert(&mut object, "event", "group-gap".into());
        insert(&mut object, "count", act.count.into());
    }
    object
}

fn person(person: &Person) -> Value {
    json!({"member": person.member.to_string(), "handle": person.handle})
}

const fn act_name(kind: ActKind) -> &'static str {
    match kind {
        ActKind::Created => "created",
        ActKind::Added => "added",
        ActKind::Removed => "removed",
        ActKind::Left => "left",
        ActKind::Evicted => "evicted",
        ActKind::Role => "role",
        ActKind::Renamed => "renamed",
        ActKind::Policy => "policy",
        ActKind::Dissolved => "dissolved",
        ActKind::Healed => "healed",
        ActKind::Joined => "joined",
        ActKind::Forked => "forked",
        ActKind::Withheld => "withheld",
        ActKind::Refused => "refused",
        ActKind::Gap => "gap",
        _ => "unknown",
    }
}

/// Names a role in a group as it is typed.
#[must_use]
pub const fn role_name(role: GroupRole) -> &'static str {
    match role {
        GroupRole::Owner => "owner",
        GroupRole::Administrator => "admin",
        GroupRole::Member => "member",
        GroupRole::Reader => "reader",
    }
}

/// Names who may write in a group.
#[must_use]
pub const fn posting_name(posting: Posting) -> &'static str {
    match posting {
        Posting::Members => "all",
        Posting::Keyholders => "admins",
    }
}

/// Names what has become of a group.
#[must_use]
pub const fn phase_name(phase: GroupPhase) -> &'static str {
    match phase {
        GroupPhase::Open => "open",
        GroupPhase::Left => "left",
        GroupPhase::Dissolved => "dissolved",
        GroupPhase::Forked => "forked",
        GroupPhase::Withheld => "withheld",
        _ => "removed",
    }
}

/// Returns the error of a call that stored something which waits: [`ErrorCode::Queued`] or [`ErrorCode::GroupQueued`], and why.
#[must_use]
pub fn queued(code: ErrorCode, cause: &Error) -> Value {
    let known = cause.code() != code;
    let message = if known { format!("{} ({cause})", code.message()) } else { code.message().to_owned() };
    // Whoever obeyed "retry" would send it twice.
    let mut object = json!({"code": code.name(), "message": message, "retry": false});
    if known {
        insert(&mut object, "cause", cause.code().name().into());
    }
    object
}

/// Sets a field of an object.
fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(name.to_owned(), value);
    }
}

/// Returns bytes as hexadecimal digits in lower case.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    crate::home::hex(bytes)
}

/// Returns a time in milliseconds since 1970 as `2026-11-22T08:30:00.125Z`.
#[must_use]
pub fn rfc3339(millis: u64) -> String {
    let (year, month, day) = date(millis / DAY);
    let rest = millis % DAY;
    let (hour, minute) = (rest / 3_600_000, rest / 60_000 % 60);
    let (second, milli) = (rest / 1_000 % 60, rest % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

/// Milliseconds of a day.
const DAY: u64 = 86_400_000;

/// The proleptic Gregorian date of a day counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is a year's last (Howard Hinnant,
/// "chrono-compatible low-level date algorithms", `civil_from_days`).
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a day number is below 2^64 / 86,400,000, far from overflow"
)]
const fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / ERA, shifted % ERA);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / (ERA - 1)) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberId;

    #[test]
    fn times_are_written_as_in_rfc_3339() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_251_199_999), "2024-02-29T23:59:59.999Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        // A peer chooses this number; it must not bring the process down.
        let _ = rfc3339(u64::MAX);
    }

    #[test]
    fn what_waits_is_never_said_to_be_worth_repeating() {
        let cause = Error::new(ErrorCode::RelayUnreachable);
        let object = queued(ErrorCode::Queued, &cause);
        assert_eq!(object["retry"], false);
        assert_eq!(object["cause"], "relay-unreachable");
        assert_eq!(error(&cause)["retry"], true);
        assert_eq!(queued(ErrorCode::Queued, &ErrorCode::Queued.into()).get("cause"), None);
    }

    #[test]
    fn what_is_stored_and_waits_says_why() {
        let mut message =
            Sent { id: [1; 16], author: MemberId::new([2; 16]), state: MessageState::Sent, waiting: None };
        assert_eq!(sent(&message).get("waiting"), None);
        let waiting = Some(Waiting::new(ErrorCode::RelayFull.into()));
        (message.state, message.waiting) = (MessageState::Queued, waiting.clone());
        let object = group_sent(&[3; 16], &message);
        assert_eq!((&object["state"], &object["waiting"]["code"]), (&json!("queued"), &json!("queued")));
        assert_eq!(
            (&object["waiting"]["cause"], &object["group"]),
            (&json!("relay-full"), &json!("03".repeat(16)))
        );
        let object = group_done(&[3; 16], &GroupDone { waiting }, None);
        assert_eq!(
            (&object["state"], &object["waiting"]["code"]),
            (&json!("queued"), &json!("group-queued"))
        );
        assert_eq!(object["waiting"]["cause"], "relay-full");
        assert_eq!(group_done(&[3; 16], &GroupDone { waiting: None }, None).get("waiting"), None);
    }

    #[test]
    fn an_event_says_what_it_is() {
        let happening = Happening::Lost { member: MemberId::new([1; 16]), handle: "bob".into(), count: 2 };
        let object = event(&Event { number: 7, happening }).unwrap();
        let member = "01".repeat(16);
        assert_eq!(object, json!({"event": "lost", "member": member, "handle": "bob", "count": 2}));
    }
}
