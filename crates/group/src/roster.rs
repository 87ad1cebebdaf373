//! A roster as a commit leaves it: what is stored, and over it what changes (R-GROUP-1, -2).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::hash::{hash, sha256};
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::{DeviceId, MemberId};

use crate::limit::{MAX_DEVICES, MAX_DEVICES_OF_MEMBER, MAX_ORDERS};
use crate::slots::SlotSet;
use crate::{Entry, GroupError, Head, Node, Role, RowError, Rows, Slot};

/// A member of a group with its devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: MemberId,
    /// Its role.
    pub role: Role,
    /// Its devices in the group, in the order of their slots.
    pub devices: Vec<(Slot, Entry)>,
}

/// A roster: the stored rows with changes over them. As [`Rows`] it shows what will be stored; keys are those before.
#[derive(Clone)]
pub struct Roster<'a> {
    rows: &'a dyn Rows,
    info: Vec<u8>,
    dead: BTreeSet<Node>,
    orders: BTreeMap<[u8; 32], u64>,
    slots: SlotSet,
    keyholders: BTreeSet<Slot>,
    entries: BTreeMap<Slot, Option<Entry>>,
    hashes: BTreeMap<Node, [u8; 32]>,
    members: BTreeMap<MemberId, BTreeSet<Slot>>,
    devices: BTreeMap<DeviceId, Option<Slot>>,
    unsettled: BTreeSet<Slot>,
}

impl core::fmt::Debug for Roster<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Roster").field("taken", &self.slots.len()).finish_non_exhaustive()
    }
}

impl<'a> Roster<'a> {
    /// Begins with what is stored.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the record is damaged.
    pub fn new(head: &Head, rows: &'a dyn Rows) -> Result<Self, GroupError> {
        let mut keyholders = BTreeSet::new();
        for number in &head.keyholders {
            keyholders.insert(Slot::from_u32(*number).ok_or(RowError)?);
        }
        Ok(Self {
            info: head.info.clone(),
            dead: read_dead(&head.dead).ok_or(RowError)?,
            orders: read_orders(&head.orders).ok_or(RowError)?,
            slots: SlotSet::from_bytes(&head.slots)?,
            keyholders,
            ..Self::empty(rows)
        })
    }

    /// Begins with nobody, over rows that hold nothing.
    pub(crate) fn empty(rows: &'a dyn Rows) -> Self {
        Self {
            rows,
            info: Vec::new(),
            dead: BTreeSet::new(),
            orders: BTreeMap::new(),
            slots: SlotSet::new(),
            keyholders: BTreeSet::new(),
            entries: BTreeMap::new(),
            hashes: BTreeMap::new(),
            members: BTreeMap::new(),
            devices: BTreeMap::new(),
            unsettled: BTreeSet::new(),
        }
    }

    /// Returns the encoded `GroupInfo`.
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// Returns the nodes whose keys may not be used.
    #[must_use]
    pub const fn dead(&self) -> &BTreeSet<Node> {
        &self.dead
    }

    /// Returns the slots of administrators and owners.
    #[must_use]
    pub const fn keyholders(&self) -> &BTreeSet<Slot> {
        &self.keyholders
    }

