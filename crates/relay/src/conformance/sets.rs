//! What every storage must do with sets, slots, held deliveries and credentials of devices that ended.

use alloc::vec;
use alloc::vec::Vec;

use chancery_identity::DeviceId;
use chancery_wire::Timestamp;

use super::{Failure, LATE, law};
use crate::limits::REFERENCE_BYTES;
use crate::set_storage::{HeldDelivery, Room, SetRow, SlotRow};
use crate::storage::{DeliveryId, MailboxId, SetId, SlotId, Storage};

const ROOM: Room = Room { envelopes: 3, bytes: 20 };
const EARLY: Timestamp = Timestamp::from_millis(2_000);

/// Everything is taken back at the end, so that other laws find what they left.
pub(super) fn check(storage: &mut dyn Storage) -> Result<(), Failure> {
    let before = storage.totals()?;
    storage.begin()?;
    multiplied(storage)?;
    storage.rollback();
    storage.begin()?;
    references_end(storage)?;
    storage.rollback();
    storage.begin()?;
    sets(storage)?;
    slots(storage)?;
    storage.rollback();
    storage.begin()?;
    held(storage)?;
    credentials(storage)?;
    storage.rollback();
    law(storage.kept_credential(&device(1))?.is_none(), "a rollback takes a kept credential back")?;
    law(storage.totals()? == before, "a rollback takes sets, slots and held deliveries back")?;
    law(storage.set(&SetId::new([1; 16]))?.is_none(), "a rollback takes a set back")?;
    law(storage.slot(&SlotId::new([1; 16]))?.is_none(), "a rollback takes a slot back")
}

