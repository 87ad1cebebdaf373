//! From an envelope to a stored message.

use alloc::vec::Vec;

use chancery_core::{InitialEnvelope, Responder, SessionEnvelope, respond};
use chancery_crypto::rng::CryptoRng;
use chancery_identity::MemberId;
use chancery_wire::Timestamp;
use chancery_wire::records::Overlay;

use crate::content;
use crate::device::Device;
use crate::directory;
use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::messages::{append_event, append_message};
use crate::peers;
use crate::prekeys::{self, StoredSecrets};
use crate::seen;

/// First byte of an initial envelope: version 1, kind 1.
const INITIAL: u8 = 0x11;
/// First byte of a session message: version 1, kind 2.
const SESSION: u8 = 0x12;

/// Handles one envelope. Whatever it is, the relay may forget it afterwards; what does not authenticate
/// changes nothing (R-ENGINE-6).
pub(crate) fn receive(
    device: &Device,
    records: &mut Overlay<'_>,
    (sequence, envelope): (u64, &[u8]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let acknowledge = Effect::Acknowledge(sequence);
    let fingerprint = seen::fingerprint(envelope);
    if seen::is_seen(records, &fingerprint)? {
        return Ok([acknowledge].into());
    }
    let opened = match envelope.first() {
        Some(&INITIAL) => open_initial(device, records, envelope, now, rng)?,
        Some(&SESSION) => open_session(records, envelope, now, rng)?,
        _ => None,
    };
    let Some((from, plaintext)) = opened else {
        return Ok([acknowledge, Effect::Notify(Notice::Undecryptable)].into());
    };
    seen::remember(records, &fingerprint)?;
    let mut effects = Vec::from([acknowledge]);
    if directory::member(records, &from)?.is_none() {
        effects.push(Effect::Notify(Notice::UnknownSender));
    }
    match content::read(plaintext.expose(), &from, now) {
        Some(message) => {
            if append_message(records, &message)?.is_some() {
                effects.push(Effect::Notify(Notice::EventStored(append_event(records, &message)?)));
            }
        }
        // The session has moved on, as it must; only the content was of no known form.
        None => effects.push(Effect::Notify(Notice::Undecryptable)),
    }
    Ok(effects)
}

type Opened = Option<(MemberId, chancery_crypto::secret::SecretBytes)>;

fn open_session(
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Opened, EngineError> {
    let Ok(parsed) = SessionEnvelope::parse(envelope) else { return Ok(None) };
    let Some(mut session) = peers::session_by_tag(records, &parsed.tag())? else { return Ok(None) };
    let Ok(decrypted) = session.decrypt(envelope, now, rng) else { return Ok(None) };
    peers::save_session(records, &session, &decrypted.tags);
    peers::activate(records, &session, None)?;
    let from = peers::peer_member(records, &session.peer_device())?;
    Ok(Some((from, decrypted.plaintext)))
}

fn open_initial(
    device: &Device,
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Opened, EngineError> {
    let Ok(parsed) = InitialEnvelope::parse(envelope) else { return Ok(None) };
    let secrets = StoredSecrets::new(records);
    let responder =
        Responder { local: device.local(), organisation: device.organisation(), prekeys: &secrets };
    let accepted = respond(&responder, &parsed, now, rng);
    secrets.check()?;
    let Ok(accepted) = accepted else { return Ok(None) };
    let member = accepted.peer.member_id();
    if !peers::may_be_of(records, &accepted.session.peer_device(), &member)? {
        return Ok(None);
    }
    // Without a key that is used up, nothing but this record refuses the same handshake again.
    let replayable = accepted.used.is_empty() || accepted.last_resort;
    let lasting: Vec<_> = parsed.prekeys().filter(|id| !accepted.used.contains(id)).collect();
    if replayable && !prekeys::record_handshake(records, &accepted.handshake, &lasting)? {
        return Ok(None);
    }
    for id in &accepted.used {
        prekeys::consume(records, *id);
    }
    peers::add_session(records, &accepted.session, &member)?;
    Ok(Some((member, accepted.plaintext)))
}
