//! Envelopes of groups, from the mailbox or from a slot of the relay (R-ENGINE-73 to -75).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_group::{
    Attempt, Entry, Info, KIND_GROUP_COMMIT, KIND_GROUP_HAND_OUT, KIND_GROUP_MESSAGE, MessageEnvelope,
    RelaySlots, Rows as _, Slot,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{
    GetSlot, GroupNextRecord, GroupSenderRecord, GroupStateRecord, GroupWaitingEntry, GroupWaitingRecord,
    MessageRecord, SlotContent,
};
use chancery_wire::records::{Overlay, Records};

use crate::amend;
use crate::compose;
use crate::content;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::rows::{self, GroupRows};
use crate::group::turn::{Trigger, Turn};
use crate::group::waiting::{self, HAND_OUT, Reason, Seen, Wait};
use crate::group::{
    GroupStep, commit as own_commit, control, credentials, epochs, evict, follow, mark, need, set, state,
};
use crate::messages::{self, append_event, append_message, save_message};
use crate::receipts::timers;
use crate::tables::{GROUP_NEXT, GROUP_SENDER, key, load, save};

/// How long a slot of the relay that is of no help is not asked for again: a minute, in milliseconds.
const PAUSE: u64 = 60_000;
/// How often a slot is looked into because something of an unknown name waits: every ten minutes, in milliseconds. Everybody can
/// send such things, and the relay sees each look.
const STRANGER_PAUSE: u64 = 10 * 60_000;
/// The same while a member is known to be in a later epoch: 10 s, some times within the minute after which nothing is sent.
const AHEAD_PAUSE: u64 = 10_000;
/// How far a number may lie above the last one that came (R-CONTENT-11).
const MAX_JUMP: u64 = 1 << 20;

/// Length of a commit's hash, in bytes.
const HASH_LEN: usize = 32;

/// What became of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It was read, or is kept, or was known.
    Well,
    /// It is nothing that this device can use; nothing has changed.
    Bad,
}

/// Whether an envelope is of groups.
pub(crate) const fn is_kind(kind: u8) -> bool {
    matches!(kind, KIND_GROUP_MESSAGE | KIND_GROUP_COMMIT | KIND_GROUP_HAND_OUT)
}

