//! The table at the end: what was to be found, computed from what was sent, and what was found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chancery_crypto::hash::sha256;
use serde_json::{Value, json};

use super::search::Found;
use super::stage::{Letter, Outcome, Stage, Who};
use crate::process::{Failure, field};

/// One line of the table.
#[derive(Debug, Clone)]
pub(super) struct Check {
    pub(super) name: String,
    pub(super) expected: Value,
    pub(super) found: Value,
    pub(super) ok: bool,
}

impl Check {
    pub(super) fn to_json(&self) -> Value {
        json!({"name": self.name, "expected": self.expected, "found": self.found, "ok": self.ok})
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Checks {
    list: Vec<Check>,
}

impl Checks {
    /// Passes if both are equal.
    pub(super) fn equal(&mut self, name: &str, expected: impl Into<Value>, found: impl Into<Value>) {
        let (expected, found) = (expected.into(), found.into());
        let ok = expected == found;
        self.list.push(Check { name: name.into(), expected, found, ok });
    }

    /// Passes if at least so much was found.
    pub(super) fn at_least(&mut self, name: &str, expected: u64, found: u64) {
        let (ok, expected) = (found >= expected, format!("at least {expected}"));
        self.list.push(Check { name: name.into(), expected: expected.into(), found: found.into(), ok });
    }

    /// Passes if no marker was readable; otherwise says which.
    pub(super) fn unreadable(&mut self, name: &str, found: &Found) {
        if found.markers() == 0 {
            return self.equal(name, 0, 0);
        }
        let readable: Vec<&str> = found.readable.iter().map(String::as_str).collect();
        self.equal(name, 0, format!("{}: {}", found.markers(), readable.join(", ")));
    }

    pub(super) fn all(&self) -> &[Check] {
        &self.list
    }

    /// Whether there are checks and none has failed.
    pub(super) fn passed(&self) -> bool {
        !self.list.is_empty() && self.list.iter().all(|check| check.ok)
    }
}

/// All conversations as the stores have them: who, with whom, lines.
type Histories = Vec<(Who, Who, Vec<Value>)>;

/// Compares what `send` said with whether the relay ran.
pub(super) fn sending(stage: &mut Stage) {
    let count = |test: &dyn Fn(&&Letter) -> bool| stage.letters.iter().filter(test).count();
    let up = count(&|letter| letter.relay_ran);
    let taken = count(&|letter| letter.relay_ran && letter.outcome == Outcome::Taken);
    let down = count(&|letter| !letter.relay_ran);
    let queued = count(&|letter| !letter.relay_ran && letter.outcome == Outcome::Queued);
    stage.checks.equal("messages that the relay took while it ran", up, taken);
    stage.checks.equal("messages queued while the relay was down", down, queued);
}

/// Compares histories and screens with what was sent.
pub(super) async fn delivery(stage: &mut Stage) -> Result<(), Failure> {
    let mut histories = Histories::new();
    for who in Who::ALL {
        for with in Who::ALL.into_iter().filter(|with| *with != who) {
            histories.push((who, with, stage.history(who, with).await?));
        }
    }
    let table = Delivery { letters: &stage.letters, histories: &histories };
    let sent = stage.letters.len();
    let checks = &mut stage.checks;
    checks.equal("messages in the recipient's history exactly once", sent, table.once(|letter| letter.to));
    checks.equal("messages in the sender's history exactly once", sent, table.once(|letter| letter.from));
    checks.equal("messages in a history that nobody sent there", 0, table.strange());
    checks.equal("conversations in the order of sending", table.pairs().len(), table.in_order());
    checks.equal("texts unchanged in every script", sent, table.unchanged());
    let named = stage.letters.iter().filter(|letter| {
        let line = table.line(letter.to, letter);
        line.is_some_and(|line| *field(line, "from") == *stage.person(letter.from).member)
    });
    let named = named.count();
    stage.checks.equal("senders named by their member identifier", sent, named);
    screens(stage);
    Ok(())
}

/// What was sent and what the stores say.
struct Delivery<'a> {
    letters: &'a [Letter],
    histories: &'a Histories,
}

impl Delivery<'_> {
    fn history(&self, who: Who, with: Who) -> &[Value] {
        let found = self.histories.iter().find(|(a, b, _)| (*a, *b) == (who, with));
        found.map_or(&[], |(_, _, lines)| lines)
    }

    /// The line of a letter in the history of one of its two people.
    fn line(&self, who: Who, letter: &Letter) -> Option<&Value> {
        let with = if who == letter.to { letter.from } else { letter.to };
        self.history(who, with).iter().find(|line| *field(line, "id") == *letter.id)
    }

