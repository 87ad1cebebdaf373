//! The device link, and what a new device sends to the device that made it (R-ORG-15 to R-ORG-17).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use chancery_crypto::aead::{OneTimeKey, TAG_LEN};
use chancery_crypto::hash::hash;
use chancery_crypto::kdf::derive;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::signature::VerifyingKey;
use chancery_crypto::{NotAuthentic, label};
use chancery_identity::delivery::DELIVERY_TOKEN_LEN;
use chancery_identity::{DeviceId, DeviceKeys, OrgId, is_relay_url};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::channel::{REQUEST_LEN, RequestedKeys, pad, public_keys, unpad};
use crate::link::{LinkError, VERSION, read_payload, write_payload};

/// First byte of a link request.
pub const LINK_REQUEST_KIND: u8 = 0x15;
/// Length of every link request, in bytes: kind, link identifier, salt, sealed plaintext of 12 KiB.
pub const LINK_REQUEST_LEN: usize = LINK_HEAD_LEN + PLAINTEXT_LEN + TAG_LEN;
/// How long a device link holds: ten minutes, since both devices are at hand.
pub const DEVICE_LINK_LIFETIME: Duration = Duration::from_secs(10 * 60);

const LINK_HEAD_LEN: usize = 1 + 16 + SALT_LEN;
const PLAINTEXT_LEN: usize = 12_288;
const SALT_LEN: usize = 32;
/// Groups of a confirmation code, five digits each: 99 bits, so that nobody finds other keys with the same code.
const CODE_GROUPS: usize = 6;

/// What a new device needs to ask a device of the same person for approval.
///
/// The link alone makes nobody a member: the person approves by comparing a code on both devices.
pub struct DeviceLink {
    /// The organisation.
    pub org_id: OrgId,
    /// Where its relay is: `wss://host:port`.
    pub relay_url: String,
    /// SHA-256 of the relay certificate's `SubjectPublicKeyInfo`.
    pub relay_pin: [u8; 32],
    /// Names the link, at the device that made it and at the desk.
    pub link_id: [u8; 16],
    /// Seals what the new device sends to the one that made the link.
    pub secret: Secret<32>,
    /// The device that made the link.
    pub mailbox: DeviceId,
    /// Delivery token of its mailbox (R-ID-20), which the new device has no key for; empty for a link without one.
    pub token: Vec<u8>,
    /// From then on the device that made it ignores it.
    pub expires: Timestamp,
}

impl fmt::Debug for DeviceLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLink").field("mailbox", &self.mailbox).finish_non_exhaustive()
    }
}

impl DeviceLink {
    /// Makes a link that holds for [`DEVICE_LINK_LIFETIME`].
    pub fn new(
        (org_id, mailbox): (OrgId, DeviceId),
        (relay_url, relay_pin): (&str, [u8; 32]),
        now: Timestamp,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        Self {
            org_id,
            relay_url: relay_url.into(),
            relay_pin,
            link_id: random_bytes(rng),
            secret: Secret::random(rng),
            mailbox,
            token: Vec::new(),
            expires: now.after(DEVICE_LINK_LIFETIME),
        }
    }

    /// Lets the link carry the delivery token of the mailbox.
    #[must_use]
    pub fn with_token(self, token: Vec<u8>) -> Self {
        Self { token, ..self }
    }

    /// Writes the link (R-ORG-15).
    #[must_use]
    pub fn encode(&self) -> String {
        write_payload(encode(&proto::DeviceLink {
            version: VERSION,
            org_id: self.org_id.as_bytes().to_vec(),
            relay_url: self.relay_url.clone(),
            relay_pin: self.relay_pin.to_vec(),
            link_id: self.link_id.to_vec(),
            secret: self.secret.expose().to_vec(),
            mailbox: self.mailbox.as_bytes().to_vec(),
            token: self.token.clone(),
            expires: self.expires.as_millis(),
        }))
    }

