//! Messages, conversations and events as they stand in the store.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::{Overlay, RecordKey, Records};
use chancery_wire::{Limit, Timestamp, decode};

use crate::amend::{self, ChangeKind};
use crate::compose;
use crate::conversations;
use crate::error::EngineError;
use crate::queue::Queue;
use crate::receipts;
use crate::retention;
use crate::settled;
use crate::shown;
use crate::tables::{CONVERSATION, EVENT, EVENT_CURSOR, MESSAGE, key, load, load_number, save, save_number};

/// State of a message, as stored in [`MessageRecord::state`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// It came from somebody else.
    Received = 1,
    /// It waits for the relay.
    Queued = 2,
    /// The relay has it durably for a device of the recipient. For the other devices it goes on being tried.
    Sent = 3,
    /// The relay has refused it, or one of its files, for every device of the recipient, or has not taken it
    /// within 30 days.
    Failed = 4,
}

impl MessageState {
    /// Reads the stored number; one of a later version counts as queued.
    #[must_use]
    pub const fn from_stored(number: u32) -> Self {
        match number {
            1 => Self::Received,
            3 => Self::Sent,
            4 => Self::Failed,
            _ => Self::Queued,
        }
    }
}

/// The key of a message: its sender chose the identifier, so the sender is part of the name, and nobody can
/// replace somebody else's message (R-ENGINE-4).
pub(crate) fn message_key(from: &[u8], id: &[u8]) -> RecordKey {
    key(MESSAGE, &[from, id])
}

/// Returns a message.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn message(
    records: &dyn Records,
    from: &MemberId,
    id: &[u8],
) -> Result<Option<MessageRecord>, EngineError> {
    load(records, &message_key(from.as_bytes(), id))
}

pub(crate) fn save_message(records: &mut Overlay<'_>, message: &MessageRecord) {
    save(records, message_key(&message.from, &message.id), message);
}

/// Stores a new message at the end of its conversation; `None` if it is there already.
pub(crate) fn append_message(
    records: &mut Overlay<'_>,
    message: &MessageRecord,
) -> Result<Option<u64>, EngineError> {
    let name = message_key(&message.from, &message.id);
    if let Some(known) = load::<MessageRecord>(records, &name)? {
        // What somebody else says that the author wrote elsewhere keeps nothing of the author's away (R-CONTENT-17).
        if known.resent.is_empty() || known.conversation == message.conversation {
            return Ok(None);
        }
        conversations::take_out(records, &known)?;
        retention::forget(records, &known)?;
    }
    let queue = Queue::new(CONVERSATION, &message.conversation);
    let place = queue.state(records)?.next;
    let (position, unread) = (place.saturating_add(1), conversations::counts(message));
    let mut message = MessageRecord { position, unread, ..message.clone() };
    receipts::known_early(records, &mut message)?;
    if message.state != MessageState::Queued as u32 {
        compose::unquote_known(records, &mut message)?;
    }
    conversations::appended(records, &message)?;
    save(records, name, &message);
    if place == 0 {
        retention::enter(records, &message.conversation)?;
    }
    if !message.unread {
        receipts::timers::start(records, &message, Timestamp::from_millis(message.stored_at))?;
    }
    let reference = [message.from.as_slice(), message.id.as_slice()].concat();
    let place = queue.push(records, reference)?;
    amend::arrived(records, &message)?;
    Ok(Some(place))
}

/// Stores a new message at a place of its conversation that is taken, before what stands there; `false` if it cannot be.
pub(crate) fn insert_message(
    records: &mut Overlay<'_>,
    message: &MessageRecord,
    place: u64,
) -> Result<bool, EngineError> {
    let reference = [message.from.as_slice(), message.id.as_slice()].concat();
    if !Queue::new(CONVERSATION, &message.conversation).insert(records, place, reference)? {
        return Ok(false);
    }
    conversations::inserted(records, &message.conversation, place)?;
    let mut message = message.clone();
    compose::unquote_known(records, &mut message)?;
    save_message(records, &message);
    amend::arrived(records, &message)?;
    Ok(true)
}

