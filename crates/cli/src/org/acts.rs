//! What an administrator does with keys that are at hand: ends, policy, successions.

use std::time::Duration;

use chancery::organisation::{
    Administrator, ConfirmedEnd, Issued, KeyStep, OffboardingPlan, OffboardingReport, OffboardingStep,
    Policy, SignedWith, Witnesses,
};
use chancery::{Error, ErrorCode, KeySource};
use serde_json::{Value, json};

use crate::args::{
    ActorArgs, AdminArgs, GroupSuccessorArgs, GroupSuccessorCommand, OffboardArgs, OrgRemoveDeviceArgs,
    PolicyCommand, PolicySetArgs, PolicyShowArgs, VerifyOffboardedArgs,
};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::text::{hex, rfc3339, short_time, span};

/// What a device does that has not confirmed its end.
const PENDING: &str = "the device has not confirmed; it wipes itself once it hears of its end";
/// What is known without a relay.
const NOT_ASKED: &str = "the relay was not reached; the device wipes itself once it hears of its end";

/// What is known if the relay does not say it.
const NOT_TOLD: &str = "the relay did not say; the device wipes itself once it hears of its end";

impl ActorArgs {
    /// Opens the organisation, and returns what opened it.
    pub(super) fn open(&self) -> Result<(Administrator, KeySource), Failure> {
        let key = self.org.key.source(Purpose::Open)?;
        Ok((Administrator::open(&self.org.dir, &key, self.actor.as_deref())?, key))
    }
}

impl AdminArgs {
    pub(super) fn with<'a>(&'a self, key: &'a KeySource) -> SignedWith<'a> {
        SignedWith { file: self.admin.as_deref(), key }
    }
}

/// Hands over what was stored; without a relay it waits, which is exit code 5.
pub(super) async fn hand_over(administrator: &Administrator) -> Result<(), Failure> {
    match administrator.send().await {
        Err(error) if error.is_retryable() || error.code() == ErrorCode::RelayNotRecorded => {
            Err(Error::with(ErrorCode::StatementQueued, error.code().name()).into())
        }
        other => Ok(other?),
    }
}

/// How often an offboarding looks again whether the relay has all of it: 20 times, 2 s in all.
const PUBLISHING_LOOKS: u32 = 20;
/// The time between two looks.
const PUBLISHING_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn offboard(args: &OffboardArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.admin.by.open()?;
    if args.dry_run {
        let report = administrator.preview_offboarding(args.admin.with(&key), &args.handle)?;
        let devices = Devices::unasked(&report.plan);
        return output.result(&report_object(&report, &devices, true), || {
            format!("nothing is changed; {}", report_text(&report, &devices))
        });
    }
    administrator.offboard(args.admin.with(&key), &args.handle)?;
    let mut sent = hand_over(&administrator).await;
    let mut report = administrator.offboarding(&args.handle)?;
    // The desk that serves may be publishing the same at this moment.
    for _ in 0..PUBLISHING_LOOKS {
        if sent.is_err() || report.is_complete() || !report.is_waiting() {
            break;
        }
        tokio::time::sleep(PUBLISHING_PAUSE).await;
        sent = hand_over(&administrator).await;
        report = administrator.offboarding(&args.handle)?;
    }
    let devices = Devices::of(&administrator, &report.plan, sent.is_ok()).await;
    output.result(&report_object(&report, &devices, false), || report_text(&report, &devices))?;
    sent?;
    match (report.is_complete(), report.is_waiting()) {
        (true, _) => Ok(()),
        // The relay was there, and has not taken all that it is to publish.
        (false, true) => Err(Error::with(ErrorCode::StatementQueued, args.handle.as_str()).into()),
        (false, false) => Err(Error::with(ErrorCode::OffboardingIncomplete, args.handle.as_str()).into()),
    }
}

/// What is known of the devices of somebody who was offboarded.
struct Devices {
    ends: Vec<ConfirmedEnd>,
    /// Of those that have not confirmed.
    reason: &'static str,
}

impl Devices {
    /// Asks the relay, if it was there a moment ago. Whatever it answers, there is a report.
    async fn of(administrator: &Administrator, plan: &OffboardingPlan, is_reached: bool) -> Self {
        if !is_reached {
            return Self::unasked(plan);
        }
        match administrator.confirmed_ends(plan).await {
            Ok(ends) => Self { ends, reason: PENDING },
            Err(error) if error.is_retryable() => Self::unasked(plan),
            Err(_) => Self { reason: NOT_TOLD, ..Self::unasked(plan) },
        }
    }

    fn unasked(plan: &OffboardingPlan) -> Self {
        let unknown = |device: &chancery::DeviceId| ConfirmedEnd { device: *device, confirmed: None };
        Self { ends: plan.device_ids.iter().map(unknown).collect(), reason: NOT_ASKED }
    }

