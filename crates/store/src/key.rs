//! Where the key to a file comes from: a passphrase, or a file with 32 random bytes.

use std::fs::{File, Metadata};
use std::path::Path;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};

use crate::error::StoreError;
use crate::file;

/// Length of a key file, in bytes.
pub const KEY_FILE_LEN: usize = 32;

/// What opens a store or a sealed file.
#[derive(Debug)]
pub enum KeySource {
    /// What a person remembers; stretched with Argon2id, which takes some tens of milliseconds and 19 MiB.
    /// The bytes are taken as they are: callers normalise text to Unicode NFC.
    Passphrase(SecretBytes),
    /// Thirty-two random bytes, as in a key file or from a system's key store; opens without delay.
    KeyFile(Secret<KEY_FILE_LEN>),
}

/// Reads a key file (R-STORE-11).
///
/// # Errors
///
/// - [`StoreError::NotFound`]: create it.
/// - [`StoreError::KeyFileLength`] unless it is a file of exactly 32 bytes.
/// - [`StoreError::KeyFilePermissions`] on Unix unless it belongs to us and its mode is 0600 or stricter.
/// - [`StoreError::Io`] when it cannot be read.
pub fn read_key_file(path: impl AsRef<Path>) -> Result<KeySource, StoreError> {
    let file = File::open(path).map_err(|e| StoreError::from_io(&e))?;
    // Of the open file, so that nobody exchanges it between check and use.
    let metadata = file.metadata().map_err(|e| StoreError::from_io(&e))?;
    if !metadata.is_file() {
        return Err(StoreError::KeyFileLength);
    }
    check_owner_and_mode(&metadata)?;
    let contents = match file::read_all(file, KEY_FILE_LEN) {
        Err(StoreError::TooLarge) => Err(StoreError::KeyFileLength),
        other => other,
    }?;
    Secret::from_slice(contents.expose()).map(KeySource::KeyFile).ok_or(StoreError::KeyFileLength)
}

/// Creates a key file, mode 0600, with a fresh key, which it returns. Missing directories are made, mode 0700.
///
/// # Errors
///
/// - [`StoreError::Exists`]: an existing file is never overwritten; read it.
/// - [`StoreError::Full`] or [`StoreError::Io`]: there is no key file.
pub fn create_key_file(path: impl AsRef<Path>, rng: &mut dyn CryptoRng) -> Result<KeySource, StoreError> {
    let path = path.as_ref();
    file::create_parents(path)?;
    let key = Secret::random(rng);
    let (draft, file) = file::Draft::create(path, rng)?;
    file::write_all(file, key.expose())?;
    draft.publish(path)?;
    Ok(KeySource::KeyFile(key))
}

#[cfg(unix)]
fn check_owner_and_mode(metadata: &Metadata) -> Result<(), StoreError> {
    use std::os::unix::fs::MetadataExt as _;

    // Whoever could open a file that nobody else may read is its owner or the superuser; only the latter
    // has to be told apart, where the system says who we are.
    let ours = effective_user().is_none_or(|user| user == metadata.uid());
    if ours && metadata.mode() & 0o777 & !0o600 == 0 { Ok(()) } else { Err(StoreError::KeyFilePermissions) }
}

#[cfg(not(unix))]
fn check_owner_and_mode(_: &Metadata) -> Result<(), StoreError> {
    Ok(())
}

/// The effective user, as Linux tells it: `Uid: real effective saved file-system`.
#[cfg(unix)]
fn effective_user() -> Option<u32> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?.parse().ok()
}
