//! When each entry of the log came and what it is about, by index, so that a group can ask what the log was at some size
//! (R-ENGINE-71). In chunks, so that replaying pays for a few records of a page and not for each entry.

use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_identity::log::{Leaf, LeafKind};
use chancery_wire::Timestamp;
use chancery_wire::proto::LogGroupRecord;
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::tables::{LOG_GROUPS, LOG_SUBJECTS, key, load, save};

/// Entries of a record: 1,024, of 41 bytes each.
const CHUNK: u64 = 1024;
/// Time (8), kind (1), subject (16) and object (16).
const ROW: usize = 41;

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) time: Timestamp,
    pub(crate) kind: u8,
    pub(crate) subject: [u8; 16],
    pub(crate) object: [u8; 16],
}

impl Row {
    pub(crate) const fn of(leaf: &Leaf) -> Self {
        Self { time: leaf.time, kind: leaf.kind.number(), subject: leaf.subject, object: leaf.object }
    }

    pub(crate) const fn is(&self, kind: LeafKind) -> bool {
        self.kind == kind.number()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.time.as_millis().to_be_bytes());
        out.push(self.kind);
        out.extend(self.subject);
        out.extend(self.object);
    }

    fn read(row: &[u8; ROW]) -> Option<Self> {
        let (time, rest) = row.split_first_chunk::<8>()?;
        let (&kind, rest) = rest.split_first()?;
        let (subject, object) = rest.split_first_chunk::<16>()?;
        let time = Timestamp::from_millis(u64::from_be_bytes(*time));
        Some(Self { time, kind, subject: *subject, object: object.try_into().ok()? })
    }
}

fn chunk_key(number: u64) -> RecordKey {
    key(LOG_SUBJECTS, &[&number.to_be_bytes()])
}

fn split(index: u64) -> (u64, usize) {
    let within = index.checked_rem(CHUNK).unwrap_or_default();
    (index.checked_div(CHUNK).unwrap_or_default(), usize::try_from(within).unwrap_or_default())
}

fn chunk(records: &dyn Records, number: u64) -> Result<Vec<u8>, EngineError> {
    Ok(records.get(&chunk_key(number))?.unwrap_or_default())
}

/// Appends the entries from number `size` on. What came before a version that noted them stays empty.
pub(crate) fn append(
    records: &mut Overlay<'_>,
    size: u64,
    rows: impl IntoIterator<Item = Row>,
) -> Result<(), EngineError> {
    let (mut number, within) = split(size);
    let mut current = if within == 0 { Vec::new() } else { chunk(records, number)? };
    current.resize(within.saturating_mul(ROW), 0);
    let full = usize::try_from(CHUNK).unwrap_or_default().saturating_mul(ROW);
    for row in rows {
        row.write(&mut current);
        if current.len() >= full {
            records.put(chunk_key(number), core::mem::take(&mut current));
            number = number.saturating_add(1);
        }
    }
    if !current.is_empty() {
        records.put(chunk_key(number), current);
    }
    Ok(())
}

/// Returns an entry; `None` if it is not here.
pub(crate) fn get(records: &dyn Records, index: u64) -> Result<Option<Row>, EngineError> {
    let (number, within) = split(index);
    let bytes = chunk(records, number)?;
    let (rows, _) = bytes.as_chunks::<ROW>();
    Ok(rows.get(within).and_then(Row::read).filter(|row| row.kind != 0))
}

/// Calls `visit` for the entries from `from` up to but without `to`, in order, as far as they are here.
pub(crate) fn visit(
    records: &dyn Records,
    (from, to): (u64, u64),
    mut visit: impl FnMut(u64, &Row),
) -> Result<(), EngineError> {
    let (first, _) = split(from);
    for number in first..to.div_ceil(CHUNK) {
        let bytes = chunk(records, number)?;
        let begin = number.saturating_mul(CHUNK);
        for (index, row) in (begin..to).zip(bytes.as_chunks::<ROW>().0) {
            if index >= from
                && let Some(row) = Row::read(row).filter(|row| row.kind != 0)
            {
                visit(index, &row);
            }
        }
    }
    Ok(())
}

fn group_key(index: u64) -> RecordKey {
    key(LOG_GROUPS, &[&index.to_be_bytes()])
}

/// Keeps whom a statement about groups names, under its index: the authority knows the newest alone.
pub(crate) fn keep_successors(records: &mut Overlay<'_>, index: u64, members: &[MemberId]) {
    let member_ids = members.iter().map(|member| member.as_bytes().to_vec()).collect();
    save(records, group_key(index), &LogGroupRecord { member_ids });
}

/// Returns whom the statement about groups with this index names.
pub(crate) fn successors(records: &dyn Records, index: u64) -> Result<Vec<MemberId>, EngineError> {
    let record: LogGroupRecord = load(records, &group_key(index))?.unwrap_or_default();
    Ok(record.member_ids.iter().filter_map(|id| MemberId::from_bytes(id)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;

    #[test]
    fn every_entry_is_found_however_the_pages_came_r_engine_71() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let row = |n: u64| Row {
            time: Timestamp::from_millis(n),
            kind: 3,
            subject: [(n % 251) as u8; 16],
            object: [(n % 13) as u8; 16],
        };
        let mut size = 0;
        for page in [1, 1022, 1, 1, 2800, 675] {
            append(&mut records, size, (size..size + page).map(row)).unwrap();
            size += page;
        }
        for at in [0, 1, 1022, 1023, 1024, 2047, 2048, size - 1] {
            assert_eq!(get(&records, at).unwrap(), Some(row(at)), "{at}");
        }
        assert_eq!(get(&records, size).unwrap(), None);
        let mut seen = Vec::new();
        visit(&records, (1000, 2100), |index, found| {
            assert_eq!(*found, row(index));
            seen.push(index);
        })
        .unwrap();
        assert!(seen.iter().copied().eq(1000..2100));
    }

    #[test]
    fn what_an_older_version_did_not_note_is_empty_and_the_rest_is_in_its_place() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let row = Row { time: Timestamp::from_millis(7), kind: 5, subject: [1; 16], object: [2; 16] };
        append(&mut records, 1500, [row]).unwrap();
        assert_eq!(get(&records, 1499).unwrap(), None);
        assert_eq!(get(&records, 1500).unwrap(), Some(row));
        let mut seen = 0;
        visit(&records, (0, 1501), |_, _| seen += 1).unwrap();
        assert_eq!(seen, 1);
    }
}
