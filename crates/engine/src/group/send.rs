//! Messages to a group: kept, sealed when nothing forbids it, sent to all at once (R-ENGINE-79, R-ENGINE-80).

use alloc::vec::Vec;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_group::{Entry, GroupError, Info, Rows as _, Slot};
use chancery_identity::MemberId;
use chancery_identity::delivery::Use;
use chancery_wire::proto::{
    FanOut, GroupOutRecord, GroupStateRecord, MessageAct, MessageRecord, OutboxItem, Text, UploadStep,
    message_act::Act, outbox_item,
};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Timestamp, encode};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::rows::{self, GroupRows};
use crate::group::{GroupDraft, GroupStep, epochs, evict, follow, mark, state, waiting};
use crate::messages::{MessageState, message, save_message};
use crate::queue::Queue;
use crate::settled::{self, WhyFailed};
use crate::tables::{GROUP_OUT, load, save};
use crate::{content, log, sending, upkeep};

/// Messages that wait in one group: 1,000, as many as for one device (R-ENGINE-13).
const MAX_WAITING: u64 = 1000;

/// What goes to a group's set: hand-outs, which others wait for, before messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lane {
    HandOuts = 0,
    Messages = 1,
}

/// The name of a group's queue.
fn name(group: &[u8; 16], lane: Lane) -> Vec<u8> {
    [&group[..], &[lane as u8]].concat()
}

const fn queue_of(name: &[u8]) -> Queue<'_> {
    Queue::new(GROUP_OUT, name)
}

/// Names an item of either queue.
const fn item_of(lane: Lane, number: u64) -> u64 {
    (number << 1) | lane as u64
}

const fn place_of(item: u64) -> (Lane, u64) {
    (if item & 1 == 0 { Lane::HandOuts } else { Lane::Messages }, item >> 1)
}

fn out(records: &dyn Records, group: &[u8; 16], item: u64) -> Result<Option<GroupOutRecord>, EngineError> {
    let (lane, number) = place_of(item);
    load(records, &queue_of(&name(group, lane)).item_key(number))
}

fn remove(records: &mut Overlay<'_>, group: &[u8; 16], item: u64) -> Result<(), EngineError> {
    let (lane, number) = place_of(item);
    queue_of(&name(group, lane)).remove(records, number)
}

/// Whether this device takes back what it wrote itself, which it may whatever its role (R-CONTENT-24).
fn is_own_deletion(record: &MessageRecord) -> bool {
    let is_deletion = |done: &MessageAct| matches!(done.act, Some(Act::Deletion(_)));
    record.deleted || record.done.as_deref().is_some_and(is_deletion)
}

/// Returns the own entry of a group in which this may be written.
fn writer(records: &dyn Records, group: &[u8; 16], record: &MessageRecord) -> Result<Entry, EngineError> {
    let head = rows::head(records, group)?.ok_or(EngineError::NoGroup)?;
    let slot = Slot::from_u32(head.slot).ok_or(EngineError::DamagedRecord)?;
    let entry = GroupRows::new(records, *group).entry(slot).map_err(|_| EngineError::DamagedRecord)?;
    let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
    let info = Info::from_bytes(&head.info)?;
    if !info.lets_write(entry.role) && !is_own_deletion(record) {
        return Err(GroupError::NotAllowed.into());
    }
    Ok(entry)
}

/// Stores a message; it is sealed only when it can be sent. Its files are uploaded before.
pub(crate) fn queue(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    draft: &GroupDraft<'_>,
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    let text = Text { text: draft.text.into(), attachments: draft.attachments.clone(), ..Text::default() };
    let place = (draft.message_id, &draft.group_id);
    let record = content::from_text(place, text, &me.member_id(), now)?;
    queue_record(records, &draft.group_id, record, now)
}

/// Stores a message, or what acts on one, as [`queue`] does.
pub(crate) fn queue_record(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    mut record: MessageRecord,
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    state::open(records, group)?;
    writer(records, group, &record)?;
    let waiting = name(group, Lane::Messages);
    let attachments = record.text.as_ref().map_or(&[][..], |text| &text.attachments);
    let files = attachments.len() as u64;
    if queue_of(&waiting).len(records)? >= MAX_WAITING || sending::room(records)? < files {
        return Err(EngineError::QueueFull);
    }
    record.group = group.to_vec();
    record.pending = u32::try_from(files.saturating_add(1)).unwrap_or(u32::MAX);
    if !sending::store(records, &record)? {
        return Err(EngineError::Misuse("message identifier was used before"));
    }
    for file in record.text.iter().flat_map(|text| &text.attachments) {
        let step = outbox_item::Step::Upload(UploadStep { blob_id: file.blob_id.clone() });
        let item = OutboxItem {
            conversation: record.conversation.clone(),
            message_id: record.id.clone(),
            step: Some(step),
            ..OutboxItem::default()
        };
        sending::push(records, &item)?;
    }
    let out = GroupOutRecord { message_id: record.id, ..GroupOutRecord::default() };
    queue_of(&waiting).push(records, encode(&out))?;
    upkeep::warn(records, now)
}

