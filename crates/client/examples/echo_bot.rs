//! A bot that answers every message with its own text, to a member and in groups.
//!
//! ```sh
//! chancery org invite echo --bot --owner alice --dir acme     # prints the link
//! cargo run -p chancery --example echo_bot -- echo-home echo.key chancery:…
//! ```
//!
//! The link is needed once. Killed at any moment, with `kill -9` too, it loses no message: an event is taken only after the answer is
//! stored, and what was not taken comes again with the same identifier. Killed between the two, it answers twice; a bot that
//! must not writes the identifier down with whatever it does.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, Happening, KeySource, Message, read_or_create_key_file};

/// How long to wait for the relay.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before what failed for now is tried again.
const PAUSE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(home), Some(key)) = (arguments.next().map(PathBuf::from), arguments.next()) else {
        return Err("usage: echo_bot HOME KEY-FILE [LINK]".into());
    };
    let bot = open(&home, &read_or_create_key_file(key)?, arguments.next()).await?;
    println!("ready {}", bot.me().handle);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    tokio::select! {
        ended = bot.follow(stop) => ended?, // receives, sends what waits, reconnects
        failed = answer_all(&bot) => failed?,
    }
    Ok(())
}

/// Opens the bot's home; with a link it is enrolled first, or its enrolment ended that was interrupted.
async fn open(home: &Path, key: &KeySource, link: Option<String>) -> Result<Client, Error> {
    match (Client::open(home, key), link) {
        (Err(error), Some(link))
            if matches!(error.code(), ErrorCode::StoreNotFound | ErrorCode::NotEnrolled) =>
        {
            Client::enroll(home, key, &link, PATIENCE).await
        }
        (opened, _) => opened,
    }
}

async fn answer_all(bot: &Client) -> Result<(), Error> {
    let mut events = bot.event_stream();
    loop {
        let event = events.next().await?;
        if let Happening::Message(message) = &event.happening {
            while let Err(error) = answer(bot, message).await {
                eprintln!("{}: {error}", error.code().name());
                if !error.is_retryable() {
                    break; // somebody who has left, say: the others must not wait for it
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        bot.take_events(event.number).await?;
    }
}

async fn answer(bot: &Client, message: &Message) -> Result<(), Error> {
    let Some(text) = message.text.as_deref().filter(|text| !text.is_empty()) else { return Ok(()) };
    if message.from == bot.me().member_id {
        return Ok(()); // from another device of this bot
    }
    println!("answering {text}");
    // Stored, at least, and sent as soon as there is a relay.
    match &message.group {
        Some(_) => bot.group(&message.conversation.to_string()).await?.send(text, &[], PATIENCE).await?,
        None => bot.send(&message.from.to_string(), text, &[], PATIENCE).await?,
    };
    Ok(())
}
