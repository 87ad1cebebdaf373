//! What waits for a commit, a credential, the log or a file (R-ENGINE-73).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_group::{KIND_GROUP_COMMIT, epoch_of};
use chancery_identity::DeviceId;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{
    GroupControl, GroupWaitingEntry, GroupWaitingIndex, GroupWaitingRecord, GroupWelcome,
};
use chancery_wire::records::{Overlay, RecordKey, Records};
use chancery_wire::{Timestamp, encode};

use crate::error::EngineError;
use crate::group::turn::{Trigger, Turn};
use crate::group::{epochs, files};
use crate::log;
use crate::tables::{GROUP_WAITING, GROUP_WAITING_INDEX, key, load, save};

/// What waits at most, of all groups together: 1,000. More than a burst of messages overtakes a commit.
const MAX_WAITING: usize = 1000;
/// How much it may be: 16 MiB, some thirty of the largest commits. Everybody can send envelopes of unknown names.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// How long it waits: 7 days, in milliseconds, as long as an epoch that is over is read (R-GROUP-24).
const LONGEST: u64 = 7 * 24 * 3_600_000;

/// What something waits for ([`GroupWaitingEntry::reason`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Reason {
    /// The name is not known: a commit that leads to it may come.
    Name = 1,
    /// A device's credential.
    Credential = 2,
    /// More of the log.
    Log = 3,
    /// The relay's slots before.
    Slots = 4,
    /// A file.
    File = 5,
    /// A commit that it goes with.
    Commit = 6,
}

/// How something waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wait<'a> {
    /// The set name of an envelope, or the group of a content.
    pub(crate) name: &'a [u8; 16],
    pub(crate) reason: Reason,
    /// The device or file that is waited for.
    pub(crate) of: &'a [u8],
    /// When it was first seen.
    pub(crate) since: Seen,
}

/// When something was first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// By this device's clock.
    pub(crate) at: Timestamp,
    /// How many checkpoints of the log had come by then.
    pub(crate) heard: u64,
}

impl Seen {
    /// What is seen in this call.
    pub(crate) fn now(turn: &Turn<'_, '_>) -> Result<Self, EngineError> {
        Ok(Self { at: turn.now, heard: index(turn.records)?.heard })
    }
}

/// Whether the log is as long as a checkpoint that was fetched after something was seen: the second that came since, for the first
/// may have been on its way. No clock has a say in it.
pub(crate) fn is_fresh(records: &dyn Records, seen: Seen) -> Result<bool, EngineError> {
    Ok(index(records)?.heard >= seen.heard.saturating_add(2) && log::is_whole(records)?)
}

/// Whether something waits for the log.
pub(crate) fn wants_log(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(index(records)?.entries.iter().any(|entry| entry.reason == Reason::Log as u32))
}

/// A checkpoint came: it is counted while something waits for the log.
pub(crate) fn hear(records: &mut Overlay<'_>) -> Result<(), EngineError> {
    if wants_log(records)? && log::is_whole(records)? {
        let mut index = index(records)?;
        index.heard = index.heard.saturating_add(1);
        save(records, key(GROUP_WAITING_INDEX, &[]), &index);
    }
    Ok(())
}

/// Whether a file of a group is waited for.
pub(crate) fn wants_file(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    let index = index(records)?;
    Ok(index.entries.iter().any(|entry| entry.reason == Reason::File as u32 && entry.name == group))
}

