//! Sets, slots, held deliveries, and envelopes that many mailboxes have.

use std::collections::BTreeSet;

use chancery_identity::DeviceId;
use chancery_relay::limits::REFERENCE_BYTES;
use chancery_relay::{
    DeliveryId, HeldDelivery, MailboxId, Room, SetId, SetRow, SetStorage, SlotId, SlotRow, StorageError,
};
use chancery_wire::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{SqliteStorage, failure, integer, length, millis, number};

/// A place in a set, in bytes.
const PLACE: usize = 16;

// What happens for each of ten thousand mailboxes.
const COUNT_IN: &str =
    "UPDATE mailboxes SET last_sequence = last_sequence + 1, envelopes = envelopes + 1, bytes = bytes + ?2
    WHERE mailbox = ?1 AND removed = 0 AND expires IS NULL AND envelopes < ?3 AND bytes + ?2 <= ?4
    RETURNING last_sequence";
const REFER: &str =
    "INSERT INTO envelopes (mailbox, sequence, envelope, expires, shared) VALUES (?1, ?2, x'', ?3, ?4)";

impl SqliteStorage {
    /// Returns how many rows have been written, for a test to compare.
    #[cfg(test)]
    pub(crate) fn rows_written(&self) -> u64 {
        self.connection.total_changes()
    }

    /// Deletes what is in a mailbox, and what is held for it.
    pub(super) fn empty_mailbox(&mut self, mailbox: &MailboxId) -> Result<(), StorageError> {
        let name = mailbox.as_bytes();
        let bytes =
            self.row("SELECT bytes FROM mailboxes WHERE mailbox = ?1", [name], |row| number(row, 0))?;
        let sql = "SELECT shared FROM envelopes WHERE mailbox = ?1 AND shared IS NOT NULL";
        let shared: Vec<i64> = self.rows(sql, [name], |row| row.get(0))?;
        self.change("DELETE FROM envelopes WHERE mailbox = ?1", [name])?;
        let mut not_own = 0_u64;
        for shared in shared {
            not_own = not_own.saturating_add(self.release(shared)?);
        }
        let own = bytes.unwrap_or(0).saturating_sub(not_own);
        self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_sub(own);
        let sql = "DELETE FROM held WHERE mailbox = ?1 RETURNING length(envelope)";
        for bytes in self.rows(sql, [name], |row| number(row, 0))? {
            self.count_held_out(bytes);
        }
        let sql = "UPDATE mailboxes SET envelopes = 0, bytes = 0 WHERE mailbox = ?1";
        self.change(sql, [name]).map(drop)
    }

    /// Counts a reference out, deletes the copy with the last one, and returns its length.
    pub(super) fn release(&mut self, shared: i64) -> Result<u64, StorageError> {
        let sql = "UPDATE shared SET readers = readers - 1 WHERE shared = ?1 RETURNING readers, length";
        let (readers, length) =
            self.row(sql, [shared], |row| Ok((number(row, 0)?, number(row, 1)?)))?.ok_or(StorageError::Io)?;
        let mut freed = REFERENCE_BYTES;
        if readers == 0 {
            self.change("DELETE FROM shared WHERE shared = ?1", [shared])?;
            self.change("DELETE FROM shared_envelopes WHERE shared = ?1", [shared])?;
            freed = freed.saturating_add(length);
        }
        self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_sub(freed);
        Ok(length)
    }

    fn count_held_out(&mut self, bytes: u64) {
        self.totals.held = self.totals.held.saturating_sub(1);
        self.totals.held_bytes = self.totals.held_bytes.saturating_sub(bytes);
    }

    fn count_set_out(&mut self, bytes: u64) {
        self.totals.sets = self.totals.sets.saturating_sub(1);
        self.totals.set_places = self.totals.set_places.saturating_sub(slots(bytes));
    }

    pub(super) fn expire_sets(&mut self, now: i64, most: u32) -> Result<(), StorageError> {
        let sql = "SELECT set_name FROM sets WHERE expires <= ?1 LIMIT ?2";
        for set in self.rows(sql, params![now, most], |row| row.get::<_, [u8; 16]>(0))? {
            self.remove_set(&SetId::new(set))?;
        }
        let sql = "SELECT slot, length(envelope) FROM slots WHERE expires <= ?1 LIMIT ?2";
        let ended =
            self.rows(sql, params![now, most], |row| Ok((row.get::<_, [u8; 16]>(0)?, number(row, 1)?)))?;
        for (slot, bytes) in ended {
            self.change("UPDATE slots SET envelope = NULL, expires = NULL WHERE slot = ?1", [slot])?;
            self.totals.slot_bytes = self.totals.slot_bytes.saturating_sub(bytes);
        }
        let sql = "SELECT position FROM held WHERE expires <= ?1 LIMIT ?2";
        for position in self.rows(sql, params![now, most], |row| number(row, 0))? {
            self.remove_held(position)?;
        }
        let sql = "DELETE FROM ended_credentials WHERE device IN
            (SELECT device FROM ended_credentials WHERE expires <= ?1 LIMIT ?2)";
        self.change(sql, params![now, most]).map(drop)
    }

