//! Files: encrypted into the spool before anything is sent, uploaded from there, verified while downloaded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::stream::{CHUNK_LEN, HEADER_LEN, Opener, SEALED_CHUNK_LEN, Sealer, sealed_len};
use chancery_engine::content::padded_len;
use chancery_wire::proto::{Attachment, BlobStatus, GetBlob, PutBlob, client_frame, relay_frame};

use tokio::time::Instant;

use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode, file};
use crate::home::Home;
use crate::worker::blocking;

/// Bytes of a blob in one frame: 256 KiB, half of what a frame may have.
const PART_LEN: usize = 256 * 1024;

/// How far a file has come.
///
/// Its `Debug` does not show the name.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The file's name; for an upload the blob's identifier in hexadecimal.
    pub name: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name: _, done, total } = self;
        f.debug_struct("Progress").field("done", done).field("total", total).finish_non_exhaustive()
    }
}

/// Is told of progress; called at most once a part (256 KiB).
pub type ProgressFn = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Encrypts a file into the spool, in constant memory, and returns what the message says of it.
///
/// When this returns, the encrypted file is on disk for good.
pub(crate) fn spool(home: &Home, path: &Path) -> Result<Attachment, Error> {
    let mut rng = clock::rng()?;
    let mut source = File::open(path).map_err(|error| file(&error, path))?;
    let metadata = source.metadata().map_err(|error| file(&error, path))?;
    if !metadata.is_file() {
        return Err(Error::with(ErrorCode::FileUnreadable, path.display().to_string()));
    }
    let (key, blob_id) = (Secret::<32>::random(&mut rng), random_bytes::<16>(&mut rng));
    let target = home.spooled(&blob_id);
    let written = write_sealed((&mut source, path), metadata.len(), &key, &target);
    let written = written.and_then(|()| sync_folder(&home.spool()));
    if let Err(error) = written {
        let _ = std::fs::remove_file(&target);
        return Err(error);
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Attachment {
        blob_id: blob_id.to_vec(),
        key: key.expose().to_vec(),
        size: metadata.len(),
        name: chancery_engine::content::safe_name(&name),
        media_type: media_type(&name).to_owned(),
        preview: Vec::new(),
    })
}

/// Returns the media type of the usual kinds of files by the ending of their name; empty for others.
fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    match ending.as_deref().unwrap_or_default() {
        "txt" | "log" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "svg" => "image/svg+xml",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "webm" => "video/webm",
        _ => "",
    }
}

/// Encrypts what is in memory into the spool, under a name and a key that exist already.
pub(crate) fn spool_bytes(home: &Home, sealed: &Attachment, mut content: &[u8]) -> Result<(), Error> {
    let blob_id = sealed.blob_id.as_slice().try_into().map_err(|_| ErrorCode::Internal)?;
    let key = Secret::from_slice(&sealed.key).ok_or(ErrorCode::Internal)?;
    let (target, size) = (home.spooled(blob_id), content.len() as u64);
    write_sealed((&mut content, &target), size, &key, &target)
}

fn write_sealed(
    (source, path): (&mut impl Read, &Path),
    size: u64,
    key: &Secret<32>,
    target: &Path,
) -> Result<(), Error> {
    let on_target = |error: std::io::Error| file(&error, target);
    let mut out = private_file(target)?;
    let (mut sealer, header) = Sealer::new(key);
    out.write_all(&header).map_err(on_target)?;
    let mut left = padded_len(size);
    let mut chunk = vec![0; CHUNK_LEN];
    let mut unread = size;
    loop {
        let len = usize::try_from(left.min(CHUNK_LEN as u64)).unwrap_or(CHUNK_LEN);
        let plain = chunk.get_mut(..len).unwrap_or_default();
        let from_file = usize::try_from(unread.min(len as u64)).unwrap_or(len);
        let (data, padding) = plain.split_at_mut(from_file);
        // A file that shrinks while it is read is an error, not a message with less in it.
        source.read_exact(data).map_err(|error| file(&error, path))?;
        padding.fill(0);
        unread = unread.saturating_sub(from_file as u64);
        left = left.saturating_sub(len as u64);
        let sealed = sealer.seal(plain, left == 0).map_err(|_| ErrorCode::MessageTooLarge)?;
        out.write_all(&sealed).map_err(on_target)?;
        if left == 0 {
            break;
        }
    }
    out.sync_all().map_err(on_target)
}

/// Uploads a spooled blob with the token for blobs, going on from where the relay has it, until `pause`; returns whether all is there.
pub(crate) async fn upload(
    home: &Home,
    connection: &Connection,
    (blob_id, token): (&[u8; 16], &[u8]),
    progress: Option<&ProgressFn>,
    pause: Instant,
) -> Result<bool, Error> {
    let path = home.spooled(blob_id);
    let mut source = File::open(&path).map_err(|error| file(&error, &path))?;
    let total = source.metadata().map_err(|error| file(&error, &path))?.len();
    let name = crate::home::hex(blob_id);
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
        if let Some(progress) = progress {
            progress(&Progress { name: name.clone(), done: status.length, total });
        }
    }
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

