//! The invitation link.
//!
//! ```text
//! link = "chancery:" || base64url-no-padding(Invitation || SHA-256(Invitation)[0..4])
//! ```
//!
//! The checksum finds typing errors and cut links before anything is sent; it authenticates nothing.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chancery_crypto::hash::sha256;
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_identity::{OrgId, is_relay_url};
use chancery_wire::{Limit, Timestamp, decode, encode, proto};

use crate::DeviceLink;

/// What a link starts with.
pub const LINK_PREFIX: &str = "chancery:";
/// Longest link after its prefix, in bytes. Nearly twice what the longest relay address needs.
pub const MAX_LINK_LEN: usize = 1024;

/// Version of both kinds of links.
pub(crate) const VERSION: u32 = 1;
const CHECKSUM_LEN: usize = 4;

/// Text that is no invitation link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// It does not start with `chancery:`; paste the whole link.
    #[error("text is not an invitation link")]
    NotALink,
    /// It was cut or changed on the way; ask for it again.
    #[error("invitation link is damaged")]
    Damaged,
    /// It comes from a newer version; update.
    #[error("invitation link is of an unknown version")]
    UnsupportedVersion,
    /// It is a device link where an invitation is expected, or the reverse; read it as the other kind.
    #[error("link is of the other kind")]
    OtherKind,
}

/// An invitation: everything that a new device needs to become a member's, once.
///
/// Whoever reads the link can use it, so it travels by a private way and expires.
pub struct InvitationLink {
    /// The organisation that invites.
    pub org_id: OrgId,
    /// Where its relay is: `wss://host:port`.
    pub relay_url: String,
    /// SHA-256 of the relay certificate's `SubjectPublicKeyInfo`.
    pub relay_pin: [u8; 32],
    /// Names the invitation at the desk.
    pub invitation_id: [u8; 16],
    /// Proves the invitation to the desk.
    pub secret: Secret<32>,
    /// From then on the desk refuses it.
    pub expires: Timestamp,
}

impl fmt::Debug for InvitationLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvitationLink").field("org_id", &self.org_id).finish_non_exhaustive()
    }
}

impl InvitationLink {
    /// Writes the link (R-ORG-3). The text is as secret as the invitation.
    #[must_use]
    pub fn encode(&self) -> String {
        write_payload(encode(&proto::Invitation {
            version: VERSION,
            org_id: self.org_id.as_bytes().to_vec(),
            relay_url: self.relay_url.clone(),
            relay_pin: self.relay_pin.to_vec(),
            invitation_id: self.invitation_id.to_vec(),
            secret: self.secret.expose().to_vec(),
            expires: self.expires.as_millis(),
        }))
    }

    /// Reads a link (R-ORG-4). White space around it is ignored; whether it has expired is not looked at.
    ///
    /// # Errors
    ///
    /// [`LinkError::OtherKind`] for a device link; the others: nothing can be done with this text.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let payload = read_payload(text)?;
        let body: proto::Invitation =
            decode(payload.expose(), Limit::STATEMENT).map_err(|_| LinkError::Damaged)?.into_unchecked();
        // Wiped however this ends.
        let secret = SecretBytes::new(body.secret);
        // The kinds of links have no field in common, so neither can be read as the other (R-ORG-15).
        let mut other: proto::DeviceLink =
            decode(payload.expose(), Limit::STATEMENT).map_err(|_| LinkError::Damaged)?.into_unchecked();
        let foreign = SecretBytes::new(core::mem::take(&mut other.secret));
        if body.version == 0 && other.version != 0 {
            return Err(LinkError::OtherKind);
        }
        if body.version != VERSION {
            return Err(LinkError::UnsupportedVersion);
        }
        if other != proto::DeviceLink::default()
            || !foreign.expose().is_empty()
            || !is_relay_url(&body.relay_url)
        {
            return Err(LinkError::Damaged);
        }
        Ok(Self {
            org_id: OrgId::from_bytes(&body.org_id).ok_or(LinkError::Damaged)?,
            relay_url: body.relay_url,
            relay_pin: body.relay_pin.try_into().map_err(|_| LinkError::Damaged)?,
            invitation_id: body.invitation_id.try_into().map_err(|_| LinkError::Damaged)?,
            secret: Secret::from_slice(secret.expose()).ok_or(LinkError::Damaged)?,
            expires: Timestamp::from_millis(body.expires),
        })
    }
}

