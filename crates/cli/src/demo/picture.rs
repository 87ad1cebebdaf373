//! A small valid picture, made here so that the demo needs no file of its own.

/// Width and height, in pixels.
const SIDE: u8 = 96;
/// The eight bytes that every PNG begins with.
pub(super) const SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Returns a colour gradient with a disc in it, as a PNG (ISO/IEC 15948) without compression.
pub(super) fn png() -> Vec<u8> {
    let mut picture = SIGNATURE.to_vec();
    let side = u32::from(SIDE).to_be_bytes();
    // Eight bits a channel, red, green and blue, no interlacing.
    chunk(&mut picture, *b"IHDR", &[side.as_slice(), &side, &[8, 2, 0, 0, 0]].concat());
    chunk(&mut picture, *b"IDAT", &zlib(&rows()));
    chunk(&mut picture, *b"IEND", &[]);
    picture
}

fn rows() -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..SIDE {
        rows.push(0);
        for x in 0..SIDE {
            let (dx, dy) = (u32::from(x.abs_diff(SIDE / 2)), u32::from(y.abs_diff(SIDE / 2)));
            let distance = dx.pow(2).saturating_add(dy.pow(2));
            let gradient = [x.saturating_mul(2), y.saturating_mul(2), 160];
            rows.extend(if distance < 900 { [250, 220, 90] } else { gradient });
        }
    }
    rows
}

fn chunk(picture: &mut Vec<u8>, kind: [u8; 4], data: &[u8]) {
    picture.extend(u32::try_from(data.len()).unwrap_or(u32::MAX).to_be_bytes());
    picture.extend(kind);
    picture.extend(data);
    picture.extend(crc32(&[kind.as_slice(), data].concat()).to_be_bytes());
}

/// Wraps data as stored blocks (RFC 1950 and RFC 1951).
fn zlib(data: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = data.chunks(usize::from(u16::MAX)).peekable();
    while let Some(block) = blocks.next() {
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(u8::from(blocks.peek().is_none()));
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    out.extend(adler32(data).to_be_bytes());
    out
}

fn adler32(data: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let step = |(a, b): (u32, u32), byte: &u8| {
        let a = a.wrapping_add(u32::from(*byte)) % MODULUS;
        (a, b.wrapping_add(a) % MODULUS)
    };
    let (a, b) = data.iter().fold((1, 0), step);
    b << 16 | a
}

fn crc32(data: &[u8]) -> u32 {
    let bit = |state: u32| if state & 1 == 1 { 0xEDB8_8320 ^ (state >> 1) } else { state >> 1 };
    !data.iter().fold(u32::MAX, |state, byte| (0..8).fold(state ^ u32::from(*byte), |state, _| bit(state)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_the_published_examples() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }

    #[test]
    fn the_picture_is_a_png_from_first_to_last_chunk() {
        let png = png();
        assert!(png.starts_with(&SIGNATURE));
        assert_eq!(&png[12..16], b"IHDR");
        assert!(png.ends_with(&[0, 0, 0, 0, b'I', b'E', b'N', b'D', 0xAE, 0x42, 0x60, 0x82]));
        assert_eq!(rows().len(), (usize::from(SIDE) * 3 + 1) * usize::from(SIDE));
    }
}
