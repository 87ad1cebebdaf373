//! Delivery tokens: who has none, or an old or another one, puts nothing in and takes nothing out (R-RELAY-56 to R-RELAY-59).

use alloc::vec;
use alloc::vec::Vec;

use chancery_crypto::signature::SigningKey;
use chancery_identity::delivery::{BLOB_TOKEN_NAME, DeliveryKey};
use chancery_identity::log::LeafKind;
use chancery_identity::reply_mailbox;
use chancery_wire::{RefusalCode, proto};
use proto::client_frame::Body as Request;
use proto::relay_frame::Body;

use super::world::{DESK, Device, EPOCH, World, append, done, key, refusal, token, with_token};
use crate::{ConnectionId, MailboxId, Storage as _};

fn set(key: &DeliveryKey) -> Request {
    let (epoch, key) = (key.epoch(), key.secret().expose().to_vec());
    Request::SetDeliveryKey(proto::DeliveryKey { epoch, key })
}

/// One of each that needs a token, with the same one.
fn all(to: [u8; 16], token: &[u8]) -> [Request; 3] {
    let token = token.to_vec();
    [
        with_token(MailboxId::new(to), token.clone(), (&[7; 16], b"unwanted")),
        Request::ClaimPrekeys(proto::ClaimPrekeys { device_id: to.to_vec(), token: token.clone() }),
        put(&token),
    ]
}

fn put(token: &[u8]) -> Request {
    let (blob_id, part, token) = (vec![7; 16], b"unwanted".to_vec(), token.to_vec());
    Request::PutBlob(proto::PutBlob { blob_id, offset: 0, part, last: true, token })
}

/// Alice, who can be written to, and somebody's connection.
fn world() -> (World, Device, ConnectionId) {
    let mut world = World::new();
    let alice = world.member(1);
    let alices = world.login(&alice);
    let upload = super::prekeys::upload(&mut world, &alice, 1, 2);
    assert_eq!(world.ask(alices, Request::PublishPrekeys(upload)), done());
    let sending = world.anonymous();
    (world, alice, sending)
}

fn is_untouched(world: &World, alice: &Device) {
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 0);
    assert_eq!(world.storage.prekey_pairs(&alice.id), Ok(2));
    let totals = world.storage.totals().unwrap();
    assert_eq!((totals.deliveries, totals.blobs, totals.envelope_bytes), (0, 0, 0));
}

#[test]
fn a_flood_without_the_right_token_is_refused_before_anything_is_stored_r_relay_57() {
    let (mut world, alice, sending) = world();
    let (name, refused) = (*alice.id.as_bytes(), refusal(RefusalCode::Token));
    let mut cut = token(&name);
    cut.pop();
    let wrong: [Vec<u8>; 7] = [
        Vec::new(),
        vec![0; 16],
        cut,
        [token(&name), vec![0]].concat(),
        key(EPOCH - 1, 2).token(&name).to_vec(),
        // Of somebody else's mailbox, and of the same number in a key that the desk never gave.
        token(&[2; 16]),
        key(EPOCH, 9).token(&name).to_vec(),
    ];
    for token in &wrong {
        for _ in 0..30 {
            for request in all(name, token) {
                assert_eq!(world.ask(sending, request), refused, "R-RELAY-57");
            }
        }
        world.wait(core::time::Duration::from_secs(10));
    }
    assert_eq!(world.ask(sending, put(&token(&name))), refused, "a mailbox's is not that of blobs");
    let claim = proto::ClaimPrekeys { device_id: name.to_vec(), token: token(&BLOB_TOKEN_NAME) };
    assert_eq!(world.ask(sending, Request::ClaimPrekeys(claim)), refused, "nor the other way round");
    is_untouched(&world, &alice);
    let [deliver, claim, _] = all(name, &token(&name));
    assert_eq!(world.ask(sending, deliver), done(), "the right one is taken");
    assert!(matches!(world.ask(sending, claim), Body::Bundle(_)));
    assert!(matches!(world.ask(sending, put(&token(&BLOB_TOKEN_NAME))), Body::BlobStatus(_)));
}

#[test]
fn a_refused_token_does_not_tell_whether_there_is_a_mailbox_r_relay_58() {
    let (mut world, alice, sending) = world();
    let bob = world.member(2);
    world.login(&bob);
    let ended = world.end(bob.member, Some(bob.id));
    world.enter(LeafKind::DeviceRevoked, &ended);
    let unknown = [0xEE; 16];
    for name in [*alice.id.as_bytes(), *bob.id.as_bytes(), unknown] {
        for request in all(name, &[3; 16]) {
            assert_eq!(world.ask(sending, request), refusal(RefusalCode::Token), "R-RELAY-58");
        }
    }
    let [deliver, claim, _] = all(unknown, &token(&unknown));
    assert_eq!(world.ask(sending, deliver), refusal(RefusalCode::NotFound), "a member may know");
    assert_eq!(world.ask(sending, claim), refusal(RefusalCode::NotFound));
}

