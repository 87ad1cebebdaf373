//! `chancery bench offboard`: a member leaves while their disk is in the wrong hands.

mod groups;

use std::time::{Duration, Instant};

use chancery_relay_server::held_envelopes;

use super::Figures;
use super::company::{Company, NOT_AUTHORISED, OK, TRY_LATER, is_sent};
use crate::disk;
use crate::output::Output;
use crate::process::{Failure, Finished, Running, field, within};
use groups::Groups;

/// Fewest members who have sessions with the leaver, if there are so many.
const FEWEST_PEERS: usize = 10;
/// Time until a message is on the screen of somebody who is online: a follower may wait for its next try to connect.
const ARRIVAL: Duration = Duration::from_secs(60);
/// Time until everybody is cut off or told: hundreds of followers do it at the same moment on a few cores.
const CUT: Duration = Duration::from_secs(120);
/// The code of a device whose organisation has ended it.
const REVOKED: &str = "revoked";
/// The codes of a message to somebody who has left: by what the directory says, or by what the log said on the way.
const REFUSED: [&str; 2] = ["unknown-recipient", "send-failed"];
/// Names of copies of homes.
const BEFORE: &str = "before";
const STOLEN: &str = "stolen";

/// Who does what, by number.
#[derive(Debug)]
struct Cast {
    leaver: usize,
    others: Vec<usize>,
    /// Those of the others who are online.
    online: Vec<usize>,
    /// Those of the others who have sessions with the leaver: everybody online, who could not be told otherwise, and
    /// some who are not.
    peers: Vec<usize>,
}

impl Cast {
    /// The leaver is the last; from there on every second one is online.
    fn new(members: usize) -> Self {
        let leaver = members.saturating_sub(1);
        let is_online = |number: &usize| leaver.saturating_sub(*number).is_multiple_of(2);
        let others: Vec<usize> = (0..leaver).collect();
        let online = others.iter().copied().filter(is_online).collect();
        let is_peer = |number: &usize| *number < FEWEST_PEERS || is_online(number);
        let peers = others.iter().copied().filter(is_peer).collect();
        Self { leaver, others, online, peers }
    }

    /// Each of the others with the next one, in a ring.
    fn neighbours(&self) -> Vec<(usize, usize)> {
        let next = self.others.iter().skip(1).chain(self.others.first());
        self.others.iter().copied().zip(next.copied()).collect()
    }

    fn everybody(&self) -> Vec<usize> {
        self.others.iter().copied().chain([self.leaver]).collect()
    }
}

/// Plays it from the founding to the last search.
pub(super) async fn play(
    company: &mut Company,
    (members, groups): (usize, usize),
    output: Output,
) -> Result<Figures, Failure> {
    let cast = Cast::new(members);
    let mut groups = Groups::new(groups, &cast.others, cast.leaver);
    company.found().await?;
    company.enroll(members).await?;
    output.note(&format!("{members} members are enrolled"));
    converse(company, &cast).await?;
    groups.found(company).await?;
    copy_disks(company, &cast)?;
    output.note("everybody has talked, and the disk is copied");
    groups.write_before(company).await?;
    go_online(company, &cast).await?;
    let mut missing = Vec::new();
    let cut = offboard(company, (&cast, &groups), &mut missing).await?;
    output.note("the member is offboarded");
    check_login(company, &cast, &mut missing).await?;
    let sent_after = send_afterwards(company, &cast, &mut missing).await?;
    let sent_after = sent_after.saturating_add(groups.write_after(company, &mut missing).await?);
    let leaver = company.member(cast.leaver)?.handle.clone();
    let verified = company.org(&["org", "verify-offboarded", &leaver], &[OK, 1]).await?.code == OK;
    company.close();
    let (readable, held) = search(company, &cast)?;
    let (before, after): (Vec<_>, Vec<_>) = readable.iter().partition(|text| *text == groups::BEFORE);
    let readable_after = after.len();
    if before.len() < groups.count() {
        missing.push(format!("of {} groups the control reads {} messages", groups.count(), before.len()));
    }
    if sent_after == 0 || held < sent_after {
        missing.push(format!("of {sent_after} messages sent, {held} are at the relay to be searched"));
    }
    let controls_readable = control(company, &cast)?.saturating_add(before.len());
    Ok(Figures {
        members,
        groups: groups.count(),
        groups_cut: cut.groups,
        online: cast.online.len().saturating_add(1),
        relay_cut: cut.relay,
        sessions_cut: cut.sessions,
        offboard: cut.command,
        sent_after,
        readable_after,
        controls_readable,
        verified,
        missing,
    })
}

