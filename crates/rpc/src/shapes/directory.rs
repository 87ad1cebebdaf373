//! Members, policy, and the organisation's log.

account_parameters! {
    /// Somebody.
    Resolve {
        /// A handle or a member's identifier.
        who: String,
    }
    /// Some members.
    ListMembers {
        /// A part of a handle, name or unit, in upper or lower case; everybody if it is left out.
        #[serde(default)]
        filter: String,
        /// Only those behind this handle: `next` of the page before.
        after: Option<String>,
    }
}

results! {
    /// Members of the organisation.
    Members {
        /// In the order of their handles, at most 1,000.
        entries: Vec<Member>,
        /// The handle behind which to read on; null at the end.
        next: Option<String>,
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
        /// `member`, `guest`, `bot` or `guest-bot`; null for a kind of a later version.
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
        /// What members may let others know of their reading.
        receipts: ReceiptPolicy,
        /// Devices of a member.
        device_limit: u32,
        /// Keys of the log's witnesses.
        witnesses: Vec<String>,
        /// How many of them must have signed.
        witness_quorum: usize,
    }
    /// What members may let others know of their reading.
    ReceiptPolicy {
        /// Whether a message was read.
        read: bool,
        /// Whether a message has come.
        delivery: bool,
        /// Whether they are writing.
        typing: bool,
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
}
