//! What acts on a message: reactions, edits, deletions and answers (R-CONTENT-20 to R-CONTENT-27, R-ENGINE-100 to R-ENGINE-104).

mod waiting;

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_identity::{MemberId, is_plain};
use chancery_wire::Timestamp;
use chancery_wire::proto::content::Body;
use chancery_wire::proto::message_act::Act;
use chancery_wire::proto::{
    AnswerRecord, Content, Deletion, Edit, FormAnswer, MessageAct, MessageRecord, MessageRef, Reaction,
    ReactionRecord,
};
use chancery_wire::records::{Overlay, Records};

use crate::content::{self, MAX_TEXT};
use crate::effect::{Effect, Notice};
use crate::engine::Acting;
use crate::error::EngineError;
use crate::messages::{self, MessageState, message, save_message};
use crate::queue::Queue;
use crate::retention::Limits;
use crate::tables::{OWN_ACTS, key, load, save};
use crate::target::MAX_WAIT;
use crate::{conversations, ending, files, form, group, heal, sending};

/// Bytes of a reaction: 32 of UTF-8, more than the longest of the usual emoji takes.
pub const MAX_EMOJI: usize = 32;
/// Emoji of one member on one message, those taken back included: 16, the newest.
pub const MAX_REACTIONS_OF_MEMBER: usize = 16;
/// Reactions on one message, those taken back included: 512, the newest. The whole record stays a few dozen KiB.
pub const MAX_REACTIONS: usize = 512;
/// Answers to one form: 256, the newest. Half a mebibyte at most.
pub const MAX_ANSWERS: usize = 256;

/// What has changed about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum ChangeKind {
    /// Its author has given it another text.
    Edited = 1,
    /// Its author has deleted it; what is left says only that it was there.
    Deleted = 2,
    /// Somebody has reacted to it, or has taken that back.
    Reacted = 3,
    /// Somebody has answered its form.
    Answered = 4,
}

impl ChangeKind {
    pub(crate) const fn from_stored(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Edited,
            2 => Self::Deleted,
            3 => Self::Reacted,
            4 => Self::Answered,
            _ => return None,
        })
    }
}

/// Something to do to a message of a conversation or group.
#[derive(Debug)]
pub struct ActDraft {
    /// A fresh random identifier, of what is sent for it.
    pub message_id: [u8; 16],
    /// What to do, and to which message.
    pub act: Act,
}

/// An act as it came, with who did it and where.
pub(crate) struct Heard {
    from: MemberId,
    id: Vec<u8>,
    sent_at: u64,
    conversation: Vec<u8>,
    act: MessageAct,
}

impl Heard {
    fn target(&self) -> Option<&MessageRef> {
        self.act.act.as_ref().and_then(target_of)
    }

    /// Whether it is only for its author to do, and somebody else does it (R-CONTENT-22, R-CONTENT-23).
    fn is_foreign(&self) -> bool {
        let is_by = |target: Option<&MessageRef>| target.is_some_and(|it| it.author == self.from.as_bytes());
        match &self.act.act {
            Some(Act::Edit(edit)) => !is_by(edit.target.as_ref()),
            Some(Act::Deletion(deletion)) => !is_by(deletion.target.as_ref()),
            _ => false,
        }
    }
}

const fn target_of(act: &Act) -> Option<&MessageRef> {
    match act {
        Act::Reaction(it) => it.target.as_ref(),
        Act::Edit(it) => it.target.as_ref(),
        Act::Deletion(it) => it.target.as_ref(),
        Act::Answer(it) => it.target.as_ref(),
    }
}

/// Whether a content acts on a message.
pub(crate) const fn is_one(content: &Content) -> bool {
    matches!(content.body, Some(Body::Reaction(_) | Body::Edit(_) | Body::Deletion(_) | Body::Answer(_)))
}

/// Whether a content deletes a message of its own author's, which also those may do who may write no more (R-CONTENT-24).
pub(crate) fn is_own_deletion(content: &Content, author: &MemberId) -> bool {
    let target = match &content.body {
        Some(Body::Deletion(deletion)) => deletion.target.as_ref(),
        _ => None,
    };
    target.is_some_and(|target| target.author == author.as_bytes())
}

/// Returns the body that says what an own act does.
pub(crate) fn body(act: &MessageAct) -> Option<Body> {
    Some(match act.act.clone()? {
        Act::Reaction(it) => Body::Reaction(it),
        Act::Edit(it) => Body::Edit(it),
        Act::Deletion(it) => Body::Deletion(it),
        Act::Answer(it) => Body::Answer(it),
    })
}

