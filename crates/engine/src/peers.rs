//! Sessions by peer device, as in Sesame: one active, a few archived that may still receive.

use alloc::vec::Vec;
use core::time::Duration;

use chancery_core::{Session, Tag, TagChange};
use chancery_crypto::secret::SecretBytes;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::{PeerIndex, PeerRecord, SessionNote};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::log;
use crate::tables::{PEER, PEER_INDEX, SESSION, TAG, key, load, save};

/// Archived sessions kept for a peer device: 8. Late messages of a session that was replaced still open;
/// more would only lengthen the time that an old state is worth stealing (R-ENGINE-7).
pub const MAX_ARCHIVED: usize = 8;
/// How long an archived session is kept, used or not: 30 days, as long as the keys of messages that were passed
/// over. Whoever stole it can use it no longer than that (R-ENGINE-17).
pub(crate) const ARCHIVED_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// New sessions to heal that may be unanswered by one device at a time: 3. Its answer may come over any of them, so
/// that none may make room for the next before that (R-ENGINE-24).
pub(crate) const MAX_UNANSWERED: usize = 3;
/// After this time, 7 days, another is begun all the same: the device may have lost them all.
pub(crate) const UNANSWERED_PAUSE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// With no active session, one that was archived within this time comes back if the peer uses it: 1 h, as long as a peer
/// waits before it heals again. An older one never does: somebody else may hold it as well (R-ENGINE-16).
const LATELY: Duration = Duration::from_secs(60 * 60);

/// Returns what is known of a peer device.
pub(crate) fn peer(records: &dyn Records, device: &DeviceId) -> Result<PeerRecord, EngineError> {
    Ok(load(records, &key(PEER, &[device.as_bytes()]))?.unwrap_or_default())
}

pub(crate) fn save_peer(records: &mut Overlay<'_>, device: &DeviceId, peer: &PeerRecord) {
    save(records, key(PEER, &[device.as_bytes()]), peer);
}

fn peer_index(records: &dyn Records) -> Result<PeerIndex, EngineError> {
    Ok(load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default())
}

/// Returns the member that a peer device was seen to belong to.
pub(crate) fn peer_member(records: &dyn Records, device: &DeviceId) -> Result<MemberId, EngineError> {
    MemberId::from_bytes(&peer(records, device)?.member_id).ok_or(EngineError::DamagedRecord)
}

/// Whether a device is not known as another member's, nor as removed. A device is one member's for ever, so that no session
/// with it, old or new, changes its author (R-CONTENT-3).
pub(crate) fn may_be_of(
    records: &dyn Records,
    device: &DeviceId,
    member_id: &MemberId,
) -> Result<bool, EngineError> {
    let known = peer(records, device)?;
    Ok(!known.removed && (known.member_id.is_empty() || known.member_id == member_id.as_bytes()))
}

/// Notes when the credential was issued that a device has shown.
pub(crate) fn shown(records: &mut Overlay<'_>, device: &DeviceId, issued_at: u64) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    peer.issued_at = issued_at;
    save_peer(records, device, &peer);
    Ok(())
}

/// Notes until when the credential holds that a device has shown.
pub(crate) fn holds_until(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    not_after: Timestamp,
) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    peer.not_after = not_after.as_millis();
    save_peer(records, device, &peer);
    Ok(())
}

/// Whether the credential that a device has shown has expired, by the log's time (R-ENGINE-57).
pub(crate) fn is_expired(
    records: &dyn Records,
    device: &DeviceId,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let peer = peer(records, device)?;
    let is_over = peer.not_after != 0 && log::time(records, now)?.as_millis() >= peer.not_after;
    // A clock that has run ahead makes the log old first; what it says of the time then ends nobody's credential.
    Ok(is_over && log::state_now(records, now)?.allows_sealing())
}

