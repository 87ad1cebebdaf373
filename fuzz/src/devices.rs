//! What the devices of one member send: link requests, orders to the desk, heals; and five devices together.
//!
//! Link requests and orders are sealed. Beside the changes to a sound envelope, which all end at the seal, the first byte
//! can choose what is sealed: 2 takes the rest as changes to the sound plaintext, 3 as the plaintext itself.

use std::sync::LazyLock;

use chancery_crypto::aead::OneTimeKey;
use chancery_crypto::hash::hash;
use chancery_crypto::kdf::derive;
use chancery_crypto::label;
use chancery_crypto::secret::Secret;
use chancery_crypto::x25519::DhSecret;
use chancery_engine::{Effect, Engine, Input, Notice, waiting_devices};
use chancery_identity::{DeviceKeys, reply_mailbox};
use chancery_org::{DeviceLink, LINK_REQUEST_KIND, LinkRequest, request_by_link};
use chancery_testkit::company::{NOW, RELAY_PIN, RELAY_URL};
use chancery_testkit::event::Event;
use chancery_testkit::five::Five;
use chancery_testkit::{Disk, Snapshot, commit};
use chancery_wire::proto::{
    self, ApproveDevice, Content, DeviceOrder, DeviceOrderBody, Heal, NumberRange, Signed, content::Body,
    device_order_body::Order,
};
use chancery_wire::records::Table;
use chancery_wire::{Limit, decode, encode};

use crate::messages::{HELD, TALKING};
use crate::{COMPANY, patched, rng, tried};

/// Bytes of a link request's plaintext.
const LINK_REQUEST_PLAINTEXT: usize = 12_288;
/// Bytes of an order's plaintext.
const ORDER_PLAINTEXT: usize = 20_480;

/// `u32(length) || content || zeros`, as much of it as fits.
fn padded(content: &[u8], len: usize) -> Vec<u8> {
    let content = &content[..content.len().min(len - 4)];
    let mut out = u32::try_from(content.len()).expect("short").to_be_bytes().to_vec();
    out.extend_from_slice(content);
    out.resize(len, 0);
    out
}

/// What the input wants sealed, if it wants that.
fn plaintext(sound: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    match data.split_first()? {
        (2, changes) => Some(patched(sound, changes)),
        (3, rest) => Some(rest.to_vec()),
        _ => None,
    }
}

/// Alice's device with an open link, and a newcomer's sound request by it.
struct Linked {
    disk: Disk,
    engine: Engine,
    link: DeviceLink,
    message: Vec<u8>,
    envelope: Vec<u8>,
    /// What the newcomer asks the desk, and the hash of its keys.
    request: Vec<u8>,
    keys: [u8; 32],
}

static LINKED: LazyLock<Linked> = LazyLock::new(|| {
    let mut disk = crate::wire::alice();
    let mut engine = Engine::load(&disk, NOW).expect("enrolled");
    engine.refresh(&disk).expect("readable");
    let names = (COMPANY.organisation.id(), COMPANY.alice.credential.device_id());
    let link = DeviceLink::new(names, (RELAY_URL, RELAY_PIN), NOW, &mut rng());
    let made = engine.handle(&disk, Input::DeviceLinkMade(&link), NOW, &mut rng()).expect("readable");
    commit(&mut disk, made.batch);
    let keys = DeviceKeys::generate(&mut rng());
    let asked = request_by_link(&link, &COMPANY.organisation, &keys, NOW, &mut rng()).expect("sound");
    let message = encode(&proto::DeviceLinkRequest {
        signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
        identity_key: keys.identity.public().as_bytes().to_vec(),
        group_key: keys.group.verifying_key().as_bytes().to_vec(),
        request: asked.envelope().to_vec(),
    });
    let envelope = link.seal_request(&keys, asked.envelope(), &mut rng()).expect("sound");
    let seen = LinkRequest::open(&link.org_id, &link.secret, &envelope).expect("sound");
    let (request, keys) = (asked.envelope().to_vec(), *seen.fingerprint());
    Linked { disk, engine, link, message, envelope, request, keys }
});

