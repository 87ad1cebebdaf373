//! A commit on its way in: read, then verified against roster and log (R-GROUP-4, -5, -12). What comes next is in `stage`.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::Credential;
use chancery_wire::{Limit, decode, proto};

use crate::change::{self, Outcome, Terms};
use crate::limit::{MAX_COMMIT_LEN, MAX_EPOCH};
use crate::log_view::Ended;
use crate::{
    Attempt, BOX_LEN, Entry, GroupError, HandOutChange, HandOutContext, Head, LogView, Node, Refresh, Roster,
    Rows, Slot, dead_after,
};

/// A group as a device has it.
#[derive(Clone, Copy)]
pub struct Group<'a> {
    /// Its identifier.
    pub id: &'a [u8; 16],
    /// Its record.
    pub head: &'a Head,
    /// Its rows.
    pub rows: &'a dyn Rows,
}

impl core::fmt::Debug for Group<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Group").field("id", self.id).field("epoch", &self.head.epoch).finish_non_exhaustive()
    }
}

impl<'a> Group<'a> {
    /// Returns the roster as it is stored.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the record is damaged.
    pub fn roster(&self) -> Result<Roster<'a>, GroupError> {
        Roster::new(self.head, self.rows)
    }

    /// Returns this device's slot.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the record is damaged.
    pub fn slot(&self) -> Result<Slot, GroupError> {
        Ok(Slot::from_u32(self.head.slot).ok_or(crate::RowError)?)
    }

    /// Whether the log has ended somebody who is in the roster: nothing may be sealed in this epoch any more, and who
    /// finds no commit that removes them makes one (R-GROUP-20).
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if a row cannot be read.
    pub fn has_ended(&self, log: &dyn LogView) -> Result<bool, GroupError> {
        for ended in log.ended(self.head.log_size, log.size()) {
            let there = match ended {
                Ended::Device(device) => self.rows.slot_of(&device)?.is_some(),
                Ended::Member(member) => !self.rows.slots_of(&member)?.is_empty(),
            };
            if there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(crate) fn transcript(&self) -> Result<[u8; 32], GroupError> {
        Ok(self.head.transcript.as_slice().try_into().map_err(|_| crate::RowError)?)
    }
}

/// How a commit brings its secret to those who are to have it (R-GROUP-11, R-GROUP-12).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Keying {
    /// In boxes of the tree.
    Tree = 1,
    /// All keys anew, over sessions.
    Regrow = 2,
    /// The secret alone, handed out by helpers.
    HandOut = 3,
}

impl Keying {
    pub(crate) const fn from_u32(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Tree),
            2 => Some(Self::Regrow),
            3 => Some(Self::HandOut),
            _ => None,
        }
    }
}

/// A commit that has its form, and that nobody believes yet.
#[derive(Debug, Clone)]
pub struct UnverifiedCommit {
    pub(crate) commit: proto::GroupCommit,
    pub(crate) head: CommitHead,
    hash: [u8; 32],
}

/// A commit's head, its fields of the right lengths.
#[derive(Debug, Clone)]
pub(crate) struct CommitHead {
    pub(crate) group_id: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) transcript: [u8; 32],
    pub(crate) author: Slot,
    pub(crate) log_size: u64,
    pub(crate) log_root: [u8; 32],
    pub(crate) salt: [u8; 32],
    pub(crate) keying: Keying,
    pub(crate) roster: [u8; 32],
    tail_hash: [u8; 32],
}

impl CommitHead {
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let head: proto::GroupCommitHead = decode(bytes, Limit::STATEMENT).ok()?.into_unchecked();
        Some(Self {
            group_id: head.group_id.try_into().ok()?,
            epoch: Some(head.epoch).filter(|epoch| *epoch <= MAX_EPOCH)?,
            transcript: head.transcript.try_into().ok()?,
            author: Slot::from_u32(head.author)?,
            log_size: head.log_size,
            log_root: head.log_root.try_into().ok()?,
            salt: head.salt.try_into().ok()?,
            keying: Keying::from_u32(head.keying)?,
            roster: head.roster.try_into().ok()?,
            tail_hash: head.tail_hash.try_into().ok()?,
        })
    }
}

