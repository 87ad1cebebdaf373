//! Numbers between two devices: what was sent and not acknowledged, what came, and what is missing.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{Content, NumberRange, NumbersRecord, ReceivedRange, SentRecord};
use chancery_wire::records::Overlay;
use chancery_wire::records::{RecordKey, Records};

use crate::error::EngineError;
use crate::peers;
use crate::receipts;
use crate::tables::{NUMBERS, SENT, key, load, save};

/// Messages to one device that are held until it acknowledges them: 1,000, what one jump of a session may pass
/// over. What is older than that is not sent again (R-ENGINE-18).
pub(crate) const MAX_HELD: u64 = 1000;
/// How long a message is held: 30 days, as long as the keys of messages that were passed over.
pub(crate) const HELD_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Ranges beyond a gap that are told apart: 64. With more, the oldest gap is given up, so that a record stays small
/// (R-CONTENT-10).
pub(crate) const MAX_RANGES: usize = 64;
/// How often one message is sent again to one device: 3 times.
pub(crate) const MAX_RESENDS: u32 = 3;
/// How far above what is known a number may lie: 2^20. No two devices miss a million messages of each other, and
/// whoever says so must not make the other side give up on what is yet to come (R-CONTENT-11).
pub(crate) const MAX_JUMP: u64 = 1 << 20;

pub(crate) fn numbers(records: &dyn Records, device: &DeviceId) -> Result<NumbersRecord, EngineError> {
    Ok(load(records, &key(NUMBERS, &[device.as_bytes()]))?.unwrap_or_default())
}

pub(crate) fn save_numbers(records: &mut Overlay<'_>, device: &DeviceId, numbers: &NumbersRecord) {
    save(records, key(NUMBERS, &[device.as_bytes()]), numbers);
}

fn sent_key(device: &DeviceId, number: u64) -> RecordKey {
    key(SENT, &[device.as_bytes(), &number.to_be_bytes()])
}

