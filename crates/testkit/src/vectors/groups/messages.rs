//! Messages of groups: senders' secrets, envelopes, and what a reader takes.

use chancery_crypto::committing::Sealer;
use chancery_crypto::ed25519::{GroupSigningKey, GroupVerifyingKey};
use chancery_crypto::hash::sha256;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_group::{GroupError, MESSAGE_LENGTHS, MessageEnvelope, Messages, SenderTree, Slot};
use serde_json::{Value, json};

use super::super::book::{self, Draws, sample, sample_hex};
use super::super::{Computation, Computed, Draft, Inputs, Kind, hex, same};
use super::state::{Results, items, read_slots, result};

pub(super) const KINDS: &[Kind] = &[
    Kind { name: "group-senders", requirements: &["R-GROUP-23"], compute: compute_senders },
    Kind { name: "group-message", requirements: &["R-GROUP-23"], compute },
    Kind { name: "group-message-read", requirements: &["R-GROUP-23"], compute: read },
];

fn epoch() -> Value {
    json!({
        "epoch_name": sample_hex("epoch name", 32), "set_name": sample_hex("set", 16),
        "header_key": sample_hex("header key", 32), "senders": sample_hex("senders", 32),
    })
}

fn message(slot: u32, generation: u32, length: usize) -> Value {
    let mut inputs = epoch();
    (inputs["slot"], inputs["generation"]) = (json!(slot), json!(generation));
    (inputs["length"], inputs["byte"]) = (json!(length), json!(0x41));
    inputs["group_seed"] = json!(sample_hex(&format!("group seed {slot}"), 32));
    inputs["rng_seed"] = json!(sample_hex(&format!("guard {slot} {generation}"), 32));
    inputs
}

pub(super) fn drafts() -> Vec<Draft> {
    let mut senders = epoch();
    (senders["slots"], senders["generations"]) = (json!([0, 1, 5_000, 16_383]), json!(3));
    let mut drafts: Vec<Draft> = vec![("group-senders".into(), "group-senders", senders)];
    for (slot, generation, length) in [
        (0, 0, 0),
        (1, 0, 385),
        (1, 1, 386),
        (16_383, 3, 897),
        (2, 0, 898),
        (2, 1, 1_921),
        (3, 999, 5),
        (3, 0, 65_409),
    ] {
        let id = format!("group-message-{slot}-{generation}-{length}");
        drafts.push((id, "group-message", message(slot, generation, length)));
    }
    drafts.push(("group-messages-read".into(), "group-message-read", reading()));
    drafts
}

fn sealed(slot: u32, generation: u32, change: impl FnOnce(&mut Forged)) -> Vec<u8> {
    let inputs = message(slot, generation, 12);
    let mut forged = Forged::of(&Inputs(inputs.as_object().expect("named"))).expect("sound");
    change(&mut forged);
    forged.make().expect("sound").envelope
}

fn reading() -> Value {
    let mut inputs = epoch();
    let key = |slot: u32| {
        let seed = Secret::from_slice(&sample(&format!("group seed {slot}"), 32)).expect("32 bytes");
        json!({ "slot": slot, "group_key": hex(GroupSigningKey::from_seed(seed).verifying_key().as_bytes()) })
    };
    inputs["entries"] = json!([key(1), key(2), key(3)]);
    let sound = |slot, generation| sealed(slot, generation, |_| {});
    let damaged = |at: usize| {
        let mut envelope = sound(1, 1);
        envelope[at] ^= 1;
        envelope
    };
    let all = [
        ("first", sound(1, 0)),
        ("again", sound(1, 0)),
        ("kind damaged", damaged(0)),
        ("another set name", damaged(1)),
        ("head damaged", damaged(20)),
        ("content damaged", damaged(40)),
        ("signature damaged", damaged(470)),
        ("tag damaged", damaged(511)),
        ("cut", sound(1, 1)[..511].to_vec()),
        ("longer by a byte", [sound(1, 1), vec![0]].concat()),
        ("after those that were refused", sound(1, 1)),
        ("three ahead", sound(1, 5)),
        ("skipped", sound(1, 3)),
        ("skipped again", sound(1, 3)),
        ("another's signature", sealed(2, 0, |it| it.group_seed = sample("group seed 1", 32))),
        ("signed in another epoch", sealed(2, 0, |it| it.epoch_name[0] ^= 1)),
        ("padding marked", sealed(2, 0, |it| it.padded[300] = 1)),
        ("length beyond the end", sealed(2, 0, |it| it.padded[0] = 0xFF)),
        ("slot that nobody is in", sound(9, 0)),
        ("slot that is none", sealed(16_384, 0, |_| {})),
        ("1,000 ahead", sound(2, 1_000)),
        ("1,001 ahead", sound(3, 1_001)),
        ("the first after it", sound(2, 0)),
    ];
    inputs["envelopes"] = all.iter().map(|(name, it)| json!({ "name": name, "envelope": hex(it) })).collect();
    inputs
}

