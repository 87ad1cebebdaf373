//! Enrolments as they should go, and what a device hears when they do not.

use super::*;
use crate::{ANSWER_LEN, ISSUER_VALIDITY, REQUEST_LEN};
use chancery_crypto::secret::Secret;
use chancery_identity::Capabilities;

#[test]
fn an_invited_device_becomes_a_members() {
    // R-ORG-5, R-ORG-6, R-ORG-7, R-ORG-8, R-ORG-10, R-ORG-11, R-ORG-12
    let mut world = World::new(40);
    let link = world.invite("alice");
    let link = InvitationLink::parse(&link.encode()).unwrap();
    let keys = world.device();
    let pending = world.request(&link, &keys);
    assert_eq!((pending.envelope().len(), pending.envelope()[0]), (REQUEST_LEN, 0x13));
    let answered = world.answer(pending.envelope()).unwrap();
    assert_eq!((answered.reply.len(), answered.reply[0]), (ANSWER_LEN, 0x14));
    apply(&mut world.store, &answered.batch);
    let enrolment = pending.complete(&world.public, &keys, &answered.reply, NOW).unwrap();
    assert_eq!((enrolment.handle, enrolment.name), (handle("alice"), name("Some Body")));
    assert_eq!(enrolment.organisation_name, name("Acme"));
    assert_eq!(enrolment.credential.capabilities(), Capabilities::MEMBER);
    assert!(keys.match_credential(&enrolment.credential));
    assert!(enrolment.credential.is_valid_at(Timestamp::from_millis(NOW.as_millis() - 1000)));
    let sealed = answered.directory.unwrap();
    let entry =
        world.public.open_directory_entry(enrolment.directory.keys().unwrap().key(), &sealed).unwrap();
    assert_eq!(entry.member_id(), enrolment.credential.member_id());
    assert_eq!(entry.device_ids(), [enrolment.credential.device_id()]);
    assert_eq!((entry.handle(), entry.version()), (&handle("alice"), NOW.as_millis()));
}

#[test]
fn a_lost_answer_is_given_again_and_changes_nothing() {
    // R-ORG-10: also to a repeated envelope, which a relay may replay.
    let mut world = World::new(41);
    let (link, keys) = (world.invite("alice"), world.device());
    let first = world.request(&link, &keys);
    let answered = world.answer(first.envelope()).unwrap();
    apply(&mut world.store, &answered.batch);
    let credential = first.complete(&world.public, &keys, &answered.reply, NOW).unwrap().credential;
    let store = world.store.clone();

    let fresh = world.request(&link, &keys);
    world.now = NOW.after(WEEK).after(WEEK);
    for pending in [&first, &first, &fresh] {
        let again = world.answer(pending.envelope()).unwrap();
        assert!(again.batch.is_empty());
        assert_eq!(again.directory, answered.directory, "still to be published");
        assert_ne!(again.reply, answered.reply, "no key and nonce twice");
        let enrolment = pending.complete(&world.public, &keys, &again.reply, NOW).unwrap();
        assert_eq!(enrolment.credential, credential);
    }
    assert_eq!(world.store, store);
}

#[test]
fn a_device_that_was_killed_takes_its_answer_with_the_same_keys() {
    let mut world = World::new(42);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    let (pending_bytes, keys_bytes) = (pending.to_secret_bytes(), keys.to_secret_bytes());
    let answered = world.answer(pending.envelope()).unwrap();
    drop((pending, keys));
    let pending = PendingEnrolment::from_secret_bytes(pending_bytes.expose()).unwrap();
    let keys = DeviceKeys::from_secret_bytes(keys_bytes.expose()).unwrap();
    assert_eq!(pending.reply_mailbox(), answered.reply_mailbox);
    assert!(pending.complete(&world.public, &keys, &answered.reply, NOW).is_ok());
    let bytes = pending_bytes.expose();
    assert!(PendingEnrolment::from_secret_bytes(&bytes[1..]).is_none());
    assert!(PendingEnrolment::from_secret_bytes(&bytes[..bytes.len() - 1]).is_none());
    assert!(PendingEnrolment::from_secret_bytes(&[&[2], &bytes[1..]].concat()).is_none());
}

#[test]
fn an_invitation_serves_one_device() {
    // R-ORG-10
    let mut world = World::new(43);
    let (link, alice, mallory) = (world.invite("alice"), world.device(), world.device());
    world.enrol(&link, &alice).unwrap();
    let store = world.store.clone();
    assert_eq!(world.enrol(&link, &mallory).unwrap_err(), EnrolError::InvitationUsed);
    // The same signing key beside another identity or group key is another device.
    let mut mixed = DeviceKeys::from_secret_bytes(alice.to_secret_bytes().expose()).unwrap();
    mixed.identity = mallory.identity;
    assert_eq!(world.enrol(&link, &mixed).unwrap_err(), EnrolError::InvitationUsed);
    let mut mixed = DeviceKeys::from_secret_bytes(alice.to_secret_bytes().expose()).unwrap();
    mixed.group = mallory.group;
    assert_eq!(world.enrol(&link, &mixed).unwrap_err(), EnrolError::InvitationUsed);
    assert_eq!(world.store, store);
}

