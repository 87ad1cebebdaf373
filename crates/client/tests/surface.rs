//! What an application with a window relies on: the line, files that are on no disk, how far they have come.
#![cfg(test)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery::organisation::{Administrator, SignedWith};
use chancery::transport::{BoxFuture, ConnectError, Connector, Link, Transport};
use chancery::{
    Client, Connection, Direction, Error, ErrorCode, Message, Outgoing, OutgoingFile, Progress, Timestamp,
    read_key_file,
};
use chancery_dev::{Organisation, PATIENCE, two_people};

/// Reaches nothing.
struct Dead;

impl Transport for Dead {
    fn connector(&self, _url: &str, _pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Connector for Dead {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        Box::pin(async { Err(ConnectError::Unreachable) })
    }
}

async fn until(client: &Client, is_it: impl Fn(&Connection) -> bool) -> Connection {
    let mut line = client.connection();
    let found = tokio::time::timeout(PATIENCE, line.wait_for(is_it)).await;
    found.unwrap().unwrap().clone()
}

#[tokio::test]
async fn a_follower_says_how_it_stands_to_the_relay_and_why_it_waits() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let bob = acme.member("bob").await?;
    assert_eq!(*bob.connection().borrow(), Connection::Off);
    let follower = bob.clone();
    let following = tokio::spawn(async move { follower.follow(std::future::pending()).await });
    until(&bob, |now| *now == Connection::Connected).await;
    following.abort();
    let _ = following.await;
    assert_eq!(*bob.connection().borrow(), Connection::Off, "a follower that was dropped says so");
    drop(bob);

    let key = read_key_file(acme.folder().join("bob.key"))?;
    let bob = Client::open_over(&acme.folder().join("bob"), &key, Arc::new(Dead), None)?;
    let follower = bob.clone();
    let following = tokio::spawn(async move { follower.follow(std::future::pending()).await });
    let waiting = until(&bob, |now| matches!(now, Connection::Waiting { .. })).await;
    let Connection::Waiting { why, until: then } = waiting else { unreachable!() };
    assert_eq!(why.code(), ErrorCode::RelayUnreachable);
    assert!(then > Timestamp::from_millis(0));
    until(&bob, |now| *now == Connection::Connecting).await;
    following.abort();
    Ok(())
}

async fn received(client: &Client) -> Result<Message, chancery_dev::Error> {
    client.sync(PATIENCE).await?;
    Ok(client.find_message("alice", "last").await?)
}

