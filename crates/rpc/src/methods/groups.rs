//! Groups.

use std::time::Duration;

use chancery::{Group, GroupDone, GroupInfo, GroupRole, json};
use serde_json::{Value, json as object};

use super::{Outcome, ok, wait};
use crate::fault::Fault;
use crate::service::Service;
use crate::shapes::{self, Posting, Role};

fn names(members: &[String]) -> Vec<&str> {
    members.iter().map(String::as_str).collect()
}

const fn role_of(role: Role) -> GroupRole {
    match role {
        Role::Owner => GroupRole::Owner,
        Role::Admin => GroupRole::Administrator,
        Role::Member => GroupRole::Member,
        Role::Reader => GroupRole::Reader,
    }
}

async fn group(service: &Service, account: Option<&str>, which: &str) -> Result<Group, Fault> {
    Ok(service.client(account)?.group(which).await?)
}

async fn finish(group: &Group, done: GroupDone) -> Outcome<shapes::GroupDone> {
    let state = group.state().await.ok();
    let now = state.as_ref().map(|state| &state.summary);
    ok(json::group_done(group.id(), &done, now))
}

pub(super) async fn create(service: Service, params: shapes::CreateGroup) -> Outcome<shapes::GroupDone> {
    let client = service.client(params.account.as_deref())?;
    let members = names(&params.members);
    let (group, done) = client.create_group(&params.name, &members, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn list(service: Service, params: shapes::Account) -> Outcome<shapes::Groups> {
    let groups = service.client(params.account.as_deref())?.groups().await?;
    ok(object!({"groups": groups.iter().map(json::group_summary).collect::<Vec<_>>()}))
}

pub(super) async fn show(service: Service, params: shapes::OneGroup) -> Outcome<shapes::Group> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    ok(json::group_state(&group.state().await?))
}

pub(super) async fn add(service: Service, params: shapes::AddMembers) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let role = params.role.map_or(GroupRole::Member, role_of);
    let done = group.add(&names(&params.members), role, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn remove(service: Service, params: shapes::RemoveMembers) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.remove(&names(&params.members), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn role(service: Service, params: shapes::SetRole) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.set_role(&params.member, role_of(params.role), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn hand_over(service: Service, params: shapes::HandOver) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.hand_over(&params.member, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn leave(service: Service, params: shapes::GroupWait) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.leave(wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn rename(service: Service, params: shapes::Rename) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.rename(&params.name, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

/// Reads a time in seconds, of which 0 says that there is none.
fn limit(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

impl shapes::SetGroupPolicy {
    fn apply(&self, info: &mut GroupInfo) {
        info.retention = self.retention_s.map_or(info.retention, limit);
        info.disappearing = self.disappearing_s.map_or(info.disappearing, limit);
        info.posting = self.posting.map_or(info.posting, |posting| match posting {
            Posting::All => chancery::Posting::Members,
            Posting::Admins => chancery::Posting::Keyholders,
        });
        info.history = self.history.unwrap_or(info.history);
        info.heal = self.heal_s.map_or(info.heal, limit);
    }
}

pub(super) async fn set_policy(
    service: Service,
    params: shapes::SetGroupPolicy,
) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.set_policy(|info| params.apply(info), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn heal(service: Service, params: shapes::GroupWait) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.heal(wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn execute(service: Service, params: shapes::Execute) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.execute(&params.order, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn dissolve(service: Service, params: shapes::GroupWait) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.dissolve(wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

pub(super) async fn history(service: Service, params: shapes::GroupHistory) -> Outcome<shapes::Page> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let page = group.history(params.from).await?;
    let entries: Vec<Value> = page.iter().filter_map(json::group_entry).collect();
    ok(object!({"entries": entries, "next": page.next}))
}
