//! What others are told, and how long messages stay.

use std::time::Duration;

use chancery::{ReceiptSettings, json};
use serde_json::json as object;

use super::{Outcome, ok};
use crate::service::Service;
use crate::shapes;

pub(super) async fn show(service: Service, params: shapes::Account) -> Outcome<shapes::Settings> {
    let client = service.client(params.account.as_deref())?;
    ok(json::receipt_settings(&client.receipt_settings().await?))
}

pub(super) async fn set(service: Service, params: shapes::SetSettings) -> Outcome<shapes::Settings> {
    let client = service.client(params.account.as_deref())?;
    let before = client.receipt_settings().await?;
    let after = ReceiptSettings {
        read: params.read_receipts.unwrap_or(before.read),
        delivery: params.delivery_receipts.unwrap_or(before.delivery),
        typing: params.typing.unwrap_or(before.typing),
    };
    if after != before {
        client.set_receipt_settings(after).await?;
    }
    ok(json::receipt_settings(&after))
}

pub(super) async fn disappearing(
    service: Service,
    params: shapes::WithMember,
) -> Outcome<shapes::Disappearing> {
    let client = service.client(params.account.as_deref())?;
    ok(json::disappearing(client.disappearing(&params.with).await?))
}

pub(super) async fn set_disappearing(
    service: Service,
    params: shapes::SetDisappearing,
) -> Outcome<shapes::Disappearing> {
    let client = service.client(params.account.as_deref())?;
    let after = (params.seconds > 0).then(|| Duration::from_secs(params.seconds));
    client.set_disappearing(&params.with, after).await?;
    ok(json::disappearing(after))
}

pub(super) async fn typing(service: Service, params: shapes::Typing) -> Outcome<shapes::Told> {
    let client = service.client(params.account.as_deref())?;
    ok(object!({"devices": client.typing(&params.to, params.stopped).await?}))
}
