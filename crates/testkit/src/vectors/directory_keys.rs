//! The directory key: its chain, an update of it as the desk makes one, and what a device makes of that.

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::label;
use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;
use chancery_identity::{DirectoryKey, DirectoryKeyUpdate, OrgId, sign};
use chancery_org::DirectoryKeys;
use chancery_wire::records::Table;
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::enrolment::organisation;
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, NOW};

pub(super) const PLANS: &[Plan] = &[("directory-keys", directory_keys)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "directory-key-chain", requirements: &["R-ID-18"], compute: compute_chain },
    Kind {
        name: "directory-key-update",
        requirements: &["R-ID-19", "R-ORG-34", "R-ORG-35"],
        compute: compute_update,
    },
    Kind {
        name: "directory-key-opening",
        requirements: &["R-ID-19", "R-ORG-36", "R-ENGINE-50"],
        compute: compute_opening,
    },
];

const ROOT: u8 = 21;
/// What the desk draws from when alice leaves.
const REMOVAL_SEED: &str = "alice leaves";

/// What the company's desk publishes when alice leaves.
fn removal(company: &Company) -> proto::SealedDirectoryEntry {
    let seed = book::sample(REMOVAL_SEED, 32).try_into().expect("32 bytes");
    let alice = company.alice.credential.member_id();
    let removed = company
        .desk
        .remove_devices(&company.desk_disk, (&alice, None), NOW, &mut seeded(seed))
        .expect("a member");
    removed.entries.into_iter().next().expect("an update")
}

fn directory_keys() -> Vec<Draft> {
    let chain = |from: u64, to: u64| {
        let inputs = json!({ "directory_key": sample_hex("chain", 32), "epoch": from, "earlier": to });
        (format!("directory-key-chain-{from}-{to}"), "directory-key-chain", inputs)
    };
    let company = Company::found(1);
    let (org_id, desk) = (company.organisation.id(), company.desk_keys.expose());
    let rows = |table: u16| company.desk_disk.iter().filter(move |(key, _)| key.table == Table(table));
    let nodes: Vec<String> = rows(0x020a).map(|(key, value)| hex(&[&*key.name, value].concat())).collect();
    let alice = company.alice.credential.device_id();
    let slot = rows(0x020b).find(|(key, _)| key.name == alice.as_bytes()).expect("a place").1;
    let keys = &company.directory_keys;
    let settings = rows(0x0200).next().expect("founded").1;
    let settings: proto::DeskSettings = decode(settings, Limit::RECORD).expect("sound").into_unchecked();
    let update = json!({
        "org_id": hex(org_id.as_bytes()), "issuer_id": hex(&desk[1..33]), "issuer_seed": hex(&desk[33..97]),
        "nodes": nodes, "removed": [hex(slot)], "epoch": 2, "last_directory_key": hex(&settings.last_key),
        "rng_seed": sample_hex(REMOVAL_SEED, 32),
    });
    let opening = json!({
        "organisation": hex(&encode(company.organisation.as_proto())), "entry": hex(&encode(&removal(&company))),
        "epoch": keys.key().epoch(), "directory_key": hex(keys.key().secret().expose()), "slot": keys.slot(),
        "key_path": hex(keys.path().expose()),
    });
    vec![
        chain(65_536, 65_535),
        chain(1_000, 1),
        chain(7, 7),
        ("directory-key-update".into(), "directory-key-update", update),
        ("directory-key-opening".into(), "directory-key-opening", opening),
    ]
}

fn earlier(key: &[u8], steps: u64) -> Vec<u8> {
    (0..steps).fold(key.to_vec(), |key, _| book::hash(label::HASH_DIRECTORY_CHAIN, &[&key]).to_vec())
}

