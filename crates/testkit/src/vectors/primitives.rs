//! Suite 1: hashing, derivation, signatures, agreement, sealing, Merkle trees.

use chancery_crypto::aead::{BoxKey, OneTimeKey};
use chancery_crypto::ed25519::GroupSigningKey;
use chancery_crypto::kem::{KemPublic, KemSecret};
use chancery_crypto::secret::Secret;
use chancery_crypto::stream::{CHUNK_LEN, Sealer};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_crypto::{hash, kdf, label, merkle};
use serde_json::{Value, json};

use super::book::{self, Draws, sample, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[
    ("hash-and-kdf", hash_and_kdf),
    ("hybrid-signature", hybrid_signature),
    ("kem", kem),
    ("x25519", x25519),
    ("aead-and-stream", aead_and_stream),
    ("merkle", merkle_trees),
];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "hash", requirements: &["R-CRYPTO-1", "R-CRYPTO-2"], compute: compute_hash },
    Kind { name: "derive", requirements: &["R-CRYPTO-4"], compute: compute_derive },
    Kind { name: "mac", requirements: &["R-CRYPTO-4"], compute: compute_mac },
    Kind {
        name: "hybrid-signature",
        requirements: &["R-CRYPTO-8", "R-CRYPTO-9"],
        compute: compute_signature,
    },
    Kind { name: "group-signature", requirements: &["R-CRYPTO-10"], compute: compute_group_signature },
    Kind { name: "kem", requirements: &["R-CRYPTO-8"], compute: compute_kem },
    Kind { name: "kem-decapsulation", requirements: &["R-CRYPTO-8"], compute: compute_decapsulation },
    Kind { name: "kem-key", requirements: &["R-CRYPTO-7"], compute: compute_kem_key },
    Kind { name: "x25519", requirements: &["R-CRYPTO-6"], compute: compute_x25519 },
    Kind { name: "x25519-key", requirements: &["R-CRYPTO-6"], compute: compute_x25519_key },
    Kind { name: "single-use-key", requirements: &["R-CRYPTO-11"], compute: compute_one_time },
    Kind { name: "box", requirements: &["R-STORE-6"], compute: compute_box },
    Kind { name: "stream", requirements: &["R-CRYPTO-12", "R-CRYPTO-13"], compute: compute_stream },
    Kind { name: "merkle", requirements: &["R-CRYPTO-14", "R-PREKEY-5"], compute: compute_merkle },
    Kind { name: "consistency", requirements: &["R-CRYPTO-15", "R-CRYPTO-16"], compute: compute_consistency },
];

fn hash_and_kdf() -> Vec<Draft> {
    let name =
        |label: &label::Label| String::from_utf8_lossy(label.as_bytes()).replacen("chancery/1 ", "", 1);
    let mut drafts = Vec::new();
    for label in label::ALL {
        let name = name(label);
        let id = name.replace(' ', "-");
        let (kind, inputs) = if name.starts_with("kdf") {
            let salt = sample_hex(&format!("salt {name}"), 32);
            let ikm = sample_hex(&format!("ikm {name}"), 32);
            ("derive", json!({ "label": name, "salt": salt, "ikm": [ikm], "context": "", "length": 32 }))
        } else if name.starts_with("mac") {
            ("mac", json!({ "label": name, "key": sample_hex(&name, 32), "message": hex(b"message") }))
        } else {
            ("hash", json!({ "label": name, "parts": [hex(b"one"), hex(b"two")] }))
        };
        drafts.push((format!("label-{id}"), kind, inputs));
    }
    let hash = |parts: Value| json!({ "label": "hash prekey", "parts": parts });
    drafts.push(("hash-no-parts".into(), "hash", hash(json!([]))));
    drafts.push(("hash-empty-part".into(), "hash", hash(json!([""]))));
    drafts.push(("hash-boundary-1".into(), "hash", hash(json!(["6162", "63"]))));
    drafts.push(("hash-boundary-2".into(), "hash", hash(json!(["61", "6263"]))));
    drafts.push(("hash-long-part".into(), "hash", hash(json!([sample_hex("long", 1984)]))));
    for (id, length) in [("root", 96), ("session", 128), ("stream", 64)] {
        let ikm = [sample_hex("ikm 1", 32), sample_hex("ikm 2", 32)];
        let context = hex(b"context");
        let inputs = json!({ "label": "kdf ratchet root", "salt": "", "ikm": ikm, "context": context, "length": length });
        drafts.push((format!("derive-{length}-{id}"), "derive", inputs));
    }
    for name in ["kdf ratchet message", "kdf ratchet chain", "kdf ratchet tag", "kdf ratchet header"] {
        let message = if name.ends_with("tag") || name.ends_with("header") { "00000007" } else { "" };
        let inputs = json!({ "label": name, "key": sample_hex("chain key", 32), "message": message });
        drafts.push((format!("mac-{}", name.replace(' ', "-")), "mac", inputs));
    }
    drafts
}

