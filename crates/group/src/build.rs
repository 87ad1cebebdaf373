//! The author's side of a commit (R-GROUP-4 to -13).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::{Credential, DeviceKeys, MemberId};
use chancery_wire::{Timestamp, encode, proto};
use proto::group_change::Change;

use crate::change::{Outcome, Reason, Terms, successor};
use crate::commit::{Applied, next_transcript};
use crate::limit::{MAX_CHANGES, MAX_COMMIT_LEN, MAX_DEVICES_OF_MEMBER};
use crate::log_view::Ended;
use crate::stage::{Finished, Learned, stored_secret};
use crate::tree::up_from;
use crate::{
    Changes, Entry, EpochKeys, EpochSecret, Group, GroupError, GroupOrder, Head, Info, Keying, LogView,
    MemoryRows, Node, PATH_LEN, Refresh, Role, Roster, RowError, Rows, Slot, TreeContext, UnverifiedCommit,
    VerifiedCommit, next_administrators_key, seal_seed, snapshot,
};

/// Longest snapshot that goes inside a welcome, in bytes: half of the largest content.
pub const MAX_INLINE_SNAPSHOT: usize = 30_000;

/// Most removals by log that [`evictions`] puts into one commit: half of what it holds, so that others have room.
const MAX_EVICTIONS: usize = MAX_CHANGES / 2;

/// Who makes a commit, and what it knows.
#[derive(Clone, Copy)]
pub struct Author<'a> {
    /// The device's keys.
    pub keys: &'a DeviceKeys,
    /// Its credential.
    pub credential: &'a Credential,
    /// Its log.
    pub log: &'a dyn LogView,
    /// Entries of the log that the commit is to stand on: all, or [`Evictions::log_size`].
    pub log_size: u64,
    /// The time, for the next renewal.
    pub now: Timestamp,
}

impl core::fmt::Debug for Author<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Author").field("credential", self.credential).finish_non_exhaustive()
    }
}

/// Returns the change that adds a device whose credential was verified.
#[must_use]
pub fn add(credential: &Credential, role: Role) -> proto::GroupChange {
    let entry = Entry {
        member: credential.member_id(),
        device: credential.device_id(),
        credential: credential.hash(),
        group_key: *credential.group_key().as_bytes(),
        role,
        added: 0,
    };
    proto::GroupChange { change: Some(Change::Add(entry.to_add())) }
}

/// Returns the change that empties a slot.
#[must_use]
pub fn remove(slot: Slot, reason: Reason) -> proto::GroupChange {
    let remove = proto::GroupRemove { slot: slot.get().into(), reason: reason as u32 };
    proto::GroupChange { change: Some(Change::Remove(remove)) }
}

/// Returns the change of a member's role.
#[must_use]
pub fn set_role(member: &MemberId, role: Role) -> proto::GroupChange {
    let member_id = member.as_bytes().to_vec();
    let set = proto::GroupSetRole { member_id, role: role.number().into() };
    proto::GroupChange { change: Some(Change::SetRole(set)) }
}

/// Returns the change of name and policy.
#[must_use]
pub fn set_info(info: &Info) -> proto::GroupChange {
    proto::GroupChange { change: Some(Change::SetInfo(info.to_bytes())) }
}

/// Changes that anybody may commit.
#[derive(Debug, Clone, Default)]
pub struct Evictions {
    /// The changes. Empty if nobody has to go.
    pub changes: Vec<proto::GroupChange>,
    /// Entries of the log that they stand on: fewer than there are if more has ended than a commit can hold. Then
    /// another commit has to follow.
    pub log_size: u64,
}

