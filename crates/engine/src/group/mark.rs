//! Marks: members tell each other over their sessions in which epoch they are, which the relay does not see (R-GROUP-27).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_group::{Entry, Group, Mark, Reason, Rows as _, Slot, judge_mark, mark};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{GroupClaim, GroupForkRecord, GroupMark, GroupStateRecord};
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

/// Claims of later epochs that are kept of one group: 16. There is room for one of each of so many members, as soon as they tell.
const MAX_CLAIMS: usize = 16;

/// An epoch begins: those behind are told anew.
pub(crate) fn begun(state: &mut GroupStateRecord) {
    state.mark_answered.clear();
}

/// Returns what devices say of later epochs, one claim of each.
fn claims(state: &GroupStateRecord) -> Vec<GroupClaim> {
    if state.claims.is_empty() && state.ahead != 0 && !state.ahead_by.is_empty() {
        // A record of before has one, without the epoch's name.
        let (device_id, transcript) = (state.ahead_by.clone(), Vec::new());
        return [GroupClaim { device_id, epoch: state.ahead, transcript }].into();
    }
    state.claims.clone()
}

/// Takes over what claims there are. Without any nothing is withheld.
fn set_claims(state: &mut GroupStateRecord, claims: Vec<GroupClaim>) {
    state.ahead_by.clear();
    state.ahead = claims.iter().map(|it| it.epoch).max().unwrap_or(0);
    state.claims = claims;
    if state.ahead == 0 {
        state.ahead_since = 0;
        if state.state == state::WITHHELD {
            state.state = state::OPEN;
        }
    }
}

/// Notes a claim, if it says more than is known: one of each device, and where there is no room whoever has two more than the
/// claimant gives up its last, so that no member keeps another from being heard.
fn note(
    records: &dyn Records,
    claims: &mut Vec<GroupClaim>,
    (member, claim): (&MemberId, GroupClaim),
) -> Result<(), EngineError> {
    if let Some(known) = claims.iter_mut().find(|it| it.device_id == claim.device_id) {
        if claim.epoch > known.epoch {
            *known = claim;
        }
        return Ok(());
    }
    if claims.len() >= MAX_CLAIMS {
        let members = claims.iter().map(|it| member_of(records, it)).collect::<Result<Vec<_>, _>>()?;
        let count = |of: Option<MemberId>| members.iter().filter(|it| **it == of).count();
        let most = members.iter().enumerate().max_by_key(|(_, it)| count(**it));
        let (place, of) = most.ok_or(EngineError::DamagedRecord)?;
        if count(*of) < count(Some(*member)).saturating_add(2) {
            return Ok(());
        }
        claims.remove(place);
    }
    claims.push(claim);
    Ok(())
}

