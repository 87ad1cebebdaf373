//! Frames: how codewords lie in the padding of a body.
//!
//! ```text
//! 0   1  kind: 1 header, 2 vector, 3 ct1, 4 ct2, 5 vector, and ct1 is acknowledged
//! 1   1  number of codewords, at least 1; of kind 5, 0 too
//! 2   2  index of the first, big-endian
//! 4   …  codewords, 32 bytes each
//! ```
//!
//! Kinds ascend, each value at most once; the first zero byte in the place of a kind ends the frames, and everything
//! behind it is zero (R-BRAID-2).

use alloc::vec::Vec;

use chancery_crypto::NotAuthentic;

use crate::erasure::{CODEWORD_LEN, MAX_INDEX, encode};

/// Bytes of a frame before its codewords.
pub(crate) const FRAME_HEAD_LEN: usize = 4;
/// Bytes of the smallest frame with a codeword.
pub(crate) const MIN_FRAME_LEN: usize = FRAME_HEAD_LEN + CODEWORD_LEN;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The header of an encapsulation key and what vouches for it, 96 bytes.
    Header = 1,
    /// The vector of an encapsulation key, 1,152 bytes.
    Vector = 2,
    /// The first part of a ciphertext, 960 bytes.
    Ct1 = 3,
    /// The second part of a ciphertext and what vouches for both, 160 bytes.
    Ct2 = 4,
    /// As `Vector`, perhaps without codewords; and ct1 has been rebuilt.
    Ct1Acknowledged = 5,
}

impl Kind {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Header,
            2 => Self::Vector,
            3 => Self::Ct1,
            4 => Self::Ct2,
            5 => Self::Ct1Acknowledged,
            _ => return None,
        })
    }
}

/// Consecutive codewords of one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run<'a> {
    pub(crate) first: u16,
    pub(crate) codewords: &'a [[u8; CODEWORD_LEN]],
}

/// What a body carries for the braid.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frames<'a> {
    pub(crate) header: Option<Run<'a>>,
    pub(crate) vector: Option<Run<'a>>,
    pub(crate) ct1: Option<Run<'a>>,
    pub(crate) ct2: Option<Run<'a>>,
    pub(crate) ct1_acknowledged: bool,
}

impl<'a> Frames<'a> {
    /// Reads the bytes behind a content. All of them must be frames or zero.
    pub(crate) fn decode(mut padding: &'a [u8]) -> Result<Self, NotAuthentic> {
        let mut frames = Self::default();
        let mut last = None;
        while let Some((&number, rest)) = padding.split_first() {
            if number == 0 {
                let zero = rest.iter().fold(0, |all, byte| all | byte) == 0;
                return if zero { Ok(frames) } else { Err(NotAuthentic) };
            }
            let kind = Kind::from_number(number).ok_or(NotAuthentic)?;
            if last.replace(kind).is_some_and(|last| last >= kind) {
                return Err(NotAuthentic);
            }
            padding = frames.take(kind, rest).ok_or(NotAuthentic)?;
        }
        Ok(frames)
    }

    fn take(&mut self, kind: Kind, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let field = match kind {
            Kind::Header => &mut self.header,
            Kind::Vector | Kind::Ct1Acknowledged => &mut self.vector,
            Kind::Ct1 => &mut self.ct1,
            Kind::Ct2 => &mut self.ct2,
        };
        self.ct1_acknowledged = kind == Kind::Ct1Acknowledged;
        let ([count, a, b], rest) = bytes.split_first_chunk()?;
        let first = u16::from_be_bytes([*a, *b]);
        let end = first.checked_add(u16::from(*count))?;
        if (*count == 0 && !self.ct1_acknowledged) || end.saturating_sub(1) > MAX_INDEX || field.is_some() {
            return None;
        }
        let (codewords, rest) = rest.split_at_checked(usize::from(*count).checked_mul(CODEWORD_LEN)?)?;
        let (codewords, _) = codewords.as_chunks();
        *field = Some(Run { first, codewords });
        Some(rest)
    }

    /// Whether there is nothing but what `kinds` names.
    pub(crate) fn are_only(&self, kinds: &[Kind]) -> bool {
        let present = [
            (Kind::Header, self.header.is_some()),
            (Kind::Vector, self.vector.is_some() && !self.ct1_acknowledged),
            (Kind::Ct1, self.ct1.is_some()),
            (Kind::Ct2, self.ct2.is_some()),
            (Kind::Ct1Acknowledged, self.ct1_acknowledged),
        ];
        present.iter().all(|(kind, present)| !present || kinds.contains(kind))
    }
}