    fn object(&self) -> Value {
        let device = |end: &ConfirmedEnd| match end.confirmed {
            Some(at) => json!({
                "device": end.device.to_string(),
                "wiped": "confirmed",
                "confirmed_at": rfc3339(at.as_millis()),
            }),
            None => {
                json!({"device": end.device.to_string(), "wiped": "pending", "reason": self.reason})
            }
        };
        self.ends.iter().map(device).collect()
    }

    fn text(&self) -> String {
        let device = |end: &ConfirmedEnd| match end.confirmed {
            Some(at) => {
                let at = short_time(at.as_millis());
                format!("\n  device {}: confirmed its end at {at}, by its own clock", end.device)
            }
            None => format!("\n  device {}: pending: {}", end.device, self.reason),
        };
        self.ends.iter().map(device).collect()
    }
}

pub(super) async fn verify_offboarded(args: &VerifyOffboardedArgs, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let administrator = Administrator::open(&args.org.dir, &key, None)?.replaying_all(args.full);
    let check = administrator.verify_offboarded(&args.handle).await?;
    let verified = check.doubts.is_empty();
    let devices = Devices { ends: check.devices, reason: PENDING };
    let other = check.holder.filter(|holder| *holder != check.member);
    let object = json!({
        "handle": args.handle,
        "member": check.member.to_string(),
        "verified": verified,
        "doubts": check.doubts,
        "devices": devices.object(),
        "handle_now_of": other.map(|member| member.to_string()),
    });
    output.result(&object, || {
        let heading = if verified { "verified: is out" } else { "NOT out" };
        let doubts: String = check.doubts.iter().map(|doubt| format!("\n  {doubt}")).collect();
        let now = other.map(|member| format!("\n  the handle belongs to somebody else now ({member})"));
        let (devices, now) = (devices.text(), now.unwrap_or_default());
        format!("{} ({}): {heading}{doubts}{devices}{now}", args.handle, check.member)
    })?;
    if verified { Ok(()) } else { Err(Error::with(ErrorCode::NotOffboarded, args.handle.as_str()).into()) }
}

pub(super) async fn remove_device(args: &OrgRemoveDeviceArgs, output: Output) -> Result<(), Failure> {
    let (administrator, _) = args.by.open()?;
    let device = administrator.remove_device(&args.handle, &args.device)?;
    let sent = hand_over(&administrator).await;
    let state = if sent.is_ok() { "ended" } else { "queued" };
    let object = json!({"handle": args.handle, "device": device.to_string(), "state": state});
    output.result(&object, || format!("{state}: device {device} of {}", args.handle))?;
    sent
}

pub(super) async fn policy(command: PolicyCommand, output: Output) -> Result<(), Failure> {
    match command {
        PolicyCommand::Show(args) => show_policy(&args, output),
        PolicyCommand::Set(args) => set_policy(&args, output).await,
    }
}

fn show_policy(args: &PolicyShowArgs, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let policy = Administrator::open(&args.org.dir, &key, None)?.policy()?;
    output.result(&chancery::json::policy(&policy), || policy_text(&policy))
}

async fn set_policy(args: &PolicySetArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.admin.by.open()?;
    let mut sent = Ok(());
    let (before, after, state) = if args.dry_run {
        let before = administrator.policy()?;
        let after = changed(before, args)?;
        (before, after, "dry-run")
    } else {
        let change = |policy| changed(policy, args);
        let (before, after) = administrator.change_policy(args.admin.with(&key), change)?;
        sent = hand_over(&administrator).await;
        (before, after, if sent.is_ok() { "in-log" } else { "queued" })
    };
    let object = json!({"before": chancery::json::policy(&before), "after": chancery::json::policy(&after), "state": state});
    output
        .result(&object, || format!("before: {}\nafter:  {}", policy_text(&before), policy_text(&after)))?;
    sent
}

/// The policy with what was typed.
fn changed(mut policy: Policy, args: &PolicySetArgs) -> Result<Policy, Error> {
    policy.freshness = args.freshness.unwrap_or(policy.freshness);
    policy.retention = args.retention.map_or(policy.retention, |limit| limit.0);
    policy.disappearing = args.disappearing.map_or(policy.disappearing, |limit| limit.0);
    policy.max_offline = args.max_offline.map_or(policy.max_offline, |limit| limit.0);
    policy.may_export = (policy.may_export || args.export) && !args.no_export;
    policy.may_save_attachments = (policy.may_save_attachments || args.saving) && !args.no_saving;
    policy.receipts = args.receipts.unwrap_or(policy.receipts);
    policy.device_limit = args.device_limit.unwrap_or(policy.device_limit);
    let keys = if args.witnesses.is_empty() { policy.witnesses.keys() } else { &args.witnesses };
    let quorum = args.witness_quorum.unwrap_or_else(|| policy.witnesses.quorum());
    let witnesses = if args.no_witness { Some(Witnesses::default()) } else { Witnesses::new(keys, quorum) };
    policy.witnesses = witnesses.ok_or(ErrorCode::PolicyOutOfRange)?;
    Ok(policy)
}

