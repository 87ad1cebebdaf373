//! Bad input: each gets a stable code, an exit code, and changes nothing.

use std::process::Stdio;
use std::time::Duration;

use crate::support::{Company, Outcome, chancery, run, start_relay, string};

#[test]
fn an_invitation_works_once() {
    let company = Company::open();
    let link = company.invite("alice");
    let alice = company.enroll("alice", &link).ok();
    // As `org init` has printed it, for comparing.
    let fingerprint = string(&alice["fingerprint"]).replace(' ', "");
    assert!(fingerprint.len() == 32 && string(&alice["org_id"]).starts_with(&fingerprint), "{alice}");
    company.enroll("mallory", &link).fails(2, "invitation-used", false);
    company.enroll("alice", &company.invite("bob")).fails(1, "already-enrolled", false);
    company.invite_with(&["alice"]).fails(1, "handle-taken", false);
    // The refused home is of use with another invitation.
    company.enroll("mallory", &company.invite("carol")).ok();
}

#[test]
fn an_invitation_expires() {
    let company = Company::open();
    let long = company.invite_with(&["alice", "--valid", "9000d"]);
    long.fails(64, "usage", false);
    assert!(long.message().contains("at most 90 days"), "{long:?}");
    let invited = company.invite_with(&["alice", "--valid", "1s"]).ok();
    std::thread::sleep(Duration::from_millis(1_500));
    company.enroll("alice", &string(&invited["link"])).fails(2, "invitation-expired", false);
    assert!(!company.path("alice").exists());
    // The handle is free again.
    company.member("alice");
}

#[test]
fn a_damaged_link_is_refused() {
    let company = Company::open();
    let link = company.invite("alice");
    let middle = link.len() / 2;
    let other = if link.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let flipped = format!("{}{other}{}", &link[..middle], &link[middle + 1..]);
    for damaged in [&flipped, &link[..link.len() - 1], &link[9..], "chancery:", "", "https://example.org"] {
        company.enroll("alice", damaged).fails(2, "invitation-damaged", false);
    }
    assert!(!company.path("alice").exists() && !company.path("alice.key").exists(), "for nothing");
    company.enroll("alice", &link).ok();
}

#[test]
fn a_relay_is_recorded_while_it_runs_and_only_if_it_is_the_right_one() {
    let mut here = Company::without_desk();
    let elsewhere = Company::without_desk();
    let (org, key) = (here.at("org"), here.at("org.key"));
    let before = std::fs::read(here.path("org/public/organisation.bin")).unwrap();
    let record = |url: &str, pin: &str, log_key: &[&str]| {
        let fixed = ["org", "relay", url, "--pin", pin, "--dir", &org, "--key-file", &key, "--json"];
        run(&[&fixed, log_key].concat())
    };
    record(&elsewhere.url, &elsewhere.pin, &[]).fails(2, "wrong-organisation", false);
    record(&here.url, &elsewhere.pin, &[]).fails(2, "wrong-relay", false);
    record(&here.url, &here.pin, &["--log-key", &elsewhere.log_key]).fails(1, "wrong-log-key", false);
    here.relay.stop();
    let refused = record(&here.url, &here.pin, &["--log-key", &here.log_key]);
    refused.fails(5, "relay-unreachable", true);
    assert!(refused.message().contains("start it first"), "{}", refused.message());
    assert_eq!(
        std::fs::read(here.path("org/public/organisation.bin")).unwrap(),
        before,
        "nothing was recorded"
    );
    here.restart_relay();
    let recorded = record(&here.url, &here.pin, &["--log-key", &here.log_key]).ok();
    assert_eq!(string(&recorded["log_key"]), here.log_key);
}

#[test]
fn an_invitation_of_another_organisation_is_refused() {
    let mut here = Company::without_desk();
    let mut elsewhere = Company::without_desk();
    let (address, public) = (here.url.trim_start_matches("wss://").to_owned(), elsewhere.at("org/public"));
    let (for_alice, for_bob) = (here.invite("alice"), here.invite("bob"));
    here.relay.stop();
    elsewhere.relay.stop();
    // The right address, but another key than the pinned one.
    let mut wrong = start_relay(&public, &elsewhere.at("data"), &address);
    wrong.line();
    here.enroll("bob", &for_bob).fails(2, "wrong-relay", false);
    wrong.stop();
    // The right address and key, but a relay that serves somebody else.
    std::fs::copy(here.path("data/relay-key.pem"), elsewhere.path("data/relay-key.pem")).unwrap();
    std::fs::remove_file(elsewhere.path("data/relay-certificate.pem")).unwrap();
    let mut wrong = start_relay(&public, &elsewhere.at("data"), &address);
    assert_eq!(wrong.line()["pin"], here.pin.as_str());
    here.enroll("alice", &for_alice).fails(2, "wrong-organisation", false);
    wrong.stop();
    assert!(!here.path("bob/store.db").exists());
}

