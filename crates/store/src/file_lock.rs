//! An advisory lock on a file, so that one process out of several does a job.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

use crate::error::StoreError;
use crate::file;

/// An exclusive lock, released on drop and when the process dies, however it dies.
///
/// It excludes every other [`FileLock`] on the same file, in this process too. The file is empty, stays
/// behind, and must not be deleted while anybody uses it. It must not be the store's own file.
///
/// ```
/// use chancery_store::FileLock;
///
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("outbox.lock");
/// let lock = FileLock::try_acquire(&path)?.expect("nobody else holds it");
/// assert!(FileLock::try_acquire(&path)?.is_none());
/// drop(lock);
/// assert!(FileLock::try_acquire(&path)?.is_some());
/// # Ok::<(), chancery_store::StoreError>(())
/// ```
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock on `path`, or returns `None` at once if somebody holds it. Creates the file, mode 0600,
    /// and missing directories, mode 0700.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] or [`StoreError::Io`] when the file cannot be created or the file system has no
    /// locks.
    pub fn try_acquire(path: impl AsRef<Path>) -> Result<Option<Self>, StoreError> {
        let path = path.as_ref();
        file::create_parents(path)?;
        let file = file::private(OpenOptions::new().read(true).write(true).create(true).truncate(false))
            .open(path)
            .map_err(|e| StoreError::from_io(&e))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::from_io(&error)),
        }
    }
}
