//! What happened in a group, as it is printed: one JSON object, or a line for people.

use chancery::{ActKind, GroupAct, Person, json};
use serde_json::Value;

use crate::failure::Report;
use crate::message::called;
use crate::text::{short_time, tame_line};

/// Returns the object for `--json`; an error has its hint for people at a command line.
pub(crate) fn act_object(act: &GroupAct) -> Value {
    with_hint(act, json::group_act(act))
}

/// Returns an act's object whose error, if it has one, has its hint.
pub(crate) fn with_hint(act: &GroupAct, mut object: Value) -> Value {
    if let (Some(error), Some(fields)) = (&act.refusal, object.as_object_mut()) {
        fields.insert("error".to_owned(), Report::of(error).object());
    }
    object
}

/// Returns the line for people.
pub(crate) fn act_text(act: &GroupAct) -> String {
    format!("[{}] * {}: {}", short_time(act.at.as_millis()), tame_line(&act.group.name), act_words(act))
}

/// Returns what happened, without when and where.
pub(crate) fn act_words(act: &GroupAct) -> String {
    let by = act.by.as_ref().map_or_else(|| "somebody".to_owned(), name);
    let whom = match act.targets.as_slice() {
        [] => "nobody".to_owned(),
        targets => targets.iter().map(name).collect::<Vec<_>>().join(", "),
    };
    let role = act.role.map_or("", json::role_name);
    match act.kind {
        ActKind::Created => format!("{by} founded the group"),
        ActKind::Added => format!("{by} added {whom}"),
        ActKind::Removed => format!("{by} removed {whom}"),
        ActKind::Left => format!("{whom} left"),
        ActKind::Evicted => format!("{whom} is out: ended by the organisation"),
        ActKind::Role => format!("{by} made {whom} {role}"),
        ActKind::Renamed => format!("{by} gave the group this name"),
        ActKind::Policy => format!("{by} changed the policy"),
        ActKind::Dissolved => format!("{by} dissolved the group"),
        ActKind::Healed => format!("{by} renewed all keys"),
        ActKind::Joined => format!("you are in the group, by {by}"),
        ActKind::Forked => "members are shown different commits; nothing is sent here any more".to_owned(),
        ActKind::Withheld => {
            "others are further on, and what leads there does not come; nothing is sent here until it does"
                .to_owned()
        }
        ActKind::Refused => {
            let why = act.refusal.as_ref().map_or_else(String::new, ToString::to_string);
            format!("what {by} wanted was refused: {}", tame_line(&why))
        }
        ActKind::Gap => format!("{} of {by} are missing", messages(act.count)),
        _ => "something happened that this version does not know".to_owned(),
    }
}

fn name(person: &Person) -> String {
    called(&person.member.to_string(), &person.handle)
}

fn messages(count: u64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
