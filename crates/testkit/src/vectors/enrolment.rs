//! Invitation links, enrolment requests and answers.

use chancery_crypto::hash::sha256;
use chancery_crypto::kem::KemPublic;
use chancery_crypto::label::{self, Label};
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_identity::{DeviceKeys, OrgId, Organisation, reply_mailbox};
use chancery_org::{InvitationLink, request};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};
use serde_json::json;

use super::book::{self, Draws, sample_hex};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, NOW, RELAY_URL};

pub(super) const PLANS: &[Plan] = &[("invitation-link", invitation_link), ("enrolment", enrolment)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "invitation-link", requirements: &["R-ORG-3", "R-ORG-4"], compute: compute_link },
    Kind { name: "invitation-text", requirements: &["R-ORG-4"], compute: compute_text },
    Kind {
        name: "enrolment-request",
        requirements: &["R-ORG-5", "R-ORG-6", "R-ORG-7", "R-ORG-8"],
        compute: compute_request,
    },
    Kind { name: "enrolment-answer", requirements: &["R-ORG-8", "R-ORG-11"], compute: compute_answer },
];

fn invitation_link() -> Vec<Draft> {
    let link = |url: &str| {
        json!({
            "org_id": sample_hex("org id", 32), "relay_url": url, "relay_pin": sample_hex("pin", 32),
            "invitation_id": sample_hex("invitation", 16), "secret": sample_hex("secret", 32),
            "expires": 1_800_003_600_000_u64,
        })
    };
    let good = Company::found(1).alice.link.encode();
    let text = |text: &str| json!({ "text": text });
    let longest = format!("wss://{}", "x".repeat(250));
    vec![
        ("link".into(), "invitation-link", link(RELAY_URL)),
        ("link-with-a-path".into(), "invitation-link", link("wss://[::1]:8443/relay")),
        ("link-of-the-longest-address".into(), "invitation-link", link(&longest)),
        ("text-good".into(), "invitation-text", text(&good)),
        ("text-in-white-space".into(), "invitation-text", text(&format!(" \t{good}\r\n"))),
        ("text-cut".into(), "invitation-text", text(&good[..good.len() - 1])),
        ("text-mistyped".into(), "invitation-text", text(&good.replace('A', "B"))),
        ("text-no-link".into(), "invitation-text", text("https://example.org")),
        ("text-empty".into(), "invitation-text", text("")),
    ]
}

fn compute_link(inputs: &Inputs<'_>) -> Computation {
    let link = InvitationLink {
        org_id: OrgId::new(inputs.array("org_id")?),
        relay_url: inputs.text("relay_url")?.to_owned(),
        relay_pin: inputs.array("relay_pin")?,
        invitation_id: inputs.array("invitation_id")?,
        secret: Secret::from_bytes(inputs.array("secret")?),
        expires: Timestamp::from_millis(inputs.number("expires")?),
    };
    let invitation = encode(&proto::Invitation {
        version: 1,
        org_id: inputs.bytes("org_id")?,
        relay_url: link.relay_url.clone(),
        relay_pin: link.relay_pin.to_vec(),
        invitation_id: link.invitation_id.to_vec(),
        secret: inputs.bytes("secret")?,
        expires: link.expires.as_millis(),
    });
    let text = link.encode();
    InvitationLink::parse(&text).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.via("invitation", &invitation);
    computed.via("checksum", &sha256(&[&invitation])[..4]);
    computed.out("link", json!(text));
    Ok(computed)
}

fn compute_text(inputs: &Inputs<'_>) -> Computation {
    let mut computed = Computed::default();
    match InvitationLink::parse(inputs.text("text")?) {
        Ok(link) => {
            computed.out("org_id", link.org_id.as_bytes());
            computed.out("invitation_id", &link.invitation_id);
            computed.out("secret", link.secret.expose());
            computed.out("expires", json!(link.expires.as_millis()));
        }
        Err(error) => computed.out("error", json!(error.to_string())),
    }
    Ok(computed)
}

fn enrolment() -> Vec<Draft> {
    let company = Company::found(1);
    let requests = (0..2).map(|index| {
        let inputs = json!({
            "organisation": hex(&encode(company.organisation.as_proto())),
            "link": company.alice.link.encode(), "device_keys": sample_hex(&format!("new device {index}"), 128),
            "now": NOW.as_millis(), "rng_seed": sample_hex(&format!("request {index}"), 32),
        });
        (format!("enrolment-request-{index}"), "enrolment-request", inputs)
    });
    // The answer secret is the second part of a stored request (17..49).
    let answers = [("alice", &company.alice), ("bob", &company.bob)].map(|(name, member)| {
        let stored = member.pending.to_secret_bytes();
        let inputs = json!({
            "organisation": hex(&encode(company.organisation.as_proto())),
            "device_keys": hex(member.keys.to_secret_bytes().expose()), "now": NOW.as_millis(),
            "stored_request": hex(stored.expose()), "answer": hex(&member.answer),
        });
        (format!("enrolment-answer-{name}"), "enrolment-answer", inputs)
    });
    requests.chain(answers).collect()
}

