//! The sealed way from a new device to the desk and back: layouts and keys that both sides share.

use alloc::vec::Vec;

use chancery_crypto::aead::{OneTimeKey, TAG_LEN};
use chancery_crypto::hash::hash;
use chancery_crypto::kdf::derive;
use chancery_crypto::kem::KemCiphertext;
use chancery_crypto::label::Label;
use chancery_crypto::rng::{CryptoRng, random_bytes};
use chancery_crypto::secret::{Secret, SecretBytes};
use chancery_crypto::x25519::{DhPublic, DhSecret};
use chancery_crypto::{NotAuthentic, ed25519, kem, label, signature, x25519};
use chancery_identity::{Desk, DeviceKeys, OrgId};
use chancery_wire::proto;

/// First byte of an enrolment request.
pub const REQUEST_KIND: u8 = 0x13;
/// First byte of an enrolment answer.
pub const ANSWER_KIND: u8 = 0x14;
/// First byte of a member device's order to the desk.
pub const ORDER_KIND: u8 = 0x16;
/// Length of every order, in bytes: kind, ephemeral key, ciphertext, sealed plaintext of 20 KiB.
pub const ORDER_LEN: usize = ORDER.len();
/// Length of every request, in bytes: kind, ephemeral key, ciphertext, sealed plaintext of 8 KiB.
pub const REQUEST_LEN: usize = REQUEST.len();
/// Length of every answer, in bytes: kind, salt, sealed plaintext of 16 KiB. All outcomes look alike.
pub const ANSWER_LEN: usize = 1 + SALT_LEN + ANSWER_PLAINTEXT_LEN + TAG_LEN;

/// Bytes of a request or an order before the sealed part.
pub(crate) const HEAD_LEN: usize = 1 + x25519::LEN + kem::CIPHERTEXT_LEN;
pub(crate) const ANSWER_PLAINTEXT_LEN: usize = 16_384;
const SALT_LEN: usize = 32;

/// One kind of envelope to the desk: what sets it apart from the others (R-ORG-6, R-ORG-18).
#[derive(Debug)]
pub(crate) struct Form {
    kind: u8,
    context: Label,
    keys: Label,
    plaintext_len: usize,
}

/// A new device's request.
pub(crate) const REQUEST: Form = Form {
    kind: REQUEST_KIND,
    context: label::HASH_ENROLMENT,
    keys: label::KDF_ENROLMENT,
    plaintext_len: 8192,
};
/// A member device's order, which may hold a new device's request.
pub(crate) const ORDER: Form = Form {
    kind: ORDER_KIND,
    context: label::HASH_DEVICE_ORDER,
    keys: label::KDF_DEVICE_ORDER,
    plaintext_len: 20_480,
};

/// An envelope to the desk, taken apart.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    head: &'a [u8],
    ephemeral: DhPublic,
    ciphertext: KemCiphertext,
    sealed: &'a [u8],
}

impl Form {
    const fn len(&self) -> usize {
        HEAD_LEN.saturating_add(self.plaintext_len).saturating_add(TAG_LEN)
    }

    /// Agrees with the desk on keys: the bytes before the sealed part, and the keys.
    pub(crate) fn begin(
        &self,
        org: &OrgId,
        desk: &Desk,
        rng: &mut dyn CryptoRng,
    ) -> Result<(Vec<u8>, Channel), NotAuthentic> {
        let ephemeral = DhSecret::generate(rng);
        let dh = ephemeral.agree(desk.dh_key()).map_err(|_| NotAuthentic)?;
        let (ciphertext, kem_secret) = desk.kem_key().encapsulate(rng);
        let (ephemeral, ciphertext) = (ephemeral.public().as_bytes(), ciphertext.as_bytes());
        let mut head = Vec::with_capacity(self.len());
        head.push(self.kind);
        head.extend_from_slice(ephemeral);
        head.extend_from_slice(ciphertext);
        let channel = self.derive(self.context(org, desk, (ephemeral, ciphertext)), &dh, &kem_secret)?;
        Ok((head, channel))
    }

