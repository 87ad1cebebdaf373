//! The methods: the one table that is served and that the OpenRPC document is made of.

use std::marker::PhantomData;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use chancery::{ErrorCode, Group, GroupDone, GroupRole, Happening, Sent, json};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Value, json as object};

use crate::fault::Fault;
use crate::limit::{LONGEST_WAIT, MAX_BATCH, MAX_IN_FLIGHT, MAX_REQUEST, USUAL_WAIT};
use crate::service::Service;
use crate::shapes::{self, ReceiveMode, Role};

/// A call that was begun. It stays on its thread: not all of what a client does may go to another.
pub(crate) type Future = Pin<Box<dyn std::future::Future<Output = Result<Value, Fault>>>>;

/// A method.
pub(crate) struct Method {
    pub(crate) name: &'static str,
    /// The first line says what it does.
    pub(crate) about: &'static str,
    pub(crate) params: fn(&mut SchemaGenerator) -> Schema,
    pub(crate) result: fn(&mut SchemaGenerator) -> Schema,
    /// What callers should expect to fail.
    pub(crate) errors: &'static [ErrorCode],
    /// Reads the parameters at once, and does the rest when it is awaited.
    pub(crate) call: fn(Service, &str) -> Result<Future, Fault>,
}

/// A result of the shape `R`.
struct Answer<R>(Value, PhantomData<R>);

impl<R: DeserializeOwned> Answer<R> {
    fn new(value: Value) -> Self {
        debug_assert!(
            serde_json::from_value::<R>(value.clone()).is_ok(),
            "{value} is no {}",
            std::any::type_name::<R>()
        );
        Self(value, PhantomData)
    }
}

type Outcome<R> = Result<Answer<R>, Fault>;

fn read<P: DeserializeOwned>(params: &str) -> Result<P, Fault> {
    serde_json::from_str(params).map_err(Fault::params)
}

