//! The rows of a group in the device's records: what `chancery-group` reads and changes.
//!
//! A block holds the entries of 64 slots, from which the hashes of its nodes follow; the hashes above are one record. So a
//! commit rewrites a handful of records, and joining a group of ten thousand writes some hundreds.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry as Slotted;
use alloc::vec::Vec;
use core::cell::RefCell;

use chancery_crypto::hash::sha256;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_group::{Changes, Head, LEVELS, MAX_SLOTS, Node, RowError, Rows, Slot};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::encode;
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::tables::{GROUP, GROUP_BLOCK, GROUP_DEVICE, GROUP_HASHES, GROUP_KEYS, GROUP_MEMBER, key};

/// Level of the nodes that have one block below them: 6, which is 64 slots. A block of entries then has 6.6 KiB, and a
/// group of ten thousand 157 blocks.
const BLOCK_LEVEL: u8 = 6;
/// The keys of nodes above all blocks stand under this number, which no block has.
const ABOVE: u16 = u16::MAX;

type Entry = [u8; 105];

fn head_key(group: &[u8; 16]) -> RecordKey {
    key(GROUP, &[group])
}

fn numbered(table: chancery_wire::records::Table, group: &[u8; 16], number: u16) -> RecordKey {
    key(table, &[group, &number.to_be_bytes()])
}

/// Reads a group's record; `None` if there is no such group.
pub(crate) fn head(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Head>, EngineError> {
    crate::tables::load(records, &head_key(group))
}

/// Read access to one group's rows, for one call: what was read once is kept.
pub(crate) struct GroupRows<'a> {
    records: &'a dyn Records,
    group: [u8; 16],
    blocks: RefCell<BTreeMap<u16, BTreeMap<Slot, Entry>>>,
    hashes: RefCell<BTreeMap<u16, BTreeMap<Node, [u8; 32]>>>,
    keys: RefCell<BTreeMap<u16, BTreeMap<Node, SecretBytes>>>,
}

impl<'a> GroupRows<'a> {
    pub(crate) fn new(records: &'a dyn Records, group: [u8; 16]) -> Self {
        Self {
            records,
            group,
            blocks: RefCell::default(),
            hashes: RefCell::default(),
            keys: RefCell::default(),
        }
    }

    fn load_block(&self, block: u16) -> Result<(), RowError> {
        if !self.blocks.borrow().contains_key(&block) {
            let entries = read_block(self.records, &self.group, block).map_err(|_| RowError)?;
            self.blocks.borrow_mut().insert(block, entries);
        }
        Ok(())
    }

    /// The hashes of a block's nodes, or of those above.
    fn load_hashes(&self, of: u16) -> Result<(), RowError> {
        if self.hashes.borrow().contains_key(&of) {
            return Ok(());
        }
        let hashes = if of == ABOVE {
            read_hashes(self.records, &self.group).map_err(|_| RowError)?
        } else {
            self.load_block(of)?;
            self.blocks.borrow().get(&of).map(block_hashes).unwrap_or_default()
        };
        self.hashes.borrow_mut().insert(of, hashes);
        Ok(())
    }
}

impl Rows for GroupRows<'_> {
    fn entry(&self, slot: Slot) -> Result<Option<Entry>, RowError> {
        let block = slot.get() >> BLOCK_LEVEL;
        self.load_block(block)?;
        Ok(self.blocks.borrow().get(&block).and_then(|entries| entries.get(&slot)).copied())
    }

    fn hash(&self, node: Node) -> Result<[u8; 32], RowError> {
        let of = place(node);
        self.load_hashes(of)?;
        Ok(self.hashes.borrow().get(&of).and_then(|hashes| hashes.get(&node)).copied().unwrap_or_default())
    }

    fn key(&self, node: Node) -> Result<Option<Secret<32>>, RowError> {
        let of = place(node);
        if !self.keys.borrow().contains_key(&of) {
            let keys = read_keys(self.records, &self.group, of).map_err(|_| RowError)?;
            self.keys.borrow_mut().insert(of, keys);
        }
        let keys = self.keys.borrow();
        let found = keys.get(&of).and_then(|keys| keys.get(&node));
        Ok(found.and_then(|key| Secret::from_slice(key.expose())))
    }

    fn slots_of(&self, member: &MemberId) -> Result<Vec<Slot>, RowError> {
        let places = read_places(self.records, GROUP_MEMBER, &self.group, member.as_bytes());
        let places = places.map_err(|_| RowError)?;
        Ok(places.into_iter().filter(|(id, _)| id == member.as_bytes()).map(|(_, slot)| slot).collect())
    }

    fn slot_of(&self, device: &DeviceId) -> Result<Option<Slot>, RowError> {
        let places = read_places(self.records, GROUP_DEVICE, &self.group, device.as_bytes());
        let places = places.map_err(|_| RowError)?;
        Ok(places.into_iter().find(|(id, _)| id == device.as_bytes()).map(|(_, slot)| slot))
    }
}

