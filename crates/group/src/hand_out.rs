//! Eviction without an administrator: dead nodes, the cover, and who hands a commit's secret to whom (R-GROUP-16, R-GROUP-17).

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::aead::{OneTimeKey, TAG_LEN};
use chancery_crypto::kdf::derive;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;

use crate::rows::RowError;
use crate::tree::{is_taken, up_from};
use crate::{GroupError, Node, Rows, Slot};

/// First byte of the envelope of a hand-out.
pub const KIND_GROUP_HAND_OUT: u8 = 0x19;
/// Bytes of a hand-out's envelope.
pub const HAND_OUT_LEN: usize = FRONT + 32 + TAG_LEN;
/// Most helpers of a commit: what an author sends over sessions before it may store the commit.
pub const MAX_HELPERS: usize = 64;

/// Kind, set name and node.
const FRONT: usize = 20;

/// Who leaves and who comes with a commit of keying 3.
#[derive(Debug, Clone, Copy)]
pub struct HandOutChange<'a> {
    /// The slots that the commit empties.
    pub removed: &'a [Slot],
    /// The slots that it fills.
    pub added: &'a [Slot],
    /// Whether a removed device was a keyholder's.
    pub keyholder: bool,
}

/// Returns the dead nodes after a commit with keying 3, `before` being those before and `after` the roster after it. With every dead node
/// all above it are dead.
///
/// # Errors
///
/// [`RowError`] if a row cannot be read.
pub fn dead_after(
    after: &dyn Rows,
    before: &BTreeSet<Node>,
    change: HandOutChange<'_>,
) -> Result<BTreeSet<Node>, RowError> {
    if change.keyholder {
        return below(after, Node::ROOT, |_| true);
    }
    let mut dead = before.clone();
    dead.extend(change.removed.iter().flat_map(|slot| up_from(slot.node()).skip(1)));
    dead.extend(change.added.iter().flat_map(|slot| up_from(slot.node())));
    let mut taken = BTreeSet::new();
    for node in dead {
        if is_taken(after, node)? {
            taken.insert(node);
        }
    }
    Ok(taken)
}

/// Returns the cover of a roster: the largest live nodes, and the dead slots that are taken, by their lowest slots.
///
/// # Errors
///
/// [`RowError`] if a row cannot be read.
pub fn cover(after: &dyn Rows, dead: &BTreeSet<Node>) -> Result<Vec<Node>, RowError> {
    let (mut cover, mut open) = (Vec::new(), vec![Node::ROOT]);
    while let Some(node) = open.pop() {
        if !is_taken(after, node)? {
            continue;
        }
        match node.children() {
            Some([left, right]) if dead.contains(&node) => open.extend([right, left]),
            _ => cover.push(node),
        }
    }
    Ok(cover)
}

/// Slots that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotRange {
    /// The first.
    pub first: u16,
    /// How many.
    pub count: u16,
}

impl SlotRange {
    fn of(nodes: &[Node]) -> Option<Self> {
        let first = nodes.first()?.slots().0;
        let (last, count) = nodes.last()?.slots();
        Some(Self { first, count: last.checked_add(count)?.checked_sub(first)? })
    }

    /// Whether all slots below a node are in it.
    fn holds(self, node: Node) -> bool {
        let (first, count) = node.slots();
        first >= self.first && first.saturating_add(count) <= self.first.saturating_add(self.count)
    }

    /// Returns the taken slots in the range, lowest first: whom the author may choose as the helper for it.
    ///
    /// # Errors
    ///
    /// [`RowError`] if a row cannot be read.
    pub fn taken(self, after: &dyn Rows) -> Result<Vec<Slot>, RowError> {
        let overlaps = |node: Node| {
            let (first, count) = node.slots();
            first < self.first.saturating_add(self.count) && self.first < first.saturating_add(count)
        };
        Ok(slots(&below(after, Node::ROOT, overlaps)?))
    }
}

/// Who serves what.
#[derive(Debug, PartialEq, Eq)]
pub struct Assignment {
    /// What the author serves itself, if anybody else is below its member of the cover.
    pub own: Option<SlotRange>,
    /// What helpers serve: for each range one of the devices in it, which [`SlotRange::taken`] lists.
    pub helpers: Vec<SlotRange>,
}

/// Shares the cover among at most [`MAX_HELPERS`] helpers and the author.
#[must_use]
pub fn assign(cover: &[Node], author: Slot) -> Assignment {
    let own = cover.iter().position(|node| node.covers(author));
    let (before, after) = match own {
        Some(own) => (cover.get(..own), own.checked_add(1).and_then(|next| cover.get(next..))),
        None => (Some(cover), None),
    };
    let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
    // One less than there may be, because both sides of the author may have a share that is not full.
    let each = cover.len().div_ceil(MAX_HELPERS.saturating_sub(1)).max(1);
    let helpers = before.chunks(each).chain(after.chunks(each)).filter_map(SlotRange::of).collect();
    let own = own.and_then(|own| cover.get(own)).filter(|node| node.level() > 0);
    Assignment { own: own.and_then(|node| SlotRange::of(&[*node])), helpers }
}

