//! The organisation's log: what may enter, what it ends, and what is signed and shown of it (R-RELAY-44 to
//! R-RELAY-55).

use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use chancery_crypto::merkle::Hash;
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead, commitment};
use chancery_identity::{
    Authority, Capabilities, Change, Credential, IssuerId, LogError, Organisation, Submission,
};
use chancery_wire::{Limit, RefusalCode, Timestamp, decode, encode, proto};
use proto::relay_frame::Body;

use crate::connection::{Answer, Fault, Stage};
use crate::limits::{CHECKPOINT_INTERVAL, GROWN_INTERVAL, LOG_PAGE, MAX_MEMBER_DEVICES};
use crate::relay::{ConnectionId, StartError, send};
use crate::step::Step;
use crate::storage::{LogEntry, Storage, StorageError};
use crate::tree::Tree;

/// What the relay has in memory of the log; all of it follows from the storage.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    /// Shared with what a transaction that fails goes back to.
    pub(crate) authority: Arc<Authority>,
    pub(crate) head: LogHead,
    /// The newest that was signed, with what witnesses have said of it.
    pub(crate) checkpoint: Option<Checkpoint>,
    /// What the clock said when it was signed, or, if that is earlier, when this relay started with it.
    signed_when: Timestamp,
    /// Whether there are connections that have not been told of all entries.
    untold: bool,
    /// Whether one of the entries that they have not been told of is not to wait.
    is_urgent: bool,
    /// When everybody was told last.
    told_at: Timestamp,
}

impl Log {
    /// Rebuilds everything from what is stored (R-RELAY-44).
    pub(crate) fn replay(organisation: &Organisation, storage: &dyn Storage) -> Result<Self, StartError> {
        let (mut authority, mut head) = (Authority::new(organisation), LogHead::default());
        loop {
            let page = storage.log_page(head.size(), LOG_PAGE)?;
            if page.is_empty() {
                break;
            }
            for entry in page {
                let leaf = Leaf::from_bytes(&entry.leaf).ok_or(StartError::Log(LogError::Malformed))?;
                let content = entry.content.as_deref().map(statement).transpose()?;
                // Ends change no authority, and there may be a hundred thousand signatures to verify.
                if !is_end(leaf.kind) {
                    authority.apply(head.size(), &leaf, content.as_ref()).map_err(StartError::Log)?;
                }
                head.push(&leaf).map_err(StartError::Log)?;
            }
        }
        let (untold, is_urgent, never) = (false, false, Timestamp::default());
        let authority = authority.into();
        Ok(Self { authority, head, checkpoint: None, signed_when: never, untold, is_urgent, told_at: never })
    }

    /// Takes the stored checkpoint over, if it is this log's.
    pub(crate) fn resume(&mut self, checkpoint: Checkpoint, now: Timestamp) -> Result<(), StartError> {
        let (size, root) = (self.head.size(), self.head.root());
        if checkpoint.size() > size || (checkpoint.size() == size && *checkpoint.root() != root) {
            return Err(StartError::Log(LogError::OutOfOrder));
        }
        self.signed_when = now.min(checkpoint.time());
        self.checkpoint = Some(checkpoint);
        Ok(())
    }

    /// When the newest checkpoint was signed.
    fn signed_at(&self) -> Timestamp {
        self.checkpoint.as_ref().map_or(Timestamp::default(), Checkpoint::time)
    }

    /// The checkpoint for exactly the entries that there are, if it has been signed.
    fn signed(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref().filter(|checkpoint| checkpoint.size() == self.head.size())
    }
}

/// Whether entries of a kind end a device or a member.
const fn is_end(kind: LeafKind) -> bool {
    matches!(kind, LeafKind::DeviceRevoked | LeafKind::MemberRevoked)
}

/// Whether the authority is another one after an entry of a kind.
const fn changes_authority(kind: LeafKind) -> bool {
    kind.is_shown() && !is_end(kind)
}

