//! What serves, and the accounts that it serves.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

parameters! {
    /// Parameters of a method that has none.
    Nothing {}
    /// Shows the token.
    Token {
        /// The token, as it stands in its file.
        token: String,
    }
    /// An account to serve.
    NewAccount {
        /// The name that it gets here: 1 to 64 bytes.
        account: String,
        /// The device's folder, made by enrolling if there is none yet.
        home: PathBuf,
        /// The file with the key that opens it; made if there is neither the file nor a device.
        key_file: PathBuf,
    }
}

account_parameters! {
    /// Names an account.
    Account {}
}

waiting_parameters! {
    /// An account to enrol.
    Enrol {
        /// An invitation or a device link.
        link: String,
    }
    /// How long to wait.
    Wait {}
}

/// Any document.
pub(crate) type Document = Map<String, Value>;

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReceiveMode {
    /// Pushed as notifications, where the transport can, and by `events.next`.
    Automatic,
    /// By `events.next` only.
    Manual,
}

words! {
    /// What can be done with an account.
    AccountPhase {
        /// It has to be enrolled first.
        NotEnrolled,
        /// Everything: it is connected, or tries to be.
        Open,
        /// It is connected no longer; what it has can be read.
        Stopped,
    }
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
        /// The name of the error for which it waits.
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
}
