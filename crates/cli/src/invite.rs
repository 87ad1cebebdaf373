//! `chancery org invite`: one person, another device, or a list of people.

use std::io::Read as _;
use std::path::Path;

use chancery::organisation::{self, Invited, Kind, ListError, Listed, ListedState, PeopleList, Wanted};
use chancery::{Error, ErrorCode};
use serde_json::{Value, json};

use crate::args::InviteArgs;
use crate::failure::{Failure, system};
use crate::key::Purpose;
use crate::org::qr_code;
use crate::output::Output;
use crate::text::{rfc3339, short_time};

pub(crate) fn run(args: &InviteArgs, output: Output) -> Result<(), Failure> {
    match (&args.csv, &args.handle) {
        (Some(path), _) => list(args, path, output),
        (None, Some(handle)) => one(args, handle, output),
        (None, None) => Err(ErrorCode::Usage.into()),
    }
}

fn one(args: &InviteArgs, handle: &str, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let (dir, valid) = (&args.org.dir, args.valid);
    let invited = if args.device {
        organisation::invite_device(dir, &key, handle, valid)?
    } else {
        let kind = match (args.guest, args.bot) {
            (false, false) => Kind::Person,
            (true, false) => Kind::Guest,
            (false, true) => Kind::Bot,
            (true, true) => Kind::GuestBot,
        };
        let (name, unit) = (args.name.as_deref(), args.unit.as_deref());
        let wanted = Wanted { handle, name, unit, kind, reach: &args.reach, days: args.days };
        organisation::invite_as(dir, &key, &wanted, valid)?
    };
    output.result(&object(handle, &invited), || invited.link.clone())?;
    if output.has_viewer() {
        if let Some(code) = qr_code(&invited.link) {
            output.note(&code);
        }
        output.note(&format!(
            "For {handle}, once, until {} UTC. Hand it over in private: chancery enroll LINK",
            short_time(invited.expires.as_millis())
        ));
    }
    Ok(())
}

fn object(handle: &str, invited: &Invited) -> Value {
    json!({
        "link": invited.link,
        "member": invited.member.to_string(),
        "handle": handle,
        "expires": rfc3339(invited.expires.as_millis()),
    })
}

fn list(args: &InviteArgs, path: &Path, output: Output) -> Result<(), Failure> {
    let stdin = Path::new("-");
    if path == stdin && args.org.key.passphrase_file.as_deref() == Some(stdin) {
        return Err(Error::with(ErrorCode::Usage, "stdin can be read once").into());
    }
    let people = PeopleList::parse(&read(path)?).map_err(Failure::List)?;
    let key = args.org.key.source(Purpose::Open)?;
    let (dir, valid) = (&args.org.dir, args.valid);
    if args.dry_run {
        let listed = organisation::compare_list(dir, &key, &people, valid).map_err(failure)?;
        for listed in &listed {
            print_difference(listed, output)?;
        }
        return match organisation::conflicts(&listed) {
            faults if faults.is_empty() => Ok(()),
            faults => Err(Failure::List(faults)),
        };
    }
    let listed = organisation::invite_list(dir, &key, &people, valid).map_err(failure)?;
    let (new, old): (Vec<&Listed>, Vec<&Listed>) =
        listed.iter().partition(|listed| listed.state == ListedState::Invite);
    let printed = listed.iter().filter(|listed| args.reprint || listed.state == ListedState::Invite);
    for (listed, invited) in printed.filter_map(|listed| Some((listed, listed.invitation.as_ref()?))) {
        print_invitation(listed, invited, output).inspect_err(|_| {
            output.note("The people are invited; the same command with --reprint prints their links again.");
        })?;
    }
    output.note(&format!("{} invited, {} left alone", new.len(), old.len()));
    Ok(())
}

fn failure(error: ListError) -> Failure {
    match error {
        ListError::Faults(faults) => Failure::List(faults),
        ListError::Other(error) => error.into(),
        _ => ErrorCode::Internal.into(),
    }
}

/// Reads a list, and no more of it than shows that it is too long.
fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let name = path.display().to_string();
    let limit = (organisation::MAX_LIST_LEN as u64).saturating_add(1);
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| system(&error, &name))?;
    Ok(bytes)
}

fn print_difference(listed: &Listed, output: Output) -> Result<(), Failure> {
    let state = match listed.state {
        ListedState::Invite => "invite",
        ListedState::Conflict => "conflict",
        _ => "unchanged",
    };
    let object = json!({
        "handle": listed.handle,
        "state": state,
        "line": listed.line,
        "unit": listed.unit,
        "kind": listed.kind.name(),
        "taken_by": listed.taken_by,
    });
    output.result(&object, || format!("{state}\t{}", listed.handle))
}

fn print_invitation(listed: &Listed, invited: &Invited, output: Output) -> Result<(), Failure> {
    let state = if listed.state == ListedState::Invite { "invited" } else { "open" };
    let mut object = object(&listed.handle, invited);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("state".to_owned(), state.into());
        fields.insert("unit".to_owned(), listed.unit.clone().into());
        fields.insert("kind".to_owned(), listed.kind.name().into());
    }
    output.result(&object, || format!("{}\t{}", listed.handle, invited.link))
}
