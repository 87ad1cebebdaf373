//! An organisation made by hand, and what its verification refuses.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::hash::hash;
use chancery_crypto::kem::KemSecret;
use chancery_crypto::label;
use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_crypto::signature::SigningKey;
use chancery_wire::{Timestamp, Unverified, encode, proto};

use crate::{
    Capabilities, Credential, DeviceId, DeviceKeys, DirectoryKey, DirectoryKeyUpdate, Handle, IdentityError,
    Issuer, LAST_KEY_EPOCH, MemberId, OrgId, Organisation, key_epoch, sign,
};

mod guest;
mod log;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const FROM: u64 = 500_000;
const UNTIL: u64 = 2_000_000;

/// Spoils one field of a good body.
type Change<T> = fn(&World, &mut T);

/// An organisation with an issuer that may enrol and one that may set policy.
pub(crate) struct World {
    pub(crate) root: SigningKey,
    enrol: SigningKey,
    policy: SigningKey,
    pub(crate) document: proto::Organisation,
    pub(crate) organisation: Organisation,
}

fn issuer_body(root: &SigningKey, key: &SigningKey, capabilities: Capabilities) -> proto::IssuerBody {
    proto::IssuerBody {
        suite: 1,
        org_id: OrgId::of(root.verifying_key()).as_bytes().to_vec(),
        key: key.verifying_key().as_bytes().to_vec(),
        capabilities: capabilities.bits(),
        not_before: FROM,
        not_after: UNTIL,
    }
}

fn verify(document: &proto::Organisation) -> Result<Organisation, IdentityError> {
    Organisation::verify(Unverified::new(document.clone()), None)
}

impl World {
    pub(crate) fn new(rng: &mut dyn CryptoRng) -> Self {
        let [root, enrol, policy] = [(); 3].map(|()| SigningKey::generate(rng));
        let issuers = vec![
            sign::sign_issuer(&root, &issuer_body(&root, &enrol, Capabilities::ENROL), rng),
            sign::sign_issuer(&root, &issuer_body(&root, &policy, Capabilities::POLICY), rng),
        ];
        let root_key = root.verifying_key().as_bytes().to_vec();
        let document = proto::Organisation { root_key, issuers, ..Default::default() };
        let organisation = verify(&document).unwrap();
        Self { root, enrol, policy, document, organisation }
    }

    fn org_id(&self) -> Vec<u8> {
        self.organisation.id().as_bytes().to_vec()
    }

    fn issuer_id(&self, index: usize) -> Vec<u8> {
        Issuer::id_of(&self.document.issuers[index]).as_bytes().to_vec()
    }

    pub(crate) fn credential_body(&self, keys: &DeviceKeys) -> proto::CredentialBody {
        proto::CredentialBody {
            suite: 1,
            org_id: self.org_id(),
            issuer_id: self.issuer_id(0),
            member_id: vec![1; 16],
            device_id: vec![2; 16],
            signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
            identity_key: keys.identity.public().as_bytes().to_vec(),
            group_key: keys.group.verifying_key().as_bytes().to_vec(),
            capabilities: Capabilities::MEMBER.bits(),
            not_before: FROM,
            not_after: UNTIL,
        }
    }

    pub(crate) fn credential(&self, keys: &DeviceKeys, rng: &mut dyn CryptoRng) -> Credential {
        let signed = sign::sign_credential(&self.enrol, &self.credential_body(keys), rng);
        self.organisation.verify_credential(Unverified::new(signed), NOW).unwrap()
    }

    fn desk_body(&self, rng: &mut dyn CryptoRng) -> proto::DeskBody {
        let keys = DeviceKeys::generate(rng);
        proto::DeskBody {
            suite: 1,
            org_id: self.org_id(),
            issuer_id: self.issuer_id(0),
            device_id: vec![3; 16],
            dh_key: keys.identity.public().as_bytes().to_vec(),
            kem_key: KemSecret::generate(rng).public().as_bytes().to_vec(),
            not_before: FROM,
            not_after: UNTIL,
        }
    }

