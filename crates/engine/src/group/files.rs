//! Files of groups: rosters and trees that are too long for a content, and for a record.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_wire::Timestamp;
use chancery_wire::proto::{GroupFile, GroupFileWanted, GroupFilesRecord};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::GroupStep;
use crate::group::turn::{Trigger, Turn};
use crate::tables::{GROUP_FILE, GROUP_FILES, key, load, save};

/// Bytes of a record: 256 KiB, a quarter of what a record may have.
const CHUNK: usize = 256 * 1024;
/// Longest file: 2 MiB. The snapshot of 10,000 devices has 1,070,000 bytes, and the keys of a tree over all slots 1,146,845.
const MAX_LEN: u64 = 2 * 1024 * 1024;
/// Files that are waited for: 64, and a file is fetched once for all that name it. The oldest is forgotten.
const MAX_WANTED: usize = 64;
/// How long a file that could not be had is left alone: a minute, in milliseconds.
const PAUSE: u64 = 60_000;
/// How long a file is tried: 7 days, in milliseconds, as long as what it belongs to waits.
const LONGEST: u64 = 7 * 24 * 3_600_000;

fn chunk_key(file: &[u8; 16], number: u64) -> RecordKey {
    key(GROUP_FILE, &[file, &number.to_be_bytes()])
}

/// Keeps a file in chunks until [`remove`]: one to be stored at the relay, or one that was fetched.
pub(crate) fn keep(records: &mut Overlay<'_>, file: &[u8; 16], content: &[u8]) {
    // The first record has the length, so that nothing of an earlier file is taken for this one's.
    records.put(chunk_key(file, 0), (content.len() as u64).to_be_bytes().to_vec());
    for (number, chunk) in (1..).zip(content.chunks(CHUNK)) {
        records.put(chunk_key(file, number), chunk.to_vec());
    }
}

fn chunks(records: &dyn Records, file: &[u8; 16]) -> Result<Option<(usize, u64)>, EngineError> {
    let Some(length) = records.get(&chunk_key(file, 0))? else { return Ok(None) };
    let length: [u8; 8] = length.try_into().map_err(|_: Vec<u8>| EngineError::DamagedRecord)?;
    let length = usize::try_from(u64::from_be_bytes(length)).map_err(|_| EngineError::DamagedRecord)?;
    Ok(Some((length, length.div_ceil(CHUNK) as u64)))
}

/// Returns what was kept under a name.
pub(crate) fn content(records: &dyn Records, file: &[u8; 16]) -> Result<Option<SecretBytes>, EngineError> {
    let Some((length, count)) = chunks(records, file)? else { return Ok(None) };
    let mut whole = Vec::with_capacity(length);
    for number in 1..=count {
        let chunk = records.get(&chunk_key(file, number))?.ok_or(EngineError::DamagedRecord)?;
        whole.extend_from_slice(SecretBytes::new(chunk).expose());
    }
    if whole.len() == length { Ok(Some(SecretBytes::new(whole))) } else { Err(EngineError::DamagedRecord) }
}

/// Deletes it.
pub(crate) fn remove(records: &mut Overlay<'_>, file: &[u8; 16]) -> Result<(), EngineError> {
    if let Some((_, count)) = chunks(records, file)? {
        (0..=count).for_each(|number| records.delete(chunk_key(file, number)));
    }
    let mut wanted = wanted(records)?;
    let before = wanted.files.len();
    wanted.files.retain(|it| it.file.as_ref().is_some_and(|it| it.blob_id != file));
    if wanted.files.len() != before {
        save(records, key(GROUP_FILES, &[]), &wanted);
    }
    Ok(())
}

fn wanted(records: &dyn Records) -> Result<GroupFilesRecord, EngineError> {
    Ok(load(records, &key(GROUP_FILES, &[]))?.unwrap_or_default())
}

/// Notes that a file has to be fetched; returns its name, `None` if it is none that may be.
pub(crate) fn want(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    file: &GroupFile,
    now: Timestamp,
) -> Result<Option<[u8; 16]>, EngineError> {
    let Ok(name) = <[u8; 16]>::try_from(file.blob_id.as_slice()) else { return Ok(None) };
    if file.key.len() != 32 || file.size > MAX_LEN {
        return Ok(None);
    }
    let mut wanted = wanted(records)?;
    let is_wanted = wanted.files.iter().any(|it| it.file.as_ref() == Some(file));
    if is_wanted || records.get(&chunk_key(&name, 0))?.is_some() {
        return Ok(Some(name));
    }
    if wanted.files.len() >= MAX_WANTED {
        wanted.files.remove(0);
    }
    wanted.files.push(GroupFileWanted {
        file: Some(file.clone()),
        group_id: group.to_vec(),
        since: now.as_millis(),
        ..GroupFileWanted::default()
    });
    save(records, key(GROUP_FILES, &[]), &wanted);
    Ok(Some(name))
}

/// A file was downloaded and opened, or could not be.
pub(crate) fn fetched(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (file, content): (&[u8; 16], Option<&[u8]>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut wanted = wanted(records)?;
    let is_it = |it: &GroupFileWanted| it.file.as_ref().is_some_and(|it| it.blob_id == file);
    let Some(at) = wanted.files.iter().position(is_it) else { return Ok(Vec::new()) };
    let Some(content) = content.filter(|content| content.len() as u64 <= MAX_LEN) else {
        if let Some(it) = wanted.files.get_mut(at) {
            it.tried_at = now.as_millis().max(1);
        }
        wanted.files.retain(|it| it.since.min(now.as_millis()).saturating_add(LONGEST) >= now.as_millis());
        save(records, key(GROUP_FILES, &[]), &wanted);
        return Ok(Vec::new());
    };
    wanted.files.remove(at);
    save(records, key(GROUP_FILES, &[]), &wanted);
    keep(records, file, content);
    let mut turn = Turn::new(me, records, now, rng);
    turn.triggers.push(Trigger::File(*file));
    turn.settle()
}

/// Returns the next file to fetch.
pub(crate) fn next_step(
    records: &dyn Records,
    now: Timestamp,
    blocked: &BTreeSet<[u8; 16]>,
) -> Result<Option<GroupStep>, EngineError> {
    for it in wanted(records)?.files {
        let (tried, time) = (it.tried_at, now.as_millis());
        let rests = tried != 0 && tried <= time && time < tried.saturating_add(PAUSE);
        let file = it.file.ok_or(EngineError::DamagedRecord)?;
        let is_blocked = file.blob_id.first_chunk().is_some_and(|name| blocked.contains(name));
        if rests || is_blocked {
            continue;
        }
        let group_id = it.group_id.try_into().map_err(|_| EngineError::DamagedRecord)?;
        return Ok(Some(GroupStep::FetchFile { group_id, file }));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec;

    #[test]
    fn a_file_of_any_length_is_read_as_it_was_kept_and_goes_whole() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let file = [3; 16];
        for len in [0, 1, CHUNK, CHUNK + 1, 1_146_845] {
            let whole = vec![7; len];
            keep(&mut records, &file, &whole);
            assert_eq!(content(&records, &file).unwrap().unwrap().expose(), whole);
        }
        keep(&mut records, &file, b"short");
        assert_eq!(content(&records, &file).unwrap().unwrap().expose(), b"short");
        remove(&mut records, &file).unwrap();
        assert!(content(&records, &file).unwrap().is_none());
    }
}