/// Where a node's row is: the number of its block, or [`ABOVE`].
const fn place(node: Node) -> u16 {
    if node.level() < BLOCK_LEVEL { node.index() >> BLOCK_LEVEL.saturating_sub(node.level()) } else { ABOVE }
}

fn read_block(
    records: &dyn Records,
    group: &[u8; 16],
    block: u16,
) -> Result<BTreeMap<Slot, Entry>, EngineError> {
    let bytes = records.get(&numbered(GROUP_BLOCK, group, block))?.unwrap_or_default();
    let (rows, odd) = bytes.as_chunks::<107>();
    let mut entries = BTreeMap::new();
    for row in rows {
        let (number, entry) = row.split_first_chunk::<2>().ok_or(EngineError::DamagedRecord)?;
        let slot = Slot::new(u16::from_be_bytes(*number)).ok_or(EngineError::DamagedRecord)?;
        entries.insert(slot, entry.try_into().map_err(|_| EngineError::DamagedRecord)?);
    }
    if odd.is_empty() { Ok(entries) } else { Err(EngineError::DamagedRecord) }
}

/// The hashes of all nodes of a block, its own root left out (R-GROUP-2).
fn block_hashes(entries: &BTreeMap<Slot, Entry>) -> BTreeMap<Node, [u8; 32]> {
    let mut hashes = BTreeMap::new();
    let mut level: BTreeMap<Node, [u8; 32]> =
        entries.iter().map(|(slot, entry)| (slot.node(), sha256(&[&[0], entry]))).collect();
    for _ in 0..BLOCK_LEVEL {
        let mut above = BTreeMap::new();
        for node in level.keys() {
            let Some(parent) = node.parent() else { continue };
            let Some([left, right]) = parent.children() else { continue };
            let of = |child| level.get(&child).copied().unwrap_or_default();
            above.entry(parent).or_insert_with(|| sha256(&[&[1], &of(left), &of(right)]));
        }
        hashes.append(&mut level);
        level = above;
    }
    hashes
}

fn read_hashes(records: &dyn Records, group: &[u8; 16]) -> Result<BTreeMap<Node, [u8; 32]>, EngineError> {
    let bytes = records.get(&key(GROUP_HASHES, &[group]))?.unwrap_or_default();
    let (rows, odd) = bytes.as_chunks::<35>();
    let mut hashes = BTreeMap::new();
    for row in rows {
        let (node, hash) = row.split_first_chunk::<3>().ok_or(EngineError::DamagedRecord)?;
        let node = Node::from_bytes(*node).ok_or(EngineError::DamagedRecord)?;
        hashes.insert(node, hash.try_into().map_err(|_| EngineError::DamagedRecord)?);
    }
    if odd.is_empty() { Ok(hashes) } else { Err(EngineError::DamagedRecord) }
}

fn read_keys(
    records: &dyn Records,
    group: &[u8; 16],
    of: u16,
) -> Result<BTreeMap<Node, SecretBytes>, EngineError> {
    let bytes = SecretBytes::new(records.get(&numbered(GROUP_KEYS, group, of))?.unwrap_or_default());
    let (rows, odd) = bytes.expose().as_chunks::<35>();
    let mut keys = BTreeMap::new();
    for row in rows {
        let (node, key) = row.split_first_chunk::<3>().ok_or(EngineError::DamagedRecord)?;
        let node = Node::from_bytes(*node).ok_or(EngineError::DamagedRecord)?;
        keys.insert(node, SecretBytes::new(key.to_vec()));
    }
    if odd.is_empty() { Ok(keys) } else { Err(EngineError::DamagedRecord) }
}

/// The places of those whose identifier begins with the same byte: identifiers are random, so that in the largest group
/// some forty stand together.
fn read_places(
    records: &dyn Records,
    table: chancery_wire::records::Table,
    group: &[u8; 16],
    id: &[u8; 16],
) -> Result<Vec<([u8; 16], Slot)>, EngineError> {
    let bytes = records.get(&places_key(table, group, id))?.unwrap_or_default();
    let (rows, odd) = bytes.as_chunks::<18>();
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, slot) = row.split_first_chunk::<16>().ok_or(EngineError::DamagedRecord)?;
        let slot = u16::from_be_bytes(slot.try_into().map_err(|_| EngineError::DamagedRecord)?);
        places.push((*id, Slot::new(slot).ok_or(EngineError::DamagedRecord)?));
    }
    if odd.is_empty() { Ok(places) } else { Err(EngineError::DamagedRecord) }
}

