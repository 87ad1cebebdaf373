//! A commit built, and everything that goes with it (R-ENGINE-84).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_group::{
    Attempt, Author, BuiltCommit, Entry, GroupError, Keying, LogView as _, MAX_INLINE_SNAPSHOT, RelaySlots,
    Slot, assign, build, cover,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{
    GroupCommitRecord, GroupFile, GroupHandOut, GroupHold, GroupPlace, GroupStateRecord, NextGroupSet,
};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::group::plan::{Draft, View};
use crate::group::{commit, control, files, heard};
use crate::target;

/// A snapshot of more than 2 KiB goes into a file if it is for more than 16 devices: one upload instead of as many copies.
const SHORT_SNAPSHOT: usize = 2048;
const FEW_JOINERS: usize = 16;

/// A commit that is ready to be stored in the device's records.
pub(crate) struct Made {
    record: GroupCommitRecord,
    letters: Vec<(MemberId, DeviceId, Control)>,
    files: Vec<([u8; 16], SecretBytes)>,
}

/// Returns the attempt of this number; `None` after the last (R-GROUP-21).
pub(crate) fn attempt(number: u32) -> Option<Attempt> {
    core::iter::successors(Some(Attempt::FIRST), |attempt| attempt.next()).nth(usize::try_from(number).ok()?)
}

