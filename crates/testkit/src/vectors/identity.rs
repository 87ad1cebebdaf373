//! Statements about identities, directory entries, prekey batches, logins.

use chancery_core::{BatchPlan, generate_batch};
use chancery_crypto::kem::KemSecret;
use chancery_crypto::label::{self, Label};
use chancery_crypto::merkle;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_identity::prekey::leaf_hash;
use chancery_identity::{
    DeviceId, DeviceKeys, DirectoryKey, OrgId, Organisation, login_message, reply_mailbox, sign,
};
use chancery_wire::proto::{self, Signed};
use chancery_wire::{Limit, Timestamp, Unverified, decode, encode};
use serde_json::{Value, json};

use super::book::{self, Draws, sample_hex};
use super::sessions::private_half;
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};

pub(super) const PLANS: &[Plan] = &[
    ("organisation-and-credential", organisation_and_credential),
    ("directory-entry", directory_entry),
    ("prekey-batch-and-bundle", prekey_batch),
    ("relay-login", relay_login),
];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "issuer", requirements: &["R-ID-1", "R-ID-2", "R-ID-4", "R-ID-5"], compute: compute_issuer },
    Kind { name: "credential", requirements: &["R-ID-2", "R-ID-7", "R-ID-8"], compute: compute_credential },
    Kind { name: "desk", requirements: &["R-ID-2", "R-ID-9"], compute: compute_desk },
    Kind { name: "relay-record", requirements: &["R-ID-2", "R-ID-10"], compute: compute_relay_record },
    Kind { name: "organisation", requirements: &["R-ID-1", "R-ID-6"], compute: compute_organisation },
    Kind { name: "directory-entry", requirements: &["R-ID-12", "R-ID-13"], compute: compute_directory_entry },
    Kind {
        name: "prekey-batch",
        requirements: &["R-PREKEY-1", "R-PREKEY-2", "R-PREKEY-3", "R-PREKEY-4", "R-PREKEY-5", "R-PREKEY-100"],
        compute: compute_prekey_batch,
    },
    Kind { name: "prekey-bundle", requirements: &["R-PREKEY-5", "R-PREKEY-102"], compute: compute_bundle },
    Kind { name: "relay-login", requirements: &["R-ID-14", "R-ID-15"], compute: compute_login },
];

const FROM: u64 = 1_799_900_000_000;
const TO: u64 = 1_862_900_000_000;

fn organisation_and_credential() -> Vec<Draft> {
    let rng = |name: &str| sample_hex(&format!("hedge {name}"), 32);
    let issuer = |capabilities: u32, name: &str| {
        json!({
            "root_seed": sample_hex("root", 64), "issuer_seed": sample_hex(name, 64),
            "capabilities": capabilities, "not_before": FROM, "not_after": TO, "rng_seed": rng(name),
        })
    };
    let org_id =
        hex(OrgId::of(book::signer(&book::sample("root", 64)).expect("64 bytes").verifying_key()).as_bytes());
    let by = |name: &str| {
        json!({
            "issuer_seed": sample_hex("enrolling issuer", 64), "org_id": org_id,
            "issuer_id": sample_hex("issuer id", 32), "device_id": sample_hex(name, 16),
            "not_before": FROM, "not_after": TO, "rng_seed": rng(name),
        })
    };
    let with = |mut base: Value, more: Value| {
        for (name, value) in more.as_object().expect("named") {
            base[name] = value.clone();
        }
        base
    };
    let credential = |name: &str, capabilities: u32| {
        with(
            by(name),
            json!({
                "member_id": sample_hex(&format!("member {name}"), 16),
                "signing_seed": sample_hex(&format!("signing {name}"), 64),
                "identity_secret": sample_hex(&format!("identity {name}"), 32),
                "group_seed": sample_hex(&format!("group {name}"), 32),
                "capabilities": capabilities,
            }),
        )
    };
    let desk = with(
        by("desk"),
        json!({ "dh_secret": sample_hex("desk dh", 32), "kem_seed": sample_hex("desk kem", 64) }),
    );
    let record = json!({
        "issuer_seed": sample_hex("administering issuer", 64), "org_id": org_id,
        "issuer_id": sample_hex("issuer id", 32), "url": "wss://relay.example:443",
        "pin": sample_hex("pin", 32), "sequence": 1, "rng_seed": rng("record"),
        "log_key": hex(book::signer(&book::sample("log", 64)).expect("64 bytes").verifying_key().as_bytes()),
    });
    let document = crate::company::Company::found(1).organisation;
    vec![
        ("issuer-enrolling".into(), "issuer", issuer(1, "enrolling issuer")),
        ("issuer-administering".into(), "issuer", issuer(62, "administering issuer")),
        ("credential-member".into(), "credential", credential("alice", 256)),
        ("credential-desk".into(), "credential", credential("desk", 512)),
        ("desk".into(), "desk", desk),
        ("relay-record".into(), "relay-record", record),
        (
            "organisation-document".into(),
            "organisation",
            json!({ "document": hex(&encode(document.as_proto())) }),
        ),
    ]
}