fn compute_hash(inputs: &Inputs<'_>) -> Computation {
    let label = book::label(inputs.text("label")?)?;
    let parts = inputs.list("parts")?;
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let ours = hash::hash(label, &parts);
    same("hash", &ours, &book::hash(label, &parts))?;
    let mut computed = Computed::default();
    computed.out("hash", &ours);
    computed.out("hash16", &hash::hash16(label, &parts));
    Ok(computed)
}

fn compute_derive(inputs: &Inputs<'_>) -> Computation {
    let label = book::label(inputs.text("label")?)?;
    let (salt, ikm, context) = (inputs.bytes("salt")?, inputs.list("ikm")?, inputs.bytes("context")?);
    let ikm: Vec<&[u8]> = ikm.iter().map(Vec::as_slice).collect();
    let ours = match inputs.number("length")? {
        32 => kdf::derive::<32>(label, &salt, &ikm, &context).expose().to_vec(),
        64 => kdf::derive::<64>(label, &salt, &ikm, &context).expose().to_vec(),
        96 => kdf::derive::<96>(label, &salt, &ikm, &context).expose().to_vec(),
        128 => kdf::derive::<128>(label, &salt, &ikm, &context).expose().to_vec(),
        _ => return Err("inputs.length: 32, 64, 96 or 128".into()),
    };
    let info = [label.as_bytes(), &[0], &context].concat();
    let (prk, okm) = book::hkdf(&salt, &ikm.concat(), &info, ours.len());
    same("derive", &ours, &okm)?;
    let mut computed = Computed::default();
    computed.via("info", &info);
    computed.via("prk", &prk);
    computed.out("okm", &okm);
    Ok(computed)
}

fn compute_mac(inputs: &Inputs<'_>) -> Computation {
    let label = book::label(inputs.text("label")?)?;
    let (key, message) = (inputs.array("key")?, inputs.bytes("message")?);
    let ours = kdf::mac(label, &Secret::from_bytes(key), &[&message]);
    same("mac", ours.expose(), &book::mac(label, &key, &message))?;
    let mut computed = Computed::default();
    computed.out("mac", ours.expose());
    Ok(computed)
}

fn hybrid_signature() -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (index, label) in ["sign credential", "sign handshake", "sign relay login"].iter().enumerate() {
        let message = sample_hex("message", index * 96);
        let seed = sample_hex(&format!("signing seed {index}"), 64);
        let rng = sample_hex(&format!("hedge {index}"), 32);
        let inputs = json!({ "seed": seed, "label": label, "message": message, "rng_seed": rng });
        drafts.push((format!("hybrid-{}", label.replace(' ', "-")), "hybrid-signature", inputs));
        let inputs = json!({ "seed": sample_hex("group seed", 32), "label": label, "message": message });
        drafts.push((format!("group-{}", label.replace(' ', "-")), "group-signature", inputs));
    }
    drafts
}

fn compute_signature(inputs: &Inputs<'_>) -> Computation {
    let label = book::label(inputs.text("label")?)?;
    let (seed, message) = (inputs.array::<64>("seed")?, inputs.bytes("message")?);
    let rng_seed = inputs.array("rng_seed")?;
    let key = book::signer(&seed)?;
    let signature = key.sign(label, &message, Draws::new(rng_seed).rng());
    key.verifying_key().verify(label, &message, &signature).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.via("ed25519_seed", &seed[..32]);
    computed.via("ml_dsa_seed", &seed[32..]);
    computed.via("hedge", &Draws::new(rng_seed).next::<32>());
    computed.via("signed", &book::bound_message(label, key.verifying_key().as_bytes(), &message));
    computed.out("verifying_key", key.verifying_key().as_bytes());
    computed.out("signature", &signature);
    Ok(computed)
}

