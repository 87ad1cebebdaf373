//! The log as an administrator's machine sees it: fetched with the desk's login, replayed, and compared with what it was.

use std::collections::BTreeMap;

use chancery_identity::MemberId;
use chancery_identity::log::Leaf;
use chancery_org::{Desk, KeptLog, LogView, OrgError};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, RecordsError};

use super::desk::Office;
use super::org_error;
use crate::connection::Connection;
use crate::error::Error;
use crate::replay::{LogLine, Replayed, is_about_member, replay};

/// The whole log, verified: every entry, and a checkpoint for exactly these.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Log {
    /// Its entries, from the first.
    pub lines: Vec<LogLine>,
    /// Root of their tree.
    pub root: [u8; 32],
    /// When the log signed it.
    pub checkpoint: Timestamp,
    pub(super) leaves: Vec<Leaf>,
}

impl Office {
    /// Fetches and replays the log from where the last replay ended, compares it with the longest one that was verified, and
    /// remembers it (R-ORG-48).
    pub(super) async fn replay(&self, connection: &Connection) -> Result<Log, Error> {
        let before =
            self.store().read(|records| Desk::log_view(records).map_err(|error| org_error(&error)))?;
        let kept = if self.replays_all { None } else { self.kept_log()? };
        let from = kept.as_ref().map_or(0, |log| log.head.size());
        let organisation = self.desk.organisation();
        let Replayed { log, checkpoint } = replay(connection, organisation, (before, kept)).await?;
        let view = LogView { size: checkpoint.size(), root: *checkpoint.root(), time: checkpoint.time() };
        self.change(|records| {
            let mut both = Overlay::new(records);
            both.absorb(Desk::log_verified(records, &view)?);
            both.absorb(Desk::keep_log(records, &log, from)?);
            Ok(both.into_batch())
        })?;
        let leaves = log.leaves;
        let members =
            self.store().read(|records| Desk::members(records).map_err(|error| org_error(&error)))?;
        let handles: BTreeMap<MemberId, String> =
            members.iter().map(|it| (it.member_id, it.handle.to_string())).collect();
        let handle_of = |leaf: &Leaf| {
            let member = is_about_member(leaf.kind).then(|| leaf.member())?;
            handles.get(&member).cloned()
        };
        let lines = (0..).zip(&leaves).map(|(index, leaf)| LogLine::new(index, leaf, handle_of(leaf)));
        Ok(Log { lines: lines.collect(), root: view.root, checkpoint: view.time, leaves })
    }

    /// What was replayed before. A damaged copy is no loss: everything is replayed.
    fn kept_log(&self) -> Result<Option<KeptLog>, Error> {
        self.store().read(|records| match Desk::kept_log(records) {
            Err(OrgError::Records(RecordsError::Damaged)) => Ok(None),
            other => other.map_err(|error| org_error(&error)),
        })
    }
}
