//! A person's device.

use std::collections::{BTreeMap, VecDeque};

use chancery_engine::{Engine, Notice};
use chancery_identity::{DeviceId, MemberId};
use chancery_wire::Timestamp;
use chancery_wire::records::{Batch, RecordKey};

/// Names a device of a world, and with it the person whose device it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PersonId(pub(crate) usize);

/// What is on a device's disk.
pub type Disk = BTreeMap<RecordKey, Vec<u8>>;

pub(crate) struct Person {
    pub(crate) disk: Disk,
    pub(crate) member_id: MemberId,
    pub(crate) device_id: DeviceId,
    pub(crate) handle: String,
    pub(crate) undecryptable: usize,
    /// Handshakes that this device has sent.
    pub(crate) handshakes: usize,
    /// Bundles that this device has claimed, and when.
    pub(crate) claims: Vec<Timestamp>,
    /// Envelopes that this device has delivered, and when.
    pub(crate) deliveries: Vec<Timestamp>,
    /// What happens to the next envelopes that reach the device.
    pub(crate) fates: VecDeque<Fate>,
    /// What this device was told of.
    pub(crate) notices: Vec<Notice>,
    /// By how many milliseconds its clock is ahead, or behind.
    pub(crate) skew: i64,
    /// The running process, if it is running.
    pub(crate) engine: Option<Engine>,
}

/// What happens to an envelope on its way from the relay to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrive,
    /// It is gone for good.
    Lose,
    /// It arrives with its last bit flipped, and the honest one never.
    Corrupt,
    /// It arrives with a tag that nobody expects, and the honest one never.
    Estrange,
    /// It arrives at a later synchronisation.
    Delay,
    /// It arrives twice.
    Repeat,
}

impl Person {
    /// Returns an enrolled device whose process is not running yet.
    pub(crate) const fn new(disk: Disk, member_id: MemberId, device_id: DeviceId, handle: String) -> Self {
        Self {
            disk,
            member_id,
            device_id,
            handle,
            undecryptable: 0,
            handshakes: 0,
            claims: Vec::new(),
            deliveries: Vec::new(),
            fates: VecDeque::new(),
            notices: Vec::new(),
            skew: 0,
            engine: None,
        }
    }

    /// Starts the process, if it is not running, from what is on the disk.
    pub(crate) fn start(&mut self, now: Timestamp) {
        if self.engine.is_none() {
            self.engine = Some(Engine::load(&self.disk, now).expect("the device is enrolled"));
        }
    }
}

/// Commits a batch.
pub fn commit(disk: &mut Disk, batch: Batch) {
    for (key, value) in batch {
        match value {
            Some(value) => disk.insert(key, value),
            None => disk.remove(&key),
        };
    }
}
