//! Where a device keeps its things: `store.db`, `spool/` with encrypted uploads, `flush.lock`, `spool.lock`, `checkpoint`.

use std::path::{Path, PathBuf};

use crate::error::{Error, file};

/// The folder of one device.
#[derive(Debug, Clone)]
pub(crate) struct Home(PathBuf);

impl Home {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    /// Creates the folder, readable by its owner only.
    pub(crate) fn create(&self) -> Result<(), Error> {
        create_private_dir(&self.0)?;
        create_private_dir(&self.spool())
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    pub(crate) fn flush_lock(&self) -> PathBuf {
        self.0.join("flush.lock")
    }

    /// Held, shared, while the spool has files that no message names yet.
    pub(crate) fn spool_lock(&self) -> PathBuf {
        self.0.join("spool.lock")
    }

    /// The newest checkpoint of the log, which outlives a store that is put back from an old copy.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    /// Where this process writes it.
    pub(crate) fn checkpoint_draft(&self) -> PathBuf {
        self.0.join(format!("checkpoint.new-{}", std::process::id()))
    }

    pub(crate) fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Removes everything but the store, as far as that is possible.
    pub(crate) fn remove_files(&self) {
        let _gone_or_left_behind = std::fs::remove_dir_all(self.spool());
        for file in [self.flush_lock(), self.spool_lock(), self.checkpoint(), self.checkpoint_draft()] {
            let _gone_or_left_behind = std::fs::remove_file(file);
        }
    }

    /// The encrypted form of a blob that waits for its upload.
    pub(crate) fn spooled(&self, blob_id: &[u8; 16]) -> PathBuf {
        self.spool().join(hex(blob_id))
    }
}

/// Creates a folder and those above it; the folder itself is the owner's only.
pub(crate) fn create_private_dir(path: &Path) -> Result<(), Error> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| file(&error, path))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
