//! The set of the newest epoch: created when the relay does not know it and no commit has taken its place (R-ENGINE-79).

use alloc::vec::Vec;

use chancery_group::{Entry, MAX_SLOTS, Rows as _, Slot};
use chancery_identity::delivery::Use;
use chancery_wire::Timestamp;
use chancery_wire::proto::{CreateSet, GroupStateRecord};
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::rows::GroupRows;
use crate::group::{GroupStep, commit, follow, receive, state};
use crate::reach;

/// How long a group rests whose set somebody has made with another key than its name goes with, in milliseconds: 30 min. Nothing
/// but time helps, each try costs one of the organisation's changes of sets, and a group of ten thousand may try at once.
const WRONG_SET_PAUSE: u64 = 30 * 60_000;

/// How long a guest's device, which makes no sets, leaves one alone that the relay does not know, in milliseconds: a minute. Others
/// create it when they have something to send.
const GUEST_PAUSE: u64 = 60_000;

/// A set that nothing has made yet, of a group that is founded: its epoch follows no slot.
pub(crate) fn is_new(state: &mut GroupStateRecord, now: Timestamp) {
    (state.set_missing, state.set_looked, state.slot_tried_at) = (true, true, now.as_millis());
}

/// An epoch begins: the commit has made its set.
pub(crate) const fn begun(state: &mut GroupStateRecord) {
    (state.set_missing, state.set_looked, state.set_taken, state.set_rests_until) = (false, false, false, 0);
}

/// The set is there: this device has created it, or it was `taken`, and not the same. Another member may have made it, and the
/// relay have emptied places since; or its key is another.
pub(crate) fn created(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    taken: bool,
) -> Result<Vec<Effect>, EngineError> {
    if let Some(mut state) = state::load(records, group)? {
        begun(&mut state);
        state.set_taken = taken;
        state::save(records, group, &state);
    }
    Ok(Vec::new())
}

/// The relay does not know the set. It may have gone because a commit has replaced it: the slot is looked into, whenever that was
/// last. If it is there and does not know the key, the group rests before.
pub(crate) fn unknown(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    if let Some(mut state) = state::load(records, group)? {
        if core::mem::take(&mut state.set_taken) {
            state.set_rests_until = now.as_millis().saturating_add(WRONG_SET_PAUSE);
        }
        (state.set_missing, state.set_looked, state.slot_tried_at) = (true, false, 0);
        state::save(records, group, &state);
    }
    Ok(Vec::new())
}

/// Whether the set of a group may be needed: also while a commit is said to be withheld, for what is put all the same.
const fn is_used(state: &GroupStateRecord) -> bool {
    state.state == state::OPEN || (state.state == state::WITHHELD && state.ahead != 0)
}

/// Whether the slot that counts has to be looked into for the set's sake.
pub(crate) const fn wants_slot(state: &GroupStateRecord, now: Timestamp) -> bool {
    state.set_missing && is_used(state) && !rests(state, now)
}

/// The slot that counts was seen to be empty: the set may be created, by whom that is given.
pub(crate) fn slot_is_empty(me: &Acting<'_>, state: &mut GroupStateRecord, now: Timestamp) {
    if state.set_missing && reach::is_guest(me.device) {
        begun(state);
        state.set_rests_until = now.as_millis().saturating_add(GUEST_PAUSE);
    } else {
        state.set_looked = state.set_missing;
    }
}

/// Whether nothing can be sent to the set now.
pub(crate) const fn waits(state: &GroupStateRecord, now: Timestamp) -> bool {
    state.set_missing || rests(state, now)
}

/// Whether the set is left alone. What lies further ahead than the pause was noted by a clock that was wrong.
const fn rests(state: &GroupStateRecord, now: Timestamp) -> bool {
    let (until, now) = (state.set_rests_until, now.as_millis());
    now < until && until <= now.saturating_add(WRONG_SET_PAUSE)
}

/// Returns when the set is no longer left alone.
pub(crate) fn due(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    let state = state::load(records, group)?.filter(|it| is_used(it) && it.set_rests_until != 0);
    Ok(state.map(|it| Timestamp::from_millis(it.set_rests_until)))
}

/// Ends a rest that is over.
pub(crate) fn upkeep(records: &mut Overlay<'_>, group: &[u8; 16], now: Timestamp) -> Result<(), EngineError> {
    if let Some(mut state) = state::load(records, group)?.filter(|it| it.set_rests_until != 0)
        && !rests(&state, now)
    {
        state.set_rests_until = 0;
        state::save(records, group, &state);
    }
    Ok(())
}

/// Returns the frame that creates the epoch's set, if the relay does not know it (R-RELAY-75) and no commit has ended the epoch:
/// that would bring back whoever it has removed. Where one is said to have, only for a commit that is put nevertheless: nobody could
/// remove who has said so falsely, and thereby had the set forgotten.
pub(crate) fn next_step(
    engine: &Engine,
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    now: Timestamp,
) -> Result<Option<GroupStep>, EngineError> {
    // Where all attempts are used up, nothing ends the epoch.
    let is_last = receive::attempt_of(state.attempt).is_none();
    let is_empty = is_last || (state.set_looked && receive::was_just_tried(state, now));
    if !wants_slot(state, now) || !is_empty || follow::next(records, group)?.is_some() {
        return Ok(None);
    }
    if state.ahead != 0 && !commit::is_put_nevertheless(records, (group, state), now)? {
        return Ok(None);
    }
    let rows = GroupRows::new(records, *group);
    let mut mailboxes = Vec::new();
    for slot in (0..MAX_SLOTS).filter_map(Slot::new) {
        let Some(bytes) = rows.entry(slot).map_err(|_| EngineError::DamagedRecord)? else { continue };
        let entry = Entry::from_bytes(&bytes).ok_or(EngineError::DamagedRecord)?;
        mailboxes.resize(usize::from(slot.get()).saturating_mul(16), 0);
        mailboxes.extend_from_slice(entry.device.as_bytes());
    }
    let name = state.set_name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let token = engine.delivery_token(records, (Use::Set, name))?;
    let (name, key) = (state.set_name.clone(), state.set_key.clone());
    let frame = CreateSet { name, key, token, mailboxes };
    Ok(Some(GroupStep::CreateSet { group_id: *group, frame }))
}
