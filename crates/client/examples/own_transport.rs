//! A transport of the application's own: the device speaks to a gateway over a line, and the gateway speaks to the relay.
//!
//! The line is one in memory here. It may be whatever carries frames in order: a serial port, a satellite modem, a socket through a
//! proxy. The gateway needs no key: it counts what passes, and can do no more with it.
//!
//! ```sh
//! cargo run -p chancery --example own_transport
//! ```
#![allow(clippy::print_stdout, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use chancery::transport::{
    BoxFuture, ConnectError, Connector, Link, LinkReceiver, LinkSender, Transport, WebSocket, memory,
};
use chancery::{Client, read_or_create_key_file};
use chancery_dev::{Organisation, PATIENCE};

/// The transport: whatever the organisation's relay is, it is reached through the gateway.
#[derive(Clone, Default)]
struct Gateway {
    up: Arc<AtomicUsize>,
    down: Arc<AtomicUsize>,
}

impl Transport for Gateway {
    fn connector(&self, url: &str, pin: &[u8; 32]) -> Result<Arc<dyn Connector>, chancery::Error> {
        // The gateway checks the relay's key. One in another place would have to be trusted to do so.
        Ok(Arc::new(Line { gateway: self.clone(), relay: WebSocket.connector(url, pin)? }))
    }
}

/// Makes a line for each connection.
struct Line {
    gateway: Gateway,
    relay: Arc<dyn Connector>,
}

impl Connector for Line {
    fn connect(&self) -> BoxFuture<'_, Result<Box<dyn Link>, ConnectError>> {
        Box::pin(async move {
            let relay = self.relay.connect().await?;
            let (device, line) = memory::pair(memory::Faults::none());
            tokio::spawn(carry(Box::new(line), relay, self.gateway.clone()));
            Ok(Box::new(device) as Box<dyn Link>)
        })
    }
}

/// The gateway: frames of the line go to the relay, and the relay's to the line, until either ends.
async fn carry(line: Box<dyn Link>, relay: Box<dyn Link>, gateway: Gateway) {
    let ((to_device, from_device), (to_relay, from_relay)) = (line.split(), relay.split());
    tokio::join!(pump(from_device, to_relay, &gateway.up), pump(from_relay, to_device, &gateway.down));
}

async fn pump(mut from: Box<dyn LinkReceiver>, mut to: Box<dyn LinkSender>, bytes: &AtomicUsize) {
    while let Ok(Some(frame)) = from.receive().await {
        bytes.fetch_add(frame.len(), Ordering::Relaxed);
        if to.send(frame).await.is_err() {
            break;
        }
    }
    to.close().await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), chancery_dev::Error> {
    let acme = Organisation::start("Acme").await?;
    let bob = acme.member("bob").await?;

    let gateway = Gateway::default();
    let (home, key) = (acme.folder().join("alice"), acme.folder().join("alice.key"));
    let (key, link) = (read_or_create_key_file(key)?, acme.invite("alice")?);
    let alice =
        Client::enroll_over(Arc::new(gateway.clone()), (&home, &key), &link, PATIENCE, |_| {}).await?;
    println!("enrolled: {}", counted(&gateway));

    alice.send("bob", "Through the gateway", &[], PATIENCE).await?;
    bob.sync(PATIENCE).await?;
    println!("bob has {} message: {}", bob.history("alice", 0).await?.len(), counted(&gateway));

    // A home belongs to no transport: the next process may take another.
    drop(alice);
    let alice = Client::open_over(&home, &key, Arc::new(gateway.clone()), None)?;
    bob.send("alice", "And back", &[], PATIENCE).await?;
    println!("alice took over {}: {}", alice.sync(PATIENCE).await?, counted(&gateway));
    Ok(())
}

fn counted(gateway: &Gateway) -> String {
    let [up, down] = [&gateway.up, &gateway.down].map(|bytes| bytes.load(Ordering::Relaxed));
    format!("{up} bytes up, {down} bytes down")
}
