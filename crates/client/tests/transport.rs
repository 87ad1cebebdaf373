//! Clients over transports of the application's own: everything goes through them, and their faults are told as errors.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery::transport::{BoxFuture, ConnectError, Connector, Link, Transport, WebSocket};
use chancery::{Client, Error, ErrorCode, Happening, MessageState, read_or_create_key_file};
use chancery_dev::{Organisation, PATIENCE};

/// Counts connections, and makes none once it was told why not.
#[derive(Clone, Default)]
struct Counted {
    connections: Arc<AtomicUsize>,
    fault: Option<ConnectError>,
}

impl Transport for Counted {
    fn connector(&self, url: &str, pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error> {
        Ok(Arc::new(CountedConnector(self.clone(), WebSocket.connector(url, pin)?)))
    }
}

struct CountedConnector(Counted, Arc<dyn Connector>);

impl Connector for CountedConnector {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
        match self.0.fault {
            Some(fault) => Box::pin(async move { Err(fault) }),
            None => self.1.connect(),
        }
    }
}

/// Understands no address.
struct Deaf;

impl Transport for Deaf {
    fn connector(&self, _url: &str, _pin: &[u8; 32]) -> Result<Arc<dyn Connector>, Error> {
        Err(ErrorCode::RelayUrl.into())
    }
}

#[tokio::test]
async fn enrolment_messages_and_files_go_through_the_transport_and_by_no_other_way()
-> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let bob = acme.member("bob").await?;
    let (home, key) = (acme.folder().join("alice"), acme.folder().join("alice.key"));
    let (key, link) = (read_or_create_key_file(key)?, acme.invite("alice")?);

    // Nothing is enrolled by a way around a transport that fails, and the same link is good afterwards.
    let refused = Client::enroll_over(Arc::new(Deaf), (&home, &key), &link, PATIENCE, |_| {}).await.map(drop);
    assert_eq!(refused.map_err(|error| error.code()), Err(ErrorCode::InvitationDamaged));
    let cases = [
        (ConnectError::Unreachable, ErrorCode::RelayUnreachable),
        (ConnectError::WrongPin, ErrorCode::WrongRelay),
    ];
    for (fault, code) in cases {
        let way = Counted { fault: Some(fault), ..Counted::default() };
        let refused =
            Client::enroll_over(Arc::new(way.clone()), (&home, &key), &link, PATIENCE, |_| {}).await;
        assert_eq!(refused.map(drop).map_err(|error| error.code()), Err(code));
        assert_ne!(way.connections.load(Ordering::Relaxed), 0);
    }

    let way = Counted::default();
    let connections = || way.connections.swap(0, Ordering::Relaxed);
    let alice = Client::enroll_over(Arc::new(way.clone()), (&home, &key), &link, PATIENCE, |_| {}).await?;
    assert_ne!(connections(), 0, "enrolled");
    let file = acme.folder().join("notes.txt");
    std::fs::write(&file, "Tea at four.")?;
    bob.send("alice", "The notes", &[file], PATIENCE).await?;
    alice.sync(PATIENCE).await?;
    assert_ne!(connections(), 0, "received");
    let events = alice.events().await?;
    let message = events.iter().find_map(|event| match &event.happening {
        Happening::Message(message) => Some(message),
        _ => None,
    });
    let saved = alice.save_attachment(message.unwrap(), 0, acme.folder()).await?;
    assert_eq!(std::fs::read_to_string(saved)?, "Tea at four.");
    drop(alice);

    // A home opened over a transport that fails keeps what is sent, and says why; over one that works, it goes.
    let fault = Some(ConnectError::Unreachable);
    let cut = Counted { fault, ..Counted::default() };
    let alice = Client::open_over(&home, &key, Arc::new(cut.clone()), None)?;
    let sent = alice.send("bob", "Later", &[], PATIENCE).await?;
    assert_eq!(sent.state, MessageState::Queued);
    assert_eq!(sent.waiting.map(|error| error.code()), Some(ErrorCode::RelayUnreachable));
    assert_ne!(cut.connections.load(Ordering::Relaxed), 0);
    drop(alice);
    connections();
    Client::open_over(&home, &key, Arc::new(way.clone()), None)?.sync(PATIENCE).await?;
    assert_ne!(connections(), 0, "sent");
    bob.sync(PATIENCE).await?;
    assert_eq!(bob.history("alice", 0).await?.len(), 2);
    Ok(())
}
