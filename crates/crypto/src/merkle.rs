//! Merkle tree hashing (RFC 6962, section 2.1): roots and inclusion proofs (R-CRYPTO-14), consistency proofs
//! (R-CRYPTO-15), and the compact state of a tree that only grows (R-CRYPTO-16).

use alloc::vec::Vec;

use crate::hash::sha256;

/// A node or leaf hash.
pub type Hash = [u8; 32];

/// Hashes a leaf's content: `SHA-256(0x00 || content)`.
#[must_use]
pub fn leaf_hash(content: &[u8]) -> Hash {
    sha256(&[&[0], content])
}

/// Returns the root over leaf hashes; of none it is the hash of the empty string.
#[must_use]
pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [only] => *only,
        _ => {
            let (left, right) = leaves.split_at(split_point(leaves.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// Returns the audit path of leaf `index`, from the leaf upwards; `None` if there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let at = split_point(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = match index.checked_sub(at) {
        None => (inclusion_proof(left, index)?, root(right)),
        Some(index) => (inclusion_proof(right, index)?, root(left)),
    };
    path.push(sibling);
    Some(path)
}

/// Checks that `leaf` stands at `index` of a tree of `size` leaves with this `root` (RFC 9162, 2.1.3.2).
#[must_use]
pub fn verify_inclusion(root: &Hash, size: u64, index: u64, leaf: &Hash, proof: &[Hash]) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size.saturating_sub(1), *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// Returns the proof that the tree over the first `old` leaves is the beginning of the tree over all of them
/// (RFC 9162, 2.1.4.1; R-CRYPTO-15); `None` if there are not so many leaves.
///
/// For `old` = 0 and for `old` = all leaves it is empty, as there is nothing to prove.
#[must_use]
pub fn consistency_proof(leaves: &[Hash], old: usize) -> Option<Vec<Hash>> {
    if old > leaves.len() {
        return None;
    }
    if old == 0 {
        return Some(Vec::new());
    }
    Some(consistency_subproof(leaves, old, true))
}

/// SUBPROOF of RFC 9162: `whole` says that `old` is the size of the tree that the reader knows the root of.
fn consistency_subproof(leaves: &[Hash], old: usize, whole: bool) -> Vec<Hash> {
    if old >= leaves.len() {
        return if whole { Vec::new() } else { alloc::vec![root(leaves)] };
    }
    let at = split_point(leaves.len());
    let (left, right) = leaves.split_at(at);
    let (mut path, sibling) = match old.checked_sub(at) {
        None | Some(0) => (consistency_subproof(left, old, whole), root(right)),
        Some(old) => (consistency_subproof(right, old, false), root(left)),
    };
    path.push(sibling);
    path
}

/// Checks that the tree of `new` leaves with `new_root` begins with the tree of `old` leaves with `old_root`
/// (RFC 9162, 2.1.4.2; R-CRYPTO-15).
///
/// A tree of no leaves begins every tree, so for `old` = 0 < `new` neither root is looked at; trees of one size
/// are consistent if their roots are equal. Both go with the empty proof alone.
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty();
    }
    if old > new {
        return false;
    }
    let levels = old.trailing_zeros();
    let (mut node, mut last) = (old.saturating_sub(1) >> levels, new.saturating_sub(1) >> levels);
    // The old tree is perfect: the path starts with its root, which the reader has.
    let (start, path) = match proof.split_first() {
        _ if old.is_power_of_two() => (old_root, proof),
        Some((start, path)) => (start, path),
        None => return false,
    };
    let (mut old_hash, mut new_hash) = (*start, *start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && old_hash == *old_root && new_hash == *new_root
}

/// The most leaves of a [`Frontier`]: logs and their witnesses count in signed 64 bits.
pub const MAX_LEAVES: u64 = 1 << 62;

/// The compact state of a tree that only grows: enough for its root, for the proof of its newest leaf, and to
/// go on; at most 63 hashes (R-CRYPTO-16).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// The perfect subtrees of all leaves but the newest, largest first, then the newest leaf: the perfect
    /// subtrees of all leaves would not give the newest leaf's proof when it has a sibling.
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The tree of no leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self { size: 0, hashes: Vec::new() }
    }

    /// Adds a leaf, by its hash; beyond [`MAX_LEAVES`], which no machine lives to push, nothing is added.
    pub fn push(&mut self, leaf: Hash) {
        if self.size >= MAX_LEAVES {
            return;
        }
        if let Some(mut right) = self.hashes.pop() {
            // The leaves before it number size - 1; it completes one subtree for each trailing one of that.
            for _ in 0..self.size.saturating_sub(1).trailing_ones() {
                let Some(left) = self.hashes.pop() else { break };
                right = node_hash(&left, &right);
            }
            self.hashes.push(right);
        }
        self.hashes.push(leaf);
        self.size = self.size.saturating_add(1);
    }

    /// The number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root as [`root`] gives it over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let last = self.hashes.iter().rev().copied();
        last.reduce(|right, left| node_hash(&left, &right)).unwrap_or_else(|| root(&[]))
    }

    /// The audit path of the newest leaf, from the leaf upwards, as [`inclusion_proof`] gives it; of the tree of
    /// no leaves it is empty.
    #[must_use]
    pub fn last_proof(&self) -> Vec<Hash> {
        self.hashes.iter().rev().skip(1).copied().collect()
    }

    /// Writes the state: size in 8 bytes, big-endian, and its hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.size.to_be_bytes()[..], self.hashes.as_flattened()].concat()
    }

    /// Reads what [`Frontier::to_bytes`] wrote; `None` if the number of hashes is not that of the size, or the
    /// size is above [`MAX_LEAVES`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<8>()?;
        let size = u64::from_be_bytes(*size);
        let (hashes, odd) = rest.as_chunks::<32>();
        let expected =
            size.checked_sub(1).map_or(0, |before| u64::from(before.count_ones()).saturating_add(1));
        let sound = odd.is_empty() && size <= MAX_LEAVES && hashes.len() as u64 == expected;
        sound.then(|| Self { size, hashes: hashes.to_vec() })
    }
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The largest power of two below `len`, which is at least 2.
fn split_point(len: usize) -> usize {
    len.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests;