/// Returns the number that the next event gets.
pub(crate) fn next_event(records: &dyn Records) -> Result<u64, EngineError> {
    Ok(Queue::new(EVENT, b"").state(records)?.next)
}

/// Appends an event that points to a message and returns the event's number.
pub(crate) fn append_event(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<u64, EngineError> {
    let reference = [message.from.as_slice(), message.id.as_slice()].concat();
    Queue::new(EVENT, b"").push(records, reference)
}

/// Marks the reference of an event that is a member's new device; a message's has 32 bytes.
const DEVICE_ADDED: u8 = 1;

/// Marks the reference of an event that messages were lost.
const LOST: u8 = 2;

/// Marks the reference of an event that a member has left.
const LEFT: u8 = 3;

/// Marks the reference of an event that a handle is another member's now.
const REASSIGNED: u8 = 4;

/// Marks the reference of an event that a message has changed.
const CHANGED: u8 = 5;
/// Marks the reference of an event that an own message was delivered, or read.
const RECEIPT: u8 = 50;

/// Something that happened and was not taken.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A message arrived, or another device of the own member sent one.
    Message(Box<MessageRecord>),
    /// A message has changed: it is here as it is now.
    MessageChanged {
        /// The message.
        message: Box<MessageRecord>,
        /// Who has done it.
        by: MemberId,
        /// What.
        kind: ChangeKind,
    },
    /// A member with whom there is a conversation has one device more. Nothing was sealed to it yet.
    DeviceAdded {
        /// The member.
        member: MemberId,
        /// The device.
        device: DeviceId,
    },
    /// Messages of a member's device will never come.
    Lost {
        /// The member.
        member: MemberId,
        /// How many.
        count: u64,
    },
    /// A member with whom there is a conversation has left the organisation. Nothing is sent to them any more.
    MemberLeft {
        /// The member.
        member: MemberId,
    },
    /// A message of the own member was delivered to another member, or read.
    Receipt {
        /// Who has it.
        member: MemberId,
        /// The message, which is the own member's.
        message: Box<MessageRecord>,
        /// Whether it was read; otherwise it has come.
        read: bool,
    },
    /// A handle belongs to another member now. What was written with the old one stays theirs.
    HandleReassigned {
        /// Who had it.
        old: MemberId,
        /// Who has it.
        new: MemberId,
    },
    /// A message that this device wrote waits no longer.
    Settled(settled::Settled),
    /// Another device of the own member has read messages of a conversation.
    Read {
        /// The conversation: the other member, or the group.
        conversation: MemberId,
    },
    /// Messages of a conversation are gone: they have disappeared, or are older than policy lets them be.
    Gone {
        /// The conversation: the other member, or the group.
        conversation: MemberId,
    },
    /// A new device of the own member asks for approval.
    DeviceRequest {
        /// What tells it from others: the fingerprint of its keys, as [`chancery_org::LinkRequest::fingerprint`].
        keys: [u8; 32],
        /// The code that it shows.
        code: String,
    },
}

/// Appends the event that a member has left (R-ENGINE-35).
pub(crate) fn append_left(records: &mut Overlay<'_>, member: &MemberId) -> Result<u64, EngineError> {
    Queue::new(EVENT, b"").push(records, [&[LEFT], member.as_bytes().as_slice()].concat())
}

/// Appends the event that a member has got, or read, an own message (R-ENGINE-107); `None` if too many wait.
pub(crate) fn append_receipt(
    records: &mut Overlay<'_>,
    (member, message): (&MemberId, &MessageRecord),
    read: bool,
) -> Result<Option<u64>, EngineError> {
    let parts = [&[RECEIPT], member.as_bytes().as_slice(), &message.from, &message.id, &[read.into()]];
    settled::push(records, parts.concat())
}

/// Appends the event that a handle is another member's (R-ENGINE-35).
pub(crate) fn append_reassigned(
    records: &mut Overlay<'_>,
    old: &MemberId,
    new: &MemberId,
) -> Result<u64, EngineError> {
    let reference = [&[REASSIGNED], old.as_bytes().as_slice(), new.as_bytes()].concat();
    Queue::new(EVENT, b"").push(records, reference)
}

