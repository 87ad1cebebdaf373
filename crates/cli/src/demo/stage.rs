//! The people, the organisation's office and the relay, and what each of them can be made to do.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_crypto::hash::sha256;
use chancery_crypto::rng::{random_bytes, seeded};
use chancery_identity::OrgId;
use serde_json::Value;
use tempfile::TempDir;

use super::checks::Checks;
use super::search::{Found, Markers};
use super::transcript::{Shown, Transcript};
use crate::process::{Call, Failure, Running, field, run, run_all, within};
use crate::text::hex;

/// Time until a relay or desk says that it is ready.
const READY: Duration = Duration::from_secs(20);
/// Time until a message is on a screen; a follower may wait for its next attempt to connect.
const ARRIVAL: Duration = Duration::from_secs(50);
/// What `send --timeout` gets while the relay is down, in seconds.
const PATIENCE: &str = "2";
/// Commands of others at the same time: each waits for the relay most of its time.
const AT_ONCE: usize = 4;
/// Exit codes of the command.
const OK: i32 = 0;
const TRY_LATER: i32 = 5;
/// Every way in which a command may end by itself.
const ANY: [i32; 6] = [OK, 1, 2, 3, 4, TRY_LATER];

/// The people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Alice,
    Bob,
    Carol,
}

impl Who {
    pub(super) const ALL: [Self; 3] = [Self::Alice, Self::Bob, Self::Carol];

    /// The name by which the transcript calls a person.
    pub(super) const fn given(self) -> &'static str {
        match self {
            Self::Alice => "Alice",
            Self::Bob => "Bob",
            Self::Carol => "Carol",
        }
    }

    /// Long enough to be looked for in ciphertext: a short handle would occur by chance.
    pub(super) const fn handle(self) -> &'static str {
        match self {
            Self::Alice => "alice.moreau",
            Self::Bob => "bob.ferreira",
            Self::Carol => "carol.lindqvist",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Alice => "Alice Moreau",
            Self::Bob => "Bob Ferreira",
            Self::Carol => "Carol Lindqvist",
        }
    }

    /// The name for a handle; a handle of nobody here stays as it is.
    fn called(handle: &str) -> &str {
        for who in Self::ALL {
            if who.handle() == handle {
                return who.given();
            }
        }
        handle
    }
}

/// One person's device.
#[derive(Debug)]
pub(super) struct Person {
    folder: PathBuf,
    /// The member identifier that the invitation named.
    pub(super) member: String,
    pub(super) follower: Option<Running>,
    /// What the follower printed, in its order.
    pub(super) arrivals: Vec<Value>,
}

impl Person {
    fn new(dir: &Path, given: &str) -> Self {
        let folder = dir.join("people").join(given.to_lowercase());
        Self { folder, member: String::new(), follower: None, arrivals: Vec::new() }
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("errors.log")
    }

    /// Adds where the person's things are; the transcript leaves it out.
    fn at_home(&self, call: Call) -> Call {
        call.quiet_path("--home", &self.home()).quiet_path("--key-file", &self.key()).quiet("--json")
    }
}

/// A message that was sent: what the checks compare with.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) id: String,
    pub(super) from: Who,
    pub(super) to: Who,
    pub(super) text: String,
    pub(super) files: Vec<Enclosure>,
    /// Whether the relay ran when it was sent.
    pub(super) relay_ran: bool,
    pub(super) outcome: Outcome,
}

/// What `chancery send` said of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The relay has it.
    Taken,
    /// It waits on the sender's disk.
    Queued,
    /// Exit code and state did not go together.
    Contradictory,
}

/// A file of a letter.
#[derive(Debug, Clone)]
pub(super) struct Enclosure {
    pub(super) path: PathBuf,
    pub(super) name: &'static str,
    pub(super) size: u64,
    pub(super) sha256: [u8; 32],
}

/// Where the relay is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) listen: String,
    pub(super) url: String,
    pub(super) pin: String,
    pub(super) log_key: String,
}

/// Everything that runs. Dropping it ends all processes, and then removes the folder: fields drop in order.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) transcript: Transcript,
    pub(super) checks: Checks,
    pub(super) letters: Vec<Letter>,
    pub(super) markers: Markers,
    /// What was readable in the memory of the relay's processes.
    pub(super) relay_memory: Found,
    pub(super) relay: Option<Running>,
    pub(super) desk: Option<Running>,
    people: [Person; 3],
    /// The others, who have no screens: what they are called, and their devices.
    others: Vec<(String, Person)>,
    pub(super) org_id: Option<OrgId>,
    program: PathBuf,
    pub(super) passphrase: String,
    dir: TempDir,
}

