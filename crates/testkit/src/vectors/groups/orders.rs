//! Orders of issuers, and leaving.

use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_group::{Group, GroupOrder, Role, leave};
use chancery_wire::{Limit, decode, encode, proto};
use proto::group_ordered::Change;
use serde_json::{Value, json};

use super::super::book::{self, Draws, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::forged::crew;
use super::state::{Results, group, items, part, read_group, read_world, result, world};
use crate::crew::{Crew, GROUP, NOW, info, member};

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "group-order", requirements: &["R-GROUP-9"], compute },
    Kind { name: "group-order-read", requirements: &["R-GROUP-9"], compute: read },
];

const DAY: u64 = 86_400_000;

fn change(change: Change) -> proto::GroupOrdered {
    proto::GroupOrdered { change: Some(change) }
}

fn removal(number: u8) -> proto::GroupOrdered {
    change(Change::Remove(member(number).as_bytes().to_vec()))
}

fn body(crew: &Crew) -> proto::GroupOrderBody {
    proto::GroupOrderBody {
        org_id: crew.organisation.id().as_bytes().to_vec(),
        issuer_id: crew.orders.as_bytes().to_vec(),
        device_id: Vec::new(),
        group_id: GROUP.to_vec(),
        epoch: 0,
        expires: NOW.as_millis() + 7 * DAY,
        changes: vec![removal(3)],
    }
}

/// An issuer's order, with something different in it.
pub(super) fn issued(
    crew: &Crew,
    change: impl FnOnce(&mut proto::GroupOrderBody),
    rng: &mut dyn CryptoRng,
) -> proto::Signed {
    let mut body = body(crew);
    change(&mut body);
    chancery_group::sign_order(&crew.orders_key(), &body, rng)
}

pub(super) fn drafts() -> Vec<Draft> {
    let (mut crew, _) = crew(45);
    let make = |name: &str, seed: &[u8], body: &proto::GroupOrderBody| {
        let inputs = json!({
            "signing_seed": hex(seed), "body": hex(&encode(body)), "rng_seed": sample_hex(&format!("order {name}"), 32),
        });
        (format!("group-order-{name}"), "group-order", inputs)
    };
    let mut everything = body(&crew);
    let add = chancery_group::add(&crew.devices[5].credential, Role::Member);
    let Some(proto::group_change::Change::Add(add)) = add.change else { panic!("an addition") };
    let role = proto::GroupSetRole { member_id: member(2).as_bytes().to_vec(), role: 3 };
    everything.changes.extend([
        change(Change::Add(add)),
        change(Change::SetRole(role)),
        change(Change::SetInfo(info("Ours").to_bytes())),
    ]);
    let mut leaving = body(&crew);
    (leaving.issuer_id, leaving.device_id, leaving.epoch) = (Vec::new(), crew.id(4).as_bytes().to_vec(), 2);
    let keys = crew.devices[4].keys();
    let mut drafts = vec![
        make("issuer", crew.orders_key().seed().expose(), &everything),
        make("leaving", keys.signing.seed().expose(), &leaving),
    ];
    crew.log.end_device(&crew.devices[3].credential.clone());
    drafts.push(reading("read", &crew));
    crew.log.push(
        chancery_identity::log::LeafKind::IssuerRevoked,
        (chancery_identity::log::short_issuer(&crew.orders), [0; 16]),
        [0; 16],
        [9; 32],
    );
    drafts.push(reading("of-an-ended-issuer", &crew));
    drafts
}

fn reading(name: &str, crew: &Crew) -> Draft {
    let rng: &mut dyn CryptoRng = &mut seeded([46; 32]);
    let rows = crew.devices[0].rows.as_ref().expect("inside");
    let now = rows.head.log_size;
    let mut inputs = world(crew);
    inputs.insert("group_id".into(), json!(hex(&GROUP)));
    inputs.insert("group".into(), group(rows));
    inputs.insert("log_size".into(), json!(crew.log.size_now()));
    let time = |entries: u64| NOW.as_millis() + 1_000 * (entries - 1);
    let last = time(crew.log.size_now());
    assert!(now < crew.log.size_now());
    let all = [issuers(crew, last, rng), members(crew, rng)].concat();
    let all: Value =
        all.iter().map(|(name, it)| json!({ "name": name, "order": hex(&encode(it)) })).collect();
    inputs.insert("orders".into(), all);
    (format!("group-orders-{name}"), "group-order-read", Value::Object(inputs))
}

