//! Device links, link requests, confirmation codes, and orders of a member's device to the desk.

use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_identity::{DeviceId, DeviceKeys, OrgId, reply_mailbox};
use chancery_org::{DeviceLink, LinkRequest, Orderer, approve, remove, request_by_link};
use chancery_wire::proto::device_order_body::Order;
use chancery_wire::{Limit, Timestamp, decode, encode, proto};
use serde_json::{Value, json};

use super::book::{self, sample_hex};
use super::enrolment::{Channel, Request, organisation};
use super::{Computation, Computed, Draft, Inputs, Kind, Plan, hex, same};
use crate::company::{Company, NOW, RELAY_URL};

pub(super) const PLANS: &[Plan] = &[("device-link", device_link), ("device-order", device_order)];

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "device-link", requirements: &["R-ORG-15"], compute: compute_link },
    Kind {
        name: "link-request",
        requirements: &["R-ORG-6", "R-ORG-7", "R-ORG-8", "R-ORG-16", "R-ORG-17"],
        compute: compute_request,
    },
    Kind { name: "device-code", requirements: &["R-ORG-17"], compute: compute_code },
    Kind { name: "device-order", requirements: &["R-ORG-18"], compute: compute_order },
];

/// A link as it stands among the inputs.
fn link_inputs(company: &Company, name: &str) -> Value {
    json!({
        "org_id": hex(company.organisation.id().as_bytes()), "relay_url": RELAY_URL,
        "relay_pin": sample_hex("pin", 32), "link_id": sample_hex(&format!("{name} id"), 16),
        "secret": sample_hex(&format!("{name} secret"), 32),
        "mailbox": hex(company.alice.credential.device_id().as_bytes()),
        "expires": NOW.as_millis() + 600_000, "token": sample_hex(&format!("{name} token"), 16),
    })
}

fn device_link() -> Vec<Draft> {
    let company = Company::found(1);
    let mut drafts = Vec::new();
    for index in 0..2 {
        let name = format!("device link {index}");
        let mut inputs = link_inputs(&company, &name);
        drafts.push((format!("device-link-{index}"), "device-link", inputs.clone()));
        inputs["organisation"] = json!(hex(&encode(company.organisation.as_proto())));
        inputs["device_keys"] = json!(sample_hex(&format!("linked device {index}"), 128));
        inputs["now"] = json!(NOW.as_millis());
        inputs["rng_seed"] = json!(sample_hex(&format!("link request {index}"), 32));
        drafts.push((format!("link-request-{index}"), "link-request", inputs));
    }
    for index in 0..4 {
        let inputs = json!({
            "org_id": sample_hex("org id", 32), "link_id": sample_hex("link", 16),
            "keys": sample_hex(&format!("fingerprint {index}"), 32),
        });
        drafts.push((format!("device-code-{index}"), "device-code", inputs));
    }
    drafts
}

fn link(inputs: &Inputs<'_>) -> Result<DeviceLink, String> {
    Ok(DeviceLink {
        org_id: OrgId::new(inputs.array("org_id")?),
        relay_url: inputs.text("relay_url")?.to_owned(),
        relay_pin: inputs.array("relay_pin")?,
        link_id: inputs.array("link_id")?,
        secret: Secret::from_bytes(inputs.array("secret")?),
        mailbox: DeviceId::from_bytes(&inputs.bytes("mailbox")?).ok_or("inputs.mailbox: not 16 bytes")?,
        token: inputs.bytes("token")?,
        expires: Timestamp::from_millis(inputs.number("expires")?),
    })
}

fn compute_link(inputs: &Inputs<'_>) -> Computation {
    let link = link(inputs)?;
    let payload = encode(&proto::DeviceLink {
        version: 1,
        org_id: inputs.bytes("org_id")?,
        relay_url: link.relay_url.clone(),
        relay_pin: link.relay_pin.to_vec(),
        link_id: link.link_id.to_vec(),
        secret: inputs.bytes("secret")?,
        mailbox: inputs.bytes("mailbox")?,
        expires: link.expires.as_millis(),
        token: inputs.bytes("token")?,
    });
    let text = link.encode();
    DeviceLink::parse(&text).map_err(|e| e.to_string())?;
    let mut computed = Computed::default();
    computed.via("device_link", &payload);
    computed.via("checksum", &chancery_crypto::hash::sha256(&[&payload])[..4]);
    computed.out("link", json!(text));
    Ok(computed)
}

