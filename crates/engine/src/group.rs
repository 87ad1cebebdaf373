//! Groups of this device (R-GROUP): what comes in, what is to be done, what can be read.

mod acts;
mod commit;
mod control;
mod credentials;
mod duties;
mod epochs;
mod evict;
mod files;
mod follow;
mod fork;
mod hand_out;
mod heard;
mod hold;
mod intent;
mod join;
mod log_view;
mod making;
mod mark;
mod need;
mod past;
mod plan;
mod receive;
pub(crate) mod rows;
mod send;
mod set;
mod state;
mod step;
mod story;
mod turn;
mod views;
mod waiting;

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{Entry, Info, Rows as _};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

pub use acts::{ActKind, read as group_act};
pub(crate) use control::take as take_control;
pub(crate) use epochs::upkeep;
pub use fork::GroupFork;
pub(crate) use hold::{behind as hold_behind, device_failed, ended as hold_ended};
pub(crate) use receive::{Taken, is_kind, log_grown, receive};
pub(crate) use send::queue_record;
pub use step::{GroupDraft, GroupInput, GroupOperation, GroupStep};
pub use views::{
    GroupMember, GroupPhase, GroupSummary, GroupView, group, group_history, group_summary, groups,
};

use crate::effect::Effect;
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::rows::GroupRows;
use crate::retention::Limits;

/// Handles what concerns groups.
pub(crate) fn handle(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    input: GroupInput<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    match input {
        GroupInput::Operation { group_id, operation } => {
            intent::submit(me, records, (&group_id, operation), now, rng)
        }
        GroupInput::Send(draft) => send::queue(me, records, &draft, now),
        GroupInput::SlotFetched { group_id, attempt, content } => {
            receive::fetched(me, records, &group_id, (attempt, content), (now, rng))
        }
        GroupInput::CredentialFetched { device, credential } => {
            credentials::fetched(me, records, (&device, credential), now, rng)
        }
        GroupInput::FileFetched { blob_id, content } => {
            files::fetched(me, records, (&blob_id, content), now, rng)
        }
        GroupInput::FileStored { group_id, blob_id } => commit::file_stored(records, &group_id, &blob_id),
        GroupInput::SetCreated { group_id } => set::created(records, &group_id, false),
        GroupInput::SetTaken { group_id } => set::created(records, &group_id, true),
        GroupInput::SetUnknown { group_id } => set::unknown(records, &group_id, now),
        GroupInput::SlotAnswer { group_id, attempt, taken } => {
            commit::slot_answer(me, records, &group_id, (attempt, taken), (now, rng))
        }
        GroupInput::Commit { group_id } => commit::make(me, records, &group_id, now, rng),
        GroupInput::Seal { group_id, item } => send::seal(me, records, (&group_id, item), now, rng),
        GroupInput::Sent { group_id, item } => send::sent(me, records, &group_id, item),
        GroupInput::Care { group_id } => care(me, records, &group_id, now, rng),
    }
}

/// Does what has become due: secrets that are missing are asked for, and what keyholders owe their group is noted.
fn care(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = follow::again(me, records, group, now, rng)?;
    effects.extend(need::ask(me, records, group, now, rng)?);
    epochs::drop_old(records, group, now)?;
    effects.extend(mark::upkeep(records, group, now)?);
    set::upkeep(records, group, now)?;
    effects.extend(duties::upkeep(me, records, group, now, rng)?);
    Ok(effects)
}

/// Whether something of a group waits for the log.
pub(crate) fn awaits_log(records: &Overlay<'_>) -> Result<bool, EngineError> {
    waiting::wants_log(records)
}

/// Whether this device knows any group.
pub(crate) fn any(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(!state::ids(records)?.is_empty())
}

/// Returns how long a group's policy lets messages be kept; for ever if it is no group that this device is in.
pub(crate) fn limits(records: &dyn Records, id: &[u8; 16]) -> Result<Limits, EngineError> {
    let Some(head) = rows::head(records, id)? else { return Ok(Limits::default()) };
    let info = Info::from_bytes(&head.info).map_err(|_| EngineError::DamagedRecord)?;
    Ok(Limits { retention: info.retention, disappearing: info.disappearing })
}

/// Returns how many devices are in a group's roster.
pub(crate) fn devices(records: &dyn Records, id: &[u8; 16]) -> Result<u32, EngineError> {
    Ok(state::load(records, id)?.map_or(0, |state| state.devices))
}

