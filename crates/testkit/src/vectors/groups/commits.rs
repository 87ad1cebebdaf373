//! Commits: how they are made, and what readers accept and refuse.

use std::collections::BTreeSet;

use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{
    Author, BuiltCommit, Group, GroupError, Info, Keying, LogView, MemoryRows, Node, Rows as _, Slot,
    UnverifiedCommit, build, found,
};
use chancery_identity::{Credential, DeviceId, DeviceKeys};
use chancery_wire::{Limit, decode, encode, proto};
use serde_json::{Value, json};

use super::super::book::{self, Draws};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::forged;
use super::state::{
    BookRoster, Results, items, nodes, optional, part, read_group, read_world, result, roster,
};
use super::tree::{BookEpoch, BookTree, node_key, used};
use crate::crew::{CrewLog, GROUP, NOW};

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "group-commit",
        requirements: &[
            "R-GROUP-4",
            "R-GROUP-10",
            "R-GROUP-11",
            "R-GROUP-12",
            "R-GROUP-13",
            "R-GROUP-14",
            "R-GROUP-16",
            "R-GROUP-25",
        ],
        compute,
    },
    Kind {
        name: "group-commit-read",
        requirements: &[
            "R-GROUP-5",
            "R-GROUP-6",
            "R-GROUP-7",
            "R-GROUP-8",
            "R-GROUP-9",
            "R-GROUP-12",
            "R-GROUP-15",
            "R-GROUP-16",
        ],
        compute: read,
    },
];

pub(super) fn drafts() -> Vec<Draft> {
    forged::drafts()
}

/// A commit as our code makes it: what the document says must give the same.
struct Ours {
    commit: Vec<u8>,
    after: BookRoster,
    dead: Value,
    secret: [u8; 32],
    added: Vec<Slot>,
    removed: Vec<Slot>,
    paths: Value,
    welcomes: Value,
    tree: Vec<u8>,
    rows: MemoryRows,
}

impl Ours {
    fn of(built: BuiltCommit<'_>, mut rows: MemoryRows) -> Result<Self, String> {
        let file = Some(proto::GroupFile::default());
        let tree = built.tree().map(|tree| tree.expose().to_vec()).unwrap_or_default();
        let tree_file = file.clone().filter(|_| !tree.is_empty());
        let said = |e: GroupError| e.to_string();
        let mut paths = Vec::new();
        for slot in built.paths() {
            let path = built.path(slot, file.clone()).map_err(said)?;
            paths.push(json!({ "slot": slot.get(), "path": hex(&encode(&path)) }));
        }
        let mut welcomes = Vec::new();
        for slot in &built.outcome().added {
            let welcome = built.welcome(*slot, None, tree_file.clone()).map_err(said)?;
            welcomes.push(json!({ "slot": slot.get(), "welcome": hex(&encode(&welcome)) }));
        }
        let (commit, outcome) = (built.bytes().to_vec(), built.outcome().clone());
        let after = BookRoster::of(&built.snapshot().map_err(said)?)?;
        let dead = nodes(built.roster().dead());
        let (changes, _, secret) = built.into_parts();
        rows.apply(changes);
        Ok(Self {
            commit,
            after,
            dead,
            secret: *secret.expose(),
            added: outcome.added,
            removed: outcome.removed.iter().map(|(slot, _)| *slot).collect(),
            paths: Value::Array(paths),
            welcomes: Value::Array(welcomes),
            tree,
            rows,
        })
    }
}

fn keying(inputs: &Inputs<'_>) -> Result<Keying, String> {
    let all = [Keying::Tree, Keying::Regrow, Keying::HandOut];
    let number = inputs.small("keying")?;
    all.into_iter().find(|it| *it as u32 == number).ok_or_else(|| "inputs.keying: unknown".into())
}

/// The author's keys and credential.
fn who(inputs: &Inputs<'_>, log: &CrewLog) -> Result<(DeviceKeys, Credential), String> {
    let keys =
        DeviceKeys::from_secret_bytes(&inputs.bytes("device_keys")?).ok_or("device_keys: not 128 bytes")?;
    let credential = log.credentials().find(|it| keys.match_credential(it)).cloned();
    Ok((keys, credential.ok_or("device_keys: no credential has them")?))
}