/// Returns what is sent in the place of a message that was deleted (R-CONTENT-23).
pub(crate) fn in_place_of(deleted: &MessageRecord) -> Body {
    Body::Deletion(Deletion { target: Some(reference(deleted)) })
}

pub(crate) fn reference(record: &MessageRecord) -> MessageRef {
    MessageRef { author: record.from.clone(), id: record.id.clone() }
}

/// Reads what a content does to a message; `None` for one that breaks the format, which is then undecryptable (R-CONTENT-20).
pub(crate) fn read(
    content: Content,
    (from, own): (&MemberId, &MemberId),
    group: Option<&[u8; 16]>,
) -> Option<Heard> {
    let conversation = match (content.conversation.as_slice(), group) {
        ([], Some(group)) => group.to_vec(),
        ([], None) => from.as_bytes().to_vec(),
        (id, None) if from == own => MemberId::from_bytes(id)?.as_bytes().to_vec(),
        _ => return None,
    };
    let act = match content.body? {
        Body::Reaction(it) => Act::Reaction(it),
        Body::Edit(mut it) => {
            it.mentions = content::clean_mentions(&it.text, it.mentions);
            Act::Edit(it)
        }
        Body::Deletion(it) => Act::Deletion(it),
        Body::Answer(it) => Act::Answer(it),
        _ => return None,
    };
    let is_sound = content.id.len() == 16 && is_sound(&act);
    is_sound.then_some(Heard {
        from: *from,
        id: content.id,
        sent_at: content.sent_at,
        conversation,
        act: MessageAct { act: Some(act) },
    })
}

/// Whether an act keeps the limits that hold without its target.
fn is_sound(act: &Act) -> bool {
    let is_target = |target: &MessageRef| target.author.len() == 16 && target.id.len() == 16;
    target_of(act).is_some_and(is_target)
        && match act {
            Act::Reaction(it) => (1..=MAX_EMOJI).contains(&it.emoji.len()) && is_plain(&it.emoji),
            Act::Edit(it) => it.text.len() <= MAX_TEXT,
            Act::Deletion(_) => true,
            Act::Answer(it) => form::may_be_values(&it.values),
        }
}

/// Does what an act says, or keeps it until its target is here.
pub(crate) fn receive(
    records: &mut Overlay<'_>,
    heard: &Heard,
    now: Timestamp,
) -> Result<Vec<Effect>, EngineError> {
    let Some(target) = heard.target().filter(|_| !heard.is_foreign()) else { return Ok(Vec::new()) };
    let author = MemberId::from_bytes(&target.author).ok_or(EngineError::DamagedRecord)?;
    let Some(mut record) = message(records, &author, &target.id)? else {
        waiting::keep(records, heard, now)?;
        return Ok(Vec::new());
    };
    let Some(kind) = apply(records, &mut record, heard)? else { return Ok(Vec::new()) };
    save_message(records, &record);
    let number = messages::append_changed(records, &record, (&heard.from, kind))?;
    Ok(number.map(|number| Effect::Notify(Notice::EventStored(number))).into_iter().collect())
}

/// A message has come: what has waited for it is done to it.
pub(crate) fn arrived(records: &mut Overlay<'_>, new: &MessageRecord) -> Result<(), EngineError> {
    if new.act.is_some() {
        return Ok(());
    }
    let waiting = waiting::take(records, &reference(new))?;
    let mut record = new.clone();
    for (from, it) in &waiting {
        let heard = Heard {
            from: MemberId::from_bytes(from).ok_or(EngineError::DamagedRecord)?,
            id: it.id.clone(),
            sent_at: it.sent_at,
            conversation: it.conversation.clone(),
            act: it.act.clone().ok_or(EngineError::DamagedRecord)?,
        };
        apply(records, &mut record, &heard)?;
    }
    if !waiting.is_empty() {
        save_message(records, &record);
    }
    Ok(())
}

