//! What is given to be sent.

use std::path::PathBuf;
use std::sync::Arc;

use chancery_crypto::secret::SecretBytes;

use super::{Form, Mention, MessageRef};

/// A message to send with all that one may have. What is not said is left out.
#[derive(Clone, Default)]
pub struct Outgoing {
    /// The text: at most 32 KiB.
    pub text: String,
    /// Files: at most 32.
    pub files: Vec<OutgoingFile>,
    /// The message that it replies to: one of the same conversation.
    pub reply_to: Option<MessageRef>,
    /// Whom the text names: at most 64, in the order of the text.
    pub mentions: Vec<Mention>,
    /// Questions to who reads it.
    pub form: Option<Form>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").field("reply_to", &self.reply_to).finish_non_exhaustive()
    }
}

/// A file to send.
#[derive(Clone, Default)]
pub struct OutgoingFile {
    /// Where it is; not looked at if `content` is given.
    pub path: PathBuf,
    /// What it is called at whoever gets it; by default as its path ends. What may be in no file name is left out or becomes `_`.
    pub name: Option<String>,
    /// What is in it, for what is on no disk: it is encrypted from memory, and wiped there with the last clone of this.
    pub content: Option<Arc<SecretBytes>>,
    /// What it is (RFC 6838); by default what its name says.
    pub media_type: Option<String>,
    /// A small picture of it: at most 16 KiB; none if empty.
    pub preview: Vec<u8>,
}

impl OutgoingFile {
    /// A file on a disk, under its own name.
    #[must_use]
    pub fn from_path(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }

    /// A file of these bytes and this name, without one on a disk: a picture from the clipboard, a voice message, a report.
    /// ```
    /// # use chancery_dev::{PATIENCE, two_people};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), chancery_dev::Error> {
    /// # let (acme, alice, bob) = two_people().await?;
    /// # let picture = vec![0x89, b'P', b'N', b'G'];
    /// use chancery::{Outgoing, OutgoingFile};
    ///
    /// let files = vec![OutgoingFile::from_bytes("sketch.png", picture)];
    /// alice.send_message("bob", Outgoing { files, ..Outgoing::default() }, PATIENCE).await?;
    ///
    /// bob.sync(PATIENCE).await?;
    /// let message = bob.find_message("alice", "last").await?;
    /// let file = &message.files[0];
    /// println!("{} ({}), {} bytes", file.name, file.media_type, file.size);
    /// let shown = bob.read_attachment(&message, 0, 10_000_000).await?; // on no disk, and wiped when it is dropped
    /// assert_eq!(shown.expose()[1..], *b"PNG");
    /// let saved = bob.save_attachment(&message, 0, acme.folder()).await?; // if policy lets it
    /// assert!(saved.ends_with("sketch.png"));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_bytes(name: impl Into<String>, content: Vec<u8>) -> Self {
        let content = Some(Arc::new(SecretBytes::new(content)));
        Self { name: Some(name.into()), content, ..Self::default() }
    }
}

impl std::fmt::Debug for OutgoingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingFile").field("media_type", &self.media_type).finish_non_exhaustive()
    }
}
