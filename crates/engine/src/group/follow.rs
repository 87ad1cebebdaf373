//! Following commits (R-GROUP-5, -15, -18, -21, -22).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_group::{
    Entry, Group, GroupError, HandOutContext, Head, Info, Keying, Node, OLD_EPOCH_MS, Outcome, Rows as _,
    Slot, StagedCommit, UnverifiedCommit, VerifiedCommit, adopt_tree,
};
use chancery_identity::DeviceId;
use chancery_wire::proto::{
    GroupCommit, GroupCommitHead, GroupCommitRecord, GroupForkRecord, GroupHandOut, GroupNextRecord,
    GroupPath, GroupSecretRecord, GroupSecretsRecord, GroupStateRecord,
};
use chancery_wire::records::{Overlay, Records};
use chancery_wire::{Limit, Timestamp, decode};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::acts::{Act, ActKind};
use crate::group::epochs::{self, Over};
use crate::group::hand_out::{self, Share};
use crate::group::log_view::DeviceLog;
use crate::group::rows::{self, GroupRows};
use crate::group::story::{self, Story};
use crate::group::turn::{Trigger, Turn};
use crate::group::waiting::{self, Seen};
use crate::group::{commit as own_commit, duties, files, fork, heard, mark, need, past, send, state};
use crate::tables::{GROUP_NEXT, GROUP_SECRETS, key, load, save};

/// Secrets of hand-outs that are kept for who asks: 16 commits without a keyholder in a row are more than a quiet week of
/// departures; the oldest goes first.
const MAX_SECRETS: usize = 16;

/// What a commit is worth here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the one to follow; it was, or waits for its secret.
    Good,
    /// It is none.
    Bad,
    NeedsLog,
    NeedsCredential(DeviceId),
}