/// Appends the event that a message has changed (R-ENGINE-104); `None` if too many wait.
pub(crate) fn append_changed(
    records: &mut Overlay<'_>,
    message: &MessageRecord,
    (by, kind): (&MemberId, ChangeKind),
) -> Result<Option<u64>, EngineError> {
    let reference = [&[CHANGED], message.from.as_slice(), &message.id, by.as_bytes(), &[kind as u8]].concat();
    settled::push(records, reference)
}

/// Appends the event that messages will never come (R-ENGINE-27).
pub(crate) fn append_lost(
    records: &mut Overlay<'_>,
    member: &MemberId,
    count: u64,
) -> Result<u64, EngineError> {
    let reference = [&[LOST], member.as_bytes().as_slice(), &count.to_be_bytes()].concat();
    Queue::new(EVENT, b"").push(records, reference)
}

/// Appends the event of a member's new device (R-ENGINE-15).
pub(crate) fn append_device_added(
    records: &mut Overlay<'_>,
    member: &MemberId,
    device: &DeviceId,
) -> Result<u64, EngineError> {
    let reference = [&[DEVICE_ADDED], member.as_bytes().as_slice(), device.as_bytes()].concat();
    Queue::new(EVENT, b"").push(records, reference)
}

/// Whether there are messages with a member.
pub(crate) fn has_conversation(records: &dyn Records, with: &MemberId) -> Result<bool, EngineError> {
    Ok(Queue::new(CONVERSATION, with.as_bytes()).state(records)?.next > 0)
}

/// A part of a history, oldest first; it reads as the list of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is in it.
    pub entries: Vec<T>,
    /// The position from which to read on; `None` if there is nothing more in that direction. Positions are no counts: what was deleted
    /// leaves its own empty.
    pub next: Option<u64>,
}

impl<T> Page<T> {
    /// Returns the same page with something else for each entry.
    ///
    /// # Errors
    ///
    /// The first error of `read`.
    pub fn try_map<U, E>(self, read: impl FnMut(T) -> Result<U, E>) -> Result<Page<U>, E> {
        let entries = self.entries.into_iter().map(read).collect::<Result<_, _>>()?;
        Ok(Page { entries, next: self.next })
    }
}

impl<T> core::ops::Deref for Page<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.entries
    }
}

impl<T> IntoIterator for Page<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

/// Returns up to `most` messages of a conversation, oldest first, from position `from` on.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn conversation(
    records: &dyn Records,
    with: &MemberId,
    from: u64,
    most: usize,
) -> Result<Page<MessageRecord>, EngineError> {
    let queue = Queue::new(CONVERSATION, with.as_bytes());
    let found = collect(records, queue, from, most)?;
    let next = found.last().map(|(last, _)| last.saturating_add(1));
    let end = queue.state(records)?.next;
    let entries = found.into_iter().map(|(_, message)| message).collect();
    Ok(Page { entries, next: next.filter(|next| *next < end) })
}

fn cursor(records: &dyn Records) -> Result<u64, EngineError> {
    Ok(load_number(records, &key(EVENT_CURSOR, &[]))?.unwrap_or_default())
}

/// Returns up to `most` events that have not been taken, with their numbers, oldest first.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn events(records: &dyn Records, most: usize) -> Result<Vec<(u64, Event)>, EngineError> {
    events_from(records, 0, most)
}

/// Returns up to `most` events that have not been taken and have at least this number, oldest first. There is none if this
/// returns none: those of messages that are gone are passed over, and keep none behind them back (R-ENGINE-120).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn events_from(records: &dyn Records, from: u64, most: usize) -> Result<Vec<(u64, Event)>, EngineError> {
    let queue = Queue::new(EVENT, b"");
    let state = queue.state(records)?;
    let mut events = Vec::new();
    for number in from.max(cursor(records)?).max(state.first)..state.next {
        if events.len() >= most {
            break;
        }
        let Some(reference) = records.get(&queue.item_key(number))? else { continue };
        if let Some(event) = read_event(records, &reference)? {
            events.push((number, event));
        }
    }
    Ok(events)
}

