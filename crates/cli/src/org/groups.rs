//! `chancery org group`: orders to groups, signed as text; a member carries them out.

use chancery::organisation::GroupOrder;
use chancery::{DisplayName, Error, ErrorCode, GroupInfo};
use serde_json::json;

use super::acts::hand_over;
use crate::args::{OrderArgs, OrgGroupCommand, OrgGroupInfoArgs};
use crate::failure::Failure;
use crate::output::Output;
use crate::text::hex;

pub(super) async fn run(command: OrgGroupCommand, output: Output) -> Result<(), Failure> {
    match command {
        OrgGroupCommand::Remove(args) => {
            sign(args.group.group, &GroupOrder::Remove(args.members), &args.order, output).await
        }
        OrgGroupCommand::Role(args) => {
            sign(args.group.group, &GroupOrder::Role(args.member, args.role), &args.order, output).await
        }
        OrgGroupCommand::Add(args) => {
            sign(args.group.group, &GroupOrder::Add(args.members, args.role), &args.order, output).await
        }
        OrgGroupCommand::Info(args) => {
            let order = GroupOrder::Info(info(&args)?);
            sign(args.group.group, &order, &args.order, output).await
        }
    }
}

fn info(args: &OrgGroupInfoArgs) -> Result<GroupInfo, Failure> {
    let name = DisplayName::parse(&args.name);
    let name = name.map_err(|_| Error::with(ErrorCode::NameNotAllowed, args.name.as_str()))?;
    let mut info = GroupInfo::new(name);
    args.rules.apply(&mut info);
    info.dissolved = args.dissolve;
    Ok(info)
}

async fn sign(group: [u8; 16], order: &GroupOrder, args: &OrderArgs, output: Output) -> Result<(), Failure> {
    let (administrator, key) = args.admin.by.open()?;
    let signed = administrator.order_group(args.admin.with(&key), (group, args.epoch), order).await?;
    let object = json!({"group": hex(&group), "epoch": args.epoch, "order": signed});
    output.result(&object, || signed.clone())?;
    output.note("A member of the group carries it out: chancery group execute GROUP ORDER");
    // The order is good at once; what waits for the log is the commitment to the record of the act.
    match hand_over(&administrator).await {
        Err(Failure::Error(error)) if error.code() == ErrorCode::StatementQueued => {
            tracing::info!(code = error.code().name(), "the record of the act waits for the log");
            Ok(())
        }
        other => other,
    }
}
