//! The log and the records of acts, to look at.

use std::time::Duration;

use chancery::organisation::{ActFault, Administrator, Log, RecordedAct};
use chancery::{Client, Error, ErrorCode, LogLine};
use serde_json::{Value, json};

use super::acts::hand_over;
use crate::args::{AuditArgs, LogArgs, MonitorArgs};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::stop::Stop;
use crate::text::{hex, rfc3339, short_time, tame_line};

/// How often a follower fetches the log: every 10 s.
const FOLLOW_INTERVAL: Duration = Duration::from_secs(10);

pub(super) async fn audit(args: &AuditArgs, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let administrator = Administrator::open(&args.org.dir, &key, None)?.replaying_all(args.full);
    let log = if args.offline { None } else { reachable_log(&administrator).await? };
    let mut changed = Vec::new();
    let acts = administrator.acts()?;
    for line in log.iter().flat_map(|log| Administrator::missing_acts(&acts, log)) {
        changed.push(format!("entry {}", line.index));
        print_missing(line, output)?;
    }
    for act in acts {
        let fault = fault(&act, log.as_ref());
        if fault.is_some() {
            changed.push(format!("number {}", act.number));
        }
        print_act(&act, fault, output)?;
    }
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::with(ErrorCode::ActChanged, changed.join(", ")).into())
}

