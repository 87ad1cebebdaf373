//! The whole log, fetched over one connection and replayed from its first entry: for whoever looks at it, an administrator or a
//! member, and takes nobody's word for it.

use std::collections::BTreeSet;

use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, Organisation};
use chancery_org::LogView;
use chancery_wire::Timestamp;
use chancery_wire::proto::{LogPage, SyncLog, client_frame, relay_frame};

use crate::connection::Connection;
use crate::error::{Error, ErrorCode};

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
    /// Handle of the member it is about, if it is about one who is known here.
    pub handle: Option<String>,
}

impl LogLine {
    pub(crate) fn new(index: u64, leaf: &Leaf, handle: Option<String>) -> Self {
        Self {
            index,
            time: leaf.time,
            kind: kind_name(leaf.kind),
            subject: leaf.subject,
            object: leaf.object,
            issuer: leaf.issuer,
            commitment: leaf.commitment,
            handle,
        }
    }
}

/// Names what an entry of the log is about.
pub(crate) const fn kind_name(kind: LeafKind) -> &'static str {
    match kind {
        LeafKind::Root => "root successor",
        LeafKind::Issuer => "issuer",
        LeafKind::IssuerRevoked => "issuer ended",
        LeafKind::Credential => "device",
        LeafKind::DeviceRevoked => "device ended",
        LeafKind::MemberRevoked => "member ended",
        LeafKind::Policy => "policy",
        LeafKind::GroupSuccessor => "group successors",
        LeafKind::Directory => "directory entry",
        LeafKind::Audit => "administrative act",
        LeafKind::Desk => "desk",
        LeafKind::Relay => "relay record",
    }
}

/// Whether entries of a kind name a member.
pub(crate) const fn is_about_member(kind: LeafKind) -> bool {
    matches!(
        kind,
        LeafKind::Credential
            | LeafKind::DeviceRevoked
            | LeafKind::MemberRevoked
            | LeafKind::Directory
            | LeafKind::Audit
    )
}

/// A log whose every entry was checked, with the checkpoint for exactly these.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) checkpoint: Checkpoint,
}

/// Fetches and replays the log over a mailbox connection (R-LOG-6, R-LOG-7), and compares it with what it was before
/// (R-ORG-48). `organisation` is the anchor: its first root counts, and its relay's log key beside the one that the log names.
pub(crate) async fn replay(
    connection: &Connection,
    organisation: &Organisation,
    before: Option<LogView>,
) -> Result<Replayed, Error> {
    let mut replay = Replay::new(organisation, before);
    loop {
        let from = replay.head.size();
        let sync = client_frame::Body::SyncLog(SyncLog { from });
        let relay_frame::Body::LogPage(page) = connection.request(sync).await? else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        replay.take(&page)?;
        if !page.more {
            let checkpoint = replay.finish(organisation, &page.checkpoint)?;
            return Ok(Replayed { leaves: replay.leaves, checkpoint });
        }
        if page.entries.is_empty() {
            return Err(ErrorCode::RelayProtocol.into());
        }
    }
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
        let wrong = |why: &str| Error::with(ErrorCode::LogNotBelieved, why);
        let relays = [self.authority.organisation().relay(), organisation.relay()];
        let keys = relays.into_iter().flatten().map(chancery_identity::RelayRecord::log_key);
        let mut verified = keys.map(|key| Checkpoint::verify(note, &organisation.id(), key));
        let checkpoint = verified
            .find_map(Result::ok)
            .ok_or_else(|| wrong("the checkpoint is not signed by the relay's log key"))?;
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
