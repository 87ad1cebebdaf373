//! What needs the root's key: issuers, the desk's renewal, the root's successor.

use std::time::Duration;

use chancery::organisation::{Administrator, IssuerId, IssuerInfo, RootFile, capability_names};
use chancery::{Error, ErrorCode, KeySource};
use serde_json::json;

use super::acts::hand_over;
use crate::args::{
    DeskRenewArgs, IssuerAddArgs, IssuerCommand, IssuerListArgs, IssuerRevokeArgs, KeyArgs, RootArgs,
    RootSucceedArgs,
};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::text::{rfc3339, short_time};

/// Fewest digits by which an issuer is named.
const LEAST_DIGITS: usize = 8;

const DAY: Duration = Duration::from_secs(86_400);

/// The root's own key, if it opens with another than the organisation.
impl RootArgs {
    fn root_key(&self) -> Result<Option<KeySource>, Failure> {
        if self.root_key_file.is_none() && self.root_passphrase_file.is_none() {
            return Ok(None);
        }
        let (key_file, passphrase_file) = (self.root_key_file.clone(), self.root_passphrase_file.clone());
        Ok(Some(KeyArgs { key_file, passphrase_file }.source(Purpose::Open)?))
    }

    /// Finds the root, and says at once if it is not the newest.
    fn checked<'a>(&'a self, key: &'a KeySource) -> Result<RootFile<'a>, Failure> {
        let root = RootFile { file: self.root.as_deref(), key };
        Administrator::check_root(&self.by.org.dir, root)?;
        Ok(root)
    }
}

pub(super) async fn issuer(command: IssuerCommand, output: Output) -> Result<(), Failure> {
    match command {
        IssuerCommand::Add(args) => add_issuer(&args, output).await,
        IssuerCommand::List(args) => list_issuers(&args, output),
        IssuerCommand::Revoke(args) => revoke_issuer(&args, output).await,
    }
}

async fn add_issuer(args: &IssuerAddArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.root.by.open()?;
    let root_key = args.root.root_key()?;
    let root = args.root.checked(root_key.as_ref().unwrap_or(&key))?;
    let capabilities = capability_names(args.capabilities);
    if args.root.dry_run {
        let object = json!({"dry_run": true, "capabilities": capabilities, "days": args.days});
        let text = || format!("would name an issuer for {capabilities}, for {} days", args.days);
        return output.result(&object, text);
    }
    let wanted = (args.capabilities, DAY.saturating_mul(args.days));
    let (holder, out) = (args.holder.as_deref(), args.out.as_deref());
    let (administrator, new) = administrator.add_issuer((root, &key), wanted, holder, out)?;
    let sent = hand_over(&administrator).await;
    let file = new.file.display().to_string();
    let object = json!({
        "issuer": new.id.to_string(),
        "capabilities": capabilities,
        "file": file,
        "state": state(&sent),
    });
    output.result(&object, || format!("issuer {} for {capabilities}: {file}", new.id))?;
    sent
}

fn list_issuers(args: &IssuerListArgs, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let administrator = Administrator::open(&args.org.dir, &key, None)?;
    for issuer in administrator.issuers()? {
        let holder = issuer.holder.map(|member| administrator.handle_of(&member)).transpose()?.flatten();
        print_issuer(&issuer, holder.as_deref(), output)?;
    }
    Ok(())
}

fn print_issuer(issuer: &IssuerInfo, holder: Option<&str>, output: Output) -> Result<(), Failure> {
    let capabilities = capability_names(issuer.capabilities);
    let ended = issuer.ended.map(|at| rfc3339(at.as_millis()));
    let object = json!({
        "issuer": issuer.id.to_string(),
        "capabilities": capabilities,
        "not_before": rfc3339(issuer.not_before.as_millis()),
        "not_after": rfc3339(issuer.not_after.as_millis()),
        "holder": holder,
        "desk": issuer.is_desks,
        "ended": ended,
    });
    output.result(&object, || {
        let until = short_time(issuer.not_after.as_millis());
        let marks = [
            issuer.is_desks.then(|| "the desk's".to_owned()),
            holder.map(|holder| format!("held by {holder}")),
            issuer.ended.map(|at| format!("ended {}", short_time(at.as_millis()))),
        ];
        let marks: String = marks.into_iter().flatten().map(|mark| format!(", {mark}")).collect();
        format!("{} {capabilities}, until {until}{marks}", issuer.id)
    })
}

