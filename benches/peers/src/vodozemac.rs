//! vodozemac: Olm, classical. Headers and sender are not hidden, nothing is padded.

use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

use crate::{Peer, timed};

pub struct Vodozemac {
    alice: Account,
    bob: Account,
    a: Session,
    b: Session,
}

fn contact(alice: &Account, bob: &mut Account) -> ((u128, u128), Session, Session, usize) {
    bob.generate_one_time_keys(1);
    let one_time = *bob.one_time_keys().values().next().unwrap();
    bob.mark_keys_as_published();
    let config = SessionConfig::version_1();
    let (initiator, (session, message)) = timed(|| {
        let mut session = alice.create_outbound_session(config, bob.curve25519_key(), one_time).unwrap();
        let message = session.encrypt([7; 256]).unwrap();
        (session, message)
    });
    let OlmMessage::PreKey(first) = &message else { panic!("the first message begins a session") };
    let config = SessionConfig::version_1();
    let (responder, accepted) =
        timed(|| bob.create_inbound_session(config, alice.curve25519_key(), first).unwrap());
    ((initiator, responder), session, accepted.session, first.to_bytes().len())
}

fn to_bytes(message: &OlmMessage) -> Vec<u8> {
    message.to_parts().1
}

impl Vodozemac {
    pub fn new() -> Self {
        let (alice, mut bob) = (Account::new(), Account::new());
        let (_, a, b, _) = contact(&alice, &mut bob);
        let mut peer = Self { alice, bob, a, b };
        peer.turn();
        peer.turn();
        peer
    }
}

impl Peer for Vodozemac {
    fn name(&self) -> &'static str {
        "vodozemac 0.11 (classical)"
    }

    fn first_contact(&mut self) -> (u128, u128) {
        contact(&self.alice, &mut self.bob).0
    }

    fn message(&mut self) -> (u128, u128) {
        let (seal, bytes) = timed(|| to_bytes(&self.a.encrypt([7; 256]).unwrap()));
        let (open, ()) = timed(|| {
            let message = OlmMessage::from_parts(1, &bytes).unwrap();
            self.b.decrypt(&message).unwrap();
        });
        (seal, open)
    }

    fn turn(&mut self) -> u128 {
        std::mem::swap(&mut self.a, &mut self.b);
        timed(|| {
            let message = self.a.encrypt([7; 256]).unwrap();
            self.b.decrypt(&message).unwrap();
        })
        .0
    }

    fn sizes(&mut self) -> [usize; 3] {
        let (_, _, _, first) = contact(&self.alice, &mut self.bob);
        let later = self.a.encrypt([7; 256]).unwrap();
        self.b.decrypt(&later).unwrap();
        let stored = self.a.pickle().encrypt(&[0; 32]).len();
        [first, to_bytes(&later).len(), stored]
    }
}
