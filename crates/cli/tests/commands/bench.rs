//! Measurements: what can be wrong in them, not how long something takes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Daemon, Outcome, PATIENCE, chancery, run};

/// Runs the command with its temporary files in `place`.
fn bench(place: &Path, arguments: &[&str]) -> Outcome {
    let output = chancery(arguments).env("TMPDIR", place).output().unwrap();
    Outcome::of(&output, arguments)
}

#[test]
fn a_copied_disk_reads_nothing_that_is_sent_after_the_offboarding_and_the_search_would_find_it() {
    let place = tempfile::tempdir().unwrap();
    let figures =
        bench(place.path(), &["bench", "offboard", "--members", "6", "--groups", "2", "--json"]).ok();
    let count = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("no {name}: {figures}"));
    assert_eq!((count("members"), count("online")), (6, 3));
    // Everybody who is left, to a neighbour, and nothing to the leaver; in each group one who has the leaver out, and then four.
    assert_eq!(count("sent_after"), 5 + 2 * 5);
    assert_eq!(count("readable_after"), 0);
    assert_eq!(
        count("controls_readable"),
        5 + 2,
        "from everybody who had talked with the leaver, and in each group"
    );
    assert_eq!(figures["verified"], Value::Bool(true));
    for time in ["relay_cut_ms", "sessions_cut_ms", "groups_cut_ms", "offboard_ms"] {
        assert!(figures[time].is_u64(), "{figures}");
    }
    assert_eq!(count("clients_cut_ms"), count("sessions_cut_ms").max(count("groups_cut_ms")));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn a_company_has_room_for_somebody_online_and_somebody_offline_and_has_a_limit() {
    for members in ["2", "501", "many"] {
        run(&["bench", "offboard", "--members", members, "--json"]).fails(64, "usage", false);
    }
}

#[test]
fn a_groups_figures_are_all_there_and_the_group_has_limits() {
    for members in ["9", "10001", "many"] {
        run(&["bench", "group", "--members", members, "--json"]).fails(64, "usage", false);
    }
    let place = tempfile::tempdir().unwrap();
    let figures = bench(place.path(), &["bench", "group", "--members", "10", "--json"]).ok();
    let figures = figures.as_object().unwrap();
    assert_eq!(figures["members"], 10);
    let mut names = vec![
        "create_us",
        "create_bytes",
        "remove_make_us",
        "remove_bytes",
        "remove_apply_us",
        "add_make_us",
        "add_bytes",
        "send_us",
        "receive_us",
        "message_bytes",
        "overhead_bytes",
        "join_us",
        "member_state_bytes",
        "roster_bytes",
        "admin_state_bytes",
        "evict_without_admin_us",
        "evict_without_admin_bytes",
    ];
    if cfg!(target_os = "linux") {
        names.push("peak_memory_bytes");
    }
    for name in &names {
        assert!(figures[*name].as_u64().is_some_and(|figure| figure > 0), "{name}: {figures:?}");
    }
    assert_eq!(figures.len(), names.len() + 1);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0, "nothing is left behind");
}

#[cfg(target_os = "linux")]
#[test]
fn whoever_interrupts_it_finds_no_process_and_no_file_of_it() {
    let place = tempfile::tempdir().unwrap();
    let mut bench =
        Daemon::spawn(chancery(&["bench", "offboard", "--members", "6"]).env("TMPDIR", place.path()));
    let begun = Instant::now();
    // Relay, desk, and people who enrol.
    while processes_in(place.path()) < 3 {
        assert!(begun.elapsed() < PATIENCE, "nothing is started");
        std::thread::sleep(Duration::from_millis(5));
    }
    bench.signal("-TERM");
    assert_eq!(bench.wait().code(), Some(1));
    assert_eq!(processes_in(place.path()), 0);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

/// How many processes have something in `place` among their arguments.
#[cfg(target_os = "linux")]
fn processes_in(place: &Path) -> usize {
    let place = place.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let arguments = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    arguments.filter(|arguments| String::from_utf8_lossy(arguments).contains(place)).count()
}
