//! The tree of senders' secrets and their chains (R-GROUP-23).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use chancery_crypto::kdf::mac;
use chancery_crypto::label;
use chancery_crypto::secret::{Secret, SecretBytes};

use crate::tree::up_from;
use crate::{GroupError, Node, Slot};

/// Most keys of skipped messages that are kept of one chain; beyond this the oldest are erased.
pub const MAX_SKIPPED_OF_CHAIN: usize = 1_000;
/// Most keys of skipped messages that are kept of an epoch, and of a group: so nobody fills another's memory.
pub const MAX_SKIPPED: usize = 2_000;
/// How far ahead a generation may be: what a sender may do in a burst that is lost, and a bound on the work for one message.
pub const MAX_AHEAD: u32 = 1_000;

/// First byte of the stored form.
const FORMAT: u8 = 1;

#[derive(Debug)]
struct Chain {
    /// Of the next message.
    generation: u32,
    key: Secret<32>,
}

impl Chain {
    /// Takes a step: the key of the message, and the chain after it.
    fn step(&self) -> Result<(Secret<32>, Self), GroupError> {
        let generation = self.generation.checked_add(1).ok_or(GroupError::Limit)?;
        let key = mac(label::KDF_GROUP_CHAIN, &self.key, &[]);
        Ok((mac(label::KDF_GROUP_MESSAGE, &self.key, &[]), Self { generation, key }))
    }
}

#[derive(Debug)]
struct Skipped {
    slot: Slot,
    generation: u32,
    key: Secret<32>,
}

/// All senders' secrets of an epoch; what was used is gone from it.
#[derive(Debug)]
pub struct SenderTree {
    nodes: BTreeMap<Node, Secret<32>>,
    chains: BTreeMap<Slot, Chain>,
    /// Oldest first.
    skipped: VecDeque<Skipped>,
}

/// What becomes of the tree when a slot's chain begins: the node that is used up, and what stays beside the way down.
#[derive(Debug)]
struct Expansion {
    from: Node,
    beside: Vec<(Node, Secret<32>)>,
}

#[derive(Debug)]
enum Change {
    /// This one of the skipped keys is used.
    Used(usize),
    /// The chain goes on.
    Advance { expansion: Option<Expansion>, chain: Chain, skipped: Vec<Skipped> },
}

/// A message's key, found without a change; [`Self::adopt`] makes the change once the message has proven authentic.
#[derive(Debug)]
pub struct Lookup<'a> {
    tree: &'a mut SenderTree,
    slot: Slot,
    /// The key, unless it is among the skipped.
    key: Option<Secret<32>>,
    change: Change,
}

impl SenderTree {
    /// Starts from the epoch's `senders`.
    #[must_use]
    pub fn new(senders: Secret<32>) -> Self {
        Self {
            nodes: BTreeMap::from([(Node::ROOT, senders)]),
            chains: BTreeMap::new(),
            skipped: VecDeque::new(),
        }
    }

    /// Takes the next key of the own chain: its generation, and the message key. What this returns is gone from the tree, so the tree is to
    /// be stored before the message leaves the device.
    ///
    /// # Errors
    ///
    /// [`GroupError::Limit`] after 2^32 − 1 messages, [`GroupError::NotAMember`] if the slot was forgotten.
    pub fn send(&mut self, own: Slot) -> Result<(u32, Secret<32>), GroupError> {
        let (expansion, chain) = self.chain(own).ok_or(GroupError::NotAMember)?;
        let generation = chain.generation;
        let (key, chain) = chain.step()?;
        self.advance(own, expansion, chain);
        Ok((generation, key))
    }

