//! This device's prekeys: made in batches on a schedule, used once, forgotten when they expire.

use alloc::vec::Vec;
use core::cell::RefCell;
use core::time::Duration;

use chancery_core::{BatchPlan, PrekeyId, PrekeyKind, PrekeySecrets, generate_batch};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;
use chancery_wire::proto::{PrekeyBatchRecord, PrekeyState, PrekeyUpload};
use chancery_wire::records::{Overlay, RecordKey, Records, RecordsError};
use chancery_wire::{Limit, Timestamp, decode, encode};

use crate::device::Device;
use crate::effect::Effect;
use crate::error::EngineError;
use crate::heal;
use crate::queue::Queue;
use crate::tables::{PREKEY, PREKEY_STATE, PREKEY_UPLOAD, REPLAY, REPLAY_QUEUE, key, load, save};

/// One-time prekey pairs in a batch: 64. First contacts that a device can take between two renewals with
/// full forward secrecy; an upload of about 80 KiB.
pub const ONE_TIME_PAIRS: u32 = 64;
/// How often a batch is renewed: daily, at the first contact with the relay after it is due, whether or not
/// keys were used, so that renewal tells nobody that somebody wrote (R-ENGINE-9).
const RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a batch may be used: 30 days, as long as a device may be away and still be written to.
const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long private halves outlive their batch: 60 days, the relay's retention of an envelope.
const GRACE: Duration = Duration::from_secs(60 * 24 * 60 * 60);
/// Handshakes over a last-resort prekey that are remembered: 4,096. When full, the oldest is forgotten only
/// with its batch; further ones are refused (fail closed) until then (R-ENGINE-10).
const MAX_REPLAY_RECORDS: u64 = 4096;

/// A refused batch that is older than this, 1 h, is replaced at once: it comes from a store that was put back,
/// or waited too long. A younger one waits for its renewal, so that a relay that refuses everything does not
/// fill the store with prekeys.
const REFUSED_AT_BIRTH: Duration = Duration::from_secs(60 * 60);
/// A batch that is younger than this, 1 h, is not replaced because of what the relay says that it has: a relay that says so at
/// each login must not fill the store with prekeys (R-ENGINE-28).
const LATELY: Duration = Duration::from_secs(60 * 60);
/// What the sequence rises by when the relay refuses a new batch: 2^40, in milliseconds 35 years. A batch of a
/// time when the clock was wrong, or of a store that is lost, is outdone by it.
const SEQUENCE_STEP: u64 = 1 << 40;

const KINDS: [PrekeyKind; 4] =
    [PrekeyKind::Signed, PrekeyKind::OneTimeCurve, PrekeyKind::OneTimeKem, PrekeyKind::LastResortKem];

const SECRET_NAME_LEN: usize = 5;

/// Kind (1), number (4).
const fn secret_name(id: PrekeyId) -> [u8; SECRET_NAME_LEN] {
    let [a, b, c, d] = id.id.to_be_bytes();
    [id.kind.number(), a, b, c, d]
}

fn secret_key(id: PrekeyId) -> RecordKey {
    key(PREKEY, &[&secret_name(id)])
}

/// Renews the batch when it is due; until then repeats the upload until the relay has it.
pub(crate) fn upkeep(
    device: &Device,
    records: &mut Overlay<'_>,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut state: PrekeyState = load(records, &key(PREKEY_STATE, &[]))?.unwrap_or_default();
    let renewed_at = Timestamp::from_millis(state.made_at);
    // A clock that went back must not stop renewal for ever.
    if state.sequence != 0 && renewed_at <= now && now.since(renewed_at) < RENEWAL {
        let Some(upload) = records.get(&key(PREKEY_UPLOAD, &[]))? else { return Ok(Vec::new()) };
        let upload =
            decode::<PrekeyUpload>(&upload, Limit::RECORD).map_err(|_| EngineError::DamagedRecord)?;
        return Ok([Effect::PublishPrekeys(upload.into_unchecked())].into());
    }
    // An upload that still waits is replaced: it may have expired before the relay could be reached.
    renew(device, records, &mut state, now, rng)
}

fn renew(
    device: &Device,
    records: &mut Overlay<'_>,
    state: &mut PrekeyState,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    drop_expired(records, state, now);
    let upload = make_batch(device, records, state, now, rng)?;
    save(records, key(PREKEY_STATE, &[]), state);
    records.put(key(PREKEY_UPLOAD, &[]), encode(&upload));
    Ok([Effect::PublishPrekeys(upload)].into())
}