    fn once(&self, whose: impl Fn(&Letter) -> Who) -> usize {
        let once = |letter: &&Letter| {
            let who = whose(letter);
            let with = if who == letter.to { letter.from } else { letter.to };
            self.history(who, with).iter().filter(|line| *field(line, "id") == *letter.id).count() == 1
        };
        self.letters.iter().filter(once).count()
    }

    fn strange(&self) -> usize {
        let strange = |who: Who, with: Who, line: &Value| {
            let between = |l: &Letter| (l.from, l.to) == (who, with) || (l.from, l.to) == (with, who);
            !self.letters.iter().any(|letter| between(letter) && *field(line, "id") == *letter.id)
        };
        let all = self.histories.iter();
        all.map(|(who, with, lines)| lines.iter().filter(|line| strange(*who, *with, line)).count()).sum()
    }

    /// Who wrote to whom, with the identifiers in the order of sending.
    fn pairs(&self) -> BTreeMap<(&str, &str), (Who, Who, Vec<&str>)> {
        let mut pairs = BTreeMap::new();
        for letter in self.letters {
            let key = (letter.from.handle(), letter.to.handle());
            let pair = pairs.entry(key).or_insert_with(|| (letter.from, letter.to, Vec::new()));
            pair.2.push(letter.id.as_str());
        }
        pairs
    }

    /// Conversations whose letters stand in both histories in the order of sending.
    fn in_order(&self) -> usize {
        let written = |who: Who, with: Who, ids: &[&str]| {
            let stored = self.history(who, with).iter().filter_map(|line| field(line, "id").as_str());
            stored.filter(|id| ids.contains(id)).eq(ids.iter().copied())
        };
        let ordered =
            |(from, to, ids): &&(Who, Who, Vec<&str>)| written(*from, *to, ids) && written(*to, *from, ids);
        self.pairs().values().filter(ordered).count()
    }

    fn unchanged(&self) -> usize {
        let same = |letter: &&Letter| {
            self.line(letter.to, letter).is_some_and(|line| *field(line, "text") == *letter.text)
        };
        self.letters.iter().filter(same).count()
    }
}

/// Compares what `receive` printed: every letter at least once, files byte for byte.
fn screens(stage: &mut Stage) {
    let mut shown = BTreeSet::new();
    let (mut files, mut equal) = (0_usize, 0_usize);
    for letter in &stage.letters {
        let arrivals = &stage.person(letter.to).arrivals;
        let line = arrivals.iter().find(|line| *field(line, "id") == *letter.id);
        if line.is_some() {
            shown.insert(letter.id.as_str());
        }
        for (index, sent) in letter.files.iter().enumerate() {
            files = files.saturating_add(1);
            let received = line.and_then(|line| field(line, "files").get(index)).unwrap_or(&Value::Null);
            let saved =
                field(received, "path").as_str().map(Path::new).and_then(|path| std::fs::read(path).ok());
            let same = saved.is_some_and(|saved| sha256(&[&saved]) == sent.sha256);
            let described = *field(received, "name") == sent.name && *field(received, "size") == sent.size;
            equal = equal.saturating_add(usize::from(same && described));
        }
    }
    let shown = shown.len();
    stage.checks.equal("messages shown by `receive`", stage.letters.len(), shown);
    stage.checks.equal("files equal byte for byte (SHA-256), and names", files, equal);
}

/// Searches the relay's memory as it is now, and adds what is found to what was found before.
#[cfg(target_os = "linux")]
pub(super) fn memory(stage: &mut Stage) -> Result<(), Failure> {
    let Some(relay) = &stage.relay else { return Err(Failure::new("no relay runs")) };
    if let Some(found) = super::memory::search(relay.id(), &stage.markers)? {
        stage.relay_memory.merge(found);
    }
    Ok(())
}

/// Other systems do not show a process's memory as a file.
#[cfg(not(target_os = "linux"))]
pub(super) fn memory(_: &mut Stage) -> Result<(), Failure> {
    Ok(())
}