    fn relay_body(&self) -> proto::RelayRecordBody {
        proto::RelayRecordBody {
            org_id: self.org_id(),
            issuer_id: self.issuer_id(1),
            url: "wss://relay.example:443".into(),
            pin: vec![4; 32],
            sequence: 1,
            log_key: self.root.verifying_key().as_bytes().to_vec(),
        }
    }

    fn entry_body(&self) -> proto::DirectoryEntryBody {
        proto::DirectoryEntryBody {
            org_id: self.org_id(),
            issuer_id: self.issuer_id(0),
            member_id: vec![1; 16],
            handle: "alice".into(),
            name: "Alice Ångström".into(),
            device_ids: vec![vec![2; 16], vec![5; 16]],
            version: 7,
            ..Default::default()
        }
    }
}

#[test]
fn the_identifier_is_the_hash_of_the_root_key() {
    // R-ID-1
    let world = World::new(&mut seeded([1; 32]));
    let other = OrgId::of(SigningKey::generate(&mut seeded([2; 32])).verifying_key());
    let document = || Unverified::new(world.document.clone());
    assert!(Organisation::verify(document(), Some(world.organisation.id())).is_ok());
    assert_eq!(Organisation::verify(document(), Some(other)).unwrap_err(), IdentityError::WrongOrganisation);
    let mut truncated = world.document.clone();
    truncated.root_key.pop();
    assert_eq!(verify(&truncated).unwrap_err(), IdentityError::Malformed);
}

#[test]
fn a_document_with_any_issuer_that_the_root_did_not_sign_is_refused() {
    // R-ID-2, R-ID-4, R-ID-5, R-ID-6
    let mut rng = seeded([3; 32]);
    let world = World::new(&mut rng);
    assert_eq!(world.organisation.issuers().len(), 2);
    let refused = |issuer: proto::Signed| {
        let mut document = world.document.clone();
        document.issuers.push(issuer);
        verify(&document).unwrap_err()
    };
    let key = SigningKey::generate(&mut rng);
    let body = issuer_body(&world.root, &key, Capabilities::ENROL);
    assert_eq!(refused(sign::sign_issuer(&key, &body, &mut rng)), IdentityError::NotAuthentic);
    assert_eq!(refused(world.document.issuers[0].clone()), IdentityError::Malformed, "twice");
    let cases: [(Change<proto::IssuerBody>, IdentityError); 8] = [
        (|_, body| body.suite = 2, IdentityError::UnsupportedSuite),
        (|_, body| body.org_id[0] ^= 1, IdentityError::WrongOrganisation),
        (|_, body| body.org_id.truncate(31), IdentityError::Malformed),
        (|_, body| body.not_after = body.not_before, IdentityError::Malformed),
        (|_, body| body.capabilities = 0, IdentityError::Malformed),
        (|_, body| body.capabilities |= Capabilities::DESK.bits(), IdentityError::Malformed),
        (|_, body| body.key.push(0), IdentityError::Malformed),
        (|_, body| body.key[..32].fill(0), IdentityError::Malformed),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        let mut body = body.clone();
        change(&world, &mut body);
        assert_eq!(refused(sign::sign_issuer(&world.root, &body, &mut rng)), expected, "case {index}");
    }
    let mut same_key = issuer_body(&world.root, &world.enrol, Capabilities::POLICY);
    same_key.not_after = UNTIL - 1;
    assert_eq!(refused(sign::sign_issuer(&world.root, &same_key, &mut rng)), IdentityError::Malformed);
}

#[test]
fn a_statement_of_one_kind_does_not_pass_for_another() {
    // R-ID-2: the label separates kinds even where the fields would fit.
    let mut rng = seeded([4; 32]);
    let world = World::new(&mut rng);
    let body = issuer_body(&world.root, &SigningKey::generate(&mut rng), Capabilities::ENROL);
    let signature = world.root.sign(label::SIGN_DESK, &encode(&body), &mut rng);
    let mut document = world.document.clone();
    document.issuers.push(proto::Signed { body: encode(&body), signature });
    assert_eq!(verify(&document).unwrap_err(), IdentityError::NotAuthentic);
}

