//! What the member wants done in a group, in order (R-ENGINE-81).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{
    Author, Group, GroupError, GroupOrder, Info, LogView as _, Role, Roster, Rows as _, UnverifiedCommit,
    found, leave,
};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::group_ordered::Change as Ordered;
use chancery_wire::proto::{GroupIntentRecord, GroupRequest, GroupStateRecord, Signed};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, decode, encode};

use crate::directory;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::log_view::DeviceLog;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::{GroupOperation, control, follow, join, set, state};
use crate::queue::Queue;
use crate::reach::{self, Relation};
use crate::tables::{GROUP_INTENT, save};

/// Wishes that wait in one group: 1,000, as many messages as wait for one device.
const MAX_WAITING: u64 = 1000;
/// Devices that are asked to let this member go: the first 32 of the keyholders', of which one is enough.
const MAX_ASKED: usize = 32;
/// How long a member who leaves waits before it asks again: a day, in milliseconds.
const ASK_AGAIN: u64 = 24 * 3_600_000;

/// [`GroupIntentRecord::kind`]; the founding is done at once and never stored.
pub(crate) const ADD: u32 = 2;
pub(crate) const REMOVE: u32 = 3;
pub(crate) const SET_ROLE: u32 = 4;
pub(crate) const SET_INFO: u32 = 5;
pub(crate) const HAND_OVER: u32 = 6;
pub(crate) const LEAVE: u32 = 7;
pub(crate) const DISSOLVE: u32 = 8;
pub(crate) const HEAL: u32 = 9;
pub(crate) const EXECUTE: u32 = 10;

/// The queue of a group's [`chancery_wire::proto::GroupIntentRecord`].
pub(crate) const fn queue(group: &[u8; 16]) -> Queue<'_> {
    Queue::new(GROUP_INTENT, group)
}

/// Returns how many of the member's wishes are not carried out yet.
pub(crate) fn waiting(records: &dyn Records, group: &[u8; 16]) -> Result<u64, EngineError> {
    queue(group).len(records)
}

/// Reads one of them.
pub(crate) fn read(
    records: &dyn Records,
    group: &[u8; 16],
    number: u64,
) -> Result<Option<GroupIntentRecord>, EngineError> {
    let Some(bytes) = records.get(&queue(group).item_key(number))? else { return Ok(None) };
    let record =
        decode::<GroupIntentRecord>(&bytes, Limit::RECORD).map_err(|_| EngineError::DamagedRecord)?;
    Ok(Some(record.into_unchecked()))
}

