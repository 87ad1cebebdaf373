//! Joining a group, and catching up with one (R-GROUP-25, -26).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use chancery_crypto::secret::{Secret, ct_eq};
use chancery_identity::{Credential, DeviceId};
use chancery_wire::{Timestamp, proto};

use crate::commit::{
    CommitHead, check_author, check_log, check_signature, commit_hash, epoch_name, next_transcript,
};
use crate::limit::MAX_EPOCHS_AHEAD;
use crate::tree::up_from;
use crate::{
    Changes, Entry, EpochKeys, EpochSecret, Group, GroupError, Head, Info, Keying, LogView, MemoryRows, Node,
    PATH_LEN, Role, Roster, Rows as _, Slot, VerifiedCommit, snapshot,
};

/// Who is welcomed, and what it knows.
#[derive(Clone, Copy)]
pub struct Joiner<'a> {
    /// The group's identifier.
    pub group_id: &'a [u8; 16],
    /// This device's credential.
    pub credential: &'a Credential,
    /// Its log.
    pub log: &'a dyn LogView,
    /// The group as this device has it, if it asked to be helped on (R-GROUP-19); `None` for one that it is not in.
    pub behind: Option<Group<'a>>,
    /// The commit of the next epoch, if this device found one in its slot and verified it, and lacks its secret.
    pub next: Option<&'a VerifiedCommit<'a>>,
    /// Whether this device has a group of this identifier.
    pub exists: bool,
}

impl core::fmt::Debug for Joiner<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Joiner").field("group_id", self.group_id).finish_non_exhaustive()
    }
}

/// A welcome as it came over a session, with the files that it names fetched.
#[derive(Debug)]
pub struct UnverifiedWelcome<'a> {
    /// What was sent.
    pub welcome: &'a proto::GroupWelcome,
    /// The content of `snapshot_file`, if the welcome has one.
    pub snapshot: Option<&'a [u8]>,
    /// The content of `tree_file`, if the welcome has one.
    pub tree: Option<&'a [u8]>,
    /// The device at the other end of the session.
    pub from: DeviceId,
}

/// A group that this device may enter: all that is left is to store it.
#[derive(Debug)]
pub struct JoinedGroup {
    changes: Changes,
    epoch: EpochKeys,
    commit: [u8; 32],
}

impl JoinedGroup {
    /// Returns the hash of the commit that it begins with.
    #[must_use]
    pub const fn commit(&self) -> &[u8; 32] {
        &self.commit
    }

    /// Returns what to store, and the keys of the epoch.
    #[must_use]
    pub fn into_parts(self) -> (Changes, EpochKeys) {
        (self.changes, self.epoch)
    }
}

