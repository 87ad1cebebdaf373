//! What members type for groups, and what administrators order of them.

use std::time::Duration;

use chancery::{GroupRole, Posting};
use clap::{Args, Subcommand};

use super::{AdminArgs, HomeArgs, MessageArgs, TimeLimit};
use crate::text;

/// What is to be known of a command that takes a group alone, with its example.
macro_rules! with_example {
    ($example:literal) => {
        concat!(
            "GROUP is the group's name, if only one of yours has it, its identifier, or 8 or more digits from the identifier's\n",
            "beginning. Without the relay it is stored, the exit code is 5, the error \"group-queued\", and whatever command\n",
            "connects next does it.\n\nExample:\n  ",
            $example
        )
    };
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Found a group, with you as its owner.
    Create(GroupCreateArgs),
    /// Add members with all their devices.
    Add(GroupAddArgs),
    /// Remove members with all their devices.
    Remove(GroupMembersArgs),
    /// Set a member's role.
    Role(GroupRoleArgs),
    /// Make somebody else owner, and yourself an administrator.
    HandOver(GroupHandOverArgs),
    /// Leave a group; it is done once a device of somebody who stays has made new keys.
    #[command(after_help = with_example!("chancery group leave Crew"))]
    Leave(GroupArgs),
    /// List your groups.
    List(GroupListArgs),
    /// Show a group's policy and members.
    Show(GroupShowArgs),
    /// Send text and files to a group.
    Send(GroupSendArgs),
    /// Give a group another name.
    Rename(GroupRenameArgs),
    /// Change a group's policy; what is not named stays.
    Policy(GroupPolicyArgs),
    /// End a group for all; what was written stays.
    #[command(after_help = with_example!("chancery group dissolve Crew"))]
    Dissolve(GroupArgs),
    /// Renew all keys of a group.
    #[command(after_help = with_example!("chancery group heal Crew"))]
    Heal(GroupArgs),
    /// Carry out an order that your organisation's administrator has signed.
    Execute(GroupExecuteArgs),
    /// Print what was written and what happened in a group.
    History(GroupHistoryArgs),
}

/// The group, the device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct GroupArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

/// The device, and how long to wait.
#[derive(Debug, Args)]
pub(crate) struct GroupHomeArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
    /// Seconds to wait for the relay.
    #[arg(long, value_name = "S", default_value = "60", value_parser = text::parse_seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints the group's identifier. You are its owner; whoever is named is added as a member, with all devices. Somebody
who cannot be reached now is added all the same and finds the group when they connect.

Examples:
  chancery group create Crew bob carol
  chancery group create \"Board of directors\"")]
pub(crate) struct GroupCreateArgs {
    /// What the group is called: 1 to 128 characters.
    pub(crate) name: String,
    /// Handles or identifiers of members to add.
    pub(crate) members: Vec<String>,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Owners and administrators add members. They read what is written from then on; with `policy --history N` they are sent the
last N messages again.

Examples:
  chancery group add Crew dave erin
  chancery group add Crew frank --role reader")]
pub(crate) struct GroupAddArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// Handles or identifiers.
    #[arg(required = true)]
    pub(crate) members: Vec<String>,
    /// As what: owner, admin, member or reader.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = parse_role)]
    pub(crate) role: GroupRole,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Administrators remove members and readers, owners everybody. Who was removed reads nothing that is written afterwards, and
keeps what was there before. Nobody has to remove whom the organisation has ended: that happens by itself, with the next
message of anybody.

Example:
  chancery group remove Crew dave")]
pub(crate) struct GroupMembersArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// Handles or identifiers.
    #[arg(required = true)]
    pub(crate) members: Vec<String>,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
owner   does everything
admin   adds and removes, sets roles up to admin, name and policy
member  reads and writes
reader  reads

Example:
  chancery group role Crew bob admin")]
pub(crate) struct GroupRoleArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// The member's handle or identifier.
    pub(crate) member: String,
    /// owner, admin, member or reader.
    #[arg(value_parser = parse_role)]
    pub(crate) role: GroupRole,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery group hand-over Crew bob")]
pub(crate) struct GroupHandOverArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// Handle or identifier of who becomes owner.
    pub(crate) member: String,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints what this device has stored; the relay is not asked. Groups that you have left, or that were dissolved, are listed
as well: their history stays.

Example:
  chancery group list")]
pub(crate) struct GroupListArgs {
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints what this device has stored; the relay is not asked. `show` prints a fingerprint that is the same on all devices
of the group in the same epoch: compare it to be sure that all see the same group.

Examples:
  chancery group show Crew")]
pub(crate) struct GroupShowArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chancery group history Crew --ids
  chancery group history 0123abcd --json")]
pub(crate) struct GroupHistoryArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// Print before each message how its identifier begins, for `reply`, `edit` and the like.
    #[arg(long)]
    pub(crate) ids: bool,
    #[command(flatten)]
    pub(crate) home: HomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Returns when the relay has the message durably for all devices of the group. Whoever the organisation has ended is removed
first, with new keys, whoever writes: no administrator has to be there. If nothing could be sent, the message is kept, the
exit code is 5, the error \"queued\", and whatever command connects next sends it: sending it again would send it twice.

Examples:
  chancery group send Crew \"Lunch at noon?\"
  chancery group send Crew The menu: --file menu.pdf
  chancery group send Crew \"@carol has the key\" --mention carol")]
