//! The log, the credentials and a device's rows of a group, as they stand among the inputs.

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::hash::sha256;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{Changes, Group, MemoryRows, Node, Rows, Slot};
use chancery_identity::log::Leaf;
use chancery_identity::{MemberId, Organisation};
use chancery_wire::{Limit, Unverified, decode, encode, proto};
use serde_json::{Map, Value, json};

use super::super::book;
use super::super::{Inputs, bytes, hex};
use crate::crew::{Crew, CrewEntry, CrewLog, GROUP, NOW};

/// A list of what was tried, and what came of each: outputs of every kind that reads.
pub(super) type Results = Vec<Value>;

/// What came of one thing that was tried.
pub(super) fn result(name: &str, outcome: Result<Value, String>) -> Value {
    match outcome {
        Ok(Value::Object(mut all)) => {
            all.insert("name".into(), json!(name));
            all.insert("accepted".into(), json!(true));
            Value::Object(all)
        }
        Ok(_) => json!({ "name": name, "accepted": true }),
        Err(why) => json!({ "name": name, "accepted": false, "why": why }),
    }
}

/// The entries of a list among the inputs, each with names of its own.
pub(super) fn items<'a>(inputs: &Inputs<'a>, name: &str) -> Result<Vec<Inputs<'a>>, String> {
    let list =
        inputs.0.get(name).and_then(Value::as_array).ok_or_else(|| format!("inputs.{name}: no list"))?;
    list.iter()
        .map(|it| it.as_object().map(Inputs).ok_or_else(|| format!("inputs.{name}: no names")))
        .collect()
}

/// A group of values among the inputs.
pub(super) fn part<'a>(inputs: &Inputs<'a>, name: &str) -> Result<Inputs<'a>, String> {
    inputs
        .0
        .get(name)
        .and_then(Value::as_object)
        .map(Inputs)
        .ok_or_else(|| format!("inputs.{name}: no names"))
}

/// Nodes as `level (1) || index (2)` in hex.
pub(super) fn nodes<'a>(all: impl IntoIterator<Item = &'a Node>) -> Value {
    all.into_iter().map(|node| json!(hex(&node.to_bytes()))).collect()
}

/// Reads what [`nodes`] wrote.
pub(super) fn read_nodes(inputs: &Inputs<'_>, name: &str) -> Result<BTreeSet<Node>, String> {
    let node = |bytes: Vec<u8>| bytes.try_into().ok().and_then(Node::from_bytes);
    let all = inputs.list(name)?.into_iter().map(node).collect::<Option<_>>();
    all.ok_or_else(|| format!("inputs.{name}: no node"))
}

/// Numbers of slots.
pub(super) fn read_slots(inputs: &Inputs<'_>, name: &str) -> Result<Vec<Slot>, String> {
    let list =
        inputs.0.get(name).and_then(Value::as_array).ok_or_else(|| format!("inputs.{name}: no list"))?;
    let slot = |value: &Value| value.as_u64().and_then(|it| u16::try_from(it).ok()).and_then(Slot::new);
    list.iter().map(slot).collect::<Option<_>>().ok_or_else(|| format!("inputs.{name}: no slot"))
}

/// The log of a crew, and the credentials at hand.
pub(super) fn world(crew: &Crew) -> Map<String, Value> {
    let entry = |entry: &CrewEntry| {
        let ids: Vec<_> = entry.member_ids.iter().map(|it| hex(it.as_bytes())).collect();
        json!({ "leaf": hex(&entry.leaf.to_bytes()), "member_ids": ids })
    };
    let mut all = Map::new();
    all.insert("organisation".into(), json!(hex(&encode(crew.organisation.as_proto()))));
    let credentials = crew.log.credentials().map(|it| json!(hex(&encode(it.signed()))));
    all.insert("credentials".into(), credentials.collect());
    all.insert("log".into(), crew.log.entries().iter().map(entry).collect());
    all
}

