//! Groups at a true relay, over what is in the mailbox.

use chancery_engine::{GroupDraft, GroupInput, MessageState};
use chancery_wire::proto::Subscribe;

use super::*;
use crate::connection::Push;

/// The kinds of what the relay has for a device.
async fn kinds(client: &Client) -> Vec<u8> {
    let shared = client.shared();
    let (connection, mut pushes, pin) = shared.connect().await.unwrap();
    let device = &shared.device;
    connection.log_in_member(&shared.org, &pin, &device.keys, &device.credential).await.unwrap();
    connection.done(client_frame::Body::Subscribe(Subscribe {})).await.unwrap();
    let mut kinds = Vec::new();
    while let Some(push) = pushes.recv().await {
        match push {
            Push::Envelope(stored) => kinds.push(stored.envelope[0]),
            Push::CaughtUp => return kinds,
            _ => {}
        }
    }
    panic!("the connection ended");
}

/// Alice and carol in a group of bob's that removes carol; alice has a message to send, and does not know.
async fn unaware(acme: &Acme, alice: &Client, bob: &Client) -> (Client, Mailbox) {
    let carol = acme.enrol("carol").await;
    for client in [alice, bob, &carol] {
        client.sync(PATIENCE).await.unwrap();
    }
    let (board, _) = bob.create_group("Board", &["alice", "carol"], PATIENCE).await.unwrap();
    carol.sync(PATIENCE).await.unwrap();
    alice.sync(PATIENCE).await.unwrap();
    let (mailbox, _) = alice.receive().await.unwrap();
    let removed = board.remove(&["carol"], PATIENCE).await.unwrap();
    assert!(removed.waiting.is_none(), "{:?}", removed.waiting);
    let group_id = *board.id();
    let store = move |state: &mut State| {
        let draft = GroupDraft { group_id, message_id: [5; 16], text: "without her", attachments: vec![] };
        state.handle(Input::Group(GroupInput::Send(draft)))
    };
    alice.shared().worker.call(store).await.unwrap();
    (carol, mailbox)
}

#[tokio::test]
async fn nothing_is_sealed_for_a_group_before_the_mailbox_is_heard_again_r_engine_79() {
    let (acme, alice, bob) = pair().await;
    let (carol, mut mailbox) = unaware(&acme, &alice, &bob).await;
    let shared = alice.shared();
    // The machine has slept: the connection is there, and nobody knows whether it is alive.
    shared.hearing.forget();
    let deadline = || clock::deadline(PATIENCE);
    let left = crate::outbox::flush(shared, deadline()).await.unwrap();
    assert_eq!(left.map(|error| error.code()), Some(ErrorCode::RelayUnreachable));
    assert_eq!(alice.message_state([5; 16]).await.unwrap(), MessageState::Queued);
    // Once it answers, what the relay had pushed before is read first.
    let left = mailbox.attending(shared, crate::outbox::flush(shared, deadline())).await.unwrap();
    assert_eq!((left, alice.message_state([5; 16]).await.unwrap()), (None, MessageState::Sent));
    assert_eq!(kinds(&carol).await, [0x18], "the commit that has removed her, and no message");
}

#[tokio::test]
async fn what_waited_for_a_group_is_sealed_once_the_mailbox_was_read_r_engine_79() {
    let (acme, alice, bob) = pair().await;
    let carol = acme.enrol("carol").await;
    for client in [&alice, &bob, &carol] {
        client.sync(PATIENCE).await.unwrap();
    }
    let (board, done) = bob.create_group("Board", &["alice", "carol"], PATIENCE).await.unwrap();
    assert!(done.waiting.is_none(), "{:?}", done.waiting);
    for client in [&alice, &carol] {
        client.sync(PATIENCE).await.unwrap();
        assert_eq!(client.groups().await.unwrap().len(), 1);
    }
    let removed = board.remove(&["carol"], PATIENCE).await.unwrap();
    assert!(removed.waiting.is_none(), "{:?}", removed.waiting);
    let group_id = *board.id();
    let store = move |state: &mut State| {
        let draft = GroupDraft { group_id, message_id: [5; 16], text: "without her", attachments: vec![] };
        state.handle(Input::Group(GroupInput::Send(draft)))
    };
    alice.shared().worker.call(store).await.unwrap();
    // The set that carol is in is still there.
    let left = crate::outbox::flush(alice.shared(), clock::deadline(PATIENCE)).await.unwrap();
    assert_eq!((left, alice.message_state([5; 16]).await.unwrap()), (None, MessageState::Queued));
    alice.sync(PATIENCE).await.unwrap();
    assert_eq!(alice.message_state([5; 16]).await.unwrap(), MessageState::Sent);
    bob.sync(PATIENCE).await.unwrap();
    let told = board.history(0).await.unwrap();
    assert_eq!(told.len(), 4, "founded, added, removed, said: {told:?}");
    assert_eq!(kinds(&carol).await, [0x18], "the commit that has removed her, and no message");
}

#[tokio::test]
async fn the_last_look_at_the_outbox_says_when_something_of_a_group_is_due() {
    let (_acme, alice, bob) = pair().await;
    for client in [&alice, &bob] {
        client.sync(PATIENCE).await.unwrap();
    }
    let (board, _) = bob.create_group("Board", &["alice"], PATIENCE).await.unwrap();
    let heal = Some(Duration::from_secs(86_400));
    let done = board.set_policy(move |info| info.heal = heal, PATIENCE).await.unwrap();
    assert!(done.waiting.is_none(), "{:?}", done.waiting);
    let (mut mailbox, _) = bob.receive().await.unwrap();
    let shared = bob.shared();
    let emptying = crate::outbox::empty(shared, clock::deadline(PATIENCE));
    let emptied = mailbox.attending(shared, emptying).await.unwrap();
    let due = shared.worker.call(|state| state.read(chancery_engine::next_group_care)).await.unwrap();
    assert!(due.is_some(), "its keys are to be renewed");
    assert_eq!((emptied.left, emptied.due), (None, due));
    for groups in [true, false] {
        let look = crate::outbox::look(shared, std::collections::BTreeSet::new(), groups).await.unwrap();
        assert!(matches!(look, crate::outbox::Look::Idle(at) if at == due), "{groups}");
    }
}
