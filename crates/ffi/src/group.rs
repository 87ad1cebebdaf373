//! Groups, which are named by their identifier, by its beginning of at least 8 digits, or by a name that only one has.

use std::time::Duration;

use chancery::{Error, ErrorCode, Group, GroupDone, GroupRole, json};

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::session::patience;
use crate::text::{chancery_str, chancery_string, texts};

/// Does something to a group and hands out what the group is then.
fn change(
    client: *const chancery_client,
    out: Out<*mut chancery_string>,
    group: &str,
    act: impl AsyncFnOnce(&Group) -> Result<GroupDone, Error>,
) -> Result<(), Error> {
    with_client(client.cast(), |session| {
        let changed = async {
            let group = session.client().group(group).await?;
            let done = act(&group).await?;
            Ok(now(&group, &done).await)
        };
        out.json(&session.wait(changed)?)
    })
}

async fn now(group: &Group, done: &GroupDone) -> serde_json::Value {
    let state = group.state().await.ok();
    json::group_done(group.id(), done.waiting.is_none(), state.as_ref().map(|state| &state.summary))
}

fn role(name: &str) -> Result<GroupRole, Error> {
    let known = [GroupRole::Owner, GroupRole::Administrator, GroupRole::Member, GroupRole::Reader];
    let found = known.into_iter().find(|role| json::role_name(*role) == name);
    found.ok_or_else(|| Error::with(ErrorCode::Usage, "a role is owner, admin, member or reader"))
}

/// Founds a group with this member as owner, and adds members, given by handle or identifier. This and everything else that changes a group
/// hands out {"group","state","name","phase","epoch","devices"}: "state" is "done", or "queued" if it is stored here and waits. What is queued
/// must not be repeated.
///
/// CHANCERY_UNKNOWN_RECIPIENT, CHANCERY_NAME_NOT_ALLOWED, CHANCERY_GROUP_LIMIT: nothing was stored.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_create(
    client: *const chancery_client,
    name: chancery_str,
    members: *const chancery_str,
    member_count: usize,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, name, members) =
            unsafe { (Out::new(out_json)?, name.text()?, texts(members, member_count)?) };
        with_client(client.cast(), |session| {
            let founded = async {
                let client = session.client();
                let (group, done) = client.create_group(name, &members, patience(patience_ms)).await?;
                Ok(now(&group, &done).await)
            };
            out.json(&session.wait(founded)?)
        })
    })
}

/// Hands out the groups that this device is in or was in, as a JSON array: each as `chancery group list --json` prints it.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_list(
    client: *const chancery_client,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_json)? };
        with_client(client.cast(), |session| {
            let groups = session.wait(session.client().groups())?;
            out.json(&groups.iter().map(json::group_summary).collect())
        })
    })
}

/// Hands out a group with its policy and its members, as `chancery group show --json` prints it.
///
/// CHANCERY_GROUP_UNKNOWN; CHANCERY_GROUP_AMBIGUOUS: use more of the identifier.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_show(
    client: *const chancery_client,
    group: chancery_str,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, group) = unsafe { (Out::new(out_json)?, group.text()?) };
        with_client(client.cast(), |session| {
            let state = session.wait(async { session.client().group(group).await?.state().await })?;
            out.json(&json::group_state(&state))
        })
    })
}

/// Adds members with all their devices, as "owner", "admin", "member" or "reader".
///
/// CHANCERY_GROUP_NOT_ALLOWED: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_add(
    client: *const chancery_client,
    group: chancery_str,
    members: *const chancery_str,
    member_count: usize,
    role_name: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, members, name) =
            unsafe { (Out::new(out_json)?, group.text()?, texts(members, member_count)?, role_name.text()?) };
        let as_what = async |group: &Group| group.add(&members, role(name)?, patience(patience_ms)).await;
        change(client, out, group, as_what)
    })
}

/// Removes members with all their devices. They keep what they have read.
///
/// CHANCERY_GROUP_NOT_ALLOWED: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_remove(
    client: *const chancery_client,
    group: chancery_str,
    members: *const chancery_str,
    member_count: usize,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, members) =
            unsafe { (Out::new(out_json)?, group.text()?, texts(members, member_count)?) };
        change(client, out, group, async |group| group.remove(&members, patience(patience_ms)).await)
    })
}

/// Gives a member the role "admin", "member" or "reader"; "owner" makes this member an administrator.
///
/// CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_CONFLICT for who is not in it: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_set_role(
    client: *const chancery_client,
    group: chancery_str,
    member: chancery_str,
    role_name: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, member, name) =
            unsafe { (Out::new(out_json)?, group.text()?, member.text()?, role_name.text()?) };
        let patience: Duration = patience(patience_ms);
        change(client, out, group, async |group| match role(name)? {
            GroupRole::Owner => group.hand_over(member, patience).await,
            role => group.set_role(member, role, patience).await,
        })
    })
}

/// Leaves a group with all own devices. It waits until a device of somebody who stays has made the new keys.
///
/// CHANCERY_GROUP_REFUSED if nobody would administer it: name somebody first.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_leave(
    client: *const chancery_client,
    group: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, group) = unsafe { (Out::new(out_json)?, group.text()?) };
        change(client, out, group, async |group| group.leave(patience(patience_ms)).await)
    })
}

/// Gives a group another name.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_rename(
    client: *const chancery_client,
    group: chancery_str,
    name: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, name) = unsafe { (Out::new(out_json)?, group.text()?, name.text()?) };
        change(client, out, group, async |group| group.rename(name, patience(patience_ms)).await)
    })
}

/// Ends a group for all; what was written stays.
///
/// CHANCERY_GROUP_NOT_ALLOWED: only owners may.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_dissolve(
    client: *const chancery_client,
    group: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, group) = unsafe { (Out::new(out_json)?, group.text()?) };
        change(client, out, group, async |group| group.dissolve(patience(patience_ms)).await)
    })
}

/// Writes text and files to a group, as `chancery_client_send` to a member: {"id","group","state"}.
///
/// CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LEFT and most others: nothing was stored.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_send(
    client: *const chancery_client,
    group: chancery_str,
    text: chancery_str,
    files: *const chancery_str,
    file_count: usize,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, text, files) =
            unsafe { (Out::new(out_json)?, group.text()?, text.text()?, texts(files, file_count)?) };
        let files: Vec<_> = files.into_iter().map(std::path::PathBuf::from).collect();
        with_client(client.cast(), |session| {
            let sent = async {
                let group = session.client().group(group).await?;
                let sent = group.send(text, &files, patience(patience_ms)).await?;
                Ok(json::group_sent(group.id(), &sent))
            };
            out.json(&session.wait(sent)?)
        })
    })
}
