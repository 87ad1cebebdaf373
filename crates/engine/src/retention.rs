//! Messages that policy lets expire.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::{MemberId, Policy};
use chancery_wire::Timestamp;
use chancery_wire::proto::{ConversationIndex, HealState, MessageRecord};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::files;
use crate::group;
use crate::heal::{self, is_over};
use crate::log;
use crate::messages::{MessageState, message_key, save_message};
use crate::peers;
use crate::queue::Queue;
use crate::receipts;
use crate::shown;
use crate::tables::{CONVERSATION, CONVERSATIONS, MESSAGE, key, load, save};
use crate::{amend, conversations};

/// How often messages are looked for that have expired: hourly.
const EXPIRY_CHECK: Duration = Duration::from_secs(60 * 60);

fn index(records: &dyn Records) -> Result<ConversationIndex, EngineError> {
    Ok(load(records, &key(CONVERSATIONS, &[]))?.unwrap_or_default())
}

/// Returns the conversations that are known to have begun.
pub(crate) fn known(records: &dyn Records) -> Result<Vec<Vec<u8>>, EngineError> {
    Ok(index(records)?.member_ids)
}

/// Enters a conversation that begins among those that are looked through.
pub(crate) fn enter(records: &mut Overlay<'_>, member: &[u8]) -> Result<(), EngineError> {
    let mut index = index(records)?;
    if !index.member_ids.iter().any(|known| known == member) {
        index.member_ids.push(member.to_vec());
        save(records, key(CONVERSATIONS, &[]), &index);
    }
    Ok(())
}

/// How long messages are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// After they came; `None`: for ever.
    pub(crate) retention: Option<Duration>,
    /// After they were read, or sent.
    pub(crate) disappearing: Option<Duration>,
}

impl Limits {
    pub(crate) const fn of(policy: &Policy) -> Self {
        Self { retention: policy.retention, disappearing: policy.disappearing }
    }

    /// Returns the shorter of each.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            retention: self.retention.into_iter().chain(other.retention).min(),
            disappearing: self.disappearing.into_iter().chain(other.disappearing).min(),
        }
    }

    /// Returns how long what was read when it was stored is kept; `None`: for ever.
    pub(crate) fn longest(self) -> Option<Duration> {
        self.retention.into_iter().chain(self.disappearing).min()
    }

    const fn is_any(&self) -> bool {
        self.retention.is_some() || self.disappearing.is_some()
    }

    /// Whether a message's time is over.
    pub(crate) fn are_over(&self, message: &MessageRecord, now: Timestamp) -> bool {
        // What an earlier version stored counts as read when it came.
        let shown = message.read_at.max(message.stored_at);
        self.retention.is_some_and(|limit| is_over(message.stored_at, limit, now))
            || (!message.unread && self.disappearing.is_some_and(|limit| is_over(shown, limit, now)))
    }
}

/// Deletes what has expired, if it is time to look (R-ENGINE-36).
pub(crate) fn upkeep(
    records: &mut Overlay<'_>,
    times: &mut HealState,
    now: Timestamp,
) -> Result<(), EngineError> {
    receipts::timers::upkeep(records, now)?;
    if !is_over(times.expired_at, EXPIRY_CHECK, now) {
        return Ok(());
    }
    let limits = Limits::of(&log::policy(records)?);
    if !limits.is_any() && !group::any(records)? {
        return Ok(());
    }
    times.expired_at = now.as_millis();
    heal::save_state(records, times);
    let mut gone = BTreeSet::new();
    for member in names(records)? {
        // Of a group's policy and the organisation's the shorter counts (R-GROUP-3).
        let of_group = member.first_chunk().map(|id| group::limits(records, id)).transpose()?;
        let limits = limits.and(of_group.unwrap_or_default());
        if limits.is_any() && expire_conversation(records, &member, limits, now)? {
            gone.insert(member);
        }
    }
    shown::gone(records, gone)?;
    amend::expire(records, limits, now)
}

/// Returns the conversations that there may be, also those of a version that kept no index.
pub(crate) fn names(records: &dyn Records) -> Result<BTreeSet<Vec<u8>>, EngineError> {
    let mut members: BTreeSet<_> = index(records)?.member_ids.into_iter().collect();
    for device in peers::all(records)? {
        members.insert(peers::peer(records, &device)?.member_id);
    }
    Ok(members)
}

/// Returns whether something is gone.
fn expire_conversation(
    records: &mut Overlay<'_>,
    member: &[u8],
    limits: Limits,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let mut is_less = false;
    let queue = Queue::new(CONVERSATION, member);
    for number in queue.numbers(records)? {
        let Some(reference) = records.get(&queue.item_key(number))? else { continue };
        let name = key(MESSAGE, &[&reference]);
        let message: MessageRecord = load(records, &name)?.ok_or(EngineError::DamagedRecord)?;
        if message.pending > 0 && message.state == MessageState::Queued as u32 {
            continue;
        }
        let latest = now.as_millis();
        if message.stored_at > latest || message.read_at > latest {
            // By a clock that was ahead: it gets its time from now on.
            let (stored_at, read_at) = (message.stored_at.min(latest), message.read_at.min(latest));
            save_message(records, &MessageRecord { stored_at, read_at, ..message });
            continue;
        }
        if !limits.are_over(&message, now) {
            if limits.disappearing.is_none() {
                // Those behind it came later.
                return Ok(is_less);
            }
            continue;
        }
        queue.remove(records, number)?;
        forget(records, &message)?;
        is_less = true;
    }
    Ok(is_less)
}

/// Leaves of a message what keeps it from coming again, and nothing else.
pub(crate) fn forget(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<(), EngineError> {
    if let Some(from) = MemberId::from_bytes(&message.from) {
        files::forget(records, &from, &message.id)?;
    }
    conversations::gone(records, message)?;
    amend::message_gone(records, message)?;
    let left = MessageRecord {
        id: message.id.clone(),
        conversation: message.conversation.clone(),
        from: message.from.clone(),
        state: message.state,
        expired: true,
        ..MessageRecord::default()
    };
    save(records, message_key(&message.from, &message.id), &left);
    Ok(())
}