/// Handles an envelope from the mailbox.
pub(crate) fn receive(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(Taken, Vec<Effect>), EngineError> {
    let mut turn = Turn::new(me, records, now, rng);
    let since = Seen::now(&turn)?;
    let taken = take(&mut turn, envelope, since)?;
    if taken == Taken::Bad {
        turn.effects.push(Effect::Notify(Notice::Undecryptable));
    }
    Ok((taken, turn.settle()?))
}

/// Tries again what has waited.
pub(crate) fn again(
    turn: &mut Turn<'_, '_>,
    entry: &GroupWaitingEntry,
    item: GroupWaitingRecord,
) -> Result<(), EngineError> {
    let since = Seen { at: Timestamp::from_millis(entry.since), heard: entry.heard };
    let taken = match &item.control {
        None => take(turn, &item.envelope, since)?,
        Some(control) => {
            let device = DeviceId::from_bytes(&item.from).ok_or(EngineError::DamagedRecord)?;
            let member = MemberId::from_bytes(&item.member_id).ok_or(EngineError::DamagedRecord)?;
            control::process(turn, (&member, &device), control, since)?
        }
    };
    if taken == Taken::Bad {
        turn.effects.push(Effect::Notify(Notice::Undecryptable));
    }
    Ok(())
}

fn take(turn: &mut Turn<'_, '_>, envelope: &[u8], since: Seen) -> Result<Taken, EngineError> {
    match envelope.first() {
        Some(&KIND_GROUP_MESSAGE) => message(turn, envelope, since),
        Some(&KIND_GROUP_COMMIT) => commit(turn, envelope, since),
        Some(&KIND_GROUP_HAND_OUT) => hand_out(turn, envelope, since),
        _ => Ok(Taken::Bad),
    }
}

/// Keeps an envelope until what it waits for is here.
pub(crate) fn keep(turn: &mut Turn<'_, '_>, envelope: &[u8], wait: Wait<'_>) -> Result<Taken, EngineError> {
    let item = GroupWaitingRecord { envelope: envelope.to_vec(), ..GroupWaitingRecord::default() };
    waiting::keep(turn.records, &item, wait, turn.now)?;
    Ok(Taken::Well)
}

fn message(turn: &mut Turn<'_, '_>, envelope: &[u8], since: Seen) -> Result<Taken, EngineError> {
    let Ok(parsed) = MessageEnvelope::parse(envelope) else { return Ok(Taken::Bad) };
    let name = parsed.set_name;
    let Some((group, epoch)) = epochs::by_set(turn.records, name)? else {
        return keep(turn, envelope, Wait { name, reason: Reason::Name, of: &[], since });
    };
    let Some(head) = rows::head(turn.records, &group)? else { return Ok(Taken::Bad) };
    let Some((record, mut messages)) = epochs::messages(turn.records, &group, epoch)? else {
        return Ok(Taken::Bad);
    };
    let own = Slot::from_u32(head.slot).ok_or(EngineError::DamagedRecord)?;
    if messages.slot_of(&parsed) == Ok(own) {
        // What this device has sent comes back.
        return Ok(Taken::Well);
    }
    let Ok(tagged) = messages.find(parsed).and_then(chancery_group::Found::check) else {
        return Ok(Taken::Bad);
    };
    let entry = GroupRows::new(turn.records, group).entry(tagged.slot());
    let entry = entry.map_err(|_| EngineError::DamagedRecord)?.and_then(|bytes| Entry::from_bytes(&bytes));
    // Whoever came later was not in the epoch.
    let Some(entry) = entry.filter(|entry| entry.added <= epoch) else { return Ok(Taken::Bad) };
    let key = match credentials::message_key(turn.me, turn.records, &entry)? {
        Some(Ok(key)) => key,
        Some(Err(())) => return Ok(Taken::Bad),
        None => {
            turn.want(&entry.device)?;
            let of = entry.device.as_bytes();
            return keep(turn, envelope, Wait { name, reason: Reason::Credential, of, since });
        }
    };
    let Ok(plaintext) = tagged.open(&key) else { return Ok(Taken::Bad) };
    epochs::save_messages(turn.records, &group, record, &messages);
    let info = Info::from_bytes(&head.info).map_err(|_| EngineError::DamagedRecord)?;
    let takes_back =
        || content::parse(plaintext.expose()).is_some_and(|it| amend::is_own_deletion(&it, &entry.member));
    if !info.lets_write(entry.role) && !takes_back() {
        let act =
            Act::new(ActKind::Refused, Some(&entry.member)).code(chancery_group::GroupError::NotAllowed);
        turn.act(&group, act)?;
        return Ok(Taken::Well);
    }
    written(turn, (&group, epoch), &entry, &plaintext)
}

/// Stores what somebody wrote (R-CONTENT-14).
fn written(
    turn: &mut Turn<'_, '_>,
    (group, epoch): (&[u8; 16], u64),
    entry: &Entry,
    plaintext: &SecretBytes,
) -> Result<Taken, EngineError> {
    let Some(content) = content::parse(plaintext.expose()) else { return Ok(Taken::Bad) };
    if !content.conversation.is_empty() {
        return Ok(Taken::Bad);
    }
    let number = content.number;
    let own = turn.me.member_id();
    if amend::is_one(&content) {
        let Some(act) = amend::read(content, (&entry.member, &own), Some(group)) else {
            return Ok(Taken::Bad);
        };
        count(turn, group, entry, number)?;
        let effects = amend::receive(turn.records, &act, turn.now)?;
        turn.effects.extend(effects);
        return Ok(Taken::Well);
    }
    let Some(mut record) = content::read((content, plaintext.expose()), (&entry.member, &own), turn.now)
    else {
        return Ok(Taken::Bad);
    };
    count(turn, group, entry, number)?;
    record.conversation = group.to_vec();
    record.group = group.to_vec();
    if entry.member == own {
        // Whose receipts count for it (R-CONTENT-29).
        record.epoch = epoch;
    }
    if append_message(turn.records, &record)?.is_some() || replaces(turn.records, group, &record)? {
        let number = append_event(turn.records, &record)?;
        turn.effects.push(Effect::Notify(Notice::EventStored(number)));
    }
    Ok(Taken::Well)
}

/// Puts what its author has signed in the place of what somebody else has sent again (R-CONTENT-17); whether that was so.
fn replaces(records: &mut Overlay<'_>, group: &[u8; 16], new: &MessageRecord) -> Result<bool, EngineError> {
    let Some(from) = MemberId::from_bytes(&new.from) else { return Ok(false) };
    let known = messages::message(records, &from, &new.id)?;
    let is_resent = known.as_ref().is_some_and(|known| !known.resent.is_empty() && known.group == group);
    if let Some(known) = known.filter(|_| is_resent) {
        let mut new = new.clone();
        amend::carry(&known, &mut new);
        compose::unquote_known(records, &mut new)?;
        save_message(records, &new);
        timers::start(records, &new, Timestamp::from_millis(new.stored_at))?;
    }
    Ok(is_resent)
}

/// Compares a number with the last one of the same device; what is missing between them is told (R-CONTENT-15).
fn count(turn: &mut Turn<'_, '_>, group: &[u8; 16], entry: &Entry, number: u64) -> Result<(), EngineError> {
    let name = key(GROUP_SENDER, &[group, entry.device.as_bytes()]);
    let mut sender: GroupSenderRecord = load(turn.records, &name)?.unwrap_or_default();
    sender.at = turn.now.as_millis();
    let ahead = number.saturating_sub(sender.highest);
    // The first that comes from a device may be any.
    if sender.highest != 0 && (2..=MAX_JUMP).contains(&ahead) {
        let act = Act::new(ActKind::Gap, None).of([&entry.member]).count(ahead.saturating_sub(1));
        turn.act(group, act)?;
    }
    if sender.highest == 0 || ahead <= MAX_JUMP {
        sender.highest = sender.highest.max(number);
    }
    save(turn.records, name, &sender);
    Ok(())
}

/// The set name of a commit in a slot, the slot's name and the attempt (R-GROUP-21).
fn front(envelope: &[u8]) -> Option<(&[u8; 16], &[u8; 16], u32)> {
    let (_, rest) = envelope.split_first()?;
    let (name, rest) = rest.split_first_chunk()?;
    let (slot, rest) = rest.split_first_chunk()?;
    Some((name, slot, u32::from_be_bytes(*rest.first_chunk()?)))
}

fn commit(turn: &mut Turn<'_, '_>, envelope: &[u8], since: Seen) -> Result<Taken, EngineError> {
    let Some((name, slot_name, attempt)) = front(envelope) else { return Ok(Taken::Bad) };
    let Some((group, epoch)) = epochs::by_set(turn.records, name)? else {
        return keep(turn, envelope, Wait { name, reason: Reason::Name, of: &[], since });
    };
    let Some(state) = state::load(turn.records, &group)? else { return Ok(Taken::Bad) };
    // What ended an epoch that is over was followed, and nothing else counts for it any more (R-GROUP-22).
    if epoch != state.epoch {
        return Ok(Taken::Well);
    }
    if slot_of(turn.records, &group, attempt)? != Some(*slot_name) {
        return Ok(Taken::Bad);
    }
    if attempt > state.attempt {
        // Whoever is not in the group must not hold it up (R-ENGINE-80).
        if open(turn.records, &group, (attempt, envelope))?.is_none() {
            return Ok(Taken::Bad);
        }
        turn.work = true;
        return keep(turn, envelope, Wait { name, reason: Reason::Slots, of: &group, since });
    }
    if attempt < state.attempt {
        return Ok(Taken::Well);
    }
    slot(turn, &group, (attempt, envelope), since)
        .map(|it| if it == Slotted::Invalid { Taken::Bad } else { Taken::Well })
}

/// Returns the name of a slot of the relay for the commit that ends the epoch of now.
fn slot_of(records: &dyn Records, group: &[u8; 16], attempt: u32) -> Result<Option<[u8; 16]>, EngineError> {
    let (Some(state), Some(head)) = (state::load(records, group)?, rows::head(records, group)?) else {
        return Ok(None);
    };
    let slot_key = Secret::from_slice(&head.slot_key).ok_or(EngineError::DamagedRecord)?;
    let set_name = state.set_name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    Ok(attempt_of(attempt).map(|attempt| RelaySlots { slot_key: &slot_key, set_name }.name(attempt)))
}

/// What a slot of the relay holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slotted {
    /// A commit that was followed, or will be.
    Valid,
    /// It is not known yet.
    Waits,
    /// It is not known before more of the log is.
    Log,
    /// No valid commit.
    Invalid,
}

