//! The organisation's log: brought up to date before anything is read or sent.

use std::sync::Arc;
use std::time::Duration;

use chancery_engine::{Effect, Input, LogStatus, Notice, log_size, log_status};
use chancery_identity::log::Leaf;
use chancery_identity::{LogError, Policy, confirm_end};
use chancery_wire::encode;
use chancery_wire::proto::{GetCheckpoint, LogPage, Revoked, SyncLog, client_frame, relay_frame};
use tokio::time::timeout;

use crate::client::{Client, Shared};
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode, stopped};
use crate::mailbox::{Mailbox, announce};
use crate::worker::State;

impl Client {
    /// Returns what this device knows of the organisation's log, the policy in force with it.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn log_status(&self) -> Result<LogStatus, Error> {
        let read = |state: &mut State| state.read(|records| log_status(records, clock::now()));
        self.shared().worker.call(read).await
    }

    /// Returns the organisation's policy, as far as the log is known here.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn policy(&self) -> Result<Policy, Error> {
        Ok(self.log_status().await?.policy)
    }

    /// Returns the proof that the organisation's log is forked, for whoever has the organisation's document; `None` if there
    /// is none.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn fork_proof(&self) -> Result<Option<Vec<u8>>, Error> {
        let proof = self.shared().worker.call(|state| state.read(chancery_engine::fork_proof)).await?;
        Ok(proof.as_ref().map(encode))
    }
}

/// Most pages that are taken over as one: 64, 16 MiB. What follows on them names the key by which they are signed, if the relay has
/// got another log key.
const MAX_JOINED: usize = 64;

/// Takes over what the log has more than this device, over a mailbox connection.
pub(crate) async fn sync(shared: &Shared, connection: &Connection) -> Result<(), Error> {
    sync_told(shared, connection, None).await
}

/// As [`sync`]; with what the relay has told of this device's end, which is confirmed if the entries show the end.
async fn sync_told(shared: &Shared, connection: &Connection, told: Option<&Revoked>) -> Result<(), Error> {
    loop {
        let from = shared.worker.call(|state| state.read(log_size)).await?;
        let mut page = fetch(connection, from).await?;
        let (mut joined, mut effects);
        joined = 1_usize;
        loop {
            let given = move |state: &mut State| {
                let effects = state.handle(Input::Log { from, page: &page })?;
                Ok((effects, page))
            };
            (effects, page) = shared.worker.call(given).await?;
            let of_another_key = Effect::Notify(Notice::LogInvalid(LogError::NotAuthentic));
            if !page.more || joined >= MAX_JOINED || !effects.contains(&of_another_key) {
                break;
            }
            // The record that names the key may be on a later page: the same again, with as much once more (R-ENGINE-70).
            for _ in 0..joined {
                join(connection, from, &mut page).await?;
            }
            joined = joined.saturating_mul(2);
        }
        if let Some(told) = told
            && effects.contains(&Effect::Notify(Notice::Revoked))
        {
            confirm_in_time(shared, connection, told).await;
        }
        obey(shared, &effects).await?;
        if !page.more || page.entries.is_empty() {
            return Ok(());
        }
    }
}

async fn fetch(connection: &Connection, from: u64) -> Result<LogPage, Error> {
    let request = client_frame::Body::SyncLog(SyncLog { from });
    let relay_frame::Body::LogPage(page) = connection.request(request).await? else {
        return Err(ErrorCode::RelayProtocol.into());
    };
    Ok(page)
}

/// Makes a page one with the page behind it.
async fn join(connection: &Connection, from: u64, page: &mut LogPage) -> Result<(), Error> {
    if !page.more {
        return Ok(());
    }
    let next = fetch(connection, from.saturating_add(page.entries.len() as u64)).await?;
    page.more = next.more && !next.entries.is_empty();
    page.entries.extend(next.entries);
    (page.checkpoint, page.proof) = (next.checkpoint, next.proof);
    Ok(())
}

