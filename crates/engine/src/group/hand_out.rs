//! Handing on the secret of a commit (R-GROUP-17).

use alloc::vec::Vec;

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_group::{Duty, Entry, Group, GroupError, Node, Roster, Slot, SlotRange, assign, cover, duties};
use chancery_wire::Timestamp;
use chancery_wire::proto::GroupHandOut;
use chancery_wire::proto::group_control::Control;
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::group::rows::{self, GroupRows};
use crate::group::{control, follow, need, send};

/// What a helper serves.
pub(crate) struct Share<'a> {
    /// The hash of the commit, which has been followed.
    pub(crate) commit: [u8; 32],
    /// The epoch that it began.
    pub(crate) epoch: u64,
    /// The first slot, and how many.
    pub(crate) range: (u32, u32),
    /// The commit's secret.
    pub(crate) secret: &'a Secret<32>,
    /// Envelopes with it, which were made before the keys were replaced.
    pub(crate) envelopes: Vec<Vec<u8>>,
}

/// What serving comes to: envelopes for ranges of slots, and devices that get it over sessions.
#[derive(Default)]
struct Served {
    envelopes: Vec<(Vec<u8>, (u32, u32))>,
    devices: Vec<Entry>,
}

/// Serves a range of slots: envelopes by `send::publish`, contents by `control::send`. The rows are those after the commit; if
/// another has come since, nobody is helped by this one's secret but who asks.
pub(crate) fn serve(
    records: &mut Overlay<'_>,
    (group, share): (&[u8; 16], &Share<'_>),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let served = match serving(records, group, share) {
        Err(EngineError::Group(_)) => return Err(EngineError::DamagedRecord),
        served => served?,
    };
    for (envelope, range) in served.envelopes {
        need::published(records, group, &envelope)?;
        send::publish(records, group, envelope, range, rng)?;
    }
    for entry in served.devices {
        let hand_out = GroupHandOut {
            epoch: share.epoch,
            commit: share.commit.to_vec(),
            secret: share.secret.expose().to_vec(),
            ..GroupHandOut::default()
        };
        let control = (group, Control::HandOut(hand_out));
        control::send(records, (&entry.member, &entry.device), control, None, (now, &mut *rng))?;
    }
    Ok(())
}

fn serving(records: &dyn Records, id: &[u8; 16], share: &Share<'_>) -> Result<Served, EngineError> {
    let mut served = Served::default();
    let Some(head) = rows::head(records, id)? else { return Ok(served) };
    if head.epoch != share.epoch {
        return Ok(served);
    }
    let (first, count) = share.range;
    let range = match (u16::try_from(first), u16::try_from(count)) {
        (Ok(first), Ok(count)) => SlotRange { first, count },
        _ => return Ok(served),
    };
    let rows = GroupRows::new(records, *id);
    let group = Group { id, head: &head, rows: &rows };
    let (roster, own) = (group.roster()?, group.slot()?);
    let cover = cover(&rows, roster.dead()).map_err(GroupError::from)?;
    for duty in duties(&rows, roster.dead(), &cover, range, own).map_err(GroupError::from)? {
        match duty {
            Duty::Publish(node) => {
                let (first, count) = node.slots();
                match share.envelopes.iter().find(|it| it.get(17..20) == Some(&node.to_bytes()[..])) {
                    Some(envelope) => served.envelopes.push((envelope.clone(), (first.into(), count.into()))),
                    // The key is another by now.
                    None => served.devices.extend(below(&roster, node, own)?),
                }
            }
            // Whom the commit added has its welcome.
            Duty::Send(slot) => served.devices.extend(roster.get(slot)?.filter(|it| it.added < share.epoch)),
        }
    }
    Ok(served)
}

/// Returns the devices below a node but the own.
fn below(roster: &Roster<'_>, node: Node, own: Slot) -> Result<Vec<Entry>, EngineError> {
    let mut entries = Vec::new();
    for slot in roster.slots().filter(|slot| *slot != own && node.covers(*slot)) {
        entries.extend(roster.get(slot)?);
    }
    Ok(entries)
}

/// Returns the range of slots that the author of the newest commit has given to a helper, and that a slot is in.
pub(crate) fn share_of(
    records: &dyn Records,
    group: &[u8; 16],
    slot: Slot,
) -> Result<Option<SlotRange>, EngineError> {
    let Some(head) = rows::head(records, group)? else { return Ok(None) };
    let rows = GroupRows::new(records, *group);
    let it = Group { id: group, head: &head, rows: &rows };
    let cover = cover(&rows, it.roster()?.dead()).map_err(GroupError::from)?;
    let ranges = assign(&cover, it.slot()?).helpers;
    let is_in = |range: &SlotRange| slot.get().checked_sub(range.first).is_some_and(|at| at < range.count);
    Ok(ranges.into_iter().find(is_in))
}

/// Serves what the author of a commit serves itself, once it has won.
pub(crate) fn serve_own(
    records: &mut Overlay<'_>,
    (group, commit): (&[u8; 16], [u8; 32]),
    now: Timestamp,
    rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    let own = {
        let Some(head) = rows::head(records, group)? else { return Ok(()) };
        let rows = GroupRows::new(records, *group);
        let it = Group { id: group, head: &head, rows: &rows };
        let cover = cover(&rows, it.roster()?.dead()).map_err(GroupError::from)?;
        assign(&cover, it.slot()?).own.map(|range| (head.epoch, range))
    };
    let Some((epoch, range)) = own else { return Ok(()) };
    let Some(kept) = follow::secret_of(records, group, &commit)? else { return Ok(()) };
    let Some(secret) = Secret::from_slice(&kept.secret) else { return Ok(()) };
    let range = (range.first.into(), range.count.into());
    let share = Share { commit, epoch, range, secret: &secret, envelopes: kept.envelopes };
    serve(records, (group, &share), now, rng)
}
