//! Files: encrypted into the spool before anything is sent, uploaded from there, verified while downloaded.

mod progress;
mod spool;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::stream::{HEADER_LEN, Opener, SEALED_CHUNK_LEN, sealed_len};
use chancery_engine::content::padded_len;
use chancery_wire::proto::{Attachment, BlobStatus, GetBlob, PutBlob, client_frame, relay_frame};

use tokio::time::Instant;

use crate::acting::MessageRef;
use crate::client::Shared;
use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode, file};
use crate::home::Home;
use crate::worker::{State, blocking};

pub use progress::{Direction, Progress, ProgressFn};
pub(crate) use progress::{Listener, Teller};
pub(crate) use spool::{hold_spool, remove_spooled, spool_all, spool_bytes, sweep_spool};

/// Bytes of a blob in one frame: 256 KiB, half of what a frame may have.
const PART_LEN: usize = 256 * 1024;

/// Uploads a spooled blob with the token for blobs, going on from where the relay has it, until `pause`; returns whether all is there.
pub(crate) async fn upload(
    home: &Home,
    connection: &Connection,
    (blob_id, token): (&[u8; 16], &[u8]),
    teller: Option<&Teller<'_>>,
    pause: Instant,
) -> Result<bool, Error> {
    let path = home.spooled(blob_id);
    let mut source = File::open(&path).map_err(|error| file(&error, &path))?;
    let total = source.metadata().map_err(|error| file(&error, &path))?.len();
    // An empty part changes nothing and asks for the state (R-RELAY-30).
    let mut status = put(connection, (blob_id, token), 0, (Vec::new(), false)).await?;
    loop {
        if status.length > total || (status.complete && status.length != total) {
            // Something else has this name, and always will.
            return Err(ErrorCode::RelayRefused.into());
        }
        if status.complete {
            return Ok(true);
        }
        if Instant::now() >= pause {
            return Ok(false);
        }
        let offset = status.length;
        let from = path.clone();
        let part;
        (source, part) = blocking(move || {
            let part = read_part(&mut source, offset, total).map_err(|error| file(&error, &from))?;
            Ok((source, part))
        })
        .await?;
        status = put(connection, (blob_id, token), offset, part).await?;
        if status.length <= offset && !status.complete {
            return Err(ErrorCode::RelayProtocol.into());
        }
        if let Some(teller) = teller {
            teller.tell(status.length, total);
        }
    }
}

/// Returns who tells how far an upload has come, if anybody listens.
pub(crate) async fn teller_of_upload<'a>(
    shared: &'a Shared,
    item: u64,
    blob_id: &[u8; 16],
) -> Result<Option<Teller<'a>>, Error> {
    if !shared.progress.is_there() {
        return Ok(None);
    }
    let find = move |state: &mut State| {
        let own = state.device().member_id();
        let found = state.read(|records| chancery_engine::message_of_upload(records, &own, item))?;
        Ok(found.map(|message| (own, message)))
    };
    let Some((author, message)) = shared.worker.call(find).await? else { return Ok(None) };
    let id = message.id.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
    let files = message.text.map(|text| text.attachments).unwrap_or_default();
    let found = files.into_iter().enumerate().find(|(_, file)| file.blob_id == blob_id);
    Ok(found.map(|(index, file)| {
        let of = (MessageRef { author, id }, index);
        Teller::new(&shared.progress, of, Direction::Sending, (file.name, file.size))
    }))
}

async fn put(
    connection: &Connection,
    (blob_id, token): (&[u8; 16], &[u8]),
    offset: u64,
    (part, last): (Vec<u8>, bool),
) -> Result<BlobStatus, Error> {
    let put = PutBlob { blob_id: blob_id.to_vec(), offset, part, last, token: token.to_vec() };
    match connection.request(client_frame::Body::PutBlob(put)).await? {
        relay_frame::Body::BlobStatus(status) => Ok(status),
        _ => Err(ErrorCode::RelayProtocol.into()),
    }
}

fn read_part(source: &mut (impl Read + Seek), offset: u64, total: u64) -> std::io::Result<(Vec<u8>, bool)> {
    source.seek(SeekFrom::Start(offset))?;
    let left = total.saturating_sub(offset);
    let len = usize::try_from(left.min(PART_LEN as u64)).unwrap_or(PART_LEN);
    let mut part = vec![0; len];
    source.read_exact(&mut part)?;
    Ok((part, left == len as u64))
}