/// A link request at the device that made the link: it is taken, or no record changes.
pub fn link_request(data: &[u8]) {
    let linked = &*LINKED;
    let inside = plaintext(&linked.message, data);
    let outside = inside.is_none().then(|| tried(&linked.envelope, data));
    let bytes = match (&inside, &outside) {
        (Some(message), _) => {
            let (head, salt) = (&linked.envelope[..49], &linked.envelope[17..49]);
            let context = [linked.link.org_id.as_bytes().as_slice(), &linked.link.link_id].concat();
            let key = derive(label::KDF_DEVICE_LINK, salt, &[linked.link.secret.expose()], &context);
            let sealed = OneTimeKey::new(key).seal(head, &padded(message, LINK_REQUEST_PLAINTEXT));
            [head, &sealed].concat()
        }
        (None, Some(tried)) => tried.bytes.clone(),
        (None, None) => unreachable!("one of the two"),
    };
    let input = Input::Received { sequence: 1, envelope: &bytes };
    let outcome = linked.engine.handle(&linked.disk, input, NOW, &mut rng()).expect("readable");
    assert!(outcome.effects.contains(&Effect::Acknowledge(1)));
    let taken = outcome.effects.contains(&Effect::Notify(Notice::DeviceRequest));
    if let Some(tried) = outside {
        assert_eq!(taken, tried.sound, "only the sound request opens");
    }
    if taken {
        let mut disk = linked.disk.clone();
        commit(&mut disk, outcome.batch);
        assert_eq!(waiting_devices(&disk, NOW).expect("readable").len(), 1);
    } else if bytes.first() == Some(&LINK_REQUEST_KIND) {
        assert!(outcome.batch.is_empty(), "what is ignored changes no record");
    }
}

/// Alice's order to make the newcomer hers.
struct Ordered {
    head: Vec<u8>,
    secret: Secret<64>,
    message: DeviceOrder,
    body: DeviceOrderBody,
    envelope: Vec<u8>,
}

static ORDERED: LazyLock<Ordered> = LazyLock::new(|| {
    let desk = COMPANY.organisation.desk().expect("there is one");
    let ephemeral = DhSecret::generate(&mut rng());
    let dh = ephemeral.agree(desk.dh_key()).expect("sound");
    let (ct, shared) = desk.kem_key().encapsulate(&mut rng());
    let (public, org_id) = (*ephemeral.public().as_bytes(), COMPANY.organisation.id());
    let head = [&[0x16], public.as_slice(), ct.as_bytes()].concat();
    let parts: [&[u8]; 4] = [org_id.as_bytes(), desk.statement_hash(), &public, ct.as_bytes()];
    let context = hash(label::HASH_DEVICE_ORDER, &parts);
    let ikm: [&[u8]; 3] = [&[0xFF; 32], dh.expose(), shared.expose()];
    let secret = derive(label::KDF_DEVICE_ORDER, b"", &ikm, &context);
    let approve = ApproveDevice { link_id: LINKED.link.link_id.to_vec(), keys: LINKED.keys.to_vec() };
    let order = Some(Order::Approve(approve));
    let body = DeviceOrderBody { context: context.to_vec(), expires: NOW.as_millis() + 3_600_000, order };
    let message = DeviceOrder {
        credential: Some(COMPANY.alice.credential.signed().clone()),
        order: Some(signed(encode(&body))),
        request: LINKED.request.clone(),
    };
    let mut ordered = Ordered { head, secret, message, body, envelope: Vec::new() };
    ordered.envelope = ordered.seal(&encode(&ordered.message));
    ordered
});

fn signed(body: Vec<u8>) -> Signed {
    let signature = COMPANY.alice.keys.signing.sign(label::SIGN_DEVICE_ORDER, &body, &mut rng());
    Signed { body, signature }
}

impl Ordered {
    fn seal(&self, message: &[u8]) -> Vec<u8> {
        let key = Secret::from_slice(&self.secret.expose()[..32]).expect("32 bytes");
        let sealed = OneTimeKey::new(key).seal(&self.head, &padded(message, ORDER_PLAINTEXT));
        [self.head.as_slice(), &sealed].concat()
    }
}