/// Whether a welcome to a group waits that came from a device.
pub(crate) fn wants_to_enter(
    records: &dyn Records,
    group: &[u8; 16],
    from: &DeviceId,
) -> Result<bool, EngineError> {
    for entry in index(records)?.entries.iter().filter(|entry| entry.name == group) {
        let item: Option<GroupWaitingRecord> = load(records, &item_key(entry.number))?;
        let is_welcome = |item: &GroupWaitingRecord| {
            let control = item.control.as_ref().and_then(|it| it.control.as_ref());
            item.from == from.as_bytes() && matches!(control, Some(Control::Welcome(_)))
        };
        if item.as_ref().is_some_and(is_welcome) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn index(records: &dyn Records) -> Result<GroupWaitingIndex, EngineError> {
    Ok(load(records, &key(GROUP_WAITING_INDEX, &[]))?.unwrap_or_default())
}

fn item_key(number: u64) -> RecordKey {
    key(GROUP_WAITING, &[&number.to_be_bytes()])
}

/// The files that a content names.
fn files_of(content: &GroupControl) -> impl Iterator<Item = [u8; 16]> {
    let files = match &content.control {
        Some(Control::Welcome(welcome)) => [welcome.snapshot_file.as_ref(), welcome.tree_file.as_ref()],
        Some(Control::Path(path)) => [path.tree_file.as_ref(), None],
        _ => [None, None],
    };
    files.into_iter().flatten().filter_map(|file| file.blob_id.as_slice().try_into().ok())
}

/// A content is over with, or waits no more: the files that it names go, those that something else waits with excepted.
pub(crate) fn release(records: &mut Overlay<'_>, content: &GroupControl) -> Result<(), EngineError> {
    release_all(records, files_of(content).collect())
}

fn release_all(records: &mut Overlay<'_>, mut names: Vec<[u8; 16]>) -> Result<(), EngineError> {
    for entry in index(records)?.entries {
        if names.is_empty() {
            break;
        }
        // Those are envelopes.
        if [Reason::Name as u32, Reason::Slots as u32].contains(&entry.reason) {
            continue;
        }
        let item: Option<GroupWaitingRecord> = load(records, &item_key(entry.number))?;
        let kept: Vec<_> = item.and_then(|item| item.control).iter().flat_map(files_of).collect();
        names.retain(|name| !kept.contains(name));
    }
    names.iter().try_for_each(|name| files::remove(records, name))
}

/// Deletes what waits and `goes`, with its files.
fn remove(records: &mut Overlay<'_>, goes: impl Fn(&GroupWaitingEntry) -> bool) -> Result<(), EngineError> {
    let mut index = index(records)?;
    let (gone, left): (Vec<_>, Vec<_>) = index.entries.into_iter().partition(goes);
    if gone.is_empty() {
        return Ok(());
    }
    index.entries = left;
    save(records, key(GROUP_WAITING_INDEX, &[]), &index);
    let mut names = Vec::new();
    for entry in gone {
        let item: Option<GroupWaitingRecord> = load(records, &item_key(entry.number))?;
        names.extend(item.and_then(|item| item.control).iter().flat_map(files_of));
        records.delete(item_key(entry.number));
    }
    release_all(records, names)
}

/// Deletes what has waited for too long.
pub(crate) fn drop_old(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    // What lies ahead of the clock was noted by one that was wrong: it goes when it is the oldest.
    remove(records, |entry| entry.since.saturating_add(LONGEST) < now.as_millis())
}

/// This device is out of a group since `epoch`: what waits for it goes (R-ENGINE-76). A welcome to a later epoch takes it in
/// again, and stays with the messages that come after it.
pub(crate) fn forget(records: &mut Overlay<'_>, group: &[u8; 16], epoch: u64) -> Result<(), EngineError> {
    let (mut gone, mut past, mut returns) = (Vec::new(), Vec::new(), false);
    for entry in index(records)?.entries {
        let name = entry.name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
        let is_its_set =
            || Ok::<_, EngineError>(epochs::by_set(records, name)?.is_some_and(|it| it.0 == *group));
        if name != group && entry.of != group && !is_its_set()? {
            continue;
        }
        let item: Option<GroupWaitingRecord> = load(records, &item_key(entry.number))?;
        match item.and_then(|item| item.control).and_then(|content| content.control) {
            Some(Control::Welcome(GroupWelcome { commit: Some(commit), .. }))
                if epoch_of(&commit).is_some_and(|it| it.0 > epoch) =>
            {
                returns = true;
            }
            Some(Control::Past(_)) => past.push(entry.number),
            _ => gone.push(entry.number),
        }
    }
    if !returns {
        gone.append(&mut past);
    }
    remove(records, |entry| gone.contains(&entry.number))
}

/// Keeps something; where there is no room something else goes, and what has waited for too long.
pub(crate) fn keep(
    records: &mut Overlay<'_>,
    item: &GroupWaitingRecord,
    wait: Wait<'_>,
    now: Timestamp,
) -> Result<(), EngineError> {
    let since = wait.since.at.as_millis().min(now.as_millis());
    if since.saturating_add(LONGEST) < now.as_millis() {
        return item.control.as_ref().map_or(Ok(()), |content| release(records, content));
    }
    let mut index = index(records)?;
    let bytes = encode(item);
    let length = bytes.len() as u64;
    if is_kept(records, &index, (item, length), wait)? {
        return Ok(());
    }
    let entry = GroupWaitingEntry {
        number: index.next,
        name: wait.name.to_vec(),
        reason: wait.reason as u32,
        of: wait.of.to_vec(),
        since,
        length,
        heard: wait.since.heard,
        share: share(records, item, wait.name)?,
        looked: false,
    };
    records.put(item_key(entry.number), bytes);
    index.next = index.next.saturating_add(1);
    index.entries.push(entry);
    save(records, key(GROUP_WAITING_INDEX, &[]), &index);
    drop_old(records, now)?;
    make_room(records)
}

/// Whether a commit waits already, for the same: the relay shows what is in a slot as often as it is asked. Those of unknown names
/// are not compared, since everybody can send any number of them.
fn is_kept(
    records: &dyn Records,
    index: &GroupWaitingIndex,
    (item, length): (&GroupWaitingRecord, u64),
    wait: Wait<'_>,
) -> Result<bool, EngineError> {
    if item.envelope.first() != Some(&KIND_GROUP_COMMIT) || wait.reason == Reason::Name {
        return Ok(false);
    }
    let is_like = |entry: &&GroupWaitingEntry| {
        entry.length == length
            && entry.reason == wait.reason as u32
            && entry.name == wait.name
            && entry.of == wait.of
    };
    for entry in index.entries.iter().filter(is_like) {
        if load::<GroupWaitingRecord>(records, &item_key(entry.number))?.as_ref() == Some(item) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has no more wait than may: first goes what nobody answers for, the envelopes of unknown names, and then what belongs to whoever
/// has most; the oldest of it.
fn make_room(records: &mut Overlay<'_>) -> Result<(), EngineError> {
    let mut entries = index(records)?.entries;
    let mut gone = Vec::new();
    loop {
        let total = entries.iter().map(|it| it.length).fold(0, u64::saturating_add);
        let (is_many, is_much) = (entries.len() > MAX_WAITING, entries.len() > 1 && total > MAX_BYTES);
        if !is_many && !is_much {
            break;
        }
        let weight = |entry: &GroupWaitingEntry| if is_many { 1 } else { entry.length };
        let at = entries.iter().position(|it| it.reason == Reason::Name as u32);
        let at = at.or_else(|| of_most(&entries, weight)).unwrap_or(0);
        gone.push(entries.remove(at).number);
    }
    remove(records, |entry| gone.contains(&entry.number))
}

/// The oldest entry of whoever has most.
fn of_most(entries: &[GroupWaitingEntry], weight: impl Fn(&GroupWaitingEntry) -> u64) -> Option<usize> {
    let mut shares: BTreeMap<&[u8], u64> = BTreeMap::new();
    for entry in entries {
        let share = shares.entry(&entry.share).or_default();
        *share = share.saturating_add(weight(entry));
    }
    let (most, _) = shares.into_iter().max_by_key(|(_, share)| *share)?;
    entries.iter().position(|entry| entry.share == most)
}

/// Whose part of the room something takes: that of the member who sent a content, or of the group of an envelope.
fn share(records: &dyn Records, item: &GroupWaitingRecord, name: &[u8; 16]) -> Result<Vec<u8>, EngineError> {
    if item.control.is_some() {
        return Ok(item.member_id.clone());
    }
    Ok(epochs::by_set(records, name)?.map_or_else(Vec::new, |(group, _)| group.to_vec()))
}

/// Takes out everything that may go on, oldest first.
pub(crate) fn take(
    records: &mut Overlay<'_>,
    trigger: Trigger,
) -> Result<Vec<(GroupWaitingEntry, GroupWaitingRecord)>, EngineError> {
    let mut index = index(records)?;
    let mut taken = Vec::new();
    let mut left = Vec::new();
    for entry in core::mem::take(&mut index.entries) {
        if may_go_on(records, &entry, trigger)? {
            let item = load(records, &item_key(entry.number))?.ok_or(EngineError::DamagedRecord)?;
            records.delete(item_key(entry.number));
            taken.push((entry, item));
        } else {
            left.push(entry);
        }
    }
    if !taken.is_empty() {
        index.entries = left;
        save(records, key(GROUP_WAITING_INDEX, &[]), &index);
    }
    Ok(taken)
}

fn may_go_on(
    records: &dyn Records,
    entry: &GroupWaitingEntry,
    trigger: Trigger,
) -> Result<bool, EngineError> {
    let is = |reason: Reason| entry.reason == reason as u32;
    Ok(match trigger {
        Trigger::Log => is(Reason::Log),
        Trigger::Credential(device) => is(Reason::Credential) && entry.of == device.as_bytes(),
        Trigger::File(file) => is(Reason::File) && entry.of == file,
        // A hand-out is tried with every commit whose secret is lacking: its name says nothing before.
        Trigger::Group(_) if is(Reason::Name) => {
            let name = entry.name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
            entry.of == HAND_OUT || epochs::by_set(records, name)?.is_some()
        }
        Trigger::Group(group) => (is(Reason::Slots) || is(Reason::Commit)) && entry.of == group,
    })
}

/// What [`Wait::of`] says of a hand-out under an unknown name.
pub(crate) const HAND_OUT: &[u8] = b"h";

/// Whether something waits for earlier slots of the relay for a group's next commit.
pub(crate) fn wants_slots(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    let index = index(records)?;
    Ok(index.entries.iter().any(|entry| entry.reason == Reason::Slots as u32 && entry.of == group))
}

/// Whether a commit for a later slot came since the slot that counts was looked into.
fn is_new_slot(entry: &GroupWaitingEntry) -> bool {
    entry.reason == Reason::Slots as u32 && !entry.looked
}

/// Whether the slot that counts has to be looked into at once: it was not since a commit for a later one came.
pub(crate) fn wants_look(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    Ok(index(records)?.entries.iter().any(|entry| is_new_slot(entry) && entry.of == group))
}

/// The slot that counts was seen to be empty: a commit for a later one that came before has ended nothing (R-GROUP-21).
pub(crate) fn looked(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<(), EngineError> {
    if !wants_look(records, group)? {
        return Ok(());
    }
    let mut index = index(records)?;
    for entry in index.entries.iter_mut().filter(|entry| is_new_slot(entry) && entry.of == group) {
        entry.looked = true;
    }
    save(records, key(GROUP_WAITING_INDEX, &[]), &index);
    Ok(())
}

/// Whether a commit that may end the epoch of a set waits to be judged: for its author's credential, for the log, or until the slots
/// before its own were looked into (R-ENGINE-80).
pub(crate) fn holds_up(records: &dyn Records, set_name: &[u8]) -> Result<bool, EngineError> {
    let waits = |entry: &GroupWaitingEntry| entry.reason == Reason::Log as u32 || is_new_slot(entry);
    let is_one = |entry: &GroupWaitingEntry| entry.name == set_name && waits(entry);
    Ok(index(records)?.entries.iter().any(is_one) || wants_author(records, set_name)?)
}

/// Whether a commit of an epoch's set waits for its author's credential.
pub(crate) fn wants_author(records: &dyn Records, set_name: &[u8]) -> Result<bool, EngineError> {
    for entry in index(records)?.entries {
        if entry.reason != Reason::Credential as u32 || entry.name != set_name {
            continue;
        }
        let item: Option<GroupWaitingRecord> = load(records, &item_key(entry.number))?;
        if item.is_some_and(|item| item.envelope.first() == Some(&KIND_GROUP_COMMIT)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an envelope of an unknown name has waited since before `time`: a commit that leads to it may have been lost.
pub(crate) fn has_strangers(records: &dyn Records, time: Timestamp) -> Result<bool, EngineError> {
    let is_one =
        |entry: &GroupWaitingEntry| entry.reason == Reason::Name as u32 && entry.since < time.as_millis();
    Ok(index(records)?.entries.iter().any(is_one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use chancery_wire::proto::{GroupCommit, GroupCommitHead};

    fn wait(name: &[u8; 16], since: u64) -> Wait<'_> {
        Wait {
            name,
            reason: Reason::Log,
            of: &[],
            since: Seen { at: Timestamp::from_millis(since), heard: 0 },
        }
    }

    #[test]
    fn what_waits_is_bounded_in_number_size_and_time_r_engine_73() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let now = Timestamp::from_millis(LONGEST * 3);
        let small = |n: u64| GroupWaitingRecord { envelope: n.to_be_bytes().to_vec(), ..Default::default() };
        for n in 0..1005 {
            keep(&mut records, &small(n), wait(&[1; 16], now.as_millis()), now).unwrap();
        }
        let taken = take(&mut records, Trigger::Log).unwrap();
        assert_eq!(taken.len(), MAX_WAITING);
        assert_eq!(taken[0].1, small(5), "the oldest are gone");
        assert!(take(&mut records, Trigger::Log).unwrap().is_empty(), "taken once");
        let large = GroupWaitingRecord { envelope: vec![1; 480 * 1024], ..Default::default() };
        for _ in 0..40 {
            keep(&mut records, &large, wait(&[1; 16], now.as_millis()), now).unwrap();
        }
        assert_eq!(take(&mut records, Trigger::Log).unwrap().len(), 34);
        keep(&mut records, &small(1), wait(&[1; 16], now.as_millis()), now).unwrap();
        let later = Timestamp::from_millis(now.as_millis() + LONGEST + 1);
        keep(&mut records, &small(2), wait(&[1; 16], now.as_millis()), later).unwrap();
        keep(&mut records, &small(3), wait(&[1; 16], later.as_millis()), later).unwrap();
        let left: Vec<_> = take(&mut records, Trigger::Log).unwrap().into_iter().map(|(_, it)| it).collect();
        assert_eq!(left, [small(3)]);
    }

    #[test]
    fn nobody_pushes_out_what_waits_of_others_r_engine_73() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let now = Timestamp::from_millis(7);
        let content = |member: u8, length| GroupWaitingRecord {
            control: Some(GroupControl { group_id: vec![0; length], control: None }),
            member_id: vec![member; 16],
            ..Default::default()
        };
        // Of unknown names, small ones of a member's and large ones of it.
        for (count, reason, member, length) in [
            (2000, Reason::Name, None, 0),
            (1500, Reason::Log, Some(2), 1),
            (60, Reason::Log, Some(2), 480 * 1024),
        ] {
            let mut records = Overlay::new(&base);
            for _ in 0..3 {
                keep(&mut records, &content(1, 100), wait(&[1; 16], 7), now).unwrap();
            }
            let item = member.map_or_else(
                || GroupWaitingRecord { envelope: vec![0x19; 64], ..Default::default() },
                |member| content(member, length),
            );
            let last = GroupWaitingRecord { envelope: vec![0x17; 64], ..Default::default() };
            for _ in 0..count {
                let mut wait = wait(&[2; 16], 7);
                wait.reason = reason;
                keep(&mut records, &item, wait, now).unwrap();
            }
            keep(&mut records, &last, wait(&[3; 16], 7), now).unwrap();
            let entries = index(&records).unwrap().entries;
            assert!(entries.len() > 30 && entries.len() <= MAX_WAITING);
            assert_eq!(entries.iter().filter(|it| it.share == [1; 16]).count(), 3);
            assert_eq!(entries.last().map(|it| it.share.len()), Some(0), "the newest");
        }
    }

    #[test]
    fn what_waits_goes_on_with_what_it_waits_for_r_engine_73() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let now = Timestamp::from_millis(7);
        let device = DeviceId::new([4; 16]);
        for (reason, of) in [
            (Reason::Credential, &device.as_bytes()[..]),
            (Reason::Commit, &[5; 16]),
            (Reason::Name, HAND_OUT),
            (Reason::Name, b""),
            (Reason::File, &[6; 16]),
        ] {
            let item = GroupWaitingRecord { envelope: vec![reason as u8], ..Default::default() };
            keep(
                &mut records,
                &item,
                Wait { name: &[9; 16], reason, of, since: Seen { at: now, heard: 0 } },
                now,
            )
            .unwrap();
        }
        let mut taken = |trigger| -> Vec<u8> {
            let taken = take(&mut records, trigger).unwrap();
            taken.into_iter().map(|(_, item)| item.envelope[0]).collect()
        };
        assert_eq!(taken(Trigger::Log), []);
        assert_eq!(taken(Trigger::Credential(DeviceId::new([3; 16]))), []);
        assert_eq!(taken(Trigger::Credential(device)), [Reason::Credential as u8]);
        assert_eq!(taken(Trigger::Group([8; 16])), [Reason::Name as u8], "a hand-out, with every commit");
        assert_eq!(taken(Trigger::Group([5; 16])), [Reason::Commit as u8]);
        assert_eq!(taken(Trigger::File([6; 16])), [Reason::File as u8]);
    }

    #[test]
    fn a_welcome_back_stays_when_this_device_is_removed_r_engine_76() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let now = Timestamp::from_millis(7);
        let welcome = |epoch| {
            let (id, hash) = (vec![1; 16], vec![1; 32]);
            let head = encode(&GroupCommitHead {
                group_id: id,
                epoch,
                transcript: hash.clone(),
                log_root: hash.clone(),
                salt: hash.clone(),
                keying: 1,
                roster: hash.clone(),
                tail_hash: hash,
                ..Default::default()
            });
            let commit = Some(GroupCommit { head, ..Default::default() });
            Control::Welcome(GroupWelcome { commit, ..Default::default() })
        };
        let (path, past) = (Control::Path(Default::default()), Control::Past(Default::default()));
        for (epoch, left) in [(5, vec![4]), (6, vec![0, 2, 4])] {
            let mut records = Overlay::new(&base);
            let contents = [welcome(epoch), path.clone(), past.clone(), welcome(5), welcome(1)];
            for (number, control) in contents.into_iter().enumerate() {
                let control = Some(GroupControl { control: Some(control), ..Default::default() });
                let item = GroupWaitingRecord { control, ..Default::default() };
                let name = if number == 4 { &[2; 16] } else { &[1; 16] };
                keep(&mut records, &item, wait(name, 7), now).unwrap();
            }
            forget(&mut records, &[1; 16], 5).unwrap();
            let numbers: Vec<_> = index(&records).unwrap().entries.iter().map(|it| it.number).collect();
            assert_eq!(numbers, left, "of another group, and what comes after the removal");
        }
    }
}
