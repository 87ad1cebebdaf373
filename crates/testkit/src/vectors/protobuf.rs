//! Protobuf by hand, so that vectors do not rest on the generated code.

pub(super) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7F {
        bytes.push(u8::try_from(value & 0x7F).expect("seven bits") | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).expect("seven bits"));
    bytes
}

/// A field that stands there also if it is empty: a message in another, or one of several.
pub(super) fn inner(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A field of bytes; none if it is empty.
pub(super) fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { inner(number, bytes) }
}

/// A field of a number; none if it is 0.
pub(super) fn count(number: u64, value: u64) -> Vec<u8> {
    if value == 0 { Vec::new() } else { [varint(number << 3), varint(value)].concat() }
}