fn ours(inputs: &Inputs<'_>, log: &CrewLog, before: &MemoryRows, rng_seed: [u8; 32]) -> Result<Ours, String> {
    let (keys, credential) = who(inputs, log)?;
    let mut draws = Draws::new(rng_seed);
    let (log_size, said) = (inputs.number("log_size")?, |e: GroupError| e.to_string());
    let author = Author { keys: &keys, credential: &credential, log, log_size, now: NOW };
    let tail = decode::<proto::GroupCommitTail>(&inputs.bytes("changes")?, Limit::FRAME);
    let changes = tail.map_err(|e| e.to_string())?.into_unchecked().changes;
    if inputs.0.contains_key("group") {
        let group = Group { id: &GROUP, head: &before.head, rows: before };
        let built = build(group, author, changes, keying(inputs)?, draws.rng()).map_err(said)?;
        return Ours::of(built, before.clone());
    }
    let Some(proto::group_change::Change::SetInfo(info)) = changes.first().and_then(|it| it.change.clone())
    else {
        return Err("inputs.changes: no info".into());
    };
    let info = Info::from_bytes(&info).map_err(said)?;
    let (commit, changes, epoch) = found(&GROUP, &info, author, draws.rng()).map_err(said)?;
    let mut rows = MemoryRows::default();
    rows.apply(changes);
    drop(epoch);
    let after = roster(&rows);
    let added = after.slots().into_keys().collect();
    let none = || json!([]);
    let (dead, paths, welcomes) = (none(), none(), none());
    let (secret, removed, tree) = ([0; 32], Vec::new(), Vec::new());
    Ok(Ours { commit, after, dead, secret, added, removed, paths, welcomes, tree, rows })
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (_, log) = read_world(inputs)?;
    let before = match part(inputs, "group") {
        Ok(group) => read_group(&group)?,
        Err(_) => MemoryRows::default(),
    };
    let seed = inputs.array("rng_seed")?;
    let ours = ours(inputs, &log, &before, seed)?;
    let mut draws = Draws::new(seed);
    let (salt, r) = (draws.next::<32>(), draws.next::<32>());
    let transcript =
        if before.head.transcript.is_empty() { vec![0; 32] } else { before.head.transcript.clone() };
    let keying = keying(inputs)?;
    let tree = BookTree {
        keying,
        occupied: ours.after.hashes().into_keys().collect(),
        added: ours.added.clone(),
        removed: ours.removed.clone(),
        author: Slot::from_u32(before.head.slot).ok_or("group.slot: none")?,
        dead: before.head.dead.chunks(3).filter_map(|it| Node::from_bytes(it.try_into().ok()?)).collect(),
        keys: tree_keys(&before)?,
        group_id: &GROUP,
        epoch: before.head.epoch + 1,
        transcript: &transcript,
        salt,
    };
    let mut computed = Computed::default();
    computed.via("salt", &salt);
    computed.via("r", &r);
    let secrets = book_keys(&mut computed, (&tree, &ours), (&r, &before), &inputs.bytes("changes")?)?;
    let commit =
        book_commit(&mut computed, (inputs, &log), (&tree, &ours), (&secrets, &r, &before), &mut draws)?;
    same("commit", &commit, &ours.commit)?;
    if tree.keying != Keying::HandOut && before.head.epoch > 0 {
        same("secret", &secrets.1, &ours.secret)?;
    }
    computed.out("commit", &commit);
    computed.out("snapshot", &ours.after.snapshot());
    computed.out("dead", ours.dead.clone());
    computed.out("group", super::state::group(&ours.rows));
    computed.out("paths", ours.paths);
    computed.out("welcomes", ours.welcomes);
    computed.out("tree_file", &ours.tree);
    Ok(computed)
}

fn tree_keys(rows: &MemoryRows) -> Result<std::collections::BTreeMap<Node, Vec<u8>>, String> {
    let all = if rows.head.epoch == 0 { BookRoster::default() } else { roster(rows) };
    let mut keys = std::collections::BTreeMap::new();
    for node in all.hashes().into_keys() {
        if let Some(key) = rows.key(node).map_err(|e| e.to_string())? {
            keys.insert(node, key.expose().to_vec());
        }
    }
    Ok(keys)
}

