//! Marks: members tell each other over their sessions in which epoch they are, which the relay does not see (R-GROUP-27).

use alloc::vec::Vec;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_group::{Entry, Group, Mark, Reason, Rows as _, Slot, judge_mark, mark};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{GroupForkRecord, GroupMark, GroupStateRecord};
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::receive::Taken;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::{control, fork, intent, state, story};
use crate::{log, peers};

/// To how many devices a mark goes with the first own message of an epoch.
const MARKS: usize = 2;
/// How long a commit of which a mark tells may be on its way, in milliseconds: a minute.
const PATIENCE: u64 = 60_000;
/// Devices behind that are told of one epoch: 64. Each is told once.
const MAX_ANSWERED: usize = 64;

/// An epoch begins: what was known of later ones is over if this is as late.
pub(crate) fn begun(state: &mut GroupStateRecord) {
    state.mark_answered.clear();
    if state.ahead <= state.epoch {
        forget(state);
    }
}

fn forget(state: &mut GroupStateRecord) {
    (state.ahead, state.ahead_since, state.ahead_by) = (0, 0, Vec::new());
    if state.state == state::WITHHELD {
        state.state = state::OPEN;
    }
}

/// The log has grown: whoever told of a later epoch and has ended has no say. Returns whether that was so.
pub(crate) fn log_grown(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<bool, EngineError> {
    let Some(mut state) = state::load(records, group)?.filter(|it| it.ahead != 0) else { return Ok(false) };
    let Some(by) = DeviceId::from_bytes(&state.ahead_by) else { return Ok(false) };
    if let Some(member) = teller(records, &state)?
        && log::vouches_for(records, (&member, &by))?
    {
        return Ok(false);
    }
    forget(&mut state);
    // Should it be true all the same, the next marks bring it out.
    state.marked = 0;
    state::save(records, group, &state);
    Ok(true)
}

/// Returns the member whose device told of a later epoch.
fn teller(records: &dyn Records, state: &GroupStateRecord) -> Result<Option<MemberId>, EngineError> {
    let Some(by) = DeviceId::from_bytes(&state.ahead_by) else { return Ok(None) };
    Ok(log::device(records, &by)?.and_then(|row| MemberId::from_bytes(&row.member_id)))
}

/// Whether commits are made in a group. While one is said to be withheld that takes a look into its slot since, and they are such as
/// [`lets_put`] lets through.
pub(crate) const fn lets_commit(state: &GroupStateRecord) -> bool {
    state.state == state::OPEN || (state.state == state::WITHHELD && state.slot_tried_at != 0)
}

/// Whether a commit may be put into its slot: while one is said to be withheld only one that removes who has ended in the log, or
/// nobody but who has said so. A slot that the relay shows as empty speaks for a lie, and whoever has ended must not stay by one.
pub(crate) fn lets_put(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    commit: &[u8],
) -> Result<bool, EngineError> {
    if state.state != state::WITHHELD {
        return Ok(true);
    }
    let (rows, teller) = (GroupRows::new(records, *group), teller(records, state)?);
    let mut is_of_teller = None;
    for change in story::changes(commit) {
        let slot = match change {
            Change::Remove(remove) if remove.reason == Reason::Log as u32 => return Ok(true),
            Change::Remove(remove) => Slot::from_u32(remove.slot),
            _ => None,
        };
        let entry = slot.map(|slot| rows.entry(slot).map_err(|_| EngineError::DamagedRecord)).transpose()?;
        let entry = entry.flatten().and_then(|bytes| Entry::from_bytes(&bytes));
        let fits = entry.is_some_and(|entry| Some(entry.member) == teller);
        is_of_teller = Some(fits && is_of_teller.unwrap_or(true));
    }
    Ok(is_of_teller.unwrap_or(false))
}

/// Whether a wish of the member's is to remove whoever has told of a later epoch, and nobody else.
pub(crate) fn lets_wish(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    number: u64,
) -> Result<bool, EngineError> {
    let Some(teller) = teller(records, state)? else { return Ok(false) };
    let wish = intent::read(records, group, number)?;
    Ok(wish.is_some_and(|it| it.kind == intent::REMOVE && it.members == [teller.as_bytes()]))
}

/// Whether there is such a wish.
pub(crate) fn any_wish(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
) -> Result<bool, EngineError> {
    for number in intent::queue(group).numbers(records)? {
        if lets_wish(records, (group, state), number)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Sends marks with the first own message of an epoch, to members chosen at random among those with whom there is a session.
pub(crate) fn send_first(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<(), EngineError> {
    let Some(mut state) = state::load(records, group)? else { return Ok(()) };
    let Some(head) = rows::head(records, group)? else { return Ok(()) };
    if state.marked == head.epoch {
        return Ok(());
    }
    state.marked = head.epoch;
    state::save(records, group, &state);
    let mut left = peers::all(records)?;
    let mut to_send = MARKS;
    while to_send > 0 && !left.is_empty() {
        let dice = usize::try_from(u32::from_be_bytes(random_bytes(rng))).unwrap_or(0);
        let device = left.swap_remove(dice.checked_rem(left.len()).unwrap_or(0));
        let Some(entry) = other(me, records, group, &device)? else { continue };
        let content = (group, Control::Mark(mark(&head)));
        let to = (&entry.member, &entry.device);
        if control::send(records, to, content, None, (now, &mut *rng))?.is_some() {
            to_send = to_send.saturating_sub(1);
        }
    }
    Ok(())
}

/// Returns the entry of a device of another member with which there is a session.
fn other(
    me: &Acting<'_>,
    records: &dyn Records,
    group: &[u8; 16],
    device: &DeviceId,
) -> Result<Option<Entry>, EngineError> {
    let rows = GroupRows::new(records, *group);
    let Some(slot) = rows.slot_of(device).map_err(|_| EngineError::DamagedRecord)? else { return Ok(None) };
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let entry = Group { id: group, head: &head, rows: &rows }.roster()?.get(slot)?;
    let entry = entry.filter(|entry| entry.member != me.member_id());
    Ok(entry.filter(|_| peers::active_session(records, device).is_ok_and(|session| session.is_some())))
}

/// Takes over what another device says of where it is.
pub(crate) fn take(
    turn: &mut Turn<'_, '_>,
    (group, member, device): (&[u8; 16], &MemberId, &DeviceId),
    content: &GroupMark,
) -> Result<Taken, EngineError> {
    let Some(mut state) = state::load(turn.records, group)?.filter(state::reads) else {
        return Ok(Taken::Well);
    };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(Taken::Well) };
    let slot = GroupRows::new(turn.records, *group).slot_of(device);
    if slot.map_err(|_| EngineError::DamagedRecord)?.is_none()
        || !log::vouches_for(turn.records, (member, device))?
    {
        return Ok(Taken::Well);
    }
    match judge_mark(&head, content) {
        Err(_) => return Ok(Taken::Bad),
        Ok(Mark::Same) => {}
        Ok(Mark::Forked) => {
            let (mark, from) = (Some(content.clone()), device.as_bytes().to_vec());
            let proof = GroupForkRecord { mark, from, ..GroupForkRecord::default() };
            fork::tell(turn, group, (&content.transcript, proof), Some(member))?;
        }
        Ok(Mark::Behind) => {
            if content.epoch > state.ahead {
                (state.ahead, state.ahead_by) = (content.epoch, device.as_bytes().to_vec());
            }
            if state.ahead_since == 0 {
                state.ahead_since = turn.now.as_millis().max(1);
                // Looked into at once, whenever that was last.
                state.slot_tried_at = 0;
            }
            state::save(turn.records, group, &state);
            turn.work = true;
        }
        Ok(Mark::Ahead) => {
            let told = state.mark_answered.iter().any(|it| it == device.as_bytes());
            if !told && state.mark_answered.len() < MAX_ANSWERED {
                state.mark_answered.push(device.as_bytes().to_vec());
                state::save(turn.records, group, &state);
                let answer = (group, Control::Mark(mark(&head)));
                control::send(turn.records, (member, device), answer, None, (turn.now, turn.rng))?;
                turn.work = true;
            }
        }
    }
    Ok(Taken::Well)
}

/// Returns when nothing may be sent any more because of a later epoch, of which nothing came.
pub(crate) fn due(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    let state = state::load(records, group)?.filter(|it| it.state == state::OPEN && it.ahead != 0);
    Ok(state.map(|it| Timestamp::from_millis(it.ahead_since.saturating_add(PATIENCE))))
}

/// Stops a group whose next commit could not be had for a minute.
pub(crate) fn upkeep(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    if log_grown(records, group)? {
        return Ok(Vec::new());
    }
    let Some(mut state) = state::load(records, group)?.filter(|it| it.ahead != 0) else {
        return Ok(Vec::new());
    };
    // By a clock that was ahead: the minute begins anew.
    state.ahead_since = state.ahead_since.min(now.as_millis());
    if state.state == state::OPEN && state.ahead_since.saturating_add(PATIENCE) <= now.as_millis() {
        let told = teller(records, &state)?;
        state.state = state::WITHHELD;
        state::save(records, group, &state);
        let act = Act::new(ActKind::Withheld, told.as_ref()).store(records, group, now)?;
        return Ok([act].into());
    }
    state::save(records, group, &state);
    Ok(Vec::new())
}

/// A commit was followed: whoever told of a later epoch and is in the group no more has no say.
pub(crate) fn followed(
    records: &dyn Records,
    group: &[u8; 16],
    state: &mut GroupStateRecord,
) -> Result<(), EngineError> {
    let Some(by) = DeviceId::from_bytes(&state.ahead_by) else { return Ok(()) };
    let slot = GroupRows::new(records, *group).slot_of(&by);
    if slot.map_err(|_| EngineError::DamagedRecord)?.is_none() {
        forget(state);
    }
    Ok(())
}
