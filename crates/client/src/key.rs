//! Key files with this machine's randomness, for applications that ask nobody for a passphrase.

use std::path::Path;

use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_store::{KeySource, StoreError, create_key_file, read_key_file};

use crate::clock;
use crate::error::Error;

/// Reads the key file at `path`, or makes one, mode 0600, with a fresh key if there is none.
///
/// Who has this file and the home has everything in it; who loses the file has lost the home.
///
/// # Errors
///
/// [`crate::ErrorCode::KeyFileUnusable`]: it is not 32 bytes long, somebody else's, or readable by others.
/// [`crate::ErrorCode::DiskFull`], [`crate::ErrorCode::StoreUnreadable`]: there is no key file.
pub fn read_or_create_key_file(path: impl AsRef<Path>) -> Result<KeySource, Error> {
    let path = path.as_ref();
    match read_key_file(path) {
        Err(StoreError::NotFound) => {}
        other => return Ok(other?),
    }
    match create_key_file(path, &mut clock::rng()?) {
        // Another process was faster.
        Err(StoreError::Exists) => Ok(read_key_file(path)?),
        other => Ok(other?),
    }
}

/// Copies a key for a thread of its own; the copy is wiped as the original is.
pub(crate) fn copy(key: &KeySource) -> KeySource {
    match key {
        KeySource::Passphrase(passphrase) => {
            KeySource::Passphrase(SecretBytes::new(passphrase.expose().to_vec()))
        }
        KeySource::KeyFile(key) => {
            KeySource::KeyFile(Secret::init_with(|copy| copy.copy_from_slice(key.expose())))
        }
    }
}
