//! From a draft to envelopes that the relay has: the outbox and its steps.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_core::{Bundle, Session, TagChange, initiate};
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::{
    Deliver, MessageRecord, OutboxItem, PrekeyBundle, SealedStep, UploadStep, outbox_item,
};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};

use crate::addressing::unaddressed;
use crate::content;
use crate::device::Device;
use crate::directory;
use crate::effect::{Draft, Effect, Notice, Step};
use crate::error::EngineError;
use crate::messages::{MessageState, append_message, message, save_message};
use crate::peers;
use crate::queue::Queue;
use crate::tables::{OUTBOX, save};

/// Items waiting in the outbox: 100,000. A device that is offline that long is told so.
pub const MAX_OUTBOX: u64 = 100_000;

const fn outbox() -> Queue<'static> {
    Queue::new(OUTBOX, b"")
}

/// Stores a message and everything that has to happen for it.
pub(crate) fn send(
    device: &Device,
    records: &mut Overlay<'_>,
    draft: &Draft<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let member = directory::member(records, &draft.to)?.ok_or(EngineError::UnknownRecipient)?;
    let own = device.device_id();
    let mut recipients = Vec::with_capacity(member.device_ids.len());
    for id in member.device_ids {
        if id != own && peers::may_be_of(records, &id, &draft.to)? {
            recipients.push(id);
        }
    }
    if recipients.is_empty() {
        return Err(EngineError::UnknownRecipient);
    }
    if outbox().len(records)? >= MAX_OUTBOX {
        return Err(EngineError::QueueFull);
    }
    let (content, mut record) = content::from_draft(draft, &device.member_id(), now)?;
    let mut steps = Vec::new();
    for file in &draft.attachments {
        let step = outbox_item::Step::Upload(UploadStep { blob_id: file.blob_id.clone() });
        steps.push((Vec::new(), step));
    }
    for recipient in recipients {
        let step = seal_or_wait(records, (&draft.to, &recipient), &content, rng)?;
        steps.push((recipient.as_bytes().to_vec(), step));
    }
    record.pending = u32::try_from(steps.len()).unwrap_or(u32::MAX);
    if append_message(records, &record)?.is_none() {
        return Err(EngineError::Misuse("message identifier was used before"));
    }
    for (device_id, step) in steps {
        let item = OutboxItem {
            conversation: record.conversation.clone(),
            message_id: record.id.clone(),
            device_id,
            step: Some(step),
        };
        outbox().push(records, encode(&item))?;
    }
    Ok(())
}

