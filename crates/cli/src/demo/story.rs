//! The story, scene by scene.

use std::time::Duration;

use chancery_crypto::rng::{random_bytes, seeded};
use chancery_identity::OrgId;
use tokio::time::sleep;

use super::search::Found;
use super::stage::Who::{Alice, Bob, Carol};
use super::stage::{Address, Letter, Stage, Who, text};
use super::transcript::bytes;
use super::{checks, group, picture, relay_view};
use crate::process::{Call, Failure, field};

const ORGANISATION: &str = "Meridian Instruments";
const README: &str = include_str!("../../../../README.md");
/// Size of the large file: 5 MiB, which is many chunks and many frames.
const LARGE: usize = 5 << 20;
const PAGE: usize = 4096;
/// The large file is the same in every run.
const LARGE_SEED: [u8; 32] = [23; 32];
/// Attempts to get the relay's port back, and the time between them.
const REBINDS: usize = 5;
const REBIND_PAUSE: Duration = Duration::from_millis(400);

/// Who says what to whom.
type Line = (Who, Who, &'static str);

const TALK: &[Line] = &[
    (Alice, Bob, "Good morning, Bob. The façade survey is ready; Łódź and Ærø are in it."),
    (Bob, Alice, "Καλημέρα, Αλίκη. Θα το διαβάσω αμέσως."),
    (Carol, Alice, "صباح الخير يا أليس، متى نلتقي اليوم؟"),
    (Alice, Carol, "नमस्ते कैरल, आज तीन बजे मिलते हैं।"),
    (Bob, Carol, "卡罗尔，你好。图片我马上发给你。"),
    (Carol, Bob, "👩🏽‍🔬👨‍👩‍👧‍👦🏳️‍🌈 नमस्ते, 你好, γεια, مرحبا — all in one line"),
];

/// Sent without a pause: their order must survive.
const BURST: &[Line] = &[
    (Alice, Bob, "First of three in a row."),
    (Alice, Bob, "Second of three in a row."),
    (Alice, Bob, "Third of three in a row."),
];

const DOWN: &[Line] = &[
    (Alice, Bob, "Are you still there? The relay does not answer me."),
    (Bob, Alice, "I cannot reach it either, so this waits on my disk."),
    (Alice, Bob, "Mine waits, too, behind the one before."),
    (Carol, Bob, "Bob, does anybody hear me?"),
];

const AWAY: &[Line] = &[
    (Alice, Bob, "Bob, you are away; here is what you miss: one."),
    (Carol, Bob, "And from me: two."),
    (Alice, Bob, "From Alice again: three."),
    (Carol, Bob, "From Carol again: four."),
    (Alice, Bob, "And the last of it: five."),
];

/// Plays all scenes; what was found is in the stage's checks, also when a scene fails.
pub(super) async fn play(stage: &mut Stage) -> Result<(), Failure> {
    for who in Who::ALL {
        stage.markers.add(&format!("handle {}", who.handle()), who.handle().as_bytes())?;
        stage.markers.add(&format!("name {}", who.name()), who.name().as_bytes())?;
    }
    stage.markers.add("the organisation's name", ORGANISATION.as_bytes())?;
    stage.markers.add("passphrase", stage.passphrase.clone().as_bytes())?;
    stage
        .transcript
        .note("Three people and a relay, each in a process of its own, over TLS, on this machine.")?;
    stage.transcript.note("All of it lies in a temporary folder, which is removed at the end.")?;
    organisation(stage).await?;
    let relay = relay(stage).await?;
    members(stage).await?;
    talk(stage).await?;
    files(stage).await?;
    killed(stage, &relay).await?;
    let while_waiting = away(stage).await?;
    verdict(stage, while_waiting).await
}

async fn organisation(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("An organisation is made")?;
    let made = stage.office_runs(Call::new(&["org", "init", "--name", ORGANISATION])).await?;
    stage.org_id = OrgId::from_hex(&text(&made, "org_id")?);
    let shown = format!("fingerprint {}", text(&made, "fingerprint")?);
    stage.transcript.result(&made, &shown)?;
    let root = stage.office().join("root.key");
    std::fs::rename(&root, stage.path("drawer/root.key"))
        .map_err(|error| Failure::io("moving the root key away", &error))?;
    stage.transcript.command("Office", "mv office/root.key drawer/")?;
    stage.transcript.note("The organisation's root key is now out of reach; daily work does not need it.")
}

async fn relay(stage: &mut Stage) -> Result<Address, Failure> {
    stage.transcript.scene("A relay, which gets the organisation's public half and no secret")?;
    let relay = stage.start_relay("127.0.0.1:0").await?;
    stage.transcript.note(&format!("The relay answers at {}.", relay.url))?;
    let record = ["org", "relay", &relay.url, "--pin", &relay.pin, "--log-key", &relay.log_key];
    stage.office_runs(Call::new(&record)).await?;
    stage.open_desk().await?;
    stage
        .transcript
        .note("The enrolment desk is a client of the relay; its key never comes near the relay.")?;
    Ok(relay)
}

async fn members(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("Alice, Bob and Carol become members")?;
    let (mut invited, mut enrolled) = (Vec::new(), Vec::new());
    for who in Who::ALL {
        let call = Call::new(&["org", "invite", who.handle(), "--name", who.name()]);
        let invitation = stage.office_runs(call).await?;
        let link = text(&invitation, "link")?;
        if link.starts_with("chancery:") && !stage.office().join("root.key").exists() {
            invited.push(who);
        }
        stage.person_mut(who).member = text(&invitation, "member")?;
        stage.markers.add_text("an invitation link", &link)?;
        let member = stage.enroll(who, &link).await?;
        enrolled.extend((member == stage.person(who).member).then_some(who));
    }
    stage.checks.equal("invitations made without the root key", Who::ALL.len(), invited.len());
    stage.checks.equal("people enrolled as who they were invited", Who::ALL.len(), enrolled.len());
    stage.transcript.note("Keys were made on each device and never left it. Now each opens a screen.")?;
    stage.transcript.note("(Left out of all commands: --home, --key-file and --json.)")?;
    Who::ALL.into_iter().try_for_each(|who| stage.follow(who))
}

async fn talk(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("They talk, each in the script of the moment")?;
    for (from, to, text) in TALK {
        stage.send((*from, *to), text, &[]).await?;
        stage.everything_arrives(*to).await?;
    }
    say(stage, BURST).await?;
    stage.everything_arrives(Bob).await
}

async fn say(stage: &mut Stage, lines: &[Line]) -> Result<(), Failure> {
    for (from, to, text) in lines {
        stage.send((*from, *to), text, &[]).await?;
    }
    Ok(())
}

async fn files(stage: &mut Stage) -> Result<(), Failure> {
    stage.transcript.scene("They send files")?;
    let readme = stage.enclosure("README.md", README.as_bytes())?;
    let picture = stage.enclosure("panel.png", &picture::png())?;
    let large = stage.enclosure("survey-data.bin", &large())?;
    stage.send((Alice, Bob), "The project's README, for you to read.", std::slice::from_ref(&readme)).await?;
    stage.everything_arrives(Bob).await?;
    stage
        .send((Bob, Carol), "The picture that I promised, and the README again.", &[picture, readme])
        .await?;
    stage.everything_arrives(Carol).await?;
    stage.send((Carol, Alice), "All measurements of the week.", &[large]).await?;
    stage.everything_arrives(Alice).await?;
    stage.transcript.note("Every file was saved in the recipient's inbox.")?;
    checks::memory(stage)?;
    relay_view::show(stage)
}

/// Five megabytes that do not compress.
fn large() -> Vec<u8> {
    let mut rng = seeded(LARGE_SEED);
    (0..LARGE / PAGE).flat_map(|_| random_bytes::<PAGE>(&mut rng)).collect()
}

async fn killed(stage: &mut Stage, address: &Address) -> Result<(), Failure> {
    stage.transcript.scene("The relay is killed in mid-conversation")?;
    stage.send((Alice, Bob), "The relay has this one. Whatever happens next, you will get it.", &[]).await?;
    let Some(mut relay) = stage.relay.take() else { return Err(Failure::new("no relay runs")) };
    stage.transcript.command("Relay", &format!("kill -9 {}", relay.id()))?;
    relay.kill();
    say(stage, DOWN).await?;
    stage.transcript.note("The relay comes back. Nobody does anything about it.")?;
    let back = rebind(stage, &address.listen).await?;
    stage.checks.equal("the relay's address and key after its return", describe(address), describe(&back));
    for who in Who::ALL {
        stage.everything_arrives(who).await?;
    }
    Ok(())
}

fn describe(address: &Address) -> String {
    format!("{} {}", address.listen, address.pin.chars().take(16).collect::<String>())
}

/// Starts the relay at the address that it had, which the system may hold for a moment.
async fn rebind(stage: &mut Stage, listen: &str) -> Result<Address, Failure> {
    for _ in 1..REBINDS {
        match stage.start_relay(listen).await {
            Ok(address) => return Ok(address),
            Err(failure) => stage.transcript.note(&format!("Once more: {failure}"))?,
        }
        sleep(REBIND_PAUSE).await;
    }
    stage.start_relay(listen).await
}

async fn away(stage: &mut Stage) -> Result<Found, Failure> {
    stage.transcript.scene("Bob is away")?;
    stage.transcript.note("Bob's screen is closed; nobody reads his mailbox.")?;
    stage.person_mut(Bob).follower = None;
    let shown_before = stage.person(Bob).arrivals.len();
    let sent_before = stage.letters.len();
    say(stage, AWAY).await?;
    stage
        .transcript
        .note("All of it lies at the relay now; the relay's files are searched at this moment.")?;
    let while_waiting = stage.markers.search(&stage.relay_data())?;
    relay_view::show(stage)?;
    stage.transcript.note("Bob is back.")?;
    stage.follow(Bob)?;
    stage.everything_arrives(Bob).await?;
    let missed: Vec<&Letter> = stage.letters.iter().skip(sent_before).collect();
    let position = |id: &str| missed.iter().position(|letter| letter.id == id).map(|n| n.saturating_add(1));
    let mut order: Vec<usize> = Vec::new();
    for line in stage.person(Bob).arrivals.iter().skip(shown_before) {
        // A line may be repeated after a kill, with its identifier; it is the same message.
        let found = field(line, "id").as_str().and_then(position);
        order.extend(found.filter(|n| !order.contains(n)));
    }
    let expected: Vec<usize> = (1..=AWAY.len()).collect();
    stage.checks.equal("order in which Bob caught up", list(&expected), list(&order));
    Ok(while_waiting)
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(" ")
}

async fn verdict(stage: &mut Stage, while_waiting: Found) -> Result<(), Failure> {
    stage.transcript.scene("The books are compared")?;
    checks::sending(stage);
    let files: u64 = stage.letters.iter().flat_map(|letter| &letter.files).map(|file| file.size).sum();
    let (sent, files) = (stage.letters.len(), bytes(files));
    stage.transcript.note(&format!("{sent} messages and {files} of files were sent."))?;
    checks::delivery(stage).await?;
    group::play(stage).await?;
    checks::environment(stage)?;
    checks::memory(stage)?;
    stage.transcript.note(&format!(
        "{} markers (names, handles, texts, file names and contents, links) are looked for everywhere.",
        stage.markers.len()
    ))?;
    stage.end_all();
    group::search(stage)?;
    checks::secrecy(stage, while_waiting)
}
