//! Groups.

use super::accounts::Failure;

account_parameters! {
    /// A group.
    OneGroup {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
    }
    /// A place in a group's history.
    GroupHistory {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// The position from which to read: 0, then `next` of the page before.
        #[serde(default)]
        from: u64,
    }
}

waiting_parameters! {
    /// A group to found.
    CreateGroup {
        /// What it is called.
        name: String,
        /// Handles or identifiers of members to add.
        #[serde(default)]
        members: Vec<String>,
    }
    /// Something done with a group.
    GroupWait {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
    }
    /// Members to add to a group.
    AddMembers {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// Handles or identifiers.
        members: Vec<String>,
        /// As what; a member if it is left out.
        role: Option<Role>,
    }
    /// Members to remove from a group.
    RemoveMembers {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// Handles or identifiers.
        members: Vec<String>,
    }
    /// Another role for a member.
    SetRole {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// A handle or a member's identifier.
        member: String,
        /// As what.
        role: Role,
    }
    /// Another owner for a group.
    HandOver {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// Who becomes owner: a handle or a member's identifier.
        member: String,
    }
    /// Another name for a group.
    Rename {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// What it is called from now on.
        name: String,
    }
    /// Another policy for a group. What is left out stays as it is.
    SetGroupPolicy {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// How long messages are kept, in seconds; 0: as the organisation says.
        retention_s: Option<u64>,
        /// How long a message is kept once it was read, in seconds; 0: as the organisation says.
        disappearing_s: Option<u64>,
        /// Who may write.
        posting: Option<Posting>,
        /// How many messages who is added is sent again, 0 to 100.
        history: Option<u32>,
        /// How often administrators' devices renew all keys by themselves, in seconds; 0: never.
        heal_s: Option<u64>,
    }
    /// An order of the organisation.
    Execute {
        /// A group's name, if only one has it, its identifier, or at least 8 digits of that from its beginning.
        group: String,
        /// The order, as `chancery org group` prints it.
        order: String,
    }
}

words! {
    /// A role in a group.
    Role {
        /// Does everything.
        Owner,
        /// Adds and removes members and readers, sets the policy.
        Admin,
        /// Reads and writes.
        Member,
        /// Reads.
        Reader,
    }
    /// Who may write in a group.
    Posting {
        /// All but readers.
        All,
        /// Owners and administrators.
        Admins,
    }
    /// Whether something is done.
    DoneState {
        /// It is.
        Done,
        /// It is stored, and is done as soon as it can be.
        Queued,
    }
    /// What has become of a group.
    GroupPhase {
        /// This device is in it.
        Open,
        /// The own member has left it.
        Left,
        /// The own member was removed.
        Removed,
        /// It has ended.
        Dissolved,
        /// Members were given different commits.
        Forked,
        /// The relay withholds something of it.
        Withheld,
    }
}

results! {
    /// What became of a wish about a group.
    GroupDone {
        /// The group's identifier.
        group: String,
        /// Whether it is done, or stored and waits.
        state: DoneState,
        /// What it is called.
        name: Option<String>,
        /// Whether this device is in it.
        phase: Option<GroupPhase>,
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
        phase: GroupPhase,
        /// As what.
        role: Option<Role>,
        /// How many devices are in it.
        devices: u64,
        /// How often it has changed.
        epoch: u64,
        /// How many wishes about it wait.
        waiting: u64,
    }
    /// A group with its policy and members.
    Group {
        /// What a list shows of it.
        #[serde(flatten)]
        summary: GroupSummary,
        /// What members compare to be sure that they see the same group.
        fingerprint: String,
        /// Who is in it.
        members: Vec<Participant>,
        /// Its policy; null if this device is in it no more.
        policy: Option<GroupPolicy>,
        /// What shows that members were given different commits.
        fork: Option<Fork>,
    }
    /// A member of a group.
    Participant {
        /// The member's identifier.
        member: String,
        /// The handle.
        handle: String,
        /// The role.
        role: Role,
        /// The identifiers of the devices.
        devices: Vec<String>,
    }
    /// The policy of a group.
    GroupPolicy {
        /// How long messages are kept; null: as the organisation says.
        retention_s: Option<u64>,
        /// How long a message is kept once it was read; null: as the organisation says.
        disappearing_s: Option<u64>,
        /// Who may write.
        posting: Posting,
        /// How many messages who is added is sent again.
        history: u32,
        /// How often administrators' devices renew all keys by themselves; null: never.
        heal_s: Option<u64>,
        /// Whether the group has ended.
        dissolved: bool,
    }
    /// Two commits of which members were given one each.
    Fork {
        /// Where in the group's history.
        attempt: u64,
        /// The hash of the other commit.
        hash: String,
    }
}