    /// The sets in which one of these mailboxes stands. Looks at every set.
    fn sets_with(&self, mailboxes: &BTreeSet<[u8; PLACE]>) -> Result<Vec<[u8; 16]>, StorageError> {
        let found = self.rows("SELECT set_name, mailboxes FROM sets", [], |row| {
            let places = row.get_ref(1)?.as_blob().unwrap_or_default();
            let is_concerned = places.chunks(PLACE).any(|place| stands_in(mailboxes, place));
            Ok(if is_concerned { Some(row.get(0)?) } else { None })
        })?;
        Ok(found.into_iter().flatten().collect())
    }
}

impl SetStorage for SqliteStorage {
    fn multiply(
        &mut self,
        mailboxes: &[MailboxId],
        envelope: &[u8],
        expires: Timestamp,
        room: Room,
    ) -> Result<Vec<MailboxId>, StorageError> {
        let broken = |error: rusqlite::Error| failure(&error);
        let sql = "SELECT coalesce(max(shared), 0) + 1 FROM shared";
        let shared: i64 = self.row(sql, [], |row| row.get(0))?.ok_or(StorageError::Io)?;
        let (bytes, expires) = (length(envelope), millis(expires));
        let mut given = Vec::new();
        {
            let mut count = self.connection.prepare_cached(COUNT_IN).map_err(broken)?;
            let mut refer = self.connection.prepare_cached(REFER).map_err(broken)?;
            for mailbox in mailboxes {
                let row = params![mailbox.as_bytes(), bytes, integer(room.envelopes), integer(room.bytes)];
                let sequence = count.query_row(row, |row| row.get::<_, i64>(0)).optional();
                if let Some(sequence) = sequence.map_err(broken)? {
                    refer.execute(params![mailbox.as_bytes(), sequence, expires, shared]).map_err(broken)?;
                    given.push(*mailbox);
                }
            }
        }
        if given.is_empty() {
            return Ok(given);
        }
        let readers = u64::try_from(given.len()).unwrap_or(u64::MAX);
        let sql = "INSERT INTO shared (shared, length, readers) VALUES (?1, ?2, ?3)";
        self.change(sql, params![shared, bytes, integer(readers)])?;
        let sql = "INSERT INTO shared_envelopes (shared, envelope) VALUES (?1, ?2)";
        self.change(sql, params![shared, envelope])?;
        let added = readers.saturating_mul(REFERENCE_BYTES).saturating_add(bytes.unsigned_abs());
        self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_add(added);
        Ok(given)
    }

    fn set(&self, set: &SetId) -> Result<Option<SetRow>, StorageError> {
        let sql = "SELECT key_hash, mailboxes, expires FROM sets WHERE set_name = ?1";
        self.row(sql, [set.as_bytes()], |row| {
            let places = row.get_ref(1)?.as_blob()?;
            let mailboxes: Option<Vec<MailboxId>> = places.chunks(PLACE).map(MailboxId::from_bytes).collect();
            let torn = || rusqlite::Error::InvalidColumnType(1, "mailboxes".into(), Type::Blob);
            Ok(SetRow {
                key: row.get(0)?,
                mailboxes: mailboxes.ok_or_else(torn)?,
                expires: Timestamp::from_millis(number(row, 2)?),
            })
        })
    }

    fn put_set(&mut self, set: &SetId, row: &SetRow) -> Result<(), StorageError> {
        let places: Vec<u8> = row.mailboxes.iter().flat_map(|mailbox| *mailbox.as_bytes()).collect();
        let sql = "INSERT INTO sets (set_name, key_hash, mailboxes, expires) VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![set.as_bytes(), row.key, places, millis(row.expires)])?;
        self.totals.sets = self.totals.sets.saturating_add(1);
        let added = slots(length(&places).unsigned_abs());
        self.totals.set_places = self.totals.set_places.saturating_add(added);
        Ok(())
    }

    fn keep_set(&mut self, set: &SetId, expires: Timestamp) -> Result<(), StorageError> {
        let sql = "UPDATE sets SET expires = ?2 WHERE set_name = ?1";
        self.change(sql, params![set.as_bytes(), millis(expires)]).map(drop)
    }

    fn remove_set(&mut self, set: &SetId) -> Result<(), StorageError> {
        let sql = "DELETE FROM sets WHERE set_name = ?1 RETURNING length(mailboxes)";
        if let Some(bytes) = self.row(sql, [set.as_bytes()], |row| number(row, 0))? {
            self.count_set_out(bytes);
        }
        Ok(())
    }

    fn empty_places(&mut self, devices: &[DeviceId]) -> Result<(), StorageError> {
        let ended: BTreeSet<[u8; PLACE]> = devices.iter().map(|device| *device.as_bytes()).collect();
        for set in self.sets_with(&ended)? {
            let sql = "SELECT mailboxes FROM sets WHERE set_name = ?1";
            let mut places: Vec<u8> = self.row(sql, [set], |row| row.get(0))?.ok_or(StorageError::Io)?;
            for place in places.chunks_mut(PLACE).filter(|place| stands_in(&ended, place)) {
                place.fill(0);
            }
            self.change("UPDATE sets SET mailboxes = ?2 WHERE set_name = ?1", params![set, places])?;
        }
        Ok(())
    }

