//! What overtakes what in the outbox.

use alloc::collections::BTreeMap;
use alloc::vec;

use chancery_wire::records::RecordKey;

use super::*;

#[test]
fn a_note_overtakes_what_waits_to_be_sealed_and_nothing_else_does_r_engine_3_r_engine_33() {
    let disk: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
    let mut records = Overlay::new(&disk);
    let (device, other) = ([7; 16], [8; 16]);
    let unsealed = outbox_item::Step::Unsealed(vec![1]);
    let sealed = outbox_item::Step::Sealed(SealedStep { envelope: vec![2], ..SealedStep::default() });
    let item = |device: [u8; 16], step: &outbox_item::Step, note| OutboxItem {
        device_id: device.to_vec(),
        step: Some(step.clone()),
        note,
        ..OutboxItem::default()
    };
    // A message that was taken back, and behind it an acknowledgement that was sealed before.
    push(&mut records, &item(device, &unsealed, false)).unwrap();
    push(&mut records, &item(device, &sealed, false)).unwrap();
    push(&mut records, &item(other, &sealed, true)).unwrap();
    let next = next_step(&records, &BTreeSet::new()).unwrap();
    assert!(matches!(&next, Some(Step::Claim { device_id, .. }) if *device_id == device), "{next:?}");
    push(&mut records, &item(device, &sealed, true)).unwrap();
    let next = next_step(&records, &BTreeSet::new()).unwrap();
    assert!(matches!(&next, Some(Step::Deliver { item: 3, .. })), "{next:?}");
}
