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
use crate::tables::{PEER, PEER_INDEX, SESSION, TAG, key, load, save};

/// Archived sessions kept for a peer device: 8. Late messages of a session that was replaced still open;
/// more would only lengthen the time that an old state is worth stealing (R-ENGINE-7).
pub const MAX_ARCHIVED: usize = 8;
/// How long an archived session is kept without use: 30 days, as long as the keys of messages that were passed
/// over (R-ENGINE-17).
pub const ARCHIVED_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Sessions of two sides that were made within this time of each other are rivals: 1 h, as long as a peer
/// waits before it heals again.
const TIE: Duration = Duration::from_secs(60 * 60);
const TIE_MILLIS: u64 = 60 * 60 * 1000;

/// Returns what is known of a peer device.
pub(crate) fn peer(records: &dyn Records, device: &DeviceId) -> Result<PeerRecord, EngineError> {
    Ok(load(records, &key(PEER, &[device.as_bytes()]))?.unwrap_or_default())
}

pub(crate) fn save_peer(records: &mut Overlay<'_>, device: &DeviceId, peer: &PeerRecord) {
    save(records, key(PEER, &[device.as_bytes()]), peer);
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
}

/// Stores a new session with all its tags and makes it the active one of its peer, unless both sides have begun
/// one at once and the other one is to be kept (R-ENGINE-16).
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
    let keeps_active = !origin.began_here && yields(records, &peer, (&id, origin), now)?;
    peer.notes.push(SessionNote {
        session_id: id.clone(),
        made_at: now.as_millis(),
        used_at: now.as_millis(),
        began_here: origin.began_here,
        healing: origin.healing,
        sent_at: now.as_millis(),
    });
    if keeps_active {
        peer.archived.push(id);
    } else {
        let replaced = core::mem::replace(&mut peer.active, id);
        if !replaced.is_empty() {
            peer.archived.push(replaced);
        }
    }
    drop_surplus(records, &mut peer)?;
    save_peer(records, &device, &peer);
    Ok(())
}

/// Whether a session that the peer has begun yields to the active one: both were begun before either side knew of
/// the other's, and both sides keep the one with the lower identifier.
fn yields(
    records: &dyn Records,
    peer: &PeerRecord,
    (id, origin): (&[u8], Origin),
    now: Timestamp,
) -> Result<bool, EngineError> {
    let Some(active) = note(peer, &peer.active) else { return Ok(false) };
    let is_young = now.since(Timestamp::from_millis(active.made_at)) < TIE;
    // A peer that heals cannot read what the active session sends, unless that heals as well.
    if !active.began_here || !is_young || (origin.healing && !active.healing) {
        return Ok(false);
    }
    let answered = session(records, &peer.active)?.is_none_or(|session| session.has_received());
    Ok(!answered && peer.active.as_slice() < id)
}

/// A message was received on a session: it may become the active one (R-ENGINE-16).
pub(crate) fn used(records: &mut Overlay<'_>, session: &Session, now: Timestamp) -> Result<(), EngineError> {
    let (device, id) = (session.peer_device(), session.id().to_vec());
    let mut peer = peer(records, &device)?;
    index(records, &device, &mut peer)?;
    match peer.notes.iter_mut().find(|note| note.session_id == id) {
        Some(note) => note.used_at = now.as_millis(),
        None => peer.notes.push(SessionNote {
            session_id: id.clone(),
            made_at: now.as_millis(),
            used_at: now.as_millis(),
            sent_at: now.as_millis(),
            ..SessionNote::default()
        }),
    }
    if peer.active != id && returns(records, &peer, &id, now)? {
        peer.archived.retain(|archived| *archived != id);
        let replaced = core::mem::replace(&mut peer.active, id);
        if !replaced.is_empty() {
            peer.archived.push(replaced);
        }
    }
    save_peer(records, &device, &peer);
    Ok(())
}