macro_rules! methods {
    ($($(#[doc = $about:literal])+ $name:literal $handler:ident($params:ident) -> $result:ident
        $([$($error:ident),+])?;)*) => {
        /// Every method.
        pub(crate) const METHODS: &[Method] = &[$(Method {
            name: $name,
            about: concat!($($about, "\n"),+),
            params: |generator| <shapes::$params as JsonSchema>::json_schema(generator),
            result: |generator| generator.subschema_for::<shapes::$result>(),
            errors: &[$($(ErrorCode::$error),+)?],
            call: |service, params| {
                let params: shapes::$params = read(params)?;
                Ok(Box::pin(async move {
                    let answer: Answer<shapes::$result> = $handler(service, params).await?;
                    Ok(answer.0)
                }))
            },
        }),*];
    };
}

methods! {
    /// Says what serves, and its limits.
    "version" version(Nothing) -> Version;
    /// Returns this document.
    "rpc.discover" discover(Nothing) -> Document;
    /// Shows the token, as the first call on a TCP connection; elsewhere it does nothing.
    "authenticate" authenticate(Token) -> Done [TokenMissing];

    /// Lists the accounts and how they are.
    "accounts.list" accounts_list(Nothing) -> Accounts;
    /// Serves a device's folder, which may not be enrolled yet.
    "accounts.add" accounts_add(NewAccount) -> AccountState [AccountExists, AccountLimit, WrongPassphrase, KeyFileUnusable];
    /// Makes the account's folder a member's device. With a device link, `accounts.list` meanwhile has the code to compare.
    "accounts.enrol" accounts_enrol(Enrol) -> Me [AlreadyEnrolled, InvitationDamaged, InvitationExpired, InvitationUsed, DeskUnavailable, RelayUnreachable, NotApproved];
    /// Stops serving an account. Its folder stays.
    "accounts.close" accounts_close(Account) -> Done [AccountUnknown];

    /// Says who the account's device is.
    "me" me(Account) -> Me [NotEnrolled];
    /// Asks the relay once, though the account is connected anyhow: when it returns, what waited there has arrived.
    "sync" sync(Wait) -> Synced [RelayUnreachable, TimedOut];
    /// Sends text and files to a member, and waits until the relay has them.
    "send" send(Send) -> Sent [UnknownRecipient, MessageTooLarge, FileNotFound, QueueFull, OutOfReach, SendFailed];
    /// Reads a conversation.
    "history" history(History) -> Page [UnknownRecipient, StoreLocked];
    /// Finds a member.
    "members.resolve" members_resolve(Resolve) -> Member [UnknownRecipient, RelayUnreachable];
    /// Returns the organisation's policy.
    "policy" policy(Account) -> Policy;
    /// Says what the device knows of the organisation's log.
    "logStatus" log_status(Account) -> LogStatus;

    /// Lists the own devices, and those that wait for approval.
    "devices.list" devices_list(Account) -> Devices;
    /// Makes a link for another device of the same member.
    "devices.link" devices_link(Account) -> DeviceLink;
    /// Approves the device that shows this code.
    "devices.approve" devices_approve(Approve) -> DeviceChanged [DeviceRequestUnknown, DeskUnavailable, TooManyDevices];
    /// Removes another device of the same member.
    "devices.remove" devices_remove(RemoveDevice) -> DeviceChanged [DeviceUnknown, DeskUnavailable];

    /// Founds a group.
    "groups.create" groups_create(CreateGroup) -> GroupDone [UnknownRecipient, NameNotAllowed, GroupLimit];
    /// Lists the groups.
    "groups.list" groups_list(Account) -> Groups;
    /// Shows a group, its policy and members.
    "groups.show" groups_show(OneGroup) -> Group [GroupUnknown, GroupAmbiguous];
    /// Adds members.
    "groups.add" groups_add(AddMembers) -> GroupDone [GroupNotAllowed, UnknownRecipient, GroupLimit];
    /// Removes members.
    "groups.remove" groups_remove(RemoveMembers) -> GroupDone [GroupNotAllowed, UnknownRecipient];
    /// Sets a member's role.
    "groups.role" groups_role(SetRole) -> GroupDone [GroupNotAllowed, GroupConflict];
    /// Leaves a group.
    "groups.leave" groups_leave(GroupWait) -> GroupDone [GroupRefused, GroupLeft];
    /// Gives a group another name.
    "groups.rename" groups_rename(Rename) -> GroupDone [GroupNotAllowed, NameNotAllowed];
    /// Sends text and files to a group.
    "groups.send" groups_send(SendToGroup) -> Sent [GroupUnknown, GroupNotAllowed, GroupLeft, MessageTooLarge];
    /// Reads a group's history.
    "groups.history" groups_history(GroupHistory) -> Page [GroupUnknown, StoreLocked];

    /// Returns the oldest event that was not acknowledged, and waits for one if there is none. Until it is acknowledged it comes
    /// again, with the same number, also after a crash.
    "events.next" events_next(NextEvent) -> MaybeEvent [Revoked, StoreLocked];
    /// Acknowledges the event of this number and all before it: they come no more.
    "events.ack" events_ack(Acknowledge) -> Done [EventUnknown];
    /// Downloads a file of a message that was not acknowledged yet, and verifies it.
    "events.saveFile" events_save_file(SaveFile) -> SavedFile [EventUnknown, AttachmentDamaged, AttachmentGone, PolicyForbids, DiskFull];
}

/// Finds a method.
pub(crate) fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

fn patience(millis: Option<u64>, usual: Duration) -> Duration {
    millis.map_or(usual, Duration::from_millis).min(LONGEST_WAIT)
}

fn wait(millis: Option<u64>) -> Duration {
    patience(millis, USUAL_WAIT)
}

fn done<R: DeserializeOwned>() -> Outcome<R> {
    Ok(Answer::new(object!({"done": true})))
}

fn ok<R: DeserializeOwned>(value: Value) -> Outcome<R> {
    Ok(Answer::new(value))
}

async fn version(service: Service, _: shapes::Nothing) -> Outcome<shapes::Version> {
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

async fn discover(_: Service, _: shapes::Nothing) -> Outcome<shapes::Document> {
    ok(crate::openrpc())
}

async fn authenticate(_: Service, _: shapes::Token) -> Outcome<shapes::Done> {
    // Where a token is needed, the connection has looked at it before.
    done()
}

async fn accounts_list(service: Service, _: shapes::Nothing) -> Outcome<shapes::Accounts> {
    let accounts: Vec<Value> = service.accounts().iter().map(|account| account.object()).collect();
    ok(object!({"accounts": accounts}))
}

async fn accounts_add(service: Service, params: shapes::NewAccount) -> Outcome<shapes::AccountState> {
    let shapes::NewAccount { account, home, key_file } = params;
    let key = match chancery::Client::exists(&home) {
        true => chancery::read_key_file(&key_file)?,
        false => chancery::read_or_create_key_file(&key_file)?,
    };
    // A key file opens without delay; no thread of its own is needed.
    service.add(&account, &home, key)?;
    ok(service.account(Some(&account))?.object())
}

async fn accounts_enrol(service: Service, params: shapes::Enrol) -> Outcome<shapes::Me> {
    let timeout = wait(params.timeout_ms);
    let client = service.enrol(params.account.as_deref(), &params.link, timeout).await?;
    ok(json::me(client.me()))
}

async fn accounts_close(service: Service, params: shapes::Account) -> Outcome<shapes::Done> {
    service.close(params.account.as_deref())?;
    done()
}

async fn me(service: Service, params: shapes::Account) -> Outcome<shapes::Me> {
    ok(json::me(service.client(params.account.as_deref())?.me()))
}

async fn sync(service: Service, params: shapes::Wait) -> Outcome<shapes::Synced> {
    let client = service.client(params.account.as_deref())?;
    ok(object!({"envelopes": client.sync(wait(params.timeout_ms)).await?}))
}

/// Adds to a result why it waits.
fn with_waiting(mut result: Value, code: ErrorCode, cause: Option<&chancery::Error>) -> Value {
    if let (Some(cause), Some(fields)) = (cause, result.as_object_mut()) {
        fields.insert("waiting".to_owned(), json::queued(code, cause));
    }
    result
}

fn sent(result: Value, sent: &Sent) -> Outcome<shapes::Sent> {
    ok(with_waiting(result, ErrorCode::Queued, sent.waiting.as_ref()))
}

async fn send(service: Service, params: shapes::Send) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let shapes::Send { to, text, files, .. } = &params;
    let what = client.send(to, text, files, wait(params.timeout_ms)).await?;
    sent(json::sent(&what), &what)
}

async fn history(service: Service, params: shapes::History) -> Outcome<shapes::Page> {
    let client = service.client(params.account.as_deref())?;
    let page = client.history(&params.with, params.from).await?;
    ok(object!({"entries": page.iter().map(json::message).collect::<Vec<_>>(), "next": page.next}))
}

async fn members_resolve(service: Service, params: shapes::Resolve) -> Outcome<shapes::Member> {
    let client = service.client(params.account.as_deref())?;
    ok(json::member(&client.resolve(&params.who).await?))
}

async fn policy(service: Service, params: shapes::Account) -> Outcome<shapes::Policy> {
    ok(json::policy(&service.client(params.account.as_deref())?.policy().await?))
}

async fn log_status(service: Service, params: shapes::Account) -> Outcome<shapes::LogStatus> {
    ok(json::log_status(&service.client(params.account.as_deref())?.log_status().await?))
}

async fn devices_list(service: Service, params: shapes::Account) -> Outcome<shapes::Devices> {
    let devices = service.client(params.account.as_deref())?.devices().await?;
    ok(object!({"devices": devices.iter().map(json::device).collect::<Vec<_>>()}))
}

async fn devices_link(service: Service, params: shapes::Account) -> Outcome<shapes::DeviceLink> {
    ok(json::device_link(&service.client(params.account.as_deref())?.device_link().await?))
}

async fn devices_approve(service: Service, params: shapes::Approve) -> Outcome<shapes::DeviceChanged> {
    let client = service.client(params.account.as_deref())?;
    let device = client.approve_device(&params.code, wait(params.timeout_ms)).await?;
    ok(json::device_approved(client.me(), &device))
}

async fn devices_remove(service: Service, params: shapes::RemoveDevice) -> Outcome<shapes::DeviceChanged> {
    let client = service.client(params.account.as_deref())?;
    ok(json::device_removed(&client.remove_device(&params.device, wait(params.timeout_ms)).await?))
}

fn names(members: &[String]) -> Vec<&str> {
    members.iter().map(String::as_str).collect()
}

const fn role(role: Role) -> GroupRole {
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
    let result = json::group_done(group.id(), done.waiting.is_none(), now);
    ok(with_waiting(result, ErrorCode::GroupQueued, done.waiting.as_ref()))
}

async fn groups_create(service: Service, params: shapes::CreateGroup) -> Outcome<shapes::GroupDone> {
    let client = service.client(params.account.as_deref())?;
    let members = names(&params.members);
    let (group, done) = client.create_group(&params.name, &members, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_list(service: Service, params: shapes::Account) -> Outcome<shapes::Groups> {
    let groups = service.client(params.account.as_deref())?.groups().await?;
    ok(object!({"groups": groups.iter().map(json::group_summary).collect::<Vec<_>>()}))
}

async fn groups_show(service: Service, params: shapes::OneGroup) -> Outcome<shapes::Group> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    ok(json::group_state(&group.state().await?))
}

async fn groups_add(service: Service, params: shapes::AddMembers) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.add(&names(&params.members), role(params.role), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_remove(service: Service, params: shapes::RemoveMembers) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.remove(&names(&params.members), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_role(service: Service, params: shapes::SetRole) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.set_role(&params.member, role(params.role), wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_leave(service: Service, params: shapes::GroupWait) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.leave(wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_rename(service: Service, params: shapes::Rename) -> Outcome<shapes::GroupDone> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let done = group.rename(&params.name, wait(params.timeout_ms)).await?;
    finish(&group, done).await
}

async fn groups_send(service: Service, params: shapes::SendToGroup) -> Outcome<shapes::Sent> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let what = group.send(&params.text, &params.files, wait(params.timeout_ms)).await?;
    sent(json::group_sent(group.id(), &what), &what)
}

async fn groups_history(service: Service, params: shapes::GroupHistory) -> Outcome<shapes::Page> {
    let group = group(&service, params.account.as_deref(), &params.group).await?;
    let page = group.history(params.from).await?;
    let entries: Vec<Value> = page.iter().filter_map(json::group_entry).collect();
    ok(object!({"entries": entries, "next": page.next}))
}

async fn events_next(service: Service, params: shapes::NextEvent) -> Outcome<shapes::MaybeEvent> {
    let account = service.account(params.account.as_deref())?;
    let timeout = patience(params.timeout_ms, Duration::ZERO);
    ok(account.next(&service, params.after, timeout).await?.unwrap_or_default())
}

async fn events_ack(service: Service, params: shapes::Acknowledge) -> Outcome<shapes::Done> {
    service.account(params.account.as_deref())?.acknowledge(params.number).await?;
    done()
}

async fn events_save_file(service: Service, params: shapes::SaveFile) -> Outcome<shapes::SavedFile> {
    let account = service.account(params.account.as_deref())?;
    let events = account.events(None).await?;
    let event = events.iter().find(|event| event.number == params.number);
    let Some(Happening::Message(message)) = event.map(|event| &event.happening) else {
        return Err(chancery::Error::with(ErrorCode::EventUnknown, params.number.to_string()).into());
    };
    let folder: PathBuf = params.folder;
    let path = account.client()?.save_attachment(message, params.index, &folder).await?;
    ok(object!({"path": path.display().to_string()}))
}
