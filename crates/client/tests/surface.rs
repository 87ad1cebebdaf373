//! What an application with a window relies on: the line, files that are on no disk and how far they have come, who can read, what
//! changes without a message, and giving the home back.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chancery::organisation::{Administrator, SignedWith};
use chancery::transport::{BoxFuture, ConnectError, Connector, Link, Transport};
use chancery::{
    Client, Connection, Delivery, DeviceId, Direction, Error, ErrorCode, Event, Happening, Message, Outgoing,
    OutgoingFile, Progress, Reader, Timestamp, read_key_file, read_or_create_key_file,
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

#[tokio::test]
async fn who_can_read_is_everybody_with_every_device_and_nobody_else() -> Result<(), chancery_dev::Error> {
    let (acme, alice, bob) = two_people().await?;
    let carol = acme.member("carol").await?;
    let of = |readers: Vec<Reader>| -> BTreeMap<String, Vec<DeviceId>> {
        readers.into_iter().map(|it| (it.handle, it.devices)).collect()
    };
    let devices = |clients: &[&Client]| -> BTreeMap<String, Vec<DeviceId>> {
        clients.iter().map(|it| (it.me().handle.clone(), vec![it.me().device_id])).collect()
    };
    alice.resolve("bob").await?;
    assert_eq!(of(alice.readers("bob").await?), devices(&[&alice, &bob]));
    let id = bob.me().member_id.to_string();
    assert_eq!(of(alice.readers(&id).await?), devices(&[&alice, &bob]));
    assert_eq!(of(alice.readers("alice").await?), devices(&[&alice]), "a note to oneself");
    drop(alice.create_group("Crew", &["bob", "carol"], PATIENCE).await?);
    assert_eq!(of(alice.readers("Crew").await?), devices(&[&alice, &bob, &carol]));
    let refused = alice.readers("nobody").await.map(drop).map_err(|it| it.code());
    assert_eq!(refused, Err(ErrorCode::UnknownRecipient));
    let readers = alice.readers("bob").await?;
    let printed = chancery::json::reader(readers.first().expect("two read it"));
    assert_eq!((&printed["handle"], &printed["kind"]), (&"bob".into(), &"member".into()));
    assert_eq!(printed["devices"][0], bob.me().device_id.to_string());
    Ok(())
}

/// A second device of a member, beside the first.
async fn second(acme: &Organisation, first: &Client) -> Result<Client, chancery_dev::Error> {
    let link = first.device_link().await?;
    let key = read_or_create_key_file(acme.folder().join("second.key"))?;
    let home = acme.folder().join("second");
    let (tell, told) = tokio::sync::oneshot::channel();
    let show = |code: &str| tell.send(code.to_owned()).unwrap_or_default();
    let enrolling = Client::enroll_with(&home, &key, &link.link, PATIENCE, show);
    let approving = async {
        let code = told.await?;
        first.sync(PATIENCE).await?;
        let asked: Vec<Happening> = first.events().await?.into_iter().map(|it| it.happening).collect();
        let is_this =
            |it: &Happening| matches!(it, Happening::DeviceRequest { code: asked } if *asked == code);
        assert!(asked.iter().any(is_this), "{asked:?}");
        first.approve_device(&code, PATIENCE).await?;
        let left = first.events().await?;
        let asks = |it: &Event| matches!(it.happening, Happening::DeviceRequest { .. });
        assert!(!left.iter().any(asks), "what is over is not told any more");
        Ok::<(), chancery_dev::Error>(())
    };
    let (enrolled, approved) = tokio::join!(enrolling, approving);
    approved?;
    Ok(enrolled?)
}

async fn news(client: &Client) -> Result<Vec<Happening>, chancery_dev::Error> {
    client.sync(PATIENCE).await?;
    let mut found = Vec::new();
    for event in client.events().await? {
        client.take_events(event.number).await?;
        found.push(event.happening);
    }
    Ok(found)
}

#[tokio::test]
async fn what_another_own_device_reads_and_what_disappears_comes_as_events_r_engine_131()
-> Result<(), chancery_dev::Error> {
    let (acme, alice, bob) = two_people().await?;
    let desk = second(&acme, &bob).await?;
    let alice_id = alice.me().member_id;
    alice.sync(PATIENCE).await?;
    let sent = alice.send("bob", "Tea at four?", &[], PATIENCE).await?;
    assert_eq!(sent.reference(), sent_reference(&alice, sent.id));
    let settled = news(&alice).await?.into_iter().find_map(|it| match it {
        Happening::MessageSent { message, .. } => Some(message),
        _ => None,
    });
    assert_eq!(settled, Some(sent.reference()));
    news(&bob).await?;
    news(&desk).await?;
    let position = desk.find_message("alice", "last").await?.position.ok_or("no position")?;
    assert_eq!(bob.conversation("alice").await?.unread, 1);
    desk.mark_read("alice", position).await?;
    desk.send_waiting(PATIENCE).await?;
    let heard = news(&bob).await?;
    let is_read = |it: &Happening| matches!(it, Happening::Read { conversation, unread: 0 } if *conversation == alice_id);
    assert_eq!(heard.iter().filter(|it| is_read(it)).count(), 1, "{heard:?}");
    news(&alice).await?;
    let delivery = alice.find_message("bob", "last").await?.delivery();
    assert_eq!(delivery, Some(Delivery::Read { by: 1, of: Some(1) }));

    alice.set_disappearing("bob", Some(Duration::from_secs(1))).await?;
    alice.send("bob", "Only for now", &[], PATIENCE).await?;
    news(&bob).await?;
    let message = bob.find_message("alice", "last").await?;
    assert_eq!(message.expires_at, None, "its time has not begun");
    bob.mark_read("alice", message.position.ok_or("no position")?).await?;
    let read = bob.message(&message.from, &message.id).await?.ok_or("gone already")?;
    assert!(read.expires_at > read.read_at);
    let mut changes = bob.changes();
    changes.mark_unchanged();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(bob.message(&message.from, &message.id).await?.is_none());
    assert!(changes.has_changed()?, "whoever waits for events is woken");
    let heard = bob.events().await?;
    let is_gone =
        |it: &&Event| matches!(it.happening, Happening::Gone { conversation } if conversation == alice_id);
    assert_eq!(heard.iter().filter(is_gone).count(), 1, "{heard:?}");
    Ok(())
}

#[tokio::test]
async fn a_closed_client_has_released_its_home_and_its_clones_say_so() -> Result<(), chancery_dev::Error> {
    let (acme, alice, _bob) = two_people().await?;
    let clone = alice.clone();
    let follower = alice.clone();
    let following = tokio::spawn(async move { follower.follow(std::future::pending()).await });
    until(&alice, |now| *now == Connection::Connected).await;
    let mut events = alice.event_stream();
    alice.close().await?;
    let closed = Err(ErrorCode::ClientClosed);
    assert_eq!(clone.events().await.map(drop).map_err(|it| it.code()), closed);
    assert_eq!(events.next().await.map(drop).map_err(|it| it.code()), closed);
    assert_eq!(clone.send("bob", "Tea?", &[], PATIENCE).await.map(drop).map_err(|it| it.code()), closed);
    let ended = tokio::time::timeout(PATIENCE, following).await??;
    assert_eq!(ended.map_err(|it| it.code()), closed);
    clone.close().await?;

    // Nothing holds the folder any more: it can be moved, and opened where it is then.
    let moved = acme.folder().join("moved");
    std::fs::rename(acme.folder().join("alice"), &moved)?;
    let alice = Client::open(&moved, &read_key_file(acme.folder().join("alice.key"))?)?;
    assert_eq!(alice.me().handle, "alice");
    Ok(())
}