pub(crate) struct GroupSendArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) message: MessageArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  chancery group rename Crew \"Night crew\"")]
pub(crate) struct GroupRenameArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// The new name: 1 to 128 characters.
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

/// What a group's policy has; what is not named stays, or is as in a new group.
#[derive(Debug, Args)]
pub(crate) struct GroupRules {
    /// How long messages are kept, or `none`; the organisation's time counts if it is shorter.
    #[arg(long, value_name = "TIME", value_parser = super::authority::parse_limit)]
    pub(crate) retention: Option<TimeLimit>,
    /// How long a message is kept once it was read, or `none`; the organisation's time counts if it is shorter.
    #[arg(long, value_name = "TIME", value_parser = super::authority::parse_limit)]
    pub(crate) disappearing: Option<TimeLimit>,
    /// Who may write: all but readers, or admins alone.
    #[arg(long, value_name = "WHO", value_parser = parse_posting)]
    pub(crate) posting: Option<Posting>,
    /// How many messages who is added is sent again, 0 to 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) history: Option<u32>,
    /// How often administrators' devices renew all keys by themselves, or `none`.
    #[arg(long, value_name = "TIME", value_parser = super::authority::parse_limit)]
    pub(crate) heal: Option<TimeLimit>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Times are as in 30m, 12h, 7d; `none` takes a limit away.

Examples:
  chancery group policy Crew --retention 30d --posting admins
  chancery group policy Crew --heal 7d --history 20")]
#[command(group(clap::ArgGroup::new("rules").required(true).multiple(true)
    .args(["retention", "disappearing", "posting", "history", "heal"])))]
pub(crate) struct GroupPolicyArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    #[command(flatten)]
    pub(crate) rules: GroupRules,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
`chancery org group` prints orders. The group's owners and administrators can carry out any, members removals alone. An
order holds for 29 days and is carried out once.

Examples:
  chancery group execute Crew chancery-order:…
  chancery group execute Crew - < order.txt")]