/// Reads the statement of an entry that is stored.
fn statement(content: &[u8]) -> Result<proto::Signed, StorageError> {
    Ok(decode(content, Limit::RECORD).map_err(|_| StorageError::Io)?.into_unchecked())
}

impl Step<'_> {
    /// R-RELAY-45.
    pub(crate) fn append_log(&mut self, id: ConnectionId, append: proto::AppendLog) -> Answer {
        self.desk(id)?;
        let kind = LeafKind::from_number(append.kind).ok_or(RefusalCode::BadRequest)?;
        let statement = append.statement.ok_or(RefusalCode::BadRequest)?;
        let index = self.enter(kind, &statement)?;
        Ok(Body::Appended(proto::Appended { index }))
    }

    /// Puts a statement into the log, or returns where it stands already (R-RELAY-46).
    fn enter(&mut self, kind: LeafKind, statement: &proto::Signed) -> Result<u64, Fault> {
        if let Some(index) = self.held(kind, statement)? {
            return Ok(index);
        }
        let log = &self.relay.log;
        // No leaf is older than a checkpoint without it (R-LOG-5).
        let now = self.now.max(log.head.time()).max(log.signed_at());
        let submission = log.authority.prepare(kind, statement, now).map_err(refusal)?;
        if kind == LeafKind::Relay && !self.is_own_record(statement) {
            return Err(RefusalCode::Conflict.into());
        }
        self.may_enter(&submission.leaf)?;
        self.append(&submission)
    }

    /// Whether a relay record names the key that signs this log (R-RELAY-47).
    fn is_own_record(&self, statement: &proto::Signed) -> bool {
        decode::<proto::RelayRecordBody>(&statement.body, Limit::STATEMENT)
            .is_ok_and(|body| body.unchecked().log_key == self.relay.log_key.verifying_key().as_bytes())
    }

    /// Where a statement stands in the log.
    fn held(&self, kind: LeafKind, statement: &proto::Signed) -> Result<Option<u64>, Fault> {
        if !matches!(kind, LeafKind::Directory | LeafKind::Audit) {
            return Ok(self.storage.log_commitment(kind, &commitment(kind, statement))?);
        }
        let body = decode::<proto::LogCommitmentBody>(&statement.body, Limit::STATEMENT);
        let body = body.map_err(|_| RefusalCode::BadRequest)?.into_unchecked();
        let commitment: [u8; 32] = body.commitment.try_into().map_err(|_| RefusalCode::BadRequest)?;
        let Some(index) = self.storage.log_commitment(kind, &commitment)? else { return Ok(None) };
        let leaf = self.leaf(index)?;
        if leaf.subject.as_slice() == body.subject && leaf.object.as_slice() == body.object {
            return Ok(Some(index));
        }
        Err(RefusalCode::Conflict.into())
    }

    /// What the authority leaves to the log to check: devices and members (R-RELAY-47), and room.
    fn may_enter(&self, leaf: &Leaf) -> Result<(), Fault> {
        if self.relay.log.head.size() >= self.relay.limits.log_entries {
            return Err(RefusalCode::QuotaExceeded.into());
        }
        let about = |kind, subject: &[u8; 16]| self.storage.log_about(kind, subject);
        let member = leaf.member();
        let ended = |device: &[u8; 16]| -> Result<bool, StorageError> {
            let is_member = about(LeafKind::MemberRevoked, member.as_bytes())?.is_some();
            Ok(is_member || about(LeafKind::DeviceRevoked, device)?.is_some())
        };
        let known = about(LeafKind::Credential, &leaf.subject)?;
        let conflicts = match leaf.kind {
            LeafKind::Credential => {
                if self.storage.log_devices(&member)?.len() >= MAX_MEMBER_DEVICES {
                    return Err(RefusalCode::QuotaExceeded.into());
                }
                known.is_some() || ended(&leaf.subject)?
            }
            LeafKind::DeviceRevoked => {
                let of_another = match known {
                    Some(index) => self.leaf(index)?.member() != member,
                    None => false,
                };
                of_another || ended(&leaf.subject)?
            }
            LeafKind::MemberRevoked => about(LeafKind::MemberRevoked, member.as_bytes())?.is_some(),
            LeafKind::Directory => match about(LeafKind::Directory, &leaf.subject)? {
                Some(last) => self.leaf(last)?.object >= leaf.object,
                None => false,
            },
            _ => false,
        };
        if conflicts { Err(RefusalCode::Conflict.into()) } else { Ok(()) }
    }

    /// Puts what was checked at the end of the log, and carries out what it says.
    fn append(&mut self, submission: &Submission) -> Result<u64, Fault> {
        let Submission { leaf, content } = submission;
        let index = self.relay.log.head.size();
        let log = self.relay.log_mut();
        let mut change = None;
        // The others were checked, and a copy of all that an authority remembers for each would be waste.
        if changes_authority(leaf.kind) {
            let authority = Arc::make_mut(&mut log.authority);
            change = Some(authority.apply(index, leaf, content.as_ref()).map_err(refusal)?);
        }
        // Its time was made to fit; if it did not, the whole transaction goes back.
        log.head.push(leaf).map_err(|_| StorageError::Io)?;
        log.untold = true;
        log.is_urgent |= leaf.kind.is_shown();
        let nodes = Tree(self.storage).completed(index, leaf.hash())?;
        let content = content.as_ref().map(encode);
        self.storage.log_append(index, &LogEntry { leaf: leaf.to_bytes(), content, nodes })?;
        if let Some(Change::IssuerRevoked(issuer)) = change {
            self.close_desks_of(&issuer)?;
        } else if is_end(leaf.kind) {
            self.carry_out_end(index, leaf)?;
        }
        Ok(index)
    }

    /// R-RELAY-50: what the relay has of the devices goes in the transaction of the entry.
    fn carry_out_end(&mut self, index: u64, leaf: &Leaf) -> Result<(), StorageError> {
        let is_member = leaf.kind == LeafKind::MemberRevoked;
        let devices = if is_member { self.storage.log_devices(&leaf.member())? } else { vec![leaf.device()] };
        for device in &devices {
            self.remove_device(device)?;
        }
        let concerned = |credential: &Credential| {
            if is_member {
                credential.member_id() == leaf.member()
            } else {
                credential.device_id() == leaf.device()
            }
        };
        let ended = self.connections_of(concerned);
        if ended.is_empty() {
            return Ok(());
        }
        let revoked = self.revoked(index)?;
        for id in ended {
            self.effects.push(send(id, 0, Body::Revoked(revoked.clone())));
            let Some(Stage::Mailbox(reader)) = self.stage(id) else { continue };
            if let Some(credential) = reader.credential.clone() {
                self.await_confirmation(id, credential, &revoked);
            }
        }
        Ok(())
    }

    /// R-RELAY-49: a desk whose credential the log does not have is as good as its issuer.
    fn close_desks_of(&mut self, issuer: &IssuerId) -> Result<(), StorageError> {
        let by_issuer = |credential: &Credential| credential.issuer_id() == *issuer;
        for id in self.connections_of(by_issuer) {
            let Some(Stage::Mailbox(reader)) = self.stage(id) else { continue };
            let Some(credential) = reader.credential.clone() else { continue };
            if !self.may_log_in(&credential)? {
                self.to_close.push(id);
            }
        }
        Ok(())
    }

    fn connections_of(&self, of: impl Fn(&Credential) -> bool) -> Vec<ConnectionId> {
        let found = self.relay.all().filter(|(_, connection)| match &connection.stage {
            Stage::Mailbox(reader) => reader.credential.as_deref().is_some_and(&of),
            _ => false,
        });
        found.map(|(id, _)| id).collect()
    }

    /// Whether a credential that verifies may log in, apart from ends (R-RELAY-49).
    pub(crate) fn may_log_in(&self, credential: &Credential) -> Result<bool, StorageError> {
        let logged = self.storage.log_about(LeafKind::Credential, credential.device_id().as_bytes())?;
        if let Some(index) = logged {
            return Ok(self.leaf(index)?.commitment == credential.hash());
        }
        let is_desk = credential.capabilities().contains(Capabilities::DESK);
        Ok(is_desk && self.relay.log.authority.is_active(&credential.issuer_id()))
    }

    /// The entry that ended a device or its member.
    pub(crate) fn end_of(&self, credential: &Credential) -> Result<Option<u64>, StorageError> {
        let device = self.storage.log_about(LeafKind::DeviceRevoked, credential.device_id().as_bytes())?;
        match device {
            Some(index) => Ok(Some(index)),
            None => self.storage.log_about(LeafKind::MemberRevoked, credential.member_id().as_bytes()),
        }
    }

    /// What a device is told that was ended by the entry `index` (R-RELAY-50).
    pub(crate) fn revoked(&mut self, index: u64) -> Result<proto::Revoked, StorageError> {
        let note = self.checkpoint()?;
        let entry = self.storage.log_entry(index)?.ok_or(StorageError::Io)?;
        let proof = Tree(self.storage).inclusion(index, self.relay.log.head.size())?;
        Ok(proto::Revoked {
            leaf: entry.leaf.to_vec(),
            statement: entry.content.as_deref().map(statement).transpose()?,
            index,
            proof: hashes(proof),
            note,
        })
    }

    fn leaf(&self, index: u64) -> Result<Leaf, StorageError> {
        let entry = self.storage.log_entry(index)?.ok_or(StorageError::Io)?;
        Leaf::from_bytes(&entry.leaf).ok_or(StorageError::Io)
    }

    /// R-RELAY-51. A device that was ended is shown no entry behind its end (R-RELAY-67).
    pub(crate) fn sync_log(&mut self, id: ConnectionId, sync: &proto::SyncLog) -> Answer {
        let size = self.relay.log.head.size();
        let end = if let Some(Stage::Ended(ended)) = self.stage(id) {
            ended.index.saturating_add(1)
        } else {
            self.device(id)?;
            size
        };
        let from = sync.from.min(size);
        let (mut page, mut next) = (proto::LogPage::default(), from);
        for entry in self.storage.log_page(from, LOG_PAGE)? {
            if next >= end {
                break;
            }
            let content = entry.content.as_deref().map(statement).transpose()?;
            page.entries.push(proto::LogEntry { leaf: entry.leaf.to_vec(), content });
            next = next.saturating_add(1);
        }
        page.more = next < end;
        page.checkpoint = self.checkpoint()?;
        page.proof = hashes(Tree(self.storage).consistency(next, size)?);
        Ok(Body::LogPage(page))
    }

    /// R-RELAY-52. Whoever has said hello may ask.
    pub(crate) fn get_checkpoint(&mut self, id: ConnectionId, get: &proto::GetCheckpoint) -> Answer {
        if !matches!(self.stage(id), Some(Stage::Mailbox(_))) {
            self.be_anonymous(id)?;
        }
        let note = self.checkpoint()?;
        let proof = hashes(Tree(self.storage).consistency(get.from, self.relay.log.head.size())?);
        Ok(Body::Checkpoint(proto::CheckpointAnswer { note, proof }))
    }

    /// R-RELAY-54.
    pub(crate) fn log_key(&self) -> Answer {
        let key = self.relay.log_key.verifying_key().as_bytes().to_vec();
        Ok(Body::LogKey(proto::LogKey { key }))
    }

    /// The checkpoint for exactly the entries that there are now; signs one if there is none.
    pub(crate) fn checkpoint(&mut self) -> Result<String, StorageError> {
        match self.relay.log.signed() {
            Some(checkpoint) => Ok(checkpoint.note().into()),
            None => self.sign_checkpoint(),
        }
    }

    /// R-RELAY-53. What is signed is stored in the transaction of the entries, and leaves after it.
    fn sign_checkpoint(&mut self) -> Result<String, StorageError> {
        let log = &self.relay.log;
        // While the clock is behind, a later one of the same size shows that the log is alive (R-RELAY-68).
        let is_renewed = log.signed().is_some();
        let least = log.signed_at().after(Duration::from_millis(is_renewed.into()));
        let time = self.now.max(least).max(log.head.time());
        let (org, what) = (log.authority.organisation().id(), (log.head.size(), log.head.root()));
        let checkpoint = Checkpoint::sign(&self.relay.log_key, &org, what, time, self.rng);
        let note = checkpoint.note().to_string();
        self.storage.put_note(&note)?;
        let now = self.now;
        let log = self.relay.log_mut();
        (log.checkpoint, log.signed_when) = (Some(checkpoint), now);
        Ok(note)
    }

    /// Signs the same size again once the checkpoint has become old (R-RELAY-53).
    pub(crate) fn renew_checkpoint(&mut self) -> Result<(), StorageError> {
        let (log, now) = (&self.relay.log, self.now);
        let is_young = now >= log.signed_when && now.since(log.signed_when) < CHECKPOINT_INTERVAL;
        if log.checkpoint.is_some() && is_young { Ok(()) } else { self.sign_checkpoint().map(drop) }
    }

    /// At the end of a transaction: signs what has grown, once, and tells everybody (R-RELAY-48).
    pub(crate) fn finish_log(&mut self) -> Result<(), StorageError> {
        if self.relay.log.signed().is_none() {
            self.sign_checkpoint()?;
        }
        let (log, now) = (&self.relay.log, self.now);
        // A clock that went back must not keep anybody waiting.
        let waited = now < log.told_at || now.since(log.told_at) >= GROWN_INTERVAL;
        if !log.untold || !(log.is_urgent || waited) {
            return Ok(());
        }
        for id in self.connections_of(|_| true) {
            self.tell(id);
        }
        let log = self.relay.log_mut();
        (log.untold, log.is_urgent, log.told_at) = (false, false, now);
        Ok(())
    }

    /// Tells a connection of entries that it has not been told of.
    pub(crate) fn tell(&mut self, id: ConnectionId) {
        let size = self.relay.log.head.size();
        let Some(Stage::Mailbox(reader)) = self.stage(id) else { return };
        if reader.credential.is_none() || reader.told >= size {
            return;
        }
        if let Some(reader) = self.relay.reader_mut(id) {
            reader.told = size;
        }
        self.effects.push(send(id, 0, Body::LogGrown(proto::LogGrown { size })));
    }

    /// Takes over from the public document what the log lacks (R-RELAY-55): the issuers of each root, then its
    /// successor; then the desk and the relay record. What the log refuses stays outside.
    pub(crate) fn take_over(&mut self, organisation: &Organisation) -> Result<(), StorageError> {
        if organisation.id() != self.relay.organisation().id() {
            return Ok(());
        }
        let document = organisation.as_proto();
        self.offer(LeafKind::Issuer, &document.issuers)?;
        for successor in document.successors.chunks(1) {
            self.offer(LeafKind::Root, successor)?;
            self.offer(LeafKind::Issuer, &document.issuers)?;
        }
        self.offer(LeafKind::Desk, document.desk.as_slice())?;
        self.offer(LeafKind::Relay, document.relay.as_slice())
    }

    fn offer(&mut self, kind: LeafKind, statements: &[proto::Signed]) -> Result<(), StorageError> {
        for statement in statements {
            if let Err(Fault::Storage(error)) = self.enter(kind, statement) {
                return Err(error);
            }
        }
        Ok(())
    }
}

fn hashes(path: Vec<Hash>) -> Vec<Vec<u8>> {
    path.into_iter().map(|hash| hash.to_vec()).collect()
}

/// R-RELAY-45.
fn refusal(error: LogError) -> Fault {
    match error {
        LogError::NotAuthentic | LogError::NotPermitted | LogError::Statement(_) => {
            RefusalCode::NotAuthorised
        }
        LogError::OutOfOrder | LogError::Duplicate => RefusalCode::Conflict,
        LogError::TooMany => RefusalCode::QuotaExceeded,
        _ => RefusalCode::BadRequest,
    }
    .into()
}