    fn slot(&self, slot: &SlotId) -> Result<Option<SlotRow>, StorageError> {
        let sql = "SELECT hash, envelope FROM slots WHERE slot = ?1";
        self.row(sql, [slot.as_bytes()], |row| Ok(SlotRow { hash: row.get(0)?, envelope: row.get(1)? }))
    }

    fn take_slot(
        &mut self,
        slot: &SlotId,
        hash: &[u8; 32],
        envelope: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        let sql = "INSERT INTO slots (slot, hash, envelope, expires) VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![slot.as_bytes(), hash, envelope, millis(expires)])?;
        self.totals.slots = self.totals.slots.saturating_add(1);
        let added = length(envelope).unsigned_abs();
        self.totals.slot_bytes = self.totals.slot_bytes.saturating_add(added);
        Ok(())
    }

    fn hold(
        &mut self,
        slot: &SlotId,
        delivery: &HeldDelivery,
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        let bytes = length(&delivery.envelope);
        let sql = "UPDATE mailboxes SET envelopes = envelopes + 1, bytes = bytes + ?2 WHERE mailbox = ?1";
        if self.change(sql, params![delivery.mailbox.as_bytes(), bytes])? == 0 {
            return Err(StorageError::Io);
        }
        let sql = "INSERT INTO held (slot, hash, mailbox, delivery_id, envelope, expires)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let row = params![
            slot.as_bytes(),
            delivery.hash,
            delivery.mailbox.as_bytes(),
            delivery.delivery.as_bytes(),
            delivery.envelope,
            millis(expires),
        ];
        self.change(sql, row)?;
        let bytes = bytes.unsigned_abs();
        self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_add(bytes);
        self.totals.held = self.totals.held.saturating_add(1);
        self.totals.held_bytes = self.totals.held_bytes.saturating_add(bytes);
        Ok(())
    }

    fn is_held(&self, mailbox: &MailboxId, delivery: &DeliveryId) -> Result<bool, StorageError> {
        let sql = "SELECT 1 FROM held WHERE mailbox = ?1 AND delivery_id = ?2";
        Ok(self.row(sql, [mailbox.as_bytes(), delivery.as_bytes()], |_| Ok(()))?.is_some())
    }

    fn next_held(&self, slot: &SlotId, after: u64) -> Result<Option<HeldDelivery>, StorageError> {
        let sql = "SELECT position, hash, mailbox, delivery_id, envelope FROM held
            WHERE slot = ?1 AND position > ?2 ORDER BY position LIMIT 1";
        self.row(sql, params![slot.as_bytes(), integer(after)], held_delivery)
    }

    fn remove_held(&mut self, position: u64) -> Result<(), StorageError> {
        let sql = "DELETE FROM held WHERE position = ?1 RETURNING mailbox, length(envelope)";
        let removed =
            self.row(sql, [integer(position)], |row| Ok((row.get::<_, [u8; 16]>(0)?, number(row, 1)?)))?;
        if let Some((mailbox, bytes)) = removed {
            let sql = "UPDATE mailboxes SET envelopes = envelopes - 1, bytes = bytes - ?2 WHERE mailbox = ?1";
            self.change(sql, params![mailbox, integer(bytes)])?;
            self.totals.envelope_bytes = self.totals.envelope_bytes.saturating_sub(bytes);
            self.count_held_out(bytes);
        }
        Ok(())
    }

    fn keep_credential(
        &mut self,
        device: &DeviceId,
        credential: &[u8],
        expires: Timestamp,
    ) -> Result<(), StorageError> {
        let sql =
            "INSERT OR REPLACE INTO ended_credentials (device, credential, expires) VALUES (?1, ?2, ?3)";
        self.change(sql, params![device.as_bytes(), credential, millis(expires)]).map(drop)
    }

    fn kept_credential(&self, device: &DeviceId) -> Result<Option<Vec<u8>>, StorageError> {
        let sql = "SELECT credential FROM ended_credentials WHERE device = ?1";
        self.row(sql, [device.as_bytes()], |row| row.get(0))
    }
}

fn held_delivery(row: &Row<'_>) -> rusqlite::Result<HeldDelivery> {
    Ok(HeldDelivery {
        position: number(row, 0)?,
        hash: row.get(1)?,
        mailbox: MailboxId::new(row.get(2)?),
        delivery: DeliveryId::new(row.get(3)?),
        envelope: row.get(4)?,
    })
}

/// How many slots a set of so many bytes has.
fn slots(bytes: u64) -> u64 {
    let place = u64::try_from(PLACE).unwrap_or(u64::MAX);
    bytes.checked_div(place).unwrap_or(0)
}

fn stands_in(mailboxes: &BTreeSet<[u8; PLACE]>, place: &[u8]) -> bool {
    <[u8; PLACE]>::try_from(place).is_ok_and(|place| mailboxes.contains(&place))
}
