//! Asking for secrets that are missing, and answering (R-GROUP-19, R-ENGINE-78).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{Entry, Group, Keying, Node, Rows as _, Slot};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{
    GroupAsked, GroupHandOut, GroupNeed, GroupNextRecord, GroupSecretRecord, GroupSecretsRecord,
};
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::{control, epochs, follow, hand_out, heard, send, state};
use crate::log;
use crate::tables::{GROUP_NEXT, GROUP_SECRETS, key, load, save};

/// How long a secret may be on its way, in milliseconds: 2 s.
const PATIENCE: u64 = 2_000;
/// Devices that are asked one after the other: 8, with a pause that doubles.
const MAX_ASKS: u32 = 8;
/// After how long others are asked, in milliseconds: 6 h. Once all were, from the beginning: somebody may be back.
const AGAIN: u64 = 6 * 3_600_000;
/// Devices that a keyholder remembers as to be helped on: 64. The oldest is forgotten, and asks again.
const MAX_ASKED: usize = 64;
/// Devices of which it is remembered that they were given a secret: as many as R-GROUP-17 has helpers.
const MAX_ANSWERED: usize = 64;

/// Returns when the first device is asked for a secret that is missing from now on.
pub(crate) fn first(now: Timestamp) -> u64 {
    now.as_millis().saturating_add(PATIENCE)
}

/// Returns when the next device is asked.
pub(crate) fn due(records: &dyn Records, group: &[u8; 16]) -> Result<Option<Timestamp>, EngineError> {
    Ok(follow::next(records, group)?.map(|next| Timestamp::from_millis(next.ask_at)))
}