fn policy_text(policy: &Policy) -> String {
    let time = |time: Option<Duration>| time.map_or_else(|| "none".to_owned(), span);
    let may = |may: bool| if may { "yes" } else { "no" };
    format!(
        "freshness {}, retention {}, disappearing {}, offline {}, export {}, saving attachments {}, devices {}, \
         receipts {}, witnesses {} of {}",
        span(policy.freshness),
        time(policy.retention),
        time(policy.disappearing),
        time(policy.max_offline),
        may(policy.may_export),
        may(policy.may_save_attachments),
        policy.device_limit,
        policy.receipts,
        policy.witnesses.quorum(),
        policy.witnesses.keys().len()
    )
}

pub(super) async fn group_successor(command: GroupSuccessorCommand, output: Output) -> Result<(), Failure> {
    let GroupSuccessorCommand::Set(args) = command;
    let (administrator, key) = args.admin.by.open()?;
    let mut sent = Ok(());
    let (members, state) = if args.dry_run {
        let members: Result<Vec<_>, Error> =
            args.handles.iter().map(|handle| administrator.member(handle)).collect();
        (members?, "dry-run")
    } else {
        let with = args.admin.with(&key);
        let members = administrator.set_group_successors(with, args.group, &args.handles)?;
        sent = hand_over(&administrator).await;
        (members, if sent.is_ok() { "in-log" } else { "queued" })
    };
    print_successors(&args, &members, state, output)?;
    sent
}

fn print_successors(
    args: &GroupSuccessorArgs,
    members: &[chancery::MemberId],
    state: &str,
    output: Output,
) -> Result<(), Failure> {
    let members: Vec<String> = members.iter().map(ToString::to_string).collect();
    let group = args.group.map(|group| hex(&group));
    let object = json!({"group": group, "members": members, "state": state});
    output.result(&object, || {
        let group = group.clone().unwrap_or_else(|| "every group".to_owned());
        let names = if args.handles.is_empty() { "nobody".to_owned() } else { args.handles.join(", ") };
        format!("{state}: {group} goes to {names}")
    })
}

/// Guests and bots that end with the member, and how far that has come.
fn issued_object(report: &OffboardingReport) -> Value {
    let one = |(issued, its): (&Issued, &OffboardingReport)| {
        let mut object = limited_object(issued);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("because".to_owned(), because(report, issued).into());
            fields.insert("revocation".to_owned(), step_object(its.revocation, ENDED_BEFORE));
            fields.insert("relay".to_owned(), cut(its).into());
            fields.insert("directory".to_owned(), step_object(its.directory, REFUSED));
            fields.insert("directory_published".to_owned(), its.is_published.into());
            fields.insert("delivery_key".to_owned(), key_name(its.delivery_key).into());
            fields.insert("directory_key".to_owned(), key_name(its.directory_key).into());
            fields.insert("complete".to_owned(), its.is_complete().into());
        }
        object
    };
    report.plan.issued.iter().zip(&report.issued).map(one).collect()
}

fn limited_object(issued: &Issued) -> Value {
    json!({
        "handle": issued.handle,
        "member": issued.member_id.to_string(),
        "kind": issued.kind.name(),
    })
}

/// Why a guest or bot ends with a member.
fn because(report: &OffboardingReport, issued: &Issued) -> &'static str {
    if issued.owner == Some(report.plan.member_id) { "owned" } else { "nobody-else-in-reach" }
}

const fn cut(report: &OffboardingReport) -> &'static str {
    if report.is_cut() { "cut" } else { "not-cut" }
}

fn issued_text(report: &OffboardingReport) -> String {
    let line = |(issued, its): (&Issued, &OffboardingReport)| {
        let why = match because(report, issued) {
            "owned" => "they owned it",
            _ => "nobody else is within its reach",
        };
        let (kind, handle) = (issued.kind.name(), &issued.handle);
        let (log, directory) = (step_text(its.revocation, HAD_IT), directory_text(its));
        format!("\n  {kind} {handle} ends with them, {why}; log: {log}; directory: {directory}")
    };
    let stays = |staying: &Issued| {
        format!("\n  {} {} had them in reach and stays", staying.kind.name(), staying.handle)
    };
    let ending: String = report.plan.issued.iter().zip(&report.issued).map(line).collect();
    ending + &report.plan.staying.iter().map(stays).collect::<String>()
}

