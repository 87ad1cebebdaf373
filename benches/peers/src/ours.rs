//! Chancery: everything hidden and padded, hybrid signatures.

use chancery_benches::{Device, NOW, two_devices};
use chancery_core::{Bundle, InitialEnvelope, Session, initiate, respond};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_wire::Unverified;

use crate::{Peer, timed};

pub struct Ours {
    /// Whether each message reads the session from its record and writes it again, as a device does.
    stored: bool,
    alice: Device,
    bob: Device,
    a: Session,
    b: Session,
    rng: Box<dyn CryptoRng>,
}

impl Ours {
    pub fn new(stored: bool) -> Self {
        let mut rng: Box<dyn CryptoRng> = Box::new(seeded([1; 32]));
        let (alice, bob) = two_devices(&mut *rng);
        let first = initiate(alice.local(), &bob.verified_bundle(), &[7; 256], NOW, &mut *rng).unwrap();
        let envelope = InitialEnvelope::parse(&first.envelope).unwrap();
        let accepted = respond(&bob.responder(), &envelope, NOW, &mut *rng).unwrap();
        let mut ours = Self { stored, alice, bob, a: first.session, b: accepted.session, rng };
        ours.turn();
        ours.turn();
        ours
    }

    fn seal(&mut self) -> Vec<u8> {
        if self.stored {
            let mut session = Session::from_bytes(self.a.to_bytes().expose()).unwrap();
            let message = session.encrypt(&[7; 256], &mut *self.rng).unwrap();
            self.a = session;
            return message;
        }
        self.a.encrypt(&[7; 256], &mut *self.rng).unwrap()
    }

    fn open(&mut self, message: &[u8]) {
        if self.stored {
            let mut session = Session::from_bytes(self.b.to_bytes().expose()).unwrap();
            session.decrypt(message, NOW, &mut *self.rng).unwrap();
            self.b = session;
            return;
        }
        self.b.decrypt(message, NOW, &mut *self.rng).unwrap();
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        if self.stored { "chancery, session from its record" } else { "chancery" }
    }

    fn first_contact(&mut self) -> (u128, u128) {
        let raw = self.bob.bundle();
        let expected = (&self.bob.credential.member_id(), &self.bob.credential.device_id());
        let (initiator, initiated) = timed(|| {
            let bundle =
                Bundle::verify(Unverified::new(raw), &self.alice.organisation, expected, NOW).unwrap();
            initiate(self.alice.local(), &bundle, &[7; 256], NOW, &mut *self.rng).unwrap()
        });
        let (responder, _) = timed(|| {
            let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
            respond(&self.bob.responder(), &envelope, NOW, &mut *self.rng).unwrap()
        });
        (initiator, responder)
    }

    fn message(&mut self) -> (u128, u128) {
        let (seal, message) = timed(|| self.seal());
        let (open, ()) = timed(|| self.open(&message));
        (seal, open)
    }

    fn turn(&mut self) -> u128 {
        std::mem::swap(&mut self.a, &mut self.b);
        timed(|| {
            let message = self.seal();
            self.open(&message);
        })
        .0
    }

    fn sizes(&mut self) -> [usize; 3] {
        let first = initiate(self.alice.local(), &self.bob.verified_bundle(), &[7; 256], NOW, &mut *self.rng)
            .unwrap();
        [first.envelope.len(), self.seal().len(), self.b.to_bytes().expose().len()]
    }
}
