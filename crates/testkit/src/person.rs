//! A person with one device.

use std::collections::BTreeMap;

use chancery_engine::Engine;
use chancery_identity::MemberId;
use chancery_wire::records::{Batch, RecordKey};

/// Names a person of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonId(pub(crate) usize);

/// What is on a device's disk.
pub type Disk = BTreeMap<RecordKey, Vec<u8>>;

pub(crate) struct Person {
    pub(crate) disk: Disk,
    pub(crate) member_id: MemberId,
    pub(crate) undecryptable: usize,
}

impl Person {
    /// Reads the engine from disk, as a process does that has just started.
    pub(crate) fn engine(&self, now: chancery_wire::Timestamp) -> Engine {
        Engine::load(&self.disk, now).expect("the device is enrolled")
    }
}

/// Commits a batch.
pub fn commit(disk: &mut Disk, batch: Batch) {
    for (key, value) in batch.0 {
        match value {
            Some(value) => disk.insert(key, value),
            None => disk.remove(&key),
        };
    }
}
