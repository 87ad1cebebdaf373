//! What the demo tells: sentences for a person, or one object a line with `--json`.

use std::io::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::checks::{Check, Checks};
use crate::process::{Failure, field};

/// Where names end and what they do begins, in columns.
const INDENT: usize = 9;
/// Longest text that is quoted in full, in characters.
const QUOTE: usize = 72;

/// Prints the story as it happens.
#[derive(Debug)]
pub(super) struct Transcript {
    json: bool,
    scene: u32,
}

/// A message, as the transcript shows it.
#[derive(Debug)]
pub(super) struct Shown<'a> {
    pub(super) from: &'a str,
    pub(super) to: &'a str,
    pub(super) id: &'a str,
    pub(super) text: &'a str,
    pub(super) files: &'a [Value],
}

impl Transcript {
    pub(super) fn new(json: bool) -> Self {
        Self { json, scene: 0 }
    }

    /// Prints one event. A reader that has gone away ends the demo.
    fn event(&self, event: &Value, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{event}") } else { writeln!(out, "{text}") };
        written.and_then(|()| out.flush()).map_err(|error| Failure::io("standard output", &error))
    }

    /// Begins a scene.
    pub(super) fn scene(&mut self, title: &str) -> Result<(), Failure> {
        self.scene = self.scene.saturating_add(1);
        let number = self.scene;
        self.event(
            &json!({"event": "scene", "number": number, "title": title}),
            &format!("\n{number}. {title}\n"),
        )
    }

    /// Explains.
    pub(super) fn note(&self, text: &str) -> Result<(), Failure> {
        self.event(&json!({"event": "note", "text": text}), &format!("  {text}"))
    }

    /// Somebody types a command.
    pub(super) fn command(&self, who: &str, command: &str) -> Result<(), Failure> {
        self.event(
            &json!({"event": "command", "who": who, "command": command}),
            &format!("{}$ {command}", name(who)),
        )
    }

    /// A command gave a result worth showing; `result` is the command's own object.
    pub(super) fn result(&self, result: &Value, text: &str) -> Result<(), Failure> {
        self.event(&json!({"event": "result", "result": result}), &format!("{}{text}", name("")))
    }

    /// A message was handed to the relay, or waits for it.
    pub(super) fn sent(&self, message: &Shown<'_>, state: &str) -> Result<(), Failure> {
        let mut event = as_event("sent", message);
        if let Some(fields) = event.as_object_mut() {
            fields.insert("state".into(), state.into());
        }
        let text = match state {
            "queued" => "queued: the relay is down, the message waits on the sender's disk",
            _ => "the relay has it",
        };
        self.event(&event, &format!("{}{text}", name("")))
    }

    /// A message appeared on somebody's screen.
    pub(super) fn received(&self, message: &Shown<'_>) -> Result<(), Failure> {
        let mut line = format!("{}◂ {}: {}", name(message.to), message.from, quote(message.text));
        for file in message.files {
            let name = field(file, "name").as_str().unwrap_or("?");
            let size = field(file, "size").as_u64().unwrap_or_default();
            line.push_str(&format!("  [{name}, {}]", bytes(size)));
        }
        self.event(&as_event("received", message), &line)
    }

    /// What the relay has and said so far.
    pub(super) fn relay_view(&self, view: &Value, lines: &[String]) -> Result<(), Failure> {
        if self.json {
            return self.event(&json!({"event": "relay_view", "view": view}), "");
        }
        self.event(&Value::Null, "  What the relay has to show for it:")?;
        lines.iter().try_for_each(|line| self.event(&Value::Null, &format!("    {line}")))
    }

    /// Something stopped the story.
    pub(super) fn stopped(&self, why: &Failure) -> Result<(), Failure> {
        let reason = why.to_string();
        self.event(&json!({"event": "stopped", "reason": reason}), &format!("\n  The demo stopped: {reason}"))
    }

    /// The table at the end.
    pub(super) fn summary(&self, checks: &Checks, took: Duration) -> Result<(), Failure> {
        let (all, ok, seconds) = (checks.all(), checks.passed(), took.as_secs_f64());
        if self.json {
            let checks: Vec<Value> = all.iter().map(Check::to_json).collect();
            let summary = json!({"event": "summary", "checks": checks, "ok": ok, "seconds": seconds});
            return self.event(&summary, "");
        }
        self.event(&Value::Null, "\nWhat was checked\n")?;
        for line in table(all) {
            self.event(&Value::Null, &line)?;
        }
        let failed = all.iter().filter(|check| !check.ok).count();
        let verdict = if ok {
            format!("All {} checks passed, in {seconds:.1} s.", all.len())
        } else {
            format!("{failed} of {} checks failed.", all.len())
        };
        self.event(&Value::Null, &format!("\n{verdict}"))
    }
}

fn as_event(kind: &str, message: &Shown<'_>) -> Value {
    json!({
        "event": kind, "id": message.id, "from": message.from, "to": message.to,
        "text": message.text, "files": message.files,
    })
}

fn name(who: &str) -> String {
    format!("  {who:<INDENT$}")
}

fn quote(text: &str) -> String {
    if text.chars().count() <= QUOTE {
        return text.into();
    }
    let start: String = text.chars().take(QUOTE).collect();
    format!("{start}…")
}

fn table(checks: &[Check]) -> Vec<String> {
    let widest = |cell: fn(&Check) -> usize, title: &str| {
        checks.iter().map(cell).chain([title.len()]).max().unwrap_or_default()
    };
    let name = widest(|check| check.name.chars().count(), "check");
    let expected = widest(|check| plain(&check.expected).chars().count(), "expected");
    let row = |mark: &str, cells: [&str; 3]| {
        let [check, wanted, found] = cells;
        format!("  {mark:<6} {check:<name$}  {wanted:<expected$}  {found}").trim_end().to_owned()
    };
    let head = row("", ["check", "expected", "found"]);
    let rows = checks.iter().map(|check| {
        let mark = if check.ok { "ok" } else { "FAILED" };
        row(mark, [&check.name, &plain(&check.expected), &plain(&check.found)])
    });
    std::iter::once(head).chain(rows).collect()
}

/// A value without JSON's quotation marks.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A size for people.
pub(super) fn bytes(size: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = 1024 * KIB;
    let tenths = |unit: u64| {
        let tenths = size.saturating_mul(10).div_ceil(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match size {
        0..KIB => format!("{size} bytes"),
        KIB..MIB => format!("{} KiB", tenths(KIB)),
        _ => format!("{} MiB", tenths(MIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!([bytes(512), bytes(1025), bytes(5 << 20)], ["512 bytes", "1.1 KiB", "5.0 MiB"]);
    }

    #[test]
    fn the_table_shows_which_check_failed() {
        let checks = [
            Check { name: "a".into(), expected: 1.into(), found: 1.into(), ok: true },
            Check { name: "longer".into(), expected: "none".into(), found: 2.into(), ok: false },
        ];
        let lines = table(&checks);
        assert_eq!(lines[1], "  ok     a       1         1");
        assert_eq!(lines[2], "  FAILED longer  none      2");
    }
}
