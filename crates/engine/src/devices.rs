//! Device links that this device has made, and the new devices that have answered them (R-ORG-16, R-ORG-17).

use alloc::vec::Vec;

use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_org::{DeviceLink, LinkRequest};
use chancery_wire::Timestamp;
use chancery_wire::proto::{DeviceLinkRecord, DeviceLinksRecord, LinkRequestRecord};
use chancery_wire::records::{Overlay, Records};

use crate::device::Device;
use crate::error::EngineError;
use crate::shown;
use crate::tables::{DEVICE_LINKS, key, load, save};

/// Device links that are open at once: 4. A fifth ends the oldest; a person links one device at a time.
const MAX_DEVICE_LINKS: usize = 4;
/// Requests kept for one link: 4. Whoever else has read the link cannot crowd out the device at hand before its
/// person notices that the codes differ, nor fill the store.
const MAX_LINK_REQUESTS: usize = 4;

fn open_links(records: &dyn Records, now: Timestamp) -> Result<DeviceLinksRecord, EngineError> {
    let mut links: DeviceLinksRecord = load(records, &key(DEVICE_LINKS, &[]))?.unwrap_or_default();
    links.links.retain(|link| now.as_millis() < link.expires);
    Ok(links)
}

fn save_links(records: &mut Overlay<'_>, links: &DeviceLinksRecord) {
    save(records, key(DEVICE_LINKS, &[]), links);
}

/// Remembers a link before it is shown.
pub(crate) fn remember(
    records: &mut Overlay<'_>,
    link: &DeviceLink,
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut links = open_links(records, now)?;
    while links.links.len() >= MAX_DEVICE_LINKS {
        links.links.remove(0);
    }
    links.links.push(DeviceLinkRecord {
        link_id: link.link_id.to_vec(),
        secret: link.secret.expose().to_vec(),
        expires: link.expires.as_millis(),
        requests: Vec::new(),
    });
    save_links(records, &links);
    Ok(())
}

/// Ends a link, because a device was approved by it.
pub(crate) fn forget(
    records: &mut Overlay<'_>,
    link_id: &[u8; 16],
    now: Timestamp,
) -> Result<(), EngineError> {
    let mut links = open_links(records, now)?;
    links.links.retain(|link| link.link_id != link_id);
    save_links(records, &links);
    Ok(())
}

/// Takes in what came by a link; `false`, and no change, if there is no such link any more, if it was not sealed
/// with the link, or if the link has as many requests as it may have.
pub(crate) fn take_request(
    device: &Device,
    records: &mut Overlay<'_>,
    envelope: &[u8],
    now: Timestamp,
) -> Result<bool, EngineError> {
    let Some(link_id) = LinkRequest::link_id(envelope) else { return Ok(false) };
    let mut links = open_links(records, now)?;
    let Some(link) = links.links.iter_mut().find(|link| link.link_id == link_id) else { return Ok(false) };
    let secret = Secret::from_slice(&link.secret).ok_or(EngineError::DamagedRecord)?;
    let Ok(request) = LinkRequest::open(&device.organisation().id(), &secret, envelope) else {
        return Ok(false);
    };
    let taken =
        LinkRequestRecord { keys: request.fingerprint().to_vec(), request: request.request().to_vec() };
    if link.requests.contains(&taken) {
        return Ok(true);
    }
    if link.requests.len() >= MAX_LINK_REQUESTS {
        return Ok(false);
    }
    link.requests.push(taken);
    save_links(records, &links);
    shown::asks(records, request.fingerprint(), &request.code(&device.organisation().id()))?;
    Ok(true)
}

