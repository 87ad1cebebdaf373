//! What follows from an epoch, hand-outs, dead nodes and covers, and slots of the relay.

use std::collections::BTreeSet;

use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{
    Attempt, Changes, EpochSecret, HandOutChange, HandOutContext, MemoryRows, Node, RelaySlots, Slot, cover,
    dead_after,
};
use serde_json::{Value, json};

use super::super::book::{self, Draws, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::state::{Results, items, nodes, read_nodes, read_slots, result};
use super::tree::BookEpoch;

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "group-epoch", requirements: &["R-GROUP-4", "R-GROUP-14"], compute: compute_epoch },
    Kind { name: "group-hand-out", requirements: &["R-GROUP-17"], compute: compute_hand_out },
    Kind { name: "group-hand-out-read", requirements: &["R-GROUP-17"], compute: read_hand_outs },
    Kind { name: "group-dead", requirements: &["R-GROUP-16"], compute: compute_dead },
    Kind { name: "group-cover", requirements: &["R-GROUP-17"], compute: compute_cover },
    Kind { name: "group-slot", requirements: &["R-GROUP-21"], compute: compute_slot },
    Kind { name: "group-slot-read", requirements: &["R-GROUP-21"], compute: read_slot_contents },
];

pub(super) fn drafts() -> Vec<Draft> {
    let epoch = |chain_key: String| {
        let (secret, transcript) = (sample_hex("commit secret", 32), sample_hex("transcript", 32));
        json!({ "chain_key": chain_key, "commit_secret": secret, "transcript": transcript })
    };
    let mut drafts: Vec<Draft> = vec![
        ("group-epoch-founding".into(), "group-epoch", epoch(String::new())),
        ("group-epoch-next".into(), "group-epoch", epoch(sample_hex("chain key", 32))),
    ];
    drafts.extend(hand_outs());
    drafts.extend(deaths());
    drafts.extend(slots());
    drafts
}

fn hand_out_inputs() -> Value {
    json!({
        "group_id": sample_hex("group", 16), "epoch": 7, "commit": sample_hex("commit", 32),
        "set_name": sample_hex("set", 16), "node": "020001", "key": sample_hex("node key", 32),
        "secret": sample_hex("commit secret", 32),
    })
}

fn hand_outs() -> Vec<Draft> {
    let made = hand_out_inputs();
    let sound = make_hand_out(&Inputs(made.as_object().expect("named"))).expect("sound");
    let with = |change: fn(&mut Vec<u8>)| {
        let mut envelope = sound.clone();
        change(&mut envelope);
        hex(&envelope)
    };
    let envelopes = json!([
        { "name": "sound", "envelope": hex(&sound) },
        { "name": "another kind", "envelope": with(|it| it[0] = 0x18) },
        { "name": "another set name", "envelope": with(|it| it[1] ^= 1) },
        { "name": "node that is not above the slot", "envelope": with(|it| it[19] ^= 1) },
        { "name": "node above it of another key", "envelope": with(|it| { it[17] = 1; it[19] = 2; }) },
        { "name": "node that is dead", "envelope": with(|it| { it[17] = 3; it[19] = 0; }) },
        { "name": "node that is none", "envelope": with(|it| it[17] = 15) },
        { "name": "secret damaged", "envelope": with(|it| it[20] ^= 1) },
        { "name": "tag damaged", "envelope": with(|it| it[67] ^= 1) },
        { "name": "cut", "envelope": with(|it| it.truncate(67)) },
        { "name": "too long", "envelope": with(|it| it.push(0)) },
    ]);
    let keys = [
        ["010002", &sample_hex("node key 1", 32)].concat(),
        ["020001", &sample_hex("node key", 32)].concat(),
        ["030000", &sample_hex("node key", 32)].concat(),
    ];
    let read = json!({
        "group_id": made["group_id"], "epoch": 7, "commit": made["commit"], "slot": 5, "keys": keys,
        "dead": ["030000"], "envelopes": envelopes,
    });
    vec![
        ("group-hand-out".into(), "group-hand-out", made),
        ("group-hand-outs-read".into(), "group-hand-out-read", read),
    ]
}

