//! The commit that this device makes: built, put into its slot, won or overtaken (R-ENGINE-84, -85).

use alloc::vec::Vec;
use core::ops::ControlFlow;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{GroupError, MAX_ATTEMPTS};
use chancery_identity::delivery::Use;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{
    GetSlot, GroupCommitRecord, GroupStateRecord, NextSet, PutSlot, Signed, SlotContent, SlotMailbox,
};
use chancery_wire::records::{Overlay, Records};

use crate::effect::{Effect, Notice};
use crate::ending::{self, End};
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::plan::{self, Draft, Plan};
use crate::group::{
    GroupStep, credentials, duties, evict, files, follow, hand_out, intent, making, mark, receive, send,
    state, waiting,
};
use crate::log;
use crate::reach;
use crate::sending::{outbox, outbox_item};
use crate::tables::{GROUP_COMMIT, key, load, save};

/// How long a commit may wait for its slot, in milliseconds: 45 min. After an hour the relay drops what it holds for it
/// (R-RELAY-74).
const LONGEST: u64 = 45 * 60_000;

/// Returns the commit that waits to win; `follow` takes its secrets from here when it meets it.
pub(crate) fn pending(
    records: &dyn Records,
    group: &[u8; 16],
) -> Result<Option<GroupCommitRecord>, EngineError> {
    load(records, &key(GROUP_COMMIT, &[group]))
}

pub(crate) fn save_pending(records: &mut Overlay<'_>, group: &[u8; 16], record: &GroupCommitRecord) {
    save(records, key(GROUP_COMMIT, &[group]), record);
}

/// Whether a commit stands on the epoch of now and is for the slot that counts.
const fn is_current(record: &GroupCommitRecord, state: &GroupStateRecord) -> bool {
    record.epoch == state.epoch.saturating_add(1) && record.attempt == state.attempt
}

/// Whether a commit is to be put no more. What was once seen to be, and not in its slot, is so for ever, whatever the clock says.
const fn is_old(record: &GroupCommitRecord, now: Timestamp) -> bool {
    // What lies ahead was noted by a clock that was wrong.
    record.slot_was_empty
        || record.made_at > now.as_millis()
        || now.as_millis() >= record.made_at.saturating_add(LONGEST)
}

/// Returns what has to be done for a commit: to make one, to store its files, to put it into its slot. Nothing while what
/// goes with it is not held by the relay yet.
pub(crate) fn next_step(
    engine: &Engine,
    records: &dyn Records,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    let Some(state) = state::load(records, group)?.filter(mark::lets_commit) else {
        return Ok(None);
    };
    // What others have committed is followed first, and may wait for its secret.
    if reach::is_guest(engine.device())
        || follow::next(records, group)?.is_some()
        || state.attempt >= MAX_ATTEMPTS
        || !log::state_now(records, now)?.allows_sealing()
    {
        return Ok(None);
    }
    let commit = GroupStep::Commit { group_id: *group };
    let Some(record) = pending(records, group)? else {
        let is_wanted = is_wanted(records, (group, &state), now)?;
        return Ok(is_wanted.then_some(commit));
    };
    if !is_current(&record, &state) {
        return Ok(Some(commit));
    }
    if is_old(&record, now) {
        // It may have been stored and the answer lost: its secrets go only once the slot is known to be empty.
        if record.slot_was_empty {
            return Ok(Some(commit));
        }
        if receive::was_just_tried(&state, now) || is_unjudged(records, &state)? {
            return Ok(None);
        }
        let frame = GetSlot { slot: record.slot.clone() };
        return Ok(Some(GroupStep::Fetch { group_id: *group, attempt: record.attempt, frame }));
    }
    if !mark::lets_put(records, (group, &state), &record.commit)? {
        return Ok(None);
    }
    if let Some(file) = record.files.first() {
        let name = file.blob_id.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
        let content = files::content(records, &name)?.ok_or(EngineError::DamagedRecord)?;
        return Ok(Some(GroupStep::StoreFile { group_id: *group, file: file.clone(), content }));
    }
    if !record.held.is_empty() {
        return Ok(None);
    }
    if is_unjudged(records, &state)? {
        return Ok(None);
    }
    put(engine, records, (group, &state), record).map(Some)
}