async fn revoke_issuer(args: &IssuerRevokeArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.root.by.open()?;
    let issuer = find(&administrator.issuers()?, &args.issuer)?;
    if issuer.is_desks {
        return Err(ErrorCode::IssuerInUse.into());
    }
    let root_key = args.root.root_key()?;
    let root = args.root.checked(root_key.as_ref().unwrap_or(&key))?;
    let (id, capabilities) = (issuer.id, capability_names(issuer.capabilities));
    let last = capability_names(administrator.last_of(&id)?);
    if args.root.dry_run {
        let object = json!({
            "dry_run": true,
            "issuer": id.to_string(),
            "capabilities": capabilities,
            "last_of": last,
        });
        let text = || {
            let warning = if last.is_empty() { String::new() } else { format!("; the last for {last}") };
            format!("would end issuer {id} for {capabilities}; what it signed stands{warning}")
        };
        return output.result(&object, text);
    }
    let administrator = administrator.end_issuer(root, &key, (&id, args.force))?;
    if !last.is_empty() {
        tracing::warn!(capabilities = last, "no issuer is left that could sign this; name another one");
    }
    let sent = hand_over(&administrator).await;
    let object = json!({"issuer": id.to_string(), "state": state(&sent)});
    output.result(&object, || format!("issuer {id} is ended; what it signed stands"))?;
    sent
}

/// Finds the one issuer whose identifier starts so.
fn find(issuers: &[IssuerInfo], typed: &str) -> Result<IssuerInfo, Failure> {
    let typed = typed.to_lowercase();
    let starts = |id: &IssuerId| typed.len() >= LEAST_DIGITS && id.to_string().starts_with(&typed);
    let mut found = issuers.iter().filter(|issuer| starts(&issuer.id));
    match (found.next(), found.next()) {
        (Some(issuer), None) => Ok(issuer.clone()),
        _ => Err(Error::with(ErrorCode::IssuerUnknown, typed).into()),
    }
}

pub(super) async fn renew_desk(args: &DeskRenewArgs, output: Output) -> Result<(), Failure> {
    let RootArgs { by, dry_run, .. } = &args.root;
    let key = by.org.key.source(Purpose::Open)?;
    let root_key = args.root.root_key()?;
    let root = args.root.checked(root_key.as_ref().unwrap_or(&key))?;
    if *dry_run {
        let text = || "would give the desk a new issuer, new keys and a new mailbox".to_owned();
        return output.result(&json!({"dry_run": true}), text);
    }
    let administrator = Administrator::renew_desk((&by.org.dir, &key), root, by.actor.as_deref())?;
    let sent = hand_over(&administrator).await;
    let desk = administrator.issuers()?.into_iter().find(|issuer| issuer.is_desks);
    let (id, until) = desk.map(|desk| (desk.id.to_string(), desk.not_after.as_millis())).unwrap_or_default();
    let object = json!({"issuer": id, "not_after": rfc3339(until), "state": state(&sent)});
    output
        .result(&object, || format!("the desk is renewed until {}; its issuer is {id}", short_time(until)))?;
    sent
}

pub(super) async fn succeed(args: &RootSucceedArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.root.by.open()?;
    let root_key = args.root.root_key()?;
    let root = RootFile { file: args.root.root.as_deref(), key: root_key.as_ref().unwrap_or(&key) };
    if args.root.dry_run {
        Administrator::check_root(&args.root.by.org.dir, root)?;
        let text = || "would make a new root, sign it with the old one, and replace the file".to_owned();
        return output.result(&json!({"dry_run": true}), text);
    }
    let administrator = administrator.succeed_root(root, &key, args.forget)?;
    let sent = hand_over(&administrator).await;
    let object = json!({"org_id": administrator.org_id().to_string(), "state": state(&sent)});
    output.result(&object, || "the root has a successor; put its file away".to_owned())?;
    sent
}

const fn state(sent: &Result<(), Failure>) -> &'static str {
    if sent.is_ok() { "in-log" } else { "queued" }
}