pub(crate) struct GroupExecuteArgs {
    /// The group's name, identifier, or the identifier's beginning.
    pub(crate) group: String,
    /// The order, `-` to read it from stdin.
    pub(crate) order: String,
    #[command(flatten)]
    pub(crate) at: GroupHomeArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum OrgGroupCommand {
    /// Order that members be removed.
    Remove(OrgGroupRemoveArgs),
    /// Order that a member get another role.
    Role(OrgGroupRoleArgs),
    /// Order that members be added, with the devices that they have now.
    Add(OrgGroupAddArgs),
    /// Order that a group have this name and policy, or be dissolved.
    Info(OrgGroupInfoArgs),
}

/// The group that an order is for, and who signs it.
#[derive(Debug, Args)]
pub(crate) struct OrgGroupArgs {
    /// The group's identifier, 32 hexadecimal digits, as `chancery group show` prints it.
    #[arg(value_name = "GROUP-ID", value_parser = super::authority::parse_group)]
    pub(crate) group: [u8; 16],
}

/// When the order was made, and who signs it.
#[derive(Debug, Args)]
pub(crate) struct OrderArgs {
    /// The group's epoch, as `chancery group show` prints it: who is added later is not removed by it; 0 if it is not known.
    #[arg(long, value_name = "N")]
    pub(crate) epoch: u64,
    #[command(flatten)]
    pub(crate) admin: AdminArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints an order as text, signed by an issuer that may sign for groups; the act is recorded in the audit. The organisation
has no key of any group: a member carries the order out with `chancery group execute`. One order removes members with at most
200 devices.

Example:
  chancery org group remove 0123456789abcdef0123456789abcdef dave --epoch 7 --dir acme")]
pub(crate) struct OrgGroupRemoveArgs {
    #[command(flatten)]
    pub(crate) group: OrgGroupArgs,
    /// Handles.
    #[arg(required = true)]
    pub(crate) members: Vec<String>,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints an order as text; an owner or administrator of the group carries it out with `chancery group execute`.

Example:
  chancery org group role 0123456789abcdef0123456789abcdef bob owner --epoch 7 --dir acme")]
pub(crate) struct OrgGroupRoleArgs {
    #[command(flatten)]
    pub(crate) group: OrgGroupArgs,
    /// The member's handle.
    pub(crate) member: String,
    /// owner, admin, member or reader.
    #[arg(value_parser = parse_role)]
    pub(crate) role: GroupRole,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints an order as text; an owner or administrator of the group carries it out with `chancery group execute`. The relay is
asked for the devices' credentials. One order adds members with at most 100 devices.

Example:
  chancery org group add 0123456789abcdef0123456789abcdef erin --epoch 7 --dir acme")]
pub(crate) struct OrgGroupAddArgs {
    #[command(flatten)]
    pub(crate) group: OrgGroupArgs,
    /// Handles.
    #[arg(required = true)]
    pub(crate) members: Vec<String>,
    /// As what: owner, admin, member or reader.
    #[arg(long, value_name = "ROLE", default_value = "member", value_parser = parse_role)]
    pub(crate) role: GroupRole,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Prints an order as text; an owner or administrator of the group carries it out with `chancery group execute`. The order
replaces all of name and policy: what is not named is as in a new group.

Examples:
  chancery org group info 0123456789abcdef0123456789abcdef --name Crew --retention 30d --epoch 7 --dir acme
  chancery org group info 0123456789abcdef0123456789abcdef --name Crew --dissolve --epoch 7 --dir acme")]
pub(crate) struct OrgGroupInfoArgs {
    #[command(flatten)]
    pub(crate) group: OrgGroupArgs,
    /// The name.
    #[arg(long)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) rules: GroupRules,
    /// End the group for all.
    #[arg(long)]
    pub(crate) dissolve: bool,
    #[command(flatten)]
    pub(crate) order: OrderArgs,
}

fn parse_role(text: &str) -> Result<GroupRole, String> {
    match text {
        "owner" => Ok(GroupRole::Owner),
        "admin" => Ok(GroupRole::Administrator),
        "member" => Ok(GroupRole::Member),
        "reader" => Ok(GroupRole::Reader),
        _ => Err("expected owner, admin, member or reader".to_owned()),
    }
}

fn parse_posting(text: &str) -> Result<Posting, String> {
    match text {
        "all" => Ok(Posting::Members),
        "admins" => Ok(Posting::Keyholders),
        _ => Err("expected all or admins".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_of_a_group_alone_shows_its_own_example() {
        let command = GroupCommand::augment_subcommands(clap::Command::new("group"));
        for name in ["leave", "dissolve", "heal"] {
            let help =
                command.find_subcommand(name).and_then(clap::Command::get_after_help).unwrap().to_string();
            assert!(help.ends_with(&format!("\n  chancery group {name} Crew")), "{help}");
        }
    }

    #[test]
    fn roles_and_who_may_write_have_names() {
        assert_eq!(parse_role("admin"), Ok(GroupRole::Administrator));
        assert_eq!(parse_posting("admins"), Ok(Posting::Keyholders));
        assert!(parse_role("Owner").is_err() && parse_role("").is_err() && parse_posting("nobody").is_err());
    }
}
