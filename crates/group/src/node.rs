//! Places in the tree of a group (R-GROUP-1).

/// Levels of the tree: the slots, and 14 levels of nodes above them up to the root.
pub const LEVELS: u8 = 15;
/// Slots of a group: 16,384, of which 10,000 may be taken; a tree whose height never changes needs no rules for growing.
pub const MAX_SLOTS: u16 = 1 << (LEVELS - 1);

/// A device's place in a group, from 0 to 16,383.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Reads a slot; `None` from [`MAX_SLOTS`] on.
    #[must_use]
    pub const fn new(slot: u16) -> Option<Self> {
        if slot < MAX_SLOTS { Some(Self(slot)) } else { None }
    }

    /// Reads a slot from a protobuf number; `None` from [`MAX_SLOTS`] on.
    #[must_use]
    pub fn from_u32(slot: u32) -> Option<Self> {
        u16::try_from(slot).ok().and_then(Self::new)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the slot as a node of level 0.
    #[must_use]
    pub const fn node(self) -> Node {
        Node { level: 0, index: self.0 }
    }
}

/// A node of the tree: level 0 holds the slots, level 14 the root alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    level: u8,
    index: u16,
}

impl Node {
    /// The root.
    pub const ROOT: Self = Self { level: LEVELS - 1, index: 0 };

    /// Reads a node; `None` if the tree has none there.
    #[must_use]
    pub const fn new(level: u8, index: u16) -> Option<Self> {
        if level < LEVELS && index < (MAX_SLOTS >> level) { Some(Self { level, index }) } else { None }
    }

    /// Returns the level, 0 for a slot.
    #[must_use]
    pub const fn level(self) -> u8 {
        self.level
    }

    /// Returns the number on its level, from 0.
    #[must_use]
    pub const fn index(self) -> u16 {
        self.index
    }

    /// Returns the node above; `None` for the root.
    #[must_use]
    pub const fn parent(self) -> Option<Self> {
        match self.level {
            level if level < LEVELS.saturating_sub(1) => {
                Some(Self { level: level.saturating_add(1), index: self.index >> 1 })
            }
            _ => None,
        }
    }

    /// Returns the nodes below, left and right; `None` for a slot.
    #[must_use]
    pub const fn children(self) -> Option<[Self; 2]> {
        match self.level.checked_sub(1) {
            Some(level) => {
                let left = self.index << 1;
                Some([Self { level, index: left }, Self { level, index: left | 1 }])
            }
            None => None,
        }
    }

    /// Returns the other child of the node above; `None` for the root.
    #[must_use]
    pub const fn sibling(self) -> Option<Self> {
        match self.level {
            level if level < LEVELS.saturating_sub(1) => Some(Self { level, index: self.index ^ 1 }),
            _ => None,
        }
    }

    /// Whether `slot` is this node or below it.
    #[must_use]
    pub const fn covers(self, slot: Slot) -> bool {
        slot.0 >> self.level == self.index
    }

    /// Returns the first slot below, and how many there are.
    #[must_use]
    pub const fn slots(self) -> (u16, u16) {
        (self.index << self.level, 1 << self.level)
    }

    /// Returns `level (1) || index (2)`, as keys are derived for it and the dead are listed (R-GROUP-2).
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 3] {
        let [high, low] = self.index.to_be_bytes();
        [self.level, high, low]
    }

    /// Reads what [`Self::to_bytes`] wrote; `None` if the tree has no such node.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 3]) -> Option<Self> {
        let [level, high, low] = bytes;
        Self::new(level, u16::from_be_bytes([high, low]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_reaches_the_root_in_fourteen_steps_r_group_1() {
        for number in [0, 1, 4_095, 9_999, MAX_SLOTS - 1] {
            let slot = Slot::new(number).unwrap();
            let (mut node, mut steps) = (slot.node(), 0);
            while let Some(parent) = node.parent() {
                assert!(parent.children().unwrap().contains(&node));
                assert!(parent.covers(slot));
                assert_eq!(node.sibling().unwrap().parent(), Some(parent));
                assert_eq!(Node::from_bytes(node.to_bytes()), Some(node));
                (node, steps) = (parent, steps + 1);
            }
            assert_eq!((node, steps), (Node::ROOT, 14));
        }
        assert_eq!(Slot::new(MAX_SLOTS), None);
        assert_eq!(Node::new(14, 1), None);
        assert_eq!(Node::new(15, 0), None);
        assert_eq!(Node::ROOT.slots(), (0, MAX_SLOTS));
    }
}
