//! Every limit of the relay, with its default and its reason (R-RELAY-20).

use core::time::Duration;

use chancery_wire::Timestamp;

/// Bytes of every encoded prekey bundle: about 11.5 KiB with one-time keys and the longest proofs, and room
/// for larger credentials (R-RELAY-29).
pub const BUNDLE_LEN: usize = 14_336;
/// Most sequences in one acknowledgement: 1,000. Far above the window of envelopes in flight.
pub const MAX_ACKNOWLEDGED: usize = 1_000;
/// Most bytes of a blob in one frame: 256 KiB. Half a frame, so that one buffer stays small on both sides.
pub const MAX_BLOB_PART: usize = 256 * 1024;
/// Most bytes of a sealed directory entry: 32 KiB. A statement of 16 KiB, padded and sealed, has 16.1 KiB.
pub const MAX_DIRECTORY_ENTRY: usize = 32 * 1024;
/// Most removed devices that one directory entry names: 64, what a member with 16 devices goes through in a few
/// exchanges of all of them.
pub const MAX_REMOVED_DEVICES: usize = 64;
/// What a blob costs of the quota beside its bytes: 4 KiB, for its file's place in the file system, the end of
/// its last block, and its row.
pub const BLOB_OVERHEAD: u64 = 4_096;
/// How long a set stays after a commit has replaced it: an hour (R-RELAY-72). Whoever is in a group could name any slot and so
/// take away the others' set, and what they have sealed for it; a set that stays for days would keep who was removed in touch.
pub const REPLACED_SET: Duration = Duration::from_secs(3_600);
/// Most slots of a set: 16,384, those of a group (R-GROUP-1).
pub const MAX_SET_SLOTS: usize = 16_384;
/// What a reference to a multiplied envelope costs of [`Limits::all_mailbox_bytes`]: 128, its row and its place in an
/// index.
pub const REFERENCE_BYTES: u64 = 128;
/// Bytes after which a page of the directory ends: 256 KiB. Half a frame.
pub const DIRECTORY_PAGE: usize = 256 * 1024;
/// Bytes of leaves and contents after which a page of the log ends: 256 KiB. Half a frame.
pub const LOG_PAGE: usize = 256 * 1024;
/// Most devices that the log ever has of one member: 1,000, of which at most 16 stand at a time. Ending the member
/// ends all of them in one transaction.
pub const MAX_MEMBER_DEVICES: usize = 1_000;
/// A checkpoint is signed anew after this time also if the log has not grown: 10 minutes, a sixth of the least age at
/// which clients may be told to stop (R-LOG-8).
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(600);
/// Most devices whose confirmations are asked for in one request: 128. One has 3.5 KiB, and all must fit a frame.
pub const MAX_CONFIRMATIONS: usize = 128;
/// Least time between two tellings of everybody that the log has grown by entries whose content is not shown: 1 s.
/// Ten thousand people who are enrolled one after another would otherwise have every device sync as often.
pub const GROWN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a device that was ended has, from when it is told on, to read how that came about and to confirm it: 30 s, some
/// hundred pages of the log. What it took over stays with it, so that the next login goes on from there (R-RELAY-67).
pub const ENDED_WITHIN: Duration = Duration::from_secs(30);
/// Most bytes in the field of a delivery token: 64. A token has 16; later ones may be longer.
pub const MAX_TOKEN: usize = 64;
/// Ends are rounded up to the hour, so that they do not tell when something was stored (R-RELAY-19).
pub const EXPIRY_STEP: Duration = Duration::from_secs(3_600);
/// Most rows of each kind that one tick deletes: 500. Keeps a tick below some tens of milliseconds.
pub const EXPIRED_PER_TICK: u32 = 500;

/// A token bucket: so many a second in the long run, so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back in a second.
    pub per_second: u32,
    /// Tokens at most.
    pub burst: u32,
}

