//! What an implementation has to make of a log: a replay with entries that are refused, the proof that a device was ended, and
//! what an administrative act is committed to with.

use std::collections::{BTreeMap, BTreeSet};

use chancery_crypto::label;
use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::SigningKey;
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead, commitment};
use chancery_identity::{Authority, Capabilities, Issuer, IssuerId, LogError, OrgId, Organisation, sign};
use chancery_wire::proto::{self, Signed};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};
use serde_json::{Map, Value, json};

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex};

pub(super) const PLANS: &[Plan] = &[("log-replay", log_replay)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "administrative-act", requirements: &["R-ORG-46"], compute: compute_act },
    Kind {
        name: "log-replay",
        requirements: &["R-LOG-2", "R-LOG-3", "R-LOG-4", "R-LOG-6"],
        compute: compute_replay,
    },
    Kind { name: "revoked", requirements: &["R-ENGINE-37", "R-LOG-4", "R-LOG-5"], compute: compute_revoked },
];

const TIME: u64 = 1_800_000_000_000;

fn log_replay() -> Vec<Draft> {
    let act = json!({
        "time": TIME, "actor": "ann", "action": "offboard", "target": "alice", "before": "2 devices",
        "after": "ended", "salt": sample_hex("salt of the act", 32),
    });
    let bare = json!({
        "time": TIME, "actor": "", "action": "desk renew", "target": "", "before": "", "after": "",
        "salt": sample_hex("another salt", 32),
    });
    let mut drafts: Vec<Draft> = vec![
        ("administrative-act".into(), "administrative-act", act),
        ("administrative-act-bare".into(), "administrative-act", bare),
        ("log-replay-small".into(), "log-replay", small_log()),
    ];
    drafts.extend(revocations());
    drafts
}

/// Everything that a replay refuses beside what it takes.
fn small_log() -> Value {
    let (one, two) = (sample_hex("member one", 16), sample_hex("member two", 16));
    let device = |name: &str| sample_hex(&format!("device {name}"), 16);
    let commit = |name: &str| sample_hex(&format!("commitment {name}"), 32);
    let credential = |by: &str, time: u64, member: &str, name: &str| {
        json!({ "kind": 4, "by": by, "time": TIME + time, "member_id": member, "device_id": device(name),
            "commitment": commit(name) })
    };
    let end = |kind: u8, by: &str, time: u64, member: &str, device: &str| json!({ "kind": kind, "by": by, "time": TIME + time, "member_id": member, "device_id": device });
    let entry = |time: u64, version: u64| {
        json!({ "kind": 9, "by": "desk", "time": TIME + time, "member_id": one, "version": version,
            "commitment": commit(&format!("entry {version}")) })
    };
    let policy = |by: &str, time: u64, sequence: u64| json!({ "kind": 7, "by": by, "time": TIME + time, "sequence": sequence, "device_limit": 4 });
    let about = |kind: u8, by: &str, time: u64, issuer: &str| json!({ "kind": kind, "by": by, "time": TIME + time, "issuer": issuer });
    let forged = |mut entry: Value| {
        entry["signer"] = "stranger".into();
        entry
    };
    let entries = [
        about(2, "root", 0, "desk"),
        about(2, "root", 0, "admin"),
        about(2, "root", 0, "short"),
        about(2, "root", 1, "desk"),
        forged(about(2, "root", 1, "stranger")),
        credential("desk", 1, &one, "1"),
        credential("desk", 1, &one, "1"),
        credential("stranger", 1, &one, "2"),
        credential("admin", 1, &one, "2"),
        credential("desk", 0, &one, "2"),
        credential("short", 2, &one, "2"),
        credential("short", 1000, &one, "3"),
        entry(1000, 5),
        entry(1001, 5),
        entry(1001, 4),
        entry(1001, 6),
        json!({ "kind": 10, "by": "desk", "time": TIME + 1002, "member_id": one, "commitment": commit("act") }),
        policy("admin", 1003, 2),
        policy("admin", 1003, 2),
        policy("admin", 1003, 1),
        policy("desk", 1003, 3),
        forged(policy("admin", 1003, 3)),
        policy("admin", 1003, 7),
        end(5, "desk", 1004, &two, &device("1")),
        end(5, "desk", 1004, &one, &device("1")),
        end(5, "admin", 1005, &one, &device("1")),
        end(6, "desk", 1005, &one, ""),
        end(6, "admin", 1005, &one, ""),
        end(6, "admin", 1006, &one, ""),
        credential("desk", 1006, &one, "4"),
        credential("desk", 1006, &two, "4"),
        about(3, "root", 1007, "admin"),
        about(3, "root", 1008, "admin"),
        about(3, "root", 1008, "stranger"),
        policy("admin", 1008, 8),
        end(6, "admin", 1008, &two, ""),
        about(2, "root", 1008, "admin"),
        entry(1009, 7),
    ];
    with_issuers(&entries)
}

