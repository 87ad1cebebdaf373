//! `chancery reply`, `edit`, `delete`, `react`, `form` and `answer`: what is done to messages.

use chancery::{Client, Error, ErrorCode, FieldKind, Form, FormField, MessageRef, MessageState, Sent};
use serde_json::json;

use crate::args::{
    AnswerArgs, DeleteArgs, EditArgs, FormArgs, HomeArgs, PlaceArgs, ReactArgs, ReplyArgs, TargetArgs,
};
use crate::failure::Failure;
use crate::key::Purpose;
use crate::output::Output;
use crate::progress::Bar;
use crate::send::patience_for;
use crate::text::hex;

pub(crate) async fn reply(args: &ReplyArgs, output: Output) -> Result<(), Failure> {
    let bar = Bar::new(output);
    let key = args.target.at.home.key.source(Purpose::Open)?;
    let client = Client::open_with(&args.target.at.home.folder()?, &key, bar.function())?;
    let target = find(&client, &args.target).await?;
    let patience = patience_for(args.target.at.timeout, &args.file);
    let sent = client.reply(target, &args.text.join(" "), &args.file, patience).await;
    bar.clear();
    finish(sent?, "replied", output)
}

pub(crate) async fn edit(args: &EditArgs, output: Output) -> Result<(), Failure> {
    let client = open(&args.target.at.home)?;
    let target = find(&client, &args.target).await?;
    let sent = client.edit(target, &args.text.join(" "), &[], args.target.at.timeout).await?;
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

fn open(home: &HomeArgs) -> Result<Client, Failure> {
    let key = home.key.source(Purpose::Open)?;
    Ok(Client::open(&home.folder()?, &key)?)
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
    let queued = sent.state == MessageState::Queued;
    let object = json!({"id": hex(&sent.id), "state": if queued { "queued" } else { "sent" }});
    output.result(&object, || match queued {
        false => done.to_owned(),
        true => format!("{done} here; the next command that reaches the relay sends it"),
    })?;
    match queued {
        false => Ok(()),
        true => Err(Failure::Queued(sent.waiting.unwrap_or_else(|| Error::new(ErrorCode::Queued)))),
    }
}
