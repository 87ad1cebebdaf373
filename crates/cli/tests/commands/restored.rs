//! A home that is put back from an old copy, and a relay that is put back with it.

use std::path::Path;

use crate::serving::copy;
use crate::support::Company;

fn put_back(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).unwrap();
    copy(from, to);
}

/// Alice's home and the relay's data are put back; with the file `checkpoint` of before, or without it.
fn restored(with_file: bool) -> Company {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    company.desk().stop();
    company.relay.stop();
    copy(&company.path("data"), &company.path("data.old"));
    copy(&company.path("alice"), &company.path("alice.old"));
    company.restart_relay();
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    company.learn_directory("alice");
    let kept = std::fs::read(company.path("alice/checkpoint")).unwrap();
    assert_ne!(kept, std::fs::read(company.path("alice.old/checkpoint")).unwrap(), "it is kept up");
    company.relay.stop();
    put_back(&company.path("data.old"), &company.path("data"));
    put_back(&company.path("alice.old"), &company.path("alice"));
    if with_file {
        std::fs::write(company.path("alice/checkpoint"), kept).unwrap();
    } else {
        std::fs::remove_file(company.path("alice/checkpoint")).unwrap();
    }
    company.restart_relay();
    company
}

#[test]
fn a_restored_store_refuses_a_relay_that_was_rolled_back_with_it_r_engine_63_r_engine_64() {
    let company = restored(true);
    let kept = std::fs::read(company.path("alice/checkpoint")).unwrap();
    company.command("alice", &["send", "bob", "not to this relay"]).is_queued("log-rolled-back");
    company.command("alice", &["send", "bob", "nor later"]).is_queued("log-rolled-back");
    assert_eq!(company.command("alice", &["receive"]).code, 0, "reading goes on");
    assert_eq!(std::fs::read(company.path("alice/checkpoint")).unwrap(), kept, "the file stays");
    assert_eq!(company.command("bob", &["receive"]).lines.len(), 0);
}

#[test]
fn without_the_file_a_restored_store_does_not_notice_r_engine_63() {
    let company = restored(false);
    company.command("alice", &["send", "bob", "to whatever relay"]).ok();
    assert!(company.path("alice/checkpoint").exists(), "it is made anew");
}

#[test]
fn a_file_that_holds_nothing_is_ignored_and_a_relay_that_has_all_lifts_what_it_says_r_engine_63() {
    let mut company = Company::open();
    company.member("alice");
    company.member("bob");
    company.learn_directory("alice");
    copy(&company.path("alice"), &company.path("alice.old"));
    company.org(&["policy", "set", "--device-limit", "5"]).ok();
    company.learn_directory("alice");
    let kept = std::fs::read(company.path("alice/checkpoint")).unwrap();
    put_back(&company.path("alice.old"), &company.path("alice"));
    std::fs::write(company.path("alice/checkpoint"), kept).unwrap();
    // The relay is whole: the store takes over what it lacks.
    company.command("alice", &["send", "bob", "one"]).ok();
    for garbage in [&b"\xff\xfe"[..], b"", b"chancery/1/00\n9\nx\ntime 1\n\n"] {
        std::fs::write(company.path("alice/checkpoint"), garbage).unwrap();
        company.command("alice", &["send", "bob", "more"]).ok();
        assert!(std::fs::read(company.path("alice/checkpoint")).unwrap().len() > 4_000, "written anew");
    }
    company.desk().stop();
}
