//! What others are told of reading and writing, and how long messages stay.

use std::time::Duration;

use chancery::{ReceiptSettings, json};

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::text::{chancery_str, chancery_string};

/// Hands out what this member lets others know: {"read_receipts","delivery_receipts","typing"}, each true or false.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_receipt_settings(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            out.json(&json::receipt_settings(&session.wait(session.client().receipt_settings())?))
        })
    })
}

/// Sets what this member lets others know, on all its devices: that their messages were read, that they have come, and that it is writing.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_set_receipt_settings(
    client: *const chancery_client,
    read: bool,
    delivery: bool,
    typing: bool,
) -> chancery_code {
    boundary(|| {
        with_client(client.cast(), |session| {
            let settings = ReceiptSettings { read, delivery, typing };
            session.wait(session.client().set_receipt_settings(settings))
        })
    })
}

/// Hands out how long what is written to a member stays after it was read: {"disappears_after_s"}, null for ever. Of a group
/// `chancery_group_show` says it.
///
/// CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_disappearing(
    client: *const chancery_client,
    with: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_json)?, with.text()?) };
        with_client(client.cast(), |session| {
            out.json(&json::disappearing(session.wait(session.client().disappearing(with))?))
        })
    })
}

/// Sets how long what is written to a member from now on stays after it was read, there and here: from 1 second to 366 days, and 0 for ever.
/// In groups `chancery_group_set_policy` does it.
///
/// CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so. CHANCERY_USAGE: another time.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_set_disappearing(
    client: *const chancery_client,
    with: chancery_str,
    seconds: u64,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the text is as the caller says.
        let with = unsafe { with.text()? };
        with_client(client.cast(), |session| {
            let after = (seconds > 0).then(|| Duration::from_secs(seconds));
            session.wait(session.client().set_disappearing(with, after))
        })
    })
}

/// Tells a member that this one is writing, or no longer: within 5 seconds or not at all. It holds for 15 seconds there, so call it with every
/// key; it goes out every 5 seconds at most. Only devices are told with which messages went to and fro within the last 10 minutes.
/// What others tell comes as an event: see `chancery_event_number`.
///
/// CHANCERY_UNKNOWN_RECIPIENT: there is nobody called so. What keeps the word from being sent is no error.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_typing(
    client: *const chancery_client,
    to: chancery_str,
    stopped: bool,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the text is as the caller says.
        let to = unsafe { to.text()? };
        with_client(client.cast(), |session| session.wait(session.client().typing(to, stopped)).map(drop))
    })
}