impl UnverifiedWelcome<'_> {
    /// Checks everything that a joiner can, in the order of R-GROUP-26.
    ///
    /// # Errors
    ///
    /// [`GroupError`]: do not enter. [`GroupError::LogTooShort`] or [`GroupError::NeedCredential`]: get what is missing,
    /// then try again. [`GroupError::NeedKeys`]: a file that the welcome names has to be fetched.
    pub fn verify(&self, joiner: Joiner<'_>, now: Timestamp) -> Result<JoinedGroup, GroupError> {
        let commit = self.welcome.commit.as_ref().ok_or(GroupError::Malformed)?;
        let head = CommitHead::from_bytes(&commit.head).ok_or(GroupError::Malformed)?;
        if head.group_id != *joiner.group_id {
            return Err(GroupError::OtherGroup);
        }
        match joiner.behind {
            None if joiner.exists => return Err(GroupError::Exists),
            Some(group) => check_ahead(&head, commit, group, joiner.next)?,
            None => {}
        }
        let nothing = MemoryRows::default();
        let before = match joiner.behind {
            Some(group) => group.roster()?,
            None => Roster::empty(&nothing),
        };
        // After the newest commit that was verified: who administered before it and no more is believed nothing.
        let newest = joiner.next.filter(|_| joiner.behind.is_some()).map_or(&before, VerifiedCommit::roster);
        let helper = newest.slot_of(&self.from)?.filter(|slot| newest.keyholders().contains(slot));
        let old_keys = held_before(&before, joiner.behind)?;
        let bytes =
            if self.welcome.snapshot_file.is_some() { self.snapshot } else { Some(&*self.welcome.snapshot) };
        let roster = snapshot::read(bytes.ok_or(GroupError::NeedKeys)?, before)?;
        if roster.name()? != head.roster {
            return Err(GroupError::OtherRoster);
        }
        if Info::from_bytes(roster.info())?.dissolved {
            return Err(GroupError::Dissolved);
        }
        let (own, entry) = own_entry(&roster, joiner.credential)?;
        self.check_senders(&roster, &head, &entry, (joiner, helper.is_some()))?;
        check_entries(&roster, &head, joiner.log)?;
        let transcript = next_transcript(&head.transcript, &commit.head);
        let secret = Secret::from_slice(&self.welcome.epoch_secret).ok_or(GroupError::Malformed)?;
        let epoch = EpochSecret::from_welcome(secret);
        epoch.check(&transcript, &commit.confirmation)?;
        let mut changes = Changes::default();
        changes.keys.extend(old_keys.into_iter().map(|node| (node, None)));
        let keys = self.keys(&roster, own)?;
        changes.keys.extend(keys.into_iter().map(|(node, key)| (node, Some(key))));
        let epoch = epoch.keys();
        // Without the tree the administrators' key is worth nothing: this device follows by its boxes and regrows.
        let holds_tree = entry.role.is_keyholder() && self.welcome.tree_file.is_some();
        let administrators = if holds_tree { &*self.welcome.administrators_key } else { &[] };
        if !administrators.is_empty() && administrators.len() != 32 {
            return Err(GroupError::Malformed);
        }
        changes.head = Head {
            epoch: head.epoch,
            transcript: epoch_name(&transcript, &commit.confirmation).to_vec(),
            log_size: head.log_size,
            slot: own.get().into(),
            chain_key: epoch.chain_key.expose().to_vec(),
            slot_key: epoch.slot_key.expose().to_vec(),
            administrators_key: administrators.to_vec(),
            regrown_at: now.as_millis(),
            ..Head::default()
        };
        roster.write(&mut changes);
        Ok(JoinedGroup { changes, epoch, commit: commit_hash(commit) })
    }

    /// Whether author and sender are who may welcome.
    fn check_senders(
        &self,
        roster: &Roster<'_>,
        head: &CommitHead,
        own: &Entry,
        (joiner, helped): (Joiner<'_>, bool),
    ) -> Result<(), GroupError> {
        let (log, commit) = (joiner.log, self.welcome.commit.as_ref().ok_or(GroupError::Malformed)?);
        let author = roster.get(head.author)?.ok_or(GroupError::NotAMember)?;
        let credential = check_signature(commit, &author, log)?;
        check_log(head, log)?;
        check_author(&author, &credential, head.log_size, log)?;
        // Without an administrator left, anybody may have put in who takes over, if the log names it.
        let takes_over = head.keying == Keying::HandOut
            && own.role == Role::Owner
            && own.added == head.epoch
            && log.group_successors(joiner.group_id, head.log_size).contains(&own.member);
        // Whoever has a group already believes nobody but who was a keyholder in it: else any member could make up
        // what has become of it.
        let by_right = match joiner.behind {
            Some(_) => helped,
            None => author.role.is_keyholder() || takes_over,
        };
        if !by_right {
            return Err(GroupError::NotAllowed);
        }
        let sender = roster.slot_of(&self.from)?;
        let may = sender.is_some_and(|slot| slot == head.author || roster.keyholders().contains(&slot));
        if may { Ok(()) } else { Err(GroupError::NotAllowed) }
    }

    fn keys(&self, roster: &Roster<'_>, own: Slot) -> Result<BTreeMap<Node, Secret<32>>, GroupError> {
        if self.welcome.path.len() != PATH_LEN {
            return Err(GroupError::Malformed);
        }
        let mut keys = BTreeMap::new();
        for (node, key) in up_from(own.node()).zip(self.welcome.path.chunks_exact(32)) {
            let none = ct_eq(key, &[0; 32]);
            if none == roster.is_live(node)? {
                return Err(GroupError::Malformed);
            }
            if !none {
                keys.insert(node, Secret::from_slice(key).ok_or(GroupError::Malformed)?);
            }
        }
        if roster.keyholders().contains(&own) && self.welcome.tree_file.is_some() {
            let tree = snapshot::read_keys(self.tree.ok_or(GroupError::NeedKeys)?, roster)?;
            agree(&keys, &tree)?;
            return Ok(tree);
        }
        Ok(keys)
    }
}