/// Returns the devices of a member that have shown a credential which is older than `version` of the member's entry.
pub(crate) fn older_than(
    records: &dyn Records,
    member_id: &MemberId,
    version: u64,
) -> Result<Vec<DeviceId>, EngineError> {
    let mut older = Vec::new();
    for device in all(records)? {
        let peer = peer(records, &device)?;
        if peer.member_id == member_id.as_bytes() && peer.issued_at != 0 && version > peer.issued_at {
            older.push(device);
        }
    }
    Ok(older)
}

/// Whether nothing may be sent to a device any more: the directory dropped it, or the log ended it.
pub(crate) const fn is_out(peer: &PeerRecord) -> bool {
    peer.removed || peer.ended
}

/// Loads a session by identifier.
pub(crate) fn session(records: &dyn Records, id: &[u8]) -> Result<Option<Session>, EngineError> {
    match records.get(&key(SESSION, &[id]))? {
        None => Ok(None),
        Some(bytes) => Session::from_bytes(SecretBytes::new(bytes).expose())
            .map(Some)
            .map_err(|_| EngineError::DamagedRecord),
    }
}

/// Loads the session that messages to a peer device are encrypted with.
pub(crate) fn active_session(
    records: &dyn Records,
    device: &DeviceId,
) -> Result<Option<Session>, EngineError> {
    let peer = peer(records, device)?;
    if peer.active.is_empty() { Ok(None) } else { session(records, &peer.active) }
}

/// Finds the session that expects `tag`.
pub(crate) fn session_by_tag(records: &dyn Records, tag: &Tag) -> Result<Option<Session>, EngineError> {
    match records.get(&key(TAG, &[tag.as_bytes()]))? {
        None => Ok(None),
        Some(id) => session(records, &id),
    }
}

/// Stores a session's state and what became of the tags it expects.
pub(crate) fn save_session(records: &mut Overlay<'_>, session: &Session, change: &TagChange) {
    records.put(key(SESSION, &[&session.id()]), session.to_bytes().expose().to_vec());
    for tag in &change.removed {
        records.delete(key(TAG, &[tag.as_bytes()]));
    }
    for tag in &change.added {
        records.put(key(TAG, &[tag.as_bytes()]), session.id().to_vec());
    }
}

/// Why a session becomes known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Whether this device began it.
    pub(crate) began_here: bool,
    /// Whether it was begun to heal.
    pub(crate) healing: bool,
    /// Its place in the order of sessions, as its first content says; 0 if it says nothing.
    pub(crate) begun_at: u64,
}

/// Stores a new session with all its tags and makes it the active one of its peer (R-ENGINE-16): one that the peer
/// has begun is known to both, which nobody can say of one that this device has begun and that was not answered.
pub(crate) fn add_session(
    records: &mut Overlay<'_>,
    session: &Session,
    (member_id, origin): (&MemberId, Origin),
    now: Timestamp,
) -> Result<(), EngineError> {
    let change = TagChange { added: session.tags(), removed: Vec::new() };
    save_session(records, session, &change);
    let (device, id) = (session.peer_device(), session.id().to_vec());
    let mut peer = peer(records, &device)?;
    peer.member_id = member_id.as_bytes().to_vec();
    index(records, &device, &mut peer)?;
    peer.notes.push(SessionNote {
        session_id: id.clone(),
        made_at: now.as_millis(),
        began_here: origin.began_here,
        healing: origin.healing,
        archived_at: 0,
        begun_at: origin.begun_at,
    });
    if !origin.began_here {
        // The first content of this side in the new session says again what it knows of the log (R-CONTENT-12).
        peer.log_told = 0;
    }
    activate(&mut peer, id, now);
    drop_surplus(records, &mut peer)?;
    save_peer(records, &device, &peer);
    Ok(())
}

/// Returns what the first content of a new session with a device says of when it was begun: above all others, whatever the
/// clock says (R-ENGINE-16).
pub(crate) fn begin_at(peer: &PeerRecord, now: Timestamp) -> u64 {
    let after = peer.notes.iter().map(|note| note.begun_at.saturating_add(1)).max().unwrap_or_default();
    after.max(now.as_millis())
}

