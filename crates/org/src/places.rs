//! The desk's side of the key tree: who has which place, and which keys change when devices go (R-ORG-34, R-ORG-35).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_identity::{DeviceId, DirectoryKey, MAX_DEVICES};
use chancery_wire::proto;
use chancery_wire::records::{Batch, Records};

use crate::state::{self, damaged};
use crate::tree::{Change, MAX_PLACED_MEMBERS, MEMBER_LEVEL, Node, PATH_LEN, ROOT_LEVEL, Side};
use crate::{DirectoryKeys, OrgError};

/// New keys of the tree and the directory key, sealed for those who stay.
pub(crate) struct Refreshed {
    pub(crate) nodes: Vec<proto::NodeKey>,
    pub(crate) directory_key: Vec<u8>,
}

/// Gives a new device a place and the keys above it; `None` if no member number is free. Nothing of others changes.
pub(crate) fn join(
    records: &dyn Records,
    batch: &mut Batch,
    (others, device): (&[Vec<u8>], &DeviceId),
    rng: &mut dyn CryptoRng,
) -> Result<Option<(u32, Vec<Secret<32>>)>, OrgError> {
    let taken = slots(records, others)?;
    let first = match taken.first() {
        Some(slot) => slot >> MEMBER_LEVEL << MEMBER_LEVEL,
        None => match take_number(records, batch)? {
            Some(number) => number << MEMBER_LEVEL,
            None => return Ok(None),
        },
    };
    let mut places = (first..).take(MAX_DEVICES);
    let slot = places.find(|slot| !taken.contains(slot)).ok_or_else(damaged)?;
    state::put_slot(batch, device, slot);
    let mut path = Vec::with_capacity(PATH_LEN);
    for level in 0..=ROOT_LEVEL {
        let node = Node::above(slot, level);
        let key = match state::node(records, node)? {
            Some(key) => key,
            None => {
                let key = Secret::random(rng);
                state::put_node(batch, node, &key);
                key
            }
        };
        path.push(key);
    }
    Ok(Some((slot, path)))
}

/// Returns what a device that has a place holds.
pub(crate) fn keys_of(
    records: &dyn Records,
    device: &DeviceId,
    key: DirectoryKey,
) -> Result<DirectoryKeys, OrgError> {
    let slot = state::slot(records, device.as_bytes())?.ok_or_else(damaged)?;
    let mut path = Vec::with_capacity(PATH_LEN);
    for level in 0..=ROOT_LEVEL {
        path.push(state::node(records, Node::above(slot, level))?.ok_or_else(damaged)?);
    }
    Ok(DirectoryKeys::new(key, slot, path))
}

/// Frees the places of devices. With a `change`, every node above them that is still above a device gets a new key, and
/// so does the directory; without, they keep theirs.
pub(crate) fn leave(
    records: &dyn Records,
    batch: &mut Batch,
    (devices, change): (&[DeviceId], Option<(Change<'_>, &DirectoryKey)>),
    rng: &mut dyn CryptoRng,
) -> Result<Refreshed, OrgError> {
    let mut changed = BTreeSet::new();
    for device in devices {
        // A guest's device has no place: the directory key changes all the same, and with it all delivery tokens
        // (R-ORG-55).
        let Some(slot) = state::slot(records, device.as_bytes())? else { continue };
        state::delete_slot(batch, device);
        state::delete_node(batch, Node::above(slot, 0));
        changed.insert(slot);
    }
    // Indices that have changed on the level below, and the keys of those that are left.
    let mut below: BTreeMap<u32, Secret<32>> = BTreeMap::new();
    let mut nodes = Vec::new();
    for level in 1..=ROOT_LEVEL {
        let parents: BTreeSet<u32> = changed.iter().map(|index| index >> 1).collect();
        let mut refreshed = BTreeMap::new();
        for &index in &parents {
            let node = Node { level, index };
            let mut child = |side: Side| {
                let index = index << 1 | side as u32;
                if changed.contains(&index) {
                    return Ok(below.remove(&index));
                }
                state::node(records, Node { level: level.saturating_sub(1), index })
            };
            let (left, right) = (child(Side::Left)?, child(Side::Right)?);
            if left.is_none() && right.is_none() {
                state::delete_node(batch, node);
                if level == MEMBER_LEVEL {
                    free_number(records, batch, index)?;
                }
                continue;
            }
            let key = match change {
                Some(_) => Secret::random(rng),
                None => state::node(records, node)?.ok_or_else(damaged)?,
            };
            if let Some((change, _)) = change {
                let seal = |child: Option<Secret<32>>, side| {
                    child.map(|child| change.seal(&child, (node, side), &key)).unwrap_or_default()
                };
                let (for_left, for_right) = (seal(left, Side::Left), seal(right, Side::Right));
                nodes.push(proto::NodeKey { level, index, for_left, for_right });
                state::put_node(batch, node, &key);
            }
            refreshed.insert(index, key);
        }
        (changed, below) = (parents, refreshed);
    }
    let root = if changed.is_empty() {
        state::node(records, Node { level: ROOT_LEVEL, index: 0 })?
    } else {
        below.remove(&0)
    };
    let directory_key = match (change, root) {
        (Some((change, key)), Some(root)) => change.seal(&root, (Node::TOP, Side::Left), key.secret()),
        _ => Vec::new(),
    };
    Ok(Refreshed { nodes, directory_key })
}

/// The places of a member's devices.
fn slots(records: &dyn Records, devices: &[Vec<u8>]) -> Result<Vec<u32>, OrgError> {
    devices.iter().map(|id| state::slot(records, id)?.ok_or_else(damaged)).collect()
}

/// Takes the lowest free member number.
fn take_number(records: &dyn Records, batch: &mut Batch) -> Result<Option<u32>, OrgError> {
    let mut taken = state::member_numbers(records)?;
    let at = taken.iter().position(|byte| *byte != u8::MAX).unwrap_or(taken.len());
    if at == taken.len() {
        taken.push(0);
    }
    let byte = taken.get_mut(at).ok_or_else(damaged)?;
    let bit = byte.trailing_ones();
    *byte |= 1 << bit;
    let number = u32::try_from(at).ok().and_then(|at| at.checked_mul(8)?.checked_add(bit));
    let number = number.filter(|number| *number < MAX_PLACED_MEMBERS);
    if number.is_some() {
        state::put_member_numbers(batch, &taken);
    }
    Ok(number)
}

/// Frees a member number. Once in a batch: it starts from what is stored.
fn free_number(records: &dyn Records, batch: &mut Batch, number: u32) -> Result<(), OrgError> {
    let mut taken = state::member_numbers(records)?;
    let byte = taken.get_mut(number as usize / 8).ok_or_else(damaged)?;
    *byte &= !(1 << (number % 8));
    state::put_member_numbers(batch, &taken);
    Ok(())
}