/// A link of either kind.
#[derive(Debug)]
pub enum Link {
    /// Makes a device a member's on the organisation's invitation.
    Invitation(InvitationLink),
    /// Makes a device a member's on the approval of another device of the member.
    Device(DeviceLink),
}

impl Link {
    /// Reads a link of whichever kind it is (R-ORG-15).
    ///
    /// # Errors
    ///
    /// [`LinkError`]: nothing can be done with this text.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        match InvitationLink::parse(text) {
            Err(LinkError::OtherKind) => DeviceLink::parse(text).map(Self::Device),
            other => other.map(Self::Invitation),
        }
    }

    /// Returns the organisation.
    #[must_use]
    pub const fn org_id(&self) -> OrgId {
        match self {
            Self::Invitation(link) => link.org_id,
            Self::Device(link) => link.org_id,
        }
    }

    /// Returns where its relay is.
    #[must_use]
    pub fn relay_url(&self) -> &str {
        match self {
            Self::Invitation(link) => &link.relay_url,
            Self::Device(link) => &link.relay_url,
        }
    }

    /// Returns the SHA-256 of the relay's public key.
    #[must_use]
    pub const fn relay_pin(&self) -> &[u8; 32] {
        match self {
            Self::Invitation(link) => &link.relay_pin,
            Self::Device(link) => &link.relay_pin,
        }
    }

    /// Returns when it ends.
    #[must_use]
    pub const fn expires(&self) -> Timestamp {
        match self {
            Self::Invitation(link) => link.expires,
            Self::Device(link) => link.expires,
        }
    }
}

/// Writes prefix, payload and checksum (R-ORG-3). The text is as secret as the payload.
pub(crate) fn write_payload(payload: Vec<u8>) -> String {
    let body = SecretBytes::new(payload);
    let mut bytes: Vec<u8> = body.expose().to_vec();
    bytes.extend(sha256(&[body.expose()]).iter().take(CHECKSUM_LEN));
    let bytes = SecretBytes::new(bytes);
    let mut link = String::from(LINK_PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes.expose(), &mut link);
    link
}

