//! The organisation's policy: what clients enforce, and embedders can read.

use core::time::Duration;

use chancery_wire::proto;

use crate::{IdentityError, MAX_DEVICES, SUITE};

/// Age of the newest checkpoint from which on nothing is sent, where policy says nothing: 7 days.
pub const DEFAULT_FRESHNESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The least that policy may demand: an hour, six of the intervals at which the log signs, so that a relay that was
/// restarted stops nobody.
pub const LEAST_FRESHNESS: Duration = Duration::from_secs(60 * 60);

/// What the organisation demands of every client (R-LOG-8). Without a statement it is [`Policy::default`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The lowest suite that may be used.
    pub minimum_suite: u32,
    /// Age of the newest checkpoint from which on nothing is sent; at half of it the client warns.
    pub freshness: Duration,
    /// How long messages are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// How long a message that was read is kept; `None`: as retention says.
    pub disappearing: Option<Duration>,
    /// Whether messages may leave the client as an export.
    pub may_export: bool,
    /// Whether attachments may be saved outside the client.
    pub may_save_attachments: bool,
    /// Age of the newest checkpoint from which on the store is locked; `None`: never.
    pub max_offline: Option<Duration>,
    /// Most devices of one member.
    pub device_limit: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            minimum_suite: SUITE,
            freshness: DEFAULT_FRESHNESS,
            retention: None,
            disappearing: None,
            may_export: true,
            may_save_attachments: true,
            max_offline: None,
            device_limit: u32::try_from(MAX_DEVICES).unwrap_or(u32::MAX),
        }
    }
}

impl Policy {
    /// Reads a policy as it is signed.
    ///
    /// # Errors
    ///
    /// [`IdentityError::UnsupportedSuite`]: this version is too old for the organisation; update it.
    /// [`IdentityError::Malformed`]: a value is outside its range; correct it.
    pub fn from_proto(policy: &proto::Policy) -> Result<Self, IdentityError> {
        let span = |millis: u64| (millis != 0).then(|| Duration::from_millis(millis));
        let read = Self {
            minimum_suite: policy.minimum_suite,
            freshness: Duration::from_millis(policy.freshness_ms),
            retention: span(policy.retention_ms),
            disappearing: span(policy.disappearing_ms),
            may_export: !policy.no_export,
            may_save_attachments: !policy.no_saving_attachments,
            max_offline: span(policy.max_offline_ms),
            device_limit: policy.device_limit,
        };
        if read.minimum_suite > SUITE {
            return Err(IdentityError::UnsupportedSuite);
        }
        let devices =
            usize::try_from(read.device_limit).is_ok_and(|limit| (1..=MAX_DEVICES).contains(&limit));
        let offline = read.max_offline.is_none_or(|offline| offline >= LEAST_FRESHNESS);
        if read.minimum_suite == 0 || read.freshness < LEAST_FRESHNESS || !devices || !offline {
            return Err(IdentityError::Malformed);
        }
        if policy.archive != 0 {
            return Err(IdentityError::Malformed);
        }
        Ok(read)
    }

    /// Returns the policy as it is signed.
    #[must_use]
    pub fn to_proto(&self) -> proto::Policy {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        proto::Policy {
            minimum_suite: self.minimum_suite,
            freshness_ms: millis(self.freshness),
            retention_ms: self.retention.map_or(0, millis),
            disappearing_ms: self.disappearing.map_or(0, millis),
            no_export: !self.may_export,
            no_saving_attachments: !self.may_save_attachments,
            max_offline_ms: self.max_offline.map_or(0, millis),
            device_limit: self.device_limit,
            archive: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_survives_its_encoding_and_is_refused_outside_its_ranges_r_log_8() {
        let policy = Policy {
            retention: Some(Duration::from_secs(30)),
            disappearing: Some(Duration::from_secs(3)),
            may_export: false,
            max_offline: Some(LEAST_FRESHNESS),
            ..Policy::default()
        };
        assert_eq!(Policy::from_proto(&policy.to_proto()), Ok(policy));
        assert_eq!(Policy::from_proto(&Policy::default().to_proto()), Ok(Policy::default()));
        let refused = |change: fn(&mut proto::Policy)| {
            let mut wrong = policy.to_proto();
            change(&mut wrong);
            Policy::from_proto(&wrong)
        };
        assert_eq!(refused(|it| it.minimum_suite = 2), Err(IdentityError::UnsupportedSuite));
        let changes: [fn(&mut proto::Policy); 6] = [
            |it| it.minimum_suite = 0,
            |it| it.freshness_ms = 3_599_999,
            |it| it.max_offline_ms = 3_599_999,
            |it| it.device_limit = 0,
            |it| it.device_limit = 17,
            |it| it.archive = 1,
        ];
        for change in changes {
            assert_eq!(refused(change), Err(IdentityError::Malformed));
        }
    }
}
