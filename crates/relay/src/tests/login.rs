//! Who may log in, and what a connection may ask for before and after.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::signature::SigningKey;
use chancery_identity::Capabilities;
use chancery_wire::{RefusalCode, encode, proto};
use proto::client_frame::Body as Request;
use proto::login::Who;
use proto::relay_frame::Body;

use super::world::{World, delivery, done, refusal};
use crate::{ConnectionId, Effect, Input, Limits, MailboxId, Rate, StorageError};

fn login(who: Who, signature: Vec<u8>) -> Request {
    Request::Login(proto::Login { who: Some(who), signature, time: 0 })
}

#[test]
fn a_connection_starts_with_hello_of_this_organisation_and_version() {
    let mut world = World::new();
    let org_id = world.org_id().as_bytes().to_vec();
    let cases = [
        (proto::Hello { version: 2, org_id: org_id.clone() }, RefusalCode::UnsupportedVersion),
        (proto::Hello { version: 1, org_id: vec![0; 32] }, RefusalCode::WrongOrganisation),
        (proto::Hello { version: 1, org_id: vec![] }, RefusalCode::WrongOrganisation),
    ];
    for (hello, code) in cases {
        let connection = world.open();
        assert_eq!(world.ask(connection, Request::Hello(hello)), refusal(code), "R-RELAY-3");
        assert!(world.closed.contains(&connection));
    }
    let early = world.open();
    let answer = world.ask(early, delivery(MailboxId::new([1; 16]), &[1; 16], b"x"));
    assert_eq!(answer, refusal(RefusalCode::BadRequest), "R-RELAY-3");
    assert!(world.closed.contains(&early));
    let twice = world.anonymous();
    let again = world.ask(twice, Request::Hello(proto::Hello { version: 1, org_id }));
    assert_eq!(again, refusal(RefusalCode::BadRequest));
    assert!(!world.closed.contains(&twice));
}

#[test]
fn a_silent_connection_is_closed_after_ten_seconds() {
    let mut world = World::new();
    let (silent, greeted) = (world.open(), world.anonymous());
    world.wait(Duration::from_millis(9_999));
    assert!(world.closed.is_empty());
    world.wait(Duration::from_millis(1));
    assert!(world.closed.contains(&silent) && !world.closed.contains(&greeted), "R-RELAY-3");
}

#[test]
fn bytes_that_are_no_frame_end_the_connection_and_nothing_else() {
    let mut world = World::new();
    let long = vec![0; 512 * 1024 + 1];
    let zero = encode(&proto::ClientFrame { request: 0, body: None });
    let cases = [
        (b"\xFF\xFF".as_slice(), RefusalCode::BadRequest),
        (&zero, RefusalCode::BadRequest),
        (&long, RefusalCode::TooLarge),
    ];
    for (bytes, code) in cases {
        let connection = world.anonymous();
        world.input(Input::Frame { connection, bytes });
        assert_eq!(world.pushed.remove(&connection), Some(vec![refusal(code)]), "R-RELAY-1");
        assert!(world.closed.contains(&connection));
        assert_eq!(world.input(Input::Frame { connection, bytes }), []);
    }
    let newer = world.anonymous();
    let bytes = encode(&proto::ClientFrame { request: 5, body: None });
    assert_eq!(world.input(Input::Frame { connection: newer, bytes: &bytes }).len(), 1, "R-RELAY-2");
    assert!(!world.closed.contains(&newer), "a body of a later version is refused, not punished");
}

#[test]
fn a_credential_and_the_key_behind_it_open_a_mailbox() {
    let mut world = World::new();
    let alice = world.member(1);
    let connection = world.login(&alice);
    world.subscribe(connection);
    assert_eq!(world.take(connection), [None], "R-RELAY-6");
}

#[test]
fn a_forged_login_is_refused_and_ends_the_connection() {
    let mut world = World::new();
    let (alice, mallory) = (world.member(1), world.member(2));
    let expired = world.device_until(3, Capabilities::MEMBER, world.now.as_millis());
    let mut altered = alice.credential.clone();
    altered.body[70] ^= 1;
    let key = alice.keys.signing.verifying_key().as_bytes().to_vec();
    let cases = [
        (Who::Credential(alice.credential.clone()), &mallory.keys.signing),
        (Who::Credential(altered), &alice.keys.signing),
        (Who::Credential(expired.credential.clone()), &expired.keys.signing),
        (Who::EnrollingKey(key), &mallory.keys.signing),
        (Who::EnrollingKey(vec![0; 12]), &mallory.keys.signing),
    ];
    for (who, signer) in cases {
        let connection = world.open();
        let challenge = world.hello(connection);
        let signature = world.sign(signer, &challenge);
        let answer = world.ask(connection, login(who, signature));
        assert_eq!(answer, refusal(RefusalCode::NotAuthorised), "R-RELAY-8");
        assert!(world.closed.contains(&connection));
    }
}