/// Reads what [`world`] wrote.
pub(super) fn read_world(inputs: &Inputs<'_>) -> Result<(Organisation, CrewLog), String> {
    let document = decode::<proto::Organisation>(&inputs.bytes("organisation")?, Limit::ORGANISATION);
    let document = document.map_err(|e| e.to_string())?;
    let organisation = Organisation::verify(document, None).map_err(|e| e.to_string())?;
    let mut credentials = Vec::new();
    for signed in inputs.list("credentials")? {
        let signed = decode::<proto::Signed>(&signed, Limit::STATEMENT).map_err(|e| e.to_string())?;
        let verified = organisation.verify_credential(Unverified::new(signed.into_unchecked()), NOW);
        credentials.push(verified.map_err(|e| e.to_string())?);
    }
    let mut entries = Vec::new();
    for entry in items(inputs, "log")? {
        let leaf = Leaf::from_bytes(&entry.bytes("leaf")?).ok_or("inputs.log: no leaf")?;
        let ids = entry.list("member_ids")?;
        let member_ids = ids.iter().map(|id| MemberId::from_bytes(id)).collect::<Option<_>>();
        entries.push(CrewEntry { leaf, member_ids: member_ids.ok_or("inputs.log: no member")? });
    }
    Ok((organisation.clone(), CrewLog::of(&organisation, entries, credentials)))
}

/// A roster, written down from the document once more.
#[derive(Clone, Default)]
pub(super) struct BookRoster {
    pub(super) info: Vec<u8>,
    pub(super) dead: Vec<u8>,
    pub(super) orders: Vec<u8>,
    /// `u16(slot) || entry`.
    pub(super) rows: Vec<Vec<u8>>,
}

impl BookRoster {
    pub(super) fn of(snapshot: &[u8]) -> Result<Self, String> {
        let read = decode::<proto::GroupSnapshot>(snapshot, Limit::SNAPSHOT).map_err(|e| e.to_string())?;
        let read = read.into_unchecked();
        let rows = read.entries.chunks(107).map(<[u8]>::to_vec).collect();
        Ok(Self { info: read.info, dead: read.dead, orders: read.orders, rows })
    }

    pub(super) fn slots(&self) -> BTreeMap<Slot, [u8; 105]> {
        let row = |row: &Vec<u8>| {
            let (slot, entry) = row.split_first_chunk::<2>().expect("two bytes and an entry");
            (Slot::new(u16::from_be_bytes(*slot)).expect("a slot"), entry.try_into().expect("an entry"))
        };
        self.rows.iter().map(row).collect()
    }

    /// The hashes of all nodes that something is below (R-GROUP-2).
    pub(super) fn hashes(&self) -> BTreeMap<Node, [u8; 32]> {
        let mut hashes = BTreeMap::new();
        let mut level: BTreeMap<Node, [u8; 32]> = BTreeMap::new();
        for (slot, entry) in self.slots() {
            level.insert(slot.node(), sha256(&[&[0], &entry]));
        }
        while let Some(node) = level.keys().next().copied() {
            let of = |node| level.get(&node).copied().unwrap_or_default();
            let above: BTreeSet<Node> = level.keys().filter_map(|node| node.parent()).collect();
            let hash = |node: Node| {
                let [left, right] = node.children().expect("above a slot");
                (node, sha256(&[&[1], &of(left), &of(right)]))
            };
            let next = above.into_iter().map(hash).collect();
            hashes.append(&mut level);
            if node.level() < 14 {
                level = next;
            }
        }
        hashes
    }

    pub(super) fn root(&self) -> [u8; 32] {
        self.hashes().get(&Node::ROOT).copied().unwrap_or_default()
    }

    /// R-GROUP-2.
    pub(super) fn name(&self) -> [u8; 32] {
        book::hash(label::HASH_GROUP_ROSTER, &[&self.root(), &self.info, &self.dead, &self.orders])
    }

