//! `chancery send`: text and files to a member, until the relay has them or they wait in the outbox.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, MessageState, Outgoing, OutgoingFile, Sent, json};
use serde_json::Value;

use crate::args::{FileArgs, MentionArgs, SendArgs};
use crate::failure::{Failure, system};
use crate::home;
use crate::mention;
use crate::output::Output;
use crate::progress::Bar;
use crate::text::tame_line;

/// How long to wait for the relay.
const PATIENCE: Duration = Duration::from_secs(30);
/// What people read of a message that waits.
pub(crate) const QUEUED: &str = "queued: the next command that reaches the relay sends it";
/// The slowest upload that is waited for: 64 KiB/s. A slower one goes on with the next command.
const SLOWEST: u64 = 64 * 1024;
/// Longest preview that is read, in bytes: one more than the library takes, so that it is the one to refuse.
const MAX_PREVIEW: u64 = 16 * 1024 + 1;

pub(crate) async fn run(args: &SendArgs, output: Output) -> Result<(), Failure> {
    let message = &args.message;
    let text = message.text.join(" ");
    let bar = Bar::new(output);
    let client = home::open_with(&message.home, &bar)?;
    let patience = message.timeout.unwrap_or_else(|| patience_for(PATIENCE, &message.files.file));
    let outgoing = outgoing(&client, text, (&message.files, &message.mentions)).await?;
    let is_plain = outgoing.mentions.is_empty() && outgoing.files.iter().all(|file| file.preview.is_empty());
    let sent = if is_plain {
        // It may wait for somebody whom the directory does not know yet.
        client.send(&args.to, &outgoing.text, &message.files.file, patience).await
    } else {
        client.send_message(&args.to, outgoing, patience).await
    };
    bar.clear();
    let sent = sent?;
    let object = json::sent(&sent);
    finish(sent, &object, output, || format!("sent to {}", tame_line(&args.to)), || QUEUED.to_owned())
}

/// Reads what was typed into a message.
pub(crate) async fn outgoing(
    client: &Client,
    text: String,
    (files, mentions): (&FileArgs, &MentionArgs),
) -> Result<Outgoing, Failure> {
    let mentions = mention::all(client, &text, &mentions.mention).await?;
    let mut read = Vec::with_capacity(files.file.len());
    for (path, preview) in files.file.iter().zip(&files.preview) {
        let preview = preview.as_deref().map(read_preview).transpose()?.unwrap_or_default();
        read.push(OutgoingFile { path: path.clone(), preview, ..OutgoingFile::default() });
    }
    Ok(Outgoing { text, files: read, mentions, ..Outgoing::default() })
}

fn read_preview(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut preview = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_PREVIEW).read_to_end(&mut preview));
    read.map_err(|error| system(&error, &path.display().to_string()))?;
    Ok(preview)
}

/// Says what became of a message: that the relay has it, or that it is queued here, which is no success yet.
pub(crate) fn finish(
    sent: Sent,
    object: &Value,
    output: Output,
    done: impl FnOnce() -> String,
    queued: impl FnOnce() -> String,
) -> Result<(), Failure> {
    if sent.state != MessageState::Queued {
        return output.result(object, done);
    }
    output.result(object, queued)?;
    Err(Failure::Queued(sent.waiting.map_or_else(|| Error::new(ErrorCode::Queued), |it| it.why().clone())))
}

/// Long enough for the files at the slowest speed worth waiting for; the library says what is wrong with a file.
pub(crate) fn patience_for(least: Duration, files: &[PathBuf]) -> Duration {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bytes = files.iter().map(size).fold(0, u64::saturating_add);
    least.saturating_add(Duration::from_secs(bytes / SLOWEST))
}
