//! The store itself: transactions over sealed rows.

use std::path::Path;

use chancery_crypto::rng::{CryptoRng, seeded};
use chancery_crypto::secret::Secret;
use chancery_wire::records::{Batch, RecordKey, Records, RecordsError};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use crate::cache::Cache;
use crate::chain::Chain;
use crate::database;
use crate::error::StoreError;
use crate::file::{self, Draft};
use crate::key::KeySource;
use crate::row::{Keys, NAME_LEN};
use crate::wrap::WrappedKey;

/// An open store.
///
/// Any number of processes and threads may have the same file open, each with a `Store` of its own: reads see
/// the state of one commit, and transactions follow one another. While a store is open, this process must
/// open its file in no other way, not even to copy it: closing that descriptor would release the store's locks.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    keys: Keys,
    cache: Cache,
}

impl Store {
    /// Creates a store with a fresh master key, mode 0600, and opens it. Missing directories are made, mode
    /// 0700. The file is there as a whole or not at all.
    ///
    /// # Errors
    ///
    /// - [`StoreError::Exists`] when there is a file, or the log of a deleted store: open it.
    /// - [`StoreError::Full`] or [`StoreError::Io`]: there is no store.
    pub fn create(
        path: impl AsRef<Path>,
        source: &KeySource,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, StoreError> {
        let path = path.as_ref();
        file::create_parents(path)?;
        // SQLite would play the log of a deleted store into the new one.
        if ["", "-wal", "-journal"].iter().any(|end| file::with_suffix(path, end).symlink_metadata().is_ok())
        {
            return Err(StoreError::Exists);
        }
        let master = Secret::random(rng);
        let wrapped = WrappedKey::wrap(&master, source, rng)?;
        let keys = Keys::derive(&master);
        let (draft, empty) = Draft::create(path, rng)?;
        drop(empty);
        let connection = database::create(draft.path())?;
        Chain::new(&connection, &keys.chain).start()?;
        connection
            .execute("INSERT INTO meta (id, wrapped) VALUES (1, ?1)", [wrapped.as_bytes()])
            .map_err(|e| StoreError::from_sqlite(&e))?;
        // The last connection moves the log into the file and removes it.
        connection.close().map_err(|(_, e)| StoreError::from_sqlite(&e))?;
        draft.publish(path)?;
        Ok(Self { connection: database::open(path)?, keys, cache: Cache::default() })
    }

    /// Opens a store.
    ///
    /// Takes a few milliseconds with a key file, and the time of Argon2id with a passphrase.
    ///
    /// # Errors
    ///
    /// - [`StoreError::NotFound`]: create it.
    /// - [`StoreError::WrongKey`]: ask again.
    /// - [`StoreError::NewerFormat`] for the file of a newer version: update.
    /// - [`StoreError::Damaged`] for a cut file or a file of another kind: restore it from a backup.
    /// - [`StoreError::Busy`], [`StoreError::Full`] or [`StoreError::Io`]: try again later.
    pub fn open(path: impl AsRef<Path>, source: &KeySource) -> Result<Self, StoreError> {
        let connection = database::open(path.as_ref())?;
        let wrapped = connection
            .query_row("SELECT wrapped FROM meta WHERE id = 1", [], |row| {
                Ok(row.get_ref(0)?.as_blob().map(WrappedKey::from_bytes)?)
            })
            .map_err(|e| StoreError::from_sqlite(&e))?;
        let keys = Keys::derive(&wrapped.unwrap_with(source)?);
        Ok(Self { connection, keys, cache: Cache::default() })
    }

    /// Gives the connection up, and with it the keys.
    pub(crate) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Whether there is a file at `path`.
    #[must_use]
    pub fn exists(path: impl AsRef<Path>) -> bool {
        path.as_ref().exists()
    }

    /// Reads through `f`, then commits the batch that it returns, on the disk and as a whole.
    ///
    /// No other transaction on the file, of any process, comes between `f`'s reads and the commit. When `f`
    /// fails or panics, or the commit fails, nothing is written. `f` should be short: others wait.
    ///
    /// # Errors
    ///
    /// What `f` returned, or, as `E`:
    /// - [`StoreError::Busy`] when others held the store for ten seconds: try again.
    /// - [`StoreError::Full`]: free space, then try again.
    /// - [`StoreError::TooLarge`] for a name above 255 bytes or a value above
    ///   [`Limit::RECORD`](chancery_wire::Limit::RECORD): a bug in the caller.
    /// - [`StoreError::Damaged`] or [`StoreError::Io`]: give up.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        f: impl FnOnce(&dyn Records) -> Result<(Batch, T), E>,
    ) -> Result<T, E> {
        let mut rng = system_rng()?;
        let Self { connection, keys, cache } = self;
        // Rolled back on drop.
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|e| StoreError::from_sqlite(&e))?;
        cache.refresh(&transaction)?;
        let view = View { connection: &transaction, keys, cache };
        let (batch, done) = f(&view)?;
        view.apply(&batch, &mut rng)?;
        cache.forget(&batch);
        transaction.commit().map_err(|e| StoreError::from_sqlite(&e))?;
        cache.written(&batch);
        // What is left of the batch in memory is wiped with it, stored or not: records hold keys that must not outlive their use.
        Ok(done)
    }

    /// Reads through `f`, which sees the state of one commit, whatever others write meanwhile.
    ///
    /// # Errors
    ///
    /// What `f` returned, or [`StoreError::Busy`] or [`StoreError::Io`] as `E`.
    pub fn read<T, E: From<StoreError>>(
        &mut self,
        f: impl FnOnce(&dyn Records) -> Result<T, E>,
    ) -> Result<T, E> {
        let Self { connection, keys, cache } = self;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(|e| StoreError::from_sqlite(&e))?;
        cache.refresh(&transaction)?;
        f(&View { connection: &transaction, keys, cache })
    }

    /// Reads every record and checks that none was altered, moved, added or removed; returns their number.
    ///
    /// Takes time in proportion to the store's size. Not noticed is a record that was replaced by an older
    /// version of itself.
    ///
    /// # Errors
    ///
    /// [`StoreError::Damaged`]: restore the file from a backup. [`StoreError::Busy`], [`StoreError::Io`]: try
    /// again.
    pub fn check(&mut self) -> Result<u64, StoreError> {
        let Self { connection, keys, cache } = self;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Deferred)
            .map_err(|e| StoreError::from_sqlite(&e))?;
        View { connection: &transaction, keys, cache }.check()
    }
}

