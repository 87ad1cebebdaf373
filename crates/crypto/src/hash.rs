//! SHA-256 with a label and unambiguous parts.

use sha2::{Digest as _, Sha256};

use crate::label::Label;

/// Returns `SHA-256(len(label) || label || (len(part) || part)*)`.
///
/// The label's length is one byte, a part's four bytes, big-endian, so that no two lists of parts give the
/// same input (R-CRYPTO-2).
#[must_use]
pub fn hash(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Sha256::new();
    state.update([u8::try_from(label.as_bytes().len()).unwrap_or(u8::MAX)]);
    state.update(label.as_bytes());
    for part in parts {
        state.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        state.update(part);
    }
    state.finalize().into()
}

/// Returns the plain SHA-256 of the concatenated parts, where a published format demands it.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut state = Sha256::new();
    for part in parts {
        state.update(part);
    }
    state.finalize().into()
}

/// The 16-byte tag of a stored or displayed value: the first half of [`hash`].
#[must_use]
pub fn hash16(label: Label, parts: &[&[u8]]) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(hash(label, parts)) {
        *to = from;
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::label;

    #[test]
    fn moving_a_boundary_changes_the_hash() {
        // R-CRYPTO-2
        let a = hash(label::HASH_PREKEY, &[b"ab", b"c"]);
        let b = hash(label::HASH_PREKEY, &[b"a", b"bc"]);
        assert_ne!(a, b);
        assert_ne!(a, hash(label::HASH_CREDENTIAL, &[b"ab", b"c"]));
    }
}