/// The first 8 bytes of an identifier: enough to notice that two devices mean different messages by one number.
fn check(id: &[u8]) -> u64 {
    id.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// Completes a content for a device: gives a message its number and acknowledges what has come (R-CONTENT-9).
pub(crate) fn complete(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    content: &mut Content,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut numbers = numbers(records, device)?;
    if content.number == 0 && !content.id.is_empty() {
        numbers.last_sent = numbers.last_sent.saturating_add(1);
        content.number = numbers.last_sent;
        let sent = SentRecord { message_id: content.id.clone(), sealed_at: now.as_millis(), resent: 0 };
        save(records, sent_key(device, content.number), &sent);
        drop_surplus(records, device, &mut numbers);
        if numbers.awaited_since == 0 {
            numbers.awaited_since = now.as_millis().max(1);
            enter(records, device, &mut numbers)?;
        }
    }
    if content.number == 0 {
        // A device that got none of the numbered ones learns by this that it misses them.
        content.sent = numbers.last_sent;
    }
    content.acknowledged = numbers.received_up_to;
    content.acknowledged_check = numbers.received_check;
    content.no_delivery = content.acknowledged != 0 && receipts::told(records)?.no_delivery;
    if !is_passing(content) {
        numbers.owed_since = 0;
    }
    if !content.id.is_empty() {
        numbers.active_at = now.as_millis();
    }
    save_numbers(records, device, &numbers);
    Ok(())
}

/// Whether a content is sent once, whatever becomes of it: nothing may be thought said by it (R-ENGINE-112).
pub(crate) const fn is_passing(content: &Content) -> bool {
    matches!(content.body, Some(Body::Typing(_)))
}

/// Enters a device among those that upkeep looks after, if there is something that time demands.
fn enter(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    numbers: &mut NumbersRecord,
) -> Result<(), EngineError> {
    if !numbers.due && needs_care(numbers) {
        numbers.due = true;
        peers::set_due(records, device, true)?;
    }
    Ok(())
}

/// Whether something will have to be done in time.
pub(crate) const fn needs_care(numbers: &NumbersRecord) -> bool {
    numbers.gap_since != 0
        || numbers.owed_since != 0
        || numbers.ask_due != 0
        || numbers.suspect_due != 0
        || numbers.awaited_since != 0
}

/// Stores numbers of a device, and has upkeep look after it as long as that is needed.
pub(crate) fn save_and_enter(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    numbers: &mut NumbersRecord,
) -> Result<(), EngineError> {
    if numbers.due && !needs_care(numbers) {
        numbers.due = false;
        peers::set_due(records, device, false)?;
    }
    enter(records, device, numbers)?;
    save_numbers(records, device, numbers);
    Ok(())
}

/// Something that was held is held no longer: the wait for an acknowledgement begins anew, or ends.
fn freed(numbers: &mut NumbersRecord, now: Timestamp) {
    let holds = numbers.first_held.max(1) <= numbers.last_sent;
    numbers.awaited_since = if holds { now.as_millis().max(1) } else { 0 };
    numbers.nudge_due = 0;
    numbers.nudges = 0;
}

/// Keeps the sent-records within [`MAX_HELD`].
fn drop_surplus(records: &mut Overlay<'_>, device: &DeviceId, numbers: &mut NumbersRecord) {
    numbers.first_held = numbers.first_held.max(1);
    while numbers.last_sent.saturating_sub(numbers.first_held) >= MAX_HELD {
        records.delete(sent_key(device, numbers.first_held));
        numbers.first_held = numbers.first_held.saturating_add(1);
    }
}

/// Drops sent-records that are too old to be of use.
pub(crate) fn drop_old(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut numbers = numbers(records, device)?;
    let before = numbers.first_held;
    for number in numbers.first_held.max(1)..=numbers.last_sent {
        let name = sent_key(device, number);
        if let Some(sent) = load::<SentRecord>(records, &name)? {
            if now.since(Timestamp::from_millis(sent.sealed_at)) < HELD_LIFETIME {
                break;
            }
            records.delete(name);
        }
        numbers.first_held = number.saturating_add(1);
    }
    // What an earlier version held is waited for from the first look on.
    let waits = numbers.first_held.max(1) <= numbers.last_sent;
    if numbers.first_held != before || waits != (numbers.awaited_since != 0) {
        if !waits || numbers.awaited_since == 0 {
            freed(&mut numbers, now);
        }
        save_and_enter(records, device, &mut numbers)?;
    }
    Ok(())
}

/// What a peer device's words about numbers lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Agreed,
    /// It has had other messages under these numbers: what is held must be numbered anew, from above this one.
    Disagreed(u64),
    /// They are not plausible; nothing of them counts.
    Refused,
}

/// What was heard, and how many messages will never come by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hearing {
    pub(crate) heard: Heard,
    pub(crate) lost: u64,
    /// Messages of this device that were held for the peer device and that it has acknowledged now.
    pub(crate) arrived: Vec<Vec<u8>>,
}

/// How many numbers are settled: they have come, or never will.
fn settled(numbers: &NumbersRecord) -> u64 {
    let above = numbers.above.iter().map(|range| range.last.saturating_sub(range.first).saturating_add(1));
    above.fold(numbers.received_up_to, u64::saturating_add)
}

/// Whether the numbers of a content are within [`MAX_JUMP`] of what is known (R-CONTENT-11).
fn are_plausible(numbers: &NumbersRecord, content: &Content, highest: u64) -> bool {
    let (known, _) = missing(numbers);
    let received = known.max(numbers.promised).saturating_add(MAX_JUMP);
    let sent = numbers.last_sent.saturating_add(MAX_JUMP);
    content.number <= received
        && content.sent <= received
        && content.gone.iter().chain(&content.moved).all(|range| range.last <= received)
        && content.acknowledged <= sent
        && highest <= sent
}

