//! The spool: files that are encrypted, on disk, and wait to be uploaded.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use chancery_crypto::rng::random_bytes;
use chancery_crypto::secret::Secret;
use chancery_crypto::stream::{CHUNK_LEN, Sealer};
use chancery_engine::content::padded_len;
use chancery_wire::proto::Attachment;

use super::{private_file, sync_folder};
use crate::acting::OutgoingFile;
use crate::clock;
use crate::error::{Error, ErrorCode, file};
use crate::home::Home;

/// Encrypts a file into the spool, in constant memory beside what the caller holds, and returns what the message says of it.
///
/// When this returns, the encrypted file is on disk for good.
fn spool(home: &Home, outgoing: &OutgoingFile) -> Result<Attachment, Error> {
    let mut rng = clock::rng()?;
    let (key, blob_id) = (Secret::<32>::random(&mut rng), random_bytes::<16>(&mut rng));
    let target = home.spooled(&blob_id);
    let path = &outgoing.path;
    let written = match &outgoing.content {
        Some(content) => {
            let mut bytes = content.expose();
            let size = bytes.len() as u64;
            write_sealed((&mut bytes, path), size, &key, &target).map(|()| size)
        }
        None => open(path).and_then(|(mut source, size)| {
            write_sealed((&mut source, path), size, &key, &target).map(|()| size)
        }),
    };
    let written = written.and_then(|size| sync_folder(&home.spool()).map(|()| size));
    let size = match written {
        Ok(size) => size,
        Err(error) => {
            let _ = std::fs::remove_file(&target);
            return Err(error);
        }
    };
    let of_path = || path.file_name().map(|name| name.to_string_lossy().into_owned());
    let name = outgoing.name.clone().or_else(of_path).unwrap_or_default();
    let name = chancery_engine::content::safe_name(&name);
    let media_type = outgoing.media_type.clone().unwrap_or_else(|| media_type(&name).to_owned());
    Ok(Attachment {
        blob_id: blob_id.to_vec(),
        key: key.expose().to_vec(),
        size,
        name,
        media_type,
        preview: outgoing.preview.clone(),
    })
}

/// Encrypts files into the spool, and returns with them what keeps them there until the store names them.
pub(crate) fn spool_all(
    home: &Home,
    files: &[OutgoingFile],
) -> Result<(Vec<Attachment>, Option<File>), Error> {
    let held = if files.is_empty() { None } else { Some(hold_spool(home)?) };
    let mut attachments = Vec::with_capacity(files.len());
    for file in files {
        match spool(home, file) {
            Ok(attachment) => attachments.push(attachment),
            Err(error) => {
                unspool(home, &attachments);
                return Err(error);
            }
        }
    }
    Ok((attachments, held))
}

fn unspool(home: &Home, attachments: &[Attachment]) {
    for attachment in attachments {
        if let Ok(blob_id) = attachment.blob_id.as_slice().try_into() {
            remove_spooled(home, blob_id);
        }
    }
}

fn open(path: &Path) -> Result<(File, u64), Error> {
    let source = File::open(path).map_err(|error| file(&error, path))?;
    let metadata = source.metadata().map_err(|error| file(&error, path))?;
    if !metadata.is_file() {
        return Err(Error::with(ErrorCode::FileUnreadable, path.display().to_string()));
    }
    Ok((source, metadata.len()))
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

/// Removes an uploaded blob from the spool, once the store knows that it was uploaded.
pub(crate) fn remove_spooled(home: &Home, blob_id: &[u8; 16]) {
    if let Err(error) = std::fs::remove_file(home.spooled(blob_id)) {
        tracing::debug!(%error, "an uploaded file stays in the spool");
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_keeps_what_a_message_names_or_is_about_to_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path());
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
    }
}