#[test]
fn the_desk_decides_whether_an_invitation_has_expired() {
    // R-ORG-5, R-ORG-10
    let mut world = World::new(44);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    world.now = link.expires;
    assert_eq!(
        request(&link, &world.public, &keys, world.now, &mut *world.rng).unwrap_err(),
        EnrolError::InvitationExpired
    );
    // A device whose clock is slow asks all the same.
    let answered = world.answer(pending.envelope()).unwrap();
    assert!(answered.batch.is_empty() && answered.directory.is_none());
    let refused = pending.complete(&world.public, &keys, &answered.reply, NOW).unwrap_err();
    assert_eq!(refused, EnrolError::InvitationExpired);
    world.now = Timestamp::from_millis(link.expires.as_millis() - 1);
    assert!(world.enrol(&link, &keys).is_ok());
}

#[test]
fn a_forged_invitation_is_unknown() {
    // R-ORG-10: a wrong secret looks like a wrong identifier.
    let mut world = World::new(45);
    let (mut link, keys) = (world.invite("alice"), world.device());
    let good = InvitationLink::parse(&link.encode()).unwrap();
    link.secret = Secret::from_bytes([0; 32]);
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUnknown);
    let other = world.invite("bob");
    link = InvitationLink::parse(&good.encode()).unwrap();
    link.invitation_id = other.invitation_id;
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUnknown);
    link.invitation_id = [0; 16];
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationUnknown);
    // None of this has spoilt the invitation; a later date in the link gains nothing.
    assert!(world.enrol(&good, &keys).is_ok());
}

#[test]
fn a_changed_date_in_a_link_does_not_prolong_it() {
    // R-ORG-10
    let mut world = World::new(46);
    let (mut link, keys) = (world.invite("alice"), world.device());
    link.expires = NOW.after(WEEK).after(WEEK);
    world.now = NOW.after(WEEK);
    assert_eq!(world.enrol(&link, &keys).unwrap_err(), EnrolError::InvitationExpired);
}

#[test]
fn a_foreign_invitation_is_noticed_on_both_sides() {
    // R-ORG-5, R-ORG-6
    let (mut ours, mut theirs) = (World::new(47), World::new(48));
    let (link, keys) = (theirs.invite("alice"), ours.device());
    let refused = request(&link, &ours.public, &keys, NOW, &mut *ours.rng);
    assert_eq!(refused.unwrap_err(), EnrolError::WrongOrganisation);
    let pending = theirs.request(&link, &keys);
    assert_eq!(ours.answer(pending.envelope()).unwrap_err(), OrgError::NotAuthentic);
    let answered = theirs.answer(pending.envelope()).unwrap();
    let refused = pending.complete(&ours.public, &keys, &answered.reply, NOW);
    assert_eq!(refused.unwrap_err(), EnrolError::NotAuthentic);
}

#[test]
fn without_a_valid_desk_there_is_nobody_to_ask() {
    let mut world = World::new(49);
    let (mut link, keys) = (world.invite("alice"), world.device());
    let late = NOW.after(ISSUER_VALIDITY);
    link.expires = late.after(WEEK);
    let asked = request(&link, &world.public, &keys, late, &mut *world.rng);
    assert_eq!(asked.unwrap_err(), EnrolError::NoDesk);
    let without = proto::Organisation { desk: None, ..world.public.as_proto().clone() };
    let asked = request(&link, &verified(&without), &keys, NOW, &mut *world.rng);
    assert_eq!(asked.unwrap_err(), EnrolError::NoDesk);
}

#[test]
fn the_desk_issues_nothing_outside_its_issuers_time() {
    // R-ORG-13
    let mut world = World::new(50);
    world.now = Timestamp::from_millis(NOW.after(ISSUER_VALIDITY).as_millis() - 1000);
    let (link, keys) = (world.invite("alice"), world.device());
    let pending = world.request(&link, &keys);
    world.now = NOW.after(ISSUER_VALIDITY);
    assert_eq!(world.answer(pending.envelope()).unwrap_err(), OrgError::OutsideValidity);
    world.now = Timestamp::from_millis(world.now.as_millis() - 1);
    let answered = world.answer(pending.envelope()).unwrap();
    let enrolment = pending.complete(&world.public, &keys, &answered.reply, world.now).unwrap();
    assert_eq!(enrolment.credential.not_after(), NOW.after(ISSUER_VALIDITY), "cut to the issuer's end");
    let late = pending.complete(&world.public, &keys, &answered.reply, NOW.after(ISSUER_VALIDITY));
    assert_eq!(late.unwrap_err(), EnrolError::OutsideValidity);
}