    /// Finds a message's key.
    ///
    /// # Errors
    ///
    /// [`GroupError::NotAuthentic`] if it was used, erased, forgotten or is too far ahead: drop the message.
    pub fn find(&mut self, slot: Slot, generation: u32) -> Result<Lookup<'_>, GroupError> {
        let used = self.skipped.iter().position(|key| key.slot == slot && key.generation == generation);
        if let Some(place) = used {
            return Ok(Lookup { tree: self, slot, key: None, change: Change::Used(place) });
        }
        let (expansion, mut chain) = self.chain(slot).ok_or(GroupError::NotAuthentic)?;
        let ahead = generation.checked_sub(chain.generation).ok_or(GroupError::NotAuthentic)?;
        if ahead > MAX_AHEAD {
            return Err(GroupError::NotAuthentic);
        }
        let mut skipped = Vec::new();
        while chain.generation < generation {
            let (key, next) = chain.step()?;
            skipped.push(Skipped { slot, generation: chain.generation, key });
            chain = next;
        }
        let (key, chain) = chain.step().map_err(|_| GroupError::NotAuthentic)?;
        let change = Change::Advance { expansion, chain, skipped };
        Ok(Lookup { tree: self, slot, key: Some(key), change })
    }

    /// Erases a slot's secrets for good: of the own slot once the epoch has ended, and of a device that was removed (R-GROUP-24).
    pub fn forget(&mut self, slot: Slot) {
        if self.chains.remove(&slot).is_none()
            && let Some((expansion, _)) = self.expand(slot)
        {
            self.nodes.remove(&expansion.from);
            self.nodes.extend(expansion.beside);
        }
        self.skipped.retain(|key| key.slot != slot);
    }

    /// Returns how many keys of skipped messages are kept.
    #[must_use]
    pub fn skipped(&self) -> usize {
        self.skipped.len()
    }

    /// Erases the oldest keys of skipped messages until at most `most` are left: for a group's older epochs, whose keys count together.
    pub fn trim(&mut self, most: usize) {
        let surplus = self.skipped.len().saturating_sub(most);
        self.skipped.drain(..surplus);
    }

    /// Returns the stored form: 35 bytes for each secret of the tree, 38 for each chain and each skipped key.
    #[must_use]
    pub fn to_bytes(&self) -> SecretBytes {
        let entries = self.nodes.len().saturating_add(self.chains.len()).saturating_add(self.skipped.len());
        // Room for all at once, so that no copy is left behind where the list grew.
        let mut out = Vec::with_capacity(entries.saturating_mul(38).saturating_add(7));
        out.push(FORMAT);
        put_count(&mut out, self.nodes.len());
        for (node, secret) in &self.nodes {
            out.extend(node.to_bytes());
            out.extend_from_slice(secret.expose());
        }
        put_count(&mut out, self.chains.len());
        let chains = self.chains.iter().map(|(slot, chain)| (*slot, chain.generation, &chain.key));
        put_keys(&mut out, chains);
        put_count(&mut out, self.skipped.len());
        put_keys(&mut out, self.skipped.iter().map(|key| (key.slot, key.generation, &key.key)));
        SecretBytes::new(out)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`GroupError::Malformed`] for anything else: the store is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, GroupError> {
        Self::read(bytes).ok_or(GroupError::Malformed)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (&FORMAT, mut rest) = bytes.split_first()? else { return None };
        let mut tree = Self { nodes: BTreeMap::new(), chains: BTreeMap::new(), skipped: VecDeque::new() };
        for _ in 0..take_count(&mut rest)? {
            let node = Node::from_bytes(take(&mut rest)?)?;
            tree.nodes.insert(node, take_key(&mut rest)?);
        }
        for _ in 0..take_count(&mut rest)? {
            let (slot, generation, key) = take_chain(&mut rest)?;
            tree.chains.insert(slot, Chain { generation, key });
        }
        for _ in 0..take_count(&mut rest)? {
            let (slot, generation, key) = take_chain(&mut rest)?;
            tree.skipped.push_back(Skipped { slot, generation, key });
        }
        rest.is_empty().then_some(tree)
    }

    /// A copy of a slot's chain, and what the tree loses if it begins now.
    fn chain(&self, slot: Slot) -> Option<(Option<Expansion>, Chain)> {
        if let Some(chain) = self.chains.get(&slot) {
            let key = Secret::init_with(|out| out.copy_from_slice(chain.key.expose()));
            return Some((None, Chain { generation: chain.generation, key }));
        }
        let (expansion, chain) = self.expand(slot)?;
        Some((Some(expansion), chain))
    }

    fn expand(&self, slot: Slot) -> Option<(Expansion, Chain)> {
        let way: Vec<Node> = up_from(slot.node()).collect();
        let from = way.iter().copied().find(|node| self.nodes.contains_key(node))?;
        let child = |parent: &Secret<32>, node: Node| {
            mac(label::KDF_GROUP_SENDER_TREE, parent, &[&[u8::from(node.index() & 1 == 1)]])
        };
        let known = self.nodes.get(&from)?;
        let mut secret = Secret::init_with(|out| out.copy_from_slice(known.expose()));
        let mut beside = Vec::new();
        for node in way.into_iter().rev().filter(|node| node.level() < from.level()) {
            let other = node.sibling()?;
            beside.push((other, child(&secret, other)));
            secret = child(&secret, node);
        }
        Some((Expansion { from, beside }, Chain { generation: 0, key: secret }))
    }

    fn advance(&mut self, slot: Slot, expansion: Option<Expansion>, chain: Chain) {
        if let Some(Expansion { from, beside }) = expansion {
            self.nodes.remove(&from);
            self.nodes.extend(beside);
        }
        self.chains.insert(slot, chain);
    }

    fn keep(&mut self, slot: Slot, skipped: Vec<Skipped>) {
        self.skipped.extend(skipped);
        let of_chain = self.skipped.iter().filter(|key| key.slot == slot).count();
        let mut surplus = of_chain.saturating_sub(MAX_SKIPPED_OF_CHAIN);
        self.skipped.retain(|key| {
            let stays = key.slot != slot || surplus == 0;
            surplus = surplus.saturating_sub(usize::from(!stays));
            stays
        });
        self.trim(MAX_SKIPPED);
    }
}

