//! The log as an administrator's machine sees it: fetched with the desk's login, replayed, and compared with what it was.

use std::collections::BTreeMap;

use chancery_identity::MemberId;
use chancery_identity::log::Leaf;
use chancery_org::{Desk, LogView};
use chancery_wire::Timestamp;

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
    /// Fetches and replays the log, compares it with the longest one that was verified, and remembers it (R-ORG-48).
    pub(super) async fn replay(&self, connection: &Connection) -> Result<Log, Error> {
        let before =
            self.store().read(|records| Desk::log_view(records).map_err(|error| org_error(&error)))?;
        let Replayed { leaves, checkpoint } = replay(connection, self.desk.organisation(), before).await?;
        let view = LogView { size: checkpoint.size(), root: *checkpoint.root(), time: checkpoint.time() };
        self.change(|records| Desk::log_verified(records, &view))?;
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
}