/// The room for frames in a body: what has been written of it, and where it ends.
pub(crate) struct Room<'a> {
    pub(crate) body: &'a mut Vec<u8>,
    pub(crate) end: usize,
}

impl Room<'_> {
    pub(crate) fn left(&self) -> usize {
        self.end.saturating_sub(self.body.len())
    }

    /// Writes a frame with as many codewords of `value` from `first` on as fit, but not more than `most`; returns how
    /// many. There is a frame without codewords only to acknowledge ct1.
    pub(crate) fn put(&mut self, kind: Kind, value: &[u8], first: u16, most: u16) -> u16 {
        let fit = self.left().saturating_sub(FRAME_HEAD_LEN) / CODEWORD_LEN;
        let most = most.min(MAX_INDEX.saturating_sub(first).saturating_add(1));
        let count = u8::try_from(fit).unwrap_or(u8::MAX).min(u8::try_from(most).unwrap_or(u8::MAX));
        if self.left() < FRAME_HEAD_LEN || (count == 0 && kind != Kind::Ct1Acknowledged) {
            return 0;
        }
        self.body.extend_from_slice(&[kind as u8, count]);
        self.body.extend_from_slice(&first.to_be_bytes());
        encode(value, first..first.saturating_add(count.into()), self.body);
        count.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn what_is_written_is_read() {
        // R-BRAID-2
        let mut body = vec![9; 3];
        let mut room = Room { body: &mut body, end: 3 + 4 + 96 + 4 + 64 + 3 };
        assert_eq!(room.put(Kind::Header, &[1; 96], 1, 3), 3);
        assert_eq!(room.put(Kind::Vector, &[2; 1152], 0, 70), 2);
        assert_eq!(room.put(Kind::Ct1, &[3; 960], 0, 70), 0);
        assert_eq!(room.put(Kind::Ct1Acknowledged, &[2; 1152], 9, 70), 0);
        body.resize(300, 0);
        let frames = Frames::decode(&body[3..]).unwrap();
        let header = frames.header.unwrap();
        assert_eq!((header.first, header.codewords.len()), (1, 3));
        let vector = Run { first: 0, codewords: &[[2; 32]; 2] };
        assert_eq!(frames.vector, Some(vector));
        assert_eq!((frames.ct1, frames.ct2), (None, None));
        assert!(!frames.ct1_acknowledged);
        assert!(frames.are_only(&[Kind::Vector, Kind::Header, Kind::Ct1Acknowledged]));
        assert!(!frames.are_only(&[Kind::Header]));
        let mut body = vec![];
        for (end, count) in [(3, 0), (4, 0), (36, 1)] {
            body.clear();
            assert_eq!(Room { body: &mut body, end }.put(Kind::Ct1Acknowledged, &[2; 1152], 9, 70), count);
            let frames = Frames::decode(&body).unwrap();
            assert_eq!(frames.ct1_acknowledged, end > 3);
            assert_eq!(frames.vector.map_or(0, |run| run.codewords.len()), usize::from(count));
            assert_eq!(frames.are_only(&[Kind::Vector]), end == 3);
        }
        assert_eq!(Frames::decode(&[0; 100]), Ok(Frames::default()));
        assert_eq!(Frames::decode(&[]), Ok(Frames::default()));
    }

    #[test]
    fn other_padding_is_refused() {
        // R-BRAID-2, R-ENVELOPE-5
        let frame = |kind: u8, count: u8, first: u16, len: usize| {
            let mut bytes = vec![kind, count];
            bytes.extend(first.to_be_bytes());
            bytes.resize(4 + len, 7);
            bytes
        };
        let refused = |bytes: &[u8]| assert_eq!(Frames::decode(bytes), Err(NotAuthentic), "{bytes:?}");
        assert!(Frames::decode(&frame(1, 1, 65_534, 32)).is_ok());
        refused(&frame(1, 1, 65_535, 32));
        refused(&frame(1, 2, 65_534, 64));
        refused(&frame(1, 0, 0, 0));
        refused(&frame(1, 2, 0, 63));
        refused(&frame(6, 1, 0, 32));
        refused(&[1, 1, 0]);
        refused(&[0, 0, 0, 1]);
        refused(&[5, 0, 0]);
        refused(&[frame(5, 1, 0, 32), frame(4, 1, 0, 32)].concat());
        refused(&[frame(2, 1, 0, 32), frame(5, 1, 0, 32)].concat());
        refused(&[frame(2, 1, 0, 32), frame(1, 1, 0, 32)].concat());
        refused(&[frame(2, 1, 0, 32), frame(2, 1, 1, 32)].concat());
    }
}
