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
        let record = read(records)?;
        if record.root.is_empty() {
            return Ok(None);
        }
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
            let appended = read(records)?.appended;
            put(&mut batch, &proto::DeskLogView { size, root, time, appended });
        }
        Ok(batch)
    }

    /// Returns how many entries the log has had, as far as the desk knows. A log with fewer has lost some: devices that were
    /// ended may be let in again, and nothing must be appended, which would fork it (R-ORG-48).
    ///
    /// # Errors
    ///
    /// [`OrgError::Records`] when the store cannot answer.
    pub fn least_log_size(records: &dyn Records) -> Result<u64, OrgError> {
        let record = read(records)?;
        Ok(record.size.max(record.appended))
    }
}

/// Notes that the log has an entry `index`.
pub(crate) fn appended(records: &dyn Records, batch: &mut Batch, index: u64) -> Result<(), OrgError> {
    let record = read(records)?;
    let appended = record.appended.max(index.saturating_add(1));
    put(batch, &proto::DeskLogView { appended, ..record });
    Ok(())
}

fn read(records: &dyn Records) -> Result<proto::DeskLogView, OrgError> {
    Ok(state::read(records, &RecordKey::new(VIEW, []))?.unwrap_or_default())
}

fn put(batch: &mut Batch, view: &proto::DeskLogView) {
    batch.put(RecordKey::new(VIEW, []), encode(view));
}
