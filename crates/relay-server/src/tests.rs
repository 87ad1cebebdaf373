//! The storage against the laws of storages, a full disk, and the ledger.

#[allow(dead_code, reason = "also used by the tests of the whole server")]
mod fixture;
mod ledger;
mod sets;
mod storage;