/// Whether a commit waits that is put although another is said to be withheld (R-ENGINE-75).
pub(crate) fn is_put_nevertheless(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    now: Timestamp,
) -> Result<bool, EngineError> {
    if state.state != state::WITHHELD {
        return Ok(false);
    }
    let own = pending(records, group)?.filter(|own| is_current(own, state) && !is_old(own, now));
    own.map_or(Ok(false), |own| mark::lets_put(records, (group, state), &own.commit))
}

/// Whether what is in the slot may be no valid commit: that is known once the log is, and its author's credential.
fn is_unjudged(records: &dyn Records, state: &GroupStateRecord) -> Result<bool, EngineError> {
    Ok(receive::awaits_log(records, state)? || waiting::wants_author(records, &state.set_name)?)
}

fn token(engine: &Engine, records: &dyn Records, of: Use, name: &[u8]) -> Result<Vec<u8>, EngineError> {
    engine.delivery_token(records, (of, name.try_into().map_err(|_| EngineError::DamagedRecord)?))
}

fn put(
    engine: &Engine,
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    record: GroupCommitRecord,
) -> Result<GroupStep, EngineError> {
    let next = record.next.ok_or(EngineError::DamagedRecord)?;
    let filled =
        next.filled.into_iter().map(|it| SlotMailbox { slot: it.slot, mailbox: it.mailbox }).collect();
    let token_of_next = token(engine, records, Use::Set, &next.name)?;
    let frame = PutSlot {
        token: token(engine, records, Use::Slot, &record.slot)?,
        slot: record.slot,
        set: state.set_name.clone(),
        key: state.set_key.clone(),
        envelope: record.envelope,
        next: Some(NextSet {
            name: next.name,
            key: next.key,
            token: token_of_next,
            emptied: next.emptied,
            filled,
        }),
    };
    Ok(GroupStep::PutSlot { group_id: *group, attempt: record.attempt, frame })
}

/// Whether a commit is to be made: somebody has ended and something waits to be sent, the member wants something, or a duty's
/// pause is over.
fn is_wanted(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    now: Timestamp,
) -> Result<bool, EngineError> {
    let duty = duties::load(records, group)?;
    let rests = now.as_millis() < duty.paused_until;
    if rests && duty.paused_until <= now.as_millis().saturating_add(duties::PAUSE) {
        return Ok(false);
    }
    if duties::is_waiting(records, &duty)? {
        return Ok(false);
    }
    let ended = evict::is_needed(records, group)?;
    if state.state == state::WITHHELD {
        let is_due = duty.ready || send::waits(records, group)?;
        return Ok((ended && is_due) || mark::any_wish(records, (group, state))?);
    }
    Ok(duty.ready || intent::any_to_commit(records, group)? || (ended && send::waits(records, group)?))
}

/// Makes the commit that is due on the epoch of now (R-ENGINE-85): first evictions, then what the member wants, then duties.
pub(crate) fn make(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Some(state) = state::load(records, group)?.filter(mark::lets_commit) else {
        return Ok(Vec::new());
    };
    if let Some(record) = pending(records, group)? {
        if is_current(&record, &state) && !is_old(&record, now) {
            return Ok(Vec::new());
        }
        forget(me, records, (group, &record), false)?;
    }
    if !log::state_now(records, now)?.allows_sealing() {
        return Ok(Vec::new());
    }
    let mut duty = duties::load(records, group)?;
    duty.waits.clear();
    duties::save(records, group, &duty);
    let mut effects = Vec::new();
    if evict(me, records, group, (now, &mut *rng))?.is_break() {
        return Ok(effects);
    }
    let is_withheld = state.state == state::WITHHELD;
    let numbers: Vec<u64> = intent::queue(group).numbers(records)?.collect();
    for number in numbers {
        if is_withheld && !mark::lets_wish(records, (group, &state), number)? {
            continue;
        }
        if wish(me, records, (group, number), (now, &mut *rng), &mut effects)?.is_break() {
            return Ok(effects);
        }
    }
    if !is_withheld && duties::load(records, group)?.ready {
        duty_commit(me, records, group, now, rng)?;
    }
    Ok(effects)
}