/// Seals for a device that has a session, unless earlier messages to it still wait for one.
fn seal_or_wait(
    records: &mut Overlay<'_>,
    (member_id, recipient): (&MemberId, &DeviceId),
    content: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<outbox_item::Step, EngineError> {
    let mut peer = peers::peer(records, recipient)?;
    if peer.unsealed == 0
        && let Some(mut session) = peers::active_session(records, recipient)?
    {
        return seal(records, &mut session, content, rng);
    }
    peer.unsealed = peer.unsealed.saturating_add(1);
    peer.member_id = member_id.as_bytes().to_vec();
    peers::save_peer(records, recipient, &peer);
    Ok(outbox_item::Step::Unsealed(content.to_vec()))
}

fn seal(
    records: &mut Overlay<'_>,
    session: &mut Session,
    content: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<outbox_item::Step, EngineError> {
    let envelope = session.encrypt(content, rng).map_err(|_| EngineError::TooLarge)?;
    peers::save_session(records, session, &TagChange::default());
    Ok(sealed(envelope, rng))
}

fn sealed(envelope: Vec<u8>, rng: &mut dyn CryptoRng) -> outbox_item::Step {
    let delivery_id = random_bytes::<16>(rng).to_vec();
    outbox_item::Step::Sealed(SealedStep { delivery_id, envelope })
}

/// Returns the next thing to do for the outbox, leaving out devices that cannot be reached now.
///
/// Items for one device come in the order in which they were sent (R-ENGINE-3).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn next_step(records: &dyn Records, blocked: &BTreeSet<[u8; 16]>) -> Result<Option<Step>, EngineError> {
    let state = outbox().state(records)?;
    let mut uploads_failed = BTreeSet::new();
    let mut overtaken = BTreeSet::new();
    for item in state.first..state.next {
        let Some(stored) = outbox_item(records, item)? else { continue };
        let device_id: [u8; 16] = stored.device_id.as_slice().try_into().unwrap_or_default();
        if blocked.contains(&device_id) || overtaken.contains(&device_id) {
            continue;
        }
        if uploads_failed.contains(&stored.message_id) {
            // Later messages to the device must not overtake this one either.
            if !stored.device_id.is_empty() {
                overtaken.insert(device_id);
            }
            continue;
        }
        let step = match stored.step {
            Some(outbox_item::Step::Upload(upload)) => {
                let blob_id = upload.blob_id.try_into().map_err(|_| EngineError::DamagedRecord)?;
                if blocked.contains(&blob_id) {
                    // The message must not overtake its attachment.
                    uploads_failed.insert(stored.message_id);
                    continue;
                }
                Step::Upload { item, blob_id }
            }
            Some(outbox_item::Step::Unsealed(_)) => {
                let recipient = DeviceId::new(device_id);
                match peers::active_session(records, &recipient)? {
                    Some(_) => Step::Seal { item, device_id },
                    None => Step::Claim { item, device_id },
                }
            }
            Some(outbox_item::Step::Sealed(sealed)) => Step::Deliver {
                item,
                deliver: Deliver {
                    mailbox: stored.device_id,
                    delivery_id: sealed.delivery_id,
                    token: Vec::new(),
                    envelope: sealed.envelope,
                },
            },
            None => return Err(EngineError::DamagedRecord),
        };
        return Ok(Some(step));
    }
    Ok(None)
}

/// Returns the blobs that wait for their upload: what else lies in the spool is of no use to anybody.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn waiting_uploads(records: &dyn Records) -> Result<BTreeSet<[u8; 16]>, EngineError> {
    let state = outbox().state(records)?;
    let mut blobs = BTreeSet::new();
    for item in state.first..state.next {
        let step = outbox_item(records, item)?.and_then(|stored| stored.step);
        if let Some(outbox_item::Step::Upload(upload)) = step {
            blobs.insert(upload.blob_id.try_into().map_err(|_| EngineError::DamagedRecord)?);
        }
    }
    for waiting in unaddressed(records)? {
        for file in waiting.text.attachments {
            blobs.insert(file.blob_id.try_into().map_err(|_| EngineError::DamagedRecord)?);
        }
    }
    Ok(blobs)
}

fn outbox_item(records: &dyn Records, item: u64) -> Result<Option<OutboxItem>, EngineError> {
    match records.get(&outbox().item_key(item))? {
        None => Ok(None),
        Some(bytes) => decode(&bytes, Limit::RECORD)
            .map(|item| Some(item.into_unchecked()))
            .map_err(|_| EngineError::DamagedRecord),
    }
}

/// Seals a waiting item with the session that exists by now.
pub(crate) fn seal_waiting(
    records: &mut Overlay<'_>,
    item: u64,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    // Another process may have dealt with the item in the meantime.
    let Some((mut stored, recipient, content)) = waiting(records, item)? else { return Ok(()) };
    let Some(mut session) = peers::active_session(records, &recipient)? else { return Ok(()) };
    stored.step = Some(seal(records, &mut session, &content, rng)?);
    store_sealed(records, item, &recipient, &stored)
}

