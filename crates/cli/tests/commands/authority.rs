//! What administrators do while no relay is there: everything is stored, waits, and is not done twice.

use serde_json::Value;

use crate::support::{Company, Outcome, run, string};

/// An organisation whose relay is recorded and gone.
fn alone() -> Company {
    let mut company = Company::without_desk();
    company.relay.stop();
    company
}

impl Company {
    pub(crate) fn org(&self, arguments: &[&str]) -> Outcome {
        let (org, key) = (self.at("org"), self.at("org.key"));
        run(&[&["org"][..], arguments, &["--dir", &org, "--key-file", &key, "--json"]].concat())
    }

    /// A command that is stored and waits; returns its result.
    #[track_caller]
    fn queued(&self, arguments: &[&str]) -> Value {
        let outcome = self.org(arguments);
        outcome.fails(5, "statement-queued", false);
        outcome.lines.into_iter().next().unwrap()
    }

    /// The kinds of the statements that wait.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let log = self.org(&["log"]);
        let waiting = log.lines[0]["waiting"].as_array().unwrap();
        waiting.iter().map(|it| string(&it["kind"])).collect()
    }

    pub(crate) fn acts(&self) -> Vec<Value> {
        let audit = self.org(&["audit", "--offline"]);
        assert_eq!(audit.code, 0, "{audit:?}");
        audit.lines
    }
}

#[test]
fn a_policy_is_shown_before_and_after_and_waits_for_the_log_r_org_47() {
    let company = alone();
    let set = ["policy", "set", "--freshness", "3d", "--retention", "30d", "--no-export"];
    let dry = company.org(&[&set[..], &["--dry-run"]].concat()).ok();
    assert_eq!(
        (&dry["state"], &dry["before"]["export"], &dry["after"]["export"]),
        (&"dry-run".into(), &true.into(), &false.into())
    );
    assert_eq!(company.org(&["policy", "show"]).ok()["export"], true, "a dry run changes nothing");
    let done = company.queued(&set);
    assert_eq!(
        (&done["after"]["freshness_s"], &done["after"]["retention_s"]),
        (&259_200.into(), &2_592_000.into())
    );
    let shown = company.org(&["policy", "show"]).ok();
    assert_eq!(shown, done["after"]);
    let waiting = company.waiting();
    assert_eq!(waiting[waiting.len() - 2..], ["policy", "administrative act"]);
    company.queued(&set);
    assert_eq!(company.waiting(), waiting, "what changes nothing is not signed");
    let back = company.queued(&["policy", "set", "--retention", "none", "--export", "--actor", "ann"]);
    assert_eq!(
        (&back["after"]["retention_s"], &back["after"]["freshness_s"]),
        (&Value::Null, &259_200.into())
    );
    company.org(&["policy", "set", "--freshness", "5m"]).fails(64, "policy-out-of-range", false);
    company.org(&["policy", "set", "--device-limit", "17"]).fails(64, "policy-out-of-range", false);
    let acts = company.acts();
    let last = acts.last().unwrap();
    assert_eq!(
        (&last["actor"], &last["action"], &last["entry"]),
        (&"ann".into(), &"policy".into(), &Value::Null)
    );
}

#[test]
fn somebody_is_offboarded_once_and_the_handle_is_free_r_org_42_r_org_43() {
    let company = alone();
    let first = company.invite_with(&["alice"]).ok();
    company.org(&["offboard", "nobody"]).fails(3, "unknown-recipient", false);
    company.org(&["verify-offboarded", "nobody"]).fails(3, "unknown-recipient", false);
    let dry = company.org(&["offboard", "alice", "--dry-run"]).ok();
    assert_eq!(
        (&dry["member"], &dry["invitations_ended"], &dry["dry_run"]),
        (&first["member"], &1.into(), &true.into())
    );
    let report = company.queued(&["offboard", "alice"]);
    for (field, value) in dry.as_object().unwrap() {
        assert!(["dry_run", "started"].contains(&field.as_str()) || report[field] == *value, "{field}");
    }
    // What was done before is previewed as well, and changes nothing.
    assert_eq!(company.org(&["offboard", "alice", "--dry-run"]).ok()["started"], report["started"]);
    assert_eq!((&report["member"], &report["complete"]), (&first["member"], &false.into()));
    assert_eq!((&report["revocation"]["state"], &report["relay"]), (&"queued".into(), &"not-cut".into()));
    let waiting = company.waiting();
    assert_eq!(company.queued(&["offboard", "alice"]), report, "again is the same");
    assert_eq!(company.waiting(), waiting);
    // The handle means whoever is invited next, and that person can be offboarded too.
    let second = company.invite_with(&["alice"]).ok();
    assert_ne!(second["member"], first["member"]);
    assert_eq!(company.queued(&["offboard", "alice"])["member"], second["member"]);
    let actions: Vec<String> = company.acts().iter().map(|act| string(&act["action"])).collect();
    assert_eq!(actions[actions.len() - 4..], ["invite", "offboard", "invite", "offboard"]);
}

