//! What keyholders, and everybody, do for their group unasked (R-ENGINE-86 to -89).
//!
//! Whatever there is to do is noted, and done after a pause that depends on the own place among the keyholders, so that they do
//! not all do it at once.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{Group, GroupError, GroupOrder, Info, LogView as _, Roster, Rows as _};
use chancery_identity::log::LeafKind;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{GroupDutyRecord, GroupMendRecord, GroupRequestRecord, GroupStateRecord, Signed};
use chancery_wire::records::{Overlay, Records};

use crate::directory;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::plan::{self, View};
use crate::group::rows::{self, GroupRows};
use crate::group::{credentials, evict, intent, mark, state};
use crate::log;
use crate::tables::{GROUP_DUTY, key, load as load_record, save as save_record};

/// Between one keyholder's turn and the next one's: 5 s, time enough for a commit to go round.
const TURN: u64 = 5_000;
/// Whoever is no keyholder lets so many turns more pass: a minute.
const TURNS_OF_OTHERS: usize = 12;
/// Of those who are no keyholders these many, in the lowest slots, have a turn each, in ten minutes: one of them is likely there.
const SINGLE_TURNS: u64 = 120;
/// Between the turns of all others: 36 ms, so that the last of 16,384 slots has its turn ten minutes later.
const SHORT_TURN: u64 = 36;
/// How long after something that could not be done it is tried again: a minute, in milliseconds.
pub(crate) const PAUSE: u64 = 60_000;
/// How long after the relay did not have a device's credential it is looked for again: an hour, in milliseconds.
const LOOK_AGAIN: u64 = 3_600_000;
/// Requests that wait to be carried out: 64, as many orders as a roster remembers; the oldest goes.
const MAX_REQUESTS: usize = chancery_group::limit::MAX_ORDERS;
/// Devices that are being helped back, or were in the last day: 256. Each costs two commits.
const MAX_MENDS: usize = 256;
/// How often a device is helped back: once a day, in milliseconds, so that one that has lost its store time and again, or asks
/// for no reason, does not keep a group busy.
const MEND_AGAIN: u64 = 24 * 3_600_000;

/// What there is to do, as far as it was noted.
pub(crate) fn load(records: &dyn Records, group: &[u8; 16]) -> Result<GroupDutyRecord, EngineError> {
    Ok(load_record(records, &key(GROUP_DUTY, &[group]))?.unwrap_or_default())
}

pub(crate) fn save(records: &mut Overlay<'_>, group: &[u8; 16], duty: &GroupDutyRecord) {
    save_record(records, key(GROUP_DUTY, &[group]), duty);
}

/// Forgets all of it.
pub(crate) fn forget(records: &mut Overlay<'_>, group: &[u8; 16]) {
    records.delete(key(GROUP_DUTY, &[group]));
}

/// How long this device lets others go first, in milliseconds. No two devices of a group take turns at the same time.
fn pause(head: &chancery_group::Head) -> u64 {
    let turns = |count: usize| (count as u64).saturating_mul(TURN);
    if head.keyholders.contains(&head.slot) {
        return turns(head.keyholders.iter().filter(|slot| **slot < head.slot).count());
    }
    let slot = u64::from(head.slot);
    let single = slot.min(SINGLE_TURNS).saturating_mul(TURN);
    let own = single.saturating_add(slot.saturating_sub(SINGLE_TURNS).saturating_mul(SHORT_TURN));
    turns(head.keyholders.len().saturating_add(TURNS_OF_OTHERS)).saturating_add(own)
}

