//! Content of a message: limits, and what is believed of it.

use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::MemberId;
use chancery_wire::proto::{Attachment, Content, Mention, MessageRecord, Text, content::Body};
use chancery_wire::{Limit, Timestamp, decode, encode};

use crate::effect::Draft;
use crate::error::EngineError;
use crate::messages::MessageState;
use crate::{amend, form};

/// Bytes of a text: 32 KiB of UTF-8. Fits the largest bucket together with its attachments.
pub const MAX_TEXT: usize = 32 * 1024;
/// Attachments of a message: 32.
pub const MAX_ATTACHMENTS: usize = 32;
/// Bytes of a preview: 16 KiB, a small picture.
pub const MAX_PREVIEW: usize = 16 * 1024;
/// Bytes of a media type: 127, twice what the registry allows for each half (RFC 6838).
pub const MAX_MEDIA_TYPE: usize = 127;
/// Members named in a text: 64.
pub const MAX_MENTIONS: usize = 64;
/// Characters of the message that a reply quotes: 140.
pub const MAX_QUOTE: usize = 140;
/// Bytes of a text with all that belongs to it, encoded: 48,000. With what a session or group adds it fits the largest bucket, and a content
/// that sends it again to who joins.
pub const MAX_TEXT_ENCODED: usize = 48_000;
/// Bytes of a file name: 255, what file systems take.
pub const MAX_FILE_NAME: usize = 255;

/// Builds the record of a draft for the own history.
pub(crate) fn from_draft(
    draft: &Draft<'_>,
    own: &MemberId,
    written_at: Timestamp,
) -> Result<MessageRecord, EngineError> {
    let text = Text { text: draft.text.into(), attachments: draft.attachments.clone(), ..Text::default() };
    from_text((draft.message_id, draft.to.as_bytes()), text, own, written_at)
}

/// Builds the record of a message for the own history.
pub(crate) fn from_text(
    (id, conversation): ([u8; 16], &[u8; 16]),
    text: Text,
    own: &MemberId,
    written_at: Timestamp,
) -> Result<MessageRecord, EngineError> {
    check(&text)?;
    Ok(MessageRecord {
        id: id.to_vec(),
        conversation: conversation.to_vec(),
        from: own.as_bytes().to_vec(),
        sent_at: written_at.as_millis(),
        stored_at: written_at.as_millis(),
        text: Some(text),
        state: MessageState::Queued as u32,
        ..MessageRecord::default()
    })
}

/// Returns the content of an own message, as it was sent and as it is sent again. A copy for an own device says where it
/// belongs.
pub(crate) fn of_record(record: &MessageRecord, copy: bool) -> Content {
    Content {
        id: record.id.clone(),
        conversation: if copy { record.conversation.clone() } else { Vec::new() },
        sent_at: record.sent_at,
        body: match &record.done {
            Some(act) => amend::body(act),
            None if record.deleted => Some(amend::in_place_of(record)),
            None => record.text.clone().map(Body::Text),
        },
        ..Content::default()
    }
}

/// Refuses what breaks a limit before it is stored.
pub(crate) fn check(text: &Text) -> Result<(), EngineError> {
    let well_formed = text.attachments.iter().all(is_well_formed);
    if text.text.len() > MAX_TEXT || text.attachments.len() > MAX_ATTACHMENTS || !well_formed {
        return Err(EngineError::TooLarge);
    }
    if encode(text).len() > MAX_TEXT_ENCODED {
        return Err(EngineError::TooLarge);
    }
    let mut cleaned = text.clone();
    clean_rest(&mut cleaned);
    if cleaned != *text {
        return Err(EngineError::InvalidAct);
    }
    Ok(())
}

/// Decodes a decrypted content; `None` for one that breaks the format, which is then undecryptable.
pub(crate) fn parse(plaintext: &[u8]) -> Option<Content> {
    Some(decode::<Content>(plaintext, Limit::CONTENT).ok()?.into_unchecked())
}

