//! Requests one to a line, of which no more is held than a request may have.

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::fault::Fault;

/// Bytes read at once: 64 KiB.
const CHUNK: usize = 64 * 1024;

/// Reads lines.
pub(crate) struct Lines<R> {
    reader: R,
    /// What was read. What was handed out of it goes before more is read: once for many lines.
    buffer: Vec<u8>,
    /// Where in it that begins which was not handed out.
    start: usize,
    /// Where in it to look for the next end of a line.
    looked: usize,
    /// Whether a line that is too long is being thrown away.
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) const fn new(reader: R) -> Self {
        Self { reader, buffer: Vec::new(), start: 0, looked: 0, skipping: false }
    }

    /// Returns the next line that is not empty; `None` at the end. One of more than `most` bytes is thrown away as it comes, and so are
    /// empty lines, which have no more together.
    pub(crate) async fn next(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        let mut empty = 0_usize;
        loop {
            if let Some(line) = self.take(most) {
                match line {
                    Ok(line) if line.trim_ascii().is_empty() => {
                        empty = empty.saturating_add(line.len()).saturating_add(1);
                        if empty > most {
                            return Some(Err(too_long(most)));
                        }
                    }
                    line => return Some(line),
                }
                continue;
            }
            self.make_room(most);
            match self.reader.read_buf(&mut self.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return self.rest(most),
            }
        }
    }

    /// Drops what was handed out, and what is too long, and makes room for more.
    fn make_room(&mut self, most: usize) {
        self.buffer.drain(..std::mem::take(&mut self.start));
        if self.skipping || self.buffer.len() > most {
            self.skipping = true;
            self.buffer.clear();
        }
        self.looked = self.buffer.len();
        if self.buffer.is_empty() {
            // The room of a long line is not kept.
            self.buffer.shrink_to(CHUNK);
        }
        self.buffer.reserve(CHUNK);
    }

    /// Takes a whole line out of what was read.
    fn take(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        let new = self.buffer.get(self.looked..).unwrap_or_default();
        let at = new.iter().position(|&byte| byte == b'\n')?;
        let end = self.looked.saturating_add(at);
        let line = self.buffer.get(self.start..end).unwrap_or_default().to_vec();
        self.start = end.saturating_add(1);
        self.looked = self.start;
        let long = std::mem::take(&mut self.skipping) || line.len() > most;
        Some(if long { Err(too_long(most)) } else { Ok(line) })
    }

    /// Takes what stands behind the last end of a line.
    fn rest(&mut self, most: usize) -> Option<Result<Vec<u8>, Fault>> {
        // All lines before it were handed out and are gone.
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

    #[tokio::test]
    async fn what_was_read_is_not_copied_for_each_line_and_empty_lines_have_an_end() {
        let input = "a\n".repeat(1000);
        let mut lines = Lines::new(input.as_bytes());
        let mut places = std::collections::BTreeSet::new();
        while let Some(Ok(line)) = lines.next(8).await {
            assert_eq!(line, b"a");
            places.insert((lines.buffer.as_ptr() as usize, lines.buffer.len()));
        }
        assert_eq!(places.len(), 1);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(b"\n\n \r\n\none\n", 8).await, [some("one")]);
        assert_eq!(read(b"\n\n\n\n\n\n\n\n\n\none\n", 8).await, [None, some("one")]);
    }
}
