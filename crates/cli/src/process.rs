//! Child processes: the very command that runs, with a time limit on all that is waited for, ended on drop.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

/// How often a child is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);
/// Time that one command may take: it is a person who would wait for it.
const COMMAND: Duration = Duration::from_secs(30);
/// Stands for the exit code of a process that ended by a signal.
const SIGNALLED: i32 = -1;
/// Bytes of a child's standard error that are shown when it fails.
const ERROR_TAIL: usize = 600;
/// Variables of ours that no child inherits: each gets what its call names and nothing else.
const OUR_VARIABLES: &str = "CHANCERY_";
/// The variable that carries the passphrase of the organisation's folder.
pub(crate) const PASSPHRASE: &str = "CHANCERY_PASSPHRASE";

/// Why the story stopped, in words for a person.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }

    /// Names the thing that an operation on a file or process failed on.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A call of the command: what is executed, and how it is written in the transcript.
#[derive(Debug, Default)]
pub(crate) struct Call {
    args: Vec<OsString>,
    shown: Vec<String>,
    passphrase: Option<String>,
}

impl Call {
    pub(crate) fn new(words: &[&str]) -> Self {
        words.iter().fold(Self::default(), |call, word| call.arg(word))
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, word: &str) -> Self {
        self.shown.push(quoted(word));
        self.quiet(word)
    }

    /// Adds an argument that the transcript leaves out.
    pub(crate) fn quiet(mut self, word: impl Into<OsString>) -> Self {
        self.args.push(word.into());
        self
    }

    /// Adds an option with a path, which the transcript shows by `name`.
    pub(crate) fn path(mut self, option: &str, path: &Path, name: &str) -> Self {
        self.shown.push(option.into());
        self.shown.push(quoted(name));
        self.quiet(option).quiet(path)
    }

    /// Adds an option with a path that the transcript leaves out.
    pub(crate) fn quiet_path(self, option: &str, path: &Path) -> Self {
        self.quiet(option).quiet(path)
    }

    /// Gives the child the passphrase of the organisation's folder, in its environment.
    pub(crate) fn passphrase(mut self, passphrase: &str) -> Self {
        self.passphrase = Some(passphrase.into());
        self
    }

    /// The line that somebody would type.
    pub(crate) fn shown(&self) -> String {
        let mut line = String::from("chancery");
        for word in &self.shown {
            line.push(' ');
            line.push_str(word);
        }
        line
    }

    fn start(&self, program: &Path, log: &Path) -> Result<Child, Failure> {
        let on_log = |error: std::io::Error| Failure::io(log.display(), &error);
        let errors = File::options().create(true).append(true).open(log).map_err(on_log)?;
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with(OUR_VARIABLES) {
                command.env_remove(name);
            }
        }
        if let Some(passphrase) = &self.passphrase {
            command.env(PASSPHRASE, passphrase);
        }
        command.args(&self.args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
        command.spawn().map_err(|error| Failure::io(program.display(), &error))
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.into() } else { format!("\"{word}\"") }
}

/// A running child; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    shown: String,
    log: PathBuf,
    log_from: u64,
}

/// What an ended child printed.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit code; [`SIGNALLED`] if it was killed.
    pub(crate) code: i32,
    pub(crate) lines: Vec<Value>,
    /// The code in the error object that it printed with `--json`; empty if there is none.
    pub(crate) error: String,
}