/// What a device has of a commit's secret beside the commit.
#[derive(Debug, Clone, Copy)]
enum Given<'a> {
    Nothing,
    /// From this device.
    Path(&'a GroupPath, &'a DeviceId),
    Secret(&'a [u8]),
    Envelope(&'a [u8]),
}

/// What is known of a commit that holds.
struct About {
    hash: [u8; 32],
    epoch: u64,
    keying: Keying,
    author: Entry,
    outcome: Outcome,
    story: Story,
    /// Whether this device holds the tree and had to follow by its own boxes.
    lost_tree: bool,
}

enum Judged {
    Staged(Box<(About, StagedCommit)>),
    /// It removes this device.
    Ends(About),
    /// Its secret is not here.
    Lacks(About),
    /// What its author sent for this device does not fit it: it has won all the same (R-GROUP-15).
    Unfit(About),
    Refused(GroupError),
}

fn group_of<'a>(id: &'a [u8; 16], head: &'a Head, rows: &'a GroupRows<'_>) -> Group<'a> {
    Group { id, head, rows }
}

/// Judges a commit by what is stored; nothing changes.
fn judge(
    turn: &Turn<'_, '_>,
    (group, head): (&[u8; 16], &Head),
    bytes: &[u8],
    given: Given<'_>,
    seen: Seen,
) -> Result<Judged, EngineError> {
    let rows = GroupRows::new(turn.records, *group);
    let log = DeviceLog::new(turn.me, turn.records)?.since(seen)?;
    let of = group_of(group, head, &rows);
    let verified = UnverifiedCommit::from_bytes(bytes).and_then(|unverified| unverified.verify(of, &log));
    log.check()?;
    let verified = match verified {
        Ok(verified) => verified,
        Err(GroupError::Rows(_)) => return Err(EngineError::DamagedRecord),
        Err(error) => return Ok(Judged::Refused(error)),
    };
    let author = verified.roster().get(verified.author())?.ok_or(EngineError::DamagedRecord)?;
    let mut about = About {
        hash: *verified.hash(),
        epoch: verified.epoch(),
        keying: verified.keying(),
        author,
        outcome: verified.outcome().clone(),
        story: Story::read(bytes),
        lost_tree: false,
    };
    if verified.removes_me()? {
        return Ok(Judged::Ends(about));
    }
    let by_boxes = verified.keying() == Keying::Tree && head.keyholders.contains(&head.slot);
    let mut staged = stage(turn, (group, head, &rows), verified, given);
    let may = match &staged {
        Some(Err(GroupError::SecretUnfit)) => true,
        // Whose tree is on its way waits for it.
        Some(Err(GroupError::NeedKeys)) => !waiting::wants_file(turn.records, group)?,
        _ => false,
    };
    if by_boxes && may {
        let verified = UnverifiedCommit::from_bytes(bytes).and_then(|unverified| unverified.verify(of, &log));
        log.check()?;
        staged = Some(verified.and_then(|verified| verified.by_boxes(turn.now)));
        about.lost_tree = true;
    }
    Ok(match staged {
        Some(Ok(staged)) => Judged::Staged(Box::new((about, staged))),
        Some(Err(GroupError::SecretUnfit)) => Judged::Unfit(about),
        Some(Err(GroupError::Malformed)) if matches!(given, Given::Path(..)) => Judged::Unfit(about),
        // What is nothing here is thrown away: the commit has won, whatever came with it.
        None | Some(Err(_)) => Judged::Lacks(about),
    })
}

/// Takes a commit's secret from where it comes; `None` if that is not here.
fn stage(
    turn: &Turn<'_, '_>,
    (group, head, rows): (&[u8; 16], &Head, &GroupRows<'_>),
    verified: VerifiedCommit<'_>,
    given: Given<'_>,
) -> Option<Result<StagedCommit, GroupError>> {
    let now = turn.now;
    match (verified.keying(), given) {
        (Keying::Tree, _) if head.keyholders.contains(&head.slot) => Some(verified.by_seed(now)),
        (Keying::Tree, _) => Some(verified.by_boxes(now)),
        (Keying::Regrow, Given::Path(path, from)) => Some(verified.by_path(path, from, now)),
        (Keying::HandOut, Given::Secret(secret)) => {
            let secret = Secret::from_slice(secret).ok_or(GroupError::Malformed);
            Some(secret.and_then(|secret| verified.by_hand_out(secret, now)))
        }
        (Keying::HandOut, Given::Envelope(envelope)) => {
            let own = Slot::from_u32(head.slot)?;
            let context =
                HandOutContext { group_id: group, epoch: verified.epoch(), commit: verified.hash() };
            let secret = context.open(own, rows, verified.roster().dead(), envelope);
            Some(secret.and_then(|secret| verified.by_hand_out(secret, now)))
        }
        _ => None,
    }
}

/// The commit that is to be followed next, once its secret is here.
pub(crate) fn next(records: &dyn Records, group: &[u8; 16]) -> Result<Option<GroupNextRecord>, EngineError> {
    load(records, &key(GROUP_NEXT, &[group]))
}

/// Returns what this device knows of a commit because it has made it.
fn of_own<'a>(own: Option<&'a GroupCommitRecord>, me: &'a DeviceId) -> Given<'a> {
    match own {
        Some(GroupCommitRecord { path: Some(path), .. }) => Given::Path(path, me),
        Some(own) if !own.secret.is_empty() => Given::Secret(&own.secret),
        _ => Given::Nothing,
    }
}

/// Takes over a commit of the group's next epoch, found in the relay's slot that counts. Whether its secret fits this device
/// says nothing of the commit: it has won, and the next slot is not looked at (R-GROUP-15).
pub(crate) fn commit(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    (attempt, bytes): (u32, &[u8]),
    seen: Seen,
) -> Result<Verdict, EngineError> {
    let Some(head) = rows::head(turn.records, group)? else { return Ok(Verdict::Bad) };
    let own = own_commit::pending(turn.records, group)?.filter(|own| own.commit == bytes);
    let me = turn.me.device_id();
    let judged = judge(turn, (group, &head), bytes, of_own(own.as_ref(), &me), seen)?;
    // Of one that is gone nothing is known but that there was one.
    let known = next(turn.records, group)?.filter(|known| !known.commit.is_empty());
    let about = match &judged {
        Judged::Staged(staged) => &staged.0,
        Judged::Ends(about) | Judged::Lacks(about) | Judged::Unfit(about) => about,
        Judged::Refused(GroupError::LogTooShort) => return Ok(Verdict::NeedsLog),
        Judged::Refused(GroupError::NeedCredential(device)) => return Ok(Verdict::NeedsCredential(*device)),
        Judged::Refused(error) => {
            turn.act(group, Act::new(ActKind::Refused, None).code(*error))?;
            return Ok(Verdict::Bad);
        }
    };
    if is_second(known.as_ref(), about, attempt) {
        let known = known.map(|known| known.commit).unwrap_or_default();
        let proof = GroupForkRecord { attempt, commit: bytes.to_vec(), known, ..GroupForkRecord::default() };
        fork::tell(turn, group, (&about.hash, proof), Some(&about.author.member))?;
        return Ok(Verdict::Good);
    }
    match judged {
        Judged::Staged(staged) => {
            let (about, staged) = *staged;
            apply(turn, (group, &head), about, staged)?;
        }
        Judged::Ends(about) => ended(turn, group, &about)?,
        Judged::Unfit(about) => {
            if known.is_none() {
                lacks(turn, group, (attempt, bytes), &about);
            }
            unfit(turn, group, &about)?;
        }
        Judged::Lacks(about) if known.is_none() => lacks(turn, group, (attempt, bytes), &about),
        _ => {}
    }
    Ok(Verdict::Good)
}

/// The device stops at a commit whose author sent it what does not fit: that is told, once, and it asks (R-GROUP-15).
fn unfit(turn: &mut Turn<'_, '_>, group: &[u8; 16], about: &About) -> Result<(), EngineError> {
    let Some(mut next) = next(turn.records, group)?.filter(|next| !next.unfit) else { return Ok(()) };
    next.unfit = true;
    save(turn.records, key(GROUP_NEXT, &[group]), &next);
    let act = Act::new(ActKind::Refused, Some(&about.author.member)).code(GroupError::SecretUnfit);
    turn.act(group, act)
}

/// Whether another commit for the same place is known already (R-ENGINE-75).
fn is_second(known: Option<&GroupNextRecord>, about: &About, attempt: u32) -> bool {
    known.is_some_and(|known| known.attempt == attempt && known.hash != about.hash)
}

/// A commit is valid and its secret is not here yet: it is asked for when it does not come (R-GROUP-19).
fn lacks(turn: &mut Turn<'_, '_>, group: &[u8; 16], (attempt, bytes): (u32, &[u8]), about: &About) {
    let record = GroupNextRecord {
        commit: bytes.to_vec(),
        hash: about.hash.to_vec(),
        attempt,
        since: turn.now.as_millis(),
        ask_at: need::first(turn.now),
        ..GroupNextRecord::default()
    };
    save(turn.records, key(GROUP_NEXT, &[group]), &record);
    turn.triggers.push(Trigger::Group(*group));
    turn.work = true;
}

/// Goes on with the commit that waits for its secret, now that something came which may be it. Returns whether it was.
fn resume(turn: &mut Turn<'_, '_>, group: &[u8; 16], given: Given<'_>) -> Result<bool, EngineError> {
    let Some(next) = next(turn.records, group)? else { return Ok(false) };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(false) };
    let seen = Seen::now(turn)?;
    match judge(turn, (group, &head), &next.commit, given, seen)? {
        Judged::Staged(staged) => {
            let (about, staged) = *staged;
            apply(turn, (group, &head), about, staged)?;
            Ok(true)
        }
        Judged::Unfit(about) => unfit(turn, group, &about).map(|()| false),
        _ => Ok(false),
    }
}

/// Tries a hand-out of the relay's with the commit that waits for its secret.
pub(crate) fn by_envelope(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    envelope: &[u8],
) -> Result<bool, EngineError> {
    // Of a commit that is gone from its slot the hash alone is here: no hand-out helps.
    let next = next(turn.records, group)?.filter(|next| !next.commit.is_empty());
    let Some(next) = next else { return Ok(false) };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(false) };
    let commit = next.hash.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    let own = Slot::from_u32(head.slot).ok_or(EngineError::DamagedRecord)?;
    let context = HandOutContext { group_id: group, epoch: head.epoch.saturating_add(1), commit };
    // Everybody can send such envelopes: only one that opens is worth a look at the commit, which says whether its node counts.
    match context.open(own, &GroupRows::new(turn.records, *group), &BTreeSet::new(), envelope) {
        Ok(_) => resume(turn, group, Given::Envelope(envelope)),
        Err(GroupError::Rows(_)) => Err(EngineError::DamagedRecord),
        Err(_) => Ok(false),
    }
}