/// What a relay puts up with. The defaults fit a company of some thousands on one small machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once: 4,096. Two for each of two thousand devices.
    pub connections: usize,
    /// How long a connection may stay silent before its `Hello`: 10 s.
    pub hello_within: Duration,
    /// Frames of one connection: 200 a second, 1,000 at once. An upload at 50 MB/s needs 200.
    pub frames: Rate,
    /// Envelopes to the enrolment desk, from all connections together: 2 a second, 60 at once, because each
    /// costs the desk public-key operations and anybody who can connect may send one.
    pub desk_envelopes: Rate,
    /// Blobs that one connection begins: 1 a second, 100 at once. Three messages with as many files as they may
    /// have; one busy connection leaves something of [`Self::all_blobs_begun`] to others.
    pub blobs_begun: Rate,
    /// Blobs that all connections together begin: 5 a second, 500 at once. 432,000 files a day; a stranger who
    /// connects again and again, and so fills the count of blobs, needs more than a day for it.
    pub all_blobs_begun: Rate,
    /// Blobs that are completed, by all connections together: 50 a second, 500 at once, because the relay syncs
    /// each to disk while everybody's envelopes wait.
    pub blobs_completed: Rate,
    /// Connections that read one mailbox: 16, a device with several processes and connections that are dead
    /// and not yet noticed. Every envelope is pushed to all of them.
    pub mailbox_connections: usize,
    /// Mailboxes: 200,000, twice the directory's entries. A device's stays for ever.
    pub mailboxes: u64,
    /// Envelopes in a mailbox: 10,000. Weeks of a busy member's messages.
    pub mailbox_envelopes: u64,
    /// Bytes in a mailbox: 256 MiB.
    pub mailbox_bytes: u64,
    /// Bytes in all mailboxes: 50 GiB. Without it a stranger could fill the disk, mailbox by mailbox.
    pub all_mailbox_bytes: u64,
    /// Delivery ids: 4,000,000, some 400 MiB. Two weeks of 1,000 devices with 280 envelopes a day each; beyond
    /// that the oldest hour is forgotten first, and a delivery that is repeated after days comes twice.
    pub deliveries: u64,
    /// Bytes of a blob: 2 GiB.
    pub blob_bytes: u64,
    /// Bytes of all blobs, [`BLOB_OVERHEAD`] for each included: 50 GiB.
    pub all_blob_bytes: u64,
    /// Blobs: 500,000. A file each, and a common file system has some three million places in 50 GiB.
    pub blobs: u64,
    /// Incomplete blobs: 50,000, a tenth of all. Ten for each connection that there may be; what was begun and left
    /// keeps no place from what is complete, and those that are put in one part do not count.
    pub incomplete_blobs: u64,
    /// Directory entries: 100,000.
    pub directory_entries: u64,
    /// Entries of the log: 2,000,000, some 500 MB. A company of 10,000 with ten devices and directory entries each in
    /// a lifetime needs a tenth. How fast the desk appends is bounded by [`Self::frames`] alone: it may enrol
    /// thousands in one go.
    pub log_entries: u64,
    /// Sets that one connection makes, and slots that it takes: 1 a second, 100 at once. Somebody who changes a
    /// hundred groups in one go.
    pub set_changes: Rate,
    /// Sets that all connections together make, and slots that they take: 5 a second, 500 at once, so 18,000 in an hour. A
    /// slot is never free again; after somebody has left, each of the groups that they were in takes one.
    pub all_set_changes: Rate,
    /// Mailboxes that envelopes of one connection are multiplied to: 10,000 a second, 100,000 at once. Ten messages to the
    /// largest group, then one a second; to a group of a hundred as many as the connection may have frames.
    pub fan_outs: Rate,
    /// The same, of all connections together: 50,000 a second, 200,000 at once. One disk writes about as many a second,
    /// and everybody else's envelopes wait for two or three seconds at worst.
    pub multiplied: Rate,
    /// Sets: 100,000. Two for each of 50,000 groups, as one is made before the one before it is forgotten.
    pub sets: u64,
    /// Slots of all sets: 16,000,000, 256 MB. All of them are looked through when a device ends.
    pub set_places: u64,
    /// Slots that were ever taken: 50,000,000, some 5 GB. A year of [`Self::all_set_changes`] without a pause is three
    /// times as much; a hundred commits a day in each of a thousand groups take a year and a half.
    pub slots: u64,
    /// Bytes of what is kept in slots: 10 GiB. A million commits of the common size.
    pub slot_bytes: u64,
    /// Held deliveries: 50,000. What five commits to the largest group hand to each device singly.
    pub held: u64,
    /// Their bytes: 512 MiB, some 10 KiB for each.
    pub held_bytes: u64,
    /// Envelopes pushed to a connection and not acknowledged: 64.
    pub window_envelopes: usize,
    /// Their bytes: 1 MiB.
    pub window_bytes: usize,
    /// How long an envelope is kept: 60 days.
    pub keep_envelopes: Duration,
    /// How long a delivery id is kept: 14 days. A delivery whose answer was lost is repeated as soon as the device is
    /// connected again; one that was away for longer delivers twice, and the recipient drops the second.
    pub keep_deliveries: Duration,
    /// How long a complete blob is kept: 90 days. An envelope that names it is kept for 60, and may have been
    /// sent again 30 days after the first time (R-ENGINE-18).
    pub keep_blobs: Duration,
    /// How long an incomplete blob is kept: 1 day.
    pub keep_incomplete_blobs: Duration,
    /// How long a reply mailbox is kept after the last answer: 1 hour.
    pub keep_replies: Duration,
    /// How long a set is kept that nothing is sent to: 30 days. Who comes back to a group after that makes it anew.
    pub keep_sets: Duration,
    /// How long what is in a slot is kept: 90 days. A device that was away for longer than its envelopes are kept is
    /// told the group anew.
    pub keep_slots: Duration,
    /// How long the credential of a device that ended is kept: 90 days, as long as what it wrote before may lie in slots
    /// ([`Self::keep_slots`]) and mailboxes ([`Self::keep_envelopes`]). Whoever comes back later verifies that by it.
    pub keep_credentials: Duration,
    /// How long a delivery is held: 1 hour. The commit that it waits for follows at once, or its author is gone.
    pub keep_held: Duration,
}

