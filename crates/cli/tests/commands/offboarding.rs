//! Administrators with a relay: what is signed enters the log, and whoever is offboarded is cut off.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Company, Daemon, string};

impl Company {
    fn log(&self) -> Value {
        self.org(&["log"]).ok()
    }

    /// The kinds of the log's entries.
    fn kinds(&self) -> Vec<String> {
        self.entries().iter().map(|entry| string(&entry["kind"])).collect()
    }

    fn entries(&self) -> Vec<Value> {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let monitor = crate::support::run(&["monitor", "--dir", &org, "--key-file", &key, "--json"]);
        assert_eq!(monitor.code, 0, "{monitor:?}");
        monitor.lines
    }

    fn restart_desk(&mut self) {
        self.desk().stop();
        self.start_desk();
    }
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(45), "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn an_enrolment_is_in_the_log_before_its_answer_r_org_40_r_org_41() {
    let company = Company::open();
    let alice = company.member("alice");
    let entries = company.entries();
    let of_alice: Vec<&Value> = entries.iter().filter(|entry| entry["handle"] == "alice").collect();
    let kinds: Vec<&str> = of_alice.iter().filter_map(|entry| entry["kind"].as_str()).collect();
    assert_eq!(kinds, ["administrative act", "device", "directory entry"]);
    assert_eq!(of_alice[1]["object"], alice["member"]);
    let log = company.log();
    assert_eq!((&log["size"], &log["waiting"]), (&entries.len().into(), &Value::Array(Vec::new())));
    // Every act is where its record says.
    let audit = company.org(&["audit"]);
    assert_eq!(audit.code, 0, "{audit:?}");
    for act in &audit.lines {
        let entry = usize::try_from(act["entry"].as_u64().unwrap()).unwrap();
        assert_eq!((&entries[entry]["commitment"], &act["fault"]), (&act["commitment"], &Value::Null));
    }
}

#[test]
fn whoever_is_offboarded_is_cut_off_and_that_is_verified_r_org_42_r_org_44() {
    let company = Company::open();
    let alice = company.member("alice");
    company.member("bob");
    let not_out = company.org(&["verify-offboarded", "alice"]);
    not_out.fails(1, "not-offboarded", false);
    assert_eq!(
        (&not_out.lines[0]["verified"], &not_out.lines[0]["member"]),
        (&false.into(), &alice["member"])
    );
    assert!(not_out.lines[0]["doubts"].as_array().unwrap().len() > 2, "{:?}", not_out.lines);
    let doubts = not_out.lines[0]["doubts"].to_string();
    assert!(doubts.contains("hands out prekeys") && doubts.contains("takes envelopes"), "{doubts}");
    company.org(&["verify-offboarded", "nobody"]).fails(3, "unknown-recipient", false);
    let report = company.org(&["offboard", "alice"]).ok();
    assert_eq!((&report["complete"], &report["relay"]), (&true.into(), &"cut".into()));
    assert_eq!(
        (&report["revocation"]["state"], &report["directory"]["state"]),
        (&"logged".into(), &"logged".into())
    );
    assert_eq!(report["devices"][0]["wiped"], "pending");
    let entry = usize::try_from(report["revocation"]["entry"].as_u64().unwrap()).unwrap();
    assert_eq!(
        (&company.entries()[entry]["kind"], &company.entries()[entry]["subject"]),
        (&"member ended".into(), &alice["member"])
    );
    let verified = company.org(&["verify-offboarded", "alice"]).ok();
    assert_eq!((&verified["verified"], &verified["member"]), (&true.into(), &alice["member"]));
    assert_ne!(company.command("alice", &["receive"]).code, 0, "the relay lets her in no more");
    let report = company.org(&["offboard", "alice"]).ok();
    assert_eq!(report["devices"][0]["wiped"], "confirmed", "she has heard of it");
    // Again is the same, and the handle is somebody else's from then on.
    assert_eq!(company.org(&["offboard", "alice"]).ok(), report);
    let size = company.log()["size"].clone();
    company.org(&["offboard", "alice"]).ok();
    assert_eq!(company.log()["size"], size);
    let link = company.invite("alice");
    let second = company.enroll("alice2", &link).ok();
    assert_ne!(second["member"], alice["member"]);
    assert_eq!(company.command("alice2", &["receive"]).code, 0);
    // The handle means whoever has it.
    let not_out = company.org(&["verify-offboarded", "alice"]);
    not_out.fails(1, "not-offboarded", false);
    assert_eq!(not_out.lines[0]["member"], second["member"]);
    company.org(&["offboard", "alice"]).ok();
    assert_eq!(company.org(&["verify-offboarded", "alice"]).ok()["member"], second["member"]);
}