/// Whether a member is in a group's roster, with a device that was in it in this epoch.
pub(crate) fn has_member(
    records: &dyn Records,
    id: &[u8; 16],
    (member, epoch): (&MemberId, u64),
) -> Result<bool, EngineError> {
    let rows = GroupRows::new(records, *id);
    for slot in rows.slots_of(member).map_err(|_| EngineError::DamagedRecord)? {
        let entry = rows.entry(slot).map_err(|_| EngineError::DamagedRecord)?;
        if entry.and_then(|bytes| Entry::from_bytes(&bytes)).is_some_and(|entry| entry.added <= epoch) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns the first time after which a group may have something to do that nothing else leads to: ask
/// [`Engine::next_group_step`] then. `None` if there is none.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn next_group_care(records: &dyn Records) -> Result<Option<Timestamp>, EngineError> {
    let mut next = None;
    for id in state::ids(records)? {
        next = due(records, &id)?.into_iter().chain(next).min();
    }
    Ok(next)
}

/// Returns when care for a group is due, if anything of it ever is.
fn due(records: &dyn Records, id: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    let times =
        [need::due(records, id)?, mark::due(records, id)?, duties::due(records, id)?, set::due(records, id)?];
    Ok(times.into_iter().flatten().min())
}

/// What one look at all groups says.
#[derive(Debug)]
#[non_exhaustive]
pub enum GroupOutlook {
    /// There is something to do.
    Step(Box<GroupStep>),
    /// Nothing is to be done now, and what [`next_group_care`] returns.
    Idle(Option<Timestamp>),
}

impl Engine {
    /// Returns the next thing to do for groups, leaving out those whose [`GroupStep::target`] is `blocked`. In a group it is first
    /// to follow others, then to remove whom the log has ended, then what its member wants, then messages.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn next_group_step(
        &self,
        records: &dyn Records,
        now: Timestamp,
        blocked: &BTreeSet<[u8; 16]>,
    ) -> Result<Option<GroupStep>, EngineError> {
        Ok(match self.group_outlook(records, now, blocked)? {
            GroupOutlook::Step(step) => Some(*step),
            GroupOutlook::Idle(_) => None,
        })
    }

    /// Returns what [`Self::next_group_step`] does or, if there is nothing to do, when to look again, in one go through all groups.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the store is not readable.
    pub fn group_outlook(
        &self,
        records: &dyn Records,
        now: Timestamp,
        blocked: &BTreeSet<[u8; 16]>,
    ) -> Result<GroupOutlook, EngineError> {
        let step = |step| Ok(GroupOutlook::Step(Box::new(step)));
        if let Some(found) = credentials::next_step(self, records, now, blocked)? {
            return step(found);
        }
        if let Some(found) = files::next_step(records, now, blocked)? {
            return step(found);
        }
        let mut next = None;
        for id in state::ids(records)? {
            let due = due(records, &id)?;
            if !blocked.contains(&id)
                && let Some(found) = self.step_of(records, &id, (now, due))?
            {
                return step(found);
            }
            next = due.into_iter().chain(next).min();
        }
        Ok(GroupOutlook::Idle(next))
    }

    fn step_of(
        &self,
        records: &dyn Records,
        id: &[u8; 16],
        (now, due): (Timestamp, Option<Timestamp>),
    ) -> Result<Option<GroupStep>, EngineError> {
        if let Some(step) = receive::next_step(records, id, now)? {
            return Ok(Some(step));
        }
        if due.is_some_and(|due| due <= now) {
            return Ok(Some(GroupStep::Care { group_id: *id }));
        }
        let Some(state) = state::load(records, id)? else { return Ok(None) };
        if let Some(step) = set::next_step(self, records, (id, &state), now)? {
            return Ok(Some(step));
        }
        if set::waits(&state, now) {
            // While a commit is said to be withheld the set is created only for one that is made before.
            let made = state.state == state::WITHHELD && state.set_missing;
            let step = if made { commit::next_step(self, records, id, now)? } else { None };
            return Ok(step.filter(|it| matches!(it, GroupStep::Commit { .. })));
        }
        if let Some(step) = commit::next_step(self, records, id, now)? {
            return Ok(Some(step));
        }
        send::next_step(self, records, id, now)
    }
}

#[cfg(test)]
mod tests;
