//! The tree of keys: what a commit refreshes, and how everybody learns it (R-GROUP-10 to -12).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::kdf::{derive, mac};
use chancery_crypto::label::{self, Label};
use chancery_crypto::secret::{Secret, ct_eq};

use crate::rows::RowError;
use crate::{GroupError, LEVELS, Node, Rows, Slot};

/// Bytes of a box: a secret and the tag.
pub const BOX_LEN: usize = 48;
/// Bytes of a path: the secrets of a slot and of the nodes above it, from level 0 to 14.
pub const PATH_LEN: usize = 32 * LEVELS as usize;

/// What all boxes of a commit are bound to.
#[derive(Debug, Clone, Copy)]
pub struct TreeContext<'a> {
    /// The group.
    pub group_id: &'a [u8; 16],
    /// The epoch that the commit begins.
    pub epoch: u64,
    /// The commit's salt.
    pub salt: &'a [u8; 32],
    /// The transcript of the epoch before.
    pub transcript: &'a [u8; 32],
}

/// Where a refreshed node's secret comes from, and who gets a box with it.
#[derive(Debug)]
struct Step {
    /// The child whose secret's `up` it is; fresh if there is none.
    source: Option<Node>,
    /// The children it is boxed for, left first.
    boxes: Vec<Node>,
    /// Boxes of the commit before these.
    before: usize,
}

/// Which nodes a commit refreshes and which slots it adds, in the order of the specification (R-GROUP-11, R-GROUP-12).
#[derive(Debug)]
pub struct Refresh {
    steps: BTreeMap<Node, Step>,
    added: BTreeSet<Node>,
    boxes: usize,
}

/// All that who knows a commit's random bytes learns. It is as secret as the group.
#[derive(Debug)]
pub struct Made {
    /// The boxes, as they stand in the commit; empty for a regrow.
    pub nodes: Vec<u8>,
    /// The keys after the commit of all refreshed nodes and added slots, and of those under which it sealed a box.
    pub keys: BTreeMap<Node, Secret<32>>,
    /// The commit's secret.
    pub secret: Secret<32>,
    secrets: BTreeMap<Node, Secret<32>>,
}

impl Made {
    /// Returns the path of a slot that this commit added (after a regrow: of every slot that is taken); `None` for others.
    #[must_use]
    pub fn path(&self, slot: Slot) -> Option<Secret<PATH_LEN>> {
        let nodes: Vec<_> =
            up_from(slot.node()).map(|node| self.secrets.get(&node)).collect::<Option<_>>()?;
        Some(Secret::init_with(|out| {
            for (to, from) in out.chunks_exact_mut(32).zip(nodes) {
                to.copy_from_slice(from.expose());
            }
        }))
    }
}

/// What a device learns that opens the boxes, or is given a path.
#[derive(Debug)]
pub struct Opened {
    /// The keys of its own path that are others after the commit.
    pub keys: BTreeMap<Node, Secret<32>>,
    /// The commit's secret.
    pub secret: Secret<32>,
}

