//! What can be read of groups.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use chancery_group::{Group, Info, Role};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::Records;

use crate::error::EngineError;
use crate::group::fork::{self, GroupFork};
use crate::group::rows::{self, GroupRows};
use crate::group::{intent, state};
use crate::messages::{self, Page};

/// What a group is to this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupPhase {
    /// It is in it.
    Open,
    /// The own member has left it.
    Left,
    /// The own member was removed from it.
    Removed,
    /// It was ended for all. What was written stays.
    Dissolved,
    /// Two commits claim the same place: nothing is sent in it any more (R-GROUP-22).
    Forked,
    /// Others are in a later epoch, and the commit that leads to it cannot be had: nothing is sent in it until it can (R-GROUP-27).
    Withheld,
}

/// A group in a list. Its `Debug` does not name it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupSummary {
    /// Its identifier.
    pub group_id: [u8; 16],
    /// Its name; once this device is in it no more, the last that it knew.
    pub name: String,
    /// What it is to this device.
    pub phase: GroupPhase,
    /// The own member's role; `None` once it is in it no more.
    pub role: Option<Role>,
    /// Devices in the roster; 0 once this device is in it no more.
    pub devices: u32,
    /// The epoch that this device is in, or was in last.
    pub epoch: u64,
    /// What the own member wants done and that is not done yet.
    pub waiting: u64,
}

impl fmt::Debug for GroupSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("GroupSummary");
        shown.field("group_id", &self.group_id).field("phase", &self.phase).field("role", &self.role);
        shown.field("devices", &self.devices).field("epoch", &self.epoch).field("waiting", &self.waiting);
        shown.finish_non_exhaustive()
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMember {
    /// Who.
    pub member: MemberId,
    /// As what.
    pub role: Role,
    /// With which devices.
    pub devices: Vec<DeviceId>,
}

/// A group as this device has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GroupView {
    /// As in a list.
    pub summary: GroupSummary,
    /// Name and policy; `None` once this device is in it no more.
    pub info: Option<Info>,
    /// What all devices of the epoch agree about, to be compared.
    pub transcript: [u8; 32],
    /// The members, in the order in which they came.
    pub members: Vec<GroupMember>,
    /// What is kept to show a fork.
    pub fork: Option<GroupFork>,
}

/// Returns the groups that this device is in or was in, in the order in which it came to know them.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn groups(records: &dyn Records) -> Result<Vec<GroupSummary>, EngineError> {
    let mut all = Vec::new();
    for id in state::ids(records)? {
        all.extend(group_summary(records, &id)?);
    }
    Ok(all)
}

/// Returns a group as it stands in the list; `None` if this device never knew one of this identifier.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn group_summary(records: &dyn Records, id: &[u8; 16]) -> Result<Option<GroupSummary>, EngineError> {
    let Some(stored) = state::load(records, id)? else { return Ok(None) };
    let phase = state::phase(&stored);
    let inside = matches!(phase, GroupPhase::Open | GroupPhase::Forked | GroupPhase::Dissolved);
    Ok(Some(GroupSummary {
        group_id: *id,
        name: stored.name,
        phase,
        role: Role::from_u32(stored.role).filter(|_| inside),
        devices: if inside { stored.devices } else { 0 },
        epoch: stored.epoch,
        waiting: intent::waiting(records, id)?,
    }))
}

/// Returns a group; `None` if this device never knew one of this identifier.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn group(records: &dyn Records, group_id: &[u8; 16]) -> Result<Option<GroupView>, EngineError> {
    let Some(summary) = group_summary(records, group_id)? else { return Ok(None) };
    let stored = state::load(records, group_id)?.unwrap_or_default();
    let fork = fork::kept(records, group_id, &stored)?;
    let mut view = GroupView { summary, info: None, transcript: [0; 32], members: Vec::new(), fork };
    let Some(head) = rows::head(records, group_id)? else { return Ok(Some(view)) };
    let rows = GroupRows::new(records, *group_id);
    view.info = Some(Info::from_bytes(&head.info)?);
    view.transcript = head.transcript.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    for member in (Group { id: group_id, head: &head, rows: &rows }).roster()?.members()? {
        let devices = member.devices.iter().map(|(_, entry)| entry.device).collect();
        view.members.push(GroupMember { member: member.id, role: member.role, devices });
    }
    Ok(Some(view))
}

/// Returns up to `most` messages and acts of a group, oldest first, from position `from` on.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn group_history(
    records: &dyn Records,
    group_id: &[u8; 16],
    from: u64,
    most: usize,
) -> Result<Page<MessageRecord>, EngineError> {
    messages::conversation(records, &MemberId::new(*group_id), from, most)
}
