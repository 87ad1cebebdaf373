//! What may be changed in a roster, by whom and why (R-GROUP-6, R-GROUP-7, R-GROUP-8, R-GROUP-9).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto;
use proto::group_change::Change;

use crate::limit::MAX_CHANGES;
use crate::log_view::Ended;
use crate::{Entry, GroupError, GroupOrder, Info, LogView, Role, Roster, Rows as _, Slot};

/// Why a slot is emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// The author's role allows it.
    Role = 0,
    /// The log ended the device or its member.
    Log = 1,
    /// An issuer ordered it, or the member left.
    Order = 2,
}

/// Under which circumstances changes are judged.
pub(crate) struct Terms<'a> {
    pub(crate) group_id: &'a [u8; 16],
    /// The epoch that begins.
    pub(crate) epoch: u64,
    pub(crate) author: Slot,
    /// Entries of the log that the epoch before knew.
    pub(crate) known: u64,
    /// Entries that the commit knows.
    pub(crate) size: u64,
    pub(crate) log: &'a dyn LogView,
}

/// What changes came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Outcome {
    /// Slots that were filled.
    pub added: Vec<Slot>,
    /// Slots that were emptied, and who was there.
    pub removed: Vec<(Slot, Entry)>,
    /// Whose role changed, from what.
    pub roles: BTreeMap<MemberId, Role>,
    /// Whether name or policy changed.
    pub info: bool,
    /// Whether a device that held the whole tree is gone or holds it no more.
    pub(crate) lost_keyholder: bool,
    /// Whether something rests on neither log nor order alone.
    pub(crate) by_role: bool,
}

struct Applying<'r, 'a, 't> {
    roster: &'r mut Roster<'a>,
    terms: &'r Terms<'t>,
    author: Entry,
    outcome: Outcome,
    orders: Vec<(GroupOrder, bool)>,
    devices: BTreeSet<DeviceId>,
    evicted: bool,
    left: BTreeSet<MemberId>,
    successor: Option<MemberId>,
}

/// Applies changes one after the other; the roster is worth nothing if one of them is refused.
pub(crate) fn apply(
    roster: &mut Roster<'_>,
    terms: &Terms<'_>,
    changes: &[proto::GroupChange],
) -> Result<Outcome, GroupError> {
    if changes.len() > MAX_CHANGES {
        return Err(GroupError::Limit);
    }
    if Info::from_bytes(roster.info())?.dissolved {
        return Err(GroupError::Dissolved);
    }
    let author = roster.get(terms.author)?.ok_or(GroupError::NotAMember)?;
    let mut applying = Applying {
        roster,
        terms,
        author,
        outcome: Outcome::default(),
        orders: Vec::new(),
        devices: BTreeSet::new(),
        evicted: false,
        left: BTreeSet::new(),
        successor: None,
    };
    for change in changes {
        applying.change(change.change.as_ref().ok_or(GroupError::Malformed)?)?;
    }
    applying.finish()
}

