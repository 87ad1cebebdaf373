//! A message as it is printed: one JSON object, or a line for people.

use chancery::{Error, Kind, Message, MessageState};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::failure::Report;
use crate::reading;
use crate::text::{hex, rfc3339, short_time, tame, tame_line};

/// Digits of a member's identifier that stand for somebody whose handle is not known yet.
const SHORT_ID: usize = 8;

/// A file of a message, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct File {
    name: String,
    size: u64,
    path: Option<String>,
    error: Option<Report>,
}

impl File {
    /// Notes where the file was saved.
    pub(crate) fn saved(&mut self, path: String) {
        self.path = Some(path);
    }

    /// Notes why the file is not there.
    pub(crate) fn failed(&mut self, error: &Error) {
        self.path = None;
        self.error = Some(Report::of(error));
    }

    fn object(&self) -> Value {
        let mut object = json!({"name": self.name, "size": self.size, "path": self.path});
        if let (Some(error), Some(fields)) = (&self.error, object.as_object_mut()) {
            fields.insert("error".to_owned(), error.object());
        }
        object
    }

    /// Returns name and size, and where it is or why it is not there.
    fn text(&self) -> String {
        let what = format!("{} ({})", tame_line(&self.name), HumanBytes(self.size));
        match (&self.path, &self.error) {
            (_, Some(error)) => format!("{what}: {}", tame_line(&error.message)),
            (Some(path), None) => format!("{what} in {}", tame_line(path)),
            (None, None) => what,
        }
    }
}

/// Returns a message's files as the store knows them.
pub(crate) fn files(message: &Message) -> Vec<File> {
    let file = |info: &chancery::FileInfo| File {
        name: info.name.clone(),
        size: info.size,
        path: info.path.clone(),
        error: None,
    };
    message.files.iter().map(file).collect()
}

/// Returns the object for `--json`.
pub(crate) fn object(message: &Message, files: &[File]) -> Value {
    let mut object = json!({
        "event": "message",
        "id": hex(&message.id),
        "from": message.from.to_string(),
        "handle": message.handle,
        "unit": message.unit,
        "kind": message.kind.name(),
        "conversation": message.conversation.to_string(),
        "group": message.group.as_ref().map(|group| json!({"id": hex(&group.id), "name": group.name})),
        "sent_at": rfc3339(message.sent_at.as_millis()),
        "text": message.text,
        "files": files.iter().map(File::object).collect::<Vec<_>>(),
        "state": state(message.state),
        "unread": message.unread,
        "receipts": reading::receipts(message),
        "disappears_after_s": message.disappears_after.map(|after| after.as_secs()),
    });
    // Only in groups is anything sent again.
    if let Some(fields) = object.as_object_mut().filter(|_| message.group.is_some()) {
        fields.insert("resent_by".to_owned(), message.resent_by.clone().into());
    }
    object
}

/// Returns the lines for people.
pub(crate) fn text(message: &Message, files: &[File]) -> String {
    let sender = sender(message);
    let body = message.text.as_deref().unwrap_or("(written by a newer version; update to read it)");
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
    let mut text = format!("[{at}] {sender}{place}: {}{waits}{receipts}{again}", tame(body));
    for file in files {
        text.push_str(&format!("\n    + {}", file.text()));
    }
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
    json!({
        "event": "file",
        "id": hex(&message.id),
        "from": message.from.to_string(),
        "handle": message.handle,
        "index": index,
        "file": file.object(),
    })
}

/// Returns the line that says so to people.
pub(crate) fn later_file_text(message: &Message, file: &File) -> String {
    format!("* from {}, {}: {}", sender(message), short_time(message.sent_at.as_millis()), file.text())
}

/// Returns the object that says that a member has one device more.
pub(crate) fn device_added(member: &str, handle: &str, device: &str) -> Value {
    json!({"event": "device-added", "member": member, "handle": handle, "device": device})
}

/// Returns the line that says so to people.
pub(crate) fn device_added_text(member: &str, handle: &str, device: &str) -> String {
    format!("* {} has a new device: {device}", called(member, handle))
}

/// Returns the object that says that messages of a member are lost.
pub(crate) fn lost(member: &str, handle: &str, count: u64) -> Value {
    json!({"event": "lost", "member": member, "handle": handle, "count": count})
}

/// Returns the line that says so to people.
pub(crate) fn lost_text(member: &str, handle: &str, count: u64) -> String {
    let what = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    format!("* {what} of {} could not be recovered", called(member, handle))
}

/// Returns the object that says that a member has left the organisation.
pub(crate) fn member_left(member: &str, handle: &str) -> Value {
    json!({"event": "member-left", "member": member, "handle": handle})
}

/// Returns the line that says so to people.
pub(crate) fn member_left_text(member: &str, handle: &str) -> String {
    format!("* {} has left the organisation", called(member, handle))
}

/// Returns the object that says that a handle belongs to somebody else now.
pub(crate) fn handle_reassigned(old: &str, new: &str, handle: &str) -> Value {
    json!({"event": "handle-reassigned", "handle": handle, "old": old, "new": new})
}

/// Returns the line that says so to people.
pub(crate) fn handle_reassigned_text(handle: &str) -> String {
    let handle = tame_line(handle);
    format!(
        "* {handle} is somebody else from now on; what {handle} wrote before was written by another person"
    )
}

const fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Received => "received",
        MessageState::Sent => "sent",
        MessageState::Failed => "failed",
        _ => "queued",
    }
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
