//! Histories, by pages.

use chancery::{GroupEntry, Message, Page, json};
use serde_json::Value;

use crate::boundary::{Out, boundary, not_null, quietly, with_client};
use crate::client::chancery_client;
use crate::event::save;
use crate::library::chancery_code;
use crate::registry;
use crate::text::{chancery_str, chancery_string};

/// Up to 256 entries of a history. Yours until `chancery_page_free`.
pub struct chancery_page {
    _private: [u8; 0],
}

/// What a `chancery_page` stands for.
pub(crate) struct Entries {
    /// Each as it is shown, and the message if it is one.
    entries: Vec<(Value, Option<Message>)>,
    next: Option<u64>,
    owner: chancery::DeviceId,
}

impl Entries {
    pub(crate) fn of_messages(page: Page<Message>, owner: chancery::DeviceId) -> Self {
        let entries = page.entries.into_iter().map(|it| (json::message(&it), Some(it))).collect();
        Self { entries, next: page.next, owner }
    }

    pub(crate) fn of_group(page: Page<GroupEntry>, owner: chancery::DeviceId) -> Self {
        let entry = |it: GroupEntry| {
            let shown = json::group_entry(&it)?;
            let message = if let GroupEntry::Message(message) = it { Some(*message) } else { None };
            Some((shown, message))
        };
        Self { entries: page.entries.into_iter().filter_map(entry).collect(), next: page.next, owner }
    }
}

/// Hands out a page of the conversation with a member, oldest first: from position 0 on, then from where `chancery_page_next` says. The
/// relay is not asked.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_history(
    client: *const chancery_client,
    with: chancery_str,
    position: u64,
    out_page: *mut *mut chancery_page,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, with) = unsafe { (Out::new(out_page)?, with.text()?) };
        with_client(client.cast(), |session| {
            let page = session.wait(session.client().history(with, position))?;
            out.hand_out(Entries::of_messages(page, session.client().me().device_id))
        })
    })
}

/// Hands out a page of a group's messages and acts, oldest first, as `chancery_client_history` does.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_history(
    client: *const chancery_client,
    group: chancery_str,
    position: u64,
    out_page: *mut *mut chancery_page,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, group) = unsafe { (Out::new(out_page)?, group.text()?) };
        with_client(client.cast(), |session| {
            let read = async { session.client().group(group).await?.history(position).await };
            let page = session.wait(read)?;
            out.hand_out(Entries::of_group(page, session.client().me().device_id))
        })
    })
}

/// Hands out the page's entries as a JSON array: each as `chancery history --json` or `chancery group history --json` prints it.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_page_json(
    page: *const chancery_page,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        let page = registry::get::<Entries>(page.cast())?;
        out.json(&page.entries.iter().map(|(shown, _)| shown.clone()).collect())
    })
}

/// Says whether there is a page behind this one, and at which position it begins (0 if there is none).
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_page_next(
    page: *const chancery_page,
    out_more: *mut bool,
    out_position: *mut u64,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let (more, position) = unsafe { (Out::new(out_more)?, Out::new(out_position)?) };
        let next = registry::get::<Entries>(page.cast())?.next;
        more.write(next.is_some());
        position.write(next.unwrap_or_default());
        Ok(())
    })
}

/// As `chancery_client_save_file`, of the message that is entry `entry` (from 0) of a page.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_client_save_file_of_page(
    client: *const chancery_client,
    page: *const chancery_page,
    entry: usize,
    file: usize,
    folder: chancery_str,
    out_path: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, folder) = unsafe { (Out::new(out_path)?, folder.path()?) };
        not_null(page.cast())?;
        with_client(client.cast(), |session| {
            let page = registry::get::<Entries>(page.cast())?;
            let message = page.entries.get(entry).and_then(|(_, message)| message.as_ref());
            out.text(save(session, page.owner, message, (file, folder))?)
        })
    })
}

/// Frees a page. NULL, and what was freed before, is left alone.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_page_free(page: *mut chancery_page) {
    quietly(|| drop(registry::remove::<Entries>(page.cast())));
}
