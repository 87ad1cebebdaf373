//! The list of conversations: which is the newest, what is unread in each, and what was begun and not sent.
//!
//! Nothing of an entry is copied into the list; what it shows of the newest entry is that entry.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{ConversationRecord, DraftRecord, MessageRecord, Text};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::content;
use crate::error::EngineError;
use crate::messages::{self, MessageState, Page, save_message};
use crate::queue::Queue;
use crate::retention;
use crate::tables::{
    CONVERSATION, CONVERSATION_ORDER, CONVERSATION_RECORD, DRAFT, key, load, load_number, save, save_number,
};

#[cfg(test)]
mod tests;

/// Entries that one input marks as read: 1,000, so that a long absence makes no long transaction.
const READ_AT_ONCE: u64 = 1000;
/// How far above its place a message is looked for: 1,000, as what was sent again to a device that joined moves others up.
const MAX_MOVED: u64 = 1000;

/// A conversation as the list has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationSummary {
    /// The other member, or the group.
    pub conversation: MemberId,
    /// Messages of others that were not marked as read (R-ENGINE-114).
    pub unread: u64,
    /// The newest entry, with its position; `None` if nothing was written yet, or all of it has expired.
    pub last: Option<(u64, MessageRecord)>,
    /// What was begun and not sent.
    pub draft: Option<String>,
}

fn record_key(conversation: &[u8]) -> RecordKey {
    key(CONVERSATION_RECORD, &[conversation])
}

fn order_key() -> RecordKey {
    key(CONVERSATION_ORDER, &[])
}

fn stored(records: &dyn Records, conversation: &[u8]) -> Result<ConversationRecord, EngineError> {
    Ok(load(records, &record_key(conversation))?.unwrap_or_default())
}

/// Makes the list of what a version has stored that kept none: all of it counts as read (R-ENGINE-117).
fn build(records: &mut Overlay<'_>) -> Result<(), EngineError> {
    if records.get(&order_key())?.is_some() {
        return Ok(());
    }
    let mut found = Vec::new();
    for name in retention::names(records)? {
        let read = Queue::new(CONVERSATION, &name).state(records)?.next;
        if read > 0 {
            let at = last(records, &name)?.map(|(_, record)| record.stored_at);
            found.push((at, name, read));
        }
    }
    found.sort_unstable();
    let mut order = 0;
    for (_, name, read) in found {
        order = next(order)?;
        retention::enter(records, &name)?;
        save(records, record_key(&name), &ConversationRecord { order, unread: 0, read });
    }
    save_number(records, order_key(), order);
    Ok(())
}

fn next(order: u64) -> Result<u64, EngineError> {
    order.checked_add(1).ok_or(EngineError::QueueFull)
}

/// Makes a conversation the newest.
fn rise(records: &mut Overlay<'_>, entry: &mut ConversationRecord) -> Result<(), EngineError> {
    entry.order = next(load_number(records, &order_key())?.unwrap_or_default())?;
    save_number(records, order_key(), entry.order);
    Ok(())
}

/// Whether a message counts as unread until it is marked as read (R-ENGINE-114): acts do not, nor what was sent again from
/// before this device was in the group.
pub(crate) fn counts(message: &MessageRecord) -> bool {
    message.state == MessageState::Received as u32 && message.act.is_none() && message.resent.is_empty()
}