/// Removes whom the log has ended, and who has asked to go or is ordered to (R-ENGINE-87).
fn evict(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<ControlFlow<()>, EngineError> {
    let mut orders = requested(records, group)?;
    loop {
        let draft = plan::look(me, records, group, |view| plan::of_orders(view, &orders));
        let error = match draft.map(Option::flatten) {
            Ok(None) => return Ok(ControlFlow::Continue(())),
            Ok(Some(draft)) => match attempt(me, records, (group, 0), draft, (now, &mut *rng))? {
                None => return Ok(ControlFlow::Break(())),
                Some(error) => error,
            },
            Err(EngineError::Group(error)) => error,
            Err(error) => return Err(error),
        };
        if waits_for(me, records, group, error)? {
            return Ok(ControlFlow::Break(()));
        }
        if orders.is_empty() || error == GroupError::NeedKeys {
            rest(records, group, now)?;
            return Ok(ControlFlow::Break(()));
        }
        // An order that does not fit must not keep those in who have ended, nor other orders: what fails alone is dropped
        // (R-ENGINE-91), unless evictions fail without it.
        if orders.len() == 1 {
            if evict_alone(me, records, group, (now, &mut *rng))?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            orders.iter().try_for_each(|order| duties::drop_request(records, group, order))?;
            orders = requested(records, group)?;
        } else {
            orders.truncate(1);
        }
    }
}

/// Removes whom the log has ended, and nobody else; breaks off if a commit was made, or it cannot be now.
fn evict_alone(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<ControlFlow<()>, EngineError> {
    let draft = plan::look(me, records, group, |view| plan::of_orders(view, &[]));
    let error = match draft.map(Option::flatten) {
        Ok(None) => return Ok(ControlFlow::Continue(())),
        Ok(Some(draft)) => attempt(me, records, (group, 0), draft, (now, rng))?,
        Err(EngineError::Group(error)) => Some(error),
        Err(error) => return Err(error),
    };
    if let Some(error) = error
        && !waits_for(me, records, group, error)?
    {
        rest(records, group, now)?;
    }
    Ok(ControlFlow::Break(()))
}

/// Returns the orders that somebody has asked for, if it is this device's turn and the group is not withheld.
fn requested(records: &dyn Records, group: &[u8; 16]) -> Result<Vec<Signed>, EngineError> {
    let duty = duties::load(records, group)?;
    if state::load(records, group)?.is_none_or(|it| it.state != state::OPEN) {
        return Ok(Vec::new());
    }
    let orders = duty.requests.into_iter().filter_map(|it| it.order);
    Ok(orders.filter(|_| duty.ready).collect())
}

/// Goes about one wish of the member's; breaks off if a commit was made, or something has to be waited for.
fn wish(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, number): (&[u8; 16], u64),
    (now, rng): (Timestamp, &mut dyn CryptoRng),
    effects: &mut Vec<Effect>,
) -> Result<ControlFlow<()>, EngineError> {
    let Some(wanted) = intent::read(records, group, number)? else { return Ok(ControlFlow::Continue(())) };
    let planned = match plan::look(me, records, group, |view| plan::of_intent(view, &wanted)) {
        Ok(planned) => planned.unwrap_or(Plan::Idle),
        Err(EngineError::Group(error)) => Plan::Refused(error, Vec::new()),
        Err(error) => return Err(error),
    };
    let (error, members) = match planned {
        Plan::Idle => return Ok(ControlFlow::Continue(())),
        Plan::Done => {
            intent::queue(group).remove(records, number)?;
            return Ok(ControlFlow::Continue(()));
        }
        Plan::Wait(devices) => {
            wait_for(records, group, &devices)?;
            return Ok(ControlFlow::Break(()));
        }
        Plan::Refused(error, members) => (error, members),
        Plan::Commit(draft) => {
            let one_above = number.saturating_add(1);
            match attempt(me, records, (group, one_above), draft, (now, &mut *rng))? {
                None => return Ok(ControlFlow::Break(())),
                Some(error) => (error, Vec::new()),
            }
        }
    };
    if waits_for(me, records, group, error)? {
        return Ok(ControlFlow::Break(()));
    }
    match error {
        GroupError::NeedKeys => {
            rest(records, group, now)?;
            Ok(ControlFlow::Break(()))
        }
        error => {
            intent::queue(group).remove(records, number)?;
            effects.push(refused(me, records, (group, error, &members), now)?);
            effects.push(Effect::Notify(Notice::GroupTrouble { group_id: *group }));
            Ok(ControlFlow::Continue(()))
        }
    }
}

fn refused(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, error, members): (&[u8; 16], GroupError, &[MemberId]),
    now: Timestamp,
) -> Result<Effect, EngineError> {
    Act::new(ActKind::Refused, Some(&me.member_id())).of(members).code(error).store(records, group, now)
}