    /// R-GROUP-25.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let (info, dead, orders) = (self.info.clone(), self.dead.clone(), self.orders.clone());
        encode(&proto::GroupSnapshot { info, dead, entries: self.rows.concat(), orders })
    }
}

/// The roster in a device's rows.
pub(super) fn roster(rows: &MemoryRows) -> BookRoster {
    let group = Group { id: &GROUP, head: &rows.head, rows };
    let roster = group.roster().expect("as stored");
    let row = |slot: Slot| {
        let entry = roster.get(slot).expect("as stored").expect("taken");
        [slot.get().to_be_bytes().as_slice(), &entry.to_bytes()].concat()
    };
    let head = &rows.head;
    let lists = (head.info.clone(), head.dead.clone(), head.orders.clone());
    let rows = roster.slots().map(row).collect();
    BookRoster { info: lists.0, dead: lists.1, orders: lists.2, rows }
}

/// A device's rows.
pub(super) fn group(rows: &MemoryRows) -> Value {
    let (head, roster) = (&rows.head, roster(rows));
    let key = |node: &Node| {
        let key = rows.key(*node).expect("in memory")?;
        Some(json!(hex(&[&node.to_bytes()[..], key.expose()].concat())))
    };
    json!({
        "epoch": head.epoch, "transcript": hex(&head.transcript), "log_size": head.log_size,
        "snapshot": hex(&roster.snapshot()), "slot": head.slot, "chain_key": hex(&head.chain_key),
        "slot_key": hex(&head.slot_key), "administrators_key": hex(&head.administrators_key),
        "keys": roster.hashes().keys().filter_map(key).collect::<Vec<_>>(),
    })
}

/// Reads what [`group`] wrote.
pub(super) fn read_group(inputs: &Inputs<'_>) -> Result<MemoryRows, String> {
    let roster = BookRoster::of(&inputs.bytes("snapshot")?)?;
    let slots = roster.slots();
    let mut taken = vec![0_u8; 2048];
    for slot in slots.keys() {
        taken[usize::from(slot.get() / 8)] |= 1 << (slot.get() % 8);
    }
    taken.truncate(taken.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    let mut changes = Changes::default();
    let head = &mut changes.head;
    (head.epoch, head.log_size) = (inputs.number("epoch")?, inputs.number("log_size")?);
    (head.transcript, head.slot) = (inputs.bytes("transcript")?, inputs.small("slot")?);
    (head.chain_key, head.slot_key) = (inputs.bytes("chain_key")?, inputs.bytes("slot_key")?);
    head.administrators_key = inputs.bytes("administrators_key")?;
    head.taken = u32::try_from(slots.len()).map_err(|e| e.to_string())?;
    head.root_hash = roster.root().to_vec();
    let keyholder = |entry: &[u8; 105]| entry[96] >= 3;
    head.keyholders =
        slots.iter().filter(|(_, entry)| keyholder(entry)).map(|(slot, _)| slot.get().into()).collect();
    changes.entries = slots.iter().map(|(slot, entry)| (*slot, Some(*entry))).collect();
    changes.hashes = roster.hashes();
    for key in inputs.list("keys")? {
        let (node, key) = key.split_first_chunk::<3>().ok_or("inputs.keys: too short")?;
        let node = Node::from_bytes(*node).ok_or("inputs.keys: no node")?;
        changes.keys.insert(node, Some(Secret::from_slice(key).ok_or("inputs.keys: no key")?));
    }
    let BookRoster { info, dead, orders, .. } = roster;
    (changes.head.info, changes.head.dead, changes.head.orders, changes.head.slots) =
        (info, dead, orders, taken);
    let mut rows = MemoryRows::default();
    rows.apply(changes);
    Ok(rows)
}

/// A value that may be missing.
pub(super) fn optional(inputs: &Inputs<'_>, name: &str) -> Option<Vec<u8>> {
    inputs.0.get(name).and_then(bytes)
}
