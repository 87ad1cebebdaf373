//! `chancery send`: text and files to a member, until the relay has them or they wait in the outbox.

use std::path::PathBuf;
use std::time::Duration;

use chancery::{Client, Error, ErrorCode, MessageState, json};

use crate::args::SendArgs;
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::progress::Bar;
use crate::text::tame_line;

/// How long to wait for the relay.
const PATIENCE: Duration = Duration::from_secs(30);
/// The slowest upload that is waited for: 64 KiB/s. A slower one goes on with the next command.
const SLOWEST: u64 = 64 * 1024;

pub(crate) async fn run(args: &SendArgs, output: Output) -> Result<(), Failure> {
    let message = &args.message;
    let text = message.text.join(" ");
    let home = message.home.folder()?;
    let key = message.home.key.source(Purpose::Open)?;
    let bar = Bar::new(output);
    let client = Client::open_with(&home, &key, bar.function())?;
    let patience = message.timeout.unwrap_or_else(|| patience_for(PATIENCE, &message.file));
    let sent = client.send(&args.to, &text, &message.file, patience).await;
    bar.clear();
    let sent = sent?;
    let queued = sent.state == MessageState::Queued;
    output.result(&json::sent(&sent), || match queued {
        false => format!("sent to {}", tame_line(&args.to)),
        true => "queued: the next command that reaches the relay sends it".to_owned(),
    })?;
    if queued {
        return Err(Failure::Queued(sent.waiting.unwrap_or_else(|| Error::new(ErrorCode::Queued))));
    }
    Ok(())
}

/// Long enough for the files at the slowest speed worth waiting for; the library says what is wrong with a file.
pub(crate) fn patience_for(least: Duration, files: &[PathBuf]) -> Duration {
    let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let bytes = files.iter().map(size).fold(0, u64::saturating_add);
    least.saturating_add(Duration::from_secs(bytes / SLOWEST))
}
