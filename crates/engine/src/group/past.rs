//! Messages from before, sent again to who was added (R-CONTENT-17).

use alloc::vec::Vec;

use chancery_group::{Entry, Group, Head, Info, Rows as _, Slot};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{
    GroupPast, GroupPastMessage, GroupPastRecord, GroupStateRecord, GroupWelcome, MessageRecord,
};
use chancery_wire::records::Records;
use chancery_wire::{Timestamp, encode};

use crate::compose;
use crate::content;
use crate::error::EngineError;
use crate::group::acts::{self, ActKind};
use crate::group::receive::Taken;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::{self, control, follow, state};
use crate::messages::{MessageState, insert_message, message};
use crate::queue::Queue;
use crate::retention::Limits;
use crate::tables::{CONVERSATION, MESSAGE, key, load};
use crate::{log, sending};

/// Bytes of messages in one content: 48 KiB. The longest message has less, and with what a session adds it fits the largest bucket.
const MAX_BYTES: usize = 48 * 1024;
/// Bytes of messages that one commit leads to, for all devices that it adds: 16 MiB, several times what one device gets at most.
/// They are sealed and stored in one go.
const MAX_TOTAL: usize = 16 * 1024 * 1024;
/// Places of the outbox that this leaves free for what is written: half of what waits at most for one device.
const SPARE: u64 = sending::MAX_FOR_DEVICE / 2;
/// How long after it has joined a device takes messages from before, in milliseconds: 7 days, as long as a relay that cannot be
/// reached keeps a welcome's followers waiting.
const LONGEST: u64 = 7 * 24 * 3_600_000;

/// Sends the newest messages to the devices that an own commit has added.
pub(crate) fn send(
    turn: &mut Turn<'_, '_>,
    (group, head): (&[u8; 16], &Head),
    added: &[Slot],
) -> Result<(), EngineError> {
    let info = Info::from_bytes(&head.info).map_err(|_| EngineError::DamagedRecord)?;
    let Some(room) = MAX_TOTAL.checked_div(added.len()).filter(|_| !info.dissolved) else { return Ok(()) };
    let contents = contents(newest(turn, group, (info.history, room))?);
    for slot in added {
        let entry =
            GroupRows::new(turn.records, *group).entry(*slot).map_err(|_| EngineError::DamagedRecord)?;
        let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
        for past in &contents {
            if sending::room(turn.records)? <= SPARE {
                return Ok(());
            }
            let to = (&entry.member, &entry.device);
            let content = (group, Control::Past(past.clone()));
            control::send(turn.records, to, content, None, (turn.now, &mut *turn.rng))?;
        }
    }
    Ok(())
}

/// Returns the newest messages that this device has got from their authors since it joined, at most `most` of at most `room` bytes,
/// oldest first.
fn newest(
    turn: &Turn<'_, '_>,
    group: &[u8; 16],
    (most, mut room): (u32, usize),
) -> Result<Vec<GroupPastMessage>, EngineError> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let limits = Limits::of(&log::policy(turn.records)?).and(group::limits(turn.records, group)?);
    let queue = Queue::new(CONVERSATION, group);
    let numbers: Vec<u64> = queue.numbers(turn.records)?.collect();
    let mut found = Vec::new();
    for number in numbers.into_iter().rev() {
        if found.len() >= most {
            break;
        }
        let Some(reference) = turn.records.get(&queue.item_key(number))? else { continue };
        let mut record: MessageRecord =
            load(turn.records, &key(MESSAGE, &[&reference]))?.ok_or(EngineError::DamagedRecord)?;
        if let Some((ActKind::Joined | ActKind::Created, _)) = acts::read(&record) {
            break;
        }
        // A quote may be of a message that was deleted since.
        compose::unquote_known(turn.records, &mut record)?;
        if !limits.are_over(&record, turn.now)
            && let Some(message) = again(record)
        {
            let Some(left) = room.checked_sub(encode(&message).len()) else { break };
            room = left;
            found.push(message);
        }
    }
    found.reverse();
    Ok(found)
}

/// Returns what is sent again of a message; `None` if nothing is.
fn again(record: MessageRecord) -> Option<GroupPastMessage> {
    // What waits goes to the group as it is now, and reaches who was added by itself.
    let is_said = [MessageState::Received as u32, MessageState::Sent as u32].contains(&record.state);
    if !is_said || record.expired || record.act.is_some() || !record.resent.is_empty() {
        return None;
    }
    let (id, member, sent_at) = (record.id, record.from, record.sent_at);
    // What is to disappear goes to nobody to whom its author did not send it (R-CONTENT-34).
    let text = record.text.filter(|text| text.disappear_after == 0)?;
    let again = GroupPastMessage { id, member, sent_at, text: Some(text) };
    // Somebody may have sent more than a text may have with all that belongs to it.
    (encode(&again).len() <= MAX_BYTES).then_some(again)
}

/// Divides messages into contents.
fn contents(messages: Vec<GroupPastMessage>) -> Vec<GroupPast> {
    let total = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    let mut contents: Vec<GroupPast> = Vec::new();
    let (mut first, mut room) = (0_u32, 0_usize);
    for message in messages {
        let length = encode(&message).len();
        if length > room || contents.is_empty() {
            contents.push(GroupPast { messages: Vec::new(), first, total });
            room = MAX_BYTES;
        }
        room = room.saturating_sub(length);
        first = first.saturating_add(1);
        if let Some(last) = contents.last_mut() {
            last.messages.push(message);
        }
    }
    contents
}

