//! Padding: session messages have one of eight lengths.

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;
use chancery_crypto::aead::TAG_LEN as AUTHENTICATOR_LEN;
use chancery_crypto::secret::SecretBytes;

use crate::header::SEALED_HEADER_LEN;
use crate::tag::TAG_LEN;

/// The lengths that a session message may have, in bytes (R-ENVELOPE-4).
///
/// Powers of two: whoever stores the message learns one of eight sizes and never more than half of it is
/// wasted. 512 holds a chat line, 64 KiB is the most that is sent without an attachment.
pub const BUCKETS: [usize; 8] = [512, 1024, 2048, 4096, 8192, 16384, 32768, MAX_SESSION_MESSAGE_LEN];

/// Bytes of a session message that are not content: kind (1), tag (16), sealed header (56), length (4),
/// authenticator (16).
pub const SESSION_MESSAGE_OVERHEAD: usize = OUTSIDE_BODY + LENGTH_LEN;

/// The longest content that fits into one message: 65,443 bytes. More belongs into an attachment.
pub const MAX_CONTENT: usize = MAX_SESSION_MESSAGE_LEN - SESSION_MESSAGE_OVERHEAD;

const MAX_SESSION_MESSAGE_LEN: usize = 65536;
const LENGTH_LEN: usize = 4;
const OUTSIDE_BODY: usize = 1 + TAG_LEN + SEALED_HEADER_LEN + AUTHENTICATOR_LEN;

/// Builds a body's plaintext: length (4, big-endian), content, zeros up to the smallest bucket that fits.
///
/// `None` for more than [`MAX_CONTENT`] bytes.
pub(crate) fn pad(content: &[u8]) -> Option<SecretBytes> {
    let needed = content.len().checked_add(SESSION_MESSAGE_OVERHEAD)?;
    let bucket = BUCKETS.into_iter().find(|bucket| *bucket >= needed)?;
    pad_to(content, bucket.checked_sub(OUTSIDE_BODY)?)
}

/// Builds `len` bytes: length (4, big-endian), content, zeros. `None` if the content does not fit.
pub(crate) fn pad_to(content: &[u8], len: usize) -> Option<SecretBytes> {
    if content.len().checked_add(LENGTH_LEN)? > len {
        return None;
    }
    // Allocated once, so that growing leaves no copy behind.
    let mut padded = Vec::with_capacity(len);
    padded.extend_from_slice(&u32::try_from(content.len()).ok()?.to_be_bytes());
    padded.extend_from_slice(content);
    padded.resize(len, 0);
    Some(SecretBytes::new(padded))
}

/// Takes the content out again. Padding must be zero to the last byte (R-ENVELOPE-5): the bytes are reserved.
pub(crate) fn unpad(padded: &SecretBytes) -> Result<SecretBytes, NotAuthentic> {
    let (len, rest) = padded.expose().split_first_chunk::<LENGTH_LEN>().ok_or(NotAuthentic)?;
    let len = usize::try_from(u32::from_be_bytes(*len)).map_err(|_| NotAuthentic)?;
    let (content, zeros) = rest.split_at_checked(len).ok_or(NotAuthentic)?;
    if zeros.iter().fold(0, |all, byte| all | byte) != 0 {
        return Err(NotAuthentic);
    }
    Ok(SecretBytes::new(content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_content_up_to_the_limit_takes_the_smallest_bucket_and_comes_back() {
        // R-ENVELOPE-4
        for bucket in BUCKETS {
            let most = bucket - SESSION_MESSAGE_OVERHEAD;
            let padded = pad(&vec![7; most]).unwrap();
            assert_eq!(padded.expose().len() + OUTSIDE_BODY, bucket);
            assert_eq!(unpad(&padded).unwrap().expose(), vec![7; most]);
            let next = pad(&vec![7; most + 1]).map(|p| p.expose().len() + OUTSIDE_BODY);
            assert_eq!(next, (bucket != 65536).then_some(bucket * 2));
        }
        assert_eq!(MAX_CONTENT, 65_443);
        assert!(unpad(&pad(b"").unwrap()).unwrap().expose().is_empty());
    }

    #[test]
    fn an_overhead_of_at_most_96_bytes() {
        const { assert!(SESSION_MESSAGE_OVERHEAD <= 96) };
    }

    #[test]
    fn padding_that_is_not_zero_and_lengths_that_overrun_are_refused() {
        // R-ENVELOPE-5
        let good = pad(b"content").unwrap();
        for at in 11..good.expose().len() {
            let mut bad = good.expose().to_vec();
            bad[at] = 0x80;
            assert_eq!(unpad(&SecretBytes::new(bad)).map(|_| ()), Err(NotAuthentic), "byte {at}");
        }
        let mut overrun = good.expose().to_vec();
        let len = u32::try_from(good.expose().len()).unwrap();
        overrun[..4].copy_from_slice(&(len - 3).to_be_bytes());
        assert!(unpad(&SecretBytes::new(overrun)).is_err());
        assert!(unpad(&SecretBytes::new(vec![0xFF; 400])).is_err());
        assert!(unpad(&SecretBytes::new(vec![0; 3])).is_err());
    }
}
