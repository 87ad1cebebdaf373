//! Handshakes, runs of the ratchet, session messages, contents.
//!
//! Envelopes come from the sessions themselves; secrets on the way are computed again from the document, or read
//! from the stored records.

use std::collections::BTreeMap;

use chancery_core::{
    BUCKETS, Bundle, HANDSHAKE_LEN, InitialEnvelope, Local, MAX_CONTENT, PrekeyId, PrekeyKind, Responder,
    SESSION_MESSAGE_OVERHEAD, Session, initiate, respond,
};
use chancery_crypto::kem::KemPublic;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_engine::content::{padded_len, safe_name};
use chancery_identity::{Credential, DeviceKeys, Organisation};
use chancery_wire::proto::{self, PrekeyBundle, SessionRecord};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, Member, NOW, Prekeys};

pub(super) const PLANS: &[Plan] = &[
    ("handshake", handshake),
    ("ratchet-run", ratchet_run),
    ("session-envelope", session_envelope),
    ("content-padding", content_padding),
];

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
        ],
        compute: compute_handshake,
    },
    Kind {
        name: "ratchet-run",
        requirements: &[
            "R-RATCHET-3",
            "R-RATCHET-4",
            "R-RATCHET-8",
            "R-RATCHET-9",
            "R-RATCHET-13",
            "R-RATCHET-14",
        ],
        compute: compute_run,
    },
    Kind {
        name: "session-envelope",
        requirements: &[
            "R-ENVELOPE-2",
            "R-ENVELOPE-4",
            "R-ENVELOPE-5",
            "R-RATCHET-5",
            "R-RATCHET-6",
            "R-RATCHET-7",
        ],
        compute: compute_envelope,
    },
    Kind { name: "bucket", requirements: &["R-ENVELOPE-4"], compute: compute_bucket },
    Kind { name: "file-length", requirements: &["R-CONTENT-6", "R-CONTENT-7"], compute: compute_file_length },
    Kind { name: "file-name", requirements: &["R-CONTENT-4"], compute: compute_file_name },
    Kind { name: "content", requirements: &["R-CONTENT-1", "R-CONTENT-2"], compute: compute_content },
];