/// Returns the transcript of the epoch that a commit with this head begins, `before` being the name of the epoch before
/// (R-GROUP-4).
pub(crate) fn next_transcript(before: &[u8; 32], head: &[u8]) -> [u8; 32] {
    hash(label::HASH_GROUP_TRANSCRIPT, &[before, head])
}

/// Returns what names the epoch that a commit begins, its secret included (R-GROUP-4): what is stored as `transcript`, what
/// the next head names, and what messages sign.
pub(crate) fn epoch_name(transcript: &[u8; 32], confirmation: &[u8]) -> [u8; 32] {
    hash(label::HASH_GROUP_EPOCH, &[transcript, confirmation])
}

/// Returns the number and the name of the epoch that a commit says to begin, and the name of the one before (R-GROUP-4); of
/// a welcome's commit too, which has no tail. `None` if it is none. Nothing of it is proven.
#[must_use]
pub fn epoch_of(commit: &proto::GroupCommit) -> Option<(u64, [u8; 32], [u8; 32])> {
    let head = CommitHead::from_bytes(&commit.head)?;
    let transcript = next_transcript(&head.transcript, &commit.head);
    Some((head.epoch, epoch_name(&transcript, &commit.confirmation), head.transcript))
}

pub(crate) fn commit_hash(commit: &proto::GroupCommit) -> [u8; 32] {
    hash(label::HASH_GROUP_COMMIT, &[&commit.head, &commit.confirmation, &commit.signature])
}

/// Whether this is the author's signature, under a credential that the roster's entry names.
pub(crate) fn check_signature(
    commit: &proto::GroupCommit,
    author: &Entry,
    log: &dyn LogView,
) -> Result<Credential, GroupError> {
    let credential = log.credential(&author.device).ok_or(GroupError::NeedCredential(author.device))?;
    if credential.hash() != author.credential || credential.member_id() != author.member {
        return Err(GroupError::NotAMember);
    }
    let signed = [commit.head.as_slice(), &commit.confirmation].concat();
    let verified = credential.signing_key().verify(label::SIGN_GROUP_COMMIT, &signed, &commit.signature);
    verified.map_err(|_| GroupError::NotAuthentic)?;
    Ok(credential)
}

/// Whether the reader's log begins as the commit says.
pub(crate) fn check_log(head: &CommitHead, log: &dyn LogView) -> Result<(), GroupError> {
    if log.size() < head.log_size {
        return Err(if log.is_fresh() { GroupError::OtherLog } else { GroupError::LogTooShort });
    }
    if log.root(head.log_size) == Some(head.log_root) { Ok(()) } else { Err(GroupError::OtherLog) }
}

/// Whether the author was a device of the organisation where the commit says that the log ended.
pub(crate) fn check_author(
    author: &Entry,
    credential: &Credential,
    size: u64,
    log: &dyn LogView,
) -> Result<(), GroupError> {
    let time = log.time(size).ok_or(GroupError::LogTooShort)?;
    if log.device(&author.device, size) != Some((author.member, author.credential))
        || log.is_ended(&author.device, &author.member, size)
        || !credential.is_valid_at(time)
    {
        return Err(GroupError::NotAMember);
    }
    Ok(())
}

