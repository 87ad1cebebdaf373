//! What the next commit of this device is to change, and how it may bring its secret.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_group::{
    Group, GroupError, GroupOrder, Info, Keying, LogView as _, Reason, Role, Roster, Rows as _, Slot, add,
    evictions, limit, remove, set_info, set_role,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_ordered::Change as Ordered;
use chancery_wire::proto::{GroupChange, GroupDutyRecord, GroupIntentRecord, GroupWantedRecord, Signed};
use chancery_wire::records::Records;

use crate::directory;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::log_view::DeviceLog;
use crate::group::rows::{self, GroupRows};
use crate::group::{credentials, intent};
use crate::log;
use crate::peers;
use crate::reach::{self, Relation};
use crate::sending;
use crate::tables::{GROUP_WANTED, key, load};

/// What a commit would do.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) changes: Vec<GroupChange>,
    /// In the order in which they are tried.
    pub(crate) keyings: Vec<Keying>,
    /// Entries of the log that it stands on; 0 for all.
    pub(crate) log_size: u64,
}

impl Draft {
    /// Whether part of the changes can be committed first: not of what the log or an order demands.
    pub(crate) const fn is_divisible(&self) -> bool {
        self.changes.len() > 1 && self.log_size == 0
    }
}

/// What becomes of a wish, or of a duty.
#[derive(Debug)]
pub(crate) enum Plan {
    /// There is nothing left to do.
    Done,
    /// It cannot be done, to these members if any are named.
    Refused(GroupError, Vec<MemberId>),
    /// These credentials are needed first.
    Wait(Vec<DeviceId>),
    /// It is for others to do.
    Idle,
    Commit(Draft),
}

/// A group for the time of one look at it.
pub(crate) struct View<'a> {
    pub(crate) me: &'a Acting<'a>,
    pub(crate) records: &'a dyn Records,
    pub(crate) group: Group<'a>,
    pub(crate) log: &'a DeviceLog<'a>,
    /// Whether this device is a keyholder's and has all keys of the tree.
    pub(crate) has_tree: bool,
}

impl<'a> View<'a> {
    pub(crate) fn roster(&self) -> Result<Roster<'a>, GroupError> {
        self.group.roster()
    }

    pub(crate) fn own(&self) -> Result<(Slot, Role), GroupError> {
        let slot = self.group.slot()?;
        let entry = self.roster()?.get(slot)?.ok_or(GroupError::NotAMember)?;
        Ok((slot, entry.role))
    }

    pub(crate) fn is_keyholder(&self) -> bool {
        self.group.head.keyholders.contains(&self.group.head.slot)
    }

    /// How a commit by role may bring its secret (R-GROUP-12): in the tree if it can, else by growing that anew.
    pub(crate) fn by_role(&self) -> Vec<Keying> {
        if self.has_tree { [Keying::Tree, Keying::Regrow].into() } else { [Keying::Regrow].into() }
    }

    /// How an eviction may (R-GROUP-20).
    fn by_log(&self) -> Vec<Keying> {
        if self.has_tree { [Keying::Tree, Keying::HandOut].into() } else { [Keying::HandOut].into() }
    }
}

