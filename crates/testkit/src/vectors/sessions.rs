//! Handshakes and contents.
//!
//! Envelopes come from the sessions themselves; secrets on the way are computed again from the document.

use std::collections::BTreeMap;

use chancery_core::{
    BUCKETS, Bundle, HANDSHAKE_LEN, InitialEnvelope, Local, MAX_CONTENT, PrekeyId, PrekeyKind, Responder,
    SESSION_MESSAGE_OVERHEAD, initiate, respond,
};
use chancery_crypto::kem::KemPublic;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_engine::content::{padded_len, safe_name};
use chancery_identity::{Credential, DeviceKeys, Organisation};
use chancery_wire::proto::{self, PrekeyBundle};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, Member, NOW, Prekeys};

pub(super) const PLANS: &[Plan] =
    &[("handshake", handshake), ("content-padding", content_padding), ("heal", heal)];

pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "handshake",
        requirements: &[
            "R-HANDSHAKE-2",
            "R-HANDSHAKE-4",
            "R-HANDSHAKE-5",
            "R-HANDSHAKE-6",
            "R-HANDSHAKE-7",
            "R-HANDSHAKE-8",
            "R-HANDSHAKE-9",
            "R-HANDSHAKE-10",
            "R-ENVELOPE-3",
            "R-RATCHET-16",
        ],
        compute: compute_handshake,
    },
    Kind { name: "bucket", requirements: &["R-ENVELOPE-4"], compute: compute_bucket },
    Kind { name: "file-length", requirements: &["R-CONTENT-6", "R-CONTENT-7"], compute: compute_file_length },
    Kind { name: "file-name", requirements: &["R-CONTENT-4"], compute: compute_file_name },
    Kind { name: "content", requirements: &["R-CONTENT-1", "R-CONTENT-2"], compute: compute_content },
    Kind {
        name: "heal",
        requirements: &["R-CONTENT-1", "R-CONTENT-9", "R-CONTENT-10"],
        compute: compute_heal,
    },
];

/// A prekey's secret without the public key that a device stores behind that of a curve prekey.
pub(super) fn private_half(prekey: PrekeyId, stored: &[u8]) -> &[u8] {
    if prekey.kind.is_curve() { &stored[..32] } else { stored }
}

fn handshake() -> Vec<Draft> {
    let company = Company::found(1);
    let draft = |id: &str, one_time, plaintext: &[u8]| {
        let secrets = company.bob.prekeys.0.iter().map(|(prekey, secret)| {
            json!({ "kind": prekey.kind.number(), "id": prekey.id, "secret": hex(private_half(*prekey, secret)) })
        });
        let inputs = json!({
            "organisation": hex(&encode(company.organisation.as_proto())),
            "initiator_keys": keys_of(&company.alice), "responder_keys": keys_of(&company.bob),
            "initiator_credential": hex(&encode(company.alice.credential.signed())),
            "bundle": hex(&encode(&company.bob.bundle(one_time))),
            "prekey_secrets": secrets.collect::<Vec<_>>(), "plaintext": hex(plaintext),
            "now": NOW.as_millis(), "rng_seed": sample_hex(id, 32),
        });
        (format!("handshake-{id}"), "handshake", inputs)
    };
    vec![
        draft("one-time", Some(0), b"hello"),
        draft("last-resort", None, b"hello"),
        draft("larger-bucket", Some(1), &[b'x'; 700]),
    ]
}

fn keys_of(member: &Member) -> String {
    hex(member.keys.to_secret_bytes().expose())
}

/// What a handshake starts from.
struct Parties {
    organisation: Organisation,
    initiator: (Credential, DeviceKeys),
    responder: (Credential, DeviceKeys),
    raw: PrekeyBundle,
    prekeys: Prekeys,
    now: Timestamp,
}

