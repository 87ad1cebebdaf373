//! Shares of the key of the root's file.

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::seeded;
use chancery_crypto::secret::Secret;
use chancery_identity::OrgId;
use chancery_org::{RootShare, join_root_key, split_root_key};
use serde_json::{Value, json};

use super::book::{Draws, sample, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[("shares", shares)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "root-shares", requirements: &["R-CRYPTO-17", "R-ORG-24"], compute: compute_split },
    Kind { name: "root-join", requirements: &["R-CRYPTO-17", "R-ORG-24"], compute: compute_join },
];

fn split(seed: &str, organisation: &str, (threshold, shares): (u8, u8)) -> Vec<RootShare> {
    let seed = sample(seed, 32).try_into().expect("32 bytes");
    let key = Secret::from_slice(&sample("root file key", 32)).expect("32 bytes");
    let organisation = OrgId::from_bytes(&sample(organisation, 32)).expect("32 bytes");
    split_root_key(&key, &organisation, (threshold, shares), &mut seeded(seed)).expect("in range")
}

fn shares() -> Vec<Draft> {
    let inputs = |(threshold, shares): (u8, u8)| {
        json!({
            "key": sample_hex("root file key", 32), "org_id": sample_hex("org id", 32),
            "threshold": threshold, "shares": shares, "rng_seed": sample_hex("split", 32),
        })
    };
    let mut drafts: Vec<Draft> = [(2, 2), (2, 3), (3, 5), (16, 16)]
        .into_iter()
        .map(|(m, n)| (format!("shares-{m}-of-{n}"), "root-shares", inputs((m, n))))
        .collect();
    let three: Vec<String> = split("split", "org id", (3, 5)).iter().map(RootShare::encode).collect();
    let other: Vec<String> = split("other split", "org id", (3, 5)).iter().map(RootShare::encode).collect();
    let foreign: Vec<String> = split("split", "other org id", (3, 5)).iter().map(RootShare::encode).collect();
    let mut join = |id: &str, texts: &[&str]| {
        drafts.push((format!("join-{id}"), "root-join", json!({ "shares": texts })));
    };
    join("first-three", &[&three[0], &three[1], &three[2]]);
    join("last-three", &[&three[4], &three[3], &three[2]]);
    join("all-five", &[&three[4], &three[0], &three[2], &three[3], &three[1]]);
    join("two", &[&three[0], &three[1]]);
    join("none", &[]);
    join("twice", &[&three[0], &three[1], &three[0]]);
    join("two-sets", &[&three[0], &three[1], &other[2]]);
    join("two-organisations", &[&three[0], &three[1], &foreign[2]]);
    join("in-white-space", &[&format!(" {}\r\n", three[0]), &three[1], &three[2]]);
    join("cut", &[&three[0][..three[0].len() - 1]]);
    join("mistyped", &[&three[0].replacen('A', "B", 1)]);
    join("a-link", &["chancery:AAAA"]);
    drafts
}

/// The product in the field, by logarithms to the base x + 1: not how the code does it.
fn product(a: u8, b: u8) -> u8 {
    let mut powers = [1_u8; 255];
    for at in 1..powers.len() {
        let last = powers[at - 1];
        powers[at] = last ^ (last << 1) ^ if last & 0x80 == 0 { 0 } else { 0x1B };
    }
    let log = |value: u8| powers.iter().position(|power| *power == value);
    match (log(a), log(b)) {
        (Some(a), Some(b)) => powers[(a + b) % 255],
        _ => 0,
    }
}

/// The secret plus coefficient i times index^i, term by term.
fn value(key: &[u8], coefficients: &[[u8; 32]], index: u8) -> Vec<u8> {
    let mut sum = key.to_vec();
    let mut power = 1;
    for coefficient in coefficients {
        power = product(power, index);
        for (sum, own) in sum.iter_mut().zip(coefficient) {
            *sum ^= product(*own, power);
        }
    }
    sum
}

fn compute_split(inputs: &Inputs<'_>) -> Computation {
    let (key, organisation) = (inputs.bytes("key")?, OrgId::new(inputs.array("org_id")?));
    let small =
        |name: &str| u8::try_from(inputs.small(name)?).map_err(|_| format!("inputs.{name}: too large"));
    let (threshold, count) = (small("threshold")?, small("shares")?);
    let seed = inputs.array("rng_seed")?;
    let secret = Secret::from_slice(&key).ok_or("inputs.key: not 32 bytes")?;
    let ours = split_root_key(&secret, &organisation, (threshold, count), &mut seeded(seed));
    let ours = ours.map_err(|e| e.to_string())?;
    let mut draws = Draws::new(seed);
    let set: [u8; 8] = draws.next();
    let coefficients: Vec<[u8; 32]> = (1..threshold).map(|_| draws.next()).collect();
    let (mut bodies, mut texts) = (Vec::new(), Vec::new());
    for (index, share) in (1..=count).zip(&ours) {
        let fields = [&[1][..], &organisation.as_bytes()[..8], &set, &[threshold, index]].concat();
        let body = [fields, value(&key, &coefficients, index)].concat();
        let whole = [&body, &sha256(&[&body])[..4]].concat();
        let text = share.encode();
        let read = base64_url(text.strip_prefix("chancery-share:").ok_or("prefix")?).ok_or("no base64url")?;
        same(&format!("share {index}"), &read, &whole)?;
        RootShare::parse(&text).map_err(|e| e.to_string())?;
        bodies.push(hex(&whole));
        texts.push(text);
    }
    if !join_root_key(&ours).map_err(|e| e.to_string())?.ct_eq(&key) {
        return Err("the shares do not give the key".into());
    }
    let mut computed = Computed::default();
    computed.via("set", &set);
    computed.via("coefficients", json!(coefficients.iter().map(|it| hex(it)).collect::<Vec<_>>()));
    computed.via("bodies_with_checksums", json!(bodies));
    computed.out("shares", json!(texts));
    Ok(computed)
}

/// RFC 4648, section 5, without padding.
fn base64_url(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0_u32, 0);
    for letter in text.bytes() {
        let six = ALPHABET.iter().position(|other| *other == letter)?;
        held = held << 6 | u32::try_from(six).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xFF).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

fn compute_join(inputs: &Inputs<'_>) -> Computation {
    let texts = inputs.0.get("shares").and_then(Value::as_array).ok_or("inputs.shares: no list")?;
    let texts = texts.iter().map(|text| text.as_str().ok_or("inputs.shares: no text"));
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let shares: Result<Vec<_>, _> = texts.into_iter().map(RootShare::parse).collect();
    let mut computed = Computed::default();
    match shares.and_then(|shares| join_root_key(&shares)) {
        Ok(key) => computed.out("key", key.expose()),
        Err(error) => computed.out("error", json!(error.to_string())),
    }
    Ok(computed)
}
