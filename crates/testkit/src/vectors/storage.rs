//! Rows of a store, its wrapped key, and sealed files.

use chancery_crypto::aead::BoxKey;
use chancery_crypto::label::{self, Label};
use chancery_crypto::password::{self, Cost};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_store::{KeySource, WrappedKey};
use serde_json::json;

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[("store", store)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "store-row", requirements: &["R-STORE-4", "R-STORE-5", "R-STORE-6"], compute: compute_row },
    Kind { name: "store-link", requirements: &["R-STORE-4", "R-STORE-7"], compute: compute_link },
    Kind { name: "wrapped-key", requirements: &["R-STORE-2", "R-STORE-3"], compute: compute_wrapped },
    Kind { name: "sealed-file", requirements: &["R-STORE-2", "R-STORE-12"], compute: compute_sealed_file },
];

fn store() -> Vec<Draft> {
    let row = |table: u32, name: &[u8], length: usize| {
        json!({
            "master_key": sample_hex("master", 32), "table": table, "name": hex(name),
            "value": sample_hex("value", length), "rng_seed": sample_hex("row nonce", 32),
        })
    };
    let link = |name: &str, next: &str| json!({ "master_key": sample_hex("master", 32), "name": name, "next": next });
    let (one, two) = (sample_hex("blinded 1", 32), sample_hex("blinded 2", 32));
    let with = |inputs: &mut serde_json::Value, key_file: bool| {
        if key_file {
            inputs["key_file"] = sample_hex("key file", 32).into();
        } else {
            inputs["passphrase"] = hex("correct horse battery staple".as_bytes()).into();
        }
    };
    let mut drafts: Vec<Draft> = vec![
        ("row-short".into(), "store-row", row(1, b"name", 5)),
        ("row-empty".into(), "store-row", row(0, b"", 0)),
        ("row-full-step".into(), "store-row", row(0x0203, b"n", 56)),
        ("row-one-more".into(), "store-row", row(0x0203, b"n", 57)),
        ("link-of-an-empty-store".into(), "store-link", link("", "")),
        ("link-first".into(), "store-link", link("", &one)),
        ("link-between".into(), "store-link", link(&one, &two)),
    ];
    for (id, key_file) in [("key-file", true), ("passphrase", false)] {
        let mut inputs = json!({ "master_key": sample_hex("master", 32), "rng_seed": sample_hex(id, 32) });
        with(&mut inputs, key_file);
        drafts.push((format!("wrapped-key-{id}"), "wrapped-key", inputs));
        let mut inputs = json!({ "contents": sample_hex("contents", 65), "rng_seed": sample_hex(id, 32) });
        with(&mut inputs, key_file);
        drafts.push((format!("sealed-file-{id}"), "sealed-file", inputs));
    }
    drafts
}

fn subkey(inputs: &Inputs<'_>, label: Label) -> Result<Vec<u8>, String> {
    Ok(book::derive(label, b"", &[&inputs.array::<32>("master_key")?], b"", 32))
}

/// XChaCha20-Poly1305 with the nonce in front.
fn seal_box(key: &[u8], aad: &[u8], plaintext: &[u8], draws: &mut Draws) -> Result<Vec<u8>, String> {
    let key = BoxKey::new(Secret::from_slice(key).ok_or("key: not 32 bytes")?);
    Ok(key.seal(aad, plaintext, draws.rng()))
}

