//! A message as it is printed: one JSON object, or a line for people.

use chancery::{ChangeKind, Error, FileInfo, Kind, Message, MessageState, WhyFailed, json};
use indicatif::HumanBytes;
use serde_json::Value;

use crate::failure::Report;
use crate::reading;
use crate::text::{hex, short_time, tame, tame_line};

/// What people read of what a later version wrote.
pub(crate) const UNKNOWN: &str = "(written by a newer version; update to read it)";
/// Digits of a member's identifier that stand for somebody whose handle is not known yet.
const SHORT_ID: usize = 8;

/// A file of a message, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct File {
    info: FileInfo,
    error: Option<Report>,
}

impl File {
    /// Notes where the file was saved.
    pub(crate) fn saved(&mut self, path: String) {
        self.info.path = Some(path);
    }

    /// Notes why the file is not there.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.info.path = None;
        self.error = Some(Report::of(error));
    }

    fn object(&self) -> Value {
        json::file(&self.info, self.error.as_ref().map(Report::object))
    }

    /// Returns name and size, and where it is or why it is not there.
    fn text(&self) -> String {
        let what = format!("{} ({})", tame_line(&self.info.name), HumanBytes(self.info.size));
        match (&self.info.path, &self.error) {
            (_, Some(error)) => format!("{what}: {}", tame_line(&error.message)),
            (Some(path), None) => format!("{what} in {}", tame_line(path)),
            (None, None) => what,
        }
    }
}

/// Returns a message's files as the store knows them.
pub(crate) fn files(message: &Message) -> Vec<File> {
    message.files.iter().map(|info| File { info: info.clone(), error: None }).collect()
}

/// Returns the object for `--json`.
pub(crate) fn object(message: &Message, files: &[File]) -> Value {
    json::message_with(message, files.iter().map(File::object).collect())
}

/// Returns the lines for people of what acts on a message.
fn acts_text(message: &Message) -> String {
    let mut text = String::new();
    if let Some(form) = &message.form {
        text.push_str(&format!("\n    ? {}", tame_line(&form.title)));
        for field in &form.fields {
            let options: Vec<_> = field.options.iter().map(|it| tame_line(it)).collect();
            let choice =
                if options.is_empty() { json::field_kind(field.kind).to_owned() } else { options.join("|") };
            let must = if field.required { "!" } else { "" };
            let (id, label) = (tame_line(&field.id), tame_line(&field.label));
            text.push_str(&format!("\n      {id}{must}: {label} ({choice})"));
        }
    }
    for answer in &message.answers {
        let values: Vec<_> = answer
            .values
            .iter()
            .map(|(id, value)| format!("{}={}", tame_line(id), tame_line(value)))
            .collect();
        let who = called(&answer.by.member.to_string(), &answer.by.handle);
        text.push_str(&format!("\n    = {who}: {}", values.join(", ")));
    }
    if !message.reactions.is_empty() {
        let one = |it: &chancery::Reaction| {
            format!("{} {}", tame_line(&it.emoji), called(&it.by.member.to_string(), &it.by.handle))
        };
        let all: Vec<_> = message.reactions.iter().map(one).collect();
        text.push_str(&format!("\n    {}", all.join(", ")));
    }
    text
}

/// Returns the lines for people with the beginning of the message's identifier, if that is wanted.
pub(crate) fn with_id(wanted: bool, message: &Message, text: String) -> String {
    let id: String = hex(&message.id).chars().take(SHORT_ID).collect();
    if wanted { format!("{id} {text}") } else { text }
}

/// Returns the lines that say so to people.
pub(crate) fn changed_text(message: &Message, by: &chancery::Person, kind: ChangeKind) -> String {
    let who = called(&by.member.to_string(), &by.handle);
    let what = match kind {
        ChangeKind::Edited => "has edited",
        ChangeKind::Deleted => "has deleted",
        ChangeKind::Answered => "has answered",
        _ => "has reacted to",
    };
    format!("* {who} {what}\n  {}", text(message, &files(message)))
}