/// What its author has signed takes the place of what was sent again (R-CONTENT-17); what was done to that stays.
pub(crate) fn carry(old: &MessageRecord, new: &mut MessageRecord) {
    if old.deleted {
        wipe(new);
        return;
    }
    if !old.edit.is_empty()
        && let (Some(old_text), Some(text)) =
            (&old.text, new.text.as_mut().filter(|text| text.form.is_none()))
    {
        text.text.clone_from(&old_text.text);
        text.mentions.clone_from(&old_text.mentions);
        (new.edited_at, new.edit) = (old.edited_at, old.edit.clone());
    }
    new.reactions.clone_from(&old.reactions);
    // Whoever has sent it again may have put questions there that its author never asked.
    let form = new.text.as_ref().and_then(|text| text.form.as_ref());
    let answered = |it: &&AnswerRecord| form.is_some_and(|form| form::answers(form, &it.values));
    new.answers = old.answers.iter().filter(answered).cloned().collect();
}

/// Does an act to a message, whatever came before it; `None` if it changes nothing. In whatever order the same acts come, the record is
/// the same in the end (R-CONTENT-21).
fn apply(
    records: &mut Overlay<'_>,
    record: &mut MessageRecord,
    heard: &Heard,
) -> Result<Option<ChangeKind>, EngineError> {
    let is_message = record.act.is_none() && record.done.is_none() && !record.expired;
    if !is_message || record.deleted || heard.is_foreign() || record.conversation != heard.conversation {
        return Ok(None);
    }
    let kind = match &heard.act.act {
        Some(Act::Reaction(it)) => react(record, heard, it).then_some(ChangeKind::Reacted),
        Some(Act::Edit(it)) => edit(record, heard, it).then_some(ChangeKind::Edited),
        Some(Act::Answer(it)) => answer(record, heard, it).then_some(ChangeKind::Answered),
        Some(Act::Deletion(_)) => {
            conversations::gone(records, record)?;
            wipe(record);
            files::forget(records, &heard.from, &record.id)?;
            forget_own(records, record)?;
            Some(ChangeKind::Deleted)
        }
        None => None,
    };
    Ok(kind)
}

fn edit(record: &mut MessageRecord, heard: &Heard, edit: &Edit) -> bool {
    // What was answered must not change under the answers.
    let Some(text) = record.text.as_mut().filter(|text| text.form.is_none()) else { return false };
    if !record.edit.is_empty() && (heard.sent_at, &heard.id) <= (record.edited_at, &record.edit) {
        return false;
    }
    text.text.clone_from(&edit.text);
    text.mentions.clone_from(&edit.mentions);
    (record.edited_at, record.edit) = (heard.sent_at, heard.id.clone());
    true
}

/// Notes the newest that a member says with an emoji. Those taken back stay noted, so that what comes later but was said before is known
/// to be old; beyond the bounds the oldest go, which leaves the same in whatever order they come.
fn react(record: &mut MessageRecord, heard: &Heard, said: &Reaction) -> bool {
    let member = heard.from.as_bytes().as_slice();
    let new = ReactionRecord {
        member_id: member.to_vec(),
        emoji: said.emoji.clone(),
        removed: said.remove,
        sent_at: heard.sent_at,
        id: heard.id.clone(),
    };
    let before = record.reactions.clone();
    let known = record.reactions.iter_mut().find(|it| it.member_id == member && it.emoji == said.emoji);
    match known {
        Some(known) if (known.sent_at, &known.id) >= (new.sent_at, &new.id) => return false,
        Some(known) => *known = new,
        None => record.reactions.push(new),
    }
    let age = |it: &ReactionRecord| (it.sent_at, it.id.clone(), it.member_id.clone());
    record.reactions.sort_by_key(age);
    let of_member = record.reactions.iter().filter(|it| it.member_id == member).count();
    if of_member > MAX_REACTIONS_OF_MEMBER
        && let Some(oldest) = record.reactions.iter().position(|it| it.member_id == member)
    {
        record.reactions.remove(oldest);
    }
    if record.reactions.len() > MAX_REACTIONS {
        record.reactions.remove(0);
    }
    record.reactions != before
}

fn answer(record: &mut MessageRecord, heard: &Heard, given: &FormAnswer) -> bool {
    let form = record.text.as_ref().and_then(|text| text.form.as_ref());
    if !form.is_some_and(|form| form::answers(form, &given.values)) {
        return false;
    }
    let new = AnswerRecord {
        member_id: heard.from.as_bytes().to_vec(),
        sent_at: heard.sent_at,
        id: heard.id.clone(),
        values: given.values.clone(),
    };
    let before = record.answers.len();
    match record.answers.iter_mut().find(|it| it.member_id == new.member_id) {
        Some(known) if (known.sent_at, &known.id) >= (new.sent_at, &new.id) => return false,
        Some(known) => *known = new.clone(),
        None => record.answers.push(new.clone()),
    }
    record.answers.sort_by_key(|it| (it.sent_at, it.id.clone(), it.member_id.clone()));
    if record.answers.len() > MAX_ANSWERS {
        record.answers.remove(0);
    }
    record.answers.len() != before || record.answers.contains(&new)
}

