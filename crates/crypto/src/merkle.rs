//! Merkle tree hashing (RFC 6962, section 2.1): roots and inclusion proofs (R-CRYPTO-14).

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

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

/// The largest power of two below `len`, which is at least 2.
fn split_point(len: usize) -> usize {
    len.div_ceil(2).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_leaf_of_every_small_tree_is_proven_and_no_other() {
        // R-CRYPTO-14
        for size in 1..=33_usize {
            let leaves: Vec<Hash> = (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect();
            let top = root(&leaves);
            for (i, leaf) in leaves.iter().enumerate() {
                let proof = inclusion_proof(&leaves, i).unwrap();
                assert!(verify_inclusion(&top, size as u64, i as u64, leaf, &proof));
                assert!(!verify_inclusion(&top, size as u64, size as u64, leaf, &proof));
                for j in 0..size {
                    assert_eq!(
                        i == j,
                        verify_inclusion(&top, size as u64, j as u64, leaf, &proof),
                        "{size} {i} {j}"
                    );
                }
                let mut longer = proof.clone();
                longer.push([0; 32]);
                assert!(!verify_inclusion(&top, size as u64, i as u64, leaf, &longer));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(&top, size as u64, i as u64, leaf, shorter));
                }
            }
        }
    }

    #[test]
    fn roots_match_the_published_values() {
        // The empty tree and the one-leaf tree of RFC 6962 implementations' test data.
        let hex = |hash: Hash| {
            hash.iter().fold(alloc::string::String::new(), |s, b| s + &alloc::format!("{b:02x}"))
        };
        assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
    }
}
