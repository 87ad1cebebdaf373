//! A roster as a joiner is given it, and the tree's keys as a keyholder is (R-GROUP-25).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_wire::{Limit, decode, encode, proto};

use crate::limit::MAX_DEVICES;
use crate::{Entry, GroupError, Node, Roster, Rows, Slot};

/// Bytes of a taken slot in a snapshot: its number and its entry.
const ROW_LEN: usize = 2 + Entry::LEN;
/// Bytes of a node in a file of keys: its place and its key.
const KEY_LEN: usize = 3 + 32;

/// Writes a roster.
pub(crate) fn write(roster: &Roster<'_>) -> Result<Vec<u8>, GroupError> {
    let mut entries = Vec::new();
    for slot in roster.slots() {
        let entry = roster.get(slot)?.ok_or(crate::RowError)?;
        entries.extend_from_slice(&slot.get().to_be_bytes());
        entries.extend_from_slice(&entry.to_bytes());
    }
    Ok(encode(&proto::GroupSnapshot {
        info: roster.info().to_vec(),
        dead: roster.dead_bytes(),
        entries,
        orders: roster.order_bytes(),
    }))
}

/// Reads a roster over rows of which it keeps nothing.
pub(crate) fn read<'a>(bytes: &[u8], mut roster: Roster<'a>) -> Result<Roster<'a>, GroupError> {
    let snapshot: proto::GroupSnapshot =
        decode(bytes, Limit::SNAPSHOT).map_err(|_| GroupError::Malformed)?.into_unchecked();
    let old: Vec<Slot> = roster.slots().collect();
    for slot in old {
        roster.put(slot, None)?;
    }
    let (rows, rest) = snapshot.entries.as_chunks::<ROW_LEN>();
    if !rest.is_empty() || u32::try_from(rows.len()).map_or(true, |rows| rows > MAX_DEVICES) {
        return Err(GroupError::Malformed);
    }
    let mut last = None;
    for row in rows {
        let (number, entry) = row.split_first_chunk::<2>().ok_or(GroupError::Malformed)?;
        let slot = Slot::new(u16::from_be_bytes(*number)).filter(|slot| last.is_none_or(|last| last < *slot));
        let slot = slot.ok_or(GroupError::Malformed)?;
        let entry = Entry::from_bytes(entry).ok_or(GroupError::Malformed)?;
        if roster.slot_of(&entry.device)?.is_some()
            || roster.role_of(&entry.member)?.is_some_and(|role| role != entry.role)
            || roster.slots_of(&entry.member)?.len() >= crate::limit::MAX_DEVICES_OF_MEMBER
        {
            return Err(GroupError::Malformed);
        }
        roster.put(slot, Some(entry))?;
        last = Some(slot);
    }
    roster.set_info(snapshot.info);
    roster.set_lists(&snapshot.dead, &snapshot.orders).ok_or(GroupError::Malformed)?;
    roster.settle()?;
    Ok(roster)
}

/// Writes the keys of all live nodes.
pub(crate) fn write_keys(
    roster: &Roster<'_>,
    key: impl Fn(Node) -> Result<Secret<32>, GroupError>,
) -> Result<SecretBytes, GroupError> {
    let live: Vec<Node> =
        roster.occupied().into_iter().filter(|node| !roster.dead().contains(node)).collect();
    // As long as it will be, so that no copy stays behind where it grew.
    let mut out = Vec::with_capacity(live.len().saturating_mul(KEY_LEN));
    for node in live {
        out.extend_from_slice(&node.to_bytes());
        out.extend_from_slice(key(node)?.expose());
    }
    Ok(SecretBytes::new(out))
}

/// Reads the keys of all live nodes, each once and no others.
pub(crate) fn read_keys(bytes: &[u8], roster: &Roster<'_>) -> Result<BTreeMap<Node, Secret<32>>, GroupError> {
    let (rows, rest) = bytes.as_chunks::<KEY_LEN>();
    let mut keys = BTreeMap::new();
    for row in rows {
        let (node, key) = row.split_first_chunk::<3>().ok_or(GroupError::Malformed)?;
        let node = Node::from_bytes(*node).ok_or(GroupError::Malformed)?;
        if !roster.is_live(node)? || keys.last_key_value().is_some_and(|(last, _)| *last >= node) {
            return Err(GroupError::Malformed);
        }
        keys.insert(node, Secret::from_slice(key).ok_or(GroupError::Malformed)?);
    }
    let live = roster.occupied().into_iter().filter(|node| !roster.dead().contains(node)).count();
    if rest.is_empty() && keys.len() == live { Ok(keys) } else { Err(GroupError::Malformed) }
}