/// Asks the next device for the secret that is missing, if it is time.
pub(crate) fn ask(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<Effect>, EngineError> {
    let Some(mut next) = follow::next(records, group)? else { return Ok(Vec::new()) };
    // What lies further ahead than a pause can be was fixed by a clock that was wrong.
    if next.ask_at > now.as_millis() && next.ask_at <= now.as_millis().saturating_add(AGAIN) {
        return Ok(Vec::new());
    }
    if next.asks >= MAX_ASKS {
        next.asks = 0;
    }
    let whom = candidate(me, records, group, (&next, now))?;
    let pause = PATIENCE.saturating_mul(1_u64.checked_shl(next.asks).unwrap_or(u64::MAX));
    next.asks = next.asks.saturating_add(1);
    let is_last = next.asks >= MAX_ASKS || whom.is_none();
    next.ask_at = now.as_millis().saturating_add(if is_last { AGAIN } else { pause });
    if whom.is_none() {
        // All were asked: from the beginning.
        (next.asks, next.asked) = (MAX_ASKS, Vec::new());
    }
    if let Some(entry) = whom {
        next.asked.push(entry.device.as_bytes().to_vec());
        let state = state::load(records, group)?.unwrap_or_default();
        let head = rows::head(records, group)?.unwrap_or_default();
        let need = GroupNeed { epoch: state.epoch, transcript: head.transcript, commit: next.hash.clone() };
        let to = (&entry.member, &entry.device);
        control::send(records, to, (group, Control::Need(need)), None, (now, rng))?;
    }
    save(records, key(GROUP_NEXT, &[group]), &next);
    Ok(Vec::new())
}

/// Returns who is asked next: the author, then those who were heard lately, of whom keyholders first; for what only a keyholder can
/// help with, keyholders before all others.
fn candidate(
    me: &Acting<'_>,
    records: &dyn Records,
    group: &[u8; 16],
    (next, now): (&GroupNextRecord, Timestamp),
) -> Result<Option<Entry>, EngineError> {
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let rows = GroupRows::new(records, *group);
    let roster = Group { id: group, head: &head, rows: &rows }.roster()?;
    let commit = follow::head_of(&next.commit).unwrap_or_default();
    let is_kept = commit.keying == Keying::HandOut as u32;
    let mut best: Option<([bool; 3], Entry)> = None;
    for slot in roster.slots() {
        let Some(entry) = roster.get(slot)? else { continue };
        let was_asked = next.asked.iter().any(|asked| asked == entry.device.as_bytes());
        if entry.device == me.device_id()
            || was_asked
            || !log::vouches_for(records, (&entry.member, &entry.device))?
        {
            continue;
        }
        let is_other = u32::from(slot.get()) != commit.author;
        let is_silent = !heard::lately(records, group, &entry.device, now)?;
        let has_no_tree = !roster.keyholders().contains(&slot);
        let (first, then) = if is_kept { (is_silent, has_no_tree) } else { (has_no_tree, is_silent) };
        let rank = [is_other, first, then];
        if best.as_ref().is_none_or(|(before, _)| rank < *before) {
            best = Some((rank, entry));
        }
    }
    Ok(best.map(|(_, entry)| entry))
}

/// Answers a device that lacks a secret: with it, or a keyholder notes that it has to be welcomed.
pub(crate) fn answer(
    turn: &mut Turn<'_, '_>,
    (group, member, device): (&[u8; 16], &MemberId, &DeviceId),
    need: &GroupNeed,
) -> Result<(), EngineError> {
    let Some(mut state) = state::load(turn.records, group)?.filter(state::reads) else { return Ok(()) };
    let Some(head) = rows::head(turn.records, group)? else { return Ok(()) };
    let rows = GroupRows::new(turn.records, *group);
    let Some(slot) = rows.slot_of(device).map_err(|_| EngineError::DamagedRecord)? else { return Ok(()) };
    if !log::vouches_for(turn.records, (member, device))? || need.epoch >= state.epoch {
        return Ok(());
    }
    let entry = rows.entry(slot).map_err(|_| EngineError::DamagedRecord)?;
    let entry = entry.and_then(|bytes| Entry::from_bytes(&bytes)).ok_or(EngineError::DamagedRecord)?;
    let name = key(GROUP_SECRETS, &[group]);
    let mut kept: GroupSecretsRecord = load(turn.records, &name)?.unwrap_or_default();
    let fits = |epoch: u64| need.epoch.checked_add(1) == Some(epoch);
    let found = kept.secrets.iter_mut().find(|it| it.commit == need.commit && fits(it.epoch));
    if let Some(secret) = found {
        // Whoever came with the commit or later was not in the roster before it.
        if entry.added < secret.epoch {
            let is_published = publish(turn, (group, slot), secret)?;
            give(turn, (group, slot, is_published), &entry, secret)?;
            save(turn.records, name, &kept);
        }
        return Ok(());
    }
    if head.keyholders.contains(&head.slot) && !state.asked.iter().any(|it| it.device_id == device.as_bytes())
    {
        if state.asked.len() >= MAX_ASKED {
            state.asked.remove(0);
        }
        let at = turn.now.as_millis();
        state.asked.push(GroupAsked { device_id: device.as_bytes().to_vec(), at });
        state::save(turn.records, group, &state);
        turn.work = true;
    }
    Ok(())
}

/// The node that the envelope of a hand-out is for.
fn node_of(envelope: &[u8]) -> Option<Node> {
    Node::from_bytes(*envelope.get(17..20)?.first_chunk()?)
}

/// Has an envelope with the secret go to all below the node that a slot is below, once for each epoch that this device comes to:
/// whoever asks is seldom the only one. Returns whether there is such an envelope, and it goes.
fn publish(
    turn: &mut Turn<'_, '_>,
    (group, slot): (&[u8; 16], Slot),
    secret: &mut GroupSecretRecord,
) -> Result<bool, EngineError> {
    let found = secret.envelopes.iter().find(|it| node_of(it).is_some_and(|node| node.covers(slot)));
    let Some((node, envelope)) = found.and_then(|it| Some((node_of(it)?, it.clone()))) else {
        return Ok(false);
    };
    if !state::load(turn.records, group)?.is_some_and(|state| send::hands_on(&state)) {
        return Ok(false);
    }
    // Who is further on knows the name of an epoch that is not older, and what the envelope is.
    let is_known = epochs::record(turn.records, group, secret.epoch)?.is_some();
    if is_known && !secret.published.iter().any(|it| *it == node.to_bytes()) {
        secret.published.push(node.to_bytes().to_vec());
        let (first, count) = node.slots();
        send::publish(turn.records, group, envelope, (first.into(), count.into()), turn.rng)?;
        turn.work = true;
    }
    Ok(true)
}

/// Gives a device a secret. The author, who can publish nothing for it, gives it what its helper was to serve: that one may be gone.
fn give(
    turn: &mut Turn<'_, '_>,
    (group, slot, is_published): (&[u8; 16], Slot, bool),
    to: &Entry,
    secret: &mut GroupSecretRecord,
) -> Result<(), EngineError> {
    // Once: whoever asks again has lost it, and has others to ask.
    let was_answered = secret.answered.iter().any(|it| it == to.device.as_bytes());
    if secret.answered.len() >= MAX_ANSWERED || was_answered {
        return Ok(());
    }
    let mut content = GroupHandOut {
        epoch: secret.epoch,
        commit: secret.commit.clone(),
        secret: secret.secret.clone(),
        ..GroupHandOut::default()
    };
    let is_author = secret.author == turn.me.device_id().as_bytes();
    let is_newest = state::load(turn.records, group)?.is_some_and(|state| state.epoch == secret.epoch);
    if is_author
        && is_newest
        && !is_published
        && let Some(range) = hand_out::share_of(turn.records, group, slot)?
        && !secret.shared.contains(&range.first.into())
    {
        secret.shared.push(range.first.into());
        (content.first, content.count) = (range.first.into(), range.count.into());
    }
    secret.answered.push(to.device.as_bytes().to_vec());
    let control = (group, Control::HandOut(content));
    control::send(turn.records, (&to.member, &to.device), control, None, (turn.now, turn.rng))?;
    turn.work = true;
    Ok(())
}

/// An envelope of a hand-out has gone to the set, from this device or another: if it is the one that is kept, it need not go again.
pub(crate) fn published(
    records: &mut Overlay<'_>,
    group: &[u8; 16],
    envelope: &[u8],
) -> Result<(), EngineError> {
    let name = key(GROUP_SECRETS, &[group]);
    let Some(mut kept) = load::<GroupSecretsRecord>(records, &name)? else { return Ok(()) };
    let found = kept.secrets.iter_mut().find(|it| it.envelopes.iter().any(|it| it == envelope));
    if let (Some(secret), Some(node)) = (found, node_of(envelope))
        && !secret.published.iter().any(|it| *it == node.to_bytes())
    {
        secret.published.push(node.to_bytes().to_vec());
        save(records, name, &kept);
    }
    Ok(())
}