/// Looks at a group; `None` if there is none any more.
pub(crate) fn look<T>(
    me: &Acting<'_>,
    records: &dyn Records,
    group: &[u8; 16],
    see: impl FnOnce(&View<'_>) -> Result<T, EngineError>,
) -> Result<Option<T>, EngineError> {
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let needs_tree = crate::group::state::load(records, group)?.is_some_and(|state| state.needs_tree);
    let rows = GroupRows::new(records, *group);
    let log = DeviceLog::new(me, records)?;
    let has_tree = head.keyholders.contains(&head.slot) && !needs_tree;
    let group = Group { id: group, head: &head, rows: &rows };
    let seen = see(&View { me, records, group, log: &log, has_tree });
    log.check()?;
    match seen {
        Err(EngineError::Group(GroupError::Rows(_))) => Err(EngineError::DamagedRecord),
        seen => seen.map(Some),
    }
}

/// The members' devices that could be in the roster and are not.
#[derive(Debug, Default)]
struct Missing {
    changes: Vec<GroupChange>,
    wanted: Vec<DeviceId>,
    /// Whether the relay did not have a credential.
    vain: bool,
}

/// Finds a member's devices that log and directory vouch for and that are not in the roster (R-ENGINE-82).
fn missing(
    view: &View<'_>,
    roster: &Roster<'_>,
    (member, role): (&MemberId, Role),
) -> Result<Missing, EngineError> {
    let mut missing = Missing::default();
    let Some(known) = directory::member(view.records, member)? else { return Ok(missing) };
    let device = view.me.device;
    // Guests and bots come in by whom they reach (R-ID-21).
    if reach::with_member(device, view.records, member)? != Relation::Within {
        return Ok(missing);
    }
    for id in known.device_ids {
        if roster.slot_of(&id).map_err(GroupError::from)?.is_some()
            || !directory::is_recipient(view.records, (member, &id))?
            || sending::room_for(view.records, &id)? == 0
            || peers::is_out(&peers::peer(view.records, &id)?)
        {
            continue;
        }
        match credentials::get(view.me, view.records, &id)? {
            Some(credential) if credential.member_id() == *member => {
                missing.changes.push(add(&credential, role))
            }
            Some(_) => {}
            None if in_vain(view.records, &id)? => missing.vain = true,
            None => missing.wanted.push(id),
        }
    }
    Ok(missing)
}

/// Whether a credential was asked for and the relay does not have it.
pub(crate) fn in_vain(records: &dyn Records, device: &DeviceId) -> Result<bool, EngineError> {
    let wanted: GroupWantedRecord = load(records, &key(GROUP_WANTED, &[]))?.unwrap_or_default();
    Ok(wanted.devices.iter().any(|it| it.device_id == device.as_bytes() && it.at != 0))
}

/// Returns which credentials of a device's member have to be asked for; none if all are here or were asked for in vain
/// (R-ENGINE-92).
pub(crate) fn obtainable(
    me: &Acting<'_>,
    records: &dyn Records,
    device: &DeviceId,
) -> Result<Vec<DeviceId>, EngineError> {
    let log = DeviceLog::new(me, records)?;
    let member = log.device(device, log.size()).map(|(member, _)| member);
    let mut devices = member.map(|member| log.devices_of(&member, log.size())).unwrap_or_default();
    log.check()?;
    if !devices.contains(device) {
        devices.push(*device);
    }
    let mut missing = Vec::new();
    for device in devices {
        if !credentials::is_here(records, &device)? && !in_vain(records, &device)? {
            missing.push(device);
        }
    }
    Ok(missing)
}

/// Returns what a wish of the member's comes to in the epoch of now.
pub(crate) fn of_intent(view: &View<'_>, intent: &GroupIntentRecord) -> Result<Plan, EngineError> {
    let roster = view.roster()?;
    let members: Vec<MemberId> = intent.members.iter().filter_map(|id| MemberId::from_bytes(id)).collect();
    let changes = match intent.kind {
        intent::ADD => return of_add(view, &roster, &members, intent.role),
        intent::REMOVE => {
            let mut changes = Vec::new();
            for member in &members {
                let slots = roster.slots_of(member).map_err(GroupError::from)?;
                changes.extend(slots.into_iter().map(|slot| remove(slot, Reason::Role)));
            }
            changes.truncate(limit::MAX_CHANGES);
            changes
        }
        intent::SET_ROLE => {
            let role = Role::from_u32(intent.role).ok_or(EngineError::DamagedRecord)?;
            let member = members.first().ok_or(EngineError::DamagedRecord)?;
            match roster.role_of(member)? {
                None => return Ok(Plan::Refused(GroupError::NotAMember, members)),
                Some(before) if before == role => Vec::new(),
                Some(_) => [set_role(member, role)].into(),
            }
        }
        intent::SET_INFO if intent.info != roster.info() => {
            [set_info(&Info::from_bytes(&intent.info)?)].into()
        }
        intent::HAND_OVER => {
            let to = members.first().ok_or(EngineError::DamagedRecord)?;
            let Some(before) = roster.role_of(to)? else {
                return Ok(Plan::Refused(GroupError::NotAMember, members));
            };
            let mut changes = Vec::new();
            if before != Role::Owner {
                changes.push(set_role(to, Role::Owner));
            }
            if view.own()?.1 == Role::Owner {
                changes.push(set_role(&view.me.member_id(), Role::Administrator));
            }
            changes
        }
        intent::LEAVE => return Ok(Plan::Idle),
        intent::DISSOLVE => {
            let mut info = Info::from_bytes(roster.info())?;
            info.dissolved = true;
            [set_info(&info)].into()
        }
        intent::HEAL => {
            let draft = Draft { keyings: [Keying::Regrow].into(), ..Draft::default() };
            return Ok(Plan::Commit(draft));
        }
        intent::EXECUTE => {
            let order = intent.order.clone().ok_or(EngineError::DamagedRecord)?;
            return of_order(view, &roster, &order);
        }
        _ => Vec::new(),
    };
    if changes.is_empty() {
        return Ok(Plan::Done);
    }
    Ok(Plan::Commit(Draft { changes, keyings: view.by_role(), log_size: 0 }))
}

/// Returns what carrying out one order comes to: done only if the group is as it orders.
fn of_order(view: &View<'_>, roster: &Roster<'_>, signed: &Signed) -> Result<Plan, EngineError> {
    let at = (view.group.id, view.group.head.epoch);
    let order = match GroupOrder::verify(signed, at, roster, view.log, view.log.size()) {
        Ok(order) => order,
        Err(error) => return Ok(Plan::Refused(error, Vec::new())),
    };
    if let Some(draft) = of_orders(view, core::slice::from_ref(signed))? {
        return Ok(Plan::Commit(draft));
    }
    let error = if order.is_fulfilled(roster)? {
        return Ok(Plan::Done);
    } else if order.is_noted(roster) {
        GroupError::OrderInvalid
    } else if !is_possible(view, &order) {
        GroupError::NotAllowed
    } else {
        // More than a commit holds, or than a roster remembers.
        GroupError::Limit
    };
    Ok(Plan::Refused(error, Vec::new()))
}

/// Whether this device may commit what is ordered.
fn is_possible(view: &View<'_>, order: &GroupOrder) -> bool {
    order.changes().iter().all(|change| match change {
        // Nobody makes the keys of a group that it is not in.
        Ordered::Remove(member) => member != view.me.member_id().as_bytes(),
        _ => view.is_keyholder(),
    })
}

fn of_add(
    view: &View<'_>,
    roster: &Roster<'_>,
    members: &[MemberId],
    role: u32,
) -> Result<Plan, EngineError> {
    let role = Role::from_u32(role).ok_or(EngineError::DamagedRecord)?;
    let (mut all, mut failed) = (Missing::default(), Vec::new());
    for member in members {
        let present = roster.role_of(member)?;
        let missing = missing(view, roster, (member, present.unwrap_or(role)))?;
        if present.is_none() && missing.changes.is_empty() && missing.wanted.is_empty() {
            failed.push(*member);
        }
        all.changes.extend(missing.changes);
        all.wanted.extend(missing.wanted);
        if all.changes.len().saturating_add(all.wanted.len()) >= limit::MAX_CHANGES {
            break;
        }
    }
    all.changes.truncate(limit::MAX_CHANGES);
    if !all.wanted.is_empty() {
        return Ok(Plan::Wait(all.wanted));
    }
    if !all.changes.is_empty() {
        let (changes, keyings) = (all.changes, view.by_role());
        return Ok(Plan::Commit(Draft { changes, keyings, log_size: 0 }));
    }
    Ok(if failed.is_empty() { Plan::Done } else { Plan::Refused(GroupError::NotInLog, failed) })
}

/// Returns the removals of all who have ended in the log, and what the orders order that is not done yet; `None` if that is
/// nothing. Orders that do not hold, that were carried out, or that this device cannot carry out, are left out.
pub(crate) fn of_orders(view: &View<'_>, orders: &[Signed]) -> Result<Option<Draft>, EngineError> {
    let roster = view.roster()?;
    let (mut good, mut others) = (Vec::new(), Vec::new());
    for signed in orders {
        let at = (view.group.id, view.group.head.epoch);
        let order = match GroupOrder::verify(signed, at, &roster, view.log, view.log.size()) {
            Ok(order) => order,
            Err(GroupError::NeedCredential(device)) if in_vain(view.records, &device)? => continue,
            Err(error @ (GroupError::NeedCredential(_) | GroupError::Rows(_))) => return Err(error.into()),
            Err(_) => continue,
        };
        // An order can be read by every member, and shown again (R-ENGINE-91).
        if order.is_noted(&roster) || !is_possible(view, &order) {
            continue;
        }
        let mut removes = false;
        let (mut gone, mut more) = (Vec::new(), Vec::new());
        for change in order.changes() {
            match change {
                Ordered::Remove(member) => {
                    let member = MemberId::from_bytes(member).ok_or(GroupError::Malformed)?;
                    removes |= intent::is_there(&roster, &member)?;
                    for slot in roster.slots_of(&member).map_err(GroupError::from)? {
                        // Who came later than the order stays.
                        if roster.get(slot)?.is_some_and(|entry| order.covers_removal(&entry)) {
                            gone.push(slot);
                        }
                    }
                }
                Ordered::Add(entry) => more.push(GroupChange { change: Some(Change::Add(entry.clone())) }),
                Ordered::SetRole(role) => {
                    more.push(GroupChange { change: Some(Change::SetRole(role.clone())) })
                }
                Ordered::SetInfo(info) => {
                    more.push(GroupChange { change: Some(Change::SetInfo(info.clone())) })
                }
            }
        }
        if more.is_empty() && removes {
            good.push(signed.clone());
        } else if !more.is_empty() {
            // What is more than removals is not among the evictions; it is carried out as a whole (R-GROUP-9).
            others.push(GroupChange { change: Some(Change::Order(signed.clone())) });
            others.extend(gone.into_iter().map(|slot| remove(slot, Reason::Order)));
            others.append(&mut more);
        }
    }
    let evicted = evictions(view.group, &good, view.log)?;
    let mut changes = evicted.changes;
    // Who goes anyway, be it for another reason, is not removed twice.
    let mut out: BTreeSet<u32> = changes.iter().filter_map(removed).collect();
    others.retain(|change| removed(change).is_none_or(|slot| out.insert(slot)));
    let keyings = if others.is_empty() { view.by_log() } else { view.by_role() };
    changes.append(&mut others);
    let draft = Draft { changes, keyings, log_size: evicted.log_size };
    Ok(Some(draft).filter(|draft| !draft.changes.is_empty()))
}

/// The slot that a change empties.
const fn removed(change: &GroupChange) -> Option<u32> {
    if let Some(Change::Remove(it)) = &change.change { Some(it.slot) } else { None }
}

/// What there is to do unasked.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    pub(crate) draft: Draft,
    /// Credentials that are needed.
    pub(crate) wanted: Vec<DeviceId>,
    /// Whether the relay did not have one.
    pub(crate) vain: bool,
}

