//! The organisation's log: statements, leaves, checkpoints, the proof of a fork.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chancery_crypto::cosignature::{self, WitnessSigningKey};
use chancery_crypto::hash::sha256;
use chancery_crypto::label::{self, Label};
use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::secret::Secret;
use chancery_identity::checkpoint::{Checkpoint, origin, prove_fork, verify_fork};
use chancery_identity::log::{Leaf, LeafKind, LogHead, commitment};
use chancery_identity::{OrgId, sign};
use chancery_wire::proto::{self, Signed};
use chancery_wire::{Timestamp, encode};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[("log", log)];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "log-statement",
        requirements: &["R-LOG-3", "R-LOG-4", "R-LOG-8"],
        compute: compute_statement,
    },
    Kind { name: "root-successor", requirements: &["R-ID-16", "R-LOG-3"], compute: compute_root_successor },
    Kind { name: "log-leaves", requirements: &["R-LOG-1", "R-LOG-2"], compute: compute_leaves },
    Kind { name: "checkpoint", requirements: &["R-LOG-5"], compute: compute_checkpoint },
    Kind { name: "cosignature", requirements: &["R-LOG-13"], compute: compute_cosignature },
    Kind { name: "cosigned-note", requirements: &["R-LOG-13", "R-LOG-14"], compute: compute_cosigned_note },
    Kind { name: "fork-proof", requirements: &["R-LOG-11"], compute: compute_fork },
];

const TIME: u64 = 1_800_000_000_000;

fn hedge(name: &str) -> String {
    sample_hex(&format!("hedge {name}"), 32)
}

fn log() -> Vec<Draft> {
    [statements(), trees(), cosigned(), forks()].concat()
}

fn statements() -> Vec<Draft> {
    let statement = |kind: u32, name: &str, more: Value| {
        let mut inputs = json!({
            "kind": kind, "issuer_seed": sample_hex(name, 64), "org_id": sample_hex("organisation", 32),
            "issuer_id": sample_hex("issuer id", 32), "rng_seed": hedge(name),
        });
        for (field, value) in more.as_object().expect("named") {
            inputs[field] = value.clone();
        }
        inputs
    };
    let (member, device) = (sample_hex("member", 16), sample_hex("device", 16));
    let policy = json!({
        "sequence": 3, "minimum_suite": 1, "freshness_ms": 604_800_000, "retention_ms": 31_536_000_000_u64,
        "disappearing_ms": 0, "no_export": 1, "no_saving_attachments": 0, "max_offline_ms": 2_592_000_000_u64,
        "device_limit": 4,
    });
    let commit = json!({
        "subject": member, "object": "00000000000000070000000000000000", "commitment": sample_hex("entry", 32),
    });
    let successor = json!({ "group_id": sample_hex("group", 16), "member_ids": [member], "sequence": 1 });
    let of_device = json!({ "member_id": member, "device_id": device });
    let of_member = json!({ "member_id": member, "device_id": "" });
    let all = [
        ("log-issuer-ended", statement(3, "root", json!({}))),
        ("log-device-ended", statement(5, "offboarding issuer", of_device)),
        ("log-member-ended", statement(6, "offboarding issuer", of_member)),
        ("log-policy", statement(7, "policy issuer", policy)),
        ("log-group-successor", statement(8, "group issuer", successor)),
        ("log-directory", statement(9, "enrolling issuer", commit.clone())),
        ("log-act", statement(10, "enrolling issuer", commit)),
    ];
    all.into_iter().map(|(name, inputs)| (name.to_owned(), "log-statement", inputs)).collect()
}

fn trees() -> Vec<Draft> {
    let leaf = |kind: u8, number: u64| {
        json!({
            "kind": kind, "time": TIME + number, "subject": sample_hex(&format!("subject {number}"), 16),
            "object": sample_hex(&format!("object {number}"), 16), "issuer": sample_hex("issuer id", 16),
            "commitment": sample_hex(&format!("commitment {number}"), 32),
        })
    };
    let leaves: Vec<Value> = (1..=12).map(|kind| leaf(kind, u64::from(kind))).collect();
    let checkpoint = |size: u64| {
        json!({
            "log_seed": sample_hex("log", 64), "org_id": sample_hex("organisation", 32), "size": size,
            "root": if size == 0 { hex(&merkle::root(&[])) } else { sample_hex("root", 32) },
            "time": TIME, "rng_seed": hedge("checkpoint"),
        })
    };
    let successor = json!({
        "root_seed": sample_hex("root", 64), "next_seed": sample_hex("next root", 64),
        "org_id": sample_hex("organisation", 32), "rng_seed": hedge("successor"),
    });
    vec![
        ("log-root-successor".into(), "root-successor", successor),
        ("log-leaves".into(), "log-leaves", json!({ "leaves": leaves })),
        ("checkpoint-empty".into(), "checkpoint", checkpoint(0)),
        ("checkpoint-large".into(), "checkpoint", checkpoint(1_000_000)),
    ]
}

