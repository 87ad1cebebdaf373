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

/// Fewest members of a group: some whose devices run beside the administrator and the one who comes and goes.
const FEWEST_IN_GROUP: i64 = 10;
/// Most members of a group: each has one device.
const MOST_IN_GROUP: i64 = chancery_group::limit::MAX_DEVICES as i64;

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Offboard a member whose disk somebody has copied, and see what is left to them.
    Offboard(BenchOffboardArgs),
    /// Measure what a group costs its members' devices.
    Group(BenchGroupArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
In one process, without a network: of N members one administrator, up to 16 others and one who comes and goes run whole
engines on encrypted stores; the rest have valid credentials and prekeys, and their devices are never turned on. In each
round somebody new is added and then ended by the organisation. Each time is that of one device, its commits to disk
included, and the median of 30; so are the bytes of an operation.

Read once: time and bytes of all uploads to found the group, the state that devices keep for it when up to 16 members have
written, the bytes around a message, and the most memory that the process had, with the organisation, the relay and all
devices in it (Linux only).

Figures, with --json fields of one object: members, create_us, create_bytes, remove_make_us, remove_bytes, remove_apply_us,
add_make_us, add_bytes, send_us, receive_us, message_bytes, overhead_bytes, join_us, member_state_bytes, roster_bytes,
admin_state_bytes, evict_without_admin_us, evict_without_admin_bytes, peak_memory_bytes. They are reported and not judged.

Example:
  chancery bench group --members 100 --json")]
pub(crate) struct BenchGroupArgs {
    /// How many members, 10 to 10000.
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u16).range(FEWEST_IN_GROUP..=MOST_IN_GROUP))]
    pub(crate) members: u16,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Founds an organisation in a temporary folder, with a relay, a desk and N members, all processes of their own. One
member's disk is copied and the member offboarded while half of the others are online. Then it says how long it took
until the relay had cut the leaver off and until all members online had, how many messages were sent afterwards, and how many of all envelopes at the relay the copied disk could read, which must be none. The control
is the same search over messages of members who never heard of the end, of which the disk must read some.

The leaver is in G groups whose only administrator is offline. Somebody who is online writes in each: that has the leaver
out, with new keys, and everybody online follows it.

Figures, with --json fields of one object: members, online, relay_cut_ms, clients_cut_ms (the later of the next two),
sessions_cut_ms (everybody online was told), groups, groups_cut_ms (the leaver is out of all of them for everybody online),
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
