//! What is to be sent, read from JSON: the same names as [`super::message`] returns.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::MemberId;
use crate::acting::{FieldKind, Form, FormField, Mention, MessageRef, Outgoing, OutgoingFile};
use crate::error::{Error, ErrorCode};

/// Characters of a field's name that an error repeats: 64, enough to recognise it.
const NAME_SHOWN: usize = 64;
/// The fields of the message that is replied to which only say how it reads: whoever hands on what was received may leave them.
const QUOTE: [&str; 5] = ["id", "from", "handle", "text", "known"];
/// The fields of a file; `size` is taken from the file itself.
const FILE: [&str; 6] = ["path", "content", "media_type", "preview", "name", "size"];

/// Reads a message to send:
///
/// ```
/// let member = "0b".repeat(16);
/// let message = chancery::json::outgoing(&serde_json::json!({
///     "text": "@bob look",
///     "files": ["a.txt", {"path": "b.png", "media_type": "image/png", "preview": "iVBORw=="}],
///     "reply_to": {"id": "0a".repeat(16), "from": member},
///     "mentions": [{"start": 0, "length": 4, "member": member}],
///     "form": {"title": "Lunch?", "fields": [
///         {"id": "dish", "label": "What?", "kind": "choice", "options": ["soup", "pie"], "required": true},
///     ]},
/// }))?;
/// assert_eq!((message.files.len(), message.mentions[0].length), (2, "@bob".len()));
/// # Ok::<(), chancery::Error>(())
/// ```
///
/// A file may have a `name` under which it is sent; with `content`, base64, it needs one, and no `path`.
/// Each field may be left out or be null, but for a file's `path` or `content`, the fields of `reply_to` and of a mention, and a form's `fields` with `id` and
/// `kind`. `start` and `length` count bytes of the text.
///
/// # Errors
///
/// [`ErrorCode::ActInvalid`]: a field is unknown, missing, or of the wrong type or form; the detail names it.
pub fn outgoing(value: &Value) -> Result<Outgoing, Error> {
    let object = Object::of(value, "", &["text", "files", "reply_to", "mentions", "form"])?;
    Ok(Outgoing {
        text: object.text("text")?.unwrap_or_default().to_owned(),
        files: object.each("files", file)?,
        reply_to: object.some("reply_to").map(|(it, at)| reference(it, &at)).transpose()?,
        mentions: object.each("mentions", mention)?,
        form: object.some("form").map(|(it, at)| form(it, &at)).transpose()?,
    })
}

/// Reads the values of an answer, as the `values` of a message's `answers` are: an object of fields' names and texts.
///
/// # Errors
///
/// [`ErrorCode::ActInvalid`]: it is no object, or a value is no text; the detail names the field.
pub fn form_values(value: &Value) -> Result<Vec<(String, String)>, Error> {
    let fields = value.as_object().ok_or_else(|| wrong("values", "an object"))?;
    let text = |(name, value): (&String, &Value)| {
        let value = value.as_str().ok_or_else(|| wrong(&join("", name), "text"))?;
        Ok((name.clone(), value.to_owned()))
    };
    fields.iter().map(text).collect()
}

fn file(value: &Value, at: &str) -> Result<OutgoingFile, Error> {
    if let Some(path) = value.as_str() {
        return Ok(OutgoingFile::from_path(path));
    }
    let object = Object::of(value, at, &FILE)?;
    let decode = |name: &str, text: &str| STANDARD.decode(text).map_err(|_| wrong(&join(at, name), "base64"));
    let preview = decode("preview", object.text("preview")?.unwrap_or_default())?;
    let media_type = object.text("media_type")?.map(str::to_owned);
    let name = object.text("name")?.map(str::to_owned);
    let file = match object.text("content")? {
        Some(content) => OutgoingFile::from_bytes(object.needed("name")?, decode("content", content)?),
        None => OutgoingFile { path: object.needed("path")?.into(), name, ..OutgoingFile::default() },
    };
    Ok(OutgoingFile { media_type, preview, ..file })
}

