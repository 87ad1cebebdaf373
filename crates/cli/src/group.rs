//! `chancery group`: groups of members, whom the organisation's log keeps honest.

mod act;

use std::io::Read as _;
use std::time::Duration;

use chancery::{
    Error, ErrorCode, Group, GroupDone, GroupEntry, GroupInfo, GroupPhase, GroupState, GroupSummary, json,
};

use crate::args::{
    GroupArgs, GroupCommand, GroupCreateArgs, GroupExecuteArgs, GroupHistoryArgs, GroupHomeArgs,
    GroupPolicyArgs, GroupRules, GroupSendArgs, GroupShowArgs, HomeArgs,
};
use crate::failure::{Failure, system};
use crate::home::{open, open_with};
use crate::message;
use crate::output::Output;
use crate::progress::Bar;
use crate::send::{self, QUEUED, patience_for};
use crate::text::{hex, span, tame_line};

pub(crate) use act::{act_object, act_text, act_words, with_hint};

/// How long to wait for the relay.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest order that is read, in bytes: 256 KiB.
const MAX_ORDER: u64 = 256 * 1024;

pub(crate) async fn run(command: GroupCommand, output: Output) -> Result<(), Failure> {
    match command {
        GroupCommand::Create(args) => create(&args, output).await,
        GroupCommand::List(args) => list(&args.home, output).await,
        GroupCommand::Show(args) => show(&args, output).await,
        GroupCommand::Send(args) => send_to(&args, output).await,
        GroupCommand::History(args) => history(&args, output).await,
        GroupCommand::Policy(args) => policy(&args, output).await,
        GroupCommand::Execute(args) => execute(&args, output).await,
        command => change(&command, output).await,
    }
}

/// What changes a group and has nothing to say but that it is done.
async fn change(command: &GroupCommand, output: Output) -> Result<(), Failure> {
    let (which, at) = match command {
        GroupCommand::Add(args) => (&args.group, &args.at),
        GroupCommand::Remove(args) => (&args.group, &args.at),
        GroupCommand::Role(args) => (&args.group, &args.at),
        GroupCommand::HandOver(args) => (&args.group, &args.at),
        GroupCommand::Rename(args) => (&args.group, &args.at),
        GroupCommand::Leave(GroupArgs { group, at })
        | GroupCommand::Dissolve(GroupArgs { group, at })
        | GroupCommand::Heal(GroupArgs { group, at }) => (group, at),
        _ => return Err(ErrorCode::Internal.into()),
    };
    let group = open(&at.home)?.group(which).await?;
    let wait = at.timeout;
    let done = match command {
        GroupCommand::Add(args) => group.add(&names(&args.members), args.role, wait).await?,
        GroupCommand::Remove(args) => group.remove(&names(&args.members), wait).await?,
        GroupCommand::Role(args) => group.set_role(&args.member, args.role, wait).await?,
        GroupCommand::HandOver(args) => group.hand_over(&args.member, wait).await?,
        GroupCommand::Rename(args) => group.rename(&args.name, wait).await?,
        GroupCommand::Leave(_) => group.leave(wait).await?,
        GroupCommand::Dissolve(_) => group.dissolve(wait).await?,
        _ => group.heal(wait).await?,
    };
    finish(&group, done, output).await
}

async fn find(which: &str, at: &GroupHomeArgs) -> Result<Group, Failure> {
    Ok(open(&at.home)?.group(which).await?)
}

fn names(members: &[String]) -> Vec<&str> {
    members.iter().map(String::as_str).collect()
}

/// Says what the group is now, or that what was wanted waits.
async fn finish(group: &Group, done: GroupDone, output: Output) -> Result<(), Failure> {
    let state = group.state().await;
    let summary = state.as_ref().ok().map(|state| &state.summary);
    let word = if done.waiting.is_some() { "queued" } else { "done" };
    let object = json::group_done(group.id(), &done, summary);
    output.result(&object, || {
        let name = summary.map(|summary| tame_line(&summary.name)).unwrap_or_default();
        format!("{word}: {name} ({})", hex(group.id()))
    })?;
    match done.waiting {
        None => Ok(()),
        Some(why) => Err(Error::with(ErrorCode::GroupQueued, why.code().name()).into()),
    }
}

async fn create(args: &GroupCreateArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.at.home)?;
    let (group, done) = client.create_group(&args.name, &names(&args.members), args.at.timeout).await?;
    finish(&group, done, output).await
}