/// Takes over an authentic content's number and acknowledgement; `highest` is that of its heal, 0 without one.
pub(crate) fn hear(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    (content, highest): (&Content, u64),
    now: Timestamp,
) -> Result<Hearing, EngineError> {
    let mut numbers = numbers(records, device)?;
    // Whatever it says: what was read from the device is not what was not.
    numbers.suspect_due = 0;
    if !content.id.is_empty() {
        numbers.active_at = now.as_millis();
    }
    if !are_plausible(&numbers, content, highest) {
        save_and_enter(records, device, &mut numbers)?;
        return Ok(Hearing { heard: Heard::Refused, lost: 0, arrived: Vec::new() });
    }
    let (before, settled_before) = (numbers.received_up_to, settled(&numbers));
    let mut arrived = 0;
    if content.number != 0 {
        let (number, check) = (content.number, check(&content.id));
        insert(&mut numbers, ReceivedRange { first: number, last: number, check });
        arrived = u64::from(settled(&numbers) > settled_before);
    }
    for gone in content.gone.iter().take(MAX_RANGES) {
        insert(&mut numbers, ReceivedRange { first: gone.first.max(1), last: gone.last, check: 0 });
    }
    let lost = settled(&numbers).saturating_sub(settled_before).saturating_sub(arrived);
    // What comes under another number is not lost.
    for moved in content.moved.iter().take(MAX_RANGES) {
        insert(&mut numbers, ReceivedRange { first: moved.first.max(1), last: moved.last, check: 0 });
    }
    let asked = content.awaits || matches!(content.body, Some(Body::Heal(_)));
    if numbers.owed_since == 0 && (content.number != 0 || (asked && content.id.is_empty())) {
        numbers.owed_since = now.as_millis().max(1);
    }
    numbers.promised = numbers.promised.max(content.sent);
    if numbers.above.is_empty() && numbers.received_up_to >= numbers.promised {
        numbers.gap_since = 0;
        numbers.heals = 0;
        numbers.ask_due = 0;
    } else if numbers.gap_since == 0 || numbers.received_up_to != before {
        // Another number is the lowest missing one: that is another gap, with patience of its own.
        numbers.gap_since = now.as_millis().max(1);
        numbers.heals = 0;
    }
    let (heard, arrived) = acknowledged(records, device, (&mut numbers, content), now)?;
    save_and_enter(records, device, &mut numbers)?;
    Ok(Hearing { heard, lost, arrived })
}

/// Frees what the peer device has, unless it means other messages by its numbers than this one does.
fn acknowledged(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    (numbers, content): (&mut NumbersRecord, &Content),
    now: Timestamp,
) -> Result<(Heard, Vec<Vec<u8>>), EngineError> {
    let up_to = content.acknowledged;
    if up_to > numbers.last_sent {
        return Ok((Heard::Disagreed(up_to), Vec::new()));
    }
    if let Some(held) = load::<SentRecord>(records, &sent_key(device, up_to))? {
        if content.acknowledged_check == 0 {
            // It knows the number only as one that never comes; this device has not said so of it.
            return Ok((Heard::Agreed, Vec::new()));
        }
        if check(&held.message_id) != content.acknowledged_check {
            return Ok((Heard::Disagreed(up_to), Vec::new()));
        }
    }
    let first = numbers.first_held.max(1);
    let mut arrived = Vec::new();
    for number in first..=up_to {
        let name = sent_key(device, number);
        arrived.extend(load::<SentRecord>(records, &name)?.map(|sent| sent.message_id));
        records.delete(name);
    }
    if up_to >= first {
        numbers.first_held = up_to.saturating_add(1);
        freed(numbers, now);
    }
    Ok((Heard::Agreed, arrived))
}

