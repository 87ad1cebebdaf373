//! A device's store: encrypted at rest, transactional, and safe for several processes at once.
//!
//! ```
//! use chancery_crypto::{rng::seeded, secret::SecretBytes};
//! use chancery_store::{KeySource, Store, StoreError};
//! use chancery_wire::records::{Batch, RecordKey, Table};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("store.db");
//! let passphrase = KeySource::Passphrase(SecretBytes::new(b"correct horse".to_vec()));
//! let mut store = Store::create(&path, &passphrase, &mut seeded([7; 32]))?;
//! let key = RecordKey::new(Table(1), *b"counter");
//!
//! let before = store.transaction(|records| {
//!     let before = records.get(&key)?.unwrap_or_default();
//!     let mut batch = Batch::default();
//!     batch.put(key.clone(), [before.as_slice(), b"+"].concat());
//!     Ok::<_, StoreError>((batch, before))
//! })?;
//! assert_eq!(before, b"");
//! assert_eq!(store.read(|records| Ok::<_, StoreError>(records.get(&key)?))?, Some(b"+".to_vec()));
//! # Ok::<(), StoreError>(())
//! ```
//!
//! The main types are [`Store`], [`KeySource`] and [`StoreError`]; [`sealed_file`] keeps single secrets,
//! such as an organisation's root, and [`file_lock`] lets one process out of several do a job.
//!
//! What this crate does not do: it gives no record a meaning, it does not list records, and it does not
//! notice that a whole file, or one row of it, was replaced by an older version of itself. An open store keeps what it has read
//! lately in memory, until another connection commits: what somebody writes into the file past SQLite may show only later.
//!
//! Source: `docs/PROTOCOL.md`, section "Store" (R-STORE).

mod cache;
mod chain;
mod database;
mod destroy;
mod error;
mod file;
pub mod file_lock;
mod key;
mod row;
pub mod sealed_file;
mod store;
mod wrap;

pub use database::FORMAT;
pub use error::StoreError;
pub use file_lock::FileLock;
pub use key::{KEY_FILE_LEN, KeySource, create_key_file, read_key_file};
pub use store::Store;
pub use wrap::WrappedKey;
