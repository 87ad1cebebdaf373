//! A witness: it sees the log grow from one checkpoint to the next, says so under its key, and says nothing of a log that
//! contradicts what it has seen (R-LOG-15).

use std::io::Write as _;
use std::path::{Path, PathBuf};

use chancery_crypto::cosignature::WitnessSigningKey;
use chancery_crypto::merkle::{Hash, verify_consistency};
use chancery_identity::Organisation;
use chancery_identity::checkpoint::Checkpoint;
use chancery_store::KeySource;
use chancery_store::file_lock::FileLock;
use chancery_transport_ws::WsConnector;
use chancery_wire::proto::{AddCosignature, CheckpointAnswer, GetCheckpoint, client_frame, relay_frame};
use chancery_wire::{Limit, Timestamp, decode};

use super::{DOCUMENT, Folder, PUBLIC};
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode, file};
use crate::home::{create_private_dir, hex};
use crate::key::read_or_create_key_file;

/// How often a checkpoint that was replaced meanwhile is fetched again: 3 times. The next round has time enough.
const TRIES: u32 = 3;
/// Longest consistency proof: 128 hashes, two for each level of the largest log.
const MAX_PROOF: usize = 128;

/// A witness at work in a folder of its own: `witness.key`, `checkpoint`, and the organisation's public document.
#[derive(Debug)]
pub struct Witness {
    folder: PathBuf,
    organisation: Organisation,
    key: WitnessSigningKey,
    /// One process at a time: two could see two logs.
    _lock: FileLock,
}

/// What a witness has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Witnessed {
    /// Entries of the log.
    pub size: u64,
    /// Root of their tree.
    pub root: [u8; 32],
    /// When the log signed that.
    pub time: Timestamp,
    /// Whether this round cosigned it; `false` if the relay had this witness's line already.
    pub is_new: bool,
}