fn cosigned() -> Vec<Draft> {
    // Text and time of the example in C2SP tlog-cosignature, under a key of this book.
    let published = json!({
        "witness_seed": sample_hex("witness", 32), "name": "witness.example.com/w1", "time": 1_679_315_147_u64,
        "text": "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
    });
    let own = json!({
        "log_seed": sample_hex("log", 64), "org_id": sample_hex("organisation", 32), "size": 1_000_000,
        "root": sample_hex("root", 32), "time": TIME, "rng_seed": hedge("checkpoint"),
        "witness_seeds": [sample_hex("witness", 32), sample_hex("other witness", 32)],
        "names": ["witness.example.com/w1", "chancery/1/witness/0123456789abcdef"],
        "times": [TIME / 1000 + 7, TIME / 1000 + 5],
    });
    vec![
        ("cosignature-published".into(), "cosignature", published),
        ("cosigned-note".into(), "cosigned-note", own),
    ]
}

fn forks() -> Vec<Draft> {
    let fork = |smaller: usize, wrong: usize, times: [u64; 2]| {
        json!({
            "log_seed": sample_hex("log", 64), "org_id": sample_hex("organisation", 32),
            "leaves": (0..12).map(|at| sample_hex(&format!("leaf {at}"), 32)).collect::<Vec<_>>(),
            "smaller_size": smaller, "wrong_leaf": wrong, "smaller_time": times[0], "larger_time": times[1],
            "rng_seed": hedge("fork"),
        })
    };
    vec![
        ("fork-same-size".into(), "fork-proof", fork(12, 3, [TIME, TIME + 1])),
        ("fork-earlier".into(), "fork-proof", fork(7, 3, [TIME, TIME + 1])),
        ("fork-shrunk".into(), "fork-proof", fork(7, 12, [TIME + 1, TIME])),
    ]
}

/// Body, label and signature of a statement that an issuer or the root signs.
fn signed_statement(inputs: &Inputs<'_>, kind: LeafKind) -> Result<(Label, Signed), String> {
    let (org_id, issuer_id) = (inputs.bytes("org_id")?, inputs.bytes("issuer_id")?);
    let key = book::signer(&inputs.bytes("issuer_seed")?)?;
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let rng = draws.rng();
    Ok(match kind {
        LeafKind::IssuerRevoked => {
            let body = proto::IssuerRevocationBody { org_id, issuer_id };
            (label::SIGN_ISSUER_REVOCATION, sign::sign_issuer_revocation(&key, &body, rng))
        }
        LeafKind::DeviceRevoked | LeafKind::MemberRevoked => {
            let (member_id, device_id) = (inputs.bytes("member_id")?, inputs.bytes("device_id")?);
            let body = proto::RevocationBody { org_id, issuer_id, member_id, device_id };
            (label::SIGN_REVOCATION, sign::sign_revocation(&key, &body, rng))
        }
        LeafKind::Policy => {
            let policy = proto::Policy {
                minimum_suite: inputs.small("minimum_suite")?,
                freshness_ms: inputs.number("freshness_ms")?,
                retention_ms: inputs.number("retention_ms")?,
                disappearing_ms: inputs.number("disappearing_ms")?,
                no_export: inputs.number("no_export")? == 1,
                no_saving_attachments: inputs.number("no_saving_attachments")? == 1,
                max_offline_ms: inputs.number("max_offline_ms")?,
                device_limit: inputs.small("device_limit")?,
                ..proto::Policy::default()
            };
            let sequence = inputs.number("sequence")?;
            let body = proto::PolicyBody { org_id, issuer_id, sequence, policy: Some(policy) };
            (label::SIGN_POLICY, sign::sign_policy(&key, &body, rng))
        }
        LeafKind::GroupSuccessor => {
            let (group_id, member_ids) = (inputs.bytes("group_id")?, inputs.list("member_ids")?);
            let sequence = inputs.number("sequence")?;
            let body = proto::GroupSuccessorBody { org_id, issuer_id, group_id, member_ids, sequence };
            (label::SIGN_GROUP_SUCCESSOR, sign::sign_group_successor(&key, &body, rng))
        }
        LeafKind::Directory | LeafKind::Audit => {
            let body = proto::LogCommitmentBody {
                org_id,
                issuer_id,
                kind: kind.number().into(),
                subject: inputs.bytes("subject")?,
                object: inputs.bytes("object")?,
                commitment: inputs.bytes("commitment")?,
            };
            (label::SIGN_LOG_COMMITMENT, sign::sign_log_commitment(&key, &body, rng))
        }
        _ => return Err("inputs.kind: has a kind of case of its own".into()),
    })
}

