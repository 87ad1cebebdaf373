//! Founding, keys in files, and the relay's record.

use super::*;
use crate::{AdminError, DeskKeys, ISSUER_VALIDITY};
use chancery_identity::Capabilities;
use chancery_wire::encode;

#[test]
fn the_issuers_of_a_new_organisation_are_narrow() {
    // R-ORG-1
    let world = World::new(1);
    let [enrol, admin] = world.public.issuers() else { panic!("two issuers") };
    assert_eq!(enrol.capabilities(), Capabilities::ENROL);
    assert!(!admin.capabilities().contains(Capabilities::ENROL));
    assert!(admin.capabilities().contains(Capabilities::POLICY.union(Capabilities::OFFBOARD)));
    assert_eq!(world.desk.credential().capabilities(), Capabilities::DESK);
    assert_eq!(Some(world.desk.credential().device_id()), world.public.desk().map(|desk| desk.device_id()));
    assert_eq!(world.root.org_id(), world.public.id());
}

#[test]
fn the_public_document_holds_no_name() {
    let mut rng = seeded([2; 32]);
    let new = found(&name("MARKER-NAME"), NOW, &mut rng);
    let public = encode(&new.public);
    assert!(!public.windows(6).any(|window| window == b"MARKER"));
    let mut store = Store::new();
    apply(&mut store, &new.records);
    assert_eq!(Desk::organisation_name(&store), Ok(name("MARKER-NAME")));
}

#[test]
fn keys_survive_their_files_and_nothing_else_is_read() {
    // R-ORG-14
    let mut rng = seeded([3; 32]);
    let new = found(&name("Acme"), NOW, &mut rng);
    let public = verified(&new.public);

    let root = new.root.to_secret_bytes();
    assert_eq!(Root::from_secret_bytes(root.expose()).unwrap().org_id(), public.id());
    let admin = new.admin.to_secret_bytes();
    let again = AdminKeys::from_secret_bytes(admin.expose()).unwrap();
    assert_eq!(again.issuer().id(), new.admin.issuer().id());
    assert!(again.record_relay(&public, place("wss://a", &log_key()), &mut rng).is_ok());
    let desk = new.desk.to_secret_bytes();
    let again = DeskKeys::from_secret_bytes(desk.expose()).unwrap();
    assert!(Desk::new(again, public, NOW).is_ok());

    for bytes in [root.expose(), admin.expose(), desk.expose()] {
        let mut newer = bytes.to_vec();
        newer[0] = 3;
        for bad in [&newer, &bytes[..bytes.len() - 1], &[]] {
            assert!(Root::from_secret_bytes(bad).is_none());
            assert!(AdminKeys::from_secret_bytes(bad).is_none());
            assert!(DeskKeys::from_secret_bytes(bad).is_none());
        }
    }
}

#[test]
fn a_desk_opens_only_with_its_own_organisation_and_in_its_time() {
    let mut rng = seeded([4; 32]);
    let (ours, theirs) = (found(&name("A"), NOW, &mut rng), found(&name("B"), NOW, &mut rng));
    let (public, foreign) = (verified(&ours.public), verified(&theirs.public));
    let copy = || DeskKeys::from_secret_bytes(ours.desk.to_secret_bytes().expose()).unwrap();
    let open = |keys, organisation: &Organisation, now| {
        Desk::new(keys, organisation.clone(), now).map(|_| ()).unwrap_err()
    };
    assert_eq!(open(copy(), &foreign, NOW), OrgError::WrongKeys);
    assert_eq!(open(copy(), &public, NOW.after(ISSUER_VALIDITY)), OrgError::OutsideValidity);
    assert_eq!(open(copy(), &public, Timestamp::from_millis(0)), OrgError::OutsideValidity);
    let mut mixed = copy();
    mixed.kem = theirs.desk.kem;
    assert_eq!(open(mixed, &public, NOW), OrgError::WrongKeys);
    let mut mixed = copy();
    mixed.device = theirs.desk.device;
    assert_eq!(open(mixed, &public, NOW), OrgError::WrongKeys);
    let mut mixed = copy();
    mixed.credential = theirs.desk.credential;
    assert_eq!(open(mixed, &public, NOW), OrgError::WrongKeys);
    let without = proto::Organisation { desk: None, ..ours.public.clone() };
    assert_eq!(open(copy(), &verified(&without), NOW), OrgError::WrongKeys);
}

#[test]
fn a_later_relay_record_has_a_higher_sequence() {
    // R-ORG-2
    let mut world = World::new(5);
    assert_eq!(world.public.relay().unwrap().sequence(), 1);
    let mut record = |organisation: &Organisation, url: &str| {
        world.admin.record_relay(organisation, place(url, &log_key()), &mut *world.rng)
    };
    let moved = verified(&record(&world.public, "wss://other:1").unwrap());
    assert_eq!(moved.relay().map(|relay| (relay.url(), relay.sequence())), Some(("wss://other:1", 2)));
    let same = verified(&record(&moved, "wss://other:1").unwrap());
    assert_eq!(same.relay().unwrap().sequence(), 2, "saying it again changes nothing");
    assert_eq!(record(&moved, "http://other").unwrap_err(), AdminError::RelayUrl);
    let foreign = World::new(6).public;
    assert_eq!(record(&foreign, "wss://other:1").unwrap_err(), AdminError::WrongKeys);
}

#[test]
fn an_issuer_without_the_capability_signs_no_relay_record() {
    // R-ID-10
    let mut rng = seeded([7; 32]);
    let new = found(&name("Acme"), NOW, &mut rng);
    let posing = AdminKeys::new(new.desk.issuer);
    let refused = posing.record_relay(&verified(&new.public), place("wss://a", &log_key()), &mut rng);
    assert_eq!(refused.unwrap_err(), AdminError::WrongKeys);
}