fn reference(value: &Value, at: &str) -> Result<MessageRef, Error> {
    let object = Object::of(value, at, &QUOTE)?;
    // As long as a member's identifier, and written like one.
    let id = MemberId::from_hex(object.needed("id")?);
    let id = id.ok_or_else(|| wrong(&join(at, "id"), "32 hexadecimal digits"))?;
    Ok(MessageRef { author: object.member("from")?, id: *id.as_bytes() })
}

fn mention(value: &Value, at: &str) -> Result<Mention, Error> {
    let object = Object::of(value, at, &["start", "length", "member"])?;
    let (start, length) = (object.number("start")?, object.number("length")?);
    Ok(Mention { start, length, member: object.member("member")? })
}

fn form(value: &Value, at: &str) -> Result<Form, Error> {
    let object = Object::of(value, at, &["title", "fields"])?;
    let title = object.text("title")?.unwrap_or_default().to_owned();
    let form = Form { title, fields: object.each("fields", form_field)? };
    if form.is_valid() { Ok(form) } else { Err(wrong(at, "a form that keeps the limits")) }
}

fn form_field(value: &Value, at: &str) -> Result<FormField, Error> {
    let object = Object::of(value, at, &["id", "label", "kind", "options", "required"])?;
    let kind = match object.needed("kind")? {
        "text" => FieldKind::Text,
        "choice" => FieldKind::Choice,
        "number" => FieldKind::Number,
        "approval" => FieldKind::Approval,
        _ => return Err(wrong(&join(at, "kind"), "text, choice, number or approval")),
    };
    let option = |it: &Value, at: &str| it.as_str().map(str::to_owned).ok_or_else(|| wrong(at, "text"));
    let required = match object.some("required") {
        Some((it, at)) => it.as_bool().ok_or_else(|| wrong(&at, "true or false"))?,
        None => false,
    };
    Ok(FormField {
        id: object.needed("id")?.to_owned(),
        label: object.text("label")?.unwrap_or_default().to_owned(),
        kind,
        options: object.each("options", option)?,
        required,
    })
}

/// An object all of whose fields are known, and where it is.
struct Object<'a> {
    at: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn of(value: &'a Value, at: &'a str, known: &[&str]) -> Result<Self, Error> {
        let at_all = if at.is_empty() { "message" } else { at };
        let fields = value.as_object().ok_or_else(|| wrong(at_all, "an object"))?;
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(invalid(&join(at, name), "unknown")),
            None => Ok(Self { at, fields }),
        }
    }

    /// A field that is there and not null, and where it is.
    fn some(&self, name: &str) -> Option<(&'a Value, String)> {
        let value = self.fields.get(name).filter(|value| !value.is_null())?;
        Some((value, join(self.at, name)))
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Error> {
        let text = |(value, at): (&'a Value, String)| value.as_str().ok_or_else(|| wrong(&at, "text"));
        self.some(name).map(text).transpose()
    }

    fn needed(&self, name: &str) -> Result<&'a str, Error> {
        self.text(name)?.ok_or_else(|| invalid(&join(self.at, name), "missing"))
    }

    fn number(&self, name: &str) -> Result<usize, Error> {
        let number = self.fields.get(name).and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
        number.ok_or_else(|| wrong(&join(self.at, name), "a number from 0"))
    }

    fn member(&self, name: &str) -> Result<MemberId, Error> {
        let member = MemberId::from_hex(self.needed(name)?);
        member.ok_or_else(|| wrong(&join(self.at, name), "a member's identifier"))
    }

    /// Reads each element of a list; none if the field is not there.
    fn each<T>(&self, name: &str, read: impl Fn(&Value, &str) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let Some((value, at)) = self.some(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| wrong(&at, "a list"))?;
        list.iter().enumerate().map(|(index, it)| read(it, &format!("{at}[{index}]"))).collect()
    }
}

/// Names a field within what contains it.
fn join(at: &str, name: &str) -> String {
    let name: String = name.chars().take(NAME_SHOWN).collect();
    if at.is_empty() { name } else { format!("{at}.{name}") }
}

fn wrong(at: &str, expected: &str) -> Error {
    invalid(at, &format!("expected {expected}"))
}

