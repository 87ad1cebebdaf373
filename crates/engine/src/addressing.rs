//! Messages to a name that is not in the local directory yet, written while the relay could not be asked. They go to whom the
//! writer could have meant, and to nobody else.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::proto::{Text, UnaddressedRecord};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Timestamp, decode, encode};

use crate::content;
use crate::device::Device;
use crate::directory::{Member, entry_version, member, resolve};
use crate::effect::{Draft, Letter};
use crate::error::EngineError;
use crate::log;
use crate::messages::{MessageState, append_message};
use crate::numbers::HELD_LIFETIME;
use crate::queue::Queue;
use crate::sending;
use crate::settled::{self, WhyFailed};
use crate::tables::UNADDRESSED;

/// Messages that wait for their recipient to appear in the directory, or have failed to: 1,000. Names are typed by hand.
const MAX_UNADDRESSED: u64 = 1000;
/// How much later than a message somebody may have been enrolled who is meant by its name: 10 minutes, as far as clocks that are
/// set differ, and no longer, since a name may be a slip, and is anybody's who gets it later (R-ENGINE-140).
pub const ENROLLED_WINDOW: Duration = Duration::from_secs(10 * 60);
/// How long a message waits for its recipient, and is listed after it has failed: 30 days, as long as one waits for a device.
const LIFETIME: Duration = HELD_LIFETIME;

/// A message to a name that the directory did not have when it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Unaddressed {
    /// The name as it was given.
    pub to: String,
    /// The message's identifier, which it keeps.
    pub message_id: [u8; 16],
    /// Its content.
    pub text: Text,
    /// When it was written.
    pub written_at: Timestamp,
    /// Why it has failed; `None` as long as it waits.
    pub failed: Option<WhyFailed>,
    /// When it failed, by this device's clock; 0 as long as it waits.
    pub failed_at: Timestamp,
    /// Whom the name meant, once that is known: nobody else gets it, whoever has the name later.
    pub meant: Option<MemberId>,
}

/// What is to become of a message.
enum Fate {
    /// It goes to this member.
    Goes(Member),
    /// It waits.
    Waits,
    /// Whom it could be for cannot come any more.
    Fails,
}

impl Unaddressed {
    fn read(bytes: &[u8]) -> Result<Self, EngineError> {
        let record =
            decode::<UnaddressedRecord>(bytes, Limit::RECORD).map_err(|_| EngineError::DamagedRecord)?;
        let record = record.into_unchecked();
        Ok(Self {
            message_id: record.message_id.try_into().map_err(|_| EngineError::DamagedRecord)?,
            meant: MemberId::from_bytes(&record.meant),
            to: record.to,
            text: record.text.unwrap_or_default(),
            written_at: Timestamp::from_millis(record.written_at),
            failed: WhyFailed::from_record(record.failed),
            failed_at: Timestamp::from_millis(record.failed_at),
        })
    }

    fn save(&self, records: &mut Overlay<'_>, number: u64) {
        let record = UnaddressedRecord {
            to: self.to.clone(),
            message_id: self.message_id.to_vec(),
            text: Some(self.text.clone()),
            written_at: self.written_at.as_millis(),
            failed: self.failed.map_or(0, |why| why as u32),
            failed_at: self.failed_at.as_millis(),
            meant: self.meant.map(|member| member.as_bytes().to_vec()).unwrap_or_default(),
        };
        records.put(queue().item_key(number), encode(&record));
    }

    fn draft(&self, to: MemberId) -> Draft<'_> {
        let attachments = self.text.attachments.clone();
        Draft { to, message_id: self.message_id, text: &self.text.text, attachments }
    }

    /// Says whom the writer could have meant: whoever has the identifier, or who had the handle when it was written (R-ENGINE-140).
    /// `is_synchronised`: the directory was, since nobody is known to be missing.
    fn fate(
        &self,
        records: &dyn Records,
        is_synchronised: bool,
        now: Timestamp,
    ) -> Result<Fate, EngineError> {
        let id = self.meant.or_else(|| MemberId::from_hex(&self.to));
        if let Some(id) = id {
            return Ok(member(records, &id)?.map_or(Fate::Waits, Fate::Goes));
        }
        let latest = self.written_at.after(ENROLLED_WINDOW);
        Ok(match resolve(records, &self.to)? {
            Some(found) if entry_version(records, &found.member_id)? <= latest.as_millis() => {
                Fate::Goes(found)
            }
            Some(_) => Fate::Fails,
            None if is_synchronised && now > latest && !log::has_waiting_entries(records)? => Fate::Fails,
            None => Fate::Waits,
        })
    }
}

const fn queue() -> Queue<'static> {
    Queue::new(UNADDRESSED, b"")
}

/// Keeps a message until its recipient is known; sends it at once if that is so already.
pub(crate) fn keep(
    device: &Device,
    records: &mut Overlay<'_>,
    letter: Letter<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let text = Text { text: letter.text.into(), attachments: letter.attachments, ..Text::default() };
    content::check(&text)?;
    if queue().len(records)? >= MAX_UNADDRESSED {
        // What has failed makes room for what may still go.
        let failed = all(records)?.into_iter().find(|(_, letter)| letter.failed.is_some());
        queue().remove(records, failed.ok_or(EngineError::QueueFull)?.0)?;
    }
    let record = UnaddressedRecord {
        to: letter.to.into(),
        message_id: letter.message_id.to_vec(),
        text: Some(text),
        written_at: now.as_millis(),
        ..UnaddressedRecord::default()
    };
    queue().push(records, encode(&record))?;
    address((device, false), records, now, rng)
}