/// Makes the commit for what a keyholder owes its group.
fn duty_commit(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let duty = duties::load(records, group)?;
    let planned = plan::look(me, records, group, |view| {
        let has_dead = !view.roster()?.dead().is_empty();
        Ok((plan::of_duty(view, &duty)?.draft, has_dead, view.is_keyholder()))
    });
    let (draft, has_dead, is_keyholder) = match planned {
        Ok(Some(planned)) => planned,
        Ok(None) => return Ok(()),
        Err(EngineError::Group(_)) => return rest(records, group, now),
        Err(error) => return Err(error),
    };
    if is_keyholder && (duty.heal || has_dead || !draft.changes.is_empty()) {
        match attempt(me, records, (group, 0), draft, (now, rng))? {
            None => return Ok(()),
            Some(error) if waits_for(me, records, group, error)? => return Ok(()),
            Some(_) => return rest(records, group, now),
        }
    }
    let mut duty = duty;
    (duty.since, duty.ready, duty.look) = (0, false, true);
    duties::save(records, group, &duty);
    Ok(())
}

/// Has credentials fetched that a commit needs.
fn wait_for(records: &mut Overlay<'_>, group: &[u8; 16], devices: &[DeviceId]) -> Result<(), EngineError> {
    let mut duty = duties::load(records, group)?;
    for device in devices {
        credentials::want(records, device)?;
        duty.waits.push(device.as_bytes().to_vec());
    }
    duties::save(records, group, &duty);
    Ok(())
}

/// Has a credential fetched that is missing; `false` if that is not what is wrong, or the relay does not have it.
fn waits_for(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    error: GroupError,
) -> Result<bool, EngineError> {
    let GroupError::NeedCredential(device) = error else { return Ok(false) };
    let missing = plan::obtainable(me, records, &device)?;
    wait_for(records, group, &missing)?;
    Ok(!missing.is_empty())
}

/// Tries nothing for a while: what is missing may come.
fn rest(records: &mut Overlay<'_>, group: &[u8; 16], now: Timestamp) -> Result<(), EngineError> {
    let mut duty = duties::load(records, group)?;
    duty.paused_until = now.as_millis().saturating_add(duties::PAUSE);
    duties::save(records, group, &duty);
    Ok(())
}