fn invalid(at: &str, what: &str) -> Error {
    Error::with(ErrorCode::ActInvalid, format!("{at}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The detail of the error that something gives.
    fn refused(value: &Value) -> String {
        let error = outgoing(value).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ActInvalid);
        error.detail().unwrap().to_owned()
    }

    #[test]
    fn all_that_a_message_may_have_is_read() {
        let (id, member) = ("0a".repeat(16), "0b".repeat(16));
        let read = outgoing(&json!({
            "text": "@bob look",
            "files": ["a.txt", {"path": "b.png", "media_type": "image/png", "preview": "pQ==", "name": "b.png", "size": 3}],
            "reply_to": {"id": id, "from": member, "handle": "bob", "text": "so?", "known": true},
            "mentions": [{"start": 0, "length": 4, "member": member}],
            "form": {"title": "Lunch?", "fields": [
                {"id": "what", "label": "What?", "kind": "choice", "options": ["soup", "pie"], "required": true},
                {"id": "more", "kind": "text"},
            ]},
        }))
        .unwrap();
        assert_eq!(read.text, "@bob look");
        let (bob, message) = (MemberId::new([0x0b; 16]), [0x0a; 16]);
        assert_eq!(read.reply_to, Some(MessageRef { author: bob, id: message }));
        assert_eq!(read.mentions, [Mention { start: 0, length: 4, member: bob }]);
        assert_eq!(read.files[0].path.to_str(), Some("a.txt"));
        assert_eq!(
            (read.files[1].media_type.as_deref(), &read.files[1].preview),
            (Some("image/png"), &vec![0xa5])
        );
        let form = read.form.unwrap();
        assert_eq!((form.title.as_str(), form.fields.len()), ("Lunch?", 2));
        assert!(form.fields[0].required && form.fields[0].kind == FieldKind::Choice);
        assert!(!form.fields[1].required && form.fields[1].kind == FieldKind::Text);
        assert_eq!(form.fields[0].options, ["soup", "pie"]);
    }

    #[test]
    fn what_was_received_can_be_sent_on() {
        let fields = vec![chancery_wire::proto::FormField {
            id: "dish".into(),
            label: "What?".into(),
            kind: 2,
            options: vec!["soup".into(), "pie".into()],
            required: true,
        }];
        let form = chancery_wire::proto::Form { title: "Lunch?".into(), fields };
        let attachment = chancery_wire::proto::Attachment {
            name: "menu.png".into(),
            media_type: "image/png".into(),
            preview: vec![0xa5; 3],
            ..Default::default()
        };
        let waiting = chancery_engine::Unaddressed {
            message_id: [1; 16],
            to: "bob".into(),
            written_at: crate::Timestamp::from_millis(1),
            failed: None,
            failed_at: crate::Timestamp::from_millis(0),
            meant: None,
            text: chancery_wire::proto::Text {
                text: "@bob look".into(),
                attachments: vec![attachment],
                ..Default::default()
            },
        };
        let mut message = crate::Message::waiting(MemberId::new([2; 16]), "alice".into(), waiting);
        message.files[0].path = Some("saved/menu.png".into());
        message.mentions = vec![Mention { start: 0, length: 4, member: MemberId::new([3; 16]) }];
        message.form = Some(form.into());
        let quoted = MessageRef { author: MemberId::new([3; 16]), id: [4; 16] };
        message.reply_to =
            Some(crate::Quote { message: quoted, handle: "bob".into(), text: "so?".into(), is_known: true });

        let received = super::super::message(&message);
        let mut sent = Map::new();
        for name in ["text", "files", "reply_to", "mentions", "form"] {
            sent.insert(name.to_owned(), received[name].clone());
        }
        let read = outgoing(&sent.into()).unwrap();
        assert_eq!((Some(&read.text), &read.mentions), (message.text.as_ref(), &message.mentions));
        assert_eq!(
            (read.reply_to, read.form.is_some_and(|it| Some(it) == message.form)),
            (Some(quoted), true)
        );
        let file = &read.files[0];
        assert_eq!(file.path.to_str(), Some("saved/menu.png"));
        assert_eq!((file.media_type.as_deref(), &file.preview), (Some("image/png"), &vec![0xa5; 3]));
    }

    #[test]
    fn a_file_has_a_path_or_a_name_and_content() {
        let file = |file: Value| outgoing(&json!({"files": [file]})).unwrap().files.remove(0);
        let content = file(json!({"name": "note.txt", "content": "VGVh"}));
        assert_eq!(content.content.unwrap().expose(), b"Tea");
        assert_eq!(content.name.as_deref(), Some("note.txt"));
        let named = file(json!({"path": "saved/menu (1).png", "name": "menu.png"}));
        assert_eq!((named.name.as_deref(), named.content.is_none()), (Some("menu.png"), true));
        assert_eq!(refused(&json!({"files": [{"content": "VGVh"}]})), "files[0].name: missing");
        let damaged = json!({"files": [{"name": "note.txt", "content": "?"}]});
        assert_eq!(refused(&damaged), "files[0].content: expected base64");
    }

    #[test]
    fn what_is_left_out_or_null_is_not_there() {
        let read = outgoing(&json!({"text": "hi", "files": null, "reply_to": null, "form": null})).unwrap();
        assert_eq!((read.text.as_str(), read.files.len()), ("hi", 0));
        assert!(read.reply_to.is_none() && read.mentions.is_empty() && read.form.is_none());
        assert_eq!(outgoing(&json!({})).unwrap().text, "");
    }

    #[test]
    fn what_is_wrong_is_named_by_the_error() {
        let member = "0b".repeat(16);
        let field = |field: Value| json!({"form": {"fields": [{"id": "ok", "kind": "approval"}, field]}});
        for (value, named) in [
            (json!(["text"]), "message: expected an object"),
            (json!({"text": 3}), "text: expected text"),
            (json!({"txet": "hi"}), "txet: unknown"),
            (json!({"files": "a.txt"}), "files: expected a list"),
            (json!({"files": ["a", 7]}), "files[1]: expected an object"),
            (json!({"files": [{"media_type": "text/plain"}]}), "files[0].path: missing"),
            (json!({"files": [{"path": "a", "preview": "?"}]}), "files[0].preview: expected base64"),
            (json!({"files": [{"path": "a", "mode": 7}]}), "files[0].mode: unknown"),
            (
                json!({"reply_to": {"id": "0a", "from": member}}),
                "reply_to.id: expected 32 hexadecimal digits",
            ),
            (
                json!({"reply_to": {"id": "0a".repeat(16), "from": "bob"}}),
                "reply_to.from: expected a member's identifier",
            ),
            (
                json!({"mentions": [{"start": -1, "length": 4, "member": member}]}),
                "mentions[0].start: expected a number from 0",
            ),
            (json!({"form": {"title": "empty"}}), "form: expected a form that keeps the limits"),
            (
                field(json!({"id": "x", "kind": "date"})),
                "form.fields[1].kind: expected text, choice, number or approval",
            ),
            (
                field(json!({"id": "x", "kind": "choice", "options": [1]})),
                "form.fields[1].options[0]: expected text",
            ),
            (
                field(json!({"id": "x", "kind": "text", "required": 1})),
                "form.fields[1].required: expected true or false",
            ),
        ] {
            assert_eq!(refused(&value), named);
        }
        assert!(refused(&json!({"x".repeat(1_000_000): 1})).len() < 100, "what is long is cut");
    }

    #[test]
    fn the_values_of_an_answer_are_texts_by_name() {
        let values = form_values(&json!({"ok": "yes", "count": "3"})).unwrap();
        let expected = [("count", "3"), ("ok", "yes")].map(|(id, value)| (id.to_owned(), value.to_owned()));
        assert_eq!(values, expected);
        let refused = |value: Value| form_values(&value).unwrap_err().detail().unwrap().to_owned();
        assert_eq!(refused(json!({"count": 3})), "count: expected text");
        assert_eq!(refused(json!([["ok", "yes"]])), "values: expected an object");
    }
}
