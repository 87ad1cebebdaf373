//! `chancery bench group`: what groups cost, in one process and without a network.
//!
//! One administrator, up to 16 members and one who comes and goes run whole engines on encrypted stores; the others are members
//! with valid credentials and prekeys, whose devices nobody turns on. What is measured is the work of one device for one
//! operation, its commits to disk included.

use std::path::Path;
use std::time::Duration;

use chancery_crypto::ed25519::GroupSigningKey;
use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::Secret;
use chancery_engine::{GroupDraft, GroupInput, GroupOperation, Input};
use chancery_group::{Info, Messages, Role, Slot};
use chancery_identity::{DisplayName, MemberId};
use serde_json::Value;

use super::town::{Resident, Spent, Town, failed};
use crate::output::Output;
use crate::process::Failure;

/// Members whose devices run, beside the administrator and the guest: fewer in a smaller group.
const SAMPLED: usize = 16;
/// Times that each operation is measured; the median counts.
const ROUNDS: usize = 30;
/// Rounds of mail after which all have followed.
const TURNS: usize = 60;
/// Longer than any pause after which a device does what others could have done.
const LONG: Duration = Duration::from_secs(120);
/// Such pauses after which all have followed: who misses a secret asks one device after the other.
const PAUSES: usize = 4;
const TEXT: &str = "Lunch at noon? The menu is on the wall; say so if you will not come.";

/// The measures of a run.
#[derive(Debug, Default)]
struct Measures {
    times: Vec<(&'static str, Vec<Spent>)>,
    bytes: Vec<(&'static str, Vec<usize>)>,
}

impl Measures {
    fn time(&mut self, name: &'static str, spent: Spent) {
        match self.times.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(spent),
            None => self.times.push((name, vec![spent])),
        }
    }

    fn bytes(&mut self, name: &'static str, bytes: usize) {
        match self.bytes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, all)) => all.push(bytes),
            None => self.bytes.push((name, vec![bytes])),
        }
    }

    fn object(&self, members: usize) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("members".to_owned(), members.into());
        for (name, all) in &self.times {
            let micros: Vec<u64> =
                all.iter().map(|it| u64::try_from(it.as_micros()).unwrap_or(u64::MAX)).collect();
            object.insert((*name).to_owned(), median(micros).into());
        }
        for (name, all) in &self.bytes {
            let all = all.iter().map(|bytes| *bytes as u64).collect();
            object.insert((*name).to_owned(), median(all).into());
        }
        Value::Object(object)
    }
}