    /// Returns how many slots are taken.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.slots.len()
    }

    /// Returns the taken slots in rising order.
    pub fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.slots.iter()
    }

    /// Returns a slot's entry; `None` if it is empty.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if it cannot be read.
    pub fn get(&self, slot: Slot) -> Result<Option<Entry>, GroupError> {
        if let Some(entry) = self.entries.get(&slot) {
            return Ok(*entry);
        }
        let stored = self.rows.entry(slot)?;
        Ok(stored.map(|bytes| Entry::from_bytes(&bytes).ok_or(RowError)).transpose()?)
    }

    /// Returns a member's role; `None` if it is not in the group.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if it cannot be read.
    pub fn role_of(&self, member: &MemberId) -> Result<Option<Role>, GroupError> {
        let slots = self.slots_of(member)?;
        slots.first().map_or(Ok(None), |slot| Ok(self.get(*slot)?.map(|entry| entry.role)))
    }

    /// Returns all members, in the order of their first slots.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if an entry cannot be read.
    pub fn members(&self) -> Result<Vec<Member>, GroupError> {
        let mut members: Vec<Member> = Vec::new();
        let mut places: BTreeMap<MemberId, usize> = BTreeMap::new();
        for slot in self.slots.iter() {
            let entry = self.get(slot)?.ok_or(RowError)?;
            let place = *places.entry(entry.member).or_insert(members.len());
            match members.get_mut(place) {
                Some(member) => member.devices.push((slot, entry)),
                None => members.push(Member {
                    id: entry.member,
                    role: entry.role,
                    devices: Vec::from([(slot, entry)]),
                }),
            }
        }
        Ok(members)
    }

    /// Puts a device into the lowest empty slot.
    pub(crate) fn add(&mut self, entry: Entry) -> Result<Slot, GroupError> {
        if self.slot_of(&entry.device)?.is_some() {
            return Err(GroupError::Redundant);
        }
        let full = self.slots.len() >= MAX_DEVICES;
        if full || self.slots_of(&entry.member)?.len() >= MAX_DEVICES_OF_MEMBER {
            return Err(GroupError::Limit);
        }
        let slot = self.slots.lowest_empty().ok_or(GroupError::Limit)?;
        self.put(slot, Some(entry))?;
        Ok(slot)
    }

    /// Fills or empties a slot.
    pub(crate) fn put(&mut self, slot: Slot, entry: Option<Entry>) -> Result<(), GroupError> {
        if let Some(old) = self.get(slot)? {
            self.devices.insert(old.device, None);
            self.index(&old.member)?.remove(&slot);
        }
        self.keyholders.remove(&slot);
        if let Some(new) = entry {
            self.devices.insert(new.device, Some(slot));
            self.index(&new.member)?.insert(slot);
            if new.role.is_keyholder() {
                self.keyholders.insert(slot);
            }
        }
        self.slots.set(slot, entry.is_some());
        self.entries.insert(slot, entry);
        self.unsettled.insert(slot);
        Ok(())
    }

    fn index(&mut self, member: &MemberId) -> Result<&mut BTreeSet<Slot>, GroupError> {
        let stored =
            if self.members.contains_key(member) { Vec::new() } else { self.rows.slots_of(member)? };
        Ok(self.members.entry(*member).or_insert_with(|| stored.into_iter().collect()))
    }

    pub(crate) fn set_info(&mut self, info: Vec<u8>) {
        self.info = info;
    }

    pub(crate) fn set_dead(&mut self, dead: BTreeSet<Node>) {
        self.dead = dead;
    }

    /// Whether an issuer's order was carried out and has not been forgotten since.
    pub(crate) fn has_order(&self, order: &[u8; 32]) -> bool {
        self.orders.contains_key(order)
    }

    /// Notes that an issuer's order was carried out; forgets those that have expired at `now` (R-GROUP-9).
    pub(crate) fn note_order(&mut self, order: [u8; 32], expires: u64, now: u64) -> Result<(), GroupError> {
        self.orders.retain(|_, until| *until > now);
        if self.orders.insert(order, expires).is_some() {
            return Err(GroupError::OrderInvalid);
        }
        if self.orders.len() > MAX_ORDERS { Err(GroupError::Limit) } else { Ok(()) }
    }

    /// Takes what a snapshot says beside its entries; `None` if it is not in the one form that there is.
    pub(crate) fn set_lists(&mut self, dead: &[u8], orders: &[u8]) -> Option<()> {
        self.dead = read_dead(dead)?;
        self.orders = read_orders(orders)?;
        Some(())
    }

    /// Computes the hashes above all slots that changed: at most 14 for each of them.
    pub(crate) fn settle(&mut self) -> Result<(), GroupError> {
        let mut level: BTreeSet<Node> = BTreeSet::new();
        for slot in core::mem::take(&mut self.unsettled) {
            let hash = self.get(slot)?.map_or([0; 32], |entry| entry.hash());
            self.hashes.insert(slot.node(), hash);
            level.extend(slot.node().parent());
        }
        while !level.is_empty() {
            let mut above = BTreeSet::new();
            for node in level {
                let Some([left, right]) = node.children() else { continue };
                let (left, right) = (self.hash(left)?, self.hash(right)?);
                let empty = (left, right) == ([0; 32], [0; 32]);
                self.hashes.insert(node, if empty { [0; 32] } else { sha256(&[&[1], &left, &right]) });
                above.extend(node.parent());
            }
            level = above;
        }
        Ok(())
    }

    /// Returns the roster's name (R-GROUP-2). Changes have to be settled.
    pub(crate) fn name(&self) -> Result<[u8; 32], GroupError> {
        let root = self.hash(Node::ROOT)?;
        let (dead, orders) = (self.dead_bytes(), self.order_bytes());
        Ok(hash(label::HASH_GROUP_ROSTER, &[&root, &self.info, &dead, &orders]))
    }

    pub(crate) fn dead_bytes(&self) -> Vec<u8> {
        self.dead.iter().flat_map(|node| node.to_bytes()).collect()
    }

    pub(crate) fn order_bytes(&self) -> Vec<u8> {
        let orders = self.orders.iter();
        orders.flat_map(|(hash, expires)| hash.iter().copied().chain(expires.to_be_bytes())).collect()
    }

    /// Whether a node's key may be used: something is below it, and it is not dead (R-GROUP-10).
    pub(crate) fn is_live(&self, node: Node) -> Result<bool, GroupError> {
        Ok(!self.dead.contains(&node) && self.hash(node)? != [0; 32])
    }

    /// Returns every node with a taken slot below it, slots included.
    pub(crate) fn occupied(&self) -> BTreeSet<Node> {
        let mut all: BTreeSet<Node> = BTreeSet::new();
        for slot in self.slots.iter() {
            let mut node = Some(slot.node());
            // What is above a node that was met before was met before.
            while let Some(at) = node.filter(|at| all.insert(*at)) {
                node = at.parent();
            }
        }
        all
    }

    /// Writes entries, hashes and the record's lists.
    pub(crate) fn write(self, changes: &mut crate::Changes) {
        let head = &mut changes.head;
        (head.dead, head.orders, head.taken) = (self.dead_bytes(), self.order_bytes(), self.slots.len());
        (head.info, head.slots) = (self.info, self.slots.to_bytes());
        head.keyholders = self.keyholders.iter().map(|slot| slot.get().into()).collect();
        head.root_hash =
            self.hashes.get(&Node::ROOT).map_or(core::mem::take(&mut head.root_hash), |root| root.to_vec());
        changes.entries = self.entries.iter().map(|(slot, it)| (*slot, it.map(|it| it.to_bytes()))).collect();
        changes.hashes = self.hashes;
    }
}

