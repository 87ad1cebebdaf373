//! One secret in one file, such as an organisation's root (R-STORE-12).
//!
//! ```text
//! offset  length  field
//!      0      16  "chancery sealed" and a zero byte
//!     16      30  lock header, see `wrap`
//!     46  n + 40  XChaCha20-Poly1305 box: nonce, contents, tag; associated data: all before it
//! ```

use std::fs::File;
use std::path::Path;

use chancery_crypto::aead::BOX_OVERHEAD;
use chancery_crypto::label;
use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::SecretBytes;

use crate::error::StoreError;
use crate::file;
use crate::key::KeySource;
use crate::wrap::{HEADER_LEN, Lock};

/// The most that a sealed file may hold: 1 MiB. It is for keys, which are far smaller.
pub const MAX_CONTENTS: usize = 1024 * 1024;

const MAGIC: &[u8; 16] = b"chancery sealed\0";
const FRONT_LEN: usize = MAGIC.len() + HEADER_LEN;

/// Seals `contents` into the file at `path`, mode 0600, over what is there.
///
/// The file is the old one or the new one as a whole, also after a power cut. Missing directories are made,
/// mode 0700.
///
/// # Errors
///
/// - [`StoreError::TooLarge`] above [`MAX_CONTENTS`]: a bug in the caller.
/// - [`StoreError::Full`] or [`StoreError::Io`]: the old file, if any, is unchanged.
pub fn write(
    path: impl AsRef<Path>,
    source: &KeySource,
    contents: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<(), StoreError> {
    let path = path.as_ref();
    if contents.len() > MAX_CONTENTS {
        return Err(StoreError::TooLarge);
    }
    let lock = Lock::new(source, rng);
    let mut bytes = [MAGIC.as_slice(), &lock.encode()].concat();
    let key = lock.key(label::KDF_SEALED_FILE, source).map_err(|_| StoreError::Io)?;
    let sealed = key.seal(&bytes, contents, rng);
    bytes.extend_from_slice(&sealed);
    file::create_parents(path)?;
    let (draft, file) = file::Draft::create(path, rng)?;
    file::write_all(file, &bytes)?;
    draft.replace(path)
}

/// Opens the file at `path`.
///
/// # Errors
///
/// - [`StoreError::NotFound`]: there is no such file.
/// - [`StoreError::WrongKey`] when `source` does not open it, or its contents were altered: ask again.
/// - [`StoreError::Damaged`] for a file of another kind, or one with an Argon2id cost that is not allowed.
/// - [`StoreError::NewerFormat`] for the file of a newer version: update.
/// - [`StoreError::Io`] when it cannot be read.
pub fn read(path: impl AsRef<Path>, source: &KeySource) -> Result<SecretBytes, StoreError> {
    const LIMIT: usize = FRONT_LEN + MAX_CONTENTS + BOX_OVERHEAD;
    let file = File::open(path).map_err(|e| StoreError::from_io(&e))?;
    let bytes = match file::read_all(file, LIMIT) {
        Err(StoreError::TooLarge) => Err(StoreError::Damaged),
        other => other,
    }?;
    let (front, sealed) = bytes.expose().split_first_chunk::<FRONT_LEN>().ok_or(StoreError::Damaged)?;
    let (magic, header) = front.split_first_chunk::<{ MAGIC.len() }>().ok_or(StoreError::Damaged)?;
    let header = header.first_chunk::<HEADER_LEN>().ok_or(StoreError::Damaged)?;
    if magic != MAGIC {
        return Err(StoreError::Damaged);
    }
    let lock = Lock::decode(header)?;
    if sealed.len() < BOX_OVERHEAD {
        return Err(StoreError::Damaged);
    }
    lock.key(label::KDF_SEALED_FILE, source)?.open(front, sealed).map_err(|_| StoreError::WrongKey)
}
