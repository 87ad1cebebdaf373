//! Blobs as files: one each, named by the blob's identifier in hexadecimal.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use chancery_relay::{BlobId, StorageError};

/// A directory of blobs. The database says which of them exist and how long they are; a file may be longer
/// than that after a crash, and what is beyond is overwritten.
#[derive(Debug)]
pub(crate) struct BlobFiles(PathBuf);

impl BlobFiles {
    pub(crate) fn open(directory: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        Ok(Self(directory))
    }

    /// Writes a part; nothing is synced.
    pub(crate) fn write(&self, blob: &BlobId, offset: u64, part: &[u8]) -> Result<(), StorageError> {
        let mut file = self.for_writing(blob)?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| failure(&error))?;
        file.write_all(part).map_err(|error| failure(&error))
    }

    /// Makes what was written to these files durable, and their names.
    pub(crate) fn sync(&self, blobs: &BTreeSet<BlobId>) -> Result<(), StorageError> {
        for blob in blobs {
            self.for_writing(blob)?.sync_all().map_err(|error| failure(&error))?;
        }
        if blobs.is_empty() {
            return Ok(());
        }
        self.sync_directory().map_err(|error| failure(&error))
    }

    /// Cuts what a crash left behind the end; nothing is synced.
    pub(crate) fn cut(&self, blob: &BlobId, length: u64) -> Result<(), StorageError> {
        self.for_writing(blob)?.set_len(length).map_err(|error| failure(&error))
    }

    /// Reads `length` bytes, or what is left of them: a file that the disk or somebody has cut or removed is
    /// for its reader to notice, who can tell, and no reason to try again for ever.
    pub(crate) fn read(&self, blob: &BlobId, offset: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let mut part = Vec::with_capacity(length);
        let read = File::open(self.path(blob)).and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut part)
        });
        match read {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failure(&error)),
            _ => Ok(part),
        }
    }

    pub(crate) fn remove(&self, blob: &BlobId) -> io::Result<()> {
        match fs::remove_file(self.path(blob)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes files of blobs that do not exist: a crash came between the commit and the removal.
    pub(crate) fn remove_unless(&self, mut exists: impl FnMut(&BlobId) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.0)? {
            let path = entry?.path();
            if let Some(blob) = blob_of(&path)
                && !exists(&blob)
            {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    fn for_writing(&self, blob: &BlobId) -> Result<File, StorageError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        options.open(self.path(blob)).map_err(|error| failure(&error))
    }

    /// Makes the names of new files durable, where the system can.
    fn sync_directory(&self) -> io::Result<()> {
        if cfg!(unix) { File::open(&self.0)?.sync_all() } else { Ok(()) }
    }

    fn path(&self, blob: &BlobId) -> PathBuf {
        self.0.join(hex(blob.as_bytes()))
    }
}

/// Writes bytes in lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blob_of(path: &Path) -> Option<BlobId> {
    let name = path.file_name()?.to_str()?;
    let mut bytes = [0; 16];
    for (position, byte) in bytes.iter_mut().enumerate() {
        let from = position.checked_mul(2)?;
        *byte = u8::from_str_radix(name.get(from..from.checked_add(2)?)?, 16).ok()?;
    }
    let blob = BlobId::new(bytes);
    (hex(blob.as_bytes()) == name).then_some(blob)
}

/// Tells a full disk from everything else.
fn failure(error: &io::Error) -> StorageError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            StorageError::Full
        }
        _ => StorageError::Io,
    }
}
