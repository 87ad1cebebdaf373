//! What is typed to found an organisation, run its desk and invite people.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    AdminArgs, AuditArgs, DeskCommand, GroupSuccessorCommand, IssuerCommand, LogArgs, OffboardArgs, OrgArgs,
    OrgGroupCommand, OrgListArgs, OrgRemoveDeviceArgs, PolicyCommand, RootCommand, VerifyOffboardedArgs,
};
use crate::text;

/// How long an invitation holds unless told otherwise.
const DEFAULT_VALID: &str = "7d";

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
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery org issuer add --capabilities offboard,policy --holder ann --dir acme
  chancery org issuer list --dir acme"
    )]
    Issuer(IssuerCommand),
    /// Look after the desk's keys.
    #[command(
        subcommand,
        after_help = "\
Example:
  chancery org desk renew --dir acme --root /media/safe/root.key"
    )]
    Desk(DeskCommand),
    /// Look after the root's key.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery org root split --dir acme --threshold 3 --shares 5 --remove
  chancery org root join --dir acme --share-file ann.txt --share-file bob.txt --share-file -"
    )]
    Root(RootCommand),
    /// Show and set what every client enforces.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery org policy show --dir acme
  chancery org policy set --retention 365d --no-export --dir acme --dry-run"
    )]
    Policy(PolicyCommand),
    /// Say who takes groups over when their last administrator is gone.
    #[command(
        subcommand,
        after_help = "\
Example:
  chancery org group-successor set ann ben --dir acme"
    )]
    GroupSuccessor(GroupSuccessorCommand),
    /// Sign an order to a group, which a member carries out.
    #[command(
        subcommand,
        after_help = "\
Examples:
  chancery org group remove 0123456789abcdef0123456789abcdef dave --epoch 7 --dir acme
  chancery group execute Crew chancery-order:…"
    )]
    Group(OrgGroupCommand),
    /// List everybody who was invited: handle, kind, unit, devices, how far they have come.
    List(OrgListArgs),
    /// Print the records of administrative acts, each checked against its commitment.
    Audit(AuditArgs),
    /// Say what the log is, and what waits for it.
    Log(LogArgs),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_holds_as_long_as_the_library_says_unless_told_otherwise() {
        let library = chancery::organisation::DEFAULT_INVITATION_LIFETIME;
        assert_eq!(text::parse_duration(DEFAULT_VALID), Ok(library));
    }
}
