//! Delivery tokens at a true relay, with a desk that ends members.

use chancery_engine::{Draft, MessageState, Step, next_step};
use chancery_identity::delivery::Use;
use chancery_wire::proto::{self, ClaimPrekeys, Deliver, PutBlob, Subscribe};

use super::*;
use crate::connection::Push;
use crate::organisation::{Administrator, SignedWith};

impl Acme {
    /// Ends a member as an administrator does, and hands that over.
    async fn offboard(&self, handle: &str) {
        let key = read_or_create_key_file(self.folder.path().join("key")).unwrap();
        let administrator = Administrator::open(&self.folder.path().join("acme"), &key, None).unwrap();
        administrator.offboard(SignedWith { file: None, key: &key }, handle).unwrap();
        administrator.send().await.unwrap();
    }

    /// Gives the relay a delivery key that the desk does not have.
    async fn give_key(&self, client: &Client, epoch: u64) {
        let shared = client.shared();
        let (connection, _pushes, pin) = shared.connect().await.unwrap();
        let (keys, credential) = self.desk_device();
        connection.log_in(&shared.org, &pin, &keys, Some(&credential)).await.unwrap();
        let key = proto::DeliveryKey { epoch, key: vec![9; 32], update: None };
        connection.done(client_frame::Body::SetDeliveryKey(key)).await.unwrap();
    }
}

async fn epoch(client: &Client) -> u64 {
    client.shared().worker.call(|state| state.read(directory_key)).await.unwrap().epoch()
}

async fn token(client: &Client, of: Use, name: [u8; 16]) -> Vec<u8> {
    let token = move |state: &mut State| {
        state.read_with(|engine, records| engine.delivery_token(records, (of, &name)))
    };
    client.shared().worker.call(token).await.unwrap()
}

/// The envelope that is next to be delivered, and its delivery.
async fn sealed(client: &Client) -> (Vec<u8>, Vec<u8>) {
    let next = |state: &mut State| state.read(|records| next_step(records, &Default::default()));
    match client.shared().worker.call(next).await.unwrap() {
        Some(Step::Deliver { deliver, .. }) => (deliver.envelope, deliver.delivery_id),
        other => panic!("{other:?}"),
    }
}