fn make_hand_out(inputs: &Inputs<'_>) -> Result<Vec<u8>, String> {
    let (group_id, commit) = (inputs.array("group_id")?, inputs.array("commit")?);
    let context = HandOutContext { group_id: &group_id, epoch: inputs.number("epoch")?, commit: &commit };
    let node = Node::from_bytes(inputs.array("node")?).ok_or("inputs.node: none")?;
    let (key, secret) =
        (Secret::from_bytes(inputs.array("key")?), Secret::from_bytes(inputs.array("secret")?));
    Ok(context.seal(&inputs.array("set_name")?, node, &key, &secret))
}

fn compute_hand_out(inputs: &Inputs<'_>) -> Computation {
    let front = [&[0x19][..], &inputs.array::<16>("set_name")?, &inputs.array::<3>("node")?].concat();
    let info = [inputs.bytes("group_id")?, inputs.number("epoch")?.to_be_bytes().to_vec()].concat();
    let commit = inputs.bytes("commit")?;
    let key = book::derive(label::KDF_GROUP_HAND_OUT, &commit, &[&inputs.bytes("key")?], &info, 32);
    let envelope = [front.clone(), book::seal(&key, &front, &inputs.bytes("secret")?)?].concat();
    same("envelope", &envelope, &make_hand_out(inputs)?)?;
    let mut computed = Computed::default();
    computed.via("sealing_key", &key);
    computed.out("envelope", &envelope);
    Ok(computed)
}