impl UnverifiedCommit {
    /// Reads a commit. Nothing is believed yet.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] or [`GroupError::Limit`]: drop it.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GroupError> {
        if bytes.len() > MAX_COMMIT_LEN {
            return Err(GroupError::Limit);
        }
        let commit: proto::GroupCommit =
            decode(bytes, Limit::FRAME).map_err(|_| GroupError::Malformed)?.into_unchecked();
        let head = CommitHead::from_bytes(&commit.head).ok_or(GroupError::Malformed)?;
        if commit.confirmation.len() != 32
            || head.tail_hash != hash(label::HASH_GROUP_COMMIT_TAIL, &[&commit.tail])
        {
            return Err(GroupError::Malformed);
        }
        let hash = commit_hash(&commit);
        Ok(Self { commit, head, hash })
    }

    /// Returns the commit's hash, by which hand-outs and paths name it.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the group that it says it is for.
    #[must_use]
    pub const fn group_id(&self) -> &[u8; 16] {
        &self.head.group_id
    }

    /// Returns the epoch that it says it begins.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// Returns the transcript that it follows.
    #[must_use]
    pub const fn transcript_before(&self) -> &[u8; 32] {
        &self.head.transcript
    }

    /// Checks all that needs no secret, in the order of R-GROUP-5.
    ///
    /// # Errors
    ///
    /// [`GroupError`]: the commit is not valid, or [`GroupError::LogTooShort`] or [`GroupError::NeedCredential`]: get what is
    /// missing, then try again. The group is as it was.
    pub fn verify<'a>(self, group: Group<'a>, log: &dyn LogView) -> Result<VerifiedCommit<'a>, GroupError> {
        let (head, before) = (&self.head, group.transcript()?);
        if head.group_id != *group.id {
            return Err(GroupError::OtherGroup);
        }
        if Some(head.epoch) != group.head.epoch.checked_add(1) || head.transcript != before {
            return Err(GroupError::OtherEpoch);
        }
        let mut roster = group.roster()?;
        let author = roster.get(head.author)?.ok_or(GroupError::NotAMember)?;
        let credential = check_signature(&self.commit, &author, log)?;
        if head.log_size < group.head.log_size {
            return Err(GroupError::OtherLog);
        }
        check_log(head, log)?;
        check_author(&author, &credential, head.log_size, log)?;
        let tail: proto::GroupCommitTail =
            decode(&self.commit.tail, Limit::FRAME).map_err(|_| GroupError::Malformed)?.into_unchecked();
        let terms = Terms {
            group_id: group.id,
            epoch: head.epoch,
            author: head.author,
            known: group.head.log_size,
            size: head.log_size,
            log,
        };
        let applied = Applied::new(&mut roster, &terms, &tail.changes, head.keying)?;
        let boxes = match &applied.refresh {
            Some(refresh) if head.keying == Keying::Tree => (refresh.nodes_len(), BOX_LEN),
            _ => (0, 0),
        };
        if (tail.nodes.len(), tail.seed.len()) != boxes {
            return Err(GroupError::Malformed);
        }
        if roster.name()? != head.roster {
            return Err(GroupError::OtherRoster);
        }
        let transcript = next_transcript(&before, &self.commit.head);
        Ok(VerifiedCommit {
            group,
            hash: self.hash,
            tail,
            transcript,
            before,
            roster,
            applied,
            unverified: self,
        })
    }
}

/// What a commit's changes come to, for roster and tree.
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    pub(crate) refresh: Option<Refresh>,
    /// Nodes that were dead before.
    pub(crate) dead: BTreeSet<Node>,
}

impl Applied {
    /// Applies changes and keying to a roster (R-GROUP-6 to -9, -12, -16).
    pub(crate) fn new(
        roster: &mut Roster<'_>,
        terms: &Terms<'_>,
        changes: &[proto::GroupChange],
        keying: Keying,
    ) -> Result<Self, GroupError> {
        let was_keyholder = roster.keyholders().contains(&terms.author);
        let outcome = change::apply(roster, terms, changes)?;
        let keyholder = was_keyholder && roster.keyholders().contains(&terms.author);
        let allowed = match keying {
            Keying::Tree => keyholder && !outcome.lost_keyholder,
            Keying::Regrow => keyholder,
            Keying::HandOut => !outcome.by_role && !outcome.removed.is_empty(),
        };
        if !allowed {
            return Err(GroupError::WrongKeying);
        }
        roster.settle()?;
        let dead = roster.dead().clone();
        let removed: Vec<Slot> = outcome.removed.iter().map(|(slot, _)| *slot).collect();
        let refresh = match keying {
            Keying::Tree => {
                let plan = Refresh::plan(&*roster, &outcome.added, &removed, terms.author, &dead);
                Some(plan.map_err(wrong_keying)?)
            }
            Keying::Regrow => Some(Refresh::regrow(&*roster).map_err(wrong_keying)?),
            Keying::HandOut => None,
        };
        let after = if refresh.is_some() {
            BTreeSet::new()
        } else {
            let (added, keyholder) = (outcome.added.as_slice(), outcome.lost_keyholder);
            dead_after(&*roster, &dead, HandOutChange { removed: &removed, added, keyholder })?
        };
        roster.set_dead(after);
        Ok(Self { outcome, refresh, dead })
    }
}