async fn anonymous(client: &Client) -> Connection {
    let shared = client.shared();
    shared.connect().await.unwrap().0
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_what_was_sealed_is_sent_as_it_is_r_engine_53_r_engine_54() {
    let (acme, alice, bob) = pair().await;
    acme.enrol("carol").await;
    alice.sync(PATIENCE).await.unwrap();
    let sent = alice.send("bob", "before", &[], PATIENCE).await.unwrap();
    assert_eq!(sent.state, MessageState::Sent, "the control");
    bob.sync(PATIENCE).await.unwrap();
    let to = bob.me().member_id;
    let draft = move |state: &mut State| {
        state.handle(Input::Send(Draft {
            to,
            message_id: [5; 16],
            text: "while sealed",
            attachments: vec![],
        }))
    };
    alice.shared().worker.call(draft).await.unwrap();
    let (envelope, delivery_id) = sealed(&alice).await;
    acme.offboard("carol").await;
    // She hears of the end, and is stopped before she hears of the directory's new key.
    drop(Mailbox::open(alice.shared()).await.unwrap());
    assert_eq!(epoch(&alice).await, 1);
    assert_eq!(sealed(&alice).await, (envelope.clone(), delivery_id));
    let left = crate::outbox::flush(alice.shared(), clock::deadline(PATIENCE)).await.unwrap();
    assert_eq!((left, epoch(&alice).await), (None, 2), "R-ENGINE-54");
    // What the relay has for bob is what was sealed before the removal.
    let shared = bob.shared();
    let (connection, mut pushes, pin) = shared.connect().await.unwrap();
    let device = &shared.device;
    connection.log_in_member(&shared.org, &pin, &device.keys, &device.credential).await.unwrap();
    connection.done(client_frame::Body::Subscribe(Subscribe {})).await.unwrap();
    let Some(Push::Envelope(stored)) = pushes.recv().await else { panic!("nothing came") };
    assert_eq!(stored.envelope, envelope, "R-ENGINE-53");
    bob.sync(PATIENCE).await.unwrap();
    assert_eq!(bob.history("alice", 0).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_message_whose_token_stays_refused_waits_and_goes_by_itself_after_two_removals_r_engine_54() {
    let (acme, alice, bob) = pair().await;
    for handle in ["carol", "dave"] {
        acme.enrol(handle).await;
    }
    for client in [&alice, &bob] {
        client.sync(PATIENCE).await.unwrap();
    }
    let (text, file) = ("with a file", acme.folder.path().join("notes.txt"));
    std::fs::write(&file, "Tea at four.").unwrap();
    acme.give_key(&alice, 2).await;
    for files in [vec![], vec![file]] {
        let waits = alice.send("bob", text, &files, PATIENCE).await.unwrap();
        let why = waits.waiting.map(|error| error.code());
        assert_eq!((waits.state, why), (MessageState::Queued, Some(ErrorCode::TokenRefused)));
    }
    bob.sync(PATIENCE).await.unwrap();
    assert!(bob.history("alice", 0).await.unwrap().is_empty(), "never marked as sent, and not sent");
    // Of the first the relay does not take the key, and the desk goes on; the second puts it right.
    acme.offboard("carol").await;
    acme.offboard("dave").await;
    // Nobody sends again: whoever follows does it, after a pause.
    let arrived = async {
        loop {
            bob.sync(PATIENCE).await.unwrap();
            if bob.history("alice", 0).await.unwrap().len() == 2 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        ended = alice.follow(pending()) => panic!("{ended:?}"),
        arrived = timeout(PATIENCE, arrived) => arrived.unwrap(),
    }
    assert_eq!(epoch(&alice).await, 3);
    let messages = bob.history("alice", 0).await.unwrap();
    let saved = bob.save_attachment(&messages[1], 0, &acme.folder.path().join("downloads")).await.unwrap();
    assert_eq!(std::fs::read(saved).unwrap(), b"Tea at four.");
}

#[tokio::test]
async fn who_was_removed_puts_nothing_in_and_takes_nothing_out_any_more_r_relay_56() {
    let (acme, _alice, bob) = pair().await;
    let carol = acme.enrol("carol").await;
    let mailbox = *bob.me().device_id.as_bytes();
    let (to_bob, blobs) =
        (token(&carol, Use::Mailbox, mailbox).await, token(&carol, Use::Blob, [0; 16]).await);
    let all = |number: u8, to_bob: &[u8], blobs: &[u8]| {
        let (mailbox, token) = (mailbox.to_vec(), to_bob.to_vec());
        let claim = ClaimPrekeys { device_id: mailbox.clone(), token: token.clone() };
        let deliver = Deliver { mailbox, delivery_id: vec![number; 16], token, envelope: vec![0] };
        let (blob_id, part, token) = (vec![number; 16], vec![1], blobs.to_vec());
        [
            client_frame::Body::Deliver(deliver),
            client_frame::Body::ClaimPrekeys(claim),
            client_frame::Body::PutBlob(PutBlob { blob_id, part, token, last: true, offset: 0 }),
        ]
    };
    let connection = anonymous(&carol).await;
    for body in all(1, &to_bob, &blobs) {
        connection.request(body).await.unwrap();
    }
    for body in all(2, &[], &[]) {
        let refused = connection.request(body).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::TokenRefused, "a stranger has none");
    }
    acme.offboard("carol").await;
    for connection in [connection, anonymous(&carol).await] {
        for body in all(3, &to_bob, &blobs) {
            let refused = connection.request(body).await.unwrap_err();
            assert_eq!(refused.code(), ErrorCode::TokenRefused, "R-RELAY-56");
        }
    }
    // Who stays goes on.
    let sent = bob.send("alice", "still here", &[], PATIENCE).await.unwrap();
    assert_eq!((sent.state, sent.waiting), (MessageState::Sent, None));
}

#[tokio::test]
async fn a_device_link_goes_through_until_somebody_is_removed_r_engine_55() {
    let (acme, alice, _bob) = pair().await;
    acme.enrol("carol").await;
    let (old, new) = (alice.device_link().await.unwrap(), acme.home("alice's second"));
    acme.offboard("carol").await;
    let refused = Client::enroll_with(&new.0, &new.1, &old.link, PATIENCE, |_| {}).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvitationExpired, "R-ENGINE-55");
    alice.sync(PATIENCE).await.unwrap();
    let link = alice.device_link().await.unwrap().link;
    let code = std::sync::OnceLock::<String>::new();
    let approved = async {
        loop {
            match code.get() {
                Some(code) => return alice.approve_device(code, PATIENCE).await.unwrap(),
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let show = |shown: &str| code.set(shown.to_owned()).unwrap();
    let enrolled = Client::enroll_with(&new.0, &new.1, &link, PATIENCE, show);
    let (enrolled, approved) = tokio::join!(enrolled, approved);
    assert_eq!(enrolled.unwrap().me().device_id, approved);
}
