//! The list of members: whom the directory names.

use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_wire::proto::DirectoryRecord;
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::directory::{Member, member};
use crate::error::EngineError;
use crate::log;
use crate::queue::Queue;
use crate::tables::{MEMBER_LIST, key, load, save, save_number};

/// Members that are listed at once: 1,000.
pub const MEMBERS_AT_ONCE: usize = 1000;

/// Says that the list is kept. Items have names of eight bytes.
fn begun_key() -> RecordKey {
    key(MEMBER_LIST, &[b"begun"])
}

/// Whether the list is kept: not by a version that read the directory before there was one.
pub(crate) fn is_begun(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(records.get(&begun_key())?.is_some())
}

/// The directory is read from its beginning, or goes on being read.
pub(crate) fn begin(records: &mut Overlay<'_>) -> Result<(), EngineError> {
    if !is_begun(records)? {
        save_number(records, begun_key(), 1);
    }
    Ok(())
}

/// Enters a member whose entry counts, once.
pub(crate) fn enter(
    records: &mut Overlay<'_>,
    member: &MemberId,
    entry: &RecordKey,
) -> Result<(), EngineError> {
    let known: Option<DirectoryRecord> = load(records, entry)?;
    if known.as_ref().is_some_and(|known| known.listed) {
        return Ok(());
    }
    Queue::new(MEMBER_LIST, b"").push(records, member.as_bytes().to_vec())?;
    // It may be that nothing else of the entry is new.
    if let Some(known) = known {
        save(records, entry.clone(), &DirectoryRecord { listed: true, ..known });
    }
    Ok(())
}

/// Returns up to [`MEMBERS_AT_ONCE`] members in the order of their handles, those behind a handle if one is given; without who has
/// left. `filter` is part of a handle, name or unit, in upper or lower case; everybody if it is empty.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn members(records: &dyn Records, filter: &str, after: Option<&str>) -> Result<Vec<Member>, EngineError> {
    let queue = Queue::new(MEMBER_LIST, b"");
    let filter = filter.to_lowercase();
    let fits = |text: &str| text.to_lowercase().contains(&filter);
    let mut found: Vec<Member> = Vec::new();
    for number in queue.numbers(records)? {
        let Some(id) = records.get(&queue.item_key(number))? else { continue };
        let id = MemberId::from_bytes(&id).ok_or(EngineError::DamagedRecord)?;
        let Some(member) = member(records, &id)? else { continue };
        let is_behind = after.is_none_or(|after| member.handle.as_str() > after);
        let is_asked = fits(&member.handle) || fits(&member.name) || member.unit.as_deref().is_some_and(fits);
        if is_behind && is_asked {
            found.push(member);
        }
    }
    found.sort_unstable_by(|a, b| (&a.handle, a.member_id).cmp(&(&b.handle, b.member_id)));
    let mut page = Vec::new();
    for member in found {
        if page.len() >= MEMBERS_AT_ONCE {
            break;
        }
        if !log::has_left(records, &member.member_id)? {
            page.push(member);
        }
    }
    Ok(page)
}
