//! Somebody is ended by the organisation while every administrator of their groups is offline: the next message of anybody
//! has them out, and nothing that is sent from then on is readable with what they had.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chancery_crypto::rng::seeded;
use chancery_engine::{Engine, Event, Input, events};
use chancery_identity::{OrgId, Organisation};
use chancery_relay_server::held_envelopes;
use chancery_store::{Store, StoreError};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::support::{Company, run, string};
use crate::{acts, handles};

const PEOPLE: [&str; 10] =
    ["ann", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "mallory"];
const GROUPS: [(&str, &[&str]); 3] = [
    ("Everybody", &["bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "mallory"]),
    ("Kitchen", &["bob", "carol", "dave", "mallory"]),
    ("Garden", &["erin", "frank", "grace", "mallory"]),
];
/// What nothing contains by chance.
const BEFORE: &str = "vq7zk3mwx9tj2rhd5c before";
const AFTER: &str = "vq7zk3mwx9tj2rhd5c after";

#[test]
fn whoever_is_ended_while_every_administrator_is_away_is_out_with_the_next_message_r_group_20() {
    let mut company = Company::open();
    company.people(&PEOPLE);
    let org_id = company.org_id();
    for (name, members) in GROUPS {
        company.found("ann", name, members);
    }
    for who in &PEOPLE[1..] {
        company.hears(who);
    }
    // Whoever has written once is known to all, the one who will leave included.
    for who in &PEOPLE[..9] {
        company.writes(who, "Everybody", "good morning");
    }
    assert_eq!(company.reads("mallory").len(), 9);
    // From here on the only administrator of all three groups is away.
    for (who, group) in [("bob", "Everybody"), ("carol", "Kitchen"), ("frank", "Garden")] {
        company.writes(who, group, BEFORE);
    }
    // A copy of mallory's disk, with messages that it has not read but can.
    copy(&company.path("mallory"), &company.path("stolen"));
    let (org, key) = (company.at("org"), company.at("org.key"));
    run(&["org", "offboard", "mallory", "--dir", &org, "--key-file", &key, "--json"]).ok();
    for (who, group) in [("erin", "Everybody"), ("dave", "Kitchen"), ("grace", "Garden")] {
        company.writes(who, group, AFTER);
        let shown = company.show(who, group);
        assert!(!handles(&shown).contains(&"mallory".to_owned()), "{shown}");
    }
    // A message of each of the others, sent with what they learn on the way.
    for (who, group) in [("heidi", "Everybody"), ("bob", "Kitchen"), ("erin", "Garden")] {
        company.writes(who, group, AFTER);
    }
    let mallory = company.command("mallory", &["receive"]);
    mallory.fails(2, "revoked", false);
    assert!(!company.path("mallory/store.db").exists(), "nothing of the device is left");

    company.desk().stop();
    company.relay.stop();
    let held = held_envelopes(&company.path("data"), &org_id).unwrap();
    assert!(held.len() > 10, "the relay keeps what was sent: {}", held.len());
    let readable = readable(&company.path("stolen"), &company.path("mallory.key"), &held);
    let count = |text: &str| readable.iter().filter(|it| *it == text).count();
    assert_eq!(count(BEFORE), 3, "control: the disk reads what was sent before, in each group: {readable:?}");
    assert_eq!(count(AFTER), 0, "and nothing of what was sent afterwards");
    company.restart_relay();

    // Everybody else reads everything, the administrator too, and all see the same group.
    for (name, members) in GROUPS {
        for who in members.iter().filter(|who| **who != "mallory").chain([&"ann"]) {
            company.hears(who);
            let history = company.group(who, &["history", name]);
            let texts = crate::texts(&history.lines);
            let count = |text: &str| texts.iter().filter(|it| *it == text).count();
            assert_eq!((count(BEFORE), count(AFTER)), (1, 2), "{who} in {name}: {history:?}");
            assert!(acts(&history.lines).contains(&"evicted".to_owned()), "{who}: {history:?}");
        }
        company.agree(name, members.iter().filter(|who| **who != "mallory").chain([&"ann"]));
    }

    for place in ["data", "stolen", "ann", "bob"] {
        assert!(!contains(&company.path(place), AFTER.as_bytes()), "{place}");
    }
}

#[test]
fn two_who_evict_at_once_agree_and_nobody_is_lost_r_group_21() {
    let company = Company::open();
    company.people(&PEOPLE[..6]);
    let id = company.found("ann", "Crew", &["bob", "carol", "dave", "erin", "frank"]);
    for who in &PEOPLE[1..6] {
        company.hears(who);
    }
    let (org, key) = (company.at("org"), company.at("org.key"));
    run(&["org", "offboard", "frank", "--dir", &org, "--key-file", &key, "--json"]).ok();
    let mut both = ["bob", "carol"].map(|who| company.daemon(who, &["group", "send", &id, who]));
    for process in &mut both {
        assert_eq!(process.line()["state"], "sent");
    }
    for who in ["dave", "erin", "ann", "bob", "carol"] {
        company.hears(who);
        let mut texts = crate::texts(&company.group(who, &["history", &id]).lines);
        texts.sort();
        assert_eq!(texts, ["bob", "carol"], "{who}");
    }
    company.agree(&id, &["ann", "bob", "carol", "dave", "erin"]);
}

impl Company {
    /// All of them see the same group, once they have followed what an administrator who came back has renewed.
    #[track_caller]
    fn agree<'a>(&self, group: &str, members: impl IntoIterator<Item = &'a &'a str> + Clone) {
        for _ in 0..2 {
            for who in members.clone() {
                self.hears(who);
            }
        }
        let mut prints: Vec<_> =
            members.into_iter().map(|who| string(&self.show(who, group)["fingerprint"])).collect();
        prints.dedup();
        assert_eq!(prints.len(), 1, "{group}");
    }

    fn org_id(&self) -> OrgId {
        let document = std::fs::read(self.path("org/public/organisation.bin")).unwrap();
        let document = chancery_wire::decode(&document, chancery_wire::Limit::FRAME).unwrap();
        Organisation::verify(document, None).unwrap().id()
    }
}

/// The texts that somebody with this disk and these envelopes can read, whatever the order in which they try them.
fn readable(home: &Path, key: &Path, envelopes: &[Vec<u8>]) -> Vec<String> {
    let key = chancery_store::read_key_file(key).unwrap();
    let mut store = Store::open(home.join("store.db"), &key).unwrap();
    let mut rng = seeded([7; 32]);
    let texts = store.read(|stored: &dyn Records| {
        let mut engine = Engine::load(stored, now()).unwrap();
        engine.refresh(stored).unwrap();
        let mut records = Overlay::new(stored);
        for round in 0..3_u64 {
            for (sequence, envelope) in (1..).zip(envelopes) {
                let input = Input::Received { sequence: sequence + round * 100_000, envelope };
                // What the engine refuses is unreadable.
                if let Ok(outcome) = engine.handle(&records, input, now(), &mut rng) {
                    records.absorb(outcome.batch);
                    engine.refresh(&records).unwrap();
                }
            }
        }
        let found = events(&records, 10_000).unwrap();
        let texts = found.into_iter().filter_map(|(_, event)| match event {
            Event::Message(record) => record.text.map(|text| text.text),
            _ => None,
        });
        Ok::<_, StoreError>(texts.collect())
    });
    texts.unwrap()
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Whether bytes stand in a file below a folder.
fn contains(folder: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().map(Result::unwrap).any(|entry| {
        if entry.file_type().unwrap().is_dir() {
            contains(&entry.path(), bytes)
        } else {
            std::fs::read(entry.path()).unwrap().windows(bytes.len()).any(|window| window == bytes)
        }
    })
}

#[test]
fn the_search_finds_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deeper")).unwrap();
    std::fs::write(folder.path().join("deeper/file"), format!("xx{AFTER}yy")).unwrap();
    assert!(contains(folder.path(), AFTER.as_bytes()) && !contains(folder.path(), b"something else"));
}
