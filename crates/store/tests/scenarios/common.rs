//! What the scenarios share.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chancery_crypto::rng::seeded;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_store::{KeySource, Store, StoreError};
use chancery_wire::records::{Batch, RecordKey, Records, Table};

/// Names the store's path to a process that a test started.
const PATH: &str = "CHANCERY_STORE_TEST_PATH";

pub(crate) fn key_file() -> KeySource {
    KeySource::KeyFile(Secret::from_bytes([0x42; 32]))
}

pub(crate) fn passphrase(text: &str) -> KeySource {
    KeySource::Passphrase(SecretBytes::new(text.into()))
}

pub(crate) fn create(path: &Path) -> Store {
    Store::create(path, &key_file(), &mut seeded([1; 32])).unwrap()
}

pub(crate) fn open(path: &Path) -> Store {
    Store::open(path, &key_file()).unwrap()
}

pub(crate) fn key(name: &str) -> RecordKey {
    RecordKey::new(Table(7), name)
}

pub(crate) fn get(store: &mut Store, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    store.read(|records| Ok(records.get(&key(name))?))
}

pub(crate) fn put(store: &mut Store, name: &str, value: &[u8]) -> Result<(), StoreError> {
    store.transaction(|_| {
        let mut batch = Batch::default();
        batch.put(key(name), value.to_vec());
        Ok((batch, ()))
    })
}

pub(crate) fn number(records: &dyn Records, name: &str) -> Result<u64, StoreError> {
    Ok(match records.get(&key(name))? {
        Some(value) => u64::from_be_bytes(value.first_chunk().copied().unwrap()),
        None => 0,
    })
}

/// Runs the test `name` of this binary in a process of its own, where [`child_path`] returns `path`.
pub(crate) fn spawn(name: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// In a process that [`spawn`] started, the path; elsewhere the test has nothing to do.
pub(crate) fn child_path() -> Option<PathBuf> {
    std::env::var_os(PATH).map(PathBuf::from)
}
