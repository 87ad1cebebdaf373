//! Entries, infos, and the name of a roster.

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::seeded;
use chancery_group::{Entry, Info, Keying, Role, Rows as _};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::{encode, proto};
use serde_json::{Value, json};

use super::super::book::{sample, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::state::{BookRoster, Results, items, result, roster};
use crate::crew::{Crew, member};

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "group-entry", requirements: &["R-GROUP-1", "R-GROUP-2"], compute: compute_entry },
    Kind { name: "group-entry-read", requirements: &["R-GROUP-1"], compute: read_entries },
    Kind { name: "group-info-read", requirements: &["R-GROUP-3"], compute: read_infos },
    Kind { name: "group-roster", requirements: &["R-GROUP-2", "R-GROUP-25"], compute: compute_roster },
];

pub(super) fn drafts() -> Vec<Draft> {
    let entry = |name: &str, role: u8, added: u64| {
        json!({
            "member_id": sample_hex("group member", 16), "device_id": sample_hex(name, 16), "role": role,
            "credential_hash": sample_hex("group credential", 32), "group_key": sample_hex("group key", 32),
            "added": added,
        })
    };
    let mut drafts: Vec<Draft> = [(1, 1), (2, 258), (3, 1 << 40), (4, u64::MAX)]
        .into_iter()
        .map(|(role, added)| {
            (format!("group-entry-role-{role}"), "group-entry", entry("device", role, added))
        })
        .collect();
    let sound = sample("group entry", 105);
    let of = |role: u8, length: usize| {
        let mut entry = sound.clone();
        entry[96] = role;
        entry.resize(length, 0);
        hex(&entry)
    };
    let entries = json!([
        { "name": "owner", "entry": of(4, 105) }, { "name": "role 0", "entry": of(0, 105) },
        { "name": "role 5", "entry": of(5, 105) }, { "name": "too short", "entry": of(4, 104) },
        { "name": "too long", "entry": of(4, 106) },
    ]);
    drafts.push(("group-entries-read".into(), "group-entry-read", json!({ "entries": entries })));
    drafts.push(("group-infos-read".into(), "group-info-read", json!({ "infos": infos() })));
    let empty = BookRoster { info: info_of("Crew", |_| {}), ..BookRoster::default() };
    drafts.push(("group-roster-empty".into(), "group-roster", draft_of(&empty)));
    drafts.extend(rosters());
    drafts
}

fn draft_of(roster: &BookRoster) -> Value {
    let rows: Vec<_> = roster.rows.iter().map(|row| hex(row)).collect();
    let (info, dead, orders) = (hex(&roster.info), hex(&roster.dead), hex(&roster.orders));
    json!({ "info": info, "dead": dead, "orders": orders, "entries": rows })
}

/// Rosters of groups as they come about: one, several, with a gap, with dead nodes; and the last slot.
fn rosters() -> Vec<Draft> {
    let rng = &mut seeded([31; 32]);
    let mut crew = Crew::new(31, &[0, 1, 2, 2, 3]);
    crew.found(0, rng);
    let mut all = vec![("one", roster(crew.devices[0].rows.as_ref().expect("inside")))];
    let adds = (1..5).map(|device| crew.add(device, Role::Member)).collect();
    let sent = crew.commit(0, adds, Keying::Tree, rng).expect("allowed");
    crew.deliver(0, sent);
    all.push(("five", roster(crew.devices[0].rows.as_ref().expect("inside"))));
    crew.log.end_member(&member(1));
    let sent = crew.commit(4, Vec::new(), Keying::HandOut, rng).expect("allowed");
    crew.deliver(4, sent);
    let rows = crew.devices[0].rows.as_ref().expect("inside");
    let after = roster(rows);
    assert_eq!(after.root(), rows.hash(chancery_group::Node::ROOT).expect("in memory"));
    let mut last = after.clone();
    last.rows.push([16_383_u16.to_be_bytes().as_slice(), &last.rows[0][2..]].concat());
    last.orders = [sample("order 1", 32), 9_u64.to_be_bytes().to_vec()].concat();
    all.extend([("with-dead-nodes", after), ("last-slot", last)]);
    let draft = |(name, roster): (&str, BookRoster)| {
        (format!("group-roster-{name}"), "group-roster", draft_of(&roster))
    };
    all.into_iter().map(draft).collect()
}

