//! The own member's devices.

use chancery::json;
use serde_json::json as object;

use super::{Outcome, ok, wait};
use crate::service::Service;
use crate::shapes;

pub(super) async fn list(service: Service, params: shapes::Account) -> Outcome<shapes::Devices> {
    let devices = service.client(params.account.as_deref())?.devices().await?;
    ok(object!({"devices": devices.iter().map(json::device).collect::<Vec<_>>()}))
}

pub(super) async fn link(service: Service, params: shapes::Account) -> Outcome<shapes::DeviceLink> {
    ok(json::device_link(&service.client(params.account.as_deref())?.device_link().await?))
}

pub(super) async fn approve(service: Service, params: shapes::Approve) -> Outcome<shapes::DeviceChanged> {
    let client = service.client(params.account.as_deref())?;
    let device = client.approve_device(&params.code, wait(params.timeout_ms)).await?;
    ok(json::device_approved(client.me(), &device))
}

pub(super) async fn remove(service: Service, params: shapes::RemoveDevice) -> Outcome<shapes::DeviceChanged> {
    let client = service.client(params.account.as_deref())?;
    ok(json::device_removed(&client.remove_device(&params.device, wait(params.timeout_ms)).await?))
}
