//! Padding: session messages have one of eight lengths.

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::aead::TAG_LEN as AUTHENTICATOR_LEN;
use chancery_crypto::secret::SecretBytes;

use crate::braid::{FRAME_HEAD_LEN, Frames};
use crate::erasure::CODEWORD_LEN;
use crate::header::SEALED_HEADER_LEN;
use crate::tag::TAG_LEN;

/// The lengths that a session message may have, in bytes (R-ENVELOPE-4).
///
/// Powers of two: whoever stores the message learns one of eight sizes and never more than half of it is
/// wasted. 512 holds a chat line, 64 KiB is the most that is sent without an attachment.
pub const BUCKETS: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, MAX_SESSION_MESSAGE_LEN];

/// Bytes of a session message that are not content: kind (1), tag (16), sealed header (60), length (2),
/// authenticator (16).
pub const SESSION_MESSAGE_OVERHEAD: usize = OUTSIDE_BODY + CONTENT_LENGTH_LEN;

/// The longest content that fits into one message: 65,441 bytes. More belongs into an attachment.
pub const MAX_CONTENT: usize = MAX_SESSION_MESSAGE_LEN - SESSION_MESSAGE_OVERHEAD;

const MAX_SESSION_MESSAGE_LEN: usize = 65536;
const CONTENT_LENGTH_LEN: usize = 2;
const IDENTITY_LENGTH_LEN: usize = 4;
const OUTSIDE_BODY: usize = 1 + TAG_LEN + SEALED_HEADER_LEN + AUTHENTICATOR_LEN;

/// A message fills its bucket if it leaves less than this for the braid: four codewords in a frame (R-ENVELOPE-6).
const FILLED_BELOW: usize = FRAME_HEAD_LEN + 4 * CODEWORD_LEN;
/// Of so many messages that fill their buckets, one takes the next bucket (R-ENVELOPE-6).
///
/// Eight: an eighth more bytes for a conversation of such messages, sixteen codewords or more every eight messages.
pub(crate) const FILLED_PERIOD: u32 = 8;

/// Length of a refreshing message: it holds every value of the braid whole, 61 codewords, so that an epoch of a quiet
/// session needs one message for each step (R-RATCHET-22).
pub(crate) const REFRESH_BUCKET: usize = 2048;

/// How long a body is made, and how many messages have filled their bucket then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyPlan {
    /// Length of the body before it is sealed.
    pub(crate) len: usize,
    /// For the next plan.
    pub(crate) filled: u32,
}

impl BodyPlan {
    /// The smallest bucket that fits; after seven messages that filled theirs, the next one.
    ///
    /// It depends on lengths alone, so that it tells nothing of the ratchet. `None` for more than [`MAX_CONTENT`] bytes.
    pub(crate) fn new(content_len: usize, filled: u32) -> Option<Self> {
        let needed = content_len.checked_add(SESSION_MESSAGE_OVERHEAD)?;
        let mut buckets = BUCKETS.into_iter().skip_while(|bucket| *bucket < needed);
        let bucket = buckets.next()?;
        if bucket.checked_sub(needed)? >= FILLED_BELOW {
            return Some(Self { len: bucket.checked_sub(OUTSIDE_BODY)?, filled: 0 });
        }
        let filled = filled.saturating_add(1).min(FILLED_PERIOD);
        match buckets.next() {
            Some(next) if filled == FILLED_PERIOD => {
                Some(Self { len: next.checked_sub(OUTSIDE_BODY)?, filled: 0 })
            }
            _ => Some(Self { len: bucket.checked_sub(OUTSIDE_BODY)?, filled }),
        }
    }

    /// A content of a few bytes with much room.
    pub(crate) const fn refresh(filled: u32) -> Self {
        Self { len: REFRESH_BUCKET - OUTSIDE_BODY, filled }
    }
}

/// Begins a body of `len` bytes: length (2, big-endian) and content; frames and zeros follow. `None` if it does not fit.
pub(crate) fn begin_body(content: &[u8], len: usize) -> Option<Vec<u8>> {
    if content.len().checked_add(CONTENT_LENGTH_LEN)? > len {
        return None;
    }
    // Allocated once, so that growing leaves no copy behind.
    let mut body = Vec::with_capacity(len);
    body.extend_from_slice(&u16::try_from(content.len()).ok()?.to_be_bytes());
    body.extend_from_slice(content);
    Some(body)
}

/// Takes a body apart: content, and what the braid sent. All other bytes must be zero (R-ENVELOPE-5).
pub(crate) fn split_body(body: &SecretBytes) -> Result<(SecretBytes, Frames<'_>), NotAuthentic> {
    let (len, rest) = body.expose().split_first_chunk::<CONTENT_LENGTH_LEN>().ok_or(NotAuthentic)?;
    let (content, padding) = rest.split_at_checked(u16::from_be_bytes(*len).into()).ok_or(NotAuthentic)?;
    let frames = Frames::decode(padding)?;
    Ok((SecretBytes::new(content.to_vec()), frames))
}

