//! What a member tells of itself, and how long what it writes stays (R-ENGINE-108, R-ENGINE-111).

use core::time::Duration;

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::encode;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::own_settings::What;
use chancery_wire::proto::{self, ConversationSettings, ConversationTimer, OwnSettings};
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::error::EngineError;
use crate::log;
use crate::receipts::tell;
use crate::receipts::timers::MAX_DISAPPEAR;
use crate::tables::{CONVERSATION_SETTINGS, RECEIPT_SETTINGS, key, load, save};

/// The latest time at which something can have been set: 2^62 ms. Beyond it there must be room to set something later.
const LATEST_CHANGE: u64 = 1 << 62;

/// What a member lets others know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// Whether authors are told that their messages were read.
    pub read: bool,
    /// Whether authors may be shown that their messages have come.
    pub delivery: bool,
    /// Whether the other side is told that this member is writing.
    pub typing: bool,
}

/// All of it, as long as nothing was set (R-ENGINE-108).
impl Default for ReceiptSettings {
    fn default() -> Self {
        Self { read: true, delivery: true, typing: true }
    }
}

/// What may be told now, by the member and by the organisation.
pub(crate) struct Told {
    pub(crate) no_read: bool,
    pub(crate) no_delivery: bool,
    pub(crate) no_typing: bool,
    /// The organisation lets nobody be shown what was delivered.
    pub(crate) hides_delivery: bool,
    /// Nor what was read.
    pub(crate) hides_read: bool,
}

fn stored(records: &dyn Records) -> Result<proto::ReceiptSettings, EngineError> {
    Ok(load(records, &key(RECEIPT_SETTINGS, &[]))?.unwrap_or_default())
}

/// Returns what the own member has set; everything is told as long as nothing was set.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn receipt_settings(records: &dyn Records) -> Result<ReceiptSettings, EngineError> {
    let stored = stored(records)?;
    Ok(ReceiptSettings { read: !stored.no_read, delivery: !stored.no_delivery, typing: !stored.no_typing })
}

/// Returns what may be told: what neither the member nor the organisation has switched off (R-CONTENT-30).
pub(crate) fn told(records: &dyn Records) -> Result<Told, EngineError> {
    let (stored, policy) = (stored(records)?, log::policy(records)?.receipts);
    Ok(Told {
        no_read: stored.no_read || !policy.read,
        no_delivery: stored.no_delivery || !policy.delivery,
        no_typing: stored.no_typing || !policy.typing,
        hides_delivery: !policy.delivery,
        hides_read: !policy.read,
    })
}

/// Sets what is told, and has the own other devices take it over.
pub(crate) fn set(
    device: &Device,
    records: &mut Overlay<'_>,
    settings: ReceiptSettings,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let new = proto::ReceiptSettings {
        no_read: !settings.read,
        no_delivery: !settings.delivery,
        no_typing: !settings.typing,
        changed_at: later_than(stored(records)?.changed_at, now),
    };
    save(records, key(RECEIPT_SETTINGS, &[]), &new);
    share(device, records, What::Receipts(new), now, rng)
}

fn share(
    device: &Device,
    records: &mut Overlay<'_>,
    what: What,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let body = Body::Settings(OwnSettings { what: Some(what) });
    tell(device, records, (&device.member_id(), body), now, rng)
}

pub(crate) fn conversation(
    records: &dyn Records,
    conversation: &[u8],
) -> Result<ConversationSettings, EngineError> {
    Ok(load(records, &key(CONVERSATION_SETTINGS, &[conversation]))?.unwrap_or_default())
}

pub(crate) fn save_conversation(
    records: &mut Overlay<'_>,
    conversation: &[u8],
    settings: &ConversationSettings,
) {
    save(records, key(CONVERSATION_SETTINGS, &[conversation]), settings);
}

/// Returns how long what the own member writes to another stays after it was read; `None`: for ever.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn disappearing(records: &dyn Records, with: &MemberId) -> Result<Option<Duration>, EngineError> {
    let seconds = u64::from(timer_of(records, with.as_bytes())?);
    Ok((seconds != 0).then(|| Duration::from_secs(seconds)))
}

/// Whether messages may be set to disappear after this time: 1 s to 366 days, in whole seconds.
#[must_use]
pub fn is_disappearing_time(after: Duration) -> bool {
    after.subsec_nanos() == 0 && (1..=u64::from(MAX_DISAPPEAR)).contains(&after.as_secs())
}

/// Returns [`disappearing`] in seconds, 0 for none.
pub(crate) fn timer_of(records: &dyn Records, with: &[u8]) -> Result<u32, EngineError> {
    let timer = conversation(records, with)?.timer.unwrap_or_default();
    Ok(u32::try_from(timer.seconds).unwrap_or(MAX_DISAPPEAR).min(MAX_DISAPPEAR))
}

/// Sets how long what the own member writes to another stays, and has the own other devices take it over.
pub(crate) fn set_timer(
    device: &Device,
    records: &mut Overlay<'_>,
    (with, after): (&MemberId, Option<Duration>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    if after.is_some_and(|after| !is_disappearing_time(after)) {
        return Err(EngineError::Misuse("messages disappear after 1 second to 366 days"));
    }
    let seconds = after.map_or(0, |after| after.as_secs());
    let mut settings = conversation(records, with.as_bytes())?;
    let before = settings.timer.take().map_or(0, |timer| timer.changed_at);
    let timer = ConversationTimer {
        conversation: with.as_bytes().to_vec(),
        seconds,
        changed_at: later_than(before, now),
    };
    settings.timer = Some(timer.clone());
    save_conversation(records, with.as_bytes(), &settings);
    share(device, records, What::Timer(timer), now, rng)
}

/// Takes over what another device of the own member says was set: the newest counts (R-CONTENT-35).
pub(crate) fn take(records: &mut Overlay<'_>, settings: &OwnSettings) -> Result<(), EngineError> {
    match &settings.what {
        Some(What::Receipts(new)) => {
            let known = stored(records)?;
            if is_later((known.changed_at, encode(&known)), (new.changed_at, encode(new))) {
                save(records, key(RECEIPT_SETTINGS, &[]), new);
            }
        }
        Some(What::Timer(new)) if new.conversation.len() == 16 && new.seconds <= u64::from(MAX_DISAPPEAR) => {
            let mut known = conversation(records, &new.conversation)?;
            let before = known.timer.clone().unwrap_or_default();
            if is_later((before.changed_at, encode(&before)), (new.changed_at, encode(new))) {
                known.timer = Some(new.clone());
                save_conversation(records, &new.conversation, &known);
            }
        }
        _ => {}
    }
    Ok(())
}

/// Returns when something is set now that takes the place of what was set `before`: later, whatever the clock says.
fn later_than(before: u64, now: Timestamp) -> u64 {
    before.min(LATEST_CHANGE).saturating_add(1).max(now.as_millis())
}

/// Whether one setting takes the place of another that is known; of two set at one time all devices take the same.
fn is_later(known: (u64, Vec<u8>), new: (u64, Vec<u8>)) -> bool {
    new.0 <= LATEST_CHANGE && new > known
}
