//! Messages, and what is done to them.

use std::path::PathBuf;

use chancery::{Outgoing, json};
use serde_json::json as object;

use super::{Outcome, ok, wait};
use crate::service::Service;
use crate::shapes::{self, content};

pub(super) async fn send(service: Service, params: shapes::Send) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let shapes::Send { to, text, files, reply_to, mentions, form, timeout_ms, .. } = &params;
    let message = json::outgoing(&content((text, files), reply_to.as_ref(), mentions, form.as_ref()))?;
    let patience = wait(*timeout_ms);
    let what = match plain(&message) {
        // It waits, if need be, for somebody whom the directory does not have yet.
        Some(files) => client.send(to, text, &files, patience).await?,
        None => client.send_message(to, message, patience).await?,
    };
    ok(json::sent(&what))
}

pub(super) async fn send_to_group(service: Service, params: shapes::SendToGroup) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let shapes::SendToGroup { group, text, files, reply_to, mentions, form, timeout_ms, .. } = &params;
    let message = json::outgoing(&content((text, files), reply_to.as_ref(), mentions, form.as_ref()))?;
    let (group, patience) = (client.group(group).await?, wait(*timeout_ms));
    let what = match plain(&message) {
        Some(files) => group.send(text, &files, patience).await?,
        None => group.send_message(message, patience).await?,
    };
    ok(json::group_sent(group.id(), &what))
}

/// The files of a message that has nothing but a text and files.
fn plain(message: &Outgoing) -> Option<Vec<PathBuf>> {
    let Outgoing { text: _, files, reply_to, mentions, form } = message;
    let is_plain = reply_to.is_none()
        && mentions.is_empty()
        && form.is_none()
        && files.iter().all(|file| file.media_type.is_none() && file.preview.is_empty());
    is_plain.then(|| files.iter().map(|file| file.path.clone()).collect())
}

pub(super) async fn edit(service: Service, params: shapes::Edit) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let mentions = json::outgoing(&object!({"mentions": params.mentions}))?.mentions;
    let message = client.find_message(&params.with, &params.message).await?.reference();
    let what = client.edit(message, &params.text, &mentions, wait(params.timeout_ms)).await?;
    ok(json::sent(&what))
}

pub(super) async fn delete(service: Service, params: shapes::Delete) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let message = client.find_message(&params.with, &params.message).await?.reference();
    let what = client.delete(message, wait(params.timeout_ms)).await?;
    ok(json::sent(&what))
}

pub(super) async fn react(service: Service, params: shapes::React) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let message = client.find_message(&params.with, &params.message).await?.reference();
    let what = client.react(message, &params.emoji, params.remove, wait(params.timeout_ms)).await?;
    ok(json::sent(&what))
}

pub(super) async fn answer(service: Service, params: shapes::Answer) -> Outcome<shapes::Sent> {
    let client = service.client(params.account.as_deref())?;
    let values = json::form_values(&object!(params.values))?;
    let message = client.find_message(&params.with, &params.message).await?.reference();
    let what = client.answer_form(message, &values, wait(params.timeout_ms)).await?;
    ok(json::sent(&what))
}

pub(super) async fn save_file(service: Service, params: shapes::SaveFileOf) -> Outcome<shapes::SavedFile> {
    let client = service.client(params.account.as_deref())?;
    let message = client.find_message(&params.with, &params.message).await?;
    let path = client.save_attachment(&message, params.index, &params.folder).await?;
    ok(object!({"path": path.display().to_string()}))
}
