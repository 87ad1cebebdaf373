//! Who exchanges messages with whom: guests and some bots with those alone whom their directory entry names (R-ENGINE-58).

use chancery_identity::{Credential, Kind, MemberId};
use chancery_wire::proto::DirectoryRecord;
use chancery_wire::records::Records;

use crate::device::Device;
use crate::error::EngineError;
use crate::tables::{DIRECTORY, key, load};

/// Whether this device's member and another may exchange messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// They may.
    Within,
    /// They may not.
    Outside,
    /// An entry that says so has not come yet.
    Unknown,
}

/// Says whether messages may be exchanged with a member, by what the directory says of both.
pub(crate) fn with_member(
    device: &Device,
    records: &dyn Records,
    other: &MemberId,
) -> Result<Relation, EngineError> {
    let own = device.member_id();
    if *other == own {
        return Ok(Relation::Within);
    }
    let (mine, theirs) = (entry(records, &own)?, entry(records, other)?);
    if mine.as_ref().is_some_and(|mine| !reaches(mine, other))
        || theirs.as_ref().is_some_and(|theirs| !reaches(theirs, &own))
    {
        return Ok(Relation::Outside);
    }
    let kind = own_kind(device);
    let is_unknown = (mine.is_none() && kind != Kind::Person) || (theirs.is_none() && kind.is_guest());
    Ok(if is_unknown { Relation::Unknown } else { Relation::Within })
}

/// Says the same of whoever has shown a credential, whose kind has to be that of the entry (R-ENGINE-56).
pub(crate) fn with_credential(
    device: &Device,
    records: &dyn Records,
    shown: &Credential,
) -> Result<Relation, EngineError> {
    let Some(kind) = Kind::of(shown.capabilities()) else { return Ok(Relation::Outside) };
    let member = shown.member_id();
    let said = match entry(records, &member)? {
        Some(entry) => Kind::from_number(entry.kind),
        None if member == device.member_id() => Some(own_kind(device)),
        // Of a person nothing has to be known; how far the others reach does.
        None if kind == Kind::Person => Some(kind),
        None => return Ok(Relation::Unknown),
    };
    if said == Some(kind) { with_member(device, records, &member) } else { Ok(Relation::Outside) }
}

/// Whether this device is a guest's, whose tokens make no sets and fill no slots (R-ID-24, R-ENGINE-96).
pub(crate) fn is_guest(device: &Device) -> bool {
    own_kind(device).is_guest()
}

fn own_kind(device: &Device) -> Kind {
    Kind::of(device.credential().capabilities()).unwrap_or_default()
}

fn entry(records: &dyn Records, member: &MemberId) -> Result<Option<DirectoryRecord>, EngineError> {
    load(records, &key(DIRECTORY, &[member.as_bytes()]))
}

/// Whether an entry lets its member exchange messages with another. One of a kind that is not known lets nobody.
fn reaches(entry: &DirectoryRecord, other: &MemberId) -> bool {
    let reach: Option<alloc::vec::Vec<_>> = entry.reach.iter().map(|id| MemberId::from_bytes(id)).collect();
    match (Kind::from_number(entry.kind), reach) {
        (Some(kind), Some(reach)) => kind.reaches(&reach, other),
        _ => false,
    }
}