/// Adds body, what was signed and the statement; returns the statement.
fn statement(
    computed: &mut Computed,
    inputs: &Inputs<'_>,
    (label, signed): (Label, Signed),
    issuer_seed: &[u8],
) -> Result<Signed, String> {
    let key = book::signer(issuer_seed)?;
    key.verifying_key().verify(label, &signed.body, &signed.signature).map_err(|e| e.to_string())?;
    computed.via("body", &signed.body);
    computed.via("signed", &book::bound_message(label, key.verifying_key().as_bytes(), &signed.body));
    computed.via("hedge", &Draws::new(inputs.array("rng_seed")?).next::<32>());
    computed.out("signature", &signed.signature);
    computed.out("statement", &encode(&signed));
    Ok(signed)
}

fn compute_issuer(inputs: &Inputs<'_>) -> Computation {
    let (root_seed, issuer_seed) = (inputs.bytes("root_seed")?, inputs.bytes("issuer_seed")?);
    let (root, issuer) = (book::signer(&root_seed)?, book::signer(&issuer_seed)?);
    let org_id = OrgId::of(root.verifying_key());
    same("org_id", org_id.as_bytes(), &book::hash(label::HASH_ORG_ID, &[root.verifying_key().as_bytes()]))?;
    let body = proto::IssuerBody {
        suite: 1,
        org_id: org_id.as_bytes().to_vec(),
        key: issuer.verifying_key().as_bytes().to_vec(),
        capabilities: inputs.small("capabilities")?,
        not_before: inputs.number("not_before")?,
        not_after: inputs.number("not_after")?,
    };
    let signed = sign::sign_issuer(&root, &body, Draws::new(inputs.array("rng_seed")?).rng());
    let mut computed = Computed::default();
    computed.out("root_key", root.verifying_key().as_bytes());
    computed.out("org_id", org_id.as_bytes());
    let signed = statement(&mut computed, inputs, (label::SIGN_ISSUER, signed), &root_seed)?;
    computed.out("issuer_id", &book::hash(label::HASH_ISSUER, &[&signed.body, &signed.signature]));
    Ok(computed)
}

fn compute_credential(inputs: &Inputs<'_>) -> Computation {
    let device =
        [inputs.bytes("signing_seed")?, inputs.bytes("identity_secret")?, inputs.bytes("group_seed")?];
    let keys = DeviceKeys::from_secret_bytes(&device.concat()).ok_or("device keys: 64, 32 and 32 bytes")?;
    let issuer_seed = inputs.bytes("issuer_seed")?;
    let body = proto::CredentialBody {
        suite: 1,
        org_id: inputs.bytes("org_id")?,
        issuer_id: inputs.bytes("issuer_id")?,
        member_id: inputs.bytes("member_id")?,
        device_id: inputs.bytes("device_id")?,
        signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
        identity_key: keys.identity.public().as_bytes().to_vec(),
        group_key: keys.group.verifying_key().as_bytes().to_vec(),
        capabilities: inputs.small("capabilities")?,
        not_before: inputs.number("not_before")?,
        not_after: inputs.number("not_after")?,
    };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = sign::sign_credential(&book::signer(&issuer_seed)?, &body, draws.rng());
    let mut computed = Computed::default();
    let signed = statement(&mut computed, inputs, (label::SIGN_CREDENTIAL, signed), &issuer_seed)?;
    computed.out("credential_hash", &book::hash(label::HASH_CREDENTIAL, &[&signed.body, &signed.signature]));
    Ok(computed)
}

