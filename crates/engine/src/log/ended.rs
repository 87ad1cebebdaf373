//! Devices and members that the log has ended.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::LogEndingRecord;
use chancery_wire::records::{Overlay, Records};

use crate::addressing;
use crate::device::Device;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::ending;
use crate::error::EngineError;
use crate::log::state;
use crate::messages;
use crate::peers;
use crate::sending;
use crate::tables::{LOG_ENDING, key, load, save};

/// How long the sessions with an ended device stay at most, while the relay does not say that it has pushed all that it had: a
/// day. A full mailbox of 256 MiB takes a bad line some hours; whoever has the ended device's keys and a relay that never says it
/// would otherwise be read for ever (R-ENGINE-67).
const ENDED_SESSIONS_STAY: Duration = Duration::from_secs(24 * 3600);

fn waiting(records: &dyn Records) -> Result<LogEndingRecord, EngineError> {
    Ok(load(records, &key(LOG_ENDING, &[]))?.unwrap_or_default())
}

/// Whether a device was ended and what it sent before is still read.
pub(crate) fn is_ending(records: &dyn Records, device: &DeviceId) -> Result<bool, EngineError> {
    Ok(waiting(records)?.device_ids.iter().any(|id| id == device.as_bytes()))
}

/// Ends devices and members at once, as far as anything is sent to them (R-ENGINE-35).
pub(crate) fn take(
    device: &Device,
    records: &mut Overlay<'_>,
    (devices, members): (&[DeviceId], &[MemberId]),
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    let mut ended: BTreeSet<DeviceId> = devices.iter().copied().collect();
    for member in members {
        ended.extend(devices_of(records, member)?);
        effects.push(Effect::Notify(Notice::MemberLeft { member: *member }));
        if messages::has_conversation(records, member)? {
            let number = messages::append_left(records, member)?;
            effects.push(Effect::Notify(Notice::EventStored(number)));
        }
    }
    if ended.remove(&device.device_id()) || members.contains(&device.member_id()) {
        let mut log = state::record(records)?;
        log.revoked = true;
        state::save_record(records, &log);
        effects.push(Effect::Notify(Notice::Revoked));
    }
    for id in &ended {
        let mut peer = peers::peer(records, id)?;
        ending::drop_waiting(device, records, id)?;
        if peer.indexed {
            // Read anew: what waited has changed it.
            peer = peers::peer(records, id)?;
            peer.ended = true;
            peers::save_peer(records, id, &peer);
            let mut waiting = waiting(records)?;
            if waiting.device_ids.is_empty() {
                waiting.since = now.as_millis();
            }
            waiting.device_ids.push(id.as_bytes().to_vec());
            save(records, key(LOG_ENDING, &[]), &waiting);
        }
    }
    if !members.is_empty() {
        addressing::end_for_ended(device, records, now)?;
    }
    Ok(effects)
}

/// Returns the devices of a member that anything was ever sealed for, or could be.
fn devices_of(records: &dyn Records, member: &MemberId) -> Result<Vec<DeviceId>, EngineError> {
    let mut devices = directory::member(records, member)?.map_or_else(Vec::new, |found| found.device_ids);
    for id in peers::all(records)?.into_iter().chain(sending::recipients_waiting(records)?) {
        if peers::peer(records, &id)?.member_id == member.as_bytes() {
            devices.push(id);
        }
    }
    Ok(devices)
}

/// What ended devices sent before their end has been read: their sessions go (R-ENGINE-35).
pub(crate) fn caught_up(device: &Device, records: &mut Overlay<'_>) -> Result<(), EngineError> {
    let waiting = waiting(records)?;
    if waiting.device_ids.is_empty() {
        return Ok(());
    }
    for id in waiting.device_ids.iter().filter_map(|id| DeviceId::from_bytes(id)) {
        ending::remove_device(device, records, &id)?;
    }
    records.delete(key(LOG_ENDING, &[]));
    Ok(())
}

/// The same once the relay has had [`ENDED_SESSIONS_STAY`] to push what was sent before, whatever it says (R-ENGINE-67).
pub(crate) fn overdue(device: &Device, records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    let mut waiting = waiting(records)?;
    if waiting.device_ids.is_empty() {
        return Ok(());
    }
    let since = Timestamp::from_millis(waiting.since);
    if since == Timestamp::default() || since > now {
        // Of a version that did not note it, or of a clock that was ahead.
        waiting.since = now.as_millis();
        save(records, key(LOG_ENDING, &[]), &waiting);
        return Ok(());
    }
    if now.since(since) < ENDED_SESSIONS_STAY { Ok(()) } else { caught_up(device, records) }
}