/// Returns the changes that every commit must begin with: the removals of all who have ended in the log since the last
/// one, those that `orders` order, and whoever takes over then, with the devices whose credentials are at hand. Orders that
/// remove nobody beside those are left out, those that were carried out before, do not hold or do not fit in, and those that
/// order more than removals: these a keyholder commits as a whole (R-GROUP-9).
///
/// # Errors
///
/// [`GroupError::NeedCredential`] if the credential of an order's author is needed, or one of who takes over and none is at
/// hand, of whichever device: get it, then try again. [`GroupError::NoKeyholder`]: nobody would be left.
pub fn evictions(
    group: Group<'_>,
    orders: &[proto::Signed],
    log: &dyn LogView,
) -> Result<Evictions, GroupError> {
    let mut roster = group.roster()?;
    let (mut slots, log_size) = ended_slots(&roster, group.head.log_size, log)?;
    let now = log.time(log_size).map_or(0, Timestamp::as_millis);
    let mut removals: Vec<_> = slots.iter().map(|slot| remove(*slot, Reason::Log)).collect();
    let (mut changes, mut left) = (Vec::new(), BTreeSet::new());
    for signed in orders {
        let order = match GroupOrder::verify(signed, (group.id, group.head.epoch), &roster, log, log_size) {
            Ok(order) if order.removes_alone() => order,
            Err(error @ (GroupError::NeedCredential(_) | GroupError::Rows(_))) => return Err(error),
            // Who wanted to leave is gone already, or goes by the log; what does not hold keeps nobody in.
            Ok(_) | Err(_) => continue,
        };
        let new = newly_removed(&order, &roster, &slots)?;
        let whole = [changes.len(), removals.len(), new.len(), MAX_DEVICES_OF_MEMBER, 1].into_iter();
        if new.is_empty() || whole.fold(0, usize::saturating_add) > MAX_CHANGES {
            continue;
        }
        if let Some((hash, expires)) = order.to_note() {
            match roster.note_order(hash, expires, now) {
                // As many as a roster holds: the others wait until these have expired. What was carried out is not again.
                Err(GroupError::Limit | GroupError::OrderInvalid) => continue,
                noted => noted?,
            }
        }
        changes.push(proto::GroupChange { change: Some(Change::Order(signed.clone())) });
        for (slot, member) in new {
            slots.insert(slot);
            left.insert(member);
            removals.push(remove(slot, Reason::Order));
        }
    }
    // Orders come first: they are judged by the roster in which those who signed them still are.
    changes.append(&mut removals);
    for slot in &slots {
        roster.put(*slot, None)?;
    }
    if roster.keyholders().is_empty() && !slots.is_empty() {
        let next = successor(&roster, group.id, &left, log, log_size)?.ok_or(GroupError::NoKeyholder)?;
        if roster.role_of(&next)?.is_some() {
            changes.push(set_role(&next, Role::Owner));
        } else {
            let devices = log.devices_of(&next, log_size);
            let credentials: Vec<_> = devices.iter().filter_map(|device| log.credential(device)).collect();
            if let Some(needed) = devices.first().filter(|_| credentials.is_empty()) {
                return Err(GroupError::NeedCredential(*needed));
            }
            // One is enough: it adds the others (R-GROUP-8).
            changes.extend(credentials.iter().map(|credential| add(credential, Role::Owner)));
        }
    }
    Ok(Evictions { changes, log_size })
}

/// Returns the slots that an order empties beside those that go anyway, and whose they are.
fn newly_removed(
    order: &GroupOrder,
    roster: &Roster<'_>,
    slots: &BTreeSet<Slot>,
) -> Result<Vec<(Slot, MemberId)>, GroupError> {
    let mut new = Vec::new();
    for member in order.removed() {
        for slot in roster.slots_of(&member)? {
            let entry = roster.get(slot)?.ok_or(RowError)?;
            if order.covers_removal(&entry) && !slots.contains(&slot) && !new.contains(&(slot, member)) {
                new.push((slot, member));
            }
        }
    }
    Ok(new)
}