    /// Seals the padded body behind the head.
    pub(crate) fn seal(&self, head: Vec<u8>, key: OneTimeKey, body: &[u8]) -> Result<Vec<u8>, NotAuthentic> {
        debug_assert_eq!(head.len(), HEAD_LEN, "the head has a fixed length");
        let plaintext = pad(body, self.plaintext_len).ok_or(NotAuthentic)?;
        let sealed = key.seal(&head, plaintext.expose());
        let mut envelope = head;
        envelope.extend_from_slice(&sealed);
        Ok(envelope)
    }

    /// Takes an envelope of this kind apart (R-ORG-8).
    pub(crate) fn parse<'a>(&self, envelope: &'a [u8]) -> Option<Parts<'a>> {
        if envelope.len() != self.len() || envelope.first() != Some(&self.kind) {
            return None;
        }
        let (head, sealed) = envelope.split_at_checked(HEAD_LEN)?;
        let (ephemeral, ciphertext) = head.get(1..)?.split_first_chunk::<{ x25519::LEN }>()?;
        Some(Parts {
            head,
            ephemeral: DhPublic::from_bytes(ephemeral).ok()?,
            ciphertext: KemCiphertext::from_bytes(ciphertext).ok()?,
            sealed,
        })
    }

    /// The desk's side of [`Self::begin`] and [`Self::seal`]: what answers are sealed with, and the body with its padding.
    pub(crate) fn open(
        &self,
        parts: &Parts<'_>,
        (org, desk): (&OrgId, &Desk),
        (dh, kem): (&DhSecret, &kem::KemSecret),
    ) -> Result<(Answering, SecretBytes), NotAuthentic> {
        let dh = dh.agree(&parts.ephemeral).map_err(|_| NotAuthentic)?;
        let kem_secret = kem.decapsulate(&parts.ciphertext);
        let public = (parts.ephemeral.as_bytes(), parts.ciphertext.as_bytes());
        let context = self.context(org, desk, (public.0, public.1));
        let Channel { context, request, answer } = self.derive(context, &dh, &kem_secret)?;
        let plaintext = request.open(parts.head, parts.sealed)?;
        Ok((Answering { context, secret: answer }, plaintext))
    }

    /// The hash that binds everything else to this envelope (R-ORG-6).
    pub(crate) fn context(
        &self,
        org: &OrgId,
        desk: &Desk,
        (ephemeral, ciphertext): (&[u8], &[u8]),
    ) -> [u8; 32] {
        hash(self.context, &[org.as_bytes(), desk.statement_hash(), ephemeral, ciphertext])
    }

    pub(crate) fn derive(
        &self,
        context: [u8; 32],
        dh: &Secret<32>,
        kem_secret: &Secret<32>,
    ) -> Result<Channel, NotAuthentic> {
        let input: [&[u8]; 3] = [&[0xFF; 32], dh.expose(), kem_secret.expose()];
        let keys: Secret<64> = derive(self.keys, &[], &input, &context);
        Ok(Channel {
            context,
            request: OneTimeKey::new(keys.part(0).ok_or(NotAuthentic)?),
            answer: keys.part(1).ok_or(NotAuthentic)?,
        })
    }
}

/// What the desk answers an opened envelope with.
#[derive(Debug)]
pub(crate) struct Answering {
    /// Names the envelope.
    pub(crate) context: [u8; 32],
    pub(crate) secret: Secret<32>,
}

/// What both sides derive from a request's key agreement (R-ORG-6).
#[derive(Debug)]
pub(crate) struct Channel {
    /// Names this request: organisation, desk, ephemeral key and ciphertext.
    pub(crate) context: [u8; 32],
    pub(crate) request: OneTimeKey,
    /// Each answer's key comes from it with a new salt, because a repeated request is answered again.
    pub(crate) answer: Secret<32>,
}

/// The public keys of a device that asks, each of its fixed length, not necessarily valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestedKeys<'a> {
    pub(crate) signing: &'a [u8; signature::PUBLIC_LEN],
    pub(crate) identity: &'a [u8; 32],
    pub(crate) group: &'a [u8; 32],
}

impl<'a> RequestedKeys<'a> {
    pub(crate) fn read(request: &'a proto::EnrolmentRequest) -> Option<Self> {
        Self::from_parts(&request.signing_key, &request.identity_key, &request.group_key)
    }