/// One thing that a helper, or the author, has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Publish to the slots below this node, whose key this device has, what [`crate::StagedCommit::hand_outs`] has for it;
    /// or send to each of them over a session, if that was not kept.
    Publish(Node),
    /// Send a `GroupHandOut` to this device over a session.
    Send(Slot),
}

/// Returns what serving a range means for the device in slot `own`; `after` is the roster after the commit, with the keys that this device
/// has, `dead` and `cover` as after it.
///
/// # Errors
///
/// [`RowError`] if a row cannot be read.
pub fn duties(
    after: &dyn Rows,
    dead: &BTreeSet<Node>,
    cover: &[Node],
    range: SlotRange,
    own: Slot,
) -> Result<Vec<Duty>, RowError> {
    let mut duties = Vec::new();
    for node in cover.iter().copied().filter(|node| range.holds(*node) && *node != own.node()) {
        if !dead.contains(&node) && after.key(node)?.is_some() {
            duties.push(Duty::Publish(node));
        } else {
            let others = slots(&below(after, node, |_| true)?).into_iter().filter(|slot| *slot != own);
            duties.extend(others.map(Duty::Send));
        }
    }
    Ok(duties)
}

/// What a hand-out is bound to.
#[derive(Debug, Clone, Copy)]
pub struct HandOutContext<'a> {
    /// The group.
    pub group_id: &'a [u8; 16],
    /// The epoch that the commit begins.
    pub epoch: u64,
    /// The commit's hash.
    pub commit: &'a [u8; 32],
}

impl HandOutContext<'_> {
    fn key(&self, key: &Secret<32>) -> OneTimeKey {
        let info = [&self.group_id[..], &self.epoch.to_be_bytes()].concat();
        OneTimeKey::new(derive(label::KDF_GROUP_HAND_OUT, self.commit, &[key.expose()], &info))
    }

    /// Makes the envelope with the commit's secret for everybody below a live node, whose key before the commit this is; `set_name` is that of the new epoch.
    /// Only who has checked the commit's confirmation with this secret may make one.
    #[must_use]
    pub fn seal(&self, set_name: &[u8; 16], node: Node, key: &Secret<32>, secret: &Secret<32>) -> Vec<u8> {
        let front = [&[KIND_GROUP_HAND_OUT][..], set_name, &node.to_bytes()].concat();
        let sealed = self.key(key).seal(&front, secret.expose());
        [front, sealed].concat()
    }

    /// Opens a hand-out with the key of a node above slot `own`, out of the keys before the commit. Whether the secret is the commit's, the
    /// confirmation says. `dead` are the dead nodes after the commit.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] and [`GroupError::NotAuthentic`]: it is not for this commit, not for this device, or forged; drop it, or
    /// try it with another commit.
    pub fn open(
        &self,
        own: Slot,
        keys: &dyn Rows,
        dead: &BTreeSet<Node>,
        envelope: &[u8],
    ) -> Result<Secret<32>, GroupError> {
        let (front, sealed) = envelope.split_first_chunk::<FRONT>().ok_or(GroupError::Malformed)?;
        let node = front.last_chunk().and_then(|node| Node::from_bytes(*node));
        let node =
            node.filter(|_| envelope.len() == HAND_OUT_LEN && front.first() == Some(&KIND_GROUP_HAND_OUT));
        let node = node.ok_or(GroupError::Malformed)?;
        if !node.covers(own) || dead.contains(&node) {
            return Err(GroupError::NotAuthentic);
        }
        let key = keys.key(node)?.ok_or(GroupError::NotAuthentic)?;
        let opened = self.key(&key).open(front, sealed).map_err(|_| GroupError::NotAuthentic)?;
        Secret::from_slice(opened.expose()).ok_or(GroupError::NotAuthentic)
    }
}

/// The nodes at and below `top`, down to the slots, that something taken is below and that `wanted` admits with all above them.
fn below(rows: &dyn Rows, top: Node, wanted: impl Fn(Node) -> bool) -> Result<BTreeSet<Node>, RowError> {
    let (mut found, mut open) = (BTreeSet::new(), vec![top]);
    while let Some(node) = open.pop() {
        if wanted(node) && is_taken(rows, node)? {
            found.insert(node);
            open.extend(node.children().into_iter().flatten());
        }
    }
    Ok(found)
}

/// The slots among the nodes, which are in rising order.
fn slots(nodes: &BTreeSet<Node>) -> Vec<Slot> {
    nodes.iter().filter(|node| node.level() == 0).filter_map(|node| Slot::new(node.index())).collect()
}