/// The log, if a relay is there to show it.
async fn reachable_log(administrator: &Administrator) -> Result<Option<Log>, Failure> {
    match administrator.log().await {
        Ok(log) => Ok(Some(log)),
        Err(error) if error.is_retryable() || error.code() == ErrorCode::RelayNotRecorded => {
            tracing::warn!(
                code = error.code().name(),
                "compared with the signed commitments only, not with the log"
            );
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn fault(act: &RecordedAct, log: Option<&Log>) -> Option<&'static str> {
    match act.fault {
        Some(ActFault::Changed) => Some("changed"),
        Some(_) => Some("not-authentic"),
        None => match log {
            Some(log) if !Administrator::is_in_log(act, log) => Some("not-in-log"),
            _ => None,
        },
    }
}

/// An act that the log has a commitment of, and the books no record.
fn print_missing(line: &LogLine, output: Output) -> Result<(), Failure> {
    let time = line.time.as_millis();
    let object = json!({
        "number": null,
        "time": rfc3339(time),
        "entry": line.index,
        "commitment": hex(&line.commitment),
        "fault": "missing",
    });
    let text = || format!("{} an act without a record (entry {}) [missing]", short_time(time), line.index);
    output.result(&object, text)
}

fn print_act(act: &RecordedAct, fault: Option<&'static str>, output: Output) -> Result<(), Failure> {
    let object = json!({
        "number": act.number,
        "time": rfc3339(act.time.as_millis()),
        "actor": act.actor,
        "action": act.action,
        "target": act.target,
        "before": act.before,
        "after": act.after,
        "entry": act.entry,
        "dropped": act.is_dropped,
        "commitment": hex(&act.commitment),
        "fault": fault,
    });
    output.result(&object, || {
        let without_entry = if act.is_dropped { "dropped, without an entry" } else { "waits for the log" };
        let entry = act.entry.map_or_else(|| without_entry.to_owned(), |entry| format!("entry {entry}"));
        let fault = fault.map_or_else(String::new, |fault| format!(" [{fault}]"));
        let change = match (act.before.as_str(), act.after.as_str()) {
            ("", "") => String::new(),
            (before, after) => format!(": {before} -> {after}"),
        };
        let text = format!("{} {} {}{change} ({entry})", act.actor, act.action, act.target);
        format!("{} {}{fault}", short_time(act.time.as_millis()), tame_line(&text))
    })
}

pub(super) async fn status(args: &LogArgs, output: Output) -> Result<(), Failure> {
    let (administrator, _) = args.by.open()?;
    let administrator = administrator.replaying_all(args.full);
    if let Some(number) = args.drop {
        administrator.drop_statement(number)?;
    }
    let sent = hand_over(&administrator).await;
    let log = match &sent {
        Ok(()) => Some(administrator.log().await?),
        Err(_) => None,
    };
    let waiting = administrator.waiting()?;
    let names: Vec<Value> = waiting.iter().map(|it| json!({"number": it.number, "kind": it.kind})).collect();
    let object = json!({
        "size": log.as_ref().map(|log| log.lines.len()),
        "root": log.as_ref().map(|log| hex(&log.root)),
        "checkpoint": log.as_ref().map(|log| rfc3339(log.checkpoint.as_millis())),
        "waiting": names,
    });
    output.result(&object, || {
        let log = log.as_ref().map_or_else(
            || "the log was not reached".to_owned(),
            |log| {
                let at = short_time(log.checkpoint.as_millis());
                format!("{} entries, root {}, as of {at}", log.lines.len(), hex(&log.root))
            },
        );
        let waiting: String =
            waiting.iter().map(|it| format!("\n  waits: {} {}", it.number, it.kind)).collect();
        log + &waiting
    })?;
    sent
}

/// Whose view of the log is printed.
enum Watcher {
    Administrator(Box<Administrator>),
    Member(Client),
}

impl Watcher {
    fn open(args: &MonitorArgs) -> Result<Self, Failure> {
        let key = args.home.key.source(Purpose::Open)?;
        Ok(match &args.dir {
            Some(dir) => {
                Self::Administrator(Administrator::open(dir, &key, None)?.replaying_all(args.full).into())
            }
            None => Self::Member(Client::open(&args.home.folder()?, &key)?),
        })
    }

    async fn lines(&self) -> Result<Vec<LogLine>, Error> {
        match self {
            Self::Administrator(administrator) => Ok(administrator.log().await?.lines),
            Self::Member(client) => client.log_entries().await,
        }
    }
}

/// `chancery monitor`: the log's entries, all of them or those about oneself.
pub(crate) async fn monitor(args: &MonitorArgs, output: Output) -> Result<(), Failure> {
    let watcher = Watcher::open(args)?;
    if !args.follow {
        return print_new(&watcher.lines().await?, 0, output).map(drop);
    }
    let stop = Stop::listen(false)?;
    tokio::select! {
        () = stop.wait() => Ok(()),
        ended = follow(&watcher, output) => ended,
    }
}

async fn follow(watcher: &Watcher, output: Output) -> Result<(), Failure> {
    let mut printed = 0;
    loop {
        match watcher.lines().await {
            Ok(lines) => printed = print_new(&lines, printed, output)?,
            Err(error) if error.is_retryable() => {
                tracing::info!(code = error.code().name(), "the log was not reached");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(FOLLOW_INTERVAL).await;
    }
}

/// Prints the entries from `from` on, and returns how many there are.
fn print_new(lines: &[LogLine], from: usize, output: Output) -> Result<usize, Failure> {
    for line in lines.iter().skip(from) {
        print_entry(line, output)?;
    }
    Ok(lines.len())
}

fn print_entry(line: &LogLine, output: Output) -> Result<(), Failure> {
    let known = |id: &[u8; 16]| (*id != [0; 16]).then(|| hex(id));
    let object = json!({
        "entry": line.index,
        "time": rfc3339(line.time.as_millis()),
        "kind": line.kind,
        "subject": known(&line.subject),
        "object": known(&line.object),
        "issuer": known(&line.issuer),
        "commitment": hex(&line.commitment),
        "handle": line.handle,
    });
    output.result(&object, || {
        let about = known(&line.subject).map_or_else(String::new, |id| format!(" {id}"));
        let handle = line.handle.as_ref().map_or_else(String::new, |handle| format!(" ({handle})"));
        format!("{} {} {}{about}{handle}", line.index, short_time(line.time.as_millis()), line.kind)
    })
}
