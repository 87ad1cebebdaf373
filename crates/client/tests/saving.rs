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
