//! What a commit means to people: from its changes to acts of the history.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_group::{Entry, Head, Info, Outcome, Role, Rows as _, Slot};
use chancery_identity::MemberId;
use chancery_wire::proto::group_change::Change;
use chancery_wire::proto::group_ordered::Change as Ordered;
use chancery_wire::proto::{GroupCommit, GroupCommitTail, GroupOrderBody, Signed};
use chancery_wire::{Limit, decode};

use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::rows::GroupRows;
use crate::group::turn::Turn;

/// Why slots were emptied, and who has left by an own order.
#[derive(Debug, Default)]
pub(crate) struct Story {
    reasons: BTreeMap<u32, u32>,
    leaving: BTreeSet<MemberId>,
}

impl Story {
    /// Reads a commit that was verified.
    pub(crate) fn read(commit: &[u8]) -> Self {
        let mut story = Self::default();
        for change in changes(commit) {
            match change {
                Change::Remove(remove) => drop(story.reasons.insert(remove.slot, remove.reason)),
                Change::Order(order) => story.leaving.extend(leaver(&order)),
                _ => {}
            }
        }
        story
    }

    /// Whether a member has left by its own order.
    pub(crate) fn leaves(&self, member: &MemberId) -> bool {
        self.leaving.contains(member)
    }

    fn kind(&self, slot: Slot, entry: &Entry) -> ActKind {
        match self.reasons.get(&u32::from(slot.get())) {
            Some(1) => ActKind::Evicted,
            Some(2) if self.leaves(&entry.member) => ActKind::Left,
            _ => ActKind::Removed,
        }
    }
}

/// Returns the changes of a commit.
pub(crate) fn changes(commit: &[u8]) -> Vec<Change> {
    let tail = decode::<GroupCommit>(commit, Limit::FRAME).map(|commit| commit.into_unchecked().tail);
    let tail = tail.and_then(|tail| decode::<GroupCommitTail>(&tail, Limit::FRAME));
    let changes = tail.map(|tail| tail.into_unchecked().changes).unwrap_or_default();
    changes.into_iter().filter_map(|it| it.change).collect()
}

/// Returns who leaves by an order, if it is one of a device.
fn leaver(order: &Signed) -> Option<MemberId> {
    let body: GroupOrderBody = decode(&order.body, Limit::STATEMENT).ok()?.into_unchecked();
    if body.device_id.is_empty() {
        return None;
    }
    body.changes.into_iter().find_map(|it| match it.change {
        Some(Ordered::Remove(member)) => MemberId::from_bytes(&member),
        _ => None,
    })
}

/// Stores what a commit did, as the rows stand after it.
pub(crate) fn tell(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (before, after): (&Head, &Head),
    (author, outcome, story): (&Entry, &Outcome, &Story),
) -> Result<(), EngineError> {
    let mut acts = Vec::new();
    let rows = GroupRows::new(turn.records, *group);
    let mut added: BTreeMap<Role, BTreeSet<MemberId>> = BTreeMap::new();
    for slot in &outcome.added {
        let entry = rows.entry(*slot).map_err(|_| EngineError::DamagedRecord)?;
        let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
        added.entry(entry.role).or_default().insert(entry.member);
    }
    for (role, members) in &added {
        acts.push(Act::new(ActKind::Added, Some(&author.member)).of(members).role(*role));
    }
    for kind in [ActKind::Evicted, ActKind::Left, ActKind::Removed] {
        let gone = outcome.removed.iter().filter(|(slot, entry)| story.kind(*slot, entry) == kind);
        let gone: BTreeSet<MemberId> = gone.map(|(_, entry)| entry.member).collect();
        if !gone.is_empty() {
            acts.push(Act::new(kind, Some(&author.member)).of(&gone));
        }
    }
    for member in outcome.roles.keys() {
        let slots = rows.slots_of(member).map_err(|_| EngineError::DamagedRecord)?;
        let Some(slot) = slots.first() else { continue };
        let entry = rows.entry(*slot).map_err(|_| EngineError::DamagedRecord)?;
        let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
        acts.push(Act::new(ActKind::Role, Some(&author.member)).of([member]).role(entry.role));
    }
    if outcome.info {
        acts.extend(of_info(author, before, after));
    }
    if acts.is_empty() {
        acts.push(Act::new(ActKind::Healed, Some(&author.member)));
    }
    acts.into_iter().try_for_each(|act| turn.act(group, act))
}

fn of_info(author: &Entry, before: &Head, after: &Head) -> Vec<Act> {
    let (Ok(old), Ok(new)) = (Info::from_bytes(&before.info), Info::from_bytes(&after.info)) else {
        return Vec::new();
    };
    let act = |kind| Act::new(kind, Some(&author.member)).name(new.name.as_str().into());
    let mut acts = Vec::new();
    if old.name != new.name {
        acts.push(act(ActKind::Renamed));
    }
    if new.dissolved && !old.dissolved {
        acts.push(act(ActKind::Dissolved));
    } else if of_policy(&new) != of_policy(&old) {
        acts.push(act(ActKind::Policy));
    }
    acts
}

/// What an info says beside the name.
fn of_policy(info: &Info) -> Info {
    let mut info = info.clone();
    if let Ok(none) = chancery_identity::DisplayName::parse("-") {
        info.name = none;
    }
    info
}