const DAY: Duration = Duration::from_secs(24 * 3_600);

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4_096,
            hello_within: Duration::from_secs(10),
            frames: Rate { per_second: 200, burst: 1_000 },
            desk_envelopes: Rate { per_second: 2, burst: 60 },
            blobs_begun: Rate { per_second: 1, burst: 100 },
            all_blobs_begun: Rate { per_second: 5, burst: 500 },
            blobs_completed: Rate { per_second: 50, burst: 500 },
            mailbox_connections: 16,
            mailboxes: 200_000,
            mailbox_envelopes: 10_000,
            mailbox_bytes: 256 << 20,
            all_mailbox_bytes: 50 << 30,
            deliveries: 4_000_000,
            blob_bytes: 2 << 30,
            all_blob_bytes: 50 << 30,
            blobs: 500_000,
            incomplete_blobs: 50_000,
            directory_entries: 100_000,
            log_entries: 2_000_000,
            set_changes: Rate { per_second: 1, burst: 100 },
            all_set_changes: Rate { per_second: 5, burst: 500 },
            fan_outs: Rate { per_second: 10_000, burst: 100_000 },
            multiplied: Rate { per_second: 50_000, burst: 200_000 },
            sets: 100_000,
            set_places: 16_000_000,
            slots: 50_000_000,
            slot_bytes: 10 << 30,
            held: 50_000,
            held_bytes: 512 << 20,
            window_envelopes: 64,
            window_bytes: 1 << 20,
            keep_envelopes: DAY.saturating_mul(60),
            keep_deliveries: DAY.saturating_mul(14),
            keep_blobs: DAY.saturating_mul(90),
            keep_incomplete_blobs: DAY,
            keep_replies: Duration::from_secs(3_600),
            keep_sets: DAY.saturating_mul(30),
            keep_slots: DAY.saturating_mul(90),
            keep_credentials: DAY.saturating_mul(90),
            keep_held: Duration::from_secs(3_600),
        }
    }
}

