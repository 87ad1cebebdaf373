//! The log as an administrator's machine sees it: fetched with the desk's login, replayed, and compared with what it was.

use std::collections::{BTreeMap, BTreeSet};

use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, MemberId, Organisation};
use chancery_org::{Desk, LogView};
use chancery_wire::Timestamp;
use chancery_wire::proto::{LogPage, SyncLog, client_frame, relay_frame};

use super::desk::Office;
use super::org_error;
use super::queue::kind_name;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};

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

/// An entry of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogLine {
    /// Its index, from 0.
    pub index: u64,
    /// When it was appended, by the log's clock.
    pub time: Timestamp,
    /// What it is about, in a word or two.
    pub kind: &'static str,
    /// Whom it is about: a device, a member, a group, or the first half of an issuer's identifier.
    pub subject: [u8; 16],
    /// The member of a device; zeros elsewhere.
    pub object: [u8; 16],
    /// First half of the identifier of the issuer who signed; zeros for a root.
    pub issuer: [u8; 16],
    /// Hash of the statement, or what that commits to.
    pub commitment: [u8; 32],
    /// Handle of the member it is about, if it is about one whom the desk knows.
    pub handle: Option<String>,
}

impl Office {
    /// Fetches and replays the log (R-LOG-6, R-LOG-7), and compares it with the longest one that was verified (R-ORG-48).
    pub(super) async fn replay(&self, connection: &Connection) -> Result<Log, Error> {
        let organisation = self.desk.organisation();
        let before =
            self.store().read(|records| Desk::log_view(records).map_err(|error| org_error(&error)))?;
        let mut replay = Replay::new(organisation, before);
        let checkpoint = loop {
            let from = replay.head.size();
            let sync = client_frame::Body::SyncLog(SyncLog { from });
            let relay_frame::Body::LogPage(page) = connection.request(sync).await? else {
                return Err(ErrorCode::RelayProtocol.into());
            };
            let is_stuck = page.more && page.entries.is_empty();
            replay.take(&page)?;
            match page.more {
                true if is_stuck => return Err(ErrorCode::RelayProtocol.into()),
                true => {}
                false => break page.checkpoint,
            }
        };
        let (head, leaves) = (replay.finish(organisation, &checkpoint)?, replay.leaves);
        let view = LogView { size: head.size(), root: *head.root(), time: head.time() };
        self.change(|records| Desk::log_verified(records, &view))?;
        let members =
            self.store().read(|records| Desk::members(records).map_err(|error| org_error(&error)))?;
        let handles: BTreeMap<MemberId, String> =
            members.iter().map(|it| (it.member_id, it.handle.to_string())).collect();
        let handle_of = |leaf: &Leaf| {
            let member = is_about_member(leaf.kind).then(|| leaf.member())?;
            handles.get(&member).cloned()
        };
        let line = |(index, leaf): (u64, &Leaf)| LogLine {
            index,
            time: leaf.time,
            kind: kind_name(leaf.kind),
            subject: leaf.subject,
            object: leaf.object,
            issuer: leaf.issuer,
            commitment: leaf.commitment,
            handle: handle_of(leaf),
        };
        let lines = (0..).zip(&leaves).map(line).collect();
        Ok(Log { lines, root: view.root, checkpoint: view.time, leaves })
    }
}

const fn is_about_member(kind: LeafKind) -> bool {
    matches!(
        kind,
        LeafKind::Credential
            | LeafKind::DeviceRevoked
            | LeafKind::MemberRevoked
            | LeafKind::Directory
            | LeafKind::Audit
    )
}

/// A replay from the first entry on.
struct Replay {
    authority: Authority,
    head: LogHead,
    leaves: Vec<Leaf>,
    devices: BTreeSet<[u8; 16]>,
    ended: BTreeSet<[u8; 16]>,
    before: Option<LogView>,
}

impl Replay {
    fn new(organisation: &Organisation, before: Option<LogView>) -> Self {
        Self {
            authority: Authority::new(organisation),
            head: LogHead::default(),
            leaves: Vec::new(),
            devices: BTreeSet::new(),
            ended: BTreeSet::new(),
            before,
        }
    }

    fn take(&mut self, page: &LogPage) -> Result<(), Error> {
        for entry in &page.entries {
            let index = self.head.size();
            let wrong = |why: &str| Error::with(ErrorCode::LogNotBelieved, format!("entry {index}: {why}"));
            let leaf = Leaf::from_bytes(&entry.leaf).ok_or_else(|| wrong("malformed"))?;
            self.authority
                .apply(index, &leaf, entry.content.as_ref())
                .map_err(|error| wrong(&error.to_string()))?;
            if !self.is_allowed(&leaf) {
                return Err(wrong("a device twice, or a device of somebody who was ended"));
            }
            self.head.push(&leaf).map_err(|error| wrong(&error.to_string()))?;
            self.leaves.push(leaf);
            if self.before.is_some_and(|it| it.size == self.head.size() && it.root != self.head.root()) {
                return Err(wrong("the log was another one when it was last verified"));
            }
        }
        Ok(())
    }

    /// What a replay checks besides the statements (R-LOG-6).
    fn is_allowed(&mut self, leaf: &Leaf) -> bool {
        match leaf.kind {
            LeafKind::Credential => !self.ended.contains(&leaf.object) && self.devices.insert(leaf.subject),
            LeafKind::MemberRevoked => self.ended.insert(leaf.subject),
            _ => true,
        }
    }

    /// Compares the end with the checkpoint.
    fn finish(&self, organisation: &Organisation, note: &str) -> Result<Checkpoint, Error> {
        let relay = organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?;
        let wrong = |why: &str| Error::with(ErrorCode::LogNotBelieved, why);
        let checkpoint = Checkpoint::verify(note, &organisation.id(), relay.log_key())
            .map_err(|error| wrong(&format!("checkpoint: {error}")))?;
        if (checkpoint.size(), *checkpoint.root()) != (self.head.size(), self.head.root()) {
            return Err(wrong("the checkpoint is another log's"));
        }
        let is_older = |it: LogView| it.size > checkpoint.size() || it.time > checkpoint.time();
        if self.before.is_some_and(is_older) {
            return Err(wrong("the log had more entries when it was last verified"));
        }
        Ok(checkpoint)
    }
}
