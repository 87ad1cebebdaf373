//! Envelopes, sessions and contents.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use chancery_core::{EnvelopeKind, InitialEnvelope, Session, SessionEnvelope, initiate, respond};
use chancery_engine::content::{padded_len, safe_name};
use chancery_engine::{Draft, Effect, Engine, Input, Notice, Outcome, Step, next_step};
use chancery_testkit::company::NOW;
use chancery_testkit::event::{Event, Pair};
use chancery_testkit::{Disk, commit};

use chancery_wire::{Limit, decode, proto};

use crate::{COMPANY, rng, tried};

/// An alice's and a bob's session as stored, the envelope that started them, and alice's next message.
struct Started {
    bob: Vec<u8>,
    initial: Vec<u8>,
    next: Vec<u8>,
}

static STARTED: LazyLock<Started> = LazyLock::new(|| {
    let (mut alice, bob, initial) = COMPANY.two_sessions(&mut rng());
    let next = alice.encrypt(b"next", &mut rng()).expect("can send");
    Started { bob: bob.to_bytes().expose().to_vec(), initial, next }
});

/// The session that a fuzzed record starts from.
pub(crate) fn stored_session() -> &'static [u8] {
    &STARTED.bob
}

/// Whatever lies in a mailbox: its kind and its parts.
pub fn envelope(data: &[u8]) {
    let _ = EnvelopeKind::of(data);
    if let Ok(parsed) = SessionEnvelope::parse(data) {
        assert_eq!(parsed.tag().as_bytes()[..], data[1..17]);
    }
    if let Ok(parsed) = InitialEnvelope::parse(data) {
        assert!(parsed.prekeys().all(|prekey| prekey.id != 0));
    }
}

/// An initial envelope at a responder.
pub fn initial_envelope(data: &[u8]) {
    let tried = tried(&STARTED.initial, data);
    let Ok(parsed) = InitialEnvelope::parse(&tried.bytes) else { return assert!(!tried.sound) };
    let responder = COMPANY.bob.responder(&COMPANY.organisation);
    let accepted = respond(&responder, &parsed, NOW, &mut rng());
    assert_eq!(accepted.is_ok(), tried.sound, "only the sound envelope opens");
}

/// A session message at a session: it opens, or nothing changes.
pub fn session_message(data: &[u8]) {
    let tried = tried(&STARTED.next, data);
    let mut session = Session::from_bytes(&STARTED.bob).expect("stored");
    let decrypted = session.decrypt(&tried.bytes, NOW, &mut rng());
    assert_eq!(decrypted.is_ok(), tried.sound, "only the sound message opens");
    if decrypted.is_err() {
        assert_eq!(session.to_bytes().expose(), STARTED.bob, "a refusal changes nothing");
    }
}

/// Alice's disk with prekeys on it, and a bundle of them.
static READY: LazyLock<(Disk, chancery_core::Bundle)> = LazyLock::new(|| {
    let mut disk = crate::wire::alice();
    let mut engine = Engine::load(&disk, NOW).expect("enrolled");
    engine.refresh(&disk).expect("readable");
    let outcome = engine.handle(&disk, Input::Upkeep, NOW, &mut rng()).expect("readable");
    commit(&mut disk, outcome.batch);
    let bundle = bundle(&outcome.effects).expect("a new device has prekeys to publish");
    (disk, bundle)
});

/// Messages that alice's device holds for bob's.
pub(crate) const HELD: usize = 5;

/// Alice's device in the middle of a conversation with bob's, whose session is as stored.
pub(crate) struct Talking {
    disk: Disk,
    engine: Engine,
    bob: Vec<u8>,
}

/// Made once: a handshake for each input would be most of the work.
pub(crate) static TALKING: LazyLock<Talking> = LazyLock::new(|| {
    let (disk, bundle) = &*READY;
    let mut started = initiate(COMPANY.bob.local(), bundle, b"", NOW, &mut rng()).expect("sound");
    let mut engine = Engine::load(disk, NOW).expect("enrolled");
    engine.refresh(disk).expect("readable");
    let mut talking = Talking { disk: disk.clone(), engine, bob: Vec::new() };
    talking.take(Input::Received { sequence: 1, envelope: &started.envelope });
    // Until bob's side has sent all the codewords that it may before it hears of alice's (R-BRAID-4).
    for _ in 0..8 {
        let envelope = started.session.encrypt(b"", &mut rng()).expect("can send");
        talking.take(Input::Received { sequence: 1, envelope: &envelope });
    }
    talking.bob = started.session.to_bytes().expose().to_vec();
    let change = proto::DirectoryChange { sequence: 1, entry: Some(COMPANY.bob.entry.clone()) };
    talking.take(Input::Directory(&proto::DirectoryPage { changes: vec![change], more: false }));
    // So long that nothing but the text fits: computing codewords would be most of the work.
    let text = &"x".repeat(345);
    for number in 1..=HELD {
        let message_id = [u8::try_from(number).expect("few"); 16];
        let to = COMPANY.bob.credential.member_id();
        talking.take(Input::Send(Draft { to, message_id, text, attachments: Vec::new() }));
        while let Some(step) = next_step(&talking.disk, &BTreeSet::new()).expect("readable") {
            let item = step.item();
            match step {
                Step::Seal { .. } => talking.take(Input::Seal { item }),
                _ => talking.take(Input::Done { item }),
            }
        }
    }
    talking
});

