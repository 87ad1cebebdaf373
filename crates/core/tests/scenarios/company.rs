// A company with members, for tests and examples.

use std::collections::BTreeMap;
use std::time::Duration;

use chancery_core::{
    BatchPlan, Bundle, InitialEnvelope, Initiated, Local, PrekeyId, PrekeySecrets, Responder, Session,
    generate_batch, initiate, respond,
};
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::SecretBytes;
use chancery_crypto::signature::SigningKey;
use chancery_identity::prekey::VerifiedUpload;
use chancery_identity::sign::{sign_credential, sign_issuer};
use chancery_identity::{
    Capabilities, Credential, DeviceId, DeviceKeys, Issuer, MemberId, OrgId, Organisation, SUITE,
};
use chancery_wire::{Timestamp, Unverified, proto};

/// The time at which everything happens unless a test says otherwise.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct Company {
    pub(crate) organisation: Organisation,
    issuer: SigningKey,
    issuer_id: Vec<u8>,
}

impl Company {
    pub(crate) fn found(seed: u8) -> Self {
        let mut rng = seeded([seed; 32]);
        let (root, issuer) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let body = proto::IssuerBody {
            suite: SUITE,
            org_id: OrgId::of(root.verifying_key()).as_bytes().to_vec(),
            key: issuer.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::ENROL.bits(),
            not_before: 1,
            not_after: NOW.after(DAY * 1000).as_millis(),
        };
        let certificate = sign_issuer(&root, &body, &mut rng);
        let issuer_id = Issuer::id_of(&certificate).as_bytes().to_vec();
        let document = proto::Organisation {
            root_key: root.verifying_key().as_bytes().to_vec(),
            issuers: vec![certificate],
            ..Default::default()
        };
        let organisation = Organisation::verify(Unverified::new(document), None).unwrap();
        Self { organisation, issuer, issuer_id }
    }

    pub(crate) fn enrol(&self, seed: u8, capabilities: Capabilities) -> Device {
        let mut rng = seeded([seed; 32]);
        let keys = DeviceKeys::generate(&mut rng);
        let device_id = DeviceId::random(&mut rng);
        let body = proto::CredentialBody {
            suite: SUITE,
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: self.issuer_id.clone(),
            member_id: MemberId::random(&mut rng).as_bytes().to_vec(),
            device_id: device_id.as_bytes().to_vec(),
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: capabilities.bits(),
            not_before: 1,
            not_after: NOW.after(DAY * 365).as_millis(),
        };
        let signed = sign_credential(&self.issuer, &body, &mut rng);
        let credential = self.organisation.verify_credential(Unverified::new(signed), NOW).unwrap();
        let plan = BatchPlan {
            device_id,
            sequence: 1,
            first_id: 1,
            one_time_pairs: 3,
            expires: NOW.after(DAY * 60),
        };
        let batch = generate_batch(&keys, &plan, &mut rng).unwrap();
        let upload = VerifiedUpload::verify(Unverified::new(batch.upload), &credential, 0, NOW).unwrap();
        let prekeys = batch.secrets.into_iter().map(|(id, secret)| (id, secret.expose().to_vec())).collect();
        Device {
            organisation: self.organisation.clone(),
            credential,
            keys,
            upload,
            prekeys: Prekeys(prekeys),
        }
    }

    /// Two members' devices.
    pub(crate) fn alice_and_bob(&self) -> (Device, Device) {
        (self.enrol(11, Capabilities::MEMBER), self.enrol(22, Capabilities::MEMBER))
    }
}

pub(crate) struct Prekeys(pub(crate) BTreeMap<PrekeyId, Vec<u8>>);

impl PrekeySecrets for Prekeys {
    fn secret(&self, id: PrekeyId) -> Option<SecretBytes> {
        self.0.get(&id).cloned().map(SecretBytes::new)
    }
}

pub(crate) struct Device {
    pub(crate) organisation: Organisation,
    pub(crate) credential: Credential,
    pub(crate) keys: DeviceKeys,
    pub(crate) upload: VerifiedUpload,
    pub(crate) prekeys: Prekeys,
}

impl Device {
    pub(crate) fn local(&self) -> Local<'_> {
        Local { credential: &self.credential, keys: &self.keys }
    }

    pub(crate) fn responder(&self) -> Responder<'_> {
        Responder { local: self.local(), organisation: &self.organisation, prekeys: &self.prekeys }
    }

    /// What the relay hands out: with one-time prekeys, or without when they have run out.
    pub(crate) fn bundle(&self, one_time: Option<usize>) -> proto::PrekeyBundle {
        let (curve, kem) = match one_time {
            Some(pair) => (Some(self.upload.pairs()[pair].0.clone()), self.upload.pairs()[pair].1.clone()),
            None => (None, self.upload.last_resort().clone()),
        };
        proto::PrekeyBundle {
            credential: Some(self.credential.signed().clone()),
            batch: Some(self.upload.batch().clone()),
            signed: Some(self.upload.signed().clone()),
            one_time: curve,
            kem: Some(kem),
            padding: Vec::new(),
        }
    }

    pub(crate) fn verified_bundle(&self, one_time: Option<usize>) -> Bundle {
        let expected = (&self.credential.member_id(), &self.credential.device_id());
        Bundle::verify(Unverified::new(self.bundle(one_time)), &self.organisation, expected, NOW).unwrap()
    }

    pub(crate) fn write_to(&self, peer: &Self, text: &[u8], rng: &mut dyn CryptoRng) -> Initiated {
        initiate(self.local(), &peer.verified_bundle(Some(0)), text, NOW, rng).unwrap()
    }
}

/// Sessions of alice and bob after alice's first message arrived.
pub(crate) fn two_sessions() -> (Session, Session) {
    let company = Company::found(1);
    let (alice, bob) = company.alice_and_bob();
    let mut rng = seeded([9; 32]);
    let initiated = alice.write_to(&bob, b"hello", &mut rng);
    let envelope = InitialEnvelope::parse(&initiated.envelope).unwrap();
    let accepted = respond(&bob.responder(), &envelope, NOW, &mut rng).unwrap();
    assert_eq!(accepted.plaintext.expose(), b"hello");
    (initiated.session, accepted.session)
}

/// A second copy of a session, by way of its record.
pub(crate) fn copy_of(session: &Session) -> Session {
    Session::from_bytes(session.to_bytes().expose()).unwrap()
}