impl Rows for Roster<'_> {
    fn entry(&self, slot: Slot) -> Result<Option<[u8; 105]>, RowError> {
        match self.entries.get(&slot) {
            Some(entry) => Ok(entry.map(|entry| entry.to_bytes())),
            None => self.rows.entry(slot),
        }
    }

    fn hash(&self, node: Node) -> Result<[u8; 32], RowError> {
        self.hashes.get(&node).map_or_else(|| self.rows.hash(node), |hash| Ok(*hash))
    }

    fn key(&self, node: Node) -> Result<Option<Secret<32>>, RowError> {
        self.rows.key(node)
    }

    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError> {
        match self.members.get(member) {
            Some(slots) => Ok(slots.iter().copied().collect()),
            None => self.rows.slots_of(member),
        }
    }

    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError> {
        self.devices.get(device).map_or_else(|| self.rows.slot_of(device), |slot| Ok(*slot))
    }
}

/// Reads nodes of 3 bytes in rising order, none twice.
fn read_dead(bytes: &[u8]) -> Option<BTreeSet<Node>> {
    let (nodes, rest) = bytes.as_chunks::<3>();
    let mut dead = BTreeSet::new();
    for node in nodes {
        let node = Node::from_bytes(*node).filter(|node| dead.last().is_none_or(|last| last < node))?;
        dead.insert(node);
    }
    rest.is_empty().then_some(dead)
}

