//! When something came from a device of a group, be it over a session, as a message, or as a commit: who is asked, and who is to
//! hand on a secret, should be there.

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;
use chancery_wire::proto::GroupSenderRecord;
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::numbers;
use crate::tables::{GROUP_SENDER, key, load, save};

/// What is lately, in milliseconds: a day, in which whoever is at work is heard.
const LATELY: u64 = 24 * 3_600_000;

/// Returns when something last came; 0 if nothing ever did.
pub(crate) fn at(records: &dyn Records, group: &[u8; 16], device: &DeviceId) -> Result<u64, EngineError> {
    let sender: Option<GroupSenderRecord> = load(records, &key(GROUP_SENDER, &[group, device.as_bytes()]))?;
    Ok(numbers::numbers(records, device)?.active_at.max(sender.map_or(0, |sender| sender.at)))
}

/// Whether something came within a day. By a clock that was ahead it did.
pub(crate) fn lately(
    records: &dyn Records,
    group: &[u8; 16],
    device: &DeviceId,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let at = at(records, group, device)?;
    Ok(at != 0 && at.saturating_add(LATELY) > now.as_millis())
}

/// Notes that something came.
pub(crate) fn note(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    device: &DeviceId,
    now: Timestamp,
) -> Result<(), EngineError> {
    let name = key(GROUP_SENDER, &[group, device.as_bytes()]);
    let sender: GroupSenderRecord = load(records, &name)?.unwrap_or_default();
    save(records, name, &GroupSenderRecord { at: now.as_millis(), ..sender });
    Ok(())
}
