//! How fast, and how large, are the programs as they run? In milliseconds, in syncs of the same disk, in MiB.
//!
//! Measures `chancery` and `chancery-relay` as `cargo build --release` made them, or those in
//! `CHANCERY_BIN_DIR`. `CHANCERY_BENCH_MIB` is the size of the attachment (300).
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a measurement"
)]

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use chancery::{Client, Event, Happening, read_key_file};
use serde_json::Value;
use tempfile::TempDir;

/// Syncs that are measured.
const SYNCS: usize = 50;
/// Starts of a command that are measured.
const STARTS: usize = 20;
/// Texts between two running clients that are measured.
const TEXTS: usize = 100;
/// How long a process is idle before its memory is read.
const IDLE: Duration = Duration::from_secs(5);
/// Between two texts, so that what the first leaves to do does not count for the second.
const PAUSE: Duration = Duration::from_millis(30);
/// How often the memory of a process that ends by itself is read.
const SAMPLE: Duration = Duration::from_millis(5);
/// MiB of the attachment, unless told otherwise.
const ATTACHMENT: u64 = 300;
const MIB: u64 = 1 << 20;

fn main() {
    let Some(programs) = Programs::find() else { return };
    // Beside the programs, not in /tmp, which may be no disk.
    let folder = tempfile::tempdir_in(&programs.0).unwrap();
    let sync = sync_of_the_disk(folder.path());
    println!("{:<52} {:>9.2} ms", "one sync of the disk after 4 KiB, median of 50", sync);
    let mut office = Office::open(programs, folder);
    starts(&mut office, sync);
    idle(&office);
    texts(&office, sync);
    attachment(&mut office, sync);
}

/// Where the programs are.
struct Programs(PathBuf);

impl Programs {
    fn find() -> Option<Self> {
        let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.to_path_buf());
        let folder = std::env::var_os("CHANCERY_BIN_DIR").map(PathBuf::from).or_else(beside)?;
        for program in ["chancery", "chancery-relay"] {
            if !folder.join(program).exists() {
                eprintln!(
                    "nothing is measured: there is no {program} in {}; first: \
                     cargo build --release -p chancery-cli -p chancery-relay-server",
                    folder.display()
                );
                return None;
            }
        }
        std::path::absolute(folder).ok().map(Self)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.join(program));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        for variable in ["CHANCERY_PASSPHRASE", "CHANCERY_HOME", "CHANCERY_LOG"] {
            command.env_remove(variable);
        }
        command
    }
}

/// A process and what it prints; ended on drop.
struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the process has ended")
    }

    /// A figure of `/proc/PID/status` in MiB; `None` once the process has ended, or where there is no such file.
    fn memory(&self, figure: &str) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(figure))?;
        let kib: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An organisation with a relay and two members, alice and bob, who have key files.
struct Office {
    // Before the folder: fields drop in order.
    relay: Option<Running>,
    programs: Programs,
    address: String,
    folder: TempDir,
}