/// Whether credentials that a commit needs are on their way.
pub(crate) fn is_waiting(records: &dyn Records, duty: &GroupDutyRecord) -> Result<bool, EngineError> {
    for device in duty.waits.iter().filter_map(|id| DeviceId::from_bytes(id)) {
        if !credentials::is_here(records, &device)? && !plan::in_vain(records, &device)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When the next renewal of all keys is due here (R-GROUP-24, R-ENGINE-88); `None` if none is.
fn heals_at(head: &chancery_group::Head) -> Result<Option<u64>, EngineError> {
    if !head.keyholders.contains(&head.slot) {
        return Ok(None);
    }
    let every = Info::from_bytes(&head.info)?.heal;
    let every = every.map(|every| u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
    Ok(every.map(|every| head.regrown_at.saturating_add(every)))
}

/// Returns when the next duty of this device is due.
pub(crate) fn due(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    let Some(state) = state::load(records, group)?.filter(mark::lets_commit) else {
        return Ok(None);
    };
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let duty = load(records, group)?;
    let now = Some(Timestamp::default());
    let is_keyholder = head.keyholders.contains(&head.slot);
    let looks = duty.look
        || (state.ended && duty.since == 0)
        || (!duty.waits.is_empty() && !is_waiting(records, &duty)?)
        || !state.asked.is_empty()
        || (is_keyholder && duty.looked < log::log_size(records)?)
        || (!duty.member_ids.is_empty() && duty.directory != directory::directory_cursor(records)?);
    if looks {
        return Ok(now);
    }
    let turn = (duty.since != 0 && !duty.ready).then(|| duty.since.saturating_add(pause(&head)));
    let heal = heals_at(&head)?.filter(|_| !duty.heal);
    let again = (duty.paused_until != 0).then_some(duty.paused_until);
    let look = (duty.look_at != 0).then_some(duty.look_at);
    let next = [turn, heal, again, look].into_iter().flatten().min().map(Timestamp::from_millis);
    Ok(next.into_iter().chain(intent::asks_again(records, group)?).min())
}

/// Notes what is due, so that a commit is made for it.
pub(crate) fn upkeep(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Some(mut state) = state::load(records, group)?.filter(mark::lets_commit) else {
        return Ok(Vec::new());
    };
    let Some(head) = rows::head(records, group)? else { return Ok(Vec::new()) };
    intent::ask_again(me, records, group, now, rng)?;
    let mut duty = load(records, group)?;
    if duty.paused_until <= now.as_millis() || duty.paused_until > now.as_millis().saturating_add(PAUSE) {
        duty.paused_until = 0;
    }
    duty.look = false;
    if !is_waiting(records, &duty)? {
        duty.waits.clear();
    }
    let is_keyholder = head.keyholders.contains(&head.slot);
    note_mends(records, group, (&head, &mut state, &mut duty), now)?;
    if is_keyholder {
        note_members(records, group, &mut duty)?;
        duty.heal |= heals_at(&head)?.is_some_and(|due| due <= now.as_millis());
    }
    let ended = evict::note(records, group)?;
    let left = plan::look(me, records, group, |view| left(view, &mut duty))?.unwrap_or_default();
    for device in &left.wanted {
        credentials::want(records, device)?;
    }
    let owes = left.any || ended;
    if !owes {
        duty.since = 0;
    } else if duty.since == 0 || duty.since > now.as_millis() {
        duty.since = now.as_millis().max(1);
    }
    duty.ready = duty.since != 0 && duty.since.saturating_add(pause(&head)) <= now.as_millis();
    duty.look_at = if left.vain { now.as_millis().saturating_add(LOOK_AGAIN) } else { 0 };
    duty.waits.extend(left.wanted.iter().map(|device| device.as_bytes().to_vec()));
    save(records, group, &duty);
    Ok(if duty.ready { [Effect::Notify(Notice::GroupWork)].into() } else { Vec::new() })
}

/// What is left to do.
#[derive(Default)]
struct Left {
    any: bool,
    wanted: Vec<DeviceId>,
    /// Whether the relay did not have a credential.
    vain: bool,
}

/// Says whether something is left to do, and drops from the notes what is not.
fn left(view: &View<'_>, duty: &mut GroupDutyRecord) -> Result<Left, EngineError> {
    let roster = view.roster()?;
    let mut left = Left::default();
    let mut requests = Vec::new();
    for request in core::mem::take(&mut duty.requests) {
        let order = request.order.clone().unwrap_or_default();
        match ordered(view, &order) {
            Ok(Some(true)) => {
                left.any = true;
                requests.push(request);
            }
            Ok(None) => requests.push(request),
            Err(EngineError::Group(GroupError::NeedCredential(device))) => {
                let missing = plan::obtainable(view.me, view.records, &device)?;
                left.vain |= missing.is_empty();
                left.wanted.extend(missing);
                requests.push(request);
            }
            Err(error @ EngineError::Group(GroupError::Rows(_))) => return Err(error),
            // Anybody may have asked for it: what does not hold stops nothing else.
            Ok(Some(false)) | Err(EngineError::Group(_)) => {}
            Err(error) => return Err(error),
        }
    }
    duty.requests = requests;
    if !view.is_keyholder() {
        (duty.heal, duty.member_ids) = (false, Vec::new());
        return Ok(left);
    }
    let mut members = Vec::new();
    for id in core::mem::take(&mut duty.member_ids) {
        let Some(member) = MemberId::from_bytes(&id) else { continue };
        if roster.role_of(&member)?.is_none() {
            continue;
        }
        let one = GroupDutyRecord { member_ids: [id.clone()].into(), ..GroupDutyRecord::default() };
        let owed = plan::of_duty(view, &one)?;
        let has_changes = !owed.draft.changes.is_empty();
        // One whose entry or credential is not here yet is looked at again.
        let waits = owed.vain || !owed.wanted.is_empty() || !directory::counts(view.records, &member)?;
        if has_changes || waits {
            members.push(id);
        }
        left.any |= has_changes;
        left.vain |= owed.vain;
        left.wanted.extend(owed.wanted);
    }
    duty.member_ids = members;
    let mends = GroupDutyRecord { mends: duty.mends.clone(), ..GroupDutyRecord::default() };
    let owed = plan::of_duty(view, &mends)?;
    left.any |= !owed.draft.changes.is_empty();
    left.vain |= owed.vain;
    left.wanted.extend(owed.wanted);
    left.any |= duty.heal || !roster.dead().is_empty();
    Ok(left)
}

/// Whether this device can carry out an order, and it is not carried out yet; `None` if that cannot be said, because evictions fail
/// without it.
fn ordered(view: &View<'_>, order: &Signed) -> Result<Option<bool>, EngineError> {
    let at = (view.group.id, view.group.head.epoch);
    GroupOrder::verify(order, at, &view.roster()?, view.log, view.log.size())?;
    let without = match plan::of_orders(view, &[]) {
        Err(EngineError::Group(error))
            if !matches!(error, GroupError::NeedCredential(_) | GroupError::Rows(_)) =>
        {
            return Ok(None);
        }
        without => without?,
    };
    let with = plan::of_orders(view, core::slice::from_ref(order))?;
    let len = |draft: Option<plan::Draft>| draft.map_or(0, |draft| draft.changes.len());
    Ok(Some(len(with) > len(without)))
}

/// Notes who asked for secrets that nobody keeps any more (R-GROUP-19, R-ENGINE-90).
fn note_mends(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    (head, state, duty): (&chancery_group::Head, &mut GroupStateRecord, &mut GroupDutyRecord),
    now: Timestamp,
) -> Result<(), EngineError> {
    duty.mends
        .retain(|mend| mend.at <= now.as_millis() && now.as_millis() < mend.at.saturating_add(MEND_AGAIN));
    if state.asked.is_empty() {
        return Ok(());
    }
    let asked = core::mem::take(&mut state.asked);
    state::save(records, group, state);
    let rows = GroupRows::new(records, *group);
    let roster = Group { id: group, head, rows: &rows }.roster()?;
    for device in asked.iter().filter_map(|it| DeviceId::from_bytes(&it.device_id)) {
        let Some(slot) = roster.slot_of(&device).map_err(GroupError::from)? else { continue };
        let known = duty.mends.iter().any(|mend| mend.device_id == device.as_bytes());
        if known || duty.mends.len() >= MAX_MENDS {
            continue;
        }
        let entry = roster.get(slot)?.ok_or(EngineError::DamagedRecord)?;
        duty.mends.push(GroupMendRecord {
            device_id: device.as_bytes().to_vec(),
            member_id: entry.member.as_bytes().to_vec(),
            role: entry.role.number().into(),
            epoch: head.epoch,
            at: now.as_millis(),
            removed: false,
        });
    }
    Ok(())
}

/// Notes whose devices may be others since the log was looked through last: everybody's, the first time.
fn note_members(
    records: &dyn Records,
    group: &[u8; 16],
    duty: &mut GroupDutyRecord,
) -> Result<(), EngineError> {
    let size = log::log_size(records)?;
    duty.directory = directory::directory_cursor(records)?;
    if duty.looked >= size {
        return Ok(());
    }
    let mut members: BTreeSet<Vec<u8>> = core::mem::take(&mut duty.member_ids).into_iter().collect();
    let Some(head) = rows::head(records, group)? else { return Ok(()) };
    let rows = GroupRows::new(records, *group);
    if duty.looked == 0 {
        let roster: Roster<'_> = Group { id: group, head: &head, rows: &rows }.roster()?;
        members.extend(roster.members()?.into_iter().map(|member| member.id.as_bytes().to_vec()));
    } else {
        let mut touched = BTreeSet::new();
        log::visit_subjects(records, (duty.looked, size), |_, row| {
            if row.is(LeafKind::Credential) {
                touched.insert(row.object);
            } else if row.is(LeafKind::Directory) {
                touched.insert(row.subject);
            }
        })?;
        for member in touched {
            if !rows.slots_of(&MemberId::new(member)).map_err(GroupError::from)?.is_empty() {
                members.insert(member.to_vec());
            }
        }
    }
    duty.member_ids = members.into_iter().collect();
    duty.looked = size;
    Ok(())
}

/// Somebody asks that an order be carried out, or leaves; `from` is the device that asks. Whether the order holds is judged when
/// it is carried out.
pub(crate) fn requested(
    _me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, from): (&[u8; 16], &DeviceId),
    order: &Signed,
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    if state::load(records, group)?.is_none_or(|it| it.state != state::OPEN) {
        return Ok(Vec::new());
    }
    if GroupRows::new(records, *group).slot_of(from).map_err(GroupError::from)?.is_none() {
        return Ok(Vec::new());
    }
    let mut duty = load(records, group)?;
    if duty.requests.iter().any(|it| it.order.as_ref() == Some(order)) {
        return Ok(Vec::new());
    }
    if duty.requests.len() >= MAX_REQUESTS {
        duty.requests.remove(0);
    }
    duty.requests.push(GroupRequestRecord { order: Some(order.clone()), at: now.as_millis() });
    duty.look = true;
    save(records, group, &duty);
    Ok([Effect::Notify(Notice::GroupWork)].into())
}

/// Drops a request that cannot be carried out.
pub(crate) fn drop_request(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    order: &Signed,
) -> Result<(), EngineError> {
    let mut duty = load(records, group)?;
    duty.requests.retain(|it| it.order.as_ref() != Some(order));
    save(records, group, &duty);
    Ok(())
}

/// Notes that all keys have to be renewed: somebody has put into a commit what does not fit its seed.
pub(crate) fn want_heal(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<(), EngineError> {
    let mut duty = load(records, group)?;
    (duty.heal, duty.look) = (true, true);
    save(records, group, &duty);
    Ok(())
}

/// A commit was followed: what is left to do is looked for anew.
pub(crate) fn followed(
    records: &mut Overlay<'_>,
    (group, own): (&[u8; 16], bool),
    regrown: bool,
) -> Result<(), EngineError> {
    let mut duty = load(records, group)?;
    (duty.look, duty.since, duty.ready, duty.paused_until) = (true, 0, false, 0);
    duty.heal &= !regrown;
    let rows = GroupRows::new(records, *group);
    let mut mends = Vec::new();
    for mut mend in core::mem::take(&mut duty.mends) {
        let Some(device) = DeviceId::from_bytes(&mend.device_id) else { continue };
        let there = rows.slot_of(&device).map_err(GroupError::from)?.is_some();
        // Whom another commit removed stays out.
        if !there && !own && !mend.removed {
            continue;
        }
        mend.removed = !there;
        mends.push(mend);
    }
    duty.mends = mends;
    save(records, group, &duty);
    Ok(())
}

#[cfg(test)]
mod tests {
    use chancery_group::Head;

    use super::*;

    #[test]
    fn everybody_has_a_turn_of_its_own_and_it_comes_r_engine_86() {
        let keyholders: BTreeSet<u32> = [3, 700].into();
        let head = |slot| Head { slot, keyholders: keyholders.iter().copied().collect(), ..Head::default() };
        let pauses: BTreeSet<u64> = (0..16_384).map(|slot| pause(&head(slot))).collect();
        assert_eq!(pauses.len(), 16_384, "no two at the same time");
        assert_eq!((pause(&head(3)), pause(&head(700))), (0, TURN));
        let first = PAUSE + 2 * TURN;
        assert_eq!((pause(&head(0)), pause(&head(1))), (first, first + TURN));
        assert!(pauses.last().is_some_and(|last| *last < first + 20 * 60_000), "twenty minutes");
    }
}
