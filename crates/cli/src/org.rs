//! `chancery org`: founding an organisation, inviting people, answering enrolments.

mod acts;
mod ceremonies;
mod groups;
mod list;
mod log;

use chancery::organisation::{self, RelayAddress};
use chancery::{Error, ErrorCode};
use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::json;

use crate::args::{DeskCommand, InitArgs, OrgCommand, OrgRelayArgs, RootCommand, ServeArgs};
use crate::failure::Failure;
use crate::invite;
use crate::key::{Purpose, from_supervisor};
use crate::output::Output;
use crate::root;
use crate::stop::Stop;
use crate::text::hex;

pub(crate) use log::monitor;

pub(crate) async fn run(command: OrgCommand, output: Output) -> Result<(), Failure> {
    match command {
        OrgCommand::Init(args) => init(&args, output),
        OrgCommand::Relay(args) => relay(&args, output).await,
        OrgCommand::Serve(args) => serve(&args, output).await,
        OrgCommand::Invite(args) => invite::run(&args, output),
        OrgCommand::Offboard(args) => acts::offboard(&args, output).await,
        OrgCommand::VerifyOffboarded(args) => acts::verify_offboarded(&args, output).await,
        OrgCommand::RemoveDevice(args) => acts::remove_device(&args, output).await,
        OrgCommand::Issuer(command) => ceremonies::issuer(command, output).await,
        OrgCommand::Desk(DeskCommand::Renew(args)) => ceremonies::renew_desk(&args, output).await,
        OrgCommand::Root(RootCommand::Split(args)) => root::split(&args, output),
        OrgCommand::Root(RootCommand::Join(args)) => root::join(&args, output),
        OrgCommand::Root(RootCommand::Succeed(args)) => ceremonies::succeed(&args, output).await,
        OrgCommand::Policy(command) => acts::policy(command, output).await,
        OrgCommand::GroupSuccessor(command) => acts::group_successor(command, output).await,
        OrgCommand::Group(command) => groups::run(command, output).await,
        OrgCommand::List(args) => list::run(&args, output),
        OrgCommand::Audit(args) => log::audit(&args, output).await,
        OrgCommand::Log(args) => log::status(&args, output).await,
    }
}

fn init(args: &InitArgs, output: Output) -> Result<(), Failure> {
    let dir = &args.org.dir;
    // Before a passphrase is thought up and a key file made for nothing.
    if organisation::relay(dir).is_ok() {
        return Err(Error::with(ErrorCode::AlreadyExists, dir.display().to_string()).into());
    }
    let key = args.org.key.source(Purpose::Create)?;
    let founded = organisation::found(dir, &args.name, &key)?;
    let object = json!({"org_id": founded.org_id.to_string(), "fingerprint": founded.fingerprint});
    output.result(&object, || format!("{} is founded; fingerprint {}", args.name, founded.fingerprint))?;
    output.note(&format!(
        "Move {} to a safe place: daily work does not need it.\nNext: chancery up --dir {} --data DIR",
        dir.join(organisation::ROOT_KEY).display(),
        dir.display()
    ));
    Ok(())
}

async fn relay(args: &OrgRelayArgs, output: Output) -> Result<(), Failure> {
    let by = &args.admin.by;
    let key = by.org.key.source(Purpose::Open)?;
    let (dir, url, pin) = (&by.org.dir, &args.url, &args.pin);
    let log_key = organisation::fetch_log_key(dir, url, pin, args.log_key.as_ref()).await?;
    let (with, place) = (args.admin.with(&key), (url.as_str(), pin, &log_key));
    organisation::record_relay_by((dir, &key), with, by.actor.as_deref(), place)?;
    let (pin, log_key) = (hex(pin), hex(&log_key.hash()));
    let object = json!({"url": url, "pin": pin, "log_key": log_key});
    output.result(&object, || format!("recorded: {url} pin {pin} log-key {log_key}"))
}

async fn serve(args: &ServeArgs, output: Output) -> Result<(), Failure> {
    let key = match (args.supervised, &args.org.key.key_file) {
        (true, None) => from_supervisor()?,
        _ => args.org.key.source(Purpose::Open)?,
    };
    let stop = Stop::listen(args.supervised)?;
    let mut printed = Ok(());
    let ready = |address: &RelayAddress| printed = print_ready(address, output);
    let served = organisation::serve(&args.org.dir, &key, ready, stop.wait()).await;
    printed?;
    Ok(served?)
}

/// The desk listens nowhere: it is a client of the relay.
fn print_ready(address: &RelayAddress, output: Output) -> Result<(), Failure> {
    let pin = hex(&address.pin);
    let object = json!({"event": "ready", "role": "desk", "listen": null, "url": address.url, "pin": pin});
    output.result(&object, || format!("desk ready: {} pin {pin}", address.url))
}

/// Draws the link in half blocks; light on dark, as most terminals are, and with its quiet zone.
pub(crate) fn qr_code(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let (dark, light) = (Dense1x2::Light, Dense1x2::Dark);
    Some(code.render::<Dense1x2>().dark_color(dark).light_color(light).quiet_zone(true).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_usual_length_fits_a_qr_code_and_a_terminal() {
        let link = format!("chancery:{}", "Ab0_".repeat(60));
        let drawn = qr_code(&link).unwrap();
        let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{widest} columns");
        assert!(drawn.lines().all(|line| line.chars().all(|c| " ▀▄█".contains(c))));
    }
}