fn wrong_keying(error: GroupError) -> GroupError {
    match error {
        GroupError::NotAllowed => GroupError::WrongKeying,
        error => error,
    }
}

/// A commit that is right in all that needs no secret.
pub struct VerifiedCommit<'a> {
    pub(crate) group: Group<'a>,
    pub(crate) unverified: UnverifiedCommit,
    pub(crate) hash: [u8; 32],
    pub(crate) tail: proto::GroupCommitTail,
    pub(crate) before: [u8; 32],
    pub(crate) transcript: [u8; 32],
    pub(crate) roster: Roster<'a>,
    pub(crate) applied: Applied,
}

impl core::fmt::Debug for VerifiedCommit<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("VerifiedCommit").field("epoch", &self.unverified.head.epoch).finish_non_exhaustive()
    }
}

impl<'a> VerifiedCommit<'a> {
    /// Returns the commit's hash.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// Returns the epoch that it begins.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.unverified.head.epoch
    }

    /// Returns how its secret is brought.
    #[must_use]
    pub const fn keying(&self) -> Keying {
        self.unverified.head.keying
    }

    /// Returns the slot of its author, who is in the roster before and after.
    #[must_use]
    pub const fn author(&self) -> Slot {
        self.unverified.head.author
    }

    /// Returns the roster after it.
    #[must_use]
    pub const fn roster(&self) -> &Roster<'a> {
        &self.roster
    }

    /// Returns what it changes.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.applied.outcome
    }

    /// Whether this commit and another prove that the group is forked (R-GROUP-22): both valid, for one epoch after one
    /// transcript, and found in contents of the slot of the same attempt. A commit that lost goes on to another attempt,
    /// so that it proves nothing beside the one that won.
    #[must_use]
    pub fn proves_fork(&self, attempt: Attempt, (other, other_attempt): (&Self, Attempt)) -> bool {
        let same =
            (self.group.id, self.epoch(), self.before) == (other.group.id, other.epoch(), other.before);
        same && attempt == other_attempt && self.hash != other.hash
    }

    /// Opens a hand-out of this commit's secret that a helper published to this device (R-GROUP-17).
    ///
    /// # Errors
    ///
    /// As [`HandOutContext::open`]; [`GroupError::Rows`] if the record is damaged.
    pub fn open_hand_out(&self, envelope: &[u8]) -> Result<Secret<32>, GroupError> {
        self.hand_out_context().open(self.group.slot()?, self.group.rows, self.roster.dead(), envelope)
    }

    /// Returns what hand-outs of this commit's secret are bound to.
    #[must_use]
    pub const fn hand_out_context(&self) -> HandOutContext<'_> {
        HandOutContext { group_id: self.group.id, epoch: self.unverified.head.epoch, commit: &self.hash }
    }

    /// Whether this device is in the group no more: forget the group's keys and keep what was read.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if the record is damaged.
    pub fn removes_me(&self) -> Result<bool, GroupError> {
        let slot = self.group.slot()?;
        Ok(self.applied.outcome.removed.iter().any(|(removed, _)| *removed == slot))
    }
}