/// Reads what an event refers to; `None` if it is gone since.
fn read_event(records: &dyn Records, reference: &[u8]) -> Result<Option<Event>, EngineError> {
    let device = |bytes: &[u8]| DeviceId::from_bytes(bytes).ok_or(EngineError::DamagedRecord);
    Ok(Some(match reference.split_first_chunk::<17>() {
        Some(([DEVICE_ADDED, member @ ..], id)) if id.len() == 16 => {
            Event::DeviceAdded { member: MemberId::new(*member), device: device(id)? }
        }
        Some(([LOST, member @ ..], count)) if count.len() == 8 => Event::Lost {
            member: MemberId::new(*member),
            count: u64::from_be_bytes(count.try_into().map_err(|_| EngineError::DamagedRecord)?),
        },
        Some(([LEFT, member @ ..], [])) => Event::MemberLeft { member: MemberId::new(*member) },
        Some(([REASSIGNED, old @ ..], new)) if new.len() == 16 => Event::HandleReassigned {
            old: MemberId::new(*old),
            new: MemberId::from_bytes(new).ok_or(EngineError::DamagedRecord)?,
        },
        _ if shown::event(reference)?.is_some() => return shown::event(reference),
        Some(_) if settled::is_reference(reference) => Event::Settled(settled::read(reference)?),
        Some(([CHANGED, ..], rest)) if rest.len() == 33 => return changed(records, reference),
        Some(([RECEIPT, member @ ..], [of @ .., read])) if of.len() == 32 => match referenced(records, of)? {
            message if message.expired => return Ok(None),
            message => Event::Receipt {
                member: MemberId::new(*member),
                message: Box::new(message),
                read: *read != 0,
            },
        },
        _ => match referenced(records, reference)? {
            // Policy has deleted it before it was shown.
            message if message.expired => return Ok(None),
            message => Event::Message(Box::new(message)),
        },
    }))
}

/// Reads the event that a message has changed; `None` if it is gone since, or the change is one of a later version.
fn changed(records: &dyn Records, reference: &[u8]) -> Result<Option<Event>, EngineError> {
    let parts = reference.get(1..33).zip(reference.get(33..49)).zip(reference.get(49));
    let ((message, by), kind) = parts.ok_or(EngineError::DamagedRecord)?;
    let by = MemberId::from_bytes(by).ok_or(EngineError::DamagedRecord)?;
    let message = Box::new(referenced(records, message)?);
    let kind = ChangeKind::from_stored(*kind).filter(|_| !message.expired);
    Ok(kind.map(|kind| Event::MessageChanged { message, by, kind }))
}

/// Moves the cursor past the events that were shown, and removes them; the messages stay.
pub(crate) fn events_taken(records: &mut Overlay<'_>, up_to: u64) -> Result<(), EngineError> {
    let from = cursor(records)?;
    let queue = Queue::new(EVENT, b"");
    let next = up_to.saturating_add(1).min(queue.state(records)?.next);
    for number in from..next {
        queue.remove(records, number)?;
    }
    if next > from {
        save_number(records, key(EVENT_CURSOR, &[]), next);
    }
    Ok(())
}

fn collect(
    records: &dyn Records,
    queue: Queue<'_>,
    from: u64,
    most: usize,
) -> Result<Vec<(u64, MessageRecord)>, EngineError> {
    let found = references(records, queue, from, most)?.into_iter();
    found.map(|(number, reference)| Ok((number, referenced(records, &reference)?))).collect()
}

fn references(
    records: &dyn Records,
    queue: Queue<'_>,
    from: u64,
    most: usize,
) -> Result<Vec<(u64, Vec<u8>)>, EngineError> {
    let state = queue.state(records)?;
    let mut found = Vec::new();
    for number in from.max(state.first)..state.next {
        if found.len() >= most {
            break;
        }
        if let Some(reference) = records.get(&queue.item_key(number))? {
            found.push((number, reference));
        }
    }
    Ok(found)
}

pub(crate) fn referenced(records: &dyn Records, reference: &[u8]) -> Result<MessageRecord, EngineError> {
    let bytes = records.get(&key(MESSAGE, &[reference]))?.ok_or(EngineError::DamagedRecord)?;
    let message = decode(&bytes, Limit::RECORD).map_err(|_| EngineError::DamagedRecord)?;
    Ok(message.into_unchecked())
}
