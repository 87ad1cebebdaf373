//! Conversations and what became of own messages, as an application is told.

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
            Happening::MessageSent { id, conversation, to } => Some((id, conversation, to)),
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
