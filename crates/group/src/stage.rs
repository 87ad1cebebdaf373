//! A verified commit's secret, and what a device stores once it has it (R-GROUP-11 to -16).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::secret::Secret;
use chancery_identity::DeviceId;
use chancery_wire::{Timestamp, proto};

use crate::commit::epoch_name;
use crate::hand_out::cover;
use crate::tree::{up_from, used};
use crate::{
    Changes, EpochKeys, EpochSecret, GroupError, Keying, Node, Opened, RowError, Slot, TreeContext,
    VerifiedCommit, next_administrators_key, open_path, open_seed,
};

/// A commit whose secret this device has and whose confirmation fits: all that is left is to store [`Self::into_parts`].
#[derive(Debug)]
pub struct StagedCommit {
    changes: Changes,
    epoch: EpochKeys,
    secret: Secret<32>,
    hash: [u8; 32],
    hand_outs: BTreeMap<Node, Vec<u8>>,
}

impl StagedCommit {
    /// Returns the envelopes with the commit's secret for the live nodes of the cover whose keys this device has: with
    /// keying 3, else none. They are sealed under keys that [`Self::into_parts`] replaces: keep them with the secret for
    /// as long as that, and publish those that are this device's duty (R-GROUP-17).
    #[must_use]
    pub const fn hand_outs(&self) -> &BTreeMap<Node, Vec<u8>> {
        &self.hand_outs
    }

    /// Returns the commit's hash.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns what to store, the keys of the epoch, and the commit's secret for those who ask for it (R-GROUP-19).
    #[must_use]
    pub fn into_parts(self) -> (Changes, EpochKeys, Secret<32>) {
        (self.changes, self.epoch, self.secret)
    }
}

/// A commit as a device takes it over.
pub(crate) struct Finished {
    pub(crate) changes: Changes,
    pub(crate) epoch: EpochKeys,
    pub(crate) secret: Secret<32>,
    /// Envelopes for the nodes of the cover whose keys the device has.
    pub(crate) hand_outs: BTreeMap<Node, Vec<u8>>,
}

/// The secrets that a device has of a commit.
pub(crate) struct Learned {
    pub(crate) keys: BTreeMap<Node, Secret<32>>,
    pub(crate) secret: Secret<32>,
    /// The administrators' key after, for keyholders.
    pub(crate) administrators: Option<Secret<32>>,
}

impl From<Opened> for Learned {
    fn from(opened: Opened) -> Self {
        Self { keys: opened.keys, secret: opened.secret, administrators: None }
    }
}

pub(crate) fn stored_secret(bytes: &[u8]) -> Result<Option<Secret<32>>, RowError> {
    if bytes.is_empty() { Ok(None) } else { Secret::from_slice(bytes).map(Some).ok_or(RowError) }
}

/// What its author alone can have spoilt is no fault of the commit (R-GROUP-15).
fn unfit(error: GroupError) -> GroupError {
    match error {
        GroupError::NotAuthentic => GroupError::SecretUnfit,
        error => error,
    }
}

