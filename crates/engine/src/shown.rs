//! Events that what is shown has changed without a message having come: read on another device, gone, a device that asks (R-ENGINE-131).

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::group;
use crate::log;
use crate::messages::Event;
use crate::receipts::timers::MAX_DISAPPEAR;
use crate::retention::Limits;
use crate::settled;

/// Marks the reference of an event that another own device has read in a conversation.
const READ: u8 = 0x42;
/// Marks the reference of an event that messages of a conversation are gone.
const GONE: u8 = 0x43;
/// Marks the reference of an event that a new device asks for approval.
const REQUEST: u8 = 0x44;

fn push(records: &mut Overlay<'_>, reference: Vec<u8>) -> Result<(), EngineError> {
    settled::push(records, reference).map(drop)
}

/// Appends one event for each conversation in which another own device has read.
pub(crate) fn read_elsewhere(
    records: &mut Overlay<'_>,
    conversations: BTreeSet<Vec<u8>>,
) -> Result<(), EngineError> {
    conversations.into_iter().try_for_each(|it| push(records, [&[READ], it.as_slice()].concat()))
}

/// Appends one event for each conversation of which messages are gone.
pub(crate) fn gone(records: &mut Overlay<'_>, conversations: BTreeSet<Vec<u8>>) -> Result<(), EngineError> {
    conversations.into_iter().try_for_each(|it| push(records, [&[GONE], it.as_slice()].concat()))
}

/// Appends the event that a new device of the own member asks for approval.
pub(crate) fn asks(records: &mut Overlay<'_>, keys: &[u8; 32], code: &str) -> Result<(), EngineError> {
    push(records, [&[REQUEST], keys.as_slice(), code.as_bytes()].concat())
}

/// Reads the reference of an event, if it is one of these.
pub(crate) fn event(reference: &[u8]) -> Result<Option<Event>, EngineError> {
    let Some((mark, rest)) = reference.split_first() else { return Ok(None) };
    // A message's reference has 32 bytes and begins with any.
    let conversation = rest.first_chunk::<16>().filter(|_| rest.len() == 16);
    Ok(match (*mark, conversation) {
        (READ, Some(id)) => Some(Event::Read { conversation: MemberId::new(*id) }),
        (GONE, Some(id)) => Some(Event::Gone { conversation: MemberId::new(*id) }),
        (REQUEST, _) => match rest.split_first_chunk::<32>() {
            Some((keys, code)) if !code.is_empty() => {
                let code = String::from_utf8(code.to_vec()).map_err(|_| EngineError::DamagedRecord)?;
                Some(Event::DeviceRequest { keys: *keys, code })
            }
            _ => None,
        },
        _ => None,
    })
}

/// Returns when a message goes, as far as that is known: by its own timer, or as the policy and its group have it now. `None` while nothing
/// lets it go, and for what begins only when it is read.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn expires_at(records: &dyn Records, message: &MessageRecord) -> Result<Option<Timestamp>, EngineError> {
    let of_group = message.group.first_chunk().map(|id| group::limits(records, id)).transpose()?;
    let limits = Limits::of(&log::policy(records)?).and(of_group.unwrap_or_default());
    let seconds = message.text.as_ref().map_or(0, |text| text.disappear_after).min(MAX_DISAPPEAR);
    let timer = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
    let stored = Timestamp::from_millis(message.stored_at);
    let shown = Timestamp::from_millis(message.read_at.max(message.stored_at));
    let after_reading = timer.into_iter().chain(limits.disappearing).min().filter(|_| !message.unread);
    let times = [limits.retention.map(|it| stored.after(it)), after_reading.map(|it| shown.after(it))];
    Ok(times.into_iter().flatten().min())
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec;

    use chancery_wire::proto::Text;
    use chancery_wire::records::RecordKey;

    use super::*;
    use crate::messages::events;
    use crate::queue::Queue;
    use crate::settled::MAX_WAITING;
    use crate::tables::EVENT;

    #[test]
    fn each_conversation_is_told_once_a_pass_and_nothing_grows_without_bound_r_engine_131() {
        let disk: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let two = || BTreeSet::from([vec![1; 16], vec![2; 16]]);
        let mut records = Overlay::new(&disk);
        read_elsewhere(&mut records, two()).unwrap();
        gone(&mut records, two()).unwrap();
        asks(&mut records, &[7; 32], "1234 5678").unwrap();
        let found: Vec<Event> = events(&records, 10).unwrap().into_iter().map(|it| it.1).collect();
        let [one, two_id] = [1, 2].map(|id| MemberId::new([id; 16]));
        let asked = Event::DeviceRequest { keys: [7; 32], code: "1234 5678".into() };
        let expected = [
            Event::Read { conversation: one },
            Event::Read { conversation: two_id },
            Event::Gone { conversation: one },
            Event::Gone { conversation: two_id },
            asked,
        ];
        assert_eq!(found, expected);
        for _ in 0..MAX_WAITING {
            gone(&mut records, two()).unwrap();
        }
        assert_eq!(Queue::new(EVENT, b"").len(&records), Ok(MAX_WAITING));
    }

    #[test]
    fn a_message_says_when_it_goes_once_its_time_runs() {
        let records: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let text = Some(Text { disappear_after: 5, ..Text::default() });
        let unread = MessageRecord { stored_at: 1_000, unread: true, text, ..MessageRecord::default() };
        assert_eq!(expires_at(&records, &unread), Ok(None));
        let read = MessageRecord { unread: false, read_at: 3_000, ..unread };
        assert_eq!(expires_at(&records, &read), Ok(Some(Timestamp::from_millis(8_000))));
        let plain = MessageRecord { text: None, ..read };
        assert_eq!(expires_at(&records, &plain), Ok(None));
    }
}