pub(super) fn organisation(inputs: &Inputs<'_>) -> Result<Organisation, String> {
    let document = decode::<proto::Organisation>(&inputs.bytes("organisation")?, Limit::ORGANISATION);
    Organisation::verify(document.map_err(|e| e.to_string())?, None).map_err(|e| e.to_string())
}

fn compute_request(inputs: &Inputs<'_>) -> Computation {
    let organisation = organisation(inputs)?;
    let link = InvitationLink::parse(inputs.text("link")?).map_err(|e| e.to_string())?;
    let keys =
        DeviceKeys::from_secret_bytes(&inputs.bytes("device_keys")?).ok_or("device_keys: not 128 bytes")?;
    let now = Timestamp::from_millis(inputs.number("now")?);
    let seed = inputs.array("rng_seed")?;
    let ours =
        request(&link, &organisation, &keys, now, Draws::new(seed).rng()).map_err(|e| e.to_string())?;

    let asked = (&link.invitation_id, Some(link.secret.expose().as_slice()));
    let request = Request::make(&organisation, &keys, asked, &mut Channel::draws(seed))?;
    same("envelope", &request.envelope, ours.envelope())?;
    same("mailbox", &ours.reply_mailbox(), &reply_mailbox(keys.signing.verifying_key()))?;
    let mut computed = Computed::default();
    request.show(&mut computed);
    computed.out("envelope", &request.envelope);
    computed.out("reply_mailbox", &ours.reply_mailbox());
    Ok(computed)
}

/// Keys that a device agrees on with the desk (R-ORG-6, R-ORG-18).
pub(super) struct Channel {
    pub(super) ephemeral: [u8; 32],
    pub(super) coins: [u8; 32],
    pub(super) dh: Vec<u8>,
    pub(super) kem_secret: Vec<u8>,
    pub(super) context: [u8; 32],
    /// Request key (32), answer secret (32).
    pub(super) secrets: Vec<u8>,
    /// What comes before the sealed part.
    pub(super) head: Vec<u8>,
}

impl Channel {
    /// Randomness in order, and once more from the start, for what has to be seen and drawn.
    pub(super) fn draws(seed: [u8; 32]) -> (Draws, Draws) {
        (Draws::new(seed), Draws::new(seed))
    }

    /// Draws ephemeral key and coins.
    pub(super) fn make(
        kind: u8,
        (context, keys): (Label, Label),
        organisation: &Organisation,
        (draws, again): &mut (Draws, Draws),
    ) -> Result<Self, String> {
        let desk = organisation.desk().ok_or("no desk")?;
        let (ephemeral, coins) = (draws.next::<32>(), draws.next::<32>());
        let public = *DhSecret::from_secret(Secret::from_bytes(ephemeral)).public().as_bytes();
        let dh = book::dh(&ephemeral, desk.dh_key().as_bytes())?;
        let kem = KemPublic::from_bytes(desk.kem_key().as_bytes()).map_err(|e| e.to_string())?;
        again.next::<32>();
        let (ct, ss) = kem.encapsulate(again.rng());
        let org_id = organisation.id();
        let context =
            book::hash(context, &[org_id.as_bytes(), desk.statement_hash(), &public, ct.as_bytes()]);
        let secrets = book::derive(keys, b"", &[&[0xFF; 32], &dh, ss.expose()], &context, 64);
        let head = [[kind].as_slice(), &public, ct.as_bytes()].concat();
        Ok(Self { ephemeral, coins, dh, kem_secret: ss.expose().to_vec(), context, secrets, head })
    }

    pub(super) fn show(&self, computed: &mut Computed) {
        let via: [(&str, &[u8]); 7] = [
            ("ephemeral_secret", &self.ephemeral),
            ("coins", &self.coins),
            ("dh", &self.dh),
            ("kem_secret", &self.kem_secret),
            ("context", &self.context),
            ("request_key", &self.secrets[..32]),
            ("answer_secret", &self.secrets[32..]),
        ];
        via.into_iter().for_each(|(name, value)| computed.via(name, value));
    }
}