/// Returns a session's place in the order that both sides know: the later one, of two that begin at once that with the higher
/// identifier.
fn rank<'a>(peer: &PeerRecord, id: &'a [u8]) -> (u64, &'a [u8]) {
    (note(peer, id).map_or(0, |note| note.begun_at), id)
}

/// Makes a session the active one; the one before is archived.
fn activate(peer: &mut PeerRecord, id: Vec<u8>, now: Timestamp) {
    peer.archived.retain(|archived| *archived != id);
    if let Some(note) = peer.notes.iter_mut().find(|note| note.session_id == id) {
        note.archived_at = 0;
    }
    let replaced = core::mem::replace(&mut peer.active, id);
    if replaced.is_empty() {
        return;
    }
    if let Some(note) = peer.notes.iter_mut().find(|note| note.session_id == replaced) {
        note.archived_at = now.as_millis().max(1);
    }
    peer.archived.push(replaced);
}

/// Whether another session to heal with a device has to wait for answers on those that there are (R-ENGINE-24).
pub(crate) fn awaits_answers(
    records: &dyn Records,
    peer: &PeerRecord,
    now: Timestamp,
) -> Result<bool, EngineError> {
    let (mut unanswered, mut newest) = (0, 0);
    for note in peer.notes.iter().filter(|note| note.began_here && note.healing) {
        if session(records, &note.session_id)?.is_some_and(|session| !session.has_received()) {
            unanswered = usize::saturating_add(unanswered, 1);
            newest = note.made_at.max(newest);
        }
    }
    let newest = Timestamp::from_millis(newest);
    Ok(unanswered >= MAX_UNANSWERED && newest <= now && now.since(newest) < UNANSWERED_PAUSE)
}

/// A message was received on a session, perhaps the first: it may become the active one (R-ENGINE-16).
pub(crate) fn used(
    records: &mut Overlay<'_>,
    (session, is_first): (&Session, bool),
    now: Timestamp,
) -> Result<(), EngineError> {
    let (device, id) = (session.peer_device(), session.id().to_vec());
    let before = peer(records, &device)?;
    let mut peer = before.clone();
    index(records, &device, &mut peer)?;
    if note(&peer, &id).is_none() {
        let made_at = now.as_millis();
        peer.notes.push(SessionNote { session_id: id.clone(), made_at, ..SessionNote::default() });
    }
    if peer.active != id && returns(records, &peer, (&id, is_first), now)? {
        activate(&mut peer, id, now);
    }
    // Most messages change nothing here.
    if peer != before {
        save_peer(records, &device, &peer);
    }
    Ok(())
}

/// Enters a peer device among those that upkeep looks after next.
pub(crate) fn set_due(records: &mut Overlay<'_>, device: &DeviceId, due: bool) -> Result<(), EngineError> {
    let mut index = peer_index(records)?;
    index.due.retain(|id| id != device.as_bytes());
    if due {
        index.due.push(device.as_bytes().to_vec());
    }
    save(records, key(PEER_INDEX, &[]), &index);
    Ok(())
}

/// Returns the devices that upkeep has to look after.
pub(crate) fn due(records: &dyn Records) -> Result<Vec<DeviceId>, EngineError> {
    Ok(peer_index(records)?.due.iter().filter_map(|id| DeviceId::from_bytes(id)).collect())
}

/// Whether an archived session that the peer still uses becomes active again: if it is above the active one in the order that
/// both sides know, so that both settle on the greatest on which both have received. An active one on which nothing was received
/// the peer perhaps does not have; it stays, because the answer on it is still to come (R-ENGINE-16).
fn returns(
    records: &dyn Records,
    peer: &PeerRecord,
    (id, is_first): (&[u8], bool),
    now: Timestamp,
) -> Result<bool, EngineError> {
    let Some(active) = session(records, &peer.active)? else {
        let archived_at = Timestamp::from_millis(note(peer, id).map_or(0, |note| note.archived_at));
        return Ok(is_first || (archived_at <= now && now.since(archived_at) < LATELY));
    };
    Ok(takes_over(peer, id, active.has_received()))
}

