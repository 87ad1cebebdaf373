//! What people type wrong, command by command: a code, an exit code, and nothing changed.

use crate::support::{Company, chancery};

#[test]
fn wrong_words_are_wrong_usage_whatever_the_command() {
    let company = Company::without_desk();
    for wrong in [
        &["create"][..],
        &["add", "Crew"],
        &["add", "Crew", "bob", "--role", "king"],
        &["add", "Crew", "bob", "--role", "Owner"],
        &["remove", "Crew"],
        &["role", "Crew", "bob"],
        &["role", "Crew", "bob", "boss"],
        &["hand-over", "Crew"],
        &["leave"],
        &["list", "Crew"],
        &["show"],
        &["send", "Crew"],
        &["send"],
        &["rename", "Crew"],
        &["policy", "Crew"],
        &["policy", "Crew", "--retention", "30"],
        &["policy", "Crew", "--heal", "never"],
        &["policy", "Crew", "--posting", "nobody"],
        &["policy", "Crew", "--history", "101"],
        &["dissolve"],
        &["heal"],
        &["execute", "Crew"],
        &["history"],
        &["leave", "Crew", "--timeout", "-1"],
        &["befriend", "Crew"],
    ] {
        company.group("alice", wrong).fails(64, "usage", false);
    }
    for args in
        [&["list"][..], &["show", "Crew"], &["leave", "Crew"], &["send", "Crew", "hi"], &["create", "Crew"]]
    {
        let nowhere = company.command("nobody", &[&["group"], args].concat());
        nowhere.fails(3, "file-not-found", false);
    }
    assert!(chancery(&["group", "--help"]).output().unwrap().status.success());
}

#[test]
fn what_is_not_there_or_not_allowed_has_its_code_and_changes_nothing() {
    let company = Company::open();
    company.people(&["alice", "bob", "carol"]);
    for args in [
        &["add", "Crew", "bob"][..],
        &["remove", "Crew", "bob"],
        &["role", "Crew", "bob", "admin"],
        &["hand-over", "Crew", "bob"],
        &["leave", "Crew"],
        &["show", "Crew"],
        &["send", "Crew", "hi"],
        &["rename", "Crew", "Team"],
        &["policy", "Crew", "--posting", "all"],
        &["dissolve", "Crew"],
        &["heal", "Crew"],
        &["execute", "Crew", "chancery-order:AAAA"],
        &["history", "Crew"],
    ] {
        company.group("alice", args).fails(3, "group-unknown", false);
    }
    company.group("alice", &["create", ""]).fails(64, "name-not-allowed", false);
    company.group("alice", &["create", &"x".repeat(129)]).fails(64, "name-not-allowed", false);
    company.group("alice", &["create", "Crew", "nobody"]).fails(3, "unknown-recipient", false);
    assert_eq!(company.group("alice", &["list"]).lines.len(), 0);

    let id = company.found("alice", "Crew", &["bob"]);
    company.hears("bob");
    let before = company.show("alice", &id);
    // What is so already is done.
    assert_eq!(company.group("alice", &["add", &id, "bob"]).ok()["epoch"], before["epoch"]);
    company.group("alice", &["add", &id, "nobody"]).fails(3, "unknown-recipient", false);
    assert_eq!(company.group("alice", &["remove", &id, "carol"]).ok()["epoch"], before["epoch"]);
    company.group("alice", &["role", &id, "carol", "admin"]).fails(1, "group-conflict", false);
    assert_eq!(company.group("alice", &["role", &id, "bob", "member"]).ok()["epoch"], before["epoch"]);
    company.group("alice", &["rename", &id, "a\u{202e}b"]).fails(64, "name-not-allowed", false);
    company.group("alice", &["send", &id, ""]).fails(64, "usage", false);
    company.group("alice", &["send", &id, "x", "--file", &company.at("nowhere")]).fails(
        3,
        "file-not-found",
        false,
    );
    company.group("alice", &["send", &id, &"x".repeat(120_000)]).fails(64, "message-too-large", false);
    company.group("alice", &["role", &id, "alice", "member"]).fails(2, "group-not-allowed", false);
    for order in ["", "hello", "chancery-order:", "chancery-order:AAAA", "chancery:AAAA"] {
        company.group("alice", &["execute", &id, order]).fails(64, "order-damaged", false);
    }
    for args in [
        &["add", &id, "carol"][..],
        &["remove", &id, "alice"],
        &["role", &id, "bob", "owner"],
        &["hand-over", &id, "carol"],
        &["rename", &id, "Team"],
        &["policy", &id, "--posting", "admins"],
        &["dissolve", &id],
        &["heal", &id],
    ] {
        company.group("bob", args).fails(2, "group-not-allowed", false);
    }
    let after = company.show("alice", &id);
    assert_eq!((&after["fingerprint"], &after["waiting"]), (&before["fingerprint"], &0.into()));

    company.found("alice", "Crew", &[]);
    company.group("alice", &["show", "Crew"]).fails(64, "group-ambiguous", false);
    company.group("alice", &["show", &id[..8]]).ok();
    company.group("alice", &["show", &id[..7]]).fails(3, "group-unknown", false);
    company.group("carol", &["show", &id]).fails(3, "group-unknown", false);
}