fn compute_chain(inputs: &Inputs<'_>) -> Computation {
    let (key, epoch) = (inputs.array::<32>("directory_key")?, inputs.number("epoch")?);
    let to = inputs.number("earlier")?;
    let ours = DirectoryKey::new(epoch, Secret::from_bytes(key)).ok_or("epoch: none")?;
    let ours = ours.at(to).ok_or("earlier: later")?;
    let theirs = earlier(&key, epoch - to);
    same("earlier_key", ours.secret().expose(), &theirs)?;
    let mut computed = Computed::default();
    computed.out("earlier_key", &theirs);
    Ok(computed)
}

/// The tree's part of an update: whose, to which epoch.
struct Change {
    org_id: Vec<u8>,
    epoch: u64,
}

impl Change {
    fn key(&self, child: &[u8], (level, index, side): (u8, u32, u8)) -> Vec<u8> {
        let context =
            [&*self.org_id, &self.epoch.to_be_bytes(), &[level], &index.to_be_bytes(), &[side]].concat();
        book::derive(label::KDF_KEY_TREE, b"", &[child], &context, 32)
    }

    fn seal(&self, child: Option<&Vec<u8>>, place: (u8, u32, u8), key: &[u8]) -> Result<Vec<u8>, String> {
        child.map_or(Ok(Vec::new()), |child| book::seal(&self.key(child, place), b"", key))
    }
}

fn compute_update(inputs: &Inputs<'_>) -> Computation {
    compute_update_with(inputs, Draws::new(inputs.array("rng_seed")?))
}

fn compute_update_with(inputs: &Inputs<'_>, mut draws: Draws) -> Computation {
    let change = Change { org_id: inputs.bytes("org_id")?, epoch: inputs.number("epoch")? };
    let place = |bytes: &[u8]| u32::from_be_bytes(*bytes.first_chunk().expect("four bytes"));
    let mut tree: BTreeMap<(u8, u32), Vec<u8>> = BTreeMap::new();
    for node in inputs.list("nodes")? {
        let (head, key) =
            node.split_at_checked(5).filter(|(_, key)| key.len() == 32).ok_or("nodes: length")?;
        tree.insert((head[0], place(&head[1..])), key.to_vec());
    }
    let removed = inputs.list("removed")?;
    let mut indices: BTreeSet<u32> =
        removed.iter().filter(|slot| slot.len() == 4).map(|slot| place(slot)).collect();
    indices.iter().for_each(|slot| drop(tree.remove(&(0, *slot))));
    let (mut nodes, mut fresh) = (Vec::new(), Vec::new());
    for level in 1..=ROOT {
        indices = indices.into_iter().map(|index| index / 2).collect();
        for &index in &indices {
            let (left, right) = (tree.get(&(level - 1, 2 * index)), tree.get(&(level - 1, 2 * index + 1)));
            if left.is_none() && right.is_none() {
                tree.remove(&(level, index));
                continue;
            }
            let key = draws.next::<32>();
            let for_left = change.seal(left, (level, index, 0), &key)?;
            let for_right = change.seal(right, (level, index, 1), &key)?;
            nodes.push(proto::NodeKey { level: level.into(), index, for_left, for_right });
            fresh.push(Value::from(hex(&[&[level][..], &index.to_be_bytes(), &key].concat())));
            tree.insert((level, index), key.to_vec());
        }
    }
    let steps = 65_536_u64.checked_sub(change.epoch).ok_or("epoch: none")?;
    let key = earlier(&inputs.bytes("last_directory_key")?, steps);
    let directory_key = change.seal(tree.get(&(ROOT, 0)), (ROOT + 1, 0, 0), &key)?;
    let body = proto::DirectoryKeyUpdateBody {
        org_id: change.org_id.clone(),
        issuer_id: inputs.bytes("issuer_id")?,
        epoch: change.epoch,
        nodes,
        directory_key,
    };
    let issuer = book::signer(&inputs.bytes("issuer_seed")?)?;
    let signed = sign::sign_directory_key_update(&issuer, &body, draws.rng());
    let org_id = OrgId::from_bytes(&change.org_id).ok_or("org_id: not 32 bytes")?;
    let entry = DirectoryKeyUpdate::publish(&org_id, change.epoch, &signed);

    let id = book::hash(label::HASH_DIRECTORY_UPDATE, &[&change.org_id, &change.epoch.to_be_bytes()]);
    same("entry_id", &entry.entry_id, &id[..16])?;
    let statement = encode(&signed);
    let plain = book::padded(&statement, (statement.len() + 4).next_multiple_of(4096));
    same("sealed", &entry.sealed, &[&[0; 8], &*plain].concat())?;
    let mut computed = Computed::default();
    computed.via("fresh", Value::Array(fresh));
    computed.via("directory_key", &key);
    computed.via("body", &signed.body);
    let message =
        book::bound_message(label::SIGN_DIRECTORY_UPDATE, issuer.verifying_key().as_bytes(), &signed.body);
    computed.via("signed", &message);
    computed.out("statement", &statement);
    computed.out("entry_id", &entry.entry_id);
    computed.out("sealed", &entry.sealed);
    Ok(computed)
}

