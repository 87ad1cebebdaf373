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
/// Least time between two tellings of everybody that the log has grown by entries whose content is not shown: 1 s.
/// Ten thousand people who are enrolled one after another would otherwise have every device sync as often.
pub const GROWN_INTERVAL: Duration = Duration::from_secs(1);
/// How long a device that was ended has, from the answer to its login on, to read how that came about: 30 s, some hundred
/// pages of the log. What it took over stays with it, so that the next login goes on from there (R-RELAY-67).
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
            window_envelopes: 64,
            window_bytes: 1 << 20,
            keep_envelopes: DAY.saturating_mul(60),
            keep_deliveries: DAY.saturating_mul(14),
            keep_blobs: DAY.saturating_mul(90),
            keep_incomplete_blobs: DAY,
            keep_replies: Duration::from_secs(3_600),
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
        let elapsed = u64::try_from(now.since(self.at).as_millis()).unwrap_or(u64::MAX);
        let most = u64::from(rate.burst).saturating_mul(1_000);
        let refill = elapsed.saturating_mul(u64::from(rate.per_second));
        self.thousandths = self.thousandths.saturating_add(refill).min(most);
        self.at = now;
        if let Some(left) = self.thousandths.checked_sub(1_000) {
            self.thousandths = left;
            return Ok(());
        }
        let missing = 1_000_u64.saturating_sub(self.thousandths);
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
