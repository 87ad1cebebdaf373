//! libsignal: PQXDH and the Triple Ratchet, with its in-memory stores. Headers and sender are not hidden, nothing is padded.

use std::time::SystemTime;

use futures_util::FutureExt;
use libsignal_protocol::*;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{Peer, timed};

pub struct Libsignal {
    rng: StdRng,
    addresses: [ProtocolAddress; 2],
    stores: [InMemSignalProtocolStore; 2],
    /// Whose turn it is to write.
    writer: usize,
    prekeys: u32,
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().unwrap()
}

impl Libsignal {
    pub fn new() -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let address = |name: &str| ProtocolAddress::new(name.into(), DeviceId::new(1).unwrap());
        let stores = [0, 1].map(|_| {
            InMemSignalProtocolStore::new(IdentityKeyPair::generate(&mut rng), rng.random::<u16>().into())
                .unwrap()
        });
        let addresses = [address("alice"), address("bob")];
        let mut peer = Self { rng, addresses, stores, writer: 0, prekeys: 0 };
        let (_, first) = peer.initiate();
        peer.open(&first);
        peer.turn();
        peer.turn();
        peer
    }

    /// Makes and stores prekeys of the second side, and returns what a server would hand out.
    fn bundle(&mut self) -> PreKeyBundle {
        self.prekeys += 1;
        let id = self.prekeys;
        let store = &mut self.stores[1];
        let identity = now(store.get_identity_key_pair()).unwrap();
        let (curve, signed) = (KeyPair::generate(&mut self.rng), KeyPair::generate(&mut self.rng));
        let signature = identity
            .private_key()
            .calculate_signature(&signed.public_key.serialize(), &mut self.rng)
            .unwrap();
        let kyber =
            KyberPreKeyRecord::generate(kem::KeyType::Kyber1024, id.into(), identity.private_key()).unwrap();
        now(store.save_pre_key(id.into(), &PreKeyRecord::new(id.into(), &curve))).unwrap();
        let record = SignedPreKeyRecord::new(id.into(), Timestamp::from_epoch_millis(1), &signed, &signature);
        now(store.save_signed_pre_key(id.into(), &record)).unwrap();
        now(store.save_kyber_pre_key(id.into(), &kyber)).unwrap();
        PreKeyBundle::new(
            now(store.get_local_registration_id()).unwrap(),
            DeviceId::new(1).unwrap(),
            Some((id.into(), curve.public_key)),
            id.into(),
            signed.public_key,
            signature.to_vec(),
            id.into(),
            kyber.public_key().unwrap(),
            kyber.signature().unwrap(),
            *identity.identity_key(),
        )
        .unwrap()
    }

    fn initiate(&mut self) -> (u128, CiphertextMessage) {
        let bundle = self.bundle();
        timed(|| {
            let [alice, bob] = &self.addresses;
            let store = &mut self.stores[0];
            now(process_prekey_bundle(
                bob,
                alice,
                &mut store.session_store,
                &mut store.identity_store,
                &bundle,
                SystemTime::now(),
                &mut self.rng,
            ))
            .unwrap();
            self.seal()
        })
    }

    fn seal(&mut self) -> CiphertextMessage {
        let (from, to) = (&self.addresses[self.writer], &self.addresses[1 - self.writer]);
        let store = &mut self.stores[self.writer];
        let (sessions, identities) = (&mut store.session_store, &mut store.identity_store);
        now(message_encrypt(&[7; 256], to, from, sessions, identities, SystemTime::now(), &mut self.rng))
            .unwrap()
    }

    fn open(&mut self, message: &CiphertextMessage) {
        let (from, to) = (&self.addresses[self.writer], &self.addresses[1 - self.writer]);
        let store = &mut self.stores[1 - self.writer];
        // From bytes, as it arrives.
        let bytes = message.serialize();
        let message = match message {
            CiphertextMessage::PreKeySignalMessage(_) => {
                CiphertextMessage::PreKeySignalMessage(PreKeySignalMessage::try_from(bytes).unwrap())
            }
            _ => CiphertextMessage::SignalMessage(SignalMessage::try_from(bytes).unwrap()),
        };
        now(message_decrypt(
            &message,
            from,
            to,
            &mut store.session_store,
            &mut store.identity_store,
            &mut store.pre_key_store,
            &store.signed_pre_key_store,
            &mut store.kyber_pre_key_store,
            &mut self.rng,
        ))
        .unwrap();
    }
}

impl Peer for Libsignal {
    fn name(&self) -> &'static str {
        "libsignal 0.101"
    }

    fn first_contact(&mut self) -> (u128, u128) {
        // Beside the sessions that run, so that these stay as they are.
        let mut other = Self {
            rng: StdRng::seed_from_u64(self.rng.random()),
            addresses: self.addresses.clone(),
            stores: [0, 1]
                .map(|_| InMemSignalProtocolStore::new(IdentityKeyPair::generate(&mut self.rng), 5).unwrap()),
            writer: 0,
            prekeys: 0,
        };
        let (initiator, first) = other.initiate();
        let (responder, ()) = timed(|| other.open(&first));
        (initiator, responder)
    }

    fn message(&mut self) -> (u128, u128) {
        let (seal, message) = timed(|| {
            let message = self.seal();
            std::hint::black_box(message.serialize().to_vec());
            message
        });
        let (open, ()) = timed(|| self.open(&message));
        (seal, open)
    }

    fn turn(&mut self) -> u128 {
        self.writer = 1 - self.writer;
        timed(|| {
            let message = self.seal();
            self.open(&message);
        })
        .0
    }

    fn sizes(&mut self) -> [usize; 3] {
        let mut other = Self::new();
        let (_, first) = other.initiate();
        let stored = now(self.stores[0].load_session(&self.addresses[1])).unwrap().unwrap();
        let stored = stored.serialize().unwrap().len();
        let later = self.seal();
        self.open(&later);
        [first.serialize().len(), later.serialize().len(), stored]
    }
}