fn compute_desk(inputs: &Inputs<'_>) -> Computation {
    let issuer_seed = inputs.bytes("issuer_seed")?;
    let dh = DhSecret::from_secret(Secret::from_bytes(inputs.array("dh_secret")?));
    let kem = KemSecret::from_seed(Secret::from_bytes(inputs.array("kem_seed")?));
    let body = proto::DeskBody {
        suite: 1,
        org_id: inputs.bytes("org_id")?,
        issuer_id: inputs.bytes("issuer_id")?,
        device_id: inputs.bytes("device_id")?,
        dh_key: dh.public().as_bytes().to_vec(),
        kem_key: kem.public().as_bytes().to_vec(),
        not_before: inputs.number("not_before")?,
        not_after: inputs.number("not_after")?,
    };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = sign::sign_desk(&book::signer(&issuer_seed)?, &body, draws.rng());
    let mut computed = Computed::default();
    let signed = statement(&mut computed, inputs, (label::SIGN_DESK, signed), &issuer_seed)?;
    computed.out("desk_hash", &book::hash(label::HASH_DESK, &[&signed.body, &signed.signature]));
    Ok(computed)
}

fn compute_relay_record(inputs: &Inputs<'_>) -> Computation {
    let issuer_seed = inputs.bytes("issuer_seed")?;
    let body = proto::RelayRecordBody {
        org_id: inputs.bytes("org_id")?,
        issuer_id: inputs.bytes("issuer_id")?,
        url: inputs.text("url")?.to_owned(),
        pin: inputs.bytes("pin")?,
        sequence: inputs.number("sequence")?,
        log_key: inputs.bytes("log_key")?,
    };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = sign::sign_relay_record(&book::signer(&issuer_seed)?, &body, draws.rng());
    let mut computed = Computed::default();
    statement(&mut computed, inputs, (label::SIGN_RELAY_RECORD, signed), &issuer_seed)?;
    Ok(computed)
}

fn compute_organisation(inputs: &Inputs<'_>) -> Computation {
    let document = decode::<proto::Organisation>(&inputs.bytes("document")?, Limit::ORGANISATION);
    let document = document.map_err(|e| e.to_string())?;
    let organisation = Organisation::verify(document, None).map_err(|e| e.to_string())?;
    let issuers = organisation.issuers().iter().map(|it| json!(hex(it.id().as_bytes()))).collect();
    let mut computed = Computed::default();
    computed.via("root_key", organisation.root_key().as_bytes());
    computed.out("org_id", organisation.id().as_bytes());
    computed.out("issuer_ids", Value::Array(issuers));
    if let Some(desk) = organisation.desk() {
        computed.out("desk_hash", desk.statement_hash());
    }
    if let Some(relay) = organisation.relay() {
        computed.out("relay_url", json!(relay.url()));
        computed.out("relay_pin", relay.pin());
    }
    Ok(computed)
}

fn directory_entry() -> Vec<Draft> {
    let entry = |name: &str, devices: usize, version: u64| {
        let devices: Vec<String> = (0..devices).map(|it| sample_hex(&format!("device {it}"), 16)).collect();
        json!({
            "issuer_seed": sample_hex("enrolling issuer", 64), "org_id": sample_hex("org id", 32),
            "issuer_id": sample_hex("issuer id", 32), "member_id": sample_hex("member alice", 16),
            "handle": "alice", "name": name, "device_ids": devices, "version": version,
            "directory_key": sample_hex("directory key", 32), "key_epoch": 258, "entry_id": sample_hex("entry id", 16),
            "rng_seed": sample_hex("hedge directory", 32),
        })
    };
    vec![
        ("directory-one-device".into(), "directory-entry", entry("Alice Example", 1, 1)),
        ("directory-unicode".into(), "directory-entry", entry("Zoë 東京", 2, 2)),
        ("directory-left".into(), "directory-entry", entry("Alice Example", 0, 3)),
        ("directory-many-devices".into(), "directory-entry", entry("Alice Example", 16, u64::from(u32::MAX))),
    ]
}