/// A message was sealed with a session.
pub(crate) fn sent(records: &mut Overlay<'_>, session: &Session, now: Timestamp) -> Result<(), EngineError> {
    let device = session.peer_device();
    let mut peer = peer(records, &device)?;
    if let Some(note) = peer.notes.iter_mut().find(|note| note.session_id == session.id()) {
        note.sent_at = now.as_millis();
        save_peer(records, &device, &peer);
    }
    Ok(())
}

/// Enters a peer device among those that upkeep looks after next.
pub(crate) fn set_due(records: &mut Overlay<'_>, device: &DeviceId, due: bool) -> Result<(), EngineError> {
    let mut index: PeerIndex = load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default();
    index.due.retain(|id| id != device.as_bytes());
    if due {
        index.due.push(device.as_bytes().to_vec());
    }
    save(records, key(PEER_INDEX, &[]), &index);
    Ok(())
}

/// Returns the devices that upkeep has to look after.
pub(crate) fn due(records: &dyn Records) -> Result<Vec<DeviceId>, EngineError> {
    let index: PeerIndex = load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default();
    Ok(index.due.iter().filter_map(|id| DeviceId::from_bytes(id)).collect())
}

/// Whether an archived session that the peer still uses becomes active again.
fn returns(records: &dyn Records, peer: &PeerRecord, id: &[u8], now: Timestamp) -> Result<bool, EngineError> {
    let Some(active) = session(records, &peer.active)? else { return Ok(true) };
    let made_at = note(peer, &peer.active).map_or(0, |note| note.made_at);
    if active.has_received() {
        // Both sides may use either; both settle on the same. One that was made to heal an older one is no rival.
        let healing = note(peer, &peer.active).is_some_and(|note| note.healing);
        let rivals =
            |note: &SessionNote| note.healing == healing && note.made_at.abs_diff(made_at) < TIE_MILLIS;
        return Ok(note(peer, id).is_some_and(rivals) && id < peer.active.as_slice());
    }
    // The peer never answered on the active one, and plainly does not have it.
    Ok(now.since(Timestamp::from_millis(made_at)) >= TIE)
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
    let mut index: PeerIndex = load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default();
    if !index.device_ids.iter().any(|id| id == device.as_bytes()) {
        index.device_ids.push(device.as_bytes().to_vec());
        save(records, key(PEER_INDEX, &[]), &index);
    }
    Ok(())
}

/// Returns the devices with which there are or were sessions.
pub(crate) fn all(records: &dyn Records) -> Result<Vec<DeviceId>, EngineError> {
    let index: PeerIndex = load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default();
    Ok(index.device_ids.iter().filter_map(|id| DeviceId::from_bytes(id)).collect())
}

/// Ends one session: what is sent from now on needs another.
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
        peer.active = Vec::new();
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
    let mut index: PeerIndex = load(records, &key(PEER_INDEX, &[]))?.unwrap_or_default();
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

/// Drops archived sessions that were not used for [`ARCHIVED_LIFETIME`], and keys of messages that were passed
/// over long ago (R-ENGINE-17).
pub(crate) fn tidy(records: &mut Overlay<'_>, device: &DeviceId, now: Timestamp) -> Result<(), EngineError> {
    let mut peer = peer(records, device)?;
    let is_old = |id: &Vec<u8>| {
        let used_at = note(&peer, id).map_or(now.as_millis(), |note| note.used_at);
        now.since(Timestamp::from_millis(used_at)) >= ARCHIVED_LIFETIME
    };
    let (old, kept): (Vec<_>, Vec<_>) = peer.archived.iter().cloned().partition(is_old);
    // What an earlier version archived counts from the first look on.
    for id in &kept {
        if note(&peer, id).is_none() {
            let (session_id, used_at) = (id.clone(), now.as_millis());
            peer.notes.push(SessionNote { session_id, used_at, ..SessionNote::default() });
        }
    }
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
mod tests {
    use alloc::collections::BTreeMap;
    use chancery_wire::records::RecordKey;

    use super::*;

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