impl Talking {
    fn take(&mut self, input: Input<'_>) {
        let outcome = self.engine.handle(&self.disk, input, NOW, &mut rng()).expect("handled");
        commit(&mut self.disk, outcome.batch);
    }

    /// Whether alice's device has this record.
    pub(crate) fn has(&self, key: &chancery_wire::records::RecordKey) -> bool {
        chancery_wire::records::Records::get(&self.disk, key).expect("readable").is_some()
    }

    /// What alice's engine does with a content that bob's device encrypts; `None` if it is too long for one.
    pub(crate) fn hear(&self, content: &[u8]) -> Option<Outcome> {
        let mut bob = Session::from_bytes(&self.bob).expect("stored");
        let envelope = bob.encrypt(content, &mut rng()).ok()?;
        let input = Input::Received { sequence: 1, envelope: &envelope };
        Some(self.engine.handle(&self.disk, input, NOW, &mut rng()).expect("readable"))
    }
}

/// A content that a member's device encrypted, whatever it is, at an engine.
pub fn content(data: &[u8]) {
    let _ = padded_len(data.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) >> 8);
    if let Ok(text) = core::str::from_utf8(data) {
        let name = safe_name(text);
        assert!(!name.is_empty() && name.len() <= 255 && !name.contains(['/', '\\', '\0']));
        assert_eq!(safe_name(&name), name, "a safe name stays as it is");
    }
    let Some(outcome) = TALKING.hear(data) else { return };
    assert!(outcome.effects.contains(&Effect::Acknowledge(1)));
    let stored = outcome.effects.iter().any(|it| matches!(it, Effect::Notify(Notice::EventStored(_))));
    let unknown = outcome.effects.contains(&Effect::Notify(Notice::Undecryptable));
    // An acknowledgement or a heal has no identifier, and nobody is told of it.
    let quiet = decode::<proto::Content>(data, Limit::CONTENT).is_ok_and(|it| it.unchecked().id.is_empty());
    assert!(stored || unknown || quiet, "a content is stored or reported");
}

/// A bundle of what a device wants published.
fn bundle(effects: &[Effect]) -> Option<chancery_core::Bundle> {
    let upload = effects.iter().find_map(|effect| match effect {
        Effect::PublishPrekeys(upload) => Some(upload.clone()),
        _ => None,
    })?;
    let alice = &COMPANY.alice.credential;
    let verified = chancery_identity::prekey::VerifiedUpload::verify(
        chancery_wire::Unverified::new(upload),
        alice,
        0,
        NOW,
    )
    .expect("its own");
    let bundle = proto::PrekeyBundle {
        credential: Some(alice.signed().clone()),
        batch: Some(verified.batch().clone()),
        signed: Some(verified.signed().clone()),
        one_time: None,
        kem: Some(verified.last_resort().clone()),
        padding: Vec::new(),
    };
    let expected = (&alice.member_id(), &alice.device_id());
    let bundle = chancery_wire::Unverified::new(bundle);
    chancery_core::Bundle::verify(bundle, &COMPANY.organisation, expected, NOW).ok()
}

/// Both sides of a session as stored.
static PAIR: LazyLock<(Vec<u8>, Vec<u8>)> = LazyLock::new(|| {
    let (alice, bob, _) = COMPANY.two_sessions(&mut rng());
    (alice.to_bytes().expose().to_vec(), bob.to_bytes().expose().to_vec())
});

/// Two devices and a bad network: the input is a list of events, four bytes each, at most 64 of them.
pub fn two_devices(data: &[u8]) {
    let mut pair = Pair::resume(&PAIR.0, &PAIR.1);
    for event in Event::decode_all(data).into_iter().take(64) {
        pair.apply(event);
    }
    pair.finish();
}