fn compute_row(inputs: &Inputs<'_>) -> Computation {
    let table = u16::try_from(inputs.number("table")?).map_err(|e| e.to_string())?.to_be_bytes();
    let (name, value) = (inputs.bytes("name")?, inputs.bytes("value")?);
    let (rows, index) = (subkey(inputs, label::KDF_STORE_ROWS)?, subkey(inputs, label::KDF_STORE_INDEX)?);
    let blinded = book::mac(label::KDF_STORE_INDEX, &index, &[table.as_slice(), &name].concat());
    let name_len = u8::try_from(name.len()).map_err(|e| e.to_string())?;
    let value_len = u32::try_from(value.len()).map_err(|e| e.to_string())?.to_be_bytes();
    let mut plain = [&table, [name_len].as_slice(), &name, &value_len, &value].concat();
    plain.resize(plain.len().next_multiple_of(64), 0);
    let aad = [[0, 0, 0, 1].as_slice(), &blinded].concat();
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let sealed = seal_box(&rows, &aad, &plain, &mut draws)?;
    let mut computed = Computed::default();
    computed.via("row_key", &rows);
    computed.via("index_key", &index);
    computed.via("aad", &aad);
    computed.via("plaintext", &plain);
    computed.via("nonce", &sealed[..24]);
    computed.out("blinded_name", &blinded);
    computed.out("value", &sealed);
    Ok(computed)
}

fn compute_link(inputs: &Inputs<'_>) -> Computation {
    let (name, next) = (inputs.bytes("name")?, inputs.bytes("next")?);
    let chain = subkey(inputs, label::KDF_STORE_CHAIN)?;
    let length = u8::try_from(name.len()).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.via("chain_key", &chain);
    computed.out(
        "mac",
        &book::mac(label::KDF_STORE_CHAIN, &chain, &[[length].as_slice(), &name, &next].concat()),
    );
    Ok(computed)
}

/// The lock header, the input to the lock key, and the lock key (R-STORE-2).
fn lock(
    inputs: &Inputs<'_>,
    label: Label,
    salt: [u8; 16],
    computed: &mut Computed,
) -> Result<(Vec<u8>, Vec<u8>), String> {
    let (method, costs, input) = if inputs.0.contains_key("key_file") {
        (2, [0, 0, 0], inputs.array::<32>("key_file")?)
    } else {
        let cost = Cost::FLOOR;
        let input = password::derive(&inputs.bytes("passphrase")?, &salt, cost).map_err(|e| e.to_string())?;
        (1, [cost.memory_kib, cost.passes, cost.lanes], *input.expose())
    };
    let mut header = vec![1, method];
    costs.iter().for_each(|cost| header.extend_from_slice(&cost.to_be_bytes()));
    header.extend_from_slice(&salt);
    let key = book::derive(label, &salt, &[&input], &[method], 32);
    computed.via("salt", &salt);
    computed.via("header", &header);
    computed.via("input", &input);
    computed.via("lock_key", &key);
    Ok((header, key))
}

fn source(inputs: &Inputs<'_>) -> Result<KeySource, String> {
    Ok(if inputs.0.contains_key("key_file") {
        KeySource::KeyFile(Secret::from_bytes(inputs.array("key_file")?))
    } else {
        KeySource::Passphrase(SecretBytes::new(inputs.bytes("passphrase")?))
    })
}

fn compute_wrapped(inputs: &Inputs<'_>) -> Computation {
    let (master, seed) = (inputs.array::<32>("master_key")?, inputs.array("rng_seed")?);
    let ours = WrappedKey::wrap(&Secret::from_bytes(master), &source(inputs)?, Draws::new(seed).rng())
        .map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    let mut draws = Draws::new(seed);
    let salt = draws.next();
    let (header, key) = lock(inputs, label::KDF_KEY_FILE, salt, &mut computed)?;
    let wrapped = [header.clone(), seal_box(&key, &header, &master, &mut draws)?].concat();
    same("wrapped key", &wrapped, ours.as_bytes())?;
    computed.via("nonce", &wrapped[30..54]);
    computed.out("wrapped_key", &wrapped);
    Ok(computed)
}

fn compute_sealed_file(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let salt = draws.next();
    let (header, key) = lock(inputs, label::KDF_SEALED_FILE, salt, &mut computed)?;
    let front = [b"chancery sealed\0".as_slice(), &header].concat();
    let file = [front.clone(), seal_box(&key, &front, &inputs.bytes("contents")?, &mut draws)?].concat();
    computed.via("nonce", &file[46..70]);
    computed.out("file", &file);
    Ok(computed)
}