#[test]
fn the_desk_and_reply_mailboxes_need_no_token_r_relay_57() {
    let (mut world, _, sending) = world();
    let to_desk = with_token(MailboxId::new(DESK), Vec::new(), (&[1; 16], b"a request"));
    assert_eq!(world.ask(sending, to_desk), done());
    let key = SigningKey::generate(&mut *world.rng);
    let mailbox = reply_mailbox(key.verifying_key());
    let before = with_token(MailboxId::new(mailbox), Vec::new(), (&[2; 16], b"too early"));
    assert_eq!(world.ask(sending, before), refusal(RefusalCode::Token), "it is like any unknown one");
    let desk = world.desk();
    let desks = world.login(&desk);
    let reply = proto::Reply { mailbox: mailbox.to_vec(), delivery_id: vec![3; 16], envelope: vec![1] };
    assert_eq!(world.ask(desks, Request::Reply(reply)), done());
    let after = with_token(MailboxId::new(mailbox), Vec::new(), (&[4; 16], b"to whoever enrols"));
    assert_eq!(world.ask(sending, after), done());
}

#[test]
fn a_leavers_tokens_are_worth_nothing_as_soon_as_the_key_has_changed_r_relay_56() {
    let (mut world, alice, leavers) = world();
    let name = *alice.id.as_bytes();
    let [deliver, ..] = all(name, &token(&name));
    assert_eq!(world.ask(leavers, deliver), done(), "before the removal they are taken");
    let desk = world.desk();
    let desks = world.login(&desk);
    let bob = world.member(2);
    let ended = world.end(bob.member, Some(bob.id));
    let appended = world.ask(desks, append(LeafKind::DeviceRevoked, &ended));
    assert!(matches!(appended, Body::Appended(_)), "{appended:?}");
    assert_eq!(world.ask(desks, set(&key(EPOCH + 1, 2))), done(), "R-RELAY-56");
    // On the connection that was open, with another delivery and with the one that was taken.
    for id in [8, 7] {
        let again = with_token(alice.mailbox(), token(&name), (&[id; 16], b"unwanted"));
        assert_eq!(world.ask(leavers, again), refusal(RefusalCode::Token), "R-RELAY-56");
    }
    for request in [all(name, &token(&name))[1].clone(), put(&token(&BLOB_TOKEN_NAME))] {
        assert_eq!(world.ask(leavers, request), refusal(RefusalCode::Token), "R-RELAY-56");
    }
    world.restart();
    let sending = world.anonymous();
    assert_eq!(world.ask(sending, put(&token(&BLOB_TOKEN_NAME))), refusal(RefusalCode::Token), "for good");
    let new = key(EPOCH + 1, 2).token(&name).to_vec();
    let repeated = with_token(alice.mailbox(), new, (&[7; 16], b"unwanted"));
    assert_eq!(world.ask(sending, repeated), done(), "R-RELAY-14: repeated with the new token");
    assert_eq!(world.storage.envelopes(&alice.mailbox()).count(), 1, "R-RELAY-14");
}

#[test]
fn only_the_desk_gives_the_key_and_its_epoch_only_rises_r_relay_56() {
    let (mut world, alice, sending) = world();
    let desk = world.desk();
    let (desks, alices) = (world.login(&desk), world.login(&alice));
    let (newer, conflict) = (key(EPOCH + 2, 2), refusal(RefusalCode::Conflict));
    assert_eq!(world.ask(alices, set(&newer)), refusal(RefusalCode::NotAuthorised));
    assert_eq!(world.ask(sending, set(&newer)), refusal(RefusalCode::NotAuthorised));
    assert_eq!(world.ask(desks, set(&newer)), done());
    assert_eq!(world.ask(desks, set(&newer)), done(), "given again after each login");
    assert_eq!(world.ask(desks, set(&key(EPOCH + 2, 3))), conflict, "another key of the same epoch");
    assert_eq!(world.ask(desks, set(&key(EPOCH + 1, 3))), conflict, "an earlier epoch");
    assert_eq!(world.ask(desks, set(&key(EPOCH, 1))), conflict, "what it had");
    for (epoch, len) in [(0, 32), (65_537, 32), (EPOCH + 3, 31), (EPOCH + 3, 33), (EPOCH + 3, 0)] {
        let bad = Request::SetDeliveryKey(proto::DeliveryKey { epoch, key: vec![4; len] });
        assert_eq!(world.ask(desks, bad), refusal(RefusalCode::BadRequest), "{epoch} {len}");
    }
    let held = world.storage.delivery_key().unwrap().unwrap();
    assert_eq!((held.epoch(), held.secret().expose()), (EPOCH + 2, &[2; 32]), "the newest alone is kept");
    assert_eq!(world.ask(desks, set(&key(65_536, 5))), done(), "the last there is");
}

#[test]
fn a_relay_without_a_key_refuses_what_needs_one_r_relay_59() {
    let (mut world, alice, _) = world();
    world.forget_delivery_key();
    let (name, sending) = (*alice.id.as_bytes(), world.anonymous());
    for token in [Vec::new(), token(&name), token(&BLOB_TOKEN_NAME)] {
        for request in all(name, &token) {
            assert_eq!(world.ask(sending, request), refusal(RefusalCode::Token), "R-RELAY-59");
        }
    }
    is_untouched(&world, &alice);
    let to_desk = with_token(MailboxId::new(DESK), Vec::new(), (&[1; 16], b"a request"));
    assert_eq!(world.ask(sending, to_desk), done());
}