impl Parties {
    fn read(inputs: &Inputs<'_>) -> Result<Self, String> {
        let now = Timestamp::from_millis(inputs.number("now")?);
        let document = decode::<proto::Organisation>(&inputs.bytes("organisation")?, Limit::ORGANISATION);
        let organisation =
            Organisation::verify(document.map_err(|e| e.to_string())?, None).map_err(|e| e.to_string())?;
        let credential = |signed| organisation.verify_credential(signed, now).map_err(|e| e.to_string());
        let own =
            decode(&inputs.bytes("initiator_credential")?, Limit::STATEMENT).map_err(|e| e.to_string())?;
        let bundle =
            decode::<PrekeyBundle>(&inputs.bytes("bundle")?, Limit::BUNDLE).map_err(|e| e.to_string())?;
        let raw = bundle.into_unchecked();
        let theirs = Unverified::new(raw.credential.clone().unwrap_or_default());
        let keys = |name| {
            DeviceKeys::from_secret_bytes(&inputs.bytes(name)?).ok_or(format!("inputs.{name}: not 128 bytes"))
        };
        Ok(Self {
            initiator: (credential(own)?, keys("initiator_keys")?),
            responder: (credential(theirs)?, keys("responder_keys")?),
            prekeys: prekeys(inputs)?,
            organisation,
            raw,
            now,
        })
    }

    fn initiate(&self, plaintext: &[u8], draws: &mut Draws) -> Result<chancery_core::Initiated, String> {
        let (to, _) = &self.responder;
        let expected = (&to.member_id(), &to.device_id());
        let bundle = Unverified::new(self.raw.clone());
        let bundle =
            Bundle::verify(bundle, &self.organisation, expected, self.now).map_err(|e| e.to_string())?;
        let local = Local { credential: &self.initiator.0, keys: &self.initiator.1 };
        initiate(local, &bundle, plaintext, self.now, draws.rng()).map_err(|e| e.to_string())
    }

    fn secret(&self, prekey: Option<&proto::Prekey>) -> Result<Vec<u8>, String> {
        let prekey = prekey.ok_or("a prekey is missing in the bundle")?;
        let kind = PrekeyKind::from_number(prekey.kind).ok_or("kind of a prekey")?;
        let secret = self.prekeys.0.get(&PrekeyId { kind, id: prekey.id });
        secret.cloned().ok_or_else(|| "inputs.prekey_secrets: one is missing".into())
    }
}

fn prekeys(inputs: &Inputs<'_>) -> Result<Prekeys, String> {
    let bad = "inputs.prekey_secrets: kind, id and secret";
    let mut all = BTreeMap::new();
    for prekey in inputs.0.get("prekey_secrets").and_then(Value::as_array).ok_or(bad)? {
        let number = |name: &str| prekey[name].as_u64().and_then(|it| u32::try_from(it).ok()).ok_or(bad);
        let kind = PrekeyKind::from_number(number("kind")?).ok_or(bad)?;
        let secret = super::bytes(&prekey["secret"]).ok_or(bad)?;
        all.insert(PrekeyId { kind, id: number("id")? }, secret);
    }
    Ok(Prekeys(all))
}