/// A message is about to go without its author's doing: what this device has said of it goes too.
pub(crate) fn message_gone(records: &mut Overlay<'_>, message: &MessageRecord) -> Result<(), EngineError> {
    // Most have neither, and own acts need not be looked through.
    let was_acted_on = !message.edit.is_empty() || !message.answers.is_empty();
    if was_acted_on { forget_own(records, message) } else { Ok(()) }
}

/// Leaves of a message that it was there, who wrote it and when (R-CONTENT-23).
fn wipe(record: &mut MessageRecord) {
    (record.text, record.unknown, record.paths) = (None, Vec::new(), Vec::new());
    (record.edited_at, record.edit) = (0, Vec::new());
    (record.reactions, record.answers) = (Vec::new(), Vec::new());
    (record.deleted, record.unread) = (true, false);
}

const fn own_acts() -> Queue<'static> {
    Queue::new(OWN_ACTS, b"")
}

/// Stores an own act beside the conversations; `false` if its identifier was used before.
pub(crate) fn store_own(records: &mut Overlay<'_>, act: &MessageRecord) -> Result<bool, EngineError> {
    let name = messages::message_key(&act.from, &act.id);
    if records.get(&name)?.is_some() {
        return Ok(false);
    }
    save(records, name, act);
    own_acts().push(records, [act.from.as_slice(), act.id.as_slice()].concat())?;
    Ok(true)
}

fn own_act(records: &dyn Records, number: u64) -> Result<Option<MessageRecord>, EngineError> {
    let Some(reference) = records.get(&own_acts().item_key(number))? else { return Ok(None) };
    load(records, &key(crate::tables::MESSAGE, &[&reference]))
}

/// What this device has said of a message goes with it (R-ENGINE-103): an edit of one that its author has deleted becomes its deletion;
/// another, and an answer, is not sent again.
fn forget_own(records: &mut Overlay<'_>, gone: &MessageRecord) -> Result<(), EngineError> {
    let target = reference(gone);
    let numbers: Vec<u64> = own_acts().numbers(records)?.collect();
    for number in numbers {
        let Some(mut own) = own_act(records, number)? else { continue };
        let Some(act) = own.done.as_mut().and_then(|done| done.act.as_mut()) else { continue };
        if target_of(act) != Some(&target) {
            continue;
        }
        match act {
            Act::Edit(_) if gone.deleted => *act = Act::Deletion(Deletion { target: Some(target.clone()) }),
            Act::Edit(_) | Act::Answer(_) => (own.done, own.expired) = (None, true),
            Act::Reaction(_) | Act::Deletion(_) => continue,
        }
        save_message(records, &own);
    }
    Ok(())
}

/// Forgets what has waited in vain for its target, and own acts that were sent long ago (R-ENGINE-103).
pub(crate) fn upkeep(records: &mut Overlay<'_>, now: Timestamp) -> Result<(), EngineError> {
    waiting::upkeep(records, MAX_WAIT, now)?;
    let numbers: Vec<u64> = own_acts().numbers(records)?.collect();
    for number in numbers {
        if let Some(mut own) = own_act(records, number)? {
            if own.stored_at > now.as_millis() {
                // By a clock that was ahead: its time counts from now on.
                own.stored_at = now.as_millis();
                save_message(records, &own);
            }
            if own.state == MessageState::Queued as u32 && !own.expired {
                continue;
            }
            if Timestamp::from_millis(own.stored_at).after(MAX_WAIT) > now {
                return Ok(());
            }
            records.delete(messages::message_key(&own.from, &own.id));
        }
        own_acts().remove(records, number)?;
    }
    Ok(())
}

