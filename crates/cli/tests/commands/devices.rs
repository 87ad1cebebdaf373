//! Several devices of one person: link, code, approval, list, removal, and everybody who gets no device.

use serde_json::Value;

use crate::support::{Company, Daemon, string};

/// Starts `enroll` with a device link and waits for its code.
fn ask(company: &Company, who: &str, link: &str) -> (Daemon, String) {
    let mut enrolling = company.daemon(who, &["enroll", link, "--timeout", "50"]);
    let confirm = enrolling.line();
    assert_eq!(confirm["event"], "confirm", "{confirm}");
    let code = string(&confirm["code"]);
    (enrolling, code)
}

fn link(company: &Company, who: &str) -> String {
    let made = company.command(who, &["device", "link"]).ok();
    assert!(string(&made["expires"]).ends_with('Z'));
    string(&made["link"])
}

/// Links `new` to the member of `old`'s home.
pub(crate) fn second(company: &Company, old: &str, new: &str) -> Value {
    let (mut enrolling, code) = ask(company, new, &link(company, old));
    let approved = company.command(old, &["device", "approve", &code]).ok();
    let enrolled = enrolling.line();
    assert_eq!(enrolling.wait().code(), Some(0));
    assert_eq!((&enrolled["device"], &enrolled["member"]), (&approved["device"], &approved["member"]));
    enrolled
}

/// The lines of `device list`: identifier or code, and state.
fn listed(company: &Company, who: &str) -> Vec<Value> {
    let list = company.command(who, &["device", "list"]);
    assert_eq!(list.code, 0, "{list:?}");
    list.lines
}

#[test]
fn another_device_is_linked_approved_listed_and_written_to() {
    // R-ORG-15, R-ORG-16, R-ORG-17, R-ORG-20
    let company = Company::open();
    let alice = company.member("alice");
    company.member("bob");
    let (mut enrolling, code) = ask(&company, "phone", &link(&company, "alice"));

    // The old device sees who waits, everywhere with the same code.
    let received = company.command("alice", &["receive"]).lines;
    assert_eq!(received, [serde_json::json!({"event": "device-request", "code": code})]);
    let list = listed(&company, "alice");
    assert_eq!(list.len(), 2, "{list:?}");
    assert_eq!((&list[0]["device"], &list[0]["this"]), (&alice["device"], &Value::Bool(true)));
    assert_eq!((&list[1]["state"], &list[1]["code"]), (&"waiting".into(), &Value::from(code.as_str())));

    // The code may be typed as six words, too.
    let words: Vec<&str> = code.split(' ').collect();
    let approved = company.command("alice", &[&["device", "approve"], &words[..]].concat()).ok();
    let enrolled = enrolling.line();
    assert_eq!(enrolling.wait().code(), Some(0));
    assert_eq!((&enrolled["member"], &enrolled["handle"]), (&alice["member"], &"alice".into()));
    assert_eq!(enrolled["device"], approved["device"]);

    for (who, own) in [("alice", &alice), ("phone", &enrolled)] {
        let list = listed(&company, who);
        let states: Vec<&Value> = list.iter().map(|line| &line["state"]).collect();
        assert_eq!(states, ["active", "active"], "{list:?}");
        let this = list.iter().find(|line| line["this"] == true).unwrap();
        assert_eq!(this["device"], own["device"]);
    }
    company.learn_directory("bob");
    company.command("bob", &["send", "alice", "to both"]).ok();
    for who in ["alice", "phone"] {
        let received = company.command(who, &["receive"]);
        assert!(received.lines.iter().any(|line| line["text"] == "to both"), "{who}: {received:?}");
    }
    company.command("phone", &["send", "bob", "from the phone"]).ok();
    let received = company.command("bob", &["receive"]);
    assert!(received.lines.iter().any(|line| line["text"] == "from the phone"), "{received:?}");
}

