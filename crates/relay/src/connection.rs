//! What the relay remembers of a connection; all of it is gone when the connection ends.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use chancery_identity::Credential;
use chancery_wire::{RefusalCode, Timestamp, proto::Done, proto::relay_frame::Body};

use crate::limits::Bucket;
use crate::storage::{MailboxId, StorageError};

#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) opened: Timestamp,
    pub(crate) frames: Bucket,
    pub(crate) blobs_begun: Bucket,
    pub(crate) set_changes: Bucket,
    pub(crate) fan_outs: Bucket,
    pub(crate) stage: Stage,
}

/// How far a connection has come, and which kind it is (R-RELAY-5).
#[derive(Debug, Clone)]
pub(crate) enum Stage {
    /// Has not said `Hello`.
    Fresh,
    /// Has said `Hello` and not yet chosen its kind.
    Greeted { challenge: [u8; 32] },
    /// Sends, claims and carries blobs, for nobody in particular.
    Anonymous,
    /// Reads a mailbox.
    Mailbox(Reader),
    /// Of a device that was ended and told so: may read the log up to its end and confirm it, and nothing else (R-RELAY-62,
    /// R-RELAY-67).
    Ended(Ended),
}

#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) credential: Arc<Credential>,
    /// The entry that ended the device, and its leaf as it was told.
    pub(crate) index: u64,
    pub(crate) leaf: Vec<u8>,
    pub(crate) since: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) mailbox: MailboxId,
    /// `None` for a device that enrols.
    pub(crate) credential: Option<Arc<Credential>>,
    pub(crate) subscription: Option<Subscription>,
    /// The number of entries of the log that the client has been told of.
    pub(crate) told: u64,
}

/// What has been pushed to a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Subscription {
    /// The newest sequence that was pushed.
    pub(crate) pushed: u64,
    /// What was the newest sequence when the client subscribed, until it has been told that it is caught up.
    pub(crate) target: Option<u64>,
    /// Pushed and not acknowledged: length by sequence.
    pub(crate) in_flight: BTreeMap<u64, usize>,
    pub(crate) in_flight_bytes: usize,
}

impl Subscription {
    pub(crate) fn pushed(&mut self, sequence: u64, len: usize) {
        self.pushed = sequence;
        self.in_flight.insert(sequence, len);
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(len);
    }

    pub(crate) fn acknowledged(&mut self, sequence: u64) {
        if let Some(len) = self.in_flight.remove(&sequence) {
            self.in_flight_bytes = self.in_flight_bytes.saturating_sub(len);
        }
    }
}

/// Why a request gets no answer of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is refused.
    Refused { code: RefusalCode, retry_after_ms: u64 },
    /// It is refused and the connection ends.
    Fatal(RefusalCode),
    /// The storage gave up; the transaction goes back.
    Storage(StorageError),
}

impl Fault {
    /// Refuses what comes too fast.
    pub(crate) const fn limited(retry_after_ms: u64) -> Self {
        Self::Refused { code: RefusalCode::RateLimited, retry_after_ms }
    }

    /// Ends the connection with a refusal.
    pub(crate) fn fatal(self) -> Self {
        match self {
            Self::Refused { code, .. } => Self::Fatal(code),
            other => other,
        }
    }
}

impl From<RefusalCode> for Fault {
    fn from(code: RefusalCode) -> Self {
        Self::Refused { code, retry_after_ms: 0 }
    }
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// The answer to what is done and has nothing to say.
pub(crate) fn done() -> Answer {
    Ok(Body::Done(Done::default()))
}

/// The body of the frame that answers a request.
pub(crate) type Answer = Result<Body, Fault>;