/// Reads the message of a content; `None` for one that breaks the format, which is then undecryptable.
///
/// Its author is `from`, the member of the session's credential, whatever it says (R-CONTENT-1, R-CONTENT-3).
/// Only the own member's devices may say where it belongs (R-CONTENT-8). Content of a kind that this version
/// does not know is kept, never dropped (R-CONTENT-5).
pub(crate) fn read(
    (content, plaintext): (Content, &[u8]),
    (from, own): (&MemberId, &MemberId),
    now: Timestamp,
) -> Option<MessageRecord> {
    if content.id.len() != 16 {
        return None;
    }
    let is_own = from == own;
    let conversation = match content.conversation.as_slice() {
        [] => *from,
        id if is_own => MemberId::from_bytes(id)?,
        _ => return None,
    };
    let (text, unknown) = match content.body {
        Some(Body::Text(text)) => (Some(clean(text)?), Vec::new()),
        Some(
            Body::Heal(_)
            | Body::LogNote(_)
            | Body::Group(_)
            | Body::Receipt(_)
            | Body::Typing(_)
            | Body::Settings(_),
        ) => return None,
        // They are no messages: [`amend::read`].
        Some(Body::Reaction(_) | Body::Edit(_) | Body::Deletion(_) | Body::Answer(_)) => return None,
        None => (None, plaintext.to_vec()),
    };
    let state = if is_own { MessageState::Sent } else { MessageState::Received };
    Some(MessageRecord {
        id: content.id,
        conversation: conversation.as_bytes().to_vec(),
        from: from.as_bytes().to_vec(),
        sent_at: content.sent_at,
        stored_at: now.as_millis(),
        text,
        unknown,
        state: state as u32,
        ..MessageRecord::default()
    })
}

/// Refuses what breaks a limit (R-CONTENT-2).
pub(crate) fn clean(mut text: Text) -> Option<Text> {
    if text.text.len() > MAX_TEXT || text.attachments.len() > MAX_ATTACHMENTS {
        return None;
    }
    for file in &mut text.attachments {
        if file.blob_id.len() != 16 || file.key.len() != 32 {
            return None;
        }
        file.name = safe_name(&file.name);
    }
    clean_rest(&mut text);
    Some(text)
}

/// Leaves out what breaks a rule and is not the text or a file: these stay (R-CONTENT-18, R-CONTENT-19, R-CONTENT-25).
fn clean_rest(text: &mut Text) {
    for file in &mut text.attachments {
        if file.media_type.len() > MAX_MEDIA_TYPE || !file.media_type.bytes().all(|it| it.is_ascii_graphic())
        {
            file.media_type.clear();
        }
        if file.preview.len() > MAX_PREVIEW {
            file.preview.clear();
        }
    }
    text.reply_to = text.reply_to.take().filter(|reply| {
        let target = reply.target.as_ref();
        target.is_some_and(|target| target.author.len() == 16 && target.id.len() == 16)
    });
    if let Some(reply) = &mut text.reply_to
        && let Some((end, _)) = reply.quote.char_indices().nth(MAX_QUOTE)
    {
        reply.quote.truncate(end);
    }
    text.mentions = clean_mentions(&text.text, core::mem::take(&mut text.mentions));
    text.form = text.form.take().filter(form::is_sound);
}

/// Leaves the mentions that name a part of the text, of whole characters and behind the one before (R-CONTENT-19).
pub(crate) fn clean_mentions(text: &str, mentions: Vec<Mention>) -> Vec<Mention> {
    let mut end = 0;
    let mut sound = |it: &Mention| {
        let start = usize::try_from(it.start).unwrap_or(usize::MAX);
        let stop = start.saturating_add(usize::try_from(it.length).unwrap_or(usize::MAX));
        let fits =
            it.member_id.len() == 16 && start >= end && stop > start && text.get(start..stop).is_some();
        end = if fits { stop } else { end };
        fits
    };
    mentions.into_iter().filter(|it| sound(it)).take(MAX_MENTIONS).collect()
}