#[test]
fn a_signature_for_another_challenge_or_relay_is_worth_nothing() {
    let mut world = World::new();
    let alice = world.member(1);
    let first = world.open();
    let challenge = world.hello(first);
    let signature = world.sign(&alice.keys.signing, &challenge);
    let second = world.open();
    assert_ne!(world.hello(second), challenge, "R-RELAY-4");
    let who = Who::Credential(alice.credential.clone());
    let replayed = world.ask(second, login(who.clone(), signature.clone()));
    assert_eq!(replayed, refusal(RefusalCode::NotAuthorised), "R-RELAY-6");
    let answer = world.ask(first, login(who.clone(), signature.clone()));
    assert!(matches!(answer, Body::Done(_)), "{answer:?}");
    let again = world.ask(first, login(who.clone(), signature));
    assert_eq!(again, refusal(RefusalCode::NotAuthorised), "R-RELAY-8");

    let third = world.open();
    let challenge = world.hello(third);
    let message = chancery_identity::login_message(&challenge, &world.org_id(), &[1; 32]);
    let label = chancery_crypto::label::SIGN_RELAY_LOGIN;
    let elsewhere = alice.keys.signing.sign(label, &message, &mut *world.rng);
    assert_eq!(world.ask(third, login(who, elsewhere)), refusal(RefusalCode::NotAuthorised));
}

#[test]
fn a_connection_is_of_one_kind_for_ever() {
    let mut world = World::new();
    let alice = world.member(1);
    let reading = world.login(&alice);
    let blob_id = vec![1; 16];
    let anonymous_only = [
        delivery(alice.mailbox(), &[1; 16], b"x"),
        Request::ClaimPrekeys(proto::ClaimPrekeys { device_id: vec![1; 16], token: vec![] }),
        Request::PutBlob(proto::PutBlob { blob_id: blob_id.clone(), ..Default::default() }),
        Request::GetBlob(proto::GetBlob { blob_id, ..Default::default() }),
        Request::GetOrganisation(proto::GetOrganisation {}),
        Request::GetLogKey(proto::GetLogKey {}),
    ];
    for request in anonymous_only {
        assert_eq!(world.ask(reading, request), refusal(RefusalCode::NotAuthorised), "R-RELAY-5");
    }
    let sending = world.open();
    let challenge = world.hello(sending);
    let mailbox_only = [
        Request::Subscribe(proto::Subscribe {}),
        Request::Acknowledge(proto::Acknowledge { sequences: vec![1] }),
        Request::PublishPrekeys(proto::PrekeyUpload::default()),
        Request::SyncDirectory(proto::SyncDirectory { after: 0 }),
        Request::Reply(proto::Reply::default()),
        Request::PublishDirectory(proto::SealedDirectoryEntry::default()),
        Request::AppendLog(proto::AppendLog::default()),
        Request::SyncLog(proto::SyncLog { from: 0 }),
    ];
    for request in mailbox_only {
        assert_eq!(world.ask(sending, request), refusal(RefusalCode::NotAuthorised), "R-RELAY-5");
    }
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"x"), done());
    let signature = world.sign(&alice.keys.signing, &challenge);
    let late = world.ask(sending, login(Who::Credential(alice.credential), signature));
    assert_eq!(late, refusal(RefusalCode::NotAuthorised), "R-RELAY-5: it has sent already");
}

#[test]
fn an_enrolling_device_reads_its_reply_mailbox_and_nothing_else() {
    let mut world = World::new();
    let key = SigningKey::generate(&mut *world.rng);
    let connection = world.login_enrolling(&key);
    world.subscribe(connection);
    assert_eq!(world.take(connection), [None], "R-RELAY-7");
    for request in [
        Request::SyncDirectory(proto::SyncDirectory { after: 0 }),
        Request::PublishPrekeys(proto::PrekeyUpload::default()),
    ] {
        assert_eq!(world.ask(connection, request), refusal(RefusalCode::NotAuthorised), "R-RELAY-7");
    }
}