#[test]
fn a_code_that_nobody_shows_approves_nothing() {
    // R-ORG-17
    let company = Company::open();
    company.member("alice");
    let (enrolling, code) = ask(&company, "phone", &link(&company, "alice"));
    let last = if code.ends_with('0') { "1" } else { "0" };
    let wrong = format!("{}{last}", &code[..code.len() - 1]);
    for wrong in [wrong.as_str(), "00000", ""] {
        let refused = company.command("alice", &["device", "approve", wrong]);
        refused.fails(3, "device-request-unknown", false);
    }
    assert_eq!(listed(&company, "alice").len(), 2, "it still waits");
    company.member("bob");
    company.command("bob", &["device", "approve", &code]).fails(3, "device-request-unknown", false);
    drop(enrolling);
    // The same command goes on with the same keys, so the code is the same.
    let words = ["enroll", &link(&company, "alice"), "--timeout", "1"];
    let waits = company.command("phone", &words);
    waits.fails(5, "not-approved", true);
    assert!(waits.message().ends_with("; approve its code, then run the same command again"), "{waits:?}");
}

#[test]
fn a_new_device_that_was_killed_goes_on_where_it_was() {
    // R-ORG-5, R-ORG-20
    let company = Company::open();
    company.member("alice");
    let link = link(&company, "alice");
    let (mut enrolling, code) = ask(&company, "phone", &link);
    enrolling.kill();
    company.command("alice", &["device", "approve", &code]).ok();
    // The answer waits, and if it were lost the desk would give it again.
    let (mut enrolling, again) = ask(&company, "phone", &link);
    assert_eq!(again, code);
    assert_eq!(enrolling.line()["handle"], "alice");
    assert_eq!(listed(&company, "phone").len(), 2);
}

#[test]
fn a_link_whose_maker_is_gone_ends_at_once_unless_it_was_approved_r_org_17() {
    let company = Company::open();
    company.member("alice");
    second(&company, "alice", "phone");
    let (approved, link) = (link(&company, "alice"), link(&company, "alice"));
    let (mut enrolling, code) = ask(&company, "tablet", &approved);
    enrolling.kill();
    company.command("alice", &["device", "approve", &code]).ok();
    let alice = listed(&company, "alice").into_iter().find(|device| device["this"] == true).unwrap();
    company.command("phone", &["device", "remove", &string(&alice["device"])]).ok();
    // The token in the link ended with the device (R-ENGINE-55).
    company.command("laptop", &["enroll", &link, "--timeout", "50"]).fails(2, "invitation-expired", false);
    // Of the other the desk has the approval.
    company.command("tablet", &["enroll", &approved, "--timeout", "50"]).ok();
}

#[test]
fn a_device_link_works_once() {
    // R-ORG-20
    let company = Company::open();
    company.member("alice");
    let link = link(&company, "alice");
    let (mut phone, code) = ask(&company, "phone", &link);
    let (mut thief, other) = ask(&company, "thief", &link);
    assert_ne!(code, other);
    company.command("alice", &["device", "approve", &code]).ok();
    assert_eq!(phone.line()["handle"], "alice");
    company.command("alice", &["device", "approve", &other]).fails(3, "device-request-unknown", false);
    thief.kill();
    let late = company.command("thief", &["enroll", &link, "--timeout", "20"]);
    assert_eq!(late.lines[0]["code"], other.as_str());
    late.fails(2, "invitation-used", false);
    assert_eq!(listed(&company, "alice").len(), 2);
}

#[test]
fn links_of_both_kinds_are_told_apart_and_damage_is_noticed() {
    // R-ORG-4, R-ORG-15
    let company = Company::open();
    company.member("alice");
    let link = link(&company, "alice");
    company.enroll("phone", &link[..link.len() - 1]).fails(2, "invitation-damaged", false);
    // A device link prints a code; an invitation does not, and is no device link.
    let words = ["enroll", &link, "--timeout", "1"];
    let waiting = company.command("phone", &words);
    assert_eq!(waiting.lines[0]["event"], "confirm");
    waiting.fails(5, "not-approved", true);
    let enrolled = company.enroll("phone", &company.invite("bob")).ok();
    assert_eq!(enrolled["handle"], "bob");
    // A member's home takes no other link.
    company.enroll("alice", &link).fails(1, "already-enrolled", false);
}

