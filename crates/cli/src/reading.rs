//! `chancery read`, `settings`, `typing` and `disappearing`: what was read, what others are told, and how long messages stay.

use std::time::Duration;

use chancery::{Client, Connection, Message, ReceiptSettings, json};

use crate::args::{DisappearingArgs, HomeArgs, ReadArgs, SettingsArgs, TimeLimit, TypingArgs};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::message::called;
use crate::output::Output;
use crate::text::{short_time, span, tame_line};

fn open(home: &HomeArgs) -> Result<Client, Failure> {
    let folder = home.folder()?;
    Ok(Client::open(&folder, &home.key.source(Purpose::Open)?)?)
}

/// Sends what this command has left to send; whatever connects next does it as well.
async fn hand_over(client: &Client, patience: Duration, output: Output) {
    if let Err(error) = client.send_waiting(patience).await {
        tracing::info!(code = error.code().name(), "receipts wait");
        output.note("the relay was not reached: the next command that does tells the others");
    }
}

pub(crate) async fn read(args: &ReadArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    let before = client.conversation(&args.who).await?;
    let left = match &before.last {
        Some(last) => client.mark_read(&args.who, last.position).await?,
        None => before.unread,
    };
    let count = before.unread.saturating_sub(left);
    output.result(&serde_json::json!({ "read": count }), || match count {
        1 => "1 message is read now".to_owned(),
        count => format!("{count} messages are read now"),
    })?;
    if count > 0 {
        hand_over(&client, args.timeout, output).await;
    }
    Ok(())
}

pub(crate) async fn settings(args: &SettingsArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    let before = client.receipt_settings().await?;
    let after = ReceiptSettings {
        read: args.read_receipts.map_or(before.read, |it| it.0),
        delivery: args.delivery_receipts.map_or(before.delivery, |it| it.0),
        typing: args.typing.map_or(before.typing, |it| it.0),
    };
    if after != before {
        client.set_receipt_settings(after).await?;
    }
    let word = |is_on: bool| if is_on { "on" } else { "off" };
    output.result(&json::receipt_settings(&after), || {
        let (read, delivery, typing) = (word(after.read), word(after.delivery), word(after.typing));
        format!("read receipts {read}, delivery receipts {delivery}, typing {typing}")
    })?;
    if after != before {
        hand_over(&client, args.timeout, output).await;
    }
    Ok(())
}

pub(crate) async fn disappearing(args: &DisappearingArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    if let Some(TimeLimit(after)) = args.after {
        client.set_disappearing(&args.who, after).await?;
    }
    let after = client.disappearing(&args.who).await?;
    output.result(&json::disappearing(after), || match after {
        Some(after) => {
            format!("what you write to {} disappears {} after it was read", tame_line(&args.who), span(after))
        }
        None => format!("what you write to {} stays", tame_line(&args.who)),
    })?;
    if args.after.is_some() {
        hand_over(&client, args.timeout, output).await;
    }
    Ok(())
}

pub(crate) async fn typing(args: &TypingArgs, output: Output) -> Result<(), Failure> {
    let told = open(&args.home)?.typing(&args.who, args.stop).await?;
    output.result(&serde_json::json!({ "told": told }), || match told {
        0 => "nobody was told".to_owned(),
        1 => "1 device was told".to_owned(),
        many => format!("{many} devices were told"),
    })
}

/// Returns what people are shown of receipts behind a message of their own.
pub(crate) fn receipts_text(message: &Message) -> String {
    let read = message.receipts.iter().filter(|it| it.read_at.is_some()).count();
    match (message.group.is_some(), read) {
        (true, 0) => String::new(),
        (true, read) => format!(" (read by {read})"),
        (false, 0) if message.receipts.iter().any(|it| it.delivered_at.is_some()) => {
            " (delivered)".to_owned()
        }
        (false, 0) => String::new(),
        (false, _) => " (read)".to_owned(),
    }
}

/// Returns the line that says that a message of one's own was delivered or read.
pub(crate) fn receipt_text(message: &Message, (member, handle): (&str, &str), read: bool) -> String {
    let (who, at) = (called(member, handle), short_time(message.sent_at.as_millis()));
    match read {
        true => format!("* {who} has read your message of {at}"),
        false => format!("* your message of {at} has come to {who}"),
    }
}

/// Returns the line for people about how a follower stands to the relay.
pub(crate) fn connection_text(now: &Connection) -> String {
    match now {
        Connection::Waiting { why, .. } => format!("* not connected: {}", tame_line(&why.to_string())),
        other => format!("* {}", other.name().replace('-', " ")),
    }
}

/// Returns the line that says that somebody is writing, or no longer.
pub(crate) fn typing_text(member: &str, handle: &str, stopped: bool) -> String {
    let who = called(member, handle);
    if stopped { format!("* {who} has stopped writing") } else { format!("* {who} is writing") }
}