/// Returns the lines for people.
pub(crate) fn text(message: &Message, files: &[File]) -> String {
    let sender = sender(message);
    let missing = if message.deleted { "(deleted)" } else { UNKNOWN };
    let body = message.text.as_deref().unwrap_or(missing);
    let waits = match message.state {
        MessageState::Queued => " (queued)",
        MessageState::Failed => " (not sent)",
        _ => "",
    };
    let receipts = reading::receipts_text(message);
    let place = message.group.as_ref().map_or_else(String::new, |it| format!(" in {}", tame_line(&it.name)));
    let at = short_time(message.sent_at.as_millis());
    let again = message.resent_by.as_ref().map_or_else(String::new, |by| match by.as_str() {
        "" => " (sent again by somebody else)".to_owned(),
        by => format!(" (sent again by {})", tame_line(by)),
    });
    let edited = if message.edited_at.is_some() { " (edited)" } else { "" };
    let mut text = format!("[{at}] {sender}{place}: {}{edited}{waits}{receipts}{again}", tame(body));
    if let Some(quote) = &message.reply_to {
        let who = called(&quote.message.author.to_string(), &quote.handle);
        let claimed = if quote.is_known { "" } else { " (as quoted; not on this device)" };
        text.push_str(&format!("\n    > {who}: {}{claimed}", tame_line(&quote.text)));
    }
    for file in files {
        text.push_str(&format!("\n    + {}", file.text()));
    }
    text.push_str(&acts_text(message));
    text
}

/// Who wrote a message, and that it is a guest or bot (R-ENGINE-61).
fn sender(message: &Message) -> String {
    let who = called(&message.from.to_string(), &message.handle);
    match message.kind {
        Kind::Person => who,
        kind => format!("{who} ({})", kind.name()),
    }
}

/// Returns how people call a member: by handle, or by the beginning of the identifier while the handle is not known.
pub(crate) fn called(member: &str, handle: &str) -> String {
    match handle {
        "" => member.chars().take(SHORT_ID).collect(),
        handle => tame_line(handle),
    }
}

/// Returns the object that says what became of a file after its message was printed.
pub(crate) fn later_file(message: &Message, index: usize, file: &File) -> Value {
    json::later_file(message, index, file.object())
}

/// Returns the line that says so to people.
pub(crate) fn later_file_text(message: &Message, file: &File) -> String {
    format!("* from {}, {}: {}", sender(message), short_time(message.sent_at.as_millis()), file.text())
}

/// Returns the line that says to people that a member has one device more.
pub(crate) fn device_added_text(member: &str, handle: &str, device: &str) -> String {
    format!("* {} has a new device: {device}", called(member, handle))
}

/// Returns the line that says to people that messages of a member are lost.
pub(crate) fn lost_text(member: &str, handle: &str, count: u64) -> String {
    let what = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    format!("* {what} of {} could not be recovered", called(member, handle))
}

/// Returns the line that says to people that a member has left the organisation.
pub(crate) fn member_left_text(member: &str, handle: &str) -> String {
    format!("* {} has left the organisation", called(member, handle))
}

/// Returns the line that says to people that a handle belongs to somebody else now.
pub(crate) fn handle_reassigned_text(handle: &str) -> String {
    let handle = tame_line(handle);
    format!(
        "* {handle} is somebody else from now on; what {handle} wrote before was written by another person"
    )
}

/// Returns the line that says so to people.
pub(crate) fn settled_text(conversation: &str, to: &str, failed: Option<WhyFailed>) -> String {
    let to = called(conversation, to);
    let why = match failed {
        None => return format!("* a message to {to} was sent"),
        Some(WhyFailed::File) => "a file of it was refused or not taken for 30 days",
        Some(WhyFailed::NoRecipient) => "there is no device any more to which it could go",
        Some(WhyFailed::UnknownName) => {
            "nobody of that name was enrolled when it was written, or their entry has changed since"
        }
        Some(WhyFailed::Group) => "this device is in the group no more, or may not write in it",
        Some(_) => "the relay has refused it or not taken it for 30 days",
    };
    format!("* a message to {to} was not sent: {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_without_a_handle_is_called_by_the_identifier() {
        let member = "0123456789abcdef0123456789abcdef";
        assert_eq!(lost_text(member, "", 1), "* 1 message of 01234567 could not be recovered");
        assert_eq!(lost_text(member, "bob", 2), "* 2 messages of bob could not be recovered");
        assert_eq!(member_left_text(member, ""), "* 01234567 has left the organisation");
        assert_eq!(device_added_text(member, "", "fe"), "* 01234567 has a new device: fe");
        assert_eq!(device_added_text(member, "bob\u{1b}", "fe"), "* bob\u{fffd} has a new device: fe");
    }
}