/// Enters numbers that have come, and moves the start over what has become contiguous.
fn insert(numbers: &mut NumbersRecord, new: ReceivedRange) {
    if new.last < new.first || new.last <= numbers.received_up_to {
        return;
    }
    let at = numbers.above.partition_point(|range| range.first <= new.first);
    numbers.above.insert(at, new);
    let mut merged: Vec<ReceivedRange> = Vec::with_capacity(numbers.above.len());
    for range in core::mem::take(&mut numbers.above) {
        match merged.last_mut() {
            Some(last) if range.first <= last.last.saturating_add(1) => {
                if range.last > last.last {
                    *last = ReceivedRange { first: last.first, ..range };
                }
            }
            _ => merged.push(range),
        }
    }
    let too_many = merged.len() > MAX_RANGES;
    for (index, range) in merged.into_iter().enumerate() {
        let contiguous = range.first <= numbers.received_up_to.saturating_add(1);
        if contiguous || (index == 0 && too_many) {
            numbers.received_up_to = range.last;
            numbers.received_check = range.check;
        } else {
            numbers.above.push(range);
        }
    }
}

/// Gives up what is missing, because it is too old to come any more, and returns how much that is.
pub(crate) fn give_up(numbers: &mut NumbersRecord) -> u64 {
    let before = settled(numbers);
    if let Some(last) = numbers.above.pop() {
        numbers.received_up_to = last.last;
        numbers.received_check = last.check;
    }
    numbers.above.clear();
    if numbers.promised > numbers.received_up_to {
        numbers.received_up_to = numbers.promised;
        numbers.received_check = 0;
    }
    numbers.promised = 0;
    numbers.gap_since = 0;
    numbers.heals = 0;
    numbers.ask_due = 0;
    settled(numbers).saturating_sub(before)
}

/// Returns the highest number that has come, and what is missing below it.
pub(crate) fn missing(numbers: &NumbersRecord) -> (u64, Vec<NumberRange>) {
    let mut missing = Vec::with_capacity(numbers.above.len());
    let mut next = numbers.received_up_to.saturating_add(1);
    for range in &numbers.above {
        missing.push(NumberRange { first: next, last: range.first.saturating_sub(1) });
        next = range.last.saturating_add(1);
    }
    (next.saturating_sub(1), missing)
}

/// A message to send again.
pub(crate) struct Resend {
    pub(crate) number: u64,
    pub(crate) message_id: Vec<u8>,
}

/// What answers a heal.
#[derive(Default)]
pub(crate) struct Answer {
    pub(crate) resend: Vec<Resend>,
    pub(crate) gone: Vec<NumberRange>,
    pub(crate) moved: Vec<NumberRange>,
}

/// Collects what a device has not received of what was sent to it, counting each as sent again, at most `room`
/// messages: what there is no room for is neither counted nor gone (R-ENGINE-20).
pub(crate) fn answer(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    (highest, missing): (u64, &[NumberRange]),
    room: u64,
) -> Result<Answer, EngineError> {
    let numbers = numbers(records, device)?;
    let mut answer = Answer::default();
    let rest = NumberRange { first: highest.saturating_add(1), last: numbers.last_sent };
    let mut floor = 1;
    for range in missing.iter().take(MAX_RANGES).chain([&rest]) {
        // Whatever the peer writes, no number is looked at twice.
        let (first, last) = (range.first.max(floor), range.last.min(numbers.last_sent));
        if first > last {
            continue;
        }
        floor = last.saturating_add(1);
        let held = first.max(numbers.first_held);
        if first < held {
            answer.gone.push(NumberRange { first, last: last.min(held.saturating_sub(1)) });
        }
        for number in held..=last {
            answer_one(records, device, number, (&mut answer, room))?;
        }
    }
    // The ranges of a content are bounded; what does not fit is told at the next heal.
    answer.gone.truncate(MAX_RANGES);
    Ok(answer)
}