    /// Reads a link (R-ORG-4, R-ORG-15). Whether it has expired is not looked at.
    ///
    /// # Errors
    ///
    /// [`LinkError::OtherKind`] for an invitation; the others: nothing can be done with this text.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let payload = read_payload(text)?;
        let damaged = LinkError::Damaged;
        let body: proto::DeviceLink =
            decode(payload.expose(), Limit::STATEMENT).map_err(|_| damaged)?.into_unchecked();
        // Wiped however this ends.
        let secret = SecretBytes::new(body.secret);
        if body.version == 0 {
            return Err(LinkError::OtherKind);
        }
        if body.version != VERSION {
            return Err(LinkError::UnsupportedVersion);
        }
        // A field of an invitation beside those of a device link is no link of either kind.
        let mut other: proto::Invitation =
            decode(payload.expose(), Limit::STATEMENT).map_err(|_| damaged)?.into_unchecked();
        let foreign = SecretBytes::new(core::mem::take(&mut other.secret));
        if other != proto::Invitation::default()
            || !foreign.expose().is_empty()
            || !matches!(body.token.len(), 0 | DELIVERY_TOKEN_LEN)
            || !is_relay_url(&body.relay_url)
        {
            return Err(damaged);
        }
        Ok(Self {
            org_id: OrgId::from_bytes(&body.org_id).ok_or(damaged)?,
            relay_url: body.relay_url,
            relay_pin: body.relay_pin.try_into().map_err(|_| damaged)?,
            link_id: body.link_id.try_into().map_err(|_| damaged)?,
            secret: Secret::from_slice(secret.expose()).ok_or(damaged)?,
            mailbox: DeviceId::from_bytes(&body.mailbox).ok_or(damaged)?,
            token: body.token,
            expires: Timestamp::from_millis(body.expires),
        })
    }

    /// Seals, for the device that made the link, the new device's public keys and its `request` to the desk
    /// (R-ORG-16). It may be sent again; each call draws a new salt.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] if `request` is not [`REQUEST_LEN`] bytes long.
    pub fn seal_request(
        &self,
        keys: &DeviceKeys,
        request: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, NotAuthentic> {
        if request.len() != REQUEST_LEN {
            return Err(NotAuthentic);
        }
        let public = public_keys(keys);
        let body = proto::DeviceLinkRequest {
            signing_key: public.signing_key,
            identity_key: public.identity_key,
            group_key: public.group_key,
            request: request.to_vec(),
        };
        let salt: [u8; SALT_LEN] = random_bytes(rng);
        let mut envelope = Vec::with_capacity(LINK_REQUEST_LEN);
        envelope.push(LINK_REQUEST_KIND);
        envelope.extend_from_slice(&self.link_id);
        envelope.extend_from_slice(&salt);
        let plaintext = pad(&encode(&body), PLAINTEXT_LEN).ok_or(NotAuthentic)?;
        let key = request_key((&self.org_id, &self.link_id), &self.secret, &salt);
        let sealed = key.seal(&envelope, plaintext.expose());
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// The code that the new device shows, for the keys that it asks with (R-ORG-17).
    #[must_use]
    pub fn code(&self, keys: &DeviceKeys) -> String {
        let public = public_keys(keys);
        let fingerprint = RequestedKeys::read(&public).map(|keys| keys.fingerprint()).unwrap_or_default();
        code(&self.org_id, &self.link_id, &fingerprint)
    }
}

/// A new device's request, as the device that made the link sees it. Nothing about it is believed until the
/// person has compared its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkRequest {
    link_id: [u8; 16],
    fingerprint: [u8; 32],
    request: Vec<u8>,
}

impl LinkRequest {
    /// Returns which link an envelope of kind [`LINK_REQUEST_KIND`] names; `None` if it is none.
    #[must_use]
    pub fn link_id(envelope: &[u8]) -> Option<[u8; 16]> {
        let (&[kind], rest) = envelope.split_first_chunk()?;
        let (id, _) = rest.split_first_chunk()?;
        (kind == LINK_REQUEST_KIND && envelope.len() == LINK_REQUEST_LEN).then_some(*id)
    }

    /// Opens an envelope with the link's secret (R-ORG-16).
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`]: drop the envelope; whoever sent it does not have the link.
    pub fn open(org_id: &OrgId, secret: &Secret<32>, envelope: &[u8]) -> Result<Self, NotAuthentic> {
        let link_id = Self::link_id(envelope).ok_or(NotAuthentic)?;
        let (head, sealed) = envelope.split_first_chunk::<LINK_HEAD_LEN>().ok_or(NotAuthentic)?;
        let salt = head.last_chunk().ok_or(NotAuthentic)?;
        let plaintext = request_key((org_id, &link_id), secret, salt).open(head, sealed)?;
        let body = unpad(plaintext.expose()).ok_or(NotAuthentic)?;
        let body: proto::DeviceLinkRequest =
            decode(body, Limit::STATEMENT).map_err(|_| NotAuthentic)?.into_unchecked();
        let keys = RequestedKeys::from_parts(&body.signing_key, &body.identity_key, &body.group_key)
            .ok_or(NotAuthentic)?;
        VerifyingKey::from_bytes(keys.signing).map_err(|_| NotAuthentic)?;
        if !keys.are_valid() || body.request.len() != REQUEST_LEN {
            return Err(NotAuthentic);
        }
        Ok(Self { link_id, fingerprint: keys.fingerprint(), request: body.request })
    }

    /// Rebuilds a request that was stored in its parts.
    #[must_use]
    pub const fn from_parts(link_id: [u8; 16], fingerprint: [u8; 32], request: Vec<u8>) -> Self {
        Self { link_id, fingerprint, request }
    }

    /// Returns the link that it came by.
    #[must_use]
    pub const fn link(&self) -> &[u8; 16] {
        &self.link_id
    }

    /// Returns the hash of the new device's public keys.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Returns the request to the desk that it carries; only the desk can open it.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// The code that the person compares with the one on the new device (R-ORG-17).
    #[must_use]
    pub fn code(&self, org_id: &OrgId) -> String {
        code(org_id, &self.link_id, &self.fingerprint)
    }
}

fn request_key((org, link): (&OrgId, &[u8; 16]), secret: &Secret<32>, salt: &[u8; SALT_LEN]) -> OneTimeKey {
    let context = [org.as_bytes().as_slice(), link].concat();
    OneTimeKey::new(derive(label::KDF_DEVICE_LINK, salt, &[secret.expose()], &context))
}

/// Six groups of five digits: of each five bytes of the hash, the number that they are modulo 100,000.
fn code(org: &OrgId, link_id: &[u8; 16], fingerprint: &[u8; 32]) -> String {
    let digest = hash(label::HASH_DEVICE_CODE, &[org.as_bytes(), link_id, fingerprint]);
    let groups: Vec<String> = digest
        .chunks_exact(5)
        .take(CODE_GROUPS)
        .map(|bytes| {
            let number = bytes.iter().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
            format!("{:05}", number % 100_000)
        })
        .collect();
    groups.join(" ")
}
