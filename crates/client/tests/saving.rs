//! Files of messages on a disk.
#![cfg(test)]

use chancery::{ErrorCode, Happening, MessageRef};
use chancery_dev::{Organisation, PATIENCE};

#[tokio::test]
async fn a_file_whose_message_has_gone_meanwhile_is_not_left_on_the_disk() -> Result<(), chancery_dev::Error>
{
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    let file = acme.folder().join("notes.txt");
    std::fs::write(&file, "Tea at four.")?;
    let sent = alice.send("bob", "The notes", &[file], PATIENCE).await?;
    bob.sync(PATIENCE).await?;
    let events = bob.events().await?;
    let message = events.iter().find_map(|event| match &event.happening {
        Happening::Message(message) => Some(message),
        _ => None,
    });
    let message = message.unwrap();
    let folder = acme.folder().join("downloads");
    let path = bob.save_attachment(message, 0, &folder).await?;
    assert_eq!(std::fs::read_to_string(path)?, "Tea at four.");

    alice.delete(MessageRef { author: alice.me().member_id, id: sent.id }, PATIENCE).await?;
    bob.sync(PATIENCE).await?;
    let chosen = folder.join("chosen.txt");
    let refused = bob.save_attachment(message, 0, &folder).await.map_err(|error| error.code());
    assert_eq!(refused, Err(ErrorCode::MessageUnknown));
    let refused = bob.save_attachment_as(message, 0, &chosen).await.map_err(|error| error.code());
    assert_eq!(refused, Err(ErrorCode::MessageUnknown));
    assert_eq!(std::fs::read_dir(&folder)?.count(), 1, "what was saved before");
    Ok(())
}

#[tokio::test]
async fn a_file_of_many_chunks_is_read_into_memory_as_it_was_sent() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);
    let content: Vec<u8> = (0..300_001_u32).map(|it| (it % 251) as u8).collect();
    let file = acme.folder().join("picture");
    std::fs::write(&file, &content)?;
    alice.send("bob", "Look", &[file], PATIENCE).await?;
    bob.sync(PATIENCE).await?;
    let events = bob.events().await?;
    let message = events.iter().find_map(|event| match &event.happening {
        Happening::Message(message) => Some(message),
        _ => None,
    });
    let read = bob.read_attachment(message.unwrap(), 0, 1 << 20).await?;
    assert!(read.expose() == content.as_slice());
    let refused = bob.read_attachment(message.unwrap(), 0, 300_000).await.map_err(|error| error.code());
    assert_eq!(refused.err(), Some(ErrorCode::MessageTooLarge));
    Ok(())
}
