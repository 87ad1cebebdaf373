//! Files: encrypted into the spool before anything is sent, uploaded from there, verified while downloaded.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::stream::{CHUNK_LEN, HEADER_LEN, Opener, SEALED_CHUNK_LEN, Sealer, sealed_len};
use chancery_engine::content::padded_len;
use chancery_wire::proto::{Attachment, GetBlob, PutBlob, client_frame, relay_frame};

use crate::clock;
use crate::connection::Connection;
use crate::error::{Error, ErrorCode, file};
use crate::home::Home;

/// Bytes of a blob in one frame: 256 KiB, half of what a frame may have.
const PART_LEN: usize = 256 * 1024;

/// How far a file has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The file's name, or the blob's for an upload that an earlier command began.
    pub name: String,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
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
    let written = write_sealed(&mut source, metadata.len(), &key, &target);
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
        media_type: String::new(),
    })
}

fn write_sealed(source: &mut File, size: u64, key: &Secret<32>, target: &Path) -> Result<(), Error> {
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
        source.read_exact(data).map_err(|error| file(&error, target))?;
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

/// Uploads a spooled blob, going on from where the relay has it.
pub(crate) async fn upload(
    home: &Home,
    connection: &Connection,
    blob_id: &[u8; 16],
    progress: Option<&ProgressFn>,
) -> Result<(), Error> {
    let path = home.spooled(blob_id);
    let mut source = File::open(&path).map_err(|error| file(&error, &path))?;
    let total = source.metadata().map_err(|error| file(&error, &path))?.len();
    let name = crate::home::hex(blob_id);
    let mut offset = 0;
    loop {
        let (part, last) = read_part(&mut source, offset, total).map_err(|error| file(&error, &path))?;
        let put = PutBlob { blob_id: blob_id.to_vec(), offset, part, last, token: Vec::new() };
        let relay_frame::Body::BlobStatus(status) =
            connection.request(client_frame::Body::PutBlob(put)).await?
        else {
            return Err(ErrorCode::RelayProtocol.into());
        };
        if status.complete {
            break;
        }
        if status.length <= offset || status.length > total {
            return Err(ErrorCode::RelayProtocol.into());
        }
        offset = status.length;
        if let Some(progress) = progress {
            progress(&Progress { name: name.clone(), done: offset, total });
        }
    }
    Ok(())
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

/// Downloads an attachment into `folder` and returns where it stands. Every chunk is verified before it is
/// written, and the file appears under its name only when all of it was (R-CONTENT-7).
pub(crate) async fn download(
    connection: &Connection,
    attachment: &Attachment,
    folder: &Path,
    progress: Option<&ProgressFn>,
) -> Result<PathBuf, Error> {
    std::fs::create_dir_all(folder).map_err(|error| file(&error, folder))?;
    let partial = folder.join(format!(".{}.part", crate::home::hex(&attachment.blob_id)));
    let fetched = fetch(connection, attachment, &partial, progress).await;
    let result = fetched.and_then(|()| place(&partial, folder, &attachment.name));
    if result.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    result
}

async fn fetch(
    connection: &Connection,
    attachment: &Attachment,
    partial: &Path,
    progress: Option<&ProgressFn>,
) -> Result<(), Error> {
    let key = Secret::from_slice(&attachment.key).ok_or(ErrorCode::AttachmentDamaged)?;
    let total = sealed_len(padded_len(attachment.size)).ok_or(ErrorCode::AttachmentDamaged)?;
    let mut reader = Reader { key, opener: None, buffer: Vec::new(), left: total };
    let mut out = private_file(partial)?;
    let mut offset = 0_u64;
    while offset < total {
        let length = u32::try_from((PART_LEN as u64).min(total.saturating_sub(offset))).unwrap_or(u32::MAX);
        let get = GetBlob { blob_id: attachment.blob_id.clone(), offset, length };
        let answer = connection.request(client_frame::Body::GetBlob(get)).await;
        let part = match answer {
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
        offset = offset.saturating_add(part.part.len() as u64);
        for plain in reader.take(part.part)? {
            out.write_all(plain.expose()).map_err(|error| file(&error, partial))?;
        }
        if let Some(progress) = progress {
            progress(&Progress { name: attachment.name.clone(), done: offset, total });
        }
    }
    out.set_len(attachment.size).map_err(|error| file(&error, partial))?;
    out.sync_all().map_err(|error| file(&error, partial))
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
    let (stem, extension) = match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() => (stem.to_owned(), format!(".{extension}")),
        _ => (name, String::new()),
    };
    for number in 0..10_000_u32 {
        let candidate = match number {
            0 => folder.join(format!("{stem}{extension}")),
            n => folder.join(format!("{stem} ({n}){extension}")),
        };
        // A hard link fails if the name exists, so two processes cannot overwrite each other's file.
        match std::fs::hard_link(partial, &candidate) {
            Ok(()) => {
                let _ = std::fs::remove_file(partial);
                return Ok(candidate);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) if !candidate.exists() => {
                std::fs::rename(partial, &candidate).map_err(|error| file(&error, &candidate))?;
                return Ok(candidate);
            }
            Err(error) => return Err(file(&error, &candidate)),
        }
    }
    Err(Error::with(ErrorCode::FileUnreadable, folder.display().to_string()))
}

fn private_file(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| file(&error, path))
}