/// Builds the commit of a draft, in the first way in which that is allowed.
pub(crate) fn make(
    view: &View<'_>,
    state: &GroupStateRecord,
    draft: &Draft,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Made, EngineError> {
    let all = view.log.size();
    let author = Author {
        keys: view.me.keys(),
        credential: view.me.credential(),
        log: view.log,
        log_size: if draft.log_size == 0 { all } else { draft.log_size },
        now,
    };
    let mut last = GroupError::WrongKeying;
    for keying in &draft.keyings {
        match build(view.group, author, draft.changes.clone(), *keying, rng) {
            Ok(built) => return pack(view, state, (&built, *keying), now, rng),
            Err(error) if another_keying_may_do(error, draft) => last = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(last.into())
}

/// Whether a commit that cannot be built with one keying is tried with the next: not if fewer changes at once do as well.
fn another_keying_may_do(error: GroupError, draft: &Draft) -> bool {
    match error {
        GroupError::WrongKeying => true,
        // The boxes of a tree with many dead nodes can be more than a slot holds; the other keyings have none.
        GroupError::Limit => !draft.is_divisible(),
        _ => false,
    }
}

/// Collects what is to be sent and stored with a commit.
fn pack(
    view: &View<'_>,
    state: &GroupStateRecord,
    (built, keying): (&BuiltCommit<'_>, Keying),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Made, EngineError> {
    let own = view.group.slot()?;
    let attempt = attempt(state.attempt).ok_or(GroupError::Limit)?;
    let slot_key = Secret::from_slice(&view.group.head.slot_key).ok_or(EngineError::DamagedRecord)?;
    let set_name = state.set_name.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let slots = RelaySlots { slot_key: &slot_key, set_name };
    let envelope = slots.seal(attempt, built.bytes(), rng)?;
    let mut made = Made {
        record: GroupCommitRecord {
            commit: built.bytes().to_vec(),
            hash: built.hash().to_vec(),
            content_hash: sha256(&[&envelope]).to_vec(),
            envelope,
            attempt: state.attempt,
            slot: slots.name(attempt).to_vec(),
            made_at: now.as_millis(),
            epoch: view.group.head.epoch.checked_add(1).ok_or(GroupError::Limit)?,
            next: Some(next_set(built)?),
            ..GroupCommitRecord::default()
        },
        letters: Vec::new(),
        files: Vec::new(),
    };
    match keying {
        Keying::Regrow => made.record.path = Some(built.path(own, None)?),
        Keying::HandOut => made.record.secret = built.secret().expose().to_vec(),
        Keying::Tree => {}
    }
    made.letters_to_members(built, keying, rng)?;
    if keying == Keying::HandOut {
        made.letters_to_helpers((view.records, view.group.id), built, own)?;
    }
    Ok(made)
}

/// Returns what the relay makes of the set with the commit (R-RELAY-72).
fn next_set(built: &BuiltCommit<'_>) -> Result<NextGroupSet, EngineError> {
    let outcome = built.outcome();
    let mut filled = Vec::new();
    for slot in &outcome.added {
        let entry = entry(built, *slot)?;
        filled.push(GroupPlace { slot: slot.get().into(), mailbox: entry.device.as_bytes().to_vec() });
    }
    let emptied = outcome.removed.iter().map(|(slot, _)| *slot).filter(|slot| !outcome.added.contains(slot));
    let emptied = emptied.map(|slot| u32::from(slot.get())).collect();
    let keys = built.epoch();
    Ok(NextGroupSet { name: keys.set_name.to_vec(), key: keys.set_key.expose().to_vec(), emptied, filled })
}

fn entry(built: &BuiltCommit<'_>, slot: Slot) -> Result<Entry, EngineError> {
    Ok(built.roster().get(slot)?.ok_or(GroupError::NotAMember)?)
}

impl Made {
    fn file(&mut self, content: SecretBytes, rng: &mut dyn CryptoRng) -> GroupFile {
        let name: [u8; 16] = random_bytes(rng);
        let key: [u8; 32] = random_bytes(rng);
        let file =
            GroupFile { blob_id: name.to_vec(), key: key.to_vec(), size: content.expose().len() as u64 };
        self.files.push((name, content));
        self.record.files.push(file.clone());
        file
    }

    /// Welcomes for whom the commit adds, paths for whom it brings keys that they cannot take out of it.
    fn letters_to_members(
        &mut self,
        built: &BuiltCommit<'_>,
        keying: Keying,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), EngineError> {
        let (added, paths) = (&built.outcome().added, built.paths());
        let holds_tree = |slot: &Slot| built.roster().keyholders().contains(slot);
        let gives_tree = (keying == Keying::Tree && !paths.is_empty())
            || (keying != Keying::HandOut && added.iter().any(holds_tree));
        let tree = if gives_tree { Some(self.file(built.tree()?, rng)) } else { None };
        let mut snapshot = None;
        if !added.is_empty() {
            let bytes = built.snapshot()?;
            let many = added.len() > FEW_JOINERS && bytes.len() > SHORT_SNAPSHOT;
            if bytes.len() > MAX_INLINE_SNAPSHOT || many {
                snapshot = Some(self.file(SecretBytes::new(bytes), rng));
            }
        }
        for slot in added {
            let welcome = built.welcome(*slot, snapshot.clone(), tree.clone())?;
            self.letter(&entry(built, *slot)?, Control::Welcome(welcome));
        }
        for slot in paths {
            let path = built.path(slot, tree.clone().filter(|_| keying == Keying::Tree))?;
            self.letter(&entry(built, slot)?, Control::Path(path));
        }
        Ok(())
    }

    /// The commit's secret for the helpers, from whom the others have it (R-GROUP-17).
    fn letters_to_helpers(
        &mut self,
        (records, id): (&dyn Records, &[u8; 16]),
        built: &BuiltCommit<'_>,
        own: Slot,
    ) -> Result<(), EngineError> {
        let roster = built.roster();
        let cover = cover(roster, roster.dead()).map_err(GroupError::from)?;
        for range in assign(&cover, own).helpers {
            let mut best: Option<(u64, Entry)> = None;
            for slot in range.taken(roster).map_err(GroupError::from)? {
                if slot == own || built.outcome().added.contains(&slot) {
                    continue;
                }
                let entry = entry(built, slot)?;
                let heard = heard::at(records, id, &entry.device)?;
                if best.as_ref().is_none_or(|(before, _)| heard > *before) {
                    best = Some((heard, entry));
                }
            }
            let Some((_, helper)) = best else { continue };
            let hand_out = GroupHandOut {
                epoch: self.record.epoch,
                commit: built.hash().to_vec(),
                secret: built.secret().expose().to_vec(),
                first: range.first.into(),
                count: range.count.into(),
            };
            self.letter(&helper, Control::HandOut(hand_out));
        }
        Ok(())
    }

    fn letter(&mut self, to: &Entry, control: Control) {
        self.letters.push((to.member, to.device, control));
    }

    /// Stores the commit, its files, and what goes with it as items of the outbox; `intent` is one above the wish's number.
    pub(crate) fn store(
        mut self,
        records: &mut Overlay<'_>,
        (group, intent): (&[u8; 16], u64),
        (now, rng): (Timestamp, &mut dyn CryptoRng),
    ) -> Result<(), EngineError> {
        for (name, content) in &self.files {
            files::keep(records, name, content.expose());
        }
        let hold = GroupHold {
            group_id: group.to_vec(),
            slot: self.record.slot.clone(),
            hash: self.record.content_hash.clone(),
        };
        self.record.intent = intent;
        let mut free = BTreeSet::new();
        for (_, device, _) in &self.letters {
            if target::is_free(records, device.as_bytes())? {
                free.insert(*device);
            }
        }
        for (member, device, control) in self.letters {
            let to = (&member, &device);
            let held = control::send(records, to, (group, control), Some(hold.clone()), (now, &mut *rng))?;
            self.record.held.extend(held.filter(|_| free.contains(&device)));
        }
        commit::save_pending(records, group, &self.record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use chancery_group::set_role;

    use super::*;

    #[test]
    fn what_is_too_long_and_cannot_be_divided_is_tried_with_the_next_keying_r_engine_89() {
        let change = set_role(&MemberId::new([1; 16]), chancery_group::Role::Member);
        for (changes, log_size, goes_on) in [(0, 0, true), (1, 0, true), (2, 0, false), (2, 9, true)] {
            let draft = Draft { changes: vec![change.clone(); changes], log_size, ..Draft::default() };
            assert_eq!(another_keying_may_do(GroupError::Limit, &draft), goes_on, "{changes} {log_size}");
            assert!(another_keying_may_do(GroupError::WrongKeying, &draft));
            assert!(!another_keying_may_do(GroupError::NeedKeys, &draft));
        }
    }
}