/// Makes a session from a bundle, verified for exactly the device that is written to (R-ENGINE-8), and seals
/// the waiting item with it.
pub(crate) fn take_bundle(
    device: &Device,
    records: &mut Overlay<'_>,
    (item, bundle): (u64, Unverified<PrekeyBundle>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Some((mut stored, recipient, content)) = waiting(records, item)? else { return Ok(Vec::new()) };
    if peers::active_session(records, &recipient)?.is_some() {
        seal_waiting(records, item, rng)?;
        return Ok(Vec::new());
    }
    let member = MemberId::from_bytes(&stored.conversation).ok_or(EngineError::DamagedRecord)?;
    let Ok(bundle) = Bundle::verify(bundle, device.organisation(), (&member, &recipient), now) else {
        return Ok([Effect::Notify(Notice::BundleRejected)].into());
    };
    let Ok(initiated) = initiate(device.local(), &bundle, &content, now, rng) else {
        return Ok([Effect::Notify(Notice::BundleRejected)].into());
    };
    peers::add_session(records, &initiated.session, &member)?;
    stored.step = Some(sealed(initiated.envelope, rng));
    store_sealed(records, item, &recipient, &stored)?;
    Ok(Vec::new())
}

fn waiting(records: &dyn Records, item: u64) -> Result<Option<(OutboxItem, DeviceId, Vec<u8>)>, EngineError> {
    let Some(stored) = outbox_item(records, item)? else { return Ok(None) };
    let Some(outbox_item::Step::Unsealed(content)) = stored.step.clone() else { return Ok(None) };
    let recipient = DeviceId::from_bytes(&stored.device_id).ok_or(EngineError::DamagedRecord)?;
    Ok(Some((stored, recipient, content)))
}

fn store_sealed(
    records: &mut Overlay<'_>,
    item: u64,
    recipient: &DeviceId,
    stored: &OutboxItem,
) -> Result<(), EngineError> {
    save(records, outbox().item_key(item), stored);
    let mut peer = peers::peer(records, recipient)?;
    peer.unsealed = peer.unsealed.saturating_sub(1);
    peers::save_peer(records, recipient, &peer);
    Ok(())
}

/// Ends an item, well or badly, and brings its message up to date.
pub(crate) fn finish(
    device: &Device,
    records: &mut Overlay<'_>,
    item: u64,
    failed: bool,
) -> Result<(), EngineError> {
    let Some(stored) = outbox_item(records, item)? else { return Ok(()) };
    outbox().remove(records, item)?;
    if let Some(outbox_item::Step::Unsealed(_)) = stored.step {
        let recipient = DeviceId::from_bytes(&stored.device_id).ok_or(EngineError::DamagedRecord)?;
        let mut peer = peers::peer(records, &recipient)?;
        peer.unsealed = peer.unsealed.saturating_sub(1);
        peers::save_peer(records, &recipient, &peer);
    }
    let Some(mut record) = message(records, &device.member_id(), &stored.message_id)? else {
        return Ok(());
    };
    record.pending = record.pending.saturating_sub(1);
    if failed {
        record.state = MessageState::Failed as u32;
        drop_steps(records, &record)?;
        record.pending = 0;
    } else if record.pending == 0 && record.state == MessageState::Queued as u32 {
        record.state = MessageState::Sent as u32;
    }
    save_message(records, &record);
    Ok(())
}

/// Removes what is left in the outbox of a message that failed: half of it is of no use to anybody.
fn drop_steps(records: &mut Overlay<'_>, failed: &MessageRecord) -> Result<(), EngineError> {
    let state = outbox().state(records)?;
    for item in state.first..state.next {
        let Some(stored) = outbox_item(records, item)? else { continue };
        if stored.message_id != failed.id {
            continue;
        }
        if let Some(outbox_item::Step::Unsealed(_)) = stored.step {
            let recipient = DeviceId::from_bytes(&stored.device_id).ok_or(EngineError::DamagedRecord)?;
            let mut peer = peers::peer(records, &recipient)?;
            peer.unsealed = peer.unsealed.saturating_sub(1);
            peers::save_peer(records, &recipient, &peer);
        }
        outbox().remove(records, item)?;
    }
    Ok(())
}
