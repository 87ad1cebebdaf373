//! Devices that the log has ended and that are in the roster still (R-GROUP-20).

use chancery_group::{Ended, Rows as _};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::group::log_view::end;
use crate::group::rows::GroupRows;
use crate::group::state;
use crate::log;

/// Whether somebody of the roster has ended in the log as it is here: then nothing is sealed before a commit without them was
/// followed. Only what [`note`] has not seen yet is read, so that every message may ask.
pub(crate) fn is_needed(records: &dyn Records, group: &[u8; 16]) -> Result<bool, EngineError> {
    let Some(state) = state::load(records, group)? else { return Ok(false) };
    if state.ended {
        return Ok(true);
    }
    let size = log::log_size(records)?;
    if state.log_checked >= size {
        return Ok(false);
    }
    let rows = GroupRows::new(records, *group);
    let (mut found, mut failed) = (false, false);
    log::visit_subjects(records, (state.log_checked, size), |_, row| {
        let stays = match end(row) {
            Some(Ended::Device(device)) => rows.slot_of(&device).map(|slot| slot.is_some()),
            Some(Ended::Member(member)) => rows.slots_of(&member).map(|slots| !slots.is_empty()),
            None => Ok(false),
        };
        found |= stays == Ok(true);
        failed |= stays.is_err();
    })?;
    if failed { Err(EngineError::DamagedRecord) } else { Ok(found) }
}

/// Notes how far the log was looked through.
pub(crate) fn note(records: &mut Overlay<'_>, group: &[u8; 16]) -> Result<bool, EngineError> {
    let needed = is_needed(records, group)?;
    if let Some(mut state) = state::load(records, group)? {
        let size = log::log_size(records)?;
        if (state.ended, state.log_checked) != (needed, size) {
            (state.ended, state.log_checked) = (needed, size);
            state::save(records, group, &state);
        }
    }
    Ok(needed)
}