/// Downloads an attachment into `folder`, all of it verified and durable. Every chunk is verified before it is
/// written, and the file appears under its name only with [`Download::place`] (R-CONTENT-7).
pub(crate) async fn download(
    source: &Source<'_>,
    attachment: &Attachment,
    folder: &Path,
    teller: &Teller<'_>,
) -> Result<Download, Error> {
    let (wanted, into) = (attachment.clone(), folder.to_path_buf());
    let mut download = blocking(move || Download::begin(wanted, into)).await?;
    let total = download.total;
    let mut offset = 0_u64;
    while offset < total {
        let length = u32::try_from((PART_LEN as u64).min(total.saturating_sub(offset))).unwrap_or(u32::MAX);
        let part = source.part(attachment, (offset, length), total).await?;
        offset = offset.saturating_add(part.len() as u64);
        download = blocking(move || download.take(part)).await?;
        teller.tell(offset, total);
    }
    blocking(move || download.finish()).await
}

/// Downloads a file, all of it verified, without writing it anywhere: for what is short and of no use on a disk.
pub(crate) async fn download_to_memory(
    source: &Source<'_>,
    attachment: &Attachment,
    teller: Option<&Teller<'_>>,
) -> Result<SecretBytes, Error> {
    let key = Secret::from_slice(&attachment.key).ok_or(ErrorCode::AttachmentDamaged)?;
    let total = sealed_len(padded_len(attachment.size)).ok_or(ErrorCode::AttachmentDamaged)?;
    let size = usize::try_from(attachment.size).map_err(|_| ErrorCode::AttachmentDamaged)?;
    let mut reader = Reader { key, opener: None, buffer: Vec::new(), left: total };
    // Each chunk is wiped by itself, whatever ends this, and no more is held than has come, whatever size the sender has named.
    let mut chunks = Vec::new();
    let mut offset = 0_u64;
    while offset < total {
        let length = u32::try_from((PART_LEN as u64).min(total.saturating_sub(offset))).unwrap_or(u32::MAX);
        let part = source.part(attachment, (offset, length), total).await?;
        offset = offset.saturating_add(part.len() as u64);
        chunks.extend(reader.take(part)?);
        if let Some(teller) = teller {
            teller.tell(offset, total);
        }
    }
    let mut content = Vec::new();
    // With room for all of it, no copy is left behind where a vector has grown.
    content.try_reserve_exact(size).map_err(|_| ErrorCode::MessageTooLarge)?;
    for chunk in chunks {
        let (chunk, left) = (chunk.expose(), size.saturating_sub(content.len()));
        content.extend_from_slice(chunk.get(..left).unwrap_or(chunk));
    }
    Ok(SecretBytes::new(content))
}

/// End of the name of a file that is being downloaded.
const PARTIAL: &str = ".part";

fn partial_prefix(blob_id: &[u8]) -> String {
    format!(".{}-", crate::home::hex(blob_id))
}