impl Witness {
    /// Makes a witness in a new folder, for the organisation whose public folder is `public`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::AlreadyExists`]: there is a witness in `dir`. [`ErrorCode::StoreNotFound`],
    /// [`ErrorCode::StoreDamaged`]: `public` is no public folder. [`ErrorCode::RelayNotRecorded`]: the organisation has
    /// not said where its relay is.
    pub fn init(dir: &Path, public: &Path) -> Result<Self, Error> {
        let from = public.join(DOCUMENT);
        let bytes = std::fs::read(&from).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                Error::with(ErrorCode::StoreNotFound, public.display().to_string())
            }
            _ => file(&error, &from),
        })?;
        let document = decode(&bytes, Limit::ORGANISATION).map_err(|_| ErrorCode::StoreDamaged)?;
        let organisation = Organisation::verify(document, None).map_err(|_| ErrorCode::StoreDamaged)?;
        organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?;
        let folder = Folder::new(dir);
        if folder.document().exists() {
            return Err(Error::with(ErrorCode::AlreadyExists, dir.display().to_string()));
        }
        create_private_dir(dir)?;
        create_private_dir(&dir.join(PUBLIC))?;
        let _made = key(dir)?;
        folder.write_document(organisation.as_proto())?;
        Self::open(dir)
    }

    /// Opens a witness.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::StoreNotFound`]: make one first. [`ErrorCode::StoreBusy`]: another process is at work there.
    /// [`ErrorCode::KeyFileUnusable`], [`ErrorCode::StoreDamaged`]: a file is not what it was.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let organisation = Folder::new(dir).organisation()?;
        let lock = FileLock::try_acquire(dir.join("lock"))?.ok_or(ErrorCode::StoreBusy)?;
        Ok(Self { folder: dir.to_path_buf(), organisation, key: key(dir)?, _lock: lock })
    }

    /// Returns the public key, for the organisation's policy.
    #[must_use]
    pub const fn key(&self) -> [u8; 32] {
        *self.key.verifying_key().as_bytes()
    }

    /// Returns the name that stands in its lines.
    #[must_use]
    pub fn name(&self) -> String {
        let key = self.key();
        format!("chancery/1/witness/{}", hex(key.get(..8).unwrap_or_default()))
    }

    /// Fetches the newest checkpoint, verifies that it follows on what was seen before, and brings the relay this witness's line, if
    /// it has none. What was seen is on the disk before the line leaves.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::LogForked`]: the log contradicts what was seen; both notes stay in the folder. [`ErrorCode::LogRolledBack`]: it
    /// has fewer entries. Nothing is cosigned. [`ErrorCode::RelayNotAuthorised`]: the policy does not name this witness. Errors of
    /// the connection: try again.
    pub async fn once(&self) -> Result<Witnessed, Error> {
        let relay = self.organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?;
        let connector = WsConnector::new(relay.url(), *relay.pin()).map_err(|_| ErrorCode::RelayUrl)?;
        let (connection, _pushes) = Connection::open(&connector, &self.organisation.id()).await?;
        let mut last = Error::from(ErrorCode::RelayConflict);
        for _ in 0..TRIES {
            match self.round(&connection).await {
                // The log has grown since it was asked.
                Err(error) if error.code() == ErrorCode::RelayConflict => last = error,
                other => return other,
            }
        }
        Err(last)
    }

    async fn round(&self, connection: &Connection) -> Result<Witnessed, Error> {
        let seen = self.seen()?;
        let from = seen.as_ref().map_or(0, Checkpoint::size);
        let request = client_frame::Body::GetCheckpoint(GetCheckpoint { from });
        let relay_frame::Body::Checkpoint(answer) = connection.request(request).await? else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        let newest = self.verify(&answer.note)?;
        if let Some(seen) = &seen {
            self.compare(seen, &newest, &answer)?;
        }
        self.keep("checkpoint", newest.note())?;
        let now = clock::now().as_millis().checked_div(1000).unwrap_or_default();
        let own = [self.key.verifying_key()];
        let is_new = newest.cosignatures(&own).is_empty();
        if is_new {
            let note = newest.cosign(&self.name(), &self.key, now);
            let note = note.map_err(|error| Error::with(ErrorCode::LogInvalid, error.to_string()))?;
            connection.done(client_frame::Body::AddCosignature(AddCosignature { note })).await?;
        }
        Ok(Witnessed { size: newest.size(), root: *newest.root(), time: newest.time(), is_new })
    }

    /// Refuses what contradicts what was seen; the note stays, because both together are evidence.
    fn compare(
        &self,
        seen: &Checkpoint,
        newest: &Checkpoint,
        answer: &CheckpointAnswer,
    ) -> Result<(), Error> {
        if newest.size() < seen.size() {
            self.keep("conflict", newest.note())?;
            let text = format!("it has {} entries, and had {}", newest.size(), seen.size());
            return Err(Error::with(ErrorCode::LogRolledBack, text));
        }
        let path: Option<Vec<Hash>> =
            answer.proof.iter().map(|hash| hash.as_slice().try_into().ok()).collect();
        let path = path.filter(|path| path.len() <= MAX_PROOF).ok_or(ErrorCode::RelayProtocol)?;
        let (old, new) = ((seen.size(), seen.root()), (newest.size(), newest.root()));
        let follows = match old.0 {
            size if size == new.0 => old.1 == new.1,
            0 => true,
            _ => verify_consistency(old.0, old.1, new.0, new.1, &path),
        };
        if follows {
            return Ok(());
        }
        self.keep("conflict", newest.note())?;
        let text = format!("what it shows is no continuation of its {} entries", seen.size());
        Err(Error::with(ErrorCode::LogForked, text))
    }

    /// The newest checkpoint that this witness has seen. One that is damaged stops it: it would be anybody's witness.
    fn seen(&self) -> Result<Option<Checkpoint>, Error> {
        let path = self.folder.join("checkpoint");
        match std::fs::read_to_string(&path) {
            Ok(note) => self
                .verify(&note)
                .map(Some)
                .map_err(|_| Error::with(ErrorCode::StoreDamaged, path.display().to_string())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(&error, &path)),
        }
    }

    fn verify(&self, note: &str) -> Result<Checkpoint, Error> {
        let key = self.organisation.relay().ok_or(ErrorCode::RelayNotRecorded)?.log_key();
        let verified = Checkpoint::verify(note, &self.organisation.id(), key);
        verified.map_err(|error| Error::with(ErrorCode::LogInvalid, error.to_string()))
    }

    /// Writes a file as a whole, and sees it to the disk.
    fn keep(&self, name: &str, note: &str) -> Result<(), Error> {
        let (path, draft) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        let written = (|| {
            let mut draft_file = std::fs::File::create(&draft)?;
            draft_file.write_all(note.as_bytes())?;
            draft_file.sync_all()?;
            std::fs::rename(&draft, &path)?;
            std::fs::File::open(&self.folder)?.sync_all()
        })();
        written.map_err(|error| file(&error, &path))
    }
}

/// Reads the witness's key, or makes it.
fn key(dir: &Path) -> Result<WitnessSigningKey, Error> {
    match read_or_create_key_file(dir.join("witness.key"))? {
        KeySource::KeyFile(seed) => Ok(WitnessSigningKey::from_seed(seed)),
        KeySource::Passphrase(_) => Err(ErrorCode::Internal.into()),
    }
}