/// The leaver with the peers, both ways, and everybody with a neighbour; all of it is received.
async fn converse(company: &Company, cast: &Cast) -> Result<(), Failure> {
    company.send_surely(&cast.neighbours()).await?;
    let to_leaver: Vec<_> = cast.peers.iter().map(|peer| (*peer, cast.leaver)).collect();
    company.send_surely(&to_leaver).await?;
    company.receive(&cast.everybody()).await?;
    let back: Vec<_> = to_leaver.iter().map(|(peer, leaver)| (*leaver, *peer)).collect();
    company.send_surely(&back).await?;
    company.receive(&cast.peers).await?;
    // Acknowledgements among it.
    company.receive(&[cast.leaver]).await
}

/// The leaver's disk twice, since a login destroys it, and the peers' homes.
fn copy_disks(company: &Company, cast: &Cast) -> Result<(), Failure> {
    let leaver = company.member(cast.leaver)?;
    disk::copy(&leaver.home(), &leaver.copy(STOLEN))?;
    for number in cast.peers.iter().chain([&cast.leaver]) {
        let member = company.member(*number)?;
        disk::copy(&member.home(), &member.copy(BEFORE))?;
    }
    Ok(())
}

/// Starts followers, and waits until each of them has shown a message: from then on it hears everything at once.
async fn go_online(company: &mut Company, cast: &Cast) -> Result<(), Failure> {
    let online: Vec<usize> = cast.online.iter().copied().chain([cast.leaver]).collect();
    let mut greetings = Vec::with_capacity(online.len());
    for number in &online {
        company.follow(*number)?;
        // The one before, or after the first: offline, since every second one is.
        let greeter = number.checked_sub(1).unwrap_or(1);
        greetings.push((greeter, *number));
    }
    let ids = company.send_surely(&greetings).await?;
    for (number, id) in online.into_iter().zip(ids) {
        let is_it = |line: &serde_json::Value| *field(line, "id") == *id;
        company.follower(number)?.line_with(is_it, within(ARRIVAL)).await?;
    }
    Ok(())
}

/// How long it took.
#[derive(Debug)]
struct Cut {
    relay: Duration,
    sessions: Duration,
    groups: Duration,
    command: Duration,
}

/// Offboards the leaver, and waits until the relay has closed the leaver's connection, everybody online was told, and the
/// leaver is out of the groups. Then nobody is online any more: the followers end with this call.
async fn offboard(
    company: &mut Company,
    (cast, groups): (&Cast, &Groups),
    missing: &mut Vec<String>,
) -> Result<Cut, Failure> {
    let (leaver, handle) = {
        let member = company.member(cast.leaver)?;
        (member.member.to_string(), member.handle.clone())
    };
    let mut online = Vec::with_capacity(cast.online.len());
    for member in &mut company.members {
        online.extend(member.follower.take());
    }
    // The leaver is the last.
    let follower = online.pop().ok_or_else(|| Failure::new("the leaver is not online"))?;
    let began = Instant::now();
    let command = company.start_org(&["org", "offboard", &handle])?;
    let clients = async {
        let sessions = told(&mut online, &leaver, began).await?;
        groups.evict(company, (&cast.online, &mut online)).await?;
        Ok((sessions, began.elapsed()))
    };
    let (command, (relay_end, relay), (sessions, groups)) =
        tokio::try_join!(succeeded(command, began), ended(follower, began), clients)?;
    if !is_revoked(&relay_end) {
        let (code, error) = (relay_end.code, relay_end.error);
        missing.push(format!("the leaver's process ended with {code} {error} and not as {REVOKED}"));
    }
    if disk::is_there(&company.member(cast.leaver)?.home()) {
        missing.push("the leaver's home was not destroyed".to_owned());
    }
    Ok(Cut { relay, sessions, groups, command })
}

/// Waits for the end of a command, which must be a good one.
async fn succeeded(command: Running, began: Instant) -> Result<Duration, Failure> {
    let (finished, took) = ended(command, began).await?;
    match finished.code {
        OK => Ok(took),
        code => Err(Failure::new(format!("`org offboard` ended with {code} {}", finished.error))),
    }
}

