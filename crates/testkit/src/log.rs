//! The organisation's log as a relay keeps it: honest, unless a test has it say something else.

use std::sync::Arc;
use std::time::Duration;

use chancery_crypto::cosignature::WitnessSigningKey;
use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::signature::SigningKey;
use chancery_identity::checkpoint::Checkpoint;
use chancery_identity::log::{Leaf, LeafKind, LogHead, commitment, directory_object};
use chancery_identity::{Authority, IssuerId, MemberId, Organisation, sign};
use chancery_wire::Timestamp;
use chancery_wire::proto::{self, LogEntry, LogPage, Revoked};

/// How long a checkpoint is shown before the log signs anew.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);

/// A log with its key. A clone goes its own way: that is how a relay lies.
#[derive(Clone)]
pub struct OrgLog {
    organisation: Organisation,
    authority: Authority,
    head: LogHead,
    entries: Vec<LogEntry>,
    leaves: Vec<Hash>,
    key: Arc<SigningKey>,
    newest: Option<Checkpoint>,
}

impl OrgLog {
    /// Begins with what the organisation's document says.
    #[must_use]
    pub fn new(organisation: &Organisation, key: SigningKey, now: Timestamp) -> Self {
        let mut log = Self {
            organisation: organisation.clone(),
            authority: Authority::new(organisation),
            head: LogHead::default(),
            entries: Vec::new(),
            leaves: Vec::new(),
            key: Arc::new(key),
            newest: None,
        };
        let document = organisation.as_proto();
        for issuer in &document.issuers {
            log.append(LeafKind::Issuer, issuer, now);
        }
        if let Some(desk) = &document.desk {
            log.append(LeafKind::Desk, desk, now);
        }
        if let Some(relay) = &document.relay {
            log.append(LeafKind::Relay, relay, now);
        }
        log
    }

    /// Appends a statement as an honest log does; panics if it may not enter.
    pub fn append(&mut self, kind: LeafKind, statement: &proto::Signed, now: Timestamp) -> u64 {
        let now = now.max(self.head.time());
        let submission = self.authority.prepare(kind, statement, now).expect("it may enter");
        self.authority
            .apply(self.head.size(), &submission.leaf, submission.content.as_ref())
            .expect("what was prepared applies");
        self.append_leaf(&submission.leaf, submission.content)
    }

    /// Commits to a directory entry of a member, of this version, with an issuer's identifier and key.
    pub fn commit(
        &mut self,
        (issuer, key): (IssuerId, &SigningKey),
        (member, version, entry): (&MemberId, u64, &proto::Signed),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) {
        let body = proto::LogCommitmentBody {
            org_id: self.organisation.id().as_bytes().to_vec(),
            issuer_id: issuer.as_bytes().to_vec(),
            kind: LeafKind::Directory.number().into(),
            subject: member.as_bytes().to_vec(),
            object: directory_object(version).to_vec(),
            commitment: commitment(LeafKind::Directory, entry).to_vec(),
        };
        let statement = sign::sign_log_commitment(key, &body, rng);
        self.append(LeafKind::Directory, &statement, now);
    }

    /// Appends an entry that nobody has checked.
    pub fn append_leaf(&mut self, leaf: &Leaf, content: Option<proto::Signed>) -> u64 {
        let index = self.head.size();
        self.head.push(leaf).expect("times rise");
        self.leaves.push(leaf.hash());
        self.entries.push(LogEntry { leaf: leaf.to_bytes().to_vec(), content });
        index
    }

    /// Returns the log as it was with fewer entries; the time of its checkpoints goes on.
    #[must_use]
    pub fn cut(&self, size: u64) -> Self {
        let mut cut = Self {
            authority: Authority::new(&self.organisation),
            head: LogHead::default(),
            entries: Vec::new(),
            leaves: Vec::new(),
            newest: None,
            ..self.clone()
        };
        for entry in &self.entries[..usize::try_from(size).expect("small")] {
            let leaf = Leaf::from_bytes(&entry.leaf).expect("own leaf");
            cut.authority.apply(cut.head.size(), &leaf, entry.content.as_ref()).expect("applied before");
            cut.append_leaf(&leaf, entry.content.clone());
        }
        cut
    }

