//! Requests and answers that were forged, damaged, or made of parts of others.

use super::*;
use crate::channel::{self, Channel, RequestedKeys, seal_answer};
use chancery_crypto::kdf::mac;
use chancery_crypto::label;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::x25519::DhSecret;
use chancery_identity::LAST_KEY_EPOCH;
use chancery_wire::encode;
use proto::enrolment_answer::Outcome;

/// A request that a hostile client makes by hand.
struct Crafted {
    head: Vec<u8>,
    channel: Channel,
    body: proto::EnrolmentRequest,
}

impl Crafted {
    /// Starts as a good request would.
    fn new(world: &mut World, link: &InvitationLink, keys: &DeviceKeys) -> Self {
        let desk = world.public.desk().unwrap();
        let ephemeral = DhSecret::generate(&mut *world.rng);
        let dh = ephemeral.agree(desk.dh_key()).unwrap();
        let (ciphertext, secret) = desk.kem_key().encapsulate(&mut *world.rng);
        let head = [&[0x13], ephemeral.public().as_bytes().as_slice(), ciphertext.as_bytes()].concat();
        let public = (ephemeral.public().as_bytes().as_slice(), ciphertext.as_bytes().as_slice());
        let context = channel::REQUEST.context(&link.org_id, desk, public);
        let channel = channel::REQUEST.derive(context, &dh, &secret).unwrap();
        let mut body = channel::public_keys(keys);
        body.invitation_id = link.invitation_id.to_vec();
        let mut crafted = Self { head, channel, body };
        crafted.prove(&link.secret);
        crafted.sign(world, keys);
        crafted
    }

    fn statement(&self) -> Vec<u8> {
        let id = self.body.invitation_id.as_slice().try_into().unwrap();
        RequestedKeys::read(&self.body).unwrap().statement(&self.channel.context, id)
    }

    fn prove(&mut self, secret: &Secret<32>) {
        self.body.proof = mac(label::MAC_INVITATION, secret, &[&self.statement()]).expose().to_vec();
    }

    fn sign(&mut self, world: &mut World, keys: &DeviceKeys) {
        self.body.signature = keys.signing.sign(label::SIGN_ENROLMENT, &self.statement(), &mut *world.rng);
    }

    fn seal(self) -> (Vec<u8>, Secret<32>) {
        let plaintext = channel::pad(&encode(&self.body), 8192).unwrap();
        let sealed = self.channel.request.seal(&self.head, plaintext.expose());
        ([self.head, sealed].concat(), self.channel.answer)
    }

    /// What the desk makes of it: the reason of the refusal, 0 for an enrolment.
    fn ask(self, world: &mut World) -> Result<u32, OrgError> {
        let (envelope, key) = self.seal();
        let answered = world.answer(&envelope)?;
        let plaintext = channel::open_answer(&key, &answered.reply).unwrap();
        let body = channel::unpad(plaintext.expose()).unwrap();
        let answer: proto::EnrolmentAnswer =
            chancery_wire::decode(body, chancery_wire::Limit::STATEMENT).unwrap().into_unchecked();
        match answer.outcome.unwrap() {
            Outcome::Enrolled(_) => Ok(0),
            Outcome::Done(_) => panic!("nobody gave an order"),
            Outcome::Refused(refusal) => {
                assert!(answered.batch.is_empty() && answered.directory.is_none());
                Ok(refusal.reason)
            }
        }
    }
}

#[test]
fn fields_of_a_request_cannot_be_swapped() {
    // R-ORG-7, R-ORG-10
    let mut world = World::new(60);
    let (link, other) = (world.invite("alice"), world.invite("bob"));
    let (alice, mallory) = (world.device(), world.device());
    let theirs = channel::public_keys(&mallory);
    assert_eq!(Crafted::new(&mut world, &link, &alice).ask(&mut world), Ok(0));

    let mut check = |change: &dyn Fn(&mut Crafted)| {
        let mut crafted = Crafted::new(&mut world, &link, &alice);
        change(&mut crafted);
        crafted.ask(&mut world)
    };
    // Without a fresh signature by the signing key nobody is answered.
    let unsigned: [&dyn Fn(&mut Crafted); 8] = [
        &|crafted| crafted.body.signing_key = theirs.signing_key.clone(),
        &|crafted| crafted.body.identity_key = theirs.identity_key.clone(),
        &|crafted| crafted.body.group_key = theirs.group_key.clone(),
        &|crafted| crafted.body.invitation_id = other.invitation_id.to_vec(),
        &|crafted| crafted.body.signature[100] ^= 1,
        &|crafted| crafted.body.signature.clear(),
        &|crafted| crafted.body.identity_key.clear(),
        &|crafted| crafted.body.invitation_id.push(0),
    ];
    for (index, change) in unsigned.into_iter().enumerate() {
        assert_eq!(check(change), Err(OrgError::NotAuthentic), "case {index}");
    }
}

