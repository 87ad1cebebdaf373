//! From a draft to envelopes that the relay has: the outbox and its steps.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_core::{Bundle, MAX_CONTENT, MAX_REFRESH_CONTENT, Session, TagChange, initiate};
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{
    Content, Deliver, GroupHold, Hold, MessageRecord, OutboxItem, PrekeyBundle, SealedStep, UploadStep,
    outbox_item,
};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};

use crate::addressing::unaddressed;
use crate::amend;
use crate::content;
use crate::device::Device;
use crate::directory;
use crate::effect::{Draft, Effect, Notice, Step};
use crate::ending;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group;
use crate::heal;
use crate::log;
use crate::messages::append_message;
use crate::numbers;
use crate::peers::{self, Origin};
use crate::queue::Queue;
use crate::reach::{self, Relation};
use crate::receipts;
use crate::tables::{OUTBOX, save};
use crate::target;

/// Items waiting in the outbox: 100,000. A device that is offline that long is told so.
const MAX_OUTBOX: u64 = 100_000;
/// Items waiting for one device: 1,000, as many as are held until it acknowledges them (R-ENGINE-18). A device that
/// was lost must not fill the outbox for all others.
pub const MAX_FOR_DEVICE: u64 = 1000;

pub(crate) const fn outbox() -> Queue<'static> {
    Queue::new(OUTBOX, b"")
}

/// Whether nothing more may wait.
pub(crate) fn is_full(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(room(records)? == 0)
}

/// How many more items may wait.
pub(crate) fn room(records: &dyn Records) -> Result<u64, EngineError> {
    Ok(MAX_OUTBOX.saturating_sub(outbox().len(records)?))
}

/// How many more items may wait for one device.
pub(crate) fn room_for(records: &dyn Records, device: &DeviceId) -> Result<u64, EngineError> {
    let waiting = target::waiting(records, device.as_bytes())?;
    Ok(room(records)?.min(MAX_FOR_DEVICE.saturating_sub(waiting)))
}

/// Appends an item.
pub(crate) fn push(records: &mut Overlay<'_>, item: &OutboxItem) -> Result<(), EngineError> {
    target::joined(records, item)?;
    outbox().push(records, encode(item)).map(drop)
}

