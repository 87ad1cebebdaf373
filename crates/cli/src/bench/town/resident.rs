//! A device with a whole engine on a store of its own, whose work is measured.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use chancery::Error;
use chancery_crypto::secret::Secret;
use chancery_engine::{
    Effect, Engine, GroupInput, GroupStep, Input, Step, directory_cursor, group_summary, log_size, next_step,
};
use chancery_identity::DeviceId;
use chancery_store::{KeySource, Store};
use chancery_wire::Unverified;
use chancery_wire::records::{Batch, RecordKey};

use super::{Memory, Town, failed};
use crate::process::Failure;

/// Tables in which the engine keeps what belongs to groups.
const GROUP_TABLES: std::ops::RangeInclusive<u16> = 0x01A0..=0x01BF;
/// Those of them that hold who is in a group and nothing secret: entries, their hashes, who has which slot, credentials.
const ROSTER_TABLES: [u16; 5] = [0x01A1, 0x01A2, 0x01A4, 0x01A5, 0x01AC];
/// Steps after which a device is believed to go round in circles.
const STEPS: usize = 200_000;

/// Time that a device has worked, commits to its disk included.
pub(in crate::bench) type Spent = Duration;

/// The device.
pub(in crate::bench) struct Resident {
    store: Store,
    engine: Engine,
    pub(in crate::bench) device: [u8; 16],
    /// Bytes of each record of groups.
    sizes: BTreeMap<RecordKey, usize>,
    pub(in crate::bench) spent: Spent,
}

impl Resident {
    /// Moves what an enrolment has made into a store in `folder`.
    pub(in crate::bench) fn settle(town: &mut Town, disk: Memory, folder: &Path) -> Result<Self, Failure> {
        let key = KeySource::KeyFile(Secret::random(town.rng.as_mut()));
        let mut store = Store::create(folder.join("store.db"), &key, town.rng.as_mut()).map_err(failed)?;
        let batch = Batch(disk.into_iter().map(|(key, value)| (key, Some(value))).collect());
        store.transaction(|_| Ok::<_, Error>((batch, ()))).map_err(failed)?;
        let now = town.now;
        let engine = store.read(|records| Engine::load(records, now).map_err(Error::from)).map_err(failed)?;
        let device = *engine.device().device_id().as_bytes();
        town.post.open_mailbox(&device);
        Ok(Self { store, engine, device, sizes: BTreeMap::new(), spent: Duration::ZERO })
    }

    /// Bytes that groups take here: keys and what goes with them, and the roster.
    pub(in crate::bench) fn state_bytes(&self) -> (usize, usize) {
        let is_roster = |key: &RecordKey| ROSTER_TABLES.contains(&key.table.0);
        let roster = self.sizes.iter().filter(|(key, _)| is_roster(key)).map(|(_, size)| size).sum();
        (self.sizes.values().sum::<usize>().saturating_sub(roster), roster)
    }

    pub(in crate::bench) fn handle(
        &mut self,
        town: &mut Town,
        input: Input<'_>,
    ) -> Result<Vec<Effect>, Failure> {
        let (engine, sizes) = (&mut self.engine, &mut self.sizes);
        let mut noting = Duration::ZERO;
        let begun = Instant::now();
        let effects = self.store.transaction(|records| {
            engine.refresh(records)?;
            let outcome = engine.handle(records, input, town.now, town.rng.as_mut())?;
            let note = Instant::now();
            for (key, value) in &outcome.batch.0 {
                if GROUP_TABLES.contains(&key.table.0) {
                    match value {
                        Some(value) => {
                            let size = key.name.len().saturating_add(value.len());
                            sizes.insert(key.clone(), size)
                        }
                        None => sizes.remove(key),
                    };
                }
            }
            noting = note.elapsed();
            Ok::<_, Error>((outcome.batch, outcome.effects))
        });
        self.spent = self.spent.saturating_add(begun.elapsed().saturating_sub(noting));
        effects.map_err(failed)
    }

    fn group(&mut self, town: &mut Town, input: GroupInput<'_>) -> Result<(), Failure> {
        self.handle(town, Input::Group(input)).map(drop)
    }

    /// Devices in a group as this one has it; 0 if it is not in it.
    pub(in crate::bench) fn devices_in(&mut self, group: &[u8; 16]) -> Result<u32, Failure> {
        let summary = self.store.read(|records| group_summary(records, group).map_err(Error::from));
        Ok(summary.map_err(failed)?.map_or(0, |summary| summary.devices))
    }

