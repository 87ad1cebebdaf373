//! Emptying the outbox over an anonymous connection.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chancery_engine::{Effect, Input, Notice, Step, next_step};
use chancery_store::file_lock::FileLock;
use chancery_wire::Unverified;
use chancery_wire::proto::{ClaimPrekeys, client_frame, relay_frame};
use tokio::time::{Instant, sleep};

use crate::attachment;
use crate::client::Shared;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};

/// How often to look whether another process has finished with the outbox.
const LOCK_POLL: Duration = Duration::from_millis(5);
/// How long to wait when the relay says that requests come too fast.
const RATE_PAUSE: Duration = Duration::from_millis(250);

/// Sends everything that can be sent, in order. Returns the reason if something was left behind.
///
/// Only one process at a time empties a home's outbox; the others wait their turn until `deadline`.
pub(crate) async fn flush(shared: &Arc<Shared>, deadline: Instant) -> Result<Option<Error>, Error> {
    let _lock = lock(shared, deadline).await?;
    let mut connection = shared.anonymous.lock().await;
    let mut pass = Pass { shared, blocked: BTreeSet::new(), left: None };
    loop {
        let blocked = pass.blocked.clone();
        let step =
            shared.worker.call(move |state| state.read(|records| next_step(records, &blocked))).await?;
        let Some(step) = step else { return Ok(pass.left) };
        if let Step::Seal { item, device_id } = step {
            pass.seal(item, device_id).await?;
            continue;
        }
        if !connection.as_ref().is_some_and(Connection::is_open) {
            let (fresh, _) = Connection::open(shared.connector.as_ref(), &shared.org).await?;
            *connection = Some(fresh);
        }
        let Some(open) = connection.as_ref() else { return Err(ErrorCode::Internal.into()) };
        match pass.take(open, step).await {
            Ok(()) => {}
            Err(error) => {
                if error.code() == ErrorCode::RelayUnreachable {
                    *connection = None;
                }
                return Err(error);
            }
        }
    }
}

async fn lock(shared: &Arc<Shared>, deadline: Instant) -> Result<FileLock, Error> {
    loop {
        if let Some(lock) = FileLock::try_acquire(shared.home.flush_lock())? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(ErrorCode::StoreBusy.into());
        }
        sleep(LOCK_POLL).await;
    }
}

/// One go through the outbox.
struct Pass<'a> {
    shared: &'a Arc<Shared>,
    blocked: BTreeSet<[u8; 16]>,
    left: Option<Error>,
}

impl Pass<'_> {
    /// Does one step. A refusal that may pass blocks the step's device for this go; one that will not ends
    /// the message; an error of the connection or the store ends the go.
    async fn take(&mut self, connection: &Connection, step: Step) -> Result<(), Error> {
        let item = step.item();
        let target = target(&step);
        let result = match step {
            Step::Claim { device_id, .. } => self.claim(connection, item, device_id).await,
            Step::Deliver { deliver, .. } => self.deliver(connection, item, deliver).await,
            Step::Upload { blob_id, .. } => self.upload(connection, item, &blob_id).await,
            _ => Ok(()),
        };
        match result {
            Err(error) if error.code() == ErrorCode::RateLimited => {
                sleep(RATE_PAUSE).await;
                Ok(())
            }
            Err(error) if is_temporary(error.code()) => {
                tracing::info!(code = error.code().name(), "a message waits");
                self.blocked.insert(target);
                self.left = Some(error);
                Ok(())
            }
            Err(error) if is_final(error.code()) => {
                tracing::warn!(code = error.code().name(), "a message cannot be sent");
                self.left = Some(ErrorCode::SendFailed.into());
                self.handle(move || Input::Failed { item }).await.map(drop)
            }
            other => other,
        }
    }

    async fn seal(&mut self, item: u64, device_id: [u8; 16]) -> Result<(), Error> {
        match self.handle(move || Input::Seal { item }).await {
            Err(error) if is_final(error.code()) => {
                self.blocked.insert(device_id);
                self.left = Some(error);
                Ok(())
            }
            other => other.map(drop),
        }
    }

    async fn claim(&mut self, connection: &Connection, item: u64, device: [u8; 16]) -> Result<(), Error> {
        let claim = ClaimPrekeys { device_id: device.to_vec(), token: Vec::new() };
        let bundle = match connection.request(client_frame::Body::ClaimPrekeys(claim)).await {
            Ok(relay_frame::Body::Bundle(bundle)) => bundle,
            Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                return Err(ErrorCode::RecipientNotReady.into());
            }
            Err(error) => return Err(error),
        };
        let effects = self
            .shared
            .worker
            .call(move |state| {
                let bundle = Box::new(Unverified::new(bundle));
                state.handle(Input::Bundle { item, bundle })
            })
            .await?;
        if effects.contains(&Effect::Notify(Notice::BundleRejected)) {
            return Err(ErrorCode::RecipientNotReady.into());
        }
        Ok(())
    }

    async fn deliver(
        &mut self,
        connection: &Connection,
        item: u64,
        deliver: chancery_wire::proto::Deliver,
    ) -> Result<(), Error> {
        match connection.done(client_frame::Body::Deliver(deliver)).await {
            Err(error) if error.code() == ErrorCode::RelayNotFound => {
                Err(ErrorCode::RecipientNotReady.into())
            }
            Err(error) => Err(error),
            Ok(()) => self.handle(move || Input::Done { item }).await.map(drop),
        }
    }

    async fn upload(&mut self, connection: &Connection, item: u64, blob_id: &[u8; 16]) -> Result<(), Error> {
        attachment::upload(&self.shared.home, connection, blob_id, self.shared.progress.as_ref()).await?;
        self.handle(move || Input::Done { item }).await?;
        attachment::remove_spooled(&self.shared.home, blob_id);
        Ok(())
    }

    async fn handle(
        &self,
        input: impl FnOnce() -> Input<'static> + Send + 'static,
    ) -> Result<Vec<Effect>, Error> {
        self.shared.worker.call(move |state| state.handle(input())).await
    }
}

fn target(step: &Step) -> [u8; 16] {
    match step {
        Step::Upload { blob_id, .. } => *blob_id,
        Step::Claim { device_id, .. } | Step::Seal { device_id, .. } => *device_id,
        Step::Deliver { deliver, .. } => deliver.mailbox.as_slice().try_into().unwrap_or_default(),
        _ => [0; 16],
    }
}

const fn is_temporary(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::RecipientNotReady | ErrorCode::QuotaExceeded | ErrorCode::RelayFull)
}

const fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::MessageTooLarge
            | ErrorCode::RelayProtocol
            | ErrorCode::RelayNotAuthorised
            | ErrorCode::RelayNotFound
            | ErrorCode::FileNotFound
            | ErrorCode::FileUnreadable
    )
}