/// The whole of a small log's inputs.
fn with_issuers(entries: &[Value]) -> Value {
    let issuer = |name: &str, capabilities: Capabilities, not_after: u64| json!({ "seed": sample_hex(&format!("seed of {name}"), 64), "capabilities": capabilities.bits(), "not_before": TIME - 1000, "not_after": not_after });
    let all = Capabilities::OFFBOARD.union(Capabilities::POLICY);
    json!({
        "root_seed": sample_hex("root", 64),
        "issuers": {
            "desk": issuer("desk", Capabilities::ENROL, TIME + 1_000_000),
            "admin": issuer("admin", all, TIME + 1_000_000),
            "short": issuer("short", Capabilities::ENROL, TIME + 500),
            "stranger": issuer("stranger", Capabilities::ENROL.union(all), TIME + 1_000_000),
        },
        "entries": entries,
        "rng_seed": sample_hex("hedge replay", 32),
    })
}

fn revocations() -> Vec<Draft> {
    let case = |name: &str, changes: Value| {
        let mut inputs = json!({
            "root_seed": sample_hex("root", 64), "issuer_seed": sample_hex("seed of admin", 64),
            "capabilities": Capabilities::OFFBOARD.bits(), "log_seed": sample_hex("log", 64),
            "checkpoint_seed": sample_hex("log", 64), "kind": 5, "time": TIME,
            "member_id": sample_hex("member", 16), "device_id": sample_hex("device", 16),
            "own_member_id": sample_hex("member", 16), "own_device_id": sample_hex("device", 16),
            "index": 4, "shown_index": 4, "leaves": (0..9).map(|at| sample_hex(&format!("leaf {at}"), 32)).collect::<Vec<_>>(),
            "flip_signature": 0, "flip_proof": 0, "rng_seed": sample_hex("hedge revoked", 32),
        });
        for (field, value) in changes.as_object().expect("named") {
            inputs[field] = value.clone();
        }
        (format!("revoked-{name}"), "revoked", inputs)
    };
    let of_member = json!({ "kind": 6, "device_id": "", "index": 8, "shown_index": 8 });
    let another = json!({ "own_device_id": sample_hex("another device", 16) });
    vec![
        case("device", json!({})),
        case("member", of_member),
        case("another-device", another),
        case("changed-statement", json!({ "flip_signature": 1 })),
        case("wrong-proof", json!({ "flip_proof": 1 })),
        case("wrong-place", json!({ "shown_index": 5 })),
        case("another-log", json!({ "checkpoint_seed": sample_hex("another log", 64) })),
        case("without-permission", json!({ "capabilities": Capabilities::GROUPS.bits() })),
    ]
}

fn compute_act(inputs: &Inputs<'_>) -> Computation {
    let act = encode(&proto::AdministrativeAct {
        time: inputs.number("time")?,
        actor: inputs.text("actor")?.to_owned(),
        action: inputs.text("action")?.to_owned(),
        target: inputs.text("target")?.to_owned(),
        before: inputs.text("before")?.to_owned(),
        after: inputs.text("after")?.to_owned(),
        salt: inputs.array::<32>("salt")?.to_vec(),
    });
    let mut computed = Computed::default();
    computed.via("act", &act);
    computed.out("commitment", &book::hash(label::HASH_ADMINISTRATIVE_ACT, &[&act]));
    Ok(computed)
}

/// An issuer of a small log.
struct Named {
    key: SigningKey,
    certificate: Signed,
    id: IssuerId,
}

fn certify(
    (root, org): (&SigningKey, &OrgId),
    seed: &[u8],
    fields: &Inputs<'_>,
    rng: &mut dyn CryptoRng,
) -> Result<Named, String> {
    let key = book::signer(seed)?;
    let body = proto::IssuerBody {
        suite: 1,
        org_id: org.as_bytes().to_vec(),
        key: key.verifying_key().as_bytes().to_vec(),
        capabilities: fields.small("capabilities")?,
        not_before: fields.number("not_before")?,
        not_after: fields.number("not_after")?,
    };
    let certificate = sign::sign_issuer(root, &body, rng);
    let id = Issuer::id_of(&certificate);
    Ok(Named { key, certificate, id })
}

