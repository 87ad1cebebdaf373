//! The organisation's log as this device has it: who is vouched for, what time it is, and whether anything may be sealed.

mod claims;
mod ended;
mod hashes;
mod replay;
mod revoked;
mod state;
mod subjects;

use core::fmt;
use core::time::Duration;

use chancery_crypto::merkle::Hash;
use chancery_identity::log::short_issuer;
use chancery_identity::{Credential, DeviceId, MemberId, Policy};
use chancery_wire::Timestamp;
use chancery_wire::proto::{ForkProof, LogDeviceRecord, LogMemberRecord, LogRecord};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::tables::{LOG_DEVICE, LOG_FORK, LOG_MEMBER, key, load};

pub(crate) use claims::{add as add_claim, hear as hear_claim, take_note};
pub(crate) use ended::{caught_up, is_ending, overdue};
pub(crate) use hashes::root_at;
pub(crate) use replay::{take_checkpoint, take_floor, take_page};
pub use revoked::verify_revoked;
pub use state::newest_note;
pub(crate) use state::{Known, count_waiting_entry, has_waiting_entries, record, waiting_entry_key};
pub(crate) use subjects::{Row, get as subject, successors, visit as visit_subjects};

/// How often it is noted how much time has passed since the newest checkpoint came: once a minute, a sixtieth of the shortest time
/// after which policy stops or locks anything (R-LOG-8); a write for every look would wear the disk.
const TIME_STEP: Duration = Duration::from_secs(60);

/// What the log lets this device do. The earlier a state stands here, the more it outweighs the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogState {
    /// The log has ended this device or its member: for ever.
    Revoked,
    /// Two checkpoints contradict each other: [`fork_proof`] has the proof. Nothing is sealed any more.
    Forked,
    /// The relay shows a log with fewer entries than it has shown before. Nothing is sealed until it has them again.
    RolledBack,
    /// The relay does not show entries of which another member has a signed checkpoint. Nothing is sealed until it does.
    Withheld,
    /// No checkpoint has come yet that says what this device has of the log. Nothing is sealed.
    Unconfirmed,
    /// The newest checkpoint is older than policy allows. Nothing is sealed until a newer one came.
    Stale,
    /// The newest checkpoint is older than half of what policy allows.
    Aging,
    /// All is well.
    Current,
}

impl LogState {
    /// Whether anything may be sealed.
    #[must_use]
    pub const fn allows_sealing(self) -> bool {
        matches!(self, Self::Aging | Self::Current)
    }
}

impl fmt::Display for LogState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Revoked => "this device was ended",
            Self::Forked => "the log is forked",
            Self::RolledBack => "the log was rolled back",
            Self::Withheld => "the log is withheld",
            Self::Unconfirmed => "the log is not known",
            Self::Stale => "the log was not heard of for too long",
            Self::Aging => "the log was not heard of for long",
            Self::Current => "the log is current",
        })
    }
}

/// What this device knows of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStatus {
    /// Entries that were taken over.
    pub size: u64,
    /// Root of the tree of the newest checkpoint; zeros if none came yet.
    pub root: Hash,
    /// When the log signed the newest checkpoint; 0 if none came yet.
    pub time: Timestamp,
    /// The policy in force.
    pub policy: Policy,
    /// What the log lets this device do.
    pub state: LogState,
}

/// Returns how many entries of the log this device has.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn log_size(records: &dyn Records) -> Result<u64, EngineError> {
    Ok(state::head(&record(records)?)?.size())
}

/// Returns what this device knows of the log at `now` by its own clock.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn log_status(records: &dyn Records, now: Timestamp) -> Result<LogStatus, EngineError> {
    let record = record(records)?;
    let policy = policy_of(&record)?;
    Ok(LogStatus {
        size: state::head(&record)?.size(),
        root: record.root.as_slice().try_into().unwrap_or_default(),
        time: Timestamp::from_millis(record.time),
        state: state_of(&record, &policy, now),
        policy,
    })
}

/// Returns the policy in force.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn policy(records: &dyn Records) -> Result<Policy, EngineError> {
    policy_of(&record(records)?)
}

/// Returns the proof that the log is forked, for whoever has the organisation's document; `None` if there is none
/// (R-LOG-11).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn fork_proof(records: &dyn Records) -> Result<Option<ForkProof>, EngineError> {
    load(records, &key(LOG_FORK, &[]))
}

/// Refuses if policy locks what is stored, because the log was not heard of for too long (R-ENGINE-36).
///
/// # Errors
///
/// [`EngineError::Locked`]: show nothing; connect to the relay.
pub fn check_unlocked(records: &dyn Records, now: Timestamp) -> Result<(), EngineError> {
    let record = record(records)?;
    match policy_of(&record)?.max_offline {
        Some(longest) if age(&record, now) > longest => Err(EngineError::Locked),
        _ => Ok(()),
    }
}

/// Returns the time by the log, for what this device signs itself, with `now` by its own clock.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn log_time(records: &dyn Records, now: Timestamp) -> Result<Timestamp, EngineError> {
    time(records, now)
}

/// Returns the time by the log: that of the newest checkpoint, and what has passed here since it came (R-ENGINE-31).
///
/// A clock that jumps has no say beyond the next checkpoint, and one that goes back takes nothing from what the log said.
pub(crate) fn time(records: &dyn Records, now: Timestamp) -> Result<Timestamp, EngineError> {
    let record = record(records)?;
    if record.root.is_empty() {
        return Ok(now);
    }
    Ok(Timestamp::from_millis(record.time).after(age(&record, now)))
}

/// Returns when the log signed the newest checkpoint; 0 if none came yet. It owes nothing to this device's clock.
pub(crate) fn signed_time(records: &dyn Records) -> Result<Timestamp, EngineError> {
    Ok(Timestamp::from_millis(record(records)?.time))
}