/// The hash of a device's public keys (R-ORG-17).
fn fingerprint(keys: &DeviceKeys) -> [u8; 32] {
    let (signing, identity) = (keys.signing.verifying_key(), keys.identity.public());
    let group = keys.group.verifying_key();
    book::hash(label::HASH_ENROLLING_KEYS, &[signing.as_bytes(), identity.as_bytes(), group.as_bytes()])
}

/// The hash behind a code, and the code (R-ORG-17).
fn code(org_id: &[u8], link_id: &[u8], keys: &[u8]) -> ([u8; 32], String) {
    let digest = book::hash(label::HASH_DEVICE_CODE, &[org_id, link_id, keys]);
    let group = |five: &[u8]| five.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % 100_000;
    let groups: Vec<String> = digest[..30].chunks(5).map(|five| format!("{:05}", group(five))).collect();
    (digest, groups.join(" "))
}

fn device_keys(inputs: &Inputs<'_>) -> Result<DeviceKeys, String> {
    let keys = DeviceKeys::from_secret_bytes(&inputs.bytes("device_keys")?);
    keys.ok_or_else(|| "device_keys: not 128 bytes".into())
}

fn compute_request(inputs: &Inputs<'_>) -> Computation {
    let (link, organisation, keys) = (link(inputs)?, organisation(inputs)?, device_keys(inputs)?);
    let now = Timestamp::from_millis(inputs.number("now")?);
    let seed = inputs.array("rng_seed")?;
    let (mut ours, _) = Channel::draws(seed);
    let pending = request_by_link(&link, &organisation, &keys, now, ours.rng()).map_err(|e| e.to_string())?;
    let sealed_by_us = link.seal_request(&keys, pending.envelope(), ours.rng()).map_err(|e| e.to_string())?;

    let mut draws = Channel::draws(seed);
    let request = Request::make(&organisation, &keys, (&link.link_id, None), &mut draws)?;
    same("request", &request.envelope, pending.envelope())?;
    let salt = draws.0.next::<32>();
    let context = [link.org_id.as_bytes().as_slice(), &link.link_id].concat();
    let key = book::derive(label::KDF_DEVICE_LINK, &salt, &[link.secret.expose()], &context, 32);
    let body = encode(&proto::DeviceLinkRequest {
        signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
        identity_key: keys.identity.public().as_bytes().to_vec(),
        group_key: keys.group.verifying_key().as_bytes().to_vec(),
        request: request.envelope.clone(),
    });
    let head = [[0x15].as_slice(), &link.link_id, &salt].concat();
    let sealed = book::seal(&key, &head, &book::padded(&body, 12_288))?;
    let envelope = [head, sealed].concat();
    same("link request", &envelope, &sealed_by_us)?;
    let keys_hash = fingerprint(&keys);
    let (digest, code) = code(link.org_id.as_bytes(), &link.link_id, &keys_hash);
    let opened = LinkRequest::open(&link.org_id, &link.secret, &envelope).map_err(|e| e.to_string())?;
    same("code", opened.code(&link.org_id).as_bytes(), code.as_bytes())?;
    let mut computed = Computed::default();
    request.show(&mut computed);
    computed.via("salt", &salt);
    computed.via("link_request_key", &key);
    computed.via("link_request", &body);
    computed.via("keys", &keys_hash);
    computed.via("code_hash", &digest);
    computed.out("request_to_the_desk", &request.envelope);
    computed.out("envelope", &envelope);
    computed.out("code", json!(code));
    Ok(computed)
}

fn compute_code(inputs: &Inputs<'_>) -> Computation {
    let (org_id, link_id, keys) = (inputs.array("org_id")?, inputs.array("link_id")?, inputs.array("keys")?);
    let (digest, text) = code(&org_id, &link_id, &keys);
    let ours = LinkRequest::from_parts(link_id, keys, Vec::new()).code(&OrgId::new(org_id));
    same("code", ours.as_bytes(), text.as_bytes())?;
    let mut computed = Computed::default();
    computed.via("code_hash", &digest);
    computed.out("code", json!(text));
    Ok(computed)
}