#[test]
fn a_credential_holds_only_from_an_enrolling_issuer_and_in_its_time() {
    // R-ID-3, R-ID-7
    let mut rng = seeded([5; 32]);
    let world = World::new(&mut rng);
    let keys = DeviceKeys::generate(&mut rng);
    let good = world.credential_body(&keys);
    let mut check = |change: fn(&World, &mut proto::CredentialBody), key: &SigningKey| {
        let mut body = good.clone();
        change(&world, &mut body);
        let signed = sign::sign_credential(key, &body, &mut rng);
        world.organisation.verify_credential(Unverified::new(signed), NOW)
    };
    let credential = check(|_, _| {}, &world.enrol).unwrap();
    assert_eq!(credential.member_id(), MemberId::new([1; 16]));
    assert_eq!(credential.device_id(), DeviceId::new([2; 16]));
    assert!(keys.match_credential(&credential));
    let cases: [(Change<proto::CredentialBody>, IdentityError); 16] = [
        (|_, body| body.suite = 0, IdentityError::UnsupportedSuite),
        (|_, body| body.org_id[9] ^= 1, IdentityError::WrongOrganisation),
        (|_, body| body.issuer_id[9] ^= 1, IdentityError::UnknownIssuer),
        (|_, body| body.issuer_id.clear(), IdentityError::Malformed),
        (|world, body| body.issuer_id = world.issuer_id(1), IdentityError::NotPermitted),
        (|_, body| body.member_id.push(0), IdentityError::Malformed),
        (|_, body| body.device_id.clear(), IdentityError::Malformed),
        (|_, body| body.signing_key.clear(), IdentityError::Malformed),
        (|_, body| body.identity_key.fill(0), IdentityError::Malformed),
        (|_, body| body.group_key.fill(0xFF), IdentityError::Malformed),
        (|_, body| body.capabilities = 0, IdentityError::Malformed),
        (|_, body| body.capabilities |= Capabilities::ENROL.bits(), IdentityError::Malformed),
        (|_, body| body.not_before = FROM - 1, IdentityError::NotPermitted),
        (|_, body| body.not_after = UNTIL + 1, IdentityError::NotPermitted),
        (|_, body| body.not_before = NOW.as_millis() + 1, IdentityError::NotYetValid),
        (|_, body| body.not_after = NOW.as_millis(), IdentityError::Expired),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(check(change, &world.enrol).unwrap_err(), expected, "case {index}");
    }
    assert_eq!(check(|_, _| {}, &world.policy).unwrap_err(), IdentityError::NotAuthentic);
    assert_eq!(check(|_, _| {}, &world.root).unwrap_err(), IdentityError::NotAuthentic);
}

#[test]
fn every_changed_byte_of_a_credential_breaks_it() {
    // R-ID-2, R-ID-8
    let mut rng = seeded([6; 32]);
    let world = World::new(&mut rng);
    let credential = world.credential(&DeviceKeys::generate(&mut rng), &mut rng);
    let signed = credential.signed().clone();
    for position in (0..signed.body.len()).step_by(37).chain([signed.body.len() - 1]) {
        let mut bad = signed.clone();
        bad.body[position] ^= 1;
        assert!(world.organisation.verify_credential(Unverified::new(bad), NOW).is_err(), "{position}");
    }
    for position in [0, 31, 32, 63, 64, 2000, 3372] {
        let mut bad = signed.clone();
        bad.signature[position] ^= 1;
        let refused = world.organisation.verify_credential(Unverified::new(bad), NOW);
        assert_eq!(refused.unwrap_err(), IdentityError::NotAuthentic, "{position}");
    }
    let again = world.organisation.verify_credential(Unverified::new(signed), NOW).unwrap();
    assert_eq!(again.hash(), credential.hash());
    assert!(again.is_valid_at(Timestamp::from_millis(FROM)));
    assert!(!again.is_valid_at(Timestamp::from_millis(FROM - 1)));
    assert!(!again.is_valid_at(Timestamp::from_millis(UNTIL)));
}

