//! Members, policy, and the organisation's log.

use chancery::{MEMBERS_AT_ONCE, json};
use serde_json::json as object;

use super::{Outcome, ok};
use crate::service::Service;
use crate::shapes;

pub(super) async fn list(service: Service, params: shapes::ListMembers) -> Outcome<shapes::Members> {
    let client = service.client(params.account.as_deref())?;
    let page = client.members(&params.filter, params.after.as_deref()).await?;
    let next = page.last().filter(|_| page.len() >= MEMBERS_AT_ONCE).map(|last| &last.handle);
    ok(object!({"entries": page.iter().map(json::member).collect::<Vec<_>>(), "next": next}))
}

pub(super) async fn resolve(service: Service, params: shapes::Resolve) -> Outcome<shapes::Member> {
    let client = service.client(params.account.as_deref())?;
    ok(json::member(&client.resolve(&params.who).await?))
}

pub(super) async fn policy(service: Service, params: shapes::Account) -> Outcome<shapes::Policy> {
    ok(json::policy(&service.client(params.account.as_deref())?.policy().await?))
}

pub(super) async fn log_status(service: Service, params: shapes::Account) -> Outcome<shapes::LogStatus> {
    ok(json::log_status(&service.client(params.account.as_deref())?.log_status().await?))
}
