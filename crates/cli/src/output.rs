//! Results on stdout, everything else on stderr.

use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal as _, Write as _};

use chancery::Error;
use chancery::ErrorCode;
use serde_json::{Value, json};

use crate::failure::Failure;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints one result, as an object or as text for people, and waits until the system has it.
    pub(crate) fn result(self, object: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let line = if self.json { object.to_string() } else { text() };
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::StdoutClosed,
            ErrorKind::StorageFull => Error::with(ErrorCode::DiskFull, "standard output").into(),
            _ => Error::with(ErrorCode::FileUnreadable, "standard output").into(),
        })
    }

    /// Prints advice for people; nothing with `--json`.
    pub(crate) fn note(self, text: &str) {
        if !self.json {
            // Nobody may be there to read it, and that is no reason to fail.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }

    /// Whether somebody looks at stderr, so that progress and QR codes have a reader.
    pub(crate) fn has_viewer(self) -> bool {
        !self.json && std::io::stderr().is_terminal()
    }

    /// Prints why the command ends, unless there is nothing to say.
    pub(crate) fn failure(self, failure: &Failure) {
        let Some(report) = failure.report() else { return };
        let faults = failure.faults();
        let text = if self.json {
            let mut object = report.object();
            if let (false, Some(fields)) = (faults.is_empty(), object.as_object_mut()) {
                let lines = faults.iter().map(|fault| json!({"line": fault.line, "message": fault.what}));
                fields.insert("lines".to_owned(), lines.collect());
            }
            json!({"error": object}).to_string()
        } else {
            let mut text = format!("error: {}", report.message);
            for fault in faults {
                let _ = write!(text, "\n  line {}: {}", fault.line, fault.what);
            }
            text
        };
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }
}