/// Makes a commit of a draft and stores it; fewer changes at once if all are too many. Returns why it cannot be.
fn attempt(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, intent): (&[u8; 16], u64),
    mut draft: Draft,
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Option<GroupError>, EngineError> {
    let Some(state) = state::load(records, group)? else { return Ok(Some(GroupError::NotAMember)) };
    loop {
        let made = plan::look(me, records, group, |view| making::make(view, &state, &draft, now, &mut *rng));
        match made {
            Ok(Some(made)) => {
                made.store(records, (group, intent), (now, rng))?;
                return Ok(None);
            }
            Ok(None) => return Ok(Some(GroupError::NotAMember)),
            Err(EngineError::Group(GroupError::Limit)) if draft.is_divisible() => {
                draft.changes.truncate(draft.changes.len() >> 1);
            }
            Err(EngineError::Group(error)) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
    }
}

/// A file that goes with the commit is stored.
pub(crate) fn file_stored(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    file: &[u8; 16],
) -> Result<Vec<Effect>, EngineError> {
    if let Some(mut record) = pending(records, group)? {
        record.files.retain(|it| it.blob_id != file);
        save_pending(records, group, &record);
        files::remove(records, file)?;
    }
    Ok([Effect::Notify(Notice::GroupWork)].into())
}

/// The relay has put the commit into its slot, or another was there: `receive` follows either.
pub(crate) fn slot_answer(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (attempt, taken): (u32, Option<&SlotContent>),
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Vec<Effect>, EngineError> {
    let own = match pending(records, group)? {
        Some(record) if record.attempt == attempt => record.envelope,
        // Another process has dealt with it.
        _ => return Ok(Vec::new()),
    };
    let own = SlotContent { envelope: own, ..SlotContent::default() };
    receive::fetched(me, records, group, (attempt, Some(taken.unwrap_or(&own))), (now, rng))
}

/// A commit was followed: the own one is through if it is this, and otherwise overtaken.
pub(crate) fn followed(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, hash): (&[u8; 16], &[u8; 32]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let own = pending(records, group)?;
    let won = own.as_ref().filter(|own| own.hash == hash).cloned();
    if let Some(record) = &own {
        forget(me, records, (group, record), won.is_some())?;
    }
    if state::load(records, group)?.is_none_or(|it| !matches!(it.state, state::OPEN | state::WITHHELD)) {
        intent::drop_all(records, group)?;
        duties::forget(records, group);
        return Ok(Vec::new());
    }
    let regrown =
        crate::group::rows::head(records, group)?.is_some_and(|head| head.regrown_at == now.as_millis());
    duties::followed(records, (group, won.is_some()), regrown)?;
    let Some(record) = won else { return Ok([Effect::Notify(Notice::GroupWork)].into()) };
    if !record.secret.is_empty() {
        hand_out::serve_own(records, (group, *hash), now, rng)?;
    }
    if let Some(number) = record.intent.checked_sub(1)
        && intent::read(records, group, number)?.is_some_and(|it| is_done_at_once(it.kind))
    {
        intent::queue(group).remove(records, number)?;
    }
    Ok([Effect::Notify(Notice::GroupWork)].into())
}

/// Whether one commit is all that a wish needs. Adding and removing may need several.
const fn is_done_at_once(kind: u32) -> bool {
    !matches!(kind, intent::ADD | intent::REMOVE)
}

/// The slot was seen to be empty: a commit for it that is too old has not won, and never will.
pub(crate) fn slot_is_empty(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    state: &GroupStateRecord,
    now: Timestamp,
) -> Result<(), EngineError> {
    if let Some(mut record) = pending(records, group)?
        && is_current(&record, state)
        && is_old(&record, now)
    {
        record.slot_was_empty = true;
        save_pending(records, group, &record);
    }
    Ok(())
}

/// The own commit can never be put: its slot was taken, by what is gone.
pub(crate) fn lost(me: &Acting<'_>, records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<(), EngineError> {
    pending(records, group)?.map_or(Ok(()), |record| forget(me, records, (group, &record), false))
}

/// Forgets the commit: it has won, and what goes with it and could not be delivered goes on; or it has lost, and takes with it
/// what the relay has held for it.
fn forget(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, record): (&[u8; 16], &GroupCommitRecord),
    won: bool,
) -> Result<(), EngineError> {
    records.delete(key(GROUP_COMMIT, &[group]));
    for file in &record.files {
        let name = file.blob_id.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
        files::remove(records, &name)?;
    }
    if won {
        return Ok(());
    }
    let numbers: Vec<u64> = outbox().numbers(records)?.collect();
    for number in numbers {
        let stored = outbox_item(records, number)?;
        let goes = |hold: &chancery_wire::proto::GroupHold| {
            hold.group_id == group && hold.hash == record.content_hash
        };
        if stored.is_some_and(|stored| stored.hold.as_ref().is_some_and(goes)) {
            ending::finish(me.device, records, number, End::Failed)?;
        }
    }
    Ok(())
}
