//! Which records there are: every name vouches for the next one, so that a missing row is noticed (R-STORE-7).
//!
//! A row authenticates itself, but nothing in it says that another one should be there. So the blinded names
//! form a chain in ascending order, from the empty name to the empty name; each link is
//!
//! ```text
//! mac = HMAC(chain key, "chancery/1 kdf store chain" 0x00 || length of name (1) || name || next)    32 bytes
//! ```
//!
//! To say that there is no record takes the link that spans the gap. A hit needs no link at all.

use chancery_crypto::secret::{Secret, ct_eq};
use chancery_crypto::{kdf, label};
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::error::StoreError;
use crate::row::NAME_LEN;

/// One link: this name and the next one, 32 bytes each, or empty at either end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: Vec<u8>,
    pub(crate) next: Vec<u8>,
}

/// The links of an open store.
pub(crate) struct Chain<'a> {
    connection: &'a Connection,
    key: &'a Secret<32>,
}

impl<'a> Chain<'a> {
    pub(crate) const fn new(connection: &'a Connection, key: &'a Secret<32>) -> Self {
        Self { connection, key }
    }

    /// Writes the chain of an empty store: one link from end to end.
    pub(crate) fn start(&self) -> Result<(), StoreError> {
        self.put(&[], &[])
    }

    /// Returns the link over the gap in which `name` would lie, if no record of that name should be there.
    pub(crate) fn gap(&self, name: &[u8; NAME_LEN]) -> Result<Link, StoreError> {
        let link = self.one(
            "SELECT name, next, mac FROM chain WHERE name <= ?1 ORDER BY name DESC LIMIT 1",
            name.as_slice(),
        )?;
        let spans = link.name.as_slice() < name.as_slice()
            && (link.next.is_empty() || link.next.as_slice() > name.as_slice());
        if spans { Ok(link) } else { Err(StoreError::Damaged) }
    }

    /// Takes a new name in.
    pub(crate) fn insert(&self, name: &[u8; NAME_LEN]) -> Result<(), StoreError> {
        let gap = self.gap(name)?;
        self.put(&gap.name, name)?;
        self.put(name, &gap.next)
    }

    /// Takes a name out.
    pub(crate) fn remove(&self, name: &[u8; NAME_LEN]) -> Result<(), StoreError> {
        let own = self.one("SELECT name, next, mac FROM chain WHERE name = ?1", name.as_slice())?;
        let before = self.one(
            "SELECT name, next, mac FROM chain WHERE name < ?1 ORDER BY name DESC LIMIT 1",
            name.as_slice(),
        )?;
        if before.next != name.as_slice() {
            return Err(StoreError::Damaged);
        }
        self.put(&before.name, &own.next)?;
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM chain WHERE name = ?1")
            .map_err(|e| StoreError::from_sqlite(&e))?;
        delete.execute([name.as_slice()]).map(|_| ()).map_err(|e| StoreError::from_sqlite(&e))
    }

    /// Returns the link that follows the name `from`, for a walk along the whole chain.
    pub(crate) fn at(&self, from: &[u8]) -> Result<Link, StoreError> {
        self.one("SELECT name, next, mac FROM chain WHERE name = ?1", from)
    }

    fn one(&self, query: &str, name: &[u8]) -> Result<Link, StoreError> {
        let mut select = self.connection.prepare_cached(query).map_err(|e| StoreError::from_sqlite(&e))?;
        let link = select
            .query_row([name], |row| Ok(self.open(row)))
            .optional()
            .map_err(|e| StoreError::from_sqlite(&e))?;
        link.ok_or(StoreError::Damaged)?
    }

    fn open(&self, row: &Row<'_>) -> Result<Link, StoreError> {
        let column = |index| -> Result<&[u8], StoreError> {
            row.get_ref(index).ok().and_then(|value| value.as_blob().ok()).ok_or(StoreError::Damaged)
        };
        let (name, next, mac) = (column(0)?, column(1)?, column(2)?);
        if ct_eq(self.mac(name, next).expose(), mac) {
            Ok(Link { name: name.to_vec(), next: next.to_vec() })
        } else {
            Err(StoreError::Damaged)
        }
    }

    fn put(&self, name: &[u8], next: &[u8]) -> Result<(), StoreError> {
        let mut replace = self
            .connection
            .prepare_cached("INSERT OR REPLACE INTO chain (name, next, mac) VALUES (?1, ?2, ?3)")
            .map_err(|e| StoreError::from_sqlite(&e))?;
        replace
            .execute((name, next, self.mac(name, next).expose()))
            .map(|_| ())
            .map_err(|e| StoreError::from_sqlite(&e))
    }

    fn mac(&self, name: &[u8], next: &[u8]) -> Secret<32> {
        let name_len = u8::try_from(name.len()).unwrap_or(u8::MAX);
        kdf::mac(label::KDF_STORE_CHAIN, self.key, &[&[name_len], name, next])
    }
}