/// What a message is made of, before it is sealed.
struct Forged {
    epoch_name: Vec<u8>,
    set_name: Vec<u8>,
    header_key: Vec<u8>,
    message_key: [u8; 32],
    group_seed: Vec<u8>,
    guard: [u8; 4],
    slot: u32,
    generation: u32,
    padded: Vec<u8>,
}

/// A message and what it was made of.
struct Sealed {
    keys: Vec<u8>,
    signed: Vec<u8>,
    signature: [u8; 64],
    tag: [u8; 32],
    envelope: Vec<u8>,
}

/// The chain key of a slot's generation 0; slots that there are not have some other.
fn chain_key(senders: &[u8], slot: u32) -> [u8; 32] {
    let side = |secret: Vec<u8>, level: u32| {
        let right = u8::try_from(slot >> level & 1).expect("a bit");
        book::mac(label::KDF_GROUP_SENDER_TREE, &secret, &[right]).to_vec()
    };
    (0..14).rev().fold(senders.to_vec(), side).try_into().expect("32 bytes")
}

fn message_key(chain: &[u8], generation: u32) -> [u8; 32] {
    let step = |chain: Vec<u8>, _| book::mac(label::KDF_GROUP_CHAIN, &chain, b"").to_vec();
    book::mac(label::KDF_GROUP_MESSAGE, &(0..generation).fold(chain.to_vec(), step), b"")
}

impl Forged {
    fn of(inputs: &Inputs<'_>) -> Result<Self, String> {
        let (slot, generation) = (inputs.small("slot")?, inputs.small("generation")?);
        let length = usize::try_from(inputs.number("length")?).map_err(|e| e.to_string())?;
        let byte = u8::try_from(inputs.small("byte")?).map_err(|e| e.to_string())?;
        let whole =
            MESSAGE_LENGTHS.into_iter().find(|it| *it >= length + 127).ok_or("inputs.length: too long")?;
        let mut padded = u16::try_from(length).map_err(|e| e.to_string())?.to_be_bytes().to_vec();
        padded.resize(2 + length, byte);
        padded.resize(whole - 125, 0);
        Ok(Self {
            epoch_name: inputs.bytes("epoch_name")?,
            set_name: inputs.bytes("set_name")?,
            header_key: inputs.bytes("header_key")?,
            message_key: message_key(&chain_key(&inputs.bytes("senders")?, slot), generation),
            group_seed: inputs.bytes("group_seed")?,
            guard: Draws::new(inputs.array("rng_seed")?).next(),
            slot,
            generation,
            padded,
        })
    }

    fn make(&self) -> Result<Sealed, String> {
        let keys = book::derive(label::KDF_GROUP_MESSAGE_KEYS, &self.guard, &[&self.message_key], b"", 64);
        let index = [&self.slot.to_be_bytes()[..], &self.generation.to_be_bytes(), &self.guard].concat();
        let mut sealer = Sealer::new(&Secret::from_slice(&keys).ok_or("64 bytes")?);
        let mut text = self.padded.clone();
        sealer.encrypt(&mut text).map_err(|e| e.to_string())?;
        let signed = [self.epoch_name.as_slice(), &index, &text].concat();
        let seed = Secret::from_slice(&self.group_seed).ok_or("group_seed: not 32 bytes")?;
        let signature = GroupSigningKey::from_seed(seed).sign(label::SIGN_GROUP_MESSAGE, &signed);
        let mut masked = signature;
        sealer.encrypt(&mut masked).map_err(|e| e.to_string())?;
        let front = [&[0x17][..], &self.set_name].concat();
        let whole = [front.as_slice(), &index, &text, &masked].concat();
        let tag = book::mac(label::MAC_GROUP_MESSAGE, &keys[32..], &whole);
        let mask = book::mac(label::KDF_GROUP_HEADER, &self.header_key, &tag);
        let head: Vec<u8> = index.iter().zip(mask).map(|(byte, mask)| byte ^ mask).collect();
        let envelope = [front, head, text, masked.to_vec(), tag.to_vec()].concat();
        Ok(Sealed { keys, signed, signature, tag, envelope })
    }
}