impl Running {
    /// Starts a child; its standard error is appended to `log`.
    pub(crate) fn start(program: &Path, call: &Call, log: &Path) -> Result<Self, Failure> {
        let log_from = std::fs::metadata(log).map_or(0, |data| data.len());
        let mut child = call.start(program, log)?;
        let (sender, lines) = mpsc::unbounded_channel();
        let stdout = child.stdout.take();
        let running = Self { child, lines, shown: call.shown(), log: log.into(), log_from };
        if let Some(stdout) = stdout {
            // Ends with the child: its end of the pipe closes.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines() {
                    let Ok(line) = line else { break };
                    if sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        Ok(running)
    }

    /// Waits for a line of which `is_it` holds; lines before it are dropped.
    pub(crate) async fn line_with(
        &mut self,
        is_it: impl Fn(&Value) -> bool,
        deadline: Instant,
    ) -> Result<Value, Failure> {
        loop {
            let line = self.line(deadline).await?;
            if is_it(&line) {
                return Ok(line);
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Returns the next line that it prints, which must come before `deadline`.
    pub(crate) async fn line(&mut self, deadline: Instant) -> Result<Value, Failure> {
        match timeout_at(deadline, self.lines.recv()).await {
            Ok(Some(line)) => self.parse(&line),
            Ok(None) => Err(Failure::new(format!("`{}` ended too early{}", self.shown, self.complaint()))),
            Err(_) => Err(Failure::new(format!("`{}` is silent{}", self.shown, self.complaint()))),
        }
    }

    /// Waits for its end.
    pub(crate) async fn finish(mut self, deadline: Instant) -> Result<Finished, Failure> {
        let mut lines = Vec::new();
        loop {
            match timeout_at(deadline, self.lines.recv()).await {
                Ok(Some(line)) => lines.push(self.parse(&line)?),
                Ok(None) => break,
                Err(_) => return Err(self.overdue()),
            }
        }
        let status = self.status(deadline).await?;
        let error = error_code(&self.log, self.log_from);
        Ok(Finished { code: status.code().unwrap_or(SIGNALLED), lines, error })
    }

    /// Waits for its end, which must come within [`COMMAND`] and with one of the exit codes `codes`.
    async fn finish_with(self, codes: &[i32]) -> Result<Finished, Failure> {
        let (shown, log, log_from) = (self.shown.clone(), self.log.clone(), self.log_from);
        let finished = self.finish(within(COMMAND)).await?;
        if codes.contains(&finished.code) {
            return Ok(finished);
        }
        let code = finished.code;
        Err(Failure::new(format!("`{shown}` ended with {code}{}", complaint(&log, log_from))))
    }

    async fn status(&mut self, deadline: Instant) -> Result<ExitStatus, Failure> {
        loop {
            let state = self.child.try_wait().map_err(|error| Failure::io(&self.shown, &error))?;
            if let Some(status) = state {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(self.overdue());
            }
            sleep(POLL).await;
        }
    }

    fn overdue(&self) -> Failure {
        Failure::new(format!("`{}` does not end{}", self.shown, self.complaint()))
    }

    fn parse(&self, line: &str) -> Result<Value, Failure> {
        serde_json::from_str(line)
            .map_err(|_| Failure::new(format!("`{}` printed what is not JSON: {line}", self.shown)))
    }

    /// The end of what it wrote to standard error.
    fn complaint(&self) -> String {
        complaint(&self.log, self.log_from)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a call to its end, which must come in time and with one of the exit codes `codes`.
pub(crate) async fn run(program: &Path, call: &Call, log: &Path, codes: &[i32]) -> Result<Finished, Failure> {
    Running::start(program, call, log)?.finish_with(codes).await
}

/// Runs calls, each with its log, as [`run`] does, `at_once` of them at the same time; the results are in their order.
pub(crate) async fn run_all(
    program: &Path,
    calls: &[(Call, PathBuf)],
    codes: &[i32],
    at_once: usize,
) -> Result<Vec<Finished>, Failure> {
    let mut running = VecDeque::new();
    let mut finished = Vec::with_capacity(calls.len());
    for (call, log) in calls {
        if running.len() >= at_once
            && let Some(first) = running.pop_front()
        {
            finished.push(Running::finish_with(first, codes).await?);
        }
        running.push_back(Running::start(program, call, log)?);
    }
    for last in running {
        finished.push(last.finish_with(codes).await?);
    }
    Ok(finished)
}

/// The moment at which a wait of this length ends.
pub(crate) fn within(wait: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(wait).unwrap_or(now)
}

/// A field of an object that a child printed; null if there is none.
pub(crate) fn field<'a>(object: &'a Value, key: &str) -> &'a Value {
    object.get(key).unwrap_or(&Value::Null)
}

fn complaint(log: &Path, from: u64) -> String {
    let written = read_from(log, from).unwrap_or_default();
    let tail = written.get(written.len().saturating_sub(ERROR_TAIL)..).unwrap_or_default();
    let text = String::from_utf8_lossy(tail);
    if text.trim().is_empty() { String::new() } else { format!("; it said: {}", text.trim()) }
}

/// The code of the last error object in what it wrote to standard error.
fn error_code(log: &Path, from: u64) -> String {
    let written = read_from(log, from).unwrap_or_default();
    let objects =
        written.split(|&byte| byte == b'\n').rev().filter_map(|line| serde_json::from_slice(line).ok());
    let code = |object: Value| object.pointer("/error/code").and_then(Value::as_str).map(str::to_owned);
    objects.filter_map(code).next().unwrap_or_default()
}

fn read_from(path: &Path, from: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Seek as _;
    let mut file = File::open(path)?;
    file.seek(std::io::SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_transcript_shows_what_a_person_would_type() {
        let call = Call::new(&["send", "bob", "good morning"])
            .path("--file", Path::new("/tmp/x/README.md"), "README.md")
            .quiet("--json")
            .quiet_path("--home", Path::new("/tmp/x"));
        assert_eq!(call.shown(), "chancery send bob \"good morning\" --file README.md");
        assert_eq!(call.args.len(), 8);
    }
}
