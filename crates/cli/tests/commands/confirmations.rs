//! What a device says when it has heard of its end, and what an administrator is shown of it.

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Company, Daemon, chancery};

/// What is known of each device of somebody who was offboarded.
fn devices(company: &Company, handle: &str) -> Vec<Value> {
    company.org(&["verify-offboarded", handle]).ok()["devices"].as_array().unwrap().clone()
}

#[test]
fn a_leavers_follower_ends_and_its_device_has_confirmed_r_engine_62_r_org_57() {
    let company = Company::open();
    let alice = company.member("alice");
    let words = company.words("alice", &["receive", "--follow"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut follower = Daemon::spawn(chancery(&words).env("CHANCERY_LOG", "info").stderr(Stdio::piped()));
    // It is connected once it has what was sent to it.
    company.member("bob");
    company.command("bob", &["send", "alice", "hello"]).ok();
    assert_eq!(follower.line()["text"], "hello");
    company.org(&["offboard", "alice"]).ok();
    assert_eq!(follower.wait().code(), Some(2));
    let said = follower.stderr();
    assert!(said.contains("is confirmed"), "{said}");
    assert!(!company.path("alice/store.db").exists());
    let known = devices(&company, "alice");
    assert_eq!(known.len(), 1, "{known:?}");
    assert_eq!((&known[0]["device"], &known[0]["wiped"]), (&alice["device"], &"confirmed".into()));
    assert!(known[0]["confirmed_at"].as_str().unwrap().starts_with("20"), "{known:?}");
    // Also when it is asked for again.
    assert_eq!(company.org(&["offboard", "alice"]).ok()["devices"], Value::Array(known));
}

#[test]
fn a_device_that_was_offline_is_pending_and_confirmed_once_it_came_back_r_engine_62_r_org_57() {
    let mut company = Company::open();
    company.member("alice");
    let report = company.org(&["offboard", "alice"]).ok();
    assert_eq!(report["devices"][0]["wiped"], "pending");
    assert_eq!(devices(&company, "alice")[0]["wiped"], "pending");
    // A copy of the device as it is now, for later.
    crate::serving::copy(&company.path("alice"), &company.path("copy"));
    std::fs::copy(company.path("alice.key"), company.path("copy.key")).unwrap();
    company.command("alice", &["receive"]).fails(2, "revoked", false);
    let known = devices(&company, "alice");
    assert_eq!(known[0]["wiped"], "confirmed", "{known:?}");
    // The relay keeps it, and what a copy says later changes nothing.
    company.relay.stop();
    company.restart_relay();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    company.command("copy", &["receive"]).fails(2, "revoked", false);
    assert_eq!(devices(&company, "alice"), known);
    // Without a relay nothing is claimed.
    company.relay.stop();
    let unreached = company.org(&["offboard", "alice"]);
    assert_eq!(unreached.lines[0]["devices"][0]["wiped"], "pending", "{unreached:?}");
    assert!(unreached.lines[0]["devices"][0]["reason"].as_str().unwrap().contains("not reached"));
}