/// Returns the number of an attempt as the pure half counts it.
pub(crate) fn attempt_of(number: u32) -> Option<Attempt> {
    let place = usize::try_from(number).ok()?;
    core::iter::successors(Some(Attempt::FIRST), |attempt| attempt.next()).nth(place)
}

/// Opens a commit of the relay's slot for the epoch of now.
pub(crate) fn open(
    records: &dyn Records,
    group: &[u8; 16],
    (attempt, envelope): (u32, &[u8]),
) -> Result<Option<Vec<u8>>, EngineError> {
    let (Some(state), Some(head)) = (state::load(records, group)?, rows::head(records, group)?) else {
        return Ok(None);
    };
    let slot_key = Secret::from_slice(&head.slot_key).ok_or(EngineError::DamagedRecord)?;
    let set_name = state.set_name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let Some(attempt) = attempt_of(attempt) else { return Ok(None) };
    Ok(RelaySlots { slot_key: &slot_key, set_name }.open(attempt, envelope).ok())
}

fn slot(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (attempt, envelope): (u32, &[u8]),
    since: Seen,
) -> Result<Slotted, EngineError> {
    let Some(bytes) = open(turn.records, group, (attempt, envelope))? else { return Ok(Slotted::Invalid) };
    let Some((name, ..)) = front(envelope) else { return Ok(Slotted::Invalid) };
    match follow::commit(turn, group, (attempt, &bytes), since)? {
        follow::Verdict::Good => Ok(Slotted::Valid),
        follow::Verdict::Bad => Ok(Slotted::Invalid),
        follow::Verdict::NeedsLog => {
            turn.effects.push(Effect::SyncLog);
            keep(turn, envelope, Wait { name, reason: Reason::Log, of: &[], since })?;
            Ok(Slotted::Log)
        }
        follow::Verdict::NeedsCredential(device) => {
            turn.want(&device)?;
            let of = device.as_bytes();
            keep(turn, envelope, Wait { name, reason: Reason::Credential, of, since })?;
            Ok(Slotted::Waits)
        }
    }
}

