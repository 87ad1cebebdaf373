//! Credentials of devices, verified once and kept (R-ENGINE-72).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::ed25519::GroupVerifyingKey;
use chancery_crypto::rng::CryptoRng;
use chancery_group::{Entry, Rows as _};
use chancery_identity::delivery::Use;
use chancery_identity::{Credential, DeviceId, MemberId};
use chancery_wire::proto::{
    self, CredentialBody, GetCredential, GroupAsked, GroupCredentialRecord, GroupWantedRecord,
};
use chancery_wire::records::{Overlay, RecordKey, Records};
use chancery_wire::{Limit, Timestamp, Unverified, decode};

use crate::directory;
use crate::effect::{Effect, Notice};
use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::group::rows::GroupRows;
use crate::group::turn::{Trigger, Turn};
use crate::group::{GroupStep, state};
use crate::log;
use crate::tables::{GROUP_CREDENTIAL, GROUP_WANTED, key, load, save};

/// How long a credential that the relay did not have is not asked for again: a minute, in milliseconds. The device publishes it
/// with its next batch.
const PAUSE: u64 = 60_000;
/// Credentials that are waited for: 1,024, more than one commit names authors or members; the oldest are forgotten, and wanted
/// again by what needs them.
const MAX_WANTED: usize = 1024;

fn credential_key(device: &DeviceId) -> RecordKey {
    key(GROUP_CREDENTIAL, &[device.as_bytes()])
}

fn record(records: &dyn Records, device: &DeviceId) -> Result<Option<GroupCredentialRecord>, EngineError> {
    load(records, &credential_key(device))
}

/// Whether a device's credential is here.
pub(crate) fn is_here(records: &dyn Records, device: &DeviceId) -> Result<bool, EngineError> {
    Ok(records.get(&credential_key(device))?.is_some())
}

/// Returns a device's credential, if it is here: verified, and the one that the log has.
pub(crate) fn get(
    me: &Acting<'_>,
    records: &dyn Records,
    device: &DeviceId,
) -> Result<Option<Credential>, EngineError> {
    if *device == me.device_id() {
        return Ok(Some(me.credential().clone()));
    }
    let Some(signed) = record(records, device)?.and_then(|record| record.credential) else { return Ok(None) };
    verify(me, &signed).map(Some).ok_or(EngineError::DamagedRecord)
}

/// Verifies a credential at the time when it was issued: what it is worth at another says the log.
fn verify(me: &Acting<'_>, signed: &proto::Signed) -> Option<Credential> {
    let body: CredentialBody = decode(&signed.body, Limit::STATEMENT).ok()?.into_unchecked();
    let issued = Timestamp::from_millis(body.not_before);
    me.believed().verify_credential(Unverified::new(signed.clone()), issued).ok()
}

/// Returns the key of an entry's messages; `None` if the credential is not here. Refuses an entry whose credential has another.
pub(crate) fn message_key(
    me: &Acting<'_>,
    records: &dyn Records,
    entry: &Entry,
) -> Result<Option<Result<GroupVerifyingKey, ()>>, EngineError> {
    let (hash, group_key) = if entry.device == me.device_id() {
        (me.credential().hash().to_vec(), me.credential().group_key().as_bytes().to_vec())
    } else {
        let Some(record) = record(records, &entry.device)? else { return Ok(None) };
        (record.hash, record.group_key)
    };
    let fits = hash == entry.credential && group_key == entry.group_key;
    let key = GroupVerifyingKey::from_bytes(&entry.group_key).ok().filter(|_| fits);
    Ok(Some(key.ok_or(())))
}

fn wanted(records: &dyn Records) -> Result<GroupWantedRecord, EngineError> {
    Ok(load(records, &key(GROUP_WANTED, &[]))?.unwrap_or_default())
}

/// Notes that a device's credential has to be fetched; a step asks the relay for it.
pub(crate) fn want(records: &mut Overlay<'_>, device: &DeviceId) -> Result<(), EngineError> {
    let mut wanted = wanted(records)?;
    if wanted.devices.iter().any(|it| it.device_id == device.as_bytes()) || is_here(records, device)? {
        return Ok(());
    }
    if wanted.devices.len() >= MAX_WANTED {
        wanted.devices.remove(0);
    }
    wanted.devices.push(GroupAsked { device_id: device.as_bytes().to_vec(), at: 0 });
    save(records, key(GROUP_WANTED, &[]), &wanted);
    Ok(())
}