fn info_of(name: &str, change: impl FnOnce(&mut proto::GroupInfo)) -> Vec<u8> {
    let mut info = proto::GroupInfo { name: name.to_owned(), ..Default::default() };
    change(&mut info);
    encode(&info)
}

fn infos() -> Value {
    let full = |info: &mut proto::GroupInfo| {
        (info.retention_ms, info.disappearing_ms, info.posting) = (1, u64::MAX, 1);
        (info.history, info.heal_ms, info.dissolved) = (100, 86_400_000, true);
    };
    let all = [
        ("plain", info_of("Crew", |_| {})),
        ("everything", info_of("Zoë 東京", full)),
        ("field that is not known", [info_of("Crew", |_| {}), vec![0xF8, 0x01, 1]].concat()),
        ("no name", info_of("", |_| {})),
        ("name with a control character", info_of("a\u{7}b", |_| {})),
        ("name with a mark of direction", info_of("a\u{202E}b", |_| {})),
        ("posting 2", info_of("Crew", |it| it.posting = 2)),
        ("history 101", info_of("Crew", |it| it.history = 101)),
        ("requires a policy", info_of("Crew", |it| it.required = vec![1])),
        ("too long", info_of(&"x".repeat(2_600), |_| {})),
        ("cut", info_of("Crew", |_| {})[..4].to_vec()),
    ];
    all.iter().map(|(name, info)| json!({ "name": name, "info": hex(info) })).collect()
}

fn compute_entry(inputs: &Inputs<'_>) -> Computation {
    let role = inputs.small("role")?;
    let entry = Entry {
        member: MemberId::new(inputs.array("member_id")?),
        device: DeviceId::new(inputs.array("device_id")?),
        credential: inputs.array("credential_hash")?,
        group_key: inputs.array("group_key")?,
        role: Role::from_u32(role).ok_or("inputs.role: not known")?,
        added: inputs.number("added")?,
    };
    let mut book = Vec::new();
    for name in ["member_id", "device_id", "credential_hash", "group_key"] {
        book.extend(inputs.bytes(name)?);
    }
    book.push(u8::try_from(role).map_err(|e| e.to_string())?);
    book.extend(inputs.number("added")?.to_be_bytes());
    same("entry", &entry.to_bytes(), &book)?;
    let hash = sha256(&[&[0], &book]);
    same("hash", &entry.hash(), &hash)?;
    let mut computed = Computed::default();
    computed.via("add", &encode(&entry.to_add()));
    computed.out("entry", &book);
    computed.out("hash", &hash);
    Ok(computed)
}

fn read_entries(inputs: &Inputs<'_>) -> Computation {
    let mut results = Results::new();
    for item in items(inputs, "entries")? {
        let read = Entry::from_bytes(&item.bytes("entry")?).ok_or("no entry".to_owned());
        results.push(result(item.text("name")?, read.map(|_| Value::Null)));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

fn read_infos(inputs: &Inputs<'_>) -> Computation {
    let mut results = Results::new();
    for item in items(inputs, "infos")? {
        let read = Info::from_bytes(&item.bytes("info")?).map_err(|e| e.to_string());
        let read = read.map(|info| json!({ "title": info.name.as_str() }));
        results.push(result(item.text("name")?, read));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}

fn compute_roster(inputs: &Inputs<'_>) -> Computation {
    let roster = BookRoster {
        info: inputs.bytes("info")?,
        dead: inputs.bytes("dead")?,
        orders: inputs.bytes("orders")?,
        rows: inputs.list("entries")?,
    };
    let hash = |(node, hash): (&chancery_group::Node, &[u8; 32])| json!({ "node": hex(&node.to_bytes()), "hash": hex(hash) });
    let mut computed = Computed::default();
    computed.via("hashes", roster.hashes().iter().map(hash).collect::<Value>());
    computed.out("root", &roster.root());
    computed.out("roster", &roster.name());
    computed.out("snapshot", &roster.snapshot());
    Ok(computed)
}