/// The organisation as whoever replays knows it before the first entry.
fn anchor(root: &SigningKey) -> Result<Organisation, String> {
    let root_key = root.verifying_key().as_bytes().to_vec();
    let document = proto::Organisation { root_key, ..proto::Organisation::default() };
    Organisation::verify(Unverified::new(document), None).map_err(|e| e.to_string())
}

fn object<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.and_then(Value::as_object).ok_or_else(|| format!("{what}: no object"))
}

/// A small log on its way.
struct Small {
    root: SigningKey,
    org: OrgId,
    issuers: BTreeMap<String, Named>,
    draws: Draws,
}

impl Small {
    fn new(inputs: &Inputs<'_>) -> Result<Self, String> {
        let root = book::signer(&inputs.bytes("root_seed")?)?;
        let org = OrgId::of(root.verifying_key());
        let mut draws = Draws::new(inputs.array("rng_seed")?);
        let mut issuers = BTreeMap::new();
        for (name, fields) in object(inputs.0.get("issuers"), "inputs.issuers")? {
            let fields = Inputs(object(Some(fields), name)?);
            let seed = fields.bytes("seed")?;
            issuers.insert(name.clone(), certify((&root, &org), &seed, &fields, draws.rng())?);
        }
        Ok(Self { root, org, issuers, draws })
    }

    fn named(&self, name: &str) -> Result<&Named, String> {
        self.issuers.get(name).ok_or_else(|| format!("no issuer {name}"))
    }

    /// Makes an entry, honest or not.
    fn entry(&mut self, fields: &Inputs<'_>) -> Result<(Leaf, Option<Signed>), String> {
        let kind = LeafKind::from_number(fields.small("kind")?).ok_or("kind: unknown")?;
        let time = Timestamp::from_millis(fields.number("time")?);
        let by = fields.text("by")?;
        let issuer = if by == "root" { [0; 16] } else { half(&self.named(by)?.id) };
        let mut leaf = Leaf { kind, time, subject: [0; 16], object: [0; 16], issuer, commitment: [0; 32] };
        if !kind.is_shown() {
            leaf.commitment = fields.array("commitment")?;
            (leaf.subject, leaf.object) = match kind {
                LeafKind::Credential => (fields.array("device_id")?, fields.array("member_id")?),
                LeafKind::Directory => {
                    let mut object = [0; 16];
                    object[..8].copy_from_slice(&fields.number("version")?.to_be_bytes());
                    (fields.array("member_id")?, object)
                }
                _ => (fields.array("member_id")?, [0; 16]),
            };
            return Ok((leaf, None));
        }
        let content = self.statement(kind, fields, &mut leaf)?;
        leaf.commitment = commitment(kind, &content);
        Ok((leaf, Some(content)))
    }

    fn statement(&mut self, kind: LeafKind, fields: &Inputs<'_>, leaf: &mut Leaf) -> Result<Signed, String> {
        let Self { root, org, issuers, draws } = self;
        let named = |name: &str| issuers.get(name).ok_or_else(|| format!("no issuer {name}"));
        let by = || named(fields.text("by")?).map(|it| it.id.as_bytes().to_vec());
        let key = match fields.text("signer").or_else(|_| fields.text("by"))? {
            "root" => &*root,
            name => &named(name)?.key,
        };
        let (org_id, rng) = (org.as_bytes().to_vec(), draws.rng());
        Ok(match kind {
            LeafKind::Issuer => {
                let named = named(fields.text("issuer")?)?;
                leaf.subject = half(&named.id);
                match fields.text("signer") {
                    Ok(_) => {
                        let body = decode::<proto::IssuerBody>(&named.certificate.body, Limit::STATEMENT);
                        let body = body.map_err(|e| e.to_string())?.into_unchecked();
                        let forged = sign::sign_issuer(key, &body, rng);
                        leaf.subject = half(&Issuer::id_of(&forged));
                        forged
                    }
                    Err(_) => named.certificate.clone(),
                }
            }
            LeafKind::IssuerRevoked => {
                let id = named(fields.text("issuer")?)?.id;
                leaf.subject = half(&id);
                let body = proto::IssuerRevocationBody { org_id, issuer_id: id.as_bytes().to_vec() };
                sign::sign_issuer_revocation(key, &body, rng)
            }
            LeafKind::DeviceRevoked | LeafKind::MemberRevoked => {
                let (member, device) = (fields.array("member_id")?, fields.bytes("device_id")?);
                (leaf.subject, leaf.object) = match <[u8; 16]>::try_from(device.as_slice()) {
                    Ok(device) => (device, member),
                    Err(_) => (member, [0; 16]),
                };
                let member_id = member.to_vec();
                let body = proto::RevocationBody { org_id, issuer_id: by()?, member_id, device_id: device };
                sign::sign_revocation(key, &body, rng)
            }
            LeafKind::Policy => {
                let policy = proto::Policy {
                    minimum_suite: 1,
                    freshness_ms: 604_800_000,
                    device_limit: fields.small("device_limit")?,
                    ..proto::Policy::default()
                };
                let sequence = fields.number("sequence")?;
                let body = proto::PolicyBody { org_id, issuer_id: by()?, sequence, policy: Some(policy) };
                sign::sign_policy(key, &body, rng)
            }
            _ => return Err("kind: none of a small log".into()),
        })
    }
}

