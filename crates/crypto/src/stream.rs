//! Key-committing encryption of a stream in chunks, for attachments.
//!
//! ```text
//! (enc key (32), commitment (32)) = HKDF(ikm = file key, info = "chancery/1 kdf stream")
//! stream  = 0x01 || commitment (32) || chunk*
//! chunk i = ChaCha20-Poly1305(enc key, nonce = 0^7 || i (4, big-endian) || last (1), chunk)
//! ```
//!
//! Each chunk holds [`CHUNK_LEN`] bytes of plaintext; the last one, and only it, may be shorter, and is
//! sealed with `last = 1`, so that a stream can be neither cut nor extended (R-CRYPTO-12). The commitment
//! makes it impossible to build one stream that opens under two keys (R-CRYPTO-13).

use alloc::vec::Vec;

use crate::aead::{TAG_LEN, open_at, seal_at};
use crate::error::NotAuthentic;
use crate::kdf::derive;
use crate::label;
use crate::secret::{Secret, SecretBytes, ct_eq};

/// Plaintext bytes in every chunk but the last. 64 KiB: a page of memory per stream, little overhead.
pub const CHUNK_LEN: usize = 65_536;
/// Bytes of a sealed full chunk.
pub const SEALED_CHUNK_LEN: usize = CHUNK_LEN + TAG_LEN;
/// Bytes before the first chunk: version and commitment.
pub const HEADER_LEN: usize = 33;
/// Version of the format, the first byte.
pub const VERSION: u8 = 1;
/// Most chunks in a stream: the counter's range. 2^32 − 1 chunks are 256 TiB.
pub const MAX_CHUNKS: u32 = u32::MAX;

/// Returns how long a stream of `plaintext_len` bytes becomes; `None` above [`MAX_CHUNKS`].
#[must_use]
pub fn sealed_len(plaintext_len: u64) -> Option<u64> {
    let chunks = plaintext_len.div_ceil(CHUNK_LEN as u64).max(1);
    if chunks > u64::from(MAX_CHUNKS) {
        return None;
    }
    chunks.checked_mul(TAG_LEN as u64)?.checked_add(plaintext_len)?.checked_add(HEADER_LEN as u64)
}

struct Keys {
    encryption: Secret<32>,
    commitment: [u8; 32],
    counter: u32,
}

impl Keys {
    fn new(file_key: &Secret<32>) -> Self {
        let both: Secret<64> = derive(label::KDF_STREAM, &[], &[file_key.expose()], &[]);
        let (encryption, commitment) = both.expose().split_at(32);
        let mut public = [0; 32];
        public.copy_from_slice(commitment);
        Self {
            encryption: Secret::init_with(|out| out.copy_from_slice(encryption)),
            commitment: public,
            counter: 0,
        }
    }

    fn next_nonce(&mut self, last: bool) -> Result<[u8; 12], NotAuthentic> {
        let [a, b, c, d] = self.counter.to_be_bytes();
        self.counter = self.counter.checked_add(1).ok_or(NotAuthentic)?;
        Ok([0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(last)])
    }
}

/// Seals a stream chunk by chunk, in constant memory.
///
/// ```
/// use chancery_crypto::{secret::Secret, stream::{Opener, Sealer}};
///
/// let key = Secret::from_bytes([1; 32]);
/// let (mut sealer, header) = Sealer::new(&key);
/// let sealed = sealer.seal(b"a short file", true)?;
/// let mut opener = Opener::new(&key, &header)?;
/// assert_eq!(opener.open(&sealed, true)?.expose(), b"a short file");
/// # Ok::<(), chancery_crypto::NotAuthentic>(())
/// ```
pub struct Sealer(Keys);

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Starts a stream under a file key that is used for this stream only; returns the header to write.
    #[must_use]
    pub fn new(file_key: &Secret<32>) -> (Self, [u8; HEADER_LEN]) {
        let keys = Keys::new(file_key);
        let mut header = [VERSION; HEADER_LEN];
        header.iter_mut().skip(1).zip(keys.commitment).for_each(|(to, from)| *to = from);
        (Self(keys), header)
    }

    /// Seals the next chunk: [`CHUNK_LEN`] bytes, or at most that for the last.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] for a chunk of the wrong length or past [`MAX_CHUNKS`]: the caller's mistake.
    pub fn seal(&mut self, chunk: &[u8], last: bool) -> Result<Vec<u8>, NotAuthentic> {
        if chunk.len() > CHUNK_LEN || (!last && chunk.len() != CHUNK_LEN) {
            return Err(NotAuthentic);
        }
        let nonce = self.0.next_nonce(last)?;
        Ok(seal_at(&self.0.encryption, &nonce, &[], chunk))
    }
}

