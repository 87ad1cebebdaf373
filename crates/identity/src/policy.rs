//! The organisation's policy: what clients enforce, and embedders can read.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use chancery_crypto::cosignature::WitnessVerifyingKey;
use chancery_wire::{Timestamp, proto};

use crate::checkpoint::Checkpoint;
use crate::{IdentityError, MAX_DEVICES, SUITE};

/// Age of the newest checkpoint from which on nothing is sent, where policy says nothing: 7 days.
pub const DEFAULT_FRESHNESS: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The least that policy may demand: an hour, six of the intervals at which the log signs, so that a relay that was
/// restarted stops nobody.
pub const LEAST_FRESHNESS: Duration = Duration::from_secs(60 * 60);

/// Most witnesses: 16, as many lines as a note has room for beside the log's own.
pub const MAX_WITNESSES: usize = 16;

/// Who watches the log for the organisation, and how many of them must have seen a checkpoint. Of no more than
/// [`MAX_WITNESSES`], no two the same.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Witnesses {
    keys: [[u8; 32]; MAX_WITNESSES],
    count: usize,
    quorum: usize,
}

impl Witnesses {
    /// Names witnesses by their public keys; `None` for too many, the same twice, what is no key, or a quorum that they cannot
    /// reach.
    #[must_use]
    pub fn new(keys: &[[u8; 32]], quorum: u32) -> Option<Self> {
        let quorum = usize::try_from(quorum).ok().filter(|quorum| *quorum <= keys.len())?;
        let mut read = Self { keys: [[0; 32]; MAX_WITNESSES], count: keys.len(), quorum };
        for (at, key) in keys.iter().enumerate() {
            let (before, _) = keys.split_at_checked(at)?;
            if before.contains(key) || WitnessVerifyingKey::from_bytes(key).is_err() {
                return None;
            }
            *read.keys.get_mut(at)? = *key;
        }
        Some(read)
    }

    /// Returns their public keys.
    #[must_use]
    pub fn keys(&self) -> &[[u8; 32]] {
        self.keys.get(..self.count).unwrap_or_default()
    }

    /// Returns how many must have seen a checkpoint before it counts as fresh; 0 for none.
    #[must_use]
    pub fn quorum(&self) -> u32 {
        u32::try_from(self.quorum).unwrap_or(u32::MAX)
    }

    /// Returns their keys, to verify with.
    #[must_use]
    pub fn verifying_keys(&self) -> Vec<WitnessVerifyingKey> {
        self.keys().iter().filter_map(|key| WitnessVerifyingKey::from_bytes(key).ok()).collect()
    }

    /// Returns the time at which as many as are needed had seen a checkpoint, by their clocks; `None` if they have not, or
    /// none are needed (R-LOG-14).
    #[must_use]
    pub fn seen_at(&self, checkpoint: &Checkpoint) -> Option<Timestamp> {
        let last = self.quorum.checked_sub(1)?;
        let words = checkpoint.cosignatures(&self.verifying_keys());
        let mut times: Vec<u64> = words.iter().map(|word| word.time).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.get(last).map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1000)))
    }
}

impl fmt::Debug for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} witnesses", self.quorum, self.count)
    }
}

/// What members' clients may tell each other beside messages. A member may allow less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipts {
    /// That a message was read.
    pub read: bool,
    /// That a message was delivered.
    pub delivery: bool,
    /// That somebody is writing.
    pub typing: bool,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { read: true, delivery: true, typing: true }
    }
}

impl fmt::Display for Receipts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [("read", self.read), ("delivery", self.delivery), ("typing", self.typing)];
        let mut told = names.iter().filter(|(_, is_told)| *is_told).map(|(name, _)| *name);
        let Some(first) = told.next() else { return f.write_str("none") };
        f.write_str(first)?;
        told.try_for_each(|name| write!(f, "+{name}"))
    }
}

impl Receipts {
    const NO_READ: u32 = 1;
    const NO_DELIVERY: u32 = 2;
    const NO_TYPING: u32 = 4;

    const fn from_number(number: u32) -> Option<Self> {
        if number > Self::NO_READ | Self::NO_DELIVERY | Self::NO_TYPING {
            return None;
        }
        Some(Self {
            read: number & Self::NO_READ == 0,
            delivery: number & Self::NO_DELIVERY == 0,
            typing: number & Self::NO_TYPING == 0,
        })
    }

    const fn number(self) -> u32 {
        let read = if self.read { 0 } else { Self::NO_READ };
        let delivery = if self.delivery { 0 } else { Self::NO_DELIVERY };
        read | delivery | if self.typing { 0 } else { Self::NO_TYPING }
    }
}

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
    /// Who must have seen a checkpoint before it counts as fresh.
    pub witnesses: Witnesses,
    /// What members' clients may tell each other beside messages.
    pub receipts: Receipts,
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
            witnesses: Witnesses::default(),
            receipts: Receipts::default(),
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
        let keys: Option<Vec<[u8; 32]>> =
            policy.witnesses.iter().map(|key| key.as_slice().try_into().ok()).collect();
        let receipts = Receipts::from_number(policy.receipts);
        let witnesses = keys.and_then(|keys| Witnesses::new(&keys, policy.witness_quorum));
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
            witnesses: witnesses.unwrap_or_default(),
            receipts: receipts.unwrap_or_default(),
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
        if policy.archive != 0 || witnesses.is_none() || receipts.is_none() {
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
            witnesses: self.witnesses.keys().iter().map(|key| key.to_vec()).collect(),
            witness_quorum: self.witnesses.quorum(),
            receipts: self.receipts.number(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::cosignature::WitnessSigningKey;
    use chancery_crypto::secret::Secret;

    fn key(n: u8) -> [u8; 32] {
        *WitnessSigningKey::from_seed(Secret::from_bytes([n; 32])).verifying_key().as_bytes()
    }

    #[test]
    fn a_policy_survives_its_encoding_and_is_refused_outside_its_ranges_r_log_8() {
        let policy = Policy {
            retention: Some(Duration::from_secs(30)),
            disappearing: Some(Duration::from_secs(3)),
            may_export: false,
            max_offline: Some(LEAST_FRESHNESS),
            witnesses: Witnesses::new(&[key(1), key(2)], 2).unwrap(),
            receipts: Receipts { delivery: true, read: false, typing: false },
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
        let changes: [fn(&mut proto::Policy); 12] = [
            |it| it.receipts = 8,
            |it| it.witness_quorum = 3,
            |it| it.witnesses.truncate(1),
            |it| it.witnesses[1] = it.witnesses[0].clone(),
            |it| it.witnesses[1] = [0; 32].to_vec(),
            |it| it.witnesses = (0..17).map(|n| key(n).to_vec()).collect(),
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