/// Does what the log demands of the shell; an invalid log is an error.
async fn obey(shared: &Shared, effects: &[Effect]) -> Result<(), Error> {
    announce(shared, effects);
    for effect in effects {
        match effect {
            Effect::Notify(Notice::Revoked) => {
                destroy(shared).await?;
                return Err(ErrorCode::Revoked.into());
            }
            Effect::Notify(Notice::LogInvalid(error)) => {
                return Err(Error::with(ErrorCode::LogInvalid, error.to_string()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Asks what the log is, over any connection; returns whether it has more entries than this device.
pub(crate) async fn check(shared: &Shared, connection: &Connection) -> Result<bool, Error> {
    let from = shared.worker.call(|state| state.read(log_size)).await?;
    // What this device knows is nobody's business on an anonymous connection; the proof is not needed, because every entry is
    // taken over.
    let request = client_frame::Body::GetCheckpoint(GetCheckpoint { from: 0 });
    let relay_frame::Body::Checkpoint(answer) = connection.request(request).await? else {
        return Err(ErrorCode::RelayProtocol.into());
    };
    let given = move |state: &mut State| state.handle(Input::Checkpoint { from, note: &answer.note });
    let effects = shared.worker.call(given).await?;
    obey(shared, &effects).await?;
    Ok(effects.contains(&Effect::SyncLog))
}

/// Makes sure, before anything is sealed or delivered, that the log is known to be current (R-ENGINE-32); returns why nothing
/// may be sealed, if that is so. What was sealed before may go.
pub(crate) async fn before_sending(
    shared: &Arc<Shared>,
    connection: &Connection,
) -> Result<Option<Error>, Error> {
    let is_behind = match check(shared, connection).await {
        // It may be signed by a key that an entry names which is not here yet (R-ENGINE-70).
        Err(error) if error.code() == ErrorCode::LogInvalid => true,
        other => other?,
    };
    if is_behind {
        let mailbox = Mailbox::open(shared).await?;
        mailbox.sync_directory(shared).await?;
        if check(shared, connection).await? {
            // It has grown again; or it is not valid, which is told by the error; or the relay does not show what it says.
            sync(shared, mailbox.connection()).await?;
            if check(shared, connection).await? {
                return Err(ErrorCode::LogWithheld.into());
            }
        }
    }
    // The relay may have shown less than it has said.
    let status = shared.worker.call(|state| state.read(|records| log_status(records, clock::now()))).await?;
    Ok((!status.state.allows_sealing()).then(|| stopped(status.state).into()))
}

/// How long an ended device waits for the relay to take its confirmation: 2 s. What is to be destroyed must not wait
/// for a relay.
const CONFIRMATION_TIMEOUT: Duration = Duration::from_secs(2);

/// Obeys a relay that says the organisation has ended this device, if that is proved; a forged one changes nothing
/// (R-ENGINE-37). What does not hold by what this device has of the log may hold by the entries that it lacks: the relay
/// shows them on the same connection, up to the end itself, which then counts by this device's own replay (R-ENGINE-66).
/// Before the store goes, the device confirms its end on that connection (R-ENGINE-62).
pub(crate) async fn ended(shared: &Shared, connection: &Connection, revoked: Revoked) -> Error {
    let told = revoked.clone();
    let verify = move |state: &mut State| {
        state.read_with(|engine, records| chancery_engine::verify_revoked(engine, records, &told))
    };
    match shared.worker.call(verify).await {
        Ok(Ok(())) => {
            confirm_in_time(shared, connection, &revoked).await;
            destroy(shared).await.err().unwrap_or_else(|| ErrorCode::Revoked.into())
        }
        Ok(Err(error)) => {
            match sync_told(shared, connection, Some(&revoked)).await {
                Err(error)
                    if !matches!(error.code(), ErrorCode::LogInvalid | ErrorCode::RelayNotAuthorised) =>
                {
                    return error;
                }
                _ => {}
            }
            tracing::warn!(%error, "the relay says that this device was ended, and cannot show it");
            ErrorCode::RelayProtocol.into()
        }
        Err(error) => error,
    }
}

/// Confirms the end if the relay takes it in time; nothing else depends on it.
async fn confirm_in_time(shared: &Shared, connection: &Connection, revoked: &Revoked) {
    match timeout(CONFIRMATION_TIMEOUT, confirm(shared, connection, revoked)).await {
        Ok(Ok(())) => tracing::info!("the end of this device is confirmed"),
        Ok(Err(error)) => {
            tracing::info!(code = error.code().name(), "the end of this device is not confirmed");
        }
        Err(_) => tracing::info!("the end of this device is not confirmed: the relay did not answer"),
    }
}

/// Tells the relay that this device has verified its end (R-LOG-12).
async fn confirm(shared: &Shared, connection: &Connection, revoked: &Revoked) -> Result<(), Error> {
    let leaf = Leaf::from_bytes(&revoked.leaf).ok_or(ErrorCode::RelayProtocol)?;
    let device = shared.worker.call(|state| Ok(state.device().device_id())).await?;
    let (key, mut rng) = (&shared.device.keys.signing, clock::rng()?);
    let confirmation = confirm_end(key, (&shared.org, &device), &leaf, clock::now(), &mut rng);
    connection.done(client_frame::Body::ConfirmEnd(confirmation)).await
}

async fn destroy(shared: &Shared) -> Result<(), Error> {
    shared.worker.call(State::destroy).await
}

#[cfg(test)]
mod tests;
