//! What happened in a group, as the history keeps it and events tell it.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_group::{GroupError, Role};
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::proto::{GroupActRecord, MessageRecord};
use chancery_wire::records::Overlay;

use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::group::state;
use crate::messages::{MessageState, append_event, append_message};
use crate::queue::Queue;
use crate::tables::CONVERSATION;

/// What kind of thing happened ([`GroupActRecord::kind`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum ActKind {
    /// The group was founded here.
    Created = 1,
    /// Members were added, or devices of theirs.
    Added = 2,
    /// Members were removed.
    Removed = 3,
    /// A member has left.
    Left = 4,
    /// Devices or members went because the log has ended them.
    Evicted = 5,
    /// A member's role is another.
    Role = 6,
    /// The group has another name.
    Renamed = 7,
    /// The group has another policy.
    Policy = 8,
    /// The group was ended for all.
    Dissolved = 9,
    /// All keys were renewed.
    Healed = 10,
    /// This device has come into the group.
    Joined = 11,
    /// Two commits claim the same place (R-GROUP-22).
    Forked = 12,
    /// Something was refused; the code says why.
    Refused = 13,
    /// Messages of a member are missing.
    Gap = 14,
    /// Others are in a later epoch, of which the relay shows nothing (R-GROUP-27).
    Withheld = 15,
}

impl ActKind {
    /// Reads a stored number; `None` for one of a later version.
    #[must_use]
    pub const fn from_stored(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Created,
            2 => Self::Added,
            3 => Self::Removed,
            4 => Self::Left,
            5 => Self::Evicted,
            6 => Self::Role,
            7 => Self::Renamed,
            8 => Self::Policy,
            9 => Self::Dissolved,
            10 => Self::Healed,
            11 => Self::Joined,
            12 => Self::Forked,
            13 => Self::Refused,
            14 => Self::Gap,
            15 => Self::Withheld,
            _ => return None,
        })
    }
}

/// Returns what a message of the history tells of its group, if it is an act and not something written.
#[must_use]
pub fn read(record: &MessageRecord) -> Option<(ActKind, &GroupActRecord)> {
    let act = record.act.as_deref()?;
    Some((ActKind::from_stored(act.kind)?, act))
}

/// An act before it is stored.
#[derive(Debug, Default)]
pub(crate) struct Act(GroupActRecord);

impl Act {
    pub(crate) fn new(kind: ActKind, by: Option<&MemberId>) -> Self {
        let by = by.map_or_else(Vec::new, |by| by.as_bytes().to_vec());
        Self(GroupActRecord { kind: kind as u32, by, ..GroupActRecord::default() })
    }

    pub(crate) fn of<'m>(mut self, members: impl IntoIterator<Item = &'m MemberId>) -> Self {
        self.0.targets = members.into_iter().map(|member| member.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) fn role(mut self, role: Role) -> Self {
        self.0.role = role.number().into();
        self
    }

    pub(crate) fn name(mut self, name: String) -> Self {
        self.0.name = name;
        self
    }

    pub(crate) const fn count(mut self, count: u64) -> Self {
        self.0.count = count;
        self
    }

    pub(crate) const fn code(mut self, error: GroupError) -> Self {
        self.0.code = code(error);
        self
    }

    /// Stores it at the end of the group's history, and as an event.
    pub(crate) fn store(
        mut self,
        records: &mut Overlay<'_>,
        group: &[u8; 16],
        now: Timestamp,
    ) -> Result<Effect, EngineError> {
        if let Some(state) = state::load(records, group)? {
            self.0.epoch = state.epoch;
            if self.0.name.is_empty() {
                self.0.name = state.name;
            }
        }
        // Named by the group and its place in the history, so that no member's message can take its place.
        let place = Queue::new(CONVERSATION, group).state(records)?.next;
        let record = MessageRecord {
            id: [[0; 8], place.to_be_bytes()].concat(),
            conversation: group.to_vec(),
            from: group.to_vec(),
            sent_at: now.as_millis(),
            stored_at: now.as_millis(),
            state: MessageState::Received as u32,
            group: group.to_vec(),
            act: Some(self.0.into()),
            ..MessageRecord::default()
        };
        append_message(records, &record)?;
        Ok(Effect::Notify(Notice::EventStored(append_event(records, &record)?)))
    }
}

/// The number by which a refusal is stored and told.
pub(crate) const fn code(error: GroupError) -> u32 {
    match error {
        GroupError::Malformed => 1,
        GroupError::OtherGroup => 2,
        GroupError::OtherEpoch => 3,
        GroupError::NotAMember => 4,
        GroupError::NotAuthentic => 5,
        GroupError::NotAllowed => 6,
        GroupError::LogTooShort => 7,
        GroupError::OtherLog => 8,
        GroupError::NeedCredential(_) => 9,
        GroupError::NotInLog => 10,
        GroupError::Redundant => 11,
        GroupError::OrderInvalid => 12,
        GroupError::NoKeyholder => 13,
        GroupError::WrongKeying => 14,
        GroupError::NeedKeys => 15,
        GroupError::LeaverStays => 16,
        GroupError::OtherRoster => 17,
        GroupError::Limit => 18,
        GroupError::UnknownPolicy => 19,
        GroupError::Dissolved => 20,
        GroupError::Exists => 21,
        _ => 0,
    }
}
