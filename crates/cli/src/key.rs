//! Passphrases and key files: from an option, the environment, or a terminal; never a hang.

use std::io::{IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use chancery::{Error, ErrorCode, KeySource};
use chancery_crypto::secret::SecretBytes;

use crate::args::{HomeArgs, KeyArgs};
use crate::failure::system;
use crate::text::unhex;

/// The variable that a passphrase may stand in.
pub(crate) const VARIABLE: &str = "CHANCERY_PASSPHRASE";
/// Longest passphrase in bytes: more is a wrong file.
const MAX_PASSPHRASE: usize = 64 * 1024;

/// Whether a key is about to protect something new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It has to be the right one.
    Open,
    /// It is chosen now: a passphrase is asked for twice, and a key file is made.
    Create,
}

impl KeyArgs {
    /// Finds the key: `--key-file`, `--passphrase-file`, the environment, or whoever sits at the terminal.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::NoPassphrase`] at once if there is nothing of these; errors of the files.
    pub(crate) fn source(&self, purpose: Purpose) -> Result<KeySource, Error> {
        if let Some(path) = &self.key_file {
            return match purpose {
                Purpose::Open => chancery::read_key_file(path),
                Purpose::Create => chancery::read_or_create_key_file(path),
            };
        }
        if let Some(path) = &self.passphrase_file {
            return from_file(path);
        }
        match std::env::var_os(VARIABLE) {
            Some(value) if !value.is_empty() => passphrase(value.into_encoded_bytes()),
            _ => prompt(purpose),
        }
    }
}

impl HomeArgs {
    /// The device's folder: the option, the variable, or the platform's place for data.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Usage`] if the platform has no such place for this user.
    pub(crate) fn folder(&self) -> Result<PathBuf, Error> {
        use etcetera::BaseStrategy as _;
        if let Some(home) = &self.home {
            return Ok(home.clone());
        }
        let places = etcetera::base_strategy::choose_native_strategy();
        let places = places.map_err(|_| Error::with(ErrorCode::Usage, "no home directory; use --home"))?;
        Ok(places.data_dir().join("chancery"))
    }
}

/// Reads the passphrase that a supervising process writes as stdin's first line, in hexadecimal.
pub(crate) fn from_supervisor() -> Result<KeySource, Error> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|_| ErrorCode::NoPassphrase)?;
    passphrase(unhex(line.trim_end()).ok_or(ErrorCode::NoPassphrase)?)
}

fn from_file(path: &Path) -> Result<KeySource, Error> {
    let name = path.display().to_string();
    let mut bytes = Vec::with_capacity(MAX_PASSPHRASE);
    let limit = MAX_PASSPHRASE as u64;
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| system(&error, &name))?;
    if bytes.len() >= MAX_PASSPHRASE {
        return Err(Error::with(ErrorCode::FileUnreadable, format!("{name} is too long for a passphrase")));
    }
    if bytes.ends_with(b"\n") {
        bytes.pop();
    }
    if bytes.ends_with(b"\r") {
        bytes.pop();
    }
    passphrase(bytes)
}

fn prompt(purpose: Purpose) -> Result<KeySource, Error> {
    // A prompt reads the controlling terminal; a script that has one but does not offer it must not hang.
    if !std::io::stdin().is_terminal() {
        return Err(ErrorCode::NoPassphrase.into());
    }
    let ask = |text: &str| {
        rpassword::prompt_password(text)
            .map(|line| SecretBytes::new(line.into_bytes()))
            .map_err(|_| Error::new(ErrorCode::NoPassphrase))
    };
    let first = match purpose {
        Purpose::Open => ask("Passphrase: ")?,
        Purpose::Create => ask("New passphrase: ")?,
    };
    if purpose == Purpose::Create
        && !chancery_crypto::secret::ct_eq(first.expose(), ask("Once more: ")?.expose())
    {
        return Err(Error::with(ErrorCode::Usage, "the passphrases differ"));
    }
    passphrase(first.expose().to_vec())
}

/// An empty passphrase protects nothing, and is the usual trace of a variable or file that was not filled.
fn passphrase(bytes: Vec<u8>) -> Result<KeySource, Error> {
    if bytes.is_empty() {
        return Err(ErrorCode::NoPassphrase.into());
    }
    let bytes = SecretBytes::new(bytes);
    Ok(match std::str::from_utf8(bytes.expose()) {
        Ok(text) => KeySource::passphrase(text),
        Err(_) => KeySource::Passphrase(bytes),
    })
}
