//! Messages: what is sent, and what is done to what was sent.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::accounts::Failure;
use super::content::{Form, Mention, OutgoingFile, ReplyTo};

account_parameters! {
    /// A file of a message.
    SaveFileOf {
        /// The conversation: a handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The message: its identifier, at least 4 digits of that from its beginning, or `last`.
        message: String,
        /// The file's position among the message's files.
        index: usize,
        /// The folder to save it in.
        folder: PathBuf,
    }
}

waiting_parameters! {
    /// A message to a member.
    Send {
        /// A handle or a member's identifier.
        to: String,
        /// The text: at most 32 KiB.
        #[serde(default)]
        text: String,
        /// Files to send with it: at most 32.
        #[serde(default)]
        files: Vec<OutgoingFile>,
        /// The message of the same conversation to which it replies.
        reply_to: Option<ReplyTo>,
        /// Whom the text names: at most 64, in the order of the text.
        #[serde(default)]
        mentions: Vec<Mention>,
        /// Questions to whoever reads it.
        form: Option<Form>,
    }
    /// A message to a group.
    SendToGroup {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// The text: at most 32 KiB.
        #[serde(default)]
        text: String,
        /// Files to send with it: at most 32.
        #[serde(default)]
        files: Vec<OutgoingFile>,
        /// The message of the same group to which it replies.
        reply_to: Option<ReplyTo>,
        /// Whom the text names: at most 64, in the order of the text.
        #[serde(default)]
        mentions: Vec<Mention>,
        /// Questions to whoever reads it; each may answer.
        form: Option<Form>,
    }
    /// Another text for a message of one's own.
    Edit {
        /// The conversation: a handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The message: its identifier, at least 4 digits of that from its beginning, or `last`.
        message: String,
        /// What it says from now on. Files, what it replies to and its form stay.
        text: String,
        /// Whom the text names now.
        #[serde(default)]
        mentions: Vec<Mention>,
    }
    /// A message.
    Delete {
        /// The conversation: a handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The message: its identifier, at least 4 digits of that from its beginning, or `last`.
        message: String,
    }
    /// A reaction to a message.
    React {
        /// The conversation: a handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The message: its identifier, at least 4 digits of that from its beginning, or `last`.
        message: String,
        /// At most 32 bytes.
        emoji: String,
        /// Whether to take it back.
        #[serde(default)]
        remove: bool,
    }
    /// An answer to the form of a message.
    Answer {
        /// The conversation: a handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The message: its identifier, at least 4 digits of that from its beginning, or `last`.
        message: String,
        /// What is answered, by the fields' names. It takes the place of an earlier answer.
        values: BTreeMap<String, String>,
    }
}

words! {
    /// Whether a message was sent.
    SentState {
        /// The relay has it.
        Sent,
        /// It is stored, and goes as soon as it can.
        Queued,
    }
}

results! {
    /// What became of a message, or of what was done to one.
    Sent {
        /// The identifier of the message, or of what was done.
        id: String,
        /// Whether the relay has it.
        state: SentState,
        /// The group, if it is to one.
        group: Option<String>,
        /// Why it waits. It must not be sent again.
        waiting: Option<Failure>,
    }
}