#[test]
fn who_was_offline_through_two_removals_sends_again_by_itself_r_engine_54() {
    let mut company = Company::open();
    for who in ["alice", "bob", "carol", "dave"] {
        company.member(who);
    }
    company.learn_directory("alice");
    company.command("alice", &["send", "bob", "before"]).ok();
    let file = company.at("note.txt");
    std::fs::write(&file, b"a note").unwrap();
    // What is sealed now has waited through both, and so has the file.
    company.relay.stop();
    let queued = company.command("alice", &["send", "bob", "while offline", "--file", &file]);
    queued.is_queued("relay-unreachable");
    company.restart_relay();
    for who in ["carol", "dave"] {
        company.org(&["offboard", who]).ok();
    }
    assert_eq!(company.command("alice", &["receive"]).code, 0);
    let heard = company.command("bob", &["receive", "--save", &company.at("downloads")]);
    assert_eq!(heard.code, 0, "{heard:?}");
    let texts: Vec<&Value> =
        heard.lines.iter().map(|line| &line["text"]).filter(|text| !text.is_null()).collect();
    assert_eq!(texts, ["before", "while offline"]);
    assert_eq!(std::fs::read(string(&heard.lines[1]["files"][0]["path"])).unwrap(), b"a note");
}

#[test]
fn an_offboarding_without_a_relay_is_finished_by_the_desk_r_org_43() {
    let mut company = Company::open();
    company.member("alice");
    company.relay.stop();
    let report = company.org(&["offboard", "alice"]);
    report.fails(5, "statement-queued", false);
    assert_eq!(report.lines[0]["relay"], "not-cut");
    company.restart_relay();
    // Nobody repeats the command: the desk that serves hands it over.
    eventually("the desk hands it over", || company.kinds().contains(&"member ended".to_owned()));
    eventually("and publishes", || company.org(&["verify-offboarded", "alice"]).code == 0);
    assert_eq!(company.org(&["offboard", "alice"]).ok()["complete"], true);
}

#[test]
fn an_offboarding_that_is_killed_at_any_moment_is_finished_by_the_next_r_org_43() {
    let mut company = Company::open();
    let delays = [0, 10, 25, 50, 100];
    let names: Vec<String> = delays.iter().map(|delay| format!("member{delay}")).collect();
    for name in &names {
        company.member(name);
    }
    company.desk().kill();
    let (org, key) = (company.at("org"), company.at("org.key"));
    for (name, delay) in names.iter().zip(delays) {
        let mut offboarding =
            Daemon::start(&["org", "offboard", name, "--dir", &org, "--key-file", &key, "--json"]);
        std::thread::sleep(Duration::from_millis(delay));
        offboarding.kill();
    }
    for name in &names {
        let report = company.org(&["offboard", name]).ok();
        assert_eq!(report["complete"], true);
        company.org(&["verify-offboarded", name]).ok();
    }
    let ends = company.kinds().iter().filter(|kind| *kind == "member ended").count();
    assert_eq!(ends, names.len(), "each of them once");
    assert_eq!(company.org(&["audit"]).code, 0);
}

#[test]
fn an_offboarding_that_is_not_finished_is_not_verified_r_org_44() {
    let mut company = Company::open();
    company.member("alice");
    company.desk().stop();
    company.relay.stop();
    company.org(&["offboard", "alice"]).fails(5, "statement-queued", false);
    company.restart_relay();
    let doubts = company.org(&["verify-offboarded", "alice"]);
    doubts.fails(1, "not-offboarded", false);
    let line = &doubts.lines[0];
    assert_eq!(line["verified"], false);
    let text = line["doubts"].to_string();
    for doubt in ["no end of the member", "without devices", "takes old delivery tokens", "still wait"] {
        assert!(text.contains(doubt), "{text}");
    }
    company.org(&["offboard", "alice"]).ok();
    company.org(&["verify-offboarded", "alice"]).ok();
}

