//! What was delivered and what was read (R-CONTENT-28 to -31, R-ENGINE-107 to R-ENGINE-109).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{Content, EarlyReadsRecord, MemberReceipt, MessageRecord, OutboxItem, Receipt};
use chancery_wire::records::{Overlay, Records};

use crate::conversations;
use crate::device::Device;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::ending::{self, End};
use crate::error::EngineError;
use crate::group;
use crate::messages::{MessageState, append_receipt, message, save_message};
use crate::peers;
use crate::reach::{self, Relation};
use crate::sending::{self, MAX_FOR_DEVICE};
use crate::shown;
use crate::tables::{EARLY_READS, key, load, save};

mod settings;
pub(crate) mod timers;
mod typing;

pub use settings::{ReceiptSettings, disappearing, is_disappearing_time, receipt_settings};
pub(crate) use settings::{timer_of, told};

/// Messages that one receipt names: 256, 9 KiB of a content.
pub const MAX_RECEIPT_TARGETS: usize = 256;
/// Devices of a group in which read receipts are still sent: 100. Beyond, everybody's receipt for every message would be most of
/// what is sent.
pub const MAX_RECEIPT_GROUP: u32 = 100;
/// Members whose receipts a message keeps: 100, as many as are sent at most (R-CONTENT-29). More than that nobody shows, and the record
/// stays within what one may be.
const MAX_RECEIPTS: usize = 100;
/// Own devices' words about messages that have not come yet: 512, the oldest go first.
const MAX_EARLY: usize = 512;
/// Places for one device that receipts leave free in the outbox, so that no message has to wait for them: 500.
const LEFT_FREE: u64 = MAX_FOR_DEVICE / 2;
/// The kind of a receipt: read.
const READ: u32 = 1;

/// Author and identifier of a message.
type Reference = [u8; 32];

/// What a person does that others are told of, or not.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReceiptInput {
    /// The person is writing to a member, or no longer.
    Typing {
        /// To whom.
        to: MemberId,
        /// Whether no longer.
        stopped: bool,
    },
    /// The person sets what others are told.
    Set(ReceiptSettings),
    /// The person sets how long what it writes to a member stays after it was read.
    SetDisappearing {
        /// To whom.
        with: MemberId,
        /// How long; `None`: for ever.
        after: Option<Duration>,
    },
}

pub(crate) fn handle(
    device: &Device,
    records: &mut Overlay<'_>,
    input: ReceiptInput,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    match input {
        ReceiptInput::Typing { to, stopped } => {
            return typing::tell(device, records, (&to, stopped), now, rng);
        }
        ReceiptInput::Set(settings) => {
            settings::set(device, records, settings, now, rng)?;
            withdraw(device, records)?;
        }
        ReceiptInput::SetDisappearing { with, after } => {
            settings::set_timer(device, records, (&with, after), now, rng)?;
        }
    }
    Ok(Vec::new())
}

fn reference_of(record: &MessageRecord) -> Option<Reference> {
    [record.from.as_slice(), record.id.as_slice()].concat().try_into().ok()
}

fn find(records: &dyn Records, reference: &Reference) -> Result<Option<MessageRecord>, EngineError> {
    let Some((author, id)) = reference.split_first_chunk::<16>() else { return Ok(None) };
    message(records, &MemberId::new(*author), id)
}

/// Marks a conversation as read up to a position, tells the authors of what became read as far as the settings allow (R-CONTENT-29), and
/// the own other devices (R-CONTENT-31).
pub(crate) fn read(
    device: &Device,
    records: &mut Overlay<'_>,
    up_to: (&MemberId, u64),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut by_author: BTreeMap<[u8; 16], Vec<Vec<u8>>> = BTreeMap::new();
    let (mut all, told) = (Vec::new(), told(records)?);
    for record in conversations::mark_read(records, up_to, now)? {
        timers::start(records, &record, now)?;
        let Some(reference) = reference_of(&record) else { continue };
        if let Some(from) = record.from.first_chunk::<16>().filter(|_| !told.no_read)
            && is_told(records, &record)?
        {
            by_author.entry(*from).or_default().push(reference.to_vec());
        }
        all.push(reference.to_vec());
    }
    for (author, targets) in by_author {
        send_all(device, records, (&MemberId::new(author), targets), now, rng)?;
    }
    send_all(device, records, (&device.member_id(), all), now, rng)
}

/// Whether a message's author is told that it was read: not in a large group, and not for what somebody else has sent again.
fn is_told(records: &dyn Records, record: &MessageRecord) -> Result<bool, EngineError> {
    let Some(group) = record.group.first_chunk::<16>() else { return Ok(record.resent.is_empty()) };
    Ok(record.resent.is_empty() && group::devices(records, group)? <= MAX_RECEIPT_GROUP)
}

