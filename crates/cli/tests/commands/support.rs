//! A company on this machine: a real relay process, a real desk process, and commands as people type them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything in a test may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The command, in a clean environment and with nobody at the terminal.
pub(crate) fn chancery(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chancery"));
    command.args(arguments).stdin(Stdio::null());
    for variable in ["CHANCERY_PASSPHRASE", "CHANCERY_HOME", "CHANCERY_LOG"] {
        command.env_remove(variable);
    }
    command
}

/// Runs a command and takes its exit code, result lines and error object apart.
pub(crate) fn run(arguments: &[&str]) -> Outcome {
    Outcome::of(&chancery(arguments).output().unwrap(), arguments)
}

/// What a command with `--json` said.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) lines: Vec<Value>,
    pub(crate) error: Option<Value>,
}

impl Outcome {
    pub(crate) fn of(output: &Output, arguments: &[&str]) -> Self {
        let stdout = String::from_utf8(output.stdout.clone()).unwrap();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        let lines = stdout
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|_| panic!("{arguments:?} printed {line:?}"))
            })
            .collect();
        let error = stderr.lines().find_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value.get("error").cloned()
        });
        Self { code: output.status.code().unwrap_or(-1), lines, error }
    }

    /// The one result line of a command that succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.code, 0, "{self:?}");
        assert_eq!(self.lines.len(), 1, "{self:?}");
        self.lines.into_iter().next().unwrap()
    }

    /// Checks exit code and error object of a command that failed.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32, name: &str, retry: bool) {
        assert_eq!(self.code, code, "{self:?}");
        let error = self.error.as_ref().unwrap_or_else(|| panic!("no error object: {self:?}"));
        assert_eq!(error["code"], name, "{self:?}");
        assert_eq!(error["retry"], retry, "{self:?}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{self:?}");
    }
}

impl Outcome {
    /// Returns what the error object says to people.
    #[track_caller]
    pub(crate) fn message(&self) -> String {
        string(&self.error.as_ref().unwrap_or_else(|| panic!("no error object: {self:?}"))["message"])
    }

    /// Checks that a message was stored and waits, and is not to be sent again by whoever obeys the error.
    #[track_caller]
    pub(crate) fn is_queued(&self, cause: &str) {
        self.fails(5, "queued", false);
        assert_eq!(self.error.as_ref().unwrap()["cause"], cause, "{self:?}");
        assert_eq!((self.lines.len(), &self.lines[0]["state"]), (1, &Value::from("queued")), "{self:?}");
        assert_eq!(self.lines[0]["waiting"]["cause"], cause, "{self:?}");
    }
}

/// A process that goes on until it is told to end.
pub(crate) struct Daemon {
    child: Child,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Daemon {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(&mut chancery(arguments))
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        Self { child, stdout }
    }

    /// Reads the next line that it prints, within [`PATIENCE`].
    #[track_caller]
    pub(crate) fn line(&mut self) -> Value {
        self.try_line().expect("the process ended")
    }

    /// Reads the two lines that `up` prints: the relay's and the desk's.
    #[track_caller]
    pub(crate) fn both(&mut self) -> [Value; 2] {
        [self.line(), self.line()]
    }

