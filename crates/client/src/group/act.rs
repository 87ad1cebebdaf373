//! What happened in a group, as an application shows it.

use chancery_engine::{ActKind, EngineError};
use chancery_group::{GroupError, Role};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::MessageRecord;
use chancery_wire::records::Records;

use crate::error::{Error, ErrorCode, group_error};
use crate::home::hex;
use crate::message::Message;

/// A group, and what it is called. Its `Debug` has the identifier alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupName {
    /// Its identifier.
    pub id: [u8; 16],
    /// Its name as this device knows it now.
    pub name: String,
}

impl std::fmt::Debug for GroupName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GroupName").field("id", &hex(&self.id)).finish_non_exhaustive()
    }
}

impl GroupName {
    pub(crate) fn read(records: &dyn Records, id: &[u8]) -> Result<Self, EngineError> {
        let id = id.try_into().map_err(|_| EngineError::DamagedRecord)?;
        let name = chancery_engine::group_summary(records, &id)?.map(|group| group.name).unwrap_or_default();
        Ok(Self { id, name })
    }
}

/// A member as groups name them. Its `Debug` has the identifier alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Person {
    /// Who.
    pub member: MemberId,
    /// The handle as the directory has it now; empty if nobody of this identifier is in it.
    pub handle: String,
}

impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Person").field("member", &self.member).finish_non_exhaustive()
    }
}

impl Person {
    pub(crate) fn read(records: &dyn Records, member: MemberId) -> Result<Self, EngineError> {
        let handle = chancery_engine::member(records, &member)?.map(|it| it.handle).unwrap_or_default();
        Ok(Self { member, handle })
    }
}

/// Something that happened in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupAct {
    /// The group, with the name that it had then.
    pub group: GroupName,
    /// What.
    pub kind: ActKind,
    /// Who did it, if that is known.
    pub by: Option<Person>,
    /// Whom it is about.
    pub targets: Vec<Person>,
    /// The role that they have then.
    pub role: Option<Role>,
    /// Why something was refused.
    pub refusal: Option<Error>,
    /// How many messages are missing.
    pub count: u64,
    /// The epoch that begins with it, or in which it happened.
    pub epoch: u64,
    /// When this device took note of it.
    pub at: Timestamp,
}

impl GroupAct {
    /// `None` for a kind of a later version.
    pub(crate) fn read(records: &dyn Records, record: MessageRecord) -> Result<Option<Self>, EngineError> {
        let Some(act) = record.act else { return Ok(None) };
        let Some(kind) = ActKind::from_stored(act.kind) else { return Ok(None) };
        let person =
            |id: &[u8]| Person::read(records, MemberId::from_bytes(id).ok_or(EngineError::DamagedRecord)?);
        let by = if act.by.is_empty() { None } else { Some(person(&act.by)?) };
        let targets = act.targets.iter().map(|id| person(id)).collect::<Result<_, _>>()?;
        let id = record.group.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
        Ok(Some(Self {
            group: GroupName { id, name: act.name },
            kind,
            by,
            targets,
            role: Role::from_u32(act.role),
            refusal: (kind == ActKind::Refused).then(|| refusal(act.code)),
            count: act.count,
            epoch: act.epoch,
            at: Timestamp::from_millis(record.stored_at),
        }))
    }
}

/// An entry of a group's history.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum GroupEntry {
    /// A message.
    Message(Box<Message>),
    /// Something that happened in the group.
    Act(Box<GroupAct>),
    /// What a later version wrote.
    Unknown,
}

impl GroupEntry {
    pub(crate) fn read(
        records: &dyn Records,
        own: &MemberId,
        record: MessageRecord,
    ) -> Result<Self, EngineError> {
        if record.act.is_none() {
            return Ok(Self::Message(Box::new(Message::read(records, own, record)?)));
        }
        let act = GroupAct::read(records, record)?;
        Ok(act.map_or(Self::Unknown, |act| Self::Act(Box::new(act))))
    }
}

/// Returns the error for the number under which the engine has stored a refusal.
pub(super) fn refusal(code: u32) -> Error {
    let cause = match code {
        2 => GroupError::OtherGroup,
        3 => GroupError::OtherEpoch,
        4 => GroupError::NotAMember,
        5 => GroupError::NotAuthentic,
        6 => GroupError::NotAllowed,
        7 => GroupError::LogTooShort,
        8 => GroupError::OtherLog,
        10 => GroupError::NotInLog,
        11 => GroupError::Redundant,
        12 => GroupError::OrderInvalid,
        13 => GroupError::NoKeyholder,
        14 => GroupError::WrongKeying,
        15 => GroupError::NeedKeys,
        16 => GroupError::LeaverStays,
        17 => GroupError::OtherRoster,
        18 => GroupError::Limit,
        19 => GroupError::UnknownPolicy,
        20 => GroupError::Dissolved,
        21 => GroupError::Exists,
        1 => GroupError::Malformed,
        _ => return ErrorCode::GroupRefused.into(),
    };
    group_error(cause)
}