/// The log has grown: whoever told of a later epoch and has ended has no say. Returns whether that was so.
pub(crate) fn log_grown(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<bool, EngineError> {
    let Some(mut state) = state::load(records, group)?.filter(|it| it.ahead != 0) else { return Ok(false) };
    let before = claims(&state);
    let mut kept = Vec::new();
    for claim in &before {
        if let Some(by) = DeviceId::from_bytes(&claim.device_id)
            && let Some(member) = member_of(records, claim)?
            && log::vouches_for(records, (&member, &by))?
        {
            kept.push(claim.clone());
        }
    }
    if kept.len() == before.len() {
        return Ok(false);
    }
    set_claims(&mut state, kept);
    // Should it be true all the same, the next marks bring it out.
    state.marked = 0;
    state::save(records, group, &state);
    Ok(true)
}

/// Returns the member whose device made a claim.
fn member_of(records: &dyn Records, claim: &GroupClaim) -> Result<Option<MemberId>, EngineError> {
    let Some(by) = DeviceId::from_bytes(&claim.device_id) else { return Ok(None) };
    Ok(log::device(records, &by)?.and_then(|row| MemberId::from_bytes(&row.member_id)))
}

/// Returns the members whose devices told of later epochs.
fn tellers(records: &dyn Records, state: &GroupStateRecord) -> Result<BTreeSet<MemberId>, EngineError> {
    let members = claims(state).iter().map(|it| member_of(records, it)).collect::<Result<Vec<_>, _>>()?;
    Ok(members.into_iter().flatten().collect())
}

/// Whether commits are made in a group. While one is said to be withheld that takes a look into its slot since, and they are such as
/// [`lets_put`] lets through.
pub(crate) const fn lets_commit(state: &GroupStateRecord) -> bool {
    state.state == state::OPEN || (state.state == state::WITHHELD && state.slot_tried_at != 0)
}

/// Whether a commit may be put into its slot: while one is said to be withheld only one that removes who has ended in the log, or
/// nobody but those who have said so. A slot that the relay shows as empty speaks for a lie, and whoever has ended must not stay by one.
pub(crate) fn lets_put(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    commit: &[u8],
) -> Result<bool, EngineError> {
    if state.state != state::WITHHELD {
        return Ok(true);
    }
    let (rows, tellers) = (GroupRows::new(records, *group), tellers(records, state)?);
    let mut is_of_teller = None;
    for change in story::changes(commit) {
        let slot = match change {
            Change::Remove(remove) if remove.reason == Reason::Log as u32 => return Ok(true),
            Change::Remove(remove) => Slot::from_u32(remove.slot),
            _ => None,
        };
        let entry = slot.map(|slot| rows.entry(slot).map_err(|_| EngineError::DamagedRecord)).transpose()?;
        let entry = entry.flatten().and_then(|bytes| Entry::from_bytes(&bytes));
        let fits = entry.is_some_and(|entry| tellers.contains(&entry.member));
        is_of_teller = Some(fits && is_of_teller.unwrap_or(true));
    }
    Ok(is_of_teller.unwrap_or(false))
}

/// Whether a wish of the member's is to remove those who have told of later epochs, and nobody else.
pub(crate) fn lets_wish(
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    number: u64,
) -> Result<bool, EngineError> {
    let tellers = tellers(records, state)?;
    let told = |id: &Vec<u8>| MemberId::from_bytes(id).is_some_and(|member| tellers.contains(&member));
    let fits = |members: &[Vec<u8>]| !members.is_empty() && members.iter().all(told);
    let wish = intent::read(records, group, number)?;
    Ok(wish.is_some_and(|it| it.kind == intent::REMOVE && fits(&it.members)))
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
        Ok(Mark::Forked) => forked(turn, group, (Some(member), claim_of(device, content)))?,
        Ok(Mark::Behind) => behind(turn, (group, state), (member, claim_of(device, content)))?,
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

fn claim_of(device: &DeviceId, mark: &GroupMark) -> GroupClaim {
    let (device_id, transcript) = (device.as_bytes().to_vec(), mark.transcript.clone());
    GroupClaim { device_id, epoch: mark.epoch, transcript }
}

/// What a device said of an epoch is not what that is here: there are two.
fn forked(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (member, claim): (Option<&MemberId>, GroupClaim),
) -> Result<(), EngineError> {
    let GroupClaim { device_id: from, epoch, transcript } = claim;
    let mark = Some(GroupMark { epoch, transcript: transcript.clone() });
    let proof = GroupForkRecord { mark, from, ..GroupForkRecord::default() };
    fork::tell(turn, group, (&transcript, proof), member)
}

/// A device says that it is further on.
fn behind(
    turn: &mut Turn<'_, '_>,
    (group, mut state): (&[u8; 16], GroupStateRecord),
    (member, claim): (&MemberId, GroupClaim),
) -> Result<(), EngineError> {
    let before = tellers(turn.records, &state)?;
    let mut claims = claims(&state);
    note(turn.records, &mut claims, (member, claim))?;
    set_claims(&mut state, claims);
    if state.ahead_since == 0 {
        state.ahead_since = turn.now.as_millis().max(1);
        // Looked into at once, whenever that was last.
        state.slot_tried_at = 0;
    }
    state::save(turn.records, group, &state);
    turn.work = true;
    // Who is told when the minute is over is told of them all.
    let is_told = state.state == state::WITHHELD && !before.contains(member);
    if is_told && tellers(turn.records, &state)?.contains(member) {
        turn.act(group, Act::new(ActKind::Withheld, Some(member)))?;
    }
    Ok(())
}

/// An epoch was reached: what was said of it was true, or shows that there are two (R-GROUP-27); what was said of those before it is
/// over. Whatever commit led here, also one that was made while another was said to be withheld.
pub(crate) fn reached(turn: &mut Turn<'_, '_>, group: &[u8; 16]) -> Result<(), EngineError> {
    let Some(mut state) = state::load(turn.records, group)?.filter(|it| it.ahead != 0) else {
        return Ok(());
    };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(()) };
    let (later, over): (Vec<_>, Vec<_>) = claims(&state).into_iter().partition(|it| it.epoch > head.epoch);
    set_claims(&mut state, later);
    state::save(turn.records, group, &state);
    let is_other = |it: &GroupClaim| !it.transcript.is_empty() && it.transcript != head.transcript;
    if let Some(claim) = over.into_iter().find(|it| it.epoch == head.epoch && is_other(it)) {
        let member = member_of(turn.records, &claim)?;
        forked(turn, group, (member.as_ref(), claim))?;
    }
    Ok(())
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
        state.state = state::WITHHELD;
        state::save(records, group, &state);
        let tellers = tellers(records, &state)?;
        let told = tellers.iter().map(|it| Act::new(ActKind::Withheld, Some(it)).store(records, group, now));
        return told.collect();
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
    let (rows, mut kept) = (GroupRows::new(records, *group), Vec::new());
    for claim in claims(state) {
        let Some(by) = DeviceId::from_bytes(&claim.device_id) else { continue };
        // What it has said of the epoch that began is looked at first: whoever the withheld commit removed may have removed it.
        let is_in = rows.slot_of(&by).map_err(|_| EngineError::DamagedRecord)?.is_some();
        if is_in || claim.epoch == state.epoch {
            kept.push(claim);
        }
    }
    set_claims(state, kept);
    Ok(())
}