    /// Brings log and directory up to date.
    pub(in crate::bench) fn learn(&mut self, town: &mut Town) -> Result<(), Failure> {
        loop {
            let from = self.store.read(|records| log_size(records).map_err(Error::from)).map_err(failed)?;
            let page = town.log_page(from);
            self.handle(town, Input::Log { from, page: &page })?;
            let size = self.store.read(|records| log_size(records).map_err(Error::from)).map_err(failed)?;
            if size != from.saturating_add(page.entries.len() as u64) {
                return Err(failed("a device does not believe the log"));
            }
            if !page.more {
                break;
            }
        }
        loop {
            let after =
                self.store.read(|records| directory_cursor(records).map_err(Error::from)).map_err(failed)?;
            let page = town.directory_page(after);
            if page.changes.is_empty() {
                return Ok(());
            }
            self.handle(town, Input::Directory(&page))?;
        }
    }

    /// Takes over what waits in the mailbox; returns whether there was something.
    pub(in crate::bench) fn read_mail(&mut self, town: &mut Town) -> Result<bool, Failure> {
        let mail = town.post.mail.get_mut(self.device.as_slice()).map(std::mem::take).unwrap_or_default();
        for (sequence, envelope) in (1..).zip(&mail) {
            self.handle(town, Input::Received { sequence, envelope })?;
        }
        Ok(!mail.is_empty())
    }

    /// Does all that there is to do, for single devices first.
    pub(in crate::bench) fn work(&mut self, town: &mut Town) -> Result<(), Failure> {
        let mut blocked = BTreeSet::new();
        for _ in 0..STEPS {
            let step = self.store.read(|records| next_step(records, &blocked).map_err(Error::from));
            if let Some(step) = step.map_err(failed)? {
                self.step(town, step)?;
                continue;
            }
            let (engine, now) = (&self.engine, town.now);
            let step = self
                .store
                .read(|records| engine.next_group_step(records, now, &blocked).map_err(Error::from));
            let Some(step) = step.map_err(failed)? else { return Ok(()) };
            let target = step.target();
            if !self.group_step(town, step)? {
                blocked.insert(target);
            }
        }
        Err(failed("a device finds no end"))
    }

    fn step(&mut self, town: &mut Town, step: Step) -> Result<(), Failure> {
        match step {
            Step::Claim { item, device_id } => {
                let found = town.citizen(&DeviceId::new(device_id));
                let input = match found {
                    Some(citizen) => {
                        Input::Bundle { item, bundle: Box::new(Unverified::new(citizen.bundle.clone())) }
                    }
                    None => Input::Failed { item },
                };
                self.handle(town, input).map(drop)
            }
            Step::Seal { item, .. } => self.handle(town, Input::Seal { item }).map(drop),
            Step::Deliver { item, deliver } => {
                town.post.deliver(deliver);
                self.handle(town, Input::Done { item }).map(drop)
            }
            Step::Hold { item, hold } => {
                town.post.hold(hold);
                self.handle(town, Input::Done { item }).map(drop)
            }
            step => self.handle(town, Input::Done { item: step.item() }).map(drop),
        }
    }

    /// Returns whether the step could be done.
    fn group_step(&mut self, town: &mut Town, step: GroupStep) -> Result<bool, Failure> {
        match step {
            GroupStep::Fetch { group_id, attempt, frame } => {
                let content = town.post.slot(&frame.slot);
                let content = content.as_ref();
                self.group(town, GroupInput::SlotFetched { group_id, attempt, content })?;
            }
            GroupStep::Credential { device, .. } => {
                let credential = town.citizen(&device).map(|it| it.credential.clone());
                self.group(town, GroupInput::CredentialFetched { device, credential })?;
            }
            GroupStep::FetchFile { file, .. } => {
                let Ok(blob_id) = file.blob_id.as_slice().try_into() else { return Ok(false) };
                let content = town.post.files.get(&file.blob_id).cloned();
                let content = content.as_deref();
                self.group(town, GroupInput::FileFetched { blob_id, content })?;
            }
            GroupStep::StoreFile { group_id, file, content } => {
                let Ok(blob_id) = file.blob_id.as_slice().try_into() else { return Ok(false) };
                town.post.store(file.blob_id, content.expose().to_vec());
                self.group(town, GroupInput::FileStored { group_id, blob_id })?;
            }
            GroupStep::CreateSet { group_id, frame } => {
                town.post.create_set(frame);
                self.group(town, GroupInput::SetCreated { group_id })?;
            }
            GroupStep::PutSlot { group_id, attempt, frame } => match town.post.put_slot(frame) {
                None => self.group(town, GroupInput::SetUnknown { group_id })?,
                Some(taken) => {
                    let taken = taken.as_ref();
                    self.group(town, GroupInput::SlotAnswer { group_id, attempt, taken })?;
                }
            },
            GroupStep::FanOut { group_id, item, frame } => match town.post.fan_out(frame) {
                true => self.group(town, GroupInput::Sent { group_id, item })?,
                false => self.group(town, GroupInput::SetUnknown { group_id })?,
            },
            GroupStep::Commit { group_id } => self.group(town, GroupInput::Commit { group_id })?,
            GroupStep::Seal { group_id, item } => self.group(town, GroupInput::Seal { group_id, item })?,
            GroupStep::Care { group_id } => self.group(town, GroupInput::Care { group_id })?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
