//! The scene with a group: somebody is ended while the group's only administrator is away, and the next message has them out.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::stage::Stage;
use super::stage::Who::{Alice, Bob, Carol};
use crate::process::{Call, Failure, field, within};

const NAME: &str = "Panel survey team";
const BEFORE: &str = "Bob to all three: the panel is on the roof.";
const AFTER: &str = "Bob to whoever is left: Carol is not with us any more.";
/// Time until a message is on a screen, or a process that was ended is gone.
const ARRIVAL: Duration = Duration::from_secs(30);
/// The exit code of a device that was ended.
const NOT_AUTHORISED: i32 = 2;

/// Plays it and judges what the commands print. Carol has no device afterwards.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("They have a group, and Carol leaves the organisation")?;
    for text in [NAME, BEFORE, AFTER] {
        stage.markers.add_text("a text of the group", text)?;
    }
    let create = Call::new(&["group", "create", NAME, Bob.handle(), Carol.handle()]);
    let created = stage.types(Alice, create).await?;
    let group = super::stage::text(&created, "group")?;
    appears(stage, |line| *field(line, "act") == "joined").await?;
    stage.types(Bob, Call::new(&["group", "send", NAME, BEFORE])).await?;
    appears(stage, |line| *field(line, "text") == BEFORE).await?;
    stage.transcript.note("Alice alone administers the group. She closes her screen and is away.")?;
    stage.person_mut(Alice).follower = None;
    let stolen = stage.path("stolen");
    copy(&stage.person(Carol).home(), &stolen)?;
    stage.transcript.note("Somebody copies Carol's disk; then the office ends Carol.")?;
    stage.office_runs(Call::new(&["org", "offboard", Carol.handle()])).await?;
    let ended = match stage.person_mut(Carol).follower.take() {
        Some(follower) => follower.finish(within(ARRIVAL)).await?,
        None => return Err(Failure::new("Carol has no screen")),
    };
    stage.checks.equal("how Carol's device ended", "2 revoked", format!("{} {}", ended.code, ended.error));
    let left = stage.person(Carol).home().join("store.db").exists();
    stage.checks.equal("Carol's store after her end", "gone", if left { "there" } else { "gone" });

    let sent = stage.types(Bob, Call::new(&["group", "send", NAME, AFTER])).await?;
    stage.checks.equal("Bob's next message, with new keys", "sent", field(&sent, "state").clone());
    let shown = stage.types(Bob, Call::new(&["group", "show", &group])).await?;
    let members = field(&shown, "members").as_array().map_or(0, Vec::len);
    stage.checks.equal("members of the group from then on", 2, members);
    stage.transcript.note("No administrator had to be there for that. Alice is back.")?;
    stage.follow(Alice)?;
    let deadline = within(ARRIVAL);
    let line = match &mut stage.person_mut(Alice).follower {
        Some(screen) => screen.line_with(|line| *field(line, "text") == AFTER, deadline).await?,
        None => return Err(Failure::new("Alice has no screen")),
    };
    stage.transcript.result(&line, &format!("◂ Bob: {AFTER}"))?;
    // A login destroys it.
    let readable = stage.markers.search(&stolen)?;
    stage.checks.unreadable("markers readable on the copied disk", &readable);
    let code = stage.with_copy(Carol, &stolen, &["receive"]).await?;
    stage.checks.equal("exit code of a login with the copied disk", NOT_AUTHORISED, code);
    Ok(())
}

/// Waits until Bob and Carol see such a line on their screens.
async fn appears(stage: &mut Stage, is_it: impl Fn(&Value) -> bool) -> Result<(), Failure> {
    let deadline = within(ARRIVAL);
    for who in [Carol, Bob] {
        // Bob's own message is on no screen of his.
        let own = is_it(&serde_json::json!({"text": BEFORE}));
        if who == Bob && own {
            continue;
        }
        let Some(screen) = &mut stage.person_mut(who).follower else {
            return Err(Failure::new(format!("{} has no screen", who.given())));
        };
        let line = screen.line_with(&is_it, deadline).await?;
        let what = field(&line, "text").as_str().map_or_else(|| format!("is in {NAME}"), str::to_owned);
        stage.transcript.result(&line, &format!("◂ {}: {what}", who.given()))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(from.display(), &error);
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}
