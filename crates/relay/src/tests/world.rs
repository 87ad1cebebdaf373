//! An organisation with a desk, devices with credentials, and a relay that they talk to frame by frame.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::delivery::DeliveryKey;
use chancery_identity::log::{LeafKind, directory_object};
use chancery_identity::{
    Capabilities, DeviceId, DeviceKeys, Issuer, MemberId, OrgId, Organisation, login_message, sign,
};
use chancery_wire::{Limit, RefusalCode, Timestamp, Unverified, decode, encode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use crate::memory::MemoryStorage;
use crate::{ConnectionId, Effect, Input, Limits, MailboxId, Relay, Setup, Storage as _};

pub(crate) const PIN: [u8; 32] = [9; 32];
pub(crate) const DESK: [u8; 16] = [0xDE; 16];
const START: u64 = 1_000_000;
pub(crate) const END: u64 = u64::MAX / 2;

pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) member: MemberId,
    pub(crate) keys: DeviceKeys,
    pub(crate) credential: proto::Signed,
}

impl Device {
    pub(crate) fn mailbox(&self) -> MailboxId {
        MailboxId::from(self.id)
    }
}

pub(crate) struct World {
    pub(crate) relay: Relay,
    pub(crate) storage: MemoryStorage,
    pub(crate) now: Timestamp,
    pub(crate) rng: Box<dyn CryptoRng>,
    pub(crate) root: SigningKey,
    first: SigningKey,
    pub(crate) issuer: SigningKey,
    log_key: SigningKey,
    pub(crate) document: proto::Organisation,
    /// What came for a connection without being asked for.
    pub(crate) pushed: BTreeMap<ConnectionId, Vec<Body>>,
    pub(crate) closed: BTreeSet<ConnectionId>,
    /// What the last login of a device was told.
    pub(crate) state: proto::Done,
    next: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded([7; 32]));
        let (root, issuer) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let org_id = OrgId::of(root.verifying_key()).as_bytes().to_vec();
        let certificate = certificate(&root, &org_id, &issuer, EVERYTHING, &mut *rng);
        let desk = proto::DeskBody {
            suite: 1,
            org_id,
            issuer_id: Issuer::id_of(&certificate).as_bytes().to_vec(),
            device_id: DESK.to_vec(),
            dh_key: DeviceKeys::generate(&mut rng).identity.public().as_bytes().to_vec(),
            kem_key: KemSecret::generate(&mut rng).public().as_bytes().to_vec(),
            not_before: 0,
            not_after: END,
        };
        let document = proto::Organisation {
            root_key: root.verifying_key().as_bytes().to_vec(),
            issuers: vec![certificate],
            desk: Some(sign::sign_desk(&issuer, &desk, &mut rng)),
            ..Default::default()
        };
        let organisation = Organisation::verify(Unverified::new(document.clone()), None).unwrap();
        let (log_key, now) = (SigningKey::generate(&mut rng), Timestamp::from_millis(START));
        let mut storage = MemoryStorage::new();
        let setup = Setup { organisation, pin: PIN, log_key: copy(&log_key), limits };
        let relay = Relay::start(setup, &mut storage, now, &mut *rng).unwrap();
        storage.put_delivery_key(&key(EPOCH, 1)).unwrap();
        storage.commit().unwrap();
        Self {
            relay,
            storage,
            now,
            rng,
            root,
            first: copy(&issuer),
            issuer,
            log_key,
            document,
            pushed: BTreeMap::new(),
            closed: BTreeSet::new(),
            state: proto::Done::default(),
            next: 0,
        }
    }

    /// The process dies and another one starts on the same storage.
    pub(crate) fn restart(&mut self) {
        self.restart_with(self.relay.limits);
    }

    pub(crate) fn restart_with(&mut self, limits: Limits) {
        let organisation = Organisation::verify(Unverified::new(self.document.clone()), None).unwrap();
        let setup = Setup { organisation, pin: PIN, log_key: copy(&self.log_key), limits };
        self.relay = Relay::start(setup, &mut self.storage, self.now, &mut *self.rng).unwrap();
        self.pushed.clear();
    }

    /// Makes the relay one that the desk has given no delivery key.
    pub(crate) fn forget_delivery_key(&mut self) {
        self.storage.forget_delivery_key();
    }

    pub(crate) fn org_id(&self) -> OrgId {
        self.relay.organisation().id()
    }

    pub(crate) fn issuer_id(&self) -> Vec<u8> {
        Issuer::id_of(&self.document.issuers[0]).as_bytes().to_vec()
    }

    pub(crate) fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.input(Input::Tick);
    }

    pub(crate) fn input(&mut self, input: Input<'_>) -> Vec<Effect> {
        let effects = self.relay.handle_all(&mut self.storage, &[input], self.now, &mut *self.rng);
        for effect in &effects {
            match effect {
                Effect::Close { connection } => {
                    self.closed.insert(*connection);
                }
                Effect::Send { connection, frame } => {
                    let frame = read(frame);
                    if frame.request == 0 {
                        self.pushed.entry(*connection).or_default().push(frame.body.unwrap());
                    }
                }
            }
        }
        effects
    }

    pub(crate) fn open(&mut self) -> ConnectionId {
        self.next = self.next.wrapping_add(1);
        let connection = ConnectionId(self.next);
        self.input(Input::Opened { connection });
        connection
    }

    /// Sends a request and returns its answer; exactly one must come (R-RELAY-2).
    pub(crate) fn ask(&mut self, connection: ConnectionId, body: Request) -> Body {
        self.next = self.next.wrapping_add(1);
        let request = self.next;
        let bytes = encode(&proto::ClientFrame { request, body: Some(body) });
        let effects = self.input(Input::Frame { connection, bytes: &bytes });
        let mut answers = effects.iter().filter_map(|effect| match effect {
            Effect::Send { connection: to, frame } if *to == connection => {
                let frame = read(frame);
                (frame.request == request).then_some(frame.body.unwrap())
            }
            _ => None,
        });
        let answer = answers.next().expect("an answer");
        assert_eq!(answers.next(), None, "R-RELAY-2");
        answer
    }

    pub(crate) fn hello(&mut self, connection: ConnectionId) -> [u8; 32] {
        let hello = proto::Hello { version: 1, org_id: self.org_id().as_bytes().to_vec() };
        match self.ask(connection, Request::Hello(hello)) {
            Body::Welcome(welcome) => {
                assert_eq!(welcome.time, self.now.as_millis(), "R-RELAY-4");
                welcome.challenge.try_into().unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn anonymous(&mut self) -> ConnectionId {
        let connection = self.open();
        self.hello(connection);
        connection
    }

    pub(crate) fn device(&mut self, id: u8, capabilities: Capabilities) -> Device {
        self.device_until(id, capabilities, END)
    }

    pub(crate) fn device_until(&mut self, id: u8, capabilities: Capabilities, not_after: u64) -> Device {
        let member = MemberId::new(random_bytes::<16>(&mut *self.rng));
        let device = self.unlogged(id, member, capabilities, not_after);
        // The desk's need not be in the log, and an expired one cannot enter it.
        if !capabilities.contains(Capabilities::DESK) && not_after > self.now.as_millis() {
            let entered = self.enter(LeafKind::Credential, &device.credential);
            assert!(matches!(entered, Body::Appended(_)), "{entered:?}");
        }
        device
    }

    /// A device with a credential that the log does not have.
    pub(crate) fn unlogged(
        &mut self,
        id: u8,
        member: MemberId,
        capabilities: Capabilities,
        not_after: u64,
    ) -> Device {
        let keys = DeviceKeys::generate(&mut *self.rng);
        let id = if capabilities.contains(Capabilities::DESK) { DESK } else { [id; 16] };
        let body = proto::CredentialBody {
            suite: 1,
            org_id: self.org_id().as_bytes().to_vec(),
            issuer_id: self.issuer_id(),
            member_id: member.as_bytes().to_vec(),
            device_id: id.to_vec(),
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: capabilities.bits(),
            not_before: 0,
            not_after,
        };
        let credential = sign::sign_credential(&self.issuer, &body, &mut *self.rng);
        Device { id: DeviceId::new(id), member, keys, credential }
    }

    /// Has the desk put a statement into the log, on a connection of its own.
    pub(crate) fn enter(&mut self, kind: LeafKind, statement: &proto::Signed) -> Body {
        let desk = self.desk();
        let connection = self.login(&desk);
        let answer = self.ask(connection, append(kind, statement));
        self.input(Input::Closed { connection });
        answer
    }

    /// Signs a commitment to something that the log does not show.
    pub(crate) fn committed(&mut self, kind: LeafKind, commitment: [u8; 32]) -> proto::Signed {
        let version = u64::from(commitment[0]).saturating_add(1);
        let object = if kind == LeafKind::Directory { directory_object(version) } else { [2; 16] };
        let body = proto::LogCommitmentBody {
            org_id: self.org_id().as_bytes().to_vec(),
            issuer_id: self.issuer_id(),
            kind: kind.number().into(),
            subject: vec![1; 16],
            object: object.to_vec(),
            commitment: commitment.to_vec(),
        };
        sign::sign_log_commitment(&self.issuer, &body, &mut *self.rng)
    }

    /// Signs the end of a device, or of the member.
    pub(crate) fn end(&mut self, member: MemberId, device: Option<DeviceId>) -> proto::Signed {
        let body = proto::RevocationBody {
            org_id: self.org_id().as_bytes().to_vec(),
            issuer_id: self.issuer_id(),
            member_id: member.as_bytes().to_vec(),
            device_id: device.map(|device| device.as_bytes().to_vec()).unwrap_or_default(),
        };
        sign::sign_revocation(&self.issuer, &body, &mut *self.rng)
    }

    /// Signs where the relay is.
    pub(crate) fn relay_record(&mut self, sequence: u64) -> proto::Signed {
        let body = proto::RelayRecordBody {
            org_id: self.org_id().as_bytes().to_vec(),
            issuer_id: self.issuer_id(),
            url: "wss://relay.example:443".into(),
            pin: PIN.to_vec(),
            sequence,
            log_key: self.log_key.verifying_key().as_bytes().to_vec(),
        };
        sign::sign_relay_record(&self.issuer, &body, &mut *self.rng)
    }

    /// What the log is by its newest checkpoint, which must verify.
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        let connection = self.anonymous();
        let answer = self.ask(connection, Request::GetCheckpoint(proto::GetCheckpoint { from: 0 }));
        self.input(Input::Closed { connection });
        let Body::Checkpoint(answer) = answer else { panic!("{answer:?}") };
        assert!(answer.proof.is_empty(), "R-RELAY-52: nothing to prove from 0");
        self.verified(&answer.note)
    }

    /// The issuer that the log begins with.
    pub(crate) fn first_issuer(&self) -> SigningKey {
        copy(&self.first)
    }

    pub(crate) fn log_key(&self) -> SigningKey {
        copy(&self.log_key)
    }

    pub(crate) fn verified(&self, note: &str) -> Checkpoint {
        Checkpoint::verify(note, &self.org_id(), self.relay.log_key()).unwrap()
    }

    pub(crate) fn member(&mut self, id: u8) -> Device {
        self.device(id, Capabilities::MEMBER)
    }

    pub(crate) fn desk(&mut self) -> Device {
        self.device(0, Capabilities::DESK)
    }

    /// Answers a challenge with a device's key.
    pub(crate) fn sign(&mut self, key: &SigningKey, challenge: &[u8; 32]) -> Vec<u8> {
        let message = login_message(challenge, &self.org_id(), &PIN);
        key.sign(label::SIGN_RELAY_LOGIN, &message, &mut *self.rng)
    }

    pub(crate) fn login(&mut self, device: &Device) -> ConnectionId {
        let connection = self.open();
        let Body::Done(state) = self.try_login(connection, device) else { panic!("no login") };
        self.state = state;
        connection
    }

    pub(crate) fn try_login(&mut self, connection: ConnectionId, device: &Device) -> Body {
        let challenge = self.hello(connection);
        let signature = self.sign(&device.keys.signing, &challenge);
        let who = Some(proto::login::Who::Credential(device.credential.clone()));
        self.ask(connection, Request::Login(proto::Login { who, signature }))
    }

    /// Logs in as a device that has no credential yet.
    pub(crate) fn login_enrolling(&mut self, key: &SigningKey) -> ConnectionId {
        let connection = self.open();
        let challenge = self.hello(connection);
        let signature = self.sign(key, &challenge);
        let key = key.verifying_key().as_bytes().to_vec();
        let login = proto::Login { who: Some(proto::login::Who::EnrollingKey(key)), signature };
        assert_eq!(self.ask(connection, Request::Login(login)), done());
        connection
    }

    pub(crate) fn subscribe(&mut self, connection: ConnectionId) {
        assert_eq!(self.ask(connection, Request::Subscribe(proto::Subscribe {})), done());
    }

    pub(crate) fn deliver(&mut self, to: ConnectionId, mailbox: MailboxId, id: u8, envelope: &[u8]) -> Body {
        self.ask(to, delivery(mailbox, &[id; 16], envelope))
    }

    pub(crate) fn acknowledge(&mut self, connection: ConnectionId, sequences: &[u64]) {
        let sequences = sequences.to_vec();
        assert_eq!(self.ask(connection, Request::Acknowledge(proto::Acknowledge { sequences })), done());
    }

    /// Takes what was pushed: sequences with envelopes, `None` for `CaughtUp`.
    pub(crate) fn take(&mut self, connection: ConnectionId) -> Vec<Option<(u64, Vec<u8>)>> {
        let pushed = self.pushed.remove(&connection).unwrap_or_default();
        pushed
            .into_iter()
            .filter(|body| !matches!(body, Body::LogGrown(_)))
            .map(|body| match body {
                Body::Envelope(stored) => Some((stored.sequence, stored.envelope)),
                Body::CaughtUp(_) => None,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    /// Takes what was pushed: envelopes only.
    pub(crate) fn envelopes(&mut self, connection: ConnectionId) -> Vec<Vec<u8>> {
        self.take(connection).into_iter().flatten().map(|(_, envelope)| envelope).collect()
    }
}

/// The same key once more; keys are not cloned outside of tests.
fn copy(key: &SigningKey) -> SigningKey {
    SigningKey::from_seed(Secret::from_slice(key.seed().expose()).unwrap())
}

/// What an issuer may have.
pub(crate) const EVERYTHING: Capabilities = Capabilities::from_bits(0x1F);

/// A root's statement that somebody is an issuer.
pub(crate) fn certificate(
    root: &SigningKey,
    org_id: &[u8],
    issuer: &SigningKey,
    capabilities: Capabilities,
    rng: &mut dyn CryptoRng,
) -> proto::Signed {
    let body = proto::IssuerBody {
        suite: 1,
        org_id: org_id.to_vec(),
        key: issuer.verifying_key().as_bytes().to_vec(),
        capabilities: capabilities.bits(),
        not_before: 0,
        not_after: END,
    };
    sign::sign_issuer(root, &body, rng)
}

pub(crate) fn append(kind: LeafKind, statement: &proto::Signed) -> Request {
    let (kind, statement) = (kind.number().into(), Some(statement.clone()));
    Request::AppendLog(proto::AppendLog { kind, statement })
}

pub(crate) fn read(frame: &[u8]) -> proto::RelayFrame {
    decode(frame, Limit::FRAME).unwrap().into_unchecked()
}

pub(crate) fn done() -> Body {
    Body::Done(proto::Done::default())
}

pub(crate) fn refusal(code: RefusalCode) -> Body {
    Body::Refused(proto::Refused { code: code.code(), retry_after_ms: 0 })
}

/// The epoch of the delivery key that the relay has at first.
pub(crate) const EPOCH: u64 = 5;

/// A delivery key.
pub(crate) fn key(epoch: u64, byte: u8) -> DeliveryKey {
    DeliveryKey::new(epoch, Secret::from_bytes([byte; 32]))
}

/// A token by the delivery key that the relay has at first.
pub(crate) fn token(name: &[u8; 16]) -> Vec<u8> {
    key(EPOCH, 1).token(name).to_vec()
}

pub(crate) fn delivery(mailbox: MailboxId, id: &[u8], envelope: &[u8]) -> Request {
    with_token(mailbox, token(mailbox.as_bytes()), (id, envelope))
}

pub(crate) fn with_token(mailbox: MailboxId, token: Vec<u8>, (id, envelope): (&[u8], &[u8])) -> Request {
    Request::Deliver(proto::Deliver {
        mailbox: mailbox.as_bytes().to_vec(),
        delivery_id: id.to_vec(),
        token,
        envelope: envelope.to_vec(),
    })
}
