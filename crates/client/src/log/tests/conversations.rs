//! Conversations and what became of own messages, as an application is told.

use chancery_engine::Draft;

use super::*;
use crate::{GroupEntry, MessageState};

#[tokio::test]
async fn an_application_is_told_of_its_messages_and_reads_conversations_from_their_end_r_engine_119() {
    let (_acme, alice, bob) = pair().await;
    let mut changes = alice.changes();
    changes.mark_unchanged();
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(alice.send("bob", text, &[], PATIENCE).await.unwrap().id);
    }
    assert!(changes.has_changed().unwrap(), "nobody has to poll");
    let bob_id = bob.me().member_id;
    let told: Vec<_> = alice
        .events()
        .await
        .unwrap()
        .into_iter()
        .filter_map(|event| match event.happening {
            Happening::MessageSent { id, conversation, to, .. } => Some((id, conversation, to)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = sent.iter().map(|id| (*id, bob_id, "bob".to_owned())).collect();
    assert_eq!(told, expected);

    bob.sync(PATIENCE).await.unwrap();
    let alice_id = alice.me().member_id;
    let message = bob.message(&alice_id, &sent[1]).await.unwrap().unwrap();
    assert_eq!((message.text.as_deref(), message.state), (Some("two"), MessageState::Received));
    assert!(bob.message(&bob_id, &sent[1]).await.unwrap().is_none(), "it is not his");
    let text = |entry: &GroupEntry| match entry {
        GroupEntry::Message(message) => message.text.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let page = bob.history_before("alice", None, 2).await.unwrap();
    assert_eq!(page.iter().map(|it| text(&it.entry)).collect::<Vec<_>>(), ["two", "three"]);
    let before = bob.history_before(&alice_id.to_string(), page.next, 2).await.unwrap();
    assert_eq!((text(&before[0].entry), before.len(), before.next), ("one".to_owned(), 1, None));

    assert_eq!(bob.mark_read("alice", page[0].position).await.unwrap(), 1);
    assert_eq!(bob.conversation("alice").await.unwrap().unread, 1);
    let listed = bob.conversations().await.unwrap();
    let last = listed[0].last.as_ref().unwrap();
    assert_eq!((listed.len(), last.summary.as_deref(), listed[0].id), (1, Some("three"), alice_id));
    assert_eq!(bob.mark_read("alice", last.position).await.unwrap(), 0);
    bob.set_draft("alice", "four").await.unwrap();
    assert_eq!(bob.draft("alice").await.unwrap().as_deref(), Some("four"));
    let members = bob.members("", None).await.unwrap();
    assert_eq!(members.iter().map(|it| it.handle.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
    assert_eq!(bob.member("alice").await.unwrap().member_id, alice_id);
    let nobody = bob.conversation("nobody").await.unwrap_err();
    assert_eq!(nobody.code(), ErrorCode::UnknownRecipient);
    let first = crate::MessageRef { author: alice_id, id: sent[0] };
    let edit = alice.edit(first, "uno", &[], PATIENCE).await.unwrap();
    assert!(alice.message(&alice_id, &edit.id).await.unwrap().is_none(), "what acts on messages is none");
    assert_eq!(alice.message(&alice_id, &sent[0]).await.unwrap().unwrap().text.as_deref(), Some("uno"));
}

#[tokio::test]
async fn a_message_is_found_wherever_it_stands_by_as_much_of_its_identifier_as_tells_it_apart() {
    let (_acme, alice, bob) = pair().await;
    alice.sync(PATIENCE).await.unwrap();
    let (crew, _) = alice.create_group("Crew", &["bob"], PATIENCE).await.unwrap();
    let sent = crew.send("in a group", &[], PATIENCE).await.unwrap();
    for found in [alice.find_message("Crew", "last").await, crew.find_message("last").await] {
        assert_eq!(found.unwrap().id, sent.id);
    }

    let to = bob.me().member_id;
    let id = |number: u16| [&number.to_be_bytes()[..], &[7; 14]].concat().try_into().unwrap();
    let write = move |state: &mut State| {
        for number in 0..600 {
            let draft = Draft { to, message_id: id(number), text: "said", attachments: Vec::new() };
            state.handle(Input::Send(draft))?;
        }
        // It begins like one that is far from it.
        let message_id = [&[0, 3, 9][..], &[0; 13]].concat().try_into().unwrap();
        state.handle(Input::Send(Draft { to, message_id, text: "newest", attachments: Vec::new() }))
    };
    alice.shared().worker.call(write).await.unwrap();
    let texts = async |which: &str| alice.find_message("bob", which).await.map(|it| it.text.unwrap());
    assert_eq!(texts("last").await.unwrap(), "newest");
    assert_eq!(texts("LAST").await.unwrap(), "newest");
    for number in [0, 300, 599] {
        let digits = crate::json::hex(&id(number));
        for which in [&digits[..], &digits[..5], &digits.to_ascii_uppercase()[..4]] {
            assert_eq!(alice.find_message("bob", which).await.unwrap().id, id(number), "{which}");
        }
    }
    let code = |error: Error| error.code();
    assert_eq!(texts("0003").await.map_err(code), Err(ErrorCode::MessageAmbiguous));
    assert_eq!(texts("000307").await.unwrap(), "said");
    assert_eq!(texts("000309").await.unwrap(), "newest");
    assert_eq!(texts("000").await.map_err(code), Err(ErrorCode::MessageUnknown), "too short");
    assert_eq!(texts("ffff").await.map_err(code), Err(ErrorCode::MessageUnknown));
    let elsewhere = alice.find_message("nobody", "last").await.map(|it| it.id).map_err(code);
    assert_eq!(elsewhere, Err(ErrorCode::UnknownRecipient));
}
