//! An organisation on disk, its devices, and the frames that they send.

use std::path::Path;

use chancery_crypto::kem::KemSecret;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_identity::{Capabilities, DeviceKeys, Issuer, OrgId, login_message, sign};
use chancery_wire::{Limit, decode, encode, proto};
use proto::client_frame::Body as Request;

pub(crate) struct Device {
    pub(crate) id: [u8; 16],
    pub(crate) keys: DeviceKeys,
    pub(crate) credential: proto::Signed,
}

pub(crate) struct Acme {
    pub(crate) rng: Box<dyn CryptoRng + Send>,
    pub(crate) org_id: OrgId,
    pub(crate) document: proto::Organisation,
    issuer: SigningKey,
}

impl Acme {
    pub(crate) fn new(seed: u8) -> Self {
        let mut rng: Box<dyn CryptoRng + Send> = Box::new(seeded([seed; 32]));
        let (root, issuer) = (SigningKey::generate(&mut rng), SigningKey::generate(&mut rng));
        let org_id = OrgId::of(root.verifying_key());
        let body = proto::IssuerBody {
            suite: 1,
            org_id: org_id.as_bytes().to_vec(),
            key: issuer.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::ENROL
                .union(Capabilities::OFFBOARD)
                .union(Capabilities::POLICY)
                .bits(),
            not_before: 0,
            not_after: u64::MAX,
        };
        let certificate = sign::sign_issuer(&root, &body, &mut rng);
        let desk = proto::DeskBody {
            suite: 1,
            org_id: body.org_id,
            issuer_id: Issuer::id_of(&certificate).as_bytes().to_vec(),
            device_id: vec![0xDE; 16],
            dh_key: DeviceKeys::generate(&mut rng).identity.public().as_bytes().to_vec(),
            kem_key: KemSecret::generate(&mut rng).public().as_bytes().to_vec(),
            not_before: 0,
            not_after: u64::MAX,
        };
        let document = proto::Organisation {
            root_key: root.verifying_key().as_bytes().to_vec(),
            issuers: vec![certificate],
            desk: Some(sign::sign_desk(&issuer, &desk, &mut rng)),
            ..Default::default()
        };
        Self { rng, org_id, document, issuer }
    }

    pub(crate) fn write(&self, directory: &Path) {
        std::fs::write(directory.join("organisation.bin"), encode(&self.document)).unwrap();
    }

    /// A member's device; its credential is not in the log yet.
    pub(crate) fn device(&mut self, id: [u8; 16]) -> Device {
        self.with_credential(id, Capabilities::MEMBER)
    }

    pub(crate) fn desk(&mut self) -> Device {
        self.with_credential([0xDE; 16], Capabilities::DESK)
    }

    fn with_credential(&mut self, id: [u8; 16], capabilities: Capabilities) -> Device {
        let keys = DeviceKeys::generate(&mut *self.rng);
        let body = proto::CredentialBody {
            suite: 1,
            org_id: self.org_id.as_bytes().to_vec(),
            issuer_id: Issuer::id_of(&self.document.issuers[0]).as_bytes().to_vec(),
            member_id: vec![1; 16],
            device_id: id.to_vec(),
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: capabilities.bits(),
            not_before: 0,
            not_after: u64::MAX,
        };
        let credential = sign::sign_credential(&self.issuer, &body, &mut *self.rng);
        Device { id, keys, credential }
    }

    /// Signs where the relay is.
    pub(crate) fn relay_record(&mut self, sequence: u64, log_key: Vec<u8>) -> proto::Signed {
        let body = proto::RelayRecordBody {
            org_id: self.org_id.as_bytes().to_vec(),
            issuer_id: Issuer::id_of(&self.document.issuers[0]).as_bytes().to_vec(),
            url: "wss://relay.example:443".into(),
            pin: vec![4; 32],
            sequence,
            log_key,
        };
        sign::sign_relay_record(&self.issuer, &body, &mut *self.rng)
    }

    /// Signs the end of a device.
    pub(crate) fn end(&mut self, device: &Device) -> proto::Signed {
        let body = proto::RevocationBody {
            org_id: self.org_id.as_bytes().to_vec(),
            issuer_id: Issuer::id_of(&self.document.issuers[0]).as_bytes().to_vec(),
            member_id: vec![1; 16],
            device_id: device.id.to_vec(),
        };
        sign::sign_revocation(&self.issuer, &body, &mut *self.rng)
    }

    pub(crate) fn hello(&self) -> Request {
        Request::Hello(proto::Hello { version: 1, org_id: self.org_id.as_bytes().to_vec() })
    }

    pub(crate) fn login(&mut self, device: &Device, challenge: &[u8], pin: &[u8; 32]) -> Request {
        let message = login_message(challenge.try_into().unwrap(), &self.org_id, pin);
        let signature = device.keys.signing.sign(label::SIGN_RELAY_LOGIN, &message, &mut *self.rng);
        let who = Some(proto::login::Who::Credential(device.credential.clone()));
        Request::Login(proto::Login { who, signature })
    }
}

/// The delivery key of the organisation.
pub(crate) fn key() -> DeliveryKey {
    DeliveryKey::new(1, Secret::from_bytes([0x4D; 32]))
}

/// The token of a name.
pub(crate) fn token(name: &[u8; 16]) -> Vec<u8> {
    key().token(name).to_vec()
}

/// The token for blobs.
pub(crate) fn blob_token() -> Vec<u8> {
    token(&BLOB_TOKEN_NAME)
}

/// Gives the delivery key, as the desk.
pub(crate) fn set_key() -> Request {
    let (epoch, key) = (key().epoch(), key().secret().expose().to_vec());
    Request::SetDeliveryKey(proto::DeliveryKey { epoch, key })
}

pub(crate) fn deliver(device: &Device, delivery: u8, envelope: &[u8]) -> Request {
    Request::Deliver(proto::Deliver {
        mailbox: device.id.to_vec(),
        delivery_id: vec![delivery; 16],
        token: token(&device.id),
        envelope: envelope.to_vec(),
    })
}

pub(crate) fn frame(request: u64, body: Request) -> Vec<u8> {
    encode(&proto::ClientFrame { request, body: Some(body) })
}

pub(crate) fn read(frame: &[u8]) -> proto::RelayFrame {
    decode(frame, Limit::FRAME).unwrap().into_unchecked()
}

pub(crate) fn append(kind: u8, statement: &proto::Signed) -> Request {
    Request::AppendLog(proto::AppendLog { kind: kind.into(), statement: Some(statement.clone()) })
}
