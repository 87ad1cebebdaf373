//! The commands that go on: relay, desk, and both together.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Company, Daemon, chancery, run, start_relay, string};

#[test]
fn a_data_directory_has_one_relay() {
    let mut company = Company::without_desk();
    let (public, data) = (company.at("org/public"), company.at("data"));
    let second = ["relay", "--org", &public, "--data", &data, "--listen", "127.0.0.1:0", "--json"];
    run(&second).fails(5, "store-busy", true);
    company.relay.stop();
    company.restart_relay();
}

#[test]
fn a_relay_says_why_it_does_not_start() {
    let company = Company::without_desk();
    let other = Company::without_desk();
    let relay = |org: &str, data: &str, listen: &str| {
        run(&["relay", "--org", org, "--data", data, "--listen", listen, "--json"])
    };
    let (public, fresh) = (company.at("org/public"), company.at("fresh"));
    relay(&company.at("nowhere"), &fresh, "127.0.0.1:0").fails(3, "file-not-found", false);
    let taken = company.url.trim_start_matches("wss://");
    relay(&public, &fresh, taken).fails(1, "listen-failed", false);
    drop(other.relay);
    let data = other.folder.path().join("data");
    relay(&public, data.to_str().unwrap(), "127.0.0.1:0").fails(2, "wrong-organisation", false);
}

#[test]
fn a_relay_needs_nothing_but_the_public_folder() {
    let company = Company::without_desk();
    let elsewhere = tempfile::tempdir().unwrap();
    let public = elsewhere.path().join("public");
    std::fs::create_dir(&public).unwrap();
    std::fs::copy(company.path("org/public/organisation.bin"), public.join("organisation.bin")).unwrap();
    let data = elsewhere.path().join("data");
    let mut relay = start_relay(public.to_str().unwrap(), data.to_str().unwrap(), "127.0.0.1:0");
    let ready = relay.line();
    assert_eq!(ready["event"], "ready");
    assert_eq!(string(&ready["url"]), format!("wss://{}", string(&ready["listen"])));
    assert_eq!(string(&ready["pin"]).len(), 64);
    relay.signal("-INT");
    assert_eq!(relay.wait().code(), Some(0));
}

#[test]
fn the_desk_says_when_it_is_ready_and_ends_cleanly() {
    let mut company = Company::open();
    company.desk().stop();
    let (org, key) = (company.at("org"), company.at("org.key"));
    let mut desk = Daemon::start(&["org", "serve", "--dir", &org, "--key-file", &key, "--json"]);
    let ready = desk.line();
    assert_eq!((&ready["event"], &ready["role"]), (&"ready".into(), &"desk".into()));
    assert_eq!((string(&ready["url"]), string(&ready["pin"])), (company.url.clone(), company.pin.clone()));
    desk.signal("-INT");
    assert_eq!(desk.wait().code(), Some(0));
}

#[test]
fn a_desk_needs_to_know_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| crate::support::text(&folder.path().join(name));
    let (org, key) = (at("org"), at("key"));
    let fixed = ["--dir", &org, "--key-file", &key, "--json"];
    let init = run(&[&["org", "init", "--name", "Acme"][..], &fixed].concat()).ok();
    assert_eq!(string(&init["org_id"]).len(), 64);
    assert!(string(&init["org_id"]).starts_with(&string(&init["fingerprint"]).replace(' ', "")));
    run(&[&["org", "serve"][..], &fixed].concat()).fails(1, "relay-not-recorded", false);
    run(&[&["org", "invite", "alice"][..], &fixed].concat()).fails(1, "relay-not-recorded", false);
    let pin = "0".repeat(64);
    run(&[&["org", "relay", "http://x", "--pin", &pin][..], &fixed].concat()).fails(64, "relay-url", false);
}

#[test]
fn a_desk_stops_at_a_relay_whose_log_lost_entries_and_goes_on_with_a_newer_copy_r_org_48() {
    let mut company = Company::open();
    company.member("alice");
    let (data, older, newer) = (company.path("data"), company.path("older"), company.path("newer"));
    company.relay.stop();
    copy(&data, &older);
    company.restart_relay();
    company.member("bob");
    company.relay.stop();
    copy(&data, &newer);
    let put_back = |from: &Path, company: &mut Company| {
        std::fs::remove_dir_all(&data).unwrap();
        copy(from, &data);
        company.restart_relay();
    };
    put_back(&older, &mut company);
    assert_eq!(company.desk().wait().code(), Some(2), "it appends nothing, and lets nobody in");
    company.org(&["policy", "set", "--device-limit", "5"]).fails(2, "log-not-believed", false);
    company.relay.stop();
    put_back(&newer, &mut company);
    company.start_desk();
    company.member("carol");
    company.command("carol", &["send", "bob", "hello"]).ok();
}

