//! The whole log, fetched over one connection and replayed from its first entry: for whoever looks at it, an administrator or a
//! member, and takes nobody's word for it.

use std::collections::{BTreeMap, BTreeSet};

use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, Organisation};
use chancery_org::{KeptLog, LogView};
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
    pub(crate) log: KeptLog,
    pub(crate) checkpoint: Checkpoint,
}

/// Fetches and replays the log over a mailbox connection (R-LOG-6, R-LOG-7), and compares it with what it was before
/// (R-ORG-48). `organisation` is the anchor: its first root counts, and its relay's log key beside the one that the log names.
/// The replay goes on after what was replayed before, if that is given.
pub(crate) async fn replay(
    connection: &Connection,
    organisation: &Organisation,
    (before, kept): (Option<LogView>, Option<KeptLog>),
) -> Result<Replayed, Error> {
    let mut replay = Replay::new(organisation, before, kept);
    loop {
        let from = replay.log.head.size();
        let sync = client_frame::Body::SyncLog(SyncLog { from });
        let relay_frame::Body::LogPage(page) = connection.request(sync).await? else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        replay.take(&page)?;
        if !page.more {
            let checkpoint = replay.finish(organisation, &page.checkpoint)?;
            return Ok(Replayed { log: replay.log, checkpoint });
        }
        if page.entries.is_empty() {
            return Err(ErrorCode::RelayProtocol.into());
        }
    }
}

/// A replay on its way.
struct Replay {
    log: KeptLog,
    seen: Seen,
    before: Option<LogView>,
}

impl Replay {
    fn new(organisation: &Organisation, before: Option<LogView>, kept: Option<KeptLog>) -> Self {
        let start = || KeptLog {
            authority: Authority::new(organisation),
            head: LogHead::default(),
            leaves: Vec::new(),
        };
        let log = kept.unwrap_or_else(start);
        let mut seen = Seen::default();
        for leaf in &log.leaves {
            seen.allows(leaf);
        }
        Self { log, seen, before }
    }

    fn take(&mut self, page: &LogPage) -> Result<(), Error> {
        for entry in &page.entries {
            let index = self.log.head.size();
            let wrong = |why: &str| Error::with(ErrorCode::LogNotBelieved, format!("entry {index}: {why}"));
            let leaf = Leaf::from_bytes(&entry.leaf).ok_or_else(|| wrong("malformed"))?;
            self.log
                .authority
                .apply(index, &leaf, entry.content.as_ref())
                .map_err(|error| wrong(&error.to_string()))?;
            if !self.seen.allows(&leaf) {
                return Err(wrong(
                    "a device, an end or a version twice, or a device of somebody who was ended",
                ));
            }
            self.log.head.push(&leaf).map_err(|error| wrong(&error.to_string()))?;
            self.log.leaves.push(leaf);
            if self
                .before
                .is_some_and(|it| it.size == self.log.head.size() && it.root != self.log.head.root())
            {
                return Err(wrong("the log was another one when it was last verified"));
            }
        }
        Ok(())
    }

    /// Compares the end with the checkpoint.
    fn finish(&self, organisation: &Organisation, note: &str) -> Result<Checkpoint, Error> {
        let wrong = |why: &str| Error::with(ErrorCode::LogNotBelieved, why);
        let relays = [self.log.authority.organisation().relay(), organisation.relay()];
        let keys = relays.into_iter().flatten().map(chancery_identity::RelayRecord::log_key);
        let mut verified = keys.map(|key| Checkpoint::verify(note, &organisation.id(), key));
        let checkpoint = verified
            .find_map(Result::ok)
            .ok_or_else(|| wrong("the checkpoint is not signed by the relay's log key"))?;
        if (checkpoint.size(), *checkpoint.root()) != (self.log.head.size(), self.log.head.root()) {
            return Err(wrong("the checkpoint is another log's"));
        }
        let is_older = |it: LogView| it.size > checkpoint.size() || it.time > checkpoint.time();
        if self.before.is_some_and(is_older) {
            return Err(wrong("the log had more entries when it was last verified"));
        }
        Ok(checkpoint)
    }
}

/// What a replay checks of entries beside their statements (R-LOG-6).
#[derive(Default)]
struct Seen {
    /// The member of each device that the log has vouched for.
    devices: BTreeMap<[u8; 16], [u8; 16]>,
    /// Devices and members that have ended; they are random, and never the same.
    ended: BTreeSet<[u8; 16]>,
    /// Versions of directory entries.
    versions: BTreeMap<[u8; 16], [u8; 16]>,
}

impl Seen {
    fn allows(&mut self, leaf: &Leaf) -> bool {
        match leaf.kind {
            LeafKind::Credential => {
                !self.ended.contains(&leaf.object) && self.devices.insert(leaf.subject, leaf.object).is_none()
            }
            LeafKind::DeviceRevoked => {
                let is_anothers = self.devices.get(&leaf.subject).is_some_and(|it| *it != leaf.object);
                !is_anothers && self.ended.insert(leaf.subject)
            }
            LeafKind::MemberRevoked => self.ended.insert(leaf.subject),
            LeafKind::Directory => {
                // The version stands first; what follows it are zeros.
                let last = self.versions.insert(leaf.subject, leaf.object);
                last.is_none_or(|last| last < leaf.object)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_twice_or_falls_is_no_honest_logs_r_log_6() {
        let allows = |leaves: &[(LeafKind, u8, u8)]| {
            let mut seen = Seen::default();
            let mut all = leaves.iter().map(|(kind, subject, object)| {
                let (time, issuer) = (Timestamp::default(), [3; 16]);
                let (subject, object) = ([*subject; 16], [*object; 16]);
                seen.allows(&Leaf { kind: *kind, time, subject, object, issuer, commitment: [0; 32] })
            });
            all.all(|allowed| allowed)
        };
        let device = (LeafKind::Credential, 1, 2);
        let (ended, gone) = ((LeafKind::DeviceRevoked, 1, 2), (LeafKind::MemberRevoked, 2, 0));
        let entry = |version| (LeafKind::Directory, 2, version);
        assert!(allows(&[device, entry(1), entry(2), ended, entry(3), gone]));
        assert!(allows(&[ended]), "of a device that was never there");
        assert!(!allows(&[device, device]));
        assert!(!allows(&[device, (LeafKind::DeviceRevoked, 1, 3)]));
        assert!(!allows(&[device, ended, ended]));
        assert!(!allows(&[gone, gone]));
        assert!(!allows(&[gone, device]));
        assert!(!allows(&[entry(2), entry(2)]) && !allows(&[entry(2), entry(1)]));
    }
}