#[test]
fn an_impostor_at_the_relays_address_gets_nothing() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    company.relay.kill();
    let address = company.url.trim_start_matches("wss://").to_owned();
    let mut impostor = start_relay(&company.at("org/public"), &company.at("impostor"), &address);
    impostor.line();
    company.command("alice", &["receive"]).fails(2, "wrong-relay", false);
    let queued = company.command("alice", &["send", "bob", "hello"]);
    queued.is_queued("wrong-relay");
    impostor.stop();
    company.restart_relay();
    company.command("alice", &["receive"]);
    assert_eq!(company.command("bob", &["receive"]).ok()["text"], "hello");
}

#[test]
fn nobody_answers_enrolments_without_a_desk() {
    let mut company = Company::without_desk();
    let link = company.invite("alice");
    company.command("alice", &["enroll", &link, "--timeout", "2"]).fails(5, "desk-unavailable", true);
    company.start_desk();
    company.desk().kill();
    company.command("alice", &["enroll", &link, "--timeout", "1"]).fails(5, "desk-unavailable", true);
    company.start_desk();
    company.enroll("alice", &link).ok();
}

#[test]
fn the_root_is_not_needed_for_invitations() {
    let company = Company::open();
    std::fs::rename(company.path("org/root.key"), company.path("root.key")).unwrap();
    company.member("alice");
}

#[test]
fn an_unknown_recipient_is_not_found() {
    let company = Company::open();
    company.member("alice");
    company.command("alice", &["send", "nobody", "hello"]).fails(3, "unknown-recipient", false);
    company.command("alice", &["history", "nobody"]).fails(3, "unknown-recipient", false);
    let file = company.at("no-such-file");
    company.member("bob");
    company.command("alice", &["send", "bob", "--file", &file]).fails(3, "file-not-found", false);
    assert!(company.texts("alice", "bob").is_empty());
}

#[test]
fn a_member_who_enrols_later_can_be_written_to() {
    let company = Company::open();
    company.member("alice");
    company.member("bob");
    company.command("alice", &["send", "bob", "hello"]).ok();
}

#[test]
fn a_passphrase_is_asked_for_by_every_means_and_must_be_right() {
    let company = Company::open();
    let (home, link) = (company.at("alice"), company.invite("alice"));
    let (right, wrong) = (company.at("right"), company.at("wrong"));
    std::fs::write(&right, "correct horse\n").unwrap();
    std::fs::write(&wrong, "wrong horse\n").unwrap();
    run(&["enroll", &link, "--home", &home, "--passphrase-file", &right, "--json"]).ok();

    let receive = ["receive", "--home", &home, "--json"];
    let with = |more: &[&str]| run(&[&receive[..], more].concat());
    assert_eq!(with(&["--passphrase-file", &right]).code, 0);
    with(&["--passphrase-file", &wrong]).fails(2, "wrong-passphrase", false);
    with(&["--key-file", &company.at("org.key")]).fails(2, "wrong-passphrase", false);
    with(&["--passphrase-file", &company.at("none")]).fails(3, "file-not-found", false);
    with(&[]).fails(2, "no-passphrase", false);

    let in_variable = |value: &str| {
        let output = chancery(&receive).env("CHANCERY_PASSPHRASE", value).output().unwrap();
        Outcome::of(&output, &receive)
    };
    assert_eq!(in_variable("correct horse").code, 0);
    in_variable("wrong horse").fails(2, "wrong-passphrase", false);
    in_variable("").fails(2, "no-passphrase", false);

    let through_stdin = [&receive[..], &["--passphrase-file", "-"]].concat();
    let mut child = chancery(&through_stdin).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"correct horse").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn no_passphrase_and_no_terminal_is_an_error_at_once() {
    let company = Company::without_desk();
    let (org, other, home) = (company.at("org"), company.at("other"), company.at("alice"));
    let link = company.invite("alice");
    let begun = std::time::Instant::now();
    run(&["org", "init", "--name", "Other", "--dir", &other, "--json"]).fails(2, "no-passphrase", false);
    run(&["org", "invite", "bob", "--dir", &org, "--json"]).fails(2, "no-passphrase", false);
    run(&["org", "serve", "--dir", &org, "--json"]).fails(2, "no-passphrase", false);
    run(&["enroll", &link, "--home", &home, "--json"]).fails(2, "no-passphrase", false);
    let data = company.at("data2");
    run(&["up", "--dir", &org, "--data", &data, "--listen", "127.0.0.1:0", "--json"]).fails(
        2,
        "no-passphrase",
        false,
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(!company.path("other").exists() && !company.path("alice").exists());
    // A pipe that stays open is nobody at a terminal either.
    let mut child = chancery(&["receive", "--home", &home]).stdin(Stdio::piped()).spawn().unwrap();
    let open = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(2));
    drop(open);
}

