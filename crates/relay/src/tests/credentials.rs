//! Credentials: whose are given, to whom, and for how long.

use alloc::vec;
use alloc::vec::Vec;

use chancery_identity::Capabilities;
use chancery_identity::delivery::Use;
use chancery_identity::log::LeafKind;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::sets::{DAY, HOUR, NAME, Team, fan};
use super::world::{DESK, Device, done, refusal, token, token_for};
use crate::{Input, SetStorage as _, Storage as _};

fn credential(device: [u8; 16]) -> Request {
    Request::GetCredential(proto::GetCredential {
        device_id: device.to_vec(),
        token: token(&device),
        group_key: Vec::new(),
    })
}

#[test]
fn a_credential_is_given_if_the_log_has_it_and_the_device_has_shown_it_r_relay_76() {
    let mut team = Team::new();
    let given = |signed: &proto::Signed| {
        Body::Credential(proto::CredentialAnswer { credential: Some(signed.clone()) })
    };
    let missing = refusal(RefusalCode::NotFound);
    let alice = team.places()[0];
    let expected = given(&team.devices[0].credential);
    assert_eq!(team.ask(credential(alice)), expected, "by its login");
    let reading = team.reading[0];
    let upload = super::prekeys::upload(&mut team.world, &team.devices[0], 1, 1);
    assert_eq!(team.world.ask(reading, Request::PublishPrekeys(upload)), done());
    team.world.input(Input::Closed { connection: reading });
    assert_eq!(team.ask(credential(alice)), expected, "by its prekeys");
    let bobs = team.reading[1];
    team.world.input(Input::Closed { connection: bobs });
    assert_eq!(team.ask(credential(team.places()[2])), missing, "neither");
    let desk = team.world.device(0, Capabilities::DESK);
    team.world.login(&desk);
    assert_eq!(team.ask(credential(DESK)), missing, "not in the log");
    assert_eq!(team.ask(credential([0xEE; 16])), missing, "nobody");
    let bare = Request::GetCredential(proto::GetCredential {
        device_id: alice.to_vec(),
        token: Vec::new(),
        group_key: Vec::new(),
    });
    assert_eq!(team.ask(bare), refusal(RefusalCode::Token), "R-RELAY-57");
    let short = Request::GetCredential(proto::GetCredential {
        device_id: vec![1],
        token: Vec::new(),
        group_key: Vec::new(),
    });
    assert_eq!(team.ask(short), refusal(RefusalCode::BadRequest));
    let end = team.world.end(team.devices[0].member, None);
    assert!(matches!(team.world.enter(LeafKind::MemberRevoked, &end), Body::Appended(_)));
    assert_eq!(
        team.ask(credential(alice)),
        expected,
        "R-RELAY-78: what the device wrote before is there still"
    );
}

#[test]
fn an_ended_devices_credential_stays_for_ninety_days_and_nothing_else_of_it_r_relay_78() {
    let mut team = Team::new();
    let upload = super::prekeys::upload(&mut team.world, &team.devices[0], 1, 1);
    assert_eq!(team.world.ask(team.reading[0], Request::PublishPrekeys(upload)), done());
    assert_eq!(team.ask(fan(NAME, 0, 0, 1, b"\x17hello")), done());
    let expected = |device: &Device| {
        Body::Credential(proto::CredentialAnswer { credential: Some(device.credential.clone()) })
    };
    let (published, online, unseen) = (team.places()[0], team.places()[2], team.places()[3]);
    team.world.input(Input::Closed { connection: team.reading[2] });
    (0..3).for_each(|device| team.end(device));
    team.world.restart();
    team.sending = team.world.anonymous();
    assert_eq!(team.ask(credential(published)), expected(&team.devices[0]), "with its prekeys");
    assert_eq!(team.ask(credential(online)), expected(&team.devices[1]), "of its connection when it ended");
    let missing = refusal(RefusalCode::NotFound);
    assert_eq!(team.ask(credential(unseen)), missing, "of one that had shown none there is none");
    let bare =
        proto::GetCredential { device_id: published.to_vec(), token: Vec::new(), group_key: Vec::new() };
    assert_eq!(team.ask(Request::GetCredential(bare)), refusal(RefusalCode::Token), "R-RELAY-57");
    let claim = proto::ClaimPrekeys { device_id: published.to_vec(), token: token(&published) };
    assert_eq!(team.ask(Request::ClaimPrekeys(claim)), missing, "R-RELAY-50");
    let id = team.devices[0].id;
    assert_eq!(team.world.storage.prekey_batch(&id), Ok(None), "R-RELAY-50");
    assert!(team.stored(0).is_empty(), "R-RELAY-50");
    team.world.wait(90 * DAY - HOUR);
    assert_eq!(
        team.ask(credential(published)),
        expected(&team.devices[0]),
        "while a slot may have its commit"
    );
    team.world.wait(2 * HOUR);
    for device in [published, online] {
        assert_eq!(team.ask(credential(device)), missing, "R-RELAY-19");
    }
    assert_eq!(team.world.storage.kept_credential(&id), Ok(None));
}

#[test]
fn who_is_in_a_group_with_a_device_gets_its_credential_and_no_other_r_relay_79() {
    let mut team = Team::new();
    let (alice, bob) = (team.places()[0], team.places()[2]);
    let key_of =
        |team: &Team, device: usize| team.devices[device].keys.group.verifying_key().as_bytes().to_vec();
    let shown = |device: [u8; 16], group_key: Vec<u8>| {
        let token = token_for(Use::Send, &device);
        Request::GetCredential(proto::GetCredential { device_id: device.to_vec(), token, group_key })
    };
    let expected =
        Body::Credential(proto::CredentialAnswer { credential: Some(team.devices[0].credential.clone()) });
    let (right, others) = (key_of(&team, 0), key_of(&team, 1));
    assert_eq!(team.ask(shown(alice, right.clone())), expected);
    let missing = refusal(RefusalCode::NotFound);
    for wrong in [others, vec![0; 32], vec![1], vec![0; 99]] {
        assert_eq!(team.ask(shown(alice, wrong)), missing, "of whom it knows nothing");
    }
    assert_eq!(team.ask(shown([0xEE; 16], right.clone())), missing, "one answer for who is not there");
    assert_eq!(team.ask(shown(bob, right.clone())), missing);
    let refused = refusal(RefusalCode::Token);
    assert_eq!(team.ask(shown(alice, Vec::new())), refused, "the token for sending alone is not enough");
    let device_id = alice.to_vec();
    for token in [Vec::new(), token(&alice), token_for(Use::Send, &bob)] {
        let group_key = right.clone();
        let ask = proto::GetCredential { device_id: device_id.clone(), token, group_key };
        assert_eq!(team.ask(Request::GetCredential(ask)), refused, "R-RELAY-57");
    }
    team.end(0);
    assert_eq!(team.ask(shown(alice, right)), expected, "R-RELAY-78");
}
