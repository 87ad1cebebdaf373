//! An organisation in a temporary folder: relay, desk and members, each a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chancery_identity::{DeviceId, MemberId, OrgId};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Call, Failure, Finished, Running, field, run, run_all, within};

/// Time until a relay or desk says that it is ready.
const READY: Duration = Duration::from_secs(20);
/// Commands of members at the same time: more than cores, since each waits for the relay most of its time.
const AT_ONCE: usize = 4;
/// The exit code of a command that went well.
pub(super) const OK: i32 = 0;
/// The exit code of `send` for a message that waits.
pub(super) const TRY_LATER: i32 = 5;
/// The exit code of a device that was ended.
pub(super) const NOT_AUTHORISED: i32 = 2;
/// Every way in which a command may end by itself.
const ANY: [i32; 6] = [OK, 1, NOT_AUTHORISED, 3, 4, TRY_LATER];

/// One member's device.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) handle: String,
    pub(super) member: MemberId,
    pub(super) device: DeviceId,
    pub(super) folder: PathBuf,
    pub(super) follower: Option<Running>,
}

impl Member {
    pub(super) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    pub(super) fn key(&self) -> PathBuf {
        self.folder.join("key")
    }

    /// Where a copy of the home is kept.
    pub(super) fn copy(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A command in this member's home.
    pub(super) fn call(&self, words: &[&str]) -> Call {
        self.call_in(&self.home(), words)
    }

    /// A command in a home that was this member's.
    pub(super) fn call_in(&self, home: &Path, words: &[&str]) -> Call {
        at_home(words, home, &self.key())
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("errors.log")
    }
}

fn at_home(words: &[&str], home: &Path, key: &Path) -> Call {
    Call::new(words).quiet_path("--home", home).quiet_path("--key-file", key).quiet("--json")
}

/// Everything that runs. Dropping it ends all processes, and then removes the folder: fields drop in order.
#[derive(Debug)]
pub(super) struct Company {
    pub(super) members: Vec<Member>,
    relay: Option<Running>,
    desk: Option<Running>,
    org_id: Option<OrgId>,
    program: PathBuf,
    dir: TempDir,
}

impl Company {
    pub(super) fn new() -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| Failure::io("this program", &error))?;
        let dir = tempfile::Builder::new().prefix("chancery-bench-").tempdir();
        let dir = dir.map_err(|error| Failure::io("temporary directory", &error))?;
        Ok(Self { members: Vec::new(), relay: None, desk: None, org_id: None, program, dir })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The relay's own folder.
    pub(super) fn relay_data(&self) -> PathBuf {
        self.path("relay-data")
    }

    pub(super) fn org_id(&self) -> Result<OrgId, Failure> {
        self.org_id.ok_or_else(|| Failure::new("no organisation was founded"))
    }

    /// Founds the organisation and starts its relay and its desk.
    pub(super) async fn found(&mut self) -> Result<(), Failure> {
        let founded = self.org(&["org", "init", "--name", "Bench"], &[OK]).await?;
        self.org_id = OrgId::from_hex(&text(&last(&founded), "org_id")?);
        let call = Call::new(&["relay", "--listen", "127.0.0.1:0"])
            .quiet_path("--org", &self.path("org").join("public"))
            .quiet_path("--data", &self.relay_data())
            .quiet("--json");
        let (relay, ready) = self.start_service(&call, "relay.log").await?;
        self.relay = Some(relay);
        let (url, pin, log_key) = (text(&ready, "url")?, text(&ready, "pin")?, text(&ready, "log_key")?);
        self.org(&["org", "relay", &url, "--pin", &pin, "--log-key", &log_key], &[OK]).await?;
        let (desk, _) = self.start_service(&self.org_call(&["org", "serve"]), "desk.log").await?;
        self.desk = Some(desk);
        Ok(())
    }

