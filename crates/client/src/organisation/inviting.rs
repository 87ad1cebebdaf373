//! Inviting one person, guest or bot.

use std::path::Path;
use std::time::Duration;

use chancery_identity::{DisplayName, Handle, Kind, MemberId};
use chancery_org::{Desk, Terms};
use chancery_store::KeySource;
use chancery_wire::records::Records;

use super::{Invited, org_error, with_desk};
use crate::clock;
use crate::error::{Error, ErrorCode};

/// The longest that the credentials of a guest or bot may be valid: 730 days, as long as a member's.
pub const MAX_DAYS: u32 = 730;

/// Whom to invite, and on what terms.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// The handle, which must be free.
    pub handle: &'a str,
    /// The name to show; without one the handle.
    pub name: Option<&'a str>,
    /// Department or place.
    pub unit: Option<&'a str>,
    /// A person, a guest or a bot.
    pub kind: Kind,
    /// Handles of those whom a guest or bot reaches: for a guest at least one, none for a person; a bot with none reaches
    /// everybody.
    pub reach: &'a [String],
    /// For how many days from the enrolment on the credentials of a guest or bot are valid, 1 to [`MAX_DAYS`]; without a
    /// number 90. Not for a person.
    pub days: Option<u32>,
}

/// Invites somebody on terms: reserves the handle and returns a link that works once, for `valid`.
///
/// # Errors
///
/// As [`super::invite`]; and [`ErrorCode::ReachNotAllowed`], with the handle that cannot be reached if it lies in one,
/// [`ErrorCode::ValidityNotAllowed`], [`ErrorCode::TooManyGuests`]: nobody was invited.
pub fn invite_as(
    dir: &Path,
    key: &KeySource,
    wanted: &Wanted<'_>,
    valid: Duration,
) -> Result<Invited, Error> {
    let named = |text: &str| DisplayName::parse(text).map_err(|_| Error::from(ErrorCode::NameNotAllowed));
    let handle = Handle::parse(wanted.handle).map_err(|_| ErrorCode::NameNotAllowed)?;
    let name = named(wanted.name.unwrap_or(handle.as_str()))?;
    let unit = wanted.unit.map(named).transpose()?;
    let validity = wanted.days.map(days).transpose()?;
    with_desk(dir, key, |desk, records, relay| {
        let reach = reached(records, wanted.reach).map_err(|(handle, error)| {
            error.unwrap_or_else(|| Error::with(ErrorCode::ReachNotAllowed, handle))
        })?;
        let terms = Terms { unit: unit.as_ref(), kind: wanted.kind, reach: &reach, validity };
        let invite = chancery_org::Invite { handle: &handle, name: &name, relay, lifetime: valid, terms };
        desk.invite(records, invite, clock::now(), &mut clock::rng()?).map_err(|error| org_error(&error))
    })
}

/// Reads a number of days.
pub(super) fn days(days: u32) -> Result<Duration, Error> {
    if (1..=MAX_DAYS).contains(&days) {
        return Ok(Duration::from_secs(u64::from(days).saturating_mul(24 * 60 * 60)));
    }
    Err(ErrorCode::ValidityNotAllowed.into())
}

/// Finds those who are to be reached; fails with the handle that nobody reachable has, or whose member cannot be looked up.
pub(super) fn reached(
    records: &dyn Records,
    handles: &[String],
) -> Result<Vec<MemberId>, (String, Option<Error>)> {
    let mut members = Vec::with_capacity(handles.len());
    for text in handles {
        let handle = Handle::parse(text).map_err(|_| (text.clone(), None))?;
        let found = Desk::reachable(records, &handle);
        let found = found.map_err(|error| (text.clone(), Some(org_error(&error))))?;
        members.push(found.ok_or_else(|| (text.clone(), None))?);
    }
    Ok(members)
}
