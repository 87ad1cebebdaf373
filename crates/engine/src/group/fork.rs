//! A group of which two histories are known (R-GROUP-22, R-ENGINE-75).

use chancery_identity::MemberId;
use chancery_wire::proto::{GroupForkRecord, GroupStateRecord};
use chancery_wire::records::Records;

use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::state;
use crate::group::turn::Turn;
use crate::tables::{GROUP_FORK, key, load, save};

/// What is kept to show that a group was forked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupFork {
    /// The number of the relay's slot, from 0, in which both commits stood, which are kept; `None` if another member's mark showed the
    /// fork, which is kept in their place.
    pub attempt: Option<u32>,
    /// Hash of the commit that came second, or the other epoch's name.
    pub hash: [u8; 32],
}

/// Two valid commits claim one place, or two epochs have one number: nothing is sent any more, who signed the second, or told of
/// it, is named, and the proof is kept.
pub(crate) fn tell(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (other, proof): (&[u8], GroupForkRecord),
    by: Option<&MemberId>,
) -> Result<(), EngineError> {
    let mut state = state::load(turn.records, group)?.ok_or(EngineError::DamagedRecord)?;
    if matches!(state.state, state::OPEN | state::WITHHELD) {
        state.state = state::FORKED;
        state.fork = other.to_vec();
        state::save(turn.records, group, &state);
        save(turn.records, key(GROUP_FORK, &[group]), &proof);
        turn.act(group, Act::new(ActKind::Forked, by))?;
    }
    Ok(())
}

/// Returns what is kept of a group's fork; `None` if there is none.
pub(crate) fn kept(
    records: &dyn Records,
    group: &[u8; 16],
    state: &GroupStateRecord,
) -> Result<Option<GroupFork>, EngineError> {
    let proof: Option<GroupForkRecord> = load(records, &key(GROUP_FORK, &[group]))?;
    let Some(proof) = proof else { return Ok(None) };
    let hash = state.fork.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    Ok(Some(GroupFork { attempt: proof.mark.is_none().then_some(proof.attempt), hash }))
}