#[test]
fn a_signed_request_still_needs_the_proof_for_its_own_fields() {
    // R-ORG-7, R-ORG-10
    let mut world = World::new(61);
    let (link, other) = (world.invite("alice"), world.invite("bob"));
    let (alice, mallory) = (world.device(), world.device());
    let theirs = channel::public_keys(&mallory);
    let mut check = |change: &dyn Fn(&mut Crafted)| {
        let mut crafted = Crafted::new(&mut world, &link, &alice);
        change(&mut crafted);
        crafted.sign(&mut world, &alice);
        crafted.ask(&mut world)
    };
    let unproven: [&dyn Fn(&mut Crafted); 6] = [
        &|crafted| crafted.body.identity_key = theirs.identity_key.clone(),
        &|crafted| crafted.body.group_key = theirs.group_key.clone(),
        &|crafted| crafted.body.invitation_id = other.invitation_id.to_vec(),
        &|crafted| crafted.body.proof[0] ^= 1,
        &|crafted| crafted.body.proof.clear(),
        &|crafted| crafted.prove(&other.secret),
    ];
    for (index, change) in unproven.into_iter().enumerate() {
        assert_eq!(check(change), Ok(1), "case {index}");
    }
    // Whoever holds the invitation may still not bring keys that nobody could use.
    let zero = |crafted: &mut Crafted| {
        crafted.body.identity_key.fill(0);
        crafted.prove(&link.secret);
    };
    assert_eq!(check(&zero), Ok(4));
    let weak = |crafted: &mut Crafted| {
        crafted.body.group_key.fill(0xFF);
        crafted.prove(&link.secret);
    };
    assert_eq!(check(&weak), Ok(4));
    assert_eq!(check(&|_| {}), Ok(0), "the invitation is still good");
}

#[test]
fn proof_and_signature_belong_to_one_request() {
    // R-ORG-6: both cover the context, so that parts of a recorded request are worth nothing in another.
    let mut world = World::new(62);
    let (link, alice) = (world.invite("alice"), world.device());
    let recorded = Crafted::new(&mut world, &link, &alice).body;
    let mut crafted = Crafted::new(&mut world, &link, &alice);
    crafted.body.proof = recorded.proof;
    assert_eq!(crafted.ask(&mut world), Ok(1));
    let mut crafted = Crafted::new(&mut world, &link, &alice);
    crafted.body.signature = recorded.signature;
    assert_eq!(crafted.ask(&mut world), Err(OrgError::NotAuthentic));
}

#[test]
fn every_changed_byte_of_a_request_is_noticed() {
    // R-ORG-6, R-ORG-8
    let mut world = World::new(63);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    let envelope = pending.envelope();
    let head = 0..40;
    for position in head.chain((40..envelope.len()).step_by(7)).chain([envelope.len() - 1]) {
        let mut bad = envelope.to_vec();
        bad[position] ^= 1;
        assert_eq!(world.answer(&bad).unwrap_err(), OrgError::NotAuthentic, "byte {position}");
    }
    for bad in [&[], &envelope[..1], &envelope[..1121], &envelope[..envelope.len() - 1]] {
        assert_eq!(world.answer(bad).unwrap_err(), OrgError::NotAuthentic);
    }
    let longer = [envelope, &[0]].concat();
    assert_eq!(world.answer(&longer).unwrap_err(), OrgError::NotAuthentic);
    let mut zero = envelope.to_vec();
    zero[1..33].fill(0);
    assert_eq!(world.answer(&zero).unwrap_err(), OrgError::NotAuthentic);
}

