//! What others are told, and how long messages stay.

account_parameters! {
    /// What to let others know from now on, on all devices of the member.
    SetSettings {
        /// Whether they hear that a message was read; left as it is if it is left out.
        read_receipts: Option<bool>,
        /// Whether they hear that a message has come; left as it is if it is left out.
        delivery_receipts: Option<bool>,
        /// Whether they see that one is writing; left as it is if it is left out.
        typing: Option<bool>,
    }
    /// How long messages are to stay.
    SetDisappearing {
        /// A handle or a member's identifier.
        with: String,
        /// Seconds from when it was read, 1 to 31,622,400; 0: for ever.
        seconds: u64,
    }
    /// A conversation with a member.
    WithMember {
        /// A handle or a member's identifier.
        with: String,
    }
    /// Somebody to whom one is writing.
    Typing {
        /// A handle or a member's identifier.
        to: String,
        /// Whether no longer.
        #[serde(default)]
        stopped: bool,
    }
}

results! {
    /// What the member lets others know. The organisation's policy may forbid more.
    Settings {
        /// Whether they hear that a message was read.
        read_receipts: bool,
        /// Whether they hear that a message has come.
        delivery_receipts: bool,
        /// Whether they see that one is writing.
        typing: bool,
    }
    /// How long what is written stays after it was read.
    Disappearing {
        /// Seconds; null: for ever.
        disappears_after_s: Option<u64>,
    }
    /// Who was told.
    Told {
        /// How many devices.
        devices: usize,
    }
}
