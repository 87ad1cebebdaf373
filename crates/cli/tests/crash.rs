//! Processes are killed at random moments under traffic: what was acknowledged arrives, once and in order.
//!
//! `CHANCERY_KILLS` is the number of kills (12 unless set); `SEED` repeats the choices of an earlier run, as far
//! as the system's scheduling lets it.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    reason = "a test"
)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "commands/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use serde_json::Value;

use support::{Company, Daemon, Outcome, chancery, start_relay, string};

const PEOPLE: [&str; 2] = ["alice", "bob"];
/// Kills unless `CHANCERY_KILLS` says otherwise.
const KILLS: u64 = 12;
/// Every such message has a file.
const FILE_EVERY: u64 = 6;
/// Largest file: three parts on the wire.
const LARGEST: u64 = 700_000;
/// How long the last messages may take once nobody is killed any more.
const SETTLE: Duration = Duration::from_secs(90);
/// Attempts to get the relay's port back, which another program may hold for a moment.
const REBINDS: u32 = 20;

#[test]
fn what_was_acknowledged_survives_kills_once_and_in_order() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(time_seed);
    let kills = std::env::var("CHANCERY_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    println!("SEED={seed} CHANCERY_KILLS={kills}");
    let mut dice = Dice::new(seed);
    let mut stage = Stage::open(seed);
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let done = thread::scope(|scope| {
        // A panic below must end the senders, or the scope waits for ever; and theirs must end this.
        let _end = RaiseOnDrop(&stop);
        for sender in &stage.senders.clone() {
            let (sender, stop) = (Arc::clone(sender), &stop);
            scope.spawn(move || sender.talk(stop));
        }
        (0..kills).fold(Kills::default(), |mut done, round| {
            assert!(!stop.load(Ordering::Relaxed), "a sender has given up");
            stage.strike(round, &mut dice, &mut done, &stop);
            done
        })
    });
    let killed = begun.elapsed();
    stage.settle();
    let count = stage.verdict();
    println!("{done:?} in {killed:.1?}; {count:?}; settled after {:.1?}", begun.elapsed() - killed);
    assert_eq!(done.total(), kills);
}

fn time_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos() % 1_000_000_007).unwrap()
}

struct Dice(Box<dyn CryptoRng + Send>);

impl Dice {
    fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self(Box::new(seeded(bytes)))
    }

    /// A number below `bound`.
    fn roll(&mut self, bound: u64) -> u64 {
        u64::from_be_bytes(random_bytes(&mut *self.0)) % bound
    }

    fn pause(&mut self, most_ms: u64) {
        thread::sleep(Duration::from_millis(self.roll(most_ms)));
    }
}

struct RaiseOnDrop<'a>(&'a AtomicBool);

impl Drop for RaiseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Who was killed how often.
#[derive(Debug, Default)]
struct Kills {
    relay: u64,
    followers: u64,
    sends: u64,
}

impl Kills {
    const fn total(&self) -> u64 {
        self.relay + self.followers + self.sends
    }
}

/// What the verdict counted.
#[derive(Debug, Default)]
struct Count {
    messages: usize,
    sent: usize,
    queued: usize,
    killed_but_stored: usize,
    killed_before_stored: usize,
    files: usize,
    lines_repeated: usize,
}

/// A company in which two members talk.
struct Stage {
    company: Company,
    senders: Vec<Arc<Sender>>,
    followers: Vec<Follower>,
}

impl Stage {
    fn open(seed: u64) -> Self {
        let company = Company::open();
        let members: BTreeMap<&str, String> =
            PEOPLE.iter().map(|who| (*who, string(&company.member(who)["member"]))).collect();
        company.learn_directory("alice");
        let senders = [("alice", "bob"), ("bob", "alice")].map(|(from, to)| {
            let words = company.words(from, &["send", to]);
            let folder = company.path(&format!("{from}-files"));
            std::fs::create_dir(&folder).unwrap();
            let member = members[from].clone();
            Arc::new(Sender { from, to, member, words, folder, seed, ..Sender::default() })
        });
        let followers = PEOPLE.map(|who| Follower::start(&company, who));
        Self { company, senders: senders.into(), followers: followers.into() }
    }