fn takes_over(peer: &PeerRecord, id: &[u8], active_has_received: bool) -> bool {
    active_has_received && rank(peer, id) > rank(peer, &peer.active)
}

pub(crate) fn note<'a>(peer: &'a PeerRecord, id: &[u8]) -> Option<&'a SessionNote> {
    peer.notes.iter().find(|note| note.session_id == id)
}

fn drop_surplus(records: &mut Overlay<'_>, peer: &mut PeerRecord) -> Result<(), EngineError> {
    while peer.archived.len() > MAX_ARCHIVED {
        let oldest = peer.archived.remove(0);
        forget_session(records, &oldest)?;
        peer.notes.retain(|note| note.session_id != oldest);
    }
    Ok(())
}

/// Enters a peer device in the index of those that upkeep looks after.
fn index(records: &mut Overlay<'_>, device: &DeviceId, peer: &mut PeerRecord) -> Result<(), EngineError> {
    if peer.indexed {
        return Ok(());
    }
    peer.indexed = true;
    let mut index = peer_index(records)?;
    if !index.device_ids.iter().any(|id| id == device.as_bytes()) {
        index.device_ids.push(device.as_bytes().to_vec());
        save(records, key(PEER_INDEX, &[]), &index);
    }
    Ok(())
}

/// Returns the devices with which there are or were sessions.
pub(crate) fn all(records: &dyn Records) -> Result<Vec<DeviceId>, EngineError> {
    Ok(peer_index(records)?.device_ids.iter().filter_map(|id| DeviceId::from_bytes(id)).collect())
}

/// Ends one session. If it was the active one, the greatest of the archived ones takes its place.
pub(crate) fn end_session(
    records: &mut Overlay<'_>,
    device: &DeviceId,
    id: &[u8],
) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    forget_session(records, id)?;
    peer.notes.retain(|note| note.session_id != id);
    peer.archived.retain(|archived| archived != id);
    if peer.active == id {
        let next = peer.archived.iter().max_by_key(|archived| rank(&peer, archived)).cloned();
        peer.active = Vec::new();
        if let Some(next) = next {
            activate(&mut peer, next, Timestamp::from_millis(0));
        }
    }
    save_peer(records, device, &peer);
    Ok(())
}

/// Forgets a device that is a member's no longer; nothing from it is believed any more (R-ENGINE-15).
pub(crate) fn remove(records: &mut Overlay<'_>, device: &DeviceId) -> Result<(), EngineError> {
    let old = peer(records, device)?;
    for id in old.archived.iter().chain([&old.active]).filter(|id| !id.is_empty()) {
        forget_session(records, id)?;
    }
    let mut index = peer_index(records)?;
    if old.indexed {
        index.device_ids.retain(|id| id != device.as_bytes());
        index.due.retain(|id| id != device.as_bytes());
        save(records, key(PEER_INDEX, &[]), &index);
    }
    let gone = PeerRecord { member_id: old.member_id, removed: true, ..PeerRecord::default() };
    save_peer(records, device, &gone);
    Ok(())
}

/// A directory entry names a device (again).
pub(crate) fn readmit(records: &mut Overlay<'_>, device: &DeviceId) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    if peer.removed {
        peer.removed = false;
        save_peer(records, device, &peer);
    }
    Ok(())
}