#[test]
fn issuers_are_named_listed_and_ended_with_the_root_r_org_45() {
    let company = alone();
    company.invite("ann");
    let list = || company.org(&["issuer", "list"]).lines;
    assert_eq!(list().len(), 2);
    let add = ["issuer", "add", "--capabilities", "offboard,policy", "--days", "30", "--holder", "ann"];
    company.org(&[&add[..], &["--dry-run"]].concat()).ok();
    assert_eq!(list().len(), 2);
    let added = company.queued(&add);
    let (id, file) = (string(&added["issuer"]), string(&added["file"]));
    let last = list().pop().unwrap();
    assert_eq!((&last["issuer"], &last["holder"]), (&added["issuer"], &"ann".into()));
    assert_eq!(last["capabilities"], "offboard,policy");
    // Its file signs what it may, and nothing else.
    company.queued(&["policy", "set", "--device-limit", "3", "--admin", &file]);
    let groups = ["group-successor", "set", "ann", "--admin", &file];
    company.org(&groups).fails(2, "keys-not-permitted", false);
    let plan = company.org(&["offboard", "ann", "--dry-run"]).ok();
    assert_eq!(plan["issuers"][0], added["issuer"]);
    // R-ORG-62: a dry run is refused what the real one would be.
    let other = company.queued(&["issuer", "add", "--capabilities", "groups"]);
    let dry = ["offboard", "ann", "--dry-run", "--admin"];
    company.org(&[&dry[..], &[&string(&other["file"])]].concat()).fails(2, "keys-not-permitted", false);
    let nowhere = company.at("nowhere.key");
    company.org(&[&dry[..], &[&nowhere]].concat()).fails(3, "file-not-found", false);
    // The desk's own issuer stays until the desk is renewed.
    let desks = list().into_iter().find(|issuer| issuer["desk"] == true).unwrap();
    let desks = string(&desks["issuer"]);
    company.org(&["issuer", "revoke", &desks]).fails(1, "issuer-in-use", false);
    company.org(&["issuer", "revoke", "00"]).fails(3, "issuer-unknown", false);
    company.org(&["issuer", "revoke", &id[..12], "--dry-run"]).ok();
    company.queued(&["issuer", "revoke", &id[..12]]);
    let ended = list().into_iter().find(|issuer| issuer["issuer"] == added["issuer"]).unwrap();
    assert!(ended["ended"].is_string());
    assert!(company.waiting().contains(&"issuer ended".to_owned()));
}

#[test]
fn the_last_issuer_that_may_offboard_is_ended_only_by_force_r_org_63() {
    let company = alone();
    let list = || company.org(&["issuer", "list"]).lines;
    let admin = list().into_iter().find(|issuer| issuer["desk"] == false).unwrap();
    let admin = string(&admin["issuer"]);
    let dry = company.org(&["issuer", "revoke", &admin, "--dry-run"]).ok();
    assert_eq!(dry["last_of"], "offboard");
    let refused = company.org(&["issuer", "revoke", &admin]);
    refused.fails(1, "last-issuer", false);
    assert!(list().iter().all(|issuer| issuer["ended"].is_null()));
    // With another, the first is ended without more ado; then that one is the last.
    let added = company.queued(&["issuer", "add", "--capabilities", "offboard"]);
    company.queued(&["issuer", "revoke", &admin]);
    let added = string(&added["issuer"]);
    company.org(&["issuer", "revoke", &added]).fails(1, "last-issuer", false);
    company.queued(&["issuer", "revoke", &added, "--force"]);
    assert_eq!(list().iter().filter(|issuer| issuer["ended"].is_string()).count(), 2);
}

