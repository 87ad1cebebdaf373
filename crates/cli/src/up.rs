//! `chancery up`: relay and desk as two processes, for a trial or a small company.
//!
//! The relay's process is given the public folder and its own, and no passphrase. The desk's process gets the
//! passphrase through a pipe. Both end when their stdin does, so that neither outlives this process, however
//! it ends.

use std::ffi::OsString;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chancery::organisation::{self, PUBLIC, RelayAddress};
use chancery::{Error, ErrorCode, KeySource};
use chancery_crypto::secret::SecretBytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing_subscriber::filter::LevelFilter;

use crate::args::UpArgs;
use crate::failure::{Failure, Report, system};
use crate::key::{Purpose, VARIABLE};
use crate::output::Output;
use crate::stop::Stop;
use crate::text::{hex, parse_pin};

/// How long a process may take until it is ready.
const START: Duration = Duration::from_secs(30);
/// How long a process may take to end by itself.
const END: Duration = Duration::from_secs(5);

pub(crate) async fn run(args: &UpArgs, log: LevelFilter, output: Output) -> Result<(), Failure> {
    let stop = Stop::listen(false)?;
    let recorded = organisation::relay(&args.org.dir)?;
    let listen = listen_address(args, recorded.as_ref())?;
    let key = args.org.key.source(Purpose::Open)?;
    let mut relay = Process::start(Role::Relay, relay_arguments(args, listen), log, None).await?;
    let mut desk = None;
    let result = tokio::select! {
        () = stop.wait() => Ok(()),
        result = work(args, &key, log, output, (&mut relay, &mut desk)) => result,
    };
    // The desk first: it is the relay's client.
    if let Some(desk) = desk {
        desk.end().await;
    }
    relay.end().await;
    result
}

async fn work(
    args: &UpArgs,
    key: &KeySource,
    log: LevelFilter,
    output: Output,
    (relay, desk): (&mut Process, &mut Option<Process>),
) -> Result<(), Failure> {
    let ready = relay.ready().await?;
    record(args, key, &ready).await?;
    print(output, Role::Relay, &ready)?;
    let desk = desk.insert(Process::start(Role::Desk, desk_arguments(args), log, Some(key)).await?);
    let ready = tokio::select! {
        ready = desk.ready() => ready?,
        failure = relay.died() => return failure,
    };
    print(output, Role::Desk, &ready)?;
    tokio::select! {
        result = relay.died() => result,
        result = desk.died() => result,
    }
}

/// The address to listen on: with port 0 the one of before, since enrolled members know no other.
fn listen_address(args: &UpArgs, recorded: Option<&RelayAddress>) -> Result<SocketAddr, Failure> {
    let mut listen = args.listening.listen;
    if listen.ip().is_unspecified() && args.url.is_none() && recorded.is_none() {
        let text = "members cannot reach an unspecified address; name the relay's with --url wss://host:port";
        return Err(Error::with(ErrorCode::Usage, text).into());
    }
    if listen.port() == 0 {
        let port =
            recorded.and_then(|relay| relay.url.rsplit_once(':')).and_then(|(_, port)| port.parse().ok());
        listen.set_port(port.unwrap_or(0));
    }
    Ok(listen)
}

fn relay_arguments(args: &UpArgs, listen: SocketAddr) -> Vec<OsString> {
    let listening = &args.listening;
    let mut arguments = vec!["relay".into(), "--org".into(), args.org.dir.join(PUBLIC).into()];
    arguments.extend(["--data".into(), listening.data.clone().into()]);
    arguments.extend(["--listen".into(), listen.to_string().into()]);
    for (option, path) in [("--cert", &listening.cert), ("--key", &listening.key)] {
        if let Some(path) = path {
            arguments.extend([option.into(), path.clone().into()]);
        }
    }
    arguments
}

fn desk_arguments(args: &UpArgs) -> Vec<OsString> {
    let mut arguments = vec!["org".into(), "serve".into(), "--dir".into(), args.org.dir.clone().into()];
    if let Some(path) = &args.org.key.key_file {
        arguments.extend(["--key-file".into(), path.clone().into()]);
    }
    arguments
}

/// Records the relay's address, pin and log key if they are not the ones of before.
async fn record(args: &UpArgs, key: &KeySource, ready: &Value) -> Result<(), Failure> {
    let text = |field: &str| ready.get(field).and_then(Value::as_str).unwrap_or_default();
    let recorded = organisation::relay(&args.org.dir)?;
    let hash = |field: &str| parse_pin(text(field)).map_err(|_| ErrorCode::Internal);
    let (pin, log_key) = (hash("pin")?, hash("log_key")?);
    let url = match (&args.url, &recorded) {
        (Some(url), _) => url.clone(),
        // What listens everywhere is reached under the name that was recorded.
        (None, Some(relay)) if args.listening.listen.ip().is_unspecified() => relay.url.clone(),
        (None, _) => text("url").to_owned(),
    };
    if recorded.is_some_and(|relay| (relay.url == url && relay.pin == pin) && relay.log_key == log_key) {
        return Ok(());
    }
    let (dir, near) = (&args.org.dir, reachable(text("listen")).ok_or(ErrorCode::Internal)?);
    let log_key = organisation::fetch_log_key(dir, &near, &pin, Some(&log_key)).await?;
    Ok(organisation::record_relay(dir, key, &url, &pin, &log_key)?)
}

