//! Proofs over the log's tree, from hashes that lie beside the entries: a proof costs some dozens of rows, however
//! long the log is, and no list of its leaves is kept in memory (R-RELAY-52).
//!
//! An entry with index `i` completes one perfect subtree for each trailing one of `i` in binary. Their hashes are
//! kept with it, smallest first.

use alloc::vec::Vec;

use chancery_crypto::merkle::{self, Hash};

use crate::storage::{Storage, StorageError};

/// The tree over the entries that a storage holds (R-LOG-1).
pub(crate) struct Tree<'a>(pub(crate) &'a dyn Storage);

impl Tree<'_> {
    /// Returns the hashes of the subtrees that the entry `index` with this hash completes, as they are stored.
    pub(crate) fn completed(&self, index: u64, leaf: Hash) -> Result<Vec<u8>, StorageError> {
        let (mut hash, mut nodes) = (leaf, Vec::new());
        for level in 0..index.trailing_ones() {
            let left = self.node(level, (index >> level).saturating_sub(1))?;
            hash = join(left, hash);
            nodes.extend_from_slice(&hash);
        }
        Ok(nodes)
    }

    /// Returns the audit path of the entry `index` in the tree of the first `size` entries (R-CRYPTO-14).
    pub(crate) fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, StorageError> {
        let (mut from, mut to, mut path) = (0, size, Vec::new());
        while to.saturating_sub(from) > 1 {
            let at = split(from, to);
            if index < at {
                path.push(self.hash(at, to)?);
                to = at;
            } else {
                path.push(self.hash(from, at)?);
                from = at;
            }
        }
        // It was found from the root downwards, and is given from the leaf upwards.
        path.reverse();
        Ok(path)
    }

    /// Returns the proof that the tree of the first `size` entries begins with that of the first `old`
    /// (R-CRYPTO-15); empty for 0, and for as many or more.
    pub(crate) fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, StorageError> {
        let (mut from, mut to, mut path) = (0, size, Vec::new());
        if old == 0 || old >= size {
            return Ok(path);
        }
        while old < to {
            let at = split(from, to);
            if old <= at {
                path.push(self.hash(at, to)?);
                to = at;
            } else {
                path.push(self.hash(from, at)?);
                from = at;
            }
        }
        // A reader knows the root of the old tree, and with it this subtree if it is all of that.
        if from > 0 {
            path.push(self.hash(from, to)?);
        }
        path.reverse();
        Ok(path)
    }

    /// The hash over the entries from `from` up to but without `to`, a range as the tree's shape has it.
    fn hash(&self, from: u64, to: u64) -> Result<Hash, StorageError> {
        let (mut from, mut parts) = (from, Vec::new());
        // Perfect subtrees, each smaller than the one before.
        while from < to {
            let len = to.saturating_sub(from);
            let at = if len.is_power_of_two() { to } else { split(from, to) };
            let level = at.saturating_sub(from).trailing_zeros();
            parts.push(self.node(level, from.checked_shr(level).unwrap_or(0))?);
            from = at;
        }
        let joined = parts.into_iter().rev().reduce(|right, left| join(left, right));
        joined.ok_or(StorageError::Io)
    }

    /// The hash of the perfect subtree number `position` of those with 2^`level` entries.
    fn node(&self, level: u32, position: u64) -> Result<Hash, StorageError> {
        let end = position.saturating_add(1).checked_shl(level).unwrap_or(0);
        let entry = self.0.log_entry(end.saturating_sub(1))?.ok_or(StorageError::Io)?;
        let Some(above) = level.checked_sub(1) else { return Ok(merkle::leaf_hash(&entry.leaf)) };
        let (nodes, _) = entry.nodes.as_chunks::<32>();
        nodes.get(usize::try_from(above).unwrap_or(usize::MAX)).copied().ok_or(StorageError::Io)
    }
}

/// Where a range of two or more entries is divided: after the largest power of two below their number.
fn split(from: u64, to: u64) -> u64 {
    let len = to.saturating_sub(from);
    from.saturating_add(len.div_ceil(2).checked_next_power_of_two().unwrap_or(1))
}

fn join(left: Hash, right: Hash) -> Hash {
    merkle::root(&[left, right])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryStorage;
    use crate::storage::LogEntry;

    #[test]
    fn proofs_from_stored_hashes_are_those_over_all_leaves_r_relay_52() {
        let (mut storage, mut leaves) = (MemoryStorage::new(), Vec::new());
        for index in 0..70_u64 {
            let leaf = [u8::try_from(index).unwrap(); 90];
            leaves.push(merkle::leaf_hash(&leaf));
            let nodes = Tree(&storage).completed(index, leaves[leaves.len() - 1]).unwrap();
            assert_eq!(nodes.len(), 32 * index.trailing_ones() as usize);
            storage.log_append(index, &LogEntry { leaf, content: None, nodes }).unwrap();
            let size = index + 1;
            for other in 0..=size {
                let at = usize::try_from(other).unwrap();
                let expected = merkle::consistency_proof(&leaves, at).unwrap();
                assert_eq!(Tree(&storage).consistency(other, size), Ok(expected), "{other} of {size}");
                if let Some(expected) = merkle::inclusion_proof(&leaves, at) {
                    assert_eq!(Tree(&storage).inclusion(other, size), Ok(expected), "{other} of {size}");
                }
            }
        }
        assert_eq!(Tree(&storage).consistency(71, 70), Ok(Vec::new()), "a size beyond the log's");
        assert_eq!(Tree(&storage).inclusion(0, 72), Err(StorageError::Io), "entries that are not there");
    }
}
