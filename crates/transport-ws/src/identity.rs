//! The relay's certificate and key, and the pin by which clients know it.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::tls;

/// The key, PKCS #8 in PEM. It alone decides the pin.
const KEY_FILE: &str = "relay-key.pem";
/// The certificate that carries the key, in PEM. Made anew from the key if it is missing.
const CERTIFICATE_FILE: &str = "relay-certificate.pem";
/// What the certificate says it is for. Nobody checks it; it should tell a scanner nothing.
const CERTIFICATE_NAME: &str = "relay";

/// A certificate with its key, ready to be shown to clients.
pub struct ServerIdentity {
    pin: [u8; 32],
    config: ServerConfig,
}

/// Why an identity could not be loaded or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerIdentityError {
    /// A file could not be read or written. Look at the path, its permissions and the disk.
    #[error("a file of the relay's identity could not be read or written: {0}")]
    Io(io::ErrorKind),
    /// The key file can be read by others. Take that right away (mode 0600); if somebody may have read it, make a
    /// new key and publish a new relay record.
    #[error("the relay's key file is accessible to others")]
    KeyPermissions,
    /// A file is not PEM of the expected kind, or of an algorithm that TLS 1.3 does not have. Replace it.
    #[error("a file of the relay's identity is damaged or of an unknown kind")]
    Malformed,
    /// The certificate belongs to another key. Replace one of them.
    #[error("the certificate belongs to another key")]
    Mismatch,
    /// No key could be generated. Try again.
    #[error("no key could be generated")]
    Generation,
}

impl From<io::Error> for ServerIdentityError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

impl ServerIdentity {
    /// Loads the identity in `directory`, or makes one there: an ECDSA P-256 key in `relay-key.pem` (mode 0600)
    /// and a self-signed certificate without end in `relay-certificate.pem`.
    ///
    /// The pin stays the same as long as the key file does. Two processes must not call this for one directory
    /// at the same time.
    ///
    /// # Errors
    ///
    /// Every [`ServerIdentityError`]; what exists is never overwritten.
    pub fn load_or_create(directory: &Path) -> Result<Self, ServerIdentityError> {
        let (key_path, certificate_path) = (directory.join(KEY_FILE), directory.join(CERTIFICATE_FILE));
        if !key_path.try_exists()? {
            let key = KeyPair::generate().map_err(|_| ServerIdentityError::Generation)?;
            write_private(directory, &key_path, key.serialize_pem().as_bytes())?;
        }
        check_permissions(&key_path)?;
        if !certificate_path.try_exists()? {
            let certificate = self_signed(&fs::read_to_string(&key_path)?)?;
            write_private(directory, &certificate_path, certificate.as_bytes())?;
        }
        Self::load(&certificate_path, &key_path)
    }

    /// Loads a certificate (or a chain, the relay's own first) and its key, both PEM, from files that
    /// somebody else looks after.
    ///
    /// The pin is that of the key: a renewal must keep the key, or be announced in a new relay record.
    ///
    /// # Errors
    ///
    /// `Io`, `Malformed` or `Mismatch`; nothing is written.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, ServerIdentityError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&fs::read(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| ServerIdentityError::Malformed)?;
        let key =
            PrivateKeyDer::from_pem_slice(&fs::read(key)?).map_err(|_| ServerIdentityError::Malformed)?;
        let pin = chain.first().and_then(tls::pin_of).ok_or(ServerIdentityError::Malformed)?;
        let config = tls::server_config(chain, key).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => ServerIdentityError::Mismatch,
            _ => ServerIdentityError::Malformed,
        })?;
        Ok(Self { pin, config })
    }

    /// Returns the SHA-256 of the certificate's `SubjectPublicKeyInfo`, by which clients know this relay
    /// (R-TRANSPORT-5).
    #[must_use]
    pub const fn pin(&self) -> [u8; 32] {
        self.pin
    }

    pub(crate) fn into_config(self) -> ServerConfig {
        self.config
    }
}

fn self_signed(key: &str) -> Result<String, ServerIdentityError> {
    let key = KeyPair::from_pem(key).map_err(|_| ServerIdentityError::Malformed)?;
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, CERTIFICATE_NAME);
    let certificate = parameters.self_signed(&key).map_err(|_| ServerIdentityError::Generation)?;
    Ok(certificate.pem())
}

/// Writes a whole file with mode 0600 or none: a crash in between leaves no half key behind.
fn write_private(directory: &Path, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // The left-over of a crash may have other rights; the mode below holds only for a new file.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&temporary)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

#[cfg(unix)]
fn check_permissions(path: &Path) -> Result<(), ServerIdentityError> {
    use std::os::unix::fs::PermissionsExt as _;
    match fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(ServerIdentityError::KeyPermissions),
    }
}

#[cfg(not(unix))]
fn check_permissions(_path: &Path) -> Result<(), ServerIdentityError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R-TRANSPORT-5: the pin is the key's and outlives the certificate.
    #[test]
    fn the_pin_survives_a_restart_and_a_lost_certificate() {
        let directory = tempfile::tempdir().unwrap();
        let first = ServerIdentity::load_or_create(directory.path()).unwrap().pin();
        assert_eq!(ServerIdentity::load_or_create(directory.path()).unwrap().pin(), first);
        fs::remove_file(directory.path().join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(ServerIdentity::load_or_create(directory.path()).unwrap().pin(), first);
        fs::remove_file(directory.path().join(KEY_FILE)).unwrap();
        let other = ServerIdentity::load_or_create(directory.path()).err();
        assert_eq!(other, Some(ServerIdentityError::Mismatch), "a new key does not fit the old certificate");
    }

    #[cfg(unix)]
    #[test]
    fn the_key_file_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        ServerIdentity::load_or_create(directory.path()).unwrap();
        let key = directory.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let loaded = ServerIdentity::load_or_create(directory.path()).err();
        assert_eq!(loaded, Some(ServerIdentityError::KeyPermissions));
    }

    #[test]
    fn the_pin_is_the_hash_of_the_public_key_in_the_certificate() {
        use rcgen::PublicKeyData as _;
        let directory = tempfile::tempdir().unwrap();
        let identity = ServerIdentity::load_or_create(directory.path()).unwrap();
        let key = KeyPair::from_pem(&fs::read_to_string(directory.path().join(KEY_FILE)).unwrap()).unwrap();
        assert_eq!(identity.pin(), chancery_crypto::hash::sha256(&[&key.subject_public_key_info()]));
    }

    #[test]
    fn damaged_and_missing_files_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("none.pem");
        let damaged = directory.path().join("damaged.pem");
        fs::write(&damaged, b"-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        let load = |path: &Path| ServerIdentity::load(path, path).err();
        assert_eq!(load(&missing), Some(ServerIdentityError::Io(io::ErrorKind::NotFound)));
        assert_eq!(load(&damaged), Some(ServerIdentityError::Malformed));
    }
}
