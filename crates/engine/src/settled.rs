//! Events that a message of one's own waits no longer: it was sent, or has failed.

use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::{Overlay, Records};

use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::messages::{self, MessageState};
use crate::queue::Queue;
use crate::tables::EVENT;

/// Marks the reference of an event that a message was sent.
const SENT: u8 = 0x40;
/// Marks the reference of an event that a message has failed.
const FAILED: u8 = 0x41;
/// Bytes of such a reference: mark, conversation, message and reason. A message's has 32.
const LENGTH: usize = 34;

/// Events that wait to be taken at most for another to be stored that may be left out: 10,000. Whoever sends and never takes events has
/// no use for them, and the message itself says what became of it, who has it and how it was changed.
pub(crate) const MAX_WAITING: u64 = 10_000;

/// Why a message of one's own has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhyFailed {
    /// The relay has refused it for every device of the recipient, or has not taken it within 30 days.
    Relay = 1,
    /// One of its files was refused, or not taken within 30 days.
    File = 2,
    /// The recipient has no device any more to which it could go.
    NoRecipient = 3,
    /// This device is in the group no more, or may not write in it.
    Group = 4,
    /// It was written to a name that nobody had then, by the directory, or somebody whose entry has changed since: it went to nobody, not
    /// even to whoever has the name now.
    UnknownName = 5,
}

impl WhyFailed {
    /// Returns the name by which programs know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::File => "file",
            Self::NoRecipient => "no-recipient",
            Self::Group => "group",
            Self::UnknownName => "unknown-name",
        }
    }

    /// Returns why a message of one's own has failed (R-ENGINE-143); `None` if it has not, or if a version stored it that did not
    /// note why.
    #[must_use]
    pub fn of(message: &MessageRecord) -> Option<Self> {
        let is_failed = MessageState::from_stored(message.state) == MessageState::Failed;
        Self::from_record(message.why_failed).filter(|_| is_failed)
    }

    const fn from_stored(number: u8) -> Self {
        match number {
            2 => Self::File,
            3 => Self::NoRecipient,
            4 => Self::Group,
            5 => Self::UnknownName,
            _ => Self::Relay,
        }
    }

    /// Reads what a record has; `None` for 0.
    pub(crate) const fn from_record(number: u32) -> Option<Self> {
        match number {
            0 => None,
            2 => Some(Self::File),
            3 => Some(Self::NoRecipient),
            4 => Some(Self::Group),
            5 => Some(Self::UnknownName),
            _ => Some(Self::Relay),
        }
    }
}

/// What became of a message that this device wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settled {
    /// The other member, or the group.
    pub conversation: MemberId,
    /// The message; the own member is its author.
    pub id: [u8; 16],
    /// Why it has failed; `None`: the relay has it.
    pub failed: Option<WhyFailed>,
}

/// Notes in a message why it has failed, if it was queued and has now.
pub(crate) fn mark(message: &mut MessageRecord, was: u32, why: WhyFailed) {
    let was_queued = MessageState::from_stored(was) == MessageState::Queued;
    if was_queued && MessageState::from_stored(message.state) == MessageState::Failed {
        message.why_failed = why as u32;
    }
}

/// Appends the event if a message was queued and is not any more (R-ENGINE-119).
pub(crate) fn note(
    records: &mut Overlay<'_>,
    was: u32,
    message: &MessageRecord,
    why: WhyFailed,
) -> Result<(), EngineError> {
    let state = MessageState::from_stored(message.state);
    let (mark, why) = match state {
        _ if MessageState::from_stored(was) != MessageState::Queued => return Ok(()),
        MessageState::Sent => (SENT, 0),
        MessageState::Failed => (FAILED, why as u8),
        MessageState::Queued | MessageState::Received => return Ok(()),
    };
    push(records, [&[mark], message.conversation.as_slice(), &message.id, &[why]].concat()).map(drop)
}

/// Appends an event that may be left out, and returns its number; `None`, and nothing is appended, while too many wait to be taken.
pub(crate) fn push(records: &mut Overlay<'_>, reference: Vec<u8>) -> Result<Option<u64>, EngineError> {
    let queue = Queue::new(EVENT, b"");
    if queue.len(records)? >= MAX_WAITING {
        return Ok(None);
    }
    queue.push(records, reference).map(Some)
}

/// Whether the reference of an event is one of these.
pub(crate) fn is_reference(reference: &[u8]) -> bool {
    reference.len() == LENGTH && matches!(reference.first(), Some(&(SENT | FAILED)))
}

/// Reads what [`is_reference`] has found.
pub(crate) fn read(reference: &[u8]) -> Result<Settled, EngineError> {
    let Some(([mark, conversation @ ..], rest)) = reference.split_first_chunk::<17>() else {
        return Err(EngineError::DamagedRecord);
    };
    let Some((id, [why])) = rest.split_first_chunk::<16>() else { return Err(EngineError::DamagedRecord) };
    let failed = (*mark == FAILED).then_some(WhyFailed::from_stored(*why));
    Ok(Settled { conversation: MemberId::new(*conversation), id: *id, failed })
}

/// Tells of events that were stored since the next one had number `from`, unless that is told already.
pub(crate) fn announce(
    records: &dyn Records,
    from: u64,
    effects: &mut Vec<Effect>,
) -> Result<(), EngineError> {
    let is_told = effects.iter().any(|effect| matches!(effect, Effect::Notify(Notice::EventStored(_))));
    let next = messages::next_event(records)?;
    if next > from && !is_told {
        effects.push(Effect::Notify(Notice::EventStored(next.saturating_sub(1))));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use chancery_wire::records::RecordKey;

    use super::*;
    use crate::amend::ChangeKind;

    #[test]
    fn receipts_and_changes_are_told_until_too_many_events_wait_r_engine_104_r_engine_107() {
        let disk: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&disk);
        let bob = MemberId::new([2; 16]);
        let message = MessageRecord { from: vec![1; 16], id: vec![3; 16], ..MessageRecord::default() };
        let receipt = |records: &mut _| messages::append_receipt(records, (&bob, &message), true);
        let change =
            |records: &mut _| messages::append_changed(records, &message, (&bob, ChangeKind::Edited));
        assert_eq!((receipt(&mut records), change(&mut records)), (Ok(Some(0)), Ok(Some(1))));
        let queue = Queue::new(EVENT, b"");
        while queue.len(&records).unwrap() < MAX_WAITING {
            queue.push(&mut records, vec![SENT; LENGTH]).unwrap();
        }
        assert_eq!((receipt(&mut records), change(&mut records)), (Ok(None), Ok(None)));
        assert_eq!(queue.len(&records), Ok(MAX_WAITING));
    }
}