fn answer_one(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    number: u64,
    (answer, room): (&mut Answer, u64),
) -> Result<(), EngineError> {
    let name = sent_key(device, number);
    if let Some(mut sent) = load::<SentRecord>(records, &name)?
        && sent.resent < MAX_RESENDS
    {
        if u64::try_from(answer.resend.len()).is_ok_and(|count| count >= room) {
            return Ok(());
        }
        sent.resent = sent.resent.saturating_add(1);
        answer.resend.push(Resend { number, message_id: sent.message_id.clone() });
        save(records, name, &sent);
        return Ok(());
    }
    records.delete(name);
    append(&mut answer.gone, number);
    Ok(())
}

/// Adds a number to ranges below it.
fn append(ranges: &mut Vec<NumberRange>, number: u64) {
    match ranges.last_mut() {
        Some(range) if range.last.saturating_add(1) == number => range.last = number,
        _ => ranges.push(NumberRange { first: number, last: number }),
    }
}

/// A message that was numbered and will not be sent after all: a heal tells the peer that it is gone.
pub(crate) fn forget(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    message_id: &[u8],
) -> Result<(), EngineError> {
    match number_of(records, device, message_id)? {
        0 => {}
        number => records.delete(sent_key(device, number)),
    }
    Ok(())
}

/// Numbers anew, above `highest`, everything that is held: this device's store was put back, or the peer's
/// numbers are of another time. Returns what to send again, at most `room` messages, the peer finds out about the
/// others by their numbers; and the old numbers above `highest`, which the peer would miss (R-ENGINE-18).
pub(crate) fn renumber(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    highest: u64,
    room: u64,
) -> Result<Answer, EngineError> {
    let mut numbers = numbers(records, device)?;
    let old = numbers.first_held.max(1)..=numbers.last_sent;
    numbers.last_sent = numbers.last_sent.max(highest);
    numbers.first_held = numbers.last_sent.saturating_add(1);
    let mut answer = Answer::default();
    for number in old {
        let name = sent_key(device, number);
        let Some(mut sent) = load::<SentRecord>(records, &name)? else { continue };
        records.delete(name);
        if sent.resent >= MAX_RESENDS {
            continue;
        }
        numbers.last_sent = numbers.last_sent.saturating_add(1);
        if number > highest {
            append(&mut answer.moved, number);
        }
        let fits = u64::try_from(answer.resend.len()).is_ok_and(|count| count < room);
        sent.resent = sent.resent.saturating_add(fits.into());
        save(records, sent_key(device, numbers.last_sent), &sent);
        if !fits {
            continue;
        }
        answer.resend.push(Resend { number: numbers.last_sent, message_id: sent.message_id });
    }
    answer.moved.truncate(MAX_RANGES);
    save_numbers(records, device, &numbers);
    Ok(answer)
}

/// Returns the number of a message that is held for a device; 0 if it is not.
pub(crate) fn number_of(
    records: &dyn Records,
    device: &DeviceId,
    message_id: &[u8],
) -> Result<u64, EngineError> {
    let numbers = numbers(records, device)?;
    for number in numbers.first_held.max(1)..=numbers.last_sent {
        let sent = load::<SentRecord>(records, &sent_key(device, number))?;
        if sent.is_some_and(|sent| sent.message_id == message_id) {
            return Ok(number);
        }
    }
    Ok(0)
}

/// Forgets what is held for a device. How far the numbers have come stays: it may come back, and it counts on.
pub(crate) fn remove(records: &mut Overlay<'_>, device: &DeviceId) -> Result<(), EngineError> {
    let numbers = numbers(records, device)?;
    for number in numbers.first_held.max(1)..=numbers.last_sent {
        records.delete(sent_key(device, number));
    }
    let kept = NumbersRecord {
        last_sent: numbers.last_sent,
        first_held: numbers.last_sent.saturating_add(1),
        received_up_to: numbers.received_up_to,
        received_check: numbers.received_check,
        ..NumbersRecord::default()
    };
    save_numbers(records, device, &kept);
    Ok(())
}

#[cfg(test)]
mod tests;