fn compute_group_signature(inputs: &Inputs<'_>) -> Computation {
    let label = book::label(inputs.text("label")?)?;
    let message = inputs.bytes("message")?;
    let key = GroupSigningKey::from_seed(Secret::from_bytes(inputs.array("seed")?));
    let mut computed = Computed::default();
    computed.via("signed", &[label.as_bytes(), &[0], &message].concat());
    computed.out("verifying_key", key.verifying_key().as_bytes());
    computed.out("signature", &key.sign(label, &message));
    Ok(computed)
}

fn kem() -> Vec<Draft> {
    let mut drafts = Vec::new();
    for index in 0..4 {
        let seed = sample_hex(&format!("kem seed {index}"), 64);
        let inputs = json!({ "seed": seed, "rng_seed": sample_hex(&format!("coins {index}"), 32) });
        drafts.push((format!("kem-{index}"), "kem", inputs));
    }
    for (id, ciphertext) in [("zeros", vec![0; 1088]), ("noise", sample("noise", 1088))] {
        let inputs = json!({ "seed": sample_hex("kem seed 0", 64), "ciphertext": hex(&ciphertext) });
        drafts.push((format!("kem-implicit-rejection-{id}"), "kem-decapsulation", inputs));
    }
    let good = KemSecret::from_seed(Secret::from_slice(&sample("kem seed 0", 64)).expect("64 bytes"));
    let mut large = good.public().as_bytes().to_vec();
    (large[0], large[1]) = (0x01, large[1] & 0xF0 | 0x0D);
    for (id, key) in
        [("good", good.public().as_bytes().to_vec()), ("coefficient-is-q", large), ("short", vec![0; 1183])]
    {
        drafts.push((format!("kem-key-{id}"), "kem-key", json!({ "public_key": hex(&key) })));
    }
    drafts
}

fn compute_kem(inputs: &Inputs<'_>) -> Computation {
    let (seed, rng_seed) = (inputs.array::<64>("seed")?, inputs.array("rng_seed")?);
    let key = KemSecret::from_seed(Secret::from_bytes(seed));
    let (ciphertext, secret) = key.public().encapsulate(Draws::new(rng_seed).rng());
    same("shared secret", secret.expose(), key.decapsulate(&ciphertext).expose())?;
    let mut computed = Computed::default();
    computed.via("d", &seed[..32]);
    computed.via("z", &seed[32..]);
    computed.via("coins", &Draws::new(rng_seed).next::<32>());
    computed.out("public_key", key.public().as_bytes());
    computed.out("ciphertext", ciphertext.as_bytes());
    computed.out("shared_secret", secret.expose());
    Ok(computed)
}

fn compute_decapsulation(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    let secret = book::decapsulate(&inputs.bytes("seed")?, &inputs.bytes("ciphertext")?)?;
    computed.out("shared_secret", &secret);
    Ok(computed)
}

fn compute_kem_key(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    computed.out("accepted", json!(KemPublic::from_bytes(&inputs.bytes("public_key")?).is_ok()));
    Ok(computed)
}

