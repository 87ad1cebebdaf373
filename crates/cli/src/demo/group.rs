//! The scene with groups: somebody is ended while the only administrator is away, and the next message of anybody has them out.

use std::time::Duration;

use chancery_relay_server::held_envelopes;
use serde_json::Value;

use super::stage::Who::{Alice, Bob, Carol};
use super::stage::{Stage, Who};
use crate::disk;
use crate::process::{Call, Failure, field, within};

/// Who else is there: with Alice, Bob and Carol they are ten.
const OTHERS: [(&str, &str); 7] = [
    ("dilan.yildiz", "Dilan Yildiz"),
    ("emil.sandberg", "Emil Sandberg"),
    ("farah.haddad", "Farah Haddad"),
    ("goran.kovacic", "Goran Kovacic"),
    ("hana.novakova", "Hana Novakova"),
    ("ines.carvalho", "Ines Carvalho"),
    ("jonas.petersen", "Jonas Petersen"),
];
/// The last of them is away from the copy of the disk on, so that the relay still holds all of it in the end.
const AWAY: usize = 6;

/// A group of Alice's, with Carol in it.
struct Team {
    name: &'static str,
    /// Whether Bob is in it: then it is he who writes, else the first of the others.
    has_bob: bool,
    /// The others, by number.
    others: [usize; 3],
    before: &'static str,
    after: &'static str,
}

const TEAMS: [Team; 3] = [
    Team {
        name: "Panel survey team",
        has_bob: true,
        others: [0, 1, AWAY],
        before: "Bob to the survey: the panel is on the roof.",
        after: "Bob to whoever is left: Carol is not with us any more.",
    },
    Team {
        name: "Harbour works",
        has_bob: false,
        others: [2, 3, AWAY],
        before: "Farah to the harbour: the crane comes on Tuesday.",
        after: "Farah to the harbour: the crane comes a day later.",
    },
    Team {
        name: "Summer party",
        has_bob: false,
        others: [4, 5, AWAY],
        before: "Hana to the party: who brings a salad?",
        after: "Hana to the party: we need another guitar player.",
    },
];
/// What is written first, so that all know who writes.
const GREETING: &str = "Good morning to everybody in this group.";
/// Time until a message is on a screen, or a process that was ended is gone.
const ARRIVAL: Duration = Duration::from_secs(30);
/// The exit code of a device that was ended.
const NOT_AUTHORISED: i32 = 2;
/// Copies of Carol's disk: one to be searched, and one for a login, which destroys it.
const STOLEN: &str = "stolen";
const FOR_LOGIN: &str = "stolen-too";

/// Plays it and judges what the commands print. Carol has no device afterwards.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("They are ten, in three groups, and Carol leaves the organisation")?;
    for text in TEAMS.iter().flat_map(|team| [team.name, team.before, team.after]).chain([GREETING]) {
        stage.markers.add_text("a text of a group", text)?;
    }
    stage.enroll_others(&OTHERS).await?;
    let ids = found(stage).await?;
    copy_disk(stage).await?;
    stage
        .transcript
        .note("Then there is another message in each group: with the copied disk it can be read.")?;
    write(stage, &ids, |team| team.before).await?;
    stage.follow(Carol)?;
    see(stage, Carol, TEAMS.len(), |line| TEAMS.iter().any(|team| *field(line, "text") == team.before))
        .await?;
    end(stage).await?;

    write(stage, &ids, |team| team.after).await?;
    stage.transcript.note("Each of these messages had Carol out of its group first, with new keys.")?;
    for (team, id) in TEAMS.iter().zip(&ids) {
        let call = Call::new(&["group", "show", id]);
        let shown = match team.has_bob {
            true => stage.types(Bob, call).await?,
            false => stage.other_types(first(team), call).await?,
        };
        let members = field(&shown, "members").as_array().map_or(0, Vec::len);
        let name = format!("members of \"{}\" from then on", team.name);
        let stay = team.others.len().saturating_add(1).saturating_add(usize::from(team.has_bob));
        stage.checks.equal(&name, stay, members);
    }
    stage.transcript.note("No administrator had to be there for that. Alice is back.")?;
    stage.follow(Alice)?;
    see(stage, Alice, TEAMS.len(), |line| TEAMS.iter().any(|team| *field(line, "text") == team.after))
        .await?;
    let readable = stage.markers.search(&stage.path(STOLEN))?;
    stage.checks.unreadable("markers readable on the copied disk", &readable);
    let code = stage.with_copy(Carol, &stage.path(FOR_LOGIN), &["receive"]).await?;
    stage.checks.equal("exit code of a login with the copied disk", NOT_AUTHORISED, code);
    Ok(())
}

fn first(team: &Team) -> usize {
    let [first, ..] = team.others;
    first
}