/// Returns the end of something that is kept for `keep` from `now`, rounded up to [`EXPIRY_STEP`].
pub(crate) fn end(now: Timestamp, keep: Duration) -> Timestamp {
    let step = u64::try_from(EXPIRY_STEP.as_millis()).unwrap_or(u64::MAX);
    let end = now.after(keep).as_millis();
    Timestamp::from_millis(end.div_ceil(step).saturating_mul(step).min(crate::storage::MAX_NUMBER))
}

/// The state of a token bucket, in thousandths of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    thousandths: u64,
    at: Timestamp,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Timestamp) -> Self {
        Self { thousandths: u64::from(rate.burst).saturating_mul(1_000), at: now }
    }

    /// Takes a token, or returns how many milliseconds from now there will be one.
    pub(crate) fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), u64> {
        self.take_many(1, rate, now)
    }

    /// Takes so many tokens, or all of a full bucket if it does not hold as many, or returns how many milliseconds from
    /// now there will be enough.
    pub(crate) fn take_many(&mut self, count: u64, rate: Rate, now: Timestamp) -> Result<(), u64> {
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(rate.burst).saturating_mul(1_000);
        let refill = elapsed.saturating_mul(u64::from(rate.per_second));
        self.thousandths = self.thousandths.saturating_add(refill).min(most);
        self.at = now;
        let wanted = count.saturating_mul(1_000).min(most);
        if let Some(left) = self.thousandths.checked_sub(wanted) {
            self.thousandths = left;
            return Ok(());
        }
        let missing = wanted.saturating_sub(self.thousandths);
        Err(missing.div_ceil(u64::from(rate.per_second).max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 2, burst: 3 };
        let at = Timestamp::from_millis;
        let mut bucket = Bucket::full(rate, at(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(rate, at(0)), Err(500));
        assert_eq!(bucket.take(rate, at(499)), Err(1));
        assert_eq!(bucket.take(rate, at(500)), Ok(()));
        assert_eq!(bucket.take(rate, at(400)), Err(500), "a clock that goes back gives nothing away");
        assert_eq!(bucket.take(rate, at(1_000_000)), Ok(()));
    }

    #[test]
    fn many_tokens_are_taken_together_and_more_than_there_can_be_as_a_full_bucket() {
        let rate = Rate { per_second: 2, burst: 10 };
        let at = Timestamp::from_millis;
        let mut bucket = Bucket::full(rate, at(0));
        assert_eq!(bucket.take_many(6, rate, at(0)), Ok(()));
        assert_eq!(bucket.take_many(6, rate, at(0)), Err(1_000), "R-RELAY-20");
        assert_eq!(bucket.take_many(4, rate, at(0)), Ok(()), "nothing was taken by who was refused");
        assert_eq!(bucket.take_many(99, rate, at(4_000)), Err(1_000));
        assert_eq!(bucket.take_many(99, rate, at(5_000)), Ok(()));
    }

    #[test]
    fn a_file_outlives_the_envelope_that_names_it_r_relay_19() {
        let limits = Limits::default();
        assert!(limits.keep_blobs >= limits.keep_envelopes + DAY * 30);
    }

    #[test]
    fn ends_are_full_hours() {
        let end = end(Timestamp::from_millis(1), Duration::from_secs(3_600));
        assert_eq!(end.as_millis(), 2 * 3_600_000, "R-RELAY-19");
    }
}
