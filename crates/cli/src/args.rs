//! The command line: what can be typed, and what `--help` teaches.

mod authority;
mod bench;
mod group;
mod reading;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::text;

pub(crate) use authority::*;
pub(crate) use bench::*;
pub(crate) use group::*;
pub(crate) use reading::*;

/// How long an invitation holds unless told otherwise.
const DEFAULT_VALID: &str = "7d";
/// Where a relay listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7443";

const EXAMPLES: &str = "\
Try it on one machine:
  chancery demo

Found an organisation, run its relay and enrolment desk, invite somebody:
  chancery org init --name Acme --dir acme
  chancery up --dir acme --data relay-data --listen 127.0.0.1:7443
  chancery org invite alice --dir acme --name \"Alice Liddell\"

Become a member, write, read:
  chancery enroll chancery:… --home alice
  chancery send bob \"Lunch at noon?\" --home alice --file menu.pdf
  chancery receive --home alice --follow --save downloads
  chancery history bob --home alice

Talk in a group; whoever the organisation ends is out with the next message of anybody:
  chancery group create Crew bob carol --home alice
  chancery group send Crew \"Lunch at noon?\" --home bob

Results go to stdout, everything else to stderr. Exit codes: 0 ok, 1 failed, 2 not authorised, 3 not found,
4 refused by policy, 5 try later, 64 wrong usage. With --json every line is one object; an error is
{\"error\":{\"code\":…,\"message\":…,\"retry\":…}} on stderr. \"retry\" says whether the same command may go well
later; of a queued message it is false, because that one goes by itself, and \"cause\" says what it waits for.";

/// End-to-end encrypted messages that your organisation owns.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Print one JSON object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Log to stderr: off, error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", env = "CHANCERY_LOG", default_value = "warn")]
    pub(crate) log: LevelFilter,
}

/// What opens an encrypted store or key.
///
/// Without an option CHANCERY_PASSPHRASE counts; without that, a terminal is asked.
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// Read the passphrase from this file, `-` for stdin; a line break at the end is dropped.
    #[arg(long, value_name = "PATH", conflicts_with = "key_file")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Use this key file (32 random bytes, mode 0600) instead of a passphrase.
    #[arg(long, value_name = "PATH")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The folder of a member's device.