impl Stage {
    pub(super) fn new(json: bool) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::io("this program", &error))?;
        let dir = tempfile::Builder::new().prefix("chancery-demo-").tempdir();
        let dir = dir.map_err(|error| Failure::io("temporary directory", &error))?;
        let people = Who::ALL.map(|who| Person::new(dir.path(), who.given()));
        let stage = Self {
            transcript: Transcript::new(json),
            checks: Checks::default(),
            letters: Vec::new(),
            markers: Markers::default(),
            relay_memory: Found::default(),
            relay: None,
            desk: None,
            people,
            others: Vec::new(),
            org_id: None,
            program,
            passphrase: hex(&random::<16>()?),
            dir,
        };
        for folder in [stage.relay_logs(), stage.relay_data(), stage.path("drawer"), stage.path("desktop")] {
            make(&folder)?;
        }
        Ok(stage)
    }

    /// A path inside the demo's folder.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn office(&self) -> PathBuf {
        self.path("office")
    }

    pub(super) fn relay_data(&self) -> PathBuf {
        self.path("relay/data")
    }

    pub(super) fn relay_logs(&self) -> PathBuf {
        self.path("relay/log")
    }

    pub(super) const fn person(&self, who: Who) -> &Person {
        let [alice, bob, carol] = &self.people;
        match who {
            Who::Alice => alice,
            Who::Bob => bob,
            Who::Carol => carol,
        }
    }

    pub(super) const fn person_mut(&mut self, who: Who) -> &mut Person {
        let [alice, bob, carol] = &mut self.people;
        match who {
            Who::Alice => alice,
            Who::Bob => bob,
            Who::Carol => carol,
        }
    }

    /// Runs a command of the organisation's office and returns the object it prints.
    pub(super) async fn office_runs(&self, call: Call) -> Result<Value, Failure> {
        Ok(self.office_lists(call).await?.into_iter().next_back().unwrap_or_default())
    }

    /// Runs a command of the organisation's office and returns all objects that it prints.
    async fn office_lists(&self, call: Call) -> Result<Vec<Value>, Failure> {
        let call = call.path("--dir", &self.office(), "office").quiet("--json").passphrase(&self.passphrase);
        self.transcript.command("Office", &call.shown())?;
        Ok(run(&self.program, &call, &self.path("office.log"), &[OK]).await?.lines)
    }

    /// Starts the enrolment desk and waits until it is ready.
    pub(super) async fn open_desk(&mut self) -> Result<(), Failure> {
        let call = Call::new(&["org", "serve"]).path("--dir", &self.office(), "office");
        let call = call.quiet("--json").passphrase(&self.passphrase);
        self.transcript.command("Office", &call.shown())?;
        let mut desk = Running::start(&self.program, &call, &self.path("office.log"))?;
        ready(&mut desk).await?;
        self.desk = Some(desk);
        Ok(())
    }

    /// Starts the relay, talkative and without any secret, and waits until it is ready.
    pub(super) async fn start_relay(&mut self, listen: &str) -> Result<Address, Failure> {
        let call = Call::new(&["relay"])
            .path("--org", &self.office().join("public"), "office/public")
            .path("--data", &self.relay_data(), "relay/data")
            .arg("--listen")
            .arg(listen)
            .arg("--log")
            .arg("trace")
            .quiet("--json");
        self.transcript.command("Relay", &call.shown())?;
        let mut relay = Running::start(&self.program, &call, &self.relay_logs().join("relay.log"))?;
        let line = ready(&mut relay).await?;
        // What it prints is searched like what it logs.
        let printed = self.relay_logs().join(format!("printed-{}", relay.id()));
        std::fs::write(&printed, line.to_string()).map_err(|error| Failure::io(printed.display(), &error))?;
        self.relay = Some(relay);
        Ok(Address {
            listen: text(&line, "listen")?,
            url: text(&line, "url")?,
            pin: text(&line, "pin")?,
            log_key: text(&line, "log_key")?,
        })
    }

    /// Makes somebody a member with an invitation link and a key file, which the command makes; returns who
    /// that device then is.
    pub(super) async fn enroll(&self, who: Who, link: &str) -> Result<String, Failure> {
        let person = self.person(who);
        make(&person.folder)?;
        let call = person.at_home(Call::new(&["enroll"]).quiet(link));
        self.transcript.command(who.given(), &format!("{} chancery:…", call.shown()))?;
        let finished = run(&self.program, &call, &person.log(), &[OK]).await?;
        finished.lines.last().map_or(Ok(String::new()), |line| text(line, "member"))
    }

    /// Makes all of these members, by handle and name.
    pub(super) async fn enroll_others(&mut self, people: &[(&str, &str)]) -> Result<(), Failure> {
        let mut list = "handle,name\n".to_owned();
        for (handle, name) in people {
            self.markers.add(&format!("handle {handle}"), handle.as_bytes())?;
            self.markers.add(&format!("name {name}"), name.as_bytes())?;
            list.push_str(&format!("{handle},{name}\n"));
        }
        let path = self.path("people.csv");
        std::fs::write(&path, list).map_err(|error| Failure::io(path.display(), &error))?;
        let call = Call::new(&["org", "invite"]).path("--csv", &path, "people.csv");
        let mut calls = Vec::with_capacity(people.len());
        for invitation in self.office_lists(call).await? {
            let handle = text(&invitation, "handle")?;
            let name = people.iter().find(|(known, _)| *known == handle).map_or("", |(_, name)| name);
            let given = name.split(' ').next().unwrap_or_default();
            let person = Person::new(self.dir.path(), given);
            make(&person.folder)?;
            calls.push((
                person.at_home(Call::new(&["enroll"]).quiet(text(&invitation, "link")?)),
                person.log(),
            ));
            self.others.push((given.to_owned(), person));
        }
        let enrolled = run_all(&self.program, &calls, &[OK], AT_ONCE).await?;
        self.checks.equal("others who became members", people.len(), enrolled.len());
        self.transcript.note(&format!("{} others become members, too.", enrolled.len()))
    }

    /// Runs a command that one of the others types, by number; it must go well.
    pub(super) async fn other_types(&self, number: usize, call: Call) -> Result<Value, Failure> {
        let other = self.others.get(number).ok_or_else(|| Failure::new(format!("nobody is {number}")))?;
        let call = other.1.at_home(call);
        self.transcript.command(&other.0, &call.shown())?;
        let finished = run(&self.program, &call, &other.1.log(), &[OK]).await?;
        Ok(finished.lines.into_iter().next_back().unwrap_or_default())
    }

    /// Lets all others receive what waits for them.
    pub(super) async fn others_receive(&self) -> Result<(), Failure> {
        let receive =
            |(_, person): &(String, Person)| (person.at_home(Call::new(&["receive"])), person.log());
        let calls: Vec<_> = self.others.iter().map(receive).collect();
        run_all(&self.program, &calls, &[OK], AT_ONCE).await.map(drop)
    }

    /// Where everybody's device keeps its things.
    pub(super) fn homes(&self) -> Vec<PathBuf> {
        let others = self.others.iter().map(|(_, person)| person);
        self.people.iter().chain(others).map(Person::home).collect()
    }

    /// Opens somebody's screen: a process that prints what arrives.
    pub(super) fn follow(&mut self, who: Who) -> Result<(), Failure> {
        let person = self.person(who);
        let call = Call::new(&["receive", "--follow"]).path("--save", &person.folder.join("inbox"), "inbox");
        let call = person.at_home(call);
        self.transcript.command(who.given(), &call.shown())?;
        let running = Running::start(&self.program, &call, &person.log())?;
        self.person_mut(who).follower = Some(running);
        Ok(())
    }

    /// Sends a message and notes it; whether the relay has it or it waits is for the checks to judge.
    pub(super) async fn send(
        &mut self,
        (from, to): (Who, Who),
        text: &str,
        files: &[Enclosure],
    ) -> Result<(), Failure> {
        let sender = self.person(from);
        let mut call = Call::new(&["send", to.handle(), text]);
        for file in files {
            call = call.path("--file", &file.path, file.name);
        }
        let relay_ran = self.relay.is_some();
        if !relay_ran {
            call = call.arg("--timeout").arg(PATIENCE);
        }
        let call = sender.at_home(call);
        self.transcript.command(from.given(), &call.shown())?;
        let finished = run(&self.program, &call, &sender.log(), &[OK, TRY_LATER]).await?;
        let answer = finished.lines.last().cloned().unwrap_or_default();
        let (id, state) = (self::text(&answer, "id")?, self::text(&answer, "state")?);
        self.markers.add_text("a text", text)?;
        let shown = Shown { from: from.given(), to: to.given(), id: &id, text, files: &[] };
        self.transcript.sent(&shown, &state)?;
        // Exit code and state must say the same.
        let outcome = match (finished.code, state.as_str()) {
            (OK, "sent") => Outcome::Taken,
            (TRY_LATER, "queued") => Outcome::Queued,
            _ => Outcome::Contradictory,
        };
        let (text, files) = (text.to_owned(), files.to_vec());
        self.letters.push(Letter { id, from, to, text, files, relay_ran, outcome });
        Ok(())
    }

    /// Runs a command that somebody types, which must go well, and returns the last object that it prints.
    pub(super) async fn types(&self, who: Who, call: Call) -> Result<Value, Failure> {
        let person = self.person(who);
        let call = person.at_home(call);
        self.transcript.command(who.given(), &call.shown())?;
        let finished = run(&self.program, &call, &person.log(), &[OK]).await?;
        Ok(finished.lines.into_iter().next_back().unwrap_or_default())
    }

    /// Runs a command in a copy of somebody's home with their key, however it ends; returns its exit code.
    pub(super) async fn with_copy(&self, who: Who, home: &Path, words: &[&str]) -> Result<i32, Failure> {
        let person = self.person(who);
        let call = Call::new(words).path("--home", home, "stolen");
        let call = call.quiet_path("--key-file", &person.key()).quiet("--json");
        self.transcript.command("Somebody", &call.shown())?;
        let finished = run(&self.program, &call, &self.path("stolen.log"), &ANY).await?;
        Ok(finished.code)
    }

    /// Waits until every letter to somebody is on that person's screen.
    pub(super) async fn everything_arrives(&mut self, who: Who) -> Result<(), Failure> {
        let deadline = within(ARRIVAL);
        while let Some(missing) = self.missing(who) {
            let Some(follower) = &mut self.person_mut(who).follower else {
                return Err(Failure::new(format!("{} has no screen", who.given())));
            };
            let line = follower.line(deadline).await.map_err(|failure| {
                Failure::new(format!("{} misses message {missing}: {failure}", who.given()))
            })?;
            if field(&line, "id").is_string() {
                self.show(who, &line)?;
                self.person_mut(who).arrivals.push(line);
            }
        }
        Ok(())
    }

    fn missing(&self, who: Who) -> Option<String> {
        let arrivals = &self.person(who).arrivals;
        let arrived = |letter: &&Letter| arrivals.iter().any(|line| *field(line, "id") == *letter.id);
        self.letters.iter().filter(|letter| letter.to == who).find(|l| !arrived(l)).map(|l| l.id.clone())
    }

    fn show(&self, who: Who, line: &Value) -> Result<(), Failure> {
        let handle = field(line, "handle").as_str().unwrap_or("somebody");
        self.transcript.received(&Shown {
            from: Who::called(handle),
            to: who.given(),
            id: field(line, "id").as_str().unwrap_or_default(),
            text: field(line, "text").as_str().unwrap_or_default(),
            files: field(line, "files").as_array().map_or(&[], Vec::as_slice),
        })
    }

    /// Ends every process, so that files are searched as they lie on disk.
    pub(super) fn end_all(&mut self) {
        drop(self.desk.take());
        drop(self.relay.take());
        for person in &mut self.people {
            person.follower = None;
        }
    }

    /// Returns the stored conversation of one person with another.
    pub(super) async fn history(&self, who: Who, with: Who) -> Result<Vec<Value>, Failure> {
        let person = self.person(who);
        let call = person.at_home(Call::new(&["history", with.handle()]));
        Ok(run(&self.program, &call, &person.log(), &[OK]).await?.lines)
    }

    /// Writes a file that somebody will send, and adds its name and contents to what is looked for.
    pub(super) fn enclosure(&mut self, name: &'static str, contents: &[u8]) -> Result<Enclosure, Failure> {
        self.markers.add(&format!("file name {name}"), name.as_bytes())?;
        self.markers.add_contents(&format!("contents of {name}"), contents)?;
        let path = self.path("desktop").join(name);
        std::fs::write(&path, contents).map_err(|error| Failure::io(path.display(), &error))?;
        Ok(Enclosure { path, name, size: contents.len() as u64, sha256: sha256(&[contents]) })
    }
}

async fn ready(running: &mut Running) -> Result<Value, Failure> {
    let line = running.line(within(READY)).await?;
    if *field(&line, "event") == "ready" {
        Ok(line)
    } else {
        Err(Failure::new(format!("not ready, but: {line}")))
    }
}

/// Returns a text field of an object that a command printed.
pub(super) fn text(object: &Value, key: &str) -> Result<String, Failure> {
    let found = field(object, key).as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("no field `{key}` in {object}")))
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))
}

/// Fresh bytes from the operating system.
fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Failure::new("the operating system gives no randomness"))?;
    Ok(random_bytes::<N>(&mut seeded(seed)))
}
