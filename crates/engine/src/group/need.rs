//! Asking for secrets that are missing, and answering (R-GROUP-19, R-ENGINE-78).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_group::{Entry, Group, Rows as _};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::proto::group_control::Control;
use chancery_wire::proto::{GroupAsked, GroupHandOut, GroupNeed, GroupNextRecord, GroupSecretsRecord};
use chancery_wire::records::{Overlay, Records};

use crate::effect::Effect;
use crate::engine::Acting;
use crate::error::EngineError;
use crate::group::rows::{self, GroupRows};
use crate::group::turn::Turn;
use crate::group::{control, follow, state};
use crate::log;
use crate::tables::{GROUP_NEXT, GROUP_SECRETS, key, load, save};

/// How long a secret may be on its way, in milliseconds: 2 s.
const PATIENCE: u64 = 2_000;
/// Devices that are asked one after the other: 8, with a pause that doubles.
const MAX_ASKS: u32 = 8;
/// After how long they are asked from the beginning, in milliseconds: 6 h. Somebody may be back.
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

/// Asks the next device for the secret that is missing, if it is time: the author, then keyholders, then others.
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
        (next.asks, next.asked) = (0, Vec::new());
    }
    let whom = candidate(me, records, group, &next)?;
    let pause = PATIENCE.saturating_mul(1_u64.checked_shl(next.asks).unwrap_or(u64::MAX));
    next.asks = next.asks.saturating_add(1);
    let is_last = next.asks >= MAX_ASKS || whom.is_none();
    next.ask_at = now.as_millis().saturating_add(if is_last { AGAIN } else { pause });
    if whom.is_none() {
        next.asks = MAX_ASKS;
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

/// Returns who is asked next.
fn candidate(
    me: &Acting<'_>,
    records: &dyn Records,
    group: &[u8; 16],
    next: &GroupNextRecord,
) -> Result<Option<Entry>, EngineError> {
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let rows = GroupRows::new(records, *group);
    let roster = Group { id: group, head: &head, rows: &rows }.roster()?;
    let author = follow::author_of(&next.commit);
    let others = roster.slots().filter(|slot| !roster.keyholders().contains(slot));
    let keyholders = roster.keyholders().iter().copied();
    for slot in author.into_iter().chain(keyholders).chain(others) {
        let Some(entry) = roster.get(slot)? else { continue };
        let was_asked = next.asked.iter().any(|asked| asked == entry.device.as_bytes());
        if entry.device != me.device_id()
            && !was_asked
            && log::vouches_for(records, (&entry.member, &entry.device))?
        {
            return Ok(Some(entry));
        }
    }
    Ok(None)
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
    let is_in = rows.slot_of(device).map_err(|_| EngineError::DamagedRecord)?.is_some();
    if !is_in || !log::vouches_for(turn.records, (member, device))? || need.epoch >= state.epoch {
        return Ok(());
    }
    let name = key(GROUP_SECRETS, &[group]);
    let mut kept: GroupSecretsRecord = load(turn.records, &name)?.unwrap_or_default();
    let fits = |epoch: u64| need.epoch.checked_add(1) == Some(epoch);
    let found = kept.secrets.iter_mut().find(|it| it.commit == need.commit && fits(it.epoch));
    if let Some(secret) = found {
        // Once: whoever asks again has lost it, and has others to ask.
        if secret.answered.len() < MAX_ANSWERED && !secret.answered.iter().any(|it| it == device.as_bytes()) {
            secret.answered.push(device.as_bytes().to_vec());
            let content = GroupHandOut {
                epoch: secret.epoch,
                commit: secret.commit.clone(),
                secret: secret.secret.clone(),
                ..GroupHandOut::default()
            };
            save(turn.records, name, &kept);
            let control = (group, Control::HandOut(content));
            control::send(turn.records, (member, device), control, None, (turn.now, turn.rng))?;
            turn.work = true;
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