/// Takes a message back that waits for its recipient, or has failed to find one (R-ENGINE-141).
pub(crate) fn discard(records: &mut Overlay<'_>, message_id: &[u8; 16]) -> Result<(), EngineError> {
    let found = all(records)?.into_iter().find(|(_, letter)| letter.message_id == *message_id);
    queue().remove(records, found.ok_or(EngineError::NoMessage)?.0)
}

/// Sends every message whose recipient is known by now, in the order in which they were written (R-ENGINE-14), the directory having
/// been synchronised.
pub(crate) fn address_all(
    device: &Device,
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    address((device, true), records, now, rng)?;
    upkeep(device, records, now)
}

fn address(
    (device, is_synchronised): (&Device, bool),
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    clamp(records, now)?;
    end_for_ended(device, records, now)?;
    for (number, mut waiting) in all(records)?.into_iter().filter(|(_, letter)| letter.failed.is_none()) {
        let member = match waiting.fate(records, is_synchronised, now)? {
            Fate::Goes(member) => member,
            Fate::Waits => continue,
            Fate::Fails => {
                fail_unknown(device, records, (number, waiting), now)?;
                continue;
            }
        };
        // What cannot be queued as a whole takes no number and advances no session.
        let mut trial = Overlay::new(records);
        let draft = waiting.draft(member.member_id);
        let sent = sending::send(device, &mut trial, (&draft, waiting.written_at), now, rng);
        let batch = trial.into_batch();
        match sent {
            Ok(()) => {
                records.absorb(batch);
                queue().remove(records, number)?;
            }
            // It will never go: it has failed, and stands in the conversation as such.
            Err(EngineError::OutOfReach | EngineError::Expired) => {
                fail(device, records, (number, &waiting, WhyFailed::NoRecipient), &member)?;
            }
            // Somebody without a device, or oneself, or a device for which too much waits: it waits, and stays
            // visible, and holds up nobody else's. Whoever gets the name meanwhile is not meant.
            Err(EngineError::UnknownRecipient | EngineError::OutdatedRecipient | EngineError::QueueFull) => {
                if waiting.meant.is_none() {
                    waiting.meant = Some(member.member_id);
                    waiting.save(records, number);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends the messages whose recipient the log has ended: they have failed, and stand in the conversation as such (R-ENGINE-35).
pub(crate) fn end_for_ended(
    device: &Device,
    records: &mut Overlay<'_>,
    now: Timestamp,
) -> Result<(), EngineError> {
    for (number, waiting) in all(records)?.into_iter().filter(|(_, letter)| letter.failed.is_none()) {
        let Fate::Goes(member) = waiting.fate(records, false, now)? else { continue };
        if log::has_left(records, &member.member_id)? {
            fail(device, records, (number, &waiting, WhyFailed::NoRecipient), &member)?;
        }
    }
    Ok(())
}

/// A time that was noted by a clock that was ahead counts as now (R-ENGINE-141).
fn clamp(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    for (number, mut letter) in all(records)? {
        if letter.written_at > now || letter.failed_at > now {
            letter.written_at = letter.written_at.min(now);
            letter.failed_at = letter.failed_at.min(now);
            letter.save(records, number);
        }
    }
    Ok(())
}

/// Ends what has waited for 30 days, and forgets what failed as long ago (R-ENGINE-141). A time that lies ahead counts as now.
pub(crate) fn upkeep(device: &Device, records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    clamp(records, now)?;
    for (number, letter) in all(records)? {
        let since = if letter.failed.is_some() { letter.failed_at } else { letter.written_at };
        if now.since(since) < LIFETIME {
            continue;
        }
        if letter.failed.is_some() {
            queue().remove(records, number)?;
            continue;
        }
        match letter.fate(records, false, now)? {
            Fate::Goes(member) => fail(device, records, (number, &letter, WhyFailed::Relay), &member)?,
            Fate::Waits | Fate::Fails => fail_unknown(device, records, (number, letter), now)?,
        }
    }
    Ok(())
}

/// A message has failed that is in nobody's conversation: it stays listed, and an event says so.
fn fail_unknown(
    device: &Device,
    records: &mut Overlay<'_>,
    (number, mut letter): (u64, Unaddressed),
    now: Timestamp,
) -> Result<(), EngineError> {
    let why = WhyFailed::UnknownName;
    letter.failed = Some(why);
    letter.failed_at = now;
    letter.save(records, number);
    let mut record =
        content::from_draft(&letter.draft(device.member_id()), &device.member_id(), letter.written_at)?;
    record.state = MessageState::Failed as u32;
    settled::note(records, MessageState::Queued as u32, &record, why)
}

fn fail(
    device: &Device,
    records: &mut Overlay<'_>,
    (number, waiting, why): (u64, &Unaddressed, WhyFailed),
    member: &Member,
) -> Result<(), EngineError> {
    let draft = waiting.draft(member.member_id);
    let mut record = content::from_draft(&draft, &device.member_id(), waiting.written_at)?;
    record.state = MessageState::Failed as u32;
    settled::mark(&mut record, MessageState::Queued as u32, why);
    append_message(records, &record)?;
    settled::note(records, MessageState::Queued as u32, &record, why)?;
    queue().remove(records, number)
}

fn all(records: &dyn Records) -> Result<Vec<(u64, Unaddressed)>, EngineError> {
    let mut waiting = Vec::new();
    for number in queue().numbers(records)? {
        let Some(bytes) = records.get(&queue().item_key(number))? else { continue };
        waiting.push((number, Unaddressed::read(&bytes)?));
    }
    Ok(waiting)
}

/// Returns the messages that wait for their recipient to appear in the directory, or have failed to find one, oldest first.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn unaddressed(records: &dyn Records) -> Result<Vec<Unaddressed>, EngineError> {
    Ok(all(records)?.into_iter().map(|(_, waiting)| waiting).collect())
}
