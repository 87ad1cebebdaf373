//! Where the relay is: the log says when it moves, and the place that worked stays until the new one did (R-ENGINE-69).

use alloc::string::String;
use alloc::vec::Vec;

use chancery_identity::RelayRecord;
use chancery_wire::encode;
use chancery_wire::proto::DeviceRecord;
use chancery_wire::records::{Overlay, Records};

use crate::engine::{Acting, Engine};
use crate::error::EngineError;
use crate::log::Known;
use crate::tables::{DEVICE, key, load};

/// A place of the organisation's relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayPlace {
    /// Its address, `wss://host[:port][/path]`.
    pub url: String,
    /// SHA-256 of its public key.
    pub pin: [u8; 32],
}

/// Returns where to look for the relay, in this order: where the log says that it is now, if this device has not been there yet,
/// and then where it was reached last.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn relay_places(engine: &Engine, records: &dyn Records) -> Result<Vec<RelayPlace>, EngineError> {
    let known = engine.known(records)?;
    let record = load::<DeviceRecord>(records, &key(DEVICE, &[]))?.ok_or(EngineError::NotEnrolled)?;
    let pin = record.relay_pin.try_into().map_err(|_| EngineError::DamagedRecord)?;
    let reached = RelayPlace { url: record.relay_url, pin };
    let named = named(&known).filter(|named| *named != reached);
    Ok(named.into_iter().chain([reached]).collect())
}

/// Where the newest relay record that was taken over says that the relay is.
fn named(known: &Known) -> Option<RelayPlace> {
    let record: &RelayRecord = known.authority.organisation().relay()?;
    Some(RelayPlace { url: record.url().into(), pin: *record.pin() })
}

/// The relay was reached where the log says that it is: the place before is never asked again.
pub(crate) fn reached(
    me: &Acting<'_>,
    records: &mut Overlay<'_>,
    place: &RelayPlace,
) -> Result<(), EngineError> {
    let mut record = load::<DeviceRecord>(records, &key(DEVICE, &[]))?.ok_or(EngineError::NotEnrolled)?;
    let is_news = record.relay_url != place.url || record.relay_pin != place.pin;
    if is_news && named(me.known).as_ref() == Some(place) {
        record.relay_url.clone_from(&place.url);
        record.relay_pin = place.pin.to_vec();
        records.put(key(DEVICE, &[]), encode(&record));
    }
    Ok(())
}