#[test]
fn a_reader_is_closed_when_its_credential_ends() {
    let mut world = World::new();
    let ends = world.now.as_millis() + 60_000;
    let alice = world.device_until(1, Capabilities::MEMBER, ends);
    let connection = world.login(&alice);
    world.wait(Duration::from_secs(59));
    assert!(!world.closed.contains(&connection));
    world.wait(Duration::from_secs(1));
    assert!(world.closed.contains(&connection), "R-RELAY-6");
}

#[test]
fn too_many_frames_are_refused_with_a_time_to_come_back() {
    let frames = Rate { per_second: 10, burst: 3 };
    let mut world = World::with(Limits { frames, ..Limits::default() });
    let (connection, other) = (world.anonymous(), world.anonymous());
    let ask = |world: &mut World, connection| {
        world.ask(connection, Request::GetOrganisation(proto::GetOrganisation {}))
    };
    assert!(matches!(ask(&mut world, connection), Body::Organisation(_)));
    assert!(matches!(ask(&mut world, connection), Body::Organisation(_)));
    let limited = proto::Refused { code: RefusalCode::RateLimited.code(), retry_after_ms: 100 };
    assert_eq!(ask(&mut world, connection), Body::Refused(limited), "R-RELAY-12");
    assert!(matches!(ask(&mut world, other), Body::Organisation(_)), "another connection is not affected");
    world.now = world.now.after(Duration::from_millis(100));
    assert!(matches!(ask(&mut world, connection), Body::Organisation(_)));
}

#[test]
fn one_connection_too_many_is_turned_away() {
    let mut world = World::with(Limits { connections: 2, ..Limits::default() });
    let (first, _) = (world.anonymous(), world.anonymous());
    let third = world.open();
    assert!(world.closed.contains(&third), "R-RELAY-20");
    world.input(Input::Closed { connection: first });
    let fourth = world.open();
    assert!(!world.closed.contains(&fourth));
    assert_eq!(world.relay.connections(), 2);
}

#[test]
fn a_failing_storage_refuses_and_changes_nothing() {
    let mut world = World::new();
    let alice = world.member(1);
    let (reading, sending) = (world.login(&alice), world.anonymous());
    world.subscribe(reading);
    assert_eq!(world.take(reading), [None]);
    for (error, code) in
        [(StorageError::Full, RefusalCode::StorageFull), (StorageError::Io, RefusalCode::Unavailable)]
    {
        world.storage.fail_commits(2, error);
        let refused = proto::Refused { code: code.code(), retry_after_ms: 10_000 };
        let answer = world.deliver(sending, alice.mailbox(), 1, b"first");
        assert_eq!(answer, Body::Refused(refused), "R-RELAY-11");
        assert_eq!(world.take(reading), [], "what was not stored is not pushed");
    }
    assert_eq!(world.deliver(sending, alice.mailbox(), 1, b"first"), done(), "and the relay lives on");
    assert_eq!(world.envelopes(reading), [b"first".to_vec()]);
}

#[test]
fn a_batch_that_fails_is_handled_one_by_one() {
    let mut world = World::new();
    let alice = world.member(1);
    let (reading, sending) = (world.login(&alice), world.anonymous());
    world.subscribe(reading);
    let frames = [1, 2].map(|id: u8| {
        let body = Some(delivery(alice.mailbox(), &[id; 16], &[id]));
        encode(&proto::ClientFrame { request: id.into(), body })
    });
    let opened = ConnectionId(77);
    let inputs = [
        Input::Frame { connection: sending, bytes: &frames[0] },
        Input::Opened { connection: opened },
        Input::Frame { connection: sending, bytes: &frames[1] },
        Input::Closed { connection: reading },
    ];
    // The batch fails, and then its first input fails alone.
    world.storage.fail_commits(2, StorageError::Full);
    let effects = world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng);
    let to = |connection| {
        effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Send { connection: to, .. } if *to == connection))
            .count()
    };
    assert_eq!((to(sending), to(reading)), (2, 1), "R-RELAY-11");
    assert_eq!(world.storage.envelopes(&alice.mailbox()).collect::<Vec<_>>(), [&[2]]);
    assert_eq!(world.relay.connections(), 2);
    // With nothing that works, connections still come and go.
    world.storage.fail_commits(9, StorageError::Io);
    let inputs = [Input::Opened { connection: ConnectionId(78) }, Input::Closed { connection: opened }];
    assert_eq!(world.relay.handle_all(&mut world.storage, &inputs, world.now, &mut *world.rng), []);
    assert_eq!(world.relay.connections(), 2);
}