    async fn start_service(&self, call: &Call, log: &str) -> Result<(Running, Value), Failure> {
        let mut service = Running::start(&self.program, call, &self.path(log))?;
        let ready = service.line_with(|line| *field(line, "event") == "ready", within(READY)).await?;
        Ok((service, ready))
    }

    /// A command in the organisation's folder.
    pub(super) fn org_call(&self, words: &[&str]) -> Call {
        let key = self.path("org.key");
        Call::new(words).quiet_path("--dir", &self.path("org")).quiet_path("--key-file", &key).quiet("--json")
    }

    /// Runs a command in the organisation's folder, which must end with one of `codes`.
    pub(super) async fn org(&self, words: &[&str], codes: &[i32]) -> Result<Finished, Failure> {
        run(&self.program, &self.org_call(words), &self.path("office.log"), codes).await
    }

    /// Starts a command in the organisation's folder.
    pub(super) fn start_org(&self, words: &[&str]) -> Result<Running, Failure> {
        Running::start(&self.program, &self.org_call(words), &self.path("office.log"))
    }

    /// Makes `count` people members, each with a home and a key file.
    pub(super) async fn enroll(&mut self, count: usize) -> Result<(), Failure> {
        let people = (0..count).map(|number| format!("member{number:03},Member {number}\n"));
        let list = self.path("people.csv");
        std::fs::write(&list, format!("handle,name\n{}", people.collect::<String>()))
            .map_err(|error| Failure::io(list.display(), &error))?;
        let call = self.org_call(&["org", "invite"]).quiet_path("--csv", &list);
        let invited = run(&self.program, &call, &self.path("office.log"), &[OK]).await?;
        let mut calls = Vec::with_capacity(count);
        let mut places = Vec::with_capacity(count);
        for invitation in &invited.lines {
            let handle = text(invitation, "handle")?;
            let folder = self.path("people").join(&handle);
            make(&folder)?;
            let call = at_home(&["enroll"], &folder.join("home"), &folder.join("key"));
            calls.push((call.quiet(text(invitation, "link")?), folder.join("errors.log")));
            places.push((handle, folder));
        }
        let enrolled = run_all(&self.program, &calls, &[OK], AT_ONCE).await?;
        for ((handle, folder), finished) in places.into_iter().zip(&enrolled) {
            let line = last(finished);
            let member = MemberId::from_hex(&text(&line, "member")?);
            let device = DeviceId::from_hex(&text(&line, "device")?);
            let (Some(member), Some(device)) = (member, device) else {
                return Err(Failure::new(format!("no member and device in {line}")));
            };
            self.members.push(Member { handle, member, device, folder, follower: None });
        }
        if self.members.len() == count {
            Ok(())
        } else {
            Err(Failure::new(format!("{} members instead of {count}", self.members.len())))
        }
    }

    pub(super) fn member(&self, number: usize) -> Result<&Member, Failure> {
        self.members.get(number).ok_or_else(|| Failure::new(format!("no member {number}")))
    }

    pub(super) fn follower(&mut self, number: usize) -> Result<&mut Running, Failure> {
        let member = self.members.get_mut(number);
        let follower = member.and_then(|member| member.follower.as_mut());
        follower.ok_or_else(|| Failure::new(format!("member {number} is not online")))
    }

    /// Sends one message for each pair of a sender and a recipient, and says how each ended.
    pub(super) async fn send(&self, pairs: &[(usize, usize)]) -> Result<Vec<Finished>, Failure> {
        let mut calls = Vec::with_capacity(pairs.len());
        for (from, to) in pairs {
            let (from, to) = (self.member(*from)?, self.member(*to)?);
            calls.push((from.call(&["send", &to.handle, "good morning"]), from.log()));
        }
        // Whoever sends twice does so one after the other, also for the sake of the one log.
        let first = pairs.first().map(|(from, _)| from);
        let one_sender = pairs.len() > 1 && pairs.iter().all(|(from, _)| Some(from) == first);
        run_all(&self.program, &calls, &ANY, if one_sender { 1 } else { AT_ONCE }).await
    }

