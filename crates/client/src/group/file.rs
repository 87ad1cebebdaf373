//! Files of groups: rosters and trees that are too long for a message, sealed, stored and opened as attachments are, in memory.

use chancery_crypto::secret::SecretBytes;
use chancery_engine::{Engine, Step};
use chancery_wire::proto::{Attachment, GroupFile};
use chancery_wire::records::Records;

use crate::attachment::{self, Source};
use crate::client::Shared;
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode};
use crate::worker::{State, blocking};

/// Longest file of a group that is fetched: 4 MiB, twice what 16,384 slots with their keys take. Whoever names a longer one wants
/// memory filled.
const MAX_FILE: u64 = 4 * 1024 * 1024;
/// How long one file is uploaded before others get their turn.
const UPLOAD_TURN: std::time::Duration = std::time::Duration::from_secs(10);

/// Fetches and opens a file; `None` if it is gone, or not what it should be.
pub(super) async fn fetch(connection: &Connection, file: &GroupFile) -> Result<Option<SecretBytes>, Error> {
    if file.size > MAX_FILE {
        return Ok(None);
    }
    match attachment::download_to_memory(&Source::Relay(connection), &as_attachment(file), None).await {
        Ok(content) => Ok(Some(content)),
        Err(error) if is_lost(error.code()) => {
            tracing::info!(code = error.code().name(), "a file of a group cannot be had");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Seals a file into the spool and uploads it; returns whether all of it is at the relay. Sealing the same again gives the same
/// bytes, so that an upload goes on where another was stopped.
pub(super) async fn store(
    shared: &Shared,
    connection: &Connection,
    (file, content): (&GroupFile, SecretBytes),
) -> Result<bool, Error> {
    let blob_id: [u8; 16] = file.blob_id.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
    let token = move |engine: &Engine, records: &dyn Records| {
        engine.step_token(records, &Step::Upload { item: 0, blob_id })
    };
    let token = shared.worker.call(move |state: &mut State| state.read_with(token)).await?;
    let (home, sealed) = (shared.home.clone(), as_attachment(file));
    let held = blocking(move || {
        let held = attachment::hold_spool(&home)?;
        attachment::spool_bytes(&home, &sealed, content.expose())?;
        Ok(held)
    })
    .await?;
    let turn = clock::deadline(UPLOAD_TURN);
    let uploaded = attachment::upload(&shared.home, connection, (&blob_id, &token), None, turn).await;
    attachment::remove_spooled(&shared.home, &blob_id);
    drop(held);
    uploaded
}

fn as_attachment(file: &GroupFile) -> Attachment {
    Attachment {
        blob_id: file.blob_id.clone(),
        key: file.key.clone(),
        size: file.size,
        ..Attachment::default()
    }
}

const fn is_lost(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::AttachmentGone | ErrorCode::AttachmentDamaged)
}