#[cfg(unix)]
#[test]
fn a_key_file_is_made_when_something_is_made_and_must_be_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let company = Company::without_desk();
    let key = company.path("org.key");
    let metadata = std::fs::metadata(&key).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o777), (32, 0o600));

    let (org, missing) = (company.at("org"), company.at("missing.key"));
    let invite = |key: &str| run(&["org", "invite", "bob", "--dir", &org, "--key-file", key, "--json"]);
    invite(&missing).fails(3, "file-not-found", false);
    assert!(!company.path("missing.key").exists());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    invite(&company.at("org.key")).fails(2, "key-file-unusable", false);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(company.path("short.key"), b"short").unwrap();
    std::fs::set_permissions(company.path("short.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    invite(&company.at("short.key")).fails(2, "key-file-unusable", false);
}

#[test]
fn wrong_usage_has_its_own_exit_code() {
    let pin = "0".repeat(63);
    let cases: &[&[&str]] = &[
        &[],
        &["fly"],
        &["send"],
        &["send", "bob"],
        &["receive", "--log", "loud"],
        &["receive", "--passphrase-file", "a", "--key-file", "b"],
        &["org", "invite", "bob", "--dir", "d", "--valid", "soon"],
        &["org", "relay", "wss://127.0.0.1:1", "--pin", &pin, "--dir", "d"],
        &["relay", "--org", "o", "--data", "d", "--listen", "here"],
        &["relay", "--org", "o", "--data", "d", "--cert", "c"],
    ];
    for arguments in cases {
        let plain = chancery(arguments).output().unwrap();
        assert_eq!(plain.status.code(), Some(64), "{arguments:?}");
        assert!(!plain.stderr.is_empty() && plain.stdout.is_empty(), "{arguments:?}");
        run(&[arguments, &["--json"][..]].concat()).fails(64, "usage", false);
    }
    // The object says what is missing, and not only that something is.
    let missing = run(&["org", "invite", "--json"]).message();
    assert!(missing.contains("<HANDLE>") && missing.contains("--dir <DIR>"), "{missing}");
    assert!(!missing.contains('\n') && !missing.contains("Usage"), "{missing}");
}

#[test]
fn help_teaches_with_examples() {
    for arguments in [
        &["--help"][..],
        &["org", "init", "--help"],
        &["org", "relay", "--help"],
        &["org", "serve", "--help"],
        &["org", "invite", "--help"],
        &["relay", "--help"],
        &["up", "--help"],
        &["enroll", "--help"],
        &["send", "--help"],
        &["receive", "--help"],
        &["history", "--help"],
    ] {
        let output = chancery(arguments).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text.contains("\n  chancery "), "{arguments:?} has no example:\n{text}");
        assert!(!text.contains("supervised"), "{arguments:?}");
    }
    assert_eq!(chancery(&["--version"]).output().unwrap().status.code(), Some(0));
}

#[test]
fn a_home_without_a_store_is_not_found() {
    let company = Company::without_desk();
    let (home, key) = (company.at("nowhere"), company.at("org.key"));
    let arguments = ["receive", "--home", &home, "--key-file", &key, "--json"];
    let missing = run(&arguments);
    missing.fails(3, "store-not-found", false);
    let message = missing.message();
    assert!(message.contains(&home) && message.contains("`chancery enroll`"), "{message}");
    run(&["org", "invite", "bob", "--dir", &home, "--key-file", &key, "--json"]).fails(
        3,
        "store-not-found",
        false,
    );
    assert!(!company.path("nowhere").exists());
}

#[test]
fn a_relay_without_an_organisation_says_which_folder_it_wants() {
    let company = Company::without_desk();
    let (org, data) = (company.at("org"), company.at("data2"));
    let refused = run(&["relay", "--org", &org, "--data", &data, "--listen", "127.0.0.1:0", "--json"]);
    refused.fails(3, "file-not-found", false);
    assert!(refused.message().contains("the folder `public`"), "{refused:?}");
}

#[test]
fn an_organisation_is_not_founded_over_another() {
    let company = Company::without_desk();
    let (org, key) = (company.at("org"), company.at("org.key"));
    run(&["org", "init", "--name", "Acme", "--dir", &org, "--key-file", &key, "--json"]).fails(
        1,
        "already-exists",
        false,
    );
    company.invite("alice");
}
