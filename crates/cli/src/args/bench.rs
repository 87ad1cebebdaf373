//! What whoever measures types.

use clap::{Args, Subcommand};

/// Members of a company, unless told otherwise.
const DEFAULT_MEMBERS: &str = "50";
/// Groups of the leaver, unless told otherwise.
const DEFAULT_GROUPS: &str = "3";
/// Fewest members: the leaver, somebody online and somebody offline.
const FEWEST: i64 = 3;
/// Most members: each of them is several processes and two folders, one after the other.
const MOST: i64 = 500;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Offboard a member whose disk somebody has copied, and see what is left to them.
    Offboard(BenchOffboardArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Founds an organisation in a temporary folder, with a relay, a desk and N members, all processes of their own. One
member's disk is copied and the member offboarded while half of the others are online. Then it says how long it took
until the relay had cut the leaver off and until every member online had been told, how many messages were sent
afterwards, and how many of all envelopes at the relay the copied disk could read, which must be none. The control
is the same search over messages of members who never heard of the end, of which the disk must read some.

The leaver is in G groups whose only administrator is offline. Somebody who is online writes in each: that has the leaver
out, with new keys, and everybody online follows it.

Figures, with --json fields of one object: members, online, relay_cut_ms, clients_cut_ms (sessions), groups, groups_cut_ms,
offboard_ms, sent_after, readable_after, controls_readable, verified. Times are reported and not judged. The exit code is 1, with the error
bench-failed, if anything that was sent afterwards could be read, if the control found nothing, if somebody was not
refused who should have been, or if `org verify-offboarded` does not agree.

Example:
  chancery bench offboard --members 50 --json")]
pub(crate) struct BenchOffboardArgs {
    /// How many members, 3 to 500.
    #[arg(long, value_name = "N", default_value = DEFAULT_MEMBERS, value_parser = clap::value_parser!(u16).range(FEWEST..=MOST))]
    pub(crate) members: u16,
    /// How many groups the leaver is in, 0 to 20; nobody who administers one of them is online.
    #[arg(long, value_name = "G", default_value = DEFAULT_GROUPS, value_parser = clap::value_parser!(u16).range(0..=20))]
    pub(crate) groups: u16,
}