/// Returns the slot of a commit's author, as the commit says.
pub(crate) fn author_of(commit: &[u8]) -> Option<Slot> {
    Slot::from_u32(head_of(commit)?.author)
}

/// Returns a commit's head, as the commit says.
pub(crate) fn head_of(commit: &[u8]) -> Option<GroupCommitHead> {
    let commit: GroupCommit = decode(commit, Limit::FRAME).ok()?.into_unchecked();
    Some(decode(&commit.head, Limit::STATEMENT).ok()?.into_unchecked())
}

/// How a content that goes with a commit stands to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goes {
    /// It is over with.
    Done,
    /// The commit is not here yet.
    Waits,
}

/// Takes over a secret that somebody handed out over a session, and serves what it is to serve.
pub(crate) fn by_hand_out(
    turn: &mut Turn<'_, '_>,
    (group, from): (&[u8; 16], &DeviceId),
    content: &GroupHandOut,
) -> Result<Goes, EngineError> {
    // The welcome may still be on its way, or wait itself.
    let Some(state) = state::load(turn.records, group)? else { return Ok(Goes::Waits) };
    let is_next = next(turn.records, group)?.is_some_and(|next| next.hash == content.commit);
    if is_next {
        resume(turn, group, Given::Secret(&content.secret))?;
    } else if content.epoch > state.epoch {
        return Ok(Goes::Waits);
    }
    // Served only if it is the secret of the commit that was followed, be it learned from this or before.
    let Some(known) = secret_of(turn.records, group, &content.commit)? else { return Ok(Goes::Done) };
    // The confirmation proves the secret, whoever sent it, and nothing of the range (R-GROUP-18).
    if content.count > 0
        && known.author == from.as_bytes()
        && let (Some(secret), Ok(commit)) =
            (Secret::from_slice(&known.secret), content.commit.as_slice().try_into())
    {
        let (range, envelopes) = ((content.first, content.count), known.envelopes);
        let share = Share { commit, epoch: known.epoch, range, secret: &secret, envelopes };
        hand_out::serve(turn.records, (group, &share), turn.now, turn.rng)?;
        turn.work = true;
    }
    Ok(Goes::Done)
}