/// The relay will never take the batch: it is not repeated (R-ENGINE-12). Its secrets stay, because the relay
/// may have handed out what it refuses to take again.
pub(crate) fn refused(
    device: &Device,
    records: &mut Overlay<'_>,
    sequence: u64,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut state: PrekeyState = load(records, &key(PREKEY_STATE, &[]))?.unwrap_or_default();
    // Another process may have dealt with it.
    if state.sequence != sequence || records.get(&key(PREKEY_UPLOAD, &[]))?.is_none() {
        return Ok(Vec::new());
    }
    if now.since(Timestamp::from_millis(state.made_at)) >= REFUSED_AT_BIRTH {
        return renew(device, records, &mut state, now, rng);
    }
    records.delete(key(PREKEY_UPLOAD, &[]));
    state.sequence = sequence.saturating_add(SEQUENCE_STEP);
    save(records, key(PREKEY_STATE, &[]), &state);
    Ok(Vec::new())
}

fn make_batch(
    device: &Device,
    records: &mut Overlay<'_>,
    state: &mut PrekeyState,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<PrekeyUpload, EngineError> {
    let sequence = state.sequence.saturating_add(1).max(now.as_millis());
    let first_id = state.next_id.max(1);
    let expires = now.after(LIFETIME);
    let made = generate_batch(
        device.keys(),
        &BatchPlan {
            device_id: device.device_id(),
            sequence,
            first_id,
            one_time_pairs: ONE_TIME_PAIRS,
            expires,
        },
        rng,
    )
    .map_err(|_| EngineError::Misuse("prekey identifiers are exhausted"))?;
    let end_id = made.next_id;
    for (id, secret) in &made.secrets {
        records.put(secret_key(*id), secret.expose().to_vec());
    }
    state.sequence = sequence;
    state.next_id = end_id;
    state.made_at = now.as_millis();
    state.batches.push(PrekeyBatchRecord { first_id, end_id, expires: expires.as_millis() });
    Ok(made.upload)
}

/// Forgets the private halves of batches whose time and grace are over.
fn drop_expired(records: &mut Overlay<'_>, state: &mut PrekeyState, now: Timestamp) {
    let is_over = |batch: &PrekeyBatchRecord| Timestamp::from_millis(batch.expires).after(GRACE) < now;
    for batch in state.batches.iter().filter(|batch| is_over(batch)) {
        for id in batch.first_id..batch.end_id {
            for kind in KINDS {
                records.delete(secret_key(PrekeyId { kind, id }));
            }
        }
    }
    state.batches.retain(|batch| !is_over(batch));
}

/// The relay has the batch: it need not be repeated.
pub(crate) fn published(records: &mut Overlay<'_>, sequence: u64) -> Result<(), EngineError> {
    let mut state: PrekeyState = load(records, &key(PREKEY_STATE, &[]))?.unwrap_or_default();
    if state.sequence == sequence {
        records.delete(key(PREKEY_UPLOAD, &[]));
    }
    state.published = state.published.max(sequence);
    save(records, key(PREKEY_STATE, &[]), &state);
    Ok(())
}

/// Renews the batch if the relay was put back from an old copy: it has an older batch than it confirmed, or more pairs than this
/// device has left, and would hand out used ones again (R-ENGINE-28).
pub(crate) fn at_relay(
    device: &Device,
    records: &mut Overlay<'_>,
    (sequence, pairs): (u64, u32),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut state: PrekeyState = load(records, &key(PREKEY_STATE, &[]))?.unwrap_or_default();
    if state.published == 0 || records.get(&key(PREKEY_UPLOAD, &[]))?.is_some() {
        return Ok(Vec::new());
    }
    if !heal::is_over(state.made_at, LATELY, now) {
        return Ok(Vec::new());
    }
    let is_behind = sequence < state.published;
    let has_too_many = sequence == state.published && pairs > pairs_left(records, &state)?;
    if is_behind || has_too_many { renew(device, records, &mut state, now, rng) } else { Ok(Vec::new()) }
}

/// One-time pairs of the newest batch of which nothing was used.
fn pairs_left(records: &dyn Records, state: &PrekeyState) -> Result<u32, EngineError> {
    let mut left = 0_u32;
    let Some(newest) = state.batches.last() else { return Ok(0) };
    for id in newest.first_id..newest.end_id {
        let curve = PrekeyId { kind: PrekeyKind::OneTimeCurve, id };
        if records.get(&secret_key(curve))?.is_some() {
            left = left.saturating_add(1);
        }
    }
    Ok(left)
}

/// Forgets a one-time prekey that was used.
pub(crate) fn consume(records: &mut Overlay<'_>, id: PrekeyId) {
    records.delete(secret_key(id));
}

/// Records a handshake over a last-resort prekey; `false` if it was seen before or the record is full.
///
/// `lasting` are the prekeys that it used and that stay: the record is kept for as long as all of them do.
pub(crate) fn record_handshake(
    records: &mut Overlay<'_>,
    handshake: &[u8; 32],
    lasting: &[PrekeyId],
) -> Result<bool, EngineError> {
    let name = key(REPLAY, &[handshake]);
    if records.get(&name)?.is_some() {
        return Ok(false);
    }
    let queue = Queue::new(REPLAY_QUEUE, b"");
    drop_old_handshakes(records, queue)?;
    if queue.len(records)? >= MAX_REPLAY_RECORDS {
        return Ok(false);
    }
    records.put(name, lasting.iter().flat_map(|id| secret_name(*id)).collect());
    queue.push(records, handshake.to_vec())?;
    Ok(true)
}

/// Forgets handshakes whose prekey is gone by now: after that, a replay finds no key.
///
/// Asked of the keys themselves and not of a clock, which may have been wrong when the handshake came, or of a
/// schedule, which a device that was away has not kept (R-HANDSHAKE-11).
fn drop_old_handshakes(records: &mut Overlay<'_>, queue: Queue<'_>) -> Result<(), EngineError> {
    loop {
        let state = queue.state(records)?;
        let Some(oldest) = records.get(&queue.item_key(state.first))? else { return Ok(()) };
        let name = key(REPLAY, &[&oldest]);
        let lasting = records.get(&name)?.unwrap_or_default();
        let mut all_held = !lasting.is_empty();
        for id in lasting.chunks(SECRET_NAME_LEN) {
            all_held = all_held && records.get(&key(PREKEY, &[id]))?.is_some();
        }
        if all_held {
            return Ok(());
        }
        records.delete(name);
        queue.remove(records, state.first)?;
    }
}

/// The private halves in the store, as the handshake asks for them.
pub(crate) struct StoredSecrets<'a> {
    records: &'a dyn Records,
    error: RefCell<Option<RecordsError>>,
}

