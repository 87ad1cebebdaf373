//! The library itself: versions, and what codes mean.

use std::ffi::{CStr, c_char};

use chancery::{Error, ErrorCode};

use crate::boundary::{OK, detail};
use crate::registry;

/// `CHANCERY_OK`, or the number of what went wrong: the same numbers in every language, never changed or reused.
pub type chancery_code = u32;

/// The number that `chancery_abi_version` returns: it changes when a program that was built before must be built again.
pub const CHANCERY_ABI_VERSION: u32 = 1;

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => c"",
};

/// Returns the version of the library that runs, as "0.1.0". CHANCERY_VERSION is the one that was built against.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_version() -> *const c_char {
    VERSION.as_ptr()
}

/// Returns the version of the binary interface of the library that runs. If it is not CHANCERY_ABI_VERSION, build again.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_abi_version() -> u32 {
    CHANCERY_ABI_VERSION
}

/// Returns what a code says to a person, in English. Never NULL; the text is the library's and stays.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_strerror(code: chancery_code) -> *const c_char {
    find(code).map_or(if code == OK { c"no error" } else { c"unknown code" }, message).as_ptr()
}

/// Returns a code's name, as in JSON: "ok", "relay-unreachable", "unknown". Never NULL; the text is the library's and stays.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_code_name(code: chancery_code) -> *const c_char {
    find(code).map_or(if code == OK { c"ok" } else { c"unknown" }, name).as_ptr()
}

/// Says whether the same call may succeed later without anybody changing anything.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_is_retryable(code: chancery_code) -> bool {
    find(code).is_some_and(|code| Error::new(code).is_retryable())
}

/// Returns what the last call of this thread that returned a code failed at: a path, a name, a limit; "" if there is nothing to say. Never a
/// secret. Never NULL; the text holds until this thread's next call of a function that returns a code.
///
/// Threads: any, at once; each has its own.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_last_detail() -> *const c_char {
    detail()
}

/// Returns how many handles of all kinds this process has not freed: for tests, which look for 0 at their end.
///
/// Threads: any, at once.
#[unsafe(no_mangle)]
pub extern "C" fn chancery_live_handles() -> usize {
    std::panic::catch_unwind(registry::count).unwrap_or_default()
}

fn find(code: chancery_code) -> Option<ErrorCode> {
    ErrorCode::ALL.iter().copied().find(|known| known.number() == code)
}

/// The texts of the table with a NUL behind each, made once.
fn texts() -> &'static [(ErrorCode, std::ffi::CString, std::ffi::CString)] {
    static TEXTS: std::sync::OnceLock<Vec<(ErrorCode, std::ffi::CString, std::ffi::CString)>> =
        std::sync::OnceLock::new();
    TEXTS.get_or_init(|| {
        let text = |text: &str| std::ffi::CString::new(text).unwrap_or_default();
        ErrorCode::ALL.iter().map(|&code| (code, text(code.name()), text(code.message()))).collect()
    })
}

fn name(code: ErrorCode) -> &'static CStr {
    texts().iter().find(|(known, ..)| *known == code).map_or(c"unknown", |(_, name, _)| name)
}

fn message(code: ErrorCode) -> &'static CStr {
    texts().iter().find(|(known, ..)| *known == code).map_or(c"unknown code", |(_, _, message)| message)
}
