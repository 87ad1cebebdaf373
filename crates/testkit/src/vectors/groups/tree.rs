//! The tree of keys, written down from the document once more (R-GROUP-10 to -12).

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::label::{self, Label};
use chancery_group::{Keying, Node, Slot};
use serde_json::{Value, json};

use super::super::{book, hex};

/// What a commit refreshes, and what it is bound to.
pub(super) struct BookTree<'a> {
    pub(super) keying: Keying,
    /// The nodes that something is below after the commit.
    pub(super) occupied: BTreeSet<Node>,
    pub(super) added: Vec<Slot>,
    pub(super) removed: Vec<Slot>,
    pub(super) author: Slot,
    pub(super) dead: BTreeSet<Node>,
    pub(super) keys: BTreeMap<Node, Vec<u8>>,
    pub(super) group_id: &'a [u8],
    pub(super) epoch: u64,
    pub(super) transcript: &'a [u8],
    pub(super) salt: [u8; 32],
}

/// What follows from the random bytes.
#[derive(Default)]
pub(super) struct BookMade {
    pub(super) secrets: BTreeMap<Node, [u8; 32]>,
    /// The keys of nodes under which something was sealed, as they are after it.
    pub(super) used: BTreeMap<Node, [u8; 32]>,
    pub(super) boxes: Vec<Value>,
    pub(super) nodes: Vec<u8>,
    pub(super) secret: [u8; 32],
}

fn above(slot: Slot) -> impl Iterator<Item = Node> {
    std::iter::successors(slot.node().parent(), |node| node.parent())
}

pub(super) fn node_key(secret: &[u8]) -> [u8; 32] {
    book::mac(label::KDF_GROUP_NODE, secret, b"")
}

/// What a key becomes that something was sealed under (R-GROUP-11).
pub(super) fn used(key: &[u8]) -> [u8; 32] {
    book::mac(label::KDF_GROUP_USED, key, b"")
}

impl BookTree<'_> {
    fn refreshed(&self) -> BTreeSet<Node> {
        let mut changed: Vec<Slot> = self.added.iter().chain(&self.removed).copied().collect();
        if changed.is_empty() {
            changed.push(self.author);
        }
        let mut all: BTreeSet<Node> = changed.into_iter().flat_map(above).collect();
        all.extend(self.dead.iter().filter(|node| node.level() > 0));
        all.into_iter().filter(|node| self.occupied.contains(node)).collect()
    }

    fn fresh(&self, r: &[u8], node: Node) -> [u8; 32] {
        let fresh = book::derive(label::KDF_GROUP_FRESH, &self.salt, &[r], &node.to_bytes(), 32);
        fresh.try_into().expect("32 bytes")
    }

    /// Seals under a key that is bound to the commit and a place.
    pub(super) fn seal(
        &self,
        label: Label,
        key: &[u8],
        place: &[u8],
        what: &[u8],
    ) -> Result<Vec<u8>, String> {
        let info = [self.group_id, &self.epoch.to_be_bytes(), place].concat();
        book::seal(&book::derive(label, &self.salt, &[key], &info, 32), self.transcript, what)
    }

    pub(super) fn make(&self, r: &[u8]) -> Result<BookMade, String> {
        let mut made = BookMade::default();
        if self.keying == Keying::Regrow {
            made.secrets = self.occupied.iter().map(|node| (*node, self.fresh(r, *node))).collect();
        } else {
            for slot in &self.added {
                made.secrets.insert(slot.node(), self.fresh(r, slot.node()));
            }
            for node in self.refreshed() {
                self.refresh(node, r, &mut made)?;
            }
        }
        made.secret = book::mac(label::KDF_GROUP_COMMIT, &made.secrets[&Node::ROOT], b"");
        Ok(made)
    }

    fn refresh(&self, node: Node, r: &[u8], made: &mut BookMade) -> Result<(), String> {
        let children = node.children().ok_or("a slot is not refreshed")?;
        let source = children.into_iter().find(|child| made.secrets.contains_key(child));
        let secret = match source {
            Some(child) => book::mac(label::KDF_GROUP_UP, &made.secrets[&child], b""),
            None => self.fresh(r, node),
        };
        for (side, child) in (0_u8..).zip(children) {
            if Some(child) == source || !self.occupied.contains(&child) {
                continue;
            }
            let key = match made.secrets.get(&child) {
                Some(new) => node_key(new).to_vec(),
                None => self.keys.get(&child).ok_or("a key is missing")?.clone(),
            };
            let [level, high, low] = node.to_bytes();
            let sealed = self.seal(label::KDF_GROUP_BOX, &key, &[level, high, low, side], &secret)?;
            made.boxes.push(json!({
                "node": hex(&node.to_bytes()), "under": hex(&child.to_bytes()), "under_key": hex(&key),
                "box": hex(&sealed),
            }));
            made.nodes.extend(sealed);
            made.used.insert(child, used(&key));
        }
        made.secrets.insert(node, secret);
        Ok(())
    }
}