impl<'a> StoredSecrets<'a> {
    pub(crate) const fn new(records: &'a dyn Records) -> Self {
        Self { records, error: RefCell::new(None) }
    }

    /// Returns the error that a lookup met, which otherwise looks like a missing key.
    pub(crate) fn check(self) -> Result<(), EngineError> {
        self.error.into_inner().map_or(Ok(()), |error| Err(error.into()))
    }
}

impl PrekeySecrets for StoredSecrets<'_> {
    fn secret(&self, id: PrekeyId) -> Option<SecretBytes> {
        match self.records.get(&secret_key(id)) {
            Ok(found) => found.map(SecretBytes::new),
            Err(error) => {
                *self.error.borrow_mut() = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_handshake_is_refused_for_as_long_as_its_keys_exist_whatever_the_clock_says_r_engine_10() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let lasting = |id| {
            [
                PrekeyId { kind: PrekeyKind::Signed, id },
                PrekeyId { kind: PrekeyKind::LastResortKem, id: id + 1 },
            ]
        };
        for id in lasting(1).into_iter().chain(lasting(3)) {
            records.put(secret_key(id), [7; 32].into());
        }
        assert!(record_handshake(&mut records, &[1; 32], &lasting(1)).unwrap());
        assert!(record_handshake(&mut records, &[2; 32], &lasting(3)).unwrap());
        for _ in 0..2 {
            assert!(!record_handshake(&mut records, &[1; 32], &lasting(1)).unwrap());
            assert!(!record_handshake(&mut records, &[2; 32], &lasting(3)).unwrap());
        }
        // One of the two keys is enough to go: without it a replay computes nothing.
        let [_, last_resort] = lasting(1);
        consume(&mut records, last_resort);
        assert!(record_handshake(&mut records, &[3; 32], &lasting(3)).unwrap());
        assert!(records.get(&key(REPLAY, &[&[1; 32]])).unwrap().is_none(), "its place is free");
        assert!(!record_handshake(&mut records, &[2; 32], &lasting(3)).unwrap());
    }
}