/// Removes what downloads of the same blob left behind that were killed; a living one holds its file locked.
fn remove_partials(folder: &Path, blob_id: &[u8]) {
    let prefix = partial_prefix(blob_id);
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(|name| name.starts_with(&prefix) && name.ends_with(PARTIAL));
        let is_dead = || File::open(entry.path()).is_ok_and(|file| file.try_lock().is_ok());
        if ours && is_dead() {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Where a sealed file is read from.
pub(crate) enum Source<'a> {
    /// From the relay, over this connection.
    Relay(&'a Connection),
    /// From the own spool: it is still to be uploaded.
    Spool(Arc<File>),
}

impl Source<'_> {
    /// Finds a sealed file that is still to be uploaded; `None` if the relay has it.
    pub(crate) async fn spooled(
        home: &Home,
        attachment: &Attachment,
    ) -> Result<Option<Source<'static>>, Error> {
        let blob_id = attachment.blob_id.as_slice().try_into().map_err(|_| ErrorCode::AttachmentDamaged)?;
        let path = home.spooled(blob_id);
        // Once it is open it can be read to its end, though it be uploaded meanwhile.
        blocking(move || match File::open(&path) {
            Ok(open) => Ok(Some(Source::Spool(Arc::new(open)))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(file(&error, &path)),
        })
        .await
    }

    /// Reads a part of a file that should have `total` bytes.
    async fn part(
        &self,
        attachment: &Attachment,
        (offset, length): (u64, u32),
        total: u64,
    ) -> Result<Vec<u8>, Error> {
        match self {
            Self::Relay(connection) => get(connection, attachment, (offset, length), total).await,
            Self::Spool(open) => {
                let open = Arc::clone(open);
                let read = blocking(move || Ok(read_part(&mut open.as_ref(), offset, total))).await?;
                read.map(|(part, _)| part).map_err(|_| ErrorCode::AttachmentDamaged.into())
            }
        }
    }
}

/// Asks for a part of a blob that should have `total` bytes.
async fn get(
    connection: &Connection,
    attachment: &Attachment,
    (offset, length): (u64, u32),
    total: u64,
) -> Result<Vec<u8>, Error> {
    let get = GetBlob { blob_id: attachment.blob_id.clone(), offset, length };
    let part = match connection.request(client_frame::Body::GetBlob(get)).await {
        Ok(relay_frame::Body::BlobPart(part)) => part,
        Ok(_) => return Err(ErrorCode::RelayProtocol.into()),
        Err(error) if error.code() == ErrorCode::RelayNotFound => {
            return Err(ErrorCode::AttachmentGone.into());
        }
        Err(error) => return Err(error),
    };
    if part.length != total || part.part.is_empty() || part.part.len() > length as usize {
        return Err(ErrorCode::AttachmentDamaged.into());
    }
    Ok(part.part)
}

/// A download under way: what was verified so far, in a file that goes with it unless it is finished.
pub(crate) struct Download {
    attachment: Attachment,
    total: u64,
    folder: PathBuf,
    partial: PathBuf,
    out: File,
    reader: Reader,
}

impl Download {
    fn begin(attachment: Attachment, folder: PathBuf) -> Result<Self, Error> {
        let key = Secret::from_slice(&attachment.key).ok_or(ErrorCode::AttachmentDamaged)?;
        let total = sealed_len(padded_len(attachment.size)).ok_or(ErrorCode::AttachmentDamaged)?;
        std::fs::create_dir_all(&folder).map_err(|error| file(&error, &folder))?;
        remove_partials(&folder, &attachment.blob_id);
        // A name of its own: two processes that save the same file must not write into each other's.
        let own = crate::home::hex(&random_bytes::<8>(&mut clock::rng()?));
        let partial = folder.join(format!("{}{own}{PARTIAL}", partial_prefix(&attachment.blob_id)));
        let out = private_file(&partial)?;
        // Without locks in the file system, nothing but the tidying up is less exact.
        let _ = out.try_lock();
        let reader = Reader { key, opener: None, buffer: Vec::new(), left: total };
        Ok(Self { attachment, total, folder, partial, out, reader })
    }

    /// Verifies a part and writes it.
    fn take(mut self, part: Vec<u8>) -> Result<Self, Error> {
        for plain in self.reader.take(part)? {
            self.out.write_all(plain.expose()).map_err(|error| file(&error, &self.partial))?;
        }
        Ok(self)
    }

    /// Makes the file durable.
    fn finish(self) -> Result<Self, Error> {
        let written = self.out.set_len(self.attachment.size).and_then(|()| self.out.sync_all());
        written.map_err(|error| file(&error, &self.partial))?;
        Ok(self)
    }

    /// Gives a finished file its name and returns where it stands. To be called where nothing can come between it and
    /// the record of that: a file that nobody knows of is downloaded again.
    pub(crate) fn place(self) -> Result<PathBuf, Error> {
        place(&self.partial, &self.folder, &self.attachment.name)
    }

    /// Gives a finished file this name, in the folder where it was downloaded; what had the name is gone.
    pub(crate) fn place_at(self, target: &Path) -> Result<(), Error> {
        std::fs::rename(&self.partial, target).map_err(|error| file(&error, target))?;
        sync_folder(&self.folder)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        // It is there only if something failed or the caller gave up.
        let _ = std::fs::remove_file(&self.partial);
    }
}

/// Turns parts of any size into verified chunks.
struct Reader {
    key: Secret<32>,
    opener: Option<Opener>,
    buffer: Vec<u8>,
    left: u64,
}

impl Reader {
    fn take(&mut self, part: Vec<u8>) -> Result<Vec<SecretBytes>, Error> {
        self.buffer.extend_from_slice(&part);
        let mut plain = Vec::new();
        while let Some(sealed) = self.next_piece() {
            self.left = self.left.saturating_sub(sealed.len() as u64);
            match &mut self.opener {
                None => {
                    let opener = Opener::new(&self.key, &sealed).map_err(|_| ErrorCode::AttachmentDamaged)?;
                    self.opener = Some(opener);
                }
                Some(opener) => {
                    let chunk =
                        opener.open(&sealed, self.left == 0).map_err(|_| ErrorCode::AttachmentDamaged)?;
                    plain.push(chunk);
                }
            }
        }
        Ok(plain)
    }

    /// Takes the header or a whole sealed chunk out of the buffer, once it is there.
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        let wanted = if self.opener.is_none() { HEADER_LEN } else { SEALED_CHUNK_LEN };
        let wanted = wanted.min(usize::try_from(self.left).unwrap_or(wanted));
        if wanted == 0 || self.buffer.len() < wanted {
            return None;
        }
        let rest = self.buffer.split_off(wanted);
        Some(std::mem::replace(&mut self.buffer, rest))
    }
}

