//! Messages to a name that is not in the local directory yet, written while the relay could not be asked.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_wire::proto::{Text, UnaddressedRecord};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Timestamp, decode, encode};

use crate::content;
use crate::device::Device;
use crate::directory::{Member, resolve};
use crate::effect::{Draft, Letter};
use crate::error::EngineError;
use crate::log;
use crate::messages::{MessageState, append_message};
use crate::queue::Queue;
use crate::sending;
use crate::settled::{self, WhyFailed};
use crate::tables::UNADDRESSED;

/// Messages that wait for their recipient to appear in the directory: 1,000. Names are typed by hand.
const MAX_UNADDRESSED: u64 = 1000;

/// A message that waits for its recipient to appear in the directory.
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
        return Err(EngineError::QueueFull);
    }
    let record = UnaddressedRecord {
        to: letter.to.into(),
        message_id: letter.message_id.to_vec(),
        text: Some(text),
        written_at: now.as_millis(),
    };
    queue().push(records, encode(&record))?;
    address_all(device, records, now, rng)
}

/// Sends every message whose recipient is known by now, in the order in which they were written (R-ENGINE-14).
pub(crate) fn address_all(
    device: &Device,
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    end_for_ended(device, records)?;
    for (number, waiting) in all(records)? {
        let Some(member) = resolve(records, &waiting.to)? else { continue };
        let draft = Draft {
            to: member.member_id,
            message_id: waiting.message_id,
            text: &waiting.text.text,
            attachments: waiting.text.attachments.clone(),
        };
        // What cannot be queued as a whole takes no number and advances no session.
        let mut trial = Overlay::new(records);
        let sent = sending::send(device, &mut trial, (&draft, waiting.written_at), now, rng);
        let batch = trial.into_batch();
        match sent {
            Ok(()) => {
                records.absorb(batch);
                queue().remove(records, number)?;
            }
            // Somebody without a device, or oneself, or a device for which too much waits: it waits, and stays
            // visible, and holds up nobody else's.
            // It will never go: it has failed, and stands in the conversation as such.
            Err(EngineError::OutOfReach | EngineError::Expired) => {
                fail(device, records, (number, &waiting), &member)?;
            }
            Err(EngineError::UnknownRecipient | EngineError::OutdatedRecipient | EngineError::QueueFull) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Ends the messages whose recipient the log has ended: they have failed, and stand in the conversation as such (R-ENGINE-35).
pub(crate) fn end_for_ended(device: &Device, records: &mut Overlay<'_>) -> Result<(), EngineError> {
    for (number, waiting) in all(records)? {
        let Some(member) = resolve(records, &waiting.to)? else { continue };
        if !log::has_left(records, &member.member_id)? {
            continue;
        }
        fail(device, records, (number, &waiting), &member)?;
    }
    Ok(())
}

fn fail(
    device: &Device,
    records: &mut Overlay<'_>,
    (number, waiting): (u64, &Unaddressed),
    member: &Member,
) -> Result<(), EngineError> {
    let draft = Draft {
        to: member.member_id,
        message_id: waiting.message_id,
        text: &waiting.text.text,
        attachments: waiting.text.attachments.clone(),
    };
    let mut record = content::from_draft(&draft, &device.member_id(), waiting.written_at)?;
    record.state = MessageState::Failed as u32;
    append_message(records, &record)?;
    settled::note(records, MessageState::Queued as u32, &record, WhyFailed::NoRecipient)?;
    queue().remove(records, number)
}

fn all(records: &dyn Records) -> Result<Vec<(u64, Unaddressed)>, EngineError> {
    let mut waiting = Vec::new();
    for number in queue().numbers(records)? {
        let Some(bytes) = records.get(&queue().item_key(number))? else { continue };
        let record =
            decode::<UnaddressedRecord>(&bytes, Limit::RECORD).map_err(|_| EngineError::DamagedRecord)?;
        let record = record.into_unchecked();
        let message_id = record.message_id.try_into().map_err(|_| EngineError::DamagedRecord)?;
        let written_at = Timestamp::from_millis(record.written_at);
        let text = record.text.unwrap_or_default();
        waiting.push((number, Unaddressed { to: record.to, message_id, text, written_at }));
    }
    Ok(waiting)
}

/// Returns the messages that wait for their recipient to appear in the directory, oldest first.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn unaddressed(records: &dyn Records) -> Result<Vec<Unaddressed>, EngineError> {
    Ok(all(records)?.into_iter().map(|(_, waiting)| waiting).collect())
}