/// The store within one transaction.
struct View<'a> {
    connection: &'a Connection,
    keys: &'a Keys,
    cache: &'a Cache,
}

impl Records for View<'_> {
    fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, RecordsError> {
        if let Some(known) = self.cache.get(key) {
            return Ok(known);
        }
        let name = self.keys.blind(key);
        let value = match self.row(&name)? {
            Some(row) if row.key == *key => Some(row.value),
            Some(_) => return Err(RecordsError::Damaged),
            None => {
                // That there is none must be vouched for as well.
                self.chain().gap(&name)?;
                None
            }
        };
        self.cache.read(key, value.as_deref());
        Ok(value)
    }
}

impl View<'_> {
    const fn chain(&self) -> Chain<'_> {
        Chain::new(self.connection, &self.keys.chain)
    }

    fn row(&self, name: &[u8; NAME_LEN]) -> Result<Option<crate::row::Row>, StoreError> {
        let sqlite = |e| StoreError::from_sqlite(&e);
        let mut select =
            self.connection.prepare_cached("SELECT value FROM records WHERE name = ?1").map_err(sqlite)?;
        let row = select
            .query_row([name.as_slice()], |row| Ok(self.keys.open(name, row.get_ref(0)?.as_blob()?)))
            .optional()
            .map_err(sqlite)?;
        row.transpose()
    }

    fn apply(&self, batch: &Batch, rng: &mut dyn CryptoRng) -> Result<(), StoreError> {
        for (key, value) in &batch.0 {
            let name = self.keys.blind(key);
            match value {
                Some(value) => self.put(&name, &self.keys.seal(&name, key, value, rng)?)?,
                None => self.delete(&name)?,
            }
        }
        Ok(())
    }

    fn put(&self, name: &[u8; NAME_LEN], sealed: &[u8]) -> Result<(), StoreError> {
        let sqlite = |e| StoreError::from_sqlite(&e);
        let parameters = (name.as_slice(), sealed);
        let mut update = self
            .connection
            .prepare_cached("UPDATE records SET value = ?2 WHERE name = ?1")
            .map_err(sqlite)?;
        if update.execute(parameters).map_err(sqlite)? > 0 {
            return Ok(());
        }
        self.chain().insert(name)?;
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO records (name, value) VALUES (?1, ?2)")
            .map_err(sqlite)?;
        insert.execute(parameters).map(|_| ()).map_err(sqlite)
    }

    fn delete(&self, name: &[u8; NAME_LEN]) -> Result<(), StoreError> {
        let sqlite = |e| StoreError::from_sqlite(&e);
        let mut delete =
            self.connection.prepare_cached("DELETE FROM records WHERE name = ?1").map_err(sqlite)?;
        if delete.execute([name.as_slice()]).map_err(sqlite)? > 0 {
            self.chain().remove(name)
        } else {
            self.chain().gap(name).map(|_| ())
        }
    }

    fn check(&self) -> Result<u64, StoreError> {
        let sqlite = |e| StoreError::from_sqlite(&e);
        let chain = self.chain();
        let mut next = chain.at(&[])?.next;
        let mut count = 0u64;
        let mut select =
            self.connection.prepare("SELECT name, value FROM records ORDER BY name").map_err(sqlite)?;
        let mut rows = select.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let blob = |index| row.get_ref(index).ok().and_then(|value| value.as_blob().ok());
            let (Some(name), Some(value)) = (blob(0), blob(1)) else { return Err(StoreError::Damaged) };
            let name: &[u8; NAME_LEN] = name.try_into().map_err(|_| StoreError::Damaged)?;
            let record = self.keys.open(name, value)?;
            if next != name || self.keys.blind(&record.key) != *name {
                return Err(StoreError::Damaged);
            }
            next = chain.at(name)?.next;
            count = count.saturating_add(1);
        }
        let links: i64 =
            self.connection.query_row("SELECT count(*) FROM chain", [], |row| row.get(0)).map_err(sqlite)?;
        if next.is_empty() && u64::try_from(links).is_ok_and(|links| links == count.saturating_add(1)) {
            Ok(count)
        } else {
            Err(StoreError::Damaged)
        }
    }
}

/// A fresh generator for each transaction: a copied process must not draw the same nonces.
fn system_rng() -> Result<impl CryptoRng, StoreError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| StoreError::Io)?;
    Ok(seeded(seed))
}

#[cfg(test)]
mod tests;