fn handshake() -> Vec<Draft> {
    let company = Company::found(1);
    let draft = |id: &str, one_time, plaintext: &[u8]| {
        let secrets = company.bob.prekeys.0.iter().map(|(prekey, secret)| {
            json!({ "kind": prekey.kind.number(), "id": prekey.id, "secret": hex(secret) })
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

    // The other side comes to the same.
    let local = Local { credential: to, keys: &parties.responder.1 };
    let responder = Responder { local, organisation: &parties.organisation, prekeys: &parties.prekeys };
    let parsed = InitialEnvelope::parse(envelope).map_err(|e| e.to_string())?;
    let accepted = respond(&responder, &parsed, parties.now, &mut chancery_crypto::rng::seeded([0; 32]))
        .map_err(|e| e.to_string())?;
    same("plaintext", accepted.plaintext.expose(), &plaintext)?;

    let mut computed = Computed::default();
    let via: [(&str, &[u8]); 19] = [
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
        ("associated_data", &ad),
        ("tag", tag),
    ];
    via.into_iter().for_each(|(name, value)| computed.via(name, value));
    computed.via("initiator_record", started.session.to_bytes().expose());
    computed.out("session_id", id);
    computed.out("envelope", envelope);
    Ok(computed)
}

/// Both sides of a session after its first message.
fn records() -> (String, String) {
    let mut draws = Draws::new([5; 32]);
    let (alice, bob, _) = Company::found(1).two_sessions(draws.rng());
    (hex(alice.to_bytes().expose()), hex(bob.to_bytes().expose()))
}

fn ratchet_run() -> Vec<Draft> {
    let (initiator, responder) = records();
    let run = |id: &str, steps: &[&str]| {
        let inputs = json!({
            "initiator": initiator, "responder": responder, "steps": steps,
            "now": NOW.as_millis(), "rng_seed": sample_hex(id, 32),
        });
        (format!("ratchet-run-{id}"), "ratchet-run", inputs)
    };
    vec![
        run(
            "in-order",
            &["i send one", "r receive 0", "r send two", "i receive 1", "i send three", "r receive 2"],
        ),
        run(
            "turns",
            &[
                "r send a",
                "i receive 0",
                "i send b",
                "r receive 1",
                "r send c",
                "i receive 2",
                "i send d",
                "r receive 3",
                "r send e",
                "i receive 4",
                "i send f",
                "r receive 5",
                "r send g",
                "i receive 6",
                "i send h",
                "r receive 7",
            ],
        ),
        run(
            "loss-and-reordering",
            &[
                "i send a0",
                "i send a1",
                "i send a2",
                "i send a3",
                "r receive 3",
                "r receive 1",
                "r send b0",
                "r send b1",
                "i receive 5",
                "i send a4",
                "r receive 6",
                "r receive 0",
                "i receive 4",
                "r receive 1",
                "r receive 2",
            ],
        ),
        run(
            "both-at-once",
            &[
                "i send a0",
                "r send b0",
                "r receive 0",
                "i receive 1",
                "r send b1",
                "i send a1",
                "i receive 2",
                "r receive 3",
                "r receive 0",
            ],
        ),
    ]
}

fn session(inputs: &Inputs<'_>, name: &str) -> Result<Session, String> {
    Session::from_bytes(&inputs.bytes(name)?).map_err(|e| format!("inputs.{name}: {e}"))
}

fn compute_run(inputs: &Inputs<'_>) -> Computation {
    let mut sides = [session(inputs, "initiator")?, session(inputs, "responder")?];
    let now = Timestamp::from_millis(inputs.number("now")?);
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let steps = inputs.0.get("steps").and_then(Value::as_array).ok_or("inputs.steps: no list")?;
    let (mut envelopes, mut results, mut states) = (Vec::new(), Vec::new(), Vec::new());
    for step in steps {
        let words: Vec<&str> = step.as_str().ok_or("inputs.steps: no text")?.splitn(3, ' ').collect();
        let [who, what, which] = words.as_slice() else { return Err("inputs.steps: three words".into()) };
        let side = match *who {
            "i" => &mut sides[0],
            "r" => &mut sides[1],
            _ => return Err("inputs.steps: i or r".into()),
        };
        let before = side.to_bytes();
        match *what {
            "send" => {
                let envelope = side.encrypt(which.as_bytes(), draws.rng()).map_err(|e| e.to_string())?;
                let chain = sending_chain(before.expose())?;
                same("tag", &chain.tag, &envelope[1..17])?;
                results.push(json!({ "envelope": hex(&envelope), "sending": chain.shown() }));
                envelopes.push(envelope);
            }
            "receive" => {
                let envelope = which.parse().ok().and_then(|which: usize| envelopes.get(which));
                let envelope = envelope.ok_or("inputs.steps: no such envelope")?;
                results.push(match side.decrypt(envelope, now, draws.rng()) {
                    Ok(decrypted) => json!({ "plaintext": hex(decrypted.plaintext.expose()) }),
                    Err(error) => {
                        same("state after a refusal", before.expose(), side.to_bytes().expose())?;
                        json!({ "error": error.to_string() })
                    }
                });
            }
            _ => return Err("inputs.steps: send or receive".into()),
        }
        states.push(json!(hex(side.to_bytes().expose())));
    }
    let mut computed = Computed::default();
    computed.via("records_after_each_step", Value::Array(states));
    computed.out("results", Value::Array(results));
    Ok(computed)
}

/// What the classical ratchet uses for the next message, from a stored record.
struct SendingChain {
    header_key: Vec<u8>,
    chain_key: Vec<u8>,
    number: u32,
    ratchet_public: Vec<u8>,
    tag: Vec<u8>,
    single_header_key: [u8; 32],
    message_key: [u8; 32],
    next_chain_key: [u8; 32],
    previous: u32,
    associated_data: Vec<u8>,
}

fn sending_chain(record: &[u8]) -> Result<SendingChain, String> {
    let record = decode::<SessionRecord>(record, Limit::RECORD).map_err(|e| e.to_string())?.into_unchecked();
    let chain = record.sending.ok_or("no sending chain")?;
    let number = chain.next.to_be_bytes();
    let secret = Secret::from_slice(&record.ratchet_secret).ok_or("ratchet secret: not 32 bytes")?;
    Ok(SendingChain {
        tag: book::mac(label::KDF_TAG, &chain.header_key, &number)[..16].to_vec(),
        single_header_key: book::mac(label::KDF_HEADER, &chain.header_key, &number),
        message_key: book::mac(label::KDF_MESSAGE, &chain.chain_key, b""),
        next_chain_key: book::mac(label::KDF_CHAIN, &chain.chain_key, b""),
        ratchet_public: DhSecret::from_secret(secret).public().as_bytes().to_vec(),
        header_key: chain.header_key,
        chain_key: chain.chain_key,
        number: chain.next,
        previous: record.previous_chain_len,
        associated_data: record.associated_data,
    })
}

impl SendingChain {
    fn shown(&self) -> Value {
        json!({
            "number": self.number, "previous_chain_len": self.previous,
            "header_key": hex(&self.header_key), "chain_key": hex(&self.chain_key),
            "ratchet_public_key": hex(&self.ratchet_public), "tag": hex(&self.tag),
            "single_use_header_key": hex(&self.single_header_key),
            "classical_message_key": hex(&self.message_key), "next_chain_key": hex(&self.next_chain_key),
        })
    }
}

fn session_envelope() -> Vec<Draft> {
    let (initiator, responder) = records();
    let draft = |id: &str, record: &str, content: Vec<u8>| {
        let inputs = json!({ "record": record, "content": hex(&content), "rng_seed": sample_hex(id, 32) });
        (format!("session-envelope-{id}"), "session-envelope", inputs)
    };
    vec![
        draft("initiator", &initiator, b"vector".to_vec()),
        draft("responder", &responder, b"vector".to_vec()),
        draft("empty", &initiator, Vec::new()),
        draft("fills-its-bucket", &initiator, vec![b'x'; BUCKETS[0] - SESSION_MESSAGE_OVERHEAD]),
        draft("one-more", &initiator, vec![b'x'; BUCKETS[0] - SESSION_MESSAGE_OVERHEAD + 1]),
    ]
}

fn compute_envelope(inputs: &Inputs<'_>) -> Computation {
    let (record, content) = (inputs.bytes("record")?, inputs.bytes("content")?);
    let mut session = session(inputs, "record")?;
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let envelope = session.encrypt(&content, draws.rng()).map_err(|e| e.to_string())?;
    let chain = sending_chain(&record)?;
    let mut header = chain.ratchet_public.clone();
    header.extend(chain.previous.to_be_bytes());
    same("tag", &chain.tag, &envelope[1..17])?;
    let mut computed = Computed::default();
    computed.via("sending", chain.shown());
    computed.via("header_without_flags", &header);
    computed.via("associated_data", &[chain.associated_data.as_slice(), &envelope[1..73]].concat());
    computed.out("envelope", &envelope);
    computed.out("record_after", session.to_bytes().expose());
    Ok(computed)
}

fn content_padding() -> Vec<Draft> {
    let mut drafts: Vec<Draft> = Vec::new();
    for length in [0, 1, 40, 200, 419, 420, 1000, 65_443, 65_444] {
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
        });
    }
    let text = proto::Text { text: inputs.text("text")?.to_owned(), attachments };
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
