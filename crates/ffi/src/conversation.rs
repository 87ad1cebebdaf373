//! Conversations as a list, each of them from its end, and where a person is in it.

use chancery::json;
use serde_json::{Value, json};

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::text::{chancery_str, chancery_string};

/// Hands out the conversations with members and groups as a JSON array, the newest first: {"conversation","kind","title","handle","name",
/// "unread","last":{"position","at","from","handle","summary","act"},"draft"}. "kind" is "direct" or "group"; "conversation" is the member's or
/// the group's identifier, and names it wherever `with` is asked for. The relay is not asked.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_conversations(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            let found = session.wait(session.client().conversations())?;
            out.json(&found.iter().map(json::conversation).collect())
        })
    })
}

/// Hands out one conversation, as an entry of `chancery_client_conversations`. Here and below `with` is a member's handle or identifier, or a
/// group's name or identifier; a handle goes before a group's name.
///
/// CHANCERY_UNKNOWN_RECIPIENT: there is nobody and no group called so. CHANCERY_GROUP_AMBIGUOUS: use the identifier.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_conversation(
    client: *const chancery_client,
    with: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_json)?, with.text()?) };
        with_client(client.cast(), |session| {
            out.json(&json::conversation(&session.wait(session.client().conversation(with))?))
        })
    })
}

/// Hands out who can read what is written in a conversation from now on, as a JSON array: {"member","handle","name","kind","devices"} of the
/// other member and this one, with their devices, or of a group's members, with those that are in it. There is nobody else: neither the relay
/// nor the organisation has a copy or a key. Others who have left since may have read what was written before. The relay is not asked.
///
/// CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_readers(
    client: *const chancery_client,
    with: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_json)?, with.text()?) };
        with_client(client.cast(), |session| {
            let readers = session.wait(session.client().readers(with))?;
            out.json(&readers.iter().map(json::reader).collect())
        })
    })
}

/// Reads a conversation from its end: hands out {"entries":[…],"next"} with up to `limit` (1 to 256) of the newest entries before position
/// `before`, oldest first; 0 begins at the end. Each entry has its "position". "next" is the `before` of the page before this one, and null at
/// the beginning of the conversation.
///
/// CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_history_before(
    client: *const chancery_client,
    with: chancery_str,
    before: u64,
    limit: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_json)?, with.text()?) };
        with_client(client.cast(), |session| {
            // Before the first entry, which has position 0, there is nothing to ask for.
            let before = Some(before).filter(|&before| before > 0);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let page = session.wait(session.client().history_before(with, before, limit))?;
            let entries: Vec<Value> = page.entries.iter().map(json::history_entry).collect();
            out.json(&json!({"entries": entries, "next": page.next}))
        })
    })
}

/// Marks a conversation as read up to and including a position; `*out_unread` is how many messages are unread then. Their authors are told,
/// as far as `chancery_client_receipt_settings` and the organisation let it, and so are one's own other devices: with whatever connects
/// next. What is to disappear has its time from now on.
///
/// CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_GROUP_AMBIGUOUS: as for `chancery_client_conversation`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_mark_read(
    client: *const chancery_client,
    with: chancery_str,
    position: u64,
    out_unread: *mut u64,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_unread)?, with.text()?) };
        with_client(client.cast(), |session| {
            out.write(session.wait(session.client().mark_read(with, position))?);
            Ok(())
        })
    })
}

/// Keeps what was begun and not sent in a conversation, at most 32 KiB, on this device; an empty text forgets it. Sending does not forget it.
/// `chancery_client_conversation` has it.
///
/// CHANCERY_MESSAGE_TOO_LARGE; others as for `chancery_client_conversation`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_set_draft(
    client: *const chancery_client,
    with: chancery_str,
    text: chancery_str,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the texts are as the caller says.
        let (with, text) = unsafe { (with.text()?, text.text()?) };
        with_client(client.cast(), |session| session.wait(session.client().set_draft(with, text)))
    })
}