fn compute_directory_entry(inputs: &Inputs<'_>) -> Computation {
    let (issuer_seed, version) = (inputs.bytes("issuer_seed")?, inputs.number("version")?);
    let (key, entry_id) = (inputs.array::<32>("directory_key")?, inputs.array::<16>("entry_id")?);
    let body = proto::DirectoryEntryBody {
        org_id: inputs.bytes("org_id")?,
        issuer_id: inputs.bytes("issuer_id")?,
        member_id: inputs.bytes("member_id")?,
        handle: inputs.text("handle")?.to_owned(),
        name: inputs.text("name")?.to_owned(),
        device_ids: inputs.list("device_ids")?,
        version,
        ..Default::default()
    };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signed = sign::sign_directory_entry(&book::signer(&issuer_seed)?, &body, draws.rng());
    let epoch = inputs.number("key_epoch")?;
    let directory_key = DirectoryKey::new(epoch, Secret::from_bytes(key)).ok_or("key_epoch: none")?;
    let entry = directory_key.seal(&signed, &entry_id, version, draws.rng());
    let mut computed = Computed::default();
    let signed = statement(&mut computed, inputs, (label::SIGN_DIRECTORY, signed), &issuer_seed)?;

    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let (_, salt) = (draws.next::<32>(), draws.next::<32>());
    let aad = [entry_id.as_slice(), &version.to_be_bytes(), &epoch.to_be_bytes()].concat();
    let entry_key = book::derive(label::KDF_DIRECTORY_ENTRY, &salt, &[&key], &aad, 32);
    let signed = encode(&signed);
    let plain = book::padded(&signed, (signed.len() + 4).next_multiple_of(4096));
    let sealed =
        [epoch.to_be_bytes().to_vec(), salt.to_vec(), book::seal(&entry_key, &aad, &plain)?].concat();
    same("sealed", &entry.sealed, &sealed)?;
    computed.via("aad", &aad);
    computed.via("salt", &salt);
    computed.via("key", &entry_key);
    computed.out("sealed", &sealed);
    computed.out("entry", &encode(&entry));
    Ok(computed)
}

fn prekey_batch() -> Vec<Draft> {
    let batch = |pairs: u32| {
        json!({
            "device_id": sample_hex("alice", 16), "device_keys": sample_hex("device keys", 128),
            "sequence": 1, "first_id": 1, "one_time_pairs": pairs, "expires": TO,
            "rng_seed": sample_hex("prekeys", 32),
        })
    };
    let company = crate::company::Company::found(1);
    let bundle = |one_time| {
        let bundle = company.bob.bundle(one_time);
        let now = crate::company::NOW.as_millis();
        json!({ "organisation": hex(&encode(company.organisation.as_proto())), "bundle": hex(&encode(&bundle)), "now": now })
    };
    vec![
        ("prekey-batch-none".into(), "prekey-batch", batch(0)),
        ("prekey-batch-two".into(), "prekey-batch", batch(2)),
        ("prekey-bundle-one-time".into(), "prekey-bundle", bundle(Some(0))),
        ("prekey-bundle-last-resort".into(), "prekey-bundle", bundle(None)),
    ]
}

fn compute_prekey_batch(inputs: &Inputs<'_>) -> Computation {
    let keys =
        DeviceKeys::from_secret_bytes(&inputs.bytes("device_keys")?).ok_or("device_keys: not 128 bytes")?;
    let device_id = DeviceId::new(inputs.array("device_id")?);
    let plan = BatchPlan {
        device_id,
        sequence: inputs.number("sequence")?,
        first_id: inputs.small("first_id")?,
        one_time_pairs: inputs.small("one_time_pairs")?,
        expires: Timestamp::from_millis(inputs.number("expires")?),
    };
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let made = generate_batch(&keys, &plan, draws.rng()).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    let secrets = made
        .secrets
        .iter()
        .map(|(id, secret)| (id, private_half(*id, secret.expose())))
        .map(|(id, secret)| json!({ "kind": id.kind.number(), "id": id.id, "secret": hex(secret) }));
    computed.via("secrets", Value::Array(secrets.collect()));
    let mut leaves = Vec::new();
    for (leaf, (id, _)) in made.upload.leaves.iter().zip(&made.secrets) {
        let id_bytes = id.id.to_be_bytes();
        let parts: [&[u8]; 4] = [device_id.as_bytes(), &[id.kind.number()], &id_bytes, &leaf.key];
        let hash = merkle::leaf_hash(&book::hash(label::HASH_PREKEY, &parts));
        same("leaf", &hash, &leaf_hash(&device_id, *id, &leaf.key))?;
        leaves.push(hash);
    }
    let list = |hashes: &[merkle::Hash]| json!(hashes.iter().map(|hash| hex(hash)).collect::<Vec<_>>());
    computed.via("leaf_hashes", list(&leaves));
    let proofs = (0..leaves.len()).filter_map(|index| merkle::inclusion_proof(&leaves, index));
    computed.out("proofs", Value::Array(proofs.map(|proof| list(&proof)).collect()));
    computed.out("root", &merkle::root(&leaves));
    let head = made.upload.batch.clone().unwrap_or_default();
    keys.signing
        .verifying_key()
        .verify(label::SIGN_PREKEYS, &head.body, &head.signature)
        .map_err(|e| e.to_string())?;
    computed.via("body", &head.body);
    computed.out("signature", &head.signature);
    computed.out("upload", &encode(&made.upload));
    Ok(computed)
}

