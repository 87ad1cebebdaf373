//! Guests, bots and units, as an administrator and the people see them.

use serde_json::Value;

use crate::support::{Company, Outcome, string};

impl Company {
    fn limited(&self, handle: &str, terms: &[&str]) -> Value {
        let invited = self.invite_with(&[&[handle], terms].concat()).ok();
        self.enroll(handle, &string(&invited["link"])).ok()
    }

    fn people(&self, contents: &str, more: &[&str]) -> Outcome {
        let path = self.at("people.csv");
        std::fs::write(&path, contents).unwrap();
        self.invite_with(&[&["--csv", &path], more].concat())
    }
}

/// The one message that a command has printed.
#[track_caller]
fn message(outcome: Outcome) -> Value {
    assert_eq!((outcome.code, outcome.lines.len()), (0, 1), "{outcome:?}");
    outcome.lines.into_iter().next().unwrap()
}

#[test]
fn a_guest_and_bots_join_write_within_their_reach_and_go_r_org_54_r_engine_61() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.invite_with(&["carol", "--guest"]).fails(64, "usage", false);
    company.invite_with(&["carol", "--days", "3"]).fails(64, "validity-not-allowed", false);
    company.invite_with(&["carol", "--reach", "bob"]).fails(64, "reach-not-allowed", false);
    let nobody = company.invite_with(&["carol", "--guest", "--reach", "alice,zoe"]);
    nobody.fails(64, "reach-not-allowed", false);
    assert!(nobody.message().contains("zoe"));
    let days = ["--guest", "--reach", "alice", "--days", "731"];
    company.invite_with(&[&["carol"], days.as_slice()].concat()).fails(64, "validity-not-allowed", false);
    let terms = ["--guest", "--reach", "alice", "--days", "30", "--unit", "Partner Ltd"];
    let carol = company.limited("carol", &terms);
    company.limited("robo", &["--bot", "--days", "7"]);
    company.limited("timer", &["--bot", "--reach", "bob"]);

    company.command("carol", &["send", "alice", "is it ready?"]).ok();
    let heard = message(company.command("alice", &["receive"]));
    assert_eq!((&heard["handle"], &heard["kind"]), (&"carol".into(), &"guest".into()));
    assert_eq!((&heard["unit"], &heard["text"]), (&"Partner Ltd".into(), &"is it ready?".into()));
    company.command("alice", &["send", "carol", "it is"]).ok();
    let heard = message(company.command("carol", &["receive"]));
    assert_eq!(
        (&heard["handle"], &heard["kind"], &heard["unit"]),
        (&"alice".into(), &"member".into(), &Value::Null)
    );
    // Outside its reach a guest knows of nobody, and nobody may write to it.
    company.command("carol", &["send", "bob", "hello"]).fails(3, "unknown-recipient", false);
    company.command("bob", &["send", "carol", "hello"]).fails(4, "out-of-reach", false);
    company.command("alice", &["send", "timer", "hello"]).fails(4, "out-of-reach", false);
    company.command("timer", &["send", "alice", "hello"]).fails(4, "out-of-reach", false);
    company.command("robo", &["send", "bob", "alarm"]).ok();
    let heard = message(company.command("bob", &["receive"]));
    assert_eq!((&heard["kind"], &heard["text"]), (&"bot".into(), &"alarm".into()));

    // A second device of the guest is a guest's.
    let again = company.invite_with(&["carol", "--device"]).ok();
    company.enroll("carol2", &string(&again["link"])).ok();
    company.command("carol2", &["send", "bob", "hello"]).fails(3, "unknown-recipient", false);
    company.command("carol2", &["send", "alice", "from my phone"]).ok();
    let heard = company.command("alice", &["receive"]).lines;
    assert_eq!((&heard[0]["event"], &heard[1]["text"]), (&"device-added".into(), &"from my phone".into()));

    crate::devices::second(&company, "carol", "carol3");
    company.command("carol3", &["send", "bob", "hello"]).fails(3, "unknown-recipient", false);
    company.command("carol3", &["send", "alice", "from my tablet"]).ok();
    let heard = company.command("alice", &["receive"]).lines;
    assert_eq!((&heard[1]["text"], &heard[1]["kind"]), (&"from my tablet".into(), &"guest".into()));

    let (org, key) = (company.at("org"), company.at("org.key"));
    let offboard = |more: &[&str]| {
        let fixed = ["org", "offboard", "alice", "--dir", &org, "--key-file", &key, "--json"];
        crate::support::run(&[&fixed, more].concat()).ok()
    };
    let plan = offboard(&["--dry-run"]);
    assert_eq!(plan["issued"][0]["handle"], "carol");
    let report = offboard(&[]);
    assert_eq!(report["issued"].as_array().unwrap().len(), 1, "{report}");
    assert_eq!(
        (&report["issued"][0]["member"], &report["issued"][0]["kind"]),
        (&carol["member"], &"guest".into())
    );
    company.command("carol", &["receive"]).fails(2, "revoked", false);
    company.command("robo", &["send", "bob", "still here"]).ok();
}

#[test]
fn a_list_invites_guests_bots_and_units_or_nobody_r_org_56() {
    let company = Company::open();
    let header = "handle,name,unit,kind,reach,days\n";
    let bad = format!(
        "{header}a,,,guest,,\nb,,,pet,,\nc,,,bot,,731\nd,,,,e,\ne,,Works,,,\nf,,,bot,E!,\ng,,,member,,3\n"
    );
    let refused = company.people(&bad, &[]);
    refused.fails(64, "list-invalid", false);
    let lines = refused.error.as_ref().unwrap()["lines"].as_array().unwrap().clone();
    let lines: Vec<_> = lines.iter().map(|line| line["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 4, 5, 7, 8]);
    let unknown = format!("{header}alice,,,,,\ncarol,,,guest,alice zoe,\n");
    let refused = company.people(&unknown, &[]);
    refused.fails(64, "list-invalid", false);
    assert_eq!(refused.error.as_ref().unwrap()["lines"][0]["line"], 3);
    // Nothing was half done, and those in reach may stand behind those who reach them.
    let good = format!("{header}carol,,Partner,guest,alice bob,30\nalice,,Works,,,\nbob,,,member,,\n");
    let dry = company.people(&good, &["--dry-run"]);
    let states: Vec<_> = dry.lines.iter().map(|line| (&line["handle"], &line["state"])).collect();
    let invite = Value::from("invite");
    assert_eq!(states, [(&"carol".into(), &invite), (&"alice".into(), &invite), (&"bob".into(), &invite)]);
    let done = company.people(&good, &[]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!((&done.lines[0]["kind"], &done.lines[0]["unit"]), (&"guest".into(), &"Partner".into()));
    for line in &done.lines {
        company.enroll(&string(&line["handle"]), &string(&line["link"])).ok();
    }
    company.command("carol", &["send", "bob", "hello"]).ok();
    assert_eq!(message(company.command("bob", &["receive"]))["kind"], "guest");
    company.command("alice", &["send", "bob", "hello"]).ok();
    assert_eq!(message(company.command("bob", &["receive"]))["unit"], "Works");
}
