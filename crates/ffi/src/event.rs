//! Events, one by one.

use std::path::PathBuf;

use chancery::{Error, ErrorCode, Happening, Message, json};
use serde_json::{Value, json};

use crate::boundary::{Out, boundary, not_null, quietly, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::registry;
use crate::session::{Next, Session, patience};
use crate::text::{chancery_str, chancery_string};

/// Something that happened: a message, a member's new device, somebody who left, an act in a group. Yours until `chancery_event_free`.
pub struct chancery_event {
    _private: [u8; 0],
}

/// What a `chancery_event` stands for.
pub(crate) struct Happened {
    what: Next,
    /// Whose.
    owner: chancery::DeviceId,
}

fn message(happening: &Happening) -> Option<&Message> {
    match happening {
        Happening::Message(message) | Happening::MessageChanged { message, .. } => Some(message),
        _ => None,
    }
}

/// Saves a file of a message of one of the own device's.
pub(crate) fn save(
    session: &Session,
    owner: chancery::DeviceId,
    message: Option<&Message>,
    (file, folder): (usize, PathBuf),
) -> Result<String, Error> {
    if session.client().me().device_id != owner {
        return Err(Error::with(ErrorCode::WrongHandle, "it is of another device"));
    }
    let message = message.ok_or_else(|| Error::with(ErrorCode::Usage, "it is no message"))?;
    if file >= message.files.len() {
        return Err(Error::with(ErrorCode::Usage, "the message has no such file"));
    }
    let saved = session.wait(session.client().save_attachment(message, file, &folder))?;
    Ok(saved.to_string_lossy().into_owned())
}

/// Waits for the next event, `timeout_ms` at most (0: not at all; CHANCERY_FOREVER), and hands it out: in their order, each once by this
/// handle. Until `chancery_client_take_events` they come again when the client is opened again, with the same identifiers. At most 256 are handed
/// out without being taken.
///
/// CHANCERY_NO_EVENT: none came in time. CHANCERY_HANDLE_CLOSED: another thread has closed the client. Once `chancery_client_follow` has ended for
/// good, and all events were handed out: why it has. CHANCERY_STORE_LOCKED: the organisation's policy demands that the relay is reached first.
///
/// Threads: any, at once; each event goes to one of them. `chancery_client_close` wakes them all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_next_event(
    client: *const chancery_client,
    timeout_ms: u32,
    out_event: *mut *mut chancery_event,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_event)? };
        with_client(client.cast(), |session| {
            let what = session.next_event(patience(timeout_ms))?;
            out.hand_out(Happened { what, owner: session.client().me().device_id })
        })
    })
}

/// Says that all events up to and including this number were acted upon: they do not come again. 0 does nothing.
/// CHANCERY_EVENT_UNKNOWN for a number that this client has not handed out: nothing is taken.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_take_events(
    client: *const chancery_client,
    number: u64,
) -> chancery_code {
    boundary(|| {
        with_client(client.cast(), |session| match number.checked_sub(1) {
            Some(number) => session.take_events(number),
            None => Ok(()),
        })
    })
}

/// Returns a descriptor for poll, select or epoll: it can be read as long as an event waits, when following has ended, and when the client
/// is closed. Do not read from it and do not close it: call `chancery_client_next_event` with a timeout of 0 until it says CHANCERY_NO_EVENT. It
/// may be ready without an event now and then. It ends with `chancery_client_free`.
///
/// Threads: any, at once; all get the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_fd(
    client: *const chancery_client,
    out_fd: *mut i32,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_fd)? };
        with_client(client.cast(), |session| {
            out.write(session.fd()?);
            Ok(())
        })
    })
}

/// Hands out the event's number, for `chancery_client_take_events`: they are counted from 1. That somebody is writing, or no longer
/// ({"event":"typing"}), is nowhere stored: its number is 0, it holds for 15 seconds, and it is handed out once or not at all.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_event_number(
    event: *const chancery_event,
    out_number: *mut u64,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_number)? };
        out.write(match &registry::get::<Happened>(event.cast())?.what {
            // The first has 0 in the store, which stands here for what is not stored.
            Next::Stored(event) => event.number.saturating_add(1),
            Next::News(_) => 0,
        });
        Ok(())
    })
}

/// Hands out the event as `chancery receive --all-events --json` prints it. What it is stands in "event": "message"; "message-changed", edited, deleted,
/// reacted to or answered; "sent" and "failed", of what this device wrote; "receipt"; "read", by another own device; "gone", of messages that have
/// disappeared; "device-added"; "device-request", of an own device that waits for approval; "member-left"; "handle-reassigned"; "lost"; "group-act";
/// "group-gap"; "typing". Others may be added: take and pass over what you do not know.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_event_json(
    event: *const chancery_event,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        let happened = registry::get::<Happened>(event.cast())?;
        match &happened.what {
            Next::Stored(event) => {
                out.json(&json::event(event).unwrap_or_else(|| json!({"event": Value::Null})))
            }
            Next::News(shown) => out.json(shown),
        }
    })
}

/// Downloads file `file` (from 0, as in "files") of the message in an event into a folder, verifies it and hands out its path. What the
/// callback of `chancery_client_on_progress` is told, it is told meanwhile.
///
/// CHANCERY_ATTACHMENT_DAMAGED, CHANCERY_ATTACHMENT_GONE: there is no hope for it. CHANCERY_POLICY_FORBIDS: the organisation does not allow it.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_save_file(
    client: *const chancery_client,
    event: *const chancery_event,
    file: usize,
    folder: chancery_str,
    out_path: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, folder) = unsafe { (Out::new(out_path)?, folder.path()?) };
        not_null(event.cast())?;
        with_client(client.cast(), |session| {
            let happened = registry::get::<Happened>(event.cast())?;
            let message = match &happened.what {
                Next::Stored(event) => message(&event.happening),
                Next::News(_) => None,
            };
            out.text(save(session, happened.owner, message, (file, folder))?)
        })
    })
}

/// Frees an event. NULL, and what was freed before, is left alone.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_event_free(event: *mut chancery_event) {
    quietly(|| drop(registry::remove::<Happened>(event.cast())));
}