impl BookMade {
    /// Returns the keys that are others after the commit.
    pub(super) fn keys(&self) -> BTreeMap<Node, [u8; 32]> {
        let mut keys: BTreeMap<_, _> =
            self.secrets.iter().map(|(node, secret)| (*node, node_key(secret))).collect();
        keys.extend(&self.used);
        keys
    }

    /// The keys that were replaced because something was sealed under them.
    pub(super) fn shown_used(&self) -> Value {
        let one = |(node, key): (&Node, &[u8; 32])| json!({ "node": hex(&node.to_bytes()), "key": hex(key) });
        self.used.iter().map(one).collect()
    }

    /// All secrets that are new, with the keys that follow from them at first.
    pub(super) fn shown(&self) -> Value {
        let one = |(node, secret): (&Node, &[u8; 32])| json!({ "node": hex(&node.to_bytes()), "secret": hex(secret), "key": hex(&node_key(secret)) });
        self.secrets.iter().map(one).collect()
    }
}

/// The schedule of an epoch (R-GROUP-14).
pub(super) struct BookEpoch {
    pub(super) secret: Vec<u8>,
    pub(super) chain_key: [u8; 32],
    pub(super) senders: [u8; 32],
    pub(super) header_key: [u8; 32],
    pub(super) slot_key: [u8; 32],
    pub(super) confirmation_key: [u8; 32],
    pub(super) confirmation: [u8; 32],
    /// X (R-GROUP-4).
    pub(super) name: [u8; 32],
    pub(super) set: Vec<u8>,
}

impl BookEpoch {
    /// `chain_key` is empty for the founding.
    pub(super) fn next(chain_key: &[u8], commit_secret: &[u8], transcript: &[u8]) -> Self {
        let zeros = [0; 32];
        let salt = if chain_key.is_empty() { &zeros } else { chain_key };
        let secret = book::derive(label::KDF_GROUP_EPOCH, salt, &[commit_secret], transcript, 32);
        let of = |label| book::mac(label, &secret, b"");
        let confirmation_key = of(label::KDF_GROUP_CONFIRMATION_KEY);
        let confirmation = book::mac(label::KDF_GROUP_CONFIRMATION, &confirmation_key, transcript);
        Self {
            chain_key: of(label::KDF_GROUP_CHAIN_KEY),
            senders: of(label::KDF_GROUP_SENDERS),
            header_key: of(label::KDF_GROUP_HEADER_KEY),
            slot_key: of(label::KDF_GROUP_SLOT_KEY),
            confirmation_key,
            confirmation,
            name: book::hash(label::HASH_GROUP_EPOCH, &[transcript, &confirmation]),
            set: book::derive(label::KDF_GROUP_SET, b"", &[&secret], b"", 32),
            secret,
        }
    }
}