fn messages(inputs: &Inputs<'_>) -> Result<Messages, String> {
    let (header_key, senders) = (inputs.array("header_key")?, inputs.array("senders")?);
    let secrets = (Secret::from_bytes(header_key), Secret::from_bytes(senders));
    Ok(Messages::new(inputs.array("epoch_name")?, inputs.array("set_name")?, secrets.0, secrets.1))
}

fn compute_senders(inputs: &Inputs<'_>) -> Computation {
    let senders = inputs.array("senders")?;
    let mut tree = SenderTree::new(Secret::from_bytes(senders));
    let mut chains = Vec::new();
    for slot in read_slots(inputs, "slots")? {
        let chain = chain_key(&senders, slot.get().into());
        let mut keys = Vec::new();
        for generation in 0..inputs.small("generations")? {
            let (number, key) = tree.send(slot).map_err(|e| e.to_string())?;
            same("message key", key.expose(), &message_key(&chain, generation))?;
            same("generation", &number.to_be_bytes(), &generation.to_be_bytes())?;
            keys.push(hex(key.expose()));
        }
        chains.push(json!({ "slot": slot.get(), "chain_key": hex(&chain), "message_keys": keys }));
    }
    let mut computed = Computed::default();
    computed.out("chains", Value::Array(chains));
    Ok(computed)
}

fn compute(inputs: &Inputs<'_>) -> Computation {
    let forged = Forged::of(inputs)?;
    let made = forged.make()?;
    let own = Slot::from_u32(forged.slot).ok_or("inputs.slot: none")?;
    let key = GroupSigningKey::from_seed(Secret::from_bytes(inputs.array("group_seed")?));
    let mut ours = messages(inputs)?;
    for _ in 0..forged.generation {
        ours.senders().send(own).map_err(|e| e.to_string())?;
    }
    let length = usize::try_from(inputs.number("length")?).map_err(|e| e.to_string())?;
    let content = &forged.padded[2..2 + length];
    let mut draws = Draws::new(inputs.array("rng_seed")?);
    let sealed = ours.seal(own, &key, content, draws.rng()).map_err(|e| e.to_string())?;
    same("envelope", &sealed, &made.envelope)?;
    let mut computed = Computed::default();
    computed.via("chain_key", &chain_key(&inputs.bytes("senders")?, forged.slot));
    computed.via("message_key", &forged.message_key);
    computed.via("guard", &forged.guard);
    computed.via("encryption_key", &made.keys[..32]);
    computed.via("mac_key", &made.keys[32..]);
    computed.via("signed_sha256", &sha256(&[&made.signed]));
    computed.via("signature", &made.signature);
    computed.via("tag", &made.tag);
    computed.out("group_key", key.verifying_key().as_bytes());
    computed.out("envelope_length", json!(made.envelope.len()));
    computed.out("envelope_sha256", &sha256(&[&made.envelope]));
    if made.envelope.len() <= 1_024 {
        computed.out("envelope", &made.envelope);
    }
    Ok(computed)
}

/// A reader's epoch, envelope after envelope: what is refused leaves it as it was.
fn read(inputs: &Inputs<'_>) -> Computation {
    let mut messages = messages(inputs)?;
    let mut keys = std::collections::BTreeMap::new();
    for entry in items(inputs, "entries")? {
        let key = GroupVerifyingKey::from_bytes(&entry.bytes("group_key")?).map_err(|e| e.to_string())?;
        keys.insert(entry.small("slot")?, key);
    }
    let mut results = Results::new();
    for item in items(inputs, "envelopes")? {
        let envelope = item.bytes("envelope")?;
        let before = messages.to_bytes().expose().to_vec();
        let mut open = || {
            let found = messages.find(MessageEnvelope::parse(&envelope)?)?;
            let slot = u32::from(found.slot().get());
            let tagged = found.check()?;
            let content = tagged.open(keys.get(&slot).ok_or(GroupError::NotAMember)?)?;
            Ok(json!({ "slot": slot, "content": hex(content.expose()) }))
        };
        let opened: Result<Value, GroupError> = open();
        if opened.is_err() {
            same("epoch after a refusal", messages.to_bytes().expose(), &before)?;
        }
        results.push(result(item.text("name")?, opened.map_err(|e| e.to_string())));
    }
    let mut computed = Computed::default();
    computed.out("results", Value::Array(results));
    Ok(computed)
}
