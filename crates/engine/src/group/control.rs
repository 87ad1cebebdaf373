//! Contents of groups that travel over sessions with single devices (R-CONTENT-16).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{Content, GroupControl, GroupHold, GroupWaitingRecord, OutboxItem};
use chancery_wire::records::Overlay;

use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::follow::Goes;
use crate::group::join::Entered;
use crate::group::receive::Taken;
use crate::group::turn::Turn;
use crate::group::waiting::{self, Reason, Seen, Wait};
use crate::group::{duties, follow, join, mark, need, past};
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
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (member, device): (&MemberId, &DeviceId),
    control: &GroupControl,
    (now, rng): (Timestamp, &mut dyn CryptoRng),
) -> Result<Vec<Effect>, EngineError> {
    let mut turn = Turn::new(me, records, now, rng);
    let since = Seen::now(&turn)?;
    if process(&mut turn, (member, device), control, since)? == Taken::Bad {
        turn.effects.push(Effect::Notify(Notice::Undecryptable));
    }
    turn.settle()
}

/// The same for one that may have waited since `since`.
pub(crate) fn process(
    turn: &mut Turn<'_, '_>,
    (member, device): (&MemberId, &DeviceId),
    control: &GroupControl,
    since: Seen,
) -> Result<Taken, EngineError> {
    let Ok(group) = <[u8; 16]>::try_from(control.group_id.as_slice()) else { return Ok(Taken::Bad) };
    let wait = |reason, of| Wait { name: &group, reason, of, since };
    let keep = |turn: &mut Turn<'_, '_>, wait: Wait<'_>| {
        let item = GroupWaitingRecord {
            envelope: Vec::new(),
            control: Some(control.clone()),
            from: device.as_bytes().to_vec(),
            member_id: member.as_bytes().to_vec(),
        };
        waiting::keep(turn.records, &item, wait, turn.now)
    };
    match &control.control {
        Some(Control::Welcome(welcome)) => match join::welcome(turn, &group, (member, device), welcome)? {
            Entered::Done => waiting::release(turn.records, control)?,
            Entered::NeedsLog => {
                turn.effects.push(Effect::SyncLog);
                keep(turn, wait(Reason::Log, &[]))?;
            }
            Entered::NeedsCredential(wanted) => {
                turn.want(&wanted)?;
                keep(turn, wait(Reason::Credential, wanted.as_bytes()))?;
            }
            Entered::NeedsFile(file) => keep(turn, wait(Reason::File, &file))?,
        },
        Some(Control::HandOut(content)) => {
            if follow::by_hand_out(turn, (&group, device), content)? == Goes::Waits {
                keep(turn, wait(Reason::Commit, &group))?;
            }
        }
        Some(Control::Path(path)) => match follow::by_path(turn, (&group, device), path)? {
            Ok(Goes::Done) => waiting::release(turn.records, control)?,
            Ok(Goes::Waits) => keep(turn, wait(Reason::Commit, &group))?,
            Err(file) => {
                turn.work = true;
                keep(turn, wait(Reason::File, &file))?;
            }
        },
        Some(Control::Need(content)) => need::answer(turn, (&group, member, device), content)?,
        Some(Control::Request(request)) => {
            let Some(order) = &request.order else { return Ok(Taken::Bad) };
            let effects = duties::requested(turn.me, turn.records, (&group, device), order, turn.now)?;
            turn.effects.extend(effects);
            turn.work = true;
        }
        Some(Control::Mark(content)) => return mark::take(turn, (&group, member, device), content),
        // A welcome of its sender that waits comes first.
        Some(Control::Past(_)) if waiting::wants_to_enter(turn.records, &group, device)? => {
            keep(turn, wait(Reason::Commit, &group))?;
        }
        Some(Control::Past(content)) => return past::take(turn, (&group, member, device), content),
        None => return Ok(Taken::Bad),
    }
    Ok(Taken::Well)
}