fn compute_statement(inputs: &Inputs<'_>) -> Computation {
    let kind = LeafKind::from_number(inputs.small("kind")?).ok_or("inputs.kind: unknown")?;
    let (label, signed) = signed_statement(inputs, kind)?;
    let key = book::signer(&inputs.bytes("issuer_seed")?)?;
    let mut computed = Computed::default();
    computed.via("body", &signed.body);
    computed.via("signed", &book::bound_message(label, key.verifying_key().as_bytes(), &signed.body));
    computed.out("signature", &signed.signature);
    computed.out("statement", &encode(&signed));
    if matches!(kind, LeafKind::Directory | LeafKind::Audit) {
        return Ok(computed);
    }
    let hash = book::hash(label::HASH_LOG_STATEMENT, &[&signed.body, &signed.signature]);
    same("commitment", &hash, &commitment(kind, &signed))?;
    computed.out("commitment", &hash);
    Ok(computed)
}

fn compute_root_successor(inputs: &Inputs<'_>) -> Computation {
    let root = book::signer(&inputs.bytes("root_seed")?)?;
    let next = book::signer(&inputs.bytes("next_seed")?)?;
    let org = OrgId::new(inputs.array("org_id")?);
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = sign::sign_root_successor(&root, &next, &org, draws.rng());
    let accepted = [org.as_bytes().as_slice(), root.verifying_key().as_bytes()].concat();
    let mut computed = Computed::default();
    let next_key = next.verifying_key().as_bytes();
    computed.via("accepted", &book::bound_message(label::SIGN_ROOT_ACCEPTANCE, next_key, &accepted));
    computed.via("body", &signed.body);
    computed.out("statement", &encode(&signed));
    computed.out("commitment", &book::hash(label::HASH_LOG_STATEMENT, &[&signed.body, &signed.signature]));
    Ok(computed)
}

fn compute_leaves(inputs: &Inputs<'_>) -> Computation {
    let list = inputs.0.get("leaves").and_then(Value::as_array).ok_or("inputs.leaves: no list")?;
    let (mut head, mut encoded, mut roots) = (LogHead::default(), Vec::new(), Vec::new());
    let mut hashes: Vec<Hash> = Vec::new();
    for fields in list {
        let fields = Inputs(fields.as_object().ok_or("inputs.leaves: no object")?);
        let leaf = Leaf {
            kind: LeafKind::from_number(fields.small("kind")?).ok_or("kind: unknown")?,
            time: Timestamp::from_millis(fields.number("time")?),
            subject: fields.array("subject")?,
            object: fields.array("object")?,
            issuer: fields.array("issuer")?,
            commitment: fields.array("commitment")?,
        };
        hashes.push(sha256(&[&[0], &leaf.to_bytes()]));
        head.push(&leaf).map_err(|e| e.to_string())?;
        same("root", &head.root(), &merkle::root(&hashes))?;
        encoded.push(hex(&leaf.to_bytes()));
        roots.push(hex(&head.root()));
    }
    let mut computed = Computed::default();
    computed.via("leaf_hashes", json!(hashes.iter().map(|hash| hex(hash)).collect::<Vec<_>>()));
    computed.out("leaves", json!(encoded));
    computed.out("roots", json!(roots));
    Ok(computed)
}

fn compute_checkpoint(inputs: &Inputs<'_>) -> Computation {
    let key = book::signer(&inputs.bytes("log_seed")?)?;
    let org = OrgId::new(inputs.array("org_id")?);
    let state = (inputs.number("size")?, inputs.array("root")?);
    let time = Timestamp::from_millis(inputs.number("time")?);
    let made = Checkpoint::sign(&key, &org, state, time, Draws::new(inputs.array("rng_seed")?).rng());
    let read = Checkpoint::verify(made.note(), &org, key.verifying_key()).map_err(|e| e.to_string())?;
    if read != made {
        return Err("the note does not say what was signed".into());
    }
    let kind: &[u8] = b"\xFFchancery/1 hybrid Ed25519 ML-DSA-65";
    let id = sha256(&[origin(&org).as_bytes(), b"\n", kind, key.verifying_key().as_bytes()]);
    let text = made.note().split_once("\n\n").map(|(text, _)| format!("{text}\n")).unwrap_or_default();
    let mut computed = Computed::default();
    computed.via("key_id", &id[..4]);
    let public = key.verifying_key().as_bytes();
    computed.via("signed", &book::bound_message(label::SIGN_CHECKPOINT, public, text.as_bytes()));
    computed.out("note", json!(made.note()));
    Ok(computed)
}