impl Refresh {
    /// Says what a commit with keying 1 refreshes; `after` is the roster after its changes, `dead` the dead nodes before them.
    /// None is dead after it (R-GROUP-13).
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAllowed`] if a slot is dead and keeps its device, or nobody would be left: regrow, or refuse the commit.
    /// [`GroupError::Malformed`] if an added slot is empty. [`GroupError::Rows`] if a row cannot be read.
    pub fn plan(
        after: &dyn Rows,
        added: &[Slot],
        removed: &[Slot],
        author: Slot,
        dead: &BTreeSet<Node>,
    ) -> Result<Self, GroupError> {
        let added: BTreeSet<Node> = added.iter().map(|slot| slot.node()).collect();
        for node in &added {
            if !is_taken(after, *node)? {
                return Err(GroupError::Malformed);
            }
        }
        let mut changed = added.clone();
        changed.extend(removed.iter().map(|slot| slot.node()));
        if changed.is_empty() {
            changed.insert(author.node());
        }
        let mut refreshed: BTreeSet<Node> =
            changed.into_iter().flat_map(|node| up_from(node).skip(1)).collect();
        for node in dead {
            if node.level() > 0 {
                refreshed.insert(*node);
            } else if !added.contains(node) && is_taken(after, *node)? {
                return Err(GroupError::NotAllowed);
            }
        }
        Self::of(after, &refreshed, added)
    }

    /// Says what a commit with keying 2 refreshes: every taken slot and everything above one.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAllowed`] if no slot is taken, [`GroupError::Rows`] if a row cannot be read.
    pub fn regrow(after: &dyn Rows) -> Result<Self, GroupError> {
        let mut regrown = Self { steps: BTreeMap::new(), added: BTreeSet::new(), boxes: 0 };
        let mut open = alloc::vec![Node::ROOT];
        while let Some(node) = open.pop() {
            if !is_taken(after, node)? {
                continue;
            }
            match node.children() {
                Some(children) => {
                    open.extend(children);
                    regrown.steps.insert(node, Step { source: None, boxes: Vec::new(), before: 0 });
                }
                None => {
                    regrown.added.insert(node);
                }
            }
        }
        if regrown.steps.is_empty() { Err(GroupError::NotAllowed) } else { Ok(regrown) }
    }

    fn of(after: &dyn Rows, refreshed: &BTreeSet<Node>, added: BTreeSet<Node>) -> Result<Self, GroupError> {
        let mut plan = Self { steps: BTreeMap::new(), added, boxes: 0 };
        // Levels rise, so the children's steps stand before their parent's.
        for node in refreshed {
            if !is_taken(after, *node)? {
                continue;
            }
            let children = node.children().ok_or(GroupError::Malformed)?;
            let source = children.into_iter().find(|child| plan.is_new(*child));
            let mut boxes = Vec::new();
            for child in children {
                if source != Some(child) && is_taken(after, child)? {
                    boxes.push(child);
                }
            }
            let before = plan.boxes;
            plan.boxes = before.saturating_add(boxes.len());
            plan.steps.insert(*node, Step { source, boxes, before });
        }
        if plan.steps.contains_key(&Node::ROOT) { Ok(plan) } else { Err(GroupError::NotAllowed) }
    }

    fn is_new(&self, node: Node) -> bool {
        self.added.contains(&node) || self.steps.contains_key(&node)
    }

    /// Returns the length that the commit's `nodes` must have, in bytes.
    #[must_use]
    pub const fn nodes_len(&self) -> usize {
        self.boxes.saturating_mul(BOX_LEN)
    }

    /// Makes the keys out of the commit's random bytes `r`: what the author does, and every keyholder who has `r`. `keys` has the keys of
    /// all live nodes before.
    ///
    /// # Errors
    ///
    /// [`GroupError::Rows`] if a key is missing: this device is no keyholder.
    pub fn make(&self, ctx: TreeContext<'_>, keys: &dyn Rows, r: &Secret<32>) -> Result<Made, GroupError> {
        let fresh = |node: Node| derive(label::KDF_GROUP_FRESH, ctx.salt, &[r.expose()], &node.to_bytes());
        let mut secrets: BTreeMap<Node, Secret<32>> =
            self.added.iter().map(|node| (*node, fresh(*node))).collect();
        for (node, step) in &self.steps {
            let secret = match step.source {
                Some(child) => up(secrets.get(&child).ok_or(RowError)?),
                None => fresh(*node),
            };
            secrets.insert(*node, secret);
        }
        let mut new: BTreeMap<_, _> =
            secrets.iter().map(|(node, secret)| (*node, node_key(secret))).collect();
        let mut nodes = Vec::with_capacity(self.nodes_len());
        for (node, step) in &self.steps {
            let secret = secrets.get(node).ok_or(RowError)?;
            for child in &step.boxes {
                let key = match new.remove(child) {
                    Some(key) => key,
                    None => keys.key(*child)?.ok_or(RowError)?,
                };
                nodes.extend(seal_box(ctx, *node, *child, &key, secret));
                // A node has one parent: nothing else is sealed under this key.
                new.insert(*child, used(&key));
            }
        }
        let secret = commit_secret(secrets.get(&Node::ROOT).ok_or(RowError)?);
        Ok(Made { nodes, keys: new, secret, secrets })
    }

    /// Opens the boxes on the way from slot `own` to the root; `keys` has the keys of this path before.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] if `nodes` has another length than [`Self::nodes_len`], [`GroupError::NotAuthentic`] if a box on the way
    /// does not open: refuse the commit. [`GroupError::Rows`] if a key is missing, or `own` is a slot that gets its path over a session.
    pub fn open(
        &self,
        ctx: TreeContext<'_>,
        own: Slot,
        keys: &dyn Rows,
        nodes: &[u8],
    ) -> Result<Opened, GroupError> {
        if nodes.len() != self.nodes_len() {
            return Err(GroupError::Malformed);
        }
        if self.added.contains(&own.node()) {
            return Err(RowError.into());
        }
        let (mut opened, mut child, mut known) = (BTreeMap::new(), own.node(), None);
        for node in up_from(own.node()).skip(1) {
            known = match (self.steps.get(&node), known) {
                (None, _) => None,
                (Some(step), Some(secret)) if step.source == Some(child) => Some(up(&secret)),
                (Some(step), below) => {
                    let key = match below {
                        Some(secret) => node_key(&secret),
                        None => keys.key(child)?.ok_or(RowError)?,
                    };
                    opened.insert(child, used(&key));
                    Some(open_box(ctx, (node, step), child, &key, nodes)?)
                }
            };
            if let Some(secret) = &known {
                opened.insert(node, node_key(secret));
            }
            child = node;
        }
        let root: Secret<32> = known.ok_or(RowError)?;
        Ok(Opened { keys: opened, secret: commit_secret(&root) })
    }
}