#[test]
fn every_changed_byte_of_an_answer_is_noticed_and_so_is_another_requests_answer() {
    // R-ORG-8, R-ORG-11
    let mut world = World::new(64);
    let (link, keys) = (world.invite("alice"), world.device());
    let (pending, other) = (world.request(&link, &keys), world.request(&link, &keys));
    let reply = world.answer(pending.envelope()).unwrap().reply;
    let complete = |pending: &PendingEnrolment, reply: &[u8]| {
        pending.complete(&world.public, &keys, reply, NOW).map(|_| ())
    };
    assert_eq!(complete(&pending, &reply), Ok(()));
    assert_eq!(complete(&other, &reply), Err(EnrolError::NotAuthentic));
    for position in (0..60).chain((60..reply.len()).step_by(97)).chain([reply.len() - 1]) {
        let mut bad = reply.clone();
        bad[position] ^= 1;
        assert_eq!(complete(&pending, &bad), Err(EnrolError::NotAuthentic), "byte {position}");
    }
    for bad in [&[], &reply[..1], &reply[..reply.len() - 1]] {
        assert_eq!(complete(&pending, bad), Err(EnrolError::NotAuthentic));
    }
}

#[test]
fn a_device_takes_no_credential_that_is_not_for_its_keys() {
    // R-ORG-11
    let mut world = World::new(65);
    let (link, keys) = (world.invite("alice"), world.device());
    let (bob_link, bob_keys) = (world.invite("bob"), world.device());
    let bob = world.enrol(&bob_link, &bob_keys).unwrap().credential;
    let good = world.enrol(&link, &keys).unwrap();
    let mut foreign = World::new(66);
    let foreign_link = foreign.invite("alice");
    let foreign = foreign.enrol(&foreign_link, &keys).unwrap().credential;

    let enrolled = proto::Enrolled {
        credential: Some(good.credential.signed().clone()),
        handle: "alice".into(),
        name: "Alice".into(),
        organisation_name: "Acme".into(),
        directory_key: [1; 32].to_vec(),
        key_epoch: 1,
        slot: (1 << 21) - 1,
        key_path: [2; 22 * 32].to_vec(),
        guest_key: [].to_vec(),
    };
    let mut check = |change: &dyn Fn(&mut proto::Enrolled)| {
        let pending = world.request(&link, &keys);
        let mut enrolled = enrolled.clone();
        change(&mut enrolled);
        let answer = proto::EnrolmentAnswer { outcome: Some(Outcome::Enrolled(enrolled)) };
        let bytes = pending.to_secret_bytes();
        let key = Secret::from_slice(&bytes.expose()[17..49]).unwrap();
        let reply = seal_answer(&key, &SecretBytes::new(encode(&answer)), &mut *world.rng).unwrap();
        pending.complete(&world.public, &keys, &reply, NOW).map(|_| ())
    };
    assert_eq!(check(&|_| {}), Ok(()));
    let bad: [&dyn Fn(&mut proto::Enrolled); 14] = [
        &|enrolled| enrolled.credential = Some(bob.signed().clone()),
        &|enrolled| enrolled.credential = Some(foreign.signed().clone()),
        &|enrolled| enrolled.credential = None,
        &|enrolled| enrolled.handle = "Alice".into(),
        &|enrolled| enrolled.name = "a\u{1b}[2J".into(),
        &|enrolled| enrolled.organisation_name.clear(),
        &|enrolled| enrolled.directory_key.push(0),
        &|enrolled| enrolled.directory_key.clear(),
        &|enrolled| enrolled.key_epoch = 0,
        &|enrolled| enrolled.key_epoch = LAST_KEY_EPOCH + 1,
        &|enrolled| enrolled.slot = 1 << 21,
        &|enrolled| enrolled.slot = u32::MAX,
        &|enrolled| enrolled.key_path.truncate(21 * 32),
        &|enrolled| enrolled.key_path.push(0),
    ];
    for (index, change) in bad.into_iter().enumerate() {
        assert_eq!(check(change), Err(EnrolError::NotAuthentic), "case {index}");
    }
}

#[test]
fn an_unknown_outcome_is_a_refusal() {
    let mut world = World::new(67);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    let refused = |reason| Some(Outcome::Refused(proto::EnrolmentRefusal { reason }));
    for (outcome, expected) in [
        (None, EnrolError::Refused),
        (refused(0), EnrolError::Refused),
        (refused(4), EnrolError::Refused),
        (refused(77), EnrolError::Refused),
        (refused(3), EnrolError::InvitationExpired),
    ] {
        let content = SecretBytes::new(encode(&proto::EnrolmentAnswer { outcome }));
        let key = Secret::from_slice(&pending.to_secret_bytes().expose()[17..49]).unwrap();
        let reply = seal_answer(&key, &content, &mut *world.rng).unwrap();
        let error = pending.complete(&world.public, &keys, &reply, NOW).unwrap_err();
        assert_eq!(error, expected);
    }
}
