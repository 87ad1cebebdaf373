//! The relay as the world reaches it: frames in, answers and pushes out, one connection at a time.

use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::log::LeafKind;
use chancery_identity::{Organisation, login_message};
use chancery_org::Desk;
use chancery_relay::memory::MemoryStorage;
use chancery_relay::{ConnectionId, Effect, Input, Limits, Relay, Setup};
use chancery_wire::proto::{
    AppendLog, ClientFrame, Hello, Login, RelayFrame, Signed, client_frame, login, relay_frame,
};
use chancery_wire::{Limit, Timestamp, decode, encode};

/// SHA-256 of the simulated relay's public key.
pub(crate) const PIN: [u8; 32] = [0x70; 32];

/// The relay and what it has on disk.
pub(crate) struct Exchange {
    relay: Relay,
    pub(crate) storage: MemoryStorage,
    next_connection: u64,
}

/// A connection; frames that were pushed collect here.
pub(crate) struct Line {
    id: ConnectionId,
    pub(crate) challenge: [u8; 32],
    pub(crate) pushed: Vec<relay_frame::Body>,
}

impl Exchange {
    pub(crate) fn new(organisation: Organisation) -> Self {
        let mut storage = MemoryStorage::new();
        let relay = start(organisation, &mut storage);
        Self { relay, storage, next_connection: 1 }
    }

    /// Kills the relay: whatever it did not commit is gone, and so are all connections.
    pub(crate) fn restart(&mut self) {
        let organisation = self.relay.organisation().clone();
        self.relay = start(organisation, &mut self.storage);
    }

    /// A relay of the same organisation with the same log key, which has the same on disk, and goes its own way from here.
    pub(crate) fn twin(&self) -> Self {
        let mut storage = self.storage.clone();
        let relay = start(self.relay.organisation().clone(), &mut storage);
        Self { relay, storage, next_connection: self.next_connection }
    }

    pub(crate) fn connect(&mut self, now: Timestamp, rng: &mut dyn CryptoRng) -> Line {
        let id = ConnectionId(self.next_connection);
        self.next_connection += 1;
        let opened = self.relay.handle(&mut self.storage, Input::Opened { connection: id }, now, rng);
        opened.expect("the relay accepts connections");
        let mut line = Line { id, challenge: [0; 32], pushed: Vec::new() };
        let org_id = self.relay.organisation().id().as_bytes().to_vec();
        let hello = client_frame::Body::Hello(Hello { version: 1, org_id });
        match self.request(&mut line, hello, now, rng) {
            relay_frame::Body::Welcome(welcome) => {
                line.challenge = welcome.challenge.try_into().expect("32 bytes");
            }
            other => panic!("no welcome: {other:?}"),
        }
        line
    }

    /// Puts a device's credential into the relay's log, as the desk.
    pub(crate) fn vouch(&mut self, desk: &Desk, credential: &Signed, now: Timestamp) {
        self.append(desk, LeafKind::Credential, credential, now);
    }

    /// Puts a statement into the relay's log, as the desk. The relay lets in whom its own log has, whatever log devices are
    /// shown.
    pub(crate) fn append(&mut self, desk: &Desk, kind: LeafKind, statement: &Signed, now: Timestamp) {
        // Not the world's: what else happens in it does not depend on this.
        let rng = &mut seeded([0x73; 32]);
        let mut line = self.connect(now, rng);
        let message = login_message(&line.challenge, &desk.organisation().id(), &PIN);
        let signature = desk.device_keys().signing.sign(label::SIGN_RELAY_LOGIN, &message, rng);
        let who = Some(login::Who::Credential(desk.credential().signed().clone()));
        let done = self.request(&mut line, client_frame::Body::Login(Login { who, signature }), now, rng);
        assert!(matches!(done, relay_frame::Body::Done(_)), "{done:?}");
        let (kind, statement) = (kind.number().into(), Some(statement.clone()));
        let append = client_frame::Body::AppendLog(AppendLog { kind, statement });
        let appended = self.request(&mut line, append, now, rng);
        assert!(matches!(appended, relay_frame::Body::Appended(_)), "{appended:?}");
        self.close(&line, now, rng);
    }

    /// Has the relay check delivery tokens by a key, whatever the desk says.
    #[cfg(test)]
    pub(crate) fn give_delivery_key(&mut self, key: &chancery_identity::delivery::DeliveryKey) {
        use chancery_relay::Storage as _;
        self.storage.begin().expect("memory");
        self.storage.put_delivery_key(key).expect("memory");
        self.storage.commit().expect("memory");
    }

    pub(crate) fn close(&mut self, line: &Line, now: Timestamp, rng: &mut dyn CryptoRng) {
        let closed = self.relay.handle(&mut self.storage, Input::Closed { connection: line.id }, now, rng);
        closed.expect("closing needs no storage");
    }

    /// Sends a request and returns its answer; what else arrives on the line is collected.
    pub(crate) fn request(
        &mut self,
        line: &mut Line,
        body: client_frame::Body,
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> relay_frame::Body {
        let bytes = encode(&ClientFrame { request: 7, body: Some(body) });
        let input = Input::Frame { connection: line.id, bytes: &bytes };
        let effects = self.relay.handle_all(&mut self.storage, &[input], now, rng);
        let mut answer = None;
        for effect in effects {
            let Effect::Send { connection, frame } = effect else { continue };
            if connection != line.id {
                continue;
            }
            let frame = decode::<RelayFrame>(&frame, Limit::FRAME).expect("the relay's frames are sound");
            let frame = frame.into_unchecked();
            match (frame.request, frame.body) {
                (7, body) => answer = body,
                (0, Some(body)) => line.pushed.push(body),
                other => panic!("unexpected frame {other:?}"),
            }
        }
        answer.expect("every request is answered")
    }
}

/// Starts a relay on a storage, each time with the same log key.
fn start(organisation: Organisation, storage: &mut MemoryStorage) -> Relay {
    let log_key = SigningKey::from_seed(Secret::from_slice(&[0x71; 64]).expect("64 bytes"));
    let setup = Setup { organisation, pin: PIN, log_key, limits: Limits::default() };
    Relay::start(setup, storage, Timestamp::default(), &mut seeded([0x72; 32])).expect("memory does not fail")
}