async fn list(home: &HomeArgs, output: Output) -> Result<(), Failure> {
    for group in open(home)?.groups().await? {
        output.result(&json::group_summary(&group), || summary_text(&group))?;
    }
    Ok(())
}

async fn show(args: &GroupShowArgs, output: Output) -> Result<(), Failure> {
    let state = open(&args.home)?.group(&args.group).await?.state().await?;
    output.result(&json::group_state(&state), || state_text(&state))
}

async fn send_to(args: &GroupSendArgs, output: Output) -> Result<(), Failure> {
    let message = &args.message;
    let text = message.text.join(" ");
    let bar = Bar::new(output);
    let client = open_with(&message.home, &bar)?;
    let group = client.group(&args.group).await?;
    let patience = message.timeout.unwrap_or_else(|| patience_for(PATIENCE, &message.files.file));
    let outgoing = send::outgoing(&client, text, (&message.files, &message.mentions)).await?;
    let sent = group.send_message(outgoing, patience).await;
    bar.clear();
    let sent = sent?;
    let object = json::group_sent(group.id(), &sent);
    send::finish(
        sent,
        &object,
        output,
        || format!("sent to {}", tame_line(&args.group)),
        || QUEUED.to_owned(),
    )
}

async fn policy(args: &GroupPolicyArgs, output: Output) -> Result<(), Failure> {
    let group = find(&args.group, &args.at).await?;
    let done = group.set_policy(|info| args.rules.apply(info), args.at.timeout).await?;
    finish(&group, done, output).await
}

impl GroupRules {
    /// Writes what was typed into a policy.
    pub(crate) fn apply(&self, info: &mut GroupInfo) {
        info.retention = self.retention.map_or(info.retention, |limit| limit.0);
        info.disappearing = self.disappearing.map_or(info.disappearing, |limit| limit.0);
        info.posting = self.posting.unwrap_or(info.posting);
        info.history = self.history.unwrap_or(info.history);
        info.heal = self.heal.map_or(info.heal, |limit| limit.0);
    }
}

async fn execute(args: &GroupExecuteArgs, output: Output) -> Result<(), Failure> {
    let mut order = args.order.clone();
    if order == "-" {
        order.clear();
        let read = std::io::stdin().lock().take(MAX_ORDER).read_to_string(&mut order);
        read.map_err(|error| system(&error, "standard input"))?;
    }
    let group = find(&args.group, &args.at).await?;
    let done = group.execute(&order, args.at.timeout).await?;
    finish(&group, done, output).await
}

async fn history(args: &GroupHistoryArgs, output: Output) -> Result<(), Failure> {
    let group = open(&args.home)?.group(&args.group).await?;
    let mut position = 0_u64;
    loop {
        let page = group.history(position).await?;
        for entry in page.iter() {
            match entry {
                GroupEntry::Message(entry) => {
                    let files = message::files(entry);
                    output.result(&message::object(entry, &files), || {
                        message::with_id(args.ids, entry, message::text(entry, &files))
                    })?;
                }
                GroupEntry::Act(act) => output.result(&act_object(act), || act_text(act))?,
                _ => {}
            }
        }
        let Some(next) = page.next else { return Ok(()) };
        position = next;
    }
}

fn summary_text(group: &GroupSummary) -> String {
    let what = match (group.phase, group.role) {
        (GroupPhase::Open, Some(role)) => format!("{}, {} devices", json::role_name(role), group.devices),
        (other, _) => json::phase_name(other).to_owned(),
    };
    let waits = match group.waiting {
        0 => String::new(),
        waiting => format!(", {waiting} waiting"),
    };
    format!("{}  {} ({what}{waits})", hex(&group.group_id), tame_line(&group.name))
}

fn state_text(state: &GroupState) -> String {
    let mut lines = vec![summary_text(&state.summary)];
    if let Some(info) = &state.info {
        let time = |time: Option<Duration>| time.map_or_else(|| "none".to_owned(), span);
        lines.push(format!(
            "  retention {}, disappearing {}, posting {}, history {}, heal {}",
            time(info.retention),
            time(info.disappearing),
            json::posting_name(info.posting),
            info.history,
            time(info.heal)
        ));
        lines.push(format!("  epoch {}, fingerprint {}", state.summary.epoch, hex(&state.transcript)));
    }
    for member in &state.members {
        let devices = match member.devices.len() {
            1 => "1 device".to_owned(),
            many => format!("{many} devices"),
        };
        let who = message::called(&member.person.member.to_string(), &member.person.handle);
        lines.push(format!("  {who}: {}, {devices}", json::role_name(member.role)));
    }
    lines.join("\n")
}
