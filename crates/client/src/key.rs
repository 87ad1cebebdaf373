//! Key files with this machine's randomness, for applications that ask nobody for a passphrase.

use std::path::Path;

use chancery_store::{KeySource, StoreError, create_key_file};

use crate::clock;
use crate::error::{Error, ErrorCode};

/// Reads the key file at `path`.
///
/// # Errors
///
/// [`ErrorCode::FileNotFound`]: there is none. [`ErrorCode::KeyFileUnusable`]: it is not 32 bytes long, somebody
/// else's, or readable by others. [`ErrorCode::StoreUnreadable`]: it cannot be read.
pub fn read_key_file(path: impl AsRef<Path>) -> Result<KeySource, Error> {
    let path = path.as_ref();
    chancery_store::read_key_file(path).map_err(|error| match error {
        StoreError::NotFound => Error::with(ErrorCode::FileNotFound, path.display().to_string()),
        error => error.into(),
    })
}

/// Reads the key file at `path`, or makes one, mode 0600, with a fresh key if there is none.
///
/// Who has this file and the home has everything in it; who loses the file has lost the home.
///
/// # Errors
///
/// [`ErrorCode::KeyFileUnusable`]: it is not 32 bytes long, somebody else's, or readable by others.
/// [`ErrorCode::DiskFull`], [`ErrorCode::StoreUnreadable`]: there is no key file.
pub fn read_or_create_key_file(path: impl AsRef<Path>) -> Result<KeySource, Error> {
    let path = path.as_ref();
    match read_key_file(path) {
        Err(error) if error.code() == ErrorCode::FileNotFound => {}
        other => return other,
    }
    match create_key_file(path, &mut clock::rng()?) {
        // Another process was faster.
        Err(StoreError::Exists) => read_key_file(path),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_made_only_by_the_call_that_says_so_and_read_as_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let missing = read_key_file(&path).unwrap_err();
        assert_eq!(missing, Error::with(ErrorCode::FileNotFound, path.display().to_string()));
        assert!(!path.exists());
        let (made, again) =
            (read_or_create_key_file(&path).unwrap(), read_or_create_key_file(&path).unwrap());
        let bytes = |key: KeySource| match key {
            KeySource::KeyFile(key) => key.expose().to_vec(),
            KeySource::Passphrase(_) => panic!("a key file"),
        };
        let read = bytes(read_key_file(&path).unwrap());
        assert_eq!((bytes(made), bytes(again)), (read.clone(), read));
        std::fs::write(&path, b"short").unwrap();
        assert_eq!(read_key_file(&path).unwrap_err().code(), ErrorCode::KeyFileUnusable);
    }
}