    /// Returns the first entries as a log of their own, which nobody checks.
    #[must_use]
    pub fn cut_leaves(&self, size: usize) -> Self {
        let mut cut = Self {
            head: LogHead::default(),
            entries: Vec::new(),
            leaves: Vec::new(),
            newest: None,
            ..self.clone()
        };
        for entry in &self.entries[..size] {
            cut.append_leaf(&Leaf::from_bytes(&entry.leaf).expect("own leaf"), entry.content.clone());
        }
        cut
    }

    /// Returns how many entries there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.head.size()
    }

    /// Returns the key that signs checkpoints.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Signs with another key from now on.
    pub fn replace_key(&mut self, key: SigningKey) {
        self.key = Arc::new(key);
        self.newest = None;
    }

    /// Returns what the log has of the organisation.
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the entries from `from` on, at most `most`; the last page has the checkpoint.
    pub fn page(&mut self, from: u64, most: usize, now: Timestamp, rng: &mut dyn CryptoRng) -> LogPage {
        let from = usize::try_from(from).expect("small").min(self.entries.len());
        let entries: Vec<_> = self.entries[from..].iter().take(most).cloned().collect();
        let end = from + entries.len();
        let more = end < self.entries.len();
        let proof = if more && end > 0 { self.consistency(end) } else { Vec::new() };
        LogPage { entries, more, checkpoint: self.checkpoint(now, rng), proof }
    }

    /// Proves that the first entries are the beginning of all.
    fn consistency(&self, of: usize) -> Vec<Vec<u8>> {
        let proof = merkle::consistency_proof(&self.leaves, of).expect("fewer than all");
        proof.iter().map(|hash| hash.to_vec()).collect()
    }

    /// Returns the newest checkpoint; the log signs anew when it has grown, and every ten minutes.
    pub fn checkpoint(&mut self, now: Timestamp, rng: &mut dyn CryptoRng) -> String {
        let is_new = self.newest.as_ref().is_some_and(|newest| {
            newest.size() == self.size() && now < newest.time().after(CHECKPOINT_INTERVAL)
        });
        if !is_new {
            let last = self.newest.as_ref().map_or(Timestamp::default(), Checkpoint::time);
            self.sign_at(now.max(last), rng);
        }
        self.newest.as_ref().expect("signed").note().to_owned()
    }

    /// Has a witness cosign the newest checkpoint.
    pub fn cosign(&mut self, witness: &WitnessSigningKey, now: Timestamp, rng: &mut dyn CryptoRng) {
        self.checkpoint(now, rng);
        let newest = self.newest.as_ref().expect("signed");
        let note = newest.cosign("witness", witness, now.as_millis() / 1000).expect("fits");
        let cosigned = newest.add_cosignatures(&note, &[witness.verifying_key()]).expect("verifies");
        self.newest = cosigned.or(self.newest.take());
    }

    /// Has the log sign a checkpoint of any time.
    pub fn sign_at(&mut self, time: Timestamp, rng: &mut dyn CryptoRng) {
        let tree = (self.size(), self.head.root());
        self.newest = Some(Checkpoint::sign(&self.key, &self.organisation.id(), tree, time, rng));
    }

    /// Returns what the relay answers to the login of a device that entry `index` has ended.
    pub fn revoked(&mut self, index: u64, now: Timestamp, rng: &mut dyn CryptoRng) -> Revoked {
        let at = usize::try_from(index).expect("small");
        let proof = merkle::inclusion_proof(&self.leaves, at).expect("an entry");
        Revoked {
            leaf: self.entries[at].leaf.clone(),
            statement: self.entries[at].content.clone(),
            index,
            proof: proof.iter().map(|hash| hash.to_vec()).collect(),
            note: self.checkpoint(now, rng),
        }
    }
}