/// Takes over the secrets of a path that came over a session with `from`.
pub(crate) fn by_path(
    turn: &mut Turn<'_, '_>,
    (group, from): (&[u8; 16], &DeviceId),
    path: &GroupPath,
) -> Result<Result<Goes, [u8; 16]>, EngineError> {
    // The welcome may still be on its way, or wait itself.
    let Some(state) = state::load(turn.records, group)? else { return Ok(Ok(Goes::Waits)) };
    if path.epoch > state.epoch {
        let is_next = next(turn.records, group)?.is_some_and(|next| next.hash == path.commit);
        if !is_next {
            return Ok(Ok(Goes::Waits));
        }
        resume(turn, group, Given::Path(path, from))?;
        return Ok(Ok(Goes::Done));
    }
    let missing = tree(turn, (group, from), path, state)?;
    if let Some(file) = missing {
        return Ok(Err(file));
    }
    // The next commit may have come before the tree; without one it is followed by the own boxes.
    resume(turn, group, Given::Nothing)?;
    Ok(Ok(Goes::Done))
}

/// Takes over the tree that a path of the epoch of now brings; returns the file if it is not here yet.
fn tree(
    turn: &mut Turn<'_, '_>,
    (group, from): (&[u8; 16], &DeviceId),
    path: &GroupPath,
    mut state: GroupStateRecord,
) -> Result<Option<[u8; 16]>, EngineError> {
    let Some(file) = path.tree_file.as_ref().filter(|_| state.needs_tree && path.epoch == state.epoch) else {
        return Ok(None);
    };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(None) };
    let rows = GroupRows::new(turn.records, *group);
    let sender = rows.slot_of(from).map_err(|_| EngineError::DamagedRecord)?;
    // Before a file is fetched for it.
    if !sender.is_some_and(|slot| head.keyholders.contains(&slot.get().into())) {
        return Ok(None);
    }
    let Some(name) = files::want(turn.records, group, file, turn.now)? else { return Ok(None) };
    let Some(tree) = files::content(turn.records, &name)? else { return Ok(Some(name)) };
    let rows = GroupRows::new(turn.records, *group);
    let changes = match adopt_tree(group_of(group, &head, &rows), path, tree.expose(), from) {
        Ok(changes) => changes,
        Err(error) => {
            turn.act(group, Act::new(ActKind::Refused, None).code(error))?;
            return Ok(None);
        }
    };
    rows::apply(turn.records, group, changes)?;
    state.needs_tree = false;
    state::save(turn.records, group, &state);
    turn.triggers.push(Trigger::Group(*group));
    Ok(None)
}