/// Builds `len` bytes: length (4, big-endian), content, zeros. `None` if the content does not fit.
pub(crate) fn pad_to(content: &[u8], len: usize) -> Option<SecretBytes> {
    if content.len().checked_add(IDENTITY_LENGTH_LEN)? > len {
        return None;
    }
    let mut padded = Vec::with_capacity(len);
    padded.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(len, 0);
    Some(SecretBytes::new(padded))
}

/// Takes the content of [`pad_to`] out again. Padding must be zero to the last byte (R-HANDSHAKE-7).
pub(crate) fn unpad(padded: &SecretBytes) -> Result<SecretBytes, NotAuthentic> {
    let (len, rest) = padded.expose().split_first_chunk::<IDENTITY_LENGTH_LEN>().ok_or(NotAuthentic)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| NotAuthentic)?;
    let (content, zeros) = rest.split_at_checked(len).ok_or(NotAuthentic)?;
    if zeros.iter().fold(0, |all, byte| all | byte) != 0 {
        return Err(NotAuthentic);
    }
    Ok(SecretBytes::new(content.to_vec()))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that goes wrong may panic")]
mod tests {
    use super::*;
    use alloc::vec;

    fn message_len(content: usize, filled: u32) -> Option<usize> {
        BodyPlan::new(content, filled).map(|plan| plan.len + OUTSIDE_BODY)
    }

    fn body(content: &[u8]) -> SecretBytes {
        let len = BodyPlan::new(content.len(), 0).unwrap().len;
        let mut body = begin_body(content, len).unwrap();
        body.resize(len, 0);
        SecretBytes::new(body)
    }

    #[test]
    fn every_content_up_to_the_limit_takes_the_smallest_bucket_and_comes_back() {
        // R-ENVELOPE-4
        for bucket in BUCKETS {
            let most = bucket - SESSION_MESSAGE_OVERHEAD;
            assert_eq!(message_len(most, 0), Some(bucket));
            let (content, frames) = (vec![7; most], body(&vec![7; most]));
            assert_eq!(split_body(&frames).unwrap().0.expose(), content);
            assert_eq!(message_len(most + 1, 0), (bucket != 65536).then_some(bucket * 2));
        }
        assert_eq!(MAX_CONTENT, 65_441);
        assert!(split_body(&body(b"")).unwrap().0.expose().is_empty());
        assert!(begin_body(&[0; 10], 11).is_none());
    }

    #[test]
    fn an_overhead_of_at_most_96_bytes() {
        const { assert!(SESSION_MESSAGE_OVERHEAD == 95) };
    }

    #[test]
    fn one_in_eight_messages_that_fill_their_bucket_takes_the_next() {
        // R-ENVELOPE-6
        let (full, roomy) = (512 - SESSION_MESSAGE_OVERHEAD - 131, 512 - SESSION_MESSAGE_OVERHEAD - 132);
        let lengths = |contents: &[usize]| {
            let mut filled = 0;
            let mut all = Vec::new();
            for content in contents {
                let plan = BodyPlan::new(*content, filled).unwrap();
                filled = plan.filled;
                all.push(plan.len + OUTSIDE_BODY);
            }
            all
        };
        let mut expected = vec![512; 7];
        expected.push(1024);
        assert_eq!(lengths(&[full; 16]), expected.repeat(2));
        assert_eq!(lengths(&[roomy; 16]), vec![512; 16]);
        // There is nothing above the largest bucket; the next message that can takes its turn.
        assert_eq!(lengths(&[MAX_CONTENT; 10]), vec![65536; 10]);
        assert_eq!(lengths(&[[MAX_CONTENT; 10].as_slice(), &[full; 2]].concat())[10..], [1024, 512]);
    }

    #[test]
    fn padding_that_is_not_zero_and_lengths_that_overrun_are_refused() {
        // R-ENVELOPE-5
        let good = body(b"content");
        for at in 9..good.expose().len() {
            let mut bad = good.expose().to_vec();
            bad[at] = 0x80;
            assert!(split_body(&SecretBytes::new(bad)).is_err(), "byte {at}");
        }
        let mut overrun = good.expose().to_vec();
        let len = u16::try_from(good.expose().len()).unwrap();
        overrun[..2].copy_from_slice(&(len - 1).to_be_bytes());
        assert!(split_body(&SecretBytes::new(overrun)).is_err());
        assert!(split_body(&SecretBytes::new(vec![0xFF; 400])).is_err());
        assert!(split_body(&SecretBytes::new(vec![0; 1])).is_err());
    }

    #[test]
    fn a_padded_identity_comes_back_and_other_padding_is_refused() {
        // R-HANDSHAKE-7
        let good = pad_to(b"identity", 64).unwrap();
        assert_eq!(unpad(&good).unwrap().expose(), b"identity");
        for at in 12..64 {
            let mut bad = good.expose().to_vec();
            bad[at] = 1;
            assert!(unpad(&SecretBytes::new(bad)).is_err());
        }
        assert!(unpad(&SecretBytes::new(vec![0xFF; 64])).is_err());
        assert!(pad_to(&[0; 61], 64).is_none());
    }
}