impl Lookup<'_> {
    /// Returns the message key.
    #[must_use]
    pub fn key(&self) -> Option<&Secret<32>> {
        match (&self.key, &self.change) {
            (None, Change::Used(place)) => self.tree.skipped.get(*place).map(|skipped| &skipped.key),
            (key, _) => key.as_ref(),
        }
    }

    /// Makes the change: the key is erased, the chain has moved on.
    pub fn adopt(self) {
        match self.change {
            Change::Used(place) => drop(self.tree.skipped.remove(place)),
            Change::Advance { expansion, chain, skipped } => {
                self.tree.advance(self.slot, expansion, chain);
                self.tree.keep(self.slot, skipped);
            }
        }
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    // There are at most 16,384 of each.
    out.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
}

fn put_keys<'a>(out: &mut Vec<u8>, keys: impl Iterator<Item = (Slot, u32, &'a Secret<32>)>) {
    for (slot, generation, key) in keys {
        out.extend(slot.get().to_be_bytes());
        out.extend(generation.to_be_bytes());
        out.extend_from_slice(key.expose());
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*first)
}

fn take_key(rest: &mut &[u8]) -> Option<Secret<32>> {
    let (first, after) = rest.split_first_chunk::<32>()?;
    *rest = after;
    Some(Secret::init_with(|out| out.copy_from_slice(first)))
}

fn take_count(rest: &mut &[u8]) -> Option<u16> {
    take(rest).map(u16::from_be_bytes)
}

fn take_chain(rest: &mut &[u8]) -> Option<(Slot, u32, Secret<32>)> {
    let slot = Slot::new(u16::from_be_bytes(take(rest)?))?;
    let generation = u32::from_be_bytes(take(rest)?);
    Some((slot, generation, take_key(rest)?))
}