const fn key_name(step: KeyStep) -> &'static str {
    match step {
        KeyStep::NotNeeded => "not-needed",
        KeyStep::Pending => "pending",
        KeyStep::Refused => "refused",
        KeyStep::Done => "done",
        KeyStep::Stays => "stays",
    }
}

const fn key_text(step: KeyStep) -> &'static str {
    match step {
        KeyStep::NotNeeded => "nothing to change",
        KeyStep::Pending => "the change waits for the relay",
        KeyStep::Refused => "the relay refuses the change; the desk asks again",
        KeyStep::Done => "changed",
        KeyStep::Stays => "NOT changed: the last key was reached; they keep what they had",
    }
}

fn directory_text(report: &OffboardingReport) -> String {
    let published = if report.is_published { "" } else { ", not published yet" };
    format!("{}{published}", step_text(report.directory, "refused; offboard again; as"))
}

fn report_object(report: &OffboardingReport, devices: &Devices, dry_run: bool) -> Value {
    let plan = &report.plan;
    json!({
        "dry_run": dry_run,
        "handle": plan.handle,
        "name": plan.name,
        "member": plan.member_id.to_string(),
        "started": rfc3339(report.started.as_millis()),
        "handle_free": true,
        "invitations_ended": plan.invitations,
        "device_links": "ended",
        "revocation": step_object(report.revocation, ENDED_BEFORE),
        "relay": cut(report),
        "directory": step_object(report.directory, REFUSED),
        "directory_published": report.is_published,
        "delivery_key": key_name(report.delivery_key),
        "directory_key": key_name(report.directory_key),
        "devices": devices.object(),
        "issuers": plan.issuer_ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "issued": issued_object(report),
        "staying": plan.staying.iter().map(limited_object).collect::<Vec<_>>(),
        "complete": report.is_complete(),
    })
}

/// What the log's refusal of a member's end says: it had it.
const ENDED_BEFORE: &str = "ended-before";
/// What its refusal of the entry's commitment says.
const REFUSED: &str = "refused";
/// [`ENDED_BEFORE`], for people.
const HAD_IT: &str = "had it before, as";

/// `refused` is what the log's refusal of this statement means.
fn step_object(step: OffboardingStep, refused: &str) -> Value {
    match step {
        OffboardingStep::NotNeeded => json!({"state": "not-needed"}),
        OffboardingStep::Queued => json!({"state": "queued"}),
        OffboardingStep::Logged { entry, time } => {
            json!({"state": "logged", "entry": entry, "time": rfc3339(time.as_millis())})
        }
        OffboardingStep::Refused { time } => {
            json!({"state": refused, "time": rfc3339(time.as_millis())})
        }
        OffboardingStep::Dropped { time } => {
            json!({"state": "dropped", "time": rfc3339(time.as_millis())})
        }
    }
}

fn report_text(report: &OffboardingReport, devices: &Devices) -> String {
    let plan = &report.plan;
    let lines = [
        format!(
            "{} ({}) is offboarded since {}",
            plan.handle,
            plan.member_id,
            short_time(report.started.as_millis())
        ),
        format!("  invitations: {} ended; device links ended; the handle is free", plan.invitations),
        format!("  log: {}", step_text(report.revocation, HAD_IT)),
        format!("  relay: {}", relay_text(report.is_cut())),
        format!("  directory: {}", directory_text(report)),
        format!("  delivery tokens: {}", key_text(report.delivery_key)),
        format!("  directory key: {}", key_text(report.directory_key)),
    ];
    lines.join("\n") + &devices.text() + &issuers_text(plan) + &issued_text(report)
}

/// `refused` is what the log's refusal of this statement means.
fn step_text(step: OffboardingStep, refused: &str) -> String {
    match step {
        OffboardingStep::NotNeeded => "nothing to do".to_owned(),
        OffboardingStep::Queued => "waits for the relay".to_owned(),
        OffboardingStep::Logged { entry, time } => {
            format!("entry {entry}, {}", short_time(time.as_millis()))
        }
        OffboardingStep::Refused { time } => {
            format!("{refused} of {}", short_time(time.as_millis()))
        }
        OffboardingStep::Dropped { time } => {
            format!("dropped {}; offboard again", short_time(time.as_millis()))
        }
    }
}

const fn relay_text(is_cut: bool) -> &'static str {
    match is_cut {
        false => "still lets the devices in",
        true => "logins, mailboxes and prekeys of every device are cut with that entry",
    }
}

fn issuers_text(plan: &OffboardingPlan) -> String {
    let line = |id| format!("\n  holds issuer {id}: end it with `chancery org issuer revoke {id}`");
    plan.issuer_ids.iter().map(line).collect()
}