/// Removes an uploaded blob from the spool, once the store knows that it was uploaded.
pub(crate) fn remove_spooled(home: &Home, blob_id: &[u8; 16]) {
    if let Err(error) = std::fs::remove_file(home.spooled(blob_id)) {
        tracing::debug!(%error, "an uploaded file stays in the spool");
    }
}

fn read_part(source: &mut File, offset: u64, total: u64) -> std::io::Result<(Vec<u8>, bool)> {
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
    connection: &Connection,
    attachment: &Attachment,
    folder: &Path,
    progress: Option<&ProgressFn>,
) -> Result<Download, Error> {
    let (wanted, into) = (attachment.clone(), folder.to_path_buf());
    let mut download = blocking(move || Download::begin(wanted, into)).await?;
    let total = download.total;
    let mut offset = 0_u64;
    while offset < total {
        let length = u32::try_from((PART_LEN as u64).min(total.saturating_sub(offset))).unwrap_or(u32::MAX);
        let part = get(connection, attachment, (offset, length), total).await?;
        offset = offset.saturating_add(part.len() as u64);
        download = blocking(move || download.take(part)).await?;
        if let Some(progress) = progress {
            progress(&Progress { name: attachment.name.clone(), done: offset, total });
        }
    }
    blocking(move || download.finish()).await
}

/// Downloads a file, all of it verified, without writing it anywhere: for what is short and of no use on a disk.
pub(crate) async fn download_to_memory(
    connection: &Connection,
    attachment: &Attachment,
) -> Result<SecretBytes, Error> {
    let key = Secret::from_slice(&attachment.key).ok_or(ErrorCode::AttachmentDamaged)?;
    let total = sealed_len(padded_len(attachment.size)).ok_or(ErrorCode::AttachmentDamaged)?;
    let size = usize::try_from(attachment.size).map_err(|_| ErrorCode::AttachmentDamaged)?;
    let mut reader = Reader { key, opener: None, buffer: Vec::new(), left: total };
    // With room for all of it from the start, no copy is left behind where a vector has grown.
    let mut content = Vec::with_capacity(usize::try_from(total).unwrap_or(size));
    let mut offset = 0_u64;
    while offset < total {
        let length = u32::try_from((PART_LEN as u64).min(total.saturating_sub(offset))).unwrap_or(u32::MAX);
        let part = get(connection, attachment, (offset, length), total).await?;
        offset = offset.saturating_add(part.len() as u64);
        for plain in reader.take(part)? {
            content.extend_from_slice(plain.expose());
        }
    }
    content.truncate(size);
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

/// Keeps the spool from being tidied up, for as long as it has files that no message names yet.
pub(crate) fn hold_spool(home: &Home) -> Result<File, Error> {
    home.create()?;
    let path = home.spool_lock();
    let held = private_file(&path)?;
    held.lock_shared().map_err(|error| file(&error, &path))?;
    Ok(held)
}

/// Removes what a crash left in the spool: files that `waiting`, read once nobody adds any, does not name.
pub(crate) fn sweep_spool(
    home: &Home,
    waiting: impl FnOnce() -> Result<BTreeSet<[u8; 16]>, Error>,
) -> Result<(), Error> {
    let on_spool = |error: std::io::Error| file(&error, &home.spool());
    if std::fs::read_dir(home.spool()).map_err(on_spool)?.next().is_none() {
        return Ok(());
    }
    let lock = private_file(&home.spool_lock())?;
    if lock.try_lock().is_err() {
        // Somebody is about to send; another time.
        return Ok(());
    }
    let waiting: BTreeSet<String> = waiting()?.iter().map(|blob| crate::home::hex(blob)).collect();
    for entry in std::fs::read_dir(home.spool()).map_err(on_spool)?.flatten() {
        if entry.file_name().to_str().is_some_and(|name| !waiting.contains(name)) {
            tracing::debug!("a file that nobody waits for is removed from the spool");
            let _ = std::fs::remove_file(entry.path());
        }
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

    #[test]
    fn the_spool_keeps_what_a_message_names_or_is_about_to_and_nothing_else() {
        let folder = folder("spool");
        let home = Home::new(&folder);
        let sending = hold_spool(&home).unwrap();
        let also_sending = hold_spool(&home).unwrap();
        for blob in [1, 2] {
            std::fs::write(home.spooled(&[blob; 16]), b"sealed").unwrap();
        }
        sweep_spool(&home, || panic!("not while somebody sends")).unwrap();
        drop((sending, also_sending));
        assert!(sweep_spool(&home, || Err(ErrorCode::StoreBusy.into())).is_err());
        assert!(home.spooled(&[2; 16]).exists(), "a store that cannot be asked condemns nothing");
        sweep_spool(&home, || Ok(BTreeSet::from([[1; 16]]))).unwrap();
        assert!(home.spooled(&[1; 16]).exists() && !home.spooled(&[2; 16]).exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
