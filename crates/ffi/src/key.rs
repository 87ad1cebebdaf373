//! What opens a home.

use chancery::{Error, ErrorCode, KeySource, Secret, SecretBytes, read_key_file, read_or_create_key_file};

use crate::boundary::{Out, boundary, quietly};
use crate::library::chancery_code;
use crate::registry;
use crate::text::chancery_str;

/// What a home is opened with. Yours until `chancery_key_free`, which wipes it; nothing else needs it after the call that it was given to.
pub struct chancery_key {
    _private: [u8; 0],
}

/// Reads a key file, which must be of mode 0600. If there is none and `create` is true, makes one with a fresh key: who loses it has lost
/// the home.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_key_new_file(
    path: chancery_str,
    create: bool,
    out_key: *mut *mut chancery_key,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the text is as they say.
        let (out, path) = unsafe { (Out::new(out_key)?, path.path()?) };
        out.hand_out(if create { read_or_create_key_file(path)? } else { read_key_file(path)? })
    })
}

/// Makes a key of a passphrase: the bytes as they are, so bring them to Unicode's form NFC first.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_key_new_passphrase(
    passphrase: chancery_str,
    out_key: *mut *mut chancery_key,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the bytes are as they say.
        let (out, passphrase) = unsafe { (Out::new(out_key)?, passphrase.bytes()?) };
        if passphrase.is_empty() {
            return Err(ErrorCode::NoPassphrase.into());
        }
        out.hand_out(KeySource::Passphrase(SecretBytes::new(passphrase.to_vec())))
    })
}

/// Makes a key of 32 random bytes, as from the key store of a system.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_key_new_bytes(
    bytes: chancery_str,
    out_key: *mut *mut chancery_key,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there, and the bytes are as they say.
        let (out, bytes) = unsafe { (Out::new(out_key)?, bytes.bytes()?) };
        let wrong = || Error::with(ErrorCode::KeyFileUnusable, "a key has 32 bytes");
        out.hand_out(KeySource::KeyFile(Secret::from_slice(bytes).ok_or_else(wrong)?))
    })
}

/// Wipes and frees a key. NULL, and what was freed before, is left alone.
///
/// Threads: any.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_key_free(key: *mut chancery_key) {
    quietly(|| drop(registry::remove::<KeySource>(key.cast())));
}