fn witness(seed: &[u8]) -> Result<WitnessSigningKey, String> {
    let seed = Secret::from_slice(seed).ok_or("inputs.witness_seed: not 32 bytes")?;
    Ok(WitnessSigningKey::from_seed(seed))
}

/// Text of a field.
fn words<'a>(value: Option<&'a Value>, name: &str) -> Result<&'a str, String> {
    value.and_then(Value::as_str).ok_or_else(|| format!("inputs.{name}: no text"))
}

fn compute_cosignature(inputs: &Inputs<'_>) -> Computation {
    let key = witness(&inputs.bytes("witness_seed")?)?;
    let (name, text) = (words(inputs.0.get("name"), "name")?, words(inputs.0.get("text"), "text")?);
    let time = inputs.number("time")?;
    let (public, signature) = (key.verifying_key(), key.sign(time, text));
    public.verify(time, text, &signature).map_err(|e| e.to_string())?;
    let signed = format!("cosignature/v1\ntime {time}\n{text}");
    same("message", signed.as_bytes(), cosignature::message(time, text).as_bytes())?;
    let id = sha256(&[name.as_bytes(), b"\n", &[4], public.as_bytes()]);
    let line = [&id[..4], &time.to_be_bytes(), &signature].concat();
    let mut computed = Computed::default();
    computed.via("key_id", &id[..4]);
    computed.via("signed", signed.as_bytes());
    computed.out("key", public.as_bytes());
    computed.out("line", json!(format!("\u{2014} {name} {}\n", STANDARD.encode(line))));
    Ok(computed)
}

fn compute_cosigned_note(inputs: &Inputs<'_>) -> Computation {
    let key = book::signer(&inputs.bytes("log_seed")?)?;
    let org = OrgId::new(inputs.array("org_id")?);
    let state = (inputs.number("size")?, inputs.array("root")?);
    let time = Timestamp::from_millis(inputs.number("time")?);
    let mut note = Checkpoint::sign(&key, &org, state, time, Draws::new(inputs.array("rng_seed")?).rng());
    let list =
        |name: &str| inputs.0.get(name).and_then(Value::as_array).ok_or(format!("inputs.{name}: no list"));
    let (names, times) = (list("names")?, list("times")?);
    let mut keys = Vec::new();
    for ((seed, name), time) in inputs.list("witness_seeds")?.iter().zip(names).zip(times) {
        let (key, time) = (witness(seed)?, time.as_u64().ok_or("inputs.times: no number")?);
        keys.push(key.verifying_key());
        let cosigned = note.cosign(words(Some(name), "names")?, &key, time).map_err(|e| e.to_string())?;
        note = note.add_cosignatures(&cosigned, &keys).map_err(|e| e.to_string())?.ok_or("nothing new")?;
    }
    let read = Checkpoint::verify(note.note(), &org, key.verifying_key()).map_err(|e| e.to_string())?;
    let seen: Vec<u64> = read.cosignatures(&keys).iter().map(|it| it.time).collect();
    let mut computed = Computed::default();
    computed.out("witnesses", json!(keys.iter().map(|key| hex(key.as_bytes())).collect::<Vec<_>>()));
    computed.out("note", json!(note.note()));
    computed.out("seen", json!(seen));
    Ok(computed)
}

fn compute_fork(inputs: &Inputs<'_>) -> Computation {
    let key = book::signer(&inputs.bytes("log_seed")?)?;
    let org = OrgId::new(inputs.array("org_id")?);
    let leaves: Option<Vec<Hash>> =
        inputs.list("leaves")?.into_iter().map(|leaf| leaf.try_into().ok()).collect();
    let leaves = leaves.ok_or("inputs.leaves: not 32 bytes each")?;
    let mut others = leaves.clone();
    let size = usize::try_from(inputs.number("smaller_size")?).map_err(|e| e.to_string())?;
    let wrong = usize::try_from(inputs.number("wrong_leaf")?).map_err(|e| e.to_string())?;
    if let Some(leaf) = others.get_mut(wrong) {
        *leaf = [0; 32];
    }
    others.truncate(size);
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let mut sign = |leaves: &[Hash], time: &str| {
        let time = Timestamp::from_millis(inputs.number(time)?);
        Ok::<_, String>(Checkpoint::sign(
            &key,
            &org,
            (leaves.len() as u64, merkle::root(leaves)),
            time,
            draws.rng(),
        ))
    };
    let (smaller, larger) = (sign(&others, "smaller_time")?, sign(&leaves, "larger_time")?);
    let proof = prove_fork(&smaller, &larger, &leaves).ok_or("the two agree")?;
    verify_fork(&proof, &org, key.verifying_key()).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.via("smaller", json!(smaller.note()));
    computed.via("larger", json!(larger.note()));
    computed.out("log_key", key.verifying_key().as_bytes());
    computed.out("proof", &encode(&proof));
    Ok(computed)
}
