//! The engine's own state of a group, and which groups there are.

use alloc::vec::Vec;

use chancery_group::GroupError;
use chancery_wire::proto::{GroupIndex, GroupStateRecord};
use chancery_wire::records::{Overlay, RecordKey, Records};

use crate::error::EngineError;
use crate::group::GroupPhase;
use crate::tables::{GROUP_STATE, GROUPS, key, load as load_record, save as save_record};

/// Groups of a device, those included that it has left: 1,000. Their identifiers are one record, and everybody can add everybody.
const MAX_GROUPS: usize = 1000;

/// [`GroupStateRecord::state`].
pub(crate) const OPEN: u32 = 0;
pub(crate) const LEFT: u32 = 1;
pub(crate) const REMOVED: u32 = 2;
pub(crate) const DISSOLVED: u32 = 3;
pub(crate) const FORKED: u32 = 4;
pub(crate) const WITHHELD: u32 = 5;

fn state_key(id: &[u8; 16]) -> RecordKey {
    key(GROUP_STATE, &[id])
}

/// Returns all groups that this device knows or knew.
pub(crate) fn ids(records: &dyn Records) -> Result<Vec<[u8; 16]>, EngineError> {
    let index: GroupIndex = load_record(records, &key(GROUPS, &[]))?.unwrap_or_default();
    let ids = index.group_ids.into_iter().map(|id| id.try_into().map_err(|_| EngineError::DamagedRecord));
    ids.collect()
}

pub(crate) fn load(records: &dyn Records, id: &[u8; 16]) -> Result<Option<GroupStateRecord>, EngineError> {
    load_record(records, &state_key(id))
}

pub(crate) fn save(records: &mut Overlay<'_>, id: &[u8; 16], state: &GroupStateRecord) {
    save_record(records, state_key(id), state);
}

/// Enters a group that begins here among those that there are.
pub(crate) fn enter(records: &mut Overlay<'_>, id: &[u8; 16]) -> Result<(), EngineError> {
    let mut index: GroupIndex = load_record(records, &key(GROUPS, &[]))?.unwrap_or_default();
    if index.group_ids.iter().any(|known| known == id) {
        return Ok(());
    }
    if index.group_ids.len() >= MAX_GROUPS {
        return Err(GroupError::Limit.into());
    }
    index.group_ids.push(id.to_vec());
    save_record(records, key(GROUPS, &[]), &index);
    Ok(())
}

pub(crate) const fn phase(state: &GroupStateRecord) -> GroupPhase {
    match state.state {
        OPEN => GroupPhase::Open,
        LEFT => GroupPhase::Left,
        DISSOLVED => GroupPhase::Dissolved,
        FORKED => GroupPhase::Forked,
        WITHHELD => GroupPhase::Withheld,
        _ => GroupPhase::Removed,
    }
}

/// Whether this device follows the group's commits and reads its messages.
pub(crate) const fn reads(state: &GroupStateRecord) -> bool {
    matches!(state.state, OPEN | DISSOLVED | FORKED | WITHHELD)
}

/// Returns the state of a group in which something may be done.
pub(crate) fn open(records: &dyn Records, id: &[u8; 16]) -> Result<GroupStateRecord, EngineError> {
    let state = load(records, id)?.ok_or(EngineError::NoGroup)?;
    match phase(&state) {
        // What is wanted while a commit is withheld waits until that comes.
        GroupPhase::Open | GroupPhase::Withheld => Ok(state),
        GroupPhase::Dissolved => Err(GroupError::Dissolved.into()),
        GroupPhase::Forked => Err(EngineError::GroupForked),
        GroupPhase::Left | GroupPhase::Removed => Err(EngineError::NoGroup),
    }
}