impl VerifiedCommit<'_> {
    fn context(&self) -> TreeContext<'_> {
        let head = &self.unverified.head;
        TreeContext { group_id: self.group.id, epoch: head.epoch, salt: &head.salt, transcript: &self.before }
    }

    /// Whether this device held the whole tree before.
    fn held_tree(&self) -> bool {
        self.group.head.keyholders.contains(&self.group.head.slot)
    }

    /// Returns this device's slot, if the commit has this keying and leaves the device in the group.
    fn own(&self, keying: Keying) -> Result<Slot, GroupError> {
        if self.keying() != keying {
            return Err(GroupError::WrongKeying);
        }
        if self.removes_me()? { Err(GroupError::NotAMember) } else { self.group.slot() }
    }

    /// Takes the secret out of a tree's boxes: for devices that are no keyholders before it. Keyholders for whom
    /// [`Self::by_seed`] failed follow in this way too, and lack the tree then: they must regrow (R-GROUP-15).
    ///
    /// # Errors
    ///
    /// [`GroupError::SecretUnfit`]: the commit has won, and the device stops there. [`GroupError::WrongKeying`]: not in this
    /// way. [`GroupError::NotAMember`]: this device is removed.
    pub fn by_boxes(self, now: Timestamp) -> Result<StagedCommit, GroupError> {
        let own = self.own(Keying::Tree)?;
        let refresh = self.applied.refresh.as_ref().ok_or(GroupError::WrongKeying)?;
        let opened = refresh.open(self.context(), own, self.group.rows, &self.tail.nodes).map_err(unfit)?;
        self.stage(opened.into(), now).map_err(unfit)
    }

    /// Takes a tree's secrets out of its seed: for keyholders.
    ///
    /// # Errors
    ///
    /// [`GroupError::SecretUnfit`], and [`GroupError::NeedKeys`] if this device lacks keys of the tree: verify the commit
    /// again and follow [`Self::by_boxes`]. [`GroupError::WrongKeying`]: not in this way. [`GroupError::NotAMember`]: this
    /// device is removed.
    pub fn by_seed(self, now: Timestamp) -> Result<StagedCommit, GroupError> {
        self.own(Keying::Tree)?;
        let key = stored_secret(&self.group.head.administrators_key)?.ok_or(GroupError::NeedKeys)?;
        let refresh = self.applied.refresh.as_ref().ok_or(GroupError::WrongKeying)?;
        let r = open_seed(self.context(), &key, &self.tail.seed).map_err(unfit)?;
        let made = refresh.make(self.context(), self.group.rows, &r)?;
        if made.nodes != self.tail.nodes {
            return Err(GroupError::SecretUnfit);
        }
        let administrators = Some(next_administrators_key(Some(&key), &r, &self.transcript));
        self.stage(Learned { keys: made.keys, secret: made.secret, administrators }, now).map_err(unfit)
    }

    /// Whether this device is the one in the commit's author slot. From nobody else counts what the confirmation does not
    /// prove: a path, which the confirmation proves at the root alone, and the range of a hand-out (R-GROUP-18).
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the record is damaged.
    pub fn is_author(&self, device: &DeviceId) -> Result<bool, GroupError> {
        Ok(self.roster.get(self.author())?.is_some_and(|entry| entry.device == *device))
    }

    /// Takes a regrown tree's secrets from what came with it over a session with the device `from`.
    ///
    /// # Errors
    ///
    /// [`GroupError::OtherEpoch`]: it goes with another commit. [`GroupError::NotAllowed`]: it is not the author's; throw it
    /// away and wait for that. [`GroupError::SecretUnfit`] or [`GroupError::Malformed`]: the commit has won, and the device
    /// stops there. [`GroupError::NeedKeys`]: a keyholder needs the seed. [`GroupError::WrongKeying`]: not in this way.
    /// [`GroupError::NotAMember`]: this device is removed.
    pub fn by_path(
        self,
        path: &proto::GroupPath,
        from: &DeviceId,
        now: Timestamp,
    ) -> Result<StagedCommit, GroupError> {
        let own = self.own(Keying::Regrow)?;
        if !self.is_author(from)? {
            return Err(GroupError::NotAllowed);
        }
        if path.epoch != self.epoch() || path.commit != self.hash {
            return Err(GroupError::OtherEpoch);
        }
        if !self.roster.keyholders().contains(&own) {
            let opened = open_path(own, &path.path)?.ok_or(GroupError::Malformed)?;
            return self.stage(opened.into(), now).map_err(unfit);
        }
        let r = Secret::from_slice(&path.seed).ok_or(GroupError::NeedKeys)?;
        let refresh = self.applied.refresh.as_ref().ok_or(GroupError::WrongKeying)?;
        let made = refresh.make(self.context(), self.group.rows, &r)?;
        let administrators = Some(next_administrators_key(None, &r, &self.transcript));
        self.stage(Learned { keys: made.keys, secret: made.secret, administrators }, now).map_err(unfit)
    }

    /// Takes the secret that was handed out, for a commit without keys of its own.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAuthentic`]: throw the secret away and ask another. [`GroupError::WrongKeying`]: not in this way.
    /// [`GroupError::NotAMember`]: this device is removed.
    pub fn by_hand_out(self, secret: Secret<32>, now: Timestamp) -> Result<StagedCommit, GroupError> {
        self.own(Keying::HandOut)?;
        let kept = !self.applied.outcome.lost_keyholder;
        let administrators = stored_secret(&self.group.head.administrators_key)?.filter(|_| kept);
        self.stage(Learned { keys: BTreeMap::new(), secret, administrators }, now)
    }

    /// Checks the confirmation and computes what is stored.
    fn stage(self, learned: Learned, now: Timestamp) -> Result<StagedCommit, GroupError> {
        let chain = stored_secret(&self.group.head.chain_key)?.ok_or(RowError)?;
        let epoch = EpochSecret::next(Some(&chain), &learned.secret, &self.transcript);
        epoch.check(&self.transcript, &self.unverified.commit.confirmation)?;
        let hash = self.hash;
        let Finished { changes, epoch, secret, hand_outs } = self.finish(learned, epoch, now)?;
        Ok(StagedCommit { changes, epoch, secret, hash, hand_outs })
    }

    pub(crate) fn finish(
        self,
        learned: Learned,
        epoch: EpochSecret,
        now: Timestamp,
    ) -> Result<Finished, GroupError> {
        let own = self.group.slot()?;
        let keyholder = self.roster.keyholders().contains(&own);
        let mut changes = Changes { head: self.group.head.clone(), ..Changes::default() };
        let lost_tree = self.keying() == Keying::Tree && learned.administrators.is_none();
        for node in self.lost_keys(own, lost_tree)? {
            changes.keys.insert(node, None);
        }
        changes.keys.extend(learned.keys.into_iter().map(|(node, key)| (node, Some(key))));
        let keys = epoch.keys();
        let mut hand_outs = BTreeMap::new();
        for (node, key) in self.cover_keys(own)? {
            let envelope = self.hand_out_context().seal(&keys.set_name, node, &key, &learned.secret);
            hand_outs.insert(node, envelope);
            changes.keys.insert(node, Some(used(&key)));
        }
        let head = &mut changes.head;
        let commit = &self.unverified.head;
        let name = epoch_name(&self.transcript, &self.unverified.commit.confirmation);
        (head.epoch, head.transcript, head.log_size) = (commit.epoch, name.to_vec(), commit.log_size);
        if commit.keying == Keying::Regrow {
            head.regrown_at = now.as_millis();
        }
        head.chain_key = keys.chain_key.expose().to_vec();
        head.slot_key = keys.slot_key.expose().to_vec();
        let administrators = learned.administrators.filter(|_| keyholder);
        head.administrators_key = administrators.map_or_else(Vec::new, |key| key.expose().to_vec());
        self.roster.write(&mut changes);
        Ok(Finished { changes, epoch: keys, secret: learned.secret, hand_outs })
    }

    /// Returns the keys before the commit of the live nodes of its cover, as far as this device holds them: under them its
    /// secret is handed out, after which they are replaced (R-GROUP-17).
    fn cover_keys(&self, own: Slot) -> Result<BTreeMap<Node, Secret<32>>, GroupError> {
        let mut keys = BTreeMap::new();
        if self.keying() != Keying::HandOut {
            return Ok(keys);
        }
        let keyholder = self.roster.keyholders().contains(&own);
        for node in cover(&self.roster, self.roster.dead())? {
            if !self.roster.dead().contains(&node) && (keyholder || node.covers(own)) {
                keys.extend(self.group.rows.key(node)?.map(|key| (node, key)));
            }
        }
        Ok(keys)
    }

    /// Returns the nodes whose keys this device must not have after the commit.
    fn lost_keys(&self, own: Slot, lost_tree: bool) -> Result<BTreeSet<Node>, GroupError> {
        let outcome = &self.applied.outcome;
        let mut lost: BTreeSet<Node> = self.roster.dead().difference(&self.applied.dead).copied().collect();
        for (slot, _) in &outcome.removed {
            for node in up_from(slot.node()) {
                if crate::Rows::hash(&self.roster, node)? == [0; 32] {
                    lost.insert(node);
                }
            }
        }
        if self.held_tree() && !self.roster.keyholders().contains(&own) {
            lost.extend(self.group.roster()?.occupied());
        } else if self.held_tree() && lost_tree {
            // What is beside its path may be others' keys no more: it counts as lacking the tree.
            let all = self.group.roster()?.occupied();
            lost.extend(all.into_iter().filter(|node| !node.covers(own)));
        }
        if !self.held_tree() {
            lost.retain(|node| node.covers(own));
        }
        Ok(lost)
    }
}