    /// As [`Self::line`]; `None` at the end.
    pub(crate) fn try_line(&mut self) -> Option<Value> {
        let mut stdout = self.stdout.take().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = stdout.read_line(&mut line);
            let _ = sender.send((stdout, read.map(|_| line)));
        });
        let (stdout, line) = receiver.recv_timeout(PATIENCE).expect("no line in time");
        self.stdout = Some(stdout);
        let line = line.unwrap();
        if line.is_empty() { None } else { Some(serde_json::from_str(&line).unwrap()) }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the process does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks for a clean end and checks that it is one.
    #[track_caller]
    pub(crate) fn stop(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.wait().code(), Some(0));
    }

    /// What it said on stderr, which must have been piped, once it has ended.
    pub(crate) fn stderr(&mut self) -> String {
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An organisation with a relay, and a desk where a test wants one.
pub(crate) struct Company {
    pub(crate) folder: TempDir,
    pub(crate) relay: Daemon,
    pub(crate) url: String,
    pub(crate) pin: String,
    pub(crate) log_key: String,
    desk: Option<Daemon>,
}

impl Company {
    /// Founds an organisation and starts its relay and desk.
    pub(crate) fn open() -> Self {
        let mut company = Self::without_desk();
        company.start_desk();
        company
    }

    pub(crate) fn without_desk() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| text(&folder.path().join(name));
        let (org, key, data) = (at("org"), at("org.key"), at("data"));
        let init = ["org", "init", "--name", "Acme", "--dir", &org, "--key-file", &key, "--json"];
        run(&init).ok();
        let public = text(&Path::new(&org).join("public"));
        let mut relay = start_relay(&public, &data, "127.0.0.1:0");
        let ready = relay.line();
        let [url, pin, log_key] = ["url", "pin", "log_key"].map(|field| string(&ready[field]));
        run(&["org", "relay", &url, "--pin", &pin, "--dir", &org, "--key-file", &key, "--json"]).ok();
        Self { folder, relay, url, pin, log_key, desk: None }
    }

    pub(crate) fn start_desk(&mut self) {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let mut desk = Daemon::start(&["org", "serve", "--dir", &org, "--key-file", &key, "--json"]);
        assert_eq!(desk.line()["event"], "ready");
        self.desk = Some(desk);
    }

    pub(crate) fn desk(&mut self) -> &mut Daemon {
        self.desk.as_mut().unwrap()
    }

    /// A path in the company's folder.
    pub(crate) fn at(&self, name: &str) -> String {
        text(&self.folder.path().join(name))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the relay again where it was.
    pub(crate) fn restart_relay(&mut self) {
        let address = self.url.trim_start_matches("wss://").to_owned();
        self.relay = start_relay(&self.at("org/public"), &self.at("data"), &address);
        assert_eq!(self.relay.line()["pin"], self.pin.as_str());
    }

    pub(crate) fn invite(&self, handle: &str) -> String {
        string(&self.invite_with(&[handle]).ok()["link"])
    }

    pub(crate) fn invite_with(&self, arguments: &[&str]) -> Outcome {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let fixed = ["org", "invite", "--dir", &org, "--key-file", &key, "--json"];
        run(&[&fixed, arguments].concat())
    }

    /// Enrols a member in a home of the same name, with a key file beside it.
    pub(crate) fn enroll(&self, handle: &str, link: &str) -> Outcome {
        self.command(handle, &["enroll", link])
    }

    /// Invites and enrols.
    pub(crate) fn member(&self, handle: &str) -> Value {
        self.enroll(handle, &self.invite(handle)).ok()
    }

    /// Lets a member hear of those who enrolled later, without sending anything.
    pub(crate) fn learn_directory(&self, who: &str) {
        let received = self.command(who, &["receive"]);
        assert_eq!((received.code, received.lines.len()), (0, 0), "{received:?}");
    }

    /// Runs a member's command with `--json`.
    pub(crate) fn command(&self, who: &str, arguments: &[&str]) -> Outcome {
        let words = self.words(who, arguments);
        run(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Starts a member's command that goes on.
    pub(crate) fn daemon(&self, who: &str, arguments: &[&str]) -> Daemon {
        let words = self.words(who, arguments);
        Daemon::start(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    pub(crate) fn words(&self, who: &str, arguments: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (home, key) = (self.at(who), self.at(&format!("{who}.key")));
        words.extend(["--home".into(), home, "--key-file".into(), key, "--json".into()]);
        words
    }

    /// The texts of a conversation, oldest first.
    #[track_caller]
    pub(crate) fn texts(&self, who: &str, with: &str) -> Vec<String> {
        let history = self.command(who, &["history", with]);
        assert_eq!(history.code, 0, "{history:?}");
        history.lines.iter().map(|line| string(&line["text"])).collect()
    }
}

pub(crate) fn start_relay(public: &str, data: &str, listen: &str) -> Daemon {
    Daemon::start(&["relay", "--org", public, "--data", data, "--listen", listen, "--json"])
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[track_caller]
pub(crate) fn string(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}")).to_owned()
}