/// Reads orders of 40 bytes in rising order, none twice.
fn read_orders(bytes: &[u8]) -> Option<BTreeMap<[u8; 32], u64>> {
    let (all, rest) = bytes.as_chunks::<40>();
    let mut orders: BTreeMap<[u8; 32], u64> = BTreeMap::new();
    for order in all {
        let (hash, expires) = order.split_first_chunk::<32>()?;
        if orders.last_key_value().is_some_and(|(last, _)| last >= hash) {
            return None;
        }
        orders.insert(*hash, u64::from_be_bytes(expires.try_into().ok()?));
    }
    (rest.is_empty() && orders.len() <= MAX_ORDERS).then_some(orders)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::{Changes, MAX_SLOTS, MemoryRows};

    fn entry(number: u16, of: u16) -> Entry {
        let id = |number: u16| {
            let mut id = [7; 16];
            id[..2].copy_from_slice(&number.to_be_bytes());
            id
        };
        Entry {
            member: MemberId::new(id(of)),
            device: DeviceId::new(id(number)),
            credential: [1; 32],
            group_key: [2; 32],
            role: Role::Member,
            added: 1,
        }
    }

    /// The root by its definition, over all slots.
    fn naive_root(roster: &Roster<'_>) -> [u8; 32] {
        let slots = (0..MAX_SLOTS).map(|slot| roster.get(Slot::new(slot).unwrap()).unwrap());
        let mut level: Vec<[u8; 32]> = slots.map(|entry| entry.map_or([0; 32], |it| it.hash())).collect();
        while level.len() > 1 {
            let pair = |pair: &[[u8; 32]]| {
                if pair == [[0; 32]; 2] { [0; 32] } else { sha256(&[&[1], &pair[0], &pair[1]]) }
            };
            level = level.chunks(2).map(pair).collect();
        }
        level[0]
    }

    #[test]
    fn hashes_after_changes_are_those_of_the_definition_and_few_are_computed_r_group_2() {
        let nothing = MemoryRows::default();
        let mut roster = Roster::empty(&nothing);
        for number in 0..300 {
            roster.add(entry(number, number / 3)).unwrap();
        }
        roster.settle().unwrap();
        assert_eq!(roster.hash(Node::ROOT).unwrap(), naive_root(&roster));
        let mut changes = Changes::default();
        roster.write(&mut changes);
        let mut rows = MemoryRows::default();
        rows.apply(changes);
        let mut after = Roster::new(&rows.head, &rows).unwrap();
        after.put(Slot::new(17).unwrap(), None).unwrap();
        after.put(Slot::new(299).unwrap(), None).unwrap();
        assert_eq!(after.add(entry(999, 5)).unwrap(), Slot::new(17).unwrap(), "the lowest empty slot");
        after.settle().unwrap();
        assert!(after.hashes.len() <= 2 * 15);
        assert_eq!(after.hash(Node::ROOT).unwrap(), naive_root(&after));
        assert_eq!(after.slots_of(&entry(0, 5).member).unwrap().len(), 3);
        assert_eq!(after.members().unwrap().iter().map(|it| it.devices.len()).sum::<usize>(), 299);
        // Nobody below: zeros again, as if nobody had ever been there.
        for number in 0..300 {
            after.put(Slot::new(number).unwrap(), None).unwrap();
        }
        after.settle().unwrap();
        assert_eq!((after.hash(Node::ROOT).unwrap(), after.taken()), ([0; 32], 0));
    }

    #[test]
    fn a_roster_over_its_limits_is_refused_r_group_1() {
        let nothing = MemoryRows::default();
        let mut roster = Roster::empty(&nothing);
        for number in 0..16 {
            roster.add(entry(number, 0)).unwrap();
        }
        assert_eq!(roster.add(entry(16, 0)).unwrap_err(), GroupError::Limit);
        assert_eq!(roster.add(entry(3, 1)).unwrap_err(), GroupError::Redundant);
        for number in 16..10_000 {
            roster.add(entry(number, number)).unwrap();
        }
        assert_eq!(roster.add(entry(10_000, 10_000)).unwrap_err(), GroupError::Limit);
        roster.put(Slot::new(5_000).unwrap(), None).unwrap();
        assert_eq!(roster.add(entry(10_000, 10_000)).unwrap(), Slot::new(5_000).unwrap());
        // The largest snapshot there is, with every node dead, is read again.
        roster.settle().unwrap();
        roster.set_info(vec![1; crate::limit::MAX_INFO_LEN]);
        roster.set_dead(roster.occupied());
        let bytes = crate::snapshot::write(&roster).unwrap();
        let read = crate::snapshot::read(&bytes, Roster::empty(&nothing)).unwrap();
        assert_eq!(read.name(), roster.name());
    }

    #[test]
    fn an_order_is_noted_once_and_forgotten_when_it_has_expired_r_group_9() {
        let nothing = MemoryRows::default();
        let mut roster = Roster::empty(&nothing);
        let name = roster.name().unwrap();
        roster.note_order([1; 32], 10, 5).unwrap();
        assert_ne!(roster.name().unwrap(), name);
        assert_eq!(roster.note_order([1; 32], 10, 9), Err(GroupError::OrderInvalid));
        roster.note_order([2; 32], 20, 10).unwrap();
        assert_eq!(read_orders(&roster.order_bytes()).unwrap().len(), 1);
        for number in 3..66 {
            roster.note_order([number; 32], 20, 10).unwrap();
        }
        assert_eq!(roster.note_order([66; 32], 20, 10), Err(GroupError::Limit));
        assert_eq!(read_orders(&[9; 41]), None);
        assert_eq!(read_orders(&[9; 80]), None, "twice");
    }
}