/// Stores an envelope that goes to a range of slots of the newest epoch's set, before the messages that wait; it is dropped with
/// the epoch.
pub(crate) fn publish(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    envelope: Vec<u8>,
    (first, count): (u32, u32),
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let delivery_id = random_bytes::<16>(rng).to_vec();
    let out = GroupOutRecord { delivery_id, envelope, first, count, ..GroupOutRecord::default() };
    queue_of(&name(group, Lane::HandOuts)).push(records, encode(&out)).map(drop)
}

/// The epoch is another: what was sealed in the one before and is not known to be at the relay is sealed anew, under the same
/// identifier and number, and hand-outs of it are of no use.
pub(crate) fn reopen(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<(), EngineError> {
    let hand_outs = name(group, Lane::HandOuts);
    for number in queue_of(&hand_outs).numbers(records)? {
        queue_of(&hand_outs).remove(records, number)?;
    }
    let messages = name(group, Lane::Messages);
    for number in queue_of(&messages).numbers(records)? {
        let item_key = queue_of(&messages).item_key(number);
        let Some(mut out) = load::<GroupOutRecord>(records, &item_key)? else { continue };
        if out.envelope.is_empty() {
            // Nothing behind it was sealed either.
            break;
        }
        (out.envelope, out.delivery_id) = (Vec::new(), Vec::new());
        save(records, item_key, &out);
    }
    Ok(())
}

/// What waits can never be sent: this device is in the group no more.
pub(crate) fn fail_all(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
) -> Result<(), EngineError> {
    reopen(records, group)?;
    let waiting = name(group, Lane::Messages);
    for number in queue_of(&waiting).numbers(records)? {
        if let Some(out) = load::<GroupOutRecord>(records, &queue_of(&waiting).item_key(number))? {
            fail(records, &me.member_id(), &out)?;
        }
        queue_of(&waiting).remove(records, number)?;
    }
    Ok(())
}

fn fail(records: &mut Overlay<'_>, own: &MemberId, out: &GroupOutRecord) -> Result<(), EngineError> {
    if let Some(mut record) = message(records, own, &out.message_id)? {
        let was = core::mem::replace(&mut record.state, MessageState::Failed as u32);
        record.pending = 0;
        settled::mark(&mut record, was, WhyFailed::Group);
        save_message(records, &record);
        settled::note(records, was, &record, WhyFailed::Group)?;
    }
    Ok(())
}

/// Whether nothing is left of it to send.
const fn is_over(record: &MessageRecord) -> bool {
    record.state == MessageState::Failed as u32 || record.expired
}

/// Whether messages wait to be sent.
pub(crate) fn waits(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    Ok(queue_of(&name(group, Lane::Messages)).len(records)? > 0)
}

/// Whether anything may be sealed for a group now: it is open, no commit waits for its secret, nobody of the roster has ended
/// (R-GROUP-20), and the log allows it (R-ENGINE-32).
fn may_seal(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    now: Timestamp,
) -> Result<bool, EngineError> {
    Ok(state.state == state::OPEN
        && log::state_now(records, now)?.allows_sealing()
        && may_go(records, group)?)
}

/// Whether the newest epoch is one to send in: no commit waits for its secret, or to be judged, and nobody of the roster has ended.
fn may_go(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    if follow::next(records, group)?.is_some() || evict::is_needed(records, group)? {
        return Ok(false);
    }
    let Some(state) = state::load(records, group)? else { return Ok(false) };
    Ok(!waiting::holds_up(records, &state.set_name)?)
}

/// Whether hand-outs are sent: also while a commit is said to be withheld, since evictions are made then (R-ENGINE-75).
pub(crate) const fn hands_on(state: &GroupStateRecord) -> bool {
    matches!(state.state, state::OPEN | state::WITHHELD)
}

/// Returns the next envelope to send, or the next message to seal, in the order in which they were written.
pub(crate) fn next_step(
    engine: &Engine,
    records: &dyn Records,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    let Some(state) = state::load(records, group)?.filter(hands_on) else { return Ok(None) };
    for lane in [Lane::HandOuts, Lane::Messages] {
        if lane == Lane::Messages && state.state != state::OPEN {
            continue;
        }
        let name = name(group, lane);
        let Some(number) = queue_of(&name).numbers(records)?.next() else { continue };
        let item = item_of(lane, number);
        let out = out(records, group, item)?.ok_or(EngineError::DamagedRecord)?;
        if !out.envelope.is_empty() {
            // Since it was sealed somebody may have ended: it is sealed anew in the epoch without them.
            if lane == Lane::Messages && !may_go(records, group)? {
                continue;
            }
            let name = state.set_name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
            let frame = FanOut {
                token: engine.delivery_token(records, (Use::Send, name))?,
                set: state.set_name,
                key: state.set_key,
                first: out.first,
                count: out.count,
                delivery_id: out.delivery_id,
                envelope: out.envelope,
            };
            return Ok(Some(GroupStep::FanOut { group_id: *group, item, frame }));
        }
        let record = message(records, &engine.device().member_id(), &out.message_id)?;
        let is_over = record.as_ref().is_none_or(is_over);
        let is_uploaded = record.is_some_and(|it| it.pending <= 1);
        if is_over || (is_uploaded && may_seal(records, (group, &state), now)?) {
            return Ok(Some(GroupStep::Seal { group_id: *group, item }));
        }
    }
    Ok(None)
}

/// Seals a message in the epoch of now.
pub(crate) fn seal(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, item): (&[u8; 16], u64),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    // Another process may have dealt with the item in the meantime.
    let Some(mut out) = out(records, group, item)?.filter(|out| out.envelope.is_empty()) else {
        return Ok(Vec::new());
    };
    let own = me.member_id();
    let record = message(records, &own, &out.message_id)?;
    let Some(record) = record.filter(|it| !is_over(it)) else {
        remove(records, group, item)?;
        return Ok(Vec::new());
    };
    let Some(mut state) = state::load(records, group)? else { return Ok(Vec::new()) };
    if record.pending > 1 || !may_seal(records, (group, &state), now)? {
        return Ok(Vec::new());
    }
    // The role may be another by now.
    let Ok(entry) = writer(records, group, &record) else {
        fail(records, &own, &out)?;
        remove(records, group, item)?;
        return Ok(Vec::new());
    };
    let epoch = epochs::messages(records, group, state.epoch)?;
    let (epoch, mut messages) = epoch.ok_or(EngineError::DamagedRecord)?;
    if out.number == 0 {
        out.number = state.sent.saturating_add(1);
        state.sent = out.number;
        state::save(records, group, &state);
    }
    let mut content = content::of_record(&record, false);
    content.number = out.number;
    let slot = GroupRows::new(records, *group).slot_of(&entry.device);
    let slot = slot.map_err(|_| EngineError::DamagedRecord)?.ok_or(EngineError::DamagedRecord)?;
    let Ok(envelope) = messages.seal(slot, &me.keys().group, &encode(&content), rng) else {
        fail(records, &own, &out)?;
        remove(records, group, item)?;
        return Ok(Vec::new());
    };
    epochs::save_messages(records, group, epoch, &messages);
    save_message(records, &MessageRecord { epoch: state.epoch, ..record });
    mark::send_first(me, records, group, (now, &mut *rng))?;
    (out.envelope, out.delivery_id) = (envelope, random_bytes::<16>(rng).to_vec());
    let (lane, number) = place_of(item);
    save(records, queue_of(&name(group, lane)).item_key(number), &out);
    Ok(Vec::new())
}

/// The relay has an envelope.
pub(crate) fn sent(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    item: u64,
) -> Result<Vec<Effect>, EngineError> {
    let Some(out) = out(records, group, item)? else { return Ok(Vec::new()) };
    // It was taken back since, because the epoch is another: it goes again, and nobody shows it twice.
    if out.envelope.is_empty() {
        return Ok(Vec::new());
    }
    remove(records, group, item)?;
    if let Some(mut record) = message(records, &me.member_id(), &out.message_id)?
        && !out.message_id.is_empty()
    {
        record.pending = record.pending.saturating_sub(1);
        record.delivered = record.delivered.saturating_add(1);
        let was = core::mem::replace(&mut record.state, MessageState::Sent as u32);
        save_message(records, &record);
        settled::note(records, was, &record, WhyFailed::Relay)?;
    }
    Ok(Vec::new())
}