fn half(id: &IssuerId) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&id.as_bytes()[..16]);
    half
}

/// What R-LOG-6 has checked of entries beside their statements.
#[derive(Default)]
struct Seen {
    devices: BTreeMap<[u8; 16], [u8; 16]>,
    ended: BTreeSet<[u8; 16]>,
    versions: BTreeMap<[u8; 16], [u8; 16]>,
}

impl Seen {
    fn check(&self, leaf: &Leaf) -> Result<(), LogError> {
        let is_member_gone = self.ended.contains(&leaf.object);
        let is_second = self.devices.contains_key(&leaf.subject);
        let is_anothers = self.devices.get(&leaf.subject).is_some_and(|member| *member != leaf.object);
        match leaf.kind {
            LeafKind::Credential if is_second || is_member_gone => Err(LogError::Duplicate),
            LeafKind::DeviceRevoked if is_anothers => Err(LogError::NotAuthentic),
            LeafKind::DeviceRevoked | LeafKind::MemberRevoked if self.ended.contains(&leaf.subject) => {
                Err(LogError::Duplicate)
            }
            LeafKind::Directory if self.versions.get(&leaf.subject).is_some_and(|it| *it >= leaf.object) => {
                Err(LogError::OutOfOrder)
            }
            _ => Ok(()),
        }
    }

    fn take(&mut self, leaf: &Leaf) {
        match leaf.kind {
            LeafKind::Credential => drop(self.devices.insert(leaf.subject, leaf.object)),
            LeafKind::DeviceRevoked | LeafKind::MemberRevoked => drop(self.ended.insert(leaf.subject)),
            LeafKind::Directory => drop(self.versions.insert(leaf.subject, leaf.object)),
            _ => {}
        }
    }
}

fn compute_replay(inputs: &Inputs<'_>) -> Computation {
    let mut small = Small::new(inputs)?;
    let (mut authority, mut head) = (Authority::new(&anchor(&small.root)?), LogHead::default());
    let (mut seen, mut entries, mut hashes) = (Seen::default(), Vec::new(), Vec::new());
    let list = inputs.0.get("entries").and_then(Value::as_array).ok_or("inputs.entries: no list")?;
    for fields in list {
        let (leaf, content) = small.entry(&Inputs(object(Some(fields), "inputs.entries")?))?;
        // A reader drops the whole page; here what is refused is left out, and the next is tried.
        let (mut next, mut tree) = (authority.clone(), head.clone());
        let taken = tree
            .push(&leaf)
            .and_then(|()| next.apply(head.size(), &leaf, content.as_ref()).map(drop))
            .and_then(|()| seen.check(&leaf));
        let index = taken.is_ok().then(|| head.size());
        if taken.is_ok() {
            (authority, head) = (next, tree);
            seen.take(&leaf);
            hashes.push(leaf.hash());
        }
        entries.push(json!({
            "leaf": hex(&leaf.to_bytes()),
            "content": content.map(|content| hex(&encode(&content))),
            "index": index,
            "refused": taken.err().map(|error| error.to_string()),
        }));
    }
    super::same("root", &head.root(), &merkle::root(&hashes))?;
    let mut computed = Computed::default();
    let ids = small.issuers.iter().map(|(name, it)| (name.clone(), json!(hex(it.id.as_bytes()))));
    computed.via("issuer_ids", Value::Object(ids.collect()));
    computed.out("root_key", small.root.verifying_key().as_bytes());
    computed.out("entries", Value::Array(entries));
    computed.out("size", json!(head.size()));
    computed.out("root", &head.root());
    computed.out("policy_sequence", json!(authority.policy_sequence()));
    Ok(computed)
}

