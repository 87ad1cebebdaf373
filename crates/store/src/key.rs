//! Where the key to a file comes from: a passphrase, or a file with 32 random bytes.

use std::fs::{File, Metadata};
use std::path::Path;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};

use unicode_normalization::UnicodeNormalization as _;

use crate::error::StoreError;
use crate::file;

/// Length of a key file, in bytes.
pub const KEY_FILE_LEN: usize = 32;

/// What opens a store or a sealed file.
#[derive(Debug)]
pub enum KeySource {
    /// What a person remembers; stretched with Argon2id, which takes some tens of milliseconds and 19 MiB.
    /// The bytes are taken as they are; of text, [`Self::passphrase`] makes those that are the same on every system.
    Passphrase(SecretBytes),
    /// Thirty-two random bytes, as in a key file or from a system's key store; opens without delay.
    KeyFile(Secret<KEY_FILE_LEN>),
}

/// Bytes that a text's form NFC may have for each of its own: UAX #15 says at most 3.
const NFC_GROWTH: usize = 3;

impl KeySource {
    /// Makes a key of what a person remembers, brought to Unicode's form NFC: an umlaut is one character on one system and two on
    /// another, and must open the same.
    #[must_use]
    pub fn passphrase(text: &str) -> Self {
        // With room for all of it from the start, no copy is left behind where it has grown.
        let mut normal = String::with_capacity(text.len().saturating_mul(NFC_GROWTH));
        normal.extend(text.nfc());
        Self::Passphrase(SecretBytes::new(normal.into_bytes()))
    }

    /// Makes a key of 32 random bytes, as a system's key store keeps them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; KEY_FILE_LEN]) -> Self {
        Self::KeyFile(Secret::init_with(|key| key.copy_from_slice(bytes)))
    }
}

/// The copy is wiped as the original is.
impl Clone for KeySource {
    fn clone(&self) -> Self {
        match self {
            Self::Passphrase(passphrase) => Self::Passphrase(SecretBytes::new(passphrase.expose().to_vec())),
            Self::KeyFile(key) => Self::from_bytes(key.expose()),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_the_same_however_a_system_writes_its_letters() {
        let bytes = |key: KeySource| match key {
            KeySource::Passphrase(bytes) => bytes.expose().to_vec(),
            KeySource::KeyFile(_) => panic!("a passphrase"),
        };
        assert_eq!(bytes(KeySource::passphrase("scho\u{308}n")), "sch\u{f6}n".as_bytes());
        assert_eq!(bytes(KeySource::passphrase("sch\u{f6}n")), "sch\u{f6}n".as_bytes());
        // The text whose form NFC is longest for its length.
        let longest = "\u{1d160}";
        assert!(bytes(KeySource::passphrase(longest)).len() <= longest.len() * NFC_GROWTH);
        assert_eq!(bytes(KeySource::passphrase("Tea").clone()), b"Tea");
        let KeySource::KeyFile(key) = KeySource::from_bytes(&[7; 32]).clone() else { panic!("a key") };
        assert_eq!(key.expose(), &[7; 32]);
    }
}