fn send_all(
    device: &Device,
    records: &mut Overlay<'_>,
    (to, targets): (&MemberId, Vec<Vec<u8>>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    for targets in targets.chunks(MAX_RECEIPT_TARGETS) {
        let body = Body::Receipt(Receipt { kind: READ, targets: targets.to_vec() });
        tell(device, records, (to, body), now, rng)?;
    }
    Ok(())
}

/// Sends a content without a message to all devices of a member that may be written to, but this one. What there is no room for is not
/// sent: nothing of it is needed.
fn tell(
    device: &Device,
    records: &mut Overlay<'_>,
    (to, body): (&MemberId, Body),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let (is_own, is_receipt) = (*to == device.member_id(), matches!(body, Body::Receipt(_)));
    let content = Content { sent_at: now.as_millis(), body: Some(body), ..Content::default() };
    for recipient in devices_of(device, records, to, now)? {
        if sending::room_for(records, &recipient)? <= LEFT_FREE {
            continue;
        }
        let step = sending::seal_or_wait(records, (to, &recipient), &content, now, rng)?;
        let item = OutboxItem {
            conversation: to.as_bytes().to_vec(),
            device_id: recipient.as_bytes().to_vec(),
            step: Some(step),
            copy: is_own,
            receipt: is_receipt && !is_own,
            ..OutboxItem::default()
        };
        sending::push(records, &item)?;
    }
    Ok(())
}

/// Takes back what waits to tell others what was read, if that may not be told any more (R-ENGINE-121).
pub(crate) fn withdraw(device: &Device, records: &mut Overlay<'_>) -> Result<(), EngineError> {
    if !told(records)?.no_read {
        return Ok(());
    }
    for item in sending::outbox().numbers(records)? {
        if sending::outbox_item(records, item)?.is_some_and(|it| it.receipt) {
            ending::finish(device, records, item, End::Failed)?;
        }
    }
    Ok(())
}

/// Returns a member's devices that may be written to now, without this one.
fn devices_of(
    device: &Device,
    records: &dyn Records,
    member: &MemberId,
    now: Timestamp,
) -> Result<Vec<DeviceId>, EngineError> {
    let mut found = Vec::new();
    if reach::with_member(device, records, member)? != Relation::Within {
        return Ok(found);
    }
    let entry = directory::member(records, member)?;
    for id in entry.into_iter().flat_map(|entry| entry.device_ids) {
        let may = id != device.device_id()
            && directory::is_recipient(records, (member, &id))?
            && !peers::is_expired(records, &id, now)?;
        if may {
            found.push(id);
        }
    }
    Ok(found)
}

/// Takes over a content without a message that is about receipts, typing or settings; others it leaves alone.
pub(crate) fn hear(
    device: &Device,
    records: &mut Overlay<'_>,
    (member, content): (&MemberId, &Content),
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    let own = device.member_id();
    let undecryptable = || Vec::from([Effect::Notify(Notice::Undecryptable)]);
    Ok(match &content.body {
        Some(Body::Receipt(receipt)) => {
            take(device, records, (member, receipt), now)?.unwrap_or_else(undecryptable)
        }
        Some(Body::Typing(typing)) => {
            let said = (typing, content.sent_at);
            typing::heard(records, (member, &own), said, now)?.into_iter().collect()
        }
        Some(Body::Settings(settings)) if *member == own => {
            settings::take(records, settings)?;
            withdraw(device, records)?;
            Vec::new()
        }
        Some(Body::Settings(_)) => undecryptable(),
        _ => Vec::new(),
    })
}

/// Takes over a receipt of a member's device: of the own member it says what was read here too, of others what they have read of the
/// own member's (R-CONTENT-28 to -31). `None` if it breaks the format.
fn take(
    device: &Device,
    records: &mut Overlay<'_>,
    (member, receipt): (&MemberId, &Receipt),
    now: Timestamp,
) -> Result<Option<Vec<Effect>>, EngineError> {
    let targets: Option<Vec<Reference>> =
        receipt.targets.iter().map(|target| target.as_slice().try_into().ok()).collect();
    let Some(targets) = targets.filter(|targets| targets.len() <= MAX_RECEIPT_TARGETS) else {
        return Ok(None);
    };
    if receipt.kind != READ {
        return Ok(Some(Vec::new()));
    }
    let own = device.member_id();
    let hides_read = *member != own && told(records)?.hides_read;
    let (mut effects, mut read) = (Vec::new(), BTreeSet::new());
    for target in targets.into_iter().filter(|_| !hides_read) {
        if *member == own {
            read.extend(read_elsewhere(records, &target, now)?);
            continue;
        }
        // Nobody but its author learns, and nothing but the author's own records say, what a receipt is for.
        let Some(record) = find(records, &target)?.filter(|it| it.from == own.as_bytes()) else { continue };
        if is_recipient_of(records, member, &record)? {
            effects.extend(note(records, record, (member, true), now)?);
        }
    }
    shown::read_elsewhere(records, read)?;
    Ok(Some(effects))
}

/// Whether a member is one of those to whom an own message went: the other one of its conversation, or in the roster of its group since
/// before it was sealed.
fn is_recipient_of(
    records: &dyn Records,
    member: &MemberId,
    record: &MessageRecord,
) -> Result<bool, EngineError> {
    if record.expired || record.act.is_some() || record.done.is_some() {
        return Ok(false);
    }
    match record.group.first_chunk::<16>() {
        Some(group) => group::has_member(records, group, (member, record.epoch)),
        None => Ok(record.group.is_empty() && record.conversation == member.as_bytes()),
    }
}

/// Another device of the own member has said that a message was read. Returns the conversation in which something became read.
fn read_elsewhere(
    records: &mut Overlay<'_>,
    target: &Reference,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, EngineError> {
    match find(records, target)? {
        Some(record) if record.unread => {
            let record = conversations::mark_one(records, record, now)?;
            timers::start(records, &record, now)?;
            Ok(Some(record.conversation))
        }
        Some(_) => Ok(None),
        None => {
            let mut early: EarlyReadsRecord = load(records, &key(EARLY_READS, &[]))?.unwrap_or_default();
            if early.references.iter().any(|known| known == target) {
                return Ok(None);
            }
            if early.references.len() >= MAX_EARLY {
                early.references.remove(0);
            }
            early.references.push(target.to_vec());
            save(records, key(EARLY_READS, &[]), &early);
            Ok(None)
        }
    }
}

/// Says of a message that is about to be stored what is known already: that it was read elsewhere.
pub(crate) fn known_early(records: &mut Overlay<'_>, record: &mut MessageRecord) -> Result<(), EngineError> {
    if !record.unread {
        return Ok(());
    }
    let Some(mut early) = load::<EarlyReadsRecord>(records, &key(EARLY_READS, &[]))? else { return Ok(()) };
    let reference = reference_of(record);
    let Some(at) = early.references.iter().position(|it| reference.is_some_and(|known| it == &known)) else {
        return Ok(());
    };
    early.references.remove(at);
    save(records, key(EARLY_READS, &[]), &early);
    record.unread = false;
    record.read_at = record.stored_at.max(1);
    Ok(())
}

/// A device of a member has acknowledged own messages (R-CONTENT-28).
pub(crate) fn delivered(
    device: &Device,
    records: &mut Overlay<'_>,
    (from, ids): (&DeviceId, &[Vec<u8>]),
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    let mut effects = Vec::new();
    let own = device.member_id();
    if ids.is_empty() || told(records)?.hides_delivery {
        return Ok(effects);
    }
    let member = peers::peer_member(records, from)?;
    for id in ids {
        let Some(record) = message(records, &own, id)? else { continue };
        if member != own && is_recipient_of(records, &member, &record)? {
            effects.extend(note(records, record, (&member, false), now)?);
        }
    }
    Ok(effects)
}

/// Notes what is new about an own message and a member, and tells of it.
fn note(
    records: &mut Overlay<'_>,
    mut record: MessageRecord,
    (member, is_read): (&MemberId, bool),
    now: Timestamp,
) -> Result<Option<Effect>, EngineError> {
    let at = now.as_millis().max(1);
    if record.state == MessageState::Failed as u32 {
        return Ok(None);
    }
    let is_full = record.receipts.len() >= MAX_RECEIPTS;
    let known = record.receipts.iter_mut().find(|it| it.member_id == member.as_bytes());
    let receipt = match known {
        Some(known) => known,
        None if is_full => return Ok(None),
        None => {
            let new = MemberReceipt { member_id: member.as_bytes().to_vec(), ..MemberReceipt::default() };
            record.receipts.push(new);
            let Some(new) = record.receipts.last_mut() else { return Ok(None) };
            new
        }
    };
    let is_known = if is_read { receipt.read_at != 0 } else { receipt.delivered_at != 0 };
    if is_known {
        return Ok(None);
    }
    if receipt.delivered_at == 0 {
        receipt.delivered_at = at;
    }
    if is_read {
        receipt.read_at = at;
    }
    save_message(records, &record);
    let number = append_receipt(records, (member, &record), is_read)?;
    Ok(number.map(|number| Effect::Notify(Notice::EventStored(number))))
}