/// Returns the slots of those who ended after the first `known` entries, and up to which entry a commit can hold them.
fn ended_slots(
    roster: &Roster<'_>,
    known: u64,
    log: &dyn LogView,
) -> Result<(BTreeSet<Slot>, u64), GroupError> {
    let mut size = log.size();
    loop {
        let mut slots = BTreeSet::new();
        for ended in log.ended(known, size) {
            slots.extend(match ended {
                Ended::Device(device) => roster.slot_of(&device)?.into_iter().collect(),
                Ended::Member(member) => roster.slots_of(&member)?,
            });
        }
        // One entry of the log ends 16 devices at most, so that the search comes to an end.
        let new = size.saturating_sub(known);
        if slots.len() <= MAX_EVICTIONS || new <= 1 {
            return Ok((slots, size));
        }
        size = known.saturating_add(new >> 1);
    }
}

/// A commit that its author made, with everything that it has to send and to store.
pub struct BuiltCommit<'a> {
    commit: proto::GroupCommit,
    bytes: Vec<u8>,
    hash: [u8; 32],
    epoch_number: u64,
    author: Slot,
    changes: Changes,
    epoch: EpochKeys,
    epoch_secret: Secret<32>,
    secret: Secret<32>,
    roster: Roster<'a>,
    outcome: Outcome,
    keys: BTreeMap<Node, Secret<32>>,
    secrets: Secrets,
    hand_outs: BTreeMap<Node, Vec<u8>>,
}

impl core::fmt::Debug for BuiltCommit<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BuiltCommit").field("epoch", &self.epoch_number).finish_non_exhaustive()
    }
}

/// What an author drew.
struct Secrets {
    keying: Keying,
    r: Option<Secret<32>>,
    made: Option<crate::Made>,
    administrators: Option<Secret<32>>,
}

/// Founds a group whose only device is its author's, as owner; others are added by the next commit.
///
/// # Errors
///
/// [`GroupError`]: the info is not one, or the log does not have the author.
pub fn found(
    group_id: &[u8; 16],
    info: &Info,
    author: Author<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<(Vec<u8>, Changes, EpochKeys), GroupError> {
    let (rows, head) = (MemoryRows::default(), Head { transcript: [0; 32].to_vec(), ..Head::default() });
    let group = Group { id: group_id, head: &head, rows: &rows };
    let changes = Vec::from([set_info(info), add(author.credential, Role::Owner)]);
    Info::from_bytes(&info.to_bytes())?;
    let mut roster = Roster::empty(&rows);
    let Some(Change::Add(own)) = changes.get(1).and_then(|it| it.change.as_ref()) else {
        return Err(GroupError::Malformed);
    };
    roster.set_info(info.to_bytes());
    let slot = roster.add(Entry::from_add(own, 1).ok_or(GroupError::Malformed)?)?;
    roster.settle()?;
    let refresh = Some(Refresh::regrow(&roster)?);
    let outcome = Outcome { added: Vec::from([slot]), info: true, ..Outcome::default() };
    let applied = Applied { outcome, refresh, dead: BTreeSet::new() };
    let tail = proto::GroupCommitTail { changes, ..Default::default() };
    let built = Draft { group, author, keying: Keying::Regrow, roster, applied, tail }.build(rng)?;
    Ok((built.bytes, built.changes, built.epoch))
}

/// Makes a commit: judges the changes as everybody will, and draws and seals its keys.
///
/// # Errors
///
/// [`GroupError`]: others would refuse it, for the reason named; nothing has changed. [`GroupError::NeedKeys`]: this
/// device lacks keys of the tree. [`GroupError::Limit`]: commit less at once.
pub fn build<'a>(
    group: Group<'a>,
    author: Author<'a>,
    changes: Vec<proto::GroupChange>,
    keying: Keying,
    rng: &mut dyn CryptoRng,
) -> Result<BuiltCommit<'a>, GroupError> {
    let mut roster = group.roster()?;
    let own = group.slot()?;
    if roster.get(own)?.is_none_or(|entry| entry.credential != author.credential.hash()) {
        return Err(GroupError::NotAMember);
    }
    let terms = Terms {
        group_id: group.id,
        epoch: group.head.epoch.checked_add(1).ok_or(GroupError::Limit)?,
        author: own,
        known: group.head.log_size,
        size: author.log_size,
        log: author.log,
    };
    let applied = Applied::new(&mut roster, &terms, &changes, keying)?;
    let tail = proto::GroupCommitTail { changes, ..Default::default() };
    Draft { group, author, keying, roster, applied, tail }.build(rng)
}