/// This device has come in by a welcome from `from`: from the device that has added it, it takes messages from before.
pub(crate) fn expect(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (from, welcome): (&DeviceId, &GroupWelcome),
) -> Result<(), EngineError> {
    let Some(mut state) = state::load(turn.records, group)? else { return Ok(()) };
    let head = rows::head(turn.records, group)?.ok_or(EngineError::DamagedRecord)?;
    let info = Info::from_bytes(&head.info).map_err(|_| EngineError::DamagedRecord)?;
    let rows = GroupRows::new(turn.records, *group);
    let entry = |slot: Option<Slot>| -> Result<Option<Entry>, EngineError> {
        let Some(slot) = slot else { return Ok(None) };
        let bytes = rows.entry(slot).map_err(|_| EngineError::DamagedRecord)?;
        Ok(bytes.and_then(|bytes| Entry::from_bytes(&bytes)))
    };
    let author = welcome.commit.as_ref().and_then(|commit| follow::author_of(&encode(commit)));
    let is_author = entry(author)?.is_some_and(|entry| entry.device == *from);
    let is_new = entry(Slot::from_u32(head.slot))?.is_some_and(|entry| entry.added == head.epoch);
    let record = GroupPastRecord {
        from: from.as_bytes().to_vec(),
        place: Queue::new(CONVERSATION, group).state(turn.records)?.next,
        next: 0,
        total: info.history,
        since: turn.now.as_millis(),
    };
    state.past = (is_author && is_new && info.history > 0).then_some(record);
    state::save(turn.records, group, &state);
    Ok(())
}

/// Returns from whom messages from before are taken, if that is `device` and it is not too late.
fn expected(state: &GroupStateRecord, device: &DeviceId, now: Timestamp) -> Option<GroupPastRecord> {
    let is_late = |since: u64| since > now.as_millis() || since.saturating_add(LONGEST) < now.as_millis();
    state.past.clone().filter(|past| past.from == device.as_bytes() && !is_late(past.since))
}

/// Takes over messages from before.
pub(crate) fn take(
    turn: &mut Turn<'_, '_>,
    (group, member, device): (&[u8; 16], &MemberId, &DeviceId),
    content: &GroupPast,
) -> Result<Taken, EngineError> {
    let Some(mut state) = state::load(turn.records, group)?.filter(state::reads) else {
        return Ok(Taken::Well);
    };
    let Some(mut past) = expected(&state, device, turn.now) else { return Ok(Taken::Well) };
    if past.next == 0 {
        past.total = past.total.min(content.total);
    }
    let end = u32::try_from(content.messages.len()).ok().and_then(|count| content.first.checked_add(count));
    let Some(end) = end.filter(|end| content.first >= past.next && *end <= past.total) else {
        return Ok(Taken::Well);
    };
    for message in &content.messages {
        let Some(record) = record(turn, (group, member), message)? else { continue };
        if !insert_message(turn.records, &record, past.place)? {
            break;
        }
        past.place = past.place.saturating_add(1);
    }
    past.next = end;
    state.past = (end < past.total).then_some(past);
    state::save(turn.records, group, &state);
    Ok(Taken::Well)
}

/// Returns the record of a message that somebody sends again; `None` for one that is not taken.
fn record(
    turn: &Turn<'_, '_>,
    (group, by): (&[u8; 16], &MemberId),
    sent: &GroupPastMessage,
) -> Result<Option<MessageRecord>, EngineError> {
    let (Some(from), Some(text)) = (MemberId::from_bytes(&sent.member), sent.text.clone()) else {
        return Ok(None);
    };
    // Nobody else says what the own member wrote. Acts are stored under the group's name, which is no member's.
    let is_other = from != turn.me.member_id() && is_known(turn.records, group, &from)?;
    if sent.id.len() != 16
        || !is_other
        || sent.sent_at > turn.now.as_millis()
        || message(turn.records, &from, &sent.id)?.is_some()
    {
        return Ok(None);
    }
    let Some(text) = content::clean(text) else { return Ok(None) };
    Ok(Some(MessageRecord {
        id: sent.id.clone(),
        conversation: group.to_vec(),
        group: group.to_vec(),
        from: sent.member.clone(),
        sent_at: sent.sent_at,
        stored_at: turn.now.as_millis(),
        text: Some(text),
        state: MessageState::Received as u32,
        resent: by.as_bytes().to_vec(),
        ..MessageRecord::default()
    }))
}

/// Whether the log knows a member: by its directory entry, or because a device of it is in the roster.
fn is_known(records: &dyn Records, group: &[u8; 16], member: &MemberId) -> Result<bool, EngineError> {
    if log::member(records, member)? != Default::default() {
        return Ok(true);
    }
    let Some(head) = rows::head(records, group)? else { return Ok(false) };
    let rows = GroupRows::new(records, *group);
    let members = Group { id: group, head: &head, rows: &rows }.roster()?.members()?;
    Ok(members.iter().any(|it| it.id == *member))
}