#[tokio::test]
async fn a_file_from_memory_has_its_name_and_is_read_without_a_disk_r_engine_130()
-> Result<(), chancery_dev::Error> {
    let (acme, alice, bob) = two_people().await?;
    let content: Vec<u8> = (0..300_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    let path = acme.folder().join("tmp8f3a.png");
    std::fs::write(&path, "a picture")?;
    let files = vec![
        OutgoingFile::from_bytes("../report: May.pdf", content.clone()),
        OutgoingFile { name: Some("sketch.png".into()), ..OutgoingFile::from_path(&path) },
        OutgoingFile::from_bytes("empty", Vec::new()),
    ];
    alice.send_message("bob", Outgoing { files, ..Outgoing::default() }, PATIENCE).await?;
    let message = received(&bob).await?;
    let named: Vec<_> =
        message.files.iter().map(|it| (it.name.as_str(), it.media_type.as_str(), it.size)).collect();
    assert_eq!(
        named,
        [("report_ May.pdf", "application/pdf", 300_000), ("sketch.png", "image/png", 9), ("empty", "", 0)]
    );
    assert_eq!(bob.read_attachment(&message, 0, 300_000).await?.expose(), content);
    assert_eq!(bob.read_attachment(&message, 2, 0).await?.expose(), b"");
    let refused = bob.read_attachment(&message, 0, 299_999).await.map(drop).map_err(|it| it.code());
    assert_eq!(refused, Err(ErrorCode::MessageTooLarge));
    let refused = bob.read_attachment(&message, 3, 1).await.map(drop).map_err(|it| it.code());
    assert_eq!(refused, Err(ErrorCode::Usage));

    let chosen = acme.folder().join("chosen.png");
    std::fs::write(&chosen, "what was there")?;
    bob.save_attachment_as(&message, 1, &chosen).await?;
    assert_eq!(std::fs::read(&chosen)?, b"a picture");
    let now = bob.message(&message.from, &message.id).await?.ok_or("gone")?;
    assert_eq!(now.files[1].path.as_deref(), chosen.to_str());

    // What may not be saved can still be shown.
    let key = read_key_file(acme.folder().join("organisation.key"))?;
    let administrator = Administrator::open(&acme.folder().join("organisation"), &key, Some("test"))?;
    let with = SignedWith { file: None, key: &key };
    administrator.change_policy(with, |mut policy| {
        policy.may_save_attachments = false;
        Ok(policy)
    })?;
    administrator.send().await?;
    bob.sync(PATIENCE).await?;
    let refused = bob.save_attachment_as(&message, 1, &chosen).await.map_err(|it| it.code());
    assert_eq!(refused, Err(ErrorCode::PolicyForbids));
    assert_eq!(bob.read_attachment(&message, 1, 9).await?.expose(), b"a picture");
    Ok(())
}

#[tokio::test]
async fn an_own_file_that_is_still_to_be_uploaded_is_read_from_the_spool() -> Result<(), chancery_dev::Error>
{
    let (acme, alice, _bob) = two_people().await?;
    alice.sync(PATIENCE).await?;
    drop(alice);
    let key = read_key_file(acme.folder().join("alice.key"))?;
    let alice = Client::open_over(&acme.folder().join("alice"), &key, Arc::new(Dead), None)?;
    let files = vec![OutgoingFile::from_bytes("note.txt", b"Tea at four".to_vec())];
    let sent = alice.send_message("bob", Outgoing { files, ..Outgoing::default() }, Duration::ZERO).await?;
    let message = alice.message(&alice.me().member_id, &sent.id).await?.ok_or("gone")?;
    assert_eq!(alice.read_attachment(&message, 0, 100).await?.expose(), b"Tea at four");
    let saved = alice.save_attachment(&message, 0, acme.folder()).await?;
    assert_eq!(std::fs::read(saved)?, b"Tea at four");
    Ok(())
}

#[tokio::test]
async fn progress_names_the_message_and_counts_bytes_of_the_file() -> Result<(), chancery_dev::Error> {
    let (_acme, alice, bob) = two_people().await?;
    let told: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let listen = |client: &Client| {
        let told = Arc::clone(&told);
        client.set_progress(Some(Arc::new(move |it: &Progress| told.lock().unwrap().push(it.clone()))));
    };
    listen(&alice);
    let files = vec![
        OutgoingFile::from_bytes("small", vec![1; 10]),
        OutgoingFile::from_bytes("image.jpg", vec![2; 700_000]),
    ];
    let sent = alice.send_message("bob", Outgoing { files, ..Outgoing::default() }, PATIENCE).await?;
    let message = received(&bob).await?;
    assert_eq!(message.reference(), sent_reference(&alice, sent.id));
    let told_of = |index: usize, direction: Direction| {
        let told = std::mem::take(&mut *told.lock().unwrap());
        let of = told.into_iter().filter(|it| it.index == index);
        let counts: Vec<u64> = of
            .map(|it| {
                assert_eq!((it.message, it.direction), (message.reference(), direction));
                assert_eq!((it.name.as_str(), it.total), ("image.jpg", 700_000));
                it.done
            })
            .collect();
        assert!(counts.len() > 1 && counts.is_sorted(), "{counts:?}");
        assert_eq!(counts.last(), Some(&700_000));
    };
    told_of(1, Direction::Sending);
    listen(&bob);
    bob.read_attachment(&message, 1, 700_000).await?;
    told_of(1, Direction::Receiving);
    bob.set_progress(None);
    bob.read_attachment(&message, 1, 700_000).await?;
    assert!(told.lock().unwrap().is_empty());
    Ok(())
}

fn sent_reference(client: &Client, id: [u8; 16]) -> chancery::MessageRef {
    chancery::MessageRef { author: client.me().member_id, id }
}
