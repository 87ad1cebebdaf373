//! Orders of the organisation to groups that it has no key of.

use serde_json::json;

use crate::support::{Company, Outcome, run, string};
use crate::{handles, roles};

impl Company {
    pub(crate) fn org_group(&self, arguments: &[&str]) -> Outcome {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let fixed = ["--dir", &org, "--key-file", &key, "--json"];
        run(&[&["org", "group"], arguments, &fixed].concat())
    }

    fn epoch(&self, who: &str, group: &str) -> String {
        self.show(who, group)["epoch"].to_string()
    }
}

#[test]
fn an_order_is_signed_as_text_and_carried_out_by_members_r_group_9() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol", "dave"]);
    let id = company.found("alice", "Crew", &["bob", "carol"]);
    for who in ["bob", "carol"] {
        company.hears(who);
    }
    let epoch = company.epoch("bob", &id);
    let signed = company.org_group(&["remove", &id, "carol", "--epoch", &epoch]).ok();
    let order = string(&signed["order"]);
    assert_eq!((&signed["group"], order.starts_with("chancery-order:")), (&json!(id), true));
    // A member may carry out removals.
    company.group("bob", &["execute", &id, &order]).ok();
    assert_eq!(handles(&company.show("bob", &id)), ["alice", "bob"]);
    company.hears("carol");
    assert_eq!(company.show("carol", &id)["phase"], "removed");
    // Once is enough.
    let epoch = company.show("bob", &id)["epoch"].clone();
    assert_eq!(company.group("bob", &["execute", &id, &order]).ok()["epoch"], epoch);

    company.hears("alice");
    let epoch = company.epoch("alice", &id);
    let add = company.org_group(&["add", &id, "dave", "--role", "admin", "--epoch", &epoch]).ok();
    company.group("bob", &["execute", &id, &string(&add["order"])]).fails(2, "group-not-allowed", false);
    company.group("alice", &["execute", &id, &string(&add["order"])]).ok();
    company.hears("dave");
    let role = company.org_group(&["role", &id, "bob", "owner", "--epoch", &epoch]).ok();
    company.group("dave", &["execute", &id, &string(&role["order"])]).ok();
    let info =
        company.org_group(&["info", &id, "--name", "Team", "--posting", "admins", "--epoch", &epoch]).ok();
    company.group("dave", &["execute", &id, &string(&info["order"])]).ok();
    company.hears("alice");
    let shown = company.show("alice", "Team");
    let pairs = [("alice", "owner"), ("bob", "owner"), ("dave", "admin")];
    assert_eq!(roles(&shown), pairs.map(|(who, role)| (who.to_owned(), role.to_owned())));
    assert_eq!(shown["policy"]["posting"], "admins");
    let acts: Vec<_> = company.acts_of("group order");
    assert_eq!(acts, ["remove carol", "add dave as admin", "bob is owner", "name and policy of Team"]);
}

#[test]
fn who_may_not_sign_for_groups_signs_no_order() {
    let company = Company::open();
    company.people(&["alice"]);
    let (org, key) = (company.at("org"), company.at("org.key"));
    let added = run(&[
        "org",
        "issuer",
        "add",
        "--capabilities",
        "offboard",
        "--dir",
        &org,
        "--key-file",
        &key,
        "--json",
    ])
    .ok();
    let id = "0a".repeat(16);
    let refused =
        company.org_group(&["remove", &id, "alice", "--epoch", "1", "--admin", &string(&added["file"])]);
    refused.fails(2, "keys-not-permitted", false);
    company.org_group(&["remove", &id, "nobody", "--epoch", "1"]).fails(3, "unknown-recipient", false);
    company.org_group(&["remove", &id, "NOBODY", "--epoch", "1"]).fails(64, "name-not-allowed", false);
    company.org_group(&["info", &id, "--name", "", "--epoch", "1"]).fails(64, "name-not-allowed", false);
    for wrong in [
        &["remove", "0a", "alice", "--epoch", "1"][..],
        &["remove", &id, "--epoch", "1"],
        &["remove", &id, "alice"],
        &["remove", &id, "alice", "--epoch", "-1"],
        &["role", &id, "alice", "king", "--epoch", "1"],
        &["add", &id, "alice", "--role", "king", "--epoch", "1"],
        &["info", &id, "--epoch", "1"],
        &["info", &id, "--name", "Crew", "--history", "101", "--epoch", "1"],
    ] {
        company.org_group(wrong).fails(64, "usage", false);
    }
    assert_eq!(company.acts_of("group order"), Vec::<String>::new());
}

impl Company {
    /// What the audit has after acts of this kind.
    fn acts_of(&self, action: &str) -> Vec<String> {
        let (org, key) = (self.at("org"), self.at("org.key"));
        let audit = run(&["org", "audit", "--dir", &org, "--key-file", &key, "--json"]);
        assert_eq!(audit.code, 0, "{audit:?}");
        let acts = audit.lines.iter().filter(|act| act["action"] == action);
        acts.map(|act| string(&act["after"])).collect()
    }
}