#[test]
fn a_credential_of_another_organisation_is_refused() {
    let mut rng = seeded([7; 32]);
    let (ours, theirs) = (World::new(&mut rng), World::new(&mut rng));
    let credential = theirs.credential(&DeviceKeys::generate(&mut rng), &mut rng);
    let refused = ours.organisation.verify_credential(Unverified::new(credential.signed().clone()), NOW);
    assert_eq!(refused.unwrap_err(), IdentityError::WrongOrganisation);
    let mut body = theirs.credential_body(&DeviceKeys::generate(&mut rng));
    body.org_id = ours.org_id();
    let signed = sign::sign_credential(&theirs.enrol, &body, &mut rng);
    let refused = ours.organisation.verify_credential(Unverified::new(signed), NOW);
    assert_eq!(refused.unwrap_err(), IdentityError::UnknownIssuer);
}

#[test]
fn the_desk_needs_an_enrolling_issuer() {
    // R-ID-9
    let mut rng = seeded([8; 32]);
    let world = World::new(&mut rng);
    let good = world.desk_body(&mut rng);
    let mut check = |change: fn(&World, &mut proto::DeskBody), key: &SigningKey| {
        let mut body = good.clone();
        change(&world, &mut body);
        let desk = Some(sign::sign_desk(key, &body, &mut rng));
        verify(&proto::Organisation { desk, ..world.document.clone() })
    };
    let organisation = check(|_, _| {}, &world.enrol).unwrap();
    let desk = organisation.desk().unwrap();
    assert_eq!(desk.device_id(), DeviceId::new([3; 16]));
    assert!(desk.is_valid_at(NOW) && !desk.is_valid_at(Timestamp::from_millis(UNTIL)));
    let cases: [(Change<proto::DeskBody>, IdentityError); 6] = [
        (|_, body| body.suite = 2, IdentityError::UnsupportedSuite),
        (|_, body| body.dh_key.fill(0), IdentityError::Malformed),
        (|_, body| body.kem_key.fill(0xFF), IdentityError::Malformed),
        (|_, body| body.device_id.clear(), IdentityError::Malformed),
        (|_, body| body.not_after = UNTIL + 1, IdentityError::NotPermitted),
        (|world, body| body.issuer_id = world.issuer_id(1), IdentityError::NotPermitted),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(check(change, &world.enrol).unwrap_err(), expected, "case {index}");
    }
    assert_eq!(check(|_, _| {}, &world.policy).unwrap_err(), IdentityError::NotAuthentic);
}

#[test]
fn a_relay_record_needs_a_policy_issuer_and_an_address() {
    // R-ID-10
    let mut rng = seeded([9; 32]);
    let world = World::new(&mut rng);
    let mut check = |change: fn(&World, &mut proto::RelayRecordBody), key: &SigningKey| {
        let mut body = world.relay_body();
        change(&world, &mut body);
        let signed = sign::sign_relay_record(key, &body, &mut rng);
        world.organisation.verify_relay_record(Unverified::new(signed))
    };
    let record = check(|_, _| {}, &world.policy).unwrap();
    assert_eq!((record.url(), record.pin(), record.sequence()), ("wss://relay.example:443", &[4; 32], 1));
    let cases: [(Change<proto::RelayRecordBody>, IdentityError); 8] = [
        (|_, body| body.url = "ws://relay.example".into(), IdentityError::Malformed),
        (|_, body| body.url = "wss://".into(), IdentityError::Malformed),
        (|_, body| body.url = "wss://a b".into(), IdentityError::Malformed),
        (|_, body| body.url.push_str(&"x".repeat(256)), IdentityError::Malformed),
        (|_, body| body.pin.clear(), IdentityError::Malformed),
        (|_, body| body.sequence = 0, IdentityError::Malformed),
        (|_, body| body.org_id[0] ^= 1, IdentityError::WrongOrganisation),
        (|world, body| body.issuer_id = world.issuer_id(0), IdentityError::NotPermitted),
    ];
    for (index, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(check(change, &world.policy).unwrap_err(), expected, "case {index}");
    }
    let relay = Some(sign::sign_relay_record(&world.enrol, &world.relay_body(), &mut rng));
    let document = proto::Organisation { relay, ..world.document.clone() };
    assert_eq!(verify(&document).unwrap_err(), IdentityError::NotAuthentic);
}

