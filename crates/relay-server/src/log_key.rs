//! The key that signs the log's checkpoints: a file of its own in the data directory (R-RELAY-54).
//!
//! ```text
//! seed (64) || first 8 bytes of SHA-256(seed)
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::{SEED_LEN, SigningKey};

use crate::ServerError;

/// The name of the file.
const FILE: &str = "log-key.bin";
/// Bytes of the check, against a file that was cut or damaged.
const CHECK: usize = 8;

/// Reads the key; makes one if there is none and there is no log that another has signed.
pub(crate) fn load_or_create(
    directory: &Path,
    has_log: bool,
    rng: &mut dyn CryptoRng,
) -> Result<SigningKey, ServerError> {
    let path = directory.join(FILE);
    let unusable = |error: io::Error| ServerError::Data(error.kind());
    if !path.try_exists().map_err(unusable)? {
        if has_log {
            return Err(ServerError::LogKeyMissing);
        }
        let key = SigningKey::generate(rng);
        let seed = key.seed().expose().as_slice();
        let content = SecretBytes::new([seed, check(seed).as_slice()].concat());
        write_private(directory, &path, content.expose()).map_err(unusable)?;
    }
    if is_open_to_others(&path).map_err(unusable)? {
        return Err(ServerError::LogKeyPermissions);
    }
    let content = SecretBytes::new(fs::read(&path).map_err(unusable)?);
    read(content.expose()).ok_or(ServerError::LogKeyDamaged)
}

fn read(content: &[u8]) -> Option<SigningKey> {
    let (seed, found) = content.split_first_chunk::<SEED_LEN>()?;
    (found == check(seed)).then_some(())?;
    Some(SigningKey::from_seed(Secret::from_slice(seed)?))
}

fn check(seed: &[u8]) -> Vec<u8> {
    sha256(&[seed]).into_iter().take(CHECK).collect()
}

/// Writes a whole file with mode 0600 or none: a crash in between leaves no half key behind.
fn write_private(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // The left-over of a crash may have other rights; the mode below holds only for a new file.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    // The name is durable too before the first entry is signed, where the system can.
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(unix)]
fn is_open_to_others(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(fs::metadata(path)?.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open_to_others(_: &Path) -> io::Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chancery_crypto::rng::seeded;

    #[test]
    fn the_log_key_is_made_once_and_never_replaced_r_relay_54() {
        let directory = tempfile::tempdir().unwrap();
        let (path, mut rng) = (directory.path().join(FILE), seeded([1; 32]));
        let mut load = |has_log| {
            let key = load_or_create(directory.path(), has_log, &mut rng);
            key.map(|key| key.verifying_key().clone())
        };
        assert_eq!(load(true), Err(ServerError::LogKeyMissing), "a log is there, and its key is not");
        assert!(!path.exists(), "no new one is made silently");
        let key = load(false).unwrap();
        assert_eq!(load(true), Ok(key.clone()));
        assert_eq!(load(false), Ok(key));
        let content = fs::read(&path).unwrap();
        let mut altered = content.clone();
        altered[7] ^= 1;
        for damaged in [&altered[..], &content[..71], &[], &[&content[..], &[0]].concat()] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(load(false), Err(ServerError::LogKeyDamaged));
            assert_eq!(fs::read(&path).unwrap(), damaged, "what is there stays for whoever mends it");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_log_key_is_its_owners_alone_r_relay_54() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let (path, mut rng) = (directory.path().join(FILE), seeded([1; 32]));
        load_or_create(directory.path(), false, &mut rng).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = load_or_create(directory.path(), false, &mut rng);
        assert_eq!(refused.err(), Some(ServerError::LogKeyPermissions));
    }
}
