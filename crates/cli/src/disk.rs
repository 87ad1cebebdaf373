//! Copied disks: what somebody who has one can do with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use chancery_crypto::rng::{CryptoRng, random_bytes, seeded};
use chancery_engine::{Draft, Engine, EngineError, Event, Input, Step, events, next_step};
use chancery_identity::{DeviceId, MemberId};
use chancery_store::{Store, StoreError};
use chancery_wire::Timestamp;
use chancery_wire::records::{Overlay, Records};

use crate::process::Failure;

/// The file of a home that everything is in.
const STORE: &str = "store.db";
/// How often all envelopes are tried one after the other: what leads to others may come behind them.
const ROUNDS: usize = 3;
/// Steps that an outbox is asked for before a control is given up: what waited in a home that received everything is little.
const STEPS: usize = 100;

/// Whether there is still a file of a home.
pub(crate) fn is_there(home: &Path) -> bool {
    std::fs::read_dir(home).is_ok_and(|mut entries| entries.next().is_some())
}

/// Copies a home, whose processes must have ended.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::io(from.display(), &error);
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target).map_err(failed)?;
        }
    }
    Ok(())
}

/// Returns the texts of all messages that a device with this home, which has shown all that it had, reads in the envelopes. Each
/// is tried by itself, and then all of them several times with what the others gave: a group's commits lead to its messages.
/// Nothing is written.
pub(crate) fn readable(home: &Path, key: &Path, envelopes: &[Vec<u8>]) -> Result<Vec<String>, Failure> {
    look(home, key, |engine, records, rng| {
        let mut texts = BTreeMap::new();
        for (sequence, envelope) in (1..).zip(envelopes) {
            let input = Input::Received { sequence, envelope };
            // What the engine refuses is not read.
            let Ok(outcome) = engine.handle(records, input, now(), rng) else { continue };
            let mut alone = Overlay::new(records);
            alone.absorb(outcome.batch);
            note_texts(&alone, &mut texts)?;
        }
        let mut together = Overlay::new(records);
        let rounds = std::iter::repeat_n(envelopes, ROUNDS).flatten();
        for (sequence, envelope) in (1..).zip(rounds) {
            let input = Input::Received { sequence, envelope };
            if let Ok(outcome) = engine.handle(&together, input, now(), rng) {
                together.absorb(outcome.batch);
            }
        }
        note_texts(&together, &mut texts)?;
        Ok(texts.into_values().collect())
    })
}

/// Notes what a device would show next, by who wrote it and its identifier.
fn note_texts(
    records: &dyn Records,
    texts: &mut BTreeMap<(Vec<u8>, Vec<u8>), String>,
) -> Result<(), EngineError> {
    for (_, event) in events(records, usize::MAX)? {
        if let Event::Message(record) = event
            && record.act.is_none()
        {
            texts.insert((record.from, record.id), record.text.map(|text| text.text).unwrap_or_default());
        }
    }
    Ok(())
}

/// Returns the envelope with which the device with this home would send a message to another, by what the home knows; nothing
/// is written, and no relay asked. `None` if it has no session with that device.
pub(crate) fn seal(
    home: &Path,
    key: &Path,
    (member, device): (MemberId, DeviceId),
) -> Result<Option<Vec<u8>>, Failure> {
    look(home, key, |engine, records, rng| {
        let mut records = Overlay::new(records);
        let draft = Draft {
            to: member,
            message_id: random_bytes(rng),
            text: "you should not read this",
            attachments: Vec::new(),
        };
        let outcome = engine.handle(&records, Input::Send(draft), now(), rng)?;
        records.absorb(outcome.batch);
        let mut blocked = BTreeSet::new();
        for _ in 0..STEPS {
            let input = match next_step(&records, &blocked)? {
                Some(Step::Deliver { deliver, .. }) if deliver.mailbox == device.as_bytes() => {
                    return Ok(Some(deliver.envelope));
                }
                Some(Step::Seal { item, .. }) => Input::Seal { item },
                // What waits for others is of no interest here.
                Some(Step::Deliver { item, .. } | Step::Upload { item, .. }) => Input::Done { item },
                Some(Step::Claim { device_id, .. }) => {
                    blocked.insert(device_id);
                    continue;
                }
                _ => return Ok(None),
            };
            let outcome = engine.handle(&records, input, now(), rng)?;
            records.absorb(outcome.batch);
        }
        Ok(None)
    })
}

/// Opens a home with its key and lets its engine work on what is read there.
fn look<T>(
    home: &Path,
    key: &Path,
    work: impl FnOnce(&Engine, &dyn Records, &mut dyn CryptoRng) -> Result<T, EngineError>,
) -> Result<T, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(format!("{}: {error}", home.display()));
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| Failure::new("the operating system gives no randomness"))?;
    let mut rng = seeded(seed);
    let key = chancery_store::read_key_file(key).map_err(|error| failed(&error))?;
    let mut store = Store::open(home.join(STORE), &key).map_err(|error| failed(&error))?;
    let done = store.read(|records| {
        let done = Engine::load(records, now()).and_then(|mut engine| {
            engine.refresh(records)?;
            work(&engine, records, &mut rng)
        });
        Ok::<_, StoreError>(done)
    });
    done.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
