//! Sessions by peer device, as in Sesame: one active, a few archived that may still receive.

use alloc::vec::Vec;

use chancery_core::{Session, Tag, TagChange};
use chancery_crypto::secret::SecretBytes;
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::PeerRecord;
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::tables::{PEER, SESSION, TAG, key, load, save};

/// Archived sessions kept for a peer device: 8. Late messages of a session that was replaced still open;
/// more would only lengthen the time that an old state is worth stealing (R-ENGINE-7).
pub const MAX_ARCHIVED: usize = 8;

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

/// Whether a device is not known as another member's. A device is one member's for ever, so that no session
/// with it, old or new, changes its author (R-CONTENT-3).
pub(crate) fn may_be_of(
    records: &dyn Records,
    device: &DeviceId,
    member_id: &MemberId,
) -> Result<bool, EngineError> {
    let known = peer(records, device)?.member_id;
    Ok(known.is_empty() || known == member_id.as_bytes())
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

/// Stores a new session with all its tags and makes it the active one of its peer.
pub(crate) fn add_session(
    records: &mut Overlay<'_>,
    session: &Session,
    member_id: &MemberId,
) -> Result<(), EngineError> {
    let change = TagChange { added: session.tags(), removed: Vec::new() };
    save_session(records, session, &change);
    activate(records, session, Some(member_id))
}

/// Makes a session the active one, because it was just made or just received on; archives the other.
pub(crate) fn activate(
    records: &mut Overlay<'_>,
    session: &Session,
    member_id: Option<&MemberId>,
) -> Result<(), EngineError> {
    let device = session.peer_device();
    let id = session.id().to_vec();
    let mut peer = peer(records, &device)?;
    if peer.active == id {
        return Ok(());
    }
    if let Some(member_id) = member_id {
        peer.member_id = member_id.as_bytes().to_vec();
    }
    peer.archived.retain(|archived| *archived != id);
    let replaced = core::mem::replace(&mut peer.active, id);
    if !replaced.is_empty() {
        peer.archived.push(replaced);
    }
    while peer.archived.len() > MAX_ARCHIVED {
        let oldest = peer.archived.remove(0);
        forget_session(records, &oldest)?;
    }
    save_peer(records, &device, &peer);
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
