//! Whether a relay that says this device was ended can show that the organisation said so.

use alloc::vec::Vec;

use chancery_crypto::merkle::{self, Hash};
use chancery_identity::log::{Leaf, LeafKind};
use chancery_identity::{Authority, LogError};
use chancery_wire::proto::Revoked;
use chancery_wire::records::Records;

use crate::device::Device;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::log::{hashes, state};

/// Longest inclusion proof: 62 hashes, as many as a log of the largest size has levels.
const MAX_PROOF: usize = 62;

/// Verifies a relay's word that this device or its member was ended (R-ENGINE-37): the statement holds by what this device
/// knows of the organisation, the leaf is the statement's, and a checkpoint has it.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable; the inner error: it is not to be believed, and nothing may be destroyed.
pub fn verify_revoked(
    engine: &Engine,
    records: &dyn Records,
    revoked: &Revoked,
) -> Result<Result<(), LogError>, EngineError> {
    let known = engine.known(records)?.authority.clone();
    let Some(leaf) = Leaf::from_bytes(&revoked.leaf) else { return Ok(Err(LogError::Malformed)) };
    if let Err(error) = is_in_place(records, revoked.index, &leaf)? {
        return Ok(Err(error));
    }
    Ok(verify(engine.device(), known, (&leaf, revoked)))
}

/// Checks that a leaf stands where this device has it, or may follow on what this device has (R-LOG-6).
fn is_in_place(records: &dyn Records, index: u64, leaf: &Leaf) -> Result<Result<(), LogError>, EngineError> {
    let log = state::record(records)?;
    let head = state::head(&log)?;
    if index < head.size() {
        let known = hashes::leaves(records, index.saturating_add(1))?;
        return Ok(if known.last() == Some(&leaf.hash()) { Ok(()) } else { Err(LogError::NotAuthentic) });
    }
    let is_early = leaf.time < head.time() || (index >= log.size && leaf.time.as_millis() < log.time);
    Ok(if is_early { Err(LogError::OutOfOrder) } else { Ok(()) })
}

fn verify(
    device: &Device,
    mut authority: Authority,
    (leaf, revoked): (&Leaf, &Revoked),
) -> Result<(), LogError> {
    let is_own = match leaf.kind {
        LeafKind::DeviceRevoked => leaf.device() == device.device_id() && leaf.member() == device.member_id(),
        LeafKind::MemberRevoked => leaf.member() == device.member_id(),
        _ => false,
    };
    if !is_own {
        return Err(LogError::NotPermitted);
    }
    let checkpoint = state::verify_note(device, &authority, &revoked.note)?;
    let statement = revoked.statement.as_ref().ok_or(LogError::Malformed)?;
    authority.apply(revoked.index, leaf, Some(statement))?;
    let hashes = revoked.proof.iter().map(|hash| Hash::try_from(hash.as_slice()));
    let proof: Vec<Hash> = hashes.collect::<Result<_, _>>().map_err(|_| LogError::Malformed)?;
    let (root, size) = (checkpoint.root(), checkpoint.size());
    let is_included =
        proof.len() <= MAX_PROOF && merkle::verify_inclusion(root, size, revoked.index, &leaf.hash(), &proof);
    if is_included { Ok(()) } else { Err(LogError::NotAuthentic) }
}
