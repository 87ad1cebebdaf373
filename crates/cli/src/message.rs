//! A message as it is printed: one JSON object, or a line for people.

use chancery::{ErrorCode, Message, MessageState};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use crate::text::{hex, rfc3339, short_time, tame, tame_line};

/// Digits of a member's identifier that stand for somebody whose handle is not known yet.
const SHORT_ID: usize = 8;

/// A file of a message, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct File {
    name: String,
    size: u64,
    path: Option<String>,
    error: Option<ErrorCode>,
}

impl File {
    /// Notes where the file was saved.
    pub(crate) fn saved(&mut self, path: String) {
        self.path = Some(path);
    }

    /// Notes why the file will never be there.
    pub(crate) fn lost(&mut self, error: ErrorCode) {
        self.path = None;
        self.error = Some(error);
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
    let file = |file: &File| {
        let mut object = json!({"name": file.name, "size": file.size, "path": file.path});
        if let (Some(error), Some(fields)) = (file.error, object.as_object_mut()) {
            fields.insert("error".to_owned(), error.name().into());
        }
        object
    };
    json!({
        "event": "message",
        "id": hex(&message.id),
        "from": message.from.to_string(),
        "handle": message.handle,
        "conversation": message.conversation.to_string(),
        "sent_at": rfc3339(message.sent_at.as_millis()),
        "text": message.text,
        "files": files.iter().map(file).collect::<Vec<_>>(),
        "state": state(message.state),
    })
}

/// Returns the lines for people.
pub(crate) fn text(message: &Message, files: &[File]) -> String {
    let sender = match message.handle.as_str() {
        "" => message.from.to_string().chars().take(SHORT_ID).collect(),
        handle => tame_line(handle),
    };
    let body = message.text.as_deref().unwrap_or("(written by a newer version; update to read it)");
    let waits = match message.state {
        MessageState::Queued => " (queued)",
        MessageState::Failed => " (not sent)",
        _ => "",
    };
    let mut text = format!("[{}] {sender}: {}{waits}", short_time(message.sent_at.as_millis()), tame(body));
    for file in files {
        text.push_str(&format!("\n    + {} ({})", tame_line(&file.name), HumanBytes(file.size)));
        match (&file.path, file.error) {
            (_, Some(error)) => text.push_str(&format!(": {}", error.message())),
            (Some(path), None) => text.push_str(&format!(" in {}", tame_line(path))),
            (None, None) => {}
        }
    }
    text
}

/// Returns the object that says that a member has one device more.
pub(crate) fn device_added(member: &str, handle: &str, device: &str) -> Value {
    json!({"event": "device-added", "member": member, "handle": handle, "device": device})
}

/// Returns the object that says that messages of a member are lost.
pub(crate) fn lost(member: &str, handle: &str, count: u64) -> Value {
    json!({"event": "lost", "member": member, "handle": handle, "count": count})
}

/// Returns the line that says so to people.
pub(crate) fn lost_text(handle: &str, count: u64) -> String {
    let what = if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
    format!("* {what} of {} could not be recovered", tame_line(handle))
}

/// Returns the line that says so to people.
pub(crate) fn device_added_text(handle: &str, device: &str) -> String {
    format!("* {} has a new device: {device}", tame_line(handle))
}

const fn state(state: MessageState) -> &'static str {
    match state {
        MessageState::Received => "received",
        MessageState::Sent => "sent",
        MessageState::Failed => "failed",
        _ => "queued",
    }
}
