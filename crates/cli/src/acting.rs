//! `chancery reply`, `edit`, `delete`, `react`, `form` and `answer`: what is done to messages.

use chancery::{Client, Error, ErrorCode, FieldKind, Form, FormField, MessageRef, Outgoing, Sent, json};

use crate::args::{AnswerArgs, DeleteArgs, EditArgs, FormArgs, PlaceArgs, ReactArgs, ReplyArgs, TargetArgs};
use crate::failure::Failure;
use crate::home::{open, open_with};
use crate::mention;
use crate::output::Output;
use crate::progress::Bar;
use crate::send::{self, patience_for};

pub(crate) async fn reply(args: &ReplyArgs, output: Output) -> Result<(), Failure> {
    let bar = Bar::new(output);
    let client = open_with(&args.target.at.home, &bar)?;
    let target = find(&client, &args.target).await?;
    let patience = patience_for(args.target.at.timeout, &args.files.file);
    let message = send::outgoing(&client, args.text.join(" "), (&args.files, &args.mentions)).await?;
    let message = Outgoing { reply_to: Some(target), ..message };
    let TargetArgs { who, at, .. } = &args.target;
    let sent = if at.group {
        client.group(who).await?.send_message(message, patience).await
    } else {
        client.send_message(who, message, patience).await
    };
    bar.clear();
    finish(sent?, "replied", output)
}

pub(crate) async fn edit(args: &EditArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.target.at.home)?;
    let target = find(&client, &args.target).await?;
    let text = args.text.join(" ");
    let mentions = mention::all(&client, &text, &args.mentions.mention).await?;
    let sent = client.edit(target, &text, &mentions, args.target.at.timeout).await?;
    finish(sent, "edited", output)
}

pub(crate) async fn delete(args: &DeleteArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.target.at.home)?;
    let target = find(&client, &args.target).await?;
    let sent = client.delete(target, args.target.at.timeout).await?;
    finish(sent, "deleted", output)
}

pub(crate) async fn react(args: &ReactArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.target.at.home)?;
    let target = find(&client, &args.target).await?;
    let sent = client.react(target, &args.emoji, args.remove, args.target.at.timeout).await?;
    finish(sent, if args.remove { "taken back" } else { "reacted" }, output)
}

pub(crate) async fn form(args: &FormArgs, output: Output) -> Result<(), Failure> {
    let all = [
        (FieldKind::Approval, &args.approval),
        (FieldKind::Choice, &args.choice),
        (FieldKind::Number, &args.number),
        (FieldKind::Text, &args.text),
    ];
    let mut fields = Vec::new();
    for (kind, texts) in all {
        for text in texts {
            fields.push(field(kind, text)?);
        }
    }
    let form = Form { title: args.title.clone(), fields };
    let PlaceArgs { group, home, timeout } = &args.at;
    let client = open(home)?;
    let sent = if *group {
        client.group(&args.who).await?.send_form("", form, *timeout).await?
    } else {
        client.send_form(&args.who, "", form, *timeout).await?
    };
    finish(sent, "asked", output)
}

pub(crate) async fn answer(args: &AnswerArgs, output: Output) -> Result<(), Failure> {
    let pair = |text: &String| text.split_once('=').map(|(id, value)| (id.to_owned(), value.to_owned()));
    let values: Option<Vec<_>> = args.values.iter().map(pair).collect();
    let values = values.ok_or_else(|| Error::with(ErrorCode::Usage, "an answer is ID=VALUE"))?;
    let client = open(&args.target.at.home)?;
    let target = find(&client, &args.target).await?;
    let sent = client.answer_form(target, &values, args.target.at.timeout).await?;
    finish(sent, "answered", output)
}

/// Reads `ID=LABEL`, of a choice `ID=LABEL:OPTION|OPTION`; a `!` behind the ID makes it required.
fn field(kind: FieldKind, text: &str) -> Result<FormField, Failure> {
    let wrong = || Error::with(ErrorCode::Usage, "a field is ID=LABEL, a choice ID=LABEL:OPTION|OPTION");
    let (id, label) = text.split_once('=').ok_or_else(wrong)?;
    let (id, required) = id.strip_suffix('!').map_or((id, false), |id| (id, true));
    let (label, options) = match kind {
        FieldKind::Choice => label.rsplit_once(':').ok_or_else(wrong)?,
        _ => (label, ""),
    };
    let options = options.split('|').filter(|it| !it.is_empty()).map(str::to_owned).collect();
    Ok(FormField { id: id.into(), label: label.into(), kind, options, required })
}

async fn find(client: &Client, target: &TargetArgs) -> Result<MessageRef, Failure> {
    let found = if target.at.group {
        client.group(&target.who).await?.find_message(&target.message).await?
    } else {
        client.find_message(&target.who, &target.message).await?
    };
    Ok(found.reference())
}

fn finish(sent: Sent, done: &str, output: Output) -> Result<(), Failure> {
    let object = json::sent(&sent);
    let queued = || format!("{done} here; the next command that reaches the relay sends it");
    send::finish(sent, &object, output, || done.to_owned(), queued)
}
