//! What is around the body of every function: panics become codes, errors are kept for whoever asks.

use std::cell::RefCell;
use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use chancery::{Error, ErrorCode};

use crate::library::chancery_code;
use crate::registry;
use crate::session::Session;

/// Everything went well.
pub(crate) const OK: chancery_code = 0;

thread_local! {
    static DETAIL: RefCell<CString> = RefCell::default();
}

/// Runs the body of a function.
pub(crate) fn boundary(body: impl FnOnce() -> Result<(), Error>) -> chancery_code {
    let outcome = catch_unwind(AssertUnwindSafe(body));
    let error = match outcome {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(_) => Some(ErrorCode::Panicked.into()),
    };
    note(error.as_ref().and_then(Error::detail).unwrap_or_default());
    error.map_or(OK, |error| error.code().number())
}

/// Runs the body of a function that can only succeed.
pub(crate) fn quietly(body: impl FnOnce()) {
    let _ = catch_unwind(AssertUnwindSafe(body));
}

fn note(detail: &str) {
    let text = CString::new(detail.replace('\0', " ")).unwrap_or_default();
    // While the thread ends there is nobody left to ask.
    let _ = DETAIL.try_with(|kept| *kept.borrow_mut() = text);
}

/// Returns what the last failure of this thread lay in. The pointer holds until the thread calls anything else.
pub(crate) fn detail() -> *const c_char {
    DETAIL.try_with(|kept| kept.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Runs the body of a function of a client, unless that has panicked before; if it panics now, it has.
pub(crate) fn with_client(
    client: *const c_void,
    body: impl FnOnce(&Arc<Session>) -> Result<(), Error>,
) -> Result<(), Error> {
    let session = registry::get::<Session>(client)?;
    session.check()?;
    match catch_unwind(AssertUnwindSafe(|| body(&session))) {
        Ok(result) => result,
        Err(panic) => {
            session.poison();
            resume_unwind(panic)
        }
    }
}

/// Refuses NULL for a handle that is looked up after others.
pub(crate) fn not_null(handle: *const c_void) -> Result<(), Error> {
    if handle.is_null() { Err(ErrorCode::NullArgument.into()) } else { Ok(()) }
}

/// Where a result goes. Written only by [`Out::write`], which nothing that may fail follows.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    ///
    /// `place` is NULL or may be written to until the function returns.
    pub(crate) unsafe fn new(place: *mut T) -> Result<Self, Error> {
        if place.is_null() { Err(ErrorCode::NullArgument.into()) } else { Ok(Self(place)) }
    }

    pub(crate) fn write(self, value: T) {
        // SAFETY: it is not NULL and may be written to, as whoever called `new` has promised. It may be badly aligned, or hold nothing
        // that is initialised.
        unsafe { self.0.write_unaligned(value) }
    }
}

impl<H> Out<*mut H> {
    /// Writes a new handle for an object.
    pub(crate) fn hand_out<K: registry::Kind>(self, object: K) -> Result<(), Error> {
        self.write(registry::add(object)?.cast());
        Ok(())
    }
}
