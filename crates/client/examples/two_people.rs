//! Two people in one process: a message with a file, an answer, and the conversation as each has it.
//!
//! ```sh
//! cargo run -p chancery --example two_people
//! ```
#![allow(clippy::print_stdout, reason = "an example")]

use std::fs;

use chancery::{Client, Happening, Message};
use chancery_dev::{Error, Organisation, PATIENCE};
use tokio::sync::oneshot;
use tokio::time::timeout;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    // In real life the organisation is there already, and each of the two is on a machine of their own.
    let acme = Organisation::start("Acme").await?;
    let (alice, bob) = (acme.member("alice").await?, acme.member("bob").await?);

    // Bob's application stays connected in a task of its own, for as long as it runs.
    let (stop, stopped) = oneshot::channel::<()>();
    let follower = bob.clone();
    let following = tokio::spawn(async move { follower.follow(async { drop(stopped.await) }).await });

    let notes = acme.folder().join("notes.txt");
    fs::write(&notes, "Tea at four.")?;
    let sent = alice.send("bob", "The notes", &[notes], PATIENCE).await?;
    println!("alice: The notes + notes.txt ({:?})", sent.state);

    let message = timeout(PATIENCE, next_message(&bob)).await??;
    println!("bob hears from {}: {}", message.handle, message.text.as_deref().unwrap_or_default());
    let file = bob.save_attachment(&message, 0, &acme.folder().join("downloads")).await?;
    println!("bob reads in the file: {}", fs::read_to_string(file)?);
    bob.send("alice", "Thank you!", &[], PATIENCE).await?;

    // Alice's application is one that connects now and then.
    alice.sync(PATIENCE).await?;
    let answer = timeout(PATIENCE, next_message(&alice)).await??;
    println!("alice hears from {}: {}", answer.handle, answer.text.as_deref().unwrap_or_default());

    for (who, with) in [(&alice, "bob"), (&bob, "alice")] {
        println!("{} has of the conversation with {with}:", who.me().handle);
        for message in who.history(with, 0).await?.iter() {
            println!("  {}", message.text.as_deref().unwrap_or("(of a later version)"));
        }
    }
    drop(stop);
    following.await??;
    Ok(())
}

/// Waits for the next message and says that it was shown. Other events are taken and passed over.
async fn next_message(client: &Client) -> Result<Message, Error> {
    let mut events = client.event_stream();
    loop {
        let event = events.next().await?;
        // An application shows it here, and only then takes it.
        client.take_events(event.number).await?;
        if let Happening::Message(message) = event.happening {
            return Ok(*message);
        }
    }
}