/// Forgets what policy lets be kept no longer: what waits, and own acts as if they were messages (R-ENGINE-103).
pub(crate) fn expire(records: &mut Overlay<'_>, limits: Limits, now: Timestamp) -> Result<(), EngineError> {
    if let Some(longest) = limits.longest() {
        waiting::upkeep(records, longest.min(MAX_WAIT), now)?;
    }
    let numbers: Vec<u64> = own_acts().numbers(records)?.collect();
    for number in numbers {
        let Some(own) = own_act(records, number)? else { continue };
        let of_group = own.group.first_chunk().map(|id| group::limits(records, id)).transpose()?;
        let longest = limits.and(of_group.unwrap_or_default()).longest();
        let is_over = longest.is_some_and(|longest| heal::is_over(own.stored_at, longest, now));
        if is_over && own.state != MessageState::Queued as u32 {
            records.delete(messages::message_key(&own.from, &own.id));
            own_acts().remove(records, number)?;
        }
    }
    Ok(())
}

/// Does something to a message here, and sends it to all who have it.
pub(crate) fn act(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    draft: ActDraft,
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let own = me.member_id();
    if !is_sound(&draft.act) {
        return Err(EngineError::InvalidAct);
    }
    let target = target_of(&draft.act).ok_or(EngineError::InvalidAct)?;
    let author = MemberId::from_bytes(&target.author).ok_or(EngineError::InvalidAct)?;
    let target = message(records, &author, &target.id)?;
    let is_one = |it: &MessageRecord| it.act.is_none() && it.done.is_none() && !it.expired && !it.deleted;
    let mut target = target.filter(is_one).ok_or(EngineError::NoMessage)?;
    check(&target, &draft.act)?;
    let heard = Heard {
        from: own,
        id: draft.message_id.to_vec(),
        sent_at: sent_at(&target, &own, &draft.act, now),
        conversation: target.conversation.clone(),
        act: MessageAct { act: Some(draft.act) },
    };
    if heard.is_foreign() {
        return Err(EngineError::NotAuthor);
    }
    let record = MessageRecord {
        id: heard.id.clone(),
        conversation: target.conversation.clone(),
        group: target.group.clone(),
        from: own.as_bytes().to_vec(),
        sent_at: heard.sent_at,
        stored_at: now.as_millis(),
        done: Some(heard.act.clone().into()),
        state: MessageState::Queued as u32,
        ..MessageRecord::default()
    };
    let effects = if let Some(group) = record.group.first_chunk() {
        group::queue_record(records, group, record.clone(), now)?
    } else {
        let to = MemberId::from_bytes(&record.conversation).ok_or(EngineError::DamagedRecord)?;
        sending::dispatch(me.device, records, (record, &to), now, rng)?;
        crate::upkeep::warn(records, now)?
    };
    if apply(records, &mut target, &heard)?.is_some() {
        save_message(records, &target);
    }
    if target.deleted && target.pending > 0 {
        ending::replace_unsealed(records, &target)?;
    }
    Ok(effects)
}

/// Refuses what would be passed over everywhere.
fn check(target: &MessageRecord, act: &Act) -> Result<(), EngineError> {
    match act {
        Act::Edit(edit) => {
            let text = target.text.clone().ok_or(EngineError::NoMessage)?;
            if text.form.is_some() {
                return Err(EngineError::InvalidAct);
            }
            let (words, mentions) = (edit.text.clone(), edit.mentions.clone());
            content::check(&chancery_wire::proto::Text { text: words, mentions, ..text })
        }
        Act::Answer(given) => {
            let form = target.text.as_ref().and_then(|text| text.form.as_ref());
            // What was asked by a message that was sent again only who has sent it says: others may have been asked another thing.
            let fits =
                target.resent.is_empty() && form.is_some_and(|form| form::answers(form, &given.values));
            fits.then_some(()).ok_or(EngineError::InvalidAct)
        }
        Act::Reaction(_) | Act::Deletion(_) => Ok(()),
    }
}

/// Returns the time of an own act: later than what it replaces, whatever the clock says (R-ENGINE-102).
fn sent_at(target: &MessageRecord, own: &MemberId, act: &Act, now: Timestamp) -> u64 {
    let own = own.as_bytes();
    let before = match act {
        Act::Edit(_) if !target.edit.is_empty() => Some(target.edited_at),
        Act::Reaction(_) => {
            target.reactions.iter().filter(|it| it.member_id == own).map(|it| it.sent_at).max()
        }
        Act::Answer(_) => target.answers.iter().find(|it| it.member_id == own).map(|it| it.sent_at),
        _ => None,
    };
    before.map_or(0, |before| before.saturating_add(1)).max(now.as_millis())
}

#[cfg(test)]
mod tests;
