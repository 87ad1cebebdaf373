//! Frames, as the relay and as the client read them.

use std::sync::LazyLock;

use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_crypto::{label, merkle};
use chancery_engine::{Device, Engine, Input as EngineInput, NewDevice};
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{Leaf, LogHead};
use chancery_identity::{Authority, Organisation, login_message};
use chancery_relay::memory::MemoryStorage;
use chancery_relay::{ConnectionId, Input, Limits, Relay, Setup, Storage as _};
use chancery_testkit::company::{NOW, RELAY_PIN, RELAY_URL};
use chancery_testkit::{Disk, commit};
use chancery_wire::proto::{
    ClientFrame, Hello, LogPage, Login, RelayFrame, client_frame, login, relay_frame,
};
use chancery_wire::{Limit, Unverified, decode, encode};

use crate::{COMPANY, rng};

/// A relay that has welcomed a stranger and the desk gets frames from both: the input, cut at 0xFF 0xFF into several.
pub fn client_frame(data: &[u8]) {
    let mut storage = STARTED.clone();
    let mut relay = start(&mut storage);
    let (mut frames, mut rest) = (Vec::new(), data);
    while let Some(at) = rest.windows(2).position(|two| two == [0xFF, 0xFF]) {
        frames.push(rest[..at].to_vec());
        rest = &rest[at + 2..];
    }
    frames.push(rest.to_vec());
    let (stranger, desk) = (ConnectionId(1), ConnectionId(2));
    let mut ask = |input: Input<'_>| {
        let mut bodies = Vec::new();
        for effect in relay.handle_all(&mut storage, &[input], NOW, &mut rng()) {
            if let chancery_relay::Effect::Send { frame, .. } = effect {
                let frame = decode::<RelayFrame>(&frame, Limit::FRAME).expect("a relay's frames are sound");
                bodies.extend(frame.into_unchecked().body);
            }
        }
        bodies
    };
    let org_id = COMPANY.organisation.id().as_bytes().to_vec();
    let hello = frame(client_frame::Body::Hello(Hello { version: 1, org_id }));
    for connection in [stranger, desk] {
        ask(Input::Opened { connection });
        let welcome = ask(Input::Frame { connection, bytes: &hello });
        let [relay_frame::Body::Welcome(welcome)] = &welcome[..] else { panic!("no welcome") };
        if connection == desk {
            let done = ask(Input::Frame { connection, bytes: &desk_login(&welcome.challenge) });
            assert!(matches!(done[..], [relay_frame::Body::Done(_)]), "the desk logs in");
        }
    }
    for bytes in &frames {
        for connection in [stranger, desk] {
            ask(Input::Frame { connection, bytes });
        }
    }
}

fn frame(body: client_frame::Body) -> Vec<u8> {
    encode(&ClientFrame { request: 1, body: Some(body) })
}

/// Proves the desk to a relay that has sent this challenge.
fn desk_login(challenge: &[u8]) -> Vec<u8> {
    let challenge = challenge.try_into().expect("32 bytes");
    let message = login_message(challenge, &COMPANY.organisation.id(), &RELAY_PIN);
    let signature = COMPANY.desk.device_keys().signing.sign(label::SIGN_RELAY_LOGIN, &message, &mut rng());
    let who = Some(login::Who::Credential(COMPANY.desk.credential().signed().clone()));
    frame(client_frame::Body::Login(Login { who, signature }))
}

/// What a relay has on disk that has been started once.
static STARTED: LazyLock<MemoryStorage> = LazyLock::new(|| {
    let mut storage = MemoryStorage::new();
    start(&mut storage);
    // Without it nothing but refusals would be seen of deliveries, claims and blobs.
    storage.put_delivery_key(&delivery_key()).expect("memory");
    storage.commit().expect("memory");
    storage
});

/// The key that the fuzzed relay checks tokens with.
pub(crate) fn delivery_key() -> DeliveryKey {
    COMPANY.desk.delivery_key(&COMPANY.desk_disk).expect("founded")
}