fn x25519() -> Vec<Draft> {
    let mut drafts = Vec::new();
    for index in 0..4 {
        let secret = sample_hex(&format!("x25519 {index}"), 32);
        let peer = DhSecret::from_secret(Secret::from_slice(&sample("peer", 32)).expect("32 bytes"));
        let inputs = json!({ "private_key": secret, "peer_public_key": hex(peer.public().as_bytes()) });
        drafts.push((format!("x25519-{index}"), "x25519", inputs));
    }
    let mut p = [0xFF; 32];
    (p[0], p[31]) = (0xED, 0x7F);
    let at = |change: fn(&mut [u8; 32])| {
        let mut bytes = p;
        change(&mut bytes);
        bytes.to_vec()
    };
    let mut one = vec![0; 32];
    one[0] = 1;
    let mut nine = vec![0; 32];
    nine[0] = 9;
    let order_8 = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
    for (id, key) in [
        ("base-point", nine.clone()),
        ("base-point-top-bit", nine.into_iter().take(31).chain([0x80]).collect()),
        ("zero", vec![0; 32]),
        ("one", one),
        ("order-8", super::bytes(&json!(order_8)).expect("hex")),
        ("p-minus-2", at(|p| p[0] = 0xEB)),
        ("p-minus-1", at(|p| p[0] = 0xEC)),
        ("p", at(|_| ())),
        ("p-plus-1", at(|p| p[0] = 0xEE)),
        ("all-ones", vec![0xFF; 32]),
        ("short", vec![9; 31]),
    ] {
        drafts.push((format!("x25519-key-{id}"), "x25519-key", json!({ "public_key": hex(&key) })));
    }
    drafts
}

fn compute_x25519(inputs: &Inputs<'_>) -> Computation {
    let secret = inputs.array::<32>("private_key")?;
    let mut computed = Computed::default();
    computed.out("public_key", DhSecret::from_secret(Secret::from_bytes(secret)).public().as_bytes());
    computed.out("shared_secret", &book::dh(&secret, &inputs.bytes("peer_public_key")?)?);
    Ok(computed)
}

fn compute_x25519_key(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    computed.out("accepted", json!(DhPublic::from_bytes(&inputs.bytes("public_key")?).is_ok()));
    Ok(computed)
}

fn aead_and_stream() -> Vec<Draft> {
    let mut drafts = Vec::new();
    for length in [0, 1, 40, 64, 439] {
        let (key, plaintext) = (sample_hex("one key", 32), sample_hex("plaintext", length));
        let inputs = json!({ "key": key, "aad": hex(b"aad"), "plaintext": plaintext });
        drafts.push((format!("single-use-{length}"), "single-use-key", inputs));
    }
    for length in [0, 32, 100] {
        let (key, plaintext) = (sample_hex("box key", 32), sample_hex("plaintext", length));
        let rng = sample_hex("box nonce", 32);
        let inputs = json!({ "key": key, "aad": "", "plaintext": plaintext, "rng_seed": rng });
        drafts.push((format!("box-{length}"), "box", inputs));
    }
    // Long plaintexts would fill the file: the byte is repeated.
    for length in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN] {
        let inputs = json!({ "file_key": sample_hex("file key", 32), "byte": "a5", "length": length });
        drafts.push((format!("stream-{length}"), "stream", inputs));
    }
    drafts
}

fn compute_one_time(inputs: &Inputs<'_>) -> Computation {
    let (aad, plaintext) = (inputs.bytes("aad")?, inputs.bytes("plaintext")?);
    let sealed = OneTimeKey::new(Secret::from_bytes(inputs.array("key")?)).seal(&aad, &plaintext);
    let mut computed = Computed::default();
    computed.via("nonce", &[0; 12]);
    computed.out("sealed", &sealed);
    Ok(computed)
}

fn compute_box(inputs: &Inputs<'_>) -> Computation {
    let (aad, plaintext) = (inputs.bytes("aad")?, inputs.bytes("plaintext")?);
    let rng_seed = inputs.array("rng_seed")?;
    let key = BoxKey::new(Secret::from_bytes(inputs.array("key")?));
    let mut computed = Computed::default();
    computed.via("nonce", &Draws::new(rng_seed).next::<24>());
    computed.out("box", &key.seal(&aad, &plaintext, Draws::new(rng_seed).rng()));
    Ok(computed)
}

