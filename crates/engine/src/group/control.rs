//! Contents of groups that travel over sessions with single devices.

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{Content, GroupControl, GroupHold, OutboxItem};
use chancery_wire::records::Overlay;

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::{log, peers, sending, target};

/// Stores a content for a device, in the outbox; `hold` if it goes with a commit. Returns the item; `None` if nothing may be sent
/// to the device, or too much waits for it: what it lacks it will ask for.
pub(crate) fn send(
    records: &mut Overlay<'_>,
    (member, device): (&MemberId, &DeviceId),
    (group, control): (&[u8; 16], Control),
    hold: Option<GroupHold>,
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Option<u64>, EngineError> {
    if sending::room_for(records, device)? == 0
        || peers::is_out(&peers::peer(records, device)?)
        || !log::vouches_for(records, (member, device))?
    {
        return Ok(None);
    }
    let body = Body::Group(GroupControl { group_id: group.to_vec(), control: Some(control) });
    let content = Content { body: Some(body), ..Content::default() };
    let step = sending::seal_or_wait(records, (member, device), &content, now, rng)?;
    let item = OutboxItem {
        conversation: member.as_bytes().to_vec(),
        device_id: device.as_bytes().to_vec(),
        step: Some(step),
        hold,
        ..OutboxItem::default()
    };
    target::joined(records, &item)?;
    sending::outbox().push(records, chancery_wire::encode(&item)).map(Some)
}

/// Takes over a content that came over a session with a device.
pub(crate) fn take(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_member, _device): (&MemberId, &DeviceId),
    _control: &GroupControl,
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    Ok(Vec::new())
}