#[expect(clippy::too_many_lines, reason = "one text, read from top to bottom beside the document")]
fn compute_handshake(inputs: &Inputs<'_>) -> Computation {
    let parties = Parties::read(inputs)?;
    let (plaintext, seed) = (inputs.bytes("plaintext")?, inputs.array("rng_seed")?);
    let started = parties.initiate(&plaintext, &mut Draws::new(seed))?;
    let envelope = &started.envelope;

    // What the initiator drew: ephemeral key, coins, hedge.
    let mut draws = Draws::new(seed);
    let ek = draws.next::<32>();
    let ek_public = *DhSecret::from_secret(Secret::from_bytes(ek)).public().as_bytes();
    let raw = &parties.raw;
    let (spk, kem) =
        (raw.signed.as_ref().ok_or("no signed prekey")?, raw.kem.as_ref().ok_or("no KEM prekey")?);
    let mut coins = Draws::new(seed);
    coins.next::<32>();
    let (ct, ss) = KemPublic::from_bytes(&kem.key).map_err(|e| e.to_string())?.encapsulate(coins.rng());
    same("SS", ss.expose(), &book::decapsulate(&parties.secret(Some(kem))?, ct.as_bytes())?)?;

    let (from, to) = (&parties.initiator.0, &parties.responder.0);
    let (from_hash, to_hash) = (from.hash(), to.hash());
    let dh1 = book::dh(parties.initiator.1.identity.secret().expose(), &spk.key)?;
    same("DH1", &dh1, &book::dh(&parties.secret(Some(spk))?, from.identity_key().as_bytes())?)?;
    let dh2 = book::dh(&ek, to.identity_key().as_bytes())?;
    same("DH2", &dh2, &book::dh(parties.responder.1.identity.secret().expose(), &ek_public)?)?;
    let dh3 = book::dh(&ek, &spk.key)?;
    let opk = raw.one_time.as_ref();
    let dh4 = opk.map(|opk| book::dh(&ek, &opk.key)).transpose()?.unwrap_or_default();

    let numbered = |key: &proto::Prekey| [key.id.to_be_bytes().as_slice(), &key.key].concat();
    let kind = u8::try_from(kem.kind).map_err(|e| e.to_string())?;
    let parts: [&[u8]; 7] = [
        &1_u32.to_be_bytes(),
        &to_hash,
        &numbered(spk),
        &opk.map(numbered).unwrap_or_default(),
        &[[kind].as_slice(), &numbered(kem)].concat(),
        &ek_public,
        ct.as_bytes(),
    ];
    let p = book::hash(label::HASH_HANDSHAKE, &parts);
    let f = [0xFF; 32];
    let ikm: [&[u8]; 5] = [&f, &dh2, &dh3, &dh4, ss.expose()];
    let k_id = book::derive(label::KDF_HANDSHAKE_IDENTITY, &[0; 32], &ikm, &p, 32);

    let mut hedge = Draws::new(seed);
    hedge.next::<64>();
    let signed = [p, from_hash, to_hash].concat();
    let signature = parties.initiator.1.signing.sign(label::SIGN_HANDSHAKE, &signed, hedge.rng());
    let identity =
        proto::HandshakeIdentity { credential: Some(from.signed().clone()), signature: signature.clone() };
    let mut head = vec![0x11, 0, 1];
    head.extend(spk.id.to_be_bytes());
    head.extend(opk.map_or(0, |opk| opk.id).to_be_bytes());
    head.push(kind);
    head.extend(kem.id.to_be_bytes());
    head.extend(ek_public);
    head.extend(ct.as_bytes());
    let sealed = book::seal(&k_id, &head, &book::padded(&encode(&identity), 9216))?;
    let handshake = [head, sealed].concat();
    same("handshake", &handshake, &envelope[..HANDSHAKE_LEN])?;

    let context = book::hash(label::HASH_HANDSHAKE_PARTIES, &[&p, &from_hash, &to_hash]);
    let ikm: [&[u8]; 6] = [&f, &dh1, &dh2, &dh3, &dh4, ss.expose()];
    let secrets = book::derive(label::KDF_HANDSHAKE_SESSION, &[0; 32], &ikm, &context, 128);
    let (from_key, to_key) = (from.identity_key().as_bytes(), to.identity_key().as_bytes());
    let ad = book::hash(label::HASH_SESSION_AD, &[&from_hash, &to_hash, from_key, to_key]);
    let id = &book::hash(label::HASH_SESSION_ID, &[&p, &from_hash, &to_hash])[..16];
    same("session id", id, &started.session.id())?;
    let tag = &book::mac(label::KDF_TAG, &secrets[32..64], &0_u32.to_be_bytes())[..16];
    same("tag", tag, &envelope[HANDSHAKE_LEN + 1..HANDSHAKE_LEN + 17])?;

    let start = book::derive(label::KDF_PQ_START, &[0; 32], &[&secrets[96..]], b"", 160);
    let record = decode::<proto::SessionRecord>(started.session.to_bytes().expose(), Limit::RECORD);
    let record =
        record.map_err(|e| e.to_string())?.into_unchecked().post_quantum.ok_or("no post-quantum state")?;
    same("RK_pq", &start[..32], &record.root_key)?;
    same("authenticator", &start[96..], &record.braid.ok_or("no braid")?.authenticator)?;

    // The other side comes to the same.
    let local = Local { credential: to, keys: &parties.responder.1 };
    let responder = Responder { local, organisation: &parties.organisation, prekeys: &parties.prekeys };
    let parsed = InitialEnvelope::parse(envelope).map_err(|e| e.to_string())?;
    let accepted = respond(&responder, &parsed, parties.now, &mut chancery_crypto::rng::seeded([0; 32]))
        .map_err(|e| e.to_string())?;
    same("plaintext", accepted.plaintext.expose(), &plaintext)?;

    let mut computed = Computed::default();
    let via: [(&str, &[u8]); 23] = [
        ("ephemeral_secret", &ek),
        ("coins", &draws.next::<32>()),
        ("hedge", &draws.next::<32>()),
        ("dh1", &dh1),
        ("dh2", &dh2),
        ("dh3", &dh3),
        ("dh4", &dh4),
        ("ss", ss.expose()),
        ("transcript", &p),
        ("identity_key", &k_id),
        ("signed", &signed),
        ("signature", &signature),
        ("context", &context),
        ("root_key", &secrets[..32]),
        ("header_key_a", &secrets[32..64]),
        ("header_key_b", &secrets[64..96]),
        ("post_quantum_start", &secrets[96..]),
        ("post_quantum_root_key", &start[..32]),
        ("post_quantum_chain_key_of_initiator", &start[32..64]),
        ("post_quantum_chain_key_of_responder", &start[64..96]),
        ("authenticator", &start[96..]),
        ("associated_data", &ad),
        ("tag", tag),
    ];
    via.into_iter().for_each(|(name, value)| computed.via(name, value));
    computed.via("initiator_record", started.session.to_bytes().expose());
    computed.out("session_id", id);
    computed.out("envelope", envelope);
    Ok(computed)
}