fn places_key(table: chancery_wire::records::Table, group: &[u8; 16], id: &[u8; 16]) -> RecordKey {
    let [first, ..] = id;
    key(table, &[group, &[*first]])
}

/// Takes changes over.
pub(crate) fn apply(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    changes: Changes,
) -> Result<(), EngineError> {
    records.put(head_key(group), encode(&changes.head));
    apply_entries(records, group, &changes.entries)?;
    apply_hashes(records, group, &changes.hashes)?;
    apply_keys(records, group, changes.keys)
}

fn apply_entries(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    changed: &BTreeMap<Slot, Option<Entry>>,
) -> Result<(), EngineError> {
    let mut blocks: BTreeMap<u16, BTreeMap<Slot, Entry>> = BTreeMap::new();
    let mut places: BTreeMap<RecordKey, Vec<([u8; 16], Slot)>> = BTreeMap::new();
    for (slot, entry) in changed {
        let number = slot.get() >> BLOCK_LEVEL;
        let block = match blocks.entry(number) {
            Slotted::Occupied(block) => block.into_mut(),
            Slotted::Vacant(place) => place.insert(read_block(records, group, number)?),
        };
        let old = match entry {
            Some(entry) => block.insert(*slot, *entry),
            None => block.remove(slot),
        };
        for (entry, is_new) in old.iter().map(|old| (old, false)).chain(entry.iter().map(|new| (new, true))) {
            for (table, id) in [(GROUP_MEMBER, entry.first_chunk::<16>()), (GROUP_DEVICE, part(entry))] {
                let id = id.ok_or(EngineError::DamagedRecord)?;
                let name = places_key(table, group, id);
                if !places.contains_key(&name) {
                    places.insert(name.clone(), read_places(records, table, group, id)?);
                }
                let list = places.entry(name).or_default();
                list.retain(|place| *place != (*id, *slot));
                if is_new {
                    list.push((*id, *slot));
                    list.sort_unstable();
                }
            }
        }
    }
    for (number, block) in blocks {
        let rows = block.iter().flat_map(|(slot, entry)| slot.get().to_be_bytes().into_iter().chain(*entry));
        put_or_delete(records, numbered(GROUP_BLOCK, group, number), rows.collect());
    }
    for (name, list) in places {
        let rows = list.iter().flat_map(|(id, slot)| id.iter().copied().chain(slot.get().to_be_bytes()));
        put_or_delete(records, name, rows.collect());
    }
    Ok(())
}

/// The device of an entry.
fn part(entry: &Entry) -> Option<&[u8; 16]> {
    entry.get(16..32)?.first_chunk()
}

fn apply_hashes(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    changed: &BTreeMap<Node, [u8; 32]>,
) -> Result<(), EngineError> {
    if changed.keys().all(|node| node.level() < BLOCK_LEVEL) {
        return Ok(());
    }
    let mut hashes = read_hashes(records, group)?;
    for (node, hash) in changed.iter().filter(|(node, _)| node.level() >= BLOCK_LEVEL) {
        if *hash == [0; 32] {
            hashes.remove(node);
        } else {
            hashes.insert(*node, *hash);
        }
    }
    let rows = hashes.iter().flat_map(|(node, hash)| node.to_bytes().into_iter().chain(*hash)).collect();
    put_or_delete(records, key(GROUP_HASHES, &[group]), rows);
    Ok(())
}

fn apply_keys(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    changed: BTreeMap<Node, Option<Secret<32>>>,
) -> Result<(), EngineError> {
    let mut places: BTreeMap<u16, BTreeMap<Node, SecretBytes>> = BTreeMap::new();
    for (node, key) in changed {
        let of = place(node);
        let keys = match places.entry(of) {
            Slotted::Occupied(keys) => keys.into_mut(),
            Slotted::Vacant(place) => place.insert(read_keys(records, group, of)?),
        };
        match key {
            Some(key) => keys.insert(node, SecretBytes::new(key.expose().to_vec())),
            None => keys.remove(&node),
        };
    }
    for (of, keys) in places {
        let mut rows = Vec::with_capacity(keys.len().saturating_mul(35));
        for (node, key) in &keys {
            rows.extend_from_slice(&node.to_bytes());
            rows.extend_from_slice(key.expose());
        }
        put_or_delete(records, numbered(GROUP_KEYS, group, of), rows);
    }
    Ok(())
}

fn put_or_delete(records: &mut Overlay<'_>, key: RecordKey, value: Vec<u8>) {
    if value.is_empty() {
        records.delete(key);
    } else {
        records.put(key, value);
    }
}