async fn ended(process: Running, began: Instant) -> Result<(Finished, Duration), Failure> {
    let finished = process.finish(within(CUT)).await?;
    Ok((finished, began.elapsed()))
}

/// Waits until each of the followers has printed that the member left; the last of them counts.
async fn told(followers: &mut [Running], member: &str, began: Instant) -> Result<Duration, Failure> {
    let deadline = within(CUT);
    for follower in followers {
        let is_it = |line: &serde_json::Value| {
            *field(line, "event") == "member-left" && *field(line, "member") == member
        };
        follower.line_with(is_it, deadline).await?;
    }
    Ok(began.elapsed())
}

fn is_revoked(finished: &Finished) -> bool {
    finished.code == NOT_AUTHORISED && finished.error == REVOKED
}

/// A login with the copy of the leaver's disk must be refused.
async fn check_login(company: &Company, cast: &Cast, missing: &mut Vec<String>) -> Result<(), Failure> {
    let copy = company.member(cast.leaver)?.copy(STOLEN);
    let login = company.in_copy(cast.leaver, &copy, &["receive"]).await?;
    if !is_revoked(&login) {
        let (code, error) = (login.code, login.error);
        missing.push(format!("a login with the copied disk ended with {code} {error} and not as {REVOKED}"));
    }
    Ok(())
}

/// Everybody tries to write to the leaver, before they know of the end if they were offline, and writes to a neighbour.
/// Returns how many messages the relay took.
async fn send_afterwards(
    company: &Company,
    cast: &Cast,
    missing: &mut Vec<String>,
) -> Result<usize, Failure> {
    let to_leaver: Vec<_> = cast.others.iter().map(|from| (*from, cast.leaver)).collect();
    let mut sent = 0usize;
    for (finished, (from, _)) in company.send(&to_leaver).await?.iter().zip(&to_leaver) {
        sent = sent.saturating_add(usize::from(is_sent(finished)));
        let is_refused = ![OK, TRY_LATER].contains(&finished.code);
        if !is_refused || !REFUSED.contains(&finished.error.as_str()) {
            let (code, error) = (finished.code, &finished.error);
            missing.push(format!("member {from} wrote to the leaver and got {code} {error}"));
        }
    }
    let taken = company.send(&cast.neighbours()).await?;
    Ok(taken.iter().filter(|finished| is_sent(finished)).count().saturating_add(sent))
}

/// Tries everything that the relay holds with the copied disk. Returns the texts that can be read, and of how many envelopes.
///
/// On the runtime's thread, here and in the control: it takes seconds at most, and nobody removes the folder meanwhile.
fn search(company: &Company, cast: &Cast) -> Result<(Vec<String>, usize), Failure> {
    let held = held_envelopes(&company.relay_data(), &company.org_id()?)
        .map_err(|error| Failure::new(format!("the relay's data: {error}")))?;
    let leaver = company.member(cast.leaver)?;
    Ok((disk::readable(&leaver.copy(BEFORE), &leaver.key(), &held)?, held.len()))
}

/// The same search where nobody heard of the end: messages to the leaver by the homes as they were before.
fn control(company: &Company, cast: &Cast) -> Result<usize, Failure> {
    let leaver = company.member(cast.leaver)?;
    let mut envelopes = Vec::with_capacity(cast.peers.len());
    for number in &cast.peers {
        let peer = company.member(*number)?;
        envelopes.extend(disk::seal(&peer.copy(BEFORE), &peer.key(), (leaver.member, leaver.device))?);
    }
    Ok(disk::readable(&leaver.copy(BEFORE), &leaver.key(), &envelopes)?.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_any_company_is_online_and_everybody_online_knows_the_leaver() {
        for members in 3..=60 {
            let cast = Cast::new(members);
            assert_eq!(cast.online.len() + 1, members.div_ceil(2), "{members}");
            assert!(cast.online.iter().all(|number| cast.peers.contains(number)));
            assert!(cast.peers.len() >= FEWEST_PEERS.min(members - 1));
            assert_eq!(cast.neighbours().len(), members - 1);
            for number in cast.online.iter().chain([&cast.leaver]) {
                let greeter = number.checked_sub(1).unwrap_or(1);
                assert!(greeter < cast.leaver && !cast.online.contains(&greeter), "{members}: {number}");
            }
        }
    }
}