/// Tries the commit that waits for its secret again by what is here: a file that it has waited for may have been given up.
pub(crate) fn again(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let mut turn = Turn::new(me, records, now, rng);
    resume(&mut turn, group, Given::Nothing)?;
    turn.settle()
}

/// Stores the epoch that a commit begins: rows, keys, what reads it, what happened.
fn apply(
    turn: &mut Turn<'_, '_>,
    (group, before): (&[u8; 16], &Head),
    about: About,
    staged: StagedCommit,
) -> Result<(), EngineError> {
    let hand_outs = staged.hand_outs().clone();
    let (changes, keys, secret) = staged.into_parts();
    let mut state = state::load(turn.records, group)?.ok_or(EngineError::DamagedRecord)?;
    let head = changes.head.clone();
    let transcript = head.transcript.as_slice().try_into().map_err(|_| EngineError::DamagedRecord)?;
    rows::apply(turn.records, group, changes)?;
    let removed: Vec<Slot> = about.outcome.removed.iter().map(|(slot, _)| *slot).collect();
    let over =
        Over { own: Slot::from_u32(before.slot).ok_or(EngineError::DamagedRecord)?, removed: &removed };
    let begun = (about.epoch, transcript, keys);
    epochs::begin(turn.records, (group, &mut state), begun, Some(&over), turn.now)?;
    state.commit = about.hash.to_vec();
    state.transcript_before.clone_from(&before.transcript);
    state.author = about.author.member.as_bytes().to_vec();
    describe(turn.records, group, &head, &mut state)?;
    state::save(turn.records, group, &state);
    turn.records.delete(key(GROUP_NEXT, &[group]));
    keep_secret(turn, group, &about, (&secret, hand_outs));
    send::reopen(turn.records, group)?;
    story::tell(turn, group, (before, &head), (&about.author, &about.outcome, &about.story))?;
    mark::reached(turn, group)?;
    let (now, hash) = (turn.now, about.hash);
    let effects = own_commit::followed(turn.me, turn.records, (group, &hash), now, turn.rng)?;
    turn.effects.extend(effects);
    if about.author.device == turn.me.device_id() {
        past::send(turn, (group, &head), &about.outcome.added)?;
    } else {
        heard::note(turn.records, group, &about.author.device, turn.now)?;
    }
    if about.lost_tree {
        // It holds the tree no more: all keys anew (R-ENGINE-89).
        let act = Act::new(ActKind::Refused, Some(&about.author.member)).code(GroupError::SecretUnfit);
        turn.act(group, act)?;
        duties::want_heal(turn.records, group)?;
    }
    turn.triggers.push(Trigger::Group(*group));
    turn.work = true;
    Ok(())
}

/// Brings what lists show up to date with the group's record.
pub(crate) fn describe(
    records: &dyn Records,
    group: &[u8; 16],
    head: &Head,
    state: &mut GroupStateRecord,
) -> Result<(), EngineError> {
    let info = Info::from_bytes(&head.info).map_err(|_| EngineError::DamagedRecord)?;
    let own = Slot::from_u32(head.slot).ok_or(EngineError::DamagedRecord)?;
    let entry = GroupRows::new(records, *group).entry(own).map_err(|_| EngineError::DamagedRecord)?;
    let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
    state.name = info.name.as_str().into();
    state.role = entry.role.number().into();
    state.devices = head.taken;
    // Whoever ended in these entries is not in the roster any more.
    (state.ended, state.log_checked) = (false, head.log_size);
    mark::followed(records, group, state)?;
    // Where the whole tree is dead there is nothing to have (R-GROUP-16).
    let is_dead = head.dead.as_chunks::<3>().0.contains(&Node::ROOT.to_bytes());
    state.needs_tree = entry.role.is_keyholder() && head.administrators_key.is_empty() && !is_dead;
    if info.dissolved && matches!(state.state, state::OPEN | state::WITHHELD) {
        state.state = state::DISSOLVED;
    }
    Ok(())
}

