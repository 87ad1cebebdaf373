//! The organisation's log: entries, checkpoints, proofs of a fork.

use std::sync::LazyLock;

use chancery_crypto::merkle::{self, Hash};
use chancery_crypto::rng::seeded;
use chancery_crypto::signature::SigningKey;
use chancery_identity::checkpoint::{Checkpoint, prove_fork, verify_fork};
use chancery_identity::log::{Leaf, LeafKind, LogHead};
use chancery_identity::{Authority, OrgId};
use chancery_testkit::company::NOW;
use chancery_wire::proto::{ForkProof, LogEntry};
use chancery_wire::{Limit, decode, encode};

use crate::{COMPANY, tried};

/// A log that has the first issuer, and the entry that comes next.
struct Logged {
    authority: Authority,
    head: LogHead,
    next: LogEntry,
    key: SigningKey,
    org: OrgId,
}

static LOG: LazyLock<Logged> = LazyLock::new(|| {
    let (mut authority, mut head) = (Authority::new(&COMPANY.organisation), LogHead::default());
    let [first, second] = COMPANY.organisation.as_proto().issuers.as_slice() else { panic!("two issuers") };
    let entry = authority.prepare(LeafKind::Issuer, first, NOW).expect("sound");
    authority.apply(0, &entry.leaf, entry.content.as_ref()).expect("sound");
    head.push(&entry.leaf).expect("in order");
    let entry = authority.prepare(LeafKind::Issuer, second, NOW).expect("sound");
    let next = LogEntry { leaf: entry.leaf.to_bytes().to_vec(), content: entry.content };
    let key = SigningKey::generate(&mut seeded([4; 32]));
    Logged { authority, head, next, key, org: COMPANY.organisation.id() }
});

/// An entry of the log, as a relay shows it.
pub fn log_entry(data: &[u8]) {
    let tried = tried(&encode(&LOG.next), data);
    let Ok(entry) = decode::<LogEntry>(&tried.bytes, Limit::FRAME) else { return };
    let entry = entry.into_unchecked();
    let Some(leaf) = Leaf::from_bytes(&entry.leaf) else { return };
    assert_eq!(leaf.to_bytes().as_slice(), entry.leaf, "what reads also writes");
    let mut authority = LOG.authority.clone();
    let before = authority.to_record();
    let taken = authority.apply(LOG.head.size(), &leaf, entry.content.as_ref()).is_ok();
    // The time is the log's own to choose; everything else is signed.
    let sound = Leaf::from_bytes(&LOG.next.leaf).expect("sound");
    let same = Leaf { time: sound.time, ..leaf } == sound && entry.content == LOG.next.content;
    assert!(taken == same || !leaf.kind.is_shown(), "exactly what was signed is taken over");
    assert!(taken || authority.to_record() == before, "a refused entry changes nothing");
    let mut head = LOG.head.clone();
    assert_eq!(head.push(&leaf).is_ok(), leaf.time >= LOG.head.time());
    assert_eq!(LogHead::from_bytes(&head.to_bytes()), Some(head));
}

/// A checkpoint's note.
pub fn checkpoint(data: &[u8]) {
    let made = Checkpoint::sign(&LOG.key, &LOG.org, (7, [3; 32]), NOW, &mut seeded([5; 32]));
    let tried = tried(made.note().as_bytes(), data);
    let Ok(note) = core::str::from_utf8(&tried.bytes) else { return };
    let read = Checkpoint::verify(note, &LOG.org, LOG.key.verifying_key());
    assert!(read.is_ok() || !tried.sound);
    if let Ok(read) = read {
        assert_eq!(
            (read.size(), read.root(), read.time()),
            (7, &[3; 32], NOW),
            "only what was signed is read"
        );
    }
}

/// The proof that a log is forked.
pub fn fork_proof(data: &[u8]) {
    let leaves: Vec<Hash> = (0..9_u8).map(|leaf| merkle::leaf_hash(&[leaf])).collect();
    let mut others = leaves[..5].to_vec();
    others[2] = [0; 32];
    let sign = |leaves: &[Hash], seed| {
        let state = (leaves.len() as u64, merkle::root(leaves));
        Checkpoint::sign(&LOG.key, &LOG.org, state, NOW, &mut seeded([seed; 32]))
    };
    let (smaller, larger) = (sign(&others, 6), sign(&leaves, 7));
    let proof = prove_fork(&smaller, &larger, &leaves).expect("they differ");
    let tried = tried(&encode(&proof), data);
    let Ok(read) = decode::<ForkProof>(&tried.bytes, Limit::STATEMENT) else { return };
    let read = read.into_unchecked();
    let verified = verify_fork(&read, &LOG.org, LOG.key.verifying_key()).is_ok();
    assert!(verified || !tried.sound);
    if verified {
        let notes = [&read.smaller, &read.larger];
        let said =
            notes.map(|note| Checkpoint::verify(note, &LOG.org, LOG.key.verifying_key()).expect("verified"));
        assert!(said[0].size() == 5 && said[1].size() == 9, "only what the log signed proves something");
    }
}
