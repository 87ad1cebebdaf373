//! What is in a message to be sent. Names in objects are as in the messages that come, so that what came can be sent.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$field_doc])* $field: $type,)* }
    )*};
}

objects! {
    /// A file to send, and what is known of it.
    DescribedFile {
        /// Where it is.
        path: String,
        /// What it is (RFC 6838); by default what its name says.
        #[serde(skip_serializing_if = "Option::is_none")]
        media_type: Option<String>,
        /// A small picture of it, in base64: at most 16 KiB of bytes.
        #[serde(skip_serializing_if = "Option::is_none")]
        preview: Option<String>,
        /// Not looked at: the file's own counts.
        #[serde(skip_serializing)]
        name: Option<String>,
        /// Not looked at: the file's own counts.
        #[serde(skip_serializing)]
        size: Option<u64>,
    }
    /// The message that another replies to.
    ReplyTo {
        /// Its identifier.
        id: String,
        /// The identifier of who wrote it.
        from: String,
        /// Not looked at.
        #[serde(skip_serializing)]
        handle: Option<String>,
        /// Not looked at.
        #[serde(skip_serializing)]
        text: Option<String>,
        /// Not looked at.
        #[serde(skip_serializing)]
        known: Option<bool>,
    }
    /// A part of a text that names a member.
    Mention {
        /// Where it begins, in bytes of the text.
        start: usize,
        /// How long it is, in bytes.
        length: usize,
        /// The identifier of whom it names.
        member: String,
    }
    /// Questions to whoever reads a message.
    Form {
        /// What they are about: at most 256 bytes.
        #[serde(default)]
        title: String,
        /// At least one, at most 32.
        fields: Vec<FormField>,
    }
    /// One question.
    FormField {
        /// Its name in answers: once in the form, at most 64 bytes.
        id: String,
        /// What it asks: at most 256 bytes.
        #[serde(default)]
        label: String,
        /// What it asks for.
        kind: FieldKind,
        /// What there is to choose from: of a choice 1 to 32, else none.
        #[serde(default)]
        options: Vec<String>,
        /// Whether it has to be answered.
        #[serde(default)]
        required: bool,
    }
}

words! {
    /// What a field asks for.
    FieldKind {
        /// Any text.
        Text,
        /// One of its options.
        Choice,
        /// A number.
        Number,
        /// `yes` or `no`.
        Approval,
    }
}

/// A file to send: its path, or its path and what is known of it.
#[derive(Debug, Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged, expecting = "a file is a path, or an object of path, media_type and preview")]
pub(crate) enum OutgoingFile {
    /// Its path.
    Path(String),
    /// Its path and what is known of it.
    Described(DescribedFile),
}

/// Makes of these what [`chancery::json::outgoing`] reads.
pub(crate) fn content(
    (text, files): (&str, &[OutgoingFile]),
    reply_to: Option<&ReplyTo>,
    mentions: &[Mention],
    form: Option<&Form>,
) -> Value {
    let mut object = json!({"text": text, "files": files, "mentions": mentions});
    if let (Some(reply_to), Some(fields)) = (reply_to, object.as_object_mut()) {
        fields.insert("reply_to".to_owned(), json!(reply_to));
    }
    if let (Some(form), Some(fields)) = (form, object.as_object_mut()) {
        fields.insert("form".to_owned(), json!(form));
    }
    object
}
