//! The log as the desk has replayed it, kept so that the next replay goes on from there (R-ORG-48).

use alloc::vec::Vec;

use chancery_identity::Authority;
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_wire::encode;
use chancery_wire::proto::{AuthorityRecord, DeskReplay};
use chancery_wire::records::{Batch, RecordKey, Records, Table};

use crate::state::{self, damaged};
use crate::{Desk, OrgError};

const REPLAY: Table = Table(0x022c);
const LEAVES: Table = Table(0x022d);
const SUCCESSORS: Table = Table(0x022f);

/// Leaves in a record: 1,024, 90 KiB, of which the last is written again with each replay that finds more.
const LEAVES_IN_RECORD: usize = 1024;
/// Statements about groups in a record: 100, half of what it may hold.
const SUCCESSORS_IN_RECORD: usize = 100;

/// A log whose every entry was checked.
#[derive(Debug, Clone)]
pub struct KeptLog {
    /// Who may sign what after the last entry.
    pub authority: Authority,
    /// Its size and tree.
    pub head: LogHead,
    /// All entries, from the first.
    pub leaves: Vec<Leaf>,
}

impl Desk {
    /// Returns the log as far as it was replayed and verified; `None` before the first time.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer, or the records are damaged: replay from the first entry.
    pub fn kept_log(records: &dyn Records) -> Result<Option<KeptLog>, OrgError> {
        let Some(stored) = replay(records)? else { return Ok(None) };
        let head = LogHead::from_bytes(&stored.head).ok_or_else(damaged)?;
        let mut authority = stored.authority.ok_or_else(damaged)?;
        for number in 0..stored.successor_records {
            let more: AuthorityRecord =
                state::read(records, &name(SUCCESSORS, number))?.ok_or_else(damaged)?;
            authority.group_successors.extend(more.group_successors);
        }
        let authority = Authority::from_record(authority).map_err(|_| damaged())?;
        let mut leaves = Vec::new();
        for number in 0..records_of(head.size()) {
            let chunk = records.get(&name(LEAVES, number))?.ok_or_else(damaged)?;
            for leaf in chunk.chunks(Leaf::LEN) {
                leaves.push(Leaf::from_bytes(leaf).ok_or_else(damaged)?);
            }
        }
        let is_whole = u64::try_from(leaves.len()) == Ok(head.size());
        if is_whole { Ok(Some(KeptLog { authority, head, leaves })) } else { Err(damaged()) }
    }

    /// Keeps a log that was replayed on from entry `from`, or from 0 as a whole. If another process has kept something else
    /// meanwhile, the batch is empty.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn keep_log(records: &dyn Records, log: &KeptLog, from: u64) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        let before = replay(records)?;
        let kept = before.as_ref().and_then(|it| LogHead::from_bytes(&it.head)).map_or(0, |it| it.size());
        let is_other = from != 0 && kept != from;
        if is_other || kept > log.head.size() || (from != 0 && kept == log.head.size()) {
            return Ok(batch);
        }
        let skipped = usize::try_from(from).map_err(|_| damaged())?;
        let first = skipped.checked_div(LEAVES_IN_RECORD).unwrap_or_default();
        for (number, chunk) in (0..).zip(log.leaves.chunks(LEAVES_IN_RECORD)).skip(first) {
            let bytes: Vec<[u8; Leaf::LEN]> = chunk.iter().map(Leaf::to_bytes).collect();
            batch.put(name(LEAVES, number), bytes.concat());
        }
        let mut authority = log.authority.to_record();
        let successors = core::mem::take(&mut authority.group_successors);
        let mut new = log.leaves.iter().skip(skipped);
        let mut successor_records = before.map_or(0, |it| it.successor_records);
        if from == 0 || new.any(|leaf| leaf.kind == LeafKind::GroupSuccessor) {
            successor_records = 0;
            for part in successors.chunks(SUCCESSORS_IN_RECORD) {
                let part = AuthorityRecord { group_successors: part.to_vec(), ..Default::default() };
                batch.put(name(SUCCESSORS, successor_records), encode(&part));
                successor_records = successor_records.saturating_add(1);
            }
        }
        let head = log.head.to_bytes();
        let value = DeskReplay { head, authority: Some(authority), successor_records };
        batch.put(RecordKey::new(REPLAY, []), encode(&value));
        Ok(batch)
    }
}

