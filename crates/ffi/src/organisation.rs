//! Who else there is, what the organisation says, and the member's own devices.

use chancery::{MEMBERS_AT_ONCE, json};
use serde_json::json;

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::session::patience;
use crate::text::{chancery_str, chancery_string};

/// Hands out members in the order of their handles, as the directory was when it was synchronised last: {"entries":[{"member","handle","name",
/// "unit","kind","devices"},…],"next"}, up to 1000 at once. `filter` is any part of a handle, name or unit, in upper or lower case, and everybody
/// if it is empty. `after` is empty at first, and then what "next" said, which is null at the end. The relay is not asked.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_members(
    client: *const chancery_client,
    filter: chancery_str,
    after: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, filter, after) = unsafe { (Out::new(out_json)?, filter.text()?, after.text()?) };
        with_client(client.cast(), |session| {
            let after = Some(after).filter(|after| !after.is_empty());
            let found = session.wait(session.client().members(filter, after))?;
            let next =
                found.last().filter(|_| found.len() >= MEMBERS_AT_ONCE).map(|last| last.handle.as_str());
            let entries: Vec<_> = found.iter().map(json::member).collect();
            out.json(&json!({"entries": entries, "next": next}))
        })
    })
}

/// Hands out the member of this handle or identifier, as one entry of `chancery_client_members` is. The relay is asked if nobody here is
/// called so.
///
/// CHANCERY_UNKNOWN_RECIPIENT: there is nobody. CHANCERY_RELAY_UNREACHABLE: nobody here, and the relay could not be asked.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_resolve(
    client: *const chancery_client,
    who: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, who) = unsafe { (Out::new(out_json)?, who.text()?) };
        with_client(client.cast(), |session| {
            out.json(&json::member(&session.wait(session.client().resolve(who))?))
        })
    })
}

/// Hands out the organisation's policy, as far as this device knows the log: {"freshness_s","device_limit","saving_attachments",…}.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_policy(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            out.json(&json::policy(&session.wait(session.client().policy())?))
        })
    })
}

/// Hands out what this device knows of the organisation's log: {"size","root","time","state","policy"}. Nothing is sent unless "state" is
/// "current", "aging" or "unconfirmed".
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_log_status(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            out.json(&json::log_status(&session.wait(session.client().log_status())?))
        })
    })
}

/// Hands out this member's devices as a JSON array, with those that wait for approval here: each as `chancery device list --json` prints it.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_devices(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            let devices = session.wait(session.client().devices())?;
            out.json(&devices.iter().map(json::device).collect())
        })
    })
}

/// Makes a link with which one more device of this member asks for approval, within ten minutes: {"link","expires"}. It is a secret.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_device_link(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            out.json(&json::device_link(&session.wait(session.client().device_link())?))
        })
    })
}

/// Approves the device that shows `code`, which the person has read there: {"member","device"}.
///
/// CHANCERY_DEVICE_REQUEST_UNKNOWN: no device with this code has asked.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_approve_device(
    client: *const chancery_client,
    code: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, code) = unsafe { (Out::new(out_json)?, code.text()?) };
        with_client(client.cast(), |session| {
            let approved = session.wait(session.client().approve_device(code, patience(patience_ms)))?;
            out.json(&json::device_approved(session.client().me(), &approved))
        })
    })
}

/// Removes another device of this member, given by its identifier: {"device","state"}.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_remove_device(
    client: *const chancery_client,
    device: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, device) = unsafe { (Out::new(out_json)?, device.text()?) };
        with_client(client.cast(), |session| {
            let removed = session.wait(session.client().remove_device(device, patience(patience_ms)))?;
            out.json(&json::device_removed(&removed))
        })
    })
}