/// Alice founds the groups, and somebody greets in each, so that everybody knows who writes; returns their identifiers.
async fn found(stage: &mut Stage) -> Result<Vec<String>, Failure> {
    let mut ids = Vec::with_capacity(TEAMS.len());
    for team in &TEAMS {
        let mut words = vec!["group", "create", team.name, Carol.handle()];
        words.extend(team.has_bob.then_some(Bob.handle()));
        words.extend(team.others.iter().filter_map(|number| OTHERS.get(*number)).map(|(handle, _)| *handle));
        let created = stage.types(Alice, Call::new(&words)).await?;
        ids.push(super::stage::text(&created, "group")?);
    }
    see(stage, Bob, 1, |line| *field(line, "act") == "joined").await?;
    see(stage, Carol, TEAMS.len(), |line| *field(line, "act") == "joined").await?;
    stage.transcript.note("The seven receive what came for them.")?;
    stage.others_receive().await?;
    write(stage, &ids, |_| GREETING).await?;
    see(stage, Carol, TEAMS.len(), |line| *field(line, "text") == GREETING).await?;
    Ok(ids)
}

/// Whoever writes in each group does.
async fn write(stage: &mut Stage, ids: &[String], what: impl Fn(&Team) -> &str) -> Result<(), Failure> {
    let mut sent = 0_usize;
    for (team, id) in TEAMS.iter().zip(ids) {
        let call = Call::new(&["group", "send", id, what(team)]);
        let answer = match team.has_bob {
            true => stage.types(Bob, call).await?,
            false => stage.other_types(first(team), call).await?,
        };
        sent = sent.saturating_add(usize::from(*field(&answer, "state") == "sent"));
    }
    stage.checks.equal("groups in which a message was sent", TEAMS.len(), sent);
    Ok(())
}

/// Copies Carol's disk while no process of hers runs, and has shown her all that came.
async fn copy_disk(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.note("Alice alone administers the groups. She closes her screen and is away.")?;
    stage.person_mut(Alice).follower = None;
    stage.person_mut(Carol).follower = None;
    stage.types(Carol, Call::new(&["receive"])).await?;
    stage.transcript.note("Somebody copies Carol's disk.")?;
    for name in [STOLEN, FOR_LOGIN] {
        disk::copy(&stage.person(Carol).home(), &stage.path(name))?;
    }
    Ok(())
}

/// The office ends Carol, whose device ends with it.
async fn end(stage: &mut Stage) -> Result<(), Failure> {
    stage.office_runs(Call::new(&["org", "offboard", Carol.handle()])).await?;
    let ended = match stage.person_mut(Carol).follower.take() {
        Some(follower) => follower.finish(within(ARRIVAL)).await?,
        None => return Err(Failure::new("Carol has no screen")),
    };
    stage.checks.equal("how Carol's device ended", "2 revoked", format!("{} {}", ended.code, ended.error));
    let left = stage.person(Carol).home().join("store.db").exists();
    stage.checks.equal("Carol's store after her end", "gone", if left { "there" } else { "gone" });
    Ok(())
}

/// Waits until somebody has seen so many such lines.
async fn see(
    stage: &mut Stage,
    who: Who,
    count: usize,
    is_it: impl Fn(&Value) -> bool,
) -> Result<(), Failure> {
    let deadline = within(ARRIVAL);
    for _ in 0..count {
        let Some(screen) = &mut stage.person_mut(who).follower else {
            return Err(Failure::new(format!("{} has no screen", who.given())));
        };
        let line = screen.line_with(&is_it, deadline).await?;
        let what = field(&line, "text").as_str().unwrap_or("is in a group");
        stage.transcript.result(&line, &format!("◂ {}: {what}", who.given()))?;
    }
    Ok(())
}

/// Tries everything that the relay holds with the copied disk, once no process runs any more: what was written before the end
/// must be read, and nothing that was written afterwards.
pub(super) fn search(stage: &mut Stage) -> Result<(), Failure> {
    let org_id = stage.org_id.ok_or_else(|| Failure::new("no organisation was founded"))?;
    let held = held_envelopes(&stage.relay_data(), &org_id)
        .map_err(|error| Failure::new(format!("the relay's data: {error}")))?;
    let texts = disk::readable(&stage.path(STOLEN), &stage.person(Carol).key(), &held)?;
    let is_before = |text: &&String| TEAMS.iter().any(|team| team.before == **text);
    let (before, after): (Vec<_>, Vec<_>) = texts.iter().partition(is_before);
    // Before and after, in each group.
    let least = TEAMS.len().saturating_mul(2) as u64;
    let checks = &mut stage.checks;
    checks.at_least("control: envelopes at the relay that the copied disk tries", least, held.len() as u64);
    checks.equal(
        "control: of before Carol's end, the copied disk reads at the relay",
        TEAMS.len(),
        before.len(),
    );
    checks.equal("of after Carol's end, the copied disk reads at the relay", 0, after.len());
    Ok(())
}