/// A commit whose changes are judged, before its keys.
struct Draft<'a> {
    group: Group<'a>,
    author: Author<'a>,
    keying: Keying,
    roster: Roster<'a>,
    applied: Applied,
    tail: proto::GroupCommitTail,
}

impl<'a> Draft<'a> {
    fn build(mut self, rng: &mut dyn CryptoRng) -> Result<BuiltCommit<'a>, GroupError> {
        let before = self.group.transcript()?;
        let salt: [u8; 32] = chancery_crypto::rng::random_bytes(rng);
        let r: Secret<32> = Secret::random(rng);
        let old_key = stored_secret(&self.group.head.administrators_key)?;
        let context = TreeContext {
            group_id: self.group.id,
            epoch: self.group.head.epoch.checked_add(1).ok_or(GroupError::Limit)?,
            salt: &salt,
            transcript: &before,
        };
        if self.keying == Keying::Tree && old_key.is_none() {
            return Err(GroupError::NeedKeys);
        }
        let refresh = self.applied.refresh.as_ref();
        let made = refresh.map(|refresh| refresh.make(context, self.group.rows, &r)).transpose()?;
        if let Some(made) = made.as_ref().filter(|_| self.keying == Keying::Tree) {
            self.tail.nodes.clone_from(&made.nodes);
            self.tail.seed = seal_seed(context, old_key.as_ref().ok_or(GroupError::NeedKeys)?, &r);
        }
        let tail = encode(&self.tail);
        let head = self.head(&tail, context)?;
        let transcript = next_transcript(&before, &head);
        let administrators = match self.keying {
            Keying::Tree => Some(next_administrators_key(old_key.as_ref(), &r, &transcript)),
            Keying::Regrow => Some(next_administrators_key(None, &r, &transcript)),
            Keying::HandOut => old_key.filter(|_| !self.applied.outcome.lost_keyholder),
        };
        let secret = made.as_ref().map_or(&r, |made| &made.secret);
        let chain = stored_secret(&self.group.head.chain_key)?;
        let epoch = EpochSecret::next(chain.as_ref(), secret, &transcript);
        let confirmation = epoch.confirmation(&transcript).to_vec();
        let signed = [head.as_slice(), &confirmation].concat();
        let signature = self.author.keys.signing.sign(label::SIGN_GROUP_COMMIT, &signed, rng);
        let commit = proto::GroupCommit { head, tail, confirmation, signature };
        let learned = Learned {
            keys: made.as_ref().map(copied_keys).unwrap_or_default(),
            secret: copy(secret),
            administrators: administrators.as_ref().map(copy),
        };
        let secrets = Secrets { keying: self.keying, r: made.is_some().then_some(r), made, administrators };
        self.finish((commit, transcript), (learned, epoch), secrets)
    }

    fn head(&self, tail: &[u8], context: TreeContext<'_>) -> Result<Vec<u8>, GroupError> {
        let size = self.author.log_size;
        Ok(encode(&proto::GroupCommitHead {
            group_id: context.group_id.to_vec(),
            epoch: context.epoch,
            transcript: context.transcript.to_vec(),
            author: self.group.head.slot,
            log_size: size,
            log_root: self.author.log.root(size).ok_or(GroupError::LogTooShort)?.to_vec(),
            salt: context.salt.to_vec(),
            keying: self.keying as u32,
            roster: self.roster.name()?.to_vec(),
            tail_hash: hash(label::HASH_GROUP_COMMIT_TAIL, &[tail]).to_vec(),
        }))
    }

    fn finish(
        self,
        (commit, transcript): (proto::GroupCommit, [u8; 32]),
        (learned, epoch): (Learned, EpochSecret),
        secrets: Secrets,
    ) -> Result<BuiltCommit<'a>, GroupError> {
        let bytes = encode(&commit);
        if bytes.len() > MAX_COMMIT_LEN {
            return Err(GroupError::Limit);
        }
        let unverified = UnverifiedCommit::from_bytes(&bytes)?;
        let (hash, epoch_number, author) = (*unverified.hash(), unverified.epoch(), unverified.head.author);
        let epoch_secret = copy(epoch.secret());
        let (roster, outcome) = (self.roster.clone(), self.applied.outcome.clone());
        let before = self.group.transcript()?;
        let verified = VerifiedCommit {
            group: self.group,
            unverified,
            hash,
            tail: self.tail,
            before,
            transcript,
            roster: self.roster,
            applied: self.applied,
        };
        let Finished { changes, epoch, secret, hand_outs } =
            verified.finish(learned, epoch, self.author.now)?;
        let known = changes.keys.iter();
        let keys = known.filter_map(|(node, key)| key.as_ref().map(|key| (*node, copy(key)))).collect();
        Ok(BuiltCommit {
            commit,
            bytes,
            hash,
            epoch_number,
            author,
            changes,
            epoch,
            epoch_secret,
            secret,
            roster,
            outcome,
            keys,
            secrets,
            hand_outs,
        })
    }
}

