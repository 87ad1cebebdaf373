//! The token that callers over TCP and HTTP show: who can read its file may call.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use chancery::{Error, ErrorCode, json};
use chancery_crypto::secret::{SecretBytes, ct_eq};

/// Random bytes of a token that is made.
const TOKEN_LEN: usize = 32;
/// Shortest token that is taken from a file, in bytes: what somebody thought up must not be guessed.
const SHORTEST: usize = 32;
/// Longest, in bytes: more is a wrong file.
const LONGEST: u64 = 1024;

/// A token. Its `Debug` does not show it.
#[derive(Debug)]
pub struct Token(SecretBytes);

impl Token {
    /// Reads the token in this file, or makes the file, mode 0600, with a fresh one.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::SocketUnsafe`]: others can read or write the file, it is somebody else's, or it is too short or long for a token.
    /// [`ErrorCode::FileUnreadable`], [`ErrorCode::DiskFull`]: there is none.
    pub fn read_or_create(path: &Path) -> Result<Self, Error> {
        match Self::read(path) {
            Err(error) if error.code() == ErrorCode::FileNotFound => Self::create(path),
            read => read,
        }
    }

    /// Makes the file with all that is in it, or not at all: whoever is stopped half-way leaves nothing of its name.
    fn create(path: &Path) -> Result<Self, Error> {
        let mut bytes = [0; TOKEN_LEN];
        getrandom::fill(&mut bytes).map_err(|_| ErrorCode::NoRandomness)?;
        let token = json::hex(&bytes);
        let mut own = [0; 8];
        getrandom::fill(&mut own).map_err(|_| ErrorCode::NoRandomness)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.new", json::hex(&own)));
        let new = PathBuf::from(name);
        let made = write_new(&new, &token).and_then(|()| name_it(&new, path));
        let _ = std::fs::remove_file(&new);
        match made {
            Ok(()) => Ok(Self(SecretBytes::new(token.into_bytes()))),
            // Another process was quicker.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::read(path),
            Err(error) => Err(system(&error, path)),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|error| system(&error, path))?;
        let metadata = file.metadata().map_err(|error| system(&error, path))?;
        if !metadata.is_file() || !is_private(&metadata) {
            return Err(unsafe_at(path, "a token file is yours and of mode 0600"));
        }
        let mut text = Vec::new();
        file.take(LONGEST.saturating_add(1)).read_to_end(&mut text).map_err(|error| system(&error, path))?;
        let token = text.trim_ascii();
        if token.len() < SHORTEST || text.len() as u64 > LONGEST || !token.iter().all(u8::is_ascii_graphic) {
            return Err(unsafe_at(path, "a token has 32 to 1024 visible characters"));
        }
        Ok(Self(SecretBytes::new(token.to_vec())))
    }

    /// Whether this is the token, in a time that does not tell where they differ.
    pub(crate) fn is(&self, shown: &[u8]) -> bool {
        ct_eq(self.0.expose(), shown)
    }
}

fn write_new(path: &Path, token: &str) -> std::io::Result<()> {
    let mut file = private_options().create_new(true).write(true).open(path)?;
    file.write_all(token.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

/// Gives a file a name that nothing has: a hard link fails if something has it. Where there are no such links, the look before is less
/// exact.
fn name_it(new: &Path, path: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(new, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(error),
        Err(_) if !path.exists() => std::fs::rename(new, path),
        linked => linked,
    }
}

fn private_options() -> std::fs::OpenOptions {
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn is_private(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    metadata.mode() & 0o077 == 0 && own_user().is_none_or(|user| user == metadata.uid())
}

#[cfg(not(unix))]
fn is_private(_: &std::fs::Metadata) -> bool {
    true
}

/// The effective user, as Linux tells it.
#[cfg(unix)]
fn own_user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").ok().map(|metadata| metadata.uid())
}

/// Returns the error for what others could get at.
pub(crate) fn unsafe_at(path: &Path, what: &str) -> Error {
    Error::with(ErrorCode::SocketUnsafe, format!("{}: {what}", path.display()))
}

/// Returns the error for an operation of the system on a file.
pub(crate) fn system(error: &std::io::Error, path: &Path) -> Error {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ErrorCode::FileNotFound,
        std::io::ErrorKind::StorageFull => ErrorCode::DiskFull,
        _ => ErrorCode::FileUnreadable,
    };
    Error::with(code, path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_token_file_is_made_for_its_owner_alone_and_refused_if_others_can_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = Token::read_or_create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(made.is(text.trim().as_bytes()) && !made.is(b"") && !made.is(&[b'0'; 64]));
        assert!(Token::read_or_create(&path).unwrap().is(text.trim().as_bytes()), "the same again");
        assert!(!format!("{made:?}").contains(text.trim()));
        for mode in [0o640, 0o604, 0o602, 0o666] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let error = Token::read_or_create(&path).unwrap_err();
            assert_eq!(error.code(), ErrorCode::SocketUnsafe, "{mode:o}");
        }
        std::fs::write(folder.path().join("short"), "secret").unwrap();
        let path = folder.path().join("short");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(Token::read_or_create(&path).unwrap_err().code(), ErrorCode::SocketUnsafe);
    }

    #[test]
    fn a_token_file_that_is_there_is_whole_however_many_make_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..20 {
            let path = folder.path().join(round.to_string());
            let barrier = std::sync::Barrier::new(8);
            let make = || {
                barrier.wait();
                Token::read_or_create(&path).unwrap()
            };
            let tokens: Vec<Token> = std::thread::scope(|scope| {
                let makers: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
                makers.into_iter().map(|maker| maker.join().unwrap()).collect()
            });
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(tokens.iter().all(|token| token.is(text.trim().as_bytes())));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 20, "and nothing else is left");
    }
}