fn replay(records: &dyn Records) -> Result<Option<DeskReplay>, OrgError> {
    state::read(records, &RecordKey::new(REPLAY, []))
}

fn records_of(size: u64) -> u64 {
    u64::try_from(LEAVES_IN_RECORD).map_or(0, |each| size.div_ceil(each))
}

fn name(table: Table, number: u64) -> RecordKey {
    RecordKey::new(table, number.to_be_bytes())
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]
mod tests {
    extern crate std;

    use alloc::collections::BTreeMap;
    use std::time::Instant;

    use chancery_crypto::rng::seeded;
    use chancery_identity::{DisplayName, Organisation};
    use chancery_wire::{Timestamp, Unverified};

    use super::*;

    type Disk = BTreeMap<RecordKey, Vec<u8>>;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn leaf(kind: LeafKind, number: u64) -> Leaf {
        let mut subject = [9; 16];
        subject[..8].copy_from_slice(&number.to_be_bytes());
        Leaf { kind, time: NOW, subject, object: subject, issuer: [3; 16], commitment: [7; 32] }
    }

    fn empty() -> KeptLog {
        let mut rng = seeded([1; 32]);
        let new = crate::found(&DisplayName::parse("Acme").unwrap(), NOW, &mut rng);
        let public = Organisation::verify(Unverified::new(new.public), None).unwrap();
        KeptLog { authority: Authority::new(&public), head: LogHead::default(), leaves: Vec::new() }
    }

    fn grow(log: &mut KeptLog, count: u64) {
        for _ in 0..count {
            let leaf = leaf(LeafKind::Credential, log.head.size());
            log.head.push(&leaf).unwrap();
            log.leaves.push(leaf);
        }
    }

    /// Keeps the log and returns how many records that took.
    fn keep(disk: &mut Disk, log: &KeptLog, from: u64) -> usize {
        let batch = Desk::keep_log(disk, log, from).unwrap();
        let written = batch.0.len();
        for (key, value) in batch {
            match value {
                Some(value) => disk.insert(key, value),
                None => disk.remove(&key),
            };
        }
        written
    }

    #[track_caller]
    fn is_kept(disk: &Disk, log: &KeptLog) {
        let kept = Desk::kept_log(disk).unwrap().unwrap();
        assert!(kept.head == log.head && kept.leaves == log.leaves);
        assert_eq!(encode(&kept.authority.to_record()), encode(&log.authority.to_record()));
    }

    #[test]
    fn a_hundred_thousand_entries_are_kept_and_a_few_more_cost_two_records_r_org_48() {
        let (mut disk, mut log) = (Disk::new(), empty());
        assert!(Desk::kept_log(&disk).unwrap().is_none());
        grow(&mut log, 100_000);
        let begun = Instant::now();
        assert_eq!(keep(&mut disk, &log, 0), 98 + 1);
        std::eprintln!("kept in {:?}", begun.elapsed());
        let begun = Instant::now();
        is_kept(&disk, &log);
        std::eprintln!("read in {:?}", begun.elapsed());
        grow(&mut log, 10);
        let begun = Instant::now();
        assert_eq!(keep(&mut disk, &log, 100_000), 2);
        std::eprintln!("ten more kept in {:?}", begun.elapsed());
        is_kept(&disk, &log);
        grow(&mut log, 2_000);
        assert_eq!(keep(&mut disk, &log, 100_010), 4);
        is_kept(&disk, &log);
    }

    #[test]
    fn what_another_process_has_kept_meanwhile_stays_r_org_48() {
        let (mut disk, mut log) = (Disk::new(), empty());
        grow(&mut log, 5);
        keep(&mut disk, &log, 0);
        let five = log.clone();
        grow(&mut log, 5);
        keep(&mut disk, &log, 5);
        let mut late = five.clone();
        grow(&mut late, 2);
        assert_eq!(keep(&mut disk, &late, 5), 0, "it began from five, and there are ten");
        assert_eq!(keep(&mut disk, &five, 0), 0, "fewer than there are");
        is_kept(&disk, &log);
        assert_eq!(keep(&mut disk, &log, 10), 0, "nothing is new");
        assert_eq!(keep(&mut disk, &log, 0), 2, "all of it replaces all of it");
        is_kept(&disk, &log);
        disk.remove(&name(LEAVES, 0));
        assert_eq!(Desk::kept_log(&disk).unwrap_err(), damaged());
    }
}