/// The tail, and the secret of the commit.
fn book_keys(
    computed: &mut Computed,
    (tree, ours): (&BookTree<'_>, &Ours),
    (r, before): (&[u8; 32], &MemoryRows),
    changes: &[u8],
) -> Result<(Vec<u8>, [u8; 32]), String> {
    let tail = decode::<proto::GroupCommitTail>(changes, Limit::FRAME).map_err(|e| e.to_string())?;
    let mut tail = tail.into_unchecked();
    if tree.keying == Keying::HandOut {
        handed_out_keys(tree, ours, before)?;
        return Ok((encode(&tail), *r));
    }
    let made = tree.make(r)?;
    computed.via("secrets", made.shown());
    for (node, key) in made.keys() {
        same_key(ours, node, &key)?;
    }
    computed.via("root_key", &node_key(&made.secrets[&Node::ROOT]));
    if tree.keying == Keying::Tree {
        computed.via("used", made.shown_used());
        computed.via("boxes", Value::Array(made.boxes));
        tail.nodes = made.nodes;
        tail.seed = tree.seal(label::KDF_GROUP_SEED, &before.head.administrators_key, b"", r)?;
        computed.via("seed", &tail.seed);
    }
    Ok((encode(&tail), made.secret))
}

/// Whether our code has this key of a node after the commit.
fn same_key(ours: &Ours, node: Node, key: &[u8]) -> Result<(), String> {
    let stored = ours.rows.key(node).map_err(|e| e.to_string())?;
    let stored = stored.map_or_else(Vec::new, |key| key.expose().to_vec());
    same(&format!("key of {}", hex(&node.to_bytes())), key, &stored)
}

/// With keying 3 the keys of the live nodes of the cover are replaced, and no others (R-GROUP-17).
fn handed_out_keys(tree: &BookTree<'_>, ours: &Ours, before: &MemoryRows) -> Result<(), String> {
    let nodes = ours.after.dead.chunks(3).filter_map(|it| Node::from_bytes(it.try_into().ok()?));
    let dead: BTreeSet<Node> = nodes.collect();
    for node in tree.occupied.iter().filter(|node| !dead.contains(*node)) {
        let covers = node.parent().is_none_or(|above| dead.contains(&above));
        if let Some(key) = before.key(*node).map_err(|e| e.to_string())? {
            let key = if covers { used(key.expose()) } else { *key.expose() };
            same_key(ours, *node, &key)?;
        }
    }
    Ok(())
}

fn book_commit(
    computed: &mut Computed,
    (inputs, log): (&Inputs<'_>, &CrewLog),
    (tree, ours): (&BookTree<'_>, &Ours),
    ((tail, secret), r, before): (&(Vec<u8>, [u8; 32]), &[u8; 32], &MemoryRows),
    draws: &mut Draws,
) -> Result<Vec<u8>, String> {
    let size = inputs.number("log_size")?;
    let tail_hash = book::hash(label::HASH_GROUP_COMMIT_TAIL, &[tail]);
    let head = encode(&proto::GroupCommitHead {
        group_id: GROUP.to_vec(),
        epoch: tree.epoch,
        transcript: tree.transcript.to_vec(),
        author: before.head.slot,
        log_size: size,
        log_root: log.root(size).ok_or("inputs.log_size: too large")?.to_vec(),
        salt: tree.salt.to_vec(),
        keying: tree.keying as u32,
        roster: ours.after.name().to_vec(),
        tail_hash: tail_hash.to_vec(),
    });
    let transcript = book::hash(label::HASH_GROUP_TRANSCRIPT, &[tree.transcript, &head]);
    let epoch = BookEpoch::next(&before.head.chain_key, secret, &transcript);
    let signed = [head.as_slice(), &epoch.confirmation].concat();
    let (keys, _) = who(inputs, log)?;
    let bound =
        book::bound_message(label::SIGN_GROUP_COMMIT, keys.signing.verifying_key().as_bytes(), &signed);
    let mut hedged = Draws::new(inputs.array("rng_seed")?);
    // Behind salt and r.
    hedged.next::<64>();
    computed.via("hedge", &hedged.next::<32>());
    let signature = keys.signing.sign(label::SIGN_GROUP_COMMIT, &signed, draws.rng());
    let administrators =
        |salt: &[u8]| book::derive(label::KDF_GROUP_ADMINISTRATORS, salt, &[r], &transcript, 32);
    let administrators = match tree.keying {
        Keying::Tree => administrators(&before.head.administrators_key),
        Keying::Regrow => administrators(&[0; 32]),
        Keying::HandOut => ours.rows.head.administrators_key.clone(),
    };
    same("administrators' key", &administrators, &ours.rows.head.administrators_key)?;
    same("name", &epoch.name, &ours.rows.head.transcript)?;
    same("chain key", &epoch.chain_key, &ours.rows.head.chain_key)?;
    for (name, value) in [
        ("tail", tail.as_slice()),
        ("tail_hash", &tail_hash),
        ("head", &head),
        ("commit_secret", secret),
        ("epoch_secret", &epoch.secret),
        ("signed", &bound),
    ] {
        computed.via(name, value);
    }
    for (name, value) in [
        ("transcript", transcript.as_slice()),
        ("name", &epoch.name),
        ("roster", &ours.after.name()),
        ("confirmation", &epoch.confirmation),
        ("signature", &signature),
        ("administrators_key", &administrators),
        ("commit_hash", &book::hash(label::HASH_GROUP_COMMIT, &[&head, &epoch.confirmation, &signature])),
    ] {
        computed.out(name, value);
    }
    let (head, tail, confirmation) = (head, tail.clone(), epoch.confirmation.to_vec());
    Ok(encode(&proto::GroupCommit { head, tail, confirmation, signature }))
}

/// What a device inside does with commits, each tried for itself.
fn read(inputs: &Inputs<'_>) -> Computation {
    let (_, log) = read_world(inputs)?;
    let rows = read_group(&part(inputs, "group")?)?;
    let mut results = Results::new();
    for item in items(inputs, "commits")? {
        let outcome = one(&item, &rows, &log)?;
        let valid = outcome.as_ref().is_ok() || outcome.as_ref().is_err_and(|(valid, _)| *valid);
        let mut outcome = result(item.text("name")?, outcome.map_err(|(_, e)| e.to_string()));
        outcome["valid"] = json!(valid);
        results.push(outcome);
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

/// What becomes of one commit; the outer error is one of the vector's.
fn one(item: &Inputs<'_>, rows: &MemoryRows, log: &CrewLog) -> Result<Result<Value, Refusal>, String> {
    let path = optional(item, "path").map(|path| decode::<proto::GroupPath>(&path, Limit::FRAME));
    let path = path.transpose().map_err(|e| e.to_string())?.map(chancery_wire::Unverified::into_unchecked);
    let (bytes, secret) = (item.bytes("commit")?, optional(item, "secret"));
    let secret = secret.map(|secret| Secret::from_slice(&secret).ok_or("inputs.secret: not 32 bytes"));
    let from = if path.is_some() { Some(DeviceId::new(item.array("from")?)) } else { None };
    let with = (path.zip(from), secret.transpose()?, optional(item, "hand_out"));
    Ok(follow(&bytes, with, rows, log))
}

/// Whether the commit is valid all the same, and why it was not followed.
type Refusal = (bool, GroupError);
type With = (Option<(proto::GroupPath, DeviceId)>, Option<Secret<32>>, Option<Vec<u8>>);

fn follow(
    bytes: &[u8],
    (path, secret, envelope): With,
    rows: &MemoryRows,
    log: &CrewLog,
) -> Result<Value, Refusal> {
    let group = Group { id: &GROUP, head: &rows.head, rows };
    let verify = || UnverifiedCommit::from_bytes(bytes)?.verify(group, log);
    let verified = verify().map_err(|error| (false, error))?;
    let valid = |error: GroupError| (true, error);
    if verified.removes_me().map_err(valid)? {
        return Ok(json!({ "removes_me": true }));
    }
    let keyholder = group.head.keyholders.contains(&group.head.slot);
    let staged = match verified.keying() {
        Keying::Tree if keyholder => match verified.by_seed(NOW) {
            // R-GROUP-15: then by its own boxes, without the tree.
            Err(GroupError::SecretUnfit | GroupError::NeedKeys) => {
                verify().and_then(|again| again.by_boxes(NOW))
            }
            staged => staged,
        },
        Keying::Tree => verified.by_boxes(NOW),
        Keying::Regrow => {
            path.ok_or(GroupError::NeedKeys).and_then(|(path, from)| verified.by_path(&path, &from, NOW))
        }
        Keying::HandOut => {
            let secret = match envelope {
                Some(envelope) => verified.open_hand_out(&envelope),
                None => secret.ok_or(GroupError::NeedKeys),
            };
            secret.and_then(|secret| verified.by_hand_out(secret, NOW))
        }
    };
    let mut after = rows.clone();
    after.apply(staged.map_err(valid)?.into_parts().0);
    Ok(json!({ "group": super::state::group(&after) }))
}
