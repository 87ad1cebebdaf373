//! Files that only their owner can read, and that are there as a whole or not at all (R-STORE-10).

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::SecretBytes;

use crate::error::StoreError;

/// Creates the missing directories above `path`, for their owner alone.
pub(crate) fn create_parents(path: &Path) -> Result<(), StoreError> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(parent(path)).map_err(|e| StoreError::from_io(&e))
}

/// A file beside its final place, removed on drop unless it was published.
#[derive(Debug)]
pub(crate) struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Creates an empty file beside `path`, mode 0600.
    pub(crate) fn create(path: &Path, rng: &mut dyn CryptoRng) -> Result<(Self, File), StoreError> {
        let draft =
            Self { path: with_suffix(path, &format!(".new-{:016x}", u64::from_be_bytes(random_bytes(rng)))) };
        let file = private(OpenOptions::new().write(true).create_new(true))
            .open(&draft.path)
            .map_err(|e| StoreError::from_io(&e))?;
        Ok((draft, file))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the file to `path`, over what is there.
    pub(crate) fn replace(self, path: &Path) -> Result<(), StoreError> {
        std::fs::rename(&self.path, path).map_err(|e| StoreError::from_io(&e))?;
        sync_directory(path)
    }

    /// Moves the file to `path` unless something is there.
    pub(crate) fn publish(self, path: &Path) -> Result<(), StoreError> {
        match std::fs::hard_link(&self.path, path) {
            Ok(()) => sync_directory(path),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(StoreError::Exists),
            // Some file systems have no links (FAT), some systems forbid them (Android). What remains is not
            // proof against two creators in the same instant.
            Err(_) if std::fs::symlink_metadata(path).is_ok() => Err(StoreError::Exists),
            Err(_) => self.replace(path),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // With what SQLite may have left beside it after a failure.
        for end in ["", "-wal", "-shm", "-journal"] {
            let _gone_or_left_behind = std::fs::remove_file(with_suffix(&self.path, end));
        }
    }
}

/// Writes `contents` and sees it to the disk.
pub(crate) fn write_all(mut file: File, contents: &[u8]) -> Result<(), StoreError> {
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(|e| StoreError::from_io(&e))
}

/// Reads the rest of `file`, at most `limit` bytes; a longer file gives [`StoreError::TooLarge`].
pub(crate) fn read_all(file: File, limit: usize) -> Result<SecretBytes, StoreError> {
    // One allocation that never grows, so that no copy of a secret is left behind.
    let mut buffer = Vec::with_capacity(limit.saturating_add(1));
    let most = u64::try_from(buffer.capacity()).unwrap_or(u64::MAX);
    let read = file.take(most).read_to_end(&mut buffer);
    let contents = SecretBytes::new(buffer);
    match read {
        Ok(len) if len > limit => Err(StoreError::TooLarge),
        Ok(_) => Ok(contents),
        Err(error) => Err(StoreError::from_io(&error)),
    }
}

/// Gives files that `options` creates the mode 0600.
pub(crate) fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Returns `path` with `suffix` behind its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes a rename or a new name survive a power cut.
pub(crate) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    // Elsewhere a directory cannot be opened, and a rename is durable by itself.
    if cfg!(unix) {
        File::open(parent(path))
            .and_then(|directory| directory.sync_all())
            .map_err(|e| StoreError::from_io(&e))?;
    }
    Ok(())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}