fn copy(secret: &Secret<32>) -> Secret<32> {
    Secret::from_bytes(*secret.expose())
}

fn copied_keys(made: &crate::Made) -> BTreeMap<Node, Secret<32>> {
    made.keys.iter().map(|(node, key)| (*node, copy(key))).collect()
}

impl BuiltCommit<'_> {
    /// Returns the encoded commit, as it goes into a slot of the relay.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the commit's hash.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the slot of its author.
    #[must_use]
    pub const fn author(&self) -> Slot {
        self.author
    }

    /// Returns the roster after it.
    #[must_use]
    pub const fn roster(&self) -> &Roster<'_> {
        &self.roster
    }

    /// Returns what it changes.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Returns the commit's secret, for hand-outs.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// Returns the keys of its epoch.
    #[must_use]
    pub const fn epoch(&self) -> &EpochKeys {
        &self.epoch
    }

    /// Returns the envelopes for hand-outs, as [`crate::StagedCommit::hand_outs`] does.
    #[must_use]
    pub const fn hand_outs(&self) -> &BTreeMap<Node, Vec<u8>> {
        &self.hand_outs
    }

    /// Returns what to store once the commit has won, and the keys of its epoch.
    #[must_use]
    pub fn into_parts(self) -> (Changes, EpochKeys, Secret<32>) {
        (self.changes, self.epoch, self.secret)
    }

    /// Returns the slots that must be sent a [`Self::path`] with the commit: with keying 2 all that were there before but
    /// the author's own, with keying 1 those that begin to hold the tree.
    #[must_use]
    pub fn paths(&self) -> Vec<Slot> {
        let own = Slot::from_u32(self.changes.head.slot);
        let there =
            self.roster.slots().filter(|slot| Some(*slot) != own && !self.outcome.added.contains(slot));
        match self.secrets.keying {
            Keying::Regrow => there.collect(),
            Keying::Tree => there.filter(|slot| self.begins_to_hold(*slot)).collect(),
            Keying::HandOut => Vec::new(),
        }
    }

    fn begins_to_hold(&self, slot: Slot) -> bool {
        self.roster.get(slot).ok().flatten().is_some_and(|entry| {
            let before = self.outcome.roles.get(&entry.member);
            entry.role.is_keyholder() && before.is_some_and(|role| !role.is_keyholder())
        })
    }

    /// Returns what goes over the session to a slot of [`Self::paths`]; `tree` is where [`Self::tree`] was put, which is
    /// needed with keying 1 alone.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAMember`] for another slot.
    pub fn path(&self, slot: Slot, tree: Option<proto::GroupFile>) -> Result<proto::GroupPath, GroupError> {
        let mut path =
            proto::GroupPath { epoch: self.epoch_number, commit: self.hash.to_vec(), ..Default::default() };
        let keyholder = self.roster.keyholders().contains(&slot);
        if self.secrets.keying == Keying::Regrow {
            let made = self.secrets.made.as_ref().and_then(|made| made.path(slot));
            path.path = made.ok_or(GroupError::NotAMember)?.expose().to_vec();
            if let Some(r) = self.secrets.r.as_ref().filter(|_| keyholder) {
                path.seed = r.expose().to_vec();
            }
        } else if keyholder {
            path.tree_file = tree;
        } else {
            return Err(GroupError::NotAMember);
        }
        if let Some(key) = self.secrets.administrators.as_ref().filter(|_| keyholder) {
            path.administrators_key = key.expose().to_vec();
        }
        Ok(path)
    }

    /// Returns the snapshot; if it is longer than [`MAX_INLINE_SNAPSHOT`] it goes into a file.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the roster cannot be read.
    pub fn snapshot(&self) -> Result<Vec<u8>, GroupError> {
        snapshot::write(&self.roster)
    }

    /// Returns the keys of all live nodes, for the file that new keyholders get. Only keyholders have them.
    ///
    /// # Errors
    ///
    /// [`GroupError::NeedKeys`] if this device does not have them all.
    pub fn tree(&self) -> Result<SecretBytes, GroupError> {
        snapshot::write_keys(&self.roster, |node| self.key(node)?.ok_or(GroupError::NeedKeys))
    }

    fn key(&self, node: Node) -> Result<Option<Secret<32>>, GroupError> {
        Ok(self.keys.get(&node).map_or_else(|| self.roster.key(node), |key| Ok(Some(copy(key))))?)
    }

    /// Returns the welcome of a slot: of one that was added, or, by a keyholder, of one that has fallen behind. The files
    /// are where [`Self::snapshot`] was put, if it is long, and for who holds the tree, [`Self::tree`].
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAMember`] for an empty slot, [`GroupError::NeedKeys`] if this device has not the keys of its path.
    pub fn welcome(
        &self,
        slot: Slot,
        snapshot_file: Option<proto::GroupFile>,
        tree_file: Option<proto::GroupFile>,
    ) -> Result<proto::GroupWelcome, GroupError> {
        self.roster.get(slot)?.ok_or(GroupError::NotAMember)?;
        let mut path = Vec::with_capacity(PATH_LEN);
        for node in up_from(slot.node()) {
            if self.roster.dead().contains(&node) {
                path.extend_from_slice(&[0; 32]);
            } else {
                path.extend_from_slice(self.key(node)?.ok_or(GroupError::NeedKeys)?.expose());
            }
        }
        let snapshot = if snapshot_file.is_none() { self.snapshot()? } else { Vec::new() };
        let mut welcome = proto::GroupWelcome {
            commit: Some(proto::GroupCommit { tail: Vec::new(), ..self.commit.clone() }),
            epoch_secret: self.epoch_secret.expose().to_vec(),
            path,
            snapshot,
            snapshot_file,
            ..Default::default()
        };
        if self.roster.keyholders().contains(&slot) {
            let key = self.secrets.administrators.as_ref();
            welcome.administrators_key = key.map_or_else(Vec::new, |key| key.expose().to_vec());
            welcome.tree_file = tree_file;
        }
        Ok(welcome)
    }
}

#[cfg(test)]
mod tests;
