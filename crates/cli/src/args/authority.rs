//! What administrators type: ends, issuers, policy, audit and the log.

use std::path::PathBuf;
use std::time::Duration;

use chancery::organisation::{self, Capabilities};
use clap::{Args, Subcommand};

use super::{HomeArgs, OrgArgs, RootJoinArgs, RootSplitArgs};
use crate::text;

/// The organisation, and who works in it.
#[derive(Debug, Args)]
pub(crate) struct ActorArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    /// Who the record of this act names [default: the user of the operating system].
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

/// Which administrator's keys sign.
#[derive(Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(flatten)]
    pub(crate) by: ActorArgs,
    /// The sealed file of the issuer that signs [default: DIR/admin.key].
    #[arg(long, value_name = "FILE")]
    pub(crate) admin: Option<PathBuf>,
}

/// Where the root's key is for the time of a ceremony.
#[derive(Debug, Args)]
pub(crate) struct RootArgs {
    #[command(flatten)]
    pub(crate) by: ActorArgs,
    /// The root's sealed file [default: DIR/root.key].
    #[arg(long, value_name = "FILE")]
    pub(crate) root: Option<PathBuf>,
    /// The root's key file, if it opens with another than the organisation.
    #[arg(long, value_name = "PATH", conflicts_with = "root_passphrase_file")]
    pub(crate) root_key_file: Option<PathBuf>,
    /// A file with the root's passphrase, if it opens with another than the organisation.
    #[arg(long, value_name = "PATH")]
    pub(crate) root_passphrase_file: Option<PathBuf>,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Ends the member in the log, and with that every device at the relay: no login, no mailbox, no prekeys. Their open
invitations end, the directory lists no device of theirs, and the handle is free for somebody else. Given again, it goes
on where it was and says how far it has come; what was dropped from the queue meanwhile is signed anew.

Exit codes: 0 if everything is cut; 5 if it is stored and waits for the relay, and `chancery org serve` or the next
command hands it over; 1 if the log or the relay refuses something of it, as the report says, and 2 if the keys may
not sign it. A dry run checks the same and prints the report as it would begin.

Examples:
  chancery org offboard alice --dir acme --dry-run
  chancery org offboard alice --dir acme")]
pub(crate) struct OffboardArgs {
    /// The member's handle.
    pub(crate) handle: String,
    /// Check everything, print the report as it would begin, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Replays the log and asks the relay as a stranger would. The exit code is 0 if nothing speaks against it, else 1.

Example:
  chancery org verify-offboarded alice --dir acme")]
pub(crate) struct VerifyOffboardedArgs {
    /// The handle that the member had.
    pub(crate) handle: String,
    /// Replay the log from its first entry, and not from where the last replay ended.
    #[arg(long)]
    pub(crate) full: bool,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery org remove-device alice 0123456789abcdef0123456789abcdef --dir acme")]
pub(crate) struct OrgRemoveDeviceArgs {
    /// The member's handle.
    pub(crate) handle: String,
    /// The device's identifier, as `chancery device list` and `chancery monitor` print it.
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) by: ActorArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IssuerCommand {
    /// Name another issuer, with the root's key, and write its keys into a file.
    Add(IssuerAddArgs),
    /// List the issuers.
    List(IssuerListArgs),
    /// End an issuer, with the root's key. What it signed before stands.
    Revoke(IssuerRevokeArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The file is sealed with the organisation's passphrase or key file; `--admin FILE` signs with it.

Example:
  chancery org issuer add --capabilities offboard,policy --days 365 --holder ann --dir acme")]
pub(crate) struct IssuerAddArgs {
    /// What it may sign: enrol, offboard, groups, policy, log, archive; several separated by commas.
    #[arg(long, value_name = "LIST", value_parser = parse_capabilities)]
    pub(crate) capabilities: Capabilities,
    /// How many days it may sign.
    #[arg(long, value_name = "N", default_value = "730", value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub(crate) days: u32,
    /// Handle of the member who gets the file, so that their offboarding tells of it.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) holder: Option<String>,
    /// The file for its keys [default: issuer-….key in DIR].
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) root: RootArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery org issuer list --dir acme")]
pub(crate) struct IssuerListArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The last issuer that may offboard, or enrol, is ended with --force only: name another one first.

Example:
  chancery org issuer revoke 0123456789abcdef --dir acme")]
pub(crate) struct IssuerRevokeArgs {
    /// Its identifier, or at least 8 digits of it, as `chancery org issuer list` prints it.
    pub(crate) issuer: String,
    /// End it even if nobody could offboard, or enrol, any more.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) root: RootArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeskCommand {
    /// Give the desk a new issuer and new keys, with the root's key; nobody has to enrol again.
    Renew(DeskRenewArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Do this before the desk's two years are over. A desk that is serving goes on by itself. Whoever asked to enrol in these
minutes may have to ask again.

Example:
  chancery org desk renew --dir acme --root /media/safe/root.key")]
pub(crate) struct DeskRenewArgs {
    #[command(flatten)]
    pub(crate) root: RootArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RootCommand {
    /// Write root.shared, which opens with a number of shares, and print the shares.
    Split(RootSplitArgs),
    /// Write root.key again from root.shared and enough shares.
    Join(RootJoinArgs),
    /// Let the root name its successor, whose key replaces the root's file.
    Succeed(RootSucceedArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The organisation keeps its identifier, and what the old root signed stands. The old key stays beside the new one
under the name root.key.old; put it away or destroy it. The same holds for root.shared, whose shares are worth nothing
any more: split the new root.

Example:
  chancery org root succeed --dir acme")]
pub(crate) struct RootSucceedArgs {
    /// Do not keep the old root's file.
    #[arg(long)]
    pub(crate) forget: bool,
    #[command(flatten)]
    pub(crate) root: RootArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Print the policy.
    Show(PolicyShowArgs),
    /// Change some of it; the rest stays.
    Set(PolicySetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery org policy show --dir acme")]
pub(crate) struct PolicyShowArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the policy before and after. Times are as in 30m, 12h, 7d; `none` takes a limit away.

Examples:
  chancery org policy set --freshness 3d --retention 365d --no-export --dir acme --dry-run
  chancery org policy set --retention none --export --dir acme")]
pub(crate) struct PolicySetArgs {
    /// Age of what a client knows of the log from which on it sends nothing; at least 1h.
    #[arg(long, value_name = "TIME", value_parser = text::parse_duration)]
    pub(crate) freshness: Option<Duration>,
    /// How long messages are kept, or `none`.
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    pub(crate) retention: Option<TimeLimit>,
    /// How long a message is kept once it was read, or `none`.
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    pub(crate) disappearing: Option<TimeLimit>,
    /// Age of what a client knows of the log from which on its store is locked, or `none`; at least 1h.
    #[arg(long, value_name = "TIME", value_parser = parse_limit)]
    pub(crate) max_offline: Option<TimeLimit>,
    /// Messages must not be exported.
    #[arg(long, conflicts_with = "export")]
    pub(crate) no_export: bool,
    /// Messages may be exported.
    #[arg(long)]
    pub(crate) export: bool,
    /// Attachments must not be saved outside the client.
    #[arg(long, conflicts_with = "saving")]
    pub(crate) no_saving: bool,
    /// Attachments may be saved outside the client.
    #[arg(long)]
    pub(crate) saving: bool,
    /// What members' clients may tell each other: `read`, `delivery`, `typing` with `+` between them, or `none`.
    #[arg(long, value_name = "WHAT", value_parser = parse_receipts)]
    pub(crate) receipts: Option<chancery::Receipts>,
    /// Most devices of one member, 1 to 16.
    #[arg(long, value_name = "N")]
    pub(crate) device_limit: Option<u32>,
    /// Key of a witness of the log, as `chancery witness init` prints it; several times for several. They replace those before.
    #[arg(long = "witness", value_name = "KEY", value_parser = parse_witness, conflicts_with = "no_witness")]
    pub(crate) witnesses: Vec<[u8; 32]>,
    /// How many witnesses must have seen what a client knows of the log, for it to count as fresh; 0 for none.
    #[arg(long, value_name = "N")]
    pub(crate) witness_quorum: Option<u32>,
    /// The log has no witnesses.
    #[arg(long, conflicts_with = "witness_quorum")]
    pub(crate) no_witness: bool,
    /// Print the policy before and after, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupSuccessorCommand {
    /// Name the successors, in the order of precedence; without a name there are none.
    Set(GroupSuccessorArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The first of them who has not left takes over.

Examples:
  chancery org group-successor set ann ben --dir acme
  chancery org group-successor set ann --group 0123456789abcdef0123456789abcdef --dir acme")]
pub(crate) struct GroupSuccessorArgs {
    /// Handles of members, at most 16.
    pub(crate) handles: Vec<String>,
    /// The group [default: every group without successors of its own].
    #[arg(long, value_name = "ID", value_parser = parse_group)]
    pub(crate) group: Option<[u8; 16]>,
    /// Say who they would be, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
In the order in which they were invited, as the desk has them. Nobody else is asked.

Example:
  chancery org list --dir acme --json")]
pub(crate) struct OrgListArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
One line for each act, the oldest first, with the index of the log's entry that commits to it. A record that is not
what was committed to is marked, an entry without a record has a line of its own, and the exit code is 1.

Example:
  chancery org audit --dir acme --json > audit.jsonl")]
pub(crate) struct AuditArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    /// Do not compare with the log, only with the signed commitments.
    #[arg(long)]
    pub(crate) offline: bool,
    /// Replay the log from its first entry, and not from where the last replay ended.
    #[arg(long, conflicts_with = "offline")]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Hands over what waits, then fetches the log, replays and verifies it.

What a dropped statement belonged to is undone or marked: a policy as before, a device removed, an end to be signed anew
by `chancery org offboard` or `remove-device`. A new root, a new desk and its issuer cannot be dropped.

Examples:
  chancery org log --dir acme
  chancery org log --dir acme --drop 12      # a statement that the log refuses, for good")]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) by: ActorArgs,
    /// Drop the statement with this number, which must be the next that waits.
    #[arg(long, value_name = "N")]
    pub(crate) drop: Option<u64>,
    /// Replay the log from its first entry, and not from where the last replay ended.
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Fetches the log, replays and verifies it. A member sees the entries about themselves: a device there that is none of
theirs was given to somebody else. An administrator sees all entries.

Examples:
  chancery monitor
  chancery monitor --dir acme --follow --json")]
pub(crate) struct MonitorArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Print all entries, with the desk's keys in this organisation's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Stay and print entries as they come, until SIGINT or SIGTERM.
    #[arg(long)]
    pub(crate) follow: bool,
    /// With --dir, replay the log from its first entry, and not from where the last replay ended. A member's device always
    /// does.
    #[arg(long)]
    pub(crate) full: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WitnessCommand {
    /// Make a witness with a key of its own, in a new folder.
    Init(WitnessInitArgs),
    /// Look every minute and cosign what is new, until SIGINT or SIGTERM.
    Run(WitnessArgs),
    /// Look once, and cosign what is new.
    Once(WitnessArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
Run it on a machine that neither the relay nor the administrator can change.

Example:
  chancery witness init --dir witness --org acme/public")]
pub(crate) struct WitnessInitArgs {
    /// The witness's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// The organisation's public folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) org: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A log with fewer entries than were seen, or other ones, is not cosigned: the exit code is not 0, and the note is kept beside
`checkpoint` under the name `conflict`.

Examples:
  chancery witness run --dir witness
  chancery witness once --dir witness")]
pub(crate) struct WitnessArgs {
    /// The witness's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

/// A time, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeLimit(pub(crate) Option<Duration>);

pub(crate) fn parse_limit(text: &str) -> Result<TimeLimit, String> {
    match text {
        "none" => Ok(TimeLimit(None)),
        text => text::parse_duration(text).map(|time| TimeLimit(Some(time))),
    }
}

fn parse_capabilities(text: &str) -> Result<Capabilities, String> {
    let wrong =
        || "expected some of enrol, offboard, groups, policy, log, archive, with commas between".to_owned();
    organisation::parse_capabilities(text).ok_or_else(wrong)
}

/// Reads which receipts may be sent, as they are printed.
fn parse_receipts(text: &str) -> Result<chancery::Receipts, String> {
    let mut receipts = chancery::Receipts { read: false, delivery: false, typing: false };
    for name in text.split('+').filter(|name| *name != "none" || text != "none") {
        match name {
            "read" => receipts.read = true,
            "delivery" => receipts.delivery = true,
            "typing" => receipts.typing = true,
            _ => return Err("expected read, delivery and typing with `+` between them, or `none`".to_owned()),
        }
    }
    Ok(receipts)
}

fn parse_witness(text: &str) -> Result<[u8; 32], String> {
    let bytes = text::unhex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "expected the 64 hexadecimal digits of a witness's key".to_owned())
}

pub(crate) fn parse_group(text: &str) -> Result<[u8; 16], String> {
    let bytes = text::unhex(text).and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "expected 32 hexadecimal digits".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_a_time_or_none() {
        assert_eq!(parse_limit("none"), Ok(TimeLimit(None)));
        assert_eq!(parse_limit("7d"), Ok(TimeLimit(Some(Duration::from_secs(604_800)))));
        assert!(parse_limit("never").is_err());
    }

    #[test]
    fn capabilities_have_names_and_groups_have_32_digits() {
        assert_eq!(parse_capabilities("enrol"), Ok(Capabilities::ENROL));
        assert!(parse_capabilities("root").is_err());
        assert_eq!(parse_group(&"0a".repeat(16)), Ok([10; 16]));
        assert!(parse_group("0a").is_err());
    }
}