fn compute_opening(inputs: &Inputs<'_>) -> Computation {
    let organisation = organisation(inputs)?;
    let entry = inputs.bytes("entry")?;
    let entry = decode(&entry, Limit::FRAME).map_err(|e| e.to_string())?.into_unchecked();
    let update = organisation.open_directory_key_update(&entry).map_err(|e| e.to_string())?;
    let (slot, path) = (inputs.small("slot")?, inputs.bytes("key_path")?);
    let key = inputs.bytes("directory_key")?;
    let keys =
        DirectoryKeys::from_parts((inputs.number("epoch")?, &key), (slot, &path)).ok_or("keys: length")?;
    let keys = keys.follow(&organisation.id(), &update).map_err(|e| e.to_string())?;

    let change = Change { org_id: organisation.id().as_bytes().to_vec(), epoch: update.epoch() };
    let open = |key: Vec<u8>, sealed: &[u8]| {
        let key = chancery_crypto::aead::OneTimeKey::new(Secret::from_slice(&key).ok_or("32 bytes")?);
        Ok::<_, String>(key.open(b"", sealed).map_err(|e| e.to_string())?.expose().to_vec())
    };
    let mut path: Vec<Vec<u8>> = path.chunks(32).map(<[u8]>::to_vec).collect();
    let mut sealing = Vec::new();
    for node in update.nodes() {
        let level = u8::try_from(node.level).map_err(|_| "level")?;
        if node.index != slot >> level {
            continue;
        }
        let below = usize::from(level) - 1;
        let side = u8::from(slot >> below & 1 == 1);
        let key = change.key(&path[below], (level, node.index, side));
        sealing.push(Value::from(hex(&key)));
        path[below + 1] = open(key, if side == 0 { &node.for_left } else { &node.for_right })?;
    }
    let key = open(change.key(&path[usize::from(ROOT)], (ROOT + 1, 0, 0)), update.directory_key())?;
    same("directory_key", keys.key().secret().expose(), &key)?;
    same("key_path", keys.path().expose(), &path.concat())?;
    let mut computed = Computed::default();
    computed.via("sealing_keys", Value::Array(sealing));
    computed.out("epoch", json!(keys.key().epoch()));
    computed.out("directory_key", &key);
    computed.out("key_path", &path.concat());
    Ok(computed)
}

#[test]
fn the_desk_publishes_what_the_vector_says_r_org_35() {
    let company = Company::found(1);
    let (_, _, inputs) =
        directory_keys().into_iter().find(|(_, kind, _)| *kind == "directory-key-update").unwrap();
    let inputs = Inputs(inputs.as_object().unwrap());
    let mut draws = Draws::new(inputs.array("rng_seed").unwrap());
    // The desk signs the end of the device first, with 32 fresh bytes.
    draws.next::<32>();
    let computed = compute_update_with(&inputs, draws).unwrap();
    assert_eq!(computed.outputs["sealed"], json!(hex(&removal(&company).sealed)));
}
