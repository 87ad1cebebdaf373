//! A device of a member.

use std::ffi::c_void;
use std::path::PathBuf;

use chancery::{KeySource, json};

use crate::boundary::{Out, boundary, quietly, with_client};
use crate::key::chancery_key;
use crate::library::chancery_code;
use crate::registry;
use crate::session::{Session, patience};
use crate::text::{chancery_str, chancery_string, texts};

/// A member's device: sends, receives, keeps history. Yours until `chancery_client_free`. It has a thread for the network and one for its
/// store, and nothing in common with other clients, of which a process may have many, also on the same home.
pub struct chancery_client {
    _private: [u8; 0],
}

/// Is told the code that the person compares on the device that made a device link, and approves there. `code` holds until the function
/// returns. It is called on the thread that enrols; it must not call functions of any client.
pub type chancery_code_callback = Option<unsafe extern "C" fn(userdata: *mut c_void, code: chancery_str)>;

/// Is told how far a file has come: `done` of `total` bytes. `name` holds until the function returns. It is called on a thread of the
/// library, or on one that waits in a call of the same client; it must not call functions of any client.
pub type chancery_progress_callback =
    Option<unsafe extern "C" fn(userdata: *mut c_void, name: chancery_str, done: u64, total: u64)>;

/// Opens the home of an enrolled device. Nothing is sent yet.
///
/// CHANCERY_STORE_NOT_FOUND, CHANCERY_NOT_ENROLLED: enrol first. CHANCERY_WRONG_PASSPHRASE: ask again. CHANCERY_REVOKED: the organisation has
/// ended the device, and nothing of it is left.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_new(
    home: chancery_str,
    key: *const chancery_key,
    out_client: *mut *mut chancery_client,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, home) = unsafe { (Out::new(out_client)?, home.path()?) };
        let key = registry::get::<KeySource>(key.cast())?;
        out.hand_out(Session::open(&home, &key)?)
    })
}

/// Makes the folder `home` a device of the member that `link` is for, and opens it. If the link is a device link, the callback is told what to
/// approve on the other device; it may be NULL. If the process ends meanwhile, call again with the same link.
///
/// CHANCERY_INVITATION_USED, CHANCERY_INVITATION_EXPIRED and others of 202 to 206: ask for another link. CHANCERY_DESK_UNAVAILABLE,
/// CHANCERY_RELAY_UNREACHABLE, CHANCERY_TIMED_OUT: try again later. CHANCERY_ALREADY_ENROLLED: use another folder.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_new_enrolled(
    home: chancery_str,
    key: *const chancery_key,
    link: chancery_str,
    patience_ms: u32,
    userdata: *mut c_void,
    callback: chancery_code_callback,
    out_client: *mut *mut chancery_client,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, home, link) = unsafe { (Out::new(out_client)?, home.path()?, link.text()?) };
        let key = registry::get::<KeySource>(key.cast())?;
        let show = |code: &str| {
            if let Some(callback) = callback {
                let code = chancery_str { data: code.as_ptr().cast(), len: code.len() };
                // SAFETY: a function of this type; the code lives until it returns.
                unsafe { callback(userdata, code) }
            }
        };
        out.hand_out(Session::enroll((&home, &key), link, patience(patience_ms), show)?)
    })
}

/// Ends what the client does in the background, and every call of it that waits, in whatever thread: they return CHANCERY_HANDLE_CLOSED within
/// moments, as does every later call. A message whose sending it interrupts may be stored or not: look in the history. Nothing that was
/// stored is lost. What is left to do is `chancery_client_free`.
///
/// Threads: any, at once, also while others wait in a call of this client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_close(client: *const chancery_client) -> chancery_code {
    boundary(|| {
        registry::get::<Session>(client.cast())?.close();
        Ok(())
    })
}

/// Closes a client and frees it: its threads end with the last call that is under way. NULL, and what was freed before, is left alone.
///
/// Threads: any, also while others wait in a call of this client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_free(client: *mut chancery_client) {
    quietly(|| {
        if let Some(session) = registry::remove::<Session>(client.cast()) {
            session.close();
        }
    });
}

/// Hands out who this device is: {"org_id","fingerprint","organisation","member","device","handle","name"}, as `chancery enroll --json` does.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_me(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| out.json(&json::me(session.client().me())))
    })
}

/// Connects once, sends what waits, and takes over what has arrived; `*out_count` is how many envelopes that were. For programs that run now
/// and then; others call `chancery_client_follow`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_sync(
    client: *const chancery_client,
    patience_ms: u32,
    out_count: *mut usize,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_count)? };
        with_client(client.cast(), |session| {
            out.write(session.wait(session.client().sync(patience(patience_ms)))?);
            Ok(())
        })
    })
}

/// Keeps connected from now on, in the background and until the client is closed: what arrives is stored and becomes events, what waits is
/// sent, and a connection that is lost is made again. Returns at once; if that is so already, nothing changes. What waiting cannot mend ends it:
/// see `chancery_client_next_event`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_follow(client: *const chancery_client) -> chancery_code {
    boundary(|| with_client(client.cast(), |session| session.follow()))
}

/// Sends text and files, given by their paths, to a member, given by handle or identifier, and waits until the relay has them, `patience_ms` at
/// most. Hands out {"id","state"}: "sent", or "queued" if it is stored here and goes with whatever connects next; then there is also "waiting":
/// {"code","message","retry","cause"}, whose "cause" is the name of the code that says why, if that is known. Do not repeat a call that has
/// succeeded: it would be sent twice.
///
/// CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_FILE_NOT_FOUND and most others: nothing was stored. CHANCERY_SEND_FAILED: it is refused for good.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_send(
    client: *const chancery_client,
    to: chancery_str,
    text: chancery_str,
    files: *const chancery_str,
    file_count: usize,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, to, text, files) =
            unsafe { (Out::new(out_json)?, to.text()?, text.text()?, texts(files, file_count)?) };
        let files: Vec<PathBuf> = files.into_iter().map(PathBuf::from).collect();
        with_client(client.cast(), |session| {
            let sent = session.wait(session.client().send(to, text, &files, patience(patience_ms)))?;
            out.json(&json::sent(&sent))
        })
    })
}

/// Names who is told how far files have come, both up and down; NULL for nobody. Once this returns, whoever was named before is not called any
/// more, and what was their `userdata` may go. At most one call is under way at a time.
///
/// Threads: any, at once, but not from within a callback (CHANCERY_WITHIN_CALLBACK).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_on_progress(
    client: *const chancery_client,
    userdata: *mut c_void,
    callback: chancery_progress_callback,
) -> chancery_code {
    boundary(|| {
        with_client(client.cast(), |session| session.listen(callback.map(|function| (userdata, function))))
    })
}

/// Panics, so that a test sees what becomes of that.
///
/// # Panics
///
/// Always; what is around every function catches it.
///
/// cbindgen:ignore
#[cfg(feature = "planted-panic")]
#[unsafe(no_mangle)]
#[expect(clippy::panic, reason = "it is what the function is for")]
pub unsafe extern "C" fn chancery_test_panic(client: *const chancery_client) -> chancery_code {
    boundary(|| with_client(client.cast(), |_| panic!("planted")))
}