/// Returns the devices that wait for approval by this one, in the order in which they asked.
///
/// # Errors
///
/// [`EngineError`] if the store is not readable.
pub fn waiting_devices(records: &dyn Records, now: Timestamp) -> Result<Vec<LinkRequest>, EngineError> {
    let mut waiting = Vec::new();
    for link in open_links(records, now)?.links {
        drop(SecretBytes::new(link.secret));
        let id: [u8; 16] = link.link_id.try_into().map_err(|_| EngineError::DamagedRecord)?;
        for request in link.requests {
            let keys = request.keys.try_into().map_err(|_| EngineError::DamagedRecord)?;
            waiting.push(LinkRequest::from_parts(id, keys, request.request));
        }
    }
    Ok(waiting)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use core::time::Duration;

    use chancery_crypto::rng::{CryptoRng, seeded};
    use chancery_crypto::signature::SigningKey;
    use chancery_identity::{DeviceKeys, DisplayName, Handle, Organisation};
    use chancery_org::{DEVICE_LINK_LIFETIME, Desk, Invite, RelayPlace, found, request, request_by_link};
    use chancery_wire::Unverified;
    use chancery_wire::records::{Batch, RecordKey};

    use crate::{Effect, Engine, Input, NewDevice, Notice};

    type Disk = BTreeMap<RecordKey, Vec<u8>>;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn commit(disk: &mut Disk, batch: Batch) {
        for (key, value) in batch {
            match value {
                Some(value) => disk.insert(key, value),
                None => disk.remove(&key),
            };
        }
    }

    /// An enrolled device with its store.
    struct Old {
        disk: Disk,
        engine: Engine,
        rng: alloc::boxed::Box<dyn CryptoRng>,
    }

    impl Old {
        fn new() -> Self {
            let mut rng = alloc::boxed::Box::new(seeded([3; 32]));
            let name = DisplayName::parse("Acme").unwrap();
            let acme = found(&name, NOW, &mut *rng);
            let public = Organisation::verify(Unverified::new(acme.public), None).unwrap();
            let log_key = SigningKey::generate(&mut *rng);
            let place = RelayPlace {
                url: "wss://relay.example:443",
                pin: &[9; 32],
                log_key: log_key.verifying_key(),
            };
            let document = acme.admin.record_relay(&public, place, &mut *rng);
            let public = Organisation::verify(Unverified::new(document.unwrap()), None).unwrap();
            let desk = Desk::new(acme.desk, public.clone(), NOW).unwrap();
            let mut books = Disk::new();
            commit(&mut books, acme.records);
            let (handle, relay) = (Handle::parse("alice").unwrap(), public.relay().unwrap());
            let lifetime = Duration::from_secs(60);
            let invite = Invite {
                handle: &handle,
                name: &name,
                relay,
                lifetime,
                terms: chancery_org::Terms::default(),
            };
            let invited = desk.invite(&books, invite, NOW, &mut *rng).unwrap();
            commit(&mut books, invited.batch);
            let keys = DeviceKeys::generate(&mut *rng);
            let pending = request(&invited.link, &public, &keys, NOW, &mut *rng).unwrap();
            let answered = desk.answer(&books, pending.envelope(), NOW, &mut *rng).unwrap();
            let enrolment = pending.complete(&public, &keys, &answered.reply, NOW).unwrap();
            let mut disk = Disk::new();
            let relay_url = relay.url();
            let new = NewDevice {
                keys: &keys,
                enrolment: &enrolment,
                organisation: &public,
                relay_url,
                relay_pin: [9; 32],
            };
            commit(&mut disk, Device::install(&new));
            let engine = Engine::load(&disk, NOW).unwrap();
            Self { disk, engine, rng }
        }

        fn handle(&mut self, input: Input<'_>, now: Timestamp) -> Vec<Effect> {
            let outcome = self.engine.handle(&self.disk, input, now, &mut *self.rng).unwrap();
            commit(&mut self.disk, outcome.batch);
            outcome.effects
        }

        fn link(&mut self, now: Timestamp) -> DeviceLink {
            let device = self.engine.device();
            let names = (device.organisation().id(), device.device_id());
            let link = DeviceLink::new(names, ("wss://relay.example:443", [9; 32]), now, &mut *self.rng);
            self.handle(Input::DeviceLinkMade(&link), now);
            link
        }

        /// A new device asks by a link: its link request and its code.
        fn newcomer(&mut self, link: &DeviceLink) -> (Vec<u8>, alloc::string::String) {
            let keys = DeviceKeys::generate(&mut *self.rng);
            let organisation = self.engine.device().organisation();
            let pending = request_by_link(link, organisation, &keys, NOW, &mut *self.rng).unwrap();
            let envelope = link.seal_request(&keys, pending.envelope(), &mut *self.rng).unwrap();
            (envelope, link.code(&keys))
        }

        /// Receives an envelope: whether a new device waits by it.
        fn receives(&mut self, envelope: &[u8], now: Timestamp) -> bool {
            let before = self.disk.clone();
            match self.handle(Input::Received { sequence: 7, envelope }, now).as_slice() {
                [Effect::Acknowledge(7), Effect::Notify(Notice::DeviceRequest), ..] => true,
                [Effect::Acknowledge(7), Effect::Notify(Notice::Undecryptable)] => {
                    assert_eq!(self.disk, before, "what is ignored changes nothing");
                    false
                }
                other => panic!("{other:?}"),
            }
        }

        fn codes(&self, now: Timestamp) -> Vec<alloc::string::String> {
            let org = self.engine.device().organisation().id();
            let waiting = waiting_devices(&self.disk, now).unwrap();
            waiting.iter().map(|request| request.code(&org)).collect()
        }
    }

    #[test]
    fn a_request_waits_under_its_code_until_the_link_ends() {
        // R-ORG-16, R-ORG-17
        let mut old = Old::new();
        let link = old.link(NOW);
        let (envelope, code) = old.newcomer(&link);
        assert!(old.receives(&envelope, NOW));
        assert!(old.receives(&envelope, NOW), "asked again");
        assert_eq!(old.codes(NOW), [code.as_str()]);
        let end = NOW.after(DEVICE_LINK_LIFETIME);
        assert!(old.codes(end).is_empty());
        let (late, _) = old.newcomer(&link);
        assert!(!old.receives(&late, end));
        old.handle(Input::DeviceLinkUsed { link_id: link.link_id }, NOW);
        assert!(old.codes(NOW).is_empty());
        assert!(!old.receives(&envelope, NOW), "a link that was used is over");
    }

    #[test]
    fn what_no_link_of_this_device_sealed_is_ignored() {
        // R-ORG-16
        let mut old = Old::new();
        let link = old.link(NOW);
        let (envelope, _) = old.newcomer(&link);
        for position in [1, 20, 60, envelope.len() - 1] {
            let mut bad = envelope.clone();
            bad[position] ^= 1;
            assert!(!old.receives(&bad, NOW), "{position}");
        }
        assert!(!old.receives(&envelope[..100], NOW));
        assert!(!old.receives(&[0x15], NOW));
        let other = DeviceLink { secret: Secret::from_bytes([0; 32]), ..old.link(NOW) };
        let (foreign, _) = old.newcomer(&other);
        assert!(!old.receives(&foreign, NOW));
        assert!(old.codes(NOW).is_empty());
    }

    #[test]
    fn links_and_requests_are_bounded() {
        // R-ORG-16
        let mut old = Old::new();
        let first = old.link(NOW);
        let mut codes = Vec::new();
        for _ in 0..MAX_LINK_REQUESTS {
            let (envelope, code) = old.newcomer(&first);
            assert!(old.receives(&envelope, NOW));
            codes.push(code);
        }
        let (surplus, _) = old.newcomer(&first);
        assert!(!old.receives(&surplus, NOW));
        assert_eq!(old.codes(NOW), codes);
        for _ in 0..MAX_DEVICE_LINKS {
            old.link(NOW);
        }
        assert!(old.codes(NOW).is_empty(), "the oldest link has made room");
        let (envelope, _) = old.newcomer(&first);
        assert!(!old.receives(&envelope, NOW));
    }
}