    /// Sends as [`Self::send`] does; the relay must take everything. Returns the messages' identifiers.
    pub(super) async fn send_surely(&self, pairs: &[(usize, usize)]) -> Result<Vec<String>, Failure> {
        let mut ids = Vec::with_capacity(pairs.len());
        for (finished, (from, to)) in self.send(pairs).await?.iter().zip(pairs) {
            if !is_sent(finished) {
                let (code, error) = (finished.code, &finished.error);
                return Err(Failure::new(format!("member {from} sent nothing to {to}: {code} {error}")));
            }
            ids.push(text(&last(finished), "id")?);
        }
        Ok(ids)
    }

    /// Founds a group of these members; the first of them is its only administrator. Returns its identifier.
    pub(super) async fn found_group(&self, name: &str, members: &[usize]) -> Result<String, Failure> {
        let mut handles = Vec::with_capacity(members.len());
        for number in members {
            handles.push(self.member(*number)?.handle.as_str());
        }
        let (Some(founder), Some(others)) = (members.first(), handles.get(1..)) else {
            return Err(Failure::new("a group of nobody"));
        };
        let founder = self.member(*founder)?;
        let call = founder.call(&[&["group", "create", name], others].concat());
        text(&last(&run(&self.program, &call, &founder.log(), &[OK]).await?), "group")
    }

    /// Lets members write to groups, in this order, and says how each ended.
    pub(super) async fn send_to_groups(
        &self,
        letters: &[(usize, &str)],
        message: &str,
        at_once: bool,
    ) -> Result<Vec<Finished>, Failure> {
        let mut calls = Vec::with_capacity(letters.len());
        for (from, group) in letters {
            let from = self.member(*from)?;
            calls.push((from.call(&["group", "send", group, message]), from.log()));
        }
        run_all(&self.program, &calls, &ANY, if at_once { AT_ONCE } else { 1 }).await
    }

    /// Lets these members receive what waits for them.
    pub(super) async fn receive(&self, who: &[usize]) -> Result<(), Failure> {
        let mut calls = Vec::with_capacity(who.len());
        for number in who {
            let member = self.member(*number)?;
            calls.push((member.call(&["receive"]), member.log()));
        }
        run_all(&self.program, &calls, &[OK], AT_ONCE).await.map(drop)
    }

    /// Runs a command in a copy of a member's home, however it ends.
    pub(super) async fn in_copy(&self, who: usize, copy: &Path, words: &[&str]) -> Result<Finished, Failure> {
        let member = self.member(who)?;
        run(&self.program, &member.call_in(copy, words), &member.folder.join("copy.log"), &ANY).await
    }

    /// Starts the process that shows a member what arrives.
    pub(super) fn follow(&mut self, number: usize) -> Result<(), Failure> {
        let member = self.member(number)?;
        let call = member.call(&["receive", "--follow"]);
        let follower = Running::start(&self.program, &call, &member.folder.join("follow.log"))?;
        if let Some(member) = self.members.get_mut(number) {
            member.follower = Some(follower);
        }
        Ok(())
    }

    /// Ends the desk and the relay, so that the relay's data can be looked at.
    pub(super) fn close(&mut self) {
        self.desk = None;
        self.relay = None;
    }
}

/// Whether the relay took the message of a `send`.
pub(super) fn is_sent(finished: &Finished) -> bool {
    finished.code == OK && *field(&last(finished), "state") == "sent"
}

fn last(finished: &Finished) -> Value {
    finished.lines.last().cloned().unwrap_or_default()
}

fn text(object: &Value, key: &str) -> Result<String, Failure> {
    let found = field(object, key).as_str().map(str::to_owned);
    found.ok_or_else(|| Failure::new(format!("no field `{key}` in {object}")))
}

fn make(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::io(folder.display(), &error))
}
