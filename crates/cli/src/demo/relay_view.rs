//! What somebody who owns the relay can look at: its files and its log.

use std::path::Path;

use serde_json::{Value, json};

use super::stage::Stage;
use super::transcript::bytes;
use crate::process::Failure;
use crate::text::hex;

/// Files that are listed; the rest is counted.
const LISTED: usize = 6;
/// Bytes of a file that are printed.
const PEEK: usize = 12;
/// Lines of the log that are printed.
const LOG_LINES: usize = 3;
/// Columns of a printed line of the log.
const LOG_COLUMNS: usize = 110;

/// Shows files and log of the relay as they are now.
pub(super) fn show(stage: &Stage) -> Result<(), Failure> {
    let mut files = Vec::new();
    list(&stage.relay_data(), "", &mut files)?;
    files.sort_by_key(|file| std::cmp::Reverse(file.size));
    let log = std::fs::read(stage.relay_logs().join("relay.log")).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let all: Vec<&str> = log.lines().collect();
    let tail = all.get(all.len().saturating_sub(LOG_LINES)..).unwrap_or_default();
    let view = json!({
        "files": files.iter().map(Entry::to_json).collect::<Vec<_>>(),
        "log_lines": all.len(),
        "log_end": tail,
    });
    let mut lines: Vec<String> = files.iter().take(LISTED).map(Entry::shown).collect();
    let unlisted = files.len().saturating_sub(LISTED);
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more"));
    }
    lines.push(format!("log: {} lines, the last of them:", all.len()));
    lines.extend(tail.iter().map(|line| format!("  {}", line.chars().take(LOG_COLUMNS).collect::<String>())));
    stage.transcript.relay_view(&view, &lines)
}

struct Entry {
    name: String,
    size: u64,
    begins: String,
}

impl Entry {
    fn shown(&self) -> String {
        let Self { name, size, begins } = self;
        format!("{name:<48} {:>9}   {begins}…", bytes(*size))
    }

    fn to_json(&self) -> Value {
        json!({"name": self.name, "size": self.size, "begins": self.begins})
    }
}

fn list(folder: &Path, prefix: &str, files: &mut Vec<Entry>) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(folder.display(), &error);
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        // What a running process removes in between is not there.
        let Ok(data) = entry.metadata() else { continue };
        if data.is_dir() {
            list(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push(Entry { name, size: data.len(), begins: peek(&entry.path()) });
        }
    }
    Ok(())
}

fn peek(path: &Path) -> String {
    use std::io::Read as _;
    let mut start = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(PEEK as u64).read_to_end(&mut start));
    read.map_or_else(|_| String::new(), |_| hex(&start))
}
