//! Groups, which are named by their identifier, by its beginning of at least 8 digits, or by a name that only one has.

use std::time::Duration;

use chancery::{Error, ErrorCode, Group, GroupDone, GroupRole, json};

use crate::boundary::{Out, boundary, with_client};
use crate::client::chancery_client;
use crate::library::chancery_code;
use crate::rules::Rules;
use crate::session::patience;
use crate::text::{chancery_str, chancery_string, parse, texts};

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
    json::group_done(group.id(), done, state.as_ref().map(|state| &state.summary))
}

fn role(name: &str) -> Result<GroupRole, Error> {
    let known = [GroupRole::Owner, GroupRole::Administrator, GroupRole::Member, GroupRole::Reader];
    let found = known.into_iter().find(|role| json::role_name(*role) == name);
    found.ok_or_else(|| Error::with(ErrorCode::Usage, "a role is owner, admin, member or reader"))
}

/// Founds a group with this member as owner, and adds members, given by handle or identifier. This and everything else that changes a group
/// hands out {"group","state","name","phase","epoch","devices"}: "state" is "done", or "queued" if it is stored here and waits; "waiting" says
/// why, as for `chancery_client_send`. What is queued must not be repeated.
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

/// Writes text and files to a group, as `chancery_client_send` to a member: {"id","group","state"}, and "waiting" as there.
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

/// Writes a message with all that one may have to a group: `message` as for `chancery_client_send_message`, what is handed out as for
/// `chancery_group_send`. Acts on messages of a group are those of `chancery_client_edit` and what follows it there.
///
/// CHANCERY_ACT_INVALID, CHANCERY_MESSAGE_UNKNOWN: as there. CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LEFT. Nothing was stored then.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_send_message(
    client: *const chancery_client,
    group: chancery_str,
    message: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, message) = unsafe { (Out::new(out_json)?, group.text()?, message.text()?) };
        with_client(client.cast(), |session| {
            let message = json::outgoing(&parse(message, ErrorCode::ActInvalid)?)?;
            let sent = async {
                let group = session.client().group(group).await?;
                let sent = group.send_message(message, patience(patience_ms)).await?;
                Ok(json::group_sent(group.id(), &sent))
            };
            out.json(&session.wait(sent)?)
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

/// Makes another member owner, and this one an administrator.
///
/// CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_CONFLICT for who is not in it: nothing has changed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_hand_over(
    client: *const chancery_client,
    group: chancery_str,
    member: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, member) = unsafe { (Out::new(out_json)?, group.text()?, member.text()?) };
        change(client, out, group, async |group| group.hand_over(member, patience(patience_ms)).await)
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

/// Changes a group's policy: `policy` is a JSON object with some of the fields that "policy" of `chancery_group_show` has, and what it does not name
/// stays. "retention_s" and "disappearing_s" are whole seconds, or null for no limit; "posting" is "all" or "admins"; "history" is how many
/// messages who is added is sent again, 0 to 100; "heal_s" is after which time administrators' devices renew all keys, or null for never.
///
/// CHANCERY_USAGE: it is no JSON, or not of this form; `chancery_last_detail` names the field. CHANCERY_GROUP_NOT_ALLOWED, CHANCERY_GROUP_LIMIT.
/// Nothing has changed then.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_set_policy(
    client: *const chancery_client,
    group: chancery_str,
    policy: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, policy) = unsafe { (Out::new(out_json)?, group.text()?, policy.text()?) };
        change(client, out, group, async |group| {
            let rules = Rules::read(&parse(policy, ErrorCode::Usage)?)?;
            group.set_policy(|info| rules.apply(info), patience(patience_ms)).await
        })
    })
}

/// Renews all keys of a group, as after a device was in the wrong hands.
///
/// CHANCERY_GROUP_NOT_ALLOWED: only owners and administrators may.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_heal(
    client: *const chancery_client,
    group: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, group) = unsafe { (Out::new(out_json)?, group.text()?) };
        change(client, out, group, async |group| group.heal(patience(patience_ms)).await)
    })
}

/// Carries out an order that an administrator of the organisation has signed, as `chancery org group` prints it.
///
/// CHANCERY_ORDER_DAMAGED: it is not whole. CHANCERY_GROUP_REFUSED: it has expired, was carried out before or is for another group.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_group_execute(
    client: *const chancery_client,
    group: chancery_str,
    order: chancery_str,
    patience_ms: u32,
    out_json: *mut *mut chancery_string,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the texts are as they say.
        let (out, group, order) = unsafe { (Out::new(out_json)?, group.text()?, order.text()?) };
        change(client, out, group, async |group| group.execute(order, patience(patience_ms)).await)
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