/// Makes a sender's file name a name and nothing else: no path, no control characters, not hidden, not empty
/// (R-CONTENT-4).
#[must_use]
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut safe: String = last
        .chars()
        .filter(|c| !c.is_control() && !is_direction_override(*c))
        .map(|c| if matches!(c, ':' | '*' | '?' | '"' | '<' | '>' | '|') { '_' } else { c })
        .collect();
    while safe.len() > MAX_FILE_NAME {
        safe.pop();
    }
    // Both from the start in any order: a dot behind a space hides a file as well as a dot alone.
    let trimmed = safe.trim_end_matches(' ').trim_start_matches([' ', '.']);
    if trimmed.is_empty() { "file".into() } else { trimmed.into() }
}

/// Characters that make a name read differently from what it is (`gpj.exe`).
const fn is_direction_override(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns the length that a file of `len` bytes is padded to (Padmé: at most 12% more, and only
/// O(log log len) bits of the length shown), at least 1,024 (R-CONTENT-6).
#[must_use]
pub fn padded_len(len: u64) -> u64 {
    let len = len.max(1024);
    let exponent = u64::from(len.ilog2());
    let kept = u64::from(exponent.ilog2()).saturating_add(1);
    let mask = 1_u64.checked_shl(u32::try_from(exponent.saturating_sub(kept)).unwrap_or(0)).unwrap_or(1);
    len.checked_next_multiple_of(mask).unwrap_or(len)
}

/// Whether an attachment's fields have the lengths that the format demands.
#[must_use]
fn is_well_formed(file: &Attachment) -> bool {
    file.blob_id.len() == 16 && file.key.len() == 32 && file.name.len() <= MAX_FILE_NAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use chancery_wire::encode;

    #[test]
    fn a_file_name_cannot_leave_its_folder_r_content_4() {
        for (sent, kept) in [
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\system.ini", "system.ini"),
            ("..", "file"),
            ("/", "file"),
            ("", "file"),
            (".bashrc", "bashrc"),
            (" . .bashrc ", "bashrc"),
            (". ", "file"),
            ("a\u{202E}gpj.exe", "agpj.exe"),
            ("report\n.txt", "report.txt"),
        ] {
            assert_eq!(safe_name(sent), kept, "{sent:?}");
        }
        assert!(safe_name(&"é".repeat(300)).len() <= MAX_FILE_NAME);
    }

    #[test]
    fn padding_is_bounded_and_rises_r_content_6() {
        let mut last = 0;
        for len in (0..5_000).chain([1 << 20, (1 << 20) + 1, 300 << 20, u64::MAX / 2]) {
            let padded = padded_len(len);
            assert!(padded >= len && padded >= last, "{len}");
            assert!(len < 1024 || (padded - len) <= len / 8, "{len} {padded}");
            last = padded;
        }
    }

    #[test]
    fn content_of_a_later_version_is_kept_r_content_5() {
        let (from, own) = (MemberId::new([1; 16]), MemberId::new([7; 16]));
        let read =
            |plaintext: &[u8]| read((parse(plaintext)?, plaintext), (&from, &own), Timestamp::from_millis(4));
        let plaintext = encode(&Content { id: [2; 16].into(), sent_at: 3, ..Default::default() });
        let record = read(&plaintext).unwrap();
        assert_eq!(record.unknown, plaintext);
        assert!(read(b"\xFF\xFF").is_none());
        let short = encode(&Content { id: "short".to_string().into_bytes(), ..Default::default() });
        assert!(read(&short).is_none());
    }

    #[test]
    fn only_the_own_member_says_where_a_message_belongs_r_content_8() {
        let (own, bob, carol) = (MemberId::new([1; 16]), MemberId::new([2; 16]), MemberId::new([3; 16]));
        let content = Content {
            id: [9; 16].into(),
            conversation: carol.as_bytes().to_vec(),
            body: Some(Body::Text(Text::default())),
            ..Default::default()
        };
        let read = |content: &Content, from| read((content.clone(), &[]), (from, &own), Timestamp::default());
        let copy = read(&content, &own).unwrap();
        assert_eq!((copy.conversation.as_slice(), copy.from.as_slice()), (&[3; 16][..], &[1; 16][..]));
        assert_eq!(copy.state, MessageState::Sent as u32);
        assert!(read(&content, &bob).is_none());
        assert!(read(&Content { conversation: [1; 3].into(), ..content }, &own).is_none());
    }
}