/// Looks for every marker where it must not be, and, as a control, where it was planted.
pub(super) fn secrecy(stage: &mut Stage, while_waiting: Found) -> Result<(), Failure> {
    let control = stage.path("control");
    let planted = control.join("planted.db");
    std::fs::create_dir_all(&control)
        .and_then(|()| std::fs::write(&planted, stage.markers.in_clear()))
        .map_err(|error| Failure::io(planted.display(), &error))?;
    let mut relay = stage.markers.search(&stage.relay_data())?;
    let log = stage.markers.search(&stage.relay_logs())?;
    let planted = stage.markers.search(&control)?;
    let mut stores = Found::default();
    for home in stage.homes() {
        stores.merge(stage.markers.search(&home)?);
    }
    let sent: u64 = stage.letters.iter().flat_map(|letter| &letter.files).map(|file| file.size).sum();
    let (searched, logged) = (relay.bytes, log.bytes);
    relay.merge(while_waiting);
    let wanted = stage.markers.len();
    let checks = &mut stage.checks;
    checks.equal("control: markers found where they were planted", wanted, planted.markers());
    checks.at_least("control: bytes searched in the relay's data", sent, searched);
    checks.at_least("control: bytes searched in the relay's log (trace)", 1, logged);
    checks.unreadable("markers readable in the relay's data", &relay);
    checks.unreadable("markers readable in the relay's log", &log);
    checks.unreadable("markers readable in the people's stores", &stores);
    if stage.relay_memory.bytes > 0 {
        checks.unreadable("markers readable in the relay's memory", &stage.relay_memory);
    }
    Ok(())
}

/// Looks into the environment of the running relay, and of the desk, which does have the passphrase.
#[cfg(target_os = "linux")]
pub(super) fn environment(stage: &mut Stage) -> Result<(), Failure> {
    use crate::process::{PASSPHRASE, Running};

    let has_passphrase = |running: &Option<Running>| {
        let Some(running) = running else { return Err(Failure::new("relay or desk does not run")) };
        let path = format!("/proc/{}/environ", running.id());
        let environment = std::fs::read(&path).map_err(|error| Failure::io(path, &error))?;
        let contains = |what: &str| environment.windows(what.len()).any(|bytes| bytes == what.as_bytes());
        Ok(contains(PASSPHRASE) || contains(&stage.passphrase))
    };
    let (relay, desk) = (has_passphrase(&stage.relay)?, has_passphrase(&stage.desk)?);
    let word = |yes| if yes { "yes" } else { "no" };
    stage.checks.equal("control: passphrase in the desk's environment", "yes", word(desk));
    stage.checks.equal("passphrase in the relay's environment", "no", word(relay));
    relay_memory_is_seen(stage)
}

/// Of what is in the relay's memory for sure, the path of its data, something must be found there.
#[cfg(target_os = "linux")]
fn relay_memory_is_seen(stage: &mut Stage) -> Result<(), Failure> {
    let Some(relay) = &stage.relay else { return Err(Failure::new("no relay runs")) };
    let mut known = super::search::Markers::default();
    known.add_text("its folder", &stage.relay_data().to_string_lossy())?;
    if let Some(found) = super::memory::search(relay.id(), &known)? {
        let name = "control: pieces of its own path in the relay's memory";
        stage.checks.equal(name, known.len(), found.markers());
    }
    Ok(())
}

/// Other systems have no place to look up another process's environment.
#[cfg(not(target_os = "linux"))]
pub(super) fn environment(_: &mut Stage) -> Result<(), Failure> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str) -> Letter {
        let (from, to) = (Who::Alice, Who::Bob);
        Letter {
            id: id.into(),
            from,
            to,
            text: "hello".into(),
            files: Vec::new(),
            relay_ran: true,
            outcome: Outcome::Taken,
        }
    }

    fn histories(of_bob: &[&str]) -> Histories {
        let lines = |ids: &[&str]| ids.iter().map(|id| json!({"id": id, "text": "hello"})).collect();
        vec![(Who::Alice, Who::Bob, lines(&["1", "2"])), (Who::Bob, Who::Alice, lines(of_bob))]
    }

    /// Once, strange, in order, unchanged.
    fn judge(of_bob: &[&str]) -> (usize, usize, usize, usize) {
        let (letters, histories) = ([letter("1"), letter("2")], histories(of_bob));
        let table = Delivery { letters: &letters, histories: &histories };
        (table.once(|letter| letter.to), table.strange(), table.in_order(), table.unchanged())
    }

    #[test]
    fn a_faithful_history_passes() {
        assert_eq!(judge(&["1", "2"]), (2, 0, 1, 2));
    }

    #[test]
    fn a_lost_a_repeated_a_strange_and_a_late_message_are_noticed() {
        assert_eq!(judge(&["1"]), (1, 0, 0, 1));
        assert_eq!(judge(&["1", "2", "2"]), (1, 0, 0, 2));
        assert_eq!(judge(&["1", "2", "3"]), (2, 1, 1, 2));
        assert_eq!(judge(&["2", "1"]), (2, 0, 0, 2));
    }

    #[test]
    fn an_empty_table_has_not_passed() {
        let mut checks = Checks::default();
        assert!(!checks.passed());
        checks.equal("one", 1, 1);
        assert!(checks.passed());
        checks.at_least("two", 2, 1);
        assert!(!checks.passed());
    }
}
