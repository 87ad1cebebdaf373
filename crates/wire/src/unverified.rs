//! What has been read and not yet been checked.

/// A well-formed value that nobody has vouched for.
///
/// The crate that owns the type turns it into a verified type of its own; nothing else constructs those.
#[derive(Debug, Clone, PartialEq)]
pub struct Unverified<T>(T);

impl<T> Unverified<T> {
    /// Marks a value as unverified.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// Looks at the value; the caller decides nothing on it that matters.
    pub const fn unchecked(&self) -> &T {
        &self.0
    }

    /// Takes the value out, in order to check it.
    pub fn into_unchecked(self) -> T {
        self.0
    }
}