#[test]
fn policy_and_successions_reach_the_log_at_once_r_org_47() {
    let company = Company::open();
    company.member("ann");
    let set = company.org(&["policy", "set", "--freshness", "2d", "--no-export"]).ok();
    assert_eq!(set["state"], "in-log");
    assert_eq!(company.org(&["group-successor", "set", "ann"]).ok()["state"], "in-log");
    let kinds = company.kinds();
    assert!(kinds.contains(&"policy".to_owned()) && kinds.contains(&"group successors".to_owned()));
}

#[test]
fn a_relay_is_recorded_with_the_keys_and_in_the_name_that_are_given_r_org_46() {
    let company = Company::open();
    let added = company.org(&["issuer", "add", "--capabilities", "policy"]).ok();
    let wrong = company.org(&["issuer", "add", "--capabilities", "offboard"]).ok();
    let url = company.url.replace("127.0.0.1", "localhost");
    let relay = ["relay", &url, "--pin", &company.pin, "--actor", "ann", "--admin"];
    let refused = company.org(&[&relay[..], &[&string(&wrong["file"])]].concat());
    refused.fails(2, "keys-not-permitted", false);
    company.org(&[&relay[..], &[&company.at("nowhere.key")]].concat()).fails(3, "file-not-found", false);
    std::fs::remove_file(company.path("org/admin.key")).unwrap();
    let recorded = company.org(&[&relay[..], &[&string(&added["file"])]].concat()).ok();
    assert_eq!(recorded["url"], url);
    let acts = company.acts();
    let last = acts.last().unwrap();
    assert_eq!(
        (&last["actor"], &last["action"], &last["after"]),
        (&"ann".into(), &"relay".into(), &url.into())
    );
}

#[test]
fn ceremonies_reach_the_log_while_the_desk_serves_r_org_45() {
    let mut company = Company::open();
    let alice = company.member("alice");
    let added = company.org(&["issuer", "add", "--capabilities", "offboard"]).ok();
    let (issuer, file) = (string(&added["issuer"]), string(&added["file"]));
    assert_eq!(added["state"], "in-log");
    company.org(&["root", "succeed"]).ok();
    let before = company.org(&["issuer", "list"]).lines;
    let renewed = company.org(&["desk", "renew"]).ok();
    assert_eq!(renewed["state"], "in-log", "with the login of the desk before");
    company.org(&["issuer", "revoke", &string(&before[0]["issuer"])]).ok();
    // The desk that was serving goes on with the new keys; so does one that is started.
    company.member("bob");
    company.restart_desk();
    company.member("carol");
    assert_eq!(company.command("alice", &["receive"]).code, 0, "what the old issuer signed stands");
    company.org(&["offboard", "alice", "--admin", &file]).ok();
    assert_eq!(company.org(&["verify-offboarded", "alice"]).ok()["member"], alice["member"]);
    company.org(&["issuer", "revoke", &issuer]).ok();
    let refused = company.org(&["offboard", "bob", "--admin", &file]);
    refused.fails(2, "keys-not-permitted", false);
}

#[test]
fn a_device_that_an_administrator_removes_is_cut_off_r_org_40() {
    let company = Company::open();
    let alice = company.member("alice");
    let device = string(&alice["device"]);
    company.org(&["remove-device", "alice", &"0".repeat(32)]).fails(3, "device-unknown", false);
    let removed = company.org(&["remove-device", "alice", &device]).ok();
    assert_eq!(removed["state"], "ended");
    assert!(company.kinds().contains(&"device ended".to_owned()));
    assert_ne!(company.command("alice", &["receive"]).code, 0);
}

#[test]
fn a_relay_that_lost_part_of_its_log_is_not_believed_r_org_48() {
    let mut company = Company::open();
    company.desk().stop();
    company.relay.stop();
    let (data, backup) = (company.path("data"), company.path("backup"));
    crate::serving::copy(&data, &backup);
    company.restart_relay();
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    company.log();
    company.relay.stop();
    std::fs::remove_dir_all(&data).unwrap();
    crate::serving::copy(&backup, &data);
    company.restart_relay();
    let (org, key) = (company.at("org"), company.at("org.key"));
    let monitor = crate::support::run(&["monitor", "--dir", &org, "--key-file", &key, "--json"]);
    monitor.fails(2, "log-not-believed", false);
}

