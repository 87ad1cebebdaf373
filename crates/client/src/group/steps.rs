//! Carrying out what the engine wants done for groups, on the anonymous connection on which the outbox is emptied.

use std::sync::Arc;

use chancery_engine::{Effect, GroupInput, GroupStep, Input, Notice};
use chancery_identity::DeviceId;
use chancery_wire::proto::{self, SlotContent, client_frame, relay_frame};

use super::file;
use crate::client::Shared;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};
use crate::mailbox::{Mailbox, announce};

/// Carries out one step and tells the engine what came of it.
pub(crate) async fn carry_out(
    shared: &Arc<Shared>,
    connection: &Connection,
    step: GroupStep,
) -> Result<(), Error> {
    let steps = Steps { shared, connection };
    match step {
        GroupStep::Fetch { group_id, attempt, frame } => steps.fetch(group_id, attempt, frame).await,
        GroupStep::Credential { device, frame } => steps.credential(device, frame).await,
        GroupStep::FetchFile { file, .. } => steps.fetch_file(file).await,
        GroupStep::StoreFile { group_id, file, content } => {
            if !file::store(shared, connection, (&file, content)).await? {
                return Ok(());
            }
            let blob_id = file.blob_id.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
            steps.tell(move || GroupInput::FileStored { group_id, blob_id }).await
        }
        GroupStep::CreateSet { group_id, frame } => steps.create_set(group_id, frame).await,
        GroupStep::PutSlot { group_id, attempt, frame } => steps.put_slot(group_id, attempt, frame).await,
        GroupStep::FanOut { group_id, item, frame } => steps.fan_out(group_id, item, frame).await,
        GroupStep::Commit { group_id } => steps.tell(move || GroupInput::Commit { group_id }).await,
        GroupStep::Seal { group_id, item } => steps.tell(move || GroupInput::Seal { group_id, item }).await,
        GroupStep::Care { group_id } => steps.tell(move || GroupInput::Care { group_id }).await,
        // One of a later engine: left alone until the program is that late as well.
        _ => Err(ErrorCode::Internal.into()),
    }
}

/// Whether a step makes something new out of keys, which is not done while the log forbids it.
pub(crate) const fn seals(step: &GroupStep) -> bool {
    matches!(step, GroupStep::Commit { .. } | GroupStep::Seal { .. })
}

/// For which group a step is, or for which device if it is for any of them.
pub(crate) fn of(step: &GroupStep) -> [u8; 16] {
    match step {
        GroupStep::FetchFile { group_id, .. } => *group_id,
        step => step.target(),
    }
}

struct Steps<'a> {
    shared: &'a Arc<Shared>,
    connection: &'a Connection,
}

impl Steps<'_> {
    async fn fetch(&self, group_id: [u8; 16], attempt: u32, frame: proto::GetSlot) -> Result<(), Error> {
        let content = match self.connection.request(client_frame::Body::GetSlot(frame)).await {
            Ok(relay_frame::Body::SlotContent(content)) => Some(content),
            Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
            Err(error) if error.code() == ErrorCode::RelayNotFound => None,
            Err(error) => return Err(error),
        };
        self.tell_slot(content, move |content| GroupInput::SlotFetched { group_id, attempt, content }).await
    }

    async fn put_slot(&self, group_id: [u8; 16], attempt: u32, frame: proto::PutSlot) -> Result<(), Error> {
        let taken = match self.connection.request(client_frame::Body::PutSlot(frame)).await {
            Ok(relay_frame::Body::Done(_)) => None,
            Ok(relay_frame::Body::SlotContent(content)) => Some(content),
            Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                return self.tell(move || GroupInput::SetUnknown { group_id }).await;
            }
            Err(error) => return Err(error),
        };
        self.tell_slot(taken, move |taken| GroupInput::SlotAnswer { group_id, attempt, taken }).await
    }

    async fn credential(&self, device: DeviceId, frame: proto::GetCredential) -> Result<(), Error> {
        let credential = match self.connection.request(client_frame::Body::GetCredential(frame)).await {
            Ok(relay_frame::Body::Credential(answer)) => answer.credential,
            Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
            Err(error) if error.code() == ErrorCode::RelayNotFound => None,
            Err(error) => return Err(error),
        };
        self.tell(move || GroupInput::CredentialFetched { device, credential }).await
    }

    async fn fetch_file(&self, file: proto::GroupFile) -> Result<(), Error> {
        let blob_id: [u8; 16] = file.blob_id.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
        let content = file::fetch(self.connection, &file).await?;
        let told = move |state: &mut crate::worker::State| {
            let content = content.as_ref().map(|content| content.expose());
            state.handle(Input::Group(GroupInput::FileFetched { blob_id, content }))
        };
        self.after(self.shared.worker.call(told).await?).await
    }

    async fn create_set(&self, group_id: [u8; 16], frame: proto::CreateSet) -> Result<(), Error> {
        match self.connection.done(client_frame::Body::CreateSet(frame)).await {
            Ok(()) => self.tell(move || GroupInput::SetCreated { group_id }).await,
            Err(error) if error.code() == ErrorCode::RelayConflict => {
                self.tell(move || GroupInput::SetTaken { group_id }).await
            }
            Err(error) => Err(error),
        }
    }

    async fn fan_out(&self, group_id: [u8; 16], item: u64, frame: proto::FanOut) -> Result<(), Error> {
        match self.connection.done(client_frame::Body::FanOut(frame)).await {
            Ok(()) => self.tell(move || GroupInput::Sent { group_id, item }).await,
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                self.tell(move || GroupInput::SetUnknown { group_id }).await
            }
            Err(error) => Err(error),
        }
    }

    async fn tell(&self, input: impl FnOnce() -> GroupInput<'static> + Send + 'static) -> Result<(), Error> {
        let effects = self.shared.worker.call(move |state| state.handle(Input::Group(input()))).await?;
        self.after(effects).await
    }

    async fn tell_slot(
        &self,
        content: Option<SlotContent>,
        input: impl for<'c> FnOnce(Option<&'c SlotContent>) -> GroupInput<'c> + Send + 'static,
    ) -> Result<(), Error> {
        let told =
            move |state: &mut crate::worker::State| state.handle(Input::Group(input(content.as_ref())));
        self.after(self.shared.worker.call(told).await?).await
    }

    /// Does what the engine wants done behind an input.
    async fn after(&self, effects: Vec<Effect>) -> Result<(), Error> {
        announce(self.shared, &effects);
        let is_behind = effects.contains(&Effect::SyncLog)
            || effects.iter().any(|effect| matches!(effect, Effect::Notify(Notice::UnknownSender)));
        if is_behind {
            // Opening it brings the log up to date.
            Mailbox::open(self.shared).await?.sync_directory(self.shared).await?;
        }
        Ok(())
    }
}
