//! Coming into a group by a welcome (R-GROUP-26, R-ENGINE-77).

use chancery_group::{
    Changes, Entry, EpochKeys, Group, GroupError, Head, Joiner, Rows as _, Slot, UnverifiedCommit,
    UnverifiedWelcome, epoch_of,
};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::proto::{GroupStateRecord, GroupWelcome};

use crate::effect::{Effect, Notice};
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::epochs;
use crate::group::follow;
use crate::group::log_view::DeviceLog;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::{Trigger, Turn};
use crate::group::{files, mark, past, send, state};
use crate::tables::{GROUP_NEXT, GROUP_SECRETS, key};
use crate::{log, messages};

/// What a welcome waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entered {
    /// It is over with: this device is in the group, or does not enter. Whoever called releases its files.
    Done,
    NeedsLog,
    NeedsCredential(DeviceId),
    NeedsFile([u8; 16]),
}

/// Takes over a welcome that came over a session with `from`, a device of `member`.
pub(crate) fn welcome(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (member, from): (&MemberId, &DeviceId),
    welcome: &GroupWelcome,
) -> Result<Entered, EngineError> {
    // A group must not take a member's conversation, nor a member's messages a group's.
    if is_member(turn, group)? {
        return refuse(turn, group, (member, GroupError::Exists));
    }
    let head = rows::head(turn.records, group)?;
    // Only who has asked is helped on.
    let asked = follow::next(turn.records, group)?.is_some_and(|next| next.asks > 0);
    if let Some(head) = head.as_ref().filter(|_| !asked) {
        return match is_other(turn, (group, head), welcome)? {
            true => refuse(turn, group, (member, GroupError::Exists)),
            // One that came late, or again.
            false => Ok(Entered::Done),
        };
    }
    let mut contents = [None, None];
    for (file, content) in [&welcome.snapshot_file, &welcome.tree_file].into_iter().zip(&mut contents) {
        let Some(file) = file else { continue };
        let Some(name) = files::want(turn.records, group, file, turn.now)? else { return Ok(Entered::Done) };
        *content = files::content(turn.records, &name)?;
        if content.is_none() {
            turn.work = true;
            return Ok(Entered::NeedsFile(name));
        }
    }
    let [snapshot, tree] = &contents;
    let stored = state::load(turn.records, group)?;
    let verified = {
        let rows = GroupRows::new(turn.records, *group);
        let log = DeviceLog::new(turn.me, turn.records)?;
        let behind = head.as_ref().map(|head| Group { id: group, head, rows: &rows });
        let next = follow::next(turn.records, group)?.filter(|_| behind.is_some());
        let next = next.and_then(|next| UnverifiedCommit::from_bytes(&next.commit).ok()).zip(behind);
        let next = next.and_then(|(next, group)| next.verify(group, &log).ok());
        let joiner = Joiner {
            next: next.as_ref(),
            group_id: group,
            credential: turn.me.credential(),
            log: &log,
            behind,
            exists: head.is_some(),
        };
        let unverified = UnverifiedWelcome {
            welcome,
            snapshot: snapshot.as_ref().map(|bytes| bytes.expose()),
            tree: tree.as_ref().map(|bytes| bytes.expose()),
            from: *from,
        };
        let verified = unverified.verify(joiner, turn.now);
        log.check()?;
        verified
    };
    let joined = match verified {
        Ok(joined) => joined,
        Err(GroupError::LogTooShort) => return Ok(Entered::NeedsLog),
        Err(GroupError::NeedCredential(device)) => return Ok(Entered::NeedsCredential(device)),
        // One that came late, or again: this device knows the epoch already.
        Err(GroupError::OtherEpoch) => return Ok(Entered::Done),
        Err(error) => return refuse(turn, group, (member, error)),
    };
    let commit = *joined.commit();
    enter(turn, group, stored, (commit, joined.into_parts()))?;
    past::expect(turn, group, (from, welcome))?;
    let act = Act::new(ActKind::Joined, Some(member)).of([&turn.me.member_id()]);
    turn.act(group, act)?;
    Ok(Entered::Done)
}

/// Whether a welcome is to another group than the one that is here under the same identifier, as far as that is known: of epochs
/// that are long over nothing is, and one to an epoch ahead may be meant for a device that has asked.
fn is_other(
    turn: &Turn<'_, '_>,
    (group, head): (&[u8; 16], &Head),
    welcome: &GroupWelcome,
) -> Result<bool, EngineError> {
    let Some((epoch, name, before)) = welcome.commit.as_ref().and_then(epoch_of) else { return Ok(false) };
    if let Some(known) = epochs::record(turn.records, group, epoch)? {
        return Ok(known.transcript != name);
    }
    let own = Slot::from_u32(head.slot).ok_or(EngineError::DamagedRecord)?;
    let entry = GroupRows::new(turn.records, *group).entry(own).map_err(|_| EngineError::DamagedRecord)?;
    let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
    let known = epochs::record(turn.records, group, epoch.saturating_sub(1))?;
    Ok(epoch < entry.added || known.is_some_and(|known| known.transcript != before))
}

/// Whether an identifier is a member's, or that of somebody with whom there is a conversation.
fn is_member(turn: &Turn<'_, '_>, group: &[u8; 16]) -> Result<bool, EngineError> {
    let id = MemberId::new(*group);
    let known = log::member(turn.records, &id)? != Default::default();
    let talks = messages::has_conversation(turn.records, &id)? && state::load(turn.records, group)?.is_none();
    Ok(known || talks)
}

/// Somebody wants this device in a group that it does not enter: that is told where there is a group to tell it of.
fn refuse(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (member, error): (&MemberId, GroupError),
) -> Result<Entered, EngineError> {
    // Of a group that nobody knows only what its person can help is told: everybody can send what does not hold.
    if state::load(turn.records, group)?.is_none() && error != GroupError::UnknownPolicy {
        turn.effects.push(Effect::Notify(Notice::Undecryptable));
        return Ok(Entered::Done);
    }
    turn.refused(group, (member, error))?;
    Ok(Entered::Done)
}

/// Stores a group in its newest epoch: one that is joined, caught up with, or founded.
pub(crate) fn enter(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    stored: Option<GroupStateRecord>,
    (commit, (changes, keys)): ([u8; 32], (Changes, EpochKeys)),
) -> Result<(), EngineError> {
    state::enter(turn.records, group)?;
    let mut state = stored.unwrap_or_default();
    epochs::forget(turn.records, group, &mut state)?;
    let head = changes.head.clone();
    rows::apply(turn.records, group, changes)?;
    let transcript = head.transcript.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    epochs::begin(turn.records, (group, &mut state), (head.epoch, transcript, keys), None, turn.now)?;
    state.state = state::OPEN;
    state.commit = commit.to_vec();
    (state.transcript_before, state.author) = Default::default();
    follow::describe(turn.records, group, &head, &mut state)?;
    state::save(turn.records, group, &state);
    turn.records.delete(key(GROUP_NEXT, &[group]));
    turn.records.delete(key(GROUP_SECRETS, &[group]));
    send::reopen(turn.records, group)?;
    mark::reached(turn, group)?;
    turn.triggers.push(Trigger::Group(*group));
    turn.work = true;
    Ok(())
}
