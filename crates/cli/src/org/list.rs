//! `chancery org list`: everybody in the desk's books.

use std::collections::BTreeMap;

use chancery::MemberId;
use chancery::organisation::{Administrator, DeskMember, DeskMemberState};
use serde_json::{Value, json};

use crate::args::OrgListArgs;
use crate::failure::Failure;
use crate::key::Purpose;
use crate::message::called;
use crate::output::Output;
use crate::text::{rfc3339, short_time, tame_line};

pub(super) fn run(args: &OrgListArgs, output: Output) -> Result<(), Failure> {
    let key = args.org.key.source(Purpose::Open)?;
    let members = Administrator::open(&args.org.dir, &key, None)?.members()?;
    let handles: BTreeMap<MemberId, String> =
        members.iter().map(|member| (member.member_id, member.handle.to_string())).collect();
    for member in &members {
        let owner = member.owner.map(|id| (id, handles.get(&id).cloned().unwrap_or_default()));
        output.result(&object(member, owner.as_ref()), || text(member, owner.as_ref()))?;
    }
    Ok(())
}

fn object(member: &DeskMember, owner: Option<&(MemberId, String)>) -> Value {
    let (state, at) = match member.state {
        DeskMemberState::Open { expires } => ("invited", Some(expires)),
        DeskMemberState::Ended { at } => ("ended", Some(at)),
        _ => ("enrolled", None),
    };
    let time = |at: chancery::Timestamp| rfc3339(at.as_millis());
    json!({
        "member": member.member_id.to_string(),
        "handle": member.handle.as_str(),
        "name": member.name.as_str(),
        "unit": member.unit.as_ref().map(chancery::DisplayName::as_str),
        "kind": member.kind.name(),
        "devices": member.devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "state": state,
        "state_at": at.map(time),
        "expires": member.ends.map(time),
        "owner": owner.map(|(_, handle)| handle),
        "owner_id": owner.map(|(id, _)| id.to_string()),
    })
}

fn text(member: &DeskMember, owner: Option<&(MemberId, String)>) -> String {
    let mut line = format!("{}: {}", tame_line(member.handle.as_str()), tame_line(member.name.as_str()));
    if let Some(unit) = &member.unit {
        line.push_str(&format!(", {}", tame_line(unit.as_str())));
    }
    if member.kind != chancery::Kind::Person {
        line.push_str(&format!(", {}", member.kind.name()));
    }
    if let Some((id, handle)) = owner {
        line.push_str(&format!(", owned by {}", called(&id.to_string(), handle)));
    }
    let time = |at: chancery::Timestamp| short_time(at.as_millis());
    line.push_str(&match member.state {
        DeskMemberState::Open { expires } => format!(", invited until {}", time(expires)),
        DeskMemberState::Ended { at } => format!(", ended {}", time(at)),
        _ if member.devices.len() == 1 => ", 1 device".to_owned(),
        _ => format!(", {} devices", member.devices.len()),
    });
    if let Some(ends) = member.ends {
        line.push_str(&format!(", expires {}", time(ends)));
    }
    line
}