#[test]
fn shares_of_a_root_that_was_replaced_are_void_r_org_61() {
    let company = alone();
    let split = company.org(&["root", "split", "--threshold", "2", "--shares", "2"]);
    assert_eq!(split.code, 0, "{split:?}");
    let shares: String = split.lines.iter().map(|line| string(&line["share"]) + "\n").collect();
    let file = |name: &str| company.path(&format!("org/{name}"));
    let (old, shared) =
        (std::fs::read(file("root.key")).unwrap(), std::fs::read(file("root.shared")).unwrap());
    company.queued(&["root", "succeed"]);
    assert!(!file("root.shared").exists());
    assert_eq!(std::fs::read(file("root.shared.old")).unwrap(), shared);
    // Somebody brings the old files back.
    let new = std::fs::read(file("root.key")).unwrap();
    std::fs::write(file("root.key"), &old).unwrap();
    let again = ["root", "split", "--threshold", "2", "--shares", "2"];
    company.org(&again).fails(2, "root-not-newest", false);
    std::fs::remove_file(file("root.key")).unwrap();
    std::fs::write(file("root.shared"), &shared).unwrap();
    for (number, share) in shares.lines().enumerate() {
        std::fs::write(company.path(&format!("share{number}")), share).unwrap();
    }
    let (one, two) = (company.at("share0"), company.at("share1"));
    let join = company.org(&["root", "join", "--share-file", &one, "--share-file", &two]);
    join.fails(2, "root-not-newest", false);
    assert!(!file("root.key").exists());
    // The newest is split and joined as ever; forgetting removes the shares too.
    std::fs::remove_file(file("root.shared")).unwrap();
    std::fs::write(file("root.key"), new).unwrap();
    assert_eq!(company.org(&again).code, 0);
    company.queued(&["root", "succeed", "--forget"]);
    assert!(!file("root.shared").exists());
}

#[test]
fn a_renewed_desk_and_a_new_root_keep_the_books_r_org_45() {
    let company = alone();
    company.invite("ann");
    let before = company.org(&["issuer", "list"]).lines;
    company.org(&["desk", "renew", "--dry-run"]).ok();
    let renewed = company.queued(&["desk", "renew"]);
    assert_ne!(renewed["issuer"], before[0]["issuer"]);
    company.invite_with(&["ann"]).fails(1, "handle-taken", false);
    company.invite("ben");
    company.queued(&["issuer", "revoke", &string(&before[0]["issuer"])]);

    let (root, old) = (company.path("org/root.key"), company.path("org/root.key.old"));
    let first = std::fs::read(&root).unwrap();
    company.org(&["root", "succeed", "--dry-run"]).ok();
    assert_eq!(std::fs::read(&root).unwrap(), first);
    company.queued(&["root", "succeed"]);
    assert_ne!(std::fs::read(&root).unwrap(), first);
    assert_eq!(std::fs::read(&old).unwrap(), first);
    let named = ["issuer", "add", "--capabilities", "groups", "--root"];
    let old = crate::support::text(&old);
    company.org(&[&named[..], &[old.as_str()]].concat()).fails(2, "root-not-newest", false);
    let elsewhere = company.at("nowhere.key");
    company.org(&[&named[..], &[elsewhere.as_str()]].concat()).fails(3, "file-not-found", false);
    company.queued(&["issuer", "add", "--capabilities", "groups"]);
    company.queued(&["root", "succeed", "--forget"]);
    let names: Vec<_> =
        std::fs::read_dir(company.path("org")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name == "root.key.new"), "{names:?}");
    company.invite("carol");
}

#[test]
fn a_root_whose_replacement_was_interrupted_is_put_in_place_r_org_45() {
    let company = alone();
    company.queued(&["root", "succeed", "--forget"]);
    // The new root's file was not renamed yet.
    std::fs::rename(company.path("org/root.key"), company.path("org/root.key.new")).unwrap();
    company.queued(&["root", "succeed", "--forget"]);
    assert!(company.path("org/root.key").exists() && !company.path("org/root.key.new").exists());
    company.queued(&["issuer", "add", "--capabilities", "groups"]);
}

#[test]
fn successors_of_groups_are_members_r_org_47() {
    let company = alone();
    let ann = company.invite_with(&["ann"]).ok();
    let set = |more: &[&str]| company.org(&[&["group-successor", "set"][..], more].concat());
    set(&["nobody"]).fails(3, "unknown-recipient", false);
    let dry = set(&["ann", "--dry-run"]).ok();
    assert_eq!(dry["members"][0], ann["member"]);
    let group = "0a".repeat(16);
    let done = company.queued(&["group-successor", "set", "ann", "--group", &group]);
    assert_eq!((&done["group"], &done["state"]), (&group.into(), &"queued".into()));
    let waiting = company.waiting();
    assert_eq!(waiting[waiting.len() - 2..], ["group successors", "administrative act"]);
}

#[test]
fn only_the_statement_that_is_next_can_be_dropped_r_org_41() {
    let company = alone();
    company.invite("ann");
    let first = || {
        let log = company.org(&["log"]);
        log.fails(5, "statement-queued", false);
        log.lines[0]["waiting"][0]["number"].as_u64().unwrap()
    };
    let number = first();
    company.org(&["log", "--drop", &(number + 1).to_string()]).fails(64, "usage", false);
    company.org(&["log", "--drop", &number.to_string()]).fails(5, "statement-queued", false);
    assert_eq!(first(), number + 1);
    assert_eq!(company.acts().last().unwrap()["action"], "drop statement");
}
