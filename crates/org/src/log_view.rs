//! What the log was when the desk last verified it, so that one that shrank or forked is noticed (R-ORG-48).

use chancery_wire::records::{Batch, RecordKey, Records, Table};
use chancery_wire::{Timestamp, encode, proto};

use crate::state::{self, damaged};
use crate::{Desk, OrgError};

const VIEW: Table = Table(0x0228);

/// A state of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogView {
    /// Number of entries.
    pub size: u64,
    /// Root of their tree.
    pub root: [u8; 32],
    /// When the log said so.
    pub time: Timestamp,
}

impl Desk {
    /// Returns what the log was when it was last verified; `None` before the first time.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn log_view(records: &dyn Records) -> Result<Option<LogView>, OrgError> {
        let Some(record) = state::read::<proto::DeskLogView>(records, &RecordKey::new(VIEW, []))? else {
            return Ok(None);
        };
        let root = record.root.try_into().map_err(|_| damaged())?;
        Ok(Some(LogView { size: record.size, root, time: Timestamp::from_millis(record.time) }))
    }

    /// Notes what the log is; a smaller one than before is not noted.
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn log_verified(records: &dyn Records, view: &LogView) -> Result<Batch, OrgError> {
        let mut batch = Batch::default();
        if Self::log_view(records)?.is_none_or(|before| before.size <= view.size) {
            let (size, root, time) = (view.size, view.root.to_vec(), view.time.as_millis());
            batch.put(RecordKey::new(VIEW, []), encode(&proto::DeskLogView { size, root, time }));
        }
        Ok(batch)
    }
}
