//! `chancery conversations`, `chancery members`, `chancery readers` and `chancery draft`: what there is, with whom, who reads it, and what was begun.

use std::io::Read as _;

use chancery::{Conversation, GroupEntry, Kind, LastEntry, MEMBERS_AT_ONCE, Member, Reader, json};
use serde_json::json as object;

use crate::args::{ConversationsArgs, DraftArgs, MembersArgs, ReadersArgs};
use crate::failure::{Failure, system};
use crate::group::act_text;
use crate::home::open;
use crate::message::{UNKNOWN, called};
use crate::output::Output;
use crate::text::{short_time, tame_line};

/// Longest draft that is read, in bytes: one more than the library keeps, so that it is the one to refuse.
const MAX_DRAFT: u64 = 32 * 1024 + 1;

pub(crate) async fn list(args: &ConversationsArgs, output: Output) -> Result<(), Failure> {
    for conversation in open(&args.home)?.conversations().await? {
        output.result(&json::conversation(&conversation), || text(&conversation))?;
    }
    Ok(())
}

pub(crate) async fn members(args: &MembersArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    let filter = args.filter.as_deref().unwrap_or_default();
    let mut after: Option<String> = None;
    loop {
        let page = client.members(filter, after.as_deref()).await?;
        for member in &page {
            output.result(&json::member(member), || member_text(member))?;
        }
        let is_full = page.len() >= MEMBERS_AT_ONCE;
        let Some(last) = page.into_iter().last().filter(|_| is_full) else { return Ok(()) };
        after = Some(last.handle);
    }
}

pub(crate) async fn readers(args: &ReadersArgs, output: Output) -> Result<(), Failure> {
    let readers = open(&args.home)?.readers(&args.who).await?;
    for reader in &readers {
        output.result(&json::reader(reader), || reader_text(reader))?;
    }
    Ok(())
}

/// Returns the line for people about who can read.
fn reader_text(reader: &Reader) -> String {
    let id = reader.member.to_string();
    let kind = if reader.kind == Kind::Person { String::new() } else { format!(", {}", reader.kind.name()) };
    let count = reader.devices.len();
    let devices = if count == 1 { "device" } else { "devices" };
    let ids: String = reader.devices.iter().map(|id| format!("\n  {id}")).collect();
    format!("{} ({}){kind}, {count} {devices}{ids}", called(&id, &reader.handle), tame_line(&reader.name))
}

pub(crate) async fn draft(args: &DraftArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    if args.text.is_empty() && !args.clear {
        let Some(draft) = client.draft(&args.who).await? else { return Ok(()) };
        return output.result(&object!({"draft": draft}), || crate::text::tame(&draft));
    }
    let mut draft = args.text.join(" ");
    if draft == "-" {
        draft.clear();
        let read = std::io::stdin().lock().take(MAX_DRAFT).read_to_string(&mut draft);
        read.map_err(|error| system(&error, "standard input"))?;
    }
    client.set_draft(&args.who, &draft).await?;
    let kept = Some(&draft).filter(|draft| !draft.is_empty());
    output.result(&object!({"draft": kept}), || kept.map_or("no draft", |_| "draft kept").to_owned())
}

/// Returns one line of what the newest entry says.
fn summary(last: &LastEntry) -> String {
    match (&last.summary, &last.entry) {
        (Some(summary), _) => summary.clone(),
        (None, GroupEntry::Act(act)) => act_text(act),
        (None, _) => UNKNOWN.to_owned(),
    }
}

fn text(conversation: &Conversation) -> String {
    let mut line = tame_line(&conversation.title());
    if conversation.unread > 0 {
        line.push_str(&format!(", {} unread", conversation.unread));
    }
    if let Some(last) = &conversation.last {
        let shown = tame_line(&summary(last));
        match (&last.summary, &last.from) {
            (Some(_), Some(from)) => {
                let (at, from) =
                    (short_time(last.at.as_millis()), called(&from.member.to_string(), &from.handle));
                line.push_str(&format!("\n    [{at}] {from}: {shown}"));
            }
            _ => line.push_str(&format!("\n    {shown}")),
        }
    }
    if let Some(draft) = &conversation.draft {
        line.push_str(&format!("\n    draft: {}", tame_line(draft)));
    }
    line
}

fn member_text(member: &Member) -> String {
    let unit = member.unit.as_ref().map_or_else(String::new, |unit| format!(", {}", tame_line(unit)));
    let kind = match member.kind {
        Some(Kind::Person) => String::new(),
        Some(kind) => format!(", {}", kind.name()),
        None => ", of an unknown kind".to_owned(),
    };
    let devices = match member.device_ids.len() {
        1 => "1 device".to_owned(),
        many => format!("{many} devices"),
    };
    format!("{}: {}{unit}{kind}, {devices}", tame_line(&member.handle), tame_line(&member.name))
}