/// Deletes everything of a group but its name in the history.
pub(crate) fn forget(records: &mut Overlay<'_>, group: &[u8; 16]) {
    for block in (0..MAX_SLOTS >> BLOCK_LEVEL).chain([ABOVE]) {
        records.delete(numbered(GROUP_BLOCK, group, block));
        records.delete(numbered(GROUP_KEYS, group, block));
    }
    for first in 0..=u8::MAX {
        records.delete(key(GROUP_MEMBER, &[group, &[first]]));
        records.delete(key(GROUP_DEVICE, &[group, &[first]]));
    }
    records.delete(key(GROUP_HASHES, &[group]));
    records.delete(head_key(group));
}

const _: () = assert!(BLOCK_LEVEL < LEVELS, "a block is below the root");

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
    use chancery_group::MemoryRows;
    use chancery_wire::records::Batch;

    fn node_hash(rows: &dyn Rows, node: Node, entries: &BTreeMap<Slot, Option<Entry>>) -> [u8; 32] {
        let Some([left, right]) = node.children() else {
            let slot = Slot::new(node.index()).unwrap();
            let entry = entries.get(&slot).copied().unwrap_or_else(|| rows.entry(slot).unwrap());
            return entry.map_or([0; 32], |entry| sha256(&[&[0], &entry]));
        };
        let (first, count) = node.slots();
        if !entries.keys().any(|slot| (first..first.saturating_add(count)).contains(&slot.get())) {
            return rows.hash(node).unwrap();
        }
        let (left, right) = (node_hash(rows, left, entries), node_hash(rows, right, entries));
        if left == right && left == [0; 32] { left } else { sha256(&[&[1], &left, &right]) }
    }

    fn random_changes(rows: &MemoryRows, rng: &mut dyn CryptoRng) -> (Changes, Changes) {
        let mut both = (Changes::default(), Changes::default());
        for _ in 0..=random_bytes::<1>(rng)[0] % 5 {
            let number = u16::from_be_bytes(random_bytes(rng)) % 300;
            let slot = Slot::new(if number < 290 {
                number
            } else {
                MAX_SLOTS.saturating_sub(1).saturating_sub(number % 10)
            })
            .unwrap();
            let taken = rows.entry(slot).unwrap().is_some();
            let entry = (!taken).then(|| random_bytes::<105>(rng));
            both.0.entries.insert(slot, entry);
        }
        let mut nodes: Vec<Node> = both.0.entries.keys().map(|slot| slot.node()).collect();
        while let Some(node) = nodes.pop() {
            both.0.hashes.insert(node, node_hash(rows, node, &both.0.entries));
            let key = !random_bytes::<1>(rng)[0].is_multiple_of(4);
            let bytes = random_bytes::<32>(rng);
            both.0.keys.insert(node, key.then(|| Secret::from_bytes(bytes)));
            both.1.keys.insert(node, key.then(|| Secret::from_bytes(bytes)));
            nodes.extend(node.parent());
        }
        both.1.entries.clone_from(&both.0.entries);
        both.1.hashes.clone_from(&both.0.hashes);
        both
    }

    #[test]
    fn what_was_changed_is_read_as_from_rows_in_memory_r_group_2() {
        let mut rng = seeded([5; 32]);
        let (mut base, mut model) = (BTreeMap::<RecordKey, Vec<u8>>::new(), MemoryRows::default());
        let group = [7; 16];
        for _ in 0..60 {
            let (ours, theirs) = random_changes(&model, &mut rng);
            let touched: Vec<Node> = ours.hashes.keys().copied().collect();
            let slots: Vec<Slot> = ours.entries.keys().copied().collect();
            let before: Vec<Entry> = slots.iter().filter_map(|slot| model.entry(*slot).unwrap()).collect();
            model.apply(theirs);
            let mut overlay = Overlay::new(&base);
            apply(&mut overlay, &group, ours).unwrap();
            let batch: Batch = overlay.into_batch();
            for (key, value) in batch {
                match value {
                    Some(value) => base.insert(key, value),
                    None => base.remove(&key),
                };
            }
            let rows = GroupRows::new(&base, group);
            for node in touched {
                assert_eq!(rows.hash(node), model.hash(node), "{node:?}");
                let key = |rows: &dyn Rows| rows.key(node).unwrap().map(|key| *key.expose());
                assert_eq!(key(&rows), key(&model), "{node:?}");
            }
            for slot in slots {
                assert_eq!(rows.entry(slot), model.entry(slot));
            }
            for entry in before {
                let member = MemberId::new(entry[..16].try_into().unwrap());
                let device = DeviceId::new(entry[16..32].try_into().unwrap());
                assert_eq!(rows.slots_of(&member), model.slots_of(&member));
                assert_eq!(rows.slot_of(&device), model.slot_of(&device));
            }
        }
        let mut overlay = Overlay::new(&base);
        forget(&mut overlay, &group);
        assert!(base.keys().all(|key| overlay.get(key).unwrap().is_none()));
    }
}