    pub(crate) fn from_parts(signing: &'a [u8], identity: &'a [u8], group: &'a [u8]) -> Option<Self> {
        Some(Self {
            signing: signing.try_into().ok()?,
            identity: identity.try_into().ok()?,
            group: group.try_into().ok()?,
        })
    }

    /// The hash by which the desk recognises a device that asks again.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        hash(label::HASH_ENROLLING_KEYS, &[self.signing, self.identity, self.group])
    }

    /// Whether a credential may name the keys; the signing key has been judged by its signature.
    pub(crate) fn are_valid(&self) -> bool {
        DhPublic::from_bytes(self.identity).is_ok()
            && ed25519::GroupVerifyingKey::from_bytes(self.group).is_ok()
    }

    /// `context (32) || invitation id (16) || signing key || identity key || group key`: what is signed and
    /// proven (R-ORG-7).
    pub(crate) fn statement(&self, context: &[u8; 32], invitation_id: &[u8; 16]) -> Vec<u8> {
        [context.as_slice(), invitation_id, self.signing, self.identity, self.group].concat()
    }
}

/// Copies a device's public keys into a request.
pub(crate) fn public_keys(keys: &DeviceKeys) -> proto::EnrolmentRequest {
    proto::EnrolmentRequest {
        signing_key: keys.signing.verifying_key().as_bytes().to_vec(),
        identity_key: keys.identity.public().as_bytes().to_vec(),
        group_key: keys.group.verifying_key().as_bytes().to_vec(),
        ..Default::default()
    }
}

/// Seals an answer under a key of its own (R-ORG-8).
pub(crate) fn seal_answer(
    secret: &Secret<32>,
    content: &SecretBytes,
    rng: &mut dyn CryptoRng,
) -> Result<Vec<u8>, NotAuthentic> {
    let plaintext = pad(content.expose(), ANSWER_PLAINTEXT_LEN).ok_or(NotAuthentic)?;
    let salt: [u8; SALT_LEN] = random_bytes(rng);
    let mut envelope = Vec::with_capacity(ANSWER_LEN);
    envelope.push(ANSWER_KIND);
    envelope.extend_from_slice(&salt);
    let sealed = answer_key(secret, &salt).seal(&envelope, plaintext.expose());
    envelope.extend_from_slice(&sealed);
    Ok(envelope)
}

/// Opens an answer: the padded plaintext.
pub(crate) fn open_answer(secret: &Secret<32>, envelope: &[u8]) -> Result<SecretBytes, NotAuthentic> {
    if envelope.len() != ANSWER_LEN || envelope.first() != Some(&ANSWER_KIND) {
        return Err(NotAuthentic);
    }
    let (head, sealed) = envelope.split_first_chunk::<{ 1 + SALT_LEN }>().ok_or(NotAuthentic)?;
    let salt = head.last_chunk().ok_or(NotAuthentic)?;
    answer_key(secret, salt).open(head, sealed)
}

fn answer_key(secret: &Secret<32>, salt: &[u8; SALT_LEN]) -> OneTimeKey {
    OneTimeKey::new(derive(label::KDF_ENROLMENT_ANSWER, salt, &[secret.expose()], &[]))
}

/// `length (4, big-endian) || content || zeros`, `len` bytes in all; `None` if the content is too long.
pub(crate) fn pad(content: &[u8], len: usize) -> Option<SecretBytes> {
    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
    if content.len() > len.checked_sub(out.len())? {
        return None;
    }
    out.extend_from_slice(content);
    out.resize(len, 0);
    Some(SecretBytes::new(out))
}

/// Takes the padding off; its bytes are not looked at.
pub(crate) fn unpad(padded: &[u8]) -> Option<&[u8]> {
    let (length, rest) = padded.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_has_one_length_and_comes_off() {
        assert_eq!(pad(b"abc", 16).unwrap().expose().len(), 16);
        assert_eq!(unpad(pad(b"abc", 16).unwrap().expose()), Some(b"abc".as_slice()));
        assert_eq!(unpad(pad(&[7; 12], 16).unwrap().expose()), Some([7; 12].as_slice()));
        assert!(pad(&[7; 13], 16).is_none());
        assert_eq!(unpad(&[0, 0, 0, 1]), None);
        assert_eq!(unpad(&[0xFF; 16]), None);
        assert_eq!(unpad(&[0; 3]), None);
    }
}