/// Reads the path that a device was given over a session: the keys from its slot to the root, and the commit's secret. `None` for a path
/// of zeros, which goes with a slot that is dead.
///
/// # Errors
///
/// [`GroupError::Malformed`] for another length, and for zeros in one place alone: drop it.
pub fn open_path(own: Slot, path: &[u8]) -> Result<Option<Opened>, GroupError> {
    if path.len() != PATH_LEN {
        return Err(GroupError::Malformed);
    }
    if ct_eq(path, &[0; PATH_LEN]) {
        return Ok(None);
    }
    let (mut keys, mut root) = (BTreeMap::new(), None);
    for (node, bytes) in up_from(own.node()).zip(path.chunks_exact(32)) {
        if ct_eq(bytes, &[0; 32]) {
            return Err(GroupError::Malformed);
        }
        let secret = Secret::from_slice(bytes).ok_or(GroupError::Malformed)?;
        keys.insert(node, node_key(&secret));
        root = Some(secret);
    }
    let secret = commit_secret(&root.ok_or(GroupError::Malformed)?);
    Ok(Some(Opened { keys, secret }))
}

/// Returns the removed slots and the nodes above them that have nothing below any more: whose keys are to be deleted.
///
/// # Errors
///
/// [`GroupError::Rows`] if a row cannot be read.
pub fn emptied(after: &dyn Rows, removed: &[Slot]) -> Result<BTreeSet<Node>, GroupError> {
    let mut empty = BTreeSet::new();
    for node in removed.iter().flat_map(|slot| up_from(slot.node())) {
        if !is_taken(after, node)? {
            empty.insert(node);
        }
    }
    Ok(empty)
}

/// Seals a commit's random bytes for the other keyholders, under the administrators' key before.
#[must_use]
pub fn seal_seed(ctx: TreeContext<'_>, administrators: &Secret<32>, r: &Secret<32>) -> Vec<u8> {
    one_time(label::KDF_GROUP_SEED, ctx, administrators, &[]).seal(ctx.transcript, r.expose())
}