/// Returns what a keyholder has to change unasked (R-ENGINE-86).
pub(crate) fn of_duty(view: &View<'_>, duty: &GroupDutyRecord) -> Result<Owed, EngineError> {
    let roster = view.roster()?;
    let (own_slot, own_role) = view.own()?;
    let Owed { mut draft, mut wanted, mut vain } = Owed::default();
    let may_remove = |slot: Slot, role: Role, member: &MemberId| {
        slot != own_slot
            && (own_role == Role::Owner || *member == view.me.member_id() || !role.is_keyholder())
    };
    let mut mended = Vec::new();
    for mend in &duty.mends {
        let (Some(device), Some(member)) =
            (DeviceId::from_bytes(&mend.device_id), MemberId::from_bytes(&mend.member_id))
        else {
            continue;
        };
        let slot = roster.slot_of(&device).map_err(GroupError::from)?;
        let change = if let Some(slot) = slot {
            let entry = roster.get(slot)?.ok_or(EngineError::DamagedRecord)?;
            let may = entry.added <= mend.epoch && may_remove(slot, entry.role, &entry.member);
            may.then(|| remove(slot, Reason::Role))
        } else {
            None
        };
        let returns = slot.is_none() && mend.removed && log::vouches_for(view.records, (&member, &device))?;
        if change.is_none() && !returns {
            continue;
        }
        // Nobody is removed who could not be added again.
        let Some(credential) = credentials::get(view.me, view.records, &device)? else {
            if in_vain(view.records, &device)? {
                vain = true
            } else {
                wanted.push(device)
            }
            continue;
        };
        let role =
            roster.role_of(&member)?.or(Role::from_u32(mend.role)).ok_or(EngineError::DamagedRecord)?;
        draft.changes.push(change.unwrap_or_else(|| add(&credential, role)));
        mended.push(device);
    }
    for member in duty.member_ids.iter().filter_map(|id| MemberId::from_bytes(id)) {
        let Some(role) = roster.role_of(&member)? else { continue };
        if !directory::counts(view.records, &member)? {
            continue;
        }
        let named = directory::member(view.records, &member)?.map(|it| it.device_ids).unwrap_or_default();
        for slot in roster.slots_of(&member).map_err(GroupError::from)? {
            let entry = roster.get(slot)?.ok_or(EngineError::DamagedRecord)?;
            if !named.contains(&entry.device)
                && !mended.contains(&entry.device)
                && may_remove(slot, role, &member)
            {
                draft.changes.push(remove(slot, Reason::Role));
            }
        }
        let missing = missing(view, &roster, (&member, role))?;
        vain |= missing.vain;
        wanted.extend(missing.wanted);
        draft.changes.extend(missing.changes.into_iter().filter(|change| !adds(change, &mended)));
        if draft.changes.len() >= limit::MAX_CHANGES {
            break;
        }
    }
    draft.changes.truncate(limit::MAX_CHANGES);
    draft.keyings = if duty.heal { [Keying::Regrow].into() } else { view.by_role() };
    Ok(Owed { draft, wanted, vain })
}

fn adds(change: &GroupChange, devices: &[DeviceId]) -> bool {
    let Some(Change::Add(add)) = &change.change else { return false };
    devices.iter().any(|device| add.device_id == device.as_bytes())
}
