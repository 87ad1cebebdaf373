//! `examples/shell/alarm.sh` with a real relay, one that is there and one that is not.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Company, PATIENCE, string};

fn alarm(company: &Company, words: &[&str]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shell/alarm.sh");
    let beside = Path::new(env!("CARGO_BIN_EXE_chancery")).parent().unwrap();
    let path = format!("{}:{}", beside.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(script);
    command.args(words).args(["--home", &company.at("ann"), "--key-file", &company.at("ann.key")]);
    command.env("PATH", path).env("ALARM_PAUSE", "0.2").stdin(Stdio::null());
    command.env_remove("CHANCERY_HOME").env_remove("CHANCERY_PASSPHRASE");
    command
}

fn printed(output: &std::process::Output) -> Value {
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// The texts that arrive for Ben, and their identifiers.
fn heard(company: &Company) -> Vec<(String, String)> {
    let lines = company.command("ben", &["receive"]).lines;
    let messages = lines.iter().filter(|line| line["event"] == "message");
    messages.map(|line| (string(&line["id"]), string(&line["text"]))).collect()
}

#[test]
fn an_alarm_waits_for_the_relay_and_is_delivered_once() {
    let mut company = Company::open();
    company.member("ann");
    company.member("ben");
    company.command("ann", &["group", "create", "Crew", "ben"]).ok();
    heard(&company);

    // What looks like a field, or an option, is text.
    let text = "-- \"state\":\"queued\", \"id\":\"0\"";
    let sent = printed(&alarm(&company, &["Crew", text]).output().unwrap());
    assert_eq!(sent["state"], "sent");
    assert_eq!(heard(&company), [(string(&sent["id"]), text.to_owned())]);

    company.relay.stop();
    let mut waiting = alarm(&company, &["Crew", "Boiler 2"]).stdout(Stdio::piped()).spawn().unwrap();
    // Until it is stored: then the script waits, however long.
    let begun = std::time::Instant::now();
    let stored = || company.command("ann", &["group", "history", "Crew"]).lines.len();
    let before = stored();
    while stored() == before && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_secs(1));
    assert!(waiting.try_wait().unwrap().is_none(), "it does not wait");
    company.restart_relay();
    let sent = printed(&waiting.wait_with_output().unwrap());
    assert_eq!(sent["state"], "sent");
    assert_eq!(heard(&company), [(string(&sent["id"]), "Boiler 2".to_owned())], "once");
}

#[test]
fn an_alarm_that_cannot_be_stored_is_an_error_at_once() {
    let company = Company::open();
    company.member("ann");
    let refused = alarm(&company, &["Nobody", "Boiler 2"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{refused:?}");
    assert!(refused.stdout.is_empty() && !refused.stderr.is_empty());
    let script = alarm(&company, &[]).get_program().to_owned();
    assert_eq!(Command::new(script).arg("Crew").output().unwrap().status.code(), Some(64));
}