fn median(mut all: Vec<u64>) -> u64 {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Measures, and prints the figures.
pub(super) fn run(members: usize, output: Output) -> Result<(), Failure> {
    let folder = tempfile::Builder::new().prefix("chancery-bench-").tempdir();
    let folder = folder.map_err(|error| Failure::io("temporary directory", &error))?;
    let mut measures = Measures::default();
    let mut scene = Scene::set(members, folder.path(), output)?;
    scene.found(members, &mut measures)?;
    output.note("the group is founded");
    for round in 0..ROUNDS {
        scene.talk(&mut measures)?;
        scene.remove(&mut measures)?;
        scene.evict(round, &mut measures)?;
        scene.add(&mut measures)?;
    }
    scene.everybody_writes()?;
    let (keys, roster) = scene.members.first().map(Resident::state_bytes).unwrap_or_default();
    measures.bytes("member_state_bytes", keys);
    measures.bytes("roster_bytes", roster);
    measures.bytes("admin_state_bytes", scene.admin.state_bytes().0);
    measures.bytes("overhead_bytes", overhead(&mut scene.town)?);
    if let Some(bytes) = peak_memory() {
        measures.bytes("peak_memory_bytes", bytes);
    }
    let object = measures.object(members);
    output.result(&object, || table(&object)).map_err(|_| failed("standard output is closed"))
}

fn table(object: &Value) -> String {
    let fields = object.as_object().into_iter().flatten();
    fields.map(|(name, value)| format!("{name:<26} {value}")).collect::<Vec<_>>().join("\n")
}

struct Scene {
    town: Town,
    group: [u8; 16],
    admin: Resident,
    members: Vec<Resident>,
    /// Who is removed and added again.
    guest: (MemberId, Resident),
}

impl Scene {
    /// The people: the administrator, those whose devices run, the guest, and as many others as are missing.
    fn set(members: usize, folder: &Path, output: Output) -> Result<Self, Failure> {
        let mut town = Town::found()?;
        let settle = |town: &mut Town, name: &str| {
            let disk = town.enroll(name)?;
            let folder = folder.join(name);
            std::fs::create_dir_all(&folder).map_err(|error| Failure::io(folder.display(), &error))?;
            Resident::settle(town, disk, &folder)
        };
        let admin = settle(&mut town, "admin")?;
        let guest = settle(&mut town, "guest")?;
        let guest_id = town.newest().ok_or_else(|| failed("no guest"))?;
        let sampled = SAMPLED.min(members.saturating_sub(2));
        let mut running = Vec::with_capacity(sampled);
        for number in 0..sampled {
            running.push(settle(&mut town, &format!("sampled{number}"))?);
        }
        for number in sampled.saturating_add(2)..members {
            town.enroll(&format!("member{number}"))?;
        }
        output.note(&format!("{members} members are enrolled"));
        let group = random_bytes(town.rng.as_mut());
        Ok(Self { town, group, admin, members: running, guest: (guest_id, guest) })
    }

    /// The administrator founds the group with everybody in it.
    fn found(&mut self, members: usize, measures: &mut Measures) -> Result<(), Failure> {
        self.everybody_learns()?;
        let info = Info::new(DisplayName::parse("Bench").map_err(failed)?);
        let others = self.town.members().skip(1).collect();
        self.town.post.taken = 0;
        self.operate(GroupOperation::Create { info, members: others })?;
        let devices = self.admin.devices_in(&self.group)?;
        is_so(devices as usize == members, "somebody is not in the group")?;
        measures.time("create_us", self.admin.spent);
        measures.bytes("create_bytes", self.town.post.taken);
        self.settle()
    }

    fn everybody_learns(&mut self) -> Result<(), Failure> {
        self.admin.learn(&mut self.town)?;
        self.guest.1.learn(&mut self.town)?;
        self.members.iter_mut().try_for_each(|member| member.learn(&mut self.town))
    }

    /// Lets everybody work and read until nothing comes any more.
    fn settle(&mut self) -> Result<(), Failure> {
        let mut quiet = 0_usize;
        for _ in 0..TURNS {
            let mut any = false;
            let all = [&mut self.admin, &mut self.guest.1].into_iter().chain(&mut self.members);
            for resident in all {
                resident.work(&mut self.town)?;
                any |= resident.read_mail(&mut self.town)?;
                resident.work(&mut self.town)?;
            }
            quiet = if any { 0 } else { quiet.saturating_add(1) };
            if quiet == 2 {
                return Ok(());
            }
        }
        Err(failed("the devices do not come to rest"))
    }

    /// A message from one member to all.
    fn talk(&mut self, measures: &mut Measures) -> Result<(), Failure> {
        self.say(0)?;
        let sender = self.members.first_mut().ok_or_else(|| failed("no members"))?;
        measures.time("send_us", std::mem::take(&mut sender.spent));
        let [_, envelope] = self.town.post.newest;
        measures.bytes("message_bytes", envelope);
        let reader = self.members.get_mut(1).ok_or_else(|| failed("no members"))?;
        reader.spent = Duration::ZERO;
        reader.read_mail(&mut self.town)?;
        measures.time("receive_us", reader.spent);
        self.settle()
    }

    fn say(&mut self, who: usize) -> Result<(), Failure> {
        let message_id = random_bytes(self.town.rng.as_mut());
        let sender = self.members.get_mut(who).ok_or_else(|| failed("no members"))?;
        sender.spent = Duration::ZERO;
        let draft = GroupDraft { group_id: self.group, message_id, text: TEXT, attachments: Vec::new() };
        sender.handle(&mut self.town, Input::Group(GroupInput::Send(draft)))?;
        sender.work(&mut self.town)
    }

    /// The guest is removed.
    fn remove(&mut self, measures: &mut Measures) -> Result<(), Failure> {
        let devices = self.admin.devices_in(&self.group)?;
        self.operate(GroupOperation::Remove { members: vec![self.guest.0] })?;
        measures.time("remove_make_us", self.admin.spent);
        let [commit, _] = self.town.post.newest;
        measures.bytes("remove_bytes", commit);
        let member = self.members.get_mut(1).ok_or_else(|| failed("no members"))?;
        member.spent = Duration::ZERO;
        member.read_mail(&mut self.town)?;
        measures.time("remove_apply_us", member.spent);
        let left = member.devices_in(&self.group)?;
        is_so(left.saturating_add(1) == devices, "who was removed is still there")?;
        self.settle()
    }

    /// The guest is added again.
    fn add(&mut self, measures: &mut Measures) -> Result<(), Failure> {
        self.operate(GroupOperation::Add { members: vec![self.guest.0], role: Role::Member })?;
        measures.time("add_make_us", self.admin.spent);
        let [commit, _] = self.town.post.newest;
        measures.bytes("add_bytes", commit);
        let guest = &mut self.guest.1;
        guest.spent = Duration::ZERO;
        guest.read_mail(&mut self.town)?;
        guest.work(&mut self.town)?;
        measures.time("join_us", guest.spent);
        let devices = guest.devices_in(&self.group)?;
        is_so(devices > 0, "who was added has not joined")?;
        self.settle()
    }

    fn operate(&mut self, operation: GroupOperation<'_>) -> Result<(), Failure> {
        self.admin.spent = Duration::ZERO;
        let input = GroupInput::Operation { group_id: self.group, operation };
        self.admin.handle(&mut self.town, Input::Group(input))?;
        self.admin.work(&mut self.town)
    }

    /// Everybody whose device runs writes, so that all have all their keys.
    fn everybody_writes(&mut self) -> Result<(), Failure> {
        (0..self.members.len()).try_for_each(|who| self.say(who))?;
        self.settle()
    }

    /// Somebody new comes into the group and is ended by the organisation; a member who is no administrator writes, and all
    /// follow.
    fn evict(&mut self, round: usize, measures: &mut Measures) -> Result<(), Failure> {
        let leaver = format!("leaver{round}");
        self.town.enroll(&leaver)?;
        let members = self.town.newest().into_iter().collect();
        self.everybody_learns()?;
        self.operate(GroupOperation::Add { members, role: Role::Member })?;
        self.settle()?;
        self.town.now = self.town.now.after(Duration::from_secs(1));
        self.town.offboard(&leaver)?;
        for member in &mut self.members {
            member.learn(&mut self.town)?;
        }
        let before = self.town.post.taken;
        let devices = self.admin.devices_in(&self.group)?;
        self.say(2)?;
        let author = self.members.get_mut(2).ok_or_else(|| failed("no members"))?;
        let left = author.devices_in(&self.group)?;
        is_so(left.saturating_add(1) == devices, "who was ended is still there")?;
        measures.time("evict_without_admin_us", author.spent);
        measures.bytes("evict_without_admin_bytes", self.town.post.taken.saturating_sub(before));
        // The administrator comes by, and renews what the author could not.
        self.everybody_learns()?;
        self.settle()?;
        for _ in 0..PAUSES {
            self.town.now = self.town.now.after(LONG);
            self.everybody_learns()?;
            self.settle()?;
            if self.all_have(left)? {
                return Ok(());
            }
        }
        Err(failed("somebody has not followed"))
    }

    /// Whether everybody whose device runs has so many devices in the group; the guest is not in it.
    fn all_have(&mut self, devices: u32) -> Result<bool, Failure> {
        let mut all = self.members.iter_mut().chain([&mut self.admin]);
        all.try_fold(true, |so, it| Ok(so && it.devices_in(&self.group)? == devices))
    }
}

/// What a message has around its content and padding: how much longer the shortest envelope is than the longest content in it.
fn overhead(town: &mut Town) -> Result<usize, Failure> {
    let rng = town.rng.as_mut();
    let (header_key, senders) = (Secret::random(rng), Secret::random(rng));
    let mut messages = Messages::new(random_bytes(rng), random_bytes(rng), header_key, senders);
    let (key, slot) = (GroupSigningKey::generate(rng), Slot::from_u32(0).ok_or_else(|| failed("no slot"))?);
    let mut envelope = |len: usize| messages.seal(slot, &key, &vec![b'x'; len], rng).map_err(failed);
    let shortest = envelope(0)?.len();
    let mut longest = 0_usize;
    while envelope(longest.saturating_add(1))?.len() == shortest {
        longest = longest.saturating_add(1);
    }
    Ok(shortest.saturating_sub(longest))
}

/// The most memory that this process has had, in bytes; `None` where the system does not say.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()?.checked_mul(1024)
}

fn is_so(is_so: bool, otherwise: &str) -> Result<(), Failure> {
    if is_so { Ok(()) } else { Err(failed(otherwise)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_median_is_of_what_was_measured() {
        assert_eq!([median(vec![3, 1, 2]), median(vec![]), median(vec![5, 1])], [2, 0, 5]);
        let mut measures = Measures::default();
        measures.time("a_us", Duration::from_micros(7));
        measures.bytes("b", 9);
        assert_eq!(measures.object(17), json!({"members": 17, "a_us": 7, "b": 9}));
    }
}