fn compute_revoked(inputs: &Inputs<'_>) -> Computation {
    let root = book::signer(&inputs.bytes("root_seed")?)?;
    let org = OrgId::of(root.verifying_key());
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let dates = json!({
        "capabilities": inputs.small("capabilities")?, "not_before": TIME - 1000, "not_after": TIME + 1000,
    });
    let dates = Inputs(object(Some(&dates), "dates")?);
    let issuer = certify((&root, &org), &inputs.bytes("issuer_seed")?, &dates, draws.rng())?;
    let kind = LeafKind::from_number(inputs.small("kind")?).ok_or("inputs.kind: unknown")?;
    let (member, device) = (inputs.array("member_id")?, inputs.bytes("device_id")?);
    let body = proto::RevocationBody {
        org_id: org.as_bytes().to_vec(),
        issuer_id: issuer.id.as_bytes().to_vec(),
        member_id: member.to_vec(),
        device_id: device.clone(),
    };
    let mut statement = sign::sign_revocation(&issuer.key, &body, draws.rng());
    let time = Timestamp::from_millis(inputs.number("time")?);
    let (subject, object) = <[u8; 16]>::try_from(device).map_or((member, [0; 16]), |device| (device, member));
    let commitment = commitment(kind, &statement);
    let leaf = Leaf { kind, time, subject, object, issuer: half(&issuer.id), commitment };
    let leaves: Option<Vec<Hash>> =
        inputs.list("leaves")?.into_iter().map(|leaf| leaf.try_into().ok()).collect();
    let mut leaves = leaves.ok_or("inputs.leaves: not 32 bytes each")?;
    let index = usize::try_from(inputs.number("index")?).map_err(|e| e.to_string())?;
    *leaves.get_mut(index).ok_or("inputs.index: too large")? = leaf.hash();
    let mut proof = merkle::inclusion_proof(&leaves, index).ok_or("inputs.index: too large")?;
    if let (1, Some(last)) = (inputs.number("flip_signature")?, statement.signature.last_mut()) {
        *last ^= 1;
    }
    if let (1, Some(first)) = (inputs.number("flip_proof")?, proof.first_mut()) {
        first[0] ^= 1;
    }
    let log = book::signer(&inputs.bytes("checkpoint_seed")?)?;
    let state = (leaves.len() as u64, merkle::root(&leaves));
    let note = Checkpoint::sign(&log, &org, state, time, draws.rng()).note().to_owned();
    let revoked = proto::Revoked {
        leaf: leaf.to_bytes().to_vec(),
        statement: Some(statement),
        index: inputs.number("shown_index")?,
        proof: proof.iter().map(|hash| hash.to_vec()).collect(),
        note,
    };
    let mut authority = Authority::new(&anchor(&root)?);
    let first = Leaf {
        kind: LeafKind::Issuer,
        time,
        subject: half(&issuer.id),
        object: [0; 16],
        issuer: [0; 16],
        commitment: chancery_identity::log::commitment(LeafKind::Issuer, &issuer.certificate),
    };
    authority.apply(0, &first, Some(&issuer.certificate)).map_err(|e| e.to_string())?;
    let believed = verify_revoked(inputs, authority, (&org, &leaf), &revoked)?;
    let mut computed = Computed::default();
    computed.via("issuer", &encode(&issuer.certificate));
    computed.out("revoked", &encode(&revoked));
    computed.out("log_key", book::signer(&inputs.bytes("log_seed")?)?.verifying_key().as_bytes());
    computed.out("refused", json!(believed.err().map(|error| error.to_string())));
    Ok(computed)
}

/// What R-ENGINE-37 has a device check before it destroys anything.
fn verify_revoked(
    inputs: &Inputs<'_>,
    mut authority: Authority,
    (org, leaf): (&OrgId, &Leaf),
    revoked: &proto::Revoked,
) -> Result<Result<(), LogError>, String> {
    let own: ([u8; 16], [u8; 16]) = (inputs.array("own_member_id")?, inputs.array("own_device_id")?);
    let is_own = match leaf.kind {
        LeafKind::DeviceRevoked => (leaf.object, leaf.subject) == own,
        _ => leaf.subject == own.0,
    };
    let key = book::signer(&inputs.bytes("log_seed")?)?;
    let proof: Vec<Hash> = revoked.proof.iter().filter_map(|hash| hash.as_slice().try_into().ok()).collect();
    Ok((|| {
        if !is_own {
            return Err(LogError::NotPermitted);
        }
        let checkpoint = Checkpoint::verify(&revoked.note, org, key.verifying_key())?;
        authority.apply(revoked.index, leaf, revoked.statement.as_ref())?;
        let (root, size) = (checkpoint.root(), checkpoint.size());
        let is_there = merkle::verify_inclusion(root, size, revoked.index, &leaf.hash(), &proof);
        if is_there { Ok(()) } else { Err(LogError::NotAuthentic) }
    })())
}