impl Office {
    fn open(programs: Programs, folder: TempDir) -> Self {
        let mut office = Self { relay: None, programs, address: "127.0.0.1:0".into(), folder };
        let (org, key) = (office.at("org"), office.at("org.key"));
        let fixed = ["--dir", &org, "--key-file", &key];
        office.chancery(&[&["org", "init", "--name", "Acme"][..], &fixed].concat());
        let ready = office.start_relay();
        office.address = ready["listen"].as_str().unwrap().into();
        let (url, pin) = (ready["url"].as_str().unwrap(), ready["pin"].as_str().unwrap());
        office.chancery(&[&["org", "relay", url, "--pin", pin][..], &fixed].concat());
        let desk = [&["org", "serve", "--json"][..], &fixed].concat();
        let mut desk = Running::start(office.programs.command("chancery", &desk));
        desk.line();
        for who in ["alice", "bob"] {
            let invited = office.chancery(&[&["org", "invite", who][..], &fixed].concat());
            office.member(who, &["enroll", invited["link"].as_str().unwrap()]);
        }
        // A conversation that has begun: what is measured is everyday.
        for (from, to) in [("alice", "bob"), ("bob", "alice"), ("alice", "bob")] {
            office.member(from, &["send", to, "hello"]);
            office.member(to, &["receive"]);
        }
        office
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn start_relay(&mut self) -> Value {
        let (public, data) = (self.at("org/public"), self.at("data"));
        let serve =
            ["--org", &public, "--data", &data, "--listen", &self.address, "--json", "--log", "error"];
        let mut relay = Running::start(self.programs.command("chancery-relay", &serve));
        let ready = relay.line();
        self.relay = Some(relay);
        ready
    }

    fn relay(&self) -> &Running {
        self.relay.as_ref().unwrap()
    }

    /// Runs a command that succeeds, and returns the one line that it prints.
    fn chancery(&self, arguments: &[&str]) -> Value {
        let arguments = [arguments, &["--json"]].concat();
        let output = self.programs.command("chancery", &arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn words(&self, who: &str, arguments: &[&str]) -> Command {
        let (home, key) = (self.at(who), self.at(&format!("{who}.key")));
        let fixed = ["--home", &home, "--key-file", &key, "--json"];
        self.programs.command("chancery", &[arguments, &fixed].concat())
    }

    /// Lets what waits be sent and taken.
    fn catch_up(&self) {
        for who in ["alice", "bob"] {
            assert!(self.words(who, &["receive"]).output().unwrap().status.success());
        }
    }

    fn member(&self, who: &str, arguments: &[&str]) -> Value {
        let output = self.words(who, arguments).output().unwrap();
        assert!(output.status.success(), "{who}: {arguments:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

fn report(what: &str, time: f64, sync: f64, wanted: &str) {
    println!("{what:<52} {time:>9.2} ms {:>7.2} syncs   {wanted}", time / sync);
}

/// What a commit at least costs here.
fn sync_of_the_disk(folder: &Path) -> f64 {
    let mut file = File::create(folder.join("sync")).unwrap();
    let once = |_| {
        file.write_all(&[7; 4096]).unwrap();
        let begun = Instant::now();
        file.sync_all().unwrap();
        millis(begun)
    };
    median((0..SYNCS).map(once).collect())
}

/// From the start of a command to the first byte that arrives where the relay should be.
fn starts(office: &mut Office, sync: f64) {
    office.relay = None;
    let stand_in = StandIn::listen(&office.address);
    let first_byte = |arguments: &[&str]| {
        let begun = Instant::now();
        let mut child = office.words("alice", arguments).stderr(Stdio::null()).spawn().unwrap();
        let first = stand_in.first.recv().unwrap();
        // It ends by itself, so that its store is left as everyday leaves it.
        child.wait().unwrap();
        while stand_in.first.try_recv().is_ok() {}
        first.duration_since(begun).as_secs_f64() * 1000.0
    };
    let receive = median((0..STARTS).map(|_| first_byte(&["receive"])).collect());
    let what = "receive: start to first byte sent (no commit)";
    report(what, receive, sync, "wanted: < 50 ms");
    let send = median((0..STARTS).map(|_| first_byte(&["send", "bob", "hello"])).collect());
    report("send: start to first byte sent", send, sync, "");
    report("send: the same without its commit (1 sync)", send - sync, sync, "wanted: < 50 ms");
    drop(stand_in);
    office.start_relay();
    office.catch_up();
}

/// What listens where the relay should be, and hangs up at the first byte.
struct StandIn {
    first: mpsc::Receiver<Instant>,
    address: String,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    fn listen(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let (sender, first) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let (mut stream, _) = listener.accept().unwrap();
                if stream.read_exact(&mut [0]).is_ok() {
                    let _ = sender.send(Instant::now());
                }
            }
        });
        Self { first, address: address.into(), stop, thread: Some(thread) }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Resident memory of those who wait.
fn idle(office: &Office) {
    let followers = ["alice", "bob"].map(|who| Running::start(office.words(who, &["receive", "--follow"])));
    std::thread::sleep(IDLE);
    let show = |what: &str, process: &Running, most: f64| match process.memory("VmRSS") {
        Some(mib) => println!("{what:<52} {mib:>9.1} MiB                wanted: < {most} MiB"),
        None => println!("{what:<52}       not known on this system"),
    };
    show("idle client, receive --follow, resident", &followers[0], 25.0);
    show("idle relay with two clients, resident", office.relay(), 30.0);
}

/// From `Client::send` to the event at the recipient, in two clients of this process.
fn texts(office: &Office, sync: f64) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (delivered, accepted) = runtime.block_on(async {
        let client = |who: &str| {
            let key = read_key_file(office.at(&format!("{who}.key"))).unwrap();
            Client::open(Path::new(&office.at(who)), &key).unwrap()
        };
        let (alice, bob) = (client("alice"), client("bob"));
        for client in [&alice, &bob] {
            let client = client.clone();
            tokio::spawn(async move { client.follow(std::future::pending()).await });
        }
        // The first few find no connection open.
        for number in 0..5 {
            text(&alice, &bob, &format!("warm {number}")).await;
        }
        let mut times = (Vec::new(), Vec::new());
        for number in 0..TEXTS {
            let (delivered, accepted) = text(&alice, &bob, &format!("text {number}")).await;
            times.0.push(delivered);
            times.1.push(accepted);
        }
        times
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    let wanted = format!("wanted: < {:.2} ms (3 syncs + 5 ms)", 3.0 * sync + 5.0);
    report("text to a running client, median of 100", median(delivered.clone()), sync, &wanted);
    let (mut sorted, what) = (delivered, "the same, the slowest but five");
    sorted.sort_by(f64::total_cmp);
    report(what, sorted[TEXTS - 6], sync, "");
    report("text accepted by the relay, median of 100", median(accepted), sync, "");
}

fn says(event: &Event, text: &str) -> bool {
    matches!(&event.happening, Happening::Message(message) if message.text.as_deref() == Some(text))
}

/// Sends a text; returns how long it took to arrive, and until the relay had it.
async fn text(from: &Client, to: &Client, text: &str) -> (f64, f64) {
    tokio::time::sleep(PAUSE).await;
    let mut changes = to.changes();
    changes.mark_unchanged();
    let begun = Instant::now();
    let sending = async {
        from.send("bob", text, &[], Duration::from_secs(30)).await.unwrap();
        millis(begun)
    };
    let arriving = async {
        loop {
            changes.changed().await.unwrap();
            let events = to.events().await.unwrap();
            if let Some(event) = events.iter().find(|event| says(event, text)) {
                break (millis(begun), event.number);
            }
        }
    };
    let (accepted, (delivered, number)) = tokio::join!(sending, arriving);
    to.take_events(number).await.unwrap();
    (delivered, accepted)
}

/// A large file: seconds, and the largest memory of each process.
fn attachment(office: &mut Office, sync: f64) {
    let mib = std::env::var("CHANCERY_BENCH_MIB").ok().and_then(|mib| mib.parse().ok()).unwrap_or(ATTACHMENT);
    let source = office.folder.path().join("attachment.bin");
    let begun = Instant::now();
    write_file(&source, mib);
    let plain = millis(begun);
    report(&format!("writing and syncing {mib} MiB, for comparison"), plain, sync, "");
    // A fresh relay, so that its peak is this one's.
    office.relay = None;
    office.start_relay();
    let downloads = office.at("downloads");
    let mut receiver = Running::start(office.words("bob", &["receive", "--follow", "--save", &downloads]));
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let send = office.words("alice", &["send", "bob", "large", "--file", source.to_str().unwrap()]);
    let mut sender = Running::start(send);
    let mut peak = None;
    while sender.child.try_wait().unwrap().is_none() {
        peak = sender.memory("VmHWM").or(peak);
        std::thread::sleep(SAMPLE);
    }
    assert_eq!(sender.line()["state"], "sent");
    let sent = millis(begun);
    let received = receiver.line();
    let all = millis(begun);
    let times = |what: &str, time: f64| {
        let rate = mib as f64 / time * 1000.0;
        println!(
            "{what:<52} {:>9.2} s  {:>7.1} MiB/s   {:.1} times the plain file",
            time / 1000.0,
            rate,
            time / plain
        );
    };
    times(&format!("{mib} MiB: sent"), sent);
    times(&format!("{mib} MiB: received after that"), all - sent);
    for (what, peak) in
        [("sender", peak), ("relay", office.relay().memory("VmHWM")), ("recipient", receiver.memory("VmHWM"))]
    {
        let peak = peak.map_or("not known".into(), |peak| format!("{peak:.1} MiB"));
        println!(
            "{:<52} {peak:>13}                wanted: < 64 MiB",
            format!("{mib} MiB: peak memory of the {what}")
        );
    }
    let saved = received["files"][0]["path"].as_str().expect("the file was saved");
    assert!(equal(&source, Path::new(saved)), "the file has other contents");
}

/// Writes what does not compress and does not repeat.
fn write_file(path: &Path, mib: u64) {
    let mut file = File::create(path).unwrap();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..mib * (MIB / 4096) {
        let mut block = [0; 4096];
        for word in block.chunks_exact_mut(8) {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block).unwrap();
    }
    file.sync_all().unwrap();
}

fn equal(a: &Path, b: &Path) -> bool {
    let (mut a, mut b) = (File::open(a).unwrap(), File::open(b).unwrap());
    let length = a.metadata().unwrap().len();
    if b.metadata().unwrap().len() != length {
        return false;
    }
    let (mut left, mut right) = (vec![0; 65_536], vec![0; 65_536]);
    let mut rest = usize::try_from(length).unwrap();
    while rest > 0 {
        let len = rest.min(left.len());
        a.read_exact(&mut left[..len]).unwrap();
        b.read_exact(&mut right[..len]).unwrap();
        if left[..len] != right[..len] {
            return false;
        }
        rest -= len;
    }
    true
}
