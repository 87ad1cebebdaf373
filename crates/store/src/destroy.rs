//! The end of a store: first its key, then its files (R-ENGINE-37).

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use chancery_crypto::rng::{CryptoRng, random_bytes};

use crate::error::StoreError;
use crate::file::{sync_directory, with_suffix};
use crate::store::Store;
use crate::wrap::WrappedKey;

/// What of the file itself is overwritten: 64 KiB, in which the wrapped key lies; it was written first and never moves.
const FRONT: u64 = 64 * 1024;

impl Store {
    /// Destroys this store, which lies at `path`: its wrapped key is overwritten, then its files, the write-ahead log with
    /// older copies of that key among them, are overwritten in front and removed. Without the wrapped key nobody reads what a
    /// disk may keep of the rest, whatever passphrase or key file they have.
    ///
    /// What a file system or drive keeps of overwritten blocks, and copies made earlier, this cannot reach.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a file could not be removed; the key is gone as far as the disk let itself be written.
    pub fn destroy(self, path: impl AsRef<Path>, rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
        let path = path.as_ref();
        let connection = self.into_connection();
        let garbage: [u8; WrappedKey::LEN] = random_bytes(rng);
        // Another process may be in the middle of something, or the disk be full: the files go all the same.
        let _overwritten = connection.execute("UPDATE meta SET wrapped = ?1", [garbage.as_slice()]);
        let _moved = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        drop(connection);
        // The file with the key first: whatever keeps the rest from being removed, it is gone.
        let mut result = Ok(());
        for end in ["", "-wal", "-journal", "-shm"] {
            let part = with_suffix(path, end);
            result = result.and(overwrite(&part)).and(remove(&part));
        }
        result.and(sync_directory(path))
    }
}

/// Removes a file, if there is one.
fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::from_io(&error)),
        _ => Ok(()),
    }
}

/// Overwrites the front of a file, if there is one, and sees it to the disk.
fn overwrite(path: &Path) -> Result<(), StoreError> {
    let mut file = match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        opened => opened.map_err(|e| StoreError::from_io(&e))?,
    };
    let len = file.metadata().map_err(|e| StoreError::from_io(&e))?.len();
    // A log may hold the key anywhere; it is short.
    let is_log = path.extension().is_some_and(|end| end.to_string_lossy().contains('-'));
    let mut left = if is_log { len } else { len.min(FRONT) };
    let zeros = [0; 4096];
    while left > 0 {
        let part =
            zeros.get(..usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len())).unwrap_or(&zeros);
        file.write_all(part).map_err(|e| StoreError::from_io(&e))?;
        left = left.saturating_sub(part.len() as u64);
    }
    file.sync_all().map_err(|e| StoreError::from_io(&e))
}

#[cfg(test)]
mod tests {
    use chancery_crypto::rng::seeded;
    use chancery_crypto::secret::Secret;
    use chancery_wire::records::{Batch, RecordKey, Table};

    use super::*;
    use crate::key::KeySource;

    #[test]
    fn what_was_destroyed_opens_with_no_key_though_its_bytes_were_kept_r_engine_37() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let source = KeySource::KeyFile(Secret::from_bytes([5; 32]));
        let mut rng = seeded([1; 32]);
        let mut store = Store::create(&path, &source, &mut rng).unwrap();
        let mut batch = Batch::default();
        batch.put(RecordKey::new(Table(1), [1]), vec![7; 100]);
        store.transaction(|_| Ok::<_, StoreError>((batch, ()))).unwrap();
        // Whoever holds a link to the file sees what is left of it.
        let kept = folder.path().join("kept.db");
        std::fs::hard_link(&path, &kept).unwrap();
        store.destroy(&path, &mut rng).unwrap();
        assert!(!path.exists() && !with_suffix(&path, "-wal").exists());
        assert!(matches!(Store::open(&path, &source), Err(StoreError::NotFound)));
        assert!(Store::open(&kept, &source).is_err());
        let front = std::fs::read(&kept).unwrap();
        assert!(front.iter().take(4096 * 4).all(|byte| *byte == 0));
        // A new store may lie in its place.
        Store::create(&path, &source, &mut rng).unwrap();
    }
    #[test]
    fn the_file_with_the_key_goes_though_another_cannot_r_engine_37() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let source = KeySource::KeyFile(Secret::from_bytes([5; 32]));
        let mut rng = seeded([1; 32]);
        let store = Store::create(&path, &source, &mut rng).unwrap();
        // A folder in a file's place can be neither overwritten nor removed as a file.
        std::fs::create_dir(with_suffix(&path, "-journal")).unwrap();
        assert!(store.destroy(&path, &mut rng).is_err(), "it is told");
        for end in ["", "-wal", "-shm"] {
            assert!(!with_suffix(&path, end).exists(), "{end:?}");
        }
    }
}
