//! Conversations and their histories.

use chancery::json;
use serde_json::{Value, json as object};

use super::{Outcome, done, ok};
use crate::limit::USUAL_PAGE;
use crate::service::Service;
use crate::shapes;

pub(super) async fn list(service: Service, params: shapes::Account) -> Outcome<shapes::Conversations> {
    let found = service.client(params.account.as_deref())?.conversations().await?;
    ok(object!({"conversations": found.iter().map(json::conversation).collect::<Vec<_>>()}))
}

pub(super) async fn show(service: Service, params: shapes::With) -> Outcome<shapes::Conversation> {
    let client = service.client(params.account.as_deref())?;
    ok(json::conversation(&client.conversation(&params.with).await?))
}

pub(super) async fn readers(service: Service, params: shapes::With) -> Outcome<shapes::Readers> {
    let found = service.client(params.account.as_deref())?.readers(&params.with).await?;
    ok(object!({"readers": found.iter().map(json::reader).collect::<Vec<_>>()}))
}

pub(super) async fn history_before(service: Service, params: shapes::HistoryBefore) -> Outcome<shapes::Page> {
    let client = service.client(params.account.as_deref())?;
    let limit = params.limit.unwrap_or(USUAL_PAGE);
    let page = client.history_before(&params.with, params.before, limit).await?;
    let entries: Vec<Value> = page.iter().map(json::history_entry).collect();
    ok(object!({"entries": entries, "next": page.next}))
}

pub(super) async fn mark_read(service: Service, params: shapes::MarkRead) -> Outcome<shapes::Unread> {
    let client = service.client(params.account.as_deref())?;
    ok(object!({"unread": client.mark_read(&params.with, params.position).await?}))
}

pub(super) async fn set_draft(service: Service, params: shapes::SetDraft) -> Outcome<shapes::Done> {
    service.client(params.account.as_deref())?.set_draft(&params.with, &params.text).await?;
    done()
}

pub(super) async fn history(service: Service, params: shapes::History) -> Outcome<shapes::Page> {
    let client = service.client(params.account.as_deref())?;
    let page = client.history(&params.with, params.from).await?;
    ok(object!({"entries": page.iter().map(json::message).collect::<Vec<_>>(), "next": page.next}))
}
