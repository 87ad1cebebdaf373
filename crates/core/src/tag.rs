//! Tags: how a recipient finds the session of a message that names nobody.

use alloc::vec::Vec;

/// Length of a tag, in bytes.
pub const TAG_LEN: usize = 16;

/// Numbers ahead of the next expected one whose tags are kept ready, for the current and for the next
/// receiving header key (R-RATCHET-9).
///
/// 16: a mailbox keeps its order, so that more out of order means that messages were lost; those are searched for, as
/// far as [`MAX_SKIP`](crate::MAX_SKIP). Each turn of the ratchet computes and stores the tags of a window anew.
pub const WINDOW: u32 = 16;

/// The first bytes of a session message that vary: `PRF(header key, n)`, cut to 16 bytes.
///
/// It means something only to the two devices of the session; a list of *expected* tags is private to its
/// device, which is why a tag does not print.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag([u8; TAG_LEN]);

impl Tag {
    /// Wraps 16 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; TAG_LEN]) -> Self {
        Self(bytes)
    }

    /// Copies a tag out of `bytes`, `None` unless there are exactly 16.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Returns the 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; TAG_LEN] {
        &self.0
    }
}

impl core::fmt::Debug for Tag {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tag(..)")
    }
}

/// What changed in the set of tags that a session expects.
///
/// An index that took up all of [`Session::tags`](crate::Session::tags) when the session was made, and since
/// then removed `removed` and added `added` each time, equals [`Session::tags`](crate::Session::tags) at any
/// time. No tag is in both lists.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct TagChange {
    /// Expected from now on.
    pub added: Vec<Tag>,
    /// Expected no longer.
    pub removed: Vec<Tag>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_tag_has_one_length_and_does_not_print() {
        assert_eq!(Tag::from_bytes(&[0xA5; 16]), Some(Tag::new([0xA5; 16])));
        assert_eq!(Tag::from_bytes(&[0; 15]), None);
        assert_eq!(Tag::from_bytes(&[0; 17]), None);
        assert_eq!(format!("{:?}", Tag::new([0xA5; 16])), "Tag(..)");
    }
}