fn compute_stream(inputs: &Inputs<'_>) -> Computation {
    let (file_key, [byte]) = (inputs.array("file_key")?, inputs.array("byte")?);
    let length = usize::try_from(inputs.number("length")?).map_err(|e| e.to_string())?;
    if length > 1 << 20 {
        return Err("inputs.length: at most 1 MiB".into());
    }
    let plaintext = vec![byte; length];
    let both = book::derive(label::KDF_STREAM, b"", &[&file_key], b"", 64);
    let (mut sealer, header) = Sealer::new(&Secret::from_bytes(file_key));
    same("commitment", &header[1..], &both[32..])?;
    let mut stream = header.to_vec();
    let mut nonces = Vec::new();
    let chunks: Vec<&[u8]> = if length == 0 { vec![&[]] } else { plaintext.chunks(CHUNK_LEN).collect() };
    for (index, chunk) in chunks.iter().enumerate() {
        let last = index + 1 == chunks.len();
        let number = u32::try_from(index).map_err(|e| e.to_string())?;
        nonces.push(json!(hex(&[[0; 7].as_slice(), &number.to_be_bytes(), &[u8::from(last)]].concat())));
        stream.extend(sealer.seal(chunk, last).map_err(|e| e.to_string())?);
    }
    let mut computed = Computed::default();
    computed.via("encryption_key", &both[..32]);
    computed.via("commitment", &both[32..]);
    computed.via("nonces", Value::Array(nonces));
    computed.out("length", json!(stream.len()));
    computed.out("first_bytes", &stream[..stream.len().min(128)]);
    computed.out("sha256", &hash::sha256(&[&stream]));
    Ok(computed)
}

fn merkle_trees() -> Vec<Draft> {
    let leaves =
        |size: usize| (0..size).map(|leaf| sample_hex(&format!("leaf {leaf}"), 32)).collect::<Vec<_>>();
    let trees = [1, 2, 3, 4, 5, 7, 8, 13].into_iter();
    let trees = trees.map(|size| (format!("merkle-{size}"), "merkle", json!({ "leaves": leaves(size) })));
    let pairs = [(0, 0), (0, 3), (1, 1), (1, 2), (2, 5), (3, 4), (3, 7), (4, 7), (6, 8), (7, 13), (8, 13)];
    let grown = pairs.into_iter().map(|(old, new)| {
        let inputs = json!({ "leaves": leaves(new), "old": old });
        (format!("consistency-{old}-{new}"), "consistency", inputs)
    });
    trees.chain(grown).collect()
}

fn compute_merkle(inputs: &Inputs<'_>) -> Computation {
    let leaves: Vec<merkle::Hash> =
        inputs.list("leaves")?.iter().map(|content| merkle::leaf_hash(content)).collect();
    let root = merkle::root(&leaves);
    let mut proofs = Vec::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let proof = merkle::inclusion_proof(&leaves, index).ok_or("no proof")?;
        if !merkle::verify_inclusion(&root, leaves.len() as u64, index as u64, leaf, &proof) {
            return Err("a proof does not verify".into());
        }
        proofs.push(json!(proof.iter().map(|hash| hex(hash)).collect::<Vec<_>>()));
    }
    let mut computed = Computed::default();
    computed.via("leaf_hashes", json!(leaves.iter().map(|hash| hex(hash)).collect::<Vec<_>>()));
    computed.out("root", &root);
    computed.out("proofs", Value::Array(proofs));
    Ok(computed)
}

fn compute_consistency(inputs: &Inputs<'_>) -> Computation {
    let leaves: Vec<merkle::Hash> =
        inputs.list("leaves")?.iter().map(|content| merkle::leaf_hash(content)).collect();
    let old = usize::try_from(inputs.number("old")?).map_err(|_| "inputs.old: too large")?;
    let proof = merkle::consistency_proof(&leaves, old).ok_or("inputs.old: above the number of leaves")?;
    let (mut before, mut after) = (merkle::Frontier::new(), merkle::Frontier::new());
    leaves[..old].iter().for_each(|leaf| before.push(*leaf));
    leaves.iter().for_each(|leaf| after.push(*leaf));
    same("old root", &before.root(), &merkle::root(&leaves[..old]))?;
    same("new root", &after.root(), &merkle::root(&leaves))?;
    let sizes = (before.size(), after.size());
    if !merkle::verify_consistency(sizes.0, &before.root(), sizes.1, &after.root(), &proof) {
        return Err("the proof does not verify".into());
    }
    let mut computed = Computed::default();
    computed.out("old_root", &before.root());
    computed.out("new_root", &after.root());
    computed.out("proof", json!(proof.iter().map(|hash| hex(hash)).collect::<Vec<_>>()));
    computed.out("state", &after.to_bytes());
    Ok(computed)
}