#[test]
fn a_removed_device_is_no_longer_written_to() {
    // R-ORG-21, R-ENGINE-15
    let company = Company::open();
    let alice = company.member("alice");
    company.member("bob");
    let phone = second(&company, "alice", "phone");
    company.learn_directory("bob");
    company.command("bob", &["send", "alice", "before"]).ok();
    let received = company.command("phone", &["receive"]);
    assert!(received.lines.iter().any(|line| line["text"] == "before"), "{received:?}");

    let own = string(&alice["device"]);
    let id = string(&phone["device"]);
    company.command("alice", &["device", "remove", &own]).fails(3, "device-unknown", false);
    company.command("alice", &["device", "remove", &"0".repeat(32)]).fails(3, "device-unknown", false);
    company.command("alice", &["device", "remove", "nonsense"]).fails(3, "device-unknown", false);
    let removed = company.command("alice", &["device", "remove", &id]).ok();
    assert_eq!((&removed["device"], &removed["state"]), (&phone["device"], &"removed".into()));
    let list = listed(&company, "alice");
    assert_eq!(list.len(), 1, "{list:?}");
    // What the removed device orders is refused.
    company.command("phone", &["device", "remove", &own]).fails(2, "device-removed", false);

    company.command("bob", &["receive"]);
    company.command("bob", &["send", "alice", "after"]).ok();
    let received = company.command("alice", &["receive"]);
    assert!(received.lines.iter().any(|line| line["text"] == "after"), "{received:?}");
    let received = company.command("phone", &["receive"]);
    assert!(received.lines.iter().all(|line| line["text"] != "after"), "{received:?}");
}

#[test]
fn the_organisation_invites_another_device_of_a_member() {
    // R-ORG-22
    let company = Company::open();
    let alice = company.member("alice");
    company.invite_with(&["alice"]).fails(1, "handle-taken", false);
    let unknown = company.invite_with(&["nobody", "--device"]);
    unknown.fails(3, "unknown-recipient", false);
    assert!(unknown.message().ends_with(": nobody"), "{unknown:?}");
    let invited = company.invite_with(&["alice", "--device"]).ok();
    assert_eq!(invited["member"], alice["member"]);
    let phone = company.enroll("phone", &string(&invited["link"])).ok();
    assert_eq!((&phone["member"], &phone["handle"]), (&alice["member"], &"alice".into()));
    assert_ne!(phone["device"], alice["device"]);
    assert_eq!(listed(&company, "phone").len(), 2);
    company.enroll("other", &string(&invited["link"])).fails(2, "invitation-used", false);
}

#[test]
fn a_member_has_at_most_sixteen_devices() {
    // R-ID-12, R-ORG-20, R-ORG-22
    let company = Company::open();
    company.member("alice");
    let spare = string(&company.invite_with(&["alice", "--device"]).ok()["link"]);
    for number in 2..=16 {
        let invited = company.invite_with(&["alice", "--device"]).ok();
        company.enroll(&format!("device{number}"), &string(&invited["link"])).ok();
    }
    company.enroll("device17", &spare).fails(1, "too-many-devices", false);
    company.invite_with(&["alice", "--device"]).fails(1, "too-many-devices", false);
    let (_enrolling, code) = ask(&company, "phone", &link(&company, "alice"));
    company.command("alice", &["device", "approve", &code]).fails(1, "too-many-devices", false);
    assert_eq!(listed(&company, "alice").iter().filter(|line| line["state"] == "active").count(), 16);
}