#[test]
fn the_log_is_replayed_from_where_the_last_replay_ended_and_wholly_on_demand_r_org_48() {
    let company = Company::open();
    company.member("alice");
    let first = company.log();
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    company.org(&["group-successor", "set", "alice"]).ok();
    let further = company.log();
    assert!(further["size"].as_u64() > first["size"].as_u64());
    let whole = company.org(&["log", "--full"]).ok();
    assert_eq!(
        (&whole["size"], &whole["root"], &further["root"]),
        (&further["size"], &further["root"], &whole["root"])
    );
    let entries = company.entries();
    let (org, key) = (company.at("org"), company.at("org.key"));
    let full = ["monitor", "--dir", &org, "--full", "--key-file", &key, "--json"];
    assert_eq!(crate::support::run(&full).lines, entries);
    // After that it goes on from there again.
    company.org(&["offboard", "alice"]).ok();
    company.org(&["verify-offboarded", "alice"]).ok();
    company.org(&["verify-offboarded", "alice", "--full"]).ok();
    assert_eq!((company.org(&["audit"]).code, company.org(&["audit", "--full"]).code), (0, 0));
}

#[test]
fn a_member_sees_what_the_log_says_of_them_and_of_nobody_else_r_log_6() {
    let company = Company::open();
    let alice = company.member("alice");
    company.member("bob");
    let seen = company.command("alice", &["monitor"]);
    let kinds: Vec<&str> = seen.lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["administrative act", "device", "directory entry"]);
    assert_eq!((&seen.lines[1]["subject"], &seen.lines[1]["object"]), (&alice["device"], &alice["member"]));
    company.org(&["invite", "alice", "--device"]).ok();
    let mut monitor = company.daemon("alice", &["monitor", "--follow"]);
    let entries: Vec<Value> = (0..3).map(|_| monitor.line()).collect();
    assert_eq!(entries, seen.lines);
    company.log();
    assert_eq!(monitor.line()["kind"], "administrative act", "the invitation of another device");
    monitor.stop();
}

#[test]
fn an_act_whose_record_is_gone_is_missed_r_org_46() {
    let mut company = Company::open();
    company.desk().stop();
    let (books, copy) = (company.path("org/desk.db"), company.path("desk.db.old"));
    std::fs::copy(&books, &copy).unwrap();
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    assert_eq!(company.org(&["audit"]).code, 0);
    std::fs::copy(&copy, &books).unwrap();
    let audit = company.org(&["audit"]);
    audit.fails(1, "act-changed", false);
    assert_eq!(audit.lines[0]["fault"], "missing");
    assert_eq!(company.org(&["audit", "--offline"]).code, 0, "the books alone do not tell");
}

#[test]
fn a_monitor_that_follows_prints_what_comes() {
    let company = Company::open();
    let (org, key) = (company.at("org"), company.at("org.key"));
    let mut monitor = Daemon::start(&["monitor", "--follow", "--dir", &org, "--key-file", &key, "--json"]);
    assert_eq!(monitor.line()["kind"], "issuer");
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    while monitor.line()["kind"] != "policy" {}
    monitor.stop();
}

#[test]
fn a_handle_given_again_is_a_stranger_of_whom_every_contact_is_told_r_engine_36() {
    let company = Company::open();
    let old = company.member("alice");
    company.member("bob");
    company.command("alice", &["send", "bob", "from the first"]).ok();
    assert_eq!(company.command("bob", &["receive"]).ok()["text"], "from the first");
    company.org(&["offboard", "alice"]).ok();
    let link = company.invite("alice");
    let new = company.enroll("second", &link).ok();
    assert_ne!(new["member"], old["member"]);
    company.command("second", &["send", "bob", "from the second"]).ok();
    let mut told = Vec::new();
    eventually("bob is told", || {
        told.extend(company.command("bob", &["receive"]).lines);
        let event = |name: &str| told.iter().any(|line| line["event"] == name);
        event("member-left") && event("handle-reassigned") && event("message")
    });
    let reassigned = told.iter().find(|line| line["event"] == "handle-reassigned").unwrap();
    assert_eq!((&reassigned["old"], &reassigned["new"]), (&old["member"], &new["member"]));
    let history = company.command("bob", &["history", "alice"]);
    assert_eq!(history.lines.len(), 1, "nothing of the first one: {:?}", history.lines);
    assert_eq!(history.lines[0]["text"], "from the second");
    let earlier = company.command("bob", &["history", old["member"].as_str().unwrap()]);
    assert_eq!(earlier.lines.last().unwrap()["text"], "from the first");
    assert!(
        company.command("second", &["history", "bob"]).lines.len() == 1,
        "it has no history of the first"
    );
}