/// Whether one of them needs a commit of this device.
pub(crate) fn any_to_commit(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    for number in queue(group).numbers(records)? {
        if read(records, group, number)?.is_some_and(|intent| intent.kind != LEAVE) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Drops all of them, of a group in which nothing can be done any more.
pub(crate) fn drop_all(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<(), EngineError> {
    let numbers: Vec<u64> = queue(group).numbers(records)?.collect();
    numbers.into_iter().try_for_each(|number| queue(group).remove(records, number))
}

/// Stores what is wanted, unless the role does not allow it.
pub(crate) fn submit(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, operation): (&[u8; 16], GroupOperation<'_>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    if reach::is_guest(me.device) && !matches!(operation, GroupOperation::Leave) {
        return Err(GroupError::NotAllowed.into());
    }
    if let GroupOperation::Create { info, members } = operation {
        return create(me, records, (group, &info, &members), now, rng);
    }
    let state = state::open(records, group)?;
    if waiting(records, group)? >= MAX_WAITING {
        return Err(EngineError::QueueFull);
    }
    let intent = match operation {
        GroupOperation::Leave => return begin_to_leave(me, records, group, now, rng),
        operation => check(me, records, (group, &state), operation)?,
    };
    push(records, group, GroupIntentRecord { at: now.as_millis(), ..intent })?;
    Ok([Effect::Notify(Notice::GroupWork)].into())
}

fn push(records: &mut Overlay<'_>, group: &[u8; 16], intent: GroupIntentRecord) -> Result<(), EngineError> {
    queue(group).push(records, encode(&intent)).map(drop)
}

fn ids(members: &[MemberId]) -> Vec<Vec<u8>> {
    members.iter().map(|member| member.as_bytes().to_vec()).collect()
}

/// Refuses what the role does not allow in the epoch of now (R-GROUP-7); the commit is judged again.
fn check(
    me: &Acting<'_>,
    records: &dyn Records,
    (group, state): (&[u8; 16], &GroupStateRecord),
    operation: GroupOperation<'_>,
) -> Result<GroupIntentRecord, EngineError> {
    let own = Role::from_u32(state.role).ok_or(EngineError::DamagedRecord)?;
    let head = rows::head(records, group)?.ok_or(EngineError::NoGroup)?;
    let rows = GroupRows::new(records, *group);
    let roster = Group { id: group, head: &head, rows: &rows }.roster()?;
    let may = |allowed: bool| if allowed { Ok(()) } else { Err(GroupError::NotAllowed) };
    let role_of = |member: &MemberId| roster.role_of(member)?.ok_or(GroupError::NotAMember);
    let is_owner = own == Role::Owner;
    let mut intent = GroupIntentRecord::default();
    match operation {
        GroupOperation::Add { members, role } => {
            may(own.is_keyholder() && (is_owner || role <= Role::Administrator))?;
            are_known(me, records, &members)?;
            (intent.kind, intent.members, intent.role) = (ADD, ids(&members), role.number().into());
        }
        GroupOperation::Remove { members } => {
            for member in &members {
                may(*member != me.member_id() && own.is_keyholder())?;
                may(is_owner || !role_of(member)?.is_keyholder())?;
            }
            (intent.kind, intent.members) = (REMOVE, ids(&members));
        }
        GroupOperation::SetRole { member, role } => {
            let before = role_of(&member)?;
            let below = !before.is_keyholder() && role <= Role::Administrator;
            may(is_owner || (own == Role::Administrator && below))?;
            // Nobody makes the keys of a commit after which it holds none of them.
            may(member != me.member_id() || role.is_keyholder())?;
            (intent.kind, intent.members, intent.role) = (SET_ROLE, ids(&[member]), role.number().into());
        }
        GroupOperation::SetInfo(info) => {
            may(own.is_keyholder() && !info.dissolved)?;
            (intent.kind, intent.info) = (SET_INFO, info.to_bytes());
            Info::from_bytes(&intent.info)?;
        }
        GroupOperation::HandOver { to } => {
            may(is_owner && to != me.member_id())?;
            role_of(&to)?;
            (intent.kind, intent.members) = (HAND_OVER, ids(&[to]));
        }
        GroupOperation::Dissolve => {
            may(is_owner)?;
            intent.kind = DISSOLVE;
        }
        GroupOperation::Heal => {
            may(own.is_keyholder())?;
            intent.kind = HEAL;
        }
        GroupOperation::Execute(order) => {
            let log = DeviceLog::new(me, records)?;
            let verified = GroupOrder::verify(order, (group, head.epoch), &roster, &log, log.size());
            log.check()?;
            let removes = verified?.changes().iter().all(|it| matches!(it, Ordered::Remove(_)));
            may(own.is_keyholder() || removes)?;
            (intent.kind, intent.order) = (EXECUTE, Some(order.clone()));
        }
        GroupOperation::Create { .. } | GroupOperation::Leave => {
            return Err(EngineError::Misuse("no intent"));
        }
    }
    Ok(intent)
}

fn are_known(me: &Acting<'_>, records: &dyn Records, members: &[MemberId]) -> Result<(), EngineError> {
    for member in members {
        if directory::member(records, member)?.is_none() {
            return Err(EngineError::UnknownRecipient);
        }
        if reach::with_member(me.device, records, member)? == Relation::Outside {
            return Err(EngineError::OutOfReach);
        }
    }
    Ok(())
}

/// Founds a group with this device alone; the others are added by the commits that follow (R-ENGINE-82).
fn create(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, info, members): (&[u8; 16], &Info, &[MemberId]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    if state::load(records, group)?.is_some() {
        return Err(GroupError::Exists.into());
    }
    if info.dissolved {
        return Err(GroupError::NotAllowed.into());
    }
    are_known(me, records, members)?;
    let (bytes, changes, keys) = {
        let log = DeviceLog::new(me, records)?;
        let log_size = log.size();
        let author = Author { keys: me.keys(), credential: me.credential(), log: &log, log_size, now };
        let made = found(group, info, author, rng);
        log.check()?;
        made?
    };
    let commit = *UnverifiedCommit::from_bytes(&bytes)?.hash();
    let mut turn = Turn::new(me, records, now, rng);
    join::enter(&mut turn, group, None, (commit, (changes, keys)))?;
    let mut effects = turn.settle()?;
    let mut state = state::open(records, group)?;
    // The commit has no slot of the relay, so nothing has made its set.
    set::is_new(&mut state, now);
    state::save(records, group, &state);
    effects.push(Act::new(ActKind::Created, Some(&me.member_id())).store(records, group, now)?);
    // Its own other devices first: as owner's.
    let mut all = Vec::from([me.member_id().as_bytes().to_vec()]);
    all.extend(ids(members).into_iter().filter(|id| *id != me.member_id().as_bytes()));
    let role = Role::Member.number().into();
    let at = now.as_millis();
    push(records, group, GroupIntentRecord { kind: ADD, members: all, role, at, ..Default::default() })?;
    effects.push(Effect::Notify(Notice::GroupWork));
    Ok(effects)
}

/// Signs that the own member leaves, and asks those who administer to carry it out (R-ENGINE-83).
fn begin_to_leave(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let head = rows::head(records, group)?.ok_or(EngineError::NoGroup)?;
    let (keyholders, others) = others(records, group, &me.member_id())?;
    if others == 0 {
        // Nobody is left who could be told.
        let mut state = state::open(records, group)?;
        state.state = state::LEFT;
        let own = me.member_id();
        let told = Act::new(ActKind::Left, Some(&own)).of([&own]).store(records, group, now)?;
        follow::forget(records, group, &mut state)?;
        drop_all(records, group)?;
        return Ok([told].into());
    }
    if keyholders == 0 {
        return Err(GroupError::NoKeyholder.into());
    }
    let order = {
        let log = DeviceLog::new(me, records)?;
        let order = leave((me.keys(), me.credential()), (group, head.epoch), &log, rng);
        log.check()?;
        order?
    };
    for number in queue(group).numbers(records)? {
        // Asked for again: the newest order counts.
        if read(records, group, number)?.is_some_and(|intent| intent.kind == LEAVE) {
            queue(group).remove(records, number)?;
        }
    }
    ask_to_leave(me, records, (group, &order), now, rng)?;
    let intent =
        GroupIntentRecord { kind: LEAVE, order: Some(order), at: now.as_millis(), ..Default::default() };
    push(records, group, intent)?;
    Ok([Effect::Notify(Notice::GroupWork)].into())
}

/// Returns how many devices of others there are: of keyholders, and in all.
fn others(records: &dyn Records, group: &[u8; 16], own: &MemberId) -> Result<(usize, usize), EngineError> {
    let head = rows::head(records, group)?.ok_or(EngineError::NoGroup)?;
    let rows = GroupRows::new(records, *group);
    let roster = Group { id: group, head: &head, rows: &rows }.roster()?;
    let own = roster.slots_of(own).map_err(GroupError::from)?;
    let keyholders = roster.keyholders().iter().filter(|slot| !own.contains(slot)).count();
    Ok((keyholders, roster.slots().filter(|slot| !own.contains(slot)).count()))
}

/// Sends an own order to leave to devices of keyholders.
fn ask_to_leave(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (group, order): (&[u8; 16], &Signed),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut asked = Vec::new();
    {
        let head = rows::head(records, group)?.ok_or(EngineError::NoGroup)?;
        let rows = GroupRows::new(records, *group);
        let roster = Group { id: group, head: &head, rows: &rows }.roster()?;
        for slot in roster.keyholders() {
            let entry = roster.get(*slot)?.ok_or(EngineError::DamagedRecord)?;
            if entry.member != me.member_id() {
                asked.push((entry.member, entry.device));
            }
        }
    }
    for (member, device) in asked.iter().take(MAX_ASKED) {
        let request = Control::Request(GroupRequest { order: Some(order.clone()) });
        control::send(records, (member, device), (group, request), None, (now, rng))?;
    }
    Ok(())
}

/// When a member who leaves asks again, because nobody has let it go; `None` if it does not leave.
pub(crate) fn asks_again(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    for number in queue(group).numbers(records)? {
        if let Some(intent) = read(records, group, number)?.filter(|intent| intent.kind == LEAVE) {
            return Ok(Some(Timestamp::from_millis(intent.at.saturating_add(ASK_AGAIN))));
        }
    }
    Ok(None)
}

/// Asks again to be let go, with an order of now.
pub(crate) fn ask_again(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    if asks_again(records, group)?.is_none_or(|due| due > now) {
        return Ok(());
    }
    match begin_to_leave(me, records, group, now, rng) {
        // Whoever administered has gone: once nobody is left who does, an eviction makes another.
        Err(EngineError::Group(_)) => {
            for number in queue(group).numbers(records)? {
                if let Some(mut intent) = read(records, group, number)?.filter(|intent| intent.kind == LEAVE)
                {
                    intent.at = now.as_millis();
                    save(records, queue(group).item_key(number), &intent);
                }
            }
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Whether a member is in the roster.
pub(crate) fn is_there(roster: &Roster<'_>, member: &MemberId) -> Result<bool, GroupError> {
    Ok(!roster.slots_of(member)?.is_empty())
}
