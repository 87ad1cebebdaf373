//! The hashes of all leaves, for the roots of earlier sizes (R-LOG-1): in chunks, and the roots of full chunks in chunks
//! again.

use alloc::vec::Vec;

use chancery_crypto::merkle::{self, Hash};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::tables::{LOG_HASHES, key};

/// Hashes of a record: 1,024, a power of two, so that a full chunk is a subtree; 32 KiB.
const CHUNK: u64 = 1024;
/// The hashes of leaves.
const LEAVES: u8 = 0;
/// The roots of full chunks of leaves.
const ROOTS: u8 = 1;

fn chunk_key(level: u8, number: u64) -> RecordKey {
    key(LOG_HASHES, &[&[level], &number.to_be_bytes()])
}

fn chunk(records: &dyn Records, level: u8, number: u64) -> Result<Vec<Hash>, EngineError> {
    let bytes = records.get(&chunk_key(level, number))?.unwrap_or_default();
    let (hashes, odd) = bytes.as_chunks::<32>();
    if odd.is_empty() { Ok(hashes.to_vec()) } else { Err(EngineError::DamagedRecord) }
}

/// Returns the first `count` hashes of a level.
fn first(records: &dyn Records, level: u8, count: u64) -> Result<Vec<Hash>, EngineError> {
    let mut hashes = Vec::new();
    for number in 0..count.div_ceil(CHUNK) {
        hashes.extend(chunk(records, level, number)?);
    }
    let count = usize::try_from(count).map_err(|_| EngineError::DamagedRecord)?;
    if hashes.len() < count {
        return Err(EngineError::DamagedRecord);
    }
    hashes.truncate(count);
    Ok(hashes)
}

/// Appends the hashes of the leaves from number `size` on.
pub(crate) fn append(
    records: &mut Overlay<'_>,
    size: u64,
    leaves: impl IntoIterator<Item = Hash>,
) -> Result<(), EngineError> {
    append_to(records, LEAVES, size, leaves)
}

fn append_to(
    records: &mut Overlay<'_>,
    level: u8,
    size: u64,
    hashes: impl IntoIterator<Item = Hash>,
) -> Result<(), EngineError> {
    let split =
        |at: u64| (at.checked_div(CHUNK).unwrap_or_default(), at.checked_rem(CHUNK).unwrap_or_default());
    let (mut number, within) = split(size);
    let mut current = if within == 0 { Vec::new() } else { chunk(records, level, number)? };
    // What was left of a page that was not taken over.
    current.truncate(usize::try_from(within).unwrap_or_default());
    let (first_full, mut full) = (number, Vec::new());
    for hash in hashes {
        current.push(hash);
        if current.len() as u64 >= CHUNK {
            full.push(merkle::root(&current));
            records.put(chunk_key(level, number), current.as_flattened().to_vec());
            current.clear();
            number = number.saturating_add(1);
        }
    }
    if !current.is_empty() {
        records.put(chunk_key(level, number), current.as_flattened().to_vec());
    }
    // Roots of roots would be of use from a million leaves on; a look at an old root then costs some hundred KiB.
    if level == LEAVES && !full.is_empty() { append_to(records, ROOTS, first_full, full) } else { Ok(()) }
}

/// Returns the root that the log had with `size` entries; all of them were appended.
pub(crate) fn root_at(records: &dyn Records, size: u64) -> Result<Hash, EngineError> {
    let (full, rest) =
        (size.checked_div(CHUNK).unwrap_or_default(), size.checked_rem(CHUNK).unwrap_or_default());
    let mut tops = first(records, ROOTS, full)?;
    if rest > 0 {
        let last = chunk(records, LEAVES, full)?;
        let count = usize::try_from(rest).map_err(|_| EngineError::DamagedRecord)?;
        tops.push(merkle::root(last.get(..count).ok_or(EngineError::DamagedRecord)?));
    }
    // A full chunk is a perfect subtree, so that the tree over the chunks' roots is the tree over the leaves.
    Ok(merkle::root(&tops))
}

/// Returns the hashes of the first `size` leaves, for a proof.
pub(crate) fn leaves(records: &dyn Records, size: u64) -> Result<Vec<Hash>, EngineError> {
    first(records, LEAVES, size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn every_old_root_is_found_however_the_leaves_came_r_engine_30() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let all: Vec<Hash> = (0..4500_u32).map(|n| merkle::leaf_hash(&n.to_be_bytes())).collect();
        let mut size = 0;
        for page in [1, 1022, 1, 1, 2800, 675] {
            let next = size + page;
            append(&mut records, size as u64, all[size..next].iter().copied()).unwrap();
            size = next;
        }
        assert_eq!(size, all.len());
        for at in [0, 1, 2, 1023, 1024, 1025, 2047, 2048, 2049, 3072, 4096, 4097, 4500] {
            assert_eq!(root_at(&records, at as u64).unwrap(), merkle::root(&all[..at]), "{at}");
        }
        assert_eq!(leaves(&records, 4500).unwrap(), all);
        assert_eq!(root_at(&records, 4501), Err(EngineError::DamagedRecord));
    }

    #[test]
    fn what_a_page_left_behind_is_written_over() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        append(&mut records, 0, [[1; 32], [2; 32], [3; 32]]).unwrap();
        append(&mut records, 1, [[4; 32]]).unwrap();
        assert_eq!(leaves(&records, 2).unwrap(), [[1; 32], [4; 32]]);
    }
}