/// Copies a folder with everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            copy(&path, &to.join(name));
        } else {
            std::fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// An organisation with a passphrase, for `up`.
struct Trial {
    folder: tempfile::TempDir,
}

const PASSPHRASE: &str = "correct horse battery staple";

impl Trial {
    fn found() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let org = crate::support::text(&folder.path().join("org"));
        let mut init = chancery(&["org", "init", "--name", "Acme", "--dir", &org]);
        assert!(init.env("CHANCERY_PASSPHRASE", PASSPHRASE).output().unwrap().status.success());
        Self { folder }
    }

    fn at(&self, name: &str) -> String {
        crate::support::text(&self.folder.path().join(name))
    }

    fn up(&self, more: &[&str]) -> Daemon {
        let (org, data) = (self.at("org"), self.at("data"));
        let fixed = ["up", "--dir", &org, "--data", &data, "--listen", "127.0.0.1:0"];
        let mut command = chancery(&[&fixed[..], more].concat());
        command.env("CHANCERY_PASSPHRASE", PASSPHRASE).stderr(Stdio::piped());
        Daemon::spawn(&mut command)
    }

    fn enroll(&self, handle: &str) -> serde_json::Value {
        let (org, home, key) = (self.at("org"), self.at(handle), self.at(&format!("{handle}.key")));
        let arguments = ["org", "invite", handle, "--dir", &org];
        let output = chancery(&arguments).env("CHANCERY_PASSPHRASE", PASSPHRASE).output().unwrap();
        let link = String::from_utf8(output.stdout).unwrap();
        assert!(link.starts_with("chancery:") && link.lines().count() == 1, "{link}");
        run(&["enroll", link.trim(), "--home", &home, "--key-file", &key, "--json"]).ok()
    }
}

#[test]
fn up_serves_members_and_keeps_its_port() {
    let trial = Trial::found();
    let mut up = trial.up(&["--json"]);
    let [relay, desk] = up.both();
    assert_eq!((&relay["role"], &desk["role"]), (&"relay".into(), &"desk".into()));
    assert_eq!((&relay["url"], &relay["pin"]), (&desk["url"], &desk["pin"]));
    trial.enroll("alice");
    up.stop();
    assert_eq!(up.stderr(), "");

    let mut up = trial.up(&["--json"]);
    assert_eq!(up.line()["url"], relay["url"]);
    up.line();
    let (home, key) = (trial.at("alice"), trial.at("alice.key"));
    assert_eq!(run(&["receive", "--home", &home, "--key-file", &key, "--json"]).code, 0);
    up.stop();
}

/// The processes that a process has started.
#[cfg(target_os = "linux")]
fn children(id: u32) -> Vec<u32> {
    let path = format!("/proc/{id}/task/{id}/children");
    let text = std::fs::read_to_string(path).unwrap();
    text.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn up_shows_the_passphrase_to_nobody() {
    let trial = Trial::found();
    let mut up = trial.up(&["--json"]);
    up.both();
    let children = children(up.id());
    assert_eq!(children.len(), 2);
    for id in children {
        for place in ["environ", "cmdline"] {
            let bytes = std::fs::read(format!("/proc/{id}/{place}")).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("correct horse"), "{place}");
            assert!(!String::from_utf8_lossy(&bytes).contains("CHANCERY_PASSPHRASE"), "{place}");
        }
    }
    up.stop();
}

#[cfg(target_os = "linux")]
#[test]
fn up_leaves_nothing_behind_however_it_ends() {
    let trial = Trial::found();
    for signal in ["-TERM", "-INT", "-KILL"] {
        let mut up = trial.up(&["--json"]);
        up.both();
        let children = children(up.id());
        up.signal(signal);
        up.wait();
        let begun = Instant::now();
        while children.iter().any(|id| is_running(*id)) {
            assert!(begun.elapsed() < Duration::from_secs(15), "a process is left after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(target_os = "linux")]
fn is_running(id: u32) -> bool {
    // A zombie is over; only its parent has not looked yet.
    std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z')))
}

#[cfg(target_os = "linux")]
#[test]
fn up_ends_when_one_of_the_two_does() {
    let trial = Trial::found();
    for (which, code) in [(0, "relay-unreachable"), (1, "desk-unavailable")] {
        let mut up = trial.up(&["--json"]);
        up.both();
        let children = children(up.id());
        let killed =
            std::process::Command::new("kill").args(["-KILL", &children[which].to_string()]).status();
        assert!(killed.unwrap().success());
        assert_eq!(up.wait().code(), Some(5));
        let stderr = up.stderr();
        assert!(stderr.contains(code), "{stderr}");
        assert!(!is_running(children[1 - which]));
    }
}

#[test]
fn up_ends_with_the_error_of_the_one_that_fails() {
    let trial = Trial::found();
    let (org, data) = (trial.at("org"), trial.at("data"));
    let mut wrong = chancery(&["up", "--dir", &org, "--data", &data, "--listen", "127.0.0.1:0"]);
    let output = wrong.env("CHANCERY_PASSPHRASE", "wrong").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: wrong passphrase or key file\n");

    let mut up = trial.up(&["--json"]);
    up.both();
    let mut second = trial.up(&[]);
    assert_eq!(second.wait().code(), Some(5));
    assert_eq!(second.stderr(), "error: the data directory is in use by another relay\n");
    up.stop();
}