type Named = (&'static str, proto::Signed);

fn issuers(crew: &Crew, last: u64, rng: &mut dyn CryptoRng) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    let mut add = |name, change: &dyn Fn(&mut proto::GroupOrderBody)| {
        all.push((name, issued(crew, change, &mut *rng)));
    };
    add("issuer's", &|_| {});
    add("issuer's, of this epoch", &|it| it.epoch = 2);
    add("issuer's, of an epoch to come", &|it| it.epoch = 3);
    add("for another group", &|it| it.group_id[0] ^= 1);
    add("for another organisation", &|it| it.org_id[0] ^= 1);
    add("of an issuer that there is not", &|it| it.issuer_id[0] ^= 1);
    add("issuer of 31 bytes", &|it| it.issuer_id.truncate(31));
    add("expired", &|it| it.expires = last);
    add("about to expire", &|it| it.expires = last + 1);
    add("for 30 days", &|it| it.expires = last + 30 * DAY);
    add("for longer", &|it| it.expires = last + 30 * DAY + 1);
    add("without changes", &|it| it.changes.clear());
    add("change of no kind", &|it| it.changes.push(proto::GroupOrdered::default()));
    let mut damaged = all[0].1.clone();
    damaged.signature[0] ^= 1;
    let mut other = all[0].1.clone();
    other.body.push(0);
    all.push(("signature damaged", damaged));
    all.push(("body cut short of a field", other));
    all
}

fn members(crew: &Crew, rng: &mut dyn CryptoRng) -> Vec<Named> {
    let mut all: Vec<Named> = Vec::new();
    let mut by = |name, device: usize, of: u8, change: &dyn Fn(&mut proto::GroupOrderBody)| {
        let mut body = body(crew);
        (body.issuer_id, body.epoch) = (Vec::new(), 2);
        (body.device_id, body.changes) = (crew.id(device).as_bytes().to_vec(), vec![removal(of)]);
        change(&mut body);
        let key = crew.devices[device].keys().signing;
        all.push((name, chancery_group::sign_order(&key, &body, &mut *rng)));
    };
    by("leaving", 4, 3, &|_| {});
    by("leaving, of an earlier epoch", 4, 3, &|it| it.epoch = 1);
    by("leaving without an epoch", 4, 3, &|it| it.epoch = 0);
    by("sending another away", 4, 2, &|_| {});
    by("leaving, and something more", 4, 3, &|it| it.changes.push(removal(3)));
    by("leaving with an issuer's name", 4, 3, &|it| it.issuer_id = crew.orders.as_bytes().to_vec());
    by("leaving of who is not there", 5, 4, &|_| {});
    by("leaving by a device that has ended", 3, 2, &|_| {});
    let keys = crew.devices[4].keys();
    let ours = leave((&keys, &crew.devices[4].credential), (&GROUP, 2), &crew.log, rng).expect("a log");
    all.push(("leaving as our code makes it", ours));
    all
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let (key, bytes) = (book::signer(&inputs.bytes("signing_seed")?)?, inputs.bytes("body")?);
    let body = decode::<proto::GroupOrderBody>(&bytes, Limit::STATEMENT).map_err(|e| e.to_string())?;
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = chancery_group::sign_order(&key, &body.into_unchecked(), draws.rng());
    same("body", &signed.body, &bytes)?;
    let mut computed = Computed::default();
    computed
        .via("signed", &book::bound_message(label::SIGN_GROUP_ORDER, key.verifying_key().as_bytes(), &bytes));
    computed.via("hedge", &Draws::new(inputs.array("rng_seed")?).next::<32>());
    computed.out("hash", &book::hash(label::HASH_GROUP_ORDER, &[&bytes]));
    computed.out("signature", &signed.signature);
    computed.out("order", &encode(&signed));
    Ok(computed)
}

fn read(inputs: &Inputs<'_>) -> Computation {
    let (_, log) = read_world(inputs)?;
    let rows = read_group(&part(inputs, "group")?)?;
    let roster = Group { id: &GROUP, head: &rows.head, rows: &rows }.roster().map_err(|e| e.to_string())?;
    let size = inputs.number("log_size")?;
    let mut results = Results::new();
    for item in items(inputs, "orders")? {
        let signed =
            decode::<proto::Signed>(&item.bytes("order")?, Limit::FRAME).map_err(|e| e.to_string())?;
        let at = (&GROUP, rows.head.epoch);
        let verified = GroupOrder::verify(&signed.into_unchecked(), at, &roster, &log, size);
        let verified = verified.map(|order| json!({ "changes": order.changes().len() }));
        results.push(result(item.text("name")?, verified.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}
