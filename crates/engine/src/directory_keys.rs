//! The directory keys of this device: they change with what the directory brings, and are read anew with each page.

use alloc::collections::{BTreeMap, BTreeSet};

use chancery_crypto::secret::SecretBytes;
use chancery_identity::{DirectoryEntry, DirectoryKey, DirectoryKeyUpdate, Organisation, key_epoch};
use chancery_org::DirectoryKeys;
use chancery_wire::proto::{DirectoryKeysRecord, DirectoryPage, SealedDirectoryEntry, Signed};
use chancery_wire::records::{Overlay, Records};

use crate::error::EngineError;
use crate::tables::{DIRECTORY_KEYS, key, load, save};

/// What this device makes of an entry.
pub(crate) enum Reading {
    /// It opens and verifies.
    Entry(DirectoryEntry, Signed),
    /// It changed the directory key.
    Changed,
    /// An update of the key that has been followed already.
    Known,
    /// It cannot be read before a change of the key that has not come yet; when that comes, it is read again.
    Early,
    /// It does not open or verify.
    Bad,
}

/// The directory keys while a page is read.
pub(crate) struct Reader<'a> {
    organisation: &'a Organisation,
    keys: DirectoryKeys,
    /// What follows this change could not be read, and can be once the key of this epoch is here (R-ENGINE-51).
    unread: Option<(u64, u64)>,
    /// The key of each epoch that the page has entries of: a chain is gone through once for all of them.
    epochs: BTreeMap<u64, DirectoryKey>,
    changed: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        organisation: &'a Organisation,
        records: &dyn Records,
        page: &DirectoryPage,
    ) -> Result<Self, EngineError> {
        let (keys, unread) = read(records)?;
        let sealed = page.changes.iter().filter_map(|change| key_epoch(change.entry.as_ref()?));
        let mut epochs = BTreeMap::new();
        let mut newer = keys.key();
        for epoch in sealed.collect::<BTreeSet<u64>>().into_iter().rev() {
            let Some(derived) = newer.at(epoch) else { continue };
            newer = epochs.entry(epoch).or_insert(derived);
        }
        Ok(Self { organisation, keys, unread, epochs, changed: false })
    }

    /// Reads one entry; `before` is the number of the change before it.
    pub(crate) fn read(&mut self, entry: &SealedDirectoryEntry, before: u64) -> Reading {
        match key_epoch(entry) {
            None => Reading::Bad,
            Some(0) => self.follow(entry, before),
            Some(epoch) if epoch > self.keys.key().epoch() => self.put_off(before, epoch),
            Some(epoch) => {
                let key = self.epochs.get(&epoch).unwrap_or(self.keys.key());
                self.open(key, entry).map_or(Reading::Bad, |(entry, signed)| Reading::Entry(entry, signed))
            }
        }
    }

    /// Opens and verifies an entry (R-ID-13), and returns the statement with it.
    fn open(&self, key: &DirectoryKey, sealed: &SealedDirectoryEntry) -> Option<(DirectoryEntry, Signed)> {
        let entry = self.organisation.open_directory_entry(key, sealed).ok()?;
        Some((entry, key.open(sealed).ok()?.into_unchecked()))
    }

    /// Follows an update of the directory key (R-ENGINE-50).
    fn follow(&mut self, entry: &SealedDirectoryEntry, before: u64) -> Reading {
        let org = self.organisation.id();
        let Some(epoch) = DirectoryKeyUpdate::epoch_of(&org, entry) else { return Reading::Bad };
        let current = self.keys.key().epoch();
        if epoch <= current {
            return Reading::Known;
        }
        if epoch.saturating_sub(1) > current {
            return self.put_off(before, epoch.saturating_sub(1));
        }
        let Ok(update) = self.organisation.open_directory_key_update(entry) else {
            return Reading::Bad;
        };
        let Ok(keys) = self.keys.follow(&org, &update) else { return Reading::Bad };
        self.keys = keys;
        self.changed = true;
        Reading::Changed
    }

    fn put_off(&mut self, before: u64, epoch: u64) -> Reading {
        let (after, least) = self.unread.unwrap_or((before, epoch));
        self.unread = Some((after.min(before), least.min(epoch)));
        self.changed = true;
        Reading::Early
    }

    /// Takes out the change after which the directory is to be read again, if the key for that is here by now.
    pub(crate) fn read_again(&mut self) -> Option<u64> {
        let (after, _) = self.unread.take_if(|(_, epoch)| *epoch <= self.keys.key().epoch())?;
        self.changed = true;
        Some(after)
    }

    pub(crate) fn save(&self, records: &mut Overlay<'_>) {
        if self.changed {
            save(records, key(DIRECTORY_KEYS, &[]), &record(&self.keys, self.unread));
        }
    }
}

/// What an enrolment, or a change of the key, has stored.
pub(crate) fn record(keys: &DirectoryKeys, unread: Option<(u64, u64)>) -> DirectoryKeysRecord {
    let (unread_after, unread_epoch) = unread.unwrap_or_default();
    DirectoryKeysRecord {
        epoch: keys.key().epoch(),
        directory_key: keys.key().secret().expose().to_vec(),
        slot: keys.slot(),
        key_path: keys.path().expose().to_vec(),
        unread_after,
        unread_epoch,
        guest_key: alloc::vec::Vec::new(),
    }
}

/// Returns the keys that this device has now.
pub(crate) fn newest(records: &dyn Records) -> Result<DirectoryKeys, EngineError> {
    read(records).map(|(keys, _)| keys)
}

fn read(records: &dyn Records) -> Result<(DirectoryKeys, Option<(u64, u64)>), EngineError> {
    let record: DirectoryKeysRecord =
        load(records, &key(DIRECTORY_KEYS, &[]))?.ok_or(EngineError::DamagedRecord)?;
    let (directory_key, path) = (SecretBytes::new(record.directory_key), SecretBytes::new(record.key_path));
    let keys =
        DirectoryKeys::from_parts((record.epoch, directory_key.expose()), (record.slot, path.expose()));
    let unread = (record.unread_epoch != 0).then_some((record.unread_after, record.unread_epoch));
    Ok((keys.ok_or(EngineError::DamagedRecord)?, unread))
}
