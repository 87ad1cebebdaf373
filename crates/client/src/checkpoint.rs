//! The newest checkpoint, kept beside the store as well: a store that is put back from an old copy has forgotten it, and
//! this file has not (R-ENGINE-63).

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::thread;

use chancery_engine::{Effect, Engine, Input, Notice, newest_note};
use chancery_identity::LogError;
use chancery_identity::checkpoint::MAX_NOTE_LEN;
use chancery_store::Store;

use crate::client::Client;
use crate::clock;
use crate::error::{Error, ErrorCode};
use crate::home::Home;
use crate::worker::State;

impl Client {
    /// Returns the newest checkpoint of the organisation's log that this device has verified, a C2SP signed note, to keep
    /// elsewhere: with [`Self::raise_checkpoint`] a store that was put back from an old copy is told what it has forgotten. `None`
    /// before the first.
    ///
    /// # Errors
    ///
    /// Only if the store is not readable.
    pub async fn checkpoint(&self) -> Result<Option<String>, Error> {
        self.shared().worker.call(|state| state.read(newest_note)).await
    }

    /// Takes a checkpoint from elsewhere, such as from [`Self::checkpoint`] of an earlier time or of another member, as the least that
    /// the log may be. Call it before anything connects: from then on a relay that shows less is
    /// [`ErrorCode::LogRolledBack`], one that shows something else [`ErrorCode::LogForked`], and nothing is sent.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LogInvalid`]: it is none of this organisation's log, and nothing has changed.
    pub async fn raise_checkpoint(&self, note: &str) -> Result<(), Error> {
        let note = note.to_owned();
        let effects = self
            .shared()
            .worker
            .call(move |state: &mut State| state.handle(Input::Floor { note: &note }))
            .await?;
        invalid(&effects).map_or(Ok(()), |error| Err(Error::with(ErrorCode::LogInvalid, error.to_string())))
    }
}

fn invalid(effects: &[Effect]) -> Option<LogError> {
    effects.iter().find_map(|effect| match effect {
        Effect::Notify(Notice::LogInvalid(error)) => Some(*error),
        _ => None,
    })
}

/// Compares the store with the file beside it, when it is opened: if the store has forgotten what the file has, the file
/// stands (R-ENGINE-63). Returns what the file has now.
pub(crate) fn compare(home: &Home, store: &mut Store, engine: &Engine) -> Result<Option<String>, Error> {
    let own = store.read(|records| newest_note(records).map_err(Error::from))?;
    let kept = read(&home.checkpoint());
    if own == kept {
        return Ok(own);
    }
    if let Some(kept) = &kept {
        let mut rng = clock::rng()?;
        let effects = store.transaction(|records| {
            let outcome = engine.handle(records, Input::Floor { note: kept }, clock::now(), &mut rng)?;
            Ok::<_, Error>((outcome.batch, outcome.effects))
        })?;
        if let Some(error) = invalid(&effects) {
            tracing::warn!(%error, "the file with the newest checkpoint does not hold and is ignored");
        }
    }
    let newest = store.read(|records| newest_note(records).map_err(Error::from))?;
    match newest {
        Some(note) if Some(&note) != kept.as_ref() => {
            if own.as_ref() != Some(&note) {
                tracing::warn!("the store is older than the newest checkpoint: it was put back from a copy");
            }
            write(home, &note);
            Ok(Some(note))
        }
        newest => Ok(newest),
    }
}

/// Reads the file; one that cannot be read, or is none of ours, says nothing.
fn read(path: &Path) -> Option<String> {
    let limit = u64::try_from(MAX_NOTE_LEN).unwrap_or(u64::MAX).saturating_add(1);
    let mut text = String::new();
    File::open(path).ok()?.take(limit).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Writes the file as a whole. A message waits for the write, and not for the disk; that it fails is told, and costs nothing but
/// what the file is for.
pub(crate) fn write(home: &Home, note: &str) {
    match try_write(home, note) {
        Ok(file) => {
            let sync = move || {
                if let Err(error) = file.sync_all() {
                    tracing::warn!(%error, "the newest checkpoint may not be on the disk");
                }
            };
            let _ends_by_itself = thread::Builder::new().name("chancery-sync".into()).spawn(sync);
        }
        Err(error) => tracing::warn!(%error, "the newest checkpoint cannot be kept beside the store"),
    }
}

fn try_write(home: &Home, note: &str) -> std::io::Result<File> {
    let (path, draft) = (home.checkpoint(), home.checkpoint_draft());
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft)?;
    file.write_all(note.as_bytes())?;
    std::fs::rename(&draft, &path)?;
    Ok(file)
}
