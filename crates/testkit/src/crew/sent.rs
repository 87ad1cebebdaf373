//! A commit with all that goes with it, and one that nobody would build.

use std::collections::BTreeMap;

use chancery_crypto::hash::hash;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_group::{BuiltCommit, Changes, Group, Keying, LogView, Slot};
use chancery_wire::{encode, proto};

use super::Crew;

/// A commit, and what its author sends with it and stores.
pub struct Sent {
    /// The encoded commit.
    pub bytes: Vec<u8>,
    /// Its hash.
    pub hash: [u8; 32],
    secret: [u8; 32],
    /// What goes to whom with keying 2, and to whom becomes a keyholder.
    pub paths: BTreeMap<Slot, proto::GroupPath>,
    /// The welcomes of those added.
    pub welcomes: Vec<(Slot, proto::GroupWelcome)>,
    /// The keys of all live nodes; empty if the author does not have them.
    pub tree: Vec<u8>,
    /// What the author stores.
    pub own: Changes,
}

impl Sent {
    pub(crate) fn of(built: BuiltCommit<'_>) -> Self {
        let file = Some(proto::GroupFile::default());
        let path = |slot| (slot, built.path(slot, file.clone()).expect("one of those who get one"));
        let tree = built.tree().map(|tree| tree.expose().to_vec()).unwrap_or_default();
        let tree_file = file.clone().filter(|_| !tree.is_empty());
        let welcome =
            |slot: &Slot| (*slot, built.welcome(*slot, None, tree_file.clone()).expect("it was added"));
        Self {
            bytes: built.bytes().to_vec(),
            hash: *built.hash(),
            secret: *built.secret().expose(),
            paths: built.paths().into_iter().map(path).collect(),
            welcomes: built.outcome().added.iter().map(welcome).collect(),
            tree,
            own: built.into_parts().0,
        }
    }

    /// Returns the commit's secret.
    #[must_use]
    pub fn secret(&self) -> Secret<32> {
        Secret::from_bytes(self.secret)
    }
}

/// A commit that no builder would make.
pub struct Forgery {
    /// Its changes.
    pub changes: Vec<proto::GroupChange>,
    /// Its keying.
    pub keying: Keying,
    /// What is different in its head.
    pub head: fn(&mut proto::GroupCommitHead),
}

impl Crew {
    /// Has a device sign a commit whatever it says; roster and confirmation are made up.
    #[must_use]
    pub fn forge(&self, device: usize, forgery: Forgery, rng: &mut dyn CryptoRng) -> Vec<u8> {
        let group: Group<'_> = self.group(device);
        let size = self.log.size();
        let tail = proto::GroupCommitTail { changes: forgery.changes, ..Default::default() };
        let mut head = proto::GroupCommitHead {
            group_id: group.id.to_vec(),
            epoch: group.head.epoch + 1,
            transcript: group.head.transcript.clone(),
            author: group.head.slot,
            log_size: size,
            log_root: self.log.root(size).expect("its own size").to_vec(),
            salt: vec![1; 32],
            keying: forgery.keying as u32,
            roster: vec![2; 32],
            tail_hash: Vec::new(),
        };
        (forgery.head)(&mut head);
        self.sign(device, head, encode(&tail), rng)
    }

    /// Has a device sign this head for this tail, whatever they say.
    #[must_use]
    pub fn sign(
        &self,
        device: usize,
        head: proto::GroupCommitHead,
        tail: Vec<u8>,
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        self.sign_confirmed(device, (head, tail), |_| [3; 32], rng)
    }

    /// The same with the confirmation that `confirm` makes of the transcript.
    #[must_use]
    pub fn sign_confirmed(
        &self,
        device: usize,
        (mut head, tail): (proto::GroupCommitHead, Vec<u8>),
        confirm: impl Fn(&[u8; 32]) -> [u8; 32],
        rng: &mut dyn CryptoRng,
    ) -> Vec<u8> {
        head.tail_hash = hash(label::HASH_GROUP_COMMIT_TAIL, &[&tail]).to_vec();
        let before = head.transcript.clone();
        let head = encode(&head);
        let confirmation = confirm(&hash(label::HASH_GROUP_TRANSCRIPT, &[&before, &head])).to_vec();
        let signed = [head.as_slice(), &confirmation].concat();
        let signature = self.devices[device].keys().signing.sign(label::SIGN_GROUP_COMMIT, &signed, rng);
        encode(&proto::GroupCommit { head, tail, confirmation, signature })
    }
}
