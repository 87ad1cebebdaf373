//! What a device reads from its own disk, which somebody else may have written, and files from strangers.

use std::sync::LazyLock;

use chancery_core::Session;
use chancery_crypto::merkle;
use chancery_crypto::secret::Secret;
use chancery_crypto::stream::{HEADER_LEN, Opener, SEALED_CHUNK_LEN, Sealer};
use chancery_identity::DeviceKeys;
use chancery_org::{AdminKeys, DeskKeys, PendingEnrolment, Root};
use chancery_store::{KeySource, WrappedKey, sealed_file as file};
use chancery_testkit::company::NOW;

use crate::{COMPANY, rng, tried};

/// A session's record; what reads also writes, and then reads the same.
pub fn session_record(data: &[u8]) {
    let tried = tried(crate::messages::stored_session(), data);
    let Ok(mut session) = Session::from_bytes(&tried.bytes) else { return assert!(!tried.sound) };
    let written = session.to_bytes();
    let again = Session::from_bytes(written.expose()).expect("what it wrote");
    assert_eq!(again.to_bytes().expose(), written.expose());
    let _ = session.tags();
    if let Ok(envelope) = session.encrypt(b"text", &mut rng()) {
        let mut other = Session::from_bytes(written.expose()).expect("what it wrote");
        let _ = other.decrypt(&envelope, NOW, &mut rng());
    }
    let _ = session.expire(NOW);
}

/// The stored keys of a device, a desk, an administrator, a root, and of an enrolment that waits.
pub fn stored_keys(data: &[u8]) {
    if let Some(keys) = DeviceKeys::from_secret_bytes(data) {
        assert_eq!(keys.to_secret_bytes().expose(), data);
    }
    if let Some(keys) = AdminKeys::from_secret_bytes(data) {
        assert_eq!(keys.to_secret_bytes().expose(), data);
    }
    if let Some(root) = Root::from_secret_bytes(data) {
        assert_eq!(root.to_secret_bytes().expose(), data);
    }
    if let Some(pending) = PendingEnrolment::from_secret_bytes(data) {
        assert_eq!(pending.to_secret_bytes().expose(), data);
    }
    let tried = tried(COMPANY.desk_keys.expose(), data);
    match DeskKeys::from_secret_bytes(&tried.bytes) {
        Some(keys) => {
            let desk = chancery_org::Desk::new(keys, COMPANY.organisation.clone(), NOW);
            assert!(desk.is_ok() || !tried.sound);
        }
        None => assert!(!tried.sound),
    }
}

fn key_file() -> KeySource {
    KeySource::KeyFile(Secret::from_bytes([1; 32]))
}

/// A store's wrapped master key under a key file. (A passphrase would cost Argon2id for each input.)
pub fn wrapped_key(data: &[u8]) {
    let master = Secret::from_bytes([2; 32]);
    let sound = WrappedKey::wrap(&master, &key_file(), &mut rng()).expect("sound");
    let tried = tried(sound.as_bytes(), data);
    let unwrapped = WrappedKey::from_bytes(&tried.bytes).unwrap_with(&key_file());
    assert_eq!(unwrapped.is_ok(), tried.sound, "only the sound key unwraps");
}

static SEALED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let path = path("sound");
    file::write(&path, &key_file(), b"contents", &mut rng()).expect("room for a file");
    std::fs::read(&path).expect("written")
});

/// A file of this process alone.
fn path(name: &str) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("chancery-fuzz-{}", std::process::id())).join(name)
}

/// A sealed file under a key file.
pub fn sealed_file(data: &[u8]) {
    let tried = tried(&SEALED, data);
    let path = path("tried");
    std::fs::write(&path, &tried.bytes).expect("room for a file");
    let opened = file::read(&path, &key_file());
    assert_eq!(opened.is_ok(), tried.sound, "only the sound file opens");
}

/// A stream as it comes from the relay: header, then chunks.
pub fn stream(data: &[u8]) {
    let key = Secret::from_bytes([3; 32]);
    let (mut sealer, header) = Sealer::new(&key);
    let mut sound = header.to_vec();
    sound.extend(sealer.seal(b"a file", true).expect("short"));
    let tried = tried(&sound, data);
    let (header, mut rest) = tried.bytes.split_at(HEADER_LEN.min(tried.bytes.len()));
    let Ok(mut opener) = Opener::new(&key, header) else { return assert!(!tried.sound) };
    let mut plain = Vec::new();
    loop {
        let (chunk, after) = rest.split_at(SEALED_CHUNK_LEN.min(rest.len()));
        let Ok(part) = opener.open(chunk, after.is_empty()) else { return assert!(!tried.sound) };
        plain.extend_from_slice(part.expose());
        if after.is_empty() {
            break;
        }
        rest = after;
    }
    assert!(tried.sound && plain == b"a file", "nothing else opens under this key");
}

/// Proofs of a tree: size, index and path are the input's, and only the right ones convince.
pub fn merkle(data: &[u8]) {
    let Some(([size, index, wrong], path)) = data.split_first_chunk::<3>() else { return };
    let (size, index) = (usize::from(*size).max(1), usize::from(*index));
    let leaves: Vec<merkle::Hash> = (0..size).map(|leaf| merkle::leaf_hash(&leaf.to_be_bytes())).collect();
    let root = merkle::root(&leaves);
    let proof: Vec<merkle::Hash> = path.as_chunks::<32>().0.to_vec();
    consistency(&leaves, index, &proof);
    frontier(data);
    let verify = |index: usize, leaf: &merkle::Hash, proof: &[merkle::Hash]| {
        merkle::verify_inclusion(&root, size as u64, index as u64, leaf, proof)
    };
    let Some(sound) = merkle::inclusion_proof(&leaves, index) else {
        return assert!(!verify(index, &leaves[0], &proof));
    };
    assert!(verify(index, &leaves[index], &sound));
    assert_eq!(verify(index, &leaves[index], &proof), proof == sound);
    assert!(*wrong == 0 || !verify(index ^ usize::from(*wrong), &leaves[index], &sound));
}

/// Whether the tree of `old` leaves begins this one: with the input's path, and with the right one.
fn consistency(leaves: &[merkle::Hash], old: usize, proof: &[merkle::Hash]) {
    let size = leaves.len() as u64;
    let root = merkle::root(leaves);
    let Some(sound) = merkle::consistency_proof(leaves, old) else {
        return assert!(!merkle::verify_consistency(old as u64, &root, size, &root, proof));
    };
    let before = merkle::root(&leaves[..old]);
    let verify = |from: &merkle::Hash, proof: &[merkle::Hash]| {
        merkle::verify_consistency(old as u64, from, size, &root, proof)
    };
    assert!(verify(&before, &sound));
    assert_eq!(verify(&before, proof), proof == sound);
    assert!(old == 0 || !verify(&[0; 32], &sound));
}

/// The compact state of a tree; what reads also writes, and goes on.
fn frontier(data: &[u8]) {
    let Some(mut frontier) = merkle::Frontier::from_bytes(data) else { return };
    assert_eq!(frontier.to_bytes(), data);
    let (size, before) = (frontier.size(), frontier.root());
    frontier.push([5; 32]);
    assert_eq!(frontier.root() == before, size == merkle::MAX_LEAVES);
    let sound = merkle::verify_inclusion(
        &frontier.root(),
        frontier.size(),
        frontier.size() - 1,
        &[5; 32],
        &frontier.last_proof(),
    );
    assert!(sound || size == merkle::MAX_LEAVES);
    assert_eq!(merkle::Frontier::from_bytes(&frontier.to_bytes()), Some(frontier));
}