/// Opens a stream chunk by chunk.
pub struct Opener(Keys);

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opener(..)")
    }
}

impl Opener {
    /// Checks a stream's header against the file key.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] for another version or a commitment to another key.
    pub fn new(file_key: &Secret<32>, header: &[u8]) -> Result<Self, NotAuthentic> {
        let keys = Keys::new(file_key);
        match header.split_first() {
            Some((&VERSION, commitment)) if ct_eq(commitment, &keys.commitment) => Ok(Self(keys)),
            _ => Err(NotAuthentic),
        }
    }

    /// Opens the next chunk; `last` says that nothing follows it.
    ///
    /// # Errors
    ///
    /// [`NotAuthentic`] for a chunk that is damaged, out of order, or wrongly last: throw the file away.
    pub fn open(&mut self, chunk: &[u8], last: bool) -> Result<SecretBytes, NotAuthentic> {
        if chunk.len() > SEALED_CHUNK_LEN || (!last && chunk.len() != SEALED_CHUNK_LEN) {
            return Err(NotAuthentic);
        }
        let nonce = self.0.next_nonce(last)?;
        open_at(&self.0.encryption, &nonce, &[], chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn sealed() -> (Secret<32>, Vec<u8>, [Vec<u8>; 2]) {
        let key = Secret::from_bytes([1; 32]);
        let (mut sealer, header) = Sealer::new(&key);
        let chunks = [sealer.seal(&vec![7; CHUNK_LEN], false).unwrap(), sealer.seal(b"end", true).unwrap()];
        (key, header.to_vec(), chunks)
    }

    #[test]
    fn a_stream_can_be_neither_cut_nor_extended_nor_reordered() {
        // R-CRYPTO-12
        let (key, header, [first, second]) = sealed();
        let open = || Opener::new(&key, &header).unwrap();
        let mut whole = open();
        assert_eq!(whole.open(&first, false).unwrap().expose(), vec![7; CHUNK_LEN]);
        assert_eq!(whole.open(&second, true).unwrap().expose(), b"end");
        assert!(open().open(&first, true).is_err(), "cut after the first chunk");
        assert!(open().open(&second, true).is_err(), "first chunk missing");
        let mut extended = open();
        extended.open(&first, false).unwrap();
        assert!(extended.open(&second, false).is_err(), "last chunk made to look like a middle one");
    }

    #[test]
    fn the_header_commits_to_the_key() {
        // R-CRYPTO-13
        let (_, header, _) = sealed();
        assert!(Opener::new(&Secret::from_bytes([2; 32]), &header).is_err());
        let mut other = header;
        other[0] = 2;
        assert!(Opener::new(&Secret::from_bytes([1; 32]), &other).is_err());
    }

    #[test]
    fn lengths_add_up() {
        assert_eq!(sealed_len(0), Some(33 + 16));
        assert_eq!(sealed_len(CHUNK_LEN as u64), Some(33 + 16 + CHUNK_LEN as u64));
        assert_eq!(sealed_len(CHUNK_LEN as u64 + 1), Some(33 + 32 + CHUNK_LEN as u64 + 1));
        assert_eq!(sealed_len(u64::MAX), None);
    }
}
