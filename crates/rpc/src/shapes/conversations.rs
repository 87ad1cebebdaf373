//! Conversations and their histories.

use super::events::Happening;

account_parameters! {
    /// A conversation.
    With {
        /// A handle, a member's identifier, or a group's name or identifier.
        with: String,
    }
    /// A place in a conversation with a member, from which to read on.
    History {
        /// A handle or a member's identifier.
        with: String,
        /// The position from which to read: 0, then `next` of the page before.
        #[serde(default)]
        from: u64,
    }
    /// A place in a conversation, from which to read back.
    HistoryBefore {
        /// A handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// Only what stands before this position: `next` of the page that was read last. The newest if it is left out.
        before: Option<u64>,
        /// How many entries, 1 to 256; 50 if it is left out.
        limit: Option<usize>,
    }
    /// How far a conversation was read.
    MarkRead {
        /// A handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The position up to which it was read, as the message or the conversation's `last` has it.
        position: u64,
    }
    /// What was begun.
    SetDraft {
        /// A handle, a member's identifier, or a group's name or identifier.
        with: String,
        /// The text, at most 32 KiB; empty to forget what was kept.
        text: String,
    }
}

words! {
    /// With whom a conversation is.
    ConversationKind {
        /// With a member.
        Direct,
        /// With a group.
        Group,
    }
}

results! {
    /// The conversations.
    Conversations {
        /// The newest first.
        conversations: Vec<Conversation>,
    }
    /// A conversation in a list.
    Conversation {
        /// The other member's identifier, or the group's.
        conversation: String,
        /// With whom it is.
        kind: ConversationKind,
        /// What it is called, for people.
        title: String,
        /// The other member's handle; empty for a group.
        handle: String,
        /// The other member's name, or the group's.
        name: String,
        /// Messages of others that were not marked as read.
        unread: u64,
        /// The newest entry; null if there is none.
        last: Option<LastEntry>,
        /// What was begun and not sent.
        draft: Option<String>,
    }
    /// The newest entry of a conversation.
    LastEntry {
        /// Its position: marked as read up to it, all is read.
        position: u64,
        /// When it was sent.
        at: String,
        /// The identifier of who wrote it.
        from: Option<String>,
        /// The handle of who wrote it.
        handle: Option<String>,
        /// One line of the text, or the names of the files.
        summary: Option<String>,
        /// What happened, if it was no message.
        act: Option<super::events::GroupAct>,
    }
    /// Who can read a conversation.
    Readers {
        /// The other member and the own one, or the members of the group. There is nobody else.
        readers: Vec<Reader>,
    }
    /// Somebody who can read a conversation.
    Reader {
        /// The member's identifier.
        member: String,
        /// The handle; empty for somebody whom the directory does not have.
        handle: String,
        /// The name; empty as the handle is.
        name: String,
        /// `member`, `guest`, `bot` or `guest-bot`.
        kind: String,
        /// The identifiers of the devices for which messages are encrypted.
        devices: Vec<String>,
    }
    /// A part of a history.
    Page {
        /// Messages and acts, oldest first, at most 256.
        entries: Vec<Happening>,
        /// The position from which to read on; null at the end.
        next: Option<u64>,
    }
    /// What is unread.
    Unread {
        /// Messages of others that are not marked as read now.
        unread: u64,
    }
}
