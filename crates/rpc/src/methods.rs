//! The methods: the one table that is served and that the OpenRPC document is made of.

mod accounts;
mod conversations;
mod devices;
mod directory;
mod events;
mod groups;
mod messages;
mod settings;

use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use chancery::ErrorCode;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;
use serde_json::{Value, json as object};

use crate::fault::Fault;
use crate::limit::{LONGEST_WAIT, USUAL_WAIT};
use crate::service::Service;
use crate::shapes;

/// A call that was begun.
pub(crate) type Future = Pin<Box<dyn std::future::Future<Output = Result<Value, Fault>> + Send>>;

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
    ($($(#[doc = $about:literal])+ $name:literal $topic:ident::$handler:ident($params:ident) -> $result:ident
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
                    let answer: Answer<shapes::$result> = $topic::$handler(service, params).await?;
                    Ok(answer.0)
                }))
            },
        }),*];
    };
}

methods! {
    /// Says what serves, and its limits.
    "version" accounts::version(Nothing) -> Version;
    /// Returns this document.
    "rpc.discover" accounts::discover(Nothing) -> Document;
    /// Shows the token, as the first call on a TCP connection; elsewhere it does nothing.
    "authenticate" accounts::authenticate(Token) -> Done [TokenMissing];

    /// Lists the accounts and how they are.
    "accounts.list" accounts::list(Nothing) -> Accounts;
    /// Serves a device's folder, which may not be enrolled yet.
    "accounts.add" accounts::add(NewAccount) -> AccountState [AccountExists, AccountLimit, NameNotAllowed, WrongPassphrase, KeyFileUnusable];
    /// Makes the account's folder a member's device. With a device link, `accounts.list` meanwhile has the code to compare.
    "accounts.enrol" accounts::enrol(Enrol) -> Me [AlreadyEnrolled, InvitationDamaged, InvitationExpired, InvitationUsed, DeskUnavailable, RelayUnreachable, NotApproved];
    /// Stops serving an account. Its folder stays.
    "accounts.close" accounts::close(Account) -> Done [AccountUnknown];

    /// Says who the account's device is.
    "me" accounts::me(Account) -> Me [NotEnrolled];
    /// Asks the relay once, though the account is connected anyhow: when it returns, what waited there has arrived.
    "sync" accounts::sync(Wait) -> Synced [RelayUnreachable, TimedOut];

    /// Sends a message to a member, and waits until the relay has it.
    "send" messages::send(Send) -> Sent [UnknownRecipient, MessageTooLarge, ActInvalid, MessageUnknown, FileNotFound, QueueFull, OutOfReach, SendFailed];
    /// Gives a message of one's own another text.
    "messages.edit" messages::edit(Edit) -> Sent [MessageUnknown, MessageAmbiguous, NotYourMessage, MessageTooLarge];
    /// Deletes a message of one's own everywhere.
    /// Who has seen it has seen it, and files that were saved stay.
    "messages.delete" messages::delete(Delete) -> Sent [MessageUnknown, MessageAmbiguous, NotYourMessage];
    /// Reacts to a message, or takes that back.
    "messages.react" messages::react(React) -> Sent [MessageUnknown, MessageAmbiguous, ActInvalid];
    /// Answers the form of a message.
    "messages.answer" messages::answer(Answer) -> Sent [MessageUnknown, MessageAmbiguous, ActInvalid];
    /// Downloads a file of a message, and verifies it.
    "messages.saveFile" messages::save_file(SaveFileOf) -> SavedFile [MessageUnknown, MessageAmbiguous, AttachmentDamaged, AttachmentGone, PolicyForbids, DiskFull];

    /// Lists the conversations, the newest first.
    "conversations.list" conversations::list(Account) -> Conversations [StoreLocked];
    /// Shows a conversation as the list does.
    "conversations.show" conversations::show(With) -> Conversation [UnknownRecipient, GroupAmbiguous, StoreLocked];
    /// Lists who can read what is written in a conversation from now on, by what the device knows: the relay is not asked.
    "conversations.readers" conversations::readers(With) -> Readers [UnknownRecipient, GroupAmbiguous, StoreLocked];
    /// Reads a conversation from its end, or from before a position.
    "conversations.history" conversations::history_before(HistoryBefore) -> Page [UnknownRecipient, GroupAmbiguous, StoreLocked];
    /// Marks a conversation as read up to a position, and says how much is unread then. Authors are told as the settings say.
    "conversations.markRead" conversations::mark_read(MarkRead) -> Unread [UnknownRecipient, GroupAmbiguous, StoreLocked];
    /// Keeps what was begun and not sent.
    "conversations.setDraft" conversations::set_draft(SetDraft) -> Done [UnknownRecipient, GroupAmbiguous, MessageTooLarge];
    /// Reads a conversation with a member from its beginning on.
    "history" conversations::history(History) -> Page [UnknownRecipient, StoreLocked];

    /// Lists members as the directory was when it was synchronised last.
    "members.list" directory::list(ListMembers) -> Members [StoreLocked];
    /// Finds a member, and asks the relay if need be.
    "members.resolve" directory::resolve(Resolve) -> Member [UnknownRecipient, RelayUnreachable];
    /// Returns the organisation's policy.
    "policy" directory::policy(Account) -> Policy;
    /// Says what the device knows of the organisation's log.
    "logStatus" directory::log_status(Account) -> LogStatus;

    /// Says what the member lets others know.
    "settings.show" settings::show(Account) -> Settings;
    /// Sets what the member lets others know, on all its devices.
    "settings.set" settings::set(SetSettings) -> Settings;
    /// Says how long what is written to a member stays after it was read.
    "disappearing.show" settings::disappearing(WithMember) -> Disappearing [UnknownRecipient];
    /// Sets how long what is written to a member from now on stays after it was read.
    "disappearing.set" settings::set_disappearing(SetDisappearing) -> Disappearing [UnknownRecipient, Usage];
    /// Tells a member that one is writing to them, or no longer: at once or not at all.
    /// It holds for 15 s; told more often than every 5 s it says nothing.
    "typing" settings::typing(Typing) -> Told [UnknownRecipient];

    /// Lists the own devices, and those that wait for approval.
    "devices.list" devices::list(Account) -> Devices;
    /// Makes a link for another device of the same member.
    "devices.link" devices::link(Account) -> DeviceLink;
    /// Approves the device that shows this code.
    "devices.approve" devices::approve(Approve) -> DeviceChanged [DeviceRequestUnknown, DeskUnavailable, TooManyDevices];
    /// Removes another device of the same member.
    "devices.remove" devices::remove(RemoveDevice) -> DeviceChanged [DeviceUnknown, DeskUnavailable];

    /// Founds a group.
    "groups.create" groups::create(CreateGroup) -> GroupDone [UnknownRecipient, NameNotAllowed, GroupLimit];
    /// Lists the groups.
    "groups.list" groups::list(Account) -> Groups;
    /// Shows a group, its policy and members.
    "groups.show" groups::show(OneGroup) -> Group [GroupUnknown, GroupAmbiguous];
    /// Adds members.
    "groups.add" groups::add(AddMembers) -> GroupDone [GroupNotAllowed, UnknownRecipient, GroupLimit];
    /// Removes members.
    "groups.remove" groups::remove(RemoveMembers) -> GroupDone [GroupNotAllowed, UnknownRecipient];
    /// Sets a member's role.
    "groups.role" groups::role(SetRole) -> GroupDone [GroupNotAllowed, GroupConflict];
    /// Makes somebody else owner, and the own member an administrator.
    "groups.handOver" groups::hand_over(HandOver) -> GroupDone [GroupNotAllowed, GroupConflict];
    /// Leaves a group.
    "groups.leave" groups::leave(GroupWait) -> GroupDone [GroupRefused, GroupLeft];
    /// Gives a group another name.
    "groups.rename" groups::rename(Rename) -> GroupDone [GroupNotAllowed, NameNotAllowed];
    /// Sets a group's policy.
    "groups.setPolicy" groups::set_policy(SetGroupPolicy) -> GroupDone [GroupNotAllowed, GroupLimit, GroupConflict];
    /// Renews all keys of a group.
    "groups.heal" groups::heal(GroupWait) -> GroupDone [GroupNotAllowed];
    /// Carries out an order that an administrator of the organisation has signed.
    "groups.execute" groups::execute(Execute) -> GroupDone [OrderDamaged, GroupRefused, GroupNotAllowed];
    /// Ends a group for all; what was written stays.
    "groups.dissolve" groups::dissolve(GroupWait) -> GroupDone [GroupNotAllowed];
    /// Sends a message to a group.
    "groups.send" messages::send_to_group(SendToGroup) -> Sent [GroupUnknown, GroupNotAllowed, GroupLeft, MessageTooLarge, ActInvalid, MessageUnknown];
    /// Reads a group's history from its beginning on.
    "groups.history" groups::history(GroupHistory) -> Page [GroupUnknown, StoreLocked];

    /// Returns the oldest event that was not acknowledged, and waits for one if there is none. Until it is acknowledged it comes
    /// again, with the same number, also after a crash.
    "events.next" events::next(NextEvent) -> MaybeEvent [Revoked, StoreLocked];
    /// Acknowledges the event of this number and all before it: they come no more.
    "events.ack" events::acknowledge(Acknowledge) -> Done [EventUnknown];
    /// Downloads a file of a message that was not acknowledged yet, and verifies it.
    "events.saveFile" events::save_file(SaveFile) -> SavedFile [EventUnknown, AttachmentDamaged, AttachmentGone, PolicyForbids, DiskFull];
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
