//! `chancery history`: a conversation as this device has it.

use chancery::{Client, GroupEntry, HistoryEntry, json};

use crate::args::HistoryArgs;
use crate::failure::Failure;
use crate::group::{act_text, with_hint};
use crate::home::open;
use crate::message::{self, UNKNOWN};
use crate::output::Output;

pub(crate) async fn run(args: &HistoryArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    match args.last {
        Some(last) => newest(&client, args, last, output).await?,
        None => all(&client, args, output).await?,
    }
    if args.mark_read {
        let end = client.conversation(&args.who).await?.last.map(|last| last.position);
        if let Some(end) = end {
            client.mark_read(&args.who, end).await?;
        }
    }
    Ok(())
}

async fn all(client: &Client, args: &HistoryArgs, output: Output) -> Result<(), Failure> {
    let mut position = 0_u64;
    loop {
        let page = client.history(&args.who, position).await?;
        for entry in page.iter() {
            let files = message::files(entry);
            output.result(&message::object(entry, &files), || {
                message::with_id(args.ids, entry, message::text(entry, &files))
            })?;
        }
        let Some(next) = page.next else { return Ok(()) };
        position = next;
    }
}

/// Prints the last entries, oldest first, of a group too.
async fn newest(client: &Client, args: &HistoryArgs, last: usize, output: Output) -> Result<(), Failure> {
    let mut pages: Vec<Vec<HistoryEntry>> = Vec::new();
    let (mut left, mut before) = (last, None);
    while left > 0 {
        let page = client.history_before(&args.who, before, left).await?;
        left = left.saturating_sub(page.len());
        before = page.next;
        pages.push(page.entries);
        if before.is_none() {
            break;
        }
    }
    for found in pages.into_iter().rev().flatten() {
        let mut object = json::history_entry(&found);
        if let GroupEntry::Act(act) = &found.entry {
            object = with_hint(act, object);
        }
        output.result(&object, || match &found.entry {
            GroupEntry::Message(entry) => {
                message::with_id(args.ids, entry, message::text(entry, &message::files(entry)))
            }
            GroupEntry::Act(act) => act_text(act),
            _ => UNKNOWN.to_owned(),
        })?;
    }
    Ok(())
}
