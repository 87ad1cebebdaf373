//! `chancery device`: several devices of one member.

use chancery::{OwnDevice, json};

use crate::args::{ApproveArgs, DeviceCommand, DeviceLinkArgs, DeviceListArgs, RemoveArgs};
use crate::failure::Failure;
use crate::home::open;
use crate::org::qr_code;
use crate::output::Output;
use crate::text::short_time;

pub(crate) async fn run(command: DeviceCommand, output: Output) -> Result<(), Failure> {
    match command {
        DeviceCommand::Link(args) => link(&args, output).await,
        DeviceCommand::Approve(args) => approve(&args, output).await,
        DeviceCommand::List(args) => list(&args, output).await,
        DeviceCommand::Remove(args) => remove(&args, output).await,
    }
}

async fn link(args: &DeviceLinkArgs, output: Output) -> Result<(), Failure> {
    let made = open(&args.home)?.device_link().await?;
    let expires = made.expires.as_millis();
    output.result(&json::device_link(&made), || made.link.clone())?;
    if output.has_viewer() {
        if let Some(code) = qr_code(&made.link) {
            output.note(&code);
        }
        output.note(&format!(
            "For one device of yours, until {} UTC: chancery enroll LINK\nThen approve here the code that it shows.",
            short_time(expires)
        ));
    }
    Ok(())
}

async fn approve(args: &ApproveArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    let device = client.approve_device(&args.code.join(" "), args.timeout).await?;
    let object = json::device_approved(client.me(), &device);
    output.result(&object, || format!("approved: {device}"))
}

async fn list(args: &DeviceListArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    // What is known already is listed also when the relay does not answer.
    if let Err(error) = client.sync(args.timeout).await {
        tracing::warn!(code = error.code().name(), "the list may be out of date");
    }
    for device in client.devices().await? {
        let object = json::device(&device);
        let text = match device {
            OwnDevice::Active { id, this } => {
                let mark = if this { " (this one)" } else { "" };
                format!("{id} active{mark}")
            }
            OwnDevice::Waiting { code } => {
                format!("a new device waits for approval, code {code}")
            }
            _ => String::new(),
        };
        output.result(&object, || text)?;
    }
    Ok(())
}

async fn remove(args: &RemoveArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.home)?;
    let device = client.remove_device(&args.device, args.timeout).await?;
    output.result(&json::device_removed(&device), || format!("removed: {device}"))
}