fn content_padding() -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for length in [0, 1, 40, 200, 417, 418, 1000, 65_441, 65_442] {
        drafts.push((format!("bucket-{length}"), "bucket", json!({ "content_length": length })));
    }
    for length in [0_u64, 1, 1023, 1024, 1025, 4096, 65_535, 65_536, 65_537, 1_000_000, 314_572_801, 1 << 31]
    {
        drafts.push((format!("file-length-{length}"), "file-length", json!({ "length": length })));
    }
    let names = [
        "report.pdf",
        "../../etc/passwd",
        "C:\\a\\b.txt",
        "..hidden",
        "",
        "a\u{202e}fdp.exe",
        "a:b*c?",
        "\u{0}x\n",
        " . .hidden ",
    ];
    for (index, name) in names.iter().enumerate() {
        drafts.push((format!("file-name-{index}"), "file-name", json!({ "name": name })));
    }
    let content = |text: &str, files: usize| {
        let file = |index| {
            json!({
                "blob_id": sample_hex(&format!("blob {index}"), 16), "key": sample_hex(&format!("key {index}"), 32),
                "size": 1000 + index, "name": format!("file {index}"), "media_type": "text/plain",
            })
        };
        let files: Vec<Value> = (0..files).map(file).collect();
        json!({ "id": sample_hex("message id", 16), "sent_at": NOW.as_millis(), "text": text, "attachments": files })
    };
    for (id, text, files) in [("text", "hello", 0), ("unicode", "Grüße 東京", 0), ("files", "two files", 2)]
    {
        drafts.push((format!("content-{id}"), "content", content(text, files)));
    }
    drafts
}

fn compute_bucket(inputs: &Inputs<'_>) -> Computation {
    let length = usize::try_from(inputs.number("content_length")?).map_err(|e| e.to_string())?;
    let bucket = BUCKETS.iter().find(|bucket| length + SESSION_MESSAGE_OVERHEAD <= **bucket);
    if bucket.is_some() != (length <= MAX_CONTENT) {
        return Err("the largest content does not fit the largest bucket".into());
    }
    let mut computed = Computed::default();
    computed.out("session_message_length", json!(bucket));
    Ok(computed)
}

