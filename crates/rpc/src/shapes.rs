//! The parameters and results of the methods. Parameters are read into these types, and the OpenRPC document is made of them; results are what
//! [`chancery::json`] makes, and these types say what is in it.

#![expect(dead_code, reason = "fields of results are there for their schemas")]

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Parameters of a method that has none.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

macro_rules! parameters {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub(crate) struct $name { $($(#[$field_doc])* pub(crate) $field: $type,)* }
    )*};
}

parameters! {
    /// Shows the token.
    Token {
        /// The token, as it stands in its file.
        token: String,
    }
    /// Names an account.
    Account {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
    }
    /// An account to serve.
    NewAccount {
        /// The name that it gets here.
        account: String,
        /// The device's folder, made by enrolling if there is none yet.
        home: PathBuf,
        /// The file with the key that opens it; made if there is neither the file nor a device.
        key_file: PathBuf,
    }
    /// An account to enrol.
    Enrol {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// An invitation or a device link.
        link: String,
        /// How long to wait for the desk, or for the approval of a device.
        timeout_ms: Option<u64>,
    }
    /// How long to wait.
    Wait {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// A message to a member.
    Send {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A handle or a member's identifier.
        to: String,
        /// The text.
        #[serde(default)]
        text: String,
        /// Paths of files to send with it.
        #[serde(default)]
        files: Vec<PathBuf>,
        /// How long to wait for the relay; what waits longer is sent later.
        timeout_ms: Option<u64>,
    }
    /// A place in a conversation.
    History {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A handle or a member's identifier.
        with: String,
        /// The position from which to read: 0, then `next` of the page before.
        #[serde(default)]
        from: u64,
    }
    /// Somebody.
    Resolve {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A handle or a member's identifier.
        who: String,
    }
    /// A code to compare.
    Approve {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// The code that the new device shows.
        code: String,
        /// How long to wait for the desk.
        timeout_ms: Option<u64>,
    }
    /// A device of the own member.
    RemoveDevice {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// The device's identifier.
        device: String,
        /// How long to wait for the desk.
        timeout_ms: Option<u64>,
    }
    /// A group to found.
    CreateGroup {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// What it is called.
        name: String,
        /// Handles or identifiers of members to add.
        #[serde(default)]
        members: Vec<String>,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// A group.
    OneGroup {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
    }
    /// Something done with a group.
    GroupWait {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// Members to add to a group.
    AddMembers {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// Handles or identifiers.
        members: Vec<String>,
        /// As what; a member if it is left out.
        #[serde(default)]
        role: Role,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// Members to remove from a group.
    RemoveMembers {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// Handles or identifiers.
        members: Vec<String>,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// Another role for a member.
    SetRole {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// A handle or a member's identifier.
        member: String,
        /// As what.
        role: Role,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// Another name for a group.
    Rename {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// What it is called from now on.
        name: String,
        /// How long to wait for the relay.
        timeout_ms: Option<u64>,
    }
    /// A message to a group.
    SendToGroup {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// The text.
        #[serde(default)]
        text: String,
        /// Paths of files to send with it.
        #[serde(default)]
        files: Vec<PathBuf>,
        /// How long to wait for the relay; what waits longer is sent later.
        timeout_ms: Option<u64>,
    }
    /// A place in a group's history.
    GroupHistory {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// The position from which to read: 0, then `next` of the page before.
        #[serde(default)]
        from: u64,
    }
    /// What to wait for.
    NextEvent {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// Only an event with a greater number: lets several be fetched before the first is acknowledged.
        after: Option<u64>,
        /// How long to wait for one; not at all if it is left out.
        timeout_ms: Option<u64>,
    }
    /// What was acted upon.
    Acknowledge {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// The number of the event; those before it are acknowledged with it.
        number: u64,
    }
    /// A file of a message.
    SaveFile {
        /// The account's name; it may be left out while there is only one.
        account: Option<String>,
        /// The number of the message's event, which is not acknowledged yet.
        number: u64,
        /// The file's position among the message's files.
        index: usize,
        /// The folder to save it in.
        folder: PathBuf,
    }
}

/// A role in a group.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    Owner,
    Admin,
    #[default]
    Member,
    Reader,
}

macro_rules! results {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Deserialize, JsonSchema)]
        pub(crate) struct $name { $($(#[$field_doc])* $field: $type,)* }
    )*};
}

results! {
    /// What serves.
    Version {
        /// The version of the program.
        version: String,
        /// Whether events are pushed or asked for.
        receive_mode: ReceiveMode,
        /// The longest request in bytes.
        max_request: usize,
        /// The most calls of a batch.
        max_batch: usize,
        /// The most requests of a connection at once.
        max_in_flight: usize,
    }
    /// Whether something was done.
    Done {
        /// Always true.
        done: bool,
    }
    /// The accounts.
    Accounts {
        /// In the order of their names.
        accounts: Vec<AccountState>,
    }
    /// An account, and how it is.
    AccountState {
        /// Its name.
        account: String,
        /// The device's folder.
        home: String,
        /// What can be done with it.
        state: AccountPhase,
        /// Who it is, once it is enrolled.
        me: Option<Me>,
        /// While it enrols with a device link: the code to compare on the other device.
        code: Option<String>,
        /// Why it is connected no longer.
        error: Option<Failure>,
    }
    /// Why something failed or waits.
    Failure {
        /// A stable name.
        code: String,
        /// For people.
        message: String,
        /// Whether the same may succeed later.
        retry: bool,
        /// Why it waits.
        cause: Option<String>,
    }
    /// Who a device is.
    Me {
        /// The organisation's identifier.
        org_id: String,
        /// The organisation's fingerprint, for people.
        fingerprint: String,
        /// The organisation's name.
        organisation: String,
        /// The member's identifier.
        member: String,
        /// The device's identifier.
        device: String,
        /// The member's handle.
        handle: String,
        /// The member's name.
        name: String,
    }
    /// What a synchronisation brought.
    Synced {
        /// How many envelopes were taken over.
        envelopes: usize,
    }
    /// What became of a message.
    Sent {
        /// The message's identifier.
        id: String,
        /// Whether the relay has it.
        state: SentState,
        /// The group, if it is to one.
        group: Option<String>,
        /// Why it waits. It must not be sent again.
        waiting: Option<Failure>,
    }
    /// A part of a history.
    Page {
        /// Messages and acts, oldest first, at most 256.
        entries: Vec<Happening>,
        /// The position from which to read on; null at the end.
        next: Option<u64>,
    }
    /// A member of the organisation.
    Member {
        /// The member's identifier.
        member: String,
        /// The handle.
        handle: String,
        /// The name.
        name: String,
        /// The department or place.
        unit: Option<String>,
        /// Person, guest or bot.
        kind: Option<String>,
        /// The identifiers of the devices.
        devices: Vec<String>,
    }
    /// The policy of an organisation.
    Policy {
        /// The least suite.
        minimum_suite: u32,
        /// How old the log's newest checkpoint may be.
        freshness_s: u64,
        /// How long messages are kept.
        retention_s: Option<u64>,
        /// After how long messages disappear.
        disappearing_s: Option<u64>,
        /// How long a device may be away.
        max_offline_s: Option<u64>,
        /// Whether messages may be exported.
        export: bool,
        /// Whether files may be saved.
        saving_attachments: bool,
        /// Devices of a member.
        device_limit: u32,
        /// Keys of the log's witnesses.
        witnesses: Vec<String>,
        /// How many of them must have signed.
        witness_quorum: usize,
    }
    /// What a device knows of the organisation's log.
    LogStatus {
        /// Entries.
        size: u64,
        /// Root of the newest checkpoint.
        root: String,
        /// When that was signed.
        time: String,
        /// Whether anything may be sent: so it is for `current` and `aging`.
        state: String,
        /// The policy in force.
        policy: Policy,
    }
    /// The devices of the own member.
    Devices {
        /// Those in use, and those that wait for approval.
        devices: Vec<Device>,
    }
    /// A device of the own member.
    Device {
        /// Its identifier; null while it waits.
        device: Option<String>,
        /// Whether it is this one.
        this: bool,
        /// Active or waiting.
        state: String,
        /// The code to compare, if it waits.
        code: Option<String>,
    }
    /// A link for another device of the own member.
    DeviceLink {
        /// The link. A secret.
        link: String,
        /// When it ends.
        expires: String,
    }
    /// A device that was approved or removed.
    DeviceChanged {
        /// Its identifier.
        device: String,
        /// Whose it is.
        member: Option<String>,
        /// Removed, if it was.
        state: Option<String>,
    }
    /// What became of a wish about a group.
    GroupDone {
        /// The group's identifier.
        group: String,
        /// Whether it is done, or stored and waits.
        state: DoneState,
        /// What it is called.
        name: Option<String>,
        /// Whether this device is in it.
        phase: Option<String>,
        /// How often it has changed.
        epoch: Option<u64>,
        /// How many devices are in it.
        devices: Option<u64>,
        /// Why it waits. It must not be wished for again.
        waiting: Option<Failure>,
    }
    /// The groups that this device is in or was in.
    Groups {
        /// In the order in which it came to know them.
        groups: Vec<GroupSummary>,
    }
    /// A group in a list.
    GroupSummary {
        /// Its identifier.
        group: String,
        /// What it is called.
        name: String,
        /// Whether this device is in it.
        phase: String,
        /// As what.
        role: Option<String>,
        /// How many devices are in it.
        devices: u64,
        /// How often it has changed.
        epoch: u64,
        /// How many wishes about it wait.
        waiting: u64,
    }
    /// A group with its policy and members.
    Group {
        /// Its identifier.
        group: String,
        /// What it is called.
        name: String,
        /// Whether this device is in it.
        phase: String,
        /// As what.
        role: Option<String>,
        /// How many devices are in it.
        devices: u64,
        /// How often it has changed.
        epoch: u64,
        /// How many wishes about it wait.
        waiting: u64,
        /// What members compare to be sure that they see the same group.
        fingerprint: String,
        /// Who is in it.
        members: Vec<Participant>,
        /// Its policy.
        policy: Option<Map<String, Value>>,
        /// What shows that members were given different commits.
        fork: Option<Map<String, Value>>,
    }
    /// A member of a group.
    Participant {
        /// The member's identifier.
        member: String,
        /// The handle.
        handle: String,
        /// The role.
        role: String,
        /// The identifiers of the devices.
        devices: Vec<String>,
    }
    /// An event that was not acknowledged, with its number.
    Event {
        /// Whose it is.
        account: String,
        /// For `events.ack`: it stays the same if the event comes again.
        number: u64,
        /// What happened.
        event: Happening,
    }
    /// Where a file is.
    SavedFile {
        /// Its path.
        path: String,
    }
}

/// What happened: a message, or something else that its `event` names.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct Happening {
    /// `message`, `group-act`, `group-gap`, `device-added`, `lost`, `member-left`, `handle-reassigned`, or one of a later version.
    event: String,
    /// A message's identifier, unique together with who wrote it.
    id: Option<String>,
    /// Who wrote a message.
    from: Option<String>,
    /// The handle of whom it is about.
    handle: Option<String>,
    /// A message's text.
    text: Option<String>,
    /// A message's files.
    files: Option<Vec<File>>,
    /// A message's state: received, sent, queued or failed.
    state: Option<String>,
    /// What belongs to this kind of event besides, as `chancery receive --json` prints it.
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// A file of a message.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct File {
    /// Its name.
    name: String,
    /// Its size in bytes.
    size: u64,
    /// Where it was saved.
    path: Option<String>,
}

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiveMode {
    /// Pushed as notifications, where the transport can, and by `events.next`.
    Automatic,
    /// By `events.next` only.
    Manual,
}

/// What can be done with an account.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AccountPhase {
    /// It has to be enrolled first.
    NotEnrolled,
    Open,
    /// It is connected no longer; what it has can be read.
    Stopped,
}

/// Whether a message was sent.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SentState {
    Sent,
    Queued,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum DoneState {
    Done,
    Queued,
}

/// An event, or null if none came in time.
pub(crate) type MaybeEvent = Option<Event>;
/// Any document.
pub(crate) type Document = Map<String, Value>;