    /// Kills one process at a random moment, and starts it again. All kinds have their turns.
    fn strike(&mut self, round: u64, dice: &mut Dice, done: &mut Kills, stop: &AtomicBool) {
        // Short pauses hit processes that have just started.
        match dice.roll(3) {
            0 => dice.pause(100),
            _ => dice.pause(1_000),
        }
        let who = usize::try_from(dice.roll(2)).unwrap();
        match round % 3 {
            0 => {
                self.company.relay.kill();
                dice.pause(500);
                self.restart_relay();
                done.relay += 1;
            }
            1 => {
                self.followers[who].kill();
                dice.pause(200);
                self.followers[who].restart(&self.company);
                done.followers += 1;
            }
            _ => {
                self.senders[who].kill_one(Duration::from_millis(dice.roll(60)), stop);
                done.sends += 1;
            }
        }
    }

    fn restart_relay(&mut self) {
        let (public, data) = (self.company.at("org/public"), self.company.at("data"));
        let address = self.company.url.trim_start_matches("wss://").to_owned();
        for _ in 0..REBINDS {
            let mut relay: Daemon = start_relay(&public, &data, &address);
            if let Some(ready) = relay.try_line() {
                assert_eq!(ready["pin"], self.company.pin.as_str());
                self.company.relay = relay;
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
        panic!("the relay does not start again");
    }

    /// Waits until everything that is stored anywhere has arrived.
    fn settle(&mut self) {
        let end = Instant::now() + SETTLE;
        while self.senders.iter().any(|sender| !self.has_arrived(sender)) {
            assert!(Instant::now() < end, "messages are missing:\n{}", self.report());
            for follower in &mut self.followers {
                follower.must_run();
            }
            thread::sleep(Duration::from_millis(300));
        }
        for (who, follower) in PEOPLE.iter().zip(&mut self.followers) {
            follower.stop();
            // What a killed follower had committed and not printed, and nothing else, is left to print.
            let rest =
                self.company.command(who, &["receive", "--save", &self.company.at(&format!("{who}-in"))]);
            assert_eq!(rest.code, 0, "{rest:?}");
            follower.printed.lock().unwrap().extend(rest.lines);
        }
    }

    fn has_arrived(&self, sender: &Sender) -> bool {
        let own = self.history(sender, sender.from, sender.to);
        let theirs = self.history(sender, sender.to, sender.from);
        own.iter().all(|line| line["state"] == "sent") && own.len() == theirs.len()
    }

    /// What `sender` wrote, as `who` has it.
    fn history(&self, sender: &Sender, who: &str, with: &str) -> Vec<Value> {
        let history = self.company.command(who, &["history", with]);
        assert_eq!(history.code, 0, "{history:?}");
        history.lines.into_iter().filter(|line| line["from"] == sender.member.as_str()).collect()
    }

    fn report(&self) -> String {
        let mut report = String::new();
        for sender in &self.senders {
            let texts = |lines: Vec<Value>| -> Vec<(String, String)> {
                lines.iter().map(|line| (string(&line["text"]), string(&line["state"]))).collect()
            };
            let own = texts(self.history(sender, sender.from, sender.to));
            let theirs = texts(self.history(sender, sender.to, sender.from));
            let have: BTreeSet<&str> = theirs.iter().map(|(text, _)| text.as_str()).collect();
            let missing: Vec<_> = own.iter().filter(|(text, _)| !have.contains(text.as_str())).collect();
            report += &format!("{} to {}: {missing:?}\n", sender.from, sender.to);
        }
        for (who, follower) in PEOPLE.iter().zip(&self.followers) {
            report += &format!("{who}'s follower: {}\n", follower.complaints());
        }
        report
    }

    fn verdict(&self) -> Count {
        let mut count = Count::default();
        for (sender, follower) in self.senders.iter().zip(self.followers.iter().rev()) {
            let own = self.history(sender, sender.from, sender.to);
            let theirs = self.history(sender, sender.to, sender.from);
            let brief = |lines: &[Value]| -> Vec<(String, String)> {
                lines.iter().map(|line| (string(&line["id"]), string(&line["text"]))).collect()
            };
            let (sent, received) = (brief(&own), brief(&theirs));
            assert_eq!(sent, received, "{} to {}", sender.from, sender.to);
            let distinct: BTreeSet<&str> = sent.iter().map(|(id, _)| id.as_str()).collect();
            assert_eq!(distinct.len(), sent.len(), "an identifier stands twice");
            let numbers: Vec<u64> = sent.iter().map(|(_, text)| sender.number(text)).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "out of order or doubled: {numbers:?}");
            sender.compare(&sent, &mut count);
            count.messages += sent.len();
            count.files += theirs.iter().map(|line| sender.check_files(line)).sum::<usize>();
            count.lines_repeated += follower.check_printed(sender, &received);
            let spool = self.company.path(sender.from).join("spool");
            assert_eq!(std::fs::read_dir(spool).unwrap().count(), 0, "killed uploads are left");
        }
        count
    }
}

/// What became of one `send`.
struct Attempt {
    number: u64,
    /// Identifier and state, if it said them.
    reported: Option<(String, String)>,
    killed: bool,
}

/// One person who writes to the other without a pause, a process for each message.
#[derive(Default)]
struct Sender {
    from: &'static str,
    to: &'static str,
    member: String,
    words: Vec<String>,
    folder: std::path::PathBuf,
    seed: u64,
    attempts: Mutex<Vec<Attempt>>,
    /// How long the next process may live, and how many were killed.
    doom: Mutex<Option<Duration>>,
    killed: AtomicU64,
}

impl Sender {
    fn talk(&self, stop: &AtomicBool) {
        let _end = RaiseOnDrop(stop);
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let attempt = self.send(number);
            self.attempts.lock().unwrap().push(attempt);
        }
    }