/// The key that signs the fuzzed log.
pub(crate) fn log_key() -> SigningKey {
    SigningKey::from_seed(Secret::from_slice(&[0x71; 64]).expect("64 bytes"))
}

/// A relay whose log has what the public document says.
fn start(storage: &mut MemoryStorage) -> Relay {
    let organisation = COMPANY.organisation.clone();
    let setup = Setup { organisation, pin: RELAY_PIN, log_key: log_key(), limits: Limits::default() };
    Relay::start(setup, storage, NOW, &mut rng()).expect("a sound document")
}

/// A client gets a frame and does with it what its kind asks for.
pub fn relay_frame(data: &[u8]) {
    let Ok(frame) = decode::<RelayFrame>(data, Limit::FRAME) else { return };
    let engine = |input: EngineInput<'_>| {
        let disk = alice();
        let mut engine = Engine::load(&disk, NOW).expect("enrolled");
        engine.refresh(&disk).expect("readable");
        let outcome = engine.handle(&disk, input, NOW, &mut rng());
        let _ = outcome.map(|outcome| drop(outcome.effects));
    };
    match frame.into_unchecked().body {
        Some(relay_frame::Body::Envelope(stored)) => {
            engine(EngineInput::Received { sequence: stored.sequence, envelope: &stored.envelope });
        }
        Some(relay_frame::Body::DirectoryPage(page)) => engine(EngineInput::Directory(&page)),
        Some(relay_frame::Body::Organisation(document)) => {
            let expected = Some(COMPANY.organisation.id());
            if let Ok(read) = Organisation::verify(Unverified::new(document), expected) {
                assert_eq!(read.id(), COMPANY.organisation.id());
            }
        }
        Some(relay_frame::Body::Bundle(bundle)) => {
            crate::identity::check_bundle(bundle);
        }
        Some(relay_frame::Body::LogPage(page)) => {
            replay(&page);
            check_note(&page.checkpoint);
        }
        Some(relay_frame::Body::Checkpoint(answer)) => drop(check_note(&answer.note)),
        Some(relay_frame::Body::Revoked(revoked)) => {
            let Some(leaf) = Leaf::from_bytes(&revoked.leaf) else { return };
            let Some(checkpoint) = check_note(&revoked.note) else { return };
            let proof = revoked.proof.iter().map(|hash| hash.as_slice().try_into().ok());
            let Some(proof) = proof.collect::<Option<Vec<_>>>() else { return };
            let (root, size) = (checkpoint.root(), checkpoint.size());
            let _ = merkle::verify_inclusion(root, size, revoked.index, &leaf.hash(), &proof);
        }
        Some(relay_frame::Body::Refused(refused)) => {
            let _ = chancery_wire::RefusalCode::from_code(refused.code);
        }
        _ => {}
    }
}

/// Takes a page over as far as it is sound; whatever it says, the organisation stays the same one.
fn replay(page: &LogPage) {
    let (mut authority, mut head) = (Authority::new(&COMPANY.organisation), LogHead::default());
    for entry in &page.entries {
        let Some(leaf) = Leaf::from_bytes(&entry.leaf) else { return };
        if authority.apply(head.size(), &leaf, entry.content.as_ref()).is_err() || head.push(&leaf).is_err() {
            return;
        }
        assert_eq!(authority.organisation().id(), COMPANY.organisation.id());
    }
}

fn check_note(note: &str) -> Option<Checkpoint> {
    Checkpoint::verify(note, &COMPANY.organisation.id(), log_key().verifying_key()).ok()
}

/// The disk of alice's device, as it is after the enrolment.
pub(crate) fn alice() -> Disk {
    let (member, organisation) = (&COMPANY.alice, &COMPANY.organisation);
    let enrolment =
        member.pending.complete(organisation, &member.keys, &member.answer, NOW).expect("enrolled");
    let new = NewDevice {
        keys: &member.keys,
        enrolment: &enrolment,
        organisation,
        relay_url: RELAY_URL,
        relay_pin: RELAY_PIN,
    };
    let mut disk = Disk::new();
    commit(&mut disk, Device::install(&new));
    COMPANY.take_log(&mut disk);
    disk
}