/// Takes over what is in a slot of the relay, be it fetched, found there, or this device's own commit that was put there. What is no
/// valid commit is passed over: the next slot counts (R-GROUP-21).
pub(crate) fn fetched(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (attempt, content): (u32, Option<&SlotContent>),
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Vec<Effect>, EngineError> {
    let mut turn = Turn::new(me, records, now, rng);
    let Some(mut state) = state::load(turn.records, group)? else { return Ok(Vec::new()) };
    if attempt != state.attempt || !state::reads(&state) {
        return Ok(Vec::new());
    }
    // Noted before: a commit that is followed begins anew.
    state.slot_tried_at = now.as_millis().max(1);
    if content.is_none() {
        set::slot_is_empty(me, &mut state, now);
        own_commit::slot_is_empty(turn.records, group, &state, now)?;
        waiting::looked(turn.records, group)?;
    }
    state::save(turn.records, group, &state);
    let Some(content) = content else { return Ok(Vec::new()) };
    // The own commit is here still when it is gone there.
    let own = own_commit::pending(turn.records, group)?;
    let own = own.filter(|own| content.envelope.is_empty() && own.content_hash == content.gone);
    let envelope = own.as_ref().map_or(&content.envelope, |own| &own.envelope);
    if envelope.is_empty() {
        missed(&mut turn, group, (attempt, &content.gone))?;
        waiting::looked(turn.records, group)?;
        return turn.settle();
    }
    let mut since = Seen::now(&turn)?;
    if let Some(heard) = state.slot_seen.checked_sub(1) {
        since.heard = heard;
    }
    let found = slot(&mut turn, group, (attempt, envelope), since)?;
    if found == Slotted::Log {
        // What it names of the log may not be there: that is known by a later look.
        state.slot_seen = since.heard.saturating_add(1);
        state::save(turn.records, group, &state);
    }
    if found == Slotted::Invalid {
        state.attempt = attempt.saturating_add(1);
        (state.slot_tried_at, state.slot_seen) = (0, 0);
        state::save(turn.records, group, &state);
        if attempt_of(state.attempt).is_none() {
            let act = Act::new(ActKind::Refused, None).code(chancery_group::GroupError::Limit);
            turn.act(group, act)?;
        }
        turn.triggers.push(Trigger::Group(*group));
    }
    turn.settle()
}

/// What has ended the epoch is gone from its slot, so that this device is behind for good: it stops, tells it, and asks, so that a
/// keyholder brings it in again (R-ENGINE-95).
fn missed(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (attempt, gone): (u32, &[u8]),
) -> Result<(), EngineError> {
    let Some(mut state) = state::load(turn.records, group)? else { return Ok(()) };
    // What is no hash is the relay's fault, and nothing that could be asked for.
    if gone.len() != HASH_LEN || follow::next(turn.records, group)?.is_some() {
        return Ok(());
    }
    let (since, ask_at) = (turn.now.as_millis(), need::first(turn.now));
    let record = GroupNextRecord { hash: gone.to_vec(), attempt, since, ask_at, ..Default::default() };
    save(turn.records, key(GROUP_NEXT, &[group]), &record);
    own_commit::lost(turn.me, turn.records, group)?;
    turn.work = true;
    if state.state == state::OPEN {
        state.state = state::WITHHELD;
        state::save(turn.records, group, &state);
        turn.act(group, Act::new(ActKind::Withheld, None))?;
    }
    Ok(())
}

fn hand_out(turn: &mut Turn<'_, '_>, envelope: &[u8], since: Seen) -> Result<Taken, EngineError> {
    if envelope.len() != chancery_group::HAND_OUT_LEN {
        return Ok(Taken::Bad);
    }
    let Some(name) = envelope.get(1..17).and_then(|name| name.first_chunk()) else { return Ok(Taken::Bad) };
    if let Some((group, _)) = epochs::by_set(turn.records, name)? {
        need::published(turn.records, &group, envelope)?;
        return Ok(Taken::Well);
    }
    for group in state::ids(turn.records)? {
        if follow::by_envelope(turn, &group, envelope)? {
            need::published(turn.records, &group, envelope)?;
            return Ok(Taken::Well);
        }
    }
    keep(turn, envelope, Wait { name, reason: Reason::Name, of: HAND_OUT, since })
}

/// The log has grown: what waited for it is tried again, and it is noted who of a roster has ended.
pub(crate) fn log_grown(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut turn = Turn::new(me, records, now, rng);
    for group in state::ids(turn.records)? {
        turn.work |= evict::note(turn.records, &group)?;
        turn.work |= mark::log_grown(turn.records, &group)?;
    }
    waiting::hear(turn.records)?;
    turn.triggers.push(Trigger::Log);
    turn.settle()
}

/// Whether what is in the relay's slot waits for more of the log, which a checkpoint says there is not, or not yet.
pub(crate) fn awaits_log(records: &dyn Records, state: &GroupStateRecord) -> Result<bool, EngineError> {
    let Some(heard) = state.slot_seen.checked_sub(1) else { return Ok(false) };
    Ok(!waiting::is_fresh(records, Seen { at: Timestamp::default(), heard })?)
}

/// Whether the slot that counts was looked into within the last minute.
pub(crate) const fn was_just_tried(state: &GroupStateRecord, now: Timestamp) -> bool {
    let (tried, now) = (state.slot_tried_at, now.as_millis());
    tried != 0 && tried <= now && now < tried.saturating_add(PAUSE)
}

/// Returns the slot of the relay to look into: one that a commit further on waits for, or in which there has to be what a mark
/// tells of (R-GROUP-27), or may be what has replaced a set that the relay does not know (R-ENGINE-79).
pub(crate) fn next_step(
    records: &dyn Records,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    let Some(state) = state::load(records, group)?.filter(state::reads) else { return Ok(None) };
    let is_wanted = waiting::wants_slots(records, group)? || state.ahead != 0 || set::wants_slot(&state, now);
    let long_ago = Timestamp::from_millis(now.as_millis().saturating_sub(PAUSE));
    if !is_wanted && !waiting::has_strangers(records, long_ago)? {
        return Ok(None);
    }
    // A commit whose secret is lacking is known: the slot has nothing new.
    if !waiting::wants_slots(records, group)? && follow::next(records, group)?.is_some() {
        return Ok(None);
    }
    if awaits_log(records, &state)? {
        return Ok(None);
    }
    let pause = match (state.ahead, is_wanted) {
        (0, true) => PAUSE,
        (0, false) => STRANGER_PAUSE,
        _ => AHEAD_PAUSE,
    };
    // What came since for a later slot holds up what is said: it is looked into at once, unless it is known what it holds.
    let is_new = waiting::wants_look(records, group)?
        && follow::next(records, group)?.is_none()
        && !waiting::wants_author(records, &state.set_name)?;
    let tried = if state.slot_seen == 0 && !is_new { state.slot_tried_at } else { 0 };
    let rests = tried != 0 && tried <= now.as_millis() && now.as_millis() < tried.saturating_add(pause);
    let Some(name) = slot_of(records, group, state.attempt)?.filter(|_| !rests) else { return Ok(None) };
    let frame = GetSlot { slot: name.to_vec() };
    Ok(Some(GroupStep::Fetch { group_id: *group, attempt: state.attempt, frame }))
}
