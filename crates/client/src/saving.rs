//! Files of messages: saved on a disk, or read into memory.

use std::path::{Path, PathBuf};

use chancery_crypto::secret::SecretBytes;
use chancery_engine::Input;
use chancery_wire::proto::Attachment;

use crate::attachment::{self, Direction, Download, Source, Teller};
use crate::client::Client;
use crate::error::{Error, ErrorCode};
use crate::message::Message;
use crate::worker::State;

impl Client {
    /// Downloads one file of a message into `folder` under the name that its sender has given it, verifies it and returns its path. If
    /// the name is taken it gets a number. The relay is not asked for an own file that is still to be uploaded.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::AttachmentDamaged`]: nothing was saved, and trying again gives the same.
    /// [`ErrorCode::AttachmentGone`]: the relay keeps it no longer. [`ErrorCode::PolicyForbids`]: the organisation does not
    /// allow it; [`Self::read_attachment`] shows it. [`ErrorCode::MessageUnknown`]: the message is gone, and the file with it.
    /// [`ErrorCode::Usage`]: the message has no file of this index.
    /// [`ErrorCode::DiskFull`] and errors of the connection: try again.
    ///
    /// # Cancellation
    ///
    /// May be dropped at any time: nothing half saved stays, though the whole file may be there without
    /// [`crate::FileInfo::path`] saying so.
    pub async fn save_attachment(
        &self,
        message: &Message,
        index: usize,
        folder: &Path,
    ) -> Result<PathBuf, Error> {
        let download = self.fetch(message, index, folder).await?;
        let place = move || download.place().map(|placed| (placed, Undo::Removes));
        self.place((message, index), place).await
    }

    /// Downloads one file of a message to `path`, which somebody has chosen: what is there is replaced, once all of the new file is
    /// there and verified.
    ///
    /// # Errors
    ///
    /// As [`Self::save_attachment`]; [`ErrorCode::FileUnreadable`]: `path` names no file that could be written.
    ///
    /// # Cancellation
    ///
    /// As [`Self::save_attachment`].
    pub async fn save_attachment_as(
        &self,
        message: &Message,
        index: usize,
        path: &Path,
    ) -> Result<(), Error> {
        let unusable = || Error::with(ErrorCode::FileUnreadable, path.display().to_string());
        let folder = path.parent().filter(|_| path.file_name().is_some()).ok_or_else(unusable)?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let download = self.fetch(message, index, folder).await?;
        let target = path.to_path_buf();
        let place = move || download.place_at(&target).map(|()| (target, Undo::Nothing));
        self.place((message, index), place).await.map(drop)
    }

    /// Reads one file of a message into memory, all of it verified, and writes it nowhere. It is wiped when it is dropped. This is how to
    /// show a picture, and it is allowed though policy lets nothing be saved: then it is for the application to keep it within itself
    /// ([`crate::Policy::may_save_attachments`]).
    ///
    /// # Errors
    ///
    /// [`ErrorCode::MessageTooLarge`]: it has more than `limit` bytes, and nothing was asked of the relay, or more than there is memory.
    /// Otherwise as
    /// [`Self::save_attachment`], but for policy and disk; [`ErrorCode::StoreLocked`]: policy demands that the relay is reached first.
    ///
    /// # Cancellation
    ///
    /// May be dropped at any time: nothing stays.
    pub async fn read_attachment(
        &self,
        message: &Message,
        index: usize,
        limit: u64,
    ) -> Result<SecretBytes, Error> {
        let attachment = attachment_of(message, index)?;
        if attachment.size > limit {
            return Err(Error::with(ErrorCode::MessageTooLarge, format!("more than {limit} bytes")));
        }
        // Whatever policy says of saving, and not while nothing may be shown (R-ENGINE-130).
        self.shared().worker.call(|state: &mut State| state.read_shown(|_| Ok(()))).await?;
        let teller = self.teller((message, index), attachment);
        if let Some(source) = Source::spooled(&self.shared().home, attachment).await? {
            return attachment::download_to_memory(&source, attachment, Some(&teller)).await;
        }
        let (connection, ..) = self.shared().connect().await?;
        attachment::download_to_memory(&Source::Relay(&connection), attachment, Some(&teller)).await
    }

    /// Downloads a file into a folder, without a name yet, if policy lets it be saved.
    async fn fetch(&self, message: &Message, index: usize, folder: &Path) -> Result<Download, Error> {
        let attachment = attachment_of(message, index)?;
        self.shared().worker.call(check_savable).await?;
        let teller = self.teller((message, index), attachment);
        if let Some(source) = Source::spooled(&self.shared().home, attachment).await? {
            return attachment::download(&source, attachment, folder, &teller).await;
        }
        let (connection, ..) = self.shared().connect().await?;
        attachment::download(&Source::Relay(&connection), attachment, folder, &teller).await
    }

    fn teller(&self, (message, index): (&Message, usize), attachment: &Attachment) -> Teller<'_> {
        let file = (attachment.name.clone(), attachment.size);
        Teller::new(&self.shared().progress, (message.reference(), index), Direction::Receiving, file)
    }

    /// Gives a file its name and notes where it is. On the worker, which finishes what it has begun: a caller that gives up gets the
    /// file and its record, or neither. While it was downloaded policy may have changed, or the message gone: then it gets no name.
    async fn place(
        &self,
        (message, index): (&Message, usize),
        place: impl FnOnce() -> Result<(PathBuf, Undo), Error> + Send + 'static,
    ) -> Result<PathBuf, Error> {
        let (from, message_id) = (message.from, message.id);
        let place = move |state: &mut State| {
            check_savable(state)?;
            let stored = state.read(|records| chancery_engine::message(records, &from, &message_id))?;
            let files = stored.and_then(|stored| stored.text).map_or(0, |text| text.attachments.len());
            if index >= files {
                return Err(ErrorCode::MessageUnknown.into());
            }
            let (placed, undo) = place()?;
            let path = placed.to_string_lossy();
            let noted = state.handle(Input::AttachmentSaved { from, message_id, index, path: &path });
            if noted.is_err() && undo == Undo::Removes {
                // Whoever tries again would find the name taken.
                let _ = std::fs::remove_file(&placed);
            }
            noted.map(|_| placed)
        };
        self.shared().worker.call(place).await
    }
}

/// What is done with a file that has its name if that cannot be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// It is removed: nothing else had the name.
    Removes,
    /// It stays, since what had the name is gone already.
    Nothing,
}

/// Fails if policy lets no file be saved, or nothing be shown.
fn check_savable(state: &mut State) -> Result<(), Error> {
    match state.read_shown(chancery_engine::policy)?.may_save_attachments {
        true => Ok(()),
        false => Err(ErrorCode::PolicyForbids.into()),
    }
}

fn attachment_of(message: &Message, index: usize) -> Result<&Attachment, Error> {
    message.attachment(index).ok_or_else(|| Error::with(ErrorCode::Usage, "the message has no such file"))
}
