//! Text that goes in and out.

use std::ffi::{c_char, c_void};
use std::path::PathBuf;

use chancery::{Error, ErrorCode};
use serde_json::Value;

use crate::boundary::{Out, boundary, quietly};
use crate::library::chancery_code;
use crate::registry;

/// Text that is handed in: `len` bytes of UTF-8, which need no NUL at the end and stay the caller's. `chancery_text("…")` makes one of a
/// string of C. Where a secret or a file's content is meant, any bytes do.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct chancery_str {
    /// The bytes. Must not be NULL, also if there are none.
    pub data: *const c_char,
    /// How many.
    pub len: usize,
}

/// Text that was handed out, mostly JSON: yours until `chancery_string_free`.
pub struct chancery_string {
    _private: [u8; 0],
}

/// What a `chancery_string` stands for: the text, and a NUL behind it.
pub(crate) struct Text(Box<[u8]>);

impl Text {
    pub(crate) fn new(text: String) -> Self {
        let mut bytes = text.into_bytes();
        bytes.push(0);
        Self(bytes.into())
    }

    /// Returns the text without the NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.split_last().map_or(&[], |(_, text)| text)
    }
}

impl Out<*mut chancery_string> {
    pub(crate) fn text(self, text: String) -> Result<(), Error> {
        self.hand_out(Text::new(text))
    }

    pub(crate) fn json(self, value: &Value) -> Result<(), Error> {
        self.text(value.to_string())
    }
}

impl chancery_str {
    /// # Safety
    ///
    /// `data` is NULL or points to `len` bytes that nobody changes until the function returns.
    pub(crate) unsafe fn bytes<'a>(self) -> Result<&'a [u8], Error> {
        if self.data.is_null() {
            return Err(ErrorCode::NullArgument.into());
        }
        if isize::try_from(self.len).is_err() {
            return Err(Error::with(ErrorCode::Usage, "a length that no memory has"));
        }
        // SAFETY: not NULL, and so many bytes as the caller has promised; bytes need no alignment.
        Ok(unsafe { std::slice::from_raw_parts(self.data.cast(), self.len) })
    }

    /// # Safety
    ///
    /// As [`Self::bytes`].
    pub(crate) unsafe fn text<'a>(self) -> Result<&'a str, Error> {
        // SAFETY: the caller's promise is the same.
        str::from_utf8(unsafe { self.bytes()? }).map_err(|_| ErrorCode::NotUtf8.into())
    }

    /// # Safety
    ///
    /// As [`Self::bytes`].
    pub(crate) unsafe fn path(self) -> Result<PathBuf, Error> {
        // SAFETY: the caller's promise is the same.
        let text = unsafe { self.text()? };
        if text.is_empty() || text.contains('\0') {
            return Err(Error::with(ErrorCode::Usage, "a path that is empty or has a NUL in it"));
        }
        Ok(text.into())
    }
}

/// Reads a list of texts; one of no entries may be NULL.
///
/// # Safety
///
/// `list` is NULL or points to `count` texts, each as for [`chancery_str::bytes`].
pub(crate) unsafe fn texts<'a>(list: *const chancery_str, count: usize) -> Result<Vec<&'a str>, Error> {
    /// More entries than any list of members or files may have.
    const MOST: usize = 100_000;
    if count == 0 {
        return Ok(Vec::new());
    }
    if list.is_null() {
        return Err(ErrorCode::NullArgument.into());
    }
    if count > MOST {
        return Err(Error::with(ErrorCode::Usage, "a list of more than 100000 entries"));
    }
    // SAFETY: each lies within the list, as the caller has promised; `read_unaligned` asks for no more.
    (0..count).map(|at| unsafe { list.add(at).read_unaligned().text() }).collect()
}

/// Reads JSON; what is none is refused with `code`.
pub(crate) fn parse(text: &str, code: ErrorCode) -> Result<Value, Error> {
    /// More than any message has: 32 pictures of 16 KiB, 32 paths and a text of 32 KiB, all escaped.
    const MOST: usize = 4 * 1024 * 1024;
    if text.len() > MOST {
        return Err(Error::with(code, "JSON of more than 4 MiB"));
    }
    serde_json::from_str(text).map_err(|error| Error::with(code, error.to_string()))
}

/// Returns the text, with a NUL behind it; NULL if the handle is none or was freed. The pointer holds until `chancery_string_free`.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_string_data(string: *const chancery_string) -> *const c_char {
    let data = || registry::get::<Text>(string.cast()).map(|text| text.0.as_ptr().cast()).ok();
    std::panic::catch_unwind(data).ok().flatten().unwrap_or(std::ptr::null())
}

/// Returns how many bytes the text has without the NUL; 0 if the handle is none or was freed.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_string_len(string: *const chancery_string) -> usize {
    let len = || registry::get::<Text>(string.cast()).map(|text| text.as_bytes().len()).ok();
    std::panic::catch_unwind(len).ok().flatten().unwrap_or(0)
}

/// Copies the text and a NUL into a buffer of yours; `*out_needed` is the number of bytes that this takes. A buffer of 0 bytes, which may be
/// NULL, asks only for the number. A buffer that is too short is left as it is: CHANCERY_SHORT_BUFFER.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_string_copy(
    string: *const chancery_string,
    buffer: *mut c_char,
    len: usize,
    out_needed: *mut usize,
) -> chancery_code {
    boundary(|| {
        // SAFETY: the caller may write there.
        let out = unsafe { Out::new(out_needed)? };
        if buffer.is_null() && len > 0 {
            return Err(ErrorCode::NullArgument.into());
        }
        let text = registry::get::<Text>(string.cast())?;
        let needed = text.0.len();
        if len > 0 && len < needed {
            return Err(Error::with(ErrorCode::ShortBuffer, format!("{needed} bytes are needed")));
        }
        if len > 0 {
            // SAFETY: the buffer has at least so many bytes, and is none of this library's.
            unsafe { std::ptr::copy_nonoverlapping(text.0.as_ptr(), buffer.cast(), needed) };
        }
        out.write(needed);
        Ok(())
    })
}

/// Frees a text. NULL, and what was freed before, is left alone.
///
/// Threads: any, but not while another reads what `chancery_string_data` has returned.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn chancery_string_free(string: *mut chancery_string) {
    quietly(|| drop(registry::remove::<Text>(string.cast::<c_void>())));
}
