//! Frames, as the relay and as the client read them.

use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_engine::{Device, Engine, Input as EngineInput, NewDevice};
use chancery_identity::Organisation;
use chancery_relay::memory::MemoryStorage;
use chancery_relay::{ConnectionId, Input, Limits, Relay, Setup};
use chancery_testkit::company::{NOW, RELAY_PIN, RELAY_URL};
use chancery_testkit::{Disk, commit};
use chancery_wire::proto::{ClientFrame, Hello, RelayFrame, client_frame, relay_frame};
use chancery_wire::{Limit, Unverified, decode, encode};

use crate::{COMPANY, rng};

/// A relay that has welcomed a client gets frames: the input, cut at 0xFF 0xFF into several.
pub fn client_frame(data: &[u8]) {
    let (mut storage, connection) = (MemoryStorage::new(), ConnectionId(1));
    let mut relay = start(&mut storage);
    let org_id = COMPANY.organisation.id().as_bytes().to_vec();
    let body = Some(client_frame::Body::Hello(Hello { version: 1, org_id }));
    let hello = encode(&ClientFrame { request: 1, body });
    let mut frames = vec![hello];
    let mut rest = data;
    while let Some(at) = rest.windows(2).position(|two| two == [0xFF, 0xFF]) {
        frames.push(rest[..at].to_vec());
        rest = &rest[at + 2..];
    }
    frames.push(rest.to_vec());
    let opened = relay.handle(&mut storage, Input::Opened { connection }, NOW, &mut rng());
    opened.expect("memory does not fail");
    for bytes in &frames {
        let inputs = [Input::Frame { connection, bytes }];
        for effect in relay.handle_all(&mut storage, &inputs, NOW, &mut rng()) {
            if let chancery_relay::Effect::Send { frame, .. } = effect {
                decode::<RelayFrame>(&frame, Limit::FRAME).expect("a relay's frames are sound");
            }
        }
    }
}

/// A relay whose log has what the public document says.
fn start(storage: &mut MemoryStorage) -> Relay {
    let organisation = COMPANY.organisation.clone();
    let log_key = SigningKey::from_seed(Secret::from_slice(&[0x71; 64]).expect("64 bytes"));
    let setup = Setup { organisation, pin: RELAY_PIN, log_key, limits: Limits::default() };
    Relay::start(setup, storage, NOW, &mut rng()).expect("a sound document")
}

/// A client gets a frame and does with it what its kind asks for.
pub fn relay_frame(data: &[u8]) {
    let Ok(frame) = decode::<RelayFrame>(data, Limit::FRAME) else { return };
    let engine = |input: EngineInput<'_>| {
        let disk = alice();
        let engine = Engine::load(&disk, NOW).expect("enrolled");
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
        Some(relay_frame::Body::Refused(refused)) => {
            let _ = chancery_wire::RefusalCode::from_code(refused.code);
        }
        _ => {}
    }
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
    disk
}