fn compute_bundle(inputs: &Inputs<'_>) -> Computation {
    let document = decode::<proto::Organisation>(&inputs.bytes("organisation")?, Limit::ORGANISATION);
    let organisation =
        Organisation::verify(document.map_err(|e| e.to_string())?, None).map_err(|e| e.to_string())?;
    let now = Timestamp::from_millis(inputs.number("now")?);
    let bytes = inputs.bytes("bundle")?;
    let bundle = decode::<proto::PrekeyBundle>(&bytes, Limit::BUNDLE).map_err(|e| e.to_string())?;
    let credential = bundle.unchecked().credential.clone().unwrap_or_default();
    let credential =
        organisation.verify_credential(Unverified::new(credential), now).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    let read = bundle.unchecked().clone();
    for (name, prekey) in [("signed", read.signed), ("one_time", read.one_time), ("kem", read.kem)] {
        let Some(prekey) = prekey else { continue };
        let id = prekey.id.to_be_bytes();
        let kind = [u8::try_from(prekey.kind).map_err(|e| e.to_string())?];
        let device = credential.device_id();
        let parts: [&[u8]; 4] = [device.as_bytes(), &kind, &id, &prekey.key];
        let leaf = merkle::leaf_hash(&book::hash(label::HASH_PREKEY, &parts));
        computed.via(&format!("{name}_leaf_hash"), &leaf);
    }
    let expected = (&credential.member_id(), &credential.device_id());
    let bundle =
        chancery_core::Bundle::verify(bundle, &organisation, expected, now).map_err(|e| e.to_string())?;
    computed.out("member_id", credential.member_id().as_bytes());
    computed.out("device_id", credential.device_id().as_bytes());
    computed.out("credential_hash", &credential.hash());
    computed.out("last_resort", json!(bundle.is_last_resort()));
    Ok(computed)
}

fn relay_login() -> Vec<Draft> {
    let login = |index: u8| {
        json!({
            "signing_seed": sample_hex("signing alice", 64), "challenge": sample_hex(&format!("challenge {index}"), 32),
            "org_id": sample_hex("org id", 32), "relay_pin": sample_hex("pin", 32),
            "rng_seed": sample_hex(&format!("hedge login {index}"), 32),
        })
    };
    (0..2).map(|index| (format!("relay-login-{index}"), "relay-login", login(index))).collect()
}

fn compute_login(inputs: &Inputs<'_>) -> Computation {
    let key = book::signer(&inputs.bytes("signing_seed")?)?;
    let (challenge, pin) = (inputs.array("challenge")?, inputs.array("relay_pin")?);
    let org_id = inputs.array::<32>("org_id")?;
    let message = login_message(&challenge, &OrgId::new(org_id), &pin);
    same("message", &message, &[challenge, org_id, pin].concat())?;
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let signature = key.sign(label::SIGN_RELAY_LOGIN, &message, draws.rng());
    let public = key.verifying_key();
    let mut computed = Computed::default();
    computed.via("message", &message);
    computed.via("signed", &book::bound_message(label::SIGN_RELAY_LOGIN, public.as_bytes(), &message));
    computed.via("hedge", &Draws::new(inputs.array("rng_seed")?).next::<32>());
    computed.out("verifying_key", public.as_bytes());
    computed.out("signature", &signature);
    let mailbox = reply_mailbox(public);
    same("mailbox", &mailbox, &book::hash(label::HASH_REPLY_MAILBOX, &[public.as_bytes()])[..16])?;
    computed.out("reply_mailbox", &mailbox);
    Ok(computed)
}
