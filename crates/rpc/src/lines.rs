//! Requests one to a line, of which no more is held than a request may have.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::fault::Fault;

/// Bytes read at once: 64 KiB.
const CHUNK: usize = 64 * 1024;

/// Reads lines.
pub(crate) struct Lines<R> {
    reader: R,
    /// What was read and not handed out.
    buffer: Vec<u8>,
    /// Where in it to look for the next end of a line.
    looked: usize,
    /// Whether a line that is too long is being thrown away.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), looked: 0, skipping: false }
    }

    /// Returns the next line that is not empty; `None` at the end. One of more than `most` bytes is thrown away as it comes.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        loop {
            if let Some(line) = self.take(most) {
                match line {
                    Ok(line) if line.trim_ascii().is_empty() => {}
                    line => return Some(line),
                }
                continue;
            }
            if self.skipping || self.buffer.len() > most {
                self.skipping = true;
                self.buffer = Vec::new();
                self.looked = 0;
            }
            self.buffer.reserve(CHUNK);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return self.rest(most),
            }
        }
    }

    /// Takes a whole line out of what was read.
    fn take(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        let new = self.buffer.get(self.looked..).unwrap_or_default();
        let Some(at) = new.iter().position(|&byte| byte == b'\n') else {
            self.looked = self.buffer.len();
            return None;
        };
        let end = self.looked.saturating_add(at);
        let rest = self.buffer.split_off(end.saturating_add(1));
        let mut line = std::mem::replace(&mut self.buffer, rest);
        line.pop();
        self.looked = 0;
        let long = std::mem::take(&mut self.skipping) || line.len() > most;
        Some(if long { Err(too_long(most)) } else { Ok(line) })
    }

    /// Takes what stands behind the last end of a line.
    fn rest(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        let line = std::mem::take(&mut self.buffer);
        self.looked = 0;
        if std::mem::take(&mut self.skipping) || line.len() > most {
            return Some(Err(too_long(most)));
        }
        (!line.trim_ascii().is_empty()).then_some(Ok(line))
    }
}

/// Returns the fault of a request that is too long.
pub(crate) fn too_long(most: usize) -> Fault {
    Fault::invalid(format!("a request has at most {most} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: &[u8], most: usize) -> Vec<Option<String>> {
        let (mut lines, mut found) = (Lines::new(input), Vec::new());
        while let Some(line) = lines.next(most).await {
            found.push(line.ok().map(|line| String::from_utf8(line).unwrap()));
            assert!(lines.buffer.capacity() <= most.saturating_add(3 * CHUNK));
        }
        found
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_one_fault_and_the_next_is_whole() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(b"one\n\r\n\ntwo", 8).await, [some("one"), some("two")]);
        assert_eq!(read(b"123456789\ntwo\n", 8).await, [None, some("two")]);
        let mut long = vec![b'x'; 10 * CHUNK];
        long.extend(b"\nafter\n");
        assert_eq!(read(&long, 8).await, [None, some("after")]);
        assert_eq!(read(&vec![b'x'; 3 * CHUNK], CHUNK).await, [None], "without an end");
        assert_eq!(read(b"", 8).await, [] as [Option<String>; 0]);
    }
}
