//! What happens.

use std::time::Duration;

use chancery::{ErrorCode, Happening};
use serde_json::json as object;

use super::{Outcome, done, ok, patience};
use crate::service::Service;
use crate::shapes;

pub(super) async fn next(service: Service, params: shapes::NextEvent) -> Outcome<shapes::MaybeEvent> {
    let account = service.account(params.account.as_deref())?;
    let timeout = patience(params.timeout_ms, Duration::ZERO);
    ok(account.next(&service, params.after, timeout).await?.unwrap_or_default())
}

pub(super) async fn acknowledge(service: Service, params: shapes::Acknowledge) -> Outcome<shapes::Done> {
    service.account(params.account.as_deref())?.acknowledge(params.number).await?;
    done()
}

pub(super) async fn save_file(service: Service, params: shapes::SaveFile) -> Outcome<shapes::SavedFile> {
    let account = service.account(params.account.as_deref())?;
    let events = account.events(None).await?;
    let event = events.iter().find(|event| event.number == params.number);
    let Some(Happening::Message(message)) = event.map(|event| &event.happening) else {
        return Err(chancery::Error::with(ErrorCode::EventUnknown, params.number.to_string()).into());
    };
    let path = account.client()?.save_attachment(message, params.index, &params.folder).await?;
    ok(object!({"path": path.display().to_string()}))
}