fn device_order() -> Vec<Draft> {
    let company = Company::found(1);
    let draft = |id: &str, order: Value| {
        let mut inputs = json!({
            "organisation": hex(&encode(company.organisation.as_proto())),
            "credential": hex(&encode(company.alice.credential.signed())),
            "device_keys": hex(company.alice.keys.to_secret_bytes().expose()),
            "now": NOW.as_millis(), "rng_seed": sample_hex(id, 32),
        });
        for (name, value) in order.as_object().into_iter().flatten() {
            inputs[name] = value.clone();
        }
        (format!("device-order-{id}"), "device-order", inputs)
    };
    // What the newcomer of the link request of the same name asks with.
    let asked = device_link().into_iter().find(|(id, ..)| id == "link-request-0");
    let (.., inputs) = asked.expect("it is among the drafts");
    let computed = compute_request(&Inputs(inputs.as_object().expect("inputs have names"))).expect("sound");
    let approve = json!({
        "order": "approve", "link_id": inputs["link_id"], "keys": computed.intermediates["keys"],
        "request": computed.outputs["request_to_the_desk"],
    });
    let remove = json!({ "order": "remove", "device_id": sample_hex("another device", 16) });
    vec![draft("approve", approve), draft("remove", remove)]
}

fn compute_order(inputs: &Inputs<'_>) -> Computation {
    let (organisation, keys) = (organisation(inputs)?, device_keys(inputs)?);
    let now = Timestamp::from_millis(inputs.number("now")?);
    let seed = inputs.array("rng_seed")?;
    let signed = decode::<proto::Signed>(&inputs.bytes("credential")?, Limit::STATEMENT);
    let signed = signed.map_err(|e| e.to_string())?;
    let credential = organisation.verify_credential(signed, now).map_err(|e| e.to_string())?;
    let by = Orderer { organisation: &organisation, credential: &credential, keys: &keys };
    let (mut rng, _) = Channel::draws(seed);
    let (ours, order, request) = match inputs.text("order")? {
        "approve" => {
            let (link_id, keys) = (inputs.array("link_id")?, inputs.array("keys")?);
            let request = inputs.bytes("request")?;
            let seen = LinkRequest::from_parts(link_id, keys, request.clone());
            let order = proto::ApproveDevice { link_id: link_id.to_vec(), keys: keys.to_vec() };
            (approve(by, &seen, now, rng.rng()), Order::Approve(order), request)
        }
        "remove" => {
            let device_id = inputs.bytes("device_id")?;
            let device = DeviceId::from_bytes(&device_id).ok_or("inputs.device_id: not 16 bytes")?;
            let order = Order::Remove(proto::RemoveDevice { device_id });
            (remove(by, &device, now, rng.rng()), order, Vec::new())
        }
        _ => return Err("inputs.order: approve or remove".into()),
    };
    let ours = ours.map_err(|e| e.to_string())?;

    let mut draws = Channel::draws(seed);
    let labels = (label::HASH_DEVICE_ORDER, label::KDF_DEVICE_ORDER);
    let channel = Channel::make(0x16, labels, &organisation, &mut draws)?;
    let body = encode(&proto::DeviceOrderBody {
        context: channel.context.to_vec(),
        expires: now.as_millis() + 3_600_000,
        order: Some(order),
    });
    let signature = keys.signing.sign(label::SIGN_DEVICE_ORDER, &body, draws.0.rng());
    let message = encode(&proto::DeviceOrder {
        credential: Some(credential.signed().clone()),
        order: Some(proto::Signed { body: body.clone(), signature: signature.clone() }),
        request,
    });
    let sealed = book::seal(&channel.secrets[..32], &channel.head, &book::padded(&message, 20_480))?;
    let envelope = [channel.head.as_slice(), &sealed].concat();
    same("envelope", &envelope, ours.envelope())?;
    same("mailbox", &ours.reply_mailbox(), &reply_mailbox(keys.signing.verifying_key()))?;
    let mut computed = Computed::default();
    channel.show(&mut computed);
    computed.via("order_body", &body);
    computed.via("signature", &signature);
    computed.via("device_order", &message);
    computed.out("envelope", &envelope);
    computed.out("reply_mailbox", &ours.reply_mailbox());
    Ok(computed)
}
