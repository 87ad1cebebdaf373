//! Looking into the memory of the running relay, where the system shows it to a parent.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::search::{Found, LONGEST, Markers};
use crate::process::Failure;

/// Bytes that are read at once.
const BLOCK: usize = 4 << 20;

/// Searches everything that the process `id` can write to: heap, stacks, and what was freed there. (What it can
/// only read is the program itself, in which the story's texts stand.)
///
/// Returns `None` where the system does not let a parent look.
pub(super) fn search(id: u32, markers: &Markers) -> Result<Option<Found>, Failure> {
    let maps = format!("/proc/{id}/maps");
    let maps = std::fs::read_to_string(&maps).map_err(|error| Failure::io(maps, &error))?;
    let Ok(memory) = File::open(format!("/proc/{id}/mem")) else { return Ok(None) };
    let mut found = Found::default();
    let mut block = vec![0; BLOCK];
    for (start, end) in maps.lines().filter_map(writable) {
        let mut at = start;
        while at < end {
            let wanted = usize::try_from(end.saturating_sub(at)).map_or(BLOCK, |left| left.min(BLOCK));
            let space = block.get_mut(..wanted).unwrap_or_default();
            // Pages may go while this reads; the rest of their region is not there any more.
            let Ok(read @ 1..) = memory.read_at(space, at) else { break };
            markers.scan(space.get(..read).unwrap_or_default(), Path::new("its memory"), &mut found);
            found.bytes = found.bytes.saturating_add(read as u64);
            // What lies across the border of two blocks is seen in the second.
            let step = if read > LONGEST { read.saturating_sub(LONGEST) } else { read };
            at = at.saturating_add(step as u64);
        }
    }
    Ok(if found.bytes == 0 { None } else { Some(found) })
}

/// Start and end of a region of `/proc/PID/maps` that is readable and writable.
fn writable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split(' ');
    let (start, end) = words.next()?.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    words.next()?.starts_with("rw").then_some((number(start)?, number(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regions_that_can_be_written_count() {
        assert_eq!(writable("7f00-7f10 rw-p 00000000 00:00 0  [heap]"), Some((0x7f00, 0x7f10)));
        assert_eq!(writable("7f00-7f10 r--p 00000000 08:01 7  /bin/x"), None);
    }

    #[test]
    fn a_marker_in_memory_is_found() {
        let mut markers = Markers::default();
        let secret = format!("marker {}", std::process::id());
        markers.add("planted", secret.as_bytes()).unwrap();
        let found = search(std::process::id(), &markers).unwrap().unwrap();
        assert_eq!(found.markers(), 1);
    }
}
