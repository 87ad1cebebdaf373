//! What devices tell each other of the log, so that a relay cannot show each of them another one.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_core::{BUCKETS, SESSION_MESSAGE_OVERHEAD};
use chancery_crypto::rng::CryptoRng;
use chancery_identity::DeviceId;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::{Content, LogClaim, LogClaimsRecord, LogNote};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Timestamp, encode};

use crate::answer::send_control;
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::heal::is_over;
use crate::log::hashes;
use crate::log::replay::contradicts;
use crate::log::state::{self, Note};
use crate::peers;
use crate::tables::{LOG_CLAIMS, key, load, save};

/// How often a device sends another a checkpoint: once an hour, be it asked or not. A note is 5 KiB, and whoever asks
/// again and again must not fill the outbox (R-ENGINE-33).
const NOTE_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Contents in a row that may leave the claim out because they have no room for it: 8 (R-CONTENT-12).
const MAX_OMITTED: u32 = 8;
/// Claims of a larger log that are kept until this device has it: 256, one of a device; the oldest goes first.
const MAX_CLAIMS: usize = 256;

/// Says in a content how far this device knows the log, if the recipient was not told yet (R-CONTENT-12). The first content
/// of a session always says so.
pub(crate) fn add(
    records: &mut Overlay<'_>,
    to: &DeviceId,
    content: &mut Content,
    is_first: bool,
    longest: usize,
) -> Result<(), EngineError> {
    let log = state::record(records)?;
    if !state::is_confirmed(&log) {
        return Ok(());
    }
    let mut peer = peers::peer(records, to)?;
    if !is_first && peer.log_told >= log.size {
        return Ok(());
    }
    let before = encode(content).len();
    content.log_size = log.size;
    content.log_root = log.root;
    let after = encode(content).len();
    let fits = after <= longest && bucket(after).is_some();
    if fits && (bucket(after) == bucket(before) || peer.log_omitted >= MAX_OMITTED) {
        peer.log_told = content.log_size;
        peer.log_omitted = 0;
    } else {
        content.log_size = 0;
        content.log_root = Vec::new();
        peer.log_omitted = peer.log_omitted.saturating_add(1);
    }
    peers::save_peer(records, to, &peer);
    Ok(())
}

fn bucket(len: usize) -> Option<usize> {
    let needed = len.saturating_add(SESSION_MESSAGE_OVERHEAD);
    BUCKETS.into_iter().find(|bucket| *bucket >= needed)
}

/// Compares what a device says of the log with what this one has of it (R-ENGINE-33).
pub(crate) fn hear(
    records: &mut Overlay<'_>,
    (from, content): (&DeviceId, &Content),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let (size, root) = (content.log_size, content.log_root.as_slice());
    if size == 0 || root.len() != 32 {
        return Ok(Vec::new());
    }
    let own = state::head(&state::record(records)?)?.size();
    if size > own {
        let mut waiting = claims(records)?;
        waiting.claims.retain(|claim| claim.device_id != from.as_bytes());
        if waiting.claims.len() >= MAX_CLAIMS {
            waiting.claims.remove(0);
        }
        waiting.claims.push(LogClaim { device_id: from.as_bytes().to_vec(), size, root: root.to_vec() });
        save(records, key(LOG_CLAIMS, &[]), &waiting);
        return Ok([Effect::SyncLog].into());
    }
    if hashes::root_at(records, size)? != root {
        send_note(records, from, true, now, rng)?;
    }
    Ok(Vec::new())
}

fn claims(records: &dyn Records) -> Result<LogClaimsRecord, EngineError> {
    Ok(load(records, &key(LOG_CLAIMS, &[]))?.unwrap_or_default())
}

/// Whether nobody has said anything of a larger log.
pub(crate) fn none_wait(records: &dyn Records) -> Result<bool, EngineError> {
    Ok(claims(records)?.claims.is_empty())
}

/// Compares what waited for a larger log; whoever still says that there is more is asked for a checkpoint of it.
pub(crate) fn settle(
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut waiting = claims(records)?;
    if waiting.claims.is_empty() {
        return Ok(());
    }
    let own = state::head(&state::record(records)?)?.size();
    let (reached, beyond): (Vec<_>, Vec<_>) = waiting.claims.into_iter().partition(|claim| claim.size <= own);
    for claim in &reached {
        if hashes::root_at(records, claim.size)? == claim.root.as_slice() {
            continue;
        }
        if let Some(device) = DeviceId::from_bytes(&claim.device_id) {
            send_note(records, &device, true, now, rng)?;
        }
    }
    for device in beyond.iter().filter_map(|claim| DeviceId::from_bytes(&claim.device_id)) {
        send_note(records, &device, true, now, rng)?;
    }
    waiting.claims = beyond;
    save(records, key(LOG_CLAIMS, &[]), &waiting);
    Ok(())
}

/// Sends the newest checkpoint to a device, at most once an hour.
fn send_note(
    records: &mut Overlay<'_>,
    to: &DeviceId,
    answer: bool,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let mut peer = peers::peer(records, to)?;
    let Some(note) = state::note(records, Note::Newest)? else { return Ok(()) };
    if peer.log_noted_at != 0 && !is_over(peer.log_noted_at, NOTE_PAUSE, now) {
        return Ok(());
    }
    peer.log_noted_at = now.as_millis().max(1);
    peers::save_peer(records, to, &peer);
    let body = Some(Body::LogNote(LogNote { note, answer }));
    send_control(records, to, &Content { body, ..Content::default() }, now, rng)
}

/// Takes over a checkpoint that another device has shown (R-CONTENT-13, R-ENGINE-33, R-ENGINE-34).
pub(crate) fn take_note(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (from, shown): (&DeviceId, &LogNote),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let authority = &me.known.authority;
    let Ok(other) = state::verify_note(me.device, authority, &shown.note) else {
        return Ok([Effect::Notify(Notice::Undecryptable)].into());
    };
    // Before anything else: what the other side needs for the proof must not wait for what this side makes of it.
    if shown.answer {
        send_note(records, from, false, now, rng)?;
    }
    let own = state::head(&state::record(records)?)?.size();
    let mut effects = contradicts(me.device, authority, records, &other)?;
    if other.size() <= own {
        return Ok(effects);
    }
    let known = state::note(records, Note::Owed)?;
    let known = known.and_then(|note| state::verify_note(me.device, authority, &note).ok());
    if known.is_none_or(|known| known.size() < other.size()) {
        state::save_note(records, Note::Owed, Some(other.note()));
    }
    effects.push(Effect::SyncLog);
    Ok(effects)
}