/// The secret of a commit without keys of its own is kept for who asks, until a commit with keys was followed (R-GROUP-19).
fn keep_secret(
    turn: &mut Turn<'_, '_>,
    group: &[u8; 16],
    about: &About,
    (secret, hand_outs): (&Secret<32>, BTreeMap<Node, Vec<u8>>),
) {
    let name = key(GROUP_SECRETS, &[group]);
    if about.keying != Keying::HandOut {
        turn.records.delete(name);
        return;
    }
    let mut secrets: GroupSecretsRecord = load(turn.records, &name).ok().flatten().unwrap_or_default();
    // The set is another.
    secrets.secrets.iter_mut().for_each(|it| it.published.clear());
    if secrets.secrets.len() >= MAX_SECRETS {
        secrets.secrets.remove(0);
    }
    secrets.secrets.push(GroupSecretRecord {
        epoch: about.epoch,
        commit: about.hash.to_vec(),
        secret: secret.expose().to_vec(),
        at: turn.now.as_millis(),
        answered: Vec::new(),
        author: about.author.device.as_bytes().to_vec(),
        envelopes: hand_outs.into_values().collect(),
        ..GroupSecretRecord::default()
    });
    save(turn.records, name, &secrets);
}

/// Drops secrets that have been kept for 7 days.
pub(crate) fn drop_secrets(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
) -> Result<(), EngineError> {
    let name = key(GROUP_SECRETS, &[group]);
    let Some(mut secrets) = load::<GroupSecretsRecord>(records, &name)? else { return Ok(()) };
    let before = secrets.secrets.len();
    let is_kept = |at: u64| at.min(now.as_millis()).saturating_add(OLD_EPOCH_MS) >= now.as_millis();
    secrets.secrets.retain(|it| is_kept(it.at));
    if secrets.secrets.is_empty() {
        records.delete(name);
    } else if secrets.secrets.len() != before {
        save(records, name, &secrets);
    }
    Ok(())
}

/// Returns the secret of a commit that was followed, if it is kept.
pub(crate) fn secret_of(
    records: &dyn Records,
    group: &[u8; 16],
    commit: &[u8],
) -> Result<Option<GroupSecretRecord>, EngineError> {
    let secrets: GroupSecretsRecord = load(records, &key(GROUP_SECRETS, &[group]))?.unwrap_or_default();
    Ok(secrets.secrets.into_iter().find(|it| it.commit == commit))
}

/// This device is in the group no more: all keys go, the history stays (R-ENGINE-76).
fn ended(turn: &mut Turn<'_, '_>, group: &[u8; 16], about: &About) -> Result<(), EngineError> {
    let mut state = state::load(turn.records, group)?.ok_or(EngineError::DamagedRecord)?;
    let left = about.story.leaves(&turn.me.member_id());
    state.state = if left { state::LEFT } else { state::REMOVED };
    let kind = if left { ActKind::Left } else { ActKind::Removed };
    let by = if left { turn.me.member_id() } else { about.author.member };
    let act = Act::new(kind, Some(&by)).of([&turn.me.member_id()]);
    turn.act(group, act)?;
    forget(turn.records, group, &mut state)?;
    let (now, hash) = (turn.now, about.hash);
    let effects = own_commit::followed(turn.me, turn.records, (group, &hash), now, turn.rng)?;
    turn.effects.extend(effects);
    send::fail_all(turn.me, turn.records, group)
}

/// Deletes all keys of a group, what waits for it, and what it knew of others.
pub(crate) fn forget(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    state: &mut GroupStateRecord,
) -> Result<(), EngineError> {
    // By the names of the epochs, and after the commit that removed this device.
    waiting::forget(records, group, state.epoch.saturating_add(1))?;
    epochs::forget(records, group, state)?;
    rows::forget(records, group);
    records.delete(key(GROUP_NEXT, &[group]));
    records.delete(key(GROUP_SECRETS, &[group]));
    (state.asked, state.ended, state.needs_tree) = (Vec::new(), false, false);
    state::save(records, group, state);
    Ok(())
}