/// How long ago the newest checkpoint came: what was noted, and what this device's clock says has passed since; never less than
/// what was noted, wherever the clock goes (R-ENGINE-68).
fn age(record: &LogRecord, now: Timestamp) -> Duration {
    let since_noted = now.since(Timestamp::from_millis(record.came_at));
    Duration::from_millis(record.elapsed_ms).saturating_add(since_noted)
}

/// Whether it is time to note how much time has passed, by [`crate::Input::TimePasses`] or any other input: a minute has, or the
/// clock went back. Whoever shows what is stored asks before, so that a clock that is set back unlocks nothing (R-ENGINE-68).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn is_time_due(records: &dyn Records, now: Timestamp) -> Result<bool, EngineError> {
    let record = record(records)?;
    let noted = Timestamp::from_millis(record.came_at);
    Ok(!record.root.is_empty() && (now < noted || now.since(noted) >= TIME_STEP))
}

/// Whether [`crate::Input::TimePasses`] has something to do before anything stored is shown: [`is_time_due`], or a message's time to
/// disappear has come (R-ENGINE-110).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn is_upkeep_due(records: &dyn Records, now: Timestamp) -> Result<bool, EngineError> {
    Ok(is_time_due(records, now)? || crate::receipts::timers::are_due(records, now)?)
}

/// Notes how much time has passed since the newest checkpoint came, so that a clock that goes back takes nothing of it away.
pub(crate) fn note_time(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    if !is_time_due(records, now)? {
        return Ok(());
    }
    let mut record = record(records)?;
    record.elapsed_ms = u64::try_from(age(&record, now).as_millis()).unwrap_or(u64::MAX);
    if record.witnessed_at != 0 {
        // What has passed since witnesses were heard stays as well; 0 would say that policy names none.
        let back = record.came_at.saturating_sub(now.as_millis());
        record.witnessed_at = record.witnessed_at.saturating_sub(back).max(1);
    }
    record.came_at = now.as_millis();
    state::save_record(records, &record);
    Ok(())
}

/// How old what is known is: since the newest checkpoint came, and, if policy names witnesses, since enough of them had seen
/// one (R-ENGINE-65).
fn freshness(record: &LogRecord, policy: &Policy, now: Timestamp) -> Duration {
    match policy.witnesses.quorum() {
        0 => age(record, now),
        _ => age(record, now).max(now.since(Timestamp::from_millis(record.witnessed_at))),
    }
}

fn policy_of(record: &LogRecord) -> Result<Policy, EngineError> {
    let policy = record.policy.as_ref().map(Policy::from_proto);
    policy.unwrap_or_else(|| Ok(Policy::default())).map_err(|_| EngineError::DamagedRecord)
}

fn state_of(record: &LogRecord, policy: &Policy, now: Timestamp) -> LogState {
    let age = freshness(record, policy, now);
    match record.condition {
        _ if record.revoked => LogState::Revoked,
        state::FORKED => LogState::Forked,
        state::ROLLED_BACK => LogState::RolledBack,
        state::WITHHELD => LogState::Withheld,
        _ if !state::is_confirmed(record) => LogState::Unconfirmed,
        _ if age > policy.freshness => LogState::Stale,
        _ if age > policy.freshness.checked_div(2).unwrap_or_default() => LogState::Aging,
        _ => LogState::Current,
    }
}

/// Returns what the log lets this device do now (R-ENGINE-32).
pub(crate) fn state_now(records: &dyn Records, now: Timestamp) -> Result<LogState, EngineError> {
    let record = record(records)?;
    Ok(state_of(&record, &policy_of(&record)?, now))
}

pub(crate) fn device(records: &dyn Records, id: &DeviceId) -> Result<Option<LogDeviceRecord>, EngineError> {
    load(records, &key(LOG_DEVICE, &[id.as_bytes()]))
}

pub(crate) fn member(records: &dyn Records, id: &MemberId) -> Result<LogMemberRecord, EngineError> {
    Ok(load(records, &key(LOG_MEMBER, &[id.as_bytes()]))?.unwrap_or_default())
}

/// Whether this device has all entries of the newest checkpoint, and nothing is wrong with it.
pub(crate) fn is_whole(records: &dyn Records) -> Result<bool, EngineError> {
    let record = record(records)?;
    Ok(record.condition == state::SOUND
        && !record.root.is_empty()
        && state::head(&record)?.size() == record.size)
}

/// Whether a member has left the organisation, as far as the log is known here: the log has ended the member.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn has_left(records: &dyn Records, id: &MemberId) -> Result<bool, EngineError> {
    Ok(member(records, id)?.ended != 0)
}

/// Whether the log vouches for a device as a member's, and has ended neither (R-LOG-9).
pub(crate) fn vouches_for(
    records: &dyn Records,
    (of, id): (&MemberId, &DeviceId),
) -> Result<bool, EngineError> {
    let Some(device) = device(records, id)? else { return Ok(false) };
    let is_of = device.member_id == of.as_bytes() && !device.commitment.is_empty() && device.ended == 0;
    Ok(is_of && member(records, of)?.ended == 0)
}

/// Whether a credential counts (R-LOG-9).
pub(crate) fn counts(records: &dyn Records, credential: &Credential) -> Result<bool, EngineError> {
    let (of, id) = (credential.member_id(), credential.device_id());
    let Some(device) = device(records, &id)? else { return Ok(false) };
    let is_logged = device.commitment == credential.hash().as_slice()
        && device.issuer == short_issuer(&credential.issuer_id());
    Ok(is_logged && vouches_for(records, (&of, &id))?)
}
