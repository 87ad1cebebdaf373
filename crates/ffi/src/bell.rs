//! A descriptor that can be read as long as an event waits: one end of a pair of sockets, with a byte in it or none.

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};

use chancery::{Error, ErrorCode};

pub(crate) struct Bell(Mutex<Ends>);

struct Ends {
    inner: UnixStream,
    outer: UnixStream,
    rings: bool,
}

impl Bell {
    pub(crate) fn new() -> Result<Self, Error> {
        let pair = UnixStream::pair().and_then(|(inner, outer)| {
            inner.set_nonblocking(true)?;
            outer.set_nonblocking(true)?;
            Ok(Ends { inner, outer, rings: false })
        });
        let ends = pair.map_err(|error| Error::with(ErrorCode::Internal, error.to_string()))?;
        Ok(Self(Mutex::new(ends)))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.ends().outer.as_raw_fd()
    }

    pub(crate) fn ring(&self) {
        let mut ends = self.ends();
        if !ends.rings {
            ends.rings = ends.inner.write(&[1]).is_ok();
        }
    }

    pub(crate) fn silence(&self) {
        let mut ends = self.ends();
        // Whatever is there: a child that was forked may have rung as well. Who reads from the descriptor, against what the header says, has the byte
        // already: nothing is waited for.
        while ends.outer.read(&mut [0; 16]).is_ok_and(|read| read > 0) {}
        ends.rings = false;
    }

    fn ends(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
