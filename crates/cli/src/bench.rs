//! `chancery bench`: measurements with processes of their own, which check what they measure.
//!
//! Like the demonstration they call the very program they are part of, judge what these calls print and what lies on
//! disk, and leave nothing behind. Beyond that they take the place of somebody who has a stolen disk and everything that
//! the relay holds, and for that they use the engine and the store directly.

mod company;
mod group;
mod offboard;
mod town;

use std::time::Duration;

use serde_json::{Value, json};

use crate::args::{BenchCommand, BenchOffboardArgs};
use crate::failure::{Failure, Report};
use crate::output::Output;
use crate::process::{self, within};
use crate::stop::interrupted;
use crate::text::tame_line;
use company::Company;

/// What a bench fails with: it could not be finished, or what it checks is not so.
const FAILED: &str = "bench-failed";
/// The part of the limit for a whole run that does not depend on the members: the organisation, its relay and its desk
/// start, and each wait for a cut may use up its own limit.
const LIMIT: Duration = Duration::from_secs(300);
/// The part of it for each member: about fifteen commands of half a second on a slow core, whose time is shared by others. The
/// relay passes two enrolments a second on to the desk, so that these alone take half a second each.
const LIMIT_FOR_MEMBER: Duration = Duration::from_secs(9);

/// Runs a bench and prints its figures.
///
/// # Errors
///
/// Code [`FAILED`] with the reason; if the run came to its end, the figures were printed as well.
pub(crate) async fn run(command: &BenchCommand, output: Output) -> Result<(), Failure> {
    let args = match command {
        BenchCommand::Offboard(args) => args,
        // On the runtime's thread: nothing else runs.
        BenchCommand::Group(args) => {
            let measured = group::run(args.members.into(), output);
            return measured.map_err(|failure| failed(failure.to_string()));
        }
    };
    let figures = match measured(args, output).await {
        Ok(figures) => figures,
        Err(failure) => return Err(failed(failure.to_string())),
    };
    output.result(&figures.object(), || figures.text())?;
    match figures.faults() {
        faults if faults.is_empty() => Ok(()),
        faults => Err(failed(faults.join("; "))),
    }
}

async fn measured(args: &BenchOffboardArgs, output: Output) -> Result<Figures, process::Failure> {
    let limit = LIMIT.saturating_add(LIMIT_FOR_MEMBER.saturating_mul(args.members.into()));
    // Dropped behind the select: all processes end, then the folder goes.
    let mut company = Company::new()?;
    tokio::select! {
        biased;
        () = interrupted() => Err(process::Failure::new("interrupted")),
        figures = offboard::play(&mut company, (args.members.into(), args.groups.into()), output) => figures,
        () = tokio::time::sleep_until(within(limit)) => {
            Err(process::Failure::new(format!("not done within {} s", limit.as_secs())))
        }
    }
}

fn failed(message: String) -> Failure {
    let message = tame_line(&message);
    Failure::Reported(Report { code: FAILED.to_owned(), message, retry: false, cause: None }, 1)
}

/// What was measured, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Figures {
    members: usize,
    online: usize,
    relay_cut: Duration,
    /// Until everybody online was told, whose sessions with the leaver ended with that.
    sessions_cut: Duration,
    groups: usize,
    /// Until a message in each group had the leaver out for everybody online.
    groups_cut: Duration,
    offboard: Duration,
    sent_after: usize,
    readable_after: usize,
    controls_readable: usize,
    verified: bool,
    /// Who was not refused, and what else should have been and was not.
    missing: Vec<String>,
}

impl Figures {
    /// Until no client online had anything in common with the leaver: no session and no group.
    fn clients_cut(&self) -> Duration {
        self.sessions_cut.max(self.groups_cut)
    }

    fn object(&self) -> Value {
        json!({
            "members": self.members,
            "online": self.online,
            "relay_cut_ms": millis(self.relay_cut),
            "clients_cut_ms": millis(self.clients_cut()),
            "sessions_cut_ms": millis(self.sessions_cut),
            "groups": self.groups,
            "groups_cut_ms": millis(self.groups_cut),
            "offboard_ms": millis(self.offboard),
            "sent_after": self.sent_after,
            "readable_after": self.readable_after,
            "controls_readable": self.controls_readable,
            "verified": self.verified,
        })
    }

    fn text(&self) -> String {
        [
            format!("members                     {}, {} online", self.members, self.online),
            format!("relay cut the leaver off    {} ms", millis(self.relay_cut)),
            format!("clients cut the leaver off  {} ms", millis(self.clients_cut())),
            format!("  everybody online was told {} ms", millis(self.sessions_cut)),
            format!("  out of {:<3} groups         {} ms", self.groups, millis(self.groups_cut)),
            format!("org offboard took           {} ms", millis(self.offboard)),
            format!("messages sent afterwards    {}", self.sent_after),
            format!("readable with the old disk  {}", self.readable_after),
            format!("readable in the control     {}", self.controls_readable),
            format!("verified by the log         {}", if self.verified { "yes" } else { "no" }),
        ]
        .join("\n")
    }

    /// Returns everything for which the run counts as failed; times are no reason.
    fn faults(&self) -> Vec<String> {
        let mut faults = self.missing.clone();
        if self.readable_after != 0 {
            faults.push(format!("the old disk reads {} envelopes sent afterwards", self.readable_after));
        }
        if self.controls_readable == 0 {
            faults.push("the search finds nothing where it must: it proves nothing".to_owned());
        }
        if !self.verified {
            faults.push("`org verify-offboarded` has doubts".to_owned());
        }
        faults
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Figures = Figures {
        members: 6,
        online: 3,
        relay_cut: Duration::from_millis(1),
        sessions_cut: Duration::from_secs(3_600),
        groups: 2,
        groups_cut: Duration::from_secs(3_600),
        offboard: Duration::ZERO,
        sent_after: 5,
        readable_after: 0,
        controls_readable: 1,
        verified: true,
        missing: Vec::new(),
    };

    #[test]
    fn clients_are_cut_when_sessions_and_groups_both_are() {
        let (early, late) = (Duration::from_millis(3), Duration::from_millis(4));
        for (sessions_cut, groups_cut) in [(early, late), (late, early)] {
            let figures = Figures { sessions_cut, groups_cut, ..GOOD }.object();
            assert_eq!(figures["clients_cut_ms"], 4, "{figures}");
        }
    }

    #[test]
    fn each_figure_that_is_judged_fails_the_run_alone_and_times_never_do() {
        assert_eq!(GOOD.faults(), Vec::<String>::new());
        let wrong = [
            Figures { readable_after: 1, ..GOOD },
            Figures { controls_readable: 0, ..GOOD },
            Figures { verified: false, ..GOOD },
            Figures { missing: vec!["a refusal".to_owned()], ..GOOD },
        ];
        for figures in wrong {
            assert_eq!(figures.faults().len(), 1, "{figures:?}");
        }
    }
}