/// An entry is about to be appended to its conversation, with its mark.
pub(crate) fn appended(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<(), EngineError> {
    build(records)?;
    let mut entry = stored(records, &message.conversation)?;
    entry.unread = entry.unread.saturating_add(message.unread.into());
    rise(records, &mut entry)?;
    save(records, record_key(&message.conversation), &entry);
    Ok(())
}

/// An entry was put before others: those that were read are one further behind. It counts as read itself.
pub(crate) fn inserted(
    records: &mut Overlay<'_>,
    conversation: &[u8],
    place: u64,
) -> Result<(), EngineError> {
    build(records)?;
    let mut entry = stored(records, conversation)?;
    if place < entry.read {
        entry.read = entry.read.saturating_add(1);
        save(records, record_key(conversation), &entry);
    }
    Ok(())
}

/// A message goes, or is nothing to read any more: it counts no longer. The caller stores it without the mark.
pub(crate) fn gone(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<(), EngineError> {
    if message.unread {
        let mut entry = stored(records, &message.conversation)?;
        entry.unread = entry.unread.saturating_sub(1);
        save(records, record_key(&message.conversation), &entry);
    }
    Ok(())
}

/// Marks a conversation as read up to and including a position, at most [`READ_AT_ONCE`] entries; returns the messages that
/// became read, in their order, each once for ever (R-ENGINE-115).
pub(crate) fn mark_read(
    records: &mut Overlay<'_>,
    (conversation, position): (&MemberId, u64),
    now: Timestamp,
) -> Result<Vec<MessageRecord>, EngineError> {
    build(records)?;
    let name = conversation.as_bytes();
    let queue = Queue::new(CONVERSATION, name);
    let (state, mut entry) = (queue.state(records)?, stored(records, name)?);
    let from = entry.read.max(state.first);
    let to = position.saturating_add(1).min(state.next).min(from.saturating_add(READ_AT_ONCE));
    if to <= entry.read {
        return Ok(Vec::new());
    }
    let mut became_read = Vec::new();
    for number in from..to {
        let Some(reference) = records.get(&queue.item_key(number))? else { continue };
        let message = messages::referenced(records, &reference)?;
        if message.unread {
            became_read.push(read(records, message, now));
        }
    }
    entry.read = to;
    entry.unread = entry.unread.saturating_sub(became_read.len() as u64);
    save(records, record_key(name), &entry);
    Ok(became_read)
}

/// Marks one message as read that is unread, which another device of the own member has read (R-CONTENT-31, R-ENGINE-109).
pub(crate) fn mark_one(
    records: &mut Overlay<'_>,
    message: MessageRecord,
    now: Timestamp,
) -> Result<MessageRecord, EngineError> {
    gone(records, &message)?;
    Ok(read(records, message, now))
}

/// Stores a message as read from now on; the count is the caller's.
fn read(records: &mut Overlay<'_>, message: MessageRecord, now: Timestamp) -> MessageRecord {
    let message = MessageRecord { unread: false, read_at: now.as_millis().max(1), ..message };
    save_message(records, &message);
    message
}

/// Returns where a message stands in its conversation now, by where it was put; `None` if that was not noted, or it is there no more.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn position_of(records: &dyn Records, message: &MessageRecord) -> Result<Option<u64>, EngineError> {
    let Some(noted) = message.position.checked_sub(1) else { return Ok(None) };
    let queue = Queue::new(CONVERSATION, &message.conversation);
    let reference = [message.from.as_slice(), message.id.as_slice()].concat();
    for number in noted..queue.state(records)?.next.min(noted.saturating_add(MAX_MOVED)) {
        if records.get(&queue.item_key(number))?.is_some_and(|it| it == reference) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}

/// Takes a message out of its conversation, wherever it stands there.
pub(crate) fn take_out(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<(), EngineError> {
    let queue = Queue::new(CONVERSATION, &message.conversation);
    let reference = [message.from.as_slice(), message.id.as_slice()].concat();
    let state = queue.state(records)?;
    // Not noted, or moved by more than is looked for: anywhere.
    let near = position_of(records, message)?;
    for number in near.into_iter().chain(state.first..state.next) {
        if records.get(&queue.item_key(number))?.is_some_and(|it| it == reference) {
            return queue.remove(records, number);
        }
    }
    Ok(())
}

/// Returns the position behind the last entry of a conversation that was marked as read.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn read_up_to(records: &dyn Records, conversation: &MemberId) -> Result<u64, EngineError> {
    let mut view = Overlay::new(records);
    build(&mut view)?;
    Ok(stored(&view, conversation.as_bytes())?.read)
}

/// Keeps what was begun and not sent; nothing if it is empty (R-ENGINE-118).
pub(crate) fn keep_draft(
    records: &mut Overlay<'_>,
    conversation: &MemberId,
    draft: &str,
) -> Result<(), EngineError> {
    content::check(&Text { text: draft.into(), ..Text::default() })?;
    let name = conversation.as_bytes();
    if draft.is_empty() {
        records.delete(key(DRAFT, &[name]));
        return Ok(());
    }
    build(records)?;
    retention::enter(records, name)?;
    let mut entry = stored(records, name)?;
    if entry.order == 0 {
        // It stands where it was begun until something is written.
        rise(records, &mut entry)?;
        save(records, record_key(name), &entry);
    }
    save(records, key(DRAFT, &[name]), &DraftRecord { text: draft.into() });
    Ok(())
}

fn last(records: &dyn Records, name: &[u8]) -> Result<Option<(u64, MessageRecord)>, EngineError> {
    let queue = Queue::new(CONVERSATION, name);
    let Some(position) = queue.numbers(records)?.next_back() else { return Ok(None) };
    let Some(reference) = records.get(&queue.item_key(position))? else { return Ok(None) };
    Ok(Some((position, messages::referenced(records, &reference)?)))
}

fn summary(
    records: &dyn Records,
    (conversation, entry): (&MemberId, &ConversationRecord),
) -> Result<ConversationSummary, EngineError> {
    let name = conversation.as_bytes();
    let draft: Option<DraftRecord> = load(records, &key(DRAFT, &[name]))?;
    Ok(ConversationSummary {
        conversation: *conversation,
        unread: entry.unread,
        last: last(records, name)?,
        draft: draft.map(|draft| draft.text),
    })
}

/// Returns one conversation; without an entry and a draft for somebody with whom there was none.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn conversation_summary(
    records: &dyn Records,
    conversation: &MemberId,
) -> Result<ConversationSummary, EngineError> {
    let entry = stored(records, conversation.as_bytes())?;
    summary(records, (conversation, &entry))
}

/// Returns all conversations, the newest first. The histories are not read: a few records of each.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn conversations(records: &dyn Records) -> Result<Vec<ConversationSummary>, EngineError> {
    let mut view = Overlay::new(records);
    build(&mut view)?;
    let mut found = Vec::new();
    for name in retention::known(&view)? {
        let conversation = MemberId::from_bytes(&name).ok_or(EngineError::DamagedRecord)?;
        found.push((conversation, stored(&view, &name)?));
    }
    found.sort_unstable_by_key(|(_, entry)| core::cmp::Reverse(entry.order));
    let mut all = Vec::with_capacity(found.len());
    for (conversation, entry) in found {
        let summary = summary(&view, (&conversation, &entry))?;
        let has_begun = Queue::new(CONVERSATION, conversation.as_bytes()).state(&view)?.next > 0;
        if has_begun || summary.draft.is_some() {
            all.push(summary);
        }
    }
    Ok(all)
}

/// Returns up to `most` entries of a conversation before a position, or its newest, oldest first, each with its position;
/// [`Page::next`] is the position before which to read on (R-ENGINE-116).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn history_before(
    records: &dyn Records,
    conversation: &MemberId,
    before: Option<u64>,
    most: usize,
) -> Result<Page<(u64, MessageRecord)>, EngineError> {
    let queue = Queue::new(CONVERSATION, conversation.as_bytes());
    let is_behind = |number: &u64| before.is_some_and(|before| *number >= before);
    let mut numbers = queue.numbers(records)?.rev().skip_while(is_behind);
    let mut entries = Vec::new();
    for position in numbers.by_ref().take(most) {
        let reference = records.get(&queue.item_key(position))?.ok_or(EngineError::DamagedRecord)?;
        entries.push((position, messages::referenced(records, &reference)?));
    }
    let next = entries.last().map(|(position, _)| *position).filter(|_| numbers.next().is_some());
    entries.reverse();
    Ok(Page { entries, next })
}