/// Takes over what the relay has of a device, if the log has the same.
pub(crate) fn fetched(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    (device, signed): (&DeviceId, Option<proto::Signed>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let logged = log::device(records, device)?.unwrap_or_default();
    let credential = signed.as_ref().and_then(|signed| verify(me, signed)).filter(|it| {
        it.device_id() == *device
            && logged.commitment == it.hash().as_slice()
            && logged.member_id == it.member_id().as_bytes()
    });
    let mut wanted = wanted(records)?;
    let Some(credential) = credential else {
        for it in wanted.devices.iter_mut().filter(|it| it.device_id == device.as_bytes()) {
            it.at = now.as_millis().max(1);
        }
        save(records, key(GROUP_WANTED, &[]), &wanted);
        // What the relay has of the device is not what the log has.
        let member = signed.and_then(|signed| verify(me, &signed)).map(|it| it.member_id());
        let news = member.map(|member| Notice::UnloggedCredential { device: *device, member });
        return Ok(news.into_iter().map(Effect::Notify).collect());
    };
    wanted.devices.retain(|it| it.device_id != device.as_bytes());
    save(records, key(GROUP_WANTED, &[]), &wanted);
    let record = GroupCredentialRecord {
        hash: credential.hash().to_vec(),
        group_key: credential.group_key().as_bytes().to_vec(),
        member_id: credential.member_id().as_bytes().to_vec(),
        credential: Some(credential.signed().clone()),
    };
    save(records, credential_key(device), &record);
    let mut turn = Turn::new(me, records, now, rng);
    turn.triggers.push(Trigger::Credential(*device));
    turn.settle()
}

/// Returns the next credential to ask for.
pub(crate) fn next_step(
    engine: &Engine,
    records: &dyn Records,
    now: Timestamp,
    blocked: &BTreeSet<[u8; 16]>,
) -> Result<Option<GroupStep>, EngineError> {
    for it in wanted(records)?.devices {
        let device = DeviceId::from_bytes(&it.device_id).ok_or(EngineError::DamagedRecord)?;
        // What lies ahead was noted by a clock that was wrong.
        let rests = it.at != 0 && it.at <= now.as_millis() && now.as_millis() < it.at.saturating_add(PAUSE);
        if rests || blocked.contains(device.as_bytes()) {
            continue;
        }
        if let Some(frame) = request(engine, records, &device)? {
            return Ok(Some(GroupStep::Credential { device, frame }));
        }
    }
    Ok(None)
}

/// Returns the request for a device's credential. A guest has no token of a device outside its reach, and shows instead that it is
/// in a group with it; `None` for one that is neither, which would be refused (R-RELAY-79).
fn request(
    engine: &Engine,
    records: &dyn Records,
    device: &DeviceId,
) -> Result<Option<GetCredential>, EngineError> {
    let token = |of| engine.delivery_token(records, (of, device.as_bytes()));
    let by_mailbox = GetCredential {
        device_id: device.as_bytes().to_vec(),
        token: token(Use::Mailbox)?,
        group_key: Vec::new(),
    };
    if !by_mailbox.token.is_empty() {
        return Ok(Some(by_mailbox));
    }
    if let Some(entry) = in_a_roster(records, device)? {
        let (token, group_key) = (token(Use::Send)?, entry.group_key.to_vec());
        return Ok(Some(GetCredential { token, group_key, ..by_mailbox }));
    }
    // Of a member within reach the directory brings the token.
    let member = MemberId::from_bytes(&log::device(records, device)?.unwrap_or_default().member_id);
    let is_within = member.map(|member| directory::member(records, &member)).transpose()?.flatten().is_some();
    Ok(is_within.then_some(by_mailbox))
}

/// Returns a device's entry in the roster of a group.
fn in_a_roster(records: &dyn Records, device: &DeviceId) -> Result<Option<Entry>, EngineError> {
    for group in state::ids(records)? {
        let rows = GroupRows::new(records, group);
        let slot = rows.slot_of(device).map_err(|_| EngineError::DamagedRecord)?;
        let entry = slot.map(|slot| rows.entry(slot)).transpose().map_err(|_| EngineError::DamagedRecord)?;
        if let Some(entry) = entry.flatten().and_then(|bytes| Entry::from_bytes(&bytes)) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}