fn read_hand_outs(inputs: &Inputs<'_>) -> Computation {
    let (group_id, commit) = (inputs.array("group_id")?, inputs.array("commit")?);
    let context = HandOutContext { group_id: &group_id, epoch: inputs.number("epoch")?, commit: &commit };
    let own = Slot::from_u32(inputs.small("slot")?).ok_or("inputs.slot: none")?;
    let mut changes = Changes::default();
    for key in inputs.list("keys")? {
        let (node, key) = key.split_first_chunk::<3>().ok_or("inputs.keys: too short")?;
        changes.keys.insert(Node::from_bytes(*node).ok_or("inputs.keys: no node")?, Secret::from_slice(key));
    }
    let (mut rows, dead) = (MemoryRows::default(), read_nodes(inputs, "dead")?);
    rows.apply(changes);
    let mut results = Results::new();
    for item in items(inputs, "envelopes")? {
        let opened = context.open(own, &rows, &dead, &item.bytes("envelope")?);
        let opened = opened.map(|secret| json!({ "secret": hex(secret.expose()) }));
        results.push(result(item.text("name")?, opened.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

/// Rows in which these slots are taken.
fn taken(slots: &[Slot]) -> MemoryRows {
    let nodes = |slot: &Slot| std::iter::successors(Some(slot.node()), |node| node.parent());
    let hashes = slots.iter().flat_map(nodes).map(|node| (node, [1; 32])).collect();
    let changes = Changes { hashes, ..Changes::default() };
    let mut rows = MemoryRows::default();
    rows.apply(changes);
    rows
}

fn deaths() -> Vec<Draft> {
    let dead = |name: &str,
                taken: &[u16],
                before: &[&str],
                removed: &[u16],
                added: &[u16],
                keyholder: bool| {
        let inputs = json!({
            "taken": taken, "dead": before, "removed": removed, "added": added, "keyholder_removed": keyholder,
        });
        (format!("group-dead-{name}"), "group-dead", inputs)
    };
    let cover = |name: &str, taken: &[u16], dead: &[Node]| {
        let inputs = json!({ "taken": taken, "dead": nodes(dead) });
        (format!("group-cover-{name}"), "group-cover", inputs)
    };
    let up = |slot: u16| {
        let nodes = std::iter::successors(Slot::new(slot).map(Slot::node), |node| node.parent());
        nodes.collect::<BTreeSet<Node>>()
    };
    let inner = |slot: u16| up(slot).into_iter().filter(|node| node.level() > 0).collect::<Vec<_>>();
    let all: Vec<Node> = [0, 1, 4, 9].into_iter().flat_map(up).collect::<BTreeSet<_>>().into_iter().collect();
    let few = [0, 1, 4, 5, 9, 16_383];
    vec![
        dead("one-removed", &[0, 1, 3, 7], &[], &[2], &[], false),
        dead("lone-subtree", &[0, 1], &[], &[4], &[], false),
        dead("with-dead-before", &[0, 1, 3], &["010001", "020000", "000003"], &[5], &[], false),
        dead("keyholder", &[0, 1, 4, 9], &[], &[2], &[], true),
        dead("with-an-addition", &[0, 1, 2, 9], &[], &[4], &[2], false),
        cover("whole", &few, &[]),
        cover("one-way", &few, &inner(2)),
        cover("at-the-end", &few, &inner(16_382)),
        cover("all-dead", &[0, 1, 4, 9], &all),
    ]
}

fn compute_dead(inputs: &Inputs<'_>) -> Computation {
    let rows = taken(&read_slots(inputs, "taken")?);
    let (removed, added) = (read_slots(inputs, "removed")?, read_slots(inputs, "added")?);
    let keyholder = inputs.0.get("keyholder_removed").and_then(Value::as_bool);
    let keyholder = keyholder.ok_or("inputs.keyholder_removed: neither")?;
    let change = HandOutChange { removed: &removed, added: &added, keyholder };
    let dead = dead_after(&rows, &read_nodes(inputs, "dead")?, change).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.out("dead", nodes(&dead));
    Ok(computed)
}

fn compute_cover(inputs: &Inputs<'_>) -> Computation {
    let rows = taken(&read_slots(inputs, "taken")?);
    let cover = cover(&rows, &read_nodes(inputs, "dead")?).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.out("cover", nodes(&cover));
    Ok(computed)
}

fn compute_epoch(inputs: &Inputs<'_>) -> Computation {
    let (chain, secret) = (inputs.bytes("chain_key")?, inputs.array("commit_secret")?);
    let transcript = inputs.array("transcript")?;
    let book = BookEpoch::next(&chain, &secret, &transcript);
    let chain = Secret::from_slice(&chain);
    let ours = EpochSecret::next(chain.as_ref(), &Secret::from_bytes(secret), &transcript);
    same("epoch secret", ours.secret().expose(), &book.secret)?;
    same("confirmation", &ours.confirmation(&transcript), &book.confirmation)?;
    let ours = ours.keys();
    let set = [&ours.set_name[..], ours.set_key.expose()].concat();
    let all =
        [ours.chain_key.expose(), ours.senders.expose(), ours.header_key.expose(), ours.slot_key.expose()];
    let theirs = [book.chain_key, book.senders, book.header_key, book.slot_key];
    same(
        "keys",
        &[all.map(|key| *key).concat(), set].concat(),
        &[theirs.concat(), book.set.clone()].concat(),
    )?;
    let mut computed = Computed::default();
    computed.via("epoch_secret", &book.secret);
    computed.via("confirmation_key", &book.confirmation_key);
    for (name, value) in [
        ("chain_key", book.chain_key),
        ("senders", book.senders),
        ("header_key", book.header_key),
        ("slot_key", book.slot_key),
        ("confirmation", book.confirmation),
        ("name", book.name),
    ] {
        computed.out(name, &value);
    }
    computed.out("set_name", &book.set[..16]);
    computed.out("set_key", &book.set[16..]);
    Ok(computed)
}

fn attempt(number: u32) -> Result<Attempt, String> {
    let mut all = std::iter::successors(Some(Attempt::FIRST), |attempt| attempt.next());
    all.find(|attempt| attempt.get() == number).ok_or_else(|| "inputs.attempt: none".into())
}

fn slots() -> Vec<Draft> {
    let slot = |attempt: u32, length: usize| {
        json!({
            "slot_key": sample_hex("slot key", 32), "set_name": sample_hex("set", 16), "attempt": attempt,
            "length": length, "byte": 7, "rng_seed": sample_hex("slot salt", 32),
        })
    };
    let mut drafts: Vec<Draft> = [(0, 0), (0, 423), (0, 424), (1, 425), (255, 3_000), (0, 491_431)]
        .into_iter()
        .map(|(attempt, length)| {
            (format!("group-slot-{attempt}-{length}"), "group-slot", slot(attempt, length))
        })
        .collect();
    let inputs = slot(1, 100);
    let inputs = inputs.as_object().expect("named");
    let padded = |length: u32, whole: usize, mark: Option<usize>| {
        let mut all = [&length.to_be_bytes()[..], &[7; 100]].concat();
        all.resize(whole, 0);
        if let Some(at) = mark {
            all[at] = 1;
        }
        all
    };
    let named = |attempt: u32, padded: Vec<u8>| {
        let inputs = Inputs(inputs);
        let name = slot_name(&inputs, attempt).expect("sound");
        let parts = sealed_slot(&inputs, name, &padded).expect("sound");
        parts.1
    };
    let sealed = |padded: Vec<u8>| named(1, padded);
    let sound = sealed(padded(100, 427, None));
    let with = |at: usize| {
        let mut content = sound.clone();
        content[at] ^= 1;
        content
    };
    let contents = [
        ("sound", sound.clone()),
        ("another kind", with(0)),
        ("another set name", with(1)),
        ("another slot name", with(17)),
        ("sealed with the name of another slot", named(0, padded(100, 427, None))),
        ("another attempt", with(36)),
        ("salt damaged", with(37)),
        ("commit damaged", with(80)),
        ("tag damaged", with(511)),
        ("cut", sound[..511].to_vec()),
        ("longer by a step of zeros", [sound.clone(), vec![0; 512]].concat()),
        ("nothing", Vec::new()),
        ("padding marked", sealed(padded(100, 427, Some(426)))),
        ("padded more than needed", sealed(padded(100, 427 + 512, None))),
        ("length beyond the end", sealed(padded(424, 427, None))),
    ];
    let contents: Value =
        contents.iter().map(|(name, it)| json!({ "name": name, "content": hex(it) })).collect();
    let read = json!({ "slot_key": inputs["slot_key"], "set_name": inputs["set_name"], "attempt": 1, "contents": contents });
    drafts.push(("group-slots-read".into(), "group-slot-read", read));
    drafts
}

/// The name of the slot of this attempt (R-GROUP-21).
fn slot_name(inputs: &Inputs<'_>, attempt: u32) -> Result<[u8; 16], String> {
    let name = book::mac(label::KDF_GROUP_SLOT_NAME, &inputs.bytes("slot_key")?, &attempt.to_be_bytes());
    Ok(*name.first_chunk().expect("32 bytes"))
}

/// Key and content of a slot of this name in which stands what is padded already.
fn sealed_slot(inputs: &Inputs<'_>, name: [u8; 16], padded: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let salt = Draws::new(inputs.array("rng_seed")?).next::<32>();
    let attempt = inputs.small("attempt")?.to_be_bytes();
    let front = [&[0x18][..], &inputs.array::<16>("set_name")?, &name, &attempt, &salt].concat();
    let key = book::derive(label::KDF_GROUP_SLOT, &salt, &[&inputs.bytes("slot_key")?], &attempt, 32);
    let sealed = book::seal(&key, &front, padded)?;
    Ok((key, [front, sealed].concat()))
}

fn compute_slot(inputs: &Inputs<'_>) -> Computation {
    let length = usize::try_from(inputs.number("length")?).map_err(|e| e.to_string())?;
    let byte = u8::try_from(inputs.small("byte")?).map_err(|e| e.to_string())?;
    let (commit, number) = (vec![byte; length], inputs.small("attempt")?);
    let slot_key = inputs.array("slot_key")?;
    let name = slot_name(inputs, number)?;
    let (secret, set_name) = (Secret::from_bytes(slot_key), inputs.array("set_name")?);
    let slots = RelaySlots { slot_key: &secret, set_name: &set_name };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let ours = slots.seal(attempt(number)?, &commit, draws.rng()).map_err(|e| e.to_string())?;
    let whole = (length + 89).next_multiple_of(512);
    let (key, content) = sealed_slot(inputs, name, &book::padded(&commit, whole - 85))?;
    same("content", &content, &ours)?;
    same("name", &name, &slots.name(attempt(number)?))?;
    let mut computed = Computed::default();
    computed.via("salt", &Draws::new(inputs.array("rng_seed")?).next::<32>());
    computed.via("key", &key);
    computed.out("name", &name);
    computed.out("content_length", json!(content.len()));
    computed.out("content_sha256", &chancery_crypto::hash::sha256(&[&content]));
    if content.len() <= 1024 {
        computed.out("content", &content);
    }
    Ok(computed)
}

fn read_slot_contents(inputs: &Inputs<'_>) -> Computation {
    let (secret, set_name) = (Secret::from_bytes(inputs.array("slot_key")?), inputs.array("set_name")?);
    let slots = RelaySlots { slot_key: &secret, set_name: &set_name };
    let attempt = attempt(inputs.small("attempt")?)?;
    let mut results = Results::new();
    for item in items(inputs, "contents")? {
        let opened = slots.open(attempt, &item.bytes("content")?);
        let opened = opened.map(|commit| json!({ "commit": hex(&commit) }));
        results.push(result(item.text("name")?, opened.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}