/// An order at the desk, which carries it out, refuses it or drops it. Two modes more: 4 takes the rest as changes to the
/// order before it is signed, 5 as changes to the request that it hands on.
pub fn device_order(data: &[u8]) {
    let ordered = &*ORDERED;
    let (mode, rest) = data.split_first().unwrap_or((&1, &[]));
    let message = match mode {
        4 => {
            let order = Some(signed(patched(&encode(&ordered.body), rest)));
            Some(encode(&DeviceOrder { order, ..ordered.message.clone() }))
        }
        5 => {
            let request = patched(&ordered.message.request, rest);
            Some(encode(&DeviceOrder { request, ..ordered.message.clone() }))
        }
        _ => plaintext(&encode(&ordered.message), data),
    };
    let outside = message.is_none().then(|| tried(&ordered.envelope, data));
    let bytes = match (&message, &outside) {
        (Some(message), _) => ordered.seal(message),
        (None, Some(tried)) => tried.bytes.clone(),
        (None, None) => unreachable!("one of the two"),
    };
    let done = COMPANY.desk.carry_out(&COMPANY.desk_disk, &bytes, NOW, &mut rng());
    if let Some(tried) = outside {
        assert_eq!(done.is_ok(), tried.sound, "only the sound order opens");
    }
    if let Ok(done) = done {
        let own = reply_mailbox(COMPANY.alice.keys.signing.verifying_key());
        assert_eq!(done.replies.first().map(|reply| reply.mailbox), Some(own), "who orders is answered");
        assert_eq!(done.batch.is_empty(), done.directory.is_none(), "a refusal changes nothing");
    }
}

/// A number out of two bytes: small, close to the end, or in between.
fn number([kind, low]: [u8; 2]) -> u64 {
    match kind % 4 {
        0 | 1 => u64::from(low),
        2 => u64::MAX - u64::from(low),
        _ => 1 << (low % 64),
    }
}

/// A heal from a device that the engine holds messages for: highest, acknowledged, sent, how many ranges are gone, then
/// ranges. It is answered within what is held, and nothing of it is shown.
pub fn heal(data: &[u8]) {
    let mut numbers = data.as_chunks::<2>().0.iter().copied().map(number);
    let mut next = || numbers.next().unwrap_or_default();
    let (highest, acknowledged, sent, gone) = (next(), next(), next(), next());
    let ranges: Vec<[u64; 2]> = numbers.by_ref().collect::<Vec<_>>().as_chunks::<2>().0.to_vec();
    let mut ranges: Vec<NumberRange> =
        ranges.into_iter().map(|[first, last]| NumberRange { first, last }).collect();
    let missing = ranges.split_off(ranges.len().min(usize::try_from(gone).unwrap_or(usize::MAX)));
    // The identifiers of the messages that are held repeat their numbers.
    let check = u8::try_from(acknowledged).map_or(1, |number| u64::from_be_bytes([number; 8]));
    let content = encode(&Content {
        sent_at: NOW.as_millis(),
        acknowledged,
        acknowledged_check: check,
        sent,
        gone: ranges,
        body: Some(Body::Heal(Heal { highest, missing })),
        ..Content::default()
    });
    assert!(decode::<Content>(&content, Limit::CONTENT).is_ok());
    let Some(outcome) = TALKING.hear(&content) else { return };
    assert!(outcome.effects.contains(&Effect::Acknowledge(1)));
    // What it says is lost for good is told (R-ENGINE-27), and what it acknowledges is delivered; nothing of it is a message.
    const MESSAGE: Table = Table(0x0150);
    let mut messages = outcome.batch.0.iter().filter(|(key, _)| key.table == MESSAGE);
    assert!(messages.all(|(key, value)| value.is_some() && TALKING.has(key)), "a heal is no message");
    const OUTBOX: Table = Table(0x0140);
    let put = outcome.batch.0.iter().filter(|(key, value)| key.table == OUTBOX && value.is_some());
    // What is held, and a new session.
    assert!(put.count() <= HELD + 1, "no more than what is held");
}

static FIVE: LazyLock<Snapshot> = LazyLock::new(|| Five::meet(1));

/// Two people with three and two devices: the input is a list of events, four bytes each, at most 32 of them.
pub fn five_devices(data: &[u8]) {
    let mut five = Five::start(&FIVE);
    for event in Event::decode_all(data).into_iter().take(32) {
        five.apply(event);
    }
    five.finish();
}
