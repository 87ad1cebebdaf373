//! Identifiers: fixed lengths, shown as lower-case hexadecimal.

use core::fmt;

use chancery_crypto::rng::{CryptoRng, random_bytes};

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps an identifier.
            #[must_use]
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Reads an identifier; `None` for any other length.
            #[must_use]
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// Returns the bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// Reads what `Display` writes; upper-case digits are accepted, nothing else is.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                read_hex(text, &mut bytes)?;
                Some(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(&self.0, f)?;
                f.write_str(")")
            }
        }
    };
}

identifier! {
    /// Names an organisation: the hash of its root's verifying key (R-ID-1), 32 bytes.
    OrgId, 32
}
identifier! {
    /// Names an issuer: the hash of its certificate (R-ID-4), 32 bytes.
    IssuerId, 32
}
identifier! {
    /// Names a member for ever: 16 random bytes, never issued twice.
    MemberId, 16
}
identifier! {
    /// Names a device and its mailbox: 16 random bytes.
    DeviceId, 16
}

impl MemberId {
    /// Draws an identifier.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self(random_bytes(rng))
    }
}

impl DeviceId {
    /// Draws an identifier.
    pub fn random(rng: &mut dyn CryptoRng) -> Self {
        Self(random_bytes(rng))
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex(text: &str, out: &mut [u8]) -> Option<()> {
    if text.len() != out.len().checked_mul(2)? {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = (digit(high)? << 4) | digit(low)?;
    }
    Some(())
}

fn digit(ascii: u8) -> Option<u8> {
    u8::try_from(char::from(ascii).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, string::ToString};

    #[test]
    fn an_identifier_survives_hexadecimal() {
        let id = MemberId::random(&mut chancery_crypto::rng::seeded([1; 32]));
        assert_eq!(MemberId::from_hex(&id.to_string()), Some(id));
        assert_eq!(MemberId::from_hex(&id.to_string().to_uppercase()), Some(id));
        assert_eq!(format!("{:?}", DeviceId::new([0xAB; 16])), format!("DeviceId({})", "ab".repeat(16)));
    }

    #[test]
    fn other_lengths_and_other_characters_are_refused() {
        assert_eq!(OrgId::from_bytes(&[0; 31]), None);
        assert_eq!(OrgId::from_hex(&"0".repeat(63)), None);
        assert_eq!(DeviceId::from_hex(&"+1".repeat(16)), None);
        assert_eq!(DeviceId::from_hex(&"é".repeat(16)), None);
    }
}