/// Stores a message and everything that has to happen for it. Who gets it is fixed here (R-CONTENT-8). It says when it
/// was written, which may be long ago; what is waited for from now on counts from now.
pub(crate) fn send(
    device: &Device,
    records: &mut Overlay<'_>,
    (draft, written_at): (&Draft<'_>, Timestamp),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let record = content::from_draft(draft, &device.member_id(), written_at)?;
    dispatch(device, records, (record, &draft.to), now, rng)
}

/// Stores a message or an act, and everything that has to happen for it. Who gets it is fixed here (R-CONTENT-8).
pub(crate) fn dispatch(
    device: &Device,
    records: &mut Overlay<'_>,
    (mut record, to): (MessageRecord, &MemberId),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let own = device.member_id();
    let recipients = recipients(device, records, to, now)?;
    if is_full(records)? {
        return Err(EngineError::QueueFull);
    }
    if let Some(text) = &mut record.text {
        text.disappear_after = receipts::timer_of(records, to.as_bytes())?;
    }
    let mut items = Vec::new();
    let item = OutboxItem {
        conversation: record.conversation.clone(),
        message_id: record.id.clone(),
        ..OutboxItem::default()
    };
    for file in record.text.iter().flat_map(|text| &text.attachments) {
        let step = outbox_item::Step::Upload(UploadStep { blob_id: file.blob_id.clone() });
        items.push(OutboxItem { step: Some(step), ..item.clone() });
    }
    for (recipient, copy) in recipients {
        if target::waiting(records, recipient.as_bytes())? >= MAX_FOR_DEVICE {
            continue;
        }
        let content = content::of_record(&record, copy);
        let member = if copy { &own } else { to };
        let step = Some(seal_or_wait(records, (member, &recipient), &content, now, rng)?);
        items.push(OutboxItem { device_id: recipient.as_bytes().to_vec(), step, copy, ..item.clone() });
    }
    let counted = || items.iter().filter(|item| is_counted(item, &own));
    if counted().all(|item| item.device_id.is_empty()) {
        return Err(EngineError::QueueFull);
    }
    let counted = counted().count();
    record.pending = u32::try_from(counted).unwrap_or(u32::MAX);
    if !store(records, &record)? {
        return Err(EngineError::Misuse("message identifier was used before"));
    }
    items.iter().try_for_each(|item| push(records, item))
}

/// Stores an own message in its conversation, or an act beside it; `false` if its identifier was used before.
pub(crate) fn store(records: &mut Overlay<'_>, record: &MessageRecord) -> Result<bool, EngineError> {
    match record.done {
        Some(_) => amend::store_own(records, record),
        None => Ok(append_message(records, record)?.is_some()),
    }
}

/// Returns the recipient's devices and, marked, the own member's others, as the directory has them now.
fn recipients(
    device: &Device,
    records: &dyn Records,
    to: &MemberId,
    now: Timestamp,
) -> Result<Vec<(DeviceId, bool)>, EngineError> {
    let own = device.member_id();
    match reach::with_member(device, records, to)? {
        Relation::Within => {}
        Relation::Outside => return Err(EngineError::OutOfReach),
        Relation::Unknown if directory::member(records, to)?.is_none() => {
            return Err(EngineError::UnknownRecipient);
        }
        // One's own entry has not come yet.
        Relation::Unknown => return Err(EngineError::OutdatedRecipient),
    }
    let mut has_expired = false;
    let mut recipients = Vec::new();
    for member_id in [Some(*to), (*to != own).then_some(own)].into_iter().flatten() {
        let Some(member) = directory::member(records, &member_id)? else { continue };
        // Only whom both the entry that counts and the log name (R-ENGINE-32).
        if !directory::counts(records, &member_id)? {
            // One's own other devices must not miss it either (R-CONTENT-8).
            if !log::has_left(records, &member_id)? {
                return Err(EngineError::OutdatedRecipient);
            }
            continue;
        }
        for id in member.device_ids {
            if id == device.device_id() || !directory::is_recipient(records, (&member_id, &id))? {
                continue;
            }
            if peers::is_expired(records, &id, now)? {
                has_expired = true;
            } else {
                recipients.push((id, member_id == own));
            }
        }
        if recipients.is_empty() {
            break;
        }
    }
    if recipients.is_empty() || (*to != own && recipients.iter().all(|(_, copy)| *copy)) {
        return Err(if has_expired { EngineError::Expired } else { EngineError::UnknownRecipient });
    }
    Ok(recipients)
}

/// Whether the state of a message depends on an item: copies for own devices are of no concern to it, unless it is
/// a note to oneself.
pub(crate) fn is_counted(item: &OutboxItem, own: &MemberId) -> bool {
    !item.message_id.is_empty() && (!item.copy || item.conversation == own.as_bytes())
}

/// Seals for a device that has a session, unless earlier messages to it still wait for one.
pub(crate) fn seal_or_wait(
    records: &mut Overlay<'_>,
    (member_id, recipient): (&MemberId, &DeviceId),
    content: &Content,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<outbox_item::Step, EngineError> {
    let mut peer = peers::peer(records, recipient)?;
    // A note has no number, and must not wait for what the log keeps from being sealed (R-ENGINE-33).
    if (peer.unsealed == 0 || is_note(content))
        && let Some(mut session) = peers::active_session(records, recipient)?
        && may_seal(records, (member_id, recipient), content, now)?
    {
        return seal(records, &mut session, content, now, rng);
    }
    peer.unsealed = peer.unsealed.saturating_add(1);
    peer.member_id = member_id.as_bytes().to_vec();
    peers::save_peer(records, recipient, &peer);
    Ok(outbox_item::Step::Unsealed(encode(content)))
}

/// Whether a content may be sealed for a device: what the log is now, and whether the device may be written to (R-ENGINE-32).
///
/// Checkpoints go to it whatever the log is, and whatever entry is missing here, so that the other side gets the proof of what
/// is wrong.
fn may_seal(
    records: &dyn Records,
    recipient: (&MemberId, &DeviceId),
    content: &Content,
    now: Timestamp,
) -> Result<bool, EngineError> {
    if peers::is_expired(records, recipient.1, now)? {
        return Ok(false);
    }
    if is_note(content) {
        return log::vouches_for(records, recipient);
    }
    Ok(log::state_now(records, now)?.allows_sealing() && directory::is_recipient(records, recipient)?)
}

pub(crate) const fn is_note(content: &Content) -> bool {
    matches!(content.body, Some(Body::LogNote(_)))
}

pub(crate) fn seal(
    records: &mut Overlay<'_>,
    session: &mut Session,
    content: &Content,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<outbox_item::Step, EngineError> {
    let mut content = content.clone();
    numbers::complete(records, &session.peer_device(), &mut content, now)?;
    if !numbers::is_passing(&content) {
        log::add_claim(records, &session.peer_device(), &mut content, false, MAX_CONTENT)?;
    }
    let envelope = session.encrypt(&encode(&content), rng).map_err(|_| EngineError::TooLarge)?;
    peers::save_session(records, session, &TagChange::default());
    Ok(sealed(envelope, session, rng))
}

/// Seals a message that heals the session, and says nothing but what is acknowledged.
pub(crate) fn refresh(
    records: &mut Overlay<'_>,
    session: &mut Session,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<outbox_item::Step, EngineError> {
    let mut content = Content::default();
    numbers::complete(records, &session.peer_device(), &mut content, now)?;
    log::add_claim(records, &session.peer_device(), &mut content, false, MAX_REFRESH_CONTENT)?;
    let envelope = session
        .refresh_with(&encode(&content), now, rng)
        .map_err(|_| EngineError::Misuse("the session is used up"))?;
    peers::save_session(records, session, &TagChange::default());
    Ok(sealed(envelope, session, rng))
}

fn sealed(envelope: Vec<u8>, session: &Session, rng: &mut dyn CryptoRng) -> outbox_item::Step {
    let delivery_id = random_bytes::<16>(rng).to_vec();
    outbox_item::Step::Sealed(SealedStep { delivery_id, envelope, session_id: session.id().to_vec() })
}

/// Returns the next thing to do for the outbox, leaving out devices that cannot be reached now.
///
/// Items for one device come in the order in which they were sent (R-ENGINE-3).
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn next_step(records: &dyn Records, blocked: &BTreeSet<[u8; 16]>) -> Result<Option<Step>, EngineError> {
    let mut uploads_failed = BTreeSet::new();
    let mut overtaken = BTreeSet::new();
    for item in outbox().numbers(records)? {
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
                if let Some(step) = note_behind(records, item, &recipient)? {
                    step
                } else if usable_session(records, &recipient, stored.healing_since)?.is_some() {
                    Step::Seal { item, device_id }
                } else {
                    Step::Claim { item, device_id }
                }
            }
            Some(outbox_item::Step::Sealed(sealed)) => match stored.hold {
                None => deliver(item, stored.device_id, sealed),
                Some(hold) => held(item, hold, (stored.device_id, sealed)),
            },
            None => return Err(EngineError::DamagedRecord),
        };
        return Ok(Some(step));
    }
    Ok(None)
}

fn deliver(item: u64, mailbox: Vec<u8>, sealed: SealedStep) -> Step {
    let (delivery_id, envelope) = (sealed.delivery_id, sealed.envelope);
    Step::Deliver { item, deliver: Deliver { mailbox, delivery_id, token: Vec::new(), envelope } }
}

/// What goes with a commit is not delivered before that has won (R-GROUP-18).
fn held(item: u64, hold: GroupHold, (mailbox, sealed): (Vec<u8>, SealedStep)) -> Step {
    let (delivery_id, envelope) = (sealed.delivery_id, sealed.envelope);
    let deliver = Some(Deliver { mailbox, delivery_id, token: Vec::new(), envelope });
    Step::Hold { item, hold: Hold { deliver, slot: hold.slot, hash: hold.hash } }
}

/// Returns the delivery of a note that was sealed for a device though an earlier item waits to be sealed: it overtakes that
/// (R-ENGINE-33), and nothing else does, such as what was sealed before an earlier item was taken back.
fn note_behind(
    records: &dyn Records,
    waiting: u64,
    recipient: &DeviceId,
) -> Result<Option<Step>, EngineError> {
    if target::waiting(records, recipient.as_bytes())? < 2 {
        return Ok(None);
    }
    for item in outbox().numbers(records)?.filter(|item| *item > waiting) {
        let Some(stored) = outbox_item(records, item)? else { continue };
        if let Some(outbox_item::Step::Sealed(sealed)) = stored.step
            && stored.note
            && stored.device_id == recipient.as_bytes()
        {
            return Ok(Some(deliver(item, stored.device_id, sealed)));
        }
    }
    Ok(None)
}

/// Returns the blobs that wait for their upload: what else lies in the spool is of no use to anybody.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn waiting_uploads(records: &dyn Records) -> Result<BTreeSet<[u8; 16]>, EngineError> {
    let mut blobs = BTreeSet::new();
    for item in outbox().numbers(records)? {
        let step = outbox_item(records, item)?.and_then(|stored| stored.step);
        if let Some(outbox_item::Step::Upload(upload)) = step {
            blobs.insert(upload.blob_id.try_into().map_err(|_| EngineError::DamagedRecord)?);
        }
    }
    for waiting in unaddressed(records)?.into_iter().filter(|letter| letter.failed.is_none()) {
        for file in waiting.text.attachments {
            blobs.insert(file.blob_id.try_into().map_err(|_| EngineError::DamagedRecord)?);
        }
    }
    Ok(blobs)
}

pub(crate) fn outbox_item(records: &dyn Records, item: u64) -> Result<Option<OutboxItem>, EngineError> {
    match records.get(&outbox().item_key(item))? {
        None => Ok(None),
        Some(bytes) => decode(&bytes, Limit::RECORD)
            .map(|item| Some(item.into_unchecked()))
            .map_err(|_| EngineError::DamagedRecord),
    }
}

/// Returns the session that an item may be sealed with: to heal, one that is newer than what made it necessary.
fn usable_session(
    records: &dyn Records,
    recipient: &DeviceId,
    healing_since: u64,
) -> Result<Option<Session>, EngineError> {
    if healing_since != 0 {
        let peer = peers::peer(records, recipient)?;
        if peers::note(&peer, &peer.active).is_none_or(|note| note.made_at <= healing_since) {
            return Ok(None);
        }
    }
    peers::active_session(records, recipient)
}

/// Seals a waiting item with the session that exists by now.
pub(crate) fn seal_waiting(
    device: &Device,
    records: &mut Overlay<'_>,
    item: u64,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    // Another process may have dealt with the item in the meantime.
    let Some((mut stored, recipient)) = waiting(records, item)? else { return Ok(()) };
    let Some(mut session) = usable_session(records, &recipient, stored.healing_since)? else {
        return Ok(());
    };
    let content = content_of(records, &stored, &recipient)?;
    let member = peers::peer_member(records, &recipient)?;
    if reach::with_member(device, records, &member)? == Relation::Outside {
        return Err(EngineError::OutOfReach);
    }
    if peers::is_expired(records, &recipient, now)? {
        return Err(EngineError::Expired);
    }
    if !may_seal(records, (&member, &recipient), &content, now)? {
        let state = log::state_now(records, now)?;
        return Err(if state.allows_sealing() { EngineError::NotVouched } else { EngineError::Log(state) });
    }
    stored.step = Some(seal(records, &mut session, &content, now, rng)?);
    store_sealed(records, item, &recipient, &stored)
}

/// Makes a session from a bundle, verified for exactly the device that is written to (R-ENGINE-8), and seals
/// the waiting item with it.
pub(crate) fn take_bundle(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (item, bundle): (u64, Unverified<PrekeyBundle>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Some((mut stored, recipient)) = waiting(records, item)? else { return Ok(Vec::new()) };
    if usable_session(records, &recipient, stored.healing_since)?.is_some() {
        seal_waiting(me.device, records, item, now, rng)?;
        return Ok(Vec::new());
    }
    let state = log::state_now(records, now)?;
    if !state.allows_sealing() {
        return Err(EngineError::Log(state));
    }
    let member = if stored.copy {
        me.member_id()
    } else {
        MemberId::from_bytes(&stored.conversation).ok_or(EngineError::DamagedRecord)?
    };
    let rejected = Ok([Effect::Notify(Notice::BundleRejected)].into());
    let time = log::time(records, now)?;
    let Ok(bundle) = Bundle::verify(bundle, me.believed(), (&member, &recipient), time) else {
        return rejected;
    };
    if !log::counts(records, bundle.credential())? {
        let unlogged = Notice::UnloggedCredential { device: recipient, member };
        return Ok([Effect::Notify(unlogged), Effect::Notify(Notice::BundleRejected)].into());
    }
    if !directory::is_recipient(records, (&member, &recipient))? {
        return Err(EngineError::NotVouched);
    }
    if reach::with_credential(me.device, records, bundle.credential())? != Relation::Within {
        return Ok(
            [Effect::Notify(Notice::OutOfReach { member }), Effect::Notify(Notice::BundleRejected)].into()
        );
    }
    if bundle.is_recorded() && peers::peer(records, &recipient)?.guessing && stored.healing_since != 0 {
        put_off(records, (item, &stored), &recipient, now)?;
        return Ok(Vec::new());
    }
    // A number is given only if it is used.
    let mut trial = Overlay::new(records);
    let mut content = match &stored.hold {
        None => content_of(&trial, &stored, &recipient)?,
        Some(_) => Content::default(),
    };
    numbers::complete(&mut trial, &recipient, &mut content, now)?;
    content.begun_at = peers::begin_at(&peers::peer(&trial, &recipient)?, now);
    log::add_claim(&mut trial, &recipient, &mut content, true, MAX_CONTENT)?;
    let Ok(initiated) = initiate(me.local(), &bundle, &encode(&content), time, rng) else {
        return rejected;
    };
    let batch = trial.into_batch();
    records.absorb(batch);
    let (healing, begun_at) = (stored.healing_since != 0, content.begun_at);
    let origin = Origin { began_here: true, healing, begun_at };
    peers::add_session(records, &initiated.session, (&member, origin), now)?;
    peers::holds_until(records, &recipient, bundle.credential().not_after())?;
    let step = sealed(initiated.envelope, &initiated.session, rng);
    if stored.hold.is_some() {
        group::hold_behind(records, (item, &stored), step)?;
        return Ok(Vec::new());
    }
    stored.step = Some(step);
    store_sealed(records, item, &recipient, &stored)?;
    Ok(Vec::new())
}

/// Puts off a new session that is begun on a guess: nothing else for the device waits for it (R-ENGINE-25).
pub(crate) fn put_off(
    records: &mut Overlay<'_>,
    (item, stored): (u64, &OutboxItem),
    recipient: &DeviceId,
    now: Timestamp,
) -> Result<(), EngineError> {
    ending::remove(records, item, stored)?;
    no_longer_waits(records, recipient, stored)?;
    heal::put_off(records, recipient, now)
}

/// Returns the devices that something in the outbox waits for.
pub(crate) fn recipients_waiting(records: &dyn Records) -> Result<BTreeSet<DeviceId>, EngineError> {
    let mut devices = BTreeSet::new();
    for item in outbox().numbers(records)? {
        let stored = outbox_item(records, item)?;
        devices.extend(stored.and_then(|stored| DeviceId::from_bytes(&stored.device_id)));
    }
    Ok(devices)
}

fn waiting(records: &dyn Records, item: u64) -> Result<Option<(OutboxItem, DeviceId)>, EngineError> {
    let Some(stored) = outbox_item(records, item)? else { return Ok(None) };
    let Some(outbox_item::Step::Unsealed(_)) = stored.step else { return Ok(None) };
    let recipient = recipient_of(&stored)?;
    Ok(Some((stored, recipient)))
}

pub(crate) fn recipient_of(stored: &OutboxItem) -> Result<DeviceId, EngineError> {
    DeviceId::from_bytes(&stored.device_id).ok_or(EngineError::DamagedRecord)
}

/// Returns the content of an item that waits to be sealed.
fn content_of(
    records: &dyn Records,
    stored: &OutboxItem,
    recipient: &DeviceId,
) -> Result<Content, EngineError> {
    match &stored.step {
        _ if stored.healing_since != 0 => heal::content(records, recipient),
        Some(outbox_item::Step::Unsealed(content)) => decode::<Content>(content, Limit::RECORD)
            .map(|content| content.into_unchecked())
            .map_err(|_| EngineError::DamagedRecord),
        _ => Err(EngineError::DamagedRecord),
    }
}

fn store_sealed(
    records: &mut Overlay<'_>,
    item: u64,
    recipient: &DeviceId,
    stored: &OutboxItem,
) -> Result<(), EngineError> {
    save(records, outbox().item_key(item), stored);
    no_longer_waits(records, recipient, stored)
}

/// An item of a device waits for a session no longer.
pub(crate) fn no_longer_waits(
    records: &mut Overlay<'_>,
    recipient: &DeviceId,
    stored: &OutboxItem,
) -> Result<(), EngineError> {
    let mut peer = peers::peer(records, recipient)?;
    if stored.healing_since == 0 {
        peer.unsealed = peer.unsealed.saturating_sub(1);
    } else {
        peer.healing = false;
        peer.guessing = false;
    }
    peers::save_peer(records, recipient, &peer);
    Ok(())
}

#[cfg(test)]
mod tests;