fn compute_file_length(inputs: &Inputs<'_>) -> Computation {
    let length = inputs.number("length")?;
    let x = length.max(1024);
    let e = u64::from(x.ilog2());
    let s = u64::from(e.ilog2()) + 1;
    let step = 1_u64.checked_shl(u32::try_from(e.saturating_sub(s)).unwrap_or(0)).unwrap_or(1);
    let padded = x.checked_next_multiple_of(step).ok_or("inputs.length: too large")?;
    if padded_len(length) != padded {
        return Err(format!("padded: two computations differ, {} and {padded}", padded_len(length)));
    }
    let mut computed = Computed::default();
    computed.via("e", json!(e));
    computed.via("s", json!(s));
    computed.via("padded", json!(padded));
    computed.out("stream_length", json!(chancery_crypto::stream::sealed_len(padded)));
    Ok(computed)
}

fn compute_file_name(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    computed.out("safe_name", json!(safe_name(inputs.text("name")?)));
    Ok(computed)
}

fn compute_content(inputs: &Inputs<'_>) -> Computation {
    let mut attachments = Vec::new();
    for file in inputs.0.get("attachments").and_then(Value::as_array).ok_or("inputs.attachments: no list")? {
        let file = file.as_object().ok_or("inputs.attachments: no object")?;
        let file = Inputs(file);
        attachments.push(proto::Attachment {
            blob_id: file.bytes("blob_id")?,
            key: file.bytes("key")?,
            size: file.number("size")?,
            name: file.text("name")?.to_owned(),
            media_type: file.text("media_type")?.to_owned(),
            ..Default::default()
        });
    }
    let text = proto::Text { text: inputs.text("text")?.to_owned(), attachments, ..proto::Text::default() };
    let content = proto::Content {
        id: inputs.bytes("id")?,
        sent_at: inputs.number("sent_at")?,
        number: 1,
        body: Some(proto::content::Body::Text(text)),
        ..proto::Content::default()
    };
    let mut computed = Computed::default();
    computed.out("content", &encode(&content));
    Ok(computed)
}

/// What goes to and fro when something is missing: contents without a message, and one that names lost numbers.
fn heal() -> Vec<Draft> {
    let ranges = |ranges: &[[u64; 2]]| json!(ranges);
    let draft = |id: &str, highest: u64, missing: &[[u64; 2]], gone: &[[u64; 2]]| {
        let inputs = json!({
            "sent_at": NOW.as_millis(), "sent": 12, "acknowledged": 4, "acknowledged_check": sample_hex(id, 8),
            "highest": highest, "missing": ranges(missing), "gone": ranges(gone),
        });
        (format!("heal-{id}"), "heal", inputs)
    };
    let most: Vec<[u64; 2]> = (0..64).map(|number| [5 + 3 * number, 6 + 3 * number]).collect();
    vec![
        draft("nothing-missing", 9, &[], &[]),
        draft("gaps", 20, &[[5, 7], [9, 9]], &[]),
        draft("gone", 20, &[[6, 6]], &[[2, 2], [10, 11]]),
        draft("most-ranges", 300, &most, &[]),
    ]
}

fn compute_heal(inputs: &Inputs<'_>) -> Computation {
    let ranges = |name: &str| {
        let bad = || format!("inputs.{name}: pairs of numbers");
        let list = inputs.0.get(name).and_then(Value::as_array).ok_or_else(bad)?;
        let range = |pair: &Value| match (pair[0].as_u64(), pair[1].as_u64()) {
            (Some(first), Some(last)) if first <= last => Ok(proto::NumberRange { first, last }),
            _ => Err(bad()),
        };
        list.iter().map(range).collect::<Result<Vec<_>, _>>()
    };
    let (highest, missing) = (inputs.number("highest")?, ranges("missing")?);
    let rising = missing.windows(2).all(|pair| pair[0].last < pair[1].first);
    if !rising || missing.len() > 64 || missing.iter().any(|range| range.last >= highest) {
        return Err("inputs.missing: rising and disjoint, at most 64, below the highest".into());
    }
    let content = proto::Content {
        sent_at: inputs.number("sent_at")?,
        sent: inputs.number("sent")?,
        acknowledged: inputs.number("acknowledged")?,
        acknowledged_check: u64::from_be_bytes(inputs.array("acknowledged_check")?),
        gone: ranges("gone")?,
        body: Some(proto::content::Body::Heal(proto::Heal { highest, missing })),
        ..proto::Content::default()
    };
    let mut computed = Computed::default();
    computed.out("content", &encode(&content));
    Ok(computed)
}