/// Opens what [`seal_seed`] made.
///
/// # Errors
///
/// [`GroupError::NotAuthentic`]: refuse the commit.
pub fn open_seed(
    ctx: TreeContext<'_>,
    administrators: &Secret<32>,
    seed: &[u8],
) -> Result<Secret<32>, GroupError> {
    let opened = one_time(label::KDF_GROUP_SEED, ctx, administrators, &[]).open(ctx.transcript, seed);
    let opened = opened.map_err(|_| GroupError::NotAuthentic)?;
    Secret::from_slice(opened.expose()).ok_or(GroupError::NotAuthentic)
}

/// Returns the administrators' key after a commit; `before` is `None` for one with keying 2. With keying 3 it stays as it was.
#[must_use]
pub fn next_administrators_key(
    before: Option<&Secret<32>>,
    r: &Secret<32>,
    transcript_after: &[u8; 32],
) -> Secret<32> {
    let salt = before.map_or(&[0; 32], Secret::expose);
    derive(label::KDF_GROUP_ADMINISTRATORS, salt, &[r.expose()], transcript_after)
}

/// A node and all above it.
pub(crate) fn up_from(node: Node) -> impl Iterator<Item = Node> {
    core::iter::successors(Some(node), |node| node.parent())
}

/// Whether a slot at or below the node is taken.
pub(crate) fn is_taken(rows: &dyn Rows, node: Node) -> Result<bool, RowError> {
    Ok(rows.hash(node)? != [0; 32])
}

fn node_key(secret: &Secret<32>) -> Secret<32> {
    mac(label::KDF_GROUP_NODE, secret, &[])
}

/// The key that follows one under which a commit sealed something (R-GROUP-11).
pub(crate) fn used(key: &Secret<32>) -> Secret<32> {
    mac(label::KDF_GROUP_USED, key, &[])
}

fn up(secret: &Secret<32>) -> Secret<32> {
    mac(label::KDF_GROUP_UP, secret, &[])
}

fn commit_secret(root: &Secret<32>) -> Secret<32> {
    mac(label::KDF_GROUP_COMMIT, root, &[])
}

fn one_time(label: Label, ctx: TreeContext<'_>, key: &Secret<32>, place: &[u8]) -> OneTimeKey {
    let info = [&ctx.group_id[..], &ctx.epoch.to_be_bytes(), place].concat();
    OneTimeKey::new(derive(label, ctx.salt, &[key.expose()], &info))
}

fn box_key(ctx: TreeContext<'_>, node: Node, child: Node, key: &Secret<32>) -> OneTimeKey {
    let [level, high, low] = node.to_bytes();
    let side = u8::from(child.index() & 1 == 1);
    one_time(label::KDF_GROUP_BOX, ctx, key, &[level, high, low, side])
}

fn seal_box(ctx: TreeContext<'_>, node: Node, child: Node, key: &Secret<32>, secret: &Secret<32>) -> Vec<u8> {
    box_key(ctx, node, child, key).seal(ctx.transcript, secret.expose())
}

fn open_box(
    ctx: TreeContext<'_>,
    (node, step): (Node, &Step),
    child: Node,
    key: &Secret<32>,
    nodes: &[u8],
) -> Result<Secret<32>, GroupError> {
    let place = step.boxes.iter().position(|other| *other == child);
    let place = place.and_then(|place| place.checked_add(step.before)).ok_or(RowError)?;
    let sealed = nodes.chunks_exact(BOX_LEN).nth(place).ok_or(GroupError::Malformed)?;
    let opened = box_key(ctx, node, child, key).open(ctx.transcript, sealed);
    let opened = opened.map_err(|_| GroupError::NotAuthentic)?;
    Secret::from_slice(opened.expose()).ok_or(GroupError::NotAuthentic)
}

#[cfg(test)]
mod tests;
