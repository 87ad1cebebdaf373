//! What a group is called, and its policy (R-GROUP-3).

use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::DisplayName;
use chancery_wire::{Limit, decode, encode, proto};

use crate::limit::{MAX_HISTORY, MAX_INFO_LEN};
use crate::{GroupError, Role};

/// Who may write in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posting {
    /// Everybody but readers.
    Members,
    /// Administrators and owners alone.
    Keyholders,
}

/// A group's name and policy, read and within its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// What the group is called.
    pub name: DisplayName,
    /// How long messages are kept; `None`: as the organisation says. Of both the shorter counts.
    pub retention: Option<Duration>,
    /// How long a message is kept once this member has read it, or sent it; `None`: as the organisation says. Of both the shorter counts.
    /// What nobody reads goes by [`Self::retention`] alone.
    pub disappearing: Option<Duration>,
    /// Who may write.
    pub posting: Posting,
    /// How many messages a joiner is sent again.
    pub history: u32,
    /// After which time keyholders renew all keys; `None`: never.
    pub heal: Option<Duration>,
    /// Whether the group has ended.
    pub dissolved: bool,
}

impl Info {
    /// Returns what a group of this name has without further ado: everybody writes, nothing is renewed or sent again.
    #[must_use]
    pub const fn new(name: DisplayName) -> Self {
        Self {
            name,
            retention: None,
            disappearing: None,
            posting: Posting::Members,
            history: 0,
            heal: None,
            dissolved: false,
        }
    }

    /// Reads an encoded `GroupInfo`.
    ///
    /// # Errors
    ///
    /// [`GroupError::UnknownPolicy`] if it requires what this version does not know: update the program.
    /// [`GroupError::Malformed`] or [`GroupError::Limit`] for anything else that R-GROUP-3 does not allow: drop it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GroupError> {
        if bytes.len() > MAX_INFO_LEN {
            return Err(GroupError::Limit);
        }
        let info: proto::GroupInfo =
            decode(bytes, Limit::STATEMENT).map_err(|_| GroupError::Malformed)?.into_unchecked();
        if !info.required.is_empty() {
            return Err(GroupError::UnknownPolicy);
        }
        if info.history > MAX_HISTORY {
            return Err(GroupError::Limit);
        }
        let span = |millis: u64| (millis != 0).then(|| Duration::from_millis(millis));
        Ok(Self {
            name: DisplayName::parse(&info.name).map_err(|_| GroupError::Malformed)?,
            retention: span(info.retention_ms),
            disappearing: span(info.disappearing_ms),
            posting: match info.posting {
                0 => Posting::Members,
                1 => Posting::Keyholders,
                _ => return Err(GroupError::UnknownPolicy),
            },
            history: info.history,
            heal: span(info.heal_ms),
            dissolved: info.dissolved,
        })
    }

    /// Whether somebody of this role may write.
    #[must_use]
    pub fn lets_write(&self, role: Role) -> bool {
        role != Role::Reader && (self.posting != Posting::Keyholders || role.is_keyholder())
    }

    /// Returns the encoding.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let millis = |span: Option<Duration>| {
            span.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
        };
        encode(&proto::GroupInfo {
            name: self.name.as_str().to_string(),
            retention_ms: millis(self.retention),
            disappearing_ms: millis(self.disappearing),
            posting: u32::from(self.posting == Posting::Keyholders),
            history: self.history,
            heal_ms: millis(self.heal),
            required: Vec::new(),
            dissolved: self.dissolved,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn an_info_survives_its_encoding_and_is_refused_outside_its_limits_r_group_3() {
        let mut info = Info::new(DisplayName::parse("Crew").unwrap());
        (info.history, info.posting, info.heal) = (100, Posting::Keyholders, Some(Duration::from_secs(1)));
        assert_eq!(Info::from_bytes(&info.to_bytes()), Ok(info.clone()));
        let refused = |change: fn(&mut proto::GroupInfo)| {
            let mut wrong =
                decode::<proto::GroupInfo>(&info.to_bytes(), Limit::STATEMENT).unwrap().into_unchecked();
            change(&mut wrong);
            Info::from_bytes(&encode(&wrong)).unwrap_err()
        };
        assert_eq!(refused(|it| it.required = vec![1]), GroupError::UnknownPolicy);
        assert_eq!(refused(|it| it.posting = 2), GroupError::UnknownPolicy);
        assert_eq!(refused(|it| it.history = 101), GroupError::Limit);
        assert_eq!(refused(|it| it.name = "x".repeat(3_000)), GroupError::Limit);
        assert_eq!(refused(|it| it.name.clear()), GroupError::Malformed);
        assert_eq!(refused(|it| it.name = "a\u{202E}b".into()), GroupError::Malformed);
        assert_eq!(Info::from_bytes(&[0xFF]), Err(GroupError::Malformed));
    }
}
