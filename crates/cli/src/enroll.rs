//! `chancery enroll`: making this folder a member's device.

use std::time::Duration;

use chancery::{Client, ErrorCode, json, organisation};

use crate::args::EnrollArgs;
use crate::failure::{Failure, system};
use crate::key::Purpose;
use crate::output::Output;
use crate::text::tame_line;

/// How long to wait for the desk unless told otherwise.
const DESK_PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait for approval unless told otherwise: as long as a device link holds.
const APPROVAL_PATIENCE: Duration = Duration::from_secs(600);
/// Longest link that is read from stdin; a real one has about 300 characters.
const MAX_LINK: u64 = 64 * 1024;

pub(crate) async fn run(args: &EnrollArgs, output: Output) -> Result<(), Failure> {
    let link = link(&args.link)?;
    // Before a key file is made for nothing.
    let usual = if chancery::is_device_link(&link)? { APPROVAL_PATIENCE } else { DESK_PATIENCE };
    let home = args.home.folder()?;
    // A store that an interrupted call left behind has its key already.
    let purpose = if Client::exists(&home) { Purpose::Open } else { Purpose::Create };
    let key = args.home.key.source(purpose)?;
    let mut printed = Ok(());
    let show = |code: &str| printed = show_code(code, output);
    let client = Client::enroll_with(&home, &key, &link, args.timeout.unwrap_or(usual), show).await;
    printed?;
    let client = client?;
    let me = client.me();
    let fingerprint = organisation::fingerprint(&me.org_id);
    output.result(&json::me(me), || {
        let (name, organisation) = (tame_line(&me.name), tame_line(&me.organisation));
        let handle = tame_line(&me.handle);
        format!("welcome to {organisation}, {name}: you are {handle}; the organisation's fingerprint is {fingerprint}")
    })
}

/// The code is a result for programs and an instruction for people.
fn show_code(code: &str, output: Output) -> Result<(), Failure> {
    if output.is_json() {
        return output.result(&json::confirm(code), String::new);
    }
    output.note(&format!("On your other device, compare and approve: chancery device approve {code}"));
    Ok(())
}

fn link(given: &str) -> Result<String, Failure> {
    use std::io::Read as _;
    if given != "-" {
        return Ok(given.to_owned());
    }
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_LINK).read_to_string(&mut text);
    match read {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(ErrorCode::InvitationDamaged.into())
        }
        Err(error) => Err(system(&error, "standard input").into()),
    }
}