#[test]
fn an_entry_opens_only_under_its_name_version_and_key() {
    // R-ID-12, R-ID-13
    let mut rng = seeded([10; 32]);
    let world = World::new(&mut rng);
    let key = DirectoryKey::generate(&mut rng);
    let signed = sign::sign_directory_entry(&world.enrol, &world.entry_body(), &mut rng);
    let sealed = key.seal(&signed, &[6; 16], 7, &mut rng);
    assert_eq!(sealed.sealed.len(), 8 + 32 + 4096 + 16);
    let entry = world.organisation.open_directory_entry(&key, &sealed).unwrap();
    assert_eq!(entry.handle(), &Handle::parse("alice").unwrap());
    assert_eq!((entry.device_ids().len(), entry.version()), (2, 7));

    let refused = |sealed: &proto::SealedDirectoryEntry| {
        assert_eq!(
            world.organisation.open_directory_entry(&key, sealed).unwrap_err(),
            IdentityError::NotAuthentic
        );
    };
    refused(&proto::SealedDirectoryEntry { entry_id: vec![7; 16], ..sealed.clone() });
    refused(&proto::SealedDirectoryEntry { entry_id: vec![6; 15], ..sealed.clone() });
    refused(&proto::SealedDirectoryEntry { version: 8, ..sealed.clone() });
    for position in [0, 6, 7, 8, 39, 40, 100, sealed.sealed.len() - 1] {
        let mut bad = sealed.clone();
        bad.sealed[position] ^= 1;
        refused(&bad);
    }
    refused(&proto::SealedDirectoryEntry { sealed: vec![0; 20], ..sealed.clone() });
    let other = DirectoryKey::generate(&mut rng);
    assert!(other.open(&sealed).is_err());
    // A member, who has the key, cannot pass an old entry off as a new version.
    refused(&key.seal(&signed, &[6; 16], 8, &mut rng));
}

#[test]
fn a_directory_key_opens_its_epoch_and_the_earlier_ones_alone() {
    // R-ID-13, R-ID-18
    let mut rng = seeded([15; 32]);
    let world = World::new(&mut rng);
    let last = DirectoryKey::generate(&mut rng);
    let [one, two, three] = [1, 2, 3].map(|epoch| last.at(epoch).unwrap());
    let chained = |key: &DirectoryKey| hash(label::HASH_DIRECTORY_CHAIN, &[key.secret().expose()]);
    assert_eq!((last.epoch(), two.secret().expose()), (LAST_KEY_EPOCH, &chained(&three)));
    assert_eq!((three.at(2).unwrap().secret().expose(), one.epoch()), (two.secret().expose(), 1));
    assert!(two.at(3).is_none() && two.at(0).is_none());
    for epoch in [0, LAST_KEY_EPOCH + 1] {
        assert!(DirectoryKey::new(epoch, Secret::from_bytes([1; 32])).is_none());
    }
    let signed = sign::sign_directory_entry(&world.enrol, &world.entry_body(), &mut rng);
    let sealed = two.seal(&signed, &[6; 16], 7, &mut rng);
    assert_eq!(key_epoch(&sealed), Some(2));
    assert!(one.open(&sealed).is_err(), "a key gives none after it");
    for key in [&two, &three, &last] {
        assert_eq!(world.organisation.open_directory_entry(key, &sealed).unwrap().version(), 7);
    }
    // Said to be of another epoch, it opens under no key.
    let mut moved = sealed;
    moved.sealed[7] = 3;
    assert!(three.open(&moved).is_err() && last.open(&moved).is_err());
}