#[derive(Debug, Args)]
pub(crate) struct HomeArgs {
    /// This device's folder [default: the platform's data directory].
    #[arg(long, value_name = "DIR", env = "CHANCERY_HOME")]
    pub(crate) home: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Found and run an organisation.
    #[command(subcommand)]
    Org(OrgCommand),
    /// Serve a relay, for trials; `chancery-relay` is the program for servers.
    Relay(RelayArgs),
    /// Run relay and enrolment desk together, as two processes: for a trial or a small company.
    Up(UpArgs),
    /// Make this device a member, with an invitation link or a device link.
    Enroll(EnrollArgs),
    /// Use several devices: link another one, approve it, list them, remove one.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Send text and files to a member.
    Send(SendArgs),
    /// Print what has arrived.
    Receive(ReceiveArgs),
    /// Print the conversation with a member.
    History(HistoryArgs),
    /// Mark what a member has written to you as read.
    Read(ReadArgs),
    /// Show and set what others are told: receipts, and that you are writing.
    Settings(SettingsArgs),
    /// Show and set how long what you write to a member stays once it was read.
    Disappearing(DisappearingArgs),
    /// Talk in groups, and look after them.
    #[command(subcommand)]
    Group(GroupCommand),
    /// Print what the organisation's log says of you.
    Monitor(MonitorArgs),
    /// Watch an organisation's log as a witness, who cosigns what it has seen grow.
    #[command(subcommand)]
    Witness(WitnessCommand),
    /// Watch an organisation, three members and a relay at work on this machine.
    Demo,
    /// Measure, with processes of its own on this machine, and check what is measured.
    #[command(subcommand)]
    Bench(BenchCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgCommand {
    /// Found an organisation in a new folder.
    Init(InitArgs),
    /// Record, signed, where the relay is.
    Relay(OrgRelayArgs),
    /// Answer enrolments: the desk that checks invitations and signs credentials.
    Serve(ServeArgs),
    /// Invite somebody: prints a link that works once.
    Invite(InviteArgs),
    /// End a member: every device, for ever.
    Offboard(OffboardArgs),
    /// Check, by the log and the relay, that somebody who was offboarded is gone.
    VerifyOffboarded(VerifyOffboardedArgs),
    /// End one device of a member.
    RemoveDevice(OrgRemoveDeviceArgs),
    /// Name, list and end issuers.
    #[command(subcommand)]
    Issuer(IssuerCommand),
    /// Look after the desk's keys.
    #[command(subcommand)]
    Desk(DeskCommand),
    /// Look after the root's key.
    #[command(subcommand)]
    Root(RootCommand),
    /// Show and set what every client enforces.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Say who takes groups over when their last administrator is gone.
    #[command(subcommand)]
    GroupSuccessor(GroupSuccessorCommand),
    /// Sign an order to a group, which a member carries out.
    #[command(subcommand)]
    Group(OrgGroupCommand),
    /// Print the records of administrative acts, each checked against its commitment.
    Audit(AuditArgs),
    /// Say what the log is, and what waits for it.
    Log(LogArgs),
}

/// The organisation's folder and its key.
#[derive(Debug, Args)]
pub(crate) struct OrgArgs {
    /// The organisation's folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) key: KeyArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
DIR/public holds all that a relay needs. DIR/root.key is needed for nothing but new issuers: move it to a
safe place. A --key-file that does not exist is created.

Example:
  chancery org init --name Acme --dir acme")]
pub(crate) struct InitArgs {
    /// The organisation's name.
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Invitations carry this address and pin from now on. The relay prints both when it is ready, and the hash of the
key that signs the organisation's log. It has to run: the key itself is fetched from it.

Example:
  chancery org relay wss://relay.acme.example:7443 --pin 5f1c… --log-key 93ab… --dir acme")]
pub(crate) struct OrgRelayArgs {
    /// The relay's address: wss://host:port.
    pub(crate) url: String,
    /// The relay's key pin: 64 hexadecimal digits.
    #[arg(long, value_name = "HASH", value_parser = text::parse_pin)]
    pub(crate) pin: [u8; 32],
    /// The hash of the key that signs the log, 64 hexadecimal digits; without it whatever this relay gives is taken.
    #[arg(long, value_name = "HASH", value_parser = text::parse_pin)]
    pub(crate) log_key: Option<[u8; 32]>,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The desk is a client of the relay and may run anywhere. It prints one line when it is ready and stops at
SIGINT or SIGTERM.

Example:
  chancery org serve --dir acme --key-file /etc/acme/desk.key")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    /// Take the passphrase, in hexadecimal, from stdin's first line and end when stdin does.
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The link stands alone on a line of stdout; whoever has it can become this member, once. On a terminal a QR
code of it goes to stderr.

With --csv, everybody of a list: UTF-8, one person a line, under a header line with the columns handle and name,
and if you like unit, kind (member, guest, bot or guest-bot), reach (handles with spaces between), days and owner,
which a guest or bot needs. Each line of stdout is a handle, a tab and a link. All are invited or, if anything
is wrong, nobody. Who is a member or has an open invitation is left alone, so the list may be given again and
again.

Examples:
  chancery org invite alice --dir acme --name \"Alice Liddell\" --valid 48h
  chancery org invite carol --dir acme --guest --owner alice --reach alice,bob --days 30
  chancery org invite --csv people.csv --dir acme --dry-run")]
pub(crate) struct InviteArgs {
    /// The handle: 1 to 64 of a-z 0-9 . _ -
    #[arg(required_unless_present = "csv")]
    pub(crate) handle: Option<String>,
    /// Invite everybody of this list, `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["handle", "name", "device"])]
    pub(crate) csv: Option<PathBuf>,
    /// Say for each line of the list whether it is invite, unchanged or conflict, and change nothing.
    // Clap waives `requires` of what a handle rules out.
    #[arg(long, requires = "csv", conflicts_with_all = ["handle", "reprint"])]
    pub(crate) dry_run: bool,
    /// Print the open invitations of people of the list again.
    #[arg(long, requires = "csv", conflicts_with = "handle")]
    pub(crate) reprint: bool,
    /// The person's name [default: the handle].
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Invite another device of somebody who is a member already.
    #[arg(long, conflicts_with = "name")]
    pub(crate) device: bool,
    /// The person's department or place.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["csv", "device"])]
    pub(crate) unit: Option<String>,
    /// Invite somebody of another organisation, who reaches those of --reach and nobody else.
    #[arg(long, requires = "reach", conflicts_with_all = ["csv", "device"])]
    pub(crate) guest: bool,
    /// Invite a program and not a person; with --guest, one of another organisation.
    #[arg(long, conflicts_with_all = ["csv", "device"])]
    pub(crate) bot: bool,
    /// Whom a guest or bot writes to and hears from: handles with commas between them; a bot without reaches everybody.
    #[arg(long, value_name = "HANDLES", value_delimiter = ',', conflicts_with_all = ["csv", "device"])]
    pub(crate) reach: Vec<String>,
    /// For how many days, 1 to 730, a guest's or bot's credential is valid [default: 90].
    #[arg(long, value_name = "N", conflicts_with_all = ["csv", "device"])]
    pub(crate) days: Option<u32>,
    /// The member who answers for a guest or bot, and with whom it ends.
    #[arg(long, value_name = "HANDLE", conflicts_with_all = ["csv", "device"], required_if_eq_any = [("guest", "true"), ("bot", "true")])]
    pub(crate) owner: Option<String>,
    /// How long the invitation holds, as in 90s, 30m, 12h, 7d.
    #[arg(long, value_name = "TIME", default_value = DEFAULT_VALID, value_parser = text::parse_duration)]
    pub(crate) valid: Duration,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints one share a line. Give each to another person, on paper; none says anything about the key, and as many
as the threshold have all of it. DIR/root.shared is needed as well; copies of it do no harm. With --remove,
DIR/root.key goes once all shares are printed; copies of it elsewhere still open with their passphrase.

Example:
  chancery org root split --dir acme --threshold 3 --shares 5 --remove")]
pub(crate) struct RootSplitArgs {
    /// How many shares are needed, from 2.
    #[arg(long, value_name = "M")]
    pub(crate) threshold: u8,
    /// How many shares there are, up to 16.
    #[arg(long, value_name = "N")]
    pub(crate) shares: u8,
    /// Remove root.key when the shares are printed.
    #[arg(long)]
    pub(crate) remove: bool,
    /// Say what would be done, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The passphrase or key file protects the new root.key and need not be the old one; a --key-file that does not
exist is created. root.shared stays, and its shares stay good.

Example:
  chancery org root join --dir acme --share-file ann.txt --share-file bob.txt --share-file -")]
pub(crate) struct RootJoinArgs {
    /// A file with one share, `-` for stdin with one share a line; may be given several times.
    #[arg(long, value_name = "PATH", required = true)]
    pub(crate) share_file: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) org: OrgArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Needs no passphrase and nothing of the organisation but its public folder. Prints one line with address and
pin when it is ready, and stops at SIGINT or SIGTERM. Without a certificate it makes its own in DATA.

Example:
  chancery relay --org acme/public --data relay-data --listen 0.0.0.0:7443")]
pub(crate) struct RelayArgs {
    /// The organisation's public folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) org: PathBuf,
    #[command(flatten)]
    pub(crate) listening: ListenArgs,
    /// Believe the system's clock, though it is more than a week ahead of the log.
    #[arg(long)]
    pub(crate) trust_clock: bool,
    /// End when stdin does.
    #[arg(long, hide = true)]
    pub(crate) supervised: bool,
}

/// What a relay serves with.
#[derive(Debug, Args)]
pub(crate) struct ListenArgs {
    /// The relay's own folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Address and port to listen on; port 0 picks one.
    #[arg(long, value_name = "ADDR", default_value = DEFAULT_LISTEN)]
    pub(crate) listen: SocketAddr,
    /// A certificate chain in PEM, with --key.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's private key in PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Starts `chancery relay` and `chancery org serve`, records the relay's address and pin when they changed, and
ends both when it ends. The relay's process never sees the passphrase. With port 0 the port that was recorded
before is used again.

Example:
  chancery up --dir acme --data relay-data --listen 127.0.0.1:7443")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) org: OrgArgs,
    #[command(flatten)]
    pub(crate) listening: ListenArgs,
    /// The address under which members reach the relay, if not the one it listens on: wss://host:port.
    #[arg(long)]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The device makes its own keys; they never leave it. Called again with the same link after an interruption, it
goes on where it was. A --key-file that does not exist is created.

With a device link it prints a code and waits until another device of yours has approved that code.

Examples:
  chancery enroll chancery:… --home alice
  chancery enroll - --home alice < link.txt")]
pub(crate) struct EnrollArgs {
    /// The invitation link or device link, `-` to read it from stdin.
    pub(crate) link: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the desk or for approval [default: 60, with a device link 600].
    #[arg(long, value_name = "S", value_parser = text::parse_seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeviceCommand {
    /// Print a link with which another device asks this one to approve it.
    Link(DeviceLinkArgs),
    /// Approve the new device that shows this code.
    Approve(ApproveArgs),
    /// List your devices, and those that wait for approval here.
    List(DeviceListArgs),
    /// Remove another device of yours.
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "\
The link stands alone on a line of stdout and holds for ten minutes, for one device. On a terminal a QR code of
it goes to stderr. The new device shows a code; approve that code here.

Example:
  chancery device link
  chancery enroll chancery:… --home other        (on the new device)
  chancery device approve 12345 67890 12345 67890 12345 67890")]
pub(crate) struct DeviceLinkArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Read the code on the new device, not in the list of this one: whoever else has seen the link may wait as well.

Example:
  chancery device approve 12345 67890 12345 67890 12345 67890")]
pub(crate) struct ApproveArgs {
    /// The code that the new device shows, six groups of five digits.
    #[arg(required = true)]
    pub(crate) code: Vec<String>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the desk.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery device list")]
pub(crate) struct DeviceListArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "10", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Nobody writes to a removed device any more; what it has received already stays on it.

Example:
  chancery device remove 0123456789abcdef0123456789abcdef")]
pub(crate) struct RemoveArgs {
    /// The device's identifier, as `chancery device list` prints it.
    pub(crate) device: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the desk.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Returns when the relay has the message durably for a device of the recipient; what the recipient's other devices
lack is tried for 30 days. If nothing could be sent, the message is kept, the exit code is 5, the error \"queued\",
and whatever command connects next sends it: sending it again would send it twice.

Examples:
  chancery send bob \"Lunch at noon?\"
  chancery send bob The menu: --file menu.pdf --file map.png")]
pub(crate) struct SendArgs {
    /// The recipient's handle or member identifier.
    pub(crate) to: String,
    #[command(flatten)]
    pub(crate) message: MessageArgs,
}

/// What is sent, from which device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct MessageArgs {
    /// The text; several words are joined by spaces.
    #[arg(required_unless_present = "file")]
    pub(crate) text: Vec<String>,
    /// A file to send along; may be given several times.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay [default: 30, to a group 60, longer with files].
    #[arg(long, value_name = "S", value_parser = text::parse_seconds)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Every message is printed once; if the command is killed, the last lines may come again, with the same
identifiers, and none is left out.

With --save, a file that cannot be saved has an error beside its name and no path, and holds up nothing. It is
tried again by the next `receive --save`, and every few minutes with --follow; then a line of its own says where it
is. Without --follow the exit code says that a file still waits; one that is damaged or gone has only its error.

JSON events: message, file, device-added, lost, member-left, handle-reassigned, device-request, group-act, group-gap;
with --follow also receipt and typing. A
message to a group has the group's identifier and name in \"group\"; of others that is null.

Examples:
  chancery receive
  chancery receive --follow --save downloads --json")]
pub(crate) struct ReceiveArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Stay connected and print messages as they come, until SIGINT or SIGTERM.
    #[arg(long)]
    pub(crate) follow: bool,
    /// Leave what is printed unread: nobody is told that you have read it.
    #[arg(long)]
    pub(crate) unread: bool,
    /// Download files into this folder before their message is printed.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Reads what this device has stored, oldest first; the relay is not asked.

Example:
  chancery history bob")]
pub(crate) struct HistoryArgs {
    /// The other member's handle or identifier.
    pub(crate) who: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_holds_as_long_as_the_library_says_unless_told_otherwise() {
        let library = chancery::organisation::DEFAULT_INVITATION_LIFETIME;
        assert_eq!(text::parse_duration(DEFAULT_VALID), Ok(library));
    }
}
