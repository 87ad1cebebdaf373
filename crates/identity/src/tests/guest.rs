//! Units, kinds and reach in an entry, and what is sealed for a guest.

use super::*;
use crate::delivery::{DeliveryKey, Use};
use crate::guest::{GuestKey, Kind, MAX_REACH, part_id, token};
use crate::{DeviceId, DirectoryKey};
use alloc::format;

#[test]
fn an_entry_has_a_unit_a_kind_and_a_reach_that_suits_it_r_id_21() {
    let mut rng = seeded([60; 32]);
    let world = World::new(&mut rng);
    let mut check = |unit: &str, kind: u32, reach: Vec<Vec<u8>>| {
        let body = proto::DirectoryEntryBody { unit: unit.into(), kind, reach, ..world.entry_body() };
        let signed = sign::sign_directory_entry(&world.enrol, &body, &mut rng);
        let entry = world.organisation.verify_directory_entry(Unverified::new(signed));
        entry.map(|entry| (entry.unit().map(|unit| unit.as_str().len()), entry.kind(), entry.reach().len()))
    };
    let many = |count: usize| (0..count).map(|n| n.to_be_bytes().repeat(2)).collect::<Vec<_>>();
    assert_eq!(check("", 0, many(0)), Ok((None, Kind::Person, 0)));
    assert_eq!(check("Works", 1, many(1)), Ok((Some(5), Kind::Guest, 1)));
    assert_eq!(check("", 2, many(0)), Ok((None, Kind::Bot, 0)));
    assert_eq!(check("", 2, many(MAX_REACH)), Ok((None, Kind::Bot, MAX_REACH)));
    assert_eq!(check("", 3, many(2)), Ok((None, Kind::GuestBot, 2)));
    let doubled = vec![vec![1; 16], vec![1; 16]];
    for (unit, kind, reach) in [
        ("a\u{1b}[2J", 0, many(0)),
        ("", 4, many(0)),
        ("", 0, many(1)),
        ("", 1, many(0)),
        ("", 3, many(0)),
        ("", 1, many(MAX_REACH + 1)),
        ("", 1, doubled),
        ("", 1, vec![vec![1; 15]]),
    ] {
        let case = format!("{unit:?} {kind} {}", reach.len());
        assert_eq!(check(unit, kind, reach), Err(IdentityError::Malformed), "{case}");
    }
}

#[test]
fn kind_and_capabilities_say_the_same_r_id_22() {
    for kind in [Kind::Person, Kind::Guest, Kind::Bot, Kind::GuestBot] {
        assert_eq!(Kind::of(kind.capabilities()), Some(kind));
        assert_eq!(Kind::from_number(kind.number()), Some(kind));
    }
    let both = Capabilities::MEMBER.union(Capabilities::GUEST);
    for none in [both, both.union(Capabilities::BOT), Capabilities::BOT, Capabilities::DESK] {
        assert_eq!(Kind::of(none), None, "{none:?}");
    }
    assert_eq!(Kind::from_number(4), None);
}

#[test]
fn a_part_opens_only_for_its_device_under_its_name_version_and_key_r_id_23_r_id_24() {
    let mut rng = seeded([61; 32]);
    let world = World::new(&mut rng);
    let (org, own, about) = (world.organisation.id(), DeviceId::new([8; 16]), MemberId::new([1; 16]));
    let key = GuestKey::generate(&mut rng);
    let signed = sign::sign_directory_entry(&world.enrol, &world.entry_body(), &mut rng);
    let delivery = DeliveryKey::of(&org, &DirectoryKey::generate(&mut rng));
    let good = proto::GuestDirectory {
        entries: vec![signed.clone()],
        epoch: 9,
        tokens: vec![token([2; 16], &delivery)],
        send_key: vec![4; 32],
    };
    let seal = |part: proto::GuestDirectory, about: &MemberId| {
        key.seal((&org, &own, about), part, 5, &mut seeded([62; 32]))
    };
    let sealed = seal(good.clone(), &about);
    assert_eq!(
        (sealed.reader.as_slice(), sealed.entry_id.as_slice()),
        (own.as_bytes().as_slice(), part_id(&org, &own, &about).as_slice())
    );
    let part = key.open((&org, &own), &sealed).unwrap();
    assert_eq!(
        (part.epoch, part.tokens.as_slice()),
        (9, [([2; 16], delivery.token(Use::Mailbox, &[2; 16]))].as_slice())
    );
    assert_eq!(part.send_key.unwrap().secret().expose(), &[4; 32]);
    assert_eq!(part.entry.into_unchecked(), signed);
    let refused = |sealed: &proto::SealedDirectoryEntry| {
        assert!(key.open((&org, &own), sealed).is_err());
    };
    refused(&proto::SealedDirectoryEntry { version: 6, ..sealed.clone() });
    refused(&proto::SealedDirectoryEntry { entry_id: vec![1; 16], ..sealed.clone() });
    refused(&proto::SealedDirectoryEntry { reader: vec![9; 16], ..sealed.clone() });
    refused(&proto::SealedDirectoryEntry { reader: vec![], ..sealed.clone() });
    for position in [0, 7, 8, 40, sealed.sealed.len() - 1] {
        let mut bad = sealed.clone();
        bad.sealed[position] ^= 1;
        refused(&bad);
    }
    assert!(GuestKey::generate(&mut rng).open((&org, &own), &sealed).is_err());
    assert!(key.open((&OrgId::new([1; 32]), &own), &sealed).is_err());
    // Another member's name, none or two entries, and tokens of another length.
    refused(&seal(good.clone(), &MemberId::new([3; 16])));
    refused(&seal(proto::GuestDirectory { entries: vec![], ..good.clone() }, &about));
    refused(&seal(proto::GuestDirectory { entries: vec![signed.clone(), signed], ..good.clone() }, &about));
    let short = proto::DeliveryToken { name: vec![2; 16], token: vec![1; 15] };
    refused(&seal(proto::GuestDirectory { tokens: vec![short], ..good.clone() }, &about));
    refused(&seal(proto::GuestDirectory { send_key: vec![4; 31], ..good.clone() }, &about));
    let without = seal(proto::GuestDirectory { send_key: vec![], ..good }, &about);
    assert!(key.open((&org, &own), &without).unwrap().send_key.is_none());
}
