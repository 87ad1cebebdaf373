//! What serves, and the accounts that it serves.

use chancery::json;
use serde_json::{Value, json as object};

use super::{Outcome, done, ok, wait};
use crate::limit::{MAX_BATCH, MAX_IN_FLIGHT, MAX_REQUEST};
use crate::service::Service;
use crate::shapes::{self, ReceiveMode};

pub(super) async fn version(service: Service, _: shapes::Nothing) -> Outcome<shapes::Version> {
    let mode = match service.mode() {
        ReceiveMode::Automatic => "automatic",
        ReceiveMode::Manual => "manual",
    };
    ok(object!({
        "version": env!("CARGO_PKG_VERSION"),
        "receive_mode": mode,
        "max_request": MAX_REQUEST,
        "max_batch": MAX_BATCH,
        "max_in_flight": MAX_IN_FLIGHT,
    }))
}

pub(super) async fn discover(_: Service, _: shapes::Nothing) -> Outcome<shapes::Document> {
    ok(crate::openrpc())
}

pub(super) async fn authenticate(_: Service, _: shapes::Token) -> Outcome<shapes::Done> {
    // Where a token is needed, the connection has looked at it before.
    done()
}

pub(super) async fn list(service: Service, _: shapes::Nothing) -> Outcome<shapes::Accounts> {
    let accounts: Vec<Value> = service.accounts().iter().map(|account| account.object()).collect();
    ok(object!({"accounts": accounts}))
}

pub(super) async fn add(service: Service, params: shapes::NewAccount) -> Outcome<shapes::AccountState> {
    let shapes::NewAccount { account, home, key_file } = params;
    let key = match chancery::Client::exists(&home) {
        true => chancery::read_key_file(&key_file)?,
        false => chancery::read_or_create_key_file(&key_file)?,
    };
    // A key file opens without delay; no thread of its own is needed.
    service.add(&account, &home, key)?;
    ok(service.account(Some(&account))?.object())
}

pub(super) async fn enrol(service: Service, params: shapes::Enrol) -> Outcome<shapes::Me> {
    let timeout = wait(params.timeout_ms);
    let client = service.enrol(params.account.as_deref(), &params.link, timeout).await?;
    ok(json::me(client.me()))
}

pub(super) async fn close(service: Service, params: shapes::Account) -> Outcome<shapes::Done> {
    service.close(params.account.as_deref())?;
    done()
}

pub(super) async fn me(service: Service, params: shapes::Account) -> Outcome<shapes::Me> {
    ok(json::me(service.client(params.account.as_deref())?.me()))
}

pub(super) async fn sync(service: Service, params: shapes::Wait) -> Outcome<shapes::Synced> {
    let client = service.client(params.account.as_deref())?;
    ok(object!({"envelopes": client.sync(wait(params.timeout_ms)).await?}))
}