/// A device's request to the desk (R-ORG-7, R-ORG-8).
pub(super) struct Request {
    channel: Channel,
    statement: Vec<u8>,
    proof: Vec<u8>,
    signature: Vec<u8>,
    body: Vec<u8>,
    pub(super) envelope: Vec<u8>,
}

impl Request {
    /// Draws ephemeral key, coins and hedge. Without a secret of an invitation there is no proof.
    pub(super) fn make(
        organisation: &Organisation,
        keys: &DeviceKeys,
        (id, secret): (&[u8; 16], Option<&[u8]>),
        draws: &mut (Draws, Draws),
    ) -> Result<Self, String> {
        let labels = (label::HASH_ENROLMENT, label::KDF_ENROLMENT);
        let channel = Channel::make(0x13, labels, organisation, draws)?;
        let (signing_key, identity_key) = (keys.signing.verifying_key(), keys.identity.public());
        let group_key = keys.group.verifying_key();
        let parts: [&[u8]; 5] =
            [&channel.context, id, signing_key.as_bytes(), identity_key.as_bytes(), group_key.as_bytes()];
        let statement = parts.concat();
        let proof = secret.map(|secret| book::mac(label::MAC_INVITATION, secret, &statement).to_vec());
        let proof = proof.unwrap_or_default();
        let signature = keys.signing.sign(label::SIGN_ENROLMENT, &statement, draws.0.rng());
        let body = encode(&proto::EnrolmentRequest {
            invitation_id: id.to_vec(),
            proof: proof.clone(),
            signing_key: signing_key.as_bytes().to_vec(),
            identity_key: identity_key.as_bytes().to_vec(),
            group_key: group_key.as_bytes().to_vec(),
            signature: signature.clone(),
        });
        let padded = book::padded(&body, 8192);
        let sealed = book::seal(&channel.secrets[..32], &channel.head, &padded)?;
        let envelope = [channel.head.as_slice(), &sealed].concat();
        Ok(Self { channel, statement, proof, signature, body, envelope })
    }

    pub(super) fn show(&self, computed: &mut Computed) {
        self.channel.show(computed);
        computed.via("statement", &self.statement);
        computed.via("proof", &self.proof);
        computed.via("signature", &self.signature);
        computed.via("request", &self.body);
    }
}

fn compute_answer(inputs: &Inputs<'_>) -> Computation {
    let organisation = organisation(inputs)?;
    let keys =
        DeviceKeys::from_secret_bytes(&inputs.bytes("device_keys")?).ok_or("device_keys: not 128 bytes")?;
    let (stored, answer) = (inputs.bytes("stored_request")?, inputs.bytes("answer")?);
    let now = Timestamp::from_millis(inputs.number("now")?);
    let pending =
        chancery_org::PendingEnrolment::from_secret_bytes(&stored).ok_or("stored_request: unreadable")?;
    let done = pending.complete(&organisation, &keys, &answer, now).map_err(|e| e.to_string())?;

    let secret = stored.get(17..49).ok_or("stored_request: too short")?;
    let (head, sealed) = answer.split_at_checked(33).ok_or("answer: too short")?;
    let key = book::derive(label::KDF_ENROLMENT_ANSWER, &head[1..], &[secret], b"", 32);
    let one_time = chancery_crypto::aead::OneTimeKey::new(Secret::from_slice(&key).ok_or("32 bytes")?);
    let plain = one_time.open(head, sealed).map_err(|e| e.to_string())?;
    let (length, rest) = plain.expose().split_first_chunk::<4>().ok_or("too short")?;
    let body = rest.get(..u32::from_be_bytes(*length) as usize).ok_or("too short")?;
    let mut computed = Computed::default();
    computed.via("answer_secret", secret);
    computed.via("salt", &head[1..]);
    computed.via("key", &key);
    computed.via("enrolment_answer", body);
    computed.out("credential_hash", &done.credential.hash());
    computed.out("member_id", done.credential.member_id().as_bytes());
    computed.out("device_id", done.credential.device_id().as_bytes());
    computed.out("handle", json!(done.handle.as_str()));
    computed.out("name", json!(done.name.as_str()));
    computed.out("organisation_name", json!(done.organisation_name.as_str()));
    let keys = done.directory.keys().ok_or("a guest")?;
    computed.out("directory_key", keys.key().secret().expose());
    computed.out("key_epoch", json!(keys.key().epoch()));
    computed.out("slot", json!(keys.slot()));
    computed.out("key_path", keys.path().expose());
    Ok(computed)
}
