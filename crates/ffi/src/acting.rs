//! Messages with all that they may have, and what is done to them.

use chancery::{Client, Error, ErrorCode, Message, Sent, json};
use serde_json::Value;

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::event::save;
use crate::library::chancery_code;
use crate::session::patience;
use crate::text::{chancery_str, chancery_string};

/// Does something to a message and hands out what became of that.
fn act(
    client: *const chancery_client,
    out: Out<*mut chancery_string>,
    (with, message): (&str, &str),
    act: impl AsyncFnOnce(&Client, &Message) -> Result<Sent, Error>,
) -> Result<(), Error> {
    with_client(client.cast(), |session| {
        let acted = async {
            let client = session.client();
            let target = client.find_message(with, message).await?;
            act(client, &target).await
        };
        out.json(&json::sent(&session.wait(acted)?))
    })
}

/// Reads JSON of which anything wrong is an invalid act.
fn parse(text: &str) -> Result<Value, Error> {
    crate::text::parse(text, ErrorCode::ActInvalid)
}

/// Sends a message with all that one may have to a member, as `chancery_client_send` does. `message` is a JSON object; every field may be left out:
///
/// ```json
/// {"text": "@bob, lunch?", "files": ["menu.pdf", {"path": "map.png", "media_type": "image/png", "preview": "BASE64"}],
///  "reply_to": {"id": "32 digits", "from": "member's identifier"},
///  "mentions": [{"start": 0, "length": 4, "member": "member's identifier"}],
///  "form": {"title": "Lunch", "fields": [{"id": "what", "label": "What?", "kind": "choice", "options": ["soup", "pie"], "required": true}]}}
/// ```
///
/// They have the names that received messages have. "start" and "length" count bytes of the text; kinds are "text", "choice", "number" and
/// "approval". Forms are answered with `chancery_client_answer`.
///
/// CHANCERY_ACT_INVALID: it is no JSON, or not of this form; `chancery_last_detail` names the field. CHANCERY_MESSAGE_UNKNOWN: what it replies
/// to is not in this conversation. These, and most others: nothing was stored.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_send_message(
    client: *const chancery_client,
    to: chancery_str,
    message: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, to, message) = unsafe { (Out::new(out_json)?, to.text()?, message.text()?) };
        with_client(client.cast(), |session| {
            let message = json::outgoing(&parse(message)?)?;
            let sent = session.wait(session.client().send_message(to, message, patience(patience_ms)))?;
            out.json(&json::sent(&sent))
        })
    })
}

/// Gives a message of one's own another text. Files, what it replies to and its form stay. As for all acts on messages, `with` is a member or a
/// group, `message` is the "id" of a message of that conversation, a beginning of it that no other has (4 digits at least), or "last"; and what
/// is handed out is {"id","state"} of the act, as `chancery_client_send` does.
///
/// CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_NOT_YOUR_MESSAGE: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_edit(
    client: *const chancery_client,
    with: chancery_str,
    message: chancery_str,
    text: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, with, message, text) =
            unsafe { (Out::new(out_json)?, with.text()?, message.text()?, text.text()?) };
        act(client, out, (with, message), async |client, target| {
            client.edit(target.reference(), text, &[], patience(patience_ms)).await
        })
    })
}

/// Deletes a message of one's own, everywhere. Who has seen it has seen it, and files that were saved stay.
///
/// CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_NOT_YOUR_MESSAGE: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_delete(
    client: *const chancery_client,
    with: chancery_str,
    message: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, with, message) = unsafe { (Out::new(out_json)?, with.text()?, message.text()?) };
        act(client, out, (with, message), async |client, target| {
            client.delete(target.reference(), patience(patience_ms)).await
        })
    })
}

/// Reacts to a message with an emoji of at most 32 bytes, or takes that back if `remove` is true.
///
/// CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS, CHANCERY_ACT_INVALID: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_react(
    client: *const chancery_client,
    with: chancery_str,
    message: chancery_str,
    emoji: chancery_str,
    remove: bool,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, with, message, emoji) =
            unsafe { (Out::new(out_json)?, with.text()?, message.text()?, emoji.text()?) };
        act(client, out, (with, message), async |client, target| {
            client.react(target.reference(), emoji, remove, patience(patience_ms)).await
        })
    })
}

/// Answers the form of a message: `values` is a JSON object of the fields' names and texts, as {"what":"soup"}. An approval is "yes" or "no". It
/// takes the place of an earlier answer.
///
/// CHANCERY_ACT_INVALID: the message has no form, or the answer does not fit it. CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS. Nothing has
/// changed then.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_answer(
    client: *const chancery_client,
    with: chancery_str,
    message: chancery_str,
    values: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, with, message, values) =
            unsafe { (Out::new(out_json)?, with.text()?, message.text()?, values.text()?) };
        act(client, out, (with, message), async |client, target| {
            let values = json::form_values(&parse(values)?)?;
            client.answer_form(target.reference(), &values, patience(patience_ms)).await
        })
    })
}

/// As `chancery_client_save_file`, of a message that is named by its conversation and identifier, as for `chancery_client_edit`.
///
/// CHANCERY_MESSAGE_UNKNOWN, CHANCERY_MESSAGE_AMBIGUOUS; others as there.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_save_file_of_message(
    client: *const chancery_client,
    with: chancery_str,
    message: chancery_str,
    file: usize,
    folder: chancery_str,
    out_path: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, with, message, folder) =
            unsafe { (Out::new(out_path)?, with.text()?, message.text()?, folder.path()?) };
        with_client(client.cast(), |session| {
            let found = session.wait(session.client().find_message(with, message))?;
            out.text(save(session, session.client().me().device_id, Some(&found), (file, folder))?)
        })
    })
}