/// Drops sessions that were archived for [`ARCHIVED_LIFETIME`], and keys of messages that were passed over long ago
/// (R-ENGINE-17).
pub(crate) fn tidy(records: &mut Overlay<'_>, device: &DeviceId, now: Timestamp) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    for id in peer.archived.clone() {
        match peer.notes.iter_mut().find(|note| note.session_id == id) {
            // What an earlier version archived, or a clock that was ahead, counts from the first look on.
            Some(note) if note.archived_at == 0 || note.archived_at > now.as_millis() => {
                note.archived_at = now.as_millis().max(1);
            }
            Some(_) => {}
            None => {
                let archived_at = now.as_millis().max(1);
                peer.notes.push(SessionNote { session_id: id, archived_at, ..SessionNote::default() });
            }
        }
    }
    let is_old = |id: &Vec<u8>| {
        let archived_at = note(&peer, id).map_or(now.as_millis(), |note| note.archived_at);
        now.since(Timestamp::from_millis(archived_at)) >= ARCHIVED_LIFETIME
    };
    let (old, kept): (Vec<_>, Vec<_>) = peer.archived.iter().cloned().partition(is_old);
    for id in &old {
        forget_session(records, id)?;
        peer.notes.retain(|note| note.session_id != *id);
    }
    peer.archived = kept;
    for id in peer.archived.iter().chain([&peer.active]) {
        if let Some(mut session) = session(records, id)? {
            let change = session.expire(now);
            if change != TagChange::default() {
                save_session(records, &session, &change);
            }
        }
    }
    save_peer(records, device, &peer);
    Ok(())
}

fn forget_session(records: &mut Overlay<'_>, id: &[u8]) -> Result<(), EngineError> {
    if let Some(session) = session(records, id)? {
        for tag in session.tags() {
            records.delete(key(TAG, &[tag.as_bytes()]));
        }
    }
    records.delete(key(SESSION, &[id]));
    Ok(())
}

#[cfg(test)]
mod model;

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use chancery_wire::records::RecordKey;

    use super::*;

    #[test]
    fn a_device_that_showed_a_credential_is_measured_by_the_entry_s_version_r_engine_15() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let (device, alice) = (DeviceId::new([1; 16]), MemberId::new([2; 16]));
        let mut peer = PeerRecord { member_id: alice.as_bytes().to_vec(), ..PeerRecord::default() };
        index(&mut records, &device, &mut peer).unwrap();
        save_peer(&mut records, &device, &peer);
        assert!(older_than(&records, &alice, u64::MAX).unwrap().is_empty(), "nothing was shown");
        shown(&mut records, &device, 100).unwrap();
        assert!(older_than(&records, &alice, 100).unwrap().is_empty(), "the entry that names it first");
        assert_eq!(older_than(&records, &alice, 101).unwrap(), [device]);
        assert!(older_than(&records, &MemberId::new([3; 16]), 101).unwrap().is_empty());
    }

    #[test]
    fn without_an_active_session_an_old_archived_one_does_not_come_back_r_engine_16() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let (records, now) = (Overlay::new(&base), Timestamp::from_millis(1_000_000_000));
        let archived = |ago: u64| {
            let archived_at = now.as_millis() - ago * 60 * 1000;
            let note = SessionNote { session_id: [7; 16].into(), archived_at, ..SessionNote::default() };
            PeerRecord { archived: [[7; 16].into()].into(), notes: [note].into(), ..PeerRecord::default() }
        };
        let comes_back =
            |ago, is_first| returns(&records, &archived(ago), (&[7; 16], is_first), now).unwrap();
        assert!(comes_back(59, false));
        assert!(!comes_back(60, false));
        assert!(comes_back(60, true), "the first message on it");
    }

    #[test]
    fn a_device_stays_the_member_s_that_it_was_first_known_as_r_content_3() {
        let base: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut records = Overlay::new(&base);
        let (device, alice, bob) = (DeviceId::new([1; 16]), MemberId::new([2; 16]), MemberId::new([3; 16]));
        assert!(may_be_of(&records, &device, &alice).unwrap());
        let peer = PeerRecord { member_id: alice.as_bytes().to_vec(), ..PeerRecord::default() };
        save_peer(&mut records, &device, &peer);
        assert!(may_be_of(&records, &device, &alice).unwrap());
        assert!(!may_be_of(&records, &device, &bob).unwrap());
    }
}