impl Applying<'_, '_, '_> {
    fn change(&mut self, change: &Change) -> Result<(), GroupError> {
        // Whoever takes over does so last, so that the order of the changes cannot choose who it is.
        if self.successor.is_some() && !matches!(change, Change::Add(_)) {
            return Err(GroupError::NotAllowed);
        }
        match change {
            Change::Add(add) => {
                self.add(Entry::from_add(add, self.terms.epoch).ok_or(GroupError::Malformed)?)
            }
            Change::Remove(remove) => self.remove(remove),
            Change::SetRole(set) => {
                let member = MemberId::from_bytes(&set.member_id).ok_or(GroupError::Malformed)?;
                self.set_role(member, Role::from_u32(set.role).ok_or(GroupError::Malformed)?)
            }
            Change::SetInfo(info) => self.set_info(info),
            Change::Order(signed) => self.order(signed),
        }
    }

    fn add(&mut self, entry: Entry) -> Result<(), GroupError> {
        let Terms { log, size, .. } = *self.terms;
        if log.device(&entry.device, size) != Some((entry.member, entry.credential))
            || log.is_ended(&entry.device, &entry.member, size)
        {
            return Err(GroupError::NotInLog);
        }
        if !self.devices.insert(entry.device) || self.outcome.roles.contains_key(&entry.member) {
            return Err(GroupError::Redundant);
        }
        let present = self.roster.role_of(&entry.member)?;
        if present.is_some_and(|role| role != entry.role) {
            return Err(GroupError::NotAllowed);
        }
        if self.succeeds(&entry.member, entry.role)? {
            if present.is_some() && self.successor != Some(entry.member) {
                return Err(GroupError::NotAllowed);
            }
            self.successor = Some(entry.member);
        } else {
            let by_role = match (self.author.role, present) {
                (Role::Owner, _) | (Role::Administrator, Some(_)) => true,
                (Role::Administrator, None) => entry.role <= Role::Administrator,
                _ => false,
            };
            self.may(by_role, |order| order.covers_add(&entry))?;
        }
        let slot = self.roster.add(entry)?;
        self.outcome.added.push(slot);
        Ok(())
    }

    fn remove(&mut self, remove: &proto::GroupRemove) -> Result<(), GroupError> {
        let slot = Slot::from_u32(remove.slot).ok_or(GroupError::Malformed)?;
        let entry = self.roster.get(slot)?.ok_or(GroupError::Redundant)?;
        if !self.devices.insert(entry.device) || self.outcome.roles.contains_key(&entry.member) {
            return Err(GroupError::Redundant);
        }
        // Nobody makes the keys of a group that it is not in (R-GROUP-6).
        if slot == self.terms.author {
            return Err(GroupError::NotAllowed);
        }
        match remove.reason {
            0 => {
                let own = entry.member == self.author.member;
                let may = match self.author.role {
                    Role::Owner => true,
                    Role::Administrator => own || !entry.role.is_keyholder(),
                    _ => false,
                };
                if !may {
                    return Err(GroupError::NotAllowed);
                }
                self.outcome.by_role = true;
            }
            1 => {
                if !self.terms.log.is_ended(&entry.device, &entry.member, self.terms.size) {
                    return Err(GroupError::NotAllowed);
                }
                self.evicted = true;
            }
            2 => {
                if !self.is_ordered(|order| order.covers_removal(&entry)) {
                    return Err(GroupError::OrderInvalid);
                }
                self.left.insert(entry.member);
                self.evicted = true;
            }
            _ => return Err(GroupError::Malformed),
        }
        self.outcome.lost_keyholder |= entry.role.is_keyholder();
        self.roster.put(slot, None)?;
        self.outcome.removed.push((slot, entry));
        Ok(())
    }

    fn set_role(&mut self, member: MemberId, role: Role) -> Result<(), GroupError> {
        let from = self.roster.role_of(&member)?.ok_or(GroupError::Redundant)?;
        let slots = self.roster.slots_of(&member)?;
        if from == role || self.outcome.roles.contains_key(&member) {
            return Err(GroupError::Redundant);
        }
        for slot in &self.outcome.added {
            if slots.contains(slot) {
                return Err(GroupError::Redundant);
            }
        }
        if self.succeeds(&member, role)? {
            self.successor = Some(member);
        } else {
            let by_role = match self.author.role {
                Role::Owner => true,
                Role::Administrator => !from.is_keyholder() && role <= Role::Administrator,
                _ => false,
            };
            self.may(by_role, |order| order.covers_role(&member, role))?;
        }
        for slot in slots {
            let entry = self.roster.get(slot)?.ok_or(GroupError::Malformed)?;
            self.roster.put(slot, Some(Entry { role, ..entry }))?;
        }
        self.outcome.lost_keyholder |= from.is_keyholder() && !role.is_keyholder();
        self.outcome.roles.insert(member, from);
        Ok(())
    }

    fn set_info(&mut self, bytes: &[u8]) -> Result<(), GroupError> {
        let info = Info::from_bytes(bytes)?;
        if self.outcome.info || bytes == self.roster.info() {
            return Err(GroupError::Redundant);
        }
        let by_role = match self.author.role {
            Role::Owner => true,
            Role::Administrator => !info.dissolved,
            _ => false,
        };
        self.may(by_role, |order| order.covers_info(bytes))?;
        self.roster.set_info(bytes.to_vec());
        self.outcome.info = true;
        Ok(())
    }

    fn order(&mut self, signed: &proto::Signed) -> Result<(), GroupError> {
        let Terms { group_id, epoch, log, size, .. } = *self.terms;
        let before = (group_id, epoch.saturating_sub(1));
        let order = GroupOrder::verify(signed, before, self.roster, log, size)?;
        if let Some((hash, expires)) = order.to_note() {
            let now = log.time(size).ok_or(GroupError::LogTooShort)?.as_millis();
            self.roster.note_order(hash, expires, now)?;
        }
        self.orders.push((order, false));
        Ok(())
    }

    /// Whether the author may change something by role, or as a keyholder by an order that came before.
    fn may(&mut self, by_role: bool, covers: impl Fn(&GroupOrder) -> bool) -> Result<(), GroupError> {
        let ordered = self.is_ordered(covers);
        if !(by_role || ordered && self.author.role.is_keyholder()) {
            return Err(GroupError::NotAllowed);
        }
        self.outcome.by_role = true;
        Ok(())
    }

    fn is_ordered(&mut self, covers: impl Fn(&GroupOrder) -> bool) -> bool {
        let mut ordered = false;
        for (order, used) in &mut self.orders {
            if covers(order) {
                (*used, ordered) = (true, true);
            }
        }
        ordered
    }

    /// Whether this makes somebody an owner because nobody is left who administers (R-GROUP-8).
    fn succeeds(&self, member: &MemberId, role: Role) -> Result<bool, GroupError> {
        if let Some(successor) = &self.successor {
            return if successor == member { Ok(true) } else { Err(GroupError::NotAllowed) };
        }
        if !self.evicted || !self.roster.keyholders().is_empty() {
            return Ok(false);
        }
        let Terms { group_id, log, size, .. } = *self.terms;
        let expected = successor(self.roster, group_id, &self.left, log, size)?;
        if expected == Some(*member) && role == Role::Owner { Ok(true) } else { Err(GroupError::NotAllowed) }
    }

    fn finish(self) -> Result<Outcome, GroupError> {
        let Terms { log, known, size, .. } = *self.terms;
        if self.orders.iter().any(|(_, used)| !used) {
            return Err(GroupError::Redundant);
        }
        for (order, _) in &self.orders {
            if !order.is_carried_out(self.roster)? {
                return Err(GroupError::OrderInvalid);
            }
            for member in order.removed() {
                for slot in self.roster.slots_of(&member)? {
                    let entry = self.roster.get(slot)?.ok_or(GroupError::Malformed)?;
                    if order.covers_removal(&entry) {
                        return Err(GroupError::LeaverStays);
                    }
                }
            }
        }
        for ended in log.ended(known, size) {
            let stays = match ended {
                Ended::Device(device) => self.roster.slot_of(&device)?.is_some(),
                Ended::Member(member) => !self.roster.slots_of(&member)?.is_empty(),
            };
            if stays {
                return Err(GroupError::LeaverStays);
            }
        }
        if self.roster.keyholders().is_empty() && !Info::from_bytes(self.roster.info())?.dissolved {
            return Err(GroupError::NoKeyholder);
        }
        Ok(self.outcome)
    }
}

/// Returns who takes over if nobody is left who administers (R-GROUP-8), `left` being those who go by order in the same
/// commit; `None` if nobody is left at all.
///
/// # Errors
///
/// [`GroupError::Rows`] if the roster cannot be read.
pub(crate) fn successor(
    roster: &Roster<'_>,
    group_id: &[u8; 16],
    left: &BTreeSet<MemberId>,
    log: &dyn LogView,
    size: u64,
) -> Result<Option<MemberId>, GroupError> {
    for member in log.group_successors(group_id, size) {
        if !left.contains(&member) && !log.devices_of(&member, size).is_empty() {
            return Ok(Some(member));
        }
    }
    let mut lowest = None;
    for slot in roster.slots() {
        let entry = roster.get(slot)?.ok_or(GroupError::Malformed)?;
        if log.is_ended(&entry.device, &entry.member, size) {
            continue;
        }
        if entry.role != Role::Reader {
            return Ok(Some(entry.member));
        }
        lowest = lowest.or(Some(entry.member));
    }
    Ok(lowest)
}