/// Gives a finished download its name, with a number if the name is taken.
fn place(partial: &Path, folder: &Path, name: &str) -> Result<PathBuf, Error> {
    let name = chancery_engine::content::safe_name(name);
    let mut longest = LONGEST_NAME;
    let mut number = 0_u32;
    while number < MOST_OF_A_NAME {
        let candidate = folder.join(numbered(&name, number, longest));
        // A hard link fails if the name exists, so two processes cannot overwrite each other's file.
        match std::fs::hard_link(partial, &candidate) {
            Ok(()) => {
                let _ = std::fs::remove_file(partial);
                return sync_folder(folder).map(|()| candidate);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                number = number.saturating_add(1);
            }
            Err(error)
                if error.kind() == std::io::ErrorKind::InvalidFilename && longest > LEAST_LONGEST_NAME =>
            {
                longest = LEAST_LONGEST_NAME;
            }
            Err(_) if !candidate.exists() => {
                std::fs::rename(partial, &candidate).map_err(|error| file(&error, &candidate))?;
                return sync_folder(folder).map(|()| candidate);
            }
            Err(error) => return Err(file(&error, &candidate)),
        }
    }
    Err(Error::with(ErrorCode::FileUnreadable, folder.display().to_string()))
}

/// Puts a number into a name, for 0 none. The name stays within what file systems take: a sender's long name
/// must not be one that cannot be saved.
fn numbered(name: &str, number: u32, longest: usize) -> String {
    const LONGEST_EXTENSION: usize = 16;
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && extension.len() <= LONGEST_EXTENSION => {
            (stem, format!(".{extension}"))
        }
        _ => (name, String::new()),
    };
    let suffix = if number == 0 { extension } else { format!(" ({number}){extension}") };
    let room = longest.saturating_sub(suffix.len());
    let mut kept = stem.to_owned();
    while kept.len() > room {
        kept.pop();
    }
    kept.push_str(&suffix);
    kept
}

/// Bytes of a name that nearly all file systems take.
const LONGEST_NAME: usize = chancery_engine::content::MAX_FILE_NAME;
/// The least that a common file system takes (eCryptfs).
const LEAST_LONGEST_NAME: usize = 143;
/// Files of one name in one folder: 10,000. Beyond that somebody plays a game.
const MOST_OF_A_NAME: u32 = 10_000;

/// Makes the names in a folder durable, where the system can.
fn sync_folder(folder: &Path) -> Result<(), Error> {
    if cfg!(unix) {
        File::open(folder).and_then(|open| open.sync_all()).map_err(|error| file(&error, folder))?;
    }
    Ok(())
}

fn private_file(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| file(&error, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("chancery-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        path
    }

    #[test]
    fn the_longest_name_can_be_saved_twice() {
        let folder = folder("names");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["n".repeat(255), format!("{}.pdf", "ü".repeat(125)), format!("a.{}", "b".repeat(253))] {
            for _ in 0..12 {
                let partial = folder.join(".partial");
                std::fs::write(&partial, b"content").unwrap();
                let path = place(&partial, &folder, &name).unwrap();
                assert_eq!(std::fs::read(path).unwrap(), b"content");
            }
        }
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 36);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_partial_download_of_a_killed_process_goes_and_a_living_one_stays() {
        let folder = folder("partials");
        std::fs::create_dir_all(&folder).unwrap();
        let (dead, alive) = (folder.join(".0101-aa.part"), folder.join(".0101-bb.part"));
        std::fs::write(&dead, b"").unwrap();
        std::fs::write(&alive, b"").unwrap();
        std::fs::write(folder.join(".0202-aa.part"), b"").unwrap();
        let held = File::open(&alive).unwrap();
        held.try_lock().unwrap();
        remove_partials(&folder, &[1, 1]);
        assert!(!dead.exists() && alive.exists() && folder.join(".0202-aa.part").exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_download_that_is_given_up_when_it_is_finished_leaves_nothing_behind() {
        let folder = folder("finished");
        let attachment = Attachment {
            blob_id: vec![1; 16],
            key: vec![2; 32],
            size: 3,
            name: "file".into(),
            ..Attachment::default()
        };
        let finished = || Download::begin(attachment.clone(), folder.clone()).unwrap().finish().unwrap();
        drop(finished());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
        assert_eq!(finished().place().unwrap(), folder.join("file"), "its name was not taken");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