    fn send(&self, number: u64) -> Attempt {
        let mut words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let text = self.text(number);
        words.insert(2, &text);
        let path = self.folder.join(self.file_name(number));
        if number.is_multiple_of(FILE_EVERY) {
            std::fs::write(&path, self.contents(number)).unwrap();
            words.extend(["--file", path.to_str().unwrap()]);
        }
        let mut command = chancery(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let doom = self.doom.lock().unwrap().take();
        if let Some(life) = doom {
            thread::sleep(life);
            child.kill().unwrap();
        }
        let output = child.wait_with_output().unwrap();
        let killed = output.status.signal() == Some(9);
        if killed {
            self.killed.fetch_add(1, Ordering::Relaxed);
        } else if let Some(life) = doom {
            // It was faster; the next one lives shorter.
            *self.doom.lock().unwrap() = Some(life / 2);
        }
        // A line that was cut was not said.
        let stdout = String::from_utf8_lossy(&output.stdout);
        let line = stdout.ends_with('\n').then(|| serde_json::from_str::<Value>(&stdout).unwrap());
        let reported = line.map(|line| (string(&line["id"]), string(&line["state"])));
        if !killed {
            let outcome = Outcome::of(&output, &words);
            match &reported {
                Some((_, state)) if state == "sent" => assert_eq!(outcome.code, 0, "{outcome:?}"),
                Some((_, state)) if state == "queued" => {
                    // A relay that restarts is one that cannot be reached, whatever it was killed in.
                    assert_eq!(outcome.code, 5, "{outcome:?}");
                    let error = outcome.error.as_ref().unwrap();
                    assert_eq!(error["code"], "queued", "{outcome:?}");
                    let passes = |code: &&chancery::ErrorCode| code.kind() == chancery::ErrorKind::TryLater;
                    let cause = chancery::ErrorCode::ALL.iter().find(|code| error["cause"] == code.name());
                    assert!(cause.is_none_or(|code| passes(&code)), "{outcome:?}");
                }
                _ => panic!("{words:?}: {outcome:?}"),
            }
        }
        Attempt { number, reported, killed }
    }

    /// Has one process killed that lives for `life`, and waits until it is dead.
    fn kill_one(&self, life: Duration, stop: &AtomicBool) {
        let before = self.killed.load(Ordering::Relaxed);
        *self.doom.lock().unwrap() = Some(life);
        while self.killed.load(Ordering::Relaxed) == before {
            assert!(!stop.load(Ordering::Relaxed), "{} sends nothing any more", self.from);
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn text(&self, number: u64) -> String {
        format!("{} to {}, number {number}", self.from, self.to)
    }

    fn number(&self, text: &str) -> u64 {
        let number = text.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!(text, self.text(number));
        number
    }

    fn file_name(&self, number: u64) -> String {
        format!("{}-{number}.bin", self.from)
    }

    /// The same for the same number of the same run.
    fn contents(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::new(self.seed ^ number << 32 ^ self.from.len() as u64);
        let mut contents = vec![0; usize::try_from(dice.roll(LARGEST)).unwrap()];
        dice.0.fill_bytes(&mut contents);
        contents
    }

    /// What was reported is stored, in the order of sending; nothing is stored that was not sent.
    fn compare(&self, sent: &[(String, String)], count: &mut Count) {
        let stored: BTreeMap<u64, &str> =
            sent.iter().map(|(id, text)| (self.number(text), id.as_str())).collect();
        let attempts = self.attempts.lock().unwrap();
        for attempt in attempts.iter() {
            match (&attempt.reported, stored.get(&attempt.number)) {
                (Some((id, state)), found) => {
                    assert_eq!(found, Some(&id.as_str()), "{} was reported", self.text(attempt.number));
                    if state == "sent" { count.sent += 1 } else { count.queued += 1 }
                }
                (None, Some(_)) => count.killed_but_stored += 1,
                (None, None) => count.killed_before_stored += 1,
            }
            assert!(attempt.killed || attempt.reported.is_some());
        }
        assert!(stored.keys().all(|number| attempts.iter().any(|attempt| attempt.number == *number)));
    }

    /// Compares the files of a received message with what was sent; returns how many there are.
    fn check_files(&self, line: &Value) -> usize {
        let number = self.number(line["text"].as_str().unwrap());
        let files = line["files"].as_array().unwrap();
        assert_eq!(files.len(), usize::from(number.is_multiple_of(FILE_EVERY)), "{line}");
        for file in files {
            assert_eq!(file["name"], self.file_name(number).as_str());
            let path = string(&file["path"]);
            assert!(std::fs::read(&path).unwrap() == self.contents(number), "{path} has other contents");
        }
        files.len()
    }
}

/// A `receive --follow` process and all that it and its predecessors printed.
struct Follower {
    who: &'static str,
    child: Child,
    printed: Arc<Mutex<Vec<Value>>>,
    reader: Option<thread::JoinHandle<()>>,
    log: std::path::PathBuf,
}

impl Follower {
    fn start(company: &Company, who: &'static str) -> Self {
        let printed = Arc::default();
        let log = company.path(&format!("{who}.log"));
        let (child, reader) = Self::spawn(company, who, &log, &printed);
        Self { who, child, printed, reader: Some(reader), log }
    }

    fn spawn(
        company: &Company,
        who: &str,
        log: &Path,
        printed: &Arc<Mutex<Vec<Value>>>,
    ) -> (Child, thread::JoinHandle<()>) {
        let words = company.words(who, &["receive", "--follow", "--save", &company.at(&format!("{who}-in"))]);
        let log = File::options().create(true).append(true).open(log).unwrap();
        let mut command = chancery(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let printed = Arc::clone(printed);
        let reader = thread::spawn(move || {
            let mut line = String::new();
            // A line that a kill has cut does not count.
            while stdout.read_line(&mut line).unwrap() > 0 && line.ends_with('\n') {
                printed.lock().unwrap().push(serde_json::from_str(&line).unwrap());
                line.clear();
            }
        });
        (child, reader)
    }

    fn restart(&mut self, company: &Company) {
        let (child, reader) = Self::spawn(company, self.who, &self.log, &self.printed);
        (self.child, self.reader) = (child, Some(reader));
    }

    fn kill(&mut self) {
        self.must_run();
        self.child.kill().unwrap();
        self.ended();
    }

    fn stop(&mut self) {
        self.must_run();
        let stopped = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        assert!(stopped.unwrap().success());
        assert_eq!(self.ended().code(), Some(0), "{}", self.complaints());
    }

    fn ended(&mut self) -> std::process::ExitStatus {
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        status
    }

    /// Only a kill ends a follower, whatever happens to the relay.
    fn must_run(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "{}'s: {}", self.who, self.complaints());
    }

    fn complaints(&self) -> String {
        let mut log = String::new();
        File::open(&self.log).unwrap().read_to_string(&mut log).unwrap();
        let tail = log.lines().rev().take(20).collect::<Vec<_>>();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Every message was printed, perhaps again after a kill; returns how many lines were repeated.
    fn check_printed(&self, sender: &Sender, received: &[(String, String)]) -> usize {
        assert_eq!(self.who, sender.to);
        let printed = self.printed.lock().unwrap();
        // A file that the dead relay could not hand out has a line of its own later.
        let messages = || printed.iter().filter(|line| line["event"] == "message");
        let shown: BTreeMap<&str, &str> =
            messages().map(|line| (line["id"].as_str().unwrap(), line["text"].as_str().unwrap())).collect();
        let stored = received.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
        assert_eq!(shown, stored, "printed and stored differ");
        messages().count() - shown.len()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