#[test]
fn an_update_of_the_directory_key_is_an_enrolling_issuers_under_its_name() {
    // R-ID-19
    let mut rng = seeded([16; 32]);
    let world = World::new(&mut rng);
    let org = world.organisation.id();
    let entry = world.entry_body();
    let body = |epoch| proto::DirectoryKeyUpdateBody {
        org_id: entry.org_id.clone(),
        issuer_id: entry.issuer_id.clone(),
        epoch,
        nodes: Vec::from([proto::NodeKey { level: 1, index: 5, for_left: vec![1; 48], for_right: vec![] }]),
        directory_key: vec![2; 48],
    };
    let mut publish = |body: &proto::DirectoryKeyUpdateBody, key: &SigningKey| {
        DirectoryKeyUpdate::publish(&org, body.epoch, &sign::sign_directory_key_update(key, body, &mut rng))
    };
    let good = publish(&body(2), &world.enrol);
    assert_eq!((good.sealed.len(), key_epoch(&good)), (8 + 4096, Some(0)));
    let update = world.organisation.open_directory_key_update(&good).unwrap();
    assert_eq!((update.epoch(), update.nodes(), update.directory_key()), (2, &*body(2).nodes, &[2; 48][..]));
    assert_eq!(DirectoryKeyUpdate::epoch_of(&org, &good), Some(2));

    let open = |entry: &proto::SealedDirectoryEntry| world.organisation.open_directory_key_update(entry);
    let member = DeviceKeys::generate(&mut seeded([12; 32]));
    for key in [&member.signing, &world.policy] {
        assert_eq!(open(&publish(&body(2), key)).unwrap_err(), IdentityError::NotAuthentic);
    }
    for epoch in [0, 1, LAST_KEY_EPOCH + 1] {
        assert_eq!(open(&publish(&body(epoch), &world.enrol)).unwrap_err(), IdentityError::Malformed);
    }
    let foreign = proto::DirectoryKeyUpdateBody { org_id: vec![1; 32], ..body(2) };
    assert_eq!(open(&publish(&foreign, &world.enrol)).unwrap_err(), IdentityError::WrongOrganisation);
    // Under the name or version of another, or cut.
    let name = publish(&body(3), &world.enrol).entry_id;
    let renamed = proto::SealedDirectoryEntry { entry_id: name, ..good.clone() };
    assert_eq!(DirectoryKeyUpdate::epoch_of(&org, &renamed), None);
    assert_eq!(open(&renamed).unwrap_err(), IdentityError::Malformed);
    let again = proto::SealedDirectoryEntry { version: 2, ..good.clone() };
    assert_eq!(open(&again).unwrap_err(), IdentityError::Malformed);
    let cut = proto::SealedDirectoryEntry { sealed: good.sealed[..7].to_vec(), ..good };
    assert_eq!(open(&cut).unwrap_err(), IdentityError::Malformed);
    assert_eq!((key_epoch(&cut), DirectoryKeyUpdate::epoch_of(&org, &cut)), (None, None));
}

#[test]
fn a_member_cannot_write_an_entry() {
    let mut rng = seeded([11; 32]);
    let world = World::new(&mut rng);
    let mut check = |change: fn(&mut proto::DirectoryEntryBody), key: &SigningKey| {
        let mut body = world.entry_body();
        change(&mut body);
        let signed = sign::sign_directory_entry(key, &body, &mut rng);
        world.organisation.verify_directory_entry(Unverified::new(signed)).map(|entry| entry.version())
    };
    let keys = DeviceKeys::generate(&mut seeded([12; 32]));
    assert_eq!(check(|_| {}, &keys.signing), Err(IdentityError::NotAuthentic));
    assert_eq!(check(|_| {}, &world.enrol), Ok(7));
    let cases: [fn(&mut proto::DirectoryEntryBody); 6] = [
        |body| body.handle = "Alice".into(),
        |body| body.name = String::new(),
        |body| body.version = 0,
        |body| body.device_ids[1] = body.device_ids[0].clone(),
        |body| body.device_ids = (0..17).map(|i| vec![i; 16]).collect(),
        |body| body.member_id.clear(),
    ];
    for change in cases {
        assert_eq!(check(change, &world.enrol), Err(IdentityError::Malformed));
    }
}

#[test]
fn device_keys_survive_the_store() {
    let keys = DeviceKeys::generate(&mut seeded([13; 32]));
    let bytes = keys.to_secret_bytes();
    assert_eq!(bytes.expose().len(), DeviceKeys::SECRET_LEN);
    let again = DeviceKeys::from_secret_bytes(bytes.expose()).unwrap();
    assert_eq!(again.signing.verifying_key(), keys.signing.verifying_key());
    assert_eq!(again.identity.public(), keys.identity.public());
    assert_eq!(again.group.verifying_key(), keys.group.verifying_key());
    assert!(DeviceKeys::from_secret_bytes(&bytes.expose()[1..]).is_none());
}
