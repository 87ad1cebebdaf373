//! Against the definitions, at every small size, and against the published values.
#![allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]

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
    let hex =
        |hash: Hash| hash.iter().fold(alloc::string::String::new(), |s, b| s + &alloc::format!("{b:02x}"));
    assert_eq!(hex(root(&[])), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(hex(leaf_hash(b"")), "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d");
}

const EIGHT: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const EIGHT_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2).map(|pair| core::str::from_utf8(pair).unwrap());
    digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn numbered(size: usize) -> Vec<Hash> {
    (0..size).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

#[test]
fn the_eight_leaves_of_certificate_transparency_have_their_roots_and_proofs() {
    let leaves: Vec<Hash> = EIGHT.iter().map(|content| leaf_hash(&from_hex(content))).collect();
    let mut frontier = Frontier::new();
    for (size, expected) in (1..).zip(EIGHT_ROOTS) {
        frontier.push(leaves[size - 1]);
        assert_eq!(root(&leaves[..size]).as_slice(), from_hex(expected));
        assert_eq!(frontier.root().as_slice(), from_hex(expected));
    }
    let cases: [(usize, usize, &[&str]); 3] = [
        (
            1,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            &[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            &[
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ];
    for (old, new, expected) in cases {
        let proof = consistency_proof(&leaves[..new], old).unwrap();
        let expected: Vec<Vec<u8>> = expected.iter().map(|hash| from_hex(hash)).collect();
        assert_eq!(proof.iter().map(|hash| hash.to_vec()).collect::<Vec<_>>(), expected, "{old} {new}");
    }
}

#[test]
fn a_frontier_agrees_with_the_whole_tree_at_every_size_r_crypto_16() {
    let leaves = numbered(70);
    let mut frontier = Frontier::new();
    assert_eq!((frontier.root(), frontier.last_proof()), (root(&[]), Vec::new()));
    assert_eq!(Frontier::from_bytes(&[0; 8]), Some(frontier.clone()));
    for size in 1..=leaves.len() {
        frontier.push(leaves[size - 1]);
        assert_eq!(frontier.size(), size as u64);
        assert_eq!(frontier.root(), root(&leaves[..size]));
        assert_eq!(Some(frontier.last_proof()), inclusion_proof(&leaves[..size], size - 1), "{size}");
        let bytes = frontier.to_bytes();
        let again = Frontier::from_bytes(&bytes).unwrap();
        assert_eq!(again, frontier, "and goes on after it was stored");
        frontier = again;
        for wrong in [&bytes[1..], &bytes[..bytes.len() - 1], &bytes[..bytes.len() - 32]] {
            assert_eq!(Frontier::from_bytes(wrong), None);
        }
        assert_eq!(Frontier::from_bytes(&[&bytes[..], &[0; 32]].concat()), None);
    }
}

#[test]
fn a_frontier_has_a_largest_size() {
    let full = |size: u64| {
        let hashes = size.wrapping_sub(1).count_ones() as usize + 1;
        Frontier::from_bytes(&[&size.to_be_bytes()[..], &alloc::vec![7; hashes * 32]].concat())
    };
    assert_eq!(full(MAX_LEAVES + 1), None);
    assert_eq!(full(u64::MAX), None);
    let mut frontier = full(MAX_LEAVES).unwrap();
    let before = frontier.clone();
    frontier.push([1; 32]);
    assert_eq!(frontier, before);
    assert_eq!(Frontier::from_bytes(&[]), None);
}

/// The definition of RFC 6962, section 2.1.2, read off the ranges instead of the slices.
fn defined(leaves: &[Hash], old: usize, from: usize, to: usize, whole: bool) -> Vec<Hash> {
    if old == to - from {
        return if whole { Vec::new() } else { alloc::vec![root(&leaves[from..to])] };
    }
    let mut at = 1;
    while at * 2 < to - from {
        at *= 2;
    }
    let (mut path, other) = if old <= at {
        (defined(leaves, old, from, from + at, whole), root(&leaves[from + at..to]))
    } else {
        (defined(leaves, old - at, from + at, to, false), root(&leaves[from..from + at]))
    };
    path.push(other);
    path
}

#[test]
fn every_small_tree_is_consistent_with_every_tree_it_grew_from_and_no_other_r_crypto_15() {
    let leaves = numbered(70);
    let roots: Vec<Hash> = (0..=70).map(|size| root(&leaves[..size])).collect();
    for new in 0..=70_usize {
        assert_eq!(consistency_proof(&leaves[..new], new + 1), None);
        for old in 0..=new {
            let proof = consistency_proof(&leaves[..new], old).unwrap();
            let (from, to) = (&roots[old], &roots[new]);
            let check = |from: &Hash, to: &Hash, proof: &[Hash]| {
                verify_consistency(old as u64, from, new as u64, to, proof)
            };
            assert!(check(from, to, &proof), "{old} {new}");
            let mut longer = proof.clone();
            longer.push([0; 32]);
            assert!(!check(from, to, &longer), "{old} {new}");
            if old == 0 {
                assert!(proof.is_empty());
                continue;
            }
            assert_eq!(proof, defined(&leaves, old, 0, new, true), "{old} {new}");
            assert!(!check(&[0; 32], to, &proof) && !check(from, &[0; 32], &proof), "{old} {new}");
            assert_eq!(check(to, from, &proof), old == new, "{old} {new}");
            spoiled_proofs_are_refused(&proof, |proof| check(from, to, proof));
        }
    }
}

fn spoiled_proofs_are_refused(proof: &[Hash], check: impl Fn(&[Hash]) -> bool) {
    for at in 0..proof.len() {
        assert!(!check(&proof[..at]), "truncated to {at}");
        assert!(!check(&proof[at + 1..]), "without the first {}", at + 1);
        let mut other = proof.to_vec();
        other[at][31] ^= 1;
        assert!(!check(&other), "changed at {at}");
        if at > 0 {
            let mut swapped = proof.to_vec();
            swapped.swap(at - 1, at);
            assert!(!check(&swapped), "swapped at {at}");
        }
    }
}

#[test]
fn consistency_holds_for_no_other_size_and_not_backwards() {
    let leaves = numbered(20);
    let roots: Vec<Hash> = (0..=20).map(|size| root(&leaves[..size])).collect();
    for new in 1..=20_usize {
        for old in 1..new {
            let proof = consistency_proof(&leaves[..new], old).unwrap();
            for other in (1..=20_usize).filter(|other| *other != old) {
                assert!(!verify_consistency(other as u64, &roots[old], new as u64, &roots[new], &proof));
            }
            assert!(!verify_consistency(new as u64, &roots[new], old as u64, &roots[old], &proof));
        }
    }
    assert!(!verify_consistency(2, &roots[2], 1, &roots[1], &[]));
    assert!(!verify_consistency(u64::MAX, &roots[1], u64::MAX, &roots[2], &[]));
    assert!(!verify_consistency(1, &roots[1], u64::MAX, &roots[2], &[]));
}