/// Whether a welcome leads on from what a device has and has verified.
fn check_ahead(
    head: &CommitHead,
    commit: &proto::GroupCommit,
    group: Group<'_>,
    next: Option<&VerifiedCommit<'_>>,
) -> Result<(), GroupError> {
    let ahead = head.epoch.checked_sub(group.head.epoch).filter(|ahead| *ahead > 0);
    if ahead.ok_or(GroupError::OtherEpoch)? > MAX_EPOCHS_AHEAD {
        return Err(GroupError::Limit);
    }
    let next = next.filter(|next| next.group.id == group.id && next.group.head == group.head);
    if next.is_some_and(|next| next.epoch() == head.epoch && *next.hash() != commit_hash(commit)) {
        return Err(GroupError::OtherEpoch);
    }
    let known = next.map_or(group.head.log_size, |next| next.unverified.head.log_size);
    if head.log_size < known { Err(GroupError::OtherLog) } else { Ok(()) }
}

/// Returns the nodes whose keys this device may have from before.
fn held_before(roster: &Roster<'_>, group: Option<Group<'_>>) -> Result<Vec<Node>, GroupError> {
    let Some(group) = group else { return Ok(Vec::new()) };
    let own = group.slot()?;
    if roster.keyholders().contains(&own) {
        return Ok(roster.occupied().into_iter().collect());
    }
    Ok(up_from(own.node()).collect())
}

/// Whether the keys that a device has are those of the tree that it is given.
fn agree(own: &BTreeMap<Node, Secret<32>>, tree: &BTreeMap<Node, Secret<32>>) -> Result<(), GroupError> {
    let same = own.iter().all(|(node, key)| tree.get(node).is_some_and(|other| key.ct_eq(other.expose())));
    if same { Ok(()) } else { Err(GroupError::NotAuthentic) }
}

fn own_entry(roster: &Roster<'_>, credential: &Credential) -> Result<(Slot, Entry), GroupError> {
    let slot = roster.slot_of(&credential.device_id())?.ok_or(GroupError::NotAMember)?;
    let entry = roster.get(slot)?.ok_or(GroupError::NotAMember)?;
    let own = entry.credential == credential.hash()
        && entry.member == credential.member_id()
        && entry.group_key == *credential.group_key().as_bytes();
    if own { Ok((slot, entry)) } else { Err(GroupError::NotAMember) }
}

/// Whether the log vouches for everybody, and the roster keeps its own rules.
fn check_entries(roster: &Roster<'_>, head: &CommitHead, log: &dyn LogView) -> Result<(), GroupError> {
    if roster.keyholders().is_empty() {
        return Err(GroupError::NoKeyholder);
    }
    for slot in roster.slots() {
        let entry = roster.get(slot)?.ok_or(crate::RowError)?;
        if entry.added > head.epoch {
            return Err(GroupError::Malformed);
        }
        if log.device(&entry.device, head.log_size) != Some((entry.member, entry.credential)) {
            return Err(GroupError::NotInLog);
        }
        if log.is_ended(&entry.device, &entry.member, head.log_size) {
            return Err(GroupError::LeaverStays);
        }
    }
    Ok(())
}

/// Takes over the tree that a device is given which begins to hold it (R-GROUP-13), in the epoch that it goes with, over a
/// session with the device `from`.
///
/// # Errors
///
/// [`GroupError::OtherEpoch`]: it goes with another. [`GroupError::NotAllowed`]: this device holds no tree, or `from` does
/// not. [`GroupError::NotAuthentic`] or [`GroupError::Malformed`]: throw it away and ask another keyholder.
pub fn adopt_tree(
    group: Group<'_>,
    path: &proto::GroupPath,
    tree: &[u8],
    from: &DeviceId,
) -> Result<Changes, GroupError> {
    let (roster, own) = (group.roster()?, group.slot()?);
    if path.epoch != group.head.epoch {
        return Err(GroupError::OtherEpoch);
    }
    let sender = roster.slot_of(from)?.filter(|slot| roster.keyholders().contains(slot) && *slot != own);
    if !roster.keyholders().contains(&own) || sender.is_none() {
        return Err(GroupError::NotAllowed);
    }
    let mut keys = BTreeMap::new();
    for node in up_from(own.node()) {
        keys.extend(group.rows.key(node)?.map(|key| (node, key)));
    }
    let tree = snapshot::read_keys(tree, &roster)?;
    agree(&keys, &tree)?;
    let administrators: Option<Secret<32>> = Secret::from_slice(&path.administrators_key);
    let administrators = administrators.ok_or(GroupError::Malformed)?;
    let mut changes = Changes { head: group.head.clone(), ..Changes::default() };
    changes.head.administrators_key = Vec::from(*administrators.expose());
    changes.keys = tree.into_iter().map(|(node, key)| (node, Some(key))).collect();
    Ok(changes)
}