fn mailbox(n: u8) -> MailboxId {
    MailboxId::new([0xB0 | n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId::new(*mailbox(n).as_bytes())
}

/// R-RELAY-78.
fn credentials(storage: &mut dyn Storage) -> Result<(), Failure> {
    law(storage.kept_credential(&device(1))?.is_none(), "an empty storage keeps no credential")?;
    storage.keep_credential(&device(1), b"first", LATE)?;
    storage.keep_credential(&device(2), b"second", EARLY)?;
    let kept = |storage: &dyn Storage| Ok::<_, Failure>([1, 2].map(|n| storage.kept_credential(&device(n))));
    let (first, second) = (Ok(Some(b"first".to_vec())), Ok(Some(b"second".to_vec())));
    law(kept(storage)? == [first.clone(), second], "what is kept of an ended device comes back as it was")?;
    storage.remove_device(&device(1))?;
    storage.expire(EARLY, 9)?;
    law(kept(storage)? == [first, Ok(None)], "until it ends, and not with the device")
}

fn multiplied(storage: &mut dyn Storage) -> Result<(), Failure> {
    let all: Vec<MailboxId> = (1..=6).map(mailbox).collect();
    storage.create_mailbox(&mailbox(1), 7, None)?;
    storage.create_mailbox(&mailbox(2), 0, None)?;
    storage.create_mailbox(&mailbox(3), 0, Some(LATE))?;
    storage.create_mailbox(&mailbox(4), 0, None)?;
    storage.remove_device(&DeviceId::new(*mailbox(5).as_bytes()))?;
    storage.append(&mailbox(4), &[0; 17], LATE)?;
    let before = storage.totals()?;
    let given = storage.multiply(&all, b"both", LATE, ROOM)?;
    law(given == [mailbox(1), mailbox(2)], "devices that exist and have room are given an envelope")?;
    let next = (storage.next_envelope(&mailbox(1), 0)?, storage.next_envelope(&mailbox(2), 0)?);
    let both = b"both".to_vec();
    law(next == (Some((8, both.clone())), Some((1, both))), "each under its own sequence")?;
    law(storage.append(&mailbox(1), b"own", LATE)? == 9, "sequences go on")?;
    let held = storage.mailbox(&mailbox(1))?.map(|held| (held.envelopes, held.bytes));
    law(held == Some((2, 7)), "a mailbox counts all of it")?;
    let bytes = |storage: &dyn Storage| Ok::<u64, Failure>(storage.totals()?.envelope_bytes);
    let two = REFERENCE_BYTES.saturating_mul(2).saturating_add(7);
    law(bytes(storage)? == before.envelope_bytes.saturating_add(two), "the totals count one copy")?;
    storage.remove_envelope(&mailbox(1), 8)?;
    storage.remove_envelope(&mailbox(1), 8)?;
    let one = REFERENCE_BYTES.saturating_add(7);
    law(bytes(storage)? == before.envelope_bytes.saturating_add(one), "a reference is counted out")?;
    law(storage.next_envelope(&mailbox(2), 0)?.is_some(), "the copy stays as long as somebody has it")?;
    storage.remove_envelope(&mailbox(2), 1)?;
    law(bytes(storage)? == before.envelope_bytes.saturating_add(3), "and goes with the last")?;
    let nobody = storage.multiply(&[mailbox(5), mailbox(6)], b"none", LATE, ROOM)?;
    law(nobody.is_empty(), "nobody is given what is for nobody")?;
    law(bytes(storage)? == before.envelope_bytes.saturating_add(3), "and nothing is kept of it")
}

fn references_end(storage: &mut dyn Storage) -> Result<(), Failure> {
    let before = storage.totals()?.envelope_bytes;
    for n in 1..=3 {
        storage.create_mailbox(&mailbox(n), 0, None)?;
    }
    let all = [mailbox(1), mailbox(2), mailbox(3)];
    storage.multiply(&all, b"first", EARLY, ROOM)?;
    storage.multiply(&all, b"second", LATE, ROOM)?;
    storage.remove_device(&DeviceId::new(*mailbox(1).as_bytes()))?;
    storage.expire(EARLY, 2)?;
    let left = storage.next_envelope(&mailbox(2), 0)?.map(|(_, envelope)| envelope);
    law(left == Some(b"second".to_vec()), "references end")?;
    let held = storage.mailbox(&mailbox(3))?.map(|held| (held.envelopes, held.bytes));
    law(held == Some((1, 6)), "and are counted out")?;
    let second = REFERENCE_BYTES.saturating_mul(2).saturating_add(6);
    law(storage.totals()?.envelope_bytes == before.saturating_add(second), "with the copy")?;
    for n in 2..=3 {
        storage.remove_device(&DeviceId::new(*mailbox(n).as_bytes()))?;
    }
    law(storage.totals()?.envelope_bytes == before, "a copy goes with the last device that has it")
}

fn sets(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (one, two) = (SetId::new([1; 16]), SetId::new([2; 16]));
    let before = storage.totals()?;
    let row = |places: &[MailboxId], expires| SetRow { key: [7; 32], mailboxes: places.to_vec(), expires };
    let empty = SetRow::EMPTY;
    let both = row(&[mailbox(1), empty, mailbox(2)], LATE);
    law(storage.set(&one)?.is_none(), "an empty storage has no set")?;
    storage.put_set(&one, &both)?;
    storage.put_set(&two, &row(&[mailbox(2), mailbox(3)], LATE))?;
    law(storage.set(&one)? == Some(both), "a set comes back as it was")?;
    let totals = storage.totals()?;
    let grown = (totals.sets.checked_sub(before.sets), totals.set_places.checked_sub(before.set_places));
    law(grown == (Some(2), Some(5)), "sets and their slots are counted")?;
    let devices = [mailbox(2), mailbox(9)].map(|mailbox| DeviceId::new(*mailbox.as_bytes()));
    storage.empty_places(&devices)?;
    law(storage.set(&one)? == Some(row(&[mailbox(1), empty, empty], LATE)), "a device's place is emptied")?;
    law(storage.set(&two)? == Some(row(&[empty, mailbox(3)], LATE)), "in every set, and no other's")?;
    storage.keep_set(&one, EARLY)?;
    storage.expire(Timestamp::from_millis(1_999), 9)?;
    law(storage.set(&one)?.is_some(), "a set does not end too early")?;
    storage.expire(EARLY, 9)?;
    law(storage.set(&one)?.is_none() && storage.set(&two)?.is_some(), "a set ends")?;
    storage.remove_set(&two)?;
    storage.remove_set(&two)?;
    law(storage.totals()? == before && storage.set(&two)?.is_none(), "and is counted out, once")?;
    storage.put_set(&one, &row(&[], LATE)).map_err(Failure::from)
}

fn slots(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (one, two) = (SlotId::new([1; 16]), SlotId::new([2; 16]));
    let before = storage.totals()?;
    law(storage.slot(&one)?.is_none(), "an empty storage has no slot")?;
    storage.take_slot(&one, &[1; 32], b"first", EARLY)?;
    storage.take_slot(&two, &[2; 32], b"other", LATE)?;
    let first = SlotRow { hash: [1; 32], envelope: Some(b"first".to_vec()) };
    law(storage.slot(&one)? == Some(first), "a slot has what was put into it")?;
    let grown = |storage: &dyn Storage| {
        let totals = storage.totals()?;
        let slots = totals.slots.checked_sub(before.slots);
        Ok::<_, Failure>((slots, totals.slot_bytes.checked_sub(before.slot_bytes)))
    };
    law(grown(storage)? == (Some(2), Some(10)), "slots and their contents are counted")?;
    storage.expire(EARLY, 9)?;
    storage.expire(EARLY, 9)?;
    let gone = SlotRow { hash: [1; 32], envelope: None };
    law(storage.slot(&one)? == Some(gone), "a content ends, and its hash stays")?;
    law(storage.slot(&two)?.is_some_and(|row| row.envelope.is_some()), "no other content does")?;
    law(grown(storage)? == (Some(2), Some(5)), "and is counted out, once")
}

fn held(storage: &mut dyn Storage) -> Result<(), Failure> {
    let (one, two) = (SlotId::new([1; 16]), SlotId::new([2; 16]));
    let delivery = |n: u8, to: u8| HeldDelivery {
        position: 0,
        hash: [n; 32],
        mailbox: mailbox(to),
        delivery: DeliveryId::new([n; 16]),
        envelope: vec![n; n.into()],
    };
    for n in 1..=3 {
        storage.create_mailbox(&mailbox(n), 5, None)?;
    }
    let before = storage.totals()?;
    storage.hold(&one, &delivery(4, 1), LATE)?;
    storage.hold(&two, &delivery(5, 1), LATE)?;
    storage.hold(&one, &delivery(6, 2), EARLY)?;
    storage.hold(&one, &delivery(7, 3), LATE)?;
    let noted = |storage: &dyn Storage, to, n| storage.is_held(&mailbox(to), &DeliveryId::new([n; 16]));
    law(noted(storage, 1, 4)? && !noted(storage, 2, 4)?, "a delivery is held for its mailbox")?;
    let mut found = Vec::new();
    let mut after = 0;
    while let Some(held) = storage.next_held(&one, after)? {
        law(held.position > after, "positions rise")?;
        after = held.position;
        found.push(HeldDelivery { position: 0, ..held });
    }
    law(found == [delivery(4, 1), delivery(6, 2), delivery(7, 3)], "in the order of holding, for one slot")?;
    law(storage.next_envelope(&mailbox(1), 0)?.is_none(), "nobody gets what is held")?;
    let counts = storage.mailbox(&mailbox(1))?.map(|row| (row.last_sequence, row.envelopes, row.bytes));
    law(counts == Some((5, 2, 9)), "its mailbox counts it")?;
    let totals = storage.totals()?;
    let grown = totals.envelope_bytes.checked_sub(before.envelope_bytes);
    law((totals.held, totals.held_bytes, grown) == (4, 22, Some(22)), "and so do the totals")?;
    storage.remove_held(after)?;
    storage.remove_held(after)?;
    law(!noted(storage, 3, 7)?, "what is removed is held no longer")?;
    storage.expire(EARLY, 9)?;
    law(!noted(storage, 2, 6)?, "nor what has ended")?;
    let counts = [2, 3].map(|n| storage.mailbox(&mailbox(n)).map(|row| row.map(|row| row.envelopes)));
    law(counts == [Ok(Some(0)), Ok(Some(0))], "both are counted out")?;
    storage.remove_device(&DeviceId::new(*mailbox(1).as_bytes()))?;
    law(
        !noted(storage, 1, 4)? && storage.next_held(&two, 0)?.is_none(),
        "what is held for a device ends with it",
    )?;
    law(storage.totals()? == before, "everything is counted out")
}
