//! The command line: what can be typed, and what `--help` teaches.

mod acting;
mod authority;
mod bench;
mod chat;
mod conversations;
mod group;
pub(crate) mod help;
mod manual;
mod org;
mod reading;
mod rpc;
mod sending;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::text;

pub(crate) use acting::*;
pub(crate) use authority::*;
pub(crate) use bench::*;
pub(crate) use chat::*;
pub(crate) use conversations::*;
pub(crate) use group::*;
pub(crate) use manual::*;
pub(crate) use org::*;
pub(crate) use reading::*;
pub(crate) use rpc::*;
pub(crate) use sending::*;

/// Where a relay listens unless told otherwise.
const DEFAULT_LISTEN: &str = "127.0.0.1:7443";

const FIRST_STEPS: &str = "\
First steps, on one machine:
  chancery demo                                                 # see it work; nothing stays
  chancery org init --name Acme --dir acme                      # found an organisation
  chancery up --dir acme --data relay-data                      # its relay and desk: leave them running
  chancery org invite alice --dir acme --name \"Alice Liddell\"   # in another shell: prints a link
  chancery enroll chancery:… --home alice                       # become that member on this device

Every day:
  chancery chat --home alice                                    # all of this at a terminal
  chancery send bob \"Lunch at noon?\" --home alice --file menu.pdf
  chancery receive --home alice --follow --save downloads
  chancery conversations --home alice
  chancery history bob --home alice --last 20
  chancery group create Crew bob carol --home alice
  chancery group send Crew \"Lunch at noon?\" --home alice

Each command's help has what it does in full, and examples: chancery help org invite

Results go to stdout, everything else to stderr. Exit codes: 0 ok, 1 failed, 2 not authorised, 3 not found,
4 refused by policy, 5 try later, 64 wrong usage. With --json every line is one object; an error is
{\"error\":{\"code\":…,\"message\":…,\"retry\":…}} on stderr. \"retry\" says whether the same command may go well
later; of a queued message it is false, because that one goes by itself, and \"cause\" says what it waits for.";

/// End-to-end encrypted messages that your organisation owns.
#[derive(Debug, Parser)]
#[command(name = "chancery", version, after_help = FIRST_STEPS, max_term_width = 100)]
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
    #[command(
        subcommand,
        after_help = "\
Who founds it needs three commands; a relay and a desk have to run for the third to be of use.

Examples:
  chancery org init --name Acme --dir acme
  chancery up --dir acme --data relay-data
  chancery org invite alice --dir acme --name \"Alice Liddell\"
  chancery org offboard alice --dir acme"
    )]
    Org(OrgCommand),
    /// Serve a relay, for trials; `chancery-relay` is the program for servers.
    Relay(RelayArgs),
    /// Run relay and enrolment desk together, as two processes: for a trial or a small company.
    Up(UpArgs),
    /// Make this device a member, with an invitation link or a device link.
    Enroll(EnrollArgs),
    /// Use several devices: link another one, approve it, list them, remove one.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery device link                                          # on the old device: prints a link
  chancery enroll chancery:… --home other                       # on the new one: prints a code
  chancery device approve 12345 67890 12345 67890 12345 67890   # on the old one again
  chancery device list"
    )]
    Device(DeviceCommand),
    /// Talk at this terminal: conversations, groups, files.
    Chat(ChatArgs),
    /// Send text and files to a member.
    Send(SendArgs),
    /// Reply to a message.
    Reply(ReplyArgs),
    /// Give a message of yours another text.
    Edit(EditArgs),
    /// Delete a message of yours everywhere.
    Delete(DeleteArgs),
    /// React to a message.
    React(ReactArgs),
    /// Ask a member or a group with a form.
    Form(FormArgs),
    /// Answer a form.
    Answer(AnswerArgs),
    /// Print what has arrived.
    Receive(ReceiveArgs),
    /// List the conversations, the newest first, with what is unread.
    Conversations(ConversationsArgs),
    /// Print the conversation with a member, or the end of one with a group.
    History(HistoryArgs),
    /// Keep, print or forget what was begun and not sent.
    Draft(DraftArgs),
    /// List the members whom the directory names.
    Members(MembersArgs),
    /// Say who can read what is written in a conversation.
    Readers(ReadersArgs),
    /// Mark a conversation with a member or a group as read.
    Read(ReadArgs),
    /// Show and set what others are told: receipts, and that you are writing.
    Settings(SettingsArgs),
    /// Show and set how long what you write to a member stays once it was read.
    Disappearing(DisappearingArgs),
    /// Tell a member that you are writing, or no longer.
    Typing(TypingArgs),
    /// Talk in groups, and look after them.
    #[command(
        subcommand,
        after_help = "\
Whoever the organisation ends is out of every group with the next message of anybody.

Examples:
  chancery group create Crew bob carol
  chancery group send Crew \"Lunch at noon?\"
  chancery group history Crew"
    )]
    Group(GroupCommand),
    /// Serve programs in any language: JSON-RPC 2.0 on standard input and output, or where an option says.
    Rpc(RpcArgs),
    /// Print what the organisation's log says of you.
    Monitor(MonitorArgs),
    /// Watch an organisation's log as a witness, who cosigns what it has seen grow.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery witness init --dir witness --org acme/public
  chancery witness run --dir witness"
    )]
    Witness(WitnessCommand),
    /// Watch an organisation, three members and a relay at work on this machine.
    #[command(after_help = "\
Founds an organisation in a temporary folder, kills its relay and starts it again, ends a member, and prints what was
checked. It takes some seconds and leaves nothing behind; the exit code is 1 if a check fails.

Example:
  chancery demo")]
    Demo,
    /// Measure, with processes of its own on this machine, and check what is measured.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery bench offboard --members 50
  chancery bench group --members 100 --json"
    )]
    Bench(BenchCommand),
    /// Print a script with which a shell completes commands and options.
    Completions(CompletionsArgs),
    /// Write manual pages.
    Man(ManArgs),
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
  chancery enroll chancery:… --home other        # on the new device
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
Every message is printed once; if the command is killed, the last lines may come again, with the same
identifiers, and none is left out. What is printed of a conversation counts as read, with what stands before it, and its
authors are told as far as your settings and your organisation's policy let it; with --unread it stays unread.

With --save, a file that cannot be saved has an error beside its name and no path, and holds up nothing. It is
tried again by the next `receive --save`, and every few minutes with --follow; then a line of its own says where it
is. Without --follow the exit code says that a file still waits; one that is damaged or gone has only its error.

JSON events: message, message-changed, file, device-added, lost, member-left, handle-reassigned, device-request, group-act,
group-gap; with --all-events also sent, failed and receipt, for messages that were written on this device, read, when another device of yours
has read, gone, when messages have disappeared, and with --follow typing and connection.
A message to a group has the group's identifier and name in \"group\"; of others that is null.

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
    /// Say too what became of messages that were written on this device, who is writing, and whether there is a connection.
    #[arg(long)]
    pub(crate) all_events: bool,
    /// Download files into this folder before their message is printed.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}