/// Takes prefix and checksum off (R-ORG-4).
pub(crate) fn read_payload(text: &str) -> Result<SecretBytes, LinkError> {
    let encoded = text.trim().strip_prefix(LINK_PREFIX).ok_or(LinkError::NotALink)?;
    if encoded.len() > MAX_LINK_LEN {
        return Err(LinkError::Damaged);
    }
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map(SecretBytes::new).map_err(|_| LinkError::Damaged)?;
    let (body, checksum) = bytes.expose().split_last_chunk::<CHECKSUM_LEN>().ok_or(LinkError::Damaged)?;
    if !sha256(&[body]).starts_with(checksum) {
        return Err(LinkError::Damaged);
    }
    Ok(SecretBytes::new(body.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    fn link() -> InvitationLink {
        InvitationLink {
            org_id: OrgId::new([1; 32]),
            relay_url: "wss://127.0.0.1:4433".into(),
            relay_pin: [2; 32],
            invitation_id: [3; 16],
            secret: Secret::from_bytes([4; 32]),
            expires: Timestamp::from_millis(1_700_000_000_000),
        }
    }

    fn body() -> proto::Invitation {
        proto::Invitation {
            version: 1,
            org_id: vec![1; 32],
            relay_url: "wss://127.0.0.1:4433".into(),
            relay_pin: vec![2; 32],
            invitation_id: vec![3; 16],
            secret: vec![4; 32],
            expires: 1_700_000_000_000,
        }
    }

    fn text(body: &proto::Invitation) -> String {
        let mut bytes = encode(body);
        let checksum = sha256(&[&bytes]);
        bytes.extend_from_slice(&checksum[..4]);
        format!("{LINK_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    #[test]
    fn a_link_survives_text_and_the_white_space_of_a_mail() {
        // R-ORG-3, R-ORG-4
        let encoded = link().encode();
        assert_eq!(encoded, text(&body()));
        let read = InvitationLink::parse(&format!("  {encoded}\r\n")).unwrap();
        assert_eq!(read.org_id, link().org_id);
        assert_eq!((read.relay_url.as_str(), read.relay_pin), ("wss://127.0.0.1:4433", [2; 32]));
        assert_eq!((read.invitation_id, read.secret.expose()), ([3; 16], &[4; 32]));
        assert_eq!(read.expires, link().expires);
    }

    #[test]
    fn every_changed_character_is_noticed() {
        // R-ORG-4
        let encoded = link().encode();
        for position in 0..encoded.len() {
            for other in "AaZz09-_!= ".chars() {
                let mut bad: Vec<char> = encoded.chars().collect();
                if bad[position] == other {
                    continue;
                }
                bad[position] = other;
                let bad: String = bad.into_iter().collect();
                // A space at the end is white space around a link that was cut.
                let expected =
                    if position < LINK_PREFIX.len() { LinkError::NotALink } else { LinkError::Damaged };
                assert_eq!(InvitationLink::parse(&bad).unwrap_err(), expected, "{position} {other}");
            }
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        // R-ORG-4
        let encoded = link().encode();
        let bytes = URL_SAFE_NO_PAD.decode(&encoded[LINK_PREFIX.len()..]).unwrap();
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[position] ^= 1 << bit;
                let bad = format!("{LINK_PREFIX}{}", URL_SAFE_NO_PAD.encode(bad));
                assert_eq!(InvitationLink::parse(&bad).unwrap_err(), LinkError::Damaged);
            }
        }
        for length in LINK_PREFIX.len()..encoded.len() {
            assert_eq!(InvitationLink::parse(&encoded[..length]).unwrap_err(), LinkError::Damaged);
        }
        assert_eq!(InvitationLink::parse(&format!("{encoded}A")).unwrap_err(), LinkError::Damaged);
    }

    #[test]
    fn a_link_with_a_good_checksum_and_wrong_fields_is_refused() {
        // R-ORG-4
        let check = |change: fn(&mut proto::Invitation)| {
            let mut body = body();
            change(&mut body);
            InvitationLink::parse(&text(&body)).unwrap_err()
        };
        assert_eq!(check(|body| body.version = 2), LinkError::UnsupportedVersion);
        assert_eq!(check(|body| body.version = 0), LinkError::UnsupportedVersion);
        assert_eq!(check(|body| body.org_id.clear()), LinkError::Damaged);
        assert_eq!(check(|body| body.relay_url = "http://relay".into()), LinkError::Damaged);
        assert_eq!(check(|body| body.relay_url.push_str(&"x".repeat(2000))), LinkError::Damaged);
        assert_eq!(check(|body| body.relay_pin.push(0)), LinkError::Damaged);
        assert_eq!(check(|body| body.invitation_id.clear()), LinkError::Damaged);
        assert_eq!(check(|body| body.secret.truncate(31)), LinkError::Damaged);
        assert_eq!(InvitationLink::parse("").unwrap_err(), LinkError::NotALink);
        assert_eq!(InvitationLink::parse("https://example.org").unwrap_err(), LinkError::NotALink);
        assert_eq!(InvitationLink::parse("chancery:").unwrap_err(), LinkError::Damaged);
    }

    #[test]
    fn the_longest_address_fits_into_a_link() {
        let longest = InvitationLink {
            relay_url: format!("wss://{}", "x".repeat(chancery_identity::MAX_RELAY_URL_LEN - 6)),
            ..link()
        };
        assert!(InvitationLink::parse(&longest.encode()).is_ok());
    }

    #[test]
    fn a_link_does_not_print_its_secret() {
        let text = format!("{:?}", InvitationLink { secret: Secret::from_bytes([0xA5; 32]), ..link() });
        assert!(!text.contains("165") && !text.to_lowercase().contains("a5"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in ".{0,200}") {
            let _ = InvitationLink::parse(&text);
            let _ = InvitationLink::parse(&format!("{LINK_PREFIX}{text}"));
        }
    }
}