/// Where this machine reaches a relay of its own; what members use may not lead back here.
fn reachable(listen: &str) -> Option<String> {
    let mut listen: SocketAddr = listen.parse().ok()?;
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    Some(format!("wss://{listen}"))
}

fn print(output: Output, role: Role, ready: &Value) -> Result<(), Failure> {
    let text = |field: &str| ready.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    output.result(ready, || format!("{} ready: {} pin {}", role.name(), text("url"), text("pin")))
}

/// Which of the two.
#[derive(Debug, Clone, Copy)]
enum Role {
    Relay,
    Desk,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Desk => "desk",
        }
    }

    /// The failure if the process ends and does not say why: starting again may help.
    fn lost(self) -> Failure {
        let code = match self {
            Self::Relay => ErrorCode::RelayUnreachable,
            Self::Desk => ErrorCode::DeskUnavailable,
        };
        Error::with(code, format!("the {}'s process ended", self.name())).into()
    }
}

/// A child process of this same program.
struct Process {
    role: Role,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Lines<BufReader<ChildStdout>>,
    errors: JoinHandle<Option<Report>>,
}

impl Process {
    async fn start(
        role: Role,
        arguments: Vec<OsString>,
        log: LevelFilter,
        key: Option<&KeySource>,
    ) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| system(&error, "this program"))?;
        let mut command = Command::new(program);
        command.args(arguments).args(["--json", "--supervised", "--log", &log.to_string()]);
        command.env_remove(VARIABLE).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| system(&error, role.name()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(ErrorCode::Internal.into());
        };
        let stdin = hand_over(stdin, key).await?;
        let errors = tokio::spawn(forward(stderr));
        Ok(Self { role, child, stdin: Some(stdin), stdout: BufReader::new(stdout).lines(), errors })
    }

    /// Waits for the line that says that the process is ready.
    async fn ready(&mut self) -> Result<Value, Failure> {
        loop {
            let line = timeout(START, self.stdout.next_line()).await.map_err(|_| self.role.lost())?;
            let Ok(Some(line)) = line else {
                self.died().await?;
                return Err(self.role.lost());
            };
            match serde_json::from_str::<Value>(&line) {
                Ok(value) if value.get("event").is_some_and(|event| event == "ready") => return Ok(value),
                _ => {}
            }
        }
    }

    /// Waits for the process's end, and returns its reason.
    async fn died(&mut self) -> Result<(), Failure> {
        let status = self.child.wait().await;
        let report = timeout(END, &mut self.errors).await.ok().and_then(Result::ok).flatten();
        self.reason(status.ok(), report)
    }

    fn reason(&self, status: Option<ExitStatus>, report: Option<Report>) -> Result<(), Failure> {
        let code = status.and_then(|status| status.code());
        match (code, report) {
            // Somebody asked it to end, and with it all of this.
            (Some(0), _) => Ok(()),
            (Some(code), Some(report)) => Err(Failure::Reported(report, u8::try_from(code).unwrap_or(1))),
            _ => Err(self.role.lost()),
        }
    }

    /// Asks the process to end, and ends it if it does not.
    async fn end(mut self) {
        drop(self.stdin.take());
        if timeout(END, self.child.wait()).await.is_err() {
            tracing::warn!(role = self.role.name(), "ended by force");
            let _ = self.child.kill().await;
        }
    }
}

/// Writes the passphrase, if that is the key, where nobody else can read it.
async fn hand_over(mut stdin: ChildStdin, key: Option<&KeySource>) -> Result<ChildStdin, Failure> {
    if let Some(KeySource::Passphrase(passphrase)) = key {
        let line = SecretBytes::new(format!("{}\n", hex(passphrase.expose())).into_bytes());
        stdin.write_all(line.expose()).await.map_err(|_| Role::Desk.lost())?;
        stdin.flush().await.map_err(|_| Role::Desk.lost())?;
    }
    Ok(stdin)
}

/// Passes on what the process says, and keeps its error for this process to end with.
async fn forward(stderr: ChildStderr) -> Option<Report> {
    let mut lines = BufReader::new(stderr).lines();
    let mut report = None;
    while let Ok(Some(line)) = lines.next_line().await {
        match read_report(&line) {
            Some(found) => report = Some(found),
            None => {
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        }
    }
    report
}

fn read_report(line: &str) -> Option<Report> {
    let value: Value = serde_json::from_str(line).ok()?;
    let error = value.get("error")?;
    Some(Report {
        code: error.get("code")?.as_str()?.to_owned(),
        message: error.get("message")?.as_str()?.to_owned(),
        retry: error.get("retry")?.as_bool()?,
        cause: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_that_listens_everywhere_is_asked_on_this_machine() {
        let reached = |listen: &str| reachable(listen).unwrap();
        assert_eq!(reached("0.0.0.0:7443"), "wss://127.0.0.1:7443");
        assert_eq!(reached("[::]:7443"), "wss://[::1]:7443");
        assert_eq!(reached("192.0.2.1:7443"), "wss://192.0.2.1:7443");
        assert_eq!(reachable("somewhere"), None);
    }
}
